//! Readers of text: plain lines, CoNLL-U, `word_tag`, CSV and TSV, JSON lines, JSON.
//!
//! | file | read as | columns |
//! |---|---|---|
//! | `.txt`, no suffix | a sequence per line | none |
//! | `.csv`, `.tsv`, `.tab` | a sequence per row | every other column |
//! | `.jsonl`, `.ndjson`, `.json` | a sequence per object | every other field that is a text, number or boolean |
//! | `.conllu`, `.conllup` | a sequence per sentence | fields and attributes of words, comments of sentences |
//!
//! Columns of CoNLL-2000 and CoNLL-2003, lists of JSON and several files of one text are read by [`TaggedText::read`], lists of words
//! under names by [`WordList::read`].
//!
//! [`Dataset::read`] chooses by the file's name and refuses other suffixes; [`TextParams::format`] chooses otherwise.
//! Errors name file and line. Blank lines, byte-order marks and all kinds of line ends are fine in every format.

mod conllu;
mod csv;
mod dataset;
mod format;
mod json;
mod lines;
mod tagged;
mod word_list;

pub use {
    conllu::{TaggedSentence, TaggedText, TaggedWord},
    dataset::{Dataset, TextColumn, TextValues},
    format::{TextFormat, TextParams},
    lines::{Line, Note, each_line, number_lines, read_lines, split_lines},
    tagged::TaggedParams,
    word_list::WordList,
};

use crate::Error;

/// Most columns of a table, and most attributes of words.
const MAX_COLUMNS: usize = 4096;
/// Most bytes of a text: 1 GiB.
const MAX_BYTES: u64 = 1 << 30;

/// An error of a whole file, or of one of its lines.
fn wrong(place: &str, line: impl Into<Option<usize>>, expected: impl Into<String>, found: impl Into<String>) -> Error {
    Error::Text {
        place: place.to_owned(),
        line: line.into(),
        expected: expected.into(),
        found: found.into(),
    }
}

/// The error of a table or a file of labeled words with too many columns from this line on.
fn too_many_columns(place: &str, line: usize) -> Error {
    Error::TooLarge {
        place: format!("{place}, line {line}"),
        what: "columns",
        limit: MAX_COLUMNS as u64,
    }
}
