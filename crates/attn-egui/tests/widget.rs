//! The widget in a window: what it draws, what it does with events, and that it survives what hosts do to it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use attn_egui::egui::{self, Event as EguiEvent, Key, Modifiers, MouseWheelUnit, Pos2, TouchPhase, Vec2};
use attn_render::{
    Headless, Target, Theme, ViewState,
    camera::Camera,
    control::{Controller, Event, Input, Tool},
    projection::Projection,
    state::Shared,
};
use common::{Host, head, scene, state, window};
use egui_kittest::{Harness, kittest::Queryable};

/// The window has a margin around its contents.
const MARGIN: f32 = 8.0;

fn size_of(harness: &Harness<'_, Host>, widget: &str) -> egui::Rect {
    harness.get_by_label(widget).rect()
}

/// Where the middle of a head's panel is on the screen.
fn middle(harness: &Harness<'_, Host>, layer: usize, index: usize) -> Pos2 {
    let rect = size_of(harness, "view 0");
    let view = &harness.state().views[0];
    let size = [rect.width(), rect.height()];
    let scene = scene(size, view).unwrap();
    let panel = scene.panel_of(head(layer, index)).unwrap();
    let [x, y] = Projection::new(&scene, view, size).panels[panel].rect.center();
    rect.min + Vec2::new(x, y)
}

fn click(harness: &mut Harness<'_, Host>, at: Pos2) {
    harness.hover_at(at);
    harness.run();
    harness.drag_at(at);
    harness.run();
    let released = EguiEvent::PointerButton {
        pos: at,
        button: egui::PointerButton::Primary,
        pressed: false,
        modifiers: Modifiers::NONE,
    };
    harness.event(released);
    harness.run();
}

fn wheel(harness: &Harness<'_, Host>, lines: f32) {
    harness.event(EguiEvent::MouseWheel {
        unit: MouseWheelUnit::Line,
        delta: Vec2::new(0.0, lines),
        phase: TouchPhase::Move,
        source: egui::MouseWheelSource::Wheel,
        modifiers: Modifiers::NONE,
    });
}

#[test]
fn the_picture_is_that_of_the_headless_renderer() {
    let mut headless = Headless::new().unwrap();
    for pixels_per_point in [1.0, 1.5, 2.0] {
        for theme in [Theme::Light, Theme::Dark] {
            let mut harness = window(1, pixels_per_point);
            harness.state_mut().views[0].shared.theme = theme;
            harness.run();
            let rect = size_of(&harness, "view 0");
            assert_eq!(rect.size(), Vec2::new(640.0, 480.0) - Vec2::splat(2.0 * MARGIN));
            let shot = harness.render().unwrap();
            let view = ViewState::from(Shared {
                theme,
                ..Shared::default()
            });
            let drawn = scene([rect.width(), rect.height()], &view).unwrap();
            let expected = headless.render(&drawn, &view, pixels_per_point).unwrap();
            let corner = (rect.min * pixels_per_point).round();
            let (mut wrong, mut colors) = (0, std::collections::HashSet::new());
            for y in 0..expected.height() {
                for x in 0..expected.width() {
                    let at = 4 * (y * expected.width() + x) as usize;
                    let found = shot.get_pixel(x + corner.x as u32, y + corner.y as u32).0;
                    colors.insert(found);
                    let differs = |c: usize| found[c].abs_diff(expected.rgba()[at + c]) > 1;
                    wrong += usize::from((0..3).any(differs));
                }
            }
            assert_eq!(wrong, 0, "{theme:?} at {pixels_per_point} pixels per point");
            assert!(colors.len() > 100, "something is drawn");
        }
    }
}

#[test]
fn a_click_opens_a_head_and_escape_goes_back() {
    let mut harness = window(1, 1.0);
    let at = middle(&harness, 1, 2);
    click(&mut harness, at);
    assert_eq!(harness.state().views[0].open, Some(head(1, 2)));
    assert!(harness.state().events[0].contains(&Event::OpenHead(head(1, 2))));
    // The click gave the focus.
    harness.key_press(Key::Escape);
    harness.run();
    assert_eq!(harness.state().views[0].open, None);
    assert!(harness.state().events[0].contains(&Event::Back));
}

