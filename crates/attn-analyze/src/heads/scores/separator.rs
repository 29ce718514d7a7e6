//! Attention to separators, often sinks.

use crate::{
    Error, Rng,
    heads::{HeadScore, Role, Rule, ScoreId, SequenceTokens, Targets},
};

/// Attention to the special tokens after the first (`[SEP]`, `</s>`, register tokens); to the last token of a text without
/// special tokens.
pub const SEPARATOR: Separator = Separator;

impl ScoreId {
    /// [`SEPARATOR`].
    pub const SEPARATOR: Self = Self::from_static("separator");
}

impl Role {
    /// Attends to separators; often a sink.
    pub const SEPARATOR: Self = Self::from_static("separator", "separator");
}

/// Attention to the special tokens after the first, their own rows left out.
#[derive(Debug, Clone, Copy)]
pub struct Separator;

impl HeadScore for Separator {
    fn id(&self) -> ScoreId {
        ScoreId::SEPARATOR
    }

    fn name(&self) -> &str {
        "separator"
    }

    fn counts(&self) -> &str {
        "separators"
    }

    fn targets(&self, tokens: &SequenceTokens<'_>, _: &mut Rng) -> Result<Option<Targets>, Error> {
        let keys = tokens.keys;
        let mut separators = tokens.keys_where(|token| token.special);
        separators.retain(|&key| key > 0);
        if separators.is_empty() && keys.len() > 1 && keys.iter().all(|token| token.patch.is_none()) {
            separators.push(keys.len() - 1);
        }
        if separators.is_empty() {
            return Ok(None);
        }
        let own = |query: usize| tokens.is_self_attention() && separators.binary_search(&query).is_ok();
        let targets = Targets::shared(tokens.queries.len(), separators.clone());
        Ok(Some(targets.except_queries(own)))
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::new(Role::SEPARATOR, self.id(), 0.5).unless(&[Role::DEAD])]
    }
}
