//! Hundreds of rounds of load, capture, project and draw in one process: memory does not grow. `scripts/soak` runs it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]
#![cfg(target_os = "linux")]

use std::fs;

use attn_sdk::{
    Study, embedded,
    models::Capturer,
    project::{AtlasParams, pca::Pca},
    render::{Exporter, ViewState},
};

/// Resident memory of this process, in KiB.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

#[test]
#[ignore = "takes minutes; prints what scripts/soak judges"]
fn rounds() {
    let rounds: usize = std::env::var("ATTN_SOAK_ROUNDS").map_or(300, |rounds| rounds.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let params = AtlasParams {
        method: Pca.into(),
        ..AtlasParams::default()
    };
    let mut exporter = Exporter::default();
    let mut early = 0;
    let mut first = Vec::new();
    for round in 0..rounds {
        let capturer = Capturer::load(&embedded::TEXT_ENCODER.checkpoint().unwrap()).unwrap();
        let capture = capturer.capture_lines(embedded::sentences().take(10)).unwrap();
        let study = Study::project(capture, &params).unwrap();
        let view = ViewState::default();
        let path = folder.path().join("matrix.png");
        exporter.write(&study.matrix(&view).unwrap(), &view, &path).unwrap();
        let picture = fs::read(&path).unwrap();
        if round == 0 {
            first = picture;
        } else {
            assert!(picture == first, "round {round} drew another picture");
        }
        if round == rounds / 3 {
            early = resident();
        }
    }
    println!("\nsoak {early} {}", resident());
}
