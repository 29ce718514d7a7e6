//! What a person drew around or searched for, as a picture of its own: a button among the tools, and a window over the others.

use attn_egui::{SceneView, egui_wgpu::RenderState};
use attn_sdk::{Subset, core::HeadId, render::View};
use eframe::egui::{Button, Ui, Window, vec2};

use crate::side::Side;

/// A subset on view.
pub(crate) struct Shown {
    subset: Subset,
    view: View,
    picture: SceneView,
}

impl Shown {
    pub(crate) fn new(subset: Subset, view: &View, state: &RenderState) -> Self {
        let mut own = View::default();
        follow(&mut own, view);
        Self {
            subset,
            view: own,
            picture: SceneView::new(state, "some points alone"),
        }
    }
}

/// Themes and colours are those of the other pictures; what is chosen by number is other points here.
fn follow(own: &mut View, view: &View) {
    (own.theme, own.palette, own.color_mode) = (view.theme, view.palette, view.color_mode);
    own.column.clone_from(&view.column);
}

/// The head and the points that are spoken of: what was drawn around, else what the search finds in the open head.
fn chosen(side: &Side) -> Option<(HeadId, Vec<u32>)> {
    let study = side.study.as_ref()?;
    let drawn: Vec<u32> = side.view.selected.ids().collect();
    let head = side.view.open.or(side.view.selected.head())?;
    let ids = match drawn.is_empty() {
        true => study.matches(head, &side.view.search).ids().collect(),
        false => drawn,
    };
    (!ids.is_empty() && study.projection(head).is_ok()).then_some((head, ids))
}

/// The button.
pub(crate) fn offer(ui: &mut Ui, side: &mut Side) {
    let chosen = chosen(side);
    let button = ui
        .add_enabled(chosen.is_some(), Button::new("These alone"))
        .on_hover_text("Lays out what you drew around, or what the search finds in the open head, by itself")
        .on_disabled_hover_text("Draw around points (b or l), or open a head and search");
    if let (true, Some((head, ids))) = (button.clicked(), chosen) {
        side.alone(head, ids);
    }
}

/// The window.
pub(crate) fn show(ui: &Ui, side: &mut Side) {
    let (Some(study), Some(shown)) = (&side.study, &mut side.subset) else {
        return;
    };
    follow(&mut shown.view, &side.view);
    let mut open = true;
    Window::new(format!("Some points of {}", shown.subset.head()))
        .open(&mut open)
        .default_pos([290.0, 60.0])
        .default_size([620.0, 580.0])
        .show(ui.ctx(), |ui| {
            let size = vec2(ui.available_width().max(300.0), ui.available_height().max(300.0));
            ui.allocate_ui(size, |ui| {
                let subset = &shown.subset;
                shown
                    .picture
                    .show(ui, &mut shown.view, |size, view| subset.scene(study, view, size));
            });
        });
    if !open {
        side.subset = None;
    }
}
