//! Which heads a model needs: their importance by gradients, the measured effect of ablating each, and pruning (after Li et al.
//! 2021, "T3-Vis").
//!
//! A [`LabeledSet`] is what a model is asked about; its [`Labels`] say by which loss and which [`Metric`]. [`Importance`] holds every score of every head beside each other: to first
//! order by Taylor expansion and by head masks, and measured. [`HeadMask`] switches heads off and on again; curves and
//! [`greedy`] say what is left of the metric as heads go; [`Smallest`] is the least that keeps a share of it; and
//! [`write_pruned`] writes that model.
//!
//! ```
//! use attn_models::Capturer;
//! use attn_study::pruning::{Curve, LabeledSet, PruningParams, Score, importance};
//! use attn_study::attn_core::{Sequence, Side};
//!
//! let capturer = Capturer::load(&attn_embedded::SENTIMENT.checkpoint()?)?;
//! let lines = [("Rosa loves the beautiful garden.", "positive"), ("The cats hate that awful meal.", "negative")];
//! let set = LabeledSet::texts(&capturer, lines.map(|(text, label)| (text, Some(label.to_owned()))))?;
//! let params = PruningParams::default();
//! let importance = importance(&capturer, &set, &params, &())?;
//! let order = importance.order(Score::AblationZero).unwrap();
//! let curve = Curve::along("least effect first", &capturer, &set, &order, &params, &())?;
//! assert_eq!(curve.steps.len(), 17); // none of 16 heads removed, one, ..., all
//! # Ok::<(), attn_study::Error>(())
//! ```

mod curve;
mod evaluator;
mod gold;
mod importance;
mod labeled;
mod mask;
mod measure;
mod metric;
mod patterns;
mod plots;
mod smallest;
mod study;
mod tables;
mod write;

pub use self::{
    curve::{Curve, CurveStep, RandomCurves, greedy, random_curves},
    importance::{Importance, RankCorrelation, Score, importance},
    labeled::{LabeledExample, LabeledSet},
    mask::HeadMask,
    measure::{Ablate, Evaluation, Measured, evaluate, measure},
    metric::{Metric, Outcome},
    patterns::mean_patterns,
    plots::{pattern_grid, pruning_plot},
    smallest::Smallest,
    study::HeadStudy,
    tables::pruning_table,
    write::{WrittenPruned, write_pruned},
};

pub use attn_models::attribute::Labels;

pub(crate) use self::{
    labeled::{inputs_of, is_causal, output_side},
    plots::capitalized,
};

/// Settings of importance and pruning.
#[derive(Debug, Clone, PartialEq)]
pub struct PruningParams {
    /// Token slots of a batch. Default 1024.
    pub batch_tokens: usize,
    /// Random orders behind the band of a curve. Default 10.
    pub random: usize,
    /// Share of the metric that the smallest set of heads keeps. Default 0.99.
    pub keep: f64,
    /// Examples that the greedy order is searched on: it takes about half as many passes as the square of the number of heads.
    /// A seeded sample where there are more. Default 256.
    pub greedy_examples: usize,
    /// Splits into halves that the stability of scores is the mean over. Default 5.
    pub splits: usize,
    /// Seed of samples, orders and halves. Default 0.
    pub seed: u64,
}

impl Default for PruningParams {
    fn default() -> Self {
        Self {
            batch_tokens: 1024,
            random: 10,
            keep: 0.99,
            greedy_examples: 256,
            splits: 5,
            seed: 0,
        }
    }
}
