//! What appears under the pointer: a frame around a head, a ring around a point, a box with words.
//!
//! Everything goes to [`Scene::overlay`], so that the scene behind it, and its buffers, stay as they are.

use attn_core::HeadId;

use super::kit::frame_marked;
use crate::{
    Area, Color, Interaction, Pick, Plot, Scene, Target, ViewState,
    color::Colors,
    geometry::Rect,
    pick::Hit,
    plot::Tooltip,
    projection::Projection,
    rows,
    scene::{Axes, Block, Cell, Curve, GlyphRow, Label, Path, Point, Shape},
    text::{LINE, text_width},
};

/// Removes everything from the overlay.
pub fn clear(scene: &mut Scene) {
    let overlay = &mut scene.overlay;
    overlay.blocks.clear();
    overlay.curves.clear();
    overlay.points.clear();
    overlay.rows.clear();
    overlay.labels.clear();
}

/// Frames a head's panel.
pub fn frame_head(scene: &mut Scene, head: HeadId, colors: &Colors) {
    let Some(panel) = scene.panel_of(head).map(|index| &scene.panels[index]) else {
        return;
    };
    // The page that moves as this panel does.
    let page = scene
        .panels
        .iter()
        .position(|page| page.axes == Axes::Page && page.motion == panel.motion);
    if let Some(page) = page.and_then(|index| u16::try_from(index).ok()) {
        let frame = Block::filled(page, panel.rect, Color::TRANSPARENT).stroked(colors.accent, 2.0);
        scene.overlay.blocks.push(frame);
    }
}

/// Draws a ring around the point that was hit.
pub fn ring(scene: &mut Scene, hit: Hit, colors: &Colors) {
    let Some(point) = hit
        .point
        .and_then(|(layer, index)| scene.layers.get(layer)?.points.get(index).copied())
    else {
        return;
    };
    let radius = scene
        .panels
        .get(point.panel())
        .map_or(1.0, |panel| panel.point_radius)
        .max(0.1);
    // Two and a half units of space around the point, whatever its size.
    let size = point.size() + 3.5 / radius;
    let panel = u16::try_from(point.panel()).unwrap_or(u16::MAX);
    let ring = Point::new(panel, point.position, colors.accent, Point::UNPICKABLE)
        .shaped(Shape::Ring)
        .sized(size);
    scene.overlay.points.push(ring);
}

/// Draws the box or lasso of a selection in progress.
pub fn area(scene: &mut Scene, projection: &Projection, area: &Area, colors: &Colors) {
    let layout = |p: [f32; 2]| [0, 1].map(|axis| (p[axis] - projection.offset[axis]) / projection.scale);
    match area {
        Area::Box(rect) => {
            let rect = Rect {
                min: layout(rect.min),
                max: layout(rect.max),
            };
            let block = Block::filled(0, rect, colors.accent.alpha(0.08)).stroked(colors.accent, 1.0);
            scene.overlay.blocks.push(block);
        }
        Area::Lasso(corners) => {
            let closed = corners.iter().chain(corners.first()).map(|corner| layout(*corner));
            scene.overlay.curves.push(Curve {
                panel: 0,
                path: Path::Line(closed.collect()),
                color: colors.accent,
                width: 1.3,
            });
        }
    }
}

/// Widest row of words, in layout units.
const WIDEST: f32 = 360.0;

/// Shows a box beside `at` (pixels of the target), inside the page.
pub fn tooltip(scene: &mut Scene, projection: &Projection, at: [f32; 2], tooltip: &Tooltip, colors: &Colors) {
    let (title, line, padding, size) = (11.0, 10.0, 8.0, scene.size);
    let most = (size[0] - 4.0 * padding).clamp(40.0, WIDEST);
    let mut row = GlyphRow {
        panel: 0,
        position: [0.0; 2],
        size: line,
        width: most,
        cells: words(tooltip, colors),
    };
    let [row_width, row_height] = rows::extent(&row);
    let title_width = text_width(&tooltip.title, title, true);
    let width = tooltip
        .lines
        .iter()
        .map(|text| text_width(text, line, false))
        .fold(title_width.max(row_width), f32::max);
    let title_height = if tooltip.title.is_empty() {
        0.0
    } else {
        LINE * title + 1.0
    };
    let height = title_height + LINE * line * tooltip.lines.len() as f32 + row_height;
    let (width, height) = (width + 2.0 * padding, height + 2.0 * padding);

    let pointer = [0, 1].map(|axis| (at[axis] - projection.offset[axis]) / projection.scale);
    // Right of and below the pointer; else on its other side; else as near as the page allows.
    let place = |axis: usize, length: f32| {
        let (after, before, last) = (
            pointer[axis] + 14.0,
            pointer[axis] - 14.0 - length,
            size[axis] - 4.0 - length,
        );
        match (after <= last, before >= 4.0) {
            (true, _) => after,
            (false, true) => before,
            (false, false) => last.max(4.0),
        }
    };
    let rect = Rect::new(place(0, width), place(1, height), width, height);
    let ground = colors.background.mix(colors.text, 0.04);
    let overlay = &mut scene.overlay;
    overlay
        .blocks
        .push(Block::filled(0, rect, ground).stroked(colors.frame, 1.0).rounded(4.0));
    let left = rect.min[0] + padding;
    let mut top = rect.min[1] + padding;
    if !tooltip.title.is_empty() {
        overlay
            .labels
            .push(Label::new(0, [left, top], tooltip.title.as_str(), title, colors.text).bold());
        top += title_height;
    }
    for text in &tooltip.lines {
        overlay
            .labels
            .push(Label::new(0, [left, top], text.as_str(), line, colors.muted));
        top += LINE * line;
    }
    if !row.cells.is_empty() {
        row.position = [left, top + 1.0];
        overlay.rows.push(row);
    }
}

