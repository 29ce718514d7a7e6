//! What is looked at: a model with data to run it on, or a capture that was made before.

use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
};

use attn_sdk::{
    Progress,
    core::{Capture, ModelInfo, Sequence, Side, Token},
    embedded::{self, Embedded},
    models::{Capturer, Checkpoint, Picture, read_lines, split_lines},
};

use crate::common;

/// Where queries and keys come from.
#[derive(Clone)]
pub(crate) enum Source {
    /// A model, run now.
    Model { model: Model, data: Data },
    /// A capture's folder.
    Folder(PathBuf),
    /// A capture at hand, with the model it came from if that is known: to be projected in another way.
    Captured(Box<Capture>),
}

#[derive(Clone, PartialEq)]
pub(crate) enum Model {
    Embedded(Embedded),
    Folder(PathBuf),
}

#[derive(Clone, PartialEq)]
pub(crate) enum Data {
    /// What comes with the SDK for this kind of model.
    Default,
    /// Lines of text.
    Text(PathBuf),
    /// Lines of token ids.
    Ids(PathBuf),
    /// A folder of pictures.
    Images(PathBuf),
}

/// A capture, and what made it.
pub(crate) struct Read {
    pub(crate) capture: Capture,
    pub(crate) capturer: Option<Capturer>,
    /// Whether all of the data is in it; `false` after a cancellation.
    pub(crate) complete: bool,
}

impl Source {
    /// Opens or makes the capture, in `folder` or in memory.
    pub(crate) fn read(self, folder: Option<&Path>, progress: &dyn Progress) -> Result<Read, Box<dyn Error>> {
        let (model, data) = match self {
            Self::Model { model, data } => (model, data),
            Self::Folder(folder) => return Ok(Read::done(Capture::open(folder)?)),
            Self::Captured(capture) => return Ok(Read::done(*capture)),
        };
        let capturer = Capturer::load(&model.checkpoint()?)?;
        let outcome = match data {
            Data::Text(path) => capturer.text(&read_lines(path)?, folder, progress)?,
            Data::Ids(path) => {
                let sequences = sequences_of_ids(capturer.model().info(), &path)?;
                capturer.sequences(sequences, folder, progress)?
            }
            Data::Images(path) => capturer.pictures(&common::pictures_in(&path)?, folder, progress)?,
            Data::Default if capturer.model().vision().is_some() => {
                let picture = |(name, bytes): &(&str, &'static [u8])| Picture::Memory((*name).into(), (*bytes).into());
                let pictures: Vec<Picture> = embedded::PICTURES.iter().map(picture).collect();
                capturer.pictures(&pictures, folder, progress)?
            }
            Data::Default => {
                let (text, name) = match model {
                    Model::Embedded(Embedded::Dates) => (lines(embedded::dates().take(200)), "embedded dates"),
                    _ => (lines(embedded::sentences()), "embedded sentences"),
                };
                capturer.text(&split_lines(text.as_bytes(), Path::new(name))?, folder, progress)?
            }
        };
        Ok(Read {
            capture: outcome.capture,
            capturer: Some(capturer),
            complete: outcome.complete,
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model { model, .. } => model.fmt(f),
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Captured(capture) => f.write_str(&capture.model().name),
        }
    }
}

impl Read {
    fn done(capture: Capture) -> Self {
        Self {
            capture,
            capturer: None,
            complete: true,
        }
    }
}

impl Model {
    pub(crate) fn checkpoint(&self) -> Result<Checkpoint, Box<dyn Error>> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.checkpoint()?),
            Self::Folder(folder) => Ok(Checkpoint::open(folder)?),
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(embedded) => embedded.fmt(f),
            Self::Folder(folder) => folder.display().fmt(f),
        }
    }
}

fn lines<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.flat_map(|line| [line, "\n"]).collect()
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
