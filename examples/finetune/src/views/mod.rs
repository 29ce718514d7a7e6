//! The tabs of the window, a file each, and what they share.

pub(crate) mod compare;
mod data;
mod example;
mod flips;
mod heads;
pub(crate) mod model;
mod noise;
mod points;
mod pruning;
mod states;
mod training;

use std::collections::BTreeSet;

use attn_egui::{Jobs, Notes, egui_wgpu::RenderState, jobs::JobId};
use attn_sdk::{
    analyze::training::Filter,
    render::{Plot, ViewState},
    study::training::Training,
};
use eframe::egui::Ui;

use crate::{
    options::{Options, Sample},
    window::News,
};

/// What the tabs share.
pub(crate) struct Session {
    /// The training as it stands.
    pub(crate) training: Training,
    /// Theme and search.
    pub(crate) view: ViewState,
    /// The example that was clicked last, by its number in the log.
    pub(crate) example: Option<usize>,
    /// Examples that meet filter and search.
    pub(crate) visible: Vec<usize>,
    /// Examples that a lasso, a box or a preset selected.
    pub(crate) selected: BTreeSet<usize>,
    /// Counts up when the training, the visible or the selected examples are others.
    pub(crate) version: u64,
    /// Starts work beside the window; its news come to [`View::take`].
    pub(crate) jobs: Jobs<News>,
    /// Errors on view.
    pub(crate) notes: Notes,
    /// What the last look at the run brought, in words.
    pub(crate) news: String,
    /// Names of the moments and of the checkpoints that there were when the window was opened; later ones are marked.
    pub(crate) first: [BTreeSet<String>; 2],
    /// Which examples are measured.
    pub(crate) sample: Sample,
    /// The filter as it was typed, and why it is none.
    pub(crate) filter: String,
    pub(crate) filter_failure: Option<String>,
}

/// Names of the moments and of the checkpoints of a training.
pub(crate) fn names(training: &Training) -> [BTreeSet<String>; 2] {
    let checkpoints = training.checkpoints().iter().map(|checkpoint| checkpoint.name.clone());
    let moments = training.log().moments().iter().map(ToString::to_string);
    [moments.collect(), checkpoints.collect()]
}

/// A name, with a mark where it is new.
fn marked(name: String, first: &BTreeSet<String>) -> String {
    match first.contains(&name) {
        true => name,
        false => format!("{name} (new)"),
    }
}

impl Session {
    /// Names of the moments of the log. Those that came since the window was opened are marked.
    pub(crate) fn moments(&self) -> Vec<String> {
        let names = self.training.log().moments().iter().map(ToString::to_string);
        names.map(|name| marked(name, &self.first[0])).collect()
    }

    /// Names of the checkpoints, marked in the same way.
    pub(crate) fn checkpoints(&self) -> Vec<String> {
        let names = self
            .training
            .checkpoints()
            .iter()
            .map(|checkpoint| checkpoint.name.clone());
        names.map(|name| marked(name, &self.first[1])).collect()
    }

    /// Selects examples.
    pub(crate) fn select(&mut self, examples: impl IntoIterator<Item = usize>) {
        self.selected = examples.into_iter().collect();
        self.version += 1;
    }

    /// Finds the examples that meet filter and search.
    pub(crate) fn find(&mut self) {
        self.version += 1;
        self.filter_failure = None;
        let filter: Result<Filter, _> = self.filter.parse();
        let found = filter
            .map_err(|error| error.to_string())
            .and_then(|filter| self.training.select(&filter).map_err(|error| error.to_string()));
        match found {
            Ok(examples) => self.visible = examples,
            // The last filter that could be read stays.
            Err(error) => {
                let count = self.training.log().examples().len();
                self.visible.retain(|&example| example < count);
                self.filter_failure = Some(error);
            }
        }
        let wanted = self.view.shared.search.to_lowercase();
        if !wanted.is_empty() {
            let examples = self.training.log().examples();
            self.visible.retain(|&example| {
                let example = &examples[example];
                let text = example.text.as_deref().unwrap_or_default();
                text.to_lowercase().contains(&wanted) || example.id.to_lowercase().contains(&wanted)
            });
        }
    }

    /// The selected examples that are visible, or all visible ones if none is selected.
    pub(crate) fn chosen(&self) -> Vec<usize> {
        if self.selected.is_empty() {
            return self.visible.clone();
        }
        self.visible
            .iter()
            .copied()
            .filter(|example| self.selected.contains(example))
            .collect()
    }
}

/// A tab.
pub(crate) trait View {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Shows it.
    fn ui(&mut self, ui: &mut Ui, session: &mut Session);

    /// The plot on view and the name of its file, for export.
    fn plot(&self, _: &Session) -> Option<(String, Box<dyn Plot + '_>)> {
        None
    }

    /// The training is another: it was opened, or it went on.
    fn follow(&mut self, _: &Session) {}

    /// Takes in news of a job, of any tab.
    fn take(&mut self, _: &News, _: &mut Session) {}

    /// A job ended, with news or without: it may have failed, or was stopped.
    fn end(&mut self, _: JobId, _: &mut Session) {}
}

/// All tabs, in their order.
pub(crate) fn all(state: &RenderState, options: &Options) -> Vec<Box<dyn View>> {
    let model = model::Shared::default();
    vec![
        Box::new(flips::FlipView::new(state)),
        Box::new(data::Data::new(state)),
        Box::new(noise::Noise::new(state)),
        Box::new(states::States::new(state)),
        Box::new(heads::Heads::new(state, model.clone())),
        Box::new(pruning::Pruning::new(state, model.clone())),
        Box::new(example::Example::new(state, model)),
        Box::new(compare::Compare::new(
            state,
            [options.before.clone(), options.after.clone()],
        )),
        Box::new(training::Curves::new(state)),
    ]
}
