//! wav2vec 2.0: convolutions make frames of samples, one more tells them their places, and a transformer with norms after its
//! sublayers, or before them, reads them.
//!
//! Baevski et al. 2020, <https://arxiv.org/abs/2006.11477>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | facebook/wav2vec2-base-960h, wav2vec2-large-960h-lv60-self, jonatasgrosman/wav2vec2-large-xlsr-53-english | `Wav2Vec2ForCTC` |
//! | superb/wav2vec2-base-superb-ks, facebook/mms-lid-126 without its adapters, fine-tuned classifiers | `Wav2Vec2ForSequenceClassification` |
//! | facebook/wav2vec2-base, wav2vec2-large-xlsr-53 | `Wav2Vec2ForPreTraining`, `Wav2Vec2Model`: without what the training predicts |
//!
//! Where the first convolution is normed over time (the base model), padding changes what a sound becomes: the released models
//! are run on one sound at a time.

use attn_core::{
    Attention, Limits, ModelInfo, Side,
    model::{Mask, Positions},
};
use candle_core::{DType, Device, Tensor};

use super::convolutions::{Places, Stage, StageNorm};
use crate::{
    Error, Inputs, Result, Site, Weights,
    blocks::{
        Activation, Bias, Convolution, HeadShape, Linear, Mlp, MultiHead, Norm, Pass, Qkv, ScoreTerms, Window,
        additive_mask,
    },
    families::{Config, Network},
    inputs::Padding,
    model::{Hearing, Output},
};

struct Layer {
    attention: MultiHead,
    attention_norm: Norm,
    mlp: Mlp,
    mlp_norm: Norm,
}

struct Wav2Vec2 {
    info: ModelInfo,
    device: Device,
    windows: Vec<Window>,
    stages: Vec<Stage>,
    /// Most channels of a convolution.
    widest: usize,
    /// Of the convolutions.
    activation: Activation,
    feature_norm: Norm,
    projection: Linear,
    places: Places,
    /// Norms before each sublayer and one behind the last layer, instead of after each sublayer and one before the first.
    pre_norm: bool,
    norm: Norm,
    layers: Vec<Layer>,
    head: Head,
    labels: Vec<String>,
}

/// What is predicted.
enum Head {
    None,
    /// The character at each frame.
    Frames(Linear),
    /// The class of a sound.
    Classes(Classes),
}

/// A classifier of the mean over frames.
struct Classes {
    /// How much each state counts before the softmax, `[layers + 1]`; `None` where the last one alone does.
    layers: Option<Tensor>,
    projector: Linear,
    classifier: Linear,
}

impl Classes {
    /// Of one state for the head `[batch, frames, hidden]`.
    fn forward(&self, x: &Tensor, padding: Option<&Padding>, pass: &Pass<'_>) -> Result<Tensor> {
        let x = self.projector.forward(x, pass)?;
        let mean = match padding {
            None => x.mean(1)?,
            Some(padding) => {
                let real = padding.factors(x.dim(1)?, x.device())?;
                x.broadcast_mul(&real)?.sum(1)?.broadcast_div(&real.sum(1)?)?
            }
        };
        self.classifier.forward(&mean, pass)
    }

    /// The states of all layers as one, or the last.
    fn state(&self, states: &[Tensor], last: &Tensor) -> Result<Tensor> {
        let Some(layers) = &self.layers else {
            return Ok(last.clone());
        };
        let shares = candle_nn::ops::softmax(layers, 0)?;
        let weighted = states.iter().enumerate();
        let weighted = weighted.map(|(layer, state)| Ok(state.broadcast_mul(&shares.get(layer)?)?));
        let mut weighted = weighted.collect::<Result<Vec<_>>>()?.into_iter();
        let first = weighted.next().unwrap_or_else(|| last.clone());
        weighted.try_fold(first, |sum, state| Ok((sum + state)?))
    }
}

const CLASSIFIER: &str = "Wav2Vec2ForSequenceClassification";

