//! Long texts: attention in blocks of queries, refusal before anything runs, and a cancellation that is heard inside a line.

use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicUsize, Ordering},
};

use attn_core::{Limits, Sequence, Side, Token};
use attn_models::{
    Capturer, Checkpoint, Error, Gradients, Inputs, Model, Point, Site, Tap, Weights,
    attribute::{
        Baseline, Examples, Target, head_gradients, input_gradients, integrated_gradients, propagate_relevance,
        taylor_importance,
    },
    candle::Tensor,
    intervene::Edit,
    record::Recorder,
};

use crate::support::{difference, fixture, largest, open};

fn build(config: &str) -> Model {
    Model::build("tiny", config, &Weights::initialize(3), Gradients::Off).unwrap()
}

const T5: &str = r#"{"model_type": "t5", "d_model": 16, "d_kv": 4, "d_ff": 16, "num_heads": 8, "num_layers": 1, "vocab_size": 50,
                     "decoder_start_token_id": 0}"#;

fn ids(length: usize) -> Vec<u32> {
    (0..length).map(|at| u32::try_from(1 + at * at % 47).unwrap()).collect()
}

/// Long enough for 8 heads to be computed in several blocks, the last of which is shorter.
const LONG: usize = 1530;

/// The model's states of a batch, by blocks and (with a tap on attention) whole, which have to be the same up to the
/// rounding of f32. The second sequence is padded.
fn blocks_agree(model: &Model, inputs: &Inputs) {
    let blocks = model.forward(inputs, &mut ()).unwrap().last_hidden;
    let mut whole = Recorder::of(&[Point::Attention]);
    let whole = model.forward(inputs, &mut whole).unwrap().last_hidden;
    let error = difference(&blocks, &whole, None);
    assert!(error <= 2e-6 * largest(&whole).max(1.0), "{error}");
}

#[test]
fn attention_in_blocks_is_that_of_all_queries_at_once() {
    // Padding.
    let config = r#"{"model_type": "bert", "hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 1,
                     "intermediate_size": 16, "vocab_size": 50, "max_position_embeddings": 2000}"#;
    blocks_agree(&build(config), &Inputs::from_ids(&[ids(LONG), ids(900)], 0).unwrap());
    // A window, rotary positions, and keys that two heads share.
    let config = r#"{"model_type": "mistral", "sliding_window": 100, "hidden_size": 16, "num_attention_heads": 8,
                     "num_key_value_heads": 4, "num_hidden_layers": 1, "intermediate_size": 16, "vocab_size": 50,
                     "max_position_embeddings": 2000}"#;
    let long = Inputs::from_ids(&[ids(LONG)], 0).unwrap();
    blocks_agree(&build(config), &long);
    // A bias by offset, causal and with a long source.
    let target = Inputs::from_ids(&[ids(LONG)], 0).unwrap();
    let pairs = Inputs {
        decoder_input_ids: target.input_ids,
        ..Inputs::from_ids(&[ids(40)], 0).unwrap()
    };
    blocks_agree(&build(T5), &pairs);
}

/// An attention that has to be whole is asked for before it is made.
#[test]
fn a_whole_attention_beyond_the_limits_is_refused() {
    let model = build(T5).with_limits(Limits::of(100_000_000));
    let inputs = Inputs {
        decoder_input_ids: Some(Inputs::from_ids(&[ids(4)], 0).unwrap().input_ids.unwrap()),
        ..Inputs::from_ids(&[ids(LONG)], 0).unwrap()
    };
    model.forward(&inputs, &mut ()).unwrap();
    match model
        .forward(&inputs, &mut Recorder::of(&[Point::Attention]))
        .unwrap_err()
    {
        Error::Core(attn_core::Error::Memory { what, needed, .. }) => {
            assert!(what.contains("layer 0") && what.contains("1530"), "{what}");
            // Scores and attention, 8 heads x 1530 x 1530.
            assert_eq!(needed, 8 * 1530 * 1530 * 8);
        }
        other => panic!("{other}"),
    }
}

