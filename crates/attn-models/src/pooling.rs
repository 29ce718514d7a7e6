//! From the hidden states of tokens to one vector per text, as sentence-transformers describes it beside a model.
//!
//! Reimers and Gurevych 2019, <https://arxiv.org/abs/1908.10084>. The folder's `modules.json` lists a transformer, a
//! pooling and, if vectors are to have length 1, a normalization.

use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Error, Result,
    config::Config,
    error::{SHORT, excerpt},
    files::{self, LARGEST_CONFIG},
    json,
};

pub(crate) const MODULES: &str = "modules.json";
pub(crate) const SETTINGS: &str = "sentence_bert_config.json";

/// Lengths below this are taken for it, so that a vector of zeros stays one.
const SHORTEST: f64 = 1e-12;

/// How the hidden states of a text become a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PoolingMode {
    /// The first token's.
    First,
    /// The last real token's.
    Last,
    /// The mean over real tokens, special ones included.
    Mean,
    /// The sum over real tokens divided by the square root of their number.
    MeanSqrt,
    /// The largest of each dimension over real tokens.
    Max,
}

/// What makes a text's embedding of its last hidden states. A [`Checkpoint`](crate::Checkpoint::pooling) of
/// sentence-transformers has one.
///
/// ```
/// use attn_models::{candle::{Device, Tensor}, pooling::{Pooling, PoolingMode}};
///
/// let pooling = Pooling { modes: vec![PoolingMode::Mean], normalize: false };
/// let hidden = Tensor::new(&[[[1_f32, 5.0], [3.0, 7.0], [9.0, 9.0]]], &Device::Cpu)?; // [text, token, dimension]
/// let mask = Tensor::new(&[[1_u32, 1, 0]], &Device::Cpu)?;
/// assert_eq!(pooling.apply(&hidden, &mask)?.to_vec2::<f32>()?, [[2.0, 6.0]]);
/// # Ok::<(), attn_models::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pooling {
    /// Vectors of several modes are put one after another.
    pub modes: Vec<PoolingMode>,
    /// Whether vectors are brought to length 1.
    pub normalize: bool,
}

impl Pooling {
    /// One vector per text: `[text, dimension]`, or as many dimensions more as there are modes more.
    ///
    /// `hidden` are the last hidden states `[text, token, dimension]`; `mask` `[text, token]` is 1 for real tokens and 0
    /// for padding, on whichever side.
    ///
    /// # Errors
    /// [`Error::Input`] for shapes that do not fit each other, or a text without a real token.
    pub fn apply(&self, hidden: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (texts, tokens, _) = hidden
            .dims3()
            .map_err(|_| Error::input("hidden", "[text, token, dimension]", format!("{:?}", hidden.dims())))?;
        if mask.dims() != [texts, tokens] {
            let expected = format!("[{texts}, {tokens}], one number per token");
            return Err(Error::input("mask", expected, format!("{:?}", mask.dims())));
        }
        let rows = mask.to_dtype(DType::U32)?.to_vec2::<u32>()?;
        if let Some(text) = rows.iter().position(|row| row.iter().all(|&real| real == 0)) {
            return Err(Error::input(
                "mask",
                "a real token in every text",
                format!("none in text {text}"),
            ));
        }
        let real = mask.to_dtype(hidden.dtype())?.unsqueeze(2)?;
        let pick = |token: &dyn Fn(&[u32]) -> usize| -> Result<Tensor> {
            let pick = |(text, row): (usize, &Vec<u32>)| Ok(hidden.get(text)?.get(token(row))?);
            let picked = rows.iter().enumerate().map(pick).collect::<Result<Vec<_>>>()?;
            Ok(Tensor::stack(&picked, 0)?)
        };
        let sum = || hidden.broadcast_mul(&real)?.sum(1);
        let pool = |mode: &PoolingMode| -> Result<Tensor> {
            Ok(match mode {
                // As the reference: the first place, which is padding where that is on the left.
                PoolingMode::First => pick(&|_| 0)?,
                PoolingMode::Last => pick(&|row| row.iter().rposition(|&real| real != 0).unwrap_or(0))?,
                PoolingMode::Mean => sum()?.broadcast_div(&real.sum(1)?)?,
                PoolingMode::MeanSqrt => sum()?.broadcast_div(&real.sum(1)?.sqrt()?)?,
                PoolingMode::Max => {
                    // Padding loses against everything.
                    let padding = ((real.affine(-1.0, 1.0))? * f64::from(f32::MIN))?;
                    hidden.broadcast_mul(&real)?.broadcast_add(&padding)?.max(1)?
                }
            })
        };
        let pooled = self.modes.iter().map(pool).collect::<Result<Vec<_>>>()?;
        if pooled.is_empty() {
            return Err(Error::parameter("modes", "at least one", "none"));
        }
        let pooled = Tensor::cat(&pooled, 1)?;
        if !self.normalize {
            return Ok(pooled);
        }
        let length = pooled.sqr()?.sum_keepdim(1)?.sqrt()?.maximum(SHORTEST)?;
        Ok(pooled.broadcast_div(&length)?)
    }

