//! Captures against what the model itself computed.

use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicUsize, Ordering},
};

use attn_core::{Attention, Capture, HeadId, Side, capture::CaptureOptions};
use attn_models::{
    Capturer, Checkpoint, Error, Gradients, Inputs, Model, Point, Site, Weights,
    capture::cut_notes,
    generate::{GenerationParams, Generator},
    images::Image,
    record::Recorder,
    text::split_lines,
};

use crate::support::{fixture, open, third_party, values};

const TEXTS: [&str; 5] = [
    "The cat sat on the mat.",
    "She sells sea shells",
    "Attention heads look at the previous token, said the old man.",
    "a",
    "Hello, World!",
];

/// Attention that the model computed for a sequence alone, against the capture's, which ran in padded batches.
fn attention_agrees(capturer: &Capturer) {
    let capture = capturer.capture_lines(TEXTS).unwrap();
    let info = capturer.model().info().clone();
    let mut recorder = Recorder::of(&[Point::Attention]);
    for (sequence, item) in capture.sequences().iter().enumerate() {
        let side = info.attentions[0].attention.query_side();
        let inputs = |side: Side| {
            let ids: Vec<u32> = item.tokens(side).iter().map(|token| token.id.unwrap()).collect();
            Inputs::from_ids(&[ids], 0).unwrap()
        };
        let inputs = match info.attention(Attention::Cross) {
            Some(_) => Inputs {
                decoder_input_ids: inputs(Side::Decoder).input_ids,
                ..inputs(Side::Encoder)
            },
            None => inputs(side),
        };
        capturer.model().forward(&inputs, &mut recorder).unwrap();
        for head in info.heads() {
            let recomputed = capture.attention(head, sequence).unwrap();
            let own = &recorder.tensors[&Site::new(head.attention, head.layer, Point::Attention)];
            let own = values(&own.narrow(1, head.head, 1).unwrap());
            assert_eq!(own.len(), recomputed.len());
            for (own, recomputed) in own.iter().zip(&recomputed) {
                assert!((own - recomputed).abs() < 1e-5, "{head}: {own} against {recomputed}");
            }
        }
    }
}

#[test]
fn attention_recomputed_from_a_capture_is_the_models_own() {
    for name in [
        "albert",
        "bart",
        "bert",
        "bert-cls",
        "bloom",
        "cohere",
        "deberta-v2",
        "distilbert",
        "electra",
        "falcon",
        "falcon-alibi",
        "gemma",
        "gemma2",
        "gemma3",
        "gpt-neo",
        "gpt-neox",
        "gpt-oss",
        "gpt2",
        "llama",
        "mbart",
        "modernbert",
        "mpnet",
        "mpt",
        "nomic-bert",
        "olmo2",
        "opt",
        "phi",
        "phi3",
        "qwen2",
        "qwen3",
        "qwen3-moe",
        "roberta",
        "smollm3",
        "starcoder2",
        "t5",
        "xlm-roberta",
    ] {
        let capturer = Capturer::load(&open(name)).unwrap();
        attention_agrees(&capturer);
        // Small batches: other neighbors, other padding.
        attention_agrees(&capturer.with_batch_tokens(24));
    }
}

#[test]
fn attention_recomputed_from_a_capture_heeds_the_windows_of_layers() {
    // Weights without a window run with one: every second layer of Qwen2, every layer of Mistral (Llama's tensors).
    let windowed = |name: &str, options: &[(&str, serde_json::Value)]| {
        let mut config: serde_json::Value =
            serde_json::from_slice(&std::fs::read(fixture(name).join("config.json")).unwrap()).unwrap();
        for (key, value) in options {
            config[*key] = value.clone();
        }
        let weights = Weights::open(&open(name));
        let model = Model::build(name, &config.to_string(), &weights, Gradients::Off).unwrap();
        Capturer::new(model).with_tokenizer(open(name).tokenizer().unwrap())
    };
    attention_agrees(&windowed(
        "qwen2",
        &[
            ("sliding_window", 4.into()),
            ("use_sliding_window", true.into()),
            (
                "layer_types",
                serde_json::json!(["full_attention", "sliding_attention"]),
            ),
        ],
    ));
    attention_agrees(&windowed(
        "llama",
        &[
            ("model_type", "mistral".into()),
            ("sliding_window", 3.into()),
            ("rope_scaling", serde_json::json!({"type": "yarn", "factor": 4.0})),
        ],
    ));
}

