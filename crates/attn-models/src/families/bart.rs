//! BART and its kin: encoder-decoders of text with absolute positions.
//!
//! Lewis et al. 2020, <https://arxiv.org/abs/1910.13461>; mBART: Liu et al. 2020, <https://arxiv.org/abs/2001.08210>;
//! Marian: Junczys-Dowmunt et al. 2018, <https://arxiv.org/abs/1804.00344>; M2M100: Fan et al. 2020,
//! <https://arxiv.org/abs/2010.11125>; Pegasus: Zhang et al. 2020, <https://arxiv.org/abs/1912.08777>. They are one
//! network (the transformer of Vaswani et al. 2017) with a few options:
//!
//! | `model_type` | norms | positions | norm of embeddings | checkpoints |
//! |---|---|---|---|---|
//! | `bart` | after each sublayer | learned, from row 2 | yes | facebook/bart-base, bart-large-cnn |
//! | `mbart` | before | learned, from row 2 | yes | facebook/mbart-large-50-many-to-many-mmt |
//! | `marian` | after | sinusoids | no | Helsinki-NLP/opus-mt-en-de and siblings |
//! | `m2m_100` | before | sinusoids that skip padding, from row 2 | no | facebook/m2m100_418M, nllb-200-distilled-600M |
//! | `pegasus` | before | sinusoids | no | google/pegasus-xsum |

use attn_core::{Attention, AttentionInfo, LayerAttention, Mask, ModelInfo, Positions, Side};
use candle_core::{Device, Tensor};

use super::Network;
use crate::{
    Inputs, Output, Result, Site, Weights,
    blocks::{
        Activation, Embedding, Linear, Mlp, MultiHead, Norm, Pass, Projection, Shape, Wavelengths, additive_mask,
        sinusoids,
    },
    config::Config,
    inputs::{self, Tokens},
};

/// The epsilon of every norm: these configurations have no option for it.
const EPSILON: f64 = 1e-5;

/// Fixed positions beyond this many numbers (256 MiB) come from a corrupt configuration.
const LARGEST_TABLE: usize = 1 << 26;

/// What tells the families apart.
struct Variant {
    /// Norms before each sublayer and one at the end, instead of after each sublayer.
    pre_norm: bool,
    /// A norm of the sum of words and positions.
    embedding_norm: bool,
    /// Fixed positions; learned ones without.
    sinusoids: Option<Wavelengths>,
    /// Row of the table that holds position 0.
    first_row: usize,
    /// Positions count real tokens only, and padding has none.
    skips_padding: bool,
    /// Whether logits have a bias.
    logits_bias: bool,
    /// Whether word embeddings are scaled unless the configuration says otherwise.
    scaled: bool,
}

impl Variant {
    fn of(family: &str) -> Self {
        let marian = Self {
            pre_norm: false,
            embedding_norm: false,
            sinusoids: Some(Wavelengths::Paper),
            first_row: 0,
            skips_padding: false,
            logits_bias: true,
            scaled: false,
        };
        let bart = Self {
            embedding_norm: true,
            sinusoids: None,
            first_row: 2,
            ..marian
        };
        match family {
            "marian" => marian,
            "pegasus" => Self {
                pre_norm: true,
                ..marian
            },
            "mbart" => Self { pre_norm: true, ..bart },
            "m2m_100" => Self {
                pre_norm: true,
                sinusoids: Some(Wavelengths::Closed),
                first_row: 2,
                skips_padding: true,
                logits_bias: false,
                scaled: true,
                ..marian
            },
            _ => bart,
        }
    }
}

struct Bart {
    info: ModelInfo,
    device: Device,
    variant: Variant,
    padding_id: u32,
    encoder: Stack,
    decoder: Stack,
    head: Option<Linear>,
}

/// The encoder or the decoder.
struct Stack {
    side: Side,
    words: Embedding,
    /// Factor on word embeddings.
    scale: f64,
    positions: Embedding,
    embedding_norm: Option<Norm>,
    layers: Vec<Layer>,
    final_norm: Option<Norm>,
}

struct Layer {
    attention: MultiHead,
    attention_norm: Norm,
    /// The decoder's attention to the encoder.
    cross: Option<(MultiHead, Norm)>,
    mlp: Mlp,
    mlp_norm: Norm,
}

/// The sizes of one stack as the configuration names them.
struct Sizes {
    layers: usize,
    heads: usize,
    inner: usize,
}

