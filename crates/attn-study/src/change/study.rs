//! All of it for two checkpoints: what changed most, with plots, tables and words.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use attn_analyze::heads::{DivergenceParams, HeadLabel, divergence_between};
use attn_core::{HeadId, ModelInfo, Progress, table::Table};
use attn_models::Capturer;
use attn_render::Plot;
use serde_json::{Value, json};

use super::{
    AttributionChange, HeadChange, LayerSimilarity, Snapshot, WeightChanges, attribution_changes, change_grid, flipped,
    head_change_table, head_changes, layer_similarity, weight_changes,
};
use crate::{
    Error,
    explain::ExplainParams,
    pruning::{Ablate, Evaluation, LabeledSet, Measured, PruningParams, capitalized, measure, output_side},
    summary::{SummaryParams, first_labels},
};

/// Flipped examples that are explained.
const EXPLAINED: usize = 8;
/// Parts of the model that the report names.
const NAMED: usize = 12;

/// What changed from one checkpoint to another.
#[derive(Debug)]
pub struct ChangeStudy {
    /// The checkpoints' names.
    pub names: [String; 2],
    /// The facts of the model before.
    pub model: ModelInfo,
    /// Both on the examples, where both predict.
    pub evaluations: Option<[Evaluation; 2]>,
    /// Weights.
    pub weights: WeightChanges,
    /// States.
    pub layers: Option<LayerSimilarity>,
    /// Heads, the largest change first.
    pub heads: Vec<HeadChange>,
    /// Examples that became wrong, and that became right: places in the set.
    pub flips: [Vec<usize>; 2],
    /// Flipped examples explained by both, the least alike first.
    pub attributions: Vec<AttributionChange>,
    /// What could not be compared, a sentence each.
    pub notes: Vec<String>,
}

impl ChangeStudy {
    /// Compares two checkpoints over a set that both read.
    ///
    /// The first may have no head of its own, as before a fine-tuning: then importance, flips and attributions are left out, and
    /// `notes` say so.
    ///
    /// # Errors
    /// Those of the comparisons; cancellation.
    pub fn run(
        before: &Snapshot,
        after: &Snapshot,
        set: &LabeledSet,
        params: &PruningParams,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let weights = weight_changes(before, after, progress)?;
        let mut notes = weights.notes.clone();
        let side = output_side(before.capturer.model());
        let layers = optional(
            layer_similarity(before, after, set, side, params, progress),
            &mut notes,
            "states",
        )?;
        let both = [before, after];
        let predict = |snapshot: &Snapshot| {
            let labels = snapshot.capturer.model().labels();
            labels == after.capturer.model().labels() && snapshot.capturer.model().notes().is_empty()
        };
        let mut effects: Option<[Measured; 2]> = None;
        if both.iter().all(|snapshot| predict(snapshot)) {
            let none = BTreeSet::new();
            let found = both.map(|one| measure(&one.capturer, set, Ablate::Zero, &none, params, progress));
            effects = optional(gather(found), &mut notes, "importance")?;
        } else {
            notes.push("the two do not predict the same classes: no flips, no change of importance".to_owned());
        }
        let sequences = || set.examples().iter().map(|example| example.sequence.clone());
        let capture =
            |capturer: &Capturer| Ok::<_, Error>(capturer.sequences(sequences()).progress(progress).run()?.capture);
        let captures = optional(
            gather(both.map(|snapshot| capture(&snapshot.capturer))),
            &mut notes,
            "attention",
        )?;
        let (mut attention, mut roles) = (None, None);
        if let Some([one, other]) = &captures {
            let bits = divergence_between(one, other, &DivergenceParams::default(), progress);
            attention = optional(bits.map_err(Error::from), &mut notes, "attention")?;
            let of_heads = SummaryParams {
                seed: params.seed,
                ..SummaryParams::default()
            };
            let found = [one, other].map(|capture| first_labels(capture, &of_heads, progress));
            roles = optional(gather(found), &mut notes, "roles")?;
        }
        let heads = head_changes(
            before.capturer.model().info(),
            Some(&weights),
            attention.as_deref(),
            effects.as_ref().map(|both| both.each_ref()),
            roles
                .as_ref()
                .map(|both: &[BTreeMap<HeadId, HeadLabel>; 2]| both.each_ref()),
        );
        let evaluations = effects.map(|both| both.map(|measured| measured.whole));
        let flips = evaluations
            .as_ref()
            .map(|[one, other]| flipped(one, other))
            .unwrap_or_default();
        let shown: Vec<usize> = flips.iter().flatten().copied().take(EXPLAINED).collect();
        let explained = ExplainParams {
            removal: false,
            seed: params.seed,
            ..ExplainParams::default()
        };
        let attributions = attribution_changes(both, set, &shown, &explained, progress)?;
        Ok(Self {
            names: both.map(|snapshot| snapshot.name.clone()),
            model: before.capturer.model().info().clone(),
            evaluations,
            weights,
            layers,
            heads,
            flips,
            attributions,
            notes,
        })
    }

