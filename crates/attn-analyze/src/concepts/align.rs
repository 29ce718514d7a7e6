//! Alignment of clusters with labels, beside its chance level.
//!
//! The measure is that of latent concept analysis (Dalvi et al., *Discovering Latent Concepts Learned in BERT*, ICLR 2022;
//! Sajjad et al., *Analyzing Encoded Concepts in Transformer Language Models*, NAACL 2022): a cluster is aligned with a label
//! if at least a share `theta` of it has the label. `docs/CONCEPTS.md` lists how published scripts depart from it.

use std::collections::{BTreeMap, BTreeSet};

use attn_core::Progress;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{LabelSet, Partition, partition::same_points};
use crate::{
    Error, Rng,
    steps::{Steps, gather},
};

/// The unit that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlignRule {
    /// Occurrences of words, with the labels they have where they stand.
    Words {
        /// More than `theta`, not just as much.
        strict: bool,
        /// Clusters with a larger share of words without a label are aligned with nothing, 0 to 1. Words without a label
        /// count in the cluster's size in any case.
        #[serde(alias = "most_unlabelled")]
        most_unlabeled: f64,
    },
    /// Different spellings; a spelling has every label that any of its occurrences has.
    Types {
        /// Clusters need more different spellings than this.
        more_than: usize,
        /// Labels need at least so many different spellings.
        label_at_least: usize,
    },
}

impl AlignRule {
    /// The published rule on spellings: more than 5, labels with at least 6.
    pub const PUBLISHED_TYPES: Self = Self::Types {
        more_than: 5,
        label_at_least: 6,
    };
}

/// The unit whose labels are permuted for the chance level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permute {
    /// Labels change places between spellings: all occurrences of one take the labels of another's. Clusters of one
    /// word are then as uniform by chance as they were, so what is above chance is more than "the same word". The default.
    #[default]
    Types,
    /// Labels change places between occurrences.
    Words,
}

/// Settings of [`align`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlignParams {
    /// `theta`: the share of a cluster that must have the label, above 0 to 1. Default 0.9; published: 0.9 to 0.95.
    pub threshold: f64,
    /// Default: words, not strict, at most 0.4 without a label.
    pub rule: AlignRule,
    /// How often labels are permuted for the chance level. Default 20; 0 gives none.
    pub permutations: usize,
    /// Default: between spellings.
    pub permute: Permute,
    /// Same seed, same chance level. Default 0.
    pub seed: u64,
}

impl Default for AlignParams {
    fn default() -> Self {
        Self {
            threshold: 0.9,
            rule: AlignRule::Words {
                strict: false,
                most_unlabeled: 0.4,
            },
            permutations: 20,
            permute: Permute::Types,
            seed: 0,
        }
    }
}

impl AlignParams {
    pub(super) fn check(&self) -> Result<(), Error> {
        let setting = |name, expected: &str, found: f64| {
            Err(Error::Parameter {
                name,
                expected: expected.into(),
                found: found.to_string(),
            })
        };
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            return setting("threshold", "above 0, to 1", self.threshold);
        }
        match self.rule {
            AlignRule::Words { most_unlabeled, .. } if !(0.0..=1.0).contains(&most_unlabeled) => {
                setting("most_unlabeled", "0 to 1", most_unlabeled)
            }
            _ => Ok(()),
        }
    }
}

/// Mean and standard deviation over permuted labels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Chance {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub deviation: f64,
}

impl Chance {
    pub(super) fn of(values: impl Iterator<Item = f64> + Clone) -> Option<Self> {
        let count = values.clone().count() as f64;
        if count == 0.0 {
            return None;
        }
        let mean = values.clone().sum::<f64>() / count;
        let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        Some(Self {
            mean,
            deviation: variance.sqrt(),
        })
    }
}

/// A value beside its chance level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// The value.
    pub value: f64,
    /// The same for permuted labels; `None` without permutations.
    pub chance: Option<Chance>,
}

/// The best label of one cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BestLabel {
    /// The label with the largest share; of equally large ones the rarest, which says most.
    pub label: String,
    /// Its share of the cluster.
    pub share: f64,
    /// Whether the cluster is aligned with it.
    pub aligned: bool,
}

