//! All of it for one model: scores, curves, the smallest set, with their plots, tables and words.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use attn_analyze::heads::HeadLabel;
use attn_core::{HeadId, ModelInfo, Progress, table::Table};
use attn_models::Capturer;
use attn_render::{
    Plot,
    plots::{HeadGrid, HeadPattern},
};
use serde_json::{Value, json};

use super::{
    Curve, Evaluation, Importance, LabeledSet, PruningParams, RandomCurves, Score, Smallest, evaluate,
    evaluator::Evaluator, importance, mean_patterns, pattern_grid, pruning_plot, pruning_table,
};
use crate::{
    Error,
    summary::{SummaryParams, first_labels},
};

/// Positions of the patterns in the cells of a grid.
const POSITIONS: usize = 24;

/// Which heads a model needs, by every way.
#[derive(Debug, Clone)]
pub struct HeadStudy {
    /// The model's facts.
    pub model: ModelInfo,
    /// The scores.
    pub importance: Importance,
    /// The metric along the order of each score, least important first, and along the greedy order.
    pub curves: Vec<Curve>,
    /// The same of random orders.
    pub random: RandomCurves,
    /// The fewest heads that keep the metric.
    pub smallest: Option<Smallest>,
    /// On examples that had no part in the choice: the whole model, and the smallest set.
    pub held_out: Option<[Evaluation; 2]>,
    /// The mean attention of each head.
    pub patterns: Vec<(HeadId, HeadPattern)>,
    /// The first role of each head that has one.
    pub roles: BTreeMap<HeadId, HeadLabel>,
    /// Share of the metric that the smallest set keeps.
    pub keep: f64,
}

impl HeadStudy {
    /// Scores, prunes and searches over `set`; `held_out` are other examples, on which the smallest set is tried.
    ///
    /// # Errors
    /// Those of [`importance`](fn@super::importance), of the curves and of the search; cancellation.
    pub fn run(
        capturer: &Capturer,
        set: &LabeledSet,
        held_out: Option<&LabeledSet>,
        params: &PruningParams,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let importance = importance(capturer, set, params, progress)?;
        // What was measured once is not measured again.
        let mut evaluator = Evaluator::new(capturer, set, params);
        let single = &importance.measured[0];
        evaluator.learn(&BTreeSet::new(), single);
        let mut curves = Vec::new();
        let order = evaluator.greedy(Some(single), progress)?;
        curves.push(evaluator.curve("greedy", &order, (progress, "pruning curve"))?);
        for score in Score::ALL {
            if let Some(order) = importance.order(score) {
                curves.push(evaluator.curve(score.name(), &order, (progress, "pruning curve"))?);
            }
        }
        let random = evaluator.random(progress)?;
        let smallest = Smallest::search(&mut evaluator, &curves, progress)?;
        let held_out = match (held_out, &smallest) {
            (Some(others), Some(found)) => {
                let evaluate =
                    |off: &[HeadId]| evaluate(capturer, others, &off.iter().copied().collect(), params, progress);
                Some([evaluate(&[])?, evaluate(&found.removed)?])
            }
            _ => None,
        };
        Ok(Self {
            model: capturer.model().info().clone(),
            patterns: mean_patterns(capturer, set, POSITIONS, params, progress)?,
            roles: roles(capturer, set, params.seed, progress)?,
            importance,
            curves,
            random,
            smallest,
            held_out,
            keep: params.keep,
        })
    }

    /// The plots, by the names of their files.
    pub fn plots(&self) -> Vec<(String, Box<dyn Plot>)> {
        let mut plots: Vec<(String, Box<dyn Plot>)> = Vec::new();
        for score in Score::ALL {
            if let Some(grid) = self.importance.grid(score) {
                plots.push((format!("heads-{}", score.name().replace('_', "-")), Box::new(grid)));
            }
        }
        if self.importance.scores.len() > 1 {
            plots.push(("heads-correlation".into(), Box::new(self.importance.correlation_plot())));
        }
        if !self.patterns.is_empty() {
            plots.push(("heads-attention".into(), Box::new(self.pattern_plot())));
        }
        plots.push(("pruning".into(), Box::new(self.pruning_plot())));
        plots
    }

    /// The mean attention and the role of each head.
    pub fn pattern_plot(&self) -> HeadGrid {
        pattern_grid(&self.patterns, &self.roles)
    }

    /// The metric as heads go.
    pub fn pruning_plot(&self) -> attn_render::plots::Lines {
        pruning_plot(&self.curves, Some(&self.random), self.smallest.as_ref())
    }

