//! What each head does on average: its attention by position over a set.

use attn_core::{Attention, HeadId, Progress, Side, ndarray::Array2, progress::step};
use attn_models::{Capturer, Point, Site, record::Recorder};
use attn_render::plots::HeadPattern;

use super::{LabeledSet, PruningParams};
use crate::Error;

/// The mean attention of every head by position, `positions x positions`: over the examples where query and key are both real
/// tokens, so that padding counts on neither side. Positions beyond the longest example are left out.
///
/// # Errors
/// Those of the model's run; cancellation.
pub fn mean_patterns(
    capturer: &Capturer,
    set: &LabeledSet,
    positions: usize,
    params: &PruningParams,
    progress: &dyn Progress,
) -> Result<Vec<(HeadId, HeadPattern)>, Error> {
    let model = capturer.model();
    let heads: Vec<HeadId> = model.info().heads().collect();
    let longest = |side: Side| {
        let lengths = set.examples().iter().map(|example| example.sequence.tokens(side).len());
        lengths.max().unwrap_or(0).min(positions).max(1)
    };
    let size = |attention: Attention| (longest(attention.query_side()), longest(attention.key_side()));
    let mut sums: Vec<Array2<f64>> = heads.iter().map(|head| Array2::zeros(size(head.attention))).collect();
    let mut counts = sums.clone();
    let batches = set.batches(params.batch_tokens);
    for (done, batch) in batches.iter().enumerate() {
        step(progress, "mean attention", done, batches.len())?;
        let mut run = Recorder::of(&[Point::Attention]);
        model.forward(&set.inputs(capturer, batch)?, &mut run)?;
        for ((head, sum), count) in heads.iter().zip(&mut sums).zip(&mut counts) {
            let site = Site::new(head.attention, head.layer, Point::Attention);
            let Some(attention) = run.tensors.get(&site) else {
                continue;
            };
            let candle = |error: attn_models::candle::Error| Error::Models(error.into());
            for (row, &at) in batch.iter().enumerate() {
                let own = attention.get(row).and_then(|own| own.get(head.head)).map_err(candle)?;
                let own: Vec<Vec<f32>> = own.to_vec2().map_err(candle)?;
                let sequence = &set.examples()[at].sequence;
                let real = |side: Side| sequence.tokens(side).len();
                let (queries, keys) = (real(head.attention.query_side()), real(head.attention.key_side()));
                for ((query, key), sum) in sum.indexed_iter_mut() {
                    if query < queries && key < keys {
                        let weight = own.get(query).and_then(|row| row.get(key)).copied().unwrap_or(0.0);
                        *sum += f64::from(weight);
                        count[(query, key)] += 1.0;
                    }
                }
            }
        }
    }
    let pattern = |((head, sum), count): ((HeadId, Array2<f64>), Array2<f64>)| {
        let (queries, keys) = sum.dim();
        let mean = sum.iter().zip(&count).map(|(sum, count)| (sum / count.max(1.0)) as f32);
        let weights: Vec<f32> = mean.collect();
        (
            head,
            HeadPattern {
                weights: weights.into(),
                queries,
                keys,
            },
        )
    };
    Ok(heads.into_iter().zip(sums).zip(counts).map(pattern).collect())
}
