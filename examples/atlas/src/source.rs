//! Sources: a model with data, or an existing capture.

use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
};

use attn_sdk::{
    Dataset, Progress, TextParams, TokenColumn,
    core::{
        Capture, ModelInfo, Sequence, Side, Token,
        text::{Note, TextFormat},
    },
    embedded::{self, EmbeddedModel},
    models::{
        Capturer, Checkpoint,
        capture::{CaptureOutcome, CaptureRun},
        control::Control,
        images::images_in,
        text::read_lines,
    },
    read_again,
};

/// Seed of the weights and positions of control models.
const SEED: u64 = 0;

/// A source of queries and keys.
#[derive(Clone)]
pub(crate) enum Source {
    /// A model and its data.
    Model { model: Model, data: Data },
    /// The folder of a capture, and the file of its columns.
    Folder(PathBuf, Option<TextFile>),
    /// A capture in memory, or one per checkpoint, with its columns: for a new projection.
    Captured(Vec<Capture>, Vec<TokenColumn>),
    /// Checkpoints of one training run, in order.
    Steps { models: Vec<Model>, data: Data },
    /// A control model, to run on the sequences of a capture.
    Control {
        model: Model,
        control: Control,
        capture: Box<Capture>,
        columns: Vec<TokenColumn>,
    },
}

/// A text file, its format if the extension does not give it, and the column of a table that holds the text.
#[derive(Clone, PartialEq)]
pub(crate) struct TextFile {
    pub(crate) path: PathBuf,
    pub(crate) format: Option<TextFormat>,
    pub(crate) column: Option<String>,
}

impl TextFile {
    fn read(&self) -> Result<Dataset, attn_sdk::Error> {
        let params = TextParams {
            format: self.format,
            text_column: self.column.clone(),
            ..TextParams::default()
        };
        Ok(Dataset::read(&self.path, &params)?)
    }
}

#[derive(Clone, PartialEq)]
pub(crate) enum Model {
    Embedded(EmbeddedModel),
    /// An epoch of the embedded sentiment model's training, from 0.
    Epoch(usize),
    Folder(PathBuf),
}

#[derive(Clone, PartialEq)]
pub(crate) enum Data {
    /// The embedded data for this kind of model.
    Default,
    /// A text file with its columns.
    Text(TextFile),
    /// Lines of token ids.
    Ids(PathBuf),
    /// A folder of images.
    Images(PathBuf),
}

/// A capture, and the model that made it.
pub(crate) struct Read {
    pub(crate) capture: Capture,
    pub(crate) capturer: Option<Capturer>,
    /// Columns of its tokens.
    pub(crate) columns: Vec<TokenColumn>,
    /// Notes on omitted parts of the text.
    pub(crate) notes: Vec<Note>,
    /// The captures of later checkpoints, after that of the first.
    pub(crate) later: Vec<Capture>,
    /// Whether it holds all of the data; `false` after a cancellation.
    pub(crate) complete: bool,
}

impl Source {
    /// Opens the capture or makes it, in `folder` or in memory.
    pub(crate) fn read(self, folder: Option<&Path>, progress: &dyn Progress) -> Result<Read, Box<dyn Error>> {
        let (model, data) = match self {
            Self::Model { model, data } => (model, data),
            Self::Folder(folder, text) => {
                let capture = Capture::open(folder)?;
                let Some(text) = text else {
                    return Ok(Read::done(capture, Vec::new()));
                };
                let known = text.read()?;
                let columns = known.columns(&capture)?;
                return Ok(Read {
                    notes: known.notes,
                    ..Read::done(capture, columns)
                });
            }
            Self::Captured(captures, columns) => {
                let mut captures = captures.into_iter();
                let first = captures.next().ok_or("expected a capture, found none")?;
                return Ok(Read {
                    later: captures.collect(),
                    ..Read::done(first, columns)
                });
            }
            Self::Steps { models, data } => return read_steps(models, data, folder, progress),
            Self::Control {
                model,
                control,
                capture,
                columns,
            } => {
                let capturer = control.capturer(&model.checkpoint()?, SEED)?;
                let outcome = run(read_again(&capturer, capture.sequences())?, folder, progress)?;
                return Ok(Read {
                    capturer: Some(capturer),
                    later: Vec::new(),
                    complete: outcome.complete,
                    columns: if outcome.complete { columns } else { Vec::new() },
                    notes: Vec::new(),
                    capture: outcome.capture,
                });
            }
        };
        let capturer = Capturer::load(&model.checkpoint()?)?;
        let mut known = None;
        let input = match data {
            Data::Text(text) => {
                let dataset = known.insert(text.read()?);
                capturer.lines(&dataset.lines)
            }
            Data::Ids(path) => capturer.sequences(sequences_of_ids(capturer.model().info(), &path)?),
            Data::Images(path) => capturer.images(images_in(path)?),
            Data::Default if capturer.model().vision().is_some() => capturer.images(embedded::IMAGES),
            Data::Default if model == Model::Embedded(embedded::DATES) => capturer.lines(embedded::dates().take(200)),
            Data::Default => {
                let file = Path::new("embedded sentences.conllu");
                let dataset = known.insert(Dataset::parse(
                    embedded::SENTENCES_CONLLU.as_bytes(),
                    file,
                    &TextParams::default(),
                )?);
                // Named as in the plain file.
                let lines = dataset.lines.iter_mut().zip(1..);
                lines.for_each(|(line, number)| line.number = number);
                capturer.lines(&dataset.lines)
            }
        };
        let outcome = run(input, folder, progress)?;
        let (columns, notes) = match known {
            Some(known) => (known.columns(&outcome.capture)?, known.notes),
            None => (Vec::new(), Vec::new()),
        };
        Ok(Read {
            columns,
            notes,
            later: Vec::new(),
            capture: outcome.capture,
            capturer: Some(capturer),
            complete: outcome.complete,
        })
    }
}