    /// The pooling of a folder with `modules.json`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for modules and options that are not implemented, [`Error::Config`], [`Error::MissingFile`].
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let mut read = Self {
            modes: Vec::new(),
            normalize: false,
        };
        for module in modules(folder)? {
            match module.kind.as_str() {
                "Transformer" => {
                    let path = module.folder.join(SETTINGS);
                    if let Some(bytes) = files::read(&path, LARGEST_CONFIG)? {
                        // Texts would be changed before the tokenizer sees them.
                        Config::parse(&bytes, &path)?.refuse_flag("do_lower_case")?;
                    }
                }
                "Pooling" => {
                    let path = module.folder.join("config.json");
                    let bytes = files::read(&path, LARGEST_CONFIG)?.ok_or_else(|| Error::MissingFile {
                        path: module.folder.clone(),
                        what: "settings of its pooling",
                        expected: "config.json",
                    })?;
                    read.modes = modes(&Config::parse(&bytes, &path)?)?;
                }
                "Normalize" => read.normalize = true,
                _ => return Err(module.unsupported),
            }
        }
        if read.modes.is_empty() {
            return Err(Error::MissingFile {
                path: folder.to_owned(),
                what: "module of pooling",
                expected: MODULES,
            });
        }
        Ok(read)
    }
}

/// The modes that the settings turn on.
fn modes(config: &Config) -> Result<Vec<PoolingMode>> {
    let known = [
        ("pooling_mode_cls_token", PoolingMode::First),
        ("pooling_mode_max_tokens", PoolingMode::Max),
        ("pooling_mode_mean_tokens", PoolingMode::Mean),
        ("pooling_mode_mean_sqrt_len_tokens", PoolingMode::MeanSqrt),
        ("pooling_mode_lasttoken", PoolingMode::Last),
    ];
    for (key, _) in config.entries().filter(|(key, _)| key.starts_with("pooling_mode_")) {
        if known.iter().all(|(name, _)| name != key) {
            config.refuse_flag(key)?;
        }
    }
    if !config.flag_or("include_prompt", true)? {
        return Err(config.unsupported("include_prompt", "true"));
    }
    let mut modes = Vec::new();
    // As the reference puts them one after another.
    for (key, mode) in known {
        if config.flag_or(key, false)? {
            modes.push(mode);
        }
    }
    if modes.is_empty() {
        return Err(config.wrong("pooling_mode_mean_tokens", "one mode that is true"));
    }
    Ok(modes)
}

struct Module {
    /// The last part of its class.
    kind: String,
    folder: PathBuf,
    unsupported: Error,
}

/// The modules of a folder, in their order.
fn modules(folder: &Path) -> Result<Vec<Module>> {
    let path = folder.join(MODULES);
    let bytes = files::read(&path, LARGEST_CONFIG)?.ok_or_else(|| Error::MissingFile {
        path: folder.to_owned(),
        what: "list of modules",
        expected: MODULES,
    })?;
    let list = json::parse(&bytes, &path)?;
    let wrong = |expected: &str, found: &Value| Error::Config {
        path: path.clone(),
        key: "modules".to_owned(),
        expected: expected.to_owned(),
        found: excerpt(&found.to_string(), SHORT),
    };
    let modules = list.as_array().ok_or_else(|| wrong("a list", &list))?;
    let module = |module: &Value| {
        let (Some(class), Some(place)) = (module["type"].as_str(), module["path"].as_str()) else {
            return Err(wrong("a type and a path for each", module));
        };
        let inside = |component| matches!(component, std::path::Component::Normal(_));
        if !Path::new(place).components().all(inside) {
            return Err(wrong("folders inside the model's", module));
        }
        Ok(Module {
            kind: class.rsplit('.').next().unwrap_or_default().to_owned(),
            folder: folder.join(place),
            unsupported: Error::Unsupported {
                path: path.clone(),
                key: "type".to_owned(),
                found: excerpt(class, SHORT),
                supported: "Transformer, Pooling, Normalize".to_owned(),
            },
        })
    };
    modules.iter().map(module).collect()
}

/// The folder of the transformer that the modules begin with, if it is one of its own (`0_Transformer`).
pub(crate) fn transformer(folder: &Path) -> Result<Option<PathBuf>> {
    if files::regular(&folder.join(MODULES))?.is_none() {
        return Ok(None);
    }
    let first = modules(folder)?.into_iter().next();
    Ok(first.map(|module| module.folder).filter(|own| own != folder))
}

/// The folders of the modules, as paths from the model's; empty for those in it.
#[cfg(feature = "hub")]
pub(crate) fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let folders = modules(folder)?.into_iter().map(|module| module.folder);
    Ok(folders
        .map(|own| own.strip_prefix(folder).map(Path::to_owned).unwrap_or_default())
        .collect())
}

/// Tokens that texts are cut to, if the folder of a transformer says so. What is not readable says nothing here.
pub(crate) fn longest_text(folder: &Path) -> Result<Option<usize>> {
    let path = folder.join(SETTINGS);
    let Some(bytes) = files::read(&path, LARGEST_CONFIG)? else {
        return Ok(None);
    };
    let settings = json::parse(&bytes, &path).unwrap_or_default();
    let longest = settings["max_seq_length"].as_u64().filter(|&longest| longest > 0);
    Ok(longest.and_then(|longest| usize::try_from(longest).ok()))
}
