//! Importance of heads by the first-order Taylor expansion in their parameters: Li et al. 2021, "T3-Vis"; the criterion
//! is that of Molchanov et al. 2019, "Importance estimation for neural network pruning", equation 8.

use attn_core::{Attention, Progress, progress::step};
use candle_core::{Tensor, backprop::GradStore};

use super::{
    heads::HeadGrid,
    target::{Examples, values},
};
use crate::{
    Error, Model, Result,
    blocks::{Linear, MultiHead, Qkv},
};

/// `sum (g w)^2` over the parameters of each head, with `g` the gradient of the mean target over all examples: its rows
/// of the query, key and value maps with their biases, and its columns of the output map.
///
/// The sum is the squared change of the target, to first order, if each parameter were set to 0 on its own. A key/value
/// head that several query heads share counts fully for each. The model must have been built from trainable
/// weights ([`Weights::finetune`](crate::Weights::finetune)).
///
/// ```
/// use attn_models::{Gradients, Inputs, Model, Weights, attribute::{Examples, Target, taylor_importance}};
///
/// let config = r#"{"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2,
///                  "architectures": ["GPT2LMHeadModel"]}"#;
/// // Of a checkpoint: `Weights::finetune(&checkpoint, 0)`.
/// let model = Model::build("tiny", config, &Weights::initialize(1), Gradients::On)?;
/// let inputs = Inputs::from_ids(&[vec![5, 6, 7]], 0)?;
/// let examples = Examples { inputs, targets: vec![Target::Token { position: 2, token: 9 }] };
/// let importance = taylor_importance(&model, &[examples], &())?;
/// assert!(importance[0].values.iter().all(|&value| value > 0.0));
/// # Ok::<(), attn_models::Error>(())
/// ```
///
/// # Errors
/// As [`head_gradients`](crate::attribute::head_gradients); [`Error::Intervention`] for a model whose weights are not
/// trainable.
pub fn taylor_importance(model: &Model, batches: &[Examples], progress: &dyn Progress) -> Result<Vec<HeadGrid>> {
    let mut sums: Vec<Option<Tensor>> = Vec::new();
    let mut examples = 0_usize;
    for (done, batch) in batches.iter().enumerate() {
        step(progress, "taylor importance", done, batches.len())?;
        let output = model.differentiable(&batch.inputs, &mut ())?;
        let values = values(model, &output, &batch.targets)?;
        examples += values.elem_count();
        let found = Parameters::of(model)?.gradients(&values.sum_all()?.backward()?)?;
        sums.resize(found.len(), None);
        for (sum, gradient) in sums.iter_mut().zip(found) {
            *sum = match (sum.take(), gradient) {
                (Some(sum), Some(gradient)) => Some((sum + gradient)?),
                (sum, gradient) => sum.or(gradient),
            };
        }
    }
    let mean = |sum: Option<Tensor>| -> Result<Option<Tensor>> {
        Ok(sum.map(|sum| sum / examples.max(1) as f64).transpose()?)
    };
    let gradients = sums.into_iter().map(mean).collect::<Result<Vec<_>>>()?;
    Parameters::of(model)?.importance(model, &gradients)
}

/// [`taylor_importance`] of each example alone: one list of grids per example.
///
/// # Errors
/// As [`taylor_importance`].
pub fn taylor_per_example(model: &Model, batches: &[Examples], progress: &dyn Progress) -> Result<Vec<Vec<HeadGrid>>> {
    let mut grids = Vec::new();
    for (done, batch) in batches.iter().enumerate() {
        step(progress, "taylor importance", done, batches.len())?;
        let output = model.differentiable(&batch.inputs, &mut ())?;
        let values = values(model, &output, &batch.targets)?;
        let parameters = Parameters::of(model)?;
        for example in 0..values.elem_count() {
            let gradients = parameters.gradients(&values.get(example)?.backward()?)?;
            grids.push(parameters.importance(model, &gradients)?);
        }
    }
    Ok(grids)
}

/// The attention blocks of a model, layer by layer.
struct Parameters<'a> {
    blocks: Vec<(Attention, usize, &'a MultiHead)>,
}

impl<'a> Parameters<'a> {
    fn of(model: &'a Model) -> Result<Self> {
        let mut blocks = Vec::new();
        for info in &model.info().attentions {
            for layer in info.attending_layers() {
                let block = model.attention_block(info.attention, layer);
                let block = block.ok_or_else(|| Error::Intervention {
                    place: "taylor importance".to_owned(),
                    expected: "a family that gives the weights of its heads".to_owned(),
                    found: format!("`{}`", model.info().family),
                })?;
                blocks.push((info.attention, layer, block));
            }
        }
        Ok(Self { blocks })
    }

    /// Gradients of every matrix and bias, in the order of [`maps`].
    fn gradients(&self, gradients: &GradStore) -> Result<Vec<Option<Tensor>>> {
        let mut all = Vec::new();
        for (_, _, block) in &self.blocks {
            for map in maps(block) {
                let (weight, bias) = map.gradients(gradients)?;
                all.extend([weight, bias]);
            }
        }
        if !all.is_empty() && all.iter().all(Option::is_none) {
            return Err(Error::Intervention {
                place: "taylor importance".to_owned(),
                expected: "a model built from trainable weights".to_owned(),
                found: "weights without gradients".to_owned(),
            });
        }
        Ok(all)
    }

    fn importance(&self, model: &Model, gradients: &[Option<Tensor>]) -> Result<Vec<HeadGrid>> {
        let mut grids = HeadGrid::zeros(model.info());
        let mut gradients = gradients.chunks(2);
        for (attention, layer, block) in &self.blocks {
            let maps = maps(block);
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
            let grid = grids.iter_mut().find(|grid| grid.attention == *attention);
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
                if let Some(cell) = grid.values.get_mut((*layer, head)) {
                    let total = total as f32;
                    *cell = total;
                }
            }
        }
        Ok(grids)
    }
}

/// The maps of an attention: those of queries, keys and values, then that of the output.
fn maps(block: &MultiHead) -> Vec<&Linear> {
    match &block.qkv {
        Qkv::Separate { query, key, value } => vec![query, key, value, &block.output],
        Qkv::Joint(joint) | Qkv::JointPerGroup(joint) => vec![joint, &block.output],
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
