//! Attribution and importance: the tokens, heads and layers that a prediction rests on.
//!
//! Everything here asks about a [`Target`], one number per sequence: a logit, a loss, the difference of two. Gradients
//! are taken through candle whatever the model was built for; a sequence's result does not depend on the batch it is
//! in, and there is no dropout. `docs/ATTRIBUTION.md` says which method answers what.
//!
//! - to input tokens: [`input_gradients`], [`integrated_gradients`], [`propagate_relevance`]
//! - to the states of tokens in a layer: [`layer_integrated_gradients`]
//! - to heads: [`head_gradients`], [`taylor_importance`]
//! - to layers: [`logit_lens`]

mod batches;
mod embeddings;
mod heads;
mod integrated;
mod lens;
mod loss;
mod relevance;
mod scores;
mod target;
mod taylor;

pub use self::{
    embeddings::{InputGradients, input_gradients},
    heads::{HeadGradients, HeadGrid, head_gradients},
    integrated::{Baseline, IntegratedGradients, integrated_gradients, layer_integrated_gradients},
    lens::{Guess, LensLayer, logit_lens},
    loss::Labels,
    relevance::{Relevance, propagate_relevance},
    scores::TokenScores,
    target::{Examples, Target, target_values},
    taylor::{taylor_importance, taylor_per_example},
};
