//! The search field, with the number of matches.

use attn_render::ViewState;
use egui::{Align, Label, Layout, Response, RichText, TextEdit, Ui, vec2};

/// Room for the number of matches, in points.
const COUNT: f32 = 110.0;

/// Edits [`Shared::search`](attn_render::state::Shared::search). `count` describes the matches (see [`attn_render::search`] and `Matches::describe`); it is hidden without a
/// search. Changes apply as the user types; Escape clears the field.
pub fn search_box(ui: &mut Ui, view: &mut ViewState, count: &str) -> Response {
    ui.horizontal(|ui| {
        let field = TextEdit::singleline(&mut view.shared.search)
            .hint_text("Search tokens")
            .desired_width(140.0);
        let mut response = ui.add(field);
        let emptied = ui.input(|input| input.key_pressed(egui::Key::Escape));
        if response.lost_focus() && emptied && !view.shared.search.is_empty() {
            view.shared.search.clear();
            response.mark_changed();
        }
        // Its place is kept, so that nothing beside it moves while the user types.
        let size = vec2(COUNT, ui.spacing().interact_size.y);
        ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
            ui.set_min_size(size);
            if !view.shared.search.is_empty() {
                let words = Label::new(RichText::new(count).weak()).truncate();
                ui.add(words).on_hover_text(count);
            }
        });
        response
    })
    .inner
}
