//! The runs of the window. What starts them is in `work.rs`, widgets are in `bar.rs`, `panel.rs` and `experiments.rs`, plots in
//! `views.rs`.

use std::{path::PathBuf, sync::Arc};

use attn_egui::{
    Exports, Jobs, apply_theme, attn_render::Format, colors::egui_color, commands::CommandSearch,
    egui_wgpu::RenderState, open_dialog::SessionDialog,
};
use attn_sdk::{
    render::{History, ViewState},
    study::decoding::{
        AlignmentHead, Comparison, Decoder, Decoding, DecodingParams, HeadChoice, NearWord, NeighborhoodParams, Rank,
        Shift, StateIndex, Unit,
    },
};
use eframe::egui::{CentralPanel, Frame, Panel, ScrollArea, Ui};
use tempfile::TempDir;

use crate::{
    look::{Chosen, Look, Panels},
    options::{OUT, Options},
    session,
    views::{Tab, Views},
    window::News,
};

/// A run, what it was made from, and what was done.
#[derive(Clone)]
pub(crate) struct Experiment {
    pub(crate) decoding: Arc<Decoding>,
    pub(crate) parent: Option<usize>,
    pub(crate) label: String,
}

/// How likely a typed word is at every step of a hypothesis of a run.
pub(crate) struct Ranks {
    pub(crate) run: usize,
    pub(crate) hypothesis: usize,
    pub(crate) word: String,
    pub(crate) steps: Vec<Rank>,
}

pub(crate) struct Studio {
    pub(super) options: Options,
    /// The model; `None` for saved runs without one.
    pub(super) decoder: Option<Decoder>,
    /// Sources among which a blame looks for clean runs and random donors, beside those of the runs.
    pub(super) references: Vec<String>,
    /// The sources of a file, and which one was decoded last.
    pub(super) lines: Vec<String>,
    pub(super) line: usize,
    /// Every run since the start: what is undone may be done again.
    pub(crate) runs: Vec<Experiment>,
    pub(crate) look: Look,
    pub(super) history: History<Look>,
    pub(super) panels: Panels,
    pub(super) aligning: Vec<AlignmentHead>,
    /// The index of states, once it is open.
    pub(super) index: Option<StateIndex>,
    /// Its folder, if that goes with the window.
    pub(super) index_folder: Option<TempDir>,
    pub(crate) near: NeighborhoodParams,
    pub(super) languages: Vec<(String, u32)>,
    pub(super) words: Vec<NearWord>,
    pub(super) ranks: Option<Ranks>,
    pub(super) failure: String,
    /// Options of the command line that the window does not follow.
    pub(crate) notice: String,
    pub(super) exports: Exports,
    pub(crate) views: Views,
    pub(super) search: CommandSearch,
    pub(super) help: bool,
    /// The file of the session, once there is one.
    pub(super) session: Option<PathBuf>,
    pub(super) dialog: Option<SessionDialog>,
}

impl Studio {
    pub(crate) fn new(options: Options, look: Look, state: &RenderState) -> Self {
        Self {
            near: options.near(),
            options,
            decoder: None,
            references: Vec::new(),
            lines: Vec::new(),
            line: 0,
            runs: Vec::new(),
            look,
            history: History::default(),
            panels: Panels::default(),
            aligning: Vec::new(),
            index: None,
            index_folder: None,
            languages: Vec::new(),
            words: Vec::new(),
            ranks: None,
            failure: String::new(),
            notice: String::new(),
            exports: Exports::new(OUT),
            views: Views::new(state),
            search: CommandSearch::default(),
            help: false,
            session: None,
            dialog: None,
        }
    }

    /// The model is there.
    pub(crate) fn read_by(&mut self, decoder: Decoder) {
        self.languages = decoder.languages();
        self.find_references();
        self.decoder = Some(decoder);
    }

    /// Sources that blame may look for a clean run among.
    fn find_references(&mut self) {
        match session::known_sources(&self.options, self.index.as_ref()) {
            Ok(sources) => self.references = sources,
            Err(error) => self.failure = error.to_string(),
        }
    }

