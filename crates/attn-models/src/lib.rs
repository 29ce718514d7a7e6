//! Transformer families with taps: run a checkpoint and record or replace what happens inside.
//!
//! A [`Checkpoint`] is a Hugging Face folder (or its files in memory). [`Model::load`] builds the family its
//! `config.json` names, and [`Model::forward`] runs a batch of [`Inputs`], calling a [`Tap`] at every [`Site`] of
//! interest: queries, keys, values, scores, attention, head outputs, hidden states. Taps record (a [`Recorder`]),
//! or replace what they are given (an intervention); they are the only way in, so everything that works on one
//! family works on all.
//!
//! [`Interventions`] are edits as data that such a tap carries out; [`input_gradients`] and its like ask what made the
//! model say what it said.
//!
//! The same code trains: [`Weights::initialise`] makes fresh variables under the published names.

mod attribute;
mod batch;
mod blocks;
mod capturer;
mod checkpoint;
mod config;
mod error;
mod families;
mod generate;
mod head_weights;
mod images;
mod inputs;
mod intervene;
mod model;
mod pairs;
mod random;
mod recorder;
mod tap;
mod tensor_file;
mod tokenizer;
mod twin;
mod vocabulary;
mod weights;

/// The tensor library whose types appear in this crate's interface.
pub use candle_core as candle;

pub use attn_core::text::{Line, read_lines, split_lines};

pub use self::{
    attribute::{
        Baseline, Examples, Guess, HeadGradients, HeadGrid, InputGradients, IntegratedGradients, LensLayer, Relevance,
        Target, TokenScores, head_gradients, input_gradients, integrated_gradients, logit_lens, propagate_relevance,
        taylor_importance, taylor_per_example,
    },
    capturer::{BATCH_TOKENS, CaptureOutcome, Capturer, Picture},
    checkpoint::{Checkpoint, CheckpointInfo, FileInfo},
    error::{Error, Result},
    families::families,
    generate::{
        EarlyStopping, Emitted, Expansion, Fate, Generated, GenerationParams, Generator, Hypothesis, Sampling, Step,
    },
    images::Images,
    inputs::Inputs,
    intervene::{Edit, Heads, Intervention, Interventions, Selection},
    model::{Gradients, Model, Output, Vision},
    recorder::{Recorder, read_inputs, run_raw, write_tensors},
    tap::{Point, Site, Tap},
    tokenizer::{Encoded, Tokenizer},
    twin::Twin,
    weights::Weights,
};
