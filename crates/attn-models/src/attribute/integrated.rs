//! Integrated gradients: Sundararajan, Taly and Yan 2017, "Axiomatic attribution for deep networks".

use std::collections::BTreeMap;

use attn_core::{Progress, Side, progress::step};
use candle_core::{DType, Tensor};

use super::{
    embeddings::{At, Watch},
    scores::{TokenScores, dot},
    target::{Target, values},
};
use crate::{Error, Inputs, Model, Point, Result, Site, Tap, record::Recorder, start::Start};

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
    let paths = Paths::new(model, inputs, targets, baseline, steps, &[Point::Embedding], tap)?;
    paths.integrate(At::Embedding, tap, progress)
}

/// Integrated gradients at the states of layers instead of the embeddings: what each token's state adds to the target from
/// there on. For each of `layers`, 0 for what comes into the first, the scores of each sequence.
///
/// The path leads from the states that the baseline has in that layer to those of the input, so the scores of every layer add
/// up to the same change of the target ([`IntegratedGradients::gap`]), special tokens included. What a layer has moved to
/// another token counts there: a classifier that reads its first token has all of its last layer at that token. Layers below are
/// run once, not for every step. Of an encoder-decoder both stacks move at once; a stack with fewer layers takes its last.
///
/// Dhamdhere, Sundararajan and Yan 2019 ("How important is a neuron?") for one unit; here summed per token.
///
/// ```
/// use attn_models::{Gradients, Inputs, Model, Weights, attribute::{Baseline, Target, layer_integrated_gradients}};
///
/// let config = r#"{"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2,
///                  "architectures": ["GPT2LMHeadModel"]}"#;
/// let model = Model::build("tiny", config, &Weights::initialize(1), Gradients::Off)?;
/// let inputs = Inputs::from_ids(&[vec![5, 6, 7]], 0)?;
/// let target = Target::Token { position: 2, token: 9 };
/// let padding = Baseline::token(&inputs, 0, &[])?;
/// let layers = layer_integrated_gradients(&model, &inputs, &[target], &padding, &[0, 2], 50, &mut (), &())?;
/// assert!(layers[0][0].scores.decoder.iter().all(|score| *score != 0.0));
/// // The prediction at position 2 reads the last state of that token alone.
/// assert_eq!(layers[1][0].scores.decoder[..2], [0.0, 0.0]);
/// # Ok::<(), attn_models::Error>(())
/// ```
///
/// # Errors
/// As [`integrated_gradients`]; [`Error::Intervention`] for a layer the model does not have.
#[expect(clippy::too_many_arguments, reason = "those of integrated_gradients, and the layers")]
pub fn layer_integrated_gradients(
    model: &Model,
    inputs: &Inputs,
    targets: &[Target],
    baseline: &Baseline,
    layers: &[usize],
    steps: usize,
    tap: &mut dyn Tap,
    progress: &dyn Progress,
) -> Result<Vec<Vec<IntegratedGradients>>> {
    let depth = |side: Side| {
        let own = model.info().attentions.iter();
        let own = own.filter(|info| info.attention.query_side() == side);
        own.map(|info| info.layers.len()).max().unwrap_or(0)
    };
    let depths = (depth(Side::Encoder), depth(Side::Decoder));
    let most = depths.0.max(depths.1);
    if let Some(layer) = layers.iter().find(|layer| **layer > most) {
        return Err(Error::Intervention {
            place: "integrated gradients".to_owned(),
            expected: format!("a layer from 0 to {most}"),
            found: format!("layer {layer}"),
        });
    }
    let paths = Paths::new(model, inputs, targets, baseline, steps, &[Point::Hidden], tap)?;
    let mut found = Vec::with_capacity(layers.len());
    for &layer in layers {
        step(progress, "layers", found.len(), layers.len())?;
        let at = At::Hidden(layer.min(depths.0), layer.min(depths.1));
        found.push(paths.integrate(at, tap, progress)?);
    }
    step(progress, "layers", layers.len(), layers.len())?;
    Ok(found)
}

/// The states of input and baseline, and what the model makes of them.
struct Paths<'a> {
    model: &'a Model,
    inputs: &'a Inputs,
    targets: &'a [Target],
    steps: usize,
    starts: BTreeMap<Site, Tensor>,
    ends: BTreeMap<Site, Tensor>,
    values: Vec<f32>,
    baselines: Vec<f32>,
}

