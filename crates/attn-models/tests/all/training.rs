//! The same code trains: fresh weights, fine-tuning, saving.

use attn_models::{
    Checkpoint, Gradients, Inputs, Model, Weights,
    candle::{D, DType, Device, Tensor},
};

use crate::support::{difference, expected, fixture, inputs, open, values};

const TINY: &str = r#"{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 12, "n_positions": 8,
    "n_embd": 16, "n_layer": 1, "n_head": 2}"#;

/// Mean cross entropy of next tokens.
fn loss(logits: &Tensor, ids: &[Vec<u32>]) -> Tensor {
    let (batch, tokens, vocab) = logits.dims3().unwrap();
    let predicted = logits
        .narrow(1, 0, tokens - 1)
        .unwrap()
        .reshape((batch * (tokens - 1), vocab))
        .unwrap();
    let largest = predicted.max_keepdim(D::Minus1).unwrap().detach();
    let shifted = predicted.broadcast_sub(&largest).unwrap();
    let normalizer = shifted.exp().unwrap().sum_keepdim(D::Minus1).unwrap().log().unwrap();
    let log_probabilities = shifted.broadcast_sub(&normalizer).unwrap();
    let next: Vec<u32> = ids.iter().flat_map(|ids| ids[1..].to_vec()).collect();
    let next = Tensor::new(next, &Device::Cpu).unwrap().unsqueeze(1).unwrap();
    log_probabilities
        .gather(&next, 1)
        .unwrap()
        .mean_all()
        .unwrap()
        .neg()
        .unwrap()
}

#[test]
fn gradient_descent_learns_a_sequence_by_heart() {
    let weights = Weights::initialize(3);
    let model = Model::build("tiny", TINY, &weights, Gradients::On).unwrap();
    let ids = vec![vec![1, 5, 2, 9, 4, 7]];
    let inputs = Inputs::from_ids(&ids, 0).unwrap();
    let mut losses = Vec::new();
    for _ in 0..60 {
        let loss = loss(&model.forward(&inputs, &mut ()).unwrap().logits.unwrap(), &ids);
        losses.push(values(&loss)[0]);
        let gradients = loss.backward().unwrap();
        for variable in weights.variables().values() {
            let step = (gradients.get(variable).unwrap() * 0.5).unwrap();
            variable.set(&variable.sub(&step).unwrap()).unwrap();
        }
    }
    // Chance is ln 12.
    assert!((losses[0] - 12_f32.ln()).abs() < 0.1, "{}", losses[0]);
    assert!(losses[59] < 0.1, "{losses:?}");
}

#[test]
fn fresh_weights_depend_on_seed_and_name_only() {
    let weights = |seed| {
        let weights = Weights::initialize(seed);
        Model::build("tiny", TINY, &weights, Gradients::On).unwrap();
        weights
    };
    let (a, b, c) = (weights(1), weights(1), weights(2));
    let table = "transformer.wte.weight";
    for (name, variable) in a.variables() {
        assert_eq!(difference(&variable, &b.variables()[&name], None), 0.0, "{name}");
    }
    assert!(difference(&a.variables()[table], &c.variables()[table], None) > 0.0);
    // normal(0, 0.02): the deviation of n values is known to about 1 / sqrt(2 n).
    let values = values(&a.variables()["transformer.h.0.mlp.c_fc.weight"]);
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    let deviation = (values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32).sqrt();
    assert!(
        mean.abs() < 0.002 && (deviation - 0.02).abs() < 0.002,
        "{mean} {deviation}"
    );
    assert_eq!(
        crate::support::values(&a.variables()["transformer.ln_f.weight"]),
        vec![1.0; 16]
    );
    assert_eq!(
        crate::support::values(&a.variables()["transformer.ln_f.bias"]),
        vec![0.0; 16]
    );
}

