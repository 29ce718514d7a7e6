//! Planted heads must get their names, and no others.

use attn_core::{Attention, Capture, HeadId, model::Mask};

use super::*;
use crate::heads::*;

fn kinds(capture: &Capture) -> Vec<Vec<Role>> {
    let scores = score_heads(capture, &ScoreList::builtin(), &ScoreParams::default(), &()).unwrap();
    scores
        .iter()
        .map(|s| {
            head_labels(s, &ScoreList::builtin(), &Rules::default())
                .iter()
                .map(|label| label.role.clone())
                .collect()
        })
        .collect()
}

#[test]
fn planted_heads_get_their_names() {
    let attention = Attention::EncoderSelf;
    let line = "[CLS] the old cat saw the young dog and the bird near the house [SEP]";
    let tokens = words(line);
    let same = |q: usize, k: usize| hit(q != k && tokens[q].text == tokens[k].text);
    let capture = planted(
        attention,
        Mask::Full,
        texts(attention, &[line; 2]),
        &[&[
            &|q, k| hit(k + 1 == q),
            &|q, k| hit(k == q + 1),
            &|q, k| hit(k == q),
            &|_, k| hit(k == 0),
            &|_, k| hit(k == 14),
            &same,
            &|_, _| 1.0,
            &|q, k| 1.0 + ((q * k * 7 + k * k) % 5) as f32,
            &|q, k| hit(k + 2 == q || k + 3 == q),
            // Each token looks at one of its own that is nowhere in particular.
            &|q, k| hit(k == [9, 11, 10, 7, 2, 13, 1, 12, 3, 6, 4, 5, 14, 8, 0][q]),
            &|q, k| hit(q >= k + 2 && q <= k + 5),
        ]],
    );
    let expected: [&[Role]; 11] = [
        &[Role::PREVIOUS],
        &[Role::NEXT],
        &[Role::SELF_TOKEN],
        &[Role::FIRST_TOKEN],
        &[Role::SEPARATOR],
        &[Role::IDENTITY, Role::DIFFUSE],
        &[Role::DEAD],
        &[Role::DIFFUSE],
        &[Role::OFFSET],
        &[Role::ONE_TO_ONE],
        &[Role::POSITIONAL],
    ];
    let found = kinds(&capture);
    for (head, (found, expected)) in found.iter().zip(expected).enumerate() {
        // Tokens without a repeat are uniform in the identity head, so it may be diffuse or not.
        let found: Vec<Role> = found
            .iter()
            .filter(|kind| head != 5 || **kind != Role::DIFFUSE)
            .cloned()
            .collect();
        let expected: Vec<Role> = expected
            .iter()
            .filter(|kind| head != 5 || **kind != Role::DIFFUSE)
            .cloned()
            .collect();
        assert_eq!(found, expected, "head {head}");
    }
}

#[test]
fn the_reason_names_score_chance_and_example() {
    let attention = Attention::DecoderSelf;
    let capture = planted(
        attention,
        Mask::Causal,
        texts(attention, &["to be or not"]),
        &[&[&|q, k| hit(k + 1 == q)]],
    );
    let scores = score_heads(&capture, &ScoreList::builtin(), &ScoreParams::default(), &()).unwrap();
    let labels = head_labels(&scores[0], &ScoreList::builtin(), &Rules::default());
    assert_eq!(
        labels[0].reason,
        "1.00 of attention goes to the previous token (chance 0.36; 3 rows); for example 1.00 from `not` (token 3) to `or` (token 2) in sequence 0"
    );
    assert_eq!(labels[0].example.as_ref().unwrap().query_text, "not");
    let roles = heads_by_role(&labels, &Rules::default());
    assert_eq!((&roles[0].0, roles[0].1[0].head), (&Role::PREVIOUS, scores[0].head));
}

