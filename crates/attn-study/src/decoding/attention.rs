//! Attention and states of one teacher-forced pass, as plain numbers.

use attn_core::ndarray::{Array3, Array4, ArrayView1, ArrayView2, Axis};
use attn_models::{candle::Tensor, to_array};
use serde::{Deserialize, Serialize};

use crate::Error;

/// Weights of every layer and head of one attention: `[layer, head, query, key]`, row by row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AttentionWeights {
    /// Layers.
    pub layers: usize,
    /// Heads per layer.
    pub heads: usize,
    /// Tokens that ask.
    pub queries: usize,
    /// Tokens that answer.
    pub keys: usize,
    /// The weights.
    pub weights: Vec<f32>,
    /// Lengths of the values, `[layer, value head, key]`: several heads may share one. Empty if they were not kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub value_norms: Vec<f32>,
    /// Lengths of what each head writes for a value, `[layer, head, key]`. Empty if they were not kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output_norms: Vec<f32>,
}

/// What the weights of attention are multiplied by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttentionScale {
    /// Nothing: the weights as they are.
    #[default]
    Weights,
    /// The length of the value before the output projection; each row then sums to 1 again.
    ValueNorms,
    /// The length of the value times the output matrix of the head, as Kobayashi et al. 2020 ("Attention is not only a weight")
    /// measure it: of what reaches the residual stream. Each row then sums to 1 again.
    OutputNorms,
}

/// The heads whose attention is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadChoice {
    /// The mean over all layers and heads.
    #[default]
    All,
    /// The mean over the heads of a layer.
    Layer(usize),
    /// The mean over some heads, as layer and head.
    Some(Vec<(usize, usize)>),
}

/// The decoder step whose attention belongs to a target token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shift {
    /// The step that predicts the token.
    #[default]
    Predicted,
    /// The step that reads the token (Shift-Att, Chen et al. 2020).
    Read,
}

impl AttentionWeights {
    /// From a tensor `[1, heads, queries, keys]` per layer.
    pub(super) fn new(layers: &[&Tensor]) -> Result<Self, Error> {
        let mut all = Self::default();
        for tensor in layers {
            let array: Array4<f32> = to_array(tensor)?;
            let (_, heads, queries, keys) = array.dim();
            if all.layers > 0 && (all.heads, all.queries, all.keys) != (heads, queries, keys) {
                return Err(Error::Shape {
                    what: "attention of a layer",
                    expected: format!("{:?}", (all.heads, all.queries, all.keys)),
                    found: format!("{:?}", (heads, queries, keys)),
                });
            }
            (all.heads, all.queries, all.keys) = (heads, queries, keys);
            all.layers += 1;
            all.weights.extend(array.iter().take(heads * queries * keys));
        }
        Ok(all)
    }

    /// Adds the values of a layer, a tensor `[1, value heads, keys, width]`, and for each head its [products](output_products).
    pub(super) fn add_values(&mut self, tensor: &Tensor, products: Option<&Array3<f32>>) -> Result<(), Error> {
        let array: Array4<f32> = to_array(tensor)?;
        let (_, heads, keys, width) = array.dim();
        if keys != self.keys || heads == 0 || !self.heads.is_multiple_of(heads) {
            return Err(Error::Shape {
                what: "values of a layer",
                expected: format!("a share of {} heads, {} keys", self.heads, self.keys),
                found: format!("{heads} heads, {keys} keys"),
            });
        }
        let first = array.index_axis(Axis(0), 0);
        self.value_norms
            .extend(first.rows().into_iter().map(|row| length(row, row)));
        if let Some(products) = products.filter(|own| own.dim() == (self.heads, width, width)) {
            let group = self.heads / heads;
            for (head, product) in products.outer_iter().enumerate() {
                let values: ArrayView2<'_, f32> = first.index_axis(Axis(0), head / group);
                let turned = values.dot(&product);
                let rows = values.rows().into_iter().zip(turned.rows());
                self.output_norms
                    .extend(rows.map(|(value, turned)| length(value, turned)));
            }
        }
        Ok(())
    }

