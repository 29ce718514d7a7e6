//! The command line.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use attn_sdk::{
    core::files,
    embedded,
    models::Checkpoint,
    render::{Shared, Theme, ViewState},
    study::decoding::{Decoder, Decoding, DecodingParams, Fault, FlowOptions, Shift, Unit},
};
use clap::Parser;

/// The default output folder.
pub(crate) const OUT: &str = "out/seq2seq";

/// The source that is shown if none is given.
pub(crate) const EXAMPLE: &str = "May 21, 2000";

/// Largest file of sources, alignments or faults, in bytes.
const LARGEST: u64 = 1 << 28;

/// Shows what a model writes for a source, word by word, and why.
#[derive(Parser, Clone)]
#[command(version)]
pub(crate) struct Options {
    /// Folder or hub name of a model that writes: an encoder-decoder, or a decoder-only model that continues the source [default:
    /// the embedded date model]
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Opens a saved run.json again, without its model
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "source", "sources", "explain", "fault"])]
    pub(crate) open: Option<PathBuf>,
    /// The source, or the prompt of a decoder-only model
    #[arg(long, value_name = "TEXT", conflicts_with = "sources")]
    pub(crate) source: Option<String>,
    /// A file of sources, one per line; what stands after a TAB is left out
    #[arg(long, value_name = "FILE")]
    pub(crate) sources: Option<PathBuf>,
    /// Sequences kept at each step [default: as the checkpoint says]
    #[arg(long, value_name = "N")]
    pub(crate) beams: Option<usize>,
    /// Most likely tokens shown at each step
    #[arg(long, value_name = "K", default_value_t = 5)]
    pub(crate) top_k: usize,
    /// Power of the length that divides the log-probability of a sequence [default: as the checkpoint says]
    #[arg(long, value_name = "F")]
    pub(crate) length_penalty: Option<f64>,
    /// Most new tokens [default: as the checkpoint says, or twice the source]
    #[arg(long, value_name = "N")]
    pub(crate) max_new_tokens: Option<usize>,
    /// Text that the target has to begin with
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) prefix: String,
    /// Language of the source: its code or its token (de, __de__, deu_Latn, de_DE)
    #[arg(long, value_name = "TOKEN")]
    pub(crate) source_language: Option<String>,
    /// Language of the target: its code or its token. Models that read it in the text (>>fra<<) have it in the source
    #[arg(long, value_name = "TOKEN")]
    pub(crate) target_language: Option<String>,
    /// Finds out why the target of this source is not the expected one
    #[arg(long, value_name = "SOURCE", requires = "expected")]
    pub(crate) explain: Option<String>,
    /// The expected target of --explain
    #[arg(long, value_name = "TARGET", requires = "explain")]
    pub(crate) expected: Option<String>,
    /// Plants a fault: a JSON list of interventions, or an object with `edits` and the texts (`donors`) that patches take from
    #[arg(long, value_name = "FILE")]
    pub(crate) fault: Option<PathBuf>,
    /// Alignments of the sources in Pharaoh format, a line per source: heads are scored against them, and the alignment error rate
    /// is reported
    #[arg(long, value_name = "FILE")]
    pub(crate) alignments: Option<PathBuf>,
    /// Draws attention between words instead of pieces
    #[arg(long)]
    pub(crate) words: bool,
    /// Takes the attention of the step that reads a target token, not of the one that predicts it (Shift-Att)
    #[arg(long)]
    pub(crate) shift: bool,
    /// Leaves tokens of the format and punctuation out of the attention flow
    #[arg(long)]
    pub(crate) text_only: bool,
    /// Output folder of run.json, report.md and plots [default: a window, or out/seq2seq without a display]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Most sources whose plots are written; the others are in run.json and report.md
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) plots: usize,
    /// Also writes each plot as SVG
    #[arg(long)]
    pub(crate) svg: bool,
    /// Dark theme
    #[arg(long)]
    pub(crate) dark: bool,
    /// Seed of permutations and random donors
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

impl Options {
    /// The decoder, with the fault if there is one.
    pub(crate) fn decoder(&self) -> Result<Decoder, Box<dyn Error>> {
        let checkpoint = match &self.model {
            Some(folder) => Checkpoint::open(folder)?,
            None => embedded::DATES.checkpoint()?,
        };
        let decoder = Decoder::load(&checkpoint)?;
        let Some(path) = &self.fault else {
            return Ok(decoder);
        };
        let fault: Fault = serde_json::from_slice(&files::read(path, LARGEST)?)
            .map_err(|error| format!("{}: expected interventions: {error}", path.display()))?;
        Ok(decoder.with_fault(fault)?)
    }

