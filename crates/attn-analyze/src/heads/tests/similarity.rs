//! Divergence, CKA and rollout of planted heads against closed forms and brute force.

use attn_core::{Attention, Capture, HeadId, capture::Slot, model::Mask};
use ndarray::{Array2, array};

use super::*;
use crate::{Error, Rng, heads::*};

#[test]
fn divergence_of_equal_and_of_disjoint_rows() {
    let attention = Attention::EncoderSelf;
    let even = |_: usize, k: usize| hit(k.is_multiple_of(2));
    let odd = |_: usize, k: usize| hit(k % 2 == 1);
    let capture = planted(
        attention,
        Mask::Full,
        texts(attention, &["a b c d", "a b c d e f"]),
        &[&[&even, &odd], &[&even, &|_, _| 1.0]],
    );
    let pairs = divergence(&capture, attention, &DivergenceParams::default(), &()).unwrap();
    let close = |a: usize, b: usize, expected: f32| {
        let found = pairs.get(a, b).unwrap();
        assert!((found - expected).abs() < 1e-5, "{a} {b}: {found} {expected}");
    };
    close(0, 1, 1.0);
    close(0, 2, 0.0);
    close(1, 2, 1.0);
    // Half the keys against all: the middle is 3/4 and 1/4 spread over halves; H(m) - (H(p) + H(q)) / 2 = 0.3113 bits,
    // for any even length.
    let middle = -(0.75_f32 * 0.75_f32.log2() + 0.25 * 0.25_f32.log2()) + 1.0;
    close(0, 3, middle - 1.5);
    let redundant = pairs.at_most(0.05);
    assert_eq!(redundant.len(), 1);
    assert_eq!((redundant[0].0.layer, redundant[0].1.layer), (0, 1));
    assert_eq!(pairs.ascending(0)[0].0, pairs.heads()[2]);
}

#[test]
fn divergence_agrees_with_its_definition() {
    let attention = Attention::DecoderSelf;
    let lines = ["a b c d e", "f g h"];
    let first = |q: usize, k: usize| 1.0 + ((3 * q + 5 * k) % 7) as f32;
    let second = |q: usize, k: usize| 1.0 + ((5 * q + 2 * k) % 9) as f32;
    let capture = planted(attention, Mask::Causal, texts(attention, &lines), &[&[&first, &second]]);
    let kl = |p: f64, m: f64| if p > 0.0 { p * (p / m).log2() } else { 0.0 };
    let mut expected = 0.0;
    for sequence in 0..2 {
        let [p, q] = [0, 1].map(|head| capture.attention(HeadId::new(attention, 0, head), sequence).unwrap());
        let rows = p.nrows() - 1; // the first sees itself only
        let cells = p.indexed_iter().filter(|((row, _), _)| *row > 0);
        let sum: f64 = cells
            .map(|(at, &p)| {
                let (p, q) = (f64::from(p), f64::from(q[at]));
                0.5 * (kl(p, 0.5 * (p + q)) + kl(q, 0.5 * (p + q)))
            })
            .sum();
        expected += sum / rows as f64 / 2.0;
    }
    let found = divergence(&capture, attention, &DivergenceParams::default(), &()).unwrap();
    assert!((f64::from(found.condensed()[0]) - expected).abs() < 1e-6);
    for threads in [1, 3] {
        assert_eq!(
            on_threads(threads, || divergence(
                &capture,
                attention,
                &DivergenceParams::default(),
                &()
            )
            .unwrap()),
            found
        );
    }
    // A sample of one row of one sequence is still a divergence.
    let little = DivergenceParams {
        max_sequences: 1,
        max_queries: 1,
        seed: 1,
    };
    assert!((0.0..=1.0).contains(&divergence(&capture, attention, &little, &()).unwrap().condensed()[0]));
    assert!(matches!(
        divergence(&capture, Attention::Cross, &little, &()),
        Err(Error::Empty { .. })
    ));
    let none = DivergenceParams {
        max_queries: 0,
        ..little
    };
    assert!(matches!(
        divergence(&capture, attention, &none, &()),
        Err(Error::Parameter { .. })
    ));
}

/// A capture of given queries and keys per head, one sequence.
fn clouds(attention: Attention, heads: &[[Array2<f32>; 2]]) -> Capture {
    let (n, d) = heads[0][0].dim();
    let text = vec!["x"; n].join(" ");
    vectors(
        attention,
        Mask::Full,
        texts(attention, &[&text]),
        1,
        heads.len(),
        d,
        |slot, head, row, _, column| match slot {
            Slot::Query { .. } => heads[head][0][[row, column]],
            _ => heads[head][1][[row, column]],
        },
    )
}

