//! Files of a capture: its description, its tensors, its journal, and the projections kept beside it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use attn_core::{Capture, CaptureWriter};
use attn_project::{
    AtlasParams,
    atlas::{AtlasCache, AtlasOptions},
    pca::Pca,
};
use attn_study::Study;
use safetensors::SafeTensors;

use super::views;
use crate::{
    fixtures::{self, files},
    mutate::{Form, Seed},
};

/// Files by name.
pub(super) type Files = Vec<(String, Vec<u8>)>;

fn form(name: &str) -> Form {
    match Path::new(name).extension().and_then(|ending| ending.to_str()) {
        Some("json") => Form::Json,
        Some("safetensors") => Form::Safetensors,
        _ => Form::Text,
    }
}

/// A seed per file; the choice is its place.
pub(super) fn seeds(files: &Files, of: impl Fn(&str) -> bool) -> Vec<Seed> {
    let files = files.iter().enumerate().filter(|(_, (name, _))| of(name));
    let seed = |(choice, (name, bytes)): (usize, &(String, Vec<u8>))| Seed {
        choice: choice as u8,
        form: form(name),
        bytes: bytes.clone(),
    };
    files.map(seed).collect()
}

/// The files, the one that the choice means with other bytes.
pub(super) fn replaced(files: &Files, choice: u8, bytes: &[u8]) -> Files {
    let mut files = files.clone();
    let at = usize::from(choice) % files.len();
    files[at].1 = bytes.to_vec();
    files
}

/// A folder that is gone with the value, with these files.
pub(super) fn folder(files: &Files) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn finished() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let writer = CaptureWriter::create(folder.path(), fixtures::plan()).unwrap();
        (0..2).for_each(|sequence| fixtures::write(&writer, sequence).unwrap());
        writer.finish().unwrap();
        files(folder.path())
    })
}

fn params() -> AtlasParams {
    AtlasParams {
        method: Pca.into(),
        ..AtlasParams::default()
    }
}

/// A finished capture with one file replaced: opened, computed with, projected and drawn.
pub(super) fn capture(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let folder = folder(&replaced(finished(), *choice, bytes));
    let Ok(capture) = Capture::open(folder.path()) else {
        return;
    };
    let _ = capture.verify(&());
    let heads: Vec<_> = capture.model().heads().take(8).collect();
    for &head in &heads {
        for sequence in 0..capture.sequences().len().min(3) {
            let _ = capture.attention(head, sequence);
        }
        let _ = (capture.queries(head), capture.keys(head), capture.values(head));
    }
    if let Ok(study) = Study::project(capture, &params()) {
        views::look_at(&study, &heads, &attn_render::ViewState::default());
    }
}

pub(super) fn captures() -> Vec<Seed> {
    let mut all = seeds(finished(), |_| true);
    // The description is what most of the rest is checked against.
    let description: Vec<Seed> = all.iter().filter(|seed| seed.form == Form::Json).cloned().collect();
    all.extend(std::iter::repeat_n(description, 3).flatten());
    all
}

fn interrupted() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let writer = CaptureWriter::create(folder.path(), fixtures::plan()).unwrap();
        fixtures::write(&writer, 0).unwrap();
        drop(writer);
        files(folder.path())
    })
}

/// An interrupted capture with its journal, or another file, replaced: resumed, finished, opened.
pub(super) fn journal(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let folder = folder(&replaced(interrupted(), *choice, bytes));
    let Ok(writer) = CaptureWriter::create(folder.path(), fixtures::plan()) else {
        return;
    };
    for sequence in 0..2 {
        if !writer.is_done(sequence) && fixtures::write(&writer, sequence).is_err() {
            return;
        }
    }
    if let Ok(capture) = writer.finish() {
        assert_eq!(capture.sequences(), fixtures::plan().sequences);
    }
}

pub(super) fn journals() -> Vec<Seed> {
    seeds(interrupted(), |name| !name.ends_with(".partial"))
}

/// A finished capture with the heads that are kept beside it, by the names of their files.
fn kept() -> &'static (Files, Files) {
    static KEPT: OnceLock<(Files, Files)> = OnceLock::new();
    KEPT.get_or_init(|| {
        let folder = folder(finished());
        let capture = Capture::open(folder.path()).unwrap();
        let cache = AtlasCache::beside(&capture).unwrap().unwrap();
        project(capture, &cache).unwrap();
        let heads = files(cache.folder());
        // With any other checksum every case would be refused before it is read.
        assert!(!heads.is_empty() && heads.iter().all(|(_, whole)| sealed(whole) == *whole));
        (finished().clone(), heads)
    })
}

/// Writes all files of the finished capture as they were.
fn restore(folder: &Path) {
    for (name, bytes) in finished() {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

fn project(capture: Capture, cache: &AtlasCache) -> Result<Study, attn_study::Error> {
    let options = AtlasOptions {
        cache: Some(cache),
        ..AtlasOptions::default()
    };
    Study::project_with(capture, &params(), options, &())
}

/// A projection kept beside a capture, with a checksum that is right: read, reported and drawn.
pub(super) fn cache(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let (_, heads) = kept();
    let scratch = tempfile::tempdir().unwrap();
    restore(scratch.path());
    let capture = Capture::open(scratch.path()).unwrap();
    let beside: PathBuf = AtlasCache::beside(&capture).unwrap().unwrap().folder().to_owned();
    let replaced = usize::from(*choice) % heads.len();
    for (at, (name, whole)) in heads.iter().enumerate() {
        let sealed = sealed(bytes);
        let bytes = if at == replaced { &sealed } else { whole };
        fs::write(beside.join(name), bytes).unwrap();
    }
    let cache = AtlasCache::open(&beside).unwrap();
    if let Ok(study) = project(capture, &cache) {
        study.report();
        let heads: Vec<_> = study.capture().model().heads().collect();
        views::look_at(&study, &heads, &attn_render::ViewState::default());
    }
}

pub(super) fn caches() -> Vec<Seed> {
    seeds(&kept().1, |_| true)
}

/// The file with the checksum that fits the rest of it, if it is one: FNV-1a of the header, of 0xff, and of the tensors.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let place = || {
        let (length, metadata) = SafeTensors::read_metadata(bytes).ok()?;
        let text = metadata.metadata().as_ref()?.values().next()?.clone();
        let file = SafeTensors::deserialize(bytes).ok()?;
        let mut sum: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        let mut add = |bytes: &[u8]| {
            for &byte in bytes {
                sum = (sum ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
            }
        };
        add(text.as_bytes());
        add(&[0xff]);
        for name in ["points", "quality", "sampled", "plane"] {
            add(file.tensor(name).ok()?.data());
        }
        let (start, end) = metadata.info("checksum")?.data_offsets;
        (end - start == 32).then(|| (8 + length + start, format!("{sum:032x}")))
    };
    let mut sealed = bytes.to_vec();
    if let Some((start, sum)) = place() {
        sealed[start..start + 32].copy_from_slice(sum.as_bytes());
    }
    sealed
}
