//! The schema of `capture.json`, and the plan of a capture.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use super::slot::{self, Slot};
use crate::{
    Error, ModelInfo, Result, Sequence, Side,
    model::{AttentionInfo, LayerAttention, Mask, Positions},
};

/// The schema's name in `capture.json`.
pub(super) const SCHEMA: &str = "attn-capture";
/// The newest version. A capture is written in the oldest that can say what it holds, and every version is read.
pub(super) const VERSION: u32 = 4;
/// The file that makes a folder a capture.
pub(super) const CAPTURE_JSON: &str = "capture.json";

/// Storage type of numbers.
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

/// The content of a capture and its precision. Default: queries, keys and values; neither hidden states nor logits; f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureOptions {
    /// Storage type of numbers.
    #[serde(default)]
    pub precision: Precision,
    /// Keep queries, keys and values. A capture without them has hidden states or logits, and no attention. Default true.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub attention: bool,
    /// Keep the hidden states of every layer.
    #[serde(default)]
    pub hidden: bool,
    /// Keep the logits over the vocabulary. Large: tokens x vocabulary.
    #[serde(default)]
    pub logits: bool,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self {
            precision: Precision::default(),
            attention: true,
            hidden: false,
            logits: false,
        }
    }
}

impl CaptureOptions {
    /// Hidden states alone, for what does not look at heads: a fraction of the size.
    ///
    /// ```
    /// use attn_core::capture::CaptureOptions;
    ///
    /// let options = CaptureOptions::states();
    /// assert!(options.hidden && !options.attention);
    /// ```
    pub fn states() -> Self {
        Self {
            attention: false,
            hidden: true,
            ..Self::default()
        }
    }
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde gives")]
fn is_true(value: &bool) -> bool {
    *value
}

/// The plan of a capture. It is complete before the model runs, so that files have their final size from the start.
///
/// ```
/// use attn_core::{Attention, ModelInfo, Sequence, Side, Token};
/// use attn_core::{capture::{CaptureOptions, CapturePlan}, model::{AttentionInfo, LayerAttention, Mask}};
///
/// let layer = LayerAttention::new(0.5, Mask::Full);
/// let model = ModelInfo::new("mine", "bert", 8).with_attention(AttentionInfo::new(Attention::EncoderSelf, 2, 4, vec![layer]));
/// let sequence = Sequence::new("line 1").with_tokens(Side::Encoder, ["to", "be"].map(Token::new));
/// let plan = CapturePlan::new(model, vec![sequence])
///     .with_options(CaptureOptions { hidden: true, ..CaptureOptions::default() })
///     .with_fingerprint("2f1c");
/// assert_eq!(plan.slots().len(), 3 + 2); // q, k, v, and hidden states before and after the layer
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapturePlan {
    /// The model.
    pub model: ModelInfo,
    /// The sequences, in the order of the capture.
    pub sequences: Vec<Sequence>,
    /// Content and precision.
    pub options: CaptureOptions,
    /// Identifies the weights. An interrupted capture resumes only if it agrees; empty if unknown.
    pub fingerprint: String,
    /// Identifies input that the sequences name and do not hold: the pixels of images, the samples of sounds, and how they are
    /// prepared. An interrupted capture resumes only if it agrees; empty for text. It is not kept in a finished capture.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub inputs: String,
}

impl CapturePlan {
    /// A plan with default options.
    pub fn new(model: ModelInfo, sequences: Vec<Sequence>) -> Self {
        Self {
            model,
            sequences,
            options: CaptureOptions::default(),
            fingerprint: String::new(),
            inputs: String::new(),
        }
    }

    /// The same plan with other content or precision.
    #[must_use]
    pub fn with_options(mut self, options: CaptureOptions) -> Self {
        self.options = options;
        self
    }

    /// The same plan with a text that identifies the weights.
    #[must_use]
    pub fn with_fingerprint(mut self, fingerprint: impl Into<String>) -> Self {
        self.fingerprint = fingerprint.into();
        self
    }

    /// The same plan with a text that identifies the content of its images or sounds.
    #[must_use]
    pub fn with_inputs(mut self, inputs: impl Into<String>) -> Self {
        self.inputs = inputs.into();
        self
    }

