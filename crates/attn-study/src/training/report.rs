//! The report about a training: in numbers as JSON, in words as Markdown.

use std::fmt::Write as _;

use attn_analyze::training::{DynamicsParams, FlipKind, McNemar, Moment, NoisePrecision, NoiseScore, Region, Task};
use serde::Serialize;

use super::{Training, plots::PAIRS};

/// Examples listed per region and kind of flip.
const LISTED: usize = 10;

/// What a training did, in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainingReport {
    /// The run's name.
    pub name: String,
    /// The task; `None` without predictions.
    pub task: Option<Task>,
    /// Number of examples.
    pub examples: usize,
    /// Number of predictions.
    pub predictions: usize,
    /// Moments with predictions.
    pub moments: Vec<Moment>,
    /// Names of the checkpoints.
    pub checkpoints: Vec<String>,
    /// What the dynamics count.
    pub params: DynamicsParams,
    /// Examples that were never answered rightly.
    pub never_learned: usize,
    /// Examples with at least one forgetting event.
    pub forgotten: usize,
    /// Means of the statistics over examples, by name.
    pub means: Vec<(&'static str, f64)>,
    /// The regions of the data map.
    pub regions: Vec<RegionReport>,
    /// How well each score finds planted examples.
    pub noise: Vec<NoiseReport>,
    /// Flips from each moment to the next, and from the first to the last.
    pub flips: Vec<FlipReport>,
    /// What could not be read or drawn.
    pub notes: Vec<String>,
}

/// A region of the data map.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegionReport {
    /// Which.
    pub region: Region,
    /// Number of its examples.
    pub examples: usize,
    /// Means of confidence, variability and correctness.
    pub confidence: f64,
    /// See `confidence`.
    pub variability: f64,
    /// See `confidence`.
    pub correctness: f64,
    /// Its first examples, from its end: id, gold answer, text.
    pub first: Vec<[String; 3]>,
}

/// How well a score finds planted examples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NoiseReport {
    /// The score.
    pub score: NoiseScore,
    /// Precision, if anything was planted.
    pub precision: Option<NoisePrecision>,
    /// The most suspicious examples: id, gold answer, last answer, text.
    pub first: Vec<[String; 4]>,
}

/// What changed between two moments.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FlipReport {
    /// From.
    pub from: Moment,
    /// To.
    pub to: Moment,
    /// Examples compared.
    pub compared: usize,
    /// Share of right answers before and after.
    pub accuracy: [f64; 2],
    /// Counts and p-value.
    pub test: McNemar,
    /// The lost examples, largest change first: id, gold, before, after, text.
    pub lost: Vec<[String; 5]>,
}

impl Training {
    /// Everything that the plots show, in numbers.
    pub fn report(&self) -> TrainingReport {
        let (log, dynamics) = (self.log(), self.dynamics());
        let mean = |examples: &[usize], of: &dyn Fn(&attn_analyze::training::ExampleDynamics) -> f32| {
            let values: Vec<f64> = examples
                .iter()
                .map(|&example| f64::from(of(&dynamics[example])))
                .filter(|value| !value.is_nan())
                .collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        let all: Vec<usize> = (0..dynamics.len()).collect();
        let text = |example: usize| log.examples()[example].text.as_deref().unwrap_or_default().to_owned();
        let id = |example: usize| log.examples()[example].id.to_string();
        let regions = Region::ALL.into_iter().filter_map(|region| {
            let examples = region.examples(dynamics, all.iter().copied(), Region::SHARE);
            (!examples.is_empty()).then(|| RegionReport {
                region,
                examples: examples.len(),
                confidence: mean(&examples, &|of| of.confidence),
                variability: mean(&examples, &|of| of.variability),
                correctness: mean(&examples, &|of| of.correctness),
                first: examples
                    .iter()
                    .take(LISTED)
                    .map(|&example| [id(example), log.gold(example), text(example)])
                    .collect(),
            })
        });
        let noise = NoiseScore::ALL.into_iter().filter_map(|score| {
            let list = self.noise(score);
            let first = list.suspects.iter().take(LISTED).map(|suspect| {
                let last = log
                    .outcomes(suspect.example)
                    .last()
                    .and_then(|(_, outcome)| log.answer(outcome));
                [
                    id(suspect.example),
                    log.gold(suspect.example),
                    last.unwrap_or_default(),
                    text(suspect.example),
                ]
            });
            (!list.suspects.is_empty()).then(|| NoiseReport {
                score,
                precision: list.precision,
                first: first.collect(),
            })
        });
        let moments = log.moments().len();
        // Of a log by steps the first and the last alone: a report of a thousand flips helps nobody.
        let steps = if moments <= PAIRS { 1..moments } else { 1..1 };
        let mut pairs: Vec<(usize, usize)> = steps.map(|after| (after - 1, after)).collect();
        if moments > 2 {
            pairs.push((0, moments - 1));
        }
        let flips = pairs.into_iter().filter_map(|(before, after)| {
            let flips = self.flips(before, after).ok().filter(|flips| flips.compared > 0)?;
            let lost = self.flips_of(&flips, FlipKind::Lost).take(LISTED).map(|(flip, text)| {
                let [before, after] = flip.answers.clone();
                [id(flip.example), log.gold(flip.example), before, after, text.to_owned()]
            });
            Some(FlipReport {
                from: flips.moments[0],
                to: flips.moments[1],
                compared: flips.compared,
                accuracy: flips.accuracy(),
                test: flips.test,
                lost: lost.collect(),
            })
        });
        TrainingReport {
            name: log.name().to_owned(),
            task: log.task(),
            examples: log.examples().len(),
            predictions: log.predictions(),
            moments: log.moments().to_vec(),
            checkpoints: self
                .checkpoints()
                .iter()
                .map(|checkpoint| checkpoint.name.clone())
                .collect(),
            params: self.params().clone(),
            never_learned: dynamics
                .iter()
                .filter(|of| !of.correctness.is_nan() && !of.learned)
                .count(),
            forgotten: dynamics.iter().filter(|of| of.forgetting > 0.0).count(),
            means: super::columns::NUMBERS
                .map(|(name, of)| (name, mean(&all, &of)))
                .into_iter()
                .filter(|(_, mean)| !mean.is_nan())
                .collect(),
            regions: regions.collect(),
            noise: noise.collect(),
            flips: flips.collect(),
            notes: self.notes(),
        }
    }
}

impl TrainingReport {
    /// The report as Markdown.
    pub fn markdown(&self) -> String {
        let mut page = String::new();
        let name = if self.name.is_empty() { "A training" } else { &self.name };
        let _ = writeln!(page, "# Training report: {}\n", cell(name));
        let task = self.task.map_or("no predictions".into(), |task| format!("task {task}"));
        let _ = writeln!(
            page,
            "{} examples, {} predictions at {} moments, {} checkpoints, {task}.\n",
            self.examples,
            self.predictions,
            self.moments.len(),
            self.checkpoints.len()
        );
        self.dynamics(&mut page);
        self.noise_list(&mut page);
        self.flip_list(&mut page);
        if !self.notes.is_empty() {
            let _ = writeln!(page, "## Notes\n");
            for note in &self.notes {
                let _ = writeln!(page, "- {}", cell(note));
            }
        }
        page
    }

