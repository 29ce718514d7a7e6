//! A model that writes, with its tokenizer: search and teacher-forced passes.

use std::sync::{Arc, OnceLock};

use attn_core::{Attention, Limits, Progress, ndarray::Array3};
use attn_models::{
    Checkpoint, Inputs, Model, Point, Tokenizer,
    generate::{Generated, GenerationParams, Generator, Hypothesis},
    record::Recorder,
};

use super::{
    DecodedHypothesis, Decoding, DecodingParams, Fault, TokenClass, TokenRow,
    attention::output_products,
    edits::Edits,
    pass::{Pass, Reading},
    tree::beam_entries,
};
use crate::Error;

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
    /// Of each layer of the attention to the source, made when a run first needs them.
    output_products: OnceLock<Vec<Option<Array3<f32>>>>,
}

/// New tokens of a continuation where nothing else is said.
const CONTINUATION: usize = 40;

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
                output_products: OnceLock::new(),
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

    /// The attention that looks at the source.
    pub(super) fn looks_by(&self) -> Attention {
        match self.translates() {
            true => Attention::Cross,
            false => Attention::DecoderSelf,
        }
    }

    /// The [products](output_products) of a layer of the attention that looks at the source; `None` where the model does not give
    /// its matrices.
    pub(super) fn output_products(&self, layer: usize) -> Option<&Array3<f32>> {
        let all = self.shared.output_products.get_or_init(|| {
            let (model, own) = (self.model(), self.looks_by());
            let layers = model.info().attention(own).map_or(0, |own| own.layers.len());
            let matrices = (0..layers).map(|layer| model.output_matrices(own, layer).ok().flatten());
            matrices.map(|found| found.as_ref().map(output_products)).collect()
        });
        all.get(layer)?.as_ref()
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
        let reading =
            |hypothesis: &Hypothesis| self.reading(&decoding.source.ids, &generated.prompt, &hypothesis.tokens);
        let readings: Vec<Reading> = generated.hypotheses.iter().map(reading).collect();
        let mut found = generated.hypotheses.iter().zip(ways);
        self.passes(&readings, &params.interventions, &sites, progress, &mut |at, pass| {
            let Some((hypothesis, nodes)) = found.next() else {
                return Ok(());
            };
            if at == 0 {
                decoding.encoder_self = pass.attention(Attention::EncoderSelf, self)?;
                decoding.encoder_states = pass.states(Attention::EncoderSelf, Point::Hidden)?;
            }
            decoding.hypotheses.push(DecodedHypothesis {
                row: TokenRow::written(self.tokenizer().for_targets(), &hypothesis.tokens),
                score: hypothesis.score,
                ended: hypothesis.ended,
                steps: pass.steps(self, &hypothesis.tokens, &hypothesis.log_probabilities, params.top_k)?,
                nodes,
                cross: pass.attention(Attention::Cross, self)?,
                decoder_self: pass.attention(Attention::DecoderSelf, self)?.unwrap_or_default(),
                decoder_states: pass.states(Attention::DecoderSelf, Point::Hidden)?,
                context_states: pass.states(Attention::Cross, Point::AttentionOutput)?,
                coverage: None,
            });
            Ok(())
        })?;
        for hypothesis in 0..total.min(params.shares) {
            self.add_shares(&mut decoding, hypothesis, progress)?;
        }
        Ok(decoding)
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
