//! A list of interventions as a tap.

use std::collections::BTreeMap;

use attn_core::ModelInfo;
use candle_core::Tensor;

use super::{
    Edit, Intervention, Selection,
    attention::{Cells, edit, knock_out, mask, select},
    check::{Place, check},
    patch::{Patch, remove_positions, shuffle_positions},
};
use crate::{Point, Result, Site, Tap, record::Recorder};

/// Interventions as a tap. They act in the order of the list; where several change the same site, each sees what
/// the ones before it left.
///
/// ```
/// use attn_core::{Attention, Side};
/// use attn_models::{
///     Gradients, Inputs, Model, Point, Site, Weights, intervene::{Edit, Heads, Interventions, Selection},
///     record::Recorder,
/// };
///
/// let config = r#"{"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2,
///                  "architectures": ["GPT2LMHeadModel"]}"#;
/// let model = Model::build("tiny", config, &Weights::initialize(1), Gradients::Off)?;
/// let inputs = Inputs::from_ids(&[vec![5, 6, 7], vec![8, 9, 10]], 0)?;
///
/// // Head 1 of layer 0 off everywhere; in the second sequence the last token does not see the first.
/// let layer = |layer| Heads::all(Attention::DecoderSelf, layer);
/// let off = Edit::HeadMask { heads: Heads::new(Attention::DecoderSelf, 0, 1), factor: 0.0 };
/// let cut = Edit::KnockOut { heads: layer(1), queries: 2.into(), keys: 0.into() };
/// let mut tap = Interventions::new(model.info(), [off.into(), cut.in_sequences(1)])?;
/// model.forward(&inputs, &mut tap)?;
///
/// // The state after layer 1 of the first sequence, put into both: both predict the same.
/// let patch = Edit::Patch {
///     site: Site::hidden(Side::Decoder, 1), heads: Selection::All, tokens: Selection::All, donor: 0, donor_tokens: None,
/// };
/// let mut tap = Interventions::new(model.info(), [patch.into()])?;
/// let mut run = Recorder::of(&tap.donor_points());
/// model.forward(&inputs, &mut run)?;
/// tap = tap.with_donor(run);
/// let logits = model.forward(&inputs, &mut tap)?.logits.unwrap();
/// assert_eq!(logits.get(0)?.to_vec2::<f32>()?, logits.get(1)?.to_vec2::<f32>()?);
/// # Ok::<(), attn_models::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Interventions {
    list: Vec<Intervention>,
    donor: BTreeMap<Site, Tensor>,
    batch: Option<usize>,
}

impl Interventions {
    /// Checks a list against a model.
    ///
    /// # Errors
    /// [`Error::Intervention`](crate::Error::Intervention) for attentions, layers or heads the model does not have,
    /// numbers that are not finite, orders that are no permutations. Tokens, sequences and sums of rows are
    /// known only when the model runs; its forward pass then returns the same error.
    pub fn new(model: &ModelInfo, list: impl IntoIterator<Item = Intervention>) -> Result<Self> {
        let list: Vec<_> = list.into_iter().collect();
        for (index, intervention) in list.iter().enumerate() {
            check(model, index, intervention)?;
        }
        Ok(Self {
            list,
            donor: BTreeMap::new(),
            batch: None,
        })
    }

    /// The run that patches take their activations from. It must have recorded [`donor_points`](Self::donor_points).
    pub fn with_donor(mut self, run: Recorder) -> Self {
        self.donor = run.tensors;
        self
    }

    /// How many sequences the batch has: needed only to change the positions of some of them where the model gives all
    /// the same.
    pub fn with_batch(mut self, sequences: usize) -> Self {
        self.batch = Some(sequences);
        self
    }

    /// The points that a [`Recorder`] has to keep of the run that patches take from.
    pub fn donor_points(&self) -> Vec<Point> {
        let mut points: Vec<_> = self
            .list
            .iter()
            .filter(|intervention| matches!(intervention.edit, Edit::Patch { .. }))
            .map(|intervention| intervention.edit.site().point)
            .collect();
        points.sort_unstable();
        points.dedup();
        points
    }

    /// The interventions.
    pub fn list(&self) -> &[Intervention] {
        &self.list
    }

