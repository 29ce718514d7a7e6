//! Planted heads must get their names, and no others.

use attn_core::*;

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
            // Content that no rule knows: each token looks at one that is nowhere in particular.
            &|q, k| hit(k == [9, 11, 10, 7, 2, 13, 1, 12, 3, 6, 4, 5, 7, 2, 7][q]),
        ]],
    );
    let expected: [&[Role]; 10] = [
        &[Role::PREVIOUS],
        &[Role::NEXT],
        &[Role::SELF_TOKEN],
        &[Role::FIRST_TOKEN],
        &[Role::SEPARATOR],
        &[Role::IDENTITY, Role::DIFFUSE],
        &[Role::DEAD],
        &[Role::DIFFUSE],
        &[Role::POSITIONAL],
        &[],
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
