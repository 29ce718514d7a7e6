//! A training log in memory: examples, moments, and an outcome per example and moment.

use std::{collections::HashMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    answer::{Answers, join_labels, join_numbers},
    outcome::Outcome,
};

/// What a model is trained for. It says how a line of the log becomes an [`Outcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Task {
    /// One of several classes.
    Classification,
    /// Any of several labels, each by itself.
    MultiLabel,
    /// A number, or several.
    Regression,
    /// A class per token.
    Tokens,
    /// A text, scored by the mean log-probability of its tokens.
    Generation,
}

impl Task {
    /// Every task.
    pub const ALL: [Self; 5] = [
        Self::Classification,
        Self::MultiLabel,
        Self::Regression,
        Self::Tokens,
        Self::Generation,
    ];

    /// Its name in a log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::MultiLabel => "multi_label",
            Self::Regression => "regression",
            Self::Tokens => "tokens",
            Self::Generation => "generation",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an example should be answered with.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum Gold {
    /// Not logged.
    #[default]
    Unknown,
    /// A class.
    Class(u32),
    /// A number.
    Value(f32),
    /// A class per token, negative where a token does not count; or 0 and 1 per label; or whole numbers.
    List(Box<[i32]>),
    /// Several numbers, not all of them whole.
    Values(Box<[f32]>),
    /// A text.
    Text(Arc<str>),
}

impl Gold {
    /// Memory beside the value itself.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::List(list) => size_of_val::<[i32]>(list) as u64,
            Self::Values(values) => size_of_val::<[f32]>(values) as u64,
            Self::Text(text) => text.len() as u64 + 16,
            Self::Unknown | Self::Class(_) | Self::Value(_) => 0,
        }
    }
}

/// An example that a training saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Its unique name.
    pub id: Arc<str>,
    /// What it should be answered with.
    pub gold: Gold,
    /// Its text, if it was logged.
    pub text: Option<Arc<str>>,
    /// Its part of the data: `train`, `dev`.
    pub split: Option<Arc<str>>,
    /// Facts about it, by name.
    pub attributes: Vec<(Arc<str>, Arc<str>)>,
}

impl Example {
    /// The attribute of a name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(known, _)| &**known == name);
        found.map(|(_, value)| &**value)
    }
}

/// When predictions were made: after an epoch, after a step, or both.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Moment {
    /// Epoch, from 1; 0 is before the training. Halves of epochs are fine.
    pub epoch: Option<f64>,
    /// Steps of the optimizer so far.
    pub step: Option<u64>,
}

impl Moment {
    /// The end of an epoch.
    pub fn epoch(epoch: f64) -> Self {
        Self {
            epoch: Some(epoch),
            step: None,
        }
    }

    /// After a number of steps.
    pub fn step(step: u64) -> Self {
        Self {
            epoch: None,
            step: Some(step),
        }
    }

    /// Whether this is before any training.
    pub fn is_start(&self) -> bool {
        match (self.epoch, self.step) {
            (Some(epoch), _) => epoch <= 0.0,
            (None, step) => step == Some(0),
        }
    }

    /// Whether both are the same moment: the same epoch, or where one has none, the same step.
    pub fn matches(&self, other: &Self) -> bool {
        match (self.epoch, other.epoch) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-6,
            _ => self.step.is_some() && self.step == other.step,
        }
    }

    /// Where it stands on an axis: the epoch, or the step where there is none.
    pub fn place(&self) -> f64 {
        self.epoch.unwrap_or(self.step.unwrap_or(0) as f64)
    }

    /// Two logs that name moments alike tell them apart by this.
    pub(super) fn key(&self) -> (bool, u64) {
        match self.epoch {
            Some(epoch) => (true, epoch.to_bits()),
            None => (false, self.step.unwrap_or(0)),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.epoch, self.step) {
            (Some(epoch), _) if epoch <= 0.0 => write!(f, "before training"),
            (Some(epoch), _) => write!(f, "epoch {}", (epoch * 1000.0).round() / 1000.0),
            (None, step) => write!(f, "step {}", step.unwrap_or(0)),
        }
    }
}

/// A checkpoint that a log names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoggedCheckpoint {
    /// When it was written.
    pub moment: Moment,
    /// Its folder, relative to the log.
    pub path: String,
}

/// An outcome with its example and moment, as it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub(super) example: u32,
    pub(super) moment: u32,
    pub(super) outcome: Outcome,
}

/// A training log. A [`LogReader`](super::LogReader) makes it.
///
/// Outcomes are kept as 24 bytes each, whatever the number of classes. Memory grows with the lines of the log.
#[derive(Debug, Clone, Default)]
pub struct Log {
    pub(super) name: String,
    pub(super) labels: Vec<Arc<str>>,
    pub(super) planned: Option<usize>,
    pub(super) task: Option<Task>,
    pub(super) examples: Vec<Example>,
    pub(super) index: HashMap<Arc<str>, u32>,
    pub(super) moments: Vec<Moment>,
    /// Sorted by example, then by moment.
    pub(super) records: Vec<Record>,
    /// Where the records of each example start, and the end.
    pub(super) starts: Vec<usize>,
    pub(super) checkpoints: Vec<LoggedCheckpoint>,
    pub(super) answers: Answers,
    pub(super) replaced: usize,
    pub(super) notes: Notes,
}

