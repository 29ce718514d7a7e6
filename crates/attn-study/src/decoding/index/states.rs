//! A pair as the model reads it, and the states of a few pairs from one pass that ends with the last of them.

use std::collections::BTreeMap;

use attn_core::{Attention, Side, ndarray::Array3};
use attn_models::{Error as ModelError, Inputs, Point, Result as ModelResult, Site, Tap, candle::Tensor, to_array};

use super::{Pair, StateKind};
use crate::{
    Error,
    decoding::{Decoder, DecodingParams, TokenRow},
};

/// A pair as the model reads it.
pub(super) struct Read<'a> {
    pub(super) pair: &'a Pair,
    pub(super) source: TokenRow,
    pub(super) target: TokenRow,
}

/// Keeps the sites that are wanted, and ends the pass with the last of them: no logits.
struct Last<'a> {
    wanted: &'a [(StateKind, Site)],
    kept: BTreeMap<StateKind, Tensor>,
}

impl Tap for Last<'_> {
    fn wants(&self, site: Site) -> bool {
        self.wanted.iter().any(|(_, own)| *own == site)
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> ModelResult<Tensor> {
        let kind = self.wanted.iter().find(|(_, own)| *own == site);
        self.kept.extend(kind.map(|(kind, _)| (*kind, tensor.clone())));
        if self.kept.len() == self.wanted.len() {
            return Err(ModelError::Core(attn_core::Error::Cancelled { stage: "states".into() }));
        }
        Ok(tensor)
    }
}

impl Decoder {
    /// The sites of each kind of state.
    pub(super) fn state_sites(&self) -> Vec<(StateKind, Site)> {
        let layers = |attention| self.model().info().attention(attention).map(|own| own.layers.len());
        let mut sites = Vec::new();
        if self.translates() {
            let own = layers(Attention::EncoderSelf).unwrap_or(0);
            sites.push((StateKind::Encoder, Site::hidden(Side::Encoder, own)));
        }
        let own = layers(Attention::DecoderSelf).unwrap_or(0);
        sites.push((StateKind::Decoder, Site::hidden(Side::Decoder, own)));
        if let Some(last) = layers(Attention::Cross).and_then(|layers| layers.checked_sub(1)) {
            let site = Site::new(Attention::Cross, last, Point::AttentionOutput);
            sites.push((StateKind::Context, site));
        }
        sites
    }

    /// The tokens before the first of a target.
    fn prompt_of(&self, params: &DecodingParams, source: &TokenRow) -> Result<Vec<u32>, Error> {
        if !self.translates() {
            return Ok(source.ids.clone());
        }
        let start = params.generation.decoder_start;
        start.map(|start| vec![start]).ok_or(Error::NoSource {
            expected: "a token with which the decoder starts (`decoder_start_token_id`)",
        })
    }

    /// A pair as tokens.
    pub(super) fn read_pair<'a>(&self, pair: &'a Pair, params: &DecodingParams) -> Result<Read<'a>, Error> {
        let source = self.source_in(&pair.source, params.source_language)?;
        if source.is_empty() {
            return Err(Error::NoSource {
                expected: "a token of the source",
            });
        }
        let mut ids = Vec::new();
        ids.extend(params.generation.forced_first.filter(|_| self.translates()));
        ids.extend(self.target_ids(&pair.target)?);
        ids.extend(params.generation.end.first());
        let prompt = self.prompt_of(params, &source)?.len();
        // The last token is read by nothing.
        let (tokens, limit) = (
            prompt + ids.len() - 1,
            self.model().info().max_tokens.unwrap_or(usize::MAX),
        );
        if tokens > limit {
            return Err(Error::Shape {
                what: "tokens of the target",
                expected: format!("at most {}", limit.saturating_sub(prompt) + 1),
                found: ids.len().to_string(),
            });
        }
        let target = TokenRow::written(self.tokenizer().for_targets(), &ids);
        Ok(Read { pair, source, target })
    }

    /// States of some pairs, `[pair, token, width]` of each kind, padding included.
    pub(super) fn states_of(
        &self,
        batch: &[Read<'_>],
        params: &DecodingParams,
        sites: &[(StateKind, Site)],
    ) -> Result<BTreeMap<StateKind, Array3<f32>>, Error> {
        let mut rows = Vec::with_capacity(batch.len());
        for read in batch {
            let mut row = self.prompt_of(params, &read.source)?;
            row.extend(read.target.ids.split_last().map_or(&[][..], |(_, before)| before));
            rows.push(row);
        }
        let targets = Inputs::from_ids(&rows, 0)?;
        let inputs = if self.translates() {
            let sources: Vec<Vec<u32>> = batch.iter().map(|read| read.source.ids.clone()).collect();
            let mut inputs = Inputs::from_ids(&sources, 0)?;
            inputs.decoder_input_ids = targets.input_ids;
            inputs
        } else {
            targets
        };
        let mut last = Last {
            wanted: sites,
            kept: BTreeMap::new(),
        };
        match self.model().forward(&inputs, &mut last) {
            Err(error) if last.kept.len() < sites.len() => return Err(error.into()),
            _ => {}
        }
        let states = last.kept.iter().map(|(kind, tensor)| Ok((*kind, to_array(tensor)?)));
        states.collect()
    }
}
