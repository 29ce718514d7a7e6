//! The kinds of models in GGUF files: llama.cpp's names of their tensors and options, and those of the hub.
//!
//! Names: `gguf-py/gguf/tensor_mapping.py`, orders: `convert_hf_to_gguf.py` of <https://github.com/ggml-org/llama.cpp>.

use self::Order::{AboutOne, Experts, Joint, Keys, Queries, Same, Transposed};
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
}

const LLAMA_OUTSIDE: Names = &[
    ("token_embd", "model.embed_tokens", Same),
    ("output_norm", "model.norm", Same),
    ("output", "lm_head", Same),
];

/// The tensors of Llama's attention, with the order of queries and keys and that of norms, and others after them.
macro_rules! llama_layers {
    ($queries:expr, $keys:expr, $norms:expr, $($other:expr),* $(,)?) => {
        &[
            ("attn_norm", "input_layernorm", $norms),
            ("attn_q", "self_attn.q_proj", $queries),
            ("attn_k", "self_attn.k_proj", $keys),
            ("attn_v", "self_attn.v_proj", Same),
            ("attn_output", "self_attn.o_proj", Same),
            ("attn_q_norm", "self_attn.q_norm", $norms),
            ("attn_k_norm", "self_attn.k_norm", $norms),
            $($other),*
        ]
    };
}

/// The same with Llama's MLP.
macro_rules! gated_layers {
    ($queries:expr, $keys:expr, $norms:expr, $($other:expr),* $(,)?) => {
        llama_layers!(
            $queries,
            $keys,
            $norms,
            ("ffn_gate", "mlp.gate_proj", Same),
            ("ffn_up", "mlp.up_proj", Same),
            ("ffn_down", "mlp.down_proj", Same),
            $($other),*
        )
    };
}

/// Rotated pairs beside each other, half a head apart, and with norms about one.
const ROTATED: Names = gated_layers!(Queries, Keys, Same, ("ffn_norm", "post_attention_layernorm", Same));
const PLAIN: Names = gated_layers!(Same, Same, Same, ("ffn_norm", "post_attention_layernorm", Same));
const GEMMA: Names = gated_layers!(Same, Same, AboutOne, ("ffn_norm", "post_attention_layernorm", AboutOne));
const GEMMA_AROUND: Names = gated_layers!(
    Same,
    Same,
    AboutOne,
    ("post_attention_norm", "post_attention_layernorm", AboutOne),
    ("ffn_norm", "pre_feedforward_layernorm", AboutOne),
    ("post_ffw_norm", "post_feedforward_layernorm", AboutOne),
);
const GEMMA_OUTSIDE: Names = &[
    ("token_embd", "model.embed_tokens", Same),
    ("output_norm", "model.norm", AboutOne),
];

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

const LLAMA: Architecture = Architecture {
    name: "llama",
    family: "llama",
    class: "LlamaForCausalLM",
    outside: LLAMA_OUTSIDE,
    blocks: "blk",
    layers: "model.layers",
    inside: ROTATED,
    second: None,
    options: LLAMA_OPTIONS,
};

/// llama.cpp's Llama with experts.
const MIXTRAL: Architecture = Architecture {
    family: "mixtral",
    class: "MixtralForCausalLM",
    inside: llama_layers!(
        Queries,
        Keys,
        Same,
        ("ffn_norm", "post_attention_layernorm", Same),
        ("ffn_gate_inp", "block_sparse_moe.gate", Same),
        ("ffn_gate_exps", "block_sparse_moe.experts.{}.w1", Experts),
        ("ffn_down_exps", "block_sparse_moe.experts.{}.w2", Experts),
        ("ffn_up_exps", "block_sparse_moe.experts.{}.w3", Experts),
    ),
    options: Options {
        window: "sliding_window",
        sizes: &[
            ("expert_count", "num_local_experts"),
            ("expert_used_count", "num_experts_per_tok"),
        ],
        ..LLAMA_OPTIONS
    },
    ..LLAMA
};

/// llama.cpp's Llama with a window.
const MISTRAL: Architecture = Architecture {
    family: "mistral",
    class: "MistralForCausalLM",
    options: Options {
        window: "sliding_window",
        ..LLAMA_OPTIONS
    },
    ..LLAMA
};

