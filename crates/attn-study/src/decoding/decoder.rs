//! A model that writes, with its tokenizer: search, teacher-forced passes, ranks and scores.

use std::sync::Arc;

use attn_core::{Attention, Limits, Progress, progress::step};
use attn_models::{
    Checkpoint, Inputs, Model, Point, Tokenizer,
    generate::{Generated, GenerationParams, Generator},
    record::Recorder,
};

use super::{
    DecodedHypothesis, Decoding, DecodingParams, Fault, Rank, TokenClass, TokenRow,
    edits::Edits,
    pass::{Pass, Reading, place},
    tree::beam_entries,
};
use crate::{Error, error::quoted};

/// A model that writes, with its tokenizer: an encoder-decoder, or a decoder-only model whose source is the prompt that it
/// continues. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Decoder {
    shared: Arc<Shared>,
    fault: Arc<Fault>,
    fault_donors: Arc<[Recorder]>,
}

#[derive(Debug)]
struct Shared {
    model: Model,
    tokenizer: Tokenizer,
    generation: GenerationParams,
}

/// New tokens of a continuation where nothing else is said.
const CONTINUATION: usize = 40;
/// Words that a message about unknown ones names.
const NAMED: usize = 5;

impl Decoder {
    /// Loads a checkpoint: its model, its tokenizer and how it writes.
    ///
    /// # Errors
    /// Those of [`Model::load`], [`Checkpoint::tokenizer`] and [`GenerationParams::read`]; [`Error::NoDecoder`] for a model that
    /// writes nothing.
    pub fn load(checkpoint: &Checkpoint) -> Result<Self, Error> {
        let generation = GenerationParams::read(checkpoint)?;
        Self::new(Model::load(checkpoint)?, checkpoint.tokenizer()?, generation)
    }

    /// A decoder from its parts.
    ///
    /// # Errors
    /// [`Error::NoDecoder`] for a model that writes nothing.
    pub fn new(model: Model, tokenizer: Tokenizer, generation: GenerationParams) -> Result<Self, Error> {
        if model.info().attention(Attention::DecoderSelf).is_none() {
            return Err(Error::NoDecoder {
                model: model.info().name.clone(),
            });
        }
        Ok(Self {
            shared: Arc::new(Shared {
                model,
                tokenizer,
                generation,
            }),
            fault: Arc::default(),
            fault_donors: Arc::from(Vec::new()),
        })
    }

    /// The same decoder with a fault in every run. [`healthy`](Self::healthy) takes it away again.
    ///
    /// # Errors
    /// Those of [`decode`](Self::decode) for a donor text; [`attn_models::Error::Intervention`] for edits that do not fit the model
    /// or name a donor that is not there.
    pub fn with_fault(&self, fault: Fault) -> Result<Self, Error> {
        Edits::check(self.model().info(), &fault.edits, fault.donors.len())?;
        let healthy = self.healthy();
        let points = Edits::donor_points(&fault.edits);
        let donors = fault.donors.iter().map(|text| healthy.recorded(text, &points));
        let donors: Vec<Recorder> = donors.collect::<Result<_, _>>()?;
        Ok(Self {
            fault: Arc::new(fault),
            fault_donors: donors.into(),
            ..healthy
        })
    }

