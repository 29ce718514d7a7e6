//! Edits of vectors: steering, mean ablation, noise, factors.

use attn_core::Rng;
use candle_core::Tensor;

use super::{
    Selection,
    view::{Along, View, select},
};
use crate::Result;

/// Which vectors are meant.
pub(super) struct Vectors<'a> {
    pub(super) heads: &'a Selection,
    pub(super) tokens: &'a Selection,
}

impl Vectors<'_> {
    /// Replaces the chosen vectors by what `to` makes of the tensor, in a shape that broadcasts to it.
    pub(super) fn edit(
        &self,
        view: View<'_>,
        tensor: Tensor,
        to: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let mut axes = vec![Along::Tokens(view.token_axis(), self.tokens, "token")];
        axes.extend(view.head_axis().map(|axis| Along::Heads(axis, self.heads)));
        match view.mask(&tensor, &axes)? {
            Some(chosen) => select(&chosen, &to(&tensor)?, &tensor),
            None => Ok(tensor),
        }
    }

    /// The numbers of the chosen heads at their places: `[1, .., heads, .., head_dim]`, or `[1, 1, width]` without heads.
    pub(super) fn place(&self, view: View<'_>, tensor: &Tensor, numbers: &[f32]) -> Result<Tensor> {
        let mut shape = vec![1; tensor.rank()];
        let width = tensor.dims().last().copied().unwrap_or(0);
        if let Some(last) = shape.last_mut() {
            *last = width;
        }
        let heads = match view.head_axis() {
            Some(axis) => {
                shape[axis] = tensor.dim(axis)?;
                shape[axis]
            }
            None => 1,
        };
        let chosen: Vec<usize> = match self.heads {
            Selection::All => (0..heads).collect(),
            Selection::Only(some) => some.clone(),
        };
        if numbers.len() != chosen.len() * width {
            let expected = match view.head_axis() {
                Some(_) => format!("a vector of {} x {width} numbers", chosen.len()),
                None => format!("a vector of {width} numbers"),
            };
            return Err(view.place.wrong(expected, numbers.len().to_string()));
        }
        let mut flat = vec![0.0; heads * width];
        for (head, numbers) in chosen.into_iter().zip(numbers.chunks(width.max(1))) {
            if let Some(place) = flat.get_mut(head * width..(head + 1) * width) {
                place.copy_from_slice(numbers);
            }
        }
        Ok(Tensor::from_vec(flat, shape, tensor.device())?)
    }

    /// Standard normal noise for the chosen vectors, 0 elsewhere: `[rows or 1, ..]`. Every vector has a stream of its own,
    /// named after the site, the token's position and the head.
    pub(super) fn noise(&self, view: View<'_>, tensor: &Tensor, seed: u64) -> Result<Tensor> {
        let axis = view.token_axis();
        let tokens = view.tokens(tensor, axis)?;
        let mut shape = tensor.dims().to_vec();
        shape[0] = tokens.positions.len();
        let width = shape.last().copied().unwrap_or(0);
        let heads = view.head_axis().map_or(1, |axis| shape[axis]);
        let columns = shape[axis];
        let name: Vec<usize> = view.site.to_string().bytes().map(usize::from).collect();
        let site = Rng::new(seed, &name).bits();
        let mut flat = vec![0.0_f32; shape.iter().product()];
        for (at, vector) in flat.chunks_mut(width.max(1)).enumerate() {
            // Heads before tokens, or after them.
            let (row, head, column) = if view.head_axis() == Some(1) {
                (at / columns / heads, at / columns % heads, at % columns)
            } else {
                (at / heads / columns, at % heads, at / heads % columns)
            };
            let Some(Some(position)) = tokens.of_row(row).get(column).copied() else {
                continue;
            };
            if self.heads.includes(head) && self.tokens.includes(position) {
                let mut random = Rng::new(site, &[position, head]);
                vector.iter_mut().for_each(|number| *number = random.normal() as f32);
            }
        }
        Ok(Tensor::from_vec(flat, shape, tensor.device())?)
    }
}
