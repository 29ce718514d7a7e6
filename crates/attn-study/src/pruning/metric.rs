//! How well a model does: an outcome per example, and a metric over all of them. Each kind of labels has its loss and its metric.

use attn_models::attribute::Labels;
use serde::{Deserialize, Serialize};

use crate::{Error, rows::likeliest};

/// How well a model does on one example.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// The loss of [`Labels`].
    pub loss: f64,
    /// Share of what is asked that is right: 0 or 1 for a class; the share of tokens; the share of labels; 0 or 1 for numbers, by
    /// [`LabeledSet::tolerance`](super::LabeledSet::tolerance).
    pub right: f64,
    /// What the metric is made of, for each output that it is a mean over: see [`Metric`].
    pub parts: Vec<[f64; 2]>,
}

/// The metric of a set, by what is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// Classes and tokens: the mean over the examples of [`Outcome::right`]. Parts: that share, and 1.
    #[default]
    Accuracy,
    /// Labels each by itself: `2 tp / (2 tp + fp + fn)` over all labels of all examples. A label is said to hold from a
    /// probability of 0.5 on. Parts: the numerator and the denominator. 1 if no label holds and none is said to.
    MicroF1,
    /// Numbers: Pearson's coefficient of what is said and what is right, the mean over outputs. Parts: both, for each output. 0 where
    /// either is the same for all.
    Pearson,
}

impl Metric {
    /// That of a kind of labels.
    pub fn of(labels: &Labels) -> Self {
        match labels {
            Labels::Class(_) | Labels::Tokens(_) => Self::Accuracy,
            Labels::Set(_) => Self::MicroF1,
            Labels::Numbers(_) => Self::Pearson,
        }
    }

    /// Its name: `accuracy`, `micro F1`, `Pearson correlation`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::MicroF1 => "micro F1",
            Self::Pearson => "Pearson correlation",
        }
    }

    /// A value for readers: `93.1 %`, `0.931`.
    pub fn text(self, value: f64) -> String {
        match self {
            Self::Accuracy => format!("{:.1} %", 100.0 * value),
            Self::MicroF1 | Self::Pearson => format!("{value:.3}"),
        }
    }

    /// The loss beside it, with its unit where it has one.
    pub fn loss(self) -> &'static str {
        match self {
            Self::Accuracy => "loss (nats)",
            Self::MicroF1 => "binary cross entropy (nats)",
            Self::Pearson => "squared error",
        }
    }

    /// Its value over examples.
    ///
    /// ```
    /// use attn_study::pruning::{Metric, Outcome};
    ///
    /// let outcome = |parts| Outcome { parts: vec![parts], ..Outcome::default() };
    /// // One label right of two found and one missed, then one right: 4 / 6.
    /// let f1 = Metric::MicroF1.value(&[outcome([2.0, 4.0]), outcome([2.0, 2.0])]);
    /// assert_eq!(f1, 4.0 / 6.0);
    /// let line = [[0.0, 3.0], [1.0, 5.0], [2.0, 7.0]].map(outcome);
    /// assert!((Metric::Pearson.value(&line) - 1.0).abs() < 1e-12);
    /// ```
    pub fn value(self, examples: &[Outcome]) -> f64 {
        let outputs = examples.iter().map(|outcome| outcome.parts.len()).max().unwrap_or(0);
        let of = |output: usize| -> Vec<[f64; 2]> {
            let parts = examples.iter().filter_map(|outcome| outcome.parts.get(output));
            parts.copied().collect()
        };
        let sum = |part: usize| -> f64 { of(0).iter().map(|parts| parts[part]).sum() };
        match self {
            Self::Accuracy => sum(0) / sum(1).max(1.0),
            Self::MicroF1 => match sum(1) {
                0.0 => 1.0,
                all => sum(0) / all,
            },
            Self::Pearson => (0..outputs).map(|output| pearson(&of(output))).sum::<f64>() / outputs.max(1) as f64,
        }
    }
}

/// Pearson's coefficient of pairs; 0 where either side is the same for all.
fn pearson(pairs: &[[f64; 2]]) -> f64 {
    let count = pairs.len().max(1) as f64;
    let means = [0, 1].map(|part| pairs.iter().map(|pair| pair[part]).sum::<f64>() / count);
    let (mut both, mut squares) = (0.0, [0.0; 2]);
    for pair in pairs {
        let [said, right] = [0, 1].map(|part| pair[part] - means[part]);
        both += said * right;
        squares = [squares[0] + said * said, squares[1] + right * right];
    }
    // A sum of rounding errors is no variance.
    let varies = |part: usize| squares[part] > 1e-24 * means[part] * means[part] * pairs.len() as f64;
    if varies(0) && varies(1) {
        both / (squares[0].sqrt() * squares[1].sqrt())
    } else {
        0.0
    }
}

