//! Attention to the token at a fixed offset: before the query, after it, or the query's own.

use crate::{
    Error, Rng,
    heads::{HeadScore, Role, Rule, ScoreId, SequenceTokens, Targets},
};

/// Attention to the token before the query. Text only.
pub const PREVIOUS: OffsetScore = OffsetScore {
    id: ScoreId::PREVIOUS,
    name: "previous token",
    counts: "the previous token",
    offset: -1,
    role: Role::PREVIOUS,
};

/// Attention to the token after the query. Text only.
pub const NEXT: OffsetScore = OffsetScore {
    id: ScoreId::NEXT,
    name: "next token",
    counts: "the next token",
    offset: 1,
    role: Role::NEXT,
};

/// Attention to the query's own token; a patch looking at itself.
pub const SELF_TOKEN: OffsetScore = OffsetScore {
    id: ScoreId::SELF_TOKEN,
    name: "self",
    counts: "the query's own token",
    offset: 0,
    role: Role::SELF_TOKEN,
};

impl ScoreId {
    /// [`PREVIOUS`].
    pub const PREVIOUS: Self = Self::from_static("previous");
    /// [`NEXT`].
    pub const NEXT: Self = Self::from_static("next");
    /// [`SELF_TOKEN`].
    pub const SELF_TOKEN: Self = Self::from_static("self_token");
}

impl Role {
    /// Attends to the token before.
    pub const PREVIOUS: Self = Self::from_static("previous", "previous token");
    /// Attends to the token after.
    pub const NEXT: Self = Self::from_static("next", "next token");
    /// Attends to the token itself.
    pub const SELF_TOKEN: Self = Self::from_static("self_token", "self");
}

/// Attention to the token at a fixed offset from the query, in self-attention.
#[derive(Debug)]
pub struct OffsetScore {
    id: ScoreId,
    name: &'static str,
    counts: &'static str,
    offset: isize,
    role: Role,
}

impl HeadScore for OffsetScore {
    fn id(&self) -> ScoreId {
        self.id.clone()
    }

    fn name(&self) -> &str {
        self.name
    }

    fn counts(&self) -> &str {
        self.counts
    }

    fn targets(&self, tokens: &SequenceTokens<'_>, _: &mut Rng) -> Result<Option<Targets>, Error> {
        if !tokens.is_self_attention() {
            return Ok(None);
        }
        // Patches have neighbors in two directions; before and after are words about text.
        let is_text = |at: usize| tokens.keys.get(at).is_some_and(|token| token.patch.is_none());
        let key = |query: usize| {
            let key = query.checked_add_signed(self.offset)?;
            (self.offset == 0 || is_text(query) && is_text(key)).then_some(key)
        };
        Ok(Some(Targets::single(tokens.queries.len(), key)))
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::new(self.role.clone(), self.id(), 0.3).unless(&[Role::DEAD])]
    }
}