fn random(n: usize, d: usize, seed: usize) -> Array2<f32> {
    let mut rng = Rng::new(11, &[seed]);
    Array2::from_shape_simple_fn((n, d), || rng.normal() as f32)
}

#[test]
fn cka_of_turned_scaled_and_moved_clouds_is_one() {
    let attention = Attention::EncoderSelf;
    let (q, k) = (random(40, 3, 0), random(40, 3, 1));
    let (sin, cos) = 0.7_f32.sin_cos();
    let turn = array![[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, -1.0]];
    // Turned; queries five times as long and keys a fifth; both moved: attention is the same, so is the cloud.
    let turned = [q.dot(&turn) * 5.0 + 3.0, k.dot(&turn) / 5.0 - 7.0];
    let other = [random(40, 3, 2), random(40, 3, 3)];
    let dead = [Array2::ones((40, 3)), Array2::zeros((40, 3))];
    let capture = clouds(attention, &[[q, k], turned, other, dead]);
    let cka = query_key_cka(&capture, attention, &CkaParams::default(), &()).unwrap();
    assert!((cka.similarity.get(0, 1).unwrap() - 1.0).abs() < 1e-5);
    assert!(cka.similarity.get(0, 2).unwrap() < 0.3);
    assert!((cka.similarity.get(0, 2).unwrap() - cka.similarity.get(1, 2).unwrap()).abs() < 1e-5);
    assert_eq!(cka.similarity.get(0, 3), Some(0.0));
}

#[test]
fn cka_of_independent_clouds_is_its_chance_and_near_the_theory() {
    // Queries and keys of n tokens in d dimensions, all independent: 2 n points, so about d / (2 n + d).
    let attention = Attention::EncoderSelf;
    let (n, d, count) = (100, 8, 24);
    let heads: Vec<[Array2<f32>; 2]> = (0..count)
        .map(|h| [random(n, d, 2 * h), random(n, d, 2 * h + 1)])
        .collect();
    let capture = clouds(attention, &heads);
    let cka = query_key_cka(&capture, attention, &CkaParams::default(), &()).unwrap();
    let mean = |pairs: &HeadPairs| {
        pairs.condensed().iter().map(|&v| f64::from(v)).sum::<f64>() / pairs.condensed().len() as f64
    };
    let (similarity, chance) = (mean(&cka.similarity), mean(&cka.chance));
    let theory = d as f64 / (2 * n + d) as f64;
    assert!((similarity / theory - 1.0).abs() < 0.05, "{similarity} {theory}");
    assert!((chance / theory - 1.0).abs() < 0.05, "{chance} {theory}");
    for threads in [1, 3] {
        assert_eq!(
            on_threads(threads, || query_key_cka(
                &capture,
                attention,
                &CkaParams::default(),
                &()
            )
            .unwrap()),
            cka
        );
    }
    let few = CkaParams { max_tokens: 1, seed: 0 };
    assert!(matches!(
        query_key_cka(&capture, attention, &few, &()),
        Err(Error::Empty { .. })
    ));
    assert!(matches!(
        query_key_cka(&capture, Attention::Cross, &few, &()),
        Err(Error::Empty { .. })
    ));
}

