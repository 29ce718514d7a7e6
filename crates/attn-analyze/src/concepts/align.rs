//! Alignment of clusters with labels, beside its chance level.
//!
//! The measure is that of latent concept analysis (Dalvi et al., *Discovering Latent Concepts Learned in BERT*, ICLR 2022;
//! Sajjad et al., *Analyzing Encoded Concepts in Transformer Language Models*, NAACL 2022): a cluster is aligned with a label
//! if at least a share `theta` of it has the label. `docs/CONCEPTS.md` lists how published scripts depart from it.

use std::collections::{BTreeMap, BTreeSet};

use attn_core::Progress;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{LabelSet, LabelSource, Partition, Units, partition::same_points, units::groups};
use crate::{
    Error, Rng,
    steps::{Steps, gather},
};

/// The unit that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
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

/// The unit whose labels are permuted for the chance level. Labels of a set that belong to sentences
/// ([`LabelSource::Sentences`]) change places between sentences in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permute {
    /// Labels change places between words as the model reads them: all occurrences with the same tokens take the labels of
    /// another word's. Clusters of one word are then as uniform by chance as they were, so what is above chance is more than
    /// "the same word". To a model without case, `The` and `the` are one word. The default.
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
    /// Clusters with fewer different words (up to case) are not judged: [`Alignment::aligned`] and all that comes from it are about
    /// the others. Default 2: a cluster of one word says that the layer knows the word, and would drown the rest. Published
    /// figures are for 1, or with the rule of spellings.
    pub min_words: usize,
    /// How often labels are permuted for the chance level. Default 20; 0 gives none.
    pub permutations: usize,
    /// Default: between words as the model reads them.
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
            min_words: 2,
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
    /// The share divided by the share of the label among all points: 1 says nothing about the cluster.
    #[serde(default)]
    pub lift: f64,
    /// Whether the cluster is aligned with it.
    pub aligned: bool,
}

/// The clusters that are one word in several occurrences.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OneWord {
    /// How many there are.
    pub clusters: usize,
    /// Share of them that are aligned with a label; 0 if there are none.
    pub aligned: Against,
}

/// Alignment of clusters with one set of labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alignment {
    /// The label set's name.
    pub label_set: String,
    /// Clusters that were judged: those with at least [`AlignParams::min_words`] different words.
    pub judged: usize,
    /// Share of the judged clusters that are aligned with a label; 0 if there are none.
    pub aligned: Against,
    /// Share of the labels that a judged cluster is aligned with.
    pub covered: Against,
    /// Clusters of one word, and how many of them are aligned: apart, since a word mostly has one tag in any layer.
    pub one_word: OneWord,
    /// The mean of aligned and covered: the overall score of the published work.
    pub score: Against,
    /// Judged clusters aligned with each label, of the labels that count; a cluster may be aligned with several labels of a set in
    /// which words have several.
    pub clusters: BTreeMap<String, Against>,
    /// Per cluster its best label; `None` where nothing in it has a label, or it is left out by the rule.
    pub best: Vec<Option<BestLabel>>,
}

