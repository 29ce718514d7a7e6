//! Adapters: small matrices that change a model's own, as PEFT writes them.
//!
//! LoRA (Hu et al. 2021, <https://arxiv.org/abs/2106.09685>): a matrix `W` becomes `W + scale · B A`, with `A` of few rows
//! and `B` of as few columns; `scale` is `alpha / r`, or `alpha / sqrt(r)` for rank-stabilized LoRA (Kalajdzievski 2023,
//! <https://arxiv.org/abs/2312.03732>). Tensors that were trained whole (`modules_to_save`, biases) take the place of the
//! model's. Everything is merged tensor by tensor, as a model asks for it.

use std::{borrow::Cow, collections::BTreeMap, path::Path, sync::Arc};

use candle_core::{Device, Tensor};
use regex::Regex;
use serde_json::Value;

use crate::{
    Error, Result,
    config::Config,
    error::{SHORT, excerpt},
    files::{self, LARGEST_CONFIG},
    store::{Found, Store},
    tensor_file::{Bytes, Entry, TensorFile, finite},
};

pub(crate) const CONFIG: &str = "adapter_config.json";
pub(crate) const WEIGHTS: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];
/// What PEFT puts before the names of the model's modules.
const ROOT: &str = "base_model.model.";

/// An adapter whose tensors fit a model's.
#[derive(Debug, Clone)]
pub(crate) struct Adapter {
    file: Arc<TensorFile>,
    /// What happens to the tensors of the model, by their names.
    changes: Arc<BTreeMap<String, Change>>,
    scale: f64,
    /// Whether a head that is tied to an embedding follows what changes that.
    ties: bool,
}

#[derive(Debug)]
enum Change {
    /// `B A` times a factor is added; `transposed` if the sum of it is stored the other way round.
    Added {
        a: String,
        b: String,
        factor: f64,
        transposed: bool,
    },
    /// The tensor of this name takes its place.
    Replaced(String),
}

/// The files of an adapter, before it is known what model it is for.
#[derive(Debug)]
pub(crate) struct AdapterFiles {
    config: Config,
    file: TensorFile,
}

impl AdapterFiles {
    /// Opens a folder.
    ///
    /// # Errors
    /// [`Error::NotAModel`] if a file is missing, [`Error::Unsupported`] for an adapter that is not LoRA or that has options
    /// which change its numbers, and those of weight files.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let missing = |expected: String| Error::NotAModel {
            path: folder.to_owned(),
            expected,
            found: "a folder without it".to_owned(),
        };
        let path = folder.join(CONFIG);
        let config = files::read(&path, LARGEST_CONFIG)?.ok_or_else(|| missing(CONFIG.to_owned()))?;
        let config = Config::parse(&config, &path)?;
        check(&config)?;
        for name in WEIGHTS {
            let path = folder.join(name);
            if files::regular(&path)?.is_some() {
                return Ok(Self {
                    config,
                    file: TensorFile::open(&path)?,
                });
            }
        }
        Err(missing(WEIGHTS.join(" or ")))
    }

    /// The same from the contents of the files.
    pub(crate) fn parse(config: &[u8], weights: Cow<'static, [u8]>) -> Result<Self> {
        let config = Config::parse(config, Path::new(CONFIG))?;
        check(&config)?;
        let [safetensors, torch] = WEIGHTS;
        let name = if weights.starts_with(b"PK\x03\x04") {
            torch
        } else {
            safetensors
        };
        let file = TensorFile::parse(Path::new(name), Bytes::Memory(weights))?;
        Ok(Self { config, file })
    }

    /// The model it was made for: a path or a name.
    pub(crate) fn base(&self) -> Result<Option<&str>> {
        self.config.text("base_model_name_or_path")
    }

    /// The revision of the model that it was trained on.
    pub(crate) fn revision(&self) -> Result<Option<&str>> {
        self.config.text("revision")
    }

    /// Refuses an adapter with a classifier over a model without one: the classifier would be left out.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub(crate) fn check_task(&self, architecture: Option<&str>) -> Result<()> {
        let classifies = architecture.is_none_or(|name| name.ends_with("ForSequenceClassification"));
        match self.config.text("task_type")? {
            Some("SEQ_CLS") if !classifies => {
                let supported = "that of its model; set `architectures` of the model to its ForSequenceClassification";
                Err(self.config.unsupported("task_type", supported))
            }
            _ => Ok(()),
        }
    }

    /// The adapter for a model's tensors; `path` is what messages about those name.
    ///
    /// # Errors
    /// [`Error::MissingTensor`] for a tensor that the model lacks, [`Error::Tensor`] for matrices that do not fit,
    /// [`Error::Config`].
    pub(crate) fn fit(self, store: &Store, path: &Path) -> Result<Adapter> {
        let Self { config, file } = self;
        let ties = config.flag_or("ensure_weight_tying", false)?;
        let mut fitting = Fitting {
            names: Names::of(store),
            rules: Rules::read(&config)?,
            config: &config,
            file: &file,
            path,
            changes: BTreeMap::new(),
        };
        for (name, entry) in &file.entries {
            fitting.tensor(name, entry, store)?;
        }
        let changes = fitting.changes;
        Ok(Adapter {
            file: Arc::new(file),
            changes: Arc::new(changes),
            scale: 1.0,
            ties,
        })
    }
}

