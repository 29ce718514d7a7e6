//! Roles of attention heads, their similarity, and their composition.
//!
//! | question | ask | rests on |
//! |---|---|---|
//! | how strongly does a head show a behavior, against chance? | [`score_heads`], [`repeat_scores`] | a capture |
//! | does it read what tokens are, or where they stand? | [`content_scores`] | a capture |
//! | which role has it, and why? | [`head_labels`], [`heads_by_role`] | scores |
//! | how is a score of my own added? | [`HeadScore`], [`ScoreList`] | |
//! | which heads stand out? | [`anomalies`], [`head_norms`] | scores, a capture |
//! | is that learned, or would any head of this shape do it? | [`compare`] | scores of two captures |
//! | which heads look at the same places, in which groups? | [`divergence`], [`HeadPairs`] | a capture |
//! | which heads have the same cloud of queries and keys? | [`query_key_cka`] | a capture |
//! | which heads read what earlier heads write? | [`compositions`], [`random_composition`] | weights |
//! | where does a state come from, through all layers? | [`rollout`], [`capture_rollout`], [`capture_mixing`] | attention |
//! | what does attention carry? | [`value_weighted`], [`output_weighted`] | attention, values, weights |
//!
//! Two warnings. A score describes where a head looks on the sequences it was given, not what the model uses it for:
//! that takes an intervention. And values of different scores are not comparable;
//! [`HeadScores::strength`] is.

mod aggregate;
mod anomaly;
mod cka;
mod compare;
mod composition;
mod content;
mod divergence;
mod head_score;
mod induction;
mod label;
mod pairs;
mod positional;
mod rollout;
mod score;
pub mod scores;
mod scoring;
mod tally;
mod targets;
mod value_norm;

pub use aggregate::mean_by_position;
pub use anomaly::{Anomaly, AnomalyKind, HeadNorms, anomalies, head_norms};
pub use attn_core::HeadWeights;
pub use cka::{CkaParams, HeadCka, linear_cka, query_key_cka};
pub use compare::{Comparison, compare};
pub use composition::{Composition, CompositionBaseline, compositions, random_composition};
pub use content::{ClassPair, HeadContent, content_scores};
pub use divergence::{DivergenceParams, divergence, divergence_between};
pub use head_score::{HeadContext, HeadScore, Reads, ScoreList, SequenceTokens};
pub use induction::{induction_score, repeat_scores, repeated_ids};
pub use label::{HeadLabel, Role, Rule, Rules, head_labels, heads_by_role};
pub use pairs::HeadPairs;
pub use rollout::{capture_mixing, capture_rollout, rollout};
pub use score::{Example, HeadScores, Score, ScoreId};
pub use scoring::{ScoreParams, score_heads};
pub use tally::{HeadTally, Mean, Measured, Row, TargetTally, TopCell};
pub use targets::Targets;
pub use value_norm::{output_weighted, value_weighted};

#[cfg(test)]
mod tests;
