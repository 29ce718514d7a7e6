//! Attention across a separator, and to the tokens that separate: what models of pairs, of reactions and of other texts in
//! several parts do.

use super::same_token::{name, permuted_places};
use crate::{
    Error, Rng,
    heads::{HeadScore, Role, Rule, ScoreId, SequenceTokens, Targets},
};
use attn_core::Token;

/// Attention to the query's own token in another segment: beyond a separator. In cross-attention, to the same token of the
/// other side.
pub const COUNTERPART: Counterpart = Counterpart;

/// Attention to delimiters: punctuation and signs between the parts of a text.
pub const DELIMITER: Delimiter = Delimiter;

/// Signs, besides the special tokens between two texts, that part a text in segments.
const PARTS: [&str; 10] = [">>", ">", "=>", "->", "→", "=", "|", "||", "|||", "⇥"];

impl ScoreId {
    /// [`COUNTERPART`].
    pub const COUNTERPART: Self = Self::from_static("counterpart");
    /// [`DELIMITER`].
    pub const DELIMITER: Self = Self::from_static("delimiter");
}

impl Role {
    /// Finds the same token beyond a separator, in another segment, or on the other side.
    pub const COUNTERPART: Self = Self::from_static("counterpart", "counterpart");
    /// Attends to punctuation and other delimiters.
    pub const DELIMITER: Self = Self::from_static("delimiter", "delimiter");
}

/// Attention to the query's own token in another segment.
#[derive(Debug, Clone, Copy)]
pub struct Counterpart;

impl HeadScore for Counterpart {
    fn id(&self) -> ScoreId {
        ScoreId::COUNTERPART
    }

    fn name(&self) -> &str {
        "counterpart"
    }

    fn counts(&self) -> &str {
        "the same token beyond a separator"
    }

    fn targets(&self, tokens: &SequenceTokens<'_>, rng: &mut Rng) -> Result<Option<Targets>, Error> {
        if !tokens.is_self_attention() {
            return Ok(None);
        }
        let (segments, count) = segments(tokens.keys);
        if count < 2 {
            return Ok(None);
        }
        let order: Vec<usize> = (0..tokens.keys.len()).collect();
        let targets = across(tokens, &segments, &order);
        Ok(Some(targets.with_permuted(across(
            tokens,
            &segments,
            &permuted_places(tokens, rng),
        ))))
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::new(Role::COUNTERPART, self.id(), 0.2).unless(&[Role::DEAD])]
    }
}

/// The segment of every token, and how many there are; separators belong to none.
fn segments(tokens: &[Token]) -> (Vec<Option<usize>>, usize) {
    let (mut segment, mut filled) = (0, false);
    let of = tokens
        .iter()
        .map(|token| {
            let separates = token.special || PARTS.contains(&token.text.trim());
            if separates {
                segment += usize::from(filled);
                filled = false;
                return None;
            }
            filled = true;
            Some(segment)
        })
        .collect();
    (of, segment + usize::from(filled))
}

/// The same tokens of other segments; position `p` holds the token `order[p]`.
fn across(tokens: &SequenceTokens<'_>, segments: &[Option<usize>], order: &[usize]) -> Targets {
    let named = |at: usize| Some((segments[at]?, name(tokens.keys.get(*order.get(at)?)?, true)?));
    let all: Vec<_> = (0..tokens.keys.len()).map(named).collect();
    // Few tokens occur often: queries with the same keys share a group.
    let mut keys: Vec<Vec<usize>> = Vec::new();
    let mut groups = std::collections::HashMap::new();
    let group = all.iter().map(|own| {
        let (segment, word) = own.as_ref()?;
        let next = keys.len();
        let number = *groups.entry((*segment, word.clone())).or_insert(next);
        if number == next {
            let other = |of: &Option<_>| matches!(of, Some((other, same)) if other != segment && same == word);
            keys.push((0..all.len()).filter(|&at| other(&all[at])).collect());
        }
        (!keys[number].is_empty()).then_some(number)
    });
    let group: Vec<Option<usize>> = group.collect();
    Targets::grouped(group, keys)
}

/// Attention to punctuation and to signs between parts.
#[derive(Debug, Clone, Copy)]
pub struct Delimiter;

impl HeadScore for Delimiter {
    fn id(&self) -> ScoreId {
        ScoreId::DELIMITER
    }

    fn name(&self) -> &str {
        "delimiter"
    }

    fn counts(&self) -> &str {
        "punctuation and other delimiters"
    }

    fn targets(&self, tokens: &SequenceTokens<'_>, _: &mut Rng) -> Result<Option<Targets>, Error> {
        let keys = tokens.keys_where(is_delimiter);
        if keys.is_empty() {
            return Ok(None);
        }
        let own = |query: usize| tokens.is_self_attention() && keys.binary_search(&query).is_ok();
        let targets = Targets::shared(tokens.queries.len(), keys.clone());
        Ok(Some(targets.except_queries(own)))
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::new(Role::DELIMITER, self.id(), 0.4).unless(&[Role::DEAD])]
    }
}

/// A token without letters and digits that parts a text. Brackets and signs of formulas, which mean something by themselves
/// where they are frequent, are none.
fn is_delimiter(token: &Token) -> bool {
    let text = token
        .text
        .trim()
        .trim_start_matches("##")
        .trim_start_matches(['▁', 'Ġ']);
    let mark = |c: char| {
        matches!(
            c,
            '.' | ',' | ';' | ':' | '!' | '?' | '…' | '。' | '，' | '、' | '；' | '：' | '！' | '？'
        )
    };
    let word = !token.special && token.patch.is_none();
    word && !text.is_empty() && (text.chars().all(mark) || PARTS.contains(&text))
}
