//! Scores of planted heads against closed forms.

use std::{ops::ControlFlow, sync::Mutex};

use attn_core::{Attention, Capture, Sequence, Token, capture::Slot, model::Mask, sequence::ImageInfo};
use proptest::prelude::*;

use super::*;
use crate::{Error, heads::*};

fn score(capture: &Capture) -> Vec<HeadScores> {
    score_heads(capture, &ScoreList::builtin(), &ScoreParams::default(), &()).unwrap()
}

fn value(scores: &HeadScores, measure: ScoreId) -> f64 {
    scores.get(&measure).unwrap_or_else(|| panic!("no {measure:?}")).value
}

#[test]
fn perfect_heads_score_one_and_chance_is_the_share_of_keys() {
    // Two lines of 7 and 5 tokens; every query sees every key.
    let attention = Attention::EncoderSelf;
    let lines = ["[CLS] the cat and the dog [SEP]", "[CLS] a b c [SEP]"];
    let sequences = texts(attention, &lines);
    let last = |query: usize, key: usize| hit(key == if query < 7 { 6 } else { 4 });
    let capture = planted(
        attention,
        Mask::Full,
        sequences,
        &[&[
            &|q, k| hit(k + 1 == q),
            &|q, k| hit(k == q + 1),
            &|q, k| hit(k == q),
            &|_, k| hit(k == 0),
            &last,
        ]],
    );
    let scores = score(&capture);
    let chance = (1.0 / 7.0 + 1.0 / 5.0) / 2.0;
    let expected = [
        (ScoreId::PREVIOUS, 6 + 4),
        (ScoreId::NEXT, 6 + 4),
        (ScoreId::SELF_TOKEN, 7 + 5),
        (ScoreId::FIRST_TOKEN, 6 + 4),
    ];
    for (head, (measure, rows)) in expected.iter().enumerate() {
        let score = scores[head].get(measure).unwrap();
        assert!((score.value - 1.0).abs() < 1e-5, "{measure:?} {score:?}");
        assert!((score.chance - chance).abs() < 1e-12, "{measure:?} {score:?}");
        assert_eq!((score.rows, score.permuted), (*rows, None));
        for (other, _) in expected.iter().filter(|(other, _)| other != measure) {
            // Row 1 has the first token as its previous one, row 0 as itself; a query without its key (previous of 0)
            // is uniform.
            assert!(value(&scores[head], other.clone()) < 0.3, "{measure:?} {other:?}");
        }
    }
    // The fifth head looks at token 6, the separator of the long line, where there is one: in the short one it is
    // uniform over 5 keys.
    let separator = scores[4].get(&ScoreId::SEPARATOR).unwrap();
    assert!((separator.value - (1.0 + 0.2) / 2.0).abs() < 1e-5 && (separator.chance - chance).abs() < 1e-12);
    assert_eq!(separator.rows, 6 + 4);
    assert!(scores[4].get(&ScoreId::INDUCTION).is_none() && scores[4].get(&ScoreId::SAME_ROW).is_none());
}

#[test]
fn a_uniform_head_scores_its_chance_everywhere() {
    let lines = ["the cat and the dog and the owl", "a b a", "alone"];
    for (attention, mask) in [
        (Attention::EncoderSelf, Mask::Full),
        (Attention::DecoderSelf, Mask::Causal),
        (Attention::DecoderSelf, Mask::Window { width: 3 }),
    ] {
        let capture = planted(attention, mask, texts(attention, &lines), &[&[&|_, _| 1.0]]);
        let scores = &score(&capture)[0];
        for (measure, score) in &scores.scores {
            let chance = if *measure == ScoreId::POSITIONAL {
                0.0
            } else {
                score.chance
            };
            assert!((score.value - chance).abs() < 1e-5, "{mask:?} {measure:?} {score:?}");
        }
        assert!(scores.get(&ScoreId::IDENTITY).is_some());
        assert!((value(scores, ScoreId::ENTROPY) - 1.0).abs() < 1e-6);
        // Rows that see one key (the first of a causal line, the only one of `alone`) do not count.
        let visible = match mask {
            Mask::Full => (8.0 + 3.0) / 2.0,
            Mask::Causal => ((2..=8).sum::<usize>() as f64 / 7.0 + 2.5) / 2.0,
            Mask::Window { .. } => ((2 + 6 * 3) as f64 / 7.0 + 2.5) / 2.0,
            Mask::Local { .. } => unreachable!("not in the list above"),
        };
        assert!((value(scores, ScoreId::EFFECTIVE_KEYS) - visible).abs() < 1e-4);
        assert_eq!(value(scores, ScoreId::SPARSITY).round(), 0.0);
    }
}

