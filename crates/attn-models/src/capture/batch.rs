//! The batches of a capture, and the tap that writes the tensors of a batch to the store.

use attn_core::{
    CaptureWriter, Sequence, Side,
    capture::{CaptureOptions, Slot},
};
use candle_core::{DType, Tensor};

use crate::{Error, Point, Result, Site, Tap};

/// Token slots from which a batch is large enough for the products to run at full speed, so that padding costs more
/// than another batch.
const ENOUGH: usize = 256;

/// Batches of sequences of similar length, short ones first, each of at most `slots` token slots (but at least one
/// sequence). A batch that is large enough takes no sequence that would make more than a sixteenth of it padding.
pub(crate) fn buckets(mut pending: Vec<usize>, lengths: &[usize], slots: usize) -> Vec<Vec<usize>> {
    pending.sort_by_key(|&at| (lengths[at], at));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    // Tokens and slots of the last batch.
    let (mut tokens, mut used) = (0, 0);
    for at in pending {
        // The new one is the longest so far.
        let length = lengths[at];
        let after = batches.last().map_or(0, |batch| (batch.len() + 1) * length);
        let padding = after.saturating_sub(tokens + length);
        match batches.last_mut() {
            Some(batch) if after <= slots && (used < ENOUGH || 16 * padding <= after) => {
                batch.push(at);
                (tokens, used) = (tokens + length, after);
            }
            _ => {
                batches.push(vec![at]);
                (tokens, used) = (length, length);
            }
        }
    }
    batches
}

/// How many tokens a sequence has on each side.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lengths {
    pub(crate) encoder: usize,
    pub(crate) decoder: usize,
}

impl Lengths {
    pub(crate) fn of_sequence(sequence: &Sequence) -> Self {
        Self {
            encoder: sequence.encoder.len(),
            decoder: sequence.decoder.len(),
        }
    }

    /// The larger of two on each side.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            encoder: self.encoder.max(other.encoder),
            decoder: self.decoder.max(other.decoder),
        }
    }

    pub(crate) fn of(self, side: Side) -> usize {
        match side {
            Side::Encoder => self.encoder,
            Side::Decoder => self.decoder,
        }
    }

    pub(crate) fn sum(&self) -> usize {
        self.encoder + self.decoder
    }
}

/// The tap that writes a batch to the store.
pub(crate) struct Store<'a> {
    pub(crate) writer: &'a CaptureWriter,
    /// The sequences of the batch.
    pub(crate) batch: &'a [usize],
    pub(crate) lengths: &'a [Lengths],
    pub(crate) options: CaptureOptions,
}

impl Store<'_> {
    /// Writes `[batch, heads, tokens, width]`, whose tokens are those of `side`, without its padding.
    pub(crate) fn write(&self, slot: Slot, side: Side, tensor: &Tensor) -> Result<()> {
        let (_, heads, tokens, width) = tensor.dims4()?;
        let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let mut real = Vec::new();
        for ((&sequence, &length), values) in self
            .batch
            .iter()
            .zip(self.lengths)
            .zip(values.chunks(heads * tokens * width))
        {
            let length = length.of(side);
            if length == tokens {
                self.writer.write(slot, sequence, values)?;
                continue;
            }
            real.clear();
            for head in values.chunks(tokens * width) {
                real.extend_from_slice(&head[..length * width]);
            }
            self.writer.write(slot, sequence, &real)?;
        }
        Ok(())
    }

    /// Writes a table `[1, heads, rows, width]`, which all sequences share.
    fn write_table(&self, site: Site, tensor: &Tensor) -> Result<()> {
        if tensor.dim(0)? != 1 {
            return Err(Error::Intervention {
                place: site.to_string(),
                expected: "the same vectors of offsets in all sequences of a capture".to_owned(),
                found: "changes in some of them".to_owned(),
            });
        }
        if let Some(slot) = table(site) {
            let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            self.writer.write_table(slot, &values)?;
        }
        Ok(())
    }
}

/// The table of a site that has one.
fn table(site: Site) -> Option<Slot> {
    let Site {
        attention,
        layer,
        point,
    } = site;
    match point {
        Point::OffsetKey => Some(Slot::OffsetKey { attention, layer }),
        Point::OffsetQuery => Some(Slot::OffsetQuery { attention, layer }),
        _ => None,
    }
}

impl Tap for Store<'_> {
    fn wants(&self, site: Site) -> bool {
        match site.point {
            // What reads the last layer of a vision model has no rows of tokens.
            Point::Query | Point::Key | Point::Value => {
                let own = self.writer.plan().model.attention(site.attention);
                self.options.attention && own.is_some_and(|own| own.heads_of(site.layer) > 0)
            }
            // A table is the same in every batch.
            Point::OffsetKey | Point::OffsetQuery => table(site).is_some_and(|slot| self.writer.lacks_table(slot)),
            Point::Hidden => self.options.hidden,
            _ => false,
        }
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        let Site {
            attention,
            layer,
            point,
        } = site;
        match point {
            Point::Query => self.write(Slot::Query { attention, layer }, attention.query_side(), &tensor)?,
            Point::Key => self.write(Slot::Key { attention, layer }, attention.key_side(), &tensor)?,
            Point::Value => self.write(Slot::Value { attention, layer }, attention.key_side(), &tensor)?,
            Point::OffsetKey | Point::OffsetQuery => self.write_table(site, &tensor)?,
            Point::Hidden => self.write(
                Slot::Hidden {
                    side: site.side(),
                    layer,
                },
                site.side(),
                &tensor.unsqueeze(1)?,
            )?,
            _ => {}
        }
        Ok(tensor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_every_sequence_once_and_stay_within_their_slots() {
        let lengths = [5, 70, 3, 8, 8, 1, 30, 6];
        let batches = buckets((0..8).collect(), &lengths, 32);
        let mut seen: Vec<usize> = batches.concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..8).collect::<Vec<_>>());
        for batch in &batches {
            let longest = batch.iter().map(|&at| lengths[at]).max().unwrap();
            assert!(batch.len() == 1 || batch.len() * longest <= 32);
        }
        // By hand: 1, 3, 5, 6 (4 x 6 = 24), 8, 8 (2 x 8, a third would be 30), 30, 70.
        assert_eq!(batches, [vec![5, 2, 0, 7], vec![3, 4], vec![6], vec![1]]);
    }

    #[test]
    fn large_batches_are_hardly_padded() {
        let lengths: Vec<usize> = (0..600).map(|at| 10 + at * 7 % 17).collect();
        let batches = buckets((0..600).collect(), &lengths, 2048);
        let slots = |batch: &Vec<usize>| batch.len() * batch.iter().map(|&at| lengths[at]).max().unwrap();
        let (used, tokens): (usize, usize) = (batches.iter().map(slots).sum(), lengths.iter().sum());
        assert!(batches.iter().all(|batch| slots(batch) <= 2048));
        assert!(16 * (used - tokens) <= used, "{used} slots for {tokens} tokens");
        // And they are not cut to pieces for it.
        assert!(batches.len() < 20, "{}", batches.len());
    }
}
