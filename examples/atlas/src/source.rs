//! Sources of the command line, the menus and sessions: what comes with the SDK, and what the user names.

use std::path::{Path, PathBuf};

use attn_sdk::{
    Error,
    core::{
        Capture,
        text::{Dataset, TextFormat, TextParams},
    },
    embedded::{self, EmbeddedModel},
    models::{Checkpoint, control::Control, sounds::sounds_in},
    study::source::{Data, Source, TextFile},
};
use serde::{Deserialize, Serialize};

use crate::pane::Pane;

/// What is looked at, in words that a session keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct What {
    pub(crate) subject: Subject,
    /// What a model reads; `None` for the data of the SDK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Reads>,
}

/// A model or a capture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Subject {
    /// An embedded model, by its name.
    Embedded(String),
    /// The folder or file of a checkpoint.
    Model(PathBuf),
    /// Folders of the checkpoints of a training; none for the embedded ones.
    Checkpoints(Vec<PathBuf>),
    /// The folder of a capture.
    Capture(PathBuf),
}

/// Data, by its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reads {
    Text {
        path: PathBuf,
        format: Option<TextFormat>,
        column: Option<String>,
    },
    Ids(PathBuf),
    Images(PathBuf),
    Sounds(PathBuf),
}

impl What {
    /// An embedded model with the data of the SDK.
    pub(crate) fn embedded(model: EmbeddedModel) -> Self {
        Self {
            subject: Subject::Embedded(model.name.to_owned()),
            data: None,
        }
    }

    /// What two typed paths mean: a model or a capture; data, or nothing.
    pub(crate) fn typed(model: &str, data: &str) -> Self {
        let folder = PathBuf::from(model);
        let data = match PathBuf::from(data) {
            data if data.as_os_str().is_empty() => None,
            path if path.is_dir() && sounds_in(&path).is_ok() => Some(Reads::Sounds(path)),
            path if path.is_dir() => Some(Reads::Images(path)),
            path => Some(Reads::Text {
                path,
                format: None,
                column: None,
            }),
        };
        let subject = match Capture::is_in(&folder) {
            true => Subject::Capture(folder),
            false => Subject::Model(folder),
        };
        Self { subject, data }
    }

    /// The source.
    ///
    /// # Errors
    /// Those of the checkpoint, and an embedded model that does not exist.
    pub(crate) fn source(&self) -> Result<Source, Error> {
        let data = self.data.as_ref().map(Reads::data);
        Ok(match &self.subject {
            Subject::Capture(folder) => Source::Folder {
                folder: folder.clone(),
                text: match data {
                    Some(Data::Text(text)) => Some(text),
                    _ => None,
                },
            },
            Subject::Checkpoints(folders) => Source::Checkpoints {
                checkpoints: checkpoints(folders)?,
                data: data.map_or_else(default_data, Ok)?,
            },
            Subject::Embedded(name) => {
                let expected = "the name of an embedded model";
                let model = embedded::find(name).ok_or(Error::NoSource { expected })?;
                match data {
                    None => embedded_source(model)?,
                    Some(data) => Source::model(model.checkpoint()?, data)?,
                }
            }
            Subject::Model(folder) => Source::model(Checkpoint::open(folder)?, data.map_or_else(default_data, Ok)?)?,
        })
    }

    /// Paths of a session that was moved: a path that does not exist is looked for beside the session.
    pub(crate) fn beside(mut self, folder: &Path) -> Self {
        let find = |path: &mut PathBuf| {
            let other = path.file_name().map(|name| folder.join(name));
            if let Some(other) = other.filter(|other| !path.exists() && other.exists()) {
                *path = other;
            }
        };
        match &mut self.subject {
            Subject::Embedded(_) => {}
            Subject::Model(path) | Subject::Capture(path) => find(path),
            Subject::Checkpoints(paths) => paths.iter_mut().for_each(find),
        }
        match &mut self.data {
            Some(Reads::Text { path, .. } | Reads::Ids(path) | Reads::Images(path) | Reads::Sounds(path)) => find(path),
            None => {}
        }
        self
    }

    /// The same with absolute paths, which hold wherever the session is opened.
    pub(crate) fn absolute(mut self) -> Self {
        let whole = |path: &mut PathBuf| {
            // The name of a model in the cache of the hub is no path.
            if let Ok(absolute) = std::path::absolute(&*path)
                && path.exists()
            {
                *path = absolute;
            }
        };
        match &mut self.subject {
            Subject::Embedded(_) => {}
            Subject::Model(path) | Subject::Capture(path) => whole(path),
            Subject::Checkpoints(paths) => paths.iter_mut().for_each(whole),
        }
        match &mut self.data {
            Some(Reads::Text { path, .. } | Reads::Ids(path) | Reads::Images(path) | Reads::Sounds(path)) => {
                whole(path)
            }
            None => {}
        }
        self
    }
}

impl Reads {
    fn data(&self) -> Data {
        match self.clone() {
            Self::Text { path, format, column } => Data::Text(TextFile { path, format, column }),
            Self::Ids(path) => Data::Ids(path),
            Self::Images(path) => Data::ImageFolder(path),
            Self::Sounds(path) => Data::SoundFolder(path),
        }
    }
}

/// Of the weights and positions of control models.
const SEED: u64 = 0;

/// An embedded model and the data for its kind.
fn embedded_source(model: EmbeddedModel) -> Result<Source, Error> {
    let data = if model.name == embedded::DATES.name {
        Data::lines(embedded::dates().take(200))
    } else {
        default_data()?
    };
    Ok(Source::Model {
        checkpoint: model.checkpoint()?,
        data,
    })
}

/// The embedded sentences, or images for a model of images.
fn default_data() -> Result<Data, Error> {
    let file = Path::new("embedded sentences.conllu");
    let text = embedded::SENTENCES_CONLLU.as_bytes();
    let mut dataset = Dataset::parse(text, file, &TextParams::default())?;
    // Named as in the plain file.
    let lines = dataset.lines.iter_mut().zip(1..);
    lines.for_each(|(line, number)| line.number = number);
    let images = embedded::IMAGES.iter().map(Into::into).collect();
    Ok(Data::TextOrImages(
        Box::new(Data::Dataset(Box::new(dataset))),
        Box::new(Data::Images(images)),
    ))
}

/// The checkpoints in these folders, or (none) the epochs of the embedded sentiment model.
fn checkpoints(folders: &[PathBuf]) -> Result<Vec<Checkpoint>, Error> {
    let found: Result<_, _> = if folders.is_empty() {
        embedded::SENTIMENT_EPOCHS
            .iter()
            .map(EmbeddedModel::checkpoint)
            .collect()
    } else {
        folders.iter().map(Checkpoint::open).collect()
    };
    Ok(found?)
}

/// A control of a model, to be run on what the model has read.
pub(crate) fn control(checkpoint: &Checkpoint, control: Control, study: &attn_sdk::Study) -> Source {
    Source::Control {
        checkpoint: checkpoint.clone(),
        control,
        seed: SEED,
        capture: Box::new(study.capture().clone()),
        columns: study.columns().to_vec(),
    }
}

/// The controls of the model that is shown.
pub(crate) fn controls(pane: &Pane) -> Vec<(Control, Source)> {
    let (Some(checkpoint), Some(study)) = (&pane.model, &pane.study) else {
        return Vec::new();
    };
    let source = |kind: Control| (kind, control(checkpoint, kind, study));
    Control::ALL.map(source).into()
}
