//! The command line: models, annotated text, parameters of clusters and alignment.

use std::{error::Error, path::PathBuf, sync::Arc};

use attn_sdk::{
    analyze::concepts::{
        AlignParams, AlignRule, ConceptSpace, FrequencyFilter, NamesFile, NeuronParams, OverlapParams, Permute,
        PipelineParams, Subwords, TaggedText, WordList,
    },
    core::{Side, text::TaggedParams},
    embedded::{self, EmbeddedModel, SENTENCES_CONLLU},
    models::Checkpoint,
    render::{Theme, ViewState, state::Shared},
};
use clap::{Parser, ValueEnum};

/// The default output folder.
pub(crate) const OUT: &str = "out/concepts";
/// What the places of embedded models begin with.
const EMBEDDED: &str = "embedded:";

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
    /// Opens a concepts.json, without the model. --clusters, --threshold and --rule cut it anew. The model is loaded for new sentences
    /// alone, from where it was or from --model and --model-after
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
    /// Column of a table with a second text that the model reads after the first
    #[arg(long, value_name = "COLUMN")]
    pub(crate) pair: Option<String>,
    /// What the model reads between two texts of a pair
    #[arg(long, value_name = "TEXT", default_value = "[SEP]")]
    pub(crate) between: String,
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
    /// Share of a cluster that must have the label, for an alignment
    #[arg(long, default_value_t = AlignParams::default().threshold)]
    pub(crate) threshold: f64,
    /// Members that are counted for an alignment
    #[arg(long, value_enum, default_value = "words")]
    pub(crate) rule: Rule,
    /// Clusters with fewer different words are not judged, but counted; with 1, clusters of one word count as well
    #[arg(long, value_name = "N", default_value_t = AlignParams::default().min_words)]
    pub(crate) min_words: usize,
    /// For clusters that are found again: they need more different spellings than this
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) more_than: usize,
    /// For clusters that are found again: they must have more than this times the spellings of the other
    #[arg(long, value_name = "RATIO", default_value_t = 0.0)]
    pub(crate) size_ratio: f64,
    /// Also clusters special tokens (`[CLS]`), as points of their own
    #[arg(long)]
    pub(crate) special_tokens: bool,
    /// Also ranks the neurons of every layer for each label of the file
    #[arg(long)]
    pub(crate) neurons: bool,
    /// Method of clustering
    #[arg(long, value_enum, default_value = "ward")]
    pub(crate) method: Method,
    /// Unit of label permutation, for the chance level
    #[arg(long, value_enum, default_value = "types")]
    pub(crate) permute: Exchange,
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
    /// Also clusters by k-means, mini-batch k-means and leaders, and reports their agreement with Ward
    #[arg(long)]
    pub(crate) methods: bool,
    /// A sentence of your own: its words are placed into the clusters of every layer, and a classifier's prediction for it is
    /// explained in place of --explain's
    #[arg(long, value_name = "TEXT")]
    pub(crate) sentence: Option<String>,
    /// Names of clusters of a layer, from a file of lines `number` TAB `name`
    #[arg(long, value_name = "LAYER=FILE")]
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
    /// Dense regions, the rest is noise
    Optics,
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

#[derive(Clone)]
enum Model {
    Folder(PathBuf),
    Embedded(EmbeddedModel),
}

/// A model, or a capture of it, and the text it reads.
pub(crate) struct Source {
    model: Option<Model>,
    /// The capture to open in place of running the model.
    pub(crate) capture: Option<PathBuf>,
    /// Where the hidden states go, if not to memory.
    pub(crate) store: Option<PathBuf>,
    pub(crate) text: Arc<TaggedText>,
    /// Added to the model's name to tell two texts apart; may be empty.
    pub(crate) suffix: String,
}

impl Source {
    /// The model, if there is one beside a capture.
    pub(crate) fn checkpoint(&self) -> Result<Option<Checkpoint>, Box<dyn Error>> {
        self.model.as_ref().map(Model::checkpoint).transpose()
    }

    /// Where the model is found again.
    pub(crate) fn place(&self) -> Option<String> {
        Some(match self.model.as_ref()? {
            // A name in the local cache of the hub is where it was found.
            Model::Folder(folder) => {
                let found = Checkpoint::open(folder).map_or_else(|_| folder.clone(), |found| found.path().to_owned());
                let whole = std::path::absolute(&found).unwrap_or(found);
                whole.display().to_string()
            }
            Model::Embedded(model) => format!("{EMBEDDED}{model}"),
        })
    }
}

/// Which model a space is of, counted from 0: the stacks of an encoder-decoder are spaces of one.
fn number_of_model(models: &[ConceptSpace], at: usize) -> usize {
    let begins = |pair: &&[ConceptSpace]| (pair[0].side, pair[1].side) != (Some(Side::Encoder), Some(Side::Decoder));
    models[..=at].windows(2).filter(begins).count()
}

impl Model {
    fn checkpoint(&self) -> Result<Checkpoint, Box<dyn Error>> {
        Ok(match self {
            Self::Folder(folder) => Checkpoint::open(folder)?,
            Self::Embedded(embedded) => embedded.checkpoint()?,
        })
    }
}

