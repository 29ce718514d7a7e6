//! What a training changed most: weights, representations, heads, and what predictions rest on, between any two checkpoints of a
//! model.
//!
//! ```
//! use attn_study::change::{Snapshot, weight_changes};
//!
//! let before = Snapshot::open(attn_embedded::TEXT_ENCODER.checkpoint()?)?;
//! let after = Snapshot::open(attn_embedded::SENTIMENT.checkpoint()?)?;
//! let changes = weight_changes(&before, &after, &())?;
//! assert!(changes.groups[0].relative >= changes.groups[1].relative); // what moved most comes first
//! assert_eq!(changes.heads.len(), 16);
//! # Ok::<(), attn_study::Error>(())
//! ```

mod attributions;
mod importance;
mod plots;
mod scale;
mod similarity;
mod study;
mod weights;

use attn_models::{Capturer, Checkpoint};

pub use self::{
    attributions::{AttributionChange, attribution_changes, flipped},
    importance::{HeadChange, head_change_table, head_changes},
    plots::change_grid,
    scale::{ScaleStep, TENTHS, scale_plot, scale_steps},
    similarity::{LayerSimilarity, layer_similarity},
    study::ChangeStudy,
    weights::{GroupChange, WeightChanges, weight_changes},
};
use crate::Error;

/// A checkpoint with its model: one side of a comparison.
#[derive(Debug)]
pub struct Snapshot {
    /// Its name for readers.
    pub name: String,
    /// The files.
    pub checkpoint: Checkpoint,
    /// The model, with its tokenizer.
    pub capturer: Capturer,
}

impl Snapshot {
    /// Loads the model of a checkpoint.
    ///
    /// # Errors
    /// Those of [`Capturer::load`].
    pub fn open(checkpoint: Checkpoint) -> Result<Self, Error> {
        Ok(Self {
            name: checkpoint.name().to_owned(),
            capturer: Capturer::load(&checkpoint)?,
            checkpoint,
        })
    }
}