/// Alignment of clusters with one set of labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alignment {
    /// The label set's name.
    pub label_set: String,
    /// Share of the clusters that are aligned with a label.
    pub aligned: Against,
    /// Share of the labels that a cluster is aligned with.
    pub covered: Against,
    /// The mean of both: the overall score of the published work.
    pub score: Against,
    /// Clusters aligned with each label, of the labels that count; a cluster may be aligned with several labels of a set in
    /// which words have several.
    pub clusters: BTreeMap<String, Against>,
    /// Per cluster its best label; `None` where nothing in it has a label, or it is left out by the rule.
    pub best: Vec<Option<BestLabel>>,
}

/// Compares clusters with labels. `types` are the spellings of the points.
///
/// ```
/// use attn_analyze::concepts::{AlignParams, LabelSet, Partition, align};
///
/// let clusters = Partition::new(&[0, 0, 1, 1]);
/// let tags = LabelSet::new("tag", [vec!["NOUN"], vec!["NOUN"], vec!["NOUN"], vec!["VERB"]]);
/// let found = align(&clusters, &tags, &["cat", "dog", "walk", "walk"], &AlignParams::default(), &())?;
/// assert_eq!(found.aligned.value, 0.5); // the first cluster
/// assert_eq!(found.covered.value, 0.5); // NOUN, not VERB
/// assert_eq!(found.best[1].as_ref().unwrap().label, "VERB"); // half of it, as NOUN, but rarer
/// # Ok::<(), attn_analyze::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if the three are not of the same points, [`Error::Empty`] without points or labels,
/// [`Error::Parameter`], a cancellation.
pub fn align(
    partition: &Partition,
    labels: &LabelSet,
    types: &[&str],
    options: &AlignParams,
    progress: &dyn Progress,
) -> Result<Alignment, Error> {
    options.check()?;
    let points = partition.points();
    same_points(points, labels.of.len(), &labels.name)?;
    same_points(points, types.len(), "types")?;
    for (place, count) in [("points", points), (labels.name.as_str(), labels.labels.len())] {
        if count == 0 {
            return Err(Error::Empty {
                place: place.to_owned(),
                expected: "at least one".into(),
            });
        }
    }
    let judge = Judge::new(partition, types, labels.labels.len(), options);
    let of: Vec<&[usize]> = labels.of.iter().map(Vec::as_slice).collect();
    let found = judge.count(&of);
    let steps = Steps::new(progress, "chance level", options.permutations)?;
    let permuted: Vec<Result<Counted, Error>> = (0..options.permutations)
        .into_par_iter()
        .map(|round| {
            let mut rng = Rng::new(options.seed, &[round]);
            let counted = judge.count(&judge.permuted(&of, options.permute, &mut rng));
            steps.add()?;
            Ok(counted)
        })
        .collect();
    let permuted = gather(permuted)?;
    let against = |value: &dyn Fn(&Counted) -> f64| Against {
        value: value(&found),
        chance: Chance::of(permuted.iter().map(value)),
    };
    let clusters = (0..labels.labels.len())
        .filter(|&label| found.counts[label])
        .map(|label| {
            (
                labels.labels[label].clone(),
                against(&|counted: &Counted| counted.clusters[label] as f64),
            )
        })
        .collect();
    let best = found.best.iter().map(|best| {
        best.map(|(label, share, aligned)| BestLabel {
            label: labels.labels[label].clone(),
            share,
            aligned,
        })
    });
    Ok(Alignment {
        label_set: labels.name.clone(),
        aligned: against(&Counted::aligned),
        covered: against(&Counted::covered),
        score: against(&|counted: &Counted| 0.5 * (counted.aligned() + counted.covered())),
        clusters,
        best: best.collect(),
    })
}

/// Counts for one set of labels.
struct Counted {
    /// Per cluster: label, share, whether it is aligned.
    best: Vec<Option<(usize, f64, bool)>>,
    /// Per label: clusters aligned with it.
    clusters: Vec<usize>,
    /// Per label: whether it counts.
    counts: Vec<bool>,
}

impl Counted {
    fn aligned(&self) -> f64 {
        let aligned = self.best.iter().flatten().filter(|(_, _, aligned)| *aligned).count();
        aligned as f64 / self.best.len().max(1) as f64
    }

    fn covered(&self) -> f64 {
        let all = self.counts.iter().filter(|&&counts| counts).count();
        let covered = self.clusters.iter().filter(|&&clusters| clusters > 0).count();
        covered as f64 / all.max(1) as f64
    }
}

struct Judge<'a> {
    options: &'a AlignParams,
    members: Vec<Vec<usize>>,
    /// Per point the number of its spelling.
    types: Vec<usize>,
    /// Per spelling its points.
    of_type: Vec<Vec<usize>>,
    labels: usize,
}

