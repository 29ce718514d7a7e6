//! Composition of heads by their weights: heads that read the output of earlier heads, as those behind induction.

use attn_analyze::heads::{Composition, compositions, random_composition};
use attn_core::{HeadId, HeadWeights, Progress};
use attn_models::Capturer;
use serde::Serialize;

use super::SummaryParams;
use crate::Error;

/// Multiplications that are worth a line on a page: a minute for two cores. A model of a thousand heads would take hours.
const AFFORDED: f64 = 4e11;
/// Random pairs of heads that a ratio is set beside.
const DRAWS: usize = 40;

/// The vectors through which a head reads an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CompositionKind {
    /// Q-composition: its queries depend on what the earlier head wrote.
    Query,
    /// K-composition: its keys were written by the earlier head, as in induction.
    Key,
    /// V-composition: it passes on what the earlier head wrote.
    Value,
}

impl CompositionKind {
    /// Name of the vectors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "queries",
            Self::Key => "keys",
            Self::Value => "values",
        }
    }
}

/// A head that reads the output of an earlier one (Elhage et al. 2021, *A mathematical framework for transformer circuits*).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ComposedHeads {
    /// The head that writes.
    pub earlier: HeadId,
    /// The head that reads.
    pub later: HeadId,
    /// The vectors of the later head.
    pub kind: CompositionKind,
    /// Their composition: 1 if one direction is all that either uses.
    pub ratio: f64,
    /// That of random matrices of this size.
    pub random: f64,
    /// That of the median pair of this model, through the same vectors.
    pub median: f64,
}

/// The strongest pairs of each attention and kind, those farthest above the median pair first; nothing for models too large, or of
/// one layer.
pub(super) fn strongest(
    model: &Capturer,
    params: &SummaryParams,
    progress: &dyn Progress,
) -> Result<Vec<ComposedHeads>, Error> {
    let info = model.model().info();
    let cost = |attention: &attn_core::model::AttentionInfo| {
        let heads = (attention.heads * attention.attending_layers().count()) as f64;
        heads * heads * 3.0 * (info.hidden_size * attention.head_dim * attention.head_dim) as f64
    };
    if info.attentions.iter().map(cost).sum::<f64>() > AFFORDED {
        return Ok(Vec::new());
    }
    let weights = model.model().head_weights()?;
    let mut composed = Vec::new();
    for attention in &info.attentions {
        let heads: Vec<HeadWeights> = weights
            .iter()
            .filter(|weights| weights.head.attention == attention.attention)
            .cloned()
            .collect();
        let pairs = compositions(&heads, progress)?;
        if pairs.is_empty() {
            continue;
        }
        let random = random_composition(info.hidden_size, attention.head_dim, DRAWS, params.seed, progress)?.mean;
        let kinds: [(CompositionKind, fn(&Composition) -> f64); 3] = [
            (CompositionKind::Query, |pair| pair.query),
            (CompositionKind::Key, |pair| pair.key),
            (CompositionKind::Value, |pair| pair.value),
        ];
        for (kind, ratio) in kinds {
            let mut sorted: Vec<f64> = pairs.iter().map(ratio).collect();
            sorted.sort_by(f64::total_cmp);
            let median = sorted[sorted.len() / 2];
            composed.extend(pairs.iter().map(|pair| ComposedHeads {
                earlier: pair.earlier,
                later: pair.later,
                kind,
                ratio: ratio(pair),
                random,
                median,
            }));
        }
    }
    composed.sort_by(|a, b| (b.ratio - b.median).total_cmp(&(a.ratio - a.median)));
    composed.truncate(params.pairs);
    Ok(composed)
}
