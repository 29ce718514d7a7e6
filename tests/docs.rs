//! The programs that `docs/EMBEDDING.md` prints are the files that are compiled.
//!
//! Its other blocks are documentation tests of this package (`src/lib.rs`).

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{fs, path::Path};

/// The crates that a host uses alone.
const CRATES: [&str; 3] = ["attn-render", "attn-project", "attn-models"];

/// The content of a file of this repository.
fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The fenced blocks of a page: the words after the fence, and the content.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, String)> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(info), None) => open = Some((info, String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, content))) => {
                content.push_str(line);
                content.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

#[test]
fn printed_hosts_are_the_example_files() {
    let page = file("docs/EMBEDDING.md");
    let printed = blocks(&page);
    for name in CRATES {
        let path = format!("crates/{name}/examples/alone.rs");
        let program = file(&path);
        let found = printed.iter().any(|(_, content)| *content == program);
        assert!(found, "docs/EMBEDDING.md does not print {path} as it is");
    }
}

#[test]
fn hosts_name_one_crate_of_the_sdk() {
    for name in CRATES {
        let program = file(&format!("crates/{name}/examples/alone.rs"));
        let own = name.replace('-', "_");
        let foreign = |word: &&str| word.starts_with("attn_") && ![own.as_str(), "attn_core"].contains(word);
        let code = program.lines().filter(|line| !line.starts_with("//!"));
        let words: Vec<&str> = code
            .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
            .filter(foreign)
            .collect();
        assert!(words.is_empty(), "{name}: {words:?}");
        let lines = program.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= 50, "{name}: {lines} lines");
    }
}

#[test]
fn only_printed_hosts_are_left_out_of_the_documentation_tests() {
    let page = file("docs/EMBEDDING.md");
    let printed = blocks(&page);
    let rust = printed.iter().filter(|(info, _)| info.starts_with("rust"));
    let (ignored, compiled): (Vec<_>, Vec<_>) = rust.partition(|(info, _)| *info != "rust");
    assert_eq!(ignored.len(), CRATES.len());
    assert!(compiled.len() > 10);
}

/// A page that a library includes is in its package: the documentation tests of a published crate compile too.
#[test]
fn pages_that_are_documentation_tests_are_published() {
    let crates = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("crates")).unwrap();
    let crates = crates.map(|entry| format!("crates/{}/", entry.unwrap().file_name().to_str().unwrap()));
    let mut pages = 0;
    for folder in crates.chain([String::new()]) {
        let (library, manifest) = (
            file(&format!("{folder}src/lib.rs")),
            file(&format!("{folder}Cargo.toml")),
        );
        let published = manifest.lines().find(|line| line.starts_with("include = ")).unwrap();
        for included in library.split("include_str!(\"../").skip(1) {
            let page = included.split('"').next().unwrap();
            assert!(
                published.contains(&format!("\"{page}\"")),
                "{folder}: {page}, {published}"
            );
            pages += 1;
        }
    }
    assert!(pages > 8, "{pages}");
}
