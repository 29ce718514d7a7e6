//! Heads that read what tokens are, planted beside heads that read where they stand.

use attn_core::{
    Attention, Capture, CaptureWriter, ModelInfo, Sequence, TokenColumn,
    capture::{CapturePlan, Slot},
    column::ColumnKind,
    model::{AttentionInfo, LayerAttention, Mask, Positions},
};

use super::texts;
use crate::{Rng, heads::*};

/// Lines of letters at random; `then` draws a letter after the one before.
fn lines(count: usize, length: usize, then: impl Fn(usize, &mut Rng) -> usize) -> Vec<String> {
    (0..count)
        .map(|line| {
            let mut rng = Rng::new(4, &[line]);
            let mut letter = rng.below(8);
            let mut words = vec!["[CLS]".to_owned()];
            for _ in 0..length {
                words.push(char::from(b'a' + letter as u8).to_string());
                letter = then(letter, &mut rng);
            }
            words.push("[SEP]".into());
            words.join(" ")
        })
        .collect()
}

/// Plants patterns that see the letters of query and key and their places.
fn content(lines: &[String], pattern: impl Fn(u8, u8, usize, usize) -> f32) -> Vec<HeadContent> {
    let attention = Attention::EncoderSelf;
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let sequences = texts(attention, &lines);
    let length = sequences[0].encoder.len();
    let letter = |line: usize, place: usize| sequences[line].encoder[place].text.as_bytes()[0];
    let weight = |line: usize, q: usize, k: usize| pattern(letter(line, q), letter(line, k), q, k);
    let capture = per_line(attention, sequences.clone(), |line, row, column| {
        if column < length {
            weight(line, row, column).ln()
        } else {
            0.0
        }
    });
    content_scores(
        &capture,
        &TokenColumn::of_tokens(&capture),
        &ScoreParams::default(),
        &(),
    )
    .unwrap()
}

/// One head of one layer; the query of a token is given by its line, its place and the dimension.
fn per_line(attention: Attention, sequences: Vec<Sequence>, query: impl Fn(usize, usize, usize) -> f32) -> Capture {
    let width = sequences[0].encoder.len();
    let model = ModelInfo {
        name: "planted".into(),
        family: "bert".into(),
        hidden_size: width,
        vocab_size: None,
        max_tokens: None,
        positions: Positions::None,
        attentions: vec![AttentionInfo::new(
            attention,
            1,
            width,
            vec![LayerAttention::new(1.0, Mask::Full)],
        )],
    };
    let count = sequences.len();
    let writer = CaptureWriter::in_memory(CapturePlan::new(model, sequences)).unwrap();
    let one_hot: Vec<f32> = (0..width * width).map(|i| f32::from(i % width == i / width)).collect();
    for line in 0..count {
        let queries: Vec<f32> = (0..width * width).map(|i| query(line, i / width, i % width)).collect();
        writer
            .write(Slot::Query { attention, layer: 0 }, line, &queries)
            .unwrap();
        writer.write(Slot::Key { attention, layer: 0 }, line, &one_hot).unwrap();
        writer
            .write(Slot::Value { attention, layer: 0 }, line, &one_hot)
            .unwrap();
        writer.commit(&[line]).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn a_head_that_seeks_the_next_letter_is_explained_by_pairs() {
    let lines = lines(60, 12, |_, rng| rng.below(8));
    let heads = content(&lines, |query, key, _, _| if key == query + 1 { 30.0 } else { 1.0 });
    let score = &heads[0].score;
    assert!(score.value > 0.8, "{score:?}");
    assert!(score.permuted.unwrap() < 0.05, "{score:?}");
    for pair in &heads[0].pairs[..7] {
        assert_eq!(pair.query.as_bytes()[0] + 1, pair.key.as_bytes()[0], "{pair:?}");
        assert!(pair.attention > 2.0 * pair.expected && pair.count >= 3, "{pair:?}");
    }
    let example = score.example.as_ref().unwrap();
    assert_eq!(example.query_text.as_bytes()[0] + 1, example.key_text.as_bytes()[0]);
}

#[test]
fn a_head_that_favors_a_token_is_explained_by_the_key_alone() {
    let lines = lines(60, 12, |_, rng| rng.below(8));
    let heads = content(&lines, |_, key, _, _| if key == b'c' { 20.0 } else { 1.0 });
    assert!(heads[0].score.value > 0.9, "{:?}", heads[0].score);
}

#[test]
fn a_head_that_seeks_a_place_is_not_though_the_text_is_predictable() {
    // After each letter comes, nine times in ten, the next: the token before is also the letter before.
    let lines = lines(60, 12, |letter, rng| {
        if rng.below(10) < 9 {
            (letter + 1) % 8
        } else {
            rng.below(8)
        }
    });
    let heads = content(&lines, |_, _, query, key| if key + 1 == query { 30.0 } else { 1.0 });
    assert!(heads[0].score.value < 0.02, "{:?}", heads[0].score);
}

#[test]
fn uniform_heads_and_single_sequences_say_nothing() {
    let many = lines(20, 12, |_, rng| rng.below(8));
    let heads = content(&many, |_, _, _, _| 1.0);
    assert_eq!(heads[0].score.value, 0.0);
    assert!(content(&many[..1], |_, _, _, _| 1.0).is_empty());
}

#[test]
fn a_column_must_fit_the_capture() {
    let lines = lines(2, 12, |_, rng| rng.below(8));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let capture = per_line(
        Attention::EncoderSelf,
        texts(Attention::EncoderSelf, &lines),
        |_, _, _| 0.0,
    );
    let mut column = TokenColumn::of_tokens(&capture);
    assert!(
        column.has_values() && column.encoder[0].is_nan(),
        "special tokens have no class"
    );
    column.encoder.pop();
    let error = content_scores(&capture, &column, &ScoreParams::default(), &()).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("`token`") && error.contains("28") && error.contains("27"),
        "{error}"
    );
    column.encoder.push(99.0);
    let error = content_scores(&capture, &column, &ScoreParams::default(), &()).unwrap_err();
    assert!(error.to_string().contains("99"), "{error}");
    // Amounts have no classes: nothing can be said.
    let lengths = TokenColumn {
        kind: ColumnKind::Sequential,
        encoder: vec![1.0; 28],
        ..column
    };
    assert!(
        content_scores(&capture, &lengths, &ScoreParams::default(), &())
            .unwrap()
            .is_empty()
    );
}
