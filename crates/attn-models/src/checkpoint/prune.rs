//! Pruned checkpoints: a model without some of its heads, as files that any reader of the format opens.
//!
//! Michel, Levy and Neubig 2019, "Are sixteen heads really better than one?". Where a family reads `pruned_heads`, the rows
//! and columns of the heads are left out. Elsewhere the columns of the output map that read the heads become 0, which gives
//! the same outputs from files of the same size.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::Path,
};

use attn_core::{Attention, HeadId, Progress, progress::step};
use candle_core::Tensor;
use half::{bf16, f16};
use safetensors::Dtype;
use serde_json::{Value, json};

use super::{BESIDE, CONFIG, Checkpoint, PREPROCESSOR, TOKENIZER, WEIGHTS, texts::Tokens};
use crate::{
    Error, Result, Weights,
    blocks::{Linear, MultiHead, Qkv},
    files::{LARGEST_VOCABULARY, read, wrong},
    store::Found,
    tensor_file::Element,
};

/// The option that names the heads a checkpoint lacks.
const PRUNED: &str = "pruned_heads";

/// How heads were pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Heads whose weights are not in the files any more.
    pub removed: Vec<HeadId>,
    /// Heads whose columns of the output map are 0.
    pub zeroed: Vec<HeadId>,
    /// What a reader should know, a sentence each.
    pub notes: Vec<String>,
}

impl Checkpoint {
    /// Writes the model without some of its heads to a new folder: `config.json`, `model.safetensors` and the files of its
    /// tokenizer. An adapter is merged. Element types stay; quantized weights become f32. The heads keep their numbers, and
    /// what the model says is what it says with the heads ablated to zero.
    ///
    /// BERT, RoBERTa, ELECTRA and DistilBERT get smaller files (`pruned_heads`, which older versions of the standard library
    /// read too). A layer keeps at least one head, as a head of zeros.
    ///
    /// ```
    /// use attn_core::{Attention, HeadId};
    /// use attn_models::Checkpoint;
    /// # let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures");
    /// let checkpoint = Checkpoint::open(format!("{fixtures}/bert"))?;
    /// # let folder = std::env::temp_dir().join(format!("attn-pruned-{}", std::process::id()));
    /// let pruned = checkpoint.write_pruned(&folder, &[HeadId::new(Attention::EncoderSelf, 0, 1)], &())?;
    /// assert_eq!(pruned.removed.len(), 1);
    /// assert!(Checkpoint::open(&folder)?.describe().parameters < checkpoint.describe().parameters);
    /// # let _ = std::fs::remove_dir_all(&folder);
    /// # Ok::<(), attn_models::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Intervention`] for heads that the model does not have, for a family that does not give its maps, and for heads
    /// whose weights are also those of heads that stay (layers that share them); [`Error::WrongFile`] for a folder that holds
    /// a model; [`Error::Io`]; cancellation; those of loading.
    pub fn write_pruned(&self, folder: impl AsRef<Path>, heads: &[HeadId], progress: &dyn Progress) -> Result<Pruned> {
        let folder = folder.as_ref();
        for name in [CONFIG, WEIGHTS] {
            if folder.join(name).exists() {
                let found = format!("one with {name}");
                return Err(wrong(
                    folder,
                    "a new folder, or one without a model",
                    found,
                    "name another folder",
                ));
            }
        }
        let (plan, pruned) = self.plan(heads)?;
        fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
        self.write_weights(&folder.join(WEIGHTS), &plan.changes, progress)?;
        let mut pruned = pruned;
        self.write_beside(folder, &mut pruned.notes)?;
        // Last: a folder without it is no model.
        let config = match plan.lacking.is_empty() {
            true => self.config.clone(),
            false => self.config.with(PRUNED, listed(&plan.lacking)),
        };
        attn_core::files::write_atomically(&folder.join(CONFIG), config.to_json().as_bytes())?;
        Ok(pruned)
    }

