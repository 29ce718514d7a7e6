//! Alignment over numbers of clusters and thresholds: one tree holds them all, so nobody has to believe in one choice.

use attn_core::{Progress, progress::step};
use serde::{Deserialize, Serialize};

use super::{
    Against, AlignParams, Dendrogram, LabelSet, Units,
    align::{Chance, Judge, reaches},
};
use crate::Error;

/// Thresholds that are tried.
const THRESHOLDS: [f64; 6] = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95];
/// What still counts as the height of the plateau: so much of the largest excess over chance.
const NEAR: f64 = 0.8;

/// Alignment of the clusters of one tree with one label set, over numbers of clusters and thresholds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// Name of the label set.
    pub label_set: String,
    /// Numbers of clusters, ascending.
    pub clusters: Vec<usize>,
    /// Thresholds, ascending.
    pub thresholds: Vec<f64>,
    /// Per number of clusters, the share of them that are one word.
    pub one_word: Vec<f64>,
    /// Per number of clusters, those that were judged.
    pub judged: Vec<usize>,
    /// Per number of clusters and threshold, the share of the judged ones that are aligned.
    pub aligned: Vec<Vec<Against>>,
}

/// A stretch of numbers of clusters over which a finding holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// The threshold.
    pub threshold: f64,
    /// The smallest and the largest number of clusters.
    pub clusters: (usize, usize),
    /// The smallest and the largest excess of the aligned share over its chance level there.
    pub excess: (f64, f64),
    /// Clusters that were judged at the smallest and at the largest number.
    pub judged: (usize, usize),
    /// Whether it ends because fewer, and because more clusters were not tried: then it may go on.
    pub open: (bool, bool),
}

impl Plateau {
    /// Its numbers of clusters in words, with those that were judged, and where it ends with what was tried.
    ///
    /// ```
    /// use attn_analyze::concepts::Plateau;
    ///
    /// let plateau = Plateau {
    ///     threshold: 0.9, clusters: (50, 200), excess: (0.2, 0.25), judged: (48, 120), open: (false, true),
    /// };
    /// assert_eq!(plateau.numbers(), "50 to 200, the most that were tried (48 to 120 judged)");
    /// ```
    pub fn numbers(&self) -> String {
        let ((first, last), (judged, judged_last)) = (self.clusters, self.judged);
        if first == last {
            let end = match self.open {
                (true, true) => ", the only one that was tried",
                (true, false) => ", the fewest that were tried",
                (false, true) => ", the most that were tried",
                (false, false) => "",
            };
            return format!("{last}{end} ({judged} judged)");
        }
        let fewest = if self.open.0 {
            ", the fewest that were tried,"
        } else {
            ""
        };
        let most = if self.open.1 { ", the most that were tried" } else { "" };
        format!("{first}{fewest} to {last}{most} ({judged} to {judged_last} judged)")
    }
}

/// Numbers of clusters that are worth a try for so many points: 10, 20, 50, 100, ..., up to a tenth of the points.
pub fn sweep_counts(points: usize) -> Vec<usize> {
    let decades = (1..8).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_usize.pow(power)));
    let counts: Vec<usize> = decades.take_while(|&count| count <= points / 10).collect();
    if counts.is_empty() {
        return vec![points.clamp(1, 2)];
    }
    counts
}

/// Aligns every cut of a tree at every threshold. Clusters with fewer different words than [`AlignParams::min_words`] are left out,
/// and counted.
///
/// # Errors
/// As [`align`](super::align), and those of [`Dendrogram::cut`].
pub fn sweep(
    tree: &Dendrogram,
    labels: &LabelSet,
    units: &Units,
    clusters: &[usize],
    params: &AlignParams,
    progress: &dyn Progress,
) -> Result<Sweep, Error> {
    let mut found = Sweep {
        label_set: labels.name.clone(),
        clusters: clusters.to_vec(),
        thresholds: THRESHOLDS.to_vec(),
        ..Sweep::default()
    };
    for (at, &count) in clusters.iter().enumerate() {
        step(progress, "numbers of clusters", at, clusters.len())?;
        let partition = tree.cut(count)?;
        let judge = Judge::new(&partition, labels, units, params)?;
        let strict = matches!(params.rule, super::AlignRule::Words { strict: true, .. });
        let judged = judge.of_kind(|words| words >= params.min_words);
        let figure = |of: &[&[usize]]| {
            let counted = judge.count(of);
            let shares: Vec<f64> = judged.iter().filter_map(|&at| Some(counted.best[at]?.share)).collect();
            THRESHOLDS.map(|threshold| {
                let aligned = shares.iter().filter(|&&share| reaches(share, threshold, strict));
                aligned.count() as f64 / judged.len().max(1) as f64
            })
        };
        let of = judge.given(labels);
        let values = figure(&of);
        let chance = judge.by_chance(&of, params.permutations, progress, figure)?;
        let against = |at: usize| Against {
            value: values[at],
            chance: Chance::of(chance.iter().map(|round| round[at])),
        };
        found.aligned.push((0..THRESHOLDS.len()).map(against).collect());
        found.judged.push(judged.len());
        let one_word = judge.of_kind(|words| words == 1).len();
        found.one_word.push(one_word as f64 / count as f64);
    }
    step(progress, "numbers of clusters", clusters.len(), clusters.len())?;
    Ok(found)
}

impl Sweep {
    /// How far the aligned share is above its chance level, per number of clusters and threshold; the share itself without
    /// permutations.
    pub fn excess(&self) -> Vec<Vec<f64>> {
        let excess = |cell: &Against| cell.value - cell.chance.map_or(0.0, |chance| chance.mean);
        self.aligned
            .iter()
            .map(|row| row.iter().map(excess).collect())
            .collect()
    }

    /// The longest stretch of numbers of clusters around the largest excess of a threshold in which the excess stays at 80 % of it or
    /// more: where the choice of a number does not make the finding. `None` if nothing is above chance, or for a threshold that
    /// was not tried.
    pub fn plateau(&self, threshold: f64) -> Option<Plateau> {
        let column = self
            .thresholds
            .iter()
            .position(|other| (other - threshold).abs() < 1e-9)?;
        let excess: Vec<f64> = self.excess().iter().map(|row| row[column]).collect();
        let peak = (0..excess.len()).max_by(|&a, &b| excess[a].total_cmp(&excess[b]).then(b.cmp(&a)))?;
        let limit = NEAR * excess[peak];
        if excess[peak] <= 0.0 {
            return None;
        }
        let below = excess[..peak]
            .iter()
            .rev()
            .take_while(|&&excess| excess >= limit)
            .count();
        let above = excess[peak..].iter().take_while(|&&excess| excess >= limit).count();
        let (first, last) = (peak - below, peak + above - 1);
        let inside = &excess[first..=last];
        Some(Plateau {
            threshold: self.thresholds[column],
            clusters: (self.clusters[first], self.clusters[last]),
            excess: (inside.iter().copied().fold(f64::INFINITY, f64::min), excess[peak]),
            judged: (self.judged[first], self.judged[last]),
            open: (first == 0, last + 1 == self.clusters.len()),
        })
    }
}
