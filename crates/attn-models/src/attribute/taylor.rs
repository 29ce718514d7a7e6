//! Importance of heads by the first-order Taylor expansion in their parameters: Li et al. 2021, "T3-Vis"; the criterion
//! is that of Molchanov et al. 2019, "Importance estimation for neural network pruning", equation 8.

use attn_core::Progress;
use candle_core::{Tensor, backprop::GradStore};

use super::{
    batches::each_batch,
    heads::HeadGrid,
    target::{Examples, values},
};
use crate::{Error, Model, Result, blocks::MultiHead};

/// The stage that progress is reported under.
const STAGE: &str = "taylor importance";

/// `sum (g w)^2` over the parameters of each head, with `g` the gradient of the mean target over all examples: its rows
/// of the query, key and value maps with their biases, and its columns of the output map.
///
/// The sum is the squared change of the target, to first order, if each parameter were set to 0 on its own. A key/value
/// head that several query heads share counts fully for each. Any model will do: for the time of the call its attentions
/// run with variables in place of their weights. Other weights have no gradients, unless they are variables themselves.
///
/// ```
/// use attn_models::{Gradients, Inputs, Model, Weights, attribute::{Examples, Target, taylor_importance}};
///
/// let config = r#"{"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2,
///                  "architectures": ["GPT2LMHeadModel"]}"#;
/// // Of a checkpoint: `Model::load(&checkpoint)`.
/// let model = Model::build("tiny", config, &Weights::initialize(1), Gradients::Off)?;
/// let inputs = Inputs::from_ids(&[vec![5, 6, 7]], 0)?;
/// let examples = Examples { inputs, targets: vec![Target::Token { position: 2, token: 9 }] };
/// let importance = taylor_importance(&model, &[examples], &())?;
/// assert!(importance[0].values.iter().all(|&value| value > 0.0));
/// # Ok::<(), attn_models::Error>(())
/// ```
///
/// # Errors
/// As [`head_gradients`](crate::attribute::head_gradients); [`Error::Intervention`] for a family that does not give the
/// maps of its heads.
pub fn taylor_importance(model: &Model, batches: &[Examples], progress: &dyn Progress) -> Result<Vec<HeadGrid>> {
    let parameters = Parameters::of(model)?;
    let mut sums: Vec<Option<Tensor>> = Vec::new();
    let mut examples = 0_usize;
    let gradients = |batch: &Examples| -> Result<_> {
        let values = parameters.values(model, batch)?;
        let found = parameters.gradients(&values.sum_all()?.backward()?)?;
        Ok((values.elem_count(), found))
    };
    let add = |(count, found): (usize, Vec<Option<Tensor>>)| -> Result<()> {
        examples += count;
        sums.resize(found.len(), None);
        for (sum, gradient) in sums.iter_mut().zip(found) {
            *sum = match (sum.take(), gradient) {
                (Some(sum), Some(gradient)) => Some((sum + gradient)?),
                (sum, gradient) => sum.or(gradient),
            };
        }
        Ok(())
    };
    each_batch(model, batches, (STAGE, progress), gradients, add)?;
    let mean = |sum: Option<Tensor>| -> Result<Option<Tensor>> {
        Ok(sum.map(|sum| sum / examples.max(1) as f64).transpose()?)
    };
    let gradients = sums.into_iter().map(mean).collect::<Result<Vec<_>>>()?;
    parameters.importance(model, &gradients)
}

/// [`taylor_importance`] of each example alone: one list of grids per example.
///
/// # Errors
/// As [`taylor_importance`].
pub fn taylor_per_example(model: &Model, batches: &[Examples], progress: &dyn Progress) -> Result<Vec<Vec<HeadGrid>>> {
    let parameters = Parameters::of(model)?;
    let of_batch = |batch: &Examples| -> Result<Vec<_>> {
        let values = parameters.values(model, batch)?;
        let of_example = |example: usize| {
            let gradients = parameters.gradients(&values.get(example)?.backward()?)?;
            parameters.importance(model, &gradients)
        };
        (0..values.elem_count()).map(of_example).collect()
    };
    let mut grids = Vec::new();
    let add = |found: Vec<_>| -> Result<()> {
        grids.extend(found);
        Ok(())
    };
    each_batch(model, batches, (STAGE, progress), of_batch, add)?;
    Ok(grids)
}

