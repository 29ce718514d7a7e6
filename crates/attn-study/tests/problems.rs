//! Heads of labels each by itself, and of a number: gradients against finite differences, losses and metrics against their
//! definitions, pruning, and what is said of gold answers that a head cannot use.
//!
//! Both models are the embedded one for sentiment with another head: its three logits each by itself, and the difference of the
//! logits of *positive* and *negative* as a number.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test")]

use std::collections::{BTreeSet, HashMap};

use attn_embedded::SENTIMENT;
use attn_models::{
    Capturer, Checkpoint, Gradients, Inputs, Model, Problem, Weights,
    attribute::{Examples, Labels, Target, head_gradients, target_values, taylor_importance},
    candle::{DType, Device, Tensor, safetensors},
    intervene::{Edit, Interventions},
};
use attn_study::{
    Error,
    attn_analyze::training::{Log, LogReader},
    change::{ChangeStudy, Snapshot},
    explain::{ExplainParams, explain},
    pruning::{HeadStudy, LabeledSet, Metric, PruningParams, Score, evaluate},
};

const TEXTS: [&str; 8] = [
    "Rosa loves the beautiful garden.",
    "The cats hate that awful meal.",
    "A horse eats that carrot.",
    "Those cats were lazy.",
    "The king thinks that a bird that swims runs happily outside the schools.",
    "Henry cooks the terrible potatoes with Rosa.",
    "Many horses followed the brother.",
    "Leo does not love the old house.",
];

/// Right labels of each text, and a number for it.
const SETS: [[u8; 3]; 8] = [
    [0, 0, 1],
    [1, 0, 0],
    [0, 1, 0],
    [1, 0, 0],
    [0, 1, 1],
    [1, 0, 1],
    [0, 0, 0],
    [1, 1, 0],
];
const NUMBERS: [f32; 8] = [4.0, -5.0, 0.5, -3.0, 3.0, -4.0, 0.0, -2.5];

