//! Measured importance against the plain way and against zeroed weights; pruning, explanations and comparisons on the embedded
//! models, where the numbers are known or follow from each other.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test")]

use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    sync::atomic::{AtomicUsize, Ordering},
};

use attn_embedded::{DATES, EmbeddedModel, SENTIMENT, SENTIMENT_EPOCHS, TEXT_DECODER, TEXT_ENCODER, VISION};
use attn_models::{
    Capturer, Checkpoint, Gradients, Inputs, Model, Weights,
    attribute::{Target, head_gradients, taylor_importance},
    candle::{DType, Tensor},
    intervene::{Edit, Interventions},
};
use attn_study::{
    Error,
    attn_core::{Attention, HeadId, Sequence, Side},
    change::{ChangeStudy, Snapshot, TENTHS, flipped, layer_similarity, scale_steps, weight_changes},
    explain::{ExplainParams, Method, attention_rows, explain},
    pruning::{
        Ablate, Curve, HeadStudy, LabeledExample, LabeledSet, Labels, PruningParams, Score, Smallest, evaluate, greedy,
        importance, mean_patterns, measure, pruning_table, random_curves, write_pruned,
    },
};

const TEXTS: [(&str, &str); 8] = [
    ("Rosa loves the beautiful garden.", "positive"),
    ("The cats hate that awful meal.", "negative"),
    ("A horse eats that carrot.", "neutral"),
    ("Those cats were lazy.", "negative"),
    (
        "The king thinks that a bird that swims runs happily outside the schools.",
        "positive",
    ),
    ("Henry cooks the terrible potatoes with Rosa.", "negative"),
    ("Many horses followed the brother.", "neutral"),
    ("Leo does not love the old house.", "negative"),
];

fn load(model: EmbeddedModel) -> Capturer {
    Capturer::load(&model.checkpoint().unwrap()).unwrap()
}

fn sentiment_set(capturer: &Capturer) -> LabeledSet {
    LabeledSet::texts(capturer, TEXTS.map(|(text, label)| (text, Some(label.to_owned())))).unwrap()
}

fn set_of(capturer: &Capturer, model: EmbeddedModel) -> LabeledSet {
    match model.name {
        "dates" => LabeledSet::texts(capturer, attn_embedded::dates().take(6).map(|line| (line, None))).unwrap(),
        "vision" => {
            let images = attn_embedded::IMAGES.iter().take(4);
            let images =
                images.map(|(name, bytes)| attn_models::images::Image::memory((*name).to_owned(), bytes.to_vec()));
            let capture = capturer.capture_images(images).unwrap();
            let labeled = capture.sequences().iter().enumerate().map(|(at, sequence)| {
                let bytes = attn_embedded::IMAGES[at].1;
                let mut sequence = Sequence {
                    label: Some("0".into()),
                    ..sequence.clone()
                };
                sequence.image.as_mut().unwrap().data = Some(bytes.into());
                sequence
            });
            LabeledSet::of(capturer, labeled, 0).unwrap()
        }
        "sentiment" => sentiment_set(capturer),
        _ => LabeledSet::texts(capturer, attn_embedded::sentences().take(6).map(|line| (line, None))).unwrap(),
    }
}

fn params() -> PruningParams {
    PruningParams {
        batch_tokens: 40,
        random: 2,
        greedy_examples: 4,
        splits: 2,
        ..PruningParams::default()
    }
}

fn close(found: &[f64], wanted: &[f64], allowed: f64, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() <= allowed, "{what}: {found} {wanted}");
    }
}

