//! Integrated gradients: Sundararajan, Taly and Yan 2017, "Axiomatic attribution for deep networks".

use std::collections::BTreeMap;

use attn_core::{Progress, Side, progress::step};
use candle_core::{DType, Tensor};

use super::{
    embeddings::Watch,
    scores::{TokenScores, dot},
    target::{Target, values},
};
use crate::{Error, Inputs, Model, Point, Result, Site, Tap, record::Recorder};

/// More steps than this are a mistake, not a wish for precision.
const MOST_STEPS: usize = 10_000;

/// The start of the path: an input without information.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Baseline {
    /// Embeddings of zeros.
    #[default]
    Zero,
    /// The embeddings of another batch of the same shape: padding or mask tokens ([`Baseline::token`]), a gray image.
    Inputs(Box<Inputs>),
}

impl Baseline {
    /// The same batch with every token replaced by `token` (the id of padding or of the mask), but for those in `keep`:
    /// usually the special tokens that frame a text.
    ///
    /// # Errors
    /// [`Error::Input`] without `input_ids`.
    pub fn token(inputs: &Inputs, token: u32, keep: &[u32]) -> Result<Self> {
        let replace = |ids: &Tensor| -> Result<Tensor> {
            let (dims, device) = (ids.dims().to_vec(), ids.device());
            let ids: Vec<u32> = ids.flatten_all()?.to_dtype(DType::U32)?.to_vec1()?;
            let replaced = ids.into_iter().map(|id| if keep.contains(&id) { id } else { token });
            Ok(Tensor::from_iter(replaced, device)?.reshape(dims)?)
        };
        let Some(ids) = &inputs.input_ids else {
            return Err(Error::input(
                "input_ids",
                "token ids, to be replaced by the baseline",
                "nothing",
            ));
        };
        let decoder = inputs.decoder_input_ids.as_ref();
        Ok(Self::Inputs(Box::new(Inputs {
            input_ids: Some(replace(ids)?),
            decoder_input_ids: decoder.map(replace).transpose()?,
            ..inputs.clone()
        })))
    }
}

/// Integrated gradients of one sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct IntegratedGradients {
    /// What each token adds to the target on the way from the baseline.
    pub scores: TokenScores,
    /// The target at the input.
    pub value: f32,
    /// The target at the baseline.
    pub baseline: f32,
}

impl IntegratedGradients {
    /// What the scores should add up to (completeness, ibid. proposition 1) minus what they do.
    pub fn gap(&self) -> f64 {
        f64::from(self.value) - f64::from(self.baseline) - self.scores.sum()
    }

    /// [`gap`](Self::gap) as a share of the change of the target, 0 or more; more than 0.01 asks for more steps.
    pub fn relative_gap(&self) -> f64 {
        let change = (f64::from(self.value) - f64::from(self.baseline)).abs();
        self.gap().abs() / change.max(f64::from(f32::EPSILON))
    }
}

