//! How much of an adapter a model needs: from the model without it to the tuned one.

use attn_core::{Progress, progress::step};
use attn_models::{Capturer, Checkpoint};
use attn_render::plots::{Lines, Series};
use serde::Serialize;

use crate::{
    Error,
    pruning::{LabeledSet, Metric, PruningParams, capitalized, evaluate},
};

/// A model with a part of its adapter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ScaleStep {
    /// How much of the adapter is merged, 0 to 1.
    pub scale: f64,
    /// Mean loss.
    pub loss: f64,
    /// Value of the metric.
    pub metric: f64,
    /// Which metric it is.
    pub kind: Metric,
}

/// Scales of an adapter in steps of a tenth: a curve of [`scale_steps`].
pub const TENTHS: [f64; 11] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// How well a model does with each part of its adapter ([`Checkpoint::with_adapter_scale`]).
///
/// # Errors
/// [`attn_models::Error::Parameter`] for a checkpoint without an adapter and for scales outside 0 to 1; those of loading and of
/// the model's run; cancellation.
pub fn scale_steps(
    checkpoint: &Checkpoint,
    set: &LabeledSet,
    scales: &[f64],
    params: &PruningParams,
    progress: &dyn Progress,
) -> Result<Vec<ScaleStep>, Error> {
    let mut steps = Vec::with_capacity(scales.len());
    for (done, &scale) in scales.iter().enumerate() {
        step(progress, "scales of the adapter", done, scales.len())?;
        let capturer = Capturer::load(&checkpoint.clone().with_adapter_scale(scale)?)?;
        let inner = |_: &str, _: usize, _: usize| progress.update("scales of the adapter", done, scales.len());
        let found = evaluate(&capturer, set, &std::collections::BTreeSet::new(), params, &inner)?;
        steps.push(ScaleStep {
            scale,
            loss: found.loss,
            metric: found.metric,
            kind: found.kind,
        });
    }
    Ok(steps)
}

/// The metric over the scale of the adapter. Scales ascend.
pub fn scale_plot(steps: &[ScaleStep]) -> Lines {
    let kind = steps.first().map_or_else(Metric::default, |step| step.kind);
    Lines {
        title: format!("{} with a part of the adapter", capitalized(kind.name())),
        caption: "0: the model without the adapter. 1: all of it.".into(),
        across: "scale of the adapter".into(),
        up: kind.name().into(),
        at: steps.iter().map(|step| step.scale as f32).collect(),
        series: vec![Series {
            name: kind.name().into(),
            values: steps.iter().map(|step| step.metric as f32).collect(),
            class: 0,
            broken: false,
            ..Series::default()
        }],
        ..Lines::default()
    }
}
