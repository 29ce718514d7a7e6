//! Control models: a model that lacks one thing, its training or its positions.
//!
//! A capture of a control beside that of the model shows what a head owes to what is missing. Probing studies compare
//! with random encoders in the same way (Zhang and Bowman 2018; Hewitt and Liang 2019).

use std::{fmt, str::FromStr};

use attn_core::ModelInfo;

use crate::{
    Capturer, Checkpoint, Error, Gradients, Model, Result, Weights,
    capture::positioned_sides,
    intervene::{Edit, Intervention},
};

/// A control model.
///
/// ```
/// use attn_models::control::Control;
///
/// assert_eq!("position-free".parse::<Control>()?, Control::PositionFree);
/// assert_eq!(Control::ShuffledPositions.to_string(), "shuffled positions");
/// # Ok::<(), attn_models::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Control {
    /// The same architecture with fresh weights. Its heads show what tokens, positions and architecture alone do.
    Untrained,
    /// The tokens of every sequence have each other's positions. What heads do by position goes wrong, what they do by
    /// content stays.
    ShuffledPositions,
    /// The model is not told where tokens stand.
    PositionFree,
}

impl Control {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Untrained, Self::ShuffledPositions, Self::PositionFree];

    /// The name in options and files: `untrained`, `shuffled-positions`, `position-free`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Untrained => "untrained",
            Self::ShuffledPositions => "shuffled-positions",
            Self::PositionFree => "position-free",
        }
    }

    /// The control of a checkpoint's model, ready to capture; its name is that of both. The same `seed` gives the same
    /// control.
    ///
    /// # Errors
    /// As [`Capturer::load`]. A model without positions, or with positions by offset, cannot be deprived of them; its
    /// capture is an [`Error::Intervention`].
    pub fn capturer(self, checkpoint: &Checkpoint, seed: u64) -> Result<Capturer> {
        let checkpoint = checkpoint.clone().named(format!("{}, {self}", checkpoint.name()));
        match self {
            Self::Untrained => {
                let model = Model::load_from(&checkpoint, &Weights::initialize(seed), Gradients::Off)?;
                Capturer::with_model(&checkpoint, model, format!("untrained {seed}"))
            }
            Self::ShuffledPositions => Ok(Capturer::load(&checkpoint)?.with_shuffled_positions(seed)),
            Self::PositionFree => {
                let capturer = Capturer::load(&checkpoint)?;
                let removed = removed(capturer.model().info());
                Ok(capturer.with_interventions(removed))
            }
        }
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untrained => "untrained",
            Self::ShuffledPositions => "shuffled positions",
            Self::PositionFree => "position-free",
        })
    }
}

impl FromStr for Control {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // The name it had in earlier versions.
        if text == "no-positions" {
            return Ok(Self::PositionFree);
        }
        let found = Self::ALL.into_iter().find(|control| control.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::parameter("control", format!("one of {names}"), format!("`{text}`"))
        })
    }
}

fn removed(info: &ModelInfo) -> Vec<Intervention> {
    positioned_sides(info)
        .map(|side| Edit::RemovePositions { side }.into())
        .collect()
}
