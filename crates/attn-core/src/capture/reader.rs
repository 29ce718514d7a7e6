//! Reading a capture: every vector of a head as one array, and attention recomputed for one sequence.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use half::f16;
use ndarray::{Array2, ArrayView2, Axis, CowArray, Ix2};

use super::{
    check,
    close::checksum,
    file::{Stored, TensorFile},
    finite::first_not_finite,
    journal::JOURNAL,
    schema::{CAPTURE_JSON, CaptureJson, CaptureOptions, FileRecord, Precision},
    slot::{Slot, stack_layers, starts, tables},
};
use crate::{
    Attention, Error, HeadId, Limits, ModelInfo, Progress, Result, Sequence, Side,
    attention::attention_weights,
    files::{self, Bytes},
    model::AttentionInfo,
    progress::step,
    sequence::ImageData,
};

/// Bytes of an attention matrix that any machine has.
const ALWAYS: u64 = 1 << 26;

/// A capture: sequences, the model's facts, and the queries, keys and values of every head.
///
/// Cheap to clone; safe to share between threads. Every value that is read is finite: the first read of a tensor looks for NaN
/// and infinity, later reads do not.
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
    options: CaptureOptions,
    encoder: Rows,
    decoder: Rows,
    /// Heads of slots whose values are known to be finite.
    finite: Mutex<BTreeSet<(Slot, usize)>>,
}

/// Rows of the sequences of one side in the stored tensors.
#[derive(Debug)]
struct Rows {
    /// First row of each sequence, counting only what was captured.
    start: Vec<usize>,
    /// Their number.
    count: usize,
    /// First stored row of each sequence, where rows are missing between them.
    stored: Option<Vec<usize>>,
    /// Rows in the stored tensors; at least so many if rows are missing between sequences.
    stored_count: usize,
}

