//! Answers of a model as 32 bits: a class, a number, or the place of a text.

use std::{collections::HashMap, sync::Arc};

use super::{log::Task, outcome::Outcome};

/// Memory of a text beside its bytes: two pointers with lengths, its counts, and its entry in the index.
const BESIDE: u64 = 64;

/// The texts of answers that are neither classes nor numbers, each once.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers {
    texts: Vec<Arc<str>>,
    index: HashMap<Arc<str>, u32>,
    bytes: u64,
}

impl Answers {
    /// The code of no answer.
    pub(super) const NONE: u32 = u32::MAX;

    /// The code of a text.
    pub(super) fn intern(&mut self, text: &str) -> u32 {
        if let Some(&code) = self.index.get(text) {
            return code;
        }
        let Some(code) = u32::try_from(self.texts.len()).ok().filter(|code| *code != Self::NONE) else {
            return Self::NONE;
        };
        let text: Arc<str> = text.into();
        self.bytes += text.len() as u64 + BESIDE;
        self.texts.push(text.clone());
        self.index.insert(text, code);
        code
    }

    /// Memory of the texts.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The code of a set of labels: their numbers, with names when they are read.
    pub(super) fn intern_labels(&mut self, labels: impl Iterator<Item = bool>) -> u32 {
        let bits: String = labels.map(|label| if label { '1' } else { '0' }).collect();
        self.intern(&bits)
    }

    /// An answer in words.
    pub(super) fn text(&self, task: Task, outcome: &Outcome, labels: &[Arc<str>]) -> Option<String> {
        let code = outcome.answer;
        // Of one number the bits, of several their text: a log has either.
        if task == Task::Regression && self.texts.is_empty() {
            return Some(f32::from_bits(code).to_string());
        }
        if code == Self::NONE {
            return None;
        }
        if task == Task::Classification {
            let name = labels.get(code as usize);
            return Some(name.map_or_else(|| code.to_string(), ToString::to_string));
        }
        let text = self.texts.get(code as usize)?;
        Some(match task {
            Task::MultiLabel => join_labels(text.bytes().map(|bit| bit == b'1'), labels),
            _ => text.to_string(),
        })
    }
}

/// Several numbers as a text.
pub(super) fn join_numbers(numbers: &[f32]) -> String {
    numbers.iter().map(f32::to_string).collect::<Vec<_>>().join(", ")
}

/// The names of the labels in a set.
pub(super) fn join_labels(set: impl Iterator<Item = bool>, names: &[Arc<str>]) -> String {
    let there = set.enumerate().filter(|(_, there)| *there);
    let named = there.map(|(label, _)| names.get(label).map_or_else(|| label.to_string(), ToString::to_string));
    let named: Vec<String> = named.collect();
    if named.is_empty() {
        "none".into()
    } else {
        named.join(" + ")
    }
}