/// The loss of one example alone, from logits, by the definition.
fn loss_of(model: &Model, example: &LabeledExample, capturer: &Capturer, tap: &mut dyn attn_models::Tap) -> f64 {
    let ids = |side: Side| {
        example
            .sequence
            .tokens(side)
            .iter()
            .filter_map(|token| token.id)
            .collect::<Vec<u32>>()
    };
    let info = model.info();
    let crosses = info.attention(Attention::Cross).is_some();
    let inputs = if model.vision().is_some() {
        let image = example.sequence.image.as_ref().unwrap().data.as_ref().unwrap();
        let image = attn_models::images::Image::memory("image".to_owned(), image.bytes().to_vec());
        capturer.image_inputs([&image]).unwrap()
    } else if crosses {
        let target = Inputs::from_ids(&[ids(Side::Decoder)], 0).unwrap();
        Inputs {
            decoder_input_ids: target.input_ids,
            ..Inputs::from_ids(&[ids(Side::Encoder)], 0).unwrap()
        }
    } else {
        let side = if example.sequence.encoder.is_empty() {
            Side::Decoder
        } else {
            Side::Encoder
        };
        Inputs::from_ids(&[ids(side)], 0).unwrap()
    };
    let logits = model.forward(&inputs, tap).unwrap().logits.unwrap();
    let rows: Vec<Vec<f32>> = match logits.dims().len() {
        2 => logits.to_vec2().unwrap(),
        _ => logits.get(0).unwrap().to_vec2().unwrap(),
    };
    let loss = |row: &[f32], label: u32| {
        let sum: f64 = row.iter().map(|&value| f64::from(value).exp()).sum();
        sum.ln() - f64::from(row[label as usize])
    };
    match &example.labels {
        Labels::Class(class) => loss(&rows[0], *class),
        Labels::Tokens(labels) => {
            let causal = info
                .attentions
                .iter()
                .all(|info| info.attention == Attention::DecoderSelf);
            let from = usize::from(causal);
            let all: Vec<f64> = (from..labels.len())
                .filter_map(|at| Some(loss(&rows[at - from], labels[at]?)))
                .collect();
            all.iter().sum::<f64>() / all.len() as f64
        }
        other => panic!("{other:?}"),
    }
}

/// Encoders, a decoder, an encoder-decoder and a vision model: batches padded and not, passes from each layer on, against a whole
/// pass per head and example.
#[test]
fn measured_effects_are_those_of_a_whole_pass_per_head() {
    for embedded in [SENTIMENT, TEXT_ENCODER, TEXT_DECODER, DATES, VISION] {
        let capturer = load(embedded);
        let model = capturer.model();
        let set = set_of(&capturer, embedded);
        let measured = measure(&capturer, &set, Ablate::Zero, &BTreeSet::new(), &params(), &()).unwrap();
        let heads: Vec<HeadId> = model.info().heads().collect();
        assert_eq!(measured.heads, heads, "{}", embedded.name);
        for (at, example) in set.examples().iter().enumerate().step_by(3) {
            let whole = loss_of(model, example, &capturer, &mut ());
            assert!(
                (measured.whole.examples[at].loss - whole).abs() <= 1e-4,
                "{}",
                embedded.name
            );
            for (head, without) in heads.iter().zip(&measured.without) {
                let off = Edit::HeadMask {
                    heads: (*head).into(),
                    factor: 0.0,
                };
                let mut tap = Interventions::new(model.info(), [off.into()]).unwrap();
                let plain = loss_of(model, example, &capturer, &mut tap);
                let found = without.examples[at].loss;
                assert!(
                    (found - plain).abs() <= 1e-4,
                    "{} {head}: {found} {plain}",
                    embedded.name
                );
            }
        }
        // The same in one large batch, and with each example alone.
        for batch_tokens in [1, 100_000] {
            let params = PruningParams {
                batch_tokens,
                ..params()
            };
            let again = measure(&capturer, &set, Ablate::Mean, &BTreeSet::new(), &params, &()).unwrap();
            let first = measure(&capturer, &set, Ablate::Mean, &BTreeSet::new(), &self::params(), &()).unwrap();
            close(&again.loss_increase(), &first.loss_increase(), 1e-4, embedded.name);
        }
    }
}

/// Ablation to zero is a model whose output map does not read the head.
#[test]
fn ablations_are_zeroed_columns_of_the_output_map() {
    let checkpoint = SENTIMENT.checkpoint().unwrap();
    let capturer = load(SENTIMENT);
    let set = sentiment_set(&capturer);
    let measured = measure(&capturer, &set, Ablate::Zero, &BTreeSet::new(), &params(), &()).unwrap();
    for head in [0, 5, 14] {
        let weights = Weights::finetune(&checkpoint, 0);
        let model = Model::load_from(&checkpoint, &weights, Gradients::Off).unwrap();
        let id = measured.heads[head];
        let name = format!("bert.encoder.layer.{}.attention.output.dense.weight", id.layer);
        let variable = &weights.variables()[&name];
        let (rows, columns) = variable.dims2().unwrap();
        let keep = (0..columns).map(|at| if at / 32 == id.head { 0.0_f32 } else { 1.0 });
        let keep = Tensor::from_iter(keep, variable.device())
            .unwrap()
            .broadcast_as((rows, columns))
            .unwrap();
        variable
            .set(&(variable.as_tensor() * keep).unwrap().to_dtype(DType::F32).unwrap())
            .unwrap();
        for (at, example) in set.examples().iter().enumerate() {
            let zeroed = loss_of(&model, example, &capturer, &mut ());
            let found = measured.without[head].examples[at].loss;
            assert!((found - zeroed).abs() <= 1e-4, "{id}: {found} {zeroed}");
        }
    }
}