#[test]
fn what_is_saved_loads_again_under_the_published_names() {
    for name in [
        "bart", "bert", "bert-cls", "gpt2", "llama", "m2m100", "marian", "mbart", "t5", "vit",
    ] {
        let checkpoint = open(name);
        let weights = Weights::finetune(&checkpoint, 0);
        Model::load_from(&checkpoint, &weights, Gradients::On).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(fixture(name).join("config.json"), folder.path().join("config.json")).unwrap();
        let expected = expected(name);
        let case = if name == "vit" { "px" } else { "one" };
        let wanted = &expected[&format!("{case}.logits")];
        for (dtype, allowed) in [(DType::F32, 1e-4), (DType::F16, 2e-2), (DType::BF16, 2e-1)] {
            weights.save(folder.path().join("model.safetensors"), dtype).unwrap();
            let saved = Checkpoint::open(folder.path()).unwrap();
            let described = saved.describe();
            assert!(described.missing.is_empty() && described.unused.is_empty() && described.problems.is_empty());
            let found = Model::load(&saved)
                .unwrap()
                .forward(&inputs(&expected, case), &mut ())
                .unwrap()
                .logits
                .unwrap();
            let scale = crate::support::largest(wanted);
            assert!(difference(&found, wanted, None) <= allowed * scale, "{name} {dtype:?}");
        }
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            2,
            "no temporary file is left"
        );
    }
}

#[test]
fn diverged_weights_are_not_saved() {
    let weights = Weights::initialize(1);
    Model::build("tiny", TINY, &weights, Gradients::On).unwrap();
    let variable = &weights.variables()["transformer.ln_f.bias"];
    variable.set(&Tensor::full(1e6_f32, 16, &Device::Cpu).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    // A million is finite, but not in f16.
    assert!(matches!(
        weights.save(&path, DType::F16),
        Err(attn_models::Error::NotFinite { .. })
    ));
    assert!(!path.exists());
    weights.save(&path, DType::F32).unwrap();
}

/// The gradient with respect to the embeddings, as the reference computed it: the whole backward pass is right.
#[test]
fn input_gradients_agree_with_the_reference() {
    use attn_core::Side;
    use attn_models::{Result, Site, Tap, candle::Var};

    struct Probe(Site, Var);
    impl Tap for Probe {
        fn wants(&self, site: Site) -> bool {
            site == self.0
        }
        fn tap(&mut self, _: Site, tensor: Tensor) -> Result<Tensor> {
            Ok((tensor + self.1.as_tensor())?)
        }
    }

    for (name, side) in [
        ("bert", Side::Encoder),
        ("bert-cls", Side::Encoder),
        ("gpt2", Side::Decoder),
    ] {
        let model = Model::load(&open(name)).unwrap().with_gradients(Gradients::On);
        let expected = expected(name);
        let wanted = &expected["grad.input_grad"];
        let zero = Var::zeros(wanted.dims(), DType::F32, &Device::Cpu).unwrap();
        let mut probe = Probe(Site::embedding(side), zero.clone());
        let logits = model
            .forward(&inputs(&expected, "grad"), &mut probe)
            .unwrap()
            .logits
            .unwrap();
        let labels = &expected["grad.labels"];
        let vocab = logits.dim(D::Minus1).unwrap();
        let (logits, labels) = match name {
            "gpt2" => {
                let tokens = logits.dim(1).unwrap();
                (
                    logits.narrow(1, 0, tokens - 1).unwrap(),
                    labels.narrow(1, 1, tokens - 1).unwrap(),
                )
            }
            _ => (logits, labels.clone()),
        };
        let rows: Vec<i64> = labels.flatten_all().unwrap().to_vec1().unwrap();
        let per_example = if name == "bert-cls" { 1 } else { labels.dim(1).unwrap() };
        // Sum over examples of the mean over labeled positions.
        let mut total = Tensor::zeros((), DType::F32, &Device::Cpu).unwrap();
        let logits = logits.reshape(((), vocab)).unwrap();
        let normalizer = logits.exp().unwrap().sum_keepdim(D::Minus1).unwrap().log().unwrap();
        let log_probabilities = logits.broadcast_sub(&normalizer).unwrap();
        for example in rows.chunks(per_example).enumerate() {
            let (at, labels) = example;
            let labeled = labels.iter().filter(|label| **label >= 0).count() as f64;
            for (position, label) in labels.iter().enumerate() {
                if let Ok(label) = usize::try_from(*label) {
                    let term = log_probabilities
                        .get(at * per_example + position)
                        .unwrap()
                        .get(label)
                        .unwrap();
                    total = (total - (term / labeled).unwrap()).unwrap();
                }
            }
        }
        let wanted_loss: f32 = values(&expected["grad.loss_per_example"]).iter().sum();
        assert!((values(&total)[0] - wanted_loss).abs() < 1e-4, "{name}");
        let gradients = total.backward().unwrap();
        let found = gradients.get(&zero).unwrap();
        let difference = difference(found, wanted, None);
        assert!(
            difference < 1e-4 * crate::support::largest(wanted).max(1.0),
            "{name}: {difference}"
        );
    }
}
