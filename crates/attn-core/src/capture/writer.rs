//! Writing a capture: sequences in any order and from several threads, resumable after a kill, never half-written.
//!
//! Every tensor has its final size from the start, `[heads, rows, width]`, and each sequence owns its rows. A journal lists the
//! sequences whose values are all written; [`CaptureWriter::create`] on the same folder with the same plan goes on from there.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use half::f16;
use serde::{Deserialize, Serialize};

use super::{
    file::{Bytes, TensorFile, header},
    finite::first_not_finite,
    reader::Capture,
    schema::{CAPTURE_JSON, CaptureJson, CapturePlan, FileRecord, Precision, SCHEMA, VERSION},
    slot::{self, Slot},
};
use crate::{Attention, Error, Result, Sequence, Side, files::write_atomically};

const JOURNAL: &str = "journal.jsonl";

/// Receives the values of a capture, sequence by sequence.
#[derive(Debug)]
pub struct CaptureWriter {
    plan: CapturePlan,
    folder: Option<PathBuf>,
    outputs: BTreeMap<String, Mutex<Output>>,
    slots: HashMap<Slot, Region>,
    encoder_start: Vec<usize>,
    decoder_start: Vec<usize>,
    committed: Mutex<Committed>,
}

/// The sequences that are written, and the journal that says so.
#[derive(Debug)]
struct Committed {
    done: Vec<bool>,
    journal: Option<File>,
}

/// A file being written, on disk or in memory.
#[derive(Debug)]
enum Output {
    Disk(File, PathBuf),
    Memory(Vec<u64>, usize),
}

/// Where a slot's tensor lies.
#[derive(Debug, Clone)]
struct Region {
    file: String,
    start: u64,
    heads: usize,
    rows: usize,
    width: usize,
}

#[derive(Serialize, Deserialize)]
struct JournalHead {
    plan: u32,
}

#[derive(Serialize, Deserialize)]
struct JournalLine {
    done: Vec<usize>,
}

impl CaptureWriter {
    /// Starts a capture that is kept in memory.
    ///
    /// # Errors
    /// [`Error::Shape`] if the plan has no sequence or no attention.
    pub fn in_memory(plan: CapturePlan) -> Result<Self> {
        Self::start(plan, None)
    }

    /// Starts a capture in `folder`, which is made if it does not exist, or goes on with one that was interrupted.
    ///
    /// A finished capture in the folder stays as it is until [`finish`](Self::finish) replaces it.
    ///
    /// # Errors
    /// [`Error::OtherCapture`] if an unfinished capture of another plan is there, [`Error::Io`] if the folder cannot be written to,
    /// [`Error::Shape`] if the plan has no sequence or no attention.
    pub fn create(folder: impl AsRef<Path>, plan: CapturePlan) -> Result<Self> {
        Self::start(plan, Some(folder.as_ref().to_owned()))
    }

