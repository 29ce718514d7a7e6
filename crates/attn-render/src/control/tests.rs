//! Gestures, keys and what they do to a view.

use attn_core::Attention;

use super::*;
use crate::{
    Color,
    camera::Camera,
    geometry::Bounds,
    scene::{Panel, Point},
};

fn head(head: usize) -> HeadId {
    HeadId::new(Attention::EncoderSelf, 0, head)
}

/// Two head panels side by side on a stage of 200 x 100, or one panel with its content moving.
fn scene(motion: Motion, axes: Axes) -> Scene {
    let mut scene = Scene::new([200.0, 100.0], Color::default());
    scene.add_panel(Panel::page(scene.stage, Motion::Stage));
    if motion != Motion::Stage {
        scene.panels.pop();
    }
    let panels = if motion == Motion::Stage { 2_u16 } else { 1 };
    for i in 0..panels {
        let panel = scene.add_panel(Panel {
            head: Some(head(usize::from(i))),
            bounds: Bounds {
                min: [-1.0; 3],
                max: [1.0; 3],
            },
            axes,
            ..Panel::page(Rect::new(10.0 + 100.0 * f32::from(i), 10.0, 80.0, 80.0), motion)
        });
        scene.layers[0]
            .points
            .push(Point::new(panel, [0.0; 3], Color::default(), 7));
    }
    scene
}

fn controller() -> Controller {
    Controller {
        size: [200.0, 100.0],
        ..Controller::default()
    }
}

#[test]
fn wheel_zooms_the_matrix_at_the_cursor_until_a_head_opens() {
    let (scene, mut view, mut control) = (scene(Motion::Stage, Axes::Plane), ViewState::default(), controller());
    let position = [150.0, 50.0];
    let at = |view: &ViewState| {
        Projection::new(&scene, view, [200.0, 100.0]).panels[3]
            .px_from_data
            .apply([0.0; 3])
    };
    let before = at(&view);
    let events = control.handle(Input::Wheel { position, notches: 0.5 }, &scene, &mut view);
    assert_eq!(events, [Event::ViewChanged]);
    assert!(
        view.stage.zoom > 1.0 && (at(&view)[0] - before[0]).abs() < 0.01,
        "the panel's middle was under the cursor"
    );
    let mut opened = Vec::new();
    for _ in 0..20 {
        opened.extend(control.handle(Input::Wheel { position, notches: 1.0 }, &scene, &mut view));
        if view.open.is_some() {
            break;
        }
    }
    assert!(opened.contains(&Event::OpenHead(head(1))));
    assert_eq!(view.open, Some(head(1)));
}

/// A click on a token switches it off and on; with Shift it isolates it; a key switches the isolated one.
#[test]
fn tokens_are_switched_off_and_isolated() {
    let mut scene = Scene::new([200.0, 100.0], Color::default());
    let panel = scene.add_panel(Panel {
        head: Some(head(0)),
        ..Panel::page(Rect::new(0.0, 0.0, 200.0, 100.0), Motion::Inside)
    });
    let token = crate::scene::Region::token(panel, Rect::new(10.0, 10.0, 40.0, 20.0), 3);
    scene.layers[0].regions.push(token);
    let (mut view, mut control) = (ViewState::default(), controller());
    let click = |control: &mut Controller, view: &mut ViewState| {
        let position = [20.0, 20.0];
        control.handle(Input::PointerPressed { position }, &scene, view);
        control.handle(Input::PointerReleased { position }, &scene, view)
    };
    assert_eq!(
        click(&mut control, &mut view),
        [Event::SwitchToken(3), Event::ViewChanged]
    );
    assert!(view.hidden.contains(&3) && view.selection.is_none());
    click(&mut control, &mut view);
    assert!(view.hidden.is_empty());
    control.handle(Input::Shift(true), &scene, &mut view);
    click(&mut control, &mut view);
    assert!(view.hidden.is_empty() && view.selection.is_some_and(|pick| pick.id == 3));
    control.handle(Input::Shift(false), &scene, &mut view);
    control.handle(Input::Key(Key::Switch), &scene, &mut view);
    assert!(view.hidden.contains(&3));
    control.handle(Input::Key(Key::Undo), &scene, &mut view);
    assert!(view.hidden.is_empty());
}

/// Home resets what is inside a panel also where no head is open, as over a picture.
#[test]
fn home_resets_every_camera() {
    let (scene, mut control) = (scene(Motion::Inside, Axes::Plane), controller());
    let mut view = ViewState::default();
    view.inside.zoom_at([0.5; 2], 3.0);
    view.orbit.turn(1.0, 0.5);
    control.handle(Input::Key(Key::Home), &scene, &mut view);
    assert_eq!(view, ViewState::default());
}

