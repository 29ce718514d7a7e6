// Places of panels, and colors. Every shader begins with this file.

struct Globals {
    // Width and height of the target in pixels.
    size: vec2<f32>,
    // Pixels per layout unit.
    scale: f32,
    // 1 if the target expects linear colors, 0 if sRGB bytes.
    linear: f32,
}

// Read by nearly every vertex, so kept short: on software rasterizers each word costs as much as the arithmetic.
struct Panel {
    // Flat panels: px = offset + scale * (x, y), y reversed if UP.
    offset: vec2<f32>,
    scale: f32,
    // Point radius in 1/256 pixel (16 bits), point opacity (8), flags (2), opacity of dimmed points (6).
    point: u32,
    // Left and top, right and bottom, in whole pixels, 16 bits each.
    clip: vec2<u32>,
}

// Panels in three dimensions: rows of px_from_data, x * w, y * w and w.
struct Rows {
    x: vec4<f32>,
    y: vec4<f32>,
    w: vec4<f32>,
}

@group(0) @binding(0) var<uniform> globals: Globals;
@group(0) @binding(1) var<storage, read> panels: array<Panel>;
@group(0) @binding(2) var<storage, read> rows: array<Rows>;

const UP: u32 = 0x1000000u;
const SPACE: u32 = 0x2000000u;

fn project_flat(panel: Panel, position: vec2<f32>) -> vec2<f32> {
    let down = select(1.0, -1.0, (panel.point & UP) != 0u);
    return panel.offset + panel.scale * position * vec2(1.0, down);
}

fn project_space(index: u32, position: vec3<f32>) -> vec3<f32> {
    let row = rows[index];
    let p = vec4(position, 1.0);
    let w = dot(row.w, p);
    return vec3(dot(row.x, p) / w, dot(row.y, p) / w, w);
}

// Pixel position and w.
fn project(index: u32, position: vec3<f32>) -> vec3<f32> {
    let panel = panels[index];
    if (panel.point & SPACE) != 0u {
        return project_space(index, position);
    }
    return vec3(project_flat(panel, position.xy), 1.0);
}

// Left, top, right, bottom in pixels.
fn unpack_clip(clip: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(vec4(clip.x & 0xFFFFu, clip.x >> 16u, clip.y & 0xFFFFu, clip.y >> 16u));
}

fn clip_from_px(px: vec2<f32>) -> vec4<f32> {
    let unit = 2.0 * px / globals.size - 1.0;
    return vec4(unit.x, -unit.y, 0.0, 1.0);
}

// Corner 0 to 3 of a strip, in -1 to 1.
fn corner(vertex: u32) -> vec2<f32> {
    return vec2(f32(vertex & 1u), f32(vertex >> 1u)) * 2.0 - 1.0;
}

// Visibility of a point of a cloud by its w: 1 at the near side, less towards the far side.
fn depth_cue(w: f32) -> f32 {
    // 3.5: eye distance in radii of the data.
    return 1.0 - 0.6 * clamp(0.5 - 1.75 * (1.0 - w), 0.0, 1.0);
}

// An sRGB color as the target expects it, still with straight alpha.
fn target_color(srgb: vec4<f32>) -> vec4<f32> {
    if globals.linear == 0.0 {
        return srgb;
    }
    let low = srgb.rgb / 12.92;
    let high = pow((srgb.rgb + 0.055) / 1.055, vec3(2.4));
    return vec4(select(high, low, srgb.rgb <= vec3(0.04045)), srgb.a);
}

fn premultiplied(color: vec4<f32>, coverage: f32) -> vec4<f32> {
    let alpha = color.a * coverage;
    return vec4(color.rgb * alpha, alpha);
}

fn outside(px: vec2<f32>, clip: vec4<f32>) -> bool {
    return any(px < clip.xy) || any(px >= clip.zw);
}