    /// Every table that a capture of this plan holds once, for all sequences.
    pub fn tables(&self) -> Vec<Slot> {
        match self.options.attention {
            true => slot::tables(&self.model),
            false => Vec::new(),
        }
    }

    /// Every slot that a capture of this plan fills for each sequence.
    pub fn slots(&self) -> Vec<Slot> {
        let mut slots = Vec::new();
        let attentions = self.model.attentions.iter().filter(|_| self.options.attention);
        for info in attentions {
            let attention = info.attention;
            for layer in info.attending_layers() {
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
#[serde(deny_unknown_fields)]
pub(super) struct CaptureJson {
    pub(super) schema: String,
    pub(super) version: u32,
    pub(super) model: ModelInfo,
    /// `None` if the writer did not say; the reader then takes the precision from the tensors.
    #[serde(default)]
    pub(super) options: Option<CaptureOptions>,
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
#[serde(deny_unknown_fields)]
pub(super) struct FileRecord {
    pub(super) bytes: u64,
    pub(super) crc32: u32,
}

/// The oldest version that has a field for everything in a model's facts and in tokens, and for what a capture leaves out.
pub(super) fn version(model: &ModelInfo, options: CaptureOptions, sequences: &[Sequence]) -> u32 {
    if sequences.iter().any(has_segments) {
        return 4;
    }
    if !options.attention {
        return 3;
    }
    let positions = matches!(model.positions, Positions::Alibi | Positions::RelativeVectors);
    let newer = |info: &AttentionInfo| {
        let of_layer = |layer: &LayerAttention| {
            layer.soft_cap.is_some() || layer.sinks.is_some() || matches!(layer.mask, Mask::Local { .. })
        };
        info.alibi.is_some() || info.relative_vectors.is_some() || info.layers.iter().any(of_layer)
    };
    let own_heads = |info: &AttentionInfo| {
        let of_layer = |layer: &LayerAttention| layer.heads.is_some() || layer.kv_heads.is_some();
        info.layers.iter().any(of_layer)
    };
    if model.attentions.iter().any(own_heads) {
        3
    } else if positions || model.attentions.iter().any(newer) {
        2
    } else {
        1
    }
}

/// Whether some token is of the second text of a pair.
pub(super) fn has_segments(sequence: &Sequence) -> bool {
    let mut tokens = sequence.encoder.iter().chain(&sequence.decoder);
    tokens.any(|token| token.segment != 0)
}

/// The fields that say whether the rest can be read.
#[derive(Deserialize)]
struct Head {
    schema: Option<String>,
    version: Option<u64>,
}

impl CaptureJson {
    /// Parses `capture.json`; `path` is its place in errors.
    pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let head: Head = parse(bytes, path)?;
        if head.schema.as_deref() != Some(SCHEMA) || !(1..=u64::from(VERSION)).contains(&head.version.unwrap_or(0)) {
            let schema = head
                .schema
                .map_or("no schema".into(), |schema| format!("schema {schema}"));
            let version = head
                .version
                .map_or("no version".into(), |version| format!("version {version}"));
            return Err(Error::NotACapture {
                path: path.to_owned(),
                expected: format!("schema {SCHEMA}, version 1 to {VERSION}"),
                found: format!("{schema}, {version}"),
            });
        }
        parse(bytes, path)
    }
}

/// Parses JSON; errors name the path inside it.
fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8], path: &Path) -> Result<T> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        // `.` stands for the whole file.
        let at = error.path().to_string();
        (if at == "." { String::new() } else { at }, error.into_inner())
    });
    let ended = parsed.and_then(|value| json.end().map(|()| value).map_err(|error| (String::new(), error)));
    ended.map_err(|(at, error)| {
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        let place = format!(" at line {line} column {column}");
        let message = match message.strip_suffix(&place).unwrap_or(&message) {
            "number out of range" => "expected a number within the range of floats, found a larger one",
            message => message,
        };
        Error::Json {
            path: path.to_owned(),
            at,
            line,
            column,
            message: message.to_owned(),
        }
    })
}
