//! Generation against the reference's sequences, scores and beams, and against brute force.

use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use attn_core::Attention;
use attn_models::{
    Checkpoint, Error, Gradients, Inputs, Model, Point, Site, Weights,
    candle::{DType, Tensor},
    generate::{EarlyStopping, Fate, Generated, GenerationParams, Generator, Sampling},
    record::Recorder,
};
use serde_json::Value;

use crate::support::{Tensors, expected, fixture, inputs, open, third_party, values};

/// Every fixture that comes with generated sequences.
pub(crate) fn families() -> Vec<String> {
    let folder = fixture("");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        // Whisper reads sound: its runs are in `sounds`.
        .filter(|name| name != "whisper" && settings(name).is_some_and(|settings| settings.is_object()))
        .collect();
    names.sort();
    assert!(names.len() >= 7, "{names:?}");
    names
}

/// The settings of each run, by its tag.
pub(crate) fn settings(name: &str) -> Option<Value> {
    let bytes = std::fs::read(fixture(name).join("expected.json")).ok()?;
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    value.get("generate").cloned()
}

/// Settings as the reference was given them.
pub(crate) fn params(settings: &Value) -> GenerationParams {
    let id = |key: &str| settings[key].as_u64().map(|id| u32::try_from(id).unwrap());
    let size = |key: &str| settings[key].as_u64().map(|size| usize::try_from(size).unwrap());
    GenerationParams {
        max_new_tokens: size("max_new_tokens"),
        max_length: size("max_length"),
        beams: size("num_beams").unwrap_or(1),
        length_penalty: settings["length_penalty"].as_f64().unwrap_or(1.0),
        early_stopping: match &settings["early_stopping"] {
            Value::Bool(true) => EarlyStopping::Full,
            Value::String(_) => EarlyStopping::Impossible,
            _ => EarlyStopping::Unlikely,
        },
        forced_first: id("forced_bos_token_id"),
        forced_end: id("forced_eos_token_id"),
        forbidden: settings
            .get("bad_words_ids")
            .map(|value| serde_json::from_value(value.clone()).unwrap())
            .unwrap_or_default(),
        decoder_start: id("decoder_start_token_id"),
        end: id("eos_token_id").into_iter().collect(),
        ..GenerationParams::default()
    }
}

/// Rows of an integer tensor.
fn rows(tensor: &Tensor) -> Vec<Vec<i64>> {
    tensor.to_dtype(DType::I64).unwrap().to_vec2().unwrap()
}

pub(crate) fn generate(model: &Model, inputs: &Inputs, params: &GenerationParams) -> Vec<Generated> {
    Generator::new(model, params)
        .unwrap()
        .run(inputs, &mut (), &())
        .unwrap()
}

pub(crate) fn compare(name: &str, tag: &str, params: &GenerationParams, found: &[Generated], expected: &Tensors) {
    let key = |key: &str| expected.get(&format!("gen.{tag}.{key}"));
    let sequences = rows(key("sequences").unwrap());
    let returned = sequences.len() / found.len();
    let prompt = match key("in.input_ids") {
        Some(ids) if params.decoder_start.is_none() => ids.dim(1).unwrap(),
        _ => 1,
    };
    let scores = key("sequences_scores").map(values);
    let beams = key("beam_indices").map(rows);
    let log_probabilities = key("token_logprobs").map(|tensor| tensor.to_vec2::<f32>().unwrap());
    for (row, wanted) in sequences.iter().enumerate() {
        let (sequence, rank) = (row / returned, row % returned);
        let hypothesis = &found[sequence].hypotheses[rank];
        let place = format!("{name} {tag}: sequence {sequence}, rank {rank}");
        // Equal up to the first end; after it comes padding.
        let is_end = |id: i64| params.end.iter().any(|&end| i64::from(end) == id);
        let wanted = &wanted[prompt..];
        let length = wanted
            .iter()
            .position(|&id| is_end(id))
            .map_or(wanted.len(), |at| at + 1);
        let tokens: Vec<i64> = hypothesis.tokens.iter().map(|&id| i64::from(id)).collect();
        assert_eq!(tokens, wanted[..length], "{place}");
        assert_eq!(hypothesis.ended, is_end(wanted[length - 1]), "{place}");
        if let Some(scores) = &scores {
            let difference = (hypothesis.score - scores[row]).abs();
            assert!(difference < 1e-4, "{place}: {} {}", hypothesis.score, scores[row]);
        }
        if let Some(beams) = &beams {
            // The reference counts beams over the whole batch.
            let own = hypothesis
                .beams
                .iter()
                .map(|beam| (sequence * params.beams + beam) as i64);
            assert_eq!(own.collect::<Vec<_>>(), beams[row][..length], "{place}");
        }
        if let Some(wanted) = &log_probabilities {
            for (at, (own, wanted)) in hypothesis.log_probabilities.iter().zip(&wanted[row]).enumerate() {
                assert!((own - wanted).abs() < 1e-4, "{place} at {at}: {own} {wanted}");
            }
        }
        consistent(&found[sequence], rank, params);
    }
}

