//! A plot on view in a window of the host's: input in, an up-to-date scene out.

use crate::{
    Interaction, Plot, Result, Scene, ViewState,
    control::{Controller, Event, Input},
    plots::overlay,
};

/// A scene that follows input. Makes the scene again only if something else is to be seen than before: cameras and what the pointer
/// is over need no new one.
///
/// For hosts that paint by themselves; `attn_egui::SceneView` does the same in egui.
///
/// ```
/// use attn_render::{control::Input, LivePlot, ViewState, plots::Histogram};
///
/// let (plot, mut state) = (Histogram::new([0.0, 0.1, 1.0]), ViewState::default());
/// let mut live = LivePlot::new(&plot, &mut state, [800.0, 600.0], 2.0)?;
/// assert_eq!(live.scene().size, [400.0, 300.0]);
/// live.handle(Input::PointerMoved { position: [300.0, 200.0] }, &plot, &mut state)?;
/// assert_eq!(live.cursor(), [300.0, 200.0]);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct LivePlot {
    controller: Controller,
    scene: Scene,
    cursor: [f32; 2],
    /// Whether the pointer is over the plot; until it moves there, and after it left, nothing is under it.
    inside: bool,
    size: [f32; 2],
    scale: f32,
}

impl LivePlot {
    /// The plot on a target of `size` pixels, of which a layout unit has `scale`.
    ///
    /// # Errors
    /// Those of [`Plot::scene`].
    pub fn new(plot: &dyn Plot, state: &mut ViewState, size: [f32; 2], scale: f32) -> Result<Self> {
        let mut live = Self {
            controller: Controller::default(),
            scene: plot.scene(state, size.map(|side| side / scale))?,
            cursor: [0.0; 2],
            inside: false,
            size,
            scale,
        };
        live.handle(Input::Resized { size }, plot, state)?;
        Ok(live)
    }

    /// Hands one input in. The host draws the scene again afterwards.
    ///
    /// # Errors
    /// Those of [`Plot::scene`].
    pub fn handle(&mut self, input: Input, plot: &dyn Plot, state: &mut ViewState) -> Result<Vec<Event>> {
        match input {
            Input::Resized { size } => self.size = size,
            Input::PointerMoved { position } => (self.cursor, self.inside) = (position, true),
            Input::PointerLeft => self.inside = false,
            Input::Finger { position, .. } => (self.cursor, self.inside) = (position.unwrap_or(self.cursor), true),
            _ => {}
        }
        let events = self.controller.handle(input, &self.scene, state);
        if matches!(input, Input::Resized { .. } | Input::Key(_)) || events.iter().any(changes_scene) {
            self.scene = plot.scene(state, self.size.map(|side| side / self.scale))?;
        }
        let pointer = overlay::Pointer {
            size: self.size,
            position: self.cursor,
            hit: match self.inside {
                true => self.controller.hit(self.cursor, &self.scene, state),
                false => None,
            },
        };
        let interaction = self.controller.interaction();
        overlay::point_out(&mut self.scene, plot, state, &interaction, Some(&pointer));
        Ok(events)
    }

    /// What is to be drawn.
    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    /// Where the pointer was last, in pixels.
    pub fn cursor(&self) -> [f32; 2] {
        self.cursor
    }

    /// What the pointer is over.
    pub fn interaction(&self) -> Interaction {
        self.controller.interaction()
    }

    /// Pixels of a layout unit, from the next input on: a window may move to another screen.
    pub fn set_scale(&mut self, scale: f32) {
        self.scale = scale;
    }
}

/// Whether an event makes other things visible.
fn changes_scene(event: &Event) -> bool {
    !matches!(event, Event::ViewChanged | Event::HoverHead(_) | Event::HoverPoint(_))
}

#[cfg(test)]
mod tests {
    use attn_core::{Attention, HeadId};

    use super::*;
    use crate::plots::{Coordinates, Matrix, MatrixPanel};

    #[test]
    fn nothing_is_under_a_pointer_that_has_left() {
        let points = Coordinates::new([0.0, 0.0, 1.0, 1.0], 2).unwrap();
        let plot = Matrix {
            panels: vec![MatrixPanel::new(HeadId::new(Attention::EncoderSelf, 0, 0), points, 1)],
            ..Matrix::default()
        };
        let mut state = ViewState::default();
        let mut live = LivePlot::new(&plot, &mut state, [600.0, 600.0], 1.0).unwrap();
        let drawn = |live: &LivePlot| live.scene().overlay.blocks.len() + live.scene().overlay.labels.len();
        assert_eq!(drawn(&live), 0);
        let position = live.scene().panels.last().unwrap().rect.center();
        live.handle(Input::PointerMoved { position }, &plot, &mut state)
            .unwrap();
        assert!(drawn(&live) > 0);
        // Also where what is seen changes as it leaves.
        live.handle(Input::PointerPressed { position }, &plot, &mut state)
            .unwrap();
        live.handle(Input::PointerReleased { position }, &plot, &mut state)
            .unwrap();
        live.handle(Input::PointerLeft, &plot, &mut state).unwrap();
        assert_eq!(drawn(&live), 0);
    }
}