/// Refuses what is not LoRA, or changes numbers in a way that is not implemented.
fn check(config: &Config) -> Result<()> {
    if config.text("peft_type")?.is_none_or(|kind| kind != "LORA") {
        return Err(config.unsupported("peft_type", "LORA; merge others with `merge_and_unload` of PEFT"));
    }
    for flag in ["use_dora", "use_qalora", "use_bdlora", "lora_bias"] {
        if config.get(flag).is_some_and(|value| *value != Value::Bool(false)) {
            return Err(config.unsupported(flag, "false; merge it with `merge_and_unload` of PEFT"));
        }
    }
    let empty = |value: &Value| match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    for option in [
        "alora_invocation_tokens",
        "arrow_config",
        "layer_replication",
        "target_parameters",
        "trainable_token_indices",
    ] {
        if config.get(option).is_some_and(|value| !empty(value)) {
            return Err(config.unsupported(option, "none; merge it with `merge_and_unload` of PEFT"));
        }
    }
    // These begin with other weights of the model than the published ones.
    let starts = ["pissa", "olora", "corda", "loftq", "lora_ga"];
    if let Some(Value::String(start)) = config.get("init_lora_weights")
        && starts.iter().any(|name| start.starts_with(name))
    {
        let supported = "true, false, gaussian, eva, orthogonal; merge others with `merge_and_unload` of PEFT";
        return Err(config.unsupported("init_lora_weights", supported));
    }
    Ok(())
}

/// How strong the change of a module is.
struct Rules {
    rank: usize,
    alpha: f64,
    by_root: bool,
    ranks: Vec<(Regex, f64)>,
    alphas: Vec<(Regex, f64)>,
}

impl Rules {
    fn read(config: &Config) -> Result<Self> {
        Ok(Self {
            rank: config.size_or("r", 8)?,
            alpha: config.number_or("lora_alpha", 8.0)?,
            by_root: config.flag_or("use_rslora", false)?,
            ranks: patterns(config, "rank_pattern")?,
            alphas: patterns(config, "alpha_pattern")?,
        })
    }

    /// The rank of a module.
    fn rank(&self, module: &str, config: &Config) -> Result<usize> {
        let rank = matching(&self.ranks, module).map_err(|found| several(config, "rank_pattern", module, &found))?;
        Ok(rank.map_or(self.rank, |rank| rank as usize))
    }

    fn factor(&self, module: &str, config: &Config) -> Result<f64> {
        let rank = self.rank(module, config)? as f64;
        let alpha = matching(&self.alphas, module).map_err(|found| several(config, "alpha_pattern", module, &found))?;
        Ok(alpha.unwrap_or(self.alpha) / if self.by_root { rank.sqrt() } else { rank })
    }
}

/// Numbers by patterns of module names. As in PEFT a pattern is a whole name or the end of one.
fn patterns(config: &Config, key: &str) -> Result<Vec<(Regex, f64)>> {
    let Some(map) = config.object(key)? else {
        return Ok(Vec::new());
    };
    let pattern = |(pattern, number): (&String, &Value)| {
        let whole = match pattern.strip_prefix('^') {
            Some(rest) => format!("^(?:{rest})"),
            None => format!(r"^(?:.*\.)?(?:{pattern})$"),
        };
        let regex = Regex::new(&whole).map_err(|_| map.wrong(pattern, "a pattern of module names"))?;
        let number = number.as_f64().filter(|number| number.is_finite() && *number > 0.0);
        let number = number.ok_or_else(|| map.wrong(pattern, "a number above 0"))?;
        Ok((regex, number))
    };
    map.entries().map(pattern).collect()
}

/// The number of a module, or the numbers that several patterns give it: the order in the file, by which PEFT decides, is
/// not kept here.
fn matching(patterns: &[(Regex, f64)], module: &str) -> Result<Option<f64>, Vec<f64>> {
    let found = patterns.iter().filter(|(pattern, _)| pattern.is_match(module));
    let mut numbers: Vec<f64> = found.map(|&(_, number)| number).collect();
    numbers.dedup();
    match numbers.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        _ => Err(numbers),
    }
}

