//! The primitives, one function each, with the measures of the shaders.

use std::fmt::Write as _;

use super::markup::Markup;
use crate::{
    geometry::Rect,
    projection::{PanelPlace, Projection},
    scene::{Axes, Block, Curve, Edge, Panel, PatchStyle, Path, Point, Shape},
};

/// Largest reach of a point, in radii.
const REACH: f32 = 1.26;

fn finite(values: &[f32]) -> bool {
    // Far beyond any page renderers lose precision.
    values.iter().all(|v| v.abs() < 1e6)
}

/// Whether a point's middle is in its panel; `false` for hidden points and panels that do not exist.
pub(super) fn in_sight(point: &Point, projection: &Projection) -> bool {
    projection.panels.get(point.panel()).is_some_and(|place| {
        let [x, y, w] = place.px_from_data.apply(point.position);
        w > 0.0 && !point.is_hidden() && place.clip.contains([x, y])
    })
}

/// Visibility at a depth, as `depth_cue` of the shaders.
fn depth_cue(w: f32) -> f32 {
    1.0 - 0.6 * (0.5 - 1.75 * (1.0 - w)).clamp(0.0, 1.0)
}

/// Place, radius and nearness of a point; the nearness is 1 in the plane.
struct Seen {
    x: f32,
    y: f32,
    radius: f32,
    near: f32,
}

/// Returns `None` for an invisible point.
fn seen(point: &Point, panel: &Panel, place: &PanelPlace) -> Option<Seen> {
    let [x, y, w] = place.px_from_data.apply(point.position);
    if point.is_hidden() || w <= 0.0 || !finite(&[x, y]) {
        return None;
    }
    let mut radius = panel.point_radius * place.zoom.max(0.0).powf(0.4) * point.size();
    let mut near = 1.0;
    if panel.axes == Axes::Space {
        near = depth_cue(w);
        radius *= (0.7 + 0.3 * near) / w;
    }
    let reach = REACH * radius;
    let around = Rect::new(x - reach, y - reach, 2.0 * reach, 2.0 * reach);
    let drawn = radius > 0.0 && finite(&[radius]) && place.clip.overlaps(&around);
    drawn.then_some(Seen { x, y, radius, near })
}

/// A part of an image, drawn in place of a point.
pub(super) struct Patch {
    /// Number of the image.
    pub(super) number: usize,
    /// Width and height of the image in pixels.
    pub(super) sheet: [u32; 2],
    pub(super) part: [u16; 4],
    pub(super) style: PatchStyle,
}

pub(super) fn patch(body: &mut Markup, point: &Point, patch: &Patch, panel: &Panel, place: &PanelPlace, dimmed: f32) {
    let Some(Seen { x, y, radius, near }) = seen(point, panel, place) else {
        return;
    };
    let half = 1.25 * radius;
    let solid = point.color.alpha(1.0);
    let mut opacity = f32::from(point.color.0[3]) / 255.0 * (0.5 + 0.5 * near);
    if point.is_dimmed() {
        opacity *= dimmed;
    }
    let rect = Rect::new(x - half, y - half, 2.0 * half, 2.0 * half);
    body.text.push_str("<g");
    body.number("opacity", opacity);
    body.text.push_str("><svg");
    body.rect(rect);
    let ([left, top, width, height], [across, down]) = (patch.part, patch.sheet);
    let _ = writeln!(
        body.text,
        " viewBox=\"{left} {top} {width} {height}\" preserveAspectRatio=\"none\"><use href=\"#i{}\" \
         transform=\"scale({across} {down})\"/></svg>",
        patch.number
    );
    let (frame, tint) = patch.style.frame_and_tint();
    if tint > 0.0 {
        body.text.push_str("<rect");
        body.rect(rect);
        body.faded("fill", solid, tint);
        body.text.push_str("/>\n");
    }
    if frame > 0.0 {
        let frame = frame.min(0.4 * half);
        body.text.push_str("<rect fill=\"none\"");
        body.rect(rect.shrink(0.5 * frame));
        body.color("stroke", solid);
        body.number("stroke-width", frame);
        body.text.push_str("/>\n");
    }
    body.text.push_str("</g>\n");
}

pub(super) fn point(body: &mut Markup, point: &Point, panel: &Panel, place: &PanelPlace, dimmed: f32) {
    let Some(Seen { x, y, radius, near }) = seen(point, panel, place) else {
        return;
    };
    let mut opacity = if point.is_solid() {
        Point::SOLID_OPACITY
    } else {
        panel.point_opacity
    };
    opacity *= near;
    if point.is_dimmed() {
        opacity *= dimmed;
    }
    let fill = |body: &mut Markup| {
        body.faded("fill", point.color, opacity);
        body.text.push_str("/>\n");
    };
    match point.shape() {
        Shape::Disc => {
            body.text.push_str("<circle");
            circle(body, [x, y], radius);
            fill(body);
        }
        Shape::Ring => {
            let width = (0.4 * radius).max(1.0).min(radius);
            body.text.push_str("<circle fill=\"none\"");
            circle(body, [x, y], radius - 0.5 * width);
            body.faded("stroke", point.color, opacity);
            body.number("stroke-width", width);
            body.text.push_str("/>\n");
        }
        Shape::Diamond => {
            let half = 1.25 * radius;
            body.text.push_str("<path d=\"M");
            body.position([x, y - half]);
            for by in [[half, half], [-half, half], [-half, -half]] {
                body.text.push('l');
                body.position(by);
            }
            body.text.push_str("z\"");
            fill(body);
        }
        Shape::Square => {
            let half = 0.886 * radius;
            body.text.push_str("<rect");
            body.rect(Rect::new(x - half, y - half, 2.0 * half, 2.0 * half));
            fill(body);
        }
    }
}

