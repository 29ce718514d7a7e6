//! What many decoders read alike: sizes under their common names, and tensors under those of Llama.

use attn_core::Attention;

use super::Config;
use crate::{
    Result, Weights,
    blocks::{Activation, Embedding, HeadShape, Linear, Mlp, MultiHead, Qkv, Rotary, RotaryOptions, ScoreTerms},
};

/// Sizes of a decoder, and where its tensors lie.
pub(super) struct Plan<'a> {
    pub(super) config: &'a Config,
    /// The tensors of the network without its head.
    pub(super) root: Weights,
    pub(super) hidden: usize,
    pub(super) shape: HeadShape,
    /// Layers.
    pub(super) count: usize,
    /// Width of the MLP.
    pub(super) inner: usize,
    pub(super) vocab_size: usize,
    pub(super) max_tokens: usize,
}

impl<'a> Plan<'a> {
    /// Reads the sizes. Those that the configuration leaves out are Llama's, apart from `layers`; families with others
    /// fill them in before ([`Config::with_defaults`]).
    pub(super) fn read(config: &'a Config, weights: &Weights, layers: usize) -> Result<Self> {
        let root = weights.below("model");
        let hidden = config.size_or("hidden_size", 4096)?;
        let heads = config.size_or("num_attention_heads", 32)?;
        let kv_heads = config.size_or("num_key_value_heads", heads)?;
        config.divide("num_attention_heads", heads, "num_key_value_heads", kv_heads)?;
        let head_dim = match config.optional_size("head_dim")? {
            Some(head_dim) => head_dim,
            None => config.divide("hidden_size", hidden, "num_attention_heads", heads)?,
        };
        Ok(Self {
            count: config.layers_in("num_hidden_layers", layers, &root.at("layers"))?,
            inner: config.size_or("intermediate_size", 11008)?,
            vocab_size: config.size_or("vocab_size", 32000)?,
            max_tokens: config.size_or("max_position_embeddings", 2048)?,
            shape: HeadShape {
                heads,
                kv_heads,
                head_dim,
            },
            config,
            root,
            hidden,
        })
    }

    /// The table of words.
    pub(super) fn words(&self) -> Result<Embedding> {
        Embedding::load(&self.root.at("embed_tokens"), self.vocab_size, self.hidden)
    }

    pub(super) fn rotary(&self, options: RotaryOptions) -> Result<Rotary> {
        let device = self.root.device();
        Rotary::read(self.config, options, self.shape.head_dim, self.max_tokens, device)
    }

    /// `num_experts_per_tok`, at most the number of experts that `key` gives.
    pub(super) fn chosen(&self, key: &str, experts: usize, default: usize) -> Result<usize> {
        let chosen = self.config.size_or("num_experts_per_tok", default)?;
        if chosen <= experts {
            return Ok(chosen);
        }
        let expected = format!("at most `{key}` = {experts}");
        Err(self.config.wrong("num_experts_per_tok", expected))
    }

    /// One thing for every layer, given its number and its tensors.
    pub(super) fn layers<T>(&self, layer: impl Fn(usize, &Weights) -> Result<T>) -> Result<Vec<T>> {
        let layer = |number: usize| layer(number, &self.root.at(format_args!("layers.{number}")));
        (0..self.count).map(layer).collect()
    }

    /// An attention whose maps are `q_proj`, `k_proj`, `v_proj` and, to the hidden state, `output`, below
    /// `self_attn` of a layer. The biases are those of the first three and of the last.
    pub(super) fn attention(
        &self,
        layer: usize,
        weights: &Weights,
        output: &str,
        biases: (bool, bool),
    ) -> Result<MultiHead> {
        let HeadShape {
            heads,
            kv_heads,
            head_dim,
        } = self.shape;
        let weights = weights.at("self_attn");
        let linear = |name: &str, inputs, outputs, bias| Linear::load(&weights.at(name), inputs, outputs, bias);
        let qkv = Qkv::Separate {
            query: linear("q_proj", self.hidden, heads * head_dim, biases.0)?,
            key: linear("k_proj", self.hidden, kv_heads * head_dim, biases.0)?,
            value: linear("v_proj", self.hidden, kv_heads * head_dim, biases.0)?,
        };
        Ok(self.heads(layer, qkv, linear(output, heads * head_dim, self.hidden, biases.1)?))
    }

    /// An attention of these maps, scaled as usual, without norms.
    pub(super) fn heads(&self, layer: usize, qkv: Qkv, output: Linear) -> MultiHead {
        MultiHead {
            attention: Attention::DecoderSelf,
            layer,
            shape: self.shape,
            scale: 1.0 / (self.shape.head_dim as f64).sqrt(),
            qkv,
            norms: None,
            output,
            terms: ScoreTerms::default(),
        }
    }

    /// A gated MLP whose maps are `up_proj`, `gate_proj` and `down_proj` below `weights`.
    pub(super) fn gated(&self, weights: &Weights, inner: usize, activation: Activation, bias: bool) -> Result<Mlp> {
        let linear = |name: &str, inputs, outputs| Linear::load(&weights.at(name), inputs, outputs, bias);
        Ok(Mlp {
            up: linear("up_proj", self.hidden, inner)?,
            gate: Some(linear("gate_proj", self.hidden, inner)?),
            down: linear("down_proj", inner, self.hidden)?,
            activation,
        })
    }

    /// An MLP of two maps.
    pub(super) fn plain(
        &self,
        weights: &Weights,
        (up, down): (&str, &str),
        activation: Activation,
        bias: bool,
    ) -> Result<Mlp> {
        Ok(Mlp {
            up: Linear::load(&weights.at(up), self.hidden, self.inner, bias)?,
            gate: None,
            down: Linear::load(&weights.at(down), self.inner, self.hidden, bias)?,
            activation,
        })
    }
}
