//! Export of plots and tables: the same menu and the same message for every panel.

use std::{error::Error, fs, path::Path};

use attn_egui::{SceneView, export_menu};
use attn_sdk::{
    core::{files::write_atomically, table::Table},
    render::{Exporter, Format, Plot, ViewState},
};
use eframe::egui::Ui;

/// The menu of a plot.
pub(crate) fn menu(ui: &mut Ui) -> Option<Format> {
    export_menu(ui, &Format::ALL)
}

/// The menu of a table.
pub(crate) fn numbers_menu(ui: &mut Ui) -> Option<Format> {
    export_menu(ui, &Format::NUMBERS)
}

/// Writes a plot as shown, or its data, to a folder. Returns a message: the path, or the error.
pub(crate) fn write(
    out: &Path,
    name: &str,
    format: Format,
    plot: &dyn Plot,
    view: &ViewState,
    widget: &SceneView,
) -> String {
    let mut exporter = Exporter::default();
    exporter.size = widget.scene().map(|scene| scene.size);
    let bytes = exporter.bytes(plot, view, format).map_err(Into::into);
    said(out, name, format, bytes)
}

/// The same for a table.
pub(crate) fn write_table(out: &Path, name: &str, format: Format, table: &Table) -> String {
    said(out, name, format, Ok(format.table_bytes(table).unwrap_or_default()))
}

fn said(out: &Path, name: &str, format: Format, bytes: Result<Vec<u8>, Box<dyn Error>>) -> String {
    let write = || -> Result<String, Box<dyn Error>> {
        fs::create_dir_all(out)?;
        let path = out.join(format!("{name}.{}", format.extension()));
        write_atomically(&path, &bytes?)?;
        Ok(format!("written: {}", path.display()))
    };
    write().unwrap_or_else(|error| error.to_string())
}
