//! Every family against its fixture: what the reference implementation computed inside and out, for padded
//! batches and single sequences.

use attn_models::{
    Gradients, Model, Weights,
    candle::{DType, Tensor},
    record::run_raw,
};

use crate::support::{difference, expected, fixture, inputs, largest, open};

/// Every fixture.
pub(crate) const FAMILIES: [&str; 32] = [
    "albert",
    "bart",
    "bert",
    "bert-cls",
    "clip-vision",
    "deit",
    "dinov2",
    "dinov2-registers",
    "dinov2-swiglu",
    "distilbert",
    "electra",
    "gpt-neox",
    "gpt2",
    "gpt2-scaled",
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
    "pegasus",
    "qwen2",
    "qwen3",
    "roberta",
    "t5",
    "vit",
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
                || ["cls_logits", "distillation_logits"].contains(&key)
            {
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
    compared
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
    let mut spelt = 0;
    for name in FAMILIES {
        let Ok(config) = std::fs::read_to_string(fixture(name).join("config.v5.json")) else {
            continue;
        };
        compare(
            name,
            &Model::build(name, &config, &Weights::open(&open(name)), Gradients::Off).unwrap(),
        );
        spelt += 1;
    }
    assert_eq!(spelt, 10);
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
        let logits = output.logits.or(output.pooled).unwrap();
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
            if ["key.bias", "k_lin.bias", "k_proj.bias"]
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
