//! Where the heads of a model go in a grid: layers top to bottom, heads left to right, their names at the borders. An
//! encoder-decoder has three attentions: three grids, which stand side by side where that makes the cells larger.

use std::collections::BTreeSet;

use attn_core::{Attention, HeadId};

use crate::{
    color::Colors,
    geometry::Rect,
    scene::Label,
    text::{LINE, text_width},
};

/// Room for the names of rows and columns of a stack that is alone.
const NAMES: [f32; 2] = [26.0, 16.0];
/// Between cells, as a fraction of their side.
const GAP: f32 = 0.07;
/// Between stacks, as a fraction of a cell's side; more where their names need it.
const APART: f32 = 0.5;
/// The smallest and the largest font size of names.
const FONT: [f32; 2] = [6.5, 11.0];
/// From the names of rows and columns to the cells.
const AWAY: [f32; 2] = [6.0, 3.0];

/// The heads of one attention: layers and heads that occur, ascending.
struct Stack {
    attention: Attention,
    layers: Vec<usize>,
    heads: Vec<usize>,
}

/// The stacks of a model: encoder, decoder, cross.
fn stacks(heads: impl Iterator<Item = HeadId>) -> Vec<Stack> {
    fn ascending(numbers: impl Iterator<Item = usize>) -> Vec<usize> {
        numbers.collect::<BTreeSet<_>>().into_iter().collect()
    }
    let mut heads: Vec<HeadId> = heads.collect();
    heads.sort_unstable();
    heads
        .chunk_by(|a, b| a.attention == b.attention)
        .map(|of_one| Stack {
            attention: of_one[0].attention,
            layers: ascending(of_one.iter().map(|head| head.layer)),
            heads: ascending(of_one.iter().map(|head| head.head)),
        })
        .collect()
}

/// Before the names of rows, where there are several attentions.
fn kind(attention: Attention) -> &'static str {
    match attention {
        Attention::EncoderSelf => "e",
        Attention::DecoderSelf => "d",
        Attention::Cross => "×",
    }
}

/// What the names of rows mean where a model has several attentions, for the end of a caption.
pub(super) fn names_note(heads: impl Iterator<Item = HeadId>) -> String {
    let stacks = stacks(heads);
    if stacks.len() < 2 {
        return String::new();
    }
    let told: Vec<String> = stacks
        .iter()
        .map(|stack| {
            let what = match stack.attention {
                Attention::EncoderSelf => "a layer of the encoder",
                Attention::DecoderSelf => "a layer of the decoder",
                Attention::Cross => "queries of the decoder, keys of the encoder",
            };
            format!("{}L: {what}", kind(stack.attention))
        })
        .collect();
    format!(" {}.", told.join("; "))
}

/// The size that heads take with their names in the squarest arrangement. `side` gives a cell's side for the larger number of
/// cells across and down, `note` the height of a note under a cell of a side.
pub(super) fn natural_size(
    heads: impl Iterator<Item = HeadId>,
    side: impl FnOnce(f32) -> f32,
    note: impl FnOnce(f32) -> f32,
) -> [f32; 2] {
    let arrangement = Arrangement::best(&stacks(heads), |arrangement| {
        -arrangement.count(0).max(arrangement.count(1))
    });
    let counts = [0, 1].map(|axis| arrangement.count(axis));
    let side = side(counts[0].max(counts[1]).max(1.0));
    let pitch = [0.0, note(side)].map(|note| (1.0 + GAP) * side + note);
    [0, 1].map(|axis| counts[axis] * pitch[axis] + arrangement.names[axis] + arrangement.apart(axis, side))
}

/// Stacks in columns and rows, filled left to right, then down.
struct Arrangement {
    /// Cells across each column of stacks, and down each row of stacks.
    cells: [Vec<usize>; 2],
    /// Room for the names left of a stack and above it.
    names: [f32; 2],
}