fn several(config: &Config, key: &str, module: &str, found: &[f64]) -> Error {
    let module = excerpt(module, SHORT);
    config.wrong(key, format!("one number for `{module}`, not {found:?}"))
}

/// The names of a model's tensors. An adapter of a model with a head may stand on the files of one without: its names
/// then have a prefix that the files leave out, or lack one.
struct Names<'a> {
    /// By themselves and without their first part, where that is one tensor's alone.
    known: BTreeMap<&'a str, Option<&'a str>>,
}

impl<'a> Names<'a> {
    fn of(store: &'a Store) -> Self {
        let mut known: BTreeMap<&str, Option<&str>> = BTreeMap::new();
        for found in store.tensors() {
            if let Some((_, short)) = found.name.split_once('.') {
                let entry = known.entry(short);
                entry.and_modify(|name| *name = None).or_insert(Some(found.name));
            }
        }
        // A whole name is that tensor, whatever ends so.
        known.extend(store.tensors().map(|found| (found.name, Some(found.name))));
        Self { known }
    }

    fn find(&self, name: &str) -> Option<&'a str> {
        let known = |name: &str| self.known.get(name).copied().flatten();
        known(name).or_else(|| {
            let (_, short) = name.split_once('.')?;
            // Without the prefix it must be a whole name.
            known(short).filter(|found| *found == short)
        })
    }
}

struct Fitting<'a> {
    names: Names<'a>,
    rules: Rules,
    config: &'a Config,
    file: &'a TensorFile,
    path: &'a Path,
    changes: BTreeMap<String, Change>,
}

impl Fitting<'_> {
    /// What a tensor of the adapter changes.
    fn tensor(&mut self, name: &str, entry: &Entry, store: &Store) -> Result<()> {
        let own = name.strip_prefix(ROOT).unwrap_or(name);
        if let Some((module, rest)) = own.split_once(".lora_") {
            let (part, partner, embedding) = match rest {
                "A.weight" => ('a', "B.weight", false),
                "B.weight" => ('b', "A.weight", false),
                "embedding_A" => ('a', "embedding_B", true),
                "embedding_B" => ('b', "embedding_A", true),
                _ => {
                    let found = format!("lora_{}", excerpt(rest, SHORT));
                    return Err(self.misfit(name, "lora_A.weight, lora_B.weight or those of an embedding", found));
                }
            };
            let start = &name[..name.len() - rest.len()];
            let partner = format!("{start}{partner}");
            let Some(other) = self.file.entries.get(&partner) else {
                return Err(self.misfit(name, &format!("`{partner}` beside it"), "nothing".to_owned()));
            };
            // Once for both.
            return match part {
                'a' => self.pair((name, entry), (&partner, other), module, embedding, store),
                _ => Ok(()),
            };
        }
        // Trained whole. Older versions say so in the name.
        let own = own.replace(".modules_to_save.", ".").replace(".base_layer.", ".");
        if let Some(base) = self.names.find(&own) {
            let shape = store
                .find(base)
                .map(|found| found.entry.shape.clone())
                .unwrap_or_default();
            if shape != entry.shape {
                let expected = format!("shape {shape:?}, that of `{}`", excerpt(base, SHORT));
                return Err(self.misfit(name, &expected, format!("{:?}", entry.shape)));
            }
            return self.change(base.to_owned(), name, Change::Replaced(name.to_owned()));
        }
        self.change(own, name, Change::Replaced(name.to_owned()))
    }

    /// Notes what becomes of a tensor, by `name` of the adapter.
    fn change(&mut self, tensor: String, name: &str, change: Change) -> Result<()> {
        let short = excerpt(&tensor, SHORT);
        match self.changes.insert(tensor, change) {
            None => Ok(()),
            Some(_) => {
                let expected = format!("one change of `{short}`; merge others with `merge_and_unload` of PEFT");
                Err(self.misfit(name, &expected, "a second one".to_owned()))
            }
        }
    }

    fn pair(
        &mut self,
        (a, of_a): (&str, &Entry),
        (b, of_b): (&str, &Entry),
        module: &str,
        embedding: bool,
        store: &Store,
    ) -> Result<()> {
        let tensor = format!("{module}.weight");
        let (&[rank, inputs], &[outputs, columns]) = (of_a.shape.as_slice(), of_b.shape.as_slice()) else {
            return Err(self.misfit(a, "two matrices", format!("{:?} and {:?}", of_a.shape, of_b.shape)));
        };
        let named = self.rules.rank(module, self.config)?;
        if rank != named || columns != named {
            let expected = format!("rank {named}, as {} says", self.config.path().display());
            return Err(self.misfit(a, &expected, format!("{:?} and {:?}", of_a.shape, of_b.shape)));
        }
        let transposed = embedding || self.config.flag_or("fan_in_fan_out", false)?;
        let wanted = if transposed {
            [inputs, outputs]
        } else {
            [outputs, inputs]
        };
        let base = self.names.find(&tensor);
        let Some((base, found)) = base.and_then(|base| Some((base, store.stored(base)?))) else {
            return Err(Error::MissingTensor {
                path: self.path.to_owned(),
                tensor,
                expected: wanted.to_vec(),
            });
        };
        if found.entry.shape != wanted {
            let expected = format!(
                "matrices for `{}` of shape {:?}",
                excerpt(base, SHORT),
                found.entry.shape
            );
            return Err(self.misfit(a, &expected, format!("{:?} and {:?}", of_a.shape, of_b.shape)));
        }
        let change = Change::Added {
            a: a.to_owned(),
            b: b.to_owned(),
            factor: self.rules.factor(module, self.config)?,
            transposed,
        };
        self.change(base.to_owned(), a, change)
    }

    fn misfit(&self, tensor: &str, expected: &str, found: String) -> Error {
        Error::Tensor {
            path: self.file.path.clone(),
            tensor: tensor.to_owned(),
            expected: expected.to_owned(),
            found,
        }
    }
}

