//! Edits that move tensors: activations from another run, positions from other tokens.

use candle_core::Tensor;

use super::{
    Selection,
    attention::{mask, select},
    check::Place,
};
use crate::{Point, Result, Site};

/// What of an activation is replaced, and by what.
pub(super) struct Patch<'a> {
    pub(super) site: Site,
    pub(super) sequences: &'a Selection,
    pub(super) heads: &'a Selection,
    pub(super) tokens: &'a Selection,
    /// The sequence of the other run.
    pub(super) donor: usize,
    pub(super) donor_tokens: Option<&'a [usize]>,
}

impl Patch<'_> {
    pub(super) fn apply(&self, place: Place<'_>, tensor: Tensor, run: &Tensor) -> Result<Tensor> {
        let (head_axis, token_axis) = match self.site.point {
            Point::HeadOutput => (Some(2), 1),
            Point::Embedding | Point::AttentionOutput | Point::Router | Point::Mlp | Point::Hidden => (None, 1),
            _ => (Some(1), 2),
        };
        let mut axes = vec![(0, self.sequences, "sequence"), (token_axis, self.tokens, "token")];
        axes.extend(head_axis.map(|axis| (axis, self.heads, "head")));
        let chosen = mask(place, &tensor, &axes)?;

        let (donors, donor_tokens) = (run.dim(0)?, run.dim(token_axis)?);
        if self.donor >= donors {
            return Err(place.wrong(
                format!("sequences from 0 to {} of the other run", donors.saturating_sub(1)),
                format!("sequence {}", self.donor),
            ));
        }
        // For every token the one it is replaced by; any for tokens that stay.
        let mut sources = vec![0_u32; tensor.dim(token_axis)?];
        for (target, source) in self.pairs(place, sources.len())? {
            if source >= donor_tokens {
                return Err(place.wrong(
                    format!("tokens from 0 to {} of the other run", donor_tokens.saturating_sub(1)),
                    format!("token {source}"),
                ));
            }
            if let (Some(slot), Ok(source)) = (sources.get_mut(target), u32::try_from(source)) {
                *slot = source;
            }
        }
        let count = sources.len();
        let sources = Tensor::from_vec(sources, count, tensor.device())?;
        let one = run.detach().narrow(0, self.donor, 1)?.contiguous()?;
        let brought = one.index_select(&sources, token_axis)?;
        let fits = brought.dims().iter().zip(tensor.dims()).skip(1).all(|(a, b)| a == b);
        if !fits || brought.rank() != tensor.rank() {
            return Err(place.wrong(
                format!("an activation of shape {:?} from the other run", tensor.dims()),
                format!("{:?}", run.dims()),
            ));
        }
        select(&chosen, &brought, &tensor)
    }

    /// Which token is replaced by which.
    fn pairs(&self, place: Place<'_>, tokens: usize) -> Result<Vec<(usize, usize)>> {
        let targets: Vec<usize> = match self.tokens {
            Selection::All => (0..tokens).collect(),
            Selection::Only(some) => some.clone(),
        };
        match self.donor_tokens {
            None => Ok(targets.iter().map(|&token| (token, token)).collect()),
            Some(donor) if donor.len() == targets.len() => Ok(targets.into_iter().zip(donor.iter().copied()).collect()),
            Some(donor) => Err(place.wrong(
                format!("{} donor tokens, one per token", targets.len()),
                donor.len().to_string(),
            )),
        }
    }
}

/// Zero positions in the chosen sequences.
pub(super) fn remove_positions(place: Place<'_>, sequences: &Selection, positions: Tensor) -> Result<Tensor> {
    let chosen = mask(place, &positions, &[(0, sequences, "sequence")])?;
    select(&chosen, &positions.zeros_like()?, &positions)
}

/// Positions taken from other tokens in the chosen sequences.
pub(super) fn shuffle_positions(
    place: Place<'_>,
    sequences: &Selection,
    order: &[usize],
    positions: Tensor,
) -> Result<Tensor> {
    // A bias per offset [1, heads, queries, keys] has tokens along two axes, everything else along axis 1.
    let axes: &[usize] = if positions.rank() == 4 { &[2, 3] } else { &[1] };
    let mut shuffled = positions.clone();
    for &axis in axes {
        let tokens = positions.dim(axis)?;
        if order.len() > tokens {
            return Err(place.wrong(
                format!("an order of at most {tokens} tokens"),
                format!("one of {}", order.len()),
            ));
        }
        let order: Vec<u32> = (0..tokens)
            .map(|token| order.get(token).copied().unwrap_or(token))
            .filter_map(|token| u32::try_from(token).ok())
            .collect();
        let order = Tensor::from_vec(order, tokens, positions.device())?;
        shuffled = shuffled.contiguous()?.index_select(&order, axis)?;
    }
    let chosen = mask(place, &positions, &[(0, sequences, "sequence")])?;
    select(&chosen, &shuffled, &positions)
}
