//! The program without a window: the files that it writes, their schema, and what it says of bad input.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test")]

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

fn seq2seq(out: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seq2seq"));
    command.args(arguments).arg("--out").arg(out).output().unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// What everything that reads a run may rely on.
fn check_schema(run: &Value) {
    assert!(run["source"]["tokens"].as_array().unwrap().iter().all(Value::is_string));
    for found in run["hypotheses"].as_array().unwrap() {
        assert!(found["text"].is_string() && found["score"].is_number());
        let tokens = found["tokens"].as_array().unwrap();
        let steps = found["steps"].as_array().unwrap();
        assert_eq!(tokens.len(), steps.len());
        for (token, step) in tokens.iter().zip(steps) {
            assert_eq!(token, &step["token"]);
            assert!(step["log_probability"].as_f64().unwrap() <= 1e-6);
            let share = step["source_share"].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&share));
            let top = step["top"].as_array().unwrap();
            assert!(
                top.iter()
                    .all(|other| other["token"].is_string() && other["log_probability"].is_number())
            );
        }
    }
    for (at, entry) in run["beam"].as_array().unwrap().iter().enumerate() {
        assert!(entry["parent"].is_null() || (entry["parent"].as_u64().unwrap() as usize) < at);
        assert!(entry["token"].is_string() && entry["total"].is_number());
        assert!(["kept", "finished", "pruned"].contains(&entry["fate"].as_str().unwrap()));
    }
    for head in run["alignment_heads"].as_array().unwrap() {
        assert!(head["layer"].is_u64() && head["head"].is_u64());
        assert!(head["score"].is_number() && head["chance"].is_number());
    }
}

#[test]
fn one_source_gives_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let arguments = ["--source", "May 21, 2000", "--beams", "4", "--top-k", "3", "--svg"];
    let output = seq2seq(out, &arguments);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("2000-05-21"));
    let run = json(&out.join("run.json"));
    check_schema(&run);
    assert_eq!(run["hypotheses"].as_array().unwrap().len(), 4);
    assert_eq!(run["hypotheses"][0]["steps"][0]["top"].as_array().unwrap().len(), 3);
    for name in [
        "attention",
        "attention-table",
        "heads",
        "alignment-heads",
        "predictions",
        "probabilities",
        "coverage",
        "beam",
        "states",
        "states-by-position",
        "pictograms",
    ] {
        for extension in ["png", "csv", "svg"] {
            let path = out.join(format!("{name}.{extension}"));
            assert!(path.metadata().unwrap().len() > 100, "{}", path.display());
        }
    }
    // A saved run opens again without its model, to the same plots.
    let again = folder.path().join("again");
    let output = seq2seq(&again, &["--open", out.join("run.json").to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    for name in ["attention.csv", "beam.csv", "states.csv", "predictions.png"] {
        let (first, second) = (std::fs::read(out.join(name)), std::fs::read(again.join(name)));
        assert_eq!(first.unwrap(), second.unwrap(), "{name}");
    }
    assert!(
        std::fs::read_to_string(out.join("report.md"))
            .unwrap()
            .contains("2000-05-21")
    );
}

#[test]
fn a_bad_line_does_not_stop_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let sources = folder.path().join("sources.txt");
    let long = "1".repeat(200);
    // Good, empty, too long, good with a column beside, another script, a word that is unknown.
    let lines = format!("May 21, 2000\n\n{long}\n21.05.2000\t2000-05-21\nمايو\nMay 日 2000\n");
    std::fs::write(&sources, lines).unwrap();
    let out = folder.path().join("out");
    // A run of another time.
    std::fs::create_dir_all(out.join("line-0003")).unwrap();
    std::fs::write(out.join("line-0003").join("run.json"), "{}").unwrap();
    let output = seq2seq(&out, &["--sources", sources.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("2 failures"), "{said}");
    assert!(!out.join("line-0003").join("run.json").exists());
    let report = std::fs::read_to_string(out.join("report.md")).unwrap();
    assert!(
        report.contains("## What failed") && report.contains("- line 3: "),
        "{report}"
    );
    let all = json(&out.join("run.json"));
    let runs = all["runs"].as_array().unwrap();
    let good: Vec<bool> = runs.iter().map(|run| run["error"].is_null()).collect();
    assert_eq!(good, [true, false, false, true, true, true]);
    assert_eq!(
        runs[1]["error"].as_str(),
        Some("source: expected at least one token, found none")
    );
    // What the vocabulary lacks is no error, and is named.
    for (at, word) in [(4, "`مايو`"), (5, "`日`")] {
        let note = runs[at]["notes"][0].as_str().unwrap();
        assert!(note.contains(word), "{note}");
        assert!(report.contains(&format!("> {note}")), "{report}");
        assert!(said.contains(&format!("line {}: {note}", at + 1)), "{said}");
    }
    // Every entry is a run as its own file has it.
    check_schema(&runs[0]);
    assert_eq!(
        (&runs[2]["line"], runs[2]["source"]["text"].as_str()),
        (&3.into(), Some(&*long))
    );
    assert!(
        runs[2]["error"].as_str().unwrap().contains("expected at most"),
        "{}",
        runs[2]["error"]
    );
    assert!(out.join("line-0004").join("attention.png").exists());
}

#[test]
fn a_planted_fault_is_blamed() {
    let folder = tempfile::tempdir().unwrap();
    let fault = folder.path().join("fault.json");
    // All states of the source are those of another date.
    std::fs::write(
        &fault,
        r#"{"donors": ["July 14, 2011"], "edits": [{"edit": "patch", "donor": 0,
            "site": {"attention": "encoder_self", "layer": 2, "point": "hidden"}}]}"#,
    )
    .unwrap();
    let out = folder.path().join("out");
    let arguments = [
        "--explain",
        "June 21, 2000",
        "--expected",
        "2000-06-21",
        "--fault",
        fault.to_str().unwrap(),
    ];
    let output = seq2seq(&out, &arguments);
    assert!(output.status.success(), "{output:?}");
    let blame = &json(&out.join("run.json"))["blame"];
    assert_eq!(blame["kind"], "model", "{blame}");
    assert_eq!(blame["stage"], "encoder", "{blame}");
    assert!(blame["recovered"].as_f64().unwrap() > blame["control"].as_f64().unwrap());
    assert!(out.join("blame.png").exists());
}

