//! Names and orders of tensors: llama.cpp's and those of the hub.
//!
//! Names: `gguf-py/gguf/tensor_mapping.py`, orders: `convert_hf_to_gguf.py` of <https://github.com/ggml-org/llama.cpp>.

use std::{collections::BTreeMap, path::Path};

use super::header::{Header, Stored, broken};
use crate::{
    Result,
    error::{SHORT, excerpt},
    tensor_file::{Entry, View},
};

/// A kind of model.
#[derive(Debug)]
pub(super) struct Architecture {
    /// llama.cpp's name, with which its keys begin.
    pub(super) name: &'static str,
    /// `model_type` and class on the hub.
    pub(super) family: &'static str,
    pub(super) class: &'static str,
    /// Tensors outside layers, without `.weight` or `.bias`.
    outside: &'static [(&'static str, &'static str)],
    /// What stands before the number of a layer on the hub.
    layers: &'static str,
    /// Tensors of a layer, and the order in which they are stored.
    inside: &'static [(&'static str, &'static str, Order)],
    /// Options that differ from other architectures.
    pub(super) options: Options,
}

/// How the configuration of the hub calls options; what is empty is not an option there.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) hidden: &'static str,
    pub(super) layers: &'static str,
    pub(super) heads: &'static str,
    pub(super) kv_heads: &'static str,
    pub(super) inner: &'static str,
    pub(super) longest: &'static str,
    pub(super) epsilon: &'static str,
    pub(super) theta: &'static str,
    /// Whether norms have a mean and a bias.
    pub(super) layer_norms: bool,
    /// The share of a head that is rotated, where that is an option.
    pub(super) share: &'static str,
}

/// How the rows or columns of a stored matrix differ from the hub's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Same,
    /// Rows and columns change places: GPT-2 multiplies from the other side.
    Transposed,
    /// Within each head (of queries or of keys), the two of a rotated pair lie beside each other instead of half a head
    /// apart.
    Queries,
    Keys,
    /// All queries, keys, values one after another instead of head by head.
    Joint,
}

const LLAMA_OUTSIDE: &[(&str, &str)] = &[
    ("token_embd", "model.embed_tokens"),
    ("output_norm", "model.norm"),
    ("output", "lm_head"),
];

/// The layers of Llama's network, with the order of queries and keys.
macro_rules! llama_layers {
    ($queries:expr, $keys:expr) => {
        &[
            ("attn_norm", "input_layernorm", Order::Same),
            ("attn_q", "self_attn.q_proj", $queries),
            ("attn_k", "self_attn.k_proj", $keys),
            ("attn_v", "self_attn.v_proj", Order::Same),
            ("attn_output", "self_attn.o_proj", Order::Same),
            ("attn_q_norm", "self_attn.q_norm", Order::Same),
            ("attn_k_norm", "self_attn.k_norm", Order::Same),
            ("ffn_norm", "post_attention_layernorm", Order::Same),
            ("ffn_gate", "mlp.gate_proj", Order::Same),
            ("ffn_up", "mlp.up_proj", Order::Same),
            ("ffn_down", "mlp.down_proj", Order::Same),
        ]
    };
}

const LLAMA_OPTIONS: Options = Options {
    hidden: "hidden_size",
    layers: "num_hidden_layers",
    heads: "num_attention_heads",
    kv_heads: "num_key_value_heads",
    inner: "intermediate_size",
    longest: "max_position_embeddings",
    epsilon: "rms_norm_eps",
    theta: "rope_theta",
    layer_norms: false,
    share: "",
};

/// The architectures of families that this crate has.
const ARCHITECTURES: [Architecture; 5] = [
    Architecture {
        name: "llama",
        family: "llama",
        class: "LlamaForCausalLM",
        outside: LLAMA_OUTSIDE,
        layers: "model.layers",
        inside: llama_layers!(Order::Queries, Order::Keys),
        options: LLAMA_OPTIONS,
    },
    Architecture {
        name: "qwen2",
        family: "qwen2",
        class: "Qwen2ForCausalLM",
        outside: LLAMA_OUTSIDE,
        layers: "model.layers",
        inside: llama_layers!(Order::Same, Order::Same),
        options: LLAMA_OPTIONS,
    },
    Architecture {
        name: "qwen3",
        family: "qwen3",
        class: "Qwen3ForCausalLM",
        outside: LLAMA_OUTSIDE,
        layers: "model.layers",
        inside: llama_layers!(Order::Same, Order::Same),
        options: LLAMA_OPTIONS,
    },
    Architecture {
        name: "gpt2",
        family: "gpt2",
        class: "GPT2LMHeadModel",
        outside: &[
            ("token_embd", "transformer.wte"),
            ("position_embd", "transformer.wpe"),
            ("output_norm", "transformer.ln_f"),
            ("output", "lm_head"),
        ],
        layers: "transformer.h",
        inside: &[
            ("attn_norm", "ln_1", Order::Same),
            ("attn_qkv", "attn.c_attn", Order::Transposed),
            ("attn_output", "attn.c_proj", Order::Transposed),
            ("ffn_norm", "ln_2", Order::Same),
            ("ffn_up", "mlp.c_fc", Order::Transposed),
            ("ffn_down", "mlp.c_proj", Order::Transposed),
        ],
        options: Options {
            hidden: "n_embd",
            layers: "n_layer",
            heads: "n_head",
            kv_heads: "",
            inner: "n_inner",
            longest: "n_positions",
            epsilon: "layer_norm_epsilon",
            theta: "",
            layer_norms: true,
            share: "",
        },
    },
    Architecture {
        name: "gptneox",
        family: "gpt_neox",
        class: "GPTNeoXForCausalLM",
        outside: &[
            ("token_embd", "gpt_neox.embed_in"),
            ("output_norm", "gpt_neox.final_layer_norm"),
            ("output", "embed_out"),
        ],
        layers: "gpt_neox.layers",
        inside: &[
            ("attn_norm", "input_layernorm", Order::Same),
            ("attn_qkv", "attention.query_key_value", Order::Joint),
            ("attn_output", "attention.dense", Order::Same),
            ("ffn_norm", "post_attention_layernorm", Order::Same),
            ("ffn_up", "mlp.dense_h_to_4h", Order::Same),
            ("ffn_down", "mlp.dense_4h_to_h", Order::Same),
        ],
        options: Options {
            kv_heads: "",
            epsilon: "layer_norm_eps",
            theta: "rotary_emb_base",
            layer_norms: true,
            share: "rotary_pct",
            ..LLAMA_OPTIONS
        },
    },
];