    fn dynamics(&self, page: &mut String) {
        if self.means.is_empty() {
            return;
        }
        let _ = writeln!(page, "## Dynamics\n\n| statistic | mean over examples |\n|---|---|");
        for (name, mean) in &self.means {
            let _ = writeln!(page, "| {name} | {mean:.4} |");
        }
        let _ = writeln!(
            page,
            "\n{} examples were never learned; {} were forgotten at least once.\n",
            self.never_learned, self.forgotten
        );
        for region in &self.regions {
            let _ = writeln!(
                page,
                "### Region: {}\n\n{} examples; mean confidence {:.3}, variability {:.3}, correctness {:.3}.\n\n| id | gold | text |\n|---|---|---|",
                region.region.name(),
                region.examples,
                region.confidence,
                region.variability,
                region.correctness
            );
            rows(page, &region.first);
        }
    }

    fn noise_list(&self, page: &mut String) {
        let Some(best) = self.noise.first() else { return };
        let _ = writeln!(page, "## Label noise\n");
        if self.noise.iter().any(|noise| noise.precision.is_some()) {
            let _ = writeln!(
                page,
                "| score | planted | ranked | precision | average precision | AUC |\n|---|---|---|---|---|---|"
            );
            for noise in &self.noise {
                let Some(found) = noise.precision else { continue };
                let _ = writeln!(
                    page,
                    "| {} | {} | {} | {:.3} | {:.3} | {:.3} |",
                    noise.score.name(),
                    found.planted,
                    found.ranked,
                    found.precision,
                    found.average,
                    found.auc
                );
            }
            let _ = writeln!(
                page,
                "\nPrecision: share of planted examples among as many first ones as were planted.\n"
            );
        }
        let _ = writeln!(
            page,
            "The most suspicious by {}:\n\n| id | gold | answer | text |\n|---|---|---|---|",
            best.score.name()
        );
        rows(page, &best.first);
    }

    fn flip_list(&self, page: &mut String) {
        if self.flips.is_empty() {
            return;
        }
        let _ = writeln!(
            page,
            "## Flips\n\n| from | to | right before | right after | right → wrong | wrong → right | p (McNemar) |\n|---|---|---|---|---|---|---|"
        );
        for flip in &self.flips {
            let _ = writeln!(
                page,
                "| {} | {} | {:.4} | {:.4} | {} | {} | {:.2e} |",
                flip.from, flip.to, flip.accuracy[0], flip.accuracy[1], flip.test.lost, flip.test.gained, flip.test.p
            );
        }
        page.push('\n');
        for flip in self.flips.iter().filter(|flip| !flip.lost.is_empty()) {
            let _ = writeln!(
                page,
                "### Right at {}, wrong at {}\n\n| id | gold | before | after | text |\n|---|---|---|---|---|",
                flip.from, flip.to
            );
            rows(page, &flip.lost);
        }
    }
}

fn rows<const N: usize>(page: &mut String, rows: &[[String; N]]) {
    for row in rows {
        page.push('|');
        for text in row {
            let _ = write!(page, " {} |", cell(text));
        }
        page.push('\n');
    }
    page.push('\n');
}

/// A text that is one cell of a table.
fn cell(text: &str) -> String {
    let short: String = text.chars().take(200).collect();
    short.replace(['\n', '\r'], " ").replace('|', "\\|")
}
