//! Sources of a model's tensors: files, or fresh random numbers for training.
//!
//! A family's code asks for its tensors by their Hugging Face names and shapes and never knows which it is. So
//! the code that runs a published checkpoint is the code that trains and fine-tunes one.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use attn_core::{Rng, files::write_atomically};
use candle_core::{DType, Device, Tensor, Var};
use safetensors::tensor::{Dtype, TensorView};

use crate::{
    Checkpoint, Error, Result,
    checkpoint::{Asked, WEIGHTS},
    error::{SHORT, excerpt},
    formats::mxfp4,
    store::{Found, Store},
    tensor_file::finite,
};

/// Standard deviation of fresh weight matrices, as in BERT and GPT-2 (Devlin et al. 2019, Radford et al. 2019).
const INITIAL_DEVIATION: f64 = 0.02;

/// Fresh tensors beyond this (4 GiB) come from a corrupt configuration, not from a model to be trained here.
const LARGEST_FRESH: usize = 1 << 30;

/// A source of tensors by name, at one place in the tree of names.
///
/// Cheap to clone: clones and [`at`](Self::at) share the source.
#[derive(Debug, Clone)]
pub struct Weights {
    source: Arc<Source>,
    /// The place in the tree: empty, or `encoder.layer.0`.
    place: String,
}

#[derive(Debug)]
struct Source {
    kind: Kind,
    /// The weight files; none for fresh weights.
    store: Arc<Store>,
    /// The path in messages.
    path: PathBuf,
    device: Device,
    variables: Mutex<BTreeMap<String, Var>>,
    asked: Mutex<Asked>,
    /// What a model built from these runs without.
    notes: Mutex<BTreeSet<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Tensors of the files, not trainable.
    Files,
    /// Variables: from the files where they have the tensor, fresh where they do not.
    Trainable { seed: u64 },
    /// Shapes of the files without their data, to describe a checkpoint. Missing tensors are noted, not errors.
    Probe,
}

impl Weights {
    /// The weights of a checkpoint, for running it. They are read when a model is built, converted to f32 and
    /// checked to be finite.
    pub fn open(checkpoint: &Checkpoint) -> Self {
        Self::new(Kind::Files, checkpoint.store().clone(), checkpoint.weights_path())
    }

    /// Fresh trainable weights: matrices normal(0, 0.02), biases 0, norms 1. The value of a tensor depends on the
    /// seed and its name only, so that the order of building does not matter.
    ///
    /// ```
    /// use attn_models::{Gradients, Model, Weights};
    ///
    /// let config = r#"{"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 1, "n_head": 2,
    ///                  "architectures": ["GPT2LMHeadModel"]}"#;
    /// let weights = Weights::initialize(7);
    /// let model = Model::build("tiny", config, &weights, Gradients::On)?;
    /// assert_eq!(model.info().vocab_size, Some(50));
    /// assert!(weights.variables().len() > 10);
    /// # Ok::<(), attn_models::Error>(())
    /// ```
    pub fn initialize(seed: u64) -> Self {
        Self::new(Kind::Trainable { seed }, Arc::default(), PathBuf::from(WEIGHTS))
    }

    /// Trainable weights that start from a checkpoint. Tensors it lacks, such as the head of a new task, start as
    /// in [`initialize`](Self::initialize).
    pub fn finetune(checkpoint: &Checkpoint, seed: u64) -> Self {
        Self::new(
            Kind::Trainable { seed },
            checkpoint.store().clone(),
            checkpoint.weights_path(),
        )
    }

    pub(crate) fn probe(checkpoint: &Checkpoint) -> Self {
        Self::new(Kind::Probe, checkpoint.store().clone(), checkpoint.weights_path())
    }

    fn new(kind: Kind, store: Arc<Store>, path: PathBuf) -> Self {
        let source = Source {
            kind,
            store,
            path,
            device: Device::Cpu,
            variables: Mutex::default(),
            asked: Mutex::default(),
            notes: Mutex::default(),
        };
        Self {
            source: Arc::new(source),
            place: String::new(),
        }
    }