/// The attentions of a model with variables in place of their weights, layer by layer.
struct Parameters {
    blocks: Vec<MultiHead>,
}

impl Parameters {
    fn of(model: &Model) -> Result<Self> {
        let mut blocks = Vec::new();
        for info in &model.info().attentions {
            for layer in info.attending_layers() {
                let block = model.attention_block(info.attention, layer);
                let block = block.ok_or_else(|| Error::Intervention {
                    place: "taylor importance".to_owned(),
                    expected: "a family that gives the weights of its heads".to_owned(),
                    found: format!("`{}`", model.info().family),
                })?;
                blocks.push(block.with_variables()?);
            }
        }
        Ok(Self { blocks })
    }

    /// The targets of a batch: `[batch]`.
    fn values(&self, model: &Model, batch: &Examples) -> Result<Tensor> {
        let output = model.differentiable_with(&self.blocks, &batch.inputs)?;
        values(model, &output, &batch.targets)
    }

    /// Gradients of every matrix and bias, in the order of [`MultiHead::maps`].
    fn gradients(&self, gradients: &GradStore) -> Result<Vec<Option<Tensor>>> {
        let mut all = Vec::new();
        for map in self.blocks.iter().flat_map(MultiHead::maps) {
            let (weight, bias) = map.gradients(gradients)?;
            all.extend([weight, bias]);
        }
        Ok(all)
    }

    fn importance(&self, model: &Model, gradients: &[Option<Tensor>]) -> Result<Vec<HeadGrid>> {
        let mut grids = HeadGrid::zeros(model.info());
        let mut gradients = gradients.chunks(2);
        for block in &self.blocks {
            let maps = block.maps();
            let last = maps.len() - 1;
            // Per output of query, key and value, one after the other; per input of the output map.
            let (mut inner, mut outer) = (Vec::new(), Vec::new());
            for (i, map) in maps.into_iter().enumerate() {
                let (weight_gradient, bias_gradient) = match gradients.next() {
                    Some([weight, bias]) => (weight.as_ref(), bias.as_ref()),
                    _ => (None, None),
                };
                let (weight, bias) = map.parameters();
                if i == last {
                    outer = squares(weight, weight_gradient, 1)?;
                } else {
                    let mut sums = squares(weight, weight_gradient, 0)?;
                    if let (Some(bias), Some(_)) = (bias, bias_gradient) {
                        let of_bias = squares(&bias.unsqueeze(0)?, bias_gradient, 0)?;
                        sums.iter_mut().zip(of_bias).for_each(|(sum, bias)| *sum += bias);
                    }
                    inner.extend(sums);
                }
            }
            let grid = grids.iter_mut().find(|grid| grid.attention == block.attention);
            let Some(grid) = grid else { continue };
            let head_dim = block.shape.head_dim;
            let sum = |values: &[f64], start: usize| -> f64 { values.iter().skip(start).take(head_dim).sum() };
            for head in 0..block.shape.heads {
                let total = block
                    .places(head)
                    .iter()
                    .map(|place| sum(&inner, place * head_dim))
                    .sum::<f64>()
                    + sum(&outer, head * head_dim);
                if let Some(cell) = grid.values.get_mut((block.layer, head)) {
                    let total = total as f32;
                    *cell = total;
                }
            }
        }
        Ok(grids)
    }
}

/// `(g w)^2` summed along one axis of a matrix `[in, out]`, in f64; zeros without a gradient.
fn squares(weight: &Tensor, gradient: Option<&Tensor>, axis: usize) -> Result<Vec<f64>> {
    let Some(gradient) = gradient else {
        return Ok(vec![0.0; weight.dim(1 - axis)?]);
    };
    let gradient = gradient.reshape(weight.dims())?;
    let squares = weight.mul(&gradient)?.to_dtype(candle_core::DType::F64)?.sqr()?;
    Ok(squares.sum(axis)?.to_vec1()?)
}