    fn start(plan: CapturePlan, folder: Option<PathBuf>) -> Result<Self> {
        if plan.sequences.is_empty() || plan.model.attentions.is_empty() {
            return Err(Error::Shape {
                place: "capture plan".into(),
                expected: "at least one sequence and one attention".into(),
                found: format!(
                    "{} sequences, {} attentions",
                    plan.sequences.len(),
                    plan.model.attentions.len()
                ),
            });
        }
        let (encoder_start, encoder_rows) = slot::starts(&plan.sequences, Side::Encoder);
        let (decoder_start, decoder_rows) = slot::starts(&plan.sequences, Side::Decoder);
        let rows_of = |side| {
            if side == Side::Encoder {
                encoder_rows
            } else {
                decoder_rows
            }
        };

        let mut files: BTreeMap<String, Vec<(Slot, &'static str, [usize; 3])>> = BTreeMap::new();
        for slot in plan.slots() {
            let (file, tensor) = slot.place();
            let (heads, width) = slot.size(&plan.model)?;
            files
                .entry(file)
                .or_default()
                .push((slot, tensor, [heads, rows_of(slot.side()), width]));
        }

        let resumed = match &folder {
            Some(folder) => resume(folder, &plan, files.keys())?,
            None => None,
        };
        let precision = plan.options.precision;
        let mut outputs = BTreeMap::new();
        let mut slots = HashMap::new();
        for (name, tensors) in files {
            let named: Vec<_> = tensors.iter().map(|(_, tensor, shape)| (*tensor, *shape)).collect();
            let (head, offsets, length) = header(&named, precision.dtype(), precision.bytes());
            for ((slot, _, [heads, rows, width]), start) in tensors.into_iter().zip(offsets) {
                slots.insert(
                    slot,
                    Region {
                        file: name.clone(),
                        start,
                        heads,
                        rows,
                        width,
                    },
                );
            }
            let mut output = match &folder {
                Some(folder) => {
                    let path = folder.join(format!("{name}.partial"));
                    let file = OpenOptions::new()
                        .create(true)
                        .truncate(resumed.is_none())
                        .read(true)
                        .write(true)
                        .open(&path)
                        .map_err(|e| Error::io(&path, e))?;
                    file.set_len(length).map_err(|e| Error::io(&path, e))?;
                    Output::Disk(file, path)
                }
                None => {
                    let length = usize::try_from(length).map_err(|_| Error::Shape {
                        place: "capture in memory".into(),
                        expected: "a size this machine can address".into(),
                        found: format!("{length} bytes"),
                    })?;
                    Output::Memory(vec![0; length.div_ceil(8)], length)
                }
            };
            output.write_at(0, &head)?;
            outputs.insert(name, Mutex::new(output));
        }

        let mut done = vec![false; plan.sequences.len()];
        let journal = match &folder {
            None => None,
            Some(folder) => {
                let path = folder.join(JOURNAL);
                match &resumed {
                    Some(finished) => finished.iter().for_each(|&i| done[i] = true),
                    None => {
                        let mut line = json(&JournalHead {
                            plan: fingerprint(&plan),
                        });
                        line.push(b'\n');
                        write_atomically(&path, &line)?;
                    }
                }
                Some(
                    OpenOptions::new()
                        .append(true)
                        .open(&path)
                        .map_err(|e| Error::io(&path, e))?,
                )
            }
        };
        Ok(Self {
            plan,
            folder,
            outputs,
            slots,
            encoder_start,
            decoder_start,
            committed: Mutex::new(Committed { done, journal }),
        })
    }

    /// What is being captured.
    pub fn plan(&self) -> &CapturePlan {
        &self.plan
    }

    /// Whether a sequence was committed, now or before an interruption.
    pub fn is_done(&self, sequence: usize) -> bool {
        lock(&self.committed).done.get(sequence).copied().unwrap_or(false)
    }

    /// Writes one slot of one sequence: `values` is `[heads, tokens, width]`, contiguous, without padding.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a slot or sequence the plan does not have, [`Error::Shape`] for a wrong number of values,
    /// [`Error::NotFinite`] for NaN or infinity, [`Error::Io`].
    pub fn write(&self, slot: Slot, sequence: usize, values: &[f32]) -> Result<()> {
        let Some(item) = self.plan.sequences.get(sequence) else {
            return Err(Error::NotFound {
                what: "sequence",
                asked: sequence.to_string(),
                available: format!("sequences 0..{}", self.plan.sequences.len()),
            });
        };
        let region = self.slots.get(&slot).ok_or_else(|| Error::NotFound {
            what: "slot",
            asked: format!("{slot:?}"),
            available: "see CapturePlan::slots".into(),
        })?;
        let place = || {
            let (file, tensor) = slot.place();
            format!("{file}, {tensor}, {}", item.name)
        };
        let tokens = item.tokens(slot.side()).len();
        let per_head = tokens * region.width;
        if values.len() != region.heads * per_head {
            return Err(Error::Shape {
                place: place(),
                expected: format!("[{}, {tokens}, {}]", region.heads, region.width),
                found: format!("{} values", values.len()),
            });
        }
        if let Some(index) = first_not_finite(values) {
            return Err(Error::NotFinite {
                place: place(),
                index,
                value: values[index],
            });
        }
        if per_head == 0 {
            return Ok(());
        }
        let row = match slot.side() {
            Side::Encoder => self.encoder_start[sequence],
            Side::Decoder => self.decoder_start[sequence],
        };
        let precision = self.plan.options.precision;
        let (start, rows, width) = (region.start, region.rows, region.width);
        let Some(output) = self.outputs.get(&region.file) else {
            return Ok(());
        };
        let halves: Vec<u16>;
        let bytes: &[u8] = match precision {
            Precision::F32 => bytemuck::cast_slice(values),
            Precision::F16 => {
                halves = values.iter().map(|&v| f16::from_f32(v).to_bits()).collect();
                bytemuck::cast_slice(&halves)
            }
        };
        let mut output = lock(output);
        for (head, block) in bytes.chunks_exact(per_head * precision.bytes()).enumerate() {
            let offset = start + (((head * rows + row) * width) * precision.bytes()) as u64;
            output.write_at(offset, block)?;
        }
        Ok(())
    }

    /// Writes queries, keys and values of one layer for one sequence: `queries` is `[heads, tokens, head_dim]`, `keys` and `values`
    /// are `[kv_heads, tokens, head_dim]`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_layer(
        &self,
        attention: Attention,
        layer: usize,
        sequence: usize,
        [queries, keys, values]: [&[f32]; 3],
    ) -> Result<()> {
        self.write(Slot::Query { attention, layer }, sequence, queries)?;
        self.write(Slot::Key { attention, layer }, sequence, keys)?;
        self.write(Slot::Value { attention, layer }, sequence, values)
    }