#[test]
fn a_legend_of_many_classes_is_turned_and_filters() {
    let mut harness = window(1, 1.0);
    for (target, built) in [
        (Target::LegendPage(1), 2),
        (Target::LegendPage(2), 3),
        (Target::LegendClass(39), 4),
    ] {
        let scene = harness.state().widgets[0].scene().unwrap();
        let region = scene.layers[0].regions.iter().find(|region| region.target == target);
        // The scene is laid out in the widget's own size.
        let [x, y] = region.unwrap().rect.center();
        let at = size_of(&harness, "view 0").min + Vec2::new(x, y);
        click(&mut harness, at);
        assert_eq!(harness.state().built, [built], "a scene per click");
    }
    let view = &harness.state().views[0];
    assert_eq!(
        (view.shared.legend_page, view.shared.hidden_classes.iter().next()),
        (2, Some(&39))
    );
    let scene = harness.state().widgets[0].scene().unwrap();
    let says = |text: &str| scene.layers[0].labels.iter().any(|label| &*label.text == text);
    assert!(says("29–40 of 40, 1 off →"));
    assert!(harness.state().events[0].contains(&Event::ToggleClass(39)));
}

#[test]
fn the_pointer_hovers_and_leaves() {
    let mut harness = window(1, 2.0);
    let at = middle(&harness, 0, 1);
    harness.hover_at(at);
    harness.run();
    assert_eq!(harness.state().widgets[0].interaction().head, Some(head(0, 1)));
    let framed = harness.render().unwrap();
    harness.remove_cursor();
    harness.run();
    assert_eq!(harness.state().widgets[0].interaction().head, None);
    assert_ne!(framed, harness.render().unwrap(), "the frame around the head is gone");
}

#[test]
fn the_wheel_zooms_as_the_controller_does() {
    let mut harness = window(1, 1.0);
    let (at, rect) = (middle(&harness, 0, 0), size_of(&harness, "view 0"));
    harness.hover_at(at);
    harness.run();
    wheel(&harness, 3.0);
    // The notches come over some frames.
    harness.run_steps(60);
    let size = [rect.width(), rect.height()];
    let (mut view, mut controller) = (ViewState::default(), Controller::default());
    let scene = scene(size, &view).unwrap();
    controller.handle(Input::Resized { size }, &scene, &mut view);
    let position = [at.x - rect.min.x, at.y - rect.min.y];
    controller.handle(Input::Wheel { position, notches: 3.0 }, &scene, &mut view);
    let found = harness.state().views[0].stage;
    assert!(
        (found.zoom - view.stage.zoom).abs() < 1e-3,
        "{found:?} {:?}",
        view.stage
    );
    for axis in 0..2 {
        assert!((found.center[axis] - view.stage.center[axis]).abs() < 1e-3);
    }
}

#[test]
fn without_animations_a_notch_is_there_at_once() {
    let mut harness = window(1, 1.0);
    harness.ctx.all_styles_mut(|style| style.animation_time = 0.0);
    let at = middle(&harness, 0, 0);
    harness.hover_at(at);
    harness.run();
    wheel(&harness, 1.0);
    harness.step();
    let zoom = harness.state().views[0].stage.zoom;
    assert!((zoom - 1.15).abs() < 1e-3, "{zoom}");
    harness.run_steps(30);
    assert_eq!(harness.state().views[0].stage.zoom, zoom, "and nothing glides after it");
}

/// Fingers on a trackpad, as systems that say so and those that do not tell of them.
#[test]
fn two_fingers_move_what_is_seen() {
    for source in [egui::MouseWheelSource::Trackpad, egui::MouseWheelSource::Unknown] {
        let mut harness = window(1, 2.0);
        let (at, rect) = (middle(&harness, 0, 0), size_of(&harness, "view 0"));
        harness.hover_at(at);
        harness.run();
        // Across first, then down by more than a notch of a wheel.
        for delta in [Vec2::new(-30.0, 0.0), Vec2::new(0.0, -60.0)] {
            harness.event(EguiEvent::MouseWheel {
                unit: MouseWheelUnit::Point,
                delta,
                phase: TouchPhase::Move,
                source,
                modifiers: Modifiers::NONE,
            });
        }
        harness.run_steps(30);
        let size = [rect.width(), rect.height()];
        let scene = scene(size, &ViewState::default()).unwrap();
        let found = harness.state().views[0].stage;
        assert_eq!(found.zoom, 1.0, "{source:?}: nothing glides on as a wheel would");
        let expected = [0.5 + 30.0 / scene.stage.width(), 0.5 + 60.0 / scene.stage.height()];
        for axis in 0..2 {
            assert!(
                (found.center[axis] - expected[axis]).abs() < 1e-3,
                "{found:?} {expected:?}"
            );
        }
    }
}

