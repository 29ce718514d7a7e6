//! Processes that end, disks that fill up and pages that are lost, at every change to the disk. After each, the same
//! capture goes on and ends with the same bytes.
//!
//! A test runs this very program again as a child, which takes the faults that [`crate::disk::fault`] is asked for.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{tests::plan, tests::try_write, *};
use crate::{disk::fault, *};

/// The folder of a child's capture.
const FOLDER: &str = "ATTN_TEST_FOLDER";
/// The fingerprint of a child that waits for its input to end once it has the folder.
const WAIT: &str = "ATTN_TEST_WAIT";

fn options() -> CaptureOptions {
    CaptureOptions {
        hidden: true,
        logits: true,
        ..CaptureOptions::default()
    }
}

/// Captures what is not captured yet; says what is committed.
fn capture(folder: &Path, plan: CapturePlan, said: &dyn Fn(String)) -> Result<Capture> {
    let writer = CaptureWriter::create(folder, plan)?;
    for sequence in 0..3 {
        if !writer.is_done(sequence) {
            // Again once: there may be room on the disk by then.
            try_write(&writer, sequence).or_else(|_| try_write(&writer, sequence))?;
            said(format!("committed {sequence}"));
        }
    }
    writer.finish()
}

/// Not a test of its own: what a child does.
#[test]
fn child() {
    let Ok(folder) = env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    if let Ok(fingerprint) = env::var(WAIT) {
        let plan = CapturePlan {
            fingerprint,
            ..plan(options())
        };
        match CaptureWriter::create(folder, plan) {
            Ok(writer) => {
                println!("\nhas it {}", std::process::id());
                let _ = std::io::stdin().read_to_end(&mut Vec::new());
                (0..3).for_each(|sequence| try_write(&writer, sequence).unwrap());
                writer.finish().unwrap();
            }
            Err(Error::InUse { process, .. }) => println!("\nin use by {}", process.unwrap()),
            Err(error) => println!("\nerror {error}"),
        }
        return;
    }
    // Line by line: what was said before a kill is known.
    let said = |line: String| {
        println!("\n{line}");
        std::io::stdout().flush().unwrap();
    };
    match capture(folder, plan(options()), &said) {
        Ok(_) => println!("\nchanges {}", fault::count()),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::StorageFull => println!("\nfull"),
        Err(error) => println!("\nerror {error}"),
    }
}

