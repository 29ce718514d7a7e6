//! Writing a pruned model, and proof that what was written says the same.

use std::{collections::BTreeSet, path::Path};

use attn_core::{HeadId, Progress};
use attn_models::{Capturer, Checkpoint, Model, candle::DType, checkpoint::Pruned, intervene::Interventions};

use super::{LabeledSet, PruningParams, measure::zeros};
use crate::Error;

/// A pruned checkpoint that was written and read back.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenPruned {
    /// How heads were pruned.
    pub pruned: Pruned,
    /// Number of stored weights before and after.
    pub parameters: [u64; 2],
    /// The largest difference of a logit between the model without the heads and the one read back, over the first batch of the
    /// set.
    pub difference: f32,
}

/// Writes a model without some heads ([`Checkpoint::write_pruned`]), reads it back, and compares what both say.
///
/// # Errors
/// Those of [`Checkpoint::write_pruned`], of loading and of the models' runs.
pub fn write_pruned(
    checkpoint: &Checkpoint,
    capturer: &Capturer,
    set: &LabeledSet,
    off: &BTreeSet<HeadId>,
    folder: &Path,
    params: &PruningParams,
    progress: &dyn Progress,
) -> Result<WrittenPruned, Error> {
    let heads: Vec<HeadId> = off.iter().copied().collect();
    let pruned = checkpoint.write_pruned(folder, &heads, progress)?;
    let written = Checkpoint::open(folder)?.with_families(checkpoint.families().clone());
    let read = Model::load(&written)?;
    let mut difference = 0.0_f32;
    if let Some(batch) = set.batches(params.batch_tokens).first() {
        let inputs = set.inputs(capturer, batch)?;
        let model = capturer.model();
        let mut tap = Interventions::new(model.info(), zeros(off))?;
        let said = [model.forward(&inputs, &mut tap)?, read.forward(&inputs, &mut ())?].map(|output| {
            let tensor = output.logits.unwrap_or(output.last_hidden);
            let flat = tensor.to_dtype(DType::F32).and_then(|tensor| tensor.flatten_all());
            let flat = flat.and_then(|tensor| tensor.to_vec1::<f32>());
            flat.map_err(|error| Error::Models(error.into()))
        });
        let [before, after] = said;
        let pairs = before?.into_iter().zip(after?);
        difference = pairs.map(|(before, after)| (before - after).abs()).fold(0.0, f32::max);
    }
    Ok(WrittenPruned {
        pruned,
        parameters: [checkpoint.describe().parameters, written.describe().parameters],
        difference,
    })
}
