//! Values of head scores, each beside its chance level.

use std::{borrow::Cow, cmp::Ordering, collections::BTreeMap, fmt};

use attn_core::HeadId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{HeadScore, scores::BUILT_IN};

/// Name of a [`HeadScore`](super::HeadScore) in files and maps: `previous`, `entropy`, or a host's own.
///
/// Built-in scores come first, in the order of [`ScoreList::builtin`](super::ScoreList::builtin); others follow by the alphabet.
///
/// ```
/// use attn_analyze::heads::ScoreId;
///
/// assert_eq!(ScoreId::from("previous"), ScoreId::PREVIOUS);
/// assert_eq!(ScoreId::PREVIOUS.name(), "previous token");
/// assert_eq!(ScoreId::from("opening_quotes").name(), "opening quotes");
/// assert!(ScoreId::SPARSITY < ScoreId::from("digits"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScoreId(Cow<'static, str>);

impl ScoreId {
    /// The id of this text, as a constant.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A short name for tables and legends: that of the built-in score, else the text with spaces.
    pub fn name(&self) -> Cow<'static, str> {
        match BUILT_IN.iter().find(|score| score.id() == *self) {
            Some(score) => Cow::Borrowed(score.name()),
            None => Cow::Owned(self.0.replace('_', " ")),
        }
    }

    /// Place among the built-in scores; behind them for others.
    fn rank(&self) -> usize {
        let place = BUILT_IN.iter().position(|score| score.id() == *self);
        place.unwrap_or(BUILT_IN.len())
    }
}

impl From<&str> for ScoreId {
    fn from(text: &str) -> Self {
        let text = if text == "neighbour" { "neighbor" } else { text }; // older spelling
        Self(Cow::Owned(text.to_owned()))
    }
}

impl fmt::Display for ScoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialOrd for ScoreId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ScoreId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank()).then_with(|| self.0.cmp(&other.0))
    }
}

impl Serialize for ScoreId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ScoreId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(Cow::<'_, str>::deserialize(deserializer)?.as_ref()))
    }
}

/// A measured value beside what chance would give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean over the rows of a sequence that could show the behavior, then over sequences.
    pub value: f64,
    /// The same mean if every query spread its attention evenly over the keys it sees. Exact.
    pub chance: f64,
    /// Chance level of scores that depend on the data, from one seeded permutation. [`ScoreId::IDENTITY`]: the sequence's
    /// tokens in random order. [`ScoreId::POSITIONAL`]: each row's weights in random order, which shows the overfitting.
    /// Other scores need none: permuted keys would give `chance`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permuted: Option<f64>,
    /// Number of query rows behind the value.
    pub rows: usize,
    /// The single weight among them that says most beyond uniform attention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<Example>,
}

impl Score {
    /// The larger of the two chance levels.
    pub fn baseline(&self) -> f64 {
        self.permuted.map_or(self.chance, |permuted| permuted.max(self.chance))
    }

    /// The part of the range above chance that is reached, `(value - baseline) / (1 - baseline)`: 0 at chance or below, 1 at
    /// the largest value of a share.
    pub fn above_chance(&self) -> f64 {
        let baseline = self.baseline();
        if baseline < 1.0 {
            ((self.value - baseline) / (1.0 - baseline)).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }
}

/// One cell of one attention matrix, to show what a score is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Index of the sequence in the capture.
    pub sequence: usize,
    /// Index of the query's token in it.
    pub query: usize,
    /// Index of the key's token in it.
    pub key: usize,
    /// Text of the query's token.
    pub query_text: String,
    /// Text of the key's token.
    pub key_text: String,
    /// The attention weight.
    pub weight: f32,
}

/// The scores of one head. A score that no row could show (no repeated token, no patches) is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadScores {
    /// The head.
    pub head: HeadId,
    /// Its scores.
    pub scores: BTreeMap<ScoreId, Score>,
}

impl HeadScores {
    /// One score, if some row could show it.
    pub fn get(&self, id: &ScoreId) -> Option<&Score> {
        self.scores.get(id)
    }

    /// [`HeadScore::strength`] of one score: 0 at chance, 1 at the largest possible value. Unlike values, strengths of
    /// different scores can be compared.
    ///
    /// ```
    /// use attn_analyze::heads::{HeadScores, Score, ScoreId, scores};
    /// use attn_core::{Attention, HeadId};
    ///
    /// let previous = Score { value: 0.8, chance: 0.2, permuted: None, rows: 10, example: None };
    /// let head = HeadScores {
    ///     head: HeadId::new(Attention::EncoderSelf, 0, 0),
    ///     scores: [(ScoreId::PREVIOUS, previous)].into(),
    /// };
    /// assert!((head.strength(&scores::PREVIOUS).unwrap() - 0.75).abs() < 1e-12);
    /// assert_eq!(head.strength(&scores::NEXT), None);
    /// ```
    pub fn strength(&self, score: &dyn HeadScore) -> Option<f64> {
        Some(score.strength(self.get(&score.id())?))
    }

    /// Adds the scores of another capture, such as [`repeat_scores`](super::repeat_scores), heads being matched by
    /// name. Where both have a score, that of `more` wins; heads that only `more` knows are ignored.
    pub fn extend(scores: &mut [Self], more: &[Self]) {
        let more: BTreeMap<HeadId, &Self> = more.iter().map(|scores| (scores.head, scores)).collect();
        for head in scores {
            if let Some(other) = more.get(&head.head) {
                head.scores
                    .extend(other.scores.iter().map(|(id, score)| (id.clone(), score.clone())));
            }
        }
    }
}