    /// The same weights on another device. Call it before anything is built from them.
    pub fn on(self, device: &Device) -> Self {
        let Source { kind, store, path, .. } = &*self.source;
        let mut moved = Self::new(*kind, store.clone(), path.clone());
        if let Some(source) = Arc::get_mut(&mut moved.source) {
            source.device = device.clone();
        }
        moved
    }

    /// The device of its tensors.
    pub fn device(&self) -> &Device {
        &self.source.device
    }

    /// The weights below `name`.
    pub fn at(&self, name: impl std::fmt::Display) -> Self {
        Self {
            source: self.source.clone(),
            place: self.full(&name.to_string()),
        }
    }

    /// The weights below `prefix`, or these if no file has a tensor there: checkpoints of a bare model leave out
    /// the prefix that checkpoints with a head have. Fresh weights have it.
    pub fn below(&self, prefix: &str) -> Self {
        if self.source.store.is_empty() || self.stores_below(prefix) {
            self.at(prefix)
        } else {
            self.clone()
        }
    }

    /// Whether a file holds a tensor below `prefix`; no for fresh weights.
    pub(crate) fn stores_below(&self, prefix: &str) -> bool {
        self.source.store.has_below(&format!("{}.", self.full(prefix)))
    }

    /// Whether the files hold this tensor; always for fresh weights, which make every tensor that is asked for.
    pub fn has(&self, name: &str) -> bool {
        self.source.store.is_empty() || self.find(&self.full(name)).is_some()
    }

    /// Whether a file holds this tensor; no for fresh weights.
    pub(crate) fn stores(&self, name: &str) -> bool {
        self.find(&self.full(name)).is_some()
    }

    /// Whether an adapter changes this tensor.
    pub(crate) fn changed(&self, name: &str) -> bool {
        self.source.store.changes(&self.full(name))
    }

    /// A tensor of f32, row by row.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::Tensor`] for another shape or an element type other than f32, f16, bf16 or
    /// GGUF's quantized blocks, [`Error::NotFinite`].
    pub fn get(&self, name: &str, shape: impl Into<Vec<usize>>) -> Result<Tensor> {
        self.get_or(name, shape.into(), fresh)
    }

    /// The matrix of a head that is tied to a tensor, where an adapter changes the tensor and not the head. `None` where both
    /// are the same, as always where they are trained.
    pub(crate) fn untied(&self, name: &str, shape: [usize; 2]) -> Result<Option<Tensor>> {
        if self.source.kind != Kind::Files {
            return Ok(None);
        }
        let values = self.source.store.read_untied(&self.full(name))?;
        let tensor = values.map(|values| Tensor::from_vec(values, &shape, self.device()));
        Ok(tensor.transpose()?)
    }