#[test]
fn points_move_to_another_projection_unless_motion_is_reduced() {
    for (reduced, animations) in [(false, true), (true, true), (false, false)] {
        let mut harness = window(1, 1.0);
        let time = if animations { 0.1 } else { 0.0 };
        harness.ctx.all_styles_mut(|style| style.animation_time = time);
        harness.state_mut().views[0].shared.reduced_motion = reduced;
        harness.run();
        let before = harness.render().unwrap();
        harness.state_mut().turned = true;
        harness.state_mut().widgets[0].animate();
        let mut frames = Vec::new();
        for _ in 0..60 {
            harness.step();
            frames.push(harness.render().unwrap());
            if frames.len() > 2 && frames[frames.len() - 1] == frames[frames.len() - 2] {
                break;
            }
        }
        let last = frames.last().unwrap();
        assert_ne!(*last, before);
        let between = frames
            .iter()
            .filter(|frame| *frame != last && **frame != before)
            .count();
        assert_eq!(between > 1, animations && !reduced, "{between} frames on the way");
        // Where it ends is what is there without a way.
        let mut at_once = window(1, 1.0);
        at_once.state_mut().views[0].shared.reduced_motion = reduced;
        at_once.state_mut().turned = true;
        at_once.state_mut().widgets[0].invalidate();
        at_once.run();
        assert_eq!(*last, at_once.render().unwrap());
    }
}

#[test]
fn a_pinch_enlarges_by_what_the_fingers_say() {
    let mut harness = window(1, 1.0);
    let at = middle(&harness, 0, 0);
    harness.hover_at(at);
    harness.run();
    harness.event(EguiEvent::Zoom(1.3));
    harness.run();
    let zoom = harness.state().views[0].stage.zoom;
    assert!((zoom - 1.3).abs() < 1e-3, "{zoom}");
}

#[test]
fn keys_act_only_with_the_focus() {
    let mut harness = window(2, 1.0);
    harness.key_press(Key::Plus);
    harness.run();
    assert_eq!(harness.state().views[0].stage, Camera::default());
    harness.get_by_label("view 1").focus();
    harness.run();
    for _ in 0..2 {
        harness.key_press(Key::Plus);
        harness.run();
    }
    harness.key_press(Key::ArrowLeft);
    harness.run();
    let views = &harness.state().views;
    assert_eq!(views[0], ViewState::default());
    assert!(
        views[1].stage.zoom > 1.0 && views[1].stage.center[0] < 0.5,
        "{:?}",
        views[1].stage
    );
    assert!(
        harness.get_by_label("view 1").is_focused(),
        "arrows do not move the focus on"
    );
    harness.key_press(Key::Tab);
    harness.run();
    assert!(harness.get_by_label("view 0").is_focused(), "Tab does");
}

#[test]
fn a_head_is_reached_with_keys_alone() {
    let mut harness = window(1, 1.0);
    harness.key_press(Key::Tab);
    harness.run();
    for key in [Key::N, Key::N, Key::Enter] {
        harness.key_press(key);
        harness.run();
    }
    assert_eq!(harness.state().views[0].open, Some(head(0, 1)));
    harness.key_press(Key::N);
    harness.run();
    assert!(harness.state().views[0].selection.is_some(), "then its points");
    harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    harness.run();
    let count = harness.state().views[0].shared.selected.len();
    assert!(count > 0);
    let node = harness.get_by_label("view 0");
    let value = node.value().unwrap();
    assert!(
        value.contains("head L0 H1") && value.contains(&format!("{count} points selected")),
        "{value}"
    );
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    harness.run();
    assert!(harness.state().views[0].shared.selected.is_empty());
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Y);
    harness.run();
    assert_eq!(harness.state().views[0].shared.selected.len(), count);
    harness.key_press(Key::T);
    harness.run();
    assert_eq!(harness.state().views[0].shared.theme, Theme::Dark);
}

