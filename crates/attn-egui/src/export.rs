//! The menu from which a plot and its numbers are written, and the files of a window.

use std::{
    fmt::Display,
    fs,
    path::{Path, PathBuf},
};

use attn_render::{Exporter, Format, Plot, Table, ViewState, write_table};
use egui::{RichText, Ui};

use crate::SceneView;

/// A menu of `formats`; returns the chosen one. An
/// [`Exporter`] writes it.
pub fn export_menu(ui: &mut Ui, formats: &[Format]) -> Option<Format> {
    let mut chosen = None;
    ui.menu_button("Export", |ui| {
        for format in formats {
            let name = match format {
                Format::Png => "Image (PNG)",
                Format::Svg => "Vector image (SVG)",
                Format::Csv => "Data (CSV)",
                Format::Json => "Data (JSON)",
                other => other.extension(),
            };
            if ui.button(name).clicked() {
                chosen = Some(*format);
                ui.close();
            }
        }
    });
    chosen
}

/// The files that a window exports: the folder (by default the current one), and the line that says what became of the last one.
///
/// ```
/// use attn_egui::{Exports, attn_render::Format};
/// use attn_render::{ViewState, plots::Histogram};
///
/// let folder = std::env::temp_dir().join("attn-egui-exports");
/// let mut exports = Exports::new(&folder);
/// exports.plot("lengths", Format::Csv, &Histogram::new([0.0, 1.0]), &ViewState::default(), None);
/// assert_eq!(exports.status(), format!("written: {}", folder.join("lengths.csv").display()));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Exports {
    folder: PathBuf,
    status: String,
}

impl Exports {
    /// Files go to this folder, which is made with the first one.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            status: String::new(),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a plot, or the numbers behind it, to `name` with the extension of the format. `widget` is where the plot is on
    /// view, for its size; `None` for the natural size. An error becomes the status, and so does what no font has.
    pub fn plot(&mut self, name: &str, format: Format, plot: &dyn Plot, state: &ViewState, widget: Option<&SceneView>) {
        let mut exporter = Exporter::default();
        exporter.size = widget.and_then(SceneView::scene).map(|scene| scene.size);
        // Texts are in any script.
        exporter.system_fonts = true;
        self.write(name, format, |path| exporter.write(plot, state, path));
        if let Some(note) = exporter.missing_note() {
            self.status.push_str(&format!(". {note}"));
        }
    }

    /// Writes a table. A table has no PNG and no SVG; for these the status says so.
    pub fn table(&mut self, name: &str, format: Format, table: &Table) {
        self.write(name, format, |path| write_table(table, path));
    }

    /// Makes a text the status.
    pub fn say(&mut self, text: impl Into<String>) {
        self.status = text.into();
    }

    /// Makes a failure the status.
    pub fn fail(&mut self, error: impl Display) {
        self.status = error.to_string();
    }

    /// `written: PATH` for the last file, or why there is none. Empty before the first.
    pub fn status(&self) -> &str {
        &self.status
    }

    /// Shows the status, if there is one.
    pub fn show(&self, ui: &mut Ui) {
        if !self.status.is_empty() {
            ui.label(RichText::new(&self.status).weak());
        }
    }

    fn write(&mut self, name: &str, format: Format, write: impl FnOnce(&Path) -> attn_render::Result<()>) {
        let path = self.folder.join(format!("{name}.{}", format.extension()));
        let made = fs::create_dir_all(&self.folder).map_err(|error| error.to_string());
        let written = made.and_then(|()| write(&path).map_err(|error| error.to_string()));
        self.status = match written {
            Ok(()) => format!("written: {}", path.display()),
            Err(error) => error,
        };
    }
}
