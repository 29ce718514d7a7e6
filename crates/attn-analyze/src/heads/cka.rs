//! Similarity of the query-key clouds of heads: linear centered kernel alignment (Kornblith et al. 2019, section 3),
//! computed through small products of features, `d x d`, never through kernels of points, `n x n`.
//!
//! `CKA(X, Y) = |Yᵀ X|² / (|Xᵀ X| |Yᵀ Y|)` for centered X, Y and Frobenius norms. It is 1 for clouds that are rotations
//! and scalings of one another. Independent clouds do not give 0 but about `d / n`, so the exact mean over all
//! permutations of the tokens stands beside every value.

use attn_core::{Attention, Capture, HeadId, Progress};
use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::pairs::{HeadPairs, row_start};
use crate::{
    Error, Rng,
    error::finite,
    steps::{Steps, gather},
};

/// Linear CKA of two sets of features of the same points, `[points, features]` each, in `[0, 1]`; 0 if either is
/// constant.
///
/// # Errors
/// [`Error::Shape`] if the numbers of points differ, [`Error::Empty`] for fewer than 2, [`Error::NotFinite`].
///
/// ```
/// use ndarray::array;
///
/// let x = array![[0.0, 1.0], [2.0, 0.5], [1.0, 4.0]];
/// let turned = array![[3.0, 0.0], [1.5, -6.0], [12.0, -3.0]]; // rotated by a quarter, three times as large
/// let cka = attn_analyze::heads::linear_cka(x.view(), turned.view())?;
/// assert!((cka - 1.0).abs() < 1e-6);
/// # Ok::<(), attn_analyze::Error>(())
/// ```
pub fn linear_cka(x: ArrayView2<'_, f32>, y: ArrayView2<'_, f32>) -> Result<f64, Error> {
    if x.nrows() != y.nrows() {
        return Err(Error::Shape {
            place: "y".into(),
            expected: format!("[{}, _] as x", x.nrows()),
            found: format!("{:?}", y.shape()),
        });
    }
    if x.nrows() < 2 {
        return Err(Error::Empty {
            place: "x".into(),
            expected: "at least 2 points".into(),
        });
    }
    finite(x, || "x".into())?;
    finite(y, || "y".into())?;
    let (x, y) = (centered_unit(x), centered_unit(y));
    let own = |x: &Array2<f32>| squares(x.t().dot(x).view()).sqrt();
    Ok(ratio(squares(y.t().dot(&x).view()), own(&x) * own(&y)))
}

/// The tokens that [`query_key_cka`] compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CkaParams {
    /// At most this many tokens, a seeded sample over all sequences. Default 1024.
    pub max_tokens: usize,
    /// Seed of the sample. Default 0.
    pub seed: u64,
}

impl Default for CkaParams {
    fn default() -> Self {
        Self {
            max_tokens: 1024,
            seed: 0,
        }
    }
}

/// CKA of every pair of heads, and its chance level for permuted tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadCka {
    /// The similarity, in `[0, 1]`.
    pub similarity: HeadPairs,
    /// Its exact mean over all permutations of the tokens of one of the two heads.
    pub chance: HeadPairs,
}

/// Linear CKA between the joint query-key clouds `[Q; K]` of every pair of heads of one attention.
///
/// Queries and keys are centered apart and scaled to the same norm first: neither changes attention, and without it CKA
/// would mostly see that queries lie here and keys there in every head. Cost: `heads² x tokens x head_dim²`
/// multiplications; memory: the sampled tokens of a few layers.
///
/// # Errors
/// [`Error::Empty`] if the model has no such attention or there are fewer than 2 tokens, [`Error::NotFinite`],
/// [`Error::Core`].
pub fn query_key_cka(
    capture: &Capture,
    attention: Attention,
    options: &CkaParams,
    progress: &dyn Progress,
) -> Result<HeadCka, Error> {
    let (query_side, key_side) = (attention.query_side(), attention.key_side());
    let mut rng = Rng::new(options.seed, &[]);
    let queries = rng.sample(capture.tokens(query_side), options.max_tokens);
    let shared = query_side == key_side;
    let keys = if shared {
        queries.clone()
    } else {
        rng.sample(capture.tokens(key_side), options.max_tokens)
    };
    if queries.len() < 2 || keys.len() < 2 {
        return Err(Error::Empty {
            place: attention.to_string(),
            expected: "at least 2 tokens".into(),
        });
    }
    let Some(info) = capture
        .model()
        .attention(attention)
        .filter(|info| !info.layers.is_empty())
    else {
        return Err(Error::Empty {
            place: attention.to_string(),
            expected: "at least one head".into(),
        });
    };
    // Those that have heads.
    let layers: Vec<(usize, usize)> = info
        .attending_layers()
        .map(|layer| (layer, info.heads_of(layer)))
        .collect();
    // Where the heads of a layer begin among all.
    let starts: Vec<usize> = layers
        .iter()
        .scan(0, |next, (_, heads)| {
            let start = *next;
            *next += heads;
            Some(start)
        })
        .collect();
    let places = |at: usize| starts[at]..starts[at] + layers[at].1;
    let sample = Sample {
        capture,
        attention,
        queries,
        keys,
        shared,
    };
    let steps = Steps::new(progress, "head CKA", layers.len() * (layers.len() + 1) / 2)?;
    // |Gᵀ G|² of every pair of heads, itself included; G is a d x d block of the product of two layers' features.
    let count = layers.iter().map(|(_, heads)| heads).sum();
    let mut products = Array2::<f64>::zeros((count, count));
    let mut traces = vec![0.0; count];
    for at in 0..layers.len() {
        let (features, layer_traces) = sample.layer(layers[at])?;
        traces[places(at)].copy_from_slice(&layer_traces);
        let heads = layers[at].1;
        let blocks: Vec<Result<Array2<f64>, Error>> = (at..layers.len())
            .into_par_iter()
            .map(|other| {
                let blocks = if other == at {
                    block_squares(&features, &features, [heads, heads])
                } else {
                    block_squares(&features, &sample.layer(layers[other])?.0, [heads, layers[other].1])
                };
                steps.add()?;
                Ok(blocks)
            })
            .collect();
        for (other, block) in (at..layers.len()).zip(gather(blocks)?) {
            products.slice_mut(s![places(at), places(other)]).assign(&block);
        }
    }
    let pairs = count * (count - 1) / 2;
    let (mut similarity, mut chance) = (vec![0.0; pairs], vec![0.0; pairs]);
    for a in 0..count {
        for b in a + 1..count {
            let norms = (products[[a, a]] * products[[b, b]]).sqrt();
            let place = row_start(a, count) + b - a - 1;
            similarity[place] = single(ratio(products[[a, b]], norms));
            chance[place] = single(ratio(sample.permuted(traces[a], traces[b]), norms));
        }
    }
    let heads: Vec<HeadId> = capture
        .model()
        .heads()
        .filter(|head| head.attention == attention)
        .collect();
    Ok(HeadCka {
        similarity: HeadPairs::new(heads.clone(), similarity),
        chance: HeadPairs::new(heads, chance),
    })
}

