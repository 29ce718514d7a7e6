//! A checkpoint: the folder a model is published as, or the same files in memory.
//!
//! The layout is that of the Hugging Face hub: `config.json`, `model.safetensors` or `pytorch_model.bin` (or shards listed
//! in `model.safetensors.index.json`, `pytorch_model.bin.index.json`), `tokenizer.json` or an older vocabulary for text,
//! `preprocessor_config.json` for images, `generation_config.json` for generation. A GGUF file is all of it in one. A
//! folder of PEFT is an adapter and names the model it is for.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use attn_core::ModelInfo;
use serde::Serialize;
use xxhash_rust::xxh3::Xxh3;

use crate::{
    Error, Result, Tokenizer, Weights,
    adapter::{self, AdapterFiles},
    error::{SHORT, excerpt},
    families::{Config, Families},
    files::{self, LARGEST_CONFIG, LARGEST_VOCABULARY},
    formats::gguf::{Gguf, TokenList},
    hub,
    images::ImageProcessor,
    json,
    pooling::{self, Pooling},
    store::Store,
    tensor_file::{Bytes, TensorFile},
    vocabulary::Vocabulary,
    weight_files::{TORCH, TORCH_INDEX, find_gguf, has_weights, is_gguf, open_weights},
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
    /// The folder or the GGUF file; the bare name for a checkpoint in memory.
    path: PathBuf,
    config: Config,
    /// Nothing for a GGUF file, whose configuration has no file of its own.
    config_bytes: Option<usize>,
    generation: Option<Config>,
    store: Arc<Store>,
    tokens: Option<Tokens>,
    texts: Texts,
    preprocessor: Option<Cow<'static, [u8]>>,
    /// The folder with the `modules.json` of sentence-transformers.
    modules: Option<PathBuf>,
    families: Arc<Families>,
}

/// What a tokenizer is made of, and the file or folder it is in.
#[derive(Debug, Clone)]
enum Tokens {
    /// A `tokenizer.json`.
    Json(Cow<'static, [u8]>, PathBuf),
    /// Older vocabulary files.
    Files(Box<Vocabulary>, PathBuf),
    /// The list in a GGUF file.
    Listed(Arc<TokenList>, PathBuf),
}

impl Tokens {
    /// Those of a folder.
    fn find(folder: &Path) -> Result<Option<Self>> {
        if let Some(json) = files::read(&folder.join(TOKENIZER), LARGEST_VOCABULARY)? {
            return Ok(Some(Self::Json(Cow::Owned(json), folder.to_owned())));
        }
        let vocabulary = Vocabulary::find(folder)?;
        Ok(vocabulary.map(|vocabulary| Self::Files(Box::new(vocabulary), folder.to_owned())))
    }

    fn tokenizer(&self, family: &str) -> Result<Tokenizer> {
        match self {
            Self::Json(bytes, folder) => Tokenizer::from_bytes(bytes, &folder.join(TOKENIZER)),
            Self::Files(vocabulary, folder) => {
                let path = folder.join(vocabulary.file);
                let tokenizer = Tokenizer::from_description(vocabulary.describe(family)?, &path)?;
                let targets = vocabulary.describe_targets(family)?;
                let targets = targets
                    .map(|targets| Tokenizer::from_description(targets, &path))
                    .transpose()?;
                Ok(tokenizer.with_targets(targets))
            }
            Self::Listed(list, file) => Tokenizer::from_description(list.describe(file)?, file),
        }
    }

    /// The file that holds nothing else, with its bytes.
    fn file(&self) -> Option<(&str, usize)> {
        match self {
            Self::Json(bytes, _) => Some((TOKENIZER, bytes.len())),
            Self::Files(vocabulary, _) => Some((vocabulary.file, vocabulary.bytes.len())),
            Self::Listed(..) => None,
        }
    }
}

impl Checkpoint {
    /// Opens a model. The configuration and the headers of the weight files are read and checked; the weights are not.
    ///
    /// | `path` | what is opened |
    /// |---|---|
    /// | a folder | `config.json` with `model.safetensors` or, without it, `pytorch_model.bin`, in one file or in shards |
    /// | a `.gguf` file, or a folder with one | configuration, tokenizer and weights of that file; a `tokenizer.json` beside it in the folder comes before its own |
    /// | a folder with `adapter_config.json` | the model that it names (a path, also from that folder, or a name as below), with the LoRA merged; see [`with_adapter_scale`](Self::with_adapter_scale) |
    /// | a folder with `modules.json` | the transformer in it; see [`pooling`](Self::pooling) |
    /// | `model`, `organization/model`, `organization/model@revision`, where no such path is | that model in the local cache of the hub: `HF_HUB_CACHE`, `HF_HOME/hub` or `~/.cache/huggingface/hub`. Nothing is downloaded |
    ///
    /// # Errors
    /// [`Error::NotAModel`] if the folder or `config.json` or the weights are missing, naming what is there instead;
    /// [`Error::WrongFile`] for a file that is not what its name says (a Git LFS pointer, a device, a shard that the
    /// index names and the folder lacks); [`Error::Json`]; [`Error::Safetensors`] and [`Error::Weights`] for a truncated or
    /// corrupt weight file; [`Error::Tensor`] and [`Error::MissingTensor`] for an adapter that does not fit its model;
    /// [`Error::Unsupported`] for an adapter that is no LoRA; [`Error::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = hub::locate(path.as_ref())?;
        let path = &*path;
        if path.is_dir() && !has_weights(path)? && path.join(adapter::CONFIG).is_file() {
            return Self::open_adapted(path);
        }
        Self::open_whole(path)
    }