#[test]
fn rules_are_data() {
    let attention = Attention::DecoderSelf;
    let capture = planted(
        attention,
        Mask::Causal,
        texts(attention, &["to be or not"]),
        &[&[&|q, k| hit(k + 1 == q)]],
    );
    let scores = score_heads(&capture, &ScoreList::builtin(), &ScoreParams::default(), &()).unwrap();
    let json = serde_json::to_string(&Rules::default()).unwrap();
    let mut rules: Rules = serde_json::from_str(&json).unwrap();
    assert_eq!(rules, Rules::default());
    rules.0.retain(|rule| rule.role != Role::PREVIOUS);
    assert_eq!(
        head_labels(&scores[0], &ScoreList::builtin(), &rules)[0].role,
        Role::POSITIONAL
    );
}

#[test]
fn fixed_offsets_are_named_with_their_offset() {
    let attention = Attention::EncoderSelf;
    let lines = ["one two three four five six seven eight nine", "a b c d e f g h"];
    let capture = planted(
        attention,
        Mask::Full,
        texts(attention, &lines),
        &[&[&|q, k| hit(k == q + 2), &|q, k| hit(k + 3 == q)]],
    );
    let scores = score_heads(&capture, &ScoreList::builtin(), &ScoreParams::default(), &()).unwrap();
    let expected = [
        ("the token 2 after, the best of 14 offsets", "offset +2"),
        ("the token 3 before, the best of 14 offsets", "offset −3"),
    ];
    for (scores, (words, name)) in scores.iter().zip(expected) {
        let labels = head_labels(scores, &ScoreList::builtin(), &Rules::default());
        assert_eq!(labels[0].role, Role::OFFSET);
        assert_eq!(labels[0].name(), name);
        assert!(labels[0].reason.contains(words), "{}", labels[0].reason);
        let score = scores.get(&ScoreId::OFFSET).unwrap();
        assert!((score.value - 1.0).abs() < 1e-5);
        assert!((score.chance - 0.5 * (1.0 / 9.0 + 1.0 / 8.0)).abs() < 1e-9);
    }
    // Patches have no before and after.
    assert!(scores[0].get(&ScoreId::PREVIOUS).unwrap().value < 0.2);
}

