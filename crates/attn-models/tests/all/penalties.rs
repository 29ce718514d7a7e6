//! Options that change scores on the way (penalty, renormalization, cuts) against the reference's sequences and
//! distributions; what stays refused; the likeliest tokens of a trace, and texts that are read instead of written.

use attn_models::{
    Checkpoint, Error, Inputs, Model,
    generate::{GenerationOverrides, GenerationParams, Generator, Sampling},
};
use serde_json::{Value, json};

use crate::{
    generation::{compare, families, generate, params, settings},
    support::{expected, fixture, inputs, open, values},
};

/// The model of one fixture with the generation settings of another, some of them replaced.
fn with_settings(model: &str, settings: &str, changes: Value) -> attn_models::Result<GenerationParams> {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture(model).join(file), folder.path().join(file)).unwrap();
    }
    let own = std::fs::read(fixture(settings).join("generation_config.json")).unwrap();
    let mut own: Value = serde_json::from_slice(&own).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        own[key] = value.clone();
    }
    std::fs::write(folder.path().join("generation_config.json"), own.to_string()).unwrap();
    GenerationParams::read(&Checkpoint::open(folder.path()).unwrap())
}

#[test]
fn forbidden_tokens_leave_their_probability_to_others_if_asked_to() {
    let (model, expected) = (Model::load(&open("marian")).unwrap(), expected("marian-renorm"));
    for (tag, changes) in [
        ("config", json!({})),
        ("config_all_beams", json!({})),
        ("without_renormalize", json!({"renormalize_logits": false})),
        ("greedy", json!({"num_beams": 1})),
        (
            "short_no_forced_eos",
            json!({"max_length": 7, "forced_eos_token_id": null}),
        ),
        ("short_forced_eos", json!({"max_length": 7})),
    ] {
        let params = with_settings("marian", "marian-renorm", changes).unwrap();
        let inputs = inputs(&expected, &format!("gen.{tag}"));
        let found = generate(&model, &inputs, &params);
        compare("marian-renorm", tag, &params, &found, &expected);
    }
}

