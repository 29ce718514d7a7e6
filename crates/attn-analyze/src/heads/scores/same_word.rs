//! Attention to the query's word in another place, in whatever form it is written there.

use super::same_token::permuted_places;
use crate::{
    Error, Rng,
    heads::{HeadScore, Role, Rule, ScoreId, SequenceTokens, Targets},
};

/// Attention to the query's word in another place: upper and lower case and the marks of tokenizers do not count. In
/// cross-attention, to the same word of the other side.
pub const SAME_WORD: SameWord = SameWord;

impl ScoreId {
    /// [`SAME_WORD`].
    pub const SAME_WORD: Self = Self::from_static("same_word");
}

impl Role {
    /// Finds the same word in another place, also in another form.
    pub const SAME_WORD: Self = Self::from_static("same_word", "same word");
}

/// Attention to the query's word in another place.
#[derive(Debug, Clone, Copy)]
pub struct SameWord;

impl HeadScore for SameWord {
    fn id(&self) -> ScoreId {
        ScoreId::SAME_WORD
    }

    fn name(&self) -> &str {
        "same word"
    }

    fn counts(&self) -> &str {
        "the same word in another place"
    }

    fn targets(&self, tokens: &SequenceTokens<'_>, rng: &mut Rng) -> Result<Option<Targets>, Error> {
        let order: Vec<usize> = (0..tokens.keys.len()).collect();
        let targets = same_word(tokens, &order);
        Ok(Some(
            targets.with_permuted(same_word(tokens, &permuted_places(tokens, rng))),
        ))
    }

    /// Heads that find the same token are named for that.
    fn rules(&self) -> Vec<Rule> {
        vec![Rule::new(Role::SAME_WORD, self.id(), 0.2).unless(&[Role::DEAD, Role::IDENTITY, Role::COUNTERPART])]
    }
}

/// Position `p` of the keys holds the token `order[p]`.
fn same_word(tokens: &SequenceTokens<'_>, order: &[usize]) -> Targets {
    let word = |token: &attn_core::Token| {
        let plain = token
            .text
            .trim()
            .trim_start_matches("##")
            .trim_start_matches(['▁', 'Ġ']);
        let letters = plain.chars().any(char::is_alphanumeric);
        (!token.special && token.patch.is_none() && letters).then(|| plain.to_lowercase())
    };
    let of_key = |key: usize| word(tokens.keys.get(*order.get(key)?)?);
    let within = tokens.is_self_attention();
    let of_query = |query: usize| match within {
        true => of_key(query),
        false => word(tokens.queries.get(query)?),
    };
    let targets = Targets::same((tokens.queries.len(), tokens.keys.len()), of_query, of_key);
    if within { targets.except_self() } else { targets }
}
