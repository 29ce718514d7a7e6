//! The command line.

use std::path::PathBuf;

use attn_sdk::{
    TokenFilter,
    core::{LayerHead, text::TextFormat},
    embedded::{self, EmbeddedModel},
    models::control::Control,
    project::{
        AtlasParams, Dims, Method,
        pca::Pca,
        tsne::{AttentionTsne, Tsne},
        umap::Umap,
    },
    render::{
        Format, Theme, ViewState,
        color::Palette,
        scene::PatchStyle,
        state::{ColorChoice, Shared},
    },
    study::{experiment::Edges, gallery::GalleryParams, sequence::SwitchedOff},
};
use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::source::{Reads, Subject, What};

/// Shows what every attention head of a transformer attends to, across a whole data set.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Options {
    /// A session that the window saved: opens it as it was
    #[arg(value_name = "SESSION", exclusive = true)]
    pub(crate) session: Option<PathBuf>,
    /// Folder of a model, GGUF file, or name in the local cache of the hub [default: an embedded model]
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// An embedded model: text-encoder, text-decoder, vision, dates or sentiment [default: text-encoder]
    #[arg(long, value_name = "NAME", value_parser = embedded_model, conflicts_with = "model")]
    pub(crate) embedded: Option<EmbeddedModel>,
    /// Checkpoint folders of one training run, in order. Projects the same heads at every checkpoint with aligned layouts. Writes all model outputs for the last checkpoint. Without a folder: the four epochs of the embedded sentiment model
    #[arg(long, value_name = "DIR", num_args = 0.., conflicts_with_all = ["model", "embedded"])]
    pub(crate) checkpoints: Option<Vec<PathBuf>>,
    /// Text file, one sequence per line (.txt); or .csv, .tsv, .jsonl, .ndjson, .json, .conllu or .conllup, whose columns become colors. CLIP and SigLIP read it with their text tower. Encoder-decoder: a line is a source and, after a TAB, a target. Lines longer than the model accepts are truncated, with a note [default: 200 embedded sentences]
    #[arg(long, value_name = "FILE")]
    pub(crate) text: Option<PathBuf>,
    /// Format of the text file, overrides its extension: lines, csv, tsv, jsonl, json, conllu, conllup or word-tag
    #[arg(long, value_name = "FORMAT", requires = "text")]
    pub(crate) text_format: Option<TextFormat>,
    /// Column of a table that holds the text [default: text or sentence]
    #[arg(long, value_name = "COLUMN", requires = "text")]
    pub(crate) text_column: Option<String>,
    /// Token ids, one sequence per line, separated by spaces: for models without a tokenizer
    #[arg(long, value_name = "FILE", conflicts_with_all = ["text", "images"])]
    pub(crate) ids: Option<PathBuf>,
    /// Folder of images, for vision models; a labels.csv there (column image, others are labels) becomes columns [default: 24
    /// embedded images]
    #[arg(long, value_name = "DIR", conflicts_with = "text")]
    pub(crate) images: Option<PathBuf>,
    /// Folder of sounds (16-bit WAV of the model's rate, 16 kHz for most), for Whisper and wav2vec 2.0. NAME.txt beside NAME.wav is its transcript; without one, Whisper writes it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["text", "ids", "images"])]
    pub(crate) sounds: Option<PathBuf>,
    /// Opens an existing capture, made by this program or another one. --text then adds the columns of the captured text file
    #[arg(long, value_name = "CAPTURE", conflicts_with_all = ["model", "embedded", "ids", "images", "sounds"])]
    pub(crate) open: Option<PathBuf>,
    /// Writes plots and atlas.json to this folder. Without it, opens a window if there is a display
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Projection of queries and keys
    #[arg(long, value_enum, default_value = "attention")]
    pub(crate) projection: Projection,
    /// Dimensions of the projection: 2 or 3
    #[arg(long, default_value = "2", value_parser = ["2", "3"])]
    pub(crate) dims: String,
    /// Seed of samples and projections: the same seed gives the same plots
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Limit of points per head. Sequences are sampled whole until it is reached
    #[arg(long, value_name = "N", default_value_t = 6000)]
    pub(crate) max_points: usize,
    /// A head to plot by itself; repeatable [default: the three whose plots show most of attention]
    #[arg(long, value_name = "[ATTENTION:]LAYER:HEAD")]
    pub(crate) head: Vec<LayerHead>,
    /// Ablates this head and writes the change of loss and output; repeatable: heads are ablated together
    #[arg(long, value_name = "[ATTENTION:]LAYER:HEAD")]
    pub(crate) ablate: Vec<LayerHead>,
    /// Knocks out edges of a head in every sequence and writes the change of loss and output. Baselines: the same edges of other heads, other edges of this head. EDGES: previous, self, next, an offset such as -3, first, special, same, or WORD>WORD with * for any; repeatable, each by itself
    #[arg(long, value_name = "[ATTENTION:]LAYER:HEAD=EDGES", value_parser = head_and_edges)]
    pub(crate) knock_out: Vec<(LayerHead, Edges)>,
    /// Compares with a control model: untrained, shuffled-positions or position-free; repeatable. Writes its plots and control-CONTROL.md
    #[arg(long, alias = "against", value_name = "CONTROL", conflicts_with_all = ["open"], requires = "out")]
    pub(crate) control: Vec<Control>,
    /// The sequence to draw, counted from 1 [default: the one closest to 14 tokens]
    #[arg(long, value_name = "N")]
    pub(crate) sequence: Option<usize>,
    /// The patch whose attention is drawn over the image [default: the center patch]
    #[arg(long, value_name = "ROW:COLUMN", value_parser = row_and_column)]
    pub(crate) patch: Option<(usize, usize)>,
    /// Colors of points: query-key, position, position-mod-5, norm, token-length, sequence-length, token-frequency,
    /// punctuation, patch-row, patch-column, attended-nearest, trustworthiness, continuity, neighbors-kept, or a column of the data such as upos
    #[arg(long, value_name = "NAME", default_value = "query-key")]
    pub(crate) color: String,
    /// Sizes of points in plots of one head: norm, or another number of --color
    #[arg(long, value_name = "NAME")]
    pub(crate) size_by: Option<String>,
    /// Draws lines around dense regions in plots of one head, named by what most points inside are
    #[arg(long)]
    pub(crate) contours: bool,
    /// Draws every flow of at least 0.1 over an image, in place of the strongest of each patch
    #[arg(long)]
    pub(crate) all_flows: bool,
    /// Switches tokens off in every sequence: special or first; repeatable. The others share their attention
    #[arg(long, value_name = "TOKENS", value_parser = ["special", "first"])]
    pub(crate) switch_off: Vec<String>,
    /// Draws image patches in place of points: outlined, tinted or plain
    #[arg(long, value_name = "STYLE")]
    pub(crate) patches: Option<PatchStyle>,
    /// Limit of drawn tokens per word: keeps frequent words from dominating the plots
    #[arg(long, alias = "most-per-word", value_name = "N")]
    pub(crate) max_per_word: Option<usize>,
    /// Draws only tokens with this value of a column, such as upos=NOUN; repeatable. Values of one column are alternatives; all columns must match. Write \= for a = in the name of a column
    #[arg(long, value_name = "COLUMN=VALUE", value_parser = column_and_value)]
    pub(crate) only: Vec<(String, String)>,
    /// Weighting of attention: attention (raw weights), value (times the norm of the value vector) or output (times the norm of its contribution to the residual stream)
    #[arg(long, alias = "weighted", value_name = "WEIGHTING", default_value = "attention", value_parser = ["attention", "value", "output"])]
    pub(crate) weighting: String,
    /// Also writes each plot as SVG
    #[arg(long)]
    pub(crate) svg: bool,
    /// Also writes the data of each plot, of the sequences and of the summary as CSV
    #[arg(long)]
    pub(crate) csv: bool,
    /// Projects the values of all heads of each plotted layer, in one space: values-L.png
    #[arg(long)]
    pub(crate) values: bool,
    /// Places a new text, or the image at this path, as squares in the matrix and in each plotted head
    #[arg(long, alias = "guest", value_name = "TEXT|IMAGE")]
    pub(crate) place: Option<String>,
    /// Highlights tokens that contain this text, or have a value such as upos=NOUN, in all heads
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) search: String,
    /// Also projects the matches of --search alone, for each plotted head: matches-L-H.png
    #[arg(long, requires = "search")]
    pub(crate) matches_alone: bool,
    /// Dark theme
    #[arg(long)]
    pub(crate) dark: bool,
    /// Green and pink of the AttentionViz paper in place of the color-blind safe palette
    #[arg(long)]
    pub(crate) original_colors: bool,
    /// Prints the contents of the model's folder and exits
    #[arg(long)]
    pub(crate) checkpoint_info: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Projection {
    Pca,
    Tsne,
    Umap,
    /// t-SNE in which queries are also attracted to the keys that they attend to.
    Attention,
}