    /// Opens a model that is no adapter.
    fn open_whole(path: &Path) -> Result<Self> {
        if path.is_file() && is_gguf(path) {
            return Self::open_gguf(path, None);
        }
        if !path.is_dir() {
            return Err(Error::NotAModel {
                path: path.to_owned(),
                expected: hub::EXPECTED.to_owned(),
                found: "a file".to_owned(),
            });
        }
        if !has_weights(path)? {
            if let Some(own) = pooling::transformer(path)? {
                let name = folder_name(path);
                let mut opened = Self::open_folder(&own)?.named(name);
                opened.modules = Some(path.to_owned());
                return Ok(opened);
            }
            if let Some(file) = find_gguf(path)? {
                return Self::open_gguf(&file, Some(path));
            }
        }
        Self::open_folder(path)
    }

    fn open_folder(path: &Path) -> Result<Self> {
        let config_path = path.join(CONFIG);
        let Some(config) = files::read(&config_path, LARGEST_CONFIG)? else {
            return Err(Error::NotAModel {
                path: path.to_owned(),
                expected: CONFIG.to_owned(),
                found: "a folder without it".to_owned(),
            });
        };
        let generation_path = path.join(GENERATION);
        let generation = match files::read(&generation_path, LARGEST_CONFIG)? {
            Some(bytes) => Some(Config::parse(&bytes, &generation_path)?),
            None => None,
        };
        Ok(Self {
            name: folder_name(path),
            path: path.to_owned(),
            config: Config::parse(&config, &config_path)?,
            config_bytes: Some(config.len()),
            generation,
            store: Arc::new(Store::new(open_weights(path)?)),
            tokens: Tokens::find(path)?,
            texts: Texts::read(path)?,
            preprocessor: files::read(&path.join(PREPROCESSOR), LARGEST_CONFIG)?.map(Cow::Owned),
            modules: files::regular(&path.join(pooling::MODULES))?.map(|_| path.to_owned()),
            families: Arc::default(),
        })
    }

    /// A GGUF file, with what else is in its folder if that was named.
    fn open_gguf(file: &Path, folder: Option<&Path>) -> Result<Self> {
        let mut opened = Self::of_gguf(Gguf::open(file)?, file);
        if let Some(folder) = folder {
            opened.name = folder_name(folder);
            if let Some(tokens) = Tokens::find(folder)? {
                opened.tokens = Some(tokens);
            }
            opened.texts = Texts::read(folder)?;
        }
        Ok(opened)
    }

    fn of_gguf(gguf: Gguf, path: &Path) -> Self {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        Self {
            name: name.unwrap_or_else(|| "model".to_owned()),
            path: path.to_owned(),
            config: gguf.config,
            config_bytes: None,
            generation: None,
            store: Arc::new(Store::new(vec![gguf.weights])),
            tokens: gguf.tokens.map(|list| Tokens::Listed(Arc::new(list), path.to_owned())),
            texts: Texts::default(),
            preprocessor: None,
            modules: None,
            families: Arc::default(),
        }
    }

    /// An adapter's folder with the model it names.
    fn open_adapted(folder: &Path) -> Result<Self> {
        let adapter = AdapterFiles::open(folder)?;
        let Some(base) = adapter.base()? else {
            return Err(Error::NotAModel {
                path: folder.to_owned(),
                expected: "a model, or an adapter that names its own in `base_model_name_or_path`".to_owned(),
                found: "an adapter without that: open the model and add the adapter to it".to_owned(),
            });
        };
        let beside = folder.join(base);
        let base = if beside.is_dir() || is_gguf(&beside) && beside.is_file() {
            Cow::Owned(beside)
        } else {
            hub::locate(Path::new(base)).map_err(|error| match error {
                Error::NotAModel { found, .. } => Error::NotAModel {
                    path: folder.to_owned(),
                    expected: format!(
                        "its base model {} here or in the cache of the hub",
                        excerpt(base, SHORT)
                    ),
                    found,
                },
                other => other,
            })?
        };
        let mut opened = Self::open_whole(&base)?.adapted(adapter)?.named(folder_name(folder));
        // What was trained with tokens of its own has them beside it.
        if let Some(tokens) = Tokens::find(folder)? {
            opened.tokens = Some(tokens);
        }
        Ok(opened)
    }