    /// What happens to which tensors.
    fn plan(&self, heads: &[HeadId]) -> Result<(Plan, Pruned)> {
        let probe = Weights::probe(self);
        let network = self.families.build(&self.config, &self.name, &probe)?;
        let given = probe.asked().given;
        let info = network.info();
        let wrong = |head: HeadId, expected: &str, found: String| Error::Intervention {
            place: format!("pruning of {head}"),
            expected: expected.to_owned(),
            found,
        };
        let all: BTreeSet<HeadId> = info.heads().collect();
        let heads: BTreeSet<HeadId> = heads.iter().copied().collect();
        if let Some(&head) = heads.iter().find(|head| !all.contains(head)) {
            return Err(wrong(head, "a head of the model", format!("none in `{}`", info.name)));
        }
        let name = |tensor: &Tensor| {
            given
                .iter()
                .find(|(id, _)| *id == tensor.id())
                .map(|(_, name)| name.as_str())
        };
        // Layers that share their weights prune together.
        let mut outputs: BTreeMap<HeadId, &str> = BTreeMap::new();
        for &head in &all {
            let block = network.attention_block(head.attention, head.layer);
            let output = block.and_then(|block| name(block.output.stored().0));
            let output = output.ok_or_else(|| {
                wrong(
                    head,
                    "a family that gives the weights of its heads",
                    info.family.clone(),
                )
            })?;
            outputs.insert(head, output);
        }
        let shares = |a: HeadId, b: HeadId| a.head == b.head && outputs.get(&a) == outputs.get(&b);
        for &head in &heads {
            if let Some(&other) = all
                .iter()
                .find(|&&other| shares(head, other) && !heads.contains(&other))
            {
                return Err(wrong(
                    head,
                    "heads with weights of their own",
                    format!("those of {other}, which stays"),
                ));
            }
        }
        let mut plan = Plan {
            lacking: match network.prunes() {
                true => info
                    .attentions
                    .first()
                    .map(|own| self.config.pruned_heads(own.layers.len(), own.heads))
                    .transpose()?
                    .unwrap_or_default(),
                false => BTreeMap::new(),
            },
            changes: BTreeMap::new(),
        };
        let mut pruned = Pruned::default();
        let mut layers: BTreeMap<(Attention, usize), BTreeSet<usize>> = BTreeMap::new();
        for head in heads {
            layers
                .entry((head.attention, head.layer))
                .or_default()
                .insert(head.head);
        }
        for ((attention, layer), mut chosen) in layers {
            let Some(block) = network.attention_block(attention, layer) else {
                continue;
            };
            let before = plan.lacking.get(&layer).cloned().unwrap_or_default();
            let id = |head: &usize| HeadId::new(attention, layer, *head);
            chosen.retain(|head| !network.prunes() || !before.contains(head));
            if network.prunes() {
                let last = (before.len() + chosen.len() == block.shape.heads)
                    .then(|| chosen.pop_first())
                    .flatten();
                plan.leave_out(block, &before, &chosen, &name);
                pruned.removed.extend(chosen.iter().map(id));
                if !chosen.is_empty() {
                    plan.lacking.entry(layer).or_default().extend(chosen);
                }
                if let Some(head) = last {
                    let lacking = plan.lacking.get(&layer).cloned().unwrap_or_default();
                    plan.zero(block, &lacking, &BTreeSet::from([head]), &name);
                    pruned.zeroed.push(id(&head));
                    pruned.notes.push(format!(
                        "layer {layer} loses all of its heads: {} stays, as zeros",
                        id(&head)
                    ));
                }
            } else {
                plan.zero(block, &BTreeSet::new(), &chosen, &name);
                pruned.zeroed.extend(chosen.iter().map(id));
            }
        }
        if !network.prunes() && !pruned.zeroed.is_empty() {
            pruned.notes.push(format!(
                "the configuration of `{}` has no option for pruned heads: their columns of the output map are 0, and the files as \
                 large as before",
                info.family
            ));
        }
        Ok((plan, pruned))
    }