#[test]
fn shape_of_rows_by_hand() {
    // Every row has weights 1/2, 1/4, 1/8, 1/8 on its four keys.
    let attention = Attention::EncoderSelf;
    let row = [0.5, 0.25, 0.125, 0.125];
    let capture = planted(
        attention,
        Mask::Full,
        texts(attention, &["a b c d"]),
        &[&[&|_, k| row[k], &|_, k| hit(k == 2)]],
    );
    let scores = score(&capture);
    // 1.75 bits of 2.
    assert!((value(&scores[0], ScoreId::ENTROPY) - 1.75 / 2.0).abs() < 1e-6);
    assert!((value(&scores[0], ScoreId::EFFECTIVE_KEYS) - 2_f64.powf(1.75)).abs() < 1e-5);
    let length = (0.25_f64 + 0.0625 + 2.0 / 64.0).sqrt();
    assert!((value(&scores[0], ScoreId::SPARSITY) - (2.0 - 1.0 / length)).abs() < 1e-6);
    let example = scores[0].get(&ScoreId::ENTROPY).unwrap().example.clone().unwrap();
    assert_eq!(
        (example.sequence, example.query, example.key, example.key_text.as_str()),
        (0, 0, 0, "a")
    );
    for (measure, expected) in [
        (ScoreId::ENTROPY, 0.0),
        (ScoreId::EFFECTIVE_KEYS, 1.0),
        (ScoreId::SPARSITY, 1.0),
    ] {
        assert!((value(&scores[1], measure) - expected).abs() < 1e-6);
    }
}

#[test]
fn identity_beats_its_permutation_and_position_does_not_pass_for_it() {
    let attention = Attention::EncoderSelf;
    let lines = ["a b c a d e b c f g", "x y z z y x v w v u", "p q r s t p u v w q"];
    let sequences = texts(attention, &lines);
    // Same word elsewhere, for the line at hand: lines are told apart by nothing but their rows, so plant each alone.
    for line in lines {
        let tokens = words(line);
        let same = |q: usize, k: usize| hit(q != k && tokens[q].text == tokens[k].text);
        let capture = planted(attention, Mask::Full, texts(attention, &[line]), &[&[&same]]);
        let scores = &score(&capture)[0];
        let identity = scores.get(&ScoreId::IDENTITY).unwrap();
        let repeated: usize = (0..10)
            .filter(|&q| (0..10).any(|k| k != q && tokens[q].text == tokens[k].text))
            .count();
        assert!((identity.value - 1.0).abs() < 1e-5);
        assert_eq!(identity.rows, repeated);
        assert!(identity.permuted.unwrap() < 0.6, "{identity:?}");
        let example = identity.example.as_ref().unwrap();
        assert!(example.query != example.key && example.query_text == example.key_text);
    }
    let capture = planted(attention, Mask::Full, sequences, &[&[&|q, k| hit(k == q)]]);
    assert!(value(&score(&capture)[0], ScoreId::IDENTITY) < 1e-5);
}