/// The attention and the MLP of T5's encoder.
macro_rules! t5_encoder {
    ($($mlp:expr),* $(,)?) => {
        &[
            ("attn_rel_b", "layer.0.SelfAttention.relative_attention_bias", Same),
            ("attn_norm", "layer.0.layer_norm", Same),
            ("attn_q", "layer.0.SelfAttention.q", Same),
            ("attn_k", "layer.0.SelfAttention.k", Same),
            ("attn_v", "layer.0.SelfAttention.v", Same),
            ("attn_o", "layer.0.SelfAttention.o", Same),
            ("ffn_norm", "layer.1.layer_norm", Same),
            ("ffn_down", "layer.1.DenseReluDense.wo", Same),
            $($mlp),*
        ]
    };
}

/// The same of its decoder, with what reads the encoder.
macro_rules! t5_decoder {
    ($($mlp:expr),* $(,)?) => {
        &[
            ("attn_rel_b", "layer.0.SelfAttention.relative_attention_bias", Same),
            ("attn_norm", "layer.0.layer_norm", Same),
            ("attn_q", "layer.0.SelfAttention.q", Same),
            ("attn_k", "layer.0.SelfAttention.k", Same),
            ("attn_v", "layer.0.SelfAttention.v", Same),
            ("attn_o", "layer.0.SelfAttention.o", Same),
            ("cross_attn_norm", "layer.1.layer_norm", Same),
            ("cross_attn_q", "layer.1.EncDecAttention.q", Same),
            ("cross_attn_k", "layer.1.EncDecAttention.k", Same),
            ("cross_attn_v", "layer.1.EncDecAttention.v", Same),
            ("cross_attn_o", "layer.1.EncDecAttention.o", Same),
            ("ffn_norm", "layer.2.layer_norm", Same),
            ("ffn_down", "layer.2.DenseReluDense.wo", Same),
            $($mlp),*
        ]
    };
}

const T5: Architecture = Architecture {
    name: "t5",
    family: "t5",
    class: "T5ForConditionalGeneration",
    outside: &[
        ("token_embd", "shared", Same),
        ("enc.output_norm", "encoder.final_layer_norm", Same),
        ("dec.output_norm", "decoder.final_layer_norm", Same),
        ("output", "lm_head", Same),
    ],
    blocks: "enc.blk",
    layers: "encoder.block",
    inside: t5_encoder!(("ffn_up", "layer.1.DenseReluDense.wi", Same)),
    second: Some((
        "dec.blk",
        "decoder.block",
        t5_decoder!(("ffn_up", "layer.2.DenseReluDense.wi", Same)),
    )),
    options: Options {
        hidden: "d_model",
        layers: "num_layers",
        heads: "num_heads",
        kv_heads: "",
        inner: "d_ff",
        longest: "n_positions",
        epsilon: "layer_norm_epsilon",
        theta: "",
        sizes: &[
            ("decoder_block_count", "num_decoder_layers"),
            ("attention.key_length", "d_kv"),
            ("attention.relative_buckets_count", "relative_attention_num_buckets"),
            ("decoder_start_token_id", "decoder_start_token_id"),
        ],
        ..LLAMA_OPTIONS
    },
};

/// T5 since v1.1.
const T5_GATED: Architecture = Architecture {
    inside: t5_encoder!(
        ("ffn_gate", "layer.1.DenseReluDense.wi_0", Same),
        ("ffn_up", "layer.1.DenseReluDense.wi_1", Same),
    ),
    second: Some((
        "dec.blk",
        "decoder.block",
        t5_decoder!(
            ("ffn_gate", "layer.2.DenseReluDense.wi_0", Same),
            ("ffn_up", "layer.2.DenseReluDense.wi_1", Same),
        ),
    )),
    ..T5
};

const QWEN3: Architecture = Architecture {
    name: "qwen3",
    family: "qwen3",
    class: "Qwen3ForCausalLM",
    inside: PLAIN,
    ..LLAMA
};