#[test]
fn what_lies_beyond_a_separator_is_a_counterpart() {
    let attention = Attention::EncoderSelf;
    let line = "[CLS] a b c d [SEP] d b a c [SEP]";
    let tokens = words(line);
    let other = |q: usize, k: usize| hit(q != k && tokens[q].text == tokens[k].text && !tokens[q].special);
    let reaction = "a b c >> b c a";
    let of_reaction = words(reaction);
    let product = |q: usize, k: usize| hit(q != k && of_reaction[q].text == of_reaction[k].text);
    for (line, pattern) in [(line, &other as Pattern<'_>), (reaction, &product)] {
        let capture = planted(attention, Mask::Full, texts(attention, &[line; 40]), &[&[pattern]]);
        let scores = score_heads(&capture, &ScoreList::builtin(), &ScoreParams::default(), &()).unwrap();
        let score = scores[0].get(&ScoreId::COUNTERPART).unwrap();
        assert!((score.value - 1.0).abs() < 1e-5, "{score:?}");
        assert!((score.chance - 1.0 / words(line).len() as f64).abs() < 1e-9);
        assert!(kinds(&capture)[0].contains(&Role::COUNTERPART), "{line}: {score:?}");
    }
    // Within one segment there is no counterpart.
    let capture = planted(
        attention,
        Mask::Full,
        texts(attention, &["a b a b"; 2]),
        &[&[&|q, k| hit(q != k && q % 2 == k % 2)]],
    );
    assert!(!kinds(&capture)[0].contains(&Role::COUNTERPART));
}

#[test]
fn words_match_in_any_form_and_delimiters_are_found() {
    let attention = Attention::EncoderSelf;
    let line = "The cat , the dog . Cats";
    let tokens = words(line);
    let form = |q: usize, k: usize| hit(q != k && tokens[q].text.to_lowercase() == tokens[k].text.to_lowercase());
    let comma = |_: usize, k: usize| {
        if [",", "."].contains(&&*tokens[k].text) {
            0.5
        } else {
            NONE
        }
    };
    let capture = planted(attention, Mask::Full, texts(attention, &[line; 2]), &[&[&form, &comma]]);
    let found = kinds(&capture);
    assert!(
        found[0].contains(&Role::SAME_WORD) && !found[0].contains(&Role::IDENTITY),
        "{found:?}"
    );
    assert!(found[1].contains(&Role::DELIMITER), "{found:?}");
    let scores = score_heads(&capture, &ScoreList::builtin(), &ScoreParams::default(), &()).unwrap();
    let delimiter = scores[1].get(&ScoreId::DELIMITER).unwrap();
    assert!((delimiter.value - 1.0).abs() < 1e-5 && (delimiter.chance - 2.0 / 7.0).abs() < 1e-9);
}

/// Choices are mutual in a permutation; if all look at one key, only one of them is chosen back.
#[test]
fn one_to_one_by_hand() {
    let attention = Attention::EncoderSelf;
    let to = [4, 2, 0, 5, 1, 3];
    let strong = |q: usize, k: usize| if k == to[q] { 0.75 } else { 0.05 };
    let capture = planted(
        attention,
        Mask::Full,
        texts(attention, &["a b c d e f"]),
        &[&[&strong, &|q, k| if k == 2 { 0.5 + 0.01 * q as f32 } else { 0.1 }]],
    );
    let scores = score_heads(&capture, &ScoreList::builtin(), &ScoreParams::default(), &()).unwrap();
    let of = |head: usize| scores[head].get(&ScoreId::ONE_TO_ONE).unwrap();
    assert!((of(0).value - 0.75).abs() < 1e-5, "{:?}", of(0));
    let example = of(0).example.as_ref().unwrap();
    assert_eq!(example.key, to[example.query]);
    // The last query gives the key most: 0.55 of 1.05, one row of six.
    assert!((of(1).value - 0.55 / 1.05 / 6.0).abs() < 1e-5, "{:?}", of(1));
}

#[test]
fn cross_attention_in_order_is_aligned_or_monotonic() {
    let attention = Attention::Cross;
    let line = "a b c d e f g h > p q r s";
    let capture = planted(
        attention,
        Mask::Full,
        texts(attention, &[line; 2]),
        &[&[
            // The relative place; the start, slowly; the same place always; backwards.
            &|q, k| hit(k == [0, 2, 5, 7][q]),
            &|q, k| hit(k == [0, 1, 2, 3][q]),
            &|_, k| hit(k == 5),
            &|q, k| hit(k == [7, 5, 2, 0][q]),
        ]],
    );
    let scores = score_heads(&capture, &ScoreList::builtin(), &ScoreParams::default(), &()).unwrap();
    let monotonic = |head: usize| scores[head].get(&ScoreId::MONOTONIC).unwrap().value;
    for (head, value) in [(0, 1.0), (1, 1.0), (2, 0.5), (3, 0.0)] {
        assert!((monotonic(head) - value).abs() < 1e-5, "{head}: {}", monotonic(head));
    }
    assert!((scores[0].get(&ScoreId::ALIGNED).unwrap().value - 1.0).abs() < 1e-5);
    let found = kinds(&capture);
    assert!(
        found[0].contains(&Role::ALIGNED) && !found[0].contains(&Role::MONOTONIC),
        "{found:?}"
    );
    assert!(found[1].contains(&Role::MONOTONIC), "{found:?}");
    assert!(!found[2].contains(&Role::MONOTONIC) && !found[3].contains(&Role::MONOTONIC));
}

/// A head that looks one back is that, though the pairs of tokens that stand beside each other explain it too.
#[test]
fn a_previous_token_head_is_not_called_semantic() {
    let score = |value: f64, chance: f64| Score {
        value,
        chance,
        permuted: None,
        rows: 90,
        example: None,
    };
    let scores = HeadScores {
        head: HeadId::new(Attention::DecoderSelf, 0, 0),
        scores: [
            (ScoreId::PREVIOUS, score(0.9, 0.1)),
            (ScoreId::CONTENT, score(0.98, 0.0)),
            (ScoreId::POSITIONAL, score(0.99, 0.0)),
        ]
        .into(),
    };
    let labels = head_labels(&scores, &ScoreList::builtin(), &Rules::default());
    let roles: Vec<&Role> = labels.iter().map(|label| &label.role).collect();
    assert_eq!(roles, [&Role::PREVIOUS, &Role::SEMANTIC]);
}
