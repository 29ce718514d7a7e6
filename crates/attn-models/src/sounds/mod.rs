//! Sounds: where they come from, and what turns them into the input of a model.
//!
//! A [`Sound`] is a WAV file, the content of one, or samples at hand. A [`SoundProcessor`] prepares it as
//! `preprocessor_config.json` says: log-mel features for Whisper, normalized samples for wav2vec2.

mod fourier;
mod mel;
mod processor;
mod wav;

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::Arc,
};

use attn_core::Limits;

pub use self::processor::{Heard, SoundProcessor};
use crate::{
    Error, Result,
    files::{self, LARGEST_CONFIG},
};

/// A sound that a model is to hear: a WAV file of integers or floats, or samples.
///
/// Channels are averaged. Nothing is resampled: a sound has to have the rate that the model was trained on.
///
/// ```
/// use attn_models::sounds::Sound;
///
/// let file = Sound::from("recordings/hello.wav");
/// assert_eq!(file.name(), "hello.wav");
/// let tone = (0..16_000).map(|at| (at as f32 * 0.1).sin());
/// let samples = Sound::samples("tone", 16_000, tone.collect::<Vec<_>>());
/// assert_eq!(samples.decode()?.seconds(), 1.0);
/// # Ok::<(), attn_models::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Sound {
    /// A file.
    File(PathBuf),
    /// A name and the content of a file.
    Memory(String, Cow<'static, [u8]>),
    /// A name and samples.
    Decoded(String, Arc<Samples>),
}

/// One channel of a sound.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// Samples per second.
    pub rate: u32,
    /// From -1 to 1.
    pub values: Vec<f32>,
}

impl Samples {
    /// How long it is.
    pub fn seconds(&self) -> f64 {
        self.values.len() as f64 / f64::from(self.rate.max(1))
    }
}

impl Sound {
    /// The content of a file, under a name.
    pub fn memory(name: impl Into<String>, bytes: impl Into<Cow<'static, [u8]>>) -> Self {
        Self::Memory(name.into(), bytes.into())
    }

    /// Samples from -1 to 1, so many per second, under a name.
    pub fn samples(name: impl Into<String>, rate: u32, values: impl Into<Vec<f32>>) -> Self {
        let values = values.into();
        Self::Decoded(name.into(), Arc::new(Samples { rate, values }))
    }

    /// What it is called: the file's name, or the one that was given.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path
                .file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into_owned(),
            Self::Memory(name, _) | Self::Decoded(name, _) => name.clone(),
        }
    }

    /// Its samples, all channels averaged. They take at most half of the machine's free memory.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Sound`] if it is no WAV file of a kind that is read,
    /// [`attn_core::Error::Memory`] if it is too large.
    pub fn decode(&self) -> Result<Cow<'_, Samples>> {
        self.decode_within(Limits::default())
    }

    /// As [`decode`](Self::decode), for samples that take at most so much memory.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_within(&self, limits: Limits) -> Result<Cow<'_, Samples>> {
        Ok(match self {
            Self::File(path) => Cow::Owned(wav::read(&files::whole(path, limits, wrong)?, path, limits)?),
            Self::Memory(name, bytes) => Cow::Owned(wav::read(bytes, name.as_ref(), limits)?),
            Self::Decoded(name, samples) => {
                if let Some(at) = samples.values.iter().position(|value| !value.is_finite()) {
                    return Err(wrong(name.as_ref(), &format!("sample {at} is not a finite number")));
                }
                Cow::Borrowed(samples)
            }
        })
    }
}

/// Endings of the files that are read.
const ENDINGS: [&str; 2] = ["wav", "wave"];

/// The sounds of a folder, by file name, each with its transcript: the text of the file `NAME.txt` beside `NAME.wav`. Hidden
/// files, other files and subfolders are left out.
///
/// # Errors
/// [`Error::Io`] if the folder or a transcript cannot be read, [`Error::Empty`] if the folder holds no sound,
/// [`Error::WrongFile`] for a transcript of more than 64 MB.
pub fn sounds_in(folder: impl AsRef<Path>) -> Result<Vec<(Sound, Option<String>)>> {
    let paths = files::named(folder.as_ref(), "sounds", &ENDINGS)?;
    let with_text = |path: PathBuf| {
        let text = files::read(&path.with_extension("txt"), LARGEST_CONFIG)?;
        let text = text.map(|text| {
            String::from_utf8_lossy(&text)
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        });
        Ok((Sound::File(path), text.filter(|text| !text.is_empty())))
    };
    paths.into_iter().map(with_text).collect()
}

impl From<PathBuf> for Sound {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&Path> for Sound {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<&str> for Sound {
    fn from(path: &str) -> Self {
        Self::File(path.into())
    }
}

impl From<&Sound> for Sound {
    fn from(sound: &Sound) -> Self {
        sound.clone()
    }
}

fn wrong(path: &Path, message: &str) -> Error {
    Error::Sound {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}
