//! What the rows and columns of a pass's tensors are about: which sequence, and which of its tokens.

use std::collections::BTreeMap;

use attn_core::{Attention, ModelInfo, Side};

use crate::{
    Inputs, Site,
    inputs::{batch_size, id_rows},
    start::Start,
};

/// What the tensors of one forward pass are about: a row of the batch is of a sequence, a column is of one of its tokens.
///
/// A model tells its tap before each pass ([`Tap::begin`](crate::Tap::begin)), so that a tap can mean the same token in
/// every batch and in every step of generation. Tokens are counted over the real ones of their sequence, from 0; padding
/// has no position. In a step of generation the rows are running beams, each of one of the sequences that were given, and
/// the pass computes the tokens from [`first`](Self::first) on.
///
/// ```
/// use attn_core::Side;
/// use attn_models::layout::Layout;
///
/// let layout = Layout::whole(2);
/// assert_eq!((layout.rows(), layout.sequence(1)), (2, 1));
/// assert_eq!(layout.position(Side::Decoder, 1, 4), Some(4));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    sequences: Vec<usize>,
    /// Sequences that were given: some may have no row in this pass.
    given: usize,
    encoder: Columns,
    decoder: Columns,
    /// The layer that runs first, of each stack of which some do not run.
    starts: BTreeMap<Side, usize>,
}

/// The tokens of one side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Columns {
    /// For each row the position of each column. Empty without padding: a column is then its position.
    positions: Vec<Vec<Option<usize>>>,
    /// Columns that earlier steps have computed.
    first: usize,
    /// Whether other passes may have other tokens.
    open: bool,
}

impl Layout {
    /// A batch of that many sequences, all of their tokens, without padding.
    pub fn whole(rows: usize) -> Self {
        Self {
            sequences: (0..rows).collect(),
            given: rows,
            encoder: Columns::default(),
            decoder: Columns::default(),
            starts: BTreeMap::new(),
        }
    }

    /// A pass over all tokens of some inputs. Masks that are no masks are left to the model, which refuses them.
    pub(crate) fn of(info: &ModelInfo, inputs: &Inputs) -> Self {
        let columns = |mask| match id_rows("attention_mask", mask) {
            Ok(Some(rows)) => Columns::masked(&rows),
            _ => Columns::default(),
        };
        // Frames and patches are not what a mask of samples or of another input counts.
        let text = inputs.input_ids.is_some();
        let main = match text {
            true => columns(inputs.attention_mask.as_ref()),
            false => Columns::default(),
        };
        let (encoder, decoder) = if info.attention(Attention::Cross).is_some() {
            (main, columns(inputs.decoder_attention_mask.as_ref()))
        } else if info.attention(Attention::DecoderSelf).is_some() {
            (Columns::default(), main)
        } else {
            (main, Columns::default())
        };
        Self {
            encoder,
            decoder,
            ..Self::whole(batch_size(inputs))
        }
    }

    /// The same of a generation: each row is of one of `given` sequences, the first `first` tokens are known from earlier
    /// steps, and more may follow.
    pub(crate) fn generating(self, sequences: Vec<usize>, given: usize, first: usize) -> Self {
        let decoder = Columns {
            first,
            open: true,
            ..self.decoder
        };
        Self {
            sequences,
            given,
            decoder,
            ..self
        }
    }

    /// The same of one batch of a data set of `given` sequences, where others may be longer.
    pub(crate) fn batch(self, sequences: &[usize], given: usize) -> Self {
        Self {
            sequences: sequences.to_vec(),
            given,
            ..self.open()
        }
    }

    /// The same as one pass of several, of which others may have more tokens: [`is_open`](Self::is_open) on both sides. For taps
    /// whose edits are about inputs of any length.
    pub fn open(self) -> Self {
        let open = |columns| Columns { open: true, ..columns };
        Self {
            encoder: open(self.encoder),
            decoder: open(self.decoder),
            ..self
        }
    }

