//! egui in the colors of a view's theme.

use attn_render::{Color, Theme, ViewState};
use egui::{
    Color32, Context, FontData, Stroke, Visuals,
    epaint::text::{FontInsert, FontPriority},
};

use crate::fonts::{families, follow_system};

/// A color of a view as one of egui's.
///
/// ```
/// let orange = attn_egui::colors::egui_color(attn_render::Color::hex(0xE69F00));
/// assert_eq!(orange, attn_egui::egui::Color32::from_rgb(0xE6, 0x9F, 0x00));
/// ```
pub fn egui_color(color: Color) -> Color32 {
    let [r, g, b, a] = color.0;
    Color32::from_rgba_unmultiplied(r, g, b, a)
}

/// Panels, text and selections as in the pictures of a view.
pub fn visuals(view: &ViewState) -> Visuals {
    let colors = view.colors();
    let mut visuals = match view.shared.theme {
        Theme::Light => Visuals::light(),
        Theme::Dark => Visuals::dark(),
    };
    visuals.panel_fill = egui_color(colors.panel);
    visuals.window_fill = egui_color(colors.background);
    visuals.extreme_bg_color = egui_color(colors.background);
    visuals.override_text_color = Some(egui_color(colors.text));
    visuals.selection.bg_fill = egui_color(colors.query).gamma_multiply(0.35);
    visuals.selection.stroke = Stroke::new(1.5, egui_color(colors.query));
    // Egui's own blue has a contrast of 2.8 on white; this one has at least 4.5 in both themes.
    visuals.hyperlink_color = match view.shared.theme {
        Theme::Light => egui_color(colors.query.mix(colors.text, 0.25)),
        Theme::Dark => egui_color(colors.query.mix(colors.text, 0.35)),
    };
    visuals.weak_text_color = Some(egui_color(colors.muted));
    visuals
}

/// Applies the theme of a view state to a window, and adds the font of plots as a fallback for glyphs that egui's fonts lack; what
/// that one lacks too comes from fonts of the system, looked up when it is first drawn. Call it once a frame; it costs nothing while
/// the theme stays.
pub fn apply_theme(ctx: &Context, view: &ViewState) {
    let theme = match view.shared.theme {
        Theme::Light => egui::Theme::Light,
        Theme::Dark => egui::Theme::Dark,
    };
    let id = egui::Id::unique("attn theme");
    let now = (
        view.shared.theme == Theme::Dark,
        view.shared.palette == attn_render::color::Palette::Original,
    );
    let before: Option<(bool, bool)> = ctx.data(|data| data.get_temp(id));
    if before.is_none() {
        follow_system(ctx);
    }
    if before != Some(now) {
        ctx.data_mut(|data| data.insert_temp(id, now));
        ctx.add_font(font());
        ctx.set_visuals_of(theme, visuals(view));
        ctx.set_theme(theme);
        // Widgets that were laid out before have the former colors.
        ctx.request_repaint();
    }
}

/// The font of the pictures, after egui's own.
fn font() -> FontInsert {
    let data = FontData::from_static(dejavu::sans::regular());
    FontInsert::new("DejaVu Sans", data, families(FontPriority::Lowest))
}
