//! Runs cases of a target; see the library.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a command-line program"
)]

use std::{
    io::Write as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use fuzz::{TARGETS, Target, case, find};

const USAGE: &str = "usage: fuzz one TARGET NUMBER | run TARGET SECONDS [FIRST [CASES]] | write TARGET NUMBER FILE \
    | read TARGET FILE | corpus TARGET FOLDER | list";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<(), Box<dyn std::error::Error>> {
    let target = |name: &str| find(name).ok_or_else(|| format!("expected one of {}, found `{name}`", names()));
    match arguments {
        ["list"] => println!("{}", names()),
        ["one", name, number] => (target(name)?.run)(&case(target(name)?, number.parse()?)),
        ["write", name, number, file] => std::fs::write(file, case(target(name)?, number.parse()?))?,
        ["read", name, file] => (target(name)?.run)(&std::fs::read(file)?),
        ["corpus", name, folder] => {
            std::fs::create_dir_all(folder)?;
            for (at, bytes) in target(name)?.corpus().enumerate() {
                std::fs::write(format!("{folder}/{at}"), bytes)?;
            }
        }
        ["run", name, seconds, rest @ ..] => {
            let number = |at: usize, default: u64| rest.get(at).map_or(Ok(default), |text| text.parse());
            many(target(name)?, seconds.parse()?, number(0, 0)?, number(1, u64::MAX)?)?;
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

fn names() -> String {
    TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ")
}

/// Runs cases until the time is over. Each says its number before it begins: what does not end can be named.
fn many(target: &Target, seconds: f64, first: u64, cases: u64) -> Result<(), Box<dyn std::error::Error>> {
    // Whole inputs make what is made once, so that it does not count as the memory of a case.
    target.corpus().for_each(|whole| (target.run)(&whole));
    let end = Instant::now() + Duration::try_from_secs_f64(seconds)?;
    let mut out = std::io::stdout().lock();
    let mut before = peak_memory();
    let mut done = 0;
    while done < cases && Instant::now() < end {
        let number = first.saturating_add(done);
        writeln!(out, "case {number}")?;
        out.flush()?;
        let started = Instant::now();
        (target.run)(&case(target, number));
        if started.elapsed() > SLOW {
            return Err(format!("case {number} took {:.1} s", started.elapsed().as_secs_f64()).into());
        }
        let after = peak_memory();
        if after > before + MOST_MEMORY {
            return Err(format!("case {number} took {} MB of memory", (after - before) >> 20).into());
        }
        before = before.max(after);
        done += 1;
    }
    writeln!(out, "{done} cases, up to {} MB", peak_memory() >> 20)?;
    Ok(())
}

/// A case that takes longer is a fault: inputs are small.
const SLOW: Duration = Duration::from_secs(20);
/// A case that takes more bytes is a fault.
const MOST_MEMORY: u64 = 1 << 30;

/// The most memory that this process has had mapped so far; 0 where the system does not tell (Linux does).
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmPeak:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
