//! The files of importance and pruning.

use attn_core::{Attention, table::Table};

use super::{Curve, Importance, Score};

impl Importance {
    /// `heads.csv`: `layer, head, taylor, michel, michel_layer, ablation_zero, ablation_mean`, a row per head. A score that could
    /// not be had is empty. Where a model has several attentions, a last column names the head's.
    pub fn table(&self) -> Table {
        let mut table = Table::new(self.heads.len());
        table.numbers("layer", |row| self.heads[row].layer);
        table.numbers("head", |row| self.heads[row].head);
        for score in Score::ALL {
            table.numbers(score.name(), |row| {
                self.score(score).and_then(|values| values.get(row).copied())
            });
        }
        let first = self.heads.first().map(|head| head.attention);
        if self.heads.iter().any(|head| Some(head.attention) != first) {
            table.texts("attention", |row| Attention::name(self.heads[row].attention));
        }
        table
    }

    /// Spearman's coefficient of every pair of scores, and of each score between halves of the set: `score, other, spearman`.
    pub fn correlation_table(&self) -> Table {
        let mut rows: Vec<(&str, &str, Option<f64>)> = Vec::new();
        for pair in self.correlations() {
            rows.push((pair.scores[0].name(), pair.scores[1].name(), pair.spearman));
        }
        for (score, rho) in &self.stability {
            rows.push((score.name(), "other half", Some(*rho)));
        }
        let mut table = Table::new(rows.len());
        table.texts("score", |row| rows[row].0);
        table.texts("other", |row| rows[row].1);
        table.numbers("spearman", |row| rows[row].2);
        table
    }
}

/// `pruning.csv`: `order, removed, metric`, a row per order and number of removed heads.
pub fn pruning_table<'a>(curves: impl IntoIterator<Item = &'a Curve>) -> Table {
    let rows: Vec<_> = curves
        .into_iter()
        .flat_map(|curve| curve.steps.iter().map(move |step| (curve, step)))
        .collect();
    let mut table = Table::new(rows.len());
    table.texts("order", |row| rows[row].0.name.as_str());
    table.numbers("removed", |row| rows[row].1.removed);
    table.numbers("metric", |row| rows[row].1.metric);
    table
}
