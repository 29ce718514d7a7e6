//! From egui's events to those a controller understands.

use attn_render::control::{Input, Key, Tool};
use egui::{
    Context, Event, Key as EguiKey, Modifiers, MouseWheelSource, MouseWheelUnit, PointerButton, Pos2, Response,
    TouchPhase, Ui, Vec2,
};

/// User input to a widget since the last frame.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(crate) inputs: Vec<Input>,
    /// The theme's key was pressed.
    pub(crate) theme: bool,
}

/// Whether the pointer is over a widget, whether it went down there, and what scrolls.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pointer {
    pub(crate) over: bool,
    pub(crate) down: bool,
    /// Whether the last scroll was that of fingers.
    fingers: bool,
}

/// Enlargement of one notch of a controller's wheel, so that a pinch enlarges by what the fingers say.
const NOTCH: f32 = 1.15;

impl Pointer {
    /// Moves and presses, in the order they happened.
    pub(crate) fn gather(&mut self, ui: &Ui, response: &Response, px: impl Fn(Pos2) -> [f32; 2]) -> Vec<Input> {
        // Nothing in front of the widget, and no drag that began elsewhere.
        let over = response.contains_pointer() && (self.down || response.hovered());
        let global = ui.ctx().layer_transform_from_global(response.layer_id);
        let px = |pos: Pos2| px(global.map_or(pos, |global| global * pos));
        let mut inputs = Vec::new();
        let mut gone = false;
        ui.input(|input| {
            for event in &input.events {
                match *event {
                    Event::PointerMoved(pos) if self.down || over => {
                        inputs.push(Input::PointerMoved { position: px(pos) });
                    }
                    Event::PointerButton {
                        pos,
                        button: PointerButton::Primary,
                        pressed,
                        ..
                    } if if pressed { over } else { self.down } => {
                        self.down = pressed;
                        let position = px(pos);
                        inputs.push(if pressed {
                            Input::PointerPressed { position }
                        } else {
                            Input::PointerReleased { position }
                        });
                    }
                    // A second finger is a pinch, no drag.
                    Event::PointerGone | Event::WindowFocused(false) => gone = true,
                    Event::Touch {
                        phase: TouchPhase::Start,
                        ..
                    } if self.down && input.multi_touch().is_some() => gone = true,
                    _ => {}
                }
            }
        });
        if (gone && (self.over || self.down)) || (self.over && !over && !self.down) {
            self.down = false;
            inputs.push(Input::PointerLeft);
        }
        self.over = over && !gone;
        inputs
    }
}

/// What a wheel, a pinch and two fingers did in a frame.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Scrolled {
    /// Notches of a wheel, a pinch included.
    pub(crate) notches: f32,
    /// How far two fingers moved, in points.
    pub(crate) pan: Vec2,
}

/// Whether a scroll is that of fingers on a trackpad. Where the system does not say: fingers move by little, or sideways, or go on
/// with what is a movement of fingers already.
fn by_fingers(source: MouseWheelSource, unit: MouseWheelUnit, delta: Vec2, before: bool, notch: f32) -> bool {
    match source {
        MouseWheelSource::Wheel => false,
        MouseWheelSource::Trackpad | MouseWheelSource::Momentum => true,
        MouseWheelSource::Unknown => {
            unit == MouseWheelUnit::Point && (before || delta.x != 0.0 || delta.y.abs() < notch)
        }
    }
}

