//! Every family against its fixture: what the reference implementation computed inside and out, for padded
//! batches and single sequences.

use attn_models::{
    Gradients, Model, Weights,
    candle::{DType, Tensor},
    run_raw,
};

use crate::support::{difference, expected, fixture, inputs, largest, open};

const FAMILIES: [&str; 10] = [
    "bart", "bert", "bert-cls", "gpt2", "llama", "m2m100", "marian", "mbart", "t5", "vit",
];

fn compare(name: &str, model: &Model) {
    let expected = expected(name);
    let cases = ["pad", "left", "one", "px", "rand"];
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
            if key.starts_with("in.") || key.starts_with("valid") {
                continue;
            }
            let found = raw
                .get(key)
                .unwrap_or_else(|| panic!("{name} {case}: {key} is not recorded"));
            let point = key.rsplit('.').next().unwrap();
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
    assert!(compared >= 20, "{name}: only {compared} tensors compared");
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
fn the_newer_spelling_of_a_configuration_means_the_same() {
    let checkpoint = open("llama");
    let config = std::fs::read_to_string(fixture("llama").join("config.v5.json")).unwrap();
    compare(
        "llama",
        &Model::build("llama", &config, &Weights::open(&checkpoint), Gradients::Off).unwrap(),
    );
}

#[test]
fn every_variable_receives_a_gradient() {
    for name in FAMILIES {
        let checkpoint = open(name);
        let weights = Weights::finetune(&checkpoint, 0);
        let model = Model::load_from(&checkpoint, &weights, Gradients::On).unwrap();
        let expected = expected(name);
        let case = if name == "vit" { "px" } else { "pad" };
        let output = model.forward(&inputs(&expected, case), &mut ()).unwrap();
        let logits = output.logits.unwrap();
        // Any loss that treats every logit differently.
        let factors: Vec<f32> = (0..logits.elem_count()).map(|i| (i as f32 * 0.37).sin()).collect();
        let loss = (logits
            * Tensor::new(factors, model.device())
                .unwrap()
                .reshape(output_shape(&expected, case))
                .unwrap())
        .unwrap();
        let gradients = loss.sum_all().unwrap().backward().unwrap();
        for (variable, var) in weights.variables() {
            let gradient = gradients
                .get(&var)
                .unwrap_or_else(|| panic!("{name}: {variable} has no gradient"));
            // The softmax does not change when the same vector is added to every key: the gradient of a key bias is 0.
            if variable.ends_with("key.bias") || variable.ends_with("k_proj.bias") {
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

fn output_shape(expected: &crate::support::Tensors, case: &str) -> Vec<usize> {
    expected[&format!("{case}.logits")].dims().to_vec()
}