    /// Declares that every slot of these sequences is written. What is committed survives a kill.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn commit(&self, sequences: &[usize]) -> Result<()> {
        let mut committed = lock(&self.committed);
        for &sequence in sequences {
            if let Some(done) = committed.done.get_mut(sequence) {
                *done = true;
            }
        }
        if let (Some(journal), Some(folder)) = (&mut committed.journal, &self.folder) {
            let mut line = json(&JournalLine {
                done: sequences.to_vec(),
            });
            line.push(b'\n');
            journal
                .write_all(&line)
                .map_err(|e| Error::io(folder.join(JOURNAL), e))?;
        }
        Ok(())
    }

    /// Closes the capture with the sequences committed so far, and opens it for reading.
    ///
    /// A capture that was cancelled halfway is thereby usable: it lists only what was captured.
    ///
    /// # Errors
    /// [`Error::Shape`] if nothing was committed, [`Error::Io`].
    pub fn finish(self) -> Result<Capture> {
        let Self {
            plan,
            folder,
            outputs,
            encoder_start,
            decoder_start,
            committed,
            ..
        } = self;
        let Committed { done, .. } = inner(committed);
        if !done.contains(&true) {
            return Err(Error::Shape {
                place: "capture".into(),
                expected: "at least one finished sequence".into(),
                found: "none".into(),
            });
        }
        let complete = !done.contains(&false);
        let keep = |starts: Vec<usize>| -> Option<Vec<usize>> {
            (!complete).then(|| {
                starts
                    .into_iter()
                    .zip(&done)
                    .filter(|(_, done)| **done)
                    .map(|(s, _)| s)
                    .collect()
            })
        };
        let (encoder_start, decoder_start) = (keep(encoder_start), keep(decoder_start));
        let sequences: Vec<Sequence> = plan
            .sequences
            .into_iter()
            .zip(&done)
            .filter(|(_, done)| **done)
            .map(|(s, _)| s)
            .collect();
        let mut description = CaptureJson {
            schema: SCHEMA.into(),
            version: VERSION,
            model: plan.model,
            options: Some(plan.options),
            fingerprint: plan.fingerprint,
            sequences,
            encoder_start,
            decoder_start,
            files: BTreeMap::new(),
        };
        let Some(folder) = folder else {
            let mut files = BTreeMap::new();
            for (name, output) in outputs {
                if let Output::Memory(words, length) = inner(output) {
                    files.insert(
                        name.clone(),
                        TensorFile::new(PathBuf::from(name), Bytes::Owned(words, length))?,
                    );
                }
            }
            return Capture::assemble(description, None, files);
        };
        for (name, output) in &outputs {
            if let Output::Disk(file, path) = &*lock(output) {
                file.sync_all().map_err(|e| Error::io(path, e))?;
                description.files.insert(name.clone(), checksum(path)?);
            }
        }
        // From here on an old capture in this folder is being replaced: its description goes first, so that the
        // folder is never a mixture that claims to be a capture.
        let capture_json = folder.join(CAPTURE_JSON);
        if capture_json.exists() {
            fs::remove_file(&capture_json).map_err(|e| Error::io(&capture_json, e))?;
        }
        for (name, output) in outputs {
            if let Output::Disk(file, path) = inner(output) {
                drop(file);
                fs::rename(&path, folder.join(name)).map_err(|e| Error::io(&path, e))?;
            }
        }
        write_atomically(&capture_json, &json(&description))?;
        let journal = folder.join(JOURNAL);
        fs::remove_file(&journal).map_err(|e| Error::io(&journal, e))?;
        Capture::open(folder)
    }
}

