//! Trainings: statistics against NumPy (`tests/fixtures/training/reference.py`), every schema, runs that grow, runs that are broken.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test")]

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use attn_analyze::training::{DynamicsParams, ExampleDynamics, FlipKind, LogReader, Moment, NoiseScore, Task};
use attn_core::Limits;
use attn_render::{Plot, ViewState};
use attn_study::training::{MapParams, RunPaths, Training, TrainingRun};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn fixture(name: &str) -> PathBuf {
    root().join("tests/fixtures/training").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&fs::read(fixture(name)).unwrap()).unwrap()
}

fn log(bytes: &[u8]) -> Training {
    let mut reader = LogReader::default();
    let mut file = reader.file("log.jsonl");
    reader.push(&mut file, bytes, &()).unwrap();
    Training::new(reader.into_log(), Vec::new())
}

fn sentiment() -> Training {
    log(attn_embedded::SENTIMENT_LOG.as_bytes())
}

fn open(run: &Path) -> Training {
    let mut run = TrainingRun::new(RunPaths::folder(run), Limits::default());
    run.update(&()).unwrap().unwrap().0
}

fn check(found: &ExampleDynamics, expected: &Value, place: &str) {
    let values: BTreeMap<&str, f32> = [
        ("confidence", found.confidence),
        ("variability", found.variability),
        ("interval", found.interval),
        ("correctness", found.correctness),
        ("forgetting", found.forgetting),
        ("closeness", found.closeness),
        ("aum", found.aum),
        ("el2n", found.el2n),
        ("loss", found.loss),
    ]
    .into();
    for (name, value) in values {
        match expected.get(name).and_then(Value::as_f64) {
            None => assert!(value.is_nan(), "{place}, {name}: {value}"),
            Some(expected) => {
                let bound = 2e-6 * expected.abs().max(1.0);
                assert!(
                    (f64::from(value) - expected).abs() < bound,
                    "{place}, {name}: {value} {expected}"
                );
            }
        }
    }
    if let Some(learned) = expected.get("learned").and_then(Value::as_bool) {
        assert_eq!(found.learned, learned, "{place}");
    }
}

#[test]
fn the_embedded_log_gives_what_numpy_gives() {
    let expected = json("sentiment.json");
    let mut training = sentiment();
    assert_eq!(
        (training.log().examples().len(), training.log().predictions()),
        (1200, 4800)
    );
    assert_eq!(training.log().task(), Some(Task::Classification));
    assert!(training.notes().is_empty());
    for burn_in in 0..2 {
        training.set_params(DynamicsParams {
            burn_in,
            ..DynamicsParams::default()
        });
        for (id, of) in expected["dynamics"].as_object().unwrap() {
            let example = training.log().find(id).unwrap();
            check(
                &training.dynamics()[example],
                &of[burn_in],
                &format!("{id}, burn-in {burn_in}"),
            );
        }
    }
    training.set_params(DynamicsParams::default());
    for score in NoiseScore::ALL {
        let (found, expected) = (training.noise(score), &expected["noise"][score.name()]);
        let found = found.precision.unwrap();
        assert_eq!((found.ranked, found.planted), (960, 22));
        for (value, name) in [
            (found.precision, "precision"),
            (found.average, "average"),
            (found.auc, "auc"),
        ] {
            assert!(
                (value - expected[name].as_f64().unwrap()).abs() < 1e-9,
                "{} {name}: {value}",
                score.name()
            );
        }
    }
    for expected in expected["flips"].as_array().unwrap() {
        let number = |name: &str| expected[name].as_u64().unwrap() as usize;
        let found = training.flips(number("from") - 1, number("to") - 1).unwrap();
        assert_eq!((found.test.lost, found.test.gained), (number("lost"), number("gained")));
        assert!(
            (found.test.p / expected["p"].as_f64().unwrap() - 1.0).abs() < 1e-9,
            "{}",
            found.test.p
        );
        let [before, after] = found.accuracy();
        let change = (found.test.gained as f64 - found.test.lost as f64) / 1200.0;
        assert!((after - before - change).abs() < 1e-12);
    }
    assert!(training.flips(0, 9).is_err());
}

