//! The bars above and below the plots.

use attn_egui::{Jobs, attn_render::Format, export::export_menu, toolbar::theme_switch};
use attn_sdk::{core::format::number, study::decoding::Decoding};
use eframe::egui::{ComboBox, Label, Response, RichText, Ui, vec2};

use crate::{actions::Action, studio::Studio, window::News};

/// Characters of a hypothesis in the bar.
const NAMED: usize = 28;
/// Width of the line of progress, in points.
const PROGRESS: f32 = 470.0;

/// The hypotheses of a run, best first, of which one is chosen.
pub(super) fn hypotheses(
    ui: &mut Ui,
    id: &str,
    decoding: &Decoding,
    shown: usize,
    mut choose: impl FnMut(usize),
) -> Response {
    let name = |at: usize| {
        let found = decoding.hypotheses.get(at);
        found.map_or(String::new(), |found| {
            let cut = found.row.text.chars().count() > NAMED;
            let text: String = found.row.text.chars().take(NAMED).collect();
            format!("{text}{} ({})", if cut { "…" } else { "" }, number(found.score))
        })
    };
    let list = ComboBox::from_id_salt(id)
        .selected_text(name(shown))
        .width(220.0)
        .truncate();
    let list = list.show_ui(ui, |ui| {
        for at in 0..decoding.hypotheses.len() {
            if ui.selectable_label(shown == at, name(at)).clicked() {
                choose(at);
            }
        }
    });
    list.response
}

impl Studio {
    pub(super) fn tools(&mut self, ui: &mut Ui) -> Option<Action> {
        let mut asked = None;
        self.panels.settings.button(ui, "Source and settings ([)");
        let name = self.run().map(|run| run.decoding.model.clone());
        ui.label(RichText::new(name.unwrap_or_default()).strong());
        ui.separator();
        if let Some(run) = self.run() {
            hypotheses(ui, "hypothesis", &run.decoding, self.look.hypothesis, |at| {
                asked = Some(Action::Hypothesis(at));
            })
            .on_hover_text("The hypothesis, best first (, and .)");
            ui.separator();
        }
        for (name, help, action) in [
            ("Undo", "Undo (u)", Action::Undo),
            ("Redo", "Redo (r)", Action::Redo),
            ("Open", "Opens a session or a run.json (Ctrl+O)", Action::Open),
            ("Save", "Saves the session (Ctrl+S)", Action::Save),
        ] {
            if ui.button(name).on_hover_text(help).clicked() {
                asked = Some(action);
            }
        }
        if let Some(format) = export_menu(ui, &Format::ALL) {
            asked = Some(Action::Export(format));
        }
        ui.separator();
        theme_switch(ui, &mut self.look.view);
        let commands = ui.button("Commands");
        if commands
            .on_hover_text("The window's commands, by name: Ctrl+K")
            .clicked()
        {
            asked = Some(Action::Commands);
        }
        if ui.button("?").on_hover_text("Help (F1)").clicked() {
            asked = Some(Action::Help);
        }
        ui.separator();
        self.panels.predictions.button(ui, "Predictions");
        self.panels.detail.button(ui, "Beam tree and states (\\)");
        self.panels.experiments.button(ui, "Experiments (])");
        asked
    }

    /// The line at the foot: progress, then what failed, else the last file. It is there whether or not something runs.
    pub(super) fn status(&mut self, ui: &mut Ui, jobs: &Jobs<News>) {
        ui.horizontal(|ui| {
            let height = ui.spacing().interact_size.y;
            ui.set_height(height);
            let size = vec2(PROGRESS.min(0.5 * ui.available_width()), height);
            let running = !jobs.running().is_empty();
            if running {
                ui.allocate_ui(size, |ui| {
                    ui.set_min_size(size);
                    ui.horizontal(|ui| jobs.show_line(ui));
                });
            }
            let said = if self.failure.is_empty() {
                RichText::new(self.exports.status()).weak()
            } else {
                RichText::new(&self.failure).color(ui.visuals().error_fg_color)
            };
            ui.add(Label::new(said).truncate());
        });
    }
}
