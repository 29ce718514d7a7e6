//! The command line: models, annotated text, parameters of clusters and alignment.

use std::{error::Error, path::PathBuf, sync::Arc};

use attn_sdk::{
    analyze::concepts::{
        AlignParams, AlignRule, FrequencyFilter, OverlapParams, Permute, PipelineParams, Subwords, TaggedText,
    },
    embedded::{self, EmbeddedModel, SENTENCES_CONLLU},
    models::Checkpoint,
    render::{Shared, Theme, ViewState},
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
    /// A second model to compare with, such as the first one after fine-tuning [default: the embedded sentiment model if neither
    /// --model nor --tags-after is given, else none]
    #[arg(long, value_name = "DIR")]
    pub(crate) model_after: Option<PathBuf>,
    /// Annotated text: CoNLL-U if the extension is .conllu, else lines of word_tag [default: the embedded sentences]
    #[arg(long, value_name = "FILE")]
    pub(crate) tags: Option<PathBuf>,
    /// A second text, such as one of another period, for the second model, or for the first if there is only one
    #[arg(long, value_name = "FILE")]
    pub(crate) tags_after: Option<PathBuf>,
    /// Separator of word and tag
    #[arg(long, default_value_t = '_')]
    pub(crate) separator: char,
    /// CoNLL-U columns to align with [default: upos,deprel; for the embedded sentences upos,misc.Class]
    #[arg(long, value_delimiter = ',')]
    pub(crate) columns: Vec<String>,
    /// Key of the comment that labels sentences (# sentiment = positive), if the file has one
    #[arg(long, default_value = "sentiment")]
    pub(crate) classes: String,
    /// Layers; 0 is the embeddings [default: all]
    #[arg(long, value_delimiter = ',')]
    pub(crate) layers: Vec<usize>,
    /// The token that represents a word
    #[arg(long, value_enum, default_value = "last")]
    pub(crate) subwords: Token,
    /// Clusters per layer [default: 600, or a tenth of the words if less]
    #[arg(long, value_name = "K")]
    pub(crate) clusters: Option<usize>,
    /// Share of a cluster that must have the label, for an alignment
    #[arg(long, default_value_t = AlignParams::default().threshold)]
    pub(crate) threshold: f64,
    /// Members that are counted for an alignment
    #[arg(long, value_enum, default_value = "words")]
    pub(crate) rule: Rule,
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
    /// For classifiers: the sentence, counted from 1, whose prediction is attributed to clusters
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) explain: usize,
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

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Rule {
    /// Occurrences, each with its label in context
    Words,
    /// As words, but the share must exceed the threshold
    Strict,
    /// Distinct spellings, in clusters of more than 5, for labels of at least 6
    Types,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Exchange {
    /// Spellings
    Types,
    /// Occurrences
    Words,
}

#[derive(Clone)]
enum Model {
    Folder(PathBuf),
    Embedded(EmbeddedModel),
}

/// A model and the text it reads.
pub(crate) struct Source {
    model: Model,
    pub(crate) text: Arc<TaggedText>,
    /// Added to the model's name to tell two texts apart; may be empty.
    pub(crate) suffix: String,
}

impl Source {
    pub(crate) fn checkpoint(&self) -> Result<Checkpoint, Box<dyn Error>> {
        Ok(match &self.model {
            Model::Folder(folder) => Checkpoint::open(folder)?,
            Model::Embedded(embedded) => embedded.checkpoint()?,
        })
    }
}

impl Options {
    /// The one or two models, with their texts.
    pub(crate) fn sources(&self) -> Result<Vec<Source>, Box<dyn Error>> {
        let model = self.model.clone();
        let model = model.map_or(Model::Embedded(embedded::TEXT_ENCODER), Model::Folder);
        let after = match (&self.model_after, &self.tags_after, &self.model) {
            (Some(folder), ..) => Some(Model::Folder(folder.clone())),
            (None, Some(_), _) => Some(model.clone()),
            (None, None, None) => Some(Model::Embedded(embedded::SENTIMENT)),
            (None, None, Some(_)) => None,
        };
        let text = Arc::new(self.text(self.tags.as_ref())?);
        let source = |model| Source {
            model,
            text: text.clone(),
            suffix: String::new(),
        };
        let mut first = source(model);
        let Some(mut second) = after.map(source) else {
            return Ok(vec![first]);
        };
        if let Some(tags) = &self.tags_after {
            second.text = Arc::new(self.text(Some(tags))?);
            let stem = |path: &PathBuf| path.file_stem().map(|stem| format!(", {}", stem.to_string_lossy()));
            first.suffix = self.tags.as_ref().and_then(stem).unwrap_or_default();
            second.suffix = stem(tags).unwrap_or_default();
        }
        Ok(vec![first, second])
    }

    /// The annotated text, up to the limit of sentences.
    fn text(&self, path: Option<&PathBuf>) -> Result<TaggedText, Box<dyn Error>> {
        let conllu = |content: &str, place: &str, default: &[&str]| {
            let named: Vec<&str> = self.columns.iter().map(String::as_str).collect();
            TaggedText::conllu(content, place, if named.is_empty() { default } else { &named })
        };
        let mut text = match path {
            None => conllu(SENTENCES_CONLLU, "embedded sentences", &["upos", "misc.Class"])?,
            Some(path) => {
                let place = path.display().to_string();
                let content = String::from_utf8(attn_sdk::core::files::read(path, 1 << 30)?)
                    .map_err(|error| format!("{place}: {error}"))?;
                if path.extension().is_some_and(|extension| extension == "conllu") {
                    conllu(&content, &place, &["upos", "deprel"])?
                } else {
                    TaggedText::word_tag(&content, &place, self.separator)?
                }
            }
        };
        if let Some(most) = self.max_sentences {
            text.truncate(most);
        }
        Ok(text)
    }

    /// Settings of the pipeline.
    pub(crate) fn params(&self) -> PipelineParams {
        PipelineParams {
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
            overlap: OverlapParams {
                threshold: self.threshold,
                seed: self.seed,
                ..OverlapParams::default()
            },
            classes: self.classes.clone(),
            seed: self.seed,
            ..PipelineParams::default()
        }
    }

    fn align(&self) -> AlignParams {
        let words = |strict| AlignRule::Words {
            strict,
            most_unlabeled: 0.4,
        };
        AlignParams {
            threshold: self.threshold,
            rule: match self.rule {
                Rule::Words => words(false),
                Rule::Strict => words(true),
                Rule::Types => AlignRule::PUBLISHED_TYPES,
            },
            permute: match self.permute {
                Exchange::Types => Permute::Types,
                Exchange::Words => Permute::Words,
            },
            seed: self.seed,
            ..AlignParams::default()
        }
    }

    /// The view state of plots.
    pub(crate) fn view(&self) -> ViewState {
        ViewState::from(Shared {
            theme: if self.dark { Theme::Dark } else { Theme::Light },
            ..Shared::default()
        })
    }
}
