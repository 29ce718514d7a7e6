//! Configuration options that change the numbers: honored, or refused by name.

use attn_core::{Attention, model::Mask};
use attn_models::{Error, Gradients, Inputs, Model, Point, Result, Site, Weights, record::Recorder};
use serde_json::{Value, json};

use crate::support::{difference, open, values};

fn tiny(family: &str) -> Value {
    match family {
        "bert" => {
            json!({"model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 30, "hidden_size": 8,
            "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 16})
        }
        "gpt2" => json!({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 30, "n_embd": 8,
            "n_layer": 2, "n_head": 2, "n_positions": 16}),
        "llama" => {
            json!({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 30, "hidden_size": 8,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4,
            "intermediate_size": 16, "max_position_embeddings": 64})
        }
        "bart" => {
            json!({"model_type": "bart", "architectures": ["BartForConditionalGeneration"], "vocab_size": 30, "d_model": 8,
            "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 4,
            "encoder_ffn_dim": 16, "decoder_ffn_dim": 12, "max_position_embeddings": 16})
        }
        "t5" => {
            json!({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "vocab_size": 30, "d_model": 8, "d_kv": 6,
            "d_ff": 16, "num_layers": 2, "num_decoder_layers": 1, "num_heads": 2, "relative_attention_num_buckets": 8,
            "relative_attention_max_distance": 16})
        }
        "vit" => {
            json!({"model_type": "vit", "architectures": ["ViTForImageClassification"], "hidden_size": 8, "num_hidden_layers": 2,
            "num_attention_heads": 2, "intermediate_size": 16, "image_size": 8, "patch_size": 4, "num_channels": 1})
        }
        other => json!({"model_type": other}),
    }
}

fn with(family: &str, options: Value) -> Value {
    let mut config = tiny(family);
    for (key, value) in options.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn build(config: &Value) -> Result<Model> {
    Model::build("tiny", &config.to_string(), &Weights::initialize(5), Gradients::Off)
}

#[test]
fn refused_options_are_named() {
    for (family, options, key) in [
        (
            "bert",
            json!({"position_embedding_type": "relative_key"}),
            "position_embedding_type",
        ),
        ("bert", json!({"is_decoder": true}), "is_decoder"),
        ("bert", json!({"hidden_act": "mish"}), "hidden_act"),
        ("gpt2", json!({"add_cross_attention": true}), "add_cross_attention"),
        ("gpt2", json!({"activation_function": "laplace"}), "activation_function"),
        ("llama", json!({"rope_parameters": {"rope_type": "mrope"}}), "rope_type"),
        (
            "llama",
            json!({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}),
            "partial_rotary_factor",
        ),
        (
            "llama",
            json!({"rope_parameters": {"full_attention": {"rope_type": "default"}}}),
            "full_attention",
        ),
        ("roberta", json!({"is_decoder": true}), "is_decoder"),
        (
            "electra",
            json!({"position_embedding_type": "relative_key_query"}),
            "position_embedding_type",
        ),
        ("albert", json!({"inner_group_num": 2}), "inner_group_num"),
        ("distilbert", json!({"activation": "mish"}), "activation"),
        ("gpt_neox", json!({"rope_scaling": {"type": "su", "factor": 2}}), "type"),
        ("vit", json!({"hidden_act": "mish"}), "hidden_act"),
        ("clip", json!({"vision_config": {"hidden_act": "mish"}}), "hidden_act"),
        ("bart", json!({"activation_function": "mish"}), "activation_function"),
        ("t5", json!({"feed_forward_proj": "gated-mish"}), "feed_forward_proj"),
        ("cohere", json!({"use_qk_norm": true}), "use_qk_norm"),
        (
            "gemma",
            json!({"use_bidirectional_attention": true}),
            "use_bidirectional_attention",
        ),
        (
            "gemma3_text",
            json!({"attn_logit_softcapping": 50.0}),
            "attn_logit_softcapping",
        ),
        (
            "gpt_neo",
            json!({"attention_types": [[["global", "banded"], 12]]}),
            "attention_types",
        ),
        ("gpt_oss", json!({"swiglu_alpha": 1.0}), "swiglu_alpha"),
        ("gpt_oss", json!({"hidden_act": "gelu"}), "hidden_act"),
        ("mpt", json!({"no_bias": false}), "no_bias"),
        ("mpt", json!({"attn_config": {"alibi": false}}), "alibi"),
        ("mpt", json!({"attn_config": {"qk_ln": true}}), "qk_ln"),
        ("mpt", json!({"attn_config": {"clip_qkv": 8.0}}), "clip_qkv"),
        ("mpt", json!({"expansion_ratio": 2}), "expansion_ratio"),
        ("mpt", json!({"attn_config": {"alibi_bias_max": 16}}), "alibi_bias_max"),
        (
            "bloom",
            json!({"apply_residual_connection_post_layernorm": true}),
            "apply_residual_connection_post_layernorm",
        ),
        ("opt", json!({"do_layer_norm_before": false}), "do_layer_norm_before"),
        (
            "opt",
            json!({"_remove_final_layer_norm": true}),
            "_remove_final_layer_norm",
        ),
        ("opt", json!({"word_embed_proj_dim": 512}), "word_embed_proj_dim"),
        (
            "opt",
            json!({"layer_norm_elementwise_affine": false}),
            "layer_norm_elementwise_affine",
        ),
    ] {
        match build(&with(family, options)).unwrap_err() {
            Error::Unsupported { key: named, .. } => assert_eq!(named, key),
            other => panic!("{family} {key}: {other}"),
        }
    }
}

#[test]
fn contradictions_and_wrong_kinds_are_named() {
    for (family, options, key) in [
        ("bert", json!({"num_attention_heads": 3}), "num_attention_heads"),
        ("bert", json!({"hidden_size": "wide"}), "hidden_size"),
        ("bert", json!({"hidden_size": -8}), "hidden_size"),
        ("bert", json!({"vocab_size": 0}), "vocab_size"),
        ("bert", json!({"vocab_size": 1e18}), "vocab_size"),
        ("bert", json!({"num_hidden_layers": 1_000_000}), "num_hidden_layers"),
        (
            "roberta",
            json!({"pad_token_id": 9, "max_position_embeddings": 10}),
            "max_position_embeddings",
        ),
        ("roberta", json!({"pad_token_id": -2}), "pad_token_id"),
        ("albert", json!({"num_hidden_groups": 13}), "num_hidden_groups"),
        ("distilbert", json!({"n_heads": 5}), "n_heads"),
        ("dinov2", json!({"mlp_ratio": 1e300}), "mlp_ratio"),
        ("mistral", json!({"sliding_window": 0}), "sliding_window"),
        ("clip", json!({"vision_config": 3}), "vision_config"),
        ("bert", json!({"layer_norm_eps": 0}), "layer_norm_eps"),
        ("gpt2", json!({"n_head": 3}), "n_head"),
        ("gpt2", json!({"tie_word_embeddings": "yes"}), "tie_word_embeddings"),
        ("llama", json!({"num_key_value_heads": 3}), "num_key_value_heads"),
        ("llama", json!({"head_dim": 3}), "head_dim"),
        ("llama", json!({"rope_theta": 0}), "rope_theta"),
        ("llama", json!({"rope_scaling": {"type": "linear"}}), "factor"),
        ("llama", json!({"rope_scaling": "linear"}), "rope_scaling"),
        (
            "llama",
            json!({"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1,
            "original_max_position_embeddings": 32}}),
            "high_freq_factor",
        ),
        ("bart", json!({"decoder_attention_heads": 3}), "decoder_attention_heads"),
        ("bart", json!({"pad_token_id": -2}), "pad_token_id"),
        (
            "bart",
            json!({"model_type": "m2m_100", "pad_token_id": -1}),
            "pad_token_id",
        ),
        (
            "bart",
            json!({"model_type": "marian", "max_position_embeddings": 200_000_000}),
            "max_position_embeddings",
        ),
        (
            "t5",
            json!({"relative_attention_max_distance": 4}),
            "relative_attention_max_distance",
        ),
        ("vit", json!({"patch_size": 16}), "patch_size"),
        ("vit", json!({"image_size": [8, 8, 8]}), "image_size"),
        ("vit", json!({"id2label": "one"}), "id2label"),
        ("vit", json!({"id2label": {}}), "id2label"),
        ("vit", json!({"num_labels": 1 << 21}), "num_labels"),
        // The name that the file has.
        (
            "gpt2",
            json!({"n_head": null, "num_attention_heads": 3}),
            "num_attention_heads",
        ),
        (
            "gpt2",
            json!({"n_layer": null, "num_hidden_layers": "two"}),
            "num_hidden_layers",
        ),
        ("llama", json!({"rope_theta": f64::MAX.to_string()}), "rope_theta"),
        ("gpt_oss", json!({}), "rope_scaling"),
        ("mixtral", json!({"num_experts_per_tok": 9}), "num_experts_per_tok"),
        ("qwen3_moe", json!({"mlp_only_layers": [0.5]}), "mlp_only_layers"),
        ("gptj", json!({"rotary_dim": 7}), "rotary_dim"),
        ("gptj", json!({"rotary_dim": 512}), "rotary_dim"),
        ("smollm3", json!({"no_rope_layers": [1, 1]}), "no_rope_layers"),
        ("gpt_neo", json!({"attention_layers": ["global"]}), "attention_layers"),
        (
            "gpt_neo",
            json!({"attention_types": [[["global"], 1e9]]}),
            "attention_types",
        ),
        ("gpt_neo", json!({"attention_types": [[[], 24]]}), "attention_types"),
        ("granite", json!({"logits_scaling": 0}), "logits_scaling"),
        (
            "llama",
            json!({"rope_scaling": {"type": "longrope", "short_factor": [1.0, 0.0], "long_factor": [1.0, 1.0]}}),
            "short_factor",
        ),
    ] {
        match build(&with(family, options)).unwrap_err() {
            Error::Config { key: named, .. } => assert_eq!(named, key),
            other => panic!("{family} {key}: {other}"),
        }
    }
}

#[test]
fn absurd_sizes_are_refused_without_allocating_them() {
    for (family, options) in [
        (
            "bert",
            json!({"vocab_size": 200_000_000, "hidden_size": 200_000_000, "num_attention_heads": 1}),
        ),
        ("gpt2", json!({"n_embd": 200_000_000, "n_head": 1})),
        ("vit", json!({"image_size": 100_000_000, "patch_size": 1})),
    ] {
        let error = build(&with(family, options)).unwrap_err();
        assert!(
            matches!(error, Error::Tensor { .. } | Error::Config { .. }),
            "{family}: {error}"
        );
    }
}

/// Queries, keys and attention of every layer for a fixed input.
fn record(model: &Model) -> Recorder {
    let mut recorder = Recorder::of(&[
        Point::Query,
        Point::Key,
        Point::QueryBeforeRotation,
        Point::KeyBeforeRotation,
        Point::Attention,
        Point::Mlp,
    ]);
    model
        .forward(&Inputs::from_ids(&[(1..13).collect()], 0).unwrap(), &mut recorder)
        .unwrap();
    recorder
}

#[test]
fn attention_is_scaled_as_the_options_say() {
    for (options, scales) in [
        (json!({}), [0.5, 0.5]),
        (json!({"scale_attn_weights": false}), [1.0, 1.0]),
        (json!({"scale_attn_by_inverse_layer_idx": true}), [0.5, 0.25]),
    ] {
        let model = build(&with("gpt2", options)).unwrap();
        let info = model.info().attention(Attention::DecoderSelf).unwrap().clone();
        let recorder = record(&model);
        for (layer, scale) in scales.into_iter().enumerate() {
            assert_eq!(info.layers[layer].scale, scale);
            assert_eq!(info.layers[layer].mask, Mask::Causal);
            let get = |point| values(&recorder.tensors[&Site::new(Attention::DecoderSelf, layer, point)]);
            let (queries, keys, attention) = (get(Point::Query), get(Point::Key), get(Point::Attention));
            // Ratio of the attention of the last query of head 0 to its first two keys, by hand.
            let score =
                |key: usize| -> f32 { (0..4).map(|d| queries[11 * 4 + d] * keys[key * 4 + d]).sum::<f32>() * scale };
            let ratio = attention[11 * 12] / attention[11 * 12 + 1];
            assert!((ratio - (score(0) - score(1)).exp()).abs() < 1e-4);
        }
    }
}

/// The angle by which the first pair (dimensions 0 and 2 of 4) or the second (1 and 3) was turned at a position.
fn angle(recorder: &Recorder, pair: usize, position: usize) -> f64 {
    let get = |point| values(&recorder.tensors[&Site::new(Attention::DecoderSelf, 0, point)]);
    let (before, after) = (get(Point::QueryBeforeRotation), get(Point::Query));
    let polar = |x: &[f32]| f64::from(x[position * 4 + pair + 2]).atan2(f64::from(x[position * 4 + pair]));
    (polar(&after) - polar(&before)).rem_euclid(std::f64::consts::TAU)
}

#[test]
fn rotary_positions_follow_theta_and_scaling() {
    // head_dim 4: the pairs turn by position * 1 and position * theta^(-1/2).
    let llama3 = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32});
    // Wavelengths 2 pi (shorter than 32 / 4: kept) and 2 pi 100 (longer than 32 / 1: divided by 8).
    for (options, first, second) in [
        (json!({}), 1.0, 0.01),
        (json!({"rope_theta": 100.0}), 1.0, 0.1),
        (
            json!({"rope_parameters": {"rope_theta": 100.0, "rope_type": "default"}}),
            1.0,
            0.1,
        ),
        (json!({"rope_scaling": {"type": "linear", "factor": 2.0}}), 0.5, 0.005),
        (
            json!({"rope_parameters": {"rope_theta": 100.0, "rope_type": "linear", "factor": 2.0}}),
            0.5,
            0.05,
        ),
        (json!({"rope_scaling": llama3}), 1.0, 0.01 / 8.0),
        // Wavelength 2 pi sqrt(10) = 19.87: 32 / 19.87 = 1.6106 turns, of which (1.6106 - 1) / 3 are kept.
        (
            json!({"rope_theta": 10.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 32}}),
            1.0,
            0.316_227_766 * (0.203_516_6 + (1.0 - 0.203_516_6) / 8.0),
        ),
    ] {
        let recorder = record(&build(&with("llama", options.clone())).unwrap());
        for (pair, per_position) in [first, second].into_iter().enumerate() {
            let found = angle(&recorder, pair, 5);
            assert!(
                (found - 5.0 * per_position).abs() < 1e-4,
                "{options}: {found} instead of {}",
                5.0 * per_position
            );
        }
    }
}