/// Mean ablation replaces what a head says by its mean, which changes nothing for a single token.
#[test]
fn means_are_over_real_tokens() {
    let capturer = load(SENTIMENT);
    let set = sentiment_set(&capturer);
    let one = set.subset(&[2]);
    let zero = measure(&capturer, &one, Ablate::Zero, &BTreeSet::new(), &params(), &()).unwrap();
    let mean = measure(&capturer, &one, Ablate::Mean, &BTreeSet::new(), &params(), &()).unwrap();
    assert_eq!(zero.whole, mean.whole);
    assert_ne!(zero.without, mean.without);
    // Padding beside a long text does not count: the mean over both is that over the tokens of both.
    let both = set.subset(&[2, 4]);
    let params = |batch_tokens| PruningParams {
        batch_tokens,
        ..self::params()
    };
    let padded = measure(&capturer, &both, Ablate::Mean, &BTreeSet::new(), &params(1000), &()).unwrap();
    let alone = measure(&capturer, &both, Ablate::Mean, &BTreeSet::new(), &params(1), &()).unwrap();
    close(&padded.loss_increase(), &alone.loss_increase(), 1e-4, "padding");
}

#[test]
fn scores_are_those_of_their_definitions() {
    let checkpoint = SENTIMENT.checkpoint().unwrap();
    let capturer = load(SENTIMENT);
    let set = sentiment_set(&capturer);
    let found = importance(&capturer, &set, &params(), &()).unwrap();
    assert!(found.notes.is_empty(), "{:?}", found.notes);
    assert_eq!(found.scores.len(), 5);
    // Example by example, alone.
    let mut michel = vec![0.0; 16];
    for (at, example) in set.examples().iter().enumerate() {
        let ids: Vec<u32> = example.sequence.encoder.iter().filter_map(|token| token.id).collect();
        let Labels::Class(class) = example.labels else { panic!() };
        let batch = attn_models::attribute::Examples {
            inputs: Inputs::from_ids(&[ids], 0).unwrap(),
            targets: vec![Target::Loss {
                labels: Labels::Class(class),
            }],
        };
        let own = head_gradients(capturer.model(), &[batch], &()).unwrap();
        let own: Vec<f64> = own.examples[0].1[0]
            .values
            .iter()
            .map(|&value| f64::from(value))
            .collect();
        close(&found.gradients[at], &own, 1e-4, "gradient");
        for (sum, own) in michel.iter_mut().zip(own) {
            *sum += own.abs() / set.len() as f64;
        }
    }
    close(found.score(Score::Michel).unwrap(), &michel, 1e-4, "michel");
    for layer in 0..4 {
        let own = |score| &found.score(score).unwrap()[4 * layer..4 * layer + 4];
        let length = own(Score::Michel).iter().map(|value| value * value).sum::<f64>().sqrt();
        let divided: Vec<f64> = own(Score::Michel).iter().map(|value| value / length).collect();
        close(own(Score::MichelLayer), &divided, 1e-5, "by layer");
    }
    // Taylor over the set in one batch.
    let trained = Model::load_from(&checkpoint, &Weights::finetune(&checkpoint, 0), Gradients::On).unwrap();
    let rows: Vec<Vec<u32>> = set
        .examples()
        .iter()
        .map(|example| example.sequence.encoder.iter().filter_map(|token| token.id).collect())
        .collect();
    let target = |example: &LabeledExample| Target::Loss {
        labels: example.labels.clone(),
    };
    let batch = attn_models::attribute::Examples {
        inputs: Inputs::from_ids(&rows, 0).unwrap(),
        targets: set.examples().iter().map(target).collect(),
    };
    let taylor = taylor_importance(&trained, &[batch], &()).unwrap();
    for (found, wanted) in found.score(Score::Taylor).unwrap().iter().zip(&taylor[0].values) {
        assert!(
            (found - f64::from(*wanted)).abs() <= 1e-3 * f64::from(*wanted).max(1e-6),
            "{found} {wanted}"
        );
    }
    for pair in found.correlations() {
        assert!(pair.spearman.unwrap().abs() <= 1.0);
    }
    assert!(found.stability.len() == 5);
    let (first, measured) = found.of_example(3).unwrap();
    assert_eq!((first.len(), measured.len()), (16, 16));
    let table = found.table().to_csv();
    assert_eq!(
        table.lines().next(),
        Some("layer,head,taylor,michel,michel_layer,ablation_zero,ablation_mean")
    );
    assert_eq!(table.lines().count(), 17);
}

