//! A model of any family: built from a checkpoint or for training, run on a batch.

use attn_core::{Attention, ModelInfo};
use candle_core::{Device, Tensor};

use crate::{
    Checkpoint, Error, Inputs, Result, Tap, Weights,
    blocks::{Cache, MultiHead, Pass, Relevance},
    checkpoint::CONFIG,
    config::Config,
    families::{self, Network},
};

/// Whether a backward pass will follow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Gradients {
    /// Fused kernels, which have no backward pass. For inference.
    #[default]
    Off,
    /// Every operation can be differentiated. For training and attribution.
    On,
}

/// What a model computes for a batch.
#[derive(Debug, Clone)]
pub struct Output {
    /// What the checkpoint's head predicts: `[batch, tokens, vocabulary]` for language models,
    /// `[batch, classes]` for classifiers, `[batch, tokens]` for ELECTRA's discriminator; `None` without a head.
    pub logits: Option<Tensor>,
    /// The last hidden state, after the final norm if the model has one: `[batch, tokens, hidden]`.
    pub last_hidden: Tensor,
    /// One vector per sequence, if the model has a pooler: `[batch, hidden]`.
    pub pooled: Option<Tensor>,
}

/// What a model of images expects and how its tokens lie on the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vision {
    /// Colour channels: 3, or 1 for grey pictures.
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Height and width of a patch in pixels.
    pub patch: (usize, usize),
    /// Patches from top to bottom.
    pub rows: usize,
    /// Patches from left to right.
    pub columns: usize,
    /// Tokens before the first patch: the class token and its like.
    pub special: usize,
}

impl Vision {
    /// The same for pictures of another size: models of images take any that holds a patch, and interpolate their
    /// positions. `None` for a size that does not.
    ///
    /// ```
    /// use attn_models::{Gradients, Model, Weights};
    ///
    /// let config = r#"{"model_type": "vit", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    ///                  "intermediate_size": 16, "image_size": 32, "patch_size": 8}"#;
    /// let model = Model::build("tiny", config, &Weights::initialise(1), Gradients::Off)?;
    /// let larger = model.vision().and_then(|vision| vision.at(48, 40)).map(|vision| (vision.rows, vision.columns));
    /// assert_eq!(larger, Some((6, 5)));
    /// # Ok::<(), attn_models::Error>(())
    /// ```
    pub fn at(self, height: usize, width: usize) -> Option<Self> {
        let rows = height.checked_div(self.patch.0)?;
        let columns = width.checked_div(self.patch.1)?;
        (rows > 0 && columns > 0).then_some(Self {
            height,
            width,
            rows,
            columns,
            ..self
        })
    }
}

/// A transformer with taps.
///
/// ```
/// use attn_models::{Gradients, Inputs, Model, Weights};
///
/// let config = r#"{"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2}"#;
/// let model = Model::build("tiny", config, &Weights::initialise(1), Gradients::Off)?;
/// let inputs = Inputs::from_ids(&[vec![5, 6, 7]], 0)?;
/// let output = model.forward(&inputs, &mut ())?;
/// assert_eq!(output.last_hidden.dims(), [1, 3, 8]);
/// # Ok::<(), attn_models::Error>(())
/// ```
pub struct Model {
    network: Box<dyn Network>,
    device: Device,
    gradients: Gradients,
}

impl Model {
    /// Loads a checkpoint for inference on the CPU.
    ///
    /// # Errors
    /// [`Error::UnknownFamily`](crate::Error::UnknownFamily), [`Error::Config`](crate::Error::Config) and
    /// [`Error::Unsupported`](crate::Error::Unsupported) for the configuration;
    /// [`Error::MissingTensor`](crate::Error::MissingTensor), [`Error::Tensor`](crate::Error::Tensor) and
    /// [`Error::NotFinite`](crate::Error::NotFinite) for the weights.
    pub fn load(checkpoint: &Checkpoint) -> Result<Self> {
        Self::load_from(checkpoint, &Weights::open(checkpoint), Gradients::Off)
    }

