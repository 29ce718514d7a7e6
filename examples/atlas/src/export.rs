//! Files of what is on view: every panel has the same menu, and says the same afterwards.

use std::{error::Error, fs, path::Path};

use attn_egui::{Export, export_menu};
use attn_sdk::{
    core::files::write_atomically,
    render::{Scene, Table, View},
};
use eframe::egui::Ui;

/// The menu of a picture.
pub(crate) fn menu(ui: &mut Ui) -> Option<Export> {
    export_menu(ui, &Export::ALL)
}

/// The menu of a table.
pub(crate) fn numbers_menu(ui: &mut Ui) -> Option<Export> {
    export_menu(ui, &[Export::Csv, Export::Json])
}

/// Writes a picture or the numbers behind it to a folder, and says so, or why not.
pub(crate) fn write(
    out: &Path,
    name: &str,
    kind: Export,
    scene: Option<&Scene>,
    view: &View,
    table: impl FnOnce() -> Result<Table, attn_sdk::Error>,
) -> String {
    let write = || -> Result<String, Box<dyn Error>> {
        let bytes = match kind {
            Export::Csv => table()?.to_csv().into_bytes(),
            Export::Json => table()?.to_json().into_bytes(),
            Export::Png | Export::Svg => {
                let scene = scene.ok_or("there is no picture yet")?;
                kind.bytes(scene, view, Table::default)?
            }
        };
        fs::create_dir_all(out)?;
        let path = out.join(format!("{name}.{}", kind.extension()));
        write_atomically(&path, &bytes)?;
        Ok(format!("written: {}", path.display()))
    };
    write().unwrap_or_else(|error| error.to_string())
}
