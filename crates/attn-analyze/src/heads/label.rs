//! Roles of heads: which score is strong enough for which name, and the labels that this gives.

use std::{borrow::Cow, fmt};

use attn_core::HeadId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    HeadScore, ScoreId, ScoreList,
    score::{Example, HeadScores},
    scores::BUILT_IN,
};

/// The role of a head: a short id for files and a name for tables. Built-in roles are constants; a host may make its own.
///
/// ```
/// use attn_analyze::heads::Role;
///
/// assert_eq!(Role::IDENTITY.to_string(), "same token");
/// assert_eq!(Role::from("identity"), Role::IDENTITY);
/// assert_eq!(Role::from("opening_quotes").to_string(), "opening quotes");
/// ```
#[derive(Debug, Clone)]
pub struct Role {
    id: Cow<'static, str>,
    name: Cow<'static, str>,
}

impl Role {
    /// A role with a name of its own.
    pub const fn from_static(id: &'static str, name: &'static str) -> Self {
        Self {
            id: Cow::Borrowed(id),
            name: Cow::Borrowed(name),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.id
    }

    /// A short name for tables and legends.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl From<&str> for Role {
    /// A built-in role by its id; else a new one, named by its id with spaces.
    fn from(id: &str) -> Self {
        let id = if id == "neighbour" { "neighbor" } else { id }; // older spelling
        let rules = BUILT_IN.iter().flat_map(|score| score.rules());
        let known = rules.map(|rule| rule.role).find(|role| role.id == id);
        known.unwrap_or_else(|| Self {
            id: Cow::Owned(id.to_owned()),
            name: Cow::Owned(id.replace('_', " ")),
        })
    }
}

impl PartialEq for Role {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Role {}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.id)
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(Cow::<'_, str>::deserialize(deserializer)?.as_ref()))
    }
}

/// One rule: the role is given if the score is strong enough and no role of `unless` was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The role.
    #[serde(alias = "kind")]
    pub role: Role,
    /// The score it rests on.
    #[serde(alias = "measure")]
    pub score: ScoreId,
    /// Smallest [strength](super::HeadScore::strength) for it, 0 to 1.
    pub at_least: f64,
    /// Roles of earlier rules that exclude this one.
    pub unless: Vec<Role>,
}

impl Rule {
    /// A rule without exclusions.
    pub fn new(role: Role, score: ScoreId, at_least: f64) -> Self {
        Self {
            role,
            score,
            at_least,
            unless: Vec::new(),
        }
    }

    /// The rule with exclusions.
    #[must_use]
    pub fn unless(mut self, roles: &[Role]) -> Self {
        self.unless.extend_from_slice(roles);
        self
    }
}

/// The rules, applied in order. They are data; the default is this table, in which strength is
/// [`HeadScore::strength`](super::HeadScore::strength): 0 at chance, 1 at the largest possible value.
///
/// | role | score | strength at least | not together with |
/// |---|---|---|---|
/// | dead | entropy | 0.99 | |
/// | previous token, next token, self | the same | 0.3 | dead |
/// | first token, separator, fixed offset | the same | 0.5 | dead |
/// | delimiter, aligned | the same | 0.4 | dead |
/// | monotonic | the same | 0.5 | dead, aligned |
/// | counterpart | the same | 0.2 | dead |
/// | same word | the same | 0.2 | dead, same token, counterpart |
/// | one-to-one | the same | 0.4 | dead, and every role that says which key it is |
/// | induction, duplicate token | the same | 0.3 | dead |
/// | same token | identity | 0.2 | dead |
/// | same row, same column, neighboring patches | the same | 0.2 | dead |
/// | positional | positional | 0.5 | dead, and every role above that follows from the position alone |
/// | semantic | token pairs | 0.2 | dead |
/// | diffuse | entropy | 0.9 | dead |
///
/// The thresholds are conventions, not tests of significance: a head has a role if it gives it about a third of its free
/// attention. Sinks need half, because they take a good share in many heads of trained models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rules(pub Vec<Rule>);

impl Default for Rules {
    /// The rules of the built-in scores.
    fn default() -> Self {
        ScoreList::builtin().rules()
    }
}

impl Rules {
    /// Puts each rule behind those that give a role it excludes.
    pub(super) fn ordered(mut rules: Vec<Rule>) -> Self {
        let mut ordered: Vec<Rule> = Vec::with_capacity(rules.len());
        while !rules.is_empty() {
            let waits = |rule: &Rule| {
                rules
                    .iter()
                    .any(|other| other != rule && rule.unless.contains(&other.role))
            };
            // Rules that exclude each other keep their order.
            let next = rules.iter().position(|rule| !waits(rule)).unwrap_or(0);
            ordered.push(rules.remove(next));
        }
        Self(ordered)
    }

    /// Place of a role among the rules; behind them for a role without a rule.
    pub fn rank(&self, role: &Role) -> usize {
        let place = self.0.iter().position(|rule| rule.role == *role);
        place.unwrap_or(self.0.len())
    }
}

