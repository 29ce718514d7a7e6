//! Overlap of two spaces: the clusters of one that are found again in the other. Spaces are layers, models, or texts.
//!
//! Durrani et al., *On the Transformation of Latent Space in Fine-Tuned NLP Models*, EMNLP 2022.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{
    Partition,
    align::{Against, Chance},
    partition::same_points,
};
use crate::{Error, Rng};

/// Settings of [`overlap`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OverlapParams {
    /// The share of a cluster's spellings that must be in one cluster of the other space, above 0 to 1. Default 0.9.
    pub threshold: f64,
    /// Clusters need more different spellings than this; others are not judged, but counted. Default 0; with few, clusters are found
    /// again by chance.
    pub more_than: usize,
    /// The cluster must have more than this times the spellings of the other: without it, everything is found again in a
    /// cluster of everything. Default 0: no limit, as published.
    pub size_ratio: f64,
    /// How often the other space's clusters are permuted for the chance level. Default 20; 0 gives none.
    pub permutations: usize,
    /// Same seed, same chance level. Default 0.
    pub seed: u64,
}

impl Default for OverlapParams {
    fn default() -> Self {
        Self {
            threshold: 0.9,
            more_than: 0,
            size_ratio: 0.0,
            permutations: 20,
            seed: 0,
        }
    }
}

impl OverlapParams {
    /// Whether a cluster of so many different spellings is judged.
    pub(super) fn judges(&self, spellings: usize) -> bool {
        spellings > self.more_than
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            return Err(Error::Parameter {
                name: "threshold",
                expected: "above 0, to 1".into(),
                found: self.threshold.to_string(),
            });
        }
        if !(self.size_ratio >= 0.0 && self.size_ratio.is_finite()) {
            return Err(Error::Parameter {
                name: "size_ratio",
                expected: "0 or more".into(),
                found: self.size_ratio.to_string(),
            });
        }
        Ok(())
    }
}

/// A cluster of the other space.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Match {
    /// The cluster, there.
    pub cluster: usize,
    /// The share of this cluster's spellings that it has.
    pub share: f64,
    /// Whether the cluster is found again.
    pub found: bool,
}

/// Clusters of one kind, and the share of them that is found again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct FoundOfKind {
    /// How many there are.
    pub clusters: usize,
    /// Share of them that is found again; 0 if there are none.
    pub found: Against,
}

/// Share of the judged clusters of a space that is found again in another, beside its chance level.
///
/// Clusters of one word are apart: they are found wherever the word is frequent enough, so a mixture says how many of them there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct FoundAgain {
    /// Of all judged clusters.
    #[serde(flatten)]
    pub all: Against,
    /// Of judged clusters of several words, different up to case. Files of older versions have none.
    #[serde(default)]
    pub several: FoundOfKind,
    /// Of judged clusters of one word. Files of older versions have none.
    #[serde(default)]
    pub one_word: FoundOfKind,
    /// Clusters with too few spellings to be judged ([`OverlapParams::more_than`]).
    #[serde(default)]
    pub small: usize,
}

impl FoundAgain {
    /// Whether both kinds are told apart: not in files of older versions.
    pub fn has_kinds(&self) -> bool {
        self.several.clusters + self.one_word.clusters + self.small > 0
    }
}

/// Share of one space that is found again in another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overlap {
    /// Share of the judged clusters that are found again.
    pub found: FoundAgain,
    /// Per cluster the best match, the smallest of equally good ones; `None` for clusters with too few spellings, and where
    /// nothing is shared.
    pub matches: Vec<Option<Match>>,
}