/// Compares clusters with labels. `units` say which points are the same word.
///
/// ```
/// use attn_analyze::concepts::{AlignParams, LabelSet, Partition, Units, align};
///
/// let clusters = Partition::new(&[0, 0, 1, 1, 2, 2]);
/// let tags = LabelSet::new("tag", ["NOUN", "NOUN", "NOUN", "VERB", "VERB", "VERB"].map(|tag| vec![tag]));
/// let units = Units::of_types(&["cat", "dog", "walk", "sleep", "is", "Is"]);
/// let found = align(&clusters, &tags, &units, &AlignParams::default(), &())?;
/// assert_eq!((found.judged, found.aligned.value), (2, 0.5)); // the first of the clusters of several words
/// assert_eq!((found.one_word.clusters, found.one_word.aligned.value), (1, 1.0)); // is
/// assert_eq!(found.covered.value, 0.5); // NOUN, not VERB
/// let best = found.best[0].as_ref().unwrap();
/// assert_eq!((best.label.as_str(), best.share, best.lift), ("NOUN", 1.0, 2.0));
/// # Ok::<(), attn_analyze::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if the three are not of the same points, [`Error::Empty`] without points or labels,
/// [`Error::Parameter`], a cancellation.
pub fn align(
    partition: &Partition,
    labels: &LabelSet,
    units: &Units,
    options: &AlignParams,
    progress: &dyn Progress,
) -> Result<Alignment, Error> {
    let judge = Judge::new(partition, labels, units, options)?;
    let of = judge.given(labels);
    let found = judge.count(&of);
    let permuted = judge.by_chance(&of, options.permutations, progress, |of| judge.count(of))?;
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
        best.map(
            |Best {
                 label,
                 share,
                 lift,
                 aligned,
             }| BestLabel {
                label: labels.labels[label].clone(),
                share,
                lift,
                aligned,
            },
        )
    });
    let judged = judge.of_kind(|words| words >= options.min_words);
    let one_word = judge.of_kind(|words| words == 1);
    Ok(Alignment {
        label_set: labels.name.clone(),
        judged: judged.len(),
        aligned: against(&|counted: &Counted| counted.aligned(&judged)),
        covered: against(&Counted::covered),
        score: against(&|counted: &Counted| 0.5 * (counted.aligned(&judged) + counted.covered())),
        one_word: OneWord {
            clusters: one_word.len(),
            aligned: against(&|counted: &Counted| counted.aligned(&one_word)),
        },
        clusters,
        best: best.collect(),
    })
}

/// The best label of a cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Best {
    label: usize,
    pub(super) share: f64,
    lift: f64,
    aligned: bool,
}

/// Counts for one set of labels.
pub(super) struct Counted {
    /// By cluster.
    pub(super) best: Vec<Option<Best>>,
    /// Per label: judged clusters aligned with it.
    clusters: Vec<usize>,
    /// Per label: whether it counts.
    counts: Vec<bool>,
}

impl Counted {
    fn aligned(&self, clusters: &[usize]) -> f64 {
        let best = clusters.iter().filter_map(|&cluster| self.best[cluster]);
        best.filter(|best| best.aligned).count() as f64 / clusters.len().max(1) as f64
    }

    fn covered(&self) -> f64 {
        let all = self.counts.iter().filter(|&&counts| counts).count();
        let covered = self.clusters.iter().filter(|&&clusters| clusters > 0).count();
        covered as f64 / all.max(1) as f64
    }
}

/// Counts labels in the clusters of a partition.
pub(super) struct Judge<'a> {
    options: &'a AlignParams,
    members: Vec<Vec<usize>>,
    /// By cluster, its different words.
    words: Vec<usize>,
    /// By point, the number of its spelling.
    types: &'a [usize],
    /// The points of each unit that labels change places between; none where all do.
    groups: Vec<Vec<usize>>,
    labels: usize,
}

impl<'a> Judge<'a> {
    /// Checks settings and shapes.
    pub(super) fn new(
        partition: &Partition,
        labels: &LabelSet,
        units: &'a Units,
        options: &'a AlignParams,
    ) -> Result<Self, Error> {
        options.check()?;
        let points = partition.points();
        same_points(points, labels.of.len(), &labels.name)?;
        same_points(points, units.points(), "units")?;
        for (place, count) in [("points", points), (labels.name.as_str(), labels.labels.len())] {
            if count == 0 {
                return Err(Error::Empty {
                    place: place.to_owned(),
                    expected: "at least one".into(),
                });
            }
        }
        Ok(Self {
            options,
            members: partition.members(),
            words: units.words_in(partition),
            types: &units.types,
            groups: match options.permute {
                _ if labels.source == LabelSource::Sentences => groups(&units.sentences),
                Permute::Types => groups(&units.inputs),
                Permute::Words => Vec::new(),
            },
            labels: labels.labels.len(),
        })
    }