#[test]
fn click_opens_a_head_and_escape_goes_back() {
    let (scene, mut view, mut control) = (scene(Motion::Stage, Axes::Plane), ViewState::default(), controller());
    let position = [40.0, 40.0];
    control.handle(Input::PointerPressed { position }, &scene, &mut view);
    let events = control.handle(Input::PointerReleased { position }, &scene, &mut view);
    assert_eq!(events, [Event::OpenHead(head(0)), Event::ViewChanged]);
    let events = control.handle(Input::Key(Key::Escape), &scene, &mut view);
    assert_eq!(events, [Event::Back, Event::ViewChanged]);
    assert_eq!(view, ViewState::default());
    assert_eq!(
        control.handle(Input::Key(Key::Escape), &scene, &mut view),
        [],
        "nothing left to leave"
    );
}

#[test]
fn two_fingers_move_and_pinch_and_click_nothing() {
    let (scene, mut control) = (scene(Motion::Inside, Axes::Plane), controller());
    control.set_tool(Tool::Lasso);
    let (mut view, mut events) = (ViewState::default(), Vec::new());
    let at = |view: &ViewState| {
        let [x, y, _] = Projection::new(&scene, view, [200.0, 100.0]).panels[1]
            .px_from_data
            .apply([0.0; 3]);
        [x, y]
    };
    let mut finger = |id, position, view: &mut ViewState| {
        events.extend(control.handle(Input::Finger { id, position }, &scene, view));
    };
    // Both fingers to the right and down, then apart around their middle.
    let before = at(&view);
    finger(7, Some([40.0, 40.0]), &mut view);
    finger(9, Some([60.0, 40.0]), &mut view);
    for step in 1..=10_u8 {
        let by = f32::from(step);
        finger(7, Some([40.0 + by, 40.0 + by]), &mut view);
        finger(9, Some([60.0 + by, 40.0 + by]), &mut view);
    }
    // Between two reports the fingers seem to pinch a little, which the next undoes.
    let moved = at(&view);
    assert!((view.inside.zoom - 1.0).abs() < 0.02, "{view:?}");
    for axis in 0..2 {
        assert!((moved[axis] - before[axis] - 10.0).abs() < 0.5, "{before:?} {moved:?}");
    }
    let zoom = view.inside.zoom;
    finger(7, Some([40.0, 50.0]), &mut view);
    finger(9, Some([80.0, 50.0]), &mut view);
    assert!((view.inside.zoom / zoom - 2.0).abs() < 0.01, "{view:?}");
    finger(7, None, &mut view);
    finger(9, Some([10.0, 10.0]), &mut view);
    finger(9, None, &mut view);
    let chosen = |event: &Event| {
        matches!(
            event,
            Event::SelectPoint(_) | Event::SelectPoints(_) | Event::OpenHead(_)
        )
    };
    assert!(!events.iter().any(chosen), "{events:?}");
    // One finger is a pointer.
    control.set_tool(Tool::Look);
    let touch = at(&view);
    control.handle(
        Input::Finger {
            id: 3,
            position: Some(touch),
        },
        &scene,
        &mut view,
    );
    let events = control.handle(Input::Finger { id: 3, position: None }, &scene, &mut view);
    let pick = Pick {
        head: Some(head(0)),
        id: 7,
    };
    assert!(events.contains(&Event::SelectPoint(Some(pick))), "{events:?}");
}

#[test]
fn two_fingers_turn_a_cloud_whatever_the_tool() {
    let (scene, mut view, mut control) = (scene(Motion::Inside, Axes::Space), ViewState::default(), controller());
    control.set_tool(Tool::Box);
    let position = [50.0, 50.0];
    control.handle(
        Input::Pan {
            position,
            by: [8.0, 0.0],
        },
        &scene,
        &mut view,
    );
    let turned = view.orbit.yaw - crate::camera::Orbit::default().yaw;
    assert!(
        (turned - std::f32::consts::PI * 0.1).abs() < 1e-5,
        "a tenth of the panel is a tenth of half a turn"
    );
    assert!(control.area().is_none());
}

