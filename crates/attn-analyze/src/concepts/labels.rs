//! Human-defined concepts: sets of words under one label, from annotation or from spelling and place.

use std::collections::{BTreeMap, BTreeSet};

use attn_core::{
    Capture, Side, TokenColumn,
    column::ColumnKind,
    text::{TaggedText, WordList},
};
use serde::{Deserialize, Serialize};

use super::words::Words;
use crate::Error;

/// A set of labels. A point has none, one or several of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelSet {
    /// Name: `upos`, `suffix`.
    pub name: String,
    /// The labels.
    pub labels: Vec<String>,
    /// Per point the indices of its labels, ascending.
    pub of: Vec<Vec<usize>>,
    /// What the labels were given to.
    #[serde(default)]
    pub source: LabelSource,
}

/// Where labels come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LabelSource {
    /// The spelling or the place of words. The default.
    #[default]
    Spelling,
    /// Somebody labeled words.
    Words,
    /// Somebody labeled sentences: for the chance level, labels change places between sentences.
    Sentences,
}

/// Name of the set of [`LabelSet::casing`], which never names a cluster.
pub(super) const CASING: &str = "casing";

impl LabelSet {
    /// From the names of each point's labels.
    pub fn new<S: Into<String>>(name: impl Into<String>, of: impl IntoIterator<Item = Vec<S>>) -> Self {
        let named: Vec<Vec<String>> = of
            .into_iter()
            .map(|labels| labels.into_iter().map(Into::into).collect())
            .collect();
        let labels: Vec<String> = named
            .iter()
            .flatten()
            .cloned()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let of = named
            .iter()
            .map(|names| {
                let indices: BTreeSet<usize> = names
                    .iter()
                    .filter_map(|name| labels.binary_search(name).ok())
                    .collect();
                indices.into_iter().collect()
            })
            .collect();
        Self {
            name: name.into(),
            labels,
            of,
            source: LabelSource::default(),
        }
    }

    /// The set with another source.
    #[must_use]
    pub fn with_source(mut self, source: LabelSource) -> Self {
        self.source = source;
        self
    }

    /// The set without some labels, such as the `O` of entities: what is outside of every entity is no concept. Also says how
    /// many points had one of them.
    ///
    /// ```
    /// use attn_analyze::concepts::LabelSet;
    ///
    /// let entities = LabelSet::new("ner", [vec!["PER"], vec!["O"], vec!["O"]]);
    /// let (entities, outside) = entities.without(&["O"]);
    /// assert_eq!((entities.labels, entities.of, outside), (vec!["PER".to_owned()], vec![vec![0], vec![], vec![]], 2));
    /// ```
    #[must_use]
    pub fn without(self, labels: &[impl AsRef<str>]) -> (Self, usize) {
        let out = |label: &str| labels.iter().any(|other| other.as_ref() == label);
        if !self.labels.iter().any(|label| out(label)) {
            return (self, 0);
        }
        let outside = |of: &&Vec<usize>| of.iter().any(|&label| out(&self.labels[label]));
        let count = self.of.iter().filter(outside).count();
        let kept = |of: &Vec<usize>| {
            let names = of.iter().map(|&label| self.labels[label].as_str());
            names.filter(|name| !out(name)).collect::<Vec<_>>()
        };
        let kept = Self::new(&self.name, self.of.iter().map(kept));
        (kept.with_source(self.source), count)
    }

    /// A set of hierarchical labels, level by level: of `SEM:origin:europe`, the level `0` has `SEM`, the level `1` has `SEM:origin`.
    /// A label rolls up to all its ancestors; on levels below its own it has none. Levels below the 16th are left out. Deepest level first, so that clusters are
    /// named by the most specific label they are aligned with (BERT ConceptNet: Dalvi et al., ICLR 2022).
    ///
    /// ```
    /// use attn_analyze::concepts::LabelSet;
    ///
    /// let places = LabelSet::new("sem", [vec!["SEM:origin:asia"], vec!["SEM:origin:europe"], vec!["SEM"]]);
    /// let levels = places.levels(':');
    /// let names: Vec<_> = levels.iter().map(|level| (level.name.as_str(), level.labels.len())).collect();
    /// assert_eq!(names, [("sem/2", 2), ("sem/1", 1), ("sem/0", 1)]);
    /// assert_eq!(levels[1].of, [vec![0], vec![0], vec![]]);
    /// ```
    pub fn levels(&self, separator: char) -> Vec<Self> {
        let deepest = self.labels.iter().map(|label| label.matches(separator).count()).max();
        let level = |level: usize| {
            let ancestor = |&label: &usize| {
                let name = &self.labels[label];
                let mut ends = name.match_indices(separator).map(|(at, _)| at).chain([name.len()]);
                ends.nth(level).map(|end| &name[..end])
            };
            let of = self.of.iter().map(|of| of.iter().filter_map(ancestor).collect());
            Self::new(format!("{}/{level}", self.name), of).with_source(self.source)
        };
        (0..=deepest.unwrap_or(0).min(15)).rev().map(level).collect()
    }