    /// The labels of each point.
    pub(super) fn given<'l>(&self, labels: &'l LabelSet) -> Vec<&'l [usize]> {
        labels.of.iter().map(Vec::as_slice).collect()
    }

    /// The clusters whose number of different words is of a kind.
    pub(super) fn of_kind(&self, kind: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..self.words.len())
            .filter(|&cluster| kind(self.words[cluster]))
            .collect()
    }

    /// A figure of permuted labels, several times.
    pub(super) fn by_chance<T: Send>(
        &self,
        of: &[&[usize]],
        permutations: usize,
        progress: &dyn Progress,
        figure: impl Fn(&[&[usize]]) -> T + Sync,
    ) -> Result<Vec<T>, Error> {
        let steps = Steps::new(progress, "chance level", permutations)?;
        let rounds = (0..permutations).into_par_iter().map(|round| {
            let mut rng = Rng::new(self.options.seed, &[round]);
            let found = figure(&self.permuted(of, &mut rng));
            steps.add()?;
            Ok(found)
        });
        let rounds: Vec<Result<T, Error>> = rounds.collect();
        gather(rounds)
    }

    fn permuted<'l>(&self, of: &[&'l [usize]], rng: &mut Rng) -> Vec<&'l [usize]> {
        if self.groups.is_empty() {
            let mut of = of.to_vec();
            rng.shuffle(&mut of);
            return of;
        }
        let mut sources: Vec<usize> = (0..self.groups.len()).collect();
        rng.shuffle(&mut sources);
        let mut permuted: Vec<&[usize]> = vec![&[]; of.len()];
        for (points, source) in self.groups.iter().zip(sources) {
            let from = &self.groups[source];
            for (at, &point) in points.iter().enumerate() {
                permuted[point] = of[from[at % from.len()]];
            }
        }
        permuted
    }

    pub(super) fn count(&self, of: &[&[usize]]) -> Counted {
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
                self.judge(shares, &sizes, of.len(), strict, 1)
            }
            AlignRule::Types {
                more_than,
                label_at_least,
            } => {
                let count = self.types.iter().max().map_or(0, |most| most + 1);
                let mut of_type: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); count];
                for (&word, labels) in self.types.iter().zip(of) {
                    of_type[word].extend(labels.iter());
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
                self.judge(shares, &sizes, count, false, label_at_least.max(1))
            }
        }
    }

    /// Judges every cluster by its size and how much of it has each label. `sizes` are those of labels, among `all`.
    fn judge(
        &self,
        shares: impl Fn(&Vec<usize>) -> Option<(usize, BTreeMap<usize, usize>)>,
        sizes: &[usize],
        all: usize,
        strict: bool,
        label_at_least: usize,
    ) -> Counted {
        let counts: Vec<bool> = sizes.iter().map(|&size| size >= label_at_least).collect();
        let mut clusters = vec![0; self.labels];
        let mut best = Vec::with_capacity(self.members.len());
        for (members, &words) in self.members.iter().zip(&self.words) {
            let judged = words >= self.options.min_words;
            let mut found: Option<Best> = None;
            if let Some((size, tally)) = shares(members) {
                for (label, count) in tally.into_iter().filter(|&(label, _)| counts[label]) {
                    let share = count as f64 / size as f64;
                    let aligned = reaches(share, self.options.threshold, strict);
                    clusters[label] += usize::from(aligned && judged);
                    let better = found.is_none_or(|other| {
                        share > other.share || (share == other.share && sizes[label] < sizes[other.label])
                    });
                    if better {
                        let lift = share * all as f64 / sizes[label].max(1) as f64;
                        found = Some(Best {
                            label,
                            share,
                            lift,
                            aligned,
                        });
                    }
                }
            }
            best.push(found);
        }
        Counted { best, clusters, counts }
    }
}

/// Whether a share is enough. 9 of 10 is 0.9, whatever the rounding.
pub(super) fn reaches(share: f64, threshold: f64, strict: bool) -> bool {
    if strict {
        share > threshold + 1e-12
    } else {
        share >= threshold - 1e-12
    }
}

fn tally<'a>(labels: impl Iterator<Item = &'a usize>) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    labels.for_each(|&label| *counts.entry(label).or_default() += 1);
    counts
}