impl Sizes {
    fn read(config: &Config, side: &str, layers: usize, heads: usize, inner: usize) -> Result<Self> {
        Ok(Self {
            layers: config.size_or(&format!("{side}_layers"), layers)?,
            heads: config.size_or(&format!("{side}_attention_heads"), heads)?,
            inner: config.size_or(&format!("{side}_ffn_dim"), inner)?,
        })
    }
}

pub(super) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let family = config.text("model_type")?.unwrap_or("bart").to_owned();
    let variant = Variant::of(&family);
    let hidden = config.size_or("d_model", 1024)?;
    let vocab_size = config.size("vocab_size")?;
    let max_tokens = config.size_or("max_position_embeddings", 1024)?;
    let activation = Activation::read(config, "activation_function", Activation::Gelu)?;
    let scaled = config.flag_or("scale_embedding", variant.scaled)?;
    let tied = config.flag_or("tie_word_embeddings", true)?;
    let one_vocabulary = config.flag_or("share_encoder_decoder_embeddings", true)?;
    let target_size = match one_vocabulary {
        true => vocab_size,
        false => config.size_or("decoder_vocab_size", vocab_size)?,
    };
    if variant.sinusoids.is_some() && max_tokens.saturating_mul(hidden) > LARGEST_TABLE {
        let most = LARGEST_TABLE / hidden;
        return Err(config.wrong(
            "max_position_embeddings",
            format!("at most {most} for `d_model` = {hidden}"),
        ));
    }
    let padding_id = config.id("pad_token_id")?.unwrap_or(1);

    let root = weights.below("model");
    let shared = root.at("shared");
    let stack = |side: Side, short: &str, words: Embedding, sizes: &Sizes| -> Result<Stack> {
        let weights = root.at(short);
        let rows = max_tokens + variant.first_row;
        let table = weights.at("embed_positions");
        let positions = match variant.sinusoids {
            // Some converted checkpoints bring a table of their own instead of the family's.
            Some(wavelengths) if !table.stores("weight") => {
                Embedding::from_table(sinusoids(wavelengths, rows, hidden, weights.device())?)
            }
            _ => Embedding::load(&table, rows, hidden)?,
        };
        let norm = |name: &str, wanted: bool| match wanted {
            true => Norm::layer(&weights.at(name), hidden, EPSILON).map(Some),
            false => Ok(None),
        };
        Ok(Stack {
            side,
            words,
            scale: if scaled { (hidden as f64).sqrt() } else { 1.0 },
            positions,
            embedding_norm: norm("layernorm_embedding", variant.embedding_norm)?,
            layers: (0..sizes.layers)
                .map(|layer| {
                    let weights = weights.at(format_args!("layers.{layer}"));
                    let head_dim =
                        config.divide("d_model", hidden, &format!("{short}_attention_heads"), sizes.heads)?;
                    read_layer(&weights, side, layer, hidden, head_dim, sizes, activation)
                })
                .collect::<Result<_>>()?,
            final_norm: norm("layer_norm", variant.pre_norm)?,
        })
    };
    // One table for both stacks, unless the checkpoint keeps one for each.
    let words = |short: &str, rows: usize| {
        let own = root.at(format_args!("{short}.embed_tokens"));
        if !one_vocabulary || (!tied && own.stores("weight")) {
            Embedding::load(&own, rows, hidden)
        } else {
            Embedding::load(&shared, rows, hidden)
        }
    };
    let of_encoder = Sizes::read(config, "encoder", 12, 16, 4096)?;
    let of_decoder = Sizes::read(config, "decoder", 12, 16, 4096)?;
    let encoder = stack(Side::Encoder, "encoder", words("encoder", vocab_size)?, &of_encoder)?;
    let decoder = stack(Side::Decoder, "decoder", words("decoder", target_size)?, &of_decoder)?;

    let generates = config
        .architecture()
        .is_some_and(|name| name.ends_with("ForConditionalGeneration") || name == "MarianMTModel");
    let head = if generates {
        let head = if tied {
            Linear::tied(decoder.words.table(), None)?
        } else {
            Linear::load(&weights.at("lm_head"), hidden, target_size, false)?
        };
        let bias = match variant.logits_bias && weights.has("final_logits_bias") {
            true => Some(weights.get("final_logits_bias", [1, target_size])?.squeeze(0)?),
            false => None,
        };
        Some(head.biased(bias))
    } else {
        None
    };
    let attention = |attention: Attention, sizes: &Sizes, mask: Mask| AttentionInfo {
        attention,
        heads: sizes.heads,
        kv_heads: sizes.heads,
        head_dim: hidden / sizes.heads,
        layers: vec![
            LayerAttention {
                scale: (1.0 / ((hidden / sizes.heads) as f64).sqrt()) as f32,
                mask
            };
            sizes.layers
        ],
        relative_bias: None,
    };
    Ok(Box::new(Bart {
        info: ModelInfo {
            name: name.to_owned(),
            hidden_size: hidden,
            // Of two vocabularies (Marian) the one that is predicted; inputs are checked against the table that reads them.
            vocab_size: Some(target_size),
            max_tokens: Some(max_tokens),
            positions: match variant.sinusoids {
                Some(_) => Positions::Sinusoidal,
                None => Positions::Learned,
            },
            attentions: vec![
                attention(Attention::EncoderSelf, &of_encoder, Mask::Full),
                attention(Attention::DecoderSelf, &of_decoder, Mask::Causal),
                attention(Attention::Cross, &of_decoder, Mask::Full),
            ],
            family,
        },
        device: weights.device().clone(),
        variant,
        padding_id,
        encoder,
        decoder,
        head,
    }))
}