#[test]
fn every_task_gives_what_numpy_gives() {
    let expected = json("tasks.json");
    let files = Task::ALL.map(|task| (task, task.name()));
    for (task, file) in files.into_iter().chain([(Task::Regression, "regression-two")]) {
        let training = log(&fs::read(fixture(&format!("{file}.jsonl"))).unwrap());
        assert_eq!(training.log().task(), Some(task));
        assert!(training.notes().is_empty(), "{file}: {:?}", training.notes());
        for (id, of) in expected[file].as_object().unwrap() {
            let example = training.log().find(id).unwrap();
            check(&training.dynamics()[example], of, &format!("{file}, {id}"));
        }
        // Every plot that the log allows can be drawn, and what it does not allow is an error.
        let view = ViewState::default();
        let options = MapParams {
            intervals: true,
            ..MapParams::default()
        };
        let (map, examples) = training.data_map(&options).unwrap();
        map.scene(&view, map.natural_size()).unwrap();
        assert_eq!(examples.len(), 12);
        assert_eq!(
            training.margins(None).is_ok(),
            !matches!(task, Task::Regression | Task::Generation)
        );
        assert!(training.curves().unwrap().iter().all(Option::is_some));
        assert!(training.report().markdown().contains(&format!("task {task}")));
        for flip in &training.all_flips().unwrap().flips {
            assert!(flip.answers.iter().all(|answer| !answer.is_empty()), "{file}");
        }
    }
}

#[test]
fn numbers_that_do_not_fit_are_named() {
    let line = |id: &str, gold: &str, answer: &str| {
        format!("{{\"kind\":\"prediction\",\"id\":\"{id}\",\"epoch\":1,\"gold\":{gold},\"prediction\":{answer}}}\n")
    };
    let lines = [
        line("a", "[1, 2.5]", "[1.5, 2]"),
        line("b", "[1, 2]", "[3, -2]"),
        line("c", "[1, 2]", "[3]"),
        line("d", "[1, 2]", "[3, null]"),
        line("e", "[1, null]", "[3, 4]"),
        line("f", "[1, 2, 3]", "[1, 2, 3]"),
        line("g", "4", "5"),
        line("h", "\"yes\"", "5"),
        line("i", "[1, 2, 3]", "[1, 2]"),
    ];
    let training = log(lines.concat().as_bytes());
    let found = training.log();
    assert_eq!((found.task(), found.predictions()), (Some(Task::Regression), 2));
    assert_eq!([found.gold(0), found.gold(1)], ["1, 2.5", "1, 2"]);
    assert_eq!(found.answer(found.outcome(1, 0).unwrap()).as_deref(), Some("3, -2"));
    let wanted = [
        "line 3: expected 2 numbers in `prediction`, as in the first, found 1",
        "line 4: expected finite numbers in `prediction`, found NaN",
        "line 5: expected finite numbers in `gold`, found NaN",
        "line 6: expected 2 numbers in `prediction`, as in the first, found 3",
        "line 7: expected 2 numbers in `prediction`, as in the first, found 1",
        "line 8: expected",
        "line 9: expected as many numbers in `prediction` as in `gold`, 3, found 2",
    ];
    let notes = training.notes();
    assert_eq!(notes.len(), wanted.len(), "{notes:?}");
    for (note, wanted) in notes.iter().zip(wanted) {
        assert!(note.contains(wanted), "{note}, not {wanted}");
    }
}