#[test]
fn attention_recomputed_from_a_capture_of_real_weights_is_the_models_own() {
    for name in ["all-minilm-l6-v2", "aren-transliteration", "rxn-albert", "stories260k"] {
        let Some(path) = third_party(name) else { return };
        attention_agrees(&Capturer::load(&Checkpoint::open(path).unwrap()).unwrap());
    }
}

/// Teacher forcing: the decoder reads the start token and the target without its end.
#[test]
fn pairs_are_captured_on_both_sides() {
    let capturer = Capturer::load(&open("bart")).unwrap();
    let pairs = ["The cat sat.\tThe mat.", "She sells sea shells"];
    let capture = capturer.capture_lines(pairs).unwrap();
    let [given, written] = capture.sequences() else {
        panic!()
    };
    let tokenizer = capturer.tokenizer().unwrap();
    let info = capturer.model().info();
    let ids = |tokens: &[attn_core::Token]| -> Vec<u32> { tokens.iter().map(|token| token.id.unwrap()).collect() };
    assert_eq!(
        ids(&given.encoder),
        tokenizer.encode("The cat sat.", info).unwrap().ids()
    );
    let mut target = tokenizer.encode("The mat.", info).unwrap().ids();
    assert_eq!(target.pop(), Some(2));
    target.insert(0, 2);
    assert_eq!(ids(&given.decoder), target);
    // Spans lie in the line.
    for token in given.encoder.iter().chain(&given.decoder) {
        if let Some((from, to)) = token.span {
            assert_eq!(given.text.as_ref().unwrap()[from..to].trim(), token.text);
        }
    }
    assert!(given.decoder.iter().filter(|token| token.span.is_some()).count() > 2);

    // What the model writes by itself, as the reference generates it.
    let inputs = Inputs::from_ids(&[ids(&written.encoder)], 0).unwrap();
    let params = GenerationParams {
        beams: 1,
        ..GenerationParams::read(&open("bart")).unwrap()
    };
    let generated = Generator::new(capturer.model(), &params)
        .unwrap()
        .run(&inputs, &mut (), &())
        .unwrap();
    let mut tokens = generated[0].hypotheses[0].tokens.clone();
    assert_eq!(tokens.pop(), Some(2));
    assert_eq!(ids(&written.decoder[1..]), tokens);
    let text = tokenizer.decode(&tokens).unwrap();
    assert_eq!(
        written.text.as_deref(),
        Some(format!("She sells sea shells\t{text}").as_str())
    );

    for attention in [Attention::EncoderSelf, Attention::DecoderSelf, Attention::Cross] {
        let head = HeadId::new(attention, 1, 3);
        let weights = capture.attention(head, 0).unwrap();
        let rows = given.tokens(attention.query_side()).len();
        assert_eq!(weights.dim(), (rows, given.tokens(attention.key_side()).len()));
    }
}

/// Pairs are what lines with a TAB are; a model with one stack takes none.
#[test]
fn sources_and_targets_are_given_as_pairs() {
    let capturer = Capturer::load(&open("bart")).unwrap();
    let pairs = capturer
        .capture_pairs([("The cat sat.", "The mat."), ("She sells", "")])
        .unwrap();
    let lines = capturer
        .capture_lines(["The cat sat.\tThe mat.", "She sells\t"])
        .unwrap();
    assert_eq!(pairs.sequences(), lines.sequences());
    let head = HeadId::new(Attention::Cross, 1, 0);
    assert_eq!(pairs.queries(head).unwrap(), lines.queries(head).unwrap());
    let encoder = Capturer::load(&open("bert")).unwrap();
    assert!(matches!(
        encoder.capture_pairs([("a", "b")]),
        Err(Error::Input {
            name: "decoder_input_ids",
            ..
        })
    ));
}