impl Capture {
    /// Whether a folder holds a finished capture. It may still be damaged: [`open`](Self::open) tells.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(CAPTURE_JSON).is_file()
    }

    /// Opens a capture folder. Files are mapped, not read; use [`verify`](Self::verify) to check every byte.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder or a file is missing, [`Error::NotAFile`] for a pipe or device, [`Error::NotACapture`] if it is another thing or version,
    /// [`Error::Json`] for unknown, missing or mistyped fields, [`Error::Description`] for impossible values,
    /// [`Error::Safetensors`], [`Error::MissingTensor`], and [`Error::Shape`] for tensors that do not fit the description.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let path = folder.join(CAPTURE_JSON);
        let text = files::read(&path, u64::MAX).map_err(|error| match error {
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound && folder.is_dir() => {
                let unfinished = folder.join(JOURNAL).exists();
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
            }
            other => other,
        })?;
        let description = CaptureJson::parse(&text, &path)?;
        let mut files = BTreeMap::new();
        let attentions = description.model.attentions.iter();
        let keeps_attention = description.options.unwrap_or_default().attention;
        for info in attentions.filter(|_| keeps_attention) {
            for layer in info.attending_layers() {
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

    /// Makes a capture of its parts. Checks the description, and type and shape of every tensor.
    pub(super) fn assemble(
        description: CaptureJson,
        folder: Option<PathBuf>,
        files: BTreeMap<String, TensorFile>,
    ) -> Result<Self> {
        let place = match &folder {
            Some(folder) => folder.join(CAPTURE_JSON).display().to_string(),
            None => "capture".to_owned(),
        };
        check::description(&description, &place)?;
        let rows = |side, stored: &Option<Vec<usize>>| Rows::new(&description.sequences, side, stored, &place);
        let encoder = rows(Side::Encoder, &description.encoder_start)?;
        let decoder = rows(Side::Decoder, &description.decoder_start)?;
        let inner = Inner {
            options: description.options.unwrap_or_default(),
            folder,
            description,
            files,
            encoder,
            decoder,
            finite: Mutex::default(),
        };
        let mut capture = Self {
            sequences: None,
            inner: Arc::new(inner),
        };
        let precision = capture.check_tensors()?;
        // The only owner: nobody else has seen this capture.
        if let Some(inner) = Arc::get_mut(&mut capture.inner) {
            inner.options.precision = precision;
        }
        Ok(capture)
    }

    /// Checks that queries and keys are there, and the type and shape of every tensor. All of them have one type.
    fn check_tensors(&self) -> Result<Precision> {
        let given = self.inner.description.options.map(|options| options.precision);
        let mut first: Option<(Precision, String)> = given.map(|given| (given, "options.precision".to_owned()));
        for slot in self.slots(true) {
            let (file, stored, _) = self.tensor(slot)?;
            let place = place(file, slot);
            let found = match stored.dtype {
                safetensors::Dtype::F16 => Precision::F16,
                _ => Precision::F32,
            };
            match &first {
                Some((expected, of)) if *expected != found => {
                    return Err(Error::Shape {
                        place,
                        expected: format!("type {:?}, as {of}", expected.dtype()),
                        found: format!("{:?}", stored.dtype),
                    });
                }
                Some(_) => {}
                None => first = Some((found, place)),
            }
        }
        Ok(first.map_or_else(Precision::default, |(precision, _)| precision))
    }

    /// Slots that the files hold. With `required`, queries, keys and tables are listed even if they are missing.
    fn slots(&self, required: bool) -> Vec<Slot> {
        let model = self.model();
        let mut slots = Vec::new();
        let required = required && self.inner.options.attention;
        let has = |slot: &Slot| {
            let (name, tensor) = slot.place();
            self.inner.files.get(&name).is_some_and(|file| file.has(tensor))
        };
        for info in &model.attentions {
            let attention = info.attention;
            for layer in info.attending_layers() {
                let needed = [Slot::Query { attention, layer }, Slot::Key { attention, layer }];
                slots.extend(needed.into_iter().filter(|slot| required || has(slot)));
                slots.extend(Some(Slot::Value { attention, layer }).filter(has));
            }
        }
        slots.extend(tables(model).into_iter().filter(|slot| required || has(slot)));
        for side in [Side::Encoder, Side::Decoder] {
            let layers = stack_layers(model, side).map_or(0, |layers| layers + 1);
            slots.extend((0..layers).map(|layer| Slot::Hidden { side, layer }).filter(has));
            let logits = Some(Slot::Logits { side }).filter(|_| model.vocab_size.is_some());
            slots.extend(logits.filter(has));
        }
        slots
    }

    /// The folder, or `None` for a capture in memory.
    pub fn folder(&self) -> Option<&Path> {
        self.inner.folder.as_deref()
    }

    /// The model's facts.
    pub fn model(&self) -> &ModelInfo {
        &self.inner.description.model
    }

    /// Content, and the precision of the tensors.
    pub fn options(&self) -> CaptureOptions {
        self.inner.options
    }

    /// Identifies the weights that were captured; empty if the writer did not say.
    pub fn fingerprint(&self) -> &str {
        &self.inner.description.fingerprint
    }

    /// The captured sequences.
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
    /// [`Error::NotFound`] for a head that the model does not have, [`Error::NotFinite`].
    pub fn queries(&self, head: HeadId) -> Result<CowArray<'_, f32, Ix2>> {
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
    pub fn keys(&self, head: HeadId) -> Result<CowArray<'_, f32, Ix2>> {
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
    pub fn values(&self, head: HeadId) -> Result<CowArray<'_, f32, Ix2>> {
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
    /// [`Error::NotFound`] if hidden states were not captured or the layer does not exist, [`Error::NotFinite`].
    pub fn hidden(&self, side: Side, layer: usize) -> Result<CowArray<'_, f32, Ix2>> {
        self.all(Slot::Hidden { side, layer }, 0)
    }

    /// The side's layers with hidden states, ascending; none if they were not captured.
    pub fn hidden_layers(&self, side: Side) -> Vec<usize> {
        let of_side = |slot: Slot| match slot {
            Slot::Hidden { side: own, layer } if own == side => Some(layer),
            _ => None,
        };
        self.slots(false).into_iter().filter_map(of_side).collect()
    }

    /// Hidden states of some tokens after a layer, `[row, hidden_size]`; `rows` are those of [`hidden`](Self::hidden), in any
    /// order.
    ///
    /// Of a folder only these rows are read, and into memory of their own: a layer that is larger than the memory is no
    /// obstacle, and nothing of it stays mapped.
    ///
    /// # Errors
    /// As [`hidden`](Self::hidden), for these rows; [`Error::NotFound`] for a row that does not exist.
    pub fn hidden_rows(&self, side: Side, layer: usize, rows: &[usize]) -> Result<Array2<f32>> {
        let slot = Slot::Hidden { side, layer };
        let (file, stored, width) = self.tensor(slot)?;
        let count = self.side(side).count;
        if let Some(row) = rows.iter().find(|&&row| row >= count) {
            return Err(Error::NotFound {
                what: "token",
                asked: row.to_string(),
                available: format!("tokens 0..{count}"),
            });
        }
        let half = stored.dtype == safetensors::Dtype::F16;
        let size = if half { 2 } else { 4 };
        let mut source = self.folder().map(|_| files::open(&file.path)).transpose()?;
        let mut bytes = vec![0; width * size];
        let mut values = Array2::zeros((rows.len(), width));
        for (&row, mut out) in rows.iter().zip(values.rows_mut()) {
            let start = stored.start + self.stored_row(side, row) * width * size;
            match &mut source {
                Some(source) => {
                    let io = |error| Error::io(&file.path, error);
                    source.seek(SeekFrom::Start(start as u64)).map_err(io)?;
                    source.read_exact(&mut bytes).map_err(io)?;
                }
                None => {
                    // Within the file: the tensor's shape was checked.
                    if let Some(own) = file.bytes.as_slice().get(start..start + bytes.len()) {
                        bytes.copy_from_slice(own);
                    }
                }
            }
            let numbers = bytes.chunks_exact(size).map(|own| match *own {
                [a, b] => f16::from_le_bytes([a, b]).to_f32(),
                [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
                _ => 0.0,
            });
            out.iter_mut().zip(numbers).for_each(|(out, number)| *out = number);
            if out.iter().any(|value| !value.is_finite()) {
                self.check_finite(&CowArray::from(out.view().insert_axis(Axis(0))), slot, 0, row)?;
            }
        }
        Ok(values)
    }

    /// Where a row of a side is in the stored tensors.
    fn stored_row(&self, side: Side, row: usize) -> usize {
        let rows = self.side(side);
        let Some(stored) = &rows.stored else { return row };
        // Sequences without a token share their start with the next one, which is the last of them.
        let sequence = rows.start.partition_point(|&start| start <= row).saturating_sub(1);
        stored[sequence] + row - rows.start[sequence]
    }

    /// Logits over the vocabulary, `[tokens, vocab_size]`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if logits were not captured, [`Error::NotFinite`].
    pub fn logits(&self, side: Side) -> Result<CowArray<'_, f32, Ix2>> {
        self.all(Slot::Logits { side }, 0)
    }

    /// Vectors of relative offsets that a head multiplies its queries by, and its keys, `[bucket, head_dim]`; `None` where it
    /// multiplies by none.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a head that does not exist, [`Error::NotFinite`].
    pub fn offset_tables(&self, head: HeadId) -> Result<[Option<CowArray<'_, f32, Ix2>>; 2]> {
        let kv_head = self.head(head)?;
        let HeadId { attention, layer, .. } = head;
        let Some(vectors) = self.info(attention)?.relative_vectors else {
            return Ok([None, None]);
        };
        let table = |has: bool, slot, head| has.then(|| self.all(slot, head)).transpose();
        Ok([
            table(vectors.keys, Slot::OffsetKey { attention, layer }, kv_head)?,
            table(vectors.queries, Slot::OffsetQuery { attention, layer }, head.head)?,
        ])
    }

    /// Attention weights of a head in one sequence, `[queries, keys]`, recomputed from Q, K and the model's facts.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a head or sequence that does not exist, [`Error::NotFinite`], also if queries and keys are finite
    /// and so large that their product is not, [`Error::Memory`] for a sequence so long that its matrix takes more than
    /// [`Limits::default`].
    pub fn attention(&self, head: HeadId, sequence: usize) -> Result<Array2<f32>> {
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
        let (tokens, of_keys) = (queries.nrows(), keys.nrows());
        let needed = Limits::size(&[tokens, of_keys], size_of::<f32>());
        // The system is asked for its memory only where that matters.
        if needed > ALWAYS {
            let name = &self.sequences()[sequence].name;
            Limits::default().check(format_args!("the attention of a head in {name}"), needed)?;
        }
        let mut bias = None;
        let mut add = |term: Array2<f32>| {
            bias = Some(match bias.take() {
                Some(sum) => sum + &term,
                None => term,
            });
        };
        if let Some(by_offset) = &info.relative_bias {
            add(by_offset.matrix(head.head, tokens, of_keys));
        }
        if let Some(alibi) = &info.alibi {
            add(alibi.matrix(head.head, tokens, of_keys));
        }
        let layer_info = &info.layers[layer];
        if let Some(vectors) = &info.relative_vectors {
            let tables = self.offset_tables(head)?;
            let tables = [0, 1].map(|of| tables[of].as_ref().map(|table| table.view()));
            add(vectors.products(queries.view(), keys.view(), tables) * layer_info.scale);
        }
        let bias = bias.as_ref().map(Array2::view);
        let weights = attention_weights(queries.view(), keys.view(), layer_info, head.head, bias)?;
        // Finite vectors may have a product that is not.
        if let Some(((query, key), &value)) = weights.indexed_iter().find(|(_, weight)| !weight.is_finite()) {
            let (file, ..) = self.tensor(Slot::Query { attention, layer })?;
            return Err(Error::NotFinite {
                place: format!(
                    "{}, layer {layer}, head {}, `{}`, attention of query {query}",
                    file.path.display(),
                    head.head,
                    self.sequences()[sequence].name
                ),
                index: key,
                value,
            });
        }
        Ok(weights)
    }

    /// Reads every file, compares it with the checksum recorded when it was written, and looks for NaN and infinity. Files
    /// without a record have no checksum to compare with.
    ///
    /// # Errors
    /// [`Error::Checksum`] or [`Error::Shape`] for the first file that differs, [`Error::NotFinite`], [`Error::Cancelled`].
    pub fn verify(&self, progress: &dyn Progress) -> Result<()> {
        let records = &self.inner.description.files;
        let slots = self.slots(false);
        let total = records.len() + slots.len();
        if let Some(folder) = self.folder() {
            self.verify_checksums(folder, total, progress)?;
        }
        for (done, slot) in slots.into_iter().enumerate() {
            step(progress, "verify", records.len() + done, total)?;
            let (heads, _) = slot.size(self.model())?;
            for head in 0..heads {
                self.all(slot, head)?;
            }
        }
        step(progress, "verify", total, total)
    }

    fn verify_checksums(&self, folder: &Path, total: usize, progress: &dyn Progress) -> Result<()> {
        let records = &self.inner.description.files;
        for (done, (name, FileRecord { bytes, crc32 })) in records.iter().enumerate() {
            step(progress, "verify", done, total)?;
            let path = folder.join(name);
            let found = checksum(&path, &|_| step(progress, "verify", done, total))?;
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
        Ok(())
    }

    fn side(&self, side: Side) -> &Rows {
        match side {
            Side::Encoder => &self.inner.encoder,
            Side::Decoder => &self.inner.decoder,
        }
    }

    fn info(&self, attention: Attention) -> Result<&AttentionInfo> {
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

    /// Checks that a head exists and was captured, and gives its key/value head.
    fn head(&self, head: HeadId) -> Result<usize> {
        if !self.inner.options.attention {
            return Err(Error::NotFound {
                what: "head",
                asked: head.to_string(),
                available: "hidden states and logits: this capture was made without queries, keys and values".into(),
            });
        }
        let info = self.info(head.attention)?;
        if head.head >= info.heads_of(head.layer) {
            return Err(Error::NotFound {
                what: "head",
                asked: head.to_string(),
                available: match info.layers.get(head.layer) {
                    None => format!("layers 0..{}, heads 0..{}", info.layers.len(), info.heads),
                    Some(_) => match info.heads_of(head.layer) {
                        0 => format!("layer {} has no attention", head.layer),
                        own => format!("layers 0..{}, heads 0..{own}", info.layers.len()),
                    },
                },
            });
        }
        Ok(info.kv_head(head.layer, head.head))
    }

    /// The tensor of a slot with its file and the length of its vectors. Checks its type and shape.
    fn tensor(&self, slot: Slot) -> Result<(&TensorFile, &Stored, usize)> {
        let (heads, width) = slot.size(self.model())?;
        let (name, tensor) = slot.place();
        let file = self.inner.files.get(&name).ok_or_else(|| Error::NotFound {
            what: "file",
            asked: name,
            available: self.inner.files.keys().cloned().collect::<Vec<_>>().join(", "),
        })?;
        let stored = file.get(tensor)?;
        let side = self.side(slot.side());
        let (rows, gaps, what) = match slot.table_rows(self.model()) {
            Some(buckets) => (buckets, false, "buckets".to_owned()),
            None => {
                let what = format!("tokens of all {} sequences", self.sequences().len());
                (side.stored_count, side.stored.is_some(), what)
            }
        };
        let fits = match stored.shape[..] {
            [stored_heads, stored_rows, stored_width] => {
                let enough = stored_rows == rows || gaps && stored_rows > rows;
                stored_heads == heads && enough && stored_width == width
            }
            _ => false,
        };
        if !fits {
            let at_least = if gaps { "at least " } else { "" };
            return Err(Error::Shape {
                place: place(file, slot),
                expected: format!("[{heads}, {at_least}{rows}, {width}] (heads, {what}, vector length)"),
                found: format!("{:?}", stored.shape),
            });
        }
        if !matches!(stored.dtype, safetensors::Dtype::F32 | safetensors::Dtype::F16) {
            return Err(Error::Shape {
                place: place(file, slot),
                expected: "type F32 or F16".into(),
                found: format!("{:?}", stored.dtype),
            });
        }
        Ok((file, stored, width))
    }

    /// Stored rows `rows` of one head.
    fn stored(&self, slot: Slot, head: usize, rows: Range<usize>) -> Result<CowArray<'_, f32, Ix2>> {
        let (file, stored, width) = self.tensor(slot)?;
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

    /// Every captured row of one head of a slot, or a table, known to be finite.
    fn all(&self, slot: Slot, head: usize) -> Result<CowArray<'_, f32, Ix2>> {
        let rows = self.side(slot.side());
        let values = match (&rows.stored, slot.table_rows(self.model())) {
            (_, Some(buckets)) => self.stored(slot, head, 0..buckets)?,
            (None, None) => self.stored(slot, head, 0..rows.count)?,
            (Some(stored), None) => {
                let (_, width) = slot.size(self.model())?;
                let mut gathered = Array2::zeros((rows.count, width));
                for (sequence, &from) in stored.iter().enumerate() {
                    let to = self.rows(sequence, slot.side());
                    let block = self.stored(slot, head, from..from + to.len())?;
                    gathered.slice_mut(ndarray::s![to, ..]).assign(&block);
                }
                gathered.into()
            }
        };
        let known = || self.inner.finite.lock().unwrap_or_else(PoisonError::into_inner);
        if !known().contains(&(slot, head)) {
            self.check_finite(&values, slot, head, 0)?;
            known().insert((slot, head));
        }
        Ok(values)
    }

    /// The rows of one sequence, known to be finite.
    fn one(&self, slot: Slot, head: usize, sequence: usize) -> Result<CowArray<'_, f32, Ix2>> {
        let rows = self.rows(sequence, slot.side());
        let start = match &self.side(slot.side()).stored {
            Some(stored) => stored[sequence],
            None => rows.start,
        };
        let values = self.stored(slot, head, start..start + rows.len())?;
        // A sequence is short: looking again costs less than remembering which were checked.
        self.check_finite(&values, slot, head, rows.start)?;
        Ok(values)
    }

    /// Looks for NaN and infinity in rows of a head, the first of which is `first_row` of the side.
    fn check_finite(&self, values: &CowArray<'_, f32, Ix2>, slot: Slot, head: usize, first_row: usize) -> Result<()> {
        let flat = values.as_slice().unwrap_or_default();
        let Some(index) = first_not_finite(flat) else {
            return Ok(());
        };
        let (file, _, width) = self.tensor(slot)?;
        let row = first_row + index / width.max(1);
        let not_finite = |of: String| Error::NotFinite {
            place: format!("{}, {of}", place(file, slot)),
            index: index % width.max(1),
            value: flat[index],
        };
        let starts = &self.side(slot.side()).start;
        let sequence = starts.partition_point(|&start| start <= row).saturating_sub(1);
        let token = row - starts.get(sequence).copied().unwrap_or(0);
        let name = self
            .sequences()
            .get(sequence)
            .map_or("", |sequence| sequence.name.as_str());
        let of = match slot {
            Slot::Query { layer, .. } => format!("layer {layer}, head {head}"),
            Slot::Key { layer, .. } | Slot::Value { layer, .. } => format!("layer {layer}, key/value head {head}"),
            Slot::Hidden { layer, .. } => format!("layer {layer}"),
            Slot::Logits { .. } => "logits".to_owned(),
            Slot::OffsetKey { layer, .. } => {
                return Err(not_finite(format!(
                    "layer {layer}, key/value head {head}, bucket {row}"
                )));
            }
            Slot::OffsetQuery { layer, .. } => {
                return Err(not_finite(format!("layer {layer}, head {head}, bucket {row}")));
            }
        };
        Err(not_finite(format!("{of}, `{name}`, token {token}")))
    }
}

/// File and tensor of a slot, for errors.
fn place(file: &TensorFile, slot: Slot) -> String {
    format!("{}, tensor `{}`", file.path.display(), slot.place().1)
}

impl Rows {
    fn new(sequences: &[Sequence], side: Side, stored: &Option<Vec<usize>>, place: &str) -> Result<Self> {
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
            let at = match side {
                Side::Encoder => "encoder_start",
                Side::Decoder => "decoder_start",
            };
            return Err(Error::Description {
                place: place.to_owned(),
                at: at.to_owned(),
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
