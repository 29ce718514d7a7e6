//! Whisper: an encoder-decoder that reads sound: log-mel features through two convolutions, the second of which halves the
//! frames; fixed positions in the encoder, learned ones in the decoder, norms before each sublayer.
//!
//! Radford et al. 2022, <https://arxiv.org/abs/2212.04356>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | openai/whisper-tiny, whisper-base.en, whisper-large-v3, whisper-large-v3-turbo, distil-whisper/distil-large-v3 | `WhisperForConditionalGeneration` |
//! | bare models | `WhisperModel` |

use attn_core::{Side, model::Positions};
use candle_core::{DType, Device, Tensor};

use super::{
    EncoderDecoder, Entry,
    bart::{self, BART, Sizes, StackSizes, Variant},
};
use crate::{
    Error, Inputs, Result, Weights,
    blocks::{Activation, Convolution, Embedding, Pass, Window},
    families::{Config, Network},
    inputs::Tokens,
    model::Hearing,
};

const WHISPER: Variant = Variant {
    family: "whisper",
    pre_norm: true,
    embedding_norm: false,
    first_row: 0,
    logits_bias: false,
    key_bias: false,
    head: "proj_out",
    ..BART
};

/// Sizes that the configuration may leave out: those of the smallest one.
const DEFAULTS: &[(&str, usize)] = &[
    ("vocab_size", 51865),
    ("d_model", 384),
    ("encoder_attention_heads", 6),
    ("decoder_attention_heads", 6),
    ("encoder_ffn_dim", 1536),
    ("decoder_ffn_dim", 1536),
];

/// Names that all families have in common, and those of this one.
const NAMES: &[(&str, &str)] = &[
    ("hidden_size", "d_model"),
    ("num_attention_heads", "encoder_attention_heads"),
];

/// Frames of features for one position of the encoder.
const STRIDE: usize = 2;

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    if config.architecture() == Some("WhisperForAudioClassification") {
        return Err(config.unsupported("architectures", "WhisperForConditionalGeneration, WhisperModel"));
    }
    let config = config.with_names(NAMES)?.with_defaults(DEFAULTS);
    let frames = config.size_or("max_source_positions", 1500)?;
    let bins = config.size_or("num_mel_bins", 80)?;
    let longest = config.size_or("max_target_positions", 448)?;
    let config = &config.with_defaults(&[("max_position_embeddings", longest)]);
    let sizes = Sizes::read(config, &WHISPER)?.of_length(longest);
    let root = weights.below("model");
    let of_encoder = StackSizes::read(config, "encoder", &sizes, &root)?;
    let of_decoder = StackSizes::read(config, "decoder", &sizes, &root)?;
    let stem = SoundStem::load(&root.at("encoder"), bins, frames, &sizes)?;
    let words = Embedding::load(&root.at("decoder.embed_tokens"), sizes.target_size, sizes.hidden)?;
    let head = bart::head(config, weights, &words, &sizes, &WHISPER)?;
    let encoder = bart::stack(
        &root.at("encoder"),
        Side::Encoder,
        Entry::Sound(stem),
        &of_encoder,
        &sizes.of_length(frames),
        &WHISPER,
    )?;
    let entry = Entry::Words {
        table: words,
        factor: sizes.word_factor,
    };
    let decoder = bart::stack(&root.at("decoder"), Side::Decoder, entry, &of_decoder, &sizes, &WHISPER)?;
    let stacks = [&encoder, &decoder];
    Ok(Box::new(EncoderDecoder {
        info: EncoderDecoder::facts(name, WHISPER.family, Some(longest), Positions::Learned, stacks),
        device: weights.device().clone(),
        encoder,
        decoder,
        head,
    }))
}

/// From features to the encoder's first vectors.
pub(super) struct SoundStem {
    first: Convolution,
    second: Convolution,
    /// Mel bins of a frame.
    bins: usize,
    /// Positions of the encoder, which every sound has.
    positions: usize,
    width: usize,
}

impl SoundStem {
    fn load(weights: &Weights, bins: usize, positions: usize, sizes: &Sizes) -> Result<Self> {
        let convolution = |name: &str, channels, stride| {
            let window = Window {
                kernel: 3,
                stride,
                padding: 1,
            };
            Convolution::load(&weights.at(name), channels, sizes.hidden, window, true)
        };
        Ok(Self {
            first: convolution("conv1", bins, 1)?,
            second: convolution("conv2", sizes.hidden, STRIDE)?,
            bins,
            positions,
            width: sizes.hidden,
        })
    }

    /// The width of a vector.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn hearing(&self) -> Hearing {
        Hearing::Features {
            bins: self.bins,
            frames: STRIDE * self.positions,
            positions: self.positions,
        }
    }

    /// The encoder's positions of a batch of sounds, all of them real: they have no ids.
    pub(super) fn frames(&self, inputs: &Inputs, device: &Device) -> Result<Tokens> {
        let batch = self.check(inputs)?.dim(0)?;
        Ok(Tokens {
            ids: Tensor::zeros((batch, self.positions), DType::U32, device)?,
            batch,
            tokens: self.positions,
            padding: None,
        })
    }

    /// The features, which must be those of a whole sound.
    fn check<'i>(&self, inputs: &'i Inputs) -> Result<&'i Tensor> {
        let (bins, frames) = (self.bins, STRIDE * self.positions);
        let expected = format!("numbers of shape [batch, {bins}, {frames}]: mel bins and frames");
        let found = match &inputs.input_features {
            None => "nothing".to_owned(),
            Some(features) if !features.dtype().is_float() => format!("element type {:?}", features.dtype()),
            Some(features) => match *features.dims() {
                [batch, own_bins, own_frames] if batch > 0 && own_bins == bins && own_frames == frames => {
                    return Ok(features);
                }
                _ => format!("shape {:?}", features.dims()),
            },
        };
        Err(Error::input("input_features", expected, found))
    }

    /// `[batch, positions, hidden]`.
    pub(super) fn forward(&self, inputs: &Inputs, device: &Device, pass: &Pass<'_>) -> Result<Tensor> {
        let features = self.check(inputs)?.to_device(device)?.to_dtype(DType::F32)?;
        let x = features.transpose(1, 2)?;
        let x = self.first.activated(&x, Activation::Gelu, pass)?;
        self.second.activated(&x, Activation::Gelu, pass)
    }
}
