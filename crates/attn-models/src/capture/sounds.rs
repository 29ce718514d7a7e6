//! Sounds as sequences: the positions of the encoder in time, and what the decoder writes.
//!
//! The decoder reads its start token, the tokens that the checkpoint forces (language, task), and the transcript without its
//! end: that which is given, or the one that the model writes, greedily. The text of a sequence is its transcript; spans
//! lie in it. A model without a decoder (wav2vec 2.0) reads the sounds alone.

use std::sync::Arc;

use attn_core::{Limits, Progress, Sequence, Token, progress::step, text::Note};
use candle_core::Tensor;
use xxhash_rust::xxh3::Xxh3;

use super::{
    Capturer,
    batch::Lengths,
    input::{Batches, Prepared, TOKENIZED},
    notes::{Unreadable, these},
    tokens::some,
    watch::Watch,
};
use crate::{
    Error, Inputs, Result, Tokenizer,
    generate::Generator,
    model::Hearing,
    sounds::{Sound, SoundProcessor},
};

/// Bytes of a position: its token and the token's text, about.
const TOKEN: usize = size_of::<Token>() + 16;

/// Sounds are shared between the plan and the batches.
pub(super) type Sounds = Arc<[(Sound, Option<String>)]>;

impl Capturer {
    /// What a model of sound reads of a batch of sounds: features, or the samples of one.
    ///
    /// # Errors
    /// Those of [`Sound::decode`] and [`SoundProcessor::hear`]; [`Error::Input`] for a model of another kind,
    /// [`Error::MissingFile`] without a preprocessor.
    pub fn sound_inputs<'s>(&self, sounds: impl IntoIterator<Item = &'s Sound>) -> Result<Inputs> {
        let (processor, _) = self.ear()?;
        let hear = |sound: &Sound| -> Result<Inputs> {
            let samples = sound.decode_within(self.limits)?;
            Ok(processor.hear(&samples, &sound.name())?.inputs)
        };
        let heard = sounds.into_iter().map(hear).collect::<Result<Vec<_>>>()?;
        let Some(first) = heard.first() else {
            return Err(Error::Empty {
                place: "sounds".to_owned(),
                message: "at least one sound".to_owned(),
            });
        };
        if first.input_values.is_some() && heard.len() == 1 {
            return Ok(first.clone());
        }
        let features = heard
            .into_iter()
            .filter_map(|inputs| inputs.input_features)
            .collect::<Vec<_>>();
        if features.is_empty() {
            // What is made of a sound may depend on what it is padded to.
            return Err(Error::input("input_values", "one sound at a time", "several"));
        }
        Ok(Inputs::from_features(Tensor::cat(&features, 0)?))
    }

    /// What prepares sounds, and what the model takes of them.
    fn ear(&self) -> Result<(&SoundProcessor, Hearing)> {
        let Some(hearing) = self.model().hearing() else {
            let expected = "text or images: this is no model of sound";
            return Err(Error::input("input_features", expected, "sounds"));
        };
        match &self.sounds {
            Some(processor) => Ok((processor, hearing)),
            None => Err(Error::MissingFile {
                path: self.path.clone(),
                what: "sound preprocessor",
                expected: crate::checkpoint::PREPROCESSOR,
            }),
        }
    }

    /// Sounds as sequences. Each is decoded, so that a broken one is found now.
    pub(super) fn heard(&self, sounds: Sounds, progress: &dyn Progress) -> Result<Prepared> {
        let (processor, hearing) = self.ear()?;
        let writer = match self.translates() {
            true => Some(self.writer()?),
            false => None,
        };
        let (mut sequences, mut notes) = (Vec::with_capacity(sounds.len()), Vec::new());
        let (mut read, mut unreadable) = (Vec::with_capacity(sounds.len()), Unreadable::default());
        let mut digest = Xxh3::new();
        digest.update(processor.settings().as_bytes());
        for (done, (sound, transcript)) in sounds.iter().enumerate() {
            step(progress, "sounds", done, sounds.len())?;
            let name = sound.name();
            let Some(samples) = unreadable.unless(sound.decode_within(self.limits))? else {
                continue;
            };
            let (heard, longest) = processor.check(&samples, &name)?;
            digest.update(&(samples.values.len() as u64).to_le_bytes());
            digest.update(bytemuck::cast_slice(&samples.values));
            let count = hearing.positions(longest);
            let needed = Limits::size(&[done + 1, count], TOKEN);
            self.limits.check(format_args!("the positions of {name}"), needed)?;
            if samples.values.len() > heard {
                notes.push(Note {
                    line: None,
                    message: format!(
                        "{name} was cut to {:.1} of {:.1} seconds",
                        heard as f64 / f64::from(samples.rate),
                        samples.seconds()
                    ),
                });
            }
            let mut sequence = Sequence {
                encoder: positions(count, longest, heard, samples.rate),
                name,
                ..Sequence::default()
            };
            sequence.text = transcript.clone().filter(|_| writer.is_none());
            if let (Some(text), Some((tokenizer, start))) = (transcript, writer) {
                self.limits
                    .check(&sequence.name, Limits::size(&[text.len()], TOKENIZED))?;
                if let Some(encoded) = some(tokenizer.encode(text, self.model().info()), done + 1)? {
                    let cut = encoded.cut_from.map_or(0, |before| before - encoded.tokens.len());
                    let words = encoded.tokens.into_iter().filter(|token| !token.special);
                    let read = self.transcript(tokenizer, start, words);
                    self.set_target(&mut sequence, read, cut);
                    sequence.text = Some(text.clone());
                }
            }
            sequences.push(sequence);
            read.push(done);
        }
        notes.extend(unreadable.notes(sequences.is_empty())?);
        let sounds = these(sounds, &read);
        if let Some(writer) = writer {
            self.write_transcripts(writer, &sounds, &mut sequences, progress)?;
        }
        Ok(Prepared {
            sequences,
            batches: Batches::Sounds(sounds),
            notes,
            digest: format!("{:032x}", digest.digest128()),
        })
    }

    /// What a transcript is read with, and the token that it starts with.
    fn writer(&self) -> Result<(&Tokenizer, u32)> {
        let Some(start) = self.generation.decoder_start else {
            return Err(Error::parameter(
                "decoder_start",
                "the token an encoder-decoder starts with",
                "nothing",
            ));
        };
        match &self.tokenizer {
            Some(tokenizer) => Ok((tokenizer, start)),
            None => Err(Error::MissingFile {
                path: self.path.clone(),
                what: "tokenizer",
                expected: crate::checkpoint::TOKENIZER,
            }),
        }
    }

    /// What the decoder reads of a transcript: the start, what the checkpoint forces, and the words.
    fn transcript(&self, tokenizer: &Tokenizer, start: u32, words: impl Iterator<Item = Token>) -> Vec<Token> {
        // As in generation: the first place is that of `forced_first`.
        let first = self.generation.forced_first.map(|first| (1, first));
        let places = self.generation.forced_places.iter().copied();
        let mut forced: Vec<(usize, u32)> = first.into_iter().chain(places).collect();
        forced.sort_by_key(|(place, _)| *place);
        forced.dedup_by_key(|(place, _)| *place);
        let forced = std::iter::once(start).chain(forced.into_iter().map(|(_, id)| id));
        let forced = forced.map(|id| Token {
            special: true,
            ..tokenizer.token(id)
        });
        forced.chain(words).collect()
    }

    /// Lets the model write the transcripts that are missing, one sound at a time: each is long.
    fn write_transcripts(
        &self,
        (tokenizer, start): (&Tokenizer, u32),
        sounds: &Sounds,
        sequences: &mut [Sequence],
        progress: &dyn Progress,
    ) -> Result<()> {
        let Some((missing, params)) = self.missing_targets(sequences)? else {
            return Ok(());
        };
        let generator = Generator::new(self.model(), &params)?;
        let total = missing.len();
        for (done, at) in missing.into_iter().enumerate() {
            step(progress, "generate", done, total)?;
            let source = Lengths {
                encoder: sequences[at].encoder.len(),
                decoder: 1,
            };
            let mut watch = Watch::new(progress, "generate", (done, total), self.products(1, source));
            let cancelled = |_: &str, _: usize, _: usize| progress.update("generate", done, total);
            let generated = generator.run(&self.sound_inputs([&sounds[at].0])?, &mut watch, &cancelled)?;
            let best = generated
                .into_iter()
                .next()
                .and_then(|one| one.hypotheses.into_iter().next());
            let written = best.map(|best| best.tokens).unwrap_or_default();
            let read = self.written(tokenizer, start, &written);
            self.set_target(&mut sequences[at], read, 0);
            sequences[at].text = Some(tokenizer.decode(&written)?);
        }
        let _ = progress.update("generate", total, total);
        Ok(())
    }
}

/// The positions of a sound of `longest` samples, by the second at which each begins. Those of silence behind the `heard` samples
/// are special.
fn positions(count: usize, longest: usize, heard: usize, rate: u32) -> Vec<Token> {
    let token = |position: usize| {
        let first = position * longest / count.max(1);
        Token {
            text: format!("{:.2} s", first as f64 / f64::from(rate.max(1))),
            position,
            special: first >= heard,
            ..Token::default()
        }
    };
    (0..count).map(token).collect()
}
