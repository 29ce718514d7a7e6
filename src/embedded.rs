//! Five small models that come with the SDK, and text and pictures to run them on: something to look at within a minute of
//! `cargo add`, and a known ground for tests.
//!
//! They were trained from scratch by `examples/train`; `models/*/README.md` says on what, how long and with which accuracy.

use std::{fmt, str::FromStr};

use attn_models::Checkpoint;

use crate::Error;

macro_rules! file {
    ($model:literal, $name:literal) => {
        include_bytes!(concat!("../models/", $model, "/", $name)).as_slice()
    };
}

/// An embedded model.
///
/// ```
/// use attn_sdk::{embedded::Embedded, models::Model};
///
/// let checkpoint = Embedded::TextEncoder.checkpoint()?;
/// let model = Model::load(&checkpoint)?;
/// assert_eq!(model.info().heads().count(), 16);
/// # Ok::<(), attn_sdk::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Embedded {
    /// BERT, 4 layers x 4 heads, masked language model of [`sentences`].
    TextEncoder,
    /// GPT-2, 4 layers x 4 heads, language model of [`sentences`].
    TextDecoder,
    /// ViT, 4 layers x 4 heads, classifier of synthetic [`PICTURES`].
    Vision,
    /// Pegasus, an encoder-decoder of 2 + 2 layers x 4 heads, converter of [`dates`].
    Dates,
    /// [`TextEncoder`](Self::TextEncoder), fine-tuned to tell negative, neutral and positive texts apart;
    /// [`sentiment_epochs`] and [`SENTIMENT_LOG`] tell how it got there.
    Sentiment,
}

impl Embedded {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::TextEncoder,
        Self::TextDecoder,
        Self::Vision,
        Self::Dates,
        Self::Sentiment,
    ];

    /// Its name on the command line: `text-encoder`, `text-decoder`, `vision`, `dates`, `sentiment`.
    pub fn name(self) -> &'static str {
        match self {
            Self::TextEncoder => "text-encoder",
            Self::TextDecoder => "text-decoder",
            Self::Vision => "vision",
            Self::Dates => "dates",
            Self::Sentiment => "sentiment",
        }
    }

    /// Its files.
    ///
    /// # Errors
    /// None in practice: the files are compiled in. The signature is that of every other checkpoint.
    pub fn checkpoint(self) -> Result<Checkpoint, Error> {
        let (config, weights, tokenizer, preprocessor) = match self {
            Self::TextEncoder => (
                file!("text-encoder", "config.json"),
                file!("text-encoder", "model.safetensors"),
                Some(file!("text-encoder", "tokenizer.json")),
                None,
            ),
            Self::TextDecoder => (
                file!("text-decoder", "config.json"),
                file!("text-decoder", "model.safetensors"),
                Some(file!("text-decoder", "tokenizer.json")),
                None,
            ),
            Self::Vision => (
                file!("vision", "config.json"),
                file!("vision", "model.safetensors"),
                None,
                Some(file!("vision", "preprocessor_config.json")),
            ),
            Self::Dates => (
                file!("dates", "config.json"),
                file!("dates", "model.safetensors"),
                Some(file!("dates", "tokenizer.json")),
                None,
            ),
            Self::Sentiment => (
                file!("sentiment", "config.json"),
                file!("sentiment", "model.safetensors"),
                Some(file!("sentiment", "tokenizer.json")),
                None,
            ),
        };
        Ok(Checkpoint::from_bytes(
            self.name(),
            config,
            weights,
            tokenizer.map(Into::into),
            preprocessor.map(Into::into),
        )?)
    }
}

impl fmt::Display for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Embedded {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|model| model.name() == s)
            .ok_or_else(|| format!("expected one of {names}, found `{s}`"))
    }
}

/// The default text: 200 sentences of the grammar the text models learnt from, which they were not trained on.
pub fn sentences() -> impl Iterator<Item = &'static str> {
    include_str!("../models/data/sentences.txt").lines()
}

/// The same sentences with lemma, part of speech and sentiment, in CoNLL-U.
pub const SENTENCES_CONLLU: &str = include_str!("../models/data/sentences.conllu");

/// 500 dates as people write them and, after a TAB, as `YYYY-MM-DD`: what [`Embedded::Dates`] reads and writes, and was not
/// trained on (the task of Strobelt et al. 2018).
pub fn dates() -> impl Iterator<Item = &'static str> {
    include_str!("../models/dates/validation.tsv").lines()
}

/// What [`Embedded::Sentiment`] made of 1200 examples after each epoch of its training, as JSON lines
/// (`docs/TRAINING_LOG.md`).
pub const SENTIMENT_LOG: &str = include_str!("../models/sentiment/log.jsonl");

/// The checkpoints of the training of [`Embedded::Sentiment`] after each of its four epochs, in their order. The first
/// epoch started from [`Embedded::TextEncoder`], the last one ended with [`Embedded::Sentiment`].
///
/// ```
/// let epochs = attn_sdk::embedded::sentiment_epochs()?;
/// assert_eq!(epochs.len(), 4);
/// # Ok::<(), attn_sdk::Error>(())
/// ```
///
/// # Errors
/// None in practice, as [`Embedded::checkpoint`].
pub fn sentiment_epochs() -> Result<Vec<Checkpoint>, Error> {
    let finished = [
        ("sentiment, epoch 1", file!("sentiment/epoch-1", "model.safetensors")),
        ("sentiment, epoch 2", file!("sentiment/epoch-2", "model.safetensors")),
        ("sentiment, epoch 3", file!("sentiment/epoch-3", "model.safetensors")),
        ("sentiment, epoch 4", file!("sentiment", "model.safetensors")),
    ];
    finished
        .into_iter()
        .map(|(name, weights)| {
            let config = file!("sentiment", "config.json");
            let tokenizer = file!("sentiment", "tokenizer.json");
            Ok(Checkpoint::from_bytes(
                name,
                config,
                weights,
                Some(tokenizer.into()),
                None,
            )?)
        })
        .collect()
}

macro_rules! pictures {
    ($($name:literal)*) => {
        /// The default pictures, as names and PNG files: hue, brightness, gratings, spatial frequencies and positions (the
        /// stimuli of Yeh et al. 2023, section 7.1, made anew).
        pub const PICTURES: &[(&str, &[u8])] = &[$(($name, include_bytes!(concat!("../models/data/images/", $name)))),*];
    };
}

pictures! {
    "brightness-gradient.png" "disc-east.png" "disc-west.png" "frequency-sweep.png"
    "grating-000.png" "grating-022.png" "grating-045.png" "grating-067.png"
    "grating-090.png" "grating-112.png" "grating-135.png" "grating-157.png"
    "hue-brightness.png" "hue-gradient.png" "hue-wheel.png"
    "mosaic-brightness-orientation.png" "mosaic-hue-orientation.png"
    "mosaic-orientation-brightness.png" "mosaic-orientation-hue.png"
    "rings-coarse.png" "rings-fine.png" "rings-medium.png" "square-north.png" "square-south.png"
}