    /// The tables, by the names of their files: `heads.csv`, `scores.csv`, `pruning.csv`.
    pub fn tables(&self) -> Vec<(String, Table)> {
        vec![
            ("heads.csv".into(), self.importance.table()),
            ("scores.csv".into(), self.importance.correlation_table()),
            (
                "pruning.csv".into(),
                pruning_table(self.curves.iter().chain(&self.random.curves)),
            ),
        ]
    }

    /// A section of the report, in Markdown.
    pub fn markdown(&self) -> String {
        let mut page = String::from("## Heads\n\n");
        let Importance { whole, heads, .. } = &self.importance;
        let name = |head: HeadId| self.model.head_name(head);
        let _ = writeln!(
            page,
            "{} examples; {}, {} {:.3} with all {} heads.\n",
            whole.examples.len(),
            whole.text(),
            whole.kind.loss(),
            whole.loss,
            heads.len()
        );
        let _ = writeln!(
            page,
            "| head | taylor | michel | michel, by layer | loss without (zero) | loss without (mean) | {} without |\n|---|---|---|---|---|---|---|",
            whole.kind.name()
        );
        let order = self.importance.order(Score::AblationZero).unwrap_or_default();
        for head in order.into_iter().rev() {
            let Some(at) = heads.iter().position(|other| *other == head) else {
                continue;
            };
            let _ = write!(page, "| {} |", name(head));
            for score in Score::ALL {
                let value = self.importance.score(score).and_then(|values| values.get(at));
                let _ = match value {
                    Some(value) if matches!(score, Score::AblationZero | Score::AblationMean) => {
                        write!(page, " {value:+.4} |")
                    }
                    // Squares of small numbers.
                    Some(value) if score == Score::Taylor => write!(page, " {value:.1e} |"),
                    Some(value) => write!(page, " {value:.4} |"),
                    None => write!(page, " |"),
                };
            }
            let metric = self.importance.measured[0]
                .without
                .get(at)
                .map_or(f64::NAN, |without| without.metric);
            let _ = writeln!(page, " {} |", whole.kind.text(metric));
        }
        page.push_str("\nRank correlation of scores (Spearman):\n\n| score | other | |\n|---|---|---|\n");
        for pair in self.importance.correlations() {
            let [a, b] = pair.scores;
            let rho = pair.spearman.map_or_else(|| "-".to_owned(), |rho| format!("{rho:.2}"));
            let _ = writeln!(page, "| {} | {} | {rho} |", a.title(), b.title());
        }
        for (score, rho) in &self.importance.stability {
            let _ = writeln!(page, "| {} | the same on the other half | {rho:.2} |", score.title());
        }
        page.push('\n');
        if let Some(found) = &self.smallest {
            let _ = writeln!(
                page,
                "{} of {} heads keep {:.0} % of the {}: {} with them, {} with all (order: {}). Can go: {}.\n",
                found.kept.len(),
                heads.len(),
                100.0 * self.keep,
                found.kind.name(),
                found.kind.text(found.metric),
                found.kind.text(found.whole),
                found.order,
                found
                    .removed
                    .iter()
                    .map(|&head| name(head))
                    .collect::<Vec<_>>()
                    .join(", ")
            );
        }
        if let Some([whole, pruned]) = &self.held_out {
            let _ = writeln!(
                page,
                "On {} examples that had no part in the choice: {}, of {} with all heads.\n",
                whole.examples.len(),
                pruned.text(),
                whole.kind.text(whole.metric)
            );
        }
        for note in &self.importance.notes {
            let _ = writeln!(page, "- {note}");
        }
        page
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        json!({
            "model": self.model.name,
            "metric": self.importance.whole.kind.name(),
            "value": self.importance.whole.metric,
            "loss": self.importance.whole.loss,
            "examples": self.importance.whole.examples.len(),
            "correlations": self.importance.correlations(),
            "stability": self.importance.stability.iter().map(|(score, rho)| (score.name().to_owned(), json!(rho))).collect::<serde_json::Map<_, _>>(),
            "smallest": self.smallest,
            "held_out": self.held_out.as_ref().map(|both| both.each_ref().map(|one| json!({"value": one.metric, "loss": one.loss, "examples": one.examples.len()}))),
            "notes": self.importance.notes,
        })
    }
}

/// The first role of each head, by where it looks in the sequences of the set; none for images.
fn roles(
    capturer: &Capturer,
    set: &LabeledSet,
    seed: u64,
    progress: &dyn Progress,
) -> Result<BTreeMap<HeadId, HeadLabel>, Error> {
    if capturer.model().vision().is_some() {
        return Ok(BTreeMap::new());
    }
    let sequences = set.examples().iter().map(|example| example.sequence.clone());
    let capture = capturer.sequences(sequences).progress(progress).run()?.capture;
    let params = SummaryParams {
        seed,
        ..SummaryParams::default()
    };
    first_labels(&capture, &params, progress)
}
