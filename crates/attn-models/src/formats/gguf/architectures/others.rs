//! Families whose tensors have names of their own.

use super::{
    Architecture, LLAMA_OPTIONS, Options,
    Order::{Behind, Grouped, Joint, Same, Transposed},
    llama::LLAMA,
};

pub(super) const GPT_2: Architecture = Architecture {
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
};

pub(super) const GPT_NEOX: Architecture = Architecture {
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
};

pub(super) const BLOOM: Architecture = Architecture {
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
};

pub(super) const FALCON: Architecture = Architecture {
    name: "falcon",
    family: "falcon",
    class: "FalconForCausalLM",
    outside: &[
        ("token_embd", "transformer.word_embeddings", Same),
        ("output_norm", "transformer.ln_f", Same),
        ("output", "lm_head", Same),
    ],
    layers: "transformer.h",
    inside: &[
        ("attn_norm", "input_layernorm", Same),
        ("attn_qkv", "self_attention.query_key_value", Grouped),
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
};

/// Falcon with a norm before each of attention and MLP, the first of which stands second in the file.
pub(super) const FALCON_TWO_NORMS: Architecture = Architecture {
    inside: &[
        ("attn_norm", "ln_mlp", Same),
        ("attn_norm_2", "ln_attn", Same),
        ("attn_qkv", "self_attention.query_key_value", Grouped),
        ("attn_output", "self_attention.dense", Same),
        ("ffn_up", "mlp.dense_h_to_4h", Same),
        ("ffn_down", "mlp.dense_4h_to_h", Same),
    ],
    ..FALCON
};

pub(super) const MPT: Architecture = Architecture {
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
};

pub(super) const BERT: Architecture = Architecture {
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
};

/// RoBERTa and XLM-RoBERTa, which go by BERT's name there.
pub(super) const ROBERTA: Architecture = Architecture {
    family: "roberta",
    class: "RobertaModel",
    outside: &[
        ("token_embd", "roberta.embeddings.word_embeddings", Same),
        ("token_types", "roberta.embeddings.token_type_embeddings", Same),
        ("position_embd", "roberta.embeddings.position_embeddings", Behind),
        ("token_embd_norm", "roberta.embeddings.LayerNorm", Same),
    ],
    layers: "roberta.encoder.layer",
    ..BERT
};

pub(super) const NOMIC_BERT: Architecture = Architecture {
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

pub(super) const T5: Architecture = Architecture {
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
pub(super) const T5_GATED: Architecture = Architecture {
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
