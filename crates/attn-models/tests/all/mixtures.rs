//! Mixtures of experts, against the same sums by hand.

use attn_core::{Attention, Side};
use attn_models::{Gradients, Model, Point, Result, Site, Tap, Weights, candle::Tensor, record::Recorder};
use serde_json::{Value, json};

use crate::{
    by_hand::{Loud, close, ids, loud, rows, run, silu},
    support::values,
};

fn tiny(family: &str, options: Value) -> Value {
    let mut config = json!({"model_type": family, "vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4, "intermediate_size": 10,
        "max_position_embeddings": 64, "num_local_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 6});
    for (key, value) in options.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// `down(silu(gate x) * up x)`.
fn gated(loud: &Loud, place: &str, [gate, up, down]: [&str; 3], x: &[f64]) -> Vec<f64> {
    let at = |name: &str| format!("{place}.{name}");
    let gate = loud.affine(&at(gate), x);
    let up = loud.affine(&at(up), x);
    let inner: Vec<f64> = gate.into_iter().zip(up).map(|(gate, up)| silu(gate) * up).collect();
    loud.affine(&at(down), &inner)
}

#[test]
fn a_mixture_is_the_weighted_sum_of_the_chosen_experts() {
    let qwen = ["gate_proj", "up_proj", "down_proj"];
    let cases = [
        ("mixtral", json!({}), "block_sparse_moe", ["w1", "w3", "w2"], true),
        ("qwen3_moe", json!({}), "mlp", qwen, false),
        ("qwen3_moe", json!({"norm_topk_prob": true}), "mlp", qwen, true),
    ];
    for (family, options, place, maps, renormalized) in cases {
        let loud = loud(&tiny(family, options));
        let (_, recorder) = run(&loud.model, &ids(&[&[3, 1, 4, 1, 5, 9, 2, 6]]));
        for layer in 0..3 {
            let at = |point| rows(&recorder.tensors[&Site::new(Attention::DecoderSelf, layer, point)]);
            let (state, attended, found) = (at(Point::Hidden), at(Point::AttentionOutput), at(Point::Mlp));
            let block = format!("model.layers.{layer}");
            for token in 0..8 {
                let after: Vec<f64> = state[token].iter().zip(&attended[token]).map(|(x, a)| x + a).collect();
                let epsilon = if family == "mixtral" { 1e-5 } else { 1e-6 };
                let x = loud.rms_norm(&format!("{block}.post_attention_layernorm"), &after, epsilon);
                let logits = loud.affine(&format!("{block}.{place}.gate"), &x);
                let mut chosen: Vec<usize> = (0..5).collect();
                chosen.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
                chosen.truncate(2);
                let power = |expert: &usize| logits[*expert].exp();
                let total: f64 = match renormalized {
                    true => chosen.iter().map(power).sum(),
                    false => (0..5).map(|expert| power(&expert)).sum(),
                };
                let mut wanted = vec![0.0; 8];
                for expert in &chosen {
                    let made = gated(&loud, &format!("{block}.{place}.experts.{expert}"), maps, &x);
                    let weight = power(expert) / total;
                    wanted
                        .iter_mut()
                        .zip(made)
                        .for_each(|(sum, made)| *sum += weight * made);
                }
                close(&found[token], &wanted);
            }
        }
    }
}

#[test]
fn some_layers_have_one_mlp_for_every_token() {
    for (options, mixed) in [
        (json!({}), [true, true, true]),
        (json!({"decoder_sparse_step": 2}), [false, true, false]),
        (json!({"mlp_only_layers": [0, 7]}), [false, true, true]),
    ] {
        let loud = loud(&tiny("qwen3_moe", options));
        let mut recorder = Recorder::of(&[Point::Router, Point::Hidden, Point::AttentionOutput, Point::Mlp]);
        loud.model.forward(&ids(&[&[3, 1, 4]]), &mut recorder).unwrap();
        for (layer, mixed) in mixed.into_iter().enumerate() {
            assert_eq!(loud.model.experts(layer).is_some(), mixed);
            let router = recorder.tensors.get(&Site::router(Side::Decoder, layer));
            assert_eq!(router.map(Tensor::dims), mixed.then_some(&[1, 3, 5][..]));
            if mixed {
                continue;
            }
            let at = |point| rows(&recorder.tensors[&Site::new(Attention::DecoderSelf, layer, point)]).remove(2);
            let after: Vec<f64> = at(Point::Hidden)
                .iter()
                .zip(at(Point::AttentionOutput))
                .map(|(x, a)| x + a)
                .collect();
            let block = format!("model.layers.{layer}");
            let x = loud.rms_norm(&format!("{block}.post_attention_layernorm"), &after, 1e-6);
            let wanted = gated(
                &loud,
                &format!("{block}.mlp"),
                ["gate_proj", "up_proj", "down_proj"],
                &x,
            );
            close(&at(Point::Mlp), &wanted);
        }
    }
}

/// Keeps every token from one expert.
struct Without(usize);

impl Tap for Without {
    fn wants(&self, site: Site) -> bool {
        site.point == Point::Router
    }

    fn tap(&mut self, _: Site, logits: Tensor) -> Result<Tensor> {
        let (_, _, experts) = logits.dims3()?;
        let least = (0..experts).map(|expert| if expert == self.0 { f32::MIN } else { 0.0 });
        Ok(logits.broadcast_add(&Tensor::from_iter(least, logits.device())?)?)
    }
}

#[test]
fn an_expert_is_taken_out_at_the_router() {
    let weights = Weights::initialize(5);
    let config = tiny(
        "mixtral",
        json!({"architectures": ["MixtralForCausalLM"], "num_experts_per_tok": 4}),
    );
    let model = Model::build("tiny", &config.to_string(), &weights, Gradients::On).unwrap();
    let inputs = ids(&[&[3, 1, 4, 1, 5, 9, 2, 6]]);
    let mut taps = (Without(3), Recorder::of(&[Point::Router]));
    let found = model.forward(&inputs, &mut taps).unwrap().logits.unwrap();
    for layer in 0..3 {
        let logits = &taps.1.tensors[&Site::router(Side::Decoder, layer)];
        let routes = model.experts(layer).unwrap().route(logits).unwrap();
        assert!(
            routes
                .chosen
                .iter()
                .all(|chosen| chosen.len() == 4 && !chosen.contains(&3))
        );
        let weights = values(&routes.weights);
        for weights in weights.chunks(5) {
            assert_eq!(weights[3], 0.0);
            assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }
    // Whatever it holds then has no effect, and no gradient.
    let variables = weights.variables();
    let gradients = found.sum_all().unwrap().backward().unwrap();
    for (name, variable) in &variables {
        if name.contains("experts.3.") {
            assert!(gradients.get(variable).is_none(), "{name}");
            variable.set(&variable.as_tensor().ones_like().unwrap()).unwrap();
        } else if name.contains("experts.") {
            assert!(gradients.get(variable).is_some(), "{name}");
        }
    }
    let again = model.forward(&inputs, &mut Without(3)).unwrap().logits.unwrap();
    assert_eq!(values(&found), values(&again));
    let plain = model.forward(&inputs, &mut ()).unwrap().logits.unwrap();
    assert_ne!(values(&found), values(&plain));
}
