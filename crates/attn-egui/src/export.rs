//! The export menu of a plot and its data.

use attn_render::Format;
use egui::Ui;

/// A menu of `formats`; returns the chosen one. An
/// [`Exporter`](attn_render::Exporter) writes it.
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
