//! What occurrences of words have in common: their spelling, what the model reads, their sentence.

use std::collections::{BTreeMap, BTreeSet};

use super::Words;

/// Groups of points that are the same word in one sense or another. What a chance level exchanges, and what makes a cluster one
/// of a single word, are questions to these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Units {
    /// By point the number of its spelling.
    pub(super) types: Vec<usize>,
    /// By point the number of its spelling up to case.
    pub(super) words: Vec<usize>,
    /// By point the number of what the model reads: occurrences with the same tokens have the same.
    pub(super) inputs: Vec<usize>,
    /// By point its sentence.
    pub(super) sentences: Vec<usize>,
}

impl Units {
    /// Those of words that were found in a capture.
    pub fn new(words: &Words) -> Self {
        let types = words.types();
        Self {
            inputs: words.words.iter().map(|word| word.input).collect(),
            sentences: words.words.iter().map(|word| word.sentence).collect(),
            ..Self::of_types(&types)
        }
    }

    /// From spellings alone: each is an input of its own, and each point a sentence of its own.
    ///
    /// ```
    /// use attn_analyze::concepts::{Partition, Units};
    ///
    /// let units = Units::of_types(&["The", "the", "cat"]);
    /// let clusters = Partition::new(&[0, 0, 1]);
    /// assert_eq!(units.words_in(&clusters), [1, 1]); // `The` and `the` are one word
    /// ```
    pub fn of_types(types: &[&str]) -> Self {
        let lower: Vec<String> = types.iter().map(|word| word.to_lowercase()).collect();
        let numbers = numbered(types.iter().copied());
        Self {
            words: numbered(lower.iter().map(String::as_str)),
            inputs: numbers.clone(),
            types: numbers,
            sentences: (0..types.len()).collect(),
        }
    }

    /// The number of points.
    pub fn points(&self) -> usize {
        self.types.len()
    }

    /// The number of different words, up to case, of each cluster.
    pub fn words_in(&self, partition: &super::Partition) -> Vec<usize> {
        let members = partition.members();
        members.iter().map(|points| self.count(&self.words, points)).collect()
    }

    fn count(&self, numbers: &[usize], points: &[usize]) -> usize {
        let different: BTreeSet<Option<&usize>> = points.iter().map(|&point| numbers.get(point)).collect();
        different.len()
    }
}

/// The points of each number.
pub(super) fn groups(numbers: &[usize]) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (point, &number) in numbers.iter().enumerate() {
        groups.entry(number).or_default().push(point);
    }
    groups.into_values().collect()
}

/// The number of each text in the order of all texts.
fn numbered<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> Vec<usize> {
    let different: BTreeSet<&str> = texts.clone().collect();
    let numbers: BTreeMap<&str, usize> = different.into_iter().enumerate().map(|(at, text)| (text, at)).collect();
    texts.map(|text| numbers[text]).collect()
}
