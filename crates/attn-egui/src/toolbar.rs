//! Buttons for what can be done with keys too: tools, undo and redo, theme, colours.

use attn_render::{ColorMode, Key, PatchStyle, Theme, Tool, ViewState};
use egui::{ComboBox, Response, Ui};

use crate::SceneView;

/// What a drag does: move, box or lasso.
pub fn tool_buttons(ui: &mut Ui, widget: &mut SceneView) {
    let tools = [
        (Tool::Look, "Move", "Drag moves or turns (m)"),
        (Tool::Box, "Box", "Drag selects the points in a rectangle (b)"),
        (
            Tool::Lasso,
            "Lasso",
            "Drag selects the points in a line around them (l)",
        ),
    ];
    for (tool, name, help) in tools {
        let chosen = widget.tool() == tool;
        if ui.selectable_label(chosen, name).on_hover_text(help).clicked() {
            widget.press(Key::Tool(tool));
            ui.ctx().request_repaint();
        }
    }
}

/// Undo and redo of everything a view holds.
pub fn history_buttons(ui: &mut Ui, widget: &mut SceneView) {
    for (key, name, help) in [
        (Key::Undo, "Undo", "Takes the last step back (u)"),
        (Key::Redo, "Redo", "Does it again (r)"),
    ] {
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
    let response = ui.button(name).on_hover_text("Light or dark (t)");
    if response.clicked() {
        view.shared.theme = other;
    }
    response
}

/// What a point's colour says, among `modes`: those that say something about the data (all of them: [`ColorMode::ALL`]); and
/// the host's own `columns`, which are drawn as [`ColorMode::Value`].
pub fn color_picker(ui: &mut Ui, view: &mut ViewState, modes: &[ColorMode], columns: &[&str]) -> Response {
    let chosen = match view.color_mode {
        ColorMode::Value if !view.column.is_empty() => view.column.clone(),
        mode => spoken(mode),
    };
    let before = (view.color_mode, view.column.clone());
    let mut response = ComboBox::from_id_salt("attn colour")
        .selected_text(chosen)
        .height(480.0)
        .show_ui(ui, |ui| {
            for mode in modes
                .iter()
                .filter(|mode| columns.is_empty() || **mode != ColorMode::Value)
            {
                ui.selectable_value(&mut view.color_mode, *mode, spoken(*mode));
            }
            for &column in columns {
                let shown = view.color_mode == ColorMode::Value && view.column == column;
                if ui.selectable_label(shown, column).clicked() {
                    view.color_mode = ColorMode::Value;
                    column.clone_into(&mut view.column);
                }
            }
        })
        .response
        .on_hover_text("What the colour of a point says");
    if before != (view.color_mode, view.column.clone()) {
        // Classes of another column are others.
        view.shared.hidden_classes.clear();
        (view.shared.legend_page, view.legend_mark) = (0, None);
        response.mark_changed();
    }
    response
}

/// How tokens that are patches of pictures are drawn where they lie: as points, or as the patches themselves.
pub fn patch_picker(ui: &mut Ui, view: &mut ViewState) -> Response {
    let name = |style: Option<PatchStyle>| {
        style.map_or_else(|| "points".to_owned(), |style| format!("patches, {}", style.name()))
    };
    let before = view.shared.patches;
    let mut response = ComboBox::from_id_salt("attn patches")
        .selected_text(name(view.shared.patches))
        .show_ui(ui, |ui| {
            for style in std::iter::once(None).chain(PatchStyle::ALL.map(Some)) {
                ui.selectable_value(&mut view.shared.patches, style, name(style));
            }
        })
        .response
        .on_hover_text("Points, or the patches themselves, in an open head");
    if before != view.shared.patches {
        response.mark_changed();
    }
    response
}

/// `position-mod-5` as people say it: `position mod 5`.
fn spoken(mode: ColorMode) -> String {
    match mode {
        ColorMode::QueryKey => "query or key".into(),
        mode => mode.name().replace('-', " "),
    }
}
