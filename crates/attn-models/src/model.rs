//! A model of any family: built from a checkpoint or for training, run on a batch.

use attn_core::{Attention, Limits, ModelInfo};
use candle_core::{Device, Tensor};

use crate::{
    Checkpoint, Error, Inputs, Result, Tap, Weights,
    blocks::{Cache, Experts, MultiHead, Pass, Relevance, Window},
    config::Config,
    families::{Families, Network},
    graph,
    inputs::Padding,
    layout::Layout,
    start::Start,
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

/// The outputs of a model for a batch.
#[derive(Debug, Clone)]
pub struct Output {
    /// Predictions of the checkpoint's head: `[batch, tokens, vocabulary]` for language models,
    /// `[batch, classes]` for classifiers, `[batch, tokens]` for ELECTRA's discriminator; `None` without a head.
    pub logits: Option<Tensor>,
    /// The last hidden state, after the final norm if the model has one: `[batch, tokens, hidden]`.
    pub last_hidden: Tensor,
    /// One vector per sequence, if the model has a pooler: `[batch, hidden]`.
    pub pooled: Option<Tensor>,
}

/// The image size of a model, and the grid of its patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vision {
    /// Color channels: 3, or 1 for gray images.
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
    /// Tokens of an image: special tokens and patches.
    pub fn tokens(&self) -> usize {
        self.special + self.rows * self.columns
    }

    /// The same for images of another size. Models of images take any that holds a patch, and interpolate their
    /// positions. `None` for a size that does not.
    ///
    /// ```
    /// use attn_models::{Gradients, Model, Weights};
    ///
    /// let config = r#"{"model_type": "vit", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    ///                  "intermediate_size": 16, "image_size": 32, "patch_size": 8}"#;
    /// let model = Model::build("tiny", config, &Weights::initialize(1), Gradients::Off)?;
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

/// What a model of sound takes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hearing {
    /// Log-mel features of sounds of one length, silence behind shorter ones.
    Features {
        /// Mel bins of a frame.
        bins: usize,
        /// Frames of a sound.
        frames: usize,
        /// Positions of the encoder.
        positions: usize,
    },
    /// Samples of sounds of any length, through convolutions with these windows.
    Samples(Vec<Window>),
}

impl Hearing {
    /// Positions of the encoder of a sound of so many samples.
    pub fn positions(&self, samples: usize) -> usize {
        match self {
            Self::Features { positions, .. } => *positions,
            Self::Samples(windows) => windows.iter().fold(samples, |count, window| window.outputs(count)),
        }
    }

    /// Which positions are of real samples; `None` if all are, or where no mask tells samples apart.
    pub(crate) fn padding(&self, inputs: &Inputs) -> Result<Option<Padding>> {
        let Some(&[batch, count]) = inputs.input_values.as_ref().map(Tensor::dims) else {
            return Ok(None);
        };
        let all = self.positions(count);
        let real = |length: usize| {
            let own = self.positions(length);
            (0..all).map(|position| position < own).collect()
        };
        let lengths = inputs.sample_counts(batch, count)?;
        let real: Option<Vec<Vec<bool>>> = lengths.map(|lengths| lengths.into_iter().map(real).collect());
        if let Some(short) = real.iter().flatten().position(|row| !row.contains(&true)) {
            let found = format!("too few samples in sequence {short}");
            return Err(Error::input("attention_mask", "enough samples for one frame", found));
        }
        Ok(real.and_then(Padding::of))
    }
}

/// A transformer with taps.
///
/// ```
/// use attn_models::{Gradients, Inputs, Model, Weights};
///
/// let config = r#"{"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2}"#;
/// let model = Model::build("tiny", config, &Weights::initialize(1), Gradients::Off)?;
/// let inputs = Inputs::from_ids(&[vec![5, 6, 7]], 0)?;
/// let output = model.forward(&inputs, &mut ())?;
/// assert_eq!(output.last_hidden.dims(), [1, 3, 8]);
/// # Ok::<(), attn_models::Error>(())
/// ```
pub struct Model {
    network: Box<dyn Network>,
    device: Device,
    gradients: Gradients,
    notes: Vec<String>,
    limits: Limits,
    problem: Option<Problem>,
}