/// Lines keep the numbers of their file; strings are counted.
#[test]
fn lines_are_named_by_their_numbers() {
    let capturer = Capturer::load(&open("bert")).unwrap();
    let names = |capture: attn_core::Capture| -> Vec<String> {
        capture
            .sequences()
            .iter()
            .map(|sequence| sequence.name.clone())
            .collect()
    };
    assert_eq!(names(capturer.capture_lines(["a", "b"]).unwrap()), ["line 1", "line 2"]);
    let of_file = split_lines(b"a\n\nb", "file".as_ref()).unwrap();
    assert_eq!(names(capturer.capture_lines(&of_file).unwrap()), ["line 1", "line 3"]);
}

/// A line of nothing but white space, or of characters that the tokenizer removes, stops nothing.
#[test]
fn lines_without_a_token_are_left_out_with_a_note() {
    // A zero width space, a byte order mark, a soft hyphen, a bell.
    let invisible = ["\u{200b}", "\u{feff}", "\u{ad}", "\u{7}", "  ", ""];
    let capturer = Capturer::load(&open("bert")).unwrap();
    let lines = ["a"].into_iter().chain(invisible).chain(["b"]);
    let outcome = capturer.lines(lines).run().unwrap();
    let names: Vec<&str> = outcome
        .capture
        .sequences()
        .iter()
        .map(|sequence| sequence.name.as_str())
        .collect();
    assert_eq!(names, ["line 1", "line 8"]);
    assert_eq!(outcome.notes.len(), 6);
    assert_eq!(
        outcome.notes[0].to_string(),
        "line 2: a text without tokens was left out"
    );
    assert!(matches!(capturer.capture_lines(invisible), Err(Error::Empty { .. })));
    // A source; a target is then written.
    let capturer = Capturer::load(&open("t5")).unwrap();
    let outcome = capturer
        .lines(["The cat sat.\t\u{200b} ", " \tThe cat.", "\t"])
        .run()
        .unwrap();
    assert_eq!(outcome.capture.sequences().len(), 1);
    assert!(outcome.capture.sequences()[0].decoder.len() > 1);
    assert_eq!(
        outcome.notes.iter().map(|note| note.line).collect::<Vec<_>>(),
        [Some(2), Some(3)]
    );
}

/// The language a model is told to write in stands after the start, for given and for written targets.
#[test]
fn a_forced_language_stands_before_the_target() {
    let capturer = Capturer::load(&open("mbart")).unwrap();
    let capture = capturer.capture_lines(["The cat sat.\tThe mat.", "She sells"]).unwrap();
    for sequence in capture.sequences() {
        let first: Vec<Option<u32>> = sequence.decoder.iter().take(2).map(|token| token.id).collect();
        assert_eq!(first, [Some(2), Some(5)]);
    }
    // The tokenizer writes `</s> en_XX` after a text, which is not what follows here.
    assert!(capture.sequences()[0].decoder[2..].iter().all(|token| !token.special));
}

