//! Names and orders of tensors: llama.cpp's and those of the hub.

use std::{collections::BTreeMap, path::Path};

use super::{
    architectures::{Architecture, Order},
    header::{Header, Stored, broken},
};
use crate::{
    Result,
    error::{SHORT, excerpt},
    tensor_file::{Entry, View},
};

impl Architecture {
    /// The full name of one of its keys.
    pub(super) fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }

    /// The tensors of a file under the names of the hub and in its order. A tensor without such a name keeps its own.
    pub(super) fn entries(&self, path: &Path, header: &Header) -> Result<BTreeMap<String, Entry>> {
        let heads = |key: &str| {
            header
                .integer(&self.key(key))
                .and_then(|count| usize::try_from(count).ok())
        };
        let queries = heads("attention.head_count");
        let keys = heads("attention.head_count_kv").or(queries);
        let mut entries = BTreeMap::new();
        for (name, stored) in &header.tensors {
            let (hub, order) = self.on_hub(name).unwrap_or_else(|| (name.clone(), Order::Same));
            let unfit = |parts: &str| {
                let name = excerpt(name, SHORT);
                let shape = &stored.shape;
                broken(
                    path,
                    format!("tensor `{name}` of shape {shape:?} does not fit the number of {parts}"),
                )
            };
            if order == Order::Experts {
                let apart = experts(stored).ok_or_else(|| unfit("experts"))?;
                let named = apart.into_iter().enumerate();
                entries.extend(named.map(|(expert, entry)| (hub.replace("{}", &expert.to_string()), entry)));
                continue;
            }
            let entry = match order {
                Order::Keys => reordered(stored, order, keys),
                _ => reordered(stored, order, queries),
            };
            entries.insert(hub, entry.ok_or_else(|| unfit("heads"))?);
        }
        Ok(entries)
    }

    fn on_hub(&self, name: &str) -> Option<(String, Order)> {
        let (place, last) = name.rsplit_once('.')?;
        if let Some((_, hub, order)) = self.outside.iter().find(|(own, ..)| *own == place) {
            return Some((format!("{hub}.{last}"), *order));
        }
        let stacks = [(self.blocks, self.layers, self.inside)].into_iter().chain(self.second);
        let mut stacks = stacks.filter_map(|(blocks, layers, inside)| {
            let rest = place.strip_prefix(blocks)?.strip_prefix('.')?;
            Some((rest.split_once('.')?, layers, inside))
        });
        let ((layer, part), layers, inside) = stacks.next()?;
        let named = |hub: &str| format!("{layers}.{layer}.{hub}.{last}");
        let find = |part: &str| inside.iter().find(|(own, ..)| *own == part);
        if let Some((_, hub, order)) = find(part) {
            return Some((named(hub), *order));
        }
        // Older files have the experts one by one.
        let (part, expert) = part.rsplit_once('.')?;
        let (_, hub, _) = find(&format!("{part}_exps")).filter(|(_, _, order)| *order == Order::Experts)?;
        Some((named(&hub.replace("{}", expert)), Order::Same))
    }
}

/// A stored tensor as the hub has it; `None` if its rows are not those of so many heads.
fn reordered(stored: &Stored, order: Order, heads: Option<usize>) -> Option<Entry> {
    let mut shape = stored.shape.clone();
    let &rows = shape.first().unwrap_or(&1);
    // A vector is a matrix of one column.
    let columns = shape
        .iter()
        .skip(1)
        .try_fold(1_usize, |all, &side| all.checked_mul(side))?;
    let by_head = |parts: usize| {
        let heads = heads.filter(|&heads| heads > 0)?;
        let parts = heads.checked_mul(parts)?;
        rows.is_multiple_of(parts).then_some((heads, rows / parts))
    };
    let (sides, strides) = match order {
        Order::Transposed if shape.len() == 2 => {
            shape.reverse();
            (vec![columns, rows], vec![1, columns])
        }
        Order::Same | Order::Transposed | Order::AboutOne | Order::Experts => (Vec::new(), Vec::new()),
        Order::Queries | Order::Keys => {
            let (heads, half) = by_head(2)?;
            (
                vec![heads, 2, half, columns],
                vec![2 * half * columns, columns, 2 * columns, 1],
            )
        }
        Order::Joint => {
            let (heads, width) = by_head(3)?;
            (
                vec![heads, 3, width, columns],
                vec![width * columns, heads * width * columns, columns, 1],
            )
        }
    };
    Some(Entry {
        element: stored.element,
        shape,
        start: stored.place.start,
        end: stored.place.end,
        view: (!sides.is_empty()).then_some(View { sides, strides }),
        plus: if order == Order::AboutOne { -1.0 } else { 0.0 },
    })
}

/// Matrices that lie one behind the other, one per expert; `None` for a tensor that is not made of such.
fn experts(stored: &Stored) -> Option<Vec<Entry>> {
    let (&count, shape) = stored.shape.split_first().filter(|(_, shape)| shape.len() == 2)?;
    let bytes = stored.place.len();
    // Blocks do not reach over rows.
    let each = bytes.checked_div(count).filter(|each| each * count == bytes)?;
    let entry = |expert: usize| Entry {
        element: stored.element,
        shape: shape.to_vec(),
        start: stored.place.start + expert * each,
        end: stored.place.start + (expert + 1) * each,
        view: None,
        plus: 0.0,
    };
    Some((0..count).map(entry).collect())
}