    /// The same model with the LoRA adapter of a folder (`adapter_config.json` with `adapter_model.safetensors` or
    /// `adapter_model.bin`) merged into its weights, tensor by tensor as they are read. The adapter counts whatever model
    /// it names; one that was there before is replaced.
    ///
    /// # Errors
    /// [`Error::NotAModel`] if a file is missing, [`Error::Unsupported`] for an adapter of another kind or with options
    /// that change its numbers and are not implemented, [`Error::MissingTensor`] and [`Error::Tensor`] where it does not
    /// fit the model, and those of weight files.
    pub fn with_adapter(self, folder: impl AsRef<Path>) -> Result<Self> {
        self.adapted(AdapterFiles::open(folder.as_ref())?)
    }

    /// The same with an adapter from the contents of its `adapter_config.json` and `adapter_model.safetensors` (or
    /// `.bin`).
    ///
    /// # Errors
    /// As [`with_adapter`](Self::with_adapter).
    pub fn with_adapter_bytes(self, config: &[u8], weights: impl Into<Cow<'static, [u8]>>) -> Result<Self> {
        self.adapted(AdapterFiles::parse(config, weights.into())?)
    }

    fn adapted(mut self, adapter: AdapterFiles) -> Result<Self> {
        let mut store = (*self.store).clone();
        let adapter = adapter.fit(&store, &self.weights_path())?;
        store.set_adapter(adapter);
        self.store = Arc::new(store);
        Ok(self)
    }

    /// The same with as much of its adapter: 1 for all of it, which is the default, 0 for the model without it. Tensors
    /// that the adapter replaces lie as far between the model's and its own.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a number outside 0 to 1, or without an adapter.
    pub fn with_adapter_scale(mut self, scale: f64) -> Result<Self> {
        let mut store = (*self.store).clone();
        match store.adapter_mut() {
            Some(adapter) => adapter.set_scale(scale)?,
            None => {
                let found = "a model without one".to_owned();
                return Err(Error::parameter("adapter_scale", "an adapter", found));
            }
        }
        self.store = Arc::new(store);
        Ok(self)
    }

    /// How much of an adapter is merged; `None` without an adapter.
    pub fn adapter_scale(&self) -> Option<f64> {
        self.store.adapter_scale()
    }

    /// How sentence-transformers makes one vector per text of the last hidden states; `None` for a model of another
    /// kind.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for modules or options that are not implemented, [`Error::Config`], [`Error::Json`],
    /// [`Error::MissingFile`].
    pub fn pooling(&self) -> Result<Option<Pooling>> {
        self.modules.as_deref().map(Pooling::read).transpose()
    }

    /// A checkpoint from the contents of its files: compiled in, downloaded, or in a browser. `config` is that of
    /// `config.json`, `weights` that of `model.safetensors` or `pytorch_model.bin`.
    ///
    /// # Errors
    /// [`Error::Json`], and those of weight files with the file's usual name as its path.
    pub fn from_bytes(
        name: &str,
        config: impl Into<Cow<'static, [u8]>>,
        weights: impl Into<Cow<'static, [u8]>>,
    ) -> Result<Self> {
        let (config, weights) = (config.into(), weights.into());
        let file = if weights.starts_with(b"PK\x03\x04") {
            TORCH
        } else {
            WEIGHTS
        };
        let weights = TensorFile::parse(Path::new(file), Bytes::Memory(weights))?;
        Ok(Self {
            name: name.to_owned(),
            path: PathBuf::from(name),
            config: Config::parse(&config, Path::new(CONFIG))?,
            config_bytes: Some(config.len()),
            generation: None,
            store: Arc::new(Store::new(vec![weights])),
            tokens: None,
            texts: Texts::default(),
            preprocessor: None,
            modules: None,
            families: Arc::default(),
        })
    }

