//! The scene follows the view, the data and the widget's size: made anew when it must be, at rest while a window is being
//! resized, on its way when points move.

use attn_render::{
    Plot, Scene, Transition, ViewState,
    camera::{Camera, Orbit},
};
use egui::{Rect, Ui};

use super::SceneView;
use crate::Error;

/// Layouts are made for at least so much and shrunk into less.
const SMALLEST: [f32; 2] = [320.0, 240.0];
/// Scenes of more points are laid out anew only when a size has settled, and fitted until then.
const LARGE: usize = 100_000;
/// How long a size must stay to have settled, in seconds.
const SETTLED: f64 = 0.15;
/// How long points move, in seconds.
const MOVES: f32 = 0.4;
/// A frame moves them by no more than this, in seconds, so that a slow one does not hide where they went.
const STEP: f32 = 0.1;

/// A transition that is under way.
pub(super) struct Moving {
    way: Transition,
    /// The moment that is seen.
    pub(super) now: Scene,
    /// How much of the time is over, 0 to 1.
    done: f32,
}

impl SceneView {
    /// Pixels of the picture per point, with no side above what the device draws.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive and at most the limit"
    )]
    pub(super) fn follow_size(&mut self, rect: Rect, pixels_per_point: f32) -> f32 {
        let limit = self.canvas.limit() as f32;
        let scale = pixels_per_point.min(limit / rect.width()).min(limit / rect.height());
        self.size = [rect.width(), rect.height()].map(|side| (side * scale).round().clamp(1.0, limit) as u32);
        scale
    }

    /// Has the scene made if it is not the one for this view and size.
    pub(super) fn follow(&mut self, ui: &Ui, view: &ViewState, rect: Rect, plot: &dyn Plot) {
        let size = [rect.width().max(SMALLEST[0]), rect.height().max(SMALLEST[1])];
        let settled = settled(view);
        if let Some((made, made_size)) = &self.made_for
            && *made == settled
            && (*made_size == size || self.unsettled(ui, size))
        {
            return;
        }
        self.wanted = None;
        match plot.scene(view, size) {
            Ok(scene) => {
                let before = self.moving.take().map(|moving| moving.now).or(self.scene.take());
                let animate = std::mem::take(&mut self.animate) && ui.style().animation_time > 0.0;
                self.moving = before.filter(|_| animate && !view.shared.reduced_motion).map(|before| {
                    let way = Transition::new(&before, scene.clone(), view);
                    Moving {
                        now: before,
                        way,
                        done: 0.0,
                    }
                });
                self.scene = Some(scene);
                self.error = None;
            }
            Err(error) => self.error = Some(Error::Scene(error)),
        }
        self.made_for = Some((settled, size));
        (self.overlaid, self.drawn_for, self.told) = (None, None, None);
    }

    /// The next moment of a transition. Input meanwhile acts on the scene that it leads to.
    pub(super) fn advance(&mut self, ui: &Ui, view: &ViewState) {
        let Some(moving) = &mut self.moving else { return };
        self.drawn_for = None;
        if moving.done >= 1.0 || view.shared.reduced_motion {
            self.moving = None;
            return;
        }
        moving.now = moving.way.at(moving.done);
        moving.done += ui.input(|input| input.stable_dt).clamp(0.001, STEP) / MOVES;
        ui.ctx().request_repaint();
    }

    /// Whether a large scene had better wait for the size to stay.
    fn unsettled(&mut self, ui: &Ui, size: [f32; 2]) -> bool {
        let points = |scene: &Scene| scene.layers.iter().map(|layer| layer.points.len()).sum::<usize>();
        if self.scene.as_ref().map_or(0, points) < LARGE {
            return false;
        }
        let now = ui.input(|input| input.time);
        match self.wanted {
            Some((wanted, since)) if wanted == size => {
                if now - since >= SETTLED {
                    return false;
                }
            }
            _ => self.wanted = Some((size, now)),
        }
        ui.ctx()
            .request_repaint_after(std::time::Duration::from_secs_f64(SETTLED));
        true
    }
}

/// The state without its cameras, on which a scene does not depend.
fn settled(view: &ViewState) -> ViewState {
    ViewState {
        stage: Camera::default(),
        inside: Camera::default(),
        orbit: Orbit::default(),
        ..view.clone()
    }
}
