//! Building an index: one teacher-forced pass over a few pairs at a time, committed often, so that a killed build goes on.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use attn_core::{
    Progress,
    files::{FolderLock, kind},
    progress::step,
};
use attn_models::Site;
use attn_project::neighbors::HalfRows;
use serde::{Deserialize, Serialize};

use super::{
    FORMAT, Fingerprint, IndexDescription, IndexParams, Pair, Pairs, StateIndex, StateKind,
    files::{Files, digest_of},
    map,
    neighborhood::Record,
};
use crate::{
    Error,
    decoding::{Decoder, DecodingParams},
};

/// Pairs of one pass, and pairs between two commits.
const TOGETHER: usize = 16;
const COMMIT: usize = 256;
/// Pairs left out that are named.
const NAMED: usize = 100;

/// How far a build has come: `building.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Journal {
    format: u32,
    content: String,
    fingerprint: Option<Fingerprint>,
    /// Pairs that were looked at, and those that are in.
    looked_at: usize,
    pairs: usize,
    /// States of the encoder, and of each kind of the decoder.
    states: [u64; 2],
    /// Width of each kind, once a state was seen.
    columns: BTreeMap<StateKind, usize>,
    /// Committed bytes of each file, by name.
    bytes: BTreeMap<String, u64>,
    skipped: Vec<String>,
    skipped_count: usize,
}

/// The open files of a build.
struct Writers(Vec<(String, BufWriter<File>)>);