#[test]
fn columns_color_filter_and_leave_the_window() {
    let training = sentiment();
    let filter = "split = train and gold = negative and confidence < 0.5"
        .parse()
        .unwrap();
    let rows = training.select(&filter).unwrap();
    assert!(!rows.is_empty());
    for &row in &rows {
        assert_eq!(training.log().gold(row), "negative");
        assert!(training.dynamics()[row].confidence < 0.5);
    }
    let (values, by) = training.color("gold", &rows).unwrap();
    assert!(
        values.iter().all(|value| *value == 0.0),
        "the first of the alphabet: {by:?}"
    );
    assert!(
        training
            .color("nothing", &rows)
            .unwrap_err()
            .to_string()
            .contains("confidence")
    );
    assert_eq!(training.rows(&rows).rows(), rows.len());
    let lines = training.rows_jsonl(&rows);
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["id"], &*training.log().examples()[rows[0]].id);
    let csv = training.data_map_table().to_csv();
    assert!(csv.starts_with("id,gold,confidence,variability,correctness,forgetting,closeness,aum,el2n,loss\r\n"));
    let flips = training.flips(0, 1).unwrap();
    assert!(
        training
            .flips_table(&flips)
            .to_csv()
            .starts_with("id,from,to,gold,before,after\r\n")
    );
    assert_eq!(training.flips_of(&flips, FlipKind::Lost).count(), 3);
}

/// Runs Python if it and NumPy are there.
fn python(script: &str, arguments: &[&Path]) -> bool {
    let there = Command::new("python3").args(["-c", "import numpy"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        return false;
    }
    let script = format!("import sys; sys.path.insert(0, sys.argv[1])\n{script}");
    let module = root().join("python");
    let output = Command::new("python3")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["-c", &script])
        .arg(module)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    true
}

#[test]
fn a_log_that_python_wrote_is_read_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let write = "
import numpy as np
from attn_log import AttnLog
log = AttnLog(sys.argv[2], labels=['no', 'yes'], name='loop')
log.examples([0, 1], np.array([0, 1]), texts=['né', 'oui'], split=['train', 'dev'])
log.predictions([0, 1], np.array([0, 1]), logits=np.array([[2.0, 0.0], [np.nan, 1.0]], dtype=np.float32), epoch=1)
log.predictions([0, 1], np.array([0, 1]), probabilities=np.array([[0.9, 0.1], [0.2, 0.8]]), epoch=2, step=20)
log.checkpoint('epoch-2', epoch=2)
";
    if !python(write, &[&path]) {
        return;
    }
    // Killed within a line, then resumed.
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(br#"{"kind":"prediction","id":"0","ep"#).unwrap();
    python(
        "
from attn_log import AttnLog
log = AttnLog(sys.argv[2])
log.predictions(['0', '1'], logits=[[1.0, 0.0], [0.0, 1.0]], epoch=3)
",
        &[&path],
    );
    let training = open(folder.path());
    let log = training.log();
    assert_eq!((log.name(), log.examples().len(), log.predictions()), ("loop", 2, 5));
    assert_eq!(log.examples()[0].text.as_deref(), Some("né"));
    assert_eq!(
        log.moments()[1],
        Moment {
            epoch: Some(2.0),
            step: Some(20)
        }
    );
    let notes = training.notes().join("\n");
    assert!(
        notes.contains("log.jsonl, line 5: expected finite scores, found NaN"),
        "{notes}"
    );
    assert!(
        notes.contains("log.jsonl, line 9: expected a whole JSON object"),
        "{notes}"
    );
    assert!(
        notes.contains("epoch-2: expected the folder of a checkpoint, found none"),
        "{notes}"
    );
}

/// What the callback needs of PyTorch and of the trainer's library, with NumPy.
const TRAINER: &str = "
import types
import numpy as np

class Tensor(np.ndarray):
    def to(self, device):
        return self

def tensor(rows):
    return np.array(rows).view(Tensor)

torch = types.ModuleType('torch')
torch.is_tensor = lambda value: isinstance(value, Tensor)
import contextlib
torch.no_grad = contextlib.nullcontext
transformers = types.ModuleType('transformers')
transformers.TrainerCallback = object
sys.modules['torch'], sys.modules['transformers'] = torch, transformers