    /// The same weights times something; `None` if that was not kept.
    pub fn scaled(&self, by: AttentionScale) -> Option<Self> {
        let norms = match by {
            AttentionScale::Weights => return Some(self.clone()),
            AttentionScale::ValueNorms => &self.value_norms,
            AttentionScale::OutputNorms => &self.output_norms,
        };
        let of_layer = norms.len() / self.layers.max(1);
        let value_heads = of_layer / self.keys.max(1);
        let whole = norms.len() == self.layers * value_heads * self.keys;
        if !whole || value_heads == 0 || !self.heads.is_multiple_of(value_heads) {
            return None;
        }
        let group = self.heads / value_heads;
        let mut out = self.clone();
        for (at, row) in out.weights.chunks_mut(self.keys).enumerate() {
            let head = at / self.queries.max(1);
            let (layer, head) = (head / self.heads.max(1), head % self.heads.max(1));
            let from = (layer * value_heads + head / group) * self.keys;
            row.iter_mut()
                .zip(&norms[from..])
                .for_each(|(weight, norm)| *weight *= norm);
            let sum: f64 = row.iter().map(|&weight| f64::from(weight)).sum();
            if sum > 0.0 {
                row.iter_mut()
                    .for_each(|weight| *weight = (f64::from(*weight) / sum) as f32);
            }
        }
        Some(out)
    }

    /// The weights of one head, `[query, key]`; empty for a head that does not exist.
    pub fn head(&self, layer: usize, head: usize) -> &[f32] {
        let cells = self.queries * self.keys;
        let from = (layer * self.heads + head) * cells;
        let there = layer < self.layers && head < self.heads;
        let found = there.then(|| self.weights.get(from..from + cells)).flatten();
        found.unwrap_or_default()
    }

    /// Layer and head of every head.
    pub fn every_head(&self) -> impl Iterator<Item = (usize, usize)> {
        let heads = self.heads;
        (0..self.layers).flat_map(move |layer| (0..heads).map(move |head| (layer, head)))
    }

    /// Layer and head of the chosen heads.
    pub(super) fn chosen(&self, choice: &HeadChoice) -> Result<Vec<(usize, usize)>, Error> {
        let heads: Vec<(usize, usize)> = match choice {
            HeadChoice::All => self.every_head().collect(),
            HeadChoice::Layer(layer) => (0..self.heads).map(|head| (*layer, head)).collect(),
            HeadChoice::Some(some) => some.clone(),
        };
        if let Some(&(layer, head)) = heads
            .iter()
            .find(|(layer, head)| *layer >= self.layers || *head >= self.heads)
        {
            return Err(self.no_such_head(format!("layer {layer}, head {head}")));
        }
        if heads.is_empty() {
            return Err(self.no_such_head("no head".into()));
        }
        Ok(heads)
    }

    /// The mean weights of some heads, `[query, key]`.
    ///
    /// # Errors
    /// [`Error::NoSuchHead`] for a layer or a head that does not exist, or none at all.
    pub fn mean(&self, choice: &HeadChoice) -> Result<Vec<f32>, Error> {
        let heads = self.chosen(choice)?;
        let mut sums = vec![0.0_f64; self.queries * self.keys];
        for &(layer, head) in &heads {
            for (sum, weight) in sums.iter_mut().zip(self.head(layer, head)) {
                *sum += f64::from(*weight);
            }
        }
        Ok(sums.into_iter().map(|sum| (sum / heads.len() as f64) as f32).collect())
    }

    fn no_such_head(&self, found: String) -> Error {
        Error::NoSuchHead {
            layers: self.layers,
            heads: self.heads,
            found,
        }
    }
}

