//! The door for head scores: what a score is asked for, and the list of scores a run computes.

use std::{fmt, ops::Deref, sync::Arc};

use attn_core::{Attention, HeadId, Token, model::Mask};

use super::{
    HeadScores, Rule, Rules, Score, ScoreId,
    scores::BUILT_IN,
    tally::{HeadTally, TargetTally},
    targets::Targets,
};
use crate::{Error, Rng};

/// A number that says how strongly a head shows one behavior, with its chance level and its reason.
///
/// Most scores are the attention that goes to certain keys, the *targets* of each query. They implement
/// [`targets`](Self::targets) and need nothing else: chance is the share of the visible keys that are targets. A score
/// of another form implements [`tally`](Self::tally).
///
/// A score with [`rules`](Self::rules) gives heads a role.
///
/// ```
/// use attn_analyze::{Error, Rng, heads::{HeadScore, Role, Rule, ScoreId, SequenceTokens, Targets}};
///
/// /// Attention to numbers.
/// struct Digits;
///
/// impl HeadScore for Digits {
///     fn id(&self) -> ScoreId { ScoreId::from_static("digits") }
///     fn name(&self) -> &str { "digits" }
///     fn counts(&self) -> &str { "tokens with digits" }
///     fn targets(&self, tokens: &SequenceTokens<'_>, _: &mut Rng) -> Result<Option<Targets>, Error> {
///         let digits = tokens.keys_where(|token| token.text.contains(|c: char| c.is_ascii_digit()));
///         Ok(Some(Targets::shared(tokens.queries.len(), digits)))
///     }
///     fn rules(&self) -> Vec<Rule> {
///         vec![Rule::new(Role::from("digits"), self.id(), 0.3).unless(&[Role::DEAD])]
///     }
/// }
/// ```
pub trait HeadScore: Send + Sync {
    /// Name in files; unique in a [`ScoreList`].
    fn id(&self) -> ScoreId;

    /// Short name for tables and legends.
    fn name(&self) -> &str;

    /// What is counted. Of scores with targets, the end of "attention goes to ...".
    fn counts(&self) -> &str;

    /// The sequences it is computed from. Default: those of the capture.
    fn reads(&self) -> Reads {
        Reads::Capture
    }

    /// The keys that count for each query of one sequence; `None` if no query could have any. Called once per sequence,
    /// not per head. `rng` is seeded by the sequence, for chance levels by permutation.
    ///
    /// # Errors
    /// Any; it ends the run.
    fn targets(&self, tokens: &SequenceTokens<'_>, rng: &mut Rng) -> Result<Option<Targets>, Error> {
        let _ = (tokens, rng);
        Ok(None)
    }

    /// The sums of one head. Default: mean attention to the targets.
    fn tally(&self, head: &HeadContext) -> Box<dyn HeadTally> {
        let _ = head;
        Box::new(TargetTally::default())
    }

    /// Strength on a scale that all scores share: 0 at chance or below, 1 at the largest possible value. Default:
    /// [`Score::above_chance`].
    fn strength(&self, score: &Score) -> f64 {
        score.above_chance()
    }

    /// Whether it is the share of attention that a model of it explains, rather than attention to certain keys. Where both
    /// give a head a role, the one that names the keys comes first. Default: no.
    fn explains(&self) -> bool {
        false
    }

    /// The roles it gives, and from which strength. Default: none.
    fn rules(&self) -> Vec<Rule> {
        Vec::new()
    }

    /// Value and chance level as a sentence. `all` are the other scores of the same head.
    fn reason(&self, score: &Score, all: &HeadScores) -> String {
        let _ = all;
        let (value, chance, what) = (score.value, score.chance, self.counts());
        format!(
            "{value:.2} of attention goes to {what} (chance {chance:.2}{}",
            rows(score)
        )
    }

    /// Value and chance level in a cell of a table.
    fn cell(&self, value: f64, chance: f64) -> String {
        format!("{value:.2} ({chance:.2})")
    }
}

/// The end of a reason: permuted level, if there is one, and rows.
pub(super) fn rows(score: &Score) -> String {
    let permuted = score.permuted.map(|permuted| format!(", permuted {permuted:.2}"));
    format!("{}; {} rows)", permuted.unwrap_or_default(), score.rows)
}

/// The sequences that a [`HeadScore`] is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reads {
    /// Those of the capture: [`score_heads`](super::score_heads).
    Capture,
    /// Random tokens followed by the same tokens: [`repeat_scores`](super::repeat_scores).
    RepeatedTokens,
    /// Computed elsewhere and joined by [`HeadScores::extend`], as those of [`content_scores`](super::content_scores).
    Elsewhere,
}