class Model:
    device = None
    def __init__(self, logits, **config):
        self.logits, self.config = logits, types.SimpleNamespace(**config)
    def modules(self):
        return []
    def eval(self):
        pass
    def __call__(self, **batch):
        return types.SimpleNamespace(logits=tensor(self.logits))

def train(path, rows, model, **options):
    from attn_log import trainer_callback
    def collator(inputs):
        width = max(len(row['labels']) for row in inputs)
        padded = [list(row['labels']) + [-100] * (width - len(row['labels'])) for row in inputs]
        return {'labels': tensor(padded), 'note': 'no tensor'}
    callback = trainer_callback(path, rows, collator, **options)
    args = types.SimpleNamespace(num_train_epochs=1, output_dir='.')
    state = types.SimpleNamespace(is_world_process_zero=True, epoch=1.0, global_step=7)
    callback.on_train_begin(args, state, None, model=model)
    callback.on_epoch_end(args, state, None, model=model)
";

#[test]
fn the_trainer_of_a_model_that_writes_logs_its_gold_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let [causal, translated] = ["causal", "translated"].map(|name| folder.path().join(name));
    // Of a vocabulary of three; all probabilities are shares of ten.
    let script = format!(
        "{TRAINER}
share = lambda *shares: [float(np.log(share / 10)) for share in shares]
logits = [[share(1, 1, 8), share(2, 3, 5), share(1, 8, 1)], [share(4, 4, 2), share(5, 4, 1), share(1, 1, 8)]]
rows = [{{'id': 'a', 'source': 's', 'target': 't', 'labels': [0, 2, 1]}}, {{'id': 'b', 'source': 's', 'target': 'u', 'labels': [1, 0]}}]
columns = dict(text_column='source', gold_column='target')
train(sys.argv[2] + '/log.jsonl', rows, Model(logits, architectures=['GPT2LMHeadModel']), **columns)
train(sys.argv[3] + '/log.jsonl', rows, Model(logits, architectures=['MarianMTModel'], is_encoder_decoder=True), **columns)
try:
    train(sys.argv[3] + '/other.jsonl', rows, Model(logits, architectures=['T5ForConditionalGeneration']))
    raise SystemExit('expected an error')
except ValueError as error:
    assert 'gold_column' in str(error), error
"
    );
    if !python(&script, &[&causal, &translated]) {
        return;
    }
    // The token at a place is said by the one before it, or in an encoder-decoder at its own place.
    for (path, expected) in [
        (causal, [[0.8_f64, 0.3].as_slice(), &[0.4]]),
        (translated, [&[0.1, 0.5, 0.8], &[0.4, 0.5]]),
    ] {
        let training = open(&path);
        let log = training.log();
        assert_eq!((log.task(), log.predictions()), (Some(Task::Generation), 2));
        assert_eq!(log.examples()[1].text.as_deref(), Some("s"));
        for (example, shares) in expected.iter().enumerate() {
            let mean = shares.iter().map(|share| share.ln()).sum::<f64>() / shares.len() as f64;
            let (_, outcome) = log.outcomes(example).next().unwrap();
            assert!(
                (f64::from(outcome.gold) - mean.exp()).abs() < 1e-5,
                "{example}: {outcome:?}"
            );
        }
    }
}

fn line(id: &str, epoch: usize, gold: f64) -> String {
    let other = 1.0 - gold;
    format!(
        "{{\"kind\":\"prediction\",\"id\":\"{id}\",\"epoch\":{epoch},\"gold\":1,\"probabilities\":[{other},{gold}]}}\n"
    )
}

