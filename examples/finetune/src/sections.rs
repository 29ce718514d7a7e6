//! What the report says of heads: importance and pruning, one example explained, what changed over the training.

use std::{error::Error, fmt::Write as _};

use attn_sdk::{
    Progress,
    core::table::Table,
    models::attribute::Target,
    study::{
        change::{ChangeStudy, Snapshot, TENTHS, scale_plot, scale_steps},
        explain::{ExplainParams, Explanation, explain},
        pruning::{HeadStudy, Labels},
        training::Training,
    },
};
use serde_json::{Map, Value, json};

use crate::{
    files::Named,
    options::{Options, Sample, named},
    views::{
        compare::MOST as COMPARED,
        model::{Loaded, params, with_examples},
    },
};

/// Sections of the report with their plots and tables.
pub(crate) struct Sections {
    sample: Sample,
    pub(crate) plots: Vec<Named>,
    /// By the names of their files.
    pub(crate) tables: Vec<(String, Table)>,
    pub(crate) markdown: String,
    pub(crate) json: Map<String, Value>,
}

/// Measures the last checkpoint of a run, or what the options name, and compares it with the first. Without a checkpoint there are no
/// sections, and a note says so.
pub(crate) fn of(training: &Training, options: &Options, progress: &dyn Progress) -> Result<Sections, Box<dyn Error>> {
    let sample = options.sample();
    let mut sections = Sections::new(sample);
    let last = training.checkpoints().len().saturating_sub(1);
    if training.checkpoints().is_empty() && options.after.is_none() {
        sections.note("no heads: the run has no checkpoint");
        return Ok(sections);
    }
    let after = named(training, options.after.as_deref(), last);
    let after = after.and_then(|checkpoint| Ok(Snapshot::open(checkpoint)?));
    let loaded = match after.and_then(|after| with_examples(training, after, last, sample)) {
        Ok(loaded) => loaded,
        Err(error) => {
            sections.note(&format!("no heads: {error}"));
            return Ok(sections);
        }
    };
    let found = sections.heads(&loaded, progress);
    sections.or_note("heads", found)?;
    let found = sections.example(&loaded, progress);
    sections.or_note("explanation", found)?;
    if last > 0 || options.before.is_some() {
        let found = sections.changes(training, options.before.as_deref(), &loaded, progress);
        sections.or_note("comparison", found)?;
    }
    if loaded.snapshot.checkpoint.adapter_scale().is_some() {
        let found = sections.adapter(&loaded, progress);
        sections.or_note("adapter", found)?;
    }
    Ok(sections)
}

impl Sections {
    fn new(sample: Sample) -> Self {
        Self {
            sample,
            plots: Vec::new(),
            tables: Vec::new(),
            markdown: String::new(),
            json: Map::new(),
        }
    }

    /// What could not be had.
    fn note(&mut self, note: &str) {
        let _ = writeln!(self.markdown, "- {note}");
    }

