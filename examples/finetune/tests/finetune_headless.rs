//! The program without a window: the files that it writes and their columns, and what it says of what is missing.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::Path,
    process::{Command, Output},
};

use attn_sdk::{
    embedded::SENTIMENT,
    models::{
        candle::{Device, Tensor},
        record::write_tensors,
    },
};
use serde_json::Value;

fn finetune(out: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_finetune"));
    command.args(arguments).arg("--out").arg(out).output().unwrap()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Tables that everything which reads a run may rely on.
const TABLES: [(&str, &str); 4] = [
    (
        "datamap.csv",
        "id,gold,confidence,variability,correctness,forgetting,closeness,aum,el2n,loss",
    ),
    (
        "heads.csv",
        "layer,head,taylor,michel,michel_layer,ablation_zero,ablation_mean",
    ),
    ("pruning.csv", "order,removed,metric"),
    ("flips.csv", "id,from,to,gold,before,after"),
];

/// Plots of what a log says.
const OF_LOG: [&str; 7] = [
    "accuracy",
    "data-map",
    "data-map-gold",
    "data-map-intervals",
    "flips-all",
    "loss",
    "margins",
];

/// Plots of what the checkpoints say.
const OF_CHECKPOINTS: [&str; 18] = [
    "examples-1",
    "examples-4",
    "examples-trust",
    "movement-1",
    "heads-taylor",
    "heads-michel",
    "heads-michel-layer",
    "heads-ablation-zero",
    "heads-ablation-mean",
    "heads-correlation",
    "heads-attention",
    "explanation",
    "explanation-agreement",
    "explanation-deletion",
    "explanation-insertion",
    "change-weights",
    "change-attention",
    "change-layers",
];

fn check_plots(out: &Path, names: &[&str]) {
    for name in names {
        for extension in ["png", "svg", "csv"] {
            let path = out.join(format!("{name}.{extension}"));
            let found = path
                .metadata()
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(found.len() > 20, "{}", path.display());
        }
    }
    // Tables of their own have these names.
    for name in ["flips", "noise", "pruning"].iter().filter(|name| names.contains(name)) {
        assert!(out.join(format!("{name}-plot.csv")).exists(), "{name}");
    }
}

#[test]
fn the_embedded_run_gives_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let output = finetune(out, &["--most", "12", "--seed", "3"]);
    assert!(output.status.success(), "{output:?}");
    for (name, columns) in TABLES {
        assert_eq!(text(&out.join(name)).lines().next(), Some(columns), "{name}");
    }
    check_plots(out, &OF_LOG);
    check_plots(out, &OF_CHECKPOINTS);
    check_plots(out, &["flips", "noise", "pruning"]);
    // An example each; a head each; per order a step from no head removed to all of them.
    assert_eq!(text(&out.join("datamap.csv")).lines().count(), 1 + 1200);
    assert_eq!(text(&out.join("heads.csv")).lines().count(), 1 + 16);
    let pruning = text(&out.join("pruning.csv"));
    for order in ["greedy", "ablation_zero", "michel", "taylor", "random 1", "random 10"] {
        let removed: Vec<&str> = pruning
            .lines()
            .filter_map(|line| line.strip_prefix(order)?.strip_prefix(',')?.split(',').next())
            .collect();
        let wanted: Vec<String> = (0..=16).map(|removed: usize| removed.to_string()).collect();
        assert_eq!(removed, wanted, "{order}");
    }
    let report = text(&out.join("report.md"));
    for words in [
        "## Heads",
        "Rank correlation of scores",
        "## One example",
        "## What changed most",
        // What was sampled is said, with the seed.
        "12 of 240 examples, chosen with seed 3",
        "12 of 1200 examples, chosen with seed 3",
    ] {
        assert!(report.contains(words), "{words}: {report}");
    }
    let numbers: Value = serde_json::from_str(&text(&out.join("report.json"))).unwrap();
    assert_eq!(numbers["heads"]["examples"], 6);
    assert!(numbers["heads"]["smallest"]["kept"].is_array() && numbers["changes"]["parts"].is_array());
}

/// A run of two adapters of one model: `base`, `checkpoint-10`, `checkpoint-20`, and a log of both.
fn write_adapters(run: &Path) {
    let base = run.join("base");
    let write = |folder: &Path, name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    };
    write(&base, "config.json", SENTIMENT.config);
    write(&base, "model.safetensors", SENTIMENT.weights);
    write(&base, "tokenizer.json", SENTIMENT.tokenizer.unwrap());
    let mut log = String::from("{\"kind\":\"run\",\"labels\":[\"negative\",\"neutral\",\"positive\"]}\n");
    let texts = [
        "Rosa loves the beautiful garden.",
        "A horse eats that carrot.",
        "Those cats were lazy.",
        "Leo hates it.",
    ];
    for (id, (text, gold)) in texts.iter().zip([2, 1, 0, 0]).enumerate() {
        let line =
            serde_json::json!({"kind": "example", "id": id.to_string(), "text": text, "gold": gold, "split": "dev"});
        writeln!(log, "{line}").unwrap();
    }
    for step in [10, 20] {
        let folder = run.join(format!("checkpoint-{step}"));
        let config = br#"{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["query"],
            "base_model_name_or_path": "../base", "bias": "none"}"#;
        write(&folder, "adapter_config.json", config);
        let mut tensors = BTreeMap::new();
        for layer in 0..4 {
            let name = format!("base_model.model.bert.encoder.layer.{layer}.attention.self.query");
            for (part, shape) in [("lora_A", (2, 128)), ("lora_B", (128, 2))] {
                let values: Vec<f32> = (0..256)
                    .map(|at| 0.01 * step as f32 * ((at * 7 + layer) as f32).sin())
                    .collect();
                let values = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
                tensors.insert(format!("{name}.{part}.weight"), values);
            }
        }
        write_tensors(folder.join("adapter_model.safetensors"), &tensors).unwrap();
        for id in 0..4 {
            let line = serde_json::json!({"kind": "prediction", "id": id.to_string(), "step": step,
                "probabilities": [0.2, 0.3, 0.5]});
            writeln!(log, "{line}").unwrap();
        }
    }
    write(run, "log.jsonl", log.as_bytes());
}

