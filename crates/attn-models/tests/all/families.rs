//! Every family against its fixture: what the reference implementation computed inside and out, for padded
//! batches and single sequences.

use std::collections::BTreeMap;

use attn_core::Side;
use attn_models::{
    Gradients, Model, Point, Site, Weights,
    candle::{DType, Tensor},
    record::{Recorder, run_raw},
};

use crate::support::{difference, expected, fixture, inputs, largest, open, values};

/// Every fixture.
pub(crate) const FAMILIES: [&str; 60] = [
    "albert",
    "bart",
    "bert",
    "bert-cls",
    "bloom",
    "clip-text",
    "clip-vision",
    "cohere",
    "deberta-v2",
    "deit",
    "dinov2",
    "dinov2-registers",
    "dinov2-swiglu",
    "dinov3",
    "distilbert",
    "electra",
    "falcon",
    "falcon-alibi",
    "gemma",
    "gemma2",
    "gemma3",
    "gpt-neo",
    "gpt-neox",
    "gpt-oss",
    "gpt2",
    "gpt2-scaled",
    "gptj",
    "granite",
    "llama",
    "llama-dynamic",
    "llama-linear",
    "llama-llama3",
    "llama-yarn",
    "llama-yarn-options",
    "m2m100",
    "marian",
    "marian-two",
    "mbart",
    "mistral",
    "mixtral",
    "modernbert",
    "mpnet",
    "mpt",
    "nomic-bert",
    "olmo2",
    "opt",
    "pegasus",
    "phi",
    "phi3",
    "qwen2",
    "qwen3",
    "qwen3-moe",
    "roberta",
    "smollm3",
    "starcoder2",
    "t5",
    "vit",
    "wav2vec2",
    "whisper",
    "xlm-roberta",
];

/// Every tensor that the reference recorded, which for a family are at least so many.
fn compare(name: &str, model: &Model) {
    let compared = agree(name, model);
    assert!(compared >= 14, "{name}: only {compared} tensors compared");
}

/// Compares every tensor that the reference recorded, and counts them.
pub(crate) fn agree(name: &str, model: &Model) -> usize {
    let expected = expected(name);
    let cases = ["pad", "left", "one", "px", "rand", "interp"];
    let mut compared = 0;
    for case in cases {
        if !expected.keys().any(|key| key.starts_with(&format!("{case}.in."))) {
            continue;
        }
        let raw = run_raw(model, &inputs(&expected, case)).unwrap();
        let valid_of = |side: &str| expected.get(&format!("{case}.valid_{side}"));
        for (key, wanted) in &expected {
            let Some(key) = key.strip_prefix(&format!("{case}.")) else {
                continue;
            };
            // DeiT's two heads are there one by one and as the mean, which is what the model gives.
            if key.starts_with("in.")
                || key.starts_with("valid")
                // Known but for a number per query: compared below.
                || key == "x.alibi"
                // What the convolutions make: nothing taps it, and all that follows depends on it.
                || key == "x.features"
                || ["cls_logits", "distillation_logits"].contains(&key)
                // What DeBERTa adds to its scores: compared by `encoders`.
                || key.ends_with(".bias")
            {
                continue;
            }
            // What a tower of text makes of it.
            let key = if key == "text_embeds" { "pooled" } else { key };
            let point = key.rsplit('.').next().unwrap();
            let routed = ["experts", "weights"]
                .contains(&point)
                .then(|| routed(model, &raw, key));
            let found = routed
                .as_ref()
                .or_else(|| raw.get(key))
                .unwrap_or_else(|| panic!("{name} {case}: {key} is not recorded"));
            // The reference lists what routers say token by token, sequence after sequence.
            let wanted = &match key.contains(".moe.") {
                true => wanted.reshape(found.shape()).unwrap(),
                false => wanted.clone(),
            };
            // Keys and values of a cross-attention are the encoder's; logits are the decoder's where there is one.
            let of_decoder = key.starts_with("dec.") && !(key.contains(".cross.") && matches!(point, "k" | "v"))
                || key == "logits" && expected.contains_key(&format!("{case}.in.decoder_input_ids"));
            let valid = valid_of(if of_decoder { "dec_q" } else { "q" });
            // Masks are [batch, tokens]; where the tokens stand depends on the tensor.
            let tokens_of = |valid: &&Tensor| wanted.rank() > 2 && wanted.dim(0).unwrap() == valid.dim(0).unwrap();
            let valid = valid.filter(tokens_of).map(|valid| {
                let (batch, tokens) = valid.dims2().unwrap();
                let shape = match point {
                    "q" | "k" | "v" | "q_pre" | "k_pre" | "attn" => vec![batch, 1, tokens, 1],
                    "ctx" => vec![batch, tokens, 1, 1],
                    _ => vec![batch, tokens, 1],
                };
                valid.to_dtype(DType::F32).unwrap().reshape(shape).unwrap()
            });
            let difference = difference(found, wanted, valid.as_ref());
            let allowed = if key.ends_with(".attn") {
                1e-5
            } else {
                2e-4 * largest(wanted)
            };
            assert!(difference <= allowed, "{name} {case} {key}: {difference} > {allowed}");
            compared += 1;
        }
    }
    compared
}