#[test]
fn positions_shift_the_rotation() {
    let model = build(&tiny("llama")).unwrap();
    let logits = |positions: std::ops::Range<u32>| {
        let mut inputs = Inputs::from_ids(&[vec![3, 4, 5, 6]], 0).unwrap();
        let positions = attn_models::candle::Tensor::arange(positions.start, positions.end, model.device()).unwrap();
        inputs.position_ids = Some(positions.unsqueeze(0).unwrap());
        model.forward(&inputs, &mut ()).unwrap().logits.unwrap()
    };
    // Rotary positions are relative: the same everywhere (Su et al. 2021, eq. 16).
    assert!(difference(&logits(0..4), &logits(40..44), None) < 1e-5);
}

#[test]
fn biases_heads_and_bare_models_are_built_as_configured() {
    let names = |config: Value| -> Vec<String> {
        let weights = Weights::initialize(1);
        Model::build("tiny", &config.to_string(), &weights, Gradients::On).unwrap();
        weights.variables().into_keys().collect()
    };
    let has = |names: &[String], end: &str| names.iter().any(|name| name.ends_with(end));
    let plain = names(tiny("llama"));
    assert!(has(&plain, "lm_head.weight") && !has(&plain, ".bias"));
    let biased = names(with(
        "llama",
        json!({"attention_bias": true, "mlp_bias": true, "tie_word_embeddings": true}),
    ));
    assert!(has(&biased, "layers.1.self_attn.o_proj.bias") && has(&biased, "layers.0.mlp.gate_proj.bias"));
    assert!(!has(&biased, "lm_head.weight"));
    let vit = names(with("vit", json!({"qkv_bias": false})));
    assert!(!has(&vit, "query.bias") && has(&vit, "attention.output.dense.bias"));
    let bare = names(with("bert", json!({"architectures": ["BertModel"]})));
    assert!(has(&bare, "bert.pooler.dense.weight") && !has(&bare, "cls.predictions.bias"));
    let untied = names(with("bert", json!({"tie_word_embeddings": false})));
    assert!(has(&untied, "cls.predictions.decoder.weight"));
    let untied = names(with("gpt2", json!({"tie_word_embeddings": false, "n_inner": 20})));
    assert!(has(&untied, "lm_head.weight"));
    let classifier = with(
        "bert",
        json!({"architectures": ["BertForSequenceClassification"], "id2label": {"0": "bad", "1": "good"}}),
    );
    let model = build(&classifier).unwrap();
    assert_eq!(model.labels(), ["bad", "good"]);
    let output = model
        .forward(&Inputs::from_ids(&[vec![1, 2, 3]], 0).unwrap(), &mut ())
        .unwrap();
    assert_eq!(output.logits.unwrap().dims(), [1, 2]);
    assert_eq!(output.pooled.unwrap().dims(), [1, 8]);
}

