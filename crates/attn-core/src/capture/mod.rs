//! The capture store: queries, keys and values of every head, in memory or in a folder.
//!
//! A folder holds `capture.json` and one safetensors file per layer (`docs/CAPTURE.md` has the schema). Reading maps the files.
//! Writing goes to `*.partial` files with a journal, so that a killed capture resumes and a finished one is never half-written.

mod check;
mod close;
#[cfg(test)]
mod crash;
mod file;
mod finite;
mod journal;
mod layer;
mod reader;
mod schema;
mod slot;
mod writer;

pub use reader::Capture;
pub use schema::{CaptureOptions, CapturePlan, Precision};
pub use slot::Slot;
pub use writer::CaptureWriter;

#[cfg(test)]
mod tests;
