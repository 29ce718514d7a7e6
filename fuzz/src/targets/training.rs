//! Logs of trainings, the state of a trainer, and examples in Parquet files.

use std::{fs, sync::Arc};

use attn_core::Limits;
use attn_study::{
    attn_analyze::training::{Filter, LogReader},
    training::{MapParams, RunPaths, TrainerState, Training, TrainingRun},
};
use parquet::{
    basic::{Compression, ZstdLevel},
    data_type::{ByteArrayType, DoubleType},
    errors::ParquetError,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
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
    let _ = training.data_map(&MapParams::default());
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

/// Examples beside a log of two of them.
pub(super) fn parquet(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let log = "{\"epoch\": 0, \"id\": \"a\", \"logits\": [1, 2], \"gold\": 1}\n{\"epoch\": 0, \"id\": \"b\", \"logits\": [2, 1], \"gold\": 1}\n";
    fs::write(folder.path().join("log.jsonl"), log).expect("a log");
    fs::write(folder.path().join("examples.parquet"), data).expect("a file");
    let mut run = TrainingRun::new(RunPaths::folder(folder.path()), Limits::of(1 << 26));
    let (training, _) = run.update(&()).expect("a run with a log").expect("something new");
    // Whatever the examples are, the log is there.
    assert_eq!(training.log().examples().len(), 2);
    assert_eq!(training.columns().rows(), 2);
}

pub(super) fn parquet_files() -> Vec<Seed> {
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let compressions = [Compression::UNCOMPRESSED, Compression::SNAPPY, zstd];
    let files = compressions.into_iter().filter_map(|how| examples(how).ok());
    let seed = |bytes| Seed {
        // The first bytes of every Parquet file.
        choice: b'P',
        form: Form::Bytes,
        bytes,
    };
    files.map(|file| seed(file[1..].to_vec())).collect()
}

/// Two examples with a number and a text, of which one is missing.
fn examples(compression: Compression) -> Result<Vec<u8>, ParquetError> {
    let schema = "message schema { required binary id (UTF8); optional binary text (UTF8); required double length; }";
    let schema = Arc::new(parse_message_type(schema)?);
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let mut at = 0;
    while let Some(mut column) = group.next_column()? {
        match at {
            0 => column
                .typed::<ByteArrayType>()
                .write_batch(&["a".into(), "b".into()], None, None)?,
            1 => column
                .typed::<ByteArrayType>()
                .write_batch(&["One.".into()], Some(&[1, 0]), None)?,
            _ => column.typed::<DoubleType>().write_batch(&[0.5, 2.0], None, None)?,
        };
        column.close()?;
        at += 1;
    }
    group.close()?;
    writer.into_inner()
}
