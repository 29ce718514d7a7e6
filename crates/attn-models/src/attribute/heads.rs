//! Importance of heads by the gradient of their mask: Michel, Levy and Neubig 2019, "Are sixteen heads really better
//! than one?", equation 2.

use std::collections::BTreeMap;

use attn_core::{Attention, HeadId, ModelInfo, Progress, ndarray::Array2};
use candle_core::{Tensor, Var};

use super::{
    batches::each_batch,
    target::{Examples, values},
};
use crate::{Error, Model, Point, Result, Site, Tap, blocks::scale_heads};

/// One number per head of one of a model's attentions.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadGrid {
    /// Which attention.
    pub attention: Attention,
    /// `[layers, heads]`.
    pub values: Array2<f32>,
}

impl HeadGrid {
    /// Zeros for every attention of a model.
    pub(super) fn zeros(info: &ModelInfo) -> Vec<Self> {
        let grid = |info: &attn_core::model::AttentionInfo| Self {
            attention: info.attention,
            values: Array2::zeros((info.layers.len(), info.heads)),
        };
        info.attentions.iter().map(grid).collect()
    }

    /// The value of a head, if it is of this attention.
    pub fn get(&self, head: HeadId) -> Option<f32> {
        let there = (head.attention == self.attention).then_some((head.layer, head.head))?;
        self.values.get(there).copied()
    }

    /// Every layer divided by its Euclidean length, so that layers whose gradients are larger as a whole do not hide
    /// the others (ibid. section 4.1, after Molchanov et al. 2017). A layer of zeros stays.
    pub fn normalized_by_layer(&self) -> Self {
        let mut normalized = self.clone();
        for mut layer in normalized.values.rows_mut() {
            let length = layer.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
            if length > 0.0 {
                layer.mapv_inplace(|value| (f64::from(value) / length) as f32);
            }
        }
        normalized
    }
}

/// `d target / d m_h` at `m = 1` for every head and example, where `m_h` multiplies the output of the head: to first
/// order, how much the target would fall if the head were ablated.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadGradients {
    /// Per example its target's value and one grid per attention, signed.
    pub examples: Vec<(f32, Vec<HeadGrid>)>,
}

impl HeadGradients {
    /// The importance of Michel et al.: the mean over examples of the absolute gradient. Empty without examples.
    pub fn importance(&self) -> Vec<HeadGrid> {
        self.mean(f32::abs)
    }

    /// The mean over examples of the signed gradient.
    pub fn signed_mean(&self) -> Vec<HeadGrid> {
        self.mean(|value| value)
    }

    fn mean(&self, of: impl Fn(f32) -> f32) -> Vec<HeadGrid> {
        let Some((_, first)) = self.examples.first() else {
            return Vec::new();
        };
        let count = self.examples.len() as f64;
        let mean = |at: usize, first: &HeadGrid| {
            let mut sums = Array2::<f64>::zeros(first.values.dim());
            for (_, grids) in &self.examples {
                if let Some(grid) = grids.get(at) {
                    sums.zip_mut_with(&grid.values, |sum, &value| *sum += f64::from(of(value)));
                }
            }
            HeadGrid {
                attention: first.attention,
                values: sums.mapv(|sum| (sum / count) as f32),
            }
        };
        first.iter().enumerate().map(|(at, first)| mean(at, first)).collect()
    }
}

/// The gradients of all head masks, example by example, over a data set. With the loss as target,
/// [`HeadGradients::importance`] is the importance of Michel et al.
///
/// ```
/// use attn_models::{Gradients, Inputs, Model, Weights, attribute::{Examples, Labels, Target, head_gradients}};
///
/// let config = r#"{"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2,
///                  "architectures": ["GPT2LMHeadModel"]}"#;
/// let model = Model::build("tiny", config, &Weights::initialize(1), Gradients::Off)?;
/// let rows = [vec![5, 6, 7], vec![8, 9, 10]];
/// let labels = |row: &Vec<u32>| Labels::Tokens(row.iter().map(|&id| Some(id)).collect());
/// let targets = rows.iter().map(|row| Target::Loss { labels: labels(row) }).collect();
/// let examples = Examples { inputs: Inputs::from_ids(&rows, 0)?, targets };
/// let importance = head_gradients(&model, &[examples], &())?.importance();
/// assert_eq!(importance[0].values.dim(), (2, 2)); // layers, heads
/// # Ok::<(), attn_models::Error>(())
/// ```
///
/// # Errors
/// As [`input_gradients`](crate::attribute::input_gradients); cancellation.
pub fn head_gradients(model: &Model, batches: &[Examples], progress: &dyn Progress) -> Result<HeadGradients> {
    let mut examples = Vec::new();
    let add = |found: Vec<_>| -> Result<()> {
        examples.extend(found);
        Ok(())
    };
    let stage = ("head gradients", progress);
    each_batch(model, batches, stage, |batch| of_batch(model, batch), add)?;
    Ok(HeadGradients { examples })
}

/// The value and the gradients of every sequence of a batch.
fn of_batch(model: &Model, batch: &Examples) -> Result<Vec<(f32, Vec<HeadGrid>)>> {
    let mut masks = Masks::default();
    let output = model.differentiable(&batch.inputs, &mut masks)?;
    let values = values(model, &output, &batch.targets)?;
    let gradients = values.sum_all()?.backward()?;
    let values: Vec<f32> = values.to_vec1()?;
    let mut grids: Vec<_> = values.iter().map(|_| HeadGrid::zeros(model.info())).collect();
    for (site, mask) in &masks.seen {
        let Some(gradient) = gradients.get(mask) else { continue };
        let rows: Vec<Vec<f32>> = gradient.flatten_from(1)?.to_vec2()?;
        if rows.len() != grids.len() {
            return Err(Error::input(
                "targets",
                format!("{} sequences", rows.len()),
                grids.len().to_string(),
            ));
        }
        for (grids, row) in grids.iter_mut().zip(rows) {
            let Some(grid) = grids.iter_mut().find(|grid| grid.attention == site.attention) else {
                continue;
            };
            for (head, value) in row.into_iter().enumerate() {
                if let Some(cell) = grid.values.get_mut((site.layer, head)) {
                    *cell = value;
                }
            }
        }
    }
    Ok(values.into_iter().zip(grids).collect())
}

/// A tap that multiplies what every head reads by a variable of ones `[batch, 1, heads, 1]`.
#[derive(Debug, Default)]
struct Masks {
    seen: BTreeMap<Site, Var>,
}

impl Tap for Masks {
    fn wants(&self, site: Site) -> bool {
        site.point == Point::HeadOutput
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        let (batch, _, heads, _) = tensor.dims4()?;
        let mask = Var::ones((batch, 1, heads, 1), tensor.dtype(), tensor.device())?;
        let masked = scale_heads(&tensor, &mask)?;
        self.seen.insert(site, mask);
        Ok(masked)
    }
}
