//! Host 4 of 4: an egui window (eframe) with several views side by side: every head, one head, one sentence, and a table of the
//! sentences. They share search, colours, selection, theme and what is under the pointer; each has its own camera.
//!
//! ```sh
//! cargo run --release --example embed_egui -- --session session.json
//! ```

#![allow(clippy::print_stderr, reason = "a command-line program")]

mod embed;

use std::error::Error;

use attn_egui::{
    Exports, Format, SceneView, TextTable, apply_theme, color_picker, export_menu, history_buttons, link_views,
    search_box, theme_switch, tool_buttons,
};
use attn_sdk::{
    Study,
    core::HeadId,
    render::{Event, Plot, ViewState, deferred},
};
use clap::Parser;
use eframe::egui::{self, CentralPanel, Panel, Ui};
use serde::{Deserialize, Serialize};

fn main() -> Result<(), Box<dyn Error>> {
    let options = embed::Options::parse();
    let study = embed::study()?;
    let fresh = Session {
        open: *study.ranking().first().ok_or("no heads")?,
        sequence: study.typical_sequence(),
        matrix: options.view(),
        head: options.view(),
        sentence: options.view(),
    };
    let session = options.open(fresh)?;
    let native = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default().with_inner_size([1280.0, 800.0]),
        ..Default::default()
    };
    let app = |cc: &eframe::CreationContext<'_>| -> Result<Box<dyn eframe::App>, _> {
        let state = cc.wgpu_render_state.as_ref().ok_or("eframe runs without wgpu")?;
        Ok(Box::new(App {
            matrix: SceneView::new(state, "all heads"),
            head: SceneView::new(state, "one head"),
            sentence: SceneView::new(state, "one sentence"),
            table: TextTable::default(),
            exports: Exports::default(),
            study,
            session,
            options,
        }))
    };
    eframe::run_native("attention heads", native, Box::new(app)).map_err(|error| error.to_string().into())
}

/// Everything that is saved: what is open, and how each view is looked at.
#[derive(Serialize, Deserialize)]
struct Session {
    open: HeadId,
    sequence: usize,
    matrix: ViewState,
    head: ViewState,
    sentence: ViewState,
}

struct App {
    study: Study,
    session: Session,
    options: embed::Options,
    matrix: SceneView,
    head: SceneView,
    sentence: SceneView,
    table: TextTable,
    exports: Exports,
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        apply_theme(ui.ctx(), &self.session.matrix);
        Panel::top("tools").show(ui, |ui| ui.horizontal_wrapped(|ui| self.tools(ui)));
        Panel::left("sentences")
            .default_size(250.0)
            .show(ui, |ui| self.sentences(ui));
        let views = egui::Frame::NONE;
        let half = 0.48 * ui.available_width();
        Panel::left("matrix")
            .frame(views)
            .default_size(half)
            .show(ui, |ui| self.all_heads(ui));
        let third = 0.4 * ui.available_height();
        Panel::bottom("sentence")
            .frame(views)
            .default_size(third)
            .show(ui, |ui| {
                let (study, open, sequence) = (&self.study, self.session.open, self.session.sequence);
                let view = &mut self.session.sentence;
                let sentence = deferred(|_| study.sentence(open, sequence));
                if self.sentence.show(ui, view, &sentence).changed() {
                    self.link(2);
                }
            });
        CentralPanel::default().frame(views).show(ui, |ui| self.one_head(ui));
    }

    fn on_exit(&mut self) {
        if let Err(error) = self.options.save(&self.session) {
            eprintln!("error: {error}");
        }
    }
}

impl App {
    fn tools(&mut self, ui: &mut Ui) {
        let before = self.session.matrix.clone();
        tool_buttons(ui, &mut self.head);
        history_buttons(ui, &mut self.head);
        ui.separator();
        theme_switch(ui, &mut self.session.matrix);
        color_picker(ui, &mut self.session.matrix, &self.study.color_names());
        let wanted = &self.session.matrix.shared.search;
        let count = self.study.matches(self.session.open, wanted).describe(wanted);
        search_box(ui, &mut self.session.matrix, &count);
        if let Some(format) = export_menu(ui, &Format::ALL) {
            let (study, open, sequence) = (&self.study, self.session.open, self.session.sequence);
            let head = deferred(|view| study.head(open, Some(sequence), view));
            let name = format!("head-{}-{}", open.layer, open.head);
            self.exports.plot(&name, format, &head, &self.session.head, None);
        }
        self.exports.show(ui);
        if self.session.matrix != before {
            self.link(0);
        }
    }

    /// What is done in one view is done in all; each has its own camera.
    fn link(&mut self, from: usize) {
        let session = &mut self.session;
        let mut views = [
            (&mut session.matrix, &mut self.matrix),
            (&mut session.head, &mut self.head),
            (&mut session.sentence, &mut self.sentence),
        ];
        link_views(from, &mut views);
    }

    fn sentences(&mut self, ui: &mut Ui) {
        let sequences = self.study.capture().sequences();
        let cell = |row: usize, column: usize| match column {
            0 => sequences[row].text.clone().unwrap_or_default(),
            _ => sequences[row].encoder.len().to_string(),
        };
        let chosen = Some(self.session.sequence);
        let shown = self
            .table
            .show(ui, &["sentence", "tokens"], sequences.len(), chosen, cell);
        if let Some(sequence) = shown.chosen {
            self.choose(self.session.open, sequence);
        }
    }

    fn all_heads(&mut self, ui: &mut Ui) {
        // A study is a plot: the matrix, or the open head.
        let shown = self.matrix.show(ui, &mut self.session.matrix, &self.study);
        if let Some(head) = shown.opened() {
            // It opens beside the matrix, not in its place.
            self.session.matrix.close_head();
            self.choose(head, self.session.sequence);
        }
        if shown.changed() {
            self.link(0);
        }
    }

    fn one_head(&mut self, ui: &mut Ui) {
        let (study, open, sequence) = (&self.study, self.session.open, self.session.sequence);
        self.session.head.open = Some(open);
        let head = deferred(|view| study.head(open, Some(sequence), view)).tooltips(|target| study.tooltip(target));
        let shown = self.head.show(ui, &mut self.session.head, &head);
        for event in &shown.events {
            if let Event::SelectPoint(Some(pick)) = event
                && let Some(place) = self.study.place(open, pick.id)
            {
                self.choose(open, place.sequence);
            }
        }
        if shown.changed() {
            self.link(1);
        }
    }

    /// Another head or sentence is to be seen.
    fn choose(&mut self, open: HeadId, sequence: usize) {
        (self.session.open, self.session.sequence) = (open, sequence);
        self.head.invalidate();
        self.sentence.invalidate();
    }
}
