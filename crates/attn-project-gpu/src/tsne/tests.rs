//! The forces of one step against the definition in f64.

use attn_project::{
    Dims, Neighbors, Projector,
    metric::Euclidean,
    tsne::{Tsne, TsneParams},
};
use ndarray::Array2;

use super::*;

/// Numbers in (-1, 1) that look like chance.
fn noise(i: usize, c: usize) -> f32 {
    let bits = (i as u64 * 31 + c as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((bits ^ bits >> 29) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

fn problem(n: usize, dims: Dims, params: &TsneParams) -> TsneProblem {
    let points = Array2::from_shape_fn((n, 6), |(i, c)| noise(i, c) + (i % 4) as f32);
    let neighbors = Neighbors::exact(points.view(), params.neighbors(n), Euclidean, &()).unwrap();
    let projector = Projector::new(Tsne::new(*params).unwrap()).dims(dims).seed(1);
    TsneProblem::new(&projector, (points.view(), &neighbors), &()).unwrap()
}

/// Attraction, repulsion and sum over pairs, from the definition.
fn brute_force(problem: &TsneProblem, y: &Array2<f64>) -> (Array2<f64>, Array2<f64>, f64) {
    let (n, dims) = y.dim();
    let (offsets, columns, values) = problem.affinities();
    let (mut pull, mut push, mut pairs) = (Array2::zeros((n, dims)), Array2::zeros((n, dims)), 0.0);
    for i in 0..n {
        let apart = |j: usize| &y.row(i) - &y.row(j);
        let weight = |j: usize| 1.0 / (1.0 + apart(j).mapv(|x| x * x).sum());
        for j in (0..n).filter(|&j| j != i) {
            let w = weight(j);
            pairs += w;
            push.row_mut(i).scaled_add(w * w, &apart(j));
        }
        for entry in offsets[i]..offsets[i + 1] {
            let j = columns[entry] as usize;
            pull.row_mut(i)
                .scaled_add(f64::from(values[entry]) * weight(j), &apart(j));
        }
    }
    (pull, push, pairs)
}

/// Largest error of a row, relative to the root mean square of all rows.
fn worst(found: &Array2<f64>, truth: &Array2<f64>) -> f64 {
    let square = |row: ndarray::ArrayView1<'_, f64>| row.dot(&row);
    let mean = truth.rows().into_iter().map(square).sum::<f64>() / truth.nrows() as f64;
    let error = (found - truth).rows().into_iter().map(square).fold(0.0, f64::max);
    (error / mean).sqrt()
}

#[test]
fn forces_and_step_agree_with_the_definition() {
    let gpu = Gpu::headless().unwrap();
    let params = TsneParams {
        perplexity: 8.0,
        ..TsneParams::default()
    };
    for (n, dims) in [(60, Dims::Two), (700, Dims::Two), (513, Dims::Three)] {
        let problem = problem(n, dims, &params);
        for spread in [0.01f32, 1.0, 30.0] {
            let d = dims.count();
            let y = Array2::from_shape_fn((n, d), |(i, c)| spread * noise(i + 7919, c));
            let descent = Descent::new(&gpu, &problem).unwrap();
            let padded: Vec<f32> = (0..n * stride(d))
                .map(|at| y.get((at / stride(d), at % stride(d))).copied().unwrap_or(0.0))
                .collect();
            gpu.write(&descent.y, &padded);
            let step = TsneStep {
                exaggeration: 3.0,
                momentum: 0.5,
                rate: 50.0,
            };
            descent.set(step);
            let after = pollster::block_on(async {
                let mut queue = Ahead::new(&gpu);
                descent.forces(&mut queue).await?;
                descent.advance(&mut queue);
                queue.submit().await?;
                descent.map().await
            })
            .unwrap();

            let exact = y.mapv(f64::from);
            let (pull, push, pairs) = brute_force(&problem, &exact);
            let width = 4 + stride(d);
            let forces: Vec<f32> = pollster::block_on(gpu.read(&descent.forces, n * width)).unwrap();
            let part = |from: usize| Array2::from_shape_fn((n, d), |(i, c)| f64::from(forces[i * width + from + c]));
            let found = pollster::block_on(descent.pairs()).unwrap();
            assert!((found / pairs - 1.0).abs() < 1e-5, "{n} {spread}: {found} {pairs}");
            let gradient = |pull: &Array2<f64>, push: &Array2<f64>, pairs: f64| pull * 3.0 - push / pairs;
            let truth = gradient(&pull, &push, pairs);
            let error = worst(&gradient(&part(0), &part(4), found), &truth);
            assert!(error < 1e-4, "{n} {dims:?} {spread}: {error}");
            assert!(worst(&part(0), &pull) < 1e-4 && worst(&part(4), &push) < 1e-4);

            // At rest a coordinate that must go up has "turned", one that must go down has not.
            let mean = exact.mean_axis(ndarray::Axis(0)).unwrap();
            for i in 0..n {
                let mut velocity: Vec<f64> = (0..d)
                    .map(|c| {
                        let gain = if truth[[i, c]] > 0.0 { 1.2 } else { 0.8 };
                        (-50.0 * gain * truth[[i, c]]).clamp(-5.0, 5.0)
                    })
                    .collect();
                let length = velocity.iter().map(|v| v * v).sum::<f64>().sqrt();
                velocity.iter_mut().for_each(|v| *v *= (5.0 / length).min(1.0));
                for c in 0..d {
                    let expected = exact[[i, c]] - mean[c] + velocity[c];
                    let error = (f64::from(after[[i, c]]) - expected).abs();
                    // A gradient within rounding of 0 may count as either.
                    let doubt = truth[[i, c]].abs() < 1e-9;
                    assert!(
                        doubt || error < 1e-5 * (1.0 + f64::from(spread)),
                        "{n} {spread} {i} {c}: {error}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_pair_is_in_one_dispatch_and_one_slice() {
    for points in [4, 255, 256, 257, 1000, 10_112, 100_000, 300_000, 524_280] {
        let cut = Cut::new(points);
        assert!(
            cut.slice.is_multiple_of(LANES)
                && cut.slice * cut.slices >= points
                && cut.slice * (cut.slices - 1) < points
        );
        let firsts: Vec<usize> = cut.firsts().collect();
        assert_eq!(firsts[0], 0);
        assert!(firsts.windows(2).all(|pair| pair[1] == pair[0] + cut.groups));
        assert!((firsts[firsts.len() - 1] + cut.groups) * LANES >= points);
        // A dispatch is short, and repulsions of slices do not outgrow the device.
        assert!(
            cut.groups == 1 || cut.groups * LANES * points <= WORK + LANES * points,
            "{cut:?}"
        );
        assert!(cut.slices * points * 16 <= 1 << 28 || points > 300_000, "{cut:?}");
        assert!(cut.slices <= u16::MAX as usize && points.div_ceil(LANES) <= u16::MAX as usize);
    }
}
