//! From sounds to the input of a model, as `preprocessor_config.json` says.
//!
//! What is left out has the value of its extractor in the reference (transformers 4.57, `feature_extraction_*.py`):
//!
//! | extractor | what it makes |
//! |---|---|
//! | Whisper | 30 seconds at 16 kHz, silence behind a shorter sound; 80 log-mel features every 160 samples, of windows of 400 |
//! | Wav2Vec2 | samples at 16 kHz, brought to mean 0 and variance 1 |

use std::path::{Path, PathBuf};

use attn_core::Limits;
use candle_core::{Device, Tensor};

use super::{Samples, mel::Mel};
use crate::{Error, Inputs, Result, families::Config};

/// Sounds of more samples than this are those of a corrupt file.
const LONGEST: usize = 1 << 24;

/// So are filters, samples of a window and samples between windows.
const LARGEST: usize = 1 << 14;

/// What turns sounds into the input of one model.
#[derive(Debug, Clone)]
pub struct SoundProcessor {
    path: PathBuf,
    rate: u32,
    kind: Kind,
    limits: Limits,
}

#[derive(Debug, Clone)]
enum Kind {
    /// Log-mel features of sounds of one length.
    Mel {
        bins: usize,
        window: usize,
        hop: usize,
        /// Samples of a sound, the silence behind it included.
        samples: usize,
        silence: f32,
    },
    /// Samples as they are, or normalized.
    Samples { normalize: bool },
}

/// A sound as a model takes it.
#[derive(Debug, Clone)]
pub struct Heard {
    /// `input_features` `[1, bins, frames]` or `input_values` `[1, samples]`.
    pub inputs: Inputs,
    /// Samples that are heard, silence not counted.
    pub samples: usize,
    /// How many there were before the sound was cut to the longest that the model takes; `None` if it was not cut.
    pub cut_from: Option<usize>,
}

impl SoundProcessor {
    /// Reads the content of a `preprocessor_config.json`; `path` is what errors name.
    ///
    /// ```
    /// use attn_models::sounds::{Samples, SoundProcessor};
    ///
    /// let json = br#"{"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 80}"#;
    /// let sounds = SoundProcessor::new(json, "preprocessor_config.json".as_ref())?;
    /// let second = Samples { rate: sounds.rate(), values: vec![0.0; 16_000] };
    /// let features = sounds.hear(&second, "silence")?.inputs.input_features.unwrap();
    /// assert_eq!(features.dims(), [1, 80, 3000]);
    /// # Ok::<(), attn_models::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::Config`], [`Error::Unsupported`].
    pub fn new(bytes: &[u8], path: &Path) -> Result<Self> {
        Self::of_family(bytes, path, "")
    }

