//! Composition of heads, from weights alone: how much a head reads of the output of earlier heads (Elhage et al. 2021, *A
//! mathematical framework for transformer circuits*, "Mechanistic analysis" of composition).
//!
//! With rows as vectors, an earlier head moves `x` to `x V O` and a later one scores `(x Q) (y K)ᵀ`. Its queries, keys
//! or values may read that output. Each kind of composition has the ratio `|A B| / (|A| |B|)` of Frobenius norms, A the earlier head's
//! `V O`:
//!
//! | composition | B |
//! |---|---|
//! | query | `Q Kᵀ` |
//! | key | `K Qᵀ` |
//! | value | `V O` |
//!
//! Scores see the matrices alone. Fold the gain of a layer norm into the matrices that follow it (multiply their rows
//! by it), or it is ignored; so are biases and the rotation of rotary models.
//!
//! These matrices are `hidden x hidden` of rank `head_dim`; only products of `head_dim x head_dim` are ever formed:
//! `|V C R|² = tr(VᵀV C RRᵀ Cᵀ)` with `C = O · (Q, K or V)`.

use attn_core::{HeadId, HeadWeights, Progress};
use ndarray::{Array2, ArrayView2, Axis, concatenate, s};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Rng,
    error::finite,
    steps::{Steps, gather},
};

/// Composition of two heads: 0 if the later head reads nothing of the output of the earlier one, 1 if both use a single
/// direction. Random matrices give about `1 / sqrt(hidden)`, see [`random_composition`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Composition {
    /// The earlier head.
    pub earlier: HeadId,
    /// The later head.
    pub later: HeadId,
    /// Q-composition, through the later head's queries.
    pub query: f64,
    /// K-composition, through its keys: induction heads read previous-token heads so.
    pub key: f64,
    /// V-composition, through its values.
    pub value: f64,
}

/// Composition of every pair of heads of the same attention in different layers, by later head, then earlier head, in
/// the order of `heads`. `attn_models::Model::head_weights` has the weights of a model.
///
/// Cost: `6 hidden head_dim²` multiplications a pair.
///
/// # Errors
/// [`Error::Empty`] without heads, [`Error::Shape`] if a matrix is not as [`HeadWeights`] says or sizes differ between
/// heads, [`Error::NotFinite`], [`Error::Core`] if `progress` cancels.
pub fn compositions(heads: &[HeadWeights], progress: &dyn Progress) -> Result<Vec<Composition>, Error> {
    let Some(first) = heads.first() else {
        return Err(Error::Empty {
            place: "heads".into(),
            expected: "at least one head".into(),
        });
    };
    let hidden = first.query.nrows();
    let steps = Steps::new(progress, "composition", 2 * heads.len())?;
    let circuits: Vec<Result<Circuit, Error>> = heads
        .par_iter()
        .map(|weights| {
            let circuit = Circuit::new(weights, hidden);
            steps.add()?;
            circuit
        })
        .collect();
    let circuits = gather(circuits)?;
    let rows: Vec<Result<Vec<Composition>, Error>> = (0..heads.len())
        .into_par_iter()
        .map(|later| {
            let to = heads[later].head;
            let before = |from: HeadId| from.attention == to.attention && from.layer < to.layer;
            let row = (0..heads.len())
                .filter(|&earlier| before(heads[earlier].head))
                .map(|earlier| {
                    let [query, key, value] = compose(&heads[earlier], &circuits[earlier], &circuits[later]);
                    Composition {
                        earlier: heads[earlier].head,
                        later: to,
                        query,
                        key,
                        value,
                    }
                });
            let row = row.collect();
            steps.add()?;
            Ok(row)
        })
        .collect();
    Ok(gather(rows)?.concat())
}

/// Chance level of a [`Composition`]: that of random matrices.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CompositionBaseline {
    /// Mean ratio; about `1 / sqrt(hidden)`, which is the exact root mean square for any two matrices turned at random.
    pub mean: f64,
    /// Standard deviation between draws.
    pub deviation: f64,
    /// Ratios drawn.
    pub count: usize,
}

impl CompositionBaseline {
    /// Distance of a ratio from the random mean in standard deviations; `None` if the draws do not vary.
    pub fn z(&self, ratio: f64) -> Option<f64> {
        (self.deviation > 0.0).then(|| (ratio - self.mean) / self.deviation)
    }
}

