//! The work that the window starts: runs from the written source, from a token, from edits; neighbors; blame.

use attn_egui::Jobs;
use attn_sdk::{
    Progress,
    study::decoding::{BlameParams, Comparison, Decoder, Decoding, HeadChoice, Shift, StateKind},
};

use crate::{
    studio::{Experiment, Studio},
    window::News,
};

impl Studio {
    /// Starts work that ends in a run.
    fn start(
        &self,
        jobs: &Jobs<News>,
        parent: Option<usize>,
        label: String,
        work: impl FnOnce(&Decoder, &dyn Progress) -> Result<Decoding, attn_sdk::Error> + Send + 'static,
    ) {
        let Some(decoder) = self.decoder.clone() else { return };
        jobs.start("decode", move |job| {
            let decoding = work(&decoder, job)?;
            job.send(News::Run(Box::new(decoding), parent, label));
            Ok(())
        });
    }

    /// Decodes the source that is written.
    pub(crate) fn decode(&mut self, jobs: &Jobs<News>) {
        let mut params = self.params.clone();
        params.shares = 1;
        if params.generation.sampling.is_some() {
            params.generation.beams = 1;
        }
        params.generation.length_penalty = self.penalty;
        let prefix = self.prefix.trim().to_owned();
        let source = self.source.clone();
        let label = if prefix.is_empty() {
            source.clone()
        } else {
            format!("{source} [{prefix} ...]")
        };
        let parent = self.run().map(|_| self.shown);
        self.start(jobs, parent, label, move |decoder, progress| {
            params.generation.prefix = if prefix.is_empty() {
                Vec::new()
            } else {
                decoder.target_ids(&prefix)?
            };
            decoder.decode(&source, &params, progress)
        });
    }

    /// Goes on from a node of the tree.
    pub(crate) fn continued(&self, jobs: &Jobs<News>, entry: usize) {
        let Some(run) = self.run() else { return };
        let decoding = run.decoding.clone();
        let text = decoding.beam.get(entry).map_or("", |entry| entry.token.as_str());
        let step = decoding.beam.get(entry).map_or(0, |entry| entry.step + 1);
        let label = format!("\"{text}\" at step {step}");
        self.start(jobs, Some(self.shown), label, move |decoder, progress| {
            decoder.continued(&decoding, entry, progress)
        });
    }

    /// Goes on with another token at a step.
    pub(crate) fn replaced(&self, jobs: &Jobs<News>, step: usize, token: u32, text: &str) {
        let Some(run) = self.run() else { return };
        let (decoding, hypothesis) = (run.decoding.clone(), self.hypothesis);
        let label = format!("\"{text}\" at step {}", step + 1);
        self.start(jobs, Some(self.shown), label, move |decoder, progress| {
            decoder.replaced(&decoding, hypothesis, step, token, progress)
        });
    }

    /// Decodes again with the edited weights.
    pub(super) fn edited(&self, jobs: &Jobs<News>) {
        let Some(run) = self.run() else { return };
        let (decoding, hypothesis, step) = (run.decoding.clone(), self.hypothesis, self.step);
        let (weights, heads) = (self.weights.clone(), self.flow.heads.clone());
        let label = format!("attention at step {}", step + 1);
        self.start(jobs, Some(self.shown), label, move |decoder, progress| {
            let edits = decoding.attention_edits(step, &heads, &weights)?;
            decoder.edited(&decoding, hypothesis, step, &edits, progress)
        });
    }

    /// Decodes again with the state of a token as the compared run has it.
    pub(super) fn patched(&mut self, jobs: &Jobs<News>) {
        let Some(run) = self.run() else { return };
        let Some(other) = self.compared() else { return };
        let comparison = Comparison::new(
            (&run.decoding, self.hypothesis),
            (&other.decoding, 0),
            &HeadChoice::All,
            Shift::Predicted,
        );
        let (kind, hypothesis) = (self.patched, self.hypothesis);
        let (token, step) = match kind {
            StateKind::Encoder => (self.token, 0),
            _ => (self.step, self.step),
        };
        let made = comparison.and_then(|comparison| {
            let places = if kind == StateKind::Encoder {
                &comparison.source
            } else {
                &comparison.target
            };
            let aligned = places.iter().find(|place| place.before == Some(token));
            let from = aligned.and_then(|place| place.after);
            let edits = from.map(|from| run.decoding.state_edits(kind, &[(token, from)], &other.decoding, 0));
            edits.transpose()
        });
        match made {
            Ok(Some(edits)) => {
                let decoding = run.decoding.clone();
                let label = format!("{kind} state of token {}", token + 1);
                self.start(jobs, Some(self.shown), label, move |decoder, progress| {
                    decoder.edited(&decoding, hypothesis, step, &edits, progress)
                });
            }
            Ok(None) => self.failure = "the compared run has no token that is aligned with this one".into(),
            Err(error) => self.failure = error.to_string(),
        }
    }

    /// The run that the shown one is compared with.
    pub(super) fn compared(&self) -> Option<&Experiment> {
        let other = self.against.filter(|at| *at != self.shown);
        other.and_then(|at| self.runs.get(at))
    }

    /// Asks the index about the shown hypothesis, unless that is known.
    pub(super) fn find_neighbors(&self, jobs: &Jobs<News>) {
        let (Some(index), Some(run)) = (self.index.clone(), self.run()) else {
            return;
        };
        let known = run.decoding.neighborhood.as_ref().map(|near| near.hypothesis);
        if known == Some(self.hypothesis) || run.decoding.hypotheses.is_empty() {
            return;
        }
        let (decoding, shown, hypothesis, params) = (run.decoding.clone(), self.shown, self.hypothesis, self.near);
        jobs.start("neighbors", move |job| {
            let near = index.neighborhood(&decoding, hypothesis, &params, job)?;
            job.send(News::Near(shown, Box::new(near)));
            Ok(())
        });
    }

    pub(super) fn blame(&self, jobs: &Jobs<News>) {
        let Some(run) = self.run() else { return };
        let Some(decoder) = self.decoder.clone() else { return };
        let (expected, shown) = (self.expected.clone(), self.shown);
        let sources = self.runs.iter().map(|run| run.decoding.source.text.clone());
        let references: Vec<String> = sources.chain(self.references.iter().cloned()).collect();
        let (source, params) = (run.decoding.source.text.clone(), run.decoding.params.clone());
        jobs.start("blame", move |job| {
            let settings = BlameParams {
                references,
                ..BlameParams::default()
            };
            let blame = decoder.blame(&source, &expected, &params, &settings, job)?;
            job.send(News::Blame(shown, Box::new(blame)));
            Ok(())
        });
    }
}