/// The tokens of one sequence, as one attention sees them.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct SequenceTokens<'a> {
    /// Name of the sequence.
    pub name: &'a str,
    /// The attention.
    pub attention: Attention,
    /// Tokens of the queries.
    pub queries: &'a [Token],
    /// Tokens of the keys; those of the queries in self-attention.
    pub keys: &'a [Token],
}

impl SequenceTokens<'_> {
    /// Whether queries and keys are the same tokens.
    pub fn is_self_attention(&self) -> bool {
        self.attention != Attention::Cross
    }

    /// The keys whose token holds a condition, ascending.
    pub fn keys_where(&self, holds: impl Fn(&Token) -> bool) -> Vec<usize> {
        let keys = self.keys.iter().enumerate();
        keys.filter(|(_, token)| holds(token)).map(|(key, _)| key).collect()
    }
}

/// What a [`HeadTally`] is made for.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct HeadContext {
    /// The head.
    pub head: HeadId,
    /// The mask of its layer.
    pub mask: Mask,
    /// Queries of the longest sequence.
    pub queries: usize,
    /// Keys of the longest sequence.
    pub keys: usize,
    /// Seed of the run.
    pub seed: u64,
}

/// The scores of a run: the built-in ones, fewer, or a host's own beside them. The order is that of tables.
///
/// ```
/// use attn_analyze::heads::{ScoreId, ScoreList};
///
/// let scores = ScoreList::builtin().without(&ScoreId::SPARSITY);
/// assert!(scores.get(&ScoreId::SPARSITY).is_none());
/// assert_eq!(scores.name(&ScoreId::ENTROPY), "entropy");
/// ```
#[derive(Clone)]
pub struct ScoreList(Vec<Entry>);

#[derive(Clone)]
enum Entry {
    BuiltIn(&'static dyn HeadScore),
    Own(Arc<dyn HeadScore>),
}

impl Deref for Entry {
    type Target = dyn HeadScore;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::BuiltIn(score) => *score,
            Self::Own(score) => &**score,
        }
    }
}

impl ScoreList {
    /// All built-in scores.
    pub fn builtin() -> Self {
        Self(BUILT_IN.iter().map(|score| Entry::BuiltIn(*score)).collect())
    }

    /// No scores.
    pub fn empty() -> Self {
        Self(Vec::new())
    }

    /// With one more; it takes the place of a score of the same id.
    #[must_use]
    pub fn with(mut self, score: impl HeadScore + 'static) -> Self {
        let id = score.id();
        let entry = Entry::Own(Arc::new(score));
        match self.0.iter_mut().find(|known| known.id() == id) {
            Some(known) => *known = entry,
            None => self.0.push(entry),
        }
        self
    }

    /// Without one.
    #[must_use]
    pub fn without(mut self, id: &ScoreId) -> Self {
        self.0.retain(|score| score.id() != *id);
        self
    }

    /// The scores, in order.
    pub fn iter(&self) -> impl Iterator<Item = &dyn HeadScore> {
        self.0.iter().map(|entry| &**entry)
    }

    /// The scores that are computed from certain sequences.
    pub fn reading(&self, reads: Reads) -> Vec<&dyn HeadScore> {
        self.iter().filter(|score| score.reads() == reads).collect()
    }

    /// One score.
    pub fn get(&self, id: &ScoreId) -> Option<&dyn HeadScore> {
        self.iter().find(|score| score.id() == *id)
    }

    /// Name of a score for tables, in the list or not.
    pub fn name(&self, id: &ScoreId) -> String {
        match self.get(id) {
            Some(score) => score.name().to_owned(),
            None => id.name().into_owned(),
        }
    }

    /// Value and chance level of a score in a cell of a table.
    pub fn cell(&self, id: &ScoreId, value: f64, chance: f64) -> String {
        match self.get(id) {
            Some(score) => score.cell(value, chance),
            None => format!("{value:.2} ({chance:.2})"),
        }
    }

    /// The rules of all scores, each behind those it depends on.
    pub fn rules(&self) -> Rules {
        Rules::ordered(self.iter().flat_map(HeadScore::rules).collect())
    }
}

impl Default for ScoreList {
    fn default() -> Self {
        Self::builtin()
    }
}

impl fmt::Debug for ScoreList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|score| score.id())).finish()
    }
}

/// Lists are equal that have the same ids.
impl PartialEq for ScoreList {
    fn eq(&self, other: &Self) -> bool {
        self.iter().map(HeadScore::id).eq(other.iter().map(HeadScore::id))
    }
}
