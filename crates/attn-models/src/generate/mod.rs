//! Generation: greedy, sampled, or by beam search, with every candidate that was compared on the way.
//!
//! [`Generator::run`] takes the inputs of [`Model::forward`] and goes on where they end: after the prompt of a
//! decoder, or after the decoder's start token of an encoder-decoder. Keys and values are kept from step to step; taps
//! run in every step and see its new tokens: their queries, keys and values, and their attention to all tokens so far.
//! A change by a tap stays for all later steps. What a [`Layout`](crate::layout::Layout) tells them lets
//! [`Interventions`](crate::intervene::Interventions) act on the same sequences and tokens in every step.
//!
//! [`Generator::teacher_forced`] reads a hypothesis, or any other text, in one pass: its attention and states under taps,
//! the rank and log-probability of any token at any place.

mod beam;
mod draw;
mod params;
mod read;
mod rules;
mod sampling;
mod search;
mod teacher;
mod text;
mod trace;

use std::{collections::BTreeMap, ops::ControlFlow};

use attn_core::{Attention, Limits, Progress, progress::step};
use candle_core::{Device, Tensor};

use self::{beam::BeamSearch, draw::Drawing, rules::Rules, search::Search};
pub use self::{
    params::{EarlyStopping, GenerationOverrides, GenerationParams},
    rules::{likeliest, log_softmax, rank},
    sampling::Sampling,
    teacher::TeacherForced,
    text::TextStream,
    trace::{Candidate, Emitted, Expansion, Fate, Generated, Hypothesis, Step},
};
use crate::{Error, Inputs, Model, Result, Tap, blocks::Cache, inputs, model::Output};

/// Beams that run side by side: more are not faster, and their keys and values take memory.
const ROWS: usize = 64;

/// Generates with a model.
///
/// ```
/// use attn_models::{Gradients, Inputs, Model, Weights, generate::{GenerationParams, Generator}};
///
/// let config = r#"{"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2,
///                  "architectures": ["GPT2LMHeadModel"]}"#;
/// let model = Model::build("tiny", config, &Weights::initialize(1), Gradients::Off)?;
/// let params = GenerationParams { beams: 3, max_new_tokens: Some(4), ..GenerationParams::default() };
/// let generator = Generator::new(&model, &params)?;
/// let generated = generator.run(&Inputs::from_ids(&[vec![5, 6, 7]], 0)?, &mut (), &())?;
/// assert_eq!(generated[0].hypotheses.len(), 3);
/// assert_eq!(generated[0].hypotheses[0].tokens.len(), 4);
/// # Ok::<(), attn_models::Error>(())
/// ```
#[derive(Debug)]
pub struct Generator<'a> {
    model: &'a Model,
    params: GenerationParams,
}

/// One input sequence: what it starts from, and the row of the source in an encoder-decoder.
struct Prompt {
    sequence: usize,
    tokens: Vec<u32>,
}

/// What the encoder reads, one row per input sequence.
type Source = Inputs;

