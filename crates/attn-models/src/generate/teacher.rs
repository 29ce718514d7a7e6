//! Teacher forcing: a text that is given instead of generated, read in one pass.

use super::{
    Candidate, Generator,
    rules::{Rules, likeliest, rank},
    together,
};
use crate::{Error, Inputs, Result, Tap};

/// What a model says at every place of a text that it was given: the text's tokens, and all others it could have had.
///
/// Probabilities are those the search weighs under its settings (penalties and forbidden tokens included), so that they are
/// those of a trace. Where a token is forced (a language, the last end) they are the model's own, while the trace counts 0.
#[derive(Debug, Clone)]
pub struct TeacherForced {
    prompt: Vec<u32>,
    tokens: Vec<u32>,
    /// Log-probabilities at each place, one place more than tokens.
    places: Vec<Vec<f32>>,
}

impl TeacherForced {
    /// The tokens before the text.
    pub fn prompt(&self) -> &[u32] {
        &self.prompt
    }

    /// The tokens of the text.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Log-probabilities of all tokens at a place: 0 for that of the first token of the text, and up to its length, for what
    /// would follow. Minus infinity for forbidden tokens. Empty at a place that is not there.
    pub fn log_probabilities(&self, at: usize) -> &[f32] {
        self.places.get(at).map_or(&[], Vec::as_slice)
    }

    /// The log-probability of any token at a place; `None` if there is no such place or token.
    pub fn log_probability(&self, at: usize, token: u32) -> Option<f32> {
        self.log_probabilities(at).get(token as usize).copied()
    }

    /// How many tokens are likelier at a place, 0 for the likeliest; of equals the smaller id comes first.
    pub fn rank(&self, at: usize, token: u32) -> Option<usize> {
        rank(self.log_probabilities(at), token)
    }

    /// The likeliest tokens at a place, best first.
    pub fn top(&self, at: usize, count: usize) -> Vec<Candidate> {
        likeliest(self.log_probabilities(at), count)
    }

    /// The log-probability of each token of the text.
    pub fn text(&self) -> Vec<f32> {
        let tokens = self.tokens.iter().enumerate();
        tokens
            .filter_map(|(at, &token)| self.log_probability(at, token))
            .collect()
    }
}

impl Generator<'_> {
    /// The inputs of one pass over a text that continues a sequence of the inputs of [`run`](Self::run): for
    /// [`Model::forward`](crate::Model::forward), attribution and everything else that takes inputs. The source of an
    /// encoder-decoder stays as it was given, padding included; the prompt of a decoder loses its padding, as in generation.
    ///
    /// # Errors
    /// As [`run`](Self::run), and [`Error::Input`] for a sequence that is not there.
    pub fn teacher_inputs(&self, inputs: &Inputs, sequence: usize, tokens: &[u32]) -> Result<Inputs> {
        Ok(self.teacher(inputs, sequence, tokens)?.1)
    }

    /// Reads a text that continues a sequence of the inputs of [`run`](Self::run), in one pass under a tap: a hypothesis,
    /// what another hypothesis could have been, or any other text. The tap is given attention and states of the whole text,
    /// the last token included; edits of [`Interventions`](crate::intervene::Interventions) act as they do in generation.
    ///
    /// # Errors
    /// As [`run`](Self::run), [`Error::Input`] for a sequence or a token that is not there, and
    /// [`attn_core::Error::Memory`] for a text whose predictions take more than is allowed.
    ///
    /// ```
    /// use attn_core::Attention;
    /// use attn_models::{
    ///     Checkpoint, Inputs, Model, Point, Site, generate::{GenerationParams, Generator}, record::Recorder,
    /// };
    ///
    /// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/marian");
    /// let checkpoint = Checkpoint::open(folder)?;
    /// let model = Model::load(&checkpoint)?;
    /// let params = GenerationParams { beams: 4, top_tokens: 3, ..GenerationParams::read(&checkpoint)? };
    /// let generator = Generator::new(&model, &params)?;
    /// let inputs = Inputs::from_ids(&[vec![2, 136, 18, 20, 84, 69, 2, 67, 0]], 149)?;
    /// let generated = &generator.run(&inputs, &mut (), &())?[0];
    /// let best = &generated.hypotheses[0];
    /// assert_eq!(generated.top(best, 0).len(), 3);
    ///
    /// // Attention and predictions of the whole translation.
    /// let mut recorder = Recorder::of(&[Point::Attention]);
    /// let read = generator.teacher_forced(&inputs, 0, &best.tokens, &mut recorder)?;
    /// let cross = &recorder.tensors[&Site::new(Attention::Cross, 1, Point::Attention)];
    /// assert_eq!(cross.dims(), [1, 4, 1 + best.tokens.len(), 9]);
    /// assert!((read.text()[0] - best.log_probabilities[0]).abs() < 1e-4);
    ///
    /// // Token 5 in place of the second one: how likely was it, and how many were likelier?
    /// let (log_probability, rank) = (read.log_probability(1, 5), read.rank(1, 5));
    /// assert!(log_probability < read.log_probability(1, best.tokens[1]) && rank > Some(0));
    /// # Ok::<(), attn_models::Error>(())
    /// ```
    pub fn teacher_forced(
        &self,
        inputs: &Inputs,
        sequence: usize,
        tokens: &[u32],
        tap: &mut dyn Tap,
    ) -> Result<TeacherForced> {
        let (prompt, whole, given) = self.teacher(inputs, sequence, tokens)?;
        self.check_size(1, prompt.len() + tokens.len())?;
        let layout = self.model.layout(&whole).generating(vec![sequence], given, 0);
        let logits = self.words(self.model.step(&whole, layout, None, tap)?)?;
        let rules = Rules {
            params: &self.params,
            prompt: prompt.len(),
            limit: self.params.longest(self.model, prompt.len()),
        };
        let all = [prompt.as_slice(), tokens].concat();
        let logits: Vec<Vec<f32>> = logits.squeeze(0)?.to_vec2()?;
        let places = logits.into_iter().enumerate().skip(prompt.len().saturating_sub(1));
        let places = places.map(|(at, logits)| rules.weigh(&all[..=at], logits).1);
        Ok(TeacherForced {
            places: places.collect(),
            tokens: tokens.to_vec(),
            prompt,
        })
    }

    /// The prompt, the inputs of a pass over it and a text, and how many sequences there are.
    fn teacher(&self, inputs: &Inputs, sequence: usize, tokens: &[u32]) -> Result<(Vec<u32>, Inputs, usize)> {
        let (mut prompts, source) = self.prompts(inputs)?;
        let given = prompts.len();
        if sequence >= given {
            return Err(Error::input(
                "input_ids",
                format!("a sequence from 0 to {}", given.saturating_sub(1)),
                format!("sequence {sequence}"),
            ));
        }
        let prompt = prompts.swap_remove(sequence).tokens;
        let whole = [prompt.as_slice(), tokens].concat();
        let whole = together(vec![whole], &[sequence], source.as_ref())?;
        Ok((prompt, whole, given))
    }
}