    pub(crate) fn take(&mut self, news: News, jobs: &Jobs<News>) {
        match news {
            News::Loaded(decoder) => self.read_by(*decoder),
            News::Opened(opened, path) => self.restore(*opened, path, jobs),
            News::Saved(path) => {
                self.exports.say(format!("Session saved: {}", path.display()));
                self.session = Some(path);
            }
            News::Run(decoding, parent, label) => {
                let mut decoding = *decoding;
                decoding.alignment_heads.clone_from(&self.aligning);
                let parent = parent.filter(|parent| *parent < self.runs.len());
                self.runs.push(Experiment {
                    decoding: Arc::new(decoding),
                    parent,
                    label,
                });
                self.failure.clear();
                self.look.listed.push(self.runs.len() - 1);
                self.show(self.runs.len() - 1);
                self.look.against = parent;
                self.find_neighbors(jobs);
            }
            News::Indexed(index, folder) => {
                (self.index, self.index_folder) = (Some(index), folder);
                self.find_references();
                self.find_neighbors(jobs);
            }
            News::Near(run, near) => {
                if let Some(run) = self.runs.get_mut(run) {
                    Arc::make_mut(&mut run.decoding).neighborhood = Some(*near);
                    self.views.invalidate();
                }
            }
            News::Heads(heads) => {
                for run in &mut self.runs {
                    Arc::make_mut(&mut run.decoding).alignment_heads.clone_from(&heads);
                }
                self.aligning = heads;
                self.choose();
            }
            News::Ranks(ranks) => self.ranks = Some(*ranks),
            News::Blame(run, blame) => {
                if let Some(run) = self.runs.get_mut(run) {
                    Arc::make_mut(&mut run.decoding).blame = Some(*blame);
                    if run.decoding.blame.as_ref().is_some_and(|blame| blame.sweep.is_some()) {
                        self.show_tab(Tab::Blame);
                    }
                    self.views.invalidate();
                }
            }
        }
    }

    pub(crate) fn fail(&mut self, why: String) {
        match &mut self.dialog {
            Some(dialog) if !dialog.saves() => dialog.fail(why),
            _ => self.failure = why,
        }
    }

    pub(super) fn show(&mut self, run: usize) {
        self.look.show(run);
        self.words.clear();
        self.reset_weights();
        self.choose();
        self.views.invalidate();
    }

    pub(super) fn show_hypothesis(&mut self, hypothesis: usize, jobs: &Jobs<News>) {
        self.look.hypothesis = hypothesis;
        self.reset_weights();
        self.views.invalidate();
        self.find_neighbors(jobs);
    }

    /// Chooses the hypothesis of the compared run.
    pub(super) fn compare_hypothesis(&mut self, hypothesis: usize) {
        if let Some(run) = self.look.against {
            self.look.others.insert(run, hypothesis);
            self.views.invalidate();
        }
    }

    pub(super) fn compare(&mut self, other: Option<usize>) {
        self.look.against = other.filter(|other| *other != self.look.shown);
        self.views.invalidate();
    }

    /// Takes a run off the list. Undo brings it back.
    pub(super) fn remove(&mut self, run: usize) {
        if self.look.listed.len() < 2 {
            return;
        }
        let before = self.look.listed.iter().rev().find(|own| **own < run).copied();
        self.look.listed.retain(|own| *own != run);
        self.look.against = self.look.against.filter(|own| *own != run);
        if self.look.shown == run
            && let Some(other) = before.or_else(|| self.look.listed.first().copied())
        {
            self.show(other);
            self.compare(self.look.against);
        }
    }

    /// Undo or redo brought another look back.
    pub(super) fn brought_back(&mut self, jobs: &Jobs<News>) {
        self.words.clear();
        self.choose();
        self.views.invalidate();
        self.find_neighbors(jobs);
    }

    pub(crate) fn run(&self) -> Option<&Experiment> {
        self.runs.get(self.look.shown)
    }

