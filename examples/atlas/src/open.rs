//! Opens another model, in place of the shown one or beside it.

use std::path::PathBuf;

use attn_egui::OpenDialog;
use attn_sdk::{
    Error,
    core::Capture,
    embedded,
    models::Checkpoint,
    render::{Shared, ViewState},
    study::source::{Data, Source, TextFile},
};
use eframe::egui::{self, Ui};

use crate::{
    against,
    pane::Pane,
    source::{default_data, embedded_source},
    window::Atlas,
};

/// The dialog that opens a model or a capture.
pub(crate) struct Dialog {
    /// Whether it opens beside the shown model.
    beside: bool,
    fields: OpenDialog,
}

impl Dialog {
    fn new(beside: bool) -> Self {
        let fields = [
            ("Model or capture", "folder of a checkpoint, or of a capture"),
            ("Data", "text file, or folder of images; empty: what comes with the SDK"),
        ];
        let title = if beside { "Compare with" } else { "Open" };
        Self {
            beside,
            fields: OpenDialog::new(title, fields),
        }
    }
}

impl Atlas {
    /// The menu of embedded models, control models and the dialog.
    pub(crate) fn model_menu(&mut self, ui: &mut Ui, name: &str, beside: bool) {
        let mut chosen = None;
        ui.menu_button(name, |ui| {
            for model in embedded::all() {
                if ui.button(model.name).clicked() {
                    chosen = Some(embedded_source(model));
                    ui.close();
                }
            }
            if beside {
                let control = against::offer(ui, &self.panes[0]);
                chosen = control.map(Ok).or(chosen.take());
            }
            if ui.button("Open …").clicked() {
                self.dialog = Some(Dialog::new(beside));
                ui.close();
            }
            if beside && self.panes.len() > 1 && ui.button("Close comparison").clicked() {
                self.panes.truncate(1);
                self.active = 0;
                ui.close();
            }
        });
        match chosen {
            Some(Ok(source)) => self.bring(source, beside, ui.ctx()),
            Some(Err(error)) => self.active().notes.push(error.to_string()),
            None => {}
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
        let pane = Pane::new(source, self.params.clone(), view, &self.out, None, &self.state, context);
        if beside {
            self.panes.truncate(1);
            self.panes.push(pane);
            self.active = 1;
        } else {
            self.panes[self.active] = pane;
        }
    }

    pub(crate) fn open_dialog(&mut self, ui: &Ui) {
        let Some(dialog) = &mut self.dialog else { return };
        let beside = dialog.beside;
        if let Some([model, data]) = dialog.fields.show(ui.ctx()).as_deref() {
            match typed(model, data) {
                Ok(source) => {
                    self.dialog = None;
                    self.bring(source, beside, ui.ctx());
                }
                Err(error) => dialog.fields.fail(error),
            }
        } else if !dialog.fields.is_open() {
            self.dialog = None;
        }
    }
}

/// What two typed paths mean.
fn typed(model: &str, data: &str) -> Result<Source, Error> {
    let folder = PathBuf::from(model);
    if Capture::is_in(&folder) {
        return Ok(Source::Folder { folder, text: None });
    }
    Ok(Source::Model {
        checkpoint: Checkpoint::open(folder)?,
        data: match PathBuf::from(data) {
            data if data.as_os_str().is_empty() => default_data()?,
            data if data.is_dir() => Data::ImageFolder(data),
            path => Data::Text(TextFile::new(path)),
        },
    })
}
