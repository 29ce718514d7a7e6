//! What is measured of a head, and the numbers that come out: every score stands beside its chance level.

use std::collections::BTreeMap;

use attn_core::HeadId;
use serde::{Deserialize, Serialize};

/// One property of a head that a number can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Measure {
    /// Attention to the token before the query. Text only.
    Previous,
    /// Attention to the token after the query. Text only.
    Next,
    /// Attention to the query's own token; a patch looking at itself.
    SelfToken,
    /// Attention of later queries to the first token (`[CLS]`, `<s>`, the class token of an image).
    FirstToken,
    /// Attention to the special tokens after the first (`[SEP]`, `</s>`, register tokens); to the last token of a text
    /// that marks none.
    Separator,
    /// Attention to the other occurrences of the query's own token.
    Identity,
    /// On random tokens repeated twice: attention to the token after the first occurrence of the query's token.
    Induction,
    /// On random tokens repeated twice: attention to the first occurrence of the query's token.
    Duplicate,
    /// Attention to the other patches of the query's row.
    SameRow,
    /// Attention to the other patches of the query's column.
    SameColumn,
    /// Attention to the at most eight patches around the query.
    Neighbour,
    /// Share of what attention says beyond uniform that the offset between key and query alone predicts.
    Positional,
    /// Share of what attention says beyond uniform that the tokens of query and key predict, beyond what their offset does;
    /// judged on other sequences than it was learnt from. Text only, see [`content_scores`](super::content_scores).
    Content,
    /// Entropy of a row over the logarithm of its visible keys: 1 is uniform, 0 is one key.
    Entropy,
    /// Exponential of the entropy of a row: the number of keys it attends to. Its chance is the number it sees.
    EffectiveKeys,
    /// Hoyer's sparsity of a row: 0 is uniform, 1 is one key.
    Sparsity,
}

impl Measure {
    /// Every measure, in the order of tables.
    pub const ALL: [Self; 16] = [
        Self::Previous,
        Self::Next,
        Self::SelfToken,
        Self::FirstToken,
        Self::Separator,
        Self::Identity,
        Self::Induction,
        Self::Duplicate,
        Self::SameRow,
        Self::SameColumn,
        Self::Neighbour,
        Self::Positional,
        Self::Content,
        Self::Entropy,
        Self::EffectiveKeys,
        Self::Sparsity,
    ];

    /// A short name for tables and legends.
    pub fn name(self) -> &'static str {
        match self {
            Self::Previous => "previous token",
            Self::Next => "next token",
            Self::SelfToken => "self",
            Self::FirstToken => "first token",
            Self::Separator => "separator",
            Self::Identity => "same token",
            Self::Induction => "induction",
            Self::Duplicate => "duplicate token",
            Self::SameRow => "same row",
            Self::SameColumn => "same column",
            Self::Neighbour => "neighbouring patches",
            Self::Positional => "positional",
            Self::Content => "token pairs",
            Self::Entropy => "entropy",
            Self::EffectiveKeys => "effective keys",
            Self::Sparsity => "sparsity",
        }
    }
}

/// A measured value beside what chance would give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean over the rows of a sequence that could show the behaviour, then over sequences.
    pub value: f64,
    /// The same mean if every query spread its attention evenly over the keys it sees. Exact.
    pub chance: f64,
    /// What an accident of the data would give, for measures that depend on the data: one seeded permutation.
    /// [`Measure::Identity`]: the sequence's tokens dealt anew to its positions. [`Measure::Positional`]: each row's
    /// weights dealt anew to its visible keys, which shows how much of the value is overfitting. Other measures need
    /// none: permuted keys would give `chance`.
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

/// The scores of one head. A measure that no row could show (no repeated token, no patches) is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadScores {
    /// The head.
    pub head: HeadId,
    /// Its scores.
    pub scores: BTreeMap<Measure, Score>,
}

impl HeadScores {
    /// One score, if some row could show it.
    pub fn get(&self, measure: Measure) -> Option<&Score> {
        self.scores.get(&measure)
    }

    /// How far a score stands above chance, on a scale of its own: 0 at (or below) chance, 1 at the largest possible
    /// value.
    ///
    /// That is `(value - baseline) / (1 - baseline)` for shares of attention. [`Measure::Entropy`] is itself such a
    /// scale, with 1 for uniform; [`Measure::EffectiveKeys`] is divided by the number of visible keys.
    ///
    /// ```
    /// use attn_analyze::heads::{HeadScores, Measure, Score};
    /// use attn_core::{Attention, HeadId};
    ///
    /// let previous = Score { value: 0.8, chance: 0.2, permuted: None, rows: 10, example: None };
    /// let head = HeadScores {
    ///     head: HeadId::new(Attention::EncoderSelf, 0, 0),
    ///     scores: [(Measure::Previous, previous)].into(),
    /// };
    /// assert!((head.strength(Measure::Previous).unwrap() - 0.75).abs() < 1e-12);
    /// assert_eq!(head.strength(Measure::Next), None);
    /// ```
    pub fn strength(&self, measure: Measure) -> Option<f64> {
        let score = self.get(measure)?;
        let baseline = score.baseline();
        let strength = match measure {
            Measure::Entropy => score.value,
            Measure::EffectiveKeys if score.chance > 0.0 => score.value / score.chance,
            _ if baseline < 1.0 => (score.value - baseline) / (1.0 - baseline),
            _ => 0.0,
        };
        Some(strength.clamp(0.0, 1.0))
    }

    /// Adds the scores of another capture, such as [`repeat_scores`](super::repeat_scores), heads being matched by
    /// name. Where both have a measure, `more` wins; heads that only `more` knows are ignored.
    pub fn extend(scores: &mut [Self], more: &[Self]) {
        let more: BTreeMap<HeadId, &Self> = more.iter().map(|scores| (scores.head, scores)).collect();
        for head in scores {
            if let Some(other) = more.get(&head.head) {
                head.scores
                    .extend(other.scores.iter().map(|(&measure, score)| (measure, score.clone())));
            }
        }
    }
}