#[test]
fn positional_heads_are_explained_by_offset_and_content_heads_are_not() {
    let attention = Attention::DecoderSelf;
    let line: Vec<String> = (0..24).map(|i| format!("w{i}")).collect();
    let (long, short) = (line.join(" "), line[..12].join(" "));
    let sequences = texts(attention, &[&long, &short]);
    // A window that fades with distance; a head that looks at certain words wherever they stand.
    let capture = planted(
        attention,
        Mask::Causal,
        sequences,
        &[&[
            &|q, k| 0.6_f32.powi(i32::try_from(q.saturating_sub(k)).unwrap()),
            &|_, k| hit(k * k % 7 == 2),
        ]],
    );
    let scores = score(&capture);
    let window = scores[0].get(&ScoreId::POSITIONAL).unwrap();
    assert!(
        window.value > 0.999 && window.permuted.unwrap() < 0.4 && window.chance == 0.0,
        "{window:?}"
    );
    assert!(
        scores[1].strength(&crate::heads::scores::POSITIONAL).unwrap() < 0.35,
        "{:?}",
        scores[1].get(&ScoreId::POSITIONAL)
    );
}

#[test]
fn patches_have_rows_columns_and_neighbors() {
    let attention = Attention::EncoderSelf;
    let (rows, columns) = (3, 4);
    let patch = |(row, column)| Token {
        text: format!("{row},{column}"),
        patch: Some((row, column)),
        ..Token::default()
    };
    let grid: Vec<(usize, usize)> = (0..rows)
        .flat_map(|row| (0..columns).map(move |column| (row, column)))
        .collect();
    let mut encoder = vec![Token {
        text: "[CLS]".into(),
        special: true,
        ..Token::default()
    }];
    encoder.extend(grid.iter().copied().map(patch));
    let image = Sequence {
        name: "image".into(),
        image: Some(ImageInfo {
            path: None,
            rows,
            columns,
            data: None,
        }),
        encoder,
        ..Sequence::default()
    };
    let at = |token: usize| (token > 0).then(|| grid[token - 1]);
    let both = |q: usize, k: usize, test: &dyn Fn((usize, usize), (usize, usize)) -> bool| match (at(q), at(k)) {
        (Some(a), Some(b)) => hit(a != b && test(a, b)),
        _ => NONE,
    };
    let capture = planted(
        attention,
        Mask::Full,
        vec![image],
        &[&[
            &|q, k| both(q, k, &|a, b| a.0 == b.0),
            &|q, k| both(q, k, &|a, b| a.1 == b.1),
            &|q, k| both(q, k, &|a, b| a.0.abs_diff(b.0) <= 1 && a.1.abs_diff(b.1) <= 1),
            &|q, k| hit(k == q),
            &|_, _| 1.0,
        ]],
    );
    let scores = score(&capture);
    // Of 13 keys: 3 others in a row, 2 in a column; around, on average, 58 pairs (17 pairs side by side and 12 diagonal
    // ones, twice) over 12 patches.
    let expected = [
        (ScoreId::SAME_ROW, 3.0 / 13.0, 12),
        (ScoreId::SAME_COLUMN, 2.0 / 13.0, 12),
        (ScoreId::NEIGHBOR, 58.0 / 12.0 / 13.0, 12),
        (ScoreId::SELF_TOKEN, 1.0 / 13.0, 13),
    ];
    for (head, (measure, chance, rows)) in expected.into_iter().enumerate() {
        let score = scores[head].get(&measure).unwrap();
        assert!(
            (score.value - 1.0).abs() < 1e-5 && (score.chance - chance).abs() < 1e-12,
            "{measure:?} {score:?}"
        );
        assert_eq!(score.rows, rows);
        assert!((value(&scores[4], measure) - chance).abs() < 1e-6);
    }
    for text_only in [ScoreId::PREVIOUS, ScoreId::NEXT, ScoreId::IDENTITY, ScoreId::SEPARATOR] {
        assert!(scores[0].get(&text_only).is_none(), "{text_only:?}");
    }
}

