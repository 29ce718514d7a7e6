//! Sources and targets of encoder-decoders.
//!
//! | given | what the decoder reads |
//! |---|---|
//! | source and target | its start token, then the target without its end: teacher forcing (Williams and Zipser 1989) |
//! | source | its start token, then what the model writes, greedily, without its end |
//!
//! So the query at a place is the one that predicts the next token of the target. Where the model forces a first token
//! (the language of mBART and M2M100), it stands between the start and the target, in place of a special token with
//! which the tokenizer opens a text. The text of a sequence is the source, a TAB and the target; spans lie in it.
//! Tokens that the model wrote have no span.

use attn_core::{Progress, Sequence, Token, progress::step};

use super::{
    Capturer,
    batch::buckets,
    tokens::{at_line, ids},
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
    /// Pairs as sequences.
    pub(super) fn paired(
        &self,
        tokenizer: &Tokenizer,
        pairs: Vec<Pair>,
        progress: &dyn Progress,
    ) -> Result<Vec<Sequence>> {
        let Some(start) = self.generation.decoder_start else {
            return Err(Error::parameter(
                "decoder_start",
                "the token an encoder-decoder starts with",
                "nothing",
            ));
        };
        let info = self.model().info();
        let mut sequences = Vec::with_capacity(pairs.len());
        for (done, pair) in pairs.iter().enumerate() {
            if done % 256 == 0 {
                step(progress, "tokens", done, pairs.len())?;
            }
            let name = format!("line {}", pair.number);
            let source = pair.source.as_str();
            let target = pair.target.as_deref().unwrap_or_default();
            let encoded = tokenizer.encode(source, info).map_err(|error| at_line(error, &name))?;
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
            if !target.trim().is_empty() {
                let encoded = tokenizer.encode(target, info).map_err(|error| at_line(error, &name))?;
                let mut tokens = encoded.tokens;
                let before = source.len() + 1;
                for token in &mut tokens {
                    token.span = token.span.map(|(from, to)| (from + before, to + before));
                }
                sequence.decoder = self.read_by_decoder(tokenizer, start, tokens, true);
            }
            sequences.push(sequence);
        }
        self.write_targets(tokenizer, start, &mut sequences, progress)?;
        Ok(sequences)
    }

    /// The start token, the language if one is forced, and a target without its end.
    fn read_by_decoder(&self, tokenizer: &Tokenizer, start: u32, mut target: Vec<Token>, encoded: bool) -> Vec<Token> {
        if target.last().is_some_and(|last| self.is_end(last)) {
            target.pop();
        }
        let mut tokens = vec![tokenizer.token(start)];
        if let Some(first) = self.generation.forced_first.filter(|_| encoded) {
            if target.first().is_some_and(|token| token.special) {
                target.remove(0);
            }
            tokens.push(tokenizer.token(first));
        }
        tokens.append(&mut target);
        tokens.truncate(self.model().info().max_tokens.unwrap_or(usize::MAX));
        tokens
            .iter_mut()
            .enumerate()
            .for_each(|(position, token)| token.position = position);
        tokens
    }

    fn is_end(&self, token: &Token) -> bool {
        token.id.is_some_and(|id| self.generation.end.contains(&id))
    }

    /// Lets the model write the targets that are missing.
    fn write_targets(
        &self,
        tokenizer: &Tokenizer,
        start: u32,
        sequences: &mut [Sequence],
        progress: &dyn Progress,
    ) -> Result<()> {
        let missing: Vec<usize> = (0..sequences.len())
            .filter(|&at| sequences[at].decoder.is_empty())
            .collect();
        let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.encoder.len()).collect();
        let mut done = 0;
        let total = missing.len();
        for batch in buckets(missing, &lengths, self.batch_tokens) {
            step(progress, "generate", done, total)?;
            let longest = batch.iter().map(|&at| lengths[at]).max().unwrap_or(0);
            let params = GenerationParams {
                beams: 1,
                sampling: None,
                alternatives: 0,
                // Where nothing is said: room for a translation, not the reference's 20 tokens.
                max_new_tokens: match (self.generation.max_new_tokens, self.generation.max_length) {
                    (None, None) => Some(2 * longest + 10),
                    (new, _) => new,
                },
                ..self.generation.clone()
            };
            let sources: Vec<Vec<u32>> = batch.iter().map(|&at| ids(&sequences[at].encoder)).collect();
            let cancelled = |_: &str, _: usize, _: usize| progress.update("generate", done, total);
            let generated =
                Generator::new(self.model(), &params)?.run(&Inputs::from_ids(&sources, 0)?, &mut (), &cancelled)?;
            for (&at, generated) in batch.iter().zip(generated) {
                let written = generated.hypotheses.into_iter().next().map(|best| best.tokens);
                let written = written.unwrap_or_default();
                let tokens = written.iter().map(|&id| tokenizer.token(id)).collect();
                let sequence = &mut sequences[at];
                sequence.decoder = self.read_by_decoder(tokenizer, start, tokens, false);
                let source = sequence.text.as_deref().unwrap_or_default().trim_end_matches('\t');
                sequence.text = Some(format!("{source}\t{}", tokenizer.decode(&written)?));
            }
            done += batch.len();
        }
        if total > 0 {
            let _ = progress.update("generate", total, total);
        }
        Ok(())
    }
}
