//! Fingers on a screen: one is a pointer, two move and pinch.

use super::Controller;
use crate::{
    Scene, ViewState,
    control::{Event, Input},
};

/// Fingers that touch the target: by what name the system gives them, and where, in pixels.
pub(super) type Fingers = Vec<(u64, [f32; 2])>;

/// Their middle, and how far from it they are on average.
fn middle_and_spread(fingers: &Fingers) -> ([f32; 2], f32) {
    let count = fingers.len().max(1) as f32;
    let middle = [0, 1].map(|axis: usize| fingers.iter().map(|(_, at)| at[axis]).sum::<f32>() / count);
    let spread = fingers
        .iter()
        .map(|(_, at)| (at[0] - middle[0]).hypot(at[1] - middle[1]));
    (middle, spread.sum::<f32>() / count)
}

impl Controller {
    /// A finger touches somewhere, or no longer.
    pub(super) fn finger(
        &mut self,
        id: u64,
        position: Option<[f32; 2]>,
        scene: &Scene,
        view: &mut ViewState,
        events: &mut Vec<Event>,
    ) {
        let known = self.fingers.iter().position(|(finger, _)| *finger == id);
        match (known, position) {
            (None, Some(position)) => {
                self.fingers.push((id, position));
                if self.fingers.len() == 1 {
                    self.act(Input::PointerPressed { position }, scene, view, events);
                } else {
                    // What one finger began is dropped.
                    (self.pressed, self.drawn) = (None, None);
                }
            }
            (Some(finger), Some(position)) if self.fingers.len() > 1 => {
                let (before, apart) = middle_and_spread(&self.fingers);
                self.fingers[finger].1 = position;
                let (position, spread) = middle_and_spread(&self.fingers);
                let by = [0, 1].map(|axis| position[axis] - before[axis]);
                self.act(Input::Pan { position, by }, scene, view, events);
                // Fingers beside each other pinch nothing.
                if apart > 1.0 && spread > 1.0 {
                    self.zoom(position, spread / apart, scene, view, events);
                }
            }
            (Some(finger), Some(position)) => {
                self.fingers[finger].1 = position;
                if self.pressed.is_some() {
                    self.act(Input::PointerMoved { position }, scene, view, events);
                }
            }
            (Some(finger), None) => {
                let (_, position) = self.fingers.swap_remove(finger);
                if self.fingers.is_empty() {
                    self.act(Input::PointerReleased { position }, scene, view, events);
                    self.act(Input::PointerLeft, scene, view, events);
                }
            }
            (None, None) => {}
        }
    }
}
