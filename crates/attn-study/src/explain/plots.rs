//! Plots of an explanation.

use attn_render::plots::{HeatTable, Lines, Series};

use super::{Explanation, Method};

impl Explanation {
    /// The scores of all methods, a row each, divided by the largest of the row. The name of a row holds its check.
    pub fn plot(&self) -> HeatTable {
        let mut values = Vec::new();
        let mut names = Vec::new();
        for attribution in &self.attributions {
            let most = attribution.scores.iter().map(|score| score.abs()).fold(0.0, f64::max);
            let scaled = attribution
                .scores
                .iter()
                .map(|score| if most > 0.0 { (score / most) as f32 } else { 0.0 });
            values.extend(scaled);
            names.push(match attribution.gap {
                Some(gap) => format!("{} (gap {:.1} %)", attribution.method.title(), 100.0 * gap),
                None => attribution.method.title().to_owned(),
            });
        }
        let words: Vec<&str> = self.tokens.iter().map(|token| token.token.text.as_str()).collect();
        HeatTable {
            title: format!("Why {}?", self.question),
            subtitle: format!("{}: value {:.3}", self.name, self.value),
            caption: "Each row is divided by its largest score. Gap: what the scores miss of what they explain.".into(),
            what: "share of the largest".into(),
            range: Some([-1.0, 1.0]),
            diverging: true,
            ..HeatTable::new(names, words, values)
        }
    }

    /// The target as tokens are removed in the order of each method (or put back, for `insertion`), beside random orders. `None`
    /// without curves.
    pub fn removal_plot(&self, insertion: bool) -> Option<Lines> {
        let mut series = Vec::new();
        let mut steps = 0;
        for (class, attribution) in self.attributions.iter().enumerate() {
            let removal = attribution.removal.as_ref()?;
            let (curve, area) = match insertion {
                true => (&removal.insertion, removal.insertion_area()),
                false => (&removal.deletion, removal.deletion_area()),
            };
            steps = steps.max(curve.len());
            series.push(Series {
                name: format!("{} ({})", attribution.method.title(), short(area)),
                values: curve.iter().map(|&value| value as f32).collect(),
                class,
                broken: false,
                ..Series::default()
            });
        }
        let random = self.random.as_ref().filter(|random| !random.orders.is_empty());
        if let Some(random) = random {
            let class = series.len();
            let part = |which: usize| -> Vec<f32> {
                let value = |tokens| random.band(insertion, tokens).map_or(0.0, |band| band[which] as f32);
                (0..steps).map(value).collect()
            };
            let area = random.areas()[usize::from(insertion)];
            let line = |name: String, which, broken| Series {
                name,
                values: part(which).into(),
                class,
                broken,
                ..Series::default()
            };
            series.push(line(format!("random, mean ({})", short(area)), 1, false));
            series.push(line("random, least and most".into(), 0, true));
            series.push(line("random, least and most".into(), 2, true));
        }
        Some(Lines {
            title: match insertion {
                true => "Insertion: tokens are put back".into(),
                false => "Deletion: tokens are removed".into(),
            },
            subtitle: format!("{}: {}", self.name, self.question),
            caption: "The largest scores first. In brackets: mean over the curve.".into(),
            across: if insertion {
                "tokens put back".into()
            } else {
                "tokens removed".into()
            },
            up: "value of the target".into(),
            at: (0..steps).map(|step| step as f32).collect(),
            series,
            ..Lines::default()
        })
    }

    /// Whether methods agree: Spearman's coefficient of the sizes of scores over ordinary tokens, as a table.
    pub fn agreement_plot(&self) -> HeatTable {
        let methods: Vec<Method> = self.attributions.iter().map(|attribution| attribution.method).collect();
        let pairs = methods.iter().flat_map(|&a| methods.iter().map(move |&b| (a, b)));
        let values: Vec<f32> = pairs
            .map(|(a, b)| {
                if a == b {
                    1.0
                } else {
                    self.agreement(a, b).unwrap_or(0.0) as f32
                }
            })
            .collect();
        let names: Vec<&str> = methods.iter().map(|method| method.title()).collect();
        HeatTable {
            title: "Agreement of methods".into(),
            subtitle: self.name.clone(),
            caption: "Spearman's coefficient of the sizes of scores, over ordinary tokens.".into(),
            what: "Spearman".into(),
            range: Some([-1.0, 1.0]),
            diverging: true,
            ..HeatTable::new(names.clone(), names, values)
        }
    }
}

/// Hundredths with the sign of print.
fn short(value: f64) -> String {
    format!("{value:.2}").replace('-', "−")
}