#[test]
fn a_blame_that_fails_leaves_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let output = seq2seq(out, &["--explain", "May 21, 2000", "--expected", ""]);
    assert!(!output.status.success(), "{output:?}");
    check_schema(&json(&out.join("run.json")));
    assert!(out.join("attention.png").exists());
    let report = std::fs::read_to_string(out.join("report.md")).unwrap();
    assert!(report.contains("- line 1: --explain, --expected: "), "{report}");
    // A source that fails leaves no run of another time.
    let output = seq2seq(out, &["--source", &"1".repeat(200)]);
    assert!(!output.status.success(), "{output:?}");
    let run = json(&out.join("run.json"));
    assert!(run["runs"][0]["error"].is_string(), "{run}");
}

#[test]
fn given_alignments_are_of_given_targets() {
    let folder = tempfile::tempdir().unwrap();
    let (sources, links) = (folder.path().join("sources.tsv"), folder.path().join("links.txt"));
    // Targets that the model would not write.
    std::fs::write(&sources, "May 21, 2000\t2000-03-21\n14.02.1998\t1998-02-15\n").unwrap();
    std::fs::write(&links, "0-0 1p0\n0-0\n").unwrap();
    let out = folder.path().join("out");
    let (file, given) = (sources.to_str().unwrap(), links.to_str().unwrap());
    let explained = ["--explain", "June 3, 2001", "--expected", "2001-06-03"];
    let output = seq2seq(
        &out,
        &[&["--sources", file, "--alignments", given], &explained[..]].concat(),
    );
    assert!(output.status.success(), "{output:?}");
    let all = json(&out.join("run.json"));
    let text = |at: usize| all["runs"][at]["hypotheses"][0]["text"].as_str().unwrap().to_owned();
    // The line that is explained has no given target: the model writes its own, which is wrong.
    assert_eq!([text(0), text(1), text(2)], ["2000-03-21", "1998-02-15", "2001-06-30"]);
    assert!(all["alignment_error_rate"]["error_rate"].is_number());
    let written = std::fs::read_to_string(out.join("alignment.txt")).unwrap();
    assert_eq!(written.lines().count(), 2);
}

