//! Model families: what builds a network from a configuration, and the list that finds it by `model_type`.
//!
//! A family is a function that reads a [`Config`], takes its tensors from [`Weights`] and returns a [`Network`]. The
//! built-in families stand in [`Families::builtin`], one file each, in a folder per kind. A family of another crate
//! enters the same list by [`Families::with`], and from then on everything works on it: capture, interventions,
//! generation, attribution.
//!
//! A network is made of the [blocks](crate::blocks): they call the tap inside attention, so that what is left to a
//! family are the sites between blocks.
//!
//! | site | who calls the tap |
//! |---|---|
//! | queries, keys, values, scores, attention, head outputs | [`MultiHead`] |
//! | positions, where they are rotary | [`Rotary`](crate::blocks::Rotary) |
//! | router logits | [`Experts`] |
//! | embeddings, positions that are added, MLP output, hidden states | the family, by [`Pass::tap`] |
//!
//! The example `custom_family` of the SDK builds one from outside in about a hundred lines.

mod decoder;
mod encoder;
mod seq2seq;
mod sound;
mod tower;
mod vision;

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use attn_core::{Attention, ModelInfo};
use candle_core::Tensor;

pub use crate::config::Config;
use crate::{
    Error, Gradients, Inputs, Model, Result, Weights,
    blocks::{Experts, MultiHead, Pass},
    checkpoint::CONFIG,
    error::{SHORT, excerpt},
    model::{Hearing, Output, Vision},
};

/// A model of some family, built and ready to run.
///
/// Only [`info`](Self::info) and [`forward`](Self::forward) have no default. The other methods open a part of this
/// crate each: without [`predict`](Self::predict) there is no logit lens, without
/// [`attention_block`](Self::attention_block) there are no head weights and no head importance by weights, without
/// [`caches`](Self::caches) generation recomputes all tokens in every step.
pub trait Network: Send + Sync {
    /// Sizes, masks, scales and positions. A capture recomputes attention from them, so they must be those that
    /// [`forward`](Self::forward) uses; [`MultiHead::info`] reads them off the blocks.
    fn info(&self) -> &ModelInfo;