/// The model for sentiment with another head.
fn checkpoint(problem: Problem) -> Checkpoint {
    let mut config: serde_json::Value = serde_json::from_slice(SENTIMENT.config).unwrap();
    let members = config.as_object_mut().unwrap();
    let mut tensors: HashMap<String, Tensor> = safetensors::load_buffer(SENTIMENT.weights, &Device::Cpu).unwrap();
    match problem {
        Problem::Class => {}
        Problem::Labels => {
            members["problem_type"] = "multi_label_classification".into();
        }
        Problem::Number => {
            // As the reference writes a head of one number: the number of labels alone says it.
            members.remove("problem_type");
            members.remove("label2id");
            members["id2label"] = serde_json::json!({"0": "LABEL_0"});
            for name in ["classifier.weight", "classifier.bias"] {
                let rows = tensors[name].to_dtype(DType::F32).unwrap();
                let [negative, positive] = [0, 2].map(|row| rows.narrow(0, row, 1).unwrap());
                tensors.insert(name.to_owned(), (positive - negative).unwrap());
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    safetensors::save(&tensors, &file).unwrap();
    let config = serde_json::to_vec(&config).unwrap();
    let checkpoint = Checkpoint::from_bytes("tuned", config, std::fs::read(file).unwrap()).unwrap();
    checkpoint.with_tokenizer(SENTIMENT.tokenizer.unwrap())
}

/// A log of the texts with these gold answers.
fn log(task: &str, gold: impl Fn(usize) -> String) -> Log {
    let mut lines = format!("{{\"kind\":\"run\",\"format\":1,\"task\":\"{task}\"}}\n");
    for (at, text) in TEXTS.iter().enumerate() {
        let (text, gold) = (serde_json::to_string(text).unwrap(), gold(at));
        lines += &format!("{{\"kind\":\"example\",\"id\":\"e{at}\",\"text\":{text},\"gold\":{gold}}}\n");
    }
    let mut reader = LogReader::default();
    reader
        .push(&mut reader.file("log.jsonl"), lines.as_bytes(), &())
        .unwrap();
    reader.into_log()
}

fn gold(problem: Problem, at: usize) -> String {
    match problem {
        Problem::Labels => format!("{:?}", SETS[at]),
        _ => format!("{:?}", NUMBERS[at]),
    }
}

fn set(capturer: &Capturer, problem: Problem) -> LabeledSet {
    let task = match problem {
        Problem::Labels => "multi_label",
        _ => "regression",
    };
    let log = log(task, |at| gold(problem, at));
    LabeledSet::of_log(capturer, &log, 0..TEXTS.len()).unwrap()
}

fn labels(problem: Problem, at: usize) -> Labels {
    match problem {
        Problem::Labels => Labels::Set(SETS[at].iter().map(|&label| label == 1).collect()),
        _ => Labels::Number(NUMBERS[at]),
    }
}

const PROBLEMS: [Problem; 2] = [Problem::Labels, Problem::Number];

fn params() -> PruningParams {
    PruningParams {
        batch_tokens: 40,
        random: 2,
        greedy_examples: 4,
        splits: 2,
        ..PruningParams::default()
    }
}

/// Logits of each text alone.
fn logits(capturer: &Capturer, set: &LabeledSet) -> Vec<Vec<f32>> {
    let ids = |at: usize| {
        let tokens = &set.examples()[at].sequence.encoder;
        tokens.iter().filter_map(|token| token.id).collect::<Vec<u32>>()
    };
    let alone = |at| {
        let inputs = Inputs::from_ids(&[ids(at)], 0).unwrap();
        let logits = capturer.model().forward(&inputs, &mut ()).unwrap().logits.unwrap();
        logits.get(0).unwrap().to_vec1().unwrap()
    };
    (0..set.len()).map(alone).collect()
}

#[test]
fn losses_and_metrics_are_those_of_their_definitions() {
    let sigmoid = |logit: f32| 1.0 / (1.0 + (-f64::from(logit)).exp());
    for problem in PROBLEMS {
        let capturer = Capturer::load(&checkpoint(problem)).unwrap();
        assert_eq!(capturer.model().problem(), Some(problem));
        let set = set(&capturer, problem);
        assert!(set.notes().is_empty() && set.len() == 8, "{:?}", set.notes());
        let logits = logits(&capturer, &set);
        let found = evaluate(&capturer, &set, &BTreeSet::new(), &params(), &()).unwrap();
        for (at, logits) in logits.iter().enumerate() {
            assert_eq!(set.examples()[at].labels, labels(problem, at));
            let wanted = match problem {
                Problem::Labels => {
                    let side = |(&logit, &label): (&f32, &u8)| match label {
                        1 => -sigmoid(logit).ln(),
                        _ => -(1.0 - sigmoid(logit)).ln(),
                    };
                    logits.iter().zip(&SETS[at]).map(side).sum::<f64>() / 3.0
                }
                _ => f64::from(logits[0] - NUMBERS[at]).powi(2),
            };
            let found = found.examples[at].loss;
            assert!(
                (found - wanted).abs() <= 1e-4 * wanted.max(1.0),
                "{problem:?} {at}: {found} {wanted}"
            );
        }
        let wanted = match problem {
            Problem::Labels => {
                assert_eq!((found.kind, set.metric()), (Metric::MicroF1, Metric::MicroF1));
                let said = logits.iter().flatten().map(|&logit| logit > 0.0);
                let pairs: Vec<(bool, bool)> = said.zip(SETS.iter().flatten().map(|&label| label == 1)).collect();
                let count = |pair| pairs.iter().filter(|found| **found == pair).count() as f64;
                let right = 2.0 * count((true, true));
                right / (right + count((true, false)) + count((false, true)))
            }
            _ => {
                assert_eq!((found.kind, set.metric()), (Metric::Pearson, Metric::Pearson));
                // By sums of products: another formula than that of the library.
                let (x, y): (Vec<f64>, Vec<f64>) = logits
                    .iter()
                    .zip(NUMBERS)
                    .map(|(logit, number)| (f64::from(logit[0]), f64::from(number)))
                    .unzip();
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                let total = |a: &[f64]| a.iter().sum::<f64>();
                let cross = |a: &[f64], b: &[f64]| 8.0 * dot(a, b) - total(a) * total(b);
                cross(&x, &y) / (cross(&x, &x) * cross(&y, &y)).sqrt()
            }
        };
        assert!(
            (found.metric - wanted).abs() <= 1e-5,
            "{problem:?}: {} {wanted}",
            found.metric
        );
        assert!(wanted > 0.5 && wanted < 1.0, "{wanted}");
    }
}

/// Differences are taken of a loss in single precision, whose last digits a smaller step would show; a larger one crosses more kinks
/// of the activations. `gradients_of_losses_follow_from_those_of_logits` is exact.
#[test]
fn gradients_of_heads_are_finite_differences() {
    for problem in PROBLEMS {
        let model = Model::load(&checkpoint(problem)).unwrap();
        let capturer = Capturer::load(&checkpoint(problem)).unwrap();
        let set = set(&capturer, problem);
        for at in [0, 4, 5] {
            let tokens = &set.examples()[at].sequence.encoder;
            let ids: Vec<u32> = tokens.iter().filter_map(|token| token.id).collect();
            let inputs = Inputs::from_ids(&[ids], 0).unwrap();
            let targets = vec![Target::Loss {
                labels: labels(problem, at),
            }];
            let batch = Examples {
                inputs: inputs.clone(),
                targets: targets.clone(),
            };
            let found = head_gradients(&model, &[batch], &()).unwrap();
            let (value, grids) = &found.examples[0];
            let with = |head, factor: f32| {
                let edit = Edit::HeadMask { heads: head, factor };
                let mut tap = Interventions::new(model.info(), [edit.into()]).unwrap();
                f64::from(target_values(&model, &inputs, &targets, &mut tap).unwrap()[0])
            };
            let step = 0.02_f32;
            let heads: Vec<_> = model.info().heads().collect();
            let largest = grids[0]
                .values
                .iter()
                .fold(0.0_f32, |most, value| most.max(value.abs()));
            for head in heads {
                let apart = with(head.into(), 1.0 + step) - with(head.into(), 1.0 - step);
                let wanted = apart / (2.0 * f64::from(step));
                let found = f64::from(grids[0].get(head).unwrap());
                let digits = 16.0 * f64::from(f32::EPSILON) * f64::from(value.abs()).max(1.0) / f64::from(step);
                let allowed = 0.03 * f64::from(largest) + digits;
                assert!(
                    (found - wanted).abs() <= allowed,
                    "{problem:?} {at} {head}: {found} {wanted}, at most {largest}, loss {value}"
                );
            }
        }
    }
}

/// By the chain rule from the logits: the loss changes by `(sigmoid - label) / labels` per logit, the squared error by twice the
/// error. Of a number the expansion is that of the logit times the square of it.
#[test]
fn gradients_of_losses_follow_from_those_of_logits() {
    for problem in PROBLEMS {
        let checkpoint = checkpoint(problem);
        let model = Model::load_from(&checkpoint, &Weights::finetune(&checkpoint, 0), Gradients::On).unwrap();
        let capturer = Capturer::load(&checkpoint).unwrap();
        let set = set(&capturer, problem);
        let logits = logits(&capturer, &set);
        for at in [1, 4] {
            let tokens = &set.examples()[at].sequence.encoder;
            let ids: Vec<u32> = tokens.iter().filter_map(|token| token.id).collect();
            let batch = |target| Examples {
                inputs: Inputs::from_ids(std::slice::from_ref(&ids), 0).unwrap(),
                targets: vec![target],
            };
            let masks = |target| {
                head_gradients(&model, &[batch(target)], &()).unwrap().examples[0].1[0]
                    .values
                    .clone()
            };
            let taylor = |target| {
                taylor_importance(&model, &[batch(target)], &()).unwrap()[0]
                    .values
                    .clone()
            };
            let loss = || Target::Loss {
                labels: labels(problem, at),
            };
            let factors: Vec<f32> = match problem {
                Problem::Labels => {
                    let side = |(logit, label): (&f32, &u8)| (1.0 / (1.0 + (-logit).exp()) - f32::from(*label)) / 3.0;
                    logits[at].iter().zip(&SETS[at]).map(side).collect()
                }
                _ => vec![2.0 * (logits[at][0] - NUMBERS[at])],
            };
            let parts: Vec<_> = (0..factors.len()).map(|class| masks(Target::Class(class))).collect();
            let found = masks(loss());
            let largest = found.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            for (head, found) in found.iter().enumerate() {
                let part = |(part, factor): (&attn_study::attn_core::ndarray::Array2<f32>, &f32)| {
                    factor * part.iter().nth(head).unwrap()
                };
                let wanted: f32 = parts.iter().zip(&factors).map(part).sum();
                assert!(
                    (found - wanted).abs() <= 1e-3 * largest,
                    "{problem:?} {at} {head}: {found} {wanted}"
                );
            }
            if problem == Problem::Number {
                let (found, of_logit) = (taylor(loss()), taylor(Target::Class(0)));
                for (found, of_logit) in found.iter().zip(&of_logit) {
                    let wanted = factors[0] * factors[0] * of_logit;
                    assert!((found - wanted).abs() <= 1e-3 * wanted, "{at}: {found} {wanted}");
                }
            }
        }
    }
}

#[test]
fn heads_are_scored_and_pruned_by_their_own_loss_and_metric() {
    for problem in PROBLEMS {
        let checkpoint = checkpoint(problem);
        let capturer = Capturer::load(&checkpoint).unwrap();
        let set = set(&capturer, problem);
        let study = HeadStudy::run(
            &capturer,
            Some(&checkpoint),
            &set,
            Some(&set.subset(&[0, 1, 2])),
            &params(),
            &(),
        )
        .unwrap();
        assert_eq!(study.importance.scores.len(), 5, "{:?}", study.importance.notes);
        let (name, unit) = match problem {
            Problem::Labels => ("micro F1", "binary cross entropy (nats)"),
            _ => ("Pearson correlation", "squared error"),
        };
        // What is measured is the change of this loss.
        let first = study.importance.heads[0];
        let off = BTreeSet::from([first]);
        let without = evaluate(&capturer, &set, &off, &params(), &()).unwrap();
        let increase = without.loss - study.importance.whole.loss;
        let found = study.importance.score(Score::AblationZero).unwrap()[0];
        assert!(
            (found - increase).abs() <= 1e-4 * increase.abs().max(1.0),
            "{found} {increase}"
        );
        for curve in &study.curves {
            assert_eq!(curve.kind, set.metric());
            assert_eq!(curve.steps.len(), 17);
            let half = evaluate(&capturer, &set, &curve.removed(8), &params(), &()).unwrap();
            assert!((curve.steps[8].metric - half.metric).abs() < 1e-4);
        }
        let smallest = study.smallest.as_ref().unwrap();
        assert!(smallest.metric >= 0.99 * smallest.whole && !smallest.removed.is_empty());
        let page = study.markdown();
        assert!(
            page.contains(name) && page.contains(unit) && !page.contains("accuracy"),
            "{page}"
        );
        let plot = study.pruning_plot();
        assert_eq!(plot.up, name);
        assert!(study.importance.grid(Score::AblationMean).unwrap().what == unit);
        assert_eq!(study.json()["metric"], name);
    }
}

/// Two checkpoints side by side: flips by the rule of the log, and the number or the first label explained.
#[test]
fn two_checkpoints_are_compared_by_the_same_metric() {
    for problem in PROBLEMS {
        let open = || Snapshot::open(checkpoint(problem)).unwrap();
        let (before, after) = (open(), open());
        let set = set(&before.capturer, problem);
        let study = ChangeStudy::run(&before, &after, &set, &params(), &()).unwrap();
        let [one, other] = study.evaluations.as_ref().unwrap();
        assert!(one.metric == other.metric && study.flips.iter().all(Vec::is_empty));
        assert!(study.markdown().contains("before"), "{}", study.markdown());
        let example = &set.examples()[4];
        let target = Target::Class(example.class().unwrap());
        let params = ExplainParams {
            removal: false,
            ..ExplainParams::default()
        };
        let found = explain(&before.capturer, example, &target, &params, &()).unwrap();
        let question = match problem {
            Problem::Labels => "neutral",
            _ => "this number",
        };
        assert_eq!(found.question, question);
    }
    // A number is right within half of the spread of the gold numbers.
    let capturer = Capturer::load(&checkpoint(Problem::Number)).unwrap();
    let set = set(&capturer, Problem::Number);
    let mean = NUMBERS.iter().sum::<f32>() / 8.0;
    let spread = (NUMBERS.iter().map(|number| (number - mean).powi(2)).sum::<f32>() / 8.0).sqrt();
    assert!((set.tolerance() - 0.5 * f64::from(spread)).abs() < 1e-6);
    assert_eq!(set.subset(&[1]).tolerance(), set.tolerance());
}

/// The examples that lack what a head needs are named, and so is what it needs.
#[test]
fn gold_answers_that_do_not_fit_are_named() {
    let labels = Capturer::load(&checkpoint(Problem::Labels)).unwrap();
    let number = Capturer::load(&checkpoint(Problem::Number)).unwrap();
    let some = log("multi_label", |at| match at {
        0..6 => gold(Problem::Labels, at),
        6 => "[1,0]".to_owned(),
        _ => "[1,2,0]".to_owned(),
    });
    let found = LabeledSet::of_log(&labels, &some, 0..TEXTS.len()).unwrap();
    assert_eq!(found.len(), 6);
    assert_eq!(
        found.notes(),
        [
            "2 examples are left out, expected a text, and 0 or 1 for each of its 3 labels (negative, neutral, positive) in \
          `gold`: e6, e7"
        ]
    );
    let error = LabeledSet::of_log(&number, &some, 0..TEXTS.len()).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::NothingLabeled { .. }), "{message}");
    assert!(
        message.contains("a number in `gold`: e0, e1, e2, e3, e4 and 3 more"),
        "{message}"
    );
    let texts = log("regression", |at| format!("{}", NUMBERS[at]));
    let error = LabeledSet::of_log(&labels, &texts, 0..TEXTS.len()).unwrap_err();
    assert!(error.to_string().contains("0 or 1 for each of its 3 labels"), "{error}");
    // A model of several numbers is refused, not read as one.
    let mut wrong = LabeledSet::of_log(&number, &texts, 0..2).unwrap().examples().to_vec();
    let refused = LabeledSet::from_examples(labels.model(), wrong.clone());
    assert!(matches!(refused, Err(Error::Shape { .. })));
    wrong[1].labels = Labels::Class(0);
    assert!(matches!(
        LabeledSet::from_examples(number.model(), wrong.clone()),
        Err(Error::Shape { .. })
    ));
    wrong[1].labels = Labels::Number(f32::NAN);
    assert!(matches!(
        LabeledSet::from_examples(number.model(), wrong),
        Err(Error::Shape { .. })
    ));
    // What a head is for, in a word that nobody knows.
    let config = String::from_utf8_lossy(SENTIMENT.config).replace("single_label_classification", "poetry");
    let odd = Checkpoint::from_bytes("odd", config.into_bytes(), SENTIMENT.weights).unwrap();
    let error = Model::load(&odd).unwrap_err().to_string();
    assert!(error.contains("problem_type") && error.contains("poetry"), "{error}");
}
