//! The built-in head scores, a file per kind. A new one is a file here and a line in `BUILT_IN`.

mod content;
mod first_token;
mod fixed_offset;
mod induction;
mod matching;
mod offset;
mod patches;
mod positional;
mod same_token;
mod same_word;
mod segments;
mod separator;
mod shape;

pub use content::{CONTENT, TokenPairs};
pub use first_token::{FIRST_TOKEN, FirstToken};
pub use fixed_offset::{FixedOffset, OFFSET};
pub use induction::{DUPLICATE, INDUCTION, RepeatScore};
pub use matching::{ALIGNED, Aligned, MONOTONIC, Monotonic, ONE_TO_ONE, OneToOne};
pub use offset::{NEXT, OffsetScore, PREVIOUS, SELF_TOKEN};
pub use patches::{NEIGHBOR, PatchScore, SAME_COLUMN, SAME_ROW};
pub use positional::{POSITIONAL, Positional};
pub use same_token::{IDENTITY, SameToken};
pub use same_word::{SAME_WORD, SameWord};
pub use segments::{COUNTERPART, Counterpart, DELIMITER, Delimiter};
pub use separator::{SEPARATOR, Separator};
pub use shape::{EFFECTIVE_KEYS, ENTROPY, SPARSITY, ShapeScore};

use super::HeadScore;

/// Every built-in score, in the order of tables.
pub(super) static BUILT_IN: [&dyn HeadScore; 23] = [
    &PREVIOUS,
    &NEXT,
    &SELF_TOKEN,
    &OFFSET,
    &FIRST_TOKEN,
    &SEPARATOR,
    &DELIMITER,
    &INDUCTION,
    &DUPLICATE,
    &IDENTITY,
    &SAME_WORD,
    &COUNTERPART,
    &ALIGNED,
    &MONOTONIC,
    &ONE_TO_ONE,
    &SAME_ROW,
    &SAME_COLUMN,
    &NEIGHBOR,
    &POSITIONAL,
    &CONTENT,
    &ENTROPY,
    &EFFECTIVE_KEYS,
    &SPARSITY,
];
