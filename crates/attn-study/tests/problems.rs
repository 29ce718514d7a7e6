//! Heads of labels each by itself, and of one number or several: gradients against finite differences, losses and metrics against their
//! definitions, pruning, and what is said of gold answers that a head cannot use.
//!
//! All models are the embedded one for sentiment with another head: its three logits each by itself; the difference of the logits of
//! *positive* and *negative* as a number; that and the mean of both as two numbers.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test")]

use std::collections::{BTreeSet, HashMap};

use attn_core::Side;
use attn_embedded::{DATES, EmbeddedModel, SENTIMENT, TEXT_DECODER};
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
    prediction::class_prediction,
    pruning::{HeadStudy, LabeledExample, LabeledSet, Metric, PruningParams, Score, evaluate},
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
/// The second of two numbers.
const OTHERS: [f32; 8] = [0.0, 0.25, -2.0, 0.5, -1.0, 0.0, -2.5, 0.75];

/// What a head is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    Labels,
    Number,
    Numbers,
}

impl Head {
    fn problem(self) -> Problem {
        match self {
            Self::Labels => Problem::Labels,
            Self::Number | Self::Numbers => Problem::Number,
        }
    }
}

/// The model for sentiment with another head.
fn checkpoint(kind: Head) -> Checkpoint {
    let mut config: serde_json::Value = serde_json::from_slice(SENTIMENT.config).unwrap();
    let members = config.as_object_mut().unwrap();
    let mut tensors: HashMap<String, Tensor> = safetensors::load_buffer(SENTIMENT.weights, &Device::Cpu).unwrap();
    match kind {
        Head::Labels => {
            members["problem_type"] = "multi_label_classification".into();
        }
        Head::Number => {
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
        Head::Numbers => {
            members["problem_type"] = "regression".into();
            members.remove("label2id");
            members["id2label"] = serde_json::json!({"0": "mood", "1": "heat"});
            for name in ["classifier.weight", "classifier.bias"] {
                let rows = tensors[name].to_dtype(DType::F32).unwrap();
                let [negative, positive] = [0, 2].map(|row| rows.narrow(0, row, 1).unwrap());
                let mood = (&positive - &negative).unwrap();
                let heat = ((positive + negative).unwrap() * 0.5).unwrap();
                tensors.insert(name.to_owned(), Tensor::cat(&[mood, heat], 0).unwrap());
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

fn gold(kind: Head, at: usize) -> String {
    match kind {
        Head::Labels => format!("{:?}", SETS[at]),
        _ => format!("{:?}", numbers(kind, at)),
    }
}

/// The gold numbers of a text.
fn numbers(kind: Head, at: usize) -> Vec<f32> {
    match kind {
        Head::Numbers => vec![NUMBERS[at], OTHERS[at]],
        _ => vec![NUMBERS[at]],
    }
}

fn set(capturer: &Capturer, kind: Head) -> LabeledSet {
    let task = match kind {
        Head::Labels => "multi_label",
        _ => "regression",
    };
    let log = log(task, |at| gold(kind, at));
    LabeledSet::of_log(capturer, &log, 0..TEXTS.len()).unwrap()
}

fn labels(kind: Head, at: usize) -> Labels {
    match kind {
        Head::Labels => Labels::Set(SETS[at].iter().map(|&label| label == 1).collect()),
        _ => Labels::Numbers(numbers(kind, at)),
    }
}

const HEADS: [Head; 3] = [Head::Labels, Head::Number, Head::Numbers];

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
    for kind in HEADS {
        let capturer = Capturer::load(&checkpoint(kind)).unwrap();
        assert_eq!(capturer.model().problem(), Some(kind.problem()));
        let set = set(&capturer, kind);
        assert!(set.notes().is_empty() && set.len() == 8, "{:?}", set.notes());
        let logits = logits(&capturer, &set);
        let found = evaluate(&capturer, &set, &BTreeSet::new(), &params(), &()).unwrap();
        for (at, logits) in logits.iter().enumerate() {
            assert_eq!(set.examples()[at].labels, labels(kind, at));
            let wanted = match kind {
                Head::Labels => {
                    let side = |(&logit, &label): (&f32, &u8)| match label {
                        1 => -sigmoid(logit).ln(),
                        _ => -(1.0 - sigmoid(logit)).ln(),
                    };
                    logits.iter().zip(&SETS[at]).map(side).sum::<f64>() / 3.0
                }
                _ => {
                    let numbers = numbers(kind, at);
                    let squares = logits
                        .iter()
                        .zip(&numbers)
                        .map(|(said, right)| f64::from(said - right).powi(2));
                    squares.sum::<f64>() / numbers.len() as f64
                }
            };
            let found = found.examples[at].loss;
            assert!(
                (found - wanted).abs() <= 1e-4 * wanted.max(1.0),
                "{kind:?} {at}: {found} {wanted}"
            );
        }
        let wanted = match kind {
            Head::Labels => {
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
                let pairs = |output: usize| -> (Vec<f64>, Vec<f64>) {
                    let pair = |(at, logits): (usize, &Vec<f32>)| {
                        (f64::from(logits[output]), f64::from(numbers(kind, at)[output]))
                    };
                    logits.iter().enumerate().map(pair).unzip()
                };
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                let total = |a: &[f64]| a.iter().sum::<f64>();
                let cross = |a: &[f64], b: &[f64]| 8.0 * dot(a, b) - total(a) * total(b);
                let pearson = |output: usize| {
                    let (x, y) = pairs(output);
                    cross(&x, &y) / (cross(&x, &x) * cross(&y, &y)).sqrt()
                };
                let outputs = logits[0].len();
                (0..outputs).map(pearson).sum::<f64>() / outputs as f64
            }
        };
        assert!(
            (found.metric - wanted).abs() <= 1e-5,
            "{kind:?}: {} {wanted}",
            found.metric
        );
        assert!(wanted > 0.5 && wanted < 1.0, "{wanted}");
    }
}

/// Differences are taken of a loss in single precision, whose last digits a smaller step would show; a larger one crosses more kinks
/// of the activations. `gradients_of_losses_follow_from_those_of_logits` is exact.
#[test]
fn gradients_of_heads_are_finite_differences() {
    for kind in HEADS {
        let model = Model::load(&checkpoint(kind)).unwrap();
        let capturer = Capturer::load(&checkpoint(kind)).unwrap();
        let set = set(&capturer, kind);
        for at in [0, 4, 5] {
            let tokens = &set.examples()[at].sequence.encoder;
            let ids: Vec<u32> = tokens.iter().filter_map(|token| token.id).collect();
            let inputs = Inputs::from_ids(&[ids], 0).unwrap();
            let targets = vec![Target::Loss {
                labels: labels(kind, at),
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
                    "{kind:?} {at} {head}: {found} {wanted}, at most {largest}, loss {value}"
                );
            }
        }
    }
}

/// By the chain rule from the logits: the loss changes by `(sigmoid - label) / labels` per logit, the squared error by twice the
/// error. Of a number the expansion is that of the logit times the square of it.
#[test]
fn gradients_of_losses_follow_from_those_of_logits() {
    for kind in HEADS {
        let checkpoint = checkpoint(kind);
        let model = Model::load_from(&checkpoint, &Weights::finetune(&checkpoint, 0), Gradients::On).unwrap();
        let capturer = Capturer::load(&checkpoint).unwrap();
        let set = set(&capturer, kind);
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
                labels: labels(kind, at),
            };
            let factors: Vec<f32> = match kind {
                Head::Labels => {
                    let side = |(logit, label): (&f32, &u8)| (1.0 / (1.0 + (-logit).exp()) - f32::from(*label)) / 3.0;
                    logits[at].iter().zip(&SETS[at]).map(side).collect()
                }
                _ => {
                    let numbers = numbers(kind, at);
                    let error = |(said, right): (&f32, &f32)| 2.0 * (said - right) / numbers.len() as f32;
                    logits[at].iter().zip(&numbers).map(error).collect()
                }
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
                    "{kind:?} {at} {head}: {found} {wanted}"
                );
            }
            if kind == Head::Number {
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
    for kind in HEADS {
        let checkpoint = checkpoint(kind);
        let capturer = Capturer::load(&checkpoint).unwrap();
        let set = set(&capturer, kind);
        let study = HeadStudy::run(&capturer, &set, Some(&set.subset(&[0, 1, 2])), &params(), &()).unwrap();
        assert_eq!(study.importance.scores.len(), 5, "{:?}", study.importance.notes);
        let (name, unit) = match kind {
            Head::Labels => ("micro F1", "binary cross entropy (nats)"),
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
    for kind in HEADS {
        let open = || Snapshot::open(checkpoint(kind)).unwrap();
        let (before, after) = (open(), open());
        let set = set(&before.capturer, kind);
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
        let question = match kind {
            Head::Labels => "neutral",
            Head::Number => "this number",
            Head::Numbers => "the number mood",
        };
        assert_eq!(found.question, question);
    }
    // A number is right within half of the spread of the gold numbers.
    let capturer = Capturer::load(&checkpoint(Head::Number)).unwrap();
    let set = set(&capturer, Head::Number);
    let mean = NUMBERS.iter().sum::<f32>() / 8.0;
    let spread = (NUMBERS.iter().map(|number| (number - mean).powi(2)).sum::<f32>() / 8.0).sqrt();
    assert!((set.tolerance() - 0.5 * f64::from(spread)).abs() < 1e-6);
    assert_eq!(set.subset(&[1]).tolerance(), set.tolerance());
}

/// The examples that lack what a head needs are named, and so is what it needs.
#[test]
fn gold_answers_that_do_not_fit_are_named() {
    let labels = Capturer::load(&checkpoint(Head::Labels)).unwrap();
    let number = Capturer::load(&checkpoint(Head::Number)).unwrap();
    let some = log("multi_label", |at| match at {
        0..6 => gold(Head::Labels, at),
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
    // Two numbers are not one, nor one two.
    let two = Capturer::load(&checkpoint(Head::Numbers)).unwrap();
    let error = LabeledSet::of_log(&two, &texts, 0..TEXTS.len())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("a number for each of its 2 outputs (mood, heat) in `gold`"),
        "{error}"
    );
    let pairs = log("regression", |at| gold(Head::Numbers, at));
    assert!(LabeledSet::of_log(&number, &pairs, 0..TEXTS.len()).is_err());
    // A model of labels is not asked for a number.
    let mut wrong = LabeledSet::of_log(&number, &texts, 0..2).unwrap().examples().to_vec();
    let refused = LabeledSet::from_examples(labels.model(), wrong.clone());
    assert!(matches!(refused, Err(Error::Shape { .. })));
    wrong[1].labels = Labels::Class(0);
    assert!(matches!(
        LabeledSet::from_examples(number.model(), wrong.clone()),
        Err(Error::Shape { .. })
    ));
    wrong[1].labels = Labels::Numbers(vec![f32::NAN]);
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

/// A log of texts and the texts that a model is to write for them.
fn generation(rows: &[(Option<&str>, &str)]) -> Log {
    let mut lines = String::from("{\"kind\":\"run\",\"format\":1,\"task\":\"generation\"}\n");
    for (at, (text, gold)) in rows.iter().enumerate() {
        let line = serde_json::json!({"kind": "example", "id": format!("e{at}"), "text": text, "gold": gold});
        lines += &format!("{line}\n");
    }
    let mut reader = LogReader::default();
    reader
        .push(&mut reader.file("log.jsonl"), lines.as_bytes(), &())
        .unwrap();
    reader.into_log()
}

/// Minus the mean log-probability of the labels of an example, from the logits of a pass over it alone.
fn mean_loss(capturer: &Capturer, example: &LabeledExample) -> f64 {
    let ids = |side| {
        let tokens = example.sequence.tokens(side).iter();
        tokens.filter_map(|token| token.id).collect::<Vec<u32>>()
    };
    let (encoder, decoder) = (ids(Side::Encoder), ids(Side::Decoder));
    let crosses = !encoder.is_empty();
    let inputs = match crosses {
        true => Inputs {
            decoder_input_ids: Inputs::from_ids(&[decoder], 0).unwrap().input_ids,
            ..Inputs::from_ids(&[encoder], 0).unwrap()
        },
        false => Inputs::from_ids(&[decoder], 0).unwrap(),
    };
    let logits = capturer.model().forward(&inputs, &mut ()).unwrap().logits.unwrap();
    let rows: Vec<Vec<f32>> = logits.get(0).unwrap().to_vec2().unwrap();
    let Labels::Tokens(labels) = &example.labels else {
        panic!()
    };
    let losses = labels.iter().enumerate().filter_map(|(place, label)| {
        let row = &rows[if crosses { place } else { place.checked_sub(1)? }];
        let sum: f64 = row.iter().map(|value| f64::from(*value).exp()).sum();
        Some(sum.ln() - f64::from(row[(*label)? as usize]))
    });
    let losses: Vec<f64> = losses.collect();
    losses.iter().sum::<f64>() / losses.len() as f64
}

/// What a model is to write is asked for token by token: its loss is minus the `log_probability` that a log of generation has.
#[test]
fn texts_that_a_model_writes_are_asked_for() {
    let open = |model: EmbeddedModel| Capturer::load(&model.checkpoint().unwrap()).unwrap();
    let texts = |example: &LabeledExample, asked: bool| -> String {
        let Labels::Tokens(labels) = &example.labels else {
            panic!()
        };
        let places = example.sequence.decoder.iter().zip(labels);
        let chosen = places.filter(|(token, label)| !token.special && label.is_some() == asked);
        chosen.map(|(token, _)| token.text.as_str()).collect()
    };
    let dates: Vec<&str> = attn_embedded::dates().take(3).collect();
    let rows: Vec<(&str, &str)> = dates.iter().map(|line| line.split_once('\t').unwrap()).collect();
    let mut logged: Vec<(Option<&str>, &str)> = rows.iter().map(|(source, target)| (Some(*source), *target)).collect();
    logged.extend([(None, "2000-01-01"), (Some("May 1, 2000"), "")]);
    let of_dates = (open(DATES), generation(&logged), 3);
    let stories = [
        (Some("The cats"), " sleep here."),
        (Some("The king"), " thinks that the dogs run."),
    ];
    let of_stories = (open(TEXT_DECODER), generation(&stories), 2);
    for (capturer, log, count) in [of_dates, of_stories] {
        let set = LabeledSet::of_log(&capturer, &log, 0..log.examples().len()).unwrap();
        assert_eq!((set.len(), set.metric()), (count, Metric::Accuracy));
        let found = evaluate(&capturer, &set, &BTreeSet::new(), &params(), &()).unwrap();
        for (example, found) in set.examples().iter().zip(&found.examples) {
            let wanted = mean_loss(&capturer, example);
            assert!(
                (found.loss - wanted).abs() < 1e-4 * wanted.max(1.0),
                "{} {wanted}",
                found.loss
            );
            let target = example.target(capturer.model()).unwrap();
            assert!(matches!(target, Target::Token { .. }));
            let params = ExplainParams {
                removal: false,
                ..ExplainParams::default()
            };
            let explained = explain(&capturer, example, &target, &params, &()).unwrap();
            assert!(explained.question.contains(" at place "), "{}", explained.question);
        }
        if count == 2 {
            let (asked, given) = (texts(&set.examples()[0], true), texts(&set.examples()[0], false));
            assert!(asked.contains("sleep") && !asked.contains("cats"), "{asked}");
            assert!(given.contains("cats") && !given.contains("sleep"), "{given}");
        } else {
            // The decoder reads its start and the target; each place is asked for the token after it.
            let read: String = set.examples()[0].sequence.decoder[1..]
                .iter()
                .map(|token| token.text.as_str())
                .collect();
            assert_eq!(read, rows[0].1);
            assert_eq!(found.metric, 1.0, "dates that the model knows");
            assert_eq!(
                set.notes(),
                ["2 examples are left out, expected a text, and a text in `gold`: e3, e4"]
            );
        }
        let study = HeadStudy::run(&capturer, &set, None, &params(), &()).unwrap();
        assert_eq!(study.importance.heads.len(), capturer.model().info().heads().count());
    }
    // A classifier writes nothing, and a model that writes is asked for no class.
    let error = LabeledSet::of_log(&open(SENTIMENT), &generation(&stories), 0..2).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("one of its classes (negative, neutral, positive) in `gold`"),
        "{error}"
    );
    let classes = log("classification", |at| (at % 2).to_string());
    let error = LabeledSet::of_log(&open(TEXT_DECODER), &classes, 0..2).unwrap_err();
    assert!(
        error.to_string().contains("a text, and a text in `gold`: e0, e1"),
        "{error}"
    );
    assert!(LabeledExample::of_target(&open(SENTIMENT), "x", "a", "b").is_err());
}

/// A classifier of tokens: the model for sentiment with random maps to two classes, asked whether a word is written with a capital.
#[test]
fn classifiers_of_tokens_are_asked_for_each_token() {
    let mut config: serde_json::Value = serde_json::from_slice(SENTIMENT.config).unwrap();
    let members = config.as_object_mut().unwrap();
    members.remove("label2id");
    members["architectures"] = serde_json::json!(["BertForTokenClassification"]);
    members["id2label"] = serde_json::json!({"0": "small", "1": "capital"});
    let mut tensors: HashMap<String, Tensor> = safetensors::load_buffer(SENTIMENT.weights, &Device::Cpu).unwrap();
    let hidden = tensors["classifier.weight"].dim(1).unwrap();
    let weights = (0..2 * hidden as u32).map(|at| (f64::from(at) * 0.7).sin() as f32 * 0.2);
    let weights = Tensor::from_iter(weights, &Device::Cpu).unwrap();
    tensors.insert("classifier.weight".into(), weights.reshape((2, hidden)).unwrap());
    tensors.insert(
        "classifier.bias".into(),
        Tensor::new(&[0.1_f32, -0.1], &Device::Cpu).unwrap(),
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    safetensors::save(&tensors, &file).unwrap();
    let config = serde_json::to_vec(&config).unwrap();
    let checkpoint = Checkpoint::from_bytes("names", config, std::fs::read(file).unwrap()).unwrap();
    let capturer = Capturer::load(&checkpoint.with_tokenizer(SENTIMENT.tokenizer.unwrap())).unwrap();
    assert_eq!(capturer.model().token_labels(), ["small", "capital"]);

    // A class per word; of the sixth text a wrong number of them.
    let classes = |at: usize| -> Vec<i32> {
        let words = TEXTS[at].trim_end_matches('.').split(' ');
        let mut classes: Vec<i32> = words
            .map(|word| i32::from(word.starts_with(char::is_uppercase)))
            .collect();
        classes.push(-100);
        if at == 5 {
            classes.extend([0; 30]);
        }
        classes
    };
    let log = log("tokens", |at| format!("{:?}", classes(at)));
    let set = LabeledSet::of_log(&capturer, &log, 0..TEXTS.len()).unwrap();
    assert_eq!(
        set.notes(),
        ["1 example is left out, expected a text, and a class for each token or word in `gold`: e5"]
    );
    let Labels::Tokens(labels) = &set.examples()[0].labels else {
        panic!()
    };
    let tokens = &set.examples()[0].sequence.encoder;
    let named: Vec<&str> = tokens
        .iter()
        .zip(labels)
        .filter(|(_, label)| **label == Some(1))
        .map(|(token, _)| token.text.as_str())
        .collect();
    assert_eq!(named.len(), 1, "{tokens:?} {labels:?}");

    // Loss and accuracy are those of the logits at the places with a class.
    let params = params();
    let found = evaluate(&capturer, &set, &BTreeSet::new(), &params, &()).unwrap();
    for (example, found) in set.examples().iter().zip(&found.examples) {
        let ids: Vec<u32> = example.sequence.encoder.iter().filter_map(|token| token.id).collect();
        let inputs = Inputs::from_ids(&[ids], 0).unwrap();
        let logits = capturer.model().forward(&inputs, &mut ()).unwrap().logits.unwrap();
        let logits: Vec<Vec<f32>> = logits.get(0).unwrap().to_vec2().unwrap();
        let Labels::Tokens(labels) = &example.labels else {
            panic!()
        };
        let rows: Vec<(&Vec<f32>, usize)> = logits
            .iter()
            .zip(labels)
            .filter_map(|(row, label)| Some((row, (*label)? as usize)))
            .collect();
        let loss = |(row, label): &(&Vec<f32>, usize)| {
            let total: f64 = row.iter().map(|&logit| f64::from(logit).exp()).sum();
            total.ln() - f64::from(row[*label])
        };
        let right = rows.iter().filter(|(row, label)| row[*label] > row[1 - *label]).count();
        let expected = rows.iter().map(loss).sum::<f64>() / rows.len() as f64;
        assert!((found.loss - expected).abs() < 1e-4, "{} {expected}", found.loss);
        assert!((found.right - right as f64 / rows.len() as f64).abs() < 1e-9);
    }
    let study = HeadStudy::run(&capturer, &set, None, &params, &()).unwrap();
    assert_eq!(study.importance.scores.len(), 5, "{:?}", study.importance.notes);
    let target = set.examples()[0].target(capturer.model()).unwrap();
    assert!(matches!(target, Target::Token { token, .. } if token < 2));
    let found = explain(&capturer, &set.examples()[0], &target, &ExplainParams::default(), &()).unwrap();
    assert!(found.question.contains("capital at place") || found.question.contains("small at place"));
}

/// A label that is decided by itself has a probability and an attribution of its own, classes exclude one another, numbers are
/// neither; and two texts are read as a pair.
#[test]
fn a_prediction_is_that_of_its_head() {
    let logits = |capturer: &Capturer, inputs: &Inputs| -> Vec<f64> {
        let found = capturer.model().forward(inputs, &mut ()).unwrap().logits.unwrap();
        let found: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();
        found.into_iter().map(f64::from).collect()
    };
    let best = |logits: &[f64]| logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let softmax = |logits: &[f64]| best(logits).exp() / logits.iter().map(|logit| logit.exp()).sum::<f64>();
    let find = |capturer: &Capturer, second: Option<&str>| {
        class_prediction(capturer, TEXTS[0], second, 0, Side::Encoder, &()).unwrap()
    };
    let labels = Capturer::load(&checkpoint(Head::Labels)).unwrap();
    let classes = Capturer::load(&SENTIMENT.checkpoint().unwrap()).unwrap();
    let (tokenizer, info) = (classes.tokenizer().unwrap(), classes.model().info());
    let read = tokenizer.encode(TEXTS[0], info).unwrap();
    let given = logits(&labels, &Inputs::from_ids(&[read.ids()], 0).unwrap());
    let (label, class) = (find(&labels, None).unwrap(), find(&classes, None).unwrap());
    assert!((label.probability - 1.0 / (1.0 + (-best(&given)).exp())).abs() < 1e-6);
    assert!((class.probability - softmax(&given)).abs() < 1e-6);
    assert_eq!(
        (label.class.as_str(), label.against.as_str()),
        (class.class.as_str(), "")
    );
    assert!(!class.against.is_empty());
    assert!((f64::from(label.value) - best(&given)).abs() < 1e-4);
    for layer in &label.layers {
        let sum: f32 = layer.weights.iter().sum();
        assert!((sum - (label.value - label.baseline)).abs() < 0.05 * label.value.abs());
    }
    assert!(find(&Capturer::load(&checkpoint(Head::Numbers)).unwrap(), None).is_none());
    // With token types where the model takes them.
    let read = tokenizer.encode_pair(TEXTS[0], TEXTS[1], info).unwrap();
    let mut inputs = Inputs::from_ids(&[read.ids()], 0).unwrap();
    if classes.model().token_types() > 1 {
        inputs.token_type_ids = Inputs::from_ids(std::slice::from_ref(&read.types), 0)
            .unwrap()
            .input_ids;
    }
    let pair = find(&classes, Some(TEXTS[1])).unwrap();
    assert!((pair.probability - softmax(&logits(&classes, &inputs))).abs() < 1e-6);
    assert!(pair.layers.iter().all(|layer| layer.weights.len() == read.tokens.len()));
}
