//! What the models read: text, dates and images, and the log of a training.

/// The default text: 200 sentences of the grammar that the text models learned, none of them in their training data.
pub fn sentences() -> impl Iterator<Item = &'static str> {
    include_str!("../models/data/sentences.txt").lines()
}

/// The same sentences with lemma, part of speech and sentiment, in CoNLL-U.
pub const SENTENCES_CONLLU: &str = include_str!("../models/data/sentences.conllu");

/// 500 dates as people write them and, after a TAB, as `YYYY-MM-DD`: input and output of [`DATES`](crate::DATES), none of
/// them in its training data (the task of Strobelt et al. 2018).
pub fn dates() -> impl Iterator<Item = &'static str> {
    include_str!("../models/dates/validation.tsv").lines()
}

/// The predictions of [`SENTIMENT`](crate::SENTIMENT) for 1200 examples after each epoch of its training, as JSON lines
/// (`docs/TRAINING_LOG.md`).
pub const SENTIMENT_LOG: &str = include_str!("../models/sentiment/log.jsonl");

macro_rules! images {
    ($($name:literal)*) => {
        /// The default images, as names and PNG files: hue, brightness, gratings, spatial frequencies and positions (after
        /// the stimuli of Yeh et al. 2023, section 7.1).
        pub const IMAGES: &[(&str, &[u8])] = &[$(($name, include_bytes!(concat!("../models/data/images/", $name)))),*];
    };
}

images! {
    "brightness-gradient.png" "disc-east.png" "disc-west.png" "frequency-sweep.png"
    "grating-000.png" "grating-022.png" "grating-045.png" "grating-067.png"
    "grating-090.png" "grating-112.png" "grating-135.png" "grating-157.png"
    "hue-brightness.png" "hue-gradient.png" "hue-wheel.png"
    "mosaic-brightness-orientation.png" "mosaic-hue-orientation.png"
    "mosaic-orientation-brightness.png" "mosaic-orientation-hue.png"
    "rings-coarse.png" "rings-fine.png" "rings-medium.png" "square-north.png" "square-south.png"
}