    /// The settings of a decoding.
    pub(crate) fn params(&self, decoder: &Decoder) -> Result<DecodingParams, Box<dyn Error>> {
        let mut params = decoder.params();
        let generation = &mut params.generation;
        if let Some(beams) = self.beams {
            generation.beams = beams;
            generation.sampling = generation.sampling.filter(|_| beams == 1);
        }
        generation.length_penalty = self.length_penalty.unwrap_or(generation.length_penalty);
        generation.max_new_tokens = self.max_new_tokens.or(generation.max_new_tokens);
        if !self.prefix.is_empty() {
            generation.prefix = decoder.target_ids(&self.prefix)?;
        }
        if let Some(language) = &self.target_language {
            decoder.set_target_language(generation, language)?;
        }
        if let Some(language) = &self.source_language {
            params.source_language = Some(decoder.language(language)?);
        }
        params.top_k = self.top_k;
        params.shares = usize::MAX;
        Ok(params)
    }

    /// The sources with their lines.
    pub(crate) fn lines(&self) -> Result<Vec<(usize, String)>, Box<dyn Error>> {
        let mut lines = match (&self.sources, &self.source, &self.explain) {
            (Some(path), ..) => {
                let text = String::from_utf8(files::read(path, LARGEST)?)
                    .map_err(|error| format!("{}: expected UTF-8: {error}", path.display()))?;
                let lines = text
                    .lines()
                    .map(|line| line.split('\t').next().unwrap_or_default().to_owned());
                let lines: Vec<(usize, String)> = (1..).zip(lines).collect();
                if lines.is_empty() {
                    return Err(format!("{}: expected a source per line, found none", path.display()).into());
                }
                lines
            }
            (None, Some(source), _) | (None, None, Some(source)) => vec![(1, source.clone())],
            (None, None, None) if self.model.is_none() => vec![(1, EXAMPLE.to_owned())],
            (None, None, None) => return Err("expected --source TEXT or --sources FILE, found none".into()),
        };
        if let Some(explained) = &self.explain
            && lines.iter().all(|(_, source)| source != explained)
        {
            lines.push((lines.len() + 1, explained.clone()));
        }
        Ok(lines)
    }

    /// The runs of a saved file: one run, or all of a file of sources.
    pub(crate) fn saved(path: &Path) -> Result<Vec<Decoding>, Box<dyn Error>> {
        #[derive(serde::Deserialize)]
        struct Saved {
            run: Option<Decoding>,
        }
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum File {
            One(Box<Decoding>),
            Many { runs: Vec<Saved> },
        }
        let bytes = files::read(path, LARGEST)?;
        let wrong = |error: serde_json::Error| format!("{}: expected a saved run: {error}", path.display());
        let runs = match serde_json::from_slice(&bytes).map_err(wrong)? {
            File::One(run) => vec![*run],
            File::Many { runs } => runs.into_iter().filter_map(|saved| saved.run).collect(),
        };
        if let Some(error) = runs.iter().find_map(|run| run.check().err()) {
            return Err(format!("{}: {error}", path.display()).into());
        }
        if runs.is_empty() {
            return Err(format!("{}: expected a saved run, found none", path.display()).into());
        }
        Ok(runs)
    }

    /// The given alignments, if there are any.
    pub(crate) fn given_alignments(&self) -> Result<Option<String>, Box<dyn Error>> {
        let read = |path: &PathBuf| -> Result<String, Box<dyn Error>> {
            String::from_utf8(files::read(path, LARGEST)?)
                .map_err(|error| format!("{}: expected UTF-8: {error}", path.display()).into())
        };
        self.alignments.as_ref().map(read).transpose()
    }

    /// What an attention flow shows.
    pub(crate) fn flow(&self) -> FlowOptions {
        FlowOptions {
            shift: self.shifted(),
            unit: if self.words { Unit::Words } else { Unit::Pieces },
            text_only: self.text_only,
            ..FlowOptions::default()
        }
    }

    pub(crate) fn shifted(&self) -> Shift {
        if self.shift { Shift::Read } else { Shift::Predicted }
    }

    /// The view state of plots.
    pub(crate) fn view(&self) -> ViewState {
        ViewState::from(Shared {
            theme: if self.dark { Theme::Dark } else { Theme::Light },
            ..Shared::default()
        })
    }
}