impl<'a> Generator<'a> {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Parameter`] names the setting that is out of range or does not fit the model.
    pub fn new(model: &'a Model, params: &GenerationParams) -> Result<Self> {
        params.check(model)?;
        Ok(Self {
            model,
            params: params.clone(),
        })
    }

    /// The settings.
    pub fn params(&self) -> &GenerationParams {
        &self.params
    }

    /// Generates for every sequence of the inputs.
    ///
    /// In a decoder the real tokens of `input_ids` are the prompt, wherever the padding is. In an encoder-decoder
    /// `input_ids` are the source, and `decoder_input_ids`, if there are any, take the place of the start token; they
    /// do not count in scores. Prompts of the same length run together; the result does not depend on it. A row of
    /// what a tap is given is one running beam of one sequence; [`Tap::begin`] tells of which.
    ///
    /// # Errors
    /// [`Error::Input`] and [`Error::Parameter`] for inputs without a prompt, without a start token or without room,
    /// those of [`Model::forward`], and [`attn_core::Error::Cancelled`].
    pub fn run(&self, inputs: &Inputs, tap: &mut dyn Tap, progress: &dyn Progress) -> Result<Vec<Generated>> {
        self.stream(inputs, tap, progress, &mut |_| ControlFlow::Continue(()))
    }

    /// As [`run`](Self::run), telling each token when it is chosen. [`ControlFlow::Break`] ends that sequence there. A
    /// beam search chooses at its end only: it tells nothing.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn stream(
        &self,
        inputs: &Inputs,
        tap: &mut dyn Tap,
        progress: &dyn Progress,
        on_token: &mut dyn FnMut(Emitted) -> ControlFlow<()>,
    ) -> Result<Vec<Generated>> {
        let (prompts, source) = self.prompts(inputs)?;
        let given = prompts.len();
        let mut groups: BTreeMap<usize, Vec<Prompt>> = BTreeMap::new();
        for prompt in prompts {
            groups.entry(prompt.tokens.len()).or_default().push(prompt);
        }
        let together = (ROWS / self.params.beams).max(1);
        let mut batches = Vec::new();
        let mut total = 0;
        for (length, mut prompts) in groups {
            let limit = self.params.limit(self.model, length)?;
            while !prompts.is_empty() {
                let rest = prompts.split_off(together.min(prompts.len()));
                total += limit - length;
                batches.push((limit, std::mem::replace(&mut prompts, rest)));
            }
        }
        let mut done = 0;
        let mut generated = BTreeMap::new();
        for (limit, prompts) in batches {
            let steps = limit - prompts.first().map_or(limit, |prompt| prompt.tokens.len());
            let mut at = 0;
            let mut before = || {
                at += 1;
                step(progress, "generate", done + at - 1, total)
            };
            let batch = self.batch(&prompts, limit, source.as_ref(), given, tap, &mut before, on_token)?;
            generated.extend(batch);
            done += steps;
        }
        // The last report is not a question any more.
        let _ = progress.update("generate", total, total);
        Ok(generated.into_values().collect())
    }

    /// Runs prompts of one length to their ends.
    fn batch(
        &self,
        prompts: &[Prompt],
        limit: usize,
        source: Option<&Source>,
        given: usize,
        tap: &mut dyn Tap,
        before_step: &mut dyn FnMut() -> std::result::Result<(), attn_core::Error>,
        on_token: &mut dyn FnMut(Emitted) -> ControlFlow<()>,
    ) -> Result<Vec<(usize, Generated)>> {
        let mut searches: Vec<Box<dyn Search + '_>> = prompts
            .iter()
            .map(|prompt| -> Box<dyn Search + '_> {
                let rules = Rules {
                    params: &self.params,
                    prompt: prompt.tokens.len(),
                    limit,
                };
                if self.params.beams > 1 {
                    Box::new(BeamSearch::new(rules, prompt.tokens.clone()))
                } else {
                    Box::new(Drawing::new(rules, prompt.tokens.clone(), prompt.sequence))
                }
            })
            .collect();
        let mut stopped = vec![false; searches.len()];
        let mut cache = (self.params.cache && self.model.caches()).then(Cache::default);
        // For each row of the next step, its row in the last one.
        let mut parents: Vec<u32> = (0..).take(searches.len()).collect();
        loop {
            let rows: Vec<(&Prompt, Vec<u32>)> = prompts
                .iter()
                .zip(&searches)
                .zip(&stopped)
                .filter(|(_, stopped)| !**stopped)
                .flat_map(|((prompt, search), _)| {
                    let beams = search.running().iter();
                    beams.map(move |beam| (prompt, [prompt.tokens.as_slice(), &beam.tokens].concat()))
                })
                .collect();
            if rows.is_empty() {
                break;
            }
            before_step()?;
            if let Some(cache) = &mut cache {
                cache.select(&parents)?;
            }
            let mut logits = self.logits(&rows, source, given, cache.as_mut(), tap)?.into_iter();
            parents.clear();
            let mut first = 0;
            for ((prompt, search), stopped) in prompts.iter().zip(&mut searches).zip(&mut stopped) {
                let running = search.running().len();
                if *stopped || running == 0 {
                    continue;
                }
                let chosen = search.advance(logits.by_ref().take(running).collect());
                if let Some(emitted) = search.emitted(prompt.sequence)
                    && on_token(emitted).is_break()
                {
                    *stopped = true;
                } else {
                    parents.extend(chosen.into_iter().filter_map(|beam| u32::try_from(first + beam).ok()));
                }
                first += running;
            }
        }
        Ok(prompts
            .iter()
            .zip(searches)
            .map(|(prompt, search)| (prompt.sequence, search.finish()))
            .collect())
    }

    /// Logits after the last token of each row.
    fn logits(
        &self,
        rows: &[(&Prompt, Vec<u32>)],
        source: Option<&Source>,
        given: usize,
        mut cache: Option<&mut Cache>,
        tap: &mut dyn Tap,
    ) -> Result<Vec<Vec<f32>>> {
        let longest = rows.iter().map(|(_, tokens)| tokens.len()).max().unwrap_or(0);
        if let (Some(cache), Some(border)) = (cache.as_deref_mut(), self.model.rotates_anew_beyond())
            && longest > border
            && (1..=border).contains(&cache.tokens())
        {
            // Keys of the cache were rotated for a shorter text.
            *cache = Cache::default();
        }
        // Predictions are made after every token that is not in the cache.
        let known = cache.as_ref().map_or(0, |cache| cache.tokens());
        let new = rows.iter().map(|(_, tokens)| tokens.len().saturating_sub(known));
        self.check_size(rows.len(), new.max().unwrap_or(0))?;
        let sequences: Vec<usize> = rows.iter().map(|(prompt, _)| prompt.sequence).collect();
        let tokens: Vec<Vec<u32>> = rows.iter().map(|(_, tokens)| tokens.clone()).collect();
        let inputs = together(tokens, &sequences, source)?;
        let layout = self.model.layout(&inputs).generating(sequences, given, known);
        let logits = self.words(self.model.step(&inputs, layout, cache, tap)?)?;
        let last = logits.dim(1)?.saturating_sub(1);
        Ok(logits.narrow(1, last, 1)?.squeeze(1)?.to_vec2()?)
    }

    /// Refuses predictions that take more memory than is allowed.
    fn check_size(&self, texts: usize, tokens: usize) -> Result<()> {
        let vocabulary = self.model.info().vocab_size.unwrap_or(0);
        let what = format_args!("predictions after {tokens} tokens of {texts} texts");
        let needed = Limits::size(&[texts, tokens, vocabulary], 4);
        Ok(self.model.limits().check(what, needed)?)
    }

    /// Predictions of a model of language: `[batch, tokens, vocabulary]`.
    fn words(&self, output: Output) -> Result<Tensor> {
        match output.logits {
            Some(logits) if logits.rank() == 3 => Ok(logits),
            other => {
                let found = match other {
                    Some(_) => "a checkpoint without a language model's head".to_owned(),
                    None => self.model.without_head(),
                };
                Err(Error::input("input_ids", "a model that predicts tokens", found))
            }
        }
    }

    /// What each sequence starts from, and the source if there is one.
    fn prompts(&self, inputs: &Inputs) -> Result<(Vec<Prompt>, Option<Source>)> {
        let info = self.model.info();
        let translates = info.attention(Attention::Cross).is_some();
        if !translates && info.attention(Attention::DecoderSelf).is_none() {
            return Err(Error::input(
                "input_ids",
                "a model with a decoder",
                format!("family `{}`", info.family),
            ));
        }
        let numbered = |rows: Vec<Vec<u32>>| -> Vec<Prompt> {
            let rows = rows.into_iter().enumerate();
            rows.map(|(sequence, tokens)| Prompt { sequence, tokens }).collect()
        };
        let ids = inputs::id_rows("input_ids", inputs.input_ids.as_ref())?;
        let mask = inputs::id_rows("attention_mask", inputs.attention_mask.as_ref())?;
        let missing = || Error::input("input_ids", "token ids [batch, tokens]", "nothing");
        if !translates {
            inputs.only(&["input_ids", "attention_mask"])?;
            let prompts = real(ids.ok_or_else(missing)?, mask.as_ref());
            if let Some(empty) = prompts.iter().position(Vec::is_empty) {
                let found = format!("none in sequence {empty}");
                return Err(Error::input("input_ids", "at least one real token per sequence", found));
            }
            return Ok((numbered(prompts), None));
        }
        let count = match (&ids, &inputs.input_features) {
            (Some(ids), _) => ids.len(),
            // Their shape is checked by the model.
            (None, Some(features)) => features.dims().first().copied().unwrap_or(0),
            (None, None) => return Err(missing()),
        };
        if let (Some(mask), Some(ids)) = (&mask, &ids)
            && (mask.len() != ids.len() || mask.iter().zip(ids).any(|(mask, ids)| mask.len() != ids.len()))
        {
            return Err(Error::input(
                "attention_mask",
                "the shape of input_ids",
                format!("{} rows", mask.len()),
            ));
        }
        let given = inputs::id_rows("decoder_input_ids", inputs.decoder_input_ids.as_ref())?;
        let prompts = match (given, self.params.decoder_start) {
            (Some(given), _) => {
                let mask = inputs::id_rows("decoder_attention_mask", inputs.decoder_attention_mask.as_ref())?;
                let prompts = real(given, mask.as_ref());
                if prompts.len() != count || prompts.iter().any(Vec::is_empty) {
                    return Err(Error::input(
                        "decoder_input_ids",
                        format!("{count} sequences of at least one token, as many as sources"),
                        format!("{}", prompts.len()),
                    ));
                }
                prompts
            }
            (None, Some(start)) => vec![vec![start]; count],
            (None, None) => {
                return Err(Error::parameter(
                    "decoder_start",
                    "the token an encoder-decoder starts with",
                    "nothing",
                ));
            }
        };
        let source = Inputs {
            decoder_input_ids: None,
            decoder_attention_mask: None,
            ..inputs.clone()
        };
        Ok((numbered(prompts), Some(source)))
    }
}

/// The inputs of a pass over texts, given the sequences that they continue.
fn together(texts: Vec<Vec<u32>>, sequences: &[usize], source: Option<&Source>) -> Result<Inputs> {
    let tokens = Tensor::new(texts, &Device::Cpu)?;
    match source {
        None => Ok(Inputs {
            input_ids: Some(tokens),
            ..Inputs::default()
        }),
        Some(source) => Ok(Inputs {
            decoder_input_ids: Some(tokens),
            ..source.rows(sequences)?
        }),
    }
}

/// The tokens that are not padding.
fn real(rows: Vec<Vec<u32>>, mask: Option<&Vec<Vec<u32>>>) -> Vec<Vec<u32>> {
    let Some(mask) = mask else { return rows };
    let rows = rows.into_iter().enumerate();
    rows.map(|(sequence, row)| {
        let real = |at: usize| mask.get(sequence).and_then(|mask| mask.get(at)) == Some(&1);
        let tokens = row.into_iter().enumerate();
        tokens.filter(|(at, _)| real(*at)).map(|(_, token)| token).collect()
    })
    .collect()
}
