//! NomicBERT: BERT's network with rotary positions and a gated MLP, without biases in its layers.
//!
//! Nussbaum, Morris, Duderstadt and Mulyar 2024, <https://arxiv.org/abs/2402.01613>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | nomic-ai/nomic-embed-text-v1, nomic-embed-text-v1.5 | `NomicBertModel` |
//! | nomic-ai/nomic-bert-2048 | `NomicBertForPreTraining` |
//! | masked words; classifiers of texts, of tokens | `NomicBertForMaskedLM`; `NomicBertForSequenceClassification`, `NomicBertForTokenClassification` |
//!
//! Released files spell their options as GPT-2 does, newer ones as BERT does. The mixture of experts of
//! nomic-ai/nomic-embed-text-v2-moe is not implemented.

use attn_core::Attention;

use super::{Embeddings, Encoder, Head, Layer, Relative, Sizes, decoder};
use crate::{
    Result, Weights,
    blocks::{Activation, Embedding, HeadShape, Linear, Mlp, MultiHead, Norm, Qkv, Rotary, RotaryOptions, ScoreTerms},
    families::{Config, Network},
};

/// The spelling of released files, and BERT's.
const NAMES: &[(&str, &str)] = &[
    ("n_embd", "hidden_size"),
    ("n_head", "num_attention_heads"),
    ("n_layer", "num_hidden_layers"),
    ("n_inner", "intermediate_size"),
    ("n_positions", "max_position_embeddings"),
    ("layer_norm_epsilon", "layer_norm_eps"),
    ("rotary_emb_base", "rope_theta"),
];

/// Which linear maps have biases.
struct Biases {
    attention: bool,
    up: bool,
    down: bool,
    /// Those of the heads.
    head: bool,
}

/// Refuses what would make another network.
fn refuse_variants(config: &Config) -> Result<()> {
    for key in [
        "prenorm",
        "parallel_block",
        "use_rms_norm",
        "causal",
        "rotary_emb_interleaved",
    ] {
        config.refuse_flag(key)?;
    }
    for (key, neutral) in [
        ("rotary_emb_fraction", 1.0),
        ("rotary_scaling_factor", 1.0),
        ("moe_every_n_layers", 0.0),
    ] {
        if config.number_or(key, neutral)? != neutral {
            return Err(config.unsupported(key, neutral.to_string()));
        }
    }
    if !config.flag_or("scale_attn_weights", true)? {
        return Err(config.unsupported("scale_attn_weights", "true"));
    }
    match config.get("rotary_emb_scale_base") {
        None => Ok(()),
        Some(_) => Err(config.unsupported("rotary_emb_scale_base", "null")),
    }
}

