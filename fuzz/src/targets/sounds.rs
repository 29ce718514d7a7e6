//! Sounds: a WAV file, or what prepares it.

use std::path::Path;

use attn_core::Limits;
use attn_models::sounds::{Sound, SoundProcessor};

use crate::{
    fixtures::file,
    mutate::{Form, Seed},
};

/// A sound for a preprocessor, or a preprocessor for a sound.
pub(super) fn sounds(data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else {
        return;
    };
    let whole = br#"{"feature_extractor_type": "WhisperFeatureExtractor", "chunk_length": 1, "sampling_rate": 1000}"#;
    let (sound, processor) = match choice % 2 {
        0 => (bytes.to_vec(), whole.to_vec()),
        _ => (wav(), bytes.to_vec()),
    };
    let limits = Limits::of(1 << 20);
    let sound = Sound::memory("sound", sound);
    let processor = SoundProcessor::new(&processor, Path::new("preprocessor_config.json"));
    if let (Ok(samples), Ok(processor)) = (sound.decode_within(limits), processor) {
        let _ = processor.with_limits(limits).hear(&samples, "sound");
    }
}

pub(super) fn files() -> Vec<Seed> {
    let processor = br#"{"feature_extractor_type": "WhisperFeatureExtractor", "chunk_length": 1, "sampling_rate": 1000,
        "feature_size": 8, "hop_length": 100, "n_fft": 32, "padding_value": 0.0, "dither": 0.0, "do_normalize": false}"#;
    let mut seeds = vec![
        Seed {
            choice: 0,
            form: Form::Bytes,
            bytes: wav(),
        },
        Seed {
            choice: 1,
            form: Form::Json,
            bytes: processor.to_vec(),
        },
    ];
    seeds.extend(file("wav2vec2", "preprocessor_config.json").map(|bytes| Seed {
        choice: 1,
        form: Form::Json,
        bytes,
    }));
    seeds
}

/// Two channels of 16 bits, 1000 samples per second.
fn wav() -> Vec<u8> {
    let data: Vec<u8> = (0..128_u8).flat_map(|at| [at, at.wrapping_mul(37)]).collect();
    let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0".to_vec();
    bytes.extend(1000_u32.to_le_bytes());
    bytes.extend(4000_u32.to_le_bytes());
    bytes.extend([4, 0, 16, 0]);
    bytes.extend(b"data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}