/// Gradients keep the attention of every layer: such a pass is refused before a layer runs. The bound is on what is certain:
/// that of one layer fits many times.
#[test]
fn a_pass_with_gradients_beyond_the_limits_is_refused() {
    let layers = 12;
    let config = format!(
        r#"{{"model_type": "gpt2", "vocab_size": 50, "n_positions": 2000, "n_embd": 8, "n_layer": {layers}, "n_head": 2,
            "architectures": ["GPT2LMHeadModel"]}}"#
    );
    let scores = 2 * 1000 * 1000 * 4;
    let model = build(&config).with_limits(Limits::of(4 * layers * scores));
    let batch = |length| Inputs::from_ids(&[ids(length)], 0).unwrap();
    let target = || Target::Token { position: 3, token: 9 };
    let examples = |length| Examples {
        inputs: batch(length),
        targets: vec![target()],
    };
    model
        .forward(&batch(1000), &mut Recorder::of(&[Point::Attention]))
        .unwrap();
    let asked = AtomicUsize::new(0);
    let mut count = Count(&asked);
    let refused = |error: Error| {
        let Error::Core(attn_core::Error::Memory { what, needed, .. }) = &error else {
            panic!("{error}");
        };
        assert!(
            what.contains("12 attentions") && what.contains("1 x 1000 tokens"),
            "{what}"
        );
        assert!(*needed > 5 * layers * scores, "{needed}");
    };
    let long = batch(1000);
    refused(input_gradients(&model, &long, &[target()], &mut count).unwrap_err());
    let zero = Baseline::Zero;
    refused(integrated_gradients(&model, &long, &[target()], &zero, 2, &mut count, &()).unwrap_err());
    refused(head_gradients(&model, &[examples(1000)], &()).unwrap_err());
    refused(taylor_importance(&model, &[examples(1000)], &()).unwrap_err());
    assert_eq!(asked.into_inner(), 0);
    // A shorter text fits, and so does a rule that holds attention constant.
    input_gradients(&model, &batch(300), &[target()], &mut ()).unwrap();
    head_gradients(&model, &[examples(300)], &()).unwrap();
    propagate_relevance(&model, &long, &[target()], 0.0, &mut ()).unwrap();
}

/// Counts the sites that are asked for.
struct Count<'a>(&'a AtomicUsize);

impl Tap for Count<'_> {
    fn wants(&self, _: Site) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        false
    }

    fn tap(&mut self, _: Site, tensor: Tensor) -> Result<Tensor, Error> {
        Ok(tensor)
    }
}