    /// The run that the shown one is compared with.
    pub(crate) fn compared(&self) -> Option<&Experiment> {
        let other = self.look.against.filter(|at| *at != self.look.shown);
        other.and_then(|at| self.runs.get(at))
    }

    /// The same, with its hypothesis.
    pub(crate) fn compared_with(&self) -> Option<(&Experiment, usize)> {
        Some((self.compared()?, self.look.compared_hypothesis()))
    }

    /// The number of a run, and what was done.
    pub(super) fn run_name(&self, run: usize) -> String {
        let label = self.runs.get(run).map_or("", |run| run.label.as_str());
        format!("{}. {label}", run + 1)
    }

    /// Layers and heads of the attention that is drawn.
    pub(super) fn head_counts(&self) -> (usize, usize) {
        let all = self.run().and_then(|run| {
            let found = run.decoding.hypotheses.first()?;
            Some(found.cross.as_ref().unwrap_or(&found.decoder_self))
        });
        all.map_or((0, 0), |all| (all.layers, all.heads))
    }

    /// Takes over the chosen heads.
    pub(super) fn choose(&mut self) {
        let look = &self.look;
        let heads = match look.chosen {
            Chosen::All => HeadChoice::All,
            Chosen::Aligning => self.run().map_or(HeadChoice::All, |run| run.decoding.aligning()),
            Chosen::Layer(layer) => HeadChoice::Layer(layer),
            Chosen::Some if look.heads.is_empty() => HeadChoice::All,
            Chosen::Some => HeadChoice::Some(look.heads.iter().copied().collect()),
        };
        if self.look.flow.heads != heads {
            // Sliders that nobody moved follow the heads.
            let run = self.runs.get(self.look.shown);
            let row = run.and_then(|run| {
                let look = &self.look;
                run.decoding
                    .step_attention(look.hypothesis, look.step, &look.flow.heads)
            });
            let untouched = row.is_some_and(|row| row == self.look.weights);
            self.look.flow.heads = heads;
            if untouched {
                self.reset_weights();
            }
        }
        if self.views.flow_for.as_ref() != Some(&self.look.flow) {
            self.views.flow_for = Some(self.look.flow.clone());
            self.views.invalidate();
        }
    }

    /// The weights of the edited step as they are.
    pub(super) fn reset_weights(&mut self) {
        let Some(run) = self.runs.get(self.look.shown) else {
            return;
        };
        let (look, decoding) = (&mut self.look, &run.decoding);
        let steps = decoding
            .hypotheses
            .get(look.hypothesis)
            .map_or(0, |found| found.row.len());
        look.step = look.step.min(steps.saturating_sub(1));
        look.token = look.token.min(decoding.source.len().saturating_sub(1));
        let found = decoding.step_attention(look.hypothesis, look.step, &look.flow.heads);
        look.weights = found.unwrap_or_default();
    }

    /// The row of the compared run: that of the aligned step, over aligned source tokens.
    pub(super) fn copy_weights(&mut self) {
        let look = &self.look;
        let row = self.run().zip(self.compared_with()).and_then(|(run, (other, theirs))| {
            let heads = &look.flow.heads;
            let (own, other) = (&*run.decoding, &*other.decoding);
            let pair = [(own, look.hypothesis), (other, theirs)];
            let both = Comparison::new(pair[0], pair[1], heads, Shift::Predicted).ok()?;
            both.row_of_second((other, theirs), look.step, heads)
        });
        match row {
            Some(row) => self.look.weights = row,
            None => self.failure = "the compared run has no step that is aligned with this one".into(),
        }
    }

