//! Names of clusters, from their words alone: a label or letters that nearly all share, or typical words.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{LabelSet, Partition, align::Alignment, labels::CASING, partition::same_points};
use crate::Error;

/// Labels that are hardly more frequent in a cluster than elsewhere do not name it.
const LIFT: f64 = 1.5;

/// Origin of a [`ClusterName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NameKind {
    /// A [`Namer`] gave it.
    External,
    /// One word, in several occurrences.
    Word,
    /// A label of one of the sets.
    Label,
    /// An ending, a beginning or a stretch of letters.
    Letters,
    /// The most frequent words, when nothing else fits.
    Typical,
}

/// A name for a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterName {
    /// The name: `upos NOUN: cat, dog`, `suffix -ing`, `the`, `cat, dog, horse`.
    pub text: String,
    /// Its origin.
    pub kind: NameKind,
    /// The share of the cluster's words it holds for; 0 for the names of a [`Namer`], which does not say.
    pub share: f64,
}

/// A cluster, as a [`Namer`] sees it.
#[derive(Debug, Clone)]
pub struct ClusterSummary<'a> {
    /// The cluster's number.
    pub cluster: usize,
    /// Its spellings with their occurrences, most frequent first.
    pub words: Vec<(&'a str, usize)>,
    /// The points, for a namer that wants to see them in their sentences.
    pub points: Vec<usize>,
}

/// A source of names: an annotator, a table, a language model.
pub trait Namer {
    /// A name, or `None` to leave it to the rules.
    ///
    /// # Errors
    /// Whatever the namer cannot do; it ends the naming.
    fn name(&self, cluster: &ClusterSummary<'_>) -> Result<Option<String>, Error>;
}

/// A name for every cluster.
///
/// In this order: what `namer` says; a single word; the best label of an aligned cluster, `alignments` in the order given, where the
/// label is at least 1.5 times as frequent in the cluster as among all points (a label of nearly all words says nothing),
/// and never casing alone; letters that at least `threshold` of two or more different words share, the longest of suffix, prefix, stretch; else the
/// three most frequent words.
///
/// ```
/// use attn_analyze::concepts::{Partition, name_clusters};
///
/// let clusters = Partition::new(&[0, 0, 1, 1, 1, 2, 2]);
/// let words = ["the", "the", "walking", "singing", "talking", "cat", "blue"];
/// let names = name_clusters(&clusters, &words, &[], 0.9, None)?;
/// let texts: Vec<_> = names.iter().map(|name| name.text.as_str()).collect();
/// assert_eq!(texts, ["the", "suffix -ing", "blue, cat"]);
/// # Ok::<(), attn_analyze::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if the spellings or an alignment are of other clusters, and what the namer gives.
pub fn name_clusters(
    partition: &Partition,
    types: &[&str],
    alignments: &[Alignment],
    threshold: f64,
    namer: Option<&dyn Namer>,
) -> Result<Vec<ClusterName>, Error> {
    same_points(partition.points(), types.len(), "types")?;
    for alignment in alignments {
        if alignment.best.len() != partition.count() {
            return Err(Error::Shape {
                place: format!("alignment with {}", alignment.label_set),
                expected: format!("{} clusters", partition.count()),
                found: alignment.best.len().to_string(),
            });
        }
    }
    let mut names = Vec::with_capacity(partition.count());
    for (cluster, points) in partition.members().into_iter().enumerate() {
        let summary = summarize(cluster, points, types);
        let external = match namer {
            Some(namer) => namer.name(&summary)?,
            None => None,
        };
        let external = external.map(|text| ClusterName {
            text,
            kind: NameKind::External,
            share: 0.0,
        });
        let label = || {
            alignments.iter().find_map(|alignment| {
                let best = alignment.best[cluster].as_ref();
                let best = best.filter(|best| best.aligned && best.lift >= LIFT && alignment.label_set != CASING)?;
                Some(ClusterName {
                    text: format!("{} {}: {}", alignment.label_set, best.label, first_words(&summary, 2)),
                    kind: NameKind::Label,
                    share: best.share,
                })
            })
        };
        let name = external
            .or_else(|| single(&summary))
            .or_else(label)
            .or_else(|| letters(&summary, threshold))
            .unwrap_or_else(|| typical(&summary));
        names.push(name);
    }
    Ok(names)
}

/// A cluster's spellings, most frequent first, equally frequent ones by the alphabet.
pub(super) fn summarize<'a>(cluster: usize, points: Vec<usize>, types: &[&'a str]) -> ClusterSummary<'a> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for &point in &points {
        *counts.entry(types[point]).or_default() += 1;
    }
    let mut words: Vec<(&str, usize)> = counts.into_iter().collect();
    words.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    ClusterSummary { cluster, words, points }
}

/// One word, whatever its case.
fn single(summary: &ClusterSummary<'_>) -> Option<ClusterName> {
    let (first, _) = summary.words.first()?;
    let lower = first.to_lowercase();
    summary
        .words
        .iter()
        .all(|(word, _)| word.to_lowercase() == lower)
        .then(|| ClusterName {
            text: (*first).to_owned(),
            kind: NameKind::Word,
            share: 1.0,
        })
}

fn letters(summary: &ClusterSummary<'_>, threshold: f64) -> Option<ClusterName> {
    let words: BTreeSet<String> = summary.words.iter().map(|(word, _)| word.to_lowercase()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut best: Option<(usize, ClusterName)> = None;
    let sets = [
        LabelSet::suffixes(&words, 2),
        LabelSet::prefixes(&words, 2),
        LabelSet::ngrams(&words, 3, 2),
    ];
    for set in sets {
        for (label, count) in set.labels.iter().zip(set.counts()) {
            let share = count as f64 / words.len() as f64;
            let length = label.chars().filter(|c| c.is_alphabetic()).count();
            if share >= threshold - 1e-12 && best.as_ref().is_none_or(|(longest, _)| length > *longest) {
                let name = ClusterName {
                    text: format!("{} {label}", set.name),
                    kind: NameKind::Letters,
                    share,
                };
                best = Some((length, name));
            }
        }
    }
    best.map(|(_, name)| name)
}

/// The most frequent words: many clusters have the same label, and these tell them apart.
fn first_words(summary: &ClusterSummary<'_>, count: usize) -> String {
    let words: Vec<&str> = summary.words.iter().take(count).map(|&(word, _)| word).collect();
    words.join(", ")
}

fn typical(summary: &ClusterSummary<'_>) -> ClusterName {
    let first = &summary.words[..summary.words.len().min(3)];
    let count: usize = first.iter().map(|(_, count)| count).sum();
    ClusterName {
        text: first_words(summary, 3),
        kind: NameKind::Typical,
        share: count as f64 / summary.points.len().max(1) as f64,
    }
}
