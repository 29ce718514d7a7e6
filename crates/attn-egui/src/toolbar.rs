//! Buttons for what can be done with keys too: tools, undo and redo, theme, colors.

use attn_render::{
    Theme, ViewState,
    control::{Key, Tool},
    scene::PatchStyle,
    state::ColorChoice,
};
use egui::{ComboBox, Response, Ui};

use crate::SceneView;

/// What a drag does: move, box or lasso.
pub fn tool_buttons(ui: &mut Ui, widget: &mut SceneView) {
    let tools = [
        (Tool::Look, "Move", "Drag moves or rotates (m)"),
        (Tool::Box, "Box", "Drag selects points in a rectangle (b)"),
        (Tool::Lasso, "Lasso", "Drag selects points within a drawn line (l)"),
    ];
    for (tool, name, help) in tools {
        let chosen = widget.tool() == tool;
        if ui.selectable_label(chosen, name).on_hover_text(help).clicked() {
            widget.press(Key::Tool(tool));
            ui.ctx().request_repaint();
        }
    }
}

/// Buttons that undo and redo changes of the view state.
pub fn history_buttons(ui: &mut Ui, widget: &mut SceneView) {
    for (key, name, help) in [(Key::Undo, "Undo", "Undo (u)"), (Key::Redo, "Redo", "Redo (r)")] {
        if ui.button(name).on_hover_text(help).clicked() {
            widget.press(key);
            ui.ctx().request_repaint();
        }
    }
}

/// Between light and dark.
pub fn theme_switch(ui: &mut Ui, view: &mut ViewState) -> Response {
    let (name, other) = match view.shared.theme {
        Theme::Light => ("Dark", Theme::Dark),
        Theme::Dark => ("Light", Theme::Light),
    };
    // As wide with either name.
    let button = egui::Button::new(name).min_size(egui::vec2(46.0, 0.0));
    let response = ui.add(button).on_hover_text("Light or dark theme (t)");
    if response.clicked() {
        view.shared.theme = other;
    }
    response
}

/// What the color of a point says: query or key, or the values of one of `names`, such as those of `Study::color_names`.
pub fn color_picker(ui: &mut Ui, view: &mut ViewState, names: &[String]) -> Response {
    let before = view.shared.color.clone();
    let mut response = ComboBox::from_id_salt("attn color")
        .selected_text(display_name(&before))
        .width(120.0)
        .truncate()
        .height(480.0)
        .show_ui(ui, |ui| {
            let role = before.name().is_none();
            if ui.selectable_label(role, display_name(&ColorChoice::Role)).clicked() {
                view.shared.color = ColorChoice::Role;
            }
            for name in names {
                let choice = ColorChoice::values(name.as_str());
                let words = display_name(&choice);
                ui.selectable_value(&mut view.shared.color, choice, words);
            }
        })
        .response
        .on_hover_text("Colors of points");
    if before != view.shared.color {
        // Hidden classes belong to the former values.
        view.shared.hidden_classes.clear();
        view.shared.legend_page = 0;
        response.mark_changed();
    }
    response
}

/// The style of image patches in an open head: as points, or as patches.
pub fn patch_picker(ui: &mut Ui, view: &mut ViewState) -> Response {
    let name = |style: Option<PatchStyle>| {
        style.map_or_else(|| "points".to_owned(), |style| format!("patches, {}", style.name()))
    };
    let before = view.shared.patches;
    let mut response = ComboBox::from_id_salt("attn patches")
        .selected_text(name(view.shared.patches))
        .width(120.0)
        .truncate()
        .show_ui(ui, |ui| {
            for style in std::iter::once(None).chain(PatchStyle::ALL.map(Some)) {
                ui.selectable_value(&mut view.shared.patches, style, name(style));
            }
        })
        .response
        .on_hover_text("Points or image patches in an open head");
    if before != view.shared.patches {
        response.mark_changed();
    }
    response
}

/// The name of a color choice in menus: `position-mod-5` becomes `position mod 5`; names of columns are unchanged.
fn display_name(choice: &ColorChoice) -> String {
    let Some(name) = choice.name() else {
        return "query or key".into();
    };
    match name.strip_prefix("column:") {
        Some(column) => column.to_owned(),
        None => name.replace('-', " "),
    }
}
