//! How alike the states of two models are, layer by layer: linear CKA (Kornblith et al. 2019).

use attn_analyze::heads::linear_cka;
use attn_core::{Progress, Rng, Side, ndarray::Array2, progress::step};
use attn_models::{Capturer, Point, Site, candle, record::Recorder};
use attn_render::plots::HeatTable;

use super::Snapshot;
use crate::{
    Error,
    pruning::{LabeledSet, PruningParams},
};

/// Tokens at which states are compared: CKA of so many changes little with more.
const TOKENS: usize = 1024;

/// Similarity of the states after every layer of one model to those after every layer of another.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerSimilarity {
    /// The stack.
    pub side: Side,
    /// The models' names.
    pub names: [String; 2],
    /// Linear CKA, `[layers + 1, layers + 1]`: rows of the first model, columns of the second; 0 is the embeddings.
    pub cka: Array2<f64>,
    /// Tokens that were compared.
    pub tokens: usize,
}

/// Compares the states of two models that read the same ids. Special tokens count too; padding does not.
///
/// # Errors
/// Those of the models' runs (ids that one does not know among them) and of [`linear_cka`]; cancellation.
pub fn layer_similarity(
    before: &Snapshot,
    after: &Snapshot,
    set: &LabeledSet,
    side: Side,
    params: &PruningParams,
    progress: &dyn Progress,
) -> Result<LayerSimilarity, Error> {
    let lengths: Vec<usize> = set
        .examples()
        .iter()
        .map(|example| example.sequence.tokens(side).len())
        .collect();
    let mut chosen = Rng::new(params.seed, &[7]).sample(lengths.iter().sum(), TOKENS);
    chosen.sort_unstable();
    let states = |snapshot: &Snapshot, what: &str| {
        states(
            &snapshot.capturer,
            set,
            side,
            (&lengths, &chosen),
            params,
            (progress, what),
        )
    };
    let (one, other) = (states(before, "states before")?, states(after, "states after")?);
    let mut cka = Array2::zeros((one.len(), other.len()));
    for (at, a) in one.iter().enumerate() {
        step(progress, "similarity of layers", at, one.len())?;
        for (to, b) in other.iter().enumerate() {
            cka[(at, to)] = linear_cka(a.view(), b.view())?;
        }
    }
    Ok(LayerSimilarity {
        side,
        names: [before.name.clone(), after.name.clone()],
        cka,
        tokens: chosen.len(),
    })
}

/// The states of the chosen tokens after every layer.
fn states(
    capturer: &Capturer,
    set: &LabeledSet,
    side: Side,
    (lengths, chosen): (&[usize], &[usize]),
    params: &PruningParams,
    (progress, what): (&dyn Progress, &str),
) -> Result<Vec<Array2<f32>>, Error> {
    let mut starts = Vec::with_capacity(lengths.len());
    let mut next = 0;
    for length in lengths {
        starts.push(next);
        next += length;
    }
    let model = capturer.model();
    let mut layers: Vec<Array2<f32>> = Vec::new();
    let batches = set.batches(params.batch_tokens);
    for (done, batch) in batches.iter().enumerate() {
        step(progress, what, done, batches.len())?;
        let mut run = Recorder::of(&[Point::Hidden]);
        model.forward(&set.inputs(capturer, batch)?, &mut run)?;
        for layer in 0.. {
            let Some(hidden) = run.tensors.get(&Site::hidden(side, layer)) else {
                break;
            };
            let broken = |error: candle::Error| Error::Models(error.into());
            let (_, _, width) = hidden.dims3().map_err(broken)?;
            if layers.len() <= layer {
                layers.push(Array2::zeros((chosen.len(), width)));
            }
            for (row, &at) in batch.iter().enumerate() {
                let own: Vec<Vec<f32>> = hidden.get(row).and_then(|own| own.to_vec2()).map_err(broken)?;
                let first = chosen.partition_point(|&token| token < starts[at]);
                let tokens = chosen[first..]
                    .iter()
                    .take_while(|&&token| token < starts[at] + lengths[at]);
                for (place, &token) in tokens.enumerate() {
                    if let Some(state) = own.get(token - starts[at]) {
                        layers[layer]
                            .row_mut(first + place)
                            .assign(&attn_core::ndarray::aview1(state));
                    }
                }
            }
        }
    }
    Ok(layers)
}

impl LayerSimilarity {
    /// The table as a plot.
    pub fn plot(&self) -> HeatTable {
        let (rows, columns) = self.cka.dim();
        let names = |count: usize| (0..count).map(|layer| format!("{layer}")).collect::<Vec<_>>();
        let [before, after] = &self.names;
        HeatTable {
            title: "Similarity of layers".into(),
            subtitle: format!("linear CKA over {} tokens", self.tokens),
            caption: format!("Rows: states of {before}. Columns: states of {after}. 0 is the embeddings."),
            what: "CKA".into(),
            range: Some([0.0, 1.0]),
            ..HeatTable::new(
                names(rows),
                names(columns),
                self.cka.iter().map(|&value| value as f32).collect::<Vec<f32>>(),
            )
        }
    }
}
