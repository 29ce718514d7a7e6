//! What a path is, and how a checkpoint is made of it.

use std::{borrow::Cow, path::Path, sync::Arc};

use super::{CONFIG, Checkpoint, GENERATION, PREPROCESSOR, Texts, Tokens};
use crate::{
    Error, Result,
    adapter::{self, AdapterFiles},
    error::{SHORT, excerpt},
    families::Config,
    files::{self, LARGEST_CONFIG},
    formats::gguf::{Gguf, name_of},
    hub, pooling,
    store::Store,
    weight_files::{find_gguf, has_weights, is_gguf, open_weights},
};

impl Checkpoint {
    /// Opens a model. The configuration and the headers of the weight files are read and checked; the weights are not.
    ///
    /// | `path` | what is opened |
    /// |---|---|
    /// | a folder | `config.json` with `model.safetensors` or, without it, `pytorch_model.bin`, in one file or in shards |
    /// | a `.gguf` file, or a folder with one | configuration, tokenizer and weights of that file; of a model in several (`NAME-00001-of-00003.gguf`), all of them; a `tokenizer.json` beside it in the folder comes before its own |
    /// | a folder with `adapter_config.json` | the model that it names (a path, also from that folder, or a name as below), with the LoRA merged; see [`with_adapter_scale`](Self::with_adapter_scale) |
    /// | a folder with `modules.json` | the transformer in it; see [`pooling`](Self::pooling) |
    /// | `model`, `organization/model`, `organization/model@revision`, where no such path is | that model in the local cache of the hub: `HF_HUB_CACHE`, `HF_HOME/hub` or `~/.cache/huggingface/hub`. Nothing is downloaded here: see `download` (feature `hub`) |
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

    /// Downloads a model from the hub by its name, if it is not in the local cache, and opens it. The feature `hub` has it; where
    /// from, where to and with what token the environment says: [`Hub::from_env`](crate::download::Hub::from_env).
    ///
    /// # Errors
    /// Those of [`Hub::download`](crate::download::Hub::download) and of [`open`](Self::open).
    #[cfg(feature = "hub")]
    pub fn download(name: &str, progress: &dyn attn_core::Progress) -> Result<Self> {
        Self::open(crate::download::Hub::from_env().download(name, progress)?)
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

    pub(super) fn of_gguf(gguf: Gguf, path: &Path) -> Self {
        Self {
            name: name_of(path).unwrap_or_else(|| "model".to_owned()),
            path: path.to_owned(),
            config: gguf.config,
            config_bytes: None,
            generation: None,
            store: Arc::new(Store::new(gguf.weights)),
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
            let named = match adapter.revision()? {
                Some(revision) if !base.contains('@') => Cow::Owned(format!("{base}@{revision}")),
                _ => Cow::Borrowed(base),
            };
            let located = hub::locate_beside(folder, Path::new(&*named)).map_err(|error| match error {
                Error::NotAModel { found, .. } => Error::NotAModel {
                    path: folder.to_owned(),
                    expected: format!(
                        "its base model {} here or in the cache of the hub",
                        excerpt(&named, SHORT)
                    ),
                    found,
                },
                other => other,
            })?;
            Cow::Owned(located.into_owned())
        };
        let mut opened = Self::open_whole(&base)?.adapted(adapter)?.named(folder_name(folder));
        // What was trained with tokens of its own has them beside it.
        if let Some(tokens) = Tokens::find(folder)? {
            opened.tokens = Some(tokens);
        }
        Ok(opened)
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