fn circle(body: &mut Markup, [x, y]: [f32; 2], radius: f32) {
    body.number("cx", x);
    body.number("cy", y);
    body.number("r", radius);
}

pub(super) fn block(body: &mut Markup, block: &Block, place: &PanelPlace) {
    let corner = |p: [f32; 2]| place.px_from_data.apply([p[0], p[1], 0.0]);
    let ([ax, ay, _], [bx, by, _]) = (corner(block.min), corner(block.max));
    let rect = Rect {
        min: [ax.min(bx), ay.min(by)],
        max: [ax.max(bx), ay.max(by)],
    };
    let stroked = block.stroke_width > 0.0 && block.stroke.0[3] > 0;
    if !finite(&[ax, ay, bx, by]) || !place.clip.overlaps(&rect) || !(stroked || block.fill.0[3] > 0) {
        return;
    }
    // The border lies inside.
    let inset = if stroked { 0.5 * block.stroke_width } else { 0.0 };
    body.text.push_str("<rect");
    body.rect(rect.shrink(inset));
    let radius = (block.radius - inset).min(0.5 * rect.width()).min(0.5 * rect.height());
    if radius > 0.0 {
        body.number("rx", radius);
    }
    if block.fill.0[3] > 0 {
        body.color("fill", block.fill);
    } else {
        body.text.push_str(" fill=\"none\"");
    }
    if stroked {
        body.color("stroke", block.stroke);
        body.number("stroke-width", block.stroke_width);
    }
    body.text.push_str("/>\n");
}

pub(super) fn curve(body: &mut Markup, curve: &Curve, place: &PanelPlace) {
    let points: &[[f32; 2]] = match &curve.path {
        Path::Cubic(points) => points,
        Path::Line(points) => points,
    };
    let px = |p: &[f32; 2]| {
        let [x, y, _] = place.px_from_data.apply([p[0], p[1], 0.0]);
        [x, y]
    };
    let usable = points.len() > 1 && points.iter().all(|p| finite(&px(p)));
    if !usable || curve.width <= 0.0 || !curve.width.is_finite() {
        return;
    }
    body.text.push_str("<path fill=\"none\" d=\"M");
    for (index, point) in points.iter().enumerate() {
        if index == 1 {
            // Maps of flat panels are affine: the control points of the image are the images of the control points.
            body.text
                .push(if matches!(curve.path, Path::Cubic(_)) { 'C' } else { 'L' });
        }
        body.position(px(point));
    }
    body.text.push('"');
    body.color("stroke", curve.color);
    body.number("stroke-width", curve.width);
    body.text.push_str(" stroke-linejoin=\"bevel\"/>\n");
}

pub(super) fn edge(body: &mut Markup, edge: &Edge, place: &PanelPlace, space: bool) {
    let ([ax, ay, aw], [bx, by, bw]) = (place.px_from_data.apply(edge.from), place.px_from_data.apply(edge.to));
    let whole = (bx - ax).hypot(by - ay);
    let length = whole - edge.gap[0] - edge.gap[1];
    let visible = finite(&[ax, ay, bx, by, edge.width[0], edge.width[1]]) && aw > 0.0 && bw > 0.0;
    if !visible || length.is_nan() || length <= 0.0 {
        return;
    }
    let way = [(bx - ax) / whole, (by - ay) / whole];
    let along = |t: f32| [ax + t * way[0], ay + t * way[1]];
    let (from, to) = (along(edge.gap[0]), along(edge.gap[0] + length));
    let opacity = if space {
        0.5 * (depth_cue(aw) + depth_cue(bw))
    } else {
        1.0
    };
    if edge.width[0] == edge.width[1] {
        body.text.push_str("<line");
        for (name, value) in [("x1", from[0]), ("y1", from[1]), ("x2", to[0]), ("y2", to[1])] {
            body.number(name, value);
        }
        body.faded("stroke", edge.color, opacity);
        body.number("stroke-width", edge.width[0]);
    } else {
        let side = |p: [f32; 2], by: f32| [p[0] - by * way[1], p[1] + by * way[0]];
        let (a, b) = (0.5 * edge.width[0], 0.5 * edge.width[1]);
        body.text.push_str("<path d=\"M");
        body.position(side(from, a));
        for corner in [side(to, b), side(to, -b), side(from, -a)] {
            body.text.push('L');
            body.position(corner);
        }
        body.text.push_str("z\"");
        body.faded("fill", edge.color, opacity);
    }
    body.text.push_str("/>\n");
}

/// A use of the embedded image `number`, which is one unit a side.
pub(super) fn picture(body: &mut Markup, rect: Rect, number: usize, place: &PanelPlace) {
    let corner = |p: [f32; 2]| place.px_from_data.apply([p[0], p[1], 0.0]);
    let ([ax, ay, _], [bx, by, _]) = (corner(rect.min), corner(rect.max));
    if !finite(&[ax, ay, bx, by]) || ax == bx || ay == by {
        return;
    }
    let _ = write!(body.text, "<use href=\"#i{number}\" transform=\"translate(");
    body.position([ax, ay]);
    body.text.push_str(") scale(");
    body.position([bx - ax, by - ay]);
    body.text.push_str(")\"/>\n");
}
