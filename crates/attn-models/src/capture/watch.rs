//! Cancellation inside a forward pass.

use attn_core::{Progress, progress::step};
use candle_core::Tensor;

use crate::{Result, Site, Tap};

/// The tap that asks a [`Progress`] between pieces of the work: without it a cancellation would wait for the whole pass,
/// which takes minutes for a long line.
pub(super) struct Watch<'a> {
    progress: &'a dyn Progress,
    stage: &'static str,
    done: usize,
    total: usize,
    asks: bool,
}

/// Products of a layer from which it is asked inside a pass: some 50 ms on one core.
const LONG: u64 = 1 << 28;

impl<'a> Watch<'a> {
    /// `products` are those of a layer: passes that end at once are asked about before them alone.
    pub(super) fn new(
        progress: &'a dyn Progress,
        stage: &'static str,
        (done, total): (usize, usize),
        products: u64,
    ) -> Self {
        Self {
            progress,
            stage,
            done,
            total,
            asks: products >= LONG,
        }
    }
}

impl Tap for Watch<'_> {
    fn wants(&self, _: Site) -> bool {
        false
    }

    fn tap(&mut self, _: Site, tensor: Tensor) -> Result<Tensor> {
        Ok(tensor)
    }

    fn proceed(&mut self) -> Result<()> {
        if self.asks {
            step(self.progress, self.stage, self.done, self.total)?;
        }
        Ok(())
    }
}