    /// An error is a note, but for a cancellation.
    fn or_note(&mut self, what: &str, found: Result<(), attn_sdk::Error>) -> Result<(), Box<dyn Error>> {
        match found {
            Err(error) if error.is_cancelled() => Err(error.into()),
            Err(error) => {
                self.note(&format!("no {what}: {error}"));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn heads(&mut self, loaded: &Loaded, progress: &dyn Progress) -> Result<(), attn_sdk::Error> {
        let Loaded {
            snapshot,
            set,
            held_out,
            ..
        } = loaded;
        let held_out = (!held_out.is_empty()).then_some(held_out);
        let study = HeadStudy::run(&snapshot.capturer, set, held_out, &params(self.sample), progress)?;
        self.plots.extend(study.plots());
        self.tables.extend(study.tables());
        self.markdown.push_str(&study.markdown());
        self.json.insert("heads".into(), study.json());
        Ok(())
    }

    /// The first example: why the right class, and not the next one? Of labels each by itself, numbers and tokens: why this one?
    fn example(&mut self, loaded: &Loaded, progress: &dyn Progress) -> Result<(), attn_sdk::Error> {
        let model = loaded.snapshot.capturer.model();
        let classes = model.labels().len();
        let first = loaded.set.examples().first();
        let Some((example, target)) = first.and_then(|example| Some((example, example.target(model)?))) else {
            self.note("no explanation: the first example has nothing that this model is asked for");
            return Ok(());
        };
        let target = match (&example.labels, &target) {
            (Labels::Class(_), Target::Class(class)) if classes > 1 => {
                let next = Target::Class((class + 1) % classes);
                target.minus(next)
            }
            _ => target,
        };
        let found = explain(
            &loaded.snapshot.capturer,
            example,
            &target,
            &ExplainParams {
                seed: self.sample.seed,
                ..ExplainParams::default()
            },
            progress,
        )?;
        self.markdown.push_str(&words(&found));
        self.plots.push(("explanation".into(), Box::new(found.plot())));
        self.plots
            .push(("explanation-agreement".into(), Box::new(found.agreement_plot())));
        for (insertion, name) in [(false, "explanation-deletion"), (true, "explanation-insertion")] {
            if let Some(plot) = found.removal_plot(insertion) {
                self.plots.push((name.into(), Box::new(plot)));
            }
        }
        self.tables.push(("explanation-tokens.csv".into(), found.table()));
        self.json.insert(
            "example".into(),
            json!({"id": found.name, "question": found.question, "value": found.value}),
        );
        Ok(())
    }

    fn changes(
        &mut self,
        training: &Training,
        before: Option<&str>,
        loaded: &Loaded,
        progress: &dyn Progress,
    ) -> Result<(), attn_sdk::Error> {
        let before = named(training, before, 0);
        let before = match before.and_then(|checkpoint| Ok(Snapshot::open(checkpoint)?)) {
            Ok(before) => before,
            Err(error) => {
                self.note(&format!("no comparison: {error}"));
                return Ok(());
            }
        };
        let set = loaded.set.sample(COMPARED, self.sample.seed);
        let study = ChangeStudy::run(&before, &loaded.snapshot, &set, &params(self.sample), progress)?;
        self.plots.extend(study.plots());
        self.tables.extend(study.tables());
        self.markdown.push_str(&study.markdown());
        self.json.insert("changes".into(), study.json());
        Ok(())
    }

    /// How much of its adapter the model needs.
    fn adapter(&mut self, loaded: &Loaded, progress: &dyn Progress) -> Result<(), attn_sdk::Error> {
        let set = loaded.set.sample(COMPARED, self.sample.seed);
        let checkpoint = &loaded.snapshot.checkpoint;
        let steps = scale_steps(checkpoint, &set, &TENTHS, &params(self.sample), progress)?;
        self.markdown
            .push_str("\n## Adapter\n\n| scale | metric | loss |\n|---|---|---|\n");
        for step in &steps {
            let metric = step.kind.text(step.metric);
            let _ = writeln!(self.markdown, "| {} | {metric} | {:.4} |", step.scale, step.loss);
        }
        self.plots.push(("adapter-scale".into(), Box::new(scale_plot(&steps))));
        self.json.insert("adapter".into(), json!(steps));
        Ok(())
    }
}

fn words(found: &Explanation) -> String {
    let mut page = format!(
        "\n## One example: {}\n\nWhy {}? The value is {:.3}.\n\n",
        found.name, found.question, found.value
    );
    page.push_str("| method | gap | deletion | insertion |\n|---|---|---|---|\n");
    for attribution in &found.attributions {
        let gap = attribution
            .gap
            .map_or_else(String::new, |gap| format!("{:.2} %", 100.0 * gap));
        let areas = attribution
            .removal
            .as_ref()
            .map(|removal| [removal.deletion_area(), removal.insertion_area()]);
        let [deletion, insertion] = areas.unwrap_or([f64::NAN; 2]);
        let _ = writeln!(
            page,
            "| {} | {gap} | {deletion:.2} | {insertion:.2} |",
            attribution.method.title()
        );
    }
    if let Some(random) = &found.random {
        let [deletion, insertion] = random.areas();
        let _ = writeln!(page, "| random order | | {deletion:.2} | {insertion:.2} |");
    }
    page.push('\n');
    for note in &found.notes {
        let _ = writeln!(page, "- {note}");
    }
    page
}