    /// Writes all tensors, one after the other: memory holds one.
    fn write_weights(
        &self,
        path: &Path,
        changes: &BTreeMap<String, Vec<Change>>,
        progress: &dyn Progress,
    ) -> Result<()> {
        let found: Vec<Found<'_>> = self.store.tensors().collect();
        let (mut header, mut end) = (serde_json::Map::new(), 0_usize);
        for found in &found {
            let mut shape = found.entry.shape.clone();
            for change in changes.get(found.name).into_iter().flatten() {
                change.reshape(&mut shape);
            }
            let dtype = stored_as(found);
            let start = end;
            end += shape.iter().product::<usize>() * dtype.bitsize() / 8;
            header.insert(
                found.name.to_owned(),
                json!({"dtype": format!("{dtype:?}"), "shape": shape, "data_offsets": [start, end]}),
            );
        }
        header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
        let mut header = Value::Object(header).to_string();
        // Tensors begin at a multiple of 8.
        header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
        let (unfinished, total) = (path.with_extension("unfinished"), found.len());
        let write = || -> Result<()> {
            let failed = |error| Error::io(&unfinished, error);
            let mut file = std::io::BufWriter::new(fs::File::create(&unfinished).map_err(failed)?);
            file.write_all(&(header.len() as u64).to_le_bytes()).map_err(failed)?;
            file.write_all(header.as_bytes()).map_err(failed)?;
            for (done, found) in found.iter().enumerate() {
                step(progress, "pruned weights", done, total)?;
                file.write_all(&self.bytes_of(found, changes)?).map_err(failed)?;
            }
            file.into_inner()
                .map_err(|error| failed(error.into_error()))?
                .sync_all()
                .map_err(failed)?;
            fs::rename(&unfinished, path).map_err(|error| Error::io(path, error))
        };
        write().inspect_err(|_| {
            // A half-written file is of no use.
            let _ = fs::remove_file(&unfinished);
        })
    }

    fn bytes_of(&self, found: &Found<'_>, changes: &BTreeMap<String, Vec<Change>>) -> Result<Vec<u8>> {
        let changes = changes.get(found.name);
        if changes.is_none()
            && !self.store.changes(found.name)
            && let Some(bytes) = found.file.plain(found.entry)
        {
            return Ok(bytes.to_vec());
        }
        let (mut values, mut shape) = (self.store.read(*found)?, found.entry.shape.clone());
        for change in changes.into_iter().flatten() {
            values = change.apply(&values, &shape);
            change.reshape(&mut shape);
        }
        let values = values.into_iter();
        Ok(match stored_as(found) {
            Dtype::F16 => values.flat_map(|value| f16::from_f32(value).to_le_bytes()).collect(),
            Dtype::BF16 => values.flat_map(|value| bf16::from_f32(value).to_le_bytes()).collect(),
            _ => values.flat_map(f32::to_le_bytes).collect(),
        })
    }

    fn write_beside(&self, folder: &Path, notes: &mut Vec<String>) -> Result<()> {
        let write =
            |name: &str, bytes: &[u8]| Ok::<_, Error>(attn_core::files::write_atomically(&folder.join(name), bytes)?);
        if self.path.is_dir() {
            for name in BESIDE {
                if let Some(bytes) = read(&self.path.join(name), LARGEST_VOCABULARY)? {
                    write(name, &bytes)?;
                }
            }
        }
        match &self.tokens {
            Some(Tokens::Json(bytes, _)) => write(TOKENIZER, bytes)?,
            Some(Tokens::Listed(..)) => {
                notes.push("the tokenizer of a GGUF file is not written: give it beside".to_owned())
            }
            Some(Tokens::Files(..)) | None => {}
        }
        if let Some(bytes) = &self.preprocessor {
            write(PREPROCESSOR, bytes)?;
        }
        if self.modules.is_some() {
            notes
                .push("how sentence-transformers pools is not written: copy `modules.json` and its folders".to_owned());
        }
        Ok(())
    }
}

/// What happens to tensors, by their names, and the heads that the new checkpoint lacks, by their layers.
struct Plan {
    lacking: BTreeMap<usize, BTreeSet<usize>>,
    changes: BTreeMap<String, Vec<Change>>,
}

