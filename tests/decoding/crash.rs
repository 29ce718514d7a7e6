//! Builds of an index whose process ends at any step, or whose files cannot grow. After each, the same build goes on and ends with
//! the same bytes.
//!
//! A test runs this very program again as a child.

use std::{
    collections::BTreeMap,
    env, fs,
    ops::ControlFlow,
    path::Path,
    process::{Command, Output},
    sync::atomic::{AtomicUsize, Ordering},
};

use attn_sdk::{Progress, core::files::FolderLock};

use crate::index::{build, quick, some_pairs};

/// The folder of a child's index.
const FOLDER: &str = "ATTN_TEST_INDEX";
/// The step at which a child ends at once, as a killed process does.
const KILL: &str = "ATTN_TEST_INDEX_KILL";
/// A commit in the middle, and one at the end.
const PAIRS: usize = 280;

/// Ends the process at a step.
struct Kill {
    at: usize,
    steps: AtomicUsize,
}

impl Progress for Kill {
    fn update(&self, _: &str, _: usize, _: usize) -> ControlFlow<()> {
        if self.steps.fetch_add(1, Ordering::Relaxed) + 1 == self.at {
            std::process::abort();
        }
        ControlFlow::Continue(())
    }
}

/// Not a test of its own: what a child does.
#[test]
fn child() {
    let Ok(folder) = env::var(FOLDER) else { return };
    let kill = Kill {
        at: env::var(KILL).map_or(0, |at| at.parse().unwrap()),
        steps: AtomicUsize::new(0),
    };
    match build(folder.as_ref(), &some_pairs(PAIRS), &quick(), &kill) {
        Ok(_) => println!("\nsteps {}", kill.steps.into_inner()),
        Err(error) => println!("\nerror {error}"),
    }
}

/// Runs a child whose files may not grow beyond so many blocks of `ulimit`, if there is a limit.
fn run(folder: &Path, kill: usize, blocks: Option<usize>) -> Output {
    // With the signal ignored, a write beyond the limit is an error of the disk.
    let limited = "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"";
    let blocks = blocks.map_or("unlimited".to_owned(), |blocks| blocks.to_string());
    Command::new("sh")
        .args(["-c", limited, &blocks])
        .arg(env::current_exe().unwrap())
        .args(["crash::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(KILL, kill.to_string())
        .output()
        .unwrap()
}

/// What a child said, behind the word.
fn said(output: &Output, word: &str) -> Option<String> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let mut lines = text.lines();
    lines.find_map(|line| Some(line.strip_prefix(word)?.trim().to_owned()))
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect()
}

/// An undisturbed index, and the number of steps that it takes.
fn undisturbed() -> (BTreeMap<String, Vec<u8>>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), 0, None);
    let steps = said(&output, "steps").unwrap().parse().unwrap();
    (files(folder.path()), steps)
}

#[test]
fn a_kill_at_any_step_loses_nothing() {
    let (expected, steps) = undisturbed();
    assert!(
        steps > 30 && expected.contains_key("index.json"),
        "{steps}, {:?}",
        expected.keys()
    );
    // Every tenth or so of all steps, and the last ones, in which files are checked and described.
    let stride = steps.div_ceil(12);
    for at in (1..=steps).step_by(stride).chain(steps - 3..=steps) {
        let folder = tempfile::tempdir().unwrap();
        let output = run(folder.path(), at, None);
        assert!(!output.status.success() && said(&output, "steps").is_none(), "{at}");
        build(folder.path(), &some_pairs(PAIRS), &quick(), &()).unwrap();
        // Where the index was whole, the lock of the process that ended stays until another one writes.
        drop(FolderLock::take(folder.path()).unwrap());
        assert!(files(folder.path()) == expected, "{at} of {steps}");
    }
}

#[test]
fn a_file_that_cannot_grow_is_named_and_the_build_goes_on() {
    let (expected, _) = undisturbed();
    for blocks in [1, 20, 300, 700] {
        let folder = tempfile::tempdir().unwrap();
        let output = run(folder.path(), 0, Some(blocks));
        let error = said(&output, "error").unwrap();
        let named = expected.keys().any(|name| error.contains(name.as_str())) || error.contains("building.json");
        assert!(output.status.success() && named, "{blocks}: {error}");
        build(folder.path(), &some_pairs(PAIRS), &quick(), &()).unwrap();
        assert!(files(folder.path()) == expected, "{blocks}");
    }
}
