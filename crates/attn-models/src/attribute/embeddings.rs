//! Gradients of a target with respect to the input embeddings, and what is read off them directly.
//!
//! Simonyan, Vedaldi and Zisserman 2014 ("Deep inside convolutional networks", gradients); Shrikumar, Greenside and
//! Kundaje 2017 ("Learning important features", input x gradient); Denil, Demiraj and de Freitas 2014 (for text).

use std::collections::BTreeMap;

use attn_core::Side;
use candle_core::{D, Tensor, Var, backprop::GradStore};

use super::{
    scores::{TokenScores, dot},
    target::{Target, values},
};
use crate::{Inputs, Model, Point, Result, Site, Tap};

/// Gradients of a target with respect to the embeddings of the input tokens, before positions and norms.
#[derive(Debug, Clone)]
pub struct InputGradients {
    /// The target's value for each sequence.
    pub values: Vec<f32>,
    /// Per stack the embeddings `[batch, tokens, hidden]`.
    pub embeddings: BTreeMap<Side, Tensor>,
    /// Per stack the gradients, of the same shape. Exactly 0 at padding.
    pub gradients: BTreeMap<Side, Tensor>,
}

/// Gradients of each sequence's target with respect to its input embeddings. `tap` may intervene; `&mut ()` does not.
///
/// ```
/// use attn_models::{Gradients, Inputs, Model, Weights, attribute::{Target, input_gradients}};
///
/// let config = r#"{"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2,
///                  "architectures": ["GPT2LMHeadModel"]}"#;
/// let model = Model::build("tiny", config, &Weights::initialize(1), Gradients::Off)?;
/// let inputs = Inputs::from_ids(&[vec![5, 6, 7]], 0)?;
/// // Why token 9 after token 6? What comes later has no part in it.
/// let gradients = input_gradients(&model, &inputs, &[Target::Token { position: 1, token: 9 }], &mut ())?;
/// let scores = &gradients.times_input()?[0].decoder;
/// assert!(scores[1] != 0.0 && scores[2] == 0.0);
/// # Ok::<(), attn_models::Error>(())
/// ```
///
/// # Errors
/// As [`Model::forward`]; [`Error::Intervention`](crate::Error::Intervention) for targets the model does not have.
pub fn input_gradients(
    model: &Model,
    inputs: &Inputs,
    targets: &[Target],
    tap: &mut dyn Tap,
) -> Result<InputGradients> {
    let mut watch = Watch::default();
    let output = model.differentiable(inputs, &mut (tap, &mut watch))?;
    let values = values(model, &output, targets)?;
    let gradients = values.sum_all()?.backward()?;
    Ok(InputGradients {
        values: values.to_vec1()?,
        gradients: watch.gradients(&gradients)?,
        embeddings: watch.embeddings(),
    })
}

impl InputGradients {
    /// Input x gradient, `sum_d x_d g_d` per token: by how much the target would change if the token's embedding
    /// shrank, to first order.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle).
    pub fn times_input(&self) -> Result<Vec<TokenScores>> {
        self.per_token(dot)
    }

    /// `sum_d |x_d g_d|` per token: as [`times_input`](Self::times_input), but dimensions do not cancel.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle).
    pub fn times_input_absolute(&self) -> Result<Vec<TokenScores>> {
        self.per_token(|x, gradient| Ok(x.mul(gradient)?.abs()?.sum(D::Minus1)?))
    }

    /// The Euclidean length of the gradient per token: how sensitive the target is to it, in any direction.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle).
    pub fn lengths(&self) -> Result<Vec<TokenScores>> {
        self.per_token(|_, gradient| Ok(gradient.sqr()?.sum(D::Minus1)?.sqrt()?))
    }

    fn per_token(&self, score: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Vec<TokenScores>> {
        let mut sides = BTreeMap::new();
        for (side, embedding) in &self.embeddings {
            if let Some(gradient) = self.gradients.get(side) {
                sides.insert(*side, score(embedding, gradient)?);
            }
        }
        TokenScores::split(&sides)
    }
}

/// The states that are attributed to, one per stack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum At {
    /// The embeddings of tokens.
    #[default]
    Embedding,
    /// The hidden states that come into a layer of the encoder and of the decoder.
    Hidden(usize, usize),
}

impl At {
    pub(super) fn is(self, site: Site) -> bool {
        match self {
            Self::Embedding => site.point == Point::Embedding,
            Self::Hidden(encoder, decoder) => {
                let layer = match site.side() {
                    Side::Encoder => encoder,
                    Side::Decoder => decoder,
                };
                site.point == Point::Hidden && site.layer == layer
            }
        }
    }
}

/// A tap that adds a variable of zeros to the states: candle keeps gradients of variables only.
#[derive(Debug, Default)]
pub(super) struct Watch {
    at: At,
    seen: BTreeMap<Side, (Tensor, Var)>,
}

impl Watch {
    pub(super) fn new(at: At) -> Self {
        Self {
            at,
            seen: BTreeMap::new(),
        }
    }

    /// What the embeddings were.
    pub(super) fn embeddings(self) -> BTreeMap<Side, Tensor> {
        let seen = self.seen.into_iter();
        seen.map(|(side, (embedding, _))| (side, embedding)).collect()
    }

    /// The gradients there; 0 where the target does not depend on an embedding.
    pub(super) fn gradients(&self, gradients: &GradStore) -> Result<BTreeMap<Side, Tensor>> {
        let of = |var: &Var| -> Result<Tensor> {
            Ok(match gradients.get(var) {
                Some(gradient) => gradient.clone(),
                None => var.zeros_like()?,
            })
        };
        self.seen.iter().map(|(side, (_, var))| Ok((*side, of(var)?))).collect()
    }
}

impl Tap for Watch {
    fn wants(&self, site: Site) -> bool {
        self.at.is(site)
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        let embedding = tensor.detach();
        let zeros = Var::zeros(embedding.shape(), embedding.dtype(), embedding.device())?;
        let watched = (&embedding + zeros.as_tensor())?;
        self.seen.insert(site.side(), (embedding, zeros));
        Ok(watched)
    }
}
