//! Edits that move tensors: activations from another run, positions from other tokens.

use candle_core::Tensor;

use super::{
    Selection,
    view::{Along, View, select},
};
use crate::{Point, Result, layout::Layout};

/// Scores of keys that a query does not see.
const FORBIDDEN: f64 = f32::MIN as f64;

/// What of an activation is replaced, and by what.
pub(super) struct Patch<'a> {
    pub(super) heads: &'a Selection,
    pub(super) tokens: &'a Selection,
    /// The sequence of the other run.
    pub(super) donor: usize,
    pub(super) donor_tokens: Option<&'a [usize]>,
    /// What the other run's rows and columns are about.
    pub(super) layout: Option<&'a Layout>,
}

impl Patch<'_> {
    pub(super) fn apply(&self, view: View<'_>, tensor: Tensor, run: &Tensor) -> Result<Tensor> {
        let axis = view.token_axis();
        let mut axes = vec![Along::Tokens(axis, self.tokens, "token")];
        axes.extend(view.head_axis().map(|axis| Along::Heads(axis, self.heads)));
        let Some(chosen) = view.mask(&tensor, &axes)? else {
            return Ok(tensor);
        };
        let own = Layout::whole(run.dim(0)?);
        let donors = View {
            layout: self.layout.unwrap_or(&own),
            sequences: &Selection::from(self.donor),
            ..view
        };
        let rows = 0..run.dim(0)?;
        let Some(row) = rows.clone().find(|&row| donors.layout.sequence(row) == self.donor) else {
            return Err(view.place.wrong(
                format!("sequences from 0 to {} of the other run", rows.end.saturating_sub(1)),
                format!("sequence {}", self.donor),
            ));
        };
        let donor_tokens = donors.tokens(run, axis)?;
        let targets = view.tokens(&tensor, axis)?;
        if let (Selection::All, Some(donor)) = (self.tokens, self.donor_tokens)
            && !targets.open
            && donor.len() != targets.count
        {
            let expected = format!("{} donor tokens, one per token", targets.count);
            return Err(view.place.wrong(expected, donor.len().to_string()));
        }

        // For every column the one of the other run that replaces it; any for tokens that stay.
        let (mut sources, mut found) = (Vec::new(), Vec::new());
        for position in targets.positions.iter().flatten() {
            let source = position.and_then(|position| self.source(position));
            let column = match source.map(|source| (source, donor_tokens.column(row, source))) {
                Some((_, Some(column))) => Some(column),
                None => None,
                Some((source, None)) => {
                    let last = donor_tokens.of_row(row).iter().flatten().max().copied().unwrap_or(0);
                    return Err(view.place.wrong(
                        format!("tokens from 0 to {last} of the other run"),
                        format!("token {source}"),
                    ));
                }
            };
            sources.push(column.and_then(|column| u32::try_from(column).ok()).unwrap_or(0));
            found.push(u8::from(column.is_some()));
        }
        let one = self.keys_as_in(view, &run.detach().narrow(0, row, 1)?.contiguous()?, &tensor)?;
        let fits = one.rank() == tensor.rank()
            && one
                .dims()
                .iter()
                .zip(tensor.dims())
                .enumerate()
                .all(|(at, (a, b))| at == 0 || at == axis || a == b);
        if !fits {
            return Err(view.place.wrong(
                format!("an activation of shape {:?} from the other run", tensor.dims()),
                format!("{:?}", run.dims()),
            ));
        }
        let width = tensor.dim(axis)?.max(1);
        let brought = sources.chunks(width).map(|sources| -> Result<Tensor> {
            let sources = Tensor::new(sources, tensor.device())?;
            Ok(one.index_select(&sources, axis)?)
        });
        let brought = Tensor::cat(&brought.collect::<Result<Vec<_>>>()?, 0)?;
        let mut shape = vec![1; tensor.rank()];
        (shape[0], shape[axis]) = (targets.positions.len(), width);
        let found = Tensor::from_vec(found, shape, tensor.device())?;
        select(&chosen.broadcast_mul(&found)?, &brought, &tensor)
    }

    /// The token of the other run that replaces one of this.
    fn source(&self, position: usize) -> Option<usize> {
        match (self.tokens, self.donor_tokens) {
            (Selection::All, None) => Some(position),
            (Selection::All, Some(donor)) => donor.get(position).copied(),
            (Selection::Only(some), donor) => {
                let at = some.iter().rposition(|&token| token == position)?;
                donor.map_or(Some(position), |donor| donor.get(at).copied())
            }
        }
    }

    /// A row of the other run with as many keys as this pass has, while tokens are added: keys that one of the two does not
    /// have are not attended to.
    fn keys_as_in(&self, view: View<'_>, run: &Tensor, tensor: &Tensor) -> Result<Tensor> {
        let beyond = match view.site.point {
            Point::Scores => FORBIDDEN,
            Point::Attention => 0.0,
            _ => return Ok(run.clone()),
        };
        if run.rank() != 4 || !view.tokens(tensor, 3)?.open {
            return Ok(run.clone());
        }
        let (own, keys) = (run.dim(3)?, tensor.dim(3)?);
        if own >= keys {
            return Ok(run.narrow(3, 0, keys)?.contiguous()?);
        }
        let (_, heads, queries, _) = run.dims4()?;
        let missing = (Tensor::ones((1, heads, queries, keys - own), run.dtype(), run.device())? * beyond)?;
        Ok(Tensor::cat(&[run, &missing], 3)?)
    }
}

