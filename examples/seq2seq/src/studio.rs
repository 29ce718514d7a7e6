//! The runs of the window. What starts them is in `work.rs`, widgets are in `panel.rs`, plots in `views.rs`.

use std::{collections::BTreeSet, path::PathBuf};

use attn_egui::{Exports, Jobs, apply_theme, egui_color, egui_wgpu::RenderState, export_menu, theme_switch};
use attn_sdk::{
    core::format::number,
    render::{Format, ViewState},
    study::decoding::{
        AlignmentHead, Decoder, Decoding, DecodingParams, FlowOptions, HeadChoice, NearWord, NeighborhoodParams,
        StateIndex, StateKind,
    },
};
use eframe::egui::{CentralPanel, ComboBox, Frame, Panel, RichText, ScrollArea, Ui};
use serde_json::json;

use crate::{
    saved::Saved,
    views::{Tab, Views},
    window::News,
};

/// A run, what it was made from, and what was done.
pub(crate) struct Experiment {
    pub(crate) decoding: Decoding,
    pub(crate) parent: Option<usize>,
    pub(crate) label: String,
}

/// Whose attention is shown.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Chosen {
    All,
    Aligning,
    Layer(usize),
    Some,
}

pub(crate) struct Studio {
    /// The model; `None` for a saved run.
    pub(super) decoder: Option<Decoder>,
    /// Sources among which a blame looks for clean runs and random donors, beside those of the runs.
    pub(super) references: Vec<String>,
    pub(super) params: DecodingParams,
    pub(super) source: String,
    pub(super) prefix: String,
    pub(crate) expected: String,
    pub(crate) runs: Vec<Experiment>,
    /// The run that is shown, and the one that it is compared with.
    pub(crate) shown: usize,
    pub(crate) against: Option<usize>,
    pub(crate) hypothesis: usize,
    pub(crate) flow: FlowOptions,
    /// The length penalty with which the stored tree is scored.
    pub(crate) penalty: f64,
    pub(super) chosen: Chosen,
    pub(super) heads: BTreeSet<(usize, usize)>,
    pub(super) aligning: Vec<AlignmentHead>,
    /// The index of states, once it is open.
    pub(super) index: Option<StateIndex>,
    pub(crate) near: NeighborhoodParams,
    pub(super) languages: Vec<(String, u32)>,
    /// Weights of the edited step, one per source token.
    pub(super) step: usize,
    pub(super) weights: Vec<f32>,
    pub(super) token: usize,
    /// The kind of state that is taken from the compared run.
    pub(super) patched: StateKind,
    pub(super) words: Vec<NearWord>,
    pub(super) failure: String,
    /// Options of the command line that the window does not follow.
    pub(crate) notice: String,
    pub(super) exports: Exports,
    pub(crate) views: Views,
}

impl Studio {
    pub(crate) fn new(
        (decoder, params, source): (Option<Decoder>, DecodingParams, String),
        view: &ViewState,
        out: PathBuf,
        state: &RenderState,
    ) -> Self {
        let prefix = decoder
            .as_ref()
            .map(|decoder| decoder.tokenizer().for_targets().decode(&params.generation.prefix));
        let prefix = prefix.and_then(Result::ok).unwrap_or_default();
        Self {
            languages: decoder.as_ref().map(Decoder::languages).unwrap_or_default(),
            penalty: params.generation.length_penalty,
            decoder,
            references: Vec::new(),
            params,
            source,
            prefix,
            expected: String::new(),
            runs: Vec::new(),
            shown: 0,
            against: None,
            hypothesis: 0,
            flow: FlowOptions::default(),
            chosen: Chosen::All,
            heads: BTreeSet::new(),
            aligning: Vec::new(),
            index: None,
            near: NeighborhoodParams::default(),
            step: 0,
            weights: Vec::new(),
            token: 0,
            patched: StateKind::Encoder,
            words: Vec::new(),
            failure: String::new(),
            notice: String::new(),
            exports: Exports::new(out),
            views: Views::new(view, state),
        }
    }

    pub(crate) fn take(&mut self, news: News, jobs: &Jobs<News>) {
        match news {
            News::Run(decoding, parent, label) => {
                let mut decoding = *decoding;
                decoding.alignment_heads.clone_from(&self.aligning);
                self.runs.push(Experiment {
                    decoding,
                    parent,
                    label,
                });
                self.failure.clear();
                self.show(self.runs.len() - 1);
                self.against = parent;
                self.find_neighbors(jobs);
            }
            News::Indexed(index) => {
                self.index = Some(index);
                self.find_neighbors(jobs);
            }
            News::Near(run, near) => {
                if let Some(run) = self.runs.get_mut(run) {
                    run.decoding.neighborhood = Some(*near);
                    self.views.invalidate();
                }
            }
            News::Heads(heads) => {
                for run in &mut self.runs {
                    run.decoding.alignment_heads.clone_from(&heads);
                }
                self.aligning = heads;
                self.choose();
            }
            News::Blame(run, blame) => {
                if let Some(run) = self.runs.get_mut(run) {
                    run.decoding.blame = Some(*blame);
                    self.views.tab = Tab::Blame;
                    self.views.invalidate();
                }
            }
            News::Loaded(_) | News::Opened(_) => {}
        }
    }