/// A hypothesis can be followed through the trace.
fn consistent(generated: &Generated, rank: usize, params: &GenerationParams) {
    let hypothesis = &generated.hypotheses[rank];
    let mut total = 0.0;
    for (at, (&token, &beam)) in hypothesis.tokens.iter().zip(&hypothesis.beams).enumerate() {
        let expansion = generated.trace[at]
            .expansions
            .iter()
            .find(|expansion| expansion.token == token && expansion.parent == beam)
            .unwrap();
        total += expansion.log_probability;
        assert!((expansion.total - total).abs() < 1e-4);
        match hypothesis.beams.get(at + 1) {
            Some(&next) => assert_eq!(expansion.fate, Fate::Kept(next)),
            None => assert_eq!(expansion.fate, Fate::Finished),
        }
    }
    let length = hypothesis.tokens.len() as f32;
    let score = total / length.powf(params.length_penalty as f32);
    assert!((hypothesis.score - score).abs() < 1e-4);
}

#[test]
fn sequences_scores_and_beams_are_the_references() {
    let mut compared = 0;
    for name in families() {
        let checkpoint = open(&name);
        let model = Model::load(&checkpoint).unwrap();
        let expected = expected(&name);
        for (tag, settings) in settings(&name).unwrap().as_object().unwrap() {
            let params = params(settings);
            let inputs = inputs(&expected, &format!("gen.{tag}"));
            compare(&name, tag, &params, &generate(&model, &inputs, &params), &expected);
            // Without the cache, nothing changes.
            let anew = GenerationParams { cache: false, ..params };
            compare(&name, tag, &anew, &generate(&model, &inputs, &anew), &expected);
            compared += 1;
        }
    }
    assert!(compared >= 20, "{compared}");
}