#[test]
fn saved_runs_open_or_name_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    assert!(seq2seq(&out, &["--source", "May 21, 2000"]).status.success());
    let run = json(&out.join("run.json"));
    let saved = folder.path().join("saved.json");
    let open = |value: &Value| {
        std::fs::write(&saved, value.to_string()).unwrap();
        seq2seq(&folder.path().join("again"), &["--open", saved.to_str().unwrap()])
    };
    let (mut first, mut made) = (run.clone(), run.clone());
    first["line"] = 2.into();
    (made["line"], made["parent"], made["label"]) = (3.into(), 1.into(), "what was done".into());
    let all = serde_json::json!({"runs": [{"line": 1, "error": "none"}, first, made]});
    let output = open(&all);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).matches("2000-05-21").count(), 2);
    assert!(
        folder
            .path()
            .join("again")
            .join("line-0002")
            .join("attention.png")
            .exists()
    );
    let mut bad = run;
    bad["source"]["ids"] = "x".into();
    for (file, field) in [
        (bad.clone(), "field `source.ids`"),
        (
            serde_json::json!({"runs": [{"error": "none"}, bad]}),
            "field `runs[1].source.ids`",
        ),
    ] {
        let output = open(&file);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(field) && said.contains("line 1"), "{said}");
    }
}

/// Runs the program as it is, without an output folder.
fn plain(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_seq2seq"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn an_index_gives_neighbors_and_a_map_that_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (pairs, index, out) = (
        folder.path().join("pairs.tsv"),
        folder.path().join("index"),
        folder.path().join("out"),
    );
    let years = (1990..2020).map(|year| format!("May {}, {year}\t{year}-05-{:02}", year % 28 + 1, year % 28 + 1));
    let lines: Vec<String> = years
        .chain(["no target".into(), format!("{}\t1", "1".repeat(200)), "\t".into()])
        .collect();
    std::fs::write(&pairs, lines.join("\n")).unwrap();
    let (file, at) = (pairs.to_str().unwrap(), index.to_str().unwrap());
    let made = plain(&["index", "--pairs", file, "--out", at]);
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(
        made.status.success() && said.contains("30 pairs") && said.contains("recall@20"),
        "{made:?}"
    );
    assert!(
        said.contains("line 31: expected SOURCE TAB TARGET") && said.contains("line 32: source: expected at most"),
        "{said}"
    );
    assert!(
        said.contains("line 33: expected SOURCE TAB TARGET, found an empty source and an empty target"),
        "{said}"
    );

    let output = seq2seq(&out, &["--source", "May 21, 2000", "--index", at]);
    assert!(output.status.success(), "{output:?}");
    let run = json(&out.join("run.json"));
    check_schema(&run);
    let near = &run["neighborhood"];
    assert!(
        near["states"].as_array().unwrap().len() > 30 && near["map"].is_array(),
        "{near}"
    );
    let csv = std::fs::read_to_string(out.join("neighbors.csv")).unwrap();
    assert!(
        csv.starts_with("state,token,text,compared,agreeing,rank,distance,line,source,target"),
        "{csv}"
    );
    assert!(
        std::fs::read_to_string(out.join("report.md"))
            .unwrap()
            .contains("### Neighbors")
    );
    let map = std::fs::read_to_string(out.join("states.csv")).unwrap();
    // The number that is asked for is the number that is compared and listed.
    let few = folder.path().join("few");
    let arguments = ["--source", "May 21, 2000", "--index", at, "--neighbors", "6"];
    assert!(seq2seq(&few, &arguments).status.success());
    for own in json(&few.join("run.json"))["neighborhood"]["states"]
        .as_array()
        .unwrap()
    {
        let listed = own["neighbors"].as_array().unwrap().iter();
        assert_eq!(own["compared"], 6, "{own}");
        assert_eq!(listed.filter(|found| found["own"] == false).count(), 6, "{own}");
    }
    assert!(
        std::fs::read_to_string(few.join("report.md"))
            .unwrap()
            .contains(" of 6 |")
    );
    assert!(
        !seq2seq(&few, &["--source", "x", "--index", at, "--neighbors", "0"])
            .status
            .success()
    );

    // A saved run needs neither model nor index.
    let again = folder.path().join("again");
    assert!(
        seq2seq(&again, &["--open", out.join("run.json").to_str().unwrap()])
            .status
            .success()
    );
    assert_eq!(std::fs::read_to_string(again.join("states.csv")).unwrap(), map);

    // Another model is refused by name, a changed file too.
    let config = std::fs::read_to_string(index.join("index.json")).unwrap();
    let name = json(&index.join("index.json"))["fingerprint"]["model"]
        .as_str()
        .unwrap()
        .to_owned();
    std::fs::write(index.join("index.json"), config.replace(&name, "other")).unwrap();
    let refused = seq2seq(&again, &["--source", "May 21, 2000", "--index", at]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("made with the model of") && said.contains("(other)"),
        "{said}"
    );
    std::fs::write(index.join("index.json"), config).unwrap();
    let states = index.join("decoder.f16");
    let bytes = std::fs::read(&states).unwrap();
    std::fs::write(&states, &bytes[..bytes.len() - 1]).unwrap();
    let refused = seq2seq(&again, &["--source", "May 21, 2000", "--index", at]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("decoder.f16") && said.contains("bytes"),
        "{said}"
    );
}

