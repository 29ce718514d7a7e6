//! Options of causal decoders, against the same sums by hand.

use attn_core::{Attention, Side, model::Mask};
use attn_models::{Error, Gradients, Inputs, Model, Point, Result, Site, Weights, record::Recorder};
use serde_json::{Value, json};

use crate::{
    by_hand::{close, dot, gelu, ids, loud, rows, run},
    support::{difference, values},
};

fn tiny(family: &str, options: Value) -> Value {
    let mut config = match family {
        "gpt_neox" => json!({"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 12, "max_position_embeddings": 64, "rotary_pct": 0.5}),
        "gpt2" => json!({"vocab_size": 30, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16}),
        "gptj" => json!({"vocab_size": 30, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16, "rotary_dim": 2}),
        "gpt_neo" => json!({"vocab_size": 30, "hidden_size": 8, "num_layers": 4, "num_heads": 2,
            "max_position_embeddings": 16, "window_size": 3}),
        "opt" => json!({"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
            "ffn_dim": 12, "max_position_embeddings": 16}),
        "bloom" => json!({"vocab_size": 30, "hidden_size": 8, "n_layer": 2, "n_head": 2}),
        "falcon" => json!({"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
            "ffn_hidden_size": 12, "max_position_embeddings": 16}),
        "mpt" => json!({"vocab_size": 30, "d_model": 12, "n_layers": 2, "n_heads": 3, "max_seq_len": 16}),
        "gpt_oss" => json!({"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 4, "intermediate_size": 12, "max_position_embeddings": 64,
            "num_local_experts": 3, "num_experts_per_tok": 2, "rope_scaling": {"rope_type": "default"}}),
        _ => json!({"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 4, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 4, "intermediate_size": 16, "max_position_embeddings": 64,
            "num_local_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 12}),
    };
    config["model_type"] = family.into();
    for (key, value) in options.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn build(config: &Value) -> Result<Model> {
    Model::build("tiny", &config.to_string(), &Weights::initialize(5), Gradients::Off)
}

fn site(layer: usize, point: Point) -> Site {
    Site::new(Attention::DecoderSelf, layer, point)
}

/// Attention recomputed from recorded queries and keys, with a key visible where `visible(layer, query, key)` says.
fn assert_attention(config: &Value, visible: impl Fn(usize, usize, usize) -> bool) {
    let loud = loud(config);
    let (_, recorder) = run(&loud.model, &ids(&[&[3, 1, 4, 1, 5, 9, 2, 6, 5, 3]]));
    let info = loud.model.info().attention(Attention::DecoderSelf).unwrap().clone();
    let (tokens, group) = (10, info.heads / info.kv_heads);
    for (layer, known) in info.layers.iter().enumerate() {
        let get = |point| rows(&recorder.tensors[&site(layer, point)]);
        let (queries, keys, attention) = (get(Point::Query), get(Point::Key), get(Point::Attention));
        for head in 0..info.heads {
            for query in 0..tokens {
                let power = |key: usize| {
                    assert_eq!(known.mask.visible(query, key), visible(layer, query, key));
                    let score = dot(&queries[head * tokens + query], &keys[head / group * tokens + key]);
                    f64::from(u8::from(visible(layer, query, key))) * (score / (info.head_dim as f64).sqrt()).exp()
                };
                let powers: Vec<f64> = (0..tokens).map(power).collect();
                let sum: f64 = powers.iter().sum();
                let expected: Vec<f64> = powers.iter().map(|power| power / sum).collect();
                close(&attention[head * tokens + query], &expected);
            }
        }
    }
}

#[test]
fn windows_are_where_the_options_put_them() {
    let causal = |_: usize, query: usize, key: usize| key <= query;
    let window = |query: usize, key: usize, width: usize| key <= query && query < key + width;
    assert_attention(&tiny("mistral", json!({"sliding_window": 3})), |_, q, k| {
        window(q, k, 3)
    });
    assert_attention(&tiny("mistral", json!({"sliding_window": null})), causal);
    // Not given: 4096 tokens.
    let model = build(&tiny("mistral", json!({}))).unwrap();
    assert_eq!(model.info().attentions[0].layers[0].mask, Mask::Window { width: 4096 });
    for family in ["qwen2", "qwen3"] {
        // A width alone is not used.
        assert_attention(&tiny(family, json!({"sliding_window": 3})), causal);
        assert_attention(
            &tiny(
                family,
                json!({"sliding_window": 3, "use_sliding_window": true, "max_window_layers": 1}),
            ),
            |layer, q, k| if layer < 1 { k <= q } else { window(q, k, 3) },
        );
        assert_attention(
            &tiny(
                family,
                json!({"sliding_window": 2, "use_sliding_window": true, "max_window_layers": 0, "layer_types":
                ["full_attention", "sliding_attention", "full_attention", "sliding_attention"]}),
            ),
            |layer, q, k| if layer % 2 == 0 { k <= q } else { window(q, k, 2) },
        );
        let error = build(&tiny(
            family,
            json!({"layer_types": ["full_attention", "sliding_attention", "full_attention", "full_attention"]}),
        ));
        assert!(matches!(error, Err(Error::Config { key, .. }) if key == "sliding_window"));
        let error = build(&tiny(family, json!({"layer_types": ["full_attention"]})));
        assert!(matches!(error, Err(Error::Config { key, .. }) if key == "layer_types"));
        let error = build(&tiny(family, json!({"layer_types": ["chunked_attention", "", "", ""]})));
        assert!(matches!(error, Err(Error::Unsupported { key, .. }) if key == "layer_types"));
    }
}

#[test]
fn windows_of_the_other_families_are_where_their_options_put_them() {
    let causal = |_: usize, query: usize, key: usize| key <= query;
    let window = |query: usize, key: usize| key <= query && query < key + 3;
    let all = |_: usize, query: usize, key: usize| window(query, key);
    for family in ["mixtral", "phi3", "starcoder2"] {
        assert_attention(&tiny(family, json!({})), causal);
        assert_attention(&tiny(family, json!({"sliding_window": 3})), all);
        assert_attention(&tiny(family, json!({"sliding_window": null})), causal);
    }
    // A width alone is not used.
    assert_attention(&tiny("qwen3_moe", json!({"sliding_window": 3})), causal);
    assert_attention(
        &tiny("qwen3_moe", json!({"sliding_window": 3, "use_sliding_window": true})),
        all,
    );
    // Layers that are told no positions have the window.
    let options = json!({"sliding_window": 3, "use_sliding_window": true, "no_rope_layer_interval": 2});
    assert_attention(&tiny("smollm3", options), |layer, query, key| {
        if layer % 2 == 1 {
            window(query, key)
        } else {
            key <= query
        }
    });
    let options = json!({"sliding_window": 3, "use_sliding_window": true, "no_rope_layers": [0, 1, 0, 1], "layer_types":
        ["full_attention", "sliding_attention", "full_attention", "full_attention"]});
    assert_attention(&tiny("smollm3", options), |layer, query, key| {
        if layer == 1 { window(query, key) } else { key <= query }
    });
    // Every second layer is full.
    let options = json!({"sliding_window": 3, "sliding_window_pattern": 2, "query_pre_attn_scalar": 4});
    assert_attention(&tiny("gemma3_text", options), |layer, query, key| {
        if layer % 2 == 1 {
            key <= query
        } else {
            window(query, key)
        }
    });
    let options = json!({"sliding_window": 3, "query_pre_attn_scalar": 4, "layer_types":
        ["full_attention", "sliding_attention", "full_attention", "full_attention"]});
    assert_attention(&tiny("gemma3_text", options), |layer, query, key| {
        if layer == 1 { window(query, key) } else { key <= query }
    });
}

#[test]
fn attention_of_gpt_neo_is_global_and_local() {
    let masks = |options: Value| -> Vec<bool> {
        let model = build(&tiny("gpt_neo", options)).unwrap();
        let layers = &model.info().attentions[0].layers;
        assert!(layers.iter().all(|layer| layer.scale == 1.0));
        layers
            .iter()
            .map(|layer| layer.mask == Mask::Window { width: 3 })
            .collect()
    };
    assert_eq!(masks(json!({})), [false, true, false, true]);
    let types = json!({"attention_types": [[["local"], 1], [["global", "local", "local"], 1]]});
    assert_eq!(masks(types), [true, false, true, true]);
    let layers =
        json!({"attention_layers": ["global", "global", "global", "local"], "attention_types": [[["local"], 4]]});
    assert_eq!(masks(layers), [false, false, false, true]);
}

#[test]
fn queries_of_falcon_lie_before_the_key_of_their_group() {
    let newer = json!({"new_decoder_architecture": true, "num_kv_heads": 2, "bias": true});
    let loud = loud(&tiny("falcon", newer));
    let (_, recorder) = run(&loud.model, &ids(&[&[3, 1, 4]]));
    let at = |point| rows(&recorder.tensors[&site(1, point)]);
    let x = &rows(&recorder.tensors[&Site::hidden(Side::Decoder, 1)])[2];
    let place = |name: &str| format!("transformer.h.1.{name}");
    let normed = loud.layer_norm(&place("ln_attn"), x, 1e-5);
    let all = loud.affine(&place("self_attention.query_key_value"), &normed);
    let all: Vec<&[f64]> = all.chunks(4).collect();
    let (queries, keys, values) = (
        at(Point::QueryBeforeRotation),
        at(Point::KeyBeforeRotation),
        at(Point::Value),
    );
    for (head, place) in [0, 1, 4, 5].into_iter().enumerate() {
        close(&queries[head * 3 + 2], all[place]);
    }
    for shared in 0..2 {
        close(&keys[shared * 3 + 2], all[shared * 4 + 2]);
        close(&values[shared * 3 + 2], all[shared * 4 + 3]);
    }
    // Attention and MLP read the same state by norms of their own.
    let inner = loud.affine(&place("mlp.dense_h_to_4h"), &loud.layer_norm(&place("ln_mlp"), x, 1e-5));
    let inner: Vec<f64> = inner.into_iter().map(gelu).collect();
    close(&at(Point::Mlp)[2], &loud.affine(&place("mlp.dense_4h_to_h"), &inner));
    // The matrices of heads are those columns.
    let weights = loud.model.head_weights().unwrap();
    let matrix = rows(loud.variable(&place("self_attention.query_key_value.weight")));
    for (head, [query, key]) in [[0, 2], [1, 2], [4, 6], [5, 6]].into_iter().enumerate() {
        let found = &weights[4 + head];
        for (d, column) in found.query.columns().into_iter().enumerate() {
            let column: Vec<f64> = column.iter().map(|&x| f64::from(x)).collect();
            close(&column, &matrix[query * 4 + d]);
        }
        for (d, column) in found.key.columns().into_iter().enumerate() {
            let column: Vec<f64> = column.iter().map(|&x| f64::from(x)).collect();
            close(&column, &matrix[key * 4 + d]);
        }
    }
    let one_norm = json!({"new_decoder_architecture": true, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1});
    let names = crate::by_hand::loud(&tiny("falcon", one_norm)).variables;
    assert!(
        names.contains_key("transformer.h.1.input_layernorm.weight")
            && !names.keys().any(|name| name.contains("ln_attn"))
    );
}

#[test]
fn slopes_of_three_heads_are_those_of_four() {
    let slopes = |family: &str, heads: usize| {
        let options = json!({"n_head": heads, "n_heads": heads, "hidden_size": 12, "d_model": 12});
        let model = build(&tiny(family, options)).unwrap();
        model.info().attentions[0].alibi.clone().unwrap().slopes
    };
    let powers = |list: &[i32]| -> Vec<f32> { list.iter().map(|&power| 2.0_f32.powi(-power)).collect() };
    assert_eq!(slopes("bloom", 4), powers(&[2, 4, 6, 8]));
    assert_eq!(slopes("mpt", 4), powers(&[2, 4, 6, 8]));
    assert_eq!(slopes("bloom", 3), powers(&[4, 8, 2]));
    assert_eq!(slopes("mpt", 3), powers(&[4, 8, 2]));
    assert_eq!(slopes("bloom", 6), powers(&[2, 4, 6, 8, 1, 3]));
    assert_eq!(slopes("mpt", 6), powers(&[2, 4, 6, 8, 1, 3]));
}

#[test]
fn phi_may_norm_queries_and_keys() {
    let loud = loud(&tiny("phi", json!({"qk_layernorm": true})));
    let (_, recorder) = run(&loud.model, &ids(&[&[3, 1, 4]]));
    let place = |name: &str| format!("model.layers.1.{name}");
    let x = &rows(&recorder.tensors[&Site::hidden(Side::Decoder, 1)])[2];
    let x = loud.layer_norm(&place("input_layernorm"), x, 1e-5);
    for (point, map, norm) in [
        (Point::QueryBeforeRotation, "self_attn.q_proj", "self_attn.q_layernorm"),
        (Point::KeyBeforeRotation, "self_attn.k_proj", "self_attn.k_layernorm"),
    ] {
        let all = loud.affine(&place(map), &x);
        let found = rows(&recorder.tensors[&site(1, point)]);
        for (head, own) in all.chunks(4).enumerate() {
            close(&found[head * 3 + 2], &loud.layer_norm(&place(norm), own, 1e-5));
        }
    }
}

#[test]
fn logits_are_capped() {
    let config = |cap: Value| {
        let options = json!({"architectures": ["Gemma3ForCausalLM"], "final_logit_softcapping": cap});
        loud(&tiny("gemma3_text", options))
    };
    let logits = |cap: Value| values(&run(&config(cap).model, &ids(&[&[3, 1, 4]])).0.logits.unwrap());
    let (plain, capped) = (logits(Value::Null), logits(json!(2.0)));
    assert!(plain.iter().any(|logit| logit.abs() > 3.0));
    for (plain, capped) in plain.iter().zip(&capped) {
        assert!((2.0 * (plain / 2.0).tanh() - capped).abs() < 1e-5);
    }
}

#[test]
fn gemma_means_the_tanh_gelu() {
    let mlp = |options: Value| {
        let recorder = run(&loud(&tiny("gemma", options)).model, &ids(&[&[3, 1, 4]])).1;
        values(&recorder.tensors[&site(0, Point::Mlp)])
    };
    let tanh = mlp(json!({}));
    assert_eq!(tanh, mlp(json!({"hidden_act": "gelu"})));
    assert_eq!(
        tanh,
        mlp(json!({"hidden_act": "gelu", "hidden_activation": "gelu_pytorch_tanh"}))
    );
    assert_ne!(tanh, mlp(json!({"hidden_activation": "gelu"})));
    assert_ne!(tanh, mlp(json!({"hidden_act": "silu"})));
}

#[test]
fn all_heads_may_share_one_key() {
    for family in ["llama", "qwen3"] {
        assert_attention(&tiny(family, json!({"num_key_value_heads": 1})), |_, query, key| {
            key <= query
        });
    }
}

#[test]
fn biases_and_norms_are_those_of_the_family() {
    let has = |family: &str, options: Value, end: &str| {
        loud(&tiny(family, options))
            .variables
            .keys()
            .any(|name| name.ends_with(end))
    };
    for (family, query, output) in [
        ("mistral", false, false),
        ("qwen2", true, false),
        ("qwen3", false, false),
    ] {
        assert_eq!(has(family, json!({}), "q_proj.bias"), query, "{family}");
        assert_eq!(has(family, json!({}), "o_proj.bias"), output, "{family}");
        assert_eq!(has(family, json!({}), "q_norm.weight"), family == "qwen3");
        // An option of Llama's, which they do not read.
        assert!(!has(family, json!({"mlp_bias": true}), "up_proj.bias"));
    }
    assert!(has("qwen3", json!({"attention_bias": true}), "o_proj.bias"));
    assert!(!has(
        "gpt_neox",
        json!({"attention_bias": false}),
        "query_key_value.bias"
    ));
    assert!(has("gpt_neox", json!({"attention_bias": false}), "dense_h_to_4h.bias"));
}

#[test]
fn norms_of_queries_and_keys_come_before_rotation() {
    let loud = loud(&tiny("qwen3", json!({})));
    let (_, recorder) = run(&loud.model, &ids(&[&[3, 1, 4]]));
    let place = |name: &str| format!("model.layers.1.{name}");
    let x = &rows(&recorder.tensors[&Site::hidden(Side::Decoder, 1)])[2];
    let x = loud.rms_norm(&place("input_layernorm"), x, 1e-6);
    for (point, map, norm) in [
        (Point::QueryBeforeRotation, "self_attn.q_proj", "self_attn.q_norm"),
        (Point::KeyBeforeRotation, "self_attn.k_proj", "self_attn.k_norm"),
    ] {
        let all = loud.affine(&place(map), &x);
        let found = rows(&recorder.tensors[&site(1, point)]);
        for (head, own) in all.chunks(4).enumerate() {
            close(&found[head * 3 + 2], &loud.rms_norm(&place(norm), own, 1e-6));
        }
    }
}

#[test]
fn neox_reads_the_residual_stream_in_parallel_or_not() {
    for parallel in [true, false] {
        let loud = loud(&tiny("gpt_neox", json!({"use_parallel_residual": parallel})));
        let (_, recorder) = run(&loud.model, &ids(&[&[3, 1, 4]]));
        let at = |point| rows(&recorder.tensors[&site(0, point)]);
        let (x, attended, inner) = (at(Point::Hidden), at(Point::AttentionOutput), at(Point::Mlp));
        let next = rows(&recorder.tensors[&Site::hidden(Side::Decoder, 1)]);
        for token in 0..3 {
            let after: Vec<f64> = x[token].iter().zip(&attended[token]).map(|(x, a)| x + a).collect();
            let read = if parallel { &x[token] } else { &after };
            let place = |name: &str| format!("gpt_neox.layers.0.{name}");
            let normed = loud.layer_norm(&place("post_attention_layernorm"), read, 1e-5);
            let wide = loud.affine(&place("mlp.dense_h_to_4h"), &normed);
            let wide: Vec<f64> = wide.into_iter().map(gelu).collect();
            close(&inner[token], &loud.affine(&place("mlp.dense_4h_to_h"), &wide));
            let sum: Vec<f64> = after.iter().zip(&inner[token]).map(|(a, m)| a + m).collect();
            close(&next[token], &sum);
        }
        // Queries, keys and values lie head by head in one map.
        let normed = loud.layer_norm("gpt_neox.layers.0.input_layernorm", &x[2], 1e-5);
        let all = loud.affine("gpt_neox.layers.0.attention.query_key_value", &normed);
        let values = at(Point::Value);
        close(&values[2], &all[8..12]);
        close(&values[3 + 2], &all[20..24]);
    }
}

#[test]
fn classifiers_read_the_last_token_that_is_not_padding() {
    for (family, class) in [
        ("gpt2", "GPT2ForSequenceClassification"),
        ("gpt_neox", "GPTNeoXForSequenceClassification"),
        ("llama", "LlamaForSequenceClassification"),
        ("mistral", "MistralForSequenceClassification"),
        ("qwen2", "Qwen2ForSequenceClassification"),
        ("qwen3", "Qwen3ForSequenceClassification"),
        ("bloom", "BloomForSequenceClassification"),
        ("falcon", "FalconForSequenceClassification"),
        ("gemma", "GemmaForSequenceClassification"),
        ("gemma2", "Gemma2ForSequenceClassification"),
        ("gpt_oss", "GptOssForSequenceClassification"),
        ("mpt", "MptForSequenceClassification"),
        ("gemma3_text", "Gemma3TextForSequenceClassification"),
        ("gpt_neo", "GPTNeoForSequenceClassification"),
        ("gptj", "GPTJForSequenceClassification"),
        ("mixtral", "MixtralForSequenceClassification"),
        ("olmo2", "Olmo2ForSequenceClassification"),
        ("opt", "OPTForSequenceClassification"),
        ("phi", "PhiForSequenceClassification"),
        ("phi3", "Phi3ForSequenceClassification"),
        ("qwen3_moe", "Qwen3MoeForSequenceClassification"),
        ("smollm3", "SmolLM3ForSequenceClassification"),
        ("starcoder2", "Starcoder2ForSequenceClassification"),
    ] {
        let options = json!({"architectures": [class], "pad_token_id": 0, "id2label": {"0": "a", "1": "b", "2": "c"}});
        let loud = loud(&tiny(family, options));
        assert_eq!(loud.model.labels(), ["a", "b", "c"]);
        // The first is padded with a mask, by `ids`; the second ends with padding that no mask tells.
        let (output, _) = run(&loud.model, &ids(&[&[3, 1, 4], &[3, 1, 4, 2, 0]]));
        let logits = rows(&output.logits.unwrap());
        let hidden = rows(&output.last_hidden);
        close(&logits[0], &loud.affine("score", &hidden[2]));
        close(&logits[1], &loud.affine("score", &hidden[5 + 3]));
        // Padding on the left.
        let mut left = ids(&[&[0, 0, 3, 1, 4]]);
        let mask = attn_models::candle::Tensor::new(&[[0_u32, 0, 1, 1, 1]], loud.model.device()).unwrap();
        left.attention_mask = Some(mask);
        let (output, _) = run(&loud.model, &left);
        close(
            &rows(&output.logits.unwrap())[0],
            &loud.affine("score", &rows(&output.last_hidden)[4]),
        );
    }
    // Without an id of padding: the last token.
    let options = json!({"architectures": ["LlamaForSequenceClassification"], "pad_token_id": -1});
    let loud = loud(&tiny("llama", options));
    let (output, _) = run(&loud.model, &ids(&[&[3, 0, 0]]));
    close(
        &rows(&output.logits.unwrap())[0],
        &loud.affine("score", &rows(&output.last_hidden)[2]),
    );
}

#[test]
fn words_are_read_by_a_map_of_its_own_or_the_embeddings() {
    for (family, class, map) in [
        ("gpt_neox", "GPTNeoXForCausalLM", "embed_out.weight"),
        ("mistral", "MistralForCausalLM", "lm_head.weight"),
        ("qwen2", "Qwen2ForCausalLM", "lm_head.weight"),
        ("qwen3", "Qwen3ForCausalLM", "lm_head.weight"),
    ] {
        for tied in [true, false] {
            let loud = loud(&tiny(
                family,
                json!({"architectures": [class], "tie_word_embeddings": tied}),
            ));
            assert_eq!(loud.variables.contains_key(map), !tied);
            let (output, _) = run(&loud.model, &ids(&[&[3, 1]]));
            let table = match (tied, family) {
                (false, _) => map,
                (true, "gpt_neox") => "gpt_neox.embed_in.weight",
                (true, _) => "model.embed_tokens.weight",
            };
            let hidden = &rows(&output.last_hidden)[1];
            let expected: Vec<f64> = rows(loud.variable(table)).iter().map(|row| dot(row, hidden)).collect();
            close(&rows(&output.logits.unwrap())[1], &expected);
        }
    }
}

#[test]
fn positions_are_tapped_as_numbers() {
    for family in ["gpt_neox", "llama", "mistral", "qwen2", "qwen3"] {
        let model = build(&tiny(family, json!({}))).unwrap();
        let mut recorder = Recorder::of(&[Point::Positions]);
        let inputs: Inputs = ids(&[&[3, 1, 4]]);
        model.forward(&inputs, &mut recorder).unwrap();
        let positions = &recorder.tensors[&Site::positions(Side::Decoder)];
        assert_eq!(
            (positions.dims(), values(positions)),
            (&[1, 3][..], vec![0.0, 1.0, 2.0])
        );
    }
    // Taken away, the model cannot tell where its tokens stand: repeated tokens look alike.
    struct Zero;
    impl attn_models::Tap for Zero {
        fn wants(&self, site: Site) -> bool {
            site.point == Point::Positions
        }
        fn tap(&mut self, _: Site, tensor: attn_models::candle::Tensor) -> Result<attn_models::candle::Tensor> {
            Ok(tensor.zeros_like()?)
        }
    }
    let model = build(&tiny("gpt_neox", json!({}))).unwrap();
    let hidden = model.forward(&ids(&[&[3, 3, 3]]), &mut Zero).unwrap().last_hidden;
    let token = |at| hidden.narrow(1, at, 1).unwrap();
    assert!(difference(&token(0), &token(2), None) < 1e-5);
}
