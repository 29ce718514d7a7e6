//! Every score of every head beside each other: first order, and measured.

use std::collections::BTreeMap;

use attn_core::{HeadId, Progress, Rng};
use attn_models::{
    Capturer,
    attribute::{Examples, HeadGradients, HeadGrid, head_gradients, taylor_importance},
};
use attn_project::head::spearman;
use serde::{Deserialize, Serialize};

use super::{Ablate, Evaluation, LabeledSet, Measured, PruningParams, measure};
use crate::Error;

/// A score of heads. All are about the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Score {
    /// `sum (g w)^2` over the parameters of the head, with the gradient of the mean loss (Li et al. 2021).
    Taylor,
    /// Mean over examples of the absolute gradient of the head's mask (Michel et al. 2019).
    Michel,
    /// The same, each layer divided by its Euclidean length.
    MichelLayer,
    /// Measured: the increase of the mean loss with zeros for the head's output.
    AblationZero,
    /// Measured: the same with the mean of the head's output over the set.
    AblationMean,
}

impl Score {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Taylor,
        Self::Michel,
        Self::MichelLayer,
        Self::AblationZero,
        Self::AblationMean,
    ];

    /// The name in files: `taylor`, `michel`, `michel_layer`, `ablation_zero`, `ablation_mean`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Taylor => "taylor",
            Self::Michel => "michel",
            Self::MichelLayer => "michel_layer",
            Self::AblationZero => "ablation_zero",
            Self::AblationMean => "ablation_mean",
        }
    }

    /// The name for readers.
    pub fn title(self) -> &'static str {
        match self {
            Self::Taylor => "Taylor expansion",
            Self::Michel => "head-mask gradient",
            Self::MichelLayer => "head-mask gradient, by layer",
            Self::AblationZero => "ablation to zero",
            Self::AblationMean => "ablation to the mean",
        }
    }
}

/// How alike two scores order the heads.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RankCorrelation {
    /// The scores.
    pub scores: [Score; 2],
    /// Spearman's coefficient over all heads; `None` where it is not defined.
    pub spearman: Option<f64>,
}

/// The scores of all heads over a set.
#[derive(Debug, Clone)]
pub struct Importance {
    /// The heads, in the order of the model.
    pub heads: Vec<HeadId>,
    /// A value per head, by score; a score that could not be had is not there, and `notes` say why.
    pub scores: BTreeMap<Score, Vec<f64>>,
    /// The model with all heads.
    pub whole: Evaluation,
    /// Each head ablated to zero, and to its mean.
    pub measured: [Measured; 2],
    /// Per example the gradient of every head's mask, signed: to first order, minus the increase of its loss without the head.
    pub gradients: Vec<Vec<f64>>,
    /// Per score Spearman's coefficient between halves of the set, the mean over splits; not for scores of whole sets.
    pub stability: BTreeMap<Score, f64>,
    /// What is missing, a sentence each.
    pub notes: Vec<String>,
}

/// Scores every head over a set by each way.
///
/// The Taylor expansion is left out for families that do not give the maps of their heads.
///
/// # Errors
/// Those of [`measure`](super::measure) and of [`head_gradients`]; cancellation.
pub fn importance(
    capturer: &Capturer,
    set: &LabeledSet,
    params: &PruningParams,
    progress: &dyn Progress,
) -> Result<Importance, Error> {
    let model = capturer.model();
    let heads: Vec<HeadId> = model.info().heads().collect();
    let mut notes = set.notes().to_vec();
    let batches = losses(capturer, set, params)?;
    let found = head_gradients(model, &batches, progress)?;
    let mut gradients = vec![Vec::new(); set.len()];
    let places = set.batches(params.batch_tokens).into_iter().flatten();
    for ((_, grids), at) in found.examples.iter().zip(places) {
        gradients[at] = flat(&heads, grids);
    }
    let mut scores = BTreeMap::new();
    let grids = found.importance();
    scores.insert(Score::Michel, flat(&heads, &grids));
    let by_layer: Vec<HeadGrid> = grids.iter().map(HeadGrid::normalized_by_layer).collect();
    scores.insert(Score::MichelLayer, flat(&heads, &by_layer));
    match taylor_importance(model, &batches, progress) {
        Ok(grids) => {
            scores.insert(Score::Taylor, flat(&heads, &grids));
        }
        Err(error) if error.is_cancelled() => return Err(error.into()),
        Err(error) => notes.push(format!("no Taylor expansion: {error}")),
    }
    let none = std::collections::BTreeSet::new();
    let measured = [Ablate::Zero, Ablate::Mean].map(|ablate| measure(capturer, set, ablate, &none, params, progress));
    let [zero, mean] = measured;
    let measured = [zero?, mean?];
    scores.insert(Score::AblationZero, measured[0].loss_increase());
    scores.insert(Score::AblationMean, measured[1].loss_increase());
    let mut importance = Importance {
        heads,
        scores,
        whole: measured[0].whole.clone(),
        measured,
        gradients,
        stability: BTreeMap::new(),
        notes,
    };
    importance.stability = importance.halves(capturer, set, params, progress)?;
    Ok(importance)
}