/// The activation of the gate. `activation_function` names the kind of MLP, `hidden_act` the activation itself.
fn activation(config: &Config) -> Result<Activation> {
    match config.text("activation_function")? {
        None => Activation::read(config, "hidden_act", Activation::Silu),
        Some("swiglu") => Ok(Activation::Silu),
        Some("geglu") => Ok(Activation::Gelu),
        Some(_) => Err(config.unsupported("activation_function", "swiglu, geglu")),
    }
}

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    refuse_variants(config)?;
    let config = &config
        .with_names(NAMES)?
        .with_defaults(&[("vocab_size", 30528), ("max_position_embeddings", 2048)]);
    // Released models with a head have another name for the model inside.
    let root = match weights.stores_below("bert") {
        true => weights.at("bert"),
        false => weights.below("nomic_bert"),
    };
    let sizes = Sizes {
        activation: activation(config)?,
        ..Sizes::read(config, Some(&root.at("encoder.layers")))?
    };
    let Sizes { hidden, epsilon, .. } = sizes;
    let up = config.flag_or("mlp_fc1_bias", false)?;
    let biases = Biases {
        attention: config.flag_or("qkv_proj_bias", false)?,
        up,
        down: config.flag_or("mlp_fc2_bias", false)?,
        head: config.flag_or("mlp_fc1_bias", true)?,
    };
    let options = RotaryOptions {
        theta: ("rope_theta", 10_000.0),
        ..RotaryOptions::default()
    };
    let rotary = Rotary::read(config, options, sizes.head_dim, sizes.positions, weights.device())?;
    let longest = rotary.max_tokens();
    let relative = Relative::Rotary(rotary);
    let embeddings = Embeddings {
        words: Embedding::load(&root.at("embeddings.word_embeddings"), sizes.vocab_size, hidden)?,
        positions: None,
        types: match sizes.types {
            0 => None,
            types => Some(Embedding::load(
                &root.at("embeddings.token_type_embeddings"),
                types,
                hidden,
            )?),
        },
        norm: Norm::layer(&root.at("emb_ln"), hidden, epsilon)?,
        widen: None,
        padding: None,
    };
    let pooler = || Linear::load(&root.at("pooler.dense"), hidden, hidden, true);
    let mut pooled = None;
    let (head, labels) = match config.architecture() {
        Some("NomicBertForMaskedLM" | "NomicBertForPreTraining") => {
            Head::words(weights, || words(config, weights, &embeddings.words, &sizes, &biases))?
        }
        Some("NomicBertForSequenceClassification") => {
            pooled = weights.optional("pooler", pooler)?;
            let classifier = |labels| Linear::load(&weights.at("classifier"), hidden, labels, true).map(Head::Pooled);
            match pooled {
                Some(_) => Head::classifier(config, weights, classifier)?,
                // The classifier reads what the pooler makes.
                None => (Head::None, Vec::new()),
            }
        }
        Some("NomicBertForTokenClassification") => Head::tokens(config, weights, hidden)?,
        _ => {
            if root.has("pooler.dense.weight") {
                pooled = weights.optional("pooler", pooler)?;
            }
            (Head::None, Vec::new())
        }
    };
    let layer = |number: usize| {
        layer(
            &root.at(format_args!("encoder.layers.{number}")),
            number,
            &sizes,
            &biases,
        )
    };
    let layers = (0..sizes.layers).map(layer).collect::<Result<Vec<_>>>()?;
    Ok(Box::new(Encoder {
        info: relative.facts(sizes.info(name, "nomic_bert", longest, &layers)),
        device: weights.device().clone(),
        embeddings,
        relative,
        layers,
        pooler: pooled,
        head,
        labels,
        prunes: false,
    }))
}

fn words(config: &Config, weights: &Weights, table: &Embedding, sizes: &Sizes, biases: &Biases) -> Result<Head> {
    let hidden = sizes.hidden;
    let head = weights.at("cls.predictions");
    let map = head.at("decoder");
    Ok(Head::Words {
        transform: Linear::load(&head.at("transform.dense"), hidden, hidden, biases.head)?,
        activation: sizes.activation,
        norm: Norm::layer(&head.at("transform.layer_norm"), hidden, sizes.epsilon)?,
        decoder: match (biases.head, config.flag_or("tie_word_embeddings", true)?) {
            (true, _) => decoder(config, table, (&head, &map), hidden)?,
            (false, true) => Linear::tied(table.tied(), None)?,
            (false, false) => Linear::load(&map, hidden, table.size().0, false)?,
        },
    })
}

fn layer(weights: &Weights, layer: usize, sizes: &Sizes, biases: &Biases) -> Result<Layer> {
    let Sizes {
        hidden,
        inner,
        heads,
        head_dim,
        epsilon,
        activation,
        ..
    } = *sizes;
    let linear = |name: &str, inputs, outputs, bias| Linear::load(&weights.at(name), inputs, outputs, bias);
    Ok(Layer {
        attention: MultiHead {
            attention: Attention::EncoderSelf,
            layer,
            shape: HeadShape::full(heads, head_dim),
            scale: 1.0 / (head_dim as f64).sqrt(),
            qkv: Qkv::Joint(linear("attn.Wqkv", hidden, 3 * hidden, biases.attention)?),
            norms: None,
            output: linear("attn.out_proj", hidden, hidden, biases.attention)?,
            terms: ScoreTerms::default(),
        },
        attention_norm: Norm::layer(&weights.at("norm1"), hidden, epsilon)?,
        mlp: Mlp {
            up: linear("mlp.fc11", hidden, inner, biases.up)?,
            gate: Some(linear("mlp.fc12", hidden, inner, biases.up)?),
            down: linear("mlp.fc2", inner, hidden, biases.down)?,
            activation,
        },
        mlp_norm: Norm::layer(&weights.at("norm2"), hidden, epsilon)?,
        convolution: None,
    })
}
