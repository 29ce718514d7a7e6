//! Writing a capture: sequences in any order and from several threads, resumable after a kill, never half-written.
//!
//! Every tensor has its final size from the start, `[heads, rows, width]`, and each sequence owns its rows. A journal lists the
//! sequences whose values are all written; [`CaptureWriter::create`] on the same folder with the same plan resumes there.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use half::f16;

use super::{
    close::{PIECE, report},
    file::header,
    finite::first_not_finite,
    journal::{self, Journal},
    schema::{CapturePlan, Precision},
    slot::{self, Slot},
};
use crate::{
    Attention, Error, Progress, Result, Side, disk,
    files::{self, FolderLock},
};

/// Receives the values of a capture, sequence by sequence.
#[derive(Debug)]
pub struct CaptureWriter {
    pub(super) plan: CapturePlan,
    pub(super) folder: Option<PathBuf>,
    pub(super) outputs: BTreeMap<String, Mutex<Output>>,
    slots: BTreeMap<Slot, Region>,
    tables: BTreeMap<Slot, Region>,
    /// Those that this writer has not written. They are not in the journal: whoever resumes writes them again.
    pub(super) missing_tables: Mutex<BTreeSet<Slot>>,
    pub(super) encoder_start: Vec<usize>,
    pub(super) decoder_start: Vec<usize>,
    pub(super) committed: Mutex<Committed>,
    /// Held until the capture is closed or given up.
    pub(super) lock: Option<FolderLock>,
}

/// The sequences that are written, and the journal that says so.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) done: Vec<bool>,
    /// Checksums of what was written of sequences that are not committed yet.
    pending: HashMap<usize, BTreeMap<Slot, u32>>,
    pub(super) journal: Option<Journal>,
}

/// A file being written, on disk or in memory.
#[derive(Debug)]
pub(super) enum Output {
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

impl Region {
    /// Where a row of a head lies in the file.
    fn offset(&self, head: usize, row: usize, precision: Precision) -> u64 {
        self.start + ((head * self.rows + row) * self.width * precision.bytes()) as u64
    }
}

impl CaptureWriter {
    /// Starts a capture that is kept in memory.
    ///
    /// # Errors
    /// [`Error::Shape`] if the plan has no sequence or no attention, or keeps nothing.
    pub fn in_memory(plan: CapturePlan) -> Result<Self> {
        Self::start(plan, None, &())
    }

    /// Starts a capture in `folder`, which is made if it does not exist, or resumes an interrupted one.
    ///
    /// A finished capture in the folder stays as it is until [`finish`](Self::finish) has a whole one to replace it. What an
    /// interrupted capture wrote is read once and compared with its checksums; a sequence that differs is not done.
    ///
    /// One writer at a time has a folder, until it is finished or dropped, or its process ends.
    ///
    /// # Errors
    /// [`Error::InUse`] if another writer has the folder, [`Error::OtherCapture`] if an unfinished capture of another plan is there,
    /// [`Error::Io`] if the folder cannot be written to, [`Error::Shape`] if the plan has no sequence or no attention.
    pub fn create(folder: impl AsRef<Path>, plan: CapturePlan) -> Result<Self> {
        Self::create_with(folder, plan, &())
    }

    /// As [`create`](Self::create), with reports on the reading of what an interrupted capture wrote, which takes as long as
    /// the disk needs. The stage is `resume`, counted in MiB.
    ///
    /// # Errors
    /// As [`create`](Self::create). [`Error::Cancelled`]: nothing is lost.
    pub fn create_with(folder: impl AsRef<Path>, plan: CapturePlan, progress: &dyn Progress) -> Result<Self> {
        Self::start(plan, Some(folder.as_ref().to_owned()), progress)
    }

