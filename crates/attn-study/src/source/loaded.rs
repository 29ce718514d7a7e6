//! Loaded sources: a first look at the data before all of it is captured.

use std::path::Path;

use attn_core::{
    Capture, Progress, Sequence, TokenColumn,
    text::{Dataset, Line, Note},
};
use attn_models::{
    Capturer,
    capture::CaptureRun,
    images::Image,
    sounds::{Sound, sounds_in},
};

use super::{Data, Opened, Source, run, sequences_of_ids};
use crate::{
    Error,
    folder::{ImageFolder, Labels, labels},
};

/// Tokens of a preview, about: a small model reads them in tenths of a second.
const PREVIEW_TOKENS: usize = 512;
/// Letters per token of a text that is not tokenized yet.
const LETTERS: usize = 5;

/// A source whose model is loaded and whose input is read. Nothing is captured yet.
///
/// ```
/// use attn_study::source::{Data, Source};
///
/// let source = Source::Model {
///     checkpoint: attn_embedded::TEXT_ENCODER.checkpoint()?,
///     data: Data::lines(attn_embedded::sentences().take(200)),
/// };
/// let loaded = source.load()?;
/// let preview = loaded.preview(None, &())?.expect("200 sentences take a while");
/// assert!(preview.capture.sequences().len() < preview.of && preview.of == 200);
/// let opened = loaded.open(None, &())?;
/// assert_eq!(opened.capture.sequences().len(), 200);
/// # Ok::<(), attn_study::Error>(())
/// ```
#[derive(Debug)]
pub struct Loaded(Kind);

#[derive(Debug)]
enum Kind {
    Model(Box<Capturer>, Input),
    Other(Box<Source>),
}

/// The capture of the first sequences of the data.
#[derive(Debug)]
pub struct Preview {
    /// The capture, in memory.
    pub capture: Capture,
    /// Labels and numbers of its tokens.
    pub columns: Vec<TokenColumn>,
    /// The sequences of the data.
    pub of: usize,
}

/// What a model reads.
#[derive(Debug)]
enum Input {
    Dataset(Box<Dataset>),
    Lines(Vec<Line>),
    Sequences(Vec<Sequence>),
    Folder(ImageFolder),
    Images(Vec<Image>),
    Sounds(Vec<(Sound, Option<String>)>),
}

impl Source {
    /// Loads the model and reads its input, without running it. Sources other than [`Source::Model`] are kept as they are.
    ///
    /// # Errors
    /// Those of [`Source::open`] for a model or a file that cannot be read.
    pub fn load(self) -> Result<Loaded, Error> {
        Ok(Loaded(match self {
            Self::Model { checkpoint, data } => {
                let capturer = Capturer::load(&checkpoint)?;
                let input = Input::read(data, &capturer)?;
                Kind::Model(Box::new(capturer), input)
            }
            other => Kind::Other(Box::new(other)),
        }))
    }
}