impl Log {
    /// The run's name; empty if the log has none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of the classes, in the order of their numbers; may be empty.
    pub fn labels(&self) -> &[Arc<str>] {
        &self.labels
    }

    /// The planned number of epochs, if it was logged.
    pub fn planned_epochs(&self) -> Option<usize> {
        self.planned
    }

    /// The task: as the log names it, or as its first prediction looks. `None` without predictions.
    pub fn task(&self) -> Option<Task> {
        self.task
    }

    /// The examples, in the order in which the log names them.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// The number of the example of an id.
    pub fn find(&self, id: &str) -> Option<usize> {
        self.index.get(id).map(|&example| example as usize)
    }

    /// The moments with predictions, in the order of training.
    pub fn moments(&self) -> &[Moment] {
        &self.moments
    }

    /// Number of outcomes.
    pub fn predictions(&self) -> usize {
        self.records.len()
    }

    /// The outcomes of an example in the order of training, each with the number of its moment.
    pub fn outcomes(&self, example: usize) -> impl ExactSizeIterator<Item = (usize, &Outcome)> {
        let records = self.records_of(example).iter();
        records.map(|record| (record.moment as usize, &record.outcome))
    }

    /// The outcome of an example at a moment.
    pub fn outcome(&self, example: usize, moment: usize) -> Option<&Outcome> {
        let records = self.records_of(example);
        let at = records
            .binary_search_by_key(&moment, |record| record.moment as usize)
            .ok()?;
        Some(&records[at].outcome)
    }

    fn records_of(&self, example: usize) -> &[Record] {
        let range = match (self.starts.get(example), self.starts.get(example + 1)) {
            (Some(&start), Some(&end)) => start..end,
            _ => 0..0,
        };
        self.records.get(range).unwrap_or_default()
    }

    /// What the model answered, in words: the name of a class, a number, a text. `None` where it was not logged.
    pub fn answer(&self, outcome: &Outcome) -> Option<String> {
        self.answers.text(self.task?, outcome, &self.labels)
    }

    /// What an example should be answered with, in words.
    pub fn gold(&self, example: usize) -> String {
        let Some(example) = self.examples.get(example) else {
            return String::new();
        };
        match &example.gold {
            Gold::Unknown => String::new(),
            Gold::Class(class) => self.label(*class as usize),
            Gold::Value(value) => value.to_string(),
            Gold::Values(values) => join_numbers(values),
            gold @ Gold::List(_) if self.task == Some(Task::Regression) => {
                join_numbers(&gold.numbers().unwrap_or_default())
            }
            Gold::List(set) if self.task == Some(Task::MultiLabel) => {
                join_labels(set.iter().map(|label| *label == 1), &self.labels)
            }
            Gold::List(classes) => {
                let name = |class: &i32| usize::try_from(*class).map_or("-".into(), |class| self.label(class));
                classes.iter().map(name).collect::<Vec<_>>().join(" ")
            }
            Gold::Text(text) => text.to_string(),
        }
    }

    /// The name of a class, or its number.
    pub fn label(&self, class: usize) -> String {
        self.labels
            .get(class)
            .map_or_else(|| class.to_string(), ToString::to_string)
    }

    /// Adds facts about an example from elsewhere: its text, its split, attributes. What the log says stays. `false` if the log has no
    /// such example.
    pub fn describe<'a>(
        &mut self,
        id: &str,
        text: Option<&str>,
        attributes: impl IntoIterator<Item = (&'a Arc<str>, &'a str)>,
    ) -> bool {
        let Some(&number) = self.index.get(id) else {
            return false;
        };
        let Some(example) = self.examples.get_mut(number as usize) else {
            return false;
        };
        if example.text.is_none() {
            example.text = text.map(Into::into);
        }
        for (name, value) in attributes {
            match &**name {
                "split" if example.split.is_none() => example.split = Some(value.into()),
                "split" => {}
                _ if example.attribute(name).is_none() => example.attributes.push((name.clone(), value.into())),
                _ => {}
            }
        }
        true
    }

    /// The checkpoints that the log names.
    pub fn checkpoints(&self) -> &[LoggedCheckpoint] {
        &self.checkpoints
    }

    /// Number of predictions that a later one for the same example and moment replaced, as in a resumed run.
    pub fn replaced(&self) -> usize {
        self.replaced
    }

    /// What was left out while reading, with file and line. The first 100; [`more_notes`](Self::more_notes) counts the rest.
    pub fn notes(&self) -> &[LogNote] {
        &self.notes.kept
    }

    /// Number of notes beyond the kept ones.
    pub fn more_notes(&self) -> usize {
        self.notes.more
    }
}

/// Something in a log that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogNote {
    /// The file.
    pub place: Arc<str>,
    /// Its line, counted from 1; `None` for the whole file.
    pub line: Option<usize>,
    /// What was expected, and what was found.
    pub message: String,
}

impl fmt::Display for LogNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}: {}", self.place, self.message),
            None => write!(f, "{}: {}", self.place, self.message),
        }
    }
}

/// Notes up to a number: a broken log has as many as lines.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes {
    kept: Vec<LogNote>,
    more: usize,
}

impl Notes {
    const MOST: usize = 100;

    pub(super) fn push(&mut self, place: &Arc<str>, line: Option<usize>, message: String) {
        if self.kept.len() < Self::MOST {
            let place = place.clone();
            self.kept.push(LogNote { place, line, message });
        } else {
            self.more += 1;
        }
    }
}
