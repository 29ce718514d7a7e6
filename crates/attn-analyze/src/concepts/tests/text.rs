//! Files of labeled words, their words in a capture, and label sets computed from them.

use attn_core::{
    Attention, AttentionInfo, Capture, CaptureOptions, CapturePlan, CaptureWriter, LayerAttention, Mask, ModelInfo,
    Positions, Sequence, Side, Slot, Token,
};
use ndarray::array;

use crate::{
    Error,
    concepts::{FrequencyFilter, LabelSet, Subwords, TaggedText, Words},
};

const TWO: &str = "# sent_id = 1\n# text = We can't  sing.\n# sentiment = negative\n\
1\tWe\twe\tPRON\tPRP\tNumber=Plur|Person=1\t4\tnsubj\t_\t_\n\
2-3\tcan't\t_\t_\t_\t_\t_\t_\t_\t_\n\
2\tca\tcan\tAUX\tMD\t_\t4\taux\t_\t_\n\
3\tn't\tnot\tPART\tRB\t_\t4\tadvmod\t_\t_\n\
3.1\tghost\t_\t_\t_\t_\t_\t_\t_\t_\n\
4\tsing\tsing\tVERB\tVB\t_\t0\troot\t_\tSpaceAfter=No\n\
5\t.\t.\tPUNCT\t.\t_\t4\tpunct\t_\t_\n\n\
1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_\n\
1\tde\tde\tADP\t_\t_\t3\tcase\t_\t_\n\
2\tle\tle\tDET\t_\t_\t3\tdet\t_\tClass=x\n\
3\tpain\tpain\tNOUN\t_\t_\t0\troot\t_\tSpaceAfter=No\n\
4\t!\t!\tPUNCT\t_\t_\t3\tpunct\t_\t_\n";

#[test]
fn words_stand_where_the_text_has_them() {
    let text = TaggedText::conllu(TWO, "two", &["upos", "feats.Number", "misc.Class"]).unwrap();
    assert_eq!(text.sentences.len(), 2);
    let first = &text.sentences[0];
    let spans: Vec<&str> = first
        .words
        .iter()
        .map(|word| &first.text[word.span.0..word.span.1])
        .collect();
    assert_eq!(
        spans,
        ["We", "ca", "n't", "sing", "."],
        "a contraction that spells out its words is cut"
    );
    assert_eq!(first.comment("sentiment"), Some("negative"));
    assert_eq!(first.words[0].tags, [Some("PRON".into()), Some("Plur".into()), None]);
    let second = &text.sentences[1];
    assert_eq!((second.text.as_str(), second.line), ("du pain!", 12));
    assert_eq!(second.words[1].span, (0, 2));
    assert_eq!(second.words[1].tags[2].as_deref(), Some("x"));
}

#[test]
fn mistakes_are_named_with_their_line() {
    let line = |content: &str| match TaggedText::conllu(content, "file", &["upos"]) {
        Err(Error::Parse { line, .. }) => line,
        other => panic!("{other:?}"),
    };
    let word = |id: &str, form: &str| format!("{id}\t{form}\t_\tX\t_\t_\t_\t_\t_\t_\n");
    assert_eq!(line("# a\n1\tWe\tPRON\n"), 2);
    assert_eq!(line(&format!("{}{}", word("1", "a"), word("3", "b"))), 2);
    assert_eq!(line(&format!("# text = a c\n{}{}", word("1", "a"), word("2", "b"))), 3);
    assert_eq!(line(&word("2-3", "ab")), 1);
    assert_eq!(line(&format!("{}{}\n", word("1-2", "ab"), word("1", "a"))), 3);
    assert!(matches!(
        TaggedText::conllu("# only\n", "file", &[]),
        Err(Error::Empty { .. })
    ));
    assert!(matches!(
        TaggedText::conllu(TWO, "file", &["pos"]),
        Err(Error::Parameter { name: "columns", .. })
    ));
    let error = TaggedText::word_tag("the_DET cat\n", "file", '_').unwrap_err();
    assert_eq!(error.to_string(), "file, line 1: expected word_tag, found `cat`");
    let text = TaggedText::word_tag("\nsnake_case_NOUN is_VERB\n", "file", '_').unwrap();
    assert_eq!(
        (text.sentences[0].text.as_str(), text.sentences[0].line),
        ("snake_case is", 2)
    );
    assert_eq!(text.sentences[0].words[0].span, (0, 10));
}

/// One layer whose hidden state after it is `[token, 10 * token]`.
fn capture(text: &str, tokens: &[(&str, Option<(usize, usize)>)]) -> Capture {
    let attention = Attention::EncoderSelf;
    let layer = LayerAttention {
        scale: 1.0,
        mask: Mask::Full,
    };
    let model = ModelInfo {
        name: "m".into(),
        family: "bert".into(),
        hidden_size: 2,
        vocab_size: None,
        max_tokens: None,
        positions: Positions::None,
        attentions: vec![AttentionInfo {
            attention,
            heads: 1,
            kv_heads: 1,
            head_dim: 2,
            layers: vec![layer],
            relative_bias: None,
        }],
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