impl<'a> Judge<'a> {
    fn new(partition: &Partition, types: &[&str], labels: usize, options: &'a AlignParams) -> Self {
        let numbers: BTreeMap<&str, usize> = types
            .iter()
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .enumerate()
            .map(|(at, word)| (word, at))
            .collect();
        let types: Vec<usize> = types.iter().map(|word| numbers[word]).collect();
        let mut of_type = vec![Vec::new(); numbers.len()];
        for (point, &word) in types.iter().enumerate() {
            of_type[word].push(point);
        }
        Self {
            options,
            members: partition.members(),
            types,
            of_type,
            labels,
        }
    }

    fn permuted<'l>(&self, of: &[&'l [usize]], permute: Permute, rng: &mut Rng) -> Vec<&'l [usize]> {
        match permute {
            Permute::Words => {
                let mut of = of.to_vec();
                rng.shuffle(&mut of);
                of
            }
            Permute::Types => {
                let mut sources: Vec<usize> = (0..self.of_type.len()).collect();
                rng.shuffle(&mut sources);
                let mut permuted: Vec<&[usize]> = vec![&[]; of.len()];
                for (points, source) in self.of_type.iter().zip(sources) {
                    let from = &self.of_type[source];
                    for (at, &point) in points.iter().enumerate() {
                        permuted[point] = of[from[at % from.len()]];
                    }
                }
                permuted
            }
        }
    }

    fn count(&self, of: &[&[usize]]) -> Counted {
        match self.options.rule {
            AlignRule::Words { strict, most_unlabeled } => {
                let mut sizes = vec![0; self.labels];
                of.iter().copied().flatten().for_each(|&label| sizes[label] += 1);
                let shares = |members: &Vec<usize>| {
                    let unlabeled = members.iter().filter(|&&point| of[point].is_empty()).count();
                    if unlabeled as f64 > most_unlabeled * members.len() as f64 {
                        return None;
                    }
                    Some((members.len(), tally(members.iter().flat_map(|&point| of[point]))))
                };
                self.judge(shares, &sizes, strict, 1)
            }
            AlignRule::Types {
                more_than,
                label_at_least,
            } => {
                let mut of_type: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); self.of_type.len()];
                for (point, labels) in of.iter().enumerate() {
                    of_type[self.types[point]].extend(labels.iter());
                }
                let mut sizes = vec![0; self.labels];
                of_type.iter().flatten().for_each(|&label| sizes[label] += 1);
                let shares = |members: &Vec<usize>| {
                    let types: BTreeSet<usize> = members.iter().map(|&point| self.types[point]).collect();
                    if types.len() <= more_than {
                        return None;
                    }
                    Some((types.len(), tally(types.iter().flat_map(|&word| &of_type[word]))))
                };
                self.judge(shares, &sizes, false, label_at_least.max(1))
            }
        }
    }

    /// Judges every cluster by its size and how much of it has each label.
    fn judge(
        &self,
        shares: impl Fn(&Vec<usize>) -> Option<(usize, BTreeMap<usize, usize>)>,
        sizes: &[usize],
        strict: bool,
        label_at_least: usize,
    ) -> Counted {
        let counts: Vec<bool> = sizes.iter().map(|&size| size >= label_at_least).collect();
        let mut clusters = vec![0; self.labels];
        let mut best = Vec::with_capacity(self.members.len());
        for members in &self.members {
            let mut found: Option<(usize, f64, bool)> = None;
            if let Some((size, tally)) = shares(members) {
                for (label, count) in tally.into_iter().filter(|&(label, _)| counts[label]) {
                    let share = count as f64 / size as f64;
                    // 9 of 10 is 0.9, whatever the rounding.
                    let (share, limit) = (share, self.options.threshold);
                    let enough = if strict {
                        share > limit + 1e-12
                    } else {
                        share >= limit - 1e-12
                    };
                    clusters[label] += usize::from(enough);
                    let better = found
                        .is_none_or(|(other, most, _)| share > most || (share == most && sizes[label] < sizes[other]));
                    if better {
                        found = Some((label, share, enough));
                    }
                }
            }
            best.push(found);
        }
        Counted { best, clusters, counts }
    }
}

fn tally<'a>(labels: impl Iterator<Item = &'a usize>) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    labels.for_each(|&label| *counts.entry(label).or_default() += 1);
    counts
}
