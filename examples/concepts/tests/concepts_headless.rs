//! The program without a window: the files that it writes, studies that open again, and what is refused before any work.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

/// A little of the embedded text, two layers, no map: seconds.
const FEW: [&str; 7] = [
    "--max-sentences",
    "60",
    "--min-count",
    "2",
    "--layers",
    "0,4",
    "--no-map",
];

fn concepts(out: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_concepts"));
    command.args(arguments).arg("--out").arg(out).output().unwrap()
}

/// A run that succeeds.
fn run(out: &Path, arguments: &[&str]) -> Value {
    let output = concepts(out, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&std::fs::read(out.join("concepts.json")).unwrap()).unwrap()
}

/// What a run says that is refused, before anything is written.
fn refused(out: &Path, arguments: &[&str]) -> String {
    let output = concepts(out, arguments);
    assert!(!output.status.success(), "{arguments:?}");
    assert!(!out.join("concepts.json").exists(), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// An embedded model as a folder.
fn model(name: &str) -> String {
    let models = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../crates/attn-embedded/models");
    models.join(name).to_str().unwrap().to_owned()
}

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    FEW.iter().copied().chain(more.iter().copied()).collect()
}

#[test]
fn two_models_give_every_file_and_open_again_with_names() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let study = run(&out, &FEW);
    let models = study["models"].as_array().unwrap();
    assert_eq!(models.len(), 2);
    for file in [
        "report.md",
        "curves.png",
        "curves-after.png",
        "layers.png",
        "layers-one-word.png",
        "sweep-4.png",
    ] {
        assert!(out.join(file).metadata().unwrap().len() > 100, "{file}");
    }
    let report = text(&out.join("report.md"));
    for part in [
        "| layer | labels | clusters of several words |",
        ": several words | one word |",
        "Clusters of one word:",
        "## Numbers of clusters",
        "completeness gap at most",
    ] {
        assert!(report.contains(part), "{part}");
    }
    // Both kinds of clusters, counted apart, are all that are judged.
    let pair = &study["comparisons"][0]["layers"][0];
    let kinds = |kind: &str| pair["survive"][kind]["clusters"].as_u64().unwrap();
    let (several, one_word) = (kinds("several"), kinds("one_word"));
    assert!(
        several + one_word > 0
            && several + one_word <= models[0]["layers"][0]["clusters"].as_array().unwrap().len() as u64
    );

    let (file, again) = (out.join("concepts.json"), folder.path().join("again"));
    let (file, names) = (file.to_str().unwrap(), folder.path().join("names.txt"));
    std::fs::write(&names, "0\tanimals\n").unwrap();
    let names = names.to_str().unwrap();
    // The name goes to the model that is named, and stays when the trees are cut at another threshold.
    let after = format!("2:4={names}");
    let open = ["--open", file, "--threshold", "0.8", "--names", after.as_str()];
    let opened = run(&again, &[&open[..], &["--sentence", "i love this film"]].concat());
    let name = |model: usize| {
        opened["models"][model]["layers"][1]["clusters"][0]["name"]["text"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(name(1), "animals");
    assert_ne!(name(0), "animals");
    let sentence = text(&again.join("sentence.md"));
    assert!(
        sentence.contains("| love |") && sentence.contains("## Attribution of a prediction"),
        "{sentence}"
    );
    // Any setting of the judgment alone judges anew; the others, and the number of clusters, stay as they were saved.
    let (last, one) = (folder.path().join("last"), folder.path().join("one"));
    let few = run(&last, &["--open", again.to_str().unwrap(), "--clusters", "20"]);
    let judged = run(&one, &["--open", last.to_str().unwrap(), "--min-words", "1"]);
    let clusters = |study: &Value| study["models"][0]["layers"][1]["clusters"].as_array().unwrap().len();
    assert_eq!((clusters(&few), clusters(&judged)), (20, 20));
    let align = |study: &Value| study["models"][0]["align"].clone();
    assert_eq!(
        (&align(&few)["min_words"], &align(&judged)["min_words"]),
        (&2.into(), &1.into())
    );
    assert_eq!(
        (&align(&few)["threshold"], &align(&judged)["threshold"]),
        (&0.8.into(), &0.8.into())
    );
    let row = |study: &Value| study["models"][0]["layers"][1]["rows"][0]["judged"].as_u64().unwrap();
    assert!(
        row(&few) < 20 && row(&judged) == 20,
        "{} of 20, then {}",
        row(&few),
        row(&judged)
    );

    let none = folder.path().join("none");
    for (arguments, said) in [
        (
            ["--names", &*format!("4={names}")],
            "expected the number of a model, 1 (",
        ),
        (["--names", &*format!("3:4={names}")], "found 3"),
        (
            ["--names", &*format!("1:9={names}")],
            "expected one of the layers 0, 4, found 9",
        ),
        (["--names", &*format!("1:4={names}.gone")], "names.txt.gone"),
        (["--names", "4"], "expected [MODEL:]LAYER=FILE"),
        (["--sentence", "  "], "--sentence: expected a text with a word"),
    ] {
        let found = refused(&none, &[&["--open", file][..], &arguments[..]].concat());
        assert!(found.contains(said), "{arguments:?}: {found}");
    }
}

#[test]
fn what_cannot_be_done_is_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none");
    let gone = folder.path().join("gone.txt");
    let gone = format!("1:4={}", gone.display());
    for (arguments, said) in [
        (vec!["--explain", "9999"], "--explain: expected a sentence from 1 to "),
        (vec!["--explain", "0"], "found 0"),
        (vec!["--sentence", ""], "--sentence: expected a text with a word"),
        (
            vec!["--layers", "77"],
            "--layers: expected one of the layers 0, 1, 2, 3, 4, found 77",
        ),
        (vec!["--names", gone.as_str()], "gone.txt"),
        (
            vec!["--method", "gaussian", "--clusters", "101"],
            "--clusters: expected at most 100",
        ),
        (vec!["--model", "nowhere-at-all"], "nowhere-at-all"),
        (vec!["--word-list", "nowhere.tsv"], "nowhere.tsv"),
        (vec!["--between", "so:"], "--pair"),
    ] {
        let found = refused(&none, &arguments);
        assert!(found.contains(said), "{arguments:?}: {found}");
    }
}

#[test]
fn a_capture_is_opened_for_its_own_model_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (store, own) = (folder.path().join("store"), model("sentiment"));
    let first = folder.path().join("first");
    run(&first, &with(&["--model", &own, "--store", store.to_str().unwrap()]));
    let capture = store.join("0");
    let capture = capture.to_str().unwrap();
    // What is there is opened, with or without the model, to the same clusters.
    let clusters = |out: &Path| {
        let mut files: Vec<PathBuf> = std::fs::read_dir(out)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.retain(|file| file.file_name().unwrap().to_string_lossy().starts_with("clusters-"));
        files.sort();
        files.iter().map(|file| text(file)).collect::<Vec<_>>()
    };
    assert_eq!(clusters(&first).len(), 2);
    for (at, more) in [
        vec!["--capture", capture],
        vec!["--capture", capture, "--model", own.as_str()],
    ]
    .into_iter()
    .enumerate()
    {
        let out = folder.path().join(at.to_string());
        run(&out, &with(&more));
        assert_eq!(clusters(&out), clusters(&first));
    }
    let none = folder.path().join("none");
    let other = model("text-encoder");
    let found = refused(&none, &with(&["--capture", capture, "--model", &other]));
    assert!(
        found.contains("expected a capture of the model text-encoder"),
        "{found}"
    );
    let found = refused(&none, &with(&["--capture", capture, "--sentence", "i love this film"]));
    assert!(found.contains("--sentence: needs the models"), "{found}");
}