/// One role of one head, with the score that gave it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadLabel {
    /// The head.
    pub head: HeadId,
    /// Its role.
    #[serde(alias = "kind")]
    pub role: Role,
    /// The score that gave it.
    pub score: ScoreId,
    /// Value of the score.
    pub value: f64,
    /// Its chance level, [`Score::baseline`](super::Score::baseline).
    pub chance: f64,
    /// Strength that the rule asks for.
    pub at_least: f64,
    /// Strength of the score, `at_least` to 1.
    pub strength: f64,
    /// Score, chance level and an example in one sentence.
    pub reason: String,
    /// The example by itself, for a viewer to jump to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<Example>,
}

impl HeadLabel {
    /// The name of the role; of a fixed offset with the offset: `offset −3`.
    pub fn name(&self) -> Cow<'_, str> {
        match self.offset() {
            Some(offset) => format!("offset {offset:+}").replace('-', "−").into(),
            None => self.role.name().into(),
        }
    }

    /// How far from the query the key stands, of a head with a fixed offset: -3 for the token 3 before.
    pub fn offset(&self) -> Option<isize> {
        let example = self.example.as_ref().filter(|_| self.role == Role::OFFSET)?;
        Some(example.key.cast_signed() - example.query.cast_signed())
    }
}

/// Strength from which a role that names the keys comes before one that explains attention.
const PRECISE: f64 = 0.5;

/// Every role that the rules give a head, strongest first, those that name the keys before those that
/// [explain](super::HeadScore::explains) attention where the former are at least 0.5 strong; none for a head that no rule knows. Rules about scores that the
/// list or the head lacks give nothing.
///
/// ```
/// use attn_analyze::heads::{HeadScores, Role, Rules, Score, ScoreId, ScoreList, head_labels};
/// use attn_core::{Attention, HeadId};
///
/// let previous = Score { value: 0.8, chance: 0.2, permuted: None, rows: 10, example: None };
/// let scores = HeadScores {
///     head: HeadId::new(Attention::EncoderSelf, 0, 0),
///     scores: [(ScoreId::PREVIOUS, previous)].into(),
/// };
/// let labels = head_labels(&scores, &ScoreList::builtin(), &Rules::default());
/// assert_eq!((&labels[0].role, &labels[0].score), (&Role::PREVIOUS, &ScoreId::PREVIOUS));
/// assert_eq!(labels[0].reason, "0.80 of attention goes to the previous token (chance 0.20; 10 rows)");
/// ```
pub fn head_labels(scores: &HeadScores, list: &ScoreList, rules: &Rules) -> Vec<HeadLabel> {
    let mut labels: Vec<HeadLabel> = Vec::new();
    for rule in &rules.0 {
        let (Some(definition), Some(score)) = (list.get(&rule.score), scores.get(&rule.score)) else {
            continue;
        };
        let strength = definition.strength(score);
        let excluded = labels.iter().any(|label| rule.unless.contains(&label.role));
        if strength < rule.at_least || excluded {
            continue;
        }
        labels.push(HeadLabel {
            head: scores.head,
            role: rule.role.clone(),
            score: rule.score.clone(),
            value: score.value,
            chance: score.baseline(),
            at_least: rule.at_least,
            strength,
            reason: definition.reason(score, scores) + &example(score.example.as_ref()),
            example: score.example.clone(),
        });
    }
    // A role that names the keys says more than one that says how well they can be guessed: a head that looks one back is that,
    // however well the pairs of tokens, which then stand beside each other, explain it too.
    let explained = |label: &HeadLabel| list.get(&label.score).is_some_and(HeadScore::explains);
    let named = labels
        .iter()
        .any(|label| label.strength >= PRECISE && !explained(label));
    // The sort is stable: equally strong labels stay in the order of the rules.
    labels.sort_by(|a, b| {
        let behind = |label: &HeadLabel| named && (explained(label) || label.strength < PRECISE);
        behind(a).cmp(&behind(b)).then(b.strength.total_cmp(&a.strength))
    });
    labels
}

/// The end of a reason.
fn example(example: Option<&Example>) -> String {
    let Some(example) = example else {
        return String::new();
    };
    format!(
        "; for example {:.2} from `{}` (token {}) to `{}` (token {}) in sequence {}",
        example.weight, example.query_text, example.query, example.key_text, example.key, example.sequence
    )
}

/// The heads of each role, strongest first. Roles are in the order of the rules; heads without a role do not appear.
pub fn heads_by_role<'a>(
    labels: impl IntoIterator<Item = &'a HeadLabel>,
    rules: &Rules,
) -> Vec<(Role, Vec<&'a HeadLabel>)> {
    let mut roles: Vec<(Role, Vec<&HeadLabel>)> = Vec::new();
    for label in labels {
        match roles.iter_mut().find(|(role, _)| *role == label.role) {
            Some((_, heads)) => heads.push(label),
            None => roles.push((label.role.clone(), vec![label])),
        }
    }
    for (_, heads) in &mut roles {
        heads.sort_by(|a, b| b.strength.total_cmp(&a.strength).then(a.head.cmp(&b.head)));
    }
    roles.sort_by_key(|(role, _)| rules.rank(role));
    roles
}

#[cfg(test)]
mod tests {
    use attn_core::Attention;