    /// The same of a pass that starts at a layer.
    pub(crate) fn starting(self, start: &Start) -> Self {
        Self {
            starts: start.layers(),
            ..self
        }
    }

    /// Whether a site lies in a layer below the [start](crate::start::Start) of this pass, which does not run. No tap is called
    /// there, so an edit of it is no mistake.
    pub fn leaves_out(&self, site: Site) -> bool {
        self.starts.get(&site.side()).is_some_and(|&first| site.layer < first)
    }

    /// Rows of the batch.
    pub fn rows(&self) -> usize {
        self.sequences.len()
    }

    /// Sequences that were given to the model, the generator or the capture. Some may have no row in this pass.
    pub fn sequences(&self) -> usize {
        self.given
    }

    /// The sequence that a row is of.
    pub fn sequence(&self, row: usize) -> usize {
        self.sequences.get(row).copied().unwrap_or(row)
    }

    /// The first column of a side that this pass computes: above 0 in later steps of generation.
    pub fn first(&self, side: Side) -> usize {
        self.of_side(side).first
    }

    /// Whether other passes have tokens of a side that this one does not have: later steps of a generation, other batches of
    /// a capture. A position that no sequence here has is then no mistake.
    pub fn is_open(&self, side: Side) -> bool {
        self.of_side(side).open
    }

    /// Which token of its sequence a column is; `None` for padding. Columns are counted over all tokens so far, those of
    /// earlier steps included.
    pub fn position(&self, side: Side, row: usize, column: usize) -> Option<usize> {
        match self.of_side(side).positions.get(row) {
            Some(positions) => positions.get(column).copied().flatten(),
            None => Some(column),
        }
    }

    /// The positions of `count` columns from `first` on, which are the last of a side: one row for all where there is no
    /// padding, else one per row. Where a mask counts something else than these columns (that of a text beside an image),
    /// a column is its position.
    pub(crate) fn positions(&self, side: Side, first: usize, count: usize) -> Vec<Vec<Option<usize>>> {
        let width = first.saturating_add(count);
        match self.of_side(side).positions.as_slice() {
            rows if rows.first().is_some_and(|row| row.len() == width) => {
                rows.iter().map(|row| row[first..].to_vec()).collect()
            }
            _ => vec![(first..width).map(Some).collect()],
        }
    }

    fn of_side(&self, side: Side) -> &Columns {
        match side {
            Side::Encoder => &self.encoder,
            Side::Decoder => &self.decoder,
        }
    }
}

impl Columns {
    fn masked(mask: &[Vec<u32>]) -> Self {
        if mask.iter().flatten().all(|&real| real == 1) {
            return Self::default();
        }
        let positions = mask.iter().map(|row| {
            let mut next = 0;
            let place = |&real: &u32| {
                (real == 1).then(|| {
                    next += 1;
                    next - 1
                })
            };
            row.iter().map(place).collect()
        });
        Self {
            positions: positions.collect(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_real_tokens() {
        let columns = Columns::masked(&[vec![0, 0, 1, 1], vec![1, 1, 1, 0]]);
        let layout = Layout {
            decoder: columns,
            ..Layout::whole(2)
        };
        let position = |row, column| layout.position(Side::Decoder, row, column);
        assert_eq!(
            [0, 1, 2, 3].map(|column| position(0, column)),
            [None, None, Some(0), Some(1)]
        );
        assert_eq!(
            [0, 1, 2, 3].map(|column| position(1, column)),
            [Some(0), Some(1), Some(2), None]
        );
        assert_eq!(
            layout.positions(Side::Decoder, 2, 2),
            [[Some(0), Some(1)], [Some(2), None]]
        );
        // An image has other columns than its text, and the other side has no padding.
        assert_eq!(layout.positions(Side::Decoder, 0, 2), [[Some(0), Some(1)]]);
        assert_eq!(layout.positions(Side::Encoder, 1, 2), [[Some(1), Some(2)]]);
    }
}
