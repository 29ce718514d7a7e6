//! Which keys a query would attend to if its head had a certain habit: the token before it, the same word elsewhere,
//! ...
//!
//! A relation depends on the tokens alone, so it is built once per sequence and shared by all heads. It takes memory
//! linear in the sequence: queries point to groups, groups list keys.

use std::{collections::HashMap, ops::Range};

use attn_core::{Attention, Mask, Token};

use super::score::Measure;
use crate::rng::Rng;

/// The keys that belong to each query of one sequence.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Relation {
    pub(super) measure: Measure,
    /// Built from tokens dealt anew to their positions: the chance level of the true one.
    pub(super) permuted: bool,
    /// The query's own token does not count, though its group may list it.
    pub(super) but_self: bool,
    /// Group of each query, if it has one.
    pub(super) group: Vec<Option<usize>>,
    /// Keys of each group, ascending.
    pub(super) keys: Vec<Vec<usize>>,
}

impl Relation {
    /// The relation in which each query has at most one key.
    pub(super) fn single(measure: Measure, queries: usize, key: impl Fn(usize) -> Option<usize>) -> Self {
        let mut keys = Vec::new();
        let group = (0..queries).map(|query| {
            key(query).map(|key| {
                keys.push(vec![key]);
                keys.len() - 1
            })
        });
        Self {
            measure,
            permuted: false,
            but_self: false,
            group: group.collect(),
            keys,
        }
    }

    /// The keys of `query` that it can see and that count.
    pub(super) fn targets(&self, query: usize, visible: Range<usize>) -> impl Iterator<Item = usize> + '_ {
        let keys = self
            .group
            .get(query)
            .copied()
            .flatten()
            .and_then(|group| self.keys.get(group));
        let keys = keys.map_or(&[][..], Vec::as_slice);
        let start = keys.partition_point(|&key| key < visible.start);
        let end = keys.partition_point(|&key| key < visible.end);
        keys[start..end]
            .iter()
            .copied()
            .filter(move |&key| !(self.but_self && key == query))
    }
}

/// The keys that the query at position `query` sees. Every mask shows a contiguous stretch.
pub(super) fn visible(mask: Mask, query: usize, keys: usize) -> Range<usize> {
    let end = (query + 1).min(keys);
    match mask {
        Mask::Full => 0..keys,
        Mask::Causal => 0..end,
        Mask::Window { width } => (query + 1).saturating_sub(width).min(end)..end,
    }
}

/// Every relation between the tokens of one sequence that some row may show.
pub(super) fn relations(attention: Attention, queries: &[Token], keys: &[Token], rng: &mut Rng) -> Vec<Relation> {
    let within = attention != Attention::Cross;
    let mut all = Vec::new();
    if within {
        let text = |query: usize, key: Option<usize>| {
            let neighbour = key.filter(|&key| key < keys.len())?;
            (queries[query].patch.is_none() && keys[neighbour].patch.is_none()).then_some(neighbour)
        };
        let count = queries.len();
        all.push(Relation::single(Measure::Previous, count, |query| {
            text(query, query.checked_sub(1))
        }));
        all.push(Relation::single(Measure::Next, count, |query| {
            text(query, query.checked_add(1))
        }));
        all.push(Relation::single(Measure::SelfToken, count, Some));
        all.extend(patches(queries));
    }
    // The first token's own row is a row about itself.
    all.push(Relation::single(Measure::FirstToken, queries.len(), |query| {
        (!within || query > 0).then_some(0)
    }));
    all.push(separators(queries, keys, within));

    let mut order: Vec<usize> = (0..keys.len()).collect();
    all.push(same_token(queries, keys, &order, within, false));
    // Special tokens keep their places: no model would see them elsewhere.
    let free: Vec<usize> = order.iter().copied().filter(|&key| counts(&keys[key])).collect();
    let mut dealt = free.clone();
    rng.shuffle(&mut dealt);
    for (&place, &from) in free.iter().zip(&dealt) {
        order[place] = from;
    }
    all.push(same_token(queries, keys, &order, within, true));
    all.retain(|relation| !relation.keys.is_empty());
    all
}

/// Whether a token can be "the same" as another: words can; special tokens and patches cannot.
fn counts(token: &Token) -> bool {
    !token.special && token.patch.is_none()
}