/// A change of a stored tensor along one of its axes.
#[derive(Debug, Clone)]
struct Change {
    axis: usize,
    rows: Vec<usize>,
    /// Whether these rows are all that is kept; else they become 0.
    keeps: bool,
}

impl Plan {
    /// Leaves out heads of a layer that stores all but those of `before`.
    fn leave_out<'n>(
        &mut self,
        block: &MultiHead,
        before: &BTreeSet<usize>,
        chosen: &BTreeSet<usize>,
        name: &impl Fn(&Tensor) -> Option<&'n str>,
    ) {
        if chosen.is_empty() {
            return;
        }
        let width = block.shape.head_dim;
        let stored = (0..block.shape.heads).filter(|head| !before.contains(head)).enumerate();
        let kept = stored.filter(|(_, head)| !chosen.contains(head));
        let rows: Vec<usize> = kept.flat_map(|(place, _)| place * width..(place + 1) * width).collect();
        let mut keep = |tensor: Option<&Tensor>, axis: usize| {
            if let Some(name) = tensor.and_then(name) {
                let change = Change {
                    axis,
                    rows: rows.clone(),
                    keeps: true,
                };
                self.changes.entry(name.to_owned()).or_default().push(change);
            }
        };
        if let Qkv::Separate { query, key, value } = &block.qkv {
            for map in [query, key, value] {
                let (weight, bias, inputs) = map.stored();
                keep(Some(weight), 1 - inputs);
                keep(bias, 0);
            }
        }
        let (weight, _, inputs) = block.output.stored();
        keep(Some(weight), inputs);
    }

    /// Lets the output map read nothing of heads, in a layer that stores all but those of `lacking`.
    fn zero<'n>(
        &mut self,
        block: &MultiHead,
        lacking: &BTreeSet<usize>,
        chosen: &BTreeSet<usize>,
        name: &impl Fn(&Tensor) -> Option<&'n str>,
    ) {
        let width = block.shape.head_dim;
        let stored = (0..block.shape.heads)
            .filter(|head| !lacking.contains(head))
            .enumerate();
        let gone = stored.filter(|(_, head)| chosen.contains(head));
        let rows: Vec<usize> = gone.flat_map(|(place, _)| place * width..(place + 1) * width).collect();
        let output: &Linear = &block.output;
        let (weight, _, axis) = output.stored();
        if let Some(name) = name(weight).filter(|_| !rows.is_empty()) {
            let keeps = false;
            self.changes
                .entry(name.to_owned())
                .or_default()
                .push(Change { axis, rows, keeps });
        }
    }
}

impl Change {
    fn reshape(&self, shape: &mut [usize]) {
        if let Some(side) = shape.get_mut(self.axis).filter(|_| self.keeps) {
            *side = self.rows.len();
        }
    }

    fn apply(&self, values: &[f32], shape: &[usize]) -> Vec<f32> {
        let side = shape.get(self.axis).copied().unwrap_or(1).max(1);
        let inner = shape.iter().skip(self.axis + 1).product::<usize>().max(1);
        let mut chosen = vec![false; side];
        for &row in &self.rows {
            if let Some(row) = chosen.get_mut(row) {
                *row = true;
            }
        }
        let mut changed = Vec::with_capacity(values.len());
        for (at, row) in values.chunks(inner).enumerate() {
            match (self.keeps, chosen[at % side]) {
                (true, false) => {}
                (false, true) => changed.extend(row.iter().map(|_| 0.0)),
                _ => changed.extend_from_slice(row),
            }
        }
        changed
    }
}

/// The element type a tensor is written with.
fn stored_as(found: &Found<'_>) -> Dtype {
    match found.entry.element {
        Element::Plain(dtype) => dtype,
        Element::Block(_) => Dtype::F32,
    }
}

/// `pruned_heads`, with layers as texts, as JSON has it.
fn listed(lacking: &BTreeMap<usize, BTreeSet<usize>>) -> Value {
    let layers = lacking.iter().map(|(layer, heads)| (layer.to_string(), json!(heads)));
    Value::Object(layers.collect())
}
