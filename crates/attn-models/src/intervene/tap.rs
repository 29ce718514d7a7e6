//! A list of interventions as a tap.

use attn_core::ModelInfo;
use candle_core::Tensor;

use super::{
    Edit, Intervention, Selection,
    attention::{Cells, Sum, edit, knock_out, knock_out_edges, row},
    check::{Place, check},
    patch::{Patch, remove_positions, shuffle_positions},
    vectors::Vectors,
    view::View,
};
use crate::{Point, Result, Site, Tap, layout::Layout, record::Recorder};

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
    donor: Recorder,
    layout: Option<Layout>,
    /// Whether the model has come by the site of each.
    met: Vec<bool>,
    /// Whether rows of attention at the site of each have a sink, which may be all that is left of them.
    sinks: Vec<bool>,
}

impl Interventions {
    /// Checks a list against a model.
    ///
    /// # Errors
    /// [`Error::Intervention`](crate::Error::Intervention) for attentions, layers or heads the model does not have,
    /// numbers that are not finite, orders that are no permutations. Tokens, sequences and sums of rows are
    /// known only when the model runs; its forward pass then returns the same error. So it does for sites that some layers do not
    /// have: the router of a layer without experts, queries before a rotation where a layer does not rotate.
    pub fn new(model: &ModelInfo, list: impl IntoIterator<Item = Intervention>) -> Result<Self> {
        let list: Vec<_> = list.into_iter().collect();
        for (index, intervention) in list.iter().enumerate() {
            check(model, index, intervention)?;
        }
        Ok(Self {
            met: vec![false; list.len()],
            sinks: list
                .iter()
                .map(|intervention| has_sink(model, intervention.edit.site()))
                .collect(),
            list,
            donor: Recorder::default(),
            layout: None,
        })
    }