impl<'a> Paths<'a> {
    fn new(
        model: &'a Model,
        inputs: &'a Inputs,
        targets: &'a [Target],
        baseline: &Baseline,
        steps: usize,
        points: &[Point],
        tap: &mut dyn Tap,
    ) -> Result<Self> {
        if steps == 0 || steps > MOST_STEPS {
            return Err(Error::input("steps", format!("1 to {MOST_STEPS}"), steps.to_string()));
        }
        let mut points = points.to_vec();
        if !points.contains(&Point::Embedding) {
            points.push(Point::Embedding);
        }
        let mut record = Recorder::of(&points);
        let output = model.differentiable(inputs, &mut (&mut *tap, &mut record))?;
        let at_input = values(model, &output, targets)?.to_vec1()?;
        let ends = detached(record);
        let embeddings = || ends.iter().filter(|(site, _)| site.point == Point::Embedding);
        let starts = match baseline {
            Baseline::Zero => embeddings()
                .map(|(site, end)| Ok((*site, end.zeros_like()?)))
                .collect::<Result<BTreeMap<_, _>>>()?,
            Baseline::Inputs(inputs) => {
                let mut record = Recorder::of(&[Point::Embedding]);
                model.forward(inputs, &mut record)?;
                detached(record)
            }
        };
        for (site, end) in embeddings() {
            let found = starts.get(site).map(|start| start.dims().to_vec());
            if found.as_deref() != Some(end.dims()) {
                let expected = format!("embeddings {:?}", end.dims());
                return Err(Error::input("baseline", expected, format!("{found:?}")));
            }
        }
        let changes = BTreeMap::new();
        let mut line = Line {
            at: At::Embedding,
            share: 0.0,
            starts,
            changes,
        };
        // Only the embeddings are those of the baseline: positions and segments are the input's.
        let mut record = Recorder::of(&points);
        let output = model.differentiable(inputs, &mut (&mut *tap, &mut line, &mut record))?;
        Ok(Self {
            model,
            inputs,
            targets,
            steps,
            starts: detached(record),
            ends,
            values: at_input,
            baselines: values(model, &output, targets)?.to_vec1()?,
        })
    }

    fn integrate(&self, at: At, tap: &mut dyn Tap, progress: &dyn Progress) -> Result<Vec<IntegratedGradients>> {
        let mut line = Line {
            at,
            share: 0.0,
            starts: BTreeMap::new(),
            changes: BTreeMap::new(),
        };
        for (site, end) in self.ends.iter().filter(|(site, _)| at.is(**site)) {
            let Some(start) = self.starts.get(site) else { continue };
            line.changes.insert(*site, (end - start)?);
            line.starts.insert(*site, start.clone());
        }
        // The line sets the states; what lies below them is left out.
        let hidden = self
            .ends
            .iter()
            .filter(|(site, _)| site.point == Point::Hidden && at.is(**site));
        let below = self.ends.iter().filter(|(site, _)| site.point == Point::Hidden);
        let start = Start::at(
            hidden
                .map(|(site, end)| (site.side(), (site.layer, end.clone())))
                .collect(),
            below
                .map(|(site, end)| ((site.side(), site.layer), end.clone()))
                .collect(),
        );
        let mut sums: BTreeMap<Side, Tensor> = BTreeMap::new();
        for i in 0..self.steps {
            step(progress, "integrated gradients", i, self.steps)?;
            line.share = (i as f64 + 0.5) / self.steps as f64;
            let mut watch = Watch::new(at);
            let mut taps = (&mut *tap, &mut line, &mut watch);
            let output = self.model.differentiable_from(&start, self.inputs, &mut taps)?;
            let gradients = values(self.model, &output, self.targets)?.sum_all()?.backward()?;
            for (side, gradient) in watch.gradients(&gradients)? {
                let sum = match sums.remove(&side) {
                    Some(sum) => (sum + gradient)?,
                    None => gradient,
                };
                sums.insert(side, sum);
            }
        }
        let mut scores = BTreeMap::new();
        for (site, change) in &line.changes {
            if let Some(sum) = sums.get(&site.side()) {
                scores.insert(site.side(), (dot(change, sum)? / self.steps as f64)?);
            }
        }
        let ends = self.values.iter().zip(&self.baselines);
        let found = TokenScores::split(&scores)?.into_iter().zip(ends);
        let found = found.map(|(scores, (&value, &baseline))| IntegratedGradients {
            scores,
            value,
            baseline,
        });
        Ok(found.collect())
    }
}

fn detached(record: Recorder) -> BTreeMap<Site, Tensor> {
    let tensors = record.tensors.into_iter();
    tensors.map(|(site, tensor)| (site, tensor.detach())).collect()
}

/// A tap that puts states at a point of the line.
struct Line {
    at: At,
    share: f64,
    starts: BTreeMap<Site, Tensor>,
    changes: BTreeMap<Site, Tensor>,
}

impl Tap for Line {
    fn wants(&self, site: Site) -> bool {
        self.at.is(site)
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        match (self.starts.get(&site), self.changes.get(&site)) {
            (Some(start), Some(change)) => Ok((start + (change * self.share)?)?),
            (Some(start), None) => Ok(start.clone()),
            _ => Ok(tensor),
        }
    }
}
