//! The files of an index: their names, sizes and digests, and what is read from them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use attn_core::{
    Progress,
    files::{self, Bytes, write_atomically},
    progress::step,
};
use attn_project::neighbors::{HalfCells, HalfCellsParams, HalfRows, NeighborSearch};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::{FORMAT, IndexDescription, IndexParams, IndexSearch, KindDescription, StateKind};
use crate::Error;

/// Largest file in JSON, in bytes.
const LARGEST: u64 = 1 << 28;
/// Bytes of an entry of the table: where the text of a pair begins, its first source state, its first target state.
pub(super) const ENTRY: usize = 24;

/// A file of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its XXH3 digest of 128 bits.
    pub digest: String,
}

/// A digest of some bytes, one after another.
pub(super) fn digest_of(parts: &[impl AsRef<[u8]>]) -> String {
    let mut hash = Xxh3::new();
    for part in parts {
        hash.update(&(part.as_ref().len() as u64).to_le_bytes());
        hash.update(part.as_ref());
    }
    format!("{:032x}", hash.digest128())
}

/// The folder of an index.
pub(super) struct Files<'a> {
    pub(super) folder: &'a Path,
}

impl<'a> Files<'a> {
    pub(super) fn new(folder: &'a Path) -> Self {
        Self { folder }
    }

    pub(super) fn index(&self) -> PathBuf {
        self.folder.join("index.json")
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.folder.join("building.json")
    }

    pub(super) fn texts(&self) -> PathBuf {
        self.folder.join("pairs.jsonl")
    }

    pub(super) fn table(&self) -> PathBuf {
        self.folder.join("pairs.table")
    }

    pub(super) fn map(&self) -> PathBuf {
        self.folder.join("map.json")
    }

    pub(super) fn states(&self, kind: StateKind) -> PathBuf {
        self.folder.join(format!("{kind}.f16"))
    }

    fn cells(&self, kind: StateKind) -> PathBuf {
        self.folder.join(format!("{kind}.cells"))
    }

