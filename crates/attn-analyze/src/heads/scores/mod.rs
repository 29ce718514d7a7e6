//! The built-in head scores, a file per kind. A new one is a file here and a line in `BUILT_IN`.

mod content;
mod first_token;
mod induction;
mod offset;
mod patches;
mod positional;
mod same_token;
mod separator;
mod shape;

pub use content::{CONTENT, TokenPairs};
pub use first_token::{FIRST_TOKEN, FirstToken};
pub use induction::{DUPLICATE, INDUCTION, RepeatScore};
pub use offset::{NEXT, OffsetScore, PREVIOUS, SELF_TOKEN};
pub use patches::{NEIGHBOR, PatchScore, SAME_COLUMN, SAME_ROW};
pub use positional::{POSITIONAL, Positional};
pub use same_token::{IDENTITY, SameToken};
pub use separator::{SEPARATOR, Separator};
pub use shape::{EFFECTIVE_KEYS, ENTROPY, SPARSITY, ShapeScore};

use super::HeadScore;

/// Every built-in score, in the order of tables.
pub(super) static BUILT_IN: [&dyn HeadScore; 16] = [
    &PREVIOUS,
    &NEXT,
    &SELF_TOKEN,
    &FIRST_TOKEN,
    &SEPARATOR,
    &INDUCTION,
    &DUPLICATE,
    &IDENTITY,
    &SAME_ROW,
    &SAME_COLUMN,
    &NEIGHBOR,
    &POSITIONAL,
    &CONTENT,
    &ENTROPY,
    &EFFECTIVE_KEYS,
    &SPARSITY,
];
