//! Events of winit as input of the SDK: positions in pixels, keys by their names.

use attn_sdk::render::control::{Input, Key};
use winit::{
    event::{ElementState, MouseButton, MouseScrollDelta, TouchPhase, WindowEvent},
    keyboard::Key as WinitKey,
};

/// The input that an event stands for; `None` for other events. `position` is that of the pointer.
pub(crate) fn input(event: &WindowEvent, position: [f32; 2]) -> Option<Input> {
    Some(match event {
        WindowEvent::Resized(size) => Input::Resized { size: (*size).into() },
        WindowEvent::CursorMoved { position, .. } => Input::PointerMoved {
            position: (*position).into(),
        },
        WindowEvent::CursorLeft { .. } => Input::PointerLeft,
        WindowEvent::MouseInput {
            state,
            button: MouseButton::Left,
            ..
        } => match state {
            ElementState::Pressed => Input::PointerPressed { position },
            ElementState::Released => Input::PointerReleased { position },
        },
        WindowEvent::MouseWheel { delta, .. } => match delta {
            MouseScrollDelta::LineDelta(_, notches) => Input::Wheel {
                position,
                notches: *notches,
            },
            // Two fingers on a trackpad.
            MouseScrollDelta::PixelDelta(by) => Input::Pan {
                position,
                by: [by.x as f32, by.y as f32],
            },
        },
        // A notch enlarges by 15 %.
        WindowEvent::PinchGesture { delta, .. } => Input::Wheel {
            position,
            notches: *delta as f32 / 0.15,
        },
        WindowEvent::Touch(touch) => {
            let touches = matches!(touch.phase, TouchPhase::Started | TouchPhase::Moved);
            Input::Finger {
                id: touch.id,
                position: touches.then(|| touch.location.into()),
            }
        }
        WindowEvent::KeyboardInput { event, .. } if event.state == ElementState::Pressed => {
            Input::Key(key(&event.logical_key)?)
        }
        _ => return None,
    })
}

/// Keys of winit have the names of the W3C.
fn key(key: &WinitKey) -> Option<Key> {
    match key {
        WinitKey::Named(named) => Key::from_name(&format!("{named:?}")),
        WinitKey::Character(text) => Key::from_name(text),
        _ => None,
    }
}