/// What a decoder reads, as the reference's `shift_tokens_right` makes it of the labels.
#[test]
fn targets_are_shifted_as_in_the_reference() {
    let decoder = |name: &str, change: &dyn Fn(&mut serde_json::Value)| -> Vec<Option<u32>> {
        let folder = changed(name, change);
        let capturer = Capturer::load(&Checkpoint::open(folder.path()).unwrap()).unwrap();
        let capture = capturer.capture_lines(["The cat sat.\tThe mat."]).unwrap();
        capture.sequences()[0].decoder.iter().map(|token| token.id).collect()
    };
    // mBART: labels `X </s> en_XX`, of which the last goes to the front.
    let free = |generation: &mut serde_json::Value| generation["forced_bos_token_id"] = serde_json::Value::Null;
    let read = decoder("mbart", &free);
    assert_eq!((read[0], read[read.len() - 1]), (Some(4), Some(2)));
    assert!(
        read.len() > 3
            && read[1..read.len() - 1]
                .iter()
                .all(|id| ![Some(2), Some(4)].contains(id))
    );
    // A checkpoint that names the language it starts with.
    let named = decoder("mbart", &|generation| {
        free(generation);
        generation["decoder_start_token_id"] = 6.into();
    });
    assert_eq!((named[0], &named[1..]), (Some(6), &read[1..]));
    // One that names no start.
    let bytes = |file: &str| std::fs::read(fixture("mbart").join(file)).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&bytes("config.json")).unwrap();
    config.as_object_mut().unwrap().remove("decoder_start_token_id");
    let checkpoint = Checkpoint::from_bytes("mbart", config.to_string().into_bytes(), bytes("model.safetensors"));
    let capturer = Capturer::load(&checkpoint.unwrap().with_tokenizer(bytes("tokenizer.json"))).unwrap();
    let capture = capturer.capture_lines(["The cat sat.\tThe mat."]).unwrap();
    let unnamed: Vec<_> = capture.sequences()[0].decoder.iter().map(|token| token.id).collect();
    assert_eq!(unnamed, read);
    // The others drop the end and begin with their start: T5 0, BART 2 and `<s>`.
    let same = |_: &mut serde_json::Value| ();
    let t5 = decoder("t5", &same);
    assert!(t5[0] == Some(0) && t5.last() != Some(&Some(1)));
    let bart = decoder("bart", &same);
    assert!(bart[..2] == [Some(2), Some(0)] && bart.last() != Some(&Some(2)));
}

/// The fixture with another `generation_config.json`.
fn changed(name: &str, change: &dyn Fn(&mut serde_json::Value)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "generation_config.json",
    ] {
        std::fs::copy(fixture(name).join(file), folder.path().join(file)).unwrap();
    }
    let path = folder.path().join("generation_config.json");
    let mut value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(&path, value.to_string()).unwrap();
    folder
}

/// Settings of generation matter where something is generated.
#[test]
fn settings_of_generation_are_looked_at_when_a_target_is_missing() {
    let folder = changed("bart", &|generation| generation["num_beam_groups"] = 2.into());
    let capturer = Capturer::load(&Checkpoint::open(folder.path()).unwrap()).unwrap();
    let given = capturer.capture_lines(["The cat sat.\tThe mat."]).unwrap();
    let plain = Capturer::load(&open("bart")).unwrap();
    let plain = plain.capture_lines(["The cat sat.\tThe mat."]).unwrap();
    assert_eq!(given.sequences(), plain.sequences());
    for _ in 0..2 {
        match capturer.capture_lines(["The cat sat."]).unwrap_err() {
            Error::Unsupported { key, .. } => assert_eq!(key, "num_beam_groups"),
            other => panic!("{other}"),
        }
    }
    let capturer = capturer.with_generation(GenerationParams::read(&open("bart")).unwrap());
    assert!(capturer.capture_lines(["The cat sat."]).is_ok());
}

#[test]
fn a_target_that_is_too_long_is_cut_with_a_note() {
    for name in ["bart", "mbart"] {
        let capturer = Capturer::load(&open(name)).unwrap();
        let most = capturer.model().info().max_tokens.unwrap();
        let target = "the dog ".repeat(100);
        let outcome = capturer
            .lines([format!("The cat sat.\t{target}"), "a\tb".into()])
            .run()
            .unwrap();
        let sequence = &outcome.capture.sequences()[0];
        assert_eq!((sequence.decoder.len(), sequence.cut_from), (most, None), "{name}");
        assert!(sequence.target_cut_from.unwrap() >= 200);
        assert!(
            sequence
                .decoder
                .iter()
                .enumerate()
                .all(|(at, token)| token.position == at)
        );
        let notes = cut_notes(outcome.capture.sequences());
        assert!(
            notes.len() == 1 && notes[0].message.starts_with("1 of 2 targets was cut"),
            "{notes:?}"
        );
    }
}

#[test]
fn images_are_captured_with_their_patches() {
    for (name, special) in [("clip-vision", 1), ("deit", 2), ("dinov2", 1), ("vit", 1)] {
        patches_agree(name, special);
    }
}

