//! The embedded models: the checkpoints of a training are those its log tells of, and what a text encoder leaves out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::HashMap, sync::Arc};

use attn_sdk::{
    analyze::concepts::{Pipeline, PipelineParams, Reading, TaggedText, Words},
    core::{Side, capture::CaptureOptions},
    embedded::{self, SENTIMENT_LOG},
    models::{Capturer, Checkpoint, Inputs, Model, text::Line},
};
use serde_json::Value;

/// The probabilities of the classes for a text.
fn probabilities(checkpoint: &Checkpoint, text: &str) -> Vec<f64> {
    let model = Model::load(checkpoint).unwrap();
    let tokens = checkpoint.tokenizer().unwrap().encode(text, model.info()).unwrap();
    let inputs = Inputs::from_ids(&[tokens.ids()], 0).unwrap();
    let logits = model.forward(&inputs, &mut ()).unwrap().logits.unwrap();
    let logits: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
    let powers: Vec<f64> = logits.iter().map(|&logit| f64::from(logit).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

#[test]
fn the_checkpoints_of_the_training_are_those_of_its_log() {
    let lines: Vec<Value> = SENTIMENT_LOG
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["epochs"], 4);
    let of_kind = |kind: &str| {
        lines
            .iter()
            .filter(move |line| line["kind"] == kind)
            .collect::<Vec<_>>()
    };
    let texts: HashMap<&str, &str> = of_kind("example")
        .iter()
        .map(|line| (line["id"].as_str().unwrap(), line["text"].as_str().unwrap()))
        .collect();
    assert_eq!(texts.len(), 1200);
    let predictions = of_kind("prediction");
    assert_eq!(predictions.len(), 4 * 1200);
    let epochs = embedded::SENTIMENT_EPOCHS.map(|model| model.checkpoint().unwrap());
    assert_eq!(epochs.len(), 4);
    let mut compared = 0;
    for prediction in predictions.iter().step_by(97) {
        let epoch = usize::try_from(prediction["epoch"].as_u64().unwrap()).unwrap();
        let found = probabilities(&epochs[epoch - 1], texts[prediction["id"].as_str().unwrap()]);
        let logged = prediction["probabilities"].as_array().unwrap();
        for (found, logged) in found.iter().zip(logged) {
            // Weights are stored as f16; the log was written from f32.
            let gap = (found - logged.as_f64().unwrap()).abs();
            assert!(gap < 0.02, "{prediction}: {found:?}");
        }
        compared += 1;
    }
    assert!(compared >= 40);
    // The last checkpoint is the model, and training went on from one to the next.
    let of = |checkpoint: &Checkpoint| probabilities(checkpoint, "The terrible dog sees a letter.");
    assert_eq!(of(&epochs[3]), of(&embedded::SENTIMENT.checkpoint().unwrap()));
    assert!((of(&epochs[0])[0] - of(&epochs[3])[0]).abs() > 1e-3);
}

/// A capture of lines leaves out those without tokens; the words of the others are found all the same.
#[test]
fn sentences_without_tokens_are_no_sentences_of_a_reading() {
    let mut text = TaggedText::word_tag("the_D cat_N sat_V\na_D dog_N\n", "example", '_').unwrap();
    // What the tokenizer removes.
    text.sentences[0].text = "\u{200b}".into();
    let capturer = Capturer::load(&embedded::TEXT_ENCODER.checkpoint().unwrap()).unwrap();
    let lines = text.sentences.iter().map(|sentence| Line {
        number: sentence.line,
        text: sentence.text.clone(),
    });
    let outcome = capturer.lines(lines).run().unwrap();
    assert_eq!(outcome.notes.len(), 1);
    let reading = Reading::new("model", Arc::new(text), &outcome.capture);
    let words = Words::find(&reading.text, &outcome.capture, reading.side).unwrap();
    let texts: Vec<&str> = words.words.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(texts, ["a", "dog"]);
}

/// The decoder reads the sentences if they are its targets; what the model writes itself is no annotated text.
#[test]
fn an_encoder_decoder_reads_annotated_text_on_both_sides() {
    let lines = "march_MONTH 12_DAY 1987_YEAR\nmay_MONTH 3_DAY 2001_YEAR";
    let text = Arc::new(TaggedText::word_tag(lines, "example", '_').unwrap());
    let capturer = Capturer::load(&embedded::DATES.checkpoint().unwrap()).unwrap();
    let capturer = capturer.with_options(CaptureOptions::states());
    let capture = |line: fn(&str) -> String| {
        let lines = text.sentences.iter().map(|sentence| line(&sentence.text));
        capturer.capture_lines(lines).unwrap()
    };
    let mut params = PipelineParams {
        clusters: Some(2),
        map: false,
        ..PipelineParams::default()
    };
    params.filter.at_least = 1;
    let pipeline = Pipeline::new(params).unwrap();
    let both = capture(|sentence| format!("{sentence}\t{sentence}"));
    let spaces: Vec<_> = Reading::all("dates", text.clone(), &both)
        .iter()
        .map(|reading| pipeline.encode(reading, &()).unwrap())
        .collect();
    let names: Vec<String> = spaces.iter().map(|space| space.name()).collect();
    assert_eq!(names, ["dates (encoder)", "dates (decoder)"]);
    assert!(
        spaces
            .iter()
            .all(|space| !space.words.words.is_empty() && space.layers.len() > 1)
    );
    let study = pipeline.compare(spaces, &()).unwrap();
    assert!(study.markdown().contains("# dates (encoder) and dates (decoder)"));
    let written = capture(str::to_owned);
    let readings = Reading::all("dates", text.clone(), &written);
    assert_eq!(
        readings.iter().map(|reading| reading.side).collect::<Vec<_>>(),
        [Side::Encoder]
    );
    assert!(pipeline.encode(&readings[0], &()).is_ok());
}
