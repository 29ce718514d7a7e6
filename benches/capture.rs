//! Capture of queries, keys and values: the embedded text encoder over its 200 sentences, and a BERT-base shaped model over 200
//! sequences of 10 to 26 tokens, in memory and to disk; and the embedded one over ever more sequences, whose time per token should stay as it is.
//!
//! docs/PERFORMANCE.md sets the results beside PyTorch with hooks.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench that cannot run has nothing to report"
)]

use attn_models::{Capturer, Gradients, Model, Weights, text::Line};
use attn_sdk::embedded::{self, sentences};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn benches(c: &mut Criterion) {
    let lines: Vec<Line> = sentences().map(Line::from).collect();
    let checkpoint = embedded::TEXT_ENCODER.checkpoint().unwrap();
    let embedded = Capturer::load(&checkpoint).unwrap();
    let folder = tempfile::tempdir().unwrap();

    let mut group = c.benchmark_group("capture");
    group.sample_size(10);
    group.bench_function("embedded text encoder, 200 sentences, in memory", |b| {
        b.iter(|| embedded.capture_lines(&lines).unwrap());
    });
    group.bench_function("embedded text encoder, 200 sentences, to disk", |b| {
        b.iter(|| embedded.lines(&lines).to_folder(folder.path()).run().unwrap());
    });

    // Random weights cost the same as trained ones.
    let config = r#"{"model_type": "bert", "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12,
        "num_attention_heads": 12, "intermediate_size": 3072, "max_position_embeddings": 512, "architectures": ["BertModel"]}"#;
    let model = Model::build("bert-base shape", config, &Weights::initialize(1), Gradients::Off).unwrap();
    let base = Capturer::new(model).with_tokenizer(checkpoint.tokenizer().unwrap());
    // 8 to 24 words and two special tokens, as the peer's 10 to 26, whatever the vocabulary knows of them.
    let line = |number: usize| Line {
        number,
        text: "the cat sees a dog and"
            .split(' ')
            .cycle()
            .take(8 + number * 7 % 17)
            .collect::<Vec<_>>()
            .join(" "),
    };
    let lines: Vec<Line> = (1..=200).map(line).collect();
    group.bench_function("BERT-base shape, 200 sequences of 10 to 26 tokens, in memory", |b| {
        b.iter(|| base.capture_lines(&lines).unwrap());
    });
    group.bench_function("BERT-base shape, 200 sequences of 10 to 26 tokens, to disk", |b| {
        b.iter(|| base.lines(&lines).to_folder(folder.path()).run().unwrap());
    });

    // 8 to 16 tokens each. 100,000 sequences cost as much per token (docs/PERFORMANCE.md), but minutes.
    for sequences in [100, 1000, 4000] {
        let line = |at: usize| Line {
            number: at + 1,
            text: "the cat ".repeat(3 + at % 5),
        };
        let lines: Vec<Line> = (0..sequences).map(line).collect();
        let tokens: usize = (0..sequences).map(|at| 2 + 2 * (3 + at % 5)).sum();
        group.throughput(Throughput::Elements(tokens as u64));
        group.bench_function(
            BenchmarkId::new("embedded text encoder, to disk, sequences", sequences),
            |b| {
                b.iter(|| embedded.lines(&lines).to_folder(folder.path()).run().unwrap());
            },
        );
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