/// The architectures of families that this crate has.
const ARCHITECTURES: &[Architecture] = &[
    LLAMA,
    Architecture {
        name: "qwen2",
        family: "qwen2",
        class: "Qwen2ForCausalLM",
        ..QWEN3
    },
    QWEN3,
    Architecture {
        name: "qwen3moe",
        family: "qwen3_moe",
        class: "Qwen3MoeForCausalLM",
        inside: llama_layers!(
            Same,
            Same,
            Same,
            ("ffn_norm", "post_attention_layernorm", Same),
            ("ffn_gate_inp", "mlp.gate", Same),
            ("ffn_gate_exps", "mlp.experts.{}.gate_proj", Experts),
            ("ffn_down_exps", "mlp.experts.{}.down_proj", Experts),
            ("ffn_up_exps", "mlp.experts.{}.up_proj", Experts),
        ),
        options: Options {
            sizes: &[
                ("expert_count", "num_experts"),
                ("expert_used_count", "num_experts_per_tok"),
                ("expert_feed_forward_length", "moe_intermediate_size"),
            ],
            ..LLAMA_OPTIONS
        },
        ..QWEN3
    },
    Architecture {
        name: "gemma",
        family: "gemma",
        class: "GemmaForCausalLM",
        outside: GEMMA_OUTSIDE,
        inside: GEMMA,
        ..LLAMA
    },
    Architecture {
        name: "gemma2",
        family: "gemma2",
        class: "Gemma2ForCausalLM",
        outside: GEMMA_OUTSIDE,
        inside: GEMMA_AROUND,
        options: Options {
            window: "sliding_window",
            numbers: &[
                ("attn_logit_softcapping", "attn_logit_softcapping"),
                ("final_logit_softcapping", "final_logit_softcapping"),
            ],
            ..LLAMA_OPTIONS
        },
        ..LLAMA
    },
    Architecture {
        name: "gemma3",
        family: "gemma3_text",
        class: "Gemma3ForCausalLM",
        outside: GEMMA_OUTSIDE,
        inside: GEMMA_AROUND,
        options: Options {
            window: "sliding_window",
            numbers: &[
                ("final_logit_softcapping", "final_logit_softcapping"),
                ("rope.freq_base_swa", "rope_local_base_freq"),
            ],
            ..LLAMA_OPTIONS
        },
        ..LLAMA
    },
    Architecture {
        name: "phi3",
        family: "phi3",
        class: "Phi3ForCausalLM",
        inside: &[
            ("attn_norm", "input_layernorm", Same),
            ("attn_qkv", "self_attn.qkv_proj", Same),
            ("attn_output", "self_attn.o_proj", Same),
            ("ffn_norm", "post_attention_layernorm", Same),
            ("ffn_up", "mlp.gate_up_proj", Same),
            ("ffn_down", "mlp.down_proj", Same),
        ],
        options: Options {
            share: "partial_rotary_factor",
            window: "sliding_window",
            sizes: &[(
                "rope.scaling.original_context_length",
                "original_max_position_embeddings",
            )],
            ..LLAMA_OPTIONS
        },
        ..LLAMA
    },
    Architecture {
        name: "phi2",
        family: "phi",
        class: "PhiForCausalLM",
        outside: &[
            ("token_embd", "model.embed_tokens", Same),
            ("output_norm", "model.final_layernorm", Same),
            ("output", "lm_head", Same),
        ],
        inside: &[
            ("attn_norm", "input_layernorm", Same),
            ("attn_q", "self_attn.q_proj", Same),
            ("attn_k", "self_attn.k_proj", Same),
            ("attn_v", "self_attn.v_proj", Same),
            ("attn_output", "self_attn.dense", Same),
            ("ffn_up", "mlp.fc1", Same),
            ("ffn_down", "mlp.fc2", Same),
        ],
        options: Options {
            epsilon: "layer_norm_eps",
            layer_norms: true,
            share: "partial_rotary_factor",
            ..LLAMA_OPTIONS
        },
        ..LLAMA
    },
    Architecture {
        name: "olmo2",
        family: "olmo2",
        class: "Olmo2ForCausalLM",
        inside: gated_layers!(
            Same,
            Same,
            Same,
            ("post_attention_norm", "post_attention_layernorm", Same),
            ("post_ffw_norm", "post_feedforward_layernorm", Same),
        ),
        ..LLAMA
    },
    Architecture {
        name: "starcoder2",
        family: "starcoder2",
        class: "Starcoder2ForCausalLM",
        inside: llama_layers!(
            Same,
            Same,
            Same,
            ("ffn_norm", "post_attention_layernorm", Same),
            ("ffn_up", "mlp.c_fc", Same),
            ("ffn_down", "mlp.c_proj", Same),
        ),
        options: Options {
            epsilon: "norm_epsilon",
            layer_norms: true,
            window: "sliding_window",
            ..LLAMA_OPTIONS
        },
        ..LLAMA
    },
    Architecture {
        name: "granite",
        family: "granite",
        class: "GraniteForCausalLM",
        options: Options {
            numbers: &[
                ("attention.scale", "attention_multiplier"),
                ("embedding_scale", "embedding_multiplier"),
                ("residual_scale", "residual_multiplier"),
                ("logit_scale", "logits_scaling"),
            ],
            ..LLAMA_OPTIONS
        },
        ..LLAMA
    },
    Architecture {
        name: "smollm3",
        family: "smollm3",
        class: "SmolLM3ForCausalLM",
        ..LLAMA
    },
    Architecture {
        name: "command-r",
        family: "cohere",
        class: "CohereForCausalLM",
        inside: PLAIN,
        options: Options {
            epsilon: "layer_norm_eps",
            layer_norms: true,
            numbers: &[("logit_scale", "logit_scale")],
            ..LLAMA_OPTIONS
        },
        ..LLAMA
    },
    Architecture {
        name: "gpt2",
        family: "gpt2",
        class: "GPT2LMHeadModel",
        outside: &[
            ("token_embd", "transformer.wte", Same),
            ("position_embd", "transformer.wpe", Same),
            ("output_norm", "transformer.ln_f", Same),
            ("output", "lm_head", Same),
        ],
        layers: "transformer.h",
        inside: &[
            ("attn_norm", "ln_1", Same),
            ("attn_qkv", "attn.c_attn", Transposed),
            ("attn_output", "attn.c_proj", Transposed),
            ("ffn_norm", "ln_2", Same),
            ("ffn_up", "mlp.c_fc", Transposed),
            ("ffn_down", "mlp.c_proj", Transposed),
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
            ..LLAMA_OPTIONS
        },
        ..LLAMA
    },
    Architecture {
        name: "gptneox",
        family: "gpt_neox",
        class: "GPTNeoXForCausalLM",
        outside: &[
            ("token_embd", "gpt_neox.embed_in", Same),
            ("output_norm", "gpt_neox.final_layer_norm", Same),
            ("output", "embed_out", Same),
        ],
        layers: "gpt_neox.layers",
        inside: &[
            ("attn_norm", "input_layernorm", Same),
            ("attn_qkv", "attention.query_key_value", Joint),
            ("attn_output", "attention.dense", Same),
            ("ffn_norm", "post_attention_layernorm", Same),
            ("ffn_up", "mlp.dense_h_to_4h", Same),
            ("ffn_down", "mlp.dense_4h_to_h", Same),
        ],
        options: Options {
            kv_heads: "",
            epsilon: "layer_norm_eps",
            theta: "rotary_emb_base",
            layer_norms: true,
            share: "rotary_pct",
            ..LLAMA_OPTIONS
        },
        ..LLAMA
    },
    Architecture {
        name: "bloom",
        family: "bloom",
        class: "BloomForCausalLM",
        outside: &[
            ("token_embd", "transformer.word_embeddings", Same),
            ("token_embd_norm", "transformer.word_embeddings_layernorm", Same),
            ("output_norm", "transformer.ln_f", Same),
            ("output", "lm_head", Same),
        ],
        layers: "transformer.h",
        inside: &[
            ("attn_norm", "input_layernorm", Same),
            ("attn_qkv", "self_attention.query_key_value", Joint),
            ("attn_output", "self_attention.dense", Same),
            ("ffn_norm", "post_attention_layernorm", Same),
            ("ffn_up", "mlp.dense_h_to_4h", Same),
            ("ffn_down", "mlp.dense_4h_to_h", Same),
        ],
        options: Options {
            layers: "n_layer",
            heads: "n_head",
            kv_heads: "",
            inner: "",
            longest: "",
            epsilon: "layer_norm_epsilon",
            theta: "",
            layer_norms: true,
            ..LLAMA_OPTIONS
        },
        ..LLAMA
    },
    Architecture {
        name: "falcon",
        family: "falcon",
        class: "FalconForCausalLM",
        outside: &[
            ("token_embd", "transformer.word_embeddings", Same),
            ("output_norm", "transformer.ln_f", Same),
            ("output", "lm_head", Same),
        ],
        layers: "transformer.h",
        // Its one key and value stand behind the queries in both.
        inside: &[
            ("attn_norm", "input_layernorm", Same),
            ("attn_qkv", "self_attention.query_key_value", Same),
            ("attn_output", "self_attention.dense", Same),
            ("ffn_up", "mlp.dense_h_to_4h", Same),
            ("ffn_down", "mlp.dense_4h_to_h", Same),
        ],
        options: Options {
            kv_heads: "num_kv_heads",
            inner: "ffn_hidden_size",
            epsilon: "layer_norm_epsilon",
            layer_norms: true,
            ..LLAMA_OPTIONS
        },
        ..LLAMA
    },
    Architecture {
        name: "mpt",
        family: "mpt",
        class: "MptForCausalLM",
        outside: &[
            ("token_embd", "transformer.wte", Same),
            ("output_norm", "transformer.norm_f", Same),
            ("output", "lm_head", Same),
        ],
        layers: "transformer.blocks",
        inside: &[
            ("attn_norm", "norm_1", Same),
            ("attn_qkv", "attn.Wqkv", Same),
            ("attn_output", "attn.out_proj", Same),
            ("ffn_norm", "norm_2", Same),
            ("ffn_up", "ffn.up_proj", Same),
            ("ffn_down", "ffn.down_proj", Same),
        ],
        options: Options {
            hidden: "d_model",
            layers: "n_layers",
            heads: "n_heads",
            kv_heads: "",
            inner: "",
            longest: "max_seq_len",
            epsilon: "layer_norm_epsilon",
            theta: "",
            layer_norms: true,
            ..LLAMA_OPTIONS
        },
        ..LLAMA
    },
    Architecture {
        name: "bert",
        family: "bert",
        class: "BertModel",
        outside: &[
            ("token_embd", "bert.embeddings.word_embeddings", Same),
            ("token_types", "bert.embeddings.token_type_embeddings", Same),
            ("position_embd", "bert.embeddings.position_embeddings", Same),
            ("token_embd_norm", "bert.embeddings.LayerNorm", Same),
        ],
        layers: "bert.encoder.layer",
        inside: &[
            ("attn_q", "attention.self.query", Same),
            ("attn_k", "attention.self.key", Same),
            ("attn_v", "attention.self.value", Same),
            ("attn_output", "attention.output.dense", Same),
            ("attn_output_norm", "attention.output.LayerNorm", Same),
            ("ffn_up", "intermediate.dense", Same),
            ("ffn_down", "output.dense", Same),
            ("layer_output_norm", "output.LayerNorm", Same),
        ],
        options: Options {
            kv_heads: "",
            epsilon: "layer_norm_eps",
            theta: "",
            layer_norms: true,
            ..LLAMA_OPTIONS
        },
        ..LLAMA
    },
    Architecture {
        name: "nomic-bert",
        family: "nomic_bert",
        class: "NomicBertModel",
        outside: &[
            ("token_embd", "embeddings.word_embeddings", Same),
            ("token_types", "embeddings.token_type_embeddings", Same),
            ("token_embd_norm", "emb_ln", Same),
        ],
        layers: "encoder.layers",
        inside: &[
            ("attn_qkv", "attn.Wqkv", Same),
            ("attn_output", "attn.out_proj", Same),
            ("attn_output_norm", "norm1", Same),
            ("ffn_up", "mlp.fc11", Same),
            ("ffn_gate", "mlp.fc12", Same),
            ("ffn_down", "mlp.fc2", Same),
            ("layer_output_norm", "norm2", Same),
        ],
        options: Options {
            kv_heads: "",
            epsilon: "layer_norm_eps",
            layer_norms: true,
            ..LLAMA_OPTIONS
        },
        ..LLAMA
    },
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
            _ => ARCHITECTURES.iter().find(|architecture| architecture.name == name),
        }
    }

    pub(super) fn names() -> String {
        let names: Vec<_> = ARCHITECTURES.iter().map(|architecture| architecture.name).collect();
        names.join(", ")
    }
}
