//! The sums behind the scores of one head: over rows first, then over sequences, so that a long sequence weighs no more than
//! a short one.

use std::{cell::OnceCell, ops::Range};

use super::targets::Targets;

/// The sums of one score of one head.
///
/// Rows come sequence by sequence, queries ascending. Only rows that see at least two keys come: a query with one key has
/// no choice.
pub trait HeadTally: Send {
    /// Adds a row of attention, with the [targets](super::HeadScore::targets) of its sequence.
    fn add(&mut self, row: &Row<'_>, targets: Option<&Targets>);

    /// The rows that follow are of another sequence.
    fn end_sequence(&mut self);

    /// The score; `None` if no row could show it.
    fn finish(&self) -> Option<Measured>;
}

/// What a [`HeadTally`] has summed up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Mean over rows, then over sequences.
    pub value: f64,
    /// The same for uniform attention.
    pub chance: f64,
    /// The same for permuted data, if it was permuted.
    pub permuted: Option<f64>,
    /// Rows behind the value.
    pub rows: usize,
    /// The weight to show as an example.
    pub top: Option<TopCell>,
}

/// One row of attention: the weights that a query gives to the keys it sees.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    /// Index of the sequence in the capture.
    pub sequence: usize,
    /// Index of the query.
    pub query: usize,
    /// The keys it sees.
    pub visible: Range<usize>,
    /// Their weights; the sum is 1.
    pub weights: &'a [f32],
    /// Rows of this sequence that count.
    pub rows: usize,
    entropy: OnceCell<f64>,
    top: OnceCell<TopCell>,
}

impl<'a> Row<'a> {
    pub(super) fn new(
        (sequence, query): (usize, usize),
        visible: Range<usize>,
        weights: &'a [f32],
        rows: usize,
    ) -> Self {
        Self {
            sequence,
            query,
            visible,
            weights,
            rows,
            entropy: OnceCell::new(),
            top: OnceCell::new(),
        }
    }

    /// Entropy in nats. Computed once for all scores.
    pub fn entropy(&self) -> f64 {
        *self.entropy.get_or_init(|| {
            let mut nats = 0.0;
            for &weight in self.weights.iter().filter(|&&weight| weight > 0.0) {
                let weight = f64::from(weight);
                nats -= weight * weight.ln();
            }
            // Rounding of the weights may pass the bounds by an ulp.
            nats.clamp(0.0, (self.weights.len() as f64).ln())
        })
    }

    /// The weight of a key; 0 for keys it does not see.
    pub fn weight(&self, key: usize) -> f32 {
        let at = key.checked_sub(self.visible.start);
        at.and_then(|at| self.weights.get(at)).copied().unwrap_or(0.0)
    }

    /// The weight that says most beyond uniform attention. Computed once for all scores.
    pub fn top(&self) -> TopCell {
        *self.top.get_or_init(|| {
            let mut top: Option<TopCell> = None;
            for key in self.visible.clone() {
                self.cell(key).offer_to(&mut top);
            }
            top.unwrap_or_else(|| self.cell(self.visible.start))
        })
    }

    /// One weight of the row.
    pub fn cell(&self, key: usize) -> TopCell {
        let weight = self.weight(key);
        let share = f64::from(weight);
        let bits = if weight > 0.0 {
            share * (share * self.weights.len() as f64).log2()
        } else {
            0.0
        };
        TopCell {
            sequence: self.sequence,
            query: self.query,
            key,
            weight,
            bits,
        }
    }
}

/// One weight of one row, to show as an example.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopCell {
    /// Index of the sequence in the capture.
    pub sequence: usize,
    /// Index of the query.
    pub query: usize,
    /// Index of the key.
    pub key: usize,
    /// The weight.
    pub weight: f32,
    /// Bits it says beyond uniform: 0.9 of thirty keys says more than 1.0 of two.
    pub bits: f64,
}

impl TopCell {
    /// Takes the place of a cell that says less.
    pub fn offer_to(self, top: &mut Option<Self>) {
        if top.is_none_or(|top| self.bits > top.bits) {
            *top = Some(self);
        }
    }
}

/// A mean over rows, then over sequences.
#[derive(Debug, Default, Clone, Copy)]
pub struct Mean {
    sum: f64,
    rows: f64,
    means: f64,
    sequences: f64,
}

impl Mean {
    /// Adds the value of a row.
    pub fn add(&mut self, value: f64) {
        self.sum += value;
        self.rows += 1.0;
    }

    /// The values that follow are of another sequence.
    pub fn end_sequence(&mut self) {
        if self.rows > 0.0 {
            self.means += self.sum / self.rows;
            self.sequences += 1.0;
        }
        (self.sum, self.rows) = (0.0, 0.0);
    }

    /// The mean; 0 without rows.
    pub fn value(self) -> f64 {
        if self.sequences > 0.0 {
            self.means / self.sequences
        } else {
            0.0
        }
    }
}

/// Mean attention to the targets of each query, beside their share of the visible keys.
#[derive(Debug, Default, Clone)]
pub struct TargetTally {
    own: Sums,
    permuted: Sums,
    first_token: bool,
}

#[derive(Debug, Default, Clone)]
struct Sums {
    value: Mean,
    chance: Mean,
    rows: usize,
    top: Option<TopCell>,
}

impl TargetTally {
    /// A tally whose example may be the first token. By default it may not, since it often is a sink.
    pub fn with_first_token() -> Self {
        Self {
            first_token: true,
            ..Self::default()
        }
    }
}

impl HeadTally for TargetTally {
    fn add(&mut self, row: &Row<'_>, targets: Option<&Targets>) {
        let Some(targets) = targets else { return };
        self.own.add(row, targets, self.first_token);
        if let Some(permuted) = targets.permuted() {
            self.permuted.add(row, permuted, self.first_token);
        }
    }

    fn end_sequence(&mut self) {
        for sums in [&mut self.own, &mut self.permuted] {
            sums.value.end_sequence();
            sums.chance.end_sequence();
        }
    }

    fn finish(&self) -> Option<Measured> {
        (self.own.rows > 0).then(|| Measured {
            value: self.own.value.value(),
            chance: self.own.chance.value(),
            permuted: (self.permuted.rows > 0).then(|| self.permuted.value.value()),
            rows: self.own.rows,
            top: self.own.top,
        })
    }
}

impl Sums {
    fn add(&mut self, row: &Row<'_>, targets: &Targets, first_token: bool) {
        let (mut sum, mut count, mut top) = (0.0, 0, self.top);
        for key in targets.of(row.query, row.visible.clone()) {
            sum += f64::from(row.weight(key));
            count += 1;
            if key > 0 || first_token {
                row.cell(key).offer_to(&mut top);
            }
        }
        // A row that could not miss its keys, or has none, says nothing.
        if count > 0 && count < row.weights.len() {
            self.value.add(sum);
            self.chance.add(count as f64 / row.weights.len() as f64);
            self.rows += 1;
            self.top = top;
        }
    }
}