/// Special tokens after the first, or the last token of a text without them; their own rows are left out.
fn separators(queries: &[Token], keys: &[Token], within: bool) -> Relation {
    let mut separators: Vec<usize> = (1..keys.len()).filter(|&key| keys[key].special).collect();
    if separators.is_empty() && keys.len() > 1 && keys.iter().all(|token| token.patch.is_none()) {
        separators.push(keys.len() - 1);
    }
    let group = (0..queries.len()).map(|query| (!within || separators.binary_search(&query).is_err()).then_some(0));
    Relation {
        measure: Measure::Separator,
        permuted: false,
        but_self: false,
        group: group.collect(),
        keys: if separators.is_empty() {
            Vec::new()
        } else {
            vec![separators]
        },
    }
}

/// Other occurrences of the query's token. Position `p` holds the token `order[p]`. Tokens of one stream are compared
/// by id where they have one; tokens of two streams by text, for their vocabularies may differ.
fn same_token(queries: &[Token], keys: &[Token], order: &[usize], within: bool, permuted: bool) -> Relation {
    let name = |token: &Token| match token.id.filter(|_| within) {
        Some(id) => (Some(id), String::new()),
        None => (None, token.text.clone()),
    };
    let mut groups = HashMap::new();
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (key, &from) in order.iter().enumerate() {
        if counts(&keys[from]) {
            let group = *groups.entry(name(&keys[from])).or_insert(members.len());
            if group == members.len() {
                members.push(Vec::new());
            }
            members[group].push(key);
        }
    }
    let group = queries.iter().enumerate().map(|(query, token)| {
        let token = if within { keys.get(*order.get(query)?)? } else { token };
        groups.get(&name(token)).copied().filter(|_| counts(token))
    });
    Relation {
        measure: Measure::Identity,
        permuted,
        but_self: within,
        group: group.collect(),
        keys: members,
    }
}

