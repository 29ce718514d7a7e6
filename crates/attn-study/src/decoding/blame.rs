//! Blame: which stage caused a wrong output, by intervention.
//!
//! Search or model is decided first: if the expected output scores at least as high as the output found, the search missed it
//! (Stahlberg and Byrne 2019, "On NMT search errors and model errors"). For a model error, the stages are repaired one after
//! another at the first step where both outputs differ, in the order in which the model computes them: the activations of a
//! stage are replaced by those of a clean run, those before stay repaired. A stage's share is what its repair brings back of the
//! difference of the two logits. Its control is the same repair from random donors: other sources, or this one with its tokens
//! shuffled, for which the model does not prefer the expected token.

use std::collections::BTreeMap;

use attn_core::{Attention, Progress, Rng, Side, progress::step};
use attn_models::{Point, Result as ModelResult, Site, Tap, candle::Tensor, record::Recorder};
use serde::{Deserialize, Serialize};

use super::{
    Decoder, Decoding, DecodingParams, EntryFate, Sweep, TokenRow,
    edits::Edits,
    pass::{Pass, Reading},
};
use crate::Error;

/// Kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlameKind {
    /// The model prefers the expected output; the search did not find it.
    Search,
    /// The model prefers another output.
    Model,
    /// The output is as expected.
    None,
}

/// A stage of the model, in the order of computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The states of the source.
    Encoder,
    /// The attention weights of the decoder.
    Attention,
    /// The states of the decoder.
    Decoder,
    /// From the last state to the logits.
    Prediction,
    /// No repair beats its control.
    Undetermined,
}

/// What the repair of one stage brings back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StageShare {
    /// The stage.
    pub stage: Stage,
    /// Share of the difference of logits between the clean run and this one.
    pub recovered: f32,
    /// The mean of the same from random donors; 0 without any.
    pub control: f32,
    /// The layer whose repair brings back most; `None` for the prediction.
    pub layer: Option<usize>,
}

/// Scores of whole outputs: log-probability over length to the power of the penalty.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TextScores {
    /// Of the output found.
    pub found: f32,
    /// Of the expected output.
    pub expected: f32,
    /// Of the empty output.
    pub empty: f32,
}

/// Where a search lost the expected output.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SearchError {
    /// The step at which its prefix left the beam.
    pub step: usize,
    /// Its place among the expansions of that step, 1 for the best; `None` if it was not among those compared.
    pub rank: Option<usize>,
    /// By how much its total log-probability was below the last one that was kept; `None` with `rank`.
    pub margin: Option<f32>,
    /// The fewest beams that find an output with at least its score, of the widths that were tried.
    pub width: Option<usize>,
}

/// The result: kind, stage, and the evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blame {
    /// Search, model, or no error.
    pub kind: BlameKind,
    /// The stage of a model error.
    pub stage: Option<Stage>,
    /// Share that the repair of that stage brings back; of an undetermined one, the largest share of any stage.
    pub recovered: Option<f32>,
    /// The same from random donors.
    pub control: Option<f32>,
    /// The expected output.
    pub expected: String,
    /// The output found.
    pub found: String,
    /// Their scores.
    pub scores: TextScores,
    /// The first step at which both differ.
    pub step: Option<usize>,
    /// Evidence of a search error.
    pub search: Option<SearchError>,
    /// Evidence of a model error, in the order of computation.
    pub stages: Vec<StageShare>,
    /// Share brought back by the state of one token after one layer; `None` without a clean run.
    pub sweep: Option<Sweep>,
    /// What the clean run was, or why there is none.
    pub note: String,
}

/// Settings of the search for a cause.
#[derive(Debug, Clone)]
pub struct BlameParams {
    /// A model of the same kind without the error, as clean run. Default: none; where a fault is planted, the model without it.
    pub healthy: Option<Decoder>,
    /// Other sources, for random donors and, where the healthy model does not prefer the expected token, for a clean run: those
    /// of as many tokens. Default: none.
    pub references: Vec<String>,
    /// Random donors per stage. Default 8.
    pub random: usize,
    /// Most beams that are tried for a search error. Default 16.
    pub most_beams: usize,
    /// The least share by which a stage is blamed. Default 0.5.
    pub least: f32,
    /// By how much it must be above its control. Default 0.1.
    pub margin: f32,
    /// Seed of the random donors. Default 0.
    pub seed: u64,
}

