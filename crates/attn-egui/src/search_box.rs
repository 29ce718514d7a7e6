//! The search field, with the number of matches.

use attn_render::ViewState;
use egui::{Response, RichText, TextEdit, Ui};

/// Edits [`Shared::search`](attn_render::Shared::search). `count` describes the matches (see [`attn_render::search`] and `Matches::describe`); it is hidden without a
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
        if !view.shared.search.is_empty() {
            ui.label(RichText::new(count).weak());
        }
        response
    })
    .inner
}