#[test]
fn repetitions_are_penalized_as_by_the_reference() {
    let (model, expected) = (Model::load(&open("qwen2")).unwrap(), expected("qwen2-penalty"));
    let own = with_settings("qwen2", "qwen2-penalty", json!({})).unwrap();
    let sampling = own.sampling.unwrap();
    assert_eq!((sampling.temperature, sampling.top_k, sampling.top_p), (0.7, 20, 0.8));
    let greedy = GenerationParams {
        sampling: None,
        decoder_start: None,
        max_new_tokens: Some(16),
        ..own.clone()
    };
    let beams = GenerationParams {
        beams: 4,
        max_new_tokens: Some(12),
        ..greedy.clone()
    };
    let plain = GenerationParams {
        repetition_penalty: 1.0,
        ..greedy.clone()
    };
    // Padding on the left changes nothing.
    for (tag, params) in [
        ("greedy.0", &greedy),
        ("greedy.1", &greedy),
        ("greedy.2", &greedy),
        ("greedy_batch", &greedy),
        ("greedy_no_penalty.0", &plain),
        ("beam4.0", &beams),
    ] {
        let inputs = inputs(&expected, &format!("gen.{tag}"));
        compare(
            "qwen2-penalty",
            tag,
            params,
            &generate(&model, &inputs, params),
            &expected,
        );
    }
    // The distribution that the first token is drawn from.
    let generator = Generator::new(&model, &own).unwrap();
    for case in 0..3 {
        let inputs = inputs(&expected, &format!("warp.{case}"));
        let read = generator.teacher_forced(&inputs, 0, &[], &mut ()).unwrap();
        let found = sampling.probabilities(read.log_probabilities(0));
        let wanted = values(&expected[&format!("warp.{case}.probs")]);
        assert_eq!(found.len(), wanted.len());
        for (token, (found, wanted)) in found.iter().zip(wanted).enumerate() {
            assert!(
                (found - f64::from(wanted)).abs() < 1e-5,
                "{case} {token}: {found} {wanted}"
            );
        }
    }
}

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    let read = |changes: Value| with_settings("qwen2", "qwen2-penalty", changes);
    for (key, value) in [
        ("num_beam_groups", json!(2)),
        ("diversity_penalty", json!(0.5)),
        ("penalty_alpha", json!(0.6)),
        ("guidance_scale", json!(1.5)),
        ("top_h", json!(0.4)),
        ("epsilon_cutoff", json!(0.01)),
        ("eta_cutoff", json!(0.01)),
        ("encoder_repetition_penalty", json!(1.2)),
        ("encoder_no_repeat_ngram_size", json!(3)),
        ("exponential_decay_length_penalty", json!([5, 1.1])),
        ("force_words_ids", json!([[5]])),
        ("constraints", json!(["any"])),
        ("sequence_bias", json!([[[5], 1.0]])),
        ("stop_strings", json!("end")),
        ("max_time", json!(1.0)),
        ("token_healing", json!(true)),
        ("dola_layers", json!("high")),
        ("watermarking_config", json!({"bias": 2.0})),
        ("forced_decoder_ids", json!([[1, null]])),
    ] {
        let error = read(json!({key: value})).unwrap_err();
        assert!(
            matches!(&error, Error::Unsupported { key: found, .. } if found == key),
            "{key}: {error}"
        );
    }
    for (key, value) in [
        ("num_beam_groups", json!(1)),
        ("guidance_scale", json!(null)),
        ("token_healing", json!(false)),
        ("force_words_ids", json!([])),
        ("sequence_bias", json!({})),
        ("stop_strings", json!(null)),
    ] {
        read(json!({key: value})).unwrap();
    }
    let params = read(json!({"min_p": 0.1, "typical_p": 0.9, "forced_decoder_ids": [[1, 5], [2, 6]]})).unwrap();
    let sampling = params.sampling.unwrap();
    assert_eq!((sampling.min_p, sampling.typical_p), (0.1, 0.9));
    assert_eq!(params.forced_places, [(1, 5), (2, 6)]);
}

#[test]
fn penalties_and_cuts_out_of_range_are_refused() {
    let model = Model::load(&open("qwen2")).unwrap();
    let refused = |given: GenerationOverrides| {
        let mut params = GenerationParams::default();
        params.override_with(&given);
        match Generator::new(&model, &params) {
            Err(Error::Parameter { name, .. }) => name,
            other => panic!("{other:?}"),
        }
    };
    let given = GenerationOverrides::default();
    for penalty in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let repetition_penalty = Some(penalty);
        let given = GenerationOverrides {
            repetition_penalty,
            ..given
        };
        assert_eq!(refused(given), "repetition_penalty");
    }
    for share in [-0.1, 1.1, f64::NAN] {
        let min_p = Some(share);
        assert_eq!(refused(GenerationOverrides { min_p, ..given }), "min_p");
    }
    for mass in [0.0, 1.1, f64::NAN] {
        let typical_p = Some(mass);
        assert_eq!(refused(GenerationOverrides { typical_p, ..given }), "typical_p");
    }
}

/// Settings that were saved before an option was there are read with its default.
#[test]
fn older_settings_are_read() {
    let saved = json!({"beams": 3, "sampling": {"temperature": 0.5, "top_k": 7, "top_p": 1.0, "seed": 3}});
    let read: GenerationParams = serde_json::from_value(saved).unwrap();
    let wanted = GenerationParams {
        beams: 3,
        sampling: Some(Sampling {
            temperature: 0.5,
            top_k: 7,
            seed: 3,
            ..Sampling::default()
        }),
        ..GenerationParams::default()
    };
    assert_eq!(read, wanted);
}

