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
    Export, SceneView, TextTable, apply_theme, color_picker, export_menu, history_buttons, link, search_box,
    theme_switch, tool_buttons,
};
use attn_sdk::{
    Study,
    core::HeadId,
    render::{Cells, Event, Table, View, search},
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
            labels: labels(&study),
            note: String::new(),
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
    matrix: View,
    head: View,
    sentence: View,
}

struct App {
    study: Study,
    session: Session,
    options: embed::Options,
    matrix: SceneView,
    head: SceneView,
    sentence: SceneView,
    table: TextTable,
    labels: Vec<String>,
    note: String,
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
                let shown = self
                    .sentence
                    .show(ui, view, |size, view| study.sentence(open, sequence, view, Some(size)));
                if shown.changed() {
                    link(&self.session.sentence, &mut self.session.matrix);
                    link(&self.session.sentence, &mut self.session.head);
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
        color_picker(ui, &mut self.session.matrix, &self.study.color_modes(), &[]);
        let texts: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        let wanted = &self.session.matrix.search;
        let count = search(wanted, &texts, texts.len() / 2).describe(wanted);
        search_box(ui, &mut self.session.matrix, &count);
        if let Some(kind) = export_menu(ui, &Export::ALL) {
            let written = self.export(kind);
            self.note = written.unwrap_or_else(|error| error.to_string());
        }
        ui.label(&self.note);
        if self.session.matrix != before {
            link(&self.session.matrix, &mut self.session.head);
            link(&self.session.matrix, &mut self.session.sentence);
        }
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
        let study = &self.study;
        let shown = self.matrix.show_with(
            ui,
            &mut self.session.matrix,
            |size, view| study.matrix(view, Some(size)),
            |scene, view, at| study.draw_hover(scene, view, at.size, at.pointer, at.head, at.hit),
        );
        if let Some(head) = shown.opened() {
            // It opens beside the matrix, not in its place.
            self.session.matrix.close_head();
            self.choose(head, self.session.sequence);
        }
        if shown.changed() {
            link(&self.session.matrix, &mut self.session.head);
            link(&self.session.matrix, &mut self.session.sentence);
        }
    }

    fn one_head(&mut self, ui: &mut Ui) {
        let (study, open, sequence) = (&self.study, self.session.open, self.session.sequence);
        self.session.head.open = Some(open);
        let shown = self.head.show_with(
            ui,
            &mut self.session.head,
            |size, view| study.head(open, Some(sequence), view, Some(size)),
            |scene, view, at| study.draw_hover(scene, view, at.size, at.pointer, at.head, at.hit),
        );
        for event in &shown.events {
            if let Event::SelectPoint(Some(pick)) = event
                && let Some(place) = self.study.place(open, pick.id)
            {
                self.choose(open, place.sequence);
            }
        }
        if shown.changed() {
            link(&self.session.head, &mut self.session.matrix);
            link(&self.session.head, &mut self.session.sentence);
        }
    }

    /// Another head or sentence is to be seen.
    fn choose(&mut self, open: HeadId, sequence: usize) {
        (self.session.open, self.session.sequence) = (open, sequence);
        self.head.invalidate();
        self.sentence.invalidate();
    }

    /// Writes the open head, or what its numbers are.
    fn export(&self, kind: Export) -> Result<String, Box<dyn Error>> {
        let scene = self.head.scene().ok_or("nothing is shown yet")?;
        let mut table = Table::default();
        let points = &self.study.projection(self.session.open)?.embedding.points;
        table.push("token", Cells::Texts(self.labels.clone()))?;
        table.push("x", Cells::Numbers(points.column(0).to_vec()))?;
        table.push("y", Cells::Numbers(points.column(1).to_vec()))?;
        let bytes = kind.bytes(scene, &self.session.head, || table)?;
        let name = format!(
            "head-{}-{}.{}",
            self.session.open.layer,
            self.session.open.head,
            kind.extension()
        );
        attn_sdk::core::files::write_atomically(name.as_ref(), &bytes)?;
        Ok(format!("written: {name}"))
    }
}

/// The tokens that a search looks at: those of the queries, then of the keys.
fn labels(study: &Study) -> Vec<String> {
    let sequences = study
        .sequences()
        .iter()
        .map(|index| &study.capture().sequences()[*index]);
    let texts = sequences
        .flat_map(|sequence| &sequence.encoder)
        .map(|token| token.text.clone());
    let texts: Vec<String> = texts.collect();
    [texts.clone(), texts].concat()
}
