//! From scores to names: what a head does, how strongly, and why we say so.

use std::{collections::BTreeMap, fmt};

use attn_core::HeadId;
use serde::{Deserialize, Serialize};

use super::score::{Example, HeadScores, Measure, Score};

/// What a head can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LabelKind {
    /// Attends evenly to everything it sees: its pattern carries no information.
    Dead,
    /// Attends to the token before.
    Previous,
    /// Attends to the token after.
    Next,
    /// Attends to the token itself.
    SelfToken,
    /// Attends to the first token; often a sink, where attention rests that has nothing to do.
    FirstToken,
    /// Attends to separators; often a sink as well.
    Separator,
    /// Continues what followed an earlier occurrence.
    Induction,
    /// Finds the earlier occurrence.
    Duplicate,
    /// Finds other occurrences of the same token.
    Identity,
    /// Attends along the row of patches.
    SameRow,
    /// Attends along the column of patches.
    SameColumn,
    /// Attends to the patches around.
    Neighbour,
    /// Attends by relative offset, in a pattern that is none of the above.
    Positional,
    /// Attends by what tokens are rather than where they stand.
    Semantic,
    /// Attends broadly.
    Diffuse,
}

impl LabelKind {
    /// A short name for tables and legends.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Previous => "previous token",
            Self::Next => "next token",
            Self::SelfToken => "self",
            Self::FirstToken => "first token",
            Self::Separator => "separator",
            Self::Induction => "induction",
            Self::Duplicate => "duplicate token",
            Self::Identity => "same token",
            Self::SameRow => "same row",
            Self::SameColumn => "same column",
            Self::Neighbour => "neighbouring patches",
            Self::Positional => "positional",
            Self::Semantic => "semantic",
            Self::Diffuse => "diffuse",
        }
    }
}

impl fmt::Display for LabelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One rule: the label is given if the measure is strong enough and none of `unless` was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The label.
    pub kind: LabelKind,
    /// The measure it rests on.
    pub measure: Measure,
    /// Smallest [strength](HeadScores::strength) for it.
    pub at_least: f64,
    /// Labels, of rules that stand before this one, that make it superfluous.
    pub unless: Vec<LabelKind>,
}

/// The rules, applied in order. They are data; the default is this table, in which strength is
/// [`HeadScores::strength`]: 0 at chance, 1 at the largest possible value.
///
/// | label | measure | strength at least | not together with |
/// |---|---|---|---|
/// | dead | entropy | 0.99 | |
/// | previous token, next token, self | the same | 0.3 | dead |
/// | first token, separator | the same | 0.5 | dead |
/// | induction, duplicate token | the same | 0.3 | dead |
/// | same token | identity | 0.2 | dead |
/// | same row, same column, neighbouring patches | the same | 0.2 | dead |
/// | positional | positional | 0.5 | dead, and every label above that follows from the position alone |
/// | semantic | token pairs | 0.2 | dead |
/// | diffuse | entropy | 0.9 | dead |
///
/// The thresholds are conventions, not tests of significance: a head that gives a habit about a third of the attention
/// it has free is named for it; sinks need half, because they take a good share in many heads of trained models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rules(pub Vec<Rule>);

impl Default for Rules {
    /// The table above.
    fn default() -> Self {
        use LabelKind as Kind;
        let rule = |kind, measure, at_least, unless: &[Kind]| Rule {
            kind,
            measure,
            at_least,
            unless: unless.to_vec(),
        };
        let dead = &[Kind::Dead];
        let placed = &[
            Kind::Dead,
            Kind::Previous,
            Kind::Next,
            Kind::SelfToken,
            Kind::FirstToken,
            Kind::Separator,
            Kind::SameRow,
            Kind::SameColumn,
            Kind::Neighbour,
        ];
        Self(vec![
            rule(Kind::Dead, Measure::Entropy, 0.99, &[]),
            rule(Kind::Previous, Measure::Previous, 0.3, dead),
            rule(Kind::Next, Measure::Next, 0.3, dead),
            rule(Kind::SelfToken, Measure::SelfToken, 0.3, dead),
            rule(Kind::FirstToken, Measure::FirstToken, 0.5, dead),
            rule(Kind::Separator, Measure::Separator, 0.5, dead),
            rule(Kind::Induction, Measure::Induction, 0.3, dead),
            rule(Kind::Duplicate, Measure::Duplicate, 0.3, dead),
            rule(Kind::Identity, Measure::Identity, 0.2, dead),
            rule(Kind::SameRow, Measure::SameRow, 0.2, dead),
            rule(Kind::SameColumn, Measure::SameColumn, 0.2, dead),
            rule(Kind::Neighbour, Measure::Neighbour, 0.2, dead),
            rule(Kind::Positional, Measure::Positional, 0.5, placed),
            rule(Kind::Semantic, Measure::Content, 0.2, dead),
            rule(Kind::Diffuse, Measure::Entropy, 0.9, dead),
        ])
    }
}