    /// As [`get`](Self::get), for a tensor whose fresh values are 0, whatever it is called.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_or_zeros(&self, name: &str, shape: impl Into<Vec<usize>>) -> Result<Tensor> {
        self.get_or(name, shape.into(), |name, shape, _| Ok(vec![0.0; count(name, shape)?]))
    }

    /// Matrices `[count, inputs, outputs]` that may be stored in MXFP4, each transposed (`NAME_blocks` and `NAME_scales`), or as
    /// they are.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) fn get_packed(&self, name: &str, shape: [usize; 3]) -> Result<Tensor> {
        let [count, inputs, outputs] = shape;
        let names = ["blocks", "scales"].map(|part| self.full(&format!("{name}_{part}")));
        if self.find(&self.full(name)).is_some() || names.iter().all(|name| self.find(name).is_none()) {
            return self.get(name, shape);
        }
        let parts = [
            vec![count, outputs, inputs / mxfp4::NUMBERS, mxfp4::BYTES],
            vec![count, outputs, inputs / mxfp4::NUMBERS],
        ];
        let mut bytes: Vec<&[u8]> = Vec::with_capacity(2);
        for (name, shape) in names.iter().zip(parts) {
            if self.source.kind == Kind::Probe {
                self.probed(name.clone(), shape)?;
                continue;
            }
            let found = self.find(name).ok_or_else(|| Error::MissingTensor {
                path: self.source.path.clone(),
                tensor: name.clone(),
                expected: shape.clone(),
            })?;
            if found.entry.shape != shape || !inputs.is_multiple_of(mxfp4::NUMBERS) {
                return Err(self.misshapen(&found.file.path, name, &shape, &found.entry.shape));
            }
            bytes.push(found.file.read_bytes(name, found.entry)?);
        }
        let [blocks, scales] = bytes.as_slice() else {
            // A probe reads nothing.
            return Ok(Tensor::zeros(1, DType::F32, &Device::Cpu)?.broadcast_as(&shape)?);
        };
        if self.source.kind != Kind::Files {
            return Err(Error::Unsupported {
                path: self.source.path.clone(),
                key: names[0].clone(),
                found: "MXFP4".to_owned(),
                supported: "f32, f16 or bf16, to be trained".to_owned(),
            });
        }
        // As many numbers as the shapes say, which the lengths of both tensors are checked against as the file is opened.
        let values = mxfp4::widen(blocks, scales).unwrap_or_default();
        let values = finite(&self.source.path, &names[0], values)?;
        let packed = Tensor::from_vec(values, (count, outputs, inputs), self.device())?;
        Ok(packed.transpose(1, 2)?)
    }

    /// Two tensors of one shape as one of twice the rows, which come by turns: the first of the first, the first of the second.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) fn get_by_turns(&self, names: [&str; 2], shape: &[usize]) -> Result<Tensor> {
        let [first, second] = [self.get(names[0], shape)?, self.get(names[1], shape)?];
        if self.source.kind == Kind::Probe {
            // A probe takes no memory.
            let mut both = shape.to_vec();
            both.iter_mut().take(1).for_each(|rows| *rows *= 2);
            return Ok(Tensor::zeros(1, DType::F32, &Device::Cpu)?.broadcast_as(both)?);
        }
        Ok(Tensor::stack(&[first, second], 1)?.flatten(0, 1)?)
    }

    /// A tensor; `fresh` gives its values by name, shape and seed where no file has it and it is trained.
    fn get_or(
        &self,
        name: &str,
        shape: Vec<usize>,
        fresh: impl FnOnce(&str, &[usize], u64) -> Result<Vec<f32>>,
    ) -> Result<Tensor> {
        let name = self.full(name);
        match self.source.kind {
            Kind::Probe => self.probed(name, shape),
            Kind::Files => match self.find(&name) {
                Some(found) => {
                    if self.source.store.changes(found.name) {
                        lock(&self.source.asked).found.insert(found.name.to_owned());
                    }
                    self.read(found, &shape)
                }
                None => Err(Error::MissingTensor {
                    path: self.source.path.clone(),
                    tensor: name,
                    expected: shape,
                }),
            },
            Kind::Trainable { seed } => {
                let mut variables = lock(&self.source.variables);
                if let Some(variable) = variables.get(&name) {
                    return if variable.dims() == shape {
                        Ok(variable.as_tensor().clone())
                    } else {
                        Err(self.misshapen(&self.source.path, &name, &shape, variable.dims()))
                    };
                }
                let start = match self.find(&name) {
                    Some(found) => self.read(found, &shape)?,
                    None => Tensor::from_vec(fresh(&name, &shape, seed)?, shape, self.device())?,
                };
                let variable = Var::from_tensor(&start)?;
                let tensor = variable.as_tensor().clone();
                variables.insert(name, variable);
                Ok(tensor)
            }
        }
    }

    /// A part that the model runs without where the files lack a tensor of it, as `load` asks for them: a head, a
    /// pooler. What is missing is a [note](Self::notes) then; fresh weights have every part.
    ///
    /// # Errors
    /// What `load` returns, a missing tensor apart.
    pub fn optional<T>(&self, what: &str, load: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        let before = lock(&self.source.asked).in_order.len();
        let missing = match load() {
            Err(Error::MissingTensor { tensor, .. }) => tensor,
            Err(error) => return Err(error),
            // A probe is given what is missing as well.
            Ok(part) => {
                let mut asked = lock(&self.source.asked);
                let missing = asked.in_order[before..].to_vec();
                asked.optional.extend(missing.iter().cloned());
                match missing.into_iter().next() {
                    Some(tensor) => tensor,
                    None => return Ok(Some(part)),
                }
            }
        };
        let note = format!(
            "runs without its {what}: tensor `{}` is missing",
            excerpt(&missing, SHORT)
        );
        lock(&self.source.notes).insert(note);
        Ok(None)
    }

    /// What the models built from these weights run without, a sentence each: missing parts, and tensors of an adapter that
    /// none of them has asked for. Empty where nothing is missing.
    pub fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = lock(&self.source.notes).iter().cloned().collect();
        if self.source.kind == Kind::Files {
            let asked = lock(&self.source.asked);
            let unasked: Vec<&str> = self
                .source
                .store
                .changed()
                .filter(|name| !asked.found.contains(*name))
                .collect();
            if let Some(first) = unasked.first() {
                let others = match unasked.len() {
                    1 => String::new(),
                    number => format!(" and {} more", number - 1),
                };
                let first = excerpt(first, SHORT);
                notes.push(format!("runs without what its adapter changes in `{first}`{others}"));
            }
        }
        notes
    }

    /// The trainable variables built so far, by name; none for weights that are not trainable.
    pub fn variables(&self) -> BTreeMap<String, Var> {
        lock(&self.source.variables).clone()
    }

    /// Writes the variables as a safetensors file under their Hugging Face names, as `DType::F32`, `F16` or
    /// `BF16`. The file appears only when it is complete.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if training has diverged (or a value does not fit the type), [`attn_core::Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>, dtype: DType) -> Result<()> {
        let path = path.as_ref();
        Ok(write_atomically(path, &self.to_bytes(path, dtype)?)?)
    }

    fn to_bytes(&self, path: &Path, dtype: DType) -> Result<Vec<u8>> {
        let mut tensors = Vec::new();
        for (name, variable) in self.variables() {
            let values = variable.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            let mut bytes = Vec::with_capacity(values.len() * dtype.size_in_bytes());
            for (index, value) in values.into_iter().enumerate() {
                let kept = match dtype {
                    DType::F16 => half::f16::from_f32(value).to_f32(),
                    DType::BF16 => half::bf16::from_f32(value).to_f32(),
                    _ => value,
                };
                if !kept.is_finite() {
                    return Err(Error::NotFinite {
                        path: path.to_owned(),
                        tensor: name,
                        index,
                        value,
                    });
                }
                match dtype {
                    DType::F16 => bytes.extend(half::f16::from_f32(value).to_le_bytes()),
                    DType::BF16 => bytes.extend(half::bf16::from_f32(value).to_le_bytes()),
                    _ => bytes.extend(value.to_le_bytes()),
                }
            }
            tensors.push((name, variable.dims().to_vec(), bytes));
        }
        let stored = match dtype {
            DType::F32 => Dtype::F32,
            DType::F16 => Dtype::F16,
            DType::BF16 => Dtype::BF16,
            other => return Err(Error::input("dtype", "F32, F16 or BF16", format!("{other:?}"))),
        };
        let broken = |error: safetensors::SafeTensorError| Error::Safetensors {
            path: path.to_owned(),
            message: error.to_string(),
        };
        let views = tensors
            .iter()
            .map(|(name, shape, bytes)| Ok((name, TensorView::new(stored, shape.clone(), bytes).map_err(broken)?)))
            .collect::<Result<Vec<_>>>()?;
        safetensors::serialize(views, None).map_err(broken)
    }

    pub(crate) fn asked(&self) -> Asked {
        lock(&self.source.asked).clone()
    }

    fn full(&self, name: &str) -> String {
        if self.place.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.place)
        }
    }

    /// A tensor of the files: checkpoints converted from TensorFlow call the weight and bias of a norm `gamma` and
    /// `beta`.
    fn find(&self, name: &str) -> Option<Found<'_>> {
        let store = &self.source.store;
        store.find(name).or_else(|| {
            let (place, last) = name.rsplit_once('.')?;
            let old = match last {
                "weight" => format!("{place}.gamma"),
                "bias" => format!("{place}.beta"),
                _ => return None,
            };
            store.find(&old)
        })
    }

    fn read(&self, found: Found<'_>, shape: &[usize]) -> Result<Tensor> {
        let stored = &found.entry.shape;
        if stored != shape {
            return Err(self.misshapen(&found.file.path, found.name, shape, stored));
        }
        Ok(Tensor::from_vec(self.source.store.read(found)?, shape, self.device())?)
    }

    /// A tensor of the right shape without memory behind it, and a note of what was asked.
    fn probed(&self, name: String, shape: Vec<usize>) -> Result<Tensor> {
        let found = self.find(&name);
        let mut asked = lock(&self.source.asked);
        let name = match found {
            Some(found) => {
                let stored = &found.entry.shape;
                if *stored != shape {
                    return Err(self.misshapen(&found.file.path, found.name, &shape, stored));
                }
                asked.found.insert(found.name.to_owned());
                found.name.to_owned()
            }
            None => {
                // A corrupt number of layers must not make a list without end.
                if asked.missing.len() >= 1000 {
                    return Err(Error::MissingTensor {
                        path: self.source.path.clone(),
                        tensor: name,
                        expected: shape,
                    });
                }
                if asked.missing.insert(name.clone()) {
                    asked.in_order.push(name.clone());
                }
                name
            }
        };
        let tensor = Tensor::zeros(1, DType::F32, &Device::Cpu)?.broadcast_as(shape)?;
        asked.given.push((tensor.id(), name));
        Ok(tensor)
    }

    fn misshapen(&self, path: &Path, name: &str, expected: &[usize], found: &[usize]) -> Error {
        Error::Tensor {
            path: path.to_owned(),
            tensor: name.to_owned(),
            expected: format!("shape {expected:?}"),
            found: format!("{found:?}"),
        }
    }
}