    /// Words of a list, by spelling up to case: of each group of the list, the points whose word is in it.
    pub fn word_list(name: impl Into<String>, list: &WordList, types: &[&str]) -> Self {
        Self::new(name, types.iter().map(|word| list.groups(word).collect())).with_source(LabelSource::Words)
    }

    /// One column of a corpus, for the words that are clustered.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a column that was not read, [`Error::Shape`] for words of another corpus.
    pub fn column(corpus: &TaggedText, words: &Words, column: &str) -> Result<Self, Error> {
        let at = corpus
            .columns
            .iter()
            .position(|name| name == column)
            .ok_or_else(|| Error::Parameter {
                name: "column",
                expected: corpus.columns.join(", "),
                found: column.to_owned(),
            })?;
        let tag = |sentence: usize, index: usize| {
            let word = corpus
                .sentences
                .get(sentence)
                .and_then(|sentence| sentence.words.get(index));
            word.map(|word| word.tags_of(at).map(str::to_owned).collect())
                .ok_or_else(elsewhere)
        };
        let tags: Vec<Vec<String>> = words
            .words
            .iter()
            .map(|word| match word.special {
                true => Ok(Vec::new()),
                false => tag(word.sentence, word.index),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self::new(column, tags).with_source(LabelSource::Words))
    }

    /// A column of tokens, for the words that are clustered: a word has the class of its tokens, or several if they differ.
    ///
    /// # Errors
    /// Those of [`TokenColumn::check`]; a parameter's for a column of amounts; [`Error::Shape`] for words of another capture.
    pub fn tokens(capture: &Capture, side: Side, words: &Words, column: &TokenColumn) -> Result<Self, Error> {
        column.check(capture)?;
        let ColumnKind::Categorical(_) = &column.kind else {
            let found = format!("amounts in `{}`", column.name);
            return Err(attn_core::Error::parameter("column", "a column of classes", found).into());
        };
        let mut of = Vec::with_capacity(words.words.len());
        for word in &words.words {
            let rows = capture.rows(word.sentence, side);
            if word.tokens.iter().any(|token| *token >= rows.len()) {
                return Err(elsewhere());
            }
            let classes = word
                .tokens
                .iter()
                .filter_map(|token| column.text(side, rows.start + token));
            of.push(classes.collect());
        }
        Ok(Self::new(&column.name, of).with_source(LabelSource::Words))
    }

    /// Labels of sentences (`# sentiment = positive`), each given to all its words. A cluster aligned with one of them is
    /// *polar*: its words come from sentences of one class.
    ///
    /// # Errors
    /// [`Error::Shape`] for words of another corpus.
    pub fn sentences(corpus: &TaggedText, words: &Words, comment: &str) -> Result<Self, Error> {
        let label = |sentence: usize| {
            let sentence = corpus.sentences.get(sentence).ok_or_else(elsewhere)?;
            Ok(sentence.comment(comment).map(str::to_owned).into_iter().collect())
        };
        let labels: Vec<Vec<String>> = words
            .words
            .iter()
            .map(|word| label(word.sentence))
            .collect::<Result<_, Error>>()?;
        Ok(Self::new(comment, labels).with_source(LabelSource::Sentences))
    }

    /// Whether a word is the first or the last of its sentence. Punctuation does not count.
    ///
    /// # Errors
    /// [`Error::Shape`] for words of another corpus.
    pub fn place(corpus: &TaggedText, words: &Words) -> Result<Self, Error> {
        let place = |sentence: usize, index: usize| {
            let sentence = corpus.sentences.get(sentence).ok_or_else(elsewhere)?;
            let counts = |at: &usize| sentence.words[*at].text.chars().any(char::is_alphanumeric);
            let mut labels = Vec::new();
            if (0..sentence.words.len()).find(counts) == Some(index) {
                labels.push("first word");
            }
            if (0..sentence.words.len()).rev().find(counts) == Some(index) {
                labels.push("last word");
            }
            Ok(labels)
        };
        let places: Vec<Vec<&str>> = words
            .words
            .iter()
            .map(|word| match word.special {
                true => Ok(Vec::new()),
                false => place(word.sentence, word.index),
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self::new("place", places))
    }

    /// The casing of words: `lower`, `Title`, `UPPER`, `Mixed`, `number`, `punctuation`. Words of scripts without case have none.
    ///
    /// ```
    /// use attn_analyze::concepts::LabelSet;
    /// let casing = LabelSet::casing(&["the", "Paris", "NATO", "iPod", "1,000", "..."]);
    /// let names: Vec<_> = casing.of.iter().map(|of| casing.labels[of[0]].as_str()).collect();
    /// assert_eq!(names, ["lower", "Title", "UPPER", "Mixed", "number", "punctuation"]);
    /// ```
    pub fn casing(types: &[&str]) -> Self {
        Self::new(CASING, types.iter().map(|word| casing(word).into_iter().collect()))
    }

    /// Endings of two to four letters that at least `types` different words (in lower case) share, longer by at least two
    /// letters. A word has every such ending.
    pub fn suffixes(types: &[&str], at_least: usize) -> Self {
        let parts = |word: &[char]| {
            let longest = word.len().saturating_sub(2).min(4);
            (2..=longest)
                .map(|n| format!("-{}", word[word.len() - n..].iter().collect::<String>()))
                .collect()
        };
        shared("suffix", types, at_least, parts)
    }

    /// Beginnings, as [`suffixes`](Self::suffixes).
    pub fn prefixes(types: &[&str], at_least: usize) -> Self {
        let parts = |word: &[char]| {
            let longest = word.len().saturating_sub(2).min(4);
            (2..=longest)
                .map(|n| format!("{}-", word[..n].iter().collect::<String>()))
                .collect()
        };
        shared("prefix", types, at_least, parts)
    }

    /// Stretches of `n` letters anywhere in a word that at least `types` different words (in lower case) share.
    pub fn ngrams(types: &[&str], n: usize, at_least: usize) -> Self {
        let parts = |word: &[char]| {
            word.windows(n.max(1))
                .map(|part| part.iter().collect::<String>())
                .collect()
        };
        shared("n-gram", types, at_least, parts)
    }

    /// The number of points of each label.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.labels.len()];
        self.of.iter().flatten().for_each(|&label| counts[label] += 1);
        counts
    }
}

fn elsewhere() -> Error {
    Error::Shape {
        place: "words".into(),
        expected: "words of this corpus".into(),
        found: "a sentence or word that it does not have".into(),
    }
}

fn casing(word: &str) -> Option<&'static str> {
    let letters: Vec<char> = word.chars().filter(|c| c.is_alphabetic()).collect();
    if word.is_empty() {
        return None;
    }
    if letters.is_empty() {
        let number = word.chars().any(char::is_numeric);
        return Some(if number { "number" } else { "punctuation" });
    }
    let cased: Vec<char> = letters
        .into_iter()
        .filter(|c| c.is_uppercase() || c.is_lowercase())
        .collect();
    let (first, rest) = cased.split_first()?;
    let upper = |c: &char| c.is_uppercase();
    Some(
        match (first.is_uppercase(), rest.iter().any(upper), rest.iter().all(upper)) {
            (false, false, _) => "lower",
            (true, false, _) => "Title",
            (true, true, true) => "UPPER",
            _ => "Mixed",
        },
    )
}

/// The parts of words that enough different words have.
fn shared(name: &str, types: &[&str], at_least: usize, parts: impl Fn(&[char]) -> Vec<String>) -> LabelSet {
    let mut of_type: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for word in types {
        let lower = word.to_lowercase();
        let letters: Vec<char> = lower.chars().collect();
        if !of_type.contains_key(&lower) && letters.iter().all(|c| c.is_alphabetic()) {
            let parts: BTreeSet<String> = parts(&letters).into_iter().collect();
            of_type.insert(lower, parts.into_iter().collect());
        }
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for part in of_type.values().flatten() {
        *counts.entry(part).or_default() += 1;
    }
    let common = |part: &&String| counts.get(part.as_str()).is_some_and(|&count| count >= at_least.max(1));
    LabelSet::new(
        name,
        types.iter().map(|word| {
            let parts = of_type.get(&word.to_lowercase());
            parts.map_or_else(Vec::new, |parts| parts.iter().filter(common).cloned().collect())
        }),
    )
}
