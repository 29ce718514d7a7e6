//! Heads of two models beside each other: importance, role, attention, weights.

use std::collections::BTreeMap;

use attn_analyze::heads::HeadLabel;
use attn_core::{HeadId, ModelInfo, table::Table};

use super::WeightChanges;
use crate::pruning::Measured;

/// What became of a head.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadChange {
    /// The head.
    pub head: HeadId,
    /// Relative change of its matrices.
    pub weights: Option<f64>,
    /// Mean Jensen-Shannon divergence of its attention, in bits.
    pub attention: Option<f64>,
    /// Its importance before and after: the measured increase of the loss without it (zeros), in nats.
    pub importance: Option<[f64; 2]>,
    /// Its first role before and after, where it has one.
    pub roles: [Option<HeadLabel>; 2],
}

impl HeadChange {
    /// The rank key of "what changed most": the change of importance, or that of the attention, or that of the weights, whichever
    /// is there first.
    pub fn size(&self) -> f64 {
        let importance = self.importance.map(|[before, after]| (after - before).abs());
        importance.or(self.attention).or(self.weights).unwrap_or(0.0)
    }

    /// Whether it has another first role now.
    pub fn has_new_role(&self) -> bool {
        let [before, after] = self.roles.each_ref().map(|role| role.as_ref().map(HeadLabel::name));
        before != after
    }
}

/// Puts together what is known of the heads that both models have; the largest change first ([`HeadChange::size`]). What was not
/// measured is left out. `attention` is that of [`divergence_between`](attn_analyze::heads::divergence_between).
pub fn head_changes(
    info: &ModelInfo,
    weights: Option<&WeightChanges>,
    attention: Option<&[(HeadId, f32)]>,
    importance: Option<[&Measured; 2]>,
    roles: Option<[&BTreeMap<HeadId, HeadLabel>; 2]>,
) -> Vec<HeadChange> {
    let weights: BTreeMap<HeadId, f64> = weights
        .map(|changes| changes.heads.iter().copied().collect())
        .unwrap_or_default();
    let of_pair = |pairs: &[(HeadId, f32)]| pairs.iter().map(|&(head, bits)| (head, f64::from(bits))).collect();
    let attention: BTreeMap<HeadId, f64> = attention.map(of_pair).unwrap_or_default();
    let effects = |measured: &Measured| -> BTreeMap<HeadId, f64> {
        measured.heads.iter().copied().zip(measured.loss_increase()).collect()
    };
    let scores = importance.map(|both| both.map(effects));
    let change = |head: HeadId| HeadChange {
        head,
        weights: weights.get(&head).copied(),
        attention: attention.get(&head).copied(),
        importance: scores
            .as_ref()
            .and_then(|[before, after]| Some([*before.get(&head)?, *after.get(&head)?])),
        roles: roles.map_or([None, None], |both| both.map(|roles| roles.get(&head).cloned())),
    };
    let mut changes: Vec<HeadChange> = info.heads().map(change).collect();
    changes.sort_by(|a, b| b.size().total_cmp(&a.size()).then(a.head.cmp(&b.head)));
    changes
}

/// The changes of heads, a row each: `head, weights, attention, importance_before, importance_after, role_before, role_after`.
pub fn head_change_table(info: &ModelInfo, changes: &[HeadChange]) -> Table {
    let mut table = Table::new(changes.len());
    table.texts("head", |row| info.head_name(changes[row].head));
    table.numbers("weights", |row| changes[row].weights);
    table.numbers("attention", |row| changes[row].attention);
    for (at, name) in ["importance_before", "importance_after"].into_iter().enumerate() {
        table.numbers(name, |row| changes[row].importance.map(|both| both[at]));
    }
    for (at, name) in ["role_before", "role_after"].into_iter().enumerate() {
        let role = |row: usize| changes[row].roles[at].as_ref().map(|role| role.name().into_owned());
        table.texts(name, |row| role(row).unwrap_or_default());
    }
    table
}
