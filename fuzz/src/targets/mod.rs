//! What is fed, with its whole inputs.

mod concepts;
mod decoding;
mod models;
mod pieces;
mod sounds;
mod store;
mod text;
mod training;
mod views;
mod weights;

use std::sync::OnceLock;

use crate::mutate::Seed;

/// Something that reads bytes.
#[derive(Debug)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Reads the bytes and uses what comes of them. The first byte says what the others stand in for.
    pub run: fn(&[u8]),
    make: fn() -> Vec<Seed>,
    made: OnceLock<Vec<Seed>>,
}

impl Target {
    const fn new(name: &'static str, run: fn(&[u8]), make: fn() -> Vec<Seed>) -> Self {
        Self {
            name,
            run,
            make,
            made: OnceLock::new(),
        }
    }

    pub(crate) fn seeds(&self) -> &[Seed] {
        self.made.get_or_init(self.make)
    }

    /// Its whole inputs: the start of a corpus.
    pub fn corpus(&self) -> impl Iterator<Item = Vec<u8>> {
        self.seeds()
            .iter()
            .map(|seed| [&[seed.choice][..], &seed.bytes].concat())
    }
}

/// All targets.
pub static TARGETS: [Target; 20] = [
    Target::new("config", models::config, models::configs),
    Target::new("tokenizer", models::tokenizer, models::tokenizers),
    Target::new("pieces", pieces::pieces, pieces::all_pieces),
    Target::new("checkpoint", models::checkpoint, models::checkpoints),
    Target::new("pickle", weights::pickle, weights::pickles),
    Target::new("gguf", weights::gguf, weights::ggufs),
    Target::new("adapter", weights::adapter, weights::adapters),
    Target::new("images", models::images, models::pictures),
    Target::new("sounds", sounds::sounds, sounds::files),
    Target::new("capture", store::capture, store::captures),
    Target::new("journal", store::journal, store::journals),
    Target::new("cache", store::cache, store::caches),
    Target::new("view", views::view, views::views),
    Target::new("tables", text::tables, text::all_tables),
    Target::new("conllu", text::conllu, text::all_conllu),
    Target::new("concepts", concepts::concepts, concepts::all_concepts),
    Target::new("runs", decoding::runs, decoding::all_runs),
    Target::new("states", decoding::states, decoding::all_states),
    Target::new("log", training::log, training::logs),
    Target::new("parquet", training::parquet, training::parquet_files),
];

/// The target of a name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