/// A lock that a panicking thread has left is still good: every change under it is a single insertion.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many numbers a fresh tensor has.
fn count(name: &str, shape: &[usize]) -> Result<usize> {
    let count = shape
        .iter()
        .try_fold(1_usize, |count, &size| count.checked_mul(size))
        .filter(|&count| count <= LARGEST_FRESH);
    count.ok_or_else(|| Error::Tensor {
        path: PathBuf::from(WEIGHTS),
        tensor: name.to_owned(),
        expected: format!("at most {LARGEST_FRESH} elements"),
        found: format!("shape {shape:?}"),
    })
}

/// Fresh values: biases 0, other vectors (norms, layer scales) 1, everything else normal.
fn fresh(name: &str, shape: &[usize], seed: u64) -> Result<Vec<f32>> {
    let count = count(name, shape)?;
    if name.ends_with("bias") {
        return Ok(vec![0.0; count]);
    }
    if shape.len() == 1 {
        return Ok(vec![1.0; count]);
    }
    // FNV-1a of the name, mixed with the seed, starts the stream.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut rng = Rng::from_state(hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    // 53 bits, shifted by half a step so that the logarithm below never sees 0.
    let mut uniform = move || ((rng.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    // Box and Muller 1958.
    let normal = || {
        let (radius, angle) = (uniform(), uniform());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    };
    Ok(std::iter::repeat_with(normal)
        .take(count)
        .map(|value| (value * INITIAL_DEVIATION) as f32)
        .collect())
}
