//! Teacher-forced passes over a source and its sequences: predictions, attention and states of every token at once.

use std::collections::BTreeMap;

use attn_core::{Attention, Limits, Progress, Side, ndarray::Array2, progress::step};
use attn_models::{
    Inputs, Point, Result as ModelResult, Site, Tap,
    candle::Tensor,
    generate::{likeliest, log_softmax, rank},
    intervene::Intervention,
    start::Start,
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

/// Predictions and attention of sequences that run together, in bytes, unless one alone takes more.
const TOGETHER: u64 = 1 << 26;

impl Reading {
    pub(super) fn inputs(&self) -> Result<Inputs, Error> {
        Self::together(std::slice::from_ref(self))
    }

    /// Several in one batch. What fills up the shorter ones stands behind their tokens, which do not look there: no mask is needed.
    fn together(readings: &[Self]) -> Result<Inputs, Error> {
        let rows = |own: fn(&Self) -> &Vec<u32>| -> Result<Inputs, Error> {
            let rows: Vec<Vec<u32>> = readings.iter().map(|reading| own(reading).clone()).collect();
            Ok(Inputs::from_ids(&rows, 0)?)
        };
        let tokens = rows(|reading| &reading.tokens)?.input_ids;
        if readings.iter().all(|reading| reading.source.is_empty()) {
            return Ok(Inputs {
                input_ids: tokens,
                ..Inputs::default()
            });
        }
        Ok(Inputs {
            decoder_input_ids: tokens,
            ..rows(|reading| &reading.source)?
        })
    }
}

/// The tensors of a pass, at the sites that were asked for, and its logits `[token, vocabulary]`.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) sites: BTreeMap<Site, Tensor>,
    pub(super) logits: Array2<f32>,
    prompt: usize,
}

/// The same of several sequences, as they came from the model.
struct Batch {
    sites: BTreeMap<Site, Tensor>,
    logits: Tensor,
}

impl Batch {
    /// The part of one sequence, without what fills it up.
    fn of(&self, row: usize, reading: &Reading) -> Result<Pass, Error> {
        let (tokens, longest) = (
            reading.tokens.len(),
            self.logits.dim(1).map_err(attn_models::Error::from)?,
        );
        let own = |site: &Site, tensor: &Tensor| -> ModelResult<Tensor> {
            let axes: &[usize] = match (site.attention, site.point) {
                _ if tokens == longest => &[],
                (Attention::EncoderSelf, _) | (Attention::Cross, Point::Value) => &[],
                (Attention::DecoderSelf, Point::Attention) => &[2, 3],
                (_, Point::Attention | Point::Value) => &[2],
                _ => &[1],
            };
            let mut own = tensor.narrow(0, row, 1)?;
            for &axis in axes {
                own = own.narrow(axis, 0, tokens)?;
            }
            Ok(own)
        };
        let sites = self.sites.iter().map(|(site, tensor)| Ok((*site, own(site, tensor)?)));
        let logits = self.logits.get(row).and_then(|logits| logits.narrow(0, 0, tokens));
        Ok(Pass {
            sites: sites.collect::<ModelResult<_>>()?,
            logits: to_array(&logits.map_err(attn_models::Error::from)?)?,
            prompt: reading.prompt,
        })
    }
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
        self.batch(std::slice::from_ref(reading), None, changes, wanted)?
            .of(0, reading)
    }

    /// Runs several sequences of one source under the decoder's faults and the interventions, and gives each in turn. The encoder
    /// runs for the first alone: the others go on from what it made, together, unless something may be changed there.
    pub(super) fn passes(
        &self,
        readings: &[Reading],
        interventions: &[Intervention],
        wanted: &[Site],
        progress: &dyn Progress,
        each: &mut dyn FnMut(usize, &Pass) -> Result<(), Error>,
    ) -> Result<(), Error> {
        const STAGE: &str = "teacher-forced pass";
        let info = self.model().info();
        let changes = || Edits::new(info, interventions, &[]);
        let Some((first, rest)) = readings.split_first() else {
            return Ok(());
        };
        step(progress, STAGE, 0, readings.len())?;
        let pass = self.pass(first, &mut changes(), wanted)?;
        each(0, &pass)?;
        let unchanged = interventions.is_empty() && self.fault().edits.is_empty();
        let encoded = pass
            .sites
            .iter()
            .rfind(|(site, _)| **site == Site::hidden(Side::Encoder, site.layer));
        let encoded = encoded.map(|(_, encoded)| encoded.clone()).filter(|_| unchanged);
        drop(pass);
        let of_decoder: Vec<Site> = wanted
            .iter()
            .filter(|site| site.side() == Side::Decoder)
            .copied()
            .collect();

        let longest = readings.iter().map(|reading| reading.tokens.len()).max().unwrap_or(0);
        let heads: usize = info.attentions.iter().map(|own| own.layers.len() * own.heads).sum();
        let width = info.vocab_size.unwrap_or(0) + heads * (longest + first.source.len());
        let rows = TOGETHER / Limits::size(&[longest, width], 4).max(1);
        let mut at = 1;
        for chunk in rest.chunks(usize::try_from(rows).unwrap_or(usize::MAX).max(1)) {
            step(progress, STAGE, at, readings.len())?;
            let start = encoded
                .as_ref()
                .map(|encoded| Start::encoded(info, encoded, chunk.len()));
            let batch = self.batch(chunk, start.transpose()?.as_ref(), &mut changes(), &of_decoder)?;
            for (row, reading) in chunk.iter().enumerate() {
                each(at + row, &batch.of(row, reading)?)?;
            }
            at += chunk.len();
        }
        let _ = progress.update(STAGE, readings.len(), readings.len());
        Ok(())
    }

    /// Runs sequences of one source as a batch.
    fn batch(
        &self,
        readings: &[Reading],
        start: Option<&Start>,
        changes: &mut dyn Tap,
        wanted: &[Site],
    ) -> Result<Batch, Error> {
        let model = self.model();
        let vocabulary = model.info().vocab_size.unwrap_or(0);
        let longest = readings.iter().map(|reading| reading.tokens.len()).max().unwrap_or(0);
        let needed = Limits::size(&[readings.len(), longest, vocabulary], 4);
        let what = format_args!("predictions after {longest} tokens of {} sequences", readings.len());
        model.limits().check(what, needed)?;
        let mut keep = Keep {
            wanted,
            kept: BTreeMap::new(),
        };
        let faults = Edits::new(model.info(), &self.fault().edits, self.fault_donors());
        let (inputs, mut tap) = (Reading::together(readings)?, (faults, (changes, &mut keep)));
        let output = match start {
            Some(start) => model.forward_from(&inputs, start, &mut tap)?,
            None => model.forward(&inputs, &mut tap)?,
        };
        let logits = output.logits.filter(|logits| logits.rank() == 3);
        let logits = logits.ok_or_else(|| Error::NoDecoder {
            model: model.info().name.clone(),
        })?;
        Ok(Batch {
            sites: keep.kept,
            logits,
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
        let own = self.looks_by();
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
    pub(super) fn attention(&self, attention: Attention, decoder: &Decoder) -> Result<Option<AttentionWeights>, Error> {
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
        for (site, tensor) in self.sites.iter().filter(|(site, _)| value(site)) {
            let products = decoder.output_products(site.layer);
            weights.add_values(tensor, products)?;
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