#[test]
fn settings_are_read_from_the_checkpoint() {
    for name in ["bart", "m2m100", "marian", "mbart", "t5"] {
        let checkpoint = open(name);
        let mut params = GenerationParams::read(&checkpoint).unwrap();
        assert_eq!((params.beams, params.max_length), (4, Some(16)), "{name}");
        let expected = expected(name);
        let inputs = inputs(&expected, "gen.beam4_defaults");
        let model = Model::load(&checkpoint).unwrap();
        compare(
            name,
            "beam4_defaults",
            &params,
            &generate(&model, &inputs, &params),
            &expected,
        );
        // And each of them can be overridden.
        params.beams = 1;
        compare(name, "greedy", &params, &generate(&model, &inputs, &params), &expected);
    }
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("bart").join(file), folder.path().join(file)).unwrap();
    }
    // Without a file of its own, the configuration speaks.
    let read = || GenerationParams::read(&Checkpoint::open(folder.path()).unwrap());
    let params = read().unwrap();
    assert_eq!(
        (params.forced_end, params.decoder_start, params.beams),
        (Some(2), Some(2), 1)
    );
    let write = |text: &str| std::fs::write(folder.path().join("generation_config.json"), text).unwrap();
    write(r#"{"do_sample": true, "top_k": 0, "temperature": 0.5, "eos_token_id": [2, 5], "early_stopping": "never"}"#);
    let params = read().unwrap();
    let sampling = params.sampling.unwrap();
    assert_eq!((sampling.top_k, sampling.temperature, sampling.top_p), (0, 0.5, 1.0));
    assert_eq!(
        (params.end, params.early_stopping),
        (vec![2, 5], EarlyStopping::Impossible)
    );
    write(r#"{"num_beam_groups": 2}"#);
    assert!(matches!(read(), Err(Error::Unsupported { key, .. }) if key == "num_beam_groups"));
    write(r#"{"bad_words_ids": [["word"]]}"#);
    assert!(matches!(read(), Err(Error::Config { key, .. }) if key == "bad_words_ids"));
}

const POINTS: [Point; 8] = [
    Point::Embedding,
    Point::Query,
    Point::Key,
    Point::Value,
    Point::Attention,
    Point::HeadOutput,
    Point::Hidden,
    Point::Mlp,
];

#[test]
fn taps_see_the_new_tokens_and_their_attention_to_all() {
    for (name, side, attention) in [
        ("gpt2", "x", Attention::DecoderSelf),
        ("llama", "x", Attention::DecoderSelf),
        ("bart", "dec", Attention::DecoderSelf),
        ("m2m100", "dec", Attention::DecoderSelf),
        ("t5", "dec", Attention::DecoderSelf),
        ("t5", "dec", Attention::Cross),
    ] {
        let checkpoint = open(name);
        let model = Model::load(&checkpoint).unwrap();
        let expected = expected(name);
        let tag = settings(name).unwrap()["greedy"].clone();
        let params = GenerationParams {
            end: Vec::new(),
            max_new_tokens: None,
            ..params(&tag)
        };
        let prompt = inputs(&expected, "one");
        let prompt = Inputs {
            decoder_input_ids: None,
            ..prompt
        };
        let length = if side == "dec" {
            1
        } else {
            prompt.input_ids.as_ref().unwrap().dim(1).unwrap()
        };
        let params = GenerationParams {
            max_new_tokens: Some(6),
            max_length: None,
            ..params
        };
        let mut recorder = Recorder::of(&POINTS);
        let generator = Generator::new(&model, &params).unwrap();
        let generated = generator.run(&prompt, &mut recorder, &()).unwrap();
        let plain = generator.run(&prompt, &mut (), &()).unwrap();
        assert_eq!(generated, plain, "{name}: recording changes nothing");

        // The last step, again, as one pass over everything.
        let tokens = &generated[0].hypotheses[0].tokens;
        let all: Vec<u32> = generated[0].prompt.iter().chain(&tokens[..5]).copied().collect();
        let whole = Inputs::from_ids(&[all], 0).unwrap();
        let whole = match side {
            "dec" => Inputs {
                decoder_input_ids: whole.input_ids,
                ..prompt
            },
            _ => whole,
        };
        let mut at_once = Recorder::of(&POINTS);
        model.forward(&whole, &mut at_once).unwrap();
        for (point, axis) in [
            (Point::Query, 2),
            (Point::Key, 2),
            (Point::Attention, 2),
            (Point::HeadOutput, 1),
            (Point::Hidden, 1),
        ] {
            if attention == Attention::Cross && matches!(point, Point::Key | Point::Hidden) {
                continue;
            }
            let site = Site::new(attention, 1, point);
            let (step, whole) = (&recorder.tensors[&site], &at_once.tensors[&site]);
            assert_eq!(step.dim(axis).unwrap(), 1, "{name}: {site}");
            let last = whole.narrow(axis, length + 4, 1).unwrap();
            let difference = crate::support::difference(step, &last, None);
            assert!(
                difference < 2e-5 * crate::support::largest(&last).max(1.0),
                "{name}: {site}: {difference}"
            );
        }
    }
}

/// A model whose outputs depend on everything before, with a vocabulary small enough to try every sequence.
fn tiny(vocabulary: usize) -> Model {
    let config = format!(
        r#"{{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": {vocabulary}, "n_positions": 12,
            "n_embd": 16, "n_layer": 2, "n_head": 2}}"#
    );
    let weights = Weights::initialize(5);
    let model = Model::build("tiny", &config, &weights, Gradients::Off).unwrap();
    for variable in weights.variables().values().filter(|variable| variable.rank() == 2) {
        variable.set(&(variable.as_tensor() * 20.0).unwrap()).unwrap();
    }
    model
}

