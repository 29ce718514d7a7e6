//! Logs of trainings and the state of a trainer.

use attn_core::Limits;
use attn_study::{
    attn_analyze::training::{Filter, LogReader},
    training::{MapOptions, TrainerState, Training},
};

use crate::{
    fixtures,
    mutate::{Form, Seed},
};

/// A log in one or two parts, with everything that is made of it; or a trainer's state.
pub(super) fn log(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    if choice % 8 == 7 {
        let _ = TrainerState::parse(bytes, "trainer_state.json".as_ref());
        return;
    }
    let read = |parts: &[&[u8]]| {
        let mut reader = LogReader::with_limits(Limits::of(1 << 26));
        let mut file = reader.file("log.jsonl");
        for part in parts {
            if reader.push(&mut file, part, &()).is_err() {
                break;
            }
        }
        Training::new(reader.into_log(), Vec::new())
    };
    let training = read(&[bytes]);
    let (first, second) = bytes.split_at(bytes.len() * usize::from(choice % 8) / 8);
    let parts = read(&[first, second]);
    let log = training.log();
    assert_eq!(log.examples().len(), parts.log().examples().len());
    assert_eq!(training.data_map_table().to_csv(), parts.data_map_table().to_csv());
    for example in 0..log.examples().len() {
        for (moment, outcome) in log.outcomes(example) {
            assert!(moment < log.moments().len());
            let _ = log.answer(outcome);
        }
    }
    assert_eq!(training.columns().rows(), log.examples().len());
    let _ = training.data_map(&MapOptions::default());
    let _ = (
        training.margins(None),
        training.curves(),
        training.flip_table(),
        training.noise_curves(),
    );
    let _ = training.report().markdown();
    if let Ok(filter) = String::from_utf8_lossy(first).parse::<Filter>() {
        let _ = training.select(&filter);
    }
}

pub(super) fn logs() -> Vec<Seed> {
    let tasks = ["classification", "multi_label", "regression", "tokens", "generation"];
    let read = |task: &&str| fixtures::file("training", &format!("{task}.jsonl"));
    let mut seeds: Vec<Seed> = (0..)
        .zip(tasks.iter().filter_map(read))
        .map(|(choice, bytes)| seed(choice, bytes))
        .collect();
    let dynamics = "{\"guid\": 1, \"logits_epoch_0\": [NaN, 1.5], \"gold\": 1}\n{\"guid\": \"b\", \"logits_epoch_0\": [2, 1], \"gold\": 0}";
    seeds.push(seed(3, dynamics.into()));
    let state = "{\"epoch\": 1.5, \"global_step\": 3, \"log_history\": [{\"step\": 1, \"loss\": NaN}, {\"step\": 2, \"eval_loss\": 0.5}]}";
    seeds.push(Seed {
        form: Form::Json,
        ..seed(7, state.into())
    });
    seeds
}

fn seed(choice: u8, bytes: Vec<u8>) -> Seed {
    Seed {
        choice,
        form: Form::Text,
        bytes,
    }
}
