//! States of a model over pairs of source and target, kept in a folder, and the neighbors of a state among them (Strobelt et
//! al. 2018, "Seq2Seq-Vis"): what of the training data a model sees as like what it reads or writes.
//!
//! [`StateIndex::build`] runs every pair once, teacher-forced, and keeps the direction of each [`StateKind`] in half precision;
//! padding is never in it. [`StateIndex::open`] maps the files. Neighbors are by the cosine.
//!
//! | file | what |
//! |---|---|
//! | `index.json` | the [description](IndexDescription): written last, so that a folder without it is no index |
//! | `pairs.jsonl`, `pairs.table` | texts and tokens of each pair; where each begins, and its first states |
//! | `encoder.f16`, `decoder.f16`, `context.f16` | directions of states, `[state, width]` |
//! | `*.cells`, `*.hnsw.*` | what finds neighbors without looking at all states |
//! | `map.json` | the projection: states it was fitted on, and their places |
//! | `building.json` | how far a build has come, until it ends |
//! | `writing.lock` | which process writes, while it does |

mod build;
mod files;
mod map;
mod nearest;
mod neighborhood;
mod pairs;
mod states;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use attn_core::{Progress, files::Bytes};
use attn_models::{Checkpoint, Tokenizer};
use attn_project::{
    Projector,
    metric::Cosine,
    neighbors::{HalfCellsParams, HalfExact, HalfRows, NeighborSearch},
    umap::Umap,
};
use serde::{Deserialize, Serialize};

pub use self::{
    files::FileRecord,
    neighborhood::{IndexedPair, Neighbor, Neighborhood, NeighborhoodParams, StateNeighbors},
    pairs::{Pair, Pairs},
};
use self::{files::Files, map::StateMap};
use crate::Error;

/// Version of the files.
const FORMAT: u32 = 1;

/// A kind of state. All are directions of the stack's own width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateKind {
    /// After the last encoder layer, one per source token.
    Encoder,
    /// After the last decoder layer, one per target token: the state that predicts it.
    Decoder,
    /// Output of the last cross-attention, one per target token: of the step that predicts it.
    Context,
}

impl StateKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Encoder, Self::Decoder, Self::Context];

    /// The name in files and plots.
    pub fn name(self) -> &'static str {
        match self {
            Self::Encoder => "encoder",
            Self::Decoder => "decoder",
            Self::Context => "context",
        }
    }
}

impl fmt::Display for StateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What finds neighbors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IndexSearch {
    /// [`HalfCells`](attn_project::neighbors::HalfCells): mapped states, little memory, opens at once.
    #[default]
    Cells,
    /// A graph of `hnsw_rs`, which holds all states in single precision in memory. Feature `hnsw`.
    Graph,
}

/// How an index is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IndexParams {
    /// What finds neighbors. Default: cells.
    pub search: IndexSearch,
    /// Share of the 20 nearest that cells have to find, above 0, at most 1. Default 0.98.
    pub recall: f32,
    /// The projection of the map. Default: UMAP by the cosine; PCA below 100 states.
    pub projector: Projector,
    /// States that the map is fitted on, evenly over the kinds and the pairs. Default 3,000.
    pub map_states: usize,
    /// Seed of cells and sample. Default 0.
    pub seed: u64,
}

impl Default for IndexParams {
    fn default() -> Self {
        Self {
            search: IndexSearch::Cells,
            recall: 0.98,
            projector: Projector::new(Umap::default()).metric(Cosine),
            map_states: 3000,
            seed: 0,
        }
    }
}

impl IndexParams {
    /// Refuses settings with which no index can be made, before a pair runs. The projection is tried on a few points.
    ///
    /// # Errors
    /// [`Error::Project`] for a recall outside `(0, 1]`, a graph without the feature `hnsw`, and a projection that fails or has no
    /// place for new states.
    pub fn check(&self) -> Result<(), Error> {
        if self.search == IndexSearch::Graph && !cfg!(feature = "hnsw") {
            return Err(Error::Project(attn_project::Error::Parameter {
                name: "search",
                expected: "cells: graphs need a build with the feature `hnsw`".to_owned(),
                found: "a graph".to_owned(),
            }));
        }
        self.cells().check()?;
        map::check(self)
    }

    /// The settings of cells, and of the sample that a recall is measured on.
    fn cells(&self) -> HalfCellsParams {
        HalfCellsParams {
            recall: self.recall,
            seed: self.seed,
            ..HalfCellsParams::default()
        }
    }
}

/// What names a model and its tokenizer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The name of the checkpoint.
    pub name: String,
    /// A digest of its configuration and weights.
    pub model: String,
    /// A digest of the vocabulary.
    pub tokenizer: String,
}