/// The log-probability of a continuation, one forward pass over all of it.
fn log_probability(model: &Model, prompt: &[u32], tokens: &[u32]) -> f32 {
    let all = [prompt, tokens].concat();
    let logits = model
        .forward(&Inputs::from_ids(std::slice::from_ref(&all), 0).unwrap(), &mut ())
        .unwrap()
        .logits
        .unwrap();
    let rows: Vec<Vec<f32>> = logits.squeeze(0).unwrap().to_vec2().unwrap();
    let mut total = 0.0;
    for (at, &token) in tokens.iter().enumerate() {
        let row = &rows[prompt.len() + at - 1];
        let sum: f32 = row.iter().map(|logit| logit.exp()).sum();
        total += row[token as usize] - sum.ln();
    }
    total
}

#[test]
fn enough_beams_find_the_best_of_all_sequences() {
    let model = tiny(5);
    let prompt = [1, 3];
    // Every sequence of at most four tokens, ended by 0 or by the limit.
    let mut all: Vec<Vec<u32>> = vec![Vec::new()];
    let mut complete = Vec::new();
    for _ in 0..4 {
        all = all
            .iter()
            .flat_map(|tokens| (0..5).map(move |next| [tokens.as_slice(), &[next]].concat()))
            .collect();
        let (ended, open) = all.into_iter().partition(|tokens: &Vec<u32>| tokens.last() == Some(&0));
        complete.extend::<Vec<Vec<u32>>>(ended);
        all = open;
    }
    complete.extend(all);
    for length_penalty in [0.0, 1.0, 2.0, -1.0] {
        let mut scored: Vec<(f32, &Vec<u32>)> = complete
            .iter()
            .map(|tokens| {
                let length = (tokens.len() as f32).powf(length_penalty as f32);
                (log_probability(&model, &prompt, tokens) / length, tokens)
            })
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        let params = GenerationParams {
            beams: 500,
            max_new_tokens: Some(4),
            end: vec![0],
            length_penalty,
            early_stopping: EarlyStopping::Impossible,
            ..GenerationParams::default()
        };
        let inputs = Inputs::from_ids(&[prompt.to_vec()], 0).unwrap();
        let found = &generate(&model, &inputs, &params)[0];
        assert_eq!(found.hypotheses.len(), scored.len());
        for (hypothesis, (score, tokens)) in found.hypotheses.iter().zip(&scored).take(20) {
            assert_eq!(&hypothesis.tokens, *tokens, "length penalty {length_penalty}");
            assert!((hypothesis.score - score).abs() < 1e-4);
        }
    }
}

#[test]
fn draws_depend_on_the_seed_alone() {
    let model = tiny(30);
    let params = |seed, top_k| GenerationParams {
        max_new_tokens: Some(8),
        sampling: Some(Sampling {
            seed,
            top_k,
            ..Sampling::default()
        }),
        ..GenerationParams::default()
    };
    let inputs = |rows: &[Vec<u32>]| Inputs::from_ids(rows, 0).unwrap();
    let prompts = [vec![1, 2, 3], vec![4], vec![7, 8, 9]];
    let together = generate(&model, &inputs(&prompts), &params(1, 0));
    assert_eq!(together, generate(&model, &inputs(&prompts), &params(1, 0)));
    // The first sequence does not notice the others.
    assert_eq!(together[0], generate(&model, &inputs(&prompts[..1]), &params(1, 0))[0]);
    assert_ne!(together, generate(&model, &inputs(&prompts), &params(2, 0)));
    // The reported log-probabilities are the model's.
    for (prompt, generated) in prompts.iter().zip(&together) {
        let hypothesis = &generated.hypotheses[0];
        let expected = log_probability(&model, prompt, &hypothesis.tokens);
        assert!((hypothesis.score * 8.0 - expected).abs() < 1e-3);
    }
    // Drawing among one token is no drawing.
    let greedy = GenerationParams {
        sampling: None,
        ..params(1, 1)
    };
    assert_eq!(
        generate(&model, &inputs(&prompts), &params(1, 1)),
        generate(&model, &inputs(&prompts), &greedy)
    );
}

