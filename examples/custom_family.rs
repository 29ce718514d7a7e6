//! A model family of a host's own: a decoder that is attention alone (Elhage et al. 2021, "A mathematical framework for
//! transformer circuits"), entered into the list of families. From there on captures, interventions and generation
//! work on it as on any other.
//!
//! ```sh
//! cargo run --release --example custom_family
//! ```

#![allow(clippy::print_stdout, reason = "a command-line program")]

use std::path::Path;

use attn_sdk::{
    core::{
        Attention, Capture, ModelInfo, Side,
        model::{Mask, Positions},
    },
    models::{
        Capturer, Checkpoint, Error, Gradients, Inputs, Result, Site, Weights,
        blocks::{Embedding, HeadShape, Linear, MultiHead, Norm, Pass, Qkv, ScoreTerms, additive_mask},
        candle::{DType, Tensor},
        families::{Config, Families, Network},
        model::Output,
    },
};

const CONFIG: &str = r#"{"model_type": "attention_only", "hidden_size": 32, "num_heads": 4, "num_layers": 2,
    "vocab_size": 6, "max_tokens": 16}"#;
const TOKENIZER: &str = r#"{"pre_tokenizer": {"type": "Whitespace"}, "model": {"type": "WordLevel", "unk_token": "?",
    "vocab": {"?": 0, "the": 1, "cat": 2, "dog": 3, "saw": 4, "a": 5}}}"#;

struct AttentionOnly {
    info: ModelInfo,
    words: Embedding,
    positions: Embedding,
    layers: Vec<(Norm, MultiHead)>,
    head: Linear,
}

/// Reads the options and the tensors. This is the function that the list of families is given.
fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let hidden = config.size("hidden_size")?;
    let heads = config.size("num_heads")?;
    let head_dim = config.divide("hidden_size", hidden, "num_heads", heads)?;
    let (vocab_size, max_tokens) = (config.size("vocab_size")?, config.size("max_tokens")?);
    let layer = |layer: usize| -> Result<(Norm, MultiHead)> {
        let weights = weights.at(format_args!("layers.{layer}"));
        let linear = |name: &str| Linear::load(&weights.at(name), hidden, hidden, false);
        let attention = MultiHead {
            attention: Attention::DecoderSelf,
            layer,
            shape: HeadShape::full(heads, head_dim),
            scale: 1.0 / (head_dim as f64).sqrt(),
            qkv: Qkv::Separate {
                query: linear("query")?,
                key: linear("key")?,
                value: linear("value")?,
            },
            norms: None,
            output: linear("output")?,
            terms: ScoreTerms::default(),
        };
        Ok((Norm::rms(&weights.at("norm"), hidden, 1e-6)?, attention))
    };
    let layers: Vec<_> = (0..config.layers_or("num_layers", 2)?)
        .map(layer)
        .collect::<Result<_>>()?;
    let attention = MultiHead::info(layers.iter().map(|(_, attention)| (attention, Mask::Causal)));
    Ok(Box::new(AttentionOnly {
        info: ModelInfo {
            name: name.to_owned(),
            family: "attention_only".to_owned(),
            hidden_size: hidden,
            vocab_size: Some(vocab_size),
            max_tokens: Some(max_tokens),
            positions: Positions::Learned,
            attentions: attention.into_iter().collect(),
        },
        words: Embedding::load(&weights.at("words"), vocab_size, hidden)?,
        positions: Embedding::load(&weights.at("positions"), max_tokens, hidden)?,
        layers,
        head: Linear::load(&weights.at("head"), hidden, vocab_size, false)?,
    }))
}

impl Network for AttentionOnly {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The blocks call the tap at queries, keys, values and attention; what lies between the blocks is tapped here.
    fn forward(&self, inputs: &Inputs, pass: &mut Pass<'_>) -> Result<Output> {
        inputs.only(&["input_ids", "attention_mask"])?;
        let device = self.words.table().device();
        let tokens = inputs.tokens(self.words.size().0, self.info.max_tokens, device)?;
        let count = tokens.tokens;
        let mask = additive_mask(Mask::Causal, tokens.padding.as_ref(), count, count, device)?;
        let words = pass.tap(Site::embedding(Side::Decoder), self.words.forward(&tokens.ids)?)?;
        let positions = Tensor::new(inputs.positions(&tokens, None)?, device)?;
        let positions = pass.tap(Site::positions(Side::Decoder), self.positions.forward(&positions)?)?;
        let mut x = words.broadcast_add(&positions)?;
        for (layer, (norm, attention)) in self.layers.iter().enumerate() {
            x = pass.tap(Site::hidden(Side::Decoder, layer), x)?;
            let normed = norm.forward(&x, pass)?;
            x = (attention.forward(&normed, &normed, mask.as_ref(), None, pass)? + x)?;
        }
        let x = pass.tap(Site::hidden(Side::Decoder, self.layers.len()), x)?;
        Ok(Output {
            logits: Some(self.head.forward(&x, pass)?),
            last_hidden: x,
            pooled: None,
        })
    }

    /// Opens the weights of heads to analysis.
    fn attention_block(&self, _: Attention, layer: usize) -> Option<&MultiHead> {
        self.layers.get(layer).map(|(_, attention)| attention)
    }
}

/// Writes a checkpoint with fresh weights, as a training would, and opens it.
pub(crate) fn checkpoint(folder: &Path) -> Result<Checkpoint> {
    let families = Families::builtin().with("attention_only", build);
    let weights = Weights::initialize(7);
    families.model("fresh", CONFIG, &weights, Gradients::On)?;
    weights.save(folder.join("model.safetensors"), DType::F32)?;
    for (name, content) in [("config.json", CONFIG), ("tokenizer.json", TOKENIZER)] {
        let path = folder.join(name);
        std::fs::write(&path, content).map_err(|error| Error::io(path, error))?;
    }
    Ok(Checkpoint::open(folder)?.with_families(families))
}

/// Captures two sentences.
pub(crate) fn capture(checkpoint: &Checkpoint) -> Result<Capture> {
    Capturer::load(checkpoint)?.capture_lines(["the cat saw a dog", "a dog saw the cat"])
}

#[allow(dead_code, reason = "the test of this example calls what it is made of")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join("attn-custom-family");
    std::fs::create_dir_all(&folder)?;
    let capture = capture(&checkpoint(&folder)?)?;
    let attention = capture.layer_attention(Attention::DecoderSelf, 1, 0)?; // [head, query, key]
    for (head, weights) in attention.outer_iter().enumerate() {
        println!("layer 1, head {head}: the last token attends to {:.2}", weights.row(4));
    }
    Ok(())
}
