//! Which clusters of one space are found again in another: kept, merged, split, lost and new ones.
//!
//! The rule is that of [`overlap`], asked in both directions.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{FoundAgain, Overlap, OverlapParams, Partition, overlap, partition::same_points};
use crate::Error;

/// What became of clusters from one space to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fate {
    /// One cluster, found in the other space and back.
    Survived,
    /// One or more clusters are found in a larger one.
    Merged,
    /// One cluster is found in parts: they lie in it, and it lies in none of them.
    Split,
    /// A cluster of the first space alone.
    Lost,
    /// A cluster of the second space alone.
    New,
}

impl Fate {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 5] = [Self::Survived, Self::Merged, Self::Split, Self::Lost, Self::New];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Survived => "survived",
            Self::Merged => "merged",
            Self::Split => "split",
            Self::Lost => "lost",
            Self::New => "new",
        }
    }
}

/// Clusters of two spaces that belong together. Numbers are those of the partitions, see [`Partition`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// What became of them.
    pub fate: Fate,
    /// Clusters of the first space.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<usize>,
    /// Clusters of the second space.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<usize>,
    /// Different spellings in them that both texts have.
    pub types: usize,
    /// The same up to case: `The` and `the` are one word. Files of older versions have none.
    #[serde(default)]
    pub words: usize,
}

/// Result of [`changes`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// Every judged cluster with a shared spelling is in at least one of them, by [`Fate`], the largest first; one that is merged
    /// into a larger one and has parts of its own is in two. One that is too small to be judged is neither lost nor new.
    pub list: Vec<Change>,
    /// Share of the first space's clusters that are found in the second.
    pub survive: FoundAgain,
    /// Share of the second space's clusters that are found in the first.
    pub known_before: FoundAgain,
    /// Different spellings that both texts have: the others can be found nowhere, and are not looked for.
    pub shared_types: usize,
    /// Clusters of both spaces without a shared spelling, which are in no list.
    pub outside: [usize; 2],
}

impl Changes {
    /// The number of clusters of the first and of the second space with a fate.
    pub fn count(&self, fate: Fate) -> [usize; 2] {
        let of = self.list.iter().filter(|change| change.fate == fate);
        let (mut before, mut after): (BTreeSet<usize>, BTreeSet<usize>) = Default::default();
        for change in of {
            before.extend(&change.before);
            after.extend(&change.after);
        }
        [before.len(), after.len()]
    }
}

/// What became of the clusters of `a` in `b`, by the spellings of their points; the points need not be the same.
///
/// Only spellings of both texts count. A cluster that is found in a cluster that is found back in it has survived; clusters found in
/// one that is found in none of them were merged into it; and so in the other direction for parts of a split.
///
/// ```
/// use attn_analyze::concepts::{Fate, OverlapParams, Partition, changes};
///
/// let words = ["he", "she", "cat", "dog", "red", "blue", "one", "two"];
/// let before = Partition::new(&[0, 0, 1, 2, 3, 3, 4, 4]);
/// let after = Partition::new(&[0, 0, 1, 1, 2, 3, 4, 4]);
/// let found = changes(&before, &words, &after, &words, &OverlapParams::default())?;
/// let fates: Vec<_> = found.list.iter().map(|change| (change.fate, change.before.as_slice(), change.after.as_slice())).collect();
/// assert_eq!(fates, [
///     (Fate::Survived, &[0][..], &[0][..]),
///     (Fate::Survived, &[4], &[4]),
///     (Fate::Merged, &[1, 2], &[1]), // cat and dog
///     (Fate::Split, &[3], &[2, 3]),  // red and blue
/// ]);
/// # Ok::<(), attn_analyze::Error>(())
/// ```
///
/// # Errors
/// As [`overlap`]; [`Error::Empty`] if the texts share no spelling.
pub fn changes(
    a: &Partition,
    types_a: &[&str],
    b: &Partition,
    types_b: &[&str],
    params: &OverlapParams,
) -> Result<Changes, Error> {
    same_points(a.points(), types_a.len(), "types_a")?;
    same_points(b.points(), types_b.len(), "types_b")?;
    let (of_a, of_b): (BTreeSet<&str>, BTreeSet<&str>) =
        (types_a.iter().copied().collect(), types_b.iter().copied().collect());
    let shared: BTreeSet<&str> = of_a.intersection(&of_b).copied().collect();
    let (ours, theirs) = (Shared::new(a, types_a, &shared), Shared::new(b, types_b, &shared));
    if ours.types.is_empty() || theirs.types.is_empty() {
        return Err(Error::Empty {
            place: "texts".into(),
            expected: "a spelling that both have".into(),
        });
    }
    let forth = overlap(&ours.partition, &ours.types, &theirs.partition, &theirs.types, params)?;
    let back = overlap(&theirs.partition, &theirs.types, &ours.partition, &ours.types, params)?;
    let mut list = fates(&found(&forth), &found(&back));
    // What is too small to be found is not lost.
    list.retain(|change| match change.fate {
        Fate::Lost => change.before.iter().all(|&at| params.judges(ours.sets[at].len())),
        Fate::New => change.after.iter().all(|&at| params.judges(theirs.sets[at].len())),
        _ => true,
    });
    for change in &mut list {
        let types: BTreeSet<&str> = (change.before.iter().flat_map(|&at| &ours.sets[at]))
            .chain(change.after.iter().flat_map(|&at| &theirs.sets[at]))
            .copied()
            .collect();
        change.types = types.len();
        change.words = types
            .iter()
            .map(|word| word.to_lowercase())
            .collect::<BTreeSet<_>>()
            .len();
        change.before.iter_mut().for_each(|at| *at = ours.names[*at]);
        change.after.iter_mut().for_each(|at| *at = theirs.names[*at]);
    }
    list.sort_by_key(|change| (change.fate, std::cmp::Reverse(change.types)));
    Ok(Changes {
        list,
        survive: forth.found,
        known_before: back.found,
        shared_types: shared.len(),
        outside: [a.count() - ours.names.len(), b.count() - theirs.names.len()],
    })
}