#[test]
fn sentence_pairs_are_read_as_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("pairs.tsv");
    let mut rows = String::from("sentence1\tsentence2\tgold_label\n");
    for (first, second, label) in [
        ("i love this film .", "the film was good .", "entailment"),
        ("the story was dull .", "i love this story .", "contradiction"),
        ("this actor was good .", "the actor was there .", "neutral"),
    ] {
        for _ in 0..4 {
            rows += &format!("{first}\t{second}\t{label}\n");
        }
    }
    std::fs::write(&table, rows).unwrap();
    let own = model("sentiment");
    let pairs = [
        "--model",
        own.as_str(),
        "--tags",
        table.to_str().unwrap(),
        "--text-column",
        "sentence1",
        "--pair",
        "sentence2",
        "--classes",
        "gold_label",
        "--min-count",
        "2",
        "--layers",
        "4",
        "--no-map",
    ];
    let out = folder.path().join("out");
    let study = run(&out, &pairs);
    let sentence = &study["texts"][0]["sentences"][0];
    assert_eq!(sentence["text"], "i love this film .\tthe film was good .");
    assert_eq!(sentence["second"], 19);
    let report = text(&out.join("report.md"));
    assert!(report.contains("12 of 12 sentences are pairs of texts"), "{report}");
    assert!(report.contains("## Polar clusters: gold_label"), "{report}");
    let joined = folder.path().join("joined");
    let study = run(&joined, &[&pairs[..], &["--between", "so"]].concat());
    assert_eq!(
        study["texts"][0]["sentences"][0]["text"],
        "i love this film . so the film was good ."
    );
    assert!(!text(&joined.join("report.md")).contains("pairs of texts"));
}

#[test]
fn every_method_clusters() {
    let folder = tempfile::tempdir().unwrap();
    let own = model("sentiment");
    for (method, name) in [
        ("k-means", "k-means"),
        ("ward-k-means", "k-means"),
        ("leaders-ward", "leaders + Ward"),
        ("optics", "OPTICS"),
        ("dbscan", "DBSCAN"),
        ("gaussian", "Gaussian mixture"),
    ] {
        let out = folder.path().join(method);
        let study = run(&out, &with(&["--model", &own, "--method", method]));
        let model = &study["models"][0];
        assert_eq!(model["method"], name);
        assert!(
            !model["layers"][1]["clusters"].as_array().unwrap().is_empty(),
            "{method}"
        );
        let partly = text(&out.join("report.md")).contains("of its words on average; partly in it:");
        assert_eq!(partly, method == "gaussian", "{method}");
    }
    let out = folder.path().join("methods");
    let study = run(
        &out,
        &with(&["--model", &own, "--methods", "--min-words", "3", "--neurons"]),
    );
    let methods = study["models"][0]["layers"][1]["methods"].as_object().unwrap();
    let mut names: Vec<&str> = methods.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["DBSCAN", "k-means", "k-means in mini-batches", "leaders + Ward"]
    );
    let report = text(&out.join("report.md"));
    assert!(report.contains("## Agreement with Ward"), "{report}");
    assert!(report.contains("share of clusters of at least 3 words"), "{report}");
    assert!(!report.contains("| clusters of several words"), "{report}");
    assert!(report.contains("## Neurons"), "{report}");
}
