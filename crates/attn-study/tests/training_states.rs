//! Examples of a training by their hidden states at checkpoints, against captures of each text alone.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test")]

use attn_analyze::training::{DynamicsParams, LogReader, Moment};
use attn_core::{Side, capture::CaptureOptions};
use attn_models::Capturer;
use attn_project::{Projector, pca::Pca};
use attn_render::{Plot, ViewState};
use attn_study::training::{RunCheckpoint, StatePooling, StatesParams, Training};

fn sentiment() -> Training {
    let mut reader = LogReader::default();
    let mut file = reader.file("log.jsonl");
    reader
        .push(&mut file, attn_embedded::SENTIMENT_LOG.as_bytes(), &())
        .unwrap();
    Training::new(reader.into_log(), Vec::new())
}

#[test]
fn examples_stand_where_their_hidden_states_are() {
    let mut training = sentiment();
    let opened = |epoch: usize| attn_embedded::SENTIMENT_EPOCHS[epoch].checkpoint().unwrap();
    let moment = |epoch: usize| Moment::epoch(epoch as f64 + 1.0);
    let checkpoints: Vec<RunCheckpoint> = [0, 3]
        .map(|epoch| RunCheckpoint::opened(moment(epoch), opened(epoch)))
        .into();
    let broken = RunCheckpoint::in_folder(Moment::epoch(9.0), "no/such/folder");
    let params = StatesParams { most: 40, seed: 3 };
    let with_broken: Vec<RunCheckpoint> = checkpoints.iter().cloned().chain([broken.clone()]).collect();
    let states = training.states(&with_broken, &params, &()).unwrap();
    assert_eq!((states.examples().len(), states.last_layer()), (40, 4));
    assert!(
        states.notes().iter().any(|note| note.starts_with("epoch 9: ")),
        "{:?}",
        states.notes()
    );
    assert!(training.states(&[broken], &params, &()).is_err());

    // The same vectors as a capture of each text alone.
    let mut capturer = Capturer::load(&opened(3)).unwrap();
    capturer = capturer.with_options(CaptureOptions {
        hidden: true,
        ..CaptureOptions::default()
    });
    for (row, &example) in states.examples().iter().enumerate().step_by(9) {
        let text = training.log().examples()[example].text.clone().unwrap();
        let capture = capturer.capture_text(&text).unwrap();
        let hidden = capture.hidden(Side::Encoder, 2).unwrap();
        let mean = hidden.mean_axis(attn_analyze::ndarray::Axis(0)).unwrap();
        for (pooling, expected) in [
            (StatePooling::First, hidden.row(0)),
            (StatePooling::Last, hidden.row(hidden.nrows() - 1)),
            (StatePooling::Mean, mean.view()),
        ] {
            let found = states.vectors(1, 2, pooling).unwrap();
            for (a, b) in found.row(row).iter().zip(expected) {
                assert!((a - b).abs() < 1e-4, "{pooling:?} of {text}: {a} {b}");
            }
        }
    }
    assert!(states.vectors(1, 5, StatePooling::Mean).is_err());
    let maps = states
        .project(4, StatePooling::First, &Projector::new(Pca), &())
        .unwrap();
    let (moved, noise) = maps.moved(0).unwrap();
    assert!(
        noise < 1e-3 && moved.iter().all(|moved| *moved >= 0.0),
        "PCA does not depend on a seed: {noise}"
    );
    let view = ViewState::default();
    for color in [None, Some("trustworthiness"), Some("movement"), Some("confidence")] {
        let plot = training.state_map(&maps, 0, color).unwrap();
        plot.scene(&view, plot.natural_size()).unwrap();
    }
    training.movement(&maps, 0).unwrap().scene(&view, [400.0; 2]).unwrap();
    assert!(training.movement(&maps, 1).is_err());
    assert_eq!(training.state_table(&maps).rows(), 80);
    training.set_params(DynamicsParams::default());
}

/// Checkpoints of other widths and other numbers of layers, one of another family: what they have in common is shown.
#[test]
fn checkpoints_of_other_shapes_stand_beside_each_other() {
    let training = sentiment();
    let opened = |model: attn_embedded::EmbeddedModel, epoch| {
        RunCheckpoint::opened(Moment::epoch(epoch), model.checkpoint().unwrap())
    };
    let checkpoints = [
        opened(attn_embedded::SENTIMENT, 1.0),
        opened(attn_embedded::TEXT_DECODER, 2.0),
        opened(attn_embedded::DATES, 3.0),
        opened(attn_embedded::VISION, 4.0),
    ];
    let params = StatesParams { most: 12, seed: 0 };
    let states = training.states(&checkpoints, &params, &()).unwrap();
    let names: Vec<&str> = states.names().collect();
    assert_eq!(names, ["epoch 1", "epoch 2", "epoch 3"]);
    assert!(
        states.notes().iter().any(|note| note.starts_with("epoch 4: ")),
        "{:?}",
        states.notes()
    );
    assert!(!states.has_pooler());
    let widths: Vec<usize> = (0..3)
        .map(|checkpoint| {
            states
                .vectors(checkpoint, states.last_layer(), StatePooling::Mean)
                .unwrap()
                .ncols()
        })
        .collect();
    assert!(widths.iter().any(|width| *width != widths[0]), "{widths:?}");
    assert!(states.vectors(2, states.last_layer() + 1, StatePooling::Mean).is_err());
    assert!(states.vectors(2, 0, StatePooling::Head).is_err());
    // A layout needs as many examples as any other; widths may differ.
    match states.project(states.last_layer(), StatePooling::Mean, &Projector::new(Pca), &()) {
        Ok(maps) => assert_eq!(training.state_table(&maps).rows(), 36),
        Err(error) => assert!(error.to_string().contains("expected"), "{error}"),
    }
    // A checkpoint and a model that reads nothing of it.
    let snapshot = |at: usize| attn_study::change::Snapshot::open(checkpoints[at].open().unwrap()).unwrap();
    let (before, after) = (snapshot(1), snapshot(0));
    let set = attn_study::pruning::LabeledSet::of_log(&after.capturer, training.log(), 0..6).unwrap();
    let params = attn_study::pruning::PruningParams::default();
    match attn_study::change::ChangeStudy::run(&before, &after, &set, &params, &()) {
        Ok(study) => assert!(
            study.evaluations.is_none() && !study.notes.is_empty(),
            "{:?}",
            study.notes
        ),
        Err(error) => assert!(error.to_string().contains("expected"), "{error}"),
    }
}