#[test]
fn chance_is_the_mean_over_all_permutations_of_the_tokens() {
    let attention = Attention::EncoderSelf;
    let (n, d) = (5, 2);
    let a = [random(n, d, 0), random(n, d, 1)];
    // Keys close to queries, so that the mixed kernels count.
    let b = [random(n, d, 2), random(n, d, 2) + random(n, d, 3) * 0.3];
    let cka = |b: &[Array2<f32>; 2]| {
        query_key_cka(
            &clouds(attention, &[a.clone(), b.clone()]),
            attention,
            &CkaParams::default(),
            &(),
        )
        .unwrap()
    };
    let mut orders = vec![vec![]];
    for _ in 0..n {
        orders = orders
            .iter()
            .flat_map(|order: &Vec<usize>| {
                (0..n)
                    .filter(|i| !order.contains(i))
                    .map(|i| [order.as_slice(), &[i]].concat())
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    assert_eq!(orders.len(), 120);
    let dealt = |order: &Vec<usize>| b.clone().map(|m| m.select(ndarray::Axis(0), order));
    let mean = orders
        .iter()
        .map(|order| cka(&dealt(order)).similarity.condensed()[0])
        .sum::<f32>()
        / 120.0;
    let chance = cka(&b).chance.condensed()[0];
    assert!((mean - chance).abs() < 1e-5, "{mean} {chance}");
}

#[test]
fn cross_attention_has_clouds_of_different_tokens() {
    let attention = Attention::Cross;
    let capture = planted(
        attention,
        Mask::Full,
        texts(attention, &["a b c d > x y z"]),
        &[&[&|q, k| hit(q == k), &|q, k| hit(k == q)]],
    );
    let cka = query_key_cka(&capture, attention, &CkaParams::default(), &()).unwrap();
    assert!((cka.similarity.condensed()[0] - 1.0).abs() < 1e-5);
    assert!((0.0..1.0).contains(&cka.chance.condensed()[0]));
    let error = capture_rollout(&capture, attention, 0, &()).unwrap_err();
    assert!(matches!(error, Error::NotSelfAttention { .. }), "{error}");
}

#[test]
fn linear_cka_refuses_what_it_cannot_compare() {
    let x = random(6, 2, 0);
    assert!(matches!(
        linear_cka(x.view(), random(5, 2, 1).view()),
        Err(Error::Shape { .. })
    ));
    assert!(matches!(
        linear_cka(random(1, 2, 0).view(), random(1, 2, 1).view()),
        Err(Error::Empty { .. })
    ));
    let mut bad = x.clone();
    bad[[2, 1]] = f32::NAN;
    assert!(matches!(
        linear_cka(x.view(), bad.view()),
        Err(Error::NotFinite { index: 5, .. })
    ));
    assert_eq!(
        linear_cka(x.view(), Array2::from_elem((6, 3), 0.1).view()).unwrap(),
        0.0
    );
}

#[test]
fn rollout_of_a_capture_averages_heads() {
    let attention = Attention::DecoderSelf;
    // Layer 0: one head to itself, one to the first token. Layer 1: both to itself.
    let own = |q: usize, k: usize| hit(q == k);
    let capture = planted(
        attention,
        Mask::Causal,
        texts(attention, &["a b c"]),
        &[&[&own, &|_, k| hit(k == 0)], &[&own, &own]],
    );
    let found = capture_rollout(&capture, attention, 0, &()).unwrap();
    // Half of half goes to the first token; the second layer changes nothing.
    let expected = array![[1.0_f32, 0.0, 0.0], [0.25, 0.75, 0.0], [0.25, 0.0, 0.75]];
    let near = |found: &Array2<f32>, expected: &Array2<f32>| {
        (found - expected).iter().all(|difference| difference.abs() < 1e-6)
    };
    assert!(near(&found, &expected), "{found}");
    let mixing = capture_mixing(&capture, attention, 0, &()).unwrap();
    assert_eq!(mixing.len(), 2);
    assert!(
        near(&mixing[0], &expected) && near(&mixing[1], &Array2::eye(3)),
        "{mixing:?}"
    );
    assert!(matches!(
        capture_rollout(&capture, attention, 1, &()),
        Err(Error::Core(_))
    ));
    assert!(matches!(
        capture_rollout(&capture, Attention::EncoderSelf, 0, &()),
        Err(Error::Core(_))
    ));
}

#[test]
fn every_long_computation_can_be_cancelled() {
    let attention = Attention::EncoderSelf;
    let capture = planted(
        attention,
        Mask::Full,
        texts(attention, &["a b c"]),
        &[&[&|_, _| 1.0], &[&|_, _| 1.0]],
    );
    for at in [0, 1] {
        let stop = |_: &str, done: usize, _: usize| {
            if done >= at {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(())
            }
        };
        for error in [
            divergence(&capture, attention, &DivergenceParams::default(), &stop).unwrap_err(),
            query_key_cka(&capture, attention, &CkaParams::default(), &stop).unwrap_err(),
            capture_rollout(&capture, attention, 0, &stop).unwrap_err(),
            repeat_scores(&capture, &ScoreList::builtin(), &stop).unwrap_err(),
            random_composition(8, 2, 4, 0, &stop).unwrap_err(),
        ] {
            assert!(
                error.is_cancelled() || matches!(error, Error::NotRepeated { .. }),
                "{error}"
            );
        }
    }
}
