//! The command line: models, annotated text, parameters of clusters and alignment.

use std::{error::Error, path::PathBuf};

use attn_sdk::{
    analyze::concepts::{
        AlignParams, AlignRule, ConceptSpace, FrequencyFilter, NamesFile, NeuronParams, OverlapParams, Permute,
        PipelineParams, Subwords, TaggedText, WordList,
    },
    core::text::TaggedParams,
    embedded::SENTENCES_CONLLU,
    render::{Theme, ViewState, state::Shared},
};
use clap::{Parser, ValueEnum};

/// The default output folder.
pub(crate) const OUT: &str = "out/concepts";

/// Clusters the words of every layer and aligns the clusters with labels.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Folder of the model [default: the embedded text encoder]
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// A second model to compare with, such as the first one after fine-tuning; or several, such as the checkpoints of a training,
    /// in their order [default: the embedded sentiment model if neither --model, --capture nor --tags-after is given, else none]
    #[arg(long, value_name = "DIR", value_delimiter = ',')]
    pub(crate) model_after: Vec<PathBuf>,
    /// Captures of the text to open in place of running models, one per model in their order; with the hidden states of the
    /// layers, made by any program (docs/CAPTURE.md). With --model too, new sentences can be read
    #[arg(long, value_name = "DIR", value_delimiter = ',')]
    pub(crate) capture: Vec<PathBuf>,
    /// Folder for captures of hidden states, one per model, in place of memory: what is there goes on or is opened
    #[arg(long, value_name = "DIR", conflicts_with = "capture")]
    pub(crate) store: Option<PathBuf>,
    /// Opens a concepts.json, or the one in a folder, without the model. --clusters, --threshold, --rule, --min-words, --permute,
    /// --more-than and --size-ratio cut and judge it anew; what is not given stays as it was saved. The model is loaded for new
    /// sentences alone, from where it was or from --model and --model-after
    #[arg(long, value_name = "FILE", conflicts_with_all = ["capture", "store", "tags", "tags_after", "layers"])]
    pub(crate) open: Option<PathBuf>,
    /// Annotated text, several times for more columns of the same sentences: .conllu, .conll (CoNLL-2000 and 2003), .tsv, .csv and
    /// .jsonl (a text and labels per row), .json (lists of ConceptX), else lines of word_tag [default: the embedded sentences]
    #[arg(long, value_name = "FILE")]
    pub(crate) tags: Vec<PathBuf>,
    /// A second text, such as one of another period, for the second model, or for the first if there is only one
    #[arg(long, value_name = "FILE")]
    pub(crate) tags_after: Vec<PathBuf>,
    /// Column of a table that holds the text [default: text or sentence]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) text_column: Option<String>,
    /// Column of a table with a second text: the model reads both as a pair, as its tokenizer writes pairs
    #[arg(long, value_name = "COLUMN")]
    pub(crate) pair: Option<String>,
    /// Makes one text of a pair, with this between the two, for models that read no pairs
    #[arg(long, value_name = "TEXT", requires = "pair")]
    pub(crate) between: Option<String>,
    /// Lists of words that are concepts: lines of a word, a tab and its group; several times
    #[arg(long, value_name = "FILE")]
    pub(crate) word_list: Vec<PathBuf>,
    /// Labels of words that are no concept
    #[arg(long, value_name = "LABEL", value_delimiter = ',', default_value = "O,_")]
    pub(crate) no_label: Vec<String>,
    /// Separator of levels in hierarchical labels (SEM:origin:europe), which are then aligned level by level
    #[arg(long, value_name = "CHAR")]
    pub(crate) levels: Option<char>,
    /// Separator of word and tag
    #[arg(long, default_value_t = '_')]
    pub(crate) separator: char,
    /// CoNLL-U columns to align with [default: upos,deprel; for the embedded sentences upos,misc.Class]
    #[arg(long, value_delimiter = ',')]
    pub(crate) columns: Vec<String>,
    /// Key of the comment that labels sentences (# sentiment = positive), if the file has one
    #[arg(long, default_value = "sentiment")]
    pub(crate) classes: String,
    /// Layers, in any order; 0 is the embeddings [default: all]
    #[arg(long, value_delimiter = ',')]
    pub(crate) layers: Vec<usize>,
    /// The token that represents a word
    #[arg(long, value_enum, default_value = "last")]
    pub(crate) subwords: Token,
    /// Clusters per layer [default: 600, or a fiftieth of the words if less]
    #[arg(long, value_name = "K")]
    pub(crate) clusters: Option<usize>,
    /// Share of a cluster that must have the label, for an alignment [default: 0.9]
    #[arg(long)]
    pub(crate) threshold: Option<f64>,
    /// Members that are counted for an alignment [default: words]
    #[arg(long, value_enum)]
    pub(crate) rule: Option<Rule>,
    /// Clusters with fewer different words are not judged, but counted; with 1, clusters of one word count as well [default: 2]
    #[arg(long, value_name = "N")]
    pub(crate) min_words: Option<usize>,
    /// For clusters that are found again: they need more different spellings than this [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) more_than: Option<usize>,
    /// For clusters that are found again: they must have more than this times the spellings of the other [default: 0]
    #[arg(long, value_name = "RATIO")]
    pub(crate) size_ratio: Option<f64>,
    /// Also clusters special tokens (`[CLS]`), as points of their own
    #[arg(long)]
    pub(crate) special_tokens: bool,
    /// Also ranks the neurons of every layer for each label of the file
    #[arg(long)]
    pub(crate) neurons: bool,
    /// Method of clustering
    #[arg(long, value_enum, default_value = "ward")]
    pub(crate) method: Method,
    /// Unit of label permutation, for the chance level [default: types]
    #[arg(long, value_enum)]
    pub(crate) permute: Option<Exchange>,
    /// Minimum of occurrences of a word; others are left out
    #[arg(long, alias = "at-least", value_name = "N", default_value_t = 5)]
    pub(crate) min_count: usize,
    /// Leaves out words with more occurrences [default: none]
    #[arg(long, value_name = "N")]
    pub(crate) drop_above: Option<usize>,
    /// Limit of occurrences per word, sampled with the seed
    #[arg(long, alias = "at-most", value_name = "N", default_value_t = 20)]
    pub(crate) max_count: usize,
    /// Limit of sentences, from the start of the text
    #[arg(long, value_name = "N")]
    pub(crate) max_sentences: Option<usize>,
    /// Also clusters by k-means, mini-batch k-means, leaders and DBSCAN, and reports their agreement with the method
    #[arg(long)]
    pub(crate) methods: bool,
    /// A sentence of your own: its words are placed into the clusters of every layer, and a classifier's prediction for it is
    /// explained in place of --explain's
    #[arg(long, value_name = "TEXT")]
    pub(crate) sentence: Option<String>,
    /// Names of clusters of a layer, from a file of lines `number` TAB `name`; of several models with the model's number, from 1
    #[arg(long, value_name = "[MODEL:]LAYER=FILE")]
    pub(crate) names: Vec<String>,
    /// For classifiers: the sentence, counted from 1, whose prediction is attributed to clusters
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) explain: usize,
    /// Leaves out the maps of words, which take most of the time of a large text
    #[arg(long)]
    pub(crate) no_map: bool,
    /// Seed of samples and permutations: the same seed gives the same result
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Output folder of concepts.json, report.md and plots [default: a window, or out/concepts without a display]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Also writes each plot as SVG
    #[arg(long)]
    pub(crate) svg: bool,
    /// Dark theme
    #[arg(long)]
    pub(crate) dark: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Token {
    Last,
    First,
    /// Mean of all tokens
    Average,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Rule {
    /// Occurrences, each with its label in context
    Words,
    /// As words, but the share must exceed the threshold
    Strict,
    /// Distinct spellings, in clusters of more than 5, for labels of at least 6
    Types,
}

impl Rule {
    pub(crate) const ALL: [(Self, &'static str); 3] = [
        (Self::Words, "occurrences"),
        (Self::Strict, "occurrences, strictly"),
        (Self::Types, "spellings, as published"),
    ];

    /// The rule of an alignment, if it is one of these.
    pub(crate) fn of(rule: &AlignRule) -> Option<Self> {
        let mut all = Self::ALL.into_iter().map(|(own, _)| own);
        all.find(|own| own.align() == *rule)
    }

    pub(crate) fn align(self) -> AlignRule {
        let words = |strict| AlignRule::Words {
            strict,
            most_unlabeled: 0.4,
        };
        match self {
            Self::Words => words(false),
            Self::Strict => words(true),
            Self::Types => AlignRule::PUBLISHED_TYPES,
        }
    }
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Method {
    /// Ward linkage
    Ward,
    /// k-means
    KMeans,
    /// k-means from a cut of Ward's tree
    WardKMeans,
    /// Leaders, then Ward linkage
    LeadersWard,
    /// Dense regions, the rest is noise; with a reachability plot
    Optics,
    /// Dense regions of one density, the rest is noise
    Dbscan,
    /// A mixture of at most 100 Gaussians in 50 dimensions, with a share of each cluster in each word
    Gaussian,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Exchange {
    /// Words as the model reads them
    Types,
    /// Occurrences
    Words,
}

/// Names for clusters of a layer.
pub(crate) struct Named {
    /// The number of the model, from 1; `None` for the only one.
    pub(crate) model: Option<usize>,
    pub(crate) layer: usize,
    pub(crate) names: NamesFile,
}

impl Options {
    /// Files of names, with their models and layers.
    pub(crate) fn names(&self) -> Result<Vec<Named>, Box<dyn Error>> {
        let read = |given: &String| -> Result<Named, Box<dyn Error>> {
            let parts = given.split_once('=').and_then(|(place, file)| {
                let (model, layer) = match place.split_once(':') {
                    Some((model, layer)) => (Some(model.parse().ok()?), layer),
                    None => (None, place),
                };
                Some((model, layer.parse().ok()?, PathBuf::from(file)))
            });
            let (model, layer, file) =
                parts.ok_or_else(|| format!("--names: expected [MODEL:]LAYER=FILE, found `{given}`"))?;
            let place = file.display().to_string();
            let content = String::from_utf8(attn_sdk::core::files::read(&file, 1 << 28)?)
                .map_err(|error| format!("{place}: {error}"))?;
            let names = NamesFile::read(&content, &place)?;
            Ok(Named { model, layer, names })
        };
        self.names.iter().map(read).collect()
    }

    /// The annotated text, up to the limit of sentences.
    pub(crate) fn text(&self, paths: &[PathBuf]) -> Result<TaggedText, Box<dyn Error>> {
        let mut params = TaggedParams {
            separator: self.separator,
            text_column: self.text_column.clone(),
            pair: self.pair.clone().map(|column| (column, self.between.clone())),
            ..TaggedParams::default()
        };
        if !self.columns.is_empty() {
            params.columns.clone_from(&self.columns);
        }
        let mut text = if paths.is_empty() {
            let named: Vec<&str> = self.columns.iter().map(String::as_str).collect();
            let columns = if named.is_empty() {
                &["upos", "misc.Class"][..]
            } else {
                &named
            };
            TaggedText::conllu(SENTENCES_CONLLU, "embedded sentences", columns)?
        } else {
            TaggedText::read(paths, &params)?
        };
        if let Some(most) = self.max_sentences {
            text.truncate(most);
        }
        Ok(text)
    }

    /// Settings of the pipeline.
    pub(crate) fn params(&self) -> Result<PipelineParams, Box<dyn Error>> {
        let mut word_lists = Vec::new();
        for path in &self.word_list {
            let place = path.display().to_string();
            let content = String::from_utf8(attn_sdk::core::files::read(path, 1 << 30)?)
                .map_err(|error| format!("{place}: {error}"))?;
            let name = path
                .file_stem()
                .map_or_else(|| place.clone(), |stem| stem.to_string_lossy().into_owned());
            word_lists.push(WordList::read(&content, &place, name)?);
        }
        let align = self.align(AlignParams {
            seed: self.seed,
            ..AlignParams::default()
        });
        let overlap = OverlapParams::default();
        Ok(PipelineParams {
            layers: self.layers.clone(),
            subwords: match self.subwords {
                Token::Last => Subwords::Last,
                Token::First => Subwords::First,
                Token::Average => Subwords::Average,
            },
            filter: FrequencyFilter {
                at_least: self.min_count,
                drop_above: self.drop_above,
                at_most: Some(self.max_count),
                seed: Some(self.seed),
            },
            clusters: self.clusters,
            no_labels: self.no_label.clone(),
            levels: self.levels,
            word_lists,
            special_tokens: self.special_tokens,
            neurons: self.neurons.then(NeuronParams::default),
            overlap: OverlapParams {
                threshold: align.threshold,
                more_than: self.more_than.unwrap_or(overlap.more_than),
                size_ratio: self.size_ratio.unwrap_or(overlap.size_ratio),
                seed: self.seed,
                ..overlap
            },
            align,
            classes: self.classes.clone(),
            map: !self.no_map,
            seed: self.seed,
            ..PipelineParams::default()
        })
    }

    /// An alignment with what the options say of it.
    fn align(&self, before: AlignParams) -> AlignParams {
        AlignParams {
            threshold: self.threshold.unwrap_or(before.threshold),
            rule: self.rule.map_or(before.rule, Rule::align),
            min_words: self.min_words.unwrap_or(before.min_words),
            permute: match self.permute {
                None => before.permute,
                Some(Exchange::Types) => Permute::Types,
                Some(Exchange::Words) => Permute::Words,
            },
            ..before
        }
    }

    /// Settings of the pipeline for a model of a study that is opened: as it was saved, but for what the options say.
    pub(crate) fn params_of(&self, space: &ConceptSpace) -> Result<PipelineParams, Box<dyn Error>> {
        let mut params = self.params()?;
        params.align = self.align(space.align().clone());
        params.overlap.threshold = params.align.threshold;
        let saved = space.layers.first().map(|layer| layer.clusters.len());
        params.clusters = self.clusters.or(saved.filter(|count| *count > 0));
        Ok(params)
    }

    /// Whether a study that is opened is cut or judged anew.
    pub(crate) fn cuts(&self) -> bool {
        self.clusters.is_some()
            || self.threshold.is_some()
            || self.rule.is_some()
            || self.min_words.is_some()
            || self.permute.is_some()
            || self.more_than.is_some()
            || self.size_ratio.is_some()
    }

    /// The view state of plots.
    pub(crate) fn view(&self) -> ViewState {
        ViewState::from(Shared {
            theme: if self.dark { Theme::Dark } else { Theme::Light },
            ..Shared::default()
        })
    }
}
