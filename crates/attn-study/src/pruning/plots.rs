//! Plots of importance and pruning.

use std::collections::BTreeMap;

use attn_analyze::heads::HeadLabel;
use attn_core::HeadId;
use attn_render::plots::{HeadCells, HeadGrid, HeadPattern, HeatTable, Lines, Series};

use super::{Curve, Importance, Metric, RandomCurves, Score, Smallest};

impl Importance {
    /// A score of every head; `None` for one that could not be had.
    pub fn grid(&self, score: Score) -> Option<HeadGrid> {
        let values: Vec<f32> = self.score(score)?.iter().map(|&value| value as f32).collect();
        let measured = matches!(score, Score::AblationZero | Score::AblationMean);
        let (caption, what) = match score {
            Score::Taylor => (
                "Sum over the head's weights of (gradient x weight)², of the mean loss.",
                "importance",
            ),
            Score::Michel => (
                "Mean over examples of the absolute gradient of the head's mask.",
                "importance",
            ),
            Score::MichelLayer => (
                "Mean over examples of the absolute gradient of the head's mask, each layer divided by its length.",
                "importance",
            ),
            Score::AblationZero => (
                "Increase of the mean loss with zeros for the output of the head.",
                self.whole.kind.loss(),
            ),
            Score::AblationMean => (
                "Increase of the mean loss with its mean for the output of the head.",
                self.whole.kind.loss(),
            ),
        };
        Some(HeadGrid {
            title: format!("Importance of heads: {}", score.title()),
            subtitle: self.subtitle(),
            caption: caption.into(),
            what: what.into(),
            diverging: measured && values.iter().any(|&value| value < 0.0),
            ..HeadGrid::new(self.heads.clone(), HeadCells::Values(values.into()))
        })
    }

    /// The importance of heads to one example: the increase of its loss without each head (zeros). `None` if there is no such
    /// example.
    pub fn example_grid(&self, example: usize, name: &str) -> Option<HeadGrid> {
        let (_, increase) = self.of_example(example)?;
        let values: Vec<f32> = increase.into_iter().map(|value| value as f32).collect();
        Some(HeadGrid {
            title: format!("Heads that {name} needs"),
            subtitle: format!("loss {:.3} with all heads", self.whole.examples.get(example)?.loss),
            caption: "Increase of the loss of this example with zeros for the output of the head.".into(),
            what: self.whole.kind.loss().into(),
            diverging: values.iter().any(|&value| value < 0.0),
            ..HeadGrid::new(self.heads.clone(), HeadCells::Values(values.into()))
        })
    }

    /// How alike the scores order the heads, as a table; the diagonal is each score between halves of the set.
    pub fn correlation_plot(&self) -> HeatTable {
        let scores: Vec<Score> = self.scores.keys().copied().collect();
        let values: Vec<f32> = scores
            .iter()
            .flat_map(|&a| scores.iter().map(move |&b| (a, b)))
            .map(|(a, b)| match a == b {
                true => self.stability.get(&a).copied().unwrap_or(1.0),
                false => self.correlation(a, b).unwrap_or(0.0),
            } as f32)
            .collect();
        let names = |scores: &[Score]| {
            scores
                .iter()
                .map(|score| score.name().replace('_', " "))
                .collect::<Vec<_>>()
        };
        HeatTable {
            title: "Rank correlation of scores".into(),
            subtitle: self.subtitle(),
            caption: "Spearman's coefficient over all heads. Diagonal: the same score on halves of the examples."
                .into(),
            what: "Spearman".into(),
            range: Some([-1.0, 1.0]),
            diverging: true,
            ..HeatTable::new(names(&scores), names(&scores), values)
        }
    }

    fn subtitle(&self) -> String {
        let Self { whole, .. } = self;
        format!(
            "{} examples; {}, loss {:.3} with all heads",
            whole.examples.len(),
            whole.text(),
            whole.loss
        )
    }
}

/// The mean attention of every head, as cells of a grid, with its role where it has one.
pub fn pattern_grid(patterns: &[(HeadId, HeadPattern)], roles: &BTreeMap<HeadId, HeadLabel>) -> HeadGrid {
    let role = |head: &HeadId| {
        roles
            .get(head)
            .map_or_else(String::new, |role| role.name().into_owned())
    };
    HeadGrid {
        words: match roles.is_empty() {
            true => Vec::new(),
            false => patterns.iter().map(|(head, _)| role(head)).collect(),
        },
        title: "Mean attention of heads".into(),
        caption: "Rows of a cell: positions of queries, from the top. Columns: positions of keys. Padding counts on neither side."
            .into(),
        what: "mean attention".into(),
        ..HeadGrid::new(
            patterns.iter().map(|(head, _)| *head).collect(),
            HeadCells::Patterns(patterns.iter().map(|(_, pattern)| pattern.clone()).collect()),
        )
    }
}

/// The name of an order for readers: that of its score, if it has one.
fn title(order: &str) -> String {
    let score = Score::ALL.into_iter().find(|score| score.name() == order);
    score.map_or_else(|| order.to_owned(), |score| score.title().to_owned())
}

/// A name at the start of a sentence.
pub(crate) fn capitalized(name: &str) -> String {
    let mut signs = name.chars();
    let first = signs.next().map(|first| first.to_uppercase().chain(signs).collect());
    first.unwrap_or_default()
}

/// Curves of the metric as heads go, with the band of random orders.
pub fn pruning_plot(curves: &[Curve], random: Option<&RandomCurves>, smallest: Option<&Smallest>) -> Lines {
    let most = curves.iter().map(|curve| curve.steps.len()).max().unwrap_or(0);
    let random = random.filter(|random| !random.curves.is_empty());
    let most = random.map_or(most, |random| most.max(random.curves[0].steps.len()));
    let at: Vec<f32> = (0..most).map(|removed| removed as f32).collect();
    let full = curves.iter().filter(|curve| curve.steps.len() == most);
    let mut series: Vec<Series> = full
        .enumerate()
        .map(|(class, curve)| Series {
            name: title(&curve.name),
            values: curve.steps.iter().map(|step| step.metric as f32).collect(),
            class,
            broken: false,
            ..Series::default()
        })
        .collect();
    if let Some(random) = random {
        let class = series.len();
        let part = |which: usize| {
            let value = |removed| random.band(removed).map_or(0.0, |band| band[which] as f32);
            (0..most).map(value).collect::<Vec<f32>>()
        };
        let line = |name: &str, which, broken| Series {
            name: name.into(),
            values: part(which).into(),
            class,
            broken,
            ..Series::default()
        };
        series.push(line("random orders, mean", 1, false));
        series.push(line("random orders, least and most", 0, true));
        series.push(line("random orders, least and most", 2, true));
    }
    let caption = smallest.map(|found| {
        let all = found.kept.len() + found.removed.len();
        format!(
            "{} of {all} heads keep {} {}, of {} with all.",
            found.kept.len(),
            found.kind.name(),
            found.kind.text(found.metric),
            found.kind.text(found.whole)
        )
    });
    let kind = curves.first().map_or_else(Metric::default, |curve| curve.kind);
    Lines {
        title: format!("{} as heads are removed", capitalized(kind.name())),
        caption: caption.unwrap_or_default(),
        across: "heads removed".into(),
        up: kind.name().into(),
        at: at.into(),
        series,
        ..Lines::default()
    }
}