/// One label of one head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadLabel {
    /// The head.
    pub head: HeadId,
    /// What it is called.
    pub kind: LabelKind,
    /// How strongly it shows, from the rule's threshold to 1.
    pub strength: f64,
    /// Score, chance and an example in one sentence.
    pub reason: String,
    /// The example by itself, for a viewer to jump to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<Example>,
}

/// Every label that the rules give a head, strongest first; empty for a head that no rule knows.
///
/// ```
/// use attn_analyze::heads::{HeadScores, LabelKind, Measure, Rules, Score, head_labels};
/// use attn_core::{Attention, HeadId};
///
/// let previous = Score { value: 0.8, chance: 0.2, permuted: None, rows: 10, example: None };
/// let scores = HeadScores {
///     head: HeadId::new(Attention::EncoderSelf, 0, 0),
///     scores: [(Measure::Previous, previous)].into(),
/// };
/// let labels = head_labels(&scores, &Rules::default());
/// assert_eq!(labels[0].kind, LabelKind::Previous);
/// assert_eq!(labels[0].reason, "0.80 of attention goes to the previous token (chance 0.20; 10 rows)");
/// ```
pub fn head_labels(scores: &HeadScores, rules: &Rules) -> Vec<HeadLabel> {
    let mut labels: Vec<HeadLabel> = Vec::new();
    for rule in &rules.0 {
        let strength = scores
            .strength(rule.measure)
            .filter(|&strength| strength >= rule.at_least);
        let given = |kind: &LabelKind| labels.iter().any(|label| label.kind == *kind);
        if let (Some(strength), Some(score)) = (strength, scores.get(rule.measure))
            && !rule.unless.iter().any(given)
        {
            labels.push(HeadLabel {
                head: scores.head,
                kind: rule.kind,
                strength,
                reason: reason(rule.measure, score, scores),
                example: score.example.clone(),
            });
        }
    }
    // The sort is stable: equally strong labels stay in the order of the rules.
    labels.sort_by(|a, b| b.strength.total_cmp(&a.strength));
    labels
}

/// A model on one page: for each kind of head, who they are, strongest first. Kinds are in the order of [`LabelKind`];
/// heads without a label do not appear.
pub fn summary<'a>(labels: impl IntoIterator<Item = &'a HeadLabel>) -> BTreeMap<LabelKind, Vec<&'a HeadLabel>> {
    let mut kinds: BTreeMap<LabelKind, Vec<&HeadLabel>> = BTreeMap::new();
    for label in labels {
        kinds.entry(label.kind).or_default().push(label);
    }
    for heads in kinds.values_mut() {
        heads.sort_by(|a, b| b.strength.total_cmp(&a.strength).then(a.head.cmp(&b.head)));
    }
    kinds
}

fn reason(measure: Measure, score: &Score, scores: &HeadScores) -> String {
    let value = score.value;
    let mut reason = match measure {
        Measure::Entropy => {
            let keys = scores.get(Measure::EffectiveKeys);
            let keys = keys.map_or(String::new(), |keys| {
                format!(", {:.1} of {:.1} keys", keys.value, keys.chance)
            });
            format!("attention has {value:.3} of the largest possible entropy{keys}")
        }
        Measure::EffectiveKeys => format!("attention goes to {value:.1} keys (of {:.1} visible)", score.chance),
        Measure::Sparsity => format!("attention has a sparsity of {value:.2}"),
        Measure::Positional => {
            format!("the offset between key and query explains {value:.2} of attention (chance 0.00")
        }
        Measure::Content => {
            format!("what query and key are explains {value:.2} of attention beyond their offset (chance 0.00")
        }
        _ => format!(
            "{value:.2} of attention goes to {} (chance {:.2}",
            target(measure),
            score.chance
        ),
    };
    if !matches!(measure, Measure::Entropy | Measure::EffectiveKeys | Measure::Sparsity) {
        if let Some(permuted) = score.permuted {
            reason += &format!(", permuted {permuted:.2}");
        }
        reason += &format!("; {} rows)", score.rows);
    }
    if let Some(Example {
        sequence,
        query_text,
        key_text,
        weight,
        query,
        key,
    }) = &score.example
    {
        reason += &format!(
            "; for example {weight:.2} from `{query_text}` (token {query}) to `{key_text}` (token {key}) in sequence {sequence}"
        );
    }
    reason
}

