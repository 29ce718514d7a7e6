//! The content of a checkpoint, for readers and for files.

use std::collections::BTreeMap;

use attn_core::ModelInfo;
use serde::Serialize;

use super::{CONFIG, Checkpoint, PREPROCESSOR, Tokens};
use crate::{
    Error, Result, Weights,
    error::{SHORT, excerpt},
};

/// The content of a checkpoint, for readers and for files.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckpointInfo {
    /// The name of the folder or file.
    pub name: String,
    /// `model_type` of the configuration.
    pub family: Option<String>,
    /// The class that wrote it, for example `BertForMaskedLM`.
    pub architecture: Option<String>,
    /// Layers, heads and sizes, if the family is supported and the configuration is sound.
    pub model: Option<ModelInfo>,
    /// Number of stored weights.
    pub parameters: u64,
    /// How many of them have each element type (`f32`, `f16`, `q4_k`, ...).
    pub elements: BTreeMap<String, u64>,
    /// The files this crate reads.
    pub files: Vec<FileInfo>,
    /// Entries of the tokenizer's vocabulary, if there is a tokenizer that loads.
    pub vocabulary: Option<usize>,
    /// Height and width that images are brought to, if there is an image preprocessor that loads.
    pub image_size: Option<(usize, usize)>,
    /// Tensors the model has no use for, for example the head of another task.
    pub unused: Vec<String>,
    /// Tensors the configuration calls for and the files lack; `problems` says what that means.
    pub missing: Vec<String>,
    /// Why it cannot be run, and what it runs without, one message per problem; empty if nothing is wrong.
    pub problems: Vec<String>,
}

/// One file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileInfo {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub bytes: usize,
    /// How many tensors it holds.
    pub tensors: usize,
}

impl Checkpoint {
    /// The content of the folder, and whether it can be run, without loading the weights.
    pub fn describe(&self) -> CheckpointInfo {
        let probe = Weights::probe(self);
        let outcome = self
            .families
            .build(&self.config, &self.name, &probe)
            .map(|network| (network.info().clone(), network.hearing().is_some()));
        let hears = outcome.as_ref().is_ok_and(|(_, hears)| *hears);
        let outcome = outcome.map(|(info, _)| info);
        let asked = probe.asked();
        let mut shapes = BTreeMap::new();
        let mut elements: BTreeMap<String, u64> = BTreeMap::new();
        let mut parameters = 0;
        for found in self.store.tensors() {
            // A product of checked header sizes: it cannot exceed the elements that the file's length has room for.
            let count = found.entry.shape.iter().map(|&size| size as u64).product::<u64>();
            parameters += count;
            *elements
                .entry(found.entry.element.to_string().to_lowercase())
                .or_default() += count;
            shapes.insert(found.name.to_owned(), found.entry.shape.clone());
        }
        let file = |name: &str, bytes: usize| FileInfo {
            name: name.to_owned(),
            bytes,
            tensors: 0,
        };
        let mut files: Vec<FileInfo> = self.config_bytes.map(|bytes| file(CONFIG, bytes)).into_iter().collect();
        files.extend(self.store.files().map(|file| FileInfo {
            name: file.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: file.len(),
            tensors: file.entries.len(),
        }));
        files.extend(
            self.tokens
                .as_ref()
                .and_then(Tokens::file)
                .map(|(name, bytes)| file(name, bytes)),
        );
        files.extend(
            self.preprocessor
                .as_ref()
                .map(|content| file(PREPROCESSOR, content.len())),
        );
        let (tokenizer, tokenizer_error) = split(self.has_tokenizer().then(|| self.tokenizer()));
        let sees = self.preprocessor.as_ref().filter(|_| !hears);
        let (images, images_error) = split(sees.map(|_| self.image_processor()));
        let hears = self.preprocessor.as_ref().filter(|_| hears);
        let (_, sounds_error) = split(hears.map(|_| self.sound_processor()));
        let (model, model_error) = match outcome {
            Ok(info) => (Some(info), None),
            Err(error) => (None, Some(error)),
        };
        let errors = [model_error, tokenizer_error, images_error, sounds_error];
        let mut problems: Vec<String> = errors.into_iter().flatten().map(|error| error.to_string()).collect();
        let needed: Vec<&String> = asked.missing.difference(&asked.optional).collect();
        if let Some(first) = needed.first() {
            let others = match needed.len() {
                1 => String::new(),
                number => format!(" and {} more", number - 1),
            };
            problems.push(format!("tensor `{}` is missing{others}", excerpt(first, SHORT)));
        }
        problems.extend(probe.notes());
        CheckpointInfo {
            name: self.name.clone(),
            family: self
                .config
                .get("model_type")
                .and_then(|value| value.as_str())
                .map(str::to_owned),
            architecture: self.config.architecture().map(str::to_owned),
            unused: if model.is_some() {
                shapes
                    .keys()
                    .filter(|name| !asked.found.contains(*name) && !is_buffer(name))
                    .cloned()
                    .collect()
            } else {
                Vec::new()
            },
            missing: asked.missing.into_iter().collect(),
            model,
            parameters,
            elements,
            files,
            vocabulary: tokenizer.map(|tokenizer| tokenizer.vocab_size()),
            image_size: images.and_then(|images| images.size()),
            problems,
        }
    }
}

/// Tensors that older checkpoints store although they follow from the configuration: masks, ids, frequencies.
fn is_buffer(name: &str) -> bool {
    [
        ".attn.bias",
        ".attn.masked_bias",
        ".attention.bias",
        ".attention.masked_bias",
        ".position_ids",
        ".rotary_emb.inv_freq",
        ".attention.rotary_emb.cos_cached",
    ]
    .iter()
    .any(|end| name.ends_with(end))
        || name == "position_ids"
}

fn split<T>(outcome: Option<Result<T>>) -> (Option<T>, Option<Error>) {
    match outcome {
        None => (None, None),
        Some(Ok(value)) => (Some(value), None),
        Some(Err(error)) => (None, Some(error)),
    }
}
