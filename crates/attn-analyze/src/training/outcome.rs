//! From a prediction to its outcome: what every task has in common.

use super::{
    answer::{Answers, join_numbers},
    line::Cell,
    log::{Gold, Task},
};

/// Probabilities below this count as this much: logs are written with five decimals, and the logarithm of 0 is no number.
pub(super) const LEAST: f32 = 1e-6;

/// How much the sum of probabilities may differ from 1: they are written with few decimals.
const SUM: f32 = 0.02;

/// What came of an example at a moment, in 24 bytes. NaN stands for what a task does not have or a log does not tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Probability of the gold answer.
    ///
    /// - classification: of the gold class;
    /// - multi-label: mean over labels of the probability of the right side;
    /// - tokens: mean over tokens of the probability of the gold class;
    /// - generation: exponential of the mean log-probability of the gold tokens.
    /// - regression: none.
    pub gold: f32,
    /// Margin: logit of the gold class minus the largest other logit (Pleiss et al. 2020). Multi-label: the least logit on the
    /// right side; tokens: the mean over tokens. Positive where the answer is right.
    pub margin: f32,
    /// Length of the error vector, |p - onehot| (EL2N of Paul et al. 2021); tokens: mean over tokens; regression: |error|, of several
    /// numbers the root of the mean squared error.
    pub error: f32,
    /// Loss in nats: as logged, else minus the logarithm of `gold`; regression: squared error, the mean over numbers.
    pub loss: f32,
    /// The answer, coded: see [`Log::answer`](super::Log::answer).
    pub(super) answer: u32,
    pub(super) right: Right,
}

/// Whether an answer is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    Unknown,
    No,
    Yes,
}

impl From<bool> for Right {
    fn from(right: bool) -> Self {
        if right { Self::Yes } else { Self::No }
    }
}

impl Outcome {
    /// Whether the answer is right; `None` where the log does not tell. Multi-label and tokens: whether all of it is right.
    pub fn is_right(&self) -> Option<bool> {
        match self.right {
            Right::Unknown => None,
            right => Some(right == Right::Yes),
        }
    }

    fn new(gold: f32, margin: f32, error: f32, answer: u32, right: bool) -> Self {
        Self {
            gold,
            margin,
            error,
            loss: -gold.max(LEAST).ln(),
            answer,
            right: right.into(),
        }
    }
}

/// Why a prediction has no outcome: what was expected, and what was found.
pub(super) struct Wrong {
    pub(super) expected: String,
    pub(super) found: String,
}

impl Wrong {
    pub(super) fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            expected: expected.into(),
            found: found.into(),
        }
    }
}

/// What a line says of a prediction.
pub(super) struct Prediction<'a> {
    pub(super) probabilities: &'a Cell<'a>,
    pub(super) logits: &'a Cell<'a>,
    pub(super) answer: &'a Cell<'a>,
    pub(super) log_probability: &'a Cell<'a>,
    pub(super) loss: Option<f32>,
    pub(super) correct: Option<bool>,
}