#[test]
fn a_run_of_adapters_is_measured_and_any_two_models_compared() {
    let folder = tempfile::tempdir().unwrap();
    let (run, out) = (folder.path().join("run"), folder.path().join("out"));
    write_adapters(&run);
    let output = finetune(&out, &["--run", run.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    check_plots(&out, &["adapter-scale", "change-weights", "heads-taylor"]);
    let read = |out: &Path| serde_json::from_str::<Value>(&text(&out.join("report.json"))).unwrap();
    let report = read(&out);
    let scales: Vec<f64> = (report["adapter"].as_array().unwrap().iter())
        .map(|step| step["scale"].as_f64().unwrap())
        .collect();
    assert_eq!(scales, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]);
    let names = |report: &Value| ["before", "after"].map(|side| report["changes"][side].as_str().unwrap().to_owned());
    assert_eq!(names(&report), ["step 10", "step 20"]);
    // One of the run by its name, and a model that is none of it.
    let base = run.join("base");
    let arguments = [
        "--run",
        run.to_str().unwrap(),
        "--before",
        base.to_str().unwrap(),
        "--after",
        "step 10",
    ];
    let output = finetune(&out, &arguments);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(names(&read(&out)), ["base", "step 10"]);
    let output = finetune(&out, &["--run", run.to_str().unwrap(), "--before", "step 11"]);
    assert!(output.status.success(), "{output:?}");
    let report = text(&out.join("report.md"));
    assert!(
        report.contains("the checkpoints of the run are: step 10, step 20"),
        "{report}"
    );
}

#[test]
fn a_log_alone_gives_its_part_and_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (log, out) = (folder.path().join("log.jsonl"), folder.path().join("out"));
    let mut lines = String::from("{\"kind\":\"run\",\"labels\":[\"no\",\"yes\"]}\n");
    // The probability of the right class, `yes`, over three epochs.
    for (id, probabilities) in [("a", [0.2, 0.6, 0.9]), ("b", [0.9, 0.3, 0.4]), ("c", [0.7, 0.8, 0.9])] {
        for (epoch, p) in (1..).zip(probabilities) {
            let line = serde_json::json!({
                "kind": "prediction", "id": id, "epoch": epoch, "gold": 1, "probabilities": [1.0 - p, p],
            });
            writeln!(lines, "{line}").unwrap();
        }
    }
    lines.push_str("{\"kind\":\"prediction\",\"epoch\":3,\"gold\":1,\"probabilities\":[0.5,0.5]}\n{\"kind\":\"pred\n");
    std::fs::write(&log, lines).unwrap();
    let output = finetune(&out, &["--log", log.to_str().unwrap(), "--dark"]);
    assert!(output.status.success(), "{output:?}");
    let flips = text(&out.join("flips.csv"));
    let mut flips: Vec<&str> = flips.lines().skip(1).collect();
    flips.sort_unstable();
    assert_eq!(flips, ["a,epoch 1,epoch 3,yes,no,yes", "b,epoch 1,epoch 3,yes,yes,no"]);
    let map = text(&out.join("datamap.csv"));
    // By hand: the mean, the share of right answers, and how often a right answer was lost.
    for (id, confidence, correctness, forgetting) in
        [("a", 1.7 / 3.0, 2.0 / 3.0, 0.0), ("b", 1.6 / 3.0, 1.0 / 3.0, 1.0)]
    {
        let row = map.lines().find(|line| line.split(',').next() == Some(id)).unwrap();
        let row: Vec<&str> = row.split(',').collect();
        for (place, wanted) in [(2, confidence), (4, correctness), (5, forgetting)] {
            let found: f64 = row[place].parse().unwrap();
            assert!(
                (found - wanted).abs() < 1e-4,
                "{id}, column {place}: {found}, not {wanted}"
            );
        }
    }
    check_plots(&out, &["data-map", "flips-all", "accuracy"]);
    assert!(out.join("flips.png").exists() && !out.join("heads.csv").exists());
    let report = text(&out.join("report.md"));
    // A line without an id, and one that was cut: each by its place.
    for words in [
        "no heads: the run has no checkpoint",
        "log.jsonl, line 11: expected an `id`",
        "log.jsonl, line 12: expected a whole JSON object",
    ] {
        assert!(report.contains(words), "{words}: {report}");
    }
}

#[test]
fn what_cannot_be_read_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let missing = folder.path().join("nothing");
    let output = finetune(&out, &["--run", missing.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("nothing"), "{said}");
    let output = finetune(&out, &["--most", "0"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("--most"), "{said}");
}
