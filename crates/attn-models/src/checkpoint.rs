//! A checkpoint: the folder a model is published as, or the same files in memory.
//!
//! The layout is that of the Hugging Face hub: `config.json`, `model.safetensors` (or shards listed in
//! `model.safetensors.index.json`), `tokenizer.json` or an older vocabulary for text, `preprocessor_config.json` for
//! images, `generation_config.json` for generation.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use attn_core::ModelInfo;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    Error, Result, Tokenizer, Weights,
    error::{SHORT, excerpt},
    families::{Config, Families},
    files::{self, LARGEST_CONFIG, LARGEST_VOCABULARY},
    images::ImageProcessor,
    json,
    tensor_file::{Bytes, TensorFile},
    vocabulary::Vocabulary,
    weight_files::{adapter, open_weights},
};

pub(crate) const CONFIG: &str = "config.json";
pub(crate) const GENERATION: &str = "generation_config.json";
pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const WEIGHTS_INDEX: &str = "model.safetensors.index.json";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
pub(crate) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
pub(crate) const PREPROCESSOR: &str = "preprocessor_config.json";

/// The files of one model. Weights stay on disk (memory-mapped) until a model is loaded from them.
///
/// ```no_run
/// use attn_models::{Checkpoint, Model};
///
/// let checkpoint = Checkpoint::open("bert-base-uncased")?;
/// let model = Model::load(&checkpoint)?;
/// let tokenizer = checkpoint.tokenizer()?;
/// # Ok::<(), attn_models::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Checkpoint {
    name: String,
    /// The folder; the bare name for a checkpoint in memory.
    path: PathBuf,
    config: Config,
    config_bytes: usize,
    generation: Option<Config>,
    files: Arc<Vec<TensorFile>>,
    tokenizer: Option<Cow<'static, [u8]>>,
    /// Where there is no `tokenizer.json`.
    vocabulary: Option<Vocabulary>,
    /// Tokens of the longest text, as `tokenizer_config.json` says.
    longest_text: Option<usize>,
    preprocessor: Option<Cow<'static, [u8]>>,
    families: Arc<Families>,
}

