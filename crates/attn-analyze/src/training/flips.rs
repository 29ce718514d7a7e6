//! Flips: examples that are right at one moment and wrong at another, and McNemar's test of the difference.

use serde::Serialize;

use super::{
    distributions::fair_coins,
    dynamics::Scale,
    log::{Log, Moment},
};

/// Which way an answer changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FlipKind {
    /// Right, then wrong.
    Lost,
    /// Wrong, then right.
    Gained,
    /// Wrong both times, with another answer.
    Changed,
}

/// An example whose answer changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Flip {
    /// Number of the example.
    pub example: usize,
    /// Which way.
    pub kind: FlipKind,
    /// Probability of the gold answer before and after.
    pub gold: [f32; 2],
    /// The answers before and after, in words; empty where they were not logged.
    pub answers: [String; 2],
}

/// McNemar's test (1947) that right -> wrong and wrong -> right are equally likely.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct McNemar {
    /// Examples that are right before and wrong after.
    pub lost: usize,
    /// Examples that are wrong before and right after.
    pub gained: usize,
    /// Two-sided p-value, exact by the binomial distribution.
    pub p: f64,
}

impl McNemar {
    /// The exact test: with `n = lost + gained` fair coins, how likely is a split at least as uneven?
    ///
    /// ```
    /// use attn_analyze::training::McNemar;
    ///
    /// assert!((McNemar::new(0, 5).p - 2.0 / 32.0).abs() < 1e-12);
    /// assert_eq!(McNemar::new(3, 3).p, 1.0);
    /// ```
    pub fn new(lost: usize, gained: usize) -> Self {
        let p = (2.0 * fair_coins(lost.min(gained), lost + gained)).min(1.0);
        Self { lost, gained, p }
    }
}

/// What changed between two moments.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Flips {
    /// The two moments.
    pub moments: [Moment; 2],
    /// Examples with predictions at both, and a known answer.
    pub compared: usize,
    /// Right at both.
    pub right: usize,
    /// Wrong at both.
    pub wrong: usize,
    /// The test.
    pub test: McNemar,
    /// Examples whose answer changed: lost ones first, then gained ones, then others; the largest change of probability first.
    pub flips: Vec<Flip>,
}

impl Flips {
    /// Compares two moments of a log, by their numbers. `None` for moments that do not exist.
    ///
    /// `tolerance` is that of a regression; see [`DynamicsParams::tolerance`](super::DynamicsParams::tolerance).
    pub fn between(log: &Log, before: usize, after: usize, tolerance: Option<f32>) -> Option<Self> {
        let moments = [*log.moments().get(before)?, *log.moments().get(after)?];
        let scale = Scale::of(log, tolerance);
        let mut found = Self {
            moments,
            compared: 0,
            right: 0,
            wrong: 0,
            test: McNemar::new(0, 0),
            flips: Vec::new(),
        };
        for example in 0..log.examples().len() {
            let (Some(a), Some(b)) = (log.outcome(example, before), log.outcome(example, after)) else {
                continue;
            };
            let ((gold_a, Some(right_a)), (gold_b, Some(right_b))) = (Scale::judge(scale, a), Scale::judge(scale, b))
            else {
                continue;
            };
            found.compared += 1;
            let kind = match (right_a, right_b) {
                (true, false) => FlipKind::Lost,
                (false, true) => FlipKind::Gained,
                (true, true) => {
                    found.right += 1;
                    continue;
                }
                (false, false) => {
                    found.wrong += 1;
                    // Every number differs from every other.
                    if scale.is_some() || a.answer == b.answer {
                        continue;
                    }
                    FlipKind::Changed
                }
            };
            let answer = |outcome| log.answer(outcome).unwrap_or_default();
            found.flips.push(Flip {
                example,
                kind,
                gold: [gold_a, gold_b],
                answers: [answer(a), answer(b)],
            });
        }
        let count = |kind| found.flips.iter().filter(|flip| flip.kind == kind).count();
        found.test = McNemar::new(count(FlipKind::Lost), count(FlipKind::Gained));
        let change = |flip: &Flip| (flip.gold[1] - flip.gold[0]).abs();
        found
            .flips
            .sort_by(|a, b| a.kind.cmp(&b.kind).then(change(b).total_cmp(&change(a))));
        Some(found)
    }

    /// The counts and the test in words.
    pub fn describe(&self) -> String {
        let McNemar { lost, gained, p } = self.test;
        let p = if p < 1e-4 {
            format!("{p:.0e}")
        } else {
            format!("{p:.4}")
        };
        format!("{lost} right, then wrong; {gained} wrong, then right; McNemar p = {p}")
    }

    /// Share of compared examples that are right, before and after.
    pub fn accuracy(&self) -> [f64; 2] {
        let share = |more: usize| (self.right + more) as f64 / self.compared.max(1) as f64;
        [share(self.test.lost), share(self.test.gained)]
    }
}
