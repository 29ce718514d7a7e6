//! From a pointer and keys to a changed view: the same habits in every toolkit.
//!
//! Wheel zooms at the cursor, drag pans (turns clouds in three dimensions), click opens or selects, Escape goes
//! back. The host translates its toolkit's events into [`Input`], hands them in, draws again if the
//! [`View`] changed, and does with the [`Event`]s what it likes.

use attn_core::HeadId;

use crate::{Axes, Hit, Motion, Pick, Picker, Projection, Rect, Scene, View, pick::panel_at};

/// What a person did. Positions are pixels of the target, from its left top.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Input {
    /// The target has another size, in pixels. Must come first.
    Resized {
        /// Width and height.
        size: [f32; 2],
    },
    /// The pointer is somewhere.
    PointerMoved {
        /// Where.
        position: [f32; 2],
    },
    /// The pointer left the target.
    PointerLeft,
    /// The main button went down.
    PointerPressed {
        /// Where.
        position: [f32; 2],
    },
    /// The main button went up.
    PointerReleased {
        /// Where.
        position: [f32; 2],
    },
    /// The wheel turned; a pinch does the same.
    Wheel {
        /// Where.
        position: [f32; 2],
        /// Notches, positive away from the person, which enlarges.
        notches: f32,
    },
    /// A key went down.
    Key(Key),
}

/// The keys a controller understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// Goes back: to the matrix, or to the whole of it.
    Escape,
    /// Enlarges.
    Plus,
    /// Shrinks.
    Minus,
    /// Shows everything again.
    Home,
    /// Moves or turns left.
    Left,
    /// Moves or turns right.
    Right,
    /// Moves or turns up.
    Up,
    /// Moves or turns down.
    Down,
}

/// What a person meant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    /// The view changed: draw again.
    ViewChanged,
    /// The pointer is over the panel of another head, or of none.
    HoverHead(Option<HeadId>),
    /// The pointer is over another point, token or patch, or over none.
    HoverPoint(Option<Pick>),
    /// A head was clicked, or zoomed into: [`View::open`] names it.
    OpenHead(HeadId),
    /// A point, token or patch was clicked; `None`: empty space was.
    SelectPoint(Option<Pick>),
    /// The open head was left.
    Back,
}

/// Turns input into changes of a [`View`].
#[derive(Debug, Clone, Default)]
pub struct Controller {
    size: [f32; 2],
    picker: Picker,
    pressed: Option<Pressed>,
}

#[derive(Debug, Clone, Copy)]
struct Pressed {
    panel: Option<usize>,
    start: [f32; 2],
    last: [f32; 2],
    dragging: bool,
}

/// How far, in layout units, a press may move and still be a click.
const CLICK: f32 = 4.0;
/// How far, in layout units, the pointer may be from a point.
const REACH: f32 = 8.0;
/// Enlargement of one notch of the wheel.
const NOTCH: f32 = 1.15;
/// A panel of the matrix that is wheeled to this share of the stage opens.
const OPENS_AT: f32 = 0.9;

impl Controller {
    /// Handles one input. Events come in the order they happened.
    pub fn handle(&mut self, input: Input, scene: &Scene, view: &mut View) -> Vec<Event> {
        let mut events = Vec::new();
        let before = view.clone();
        match input {
            Input::Resized { size } => {
                self.size = size;
                events.push(Event::ViewChanged);
            }
            Input::PointerMoved { position } => self.moved(position, scene, view, &mut events),
            Input::PointerLeft => {
                self.pressed = None;
                self.hover(None, scene, view, &mut events);
            }
            Input::PointerPressed { position } => {
                let projection = self.projection(scene, view);
                let panel = moving_panel(scene, &projection, position);
                self.pressed = Some(Pressed {
                    panel,
                    start: position,
                    last: position,
                    dragging: false,
                });
            }
            Input::PointerReleased { position } => {
                if self.pressed.take().is_some_and(|pressed| !pressed.dragging) {
                    self.click(position, scene, view, &mut events);
                }
            }
            Input::Wheel { position, notches } => {
                let factor = NOTCH.powf(notches.clamp(-20.0, 20.0));
                self.zoom(position, factor, scene, view, &mut events);
            }
            Input::Key(key) => self.key(key, scene, view, &mut events),
        }
        if *view != before && !events.contains(&Event::ViewChanged) {
            events.push(Event::ViewChanged);
        }
        events
    }

    fn projection(&self, scene: &Scene, view: &View) -> Projection {
        Projection::new(scene, view, self.size)
    }

