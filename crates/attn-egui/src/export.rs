//! The menu from which a plot and its numbers are written.

use attn_render::Format;
use egui::Ui;

/// A menu of the `formats` that the host can write; returns the one that was chosen. An
/// [`Exporter`](attn_render::Exporter) writes it.
pub fn export_menu(ui: &mut Ui, formats: &[Format]) -> Option<Format> {
    let mut chosen = None;
    ui.menu_button("Export", |ui| {
        for format in formats {
            let name = match format {
                Format::Png => "Picture (PNG)",
                Format::Svg => "Drawing (SVG)",
                Format::Csv => "Numbers (CSV)",
                Format::Json => "Numbers (JSON)",
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
