//! Gradients of many batches: several are under way at a time, and their results come in order.

use std::sync::atomic::{AtomicUsize, Ordering};

use attn_core::{Progress, progress::step};

use super::target::Examples;
use crate::{
    Model, Result, graph,
    turns::{in_order, under_way},
};

/// What `of_batch` makes of every batch, handed to `take` in the order of the batches. As many are under way at a time as the
/// limits of the model allow.
pub(super) fn each_batch<T: Send>(
    model: &Model,
    batches: &[Examples],
    (stage, progress): (&str, &dyn Progress),
    of_batch: impl Fn(&Examples) -> Result<T> + Sync,
    take: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let done = AtomicUsize::new(0);
    let task = |at: usize| -> Result<T> {
        step(progress, stage, done.load(Ordering::Relaxed), batches.len())?;
        let found = of_batch(&batches[at])?;
        done.fetch_add(1, Ordering::Relaxed);
        Ok(found)
    };
    let needed = |batch: &Examples| graph::needed(model, &batch.inputs);
    let threads = under_way(model.device(), model.limits(), batches.iter().map(needed).collect());
    in_order(batches.len(), threads, task, take)
}