/// Scores of classes, as probabilities or as logits.
enum Scores<'a> {
    Probabilities(&'a [f32]),
    Logits(&'a [f32]),
}

impl Prediction<'_> {
    /// The task that such a prediction belongs to.
    pub(super) fn task(&self, gold: &Gold) -> Option<Task> {
        Some(match (gold, self.probabilities, self.logits) {
            (_, Cell::Lists(_), _) | (_, _, Cell::Lists(_)) => Task::Tokens,
            (Gold::List(_), Cell::List(_), _) | (Gold::List(_), _, Cell::List(_)) => Task::MultiLabel,
            (_, Cell::List(_), _) | (_, _, Cell::List(_)) => Task::Classification,
            _ if !matches!(self.log_probability, Cell::None) => Task::Generation,
            _ if matches!(self.answer, Cell::Number(_) | Cell::List(_)) && gold.numbers().is_some() => Task::Regression,
            _ => return None,
        })
    }

    /// Number of classes or labels, where there are scores of them, or of numbers.
    pub(super) fn classes(&self, task: Task) -> Option<usize> {
        if task == Task::Regression {
            return match self.answer {
                Cell::List(values) => Some(values.len()),
                _ => Some(1),
            };
        }
        [self.probabilities, self.logits]
            .into_iter()
            .find_map(|cell| match cell {
                Cell::List(values) => Some(values.len()),
                Cell::Lists(rows) => rows.first().map(Vec::len),
                _ => None,
            })
    }

    /// What came of it.
    pub(super) fn outcome(&self, task: Task, gold: &Gold, answers: &mut Answers) -> Result<Outcome, Wrong> {
        let mut outcome = match task {
            Task::Classification => self.classification(gold),
            Task::MultiLabel => self.multi_label(gold, answers),
            Task::Regression => self.regression(gold, answers),
            Task::Tokens => self.tokens(gold, answers),
            Task::Generation => self.generation(gold, answers),
        }?;
        if let Some(loss) = self.loss {
            outcome.loss = loss;
        }
        if let Some(correct) = self.correct {
            outcome.right = correct.into();
        }
        Ok(outcome)
    }

    fn scores(&self) -> Result<Scores<'_>, Wrong> {
        let (values, scores) = match (self.probabilities, self.logits) {
            (_, Cell::List(values)) => (values, Scores::Logits(values)),
            (Cell::List(values), _) => (values, Scores::Probabilities(values)),
            (Cell::None, other) | (other, _) => return Err(Wrong::new("`probabilities` or `logits`", other.kind())),
        };
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(Wrong::new("finite scores", value.to_string())),
            None => Ok(scores),
        }
    }

    fn classification(&self, gold: &Gold) -> Result<Outcome, Wrong> {
        let Gold::Class(class) = gold else {
            return Err(Wrong::new("a gold class", gold.kind()));
        };
        let scores = match self.scores()? {
            Scores::Probabilities(values) => classes(values, false),
            Scores::Logits(values) => classes(values, true),
        };
        let of = scores?.of(*class as usize)?;
        Ok(Outcome::new(of.gold, of.margin, of.error, of.answer, of.right))
    }

    fn tokens(&self, gold: &Gold, answers: &mut Answers) -> Result<Outcome, Wrong> {
        let Gold::List(wanted) = gold else {
            return Err(Wrong::new("a gold class per token", gold.kind()));
        };
        let (rows, logits) = match (self.probabilities, self.logits) {
            (_, Cell::Lists(rows)) => (rows, true),
            (Cell::Lists(rows), _) => (rows, false),
            (Cell::None, other) | (other, _) => return Err(Wrong::new("scores of every token", other.kind())),
        };
        if rows.len() != wanted.len() {
            let found = format!("{} rows of scores", rows.len());
            return Err(Wrong::new(format!("{} tokens as in `gold`", wanted.len()), found));
        }
        let (mut count, mut right, mut sums) = (0_usize, 0_usize, [0.0_f64; 3]);
        for (row, class) in rows.iter().zip(wanted) {
            // -100 and the like: a token that does not count.
            let Ok(class) = usize::try_from(*class) else { continue };
            if let Some(value) = row.iter().find(|value| !value.is_finite()) {
                return Err(Wrong::new("finite scores", value.to_string()));
            }
            let of = classes(row, logits)?.of(class)?;
            count += 1;
            right += usize::from(of.right);
            for (sum, value) in sums.iter_mut().zip([of.gold, of.margin, of.error]) {
                *sum += f64::from(value);
            }
        }
        if count == 0 {
            return Err(Wrong::new("a token that counts", "none"));
        }
        let [gold, margin, error] = sums.map(|sum| (sum / count as f64) as f32);
        let answer = answers.intern(&format!("{right} of {count} tokens right"));
        Ok(Outcome::new(gold, margin, error, answer, right == count))
    }

    fn multi_label(&self, gold: &Gold, answers: &mut Answers) -> Result<Outcome, Wrong> {
        let Gold::List(wanted) = gold else {
            return Err(Wrong::new("0 or 1 for every label in `gold`", gold.kind()));
        };
        let (values, logits) = match self.scores()? {
            Scores::Logits(values) => (values, true),
            Scores::Probabilities(values) => (values, false),
        };
        if wanted.is_empty() {
            return Err(Wrong::new("at least one label in `gold`", "none"));
        }
        if values.len() != wanted.len() {
            let found = format!("{} scores", values.len());
            return Err(Wrong::new(format!("{} labels as in `gold`", wanted.len()), found));
        }
        let (mut sum, mut squares, mut margin) = (0.0_f64, 0.0_f64, f32::INFINITY);
        let mut answer = Vec::with_capacity(values.len());
        for (&value, &label) in values.iter().zip(wanted) {
            let label = label == 1;
            if !logits && !(0.0..=1.0).contains(&value) {
                return Err(Wrong::new("probabilities from 0 to 1", value.to_string()));
            }
            let probability = if logits { 1.0 / (1.0 + (-value).exp()) } else { value };
            let clamped = probability.clamp(LEAST, 1.0 - LEAST);
            let logit = if logits {
                value
            } else {
                (clamped / (1.0 - clamped)).ln()
            };
            let side = if label { probability } else { 1.0 - probability };
            sum += f64::from(side);
            squares += f64::from(1.0 - side).powi(2);
            margin = margin.min(if label { logit } else { -logit });
            answer.push(logit > 0.0);
        }
        let right = answer
            .iter()
            .zip(wanted)
            .all(|(answer, label)| *answer == (*label == 1));
        let answer = answers.intern_labels(answer.into_iter());
        let mean = (sum / values.len() as f64) as f32;
        Ok(Outcome::new(mean, margin, squares.sqrt() as f32, answer, right))
    }

    fn regression(&self, gold: &Gold, answers: &mut Answers) -> Result<Outcome, Wrong> {
        let wanted = gold.numbers().filter(|wanted| !wanted.is_empty());
        let wanted = wanted.ok_or_else(|| Wrong::new("a number in `gold`, or several", gold.kind()))?;
        let (values, expected) = match self.answer {
            Cell::Number(value) => (&[*value as f32][..], "a finite number"),
            Cell::List(values) => (values.as_slice(), "finite numbers"),
            other => return Err(Wrong::new("a number in `prediction`, or several", other.kind())),
        };
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(Wrong::new(format!("{expected} in `prediction`"), value.to_string()));
        }
        if values.len() != wanted.len() {
            let expected = format!("as many numbers in `prediction` as in `gold`, {}", wanted.len());
            return Err(Wrong::new(expected, values.len().to_string()));
        }
        let pairs = values.iter().zip(&wanted);
        let squares = pairs.map(|(value, wanted)| (f64::from(*value) - f64::from(*wanted)).powi(2));
        let loss = squares.sum::<f64>() / values.len() as f64;
        Ok(Outcome {
            gold: f32::NAN,
            margin: f32::NAN,
            error: loss.sqrt() as f32,
            loss: loss as f32,
            answer: match values {
                [value] => value.to_bits(),
                several => answers.intern(&join_numbers(several)),
            },
            right: Right::Unknown,
        })
    }

    fn generation(&self, gold: &Gold, answers: &mut Answers) -> Result<Outcome, Wrong> {
        let mean = match self.log_probability {
            Cell::Number(value) => *value as f32,
            Cell::List(values) if !values.is_empty() => {
                let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
                (sum / values.len() as f64) as f32
            }
            other => return Err(Wrong::new("a number or a list in `log_probability`", other.kind())),
        };
        if mean.is_nan() || mean > 1e-3 {
            return Err(Wrong::new("a log-probability of at most 0", mean.to_string()));
        }
        let answer = match self.answer {
            Cell::Text(text) => Some(&**text),
            _ => None,
        };
        let right = match (answer, gold) {
            (Some(answer), Gold::Text(wanted)) => (*answer == **wanted).into(),
            _ => Right::Unknown,
        };
        Ok(Outcome {
            gold: mean.min(0.0).exp(),
            margin: f32::NAN,
            error: f32::NAN,
            loss: -mean,
            answer: answer.map_or(Answers::NONE, |answer| answers.intern(answer)),
            right,
        })
    }
}

