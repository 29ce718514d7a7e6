//! Files of labeled words, their words in a capture, and label sets computed from them.

use attn_core::{
    Attention, Capture, CaptureWriter, ModelInfo, Sequence, Side, Token, TokenColumn,
    capture::{CaptureOptions, CapturePlan, Slot},
    model::{AttentionInfo, LayerAttention, Mask, Positions},
};
use ndarray::array;

use crate::{
    Error,
    concepts::{FrequencyFilter, LabelSet, Subwords, TaggedText, Words},
};

/// One layer whose hidden state after it is `[token, 10 * token]`.
fn capture(text: &str, tokens: &[(&str, Option<(usize, usize)>)]) -> Capture {
    let attention = Attention::EncoderSelf;
    let layer = LayerAttention::new(1.0, Mask::Full);
    let model = ModelInfo {
        name: "m".into(),
        family: "bert".into(),
        hidden_size: 2,
        vocab_size: None,
        max_tokens: None,
        positions: Positions::None,
        attentions: vec![AttentionInfo::new(attention, 1, 2, vec![layer])],
    };
    let encoder = tokens.iter().enumerate().map(|(position, (text, span))| Token {
        text: (*text).into(),
        position,
        span: *span,
        special: span.is_none(),
        ..Token::default()
    });
    let sequence = Sequence {
        name: "line 1".into(),
        text: Some(text.into()),
        encoder: encoder.collect(),
        ..Sequence::default()
    };
    let mut plan = CapturePlan::new(model, vec![sequence]);
    plan.options = CaptureOptions {
        hidden: true,
        ..CaptureOptions::default()
    };
    let writer = CaptureWriter::in_memory(plan).unwrap();
    let zeros = vec![0.0; 2 * tokens.len()];
    for slot in [
        Slot::Query { attention, layer: 0 },
        Slot::Key { attention, layer: 0 },
        Slot::Value { attention, layer: 0 },
        Slot::Hidden {
            side: Side::Encoder,
            layer: 0,
        },
    ] {
        writer.write(slot, 0, &zeros).unwrap();
    }
    let hidden: Vec<f32> = (0..tokens.len()).flat_map(|at| [at as f32, 10.0 * at as f32]).collect();
    writer
        .write(
            Slot::Hidden {
                side: Side::Encoder,
                layer: 1,
            },
            0,
            &hidden,
        )
        .unwrap();
    writer.commit(&[0]).unwrap();
    writer.finish().unwrap()
}

#[test]
fn words_find_their_tokens() {
    // `strange` is two tokens; the third word has none; a token may begin with its space.
    let corpus = TaggedText::word_tag("strange_ADJ new_ADJ \u{200b}_X day_NOUN", "c", '_').unwrap();
    let text = corpus.sentences[0].text.clone();
    assert_eq!(text, "strange new \u{200b} day");
    let tokens = [
        ("[CLS]", None),
        ("strang", Some((0, 6))),
        ("##e", Some((6, 7))),
        ("new", Some((7, 11))),
        ("day", Some((16, 19))),
        ("[SEP]", None),
    ];
    let capture = capture(&text, &tokens);
    let words = Words::find(&corpus, &capture, Side::Encoder).unwrap();
    let found: Vec<_> = words
        .words
        .iter()
        .map(|word| (word.text.as_str(), word.tokens.clone()))
        .collect();
    assert_eq!(found, [("strange", vec![1, 2]), ("new", vec![3]), ("day", vec![4])]);
    assert_eq!((words.dropped.len(), words.dropped[0].index), (1, 2));
    let vectors = |subwords| words.vectors(&capture, Side::Encoder, 1, subwords).unwrap();
    assert_eq!(vectors(Subwords::Last), array![[2.0, 20.0], [3.0, 30.0], [4.0, 40.0]]);
    assert_eq!(vectors(Subwords::First).row(0), array![1.0, 10.0]);
    assert_eq!(vectors(Subwords::Average).row(0), array![1.5, 15.0]);
    assert!(matches!(
        words.vectors(&capture, Side::Encoder, 2, Subwords::Last),
        Err(Error::Core(_))
    ));

    let upos = LabelSet::column(&corpus, &words, "tag").unwrap();
    assert_eq!((upos.labels.join(" "), upos.counts()), ("ADJ NOUN".into(), vec![2, 1]));
    assert!(matches!(
        LabelSet::column(&corpus, &words, "xpos"),
        Err(Error::Parameter { .. })
    ));
    let tags = [None, Some("ADJ"), Some("ADJ"), Some("ADJ"), Some("NOUN"), None];
    let column = TokenColumn::from_texts("tag", &tags, &[]);
    let of_tokens = LabelSet::tokens(&capture, Side::Encoder, &words, &column).unwrap();
    assert_eq!(of_tokens, upos, "a column of tokens gives the labels of their words");
    let place = LabelSet::place(&corpus, &words).unwrap();
    assert_eq!((place.labels.len(), place.of), (2, vec![vec![0], vec![], vec![1]]));
    let other = TaggedText::word_tag("strange_ADJ", "c", '_').unwrap();
    assert!(matches!(
        Words::find(&other, &capture, Side::Encoder),
        Err(Error::Shape { .. })
    ));
}