/// A list of numbers, one for each convolution.
fn sizes(config: &Config, key: &str, default: &[usize]) -> Result<Vec<usize>> {
    let Some(value) = config.get(key) else {
        return Ok(default.to_vec());
    };
    let size = |value: &serde_json::Value| {
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
        size.filter(|size| (1..=1 << 16).contains(size))
    };
    let list = value.as_array().and_then(|list| list.iter().map(size).collect());
    list.filter(|list: &Vec<usize>| (1..=64).contains(&list.len()))
        .ok_or_else(|| config.wrong(key, "a list of at most 64 numbers from 1 to 65536"))
}

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let class = config.architecture();
    if let Some(class) = class.filter(|class| *class != CLASSIFIER)
        && ["Classification", "XVector"].iter().any(|kind| class.contains(kind))
    {
        let supported = format!("Wav2Vec2ForCTC, {CLASSIFIER}, Wav2Vec2Model, Wav2Vec2ForPreTraining");
        return Err(config.unsupported("architectures", supported));
    }
    config.refuse_flag("add_adapter")?;
    if config.get("adapter_attn_dim").is_some() {
        return Err(config.unsupported("adapter_attn_dim", "nothing: adapters of languages are not implemented"));
    }
    let root = weights.below("wav2vec2");
    let hidden = config.size_or("hidden_size", 768)?;
    let heads = config.size_or("num_attention_heads", 12)?;
    let head_dim = config.divide("hidden_size", hidden, "num_attention_heads", heads)?;
    let inner = config.size_or("intermediate_size", 3072)?;
    let epsilon = config.positive_or("layer_norm_eps", 1e-5)?;
    let (windows, stages, last) = stem(config, &root.at("feature_extractor.conv_layers"))?;
    let widest = sizes(config, "conv_dim", &[512; 7])?.into_iter().max().unwrap_or(last);
    let activation = Activation::read(config, "feat_extract_activation", Activation::Gelu)?;
    let encoder = root.at("encoder");
    let kernel = config.size_or("num_conv_pos_embeddings", 128)?;
    let groups = config.size_or("num_conv_pos_embedding_groups", 16)?;
    config.divide("hidden_size", hidden, "num_conv_pos_embedding_groups", groups)?;
    let hidden_act = Activation::read(config, "hidden_act", Activation::Gelu)?;
    let layer = |layer: usize| -> Result<Layer> {
        let weights = encoder.at(format_args!("layers.{layer}"));
        let linear = |name: &str, inputs, outputs| Linear::load(&weights.at(name), inputs, outputs, true);
        Ok(Layer {
            attention: MultiHead {
                attention: Attention::EncoderSelf,
                layer,
                shape: HeadShape::full(heads, head_dim),
                scale: 1.0 / (head_dim as f64).sqrt(),
                qkv: Qkv::Separate {
                    query: linear("attention.q_proj", hidden, hidden)?,
                    key: linear("attention.k_proj", hidden, hidden)?,
                    value: linear("attention.v_proj", hidden, hidden)?,
                },
                norms: None,
                output: linear("attention.out_proj", hidden, hidden)?,
                terms: ScoreTerms::default(),
            },
            attention_norm: Norm::layer(&weights.at("layer_norm"), hidden, epsilon)?,
            mlp: Mlp {
                up: linear("feed_forward.intermediate_dense", hidden, inner)?,
                gate: None,
                down: linear("feed_forward.output_dense", inner, hidden)?,
                activation: hidden_act,
            },
            mlp_norm: Norm::layer(&weights.at("final_layer_norm"), hidden, epsilon)?,
        })
    };
    let count = config.layers_in("num_hidden_layers", 12, &encoder.at("layers"))?;
    let layers = (0..count).map(layer).collect::<Result<Vec<_>>>()?;
    let vocab_size = config.size_or("vocab_size", 32)?;
    let predicts = class == Some("Wav2Vec2ForCTC");
    let mut labels = Vec::new();
    let head = match class {
        Some("Wav2Vec2ForCTC") => weights
            .optional("head", || {
                Linear::load(&weights.at("lm_head"), hidden, vocab_size, true)
            })?
            .map(Head::Frames),
        Some(CLASSIFIER) => {
            let named = config.labels()?;
            let head = weights.optional("classifier", || classes(config, weights, (hidden, count), named.len()))?;
            labels = if head.is_some() { named } else { labels };
            head.map(Head::Classes)
        }
        _ => None,
    };
    let attention = MultiHead::info(layers.iter().map(|layer| (&layer.attention, Mask::Full)));
    Ok(Box::new(Wav2Vec2 {
        info: ModelInfo {
            name: name.to_owned(),
            family: "wav2vec2".to_owned(),
            hidden_size: hidden,
            vocab_size: predicts.then_some(vocab_size),
            max_tokens: None,
            positions: Positions::Learned,
            attentions: attention.into_iter().collect(),
        },
        device: weights.device().clone(),
        windows,
        stages,
        widest,
        activation,
        feature_norm: Norm::layer(&root.at("feature_projection.layer_norm"), last, epsilon)?,
        projection: Linear::load(&root.at("feature_projection.projection"), last, hidden, true)?,
        places: Places::load(&encoder.at("pos_conv_embed.conv"), hidden, (kernel, groups), activation)?,
        pre_norm: config.flag_or("do_stable_layer_norm", false)?,
        norm: Norm::layer(&encoder.at("layer_norm"), hidden, epsilon)?,
        layers,
        head: head.unwrap_or(Head::None),
        labels,
    }))
}

