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

    /// The tensors of each of so many files under the names of the hub and in its order. A tensor without such a name keeps
    /// its own.
    pub(super) fn entries(&self, path: &Path, header: &Header, parts: usize) -> Result<Vec<BTreeMap<String, Entry>>> {
        let heads = |key: &str| {
            header
                .integer(&self.key(key))
                .and_then(|count| usize::try_from(count).ok())
        };
        let queries = heads("attention.head_count");
        let keys = heads("attention.head_count_kv").or(queries);
        let heads = Heads {
            queries,
            keys,
            padding: padding(header),
        };
        let mut all = vec![BTreeMap::new(); parts];
        for (name, stored) in &header.tensors {
            let Some(entries) = all.get_mut(stored.part) else {
                continue;
            };
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
            let entry = reordered(stored, order, heads);
            let what = if order == Order::Behind { "padding" } else { "heads" };
            entries.insert(hub, entry.ok_or_else(|| unfit(what))?);
        }
        Ok(all)
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
        match find(part) {
            Some((_, hub, Order::Bare)) => return Some((format!("{layers}.{layer}.{hub}"), Order::Same)),
            Some((_, hub, order)) => return Some((named(hub), *order)),
            None => {}
        }
        // Older files have the experts one by one.
        let (part, expert) = part.rsplit_once('.')?;
        let (_, hub, _) = find(&format!("{part}_exps")).filter(|(_, _, order)| *order == Order::Experts)?;
        Some((named(&hub.replace("{}", expert)), Order::Same))
    }
}

/// What orders depend on.
#[derive(Debug, Clone, Copy)]
struct Heads {
    queries: Option<usize>,
    keys: Option<usize>,
    /// The id of padding.
    padding: Option<usize>,
}

/// The most rows that stand before the first position; the families that have any have two.
const MOST_BEFORE: usize = 1 << 10;

/// The id of padding, or that of RoBERTa.
pub(super) fn padding(header: &Header) -> Option<usize> {
    match header.integer("tokenizer.ggml.padding_token_id") {
        Some(id) => usize::try_from(id).ok().filter(|&id| id < MOST_BEFORE),
        None => Some(1),
    }
}

/// A stored tensor as the hub has it; `None` if its rows are not those of so many heads.
fn reordered(stored: &Stored, order: Order, of: Heads) -> Option<Entry> {
    let mut shape = stored.shape.clone();
    let &rows = shape.first().unwrap_or(&1);
    // A vector is a matrix of one column.
    let columns = shape
        .iter()
        .skip(1)
        .try_fold(1_usize, |all, &side| all.checked_mul(side))?;
    let by_head = |parts: usize, heads: Option<usize>| {
        let heads = heads.filter(|&heads| heads > 0)?;
        let parts = heads.checked_mul(parts)?;
        rows.is_multiple_of(parts).then_some((heads, rows / parts))
    };
    let view = match order {
        Order::Transposed if shape.len() == 2 => {
            shape.reverse();
            Some(View::new(vec![columns, rows], vec![1, columns]))
        }
        Order::Same | Order::Transposed | Order::AboutOne | Order::Experts | Order::Bare => None,
        Order::Queries | Order::Keys => {
            let heads = if order == Order::Keys { of.keys } else { of.queries };
            let (heads, half) = by_head(2, heads)?;
            Some(View::new(
                vec![heads, 2, half, columns],
                vec![2 * half * columns, columns, 2 * columns, 1],
            ))
        }
        Order::Joint => {
            let (heads, width) = by_head(3, of.queries)?;
            Some(View::new(
                vec![heads, 3, width, columns],
                vec![width * columns, heads * width * columns, columns, 1],
            ))
        }
        Order::Grouped => {
            let (queries, keys) = (of.queries?, of.keys.filter(|&keys| keys > 0)?);
            let heads = keys.checked_mul(2).and_then(|both| both.checked_add(queries))?;
            let width = rows / heads;
            // Each head has numbers of its own, so that there are no more heads than the file holds.
            if width == 0 || columns == 0 || width * heads != rows || !queries.is_multiple_of(keys) {
                return None;
            }
            let each = queries / keys;
            let group = |key: usize| (key * each..(key + 1) * each).chain([queries + key, queries + keys + key]);
            Some(View {
                starts: (0..keys).flat_map(group).map(|head| head * width * columns).collect(),
                ..View::new(vec![width, columns], vec![columns, 1])
            })
        }
        Order::Behind => {
            let before = of.padding?.checked_add(1)?;
            if rows == 0 || columns == 0 {
                return None;
            }
            *shape.first_mut()? = rows.checked_add(before)?;
            // Rows that no token reads are copies of the first.
            let starts = std::iter::repeat_n(0, before).chain((0..rows).map(|row| row * columns));
            Some(View {
                starts: starts.collect(),
                ..View::new(vec![columns], vec![1])
            })
        }
    };
    Some(Entry {
        element: stored.element,
        shape,
        start: stored.place.start,
        end: stored.place.end,
        view,
        plus: if order == Order::AboutOne { -1.0 } else { 0.0 },
    })
}

/// Matrices (or vectors) that lie one behind the other, one per expert; `None` for a tensor that is not made of such.
fn experts(stored: &Stored) -> Option<Vec<Entry>> {
    let (&count, shape) = stored.shape.split_first().filter(|(_, shape)| !shape.is_empty())?;
    let bytes = stored.place.len();
    // Blocks do not reach over rows. An expert without numbers would allow any number of them.
    let each = bytes
        .checked_div(count)
        .filter(|each| *each > 0 && each * count == bytes)?;
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