/// Ratios of heads with independent standard normal weights of the given sizes: `draws` pairs of heads, three ratios
/// each.
///
/// Trained weights have few large singular values, which widens the spread, not the root mean square.
///
/// # Errors
/// [`Error::Parameter`] if a size is 0 or fewer than 2 `draws` are asked for, [`Error::Core`] if `progress` cancels.
pub fn random_composition(
    hidden: usize,
    head_dim: usize,
    draws: usize,
    seed: u64,
    progress: &dyn Progress,
) -> Result<CompositionBaseline, Error> {
    for (name, found, least) in [("hidden", hidden, 1), ("head_dim", head_dim, 1), ("draws", draws, 2)] {
        if found < least {
            return Err(Error::Parameter {
                name,
                expected: format!("at least {least}"),
                found: found.to_string(),
            });
        }
    }
    let steps = Steps::new(progress, "random composition", draws)?;
    let ratios: Vec<Result<[f64; 3], Error>> = (0..draws)
        .into_par_iter()
        .map(|draw| {
            let mut rng = Rng::new(seed, &[draw]);
            let [earlier, later] = [0, 1].map(|layer| random_head(layer, hidden, head_dim, &mut rng));
            let (from, to) = (Circuit::new(&earlier, hidden)?, Circuit::new(&later, hidden)?);
            steps.add()?;
            Ok(compose(&earlier, &from, &to))
        })
        .collect();
    let ratios: Vec<f64> = gather(ratios)?.into_iter().flatten().collect();
    let count = ratios.len();
    let mean = ratios.iter().sum::<f64>() / count as f64;
    let variance = ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum::<f64>() / (count - 1) as f64;
    Ok(CompositionBaseline {
        mean,
        deviation: variance.sqrt(),
        count,
    })
}

fn random_head(layer: usize, hidden: usize, head_dim: usize, rng: &mut Rng) -> HeadWeights {
    #[expect(clippy::cast_possible_truncation, reason = "a random number loses nothing")]
    let mut matrix = |shape| Array2::from_shape_simple_fn(shape, || rng.normal() as f32);
    HeadWeights {
        head: HeadId::new(attn_core::Attention::DecoderSelf, layer, 0),
        query: matrix((hidden, head_dim)),
        key: matrix((hidden, head_dim)),
        value: matrix((hidden, head_dim)),
        output: matrix((head_dim, hidden)),
    }
}

/// Terms of one head that all its pairs share: `[head_dim, head_dim]` products and norms.
struct Circuit {
    /// Query, key and value side by side, `[hidden, 3 head_dim]`.
    readers: Array2<f32>,
    /// `QᵀQ`, `KᵀK`, `VᵀV`, `OOᵀ`.
    query: Array2<f64>,
    key: Array2<f64>,
    value: Array2<f64>,
    output: Array2<f64>,
    /// `|Q Kᵀ|` and `|V O|`.
    query_key: f64,
    value_output: f64,
}

impl Circuit {
    fn new(weights: &HeadWeights, hidden: usize) -> Result<Self, Error> {
        let HeadWeights {
            head,
            query,
            key,
            value,
            output,
        } = weights;
        let width = query.ncols();
        let matrices = [
            ("query", query, [hidden, width]),
            ("key", key, [hidden, width]),
            ("value", value, [hidden, value.ncols()]),
            ("output", output, [value.ncols(), hidden]),
        ];
        for (name, matrix, shape) in matrices {
            if matrix.shape() != shape || matrix.is_empty() {
                return Err(Error::Shape {
                    place: format!("{name} of {head}"),
                    expected: format!("{shape:?}, none of them 0"),
                    found: format!("{:?}", matrix.shape()),
                });
            }
            finite(matrix, || format!("{name} of {head}"))?;
        }
        let views = [query.view(), key.view(), value.view()];
        let readers = concatenate(Axis(1), &views).map_err(|error| Error::Shape {
            place: format!("weights of {head}"),
            expected: format!("{hidden} rows"),
            found: error.to_string(),
        })?;
        let gram = |matrix: ArrayView2<'_, f32>| {
            let matrix = matrix.mapv(f64::from);
            matrix.t().dot(&matrix)
        };
        let (query, key, value, output) = (
            gram(query.view()),
            gram(key.view()),
            gram(value.view()),
            gram(output.t()),
        );
        let norm = |a: &Array2<f64>, b: &Array2<f64>| (a * b).sum().max(0.0).sqrt();
        Ok(Self {
            query_key: norm(&query, &key),
            value_output: norm(&value, &output),
            readers,
            query,
            key,
            value,
            output,
        })
    }
}