    /// The plots, by the names of their files.
    pub fn plots(&self) -> Vec<(String, Box<dyn Plot>)> {
        let mut plots: Vec<(String, Box<dyn Plot>)> = Vec::new();
        let [before, after] = &self.names;
        let mut grid = |name: &str, title: &str, what: &str, of: fn(&HeadChange) -> Option<f64>| {
            let values: Vec<(HeadId, f64)> = self
                .heads
                .iter()
                .filter_map(|head| Some((head.head, of(head)?)))
                .collect();
            if !values.is_empty() {
                let mut grid = change_grid(title, what, values);
                grid.subtitle = format!("from {before} to {after}");
                plots.push((name.into(), Box::new(grid)));
            }
        };
        grid(
            "change-weights",
            "Change of the weights of heads",
            "relative change",
            |head| head.weights,
        );
        grid(
            "change-attention",
            "Change of the attention of heads",
            "divergence (bits)",
            |head| head.attention,
        );
        grid(
            "change-importance",
            "Change of the importance of heads",
            self.evaluations.as_ref().map_or("loss", |[_, after]| after.kind.loss()),
            |head| head.importance.map(|[before, after]| after - before),
        );
        if let Some(layers) = &self.layers {
            plots.push(("change-layers".into(), Box::new(layers.plot())));
        }
        for (at, change) in self.attributions.iter().enumerate() {
            for (explanation, when) in change.explanations.iter().zip(["before", "after"]) {
                plots.push((format!("flip-{}-{when}", at + 1), Box::new(explanation.plot())));
            }
        }
        plots
    }

    /// The tables, by the names of their files: `change-parts.csv`, `change-heads.csv`.
    pub fn tables(&self) -> Vec<(String, Table)> {
        vec![
            ("change-parts.csv".into(), self.weights.table()),
            ("change-heads.csv".into(), head_change_table(&self.model, &self.heads)),
        ]
    }

    /// A section of the report, in Markdown.
    pub fn markdown(&self) -> String {
        let [before, after] = &self.names;
        let mut page = format!("## What changed most, from {before} to {after}\n\n");
        if let Some([one, other]) = &self.evaluations {
            let _ = writeln!(
                page,
                "{} before, {} after; {} examples became wrong, {} right.\n",
                capitalized(&one.text()),
                other.kind.text(other.metric),
                self.flips[0].len(),
                self.flips[1].len()
            );
        }
        page.push_str("| part | weights | relative change |\n|---|---|---|\n");
        for group in self.weights.groups.iter().take(NAMED) {
            let _ = writeln!(page, "| {} | {} | {:.3} |", group.name, group.weights, group.relative);
        }
        page.push_str("\n| head | weights | attention (bits) | loss without it, before | after | role before | role after |\n|---|---|---|---|---|---|---|\n");
        for head in self.heads.iter().take(NAMED) {
            let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.3}"));
            let role = |at: usize| head.roles[at].as_ref().map(|role| role.name()).unwrap_or_default();
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} | {} | {} | {} |",
                self.model.head_name(head.head),
                number(head.weights),
                number(head.attention),
                number(head.importance.map(|[before, _]| before)),
                number(head.importance.map(|[_, after]| after)),
                role(0),
                role(1)
            );
        }
        page.push('\n');
        if let Some(layers) = &self.layers {
            let count = layers.cka.nrows().min(layers.cka.ncols());
            let own: Vec<String> = (0..count)
                .map(|layer| format!("{:.2}", layers.cka[(layer, layer)]))
                .collect();
            let _ = writeln!(
                page,
                "Similarity (CKA) of each layer to itself, from the embeddings on: {}.\n",
                own.join(", ")
            );
        }
        for change in &self.attributions {
            let [one, other] = &change.explanations;
            let agreement = change
                .agreement
                .map_or_else(String::new, |rho| format!(", agreement {rho:.2}"));
            let _ = writeln!(
                page,
                "- {} ({}): value {:.2} before, {:.2} after{agreement}",
                one.name, one.question, one.value, other.value
            );
        }
        for note in &self.notes {
            let _ = writeln!(page, "- {note}");
        }
        page
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        json!({
            "before": self.names[0],
            "after": self.names[1],
            "metric": self.evaluations.as_ref().map(|[_, after]| after.kind.name()),
            "values": self.evaluations.as_ref().map(|both| both.each_ref().map(|one| one.metric)),
            "flips": self.flips.each_ref().map(Vec::len),
            "parts": self.weights.groups,
            "notes": self.notes,
        })
    }
}

fn gather<T>([one, other]: [Result<T, Error>; 2]) -> Result<[T; 2], Error> {
    Ok([one?, other?])
}

/// What could be had; what not is a note, but for a cancellation.
fn optional<T>(found: Result<T, Error>, notes: &mut Vec<String>, what: &str) -> Result<Option<T>, Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_cancelled() => Err(error),
        Err(error) => {
            notes.push(format!("no change of {what}: {error}"));
            Ok(None)
        }
    }
}