impl Projection {
    pub(crate) const ALL: [Self; 4] = [Self::Attention, Self::Tsne, Self::Umap, Self::Pca];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pca => "PCA",
            Self::Tsne => "t-SNE",
            Self::Umap => "UMAP",
            Self::Attention => "attention",
        }
    }

    /// The projection of a method: that of its kind, with whatever parameters.
    pub(crate) fn of(method: &Method) -> Self {
        let same = |other: &Self| other.method().name() == method.name();
        Self::ALL.into_iter().find(same).unwrap_or(Self::Attention)
    }

    pub(crate) fn method(self) -> Method {
        match self {
            Self::Pca => Pca.into(),
            Self::Tsne => Tsne::default().into(),
            Self::Umap => Umap::default().into(),
            Self::Attention => AttentionTsne::default().into(),
        }
    }
}

fn row_and_column(text: &str) -> Result<(usize, usize), String> {
    let place = text
        .split_once(':')
        .and_then(|(row, column)| Some((row.parse().ok()?, column.parse().ok()?)));
    place.ok_or_else(|| format!("expected ROW:COLUMN such as 2:5, found `{text}`"))
}

fn head_and_edges(text: &str) -> Result<(LayerHead, Edges), String> {
    let wrong = || format!("expected LAYER:HEAD=EDGES such as 1:2=previous, found `{text}`");
    let (head, edges) = text.split_once('=').ok_or_else(wrong)?;
    Ok((head.parse()?, edges.parse()?))
}

