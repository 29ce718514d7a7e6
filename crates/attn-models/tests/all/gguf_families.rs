//! GGUF files of more families, made of the checkpoints that the reference ran: names, orders, shifts and keys as llama.cpp's
//! converter has them.

use std::collections::BTreeMap;

use attn_models::{
    Checkpoint, Inputs, Model,
    candle::{Device, Tensor},
    record::run_raw,
};
use serde_json::{Value, json};

use crate::{
    families::agree,
    gguf::{Said, Stored, file, hub, stored},
    gguf_more::{gpt_oss_keys, gpt_oss_tensors, roberta_keys},
    gguf_texts::{t5_keys, t5_name},
    support::{difference, expected, fixture, inputs},
};

/// How the converter writes one family.
pub(crate) struct Family {
    pub(crate) fixture: &'static str,
    architecture: &'static str,
    /// Keys, and the options of `config.json` that they hold.
    keys: &'static [(&'static str, &'static str)],
    /// Keys of fixed values.
    more: &'static [(&'static str, f64)],
    outside: &'static [(&'static str, &'static str)],
    inside: &'static [(&'static str, &'static str)],
    /// What is done to a tensor of the file's name.
    change: fn(&str, &Tensor) -> Tensor,
}

const SIZES: [(&str, &str); 6] = [
    ("context_length", "max_position_embeddings"),
    ("embedding_length", "hidden_size"),
    ("block_count", "num_hidden_layers"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
];
const RMS: (&str, &str) = ("attention.layer_norm_rms_epsilon", "rms_norm_eps");
const BASE: (&str, &str) = ("rope.freq_base", "rope_theta");
const WINDOW: (&str, &str) = ("attention.sliding_window", "sliding_window");
const KEY_LENGTH: (&str, &str) = ("attention.key_length", "head_dim");
const VALUE_LENGTH: (&str, &str) = ("attention.value_length", "head_dim");

const OUTSIDE: [(&str, &str); 3] = [
    ("model.embed_tokens", "token_embd"),
    ("model.norm", "output_norm"),
    ("lm_head", "output"),
];
const ATTENTION: [(&str, &str); 7] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
];
const GATED: [(&str, &str); 3] = [
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];
const NORM: (&str, &str) = ("post_attention_layernorm", "ffn_norm");
const AROUND: [(&str, &str); 3] = [
    ("post_attention_layernorm", "post_attention_norm"),
    ("pre_feedforward_layernorm", "ffn_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
];
const BLOOM_LIKE: [(&str, &str); 6] = [
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attention.query_key_value", "attn_qkv"),
    ("self_attention.dense", "attn_output"),
    ("mlp.dense_h_to_4h", "ffn_up"),
    ("mlp.dense_4h_to_h", "ffn_down"),
];
const BLOOM_OUTSIDE: [(&str, &str); 4] = [
    ("transformer.word_embeddings", "token_embd"),
    ("transformer.word_embeddings_layernorm", "token_embd_norm"),
    ("transformer.ln_f", "output_norm"),
    ("lm_head", "output"),
];

/// Joins tables.
macro_rules! all {
    ($($table:expr),* $(,)?) => {{
        const COUNT: usize = 0 $(+ $table.len())*;
        const ALL: [(&str, &str); COUNT] = {
            let mut all = [("", ""); COUNT];
            let mut at = 0;
            $({
                let table = $table;
                let mut from = 0;
                while from < table.len() {
                    all[at] = table[from];
                    (at, from) = (at + 1, from + 1);
                }
            })*
            all
        };
        &ALL
    }};
}

fn same(_: &str, tensor: &Tensor) -> Tensor {
    tensor.clone()
}

fn about_one(name: &str, tensor: &Tensor) -> Tensor {
    match name.ends_with("norm.weight") {
        true => (tensor + 1.0).unwrap(),
        false => tensor.clone(),
    }
}

/// Rows as three sides and columns, two of which change places.
fn moved(tensor: &Tensor, sides: (usize, usize, usize), places: (usize, usize)) -> Tensor {
    let columns = tensor.elem_count() / tensor.dims()[0];
    let parts = tensor.reshape((sides.0, sides.1, sides.2, columns)).unwrap();
    let parts = parts.transpose(places.0, places.1).unwrap().contiguous().unwrap();
    parts.reshape(tensor.shape()).unwrap()
}

/// Pairs of a rotation beside each other, in heads of 8.
fn paired(name: &str, tensor: &Tensor) -> Tensor {
    match name.contains("attn_q.") || name.contains("attn_k.") {
        true => moved(tensor, (tensor.dims()[0] / 8, 2, 4), (1, 2)),
        false => tensor.clone(),
    }
}

/// All queries, keys, values one after another, in heads of 8.
fn joint(name: &str, tensor: &Tensor) -> Tensor {
    match name.contains("attn_qkv.") {
        true => moved(tensor, (tensor.dims()[0] / 24, 3, 8), (0, 1)),
        false => tensor.clone(),
    }
}

const GEMMA2: Family = Family {
    fixture: "gemma2",
    architecture: "gemma2",
    keys: all!(
        SIZES,
        [
            RMS,
            WINDOW,
            KEY_LENGTH,
            VALUE_LENGTH,
            ("attn_logit_softcapping", "attn_logit_softcapping"),
            ("final_logit_softcapping", "final_logit_softcapping"),
        ],
    ),
    more: &[],
    outside: &OUTSIDE,
    inside: all!(AROUND, ATTENTION, GATED),
    change: about_one,
};

const PHI3: Family = Family {
    fixture: "phi3",
    architecture: "phi3",
    keys: all!(
        SIZES,
        [
            RMS,
            BASE,
            WINDOW,
            (
                "rope.scaling.original_context_length",
                "original_max_position_embeddings"
            ),
        ],
    ),
    more: &[("rope.dimension_count", 8.0)],
    outside: &OUTSIDE,
    inside: &[
        ("input_layernorm", "attn_norm"),
        NORM,
        ("self_attn.qkv_proj", "attn_qkv"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ],
    change: same,
};

const MIXTRAL: Family = Family {
    fixture: "mixtral",
    architecture: "llama",
    keys: all!(
        SIZES,
        [
            RMS,
            BASE,
            ("expert_count", "num_local_experts"),
            ("expert_used_count", "num_experts_per_tok"),
        ],
    ),
    more: &[("rope.dimension_count", 8.0)],
    outside: &OUTSIDE,
    inside: all!(
        ATTENTION,
        [
            NORM,
            ("block_sparse_moe.gate", "ffn_gate_inp"),
            ("block_sparse_moe.experts.w1", "ffn_gate_exps"),
            ("block_sparse_moe.experts.w2", "ffn_down_exps"),
            ("block_sparse_moe.experts.w3", "ffn_up_exps"),
        ],
    ),
    change: paired,
};

pub(crate) const BERT: Family = Family {
    fixture: "bert",
    architecture: "bert",
    keys: &[
        SIZES[0],
        SIZES[1],
        SIZES[2],
        SIZES[3],
        SIZES[4],
        ("attention.layer_norm_epsilon", "layer_norm_eps"),
    ],
    more: &[],
    outside: &[
        ("bert.embeddings.word_embeddings", "token_embd"),
        ("bert.embeddings.token_type_embeddings", "token_types"),
        ("bert.embeddings.position_embeddings", "position_embd"),
        ("bert.embeddings.LayerNorm", "token_embd_norm"),
    ],
    inside: &[
        ("attention.self.query", "attn_q"),
        ("attention.self.key", "attn_k"),
        ("attention.self.value", "attn_v"),
        ("attention.output.dense", "attn_output"),
        ("attention.output.LayerNorm", "attn_output_norm"),
        ("intermediate.dense", "ffn_up"),
        ("output.dense", "ffn_down"),
        ("output.LayerNorm", "layer_output_norm"),
    ],
    change: same,
};

/// Without its head, and without the rows of the table before the first position.
pub(crate) const ROBERTA: Family = Family {
    fixture: "roberta",
    keys: &[
        SIZES[1],
        SIZES[2],
        SIZES[3],
        SIZES[4],
        ("attention.layer_norm_epsilon", "layer_norm_eps"),
    ],
    more: &[("context_length", 64.0)],
    outside: &[
        ("roberta.embeddings.word_embeddings", "token_embd"),
        ("roberta.embeddings.token_type_embeddings", "token_types"),
        ("roberta.embeddings.position_embeddings", "position_embd"),
        ("roberta.embeddings.LayerNorm", "token_embd_norm"),
    ],
    change: |name, tensor| match name.starts_with("position_embd") {
        true => tensor.narrow(0, 2, tensor.dims()[0] - 2).unwrap(),
        false => tensor.clone(),
    },
    ..BERT
};

pub(crate) const XLM_ROBERTA: Family = Family {
    fixture: "xlm-roberta",
    ..ROBERTA
};

/// Families whose fixtures a GGUF file can hold whole.
pub(crate) const FAMILIES: [Family; 15] = [
    Family {
        fixture: "gemma",
        architecture: "gemma",
        keys: all!(SIZES, [RMS, KEY_LENGTH, VALUE_LENGTH]),
        more: &[],
        outside: &OUTSIDE,
        inside: all!(ATTENTION, GATED, [NORM]),
        change: about_one,
    },
    Family {
        fixture: "gemma3",
        architecture: "gemma3",
        keys: all!(SIZES, [RMS, BASE, WINDOW, KEY_LENGTH, VALUE_LENGTH]),
        more: &[],
        outside: &OUTSIDE,
        inside: all!(AROUND, ATTENTION, GATED),
        change: about_one,
    },
    PHI3,
    Family {
        fixture: "phi",
        architecture: "phi2",
        keys: all!(SIZES, [("attention.layer_norm_epsilon", "layer_norm_eps")]),
        more: &[("rope.dimension_count", 4.0)],
        outside: &[
            ("model.embed_tokens", "token_embd"),
            ("model.final_layernorm", "output_norm"),
            ("lm_head", "output"),
        ],
        inside: all!(
            ATTENTION,
            [
                ("self_attn.dense", "attn_output"),
                ("mlp.fc1", "ffn_up"),
                ("mlp.fc2", "ffn_down"),
            ],
        ),
        change: same,
    },
    Family {
        fixture: "olmo2",
        architecture: "olmo2",
        keys: all!(SIZES, [RMS, BASE]),
        more: &[],
        outside: &OUTSIDE,
        inside: all!(AROUND, ATTENTION, GATED),
        change: same,
    },
    Family {
        fixture: "starcoder2",
        architecture: "starcoder2",
        keys: all!(SIZES, [BASE, WINDOW, ("attention.layer_norm_epsilon", "norm_epsilon")]),
        more: &[],
        outside: &OUTSIDE,
        inside: all!(ATTENTION, [NORM, ("mlp.c_fc", "ffn_up"), ("mlp.c_proj", "ffn_down")]),
        change: same,
    },
    Family {
        fixture: "granite",
        architecture: "granite",
        keys: all!(
            SIZES,
            [
                RMS,
                BASE,
                ("attention.scale", "attention_multiplier"),
                ("embedding_scale", "embedding_multiplier"),
                ("residual_scale", "residual_multiplier"),
                ("logit_scale", "logits_scaling"),
            ],
        ),
        more: &[],
        outside: &OUTSIDE,
        inside: all!(ATTENTION, GATED, [NORM]),
        change: paired,
    },
    Family {
        fixture: "smollm3",
        architecture: "smollm3",
        keys: all!(SIZES, [RMS, BASE]),
        more: &[("rope.dimension_count", 8.0)],
        outside: &OUTSIDE,
        inside: all!(ATTENTION, GATED, [NORM]),
        change: paired,
    },
    Family {
        fixture: "cohere",
        architecture: "command-r",
        keys: all!(
            SIZES,
            [
                BASE,
                ("attention.layer_norm_epsilon", "layer_norm_eps"),
                ("logit_scale", "logit_scale"),
            ],
        ),
        more: &[],
        outside: &OUTSIDE,
        inside: all!(ATTENTION, GATED),
        change: same,
    },
    Family {
        fixture: "bloom",
        architecture: "bloom",
        keys: &[
            SIZES[1],
            ("block_count", "n_layer"),
            ("attention.head_count", "n_head"),
            ("attention.head_count_kv", "n_head"),
            ("attention.layer_norm_epsilon", "layer_norm_epsilon"),
        ],
        more: &[("context_length", 32.0), ("feed_forward_length", 128.0)],
        outside: &BLOOM_OUTSIDE,
        inside: &BLOOM_LIKE,
        change: joint,
    },
    Family {
        fixture: "falcon",
        architecture: "falcon",
        keys: &[
            SIZES[0],
            SIZES[1],
            SIZES[2],
            SIZES[4],
            ("feed_forward_length", "ffn_hidden_size"),
            ("attention.layer_norm_epsilon", "layer_norm_epsilon"),
        ],
        more: &[("attention.head_count_kv", 1.0)],
        outside: &BLOOM_OUTSIDE,
        inside: &BLOOM_LIKE,
        change: same,
    },
    Family {
        fixture: "mpt",
        architecture: "mpt",
        keys: &[
            ("context_length", "max_seq_len"),
            ("embedding_length", "d_model"),
            ("block_count", "n_layers"),
            ("attention.head_count", "n_heads"),
            ("attention.layer_norm_epsilon", "layer_norm_epsilon"),
        ],
        more: &[("feed_forward_length", 128.0), ("attention.max_alibi_bias", 8.0)],
        outside: &[("transformer.wte", "token_embd"), ("transformer.norm_f", "output_norm")],
        inside: &[
            ("norm_1", "attn_norm"),
            ("norm_2", "ffn_norm"),
            ("attn.Wqkv", "attn_qkv"),
            ("attn.out_proj", "attn_output"),
            ("ffn.up_proj", "ffn_up"),
            ("ffn.down_proj", "ffn_down"),
        ],
        change: same,
    },
    MIXTRAL,
    Family {
        fixture: "nomic-bert",
        architecture: "nomic-bert",
        keys: &[
            SIZES[0],
            SIZES[1],
            SIZES[2],
            SIZES[3],
            SIZES[4],
            BASE,
            ("attention.layer_norm_epsilon", "layer_norm_eps"),
        ],
        more: &[],
        outside: &[
            ("embeddings.word_embeddings", "token_embd"),
            ("embeddings.token_type_embeddings", "token_types"),
            ("emb_ln", "token_embd_norm"),
        ],
        inside: &[
            ("attn.Wqkv", "attn_qkv"),
            ("attn.out_proj", "attn_output"),
            ("norm1", "attn_output_norm"),
            ("norm2", "layer_output_norm"),
            ("mlp.fc11", "ffn_up"),
            ("mlp.fc12", "ffn_gate"),
            ("mlp.fc2", "ffn_down"),
        ],
        change: same,
    },
    Family {
        fixture: "qwen3-moe",
        architecture: "qwen3moe",
        keys: all!(
            SIZES,
            [
                RMS,
                BASE,
                KEY_LENGTH,
                VALUE_LENGTH,
                ("expert_count", "num_experts"),
                ("expert_used_count", "num_experts_per_tok"),
                ("expert_feed_forward_length", "moe_intermediate_size"),
            ],
        ),
        more: &[],
        outside: &OUTSIDE,
        inside: all!(
            ATTENTION,
            [
                NORM,
                ("mlp.gate", "ffn_gate_inp"),
                ("mlp.experts.gate_proj", "ffn_gate_exps"),
                ("mlp.experts.up_proj", "ffn_up_exps"),
                ("mlp.experts.down_proj", "ffn_down_exps"),
            ],
        ),
        change: same,
    },
];

impl Family {
    fn config(&self) -> Value {
        serde_json::from_slice(&std::fs::read(fixture(self.fixture).join("config.json")).unwrap()).unwrap()
    }

    pub(crate) fn keys(&self) -> Vec<(String, Said)> {
        let config = self.config();
        let own = |key: &str| format!("{}.{key}", self.architecture);
        let said = |value: &Value| match value.as_u64() {
            Some(word) => Said::Word(word as u32),
            None => Said::Number(value.as_f64().unwrap() as f32),
        };
        let keys = self.keys.iter().map(|(key, option)| (own(key), said(&config[option])));
        let more = self.more.iter().map(|(key, value)| {
            // Alibi is the one number.
            let said = match key.contains("bias") {
                true => Said::Number(*value as f32),
                false => Said::Word(*value as u32),
            };
            (own(key), said)
        });
        let name = ("general.architecture".to_owned(), Said::Text(self.architecture));
        keys.chain(more).chain([name]).collect()
    }

    /// The name of the file for one of the hub, and the number of an expert; `None` for what the converter leaves out.
    fn name(&self, hub: &str) -> Option<(String, Option<usize>)> {
        let (place, last) = hub.rsplit_once('.').unwrap();
        if let Some((_, own)) = self.outside.iter().find(|(name, _)| *name == place) {
            return Some((format!("{own}.{last}"), None));
        }
        let starts = [
            "model.layers.",
            "transformer.h.",
            "transformer.blocks.",
            "bert.encoder.layer.",
            "roberta.encoder.layer.",
            "encoder.layers.",
        ];
        let rest = starts.iter().find_map(|start| place.strip_prefix(start))?;
        let (layer, part) = rest.split_once('.').unwrap();
        let (part, expert) = match part.split_once(".experts.") {
            Some((before, rest)) => {
                let (expert, map) = rest.split_once('.').unwrap();
                (format!("{before}.experts.{map}"), Some(expert.parse().unwrap()))
            }
            None => (part.to_owned(), None),
        };
        let (_, own) = self.inside.iter().find(|(name, _)| *name == part).unwrap();
        Some((format!("blk.{layer}.{own}.{last}"), expert))
    }

    pub(crate) fn tensors(&self) -> Vec<Stored> {
        let mut parts: BTreeMap<String, BTreeMap<usize, Tensor>> = BTreeMap::new();
        for (hub, tensor) in hub(self.fixture) {
            if let Some((own, expert)) = self.name(&hub) {
                let tensor = (self.change)(&own, &tensor);
                parts.entry(own).or_default().insert(expert.unwrap_or(0), tensor);
            }
        }
        let all = parts.into_iter().map(|(own, parts)| {
            let parts: Vec<Tensor> = parts.into_values().collect();
            match own.contains("_exps") {
                true => stored(own, &Tensor::stack(&parts, 0).unwrap()),
                false => stored(own, &parts[0]),
            }
        });
        all.collect()
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint::from_gguf(self.fixture, file(&self.keys(), &self.tensors())).unwrap()
    }
}

#[test]
fn converted_families_agree_with_the_reference() {
    for family in &FAMILIES {
        let (name, checkpoint) = (family.fixture, family.checkpoint());
        let model = Model::load(&checkpoint).unwrap_or_else(|error| panic!("{name}: {error}"));
        let compared = agree(name, &model);
        assert!(compared >= 14, "{name}: only {compared} tensors compared");
        assert_eq!(checkpoint.describe().unused, [""; 0], "{name}");
    }
}

/// The configuration of a fixture with some options changed.
pub(crate) fn configured(name: &str, options: &[(&str, Value)]) -> Vec<u8> {
    let mut config: Value = serde_json::from_slice(&std::fs::read(fixture(name).join("config.json")).unwrap()).unwrap();
    for (key, value) in options {
        config[*key] = value.clone();
    }
    config.to_string().into_bytes()
}

/// The checkpoint of a fixture with some options changed.
fn changed(name: &str, options: &[(&str, Value)]) -> Checkpoint {
    let weights = std::fs::read(fixture(name).join("model.safetensors")).unwrap();
    Checkpoint::from_bytes(name, configured(name, options), weights).unwrap()
}

/// Both compute the same inside and out; the hub's has also what the file leaves out.
pub(crate) fn compute_the_same(found: &Checkpoint, wanted: &Checkpoint, inputs: &Inputs) {
    let [found, wanted] = [found, wanted].map(|checkpoint| run_raw(&Model::load(checkpoint).unwrap(), inputs).unwrap());
    assert!(found.len() >= 14, "{:?}", found.keys());
    for (key, found) in &found {
        let gap = difference(found, &wanted[key], None);
        assert!(gap <= 1e-5, "{key}: {gap}");
    }
}

/// What llama.cpp knows of Gemma 2 without being told: how its scores are scaled.
#[test]
fn scores_of_gemma_2_are_scaled_by_the_width_of_a_head() {
    let family = GEMMA2;
    let padded = inputs(&expected("gemma2"), "pad");
    let scaled = |scalar: f64| changed("gemma2", &[("query_pre_attn_scalar", json!(scalar))]);
    compute_the_same(&family.checkpoint(), &scaled(8.0), &padded);
    // Only in the largest model is it the width of the model for each head: here that is 8, a head 16.
    let wide = Family {
        change: |name, tensor| {
            let twice = |side| Tensor::cat(&[tensor, tensor], side).unwrap();
            match name.split('.').nth(2) {
                Some("attn_q" | "attn_k" | "attn_v") => twice(0),
                Some("attn_output") => twice(1),
                _ => about_one(name, tensor),
            }
        },
        ..GEMMA2
    };
    for (layers, scalar) in [(2, 16.0_f64), (46, 8.0)] {
        let mut keys = wide.keys();
        for (key, said) in &mut keys {
            match key.rsplit('.').next() {
                Some("block_count") => *said = Said::Word(layers),
                Some("key_length" | "value_length") => *said = Said::Word(16),
                _ => {}
            }
        }
        let mut tensors = wide.tensors();
        let first: Vec<Stored> = tensors
            .iter()
            .filter(|(name, ..)| name.starts_with("blk.0."))
            .cloned()
            .collect();
        for layer in 2..layers {
            let named = |(name, sides, kind, bytes): &Stored| {
                let name = name.replace("blk.0.", &format!("blk.{layer}."));
                (name, sides.clone(), *kind, bytes.clone())
            };
            tensors.extend(first.iter().map(named));
        }
        let checkpoint = Checkpoint::from_gguf("gemma2", file(&keys, &tensors)).unwrap();
        let model = Model::load(&checkpoint).unwrap();
        let scale = f64::from(model.info().attentions[0].layers[0].scale);
        assert!((scale - 1.0 / scalar.sqrt()).abs() < 1e-6, "{layers}: {scale}");
    }
}

/// A Gemma 3 without a window says nothing of one; another has its full layers elsewhere.
#[test]
fn windows_of_gemma_3_are_where_the_file_has_them() {
    let family = FAMILIES.iter().find(|family| family.fixture == "gemma3").unwrap();
    let padded = inputs(&expected("gemma3"), "pad");
    for (pattern, said) in [(1, None), (3, Some(Said::Word(3)))] {
        let mut keys = family.keys();
        match said {
            None => keys.retain(|(key, _)| key != "gemma3.attention.sliding_window"),
            Some(said) => keys.push(("gemma3.attention.sliding_window_pattern".to_owned(), said)),
        }
        let found = Checkpoint::from_gguf("gemma3", file(&keys, &family.tensors())).unwrap();
        let wanted = changed("gemma3", &[("sliding_window_pattern", json!(pattern))]);
        compute_the_same(&found, &wanted, &padded);
    }
}

/// Two sets of factors, as tensors there and as lists on the hub.
#[test]
fn phi_3_for_long_texts_has_its_factors_as_tensors() {
    let factors = [[1.0_f32, 1.5, 2.0, 2.5], [1.0, 3.0, 5.0, 9.0]];
    let gain = (1.0 + (128.0_f64 / 8.0).ln() / 8.0_f64.ln()).sqrt();
    let mut keys = PHI3.keys();
    let at = keys
        .iter()
        .position(|(key, _)| key.ends_with("original_context_length"))
        .unwrap();
    keys[at].1 = Said::Word(8);
    keys.push(("phi3.rope.scaling.attn_factor".to_owned(), Said::Number(gain as f32)));
    let mut tensors = PHI3.tensors();
    for (name, factors) in ["rope_factors_short.weight", "rope_factors_long.weight"]
        .into_iter()
        .zip(&factors)
    {
        tensors.push(stored(name, &Tensor::new(factors, &Device::Cpu).unwrap()));
    }
    let found = Checkpoint::from_gguf("phi3", file(&keys, &tensors)).unwrap();
    assert_eq!(found.describe().unused, [""; 0]);
    let scaling = json!({"type": "longrope", "short_factor": factors[0], "long_factor": factors[1]});
    let wanted = changed(
        "phi3",
        &[
            ("rope_scaling", scaling),
            ("original_max_position_embeddings", json!(8)),
        ],
    );
    // Shorter than what it was trained with, and longer.
    for tokens in [6, 20] {
        let ids: Vec<u32> = (0..tokens).map(|at| 3 + 7 * at).collect();
        compute_the_same(&found, &wanted, &Inputs::from_ids(&[ids], 0).unwrap());
    }
}

/// Files of 2023 have the experts one by one.
#[test]
fn experts_may_lie_apart() {
    let mut apart = Vec::new();
    for (hub, tensor) in hub("mixtral") {
        let (own, expert) = MIXTRAL.name(&hub).unwrap();
        let own = match expert {
            Some(expert) => own.replace("_exps", &format!(".{expert}")),
            None => own,
        };
        apart.push(stored(own.clone(), &paired(&own, &tensor)));
    }
    let found = Checkpoint::from_gguf("mixtral", file(&MIXTRAL.keys(), &apart)).unwrap();
    assert_eq!(found.describe().unused, [""; 0]);
    assert!(agree("mixtral", &Model::load(&found).unwrap()) >= 14);
    // A stack that is none.
    let mut broken = MIXTRAL.tensors();
    let stack = broken.iter_mut().find(|(name, ..)| name.contains("_exps")).unwrap();
    stack.1 = vec![stack.1.iter().product()];
    let error = Checkpoint::from_gguf("mixtral", file(&MIXTRAL.keys(), &broken)).unwrap_err();
    assert!(
        error.to_string().contains("does not fit the number of experts"),
        "{error}"
    );
}

/// No number under a key, and no shape of a tensor, ends in anything but a model or an error.
#[test]
fn any_number_is_read_or_refused() {
    let others = [GEMMA2, BERT];
    for family in FAMILIES.iter().chain(&others) {
        numbers_are_read_or_refused(family.fixture, &|| family.keys(), &family.tensors());
    }
    let tensors: Vec<Stored> = hub("t5")
        .iter()
        .map(|(hub, tensor)| stored(t5_name(hub), tensor))
        .collect();
    numbers_are_read_or_refused("t5", &t5_keys, &tensors);
    numbers_are_read_or_refused("gpt-oss", &gpt_oss_keys, &gpt_oss_tensors());
    numbers_are_read_or_refused("roberta", &roberta_keys, &ROBERTA.tensors());
}

fn numbers_are_read_or_refused(name: &str, keys: &dyn Fn() -> Vec<(String, Said)>, tensors: &[Stored]) {
    let load = |keys: &[(String, Said)], tensors: &[Stored]| {
        let checkpoint = Checkpoint::from_gguf("tiny", file(keys, tensors)).ok()?;
        let _ = checkpoint.describe();
        Model::load(&checkpoint).ok()
    };
    assert!(load(&keys(), tensors).is_some(), "{name}");
    for at in 0..keys().len() {
        for said in [
            Said::Word(0),
            Said::Word(1),
            Said::Word(3),
            Said::Word(u32::MAX),
            Said::Number(f32::NAN),
            Said::Number(-1.0),
            Said::Flag(true),
            Said::Text("x"),
            Said::Words(vec![1, 2]),
        ] {
            let mut keys = keys();
            keys[at].1 = said;
            load(&keys, tensors);
        }
    }
    for at in 0..tensors.len() {
        let mut changed = tensors.to_vec();
        let sides = &mut changed[at].1;
        // The same bytes in another shape, and fewer of them.
        match sides.as_slice() {
            [only] if only % 2 == 0 => *sides = vec![2, only / 2],
            [first, rest @ ..] => *sides = vec![first * rest.iter().product::<u64>().max(1)],
            [] => {}
        }
        assert!(load(&keys(), &changed).is_none(), "{name}: {}", changed[at].0);
        changed[at].1 = vec![1];
        load(&keys(), &changed);
    }
}

#[test]
fn what_other_members_of_a_family_have_is_refused_by_name() {
    let refused = |family: &Family, key: &str, said: Said| {
        let mut keys = family.keys();
        let key = format!("{}.{key}", family.architecture);
        keys.retain(|(own, _)| *own != key);
        keys.push((key, said));
        let checkpoint = Checkpoint::from_gguf("tiny", file(&keys, &family.tensors()));
        match checkpoint.and_then(|checkpoint| Model::load(&checkpoint)) {
            Ok(_) => panic!("{}", family.fixture),
            Err(error) => error.to_string(),
        }
    };
    let family = |name: &str| FAMILIES.iter().find(|family| family.fixture == name).unwrap();
    for (name, key, said, words) in [
        (
            "falcon",
            "attention.head_count_kv",
            Said::Word(8),
            "`blk.0.attn_qkv.weight` of shape [48, 32] does not fit the number of heads",
        ),
        (
            "olmo2",
            "attention.sliding_window",
            Said::Word(4096),
            "`olmo2.attention.sliding_window` = 4096",
        ),
        ("mpt", "attention.max_alibi_bias", Said::Number(16.0), "alibi_bias_max"),
        ("mpt", "attention.max_alibi_bias", Said::Number(0.0), "alibi"),
        ("mpt", "attention.clamp_kqv", Said::Number(6.0), "attention.clamp_kqv"),
        (
            "gemma",
            "final_logit_softcapping",
            Said::Number(30.0),
            "final_logit_softcapping",
        ),
        ("qwen3-moe", "expert_shared_count", Said::Word(1), "expert_shared_count"),
        (
            "bloom",
            "attention.max_alibi_bias",
            Said::Number(16.0),
            "`bloom.attention.max_alibi_bias` = 16",
        ),
    ] {
        let error = refused(family(name), key, said);
        assert!(error.contains(words), "{name}: {error}");
    }
}