#[test]
fn a_run_that_is_being_written_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let mut run = TrainingRun::new(RunPaths::folder(folder.path()), Limits::default());
    assert!(run.update(&()).is_err(), "nothing there yet");
    let append = |text: &str| {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    append(&line("a", 1, 0.6));
    let (training, change) = run.update(&()).unwrap().unwrap();
    assert_eq!((training.log().predictions(), change.moments.len()), (1, 1));
    assert!(run.update(&()).unwrap().is_none(), "nothing new");
    // Half a line, then its end.
    let whole = line("b", 1, 0.7);
    append(&whole[..20]);
    let (training, change) = run.update(&()).unwrap().unwrap();
    assert_eq!((training.log().predictions(), change.predictions), (1, 0));
    assert!(training.notes()[0].contains("the last line is not whole yet"));
    append(&whole[20..]);
    let (training, change) = run.update(&()).unwrap().unwrap();
    assert_eq!((training.log().predictions(), change.examples), (2, 1));
    assert!(training.notes().is_empty());
    // Killed and resumed: epoch 1 comes again.
    append(&(line("a", 1, 0.9) + &line("a", 2, 0.8)));
    let (training, change) = run.update(&()).unwrap().unwrap();
    assert_eq!(training.log().outcome(0, 0).unwrap().gold, 0.9);
    assert_eq!((change.predictions, training.log().replaced()), (2, 1));
    assert_eq!(change.moments, [Moment::epoch(2.0)]);
    // A checkpoint, half written, then whole.
    let checkpoint = folder.path().join("epoch-1");
    fs::create_dir(&checkpoint).unwrap();
    fs::write(checkpoint.join("config.json"), "{}").unwrap();
    let (training, _) = run.update(&()).unwrap().unwrap();
    assert!(training.checkpoints().is_empty());
    assert!(
        training.notes()[0].contains("model.safetensors"),
        "{:?}",
        training.notes()
    );
    let weights = attn_embedded::SENTIMENT.weights;
    fs::write(checkpoint.join("model.safetensors"), &weights[..weights.len() / 2]).unwrap();
    let (training, _) = run.update(&()).unwrap().unwrap();
    assert!(training.checkpoints().is_empty());
    let note = &training.notes()[0];
    assert!(
        note.contains("expected a whole model.safetensors, found a part"),
        "{note}"
    );
    fs::write(checkpoint.join("model.safetensors"), weights).unwrap();
    let (training, _) = run.update(&()).unwrap().unwrap();
    assert_eq!(training.checkpoints()[0].name, "epoch 1");
    assert!(training.notes().iter().all(|note| !note.contains("epoch-1")));
    // Written anew.
    fs::write(&path, line("c", 1, 0.5)).unwrap();
    let (training, change) = run.update(&()).unwrap().unwrap();
    assert!(change.restarted);
    assert_eq!(training.log().predictions(), 1);
    // Gone while it is followed.
    fs::remove_file(&path).unwrap();
    let (training, _) = run.update(&()).unwrap().unwrap();
    assert_eq!(training.log().predictions(), 1, "what was read stays");
    assert!(
        training.notes().iter().any(|note| note.contains("log.jsonl")),
        "{:?}",
        training.notes()
    );
    fs::remove_dir_all(folder.path()).unwrap();
    assert!(run.update(&()).is_err());
}