impl Pointer {
    /// The wheel, the pinch and two fingers; what is taken is gone for the scroll area around the widget.
    pub(crate) fn scrolled(&mut self, ui: &Ui) -> Scrolled {
        // Reduced motion: a notch is there at once instead of over some frames.
        let still = ui.style().animation_time <= 0.0;
        let line = ui
            .ctx()
            .options(|options| options.input_options.line_scroll_speed)
            .max(1.0);
        ui.input_mut(|input| {
            self.fingers &= input.is_scrolling();
            let (mut lines, mut pan) = (0.0, Vec2::ZERO);
            for event in &input.events {
                let Event::MouseWheel {
                    unit,
                    delta,
                    source,
                    modifiers,
                    ..
                } = event
                else {
                    continue;
                };
                self.fingers = by_fingers(*source, *unit, *delta, self.fingers, line);
                match (modifiers.command, self.fingers, unit) {
                    // A pinch, which egui counts.
                    (true, ..) => {}
                    (_, true, _) => pan += *delta,
                    (.., MouseWheelUnit::Line) => lines += delta.y,
                    (.., MouseWheelUnit::Point) => lines += delta.y / line,
                    (.., MouseWheelUnit::Page) => lines += 10.0 * delta.y,
                }
            }
            let scrolled = match (still, self.fingers) {
                (true, _) => lines,
                // Fingers say themselves how they glide.
                (false, true) => 0.0,
                (false, false) => input.smooth_scroll_delta.y / line,
            };
            input.smooth_scroll_delta.y = 0.0;
            if self.fingers {
                input.smooth_scroll_delta.x = 0.0;
            }
            if let Some(touch) = input.multi_touch() {
                pan += touch.translation_delta;
            }
            let notches = scrolled + input.zoom_delta().max(f32::MIN_POSITIVE).ln() / NOTCH.ln();
            Scrolled {
                notches: if notches.is_finite() { notches } else { 0.0 },
                pan: if pan.is_finite() { pan } else { Vec2::ZERO },
            }
        })
    }
}

/// The keys, which are gone for other widgets. Unless `all`, those stay that move and act in any widget with the focus.
pub(crate) fn keys(ui: &Ui, all: bool) -> Gathered {
    let mut gathered = Gathered::default();
    take_keys(ui.ctx(), |key, modifiers| {
        let common = matches!(
            key,
            EguiKey::Enter | EguiKey::ArrowLeft | EguiKey::ArrowRight | EguiKey::ArrowUp | EguiKey::ArrowDown
        );
        if common && !all {
            return false;
        }
        if key == EguiKey::T && !modifiers.any() {
            gathered.theme = true;
            return true;
        }
        let meant = meaning(key, modifiers);
        gathered.inputs.extend(meant.map(Input::Key));
        meant.is_some()
    });
    gathered
}

/// Shows every key that was pressed since the last frame to `takes`, in order; those it takes are gone for other widgets.
pub(crate) fn take_keys(context: &Context, mut takes: impl FnMut(EguiKey, Modifiers) -> bool) {
    context.input_mut(|input| {
        input.events.retain(|event| match event {
            Event::Key {
                key,
                pressed: true,
                modifiers,
                ..
            } => !takes(*key, *modifiers),
            _ => true,
        });
    });
}

fn meaning(key: EguiKey, modifiers: Modifiers) -> Option<Key> {
    if modifiers.command {
        return match key {
            EguiKey::Z if modifiers.shift => Some(Key::Redo),
            EguiKey::Z => Some(Key::Undo),
            EguiKey::Y => Some(Key::Redo),
            EguiKey::A => Some(Key::SelectAll),
            _ => None,
        };
    }
    if modifiers.alt || modifiers.ctrl {
        return None;
    }
    Some(match key {
        EguiKey::Escape => Key::Escape,
        EguiKey::Plus | EguiKey::Equals => Key::Plus,
        EguiKey::Minus => Key::Minus,
        EguiKey::Home => Key::Home,
        EguiKey::ArrowLeft => Key::Left,
        EguiKey::ArrowRight => Key::Right,
        EguiKey::ArrowUp => Key::Up,
        EguiKey::ArrowDown => Key::Down,
        EguiKey::N => Key::Next,
        EguiKey::P => Key::Previous,
        EguiKey::Enter => Key::Enter,
        EguiKey::C => Key::Legend,
        EguiKey::A => Key::SelectAll,
        EguiKey::X | EguiKey::Delete => Key::Switch,
        EguiKey::U => Key::Undo,
        EguiKey::R => Key::Redo,
        EguiKey::M => Key::Tool(Tool::Look),
        EguiKey::B => Key::Tool(Tool::Box),
        EguiKey::L => Key::Tool(Tool::Lasso),
        _ => return None,
    })
}
