// Straight lines: one instance each, a quad along the projected line, its coverage as a distance to the axis.

struct Out {
    @builtin(position) position: vec4<f32>,
    // Pixels along and across the line, from its start.
    @location(0) local: vec2<f32>,
    @location(1) color: vec4<f32>,
    // Length, half width at the start and at the end, in pixels.
    @location(2) @interpolate(flat) extent: vec3<f32>,
    @location(3) @interpolate(flat) clip: vec4<f32>,
}

@vertex
fn vertex(
    @builtin(vertex_index) index: u32,
    @location(0) start: vec3<f32>,
    @location(1) end: vec3<f32>,
    @location(2) color: vec4<f32>,
    @location(3) panel_index: u32,
    @location(4) width: vec2<f32>,
    @location(5) gap: vec2<f32>,
) -> Out {
    let panel = panels[panel_index];
    let a = project(panel_index, start);
    let b = project(panel_index, end);
    let whole = max(length(b.xy - a.xy), 0.001);
    let along = (b.xy - a.xy) / whole;
    let across = vec2(-along.y, along.x);
    let from_px = a.xy + along * gap.x * globals.scale;
    let extent = max(whole - (gap.x + gap.y) * globals.scale, 0.0);

    let half = 0.5 * width * globals.scale;
    let reach = max(half.x, half.y) + 1.0;
    let c = corner(index);
    let t = select(-1.0, extent + 1.0, c.x > 0.0);

    var out: Out;
    out.local = vec2(t, c.y * reach);
    out.extent = vec3(extent, half);
    out.clip = unpack_clip(panel.clip);
    let cue = depth_cue(select(a.z, b.z, c.x > 0.0));
    let near = select(1.0, cue, (panel.point & SPACE) != 0u);
    out.color = target_color(vec4(color.rgb, color.a * near));
    out.position = clip_from_px(from_px + along * t + across * out.local.y);
    if extent <= 0.0 || a.z <= 0.0 || b.z <= 0.0 {
        out.position = vec4(2.0, 2.0, 2.0, 1.0);
    }
    return out;
}

@fragment
fn fragment(in: Out) -> @location(0) vec4<f32> {
    if outside(in.position.xy, in.clip) {
        discard;
    }
    let t = clamp(in.local.x / in.extent.x, 0.0, 1.0);
    let half = mix(in.extent.y, in.extent.z, t);
    // Lines thinner than a pixel are a pixel wide, paler.
    let across = clamp(max(half, 0.5) + 0.5 - abs(in.local.y), 0.0, 1.0) * min(2.0 * half, 1.0);
    let ends = clamp(in.local.x + 0.5, 0.0, 1.0) * clamp(in.extent.x - in.local.x + 0.5, 0.0, 1.0);
    return premultiplied(in.color, across * ends);
}