    /// The same decoder without a fault.
    pub fn healthy(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            fault: Arc::default(),
            fault_donors: Arc::from(Vec::new()),
        }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.shared.model
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.shared.tokenizer
    }

    /// The planted fault; without edits if there is none.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    pub(super) fn fault_donors(&self) -> &[Recorder] {
        &self.fault_donors
    }

    /// Whether the model is an encoder-decoder.
    pub fn translates(&self) -> bool {
        self.model().info().attention(Attention::Cross).is_some()
    }

    /// Settings of a decoding as the checkpoint has them.
    pub fn params(&self) -> DecodingParams {
        DecodingParams {
            generation: self.shared.generation.clone(),
            top_k: 5,
            shares: 1,
            source_language: None,
            interventions: Vec::new(),
        }
    }

    /// Writes for a source, and looks at everything on the way: one search, then one teacher-forced pass per hypothesis.
    ///
    /// # Errors
    /// [`Error::LongSource`] for a source beyond the model's length; [`attn_models::Error::Empty`] for one without a token; those
    /// of the settings, of the interventions, and a cancellation.
    pub fn decode(&self, source: &str, params: &DecodingParams, progress: &dyn Progress) -> Result<Decoding, Error> {
        // Patches need donors, which faults have.
        Edits::check(self.model().info(), &params.interventions, 0)?;
        let source = self.source_in(source, params.source_language)?;
        let generation = self.lengths(&params.generation, source.len());
        self.check_size(&source, &generation)?;
        let generated = self.search(&source, &generation, params, progress)?;
        let (beam, ways) = beam_entries(&generated, self.tokenizer().for_targets());
        let start: &[u32] = if self.translates() { &generated.prompt } else { &[] };
        let mut decoding = Decoding {
            model: self.model().info().name.clone(),
            encoder_decoder: self.translates(),
            start: TokenRow::written(self.tokenizer().for_targets(), start),
            params: DecodingParams {
                generation,
                ..params.clone()
            },
            source,
            hypotheses: Vec::new(),
            beam,
            encoder_self: None,
            encoder_states: Default::default(),
            alignment_heads: Vec::new(),
            blame: None,
            neighborhood: None,
            notes: Vec::new(),
        };
        decoding.notes.extend(self.about_unknown(&decoding.source));
        let sites = self.shown_sites();
        let total = generated.hypotheses.len();
        for (at, (hypothesis, nodes)) in generated.hypotheses.into_iter().zip(ways).enumerate() {
            step(progress, "teacher-forced pass", at, total)?;
            let reading = self.reading(&decoding.source.ids, &generated.prompt, &hypothesis.tokens);
            let mut changes = Edits::new(self.model().info(), &params.interventions, &[]);
            let pass = self.pass(&reading, &mut changes, &sites)?;
            if at == 0 {
                decoding.encoder_self = pass.attention(Attention::EncoderSelf)?;
                decoding.encoder_states = pass.states(Attention::EncoderSelf, Point::Hidden)?;
            }
            decoding.hypotheses.push(DecodedHypothesis {
                row: TokenRow::written(self.tokenizer().for_targets(), &hypothesis.tokens),
                score: hypothesis.score,
                ended: hypothesis.ended,
                steps: pass.steps(self, &hypothesis.tokens, &hypothesis.log_probabilities, params.top_k)?,
                nodes,
                cross: pass.attention(Attention::Cross)?,
                decoder_self: pass.attention(Attention::DecoderSelf)?.unwrap_or_default(),
                decoder_states: pass.states(Attention::DecoderSelf, Point::Hidden)?,
                context_states: pass.states(Attention::Cross, Point::AttentionOutput)?,
                coverage: None,
            });
        }
        let _ = progress.update("teacher-forced pass", total, total);
        for hypothesis in 0..total.min(params.shares) {
            self.add_shares(&mut decoding, hypothesis, progress)?;
        }
        Ok(decoding)
    }

    /// Rank and log-probability of a token at a step of a hypothesis, among the whole vocabulary.
    ///
    /// # Errors
    /// [`Error::NoHypothesis`], [`Error::NoStep`], [`Error::NoToken`]; those of the pass.
    pub fn rank(&self, decoding: &Decoding, hypothesis: usize, step: usize, token: u32) -> Result<Rank, Error> {
        let found = decoding.hypothesis(hypothesis)?;
        if step >= found.row.len() {
            return Err(Error::NoStep {
                step,
                steps: found.row.len(),
            });
        }
        let pass = self.repeated(decoding, &found.row.ids)?;
        let row = pass.log_probabilities(step).unwrap_or_default();
        let log_probability = *row.get(token as usize).ok_or(Error::NoToken {
            token,
            vocabulary: row.len(),
        })?;
        Ok(Rank {
            step,
            id: token,
            rank: place(&row, token),
            log_probability,
        })
    }

    /// Rank and log-probability of every token of a text, forced from a step of a hypothesis on.
    ///
    /// # Errors
    /// As [`rank`](Self::rank); those of the tokenizer.
    pub fn rank_text(
        &self,
        decoding: &Decoding,
        hypothesis: usize,
        step: usize,
        text: &str,
    ) -> Result<Vec<Rank>, Error> {
        let found = decoding.hypothesis(hypothesis)?;
        let before = found.row.ids.get(..step).ok_or(Error::NoStep {
            step,
            steps: found.row.len(),
        })?;
        let forced = self.exact_ids(text)?;
        let all = [before, &forced].concat();
        let pass = self.repeated(decoding, &all)?;
        let ranks = forced.iter().zip(step..).filter_map(|(&id, step)| {
            let row = pass.log_probabilities(step)?;
            Some(Rank {
                step,
                id,
                rank: place(&row, id),
                log_probability: row.get(id as usize).copied()?,
            })
        });
        Ok(ranks.collect())
    }

    /// How likely a text is at every step of a hypothesis, the steps before forced: a pass over the hypothesis, and one per step
    /// where the text has more than one token. Id and rank are those of its first token, the log-probability is of all. Empty for
    /// a text without tokens.
    ///
    /// # Errors
    /// As [`rank_text`](Self::rank_text); cancellation.
    ///
    /// ```
    /// use attn_study::decoding::Decoder;
    ///
    /// let decoder = Decoder::load(&attn_embedded::DATES.checkpoint()?)?;
    /// let run = decoder.decode("May 21, 2000", &decoder.params(), &())?;
    /// let ranks = decoder.rank_everywhere(&run, 0, "5", &())?;
    /// let best = ranks.iter().max_by(|a, b| a.log_probability.total_cmp(&b.log_probability));
    /// // Step 6, counted from 0, writes the month of 2000-05-21.
    /// assert_eq!(best.map(|rank| (rank.step, rank.rank)), Some((6, 1)));
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    pub fn rank_everywhere(
        &self,
        decoding: &Decoding,
        hypothesis: usize,
        text: &str,
        progress: &dyn Progress,
    ) -> Result<Vec<Rank>, Error> {
        let found = decoding.hypothesis(hypothesis)?;
        let forced = self.exact_ids(text)?;
        let Some(&id) = forced.first() else {
            return Ok(Vec::new());
        };
        let pass = self.repeated(decoding, &found.row.ids)?;
        let steps = found.row.len();
        let mut ranks = Vec::with_capacity(steps);
        for at in 0..steps {
            step(progress, "ranks", at, steps)?;
            let Some(row) = pass.log_probabilities(at) else {
                continue;
            };
            let first = *row.get(id as usize).ok_or(Error::NoToken {
                token: id,
                vocabulary: row.len(),
            })?;
            let log_probability = match forced.len() {
                1 => first,
                _ => {
                    let tokens = self.rank_text(decoding, hypothesis, at, text)?;
                    // What lies beyond the longest sequence cannot be written.
                    let whole = tokens.len() == forced.len();
                    let sum = tokens.iter().map(|own| own.log_probability).sum();
                    if whole { sum } else { f32::NEG_INFINITY }
                }
            };
            ranks.push(Rank {
                step: at,
                id,
                rank: place(&row, id),
                log_probability,
            });
        }
        let _ = progress.update("ranks", steps, steps);
        Ok(ranks)
    }

    /// A pass over new tokens in the setting of a decoding.
    pub(super) fn repeated(&self, decoding: &Decoding, tokens: &[u32]) -> Result<Pass, Error> {
        let prompt = if decoding.encoder_decoder {
            &decoding.start.ids
        } else {
            &decoding.source.ids
        };
        let reading = self.reading(&decoding.source.ids, prompt, tokens);
        let mut changes = Edits::new(self.model().info(), &decoding.params.interventions, &[]);
        self.pass(&reading, &mut changes, &[])
    }

    /// Source, prompt and new tokens as the model reads them. A last token beyond the longest sequence is left out: it predicts
    /// nothing.
    pub(super) fn reading(&self, source: &[u32], prompt: &[u32], new: &[u32]) -> Reading {
        let mut tokens = [prompt, new].concat();
        tokens.truncate(self.model().info().max_tokens.unwrap_or(usize::MAX));
        Reading {
            source: if self.translates() { source.to_vec() } else { Vec::new() },
            tokens,
            prompt: prompt.len(),
        }
    }

    /// The tokens of a source.
    pub(super) fn source(&self, text: &str) -> Result<TokenRow, Error> {
        let info = self.model().info();
        let encoded = match self.tokenizer().encode(text, info) {
            Err(attn_models::Error::Empty { .. }) => return Err(Error::NoText { what: "source" }),
            encoded => encoded?,
        };
        let ids = self.tokenizer().prompt(text, info)?;
        if let Some(tokens) = encoded.cut_from {
            return Err(Error::LongSource {
                tokens,
                limit: encoded.tokens.len(),
            });
        }
        let tokens = encoded.tokens.get(..ids.len()).unwrap_or(&encoded.tokens);
        Ok(TokenRow::read(text, tokens))
    }

    /// The tokens of a source, with a language in the place of its own.
    pub(super) fn source_in(&self, text: &str, language: Option<u32>) -> Result<TokenRow, Error> {
        let mut source = self.source(text)?;
        if let Some(language) = language {
            self.set_language(&mut source, language)?;
        }
        Ok(source)
    }

    /// The ids of a text as a target, or as the beginning of one: without special tokens, and read by what reads targets.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn target_ids(&self, text: &str) -> Result<Vec<u32>, Error> {
        let targets = self.tokenizer().for_targets();
        Ok(targets.plain_ids(text, self.model().info())?)
    }

    /// As [`target_ids`](Self::target_ids), for a text that has to be written whole: a prefix, or an output that is expected.
    ///
    /// # Errors
    /// [`Error::NoText`]; [`Error::UnknownWords`] for a script, or words, that the vocabulary lacks; those of the tokenizer.
    pub fn exact_ids(&self, text: &str) -> Result<Vec<u32>, Error> {
        let targets = self.tokenizer().for_targets();
        let words = self.unknown_words(targets, text);
        if !words.is_empty() {
            return Err(Error::UnknownWords { words });
        }
        match self.target_ids(text) {
            Ok(ids) if ids.is_empty() => Err(Error::NoText { what: "target" }),
            Err(Error::Models(attn_models::Error::Empty { .. })) => Err(Error::NoText { what: "target" }),
            ids => ids,
        }
    }

    /// The first words of a text with something that a vocabulary lacks.
    fn unknown_words(&self, tokenizer: &Tokenizer, text: &str) -> Vec<String> {
        let Some(unknown) = tokenizer.unknown_id() else {
            return Vec::new();
        };
        let lacks = |text: &str| {
            let encoded = tokenizer.encode(text, self.model().info());
            encoded.is_ok_and(|encoded| encoded.tokens.iter().any(|token| token.id == Some(unknown)))
        };
        if !lacks(text) {
            return Vec::new();
        }
        // Who spells the token out means it.
        let spelling = tokenizer.token(unknown).text;
        let words = text.split_whitespace().filter(|word| *word != spelling && lacks(word));
        let mut words: Vec<String> = words.take(NAMED).map(str::to_owned).collect();
        if words.is_empty() && !text.contains(&spelling) {
            // Unknown only together, or as white space.
            words.push(text.to_owned());
        }
        words
    }

    /// A note on source tokens that the vocabulary lacks.
    fn about_unknown(&self, source: &TokenRow) -> Option<String> {
        let unknown = self.tokenizer().unknown_id()?;
        let count = source.ids.iter().filter(|id| **id == unknown).count();
        let words = self.unknown_words(self.tokenizer(), &source.text);
        (count > 0 && !words.is_empty()).then(|| {
            let all = source.len();
            format!(
                "source: {count} of {all} tokens are unknown to the model: {}",
                quoted(&words)
            )
        })
    }

    /// Asks for the memory of what is kept of every hypothesis: attention and states.
    fn check_size(&self, source: &TokenRow, generation: &GenerationParams) -> Result<(), Error> {
        let info = self.model().info();
        let longest = info.max_tokens.unwrap_or(usize::MAX);
        let new = generation
            .max_new_tokens
            .or(generation.max_length)
            .unwrap_or(CONTINUATION);
        let tokens = new.min(longest).saturating_add(1);
        let heads = info.attentions.iter().map(|own| own.layers.len() * own.heads).sum();
        let attention = Limits::size(
            &[generation.beams, heads, tokens, tokens.saturating_add(source.len())],
            4,
        );
        let states = Limits::size(&[generation.beams, tokens, info.hidden_size], 8);
        let what = format_args!("{} hypotheses of up to {new} tokens", generation.beams);
        Ok(Limits::default().check(what, attention.saturating_add(states))?)
    }

    /// The languages that texts are marked with: their codes and the ids of their tokens.
    pub fn languages(&self) -> Vec<(String, u32)> {
        let codes = self.tokenizer().languages();
        codes
            .filter_map(|code| Some((code.to_owned(), self.tokenizer().language_id(code).ok()?)))
            .collect()
    }

    /// The id of a language's token, by its code or its token.
    ///
    /// # Errors
    /// [`Error::LanguageInText`] for a mark that stands in the source text (`>>fra<<`); those of [`Tokenizer::language_id`].
    pub fn language(&self, name: &str) -> Result<u32, Error> {
        if name.starts_with(">>") && name.ends_with("<<") {
            return Err(Error::LanguageInText { mark: name.to_owned() });
        }
        Ok(self.tokenizer().language_id(name)?)
    }

    /// Sets the language of the target, by its code or its token.
    ///
    /// # Errors
    /// As [`language`](Self::language).
    pub fn set_target_language(&self, generation: &mut GenerationParams, name: &str) -> Result<(), Error> {
        self.language(name)?;
        Ok(generation.set_language(self.tokenizer(), name)?)
    }

    /// Puts a language in the place of the source's own.
    fn set_language(&self, source: &mut TokenRow, language: u32) -> Result<(), Error> {
        let text = self.tokenizer().token(language).text;
        let Some(at) = source.classes.iter().position(|class| *class == TokenClass::Language) else {
            return Err(Error::NoLanguage {
                name: text,
                languages: Vec::new(),
            });
        };
        (source.ids[at], source.tokens[at]) = (language, text);
        Ok(())
    }

    /// Lengths where neither the settings nor the checkpoint say anything: room for a translation, not the reference's 20 tokens.
    fn lengths(&self, generation: &GenerationParams, source: usize) -> GenerationParams {
        let mut generation = generation.clone();
        if generation.max_new_tokens.is_none() && (generation.max_length.is_none() || !self.translates()) {
            generation.max_new_tokens = Some(if self.translates() {
                2 * source + 10
            } else {
                CONTINUATION
            });
        }
        generation
    }

    fn search(
        &self,
        source: &TokenRow,
        generation: &GenerationParams,
        params: &DecodingParams,
        progress: &dyn Progress,
    ) -> Result<Generated, Error> {
        let (info, fault) = (self.model().info(), self.fault());
        let changed = !params.interventions.is_empty() || !fault.edits.is_empty();
        let generation = GenerationParams {
            alternatives: params.top_k.max(generation.alternatives),
            // Tokens of interventions count from the start, so every step has to see all of them.
            cache: generation.cache && !changed,
            ..generation.clone()
        };
        let mut tap = (
            Edits::new(info, &fault.edits, self.fault_donors()),
            Edits::new(info, &params.interventions, &[]),
        );
        let inputs = Inputs::from_ids(std::slice::from_ref(&source.ids), 0)?;
        let found = Generator::new(self.model(), &generation)?.run(&inputs, &mut tap, progress)?;
        found.into_iter().next().ok_or(Error::NoSource { expected: "a source" })
    }

    /// Activations of a text and what the model writes for it.
    fn recorded(&self, text: &str, points: &[Point]) -> Result<Recorder, Error> {
        let params = DecodingParams {
            shares: 0,
            ..self.params()
        };
        let decoding = self.decode(text, &params, &())?;
        let written = decoding.hypothesis(0)?.row.ids.clone();
        let prompt = if self.translates() {
            &decoding.start.ids
        } else {
            &decoding.source.ids
        };
        let mut recorder = Recorder::of(points);
        let reading = self.reading(&decoding.source.ids, prompt, &written);
        self.model().forward(&reading.inputs()?, &mut recorder)?;
        Ok(recorder)
    }
}