impl Options {
    /// The model of a space of a study that was opened: the one that is named, else the one that the study names; `None` if neither
    /// does.
    pub(crate) fn reopened(&self, models: &[ConceptSpace], at: usize) -> Result<Option<Checkpoint>, Box<dyn Error>> {
        let space = &models[at];
        let named = match number_of_model(models, at) {
            0 => self.model.as_ref(),
            after => self.model_after.get(after - 1),
        };
        let source = space.source.as_ref();
        let known = |place: &str| match place.strip_prefix(EMBEDDED) {
            Some(name) => embedded::find(name).map(Model::Embedded),
            None => Some(Model::Folder(place.into())),
        };
        let model = match named {
            Some(folder) => Some(Model::Folder(folder.clone())),
            None => source.and_then(|source| known(&source.place)),
        };
        let Some(checkpoint) = model.map(|model| model.checkpoint()).transpose()? else {
            return Ok(None);
        };
        let expected = source.map_or("", |source| &source.fingerprint);
        if !expected.is_empty() && expected != checkpoint.fingerprint() {
            let (path, name) = (checkpoint.path().display(), &space.model);
            return Err(format!("{path}: expected {name} as the study read it, found other weights").into());
        }
        Ok(Some(checkpoint))
    }

    /// The models, with their texts.
    pub(crate) fn sources(&self) -> Result<Vec<Source>, Box<dyn Error>> {
        if self.open.is_some() {
            return Ok(Vec::new());
        }
        let mut models: Vec<Option<Model>> = vec![self.model.clone().map(Model::Folder)];
        models.extend(
            self.model_after
                .iter()
                .cloned()
                .map(|folder| Some(Model::Folder(folder))),
        );
        match (&self.model, self.capture.len()) {
            (None, 0) => {
                models[0] = Some(Model::Embedded(embedded::TEXT_ENCODER));
                if models.len() == 1 && self.tags_after.is_empty() {
                    models.push(Some(Model::Embedded(embedded::SENTIMENT)));
                }
            }
            (_, 0) => {}
            (_, captures) if models.len() > captures => {
                return Err(format!(
                    "--capture: expected one per model, found {captures} for {}",
                    models.len()
                )
                .into());
            }
            (_, captures) => models.resize(captures, None),
        }
        if models.len() == 1 && !self.tags_after.is_empty() {
            models.push(models[0].clone());
        }
        let text = Arc::new(self.text(&self.tags)?);
        let source = |(at, model): (usize, Option<Model>)| Source {
            model,
            capture: self.capture.get(at).cloned(),
            store: self.store.as_ref().map(|folder| folder.join(at.to_string())),
            text: text.clone(),
            suffix: String::new(),
        };
        let mut sources: Vec<Source> = models.into_iter().enumerate().map(source).collect();
        if let Some(tags) = self.tags_after.first() {
            let after = Arc::new(self.text(&self.tags_after)?);
            let stem = |path: &PathBuf| path.file_stem().map(|stem| format!(", {}", stem.to_string_lossy()));
            let last = sources.len() - 1;
            for (at, source) in sources.iter_mut().enumerate() {
                let own = if at == last { Some(tags) } else { self.tags.first() };
                source.suffix = own.and_then(stem).unwrap_or_default();
            }
            sources[last].text = after;
        }
        Ok(sources)
    }

    /// Files of names, with their layers.
    pub(crate) fn names(&self) -> Result<Vec<(usize, NamesFile)>, Box<dyn Error>> {
        let read = |given: &String| -> Result<(usize, NamesFile), Box<dyn Error>> {
            let parts = given.split_once('=');
            let parts = parts.and_then(|(layer, file)| Some((layer.parse().ok()?, PathBuf::from(file))));
            let (layer, file) = parts.ok_or_else(|| format!("--names: expected LAYER=FILE, found `{given}`"))?;
            let place = file.display().to_string();
            let content = String::from_utf8(attn_sdk::core::files::read(&file, 1 << 28)?)
                .map_err(|error| format!("{place}: {error}"))?;
            Ok((layer, NamesFile::read(&content, &place)?))
        };
        self.names.iter().map(read).collect()
    }

    /// The annotated text, up to the limit of sentences.
    fn text(&self, paths: &[PathBuf]) -> Result<TaggedText, Box<dyn Error>> {
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
            align: self.align(),
            no_labels: self.no_label.clone(),
            levels: self.levels,
            word_lists,
            special_tokens: self.special_tokens,
            neurons: self.neurons.then(NeuronParams::default),
            overlap: OverlapParams {
                threshold: self.threshold,
                more_than: self.more_than,
                size_ratio: self.size_ratio,
                seed: self.seed,
                ..OverlapParams::default()
            },
            classes: self.classes.clone(),
            map: !self.no_map,
            seed: self.seed,
            ..PipelineParams::default()
        })
    }

    fn align(&self) -> AlignParams {
        AlignParams {
            threshold: self.threshold,
            rule: self.rule.align(),
            min_words: self.min_words,
            permute: match self.permute {
                Exchange::Types => Permute::Types,
                Exchange::Words => Permute::Words,
            },
            seed: self.seed,
            ..AlignParams::default()
        }
    }

    /// Whether a study that is opened is cut anew.
    pub(crate) fn cuts(&self) -> bool {
        let default = AlignParams::default();
        self.clusters.is_some() || self.threshold != default.threshold || self.rule != Rule::Words
    }

    /// The view state of plots.
    pub(crate) fn view(&self) -> ViewState {
        ViewState::from(Shared {
            theme: if self.dark { Theme::Dark } else { Theme::Light },
            ..Shared::default()
        })
    }
}