fn column_and_value(text: &str) -> Result<(String, String), String> {
    let escaped = |at: usize| text[..at].ends_with('\\');
    let split = text.match_indices('=').map(|(at, _)| at).find(|&at| !escaped(at));
    let parts = split.map(|at| (text[..at].replace("\\=", "="), text[at + 1..].to_owned()));
    parts.ok_or_else(|| format!("expected COLUMN=VALUE such as upos=NOUN, found `{text}`"))
}

impl Options {
    /// What to look at.
    pub(crate) fn what(&self) -> What {
        let text = self.text.clone().map(|path| Reads::Text {
            path,
            format: self.text_format,
            column: self.text_column.clone(),
        });
        let others = [
            self.ids.clone().map(Reads::Ids),
            self.images.clone().map(Reads::Images),
            self.sounds.clone().map(Reads::Sounds),
        ];
        let data = text.or_else(|| others.into_iter().flatten().next());
        let subject = match (&self.open, &self.checkpoints, &self.model) {
            (Some(folder), ..) => Subject::Capture(folder.clone()),
            (_, Some(folders), _) => Subject::Checkpoints(folders.clone()),
            (.., Some(folder)) => Subject::Model(folder.clone()),
            _ => {
                return What {
                    data,
                    ..What::embedded(self.embedded.unwrap_or(embedded::TEXT_ENCODER))
                };
            }
        };
        What { subject, data }
    }

    /// Parameters of projections.
    pub(crate) fn atlas(&self) -> AtlasParams {
        AtlasParams {
            method: self.projection.method(),
            dims: if self.dims == "3" { Dims::Three } else { Dims::Two },
            max_points: Some(self.max_points),
            seed: self.seed,
            ..AtlasParams::default()
        }
    }