impl Writers {
    /// Opens files and cuts what was not committed.
    fn open(paths: &[PathBuf], journal: &Journal) -> Result<Self, Error> {
        let open = |path: &PathBuf| -> Result<(String, BufWriter<File>), Error> {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let io = |error| attn_core::Error::io(path, error);
            // What is written under the name of a link would go elsewhere.
            if let Some(found) = fs::symlink_metadata(path).ok().filter(|found| !found.is_file()) {
                return Err(Files::bad(path, "a regular file", kind(&found)));
            }
            let file = OpenOptions::new().create(true).append(true).open(path).map_err(io)?;
            let (size, committed) = (
                file.metadata().map_err(io)?.len(),
                journal.bytes.get(&name).copied().unwrap_or(0),
            );
            if size < committed {
                return Err(Files::bad(
                    path,
                    format!("at least {committed} bytes"),
                    format!("{size} bytes"),
                ));
            }
            file.set_len(committed).map_err(io)?;
            Ok((name, BufWriter::new(file)))
        };
        paths.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    fn write(&mut self, folder: &Path, at: usize, bytes: &[u8]) -> Result<(), Error> {
        let (name, file) = &mut self.0[at];
        Ok(file
            .write_all(bytes)
            .map_err(|error| attn_core::Error::io(folder.join(name), error))?)
    }

    /// Brings everything to the disk; gives the size of each file.
    fn commit(&mut self, folder: &Path) -> Result<BTreeMap<String, u64>, Error> {
        let size = |(name, file): &mut (String, BufWriter<File>)| {
            let io = |error| attn_core::Error::io(folder.join(&*name), error);
            file.flush().map_err(io)?;
            file.get_ref().sync_data().map_err(io)?;
            Ok((name.clone(), file.get_ref().metadata().map_err(io)?.len()))
        };
        self.0
            .iter_mut()
            .map(size)
            .collect::<Result<_, attn_core::Error>>()
            .map_err(Into::into)
    }
}

impl StateIndex {
    /// Runs every pair through the model, keeps the states in a folder, and opens it. A build that was killed or cancelled goes on
    /// where it was, given the same model, pairs and settings; a folder that holds their index already is opened.
    ///
    /// `params` are the settings of decodings: language, start and end of targets. A pair that the model cannot read is left out
    /// and named in the [description](Self::description); so are the errors of [`Pairs`]. Faults of the decoder are left out.
    ///
    /// # Errors
    /// Those of [`IndexParams::check`], before anything is written; [`Error::NoSource`] without a pair that can be read;
    /// [`Error::OtherIndex`] for a folder with another index; [`attn_core::Error::InUse`] for one that another process writes;
    /// [`Error::BadIndex`] for damaged files; those of model, files and projection; a cancellation.
    ///
    /// ```
    /// use attn_study::decoding::{Decoder, Fingerprint, IndexParams, NeighborhoodParams, Pair, Pairs, StateIndex, StateKind};
    ///
    /// let checkpoint = attn_embedded::DATES.checkpoint()?;
    /// let decoder = Decoder::load(&checkpoint)?;
    /// let pair = |(at, line): (usize, &str)| {
    ///     let (source, target) = line.split_once('\t')?;
    ///     Some(Pair { line: at + 1, source: source.into(), target: target.into() })
    /// };
    /// let pairs = Pairs { pairs: attn_embedded::dates().take(40).enumerate().filter_map(pair).collect(), errors: vec![] };
    /// let folder = tempfile::tempdir()?;
    /// let (params, fingerprint) = (decoder.params(), Fingerprint::of(&checkpoint)?);
    /// let index =
    ///     StateIndex::build(&decoder, &params, &fingerprint, &pairs, &IndexParams::default(), folder.path(), &())?;
    /// assert_eq!(index.description().pairs, 40);
    ///
    /// let run = decoder.decode("May 21, 2000", &params, &())?;
    /// let near = index.neighborhood(&run, 0, &NeighborhoodParams::default(), &())?;
    /// assert_eq!(near.states.len(), run.source.len() + 2 * run.hypotheses[0].row.len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn build(
        decoder: &Decoder,
        params: &DecodingParams,
        fingerprint: &Fingerprint,
        pairs: &Pairs,
        index: &IndexParams,
        folder: impl AsRef<Path>,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        index.check()?;
        let (decoder, folder) = (decoder.healthy(), folder.as_ref());
        let files = Files::new(folder);
        let content = content(params, pairs, index);
        if files.index().exists() {
            let found = files.description()?;
            if found.content != content || found.fingerprint != *fingerprint {
                return Err(other(folder, "of other pairs, another model or other settings"));
            }
            return Self::open(folder, progress);
        }
        fs::create_dir_all(folder).map_err(|error| attn_core::Error::io(folder, error))?;
        let _lock = FolderLock::take(folder)?;
        // Another process may have ended its build between the first look and the lock.
        if files.index().exists() {
            let found = files.description()?;
            if found.content != content || found.fingerprint != *fingerprint {
                return Err(other(folder, "of other pairs, another model or other settings"));
            }
            return Self::open(folder, progress);
        }
        let sites = decoder.state_sites();
        let kinds: Vec<StateKind> = sites.iter().map(|(kind, _)| *kind).collect();
        let mut journal = start(&files, content, fingerprint, pairs)?;
        let mut paths = vec![files.texts(), files.table()];
        paths.extend(kinds.iter().map(|kind| files.states(*kind)));
        if !files.journal().exists() {
            // Files of these names that no build wrote are not ours to cut.
            if let Some(path) = paths.iter().find(|path| fs::symlink_metadata(path).is_ok()) {
                let found = "a file that no build of an index wrote";
                return Err(Files::bad(path, "a folder without files of these names", found));
            }
            Files::write_json(&files.journal(), &journal)?;
        }
        let mut writers = Writers::open(&paths, &journal)?;
        let total = pairs.pairs.len();
        while journal.looked_at < total {
            let end = total.min(journal.looked_at + COMMIT);
            for first in (journal.looked_at..end).step_by(TOGETHER) {
                // What came since the last commit is cut when the build goes on.
                step(progress, "states", first, total)?;
                let batch = &pairs.pairs[first..end.min(first + TOGETHER)];
                add(&decoder, params, batch, &sites, folder, &mut writers, &mut journal)?;
            }
            journal.looked_at = end;
            journal.bytes = writers.commit(folder)?;
            Files::write_json(&files.journal(), &journal)?;
        }
        drop(writers);
        if journal.pairs == 0 {
            for path in &paths {
                let _ = fs::remove_file(path);
            }
            let _ = fs::remove_file(files.journal());
            return Err(Error::NoSource {
                expected: "a pair that the model can read",
            });
        }
        let mut described = Vec::new();
        let mut all = Vec::new();
        for kind in kinds {
            let path = files.states(kind);
            let columns = journal.columns.get(&kind).copied().unwrap_or(0);
            let rows = HalfRows::new(attn_core::files::Bytes::open(&path)?, columns)?;
            described.push(files.make_search(kind, &rows, index, progress)?);
            all.push((kind, rows));
        }
        let map_states = map::fit(&files, &all, index, progress)?;
        let records = files.records(&described, index.search, map_states > 0, progress)?;
        let description = IndexDescription {
            format: FORMAT,
            fingerprint: fingerprint.clone(),
            encoder_decoder: decoder.translates(),
            pairs: journal.pairs,
            skipped: journal.skipped,
            skipped_count: journal.skipped_count,
            content: journal.content,
            kinds: described,
            params: index.clone(),
            map_states,
            files: records,
        };
        Files::write_json(&files.index(), &description)?;
        let _ = fs::remove_file(files.journal());
        Self::open(folder, progress)
    }
}

