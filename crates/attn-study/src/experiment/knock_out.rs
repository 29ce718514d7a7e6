//! Knock-out of edges: whether the model needs what a head reads along them.

use attn_core::Rng;
use attn_core::{HeadId, Progress, Sequence};
use attn_models::{Capturer, intervene::Edit};
use serde::Serialize;

use super::{
    Edges, Effect, ExperimentParams, RandomHeads, edges::random_edges, p_value, random_sets, reached, run_all,
};
use crate::Error;

/// Effect of a knock-out of edges, beside the same edges of other heads and other edges of the same heads.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KnockOut {
    /// The heads.
    pub heads: Vec<HeadId>,
    /// The edges.
    pub edges: Edges,
    /// Number of edges that were knocked out of the first head, over all sequences.
    pub edge_count: usize,
    /// The effect.
    pub effect: Effect,
    /// The effects of the same edges in as many random heads, each time others.
    pub random_heads: Vec<RandomHeads>,
    /// Number of them whose effect is at least as large.
    pub reached_heads: usize,
    /// Their share, these heads counted as one. A small share says that these edges matter more in these heads than in
    /// others.
    pub p_value_heads: f64,
    /// The effects of as many edges of each query in the same heads, each time others.
    pub random_edges: Vec<RandomEdges>,
    /// Number of them whose effect is at least as large.
    pub reached_edges: usize,
    /// Their share, these edges counted as one. A small share says that these heads need these edges more than others.
    pub p_value_edges: f64,
}

/// Random edges that were knocked out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RandomEdges {
    /// Mean increase of the loss.
    pub loss_change: Option<f64>,
    /// Mean change of the output.
    pub output_change: f64,
}

/// Knocks out edges of heads in every sequence, as if their queries could not see those keys, and measures the effect (Geva et
/// al. 2023), beside the same edges of random heads and random edges of the same heads.
///
/// Time is that of `2 * random + 2` runs over the sequences.
///
/// # Errors
/// As [`ablate`](super::ablate), and [`Error::NoEdges`] if no sequence has such an edge.
///
/// ```
/// use attn_core::{Attention, HeadId};
/// use attn_embedded::sentences;
/// use attn_models::Capturer;
/// use attn_study::experiment::{Edges, ExperimentParams, knock_out};
///
/// let capturer = Capturer::load(&attn_embedded::TEXT_DECODER.checkpoint()?)?;
/// let capture = capturer.capture_lines(sentences().take(8))?;
/// let heads = [HeadId::new(Attention::DecoderSelf, 1, 2)];
/// let params = ExperimentParams { random: 2, ..ExperimentParams::default() };
/// let found = knock_out(&capturer, capture.sequences(), &heads, &Edges::Offset(-1), &params, &())?;
/// assert!(found.edge_count > 0 && found.effect.output_change.mean > 0.0);
/// # Ok::<(), attn_study::Error>(())
/// ```
pub fn knock_out(
    capturer: &Capturer,
    sequences: &[Sequence],
    heads: &[HeadId],
    edges: &Edges,
    params: &ExperimentParams,
    progress: &dyn Progress,
) -> Result<KnockOut, Error> {
    let first = *heads.first().ok_or(Error::NoHeads)?;
    let info = capturer.model().info();
    let edge_count = sequences
        .iter()
        .map(|sequence| edges.of(info, first, sequence).len())
        .sum();
    if edge_count == 0 {
        return Err(Error::NoEdges {
            edges: edges.to_string(),
            head: first,
        });
    }
    let all: Vec<HeadId> = info.heads().collect();
    let sets = random_sets(&all, heads, params);
    let without = |heads: &[HeadId], sequence: &Sequence| -> Vec<Edit> {
        let edit = |&head: &HeadId| edit(head, edges.of(info, head, sequence));
        heads.iter().map(edit).collect()
    };
    let at_random = |draw: usize, index: usize, sequence: &Sequence| -> Vec<Edit> {
        let edit = |(place, &head): (usize, &HeadId)| {
            let mut rng = Rng::new(params.seed, &[3, draw, index, place]);
            let own = edges.of(info, head, sequence);
            edit(head, random_edges(&own, info, head, sequence, &mut rng))
        };
        heads.iter().enumerate().map(edit).collect()
    };
    let variant = |at: usize, index: usize, sequence: &Sequence| match at.checked_sub(1) {
        None => without(heads, sequence),
        Some(set) if set < sets.len() => without(&sets[set], sequence),
        Some(other) => at_random(other - sets.len(), index, sequence),
    };
    let count = 1 + sets.len() + params.random;
    let effects = run_all(capturer, sequences, count, &variant, params, progress)?;
    let (effect, others) = effects.split_first().ok_or(Error::NoHeads)?;
    let (of_heads, of_edges) = others.split_at(sets.len().min(others.len()));
    let random_heads = sets.into_iter().zip(of_heads);
    Ok(KnockOut {
        heads: heads.to_vec(),
        edges: edges.clone(),
        edge_count,
        effect: effect.clone(),
        random_heads: random_heads
            .map(|(heads, effect)| RandomHeads::new(heads, effect))
            .collect(),
        reached_heads: reached(effect, of_heads),
        p_value_heads: p_value(reached(effect, of_heads), of_heads.len()),
        random_edges: of_edges.iter().map(RandomEdges::new).collect(),
        reached_edges: reached(effect, of_edges),
        p_value_edges: p_value(reached(effect, of_edges), of_edges.len()),
    })
}

impl RandomEdges {
    fn new(effect: &Effect) -> Self {
        Self {
            loss_change: effect.loss_change.map(|change| change.mean),
            output_change: effect.output_change.mean,
        }
    }
}

fn edit(head: HeadId, edges: Vec<[usize; 2]>) -> Edit {
    Edit::KnockOutEdges {
        heads: head.into(),
        edges,
    }
}