/// T5 has no longest text of its own.
#[test]
fn a_line_that_takes_too_much_is_refused_by_its_name() {
    let capturer = Capturer::load(&open("t5")).unwrap().with_limits(Limits::of(40_000_000));
    let long = "the cat sat on the mat ".repeat(400);
    let short = capturer.capture_lines(["The cat sat.\tThe mat."]).unwrap();
    assert_eq!(short.sequences().len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let lines = ["The cat sat.\tThe mat.".to_owned(), format!("{long}\tThe mat.")];
    let error = capturer
        .lines(&lines)
        .to_folder(folder.path().join("capture"))
        .run()
        .unwrap_err();
    match &error {
        Error::Core(attn_core::Error::Memory { what, allowed, .. }) => {
            assert!(
                what.starts_with("line 2 of ") && what.contains("tokens and a target of"),
                "{what}"
            );
            assert_eq!(*allowed, 40_000_000);
        }
        other => panic!("{other}"),
    }
    // Nothing was begun.
    assert!(!folder.path().join("capture/capture.json").exists());
    // Before the model writes a target, too.
    let error = capturer.capture_lines([long]).unwrap_err();
    assert!(matches!(error, Error::Core(attn_core::Error::Memory { .. })), "{error}");
    // A capture that is kept in memory has to fit it.
    let many: Vec<String> = (0..4000).map(|at| format!("the cat {at}\tthe mat {at}")).collect();
    let error = capturer.capture_lines(&many).unwrap_err().to_string();
    assert!(error.starts_with("a capture of 4000 sequences in memory"), "{error}");
}

/// Batches run one after the other, and in parts, where several do not fit; the capture is the same.
#[test]
fn batches_are_as_many_as_fit() {
    let lines: Vec<String> = (0..40).map(|at| "the cat sat on the mat ".repeat(1 + at % 3)).collect();
    let free = Capturer::load(&open("bert")).unwrap().with_batch_tokens(2000);
    let free = free.capture_lines(&lines).unwrap();
    let tight = Capturer::load(&open("bert")).unwrap().with_batch_tokens(2000);
    let tight = tight.with_limits(Limits::of(500_000));
    let folder = tempfile::tempdir().unwrap();
    let tight = tight
        .lines(&lines)
        .to_folder(folder.path().join("capture"))
        .run()
        .unwrap()
        .capture;
    for head in free.model().heads() {
        let (a, b) = (free.queries(head).unwrap(), tight.queries(head).unwrap());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{head}");
    }
}

/// `model_max_length` of `tokenizer_config.json`, at which the reference cuts; 1e30 stands for none.
#[test]
fn texts_are_cut_where_the_tokenizer_says() {
    let text = "the cat sat on the mat ".repeat(20);
    for (longest, left) in [
        ("7", Some(7)),
        ("1000000000000000019884624838656", None),
        ("null", None),
        ("1e9", None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "generation_config.json",
        ] {
            std::fs::copy(fixture("t5").join(file), folder.path().join(file)).unwrap();
        }
        let config = format!(r#"{{"tokenizer_class": "T5Tokenizer", "model_max_length": {longest}}}"#);
        std::fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
        let capturer = Capturer::load(&Checkpoint::open(folder.path()).unwrap()).unwrap();
        let capture = capturer.capture_lines([format!("{text}\tThe mat.")]).unwrap();
        let sequence = &capture.sequences()[0];
        match left {
            Some(left) => {
                assert_eq!((sequence.encoder.len(), sequence.cut_from.is_some()), (left, true));
                // The end is kept.
                assert_eq!(sequence.encoder[left - 1].id, Some(1));
            }
            None => assert!(sequence.encoder.len() > 100 && sequence.cut_from.is_none()),
        }
    }
}

/// A cancellation does not wait for the end of a line.
#[test]
fn a_cancellation_is_heard_inside_a_line() {
    let layers = 2;
    let config = r#"{"model_type": "bert", "hidden_size": 256, "num_attention_heads": 2, "num_hidden_layers": 2,
                     "intermediate_size": 16, "vocab_size": 50, "max_position_embeddings": 2000}"#;
    let capturer = Capturer::new(build(config));
    let line = |length| [sequence(Side::Encoder, length)];
    let asked = AtomicUsize::new(0);
    let count = |stage: &str, _: usize, _: usize| {
        asked.fetch_add(usize::from(stage == "capture"), Ordering::Relaxed);
        ControlFlow::Continue(())
    };
    // A short line is over at once: before the batch, and the last report.
    capturer.sequences(line(8)).progress(&count).run().unwrap();
    assert_eq!(asked.swap(0, Ordering::Relaxed), 2);
    capturer.sequences(line(600)).progress(&count).run().unwrap();
    assert_eq!(asked.into_inner(), 2 + layers);
    let asked = AtomicUsize::new(0);
    let stop = |stage: &str, _: usize, _: usize| {
        let inside = stage == "capture" && asked.fetch_add(1, Ordering::Relaxed) > 0;
        if inside {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let error = capturer.sequences(line(600)).progress(&stop).run().unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(asked.into_inner(), 2);
}

fn sequence(side: Side, length: usize) -> Sequence {
    let tokens = ids(length).into_iter().map(|id| Token {
        id: Some(id),
        ..Token::new("x")
    });
    Sequence::new("line 1").with_tokens(side, tokens)
}

/// A tap on the positions of a model with a bias by offset gets all of them, and the result is that of the model.
#[test]
fn offsets_are_whole_for_a_tap() {
    let model = build(T5);
    let inputs = Inputs {
        decoder_input_ids: Some(Inputs::from_ids(&[ids(3)], 0).unwrap().input_ids.unwrap()),
        ..Inputs::from_ids(&[ids(LONG)], 0).unwrap()
    };
    let own = model.forward(&inputs, &mut ()).unwrap().last_hidden;
    let mut seen = Recorder::of(&[Point::Positions]);
    let tapped = model.forward(&inputs, &mut seen).unwrap().last_hidden;
    assert!(difference(&own, &tapped, None) <= 2e-6 * largest(&own));
    let offsets = &seen.tensors[&attn_models::Site::positions(Side::Encoder)];
    assert_eq!(offsets.dims(), [1, 8, LONG, LONG]);
    // Such an edit counts in the estimate: the same line is refused with it.
    let limits = Limits::of(280_000_000);
    let capturer = |changes: Vec<_>| Capturer::new(build(T5)).with_interventions(changes).with_limits(limits);
    let pair = || {
        let target = sequence(Side::Decoder, 3).decoder;
        sequence(Side::Encoder, LONG).with_tokens(Side::Decoder, target)
    };
    assert!(capturer(Vec::new()).sequences([pair()]).run().is_ok());
    let removed = Edit::RemovePositions { side: Side::Encoder };
    let error = capturer(vec![removed.into()]).sequences([pair()]).run().unwrap_err();
    assert!(
        error.to_string().starts_with("line 1 of 1530 tokens and a target of 3"),
        "{error}"
    );
}

/// A tokenizer takes many times the text, also where the model reads its beginning only.
#[test]
fn a_text_is_weighed_before_it_is_split() {
    let long = "the cat ".repeat(100_000);
    for (name, lines) in [
        ("gpt2", ["the cat".to_owned(), long.clone()]),
        ("t5", ["the cat\tthe mat".to_owned(), format!("the cat\t{long}")]),
    ] {
        let capturer = Capturer::load(&open(name)).unwrap().with_limits(Limits::of(40_000_000));
        match capturer.capture_lines(&lines).unwrap_err() {
            Error::Core(attn_core::Error::Memory { what, needed, .. }) => {
                assert_eq!((what.as_str(), needed), ("line 2", 64 * long.len() as u64), "{name}");
            }
            other => panic!("{name}: {other}"),
        }
    }
}
