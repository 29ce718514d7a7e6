//! The two columns of words, queries on the left and keys on the right, and the lines between them: the same for a whole
//! sentence and for a part of a long text.

use super::SentenceToken;
use crate::{
    Color,
    color::Colors,
    geometry::Rect,
    scene::{Block, Curve, Label, Layer, Path, Point, Region, Shape},
    text::{shorten, text_width},
};

/// Between a word and its mark, and between the mark and the lines.
pub(super) const GAP: f32 = 7.0;

pub(in crate::plots) fn line_color(colors: &Colors) -> Color {
    colors.query.mix(colors.text, 0.55)
}

/// How a token is drawn.
pub(super) struct TokenState {
    pub(super) hidden: bool,
    pub(super) isolated: bool,
    /// How much it has to do with the isolated one, 0 to 1.
    pub(super) related: f32,
}

/// Where the two columns are.
pub(super) struct Columns {
    /// Right end of the queries' words, left end of the keys'.
    pub(super) query_end: f32,
    pub(super) key_start: f32,
    pub(super) width: [f32; 2],
    pub(super) top: f32,
    pub(super) row: f32,
    pub(super) word: f32,
    /// Every so many rows have their word written.
    pub(super) every: f32,
}

impl Columns {
    pub(super) fn middle(&self, row: usize) -> f32 {
        self.top + (row as f32 + 0.5) * self.row
    }

    /// Where a row's word is.
    pub(super) fn place(&self, key: bool, row: usize) -> Rect {
        let (width, top) = (self.width[usize::from(key)], self.middle(row) - 0.5 * self.row);
        let left = if key { self.key_start } else { self.query_end - width };
        Rect::new(left, top, width, self.row)
    }

    pub(super) fn curve(&self, panel: u16, query: usize, key: usize, weight: f32, color: Color) -> Curve {
        let (from, to) = (
            [self.query_end + 2.0 * GAP, self.middle(query)],
            [self.key_start - 2.0 * GAP, self.middle(key)],
        );
        let bend = 0.42 * (to[0] - from[0]);
        let path = Path::Cubic([from, [from[0] + bend, from[1]], [to[0] - bend, to[1]], to]);
        // At most a third of the row, so that neighbors stay apart.
        Curve {
            panel,
            path,
            color,
            width: (0.8 + 1.8 * weight).min(0.4 * self.row.max(2.0)),
        }
    }

    pub(super) fn token(
        &self,
        layer: &mut Layer,
        panel: u16,
        id: usize,
        token: &SentenceToken,
        key: bool,
        row: usize,
        state: TokenState,
        colors: &Colors,
    ) {
        let middle = self.middle(row);
        let kind = if key { colors.key } else { colors.query };
        let faint = if state.hidden { 0.3 } else { 1.0 };
        let width = self.width[usize::from(key)];
        let rect = self.place(key, row);
        let ground = if state.isolated { 0.35 } else { 0.45 * state.related };
        if ground > 0.004 {
            let padded = Rect {
                min: [rect.min[0] - 4.0, rect.min[1] + 0.5],
                max: [rect.max[0] + 4.0, rect.max[1] - 0.5],
            };
            layer
                .blocks
                .push(Block::filled(panel, padded, kind.alpha(ground)).rounded(3.0));
        }
        let at = if key {
            self.key_start - GAP
        } else {
            self.query_end + GAP
        };
        let shape = if key { Shape::Diamond } else { Shape::Disc };
        let size = (0.16 * self.row).clamp(0.3, 1.0);
        layer.points.push(
            Point::new(panel, [at, middle, 0.0], kind.alpha(faint), Point::UNPICKABLE)
                .shaped(shape)
                .sized(size),
        );
        if state.isolated || (row as f32 / self.every).fract() < 0.5 / self.every {
            let color = if token.special { colors.muted } else { colors.text };
            let (text_at, align) = if key { (rect.min[0], 0.0) } else { (rect.max[0], 1.0) };
            let text = shorten(&token.text, self.word, false, width + 1.0);
            let mut label =
                Label::new(panel, [text_at, middle], text, self.word, color.alpha(faint)).aligned(align, 0.5);
            label.grows = 2.5;
            label.bold = state.isolated;
            layer.labels.push(label);
        }
        // Word and mark; up to the lines.
        let reach = match key {
            false => Rect {
                min: rect.min,
                max: [rect.max[0] + 2.0 * GAP, rect.max[1]],
            },
            true => Rect {
                min: [rect.min[0] - 2.0 * GAP, rect.min[1]],
                max: rect.max,
            },
        };
        layer.regions.push(Region::token(panel, reach, id));
    }
}

/// Width of the widest of some words.
pub(super) fn widest(tokens: &[SentenceToken], size: f32) -> f32 {
    let widths = tokens.iter().map(|token| text_width(&token.text, size, false));
    widths.fold(0.0, f32::max)
}
