//! Reading a capture: every vector of a head as one array, and attention recomputed for one sequence.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use half::f16;
use ndarray::{Array2, ArrayView2, CowArray, Ix2};

use super::{
    file::{Bytes, TensorFile},
    schema::{CAPTURE_JSON, CaptureJson, CaptureOptions, FileRecord, SCHEMA, VERSION},
    slot::{Slot, starts},
    writer::checksum,
};
use crate::{
    Attention, Error, HeadId, ImageData, ModelInfo, Progress, Sequence, Side, attention_weights, progress::step,
};

/// What went through a model, ready to be looked at. Cheap to clone; safe to share between threads.
#[derive(Debug, Clone)]
pub struct Capture {
    inner: Arc<Inner>,
    /// The sequences with images that were added; `None` for those of the description.
    sequences: Option<Arc<[Sequence]>>,
}

#[derive(Debug)]
struct Inner {
    folder: Option<PathBuf>,
    description: CaptureJson,
    files: BTreeMap<String, TensorFile>,
    encoder: Rows,
    decoder: Rows,
}

/// How the sequences of one side lie in the stored tensors.
#[derive(Debug)]
struct Rows {
    /// First row of each sequence, counting only what was captured.
    start: Vec<usize>,
    /// Their number.
    count: usize,
    /// First stored row of each sequence, where rows are missing between them.
    stored: Option<Vec<usize>>,
    /// Rows in the stored tensors, at least.
    stored_count: usize,
}

