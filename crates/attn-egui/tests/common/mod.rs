//! A small model's heads, a window without a screen, and what tests look at.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use attn_core::{Attention, HeadId};
use attn_egui::{
    SceneView,
    egui::{self, Pos2, Vec2},
    egui_wgpu::RenderState,
};
use attn_render::{
    Error, Plot, Scene, ViewState,
    control::Event,
    plot::deferred,
    plots::{ColorBy, Coordinates, Head, Matrix, MatrixPanel, Texts},
};
use egui_kittest::{
    Harness,
    wgpu::{WgpuTestRenderer, create_render_state, default_wgpu_setup},
};

/// Points per head: half queries, half keys.
pub const POINTS: usize = 60;
pub const LABELS: [&str; 6] = ["the", "cat", "sat", "on", "a", "mat"];

pub fn head(layer: usize, head: usize) -> HeadId {
    HeadId::new(Attention::EncoderSelf, layer, head)
}

/// Spirals, different for each head.
pub fn points(id: HeadId) -> Vec<f32> {
    let turn = 0.7 + 0.3 * id.head as f32 + 0.5 * id.layer as f32;
    let point = |i: usize| {
        let (along, side) = (i as f32 / POINTS as f32, if i < POINTS / 2 { 1.0 } else { -1.0 });
        let angle = 9.0 * along * turn;
        [side * 0.3 + along * angle.cos(), along * angle.sin()]
    };
    (0..POINTS).flat_map(point).collect()
}

/// The open head, or the matrix of two layers of three.
pub fn scene(size: [f32; 2], view: &ViewState) -> Result<Scene, Error> {
    plot(view, false)?.scene(view, size)
}

/// So many classes the points have.
pub const CLASSES: usize = 40;

/// The same, or with another projection: turned upside down.
pub fn plot(view: &ViewState, turned: bool) -> Result<Box<dyn Plot>, Error> {
    let points = |id| -> Vec<f32> { points(id).into_iter().map(|v| if turned { -v } else { v }).collect() };
    let labels: Texts = (0..POINTS).map(|i| LABELS[i % LABELS.len()]).collect();
    let classes: Arc<[f32]> = (0..POINTS).map(|i| (i % CLASSES) as f32).collect();
    let names: Vec<String> = (0..CLASSES).map(|class| format!("class {class}")).collect();
    let color_by = Some(ColorBy::classes("class", names));
    if let Some(open) = view.open {
        let mut plot = Head::new(open, Coordinates::new(points(open), 2)?, POINTS / 2);
        plot.labels = labels;
        (plot.values, plot.color_by) = (Some(classes), color_by);
        plot.title = "One head".into();
        return Ok(Box::new(plot));
    }
    let heads = (0..2).flat_map(|layer| (0..3).map(move |h| head(layer, h)));
    let mut panels = Vec::new();
    for id in heads {
        let mut panel = MatrixPanel::new(id, Coordinates::new(points(id), 2)?, POINTS / 2);
        (panel.values, panel.labels) = (Some(classes.clone()), labels.clone());
        panels.push(panel);
    }
    Ok(Box::new(Matrix {
        title: "Six heads".into(),
        panels,
        color_by,
        ..Matrix::default()
    }))
}

/// A host with some widgets side by side.
pub struct Host {
    pub widgets: Vec<SceneView>,
    pub views: Vec<ViewState>,
    pub events: Vec<Vec<Event>>,
    /// How often each widget asked for its scene.
    pub built: Vec<usize>,
    /// Whether the host shares what views share.
    pub linked: bool,
    /// Space for each widget instead of an equal part.
    pub size: Option<Vec2>,
    pub fail: bool,
    /// Whether the data are the other projection.
    pub turned: bool,
}

impl Host {
    pub fn new(state: &RenderState, count: usize) -> Self {
        let widget = |i: usize| SceneView::new(state, format!("view {i}"));
        Self {
            widgets: (0..count).map(widget).collect(),
            views: vec![ViewState::default(); count],
            events: vec![Vec::new(); count],
            built: vec![0; count],
            linked: false,
            size: None,
            fail: false,
            turned: false,
        }
    }

    pub fn show(&mut self, ui: &mut egui::Ui) {
        attn_egui::apply_theme(ui.ctx(), &self.views[0]);
        let whole = ui.available_rect_before_wrap();
        let width = whole.width() / self.widgets.len() as f32;
        for i in 0..self.widgets.len() {
            let place = egui::Rect::from_min_size(
                Pos2::new(whole.min.x + i as f32 * width, whole.min.y),
                self.size.unwrap_or(Vec2::new(width, whole.height())),
            );
            ui.scope_builder(egui::UiBuilder::new().id_salt(i).max_rect(place), |ui| {
                let (built, fail, turned) = (AtomicUsize::new(0), self.fail, self.turned);
                let asked = deferred(|view| {
                    built.fetch_add(1, Ordering::Relaxed);
                    if fail {
                        return Err(Error::host(std::io::Error::other("the data is gone")));
                    }
                    plot(view, turned)
                });
                let shown = self.widgets[i].show(ui, &mut self.views[i], &asked);
                self.built[i] += built.load(Ordering::Relaxed);
                if self.linked {
                    let (shared, interaction) = (self.views[i].shared.clone(), self.widgets[i].interaction());
                    for j in (0..self.views.len()).filter(|j| shown.changed() && *j != i) {
                        self.views[j].shared = shared.clone();
                        self.widgets[j].set_interaction(interaction);
                    }
                }
                self.events[i].extend(shown.events);
            });
        }
    }
}

pub fn state() -> RenderState {
    create_render_state(default_wgpu_setup(), egui_wgpu::RendererOptions::PREDICTABLE)
}

/// A window of 640 x 480 points with `count` widgets.
pub fn window(count: usize, pixels_per_point: f32) -> Harness<'static, Host> {
    let state = state();
    let host = Host::new(&state, count);
    let mut harness = Harness::builder()
        .with_size(Vec2::new(640.0, 480.0))
        .with_pixels_per_point(pixels_per_point)
        .renderer(WgpuTestRenderer::from_render_state(state))
        .build_ui_state(|ui, host: &mut Host| host.show(ui), host);
    harness.run();
    harness
}