/// The part of a space whose spellings the other one has too.
struct Shared<'a> {
    partition: Partition,
    types: Vec<&'a str>,
    /// The number in the whole space of each cluster.
    names: Vec<usize>,
    sets: Vec<BTreeSet<&'a str>>,
}

impl<'a> Shared<'a> {
    fn new(whole: &Partition, types: &[&'a str], shared: &BTreeSet<&str>) -> Self {
        let (mut of, mut kept) = (Vec::new(), Vec::new());
        for (&cluster, &word) in whole.of().iter().zip(types) {
            if shared.contains(word) {
                of.push(cluster);
                kept.push(word);
            }
        }
        let partition = Partition::with_noise(of.iter().copied());
        let mut names = vec![0; partition.count()];
        let mut sets = vec![BTreeSet::new(); partition.count()];
        for ((new, old), &word) in partition.of().iter().zip(&of).zip(&kept) {
            if let (Some(new), Some(old)) = (*new, *old) {
                names[new] = old;
                sets[new].insert(word);
            }
        }
        Self {
            partition,
            types: kept,
            names,
            sets,
        }
    }
}

/// The cluster of the other space that each is found in.
fn found(overlap: &Overlap) -> Vec<Option<usize>> {
    let of = overlap.matches.iter();
    of.map(|found| found.filter(|found| found.found).map(|found| found.cluster))
        .collect()
}

fn fates(forth: &[Option<usize>], back: &[Option<usize>]) -> Vec<Change> {
    let change = |fate, before: Vec<usize>, after: Vec<usize>| Change {
        fate,
        before,
        after,
        types: 0,
        words: 0,
    };
    let inverse = |found: &[Option<usize>]| {
        let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (part, whole) in found.iter().enumerate() {
            parts.entry(whole.unwrap_or(usize::MAX)).or_default().push(part);
        }
        parts.remove(&usize::MAX);
        parts
    };
    let mut list = Vec::new();
    let (into, mut from) = (inverse(forth), inverse(back));
    // A cluster with others in it is told once, as what they were merged into, not as a part of something.
    for parts in from.values_mut() {
        let alone: Vec<usize> = parts.iter().copied().filter(|part| !into.contains_key(part)).collect();
        *parts = alone;
    }
    for (&whole, parts) in &into {
        let kept = match parts[..] {
            [part] => back[whole] == Some(part),
            _ => false,
        };
        let beside = parts.first().filter(|_| kept).and_then(|part| from.get_mut(part));
        let beside = beside.map(std::mem::take).unwrap_or_default();
        let fate = match (kept, beside.is_empty()) {
            (true, true) => Fate::Survived,
            (true, false) => Fate::Split,
            (false, _) => Fate::Merged,
        };
        let after = std::iter::once(whole).chain(beside).collect();
        list.push(change(fate, parts.clone(), after));
    }
    for (whole, parts) in from {
        if !parts.is_empty() {
            list.push(change(Fate::Split, vec![whole], parts));
        }
    }
    let told: [BTreeSet<usize>; 2] = [
        list.iter().flat_map(|change| change.before.iter().copied()).collect(),
        list.iter().flat_map(|change| change.after.iter().copied()).collect(),
    ];
    let untold = |count: usize, told: &BTreeSet<usize>| (0..count).filter(|at| !told.contains(at)).collect::<Vec<_>>();
    for cluster in untold(forth.len(), &told[0]) {
        list.push(change(Fate::Lost, vec![cluster], Vec::new()));
    }
    for cluster in untold(back.len(), &told[1]) {
        list.push(change(Fate::New, Vec::new(), vec![cluster]));
    }
    list
}
