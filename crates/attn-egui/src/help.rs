//! The window that lists keys and mouse.

use egui::{Context, Grid, Key, Modifiers, RichText, ScrollArea, Window};

/// Shows a window with a sentence and a table of keys and what they do, while it is `open`. Escape closes it; call it before the
/// widgets that take keys.
pub fn key_help(context: &Context, open: &mut bool, about: &str, keys: &[(&str, &str)]) {
    if *open && context.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Escape)) {
        *open = false;
    }
    let room = context.content_rect();
    Window::new("Help")
        .open(open)
        .resizable(false)
        .collapsible(false)
        .default_pos([0.5 * room.width() - 260.0, 70.0])
        .show(context, |ui| {
            ui.set_max_width(560.0);
            ui.label(about);
            ui.add_space(4.0);
            ScrollArea::vertical().max_height(room.height() - 190.0).show(ui, |ui| {
                Grid::new("keys").num_columns(2).striped(true).show(ui, |ui| {
                    for (key, what) in keys {
                        ui.label(RichText::new(*key).strong());
                        ui.label(*what);
                        ui.end_row();
                    }
                });
            });
        });
}