#[test]
fn cross_attention_that_copies() {
    let attention = Attention::Cross;
    let sequences = texts(attention, &["b a c [SEP] > [BOS] c b"]);
    let capture = planted(
        attention,
        Mask::Full,
        sequences,
        &[&[&|q, k| hit([(0, 3), (1, 2), (2, 0)].contains(&(q, k)))]],
    );
    let scores = &score(&capture)[0];
    let identity = scores.get(&ScoreId::IDENTITY).unwrap();
    assert!((identity.value - 1.0).abs() < 1e-5 && (identity.chance - 0.25).abs() < 1e-12);
    assert_eq!(identity.rows, 2);
    // One of three target tokens looks at the source's end, one at its first token.
    for measure in [ScoreId::SEPARATOR, ScoreId::FIRST_TOKEN] {
        assert!((value(scores, measure.clone()) - 1.0 / 3.0).abs() < 1e-5, "{measure:?}");
    }
    assert!(scores.get(&ScoreId::PREVIOUS).is_none() && scores.get(&ScoreId::SELF_TOKEN).is_none());
}

#[test]
fn induction_heads_on_repeated_ids() {
    let attention = Attention::DecoderSelf;
    let (length, count) = (10, 3);
    let sequences: Vec<Sequence> = repeated_ids(5..500, length, count, 7)
        .unwrap()
        .into_iter()
        .map(|ids| {
            let mut decoder = words("[BOS]");
            decoder.extend(ids.iter().enumerate().map(|(i, &id)| Token {
                text: format!("t{id}"),
                id: Some(id),
                position: i + 1,
                ..Token::default()
            }));
            Sequence {
                decoder,
                ..Sequence::default()
            }
        })
        .collect();
    let capture = planted(
        attention,
        Mask::Causal,
        sequences,
        &[&[
            &|q, k| hit(q > length && k == q - length + 1),
            &|q, k| hit(q > length && k == q - length),
            &|_, _| 1.0,
        ]],
    );
    let scores = repeat_scores(&capture, &ScoreList::builtin(), &()).unwrap();
    let chance = (length + 1..=2 * length)
        .map(|query| 1.0 / (query + 1) as f64)
        .sum::<f64>()
        / length as f64;
    for (head, measure, other) in [
        (0, ScoreId::INDUCTION, ScoreId::DUPLICATE),
        (1, ScoreId::DUPLICATE, ScoreId::INDUCTION),
    ] {
        let score = scores[head].get(&measure).unwrap();
        assert!(
            (score.value - 1.0).abs() < 1e-5 && (score.chance - chance).abs() < 1e-12,
            "{score:?}"
        );
        assert_eq!(score.rows, length * count);
        assert!(value(&scores[head], other) < 1e-5);
        assert!((value(&scores[2], measure) - chance).abs() < 1e-6);
        let alone = capture.attention(scores[0].head, 0).unwrap();
        let alone = induction_score(alone.view(), Mask::Causal, 1..2 * length + 1).unwrap();
        assert!((alone.value - 1.0).abs() < 1e-5 && (alone.chance - chance).abs() < 1e-12);
    }
    let mut all = score_heads(&capture, &ScoreList::builtin(), &ScoreParams::default(), &()).unwrap();
    HeadScores::extend(&mut all, &scores);
    assert!(all[0].get(&ScoreId::INDUCTION).is_some() && all[0].get(&ScoreId::ENTROPY).is_some());
    assert_eq!(
        head_labels(&all[0], &ScoreList::builtin(), &Rules::default())[0].role,
        Role::INDUCTION
    );
}

#[test]
fn repeated_ids_are_distinct_inside_and_seeded() {
    let sequences = repeated_ids(10..22, 12, 50, 3).unwrap();
    for sequence in &sequences {
        let (first, second) = sequence.split_at(12);
        assert_eq!(first, second);
        let mut sorted = first.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, (10..22).collect::<Vec<u32>>());
    }
    // A shuffle puts every id everywhere: 50 sequences, 12 places.
    let first_is_10 = sequences.iter().filter(|s| s[0] == 10).count();
    assert!((1..=12).contains(&first_is_10), "{first_is_10}");
    assert_eq!(sequences, repeated_ids(10..22, 12, 50, 3).unwrap());
    assert_ne!(sequences, repeated_ids(10..22, 12, 50, 4).unwrap());
    assert!(matches!(
        repeated_ids(10..21, 12, 1, 0),
        Err(Error::Parameter { name: "vocab", .. })
    ));
    assert!(matches!(
        repeated_ids(10..21, 1, 1, 0),
        Err(Error::Parameter { name: "length", .. })
    ));
}

