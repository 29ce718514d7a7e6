//! Cases of all targets: `ATTN_FUZZ_SECONDS` of them together, or a fixed number, from the case `ATTN_FUZZ_FIRST` (0) on.
//! The same cases on each run, so that a change is not refused for what was there before; `scripts/soak` looks for new ones.
//! Each target runs in a process of its own, so that what aborts, hangs or takes all memory can be named.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests fail the test")]

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use fuzz::{TARGETS, Target, case};

/// Cases per target without `ATTN_FUZZ_SECONDS`.
const CASES: u64 = 60;
/// A process that is silent so long hangs. Its own limit per case is lower.
const SILENT: Duration = Duration::from_secs(120);

#[test]
fn damaged_files_are_errors() {
    let seconds: Option<f64> = std::env::var("ATTN_FUZZ_SECONDS")
        .ok()
        .map(|text| text.parse().unwrap());
    let faults: Vec<String> = TARGETS.iter().filter_map(|target| run(target, seconds).err()).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Runs a target; the last case and what it said, if it did not end well.
fn run(target: &Target, seconds: Option<f64>) -> Result<(), String> {
    let name = target.name;
    let time = seconds.map_or(1e6, |all| all / TARGETS.len() as f64).to_string();
    let first = std::env::var("ATTN_FUZZ_FIRST").unwrap_or_else(|_| "0".to_owned());
    let cases = seconds.map_or(CASES, |_| u64::MAX).to_string();
    let mut process = Command::new(env!("CARGO_BIN_EXE_fuzz"))
        .args(["run", name, &time, &first, &cases])
        .env("RAYON_NUM_THREADS", "2")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (out, mut errors) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
    let (say, hear) = channel();
    let reader = thread::spawn(move || {
        BufReader::new(out)
            .lines()
            .map_while(Result::ok)
            .for_each(|line| drop(say.send(line)))
    });
    let said = thread::spawn(move || {
        let mut text = Vec::new();
        errors.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut last = "before its first case".to_owned();
    let hangs = loop {
        match hear.recv_timeout(SILENT) {
            Ok(line) => last = line,
            Err(RecvTimeoutError::Disconnected) => break false,
            Err(RecvTimeoutError::Timeout) => break true,
        }
    };
    if hangs {
        process.kill().unwrap();
    }
    let ended = process.wait().unwrap();
    reader.join().unwrap();
    let said = said.join().unwrap();
    println!("{name}: {last}");
    if ended.success() {
        return Ok(());
    }
    let how = if hangs {
        "does not end".to_owned()
    } else {
        ended.to_string()
    };
    let again = last.strip_prefix("case ").map_or_else(String::new, |number| {
        format!(": again with `cargo run -p fuzz -- one {name} {number}`")
    });
    Err(format!("{name}, {last}: {how}{again}\n{said}"))
}

#[test]
fn a_number_is_an_input() {
    for target in &TARGETS {
        assert!(target.corpus().count() > 0, "{} has no whole inputs", target.name);
        let cases: Vec<Vec<u8>> = (0..20).map(|number| case(target, number)).collect();
        assert_eq!(cases, (0..20).map(|number| case(target, number)).collect::<Vec<_>>());
        let mut different = cases.clone();
        different.sort();
        different.dedup();
        assert!(
            different.len() > 10,
            "{}: {} different inputs of 20",
            target.name,
            different.len()
        );
    }
}
