// Points: one triangle each, around the outline, which is a signed distance. A triangle costs rasterizers less than a
// quad, and points read by index cost less than instances of so few vertices.

// Whether points are summed up for `mixed.wgsl` instead of drawn.
override MIXED: bool = false;

struct Out {
    @builtin(position) position: vec4<f32>,
    // Pixels from the point's middle.
    @location(0) local: vec2<f32>,
    // Red and green, blue and alpha in 16 bits each; radius in 1/256 pixel over shape (4 bits).
    @location(1) @interpolate(flat) color_shape: vec3<u32>,
    @location(2) @interpolate(flat) clip: vec2<u32>,
}

@vertex
fn vertex(@builtin(vertex_index) index: u32) -> Out {
    let point = points[index / 3u];
    let panel_index = point.bits & 0xFFFFu;
    let panel = panels[panel_index];
    let flags = point.bits >> 24u;
    let shape = flags & 0xFu;
    let place = placed(point, panel_index, panel);
    let wanted = place.radius;
    let px = place.px;
    var alpha = f32((panel.point >> 16u) & 0xFFu) / 255.0;
    if (flags & SOLID) != 0u {
        alpha = 0.9;
    }
    alpha *= place.near;
    let hidden = (flags & (HIDDEN | PATCH)) != 0u || place.behind;
    // A disc of less than one pixel is drawn as one pixel, paler.
    let radius = clamp(wanted, 0.5, 255.0);
    alpha *= min(wanted * wanted * 4.0, 1.0);
    if !MIXED && (flags & DIMMED) != 0u {
        alpha *= f32(panel.point >> 26u) / 63.0;
    }
    // Corners of a triangle around the circle that holds the outline and its soft edge.
    let reach = radius * select(1.0, 1.26, shape == 1u || shape == 3u) + 0.5;
    let third = index % 3u;
    let way = select(vec2(select(-1.7320508, 1.7320508, third == 1u), -1.0), vec2(0.0, 2.0), third == 2u);

    var out: Out;
    out.local = way * reach;
    out.position = clip_from_px(px + out.local);
    let color = target_color(unpack4x8unorm(point.color) * vec4(1.0, 1.0, 1.0, alpha));
    out.color_shape = vec3(pack2x16unorm(color.rg), pack2x16unorm(color.ba), (u32(radius * 256.0) << 4u) | shape);
    out.clip = panel.clip;
    let clip = unpack_clip(panel.clip);
    if hidden || any(px + reach < clip.xy) || any(px - reach > clip.zw) {
        // Outside of the target: nothing is rasterized.
        out.position = vec4(2.0, 2.0, 2.0, 1.0);
    }
    return out;
}

@fragment
fn fragment(in: Out) -> @location(0) vec4<f32> {
    let p = in.local;
    let r = f32(in.color_shape.z >> 4u) / 256.0;
    var distance = length(p) - r;
    switch in.color_shape.z & 0xFu {
        case 0u: {}
        // Half the diagonal is 1.25 r, which gives the area of the disc.
        case 1u: { distance = (abs(p.x) + abs(p.y) - 1.25 * r) * 0.70710678; }
        case 2u: {
            let width = max(0.4 * r, 1.0);
            distance = abs(distance + 0.5 * width) - 0.5 * width;
        }
        default: { distance = max(abs(p.x), abs(p.y)) - 0.886 * r; }
    }
    let coverage = select(clamp(0.5 - distance, 0.0, 1.0), 0.0, outside(in.position.xy, unpack_clip(in.clip)));
    let color = vec4(unpack2x16unorm(in.color_shape.x), unpack2x16unorm(in.color_shape.y));
    if MIXED {
        return optical_depth(color.a * coverage) * vec4(color.rgb, 1.0);
    }
    return premultiplied(color, coverage);
}

// The transparency of several points is the product of theirs. Its logarithm is a sum, which has no order.
fn optical_depth(opacity: f32) -> f32 {
    return -log(1.0 - min(opacity, 0.999));
}