#[test]
fn filters_keep_what_they_say() {
    let line = ["a_X"; 7].join(" ") + " " + &["b_X"; 3].join(" ") + " c_X";
    let corpus = TaggedText::word_tag(&line, "c", '_').unwrap();
    let text = corpus.sentences[0].text.clone();
    let tokens: Vec<(&str, Option<(usize, usize)>)> = (0..11).map(|at| ("t", Some((2 * at, 2 * at + 1)))).collect();
    let all = Words::find(&corpus, &capture(&text, &tokens), Side::Encoder).unwrap();
    let kept = |filter: FrequencyFilter| {
        let mut words = all.clone();
        let filtered = words.filter(&filter);
        (words.words.iter().map(|word| word.index).collect::<Vec<_>>(), filtered)
    };
    let first = FrequencyFilter {
        at_least: 2,
        drop_above: None,
        at_most: Some(4),
        seed: None,
    };
    let (indices, filtered) = kept(first.clone());
    assert_eq!(indices, [0, 1, 2, 3, 7, 8, 9]);
    assert_eq!(
        (filtered.rare, filtered.frequent, filtered.surplus),
        ((1, 1), (0, 0), 3)
    );
    let (drawn, _) = kept(FrequencyFilter {
        seed: Some(1),
        ..first.clone()
    });
    assert!(drawn.len() == 7 && drawn != indices && drawn.is_sorted());
    let (indices, filtered) = kept(FrequencyFilter {
        drop_above: Some(5),
        ..first
    });
    assert_eq!((indices, filtered.frequent), (vec![7, 8, 9], (1, 7)));
}

#[test]
fn lexical_sets_come_from_spelling() {
    let words = [
        "walking", "Talking", "ring", "walked", "talked", "walks", "4", "walking",
    ];
    let suffixes = LabelSet::suffixes(&words, 2);
    assert_eq!(
        suffixes.labels,
        ["-ed", "-ing", "-ked", "-king", "-lked", "-ng"],
        "ring shares only -ng: its stem needs two letters"
    );
    assert_eq!(
        suffixes.counts()[suffixes.labels.iter().position(|label| label == "-ng").unwrap()],
        4
    );
    assert!(suffixes.of[6].is_empty() && suffixes.of[0] == suffixes.of[7]);
    assert_eq!(
        LabelSet::prefixes(&words, 3).labels,
        ["wa-", "wal-"],
        "walks has too few letters for walk-"
    );
    assert_eq!(LabelSet::ngrams(&words, 3, 5).labels, ["alk"]);
}
