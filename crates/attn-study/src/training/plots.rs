//! Plots of a training.

use std::collections::BTreeMap;

use attn_analyze::training::{FlipKind, Flips, NoiseScore};
use attn_render::plots::{ColorBy, Coordinates, DataMap, HeatTable, Histogram, Lines, Scatter, Series, Texts};

use super::Training;
use crate::Error;

/// Moments beyond which a table of all pairs is too large to read.
pub(super) const PAIRS: usize = 40;

/// What a data map shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MapParams {
    /// The column that gives the colors; `None` is correctness.
    pub color: Option<String>,
    /// Whether confidence intervals are drawn. Default no.
    pub intervals: bool,
    /// Examples to draw; `None` is all. Those without dynamics are left out.
    pub examples: Option<Vec<usize>>,
}

impl Training {
    /// The data map, and the examples that its points are: ids of the plot count these.
    ///
    /// # Errors
    /// [`Error::NotLogged`] without predictions that tell a probability; those of [`color`](Self::color).
    pub fn data_map(&self, options: &MapParams) -> Result<(DataMap, Vec<usize>), Error> {
        let there = |example: &usize| {
            let dynamics = self.dynamics.get(*example);
            dynamics.is_some_and(|found| found.confidence.is_finite() && found.variability.is_finite())
        };
        let all = 0..self.dynamics.len();
        let examples: Vec<usize> = match &options.examples {
            Some(examples) => examples.iter().copied().filter(there).collect(),
            None => all.filter(there).collect(),
        };
        if examples.is_empty() {
            return Err(Error::NotLogged {
                plot: "data map",
                missing: "prediction of these examples with a probability of the gold answer",
            });
        }
        let column = |value: fn(&attn_analyze::training::ExampleDynamics) -> f32| -> Vec<f32> {
            examples.iter().map(|&example| value(&self.dynamics[example])).collect()
        };
        let correctness = column(|of| of.correctness);
        // Without correctness there is nothing to color by but what was asked for.
        let told = correctness.iter().all(|value| value.is_finite());
        let mut map = DataMap::new(
            column(|of| of.confidence),
            column(|of| of.variability),
            correctness
                .iter()
                .map(|value| if value.is_nan() { 0.0 } else { *value })
                .collect::<Vec<f32>>(),
        );
        map.title = self.title("Data map");
        map.subtitle = self.counted_moments();
        let mut color = options.color.clone();
        if !told {
            color.get_or_insert_with(|| "confidence".into());
        }
        if let Some(color) = color.filter(|color| color != "correctness" || !told) {
            let (values, by) = self.color(&color, &examples)?;
            map.values = Some(values.into());
            map.color_by = Some(by);
            map.caption = format!(
                "Each point is an example. Top left: easy to learn; bottom left: hard, perhaps mislabeled; right: ambiguous. Color: {color}."
            );
        }
        if options.intervals {
            map.intervals = Some(column(|of| of.interval).into());
            let level = 100.0 * self.params.level;
            map.caption
                .push_str(&format!(" Bars: {level:.0} % confidence intervals over moments."));
        }
        map.labels = self.labels(&examples);
        Ok((map, examples))
    }

    /// The text of each example, or its id where it has none.
    pub fn labels(&self, examples: &[usize]) -> Texts {
        let label = |example: &usize| {
            let found = self.log.examples().get(*example);
            found.map_or_else(
                || "".into(),
                |found| found.text.clone().unwrap_or_else(|| found.id.clone()),
            )
        };
        examples.iter().map(label).collect()
    }

    /// Margins at a moment, by its number, or their mean over moments (AUM) for `None`.
    ///
    /// # Errors
    /// [`Error::NotLogged`] if no example has a margin.
    pub fn margins(&self, moment: Option<usize>) -> Result<Histogram, Error> {
        let margin = |example: usize| match moment {
            Some(moment) => self
                .log
                .outcome(example, moment)
                .map_or(f32::NAN, |outcome| outcome.margin),
            None => self.dynamics[example].aum,
        };
        let values: Vec<f32> = (0..self.dynamics.len())
            .map(margin)
            .filter(|margin| margin.is_finite())
            .collect();
        if values.is_empty() {
            return Err(Error::NotLogged {
                plot: "margins",
                missing: "scores of classes",
            });
        }
        let when = moment.and_then(|moment| self.log.moments().get(moment));
        let wrong = values.iter().filter(|margin| **margin < 0.0).count();
        Ok(Histogram {
            title: self.title(&when.map_or("Area under the margin".to_owned(), |when| format!("Margins, {when}"))),
            subtitle: format!("{} examples, {wrong} below 0", values.len()),
            across: "gold logit minus largest other logit".into(),
            caption: "Below 0 another answer is preferred: these labels are hard to fit, or wrong.".into(),
            ..Histogram::new(values)
        })
    }