#[test]
fn box_and_lasso_select_points() {
    for (key, tool) in [(Key::B, Tool::Box), (Key::L, Tool::Lasso)] {
        let mut harness = window(1, 2.0);
        harness.state_mut().views[0].open_head(head(0, 0));
        // Without the classes in the legend the plot is as large as can be.
        harness.state_mut().views[0].shared.color = attn_render::state::ColorChoice::Role;
        harness.run();
        harness.get_by_label("view 0").focus();
        harness.key_press(key);
        harness.run();
        assert_eq!(harness.state().widgets[0].tool(), tool);
        let rect = size_of(&harness, "view 0");
        let corner = |x: f32, y: f32| rect.min + Vec2::new(x * rect.width(), y * rect.height());
        harness.hover_at(corner(0.05, 0.2));
        harness.run();
        harness.drag_at(corner(0.05, 0.2));
        harness.run();
        for (x, y) in [(0.95, 0.21), (0.95, 0.95), (0.05, 0.95)] {
            harness.hover_at(corner(x, y));
            harness.run();
        }
        if tool == Tool::Box {
            harness.hover_at(corner(0.95, 0.95));
            harness.run();
        }
        harness.drop_at(corner(0.05, 0.95));
        harness.run();
        let view = &harness.state().views[0];
        assert_eq!(
            view.shared.selected.len() > common::POINTS / 2,
            tool == Tool::Lasso || !view.shared.selected.is_empty()
        );
        assert!(!view.shared.selected.is_empty(), "{tool:?}");
        assert_eq!(
            (view.inside, view.stage),
            (Camera::default(), Camera::default()),
            "nothing moved"
        );
    }
}

#[test]
fn two_widgets_share_what_the_host_links_and_nothing_else() {
    for linked in [false, true] {
        let mut harness = window(2, 1.0);
        harness.state_mut().linked = linked;
        let at = middle(&harness, 0, 0);
        harness.hover_at(at);
        harness.run();
        let hovered: Vec<_> = harness.state().widgets.iter().map(|w| w.interaction().head).collect();
        assert_eq!(hovered, [Some(head(0, 0)), Some(head(0, 0)).filter(|_| linked)]);
        wheel(&harness, 1.0);
        harness.run_steps(30);
        harness.drag_at(at);
        harness.run();
        harness.hover_at(at + Vec2::new(500.0, 20.0));
        harness.run();
        harness.drop_at(at + Vec2::new(500.0, 20.0));
        harness.run();
        let views = &harness.state().views;
        assert!(views[0].stage.zoom > 1.0);
        assert_eq!(
            views[1].stage,
            Camera::default(),
            "a drag that ends over another widget is the first one's"
        );
        assert_eq!(harness.state().built, [1, 1], "cameras and hovering make no scene");
    }
}

#[test]
fn scenes_are_made_when_something_changed_and_only_then() {
    let mut harness = window(1, 1.0);
    harness.run_steps(10);
    assert_eq!(harness.state().built, [1]);
    harness.state_mut().views[0].shared.search = "cat".into();
    harness.run();
    assert_eq!(harness.state().built, [2]);
    harness.state_mut().widgets[0].invalidate();
    harness.run();
    assert_eq!(harness.state().built, [3]);
    harness.set_size(Vec2::new(700.0, 500.0));
    harness.run();
    assert_eq!(harness.state().built, [4]);
}

#[test]
fn what_cannot_be_drawn_is_said() {
    let mut harness = window(1, 1.0);
    harness.state_mut().fail = true;
    harness.state_mut().widgets[0].invalidate();
    harness.run();
    let error = harness.state().widgets[0].error().unwrap().to_string();
    assert!(error.contains("the data is gone"), "{error}");
    assert!(
        harness
            .get_by_label("view 0")
            .value()
            .unwrap()
            .contains("the data is gone")
    );
    assert!(
        harness.state().widgets[0].scene().is_some(),
        "the old one is still there"
    );
    harness.state_mut().fail = false;
    harness.state_mut().widgets[0].invalidate();
    harness.run();
    assert!(harness.state().widgets[0].error().is_none());
}