/// Scores of the classes of one decision.
struct Classes<'a> {
    scores: &'a [f32],
    logits: bool,
    /// Of logits: the largest, and the sum of exponentials of the differences to it.
    largest: f32,
    sum: f64,
    best: usize,
}

/// A decision beside the gold class.
struct Decided {
    gold: f32,
    margin: f32,
    error: f32,
    answer: u32,
    right: bool,
}

fn classes(scores: &[f32], logits: bool) -> Result<Classes<'_>, Wrong> {
    if scores.len() < 2 {
        return Err(Wrong::new("scores of at least 2 classes", scores.len().to_string()));
    }
    let mut best = 0;
    for (class, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = class;
        }
    }
    let largest = scores[best];
    let sum = if logits {
        scores.iter().map(|score| f64::from(score - largest).exp()).sum()
    } else {
        let sum: f32 = scores.iter().sum();
        if (sum - 1.0).abs() > SUM || scores.iter().any(|score| *score < 0.0) {
            return Err(Wrong::new("probabilities with sum 1", format!("sum {sum}")));
        }
        1.0
    };
    Ok(Classes {
        scores,
        logits,
        largest,
        sum,
        best,
    })
}

impl Classes<'_> {
    fn probability(&self, class: usize) -> f64 {
        let score = self.scores[class];
        if self.logits {
            f64::from(score - self.largest).exp() / self.sum
        } else {
            f64::from(score)
        }
    }

    fn of(&self, gold: usize) -> Result<Decided, Wrong> {
        if gold >= self.scores.len() {
            let expected = format!("a gold class below {}", self.scores.len());
            return Err(Wrong::new(expected, gold.to_string()));
        }
        let others = self.scores.iter().enumerate().filter(|(class, _)| *class != gold);
        let other = others.fold(f32::NEG_INFINITY, |most, (_, score)| most.max(*score));
        let margin = if self.logits {
            self.scores[gold] - other
        } else {
            // A difference of logits is one of log-probabilities.
            self.scores[gold].max(LEAST).ln() - other.max(LEAST).ln()
        };
        let squares = (0..self.scores.len()).map(|class| {
            let error = self.probability(class) - f64::from(u8::from(class == gold));
            error * error
        });
        Ok(Decided {
            gold: self.probability(gold) as f32,
            margin,
            error: squares.sum::<f64>().sqrt() as f32,
            answer: u32::try_from(self.best).unwrap_or(Answers::NONE),
            right: self.best == gold,
        })
    }
}

impl Gold {
    /// The numbers that a regression is to give, or the number of the class.
    pub fn numbers(&self) -> Option<Vec<f32>> {
        match self {
            Self::Class(class) => Some(vec![*class as f32]),
            Self::Value(value) => Some(vec![*value]),
            Self::List(values) => Some(values.iter().map(|value| *value as f32).collect()),
            Self::Values(values) => Some(values.to_vec()),
            Self::Unknown | Self::Text(_) => None,
        }
    }

    /// The kind of value, for errors.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Unknown => "no gold answer",
            Self::Class(_) => "a class",
            Self::Value(_) => "a number",
            Self::List(_) | Self::Values(_) => "a list of numbers",
            Self::Text(_) => "a text",
        }
    }
}