impl Architecture {
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        ARCHITECTURES.iter().find(|architecture| architecture.name == name)
    }

    pub(super) fn names() -> String {
        ARCHITECTURES.map(|architecture| architecture.name).join(", ")
    }

    /// The full name of one of its keys.
    pub(super) fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }

    /// The tensors of a file under the names of the hub and in its order. A tensor without such a name keeps its own.
    pub(super) fn entries(&self, path: &Path, header: &Header) -> Result<BTreeMap<String, Entry>> {
        let heads = |key: &str| {
            header
                .integer(&self.key(key))
                .and_then(|count| usize::try_from(count).ok())
        };
        let queries = heads("attention.head_count");
        let keys = heads("attention.head_count_kv").or(queries);
        let mut entries = BTreeMap::new();
        for (name, stored) in &header.tensors {
            let (hub, order) = self.on_hub(name).unwrap_or_else(|| (name.clone(), Order::Same));
            let entry = match order {
                Order::Queries => reordered(stored, order, queries),
                Order::Keys => reordered(stored, order, keys),
                _ => reordered(stored, order, queries),
            };
            let entry = entry.ok_or_else(|| {
                let name = excerpt(name, SHORT);
                broken(
                    path,
                    format!(
                        "tensor `{name}` of shape {:?} does not fit the number of heads",
                        stored.shape
                    ),
                )
            })?;
            entries.insert(hub, entry);
        }
        Ok(entries)
    }

    fn on_hub(&self, name: &str) -> Option<(String, Order)> {
        let (place, last) = name.rsplit_once('.')?;
        if let Some((_, hub)) = self.outside.iter().find(|(own, _)| *own == place) {
            return Some((format!("{hub}.{last}"), Order::Same));
        }
        let (layer, part) = place.strip_prefix("blk.")?.split_once('.')?;
        let (_, hub, order) = self.inside.iter().find(|(own, ..)| *own == part)?;
        Some((format!("{}.{layer}.{hub}.{last}", self.layers), *order))
    }
}

/// A stored tensor as the hub has it; `None` if its rows are not those of so many heads.
fn reordered(stored: &Stored, order: Order, heads: Option<usize>) -> Option<Entry> {
    let mut shape = stored.shape.clone();
    let &rows = shape.first().unwrap_or(&1);
    // A vector is a matrix of one column.
    let columns = shape
        .iter()
        .skip(1)
        .try_fold(1_usize, |all, &side| all.checked_mul(side))?;
    let by_head = |parts: usize| {
        let heads = heads.filter(|&heads| heads > 0)?;
        let parts = heads.checked_mul(parts)?;
        rows.is_multiple_of(parts).then_some((heads, rows / parts))
    };
    let (sides, strides) = match order {
        Order::Transposed if shape.len() == 2 => {
            shape.reverse();
            (vec![columns, rows], vec![1, columns])
        }
        Order::Same | Order::Transposed => (Vec::new(), Vec::new()),
        Order::Queries | Order::Keys => {
            let (heads, half) = by_head(2)?;
            (
                vec![heads, 2, half, columns],
                vec![2 * half * columns, columns, 2 * columns, 1],
            )
        }
        Order::Joint => {
            let (heads, width) = by_head(3)?;
            (
                vec![heads, 3, width, columns],
                vec![width * columns, heads * width * columns, columns, 1],
            )
        }
    };
    Some(Entry {
        element: stored.element,
        shape,
        start: stored.place.start,
        end: stored.place.end,
        view: (!sides.is_empty()).then_some(View { sides, strides }),
    })
}