    use super::*;
    use crate::heads::Score;

    fn scores(values: &[(ScoreId, f64, f64)]) -> HeadScores {
        let score = |(id, value, chance): &(ScoreId, f64, f64)| {
            let score = Score {
                value: *value,
                chance: *chance,
                permuted: None,
                rows: 9,
                example: None,
            };
            (id.clone(), score)
        };
        HeadScores {
            head: HeadId::new(Attention::DecoderSelf, 2, 1),
            scores: values.iter().map(score).collect(),
        }
    }

    fn roles(scores: &HeadScores) -> Vec<Role> {
        head_labels(scores, &ScoreList::builtin(), &Rules::default())
            .iter()
            .map(|label| label.role.clone())
            .collect()
    }

    #[test]
    fn labels_are_ranked_and_dead_silences_the_rest() {
        let head = scores(&[
            (ScoreId::PREVIOUS, 0.5, 0.1),
            (ScoreId::FIRST_TOKEN, 0.9, 0.1),
            (ScoreId::POSITIONAL, 0.95, 0.0),
            (ScoreId::ENTROPY, 0.4, 1.0),
        ]);
        assert_eq!(roles(&head), [Role::FIRST_TOKEN, Role::PREVIOUS]);
        assert_eq!(roles(&scores(&[(ScoreId::POSITIONAL, 0.6, 0.0)])), [Role::POSITIONAL]);
        assert_eq!(roles(&scores(&[(ScoreId::ENTROPY, 0.95, 1.0)])), [Role::DIFFUSE]);
        assert_eq!(
            roles(&scores(&[
                (ScoreId::ENTROPY, 0.995, 1.0),
                (ScoreId::PREVIOUS, 0.5, 0.1)
            ])),
            [Role::DEAD]
        );
        assert_eq!(
            roles(&scores(&[(ScoreId::PREVIOUS, 0.3, 0.2), (ScoreId::ENTROPY, 0.5, 1.0)])),
            []
        );
    }

    #[test]
    fn chance_and_permutation_are_taken_off() {
        let mut head = scores(&[(ScoreId::IDENTITY, 0.5, 0.1)]);
        assert_eq!(roles(&head), [Role::IDENTITY]);
        if let Some(score) = head.scores.get_mut(&ScoreId::IDENTITY) {
            score.permuted = Some(0.45);
        }
        assert_eq!(roles(&head), []);
        // A score whose chance is 1 cannot rise above it.
        assert_eq!(
            scores(&[(ScoreId::NEXT, 1.0, 1.0)]).strength(&crate::heads::scores::NEXT),
            Some(0.0)
        );
    }

    #[test]
    fn the_summary_ranks_heads_within_kinds() {
        let mut labels = Vec::new();
        for (head, value) in [(0, 0.5), (1, 0.9), (2, 0.9)] {
            let mut scores = scores(&[(ScoreId::PREVIOUS, value, 0.0), (ScoreId::ENTROPY, 0.92, 1.0)]);
            scores.head.head = head;
            labels.extend(head_labels(&scores, &ScoreList::builtin(), &Rules::default()));
        }
        let roles = heads_by_role(&labels, &Rules::default());
        let order: Vec<usize> = roles[0].1.iter().map(|label| label.head.head).collect();
        assert_eq!((&roles[0].0, order), (&Role::PREVIOUS, vec![1, 2, 0]));
        assert_eq!(roles.len(), 2);
    }

    #[test]
    fn a_label_carries_the_score_that_gave_it() {
        // A rule that gives a role for another score than the default one.
        let rules = Rules(vec![Rule::new(Role::PREVIOUS, ScoreId::POSITIONAL, 0.4)]);
        let head = scores(&[(ScoreId::PREVIOUS, 0.1, 0.1), (ScoreId::POSITIONAL, 0.6, 0.0)]);
        let label = &head_labels(&head, &ScoreList::builtin(), &rules)[0];
        assert_eq!((&label.role, &label.score), (&Role::PREVIOUS, &ScoreId::POSITIONAL));
        assert_eq!((label.value, label.chance, label.at_least), (0.6, 0.0, 0.4));
    }

    #[test]
    fn old_files_are_read() {
        let text = r#"{"kind":"neighbour","measure":"neighbour","at_least":0.2,"unless":["dead"]}"#; // older spelling
        let rule: Rule = serde_json::from_str(text).unwrap();
        assert_eq!(
            rule,
            Rule::new(Role::NEIGHBOR, ScoreId::NEIGHBOR, 0.2).unless(&[Role::DEAD])
        );
        assert_eq!(serde_json::to_value(&rule).unwrap()["score"], "neighbor");
        assert_eq!(rule.role.name(), "neighboring patches");
    }

    #[test]
    fn rules_stand_behind_what_excludes_them() {
        let roles: Vec<Role> = Rules::default().0.into_iter().map(|rule| rule.role).collect();
        assert_eq!((&roles[0], &roles[1]), (&Role::DEAD, &Role::PREVIOUS));
        assert_eq!(
            &roles[roles.len() - 3..],
            [Role::POSITIONAL, Role::SEMANTIC, Role::DIFFUSE]
        );
    }
}
