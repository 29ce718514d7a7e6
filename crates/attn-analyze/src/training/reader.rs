//! From lines to a log: lines are parsed on all cores, and taken in one after the other.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use attn_core::{Limits, Progress, progress::step};
use rayon::prelude::*;

use super::{
    line::{Cell, Line, without_nan},
    log::{Example, Gold, Log, LoggedCheckpoint, Moment, Record, Task},
    outcome::{Prediction, Wrong},
};
use crate::Result;

/// Bytes that are parsed at once: enough for all cores, little beside the log.
const BLOCK: usize = 4 << 20;

/// Bytes of a piece that one core parses.
const PIECE: usize = 1 << 18;

/// The longest line. Longer ones are left out.
const LONGEST: usize = 64 << 20;

/// Reads a log from bytes, in as many parts as they come.
///
/// ```
/// use attn_analyze::training::LogReader;
///
/// let mut reader = LogReader::default();
/// let mut file = reader.file("log.jsonl");
/// let lines = br#"{"kind":"prediction","id":"a","epoch":1,"gold":1,"probabilities":[0.2,0.8]}
/// {"kind":"prediction","id":"a","epoch":2,"gold":1,"proba"#;
/// reader.push(&mut file, lines, &())?;
/// assert_eq!(reader.log().predictions(), 1);
/// reader.push(&mut file, br#"bilities":[0.1,0.9]}"#, &())?;
/// assert_eq!(reader.log().predictions(), 2);
/// # Ok::<(), attn_analyze::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct LogReader {
    log: Log,
    limits: Limits,
    /// Number of each moment.
    moments: HashMap<(bool, u64), u32>,
    /// Outcomes since the last `settle`.
    fresh: Vec<Record>,
    /// Names that many lines share.
    names: HashSet<Arc<str>>,
    /// Examples that a line of their own described.
    described: HashSet<u32>,
    /// Classes of the first prediction.
    classes: Option<usize>,
    bytes: u64,
}

/// Where a reader is in a file.
#[derive(Debug, Clone)]
pub struct ReadFile {
    place: Arc<str>,
    /// Lines taken in.
    lines: usize,
    /// The line that is not whole yet.
    tail: Vec<u8>,
    /// Whether the line that is being passed over is too long.
    skipping: bool,
}

impl ReadFile {
    /// Whether the file ends within a line.
    pub fn is_cut(&self) -> bool {
        !self.tail.is_empty()
    }

    /// Its name.
    pub fn place(&self) -> &str {
        &self.place
    }
}

impl LogReader {
    /// A reader whose log takes no more memory than this.
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// The start of a file; its name stands in notes.
    pub fn file(&self, place: impl Into<Arc<str>>) -> ReadFile {
        ReadFile {
            place: place.into(),
            lines: 0,
            tail: Vec::new(),
            skipping: false,
        }
    }

    /// The log so far.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The log.
    pub fn into_log(self) -> Log {
        self.log
    }

    /// Takes in more bytes of a file. Whole lines are read, the rest waits for more. A last line without its end is read if it is
    /// a whole object. What cannot be read becomes a [note](Log::notes), and the rest goes on.
    ///
    /// # Errors
    /// [`attn_core::Error::Memory`] above the limits, [`attn_core::Error::Cancelled`]. The log then holds what came before.
    pub fn push(&mut self, file: &mut ReadFile, bytes: &[u8], progress: &dyn Progress) -> Result<()> {
        let taken = self.take(file, bytes, progress);
        self.settle();
        taken
    }