#[test]
fn activations_follow_their_definitions() {
    // One MLP of width 1 and weights of which everything but the activation is known would need a model; the
    // families' fixtures cover gelu, gelu_new, silu and relu. Here: each name gives another function.
    let mut seen: Vec<Vec<f32>> = Vec::new();
    for name in ["gelu", "gelu_new", "relu", "silu", "quick_gelu", "tanh"] {
        let model = build(&with(
            "gpt2",
            json!({"activation_function": name, "initializer_range": 1}),
        ))
        .unwrap();
        let found = values(&record(&model).tensors[&Site::mlp(attn_core::Side::Decoder, 0)]);
        assert!(
            seen.iter().all(|other| *other != found),
            "{name} is another one under a new name"
        );
        seen.push(found);
    }
}

/// Source and target for the tiny encoder-decoders.
fn pair() -> Inputs {
    Inputs {
        decoder_input_ids: Inputs::from_ids(&[vec![0, 7, 3]], 0).unwrap().input_ids,
        ..Inputs::from_ids(&[vec![4, 9, 2, 5]], 0).unwrap()
    }
}

/// T5 v1.1 and Flan-T5: a gate in the MLP, and logits from a matrix of their own, not scaled down.
#[test]
fn gated_and_untied_t5_follows_its_definition() {
    let options = json!({"feed_forward_proj": "gated-gelu", "tie_word_embeddings": false});
    let weights = Weights::initialize(5);
    let model = Model::build("tiny", &with("t5", options).to_string(), &weights, Gradients::Off).unwrap();
    // As large as the weights of a trained model, so that the gate is not near 0.
    for variable in weights.variables().values().filter(|variable| variable.rank() == 2) {
        variable.set(&(variable.as_tensor() * 20.0).unwrap()).unwrap();
    }
    let mut recorder = Recorder::of(&[Point::Hidden, Point::AttentionOutput, Point::Mlp]);
    let output = model.forward(&pair(), &mut recorder).unwrap();
    let at = |point| values(&recorder.tensors[&Site::new(Attention::EncoderSelf, 0, point)]);
    let weight = |name: &str| -> Vec<Vec<f32>> { weights.variables()[name].to_vec2().unwrap() };
    let product = |x: &[f32], matrix: &[Vec<f32>]| -> Vec<f32> {
        let dot = |row: &Vec<f32>| row.iter().zip(x).map(|(a, b)| a * b).sum();
        matrix.iter().map(dot).collect()
    };
    let gelu = |x: f32| {
        let inner = (2.0 / std::f32::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
        0.5 * x * (1.0 + inner.tanh())
    };
    let place = "encoder.block.0.layer.1.DenseReluDense";
    let maps = ["wi_0", "wi_1", "wo"].map(|name| weight(&format!("{place}.{name}.weight")));
    let sums: Vec<f32> = at(Point::Hidden)
        .iter()
        .zip(at(Point::AttentionOutput))
        .map(|(a, b)| a + b)
        .collect();
    for (x, found) in sums.chunks(8).zip(at(Point::Mlp).chunks(8)) {
        let size = (x.iter().map(|x| x * x).sum::<f32>() / 8.0 + 1e-6).sqrt();
        let normed: Vec<f32> = x.iter().map(|x| x / size).collect();
        let (gate, up) = (product(&normed, &maps[0]), product(&normed, &maps[1]));
        let inner: Vec<f32> = gate.into_iter().zip(up).map(|(gate, up)| gelu(gate) * up).collect();
        for (found, expected) in found.iter().zip(product(&inner, &maps[2])) {
            assert!((found - expected).abs() < 1e-4, "{found} instead of {expected}");
        }
    }
    let head = weight("lm_head.weight");
    let logits = values(&output.logits.unwrap());
    for (x, found) in values(&output.last_hidden).chunks(8).zip(logits.chunks(30)) {
        for (found, expected) in found.iter().zip(product(x, &head)) {
            assert!((found - expected).abs() < 1e-4, "{found} instead of {expected}");
        }
    }
}

/// Where positions are relative, or skip the padding, it does not matter on which side the padding is.
#[test]
fn padding_on_either_side_gives_the_same() {
    use attn_models::candle::{Device, Tensor};
    for name in ["t5", "m2m100"] {
        let model = Model::load(&crate::support::open(name)).unwrap();
        // The padding id of M2M100 is 1, that of T5 0: neither is among these.
        let padding = if name == "t5" { 0_u32 } else { 1 };
        let row = |ids: [u32; 6]| Some(Tensor::new(&[ids], &Device::Cpu).unwrap());
        let target = Inputs::from_ids(&[vec![padding + 1, 20, 30]], 0).unwrap().input_ids;
        let inputs = |ids, mask| Inputs {
            input_ids: row(ids),
            attention_mask: row(mask),
            decoder_input_ids: target.clone(),
            ..Inputs::default()
        };
        let logits = |inputs: &Inputs| model.forward(inputs, &mut ()).unwrap().logits.unwrap();
        let right = logits(&inputs([9, 10, 11, 12, padding, padding], [1, 1, 1, 1, 0, 0]));
        let left = logits(&inputs([padding, padding, 9, 10, 11, 12], [0, 0, 1, 1, 1, 1]));
        let largest = crate::support::largest(&right);
        assert!(difference(&left, &right, None) < 1e-5 * largest, "{name}");
    }
}

/// Checkpoints of Marian that translate between scripts keep a table of words for each side.
#[test]
fn two_vocabularies_have_two_tables() {
    let options = json!({"model_type": "marian", "architectures": ["MarianMTModel"], "vocab_size": 12, "decoder_vocab_size": 9,
        "share_encoder_decoder_embeddings": false});
    let weights = Weights::initialize(5);
    let model = Model::build("tiny", &with("bart", options).to_string(), &weights, Gradients::Off).unwrap();
    let logits = model.forward(&pair(), &mut ()).unwrap().logits.unwrap();
    assert_eq!(logits.dims(), [1, 3, 9]);
    let shape = |name: &str| weights.variables()[name].dims().to_vec();
    assert_eq!(shape("model.encoder.embed_tokens.weight"), [12, 8]);
    assert_eq!(shape("model.decoder.embed_tokens.weight"), [9, 8]);
    assert!(!weights.variables().contains_key("model.shared.weight"));
}

/// Marian may have a vocabulary for each language. Logits are then over the target's; text needs one tokenizer for both.
#[test]
fn two_vocabularies_are_for_ids_only() {
    let checkpoint = open("marian-two");
    let model = Model::load(&checkpoint).unwrap();
    assert_eq!(model.info().vocab_size, Some(60));
    let inputs = |source, target| Inputs {
        decoder_input_ids: Inputs::from_ids(&[vec![59, target]], 59).unwrap().input_ids,
        ..Inputs::from_ids(&[vec![source, 3]], 59).unwrap()
    };
    let output = model.forward(&inputs(69, 58), &mut ()).unwrap();
    assert_eq!(output.logits.unwrap().dims(), [1, 2, 60]);
    let error = model.forward(&inputs(70, 58), &mut ()).unwrap_err();
    assert!(error.to_string().contains("values from 0 to 69"), "{error}");
    let error = model.forward(&inputs(69, 60), &mut ()).unwrap_err();
    assert!(error.to_string().contains("values from 0 to 59"), "{error}");
    let error = checkpoint.tokenizer().unwrap_err();
    assert!(
        matches!(&error, Error::Unsupported { key, .. } if key == "decoder_vocab_size"),
        "{error}"
    );
}

/// -1 is the id of no token: RoBERTa then has no padding, and counts from 0.
#[test]
fn no_padding_is_minus_one() {
    let options = json!({"pad_token_id": -1, "vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 16});
    assert_eq!(build(&with("roberta", options)).unwrap().info().max_tokens, Some(16));
    assert!(build(&with("bart", json!({"pad_token_id": -1}))).is_ok());
}

/// `vision_config_dict`, the older name, comes before `vision_config` in the reference.
#[test]
fn clip_reads_the_older_name_of_its_vision_part_first() {
    let vision = |layers: usize| {
        json!({"hidden_size": 8, "num_hidden_layers": layers, "num_attention_heads": 2, "intermediate_size": 8,
        "image_size": 8, "patch_size": 4})
    };
    let layers = |options: Value| {
        let model = build(&with("clip", options)).unwrap();
        model.info().attentions[0].layers.len()
    };
    assert_eq!(
        layers(json!({"vision_config": vision(3), "vision_config_dict": vision(1)})),
        1
    );
    assert_eq!(
        layers(json!({"vision_config": vision(3), "vision_config_dict": null})),
        3
    );
}
