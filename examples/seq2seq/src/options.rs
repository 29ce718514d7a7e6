//! The command line.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use attn_sdk::{
    Progress,
    core::{files, text::each_line},
    embedded,
    models::Checkpoint,
    render::{Theme, ViewState, state::Shared},
    study::decoding::{
        AttentionScale, Decoder, DecodingParams, Fault, Fingerprint, FlowParams, NeighborhoodParams, Shift, StateIndex,
        Unit,
    },
};
use clap::{Parser, Subcommand};

use crate::indexing::IndexOptions;

/// The default output folder.
pub(crate) const OUT: &str = "out/seq2seq";

/// Sources whose plots are written.
const PLOTS: usize = 20;

/// The source that is shown if none is given.
pub(crate) const EXAMPLE: &str = "May 21, 2000";

/// Largest file of sources, alignments or faults, in bytes.
const LARGEST: u64 = 1 << 28;

/// Options of a new decoding, which a saved run does not follow.
const DECODING: [&str; 14] = [
    "model",
    "index",
    "source",
    "sources",
    "explain",
    "fault",
    "beams",
    "top_k",
    "length_penalty",
    "max_new_tokens",
    "prefix",
    "rank",
    "source_language",
    "target_language",
];

#[derive(Subcommand, Clone)]
pub(crate) enum Command {
    Index(IndexOptions),
}

/// The checkpoint of a folder or a hub name; without one the embedded dates.
pub(crate) fn checkpoint(model: Option<&Path>) -> Result<Checkpoint, attn_sdk::models::Error> {
    match model {
        Some(folder) => Checkpoint::open(folder),
        None => embedded::DATES.checkpoint(),
    }
}

/// A line of the sources.
pub(crate) struct Line {
    /// Counted from 1.
    pub(crate) number: usize,
    pub(crate) source: String,
    /// The target that is forced.
    pub(crate) target: Option<String>,
    /// Why it cannot be decoded: it lacks the column of the target, or is no text.
    pub(crate) wrong: Option<String>,
}

impl Line {
    pub(crate) fn new(number: usize, source: &str) -> Self {
        Self {
            number,
            source: source.to_owned(),
            target: None,
            wrong: None,
        }
    }
}