#[test]
fn curves_start_with_the_model_and_end_without_heads() {
    let capturer = load(SENTIMENT);
    let set = sentiment_set(&capturer);
    let params = params();
    let whole = evaluate(&capturer, &set, &BTreeSet::new(), &params, &()).unwrap();
    let order = greedy(&capturer, &set, &params, &()).unwrap();
    assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 16);
    // The first of the greedy order is the head without which the loss is least.
    let sample = set.sample(params.greedy_examples, params.seed);
    let single = measure(&capturer, &sample, Ablate::Zero, &BTreeSet::new(), &params, &()).unwrap();
    let least = (0..16)
        .min_by(|&a, &b| single.without[a].loss.total_cmp(&single.without[b].loss))
        .unwrap();
    assert_eq!(order[0], single.heads[least]);
    // The second, given the first, by brute force.
    let best = single.heads.iter().filter(|head| **head != order[0]).min_by(|a, b| {
        let loss = |head: &HeadId| {
            evaluate(&capturer, &sample, &BTreeSet::from([order[0], *head]), &params, &())
                .unwrap()
                .loss
        };
        loss(a).total_cmp(&loss(b))
    });
    assert_eq!(Some(&order[1]), best);

    let curve = Curve::along("greedy", &capturer, &set, &order, &params, &()).unwrap();
    assert_eq!((curve.steps[0].loss, curve.steps[0].metric), (whole.loss, whole.metric));
    let half = evaluate(&capturer, &set, &curve.removed(8), &params, &()).unwrap();
    assert_eq!(curve.steps[8].loss, half.loss);
    let random = random_curves(&capturer, &set, &params, &()).unwrap();
    assert_eq!(random, random_curves(&capturer, &set, &params, &()).unwrap());
    let [low, mean, high] = random.band(16).unwrap();
    assert!(low == high && (mean - low).abs() < 1e-12 && low == curve.steps[16].metric);

    let curves = [curve];
    let smallest = Smallest::find(&capturer, &set, &curves, &params, &()).unwrap().unwrap();
    assert!(smallest.metric >= 0.99 * whole.metric && smallest.kept.len() + smallest.removed.len() == 16);
    for &head in &smallest.kept {
        let mut off: BTreeSet<HeadId> = smallest.removed.iter().copied().collect();
        off.insert(head);
        assert!(
            evaluate(&capturer, &set, &off, &params, &()).unwrap().metric < 0.99 * whole.metric,
            "{head} could go"
        );
    }
    let csv = pruning_table(curves.iter().chain(&random.curves)).to_csv();
    assert!(csv.starts_with("order,removed,metric\r\ngreedy,0,"));
    assert_eq!(csv.lines().count(), 1 + 3 * 17);
}

#[test]
fn pruned_models_are_written_and_say_the_same() {
    for embedded in [SENTIMENT, TEXT_DECODER, DATES, VISION] {
        let checkpoint = embedded.checkpoint().unwrap();
        let capturer = load(embedded);
        let set = set_of(&capturer, embedded);
        let off: BTreeSet<HeadId> = capturer.model().info().heads().step_by(3).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pruned");
        let written = write_pruned(&checkpoint, &capturer, &set, &off, &path, &params(), &()).unwrap();
        assert!(written.difference <= 1e-4, "{}: {}", embedded.name, written.difference);
        let [before, after] = written.parameters;
        assert_eq!(after < before, embedded.name == "sentiment", "{}", embedded.name);
        // The whole folder is a model: text, classes and numbers of heads are as before.
        let read = Capturer::load(&Checkpoint::open(&path).unwrap()).unwrap();
        let without = evaluate(&capturer, &set, &off, &params(), &()).unwrap();
        let again = evaluate(&read, &set_of(&read, embedded), &BTreeSet::new(), &params(), &()).unwrap();
        assert!((without.loss - again.loss).abs() <= 1e-4, "{}", embedded.name);
    }
}