#[test]
fn formats_of_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let dynamics = folder.path().join("training_dynamics");
    fs::create_dir(&dynamics).unwrap();
    for (epoch, margin) in [(0, 1.0), (1, 2.0)] {
        let lines: String = (0..3)
            .map(|id| {
                format!(
                    "{{\"guid\": {id}, \"logits_epoch_{epoch}\": [{margin}, 0.0], \"gold\": {}}}\n",
                    id % 2
                )
            })
            .collect();
        fs::write(dynamics.join(format!("dynamics_epoch_{epoch}.jsonl")), lines).unwrap();
    }
    for (step, epoch) in [(10, 1.0), (20, 2.0)] {
        let checkpoint = folder.path().join(format!("checkpoint-{step}"));
        fs::create_dir(&checkpoint).unwrap();
        fs::write(checkpoint.join("config.json"), "{}").unwrap();
        fs::write(checkpoint.join("model.safetensors"), b"\x02\0\0\0\0\0\0\0{}").unwrap();
        let state = format!(
            r#"{{"epoch": {epoch}, "global_step": {step}, "log_history": [{{"epoch": 0.5, "step": 5, "loss": 0.7}}, {{"epoch": 1.0, "step": 10, "loss": NaN, "eval_accuracy": 0.8}}, {{"step": 20, "loss": 0.4}}]}}"#
        );
        fs::write(checkpoint.join("trainer_state.json"), state).unwrap();
    }
    fs::write(
        folder.path().join("examples.csv"),
        "id,sentence,split,length\n0,a b,train,2\n2,c,dev,1\n7,d,dev,1\n",
    )
    .unwrap();
    let training = open(folder.path());
    let log = training.log();
    assert_eq!((log.examples().len(), log.predictions()), (3, 6));
    assert_eq!(
        log.moments(),
        [Moment::epoch(1.0), Moment::epoch(2.0)],
        "their epochs count from 0"
    );
    let names: Vec<&str> = training
        .checkpoints()
        .iter()
        .map(|checkpoint| checkpoint.name.as_str())
        .collect();
    assert_eq!(names, ["epoch 1", "epoch 2"]);
    assert_eq!(training.checkpoints()[1].moment.step, Some(20));
    assert_eq!(log.examples()[2].text.as_deref(), Some("c"));
    assert_eq!(
        (
            log.examples()[0].split.as_deref(),
            log.examples()[0].attribute("length")
        ),
        (Some("train"), Some("2"))
    );
    assert!(
        training
            .notes()
            .iter()
            .any(|note| note.contains("1 examples have ids that the log does not have"))
    );
    assert!((training.dynamics()[0].aum - 1.5).abs() < 1e-6 && (training.dynamics()[1].aum + 1.5).abs() < 1e-6);
    let curves = training.trainer_curves();
    assert_eq!(
        curves.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["loss"],
        "two finite values"
    );
}

