//! The sums of the families' layers and heads in plain f64 loops, for options that no fixture covers.
//!
//! Fresh weights are small and their norms are 1, so that mistakes would hide; [`loud`] gives every variable a pattern
//! of its own first.

use std::collections::BTreeMap;

use attn_models::{
    Gradients, Inputs, Model, Point, Weights,
    candle::{Device, Tensor, Var},
    model::Output,
    record::Recorder,
};
use serde_json::Value;

use crate::support::values;

/// A model with loud weights, and those weights by name.
pub(crate) struct Loud {
    pub(crate) model: Model,
    pub(crate) variables: BTreeMap<String, Var>,
}

pub(crate) fn loud(config: &Value) -> Loud {
    let weights = Weights::initialize(5);
    let model = Model::build("tiny", &config.to_string(), &weights, Gradients::Off).unwrap();
    make_loud(&weights);
    Loud {
        model,
        variables: weights.variables(),
    }
}

/// Gives every variable a pattern of its own.
pub(crate) fn make_loud(weights: &Weights) {
    for (at, variable) in weights.variables().values().enumerate() {
        let pattern: Vec<f32> = (0..variable.elem_count())
            .map(|i| (i as f32 * 0.73 + at as f32 * 1.9).sin() * 0.6)
            .collect();
        variable
            .set(&Tensor::from_vec(pattern, variable.shape(), &Device::Cpu).unwrap())
            .unwrap();
    }
}

/// What a model gives for inputs, and what happens inside.
pub(crate) fn run(model: &Model, inputs: &Inputs) -> (Output, Recorder) {
    let mut recorder = Recorder::of(&[
        Point::Positions,
        Point::QueryBeforeRotation,
        Point::KeyBeforeRotation,
        Point::Query,
        Point::Key,
        Point::Value,
        Point::Attention,
        Point::HeadOutput,
        Point::AttentionOutput,
        Point::Mlp,
        Point::Hidden,
    ]);
    let output = model.forward(inputs, &mut recorder).unwrap();
    (output, recorder)
}

pub(crate) fn ids(sequences: &[&[u32]]) -> Inputs {
    let sequences: Vec<Vec<u32>> = sequences.iter().map(|ids| ids.to_vec()).collect();
    Inputs::from_ids(&sequences, 0).unwrap()
}

/// The last dimension's vectors, row by row.
pub(crate) fn rows(tensor: &Tensor) -> Vec<Vec<f64>> {
    let width = *tensor.dims().last().unwrap();
    values(&tensor.contiguous().unwrap())
        .chunks(width)
        .map(|row| row.iter().map(|&value| f64::from(value)).collect())
        .collect()
}

impl Loud {
    pub(crate) fn variable(&self, name: &str) -> &Var {
        let known = || self.variables.keys().cloned().collect::<Vec<_>>().join(", ");
        self.variables
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {}", known()))
    }

    pub(crate) fn vector(&self, name: &str) -> Vec<f64> {
        values(self.variable(name))
            .iter()
            .map(|&value| f64::from(value))
            .collect()
    }

    /// `W x + b`, with `W` stored as `[out, in]`; no bias where there is none.
    pub(crate) fn affine(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let matrix = rows(self.variable(&format!("{name}.weight")));
        self.biased(name, matrix.iter().map(|row| dot(row, x)).collect())
    }

    pub(crate) fn biased(&self, name: &str, mut y: Vec<f64>) -> Vec<f64> {
        let bias = format!("{name}.bias");
        if self.variables.contains_key(&bias) {
            y.iter_mut().zip(self.vector(&bias)).for_each(|(y, bias)| *y += bias);
        }
        y
    }

    pub(crate) fn rms_norm(&self, name: &str, x: &[f64], epsilon: f64) -> Vec<f64> {
        let square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let weight = self.vector(&format!("{name}.weight"));
        x.iter()
            .zip(weight)
            .map(|(x, weight)| x / (square + epsilon).sqrt() * weight)
            .collect()
    }

    pub(crate) fn layer_norm(&self, name: &str, x: &[f64], epsilon: f64) -> Vec<f64> {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let weight = self.vector(&format!("{name}.weight"));
        let normed = x.iter().zip(weight);
        let normed = normed.map(|(x, weight)| (x - mean) / (variance + epsilon).sqrt() * weight);
        self.biased(name, normed.collect())
    }
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The error function by Simpson's rule.
pub(crate) fn gelu(x: f64) -> f64 {
    let (end, steps) = (x / 2.0_f64.sqrt(), 400);
    let step = end / f64::from(steps);
    let sum: f64 = (0..=steps)
        .map(|at| {
            let weight = match at {
                _ if at == 0 || at == steps => 1.0,
                _ if at % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * (-(f64::from(at) * step).powi(2)).exp()
        })
        .sum();
    let erf = sum * step / 3.0 * 2.0 / std::f64::consts::PI.sqrt();
    x * 0.5 * (1.0 + erf)
}

pub(crate) fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

pub(crate) fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-3, |largest: f64, x| largest.max(x.abs()));
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= 2e-5 * largest,
            "{found} instead of {expected} at {at}"
        );
    }
}
