//! Targets of built-in scores on small sequences, by hand.

use attn_core::{Attention, Token, model::Mask};

use super::words;
use crate::{
    Rng,
    heads::{
        HeadScore, ScoreId, ScoreList, SequenceTokens, Targets,
        scores::{FIRST_TOKEN, IDENTITY, NEIGHBOR, NEXT, PREVIOUS, SAME_COLUMN, SAME_ROW, SELF_TOKEN, SEPARATOR},
    },
};

struct Case<'a> {
    attention: Attention,
    queries: &'a [Token],
    keys: &'a [Token],
}

impl Case<'_> {
    fn targets(&self, score: &dyn HeadScore) -> Option<Targets> {
        let tokens = SequenceTokens {
            name: "case",
            attention: self.attention,
            queries: self.queries,
            keys: self.keys,
        };
        let targets = score.targets(&tokens, &mut Rng::new(0, &[])).unwrap();
        targets.filter(|targets| !targets.is_empty())
    }

    fn of(&self, score: &dyn HeadScore, query: usize, mask: Mask) -> Vec<usize> {
        let targets = self.targets(score).unwrap();
        targets.of(query, mask.visible_keys(query, self.keys.len())).collect()
    }
}

#[test]
fn text_targets_by_hand() {
    let tokens = words("[CLS] the cat and the dog [SEP]");
    let case = Case {
        attention: Attention::EncoderSelf,
        queries: &tokens,
        keys: &tokens,
    };
    let full = |score: &dyn HeadScore, query| case.of(score, query, Mask::Full);
    assert_eq!(full(&PREVIOUS, 0), [0; 0]);
    assert_eq!(full(&PREVIOUS, 3), [2]);
    assert_eq!(full(&NEXT, 3), [4]);
    assert_eq!(full(&NEXT, 6), [0; 0]);
    assert_eq!(full(&SELF_TOKEN, 3), [3]);
    assert_eq!(full(&FIRST_TOKEN, 0), [0; 0]);
    assert_eq!(full(&FIRST_TOKEN, 6), [0]);
    assert_eq!(full(&SEPARATOR, 2), [6]);
    assert_eq!(full(&SEPARATOR, 6), [0; 0]);
    assert_eq!(full(&IDENTITY, 1), [4]);
    assert_eq!(full(&IDENTITY, 4), [1]);
    assert_eq!(full(&IDENTITY, 2), [0; 0]);
    assert_eq!(case.of(&IDENTITY, 1, Mask::Causal), [0; 0]);
    assert_eq!(case.of(&NEXT, 1, Mask::Causal), [0; 0]);
    assert_eq!(case.of(&PREVIOUS, 3, Mask::Window { width: 1 }), [0; 0]);
    // In random order, two positions still hold `the`, each the other's only match.
    let targets = case.targets(&IDENTITY).unwrap();
    let dealt = targets.permuted().unwrap();
    let matched: Vec<Vec<usize>> = (0..7).map(|q| dealt.of(q, 0..7).collect()).collect();
    assert_eq!(matched.iter().map(Vec::len).sum::<usize>(), 2);
    assert!(matched[0].is_empty() && matched[6].is_empty());
}

#[test]
fn ids_beat_texts_and_cross_attention_compares_texts() {
    let mut tokens = words("it saw it");
    tokens[0].id = Some(5);
    tokens[1].id = Some(6);
    tokens[2].id = Some(7); // another token that reads the same
    let within = Case {
        attention: Attention::DecoderSelf,
        queries: &tokens,
        keys: &tokens,
    };
    assert_eq!(within.of(&IDENTITY, 2, Mask::Causal), [0; 0]);
    let cross = Case {
        attention: Attention::Cross,
        queries: &tokens[..1],
        keys: &tokens,
    };
    assert_eq!(cross.of(&IDENTITY, 0, Mask::Full), [0, 2]);
    assert!(cross.targets(&PREVIOUS).is_none() && cross.targets(&SELF_TOKEN).is_none());
    // A text without special tokens ends in its last one.
    assert_eq!(cross.of(&SEPARATOR, 0, Mask::Full), [2]);
}

#[test]
fn patch_targets_by_hand() {
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
    let case = Case {
        attention: Attention::EncoderSelf,
        queries: &tokens,
        keys: &tokens,
    };
    let full = |score: &dyn HeadScore, query| case.of(score, query, Mask::Full);
    assert_eq!(full(&SAME_ROW, 6), [5, 7, 8]);
    assert_eq!(full(&SAME_COLUMN, 6), [2, 10]);
    assert_eq!(full(&NEIGHBOR, 1), [2, 5, 6]);
    assert_eq!(full(&NEIGHBOR, 6), [1, 2, 3, 5, 7, 9, 10, 11]);
    assert_eq!(full(&SAME_ROW, 0), [0; 0]);
    assert_eq!(full(&FIRST_TOKEN, 6), [0]);
    for score in [&PREVIOUS as &dyn HeadScore, &IDENTITY, &SEPARATOR] {
        assert!(case.targets(score).is_none(), "{}", score.id());
    }
}

#[test]
fn targets_take_odd_input() {
    let targets = Targets::grouped(vec![Some(1), None, Some(9)], vec![vec![], vec![5, 2, 2]]);
    assert_eq!(targets.of(0, 0..9).collect::<Vec<_>>(), [2, 5]);
    assert_eq!(targets.of(0, 3..3).count() + targets.of(1, 0..9).count(), 0);
    assert_eq!(targets.of(2, 0..9).count() + targets.of(7, 0..9).count(), 0);
}

#[test]
fn ids_of_the_list_are_unique_and_sorted_as_the_list() {
    let ids: Vec<ScoreId> = ScoreList::builtin().iter().map(HeadScore::id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b) && ids.len() == 23);
    for id in ids {
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<ScoreId>(&json).unwrap(), id);
    }
}