impl Checkpoint {
    /// Opens a folder. The configuration and the headers of the weight files are read and checked; the weights
    /// are not.
    ///
    /// # Errors
    /// [`Error::NotAModel`] if the folder or `config.json` or the weights are missing, naming what is there instead;
    /// [`Error::WrongFile`] for a file that is not what its name says (a Git LFS pointer, a device, a shard that the
    /// index names and the folder lacks); [`Error::Json`], [`Error::Safetensors`] for a truncated or corrupt weight
    /// file, [`Error::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if !path.is_dir() {
            return Err(Error::NotAModel {
                path: path.to_owned(),
                expected: "a folder with config.json and model.safetensors".to_owned(),
                found: if path.exists() { "a file" } else { "nothing" }.to_owned(),
            });
        }
        let config_path = path.join(CONFIG);
        let Some(config) = files::read(&config_path, LARGEST_CONFIG)? else {
            return Err(Error::NotAModel {
                path: path.to_owned(),
                expected: CONFIG.to_owned(),
                found: adapter(path).unwrap_or_else(|| "a folder without it".to_owned()),
            });
        };
        let generation_path = path.join(GENERATION);
        let generation = match files::read(&generation_path, LARGEST_CONFIG)? {
            Some(bytes) => Some(Config::parse(&bytes, &generation_path)?),
            None => None,
        };
        let tokenizer = files::read(&path.join(TOKENIZER), LARGEST_VOCABULARY)?.map(Cow::Owned);
        Ok(Self {
            name: folder_name(path),
            path: path.to_owned(),
            config: Config::parse(&config, &config_path)?,
            config_bytes: config.len(),
            generation,
            files: Arc::new(open_weights(path)?),
            vocabulary: match tokenizer {
                Some(_) => None,
                None => Vocabulary::find(path)?,
            },
            tokenizer,
            longest_text: longest_text(path)?,
            preprocessor: files::read(&path.join(PREPROCESSOR), LARGEST_CONFIG)?.map(Cow::Owned),
            families: Arc::default(),
        })
    }

    /// A checkpoint from the contents of its files: compiled in, downloaded, or in a browser. `config` is that of
    /// `config.json`, `weights` that of `model.safetensors`.
    ///
    /// # Errors
    /// [`Error::Json`] or [`Error::Safetensors`], with the file's usual name as its path.
    pub fn from_bytes(
        name: &str,
        config: impl Into<Cow<'static, [u8]>>,
        weights: impl Into<Cow<'static, [u8]>>,
    ) -> Result<Self> {
        let config = config.into();
        Ok(Self {
            name: name.to_owned(),
            path: PathBuf::from(name),
            config: Config::parse(&config, Path::new(CONFIG))?,
            config_bytes: config.len(),
            generation: None,
            files: Arc::new(vec![TensorFile::parse(
                Path::new(WEIGHTS),
                Bytes::Memory(weights.into()),
            )?]),
            tokenizer: None,
            vocabulary: None,
            longest_text: None,
            preprocessor: None,
            families: Arc::default(),
        })
    }

    /// The same with the content of a `tokenizer.json`.
    pub fn with_tokenizer(mut self, bytes: impl Into<Cow<'static, [u8]>>) -> Self {
        self.tokenizer = Some(bytes.into());
        self
    }

    /// The same with the content of a `preprocessor_config.json`.
    pub fn with_image_processor(mut self, bytes: impl Into<Cow<'static, [u8]>>) -> Self {
        self.preprocessor = Some(bytes.into());
        self
    }

    /// The same checkpoint, whose model is looked up in these families instead of the built-in ones. Whatever loads it
    /// (a model, a capturer, a control, a description) then knows them.
    ///
    /// ```no_run
    /// use attn_models::{Capturer, Checkpoint, families::Families};
    /// # use attn_models::{Result, Weights, families::{Config, Network}};
    /// # fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    /// #     Err(config.wrong("model_type", "a family that this example builds"))
    /// # }
    ///
    /// let families = Families::builtin().with("my_model", build);
    /// let capturer = Capturer::load(&Checkpoint::open("my-checkpoint")?.with_families(families))?;
    /// # Ok::<(), attn_models::Error>(())
    /// ```
    pub fn with_families(mut self, families: Families) -> Self {
        self.families = Arc::new(families);
        self
    }

    /// The families its model is looked up in.
    pub fn families(&self) -> &Families {
        &self.families
    }

    /// The model's name: that of the folder or, in a cache of the hub, `organization/model`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same under another name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The folder it was opened from; the name for a checkpoint in memory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tokenizer: that of `tokenizer.json` or, in a folder without it, of `vocab.txt` (BERT and its like), of
    /// `vocab.json` and `merges.txt` (byte-level BPE), or of a SentencePiece model (`spiece.model`,
    /// `sentencepiece.bpe.model`, `source.spm` with `vocab.json`, `tokenizer.model`) as the model's family uses it.
    ///
    /// # Errors
    /// [`Error::MissingFile`] without any of them, [`Error::Tokenizer`] if it does not load or the family is not known
    /// to use such a file, [`Error::Config`] and [`Error::Unsupported`] for its options.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        self.one_vocabulary()?;
        let tokenizer = match (&self.tokenizer, &self.vocabulary) {
            (Some(bytes), _) => Tokenizer::from_bytes(bytes, &self.path.join(TOKENIZER))?,
            (None, Some(vocabulary)) => {
                let family = self.config.text("model_type")?.unwrap_or_default();
                Tokenizer::from_description(vocabulary.describe(family)?, &self.path.join(vocabulary.file))?
            }
            (None, None) => {
                return Err(Error::MissingFile {
                    path: self.path.clone(),
                    what: "tokenizer",
                    expected: TOKENIZER,
                });
            }
        };
        Ok(tokenizer.with_max_tokens(self.longest_text))
    }

    /// One tokenizer reads sources and targets alike. A model with a vocabulary for each (Marian can have that) still
    /// runs on ids.
    fn one_vocabulary(&self) -> Result<()> {
        let of_decoder = self.config.optional_size("decoder_vocab_size")?;
        let shared = self.config.flag_or("share_encoder_decoder_embeddings", true)?;
        if !shared && of_decoder.is_some() && of_decoder != self.config.optional_size("vocab_size")? {
            let expected = "the same as `vocab_size`, to read text: one tokenizer for sources and targets";
            return Err(self.config.unsupported("decoder_vocab_size", expected));
        }
        Ok(())
    }

    /// What turns images into the model's input.
    ///
    /// # Errors
    /// [`Error::MissingFile`] without `preprocessor_config.json`, [`Error::Config`] or [`Error::Unsupported`] for
    /// settings that are wrong or unknown, or that do not fit the model.
    pub fn image_processor(&self) -> Result<ImageProcessor> {
        match &self.preprocessor {
            Some(bytes) => {
                let family = self.config.text("model_type")?.unwrap_or_default();
                ImageProcessor::of_family(bytes, &self.path.join(PREPROCESSOR), family)
            }
            None => Err(Error::MissingFile {
                path: self.path.clone(),
                what: "image preprocessor",
                expected: PREPROCESSOR,
            }),
        }
    }

    /// Whether it has a tokenizer, so that text can be run.
    pub fn has_tokenizer(&self) -> bool {
        self.tokenizer.is_some() || self.vocabulary.is_some()
    }

    /// Identifies the weights: a hash (XXH3, 128 bits, in hexadecimal) of the configuration and of every byte of the
    /// weight files. Any edit gives another one, so that what was computed with one model is never continued with
    /// another. The files are read once per opened checkpoint, about as fast as memory allows.
    pub fn fingerprint(&self) -> String {
        let mut hashed = format!("{:?}", self.config.entries().collect::<Vec<_>>()).into_bytes();
        for file in self.files.iter() {
            hashed.extend(file.digest().to_le_bytes());
        }
        format!("{:032x}", xxh3_128(&hashed))
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// How to generate, if a file of its own says so.
    pub(crate) fn generation(&self) -> Option<&Config> {
        self.generation.as_ref()
    }

    pub(crate) fn files(&self) -> &Arc<Vec<TensorFile>> {
        &self.files
    }

    /// The path messages about a missing tensor name: the one weight file, or the index of several.
    pub(crate) fn weights_path(&self) -> PathBuf {
        match self.files.as_slice() {
            [only] => only.path.clone(),
            _ => self.path.join(WEIGHTS_INDEX),
        }
    }

    /// The content of the folder, and whether it can be run, without loading the weights.
    pub fn describe(&self) -> CheckpointInfo {
        let probe = Weights::probe(self);
        let outcome = self
            .families
            .build(&self.config, &self.name, &probe)
            .map(|network| network.info().clone());
        let asked = probe.asked();
        let mut shapes = BTreeMap::new();
        let mut elements: BTreeMap<String, u64> = BTreeMap::new();
        let mut parameters = 0;
        for file in self.files.iter() {
            for (name, entry) in &file.entries {
                // A product of checked header sizes: it cannot exceed the file's length.
                let count = entry.shape.iter().map(|&size| size as u64).product::<u64>();
                parameters += count;
                *elements.entry(format!("{:?}", entry.dtype).to_lowercase()).or_default() += count;
                shapes.insert(name.clone(), entry.shape.clone());
            }
        }
        let mut files = vec![FileInfo {
            name: CONFIG.to_owned(),
            bytes: self.config_bytes,
            tensors: 0,
        }];
        files.extend(self.files.iter().map(|file| FileInfo {
            name: file.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: file.len(),
            tensors: file.entries.len(),
        }));
        for (name, content) in [(TOKENIZER, &self.tokenizer), (PREPROCESSOR, &self.preprocessor)] {
            if let Some(content) = content {
                files.push(FileInfo {
                    name: name.to_owned(),
                    bytes: content.len(),
                    tensors: 0,
                });
            }
        }
        if let Some(vocabulary) = &self.vocabulary {
            files.push(FileInfo {
                name: vocabulary.file.to_owned(),
                bytes: vocabulary.bytes.len(),
                tensors: 0,
            });
        }
        let (tokenizer, tokenizer_error) = split(self.has_tokenizer().then(|| self.tokenizer()));
        let (images, images_error) = split(self.preprocessor.as_ref().map(|_| self.image_processor()));
        let (model, model_error) = match outcome {
            Ok(info) => (Some(info), None),
            Err(error) => (None, Some(error)),
        };
        let errors = [model_error, tokenizer_error, images_error];
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

/// The content of a checkpoint, for readers and for files.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckpointInfo {
    /// The folder's name.
    pub name: String,
    /// `model_type` of the configuration.
    pub family: Option<String>,
    /// The class that wrote it, for example `BertForMaskedLM`.
    pub architecture: Option<String>,
    /// Layers, heads and sizes, if the family is supported and the configuration is sound.
    pub model: Option<ModelInfo>,
    /// Number of stored weights.
    pub parameters: u64,
    /// How many of them have each element type (`f32`, `f16`, ...).
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

/// The tensors a model asked for while it was built.
#[derive(Debug, Default, Clone)]
pub(crate) struct Asked {
    pub(crate) found: BTreeSet<String>,
    pub(crate) missing: BTreeSet<String>,
    /// The missing ones in the order in which they were asked for.
    pub(crate) in_order: Vec<String>,
    /// Those of the missing ones that belong to a part the model runs without.
    pub(crate) optional: BTreeSet<String>,
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

/// The name of a folder; of a snapshot in a cache of the hub (`models--ORGANIZATION--MODEL/snapshots/HASH`) that of
/// its model.
fn folder_name(path: &Path) -> String {
    // `.` and `..` have no name of their own; the folder they stand for has.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = |path: Option<&Path>| Some(path?.file_name()?.to_string_lossy().into_owned());
    let parent = path.parent();
    if name(parent).is_some_and(|name| name == "snapshots")
        && let Some(cached) = name(parent.and_then(Path::parent))
        && let Some(model) = cached.strip_prefix("models--")
    {
        return model.replacen("--", "/", 1);
    }
    name(Some(&path)).unwrap_or_else(|| "model".to_owned())
}

/// `model_max_length` of `tokenizer_config.json`, at which the reference cuts texts; `None` without a limit, which the
/// reference writes as a number beyond 1e20. A file that says nothing readable says nothing here.
fn longest_text(folder: &Path) -> Result<Option<usize>> {
    let path = folder.join(TOKENIZER_CONFIG);
    let Some(bytes) = files::read(&path, LARGEST_CONFIG)? else {
        return Ok(None);
    };
    let value = json::parse(&bytes, &path).unwrap_or_default();
    let longest = value["model_max_length"].as_f64();
    Ok(longest
        .filter(|tokens| (1.0..=1e20).contains(tokens))
        .map(|tokens| tokens as usize))
}