impl Capture {
    /// Opens a capture folder. Files are mapped, not read; use [`verify`](Self::verify) to check every byte.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder or a file is missing, [`Error::NotACapture`] if it is another thing or version,
    /// [`Error::Json`], [`Error::Safetensors`], [`Error::MissingTensor`] and [`Error::Shape`] for what is wrong inside.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let folder = folder.as_ref();
        let path = folder.join(CAPTURE_JSON);
        let text = fs::read(&path).map_err(|e| {
            if e.kind() == std::io::ErrorKind::NotFound && folder.is_dir() {
                let unfinished = folder.join("journal.jsonl").exists();
                Error::NotACapture {
                    path: folder.to_owned(),
                    expected: CAPTURE_JSON.into(),
                    found: if unfinished {
                        "an unfinished capture"
                    } else {
                        "no such file"
                    }
                    .into(),
                }
            } else {
                Error::io(&path, e)
            }
        })?;
        let description: CaptureJson = serde_json::from_slice(&text).map_err(|e| Error::Json {
            path: path.clone(),
            line: e.line(),
            column: e.column(),
            message: e.to_string(),
        })?;
        if description.schema != SCHEMA || description.version != VERSION {
            return Err(Error::NotACapture {
                path,
                expected: format!("schema {SCHEMA} version {VERSION}"),
                found: format!("{} version {}", description.schema, description.version),
            });
        }
        let mut files = BTreeMap::new();
        for info in &description.model.attentions {
            for layer in 0..info.layers.len() {
                let (name, _) = Slot::Query {
                    attention: info.attention,
                    layer,
                }
                .place();
                let path = folder.join(&name);
                files.insert(name, TensorFile::new(path.clone(), Bytes::open(&path)?)?);
            }
        }
        for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
            let path = entry.map_err(|e| Error::io(folder, e))?.path();
            let Some(name) = path.file_name().and_then(|n| n.to_str()).map(str::to_owned) else {
                continue;
            };
            let extra = (name.contains("-hidden-") || name.contains("-logits")) && name.ends_with(".safetensors");
            if extra {
                files.insert(name, TensorFile::new(path.clone(), Bytes::open(&path)?)?);
            }
        }
        Self::assemble(description, Some(folder.to_owned()), files)
    }

    /// Puts a capture together and checks that every layer holds what the description says.
    pub(super) fn assemble(
        description: CaptureJson,
        folder: Option<PathBuf>,
        files: BTreeMap<String, TensorFile>,
    ) -> Result<Self, Error> {
        let place = || {
            folder
                .as_deref()
                .map_or_else(|| CAPTURE_JSON.into(), |f| f.join(CAPTURE_JSON).display().to_string())
        };
        for info in &description.model.attentions {
            if info.heads == 0 || info.kv_heads == 0 || info.heads % info.kv_heads != 0 || info.head_dim == 0 {
                return Err(Error::Shape {
                    place: format!("{}, {}", place(), info.attention),
                    expected: "heads a multiple of kv_heads, none of them zero".into(),
                    found: format!(
                        "heads {}, kv_heads {}, head_dim {}",
                        info.heads, info.kv_heads, info.head_dim
                    ),
                });
            }
        }
        let rows = |side, stored: &Option<Vec<usize>>| Rows::new(&description.sequences, side, stored, &place());
        let (encoder, decoder) = (
            rows(Side::Encoder, &description.encoder_start)?,
            rows(Side::Decoder, &description.decoder_start)?,
        );
        let capture = Self {
            sequences: None,
            inner: Arc::new(Inner {
                folder,
                description,
                files,
                encoder,
                decoder,
            }),
        };
        for info in &capture.model().attentions {
            let attention = info.attention;
            for layer in 0..info.layers.len() {
                capture.check(Slot::Query { attention, layer })?;
                capture.check(Slot::Key { attention, layer })?;
            }
        }
        Ok(capture)
    }

    /// The folder, or `None` for a capture in memory.
    pub fn folder(&self) -> Option<&Path> {
        self.inner.folder.as_deref()
    }

    /// The model's facts.
    pub fn model(&self) -> &ModelInfo {
        &self.inner.description.model
    }

    /// What was kept, and in which precision.
    pub fn options(&self) -> CaptureOptions {
        self.inner.description.options
    }

    /// Identifies the weights that were captured; empty if the writer did not say.
    pub fn fingerprint(&self) -> &str {
        &self.inner.description.fingerprint
    }

    /// The sequences that were captured.
    pub fn sequences(&self) -> &[Sequence] {
        self.sequences.as_deref().unwrap_or(&self.inner.description.sequences)
    }

    /// Gives images in memory to sequences that came from images, by the names of the sequences. What has a file or no such
    /// name stays as it is.
    ///
    /// A capture made from images in memory has them already; one that is opened from a folder lacks them.
    pub fn add_images<N: AsRef<str>, D: Into<ImageData>>(&mut self, images: impl IntoIterator<Item = (N, D)>) {
        let mut sequences = self.sequences().to_vec();
        for (name, data) in images {
            let (name, data) = (name.as_ref(), data.into());
            let named = sequences.iter_mut().filter(|sequence| sequence.name == name);
            for image in named.filter_map(|sequence| sequence.image.as_mut()) {
                image.data = Some(data.clone());
            }
        }
        self.sequences = Some(sequences.into());
    }

    /// Number of tokens of one side over all sequences: the rows of [`queries`](Self::queries) and its kin.
    pub fn tokens(&self, side: Side) -> usize {
        self.side(side).count
    }

    /// The rows of one sequence in the arrays of its side. Empty for a sequence that does not exist.
    pub fn rows(&self, sequence: usize, side: Side) -> Range<usize> {
        match (self.side(side).start.get(sequence), self.sequences().get(sequence)) {
            (Some(&start), Some(item)) => start..start + item.tokens(side).len(),
            _ => 0..0,
        }
    }

    /// Queries of a head over the whole data set, `[tokens, head_dim]`. Borrowed where the store allows it.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a head the model does not have.
    pub fn queries(&self, head: HeadId) -> Result<CowArray<'_, f32, Ix2>, Error> {
        self.head(head)?;
        self.all(
            Slot::Query {
                attention: head.attention,
                layer: head.layer,
            },
            head.head,
        )
    }

    /// Keys that a head attends over, `[tokens, head_dim]`; heads of one group share them.
    ///
    /// # Errors
    /// As [`queries`](Self::queries).
    pub fn keys(&self, head: HeadId) -> Result<CowArray<'_, f32, Ix2>, Error> {
        let kv_head = self.head(head)?;
        self.all(
            Slot::Key {
                attention: head.attention,
                layer: head.layer,
            },
            kv_head,
        )
    }

    /// Values of a head, `[tokens, head_dim]`; heads of one group share them.
    ///
    /// # Errors
    /// As [`queries`](Self::queries), and [`Error::MissingTensor`] if the writer left values out.
    pub fn values(&self, head: HeadId) -> Result<CowArray<'_, f32, Ix2>, Error> {
        let kv_head = self.head(head)?;
        self.all(
            Slot::Value {
                attention: head.attention,
                layer: head.layer,
            },
            kv_head,
        )
    }

    /// Hidden states after a layer, `[tokens, hidden_size]`; layer 0 is the embedding.
    ///
    /// # Errors
    /// [`Error::NotFound`] if hidden states were not captured or the layer does not exist.
    pub fn hidden(&self, side: Side, layer: usize) -> Result<CowArray<'_, f32, Ix2>, Error> {
        self.all(Slot::Hidden { side, layer }, 0)
    }

    /// Logits over the vocabulary, `[tokens, vocab_size]`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if logits were not captured.
    pub fn logits(&self, side: Side) -> Result<CowArray<'_, f32, Ix2>, Error> {
        self.all(Slot::Logits { side }, 0)
    }

    /// Attention weights of a head in one sequence, `[queries, keys]`, recomputed from Q and K.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a head or sequence that does not exist.
    pub fn attention(&self, head: HeadId, sequence: usize) -> Result<Array2<f32>, Error> {
        let kv_head = self.head(head)?;
        let HeadId { attention, layer, .. } = head;
        if sequence >= self.sequences().len() {
            return Err(Error::NotFound {
                what: "sequence",
                asked: sequence.to_string(),
                available: format!("sequences 0..{}", self.sequences().len()),
            });
        }
        let queries = self.one(Slot::Query { attention, layer }, head.head, sequence)?;
        let keys = self.one(Slot::Key { attention, layer }, kv_head, sequence)?;
        let info = self.info(attention)?;
        let bias = info
            .relative_bias
            .as_ref()
            .map(|b| b.matrix(head.head, queries.nrows(), keys.nrows()));
        attention_weights(
            queries.view(),
            keys.view(),
            info.layers[layer],
            bias.as_ref().map(Array2::view),
        )
    }

    /// Reads every file and compares it with the checksum recorded when it was written.
    ///
    /// # Errors
    /// [`Error::Checksum`] or [`Error::Shape`] for the first file that differs, [`Error::Cancelled`]. Captures in memory and files
    /// without a record pass.
    pub fn verify(&self, progress: &dyn Progress) -> Result<(), Error> {
        let Some(folder) = self.folder() else { return Ok(()) };
        let records = &self.inner.description.files;
        for (done, (name, FileRecord { bytes, crc32 })) in records.iter().enumerate() {
            step(progress, "verify", done, records.len())?;
            let path = folder.join(name);
            let found = checksum(&path)?;
            if found.bytes != *bytes {
                return Err(Error::Shape {
                    place: path.display().to_string(),
                    expected: format!("{bytes} bytes"),
                    found: format!("{} bytes", found.bytes),
                });
            }
            if found.crc32 != *crc32 {
                return Err(Error::Checksum {
                    path,
                    expected: *crc32,
                    found: found.crc32,
                });
            }
        }
        step(progress, "verify", records.len(), records.len())
    }

    fn side(&self, side: Side) -> &Rows {
        match side {
            Side::Encoder => &self.inner.encoder,
            Side::Decoder => &self.inner.decoder,
        }
    }

    fn info(&self, attention: Attention) -> Result<&crate::AttentionInfo, Error> {
        self.model().attention(attention).ok_or_else(|| Error::NotFound {
            what: "attention",
            asked: attention.to_string(),
            available: self
                .model()
                .attentions
                .iter()
                .map(|a| a.attention.name())
                .collect::<Vec<_>>()
                .join(", "),
        })
    }

    /// Checks that a head exists and gives its key/value head.
    fn head(&self, head: HeadId) -> Result<usize, Error> {
        let info = self.info(head.attention)?;
        if head.layer >= info.layers.len() || head.head >= info.heads {
            return Err(Error::NotFound {
                what: "head",
                asked: head.to_string(),
                available: format!("layers 0..{}, heads 0..{}", info.layers.len(), info.heads),
            });
        }
        Ok(info.kv_head(head.head))
    }

    /// Checks type and shape of a slot's tensor; gives it with its file.
    fn check(&self, slot: Slot) -> Result<(&TensorFile, &super::file::Stored, usize), Error> {
        let (heads, width) = slot.size(self.model())?;
        let (name, tensor) = slot.place();
        let file = self.inner.files.get(&name).ok_or_else(|| Error::NotFound {
            what: "file",
            asked: name,
            available: self.inner.files.keys().cloned().collect::<Vec<_>>().join(", "),
        })?;
        let stored = file.get(tensor)?;
        let needed = self.side(slot.side()).stored_count;
        let place = || format!("{}, tensor `{tensor}`", file.path.display());
        let fits = stored.shape.len() == 3
            && stored.shape[0] == heads
            && stored.shape[1] >= needed
            && stored.shape[2] == width;
        if !fits {
            return Err(Error::Shape {
                place: place(),
                expected: format!("[{heads}, {needed}, {width}]"),
                found: format!("{:?}", stored.shape),
            });
        }
        if !matches!(stored.dtype, safetensors::Dtype::F32 | safetensors::Dtype::F16) {
            return Err(Error::Shape {
                place: place(),
                expected: "type F32 or F16".into(),
                found: format!("{:?}", stored.dtype),
            });
        }
        Ok((file, stored, width))
    }

    /// Stored rows `rows` of one head.
    fn stored(&self, slot: Slot, head: usize, rows: Range<usize>) -> Result<CowArray<'_, f32, Ix2>, Error> {
        let (file, stored, width) = self.check(slot)?;
        let total = stored.shape[1];
        let first = (head * total + rows.start) * width;
        let count = rows.len() * width;
        let shape = (rows.len(), width);
        let bytes = file.bytes.as_slice();
        let slice = |size: usize| {
            let start = stored.start + first * size;
            bytes.get(start..start + count * size).unwrap_or_default()
        };
        let values: Cow<'_, [f32]> = match stored.dtype {
            safetensors::Dtype::F16 => slice(2)
                .chunks_exact(2)
                .map(|pair| f16::from_le_bytes([pair[0], pair[1]]).to_f32())
                .collect::<Vec<_>>()
                .into(),
            _ => match bytemuck::try_cast_slice(slice(4)) {
                Ok(values) => Cow::Borrowed(values),
                // Another writer's header need not leave the numbers aligned.
                Err(_) => bytemuck::allocation::pod_collect_to_vec(slice(4)).into(),
            },
        };
        let found = values.len();
        let wrong = |_| Error::Shape {
            place: file.path.display().to_string(),
            expected: format!("{count} values"),
            found: format!("{found} values"),
        };
        match values {
            Cow::Borrowed(values) => ArrayView2::from_shape(shape, values).map(CowArray::from).map_err(wrong),
            Cow::Owned(values) => Array2::from_shape_vec(shape, values).map(CowArray::from).map_err(wrong),
        }
    }

    /// Every captured row of one head of a slot.
    fn all(&self, slot: Slot, head: usize) -> Result<CowArray<'_, f32, Ix2>, Error> {
        let rows = self.side(slot.side());
        let Some(stored) = &rows.stored else {
            return self.stored(slot, head, 0..rows.count);
        };
        let (_, width) = slot.size(self.model())?;
        let mut gathered = Array2::zeros((rows.count, width));
        for (sequence, &from) in stored.iter().enumerate() {
            let to = self.rows(sequence, slot.side());
            let block = self.stored(slot, head, from..from + to.len())?;
            gathered.slice_mut(ndarray::s![to, ..]).assign(&block);
        }
        Ok(gathered.into())
    }

    /// The rows of one sequence.
    fn one(&self, slot: Slot, head: usize, sequence: usize) -> Result<CowArray<'_, f32, Ix2>, Error> {
        let rows = self.rows(sequence, slot.side());
        let start = match &self.side(slot.side()).stored {
            Some(stored) => stored[sequence],
            None => rows.start,
        };
        self.stored(slot, head, start..start + rows.len())
    }
}

impl Rows {
    fn new(sequences: &[Sequence], side: Side, stored: &Option<Vec<usize>>, place: &str) -> Result<Self, Error> {
        let (start, count) = starts(sequences, side);
        let Some(stored) = stored else {
            return Ok(Self {
                start,
                count,
                stored: None,
                stored_count: count,
            });
        };
        if stored.len() != sequences.len() {
            return Err(Error::Shape {
                place: format!("{place}, first rows"),
                expected: format!("{} entries, one per sequence", sequences.len()),
                found: stored.len().to_string(),
            });
        }
        let ends = stored
            .iter()
            .zip(sequences)
            .map(|(&s, sequence)| s.saturating_add(sequence.tokens(side).len()));
        let stored_count = ends.max().unwrap_or(0);
        Ok(Self {
            start,
            count,
            stored: Some(stored.clone()),
            stored_count,
        })
    }
}
