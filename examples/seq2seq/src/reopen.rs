//! Sessions of the window: written, opened again, gone on with.

use std::{path::PathBuf, sync::Arc};

use attn_egui::{Jobs, open_dialog::SessionDialog};
use attn_sdk::{
    render::History,
    study::decoding::{Decoder, Decoding},
};
use eframe::egui::Ui;

use crate::{
    help,
    look::Look,
    options::Options,
    saved::{self, Opened},
    studio::{Experiment, Studio},
    window::{self, News},
};

impl Studio {
    /// Opens saved runs in place of all.
    pub(crate) fn restore(&mut self, opened: Opened, path: PathBuf, jobs: &Jobs<News>) {
        let Some(first) = opened.runs.first() else { return };
        for job in jobs.running() {
            jobs.stop(job.id);
        }
        self.dialog = None;
        self.failure.clear();
        let name = first.run.model.clone();
        let (source, params) = (first.run.source.text.clone(), first.run.params.clone());
        self.aligning.clone_from(&first.run.alignment_heads);
        let experiment = |saved: saved::Saved| Experiment {
            label: saved.label.unwrap_or_else(|| saved.run.source.text.clone()),
            parent: saved.parent,
            decoding: Arc::new(saved.run),
        };
        self.runs = opened.runs.into_iter().map(experiment).collect();
        self.history = History::default();
        (self.words, self.ranks) = (Vec::new(), None);
        let runs: Vec<&Decoding> = self.runs.iter().map(|run| &*run.decoding).collect();
        match opened.kept {
            Some(kept) => {
                (self.look, self.panels) = (kept.look, kept.panels);
                self.look.hold_to(&runs);
                self.go_on_with(kept.origin.options(&self.options), &name, jobs);
            }
            None => {
                let flow = self.look.flow.clone();
                self.look = Look::new(source, String::new(), params, self.look.view.clone());
                self.look.flow = flow;
                self.look.hold_to(&runs);
                let same = |decoder: &Decoder| decoder.model().info().name == name;
                if !self.decoder.as_ref().is_some_and(same) {
                    (self.decoder, self.index, self.index_folder) = (None, None, None);
                    self.languages.clear();
                }
            }
        }
        if self.look.weights.is_empty() {
            self.reset_weights();
        }
        self.session = Some(path);
        self.choose();
        self.views.invalidate();
        self.find_neighbors(jobs);
    }

    /// Loads the model of a session, unless it is there.
    fn go_on_with(&mut self, options: Options, name: &str, jobs: &Jobs<News>) {
        let same = |decoder: &Decoder| decoder.model().info().name == name;
        let asked = |options: &Options| (options.model.clone(), options.index.clone(), options.fault.clone());
        if self.decoder.as_ref().is_some_and(same) && asked(&options) == asked(&self.options) {
            return;
        }
        (self.decoder, self.index, self.index_folder) = (None, None, None);
        self.languages.clear();
        self.options = options;
        window::load(&self.options, jobs);
        window::open_index(&self.options, jobs);
    }

    /// Writes the session.
    pub(super) fn save(&mut self, path: PathBuf, jobs: &Jobs<News>) {
        let written = saved::Session::new(&self.options, &self.look, &self.panels, &self.runs);
        jobs.start("session", move |job| {
            written.write(&path)?;
            job.send(News::Saved(path));
            Ok(())
        });
    }

    pub(super) fn ask_for_session(&mut self, saves: bool) {
        self.dialog = Some(SessionDialog::new(saves, self.session.as_deref()));
    }

    pub(super) fn dialogs(&mut self, ui: &Ui, jobs: &Jobs<News>) {
        help::show(ui.ctx(), &mut self.help);
        let Some(dialog) = &mut self.dialog else { return };
        let named = dialog.show(ui.ctx());
        if !dialog.is_open() {
            self.dialog = None;
            return;
        }
        let Some(path) = named else { return };
        if dialog.saves() {
            self.dialog = None;
            self.save(path, jobs);
        } else {
            window::open_runs(path, jobs);
        }
    }
}