impl Output {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Disk(file, path) => file
                .seek(SeekFrom::Start(offset))
                .and_then(|_| file.write_all(bytes))
                .map_err(|e| Error::io(&*path, e)),
            Self::Memory(words, length) => {
                let target = usize::try_from(offset).ok().and_then(|start| {
                    bytemuck::cast_slice_mut::<u64, u8>(words)
                        .get_mut(..*length)?
                        .get_mut(start..start + bytes.len())
                });
                match target {
                    Some(target) => {
                        target.copy_from_slice(bytes);
                        Ok(())
                    }
                    None => Err(Error::Shape {
                        place: "capture in memory".into(),
                        expected: format!("at most {length} bytes"),
                        found: format!("{} bytes at {offset}", bytes.len()),
                    }),
                }
            }
        }
    }
}

/// Nothing that holds a lock can panic halfway through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Our own plain types always serialize.
fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Identifies a plan: everything that decides what the files will hold.
fn fingerprint(plan: &CapturePlan) -> u32 {
    crc32fast::hash(&json(plan))
}

/// The sequences that an interrupted capture of `plan` in `folder` has finished; `None` to start afresh.
fn resume<'a>(
    folder: &Path,
    plan: &CapturePlan,
    mut files: impl Iterator<Item = &'a String>,
) -> Result<Option<Vec<usize>>> {
    fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let path = folder.join(JOURNAL);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(&path, e)),
    };
    let mut lines = text.lines();
    let head = lines
        .next()
        .and_then(|line| serde_json::from_str::<JournalHead>(line).ok());
    let other = |difference: &str| Error::OtherCapture {
        path: folder.to_owned(),
        difference: difference.into(),
    };
    match head {
        None => return Err(other("its journal is unreadable")),
        Some(head) if head.plan != fingerprint(plan) => return Err(other("its plan differs")),
        Some(_) => {}
    }
    // A kill while the files were being renamed leaves some of them without their partial: begin again.
    if !files.all(|name| folder.join(format!("{name}.partial")).exists()) {
        fs::remove_file(&path).map_err(|e| Error::io(&path, e))?;
        return Ok(None);
    }
    // A kill while a line was being written leaves it cut: that batch is simply captured again.
    let done = lines
        .map_while(|line| serde_json::from_str::<JournalLine>(line).ok())
        .flat_map(|line| line.done);
    let done: Vec<usize> = done.filter(|&i| i < plan.sequences.len()).collect();
    let mut clean = json(&JournalHead {
        plan: fingerprint(plan),
    });
    clean.push(b'\n');
    clean.extend(json(&JournalLine { done: done.clone() }));
    clean.push(b'\n');
    write_atomically(&path, &clean)?;
    Ok(Some(done))
}

/// Size and CRC-32 of a file, read in pieces.
pub(super) fn checksum(path: &Path) -> Result<FileRecord> {
    let mut file = File::open(path).map_err(|e| Error::io(path, e))?;
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer).map_err(|e| Error::io(path, e))? {
            0 => {
                return Ok(FileRecord {
                    bytes,
                    crc32: hasher.finalize(),
                });
            }
            n => {
                hasher.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
}
