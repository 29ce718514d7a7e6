//! The beam tree, from the trace of a search.

use attn_models::{
    Tokenizer,
    generate::{Fate, Generated},
};
use serde::{Deserialize, Serialize};

use super::value::or_impossible;

/// The outcome of an expansion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryFate {
    /// The search went on with it.
    Kept,
    /// It ended a hypothesis.
    Finished,
    /// It was not good enough.
    Pruned,
}

/// One expansion of a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BeamEntry {
    /// The entry it continues, an earlier one; `None` after the prompt.
    pub parent: Option<usize>,
    /// The text of its token.
    pub token: String,
    /// The token.
    pub id: u32,
    /// The step, counted from 0.
    pub step: usize,
    /// Log-probability of the token after its parent.
    #[serde(deserialize_with = "or_impossible")]
    pub log_probability: f32,
    /// Sum of log-probabilities up to here.
    #[serde(deserialize_with = "or_impossible")]
    pub total: f32,
    /// Its outcome.
    pub fate: EntryFate,
}

/// Every expansion of a search, and the way of each hypothesis through them.
pub(super) fn beam_entries(generated: &Generated, tokenizer: &Tokenizer) -> (Vec<BeamEntry>, Vec<Vec<usize>>) {
    let mut entries: Vec<BeamEntry> = Vec::new();
    // For each running beam before a step, its entry.
    let mut running: Vec<Option<usize>> = vec![None];
    let mut before: Vec<Vec<Option<usize>>> = Vec::new();
    let mut steps: Vec<std::ops::Range<usize>> = Vec::new();
    for (step, found) in generated.trace.iter().enumerate() {
        let mut next: Vec<Option<usize>> = Vec::new();
        let first = entries.len();
        for expansion in &found.expansions {
            let fate = match expansion.fate {
                Fate::Kept(beam) => {
                    if next.len() <= beam {
                        next.resize(beam + 1, None);
                    }
                    next[beam] = Some(entries.len());
                    EntryFate::Kept
                }
                Fate::Finished => EntryFate::Finished,
                Fate::Pruned => EntryFate::Pruned,
            };
            entries.push(BeamEntry {
                parent: running.get(expansion.parent).copied().flatten(),
                token: tokenizer.token(expansion.token).text,
                id: expansion.token,
                step,
                log_probability: expansion.log_probability,
                total: expansion.total,
                fate,
            });
        }
        steps.push(first..entries.len());
        before.push(std::mem::replace(&mut running, next));
    }
    let ways = generated.hypotheses.iter().map(|hypothesis| {
        let tokens = hypothesis.tokens.iter().zip(&hypothesis.beams).enumerate();
        let way: Option<Vec<usize>> = tokens
            .map(|(step, (&token, &beam))| {
                let parent = before.get(step)?.get(beam).copied().flatten();
                let mut entries = steps.get(step)?.clone().map(|at| (at, &entries[at]));
                let found = entries.find(|(_, entry)| entry.id == token && entry.parent == parent)?;
                Some(found.0)
            })
            .collect();
        way.unwrap_or_default()
    });
    let ways = ways.collect();
    (entries, ways)
}

/// Nodes of a tree in which runs without branching are one node each: tokens of each, and its parent.
pub(super) struct Collapsed {
    /// The entries of each node, in order.
    pub(super) nodes: Vec<Vec<usize>>,
    /// The parent of each node.
    pub(super) parents: Vec<Option<usize>>,
    /// The node of each entry.
    pub(super) node_of: Vec<usize>,
}

/// What a tree has nodes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nodes {
    /// Every entry.
    Entries,
    /// Runs without branching, and every entry that was pruned.
    Runs,
    /// Runs without branching of what was kept. What was pruned belongs to the node it would have continued.
    KeptRuns,
}

/// Joins every entry with its only child, unless that was pruned: a node is then kept or not as a whole.
pub(super) fn collapse(entries: &[BeamEntry], nodes: Nodes) -> Collapsed {
    let left_out = |entry: &BeamEntry| nodes == Nodes::KeptRuns && entry.fate == EntryFate::Pruned;
    let mut children = vec![0_usize; entries.len()];
    for parent in entries
        .iter()
        .filter(|entry| !left_out(entry))
        .filter_map(|entry| entry.parent)
    {
        children[parent] += 1;
    }
    let mut out = Collapsed {
        nodes: Vec::new(),
        parents: Vec::new(),
        node_of: Vec::with_capacity(entries.len()),
    };
    for (at, entry) in entries.iter().enumerate() {
        if left_out(entry)
            && let Some(parent) = entry.parent
        {
            out.node_of.push(out.node_of[parent]);
            continue;
        }
        let pruned = entry.fate == EntryFate::Pruned;
        let runs = nodes != Nodes::Entries;
        let joined = entry.parent.filter(|parent| runs && children[*parent] == 1 && !pruned);
        let node = match joined {
            Some(parent) => {
                let node = out.node_of[parent];
                out.nodes[node].push(at);
                node
            }
            None => {
                out.nodes.push(vec![at]);
                out.parents.push(entry.parent.map(|parent| out.node_of[parent]));
                out.nodes.len() - 1
            }
        };
        out.node_of.push(node);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_without_branching_collapse() {
        let entry = |parent: Option<usize>| BeamEntry {
            parent,
            token: "t".into(),
            id: 0,
            step: 0,
            log_probability: 0.0,
            total: 0.0,
            fate: EntryFate::Kept,
        };
        // 0 - 1 - {2, 3}, 3 - 4.
        let entries = [
            entry(None),
            entry(Some(0)),
            entry(Some(1)),
            entry(Some(1)),
            entry(Some(3)),
        ];
        let joined = collapse(&entries, Nodes::Runs);
        assert_eq!(joined.nodes, [vec![0, 1], vec![2], vec![3, 4]]);
        assert_eq!(joined.parents, [None, Some(0), Some(0)]);
        assert_eq!(collapse(&entries, Nodes::Entries).nodes.len(), 5);
        // What was dropped does not speak for what was kept.
        let mut last = entry(Some(4));
        last.fate = EntryFate::Pruned;
        let dropped = collapse(&[&entries[..], &[last]].concat(), Nodes::Runs);
        assert_eq!(dropped.nodes, [vec![0, 1], vec![2], vec![3, 4], vec![5]]);
        assert_eq!(dropped.parents[3], Some(2));
        // In the middle of a run it divides it, unless it is left out.
        let mut middle = entry(Some(0));
        middle.fate = EntryFate::Pruned;
        let all = [&entries[..], &[middle]].concat();
        assert_eq!(
            collapse(&all, Nodes::Runs).nodes,
            [vec![0], vec![1], vec![2], vec![3, 4], vec![5]]
        );
        let kept = collapse(&all, Nodes::KeptRuns);
        assert_eq!(kept.nodes, [vec![0, 1], vec![2], vec![3, 4]]);
        assert_eq!(kept.node_of, [0, 0, 1, 2, 2, 0]);
    }
}