impl Importance {
    /// The values of a score, one per head.
    pub fn score(&self, score: Score) -> Option<&[f64]> {
        self.scores.get(&score).map(Vec::as_slice)
    }

    /// The heads from the least important to the most important by a score; of equals the model's order.
    pub fn order(&self, score: Score) -> Option<Vec<HeadId>> {
        let values = self.score(score)?;
        let mut order: Vec<usize> = (0..self.heads.len().min(values.len())).collect();
        order.sort_by(|&a, &b| values[a].total_cmp(&values[b]).then(a.cmp(&b)));
        Some(order.into_iter().map(|at| self.heads[at]).collect())
    }

    /// Spearman's coefficient of every pair of scores.
    pub fn correlations(&self) -> Vec<RankCorrelation> {
        let scores: Vec<_> = self.scores.iter().collect();
        let mut pairs = Vec::new();
        for (at, &(a, left)) in scores.iter().enumerate() {
            for &(b, right) in &scores[at + 1..] {
                pairs.push(RankCorrelation {
                    scores: [*a, *b],
                    spearman: spearman(left, right),
                });
            }
        }
        pairs
    }

    /// Spearman's coefficient of two scores; `None` where one is not there or it is not defined.
    pub fn correlation(&self, a: Score, b: Score) -> Option<f64> {
        spearman(self.score(a)?, self.score(b)?)
    }

    /// The absolute gradient of every head's mask for one example, and the increase of its loss without each head (zeros).
    pub fn of_example(&self, example: usize) -> Option<(Vec<f64>, Vec<f64>)> {
        let gradients = self.gradients.get(example)?;
        let absolute = gradients.iter().map(|gradient| gradient.abs()).collect();
        Some((absolute, self.measured[0].of_example(example)?))
    }

    /// How alike the halves of the set order the heads.
    fn halves(
        &self,
        capturer: &Capturer,
        set: &LabeledSet,
        params: &PruningParams,
        progress: &dyn Progress,
    ) -> Result<BTreeMap<Score, f64>, Error> {
        let mut sums: BTreeMap<Score, (f64, usize)> = BTreeMap::new();
        if set.len() < 2 {
            return Ok(BTreeMap::new());
        }
        for split in 0..params.splits {
            let order = Rng::new(params.seed, &[4, split]).permutation(set.len());
            let (left, right) = order.split_at(set.len() / 2);
            let mut halves = [left, right].map(|places| {
                let michel: Vec<f64> = (0..self.heads.len())
                    .map(|head| {
                        let own = places.iter().filter_map(|&at| self.gradients.get(at)?.get(head));
                        own.map(|gradient| gradient.abs()).sum::<f64>() / places.len().max(1) as f64
                    })
                    .collect();
                let [zero, mean] = &self.measured;
                BTreeMap::from([
                    (Score::MichelLayer, self.by_layer(&michel)),
                    (Score::Michel, michel),
                    (Score::AblationZero, zero.over(places)),
                    (Score::AblationMean, mean.over(places)),
                ])
            });
            // The sum of squares is of the mean gradient, which has to be taken anew: once, for it takes long.
            if split == 0 && self.scores.contains_key(&Score::Taylor) {
                for (half, places) in halves.iter_mut().zip([left, right]) {
                    let part = set.subset(places);
                    let grids = taylor_importance(capturer.model(), &losses(capturer, &part, params)?, progress)?;
                    half.insert(Score::Taylor, flat(&self.heads, &grids));
                }
            }
            let [left, right] = halves;
            for (score, left) in left {
                if let Some(rho) = right.get(&score).and_then(|right| spearman(&left, right)) {
                    let sum = sums.entry(score).or_default();
                    *sum = (sum.0 + rho, sum.1 + 1);
                }
            }
        }
        Ok(sums
            .into_iter()
            .map(|(score, (sum, count))| (score, sum / count as f64))
            .collect())
    }

    /// Values of heads, each layer divided by its Euclidean length.
    fn by_layer(&self, values: &[f64]) -> Vec<f64> {
        let layer = |head: &HeadId| (head.attention, head.layer);
        let mut squares = BTreeMap::<_, f64>::new();
        for (head, value) in self.heads.iter().zip(values) {
            *squares.entry(layer(head)).or_default() += value * value;
        }
        let length = |head: &HeadId| squares.get(&layer(head)).copied().unwrap_or(0.0).sqrt();
        let divided = self.heads.iter().zip(values).map(|(head, value)| match length(head) {
            0.0 => *value,
            length => value / length,
        });
        divided.collect()
    }
}

/// All batches of a set with their losses as targets.
fn losses(capturer: &Capturer, set: &LabeledSet, params: &PruningParams) -> Result<Vec<Examples>, Error> {
    let batches = set.batches(params.batch_tokens);
    batches.iter().map(|batch| set.losses(capturer, batch)).collect()
}

/// Grids as one value per head, in the order of the model.
pub(super) fn flat(heads: &[HeadId], grids: &[HeadGrid]) -> Vec<f64> {
    let value = |head: &HeadId| grids.iter().find_map(|grid| grid.get(*head)).unwrap_or(0.0);
    heads.iter().map(|head| f64::from(value(head))).collect()
}
