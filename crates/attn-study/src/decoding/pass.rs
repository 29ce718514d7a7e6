//! One teacher-forced pass over a source and a sequence: predictions, attention and states of every token at once.

use std::collections::BTreeMap;

use attn_core::{Attention, Limits, Side, ndarray::Array2};
use attn_models::{
    Inputs, Point, Result as ModelResult, Site, Tap,
    candle::Tensor,
    generate::{likeliest, log_softmax, rank},
    to_array,
};

use super::{Alternative, AttentionWeights, DecodedStep, Decoder, States, edits::Edits};
use crate::Error;

/// What a decoder reads: the source of an encoder-decoder, and the tokens of the generating stack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Empty for decoder-only models.
    pub(super) source: Vec<u32>,
    /// Prompt, then new tokens.
    pub(super) tokens: Vec<u32>,
    /// Tokens of the prompt.
    pub(super) prompt: usize,
}

impl Reading {
    pub(super) fn inputs(&self) -> Result<Inputs, Error> {
        let tokens = Inputs::from_ids(std::slice::from_ref(&self.tokens), 0)?;
        if self.source.is_empty() {
            return Ok(tokens);
        }
        let mut inputs = Inputs::from_ids(std::slice::from_ref(&self.source), 0)?;
        inputs.decoder_input_ids = tokens.input_ids;
        Ok(inputs)
    }
}

/// The tensors of a pass, at the sites that were asked for, and its logits `[token, vocabulary]`.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) sites: BTreeMap<Site, Tensor>,
    pub(super) logits: Array2<f32>,
    prompt: usize,
}

/// Keeps some sites, as they are after every change.
struct Keep<'a> {
    wanted: &'a [Site],
    kept: BTreeMap<Site, Tensor>,
}

impl Tap for Keep<'_> {
    fn wants(&self, site: Site) -> bool {
        self.wanted.contains(&site)
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> ModelResult<Tensor> {
        self.kept.insert(site, tensor.clone());
        Ok(tensor)
    }
}

impl Decoder {
    /// Runs a reading once, with the decoder's faults, `changes` and a further tap, which sees what they left.
    pub(super) fn pass(&self, reading: &Reading, changes: &mut dyn Tap, wanted: &[Site]) -> Result<Pass, Error> {
        let model = self.model();
        let vocabulary = model.info().vocab_size.unwrap_or(0);
        let needed = Limits::size(&[reading.tokens.len(), vocabulary], 4);
        let what = format_args!("predictions after {} tokens", reading.tokens.len());
        model.limits().check(what, needed)?;
        let mut keep = Keep {
            wanted,
            kept: BTreeMap::new(),
        };
        let faults = Edits::new(model.info(), &self.fault().edits, self.fault_donors());
        let output = model.forward(&reading.inputs()?, &mut (faults, (changes, &mut keep)))?;
        let logits = output.logits.filter(|logits| logits.rank() == 3);
        let logits = logits.ok_or_else(|| Error::NoDecoder {
            model: model.info().name.clone(),
        })?;
        let logits = logits.get(0).map_err(attn_models::Error::from)?;
        Ok(Pass {
            sites: keep.kept,
            logits: to_array(&logits)?,
            prompt: reading.prompt,
        })
    }

    /// Sites of everything that is shown.
    pub(super) fn shown_sites(&self) -> Vec<Site> {
        let info = self.model().info();
        let mut sites = Vec::new();
        for own in &info.attentions {
            let layers = own.layers.len();
            sites.extend((0..layers).map(|layer| Site::new(own.attention, layer, Point::Attention)));
            match own.attention {
                Attention::EncoderSelf => sites.push(Site::hidden(Side::Encoder, layers)),
                Attention::DecoderSelf => sites.push(Site::hidden(Side::Decoder, layers)),
                Attention::Cross => {
                    sites.push(Site::new(
                        Attention::Cross,
                        layers.saturating_sub(1),
                        Point::AttentionOutput,
                    ));
                }
            }
        }
        // Of what looks at the source, the values too.
        let own = if self.translates() {
            Attention::Cross
        } else {
            Attention::DecoderSelf
        };
        let layers = info.attention(own).map_or(0, |own| own.layers.len());
        sites.extend((0..layers).map(|layer| Site::new(own, layer, Point::Value)));
        sites
    }
}

impl Pass {
    /// The prediction of new token `step`: logits of the whole vocabulary.
    pub(super) fn prediction(&self, step: usize) -> Option<Vec<f32>> {
        let row = (self.prompt + step).checked_sub(1)?;
        (row < self.logits.nrows()).then(|| self.logits.row(row).to_vec())
    }

    /// Log-probabilities of the whole vocabulary at a step.
    pub(super) fn log_probabilities(&self, step: usize) -> Option<Vec<f32>> {
        let mut row = self.prediction(step)?;
        log_softmax(&mut row);
        Some(row)
    }

    /// Attention of every layer; `None` if the model has no such attention.
    pub(super) fn attention(&self, attention: Attention) -> Result<Option<AttentionWeights>, Error> {
        let own = |site: &Site| site.attention == attention && site.point == Point::Attention;
        let layers: Vec<&Tensor> = self
            .sites
            .iter()
            .filter(|(site, _)| own(site))
            .map(|(_, tensor)| tensor)
            .collect();
        if layers.is_empty() {
            return Ok(None);
        }
        let mut weights = AttentionWeights::new(&layers)?;
        let value = |site: &Site| site.attention == attention && site.point == Point::Value;
        for (_, tensor) in self.sites.iter().filter(|(site, _)| value(site)) {
            weights.add_values(tensor)?;
        }
        Ok(Some(weights))
    }

    /// The last tensor of a point, layer by layer; no states if the model has none.
    pub(super) fn states(&self, attention: Attention, point: Point) -> Result<States, Error> {
        let mut found = self.sites.iter();
        let found = found.rfind(|(site, _)| site.attention == attention && site.point == point);
        found.map_or_else(|| Ok(States::default()), |(_, tensor)| States::new(tensor))
    }

    /// A step per new token.
    pub(super) fn steps(
        &self,
        decoder: &Decoder,
        ids: &[u32],
        counted: &[f32],
        top_k: usize,
    ) -> Result<Vec<DecodedStep>, Error> {
        let text = |id: u32| decoder.tokenizer().for_targets().token(id).text;
        let mut steps = Vec::with_capacity(ids.len());
        for (step, &id) in ids.iter().enumerate() {
            let Some(row) = self.log_probabilities(step) else { break };
            let own = row.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
            let entropy: f64 = row
                .iter()
                .map(|&p| f64::from(p))
                .filter(|p| p.is_finite())
                .map(|p| -p * p.exp())
                .sum();
            let top = likeliest(&row, top_k).into_iter().map(|found| Alternative {
                token: text(found.token),
                id: found.token,
                log_probability: found.log_probability,
            });
            steps.push(DecodedStep {
                token: text(id),
                id,
                log_probability: counted.get(step).copied().unwrap_or(own),
                model_log_probability: own,
                rank: place(&row, id),
                entropy: entropy as f32,
                top: top.collect(),
                source_share: None,
            });
        }
        Ok(steps)
    }
}

/// The place of a token, 1 for the most likely; behind all of them for one that is not there.
pub(super) fn place(row: &[f32], id: u32) -> usize {
    1 + rank(row, id).unwrap_or(row.len())
}
