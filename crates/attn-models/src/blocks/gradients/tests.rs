//! Values and gradients against the same sums composed of candle's operations, in double precision.

use candle_core::{D, DType, Device, Result, Tensor, Var};

use super::*;
use crate::blocks::{Activation, kernels::Softmax};

const ACTIVATIONS: [Activation; 6] = [
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::QuickGelu,
    Activation::Relu,
    Activation::Silu,
    Activation::Tanh,
];

/// Numbers between -2 and 2 that no simple rule links to their places.
fn numbers(seed: f64, shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let numbers: Vec<f32> = (0..count)
        .map(|at| (2.0 * ((at as f64 + seed) * 1.7 + seed).sin()) as f32)
        .collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
}

/// Compares two functions of the same variables, the second in double precision: their values, and the gradients of a sum
/// with different weights.
fn compare(
    shapes: &[&[usize]],
    found: impl Fn(&[Tensor]) -> Result<Tensor>,
    wanted: impl Fn(&[Tensor]) -> Result<Tensor>,
    what: &str,
) {
    let run = |of: &dyn Fn(&[Tensor]) -> Result<Tensor>, dtype: DType| -> Vec<Vec<f64>> {
        let variables: Vec<Var> = shapes
            .iter()
            .zip(1..)
            .map(|(shape, seed)| Var::from_tensor(&numbers(f64::from(seed), shape).to_dtype(dtype).unwrap()).unwrap())
            .collect();
        let tensors: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
        let value = of(&tensors).unwrap();
        let weights = numbers(0.3, value.dims()).to_dtype(dtype).unwrap();
        let gradients = (&value * weights).unwrap().sum_all().unwrap().backward().unwrap();
        let mut all = vec![value];
        all.extend(tensors.iter().map(|tensor| gradients.get(tensor).unwrap().clone()));
        let flat = |tensor: Tensor| tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
        all.into_iter().map(|tensor| flat(tensor).unwrap()).collect()
    };
    let (found, wanted) = (run(&found, DType::F32), run(&wanted, DType::F64));
    for (part, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        assert_eq!(found.len(), wanted.len(), "{what}");
        for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
            // The error function is within 1.5e-7, and gradients of biases are sums over rows.
            let allowed = 1e-5 * (1.0 + wanted.abs());
            assert!(
                (found - wanted).abs() < allowed,
                "{what}, part {part}: {found} instead of {wanted} at {at}"
            );
        }
    }
}

/// `activation(x)` of formulas in double precision. candle's derivatives of GELU have constants of six digits.
fn activated(x: &Tensor, activation: Activation) -> Result<Tensor> {
    let sigmoid = |x: &Tensor| -> Result<Tensor> { ((x.neg()?.exp()? + 1.0)?).recip() };
    match activation {
        Activation::Gelu => x.mul(&(((x / 2.0_f64.sqrt())?.erf()? + 1.0)? * 0.5)?),
        Activation::GeluTanh => {
            let inner = ((x.mul(x)?.mul(x)? * 0.044715)? + x)?;
            x.mul(&sigmoid(&(inner * (8.0 / std::f64::consts::PI).sqrt())?)?)
        }
        Activation::QuickGelu => x.mul(&sigmoid(&(x * 1.702)?)?),
        Activation::Relu => x.relu(),
        Activation::Silu => x.mul(&sigmoid(x)?),
        Activation::Tanh => x.tanh(),
    }
}

#[test]
fn maps_agree_with_their_parts() {
    for activation in ACTIVATIONS.into_iter().map(Some).chain([None]) {
        for transposed in [true, false] {
            let weight: &[usize] = if transposed { &[37, 5] } else { &[5, 37] };
            let found = |x: &[Tensor]| {
                let map = Affine {
                    weight: &x[1],
                    transposed,
                    bias: Some(&x[2]),
                    activation,
                };
                map.forward(&x[0])
            };
            let wanted = |x: &[Tensor]| {
                let weight = if transposed { x[1].t()? } else { x[1].clone() };
                let product = x[0].reshape(((), 5))?.matmul(&weight)?;
                let y = product.broadcast_add(&x[2])?.reshape((2, 7, 37))?;
                activation.map_or_else(|| Ok(y.clone()), |activation| activated(&y, activation))
            };
            compare(&[&[2, 7, 5], weight, &[37]], found, wanted, &format!("{activation:?}"));
        }
    }
}

#[test]
fn a_map_of_constants_has_the_gradient_of_its_input_alone() {
    let (weight, bias) = (numbers(1.0, &[7, 5]), numbers(2.0, &[7]));
    let map = |x: &Tensor| {
        let map = Affine {
            weight: &weight,
            transposed: true,
            bias: Some(&bias),
            activation: None,
        };
        map.forward(x).unwrap()
    };
    let x = Var::from_tensor(&numbers(3.0, &[4, 5])).unwrap();
    let gradients = map(x.as_tensor()).sum_all().unwrap().backward().unwrap();
    let of_x = gradients.get(x.as_tensor()).unwrap().to_vec2::<f32>().unwrap();
    let sums = weight.sum(0).unwrap().to_vec1::<f32>().unwrap();
    for row in of_x {
        assert!(
            row.iter()
                .zip(&sums)
                .all(|(found, wanted)| (found - wanted).abs() < 1e-5)
        );
    }
    assert!(gradients.get(&weight).is_none() && gradients.get(&bias).is_none());
    assert!(!map(&numbers(3.0, &[4, 5])).track_op(), "nothing to differentiate");
}