    pub(crate) fn ui(&mut self, ui: &mut Ui, jobs: &Jobs<News>) {
        let context = ui.ctx().clone();
        apply_theme(&context, &self.look.view);
        // Before the widgets that take keys. Lent out while it asks for the commands.
        let mut search = std::mem::take(&mut self.search);
        let mut asked = search.show(&context, || self.commands());
        self.search = search;
        self.dialogs(ui, jobs);
        let keys = self.keys(&context);
        let bar = Panel::top("tools").show(ui, |ui| ui.horizontal_wrapped(|ui| self.tools(ui)).inner);
        asked = bar.inner.or(asked);
        Panel::bottom("status").show(ui, |ui| self.status(ui, jobs));
        let mut panels = self.panels.clone();
        let scrolled = |ui: &mut Ui, id: &str, contents: &mut dyn FnMut(&mut Ui)| {
            ScrollArea::vertical().id_salt(id).auto_shrink(false).show(ui, |ui| {
                // Room for the scroll bar.
                ui.set_max_width(ui.available_width() - 12.0);
                contents(ui);
            });
        };
        panels.settings.show(ui, "settings", |ui| {
            scrolled(ui, "settings", &mut |ui| self.settings(ui, &mut asked));
        });
        panels.experiments.show(ui, "experiments", |ui| {
            scrolled(ui, "experiments", &mut |ui| self.experiments(ui, jobs, &mut asked));
        });
        let ground = egui_color(self.look.view.colors().background);
        CentralPanel::default()
            .frame(Frame::NONE.fill(ground))
            .show(ui, |ui| self.plots(ui, &mut panels, jobs, &mut asked));
        // Folding by a double click, and dragged edges.
        self.panels = panels;
        for action in keys.into_iter().chain(asked) {
            self.perform(action, &context, jobs);
        }
        self.choose();
        // A drag, or a text, is one step.
        let settled = !context.input(|input| input.pointer.any_down()) && !context.text_edit_focused();
        if settled && !self.look.listed.is_empty() {
            self.history.record(&self.look);
        }
    }

    /// Writes every plot of the shown hypothesis, the links between its words, and the comparison if there is one.
    pub(super) fn export(&mut self, format: Format) {
        let Some(run) = self.runs.get(self.look.shown) else {
            return;
        };
        let (decoding, hypothesis) = (&run.decoding, self.look.hypothesis);
        let mut plots = crate::files::plots(decoding, hypothesis, &self.look.flow);
        if let Some((other, theirs)) = self.compared_with() {
            let (first, second) = ((&*other.decoding, theirs), (&**decoding, hypothesis));
            let (heads, shift) = (&self.look.flow.heads, self.look.flow.shift);
            let change = Comparison::new(first, second, heads, shift)
                .and_then(|comparison| comparison.difference_table(first, second, heads, shift));
            plots.add("change", change);
            let runs = [("", &**decoding, hypothesis), ("compared", &*other.decoding, theirs)];
            plots.may_add("states-compared", Decoding::merged_trajectories(&runs, &()));
        }
        let links = decoding.alignment(hypothesis, &decoding.aligning(), Shift::Predicted, Unit::Words);
        for (name, plot) in plots.0 {
            match plot {
                Ok(plot) => self.exports.plot(name, format, &*plot, &self.look.view, None),
                Err(error) => self.exports.fail(format!("{name}: {error}")),
            }
        }
        let path = self.exports.folder().join("alignment.txt");
        let written = links.map_err(|error| error.to_string()).and_then(|links| {
            attn_sdk::core::files::write_atomically(&path, (links.pharaoh() + "\n").as_bytes())
                .map_err(|error| error.to_string())
        });
        match written {
            Ok(()) => {
                let folder = self.exports.folder().display().to_string();
                self.exports.say(format!("written to {folder}"));
            }
            Err(error) => self.exports.fail(error),
        }
    }
}

/// A look at a new source with the settings of the command line.
pub(crate) fn first_look(
    options: &Options,
    decoder: Option<&Decoder>,
    params: DecodingParams,
    source: String,
    view: &ViewState,
) -> Look {
    let prefix = decoder.and_then(|decoder| decoder.tokenizer().for_targets().decode(&params.generation.prefix).ok());
    let mut look = Look::new(source, prefix.unwrap_or_default(), params, view.clone());
    look.flow = options.flow();
    look.expected = options.expected.clone().unwrap_or_default();
    look
}