impl Loaded {
    /// Captures the first sequences, about 512 tokens, for something to show at once. `None` if `folder`, that
    /// [`open`](Self::open) is to be called with, has a finished capture, if the data has little more than that, if the first
    /// sequence alone is longer or none of the first has tokens, for sounds, and for sources other than [`Source::Model`].
    ///
    /// # Errors
    /// Those of [`CaptureRun::run`].
    pub fn preview(&self, folder: Option<&Path>, progress: &dyn Progress) -> Result<Option<Preview>, Error> {
        let Kind::Model(capturer, input) = &self.0 else {
            return Ok(None);
        };
        if folder.is_some_and(Capture::is_in) {
            return Ok(None);
        }
        let (first, of) = (input.first(PREVIEW_TOKENS, capturer), input.len());
        if first == 0 || input.first(2 * PREVIEW_TOKENS, capturer) == of {
            return Ok(None);
        }
        let capture = match input.run(first, capturer).progress(progress).run() {
            Ok(outcome) => outcome.capture,
            // None of the first lines has a token.
            Err(attn_models::Error::Empty { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let columns = input.labels(&capture)?.columns;
        Ok(Some(Preview { capture, columns, of }))
    }

    /// Captures all sequences: see [`Source::open`].
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn open(self, folder: Option<&Path>, progress: &dyn Progress) -> Result<Opened, Error> {
        let (capturer, input) = match self.0 {
            Kind::Model(capturer, input) => (*capturer, input),
            Kind::Other(source) => return source.open(folder, progress),
        };
        let outcome = run(input.run(input.len(), &capturer), folder, progress)?;
        let labels = input.labels(&outcome.capture)?;
        let mut notes = match input {
            Input::Dataset(known) => known.notes,
            Input::Folder(folder) => folder.notes,
            _ => Vec::new(),
        };
        notes.extend(labels.notes);
        notes.extend(outcome.notes);
        notes.extend(capturer.model().notes().iter().map(|note| Note {
            line: None,
            message: format!("the model {note}"),
        }));
        let mut opened = Opened::done(outcome.capture, labels.columns);
        opened.notes.splice(0..0, notes);
        Ok(Opened {
            capturer: Some(capturer),
            complete: outcome.complete,
            ..opened
        })
    }
}

#[cfg(test)]
impl Kind {
    /// Whether it is a model of images.
    fn vision(&self) -> bool {
        matches!(self, Self::Model(capturer, _) if capturer.model().vision().is_some())
    }
}

impl Input {
    fn read(data: Data, capturer: &Capturer) -> Result<Self, Error> {
        let data = match data {
            Data::TextOrImages(_, images) if capturer.model().vision().is_some() => *images,
            Data::TextOrImages(text, _) => *text,
            other => other,
        };
        Ok(match data {
            Data::Text(text) => Self::Dataset(Box::new(text.read()?)),
            Data::Dataset(dataset) => Self::Dataset(dataset),
            Data::Lines(lines) => Self::Lines(lines),
            Data::Ids(path) => Self::Sequences(sequences_of_ids(capturer.model().info(), &path)?),
            Data::ImageFolder(path) => Self::Folder(ImageFolder::read(&path)?),
            Data::Images(images) => Self::Images(images),
            Data::SoundFolder(path) => Self::Sounds(sounds_in(path)?),
            Data::Sounds(sounds) => Self::Sounds(sounds),
            Data::TextOrImages(..) => {
                return Err(Error::NoSource {
                    expected: "text or images, not a choice within a choice",
                });
            }
        })
    }

    fn len(&self) -> usize {
        match self {
            Self::Dataset(known) => known.lines.len(),
            Self::Lines(lines) => lines.len(),
            Self::Sequences(sequences) => sequences.len(),
            Self::Folder(folder) => folder.images.len(),
            Self::Images(images) => images.len(),
            Self::Sounds(sounds) => sounds.len(),
        }
    }

    /// The first sequences that together have about so many tokens.
    fn first(&self, tokens: usize, capturer: &Capturer) -> usize {
        let letters = |lines: &[Line]| until(tokens, lines.iter().map(|line| line.text.len() / LETTERS + 1));
        match self {
            Self::Dataset(known) => letters(&known.lines),
            Self::Lines(lines) => letters(lines),
            Self::Sequences(sequences) => until(
                tokens,
                sequences.iter().map(|own| own.encoder.len() + own.decoder.len()),
            ),
            Self::Folder(_) | Self::Images(_) => {
                let of_image = capturer.model().vision().map_or(1, |vision| vision.tokens());
                until(tokens, std::iter::repeat_n(of_image, self.len()))
            }
            // How long they are is not known before they are read.
            Self::Sounds(_) => 0,
        }
    }

    /// The capture of the first sequences, not begun.
    fn run<'c>(&self, first: usize, capturer: &'c Capturer) -> CaptureRun<'c> {
        match self {
            Self::Dataset(known) => capturer.lines(&known.lines[..first]),
            Self::Lines(lines) => capturer.lines(&lines[..first]),
            Self::Sequences(sequences) => capturer.sequences(sequences[..first].to_vec()),
            Self::Folder(folder) => capturer.images(folder.images[..first].to_vec()),
            Self::Images(images) => capturer.images(images[..first].to_vec()),
            Self::Sounds(sounds) => capturer.sounds(sounds[..first].to_vec()),
        }
    }

    fn labels(&self, capture: &Capture) -> Result<Labels, Error> {
        match self {
            Self::Dataset(known) => Ok(Labels {
                columns: known.columns(capture)?,
                notes: Vec::new(),
            }),
            _ => labels(capture),
        }
    }
}

/// How many of the lengths, from the first on, together stay within `tokens`.
fn until(tokens: usize, lengths: impl Iterator<Item = usize>) -> usize {
    let mut used = 0;
    let within = |length: &usize| {
        used += length;
        used <= tokens
    };
    lengths.take_while(within).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_has_the_first_sequences() {
        assert_eq!(until(10, [4, 4, 4].into_iter()), 2);
        assert_eq!(until(10, [40, 4].into_iter()), 0);
        assert_eq!(until(100, [4, 4].into_iter()), 2);
    }

    #[test]
    fn a_preview_computes_what_the_capture_does() {
        let source = Source::Model {
            checkpoint: attn_embedded::TEXT_ENCODER.checkpoint().unwrap(),
            data: Data::lines(attn_embedded::sentences().take(150)),
        };
        let loaded = source.load().unwrap();
        let preview = loaded.preview(None, &()).unwrap().unwrap().capture;
        let whole = loaded.open(None, &()).unwrap().capture;
        let count = preview.sequences().len();
        assert_eq!(preview.sequences(), &whole.sequences()[..count]);
        for head in whole.model().heads() {
            let (few, all) = (preview.queries(head).unwrap(), whole.queries(head).unwrap());
            // Batches differ, and with them the order of sums.
            let near = few.iter().zip(&all).all(|(a, b)| (a - b).abs() < 1e-4);
            assert!(near, "{head:?}");
        }
    }

    #[test]
    fn little_data_has_no_preview() {
        let source = Source::Model {
            checkpoint: attn_embedded::TEXT_ENCODER.checkpoint().unwrap(),
            data: Data::lines(["one line", "and another"]),
        };
        assert!(source.load().unwrap().preview(None, &()).unwrap().is_none());
    }

    fn fixture(name: &str) -> attn_models::Checkpoint {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/");
        attn_models::Checkpoint::open(format!("{folder}{name}")).unwrap()
    }

    /// A file of 16-bit samples at 16 kHz.
    fn wav(seconds: f64) -> Vec<u8> {
        let count = (16_000.0 * seconds) as u32;
        let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
        for word in [16_000_u32, 32_000] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend([2, 0, 16, 0]);
        bytes.extend(b"data");
        bytes.extend((2 * count).to_le_bytes());
        for at in 0..count {
            let value = 9000.0 * (f64::from(at) * 0.05).sin();
            bytes.extend((value as i16).to_le_bytes());
        }
        let length = bytes.len() as u32 - 8;
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    #[test]
    fn sounds_of_a_folder_are_heard_with_their_transcripts() {
        let folder = tempfile::tempdir().unwrap();
        for (name, seconds) in [("b.wav", 0.2), ("a.WAV", 0.3)] {
            std::fs::write(folder.path().join(name), wav(seconds)).unwrap();
        }
        std::fs::write(folder.path().join("b.txt"), "the cat\nsat\n").unwrap();
        std::fs::write(folder.path().join("._a.wav"), "").unwrap();
        let source = || Data::SoundFolder(folder.path().to_owned());
        let loaded = Source::model(fixture("wav2vec2"), source()).unwrap().load().unwrap();
        assert!(loaded.preview(None, &()).unwrap().is_none());
        let opened = loaded.open(None, &()).unwrap();
        let sequences = opened.capture.sequences();
        assert_eq!(
            sequences.iter().map(|sequence| &*sequence.name).collect::<Vec<_>>(),
            ["a.WAV", "b.wav"]
        );
        assert_eq!(
            [&sequences[0].text, &sequences[1].text],
            [&None, &Some("the cat sat".to_owned())]
        );
        assert!(sequences[0].encoder.len() > sequences[1].encoder.len() && !sequences[1].encoder.is_empty());
        let empty = tempfile::tempdir().unwrap();
        let none = Source::model(fixture("wav2vec2"), Data::SoundFolder(empty.path().to_owned())).unwrap();
        let error = none.load().unwrap_err().to_string();
        assert!(error.contains("no sounds (wav, wave)"), "{error}");
    }

    #[test]
    fn text_is_read_by_the_text_tower_of_a_model_with_two() {
        for name in ["clip", "siglip"] {
            let source = Source::model(fixture(name), Data::lines(["the cat sat", "on the mat"])).unwrap();
            let opened = source.open(None, &()).unwrap();
            assert_eq!(opened.capture.sequences().len(), 2, "{name}");
            let tower = &opened.capture.model().attentions[0];
            let sequence = &opened.capture.sequences()[0];
            let tokens = match tower.attention.query_side() {
                attn_core::Side::Decoder => &sequence.decoder,
                attn_core::Side::Encoder => &sequence.encoder,
            };
            let text: String = tokens.iter().map(|token| &*token.text).collect();
            assert!(text.contains("cat"), "{name}: {text}");
            let images = Source::model(fixture(name), Data::Images(Vec::new())).unwrap();
            assert!(images.load().unwrap().0.vision(), "{name}");
        }
    }
}