/// Captures to a folder or in memory.
fn run(
    run: CaptureRun<'_>,
    folder: Option<&Path>,
    progress: &dyn Progress,
) -> attn_sdk::models::Result<CaptureOutcome> {
    let run = match folder {
        Some(folder) => run.to_folder(folder),
        None => run,
    };
    run.progress(progress).run()
}

/// Captures the sequences of the first checkpoint with every other one. The capturer is that of the last.
fn read_steps(
    models: Vec<Model>,
    data: Data,
    folder: Option<&Path>,
    progress: &dyn Progress,
) -> Result<Read, Box<dyn Error>> {
    let mut models = models.into_iter();
    let model = models.next().ok_or("expected checkpoints, found none")?;
    let mut read = Source::Model { model, data }.read(folder, progress)?;
    for (number, model) in models.enumerate() {
        let folder = folder.map(|folder| folder.with_file_name(format!("capture-{}", number + 2)));
        let capturer = Capturer::load(&model.checkpoint()?)?;
        let outcome = run(
            read_again(&capturer, read.capture.sequences())?,
            folder.as_deref(),
            progress,
        )?;
        if !outcome.complete {
            return Err("stopped before all checkpoints were captured".into());
        }
        read.later.push(outcome.capture);
        read.capturer = Some(capturer);
    }
    Ok(read)
}

impl Source {
    /// The model, if it is known.
    pub(crate) fn model(&self) -> Option<&Model> {
        match self {
            Self::Model { model, .. } => Some(model),
            _ => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model { model, .. } => model.fmt(f),
            Self::Folder(folder, _) => folder.display().fmt(f),
            Self::Steps { models, .. } => write!(f, "{} checkpoints", models.len()),
            Self::Control { model, control, .. } => write!(f, "{model}, {control}"),
            Self::Captured(captures, _) => f.write_str(captures.first().map_or("", |first| &first.model().name)),
        }
    }
}

impl Read {
    fn done(capture: Capture, columns: Vec<TokenColumn>) -> Self {
        Self {
            capture,
            columns,
            notes: Vec::new(),
            later: Vec::new(),
            capturer: None,
            complete: true,
        }
    }
}

impl Model {
    pub(crate) fn checkpoint(&self) -> Result<Checkpoint, Box<dyn Error>> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.checkpoint()?),
            Self::Epoch(epoch) => {
                let epochs = embedded::SENTIMENT_EPOCHS;
                let found = epochs.get(*epoch);
                let found = found.ok_or_else(|| format!("epoch {}: expected 1 to {}", epoch + 1, epochs.len()))?;
                Ok(found.checkpoint()?)
            }
            Self::Folder(folder) => Ok(Checkpoint::open(folder)?),
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(embedded) => embedded.fmt(f),
            Self::Epoch(epoch) => write!(f, "sentiment, epoch {}", epoch + 1),
            Self::Folder(folder) => folder.display().fmt(f),
        }
    }
}

/// Lines of token ids as sequences.
fn sequences_of_ids(model: &ModelInfo, path: &Path) -> Result<Vec<Sequence>, Box<dyn Error>> {
    let mut sequences = Vec::new();
    for line in read_lines(path)? {
        let token = |(position, text): (usize, &str)| {
            let place = || format!("{}, line {}", path.display(), line.number);
            let id = text
                .parse()
                .map_err(|_| format!("{}: expected token ids, found `{text}`", place()))?;
            Ok::<Token, String>(Token {
                text: text.into(),
                id: Some(id),
                position,
                ..Token::default()
            })
        };
        let tokens = line
            .text
            .split_whitespace()
            .enumerate()
            .map(token)
            .collect::<Result<_, _>>()?;
        let mut sequence = Sequence {
            name: format!("line {}", line.number),
            text: Some(line.text.clone()),
            ..Sequence::default()
        };
        match model.attentions.first().map(|info| info.attention.query_side()) {
            Some(Side::Decoder) => sequence.decoder = tokens,
            _ => sequence.encoder = tokens,
        }
        sequences.push(sequence);
    }
    Ok(sequences)
}