fn read_layer(
    weights: &Weights,
    side: Side,
    layer: usize,
    hidden: usize,
    head_dim: usize,
    sizes: &Sizes,
    activation: Activation,
) -> Result<Layer> {
    let linear = |name: &str, inputs, outputs| Linear::load(&weights.at(name), inputs, outputs, true);
    let norm = |name: &str| Norm::layer(&weights.at(name), hidden, EPSILON);
    let attention = |attention: Attention, name: &str| -> Result<MultiHead> {
        let map = |part: &str| linear(&format!("{name}.{part}"), hidden, hidden);
        Ok(MultiHead {
            attention,
            layer,
            shape: Shape {
                heads: sizes.heads,
                kv_heads: sizes.heads,
                head_dim,
            },
            scale: 1.0 / (head_dim as f64).sqrt(),
            projection: Projection::Separate {
                query: map("q_proj")?,
                key: map("k_proj")?,
                value: map("v_proj")?,
            },
            norms: None,
            output: map("out_proj")?,
        })
    };
    let (own, cross) = match side {
        Side::Encoder => (Attention::EncoderSelf, None),
        Side::Decoder => (
            Attention::DecoderSelf,
            Some((
                attention(Attention::Cross, "encoder_attn")?,
                norm("encoder_attn_layer_norm")?,
            )),
        ),
    };
    Ok(Layer {
        attention: attention(own, "self_attn")?,
        attention_norm: norm("self_attn_layer_norm")?,
        cross,
        mlp: Mlp {
            up: linear("fc1", hidden, sizes.inner)?,
            gate: None,
            down: linear("fc2", sizes.inner, hidden)?,
            activation,
        },
        mlp_norm: norm("final_layer_norm")?,
    })
}

impl Network for Bart {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn forward(&self, inputs: &Inputs, pass: &mut Pass<'_>) -> Result<Output> {
        let (source, target) = inputs::source_and_target(
            inputs,
            [&self.encoder.words, &self.decoder.words],
            self.info.max_tokens,
            &self.device,
        )?;
        let encoded = pass.encoded(|pass| {
            let tokens = source.tokens;
            let mask = additive_mask(Mask::Full, source.padding.as_ref(), tokens, tokens, &self.device)?;
            self.run(&self.encoder, &source, 0, mask.as_ref(), None, pass)
        })?;
        let past = pass.past();
        let new = target.tokens - past;
        let causal = additive_mask(Mask::Causal, target.padding.as_ref(), new, target.tokens, &self.device)?;
        let to_source = inputs::source_mask(&source, new, &self.device)?;
        let seen = Some((&encoded, to_source.as_ref()));
        let x = self.run(&self.decoder, &target, past, causal.as_ref(), seen, pass)?;
        Ok(Output {
            logits: self.logits(&x, pass)?,
            last_hidden: x,
            pooled: None,
        })
    }

    fn caches(&self) -> bool {
        true
    }

    fn predict(&self, hidden: &Tensor, layer: usize, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        match &self.decoder.final_norm {
            // The last state has passed the final norm.
            Some(norm) if layer < self.decoder.layers.len() => self.logits(&norm.forward(hidden, pass)?, pass),
            _ => self.logits(hidden, pass),
        }
    }

