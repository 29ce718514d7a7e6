//! Twins of a model that lack one thing: what it learnt, or where tokens stand. Beside them one sees what a head's picture owes to
//! which (as probing studies compare with random encoders: Zhang and Bowman 2018; Hewitt and Liang 2019).

use std::{fmt, str::FromStr};

use attn_core::{ModelInfo, Side};

use crate::{
    Capturer, Checkpoint, Edit, Error, Gradients, Intervention, Model, Result, Weights, batch::Lengths, random::Random,
};

/// A model with something taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Twin {
    /// The same architecture with fresh weights: what tokens, positions and architecture alone make of heads.
    Untrained,
    /// Tokens of every sequence have each other's positions: what heads do by position goes wrong, what they do by content stays.
    ShuffledPositions,
    /// The model is not told where tokens stand.
    NoPositions,
}

impl Twin {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Untrained, Self::ShuffledPositions, Self::NoPositions];

    /// Its name on a command line: `untrained`, `shuffled-positions`, `no-positions`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Untrained => "untrained",
            Self::ShuffledPositions => "shuffled-positions",
            Self::NoPositions => "no-positions",
        }
    }

    /// The twin of a checkpoint's model, ready to capture; it is called after both. The same `seed` gives the same twin.
    ///
    /// ```
    /// use attn_models::Twin;
    ///
    /// assert_eq!("no-positions".parse(), Ok(Twin::NoPositions));
    /// assert_eq!(Twin::ShuffledPositions.to_string(), "shuffled positions");
    /// ```
    ///
    /// # Errors
    /// As [`Capturer::load`]. What a model without positions, or with positions by offset, cannot be deprived of shows when it captures:
    /// [`Error::Intervention`].
    pub fn capturer(self, checkpoint: &Checkpoint, seed: u64) -> Result<Capturer> {
        let checkpoint = checkpoint.clone().named(format!("{}, {self}", checkpoint.name()));
        if self == Self::Untrained {
            let model = Model::load_from(&checkpoint, &Weights::initialise(seed), Gradients::Off)?;
            return Capturer::with_model(&checkpoint, model, format!("untrained {seed}"));
        }
        let mut capturer = Capturer::load(&checkpoint)?;
        match self {
            Self::ShuffledPositions => capturer.shuffled_positions = Some(seed),
            _ => capturer.interventions = removed(capturer.model().info()),
        }
        Ok(capturer)
    }
}

impl fmt::Display for Twin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untrained => "untrained",
            Self::ShuffledPositions => "shuffled positions",
            Self::NoPositions => "no positions",
        })
    }
}

impl FromStr for Twin {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let names = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|twin| twin.name() == text);
        found.ok_or_else(|| format!("expected one of {names}, found `{text}`"))
    }
}

/// The stacks that attend to themselves, which are those that are told positions.
fn sides(info: &ModelInfo) -> impl Iterator<Item = Side> {
    let own = info.attentions.iter().map(|info| info.attention);
    own.filter(|attention| attention.query_side() == attention.key_side())
        .map(|attention| attention.query_side())
}

fn removed(info: &ModelInfo) -> Vec<Intervention> {
    sides(info).map(|side| Edit::RemovePositions { side }.into()).collect()
}

/// Gives the tokens of each sequence of a batch each other's positions. The deal depends on the seed and the sequence's length, not on
/// what it is batched with.
pub(crate) fn shuffled(info: &ModelInfo, seed: u64, lengths: &[Lengths]) -> Result<Vec<Intervention>> {
    if let Some(by_offset) = info.attentions.iter().find(|info| info.relative_bias.is_some()) {
        return Err(Error::Intervention {
            place: format!("shuffled positions, {}", by_offset.attention),
            expected: "a model that gives every token its position".to_owned(),
            found: "one with a bias per offset between tokens".to_owned(),
        });
    }
    let mut edits = Vec::new();
    for side in sides(info) {
        for (row, lengths) in lengths.iter().enumerate() {
            let length = lengths.of(side);
            let order = Random::new(seed, length as u64).permutation(length);
            edits.push(Edit::ShufflePositions { side, order }.in_sequences(row));
        }
    }
    Ok(edits)
}
