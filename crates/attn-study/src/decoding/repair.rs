//! Repairs of single stages: activations of a clean run or of random donors in the place of those of a run with an error.

use std::collections::BTreeMap;

use attn_core::{Attention, Progress, Rng, Side, progress::step};
use attn_models::{Point, Result as ModelResult, Site, Tap, candle::Tensor, record::Recorder};

use super::{
    Blame, BlameParams, Decoder, Decoding, Stage, StageShare, Sweep, TokenRow,
    compare::align,
    edits::Edits,
    pass::{Pass, Reading, place},
};
use crate::Error;

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

/// A run that prefers the expected token.
struct CleanRun {
    pass: Pass,
    source: TokenRow,
    note: String,
}

/// The two tokens whose logits are compared, and the step.
#[derive(Clone, Copy)]
pub(super) struct Question {
    pub(super) step: usize,
    pub(super) expected: u32,
    pub(super) found: u32,
}

impl Question {
    /// Whether a run prefers the expected token to all others.
    fn is_answered(self, pass: &Pass) -> Result<bool, Error> {
        let logits = pass.prediction(self.step).unwrap_or_default();
        Ok(self.difference(pass)? > 0.0 && place(&logits, self.expected) == 1)
    }

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
    /// Repairs the stages of a model error one after another.
    pub(super) fn repair(
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
        if base > 0.0 {
            blame.add_note(
                "At the first step that differs the model already prefers the expected token. The expected output loses in later steps \
                 or to the rules of the search, and no repair of this step changes that.",
            );
            return Ok(());
        }
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
        let Some(found) = self.clean_run(&healthy, decoding, prefix, question, &wanted, settings)? else {
            blame.add_note("No clean run: neither this source nor another has the expected token there.");
            return Ok(());
        };
        blame.add_note(&found.note);
        let clean = found.pass;
        // The encoder is repaired first and as a whole: from then on nothing is left of the own source, whose length may differ.
        let repairing = match self.translates() {
            true => self.reading_of(decoding, &found.source, prefix),
            false => reading.clone(),
        };
        let goal = question.difference(&clean)?;
        if !(goal - base).is_finite() {
            blame.add_note(
                "The model gives one of the two tokens a logit that is no number: there are no shares of it.",
            );
            return Ok(());
        }
        let share = |difference: f32| (difference - base) / (goal - base);
        let donors = self.random_donors(&healthy, decoding, &found.source, prefix, question, &sites, settings)?;
        if donors.is_empty() {
            blame.add_note("No random donor: every source that was tried has the expected token there.");
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
                Ok(share(question.difference(&self.pass(&repairing, &mut tap, &[])?)?))
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
        blame.sweep = Some(self.state_sweep(&reading, (&clean, &found.source), goal, question, decoding, progress)?);
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

    /// A run that prefers the expected token: the healthy model on this source, or on the most similar other that has it. States of
    /// an encoder are replaced as a whole, so those of an encoder-decoder may have another length; a prompt may not.
    fn clean_run(
        &self,
        healthy: &Self,
        decoding: &Decoding,
        prefix: &[u32],
        question: Question,
        sites: &[Site],
        settings: &BlameParams,
    ) -> Result<Option<CleanRun>, Error> {
        let own = healthy.pass(&self.reading_of(decoding, &decoding.source, prefix), &mut (), sites)?;
        if question.is_answered(&own)? {
            return Ok(Some(CleanRun {
                pass: own,
                source: decoding.source.clone(),
                note: "Clean run: the same source, read by the model without the fault.".into(),
            }));
        }
        let read = settings.references.iter().filter_map(|text| self.source(text).ok());
        let fits = |source: &TokenRow| {
            let length = self.translates() || source.len() == decoding.source.len();
            length && !source.is_empty() && source.ids != decoding.source.ids
        };
        let mut others: Vec<(usize, TokenRow)> = read
            .filter(fits)
            .map(|source| {
                let changed = align(&decoding.source, &source)
                    .iter()
                    .filter(|place| !place.same)
                    .count();
                (changed, source)
            })
            .collect();
        // Of as many tokens first: every state then has a counterpart.
        others.sort_by_key(|(changed, source)| (source.len() != decoding.source.len(), *changed));
        for (_, source) in others {
            let pass = healthy.pass(&self.reading_of(decoding, &source, prefix), &mut (), sites)?;
            if question.is_answered(&pass)? {
                let note = format!("Clean run: the source \"{}\".", source.text);
                return Ok(Some(CleanRun { pass, source, note }));
            }
        }
        Ok(None)
    }

    /// Runs of the healthy model that do not prefer the expected token, over a shuffled prefix: sources of as many tokens as that of
    /// the clean run among the references, then that source with its text tokens shuffled. A run that prefers it would be a clean
    /// run, and no control.
    fn random_donors(
        &self,
        healthy: &Self,
        decoding: &Decoding,
        own: &TokenRow,
        prefix: &[u32],
        question: Question,
        sites: &[Site],
        settings: &BlameParams,
    ) -> Result<Vec<Pass>, Error> {
        let fits =
            |source: &TokenRow| source.len() == own.len() && source.ids != own.ids && source.ids != decoding.source.ids;
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
        for (number, source) in references.chain(shuffled).enumerate() {
            if donors.len() == settings.random {
                break;
            }
            // States of a decoder say more of its prefix than of its source.
            let mut prefix = prefix.to_vec();
            Rng::new(settings.seed, &[number, 1]).shuffle(&mut prefix);
            let pass = healthy.pass(&self.reading_of(decoding, &source, &prefix), &mut (), sites)?;
            if question.difference(&pass)? < 0.0 {
                donors.push(pass);
            }
        }
        Ok(donors)
    }

    /// The share that every single state brings back. Tokens of a clean run with another source are aligned by edit distance.
    fn state_sweep(
        &self,
        reading: &Reading,
        (clean, source): (&Pass, &TokenRow),
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
        let aligned: Vec<(usize, usize)> = align(&decoding.source, source)
            .iter()
            .filter_map(|place| Some((place.before?, place.after?)))
            .collect();
        let places = |site: Site, tokens: usize| match site.attention {
            Attention::EncoderSelf => aligned.clone(),
            _ => (0..tokens).map(|token| (token, token)).collect(),
        };
        Sweep::run(
            self.model(),
            &inputs,
            &sites,
            &donor,
            &places,
            goal,
            &measure,
            &mut tap,
            progress,
        )
    }
}
