//! Rotary positions: partial rotation and every scaling for longer contexts, against angles by hand.

use attn_core::Attention;
use attn_models::{
    Error, Gradients, Inputs, Model, Point, Result, Site, Weights,
    generate::{GenerationParams, Generator},
    record::Recorder,
};
use serde_json::{Value, json};

use crate::support::{difference, largest, values};

fn llama(head_dim: usize, options: Value) -> Value {
    let mut config = json!({"model_type": "llama", "vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "head_dim": head_dim, "intermediate_size": 16, "max_position_embeddings": 64});
    for (key, value) in options.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn build(config: &Value) -> Result<Model> {
    Model::build("tiny", &config.to_string(), &Weights::initialize(5), Gradients::Off)
}

/// Queries of a layer's first head before and after rotation, `[token][dimension]`.
fn queries(model: &Model, layer: usize, tokens: usize) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let mut recorder = Recorder::of(&[Point::Query, Point::QueryBeforeRotation]);
    let ids = (0..tokens as u32).map(|at| at % 29 + 1).collect();
    model
        .forward(&Inputs::from_ids(&[ids], 0).unwrap(), &mut recorder)
        .unwrap();
    let get = |point| -> Vec<Vec<f64>> {
        let tensor = &recorder.tensors[&Site::new(Attention::DecoderSelf, layer, point)];
        let head = tensor.narrow(1, 0, 1).unwrap().contiguous().unwrap();
        let head_dim = head.dim(3).unwrap();
        values(&head)
            .chunks(head_dim)
            .map(|row| row.iter().map(|&x| f64::from(x)).collect())
            .collect()
    };
    (get(Point::QueryBeforeRotation), get(Point::Query))
}

/// Every pair of every query has turned by its frequency times its position and grown by the magnitude; dimensions
/// beyond the pairs are as they were.
fn assert_rotated(model: &Model, tokens: usize, frequencies: &[f64], magnitude: f64) {
    assert_layer_rotated(model, 0, tokens, frequencies, magnitude);
}

fn assert_layer_rotated(model: &Model, layer: usize, tokens: usize, frequencies: &[f64], magnitude: f64) {
    let pairs = frequencies.len();
    let (before, after) = queries(model, layer, tokens);
    for (position, (before, after)) in before.iter().zip(&after).enumerate() {
        let size = before.iter().map(|x| x.abs()).fold(0.0, f64::max);
        for (pair, frequency) in frequencies.iter().enumerate() {
            let (sin, cos) = (frequency * position as f64).sin_cos();
            let (x, y) = (before[pair], before[pair + pairs]);
            let expected = [magnitude * (x * cos - y * sin), magnitude * (y * cos + x * sin)];
            for (found, expected) in [after[pair], after[pair + pairs]].iter().zip(expected) {
                assert!(
                    (found - expected).abs() < 1e-4 * size,
                    "position {position}, pair {pair}: {found} instead of {expected}"
                );
            }
        }
        assert_eq!(before[2 * pairs..], after[2 * pairs..]);
    }
}

#[test]
fn a_part_of_each_head_is_rotated() {
    let config = |options: Value| {
        let mut config = json!({"model_type": "gpt_neox", "vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 64});
        for (key, value) in options.as_object().unwrap() {
            config[key] = value.clone();
        }
        config
    };
    for (options, frequencies) in [
        // A quarter of 8 dimensions by default.
        (json!({}), &[1.0][..]),
        (json!({"rotary_pct": 0.5}), &[1.0, 0.01]),
        (json!({"rotary_pct": 0.5, "rotary_emb_base": 100}), &[1.0, 0.1]),
        (
            json!({"rope_parameters": {"partial_rotary_factor": 0.5, "rope_theta": 100.0, "rope_type": "default"}}),
            &[1.0, 0.1],
        ),
        (
            json!({"rotary_pct": 1.0, "rope_scaling": {"type": "linear", "factor": 2.0}}),
            &[0.5, 0.05, 0.005, 0.0005],
        ),
    ] {
        assert_rotated(&build(&config(options)).unwrap(), 20, frequencies, 1.0);
    }
    for wrong in [0.1, 0.4] {
        let error = build(&config(json!({"rotary_pct": wrong}))).unwrap_err();
        assert!(
            matches!(&error, Error::Config { key, .. } if key == "rotary_pct"),
            "{error}"
        );
    }
}

#[test]
fn kinds_of_layers_have_rotations_of_their_own() {
    let config = |options: Value| {
        let mut config = json!({"model_type": "gemma3_text", "vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4, "intermediate_size": 16,
            "max_position_embeddings": 64, "sliding_window": 8, "sliding_window_pattern": 2});
        for (key, value) in options.as_object().unwrap() {
            config[key] = value.clone();
        }
        config
    };
    for (options, sliding, full) in [
        (json!({}), [1.0, 0.01], [1.0, 0.001]),
        // One set of parameters is that of the full layers.
        (
            json!({"rope_theta": 100, "rope_local_base_freq": 1e6, "rope_scaling": {"rope_type": "linear", "factor": 2}}),
            [1.0, 0.001],
            [0.5, 0.05],
        ),
        (
            json!({"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 4, "rope_theta": 100},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e6}}}),
            [1.0, 0.001],
            [0.25, 0.025],
        ),
        (
            json!({"rope_parameters": {"full_attention": {"rope_theta": 100}}, "rope_local_base_freq": 1e6}),
            [1.0, 0.001],
            [1.0, 0.1],
        ),
    ] {
        let model = build(&config(options)).unwrap();
        assert_layer_rotated(&model, 0, 20, &sliding, 1.0);
        assert_layer_rotated(&model, 1, 20, &full, 1.0);
    }
    // Positions are tapped once for all of them.
    struct Count(usize);
    impl attn_models::Tap for Count {
        fn wants(&self, site: Site) -> bool {
            site.point == Point::Positions
        }
        fn tap(&mut self, _: Site, tensor: attn_models::candle::Tensor) -> Result<attn_models::candle::Tensor> {
            self.0 += 1;
            Ok(tensor.zeros_like()?)
        }
    }
    let model = build(&config(json!({}))).unwrap();
    let mut taps = (Count(0), Recorder::of(&[Point::Query, Point::QueryBeforeRotation]));
    let inputs = Inputs::from_ids(&[vec![1, 2, 3, 4]], 0).unwrap();
    model.forward(&inputs, &mut taps).unwrap();
    assert_eq!(taps.0.0, 1);
    for layer in 0..2 {
        let at = |point| &taps.1.tensors[&Site::new(Attention::DecoderSelf, layer, point)];
        assert_eq!(difference(at(Point::Query), at(Point::QueryBeforeRotation), None), 0.0);
    }
}

#[test]
fn phi3_may_rotate_a_part_of_each_head() {
    let mut config = llama(8, json!({"partial_rotary_factor": 0.75, "rope_theta": 1e6}));
    config["model_type"] = "phi3".into();
    assert_rotated(&build(&config).unwrap(), 20, &[1.0, 0.01, 0.0001], 1.0);
}

#[test]
fn a_dynamic_base_grows_with_the_sequence() {
    let options = json!({"max_position_embeddings": 8, "rope_scaling": {"type": "dynamic", "factor": 2.0}});
    let model = build(&llama(4, options)).unwrap();
    assert_eq!(model.info().max_tokens, Some(16));
    // Up to the trained length nothing changes.
    assert_rotated(&model, 8, &[1.0, 0.01], 1.0);
    // 12 tokens: the base times (2 * 12 / 8 - 1)^(4 / 2) = 4; 16 tokens: times (2 * 16 / 8 - 1)^2 = 9.
    assert_rotated(&model, 12, &[1.0, 40_000.0_f64.powf(-0.5)], 1.0);
    assert_rotated(&model, 16, &[1.0, 90_000.0_f64.powf(-0.5)], 1.0);
    let too_long = Inputs::from_ids(&[vec![1; 17]], 0).unwrap();
    assert!(matches!(model.forward(&too_long, &mut ()), Err(Error::Input { .. })));
    // With one pair the formula divides by 0.
    let error = build(&llama(2, json!({"rope_scaling": {"type": "dynamic", "factor": 2.0}}))).unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error}");
}

#[test]
fn yarn_stretches_slow_pairs_and_sharpens_attention() {
    // 8 dimensions, base 100: the pairs turn 10^(-i / 2) per position. Over 64 trained positions a pair turns 4 times
    // at dimension 8 ln(64 / 8 pi) / (2 ln 100) = 0.8119 and once at 8 ln(64 / 2 pi) / (2 ln 100) = 2.0160: rounded
    // outwards, the ramp runs from 0 to 3.
    let yarn = json!({"rope_type": "yarn", "factor": 4.0, "beta_fast": 4.0, "beta_slow": 1.0,
        "original_max_position_embeddings": 64});
    let with = |more: Value| {
        let mut scaling = yarn.clone();
        for (key, value) in more.as_object().unwrap() {
            scaling[key] = value.clone();
        }
        let options = json!({"rope_theta": 100.0, "max_position_embeddings": 256, "rope_scaling": scaling});
        build(&llama(8, options)).unwrap()
    };
    let root = 10.0_f64.sqrt();
    let rounded = [1.0, 0.75 / root, 0.1 * 0.5, 0.1 / root * 0.25];
    let own = 0.1 * 4.0_f64.ln() + 1.0;
    let model = with(json!({}));
    assert_eq!(model.info().max_tokens, Some(256));
    assert_rotated(&model, 30, &rounded, own);
    assert_rotated(&with(json!({"attention_factor": 1.5})), 30, &rounded, 1.5);
    let ratio = (0.1 * 0.7 * 4.0_f64.ln() + 1.0) / (0.1 * 0.4 * 4.0_f64.ln() + 1.0);
    assert_rotated(
        &with(json!({"mscale": 0.7, "mscale_all_dim": 0.4})),
        30,
        &rounded,
        ratio,
    );
    // Without rounding.
    let kept = |pair: f64| 1.0 - ((pair - 0.811_880) / (2.016_000 - 0.811_880)).clamp(0.0, 1.0);
    let exact: Vec<f64> = (0..4)
        .map(|pair| root.powi(-pair) * (kept(f64::from(pair)) + (1.0 - kept(f64::from(pair))) / 4.0))
        .collect();
    assert_rotated(&with(json!({"truncate": false})), 30, &exact, own);
    // Where the configuration gives the trained length only, the stretched one is the longest.
    let options = json!({"max_position_embeddings": 64, "rope_scaling": {"type": "yarn", "factor": 4.0}});
    assert_eq!(build(&llama(8, options)).unwrap().info().max_tokens, Some(256));
    for (options, key) in [
        (json!({"rope_scaling": {"type": "yarn"}}), "factor"),
        (
            json!({"rope_scaling": {"type": "yarn", "factor": 2, "beta_fast": 1, "beta_slow": 2}}),
            "beta_fast",
        ),
    ] {
        let error = build(&llama(8, options)).unwrap_err();
        assert!(
            matches!(&error, Error::Config { key: named, .. } if named == key),
            "{error}"
        );
    }
}

/// Llama with 4 pairs, a base of 100 and 128 positions.
fn spelled(options: Value) -> Model {
    let mut config = llama(8, json!({"max_position_embeddings": 128}));
    for (key, value) in options.as_object().unwrap() {
        config[key] = value.clone();
    }
    build(&config).unwrap()
}

/// `base^(-i / 4)`.
fn plain(base: f64) -> Vec<f64> {
    (0..4).map(|pair| base.powf(-f64::from(pair) / 4.0)).collect()
}

#[test]
fn every_spelling_is_read_as_the_reference_reads_it() {
    // What transformers 5.24 makes of each: `AutoConfig`, then `standardize_rope_params` as its models call it.
    let halved: Vec<f64> = plain(30.0).into_iter().map(|frequency| frequency / 2.0).collect();
    let quartered = |base: f64| -> Vec<f64> { plain(base).into_iter().map(|frequency| frequency / 4.0).collect() };
    for (options, frequencies) in [
        (json!({"rope_theta": 500}), plain(500.0)),
        (
            json!({"rope_theta": 500, "rope_scaling": null, "rope_parameters": null}),
            plain(500.0),
        ),
        // The object holds everything.
        (
            json!({"rope_scaling": {"rope_theta": 500.0, "rope_type": "default"}}),
            plain(500.0),
        ),
        (json!({"rope_parameters": {"rope_theta": 500.0}}), plain(500.0)),
        // Inside before beside.
        (
            json!({"rope_theta": 20.0, "rope_parameters": {"rope_theta": 500.0}}),
            plain(500.0),
        ),
        (
            json!({"rope_theta": 20.0, "rope_scaling": {"rope_theta": 500.0}}),
            plain(500.0),
        ),
        (
            json!({"rope_theta": 20.0, "rope_scaling": {"rope_theta": null}}),
            plain(20.0),
        ),
        // Of two objects the older name counts, and the other is not read at all.
        (
            json!({"rope_theta": 20.0, "rope_scaling": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0},
                "rope_parameters": {"rope_type": "default", "rope_theta": 30.0}}),
            quartered(500.0),
        ),
        (
            json!({"rope_theta": 20.0, "rope_scaling": {"type": "linear", "factor": 4.0},
                "rope_parameters": {"rope_type": "default", "rope_theta": 30.0}}),
            quartered(20.0),
        ),
        // An empty one is none.
        (
            json!({"rope_scaling": {}, "rope_parameters": {"rope_theta": 30.0, "type": "linear", "factor": 2}}),
            halved,
        ),
        // Of two kinds the newer name counts.
        (
            json!({"rope_theta": 100, "rope_scaling": {"type": "linear", "rope_type": "default", "factor": 2}}),
            plain(100.0),
        ),
    ] {
        assert_rotated(&spelled(options), 40, &frequencies, 1.0);
    }
}

#[test]
fn the_trained_length_is_filled_in() {
    // By the formulas of `modeling_rope_utils.py` in float64.
    let llama3 = |more: Value| {
        let mut scaling =
            json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0});
        for (key, value) in more.as_object().unwrap() {
            scaling[key] = value.clone();
        }
        scaling
    };
    let of_128 = [1.0, 0.316_227_766, 0.042_751_179, 0.003_952_847];
    let of_64 = [1.0, 0.244_384_599, 0.013_042_256, 0.003_952_847];
    let of_32 = [1.0, 0.095_839_986, 0.0125, 0.003_952_847];
    let inside = json!({"original_max_position_embeddings": 64});
    let model = spelled(json!({"rope_theta": 100, "rope_scaling": llama3(json!({}))}));
    assert_rotated(&model, 60, &of_128, 1.0);
    let model = spelled(json!({"rope_theta": 100, "rope_scaling": llama3(inside.clone())}));
    assert_rotated(&model, 60, &of_64, 1.0);
    let model =
        spelled(json!({"rope_theta": 100, "rope_scaling": llama3(json!({"original_max_position_embeddings": null}))}));
    assert_rotated(&model, 60, &of_128, 1.0);
    // Beside the object before inside.
    let beside = json!({"rope_theta": 100, "original_max_position_embeddings": 32, "rope_scaling": llama3(inside)});
    assert_rotated(&spelled(beside), 60, &of_32, 1.0);

    let yarn = |options: Value| {
        let mut all = json!({"rope_theta": 100});
        for (key, value) in options.as_object().unwrap() {
            all[key] = value.clone();
        }
        spelled(all)
    };
    let scaling = json!({"type": "yarn", "factor": 2.0});
    let model = yarn(json!({"rope_scaling": scaling}));
    assert_rotated(
        &model,
        60,
        &[1.0, 0.263_523_138, 0.066_666_667, 0.015_811_388],
        1.069_314_718,
    );
    let model = yarn(json!({"rope_scaling": scaling, "original_max_position_embeddings": 32}));
    assert_rotated(&model, 60, &[1.0, 0.237_170_825, 0.05, 0.015_811_388], 1.069_314_718);
    // A factor that is null is the ratio of the lengths.
    let implied = json!({"type": "yarn", "factor": null, "original_max_position_embeddings": 32});
    let model = yarn(json!({"rope_parameters": implied}));
    assert_rotated(&model, 60, &[1.0, 0.197_642_354, 0.025, 0.007_905_694], 1.138_629_436);
}

#[test]
fn longrope_has_factors_for_short_and_for_long_sequences() {
    let scaling = json!({"type": "longrope", "short_factor": [1, 2, 3, 4], "long_factor": [2, 4, 6, 8],
        "original_max_position_embeddings": 32});
    let by = |factors: [f64; 4]| -> Vec<f64> {
        plain(100.0)
            .iter()
            .zip(factors)
            .map(|(frequency, factor)| frequency / factor)
            .collect()
    };
    let (short, long) = (by([1.0, 2.0, 3.0, 4.0]), by([2.0, 4.0, 6.0, 8.0]));
    let model = spelled(json!({"rope_theta": 100, "rope_scaling": scaling}));
    assert_eq!(model.info().max_tokens, Some(128));
    // sqrt(1 + ln(128 / 32) / ln 32).
    assert_rotated(&model, 32, &short, 1.183_215_957);
    assert_rotated(&model, 33, &long, 1.183_215_957);
    // The given factor before the ratio; the given magnitude before both.
    let mut given = scaling.clone();
    given["factor"] = 2.0.into();
    let model = spelled(json!({"rope_theta": 100, "rope_scaling": given}));
    assert_rotated(&model, 30, &short, 1.095_445_115);
    given["attention_factor"] = 1.5.into();
    let model = spelled(json!({"rope_theta": 100, "rope_scaling": given}));
    assert_rotated(&model, 30, &short, 1.5);
    for (key, value) in [
        ("short_factor", json!([1, 2, 3])),
        ("long_factor", json!([1, 2, 3, "x"])),
        ("long_factor", json!([1, 2, 3, -1])),
    ] {
        let mut wrong = scaling.clone();
        wrong[key] = value;
        let error = build(&llama(8, json!({"rope_scaling": wrong}))).unwrap_err();
        assert!(
            matches!(&error, Error::Config { key: named, .. } if named == key),
            "{error}"
        );
    }
}

/// A sequence beside a longer one has the frequencies of its own length: the same queries as alone.
#[test]
fn neighbors_do_not_change_the_frequencies_of_a_sequence() {
    for options in [
        json!({"max_position_embeddings": 8, "rope_scaling": {"type": "dynamic", "factor": 4.0}}),
        json!({"original_max_position_embeddings": 8, "rope_scaling": {"rope_type": "longrope",
            "short_factor": [1.0, 1.5], "long_factor": [2.0, 4.0]}}),
    ] {
        let model = build(&llama(4, options)).unwrap();
        let run = |rows: &[Vec<u32>]| {
            let mut recorder = Recorder::of(&[Point::Query]);
            model
                .forward(&Inputs::from_ids(rows, 0).unwrap(), &mut recorder)
                .unwrap();
            recorder.tensors[&Site::new(Attention::DecoderSelf, 0, Point::Query)].clone()
        };
        let rows = [6_u32, 12, 20].map(|length| (1..=length).map(|at| at * 7 % 29 + 1).collect::<Vec<_>>());
        let together = run(&rows);
        for (at, row) in rows.iter().enumerate() {
            let own = together.narrow(0, at, 1).unwrap().narrow(2, 0, row.len()).unwrap();
            let alone = run(std::slice::from_ref(row));
            let error = difference(&own, &alone, None);
            assert!(error <= 1e-6 * largest(&alone), "sequence {at}: {error}");
        }
    }
}

/// Beyond the trained length all tokens turn otherwise, so that cached keys have to be made anew.
#[test]
fn a_generation_across_the_trained_length_is_the_same_with_and_without_a_cache() {
    let options = json!({"architectures": ["LlamaForCausalLM"], "original_max_position_embeddings": 8, "rope_scaling":
        {"rope_type": "longrope", "short_factor": [1.0, 1.5], "long_factor": [4.0, 9.0]}});
    let model = build(&llama(4, options)).unwrap();
    for beams in [1, 3] {
        let written = |cache| {
            let params = GenerationParams {
                beams,
                cache,
                max_new_tokens: Some(12),
                ..GenerationParams::default()
            };
            let inputs = Inputs::from_ids(&[vec![3, 9, 14, 4, 7]], 0).unwrap();
            let generator = Generator::new(&model, &params).unwrap();
            generator.run(&inputs, &mut (), &()).unwrap().remove(0).hypotheses
        };
        let (with, without) = (written(true), written(false));
        assert_eq!(with.len(), without.len());
        for (with, without) in with.iter().zip(&without) {
            assert_eq!(with.tokens, without.tokens);
            let pairs = with.log_probabilities.iter().zip(&without.log_probabilities);
            assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }
}
