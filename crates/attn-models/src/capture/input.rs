//! The input of a capture as sequences of tokens, and the tensors of its batches.

use attn_core::{Attention, Limits, Progress, Sequence, Side, Token, progress::step, sequence::ImageInfo, text::Note};
use xxhash_rust::xxh3::Xxh3;

use super::{
    Capturer, Images,
    notes::{Unreadable, these},
    pairs::Pair,
    sounds::Sounds,
    tokens::{encode, ids, patch_tokens, segments, some, without_tokens},
};
use crate::{Error, Inputs, Result, Tokenizer, text::Line};

/// Bytes of a patch: its token and the token's text, about.
const TOKEN: usize = size_of::<Token>() + 16;

/// Bytes that a tokenizer takes for each of a text, about.
pub(super) const TOKENIZED: usize = 64;

/// The input that a caller gives.
pub(super) enum Input {
    Lines(Vec<Line>),
    /// Each alone or with a second one, which a model with one stack reads as a pair.
    Texts(Vec<(Line, Option<String>)>),
    Pairs(Vec<Pair>),
    Images(Images),
    Sounds(Sounds),
    Sequences(Vec<Sequence>),
}

/// Sequences, and what their batches are made of.
pub(super) struct Prepared {
    pub(super) sequences: Vec<Sequence>,
    pub(super) batches: Batches,
    /// What was left out.
    pub(super) notes: Vec<Note>,
    /// Names what the sequences do not hold: what is read of images and sounds. Empty for texts.
    pub(super) digest: String,
}

/// Texts as sequences, and what was left out.
pub(super) type Read = (Vec<Sequence>, Vec<Note>);

/// The source of the tensors of a batch.
pub(super) enum Batches {
    /// The ids of the tokens.
    Ids,
    /// The pixels of these images, one a sequence.
    Pixels(Images),
    /// Features of these sounds, one a sequence, and the ids of the decoder.
    Sounds(Sounds),
}

impl Capturer {
    /// Reads text into tokens and looks at every image.
    pub(super) fn prepare(&self, input: Input, progress: &dyn Progress) -> Result<Prepared> {
        match input {
            Input::Lines(lines) => {
                let tokenizer = self.reader("text")?;
                if self.translates() {
                    let pairs: Vec<Pair> = lines.into_iter().map(Pair::of_line).collect();
                    return self.with_ids(self.paired(tokenizer, pairs, progress)?);
                }
                let texts = lines.into_iter().map(|line| (line, None)).collect();
                self.with_ids(self.encoded(tokenizer, texts, progress)?)
            }
            Input::Texts(texts) => {
                let tokenizer = self.reader("text")?;
                if self.translates() {
                    let found = format!("family `{}`, which has two", self.model().info().family);
                    return Err(Error::input(
                        "input_ids",
                        "a model with one stack, for pairs of texts",
                        found,
                    ));
                }
                self.with_ids(self.encoded(tokenizer, texts, progress)?)
            }
            Input::Pairs(pairs) => {
                let tokenizer = self.reader("text")?;
                self.two_stacks()?;
                self.with_ids(self.paired(tokenizer, pairs, progress)?)
            }
            Input::Images(images) => self.seen(images, progress),
            Input::Sounds(sounds) => self.heard(sounds, progress),
            Input::Sequences(sequences) => self.with_ids((sequences, Vec::new())),
        }
    }

    /// The inputs of a batch: the sequences of `chosen` places.
    pub(super) fn batch_inputs(&self, sequences: &[Sequence], batches: &Batches, chosen: &[usize]) -> Result<Inputs> {
        if let Batches::Pixels(images) = batches {
            return self.image_inputs(chosen.iter().map(|&at| &images[at]));
        }
        let rows = |side: Side| -> Result<Inputs> {
            let tokens = || chosen.iter().map(|&at| sequences[at].tokens(side));
            let mut inputs = Inputs::from_ids(&tokens().map(ids).collect::<Vec<_>>(), 0)?;
            // Sequences may come from elsewhere.
            if self.model.token_types() > 1 && tokens().flatten().any(|token| token.segment != 0) {
                let types: Vec<Vec<u32>> = tokens().map(segments).collect();
                inputs.token_type_ids = Inputs::from_ids(&types, 0)?.input_ids;
            }
            Ok(inputs)
        };
        if !self.translates() {
            return match batches {
                Batches::Sounds(sounds) => self.sound_inputs(chosen.iter().map(|&at| &sounds[at].0)),
                _ => rows(self.side()),
            };
        }
        let target = rows(Side::Decoder)?;
        let source = match batches {
            Batches::Sounds(sounds) => self.sound_inputs(chosen.iter().map(|&at| &sounds[at].0))?,
            _ => rows(Side::Encoder)?,
        };
        Ok(Inputs {
            decoder_input_ids: target.input_ids,
            decoder_attention_mask: target.attention_mask,
            ..source
        })
    }