    /// Runs a batch, calling the tap of `pass` at every site of the family.
    ///
    /// # Errors
    /// [`Error::Input`] for inputs that are missing, superfluous, misshapen or out of range, and what the tap returns.
    fn forward(&self, inputs: &Inputs, pass: &mut Pass<'_>) -> Result<Output>;

    /// What the head predicts from a hidden state `[batch, tokens, hidden]` as tapped after `layer` layers, by way of
    /// the final norm where that state has not passed it. `None` without a head.
    ///
    /// # Errors
    /// [`Error::Candle`] for a state of another width.
    fn predict(&self, _hidden: &Tensor, _layer: usize, _pass: &Pass<'_>) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// The attention of one layer, for what is measured on its weights. `None` if there is no such layer.
    fn attention_block(&self, _attention: Attention, _layer: usize) -> Option<&MultiHead> {
        None
    }

    /// The mixture of experts of a layer of the decoder, or of the encoder where there is none. `None` where the layer has
    /// one MLP for every token.
    fn experts(&self, _layer: usize) -> Option<&Experts> {
        None
    }

    /// Whether it reads the option `pruned_heads`: the maps of queries, keys and values then lack the rows of those heads,
    /// and the output map their columns. A checkpoint of another family is pruned by zeros.
    fn prunes(&self) -> bool {
        false
    }

    /// Whether a pass computes only the tokens from [`Pass::past`] on, reading earlier keys and values from the cache.
    /// Its inputs are then still those of all tokens.
    fn caches(&self) -> bool {
        false
    }

    /// The length beyond which all tokens are rotated otherwise (`longrope`): keys that were cached before do not fit
    /// those after it. `None`, the default: none.
    fn rotates_anew_beyond(&self) -> Option<usize> {
        None
    }

    /// How many types tokens may have (`token_type_ids`): 2 of a model that tells the texts of a pair apart. 0, the default, for
    /// one that takes none.
    fn token_types(&self) -> usize {
        0
    }

    /// For a model of images, what it expects.
    fn vision(&self) -> Option<Vision> {
        None
    }

    /// For a model of sound, what it takes.
    fn hearing(&self) -> Option<Hearing> {
        None
    }

    /// Names of the classes of a head that classifies whole inputs.
    fn labels(&self) -> &[String] {
        &[]
    }

    /// Names of the classes of a head that classifies each token.
    fn token_labels(&self) -> &[String] {
        &[]
    }
}

/// A function that builds a network from its configuration, the model's name and its weights.
type Build = dyn Fn(&Config, &str, &Weights) -> Result<Box<dyn Network>> + Send + Sync;

/// The families a checkpoint may belong to, by `model_type`.
///
/// ```
/// use attn_models::families::Families;
///
/// let families = Families::builtin();
/// assert!(families.names().any(|name| name == "bert"));
/// assert!(Families::none().names().next().is_none());
/// ```
#[derive(Clone)]
pub struct Families {
    builders: BTreeMap<Cow<'static, str>, Arc<Build>>,
}

impl Families {
    /// Every family of this crate. This is the only list of them.
    pub fn builtin() -> Self {
        use self::{decoder::*, encoder::*, seq2seq::*, vision::*};
        Self::none()
            .with("albert", albert::build)
            .with("bart", bart::build)
            .with("bert", bert::build)
            .with("bloom", bloom::build)
            .with("camembert", roberta::build)
            .with("clip", clip::build_both)
            .with("clip_text_model", clip_text::build)
            .with("clip_vision_model", clip::build)
            .with("cohere", cohere::build)
            .with("deberta-v2", deberta_v2::build)
            .with("deit", deit::build)
            .with("dinov2", dinov2::build)
            .with("dinov2_with_registers", dinov2::build_with_registers)
            .with("dinov3_vit", dinov3::build)
            .with("distilbert", distilbert::build)
            .with("electra", electra::build)
            .with("falcon", falcon::build)
            .with("gemma", gemma::build)
            .with("gemma2", gemma2::build)
            .with("gemma3_text", gemma3::build)
            .with("gpt2", gpt2::build)
            .with("gpt_neo", gpt_neo::build)
            .with("gpt_neox", gpt_neox::build)
            .with("gpt_oss", gpt_oss::build)
            .with("gptj", gptj::build)
            .with("granite", granite::build)
            .with("llama", llama::build)
            .with("m2m_100", m2m_100::build)
            .with("marian", marian::build)
            .with("mbart", mbart::build)
            .with("mistral", mistral::build)
            .with("mixtral", mixtral::build)
            .with("modernbert", modernbert::build)
            .with("mpnet", mpnet::build)
            .with("mpt", mpt::build)
            .with("mt5", mt5::build)
            .with("nomic_bert", nomic_bert::build)
            .with("olmo2", olmo2::build)
            .with("opt", opt::build)
            .with("pegasus", pegasus::build)
            .with("phi", phi::build)
            .with("phi3", phi3::build)
            .with("qwen2", qwen2::build)
            .with("qwen3", qwen3::build)
            .with("qwen3_moe", qwen3_moe::build)
            .with("roberta", roberta::build)
            .with("siglip", siglip::build_both)
            .with("siglip_text_model", siglip_text::build)
            .with("siglip_vision_model", siglip::build)
            .with("smollm3", smollm3::build)
            .with("starcoder2", starcoder2::build)
            .with("t5", t5::build)
            .with("vit", vit::build)
            .with("wav2vec2", sound::wav2vec2::build)
            .with("whisper", whisper::build)
            .with("xlm-roberta", roberta::build)
    }

    /// A list without families, for hosts that accept only their own.
    pub fn none() -> Self {
        Self {
            builders: BTreeMap::new(),
        }
    }

    /// The same list and one family more. A family of the same name is replaced.
    ///
    /// `build` is given the configuration, the name the model is to have in its [`ModelInfo`], and the weights. It
    /// must ask for the same tensors whatever the weights are: fresh ones and the shapes of a file take the same way.
    pub fn with(
        mut self,
        model_type: impl Into<Cow<'static, str>>,
        build: impl Fn(&Config, &str, &Weights) -> Result<Box<dyn Network>> + Send + Sync + 'static,
    ) -> Self {
        self.builders.insert(model_type.into(), Arc::new(build));
        self
    }

    /// The values of `model_type` in the list, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.builders.keys().map(|name| &**name)
    }

    /// Builds the model that the text of a `config.json` describes.
    ///
    /// # Errors
    /// [`Error::Json`], and as [`Model::load`].
    pub fn model(&self, name: &str, config_json: &str, weights: &Weights, gradients: Gradients) -> Result<Model> {
        let config = Config::parse(config_json.as_bytes(), CONFIG.as_ref())?;
        Model::new(self.build(&config, name, weights)?, weights.device(), gradients)
            .with_notes(weights.notes())
            .configured(&config)
    }

    /// Builds the network of the family that the configuration names.
    pub(crate) fn build(&self, config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
        refuse_quantized(config)?;
        let supported = || self.names().collect::<Vec<_>>().join(", ");
        let Some(family) = config.text("model_type")? else {
            return Err(config.wrong("model_type", format!("one of {}", supported())));
        };
        match self.builders.get(family) {
            Some(build) => build(config, name, weights),
            None => Err(Error::UnknownFamily {
                path: config.path().to_owned(),
                found: excerpt(family, SHORT),
                supported: supported(),
            }),
        }
    }
}

/// Refuses weights that were quantized in a way of their own: GPTQ, AWQ, bitsandbytes, FP8. Their tensors have other names
/// and shapes, which would be reported one by one.
fn refuse_quantized(config: &Config) -> Result<()> {
    let Some(quantization) = config.object("quantization_config")? else {
        return Ok(());
    };
    let flag = |key: &str| quantization.flag_or(key, false);
    let method = match quantization.text("quant_method")? {
        Some(method) => excerpt(method, SHORT),
        None if flag("load_in_8bit")? || flag("load_in_4bit")? => "bitsandbytes".to_owned(),
        None => "a method without a name".to_owned(),
    };
    // Its own experts are packed, and widened as they are read.
    if method == "mxfp4" && config.text("model_type")? == Some("gpt_oss") {
        return Ok(());
    }
    Err(Error::Unsupported {
        path: config.path().to_owned(),
        key: "quantization_config".to_owned(),
        found: method,
        supported: "f32, f16, bf16, or GGUF: take the model as it was before, or a GGUF file of it".to_owned(),
    })
}

impl Default for Families {
    fn default() -> Self {
        Self::builtin()
    }
}

impl fmt::Debug for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
