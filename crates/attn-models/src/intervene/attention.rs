//! Edits of single attention cells and rows, before and after the softmax.

use candle_core::{D, Tensor};

use super::{
    Selection,
    view::{Along, View, select},
};
use crate::Result;

/// Scores at or below this are masked: no model scores so low by itself.
const MASKED: f32 = f32::MIN / 2.0;

/// What is left of a row is rounding if it sums to less: kernels may leave a trace of masked keys.
const NOTHING: f32 = 1e-12;

/// Which cells of `[batch, heads, queries, keys]` are meant.
pub(super) struct Cells<'a> {
    pub(super) heads: &'a Selection,
    pub(super) queries: &'a Selection,
    pub(super) keys: &'a Selection,
}

impl Cells<'_> {
    /// 1 at the cells; `None` without any.
    fn mask(&self, view: View<'_>, tensor: &Tensor) -> Result<Option<Tensor>> {
        let [heads, queries] = self.rows();
        view.mask(tensor, &[heads, queries, Along::Tokens(3, self.keys, "key")])
    }

    /// The rows in which the cells lie.
    fn rows(&self) -> [Along<'_>; 2] {
        [Along::Heads(1, self.heads), Along::Tokens(2, self.queries, "query")]
    }
}

/// The sum that rows get back after an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sum {
    /// 1: the row is given.
    One,
    /// What it was: less than 1 where a sink takes a share.
    Before,
}

/// Sets the chosen cells to the numbers `to` makes of them; `renormalize` is the sum that the rows they lie in then get.
pub(super) fn edit(
    view: View<'_>,
    cells: &Cells<'_>,
    attention: Tensor,
    renormalize: Option<Sum>,
    to: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let Some(chosen) = cells.mask(view, &attention)? else {
        return Ok(attention);
    };
    let replaced = select(&chosen, &to(&attention)?, &attention)?;
    let Some(wanted) = renormalize else {
        return Ok(replaced);
    };
    let Some(rows) = view.mask(&attention, &cells.rows())? else {
        return Ok(replaced);
    };
    let sums = replaced.sum_keepdim(D::Minus1)?;
    let rows = rows.broadcast_as(sums.shape())?;
    for (row, (sum, chosen)) in flat(&sums)?.into_iter().zip(flags(&rows)?).enumerate() {
        if chosen && !(sum.is_finite() && sum > NOTHING) {
            return Err(view.place.wrong(
                "rows with a positive sum, to be renormalized",
                format!("{sum:.1} in {}", view.name(row, &sums)),
            ));
        }
    }
    let sums = match wanted {
        Sum::One => sums,
        Sum::Before => {
            let before = attention.sum_keepdim(D::Minus1)?;
            // A row of zeros has no sum to get back.
            let some = before.gt(f64::from(NOTHING))?;
            sums.broadcast_div(&select(&some, &before, &before.ones_like()?)?)?
        }
    };
    let divisors = select(&rows, &sums, &sums.ones_like()?)?;
    Ok(replaced.broadcast_div(&divisors)?)
}

/// The weights of a row by the position of its keys, 0 for others: `[rows or 1, 1, 1, keys]`.
pub(super) fn row(view: View<'_>, attention: &Tensor, weights: &[f32]) -> Result<Tensor> {
    let keys = view.tokens(attention, 3)?;
    if weights.len() > keys.count {
        return Err(view.place.wrong(
            format!("at most {} weights, one per key", keys.count),
            weights.len().to_string(),
        ));
    }
    let weight = |position: &Option<usize>| position.and_then(|at| weights.get(at).copied()).unwrap_or(0.0);
    let flat: Vec<f32> = keys.positions.iter().flatten().map(weight).collect();
    let shape = (keys.positions.len(), 1, 1, attention.dim(3)?);
    Ok(Tensor::from_vec(flat, shape, attention.device())?)
}

/// Forbids some cells of the scores, as if the queries could not see the keys.
pub(super) fn knock_out(view: View<'_>, cells: &Cells<'_>, scores: Tensor) -> Result<Tensor> {
    match cells.mask(view, &scores)? {
        Some(chosen) => forbid(view, &chosen, scores),
        None => Ok(scores),
    }
}

/// The same for single pairs of query and key.
pub(super) fn knock_out_edges(
    view: View<'_>,
    heads: &Selection,
    edges: &[[usize; 2]],
    scores: Tensor,
) -> Result<Tensor> {
    let (queries, keys) = (view.tokens(&scores, 2)?, view.tokens(&scores, 3)?);
    let (rows, width) = (queries.positions.len().max(keys.positions.len()), scores.dim(3)?);
    let size = scores.dim(2)? * width;
    let mut cells = vec![0_u8; rows * size];
    for &[query, key] in edges {
        let beyond = (query >= queries.count && !queries.open) || (key >= keys.count && !keys.open);
        if beyond {
            return Err(view.place.wrong(
                format!("edges from {} queries to {} keys", queries.count, keys.count),
                format!("{query} to {key}"),
            ));
        }
        for row in 0..rows {
            if let (Some(query), Some(key)) = (queries.column(row, query), keys.column(row, key)) {
                cells[row * size + query * width + key] = 1;
            }
        }
    }
    let Some(meant) = view
        .mask(&scores, &[Along::Heads(1, heads)])?
        .filter(|_| cells.contains(&1))
    else {
        return Ok(scores);
    };
    let cells = Tensor::from_vec(cells, (rows, 1, scores.dim(2)?, width), scores.device())?;
    forbid(view, &meant.broadcast_mul(&cells)?, scores)
}

/// `chosen` is 1 at the cells, in a shape that broadcasts to that of the scores.
fn forbid(view: View<'_>, chosen: &Tensor, scores: Tensor) -> Result<Tensor> {
    let forbidden = Tensor::full(f32::MIN, scores.shape(), scores.device())?;
    let knocked = select(chosen, &forbidden, &scores)?;
    // Nothing is left but the sink, which takes all of the row.
    if view.sink {
        return Ok(knocked);
    }
    // A row that sees nothing would see everything alike. Rows of padding, which saw nothing before, may stay so.
    let best = |scores: &Tensor| flat(&scores.max_keepdim(D::Minus1)?);
    for (row, (before, after)) in best(&scores)?.into_iter().zip(best(&knocked)?).enumerate() {
        if before > MASKED && after <= MASKED {
            return Err(view.place.wrong(
                "at least one key left for each query",
                format!("none in {}", view.name(row, &scores)),
            ));
        }
    }
    Ok(knocked)
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

fn flags(tensor: &Tensor) -> Result<Vec<bool>> {
    let flags: Vec<u8> = tensor.flatten_all()?.to_vec1()?;
    Ok(flags.into_iter().map(|flag| flag != 0).collect())
}