#[test]
fn broken_lines_are_noted_and_the_rest_goes_on() {
    let good = line("a", 1, 0.75);
    let cases = [
        ("{\"kind\":\"prediction\",\"id\":\"x\"", "whole JSON object"),
        ("[1, 2]", "whole JSON object"),
        (
            r#"{"kind":"prediction","epoch":1,"gold":0,"probabilities":[0.5,0.5]}"#,
            "expected an `id`, found nothing",
        ),
        (
            r#"{"kind":"prediction","id":"x","gold":0,"probabilities":[0.5,0.5]}"#,
            "`epoch` or `step`",
        ),
        (
            r#"{"kind":"prediction","id":"x","epoch":1,"gold":0,"probabilities":[0.5,0.2,0.3]}"#,
            "scores of 2 classes, found 3",
        ),
        (
            r#"{"kind":"prediction","id":"x1","epoch":1,"gold":5,"probabilities":[0.5,0.5]}"#,
            "a gold class below 2, found 5",
        ),
        (
            r#"{"kind":"prediction","id":"x2","epoch":1,"gold":0,"probabilities":[5.0,0.5]}"#,
            "probabilities with sum 1",
        ),
        (
            r#"{"kind":"prediction","id":"x3","epoch":1,"gold":0,"logits":[NaN,0.5]}"#,
            "finite scores, found NaN",
        ),
        (
            r#"{"kind":"prediction","id":"x4","epoch":1,"gold":0.5,"prediction":0.2}"#,
            "task classification, found one of regression",
        ),
        (
            r#"{"kind":"prediction","id":"a","epoch":2,"gold":0,"probabilities":[0.5,0.5]}"#,
            "the gold answer of the example",
        ),
        (r#"{"kind":"example","id":"a","gold":1}"#, ""),
        (r#"{"kind":"example","id":"a","gold":0}"#, "an id twice"),
        (r#"{"kind":"run","format":2}"#, "`format` 1, found 2"),
        (r#"{"kind":"checkpoint","path":"x"}"#, "`epoch` or `step`"),
        (r#"{"kind":"future","anything":{}}"#, ""),
        ("{}", "`kind` or `guid`"),
        ("\u{feff}", "whole JSON object"),
    ];
    let mut bytes = good.clone().into_bytes();
    for (case, _) in cases {
        bytes.extend_from_slice(case.as_bytes());
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(b"{\"kind\":\"\xff\"}\r\n\n");
    bytes.extend_from_slice(line("b", 1, 0.5).trim_end().as_bytes());
    let training = log(&bytes);
    let notes = training.notes();
    for (at, (case, note)) in cases.iter().enumerate().filter(|(_, (_, note))| !note.is_empty()) {
        let place = format!("log.jsonl, line {}: ", at + 2);
        assert!(
            notes
                .iter()
                .any(|found| found.starts_with(&place) && found.contains(note)),
            "{case}: {notes:#?}"
        );
    }
    assert!(
        notes
            .iter()
            .any(|note| note.starts_with("log.jsonl, line 19: expected a whole JSON object, found a byte"))
    );
    assert_eq!(training.log().outcome(0, 0).unwrap().gold, 0.75);
    let last = training
        .log()
        .find("b")
        .expect("the last line has no end, but is whole");
    assert_eq!(training.log().outcome(last, 0).unwrap().gold, 0.5);
    // A line written after the half of one.
    let training = log(format!("{}{}", &good[..30], line("c", 1, 0.25)).as_bytes());
    assert_eq!((training.log().predictions(), training.notes().len()), (1, 1));
    // In any parts the same log.
    let whole = log(&bytes);
    for size in [1, 7, 64] {
        let mut reader = LogReader::default();
        let mut file = reader.file("log.jsonl");
        for part in bytes.chunks(size) {
            reader.push(&mut file, part, &()).unwrap();
        }
        let parts = Training::new(reader.into_log(), Vec::new());
        assert_eq!(parts.notes(), whole.notes(), "parts of {size}");
        assert_eq!(parts.data_map_table().to_csv(), whole.data_map_table().to_csv());
    }
}

#[test]
fn memory_is_asked_for() {
    let mut reader = LogReader::with_limits(Limits::of(1000));
    let mut file = reader.file("log.jsonl");
    let lines: String = (0..100).map(|id| line(&id.to_string(), 1, 0.5)).collect();
    let error = reader.push(&mut file, lines.as_bytes(), &()).unwrap_err().to_string();
    assert!(error.starts_with("log.jsonl, line 100: takes"), "{error}");
    // Answers of a generation and lists of gold classes count too, each once.
    let text = |size: usize| {
        format!(
            r#"{{"kind":"prediction","id":"a","epoch":1,"gold":"x","prediction":"{}","log_probability":-1}}"#,
            "y".repeat(size)
        )
    };
    let list = |size: usize| format!(r#"{{"kind":"example","id":"a","gold":[{}1]}}"#, "0,".repeat(size));
    for (line, small, large) in [(&text as &dyn Fn(usize) -> String, 100, 30_000), (&list, 100, 7_000)] {
        let read = |size| {
            let mut reader = LogReader::with_limits(Limits::of(20_000));
            let mut file = reader.file("log.jsonl");
            let lines = format!("{0}\n{0}\n{0}\n", line(size));
            let read = reader.push(&mut file, lines.as_bytes(), &());
            assert!(reader.log().notes().is_empty(), "{:?}", reader.log().notes());
            read
        };
        assert!(read(small).is_ok());
        let error = read(large).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.starts_with("log.jsonl, line 3: takes"), "{large}: {error}");
    }
}

/// Ids that are missing, come twice, or are unknown; a file that vanishes and comes back; one that nobody reads.
#[test]
fn broken_examples_are_noted_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("log.jsonl"), line("a", 1, 0.6) + &line("b", 1, 0.4)).unwrap();
    let rows = [
        r#"{"id":"a","text":"one","length":1}"#,
        r#"{"text":"no id"}"#,
        r#"{"id":"a","text":"again"}"#,
        r#"{"id":"z","text":"unknown","scores":[1,2]}"#,
        r#"{"id":"b","text":"two"}"#,
    ];
    fs::write(path("examples.jsonl"), rows.join("\n")).unwrap();
    let mut run = TrainingRun::new(RunPaths::folder(folder.path()), Limits::default());
    let (training, _) = run.update(&()).unwrap().unwrap();
    let texts: Vec<Option<&str>> = training
        .log()
        .examples()
        .iter()
        .map(|one| one.text.as_deref())
        .collect();
    assert_eq!(texts, [Some("one"), Some("two")]);
    for expected in [
        "examples.jsonl, line 2: expected an id, found none",
        "1 examples have ids that the log does not have",
        "1 ids came twice; the first counts",
        "lists and objects in `scores` were left out",
    ] {
        assert!(
            training.notes().iter().any(|note| note.contains(expected)),
            "{:?}",
            training.notes()
        );
    }
    // Cut in half: the file and the line are named, the log goes on.
    fs::write(path("examples.jsonl"), &rows.join("\n")[..60]).unwrap();
    let mut run = TrainingRun::new(RunPaths::folder(folder.path()), Limits::default());
    let (training, _) = run.update(&()).unwrap().unwrap();
    assert_eq!(training.log().predictions(), 2);
    assert_eq!(training.log().examples()[0].text.as_deref(), Some("one"));
    assert!(
        training
            .notes()
            .iter()
            .any(|note| note.contains("examples.jsonl: line 3: left out: expected a JSON object")),
        "{:?}",
        training.notes()
    );
    // Gone, and no id at all.
    fs::remove_file(path("examples.jsonl")).unwrap();
    assert!(run.update(&()).is_ok());
    fs::write(path("examples.csv"), "text,label\none,1\n").unwrap();
    let training = open(folder.path());
    assert!(
        training
            .notes()
            .iter()
            .any(|note| note.contains("expected a column of id, guid")),
        "{:?}",
        training.notes()
    );
    // Parquet: without the feature, what would do instead; with it, what is wrong with the file.
    fs::remove_file(path("examples.csv")).unwrap();
    fs::write(path("examples.parquet"), b"PAR1 of no use").unwrap();
    let training = open(folder.path());
    let expected = match cfg!(feature = "parquet") {
        true => "expected a whole Parquet file",
        false => "to_json(",
    };
    assert!(
        training
            .notes()
            .iter()
            .any(|note| note.contains("examples.parquet: expected") && note.contains(expected)),
        "{:?}",
        training.notes()
    );
}

/// Run with `--release --ignored`: 1 million lines within 5 seconds and 2 GB.
#[test]
#[ignore = "takes seconds and is about time: for a release build"]
fn a_million_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let mut file = std::io::BufWriter::new(fs::File::create(&path).unwrap());
    for epoch in 1..=4 {
        for id in 0..250_000 {
            let p = 0.05 + 0.9 * f64::from((id * 7 + epoch * 13) % 100) / 100.0;
            writeln!(
                file,
                "{{\"kind\":\"prediction\",\"id\":\"train-{id:07}\",\"epoch\":{epoch},\"gold\":1,\"probabilities\":[{:.5},{p:.5},0.0],\"loss\":{:.5}}}",
                1.0 - p,
                -p.ln()
            )
            .unwrap();
        }
    }
    drop(file);
    let start = std::time::Instant::now();
    let training = open(folder.path());
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(
        (training.log().examples().len(), training.log().predictions()),
        (250_000, 1_000_000)
    );
    assert!(training.notes().is_empty(), "{:?}", training.notes());
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        println!("{seconds:.2} s, {} MB", kilobytes / 1000);
        assert!(kilobytes < 2_000_000, "{kilobytes}");
    }
    assert!(seconds < 5.0, "{seconds}");
}