    fn take(&mut self, file: &mut ReadFile, bytes: &[u8], progress: &dyn Progress) -> Result<()> {
        let mut rest = bytes;
        if file.lines == 0 && file.tail.is_empty() {
            rest = rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest);
        }
        while !rest.is_empty() {
            step(progress, "log", bytes.len() - rest.len(), bytes.len())?;
            let end = rest.len().min(BLOCK);
            let whole = rest[..end].iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
            let (block, after) = rest.split_at(whole.unwrap_or(end));
            rest = after;
            if whole.is_none() {
                self.keep(file, block);
                continue;
            }
            // The first line may have begun before.
            let first = block.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            if file.tail.is_empty() && !file.skipping {
                self.block(file, block)?;
            } else {
                self.keep(file, &block[..first]);
                let tail = std::mem::take(&mut file.tail);
                if std::mem::take(&mut file.skipping) {
                    file.lines += 1;
                } else {
                    self.block(file, &tail)?;
                }
                self.block(file, &block[first..])?;
            }
        }
        // An object that is closed is whole, whether its line has an end or not.
        if file.tail.last() == Some(&b'}') {
            let tail = std::mem::take(&mut file.tail);
            match std::str::from_utf8(&tail)
                .ok()
                .filter(|line| Line::parse(&without_nan(line)).is_ok())
            {
                Some(_) => {
                    self.block(file, &tail)?;
                    // The end of the line, when it comes, is an empty line.
                    file.lines -= 1;
                }
                None => file.tail = tail,
            }
        }
        step(progress, "log", bytes.len(), bytes.len())?;
        Ok(())
    }

    /// Keeps the start of a line, unless it is too long.
    fn keep(&mut self, file: &mut ReadFile, part: &[u8]) {
        if file.skipping {
            return;
        }
        if file.tail.len() + part.len() > LONGEST {
            file.tail = Vec::new();
            file.skipping = true;
            let message = format!("expected a line of at most {LONGEST} bytes, found more");
            self.log.notes.push(&file.place, Some(file.lines + 1), message);
        } else {
            file.tail.extend_from_slice(part);
        }
    }

    /// Takes in whole lines.
    fn block(&mut self, file: &mut ReadFile, block: &[u8]) -> Result<()> {
        let pieces: Vec<Vec<Result<std::borrow::Cow<'_, str>, String>>> =
            split(block).into_par_iter().map(|piece| texts(piece)).collect();
        let parsed: Vec<Vec<Option<Result<Line<'_>, String>>>> = pieces
            .par_iter()
            .map(|piece| piece.iter().map(parse).collect())
            .collect();
        for (piece, texts) in parsed.into_iter().zip(&pieces) {
            for (line, text) in piece.into_iter().zip(texts) {
                file.lines += 1;
                let Some(line) = line else { continue };
                let read = match line {
                    Ok(line) => self.line(&line),
                    Err(found) => {
                        if let Some(line) = text.as_ref().ok().and_then(|text| Line::after_half(text)) {
                            let _ = self.line(&line);
                        }
                        Err(Wrong::new("a whole JSON object", found))
                    }
                };
                if let Err(wrong) = read {
                    let message = format!("expected {}, found {}", wrong.expected, wrong.found);
                    self.log.notes.push(&file.place, Some(file.lines), message);
                }
            }
            let records = (self.log.records.len() + self.fresh.len()) as u64;
            let needed = self.bytes + self.log.answers.bytes() + records * 2 * size_of::<Record>() as u64;
            self.limits
                .check(format_args!("{}, line {}", file.place, file.lines), needed)?;
        }
        Ok(())
    }

    fn line(&mut self, line: &Line<'_>) -> Result<(), Wrong> {
        match &line.kind {
            Cell::Text(kind) => match &**kind {
                "run" => self.run(line),
                "example" => self.example(line).map(|_| ()),
                "prediction" => self.prediction(line),
                "checkpoint" => self.checkpoint(line),
                _ => Ok(()),
            },
            // The dynamics of Swayamdipta et al. have no kinds.
            Cell::None if line.dynamics.is_some() || line.moment().is_some() => self.prediction(line),
            Cell::None if line.id != Cell::None => self.example(line).map(|_| ()),
            Cell::None => Err(Wrong::new("`kind` or `guid`", "neither")),
            other => Err(Wrong::new("a text in `kind`", other.kind())),
        }
    }

    fn run(&mut self, line: &Line<'_>) -> Result<(), Wrong> {
        if let Some(format) = line.format.number().filter(|format| *format != 1.0) {
            return Err(Wrong::new("`format` 1", format.to_string()));
        }
        if let Cell::Text(name) = &line.name {
            self.log.name = name.to_string();
        }
        if let Cell::Texts(labels) = &line.labels {
            let labels: Vec<Arc<str>> = labels.iter().map(|label| label.as_str().into()).collect();
            if !self.log.labels.is_empty() && self.log.labels != labels {
                let found = format!("{} other labels", labels.len());
                return Err(Wrong::new("the labels of the first `run` line", found));
            }
            self.log.labels = labels;
        }
        if let Some(epochs) = line.epochs.number() {
            self.log.planned = Some(epochs.max(0.0) as usize);
        }
        if let Cell::Text(name) = &line.task {
            let task = Task::ALL.into_iter().find(|task| task.name() == name);
            let names = Task::ALL.map(Task::name).join(", ");
            let task = task.ok_or_else(|| Wrong::new(format!("a task of {names}"), line.task.kind()))?;
            self.log.task.get_or_insert(task);
        }
        Ok(())
    }

    /// The number of an example, and what its line says of it.
    fn example(&mut self, line: &Line<'_>) -> Result<u32, Wrong> {
        let number = self.number(line)?;
        let gold = self.gold(&line.gold)?;
        let first = self.described.insert(number);
        let known = &self.log.examples[number as usize].gold;
        if !first && gold != Gold::Unknown && *known != gold {
            return Err(Wrong::new(
                "an id once, or with the same gold answer",
                "an id twice; the first line counts",
            ));
        }
        let text = line.text.name().map(|text| Arc::from(&*text));
        let split = line.split.name().map(|split| self.shared(&split));
        let mut attributes = Vec::new();
        if let Cell::Object(members) = &line.attributes {
            attributes = members
                .iter()
                .map(|(name, value)| (self.shared(name), self.shared(value)))
                .collect();
        }
        self.bytes += text.as_ref().map_or(0, |text: &Arc<str>| text.len() as u64 + 16) + 32 * attributes.len() as u64;
        if gold != Gold::Unknown {
            self.set_gold(number, gold);
        }
        let example = &mut self.log.examples[number as usize];
        if text.is_some() {
            example.text = text;
        }
        if split.is_some() {
            example.split = split;
        }
        if !attributes.is_empty() {
            example.attributes = attributes;
        }
        Ok(number)
    }

    /// The gold answer of an example, whose memory counts.
    fn set_gold(&mut self, number: u32, gold: Gold) {
        let known = &mut self.log.examples[number as usize].gold;
        self.bytes = (self.bytes + gold.bytes()).saturating_sub(known.bytes());
        *known = gold;
    }

    /// The number of the example that a line is about.
    fn number(&mut self, line: &Line<'_>) -> Result<u32, Wrong> {
        let id = line.id.name().ok_or_else(|| Wrong::new("an `id`", line.id.kind()))?;
        if let Some(&number) = self.log.index.get(&*id) {
            return Ok(number);
        }
        let number = u32::try_from(self.log.examples.len()).unwrap_or(u32::MAX);
        if number == u32::MAX {
            return Err(Wrong::new("fewer than 4,294,967,295 examples", "more"));
        }
        let id: Arc<str> = id.as_ref().into();
        // The example, its entry in the index, and its id.
        self.bytes += (size_of::<Example>() + 40 + id.len()) as u64;
        self.log.index.insert(id.clone(), number);
        self.log.examples.push(Example {
            id,
            gold: Gold::Unknown,
            text: None,
            split: None,
            attributes: Vec::new(),
        });
        Ok(number)
    }

    /// A name that many lines share, once.
    fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.bytes += name.len() as u64 + 48;
        self.names.insert(name.clone());
        name
    }

    /// A gold answer: classes may be named.
    fn gold(&self, cell: &Cell<'_>) -> Result<Gold, Wrong> {
        let class = |name: &str| self.log.labels.iter().position(|label| &**label == name);
        Ok(match cell {
            Cell::None => Gold::Unknown,
            Cell::Number(value) if !value.is_finite() => return Err(Wrong::new("a finite `gold`", value.to_string())),
            Cell::Number(value) => match *value {
                whole if (0.0..16_777_216.0).contains(&whole) && whole.fract() == 0.0 => Gold::Class(whole as u32),
                value => Gold::Value(value as f32),
            },
            Cell::Bool(value) => Gold::Class(u32::from(*value)),
            Cell::Text(text) => {
                class(text).map_or_else(|| Gold::Text((&**text).into()), |class| Gold::Class(class as u32))
            }
            Cell::List(values)
                if values
                    .iter()
                    .all(|value| value.fract() == 0.0 && value.abs() < 16_777_216.0) =>
            {
                Gold::List(values.iter().map(|value| *value as i32).collect())
            }
            Cell::List(values) => match values.iter().find(|value| !value.is_finite()) {
                Some(value) => return Err(Wrong::new("finite numbers in `gold`", value.to_string())),
                None => Gold::Values(values.as_slice().into()),
            },
            Cell::Texts(names) => {
                let classes: Option<Vec<usize>> = names.iter().map(|name| class(name)).collect();
                let Some(classes) = classes.filter(|_| self.log.task.is_some()) else {
                    return Err(Wrong::new(
                        "names of `labels` in `gold`, and `task` in the `run` line",
                        cell.kind(),
                    ));
                };
                if self.log.task == Some(Task::MultiLabel) {
                    Gold::List(
                        (0..self.log.labels.len())
                            .map(|label| i32::from(classes.contains(&label)))
                            .collect(),
                    )
                } else {
                    Gold::List(classes.into_iter().map(|class| class as i32).collect())
                }
            }
            other => {
                return Err(Wrong::new(
                    "a class, a number, a text or a list of classes or numbers in `gold`",
                    other.kind(),
                ));
            }
        })
    }

    fn prediction(&mut self, line: &Line<'_>) -> Result<(), Wrong> {
        let moment = line
            .moment()
            .ok_or_else(|| Wrong::new("`epoch` or `step`", "neither"))?;
        let number = self.number(line)?;
        let gold = self.gold(&line.gold)?;
        let known = &self.log.examples[number as usize].gold;
        let is_new = *known == Gold::Unknown;
        let other_gold = !is_new && gold != Gold::Unknown && gold != *known;
        let wanted = if is_new { &gold } else { known };
        let prediction = Prediction {
            probabilities: &line.probabilities,
            logits: &line.logits,
            answer: &line.prediction,
            log_probability: &line.log_probability,
            loss: line.loss.number().map(|loss| loss as f32),
            correct: match line.correct {
                Cell::Bool(correct) => Some(correct),
                _ => None,
            },
        };
        let seen = prediction.task(wanted);
        let expected = "`probabilities`, `logits`, `prediction` or `log_probability`";
        let task = match (self.log.task, seen) {
            (_, None) => return Err(Wrong::new(expected, "none of them")),
            (Some(task), Some(seen)) if task != seen => {
                return Err(Wrong::new(
                    format!("a prediction of the task {task}"),
                    format!("one of {seen}"),
                ));
            }
            (_, Some(seen)) => seen,
        };
        let classes = prediction.classes(task);
        if let Some(classes) = classes {
            // Numbers need no names.
            let labels = Some(self.log.labels.len()).filter(|labels| *labels > 0 && task != Task::Regression);
            if let Some(known) = self.classes.or(labels).filter(|known| *known != classes) {
                let expected = match task {
                    Task::Regression => format!("{known} numbers in `prediction`, as in the first"),
                    _ => format!("scores of {known} classes"),
                };
                return Err(Wrong::new(expected, classes.to_string()));
            }
        }
        let outcome = prediction.outcome(task, wanted, &mut self.log.answers)?;
        if is_new {
            self.set_gold(number, gold);
        }
        self.log.task = Some(task);
        self.classes = self.classes.or(classes);
        let known = u32::try_from(self.log.moments.len()).unwrap_or(u32::MAX);
        let at = *self.moments.entry(moment.key()).or_insert(known);
        match self.log.moments.get_mut(at as usize) {
            None => self.log.moments.push(moment),
            Some(known) => known.step = known.step.max(moment.step),
        }
        self.fresh.push(Record {
            example: number,
            moment: at,
            outcome,
        });
        if other_gold {
            return Err(Wrong::new(
                "the gold answer of the example",
                "another; the first counts",
            ));
        }
        Ok(())
    }

    fn checkpoint(&mut self, line: &Line<'_>) -> Result<(), Wrong> {
        let moment = line
            .moment()
            .ok_or_else(|| Wrong::new("`epoch` or `step`", "neither"))?;
        let path = line
            .path
            .name()
            .ok_or_else(|| Wrong::new("a `path`", line.path.kind()))?
            .into_owned();
        self.log.checkpoints.retain(|known| !known.moment.matches(&moment));
        self.log.checkpoints.push(LoggedCheckpoint { moment, path });
        Ok(())
    }

    /// Sorts what came in: moments by time, outcomes by example and moment. Of several outcomes the last one counts.
    fn settle(&mut self) {
        let log = &mut self.log;
        if self.fresh.is_empty() && log.starts.len() == log.examples.len() + 1 {
            return;
        }
        let epochs = log.moments.iter().all(|moment| moment.epoch.is_some());
        let place = |moment: &Moment| match moment.epoch {
            Some(epoch) => (epoch, moment.step),
            // Beside epochs, steps alone come last.
            None => (if epochs { 0.0 } else { f64::MAX }, moment.step),
        };
        let mut order: Vec<usize> = (0..log.moments.len()).collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (place(&log.moments[a]), place(&log.moments[b]));
            a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
        });
        log.records.append(&mut self.fresh);
        if order.iter().enumerate().any(|(now, before)| now != *before) {
            let mut place = vec![0; order.len()];
            for (now, before) in order.iter().enumerate() {
                place[*before] = now as u32;
            }
            log.moments = order.iter().map(|&before| log.moments[before]).collect();
            self.moments
                .values_mut()
                .for_each(|moment| *moment = place[*moment as usize]);
            log.records
                .iter_mut()
                .for_each(|record| record.moment = place[record.moment as usize]);
        }
        log.records.par_sort_by_key(|record| (record.example, record.moment));
        let before = log.records.len();
        // The last of equals is kept: the first in reverse.
        log.records.reverse();
        log.records.dedup_by_key(|record| (record.example, record.moment));
        log.records.reverse();
        log.replaced += before - log.records.len();
        log.starts.clear();
        log.starts.push(0);
        let mut at = 0;
        for example in 0..log.examples.len() {
            while log
                .records
                .get(at)
                .is_some_and(|record| record.example as usize == example)
            {
                at += 1;
            }
            log.starts.push(at);
        }
    }
}