impl Adapter {
    pub(crate) fn file(&self) -> &TensorFile {
        &self.file
    }

    /// Whether it changes or adds a tensor.
    pub(crate) fn changes(&self, name: &str) -> bool {
        self.changes.contains_key(name)
    }

    /// The tensors that it changes or adds, by the names of the model.
    pub(crate) fn changed(&self) -> impl Iterator<Item = &str> {
        self.changes.keys().map(String::as_str)
    }

    /// Whether a head that is tied to an embedding follows what changes that. In PEFT it does so only if it is asked to
    /// (`ensure_weight_tying`): the embedding then is a module of its own, and the head goes on with the model's matrix.
    pub(crate) fn ties(&self) -> bool {
        self.ties
    }

    pub(crate) fn scale(&self) -> f64 {
        self.scale
    }

    /// # Errors
    /// [`Error::Parameter`] for a number that is not from 0 to 1.
    pub(crate) fn set_scale(&mut self, scale: f64) -> Result<()> {
        if !(0.0..=1.0).contains(&scale) {
            return Err(Error::parameter(
                "adapter_scale",
                "a number from 0 to 1",
                scale.to_string(),
            ));
        }
        self.scale = scale;
        Ok(())
    }

    /// A tensor that a model may have of the adapter alone: the head it was trained with.
    pub(crate) fn added(&self, name: &str) -> Option<Found<'_>> {
        let (name, change) = self.changes.get_key_value(name)?;
        self.replacement(name, change)
    }

    pub(crate) fn all_added(&self) -> impl Iterator<Item = Found<'_>> {
        let changes = self.changes.iter();
        changes.filter_map(|(name, change)| self.replacement(name, change))
    }

    fn replacement<'a>(&'a self, name: &'a str, change: &Change) -> Option<Found<'a>> {
        let Change::Replaced(own) = change else { return None };
        let entry = self.file.entries.get(own)?;
        Some(Found {
            name,
            file: &self.file,
            entry,
        })
    }

    /// A tensor of the model, changed as much as the scale says: all the way at 1.
    pub(crate) fn merge(&self, found: Found<'_>, mut values: Vec<f32>) -> Result<Vec<f32>> {
        let Some(change) = self.changes.get(found.name) else {
            return Ok(values);
        };
        let read = |name: &str| match self.file.entries.get(name) {
            Some(entry) => Ok((self.file.read(name, entry)?, entry.shape.clone())),
            None => Err(Error::MissingTensor {
                path: self.file.path.clone(),
                tensor: name.to_owned(),
                expected: Vec::new(),
            }),
        };
        match change {
            // What the model does not have is the adapter's at any scale.
            Change::Replaced(_) if std::ptr::eq(found.file, &*self.file) => return Ok(values),
            Change::Replaced(name) => {
                let (own, _) = read(name)?;
                if self.scale == 1.0 {
                    return Ok(own);
                }
                let between = |(value, own): (&mut f32, f32)| *value += self.scale as f32 * (own - *value);
                values.iter_mut().zip(own).for_each(between);
            }
            Change::Added {
                a,
                b,
                factor,
                transposed,
            } => {
                let matrix = |name: &str| -> Result<Tensor> {
                    let (values, shape) = read(name)?;
                    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
                };
                let product = matrix(b)?.matmul(&matrix(a)?)?;
                let product = if *transposed { product.t()? } else { product };
                let product = product.flatten_all()?.to_vec1::<f32>()?;
                let factor = (factor * self.scale) as f32;
                let add = |(value, change): (&mut f32, f32)| *value += factor * change;
                values.iter_mut().zip(product).for_each(add);
            }
        }
        finite(&found.file.path, found.name, values)
    }
}
