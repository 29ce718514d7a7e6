//! The program without a window: the files that it writes, what it says, and how it ends.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// Few sentences and no search for a layout: seconds.
const FEW: [&str; 6] = [
    "--embedded",
    "text-encoder",
    "--projection",
    "pca",
    "--max-points",
    "80",
];

fn atlas(folder: &Path, arguments: &[&str]) -> Output {
    let text = folder.join("text.txt");
    fs::write(
        &text,
        "the cat sat on the mat\nshe saw him in the park\nwe like green tea\n",
    )
    .unwrap();
    Command::new(env!("CARGO_BIN_EXE_atlas"))
        .args(FEW)
        .arg("--text")
        .arg(text)
        .args(arguments)
        .arg("--out")
        .arg(folder.join("out"))
        // As on a server.
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .unwrap()
}

/// The lines of errors that a program wrote.
fn errors(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines()
        .filter(|line| line.contains("error"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_run_writes_its_files_and_says_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let output = atlas(folder.path(), &["--svg", "--csv"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(errors(&output), Vec::<String>::new());
    let out = folder.path().join("out");
    for name in [
        "matrix.png",
        "matrix.svg",
        "matrix.csv",
        "overview.png",
        "summary.md",
        "atlas.json",
    ] {
        let size = fs::metadata(out.join(name)).map_or(0, |found| found.len());
        assert!(size > 100, "{name}: {size} bytes");
    }
    let report: serde_json::Value = serde_json::from_slice(&fs::read(out.join("atlas.json")).unwrap()).unwrap();
    assert!(report.is_object());
}

#[test]
fn what_is_not_there_is_one_line_and_a_status() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, named) in [
        (["--head", "9:9"], "9:9"),
        (["--sequence", "9999"], "9999"),
        (["--only", "upos=NOUN"], "upos"),
    ] {
        let output = atlas(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        let said = errors(&output);
        assert!(said.len() == 1 && said[0].contains(named), "{arguments:?}: {said:?}");
    }
}
