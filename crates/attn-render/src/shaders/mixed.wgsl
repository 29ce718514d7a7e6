// The sums of a layer's points as one color per pixel: their mean, as opaque as all of them together.

@group(1) @binding(0) var sums: texture_2d<f32>;

struct Out {
    @builtin(position) position: vec4<f32>,
    @location(0) @interpolate(flat) opacity: f32,
}

// One triangle around the target. The instance index is the opacity of the whole, in 1/255.
@vertex
fn vertex(@builtin(vertex_index) index: u32, @builtin(instance_index) opacity: u32) -> Out {
    var out: Out;
    out.position = vec4(select(-1.0, 3.0, index == 1u), select(-1.0, 3.0, index == 2u), 0.0, 1.0);
    out.opacity = f32(opacity) / 255.0;
    return out;
}

@fragment
fn fragment(in: Out) -> @location(0) vec4<f32> {
    let sum = textureLoad(sums, vec2<i32>(in.position.xy), 0);
    let opacity = in.opacity * (1.0 - exp(-sum.a));
    return vec4(sum.rgb / max(sum.a, 1e-6), 1.0) * opacity;
}