#[test]
fn an_error_of_the_model_finds_a_clean_run_of_another_length() {
    let folder = tempfile::tempdir().unwrap();
    let output = seq2seq(
        folder.path(),
        &["--explain", "June 3, 2001", "--expected", "2001-06-03"],
    );
    assert!(output.status.success(), "{output:?}");
    let blame = &json(&folder.path().join("run.json"))["blame"];
    assert_eq!(blame["kind"], "model", "{blame}");
    assert!(
        blame["note"].as_str().unwrap().contains("Clean run: the source"),
        "{blame}"
    );
    assert_ne!(blame["stage"], "undetermined", "{blame}");
}

#[test]
fn what_cannot_be_done_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let bad = folder.path().join("bad.json");
    std::fs::write(&bad, "[{\"edit\": \"nothing\"}]").unwrap();
    let cases: [(&[&str], &str); 9] = [
        (&["--open", bad.to_str().unwrap()], "expected a saved run"),
        (
            &["--source", "x", "--target-language", "__de__"],
            "marks texts with no language",
        ),
        (
            &["--source", "x", "--target-language", ">>fra<<"],
            "write `>>fra<< ` before the source",
        ),
        (
            &["--source", "x", "--fault", bad.to_str().unwrap()],
            "expected interventions: field `[0]`: unknown variant `nothing`",
        ),
        (&["--sources", "/nonexistent"], "nonexistent"),
        (&["--source", "x", "--beams", "0"], "at least 1"),
        (
            &["--source", ""],
            "line 1: source: expected at least one token, found none",
        ),
        (
            &["--source", "May 21, 2000", "--prefix", "日本"],
            "--prefix: target: expected words that the model can write, found `日本`",
        ),
        (&["--source", "x", "--beams", "9999999999999"], "of memory"),
    ];
    for (arguments, words) in cases {
        let output = seq2seq(&out, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(
            !output.status.success() && said.contains(words),
            "{arguments:?}: {said}"
        );
    }
}

/// Before a model is opened, and before hours of decoding.
#[test]
fn an_output_folder_that_cannot_be_made_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = seq2seq(&file.join("out"), &["--model", "/nonexistent", "--source", "x"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("file/out"), "{said}");
    assert!(!said.contains("nonexistent"), "{said}");
}