fn other(folder: &Path, found: &str) -> Error {
    Error::OtherIndex {
        folder: folder.to_owned(),
        found: found.to_owned(),
    }
}

/// A digest of all that decides what an index holds.
fn content(params: &DecodingParams, pairs: &Pairs, index: &IndexParams) -> String {
    let generation = &params.generation;
    let settings = (
        params.source_language,
        generation.decoder_start,
        generation.forced_first,
        generation.end.first(),
    );
    let mut parts = vec![
        format!("{settings:?}"),
        serde_json::to_string(index).unwrap_or_default(),
    ];
    for pair in &pairs.pairs {
        parts.extend([pair.line.to_string(), pair.source.clone(), pair.target.clone()]);
    }
    digest_of(&parts)
}

/// The journal of a build that was stopped, or a new one.
fn start(files: &Files<'_>, content: String, fingerprint: &Fingerprint, pairs: &Pairs) -> Result<Journal, Error> {
    if files.journal().exists() {
        let journal: Journal = Files::json(&files.journal(), "how far a build has come")?;
        let same = journal.format == FORMAT && journal.content == content;
        if !same || journal.fingerprint.as_ref() != Some(fingerprint) || journal.looked_at > pairs.pairs.len() {
            return Err(other(
                files.folder,
                "whose build has not ended, of other pairs, another model or other settings",
            ));
        }
        return Ok(journal);
    }
    let mut journal = Journal {
        format: FORMAT,
        content,
        fingerprint: Some(fingerprint.clone()),
        ..Journal::default()
    };
    for error in &pairs.errors {
        journal.skip(error.to_string());
    }
    Ok(journal)
}

impl Journal {
    fn skip(&mut self, why: String) {
        self.skipped_count += 1;
        if self.skipped.len() < NAMED {
            self.skipped.push(why);
        }
    }
}

/// Adds some pairs.
fn add(
    decoder: &Decoder,
    params: &DecodingParams,
    batch: &[Pair],
    sites: &[(StateKind, Site)],
    folder: &Path,
    writers: &mut Writers,
    journal: &mut Journal,
) -> Result<(), Error> {
    let mut read = Vec::with_capacity(batch.len());
    for pair in batch {
        match decoder.read_pair(pair, params) {
            Ok(pair) => read.push(pair),
            Err(error) if error.is_cancelled() => return Err(error),
            Err(error) => journal.skip(format!("line {}: {error}", pair.line)),
        }
    }
    if read.is_empty() {
        return Ok(());
    }
    let states = match decoder.states_of(&read, params, sites) {
        Ok(states) => states,
        Err(error) if error.is_cancelled() => return Err(error),
        // One pair that the model refuses leaves the others.
        Err(error) if read.len() == 1 => {
            journal.skip(format!("line {}: {error}", read[0].pair.line));
            return Ok(());
        }
        Err(_) => {
            let mut alone = read.into_iter().map(|read| std::slice::from_ref(read.pair));
            return alone.try_for_each(|pair| add(decoder, params, pair, sites, folder, writers, journal));
        }
    };
    for (at, read) in read.iter().enumerate() {
        let text = journal.bytes.entry("pairs.jsonl".into()).or_default();
        let entry = [*text, journal.states[0], journal.states[1]];
        let mut line = serde_json::to_vec(&Record::new(read.pair, &read.source, &read.target))
            .map_err(|error| Files::bad(folder, "texts that are JSON", error.to_string()))?;
        line.push(b'\n');
        *text += line.len() as u64;
        writers.write(folder, 0, &line)?;
        writers.write(folder, 1, &entry.map(u64::to_le_bytes).concat())?;
        let mut bytes = Vec::new();
        for (slot, (kind, _)) in sites.iter().enumerate() {
            let Some(states) = states.get(kind) else { continue };
            let (first, count) = match kind {
                StateKind::Encoder => (0, read.source.len()),
                _ if decoder.translates() => (0, read.target.len()),
                // The state of the last token of the prompt predicts the first one of the target.
                _ => (read.source.len() - 1, read.target.len()),
            };
            journal.columns.insert(*kind, states.dim().2);
            bytes.clear();
            for token in first..first + count {
                HalfRows::encode(
                    &states.slice(attn_core::ndarray::s![at, token, ..]).to_vec(),
                    &mut bytes,
                );
            }
            writers.write(folder, 2 + slot, &bytes)?;
        }
        journal.states[0] += read.source.len() as u64;
        journal.states[1] += read.target.len() as u64;
        journal.pairs += 1;
    }
    Ok(())
}