    fn moved(&mut self, position: [f32; 2], scene: &Scene, view: &mut View, events: &mut Vec<Event>) {
        let projection = self.projection(scene, view);
        let Some(mut pressed) = self.pressed else {
            let hit = self.picker.hit(scene, &projection, position, REACH * projection.scale);
            self.hover(hit, scene, view, events);
            return;
        };
        let far = (position[0] - pressed.start[0]).hypot(position[1] - pressed.start[1]);
        if pressed.dragging || far > CLICK * projection.scale {
            // The first drag starts where the button went down, so that nothing jumps.
            let by = [0, 1].map(|axis| position[axis] - pressed.last[axis]);
            pressed.dragging = true;
            pressed.last = position;
            if let Some(panel) = pressed.panel {
                drag(panel, by, scene, &projection, view);
            }
        }
        self.pressed = Some(pressed);
    }

    fn hover(&mut self, hit: Option<Hit>, scene: &Scene, view: &mut View, events: &mut Vec<Event>) {
        let head = hit.and_then(|hit| scene.panels[hit.panel].head);
        let pick = hit.and_then(|hit| Some(Pick { head, id: hit.id? }));
        if head != view.hover_head {
            view.hover_head = head;
            events.push(Event::HoverHead(head));
        }
        if pick != view.hover {
            view.hover = pick;
            events.push(Event::HoverPoint(pick));
        }
    }

    fn click(&mut self, position: [f32; 2], scene: &Scene, view: &mut View, events: &mut Vec<Event>) {
        let projection = self.projection(scene, view);
        let Some(hit) = self.picker.hit(scene, &projection, position, REACH * projection.scale) else {
            return;
        };
        let panel = &scene.panels[hit.panel];
        match (panel.motion, panel.head) {
            (Motion::Stage, Some(head)) => open(head, view, events),
            (Motion::Stage, None) => {}
            _ => {
                view.selection = hit.id.map(|id| Pick { head: panel.head, id });
                events.push(Event::SelectPoint(view.selection));
            }
        }
    }

    fn zoom(&mut self, at: [f32; 2], factor: f32, scene: &Scene, view: &mut View, events: &mut Vec<Event>) {
        let projection = self.projection(scene, view);
        let Some(panel) = moving_panel(scene, &projection, at) else {
            return;
        };
        match (scene.panels[panel].motion, scene.panels[panel].axes) {
            (Motion::Fixed, _) => {}
            (Motion::Inside, Axes::Space) => view.orbit.zoom_by(factor),
            (Motion::Inside, _) => view.inside.zoom_at(fraction(at, projection.panels[panel].rect), factor),
            (Motion::Stage, _) => {
                let stage = projection.px_rect(scene.stage);
                view.stage.zoom_at(fraction(at, stage), factor);
                let grown = self.projection(scene, view);
                let Some(place) =
                    panel_at(&grown, at).map(|panel| (grown.panels[panel].rect, scene.panels[panel].head))
                else {
                    return;
                };
                if let (rect, Some(head)) = place {
                    let share = (rect.width() / stage.width()).max(rect.height() / stage.height());
                    if factor > 1.0 && share >= OPENS_AT {
                        // Coming back, the matrix is whole again rather than filled by this panel.
                        view.stage = crate::Camera::default();
                        open(head, view, events);
                    }
                }
            }
        }
    }

    fn key(&mut self, key: Key, scene: &Scene, view: &mut View, events: &mut Vec<Event>) {
        let projection = self.projection(scene, view);
        // Keys act on the largest panel that moves.
        let area = |panel: &usize| projection.panels[*panel].clip.width() * projection.panels[*panel].clip.height();
        let target = (0..scene.panels.len())
            .filter(|panel| scene.panels[*panel].motion != Motion::Fixed)
            .max_by(|a, b| area(a).total_cmp(&area(b)));
        let step = |view: &mut View, x: f32, y: f32| {
            let Some(panel) = target else { return };
            let rect = projection.panels[panel].clip;
            drag(panel, [x * rect.width(), y * rect.height()], scene, &projection, view);
        };
        let zoom = |controller: &mut Self, view: &mut View, factor: f32, events: &mut Vec<Event>| {
            let Some(panel) = target else { return };
            controller.zoom(projection.panels[panel].clip.center(), factor, scene, view, events);
        };
        match key {
            Key::Escape => match view.open {
                Some(_) => {
                    view.close_head();
                    events.push(Event::Back);
                }
                None => view.stage = crate::Camera::default(),
            },
            Key::Home if view.open.is_none() => view.stage = crate::Camera::default(),
            Key::Home => {
                view.inside = crate::Camera::default();
                view.orbit = crate::Orbit::default();
            }
            Key::Plus => zoom(self, view, NOTCH * NOTCH, events),
            Key::Minus => zoom(self, view, 1.0 / (NOTCH * NOTCH), events),
            Key::Left => step(view, 0.05, 0.0),
            Key::Right => step(view, -0.05, 0.0),
            Key::Up => step(view, 0.0, 0.05),
            Key::Down => step(view, 0.0, -0.05),
        }
    }
}

