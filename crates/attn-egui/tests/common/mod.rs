//! A small model's heads, a window without a screen, and what tests look at.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use attn_core::{Attention, HeadId};
use attn_egui::{
    SceneView,
    egui::{self, Pos2, Vec2},
    egui_wgpu::RenderState,
};
use attn_render::{
    Error, Event, Scene, ViewState,
    plots::{ColorBy, Coordinates, Head, Matrix, MatrixPanel, ValueKind},
};
use egui_kittest::{
    Harness,
    wgpu::{WgpuTestRenderer, create_render_state, default_wgpu_setup},
};

/// Tokens per head, of which half are queries.
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
    projected(size, view, false)
}

/// So many classes the points have.
pub const CLASSES: usize = 40;

/// The same, or with another projection: turned upside down.
pub fn projected(size: [f32; 2], view: &ViewState, turned: bool) -> Result<Scene, Error> {
    let points = |id| -> Vec<f32> { points(id).into_iter().map(|v| if turned { -v } else { v }).collect() };
    let labels: Vec<&str> = (0..POINTS).map(|i| LABELS[i % LABELS.len()]).collect();
    let classes: Vec<f32> = (0..POINTS).map(|i| (i % CLASSES) as f32).collect();
    let names: Vec<String> = (0..CLASSES).map(|class| format!("class {class}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let color_by = Some(ColorBy {
        label: "class",
        kind: ValueKind::Categorical(&names),
    });
    if let Some(open) = view.open {
        let coordinates = points(open);
        let mut plot = Head::new(open, Coordinates::new(&coordinates, 2)?, POINTS / 2);
        plot.labels = &labels;
        (plot.values, plot.color_by) = (Some(classes.as_slice()), color_by);
        plot.title = "One head";
        return plot.scene(view, size);
    }
    let heads: Vec<HeadId> = (0..2).flat_map(|layer| (0..3).map(move |h| head(layer, h))).collect();
    let coordinates: Vec<Vec<f32>> = heads.iter().map(|id| points(*id)).collect();
    let mut panels = Vec::new();
    for (id, coordinates) in heads.iter().zip(&coordinates) {
        panels.push(MatrixPanel {
            head: *id,
            coordinates: Coordinates::new(coordinates, 2)?,
            queries: POINTS / 2,
            values: Some(&classes),
            labels: &labels,
            hidden: &[],
            note: String::new(),
        });
    }
    let matrix = Matrix {
        title: "Six heads",
        subtitle: "",
        caption: "",
        panels,
        color_by,
    };
    matrix.scene(view, size)
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
                let (built, fail, turned) = (&mut self.built[i], self.fail, self.turned);
                let shown = self.widgets[i].show(ui, &mut self.views[i], |size, view| {
                    *built += 1;
                    if fail {
                        return Err("the data is gone".to_owned());
                    }
                    projected(size, view, turned).map_err(|error| error.to_string())
                });
                if shown.changed() && self.linked {
                    let from = self.views[i].clone();
                    for (j, view) in self.views.iter_mut().enumerate() {
                        if i != j {
                            attn_egui::link(&from, view);
                        }
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