fn patches_agree(name: &str, special: usize) {
    let checkpoint = open(name);
    let capturer = Capturer::load(&checkpoint).unwrap();
    let paths = ["0.png", "1.png"].map(|image| fixture(name).join("images").join(image));
    let images = [
        Image::from(paths[0].clone()),
        Image::memory("second", std::fs::read(&paths[1]).unwrap()),
    ];
    let capture = capturer.capture_images(&images).unwrap();
    let second = &capture.sequences()[1];
    assert_eq!(second.name, "second");
    assert_eq!(
        (
            second.image.as_ref().unwrap().rows,
            second.image.as_ref().unwrap().columns
        ),
        (4, 4)
    );
    assert_eq!(second.encoder.len(), special + 16);
    assert!(second.encoder[..special].iter().all(|token| token.special));
    assert_eq!(second.encoder[special + 5].patch, Some((1, 1)));
    let mut recorder = Recorder::of(&[Point::Attention]);
    let decoded: Vec<_> = images.iter().map(|image| image.decode().unwrap()).collect();
    let pixels = checkpoint
        .image_processor()
        .unwrap()
        .batch(&decoded, &capturer.model().vision().unwrap())
        .unwrap();
    capturer
        .model()
        .forward(&Inputs::from_pixels(pixels), &mut recorder)
        .unwrap();
    let head = HeadId::new(Attention::EncoderSelf, 1, 2);
    let own = &recorder.tensors[&Site::new(head.attention, head.layer, Point::Attention)];
    let own = values(&own.narrow(0, 1, 1).unwrap().narrow(1, 2, 1).unwrap());
    for (own, recomputed) in own.iter().zip(&capture.attention(head, 1).unwrap()) {
        assert!((own - recomputed).abs() < 1e-5);
    }
}

#[test]
fn hidden_states_alone_are_those_of_a_whole_capture() {
    for name in ["gpt2", "bart"] {
        let capture = |options| {
            let capturer = Capturer::load(&open(name)).unwrap().with_options(options);
            capturer.capture_lines(["the cat sat\ton the mat", "a\tb"]).unwrap()
        };
        let whole = capture(CaptureOptions {
            hidden: true,
            ..CaptureOptions::default()
        });
        let states = capture(CaptureOptions::states());
        for side in [Side::Encoder, Side::Decoder] {
            assert_eq!(states.hidden_layers(side), whole.hidden_layers(side), "{name}");
            for layer in states.hidden_layers(side) {
                assert_eq!(
                    states.hidden(side, layer).unwrap(),
                    whole.hidden(side, layer).unwrap(),
                    "{name}"
                );
            }
        }
        let head = whole.model().heads().next().unwrap();
        assert!(whole.queries(head).is_ok() && states.queries(head).is_err());
    }
}

#[test]
fn hidden_states_and_logits_are_kept_on_request() {
    let options = CaptureOptions {
        hidden: true,
        logits: true,
        ..CaptureOptions::default()
    };
    let capturer = Capturer::load(&open("gpt2")).unwrap().with_options(options);
    let capture = capturer.capture_lines(TEXTS).unwrap();
    let mut recorder = Recorder::of(&[Point::Hidden]);
    for (sequence, item) in capture.sequences().iter().enumerate() {
        let ids: Vec<u32> = item.decoder.iter().map(|token| token.id.unwrap()).collect();
        let output = capturer
            .model()
            .forward(&Inputs::from_ids(&[ids], 0).unwrap(), &mut recorder)
            .unwrap();
        let rows = capture.rows(sequence, Side::Decoder);
        let close = |kept: attn_core::ndarray::ArrayView2<'_, f32>, own: &[f32]| {
            let scale = own.iter().map(|value| value.abs()).fold(0.0, f32::max);
            kept.iter()
                .zip(own)
                .all(|(kept, own)| (kept - own).abs() <= 1e-4 * scale)
        };
        for layer in 0..=2 {
            let kept = capture.hidden(Side::Decoder, layer).unwrap();
            let own = values(&recorder.tensors[&Site::hidden(Side::Decoder, layer)]);
            assert!(
                close(kept.slice(attn_core::ndarray::s![rows.clone(), ..]), &own),
                "layer {layer}"
            );
        }
        let kept = capture.logits(Side::Decoder).unwrap();
        assert!(close(
            kept.slice(attn_core::ndarray::s![rows, ..]),
            &values(&output.logits.unwrap())
        ));
    }
}

