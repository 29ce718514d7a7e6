//! One tensor as an edit is given it: which sequence, head and token its places are of.

use attn_core::Side;
use candle_core::{DType, Tensor};

use super::{Selection, check::Place};
use crate::{Point, Result, Site, layout::Layout};

/// What an edit needs to know of the tensor it is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) place: Place<'a>,
    pub(super) layout: &'a Layout,
    pub(super) site: Site,
    /// The sequences that the edit is for.
    pub(super) sequences: &'a Selection,
    /// Whether rows of attention have a sink.
    pub(super) sink: bool,
}

/// An axis of a tensor, and which of its places are meant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Along<'a> {
    /// Heads, on this axis.
    Heads(usize, &'a Selection),
    /// Tokens, on this axis, and what to call them.
    Tokens(usize, &'a Selection, &'static str),
}

/// The tokens along an axis.
#[derive(Debug)]
pub(super) struct Tokens {
    /// For each row, or for all rows alike in one, the position of each column; `None` for padding.
    pub(super) positions: Vec<Vec<Option<usize>>>,
    /// Tokens that the longest of the meant sequences has so far.
    pub(super) count: usize,
    /// Whether more may follow in later steps.
    pub(super) open: bool,
}

impl Tokens {
    /// The positions of a row's columns.
    pub(super) fn of_row(&self, row: usize) -> &[Option<usize>] {
        let own = self.positions.get(row).or(self.positions.first());
        own.map_or(&[], Vec::as_slice)
    }

    /// The column of a row's token, if this pass has it.
    pub(super) fn column(&self, row: usize, position: usize) -> Option<usize> {
        self.of_row(row).iter().position(|&own| own == Some(position))
    }
}

impl<'a> View<'a> {
    /// The axis of the heads; `None` where the point has none.
    pub(super) fn head_axis(&self) -> Option<usize> {
        match self.site.point {
            Point::HeadOutput => Some(2),
            Point::Query
            | Point::Key
            | Point::Value
            | Point::QueryBeforeRotation
            | Point::KeyBeforeRotation
            | Point::Scores
            | Point::Attention => Some(1),
            Point::Embedding
            | Point::Positions
            | Point::OffsetKey
            | Point::OffsetQuery
            | Point::AttentionOutput
            | Point::Router
            | Point::Mlp
            | Point::Hidden => None,
        }
    }

    /// The axis of the tokens; of scores and attention that of the queries.
    pub(super) fn token_axis(&self) -> usize {
        if self.head_axis() == Some(1) { 2 } else { 1 }
    }

    /// The tokens along an axis of a tensor: of the scores and what has their shape, axis 2 are queries and axis 3 keys.
    pub(super) fn tokens(&self, tensor: &Tensor, axis: usize) -> Result<Tokens> {
        let attention = self.site.attention;
        let (side, first) = match (self.site.point, axis) {
            (Point::Scores | Point::Attention | Point::Positions, 3) => (attention.key_side(), 0),
            (Point::Key | Point::Value | Point::KeyBeforeRotation, _) => {
                (attention.key_side(), self.layout.first(attention.key_side()))
            }
            _ => (attention.query_side(), self.layout.first(attention.query_side())),
        };
        let positions = self.layout.positions(side, first, tensor.dim(axis)?);
        let count = match positions.as_slice() {
            [one] => one.iter().flatten().max(),
            rows => (0..rows.len())
                .filter(|&row| self.means(row))
                .flat_map(|row| rows[row].iter().flatten())
                .max(),
        };
        Ok(Tokens {
            count: count.map_or(0, |last| last + 1),
            open: self.is_open(side),
            positions,
        })
    }

    /// Whether the edit is for a row of the batch.
    pub(super) fn means(&self, row: usize) -> bool {
        self.sequences.includes(self.layout.sequence(row))
    }

    /// Whether tokens may follow, or none of the sequences that are meant are in this pass.
    fn is_open(&self, side: Side) -> bool {
        let here = (0..self.layout.rows()).any(|row| self.means(row));
        self.layout.is_open(side) || !here
    }

    /// 1 (u8) where the sequence and every axis is meant, in a shape that broadcasts to that of `tensor`; `None` if that is
    /// nowhere.
    pub(super) fn mask(&self, tensor: &Tensor, axes: &[Along<'_>]) -> Result<Option<Tensor>> {
        let (rank, device) = (tensor.rank(), tensor.device());
        let mut mask = Tensor::ones(vec![1; rank], DType::U8, device)?;
        let mut times = |flags: Vec<u8>, rows: usize, axis: usize| -> Result<bool> {
            let any = flags.contains(&1);
            let mut shape = vec![1; rank];
            let columns = flags.len() / rows.max(1);
            if axis == 0 {
                shape[0] = flags.len();
            } else {
                (shape[0], shape[axis]) = (rows, columns);
            }
            mask = mask.broadcast_mul(&Tensor::from_vec(flags, shape, device)?)?;
            Ok(any)
        };
        self.place.within(self.sequences, self.layout.sequences(), "sequence")?;
        let mut any = true;
        if *self.sequences != Selection::All {
            let rows = (0..self.layout.rows()).map(|row| u8::from(self.means(row)));
            any &= times(rows.collect(), 1, 0)?;
        }
        for along in axes {
            match *along {
                Along::Heads(axis, heads) => {
                    let count = tensor.dim(axis)?;
                    self.place.within(heads, count, "head")?;
                    if *heads != Selection::All {
                        any &= times((0..count).map(|head| u8::from(heads.includes(head))).collect(), 1, axis)?;
                    }
                }
                Along::Tokens(_, Selection::All, _) => {}
                Along::Tokens(axis, selection, what) => {
                    let tokens = self.tokens(tensor, axis)?;
                    if !tokens.open {
                        self.place.within(selection, tokens.count, what)?;
                    }
                    let meant = |position: &Option<usize>| {
                        u8::from(position.is_some_and(|position| selection.includes(position)))
                    };
                    let flags = tokens.positions.iter().flatten().map(meant).collect();
                    any &= times(flags, tokens.positions.len(), axis)?;
                }
            }
        }
        Ok(any.then_some(mask))
    }

    /// The name of a row of `[batch, heads, queries, ..]`, given its flat index.
    pub(super) fn name(&self, row: usize, tensor: &Tensor) -> String {
        let size = |axis: usize| tensor.dims().get(axis).map_or(1, |&n| n.max(1));
        let (heads, queries) = (size(1), size(2));
        let (batch, column) = (row / queries / heads, row % queries);
        let side = self.site.attention.query_side();
        let query = self.layout.position(side, batch, self.layout.first(side) + column);
        format!(
            "sequence {}, head {}, query {}",
            self.layout.sequence(batch),
            row / queries % heads,
            query.unwrap_or(column)
        )
    }
}

/// `chosen` where the mask is 1, else `other`; both of the shape of `other` after broadcasting.
pub(super) fn select(mask: &Tensor, chosen: &Tensor, other: &Tensor) -> Result<Tensor> {
    let shape = other.shape();
    Ok(mask
        .broadcast_as(shape)?
        .where_cond(&chosen.broadcast_as(shape)?, other)?)
}
