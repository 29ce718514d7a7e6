//! Edits of single attention cells and rows, before and after the softmax.

use candle_core::{D, Tensor};

use super::{Selection, check::Place};
use crate::Result;

/// Scores at or below this are masked: no model scores so low by itself.
const MASKED: f32 = f32::MIN / 2.0;

/// What is left of a row is rounding if it sums to less: kernels may leave a trace of masked keys.
const NOTHING: f32 = 1e-12;

/// Which cells of `[batch, heads, queries, keys]` are meant.
pub(super) struct Cells<'a> {
    pub(super) sequences: &'a Selection,
    pub(super) heads: &'a Selection,
    pub(super) queries: &'a Selection,
    pub(super) keys: &'a Selection,
}

/// Sets the chosen cells to the numbers `to` makes of them, and divides the rows they lie in by their new sums.
pub(super) fn edit(
    place: Place<'_>,
    cells: &Cells<'_>,
    attention: Tensor,
    renormalize: bool,
    to: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let chosen = cells.mask(place, &attention)?;
    let replaced = select(&chosen, &to(&attention)?, &attention)?;
    if !renormalize {
        return Ok(replaced);
    }
    let rows = cells.rows(place, &attention)?;
    let sums = replaced.sum_keepdim(D::Minus1)?;
    let rows = rows.broadcast_as(sums.shape())?;
    for (row, (sum, chosen)) in flat(&sums)?.into_iter().zip(flags(&rows)?).enumerate() {
        if chosen && !(sum.is_finite() && sum > NOTHING) {
            return Err(place.wrong(
                "rows with a positive sum, to be renormalized",
                format!("{sum:.1} in {}", name(row, sums.dims())),
            ));
        }
    }
    let divisors = select(&rows, &sums, &sums.ones_like()?)?;
    Ok(replaced.broadcast_div(&divisors)?)
}

/// Forbids the chosen cells of the scores; `chosen` is 1 at them, in a shape that broadcasts to that of the scores.
pub(super) fn knock_out(place: Place<'_>, chosen: &Tensor, scores: Tensor) -> Result<Tensor> {
    let forbidden = Tensor::full(f32::MIN, scores.shape(), scores.device())?;
    let knocked = select(chosen, &forbidden, &scores)?;
    // A row that sees nothing would see everything alike. Rows of padding, which saw nothing before, may stay so.
    let best = |scores: &Tensor| flat(&scores.max_keepdim(D::Minus1)?);
    for (row, (before, after)) in best(&scores)?.into_iter().zip(best(&knocked)?).enumerate() {
        if before > MASKED && after <= MASKED {
            return Err(place.wrong(
                "at least one key left for each query",
                format!("none in {}", name(row, scores.dims())),
            ));
        }
    }
    Ok(knocked)
}

/// `[.., queries, keys]`, 1 at single pairs of query and key, in the sequences and heads that are meant.
pub(super) fn edges(
    place: Place<'_>,
    sequences: &Selection,
    heads: &Selection,
    edges: &[[usize; 2]],
    scores: &Tensor,
) -> Result<Tensor> {
    let (queries, keys) = (scores.dim(2)?, scores.dim(3)?);
    let mut cells = vec![0_u8; queries * keys];
    for &[query, key] in edges {
        if query >= queries || key >= keys {
            return Err(place.wrong(
                format!("edges from {queries} queries to {keys} keys"),
                format!("{query} to {key}"),
            ));
        }
        cells[query * keys + key] = 1;
    }
    let cells = Tensor::from_vec(cells, (1, 1, queries, keys), scores.device())?;
    let meant = mask(place, scores, &[(0, sequences, "sequence"), (1, heads, "head")])?;
    Ok(meant.broadcast_mul(&cells)?)
}

impl Cells<'_> {
    pub(super) fn mask(&self, place: Place<'_>, tensor: &Tensor) -> Result<Tensor> {
        let axes = [
            (0, self.sequences, "sequence"),
            (1, self.heads, "head"),
            (2, self.queries, "query"),
            (3, self.keys, "key"),
        ];
        mask(place, tensor, &axes)
    }

    /// `[.., 1]`: the rows in which a cell was chosen.
    fn rows(&self, place: Place<'_>, tensor: &Tensor) -> Result<Tensor> {
        let rows = [
            (0, self.sequences, "sequence"),
            (1, self.heads, "head"),
            (2, self.queries, "query"),
        ];
        mask(place, tensor, &rows)
    }
}

/// 1 (u8) where every axis is selected, in a shape that broadcasts to that of `tensor`.
pub(super) fn mask(place: Place<'_>, tensor: &Tensor, axes: &[(usize, &Selection, &str)]) -> Result<Tensor> {
    let rank = tensor.rank();
    let mut mask = Tensor::ones(vec![1; rank], candle_core::DType::U8, tensor.device())?;
    for &(axis, selection, what) in axes {
        let size = tensor.dim(axis)?;
        place.within(selection, size, what)?;
        if *selection == Selection::All {
            continue;
        }
        let chosen: Vec<u8> = (0..size).map(|index| u8::from(selection.includes(index))).collect();
        let mut shape = vec![1; rank];
        shape[axis] = size;
        mask = mask.broadcast_mul(&Tensor::from_vec(chosen, shape, tensor.device())?)?;
    }
    Ok(mask)
}

/// `chosen` where the mask is 1, else `other`; both of the shape of `other` after broadcasting.
pub(super) fn select(mask: &Tensor, chosen: &Tensor, other: &Tensor) -> Result<Tensor> {
    let shape = other.shape();
    Ok(mask
        .broadcast_as(shape)?
        .where_cond(&chosen.broadcast_as(shape)?, other)?)
}

/// The name of a row of `[batch, heads, queries, ..]`, given its flat index.
fn name(row: usize, dims: &[usize]) -> String {
    let (heads, queries) = (
        dims.get(1).map_or(1, |&n| n.max(1)),
        dims.get(2).map_or(1, |&n| n.max(1)),
    );
    format!(
        "sequence {}, head {}, query {}",
        row / queries / heads,
        row / queries % heads,
        row % queries
    )
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

fn flags(tensor: &Tensor) -> Result<Vec<bool>> {
    let flags: Vec<u8> = tensor.flatten_all()?.to_vec1()?;
    Ok(flags.into_iter().map(|flag| flag != 0).collect())
}