#[test]
fn what_does_not_repeat_is_named() {
    let attention = Attention::DecoderSelf;
    for (line, found) in [
        ("[BOS] a b c a b d", "`c` at 3 and `d` at 6"),
        ("a b c a b", "5 tokens"),
        ("[BOS] a a", "2 tokens"),
    ] {
        let capture = planted(attention, Mask::Causal, texts(attention, &[line]), &[&[&|_, _| 1.0]]);
        let message = repeat_scores(&capture, &ScoreList::builtin(), &())
            .unwrap_err()
            .to_string();
        assert!(message.starts_with("line 1: ") && message.ends_with(found), "{message}");
    }
    let square = ndarray::Array2::<f32>::eye(6);
    assert!(matches!(
        induction_score(square.view(), Mask::Full, 0..5),
        Err(Error::Shape { .. })
    ));
    assert!(matches!(
        induction_score(square.view(), Mask::Full, 2..8),
        Err(Error::Shape { .. })
    ));
    assert!(matches!(
        induction_score(square.view(), Mask::Window { width: 1 }, 0..6),
        Err(Error::Empty { .. })
    ));
}

#[test]
fn the_same_bits_on_any_number_of_threads_and_for_any_company() {
    let attention = Attention::DecoderSelf;
    let lines: Vec<String> = (0..40)
        .map(|i| {
            (0..5 + i % 7)
                .map(|j| format!("w{}", (i * j) % 5))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let noisy = |q: usize, k: usize| 1.0 + ((q * 31 + k * 17) % 13) as f32;
    let steep = |q: usize, k: usize| 1.0 + ((q * 5 + k * 3) % 11) as f32 * 4.0;
    let capture = planted(
        attention,
        Mask::Causal,
        texts(attention, &lines),
        &[&[&noisy, &steep], &[&steep, &noisy]],
    );
    let options = ScoreParams {
        max_sequences: 25,
        seed: 4,
    };
    let one = on_threads(1, || {
        score_heads(&capture, &ScoreList::builtin(), &options, &()).unwrap()
    });
    let four = on_threads(4, || {
        score_heads(&capture, &ScoreList::builtin(), &options, &()).unwrap()
    });
    assert_eq!(one, four);
    assert_eq!(one[0].scores, one[3].scores);
    let other = score_heads(
        &capture,
        &ScoreList::builtin(),
        &ScoreParams { seed: 5, ..options },
        &(),
    )
    .unwrap();
    assert_ne!(one, other);
    let json = serde_json::to_string(&one).unwrap();
    assert!(json.contains("\"self_token\""));
    assert_eq!(
        serde_json::from_str::<Vec<HeadScores>>(&json).unwrap()[1].head,
        one[1].head
    );
}

#[test]
fn progress_is_told_and_obeyed_and_bad_input_is_named() {
    let attention = Attention::EncoderSelf;
    let capture = planted(
        attention,
        Mask::Full,
        texts(attention, &["a b c"; 20]),
        &[&[&|_, _| 1.0, &|_, _| 1.0, &|_, _| 1.0]],
    );
    let calls = Mutex::new(Vec::new());
    let listen = |stage: &str, done: usize, total: usize| {
        calls.lock().unwrap().push((stage.to_owned(), done, total));
        ControlFlow::Continue(())
    };
    score_heads(&capture, &ScoreList::builtin(), &ScoreParams::default(), &listen).unwrap();
    let calls = calls.into_inner().unwrap();
    assert_eq!(calls[0], ("head scores".into(), 0, 60));
    assert!(calls.contains(&("head scores".into(), 60, 60)));
    let stop = |_: &str, done: usize, _: usize| {
        if done >= 30 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    assert!(
        score_heads(&capture, &ScoreList::builtin(), &ScoreParams::default(), &stop)
            .unwrap_err()
            .is_cancelled()
    );

    let nothing = ScoreParams {
        max_sequences: 0,
        ..ScoreParams::default()
    };
    assert!(matches!(
        score_heads(&capture, &ScoreList::builtin(), &nothing, &()),
        Err(Error::Parameter {
            name: "max_sequences",
            ..
        })
    ));
    let alone = planted(attention, Mask::Full, texts(attention, &["a", "b"]), &[&[&|_, _| 1.0]]);
    assert!(matches!(
        score_heads(&alone, &ScoreList::builtin(), &ScoreParams::default(), &()),
        Err(Error::Empty { .. })
    ));
    // Finite vectors whose product is not.
    let huge = vectors(
        attention,
        Mask::Full,
        texts(attention, &["a b", "c d"]),
        1,
        2,
        2,
        |slot, head, _, _, _| match slot {
            Slot::Query { .. } | Slot::Key { .. } if head == 1 => 1e30,
            _ => 1.0,
        },
    );
    let message = score_heads(&huge, &ScoreList::builtin(), &ScoreParams::default(), &())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("layer 0, head 1, `line 1`, attention of query 0: value 0 is NaN"),
        "{message}"
    );
    for error in [
        divergence(&huge, attention, &DivergenceParams::default(), &()).unwrap_err(),
        capture_rollout(&huge, attention, 0, &()).unwrap_err(),
    ] {
        assert!(
            matches!(error, Error::Core(attn_core::Error::NotFinite { .. })),
            "{error}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_attention_gives_what_a_plain_loop_gives(
        lengths in prop::collection::vec(2_usize..9, 1..4),
        weights in prop::collection::vec(0.001_f32..1.0, 81),
        causal in any::<bool>(),
    ) {
        let attention = Attention::DecoderSelf;
        let mask = if causal { Mask::Causal } else { Mask::Full };
        let lines: Vec<String> = lines_of(&lengths);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let pattern = |q: usize, k: usize| weights[(q * 9 + k) % 81];
        let capture = planted(attention, mask, texts(attention, &lines), &[&[&pattern]]);
        let scores = &score(&capture)[0];

        let (mut previous, mut entropy, mut sequences, mut with_entropy) = (0.0, 0.0, 0.0, 0.0);
        for &n in &lengths {
            let (mut p, mut h, mut rows) = (0.0, 0.0, 0.0);
            let (mut able, first) = (0.0, usize::from(causal));
            for q in first..n {
                let seen = if causal { q + 1 } else { n };
                let total: f64 = (0..seen).map(|k| f64::from(pattern(q, k))).sum();
                let row: Vec<f64> = (0..seen).map(|k| f64::from(pattern(q, k)) / total).collect();
                h -= row.iter().map(|a| a * a.ln()).sum::<f64>() / (seen as f64).ln();
                rows += 1.0;
                if q > 0 {
                    p += row[q - 1];
                    able += 1.0;
                }
            }
            previous += p / able;
            sequences += 1.0;
            entropy += h / rows;
            with_entropy += 1.0;
        }
        prop_assert!((value(scores, ScoreId::PREVIOUS) - previous / sequences).abs() < 1e-5);
        prop_assert!((value(scores, ScoreId::ENTROPY) - entropy / with_entropy).abs() < 1e-5);
        for (measure, score) in &scores.scores {
            let top = if *measure == ScoreId::EFFECTIVE_KEYS { 9.0 } else { 1.0 + 1e-6 };
            prop_assert!((0.0..=top).contains(&score.value) && (0.0..=top).contains(&score.chance), "{measure:?} {score:?}");
            prop_assert!(scores.strength(ScoreList::builtin().get(measure).unwrap()).is_some_and(|s| (0.0..=1.0).contains(&s)));
        }
    }
}

fn lines_of(lengths: &[usize]) -> Vec<String> {
    lengths
        .iter()
        .map(|&n| (0..n).map(|i| format!("w{}", i % 3)).collect::<Vec<_>>().join(" "))
        .collect()
}
