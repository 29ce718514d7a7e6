//! The kinds of models in GGUF files: llama.cpp's names of their tensors and options, and those of the hub.
//!
//! Names: `gguf-py/gguf/tensor_mapping.py`, orders: `convert_hf_to_gguf.py` of <https://github.com/ggml-org/llama.cpp>.

mod llama;
mod others;

use self::{
    llama::{
        COMMAND_R, GEMMA_1, GEMMA_2, GEMMA_3, GPT_OSS, GRANITE, LLAMA, MISTRAL, MIXTRAL, OLMO_2, PHI_2, PHI_3, QWEN2,
        QWEN3, QWEN3_MOE, SMOLLM_3, STARCODER_2,
    },
    others::{BERT, BLOOM, FALCON, FALCON_TWO_NORMS, GPT_2, GPT_NEOX, MPT, NOMIC_BERT, ROBERTA, T5, T5_GATED},
};
use super::header::Header;

/// Tensors: the name in the file and on the hub, and the order in which they are stored.
type Names = &'static [(&'static str, &'static str, Order)];

/// A kind of model.
#[derive(Debug)]
pub(super) struct Architecture {
    /// llama.cpp's name, with which its keys begin.
    pub(super) name: &'static str,
    /// `model_type` and class on the hub.
    pub(super) family: &'static str,
    pub(super) class: &'static str,
    /// Tensors outside layers, without `.weight` or `.bias`.
    pub(super) outside: Names,
    /// What stands before the number of a layer in the file, and on the hub.
    pub(super) blocks: &'static str,
    pub(super) layers: &'static str,
    /// Tensors of a layer.
    pub(super) inside: Names,
    /// The same three of a second stack.
    pub(super) second: Option<(&'static str, &'static str, Names)>,
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
    /// The width of a window, where all or some layers may have one.
    pub(super) window: &'static str,
    /// Sizes and numbers that other architectures do not have: the key, and the name on the hub.
    pub(super) sizes: &'static [(&'static str, &'static str)],
    pub(super) numbers: &'static [(&'static str, &'static str)],
}

/// How the rows or columns of a stored matrix differ from the hub's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Same,
    /// Weights of norms that multiply by one plus them, to which the one has been added.
    AboutOne,
    /// The matrices of all experts, one behind the other; `{}` in the name on the hub is the number of the expert.
    Experts,
    /// Rows and columns change places: GPT-2 multiplies from the other side.
    Transposed,
    /// Within each head (of queries or of keys), the two of a rotated pair lie beside each other instead of half a head
    /// apart.
    Queries,
    Keys,
    /// All queries, keys, values one after another instead of head by head.
    Joint,
    /// The same, where on the hub each head of keys and its values stand behind the heads of queries that read them.
    Grouped,
    /// A table of positions, which on the hub begins with rows for the ids up to that of padding.
    Behind,
    /// A parameter of a module itself, whose name on the hub does not end in `.weight`.
    Bare,
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
    window: "",
    sizes: &[],
    numbers: &[],
};

/// The architectures of families that this crate has.
const ARCHITECTURES: &[Architecture] = &[
    LLAMA,
    QWEN2,
    QWEN3,
    QWEN3_MOE,
    GEMMA_1,
    GEMMA_2,
    GEMMA_3,
    PHI_3,
    PHI_2,
    OLMO_2,
    STARCODER_2,
    GRANITE,
    SMOLLM_3,
    COMMAND_R,
    GPT_OSS,
    GPT_2,
    GPT_NEOX,
    BLOOM,
    FALCON,
    MPT,
    BERT,
    NOMIC_BERT,
    T5,
];

impl Architecture {
    /// The architecture that a file names; of some also by what it has.
    pub(super) fn find(name: &str, header: &Header) -> Option<&'static Self> {
        let positive = |key: &str| header.integer(key).is_some_and(|number| number > 0);
        match name {
            "llama" if positive("llama.expert_count") => Some(&MIXTRAL),
            "llama" if positive("llama.attention.sliding_window") => Some(&MISTRAL),
            "t5" if header.tensors.contains_key("enc.blk.0.ffn_gate.weight") => Some(&T5_GATED),
            "falcon" if header.tensors.contains_key("blk.0.attn_norm_2.weight") => Some(&FALCON_TWO_NORMS),
            // RoBERTa and XLM-RoBERTa are told from BERT by their vocabularies.
            "bert" if matches!(header.text("tokenizer.ggml.model"), Some("gpt2" | "t5")) => Some(&ROBERTA),
            _ => ARCHITECTURES.iter().find(|architecture| architecture.name == name),
        }
    }

    pub(super) fn names() -> String {
        let names: Vec<_> = ARCHITECTURES.iter().map(|architecture| architecture.name).collect();
        names.join(", ")
    }
}