    /// The run that patches take their activations from. It must have recorded [`donor_points`](Self::donor_points).
    pub fn with_donor(mut self, run: Recorder) -> Self {
        self.donor = run;
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

    fn apply(&self, view: View<'_>, tensor: Tensor) -> Result<Tensor> {
        match view.place.edit {
            Edit::HeadMask { heads, factor } => {
                let tokens = &Selection::All;
                let vectors = Vectors {
                    heads: &heads.heads,
                    tokens,
                };
                vectors.edit(view, tensor, |tensor| Ok((tensor * f64::from(*factor))?))
            }
            Edit::AttentionRow {
                heads,
                query,
                weights,
                renormalize,
            } => {
                let cells = Cells {
                    heads: &heads.heads,
                    queries: &Selection::from(*query),
                    keys: &Selection::All,
                };
                edit(view, &cells, tensor, renormalize.then_some(Sum::One), |attention| {
                    row(view, attention, weights)
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
                    heads: &heads.heads,
                    queries,
                    keys,
                };
                edit(view, &cells, tensor, renormalize.then_some(Sum::Before), |attention| {
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
                    heads: &heads.heads,
                    queries,
                    keys,
                };
                edit(view, &cells, tensor, renormalize.then_some(Sum::Before), |attention| {
                    Ok((attention * f64::from(*factor))?)
                })
            }
            Edit::KnockOut { heads, queries, keys } => {
                let cells = Cells {
                    heads: &heads.heads,
                    queries,
                    keys,
                };
                knock_out(view, &cells, tensor)
            }
            Edit::KnockOutEdges { heads, edges } => knock_out_edges(view, &heads.heads, edges, tensor),
            Edit::Patch {
                heads,
                tokens,
                donor,
                donor_tokens,
                ..
            } => {
                let Some(run) = self.donor.tensors.get(&view.site) else {
                    return Err(view.place.wrong(format!("another run with the {}", view.site), "none"));
                };
                let patch = Patch {
                    heads,
                    tokens,
                    donor: *donor,
                    donor_tokens: donor_tokens.as_deref(),
                    layout: self.donor.layout.as_ref(),
                };
                patch.apply(view, tensor, run)
            }
            Edit::Add {
                heads,
                tokens,
                vector,
                scale,
                ..
            } => {
                let vectors = Vectors { heads, tokens };
                vectors.edit(view, tensor, |tensor| {
                    let vector = (vectors.place(view, tensor, vector)? * f64::from(*scale))?;
                    Ok(tensor.broadcast_add(&vector)?)
                })
            }
            Edit::Mean {
                heads, tokens, vector, ..
            } => {
                let vectors = Vectors { heads, tokens };
                vectors.edit(view, tensor, |tensor| vectors.place(view, tensor, vector))
            }
            Edit::Noise {
                heads,
                tokens,
                scale,
                seed,
                ..
            } => {
                let vectors = Vectors { heads, tokens };
                vectors.edit(view, tensor, |tensor| {
                    let noise = (vectors.noise(view, tensor, *seed)? * f64::from(*scale))?;
                    Ok(tensor.broadcast_add(&noise)?)
                })
            }
            Edit::Scale {
                heads, tokens, factor, ..
            } => {
                let vectors = Vectors { heads, tokens };
                vectors.edit(view, tensor, |tensor| Ok((tensor * f64::from(*factor))?))
            }
            // What all lose needs no row of its own for each.
            Edit::RemovePositions { .. } if *view.sequences == Selection::All => remove_positions(view, tensor),
            Edit::RemovePositions { .. } => remove_positions(view, spread(view, tensor)?),
            Edit::ShufflePositions { order, .. } => shuffle_positions(view, order, spread(view, tensor)?),
        }
    }
}

/// Whether rows of attention of a site's layer have a sink.
fn has_sink(model: &ModelInfo, site: Site) -> bool {
    let layer = model
        .attention(site.attention)
        .and_then(|info| info.layers.get(site.layer));
    layer.is_some_and(|layer| layer.sinks.is_some())
}

/// Positions `[1, ..]` that all sequences share, as one row per sequence where not all are changed alike.
fn spread(view: View<'_>, positions: Tensor) -> Result<Tensor> {
    // A bias per offset [1, heads, queries, keys] has all tokens along its last axis.
    let axis = if positions.rank() == 4 { 3 } else { 1 };
    let alike = *view.sequences == Selection::All && view.tokens(&positions, axis)?.positions.len() == 1;
    if alike || positions.dim(0)? != 1 {
        return Ok(positions);
    }
    let mut dims = positions.dims().to_vec();
    dims[0] = view.layout.rows().max(1);
    Ok(positions.broadcast_as(dims)?.contiguous()?)
}

impl Tap for Interventions {
    fn wants(&self, site: Site) -> bool {
        self.list.iter().any(|intervention| intervention.edit.site() == site)
    }

    fn begin(&mut self, layout: &Layout) -> Result<()> {
        self.layout = Some(layout.clone());
        Ok(())
    }

    fn tap(&mut self, site: Site, mut tensor: Tensor) -> Result<Tensor> {
        // A block that is tried alone tells nothing.
        let alone = Layout::whole(tensor.dim(0)?);
        for (index, Intervention { sequences, edit }) in self.list.iter().enumerate() {
            if edit.site() == site {
                self.met[index] = true;
                let view = View {
                    place: Place { index, edit },
                    layout: self.layout.as_ref().unwrap_or(&alone),
                    site,
                    sequences,
                    sink: self.sinks[index],
                };
                tensor = self.apply(view, tensor)?;
            }
        }
        Ok(tensor)
    }

    fn end(&mut self) -> Result<()> {
        for (index, Intervention { edit, .. }) in self.list.iter().enumerate() {
            // What an earlier step of a generation came by, such as the encoder, later ones do not see again.
            let left_out = |layout: &Layout| layout.leaves_out(edit.site());
            if !self.met[index] && !self.layout.as_ref().is_some_and(left_out) {
                let found = format!("the {}, which it does not have", edit.site());
                return Err(Place { index, edit }.wrong("a site of the model", found));
            }
        }
        Ok(())
    }
}