/// The outcome of logits, row by row: one row for a sequence, one per place for tokens.
///
/// `from` is 1 for a model that predicts each token in the place of the one before it. Errors name what does not fit.
pub(super) fn outcome(
    labels: &Labels,
    values: &[f32],
    width: usize,
    from: usize,
    tolerance: f64,
) -> Result<Outcome, Error> {
    let rows = |place: usize| values.get(place * width..(place + 1) * width);
    let unfit = |expected: String, found: String| Error::Shape {
        what: "labels of an example",
        expected,
        found,
    };
    let choices: Vec<(&[f32], usize)> = match labels {
        Labels::Class(class) => vec![(rows(0).unwrap_or_default(), *class as usize)],
        Labels::Tokens(tokens) => {
            let labeled = tokens.iter().enumerate().skip(from);
            let row = |place: usize| rows(place - from).unwrap_or_default();
            labeled
                .filter_map(|(place, label)| Some((row(place), (*label)? as usize)))
                .collect()
        }
        Labels::Set(set) => return of_set(set, rows(0).unwrap_or_default()),
        Labels::Numbers(numbers) => {
            if numbers.len() != values.len() || numbers.is_empty() {
                let expected = format!("{}, one per output of the model", values.len());
                return Err(unfit(expected, numbers.len().to_string()));
            }
            let pairs = values.iter().zip(numbers);
            let parts: Vec<[f64; 2]> = pairs.map(|(&said, &right)| [said, right].map(f64::from)).collect();
            let squares = parts.iter().map(|[said, right]| (said - right).powi(2));
            let loss = squares.sum::<f64>() / parts.len() as f64;
            return Ok(Outcome {
                loss,
                right: f64::from(u8::from(loss.sqrt() <= tolerance)),
                parts,
            });
        }
    };
    let (mut loss, mut right) = (0.0, 0.0);
    for &(row, label) in &choices {
        if label >= row.len() {
            return Err(unfit(format!("labels below {}", row.len()), label.to_string()));
        }
        loss += cross_entropy(row, label);
        right += f64::from(u8::from(likeliest(row) == Some(label)));
    }
    let count = choices.len().max(1) as f64;
    let right = right / count;
    Ok(Outcome {
        loss: loss / count,
        right,
        parts: vec![[right, 1.0]],
    })
}

/// Each label by itself: a choice of two classes, the logit of one of which is 0.
fn of_set(set: &[bool], row: &[f32]) -> Result<Outcome, Error> {
    if set.len() != row.len() || set.is_empty() {
        return Err(Error::Shape {
            what: "labels of an example",
            expected: format!("{}, one per label of the model", row.len()),
            found: set.len().to_string(),
        });
    }
    let (mut loss, mut right, mut parts) = (0.0, 0_usize, [0.0; 2]);
    for (&logit, &holds) in row.iter().zip(set) {
        let said = logit >= 0.0;
        loss += cross_entropy(&[0.0, logit], usize::from(holds));
        right += usize::from(said == holds);
        parts[0] += 2.0 * f64::from(u8::from(said && holds));
        parts[1] += f64::from(u8::from(said) + u8::from(holds));
    }
    let count = set.len() as f64;
    Ok(Outcome {
        loss: loss / count,
        right: right as f64 / count,
        parts: vec![parts],
    })
}

