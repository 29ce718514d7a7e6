//! A mixture of experts: several networks, some of which each token goes through (Shazeer et al. 2017,
//! <https://arxiv.org/abs/1701.06538>; in transformers Lepikhin et al. 2021, <https://arxiv.org/abs/2006.16668>).

use candle_core::{D, Tensor};

use super::{Expert, Linear, Pass};
use crate::{Result, Site};

/// Networks and the router that says which of them a token goes through: `sum_e w_e f_e(x)` over the chosen experts.
///
/// The router's logits are tapped at [`Point::Router`](crate::Point::Router), before experts are chosen by them.
#[derive(Debug, Clone)]
pub struct Experts {
    /// The place of the router's logits: [`Site::router`].
    pub site: Site,
    /// `[hidden, experts]`.
    pub router: Linear,
    /// The experts, in the order of the router's logits.
    pub experts: Vec<Expert>,
    /// How many experts a token goes through.
    pub chosen: usize,
    /// Whether the weights of a token's experts sum to 1. They are a softmax over the chosen logits then, and the chosen
    /// part of a softmax over all of them otherwise.
    pub renormalized: bool,
}

/// Which experts the tokens of a batch go through.
#[derive(Debug, Clone)]
pub struct Routes {
    /// Per token, sequence after sequence: its experts, the largest logit first.
    pub chosen: Vec<Vec<usize>>,
    /// What the output of each expert is multiplied by, 0 where it is not chosen: `[batch, tokens, experts]`.
    pub weights: Tensor,
}

impl Experts {
    /// The routes that the router's logits `[batch, tokens, experts]` amount to. Of equal logits the lower expert wins.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) for a tensor of another shape.
    pub fn route(&self, logits: &Tensor) -> Result<Routes> {
        let (batch, tokens, experts) = logits.dims3()?;
        let rows = logits.detach().reshape((batch * tokens, experts))?.to_vec2::<f32>()?;
        let chosen: Vec<Vec<usize>> = rows.iter().map(|row| largest(row, self.chosen)).collect();
        let mut mask = vec![0.0_f32; batch * tokens * experts];
        for (row, chosen) in mask.chunks_mut(experts.max(1)).zip(&chosen) {
            for &expert in chosen {
                row[expert] = 1.0;
            }
        }
        let mask = Tensor::from_vec(mask, (batch, tokens, experts), logits.device())?;
        // Composed of operations that can be differentiated; the largest logit only keeps exponentials in range.
        let powers = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?.exp()?;
        let kept = powers.mul(&mask)?;
        let total = if self.renormalized { &kept } else { &powers };
        let weights = kept.broadcast_div(&total.sum_keepdim(D::Minus1)?)?;
        Ok(Routes { chosen, weights })
    }

    /// `[batch, tokens, hidden]` to the same shape.
    ///
    /// # Errors
    /// What the tap returns; [`Error::Candle`](crate::Error::Candle) for a tensor of another width.
    pub fn forward(&self, x: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let logits = self.router.forward(x, pass)?;
        let logits = pass.tap(self.site, logits)?;
        let Routes { chosen, weights } = self.route(&logits)?;
        let weights = pass.constant(weights);
        if pass.relevance.is_some() {
            return self.of_all(x, &weights, pass);
        }
        let (rows, weights) = (x.flatten(0, 1)?.contiguous()?, weights.flatten(0, 1)?);
        let mut sum = rows.zeros_like()?;
        for (number, expert) in self.experts.iter().enumerate() {
            let places = chosen.iter().enumerate().filter(|(_, chosen)| chosen.contains(&number));
            // Rows of a batch that fits memory fit u32.
            let places: Vec<u32> = places.filter_map(|(row, _)| u32::try_from(row).ok()).collect();
            if places.is_empty() {
                continue;
            }
            pass.proceed()?;
            let places = Tensor::new(places, x.device())?;
            let made = expert.forward(&rows.index_select(&places, 0)?, pass)?;
            let weight = weights.narrow(1, number, 1)?.contiguous()?;
            let made = made.broadcast_mul(&weight.index_select(&places, 0)?)?;
            sum = sum.index_add(&places, &made, 0)?;
        }
        Ok(sum.reshape(x.shape())?)
    }

    /// The same with every token through every expert: the relevance of biases is told apart by sequence, so that whole
    /// sequences have to pass.
    fn of_all(&self, x: &Tensor, weights: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let mut sum = x.zeros_like()?;
        for (number, expert) in self.experts.iter().enumerate() {
            let weight = weights.narrow(D::Minus1, number, 1)?;
            sum = (sum + expert.forward(x, pass)?.broadcast_mul(&weight)?)?;
        }
        Ok(sum)
    }
}

/// The places of the `count` largest numbers, the largest first.
fn largest(row: &[f32], count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..row.len()).collect();
    places.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    places.truncate(count);
    places
}
