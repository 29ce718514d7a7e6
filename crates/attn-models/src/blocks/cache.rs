//! What generation keeps of earlier steps, so that a step computes its new tokens only: the keys and values of every
//! attention, and what the encoder has made of the source.
//!
//! The contract of a pass with a cache: the inputs are still whole (every token so far, every mask), the network
//! computes the tokens after the first [`Cache::tokens`], and its output is about those alone. Keys and values are kept
//! as the taps gave them back, so that a step goes on with edited ones. Each row of the cache is one row of the batch.

use std::collections::BTreeMap;

use attn_core::Attention;
use candle_core::Tensor;

use crate::Result;

/// Keys and values so far, `[batch, kv_heads, tokens, head_dim]` each, and the encoder's output.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// Decoder tokens whose keys and values are in.
    tokens: usize,
    kept: BTreeMap<(Attention, usize), (Tensor, Tensor)>,
    encoded: Option<Tensor>,
}

impl Cache {
    /// Decoder tokens that are already computed.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Notes that the keys and values of the first `tokens` decoder tokens are in.
    pub(crate) fn advance(&mut self, tokens: usize) {
        self.tokens = tokens;
    }

    /// Makes the rows of the next batch from those of the last: a row may be used twice or not at all.
    pub(crate) fn select(&mut self, rows: &[u32]) -> Result<()> {
        let Some((any, _)) = self.kept.values().next() else {
            return Ok(());
        };
        let unchanged = any.dim(0)? == rows.len() && rows.iter().zip(0..).all(|(&row, at)| row == at);
        if unchanged {
            return Ok(());
        }
        let rows = Tensor::new(rows, any.device())?;
        for (key, value) in self.kept.values_mut() {
            *key = key.contiguous()?.index_select(&rows, 0)?;
            *value = value.contiguous()?.index_select(&rows, 0)?;
        }
        if let Some(encoded) = &mut self.encoded {
            *encoded = encoded.contiguous()?.index_select(&rows, 0)?;
        }
        Ok(())
    }

    /// The keys and values of the source, once they are made: they do not change from step to step.
    pub(super) fn source(&self, layer: usize) -> Option<(Tensor, Tensor)> {
        self.kept.get(&(Attention::Cross, layer)).cloned()
    }

    /// Adds the keys and values of the new tokens and gives back those of all.
    pub(super) fn extend(
        &mut self,
        attention: Attention,
        layer: usize,
        key: Tensor,
        value: Tensor,
    ) -> Result<(Tensor, Tensor)> {
        // An encoder runs once, and nothing asks for its keys again.
        if attention == Attention::EncoderSelf {
            return Ok((key, value));
        }
        let all = match self.kept.get(&(attention, layer)) {
            Some((old_key, old_value)) => (Tensor::cat(&[old_key, &key], 2)?, Tensor::cat(&[old_value, &value], 2)?),
            None => (key, value),
        };
        self.kept.insert((attention, layer), all.clone());
        Ok(all)
    }

    pub(super) fn encoded(&self) -> Option<Tensor> {
        self.encoded.clone()
    }

    pub(super) fn keep_encoded(&mut self, encoded: Tensor) {
        self.encoded = Some(encoded);
    }
}
