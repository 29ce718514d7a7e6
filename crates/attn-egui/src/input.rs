//! From egui's events to those a controller understands.

use attn_render::{Input, Key, Tool};
use egui::{Event, Key as EguiKey, Modifiers, MouseWheelUnit, PointerButton, Pos2, Response, TouchPhase, Ui};

/// What a person did to a widget since the last frame.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(crate) inputs: Vec<Input>,
    /// The theme's key was pressed.
    pub(crate) theme: bool,
}

/// Whether the pointer is over a widget, and whether it went down there.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pointer {
    pub(crate) over: bool,
    pub(crate) down: bool,
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

/// The wheel and the pinch, as notches; what is taken is gone for the scroll area around the widget.
pub(crate) fn wheel(ui: &Ui) -> f32 {
    // Reduced motion: a notch is there at once instead of over some frames.
    let still = ui.style().animation_time <= 0.0;
    let line = ui.ctx().options(|options| options.input_options.line_scroll_speed);
    ui.input_mut(|input| {
        let scrolled = if still {
            let lines = |event: &Event| match event {
                Event::MouseWheel {
                    unit, delta, modifiers, ..
                } if !modifiers.command => match unit {
                    MouseWheelUnit::Line => delta.y,
                    MouseWheelUnit::Point => delta.y / line.max(1.0),
                    MouseWheelUnit::Page => 10.0 * delta.y,
                },
                _ => 0.0,
            };
            input.events.iter().map(lines).sum()
        } else {
            input.smooth_scroll_delta.y / line.max(1.0)
        };
        input.smooth_scroll_delta.y = 0.0;
        let notches = scrolled + input.zoom_delta().max(f32::MIN_POSITIVE).ln() / NOTCH.ln();
        if notches.is_finite() { notches } else { 0.0 }
    })
}

/// The keys, which are gone for other widgets.
pub(crate) fn keys(ui: &Ui) -> Gathered {
    let mut gathered = Gathered::default();
    ui.input_mut(|input| {
        input.events.retain(|event| {
            let Event::Key {
                key,
                pressed: true,
                modifiers,
                ..
            } = event
            else {
                return true;
            };
            if *key == EguiKey::T && !modifiers.any() {
                gathered.theme = true;
                return false;
            }
            match meaning(*key, *modifiers) {
                Some(key) => {
                    gathered.inputs.push(Input::Key(key));
                    false
                }
                None => true,
            }
        });
    });
    gathered
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
        EguiKey::A => Key::SelectAll,
        EguiKey::U => Key::Undo,
        EguiKey::R => Key::Redo,
        EguiKey::M => Key::Tool(Tool::Look),
        EguiKey::B => Key::Tool(Tool::Box),
        EguiKey::L => Key::Tool(Tool::Lasso),
        _ => return None,
    })
}