fn open(head: HeadId, view: &mut View, events: &mut Vec<Event>) {
    view.open_head(head);
    events.push(Event::OpenHead(head));
}

/// The front panel under a pixel that something moves; over the stage's gaps the panel that carries it.
fn moving_panel(scene: &Scene, projection: &Projection, at: [f32; 2]) -> Option<usize> {
    projection
        .panels
        .iter()
        .zip(&scene.panels)
        .rposition(|(place, panel)| place.clip.contains(at) && panel.motion != Motion::Fixed)
}

/// Moves what a panel shows by pixels; clouds in three dimensions turn half a turn per width of their panel.
fn drag(panel: usize, by: [f32; 2], scene: &Scene, projection: &Projection, view: &mut View) {
    let share = |rect: Rect| [by[0] / rect.width().max(1.0), by[1] / rect.height().max(1.0)];
    let rect = projection.panels[panel].rect;
    match (scene.panels[panel].motion, scene.panels[panel].axes) {
        (Motion::Fixed, _) => {}
        (Motion::Stage, _) => view.stage.pan(share(projection.px_rect(scene.stage))),
        (Motion::Inside, Axes::Space) => {
            let side = rect.width().min(rect.height()).max(1.0);
            view.orbit
                .turn(std::f32::consts::PI * by[0] / side, std::f32::consts::PI * by[1] / side);
        }
        (Motion::Inside, _) => view.inside.pan(share(rect)),
    }
}

/// A pixel position as a fraction of a rectangle.
fn fraction(at: [f32; 2], rect: Rect) -> [f32; 2] {
    [
        (at[0] - rect.min[0]) / rect.width().max(1.0),
        (at[1] - rect.min[1]) / rect.height().max(1.0),
    ]
}

#[cfg(test)]
mod tests {
    use attn_core::Attention;

    use super::*;
    use crate::{Bounds, Camera, Color, Panel, Point};

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
        let (scene, mut view, mut control) = (scene(Motion::Stage, Axes::Plane), View::default(), controller());
        let position = [150.0, 50.0];
        let at = |view: &View| {
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

    #[test]
    fn click_opens_a_head_and_escape_goes_back() {
        let (scene, mut view, mut control) = (scene(Motion::Stage, Axes::Plane), View::default(), controller());
        let position = [40.0, 40.0];
        control.handle(Input::PointerPressed { position }, &scene, &mut view);
        let events = control.handle(Input::PointerReleased { position }, &scene, &mut view);
        assert_eq!(events, [Event::OpenHead(head(0)), Event::ViewChanged]);
        let events = control.handle(Input::Key(Key::Escape), &scene, &mut view);
        assert_eq!(events, [Event::Back, Event::ViewChanged]);
        assert_eq!(view, View::default());
        assert_eq!(
            control.handle(Input::Key(Key::Escape), &scene, &mut view),
            [],
            "nothing left to leave"
        );
    }

    #[test]
    fn dragging_pans_and_is_no_click() {
        let (scene, mut view, mut control) = (scene(Motion::Inside, Axes::Plane), View::default(), controller());
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
        let (scene, mut view, mut control) = (scene(Motion::Inside, Axes::Space), View::default(), controller());
        let before = view.orbit;
        control.handle(Input::PointerPressed { position: [40.0, 40.0] }, &scene, &mut view);
        control.handle(Input::PointerMoved { position: [60.0, 40.0] }, &scene, &mut view);
        assert!(view.orbit.yaw > before.yaw && view.orbit.pitch == before.pitch && view.inside == Camera::default());
    }

    #[test]
    fn hovering_names_head_and_point_once() {
        let (scene, mut view, mut control) = (scene(Motion::Inside, Axes::Plane), View::default(), controller());
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
        let (scene, mut view, mut control) = (scene(Motion::Inside, Axes::Plane), View::default(), controller());
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
        let (scene, mut view, mut control) = (scene(Motion::Stage, Axes::Plane), View::default(), controller());
        control.handle(Input::Key(Key::Plus), &scene, &mut view);
        control.handle(Input::Key(Key::Left), &scene, &mut view);
        assert!(view.stage.zoom > 1.0 && view.stage.center[0] < 0.5);
        control.handle(Input::Key(Key::Home), &scene, &mut view);
        assert_eq!(view, View::default());
    }

    #[test]
    fn no_input_panics_on_an_empty_scene() {
        let mut scene = Scene::new([0.0, 0.0], Color::default());
        scene.panels.clear();
        let (mut view, mut control) = (View::default(), Controller::default());
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
}
