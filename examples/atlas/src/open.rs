//! Opens another model, in place of the shown one or beside it.

use std::path::PathBuf;

use attn_sdk::{
    embedded,
    render::{Shared, ViewState},
};
use eframe::egui::{self, Grid, TextEdit, Ui, Window};

use crate::{
    against,
    side::Side,
    source::{Data, Model, Source, TextFile},
    window::Atlas,
};

/// The dialog that opens a model or a capture.
pub(crate) struct Dialog {
    /// Whether it opens beside the shown model.
    beside: bool,
    model: String,
    data: String,
}

impl Atlas {
    /// The menu of embedded models, control models and the dialog.
    pub(crate) fn model_menu(&mut self, ui: &mut Ui, name: &str, beside: bool) {
        let mut chosen = None;
        ui.menu_button(name, |ui| {
            for model in embedded::all() {
                if ui.button(model.name).clicked() {
                    chosen = Some(Source::Model {
                        model: Model::Embedded(model),
                        data: Data::Default,
                    });
                    ui.close();
                }
            }
            if beside {
                let control = against::offer(ui, &self.sides[0]);
                chosen = control.or(chosen.take());
            }
            if ui.button("Open …").clicked() {
                self.dialog = Some(Dialog {
                    beside,
                    model: String::new(),
                    data: String::new(),
                });
                ui.close();
            }
            if beside && self.sides.len() > 1 && ui.button("Close comparison").clicked() {
                self.sides.truncate(1);
                self.active = 0;
                ui.close();
            }
        });
        if let Some(source) = chosen {
            self.bring(source, beside, ui.ctx());
        }
    }

    /// Opens a source, in place of the shown one or beside it.
    fn bring(&mut self, source: Source, beside: bool, context: &egui::Context) {
        let now = self.active();
        let view = ViewState::from(Shared {
            theme: now.view.shared.theme,
            palette: now.view.shared.palette,
            ..Shared::default()
        });
        let side = Side::new(source, self.params.clone(), view, &self.out, None, &self.state, context);
        if beside {
            self.sides.truncate(1);
            self.sides.push(side);
            self.active = 1;
        } else {
            self.sides[self.active] = side;
        }
    }

    pub(crate) fn open_dialog(&mut self, ui: &Ui) {
        let Some(dialog) = &mut self.dialog else { return };
        let (mut open, mut go) = (true, false);
        let title = if dialog.beside { "Compare with" } else { "Open" };
        Window::new(title)
            .open(&mut open)
            .resizable(false)
            .show(ui.ctx(), |ui| {
                Grid::new("open").num_columns(2).show(ui, |ui| {
                    let data = "text file or folder of images; empty for the embedded data";
                    for (name, path, hint) in [
                        (
                            "Model or capture",
                            &mut dialog.model,
                            "folder of a checkpoint or a capture",
                        ),
                        ("Data", &mut dialog.data, data),
                    ] {
                        ui.label(name);
                        ui.add(TextEdit::singleline(path).hint_text(hint).desired_width(380.0));
                        ui.end_row();
                    }
                });
                go = ui.button("Open").clicked();
            });
        if go {
            let source = typed(&dialog.model, &dialog.data);
            let beside = dialog.beside;
            self.dialog = None;
            self.bring(source, beside, ui.ctx());
        } else if !open {
            self.dialog = None;
        }
    }
}

/// The source of two typed paths.
fn typed(model: &str, data: &str) -> Source {
    let model = PathBuf::from(model.trim());
    if model.join("capture.json").is_file() {
        return Source::Folder(model, None);
    }
    let data = match PathBuf::from(data.trim()) {
        data if data.as_os_str().is_empty() => Data::Default,
        data if data.is_dir() => Data::Images(data),
        path => Data::Text(TextFile {
            path,
            format: None,
            column: None,
        }),
    };
    Source::Model {
        model: Model::Folder(model),
        data,
    }
}