    /// Builds the model a checkpoint describes from other weights: on another device, or to fine-tune it.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_from(checkpoint: &Checkpoint, weights: &Weights, gradients: Gradients) -> Result<Self> {
        Self::from_config(checkpoint.config(), checkpoint.name(), weights, gradients)
    }

    /// Builds the model a `config.json` describes.
    ///
    /// # Errors
    /// As [`load`](Self::load), and [`Error::Json`](crate::Error::Json).
    pub fn build(name: &str, config_json: &str, weights: &Weights, gradients: Gradients) -> Result<Self> {
        let config = Config::parse(config_json.as_bytes(), CONFIG.as_ref())?;
        Self::from_config(&config, name, weights, gradients)
    }

    fn from_config(config: &Config, name: &str, weights: &Weights, gradients: Gradients) -> Result<Self> {
        let network = families::build(config, name, weights)?;
        Ok(Self {
            network,
            device: weights.device().clone(),
            gradients,
        })
    }

    /// The same model, computing with or without gradients.
    pub fn with_gradients(mut self, gradients: Gradients) -> Self {
        self.gradients = gradients;
        self
    }

    /// Sizes, masks and scales: what is needed to understand a capture.
    pub fn info(&self) -> &ModelInfo {
        self.network.info()
    }

    /// For a model of images, what it expects; `None` for a model of text.
    pub fn vision(&self) -> Option<Vision> {
        self.network.vision()
    }

    /// Names of the classes, if the checkpoint has a classification head.
    pub fn labels(&self) -> &[String] {
        self.network.labels()
    }

    /// Where its weights live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Runs a batch.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) for inputs that are missing, superfluous, misshapen or out of range;
    /// [`Error::Tap`](crate::Error::Tap) and whatever else the tap returns.
    pub fn forward(&self, inputs: &Inputs, tap: &mut dyn Tap) -> Result<Output> {
        self.run(inputs, tap, self.gradients, None)
    }

    /// What the model's head would predict from a hidden state `[batch, tokens, hidden]` of its last stack, as it is
    /// tapped at [`Point::Hidden`](crate::Point::Hidden) of `layer`: the final norm is applied where that state has
    /// not passed it. Shapes as [`Output::logits`]; `None` without a head. At the last layer these are the model's own
    /// logits, at others those of the logit lens ([`logit_lens`](crate::logit_lens)).
    ///
    /// # Errors
    /// [`Error::Intervention`](crate::Error::Intervention) for a layer the model does not have; [`Error::Candle`](crate::Error::Candle)
    /// for a state of another width.
    pub fn predict(&self, hidden: &Tensor, layer: usize) -> Result<Option<Tensor>> {
        let layers = self.layers();
        if layer > layers {
            return Err(Error::Intervention {
                place: "logit lens".to_owned(),
                expected: format!("a layer from 0 to {layers}"),
                found: format!("layer {layer}"),
            });
        }
        let pass = Pass {
            tap: &mut (),
            gradients: self.gradients,
            cache: None,
            relevance: None,
        };
        self.network.predict(hidden, layer, &pass)
    }

    /// Layers of the stack whose states the head reads: the decoder's, if there is one.
    pub(crate) fn layers(&self) -> usize {
        let info = self.info();
        let decoder = info.attention(Attention::DecoderSelf);
        let attention = decoder.or_else(|| info.attention(Attention::EncoderSelf));
        attention.map_or(0, |attention| attention.layers.len())
    }

    /// A forward pass that can be differentiated, however the model was built.
    pub(crate) fn differentiable(&self, inputs: &Inputs, tap: &mut dyn Tap) -> Result<Output> {
        self.run(inputs, tap, Gradients::On, None)
    }

    /// A forward pass whose gradients are the multipliers of layer-wise relevance propagation.
    pub(crate) fn relevance(&self, inputs: &Inputs, tap: &mut dyn Tap, relevance: &Relevance) -> Result<Output> {
        self.run(inputs, tap, Gradients::On, Some(relevance))
    }

    /// The maps of one layer's attention, where the family gives them.
    pub(crate) fn attention_block(&self, attention: Attention, layer: usize) -> Option<&MultiHead> {
        self.network.attention_block(attention, layer)
    }

    fn run(
        &self,
        inputs: &Inputs,
        tap: &mut dyn Tap,
        gradients: Gradients,
        relevance: Option<&Relevance>,
    ) -> Result<Output> {
        let mut pass = Pass {
            tap,
            gradients,
            cache: None,
            relevance,
        };
        self.network.forward(inputs, &mut pass)
    }

    /// Runs the tokens that `cache` does not have yet, and adds their keys and values to it. The inputs are those of
    /// [`forward`](Self::forward), whole; the output is about the new tokens alone. Rows of the batch are rows of the
    /// cache. Only for networks that [cache](Self::caches).
    pub(crate) fn step(&self, inputs: &Inputs, cache: &mut Cache, tap: &mut dyn Tap) -> Result<Output> {
        let output = self.network.forward(
            inputs,
            &mut Pass {
                tap,
                gradients: self.gradients,
                cache: Some(cache),
                relevance: None,
            },
        )?;
        cache.advance(cache.tokens() + output.last_hidden.dim(1)?);
        Ok(output)
    }

    /// Whether [`step`](Self::step) works; generation recomputes everything otherwise.
    pub(crate) fn caches(&self) -> bool {
        self.network.caches()
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("info", self.info())
            .field("gradients", &self.gradients)
            .finish_non_exhaustive()
    }
}
