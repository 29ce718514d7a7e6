//! Shuffled positions: the tokens of a sequence have each other's.

use attn_core::{ModelInfo, Side, model::AttentionInfo};

use super::batch::Lengths;
use crate::{
    Error, Result,
    intervene::{Edit, Intervention},
    random::Random,
};

/// The stacks that attend to themselves, which are those that are told positions.
pub(crate) fn positioned_sides(info: &ModelInfo) -> impl Iterator<Item = Side> {
    let own = info.attentions.iter().map(|info| info.attention);
    own.filter(|attention| attention.query_side() == attention.key_side())
        .map(|attention| attention.query_side())
}

/// Gives the tokens of each of some sequences each other's positions. The order depends on the seed and the
/// sequence's length, not on what it is batched with.
pub(super) fn shuffled(
    info: &ModelInfo,
    seed: u64,
    sequences: &[usize],
    lengths: &[Lengths],
) -> Result<Vec<Intervention>> {
    let by_offset =
        |info: &&AttentionInfo| info.relative_bias.is_some() || info.alibi.is_some() || info.relative_vectors.is_some();
    if let Some(by_offset) = info.attentions.iter().find(by_offset) {
        return Err(Error::Intervention {
            place: format!("shuffled positions, {}", by_offset.attention),
            expected: "a model that gives every token its position".to_owned(),
            found: "one with scores per offset between tokens".to_owned(),
        });
    }
    let mut edits = Vec::new();
    for side in positioned_sides(info) {
        for (&sequence, lengths) in sequences.iter().zip(lengths) {
            let length = lengths.of(side);
            let order = Random::new(seed, length as u64).permutation(length);
            edits.push(Edit::ShufflePositions { side, order }.in_sequences(sequence));
        }
    }
    Ok(edits)
}
