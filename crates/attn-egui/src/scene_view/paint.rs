//! What a widget paints over its picture, and what it says to screen readers.

use attn_render::{Area, ViewState};
use egui::{Align2, FontId, Rect, Response, Role, Shape, Stroke, StrokeKind, Ui, Vec2, emath::TSTransform};

use super::{SceneView, glide::meshes};
use crate::{colors::egui_color, direct::Part};

impl SceneView {
    pub(super) fn paint(&self, ui: &Ui, view: &ViewState, response: &Response, rect: Rect, scale: f32) {
        let (painter, colors) = (ui.painter_at(rect), view.colors());
        if let (Some(texture), Some(_)) = (self.canvas.texture(), &self.scene) {
            let parts = match &self.glide {
                Some(glide) => {
                    let ground = if glide.inside { colors.panel } else { colors.background };
                    glide.parts(rect, scale, egui_color(ground))
                }
                None => vec![Part::Picture(rect, Vec2::ZERO)],
            };
            match self.direct(ui, rect, scale, &parts) {
                Some(shape) => _ = painter.add(shape),
                None => meshes(&parts, rect, texture)
                    .into_iter()
                    .for_each(|mesh| _ = painter.add(mesh)),
            }
        }
        let accent = egui_color(colors.accent);
        let pos = |p: &[f32; 2]| rect.min + Vec2::new(p[0], p[1]) / scale;
        match self.controller.area() {
            Some(Area::Box(area)) => {
                let area = Rect::from_two_pos(pos(&area.min), pos(&area.max));
                painter.rect(
                    area,
                    0.0,
                    accent.gamma_multiply(0.08),
                    Stroke::new(1.0, accent),
                    StrokeKind::Middle,
                );
            }
            Some(Area::Lasso(corners)) => {
                let line = corners.iter().map(pos).collect();
                painter.add(Shape::closed_line(line, Stroke::new(1.3, accent)));
            }
            None => {}
        }
        if let Some(error) = &self.error {
            let (font, text) = (FontId::proportional(13.0), egui_color(colors.text));
            let words = painter.layout(error.to_string(), font, text, (rect.width() - 24.0).max(40.0));
            let place = Align2::CENTER_CENTER.anchor_size(rect.center(), words.size());
            painter.rect_filled(place.expand(8.0), 4.0, egui_color(colors.panel));
            painter.galley(place.min, words, text);
        }
        if response.has_focus() {
            let ring = Stroke::new(2.0, egui_color(colors.query));
            painter.rect_stroke(rect, 0.0, ring, StrokeKind::Inside);
        }
    }

    /// The picture by a shader of its own, which takes a pixel of the picture for one of the screen and fades nothing.
    fn direct(&self, ui: &Ui, rect: Rect, scale: f32, parts: &[Part]) -> Option<Shape> {
        let moved = ui.ctx().layer_transform_to_global(ui.layer_id());
        let plain = ui.pixels_per_point() == scale && ui.opacity() >= 1.0 && ui.is_enabled();
        let plain = plain && moved.is_none_or(|moved| moved == TSTransform::IDENTITY);
        plain
            .then(|| self.canvas.direct(rect, self.size, parts, scale))
            .flatten()
    }

    /// For screen readers: what the picture is, and what is open, selected and hovered.
    pub(super) fn describe(&self, ui: &Ui, view: &ViewState, response: &Response) {
        response.widget_info(|| egui::WidgetInfo::labeled(Role::Canvas, ui.is_enabled(), &self.label));
        ui.ctx().accesskit_node_builder(response.id, |node| {
            let mut parts = Vec::new();
            let heads = self
                .scene
                .iter()
                .flat_map(|scene| &scene.panels)
                .filter(|panel| panel.head.is_some());
            match (view.open, heads.count()) {
                (Some(head), _) => parts.push(format!("head {head}")),
                (None, heads) => parts.push(format!("{heads} heads")),
            }
            if let Some(head) = self.interaction().head.filter(|head| view.open != Some(*head)) {
                parts.push(format!("over head {head}"));
            }
            if !view.shared.selected.is_empty() {
                parts.push(format!("{} points selected", view.shared.selected.len()));
            }
            if let Some(error) = &self.error {
                parts.push(error.to_string());
            }
            node.set_value(parts.join(", "));
        });
    }
}