/// What a head on top of a model is trained for: `problem_type` of the reference implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// One of its classes (`single_label_classification`).
    Class,
    /// Any of its labels, each by itself (`multi_label_classification`).
    Labels,
    /// A number (`regression`).
    Number,
}

impl Problem {
    /// What the configuration says; of a head of one label without a word the number.
    fn of(config: &Config) -> Result<Option<Self>> {
        Ok(match config.text("problem_type")? {
            Some("single_label_classification") => Some(Self::Class),
            Some("multi_label_classification") => Some(Self::Labels),
            Some("regression") => Some(Self::Number),
            Some(_) => {
                let expected = "single_label_classification, multi_label_classification or regression";
                return Err(config.wrong("problem_type", expected));
            }
            None => (config.labels()?.len() == 1).then_some(Self::Number),
        })
    }
}

impl Model {
    /// Loads a checkpoint for inference on the CPU. The family is looked up in the checkpoint's
    /// [`families`](Checkpoint::families): the built-in ones, unless a host has added its own.
    ///
    /// # Errors
    /// [`Error::UnknownFamily`], [`Error::Config`] and
    /// [`Error::Unsupported`] for the configuration;
    /// [`Error::MissingTensor`], [`Error::Tensor`] and
    /// [`Error::NotFinite`] for the weights.
    pub fn load(checkpoint: &Checkpoint) -> Result<Self> {
        Self::load_from(checkpoint, &Weights::open(checkpoint), Gradients::Off)
    }

