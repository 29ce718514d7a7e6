//! Sources and targets of encoder-decoders.
//!
//! | given | what the decoder reads |
//! |---|---|
//! | source and target | its start token, then the target without its end: teacher forcing (Williams and Zipser 1989) |
//! | source | its start token, then what the model writes, greedily, without its end |
//!
//! So the query at a place is the one that predicts the next token of the target, as the reference shifts labels to the
//! right (`shift_tokens_right`). By what the tokenizer writes around a target:
//!
//! | target of the tokenizer | what the decoder reads | of |
//! |---|---|---|
//! | `X </s>` | `start X` | T5, Marian, Pegasus |
//! | `<s> X </s>` | `start <s> X` | BART |
//! | `lang X </s>` | `start lang X` | mBART-50, M2M100, NLLB |
//! | `X </s> lang` | `lang X </s>` | mBART, which starts with the language |
//! | `X </s> lang` | `start X </s>` | older NLLB |
//!
//! Where the checkpoint forces a first token, which is the language of mBART-50 and M2M100, that one stands between the
//! start and the target, in place of those that the tokenizer writes. The text of a sequence is the source, a TAB and the
//! target; spans lie in it. Tokens that the model wrote have no span. A target that is longer than the decoder takes is
//! cut, and [`Sequence::target_cut_from`] says so.

use attn_core::{Limits, Progress, Sequence, Token, progress::step};

use super::{
    Capturer,
    batch::{Lengths, buckets},
    input::{Read, TOKENIZED},
    tokens::{ids, some, without_tokens},
    watch::Watch,
};
use crate::{
    Error, Inputs, Result, Tokenizer,
    generate::{GenerationParams, Generator},
    text::Line,
};

/// A source, and what the decoder is to write.
pub(super) struct Pair {
    /// The line it stands in, from 1.
    pub(super) number: usize,
    pub(super) source: String,
    /// Written by the model where it is not given or empty.
    pub(super) target: Option<String>,
}

impl Pair {
    /// A source and, after a TAB, its target.
    pub(super) fn of_line(line: Line) -> Self {
        let (source, target) = match line.text.split_once('\t') {
            Some((source, target)) => (source.to_owned(), Some(target.to_owned())),
            None => (line.text, None),
        };
        Self {
            number: line.number,
            source,
            target,
        }
    }
}

impl Capturer {
    /// A source and what the decoder is to write, as a [capture](Self::capture_pairs) reads them. The model is not run.
    ///
    /// # Errors
    /// [`Error::Input`] for a model with one stack; [`Error::Empty`] if either has no token; those of the tokenizer.
    pub fn read_pair(&self, source: &str, target: &str) -> Result<Sequence> {
        let tokenizer = self.reader("text")?;
        self.two_stacks()?;
        // An empty one would be written by the model.
        tokenizer.for_targets().encode(target, self.model().info())?;
        let pair = Pair {
            number: 1,
            source: source.to_owned(),
            target: Some(target.to_owned()),
        };
        let (sequences, _) = self.paired(tokenizer, vec![pair], &())?;
        sequences.into_iter().next().ok_or_else(|| Error::Empty {
            place: "source".to_owned(),
            message: "a text with at least one token".to_owned(),
        })
    }

    /// Refuses a model that has no decoder beside its encoder.
    pub(super) fn two_stacks(&self) -> Result<()> {
        if self.translates() {
            return Ok(());
        }
        let found = format!("family `{}`, which has one stack", self.model().info().family);
        Err(Error::input(
            "decoder_input_ids",
            "a model with an encoder and a decoder",
            found,
        ))
    }

    /// Pairs as sequences.
    pub(super) fn paired(&self, tokenizer: &Tokenizer, pairs: Vec<Pair>, progress: &dyn Progress) -> Result<Read> {
        let Some(start) = self.generation.decoder_start else {
            return Err(Error::parameter(
                "decoder_start",
                "the token an encoder-decoder starts with",
                "nothing",
            ));
        };
        let info = self.model().info();
        let (mut sequences, mut notes) = (Vec::with_capacity(pairs.len()), Vec::new());
        for (done, pair) in pairs.iter().enumerate() {
            if done % 256 == 0 {
                step(progress, "tokens", done, pairs.len())?;
            }
            let name = format!("line {}", pair.number);
            let source = pair.source.as_str();
            let target = pair.target.as_deref().unwrap_or_default();
            for text in [source, target] {
                self.limits.check(&name, Limits::size(&[text.len()], TOKENIZED))?;
            }
            let Some(encoded) = some(tokenizer.encode(source, info), pair.number)? else {
                notes.push(without_tokens(pair.number));
                continue;
            };
            let mut sequence = Sequence {
                name: name.clone(),
                text: Some(match &pair.target {
                    Some(target) => format!("{source}\t{target}"),
                    None => source.to_owned(),
                }),
                cut_from: encoded.cut_from,
                encoder: encoded.tokens,
                ..Sequence::default()
            };
            // A target without a token is one that is not given.
            if let Some(encoded) = some(tokenizer.for_targets().encode(target, info), pair.number)? {
                let mut tokens = encoded.tokens;
                let cut = encoded.cut_from.map_or(0, |before| before - tokens.len());
                let before = source.len() + 1;
                for token in &mut tokens {
                    token.span = token.span.map(|(from, to)| (from + before, to + before));
                }
                let read = self.shifted(tokenizer, start, tokens);
                self.set_target(&mut sequence, read, cut);
            }
            sequences.push(sequence);
        }
        self.write_targets(tokenizer, start, &mut sequences, progress)?;
        Ok((sequences, notes))
    }