/// The tokens at which heads are compared.
struct Sample<'a> {
    capture: &'a Capture,
    attention: Attention,
    queries: Vec<usize>,
    keys: Vec<usize>,
    /// Queries and keys are the same tokens.
    shared: bool,
}

impl Sample<'_> {
    /// Features of all heads of a layer side by side, `[queries + keys, heads * head_dim]`, and per head the trace of
    /// `Q Kᵀ`.
    fn layer(&self, (layer, heads): (usize, usize)) -> Result<(Array2<f32>, Vec<f64>), Error> {
        let mut parts = Vec::with_capacity(heads);
        let mut traces = Vec::with_capacity(heads);
        for head in 0..heads {
            let head = HeadId::new(self.attention, layer, head);
            let cloud = |all: ndarray::CowArray<'_, f32, ndarray::Ix2>, rows: &[usize], name: &str| {
                let rows = all.select(Axis(0), rows);
                finite(&rows, || format!("{name} of {head}"))?;
                Ok::<_, Error>(centered_unit(rows.view()))
            };
            let queries = cloud(self.capture.queries(head)?, &self.queries, "queries")?;
            let keys = cloud(self.capture.keys(head)?, &self.keys, "keys")?;
            traces.push(if self.shared {
                queries.iter().zip(&keys).map(|(q, k)| f64::from(q * k)).sum()
            } else {
                0.0
            });
            parts.push([queries, keys]);
        }
        let rows = self.queries.len() + self.keys.len();
        let width = parts.first().map_or(0, |[queries, _]| queries.ncols());
        let mut features = Array2::zeros((rows, heads * width));
        for (head, [queries, keys]) in parts.iter().enumerate() {
            let columns = head * width..(head + 1) * width;
            features
                .slice_mut(s![..self.queries.len(), columns.clone()])
                .assign(queries);
            features.slice_mut(s![self.queries.len().., columns]).assign(keys);
        }
        Ok((features, traces))
    }

    /// Mean of `|Gᵀ G|²` if one head's tokens were permuted. For matrices M, N with centered rows and columns, `E tr(P M
    /// Pᵀ N) = tr M tr N / (n - 1)`; here M and N run over the query, key and mixed kernels. Clouds have unit norm, so
    /// the traces of their own kernels are 1.
    fn permuted(&self, trace_a: f64, trace_b: f64) -> f64 {
        let degrees = |tokens: &[usize]| (tokens.len() - 1) as f64;
        1.0 / degrees(&self.queries) + 1.0 / degrees(&self.keys) + 2.0 * trace_a * trace_b / degrees(&self.queries)
    }
}

/// Squared norms of the blocks `[head a, head b]` of `xᵀ y`, of so many heads each.
fn block_squares(x: &Array2<f32>, y: &Array2<f32>, heads: [usize; 2]) -> Array2<f64> {
    let product = x.t().dot(y);
    let width = product.nrows() / heads[0].max(1);
    Array2::from_shape_fn(heads, |(a, b)| {
        squares(product.slice(s![a * width..(a + 1) * width, b * width..(b + 1) * width]))
    })
}

/// Centered columns, unit Frobenius norm; zeros if there is no variance.
fn centered_unit(points: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut centered = points.mapv(f64::from);
    let before = squares64(&centered);
    for mut column in centered.columns_mut() {
        let mean = column.sum() / column.len().max(1) as f64;
        column -= mean;
    }
    let after = squares64(&centered);
    // What is left of equal points is rounding.
    let scale = if after > before * 1e-14 {
        1.0 / after.sqrt()
    } else {
        0.0
    };
    centered.mapv(|value| single(value * scale))
}

fn squares(matrix: ArrayView2<'_, f32>) -> f64 {
    matrix.iter().map(|&value| f64::from(value) * f64::from(value)).sum()
}

fn squares64(matrix: &Array2<f64>) -> f64 {
    matrix.iter().map(|value| value * value).sum()
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 {
        (part / whole).clamp(0.0, 1.0)
    } else {
        0.0
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "single precision is what the features have"
)]
fn single(value: f64) -> f32 {
    value as f32
}
