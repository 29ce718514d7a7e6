//! Host 4 of 4: an egui window (eframe) with linked views: every head, one head, one sentence, a table of the sentences.
//!
//! ```sh
//! cargo run --release --example embed_egui -- --session session.json
//! ```

#![allow(clippy::print_stderr, reason = "a command-line program")]

mod embed;
#[path = "embed/views.rs"]
mod views;

use std::error::Error;

use attn_egui::toolbar::{color_picker, history_buttons, theme_switch, tool_buttons};
use attn_egui::{Exports, TextTable, apply_theme, draw_directly, egui_wgpu, export::export_menu, search_box};
use attn_sdk::Study;
use attn_sdk::render::{Format, Plot, control::Event, plot::deferred};
use clap::Parser;
use eframe::egui::{CentralPanel, Frame, Panel, Ui, ViewportBuilder};
use views::{Session, Views};

fn main() -> Result<(), Box<dyn Error>> {
    let options = embed::Options::parse();
    let study = embed::study()?;
    let session = options.open(Session::new(&study, &options)?)?;
    let native = eframe::NativeOptions {
        viewport: ViewportBuilder::default().with_inner_size([1280.0, 800.0]),
        ..Default::default()
    };
    let app = |cc: &eframe::CreationContext<'_>| -> Result<Box<dyn eframe::App>, _> {
        let state = cc.wgpu_render_state.as_ref().ok_or("eframe runs without wgpu")?;
        draw_directly(state, &egui_wgpu::RendererOptions::default());
        Ok(Box::new(App {
            views: Views::new(state, session),
            table: TextTable::default(),
            exports: Exports::default(),
            study,
            options,
        }))
    };
    eframe::run_native("attention heads", native, Box::new(app)).map_err(|error| error.to_string().into())
}

struct App {
    study: Study,
    options: embed::Options,
    views: Views,
    table: TextTable,
    exports: Exports,
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        apply_theme(ui.ctx(), &self.views.session.matrix);
        Panel::top("tools").show(ui, |ui| ui.horizontal_wrapped(|ui| self.tools(ui)));
        let left = Panel::left("sentences").default_size(250.0);
        left.show(ui, |ui| self.sentences(ui));
        let middle = Panel::left("matrix").default_size(0.48 * ui.available_width());
        middle.frame(Frame::NONE).show(ui, |ui| self.all_heads(ui));
        let below = Panel::bottom("sentence").default_size(0.4 * ui.available_height());
        below.frame(Frame::NONE).show(ui, |ui| self.one_sentence(ui));
        CentralPanel::default()
            .frame(Frame::NONE)
            .show(ui, |ui| self.one_head(ui));
    }

    fn on_exit(&mut self) {
        if let Err(error) = self.options.save(&self.views.session) {
            eprintln!("error: {error}");
        }
    }
}

impl App {
    fn tools(&mut self, ui: &mut Ui) {
        let before = self.views.session.matrix.clone();
        tool_buttons(ui, &mut self.views.head);
        history_buttons(ui, &mut self.views.head);
        ui.separator();
        theme_switch(ui, &mut self.views.session.matrix);
        color_picker(ui, &mut self.views.session.matrix, &self.study.color_names());
        let wanted = &self.views.session.matrix.shared.search;
        let count = self.study.matches(self.views.session.open, wanted).describe(wanted);
        search_box(ui, &mut self.views.session.matrix, &count);
        if let Some(format) = export_menu(ui, &Format::ALL) {
            let (study, (open, sequence)) = (&self.study, self.views.shown());
            let head = deferred(|view| study.head(open, Some(sequence), view));
            let name = format!("head-{}-{}", open.layer, open.head);
            self.exports.plot(&name, format, &head, &self.views.session.head, None);
        }
        self.exports.show(ui);
        if self.views.session.matrix != before {
            self.views.link(0);
        }
    }

    fn sentences(&mut self, ui: &mut Ui) {
        let sequences = self.study.capture().sequences();
        let cell = |row: usize, column: usize| match column {
            0 => sequences[row].text.clone().unwrap_or_default(),
            _ => sequences[row].encoder.len().to_string(),
        };
        let ((open, chosen), names) = (self.views.shown(), ["sentence", "tokens"]);
        let shown = self.table.show(ui, &names, sequences.len(), Some(chosen), cell);
        if let Some(sequence) = shown.chosen {
            self.views.choose(open, sequence);
        }
    }

    fn all_heads(&mut self, ui: &mut Ui) {
        // A study is a plot: the matrix, or the open head.
        let shown = self.views.matrix.show(ui, &mut self.views.session.matrix, &self.study);
        if let Some(head) = shown.opened() {
            // It opens beside the matrix, not in its place.
            self.views.session.matrix.close_head();
            self.views.choose(head, self.views.session.sequence);
        }
        if shown.changed() {
            self.views.link(0);
        }
    }

    fn one_sentence(&mut self, ui: &mut Ui) {
        let (study, (open, sequence)) = (&self.study, self.views.shown());
        let sentence = deferred(|_| study.sentence(open, sequence));
        let state = &mut self.views.session.sentence;
        if self.views.sentence.show(ui, state, &sentence).changed() {
            self.views.link(2);
        }
    }

    fn one_head(&mut self, ui: &mut Ui) {
        let (study, (open, sequence)) = (&self.study, self.views.shown());
        self.views.session.head.open = Some(open);
        let head = deferred(|view| study.head(open, Some(sequence), view)).tooltips(|target| study.tooltip(target));
        let shown = self.views.head.show(ui, &mut self.views.session.head, &head);
        for event in &shown.events {
            if let Event::SelectPoint(Some(pick)) = event
                && let Some(place) = self.study.place(open, pick.id)
            {
                self.views.choose(open, place.sequence);
            }
        }
        if shown.changed() {
            self.views.link(1);
        }
    }
}
