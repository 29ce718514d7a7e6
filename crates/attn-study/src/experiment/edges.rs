//! Edges of a head by a rule that holds in every sequence, for knock-outs.

use std::{fmt, str::FromStr};

use attn_core::{HeadId, ModelInfo, Rng, Sequence, Token, model::Mask};
use serde::{Serialize, Serializer};

/// A rule for edges of a head, from queries to keys, in any sequence. As text: `previous`, `self`, `next`, `-3`, `+2`, `first`,
/// `special`, `same`, or two words such as `it>dog` with `*` for any.
///
/// ```
/// use attn_study::experiment::Edges;
/// assert_eq!("previous".parse::<Edges>()?, Edges::Offset(-1));
/// assert_eq!("-3".parse::<Edges>()?.to_string(), "-3");
/// assert_eq!("*>the".parse::<Edges>()?, Edges::Words { query: None, key: Some("the".into()) });
/// assert!("backwards".parse::<Edges>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edges {
    /// To the token at an offset; −1 is the one before.
    Offset(isize),
    /// To the first token.
    First,
    /// To special tokens: separators, class tokens.
    Special,
    /// To tokens of the same text at other places. Masked tokens count by their text before masking.
    SameToken,
    /// Between words, by the whole text of their tokens in any case; `None` for any.
    Words {
        /// The word of the query.
        query: Option<String>,
        /// The word of the key.
        key: Option<String>,
    },
}

impl Edges {
    /// The rules without words.
    pub const COMMON: [Self; 6] = [
        Self::Offset(-1),
        Self::Offset(0),
        Self::Offset(1),
        Self::First,
        Self::Special,
        Self::SameToken,
    ];

    /// The rule in words: `to the previous token`.
    pub fn describe(&self) -> String {
        match self {
            Self::Offset(-1) => "to the previous token".into(),
            Self::Offset(0) => "to itself".into(),
            Self::Offset(1) => "to the next token".into(),
            Self::Offset(offset) => format!("{offset:+} tokens"),
            Self::First => "to the first token".into(),
            Self::Special => "to special tokens".into(),
            Self::SameToken => "to the same token".into(),
            Self::Words { .. } => self.to_string(),
        }
    }

    /// The edges of a head in a sequence that its mask shows, as `[query, key]`, ascending. A query that would lose all its
    /// keys keeps them.
    pub fn of(&self, info: &ModelInfo, head: HeadId, sequence: &Sequence) -> Vec<[usize; 2]> {
        let queries = sequence.tokens(head.attention.query_side());
        let keys = sequence.tokens(head.attention.key_side());
        let own = head.attention.query_side() == head.attention.key_side();
        let mut edges = Vec::new();
        for query in 0..queries.len() {
            let seen = visible(info, head, query, keys.len());
            let matching: Vec<usize> = seen
                .iter()
                .copied()
                .filter(|&key| {
                    !(own && key == query && *self == Self::SameToken) && self.holds(queries, query, keys, key)
                })
                .collect();
            if matching.len() < seen.len() {
                edges.extend(matching.into_iter().map(|key| [query, key]));
            }
        }
        edges
    }

    fn holds(&self, queries: &[Token], query: usize, keys: &[Token], key: usize) -> bool {
        match self {
            Self::Offset(offset) => query.checked_add_signed(*offset) == Some(key),
            Self::First => key == 0,
            Self::Special => keys[key].special,
            Self::SameToken => queries[query].text == keys[key].text,
            Self::Words { query: asks, key: seen } => {
                is(asks.as_deref(), &queries[query]) && is(seen.as_deref(), &keys[key])
            }
        }
    }
}

/// As many random edges of each query; others than these, if it has enough.
pub(super) fn random_edges(
    edges: &[[usize; 2]],
    info: &ModelInfo,
    head: HeadId,
    sequence: &Sequence,
    rng: &mut Rng,
) -> Vec<[usize; 2]> {
    let keys = sequence.tokens(head.attention.key_side()).len();
    let mut random = Vec::with_capacity(edges.len());
    for of_query in edges.chunk_by(|a, b| a[0] == b[0]) {
        let query = of_query[0][0];
        let seen = visible(info, head, query, keys);
        let is_own = |key: &usize| of_query.iter().any(|edge| edge[1] == *key);
        let others: Vec<usize> = seen.iter().copied().filter(|key| !is_own(key)).collect();
        let pool = if others.len() >= of_query.len() { others } else { seen };
        let drawn = rng.sample(pool.len(), of_query.len());
        random.extend(drawn.into_iter().map(|place| [query, pool[place]]));
    }
    random
}

/// The keys that a query of a head may see; all of them for a head that does not exist.
fn visible(info: &ModelInfo, head: HeadId, query: usize, keys: usize) -> Vec<usize> {
    let mask = info.mask(head).unwrap_or(Mask::Full);
    mask.visible_keys(query, keys).collect()
}

