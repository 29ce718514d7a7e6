//! Attention to other occurrences of the query's token, beside that of permuted tokens.

use attn_core::Token;

use crate::{
    Error, Rng,
    heads::{HeadScore, Role, Rule, ScoreId, SequenceTokens, Targets},
};

/// Attention to the other occurrences of the query's own token.
pub const IDENTITY: SameToken = SameToken;

impl ScoreId {
    /// [`IDENTITY`].
    pub const IDENTITY: Self = Self::from_static("identity");
}

impl Role {
    /// Finds other occurrences of the same token.
    pub const IDENTITY: Self = Self::from_static("identity", "same token");
}

/// Attention to the other occurrences of the query's own token.
#[derive(Debug, Clone, Copy)]
pub struct SameToken;

impl HeadScore for SameToken {
    fn id(&self) -> ScoreId {
        ScoreId::IDENTITY
    }

    fn name(&self) -> &str {
        "same token"
    }

    fn counts(&self) -> &str {
        "other occurrences of the same token"
    }

    fn targets(&self, tokens: &SequenceTokens<'_>, rng: &mut Rng) -> Result<Option<Targets>, Error> {
        let mut order: Vec<usize> = (0..tokens.keys.len()).collect();
        let targets = same_token(tokens, &order);
        // Special tokens keep their places: no model sees them elsewhere.
        let free = tokens.keys_where(is_word);
        let mut dealt = free.clone();
        rng.shuffle(&mut dealt);
        for (&place, &from) in free.iter().zip(&dealt) {
            order[place] = from;
        }
        Ok(Some(targets.with_permuted(same_token(tokens, &order))))
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::new(Role::IDENTITY, self.id(), 0.2).unless(&[Role::DEAD])]
    }
}

/// Whether a token can be the same as another one: special tokens and patches cannot.
fn is_word(token: &Token) -> bool {
    !token.special && token.patch.is_none()
}

/// Position `p` holds the token `order[p]`.
fn same_token(tokens: &SequenceTokens<'_>, order: &[usize]) -> Targets {
    let within = tokens.is_self_attention();
    // Tokens of one stream are compared by id; tokens of two streams by text, for their vocabularies may differ.
    let name = |token: &Token| match token.id.filter(|_| within) {
        Some(id) => (Some(id), String::new()),
        None => (None, token.text.clone()),
    };
    let of_key = |key: usize| {
        let token = tokens.keys.get(*order.get(key)?)?;
        is_word(token).then(|| name(token))
    };
    let of_query = |query: usize| {
        let token = tokens.queries.get(query)?;
        if within {
            of_key(query)
        } else {
            is_word(token).then(|| name(token))
        }
    };
    let targets = Targets::same((tokens.queries.len(), tokens.keys.len()), of_query, of_key);
    if within { targets.except_self() } else { targets }
}
