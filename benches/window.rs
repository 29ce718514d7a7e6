//! A drag across the matrix of 72 heads with 6,000 points each, in an egui window of 1440 x 900 points: frames beside those of
//! an empty window, in turn, in one run. CPU seconds of the whole process, the software rasterizer's threads included; both
//! read their picture back.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot run has nothing to report"
)]

mod common;
#[path = "common/cost.rs"]
mod cost;

use attn_core::{Attention, HeadId};
use attn_egui::{
    SceneView, draw_directly,
    egui::{self, PointerButton, Pos2, Vec2},
    egui_wgpu::RendererOptions,
};
use attn_render::{
    ViewState,
    plots::{Coordinates, Matrix, MatrixPanel},
};
use cost::measured;
use egui_kittest::{
    Harness,
    wgpu::{WgpuTestRenderer, create_render_state, default_wgpu_setup},
};

const LAYERS: usize = 6;
const HEADS: usize = 12;
const POINTS: usize = 6_000;
const SIZE: Vec2 = Vec2::new(1440.0, 900.0);
const ROUNDS: u16 = 20;

/// A window with a view, or with nothing.
type Content = Option<(SceneView, ViewState, Matrix)>;

fn matrix() -> Matrix {
    let panels = (0..LAYERS * HEADS).map(|i| {
        let head = HeadId::new(Attention::EncoderSelf, i / HEADS, i % HEADS);
        let cloud = common::cloud(POINTS, 2, i as u64).into_raw_vec_and_offset().0;
        MatrixPanel::new(head, Coordinates::new(cloud, 2).unwrap(), POINTS / 2)
    });
    Matrix {
        panels: panels.collect(),
        ..Matrix::default()
    }
}

fn window(matrix: Option<Matrix>) -> Harness<'static, Content> {
    let state = create_render_state(default_wgpu_setup(), RendererOptions::default());
    draw_directly(&state, &RendererOptions::default());
    let content = matrix.map(|matrix| (SceneView::new(&state, "heads"), ViewState::default(), matrix));
    Harness::builder()
        .with_size(SIZE)
        .with_step_dt(1.0 / 60.0)
        .renderer(WgpuTestRenderer::from_render_state(state))
        .build_ui_state(
            |ui, content: &mut Content| {
                if let Some((widget, view, matrix)) = content {
                    widget.show(ui, view, matrix);
                }
            },
            content,
        )
}

/// CPU seconds of a frame after the pointer moved.
fn frame(window: &mut Harness<'_, Content>, at: Pos2) -> f64 {
    measured(|| {
        window.event(egui::Event::PointerMoved(at));
        window.step();
        window.render().unwrap();
    })[0]
}

fn main() {
    let mut windows = [window(None), window(Some(matrix()))];
    let center = SIZE / 2.0;
    let at = |round: u16| Pos2::new(center.x + 3.0 * f32::from(round), center.y + 2.0 * f32::from(round));
    for window in &mut windows {
        window.run();
        frame(window, at(0));
        window.event(egui::Event::PointerButton {
            pos: at(0),
            button: PointerButton::Primary,
            pressed: true,
            modifiers: egui::Modifiers::default(),
        });
        window.step();
    }
    let before = windows[1].state().as_ref().map(|(_, view, _)| view.stage);
    let mut times = [Vec::new(), Vec::new()];
    for round in 1..=ROUNDS {
        for (window, times) in windows.iter_mut().zip(&mut times) {
            times.push(frame(window, at(round)));
        }
    }
    let after = windows[1].state().as_ref().map(|(_, view, _)| view.stage);
    assert_ne!(before, after, "the drag moves the camera");
    let [empty, drag] = times.map(|times| times.iter().sum::<f64>() / times.len() as f64);
    let points = LAYERS * HEADS * POINTS;
    println!(
        "CPU seconds of a frame: empty {empty:.3}, a drag across {points} points {drag:.3}, beyond {:.3}",
        drag - empty
    );
}
