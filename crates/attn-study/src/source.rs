//! Sources of a study: a model with the data it reads, or a capture that was made before. [`Source::open`] gives the capture, the
//! columns of the data, and the capturer that reads more. [`Source::load`] stops before the capture, for a [preview](Loaded::preview).
//!
//! ```
//! use attn_study::source::{Data, Source};
//!
//! let source = Source::Model {
//!     checkpoint: attn_embedded::TEXT_ENCODER.checkpoint()?,
//!     data: Data::lines(attn_embedded::sentences().take(3)),
//! };
//! let opened = source.open(None, &())?;
//! assert_eq!(opened.capture.sequences().len(), 3);
//! assert!(opened.complete && opened.capturer.is_some());
//! # Ok::<(), attn_study::Error>(())
//! ```

mod loaded;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use attn_core::{
    Capture, ModelInfo, Progress, Sequence, Side, Token, TokenColumn,
    text::{Dataset, Line, Note, TextFormat, TextParams, read_lines},
};
use attn_models::{
    Capturer, Checkpoint,
    capture::{CaptureOutcome, CaptureRun, cut_notes},
    control::Control,
    images::Image,
    sounds::Sound,
};

pub use self::loaded::{Loaded, Preview};
use crate::{Error, contrast::read_again, folder::labels};

/// Where queries and keys come from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Source {
    /// A model, run when the source is opened.
    Model {
        /// The model.
        checkpoint: Checkpoint,
        /// What it reads.
        data: Data,
    },
    /// A capture in a folder.
    Folder {
        /// The capture's folder.
        folder: PathBuf,
        /// The file that the capture was made of, for its columns. `None`: no columns but the classes of images.
        text: Option<TextFile>,
    },
    /// Captures in memory: one, or those of the checkpoints of a training.
    Captures {
        /// The captures, in the order of the training.
        captures: Vec<Capture>,
        /// Their columns.
        columns: Vec<TokenColumn>,
    },
    /// The checkpoints of a training. All read what the first one reads.
    Checkpoints {
        /// The checkpoints, in the order of the training.
        checkpoints: Vec<Checkpoint>,
        /// What they read.
        data: Data,
    },
    /// A control of a model, run on what the model has read.
    Control {
        /// The model.
        checkpoint: Checkpoint,
        /// What the control lacks.
        control: Control,
        /// Seed of its weights or positions.
        seed: u64,
        /// What the model has read.
        capture: Box<Capture>,
        /// The columns of that capture, which are the control's too.
        columns: Vec<TokenColumn>,
    },
}

/// What a model reads.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Data {
    /// A file of text, with its columns.
    Text(TextFile),
    /// A text in memory, with its columns.
    Dataset(Box<Dataset>),
    /// Lines of text.
    Lines(Vec<Line>),
    /// A file of token ids separated by spaces, one sequence per line. For models without a tokenizer.
    Ids(PathBuf),
    /// A folder of images. If it holds only folders of images, these are classes: the column `label`. A file `labels.csv` in
    /// it gives columns: its column `image` names an image by folder and file, or by file alone, the others are values.
    ImageFolder(PathBuf),
    /// Images. If they are files in several folders beside each other, these are classes, as above.
    Images(Vec<Image>),
    /// A folder of sounds (WAV files) for a model of sound; the file `NAME.txt` beside `NAME.wav` is its transcript. Without one, a
    /// model with a decoder writes it.
    SoundFolder(PathBuf),
    /// Sounds, and what is said in them.
    Sounds(Vec<(Sound, Option<String>)>),
    /// The first for models of text, the second for models of images.
    TextOrImages(Box<Data>, Box<Data>),
}

impl Data {
    /// Lines of text.
    pub fn lines<L: Into<Line>>(lines: impl IntoIterator<Item = L>) -> Self {
        Self::Lines(lines.into_iter().map(Into::into).collect())
    }
}

/// A file of text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TextFile {
    /// The file.
    pub path: PathBuf,
    /// Its format. Default: that of the file's name.
    pub format: Option<TextFormat>,
    /// The column of a table that holds the text. Default: `text` or `sentence`.
    pub column: Option<String>,
}

