//! Rows of words to blocks and labels: each word on its own ground, wrapped to a width.

use crate::{
    geometry::Rect,
    labels::PlacedLabel,
    projection::Projection,
    scene::{Block, GlyphRow},
    text::{LINE, text_width},
};

/// Space left and right of a word, in font sizes.
const PADDING: f32 = 0.3;
/// From line to line, in font sizes.
const LEADING: f32 = 1.7;

/// Width and height of a row, in layout units.
pub(crate) fn extent(row: &GlyphRow) -> [f32; 2] {
    cells(row)
        .iter()
        .fold([0.0, 0.0], |[w, h], rect| [w.max(rect.max[0]), h.max(rect.max[1])])
}

/// Where each cell is, from the row's left top, in layout units.
fn cells(row: &GlyphRow) -> Vec<Rect> {
    let (mut left, mut top) = (0.0, 0.0);
    let place = |cell: &crate::scene::Cell| {
        let width = text_width(&cell.text, row.size, false) + 2.0 * PADDING * row.size;
        if left > 0.0 && left + width > row.width {
            left = 0.0;
            top += LEADING * row.size;
        }
        let rect = Rect::new(left, top, width, (LEADING - 0.2) * row.size);
        left += width + 0.1 * row.size;
        rect
    };
    row.cells.iter().map(place).collect()
}

/// The grounds of every cell; their words are added to `labels`. Rows keep their size whatever the zoom.
#[cfg_attr(
    not(any(feature = "svg", feature = "wgpu")),
    allow(dead_code, reason = "called by what draws")
)]
pub(crate) fn lay_out(rows: &[GlyphRow], projection: &Projection, labels: &mut Vec<PlacedLabel>) -> Vec<Block> {
    let mut blocks = Vec::new();
    for row in rows {
        let Some(place) = projection.panels.get(usize::from(row.panel)) else {
            continue;
        };
        let scale = projection.scale;
        let [x, y, _] = place.px_from_data.apply([row.position[0], row.position[1], 0.0]);
        for (cell, rect) in row.cells.iter().zip(cells(row)) {
            let at = |corner: [f32; 2]| [x + scale * corner[0], y + scale * corner[1]];
            let px = Rect {
                min: at(rect.min),
                max: at(rect.max),
            };
            let (Some(min), Some(max)) = (
                place.px_from_data.invert_flat(px.min),
                place.px_from_data.invert_flat(px.max),
            ) else {
                continue;
            };
            blocks.push(Block::filled(row.panel, Rect { min, max }, cell.fill).rounded(0.25 * row.size));
            let text = Rect::new(
                px.min[0] + PADDING * row.size * scale,
                px.center()[1] - 0.5 * LINE * row.size * scale,
                px.width() - 2.0 * PADDING * row.size * scale,
                LINE * row.size * scale,
            );
            labels.push(PlacedLabel {
                text: cell.text.clone(),
                rect: text,
                align: 0.0,
                clip: place.clip,
                size: row.size,
                scale,
                bold: false,
                color: cell.color,
                halo: None,
            });
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Color, Scene, ViewState, scene::Cell};

    #[test]
    fn words_wrap_and_never_overlap() {
        let cells = "a row of some words that is longer than the width it was given"
            .split(' ')
            .map(|word| Cell {
                text: word.into(),
                fill: Color::default(),
                color: Color::default(),
            });
        let row = GlyphRow {
            panel: 0,
            position: [10.0, 20.0],
            size: 10.0,
            width: 120.0,
            cells: cells.collect(),
        };
        let [width, height] = extent(&row);
        assert!(width <= 120.0 && height > 30.0);
        let scene = Scene::new([200.0, 200.0], Color::default());
        let projection = Projection::new(&scene, &ViewState::default(), [400.0, 400.0]);
        let mut labels = Vec::new();
        let blocks = lay_out(&[row], &projection, &mut labels);
        assert_eq!((blocks.len(), labels.len()), (14, 14));
        assert_eq!(blocks[0].min, [10.0, 20.0]);
        for (i, a) in labels.iter().enumerate() {
            assert!(labels[..i].iter().all(|b| !a.rect.overlaps(&b.rect)));
            let block = Rect {
                min: blocks[i].min.map(|v| 2.0 * v),
                max: blocks[i].max.map(|v| 2.0 * v),
            };
            assert!(block.contains(a.rect.center()) && a.rect.width() < block.width());
        }
    }
}
