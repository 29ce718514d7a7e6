//! Decoders whose tensors have the names of Llama's.

use super::{
    Architecture, LLAMA_OPTIONS, Names, Options,
    Order::{AboutOne, Bare, Experts, Keys, Queries, Same},
};

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

pub(super) const LLAMA: Architecture = Architecture {
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
pub(super) const MIXTRAL: Architecture = Architecture {
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
pub(super) const MISTRAL: Architecture = Architecture {
    family: "mistral",
    class: "MistralForCausalLM",
    options: Options {
        window: "sliding_window",
        ..LLAMA_OPTIONS
    },
    ..LLAMA
};

pub(super) const QWEN3: Architecture = Architecture {
    name: "qwen3",
    family: "qwen3",
    class: "Qwen3ForCausalLM",
    inside: PLAIN,
    ..LLAMA
};

pub(super) const QWEN2: Architecture = Architecture {
    name: "qwen2",
    family: "qwen2",
    class: "Qwen2ForCausalLM",
    ..QWEN3
};

pub(super) const QWEN3_MOE: Architecture = Architecture {
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
};

pub(super) const GEMMA_1: Architecture = Architecture {
    name: "gemma",
    family: "gemma",
    class: "GemmaForCausalLM",
    outside: GEMMA_OUTSIDE,
    inside: GEMMA,
    ..LLAMA
};

pub(super) const GEMMA_2: Architecture = Architecture {
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
};

pub(super) const GEMMA_3: Architecture = Architecture {
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
        sizes: &[("attention.sliding_window_pattern", "sliding_window_pattern")],
        ..LLAMA_OPTIONS
    },
    ..LLAMA
};

pub(super) const PHI_3: Architecture = Architecture {
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
};

pub(super) const PHI_2: Architecture = Architecture {
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
};

pub(super) const OLMO_2: Architecture = Architecture {
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
};

pub(super) const STARCODER_2: Architecture = Architecture {
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
};

pub(super) const GRANITE: Architecture = Architecture {
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
};

pub(super) const SMOLLM_3: Architecture = Architecture {
    name: "smollm3",
    family: "smollm3",
    class: "SmolLM3ForCausalLM",
    ..LLAMA
};

pub(super) const COMMAND_R: Architecture = Architecture {
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
};

pub(super) const GPT_OSS: Architecture = Architecture {
    name: "gpt-oss",
    family: "gpt_oss",
    class: "GptOssForCausalLM",
    inside: llama_layers!(
        Same,
        Same,
        Same,
        ("attn_sinks", "self_attn.sinks", Bare),
        ("post_attention_norm", "post_attention_layernorm", Same),
        ("ffn_gate_inp", "mlp.router", Same),
        ("ffn_gate_exps", "mlp.experts.{}.gate_proj", Experts),
        ("ffn_down_exps", "mlp.experts.{}.down_proj", Experts),
        ("ffn_up_exps", "mlp.experts.{}.up_proj", Experts),
    ),
    options: Options {
        window: "sliding_window",
        sizes: &[
            ("expert_count", "num_local_experts"),
            ("expert_used_count", "num_experts_per_tok"),
            ("expert_feed_forward_length", "intermediate_size"),
        ],
        ..LLAMA_OPTIONS
    },
    ..LLAMA
};
