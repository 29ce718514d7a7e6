// Patches in place of points: two triangles each. They read the points themselves, so a patch moves, dims and hides with
// its point.

@group(2) @binding(0) var sheet: texture_2d<f32>;
@group(2) @binding(1) var sheet_sampler: sampler;
// First: width of the frame in 1/256 layout unit, tint in 1/256. Then, by id, left and top, width and height, 16 bits each.
@group(2) @binding(2) var<storage, read> parts: array<vec2<u32>>;

struct Out {
    @builtin(position) position: vec4<f32>,
    // Pixels from the patch's middle.
    @location(0) local: vec2<f32>,
    @location(1) @interpolate(flat) color: vec4<f32>,
    // Left, top, width and height in pixels of the sheet.
    @location(2) @interpolate(flat) part: vec4<f32>,
    // Half a side and the width of the frame in pixels, and the tint.
    @location(3) @interpolate(flat) style: vec3<f32>,
}

@vertex
fn vertex(@builtin(vertex_index) index: u32) -> Out {
    let point = points[index / 6u];
    let panel_index = point.bits & 0xFFFFu;
    let panel = panels[panel_index];
    let flags = point.bits >> 24u;
    let place = placed(point, panel_index, panel);
    let px = place.px;
    let half = place.radius * 1.25;
    let color = unpack4x8unorm(point.color);
    var alpha = color.a * mix(0.5, 1.0, place.near);
    let hidden = (flags & (HIDDEN | PATCH)) != PATCH || place.behind || point.id >= arrayLength(&parts) - 1u;
    if (flags & DIMMED) != 0u {
        alpha *= f32(panel.point >> 26u) / 63.0;
    }
    var part = vec2(0u);
    if !hidden {
        part = parts[point.id + 1u];
    }
    let clip = unpack_clip(panel.clip);
    var corners = array<u32, 6>(0u, 1u, 2u, 2u, 1u, 3u);
    let way = corner(corners[index % 6u]);
    // With room for the soft edge.
    let reach = half + 0.5;
    let at = clamp(px + reach * way, clip.xy, clip.zw);

    var out: Out;
    out.local = at - px;
    out.position = clip_from_px(at);
    out.color = target_color(vec4(color.rgb, alpha));
    out.part = vec4<f32>(vec4(part.x & 0xFFFFu, part.x >> 16u, part.y & 0xFFFFu, part.y >> 16u));
    let style = vec2<f32>(parts[0]) / 256.0;
    out.style = vec3(half, min(style.x * globals.scale, 0.4 * half), style.y);
    if hidden || part.y == 0u || half <= 0.0 || any(px + reach < clip.xy) || any(px - reach > clip.zw) {
        // Outside of the target: nothing is rasterized.
        out.position = vec4(2.0, 2.0, 2.0, 1.0);
    }
    return out;
}

@fragment
fn fragment(in: Out) -> @location(0) vec4<f32> {
    let half = in.style.x;
    let frame = in.style.y;
    let inner = clamp(0.5 + 0.5 * in.local / (half - frame), vec2(0.0), vec2(1.0));
    // Half a pixel from the edges: beside them on the sheet are other patches.
    let texel = in.part.xy + clamp(inner * in.part.zw, vec2(0.5), max(in.part.zw - 0.5, vec2(0.5)));
    let pixel = textureSampleLevel(sheet, sheet_sampler, texel / vec2<f32>(textureDimensions(sheet)), 0.0);
    // Depth inside the outline.
    let depth = half - max(abs(in.local.x), abs(in.local.y));
    let framed = select(0.0, clamp(frame - depth + 0.5, 0.0, 1.0), frame > 0.0);
    let color = mix(pixel.rgb, in.color.rgb, max(framed, in.style.z));
    return premultiplied(vec4(color, in.color.a), clamp(depth + 0.5, 0.0, 1.0));
}