#[test]
fn dragging_pans_and_is_no_click() {
    let (scene, mut view, mut control) = (scene(Motion::Inside, Axes::Plane), ViewState::default(), controller());
    control.handle(Input::PointerPressed { position: [40.0, 40.0] }, &scene, &mut view);
    control.handle(Input::PointerMoved { position: [60.0, 30.0] }, &scene, &mut view);
    let events = control.handle(Input::PointerReleased { position: [60.0, 30.0] }, &scene, &mut view);
    assert!(!events.iter().any(|event| matches!(event, Event::SelectPoint(_))));
    let [x, y, _] = Projection::new(&scene, &view, [200.0, 100.0]).panels[1]
        .px_from_data
        .apply([0.0; 3]);
    assert!(
        (x - 70.0).abs() < 1e-3 && (y - 40.0).abs() < 1e-3,
        "moved by 20, -10: {x}, {y}"
    );
}

#[test]
fn dragging_turns_a_cloud() {
    let (scene, mut view, mut control) = (scene(Motion::Inside, Axes::Space), ViewState::default(), controller());
    let before = view.orbit;
    control.handle(Input::PointerPressed { position: [40.0, 40.0] }, &scene, &mut view);
    control.handle(Input::PointerMoved { position: [60.0, 40.0] }, &scene, &mut view);
    assert!(view.orbit.yaw > before.yaw && view.orbit.pitch == before.pitch && view.inside == Camera::default());
}

#[test]
fn hovering_names_head_and_point_once() {
    let (scene, mut view, mut control) = (scene(Motion::Inside, Axes::Plane), ViewState::default(), controller());
    let pick = Pick {
        head: Some(head(0)),
        id: 7,
    };
    let on = Input::PointerMoved { position: [51.0, 52.0] };
    let events = control.handle(on, &scene, &mut view);
    assert_eq!(
        events,
        [
            Event::HoverHead(Some(head(0))),
            Event::HoverPoint(Some(pick)),
            Event::ViewChanged
        ]
    );
    assert_eq!(control.handle(on, &scene, &mut view), []);
    let events = control.handle(Input::PointerLeft, &scene, &mut view);
    assert_eq!(
        events,
        [Event::HoverHead(None), Event::HoverPoint(None), Event::ViewChanged]
    );
}

#[test]
fn clicking_selects_and_empty_space_clears() {
    let (scene, mut view, mut control) = (scene(Motion::Inside, Axes::Plane), ViewState::default(), controller());
    let mut click = |position| {
        control.handle(Input::PointerPressed { position }, &scene, &mut view);
        control.handle(Input::PointerReleased { position }, &scene, &mut view);
        view.selection
    };
    assert_eq!(
        click([50.0, 50.0]),
        Some(Pick {
            head: Some(head(0)),
            id: 7
        })
    );
    assert_eq!(click([20.0, 20.0]), None);
}

#[test]
fn keys_do_what_the_pointer_does() {
    let (scene, mut view, mut control) = (scene(Motion::Stage, Axes::Plane), ViewState::default(), controller());
    control.handle(Input::Key(Key::Plus), &scene, &mut view);
    control.handle(Input::Key(Key::Left), &scene, &mut view);
    assert!(view.stage.zoom > 1.0 && view.stage.center[0] < 0.5);
    control.handle(Input::Key(Key::Home), &scene, &mut view);
    assert_eq!(view, ViewState::default());
}

#[test]
fn no_input_panics_on_an_empty_scene() {
    let mut scene = Scene::new([0.0, 0.0], Color::default());
    scene.panels.clear();
    let (mut view, mut control) = (ViewState::default(), Controller::default());
    for position in [[0.0, 0.0], [f32::NAN, 1e30]] {
        for input in [
            Input::Resized { size: position },
            Input::PointerPressed { position },
            Input::PointerMoved { position: [50.0, 50.0] },
            Input::PointerReleased { position },
            Input::Wheel {
                position,
                notches: f32::NAN,
            },
            Input::Key(Key::Plus),
            Input::Key(Key::Down),
        ] {
            control.handle(input, &scene, &mut view);
        }
    }
}

fn gesture(control: &mut Controller, scene: &Scene, view: &mut ViewState, positions: &[[f32; 2]]) -> Vec<Event> {
    let mut events = control.handle(Input::PointerPressed { position: positions[0] }, scene, view);
    for &position in &positions[1..] {
        events.extend(control.handle(Input::PointerMoved { position }, scene, view));
    }
    let position = positions[positions.len() - 1];
    events.extend(control.handle(Input::PointerReleased { position }, scene, view));
    events
}