/// For each head of a layer the products of the rows of its output matrix, `[head, width, width]`, from `[head, width, hidden]`: the
/// length of a value `v` times a matrix `O` is the square root of `v (O Oᵀ) vᵀ`, which needs no vector of the whole width.
pub(super) fn output_products(matrices: &Array3<f32>) -> Array3<f32> {
    let (heads, width, _) = matrices.dim();
    let mut products = Array3::zeros((heads, width, width));
    for (matrix, mut product) in matrices.outer_iter().zip(products.outer_iter_mut()) {
        product.assign(&matrix.dot(&matrix.t()));
    }
    products
}

/// The root of the product of two vectors; 0 where rounding leaves less.
fn length(a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>) -> f32 {
    let products = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b));
    products.sum::<f64>().max(0.0).sqrt() as f32
}

/// Vectors of tokens, `[token, width]`, row by row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct States {
    /// Length of a vector.
    pub width: usize,
    /// The numbers.
    pub values: Vec<f32>,
}

impl States {
    /// From a tensor `[1, tokens, width]`.
    pub(super) fn new(tensor: &Tensor) -> Result<Self, Error> {
        let array: Array3<f32> = to_array(tensor)?;
        let (_, tokens, width) = array.dim();
        Ok(Self {
            width,
            values: array.iter().take(tokens * width).copied().collect(),
        })
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The vector of a token; empty for one that does not exist.
    pub fn row(&self, token: usize) -> &[f32] {
        let from = token * self.width;
        self.values.get(from..from + self.width).unwrap_or_default()
    }
}

/// Sums the columns of each group of keys, and takes the mean over the rows of each group of queries: what a word as a whole
/// attends to. Sums of rows are kept.
pub(super) fn grouped(
    weights: &[f32],
    keys: usize,
    query_groups: &[(String, Vec<usize>)],
    key_groups: &[(String, Vec<usize>)],
) -> Vec<f32> {
    let mut out = Vec::with_capacity(query_groups.len() * key_groups.len());
    for (_, queries) in query_groups {
        for (_, members) in key_groups {
            let mut sum = 0.0_f64;
            for &query in queries {
                for &key in members {
                    sum += f64::from(weights.get(query * keys + key).copied().unwrap_or(0.0));
                }
            }
            out.push((sum / queries.len().max(1) as f64) as f32);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_values_weigh_and_rows_keep_their_sum() {
        // Two heads that share a value head, two queries, two keys.
        let weights = AttentionWeights {
            layers: 1,
            heads: 2,
            queries: 2,
            keys: 2,
            weights: vec![0.5, 0.5, 1.0, 0.0, 0.25, 0.75, 0.0, 0.0],
            value_norms: vec![3.0, 1.0],
            output_norms: vec![1.0, 3.0, 1.0, 1.0],
        };
        let scaled = weights.scaled(AttentionScale::ValueNorms).unwrap();
        assert_eq!(scaled.weights, [0.75, 0.25, 1.0, 0.0, 0.5, 0.5, 0.0, 0.0]);
        // Each head writes with a matrix of its own.
        let written = weights.scaled(AttentionScale::OutputNorms).unwrap();
        assert_eq!(written.weights, [0.25, 0.75, 1.0, 0.0, 0.25, 0.75, 0.0, 0.0]);
        assert_eq!(weights.scaled(AttentionScale::Weights), Some(weights.clone()));
        let without = AttentionWeights {
            value_norms: Vec::new(),
            output_norms: Vec::new(),
            ..weights
        };
        assert_eq!(without.scaled(AttentionScale::ValueNorms), None);
        assert_eq!(without.scaled(AttentionScale::OutputNorms), None);
    }

    #[test]
    fn groups_keep_the_sums_of_rows() {
        let weights = [0.1, 0.2, 0.7, 0.5, 0.3, 0.2];
        let group = |members: &[usize]| (String::new(), members.to_vec());
        let out = grouped(&weights, 3, &[group(&[0, 1])], &[group(&[0, 1]), group(&[2])]);
        assert!((out[0] - 0.55).abs() < 1e-6 && (out[1] - 0.45).abs() < 1e-6, "{out:?}");
    }
}
