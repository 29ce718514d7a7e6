// Rectangles: one instance each, snapped to whole pixels so that frames are crisp and neighbors leave no seam.

struct Out {
    @builtin(position) position: vec4<f32>,
    // Pixels from the middle.
    @location(0) local: vec2<f32>,
    @location(1) @interpolate(flat) fill: vec4<f32>,
    @location(2) @interpolate(flat) stroke: vec4<f32>,
    // Half size, corner radius, border width, in pixels.
    @location(3) @interpolate(flat) extent: vec4<f32>,
}

@vertex
fn vertex(
    @builtin(vertex_index) index: u32,
    @location(0) a: vec2<f32>,
    @location(1) b: vec2<f32>,
    @location(2) fill: vec4<f32>,
    @location(3) stroke: vec4<f32>,
    @location(4) panel_index: u32,
    @location(5) radius: f32,
    @location(6) stroke_width: f32,
) -> Out {
    let clip = unpack_clip(panels[panel_index].clip);
    let p = project(panel_index, vec3(a, 0.0)).xy;
    let q = project(panel_index, vec3(b, 0.0)).xy;
    let low = round(min(p, q));
    let high = max(round(max(p, q)), low + 1.0);
    let middle = 0.5 * (low + high);
    let half = 0.5 * (high - low);
    let px = clamp(middle + corner(index) * half, clip.xy, clip.zw);

    var out: Out;
    out.local = px - middle;
    out.fill = target_color(fill);
    out.stroke = target_color(stroke);
    let border = select(max(round(stroke_width * globals.scale), 1.0), 0.0, stroke_width <= 0.0);
    out.extent = vec4(half, min(radius * globals.scale, min(half.x, half.y)), border);
    out.position = clip_from_px(px);
    return out;
}

@fragment
fn fragment(in: Out) -> @location(0) vec4<f32> {
    let radius = in.extent.z;
    let q = abs(in.local) - in.extent.xy + radius;
    let distance = length(max(q, vec2(0.0))) + min(max(q.x, q.y), 0.0) - radius;
    let inside = clamp(0.5 - distance, 0.0, 1.0);
    // Share of this pixel that the border takes.
    let border = select(0.0, clamp(distance + in.extent.w + 0.5, 0.0, 1.0), in.extent.w > 0.0);
    return premultiplied(in.fill, inside * (1.0 - border)) + premultiplied(in.stroke, inside * border);
}
