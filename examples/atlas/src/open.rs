//! Opens another model, in place of the shown one or beside it; and sessions.

use attn_egui::open_dialog::{OpenDialog, SessionDialog};
use attn_sdk::{embedded, study::source::Source};
use eframe::egui::{Context, Ui};

use crate::{against, pane::Pane, session::Session, source::What, window::Atlas};

/// The dialog that opens a model or a capture.
pub(crate) struct Dialog {
    /// Whether it opens beside the shown model.
    beside: bool,
    fields: OpenDialog,
}

impl Atlas {
    /// The menu of embedded models, control models and the dialog.
    pub(crate) fn model_menu(&mut self, ui: &mut Ui, name: &str, beside: bool) {
        let (mut chosen, mut control) = (None, None);
        ui.menu_button(name, |ui| {
            for model in embedded::all() {
                if ui.button(model.name).clicked() {
                    chosen = Some(What::embedded(model));
                    ui.close();
                }
            }
            if beside {
                control = against::offer(ui, &self.panes[0]);
            }
            if ui.button("Open …").clicked() {
                self.show_dialog(beside);
                ui.close();
            }
            if beside && self.panes.len() > 1 && ui.button("Close comparison").clicked() {
                self.panes.truncate(1);
                self.active = 0;
                ui.close();
            }
        });
        if let Some(what) = chosen {
            self.bring(what, beside, ui.ctx());
        }
        if let Some(source) = control {
            self.bring_source(source, None, beside, ui.ctx());
        }
    }

    pub(crate) fn show_dialog(&mut self, beside: bool) {
        let fields = [
            (
                "Model or capture",
                "folder of a checkpoint, GGUF file, or folder of a capture",
            ),
            (
                "Data",
                "text file, or folder of images or sounds; empty: what comes with the SDK",
            ),
        ];
        let title = if beside { "Compare with" } else { "Open" };
        self.dialog = Some(Dialog {
            beside,
            fields: OpenDialog::new(title, fields),
        });
    }

    /// Asks where a session is to be written, or which one to open.
    pub(crate) fn ask_for_session(&mut self, saves: bool) {
        self.session_dialog = Some(SessionDialog::new(saves, self.session.as_deref()));
    }

    /// Opens what can be named, in place of the shown model or beside it.
    pub(crate) fn bring(&mut self, what: What, beside: bool, context: &Context) {
        match what.source() {
            Ok(source) => self.bring_source(source, Some(what), beside, context),
            Err(error) => self.active().notes.push(error.to_string()),
        }
    }

    /// What is on view stays until the source can be read.
    pub(crate) fn bring_source(&mut self, source: Source, what: Option<What>, beside: bool, context: &Context) {
        let view = self.fresh_view();
        let pane = Pane::new(
            source,
            what,
            self.params.clone(),
            view,
            &self.out,
            None,
            &self.state,
            context,
        );
        self.coming = Some((Box::new(pane), beside));
    }

    pub(crate) fn dialogs(&mut self, context: &Context) {
        self.open_dialog(context);
        let Some(dialog) = &mut self.session_dialog else { return };
        let named = dialog.show(context);
        if !dialog.is_open() {
            self.session_dialog = None;
            return;
        }
        let Some(path) = named else { return };
        if dialog.saves() {
            self.session_dialog = None;
            return self.save_session(path);
        }
        let opened = Session::open(&path).and_then(|session| self.restore(session, context).map_err(Into::into));
        match (opened, &mut self.session_dialog) {
            (Ok(()), dialog) => {
                *dialog = None;
                self.session = Some(path);
            }
            (Err(error), Some(dialog)) => dialog.fail(error),
            (Err(_), None) => {}
        }
    }

    fn open_dialog(&mut self, context: &Context) {
        let Some(dialog) = &mut self.dialog else { return };
        let beside = dialog.beside;
        if let Some([model, data]) = dialog.fields.show(context).as_deref() {
            let what = What::typed(model, data);
            match what.source() {
                Ok(source) => {
                    self.dialog = None;
                    self.bring_source(source, Some(what), beside, context);
                }
                Err(error) => dialog.fields.fail(error),
            }
        } else if !dialog.fields.is_open() {
            self.dialog = None;
        }
    }
}
