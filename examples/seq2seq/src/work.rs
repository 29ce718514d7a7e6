//! The work that the window starts: runs from the written source, from a token, from edits; neighbors; ranks; blame.

use attn_egui::Jobs;
use attn_sdk::{
    Progress,
    study::decoding::{
        BlameParams, Comparison, Decoder, Decoding, DecodingParams, HeadChoice, NearWord, Shift, StateKind,
    },
};

use crate::{
    session,
    studio::{Ranks, Studio},
    window::{self, News},
};

/// Near words that are offered for a source token.
const NEAR: usize = 8;

/// What a decoding of the same source does in another way.
fn changes(before: &DecodingParams, after: &DecodingParams, languages: &[(String, u32)]) -> String {
    let name = |id: Option<u32>| {
        let found = languages.iter().find(|(_, own)| Some(*own) == id);
        found.map_or("the language as given", |(name, _)| name.as_str())
    };
    let (old, new) = (&before.generation, &after.generation);
    let mut parts: Vec<String> = Vec::new();
    if old.beams != new.beams {
        parts.push(format!("beams {}", new.beams));
    }
    match &new.sampling {
        sampling if *sampling == old.sampling => {}
        Some(sampling) => parts.push(format!("temperature {:.1}", sampling.temperature)),
        None => parts.push("no temperature".into()),
    }
    if old.length_penalty != new.length_penalty {
        parts.push(format!("length penalty {}", new.length_penalty));
    }
    if before.source_language != after.source_language {
        parts.push(format!("from {}", name(after.source_language)));
    }
    if (old.forced_first, old.decoder_start) != (new.forced_first, new.decoder_start) {
        parts.push(format!("into {}", name(new.forced_first.or(new.decoder_start))));
    }
    if before.interventions != after.interventions {
        parts.push("without the edits".into());
    }
    if before.top_k != after.top_k {
        parts.push(format!("{} predictions", after.top_k));
    }
    if parts.is_empty() {
        parts.push("again".into());
    }
    parts.join(", ")
}

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

    /// Decodes the source that is written, beside the shown run.
    pub(crate) fn decode(&mut self, jobs: &Jobs<News>) {
        let parent = self.run().filter(|_| !self.look.listed.is_empty());
        self.decode_from(parent.map(|_| self.look.shown), jobs);
    }

    fn decode_from(&mut self, parent: Option<usize>, jobs: &Jobs<News>) {
        if self.decoder.is_none() {
            self.failure = "there is no model to decode with, or not yet".into();
            return;
        }
        let mut params = self.look.params.clone();
        params.shares = 1;
        if params.generation.sampling.is_some() {
            params.generation.beams = 1;
        }
        params.generation.length_penalty = self.look.penalty;
        let prefix = self.look.prefix.trim().to_owned();
        let source = self.look.source.clone();
        let label = match parent.and_then(|parent| self.runs.get(parent)) {
            _ if !prefix.is_empty() => format!("{source} [{prefix} ...]"),
            Some(run) if run.decoding.source.text == source => changes(&run.decoding.params, &params, &self.languages),
            _ => source.clone(),
        };
        self.start(jobs, parent, label, move |decoder, progress| {
            params.generation.prefix = if prefix.is_empty() {
                Vec::new()
            } else {
                decoder.exact_ids(&prefix)?
            };
            decoder.decode(&source, &params, progress)
        });
    }

    /// Decodes a line of the file of sources: a run of its own.
    pub(super) fn decode_line(&mut self, line: usize, jobs: &Jobs<News>) {
        let Some(source) = self.lines.get(line) else { return };
        self.line = line;
        self.look.source.clone_from(source);
        self.decode_from(None, jobs);
    }

    /// Goes on from a node of the tree.
    pub(crate) fn continued(&self, jobs: &Jobs<News>, entry: usize) {
        let Some(run) = self.run() else { return };
        let decoding = run.decoding.clone();
        let text = decoding.beam.get(entry).map_or("", |entry| entry.token.as_str());
        let step = decoding.beam.get(entry).map_or(0, |entry| entry.step + 1);
        let label = format!("\"{text}\" at step {step}");
        self.start(jobs, Some(self.look.shown), label, move |decoder, progress| {
            decoder.continued(&decoding, entry, progress)
        });
    }

    /// Goes on with another token at a step.
    pub(crate) fn replaced(&self, jobs: &Jobs<News>, step: usize, token: u32, text: &str) {
        let Some(run) = self.run() else { return };
        let (decoding, hypothesis) = (run.decoding.clone(), self.look.hypothesis);
        let label = format!("\"{text}\" at step {}", step + 1);
        self.start(jobs, Some(self.look.shown), label, move |decoder, progress| {
            decoder.replaced(&decoding, hypothesis, step, token, progress)
        });
    }

    /// Goes on with a text at a step.
    pub(super) fn written(&self, jobs: &Jobs<News>, step: usize, text: String) {
        let Some(run) = self.run() else { return };
        let (decoding, hypothesis) = (run.decoding.clone(), self.look.hypothesis);
        let label = format!("\"{text}\" at step {}", step + 1);
        self.start(jobs, Some(self.look.shown), label, move |decoder, progress| {
            decoder.written(&decoding, hypothesis, step, &text, progress)
        });
    }

    /// Looks for words near the source token.
    pub(super) fn find_near_words(&mut self) {
        let id = self.run().and_then(|run| run.decoding.source.ids.get(self.look.token));
        let near = id.and_then(|id| Some(self.decoder.as_ref()?.nearest_words(*id, NEAR)));
        match near {
            Some(Ok(near)) => self.words = near,
            Some(Err(error)) => self.failure = error.to_string(),
            None => {}
        }
    }

    /// Puts a word in the place of the source token, and decodes.
    pub(super) fn substitute(&mut self, word: &NearWord, jobs: &Jobs<News>) {
        let found = self.run().zip(self.decoder.as_ref());
        match found.map(|(run, decoder)| decoder.source_with(&run.decoding, self.look.token, word)) {
            Some(Ok(Some(text))) => {
                self.look.source = text;
                self.decode(jobs);
            }
            Some(Ok(None)) => self.failure = "this token has no place in the source text".into(),
            Some(Err(error)) => self.failure = error.to_string(),
            None => {}
        }
    }

    /// Scores heads over the sources of the listed runs; of the embedded model over its dates too.
    pub(super) fn find_heads(&self, jobs: &Jobs<News>) {
        let Some(decoder) = &self.decoder else { return };
        let listed = self.look.listed.iter().filter_map(|run| self.runs.get(*run));
        let mut sources: Vec<String> = listed.map(|run| run.decoding.source.text.clone()).collect();
        if self.options.model.is_none() {
            sources.extend(session::dates());
        }
        sources.sort_unstable();
        sources.dedup();
        window::score_heads(&self.options, decoder, &self.look.params, sources, jobs);
    }

    /// Ranks the typed word at every step.
    pub(super) fn rank_word(&self, jobs: &Jobs<News>) {
        let (Some(run), Some(decoder)) = (self.run(), self.decoder.clone()) else {
            return;
        };
        let (decoding, hypothesis, shown) = (run.decoding.clone(), self.look.hypothesis, self.look.shown);
        let word = self.look.word.trim().to_owned();
        jobs.start("ranks", move |job| {
            let steps = decoder.rank_everywhere(&decoding, hypothesis, &word, job)?;
            job.send(News::Ranks(Box::new(Ranks {
                run: shown,
                hypothesis,
                word,
                steps,
            })));
            Ok(())
        });
    }

    /// Decodes again with the edited weights.
    pub(super) fn edited(&self, jobs: &Jobs<News>) {
        let Some(run) = self.run() else { return };
        let look = &self.look;
        let (decoding, hypothesis, step) = (run.decoding.clone(), look.hypothesis, look.step);
        let (weights, heads) = (look.weights.clone(), look.flow.heads.clone());
        let label = format!("attention at step {}", step + 1);
        self.start(jobs, Some(look.shown), label, move |decoder, progress| {
            let edits = decoding.attention_edits(hypothesis, step, &heads, &weights)?;
            decoder.edited(&decoding, hypothesis, step, &edits, progress)
        });
    }

    /// Decodes again with the state of a token as the compared run has it.
    pub(super) fn patched(&mut self, jobs: &Jobs<News>) {
        let Some(run) = self.run() else { return };
        let Some((other, theirs)) = self.compared_with() else {
            return;
        };
        let look = &self.look;
        let comparison = Comparison::new(
            (&run.decoding, look.hypothesis),
            (&other.decoding, theirs),
            &HeadChoice::All,
            Shift::Predicted,
        );
        let (kind, hypothesis) = (look.patched, look.hypothesis);
        let (token, step) = match kind {
            StateKind::Encoder => (look.token, 0),
            _ => (look.step, look.step),
        };
        let made = comparison.and_then(|comparison| {
            let places = if kind == StateKind::Encoder {
                &comparison.source
            } else {
                &comparison.target
            };
            let aligned = places.iter().find(|place| place.before == Some(token));
            let from = aligned.and_then(|place| place.after);
            let edits = from.map(|from| {
                run.decoding
                    .state_edits(kind, &[(token, from)], &other.decoding, theirs)
            });
            edits.transpose()
        });
        match made {
            Ok(Some(edits)) => {
                let decoding = run.decoding.clone();
                let label = format!("{kind} state of token {}", token + 1);
                self.start(jobs, Some(look.shown), label, move |decoder, progress| {
                    decoder.edited(&decoding, hypothesis, step, &edits, progress)
                });
            }
            Ok(None) => self.failure = "the compared run has no token that is aligned with this one".into(),
            Err(error) => self.failure = error.to_string(),
        }
    }

    /// Asks the index about the shown hypothesis, unless that is known.
    pub(super) fn find_neighbors(&self, jobs: &Jobs<News>) {
        let (Some(index), Some(run)) = (self.index.clone(), self.run()) else {
            return;
        };
        let known = run.decoding.neighborhood.as_ref().map(|near| near.hypothesis);
        if known == Some(self.look.hypothesis) || run.decoding.hypotheses.is_empty() {
            return;
        }
        let (shown, hypothesis) = (self.look.shown, self.look.hypothesis);
        let (decoding, params) = (run.decoding.clone(), self.near);
        jobs.start("neighbors", move |job| {
            let near = index.neighborhood(&decoding, hypothesis, &params, job)?;
            job.send(News::Near(shown, Box::new(near)));
            Ok(())
        });
    }

    pub(super) fn blame(&self, jobs: &Jobs<News>) {
        let Some(run) = self.run() else { return };
        let Some(decoder) = self.decoder.clone() else { return };
        let (expected, shown) = (self.look.expected.trim().to_owned(), self.look.shown);
        let sources = self.runs.iter().map(|run| run.decoding.source.text.clone());
        let others = self.lines.iter().chain(&self.references);
        let references: Vec<String> = sources.chain(others.cloned()).collect();
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
