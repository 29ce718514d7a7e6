//! Layer-wise relevance propagation: Bach et al. 2015; for transformers Ali et al. 2022. How is told in
//! `blocks/relevance.rs`; here is what comes out.

use std::collections::BTreeMap;

use attn_core::Side;
use candle_core::{Tensor, Var};

use super::{
    embeddings::Watch,
    scores::{TokenScores, dot},
    target::{Target, values},
};
use crate::{Error, Inputs, Model, Point, Result, Site, Tap, blocks};

/// Where the value of a target came from, for one sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Relevance {
    /// Relevance of the token embeddings.
    pub tokens: TokenScores,
    /// Relevance of the position vectors that are added to them; empty where positions are told otherwise.
    pub positions: TokenScores,
    /// Relevance of everything that is the same for all inputs: biases, segment embeddings, class tokens.
    pub biases: f32,
    /// The target's value, which was distributed.
    pub value: f32,
}

impl Relevance {
    /// What conservation calls for minus what was found: rounding, and what `epsilon` absorbs.
    pub fn gap(&self) -> f64 {
        f64::from(self.value) - self.tokens.sum() - self.positions.sum() - f64::from(self.biases)
    }

    /// [`gap`](Self::gap) as a share of the value, 0 or more.
    pub fn relative_gap(&self) -> f64 {
        self.gap().abs() / f64::from(self.value.abs().max(f32::EPSILON))
    }

    /// The biases' share of the value. Far from 0, tokens explain little of it.
    pub fn bias_share(&self) -> f64 {
        f64::from(self.biases) / f64::from(self.value)
    }
}

/// Propagates the value of each sequence's target back to its tokens by the epsilon rule, attention probabilities,
/// gates and the denominators of norms held constant.
///
/// `epsilon` (0 or more) is added to the size of every sum that relevance is divided by. 0 conserves relevance; 1e-6 is
/// already of no account beside rounding; larger ones damp contributions that cancel each other and absorb some
/// relevance. Logits are the usual targets: a loss is not propagated through but taken by its gradient, so that
/// nothing is conserved. `tap` may intervene.
///
/// ```
/// use attn_models::{Gradients, Inputs, Model, Weights, attribute::{Target, propagate_relevance}};
///
/// let config = r#"{"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2,
///                  "architectures": ["GPT2LMHeadModel"]}"#;
/// let model = Model::build("tiny", config, &Weights::initialize(1), Gradients::Off)?;
/// let inputs = Inputs::from_ids(&[vec![5, 6, 7]], 0)?;
/// let found = propagate_relevance(&model, &inputs, &[Target::Token { position: 2, token: 9 }], 0.0, &mut ())?;
/// let total = found[0].tokens.sum() + found[0].positions.sum() + f64::from(found[0].biases);
/// assert!((total - f64::from(found[0].value)).abs() < 1e-5);
/// # Ok::<(), attn_models::Error>(())
/// ```
///
/// # Errors
/// As [`input_gradients`](crate::attribute::input_gradients); [`Error::Input`] for an `epsilon` that is negative or
/// not finite.
pub fn propagate_relevance(
    model: &Model,
    inputs: &Inputs,
    targets: &[Target],
    epsilon: f64,
    tap: &mut dyn Tap,
) -> Result<Vec<Relevance>> {
    if !(epsilon.is_finite() && epsilon >= 0.0) {
        return Err(Error::input(
            "epsilon",
            "a finite number, 0 or more",
            epsilon.to_string(),
        ));
    }
    let batch = inputs
        .named()
        .next()
        .map(|(_, tensor)| tensor.dim(0))
        .transpose()?
        .unwrap_or(1);
    let factor = Var::ones(batch, candle_core::DType::F32, model.device())?;
    let rules = blocks::Relevance {
        factor: factor.as_tensor().clone(),
        epsilon,
    };
    let mut tokens = Watch::default();
    let mut positions = WatchPositions {
        batch,
        seen: BTreeMap::new(),
    };
    let output = model.relevance(inputs, &mut (tap, &mut tokens, &mut positions), &rules)?;
    let values = values(model, &output, targets)?;
    let gradients = values.sum_all()?.backward()?;

    let mut of_tokens = tokens.gradients(&gradients)?;
    for (side, embedding) in tokens.embeddings() {
        if let Some(gradient) = of_tokens.remove(&side) {
            of_tokens.insert(side, dot(&embedding, &gradient)?);
        }
    }
    let mut of_positions = BTreeMap::new();
    for (side, (vectors, var)) in positions.seen {
        if let Some(gradient) = gradients.get(&var) {
            of_positions.insert(side, dot(&vectors, gradient)?);
        }
    }
    let biases: Vec<f32> = match gradients.get(&factor) {
        Some(gradient) => gradient.to_vec1()?,
        None => vec![0.0; batch],
    };
    let mut of_positions = TokenScores::split(&of_positions)?;
    of_positions.resize_with(batch, TokenScores::default);
    let rest = of_positions.into_iter().zip(biases).zip(values.to_vec1::<f32>()?);
    Ok(TokenScores::split(&of_tokens)?
        .into_iter()
        .zip(rest)
        .map(|(tokens, ((positions, biases), value))| Relevance {
            tokens,
            positions,
            biases,
            value,
        })
        .collect())
}

/// As [`Watch`], for position vectors; one row per sequence even where the model has one for all.
struct WatchPositions {
    batch: usize,
    seen: BTreeMap<Side, (Tensor, Var)>,
}

impl Tap for WatchPositions {
    fn wants(&self, site: Site) -> bool {
        site.point == Point::Positions
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        // Positions as numbers and biases of scores go into what is held constant.
        if tensor.rank() != 3 {
            return Ok(tensor);
        }
        let vectors = tensor.detach();
        let (_, tokens, width) = vectors.dims3()?;
        let zeros = Var::zeros((self.batch, tokens, width), vectors.dtype(), vectors.device())?;
        let watched = vectors.broadcast_add(&zeros)?;
        self.seen.insert(site.side(), (vectors, zeros));
        Ok(watched)
    }
}