fn target(measure: Measure) -> &'static str {
    match measure {
        Measure::Previous => "the previous token",
        Measure::Next => "the next token",
        Measure::SelfToken => "the query's own token",
        Measure::FirstToken => "the first token",
        Measure::Separator => "separators",
        Measure::Identity => "other occurrences of the same token",
        Measure::Induction => "the token after the first occurrence, on repeated random tokens,",
        Measure::Duplicate => "the first occurrence, on repeated random tokens,",
        Measure::SameRow => "patches of the same row",
        Measure::SameColumn => "patches of the same column",
        Measure::Neighbour => "the patches around",
        Measure::Positional | Measure::Content | Measure::Entropy | Measure::EffectiveKeys | Measure::Sparsity => "",
    }
}

#[cfg(test)]
mod tests {
    use attn_core::Attention;

    use super::*;

    fn scores(values: &[(Measure, f64, f64)]) -> HeadScores {
        let score = |&(measure, value, chance): &(Measure, f64, f64)| {
            let score = Score {
                value,
                chance,
                permuted: None,
                rows: 9,
                example: None,
            };
            (measure, score)
        };
        HeadScores {
            head: HeadId::new(Attention::DecoderSelf, 2, 1),
            scores: values.iter().map(score).collect(),
        }
    }

    fn kinds(scores: &HeadScores) -> Vec<LabelKind> {
        head_labels(scores, &Rules::default())
            .iter()
            .map(|label| label.kind)
            .collect()
    }

    #[test]
    fn labels_are_ranked_and_dead_silences_the_rest() {
        use LabelKind::*;
        let head = scores(&[
            (Measure::Previous, 0.5, 0.1),
            (Measure::FirstToken, 0.9, 0.1),
            (Measure::Positional, 0.95, 0.0),
            (Measure::Entropy, 0.4, 1.0),
        ]);
        assert_eq!(kinds(&head), [FirstToken, Previous]);
        assert_eq!(kinds(&scores(&[(Measure::Positional, 0.6, 0.0)])), [Positional]);
        assert_eq!(kinds(&scores(&[(Measure::Entropy, 0.95, 1.0)])), [Diffuse]);
        assert_eq!(
            kinds(&scores(&[
                (Measure::Entropy, 0.995, 1.0),
                (Measure::Previous, 0.5, 0.1)
            ])),
            [Dead]
        );
        assert_eq!(
            kinds(&scores(&[(Measure::Previous, 0.3, 0.2), (Measure::Entropy, 0.5, 1.0)])),
            []
        );
    }

    #[test]
    fn chance_and_permutation_are_taken_off() {
        let mut head = scores(&[(Measure::Identity, 0.5, 0.1)]);
        assert_eq!(kinds(&head), [LabelKind::Identity]);
        if let Some(score) = head.scores.get_mut(&Measure::Identity) {
            score.permuted = Some(0.45);
        }
        assert_eq!(kinds(&head), []);
        // A score whose chance is 1 cannot rise above it.
        assert_eq!(scores(&[(Measure::Next, 1.0, 1.0)]).strength(Measure::Next), Some(0.0));
    }

    #[test]
    fn the_summary_ranks_heads_within_kinds() {
        let mut labels = Vec::new();
        for (head, value) in [(0, 0.5), (1, 0.9), (2, 0.9)] {
            let mut scores = scores(&[(Measure::Previous, value, 0.0), (Measure::Entropy, 0.92, 1.0)]);
            scores.head.head = head;
            labels.extend(head_labels(&scores, &Rules::default()));
        }
        let summary = summary(&labels);
        let order: Vec<usize> = summary[&LabelKind::Previous]
            .iter()
            .map(|label| label.head.head)
            .collect();
        assert_eq!(order, [1, 2, 0]);
        assert_eq!(summary.len(), 2);
    }
}