/// Gradients integrated along the straight line from a baseline to the input embeddings,
/// `(x - x0) * mean over steps of grad f(x0 + a (x - x0))`, with `a` at the midpoints of `steps` equal pieces.
///
/// 20 to 300 steps are usual (ibid. section 5); 50 is a good start, and [`IntegratedGradients::relative_gap`] says
/// whether it was enough. Only the embeddings move: positions, segments and class tokens stay. Models without position
/// vectors need a baseline other than zeros, see `docs/ATTRIBUTION.md`. `tap` may intervene.
///
/// ```
/// use attn_models::{Gradients, Inputs, Model, Weights, attribute::{Baseline, Target, integrated_gradients}};
///
/// let config = r#"{"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2,
///                  "architectures": ["GPT2LMHeadModel"]}"#;
/// let model = Model::build("tiny", config, &Weights::initialize(1), Gradients::Off)?;
/// let inputs = Inputs::from_ids(&[vec![5, 6, 7]], 0)?;
/// let target = Target::Token { position: 2, token: 9 };
/// let padding = Baseline::token(&inputs, 0, &[])?;
/// let found = integrated_gradients(&model, &inputs, &[target], &padding, 50, &mut (), &())?;
/// assert!(found[0].gap().abs() < 1e-4);
/// # Ok::<(), attn_models::Error>(())
/// ```
///
/// # Errors
/// As [`input_gradients`](crate::attribute::input_gradients); [`Error::Input`] for a number of steps out of 1 to
/// 10,000 or a baseline of another shape; cancellation.
pub fn integrated_gradients(
    model: &Model,
    inputs: &Inputs,
    targets: &[Target],
    baseline: &Baseline,
    steps: usize,
    tap: &mut dyn Tap,
    progress: &dyn Progress,
) -> Result<Vec<IntegratedGradients>> {
    if steps == 0 || steps > MOST_STEPS {
        return Err(Error::input("steps", format!("1 to {MOST_STEPS}"), steps.to_string()));
    }
    let mut record = Recorder::of(&[Point::Embedding]);
    let output = model.differentiable(inputs, &mut (&mut *tap, &mut record))?;
    let at_input: Vec<f32> = values(model, &output, targets)?.to_vec1()?;
    let ends = sides(record);
    let starts = match baseline {
        Baseline::Zero => ends
            .iter()
            .map(|(side, end)| Ok((*side, end.zeros_like()?)))
            .collect::<Result<BTreeMap<_, _>>>()?,
        Baseline::Inputs(inputs) => {
            let mut record = Recorder::of(&[Point::Embedding]);
            model.forward(inputs, &mut record)?;
            sides(record)
        }
    };
    let mut line = Line {
        at: 0.0,
        starts,
        changes: BTreeMap::new(),
    };
    for (side, end) in &ends {
        let start = line.starts.get(side).filter(|start| start.dims() == end.dims());
        let start = start.ok_or_else(|| {
            let found = line.starts.get(side).map(|start| start.dims().to_vec());
            Error::input("baseline", format!("embeddings {:?}", end.dims()), format!("{found:?}"))
        })?;
        line.changes.insert(*side, (end - start)?);
    }
    let output = model.differentiable(inputs, &mut (&mut *tap, &mut line))?;
    let at_baseline: Vec<f32> = values(model, &output, targets)?.to_vec1()?;

    let mut sums: BTreeMap<Side, Tensor> = BTreeMap::new();
    for i in 0..steps {
        step(progress, "integrated gradients", i, steps)?;
        line.at = (i as f64 + 0.5) / steps as f64;
        let mut watch = Watch::default();
        let output = model.differentiable(inputs, &mut (&mut *tap, &mut line, &mut watch))?;
        let gradients = values(model, &output, targets)?.sum_all()?.backward()?;
        for (side, gradient) in watch.gradients(&gradients)? {
            let sum = match sums.remove(&side) {
                Some(sum) => (sum + gradient)?,
                None => gradient,
            };
            sums.insert(side, sum);
        }
    }
    let mut scores = BTreeMap::new();
    for (side, sum) in sums {
        if let Some(change) = line.changes.get(&side) {
            scores.insert(side, (dot(change, &sum)? / steps as f64)?);
        }
    }
    Ok(TokenScores::split(&scores)?
        .into_iter()
        .zip(at_input.into_iter().zip(at_baseline))
        .map(|(scores, (value, baseline))| IntegratedGradients {
            scores,
            value,
            baseline,
        })
        .collect())
}

fn sides(record: Recorder) -> BTreeMap<Side, Tensor> {
    let tensors = record.tensors.into_iter();
    tensors.map(|(site, tensor)| (site.side(), tensor.detach())).collect()
}

/// A tap that puts the embeddings at a point of the line.
struct Line {
    at: f64,
    starts: BTreeMap<Side, Tensor>,
    changes: BTreeMap<Side, Tensor>,
}

impl Tap for Line {
    fn wants(&self, site: Site) -> bool {
        site.point == Point::Embedding
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        match (self.starts.get(&site.side()), self.changes.get(&site.side())) {
            (Some(start), Some(change)) => Ok((start + (change * self.at)?)?),
            _ => Ok(tensor),
        }
    }
}
