//! What each attention head does, which heads are alike, and which read from one another.
//!
//! | question | ask | rests on |
//! |---|---|---|
//! | how much of a habit does a head have, against chance? | [`score_heads`], [`repeat_scores`] | a capture |
//! | does it read what tokens are, or where they stand? | [`content_scores`] | a capture |
//! | what shall we call it, and why? | [`head_labels`], [`summary`] | scores |
//! | which heads stand out? | [`anomalies`], [`head_norms`] | scores, a capture |
//! | is that learnt, or would any head of this shape do it? | [`compare`] | scores of two captures |
//! | which heads look at the same places, in which groups? | [`divergence`], [`HeadPairs`] | a capture |
//! | which heads have the same cloud of queries and keys? | [`query_key_cka`] | a capture |
//! | which heads read what earlier heads write? | [`compositions`], [`random_composition`] | weights |
//! | where does a state come from, through all layers? | [`rollout`], [`capture_rollout`], [`capture_mixing`] | attention |
//! | what does attention carry? | [`value_weighted`], [`output_weighted`] | attention, values, weights |
//!
//! Two warnings. A score describes where a head looks on the sequences it was given, not what the model uses it for:
//! that takes an intervention. And scores of different measures are not comparable by their values;
//! [`HeadScores::strength`] is.

mod aggregate;
mod anomaly;
mod cka;
mod compare;
mod composition;
mod content;
mod divergence;
mod induction;
mod label;
mod pairs;
mod positional;
mod relation;
mod rollout;
mod score;
mod scoring;
mod tally;
mod value_norm;

pub use aggregate::mean_by_position;
pub use anomaly::{Anomaly, AnomalyKind, HeadNorms, anomalies, head_norms};
pub use attn_core::HeadWeights;
pub use cka::{CkaOptions, HeadCka, linear_cka, query_key_cka};
pub use compare::{Comparison, compare};
pub use composition::{Composition, CompositionBaseline, compositions, random_composition};
pub use content::{ClassPair, HeadContent, content_scores};
pub use divergence::{DivergenceOptions, divergence, divergence_between};
pub use induction::{induction_score, repeat_scores, repeated_ids};
pub use label::{HeadLabel, LabelKind, Rule, Rules, head_labels, summary};
pub use pairs::HeadPairs;
pub use rollout::{capture_mixing, capture_rollout, rollout};
pub use score::{Example, HeadScores, Measure, Score};
pub use scoring::{ScoreOptions, score_heads};
pub use value_norm::{output_weighted, value_weighted};

#[cfg(test)]
mod tests;