    /// The same from the content of a GGUF file, which has a tokenizer of its own.
    ///
    /// # Errors
    /// Those of [`open`](Self::open) for such a file.
    pub fn from_gguf(name: &str, bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self> {
        let path = PathBuf::from(format!("{name}.gguf"));
        let gguf = Gguf::parse(&path, Bytes::Memory(bytes.into()))?;
        Ok(Self::of_gguf(gguf, &path).named(name))
    }

    /// The same with the content of a `tokenizer.json`.
    pub fn with_tokenizer(mut self, bytes: impl Into<Cow<'static, [u8]>>) -> Self {
        let folder = if is_gguf(&self.path) {
            PathBuf::new()
        } else {
            self.path.clone()
        };
        self.tokens = Some(Tokens::Json(bytes.into(), folder));
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

    /// The folder or file it was opened from, of an adapter that of its model; the name for a checkpoint in memory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tokenizer: that of `tokenizer.json` or, in a folder without it, of `vocab.txt` (BERT and its like), of
    /// `vocab.json` and `merges.txt` (byte-level BPE), or of a SentencePiece model (`spiece.model`,
    /// `sentencepiece.bpe.model`, `source.spm` with `vocab.json`, `tokenizer.model`) as the model's family uses it. A
    /// GGUF file has its own.
    ///
    /// # Errors
    /// [`Error::MissingFile`] without any of them, [`Error::Tokenizer`] if it does not load or the family is not known
    /// to use such a file, [`Error::Config`] and [`Error::Unsupported`] for its options.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        self.one_vocabulary()?;
        let family = self.config.text("model_type")?.unwrap_or_default();
        let Some(tokens) = &self.tokens else {
            return Err(Error::MissingFile {
                path: self.path.clone(),
                what: "tokenizer",
                expected: TOKENIZER,
            });
        };
        let tokenizer = tokens.tokenizer(family)?.with_max_tokens(self.texts.longest);
        let tokenizer = tokenizer.with_special(&self.texts.special)?;
        if tokenizer.language().is_none() {
            return Ok(tokenizer);
        }
        let tokenizer = match &self.texts.language {
            Some(language) => tokenizer.with_language(language)?,
            None => tokenizer,
        };
        Ok(match &self.texts.target_language {
            Some(language) => {
                let targets = tokenizer.clone().with_language(language)?;
                tokenizer.with_targets(Some(targets))
            }
            None => tokenizer,
        })
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
        self.tokens.is_some()
    }

    /// Identifies the weights: a hash (XXH3, 128 bits, in hexadecimal) of the configuration and of every byte of the
    /// weight files, of an adapter and how much of it is merged. Any edit gives another one, so that what was computed with one model is never continued with
    /// another. The files are read once per opened checkpoint, about as fast as memory allows.
    pub fn fingerprint(&self) -> String {
        let mut hash = Xxh3::new();
        hash.update(format!("{:?}", self.config.entries().collect::<Vec<_>>()).as_bytes());
        self.store.hash(&mut hash);
        format!("{:032x}", hash.digest128())
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// How to generate, if a file of its own says so.
    pub(crate) fn generation(&self) -> Option<&Config> {
        self.generation.as_ref()
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The path messages about a missing tensor name: the one weight file, or the index of several.
    pub(crate) fn weights_path(&self) -> PathBuf {
        let first = self.store.files().next();
        let torch = first.is_some_and(|file| file.path.extension().is_some_and(|ending| ending == "bin"));
        let index = self.path.join(if torch { TORCH_INDEX } else { WEIGHTS_INDEX });
        self.store.path(&index).to_owned()
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

/// How texts are read, as far as it is said beside the tokenizer. A file that says nothing readable says nothing here.
#[derive(Debug, Clone, Default)]
struct Texts {
    /// Tokens of the longest one: `model_max_length` of `tokenizer_config.json`, at which the reference cuts texts, or
    /// `max_seq_length` of sentence-transformers. `None` without a limit, which the reference writes as a number beyond
    /// 1e20.
    longest: Option<usize>,
    /// `src_lang`, the language that they are marked with.
    language: Option<String>,
    /// `tgt_lang`, the same of targets.
    target_language: Option<String>,
    /// The special tokens by their roles, and `additional_special_tokens`.
    special: Vec<String>,
}

impl Texts {
    fn read(folder: &Path) -> Result<Self> {
        let of_sentences = pooling::longest_text(folder)?;
        let path = folder.join(TOKENIZER_CONFIG);
        let bytes = files::read(&path, LARGEST_CONFIG)?;
        let value = bytes
            .and_then(|bytes| json::parse(&bytes, &path).ok())
            .unwrap_or_default();
        let longest = value["model_max_length"].as_f64();
        let longest = longest
            .filter(|tokens| (1.0..=1e20).contains(tokens))
            .map(|tokens| tokens as usize);
        let token = |value: &serde_json::Value| value.as_str().or(value["content"].as_str()).map(str::to_owned);
        // In the reference's order.
        let roles = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"];
        let roles = roles.iter().map(|role| &value[format!("{role}_token")]);
        let more = value["additional_special_tokens"].as_array();
        Ok(Self {
            special: roles.chain(more.into_iter().flatten()).filter_map(token).collect(),
            longest: [longest, of_sentences].into_iter().flatten().min(),
            language: value["src_lang"].as_str().map(str::to_owned),
            target_language: value["tgt_lang"].as_str().map(str::to_owned),
        })
    }
}