#[test]
fn sets_leave_out_what_has_no_label_and_say_so() {
    let capturer = load(SENTIMENT);
    let set = LabeledSet::texts(
        &capturer,
        [
            ("A cat.", Some("neutral".into())),
            ("A dog.", Some("angry".into())),
            ("A cow.", None),
        ],
    );
    let set = set.unwrap();
    assert_eq!((set.len(), set.notes().len()), (1, 1));
    let none = LabeledSet::texts(&capturer, [("A cat.", Some("angry".to_owned()))]).unwrap_err();
    assert!(
        matches!(&none, Error::NothingLabeled { left_out, .. } if left_out[0].contains("negative, neutral, positive")),
        "{none}"
    );
    let short = LabeledExample {
        sequence: set.examples()[0].sequence.clone(),
        types: vec![0],
        labels: Labels::Class(0),
    };
    assert!(matches!(
        LabeledSet::from_examples(capturer.model(), vec![short]),
        Err(Error::Shape { .. })
    ));
}

#[test]
fn patterns_count_no_padding() {
    let capturer = load(SENTIMENT);
    let set = sentiment_set(&capturer).subset(&[2, 4]);
    let params = |batch_tokens| PruningParams {
        batch_tokens,
        ..self::params()
    };
    let together = mean_patterns(&capturer, &set, 12, &params(1000), &()).unwrap();
    let alone = mean_patterns(&capturer, &set, 12, &params(1), &()).unwrap();
    assert_eq!(together.len(), 16);
    let lengths = [0, 1].map(|at| set.examples()[at].sequence.encoder.len());
    for ((head, pattern), (_, other)) in together.iter().zip(&alone) {
        assert_eq!((pattern.queries, pattern.keys), (12, 12));
        for (found, wanted) in pattern.weights.iter().zip(other.weights.iter()) {
            assert!((found - wanted).abs() < 1e-5, "{head}");
        }
        // Rows of queries that both have sum to 1 over the keys that are shown only where no key is beyond.
        let row: f32 = pattern.weights[..12].iter().sum();
        assert!(row <= 2.0 && lengths[0] < lengths[1]);
    }
}

#[test]
fn explanations_hold_their_checks_and_their_curves_their_ends() {
    let capturer = load(SENTIMENT);
    let set = sentiment_set(&capturer);
    let target = Target::Class(2).minus(Target::Class(0));
    let found = explain(&capturer, &set.examples()[0], &target, &ExplainParams::default(), &()).unwrap();
    assert_eq!(found.question, "positive, not negative");
    assert_eq!(found.attributions.len(), 5, "{:?}", found.notes);
    for method in [Method::IntegratedGradients, Method::Relevance] {
        assert!(found.attribution(method).unwrap().gap.unwrap() <= 0.01, "{method:?}");
    }
    let rollout = &found.attribution(Method::Rollout).unwrap().scores;
    assert!((rollout.iter().sum::<f64>() - 1.0).abs() < 1e-4);
    let ordinary = found.tokens.iter().filter(|token| !token.token.special).count();
    for attribution in &found.attributions {
        assert_eq!(attribution.scores.len(), found.tokens.len());
        let removal = attribution.removal.as_ref().unwrap();
        assert_eq!(
            (removal.deletion.len(), removal.insertion.len()),
            (ordinary + 1, ordinary + 1)
        );
        assert!((removal.deletion[0] - found.value).abs() < 1e-3);
        assert!((removal.insertion[ordinary] - found.value).abs() < 1e-3);
        assert!((removal.deletion[ordinary] - removal.insertion[0]).abs() < 1e-3);
    }
    // What the prediction rests on is found sooner than by chance.
    let removal = found
        .attribution(Method::IntegratedGradients)
        .unwrap()
        .removal
        .as_ref()
        .unwrap();
    let [deletion, insertion] = found.random.as_ref().unwrap().areas();
    assert!(removal.deletion_area() < deletion && removal.insertion_area() > insertion);
    assert!((found.agreement(Method::Relevance, Method::Relevance).unwrap() - 1.0).abs() < 1e-9);
    assert_eq!(found.table().rows(), found.tokens.len());

    let rows = attention_rows(&capturer, &set.examples()[0], (Side::Encoder, 0), Side::Encoder).unwrap();
    assert_eq!(rows.rows.len(), 16);
    assert!(
        rows.rows
            .iter()
            .all(|(_, row)| (row.iter().sum::<f32>() - 1.0).abs() < 1e-4)
    );
    assert!((rows.mean().iter().sum::<f32>() - 1.0).abs() < 1e-4);
    assert!(attention_rows(&capturer, &set.examples()[0], (Side::Encoder, 99), Side::Encoder).is_err());
    assert!(attention_rows(&capturer, &set.examples()[0], (Side::Encoder, 0), Side::Decoder).is_err());
}