/// Same row, same column and neighbours of patches.
fn patches(tokens: &[Token]) -> Vec<Relation> {
    if tokens.iter().all(|token| token.patch.is_none()) {
        return Vec::new();
    }
    let line = |measure, place: fn((usize, usize)) -> usize| {
        let mut groups = HashMap::new();
        let mut keys: Vec<Vec<usize>> = Vec::new();
        let mut group = Vec::with_capacity(tokens.len());
        for (index, token) in tokens.iter().enumerate() {
            group.push(token.patch.map(|patch| {
                let group = *groups.entry(place(patch)).or_insert(keys.len());
                if group == keys.len() {
                    keys.push(Vec::new());
                }
                keys[group].push(index);
                group
            }));
        }
        Relation {
            measure,
            permuted: false,
            but_self: true,
            group,
            keys,
        }
    };
    let places: HashMap<(usize, usize), usize> = tokens
        .iter()
        .enumerate()
        .filter_map(|(index, token)| Some((token.patch?, index)))
        .collect();
    let around = |(row, column): (usize, usize)| {
        let near = |x: usize| x.saturating_sub(1)..=x.saturating_add(1);
        let mut keys: Vec<usize> = near(row)
            .flat_map(|row| near(column).map(move |column| (row, column)))
            .filter_map(|place| places.get(&place).copied())
            .collect();
        keys.sort_unstable();
        keys
    };
    let mut keys = Vec::new();
    let group = tokens.iter().map(|token| {
        token.patch.map(|patch| {
            keys.push(around(patch));
            keys.len() - 1
        })
    });
    let neighbours = Relation {
        measure: Measure::Neighbour,
        permuted: false,
        but_self: true,
        group: group.collect(),
        keys,
    };
    vec![
        line(Measure::SameRow, |(row, _)| row),
        line(Measure::SameColumn, |(_, column)| column),
        neighbours,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Token> {
        let token = |(position, text): (usize, &str)| Token {
            text: text.into(),
            position,
            special: text.starts_with('['),
            ..Token::default()
        };
        text.split(' ').enumerate().map(token).collect()
    }

    fn targets(all: &[Relation], measure: Measure, query: usize, mask: Mask) -> Vec<usize> {
        let relation = all.iter().find(|r| r.measure == measure && !r.permuted).unwrap();
        relation
            .targets(query, visible(mask, query, relation.group.len()))
            .collect()
    }

    #[test]
    fn text_relations_by_hand() {
        let tokens = words("[CLS] the cat and the dog [SEP]");
        let all = relations(Attention::EncoderSelf, &tokens, &tokens, &mut Rng::new(0, &[]));
        let full = |measure, query| targets(&all, measure, query, Mask::Full);
        assert_eq!(full(Measure::Previous, 0), [0; 0]);
        assert_eq!(full(Measure::Previous, 3), [2]);
        assert_eq!(full(Measure::Next, 3), [4]);
        assert_eq!(full(Measure::Next, 6), [0; 0]);
        assert_eq!(full(Measure::SelfToken, 3), [3]);
        assert_eq!(full(Measure::FirstToken, 0), [0; 0]);
        assert_eq!(full(Measure::FirstToken, 6), [0]);
        assert_eq!(full(Measure::Separator, 2), [6]);
        assert_eq!(full(Measure::Separator, 6), [0; 0]);
        assert_eq!(full(Measure::Identity, 1), [4]);
        assert_eq!(full(Measure::Identity, 4), [1]);
        assert_eq!(full(Measure::Identity, 2), [0; 0]);
        assert_eq!(targets(&all, Measure::Identity, 1, Mask::Causal), [0; 0]);
        assert_eq!(targets(&all, Measure::Next, 1, Mask::Causal), [0; 0]);
        assert_eq!(targets(&all, Measure::Previous, 3, Mask::Window { width: 1 }), [0; 0]);
        // Dealt anew, two positions still hold `the`, each the other's only match.
        let dealt = all.iter().find(|r| r.permuted).unwrap();
        let matched: Vec<Vec<usize>> = (0..7).map(|q| dealt.targets(q, 0..7).collect()).collect();
        assert_eq!(matched.iter().map(Vec::len).sum::<usize>(), 2);
        assert!(matched[0].is_empty() && matched[6].is_empty());
    }

    #[test]
    fn ids_beat_texts_and_cross_attention_compares_texts() {
        let mut tokens = words("it saw it");
        tokens[0].id = Some(5);
        tokens[1].id = Some(6);
        tokens[2].id = Some(7); // another token that reads the same
        let all = relations(Attention::DecoderSelf, &tokens, &tokens, &mut Rng::new(0, &[]));
        assert_eq!(targets(&all, Measure::Identity, 2, Mask::Causal), [0; 0]);
        let all = relations(Attention::Cross, &tokens[..1], &tokens, &mut Rng::new(0, &[]));
        let same = all
            .iter()
            .find(|r| r.measure == Measure::Identity && !r.permuted)
            .unwrap();
        assert_eq!(same.targets(0, 0..3).collect::<Vec<_>>(), [0, 2]);
        assert!(
            all.iter()
                .all(|r| !matches!(r.measure, Measure::Previous | Measure::SelfToken))
        );
        // A text without special tokens ends in its last one.
        let last = all.iter().find(|r| r.measure == Measure::Separator).unwrap();
        assert_eq!(last.targets(0, 0..3).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn patch_relations_by_hand() {
        // A class token, then a grid of 3 x 4 patches.
        let mut tokens = vec![Token {
            special: true,
            ..Token::default()
        }];
        for patch in (0..3).flat_map(|row| (0..4).map(move |column| (row, column))) {
            tokens.push(Token {
                text: format!("{},{}", patch.0, patch.1),
                patch: Some(patch),
                ..Token::default()
            });
        }
        let all = relations(Attention::EncoderSelf, &tokens, &tokens, &mut Rng::new(0, &[]));
        let full = |measure, query| targets(&all, measure, query, Mask::Full);
        assert_eq!(full(Measure::SameRow, 6), [5, 7, 8]);
        assert_eq!(full(Measure::SameColumn, 6), [2, 10]);
        assert_eq!(full(Measure::Neighbour, 1), [2, 5, 6]);
        assert_eq!(full(Measure::Neighbour, 6), [1, 2, 3, 5, 7, 9, 10, 11]);
        assert_eq!(full(Measure::SameRow, 0), [0; 0]);
        assert_eq!(full(Measure::FirstToken, 6), [0]);
        for measure in [Measure::Previous, Measure::Identity, Measure::Separator] {
            assert!(all.iter().all(|r| r.measure != measure), "{measure:?}");
        }
    }

    #[test]
    fn visible_stretches_agree_with_the_mask() {
        for mask in [
            Mask::Full,
            Mask::Causal,
            Mask::Window { width: 3 },
            Mask::Window { width: 0 },
        ] {
            for (query, keys) in [(0, 1), (0, 5), (4, 5), (7, 5), (2, 0)] {
                let stretch: Vec<usize> = visible(mask, query, keys).collect();
                let one_by_one: Vec<usize> = (0..keys).filter(|&key| mask.visible(query, key)).collect();
                assert_eq!(stretch, one_by_one, "{mask:?} {query} {keys}");
            }
        }
    }
}
