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
        let order: Vec<usize> = (0..tokens.keys.len()).collect();
        let targets = same_token(tokens, &order);
        Ok(Some(
            targets.with_permuted(same_token(tokens, &permuted_places(tokens, rng))),
        ))
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::new(Role::IDENTITY, self.id(), 0.2).unless(&[Role::DEAD])]
    }
}

/// Whether a token can be the same as another one: special tokens and patches cannot.
fn is_word(token: &Token) -> bool {
    !token.special && token.patch.is_none()
}

/// Keys in random order: special tokens keep their places, for no model sees them elsewhere.
pub(super) fn permuted_places(tokens: &SequenceTokens<'_>, rng: &mut Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..tokens.keys.len()).collect();
    let free = tokens.keys_where(is_word);
    let mut dealt = free.clone();
    rng.shuffle(&mut dealt);
    for (&place, &from) in free.iter().zip(&dealt) {
        order[place] = from;
    }
    order
}

/// What makes two tokens the same: of one stream the id, of two streams, whose vocabularies may differ, the text. `None` for
/// what is no word.
pub(super) fn name(token: &Token, within: bool) -> Option<(Option<u32>, String)> {
    let named = match token.id.filter(|_| within) {
        Some(id) => (Some(id), String::new()),
        None => (None, token.text.clone()),
    };
    is_word(token).then_some(named)
}

/// Position `p` holds the token `order[p]`.
fn same_token(tokens: &SequenceTokens<'_>, order: &[usize]) -> Targets {
    let within = tokens.is_self_attention();
    let of_key = |key: usize| name(tokens.keys.get(*order.get(key)?)?, within);
    let of_query = |query: usize| match within {
        true => of_key(query),
        false => name(tokens.queries.get(query)?, within),
    };
    let targets = Targets::same((tokens.queries.len(), tokens.keys.len()), of_query, of_key);
    if within { targets.except_self() } else { targets }
}
