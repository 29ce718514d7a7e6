//! A panel at a side of a window that folds, keeps the size its user gave it, and comes back when the window grows again.

use egui::{Color32, CursorIcon, Frame, Id, Panel, Rect, Response, Sense, Stroke, StrokeKind, Ui, Vec2, pos2, vec2};
use serde::{Deserialize, Serialize};

/// A panel is at least so large, in points.
const SMALLEST: f32 = 120.0;
/// How far inside its edge a panel can be grabbed.
const HANDLE: f32 = 7.0;

/// A side of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edge {
    /// On the left.
    Left,
    /// On the right.
    Right,
    /// At the bottom.
    Bottom,
}

/// A panel that folds. What the user wants is kept apart from what there is room for.
///
/// ```
/// use attn_egui::{FoldPanel, fold_panel::Edge};
///
/// let panel = FoldPanel::new(Edge::Left, 260.0);
/// assert_eq!((panel.shown_size(1_440.0), panel.shown_size(640.0)), (260.0, 192.0));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoldPanel {
    edge: Edge,
    /// What the user asked for, in points.
    size: f32,
    /// The panel takes at most this share of the room.
    share: f32,
    folded: bool,
}

impl FoldPanel {
    /// An open panel of this size, in points. It takes at most 0.3 of the room.
    pub fn new(edge: Edge, size: f32) -> Self {
        Self {
            edge,
            size,
            share: 0.3,
            folded: false,
        }
    }

    /// The same with another limit: a share of the room, 0 to 1.
    #[must_use]
    pub fn at_most(mut self, share: f32) -> Self {
        self.share = share.clamp(0.1, 0.9);
        self
    }

    /// Whether it is folded.
    pub fn is_folded(&self) -> bool {
        self.folded
    }

    /// Folds or unfolds it.
    pub fn toggle(&mut self) {
        self.folded = !self.folded;
    }

    /// Its size where there is so much room, in points.
    pub fn shown_size(&self, room: f32) -> f32 {
        let size = if self.size.is_finite() { self.size } else { SMALLEST };
        size.min(self.share * room).max(SMALLEST).min(0.9 * room.max(1.0))
    }

    /// A button that folds and unfolds the panel; `help` says which.
    pub fn button(&mut self, ui: &mut Ui, help: &str) -> Response {
        let size = vec2(ui.spacing().interact_size.y + 4.0, ui.spacing().interact_size.y);
        let (rect, response) = ui.allocate_exact_size(size, Sense::click());
        response.widget_info(|| egui::WidgetInfo::selected(egui::Role::Button, ui.is_enabled(), !self.folded, help));
        let visuals = ui.style().interact_selectable(&response, !self.folded);
        ui.painter().rect_filled(rect, 3.0, visuals.weak_bg_fill);
        let icon = Rect::from_center_size(rect.center(), vec2(15.0, 11.0));
        let line = Stroke::new(1.2, ui.visuals().text_color());
        let bar = match self.edge {
            Edge::Left => Rect::from_min_max(icon.min, pos2(icon.min.x + 5.0, icon.max.y)),
            Edge::Right => Rect::from_min_max(pos2(icon.max.x - 5.0, icon.min.y), icon.max),
            Edge::Bottom => Rect::from_min_max(pos2(icon.min.x, icon.max.y - 4.0), icon.max),
        };
        let fill = if self.folded { Color32::TRANSPARENT } else { line.color };
        ui.painter().rect(bar, 0.0, fill, line, StrokeKind::Inside);
        ui.painter().rect_stroke(icon, 1.0, line, StrokeKind::Inside);
        if response.clicked() {
            self.toggle();
        }
        response.on_hover_text(help)
    }

    /// Shows the panel unless it is folded. Its inner edge is dragged; a double click there folds it.
    pub fn show<R>(&mut self, ui: &mut Ui, id: &str, contents: impl FnOnce(&mut Ui) -> R) -> Option<R> {
        if self.folded {
            return None;
        }
        let room = match self.edge {
            Edge::Bottom => ui.available_height(),
            Edge::Left | Edge::Right => ui.available_width(),
        };
        let shown = self.shown_size(room);
        let panel = match self.edge {
            Edge::Left => Panel::left(id.to_owned()),
            Edge::Right => Panel::right(id.to_owned()),
            Edge::Bottom => Panel::bottom(id.to_owned()).frame(Frame::NONE),
        };
        let panel = panel.resizable(false).exact_size(shown).show(ui, |ui| {
            ui.set_min_size(ui.available_size());
            contents(ui)
        });
        let rect = panel.response.rect;
        let (edge, cursor, along) = match self.edge {
            Edge::Left => (
                Rect::from_min_max(pos2(rect.max.x - HANDLE, rect.min.y), rect.max),
                CursorIcon::ResizeHorizontal,
                Vec2::X,
            ),
            Edge::Right => (
                Rect::from_min_max(rect.min, pos2(rect.min.x + HANDLE, rect.max.y)),
                CursorIcon::ResizeHorizontal,
                -Vec2::X,
            ),
            Edge::Bottom => (
                Rect::from_min_max(rect.min, pos2(rect.max.x, rect.min.y + HANDLE)),
                CursorIcon::ResizeVertical,
                -Vec2::Y,
            ),
        };
        let handle = ui.interact(edge, Id::unique(("attn fold panel", id)), Sense::click_and_drag());
        if handle.hovered() || handle.dragged() {
            ui.ctx().set_cursor_icon(cursor);
        }
        if handle.dragged() {
            // From what is on view, not from what there was no room for.
            let by = handle.drag_delta();
            self.size =
                (shown + by.x * along.x + by.y * along.y).clamp(SMALLEST, (self.share * room.max(1.0)).max(SMALLEST));
        }
        if handle.double_clicked() {
            self.folded = true;
        }
        Some(panel.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panel_comes_back_when_the_window_grows() {
        let panel = FoldPanel::new(Edge::Right, 420.0).at_most(0.4);
        let sizes = [1_440.0, 640.0, 200.0, 1_440.0].map(|room| panel.shown_size(room));
        assert_eq!(sizes, [420.0, 256.0, 120.0, 420.0]);
    }

    #[test]
    fn a_size_from_a_file_is_bounded() {
        let mut panel = FoldPanel::new(Edge::Left, f32::NAN);
        assert_eq!(panel.shown_size(1_000.0), SMALLEST);
        panel.size = 1e9;
        assert_eq!(panel.shown_size(1_000.0), 300.0);
        assert_eq!(panel.shown_size(0.0), 0.9);
    }
}