    /// What to write.
    pub(crate) fn gallery(&self) -> GalleryParams {
        let formats = [(Format::Png, true), (Format::Svg, self.svg), (Format::Csv, self.csv)];
        let formats = formats.into_iter().filter(|(_, wanted)| *wanted);
        GalleryParams {
            heads: self.head.clone(),
            sequence: self.sequence,
            patch: self.patch,
            typed: self.place.clone(),
            values: self.values,
            matches: self.matches_alone,
            off: self.off(),
            ablate: self.ablate.clone(),
            knock_out: self.knock_out.clone(),
            state: self.view(),
            formats: formats.map(|(format, _)| format).collect(),
        }
    }

    /// Refuses what a window does not do.
    pub(crate) fn check_window(&self) -> Result<(), String> {
        if self.head.len() > 1 {
            return Err(format!(
                "--head: a window opens one head, found {}; with --out DIR all of them are plotted",
                self.head.len()
            ));
        }
        let files = [
            ("--ablate", !self.ablate.is_empty()),
            ("--knock-out", !self.knock_out.is_empty()),
            ("--patch", self.patch.is_some()),
            ("--svg", self.svg),
            ("--csv", self.csv),
            ("--values", self.values),
            ("--matches-alone", self.matches_alone),
        ];
        let given: Vec<&str> = files
            .into_iter()
            .filter(|(_, given)| *given)
            .map(|(name, _)| name)
            .collect();
        if given.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{}: a window has buttons and menus for it; add --out DIR to write files",
            given.join(", ")
        ))
    }

    /// Which tokens are switched off.
    pub(crate) fn off(&self) -> SwitchedOff {
        let off = |name: &str| self.switch_off.iter().any(|other| other == name);
        SwitchedOff {
            special: off("special"),
            first: off("first"),
        }
    }

    /// Which tokens to draw.
    pub(crate) fn filter(&self) -> TokenFilter {
        let mut filter = TokenFilter {
            at_most: self.max_per_word,
            ..TokenFilter::default()
        };
        for (column, value) in &self.only {
            filter.only.entry(column.clone()).or_default().insert(value.clone());
        }
        filter
    }

    /// The initial view state.
    pub(crate) fn view(&self) -> ViewState {
        ViewState::from(Shared {
            theme: if self.dark { Theme::Dark } else { Theme::Light },
            palette: if self.original_colors {
                Palette::Original
            } else {
                Palette::ColorBlindSafe
            },
            color: ColorChoice::from(self.color.as_str()),
            search: self.search.clone(),
            size_by: self.size_by.clone(),
            contours: self.contours,
            all_flows: self.all_flows,
            patches: self.patches,
            ..Shared::default()
        })
    }
}

/// The embedded model with this name.
fn embedded_model(name: &str) -> Result<EmbeddedModel, String> {
    let names = || embedded::all().map(|model| model.name).join(", ");
    embedded::find(name).ok_or_else(|| format!("expected one of {}, found `{name}`", names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_refuses_what_only_files_have() {
        let parse = |words: &[&str]| Options::try_parse_from(std::iter::once("atlas").chain(words.iter().copied()));
        let checked = |words: &[&str]| parse(words).unwrap().check_window();
        let fine = ["--head", "1:2", "--weighting", "value", "--sequence", "3", "--dark"];
        assert_eq!(checked(&fine), Ok(()));
        let error = checked(&["--svg", "--ablate", "0:1"]).unwrap_err();
        assert!(error.starts_with("--ablate, --svg: "), "{error}");
        let error = checked(&["--head", "1:2", "--head", "0:0"]).unwrap_err();
        assert!(error.starts_with("--head: a window opens one head, found 2"), "{error}");
        // A session holds everything.
        assert!(parse(&["session.json"]).is_ok());
        assert!(parse(&["session.json", "--dark"]).is_err());
    }

    #[test]
    fn names_of_columns_may_hold_the_sign() {
        let split = |text| column_and_value(text).ok();
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(split("upos=NOUN"), pair("upos", "NOUN"));
        assert_eq!(split("a=b=3"), pair("a", "b=3"));
        assert_eq!(split("a\\=b=3"), pair("a=b", "3"));
        assert_eq!(split("upos"), None);
    }
}
