// The layout of a point and its place on the target, shared by points and patches.

struct Point {
    x: f32,
    y: f32,
    z: f32,
    // sRGB, red in the lowest byte.
    color: u32,
    // Panel (16 bits), size (8), shape and flags (8).
    bits: u32,
    id: u32,
}

@group(1) @binding(0) var<storage, read> points: array<Point>;

// Whether any panel of the scene is in three dimensions; a constant of the pipeline.
override IN_SPACE: bool = false;

// Flags above the shape.
const DIMMED: u32 = 0x10u;
const HIDDEN: u32 = 0x20u;
const SOLID: u32 = 0x40u;
const PATCH: u32 = 0x80u;

struct Placed {
    px: vec2<f32>,
    // In pixels.
    radius: f32,
    // 1 at the near side of a cloud and in the plane, less towards the far side.
    near: f32,
    behind: bool,
}

fn placed(point: Point, panel_index: u32, panel: Panel) -> Placed {
    let radius = f32(panel.point & 0xFFFFu) / 256.0 * f32((point.bits >> 16u) & 0xFFu) / 32.0;
    if IN_SPACE && (panel.point & SPACE) != 0u {
        let p = project_space(panel_index, vec3(point.x, point.y, point.z));
        let near = depth_cue(p.z);
        return Placed(p.xy, radius * mix(0.7, 1.0, near) / p.z, near, p.z <= 0.0);
    }
    return Placed(project_flat(panel, vec2(point.x, point.y)), radius, 1.0, false);
}