    /// As [`new`](Self::new). A file that names no extractor has that of the model's family (`model_type`).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_family(bytes: &[u8], path: &Path, family: &str) -> Result<Self> {
        let config = Config::parse(bytes, path)?;
        let rate = u32::try_from(config.size_or("sampling_rate", 16_000)?).unwrap_or(u32::MAX);
        let named = config.text("feature_extractor_type")?;
        let kind = match (named, family) {
            (Some("WhisperFeatureExtractor"), _) | (None, "whisper") => mel(&config, rate)?,
            (Some("Wav2Vec2FeatureExtractor"), _) | (None, "wav2vec2") => {
                if config.size_or("feature_size", 1)? != 1 {
                    return Err(config.unsupported("feature_size", "1"));
                }
                Kind::Samples {
                    normalize: config.flag_or("do_normalize", true)?,
                }
            }
            _ => {
                let expected = "WhisperFeatureExtractor, Wav2Vec2FeatureExtractor";
                return Err(config.unsupported("feature_extractor_type", expected));
            }
        };
        Ok(Self {
            path: path.to_owned(),
            rate,
            kind,
            limits: Limits::default(),
        })
    }

    /// The same with another bound on the memory that a sound takes. Default: half of the machine's free memory.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Samples per second that a sound must have.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// All that decides what it makes of samples, as text.
    pub(crate) fn settings(&self) -> String {
        format!("{} {:?}", self.rate, self.kind)
    }

    /// Whether a sound has the right rate and anything to hear: the samples that are heard, and those of the longest sound (its
    /// own, where there is none).
    pub(crate) fn check(&self, samples: &Samples, name: &str) -> Result<(usize, usize)> {
        if samples.rate != self.rate {
            let message = format!(
                "expected {} samples per second, found {}: resample it first",
                self.rate, samples.rate
            );
            return Err(super::wrong(name.as_ref(), &message));
        }
        let count = samples.values.len();
        if count == 0 {
            return Err(Error::Empty {
                place: name.to_owned(),
                message: "a sound with at least one sample".to_owned(),
            });
        }
        Ok(match self.kind {
            Kind::Mel { samples: longest, .. } => (count.min(longest), longest),
            Kind::Samples { .. } => (count, count),
        })
    }

    /// A sound as the model takes it; `name` is what errors name.
    ///
    /// # Errors
    /// [`Error::Sound`] for another rate, [`Error::Empty`] for a sound without samples, [`attn_core::Error::Memory`].
    pub fn hear(&self, samples: &Samples, name: &str) -> Result<Heard> {
        let (heard, _) = self.check(samples, name)?;
        let values = &samples.values;
        match &self.kind {
            Kind::Samples { normalize } => {
                self.limits.check(name, Limits::size(&[values.len()], 8))?;
                let values = if *normalize { normalized(values) } else { values.clone() };
                let count = values.len();
                let inputs = Inputs {
                    input_values: Some(Tensor::from_vec(values, (1, count), &Device::Cpu)?),
                    ..Inputs::default()
                };
                Ok(Heard {
                    inputs,
                    samples: count,
                    cut_from: None,
                })
            }
            &Kind::Mel {
                bins,
                window,
                hop,
                samples: longest,
                silence,
            } => {
                let frames = longest / hop;
                let path = self.path.display();
                let what = format_args!("{path}: {bins} features of {frames} frames of {name}");
                let features = Limits::size(&[bins, frames], 16);
                // Filters, and the windows of a thread.
                let tables = Limits::size(&[bins + 64, window], 8);
                let needed = Limits::size(&[longest], 4)
                    .saturating_add(features)
                    .saturating_add(tables);
                self.limits.check(what, needed)?;
                let mut padded = values[..heard].to_vec();
                padded.resize(longest, silence);
                let features = Mel::new(bins, window, hop, self.rate).features(&padded);
                let features = Tensor::from_vec(features, (1, bins, frames), &Device::Cpu)?;
                Ok(Heard {
                    inputs: Inputs::from_features(features),
                    samples: heard,
                    cut_from: (values.len() > longest).then_some(values.len()),
                })
            }
        }
    }
}

/// The options of Whisper's extractor.
fn mel(config: &Config, rate: u32) -> Result<Kind> {
    config.refuse_flag("do_normalize")?;
    if config.number_or("dither", 0.0)? != 0.0 {
        return Err(config.unsupported("dither", "0"));
    }
    let size = |key: &str, default| -> Result<usize> {
        let size = config.size_or(key, default)?;
        match size <= LARGEST {
            true => Ok(size),
            false => Err(config.wrong(key, format!("at most {LARGEST}"))),
        }
    };
    let (bins, window, hop) = (size("feature_size", 80)?, size("n_fft", 400)?, size("hop_length", 160)?);
    let samples = size("chunk_length", 30)?.saturating_mul(rate as usize);
    if samples < hop || samples > LONGEST {
        let expected = format!("a length of {hop} to {LONGEST} samples at {rate} per second");
        return Err(config.wrong("chunk_length", expected));
    }
    Ok(Kind::Mel {
        bins,
        window,
        hop,
        samples,
        silence: config.number_or("padding_value", 0.0)? as f32,
    })
}

/// At mean 0 and variance 1.
fn normalized(values: &[f32]) -> Vec<f32> {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let squares = values
        .iter()
        .map(|&value| (f64::from(value) - mean).powi(2))
        .sum::<f64>();
    let deviation = (squares / count + 1e-7).sqrt();
    let normal = |&value: &f32| ((f64::from(value) - mean) / deviation) as f32;
    values.iter().map(normal).collect()
}
