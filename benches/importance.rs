//! Importance of all heads: gradients over 1,000 examples of the embedded fine-tuned encoder and of a model of MiniLM's shape, and
//! the measured ablation of every head, reusing what lies below it, beside a whole pass per head.
//!
//! docs/PERFORMANCE.md sets the results beside PyTorch eager, which computes the same gradients with a mask per head.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench that cannot run has nothing to report"
)]

use std::{collections::BTreeSet, fs};

use attn_models::{
    Capturer, Checkpoint, Gradients, Inputs, Model, Weights,
    attribute::{Examples, Labels, Target, head_gradients, taylor_importance},
    candle::DType,
};
use attn_sdk::{
    embedded::{self, sentences},
    study::pruning::{Ablate, LabeledSet, PruningParams, evaluate, measure},
};
use criterion::{Criterion, criterion_group, criterion_main};

const EXAMPLES: usize = 1000;

/// Batches of 40 sequences of 10 to 26 tokens, a class each.
fn batches(vocabulary: u32, classes: u32) -> Vec<Examples> {
    let row = |at: usize| -> Vec<u32> {
        let length = 10 + at * 7 % 17;
        (0..length)
            .map(|token| 5 + (at * 31 + token * 17) as u32 % (vocabulary - 5))
            .collect()
    };
    let rows: Vec<Vec<u32>> = (0..EXAMPLES).map(row).collect();
    let batch = |(number, rows): (usize, &[Vec<u32>])| Examples {
        inputs: Inputs::from_ids(rows, 0).unwrap(),
        targets: (0..rows.len())
            .map(|at| Target::Loss {
                labels: Labels::Class((number + at) as u32 % classes),
            })
            .collect(),
    };
    rows.chunks(40).enumerate().map(batch).collect()
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("importance");
    group.sample_size(10);

    let config = r#"{"model_type": "bert", "vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6,
        "num_attention_heads": 12, "intermediate_size": 1536, "max_position_embeddings": 512,
        "architectures": ["BertForSequenceClassification"], "id2label": {"0": "a", "1": "b"}}"#;
    // Written and opened as a checkpoint is: its weights are constants.
    let folder = tempfile::tempdir().unwrap();
    let weights = Weights::initialize(1);
    Model::build("MiniLM shape", config, &weights, Gradients::Off).unwrap();
    weights
        .save(folder.path().join("model.safetensors"), DType::F32)
        .unwrap();
    fs::write(folder.path().join("config.json"), config).unwrap();
    let model = Model::load(&Checkpoint::open(folder.path()).unwrap()).unwrap();
    let examples = batches(30522, 2);
    group.bench_function("MiniLM shape, 1,000 examples, Taylor expansion", |b| {
        b.iter(|| taylor_importance(&model, &examples, &()).unwrap());
    });
    group.bench_function("MiniLM shape, 1,000 examples, head-mask gradients", |b| {
        b.iter(|| head_gradients(&model, &examples, &()).unwrap());
    });
    drop((model, weights));

    let checkpoint = embedded::SENTIMENT.checkpoint().unwrap();
    let capturer = Capturer::load(&checkpoint).unwrap();
    let label = |at: usize| Some((at % 3).to_string());
    let all: Vec<&str> = sentences().collect();
    let texts = all
        .iter()
        .copied()
        .cycle()
        .take(EXAMPLES)
        .enumerate()
        .map(|(at, text)| (text, label(at)));
    let set = LabeledSet::texts(&capturer, texts).unwrap();
    let params = PruningParams::default();
    let none = BTreeSet::new();
    group.bench_function("sentiment, 1,000 examples, every head ablated from its layer on", |b| {
        b.iter(|| measure(&capturer, &set, Ablate::Zero, &none, &params, &()).unwrap());
    });
    let heads: Vec<_> = capturer.model().info().heads().collect();
    group.bench_function(
        "sentiment, 1,000 examples, every head ablated, a whole pass each",
        |b| {
            b.iter(|| {
                for head in &heads {
                    evaluate(&capturer, &set, &BTreeSet::from([*head]), &params, &()).unwrap();
                }
            });
        },
    );
    group.finish();
}

criterion_group!(importance, benches);
criterion_main!(importance);