#[test]
fn a_prefix_is_priced_and_then_continued() {
    let model = tiny(30);
    let inputs = Inputs::from_ids(&[vec![1, 2, 3]], 0).unwrap();
    for beams in [1, 3] {
        let params = GenerationParams {
            beams,
            max_new_tokens: Some(6),
            prefix: vec![9, 4],
            forbidden: vec![vec![5], vec![9, 4, 6]],
            no_repeat: 1,
            ..GenerationParams::default()
        };
        let found = generate(&model, &inputs, &params);
        for hypothesis in &found[0].hypotheses {
            assert_eq!(hypothesis.tokens[..2], [9, 4]);
            assert!(!hypothesis.tokens.contains(&5) && hypothesis.tokens[2] != 6);
            let different: BTreeSet<u32> = hypothesis.tokens.iter().chain(&[1, 2, 3]).copied().collect();
            assert_eq!(different.len(), 9);
            let price = log_probability(&model, &[1, 2, 3], &[9, 4]);
            let own: f32 = hypothesis.log_probabilities[..2].iter().sum();
            assert!((price - own).abs() < 1e-4, "{price} {own}");
        }
        // Greedy generation lists beside it what it would have chosen.
        let first = &found[0].trace[0].expansions;
        let kept: Vec<u32> = first
            .iter()
            .filter(|e| e.fate == Fate::Kept(0))
            .map(|e| e.token)
            .collect();
        assert_eq!(kept, [9]);
        assert_eq!(first.len(), if beams == 1 { 6 } else { 1 });
    }
}