fn start(folder: &Path, variable: &str, value: &str) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["capture::crash::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(variable, value)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Runs a child that takes a fault: the lines it wrote, and whether it ended by itself.
fn run(folder: &Path, fault: &str) -> (Vec<String>, bool) {
    let output = start(folder, fault::VARIABLE, fault).wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (text.lines().map(str::to_owned).collect(), output.status.success())
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

/// An undisturbed capture, and the number of changes to the disk that it takes.
fn undisturbed() -> (BTreeMap<String, Vec<u8>>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let (lines, _) = run(folder.path(), "count:0");
    let changes = lines.iter().find_map(|line| line.strip_prefix("changes ")).unwrap();
    (files(folder.path()), changes.parse().unwrap())
}

/// Goes on in a folder; what the child said to be committed must still be there.
fn resume(folder: &Path, lines: &[String]) {
    // Only its lock was left to remove.
    if !folder.join("journal.jsonl").exists() && lines.contains(&"committed 2".to_owned()) {
        Capture::open(folder).unwrap().verify(&()).unwrap();
        return drop(files::FolderLock::take(folder).unwrap());
    }
    let writer = CaptureWriter::create(folder, plan(options())).unwrap();
    for sequence in 0..3 {
        let committed = lines.contains(&format!("committed {sequence}"));
        assert!(writer.is_done(sequence) || !committed, "{sequence}: {lines:?}");
    }
    drop(writer);
    capture(folder, plan(options()), &drop).unwrap().verify(&()).unwrap();
}

#[test]
fn a_kill_at_any_change_loses_nothing() {
    let (expected, changes) = undisturbed();
    assert!(changes > 50 && expected.len() == 7, "{changes}, {:?}", expected.keys());
    for at in 1..=changes {
        for kind in ["kill", "torn"] {
            let folder = tempfile::tempdir().unwrap();
            let (lines, ended) = run(folder.path(), &format!("{kind}:{at}"));
            // After the last change there is nothing left to do.
            assert!(!ended, "{kind} {at}");
            resume(folder.path(), &lines);
            assert!(files(folder.path()) == expected, "{kind} {at}");
        }
    }
}

#[test]
fn an_old_capture_stays_until_the_new_one_is_whole() {
    let (expected, changes) = undisturbed();
    for at in (1..=changes).step_by(3).chain(changes - 20..=changes) {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let old = CapturePlan {
            fingerprint: "old".into(),
            // Files that the new one does not have must not stay behind; and the other way around.
            ..plan(CaptureOptions::default())
        };
        capture(folder, old, &drop).unwrap();
        let empty = [&2_u64.to_le_bytes()[..], b"{}"].concat();
        fs::write(folder.join("encoder-hidden-07.safetensors"), empty).unwrap();
        let (lines, _) = run(folder, &format!("kill:{at}"));
        match Capture::open(folder) {
            Ok(found) => found.verify(&()).unwrap(),
            Err(error) => {
                let journal = fs::read_to_string(folder.join("journal.jsonl")).unwrap();
                let whole = journal.contains("closing")
                    && (0..3).all(|sequence| lines.contains(&format!("committed {sequence}")));
                assert!(whole && matches!(error, Error::NotACapture { .. }), "{at}: {error}");
            }
        }
        resume(folder, &lines);
        assert!(files(folder) == expected, "{at}");
    }
}

#[test]
fn a_full_disk_is_named_and_the_capture_goes_on() {
    let (expected, changes) = undisturbed();
    for at in (1..=changes).step_by(2) {
        let folder = tempfile::tempdir().unwrap();
        let (lines, ended) = run(folder.path(), &format!("full:{at}"));
        let finished = lines.iter().any(|line| line.starts_with("changes"));
        assert!(
            ended && (finished || lines.contains(&"full".to_owned())),
            "{at}: {lines:?}"
        );
        resume(folder.path(), &lines);
        assert!(files(folder.path()) == expected, "{at}");
    }
}

#[test]
fn what_was_written_by_half_hides_nothing_that_follows() {
    let (expected, changes) = undisturbed();
    for at in 1..=changes {
        let folder = tempfile::tempdir().unwrap();
        let (lines, ended) = run(folder.path(), &format!("half:{at}"));
        assert!(
            ended && !lines.iter().any(|line| line.starts_with("error")),
            "{at}: {lines:?}"
        );
        resume(folder.path(), &lines);
        assert!(files(folder.path()) == expected, "{at}");
    }
}

/// A journal with a line that was cut, and lines after it.
#[test]
fn a_line_that_was_cut_does_not_hide_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = super::journal::Journal::create(folder.path(), 7, &[(0, 1)]).unwrap();
    let path = folder.path().join("journal.jsonl");
    let mut cut = fs::OpenOptions::new().append(true).open(&path).unwrap();
    cut.write_all(b"{\"done\":[1,2,3,4,5,6,7,8,9],\"crc32\":[1,2").unwrap();
    journal.done(&[(1, 2)]).unwrap();
    journal.done(&[(2, 3)]).unwrap();
    let found = super::journal::read(folder.path(), 7).unwrap().unwrap();
    assert_eq!(found.done, [(0, 1), (1, 2), (2, 3)]);
}

#[test]
fn a_page_of_zeros_under_a_committed_sequence_is_noticed() {
    let (expected, _) = undisturbed();
    // The first file is whole again after its header was lost; every other page holds values of some sequence.
    for (name, at) in [
        ("decoder-self-00.safetensors", 0.0),
        ("decoder-self-01.safetensors", 0.5),
        ("decoder-hidden-02.safetensors", 0.8),
        ("decoder-logits.safetensors", 0.9),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let writer = CaptureWriter::create(folder, plan(options())).unwrap();
        (0..3).for_each(|sequence| try_write(&writer, sequence).unwrap());
        drop(writer);
        let path = folder.join(format!("{name}.partial"));
        let mut bytes = fs::read(&path).unwrap();
        let start = (bytes.len() as f64 * at) as usize;
        let end = bytes.len().min(start + 40);
        bytes[start..end].fill(0);
        fs::write(&path, bytes).unwrap();
        let writer = CaptureWriter::create(folder, plan(options())).unwrap();
        let lost = (0..3).filter(|&sequence| !writer.is_done(sequence)).count();
        assert!(
            if at == 0.0 { lost == 0 } else { lost == 1 || lost == 2 },
            "{name}: {lost}"
        );
        drop(writer);
        capture(folder, plan(options()), &drop).unwrap();
        assert!(files(folder) == expected, "{name}");
    }
}

#[test]
fn of_two_processes_one_has_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let mut children = ["a", "b"].map(|fingerprint| start(folder.path(), WAIT, fingerprint));
        let lines: Vec<String> = children
            .iter_mut()
            .map(|child| {
                let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
                let mut lines = lines.map(|line| line.unwrap());
                lines
                    .find(|line| line.starts_with("has it") || line.starts_with("in use") || line.starts_with("error"))
                    .unwrap()
            })
            .collect();
        let has = lines.iter().position(|line| line.starts_with("has it")).unwrap();
        let process = lines[has].strip_prefix("has it ").unwrap();
        assert_eq!(lines[1 - has], format!("in use by {process}"), "round {round}");
        for mut child in children {
            drop(child.stdin.take());
            assert!(child.wait().unwrap().success());
        }
        let found = Capture::open(folder.path()).unwrap();
        found.verify(&()).unwrap();
        assert_eq!(found.fingerprint(), ["a", "b"][has]);
        assert!(!folder.path().join("writing.lock").exists());
    }
}

#[test]
fn closing_reports_and_can_be_cancelled() {
    use std::{
        ops::ControlFlow,
        sync::atomic::{AtomicUsize, Ordering},
    };
    let (expected, _) = undisturbed();
    for allowed in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        let writer = CaptureWriter::create(folder.path(), plan(options())).unwrap();
        (0..3).for_each(|sequence| try_write(&writer, sequence).unwrap());
        let reports = AtomicUsize::new(0);
        let progress = |stage: &str, done: usize, total: usize| {
            assert!(stage == "close" && done <= total);
            match reports.fetch_add(1, Ordering::Relaxed) {
                count if count < allowed => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        };
        assert!(writer.finish_with(&progress).unwrap_err().is_cancelled());
        let lines: Vec<String> = (0..3).map(|sequence| format!("committed {sequence}")).collect();
        resume(folder.path(), &lines);
        assert!(files(folder.path()) == expected, "{allowed}");
    }
}