/// Zero positions in the chosen sequences.
pub(super) fn remove_positions(view: View<'_>, positions: Tensor) -> Result<Tensor> {
    match view.mask(&positions, &[])? {
        Some(chosen) => select(&chosen, &positions.zeros_like()?, &positions),
        None => Ok(positions),
    }
}

/// Positions taken from other tokens in the chosen sequences.
pub(super) fn shuffle_positions(view: View<'_>, order: &[usize], positions: Tensor) -> Result<Tensor> {
    let Some(chosen) = view.mask(&positions, &[])? else {
        return Ok(positions);
    };
    // A bias per offset [1, heads, queries, keys] has tokens along two axes, everything else along axis 1.
    let axes: &[usize] = if positions.rank() == 4 { &[2, 3] } else { &[1] };
    let mut shuffled = positions.contiguous()?;
    for &axis in axes {
        let tokens = view.tokens(&positions, axis)?;
        let rows = 0..tokens.positions.len();
        let meant = rows.clone().filter(|&row| rows.len() == 1 || view.means(row));
        let fewest = meant.map(|row| tokens.of_row(row).iter().flatten().max().map_or(0, |last| last + 1));
        let fewest = fewest.min().unwrap_or(tokens.count);
        if order.len() > fewest {
            return Err(view.place.wrong(
                format!("an order of at most {fewest} tokens"),
                format!("one of {}", order.len()),
            ));
        }
        // Tokens that the order does not name keep their positions, and so does what is not a token.
        let mut columns: Vec<Vec<u32>> = Vec::new();
        for row in 0..tokens.positions.len() {
            let own = tokens.of_row(row).iter().enumerate();
            let source = own.map(|(column, position)| match position.and_then(|at| order.get(at)) {
                Some(&from) => tokens.column(row, from).unwrap_or(column),
                None => column,
            });
            columns.push(source.filter_map(|column| u32::try_from(column).ok()).collect());
        }
        let of_row = |(row, columns): (usize, &Vec<u32>)| -> Result<Tensor> {
            let own = match tokens.positions.len() {
                1 => shuffled.clone(),
                _ => shuffled.narrow(0, row, 1)?,
            };
            let columns = Tensor::new(columns.as_slice(), positions.device())?;
            Ok(own.contiguous()?.index_select(&columns, axis)?)
        };
        let rows: Vec<Tensor> = columns.iter().enumerate().map(of_row).collect::<Result<_>>()?;
        shuffled = Tensor::cat(&rows, 0)?;
    }
    select(&chosen, &shuffled, &positions)
}