impl TextFile {
    /// A file in the format of its name.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            ..Self::default()
        }
    }

    /// Reads the lines and the columns.
    ///
    /// # Errors
    /// Those of [`Dataset::read`].
    pub fn read(&self) -> Result<Dataset, Error> {
        let params = TextParams {
            format: self.format,
            text_column: self.column.clone(),
            ..TextParams::default()
        };
        Ok(Dataset::read(&self.path, &params)?)
    }
}

/// An opened source.
#[derive(Debug)]
pub struct Opened {
    /// The capture; that of the first checkpoint of a training.
    pub capture: Capture,
    /// The model that reads more; that of the last checkpoint of a training. `None` for captures that were made before.
    pub capturer: Option<Capturer>,
    /// Labels and numbers of the tokens.
    pub columns: Vec<TokenColumn>,
    /// The captures of later checkpoints, in their order.
    pub later: Vec<Capture>,
    /// Whether the capture holds all of the data; `false` after a cancellation.
    pub complete: bool,
    /// Parts of the text that were left out, and how much was cut.
    pub notes: Vec<Note>,
}

impl Opened {
    fn done(capture: Capture, columns: Vec<TokenColumn>) -> Self {
        Self {
            notes: cut_notes(capture.sequences()),
            capture,
            capturer: None,
            columns,
            later: Vec::new(),
            complete: true,
        }
    }
}

impl Source {
    /// Opens the capture or makes it, in `folder` or (`None`) in memory. Captures of later checkpoints go to `capture-2`,
    /// `capture-3`, ... beside that folder. A capture that is half done in its folder continues.
    ///
    /// A cancellation of a single capture is no error: [`Opened::complete`] is `false`, and the finished sequences are there.
    ///
    /// # Errors
    /// Those of [`Capture::open`], [`Capturer::load`], [`CaptureRun::run`] and [`TextFile::read`]. [`Error::TokenId`] in a file
    /// of ids, [`Error::NoSource`] for no captures or no checkpoints, [`Error::Stopped`] for a cancellation between
    /// checkpoints.
    pub fn open(self, folder: Option<&Path>, progress: &dyn Progress) -> Result<Opened, Error> {
        match self {
            Self::Model { .. } => self.load()?.open(folder, progress),
            Self::Folder { folder, text } => {
                let capture = Capture::open(folder)?;
                let Some(text) = text else {
                    let labels = labels(&capture)?;
                    let mut opened = Opened::done(capture, labels.columns);
                    opened.notes.splice(0..0, labels.notes);
                    return Ok(opened);
                };
                let known = text.read()?;
                let columns = known.columns(&capture)?;
                let mut opened = Opened::done(capture, columns);
                opened.notes.splice(0..0, known.notes);
                Ok(opened)
            }
            Self::Captures { captures, columns } => {
                let mut captures = captures.into_iter();
                let first = captures.next().ok_or(Error::NoSource { expected: "a capture" })?;
                Ok(Opened {
                    later: captures.collect(),
                    ..Opened::done(first, columns)
                })
            }
            Self::Checkpoints { checkpoints, data } => open_checkpoints(checkpoints, data, folder, progress),
            Self::Control {
                checkpoint,
                control,
                seed,
                capture,
                columns,
            } => {
                let capturer = control.capturer(&checkpoint, seed)?;
                let outcome = run(read_again(&capturer, capture.sequences())?, folder, progress)?;
                Ok(Opened {
                    capturer: Some(capturer),
                    complete: outcome.complete,
                    // Columns have a value for every token of the whole capture.
                    ..Opened::done(outcome.capture, if outcome.complete { columns } else { Vec::new() })
                })
            }
        }
    }