impl Default for BlameParams {
    fn default() -> Self {
        Self {
            healthy: None,
            references: Vec::new(),
            random: 8,
            most_beams: 16,
            least: 0.5,
            margin: 0.1,
            seed: 0,
        }
    }
}

/// Sources that are tried for each random donor.
const TRIES: usize = 4;

/// Replaces the activations of some sites by those of another run.
struct Transplant<'a> {
    from: BTreeMap<Site, &'a Tensor>,
}

impl Tap for Transplant<'_> {
    fn wants(&self, site: Site) -> bool {
        self.from.contains_key(&site)
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> ModelResult<Tensor> {
        Ok(self.from.get(&site).map_or(tensor, |&other| other.clone()))
    }
}

/// The two tokens whose logits are compared, and the step.
#[derive(Clone, Copy)]
struct Question {
    step: usize,
    expected: u32,
    found: u32,
}

impl Question {
    fn difference(self, pass: &Pass) -> Result<f32, Error> {
        let logits = pass.prediction(self.step).unwrap_or_default();
        let logit = |id: u32| {
            logits.get(id as usize).copied().ok_or(Error::NoToken {
                token: id,
                vocabulary: logits.len(),
            })
        };
        Ok(logit(self.expected)? - logit(self.found)?)
    }
}

impl Decoder {
    /// Finds what caused an output other than the expected one.
    ///
    /// ```
    /// use attn_study::decoding::{BlameKind, BlameParams, Decoder};
    ///
    /// let decoder = Decoder::load(&attn_embedded::DATES.checkpoint()?)?;
    /// let blame = decoder.blame("May 21, 2000", "2000-05-21", &decoder.params(), &BlameParams::default(), &())?;
    /// assert_eq!(blame.kind, BlameKind::None);
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`decode`](Self::decode) and of the tokenizer for `expected`; a cancellation.
    pub fn blame(
        &self,
        source: &str,
        expected: &str,
        params: &DecodingParams,
        settings: &BlameParams,
        progress: &dyn Progress,
    ) -> Result<Blame, Error> {
        let params = DecodingParams {
            shares: 0,
            ..params.clone()
        };
        let decoding = self.decode(source, &params, progress)?;
        let found = decoding.hypothesis(0)?;
        let wanted = self.target(&decoding, expected)?;
        let mut blame = Blame {
            kind: BlameKind::None,
            stage: None,
            recovered: None,
            control: None,
            expected: expected.to_owned(),
            found: found.row.text.clone(),
            scores: TextScores {
                found: found.score,
                expected: self.score(&decoding, &wanted)?,
                empty: self.score(&decoding, &self.ended(&decoding, Vec::new()))?,
            },
            step: None,
            search: None,
            stages: Vec::new(),
            sweep: None,
            note: String::new(),
        };
        if found.row.ids == wanted || found.row.text.trim() == expected.trim() {
            return Ok(blame);
        }
        let step = found.row.ids.iter().zip(&wanted).position(|(a, b)| a != b);
        blame.step = step;
        if blame.scores.expected >= blame.scores.found {
            blame.kind = BlameKind::Search;
            let width = self.least_width(&decoding, blame.scores.expected, settings, progress)?;
            blame.search = Some(lost(&decoding, &wanted, width));
            return Ok(blame);
        }
        blame.kind = BlameKind::Model;
        blame.stage = Some(Stage::Undetermined);
        let Some(step) = step else {
            blame.note = "One output is the beginning of the other: no step has two tokens to compare.".into();
            return Ok(blame);
        };
        let question = Question {
            step,
            expected: wanted[step],
            found: found.row.ids[step],
        };
        self.repair(&decoding, &wanted[..step], question, settings, &mut blame, progress)?;
        Ok(blame)
    }

    /// The tokens of a target: its text, after the language if the settings force one, before the end.
    fn target(&self, decoding: &Decoding, text: &str) -> Result<Vec<u32>, Error> {
        let ids = self.tokenizer().plain_ids(text, self.model().info())?;
        Ok(self.ended(decoding, ids))
    }

    fn ended(&self, decoding: &Decoding, mut ids: Vec<u32>) -> Vec<u32> {
        let settings = &decoding.params.generation;
        if let Some(first) = settings.forced_first.filter(|_| decoding.prompt_tokens() == 1) {
            ids.insert(0, first);
        }
        ids.extend(settings.end.first());
        ids
    }

    /// The score of an output as the search would count it.
    fn score(&self, decoding: &Decoding, ids: &[u32]) -> Result<f32, Error> {
        let (settings, prompt) = (&decoding.params.generation, decoding.prompt_tokens());
        let pass = self.repeated(decoding, ids)?;
        let limit = match (settings.max_new_tokens, settings.max_length) {
            (Some(new), _) => Some(prompt + new),
            (None, length) => length,
        };
        let mut total = 0.0_f64;
        for (step, &id) in ids.iter().enumerate() {
            let first = step == 0 && prompt == 1 && settings.forced_first.is_some();
            let last = settings.forced_end == Some(id) && Some(prompt + step + 1) == limit;
            if !(first || last) {
                let row = pass.log_probabilities(step).unwrap_or_default();
                total += f64::from(row.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY));
            }
        }
        Ok((total / (ids.len().max(1) as f64).powf(settings.length_penalty)) as f32)
    }

    /// The fewest beams beyond those of a decoding that find a score.
    fn least_width(
        &self,
        decoding: &Decoding,
        score: f32,
        settings: &BlameParams,
        progress: &dyn Progress,
    ) -> Result<Option<usize>, Error> {
        for beams in decoding.params.generation.beams + 1..=settings.most_beams {
            step(progress, "wider beams", beams, settings.most_beams)?;
            let mut params = decoding.params.clone();
            params.generation.beams = beams;
            params.generation.sampling = None;
            let wider = self.decode(&decoding.source.text, &params, &())?;
            if wider.hypothesis(0)?.score >= score - 1e-5 {
                return Ok(Some(beams));
            }
        }
        Ok(None)
    }

    /// Repairs the stages of a model error one after another.
    fn repair(
        &self,
        decoding: &Decoding,
        prefix: &[u32],
        question: Question,
        settings: &BlameParams,
        blame: &mut Blame,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let healthy = settings.healthy.clone().unwrap_or_else(|| self.healthy());
        let stages = self.stage_sites();
        let sites: Vec<Site> = stages.iter().map(|(_, site)| *site).collect();
        let reading = self.reading_of(decoding, &decoding.source, prefix);
        let changes = || Edits::new(self.model().info(), &decoding.params.interventions, &[]);
        let base = question.difference(&self.pass(&reading, &mut changes(), &[])?)?;
        // The map shows the encoder's other layers too.
        let encoder = self
            .model()
            .info()
            .attention(Attention::EncoderSelf)
            .map_or(0, |own| own.layers.len());
        let shown = (0..encoder)
            .filter(|_| self.translates())
            .map(|layer| Site::hidden(Side::Encoder, layer));
        let wanted: Vec<Site> = sites.iter().copied().chain(shown).collect();
        let Some((clean, note)) = self.clean_run(&healthy, decoding, prefix, question, &wanted, settings)? else {
            blame.note =
                "No clean run: neither this source nor another of as many tokens has the expected token there.".into();
            return Ok(());
        };
        blame.note = note;
        let goal = question.difference(&clean)?;
        let share = |difference: f32| (difference - base) / (goal - base);
        let donors = self.random_donors(&healthy, decoding, prefix, question, &sites, settings)?;

        if donors.is_empty() {
            blame
                .note
                .push_str(" No random donor: every source that was tried has the expected token there.");
        }
        let mut shares: Vec<StageShare> = [Stage::Encoder, Stage::Attention, Stage::Decoder, Stage::Prediction]
            .into_iter()
            .filter(|stage| *stage == Stage::Prediction || stages.iter().any(|(own, _)| own == stage))
            .map(|stage| StageShare {
                stage,
                recovered: 0.0,
                control: 0.0,
                layer: None,
            })
            .collect();
        let mut largest: BTreeMap<Stage, f32> = BTreeMap::new();
        let mut repaired: BTreeMap<Site, &Tensor> = BTreeMap::new();
        let mut before = 0.0;
        for (at, &(stage, site)) in stages.iter().enumerate() {
            step(progress, "repairs", at, stages.len())?;
            let with = |donor: &Pass, repaired: &BTreeMap<Site, &Tensor>| -> Result<f32, Error> {
                let mut from = BTreeMap::new();
                from.extend(repaired.iter().map(|(site, tensor)| (*site, *tensor)));
                from.extend(donor.sites.get(&site).map(|tensor| (site, tensor)));
                let mut tap = (changes(), Transplant { from });
                Ok(share(question.difference(&self.pass(&reading, &mut tap, &[])?)?))
            };
            let after = with(&clean, &repaired)?;
            let gain = after - before;
            let Some(entry) = shares.iter_mut().find(|share| share.stage == stage) else {
                continue;
            };
            entry.recovered += gain;
            // What brings nothing back needs no control.
            if gain > 0.05 && largest.get(&stage).is_none_or(|most| gain > *most) {
                largest.insert(stage, gain);
                let mut sum = 0.0;
                for donor in &donors {
                    sum += with(donor, &repaired)? - before;
                }
                entry.control = sum / donors.len().max(1) as f32;
                entry.layer = Some(site.layer);
            }
            repaired.extend(clean.sites.get(&site).map(|tensor| (site, tensor)));
            before = after;
        }
        if let Some(last) = shares.last_mut() {
            last.recovered = 1.0 - before;
            let mut sum = 0.0;
            for donor in &donors {
                sum += share(question.difference(donor)?) - before;
            }
            last.control = sum / donors.len().max(1) as f32;
        }
        let blamed = shares
            .iter()
            .find(|share| share.recovered >= settings.least && share.recovered >= share.control + settings.margin);
        let most = shares.iter().max_by(|a, b| a.recovered.total_cmp(&b.recovered));
        if let Some(evidence) = blamed.or(most) {
            blame.stage = Some(blamed.map_or(Stage::Undetermined, |share| share.stage));
            (blame.recovered, blame.control) = (Some(evidence.recovered), Some(evidence.control));
        }
        blame.stages = shares;
        blame.sweep = Some(self.state_sweep(&reading, &clean, goal, question, decoding, progress)?);
        Ok(())
    }

    /// Every site that is repaired with its stage, in the order of computation.
    fn stage_sites(&self) -> Vec<(Stage, Site)> {
        let info = self.model().info();
        let layers = |attention| info.attention(attention).map_or(0, |own| own.layers.len());
        let mut sites = Vec::new();
        if self.translates() {
            let last = Site::hidden(Side::Encoder, layers(Attention::EncoderSelf));
            sites.push((Stage::Encoder, last));
        }
        let decoder = layers(Attention::DecoderSelf);
        for layer in 0..decoder {
            sites.push((Stage::Decoder, Site::hidden(Side::Decoder, layer)));
            for attention in [Attention::DecoderSelf, Attention::Cross] {
                if layer < layers(attention) {
                    sites.push((Stage::Attention, Site::new(attention, layer, Point::Attention)));
                }
            }
        }
        sites.push((Stage::Decoder, Site::hidden(Side::Decoder, decoder)));
        sites
    }

    fn reading_of(&self, decoding: &Decoding, source: &TokenRow, prefix: &[u32]) -> Reading {
        let prompt = if decoding.encoder_decoder {
            &decoding.start.ids
        } else {
            &source.ids
        };
        self.reading(&source.ids, prompt, prefix)
    }

    /// A run that prefers the expected token: the healthy model on this source, or on another of as many tokens.
    fn clean_run(
        &self,
        healthy: &Self,
        decoding: &Decoding,
        prefix: &[u32],
        question: Question,
        sites: &[Site],
        settings: &BlameParams,
    ) -> Result<Option<(Pass, String)>, Error> {
        let own = healthy.pass(&self.reading_of(decoding, &decoding.source, prefix), &mut (), sites)?;
        if question.difference(&own)? > 0.0 {
            let note = "Clean run: the same source, read by the model without the fault.";
            return Ok(Some((own, note.into())));
        }
        for text in &settings.references {
            let Ok(source) = self.source(text) else { continue };
            if source.len() != decoding.source.len() || source.ids == decoding.source.ids {
                continue;
            }
            let pass = healthy.pass(&self.reading_of(decoding, &source, prefix), &mut (), sites)?;
            if question.difference(&pass)? > 0.0 {
                return Ok(Some((pass, format!("Clean run: the source \"{text}\"."))));
            }
        }
        Ok(None)
    }

    /// Runs of the healthy model that do not prefer the expected token: sources of as many tokens among the references, then the
    /// source with its text tokens shuffled. A run that prefers it would be a clean run, and no control.
    fn random_donors(
        &self,
        healthy: &Self,
        decoding: &Decoding,
        prefix: &[u32],
        question: Question,
        sites: &[Site],
        settings: &BlameParams,
    ) -> Result<Vec<Pass>, Error> {
        let own = &decoding.source;
        let fits = |source: &TokenRow| source.len() == own.len() && source.ids != own.ids;
        let read = settings.references.iter().filter_map(|text| self.source(text).ok());
        let references = read.filter(fits).take(TRIES * settings.random);
        let places: Vec<usize> = (0..own.len()).filter(|&at| own.is_text(at)).collect();
        let shuffled = (0..TRIES * settings.random).map(|number| {
            let mut source = own.clone();
            let order = Rng::new(settings.seed, &[number]).permutation(places.len());
            for (place, from) in places.iter().zip(order) {
                source.ids[*place] = own.ids[places[from]];
            }
            source
        });
        let mut donors = Vec::new();
        for source in references.chain(shuffled) {
            if donors.len() == settings.random {
                break;
            }
            let pass = healthy.pass(&self.reading_of(decoding, &source, prefix), &mut (), sites)?;
            if question.difference(&pass)? < 0.0 {
                donors.push(pass);
            }
        }
        Ok(donors)
    }

    /// The share that every single state brings back.
    fn state_sweep(
        &self,
        reading: &Reading,
        clean: &Pass,
        goal: f32,
        question: Question,
        decoding: &Decoding,
        progress: &dyn Progress,
    ) -> Result<Sweep, Error> {
        let mut donor = Recorder::default();
        let hidden = clean.sites.iter().filter(|(site, _)| site.point == Point::Hidden);
        donor.tensors = hidden.map(|(site, tensor)| (*site, tensor.clone())).collect();
        let sites: Vec<Site> = donor.tensors.keys().copied().collect();
        let row = (reading.prompt + question.step).saturating_sub(1);
        let measure = |output: &attn_models::model::Output| -> Result<f32, Error> {
            let at = || -> attn_models::candle::Result<Option<(f32, f32)>> {
                let Some(logits) = &output.logits else { return Ok(None) };
                let logits = logits.get(0)?.get(row)?;
                let logit = |id: u32| logits.get(id as usize)?.to_scalar::<f32>();
                Ok(Some((logit(question.expected)?, logit(question.found)?)))
            };
            let found = at().map_err(attn_models::Error::from)?;
            Ok(found.map_or(0.0, |(expected, found)| expected - found))
        };
        let info = self.model().info();
        let mut tap = (
            Edits::new(info, &self.fault().edits, self.fault_donors()),
            Edits::new(info, &decoding.params.interventions, &[]),
        );
        let inputs = reading.inputs()?;
        Sweep::run(
            self.model(),
            &inputs,
            &sites,
            &donor,
            goal,
            &measure,
            &mut tap,
            progress,
        )
    }
}

/// Where the prefix of an output left the beam.
fn lost(decoding: &Decoding, wanted: &[u32], width: Option<usize>) -> SearchError {
    let mut parent = None;
    for (step, &id) in wanted.iter().enumerate() {
        let here = || decoding.beam.iter().enumerate().filter(|(_, entry)| entry.step == step);
        let found = here().position(|(_, entry)| entry.parent == parent && entry.id == id);
        let entry = here().find(|(_, entry)| entry.parent == parent && entry.id == id);
        match entry {
            Some((index, entry)) if entry.fate == EntryFate::Kept => parent = Some(index),
            Some((_, entry)) => {
                let last = here().filter(|(_, other)| other.fate != EntryFate::Pruned).last();
                return SearchError {
                    step,
                    rank: found.map(|rank| rank + 1),
                    margin: last.map(|(_, last)| last.total - entry.total),
                    width,
                };
            }
            None => {
                return SearchError {
                    step,
                    rank: None,
                    margin: None,
                    width,
                };
            }
        }
    }
    SearchError {
        step: wanted.len(),
        rank: None,
        margin: None,
        width,
    }
}