    /// Share of right answers and mean loss at each moment, by split: the first chart, and the second. A split without predictions at
    /// some moment is left out.
    ///
    /// # Errors
    /// [`Error::NotLogged`] with fewer than two moments.
    pub fn curves(&self) -> Result<[Option<Lines>; 2], Error> {
        let moments = self.log.moments();
        if moments.len() < 2 {
            return Err(Error::NotLogged {
                plot: "curves",
                missing: "second epoch or step",
            });
        }
        // Per split and moment: right, told, sum of losses, count.
        let mut sums: BTreeMap<&str, Vec<[f64; 4]>> = BTreeMap::new();
        for (number, example) in self.log.examples().iter().enumerate() {
            let split = example.split.as_deref().unwrap_or("all");
            let of = sums.entry(split).or_insert_with(|| vec![[0.0; 4]; moments.len()]);
            for (moment, outcome) in self.log.outcomes(number) {
                if let (_, Some(right)) = self.judge(outcome) {
                    of[moment][0] += f64::from(u8::from(right));
                    of[moment][1] += 1.0;
                }
                if outcome.loss.is_finite() {
                    of[moment][2] += f64::from(outcome.loss);
                    of[moment][3] += 1.0;
                }
            }
        }
        let by_epoch = moments.iter().all(|moment| moment.epoch.is_some());
        let place = |moment: &attn_analyze::training::Moment| match by_epoch {
            true => moment.place() as f32,
            false => moment.step.unwrap_or(0) as f32,
        };
        let at: Vec<f32> = moments.iter().map(place).collect();
        let chart = |name: &str, up: &str, part: usize, range| {
            let whole = sums.iter().filter(|(_, of)| of.iter().all(|of| of[part + 1] > 0.0));
            let series: Vec<Series> = whole
                .zip(0..)
                .map(|((split, of), class)| Series {
                    name: (*split).to_owned(),
                    values: of
                        .iter()
                        .map(|of| (of[part] / of[part + 1]) as f32)
                        .collect::<Vec<f32>>()
                        .into(),
                    class,
                    broken: false,
                    ..Series::default()
                })
                .collect();
            (!series.is_empty() && at.windows(2).all(|pair| pair[0] < pair[1])).then(|| Lines {
                title: self.title(name),
                across: if by_epoch { "epoch" } else { "step" }.into(),
                up: up.into(),
                at: at.clone().into(),
                series,
                range,
                ..Lines::default()
            })
        };
        Ok([
            chart("Right answers", "share of right answers", 0, Some([0.0, 1.0])),
            chart("Loss", "mean loss", 2, None),
        ])
    }

    /// What the trainer logged, a chart per value.
    pub fn trainer_curves(&self) -> Vec<(String, Lines)> {
        let mut values: BTreeMap<&str, BTreeMap<u64, f64>> = BTreeMap::new();
        for entry in self.trainer.iter().flat_map(|trainer| &trainer.history) {
            for (name, value) in &entry.values {
                values.entry(name).or_default().insert(entry.step, *value);
            }
        }
        let chart = |(name, values): (&str, BTreeMap<u64, f64>)| {
            let lines = Lines {
                title: self.title(name),
                across: "step".into(),
                up: name.into(),
                at: values.keys().map(|step| *step as f32).collect::<Vec<f32>>().into(),
                series: vec![Series {
                    name: name.into(),
                    values: values.values().map(|value| *value as f32).collect::<Vec<f32>>().into(),
                    class: 0,
                    broken: false,
                    ..Series::default()
                }],
                ..Lines::default()
            };
            (name.to_owned(), lines)
        };
        values
            .into_iter()
            .filter(|(_, values)| values.len() > 1)
            .map(chart)
            .collect()
    }