#[test]
fn rollout_is_that_of_the_paper() {
    let capturer = load(TEXT_DECODER);
    let set = set_of(&capturer, TEXT_DECODER);
    let example = &set.examples()[1];
    let capture = capturer.sequences([example.sequence.clone()]).run().unwrap().capture;
    let wanted = attn_study::attn_analyze::heads::capture_rollout(&capture, Attention::DecoderSelf, 0, &()).unwrap();
    let target = Target::Token { position: 3, token: 7 };
    let params = ExplainParams {
        random: 1,
        ..ExplainParams::default()
    };
    let found = explain(&capturer, example, &target, &params, &()).unwrap();
    let rollout = &found.attribution(Method::Rollout).unwrap().scores;
    for (found, wanted) in rollout.iter().zip(wanted.row(3)) {
        assert!((found - f64::from(*wanted)).abs() < 1e-5, "{found} {wanted}");
    }
}

#[test]
fn encoder_decoders_and_pairs_are_explained() {
    let capturer = load(DATES);
    let set = set_of(&capturer, DATES);
    let example = &set.examples()[0];
    let Labels::Tokens(labels) = &example.labels else {
        panic!()
    };
    let target = Target::Token {
        position: 1,
        token: labels[1].unwrap(),
    };
    let found = explain(&capturer, example, &target, &ExplainParams::default(), &()).unwrap();
    assert_eq!(
        found.tokens.len(),
        example.sequence.encoder.len() + example.sequence.decoder.len()
    );
    let rollout = &found.attribution(Method::Rollout).unwrap().scores;
    assert!((rollout.iter().sum::<f64>() - 1.0).abs() < 1e-4);
    let rows = attention_rows(&capturer, example, (Side::Decoder, 1), Side::Encoder).unwrap();
    assert!(rows.rows.iter().all(|(head, _)| head.attention == Attention::Cross));
    assert!(
        found.attribution(Method::IntegratedGradients).unwrap().gap.unwrap() <= 0.01,
        "{:?}",
        found.notes
    );
}

#[test]
fn changes_between_a_model_and_itself_are_nothing() {
    let epoch = |at: usize| Snapshot::open(SENTIMENT_EPOCHS[at].checkpoint().unwrap()).unwrap();
    let (first, last) = (epoch(0), epoch(3));
    let set = sentiment_set(&last.capturer);
    let same = weight_changes(&last, &last, &()).unwrap();
    assert!(
        same.groups.iter().all(|group| group.relative == 0.0) && same.heads.iter().all(|(_, change)| *change == 0.0)
    );
    let changes = weight_changes(&first, &last, &()).unwrap();
    assert!(changes.notes.is_empty() && changes.heads.iter().all(|(_, change)| *change > 0.0));
    assert!(
        changes
            .groups
            .windows(2)
            .all(|pair| pair[0].relative >= pair[1].relative)
    );
    let weights: usize = changes.groups.iter().map(|group| group.weights).sum();
    assert_eq!(weights as u64, last.checkpoint.describe().parameters);

    let similar = layer_similarity(&last, &last, &set, Side::Encoder, &params(), &()).unwrap();
    assert_eq!(similar.cka.dim(), (5, 5));
    for layer in 0..5 {
        assert!((similar.cka[(layer, layer)] - 1.0).abs() < 1e-6);
    }
    let evaluate = |snapshot: &Snapshot| evaluate(&snapshot.capturer, &set, &BTreeSet::new(), &params(), &()).unwrap();
    let (one, other) = (evaluate(&first), evaluate(&last));
    assert_eq!(flipped(&other, &other), [Vec::<usize>::new(), Vec::new()]);
    let [lost, won] = flipped(&one, &other);
    assert_eq!(won.len() as f64 - lost.len() as f64, 8.0 * (other.metric - one.metric));
    assert!(matches!(
        scale_steps(&last.checkpoint, &set, &[0.5], &params(), &()),
        Err(Error::Models(_))
    ));
}