/// The words of a tooltip on their grounds.
fn words(tooltip: &Tooltip, colors: &Colors) -> Vec<Cell> {
    let word = |word: &crate::plot::TooltipWord| Cell {
        text: word.text.as_str().into(),
        fill: if word.key { colors.key } else { colors.query }.alpha(word.weight),
        color: if word.itself { colors.accent } else { colors.text },
    };
    tooltip.words.iter().map(word).collect()
}

/// Where the pointer is on the picture of a plot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pointer {
    /// Width and height of the picture, in pixels.
    pub size: [f32; 2],
    /// Where the pointer is, in pixels of the picture.
    pub position: [f32; 2],
    /// What it hits.
    pub hit: Option<Hit>,
}

/// Draws what the pointer is over: the frame of a head, or the ring around a point, and the words that the plot has for it.
/// Where a plot has none, as [`highlight`]. Everything else on the overlay is removed.
pub fn point_out(
    scene: &mut Scene,
    plot: &dyn Plot,
    state: &ViewState,
    interaction: &Interaction,
    pointer: Option<&Pointer>,
) {
    clear(scene);
    let colors = state.colors();
    frame_marked(scene, interaction, &colors);
    let Some(pointer) = pointer else {
        return highlight(scene, state, interaction);
    };
    let head = interaction.head.filter(|_| state.open.is_none());
    let of_head = head.and_then(|head| plot.tooltip(Target::Head(head)));
    let told = match (of_head, head) {
        (Some(told), Some(head)) => {
            frame_head(scene, head, &colors);
            told
        }
        _ => {
            let hit = pointer.hit.and_then(|hit| Some((hit, plot.tooltip(hit.target?)?)));
            let Some((hit, told)) = hit else {
                return highlight(scene, state, interaction);
            };
            ring(scene, hit, &colors);
            told
        }
    };
    let projection = Projection::new(scene, state, pointer.size);
    tooltip(scene, &projection, pointer.position, &told, &colors);
}

/// Frames the head that the pointer is over, and rings the point in every panel of its kind of attention: what linked views
/// show of a pointer that is over another one.
pub fn highlight(scene: &mut Scene, state: &ViewState, interaction: &Interaction) {
    let colors = state.colors();
    if let Some(head) = interaction.head.filter(|_| state.open.is_none()) {
        frame_head(scene, head, &colors);
    }
    let Some(pick) = interaction.pick else { return };
    let same = |head: Option<HeadId>| head.map(|head| head.attention) == pick.head.map(|head| head.attention);
    let mut hits = Vec::new();
    for (layer, points) in scene.layers.iter().map(|layer| &layer.points).enumerate() {
        for (index, point) in points.iter().enumerate().filter(|(_, point)| point.id == pick.id) {
            let head = scene.panels.get(point.panel()).map(|panel| panel.head);
            if let Some(head) = head.filter(|head| same(*head)) {
                hits.push(Hit {
                    panel: point.panel(),
                    target: Some(Target::Point(Pick { head, id: point.id })),
                    point: Some((layer, index)),
                });
            }
        }
    }
    for hit in hits {
        ring(scene, hit, &colors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Theme, ViewState, color::Palette};

    #[test]
    fn boxes_stay_on_the_page() {
        let colors = Colors::new(Theme::Dark, Palette::default());
        let words = "every word of a sentence that is rather long and would not fit into one line of a box".split(' ');
        let cells = words
            .map(|word| crate::plot::TooltipWord {
                text: word.into(),
                weight: 0.5,
                key: true,
                itself: false,
            })
            .collect();
        let tip = Tooltip {
            title: "cat".into(),
            lines: vec!["query 7 of sentence 3".into()],
            words: cells,
        };
        for at in [[0.0, 0.0], [799.0, 2.0], [799.0, 599.0], [400.0, 590.0]] {
            let mut scene = Scene::new([400.0, 300.0], colors.background);
            let projection = Projection::new(&scene, &ViewState::default(), [800.0, 600.0]);
            tooltip(&mut scene, &projection, at, &tip, &colors);
            let block = scene.overlay.blocks[0];
            assert!(block.min[0] >= 0.0 && block.min[1] >= 0.0 && block.max[0] <= 400.0 && block.max[1] <= 300.0);
            clear(&mut scene);
            assert!(
                scene.overlay.blocks.is_empty() && scene.overlay.rows.is_empty() && scene.overlay.labels.is_empty()
            );
        }
    }
}
