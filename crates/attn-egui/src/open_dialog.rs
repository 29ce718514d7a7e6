//! Windows in which the user types what to open, or where to write.

use std::path::{Path, PathBuf};

use egui::{Context, Frame, Grid, Key, Modifiers, RichText, Stroke, TextEdit, Window};

/// Width of a field, in points.
const WIDTH: f32 = 380.0;

/// A dialog with fields for paths. It stays open until what was typed opens or the user closes it.
///
/// ```
/// use attn_egui::open_dialog::OpenDialog;
///
/// let mut dialog = OpenDialog::new("Open", [("Model", "folder of a checkpoint"), ("Data", "text file")]);
/// dialog.fail("no such folder");
/// assert!(dialog.is_open());
/// ```
#[derive(Debug, Clone)]
pub struct OpenDialog {
    title: String,
    fields: Vec<Field>,
    failure: Option<String>,
    button: String,
    open: bool,
    /// Whether the first field is still to get the keyboard.
    fresh: bool,
}

#[derive(Debug, Clone)]
struct Field {
    name: String,
    hint: String,
    typed: String,
}

impl OpenDialog {
    /// An open dialog with empty fields: names and hints.
    pub fn new<N: Into<String>, H: Into<String>>(
        title: impl Into<String>,
        fields: impl IntoIterator<Item = (N, H)>,
    ) -> Self {
        let field = |(name, hint): (N, H)| Field {
            name: name.into(),
            hint: hint.into(),
            typed: String::new(),
        };
        Self {
            title: title.into(),
            fields: fields.into_iter().map(field).collect(),
            failure: None,
            button: "Open".into(),
            open: true,
            fresh: true,
        }
    }

    /// The same with a text in a field, by its place.
    #[must_use]
    pub fn filled(mut self, field: usize, text: impl Into<String>) -> Self {
        if let Some(field) = self.fields.get_mut(field) {
            field.typed = text.into();
        }
        self
    }

    /// The same with another name of the button that is *Open* by default.
    #[must_use]
    pub fn button(mut self, name: impl Into<String>) -> Self {
        self.button = name.into();
        self
    }

    /// Shows the dialog; returns what was typed, a text per field and without outer spaces, when the user clicks *Open* or
    /// presses Enter. Escape closes it.
    pub fn show(&mut self, context: &Context) -> Option<Vec<String>> {
        let (mut clicked, mut cancelled) = (false, false);
        let mut open = self.open;
        let pressed = |key| context.input_mut(|input| input.consume_key(Modifiers::NONE, key));
        let (enter, escape) = (pressed(Key::Enter), pressed(Key::Escape));
        let window = Window::new(self.title.as_str())
            .open(&mut open)
            .resizable(false)
            .collapsible(false)
            .default_pos([120.0, 90.0]);
        window.show(context, |ui| {
            Grid::new("fields").num_columns(2).show(ui, |ui| {
                for field in &mut self.fields {
                    ui.label(field.name.as_str());
                    let frame = Frame::new()
                        .stroke(Stroke::new(1.0, ui.visuals().weak_text_color()))
                        .corner_radius(3.0);
                    let edit = TextEdit::singleline(&mut field.typed).desired_width(WIDTH);
                    let edit = frame.show(ui, |ui| ui.add(edit)).inner;
                    if std::mem::take(&mut self.fresh) {
                        edit.request_focus();
                    }
                    ui.end_row();
                    // Below the field, since it would be cut inside.
                    ui.label("");
                    ui.label(RichText::new(field.hint.as_str()).weak());
                    ui.end_row();
                }
            });
            if let Some(failure) = &self.failure {
                ui.label(failure.as_str());
            }
            ui.horizontal(|ui| {
                clicked = ui.button(self.button.as_str()).on_hover_text("Enter").clicked() || enter;
                cancelled = ui.button("Cancel").on_hover_text("Escape").clicked() || escape;
            });
        });
        self.open = open && !cancelled;
        let typed = |field: &Field| field.typed.trim().to_owned();
        clicked.then(|| self.fields.iter().map(typed).collect())
    }

    /// Says in the dialog why what was typed did not open.
    pub fn fail(&mut self, error: impl std::fmt::Display) {
        self.failure = Some(error.to_string());
    }

    /// Whether the user has left it open.
    pub fn is_open(&self) -> bool {
        self.open
    }
}

/// Asks for the file of a session: where it is to be written, or which one to open.
///
/// ```
/// use attn_egui::open_dialog::SessionDialog;
///
/// let mut dialog = SessionDialog::new(true, None);
/// assert!(dialog.saves() && dialog.is_open());
/// ```
#[derive(Debug, Clone)]
pub struct SessionDialog {
    saves: bool,
    fields: OpenDialog,
}

impl SessionDialog {
    /// An open dialog. It proposes the file that is `known`, or `session.json`.
    pub fn new(saves: bool, known: Option<&Path>) -> Self {
        let (title, hint, button) = match saves {
            true => ("Save session", "a file, such as session.json", "Save"),
            false => ("Open session", "a file that was saved here", "Open"),
        };
        let known = known.unwrap_or(Path::new("session.json")).display().to_string();
        let fields = OpenDialog::new(title, [("File", hint)]).filled(0, known);
        Self {
            saves,
            fields: fields.button(button),
        }
    }

    /// Whether it asks where to write.
    pub fn saves(&self) -> bool {
        self.saves
    }

    /// Shows it; returns the file once it was named. As [`OpenDialog::show`].
    pub fn show(&mut self, context: &Context) -> Option<PathBuf> {
        let typed = self.fields.show(context)?;
        typed
            .into_iter()
            .next()
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    }

    /// Says in the dialog why the file was not written or opened.
    pub fn fail(&mut self, error: impl std::fmt::Display) {
        self.fields.fail(error);
    }

    /// Whether the user has left it open.
    pub fn is_open(&self) -> bool {
        self.fields.is_open()
    }
}
