// Images: one textured quad each, clipped to its panel.

struct Out {
    @builtin(position) position: vec4<f32>,
    @location(0) uv: vec2<f32>,
}

@group(1) @binding(0) var pixels: texture_2d<f32>;
@group(1) @binding(1) var pixel_sampler: sampler;

@vertex
fn vertex(
    @builtin(vertex_index) index: u32,
    @location(0) a: vec2<f32>,
    @location(1) b: vec2<f32>,
    @location(2) panel_index: u32,
) -> Out {
    let clip = unpack_clip(panels[panel_index].clip);
    let low = round(project(panel_index, vec3(a, 0.0)).xy);
    let high = round(project(panel_index, vec3(b, 0.0)).xy);
    let unit = 0.5 + 0.5 * corner(index);
    let px = clamp(mix(low, high, unit), clip.xy, clip.zw);

    var out: Out;
    out.uv = (px - low) / (high - low);
    out.position = clip_from_px(px);
    return out;
}

@fragment
fn fragment(in: Out) -> @location(0) vec4<f32> {
    return premultiplied(textureSample(pixels, pixel_sampler, in.uv), 1.0);
}
