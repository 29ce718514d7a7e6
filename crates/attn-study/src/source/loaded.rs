//! Loaded sources: a first look at the data before all of it is captured.

use std::path::Path;

use attn_core::{
    Capture, Progress, Sequence, TokenColumn,
    text::{Dataset, Line, Note},
};
use attn_models::{Capturer, capture::CaptureRun, images::Image};

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
    /// sequence alone is longer or none of the first has tokens, and for sources other than [`Source::Model`].
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
}