    /// What the decoder reads of a target as the tokenizer gives it.
    fn shifted(&self, tokenizer: &Tokenizer, start: u32, mut target: Vec<Token>) -> Vec<Token> {
        let special = |token: Option<&Token>| token.is_some_and(|token| token.special || self.is_end(token));
        if let Some(first) = self.generation.forced_first {
            while special(target.last()) {
                target.pop();
            }
            if special(target.first()) {
                target.remove(0);
            }
            target.splice(0..0, [start, first].map(|id| tokenizer.token(id)));
            return target;
        }
        let last = if special(target.last()) { target.pop() } else { None };
        // mBART starts with the last token of its labels. A checkpoint may name the language it starts with; the end is none,
        // and `<s>` is what stands for a start that is not named.
        let language = last.filter(|last| {
            let names_none = self.generation.end.contains(&start) || tokenizer.id("<s>") == Some(start);
            self.model().info().family == "mbart" && names_none && !self.is_end(last)
        });
        target.insert(0, language.unwrap_or_else(|| tokenizer.token(start)));
        target
    }

    /// What the decoder reads of a target that the model wrote.
    pub(super) fn written(&self, tokenizer: &Tokenizer, start: u32, target: &[u32]) -> Vec<Token> {
        let mut target: Vec<Token> = target.iter().map(|&id| tokenizer.token(id)).collect();
        if target.last().is_some_and(|last| self.is_end(last)) {
            target.pop();
        }
        target.insert(0, tokenizer.token(start));
        target
    }

    /// Gives a sequence what its decoder reads, up to the longest text of the model, and records what is lost: that, and the
    /// `cut` tokens that the tokenizer left out.
    pub(super) fn set_target(&self, sequence: &mut Sequence, mut read: Vec<Token>, cut: usize) {
        let all = read.len() + cut;
        read.truncate(self.model().info().max_tokens.unwrap_or(usize::MAX));
        for (position, token) in read.iter_mut().enumerate() {
            token.position = position;
        }
        sequence.target_cut_from = (read.len() < all).then_some(all);
        sequence.decoder = read;
    }

    fn is_end(&self, token: &Token) -> bool {
        token.id.is_some_and(|id| self.generation.end.contains(&id))
    }

    /// The sequences whose target the model is to write, and how: greedily, without alternatives. None if every target is given,
    /// for then the settings of the checkpoint are not looked at.
    pub(super) fn missing_targets(&self, sequences: &[Sequence]) -> Result<Option<(Vec<usize>, GenerationParams)>> {
        let missing: Vec<usize> = (0..sequences.len())
            .filter(|&at| sequences[at].decoder.is_empty())
            .collect();
        if missing.is_empty() {
            return Ok(None);
        }
        self.refuse_long(sequences)?;
        if let Some(files) = &self.refused {
            GenerationParams::of(&files.0, files.1.as_ref())?;
        }
        let params = GenerationParams {
            beams: 1,
            sampling: None,
            alternatives: 0,
            ..self.generation.clone()
        };
        Ok(Some((missing, params)))
    }

    /// Lets the model write the targets that are missing.
    fn write_targets(
        &self,
        tokenizer: &Tokenizer,
        start: u32,
        sequences: &mut [Sequence],
        progress: &dyn Progress,
    ) -> Result<()> {
        let Some((missing, greedy)) = self.missing_targets(sequences)? else {
            return Ok(());
        };
        let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.encoder.len()).collect();
        let mut done = 0;
        let total = missing.len();
        for batch in buckets(missing, &lengths, self.batch_tokens) {
            step(progress, "generate", done, total)?;
            let longest = batch.iter().map(|&at| lengths[at]).max().unwrap_or(0);
            let params = GenerationParams {
                // Where nothing is said: room for a translation, not the reference's 20 tokens.
                max_new_tokens: match (greedy.max_new_tokens, greedy.max_length) {
                    (None, None) => Some(2 * longest + 10),
                    (new, _) => new,
                },
                ..greedy.clone()
            };
            let sources: Vec<Vec<u32>> = batch.iter().map(|&at| ids(&sequences[at].encoder)).collect();
            let cancelled = |_: &str, _: usize, _: usize| progress.update("generate", done, total);
            // A long source is heard to be cancelled too.
            let source = Lengths {
                encoder: longest,
                decoder: 1,
            };
            let products = self.products(batch.len(), source);
            let mut watch = Watch::new(progress, "generate", (done, total), products);
            let generated =
                Generator::new(self.model(), &params)?.run(&Inputs::from_ids(&sources, 0)?, &mut watch, &cancelled)?;
            for (&at, generated) in batch.iter().zip(generated) {
                let written = generated.hypotheses.into_iter().next().map(|best| best.tokens);
                let written = written.unwrap_or_default();
                let sequence = &mut sequences[at];
                let read = self.written(tokenizer, start, &written);
                self.set_target(sequence, read, 0);
                let source = sequence.text.as_deref().unwrap_or_default().trim_end_matches('\t');
                sequence.text = Some(format!("{source}\t{}", tokenizer.decode(&written)?));
            }
            done += batch.len();
        }
        let _ = progress.update("generate", total, total);
        Ok(())
    }
}