    /// The error of a file that is not what the index says.
    pub(super) fn bad(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::BadIndex {
            path: path.to_owned(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    pub(super) fn json<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T, Error> {
        let bytes = files::read(path, LARGEST)?;
        serde_json::from_slice(&bytes).map_err(|error| Self::bad(path, what, error.to_string()))
    }

    pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
        let bytes = serde_json::to_vec_pretty(value).map_err(|error| Self::bad(path, "JSON", error.to_string()))?;
        Ok(write_atomically(path, &bytes)?)
    }

    /// Reads `index.json`.
    pub(super) fn description(&self) -> Result<IndexDescription, Error> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let path = self.index();
        if !path.exists() {
            let found = match (self.journal().exists(), self.folder.is_dir()) {
                (true, _) => "one whose build has not ended: run it again to go on",
                (false, true) => "a folder without index.json",
                (false, false) => "no folder",
            };
            return Err(Self::bad(self.folder, "an index", found));
        }
        let version: Version = Self::json(&path, "an index")?;
        if version.format != FORMAT {
            let found = format!("format {}", version.format);
            return Err(Self::bad(&path, format!("format {FORMAT}"), found));
        }
        let description: IndexDescription = Self::json(&path, "an index")?;
        let mut kinds: Vec<StateKind> = description.kinds.iter().map(|own| own.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        if kinds.is_empty() || kinds.len() != description.kinds.len() {
            return Err(Self::bad(&path, "each kind of state once", format!("{kinds:?}")));
        }
        let needed = self.named(
            &description.kinds,
            description.params.search,
            description.map_states > 0,
        );
        let recorded = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            description.files.iter().any(|file| file.name == name)
        };
        match needed.iter().find(|path| !recorded(path)) {
            Some(missing) => Err(Self::bad(
                &path,
                "a record of every file",
                format!("none of {}", missing.display()),
            )),
            None => Ok(description),
        }
    }

    /// Every file that an index has beside `index.json`.
    fn named(&self, kinds: &[KindDescription], search: IndexSearch, map: bool) -> Vec<PathBuf> {
        let mut all = vec![self.texts(), self.table()];
        for kind in kinds.iter().map(|own| own.kind) {
            all.push(self.states(kind));
            match search {
                IndexSearch::Cells => all.push(self.cells(kind)),
                IndexSearch::Graph => {
                    let file = |ending: &str| self.folder.join(format!("{kind}.hnsw.{ending}"));
                    all.extend(["json", "graph", "data"].map(file));
                }
            }
        }
        all.extend(map.then(|| self.map()));
        all
    }

    /// Sizes and digests of all files.
    pub(super) fn records(
        &self,
        kinds: &[KindDescription],
        search: IndexSearch,
        map: bool,
        progress: &dyn Progress,
    ) -> Result<Vec<FileRecord>, Error> {
        let all = self.named(kinds, search, map);
        let total = all.len();
        let record = |(done, path): (usize, PathBuf)| -> Result<FileRecord, Error> {
            step(progress, "digests", done, total)?;
            let bytes = Bytes::open(&path)?;
            Ok(FileRecord {
                name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                bytes: bytes.as_slice().len() as u64,
                digest: format!("{:032x}", xxh3_128(bytes.as_slice())),
            })
        };
        all.into_iter().enumerate().map(record).collect()
    }

    /// Refuses files of another size or content.
    pub(super) fn check(&self, records: &[FileRecord], progress: &dyn Progress) -> Result<(), Error> {
        for (done, record) in records.iter().enumerate() {
            step(progress, "index", done, records.len())?;
            let name = Path::new(&record.name);
            if name.components().count() != 1 || name.file_name().is_none() {
                return Err(Self::bad(
                    &self.index(),
                    "names of files in its folder",
                    record.name.clone(),
                ));
            }
            let path = self.folder.join(name);
            let size = fs::metadata(&path)
                .map_err(|error| attn_core::Error::io(&path, error))?
                .len();
            if size != record.bytes {
                return Err(Self::bad(
                    &path,
                    format!("{} bytes", record.bytes),
                    format!("{size} bytes"),
                ));
            }
            let found = format!("{:032x}", xxh3_128(Bytes::open(&path)?.as_slice()));
            if found != record.digest {
                let expected = format!("the content that was written (digest {})", record.digest);
                return Err(Self::bad(&path, expected, format!("another one (digest {found})")));
            }
        }
        let _ = progress.update("index", records.len(), records.len());
        Ok(())
    }

    /// The states of a kind.
    pub(super) fn rows(&self, own: &KindDescription) -> Result<HalfRows, Error> {
        let path = self.states(own.kind);
        let rows = HalfRows::new(Bytes::open(&path)?, own.columns)
            .map_err(|error| Self::bad(&path, format!("states of width {}", own.columns), error.to_string()))?;
        if rows.len() != own.states {
            let expected = format!("{} states of width {}", own.states, own.columns);
            return Err(Self::bad(&path, expected, format!("{} states", rows.len())));
        }
        Ok(rows)
    }

    /// What searches the states of a kind.
    pub(super) fn search(
        &self,
        own: &KindDescription,
        rows: HalfRows,
        search: IndexSearch,
    ) -> Result<Box<dyn NeighborSearch>, Error> {
        match search {
            IndexSearch::Cells => {
                let path = self.cells(own.kind);
                let cells = HalfCells::from_bytes(rows, Bytes::open(&path)?.as_slice())
                    .map_err(|error| Self::bad(&path, "cells of the states", error.to_string()))?;
                Ok(Box::new(cells))
            }
            IndexSearch::Graph => self.open_graph(own),
        }
    }

    /// Makes and writes what searches the states of a kind; gives what the index says of it.
    pub(super) fn make_search(
        &self,
        kind: StateKind,
        rows: &HalfRows,
        params: &IndexParams,
        progress: &dyn Progress,
    ) -> Result<KindDescription, Error> {
        let settings = params.cells();
        let (recall, cells) = match params.search {
            IndexSearch::Cells => {
                let cells = HalfCells::new(rows.clone(), &settings, progress)?;
                write_atomically(&self.cells(kind), &cells.to_bytes())?;
                (cells.recall(), Some(cells.cells()))
            }
            IndexSearch::Graph => (self.make_graph(kind, rows, &settings, progress)?, None),
        };
        Ok(KindDescription {
            kind,
            columns: rows.columns(),
            states: rows.len(),
            recall,
            cells,
        })
    }

    #[cfg(feature = "hnsw")]
    fn open_graph(&self, own: &KindDescription) -> Result<Box<dyn NeighborSearch>, Error> {
        use attn_project::{metric::Cosine, neighbors::Hnsw};
        let graph = Hnsw::open(self.folder, own.kind.name(), Cosine)?;
        if (graph.len(), graph.columns()) != (own.states, own.columns) {
            let path = self.folder.join(format!("{}.hnsw.json", own.kind));
            let found = format!("{} of width {}", graph.len(), graph.columns());
            return Err(Self::bad(
                &path,
                format!("{} states of width {}", own.states, own.columns),
                found,
            ));
        }
        Ok(Box::new(graph))
    }

    #[cfg(not(feature = "hnsw"))]
    fn open_graph(&self, _: &KindDescription) -> Result<Box<dyn NeighborSearch>, Error> {
        Err(Self::bad(
            self.folder,
            "a build with the feature `hnsw`",
            "one without it",
        ))
    }

    /// Writes a graph and gives its recall on a sample.
    #[cfg(feature = "hnsw")]
    fn make_graph(
        &self,
        kind: StateKind,
        rows: &HalfRows,
        settings: &HalfCellsParams,
        progress: &dyn Progress,
    ) -> Result<f32, Error> {
        use attn_core::Rng;
        use attn_project::{
            metric::Cosine,
            neighbors::{HalfExact, Hnsw, HnswParams},
        };
        /// States that are linked at once, between two looks at the progress.
        const CHUNK: usize = 4096;
        let params = HnswParams {
            capacity: rows.len(),
            ..HnswParams::default()
        };
        let mut graph = Hnsw::new(rows.columns(), Cosine, params)?;
        for first in (0..rows.len()).step_by(CHUNK) {
            step(progress, "graph", first, rows.len())?;
            graph.insert(rows.select(first..rows.len().min(first + CHUNK)).view())?;
        }
        graph.save(self.folder, kind.name())?;
        let k = settings.neighbors.min(rows.len().saturating_sub(1));
        if k == 0 {
            return Ok(1.0);
        }
        let chosen = Rng::new(settings.seed, &[1]).draw(rows.len(), settings.sample.min(rows.len()));
        let queries = rows.select(chosen.iter().copied());
        let exact = HalfExact(rows.clone()).query(queries.view(), k + 1, progress)?;
        let found = graph.query(queries.view(), k + 1, progress)?;
        let mut hits = 0;
        for (at, own) in chosen.iter().enumerate() {
            let last = exact.distances(at).last().map_or(0.0, |last| last + 1e-6);
            let others = found.indices(at).iter().zip(found.distances(at));
            let others = others.filter(|(row, distance)| **row as usize != *own && **distance <= last);
            hits += others.count().min(k);
        }
        Ok(hits as f32 / (k * chosen.len()) as f32)
    }

    #[cfg(not(feature = "hnsw"))]
    fn make_graph(&self, _: StateKind, _: &HalfRows, _: &HalfCellsParams, _: &dyn Progress) -> Result<f32, Error> {
        Err(Self::bad(
            self.folder,
            "a build with the feature `hnsw`",
            "one without it",
        ))
    }

    /// Refuses a table that does not lead through the texts and the states.
    pub(super) fn check_table(
        &self,
        description: &IndexDescription,
        texts: &Bytes,
        table: &Bytes,
    ) -> Result<(), Error> {
        let path = self.table();
        let (texts, table) = (texts.as_slice(), table.as_slice());
        if table.len() != description.pairs.saturating_mul(ENTRY) {
            let expected = format!("{} entries of {ENTRY} bytes", description.pairs);
            return Err(Self::bad(&path, expected, format!("{} bytes", table.len())));
        }
        let states = |encoder: bool| {
            let own = |kind: StateKind| (kind == StateKind::Encoder) == encoder;
            let mut found = description.kinds.iter().filter(|found| own(found.kind));
            found.next().map_or(u64::MAX, |found| found.states as u64)
        };
        let limits = [texts.len() as u64, states(true), states(false)];
        let mut before = [0; 3];
        for entry in table.chunks_exact(ENTRY) {
            let found = entry_of(entry);
            if (0..3).any(|at| found[at] < before[at] || found[at] > limits[at]) {
                return Err(Self::bad(
                    &path,
                    format!("ascending places up to {limits:?}"),
                    format!("{found:?}"),
                ));
            }
            before = found;
        }
        Ok(())
    }
}

/// The three numbers of an entry of the table.
pub(super) fn entry_of(entry: &[u8]) -> [u64; 3] {
    let mut numbers = entry
        .chunks_exact(8)
        .map(|bytes| bytes.try_into().map_or(0, u64::from_le_bytes));
    [(); 3].map(|()| numbers.next().unwrap_or(0))
}
