//! Sequences that a model writes, with everything behind them: beam tree, predictions, attention, states, alignments, source
//! shares, what-if experiments and blame (after Strobelt et al. 2018, "Seq2Seq-Vis").
//!
//! A [`Decoder`] is a model that writes, with its tokenizer: an encoder-decoder (source and translation) or a decoder-only
//! model (prompt and continuation). [`Decoder::decode`] gives a [`Decoding`], which owns all it shows and is saved as JSON.
//!
//! ```
//! use attn_study::decoding::Decoder;
//!
//! let decoder = Decoder::load(&attn_embedded::DATES.checkpoint()?)?;
//! let mut params = decoder.params();
//! params.generation.beams = 4;
//! let decoding = decoder.decode("May 21, 2000", &params, &())?;
//! assert_eq!(decoding.hypotheses[0].row.text, "2000-05-21");
//! assert!(decoding.hypotheses[0].steps[0].top[0].log_probability > -0.1);
//! # Ok::<(), attn_study::Error>(())
//! ```
//!
//! | question | where |
//! |---|---|
//! | what was weighed | [`Decoding::beam`], [`DecodedStep::top`], [`Decoder::rank`] |
//! | where it looked | [`Decoding::attention`], [`Decoding::alignment`], [`alignment_heads`] |
//! | what it rests on | [`DecodedStep::source_share`], [`DecodedHypothesis::coverage`] |
//! | what if | [`Decoder::continued`], [`Decoder::edited`], [`Decoder::nearest_words`], [`Comparison`] |
//! | what it is like | [`StateIndex`], [`Neighborhood`] |
//! | what went wrong | [`Decoder::blame`], [`Sweep`] |

mod align;
mod attention;
mod blame;
mod compare;
mod decoder;
mod edits;
mod index;
mod maps;
mod pass;
mod plots;
mod position;
mod rank;
mod repair;
mod share;
mod sweep;
mod tokens;
mod tree;
mod value;
mod what_if;
mod words;

pub use self::{
    align::{
        AlignmentHead, ErrorRate, Links, Reference, alignment_error_rate, alignment_heads, consensus, read_pharaoh,
    },
    attention::{AttentionScale, AttentionWeights, HeadChoice, Shift, States},
    blame::{Blame, BlameKind, BlameParams, SearchError, Stage, StageShare, TextScores},
    compare::{Aligned, Comparison},
    decoder::Decoder,
    edits::Fault,
    index::{
        FileRecord, Fingerprint, IndexDescription, IndexParams, IndexSearch, IndexedPair, KindDescription, Neighbor,
        Neighborhood, NeighborhoodParams, Pair, Pairs, StateIndex, StateKind, StateNeighbors,
    },
    plots::{FlowParams, FlowUnits, Unit},
    sweep::{Sweep, SweepCell},
    tokens::{TokenClass, TokenRow},
    tree::{BeamEntry, EntryFate},
    value::{Alternative, DecodedHypothesis, DecodedStep, Decoding, DecodingParams, Rank},
    what_if::NearWord,
};