#[test]
fn no_size_panics() {
    let mut harness = window(1, 1.0);
    let sizes = [0.0, 0.4, 1.0, 3.0, 30_000.0, 1e9, f32::INFINITY, f32::MAX, -5.0];
    for width in sizes {
        for height in [1.0, 40_000.0, 0.0] {
            // egui itself refuses NaN in debug builds.
            harness.state_mut().size = Some(Vec2::new(width, height));
            harness.run();
            assert!(harness.state().widgets[0].error().is_none(), "{width} x {height}");
            harness.render().unwrap();
        }
    }
    harness.state_mut().size = None;
    harness.run();
    let at = middle(&harness, 0, 0);
    click(&mut harness, at);
    assert_eq!(
        harness.state().views[0].open,
        Some(head(0, 0)),
        "and it works as before"
    );
}

#[test]
fn a_view_of_nonsense_is_drawn_all_the_same() {
    let mut harness = window(1, 1.0);
    for bad in [f32::NAN, f32::INFINITY, -1e30, 0.0] {
        let view = &mut harness.state_mut().views[0];
        view.stage = Camera {
            center: [bad, 0.5],
            zoom: bad,
        };
        view.inside = view.stage;
        view.orbit.yaw = bad;
        harness.run();
        harness.hover_at(Pos2::new(300.0, 200.0));
        harness.run();
        wheel(&harness, 2.0);
        harness.run_steps(10);
        harness.render().unwrap();
    }
}

#[test]
fn a_lost_device_is_replaced_and_the_scene_is_still_there() {
    let lost = state();
    let mut host = Host::new(&lost, 1);
    let ctx = egui::Context::default();
    let frame = |host: &mut Host| {
        let input = egui::RawInput {
            screen_rect: Some(egui::Rect::from_min_size(Pos2::ZERO, Vec2::new(640.0, 480.0))),
            ..egui::RawInput::default()
        };
        ctx.run_ui(input, |ui| host.show(ui)).textures_delta.clear();
    };
    frame(&mut host);
    host.views[0].stage.zoom_at([0.3, 0.4], 2.0);
    lost.device.destroy();
    // A host notices late: frames in between must do no harm.
    for _ in 0..3 {
        host.views[0].stage.pan([0.01, 0.0]);
        frame(&mut host);
    }
    let built = host.built.clone();
    let found = host.views[0].clone();
    host.widgets[0].set_render_state(&state());
    frame(&mut host);
    assert!(host.widgets[0].error().is_none(), "{:?}", host.widgets[0].error());
    assert_eq!(host.built, built, "the scene was not made again");
    assert_eq!(host.views[0], found);

    // The picture is the one that a window which never lost its device shows.
    let mut harness = window(1, 1.0);
    harness.state_mut().views[0] = found.clone();
    harness.run();
    let expected = harness.render().unwrap();
    let fresh = state();
    let mut recovered = std::mem::replace(&mut host.widgets[0], attn_egui::SceneView::new(&fresh, "unused"));
    recovered.set_render_state(&fresh);
    host.widgets[0] = recovered;
    let renderer = egui_kittest::wgpu::WgpuTestRenderer::from_render_state(fresh);
    let mut harness = Harness::builder()
        .with_size(Vec2::new(640.0, 480.0))
        .renderer(renderer)
        .build_ui_state(|ui, host: &mut Host| host.show(ui), host);
    harness.run();
    assert_eq!(harness.render().unwrap(), expected);
}

#[test]
fn the_main_plot_takes_keys_without_the_focus() {
    let mut harness = window(2, 1.0);
    harness.key_press(Key::L);
    harness.run();
    assert_eq!(
        harness.state().widgets[0].tool(),
        Tool::Look,
        "only if the host says so"
    );
    harness.state_mut().widgets[0].set_takes_keys(true);
    harness.key_press(Key::L);
    harness.run();
    assert_eq!(harness.state().widgets[0].tool(), Tool::Lasso);
    // Another plot has the focus: its keys are its own.
    let at = size_of(&harness, "view 1").center();
    click(&mut harness, at);
    harness.key_press(Key::B);
    harness.run();
    let tools = [0, 1].map(|widget| harness.state().widgets[widget].tool());
    assert_eq!(tools, [Tool::Lasso, Tool::Box]);
}