    /// Whether the model is an encoder-decoder.
    pub(super) fn translates(&self) -> bool {
        self.model.info().attention(Attention::Cross).is_some()
    }

    /// The tokenizer of a model of text.
    pub(super) fn reader(&self, found: &str) -> Result<&Tokenizer> {
        self.refuse_images(found)?;
        self.tokenizer.as_ref().ok_or_else(|| Error::MissingFile {
            path: self.path.clone(),
            what: "tokenizer",
            expected: crate::checkpoint::TOKENIZER,
        })
    }

    fn refuse_images(&self, found: &str) -> Result<()> {
        match self.model.vision() {
            Some(_) => Err(Error::input("input_ids", "images: this is a model of images", found)),
            None if self.model.hearing().is_some() => {
                Err(Error::input("input_ids", "sounds: this is a model of sound", found))
            }
            None => Ok(()),
        }
    }

    /// Texts and pairs of texts as the sequences of a model with one stack.
    fn encoded(
        &self,
        tokenizer: &Tokenizer,
        texts: Vec<(Line, Option<String>)>,
        progress: &dyn Progress,
    ) -> Result<Read> {
        let (side, total) = (self.side(), texts.len());
        let (mut sequences, mut notes) = (Vec::with_capacity(total), Vec::new());
        for (done, (Line { number, text }, second)) in texts.into_iter().enumerate() {
            if done % 256 == 0 {
                step(progress, "tokens", done, total)?;
            }
            let name = format!("line {number}");
            let bytes = text.len() + second.as_ref().map_or(0, String::len);
            self.limits.check(&name, Limits::size(&[bytes], TOKENIZED))?;
            let encoded = encode(tokenizer, &text, second.as_deref(), self.model.info());
            let Some(mut encoded) = some(encoded, number)? else {
                notes.push(without_tokens(number));
                continue;
            };
            // A model without types takes none, whatever its tokenizer says of a pair.
            if self.model.token_types() < 2 {
                encoded.tokens.iter_mut().for_each(|token| token.segment = 0);
            }
            let mut sequence = Sequence {
                name,
                text: Some(match second {
                    Some(second) => format!("{text}\t{second}"),
                    None => text,
                }),
                cut_from: encoded.cut_from,
                ..Sequence::default()
            };
            match side {
                Side::Encoder => sequence.encoder = encoded.tokens,
                Side::Decoder => sequence.decoder = encoded.tokens,
            }
            sequences.push(sequence);
        }
        Ok((sequences, notes))
    }

    /// Sequences of a model of text, every token of which must have its id.
    fn with_ids(&self, (sequences, notes): Read) -> Result<Prepared> {
        self.refuse_images("tokens")?;
        for sequence in &sequences {
            let mut tokens = sequence.encoder.iter().chain(&sequence.decoder);
            if let Some(token) = tokens.find(|token| token.id.is_none()) {
                let found = format!("`{}` of {} without one", token.text, sequence.name);
                return Err(Error::input("input_ids", "an id for every token", found));
            }
        }
        Ok(Prepared {
            sequences,
            batches: Batches::Ids,
            notes,
            digest: String::new(),
        })
    }

    /// Images as sequences of patches. Each is decoded, so that a broken one is found now.
    fn seen(&self, images: Images, progress: &dyn Progress) -> Result<Prepared> {
        let (processor, vision) = self.eye()?;
        let (mut sequences, mut read) = (Vec::with_capacity(images.len()), Vec::with_capacity(images.len()));
        let (mut unreadable, mut digest) = (Unreadable::default(), Xxh3::new());
        for (done, image) in images.iter().enumerate() {
            step(progress, "images", done, images.len())?;
            let Some(decoded) = unreadable.unless(image.decode_within(self.limits))? else {
                continue;
            };
            let pixels = processor.pixels(&decoded, &vision);
            let pixels = pixels.map_err(|error| error.of_image(&image.name()))?;
            // As the model reads them, so that the settings of the preprocessor are in them.
            digest.update(bytemuck::cast_slice(&pixels));
            let tokens = [done + 1, vision.rows, vision.columns];
            let what = format_args!("the patches of {}, {} x {}", image.name(), vision.rows, vision.columns);
            self.limits.check(what, Limits::size(&tokens, TOKEN))?;
            sequences.push(Sequence {
                name: image.name(),
                image: Some(ImageInfo {
                    path: image.path().map(Into::into),
                    rows: vision.rows,
                    columns: vision.columns,
                    data: None,
                }),
                encoder: patch_tokens(&vision),
                ..Sequence::default()
            });
            read.push(done);
        }
        let notes = unreadable.notes(sequences.is_empty())?;
        Ok(Prepared {
            sequences,
            batches: Batches::Pixels(these(images, &read)),
            notes,
            digest: format!("{:032x}", digest.digest128()),
        })
    }
}