impl Fingerprint {
    /// That of a checkpoint. Reads all weights once.
    ///
    /// # Errors
    /// Those of [`Checkpoint::tokenizer`].
    pub fn of(checkpoint: &Checkpoint) -> Result<Self, Error> {
        let tokenizer = checkpoint.tokenizer()?;
        Ok(Self {
            name: checkpoint.name().to_owned(),
            model: checkpoint.fingerprint(),
            tokenizer: files::digest_of(&[description(&tokenizer), description(tokenizer.for_targets())]),
        })
    }
}

/// All tokens of a vocabulary.
fn description(tokenizer: &Tokenizer) -> Vec<u8> {
    let mut bytes = Vec::new();
    for id in (0..tokenizer.vocab_size()).filter_map(|id| u32::try_from(id).ok()) {
        bytes.extend_from_slice(tokenizer.token(id).text.as_bytes());
        bytes.push(0xff);
    }
    bytes
}

/// What an index holds of one kind of state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KindDescription {
    /// The kind.
    pub kind: StateKind,
    /// Dimensions of a state.
    pub columns: usize,
    /// Number of states.
    pub states: usize,
    /// Share of the 20 nearest states, by the exact search over the same file, that the search found on a sample.
    pub recall: f32,
    /// Cells, and those that a query looks through; `None` for a graph.
    pub cells: Option<(usize, usize)>,
}

/// What an index says of itself: `index.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexDescription {
    /// Version of the files.
    pub format: u32,
    /// Model and tokenizer.
    pub fingerprint: Fingerprint,
    /// Whether the model is an encoder-decoder.
    pub encoder_decoder: bool,
    /// Pairs in it.
    pub pairs: usize,
    /// Pairs that were left out, and why: the first 100.
    pub skipped: Vec<String>,
    /// How many were left out.
    pub skipped_count: usize,
    /// A digest of the pairs and the settings of their decoding.
    pub content: String,
    /// What it holds.
    pub kinds: Vec<KindDescription>,
    /// How it was made.
    pub params: IndexParams,
    /// States of the map; 0 for an index without one.
    pub map_states: usize,
    /// Size and digest of every file.
    pub files: Vec<FileRecord>,
}

/// An index that is open for queries. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StateIndex {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    description: IndexDescription,
    kinds: Vec<Searched>,
    texts: Bytes,
    table: Bytes,
    map: OnceLock<Option<StateMap>>,
}

/// The states of a kind, and what searches them.
#[derive(Debug)]
struct Searched {
    kind: StateKind,
    exact: HalfExact,
    search: Box<dyn NeighborSearch>,
}

impl StateIndex {
    /// Opens a folder that [`build`](Self::build) wrote.
    ///
    /// # Errors
    /// [`Error::BadIndex`] for files that are missing, truncated, changed or of another version; those of reading.
    pub fn open(folder: impl AsRef<Path>, progress: &dyn Progress) -> Result<Self, Error> {
        let folder = folder.as_ref();
        let files = Files::new(folder);
        let description = files.description()?;
        files.check(&description.files, progress)?;
        let mut kinds = Vec::new();
        for own in &description.kinds {
            let rows = files.rows(own)?;
            let search = files.search(own, rows.clone(), description.params.search)?;
            kinds.push(Searched {
                kind: own.kind,
                exact: HalfExact(rows),
                search,
            });
        }
        let (texts, table) = (Bytes::open(&files.texts())?, Bytes::open(&files.table())?);
        files.check_table(&description, &texts, &table)?;
        Ok(Self {
            inner: Arc::new(Inner {
                folder: folder.to_owned(),
                description,
                kinds,
                texts,
                table,
                map: OnceLock::new(),
            }),
        })
    }

    /// What the index says of itself.
    pub fn description(&self) -> &IndexDescription {
        &self.inner.description
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// Refuses another model or tokenizer than the index was made with.
    ///
    /// # Errors
    /// [`Error::OtherModel`], which names both.
    pub fn check(&self, model: &Fingerprint) -> Result<(), Error> {
        let own = &self.description().fingerprint;
        for (what, expected, found) in [
            ("model", &own.model, &model.model),
            ("tokenizer", &own.tokenizer, &model.tokenizer),
        ] {
            if expected != found {
                return Err(Error::OtherModel {
                    index: self.inner.folder.clone(),
                    what,
                    expected: format!("{} ({expected})", own.name),
                    found: format!("{} ({found})", model.name),
                });
            }
        }
        Ok(())
    }

    /// The states of a kind.
    fn searched(&self, kind: StateKind) -> Option<&Searched> {
        self.inner.kinds.iter().find(|own| own.kind == kind)
    }

    /// The states of a kind as they are kept; `None` if the index has none.
    pub fn states(&self, kind: StateKind) -> Option<&HalfRows> {
        self.searched(kind).map(|own| &own.exact.0)
    }

    /// A search of all states of a kind: approximate, or by comparison with all. `None` if the index has none.
    pub fn search(&self, kind: StateKind, exact: bool) -> Option<&dyn NeighborSearch> {
        let own = self.searched(kind)?;
        Some(if exact { &own.exact } else { &*own.search })
    }
}
