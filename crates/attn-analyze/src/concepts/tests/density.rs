//! OPTICS against its definition written out, neurons against means by hand.

use std::collections::BTreeSet;

use ndarray::Array2;

use super::clustering::blobs;
use crate::{
    Error, Rng,
    concepts::{
        Clusterer, LabelSet, NeuronParams, OpticsClusterer, Partition, Units, Word, Words, adjusted_rand, neurons,
        optics,
    },
};

fn distances(points: &Array2<f32>) -> Vec<Vec<f64>> {
    let distance = |a: usize, b: usize| {
        let pairs = points.row(a).into_iter().zip(points.row(b));
        pairs
            .map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    let count = points.nrows();
    (0..count)
        .map(|a| (0..count).map(|b| distance(a, b)).collect())
        .collect()
}

/// Points on integers, whose distances are exact in single precision.
fn grid(count: usize, seed: u64) -> Array2<f32> {
    let mut rng = Rng::new(seed, &[]);
    Array2::from_shape_fn((count, 2), |(row, _)| (rng.below(9) + 40 * (row % 3)) as f32)
}

#[test]
fn optics_is_its_definition() {
    for seed in 0..6 {
        let points = grid(80, seed);
        let (all, min_points) = (distances(&points), 4);
        let found = optics(points.view(), min_points, &()).unwrap();
        let core: Vec<f64> = all
            .iter()
            .map(|row| {
                let mut row = row.clone();
                row.sort_by(f64::total_cmp);
                row[min_points - 1]
            })
            .collect();
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-4 * b.max(1.0);
        assert!(found.core.iter().zip(&core).all(|(&a, &b)| close(a, b)));
        // Every point is reached from those before it, and no other point would have been nearer.
        let mut left: BTreeSet<usize> = (0..80).collect();
        let mut before: Vec<usize> = Vec::new();
        for (&point, reach) in found.order.iter().zip(&found.reachability) {
            let reach_of = |point: usize| {
                let from = before.iter().map(|&other| core[other].max(all[other][point]));
                from.fold(f64::INFINITY, f64::min)
            };
            let least = left.iter().map(|&other| reach_of(other)).fold(f64::INFINITY, f64::min);
            match reach {
                None => assert!(least.is_infinite()),
                Some(reach) => assert!(close(*reach, reach_of(point)) && close(*reach, least)),
            }
            assert!(left.remove(&point));
            before.push(point);
        }
        assert!(left.is_empty());
        // A cut holds together what DBSCAN would: core points within the radius of each other.
        for radius in [1.5, 2.5, 4.5] {
            let cut = found.cut(radius);
            for a in (0..80).filter(|&point| core[point] <= radius) {
                assert!(cut.cluster(a).is_some());
                for b in (0..80).filter(|&point| core[point] <= radius && all[a][point] <= radius) {
                    assert_eq!(cut.cluster(a), cut.cluster(b), "{radius}");
                }
            }
            let lonely = |point: &usize| {
                all[*point]
                    .iter()
                    .zip(&core)
                    .all(|(&d, &core)| d > radius || core > radius)
            };
            assert!((0..80).filter(lonely).all(|point| cut.cluster(point).is_none()));
        }
    }
}

#[test]
fn optics_finds_blobs_and_refuses_nonsense() {
    let points = blobs(300, 5, 3, 1);
    let truth = Partition::new(&(0..300).map(|row| row % 3).collect::<Vec<_>>());
    let found = OpticsClusterer::default().cluster(points.view(), 3, &()).unwrap();
    assert!(adjusted_rand(&found.partition, &truth).unwrap() > 0.9);
    assert_eq!(found.reachability.unwrap().order.len(), 300);
    assert!(matches!(
        optics(points.view(), 1, &()),
        Err(Error::Parameter { name: "min_points", .. })
    ));
    assert!(matches!(optics(points.view(), 301, &()), Err(Error::Parameter { .. })));
    let equal = Array2::<f32>::ones((20, 3));
    assert_eq!(optics(equal.view(), 5, &()).unwrap().cut(0.0).count(), 1);
    let one = optics(equal.slice(ndarray::s![..1, ..]), 2, &()).unwrap();
    assert_eq!((one.order, one.reachability), (vec![0], vec![None]));
}

/// Words with occurrences, labels that neuron 2 has and neuron 4 has the other way round, and noise.
fn told(count: usize, strength: f32) -> (Array2<f32>, LabelSet, Units) {
    let mut rng = Rng::new(5, &[]);
    let label = |at: usize| at % 60 % 2;
    let vectors = Array2::from_shape_fn((count, 6), |(row, neuron)| {
        let sign = if label(row) == 0 { strength } else { -strength };
        let own = match neuron {
            2 => sign,
            4 => -0.5 * sign,
            _ => 0.0,
        };
        own + 0.2 * rng.normal() as f32
    });
    let word = |at: usize| Word {
        text: format!("w{}", at % 60),
        input: at % 60,
        ..Word::default()
    };
    let words = Words {
        words: (0..count).map(word).collect(),
        dropped: Vec::new(),
    };
    let labels = LabelSet::new("tag", (0..count).map(|at| vec![["a", "b"][label(at)]]));
    (vectors, labels, Units::new(&words))
}

#[test]
fn neurons_that_tell_labels_apart_are_first() {
    let (vectors, labels, units) = told(600, 1.0);
    let found = neurons(vectors.view(), &labels, &units, &NeuronParams::default(), &()).unwrap();
    for concept in &found.concepts {
        assert_eq!([concept.probeless[0].index, concept.probeless[1].index], [2, 4]);
        assert_eq!(concept.probe[0].index, 2);
        let sign = if concept.label == "a" { 1.0 } else { -1.0 };
        let mean = |own: bool| {
            let rows: Vec<usize> = (0..600).filter(|at| (at % 60 % 2 == 0) == own).collect();
            rows.iter().map(|&row| f64::from(vectors[[row, 2]])).sum::<f64>() / rows.len() as f64
        };
        let by_hand = sign * (mean(true) - mean(false));
        assert!((concept.probeless[0].value - by_hand).abs() < 1e-9);
    }
    assert!(
        found.accuracy > 0.99,
        "words it has not seen have the labels of neuron 2"
    );
    assert!(found.control < 0.8 && found.selectivity > 0.2, "{found:?}");
}

/// Without a trace of the labels, words it has not seen are guessed.
#[test]
fn a_probe_of_noise_finds_nothing() {
    let (vectors, labels, units) = told(600, 0.0);
    let found = neurons(vectors.view(), &labels, &units, &NeuronParams::default(), &()).unwrap();
    assert!(found.accuracy < 0.7, "{found:?}");
    let one = LabelSet::new("one", vec![vec!["x"]; 600]);
    assert!(matches!(
        neurons(vectors.view(), &one, &units, &NeuronParams::default(), &()),
        Err(Error::Empty { .. })
    ));
}
