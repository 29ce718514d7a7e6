//! How far weights moved, by tensors, layers and heads.

use std::collections::BTreeMap;

use attn_core::{HeadId, HeadWeights, Progress, ndarray::Array2, progress::step, table::Table};
use serde::Serialize;

use super::Snapshot;
use crate::Error;

/// How far the weights of a layer, or of another part of the model, moved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupChange {
    /// The part: the names of its tensors up to the number of the layer, or all but the last word.
    pub name: String,
    /// Number of weights.
    pub weights: usize,
    /// Euclidean length of the change.
    pub change: f64,
    /// The same, divided by the length before.
    pub relative: f64,
}

/// How far weights moved from one checkpoint to another.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct WeightChanges {
    /// Layers and other parts, the largest relative change first.
    pub groups: Vec<GroupChange>,
    /// Single tensors, the largest relative change first.
    pub tensors: Vec<GroupChange>,
    /// Relative change of the matrices of each head that both models have, in the order of the model.
    pub heads: Vec<(HeadId, f64)>,
    /// What cannot be compared, a sentence each: tensors that only one has, or of other shapes.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Squares {
    weights: usize,
    before: f64,
    change: f64,
}

impl Squares {
    fn of(before: impl Iterator<Item = f32>, after: impl Iterator<Item = f32>) -> Self {
        let mut squares = Self::default();
        for (before, after) in before.zip(after) {
            squares.weights += 1;
            squares.before += f64::from(before).powi(2);
            squares.change += (f64::from(after) - f64::from(before)).powi(2);
        }
        squares
    }

    fn add(&mut self, other: Self) {
        self.weights += other.weights;
        self.before += other.before;
        self.change += other.change;
    }

    /// Weights that were all 0 have no length to compare with: the change counts as it is.
    fn relative(self) -> f64 {
        if self.before > 0.0 {
            (self.change / self.before).sqrt()
        } else {
            self.change.sqrt()
        }
    }

    fn named(self, name: &str) -> GroupChange {
        GroupChange {
            name: name.to_owned(),
            weights: self.weights,
            change: self.change.sqrt(),
            relative: self.relative(),
        }
    }
}

/// Compares the weights of two checkpoints, tensor by tensor and head by head. Memory holds one tensor of each, and the matrices
/// of the heads.
///
/// # Errors
/// Those of reading tensors; [`attn_models::Error::Intervention`] is none here: for a family that does not give the maps of its
/// heads, a note says so. Cancellation.
pub fn weight_changes(before: &Snapshot, after: &Snapshot, progress: &dyn Progress) -> Result<WeightChanges, Error> {
    let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) = (
        before.checkpoint.tensors().into_iter().collect(),
        after.checkpoint.tensors().into_iter().collect(),
    );
    let mut found = WeightChanges::default();
    let mut groups: BTreeMap<String, Squares> = BTreeMap::new();
    let (mut alone, mut misshapen) = (Vec::new(), Vec::new());
    for (done, (name, shape)) in old.iter().enumerate() {
        step(progress, "weights", done, old.len())?;
        match new.get(name) {
            None => alone.push(name.as_str()),
            Some(other) if other != shape => misshapen.push(name.as_str()),
            Some(_) => {
                let read = |snapshot: &Snapshot| snapshot.checkpoint.tensor(name);
                // Buffers of whole numbers are no weights.
                let (Ok(Some(a)), Ok(Some(b))) = (read(before), read(after)) else {
                    continue;
                };
                let squares = Squares::of(a.into_iter(), b.into_iter());
                found.tensors.push(squares.named(name));
                groups.entry(group(name).to_owned()).or_default().add(squares);
            }
        }
    }
    let gained = new.keys().filter(|name| !old.contains_key(*name)).count();
    let mut note = |names: &[&str], what: String| {
        if let Some(first) = names.first() {
            found
                .notes
                .push(format!("{} tensors {what}, such as `{first}`", names.len()));
        }
    };
    note(&alone, format!("are in `{}` alone", before.name));
    note(&misshapen, "have other shapes".to_owned());
    if gained > 0 {
        found
            .notes
            .push(format!("{gained} tensors are in `{}` alone", after.name));
    }
    found.groups = groups.iter().map(|(name, squares)| squares.named(name)).collect();
    for list in [&mut found.groups, &mut found.tensors] {
        list.sort_by(|a, b| b.relative.total_cmp(&a.relative).then_with(|| a.name.cmp(&b.name)));
    }
    let heads = [before, after].map(|snapshot| snapshot.capturer.model().head_weights());
    match heads {
        [Ok(before), Ok(after)] => found.heads = of_heads(&before, &after),
        [Err(error), _] | [_, Err(error)] => found.notes.push(format!("no change by heads: {error}")),
    }
    Ok(found)
}

fn of_heads(before: &[HeadWeights], after: &[HeadWeights]) -> Vec<(HeadId, f64)> {
    let same = |head: &HeadWeights| after.iter().find(|other| other.head == head.head);
    let matrices = |head: &HeadWeights| [&head.query, &head.key, &head.value, &head.output].map(Array2::clone);
    let relative = |head: &HeadWeights| {
        let (old, new) = (matrices(head), matrices(same(head)?));
        let alike = old.iter().zip(&new).all(|(a, b)| a.dim() == b.dim());
        alike.then(|| {
            let flat = |all: &[Array2<f32>; 4]| {
                all.iter()
                    .flat_map(|matrix| matrix.iter().copied())
                    .collect::<Vec<f32>>()
            };
            (
                head.head,
                Squares::of(flat(&old).into_iter(), flat(&new).into_iter()).relative(),
            )
        })
    };
    before.iter().filter_map(relative).collect()
}

/// The part of the model that a tensor belongs to.
fn group(name: &str) -> &str {
    let mut end = 0;
    for part in name.split('.') {
        end += part.len();
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            return &name[..end];
        }
        end += 1;
    }
    name.rsplit_once('.').map_or(name, |(module, _)| module)
}

impl WeightChanges {
    /// The parts of the model, a row each: `part, weights, change, relative`.
    pub fn table(&self) -> Table {
        let mut table = Table::new(self.groups.len());
        table.texts("part", |row| self.groups[row].name.as_str());
        table.numbers("weights", |row| self.groups[row].weights);
        table.numbers("change", |row| self.groups[row].change);
        table.numbers("relative", |row| self.groups[row].relative);
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_belong_to_their_layer() {
        for (name, wanted) in [
            ("bert.encoder.layer.10.output.dense.weight", "bert.encoder.layer.10"),
            ("encoder.block.0.layer.1.DenseReluDense.wi.weight", "encoder.block.0"),
            (
                "bert.embeddings.word_embeddings.weight",
                "bert.embeddings.word_embeddings",
            ),
            ("h.3.ln_1.bias", "h.3"),
            ("weight", "weight"),
        ] {
            assert_eq!(group(name), wanted);
        }
    }

    #[test]
    fn changes_by_hand() {
        // From (3, 4) to (3, 1): 3 of 5.
        let squares = Squares::of([3.0, 4.0].into_iter(), [3.0, 1.0].into_iter());
        assert_eq!((squares.weights, squares.relative()), (2, 0.6));
        assert_eq!(Squares::of([0.0].into_iter(), [2.0].into_iter()).relative(), 2.0);
    }
}
