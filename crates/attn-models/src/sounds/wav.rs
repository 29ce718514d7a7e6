//! Reading WAV files (IBM and Microsoft 1991, "Multimedia Programming Interface and Data Specifications 1.0";
//! `WAVE_FORMAT_EXTENSIBLE`, Microsoft 2007): uncompressed integers and floats.

use std::path::Path;

use attn_core::Limits;

use super::{Samples, wrong};
use crate::{Error, Result};

/// Codes of the encoding in a file's header.
const INTEGERS: u16 = 1;
const FLOATS: u16 = 3;
const EXTENSIBLE: u16 = 0xfffe;

/// Other encodings, to be refused by their names.
const OTHERS: [(u16, &str); 7] = [
    (2, "Microsoft ADPCM"),
    (6, "A-law"),
    (7, "mu-law"),
    (0x11, "IMA ADPCM"),
    (0x31, "GSM 6.10"),
    (0x50, "MPEG"),
    (0x55, "MP3"),
];

/// Other files, to be refused by their names: where their marks stand, and what they are.
const FILES: [(usize, &[u8], &str); 8] = [
    (0, b"RIFX", "a WAV file with the large end first"),
    (0, b"RF64", "a WAV file above 4 GiB (RF64)"),
    (0, b"fLaC", "FLAC"),
    (0, b"OggS", "Ogg"),
    (0, b"ID3", "MP3"),
    (0, b"FORM", "AIFF"),
    (4, b"ftyp", "MPEG-4 (m4a)"),
    (0, b"\x1aE\xdf\xa3", "Matroska or WebM"),
];

/// What a file says about its samples.
struct Format {
    encoding: u16,
    channels: usize,
    rate: u32,
    bits: u16,
}

/// The samples of a file, its channels averaged.
pub(super) fn read(bytes: &[u8], path: &Path, limits: Limits) -> Result<Samples> {
    let refuse = |message: &str| Err(wrong(path, message));
    if let Some((.., name)) = FILES
        .iter()
        .find(|(at, mark, _)| bytes.get(*at..).is_some_and(|rest| rest.starts_with(mark)))
    {
        return refuse(&format!("it is {name}; uncompressed WAV files are read"));
    }
    if !bytes.starts_with(b"RIFF") || bytes.get(8..12) != Some(b"WAVE") {
        return refuse("expected a WAV file, which begins with RIFF and WAVE");
    }
    let mut format = None;
    let mut rest = bytes.get(12..).unwrap_or_default();
    while let Some((name, size, content)) = chunk(rest) {
        if name == b"fmt " {
            let Some(content) = content.get(..size) else {
                return refuse("the file ends inside of `fmt `");
            };
            format = Some(Format::read(content, path)?);
        } else if name == b"data" {
            let Some(format) = format else {
                return refuse("`data` comes before `fmt `");
            };
            // A file that was written to a pipe does not know its length.
            let unknown = size == 0 || size >= u32::MAX as usize - 1;
            return match content.get(..size) {
                _ if unknown => format.samples(content, path, limits),
                Some(content) => format.samples(content, path, limits),
                None => refuse(&format!(
                    "the file is cut: `data` has {} bytes of {size}",
                    content.len()
                )),
            };
        }
        // Chunks begin at even places.
        let next = size.saturating_add(size % 2);
        rest = content.get(next..).unwrap_or_default();
    }
    refuse(match format {
        Some(_) => "it has no chunk `data`",
        None => "it has no chunks `fmt ` and `data`",
    })
}

/// The name of the first chunk, its size, and everything from its content on.
fn chunk(bytes: &[u8]) -> Option<(&[u8; 4], usize, &[u8])> {
    let (name, rest) = bytes.split_first_chunk::<4>()?;
    let (size, content) = rest.split_first_chunk::<4>()?;
    Some((name, u32::from_le_bytes(*size) as usize, content))
}

impl Format {
    fn read(content: &[u8], path: &Path) -> Result<Self> {
        let refuse = |message: String| Err(wrong(path, &message));
        let half = |at: usize| -> Option<u16> {
            let bytes = content.get(at..)?.first_chunk::<2>()?;
            Some(u16::from_le_bytes(*bytes))
        };
        let rate = content.get(4..).and_then(|rest| rest.first_chunk::<4>());
        let (Some(encoding), Some(channels), Some(rate), Some(bits)) = (half(0), half(2), rate, half(14)) else {
            return refuse(format!("`fmt ` has {} bytes, fewer than 16", content.len()));
        };
        let rate = u32::from_le_bytes(*rate);
        // The encoding of an extensible file is the first part of a longer name.
        let encoding = match encoding {
            EXTENSIBLE => half(24).unwrap_or(EXTENSIBLE),
            other => other,
        };
        if let Some((_, name)) = OTHERS.iter().find(|(code, _)| *code == encoding) {
            return refuse(format!("its samples are {name}; uncompressed ones are read"));
        }
        match (encoding, bits) {
            (INTEGERS, 8 | 16 | 24 | 32) | (FLOATS, 32 | 64) => {}
            (INTEGERS | FLOATS, bits) => {
                return refuse(format!(
                    "expected integers of 8, 16, 24 or 32 bits or floats of 32 or 64, found {bits} bits"
                ));
            }
            (other, _) => return refuse(format!("expected integers (1) or floats (3), found encoding {other}")),
        }
        if channels == 0 || rate == 0 {
            return refuse(format!("it has {channels} channels and {rate} samples per second"));
        }
        Ok(Self {
            encoding,
            channels: channels.into(),
            rate,
            bits,
        })
    }

    fn samples(&self, content: &[u8], path: &Path, limits: Limits) -> Result<Samples> {
        let width = usize::from(self.bits / 8);
        let frame = width * self.channels;
        let count = content.len() / frame;
        let what = format_args!("{count} samples of {}", path.display());
        limits.check(what, Limits::size(&[count], size_of::<f32>()))?;
        if count == 0 {
            return Err(Error::Empty {
                place: path.display().to_string(),
                message: "a sound with at least one sample".to_owned(),
            });
        }
        let frames = content.chunks_exact(frame);
        let mean = |frame: &[u8]| -> f32 {
            let sum: f64 = frame.chunks_exact(width).map(|sample| self.sample(sample)).sum();
            (sum / self.channels as f64) as f32
        };
        let values: Vec<f32> = frames.map(mean).collect();
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(wrong(path, &format!("sample {at} is not a finite number")));
        }
        Ok(Samples {
            rate: self.rate,
            values,
        })
    }

    /// A sample from -1 to 1.
    fn sample(&self, bytes: &[u8]) -> f64 {
        match (self.encoding, bytes) {
            // Only these have no sign.
            (INTEGERS, &[a]) => (f64::from(a) - 128.0) / 128.0,
            (INTEGERS, &[a, b]) => f64::from(i16::from_le_bytes([a, b])) / 32_768.0,
            (INTEGERS, &[a, b, c]) => f64::from(i32::from_le_bytes([0, a, b, c])) / 2_147_483_648.0,
            (INTEGERS, &[a, b, c, d]) => f64::from(i32::from_le_bytes([a, b, c, d])) / 2_147_483_648.0,
            (_, &[a, b, c, d]) => f64::from(f32::from_le_bytes([a, b, c, d])),
            (_, &[a, b, c, d, e, f, g, h]) => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
            // Other widths are refused before.
            _ => 0.0,
        }
    }
}
