//! Heads that read what earlier heads write, as far as their weights tell: the pairs behind induction, and others.

use attn_analyze::heads::{Composition, compositions, random_composition};
use attn_core::{HeadId, HeadWeights, Progress};
use attn_models::Capturer;
use serde::Serialize;

use super::SummaryOptions;
use crate::Error;

/// Multiplications that are worth a line on a page: a minute for two cores. A model of a thousand heads would take hours.
const AFFORDED: f64 = 4e11;
/// Random pairs of heads that a ratio is set beside.
const DRAWS: usize = 40;

/// Through which of its vectors a head reads an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Its queries: where it looks from depends on what the earlier head wrote there.
    Query,
    /// Its keys: what it looks for was written there by the earlier head, as in induction.
    Key,
    /// Its values: it passes on what the earlier head wrote.
    Value,
}

impl Way {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "queries",
            Self::Key => "keys",
            Self::Value => "values",
        }
    }
}

/// A head that reads what an earlier one writes (Elhage et al. 2021, *A mathematical framework for transformer circuits*).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ChainedHeads {
    /// The head that writes.
    pub earlier: HeadId,
    /// The head that reads.
    pub later: HeadId,
    /// Through what.
    pub way: Way,
    /// Their composition: 1 if one direction is all that either uses.
    pub ratio: f64,
    /// What random matrices of this size give.
    pub random: f64,
    /// That of the median pair of this model, the same way.
    pub median: f64,
}

/// The strongest pairs of each attention and way, those farthest above the median pair first; nothing for models too large, or of
/// one layer.
pub(super) fn strongest(
    model: &Capturer,
    options: &SummaryOptions,
    progress: &dyn Progress,
) -> Result<Vec<ChainedHeads>, Error> {
    let info = model.model().info();
    let cost = |attention: &attn_core::AttentionInfo| {
        let heads = (attention.heads * attention.layers.len()) as f64;
        heads * heads * 3.0 * (info.hidden_size * attention.head_dim * attention.head_dim) as f64
    };
    if info.attentions.iter().map(cost).sum::<f64>() > AFFORDED {
        return Ok(Vec::new());
    }
    let weights = model.model().head_weights()?;
    let mut chained = Vec::new();
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
        let random = random_composition(info.hidden_size, attention.head_dim, DRAWS, options.seed, progress)?.mean;
        let ways: [(Way, fn(&Composition) -> f64); 3] = [
            (Way::Query, |pair| pair.query),
            (Way::Key, |pair| pair.key),
            (Way::Value, |pair| pair.value),
        ];
        for (way, ratio) in ways {
            let mut sorted: Vec<f64> = pairs.iter().map(ratio).collect();
            sorted.sort_by(f64::total_cmp);
            let median = sorted[sorted.len() / 2];
            chained.extend(pairs.iter().map(|pair| ChainedHeads {
                earlier: pair.earlier,
                later: pair.later,
                way,
                ratio: ratio(pair),
                random,
                median,
            }));
        }
    }
    chained.sort_by(|a, b| (b.ratio - b.median).total_cmp(&(a.ratio - a.median)));
    chained.truncate(options.alike);
    Ok(chained)
}