impl Arrangement {
    /// At most `across` stacks side by side.
    fn new(stacks: &[Stack], across: usize) -> Self {
        let most = |sizes: &mut dyn Iterator<Item = usize>| sizes.max().unwrap_or(0);
        let columns =
            (0..across).map(|column| most(&mut stacks.iter().skip(column).step_by(across).map(|s| s.heads.len())));
        let rows = stacks
            .chunks(across)
            .map(|row| most(&mut row.iter().map(|s| s.layers.len())));
        Self {
            cells: [columns.collect(), rows.collect()],
            names: room_for_names(stacks),
        }
    }

    /// The one of most worth, with the fewest stacks side by side at ties.
    fn best(stacks: &[Stack], worth: impl Fn(&Self) -> f32) -> Self {
        (2..=stacks.len())
            .map(|across| Self::new(stacks, across))
            .fold(Self::new(stacks, 1), |best, next| {
                if worth(&next) > worth(&best) { next } else { best }
            })
    }

    /// Cells across or down.
    fn count(&self, axis: usize) -> f32 {
        self.cells[axis].iter().sum::<usize>() as f32
    }

    fn gaps(&self, axis: usize) -> f32 {
        self.cells[axis].len().saturating_sub(1) as f32
    }

    /// From one stack to the next.
    fn gap(&self, axis: usize, side: f32) -> f32 {
        (APART * side).max(self.names[axis])
    }

    /// What all gaps between stacks take.
    fn apart(&self, axis: usize, side: f32) -> f32 {
        self.gaps(axis) * self.gap(axis, side)
    }

    /// The largest side at which the cells fit into `room`.
    fn largest(&self, axis: usize, room: f32) -> f32 {
        let (cells, gaps) = (sides(&self.cells[axis]), self.gaps(axis));
        // Whichever gap is the larger one, both leave room for it.
        (room / (cells + gaps * APART)).min((room - gaps * self.names[axis]) / cells)
    }

    /// The largest side in a content of this room.
    fn side(&self, room: [f32; 2], note: impl Fn(f32) -> f32) -> f32 {
        let largest = self.largest(0, room[0]).min(self.largest(1, room[1]));
        // A note may need more lines under a smaller cell, and the cell more room for them.
        let mut side = largest;
        for _ in 0..4 {
            side = side.min(self.largest(1, room[1] - self.count(1) * note(side)));
        }
        side.max(2.0)
    }

    /// From the first column or row of stacks to that of this index.
    fn start(&self, axis: usize, index: usize, side: f32, note: f32) -> f32 {
        let before = &self.cells[axis][..index];
        let cells = before.iter().sum::<usize>() as f32;
        side * sides(before) + cells * note + index as f32 * self.gap(axis, side)
    }
}

/// What the cells of stacks take with the gaps among them, in sides of a cell.
fn sides(cells: &[usize]) -> f32 {
    cells
        .iter()
        .map(|count| *count as f32)
        .map(|count| count + GAP * (count - 1.0))
        .sum()
}

/// Names of several stacks keep as far from what is before them as from their own stack.
fn room_for_names(stacks: &[Stack]) -> [f32; 2] {
    if stacks.len() < 2 {
        return NAMES;
    }
    let widest = stacks
        .iter()
        .flat_map(|stack| stack.layers.iter().map(|layer| row_name(stack, *layer, true)))
        .map(|name| text_width(&name, FONT[1], false))
        .fold(0.0, f32::max);
    [widest + 2.0 * AWAY[0], LINE * FONT[1] + 2.0 * AWAY[1]]
}

fn row_name(stack: &Stack, layer: usize, several: bool) -> String {
    let kind = if several { kind(stack.attention) } else { "" };
    format!("{kind}L{layer}")
}

/// Square cells, as large as fit.
pub(super) struct HeadLayout {
    /// Each with the left upper corner of its cells.
    stacks: Vec<(Stack, [f32; 2])>,
    /// Side of a cell.
    pub(super) side: f32,
    /// From a cell to the next.
    pitch: [f32; 2],
}

