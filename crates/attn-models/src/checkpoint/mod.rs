//! A checkpoint: the folder a model is published as, or the same files in memory.
//!
//! The layout is that of the Hugging Face hub: `config.json`, `model.safetensors` or `pytorch_model.bin` (or shards listed
//! in `model.safetensors.index.json`, `pytorch_model.bin.index.json`), `tokenizer.json` or an older vocabulary for text,
//! `preprocessor_config.json` for images, `generation_config.json` for generation. A GGUF file is all of it in one. A
//! folder of PEFT is an adapter and names the model it is for.

mod info;
mod open;
mod prune;
mod speech;
mod texts;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use candle_core::TensorId;
use xxhash_rust::xxh3::Xxh3;

use self::texts::{Texts, Tokens};
pub use self::{
    info::{CheckpointInfo, FileInfo},
    prune::Pruned,
    speech::SpeechTask,
};
use crate::{
    Error, Result, Tokenizer,
    adapter::AdapterFiles,
    families::{Config, Families},
    formats::gguf::Gguf,
    images::ImageProcessor,
    pooling::Pooling,
    sounds::SoundProcessor,
    store::Store,
    tensor_file::{Bytes, TensorFile},
    weight_files::{TORCH, TORCH_INDEX, is_gguf},
};

pub(crate) const CONFIG: &str = "config.json";
pub(crate) const GENERATION: &str = "generation_config.json";
pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const WEIGHTS_INDEX: &str = "model.safetensors.index.json";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
pub(crate) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
pub(crate) const PREPROCESSOR: &str = "preprocessor_config.json";

/// Files beside the weights that a folder is read with.
pub(crate) const BESIDE: [&str; 16] = [
    TOKENIZER,
    TOKENIZER_CONFIG,
    GENERATION,
    PREPROCESSOR,
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "source.spm",
    "target.spm",
    "target_vocab.json",
];

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

impl Checkpoint {
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
        adapter.check_task(self.config.architecture())?;
        let bare = self.store.with_adapter(None);
        let adapter = adapter.fit(&bare, &self.weights_path())?;
        self.store = Arc::new(bare.with_adapter(Some(adapter)));
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
    /// `vocab.json` and `merges.txt` (byte-level BPE), or of a SentencePiece model (`spiece.model`, `spm.model`,
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
        let tokenizer = tokenizer.with_filling(self.filling(family)?);
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

    /// What texts are filled up with to the longest, in families that were trained so.
    fn filling(&self, family: &str) -> Result<Option<u32>> {
        Ok(match family {
            "siglip_text_model" => Some(self.config.id_or("pad_token_id", 1)?),
            "siglip" => {
                let own = self.config.object("text_config")?;
                Some(own.unwrap_or_else(|| self.config.empty()).id_or("pad_token_id", 1)?)
            }
            _ => None,
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

    /// What turns sounds into the model's input.
    ///
    /// # Errors
    /// [`Error::MissingFile`] without `preprocessor_config.json`, [`Error::Config`] or [`Error::Unsupported`] for settings that
    /// are wrong or unknown.
    pub fn sound_processor(&self) -> Result<SoundProcessor> {
        match &self.preprocessor {
            Some(bytes) => {
                let family = self.config.text("model_type")?.unwrap_or_default();
                SoundProcessor::of_family(bytes, &self.path.join(PREPROCESSOR), family)
            }
            None => Err(Error::MissingFile {
                path: self.path.clone(),
                what: "sound preprocessor",
                expected: PREPROCESSOR,
            }),
        }
    }

    /// Whether there is a `preprocessor_config.json`.
    pub(crate) fn has_preprocessor(&self) -> bool {
        self.preprocessor.is_some()
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

    /// The same files under another configuration.
    pub(crate) fn with_config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The names and shapes of all stored tensors, in alphabetical order; what an adapter adds is among them.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let all = self
            .store
            .tensors()
            .map(|found| (found.name.to_owned(), found.entry.shape.clone()));
        let all: BTreeMap<String, Vec<usize>> = all.collect();
        all.into_iter().collect()
    }

    /// The numbers of a stored tensor, row by row, with an adapter merged; `None` if there is no such tensor.
    ///
    /// # Errors
    /// [`Error::Tensor`] for elements that are no floating-point numbers, [`Error::NotFinite`].
    pub fn tensor(&self, name: &str) -> Result<Option<Vec<f32>>> {
        self.store.find(name).map(|found| self.store.read(found)).transpose()
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
        if is_gguf(&self.path) {
            return self.path.clone();
        }
        let first = self.store.files().next();
        let torch = first.is_some_and(|file| file.path.extension().is_some_and(|ending| ending == "bin"));
        let index = self.path.join(if torch { TORCH_INDEX } else { WEIGHTS_INDEX });
        self.store.path(&index).to_owned()
    }
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
    /// The tensors that were given, and their names.
    pub(crate) given: Vec<(TensorId, String)>,
}
