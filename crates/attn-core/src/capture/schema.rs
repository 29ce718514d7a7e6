//! What `capture.json` says, and what a capture is asked to keep.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::slot::{self, Slot};
use crate::{ModelInfo, Sequence, Side};

/// The schema's name in `capture.json`.
pub(super) const SCHEMA: &str = "attn-capture";
/// The version this crate writes; it reads this one only.
pub(super) const VERSION: u32 = 1;
/// The file that makes a folder a capture.
pub(super) const CAPTURE_JSON: &str = "capture.json";

/// How numbers are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats: exact, and readable without a copy. The default.
    #[default]
    F32,
    /// 16-bit floats: half the size; attention recomputed from them is off by about 1e-3.
    F16,
}

impl Precision {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    pub(super) fn dtype(self) -> safetensors::Dtype {
        match self {
            Self::F32 => safetensors::Dtype::F32,
            Self::F16 => safetensors::Dtype::F16,
        }
    }
}

/// What a capture keeps beside Q, K and V. The default keeps neither hidden states nor logits, in f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureOptions {
    /// How numbers are stored.
    pub precision: Precision,
    /// Keep the hidden states of every layer.
    pub hidden: bool,
    /// Keep the logits over the vocabulary. Large: tokens x vocabulary.
    pub logits: bool,
}

/// What will be captured: known before the model runs, so that files have their final size from the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapturePlan {
    /// The model.
    pub model: ModelInfo,
    /// The sequences, in the order in which the capture will list them.
    pub sequences: Vec<Sequence>,
    /// What to keep.
    pub options: CaptureOptions,
    /// Identifies the weights. An interrupted capture resumes only if it agrees; empty if unknown.
    pub fingerprint: String,
}

impl CapturePlan {
    /// A plan with default options.
    pub fn new(model: ModelInfo, sequences: Vec<Sequence>) -> Self {
        Self {
            model,
            sequences,
            options: CaptureOptions::default(),
            fingerprint: String::new(),
        }
    }

    /// Every slot that a capture of this plan fills.
    pub fn slots(&self) -> Vec<Slot> {
        let mut slots = Vec::new();
        for info in &self.model.attentions {
            let attention = info.attention;
            for layer in 0..info.layers.len() {
                slots.extend([
                    Slot::Query { attention, layer },
                    Slot::Key { attention, layer },
                    Slot::Value { attention, layer },
                ]);
            }
        }
        let sides = [Side::Encoder, Side::Decoder];
        if self.options.hidden {
            for side in sides {
                if let Some(layers) = slot::stack_layers(&self.model, side) {
                    slots.extend((0..=layers).map(|layer| Slot::Hidden { side, layer }));
                }
            }
        }
        if self.options.logits && self.model.vocab_size.is_some() {
            // Logits belong to the decoder where there is one.
            let side = if slot::stack_layers(&self.model, Side::Decoder).is_some() {
                Side::Decoder
            } else {
                Side::Encoder
            };
            slots.push(Slot::Logits { side });
        }
        slots
    }
}

/// `capture.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CaptureJson {
    pub(super) schema: String,
    pub(super) version: u32,
    pub(super) model: ModelInfo,
    #[serde(default)]
    pub(super) options: CaptureOptions,
    #[serde(default)]
    pub(super) fingerprint: String,
    pub(super) sequences: Vec<Sequence>,
    /// First row of each sequence, only when rows do not simply follow one another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) encoder_start: Option<Vec<usize>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) decoder_start: Option<Vec<usize>>,
    /// Size and CRC-32 of each file; other writers may leave it out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) files: BTreeMap<String, FileRecord>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileRecord {
    pub(super) bytes: u64,
    pub(super) crc32: u32,
}