#[test]
fn a_text_is_ranked_and_words_that_are_unknown_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let output = seq2seq(out, &["--source", "日本 21, 2000", "--rank", "3"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("unknown to the model: `日本`"),
        "{said}"
    );
    let run = json(&out.join("run.json"));
    assert!(run["notes"][0].as_str().unwrap().contains("2 of"));
    let ranks = std::fs::read_to_string(out.join("ranks.csv")).unwrap();
    let steps = run["hypotheses"][0]["steps"].as_array().unwrap();
    assert_eq!(ranks.lines().count(), 1 + steps.len());
    // The rank of what was written is the rank that its step has.
    let third = steps.iter().position(|step| step["token"] == "3");
    if let Some(at) = third {
        let row = ranks.lines().nth(1 + at).unwrap();
        assert_eq!(row.split(',').nth(1).unwrap(), steps[at]["rank"].to_string());
    }
    // What a vocabulary lacks has no rank; the run is there all the same.
    let output = seq2seq(out, &["--source", "May 21, 2000", "--rank", "日"]);
    assert!(!output.status.success() && out.join("attention.png").exists());
    let report = std::fs::read_to_string(out.join("report.md")).unwrap();
    assert!(report.contains("line 1: --rank: target: expected words that the model can write"));
}

#[test]
fn a_pair_without_a_target_does_not_stop_the_alignment_of_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let (pairs, links) = (folder.path().join("pairs.tsv"), folder.path().join("links.txt"));
    std::fs::write(&pairs, "May 21, 2000\t2000-05-21\nno target\nMay 22, 2000\t日本\n").unwrap();
    std::fs::write(&links, "0-0 1-0\n0-0\n0-0\n").unwrap();
    let files = [
        "--sources",
        pairs.to_str().unwrap(),
        "--alignments",
        links.to_str().unwrap(),
    ];
    let out = folder.path().join("out");
    let output = seq2seq(&out, &files);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success());
    assert!(
        said.contains("line 2: expected SOURCE TAB TARGET for --alignments, found no TAB"),
        "{said}"
    );
    assert!(
        said.contains("line 3: target: expected words that the model can write, found `日本`"),
        "{said}"
    );
    assert!(json(&out.join("run.json"))["alignment_error_rate"]["error_rate"].is_number());
    // A line of the links that is none is named with its file.
    std::fs::write(&links, "0-0\nx-y\n0-0\n").unwrap();
    let output = seq2seq(&out, &files);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("links.txt, line 2: expected links like"), "{said}");
}

#[test]
fn languages_are_options() {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    for (family, from, into) in [
        ("m2m100-spm", "en", "__de__"),
        ("mbart50", "en_XX", "fr_XX"),
        ("nllb", "eng_Latn", "fra_Latn"),
    ] {
        let (out, model) = (folder.path().join(family), fixtures.join(family));
        let model = model.to_str().unwrap();
        let languages = ["--source-language", from, "--target-language", into];
        let source = ["--model", model, "--source", "Hello, world!", "--max-new-tokens", "6"];
        let output = seq2seq(&out, &[&source[..], &languages].concat());
        assert!(output.status.success(), "{output:?}");
        let run = json(&out.join("run.json"));
        check_schema(&run);
        let found = &run["hypotheses"][0];
        assert_eq!(
            (&found["tokens"][0], &found["classes"][0]),
            (&into.into(), &"language".into()),
            "{family}"
        );
        assert!(
            run["source"]["classes"]
                .as_array()
                .unwrap()
                .contains(&"language".into()),
            "{family}"
        );
    }
}

#[test]
fn weights_of_attention_are_multiplied_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let tables = [&[][..], &["--value-norms"], &["--output-norms"]].map(|weighting| {
        let out = folder.path().join(weighting.concat());
        let output = seq2seq(&out, &[&["--source", "May 21, 2000"], weighting].concat());
        assert!(output.status.success(), "{output:?}");
        std::fs::read_to_string(out.join("attention.csv")).unwrap()
    });
    assert!(tables[0] != tables[1] && tables[1] != tables[2] && tables[0] != tables[2]);
    let out = folder.path().join("both");
    assert!(!seq2seq(&out, &["--value-norms", "--output-norms"]).status.success());
}