    fn attention_block(&self, attention: Attention, layer: usize) -> Option<&MultiHead> {
        let stack = match attention.query_side() {
            Side::Encoder => &self.encoder,
            Side::Decoder => &self.decoder,
        };
        let block = stack.layers.get(layer)?;
        match attention {
            Attention::Cross => block.cross.as_ref().map(|(cross, _)| cross),
            Attention::EncoderSelf | Attention::DecoderSelf => Some(&block.attention),
        }
    }
}

impl Bart {
    /// From the decoder's last state `[batch, tokens, hidden]`.
    fn logits(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        self.head.as_ref().map(|head| head.forward(x, pass)).transpose()
    }

    /// Runs the tokens of a stack from number `past` on. `source` is what the decoder's cross-attention reads, and the
    /// mask that goes with it.
    fn run(
        &self,
        stack: &Stack,
        tokens: &Tokens,
        past: usize,
        mask: Option<&Tensor>,
        source: Option<(&Tensor, Option<&Tensor>)>,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor> {
        let side = stack.side;
        let new = tokens.tokens - past;
        let words = (stack.words.forward(&tokens.ids.narrow(1, past, new)?)? * stack.scale)?;
        let words = pass.tap(Site::embedding(side), words)?;
        let positions = pass.tap(Site::positions(side), self.positions(stack, tokens, past)?)?;
        let mut x = words.broadcast_add(&positions)?;
        if let Some(norm) = &stack.embedding_norm {
            x = norm.forward(&x, pass)?;
        }
        let pre = self.variant.pre_norm;
        for (layer, block) in stack.layers.iter().enumerate() {
            x = pass.tap(Site::hidden(side, layer), x)?;
            x = sublayer(pre, &block.attention_norm, x, pass, |x, pass| {
                block.attention.forward(x, x, mask, None, pass)
            })?;
            if let (Some((cross, norm)), Some((encoded, to_source))) = (&block.cross, source) {
                x = sublayer(pre, norm, x, pass, |x, pass| {
                    cross.forward(x, encoded, to_source, None, pass)
                })?;
            }
            x = sublayer(pre, &block.mlp_norm, x, pass, |x, pass| {
                let inner = block.mlp.forward(x, pass)?;
                pass.tap(Site::mlp(side, layer), inner)
            })?;
        }
        if let Some(norm) = &stack.final_norm {
            x = norm.forward(&x, pass)?;
        }
        pass.tap(Site::hidden(side, stack.layers.len()), x)
    }

    /// Position vectors of the tokens from number `past` on: `[batch or 1, tokens, hidden]`.
    fn positions(&self, stack: &Stack, tokens: &Tokens, past: usize) -> Result<Tensor> {
        let first = self.variant.first_row;
        if !self.variant.skips_padding {
            let rows: Vec<u32> = (first..first + tokens.tokens)
                .skip(past)
                .filter_map(|row| u32::try_from(row).ok())
                .collect();
            return stack.positions.forward(&Tensor::new(vec![rows], &self.device)?);
        }
        // Real tokens count on from the first row. Padding is known by its id, not by the mask, as in the reference.
        let (mut rows, mut real) = (Vec::new(), Vec::new());
        for ids in tokens.ids.to_vec2::<u32>()? {
            let mut next = u32::try_from(first).unwrap_or_default();
            for (at, id) in ids.into_iter().enumerate() {
                let counts = id != self.padding_id;
                if at >= past {
                    rows.push(if counts { next } else { 0 });
                    real.push(if counts { 1.0_f32 } else { 0.0 });
                }
                next += u32::from(counts);
            }
        }
        let shape = (tokens.batch, tokens.tokens - past);
        let vectors = stack.positions.forward(&Tensor::from_vec(rows, shape, &self.device)?)?;
        let real = Tensor::from_vec(real, (shape.0, shape.1, 1), &self.device)?;
        Ok(vectors.broadcast_mul(&real)?)
    }
}

/// A sublayer with its residual: `x + f(norm(x))`, or `norm(x + f(x))`.
fn sublayer(
    pre: bool,
    norm: &Norm,
    x: Tensor,
    pass: &mut Pass<'_>,
    inner: impl FnOnce(&Tensor, &mut Pass<'_>) -> Result<Tensor>,
) -> Result<Tensor> {
    if pre {
        let normed = norm.forward(&x, pass)?;
        Ok((inner(&normed, pass)? + x)?)
    } else {
        let sum = (inner(&x, pass)? + &x)?;
        norm.forward(&sum, pass)
    }
}