fn classes(config: &Config, weights: &Weights, (hidden, layers): (usize, usize), labels: usize) -> Result<Classes> {
    let width = config.size_or("classifier_proj_size", 256)?;
    Ok(Classes {
        layers: match config.flag_or("use_weighted_layer_sum", false)? {
            true => Some(weights.get("layer_weights", [layers + 1])?),
            false => None,
        },
        projector: Linear::load(&weights.at("projector"), hidden, width, true)?,
        classifier: Linear::load(&weights.at("classifier"), width, labels, true)?,
    })
}

/// The convolutions over samples, and the channels of the last.
fn stem(config: &Config, weights: &Weights) -> Result<(Vec<Window>, Vec<Stage>, usize)> {
    let channels = sizes(config, "conv_dim", &[512; 7])?;
    let kernels = sizes(config, "conv_kernel", &[10, 3, 3, 3, 3, 2, 2])?;
    let strides = sizes(config, "conv_stride", &[5, 2, 2, 2, 2, 2, 2])?;
    for (key, list) in [("conv_kernel", &kernels), ("conv_stride", &strides)] {
        if list.len() != channels.len() {
            let expected = format!("{} numbers, as in `conv_dim`", channels.len());
            return Err(config.wrong(key, expected));
        }
    }
    let bias = config.flag_or("conv_bias", false)?;
    let over_channels = match config.text("feat_extract_norm")? {
        None | Some("group") => false,
        Some("layer") => true,
        Some(_) => return Err(config.unsupported("feat_extract_norm", "group, layer")),
    };
    let (mut windows, mut stages, mut inputs) = (Vec::new(), Vec::new(), 1);
    for (at, ((&outputs, kernel), stride)) in channels.iter().zip(kernels).zip(strides).enumerate() {
        let window = Window {
            kernel,
            stride,
            padding: 0,
        };
        let weights = weights.at(at);
        let norm = weights.at("layer_norm");
        stages.push(Stage {
            convolution: Convolution::load(&weights.at("conv"), inputs, outputs, window, bias)?,
            norm: match (over_channels, at) {
                // The reference takes the default of its norm, not the model's.
                (true, _) => StageNorm::OverChannels(Norm::layer(&norm, outputs, 1e-5)?),
                (false, 0) => StageNorm::over_time(&norm, outputs)?,
                (false, _) => StageNorm::None,
            },
        });
        windows.push(window);
        inputs = outputs;
    }
    Ok((windows, stages, inputs))
}

impl Wav2Vec2 {
    /// Samples `[batch, samples, 1]`, and which frames of them are real.
    fn samples(&self, inputs: &Inputs) -> Result<(Tensor, Option<Padding>)> {
        let hearing = Hearing::Samples(self.windows.clone());
        let expected = "numbers of shape [batch, samples], enough for one frame";
        let found = match &inputs.input_values {
            None => "nothing".to_owned(),
            Some(samples) if !samples.dtype().is_float() => format!("element type {:?}", samples.dtype()),
            Some(samples) => match *samples.dims() {
                [batch, count] if batch > 0 && hearing.positions(count) > 0 => {
                    let padding = hearing.padding(inputs)?;
                    let samples = samples.to_device(&self.device)?.to_dtype(DType::F32)?;
                    return Ok((samples.unsqueeze(2)?, padding));
                }
                _ => format!("shape {:?}", samples.dims()),
            },
        };
        Err(Error::input("input_values", expected, found))
    }
}

impl Wav2Vec2 {
    /// Whether the head reads the states of all layers.
    fn sums(&self) -> bool {
        matches!(&self.head, Head::Classes(classes) if classes.layers.is_some())
    }

    fn layer(&self, layer: usize, x: &Tensor, mask: Option<&Bias>, pass: &mut Pass<'_>) -> Result<Tensor> {
        let block = &self.layers[layer];
        let attend = |x: &Tensor, pass: &mut Pass<'_>| block.attention.forward(x, x, mask, None, pass);
        let inner = |x: &Tensor, pass: &mut Pass<'_>| {
            let inner = block.mlp.forward(x, pass)?;
            pass.tap(Site::mlp(Side::Encoder, layer), inner)
        };
        if self.pre_norm {
            let x = (attend(&block.attention_norm.forward(x, pass)?, pass)? + x)?;
            Ok((inner(&block.mlp_norm.forward(&x, pass)?, pass)? + x)?)
        } else {
            let x = block.attention_norm.forward(&(attend(x, pass)? + x)?, pass)?;
            block.mlp_norm.forward(&(inner(&x, pass)? + x)?, pass)
        }
    }
}