/// A model in a folder, and an adapter of it in another, whose changes of queries and values are made from a seed.
fn with_adapter(folder: &std::path::Path, seed: f32) -> Checkpoint {
    let base = folder.join("base");
    std::fs::create_dir_all(&base).unwrap();
    for (name, bytes) in [
        ("config.json", SENTIMENT.config),
        ("model.safetensors", SENTIMENT.weights),
        ("tokenizer.json", SENTIMENT.tokenizer.unwrap()),
    ] {
        std::fs::write(base.join(name), bytes).unwrap();
    }
    let adapter = folder.join("adapter");
    std::fs::create_dir_all(&adapter).unwrap();
    let config = r#"{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["query", "value"],
        "base_model_name_or_path": "../base", "bias": "none"}"#;
    std::fs::write(adapter.join("adapter_config.json"), config).unwrap();
    let mut tensors = std::collections::BTreeMap::new();
    for layer in 0..4 {
        for module in ["query", "value"] {
            let name = format!("base_model.model.bert.encoder.layer.{layer}.attention.self.{module}");
            for (part, shape) in [("lora_A", (2, 128)), ("lora_B", (128, 2))] {
                let values = (0..256).map(|at| 0.2 * (seed + (at * 7 + layer) as f32).sin());
                let values = Tensor::from_vec(values.collect::<Vec<f32>>(), shape, &attn_models::candle::Device::Cpu);
                tensors.insert(format!("{name}.{part}.weight"), values.unwrap());
            }
        }
    }
    attn_models::record::write_tensors(adapter.join("adapter_model.safetensors"), &tensors).unwrap();
    Checkpoint::open(adapter).unwrap()
}

#[test]
fn the_curve_of_an_adapter_leads_from_the_model_without_it_to_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let adapted = with_adapter(folder.path(), 0.3);
    let [plain, whole] = [SENTIMENT.checkpoint().unwrap(), adapted.clone()].map(|checkpoint| {
        let capturer = Capturer::load(&checkpoint).unwrap();
        evaluate(&capturer, &sentiment_set(&capturer), &BTreeSet::new(), &params(), &()).unwrap()
    });
    let capturer = Capturer::load(&adapted).unwrap();
    let steps = scale_steps(&adapted, &sentiment_set(&capturer), &TENTHS, &params(), &()).unwrap();
    assert_eq!(steps.iter().map(|step| step.scale).collect::<Vec<_>>(), TENTHS);
    let [first, last] = [steps[0], steps[10]];
    assert!(
        (first.loss - plain.loss).abs() < 1e-6 && first.metric == plain.metric,
        "{first:?}, {plain:?}"
    );
    assert!(
        (last.loss - whole.loss).abs() < 1e-6 && last.metric == whole.metric,
        "{last:?}, {whole:?}"
    );
    assert!((first.loss - last.loss).abs() > 0.01, "{first:?}, {last:?}");
    // What the adapter changed is what the weights say.
    let [before, after] = [SENTIMENT.checkpoint().unwrap(), adapted].map(|found| Snapshot::open(found).unwrap());
    let changes = weight_changes(&before, &after, &()).unwrap();
    for tensor in &changes.tensors {
        let changed = ["query.weight", "value.weight"]
            .iter()
            .any(|module| tensor.name.ends_with(module));
        assert_eq!(tensor.relative > 0.0, changed, "{tensor:?}");
    }
}