impl HeadLayout {
    /// Lays the heads out in `content`, in cells of at most the side `most`; `note` is the height that a note under a cell of
    /// a side takes.
    pub(super) fn new(
        heads: impl Iterator<Item = HeadId>,
        content: Rect,
        most: f32,
        note: impl Fn(f32) -> f32,
    ) -> Self {
        let stacks = stacks(heads);
        let names = room_for_names(&stacks);
        let room = [content.width() - names[0] - 2.0, content.height() - names[1] - 2.0];
        let side_in = |arrangement: &Arrangement| arrangement.side(room, &note).min(most);
        let arrangement = Arrangement::best(&stacks, side_in);
        let side = side_in(&arrangement);
        let note = note(side);
        let taken = |axis: usize| side * sides(&arrangement.cells[axis]) + arrangement.apart(axis, side);
        let left = content.min[0] + names[0] + 0.5 * (room[0] - taken(0)).max(0.0);
        let spare = room[1] - taken(1) - arrangement.count(1) * note;
        let top = content.min[1] + names[1] + (0.5 * spare).clamp(0.0, 10.0);
        let across = arrangement.cells[0].len();
        let stacks = stacks.into_iter().enumerate().map(|(index, stack)| {
            let corner = [
                left + arrangement.start(0, index % across, side, 0.0),
                top + arrangement.start(1, index / across, side, note),
            ];
            (stack, corner)
        });
        Self {
            stacks: stacks.collect(),
            side,
            pitch: [side + GAP * side, side + note + GAP * side],
        }
    }

    fn cell(&self, corner: [f32; 2], row: usize, column: usize) -> Rect {
        let left = corner[0] + column as f32 * self.pitch[0];
        let top = corner[1] + row as f32 * self.pitch[1];
        Rect::new(left, top, self.side, self.side)
    }

    /// The cell of a head that was laid out.
    pub(super) fn cell_of(&self, head: HeadId) -> Option<Rect> {
        let (stack, corner) = self
            .stacks
            .iter()
            .find(|(stack, _)| stack.attention == head.attention)?;
        let row = stack.layers.binary_search(&head.layer).ok()?;
        let column = stack.heads.binary_search(&head.head).ok()?;
        Some(self.cell(*corner, row, column))
    }

    /// The names of rows and columns of every stack, in the panel `ground`, in a font of this fraction of a cell's side. Names
    /// that would touch are left out, every second, third, ...
    pub(super) fn names(&self, ground: u16, share: f32, colors: &Colors) -> Vec<Label> {
        let size = (share * self.side).clamp(FONT[0], FONT[1]);
        let name = |position, text: String| {
            let mut label = Label::new(ground, position, text, size, colors.muted);
            label.grows = 1.5;
            label
        };
        let several = self.stacks.len() > 1;
        let mut labels = Vec::new();
        for (stack, corner) in &self.stacks {
            let rows = stack.layers.iter().enumerate().map(|(row, layer)| {
                let at = [corner[0] - AWAY[0], self.cell(*corner, row, 0).center()[1]];
                name(at, row_name(stack, *layer, several)).aligned(1.0, 0.5)
            });
            labels.extend(rows.step_by(every(LINE * size, self.pitch[1])));
            let columns = stack.heads.iter().enumerate().map(|(column, head)| {
                let at = [self.cell(*corner, 0, column).center()[0], corner[1] - AWAY[1]];
                name(at, format!("H{head}")).aligned(0.5, 1.0)
            });
            let widest = stack
                .heads
                .last()
                .map_or(0.0, |head| text_width(&format!("H{head}"), size, false));
            labels.extend(columns.step_by(every(widest + 2.0, self.pitch[0])));
        }
        labels
    }
}

/// Of names that are `long`, how many cells after one the next can be.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn every(long: f32, pitch: f32) -> usize {
    ((long / pitch).ceil() as usize).max(1)
}

#[cfg(test)]
mod tests;