#[test]
fn tokens_are_told_as_they_come_and_can_be_stopped() {
    let model = tiny(30);
    let params = GenerationParams {
        max_new_tokens: Some(8),
        ..GenerationParams::default()
    };
    let generator = Generator::new(&model, &params).unwrap();
    let inputs = Inputs::from_ids(&[vec![1, 2, 3], vec![6, 7, 8]], 0).unwrap();
    let mut told = vec![Vec::new(); 2];
    let generated = generator
        .stream(&inputs, &mut (), &(), &mut |emitted| {
            assert_eq!(emitted.at, told[emitted.sequence].len());
            told[emitted.sequence].push(emitted.token);
            if emitted.sequence == 0 && emitted.at == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert_eq!((told[0].len(), told[1].len()), (3, 8));
    for (told, generated) in told.iter().zip(&generated) {
        assert_eq!(told, &generated.hypotheses[0].tokens);
    }
    // What went on is what it would have been alone.
    let alone = generate(&model, &Inputs::from_ids(&[vec![6, 7, 8]], 0).unwrap(), &params);
    assert_eq!(alone[0].hypotheses[0].tokens, generated[1].hypotheses[0].tokens);

    let asked = AtomicUsize::new(0);
    let stop = |stage: &str, done: usize, total: usize| {
        assert!(stage == "generate" && done <= total);
        if asked.fetch_add(1, Ordering::Relaxed) == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    assert!(generator.run(&inputs, &mut (), &stop).unwrap_err().is_cancelled());
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let model = tiny(30);
    let refused = |params: GenerationParams| match Generator::new(&model, &params) {
        Err(Error::Parameter { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    let default = GenerationParams::default;
    let drawn = |sampling: Sampling| GenerationParams {
        sampling: Some(sampling),
        ..default()
    };
    assert_eq!(refused(GenerationParams { beams: 0, ..default() }), "beams");
    assert_eq!(
        refused(GenerationParams {
            beams: 2,
            ..drawn(Sampling::default())
        }),
        "beams"
    );
    assert_eq!(
        refused(GenerationParams {
            length_penalty: f64::NAN,
            ..default()
        }),
        "length_penalty"
    );
    assert_eq!(
        refused(GenerationParams {
            end: vec![30],
            ..default()
        }),
        "end"
    );
    assert_eq!(
        refused(GenerationParams {
            prefix: vec![1, 99],
            ..default()
        }),
        "prefix"
    );
    assert_eq!(
        refused(GenerationParams {
            forbidden: vec![vec![]],
            ..default()
        }),
        "forbidden"
    );
    assert_eq!(
        refused(drawn(Sampling {
            temperature: 0.0,
            ..Sampling::default()
        })),
        "temperature"
    );
    assert_eq!(
        refused(drawn(Sampling {
            top_p: 1.5,
            ..Sampling::default()
        })),
        "top_p"
    );

    let run = |params: &GenerationParams, model: &Model, inputs: &Inputs| {
        Generator::new(model, params)
            .unwrap()
            .run(inputs, &mut (), &())
            .unwrap_err()
    };
    let long = Inputs::from_ids(&[(0..12).collect()], 0).unwrap();
    assert!(matches!(
        run(&default(), &model, &long),
        Error::Parameter { name: "max_length", .. }
    ));
    let short = Inputs::from_ids(&[vec![1]], 0).unwrap();
    let prefix = GenerationParams {
        prefix: vec![1; 20],
        ..default()
    };
    assert!(matches!(
        run(&prefix, &model, &short),
        Error::Parameter { name: "prefix", .. }
    ));
    let translator = Model::load(&open("bart")).unwrap();
    assert!(matches!(
        run(&default(), &translator, &short),
        Error::Parameter {
            name: "decoder_start",
            ..
        }
    ));
    let encoder = Model::load(&open("bert")).unwrap();
    assert!(matches!(run(&default(), &encoder, &short), Error::Input { .. }));
}

fn third_party_model(path: &Path) -> (Checkpoint, Model) {
    let checkpoint = Checkpoint::open(path).unwrap();
    let model = Model::load(&checkpoint).unwrap();
    (checkpoint, model)
}

#[test]
fn letters_are_transliterated() {
    let Some(path) = third_party("aren-transliteration") else {
        return;
    };
    let (checkpoint, model) = third_party_model(&path);
    let tokenizer = checkpoint.tokenizer().unwrap();
    // Example and answer of CTranslate2, whose test model this is.
    let ids = tokenizer.encode("آتزمون", model.info()).unwrap().ids();
    for beams in [1, 2, 4] {
        let params = GenerationParams {
            beams,
            ..GenerationParams::read(&checkpoint).unwrap()
        };
        let found = generate(
            &model,
            &Inputs::from_ids(std::slice::from_ref(&ids), 0).unwrap(),
            &params,
        );
        assert_eq!(tokenizer.decode(&found[0].hypotheses[0].tokens).unwrap(), "atzmon");
        assert!(found[0].hypotheses[0].ended);
    }
}

#[test]
fn a_small_model_tells_a_story() {
    let Some(path) = third_party("stories260k") else { return };
    let (checkpoint, model) = third_party_model(&path);
    let tokenizer = checkpoint.tokenizer().unwrap();
    let ids = tokenizer.encode("Once upon a time", model.info()).unwrap().ids();
    let params = GenerationParams {
        max_new_tokens: Some(60),
        ..GenerationParams::read(&checkpoint).unwrap()
    };
    let found = generate(&model, &Inputs::from_ids(&[ids], 0).unwrap(), &params);
    let text = tokenizer.decode(&found[0].hypotheses[0].tokens).unwrap();
    // The published program's greedy story.
    assert!(text.contains("there was a little girl named Lily"), "{text}");
}

/// Lists of one token, and -1 for none, as configurations spell special tokens.
#[test]
fn special_tokens_are_read_in_every_form() {
    let read = |options: serde_json::Value| {
        let mut config: Value = serde_json::from_slice(&std::fs::read(fixture("bart/config.json")).unwrap()).unwrap();
        for (key, value) in options.as_object().unwrap() {
            config[key] = value.clone();
        }
        let weights = std::fs::read(fixture("bart/model.safetensors")).unwrap();
        GenerationParams::read(&Checkpoint::from_bytes("bart", config.to_string().into_bytes(), weights).unwrap())
    };
    let params = read(serde_json::json!({"forced_bos_token_id": [5], "eos_token_id": -1, "pad_token_id": -1})).unwrap();
    assert_eq!((params.forced_first, params.end), (Some(5), vec![]));
    let params = read(serde_json::json!({"forced_bos_token_id": -1, "eos_token_id": [2, -1]})).unwrap();
    assert_eq!((params.forced_first, params.end), (None, vec![2]));
    let error = read(serde_json::json!({"forced_bos_token_id": [5, 6]})).unwrap_err();
    assert!(
        matches!(&error, Error::Unsupported { key, .. } if key == "forced_bos_token_id"),
        "{error}"
    );
}