    fn apply(&self, place: Place<'_>, sequences: &Selection, site: Site, tensor: Tensor) -> Result<Tensor> {
        let all = &Selection::All;
        match place.edit {
            Edit::HeadMask { heads, factor } => {
                let axes = [(0, sequences, "sequence"), (2, &heads.heads, "head")];
                let chosen = mask(place, &tensor, &axes)?;
                let one = Tensor::ones(chosen.shape(), tensor.dtype(), tensor.device())?;
                let factors = select(&chosen, &(&one * f64::from(*factor))?, &one)?;
                Ok(tensor.broadcast_mul(&factors)?)
            }
            Edit::AttentionRow {
                heads,
                query,
                weights,
                renormalize,
            } => {
                let keys = tensor.dim(3)?;
                if weights.len() > keys {
                    return Err(place.wrong(
                        format!("at most {keys} weights, one per key"),
                        weights.len().to_string(),
                    ));
                }
                let queries = Selection::from(*query);
                let cells = Cells {
                    sequences,
                    heads: &heads.heads,
                    queries: &queries,
                    keys: all,
                };
                let row = (0..keys).map(|key| weights.get(key).copied().unwrap_or(0.0));
                edit(place, &cells, tensor, *renormalize, |attention| {
                    Ok(Tensor::from_iter(row, attention.device())?.reshape((1, 1, 1, keys))?)
                })
            }
            Edit::AttentionCells {
                heads,
                queries,
                keys,
                weight,
                renormalize,
            } => {
                let cells = Cells {
                    sequences,
                    heads: &heads.heads,
                    queries,
                    keys,
                };
                edit(place, &cells, tensor, *renormalize, |attention| {
                    Ok(Tensor::full(*weight, (1, 1, 1, 1), attention.device())?)
                })
            }
            Edit::AttentionFactor {
                heads,
                queries,
                keys,
                factor,
                renormalize,
            } => {
                let cells = Cells {
                    sequences,
                    heads: &heads.heads,
                    queries,
                    keys,
                };
                edit(place, &cells, tensor, *renormalize, |attention| {
                    Ok((attention * f64::from(*factor))?)
                })
            }
            Edit::KnockOut { heads, queries, keys } => {
                let cells = Cells {
                    sequences,
                    heads: &heads.heads,
                    queries,
                    keys,
                };
                knock_out(place, &cells.mask(place, &tensor)?, tensor)
            }
            Edit::KnockOutEdges { heads, edges } => {
                let chosen = super::attention::edges(place, sequences, &heads.heads, edges, &tensor)?;
                knock_out(place, &chosen, tensor)
            }
            Edit::Patch {
                heads,
                tokens,
                donor,
                donor_tokens,
                ..
            } => {
                let Some(run) = self.donor.get(&site) else {
                    return Err(place.wrong(format!("another run with the {site}"), "none"));
                };
                let patch = Patch {
                    site,
                    sequences,
                    heads,
                    tokens,
                    donor: *donor,
                    donor_tokens: donor_tokens.as_deref(),
                };
                patch.apply(place, tensor, run)
            }
            Edit::RemovePositions { .. } => remove_positions(place, sequences, self.spread(place, sequences, tensor)?),
            Edit::ShufflePositions { order, .. } => {
                let positions = self.spread(place, sequences, tensor)?;
                shuffle_positions(place, sequences, order, positions)
            }
        }
    }

    /// Positions `[1, ..]` that all sequences share, as one row per sequence where only some are to change.
    fn spread(&self, place: Place<'_>, sequences: &Selection, positions: Tensor) -> Result<Tensor> {
        if *sequences == Selection::All || positions.dim(0)? != 1 {
            return Ok(positions);
        }
        let Some(batch) = self.batch else {
            return Err(place.wrong(
                "the number of sequences of the batch (`with_batch`), to change the positions of some",
                "none",
            ));
        };
        let mut dims = positions.dims().to_vec();
        dims[0] = batch.max(1);
        Ok(positions.broadcast_as(dims)?.contiguous()?)
    }
}

impl Tap for Interventions {
    fn wants(&self, site: Site) -> bool {
        self.list.iter().any(|intervention| intervention.edit.site() == site)
    }

    fn tap(&mut self, site: Site, mut tensor: Tensor) -> Result<Tensor> {
        for (index, Intervention { sequences, edit }) in self.list.iter().enumerate() {
            if edit.site() == site {
                tensor = self.apply(Place { index, edit }, sequences, site, tensor)?;
            }
        }
        Ok(tensor)
    }
}