/// A pair is read as the tokenizer writes pairs, and with the token types of a model that takes them: against a pass over the
/// pair alone.
#[test]
fn two_texts_are_read_as_a_pair() {
    let texts = [
        ("Hello, World!", None),
        ("The cat sat on the mat.", Some("Don't sit, said the old man.")),
        ("a", Some("She sells sea shells")),
    ];
    for (name, types) in [("bert", 2), ("distilbert", 0), ("roberta", 1), ("gpt2", 0)] {
        let capturer = Capturer::load(&open(name))
            .unwrap()
            .with_options(CaptureOptions::states());
        let (info, tokenizer) = (capturer.model().info(), capturer.tokenizer().unwrap());
        assert_eq!(capturer.model().token_types(), types, "{name}");
        let given = texts.map(|(text, second)| (text, second.map(str::to_owned)));
        let folder = tempfile::tempdir().unwrap();
        let run = capturer.texts(given).to_folder(folder.path()).run().unwrap();
        let read_back = Capture::open(folder.path()).unwrap();
        assert_eq!(read_back.sequences(), run.capture.sequences(), "{name}");
        let (capture, side) = (run.capture, info.attentions[0].attention.query_side());
        for (at, (text, second)) in texts.into_iter().enumerate() {
            let encoded = match second {
                Some(second) => tokenizer.encode_pair(text, second, info).unwrap(),
                None => tokenizer.encode(text, info).unwrap(),
            };
            let sequence = &capture.sequences()[at];
            let whole = second.map_or(text.to_owned(), |second| format!("{text}\t{second}"));
            assert_eq!(sequence.text.as_deref(), Some(whole.as_str()));
            let tokens = sequence.tokens(side);
            assert_eq!(tokens.len(), encoded.tokens.len(), "{name}: {whole}");
            for ((token, alone), of) in tokens.iter().zip(&encoded.tokens).zip(&encoded.texts) {
                assert_eq!((token.id, token.special), (alone.id, alone.special));
                let own = of.map(|of| [text, second.unwrap_or_default()][of]);
                let place =
                    |whole: &str, span: Option<(usize, usize)>| span.map(|(from, to)| whole[from..to].to_owned());
                assert_eq!(
                    place(&whole, token.span),
                    own.and_then(|own| place(own, alone.span)),
                    "{name}"
                );
                let behind = token.span.is_some_and(|(from, _)| from > text.len());
                assert_eq!(behind, *of == Some(1), "{name}: {}", token.text);
                assert!(!token.special || of.is_none());
            }
            let segments: Vec<u32> = tokens.iter().map(|token| token.segment).collect();
            let read = if types > 1 {
                encoded.types.clone()
            } else {
                vec![0; tokens.len()]
            };
            assert_eq!(segments, read, "{name}: {whole}");
            let mut inputs = Inputs::from_ids(&[encoded.ids()], 0).unwrap();
            if types > 1 {
                assert_eq!(segments.contains(&1), second.is_some());
                inputs.token_type_ids = Inputs::from_ids(&[encoded.types], 0).unwrap().input_ids;
            }
            let mut recorder = Recorder::of(&[Point::Hidden]);
            capturer.model().forward(&inputs, &mut recorder).unwrap();
            for layer in capture.hidden_layers(side) {
                let kept = capture.hidden(side, layer).unwrap();
                let kept = kept.slice(attn_core::ndarray::s![capture.rows(at, side), ..]);
                let own = values(&recorder.tensors[&Site::hidden(side, layer)]);
                let far = kept.iter().zip(&own).map(|(kept, own)| (kept - own).abs());
                assert!(far.fold(0.0, f32::max) < 1e-4, "{name}: {whole}, layer {layer}");
            }
        }
    }
    let capturer = Capturer::load(&open("bart")).unwrap();
    let refused = capturer.texts([("a", Some("b".to_owned()))]).run().unwrap_err();
    assert!(matches!(refused, Error::Input { name: "input_ids", .. }), "{refused}");
}

