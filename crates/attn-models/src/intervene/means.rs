//! Means of activations over a data set, for mean ablation.

use std::collections::BTreeMap;

use attn_core::{Progress, progress::step};
use candle_core::{DType, Tensor};

use super::{Edit, Intervention, Selection, check::Place, view::View};
use crate::{Inputs, Model, Result, Site, Tap, layout::Layout};

/// The tap that sums activations over real tokens. Ablating to a mean keeps a model nearer to what it knows than ablating
/// to zero (Wang et al. 2023, "Interpretability in the wild").
///
/// ```
/// use attn_core::Attention;
/// use attn_models::{
///     Gradients, Inputs, Model, Point, Site, Weights, intervene::{Interventions, Means},
/// };
///
/// let config = r#"{"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2}"#;
/// let model = Model::build("tiny", config, &Weights::initialize(1), Gradients::Off)?;
/// let data = [Inputs::from_ids(&[vec![5, 6, 7], vec![8, 9]], 0)?];
///
/// let outputs = Site::new(Attention::DecoderSelf, 0, Point::HeadOutput);
/// let means = Means::over(&model, &data, [outputs], &())?;
/// assert_eq!(means.mean(outputs).map(|mean| mean.len()), Some(8)); // two heads of width 4
///
/// // Head 1 of layer 0 always says what it says on average.
/// let ablate = means.edit(outputs, 1).unwrap();
/// let mut tap = Interventions::new(model.info(), [ablate.into()])?;
/// model.forward(&data[0], &mut tap)?;
/// # Ok::<(), attn_models::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Means {
    sites: Vec<Site>,
    layout: Option<Layout>,
    sums: BTreeMap<Site, Sum>,
}

#[derive(Debug, Clone)]
struct Sum {
    /// Head after head.
    total: Vec<f64>,
    /// Numbers of a vector.
    width: usize,
    tokens: usize,
}

impl Means {
    /// Nothing yet, of these sites. Scores, attention and positions have no mean: they are no vectors.
    pub fn of(sites: impl IntoIterator<Item = Site>) -> Self {
        Self {
            sites: sites.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Runs a model over a data set, batch by batch. `progress` counts batches.
    ///
    /// # Errors
    /// Those of [`Model::forward`]; [`Error::Intervention`](crate::Error::Intervention) for sites that the model does not
    /// have or that are no vectors; cancellation.
    pub fn over<'a>(
        model: &Model,
        inputs: impl IntoIterator<Item = &'a Inputs, IntoIter: ExactSizeIterator>,
        sites: impl IntoIterator<Item = Site>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let mut means = Self::of(sites);
        let probes = means.sites.iter().map(|&site| Intervention::from(probe(site)));
        for (index, probe) in probes.enumerate() {
            super::check::check(model.info(), index, &probe)?;
        }
        let inputs = inputs.into_iter();
        let total = inputs.len();
        for (done, inputs) in inputs.enumerate() {
            step(progress, "means", done, total)?;
            model.states(inputs, model.layout(inputs), false, &mut means)?;
        }
        let _ = progress.update("means", total, total);
        Ok(means)
    }

    /// The mean at a site, head after head; `None` if no token was seen there.
    pub fn mean(&self, site: Site) -> Option<Vec<f32>> {
        let sum = self.sums.get(&site).filter(|sum| sum.tokens > 0)?;
        let mean = sum.total.iter().map(|total| (total / sum.tokens as f64) as f32);
        Some(mean.collect())
    }

    /// Tokens that were seen at a site.
    pub fn tokens(&self, site: Site) -> usize {
        self.sums.get(&site).map_or(0, |sum| sum.tokens)
    }

    /// The edit that puts the mean of some heads in at all tokens; of a site without heads, the mean of all. `None` if no
    /// token or no such head was seen.
    pub fn edit(&self, site: Site, heads: impl Into<Selection>) -> Option<Edit> {
        let (heads, mean) = (heads.into(), self.mean(site)?);
        let width = self.sums.get(&site)?.width;
        let vector = match &heads {
            Selection::All => mean,
            Selection::Only(some) => {
                let own = some.iter().map(|&head| mean.get(head * width..(head + 1) * width));
                own.collect::<Option<Vec<_>>>()?.concat()
            }
        };
        Some(Edit::Mean {
            site,
            heads,
            tokens: Selection::All,
            vector,
        })
    }
}

impl Tap for Means {
    fn wants(&self, site: Site) -> bool {
        self.sites.contains(&site)
    }

    fn begin(&mut self, layout: &Layout) -> Result<()> {
        self.layout = Some(layout.clone());
        Ok(())
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        let edit = probe(site);
        let own = Layout::whole(tensor.dim(0)?);
        let view = View {
            place: Place { index: 0, edit: &edit },
            layout: self.layout.as_ref().unwrap_or(&own),
            site,
            sequences: &Selection::All,
            sink: false,
        };
        // [batch, tokens, heads, width]
        let vectors = match view.head_axis() {
            Some(1) => tensor.transpose(1, 2)?,
            Some(_) => tensor.clone(),
            None => tensor.unsqueeze(2)?,
        };
        let (rows, columns, heads, width) = vectors.dims4()?;
        let tokens = view.tokens(&tensor, view.token_axis())?;
        let flat: Vec<f32> = vectors.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let sum = self.sums.entry(site).or_insert_with(|| Sum {
            total: vec![0.0; heads * width],
            width,
            tokens: 0,
        });
        for (at, vector) in flat.chunks((heads * width).max(1)).take(rows * columns).enumerate() {
            if tokens
                .of_row(at / columns)
                .get(at % columns)
                .copied()
                .flatten()
                .is_some()
            {
                let numbers = sum.total.iter_mut().zip(vector);
                numbers.for_each(|(total, &number)| *total += f64::from(number));
                sum.tokens += 1;
            }
        }
        Ok(tensor)
    }
}

/// What says in messages which site is meant.
fn probe(site: Site) -> Edit {
    Edit::Mean {
        site,
        heads: Selection::All,
        tokens: Selection::All,
        vector: Vec::new(),
    }
}