#[test]
fn studies_write_their_plots_tables_and_words() {
    let capturer = load(SENTIMENT);
    let checkpoint = SENTIMENT.checkpoint().unwrap();
    let set = sentiment_set(&capturer);
    let heads = HeadStudy::run(&capturer, &set, Some(&set), &params(), &()).unwrap();
    assert_eq!(heads.plots().len(), 8);
    let view = attn_study::attn_render::ViewState::default();
    for (name, plot) in heads.plots() {
        plot.scene(&view, plot.natural_size())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert!(heads.markdown().contains("Rank correlation") && heads.json()["smallest"]["kept"].is_array());
    // The encoder before the training has no classes: what can be compared is, and the rest is said.
    let before = Snapshot::open(TEXT_ENCODER.checkpoint().unwrap()).unwrap();
    let after = Snapshot::open(checkpoint).unwrap();
    let changes = ChangeStudy::run(&before, &after, &set, &params(), &()).unwrap();
    assert!(changes.evaluations.is_none() && !changes.notes.is_empty());
    assert!(changes.layers.is_some() && changes.heads.iter().all(|head| head.attention.is_some()));
    for (name, plot) in changes.plots() {
        plot.scene(&view, plot.natural_size())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert!(changes.markdown().starts_with("## What changed most, from"));
}

#[test]
fn work_is_cancelled_where_it_stands() {
    let capturer = load(SENTIMENT);
    let set = sentiment_set(&capturer);
    let calls = AtomicUsize::new(0);
    let stop = |_: &str, _: usize, _: usize| match calls.fetch_add(1, Ordering::Relaxed) {
        4 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let error = measure(&capturer, &set, Ablate::Zero, &BTreeSet::new(), &params(), &stop).unwrap_err();
    assert!(error.is_cancelled() && calls.load(Ordering::Relaxed) == 5);
}

/// Token types reach the model, in a batch with an example of another length that has none.
#[test]
fn pairs_have_their_types() {
    let config = r#"{"model_type": "bert", "vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 16,
        "architectures": ["BertForSequenceClassification"], "id2label": {"0": "a", "1": "b"}}"#;
    let model = Model::build("tiny", config, &Weights::initialize(3), Gradients::Off).unwrap();
    let capturer = Capturer::new(model);
    let example = |ids: &[u32], types: &[u32]| {
        let token = |&id: &u32| attn_study::attn_core::Token {
            id: Some(id),
            ..Default::default()
        };
        LabeledExample {
            sequence: Sequence::new("pair").with_tokens(Side::Encoder, ids.iter().map(token)),
            types: types.to_vec(),
            labels: Labels::Class(1),
        }
    };
    let pair = example(&[5, 6, 7, 8], &[0, 0, 1, 1]);
    let longer = example(&[9, 10, 11, 12, 13], &[]);
    let set = LabeledSet::from_examples(capturer.model(), vec![pair, longer]).unwrap();
    let found = evaluate(&capturer, &set, &BTreeSet::new(), &PruningParams::default(), &()).unwrap();
    let alone = |ids: Vec<u32>, types: Vec<u32>| {
        let types = Inputs::from_ids(&[types], 0).unwrap().input_ids;
        let inputs = Inputs {
            token_type_ids: types,
            ..Inputs::from_ids(&[ids], 0).unwrap()
        };
        let row = capturer.model().forward(&inputs, &mut ()).unwrap().logits.unwrap();
        let row: Vec<f32> = row.get(0).unwrap().to_vec1().unwrap();
        let sum: f64 = row.iter().map(|&value| f64::from(value).exp()).sum();
        sum.ln() - f64::from(row[1])
    };
    let typed = alone(vec![5, 6, 7, 8], vec![0, 0, 1, 1]);
    assert!((found.examples[0].loss - typed).abs() < 1e-6);
    assert!((found.examples[1].loss - alone(vec![9, 10, 11, 12, 13], vec![0; 5])).abs() < 1e-6);
    assert!((typed - alone(vec![5, 6, 7, 8], vec![0; 4])).abs() > 1e-6);
}

/// The numbers of docs/FINDINGS.md: `cargo test --release -p attn-study --test pruning -- findings --ignored --nocapture`.
#[test]
#[ignore = "takes minutes, and is for reading"]
#[allow(clippy::print_stdout, reason = "it is for reading")]
fn findings() {
    let mut reader = attn_study::attn_analyze::training::LogReader::default();
    let mut file = reader.file("log.jsonl");
    reader
        .push(&mut file, attn_embedded::SENTIMENT_LOG.as_bytes(), &())
        .unwrap();
    let log = reader.into_log();
    let capturer = load(SENTIMENT);
    let set = LabeledSet::of_log(&capturer, &log, LabeledSet::dev_places(&log)).unwrap();
    let [chosen, held_out] = set.halves(0);
    let params = PruningParams {
        greedy_examples: 128,
        ..PruningParams::default()
    };
    let study = HeadStudy::run(&capturer, &chosen, Some(&held_out), &params, &()).unwrap();
    println!("{}", study.markdown());
    for curve in &study.curves {
        let metrics: Vec<String> = curve.steps.iter().map(|step| format!("{:.3}", step.metric)).collect();
        println!("{}: {}", curve.name, metrics.join(" "));
    }
    for removed in [4, 8, 12] {
        println!("random, {removed}: {:?}", study.random.band(removed));
    }
}