#[test]
fn a_cancelled_capture_is_usable_and_an_untouched_one_is_an_error() {
    let capturer = Capturer::load(&open("bert")).unwrap().with_batch_tokens(1);
    let folder = tempfile::tempdir().unwrap();
    let asked = AtomicUsize::new(0);
    let stop_after_two = |stage: &str, _: usize, _: usize| {
        if stage == "capture" && asked.fetch_add(1, Ordering::Relaxed) == 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let outcome = capturer
        .lines(TEXTS)
        .to_folder(folder.path())
        .progress(&stop_after_two)
        .run()
        .unwrap();
    assert!(!outcome.complete);
    assert_eq!(outcome.capture.sequences().len(), 2);
    outcome
        .capture
        .attention(HeadId::new(Attention::EncoderSelf, 0, 0), 1)
        .unwrap();

    let stop = |_: &str, _: usize, _: usize| ControlFlow::Break(());
    assert!(capturer.lines(TEXTS).progress(&stop).run().unwrap_err().is_cancelled());
}

#[test]
fn an_interrupted_capture_goes_on_where_it_stopped() {
    let capturer = Capturer::load(&open("bert")).unwrap().with_batch_tokens(1);
    let whole = capturer.capture_lines(TEXTS).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // A kill, as far as the store can tell: the writer is dropped in the middle by a panic.
    let asked = AtomicUsize::new(0);
    let die = |stage: &str, _: usize, _: usize| {
        assert!(stage != "capture" || asked.fetch_add(1, Ordering::Relaxed) < 3);
        ControlFlow::Continue(())
    };
    let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        capturer.lines(TEXTS).to_folder(folder.path()).progress(&die).run()
    }));
    assert!(killed.is_err());
    let first_report = AtomicUsize::new(usize::MAX);
    let watch = |stage: &str, done: usize, _: usize| {
        if stage == "capture" {
            first_report.fetch_min(done, Ordering::Relaxed);
        }
        ControlFlow::Continue(())
    };
    let resumed = capturer
        .lines(TEXTS)
        .to_folder(folder.path())
        .progress(&watch)
        .run()
        .unwrap();
    assert!(resumed.complete);
    assert!(first_report.load(Ordering::Relaxed) > 0, "it began from the start");
    for head in whole.model().heads() {
        assert_eq!(whole.queries(head).unwrap(), resumed.capture.queries(head).unwrap());
        assert_eq!(whole.values(head).unwrap(), resumed.capture.values(head).unwrap());
    }
}

#[test]
fn long_lines_are_cut_with_a_note() {
    let capturer = Capturer::load(&open("bert")).unwrap();
    let long = "cat ".repeat(100);
    let capture = capturer.capture_text(&long).unwrap();
    let sequence = &capture.sequences()[0];
    assert_eq!(sequence.encoder.len(), 64);
    assert!(sequence.cut_from.unwrap() > 64);
    assert_eq!(sequence.encoder[63].text, "[SEP]");
}

#[test]
fn the_wrong_kind_of_data_is_refused() {
    let text = Capturer::load(&open("bert")).unwrap();
    assert!(matches!(
        text.capture_images(Vec::<Image>::new()),
        Err(Error::Input {
            name: "pixel_values",
            ..
        })
    ));
    let images = Capturer::load(&open("vit")).unwrap();
    assert!(matches!(
        images.capture_lines(Vec::<String>::new()),
        Err(Error::Input { name: "input_ids", .. })
    ));
    assert!(matches!(
        text.capture_lines(Vec::<String>::new()),
        Err(Error::Empty { .. })
    ));
    let Some(path) = third_party("sort-gpt2") else { return };
    let without_tokenizer = Capturer::load(&Checkpoint::open(path).unwrap()).unwrap();
    assert!(matches!(
        without_tokenizer.capture_lines(TEXTS),
        Err(Error::MissingFile { what: "tokenizer", .. })
    ));
}