/// The experts of each token, or what their outputs are multiplied by, `[batch, tokens, chosen]`.
fn routed(model: &Model, raw: &BTreeMap<String, Tensor>, key: &str) -> Tensor {
    let (layer, what) = key.strip_prefix("x.").unwrap().split_once(".moe.").unwrap();
    let logits = &raw[&format!("x.{layer}.moe.router_logits")];
    let routes = model.experts(layer.parse().unwrap()).unwrap().route(logits).unwrap();
    let (batch, tokens, experts) = routes.weights.dims3().unwrap();
    let weights = values(&routes.weights);
    let of_token = |(token, chosen): (usize, &Vec<usize>)| -> Vec<f32> {
        let value = |&expert: &usize| match what {
            "experts" => expert as f32,
            _ => weights[token * experts + expert],
        };
        chosen.iter().map(value).collect()
    };
    let rows: Vec<f32> = routes.chosen.iter().enumerate().flat_map(of_token).collect();
    Tensor::from_vec(rows, batch * tokens * routes.chosen[0].len(), model.device())
        .unwrap()
        .reshape((batch, tokens, ()))
        .unwrap()
}

#[test]
fn fused_inference_agrees_with_the_reference() {
    for name in FAMILIES {
        compare(name, &Model::load(&open(name)).unwrap());
    }
}

#[test]
fn composed_operations_agree_with_the_reference() {
    for name in FAMILIES {
        let checkpoint = open(name);
        let weights = Weights::finetune(&checkpoint, 0);
        compare(name, &Model::load_from(&checkpoint, &weights, Gradients::On).unwrap());
    }
}

#[test]
fn other_spellings_of_a_configuration_mean_the_same() {
    let mut spelt = 0;
    for name in FAMILIES {
        for spelling in ["config.v5.json", "config.gpt2-spelling.json"] {
            let Ok(config) = std::fs::read_to_string(fixture(name).join(spelling)) else {
                continue;
            };
            compare(
                name,
                &Model::build(name, &config, &Weights::open(&open(name)), Gradients::Off).unwrap(),
            );
            spelt += 1;
        }
    }
    assert_eq!(spelt, 28);
}

/// The reference adds the same number to every score of a query.
#[test]
fn biases_of_distance_agree_with_the_reference() {
    for name in ["bloom", "falcon-alibi", "mpt"] {
        let (model, expected) = (Model::load(&open(name)).unwrap(), expected(name));
        let mut recorder = Recorder::of(&[Point::Positions]);
        model.forward(&inputs(&expected, "one"), &mut recorder).unwrap();
        let found = &recorder.tensors[&Site::positions(Side::Decoder)];
        let (_, _, queries, keys) = found.dims4().unwrap();
        let last = |bias: &Tensor| {
            let from = bias.narrow(3, keys - 1, 1).unwrap();
            bias.broadcast_sub(&from).unwrap()
        };
        let found = last(&found.narrow(2, queries - 1, 1).unwrap());
        let wanted = last(&expected["one.x.alibi"]);
        let allowed = 1e-6 * largest(&wanted);
        assert!(difference(&found, &wanted, None) <= allowed, "{name}: {found} {wanted}");
    }
}

#[test]
fn every_variable_receives_a_gradient() {
    for name in FAMILIES {
        let checkpoint = open(name);
        let weights = Weights::finetune(&checkpoint, 0);
        let model = Model::load_from(&checkpoint, &weights, Gradients::On).unwrap();
        let expected = expected(name);
        let case = ["px", "pad", "one"]
            .into_iter()
            .find(|case| expected.keys().any(|key| key.starts_with(&format!("{case}.in."))))
            .unwrap();
        let output = model.forward(&inputs(&expected, case), &mut ()).unwrap();
        let logits = output.logits.or(output.pooled).unwrap_or(output.last_hidden);
        // Any loss that treats every logit differently.
        let factors: Vec<f32> = (0..logits.elem_count()).map(|i| (i as f32 * 0.37).sin()).collect();
        let factors = Tensor::new(factors, model.device()).unwrap();
        let factors = factors.reshape(logits.shape()).unwrap();
        let loss = (logits * factors).unwrap();
        let gradients = loss.sum_all().unwrap().backward().unwrap();
        for (variable, var) in weights.variables() {
            let gradient = gradients
                .get(&var)
                .unwrap_or_else(|| panic!("{name}: {variable} has no gradient"));
            // The softmax does not change when the same vector is added to every key: the gradient of a key bias is 0.
            if ["key.bias", "k_lin.bias", "k_proj.bias", "attn.k.bias"]
                .iter()
                .any(|end| variable.ends_with(end))
            {
                continue;
            }
            assert!(
                largest(gradient) > 1e-7,
                "{name}: the gradient of {variable} is {}",
                largest(gradient)
            );
        }
    }
}