/// `-log softmax(row)[label]`, in nats.
fn cross_entropy(row: &[f32], label: usize) -> f64 {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|&value| f64::from(value - most).exp()).sum();
    sum.ln() - f64::from(row[label] - most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(labels: &Labels, values: &[f32]) -> Outcome {
        outcome(labels, values, values.len(), 0, 0.5).unwrap()
    }

    #[test]
    fn losses_by_hand() {
        // Two classes with equal logits: ln 2.
        assert!((one(&Labels::Class(1), &[3.0, 3.0]).loss - 2.0_f64.ln()).abs() < 1e-12);
        // exp(0) : exp(ln 3) = 1 : 3.
        assert!((one(&Labels::Class(0), &[0.0, 3.0_f32.ln()]).loss - 4.0_f64.ln()).abs() < 1e-6);
        // Labels with the probabilities 3/4 and 1/2, of which the first holds: (ln 4/3 + ln 2) / 2.
        let found = one(&Labels::Set(vec![true, false]), &[3.0_f32.ln(), 0.0]);
        assert!((found.loss - 0.5 * (8.0_f64 / 3.0).ln()).abs() < 1e-6);
        // The second is said to hold, from 0.5 on.
        assert_eq!((found.right, found.parts), (0.5, vec![[2.0, 3.0]]));
        // No overflow far out.
        assert!((one(&Labels::Set(vec![false]), &[200.0]).loss - 200.0).abs() < 1e-6);
        assert!(one(&Labels::Set(vec![true]), &[200.0]).loss.abs() < 1e-12);
        let number = one(&Labels::Numbers(vec![2.0]), &[3.5]);
        assert_eq!((number.loss, number.right, number.parts), (2.25, 0.0, vec![[3.5, 2.0]]));
        assert_eq!(one(&Labels::Numbers(vec![2.0]), &[2.5]).right, 1.0);
        // Errors of 3 and 4: the mean of their squares.
        let two = one(&Labels::Numbers(vec![1.0, -1.0]), &[4.0, 3.0]);
        assert_eq!((two.loss, two.parts), (12.5, vec![[4.0, 1.0], [3.0, -1.0]]));
    }

    #[test]
    fn tokens_of_causal_models_are_predicted_one_place_before() {
        let labels = Labels::Tokens(vec![Some(0), Some(1), None, Some(0)]);
        let rows = [0.0, 9.0, 5.0, 5.0, 9.0, 0.0, 7.0, 7.0];
        let found = outcome(&labels, &rows, 2, 1, 0.0).unwrap();
        // Place 1 from row 0: right. Place 3 from row 2: right.
        assert_eq!(found.right, 1.0);
        assert!(outcome(&labels, &rows[..4], 2, 1, 0.0).is_err());
    }

    #[test]
    fn metrics_are_those_of_their_definitions() {
        let with = |parts: &[[f64; 2]]| -> Vec<Outcome> {
            let outcome = |&parts| Outcome {
                parts: vec![parts],
                ..Outcome::default()
            };
            parts.iter().map(outcome).collect()
        };
        assert_eq!(
            Metric::Accuracy.value(&with(&[[1.0, 1.0], [0.0, 1.0], [0.5, 1.0], [0.5, 1.0]])),
            0.5
        );
        assert_eq!(Metric::MicroF1.value(&with(&[[0.0, 0.0]])), 1.0);
        assert_eq!(Metric::MicroF1.value(&with(&[[0.0, 1.0], [2.0, 2.0]])), 2.0 / 3.0);
        // Pearson of (1, 2, 3, 4, 5) and (2, 1, 4, 3, 5) is 0.8.
        let pairs = [[1.0, 2.0], [2.0, 1.0], [3.0, 4.0], [4.0, 3.0], [5.0, 5.0]];
        assert!((Metric::Pearson.value(&with(&pairs)) - 0.8).abs() < 1e-12);
        // Far from 0 as well, and turned around.
        let far = pairs.map(|[said, right]| [1e6 - said, 1e-6 * right]);
        assert!((Metric::Pearson.value(&with(&far)) + 0.8).abs() < 1e-6);
        // Always the same number says nothing.
        assert_eq!(Metric::Pearson.value(&with(&[[0.1, 1.0], [0.1, 2.0], [0.1, 3.0]])), 0.0);
        // The mean over two outputs, one of which is turned around: (0.8 - 1) / 2.
        let two = pairs.map(|[said, right]| Outcome {
            parts: vec![[said, right], [said, 3.0 - 2.0 * said]],
            ..Outcome::default()
        });
        assert!((Metric::Pearson.value(&two) + 0.1).abs() < 1e-12);
        for metric in [Metric::Accuracy, Metric::Pearson] {
            assert_eq!(metric.value(&[]), 0.0);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (labels, values) in [
            (Labels::Class(2), &[0.0, 1.0][..]),
            (Labels::Set(vec![true]), &[0.0, 1.0]),
            (Labels::Set(Vec::new()), &[]),
            (Labels::Numbers(vec![0.0]), &[0.0, 1.0]),
            (Labels::Numbers(Vec::new()), &[]),
        ] {
            let found = outcome(&labels, values, values.len(), 0, 0.0);
            assert!(matches!(found, Err(Error::Shape { .. })), "{labels:?}");
        }
    }
}