/// Shows what a model writes for a source, word by word, and why.
#[derive(Parser, Clone)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Folder or hub name of a model that writes: an encoder-decoder, or a decoder-only model that continues the source [default:
    /// the embedded date model]
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Opens a saved run.json again, without its model
    #[arg(long, value_name = "FILE", conflicts_with_all = DECODING)]
    pub(crate) open: Option<PathBuf>,
    /// The source, or the prompt of a decoder-only model
    #[arg(long, value_name = "TEXT", conflicts_with = "sources")]
    pub(crate) source: Option<String>,
    /// A file of sources, one per line; what stands after a TAB is left out, but for --alignments
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
    /// Ranks a text at every step of each output
    #[arg(long, value_name = "TEXT")]
    pub(crate) rank: Option<String>,
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
    /// Alignments in Pharaoh format, a line per line of --sources, which then has SOURCE TAB TARGET: the target is forced, heads are
    /// scored against the alignments, and the alignment error rate is reported
    #[arg(long, value_name = "FILE", requires = "sources", conflicts_with = "prefix")]
    pub(crate) alignments: Option<PathBuf>,
    /// An index of states (`seq2seq index`): neighbors of every state, on its map
    #[arg(long, value_name = "INDEX")]
    pub(crate) index: Option<PathBuf>,
    /// Neighbors of other sentences that are compared with each prediction; the nearest 20 of them are listed
    #[arg(long, value_name = "N", default_value_t = 100, requires = "index", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) neighbors: u32,
    /// Compares with all states of the index instead of searching
    #[arg(long, requires = "index")]
    pub(crate) exact: bool,
    /// Weights attention by the lengths of the values
    #[arg(long, conflicts_with = "output_norms")]
    pub(crate) value_norms: bool,
    /// Weights attention by the lengths of what a head writes for each value: after its output matrix (Kobayashi et al. 2020)
    #[arg(long)]
    pub(crate) output_norms: bool,
    /// Draws attention between words instead of pieces
    #[arg(long)]
    pub(crate) words: bool,
    /// Takes the attention of the step that reads a target token, not of the one that predicts it (Shift-Att)
    #[arg(long)]
    pub(crate) shift: bool,
    /// Leaves tokens of the format and punctuation, of source and target, out of attention flow and table
    #[arg(long)]
    pub(crate) text_only: bool,
    /// Output folder of run.json, report.md and plots [default: a window, or out/seq2seq without a display]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Most sources whose plots are written; the others are in run.json and report.md
    #[arg(long, value_name = "N", default_value_t = PLOTS)]
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
    fn checkpoint(&self) -> Result<Checkpoint, attn_sdk::models::Error> {
        checkpoint(self.model.as_deref())
    }

    /// The index, if one is named, once it is sure that it is of this model.
    pub(crate) fn open_index(&self, progress: &dyn Progress) -> Result<Option<StateIndex>, Box<dyn Error>> {
        let Some(folder) = &self.index else { return Ok(None) };
        let index = StateIndex::open(folder, progress)?;
        index.check(&Fingerprint::of(&self.checkpoint()?)?)?;
        Ok(Some(index))
    }

    /// What is asked of the index.
    pub(crate) fn near(&self) -> NeighborhoodParams {
        NeighborhoodParams {
            neighbors: self.neighbors as usize,
            exact: self.exact,
            ..NeighborhoodParams::default()
        }
    }

    /// The decoder, with the fault if there is one.
    pub(crate) fn decoder(&self) -> Result<Decoder, Box<dyn Error>> {
        let decoder = Decoder::load(&self.checkpoint()?)?;
        let Some(path) = &self.fault else {
            return Ok(decoder);
        };
        let fault: Fault = crate::saved::parse(&files::read(path, LARGEST)?, path, "interventions")?;
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
            generation.prefix = decoder
                .exact_ids(&self.prefix)
                .map_err(|error| format!("--prefix: {error}"))?;
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

    /// The settings of a decoding that writes a given target.
    pub(crate) fn forcing(
        params: &DecodingParams,
        decoder: &Decoder,
        target: &str,
    ) -> Result<DecodingParams, attn_sdk::Error> {
        let mut params = params.clone();
        let generation = &mut params.generation;
        generation.beams = 1;
        generation.sampling = None;
        generation.prefix = decoder.exact_ids(target)?;
        generation.forced_end = generation.end.first().copied();
        let first = usize::from(decoder.translates() && generation.forced_first.is_some());
        let end = usize::from(generation.forced_end.is_some());
        generation.max_new_tokens = Some(first + generation.prefix.len() + end);
        Ok(params)
    }

    /// The sources. Targets are read where alignments are given.
    pub(crate) fn lines(&self) -> Result<Vec<Line>, Box<dyn Error>> {
        let one = |source: &str| vec![Line::new(1, source)];
        let path = match (&self.sources, &self.source, &self.explain) {
            (Some(path), ..) => path,
            (None, Some(source), _) | (None, None, Some(source)) => return Ok(one(source)),
            (None, None, None) if self.model.is_none() => return Ok(one(EXAMPLE)),
            (None, None, None) => return Err("expected --source TEXT or --sources FILE, found none".into()),
        };
        let bytes = files::read(path, LARGEST)?;
        let line = |(number, line): (usize, Result<&str, attn_sdk::core::Error>)| {
            let mut columns = line.as_deref().unwrap_or_default().split('\t');
            let mut own = Line::new(number, columns.next().unwrap_or_default());
            own.target = columns.next().filter(|_| self.alignments.is_some()).map(str::to_owned);
            own.wrong = match line {
                Err(error) => Some(error.to_string()),
                Ok(_) if self.alignments.is_some() && own.target.is_none() => {
                    Some("expected SOURCE TAB TARGET for --alignments, found no TAB".to_owned())
                }
                Ok(_) => None,
            };
            own
        };
        let lines: Vec<Line> = each_line(&bytes, &path.display().to_string())?
            .into_iter()
            .map(line)
            .collect();
        if lines.is_empty() {
            return Err(format!("{}: expected a source per line, found none", path.display()).into());
        }
        Ok(lines)
    }

    /// The file of given alignments and its text, if there is one.
    pub(crate) fn given_alignments(&self) -> Result<Option<(&Path, String)>, Box<dyn Error>> {
        let Some(path) = self.alignments.as_deref() else {
            return Ok(None);
        };
        let text = String::from_utf8(files::read(path, LARGEST)?)
            .map_err(|error| format!("{}: expected UTF-8: {error}", path.display()))?;
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        Ok(Some((path, text)))
    }

    /// What a window leaves aside.
    pub(crate) fn ignored(&self) -> String {
        let named = [
            ("--alignments", self.alignments.is_some()),
            ("--rank", self.rank.is_some()),
            ("--plots", self.plots != PLOTS),
            ("--svg", self.svg),
            ("--explain together with other sources", {
                self.explain.is_some() && (self.source.is_some() || self.sources.is_some())
            }),
        ];
        let named: Vec<&str> = named.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
        if named.is_empty() {
            return String::new();
        }
        format!("The window leaves {} aside; --out DIR writes it.", named.join(", "))
    }

    /// What an attention flow shows.
    pub(crate) fn flow(&self) -> FlowParams {
        FlowParams {
            shift: self.shifted(),
            unit: if self.words { Unit::Words } else { Unit::Pieces },
            text_only: self.text_only,
            scale: match (self.value_norms, self.output_norms) {
                (true, _) => AttentionScale::ValueNorms,
                (_, true) => AttentionScale::OutputNorms,
                _ => AttentionScale::Weights,
            },
            ..FlowParams::default()
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
