// Curves: strokes tessellated once in data coordinates; their width is added here, so that a camera move needs no
// new vertices.

struct Out {
    @builtin(position) position: vec4<f32>,
    // Pixels from the axis, signed, and half the width.
    @location(0) across: f32,
    @location(1) @interpolate(flat) half: f32,
    @location(2) @interpolate(flat) color: vec4<f32>,
    @location(3) @interpolate(flat) clip: vec4<f32>,
}

@vertex
fn vertex(
    @location(0) position: vec2<f32>,
    // Points away from the axis, to this vertex' side.
    @location(1) normal: vec2<f32>,
    // Width in layout units, and +1 or -1 for the side.
    @location(2) width_side: vec2<f32>,
    @location(3) color: vec4<f32>,
    @location(4) panel_index: u32,
) -> Out {
    let panel = panels[panel_index];
    let p = project(panel_index, vec3(position, 0.0));
    let half = 0.5 * width_side.x * globals.scale;
    let reach = max(half, 0.5) + 0.5;
    let px = p.xy + normal * vec2(1.0, select(1.0, -1.0, (panel.point & UP) != 0u)) * reach;

    var out: Out;
    out.across = width_side.y * reach;
    out.half = half;
    out.color = target_color(color);
    out.clip = unpack_clip(panel.clip);
    out.position = clip_from_px(px);
    return out;
}

@fragment
fn fragment(in: Out) -> @location(0) vec4<f32> {
    if outside(in.position.xy, in.clip) {
        discard;
    }
    let coverage = clamp(max(in.half, 0.5) + 0.5 - abs(in.across), 0.0, 1.0) * min(2.0 * in.half, 1.0);
    return premultiplied(in.color, coverage);
}