    /// Builds the model a checkpoint describes from other weights: on another device, or to fine-tune it.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_from(checkpoint: &Checkpoint, weights: &Weights, gradients: Gradients) -> Result<Self> {
        let network = checkpoint
            .families()
            .build(checkpoint.config(), checkpoint.name(), weights)?;
        Self::new(network, weights.device(), gradients)
            .with_notes(weights.notes())
            .configured(checkpoint.config())
    }

    /// Builds the model of a built-in family that the text of a `config.json` describes. For other families
    /// [`Families::model`].
    ///
    /// # Errors
    /// As [`load`](Self::load), and [`Error::Json`].
    pub fn build(name: &str, config_json: &str, weights: &Weights, gradients: Gradients) -> Result<Self> {
        Families::builtin().model(name, config_json, weights, gradients)
    }

    /// A model around a network whose weights live on `device`.
    pub fn new(network: Box<dyn Network>, device: &Device, gradients: Gradients) -> Self {
        Self {
            network,
            device: device.clone(),
            gradients,
            notes: Vec::new(),
            limits: Limits::default(),
            problem: None,
        }
    }

    /// Takes from the configuration what is not of the network. Only a head of classes has a problem.
    pub(crate) fn configured(mut self, config: &Config) -> Result<Self> {
        if !self.labels().is_empty() {
            self.problem = Problem::of(config)?;
        }
        Ok(self)
    }

    pub(crate) fn with_notes(mut self, notes: Vec<String>) -> Self {
        self.notes = notes;
        self
    }

    /// What it runs without, a sentence each: a head or a pooler that the configuration names and the weights lack.
    /// Empty for a complete checkpoint.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The error for something that needs a head, of a model without one.
    pub(crate) fn no_head(&self, place: &str) -> Error {
        Error::Intervention {
            place: place.to_owned(),
            expected: "a model with a head that predicts something".to_owned(),
            found: self.without_head(),
        }
    }

    /// Which model has no head, and why.
    pub(crate) fn without_head(&self) -> String {
        let name = &self.info().name;
        match self.notes.as_slice() {
            _ if !self.labels().is_empty() => format!("`{name}`, whose head reads the states of all layers at once"),
            [] => format!("`{name}`, which has none"),
            notes => format!("`{name}`, which {}", notes.join(", and ")),
        }
    }

    /// The same model with another bound on the memory that attention takes for a long text: of a layer, and of all layers in a
    /// pass with gradients, which keeps them. Default: half of the machine's free memory, as it was when the model was made.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What a layer may take at once, or all layers of a pass with gradients.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The same model, computing with or without gradients.
    pub fn with_gradients(mut self, gradients: Gradients) -> Self {
        self.gradients = gradients;
        self
    }

    /// Sizes, masks, scales and positions.
    pub fn info(&self) -> &ModelInfo {
        self.network.info()
    }

    /// Image size and patches; `None` for a model of text.
    pub fn vision(&self) -> Option<Vision> {
        self.network.vision()
    }

    /// What it takes of a sound; `None` for a model of text or images.
    pub fn hearing(&self) -> Option<Hearing> {
        self.network.hearing()
    }

    /// Names of the classes, if the checkpoint has a classification head.
    pub fn labels(&self) -> &[String] {
        self.network.labels()
    }

    /// What a head of classes is trained for; `None` without one, and where several classes come without a word of it: then
    /// what is right decides, as in the reference implementation.
    pub fn problem(&self) -> Option<Problem> {
        self.problem
    }

    /// The device of its weights.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Runs a batch.
    ///
    /// # Errors
    /// [`Error::Input`] for inputs that are missing, superfluous, misshapen or out of range;
    /// [`attn_core::Error::Memory`] for a text whose attention takes more than [`limits`](Self::limits) allow;
    /// [`Error::Tap`] and whatever else the tap returns.
    pub fn forward(&self, inputs: &Inputs, tap: &mut dyn Tap) -> Result<Output> {
        self.run(inputs, self.layout(inputs), self.pass(tap, self.gradients))
    }

    /// Runs the rest of a pass whose layers below `start` have run before, over the same inputs. What is left out calls no
    /// tap, as [`Layout::leaves_out`] says; the embeddings of the stacks, which are cheap, do. Networks of this crate leave out the layers; another runs
    /// them in vain.
    ///
    /// # Errors
    /// As [`forward`](Self::forward); [`Error::Tap`] for a start from inputs of another shape.
    pub fn forward_from(&self, inputs: &Inputs, start: &Start, tap: &mut dyn Tap) -> Result<Output> {
        let pass = Pass {
            start: Some(start),
            ..self.pass(tap, self.gradients)
        };
        self.run(inputs, self.layout(inputs), pass)
    }

    /// Runs a batch of a data set, whose sequences `layout` names. Without `logits` the predictions of the head may be left out.
    pub(crate) fn states(&self, inputs: &Inputs, layout: Layout, logits: bool, tap: &mut dyn Tap) -> Result<Output> {
        let pass = Pass {
            logits,
            ..self.pass(tap, self.gradients)
        };
        self.run(inputs, layout, pass)
    }

    /// Predictions of the model's head from a hidden state `[batch, tokens, hidden]` of its last stack, as it is
    /// tapped at [`Point::Hidden`](crate::Point::Hidden) of `layer`: the final norm is applied where that state has
    /// not passed it. Shapes as [`Output::logits`]; `None` without a head. At the last layer these are the model's own
    /// logits, at others those of the logit lens ([`logit_lens`](crate::attribute::logit_lens)).
    ///
    /// # Errors
    /// [`Error::Intervention`] for a layer the model does not have;
    /// [`Error::Candle`] for a state of another width.
    pub fn predict(&self, hidden: &Tensor, layer: usize) -> Result<Option<Tensor>> {
        let layers = self.layers();
        if layer > layers {
            return Err(Error::Intervention {
                place: "logit lens".to_owned(),
                expected: format!("a layer from 0 to {layers}"),
                found: format!("layer {layer}"),
            });
        }
        self.network.predict(hidden, layer, &self.pass(&mut (), self.gradients))
    }

    /// As [`predict`](Self::predict), of the tokens of these inputs: a head that reads the mean of a text leaves out its padding.
    pub(crate) fn predict_of(&self, inputs: &Inputs, hidden: &Tensor, layer: usize) -> Result<Option<Tensor>> {
        let mut nothing = ();
        let mut pass = self.pass(&mut nothing, self.gradients);
        pass.padding = match self.hearing() {
            Some(hearing) if inputs.input_values.is_some() => hearing.padding(inputs)?,
            _ => inputs.padding()?,
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
        self.run(inputs, self.layout(inputs), self.pass(tap, Gradients::On))
    }

    /// The same with other attentions in place of some of the model's.
    pub(crate) fn differentiable_with(&self, blocks: &[MultiHead], inputs: &Inputs) -> Result<Output> {
        let mut tap = ();
        let pass = Pass {
            blocks,
            ..self.pass(&mut tap, Gradients::On)
        };
        self.run(inputs, self.layout(inputs), pass)
    }

    /// The same as the rest of an earlier pass, as [`forward_from`](Self::forward_from).
    pub(crate) fn differentiable_from(&self, start: &Start, inputs: &Inputs, tap: &mut dyn Tap) -> Result<Output> {
        let pass = Pass {
            start: Some(start),
            ..self.pass(tap, Gradients::On)
        };
        self.run(inputs, self.layout(inputs), pass)
    }

    /// A forward pass whose gradients are the multipliers of layer-wise relevance propagation.
    pub(crate) fn relevance(&self, inputs: &Inputs, tap: &mut dyn Tap, relevance: &Relevance) -> Result<Output> {
        let pass = Pass {
            relevance: Some(relevance),
            ..self.pass(tap, Gradients::On)
        };
        self.run(inputs, self.layout(inputs), pass)
    }

    /// The maps of one layer's attention, where the family gives them.
    pub(crate) fn attention_block(&self, attention: Attention, layer: usize) -> Option<&MultiHead> {
        self.network.attention_block(attention, layer)
    }

    /// The mixture of experts of a layer of the decoder (of the encoder, in a model without one): which experts tokens go
    /// through is [`Experts::route`] of what a tap sees at [`Point::Router`](crate::Point::Router). `None` where the layer
    /// has one MLP for every token.
    pub fn experts(&self, layer: usize) -> Option<&Experts> {
        self.network.experts(layer)
    }

    fn pass<'a>(&self, tap: &'a mut dyn Tap, gradients: Gradients) -> Pass<'a> {
        Pass {
            tap,
            gradients,
            cache: None,
            relevance: None,
            limits: self.limits,
            logits: true,
            padding: None,
            start: None,
            blocks: &[],
        }
    }

    /// A pass of a generation, or one like it: rows and tokens are those of `layout`. With a cache it runs the tokens that
    /// the cache does not have yet, and adds their keys and values; the output is then about these alone. The inputs are
    /// those of [`forward`](Self::forward), whole. Rows of the batch are rows of the cache, which only networks that
    /// [cache](Self::caches) take.
    pub(crate) fn step(
        &self,
        inputs: &Inputs,
        layout: Layout,
        mut cache: Option<&mut Cache>,
        tap: &mut dyn Tap,
    ) -> Result<Output> {
        let pass = Pass {
            cache: cache.as_deref_mut(),
            ..self.pass(tap, self.gradients)
        };
        let output = self.run(inputs, layout, pass)?;
        if let Some(cache) = cache {
            cache.advance(cache.tokens() + output.last_hidden.dim(1)?);
        }
        Ok(output)
    }

    /// A pass over all tokens of the inputs.
    pub(crate) fn layout(&self, inputs: &Inputs) -> Layout {
        Layout::of(self.info(), inputs)
    }

    fn run(&self, inputs: &Inputs, layout: Layout, mut pass: Pass<'_>) -> Result<Output> {
        let layout = match pass.start {
            Some(start) => layout.starting(start),
            None => layout,
        };
        // A step of generation with a cache keeps what it makes of a token, which is little.
        if !pass.fused() && pass.cache.is_none() {
            graph::check(self, inputs, &layout, pass.relevance.is_some())?;
        }
        pass.tap.begin(&layout)?;
        let output = self.network.forward(inputs, &mut pass)?;
        pass.tap.end()?;
        Ok(output)
    }

    /// Whether [`step`](Self::step) works; generation recomputes everything otherwise.
    pub(crate) fn caches(&self) -> bool {
        self.network.caches()
    }

    /// The length beyond which cached keys no longer fit.
    pub(crate) fn rotates_anew_beyond(&self) -> Option<usize> {
        self.network.rotates_anew_beyond()
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