/// One pass over a hypothesis says of every token what the search said of it: its log-probability, its rank, the likeliest.
#[test]
fn a_hypothesis_that_is_read_is_priced_as_it_was_written() {
    for name in families() {
        let (model, expected) = (Model::load(&open(&name)).unwrap(), expected(&name));
        for (tag, settings) in settings(&name).unwrap().as_object().unwrap() {
            let params = GenerationParams {
                top_tokens: 4,
                repetition_penalty: 1.2,
                renormalize: true,
                ..params(settings)
            };
            let inputs = inputs(&expected, &format!("gen.{tag}"));
            let generator = Generator::new(&model, &params).unwrap();
            let found = generator.run(&inputs, &mut (), &()).unwrap();
            for (sequence, generated) in found.iter().enumerate() {
                for hypothesis in &generated.hypotheses {
                    let read = generator
                        .teacher_forced(&inputs, sequence, &hypothesis.tokens, &mut ())
                        .unwrap();
                    for (at, &token) in hypothesis.tokens.iter().enumerate() {
                        let place = format!("{name} {tag}: sequence {sequence} at {at}");
                        let own = read.log_probability(at, token).unwrap();
                        let written = hypothesis.log_probabilities[at];
                        // A forced token is free in a trace.
                        assert!(
                            written == 0.0 || (own - written).abs() < 1e-4,
                            "{place}: {own} {written}"
                        );
                        let top = generated.top(hypothesis, at);
                        assert_eq!(top.len(), 4, "{place}");
                        for (rank, (kept, read)) in top.iter().zip(read.top(at, 4)).enumerate() {
                            let gap = (kept.log_probability - read.log_probability).abs();
                            assert!(gap < 1e-4, "{place}, rank {rank}: {kept:?} {read:?}");
                        }
                        for (rank, candidate) in read.top(at, 4).iter().enumerate() {
                            assert_eq!(read.rank(at, candidate.token), Some(rank), "{place}");
                        }
                    }
                    let after = hypothesis.tokens.len();
                    assert_eq!(Some(read.log_probabilities(after).len()), model.info().vocab_size);
                    assert_eq!(read.log_probability(after + 1, 0), None);
                }
            }
        }
    }
}

/// By hand: a text after a prompt has the sum of the log-softmax of plain logits.
#[test]
fn a_given_text_is_priced() {
    let model = Model::load(&open("gpt2")).unwrap();
    let generator = Generator::new(&model, &GenerationParams::default()).unwrap();
    // The second prompt is padded on the left: it is read without its padding.
    let ids = Inputs::from_ids(&[vec![9, 8, 7, 6], vec![0, 5, 60, 7]], 0)
        .unwrap()
        .input_ids;
    let mask = Inputs::from_ids(&[vec![1, 1, 1, 1], vec![0, 1, 1, 1]], 0)
        .unwrap()
        .input_ids;
    let inputs = Inputs {
        input_ids: ids,
        attention_mask: mask,
        ..Inputs::default()
    };
    let read = generator.teacher_forced(&inputs, 1, &[80, 9], &mut ()).unwrap();
    assert_eq!(
        (read.prompt(), read.tokens()),
        ([5, 60, 7].as_slice(), [80, 9].as_slice())
    );
    let whole = Inputs::from_ids(&[vec![5, 60, 7, 80, 9]], 0).unwrap();
    let logits = model.forward(&whole, &mut ()).unwrap().logits.unwrap();
    let rows: Vec<Vec<f32>> = logits.squeeze(0).unwrap().to_vec2().unwrap();
    for (at, token) in [80_usize, 9].into_iter().enumerate() {
        let row = &rows[2 + at];
        let sum: f64 = row.iter().map(|&logit| f64::from(logit).exp()).sum();
        let wanted = f64::from(row[token]) - sum.ln();
        assert!((f64::from(read.text()[at]) - wanted).abs() < 1e-5);
        let likelier = row.iter().filter(|&&logit| logit > row[token]).count();
        assert_eq!(read.rank(at, token as u32), Some(likelier));
    }
    let error = generator.teacher_forced(&inputs, 2, &[80], &mut ()).unwrap_err();
    assert!(
        error.to_string().contains("a sequence from 0 to 1, found sequence 2"),
        "{error}"
    );
}