/// Whether a token is this word; `None` is any word.
fn is(word: Option<&str>, token: &Token) -> bool {
    word.is_none_or(|word| token.text.trim().to_lowercase() == word.trim().to_lowercase())
}

impl fmt::Display for Edges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offset(-1) => f.write_str("previous"),
            Self::Offset(0) => f.write_str("self"),
            Self::Offset(1) => f.write_str("next"),
            Self::Offset(offset) => write!(f, "{offset:+}"),
            Self::First => f.write_str("first"),
            Self::Special => f.write_str("special"),
            Self::SameToken => f.write_str("same"),
            Self::Words { query, key } => {
                let name = |word: &Option<String>| word.clone().unwrap_or_else(|| "*".into());
                write!(f, "{}>{}", name(query), name(key))
            }
        }
    }
}

impl FromStr for Edges {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(known) = Self::COMMON.into_iter().find(|edges| edges.to_string() == text) {
            return Ok(known);
        }
        if let Ok(offset) = text.parse() {
            return Ok(Self::Offset(offset));
        }
        let word = |word: &str| match word.trim() {
            "*" | "" => None,
            word => Some(word.to_owned()),
        };
        match text.split_once('>') {
            Some((query, key)) => Ok(Self::Words {
                query: word(query),
                key: word(key),
            }),
            None => Err(format!(
                "expected previous, self, next, an offset such as -3, first, special, same, or WORD>WORD with * for any, found `{text}`"
            )),
        }
    }
}

impl Serialize for Edges {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use attn_core::{
        Attention,
        model::{AttentionInfo, LayerAttention, Mask, Positions},
    };

    use super::*;

    fn info(mask: Mask) -> ModelInfo {
        ModelInfo {
            name: "tiny".into(),
            family: "bert".into(),
            hidden_size: 4,
            vocab_size: Some(10),
            max_tokens: None,
            positions: Positions::Learned,
            attentions: vec![AttentionInfo::new(
                Attention::EncoderSelf,
                1,
                4,
                vec![LayerAttention::new(0.5, mask)],
            )],
        }
    }

    fn sequence(words: &[&str]) -> Sequence {
        let token = |word: &&str| Token {
            text: (*word).into(),
            special: word.starts_with('['),
            ..Token::default()
        };
        Sequence {
            encoder: words.iter().map(token).collect(),
            ..Sequence::default()
        }
    }

    const HEAD: HeadId = HeadId {
        attention: Attention::EncoderSelf,
        layer: 0,
        head: 0,
    };

    #[test]
    fn rules_hold_where_the_mask_lets_them() {
        let words = sequence(&["[CLS]", "a", "dog", "A", "a", "[SEP]"]);
        let of = |text: &str, mask| text.parse::<Edges>().unwrap().of(&info(mask), HEAD, &words);
        assert_eq!(of("previous", Mask::Full), [[1, 0], [2, 1], [3, 2], [4, 3], [5, 4]]);
        assert_eq!(of("next", Mask::Causal), [[0; 2]; 0]);
        // The first token sees nothing but itself and keeps it.
        assert_eq!(of("self", Mask::Causal), [[1, 1], [2, 2], [3, 3], [4, 4], [5, 5]]);
        assert_eq!(of("first", Mask::Window { width: 3 }), [[1, 0], [2, 0]]);
        assert_eq!(of("same", Mask::Full), [[1, 4], [4, 1]]);
        assert_eq!(of("dog>a", Mask::Full), [[2, 1], [2, 3], [2, 4]]);
        assert_eq!(
            of("dog > *", Mask::Full),
            [[0; 2]; 0],
            "a query keeps its keys if all would go"
        );
        assert_eq!(of("*>[sep]", Mask::Full).len(), 6);
        assert_eq!(of("special", Mask::Full).len(), 12);
        assert_eq!(of("-2", Mask::Full), [[2, 0], [3, 1], [4, 2], [5, 3]]);
    }

    #[test]
    fn random_edges_are_as_many_and_others() {
        let words = sequence(&["[CLS]", "a", "dog", "A", "a", "[SEP]"]);
        let info = info(Mask::Causal);
        let edges = Edges::Offset(-1).of(&info, HEAD, &words);
        let mut all = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let random = random_edges(&edges, &info, HEAD, &words, &mut Rng::new(seed, &[]));
            assert_eq!(random.len(), edges.len());
            for (own, random) in edges.iter().zip(&random) {
                assert!(random[0] == own[0] && random[1] <= random[0] && random[1] != own[1]);
            }
            all.extend(random);
        }
        // In the end every edge but the one that was knocked out.
        assert_eq!(all.iter().filter(|edge| edge[0] == 5).count(), 5);
    }

    #[test]
    fn text_and_rules_are_the_same() {
        for text in [
            "previous", "self", "next", "-4", "+7", "first", "special", "same", "it>dog", "*>the", "a>*",
        ] {
            assert_eq!(text.parse::<Edges>().unwrap().to_string(), text);
        }
        assert!("up".parse::<Edges>().unwrap_err().contains("found `up`"));
    }
}
