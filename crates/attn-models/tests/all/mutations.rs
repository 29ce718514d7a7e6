//! Configurations and weights with something wrong, for every family: an error or a model that runs, never a panic and
//! never memory out of proportion.

use std::{collections::HashMap, path::Path};

use attn_models::{Checkpoint, Inputs, Model, candle::Device, candle::Tensor};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{families::FAMILIES, support::fixture};

/// What these tests may add to the memory a process has mapped, weights of a few hundred kilobytes included.
const MOST_MEMORY: usize = 1 << 30;

/// The most memory this process has had mapped so far, where the system tells (Linux).
fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmPeak:"))?;
    let kilobytes: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Some value in the place of another.
fn mutated(value: &Value, how: u32) -> Value {
    let number = value.as_f64();
    match how {
        0 => Value::Null,
        1 => number.map_or(json!(-1), |number| json!(-number)),
        2 => value.as_u64().map_or(json!(7), |size| json!(size.saturating_add(1))),
        3 => value
            .as_u64()
            .map_or(json!(1), |size| json!(size.saturating_mul(1 << 12))),
        4 => json!(number.unwrap_or(0.5) * 1e9),
        5 => json!(u64::MAX),
        6 => json!(0),
        7 => json!(1),
        8 => json!(1e-300),
        9 => json!("sliding_attention"),
        10 => json!([]),
        11 => json!([value, value]),
        12 => json!({"rope_type": "dynamic", "factor": 1e300}),
        13 => json!({"rope_type": "yarn", "factor": 4, "rope_theta": 1e-3}),
        14 => json!({"0": 1}),
        15 => json!(true),
        16 => json!(false),
        _ => json!(1 << 20),
    }
}

fn run(name: &str, config: &Value, weights: Vec<u8>) {
    let Ok(checkpoint) = Checkpoint::from_bytes(name, config.to_string().into_bytes(), weights) else {
        return;
    };
    let described = checkpoint.describe();
    assert!(described.missing.len() <= 1000);
    let Ok(model) = Model::load(&checkpoint) else { return };
    let inputs = match model.vision() {
        // A model may come to take huge pictures; they are not made.
        Some(vision) if vision.channels * vision.height * vision.width > 1 << 16 => return,
        Some(vision) => {
            let shape = (1, vision.channels, vision.height, vision.width);
            Inputs::from_pixels(Tensor::zeros(shape, attn_models::candle::DType::F32, &Device::Cpu).unwrap())
        }
        None => {
            let mut inputs = Inputs::from_ids(&[vec![1, 2, 3], vec![1, 2]], 0).unwrap();
            if model.info().attentions.len() > 1 {
                inputs.decoder_input_ids = Inputs::from_ids(&[vec![2, 3], vec![2, 4]], 0).unwrap().input_ids;
            }
            inputs
        }
    };
    // Numbers may overflow with absurd options; only the shapes are known.
    if let Ok(output) = model.forward(&inputs, &mut ()) {
        assert_eq!(
            output.last_hidden.dim(0).unwrap(),
            if model.vision().is_some() { 1 } else { 2 }
        );
    }
}

fn read(name: &str, file: &str) -> Vec<u8> {
    std::fs::read(fixture(name).join(file)).unwrap()
}

/// One of the families, and numbers to choose by.
fn chosen() -> impl Strategy<Value = (&'static str, Vec<(usize, u32)>)> {
    let changes = prop::collection::vec((any::<usize>(), 0_u32..18), 1..4);
    (prop::sample::select(&FAMILIES[..]), changes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_configurations((name, changes) in chosen(), newer in any::<bool>()) {
        let before = peak_memory();
        let newer = newer && fixture(name).join("config.v5.json").exists();
        let text = read(name, if newer { "config.v5.json" } else { "config.json" });
        let mut config: Value = serde_json::from_slice(&text).unwrap();
        let mut keys: Vec<String> = config.as_object().unwrap().keys().cloned().collect();
        keys.extend(["rope_scaling", "sliding_window", "layer_types", "num_key_value_heads"].map(str::to_owned));
        keys.extend(["num_decoder_layers", "share_encoder_decoder_embeddings"].map(str::to_owned));
        keys.extend(["num_hidden_groups", "mlp_ratio", "use_swiglu_ffn", "use_sliding_window"].map(str::to_owned));
        for (key, how) in changes {
            let key = &keys[key % keys.len()];
            if how == 17 {
                config.as_object_mut().unwrap().remove(key);
            } else {
                config[key] = mutated(&config[key], how);
            }
        }
        run(name, &config, read(name, "model.safetensors"));
        if let Some((before, after)) = before.zip(peak_memory()) {
            prop_assert!(after - before < MOST_MEMORY, "{} bytes for {config}", after - before);
        }
    }

    #[test]
    fn mutated_weights((name, changes) in chosen()) {
        let path = fixture(name).join("model.safetensors");
        let mut tensors: HashMap<String, Tensor> = attn_models::candle::safetensors::load(&path, &Device::Cpu).unwrap();
        let mut names: Vec<String> = tensors.keys().cloned().collect();
        names.sort();
        for (at, how) in changes {
            let tensor_name = names[at % names.len()].clone();
            let Some(tensor) = tensors.remove(&tensor_name) else { continue };
            let changed = match how % 6 {
                0 => continue,
                1 => tensor.t().and_then(|tensor| tensor.contiguous()),
                2 => tensor.narrow(0, 0, tensor.dim(0).unwrap() / 2),
                3 => tensor.unsqueeze(0),
                4 => tensor.flatten_all(),
                _ => Tensor::cat(&[&tensor, &tensor], 0),
            };
            tensors.insert(tensor_name, changed.unwrap_or(tensor).contiguous().unwrap());
        }
        let folder = tempfile::tempdir().unwrap();
        let changed: &Path = &folder.path().join("model.safetensors");
        attn_models::candle::safetensors::save(&tensors, changed).unwrap();
        let config: Value = serde_json::from_slice(&read(name, "config.json")).unwrap();
        run(name, &config, std::fs::read(changed).unwrap());
    }
}
