//! Finding fixtures and comparing tensors.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use attn_models::{
    Checkpoint, Inputs,
    candle::{DType, Device, Tensor},
};

/// A fixture committed with the project.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures")
        .join(name)
}

/// Third-party weights, which are not part of the project; `None` (with a note) where they are not there.
pub(crate) fn third_party(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/weights")
        .join(name);
    if path.is_dir() {
        Some(path)
    } else {
        eprintln!("skipped: {} is not there", path.display());
        None
    }
}

/// A fixture; of an adapter, with the model that it names.
pub(crate) fn open(name: &str) -> Checkpoint {
    let (folder, adapter) = (fixture(name), fixture(name).join("adapter"));
    Checkpoint::open(if adapter.is_dir() { adapter } else { folder }).unwrap()
}

pub(crate) type Tensors = HashMap<String, Tensor>;

pub(crate) fn expected(name: &str) -> Tensors {
    attn_models::candle::safetensors::load(fixture(name).join("expected.safetensors"), &Device::Cpu).unwrap()
}

/// The inputs of one case, exactly as given to the reference.
pub(crate) fn inputs(expected: &Tensors, case: &str) -> Inputs {
    let get = |name: &str| expected.get(&format!("{case}.in.{name}")).cloned();
    Inputs {
        input_ids: get("input_ids"),
        attention_mask: get("attention_mask"),
        token_type_ids: get("token_type_ids"),
        position_ids: get("position_ids"),
        pixel_values: get("pixel_values"),
        input_features: get("input_features"),
        input_values: get("input_values"),
        decoder_input_ids: get("decoder_input_ids"),
        decoder_attention_mask: get("decoder_attention_mask"),
    }
}

pub(crate) fn values(tensor: &Tensor) -> Vec<f32> {
    tensor
        .to_dtype(DType::F32)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

/// Largest difference where `valid` (a 0/1 tensor that broadcasts to the shape) is 1.
pub(crate) fn difference(found: &Tensor, expected: &Tensor, valid: Option<&Tensor>) -> f32 {
    assert_eq!(found.dims(), expected.dims());
    let valid = valid.map(|valid| values(&valid.broadcast_as(expected.shape()).unwrap()));
    let pairs = values(found).into_iter().zip(values(expected)).enumerate();
    pairs
        .filter(|(at, _)| valid.as_ref().is_none_or(|valid| valid[*at] == 1.0))
        .map(|(_, (found, expected))| {
            assert!(found.is_finite());
            (found - expected).abs()
        })
        .fold(0.0, f32::max)
}

pub(crate) fn largest(tensor: &Tensor) -> f32 {
    values(tensor).into_iter().map(f32::abs).fold(0.0, f32::max)
}
