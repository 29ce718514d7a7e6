//! Pictures by the shader of `draw_directly` are those that egui draws.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

mod common;

use attn_egui::{
    SceneView, draw_directly,
    egui::{self, Event, PointerButton, Pos2, Vec2},
    egui_wgpu::RendererOptions,
};
use attn_render::{
    ViewState,
    plots::{Coordinates, Head},
};
use common::{Host, head, state};
use egui_kittest::{Harness, wgpu::WgpuTestRenderer};

/// The largest difference of a channel, and whether there is more than one color.
fn compare(images: [image::RgbaImage; 2]) -> (u8, bool) {
    let [egui, direct] = images;
    assert_eq!(egui.dimensions(), direct.dimensions());
    let differences = egui.iter().zip(direct.iter()).map(|(a, b)| a.abs_diff(*b));
    let colorful = egui.pixels().any(|pixel| pixel != egui.get_pixel(0, 0));
    (differences.max().unwrap(), colorful)
}

#[test]
fn a_picture_is_that_of_egui() {
    // Beside each other, partly out of the window, and faded.
    for (pixels_per_point, size, opacity) in [
        (1.0, None, 1.0),
        (1.5, None, 1.0),
        (1.0, Some(Vec2::new(500.0, 600.0)), 1.0),
        (1.0, None, 0.5),
    ] {
        let images = [false, true].map(|direct| {
            let state = state();
            if direct {
                draw_directly(&state, &RendererOptions::PREDICTABLE);
            }
            let mut host = Host::new(&state, 2);
            host.size = size;
            let mut window = Harness::builder()
                .with_size(Vec2::new(640.0, 480.0))
                .with_pixels_per_point(pixels_per_point)
                .renderer(WgpuTestRenderer::from_render_state(state))
                .build_ui_state(
                    move |ui, host: &mut Host| {
                        ui.set_opacity(opacity);
                        host.show(ui);
                    },
                    host,
                );
            window.run();
            window.render().unwrap()
        });
        let (most, colorful) = compare(images);
        assert!(most <= 1 && colorful, "{pixels_per_point} {size:?} {opacity}: {most}");
    }
}

#[test]
fn a_shifted_picture_is_that_of_egui() {
    let images = [false, true].map(|direct| {
        let state = state();
        if direct {
            draw_directly(&state, &RendererOptions::PREDICTABLE);
        }
        // So many that the picture is shifted while it is dragged.
        let points: Vec<f32> = (0..120_000).map(|i| (i * 7919 % 1_000) as f32).collect();
        let plot = Head::new(head(0, 0), Coordinates::new(points, 2).unwrap(), 1);
        let content = (SceneView::new(&state, "head"), ViewState::default());
        let mut window = Harness::builder()
            .with_size(Vec2::new(300.0, 260.0))
            .with_step_dt(1.0 / 60.0)
            .renderer(WgpuTestRenderer::from_render_state(state))
            .build_ui_state(
                move |ui, (widget, view): &mut (SceneView, ViewState)| _ = widget.show(ui, view, &plot),
                content,
            );
        window.run();
        let before = window.render().unwrap();
        let at = Pos2::new(150.0, 140.0);
        window.event(Event::PointerMoved(at));
        window.step();
        window.event(Event::PointerButton {
            pos: at,
            button: PointerButton::Primary,
            pressed: true,
            modifiers: egui::Modifiers::default(),
        });
        window.step();
        for step in 1..4_u8 {
            window.event(Event::PointerMoved(at + f32::from(step) * Vec2::new(13.0, 7.0)));
            window.step();
        }
        let during = window.render().unwrap();
        assert_ne!(before, during, "the picture moved");
        during
    });
    let (most, colorful) = compare(images);
    assert!(most <= 1 && colorful, "{most}");
}