    fn start(plan: CapturePlan, folder: Option<PathBuf>, progress: &dyn Progress) -> Result<Self> {
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
        if plan.slots().is_empty() {
            return Err(Error::Shape {
                place: "capture plan".into(),
                expected: "attention, hidden states or logits to keep".into(),
                found: "none of them".into(),
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

        let mut tensors_of: BTreeMap<String, Vec<(Slot, &'static str, [usize; 3])>> = BTreeMap::new();
        let tables_of_plan = plan.tables();
        for slot in plan.slots().into_iter().chain(tables_of_plan.iter().copied()) {
            let (file, tensor) = slot.place();
            let (heads, width) = slot.size(&plan.model)?;
            let rows = slot.table_rows(&plan.model).unwrap_or_else(|| rows_of(slot.side()));
            tensors_of
                .entry(file)
                .or_default()
                .push((slot, tensor, [heads, rows, width]));
        }

        let (lock, found) = match &folder {
            None => (None, None),
            Some(folder) => {
                fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
                // Before anything in the folder is looked at or changed.
                let lock = FolderLock::take(folder)?;
                let found = journal::read(folder, fingerprint(&plan))?;
                let names: Vec<&str> = tensors_of.keys().map(String::as_str).collect();
                match &found {
                    Some(found) if found.closing => journal::reopen(folder, &names)?,
                    Some(_) => {}
                    // Nothing vouches for what a kill left before there was a journal.
                    None => journal::remove_tensor_files(folder, &partial(""), &[])?,
                }
                (lock, found)
            }
        };
        let precision = plan.options.precision;
        let mut outputs = BTreeMap::new();
        let (mut slots, mut tables) = (BTreeMap::new(), BTreeMap::new());
        for (name, tensors) in tensors_of {
            let named: Vec<_> = tensors.iter().map(|(_, tensor, shape)| (*tensor, *shape)).collect();
            let (head, offsets, length) = header(&named, precision.dtype(), precision.bytes());
            for ((slot, _, [heads, rows, width]), start) in tensors.into_iter().zip(offsets) {
                let file = name.clone();
                let region = Region {
                    file,
                    start,
                    heads,
                    rows,
                    width,
                };
                match slot.table_rows(&plan.model) {
                    Some(_) => tables.insert(slot, region),
                    None => slots.insert(slot, region),
                };
            }
            let mut output = match &folder {
                Some(folder) => {
                    let path = folder.join(partial(&name));
                    files::not_other_than_file(&path)?;
                    let file = disk::open(&path).map_err(|e| Error::io(&path, e))?;
                    disk::set_len(&file, length).map_err(|e| Error::io(&path, e))?;
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
        let mut writer = Self {
            committed: Mutex::new(Committed {
                done: vec![false; plan.sequences.len()],
                pending: HashMap::new(),
                journal: None,
            }),
            plan,
            folder,
            outputs,
            slots,
            tables,
            missing_tables: Mutex::new(tables_of_plan.into_iter().collect()),
            encoder_start,
            decoder_start,
            lock,
        };
        if let Some(folder) = writer.folder.clone() {
            let kept = writer.verified(found.map_or_else(Vec::new, |found| found.done), progress)?;
            let committed = writer.committed.get_mut().unwrap_or_else(PoisonError::into_inner);
            kept.iter().for_each(|&(sequence, _)| committed.done[sequence] = true);
            committed.journal = Some(Journal::create(&folder, fingerprint(&writer.plan), &kept)?);
        }
        Ok(writer)
    }

    /// The sequences whose values on the disk are those that were committed. A kill leaves them so; after a power cut, the
    /// journal may have reached the disk and values not.
    ///
    /// Tensor by tensor, each from its first byte to its last: a disk is slow at reading here and there.
    fn verified(&self, mut done: Vec<(usize, u32)>, progress: &dyn Progress) -> Result<Vec<(usize, u32)>> {
        done.retain(|&(sequence, _)| sequence < self.plan.sequences.len());
        if done.is_empty() {
            return Ok(done);
        }
        let width = |region: &Region| (region.width * self.plan.options.precision.bytes()) as u64;
        let bytes = |region: &Region| (region.heads * region.rows) as u64 * width(region);
        let (mut read, total) = (0, self.slots.values().map(bytes).sum());
        let mut whole = vec![crc32fast::Hasher::new(); done.len()];
        for (&slot, region) in &self.slots {
            let mut of_slot = vec![crc32fast::Hasher::new(); done.len()];
            for head in 0..region.heads {
                for (&(sequence, _), hasher) in done.iter().zip(&mut of_slot) {
                    report(progress, "resume", read, total)?;
                    self.hash(slot, region, head, sequence, hasher)?;
                    read += self.rows(slot, sequence).1 as u64 * width(region);
                }
            }
            for (whole, of_slot) in whole.iter_mut().zip(of_slot) {
                whole.update(&of_slot.finalize().to_le_bytes());
            }
        }
        let found = whole.into_iter().map(crc32fast::Hasher::finalize);
        let pairs = done.into_iter().zip(found);
        Ok(pairs
            .filter(|((_, written), found)| written == found)
            .map(|(sequence, _)| sequence)
            .collect())
    }

    /// Adds what a file has of one head of a sequence to a checksum.
    fn hash(
        &self,
        slot: Slot,
        region: &Region,
        head: usize,
        sequence: usize,
        hasher: &mut crc32fast::Hasher,
    ) -> Result<()> {
        let precision = self.plan.options.precision;
        let (row, tokens) = self.rows(slot, sequence);
        let length = tokens * region.width * precision.bytes();
        match self.outputs.get(&region.file) {
            Some(output) => lock(output).hash(region.offset(head, row, precision), length, hasher),
            None => Ok(()),
        }
    }

    /// First row and number of rows of a sequence in the tensor of a slot.
    fn rows(&self, slot: Slot, sequence: usize) -> (usize, usize) {
        let start = match slot.side() {
            Side::Encoder => self.encoder_start[sequence],
            Side::Decoder => self.decoder_start[sequence],
        };
        (start, self.plan.sequences[sequence].tokens(slot.side()).len())
    }

    /// The plan of this capture.
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
    /// [`Error::NotFinite`] for NaN and infinity, and for what half precision cannot hold, [`Error::Io`].
    pub fn write(&self, slot: Slot, sequence: usize, values: &[f32]) -> Result<()> {
        let Some(item) = self.plan.sequences.get(sequence) else {
            return Err(self.no_sequence(sequence));
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
        let bytes = self.bytes(values, place)?;
        if let (Some(output), true) = (self.outputs.get(&region.file), per_head > 0) {
            let row = self.rows(slot, sequence).0;
            let precision = self.plan.options.precision;
            let mut output = lock(output);
            for (head, block) in bytes.chunks_exact(per_head * precision.bytes()).enumerate() {
                output.write_at(region.offset(head, row, precision), block)?;
            }
        }
        if self.folder.is_some() {
            let checksum = crc32fast::hash(&bytes);
            let mut committed = lock(&self.committed);
            committed.pending.entry(sequence).or_default().insert(slot, checksum);
        }
        Ok(())
    }

    /// Writes a table, which is the same for all sequences: `values` is `[heads, rows, width]`, contiguous. A writer that resumes
    /// a capture writes its tables again.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_table(&self, slot: Slot, values: &[f32]) -> Result<()> {
        let region = self.tables.get(&slot).ok_or_else(|| Error::NotFound {
            what: "table",
            asked: format!("{slot:?}"),
            available: "see CapturePlan::tables".into(),
        })?;
        let place = || {
            let (file, tensor) = slot.place();
            format!("{file}, {tensor}")
        };
        let [heads, rows, width] = [region.heads, region.rows, region.width];
        if values.len() != heads * rows * width {
            return Err(Error::Shape {
                place: place(),
                expected: format!("[{heads}, {rows}, {width}]"),
                found: format!("{} values", values.len()),
            });
        }
        let bytes = self.bytes(values, place)?;
        if let Some(output) = self.outputs.get(&region.file) {
            lock(output).write_at(region.start, &bytes)?;
        }
        lock(&self.missing_tables).remove(&slot);
        Ok(())
    }

    /// Whether a table of the plan is not written yet, by this writer.
    pub fn lacks_table(&self, slot: Slot) -> bool {
        lock(&self.missing_tables).contains(&slot)
    }

    /// Finite values as they are stored; `place` names them in errors.
    fn bytes<'v>(&self, values: &'v [f32], place: impl Fn() -> String) -> Result<Cow<'v, [u8]>> {
        if let Some(index) = first_not_finite(values) {
            return Err(Error::NotFinite {
                place: place(),
                index,
                value: values[index],
            });
        }
        match self.plan.options.precision {
            Precision::F32 => Ok(Cow::Borrowed(bytemuck::cast_slice(values))),
            Precision::F16 => {
                let halves: Vec<u16> = values.iter().map(|&v| f16::from_f32(v).to_bits()).collect();
                let infinite = |&half: &u16| !f16::from_bits(half).is_finite();
                if let Some(index) = halves.iter().position(infinite) {
                    return Err(Error::NotFinite {
                        place: format!("{}, in half precision (up to {})", place(), f16::MAX),
                        index,
                        value: values[index],
                    });
                }
                Ok(Cow::Owned(bytemuck::allocation::pod_collect_to_vec(&halves)))
            }
        }
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

    /// Declares that every slot of these sequences is written. What is committed survives a kill. A slot that was not written
    /// holds zeros, or what an interrupted run wrote to it.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a sequence that the plan does not have, [`Error::Io`].
    pub fn commit(&self, sequences: &[usize]) -> Result<()> {
        let mut committed = lock(&self.committed);
        let Committed { done, pending, journal } = &mut *committed;
        if let Some(&sequence) = sequences.iter().find(|&&sequence| sequence >= done.len()) {
            return Err(self.no_sequence(sequence));
        }
        if let Some(journal) = journal {
            // What was committed before and not written since is in the journal.
            let new = sequences
                .iter()
                .filter(|sequence| !done[**sequence] || pending.contains_key(sequence));
            let checksums: Result<Vec<(usize, u32)>> = new
                .map(|&sequence| Ok((sequence, self.checksum(sequence, pending.get(&sequence))?)))
                .collect();
            journal.done(&checksums?)?;
        }
        for sequence in sequences {
            done[*sequence] = true;
            pending.remove(sequence);
        }
        Ok(())
    }

    /// The checksum of a sequence: that of the checksums of its slots, in their order. Those that were written now are known,
    /// of others it is what the file has.
    fn checksum(&self, sequence: usize, written: Option<&BTreeMap<Slot, u32>>) -> Result<u32> {
        let mut whole = crc32fast::Hasher::new();
        for (slot, region) in &self.slots {
            let known = written.and_then(|written| written.get(slot)).copied();
            let of_slot = match known {
                Some(checksum) => checksum,
                None => {
                    let mut hasher = crc32fast::Hasher::new();
                    for head in 0..region.heads {
                        self.hash(*slot, region, head, sequence, &mut hasher)?;
                    }
                    hasher.finalize()
                }
            };
            whole.update(&of_slot.to_le_bytes());
        }
        Ok(whole.finalize())
    }

    fn no_sequence(&self, sequence: usize) -> Error {
        Error::NotFound {
            what: "sequence",
            asked: sequence.to_string(),
            available: format!("sequences 0..{}", self.plan.sequences.len()),
        }
    }
}

impl Output {
    /// Adds so many bytes to a checksum. What is in memory has none.
    fn hash(&mut self, offset: u64, length: usize, hasher: &mut crc32fast::Hasher) -> Result<()> {
        let Self::Disk(file, path) = self else {
            return Ok(());
        };
        let io = |error| Error::io(&*path, error);
        let mut piece = vec![0; length.min(PIECE)];
        file.seek(SeekFrom::Start(offset)).map_err(io)?;
        let mut left = length;
        while left > 0 {
            let piece = &mut piece[..left.min(PIECE)];
            file.read_exact(piece).map_err(io)?;
            hasher.update(piece);
            left -= piece.len();
        }
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Disk(file, path) => file
                .seek(SeekFrom::Start(offset))
                .and_then(|_| disk::write(file, bytes))
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
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name of a tensor file while it is written.
pub(super) fn partial(name: &str) -> String {
    format!("{name}.partial")
}

/// Identifies a plan: everything that decides what the files will hold. Our own plain types always serialize.
fn fingerprint(plan: &CapturePlan) -> u32 {
    crc32fast::hash(&serde_json::to_vec(plan).unwrap_or_default())
}
