//! Where the heads of a model go in a grid: layers top to bottom, heads left to right, their names at the borders.

use attn_core::{Attention, HeadId};

use crate::{Colors, Label, Rect};

/// Room for the names of rows and columns.
pub(super) const NAMES: [f32; 2] = [26.0, 16.0];
/// Between cells, as a fraction of their side.
pub(super) const GAP: f32 = 0.07;

/// Rows (a kind of attention and a layer) and columns (heads) that occur, ascending.
pub(super) fn rows_and_columns(heads: impl Iterator<Item = HeadId>) -> (Vec<(Attention, usize)>, Vec<usize>) {
    let (mut rows, mut columns): (Vec<_>, Vec<_>) = heads.map(|head| ((head.attention, head.layer), head.head)).unzip();
    rows.sort_unstable();
    rows.dedup();
    columns.sort_unstable();
    columns.dedup();
    (rows, columns)
}

/// Square cells, as large as fit.
pub(super) struct HeadLayout {
    rows: Vec<(Attention, usize)>,
    columns: Vec<usize>,
    left: f32,
    top: f32,
    /// Side of a cell.
    pub(super) side: f32,
    gap: f32,
    /// Height under each cell for its note.
    note: f32,
}

impl HeadLayout {
    /// Lays the heads out in `content`; `note` is the height that a note under a cell of a side takes.
    pub(super) fn new(heads: impl Iterator<Item = HeadId>, content: Rect, note: impl Fn(f32) -> f32) -> Self {
        let (rows, columns) = rows_and_columns(heads);
        let (across, down) = (columns.len() as f32, rows.len() as f32);
        // In units of one cell's side, without the notes.
        let width = across + GAP * (across - 1.0);
        let height = down + GAP * (down - 1.0);
        let room = [content.width() - NAMES[0] - 2.0, content.height() - NAMES[1] - 2.0];
        let largest = (room[0] / width).min(room[1] / height);
        let side = largest.min((room[1] - down * note(largest)) / height).max(2.0);
        let left = content.min[0] + NAMES[0] + 0.5 * (room[0] - side * width).max(0.0);
        let spare = room[1] - side * height - down * note(side);
        let top = content.min[1] + NAMES[1] + (0.5 * spare).clamp(0.0, 10.0);
        Self {
            rows,
            columns,
            left,
            top,
            side,
            gap: GAP * side,
            note: note(side),
        }
    }

    fn cell(&self, row: usize, column: usize) -> Rect {
        let left = self.left + column as f32 * (self.side + self.gap);
        let top = self.top + row as f32 * (self.side + self.note + self.gap);
        Rect::new(left, top, self.side, self.side)
    }

    /// The cell of a head that was laid out.
    pub(super) fn cell_of(&self, head: HeadId) -> Option<Rect> {
        let row = self.rows.binary_search(&(head.attention, head.layer)).ok()?;
        let column = self.columns.binary_search(&head.head).ok()?;
        Some(self.cell(row, column))
    }

    /// The names of rows and columns, in the panel `ground`.
    pub(super) fn names(&self, ground: u16, colors: &Colors) -> Vec<Label> {
        let size = (0.13 * self.side).clamp(6.5, 11.0);
        let name = |position, text: String| {
            let mut label = Label::new(ground, position, text, size, colors.muted);
            label.grows = 1.5;
            label
        };
        let several = self.rows.iter().any(|(attention, _)| *attention != self.rows[0].0);
        let mut labels = Vec::new();
        for (row, (attention, index)) in self.rows.iter().enumerate() {
            let kind = match attention {
                _ if !several => "",
                Attention::EncoderSelf => "e",
                Attention::DecoderSelf => "d",
                Attention::Cross => "×",
            };
            let at = [self.left - 6.0, self.cell(row, 0).center()[1]];
            labels.push(name(at, format!("{kind}L{index}")).aligned(1.0, 0.5));
        }
        for (column, index) in self.columns.iter().enumerate() {
            let at = [self.cell(0, column).center()[0], self.top - 3.0];
            labels.push(name(at, format!("H{index}")).aligned(0.5, 1.0));
        }
        labels
    }
}