    /// Probability of the gold answer before and after, a point per example whose answer changed; ids count the [flips](Flips::flips).
    ///
    /// # Errors
    /// [`Error::NotLogged`] without flips or without probabilities.
    pub fn flips_plot(&self, flips: &Flips) -> Result<Scatter, Error> {
        let missing = Error::NotLogged {
            plot: "flips",
            missing: "answer that changed between these moments, with its probability",
        };
        if flips.flips.is_empty()
            || flips
                .flips
                .iter()
                .any(|flip| flip.gold.iter().any(|gold| !gold.is_finite()))
        {
            return Err(missing);
        }
        let places: Vec<f32> = flips.flips.iter().flat_map(|flip| flip.gold).collect();
        let examples: Vec<usize> = flips.flips.iter().map(|flip| flip.example).collect();
        let kinds = ["right, then wrong", "wrong, then right", "wrong, another answer"];
        let kind = |flip: &attn_analyze::training::Flip| match flip.kind {
            FlipKind::Lost => 0.0,
            FlipKind::Gained => 1.0,
            FlipKind::Changed => 2.0,
        };
        let [before, after] = flips.moments;
        Ok(Scatter {
            title: self.title(&format!("Flips from {before} to {after}")),
            subtitle: flips.describe(),
            caption:
                "Each point is an example whose answer changed. Below the diagonal the gold answer lost probability."
                    .into(),
            axes: Some([
                format!("probability of the gold answer, {before}"),
                format!("probability of the gold answer, {after}"),
            ]),
            labels: self.labels(&examples),
            values: Some(flips.flips.iter().map(kind).collect::<Vec<f32>>().into()),
            color_by: Some(ColorBy::classes("flip", kinds)),
            ..Scatter::new(Coordinates::new(places, 2)?)
        })
    }

    /// Number of examples that are right at the moment of the row and wrong at that of the column.
    ///
    /// # Errors
    /// [`Error::NotLogged`] with fewer than two moments, or more than 40.
    pub fn flip_table(&self) -> Result<HeatTable, Error> {
        let moments = self.log.moments();
        if !(2..=PAIRS).contains(&moments.len()) {
            return Err(Error::NotLogged {
                plot: "table of flips",
                missing: "2 to 40 moments",
            });
        }
        let count = moments.len();
        let mut lost = vec![0.0_f32; count * count];
        for example in 0..self.log.examples().len() {
            let judged: Vec<(usize, bool)> = self
                .log
                .outcomes(example)
                .filter_map(|(moment, outcome)| Some((moment, self.judge(outcome).1?)))
                .collect();
            for (before, _) in judged.iter().filter(|(_, right)| *right) {
                for (after, _) in judged.iter().filter(|(_, right)| !*right) {
                    lost[before * count + after] += 1.0;
                }
            }
        }
        let names: Vec<String> = moments.iter().map(ToString::to_string).collect();
        Ok(HeatTable {
            title: self.title("Flips between all moments"),
            what: "examples".into(),
            caption: "Examples that are right at the moment of the row and wrong at that of the column. Above the diagonal: lost later. \
                      Below: learned later."
                .into(),
            ..HeatTable::new(names.as_slice(), names.as_slice(), lost)
        })
    }

    /// Precision of the noise list down to each rank, for every score, beside that of a random list.
    ///
    /// # Errors
    /// [`Error::NotLogged`] if nothing was planted.
    pub fn noise_curves(&self) -> Result<Lines, Error> {
        let missing = Error::NotLogged {
            plot: "precision of the noise list",
            missing: "planted examples (attribute `mislabelled`)",
        };
        let mut series = Vec::new();
        let (mut ranks, mut base) = (0, 0.0);
        for (class, score) in NoiseScore::ALL.into_iter().enumerate() {
            let list = self.noise(score);
            let Some(found) = list.precision else { continue };
            ranks = (3 * found.planted).min(found.ranked);
            base = found.planted as f32 / found.ranked as f32;
            let mut hits = 0.0_f32;
            let down_to = list.suspects.iter().take(ranks).zip(1_u32..).map(|(suspect, rank)| {
                hits += f32::from(u8::from(suspect.planted.is_some()));
                hits / rank as f32
            });
            series.push(Series {
                name: score.name().into(),
                values: down_to.collect::<Vec<f32>>().into(),
                class,
                broken: false,
                ..Series::default()
            });
        }
        series.retain(|series| series.values.len() == ranks);
        if series.is_empty() {
            return Err(missing);
        }
        series.push(Series {
            name: "random list".into(),
            values: vec![base; ranks].into(),
            class: 7,
            broken: true,
            ..Series::default()
        });
        Ok(Lines {
            title: self.title("Planted examples among the most suspicious"),
            across: "rank in the list".into(),
            up: "share of planted examples down to this rank".into(),
            at: (1..=ranks).map(|rank| rank as f32).collect::<Vec<f32>>().into(),
            series,
            range: Some([0.0, 1.0]),
            ..Lines::default()
        })
    }

    /// The name of a plot with that of the run.
    pub(super) fn title(&self, plot: &str) -> String {
        match self.log.name() {
            "" => plot.to_owned(),
            name => format!("{plot}: {name}"),
        }
    }

    fn counted_moments(&self) -> String {
        let counted = self.counted();
        match (counted.first(), counted.last()) {
            (Some(first), Some(last)) if counted.len() > 1 => format!("{} moments, {first} to {last}", counted.len()),
            (Some(only), _) => format!("{only} alone: variability needs more moments"),
            _ => String::new(),
        }
    }
}