    /// A model and what it reads. A model of images and captions (CLIP, SigLIP) reads text with its text tower.
    ///
    /// # Errors
    /// Those of [`Checkpoint::text_tower`].
    pub fn model(checkpoint: Checkpoint, data: Data) -> Result<Self, Error> {
        let text = matches!(data, Data::Text(_) | Data::Dataset(_) | Data::Lines(_) | Data::Ids(_));
        let tower = if text { checkpoint.text_tower()? } else { None };
        Ok(Self::Model {
            checkpoint: tower.unwrap_or(checkpoint),
            data,
        })
    }

    /// The model, where there is a single one that reads data of its own.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        match self {
            Self::Model { checkpoint, .. } => Some(checkpoint),
            _ => None,
        }
    }

    /// Whether opening the source runs a model over data of its own, whose capture is worth a folder.
    pub fn is_read(&self) -> bool {
        matches!(self, Self::Model { .. } | Self::Checkpoints { .. })
    }
}

/// The name of the model, the folder of the capture, or the number of checkpoints.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model { checkpoint, .. } => checkpoint.path().display().fmt(f),
            Self::Folder { folder, .. } => folder.display().fmt(f),
            Self::Checkpoints { checkpoints, .. } => write!(f, "{} checkpoints", checkpoints.len()),
            Self::Control {
                checkpoint, control, ..
            } => write!(f, "{}, {control}", checkpoint.path().display()),
            Self::Captures { captures, .. } => f.write_str(captures.first().map_or("", |first| &first.model().name)),
        }
    }
}

/// All checkpoints read what the first reads; the last one reads more.
fn open_checkpoints(
    checkpoints: Vec<Checkpoint>,
    data: Data,
    folder: Option<&Path>,
    progress: &dyn Progress,
) -> Result<Opened, Error> {
    let count = checkpoints.len();
    let mut checkpoints = checkpoints.into_iter();
    let first = checkpoints.next().ok_or(Error::NoSource {
        expected: "checkpoints",
    })?;
    let first = Source::Model {
        checkpoint: first,
        data,
    };
    let mut opened = first.open(folder, progress)?;
    for (number, checkpoint) in (2..).zip(checkpoints) {
        let folder = folder.map(|folder| folder.with_file_name(format!("capture-{number}")));
        let capturer = Capturer::load(&checkpoint)?;
        let again = read_again(&capturer, opened.capture.sequences())?;
        let outcome = run(again, folder.as_deref(), progress)?;
        if !outcome.complete {
            return Err(Error::Stopped {
                what: format!("before checkpoint {number} of {count} was read"),
            });
        }
        opened.later.push(outcome.capture);
        opened.capturer = Some(capturer);
    }
    Ok(opened)
}

/// Captures to a folder or in memory.
fn run(run: CaptureRun<'_>, folder: Option<&Path>, progress: &dyn Progress) -> attn_models::Result<CaptureOutcome> {
    let run = match folder {
        Some(folder) => run.to_folder(folder),
        None => run,
    };
    run.progress(progress).run()
}

/// Lines of token ids as sequences.
fn sequences_of_ids(model: &ModelInfo, path: &Path) -> Result<Vec<Sequence>, Error> {
    let side = model.attentions.first().map(|info| info.attention.query_side());
    let sequence = |line: Line| {
        let words = line.text.split_whitespace().enumerate();
        let tokens = words.map(|(position, text)| token_of_id(path, &line, position, text));
        let tokens = tokens.collect::<Result<_, _>>()?;
        let mut sequence = Sequence {
            name: format!("line {}", line.number),
            text: Some(line.text.clone()),
            ..Sequence::default()
        };
        match side {
            Some(Side::Decoder) => sequence.decoder = tokens,
            _ => sequence.encoder = tokens,
        }
        Ok(sequence)
    };
    read_lines(path)?.into_iter().map(sequence).collect()
}

fn token_of_id(path: &Path, line: &Line, position: usize, text: &str) -> Result<Token, Error> {
    let id = text.parse().map_err(|_| Error::TokenId {
        path: path.to_owned(),
        line: line.number,
        found: text.to_owned(),
    })?;
    Ok(Token {
        text: text.into(),
        id: Some(id),
        position,
        ..Token::default()
    })
}