/// Looks for the clusters of `a` among those of `b`, by the spellings of their points. The points need not be the same.
///
/// Overlap has a direction: that of base in fine-tuned says what survives, that of fine-tuned in base what is new.
///
/// ```
/// use attn_analyze::concepts::{OverlapParams, Partition, overlap};
///
/// let (before, after) = (Partition::new(&[0, 0, 1, 1]), Partition::new(&[0, 0, 0, 1]));
/// let words = ["he", "she", "cat", "dog"];
/// let params = OverlapParams::default();
/// let found = overlap(&before, &words, &after, &words, &params)?;
/// assert_eq!(found.found.all.value, 0.5); // he and she are together again, cat and dog are not
/// assert_eq!((found.found.several.clusters, found.found.one_word.clusters), (2, 0));
/// # Ok::<(), attn_analyze::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if a partition and its spellings do not fit, [`Error::Empty`] without points, [`Error::Parameter`].
pub fn overlap(
    a: &Partition,
    types_a: &[&str],
    b: &Partition,
    types_b: &[&str],
    params: &OverlapParams,
) -> Result<Overlap, Error> {
    params.check()?;
    for (place, partition, types) in [("types_a", a, types_a), ("types_b", b, types_b)] {
        same_points(partition.points(), types.len(), place)?;
        if types.is_empty() {
            return Err(Error::Empty {
                place: place.into(),
                expected: "at least one point".into(),
            });
        }
    }
    let (words_a, words_b) = numbered(types_a, types_b);
    let ours = sets(a.of(), a.count(), &words_a);
    let matches = compare(&ours, &sets(b.of(), b.count(), &words_b), params);
    let judged: Vec<usize> = (0..ours.len()).filter(|&at| params.judges(ours[at].len())).collect();
    let words = different(&ours, types_a, &words_a);
    let (several, one): (Vec<usize>, Vec<usize>) = judged.iter().copied().partition(|&at| words[at] > 1);
    let kinds = [&judged, &several, &one];
    let shares = |matches: &[Option<Match>]| {
        kinds.map(|kind| {
            let found = kind.iter().filter(|&&at| matches[at].is_some_and(|found| found.found));
            found.count() as f64 / kind.len().max(1) as f64
        })
    };
    let chance = (0..params.permutations).map(|round| {
        let mut of = b.of().to_vec();
        Rng::new(params.seed, &[round]).shuffle(&mut of);
        shares(&compare(&ours, &sets(&of, b.count(), &words_b), params))
    });
    let (values, chance): ([f64; 3], Vec<[f64; 3]>) = (shares(&matches), chance.collect());
    let against = |kind: usize| Against {
        value: values[kind],
        chance: Chance::of(chance.iter().map(|shares| shares[kind])),
    };
    let of_kind = |kind: usize| FoundOfKind {
        clusters: kinds[kind].len(),
        found: against(kind),
    };
    Ok(Overlap {
        found: FoundAgain {
            all: against(0),
            several: of_kind(1),
            one_word: of_kind(2),
            small: ours.len() - judged.len(),
        },
        matches,
    })
}

/// The spellings of two texts as numbers, the same number for the same spelling: permutations compare them many times.
fn numbered<'a>(a: &[&'a str], b: &[&'a str]) -> (Vec<usize>, Vec<usize>) {
    let mut numbers: HashMap<&'a str, usize> = HashMap::new();
    let mut number = |words: &[&'a str]| -> Vec<usize> {
        let known = words.iter().map(|&word| {
            let next = numbers.len();
            *numbers.entry(word).or_insert(next)
        });
        known.collect()
    };
    (number(a), number(b))
}

/// The different words, up to case, in each set of spellings.
fn different(sets: &[Vec<usize>], types: &[&str], numbers: &[usize]) -> Vec<usize> {
    let spellings = numbers.iter().max().map_or(0, |last| last + 1);
    let (mut words, mut of) = (HashMap::new(), vec![usize::MAX; spellings]);
    for (&word, &number) in types.iter().zip(numbers) {
        // Once per spelling: comparisons of all layers with all others ask for it often.
        if of[number] == usize::MAX {
            let next = words.len();
            of[number] = *words.entry(word.to_lowercase()).or_insert(next);
        }
    }
    let count = |set: &Vec<usize>| set.iter().map(|&number| of[number]).collect::<HashSet<_>>().len();
    sets.iter().map(count).collect()
}

/// The spellings in each cluster, ascending.
fn sets(of: &[Option<usize>], count: usize, words: &[usize]) -> Vec<Vec<usize>> {
    let mut sets = vec![Vec::new(); count];
    for (cluster, word) in of.iter().zip(words) {
        if let Some(set) = cluster.and_then(|cluster| sets.get_mut(cluster)) {
            set.push(*word);
        }
    }
    for set in &mut sets {
        set.sort_unstable();
        set.dedup();
    }
    sets
}

fn compare(ours: &[Vec<usize>], theirs: &[Vec<usize>], params: &OverlapParams) -> Vec<Option<Match>> {
    let spellings = theirs.iter().flatten().max().map_or(0, |&last| last + 1);
    let mut places: Vec<Vec<usize>> = vec![Vec::new(); spellings];
    for (cluster, set) in theirs.iter().enumerate() {
        for &word in set {
            places[word].push(cluster);
        }
    }
    let mut counts = vec![0usize; theirs.len()];
    ours.iter()
        .map(|set| {
            if !params.judges(set.len()) {
                return None;
            }
            let mut shared = Vec::new();
            for &cluster in set.iter().filter_map(|&word| places.get(word)).flatten() {
                if counts[cluster] == 0 {
                    shared.push(cluster);
                }
                counts[cluster] += 1;
            }
            let shared: Vec<(usize, usize)> = shared
                .into_iter()
                .map(|cluster| (cluster, std::mem::take(&mut counts[cluster])))
                .collect();
            let fits = |cluster: usize| set.len() as f64 > params.size_ratio * theirs[cluster].len() as f64;
            let best = shared
                .into_iter()
                .filter(|&(cluster, _)| fits(cluster))
                .min_by_key(|&(cluster, count)| (std::cmp::Reverse(count), theirs[cluster].len(), cluster));
            best.map(|(cluster, count)| {
                let share = count as f64 / set.len() as f64;
                Match {
                    cluster,
                    share,
                    found: share >= params.threshold - 1e-12,
                }
            })
        })
        .collect()
}