impl Line<'_> {
    /// When the prediction was made. The epochs of `dynamics_epoch_X.jsonl` count from 0, ours from 1.
    fn moment(&self) -> Option<Moment> {
        let number = |cell: &Cell<'_>| cell.number().filter(|value| value.is_finite() && *value >= 0.0);
        let epoch = self
            .dynamics
            .map(|epoch| epoch as f64 + 1.0)
            .or_else(|| number(&self.epoch));
        let step = number(&self.step).map(|step| step as u64);
        (epoch.is_some() || step.is_some()).then_some(Moment { epoch, step })
    }
}

/// Whole lines, in pieces for the cores.
fn split(block: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::with_capacity(block.len() / PIECE + 1);
    let mut rest = block;
    while rest.len() > PIECE {
        let Some(end) = rest[PIECE..].iter().position(|byte| *byte == b'\n') else {
            break;
        };
        let (piece, after) = rest.split_at(PIECE + end + 1);
        pieces.push(piece);
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

fn texts(piece: &[u8]) -> Vec<Result<std::borrow::Cow<'_, str>, String>> {
    let piece = piece.strip_suffix(b"\n").unwrap_or(piece);
    let lines = piece.split(|byte| *byte == b'\n');
    let text = |line| match std::str::from_utf8(line) {
        Ok(line) => Ok(without_nan(line)),
        Err(error) => Err(format!("a byte that is not UTF-8 (column {})", error.valid_up_to() + 1)),
    };
    lines.map(text).collect()
}

/// A line's members; `None` for an empty line.
fn parse<'a>(text: &'a Result<std::borrow::Cow<'_, str>, String>) -> Option<Result<Line<'a>, String>> {
    match text {
        Ok(text) if text.trim().is_empty() => None,
        Ok(text) => Some(Line::parse(text)),
        Err(error) => Some(Err(error.clone())),
    }
}