/// Ratios through query, key and value. A head with no weights writes and reads nothing: 0.
fn compose(earlier: &HeadWeights, from: &Circuit, to: &Circuit) -> [f64; 3] {
    // O · [Q K V] of the later head, `[head_dim, 3 head_dim]`.
    let meet = earlier.output.dot(&to.readers).mapv(f64::from);
    let (query, key) = (to.query.nrows(), to.query.nrows() + to.key.nrows());
    let ratio = |meet: ArrayView2<'_, f64>, right: &Array2<f64>, norm: f64| {
        let square = (from.value.dot(&meet) * meet.dot(right)).sum().max(0.0);
        let norms = from.value_output * norm;
        if norms > 0.0 { square.sqrt() / norms } else { 0.0 }
    };
    [
        ratio(meet.slice(s![.., ..query]), &to.key, to.query_key),
        ratio(meet.slice(s![.., query..key]), &to.query, to.query_key),
        ratio(meet.slice(s![.., key..]), &to.output, to.value_output),
    ]
}

#[cfg(test)]
mod tests {
    use attn_core::Attention;

    use super::*;

    fn norm(matrix: &Array2<f64>) -> f64 {
        matrix.iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    #[test]
    fn small_products_agree_with_hidden_by_hidden_ones() {
        let mut rng = Rng::new(1, &[]);
        let mut heads: Vec<HeadWeights> = (0..5).map(|i| random_head(i / 2, 20, 4, &mut rng)).collect();
        for (i, head) in heads.iter_mut().enumerate() {
            head.head.head = i % 2;
        }
        let found = compositions(&heads, &()).unwrap();
        // Layers 0, 0, 1, 1, 2: two earlier heads for each of two, four for the last.
        assert_eq!(found.len(), 2 + 2 + 4);
        for pair in found {
            let get = |id| heads.iter().find(|head| head.head == id).unwrap();
            let wide = |m: &Array2<f32>| m.mapv(f64::from);
            let (a, b) = (get(pair.earlier), get(pair.later));
            assert!(a.head.layer < b.head.layer);
            let ov = |h: &HeadWeights| wide(&h.value).dot(&wide(&h.output));
            let qk = wide(&b.query).dot(&wide(&b.key).t());
            let kq = qk.t().to_owned();
            for (ratio, right) in [(pair.query, qk), (pair.key, kq), (pair.value, ov(b))] {
                let expected = norm(&ov(a).dot(&right)) / (norm(&ov(a)) * norm(&right));
                assert!((ratio - expected).abs() < 1e-6, "{ratio} {expected}");
            }
        }
    }

    #[test]
    fn one_shared_direction_gives_one_and_disjoint_ones_nothing() {
        let axis = |index: usize| Array2::from_shape_fn((4, 1), |(row, _)| if row == index { 2.0 } else { 0.0 });
        let head = |layer, query, key, value, output: usize| HeadWeights {
            head: HeadId::new(Attention::EncoderSelf, layer, 0),
            query: axis(query),
            key: axis(key),
            value: axis(value),
            output: axis(output).t().to_owned(),
        };
        // The first writes axis 1; the second reads it by its keys alone.
        let found = compositions(&[head(0, 0, 0, 0, 1), head(1, 2, 1, 3, 0)], &()).unwrap();
        assert_eq!((found[0].query, found[0].key, found[0].value), (0.0, 1.0, 0.0));
        let mut silent = head(0, 0, 0, 0, 1);
        silent.output.fill(0.0);
        assert_eq!(compositions(&[silent, head(1, 2, 1, 3, 0)], &()).unwrap()[0].key, 0.0);
    }

    #[test]
    fn random_matrices_give_one_over_the_root_of_hidden() {
        let baseline = random_composition(64, 8, 60, 0, &()).unwrap();
        assert_eq!(baseline.count, 180);
        assert!((baseline.mean * 8.0 - 1.0).abs() < 0.03, "{baseline:?}");
        assert!(
            baseline
                .z(baseline.mean + baseline.deviation)
                .is_some_and(|z| (z - 1.0).abs() < 1e-9)
        );
        assert_eq!(baseline, random_composition(64, 8, 60, 0, &()).unwrap());
        assert!(random_composition(64, 0, 60, 0, &()).is_err() && random_composition(64, 8, 1, 0, &()).is_err());
    }

    #[test]
    fn wrong_weights_are_refused() {
        let mut rng = Rng::new(1, &[]);
        let good = random_head(0, 6, 2, &mut rng);
        assert!(matches!(compositions(&[], &()), Err(Error::Empty { .. })));
        let mut bad = good.clone();
        bad.output = Array2::zeros((3, 6));
        let message = compositions(&[good.clone(), bad], &()).unwrap_err().to_string();
        assert!(message.contains("output of L0 H0: expected [2, 6]"), "{message}");
        let mut bad = good.clone();
        bad.key[[1, 1]] = f32::NAN;
        assert!(matches!(
            compositions(&[bad], &()),
            Err(Error::NotFinite { index: 3, .. })
        ));
        let stop = |_: &str, _: usize, _: usize| std::ops::ControlFlow::Break(());
        assert!(compositions(&[good], &stop).unwrap_err().is_cancelled());
    }
}