/// One panel from -1 to 1 at 10..90, with points along its diagonal, two of them over each other.
fn diagonal() -> Scene {
    let mut scene = scene(Motion::Inside, Axes::Plane);
    scene.layers[0].points.clear();
    for (id, at) in (0..).zip([-0.8, -0.4, -0.4, 0.0, 0.4, 0.8]) {
        scene.layers[0]
            .points
            .push(Point::new(1, [at, at, 0.0], Color::default(), id));
    }
    scene
}

#[test]
fn a_box_and_a_lasso_select_what_they_hold() {
    let (scene, mut view, mut control) = (diagonal(), ViewState::default(), controller());
    control.set_tool(Tool::Box);
    // The lower left quarter of the panel: the points at -0.8 and -0.4, the hidden one behind included.
    let events = gesture(
        &mut control,
        &scene,
        &mut view,
        &[[12.0, 88.0], [30.0, 70.0], [48.0, 52.0]],
    );
    assert!(events.contains(&Event::SelectPoints(3)), "{events:?}");
    assert_eq!(view.shared.selected.ids().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(view.shared.selected.head(), Some(head(0)));
    assert_eq!(view.inside, Camera::default(), "a tool does not move the camera");
    control.handle(Input::Key(Key::Tool(Tool::Lasso)), &scene, &mut view);
    let corners = [[45.0, 45.0], [70.0, 20.0], [80.0, 40.0], [55.0, 60.0]];
    gesture(&mut control, &scene, &mut view, &corners);
    assert_eq!(view.shared.selected.ids().collect::<Vec<_>>(), [3, 4]);
    control.handle(Input::Key(Key::Undo), &scene, &mut view);
    assert_eq!(view.shared.selected.len(), 3, "undo brings the box back");
    control.handle(Input::Key(Key::Redo), &scene, &mut view);
    assert_eq!(view.shared.selected.len(), 2);
    control.handle(Input::Key(Key::Escape), &scene, &mut view);
    assert!(view.shared.selected.is_empty());
    let events = control.handle(Input::Key(Key::SelectAll), &scene, &mut view);
    assert!(events.contains(&Event::SelectPoints(6)));
}

#[test]
fn heads_and_points_are_reached_by_keys() {
    let (matrix, mut view, mut control) = (scene(Motion::Stage, Axes::Plane), ViewState::default(), controller());
    for expected in [0, 1, 0] {
        control.handle(Input::Key(Key::Next), &matrix, &mut view);
        assert_eq!(control.interaction().head, Some(head(expected)));
    }
    control.handle(Input::Key(Key::Previous), &matrix, &mut view);
    let events = control.handle(Input::Key(Key::Enter), &matrix, &mut view);
    assert_eq!(events[0], Event::OpenHead(head(1)));
    let scene = diagonal();
    let mut walked = Vec::new();
    for key in [Key::Next, Key::Next, Key::Previous, Key::Previous] {
        control.handle(Input::Key(key), &scene, &mut view);
        walked.extend(view.selection.map(|pick| pick.id));
    }
    assert_eq!(walked, [0, 1, 0, 5]);
}

#[test]
fn a_class_of_the_legend_is_switched_by_a_click() {
    let (mut scene, mut view, mut control) = (diagonal(), ViewState::default(), controller());
    scene.layers[0].regions.push(crate::scene::Region {
        panel: 0,
        rect: Rect::new(100.0, 0.0, 50.0, 10.0),
        target: Target::LegendClass(3),
    });
    for hidden in [true, false] {
        let events = gesture(&mut control, &scene, &mut view, &[[120.0, 5.0]]);
        assert!(events.contains(&Event::ToggleClass(3)));
        assert_eq!(view.shared.hidden_classes.contains(&3), hidden);
    }
    control.handle(Input::PointerMoved { position: [120.0, 5.0] }, &scene, &mut view);
    assert_eq!(control.interaction().pick, None, "a legend is no point");
}

#[test]
fn a_drag_that_outlives_its_scene_does_nothing() {
    let (mut control, mut view) = (controller(), ViewState::default());
    let matrix = scene(Motion::Stage, Axes::Plane);
    let last = matrix.panels.len() - 1;
    let place = Projection::new(&matrix, &view, [200.0, 100.0]).panels[last]
        .rect
        .center();
    control.handle(Input::PointerPressed { position: place }, &matrix, &mut view);
    let mut other = matrix.clone();
    other.panels.truncate(1);
    other.layers.clear();
    let before = view.clone();
    let position = [place[0] - 30.0, place[1] - 20.0];
    control.handle(Input::PointerMoved { position }, &other, &mut view);
    assert_eq!(view, before);
}