    /// Takes over saved runs.
    pub(crate) fn open(&mut self, runs: Vec<Saved>) {
        for saved in runs {
            self.aligning.clone_from(&saved.run.alignment_heads);
            let source = || saved.run.source.text.clone();
            self.runs.push(Experiment {
                label: saved.label.unwrap_or_else(source),
                parent: saved.parent,
                decoding: saved.run,
            });
        }
        self.show(0);
    }

    pub(crate) fn fail(&mut self, why: String) {
        self.failure = why;
    }

    pub(super) fn show(&mut self, run: usize) {
        self.shown = run;
        self.hypothesis = 0;
        self.words.clear();
        self.reset_weights();
        self.choose();
        self.views.invalidate();
    }

    pub(crate) fn run(&self) -> Option<&Experiment> {
        self.runs.get(self.shown)
    }

    /// Takes over the chosen heads.
    pub(super) fn choose(&mut self) {
        self.flow.heads = match self.chosen {
            Chosen::All => HeadChoice::All,
            Chosen::Aligning => self.run().map_or(HeadChoice::All, |run| run.decoding.aligning()),
            Chosen::Layer(layer) => HeadChoice::Layer(layer),
            Chosen::Some if self.heads.is_empty() => HeadChoice::All,
            Chosen::Some => HeadChoice::Some(self.heads.iter().copied().collect()),
        };
    }

    /// The weights of the edited step as they are.
    pub(super) fn reset_weights(&mut self) {
        let Some(run) = self.runs.get(self.shown) else { return };
        let steps = run
            .decoding
            .hypotheses
            .get(self.hypothesis)
            .map_or(0, |found| found.row.len());
        self.step = self.step.min(steps.saturating_sub(1));
        let found = run
            .decoding
            .step_attention(self.hypothesis, self.step, &self.flow.heads);
        self.weights = found.unwrap_or_default();
    }

    pub(crate) fn ui(&mut self, ui: &mut Ui, jobs: &Jobs<News>) {
        apply_theme(ui.ctx(), &self.views.view);
        Panel::top("tools").show(ui, |ui| {
            ui.horizontal_wrapped(|ui| self.tools(ui, jobs));
            jobs.show(ui);
        });
        Panel::left("controls")
            .default_size(330.0)
            .max_size(420.0)
            .show(ui, |ui| {
                ui.set_min_size(ui.available_size());
                ScrollArea::vertical()
                    .id_salt("controls")
                    .auto_shrink(false)
                    .show(ui, |ui| self.controls(ui, jobs));
            });
        let ground = egui_color(self.views.view.colors().background);
        CentralPanel::default()
            .frame(Frame::NONE.fill(ground))
            .show(ui, |ui| self.plots(ui, jobs));
    }

    fn tools(&mut self, ui: &mut Ui, jobs: &Jobs<News>) {
        let name = self.runs.get(self.shown).map_or("", |run| run.decoding.model.as_str());
        ui.label(RichText::new(name).strong());
        ui.separator();
        if let Some(run) = self.runs.get(self.shown) {
            let count = run.decoding.hypotheses.len();
            let mut hypothesis = self.hypothesis;
            let name = |at: usize| {
                let found = run.decoding.hypotheses.get(at);
                found.map_or(String::new(), |found| {
                    format!("{} ({})", found.row.text, number(found.score))
                })
            };
            ComboBox::from_id_salt("hypothesis")
                .selected_text(name(hypothesis))
                .width(220.0)
                .show_ui(ui, |ui| {
                    for at in 0..count {
                        ui.selectable_value(&mut hypothesis, at, name(at));
                    }
                });
            if hypothesis != self.hypothesis {
                self.hypothesis = hypothesis;
                self.reset_weights();
                self.views.invalidate();
                self.find_neighbors(jobs);
            }
            ui.separator();
        }
        theme_switch(ui, &mut self.views.view);
        if let Some(format) = export_menu(ui, &Format::ALL) {
            self.export(format);
        }
        self.exports.show(ui);
    }

    /// Writes every plot of the shown run, and all runs.
    fn export(&mut self, format: Format) {
        let Some(run) = self.runs.get(self.shown) else { return };
        for (name, plot) in crate::files::plots(&run.decoding, &self.flow) {
            match plot {
                Ok(plot) => self.exports.plot(name, format, &*plot, &self.views.view, None),
                Err(error) => self.exports.fail(format!("{name}: {error}")),
            }
        }
        // All runs, for `--open`.
        let path = self.exports.folder().join("runs.json");
        let entry = |run: &Experiment| {
            let mut entry = serde_json::to_value(&run.decoding)?;
            (entry["parent"], entry["label"]) = (json!(run.parent), json!(run.label));
            Ok(entry)
        };
        let runs: Result<Vec<_>, serde_json::Error> = self.runs.iter().map(entry).collect();
        let written = runs.and_then(|runs| serde_json::to_vec(&json!({"runs": runs})));
        let written = written.map_err(|error| error.to_string());
        let written = written.and_then(|bytes| {
            attn_sdk::core::files::write_atomically(&path, &bytes).map_err(|error| error.to_string())
        });
        if let Err(error) = written {
            self.exports.fail(error);
        }
    }
}