#[test]
fn two_maps_agree_with_one_after_the_other() {
    let (weights, biases) = (
        [numbers(1.0, &[37, 5]), numbers(2.0, &[37, 5])],
        [numbers(3.0, &[37]), numbers(4.0, &[5])],
    );
    for activation in ACTIVATIONS {
        let found = |x: &[Tensor]| {
            let map = |at: usize, activation| Affine {
                weight: &weights[at],
                transposed: at == 0,
                bias: Some(&biases[at]),
                activation,
            };
            two_maps(&x[0], &map(0, Some(activation)), &map(1, None))
        };
        let wanted = |x: &[Tensor]| {
            let double = |tensor: &Tensor| tensor.to_dtype(DType::F64);
            let inner = x[0].reshape(((), 5))?.matmul(&double(&weights[0])?.t()?)?;
            let inner = activated(&inner.broadcast_add(&double(&biases[0])?)?, activation)?;
            let y = inner
                .matmul(&double(&weights[1])?)?
                .broadcast_add(&double(&biases[1])?)?;
            y.reshape((2, 7, 5))
        };
        compare(&[&[2, 7, 5]], found, wanted, &format!("{activation:?}"));
    }
}

#[test]
fn factors_of_heads_agree_with_a_product() {
    let found = |x: &[Tensor]| scale_heads(&x[0], &x[1]);
    let wanted = |x: &[Tensor]| x[0].broadcast_mul(&x[1]);
    compare(&[&[2, 5, 3, 4], &[2, 1, 3, 1]], found, wanted, "factors");
}

/// Composed of candle's operations.
fn composed([query, key, value]: [&Tensor; 3], scale: f64, bias: Option<&Tensor>) -> Result<Tensor> {
    let (batch, heads, queries, width) = query.dims4()?;
    let (_, kv_heads, keys, _) = key.dims4()?;
    let repeated = |x: &Tensor| {
        x.unsqueeze(2)?
            .broadcast_as((batch, kv_heads, heads / kv_heads, keys, width))?
            .contiguous()?
            .reshape((batch, heads, keys, width))
    };
    let scores = (query.matmul(&repeated(key)?.transpose(2, 3)?.contiguous()?)? * scale)?;
    let scores = match bias {
        Some(bias) => scores.broadcast_add(&bias.to_dtype(DType::F64)?)?,
        None => scores,
    };
    let powers = scores.exp()?;
    let shares = powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)?;
    shares
        .matmul(&repeated(value)?)?
        .reshape((batch, heads, queries, width))
}

#[test]
fn attention_agrees_with_its_parts() {
    let plain = || Softmax {
        scale: 0.4,
        cap: None,
        sinks: None,
    };
    for kv_heads in [1, 2, 4] {
        for bias in [None, Some([1, 1, 6, 19]), Some([2, 1, 6, 19]), Some([1, 4, 6, 19])] {
            let bias = bias.map(|shape| numbers(7.0, &shape));
            let found = |x: &[Tensor]| attend([&x[0], &x[1], &x[2]], plain(), bias.as_ref());
            let wanted = |x: &[Tensor]| composed([&x[0], &x[1], &x[2]], f64::from(0.4_f32), bias.as_ref());
            let of_keys = [2, kv_heads, 19, 8];
            let what = format!("{kv_heads} heads of keys");
            compare(&[&[2, 4, 6, 8], &of_keys, &of_keys], found, wanted, &what);
        }
    }
}

#[test]
fn a_softmax_with_sinks_agrees_with_its_parts() {
    let sinks = [-1.0_f32, 0.5, 3.0];
    let bias = numbers(7.0, &[2, 1, 5, 37]);
    let found = |x: &[Tensor]| {
        let kernel = Softmax {
            scale: 0.5,
            cap: None,
            sinks: Some(sinks.to_vec()),
        };
        softmax(&x[0], kernel, Some(&bias))
    };
    let wanted = |x: &[Tensor]| {
        let powers = (&x[0] * 0.5)?.broadcast_add(&bias.to_dtype(DType::F64)?)?.exp()?;
        let sinks = Tensor::new(&sinks, &Device::Cpu)?
            .to_dtype(DType::F64)?
            .exp()?
            .reshape((1, 3, 1, 1))?;
        powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?.broadcast_add(&sinks)?)
    };
    compare(&[&[2, 3, 5, 37]], found, wanted, "sinks");
}

#[test]
fn heads_are_split_and_merged() {
    let found = |x: &[Tensor]| split_heads(&x[0], 3);
    let wanted = |x: &[Tensor]| x[0].reshape((2, 5, 3, 4))?.transpose(1, 2)?.contiguous();
    compare(&[&[2, 5, 12]], found, wanted, "split");
    let found = |x: &[Tensor]| merge_heads(&x[0]);
    let wanted = |x: &[Tensor]| x[0].transpose(1, 2)?.contiguous();
    compare(&[&[2, 3, 5, 4]], found, wanted, "merged");
}

#[test]
fn gradients_reach_a_part_of_a_tensor() {
    // As a joint map of queries, keys and values gives it.
    let x = Var::from_tensor(&numbers(1.0, &[2, 5, 12])).unwrap();
    let part = x.as_tensor().narrow(D::Minus1, 4, 8).unwrap();
    let split = split_heads(&part, 2).unwrap();
    let gradients = split.sum_all().unwrap().backward().unwrap();
    let of_x = gradients.get(x.as_tensor()).unwrap().to_vec3::<f32>().unwrap();
    for row in of_x.iter().flatten() {
        assert_eq!(row[..4], [0.0; 4]);
        assert_eq!(row[4..], [1.0; 8]);
    }
}