impl Network for Wav2Vec2 {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn hearing(&self) -> Option<Hearing> {
        Some(Hearing::Samples(self.windows.clone()))
    }

    fn forward(&self, inputs: &Inputs, pass: &mut Pass<'_>) -> Result<Output> {
        inputs.only(&["input_values", "attention_mask"])?;
        let side = Side::Encoder;
        let (mut x, padding) = self.samples(inputs)?;
        let (batch, samples, _) = x.dims3()?;
        let (mut count, mut channels, mut needed) = (samples, 1, 0);
        for window in &self.windows {
            count = window.outputs(count);
            // What outputs read, gathered, ordered and flattened; the outputs, their norm and activation.
            let each = (3 * channels * window.kernel).saturating_add(4 * self.widest);
            needed = needed.max(Limits::size(&[batch, count, each], 4));
            channels = self.widest;
        }
        pass.limits
            .check(format_args!("the convolutions over {samples} samples"), needed)?;
        for stage in &self.stages {
            x = stage.forward(&x, self.activation, pass)?;
        }
        let x = self.projection.forward(&self.feature_norm.forward(&x, pass)?, pass)?;
        let x = pass.tap(Site::embedding(side), x)?;
        let (_, frames, _) = x.dims3()?;
        let x = match &padding {
            Some(padding) => x.broadcast_mul(&padding.factors(frames, &self.device)?)?,
            None => x,
        };
        let places = pass.tap(Site::positions(side), self.places.forward(&x, pass)?)?;
        let mut x = x.broadcast_add(&places)?;
        if !self.pre_norm {
            x = self.norm.forward(&x, pass)?;
        }
        let mask = additive_mask(Mask::Full, padding.as_ref(), frames, frames, &self.device)?;
        let mut states = Vec::new();
        for layer in 0..self.layers.len() {
            if pass.skips(side, layer) {
                let known = pass.start.and_then(|start| start.state_below(side, layer));
                if let Some(known) = known.filter(|known| self.sums() && known.dims() == x.dims()) {
                    // What lies below a start is read too, as it was.
                    states.push(known.clone());
                } else if self.sums() {
                    let mut nothing = ();
                    let mut quiet = Pass::new(&mut nothing, pass.gradients);
                    (quiet.relevance, quiet.limits) = (pass.relevance, pass.limits);
                    states.push(x.clone());
                    x = self.layer(layer, &x, mask.as_ref(), &mut quiet)?;
                }
                continue;
            }
            x = pass.tap(Site::hidden(side, layer), x)?;
            if self.sums() {
                states.push(x.clone());
            }
            x = self.layer(layer, &x, mask.as_ref(), pass)?;
        }
        if self.pre_norm {
            x = self.norm.forward(&x, pass)?;
        }
        let x = pass.tap(Site::hidden(side, self.layers.len()), x)?;
        states.push(x.clone());
        Ok(Output {
            logits: match &self.head {
                Head::Frames(head) if pass.wants_logits() => Some(head.forward(&x, pass)?),
                Head::Classes(classes) if pass.wants_logits() => {
                    Some(classes.forward(&classes.state(&states, &x)?, padding.as_ref(), pass)?)
                }
                _ => None,
            },
            last_hidden: x,
            pooled: None,
        })
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    /// None for a classifier that reads the states of all layers: no one state predicts.
    fn predict(&self, hidden: &Tensor, layer: usize, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        // The last state has passed the final norm.
        let normed = match self.pre_norm && layer < self.layers.len() {
            true => self.norm.forward(hidden, pass)?,
            false => hidden.clone(),
        };
        match &self.head {
            Head::Frames(head) => Ok(Some(head.forward(&normed, pass)?)),
            Head::Classes(classes) if !self.sums() => {
                Ok(Some(classes.forward(&normed, pass.padding.as_ref(), pass)?))
            }
            _ => Ok(None),
        }
    }

    fn attention_block(&self, attention: Attention, layer: usize) -> Option<&MultiHead> {
        let block = self.layers.get(layer).filter(|_| attention == Attention::EncoderSelf)?;
        Some(&block.attention)
    }
}
