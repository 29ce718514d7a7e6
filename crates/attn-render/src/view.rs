//! How a person looks at a scene: cameras, what is open, selected, searched, and in which colours.
//!
//! One value, owned by the host: saving it restores the picture, a stack of it is undo.

use std::collections::BTreeSet;

use attn_core::HeadId;
use serde::{Deserialize, Serialize};

use crate::{ColorMode, Colors, Palette, PatchStyle, Selection, Theme};

/// A camera on a plane. Positions are fractions of the place it looks at, so that it survives a resize.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Camera {
    /// What is in the middle, as a fraction of width and height; `[0.5, 0.5]` by default.
    pub center: [f32; 2],
    /// Enlargement; 1 shows everything.
    pub zoom: f32,
}

impl Default for Camera {
    fn default() -> Self {
        Self {
            center: [0.5; 2],
            zoom: 1.0,
        }
    }
}

impl Camera {
    /// Smallest and largest zoom.
    pub const ZOOM: std::ops::RangeInclusive<f32> = 0.5..=200.0;

    /// Where the fraction `p` of the place appears, as a fraction of the place.
    pub fn apply(&self, p: [f32; 2]) -> [f32; 2] {
        [0, 1].map(|axis| 0.5 + self.zoom * (p[axis] - self.center[axis]))
    }

    /// Enlarges by `factor` while what is at `at` (a fraction of the place) stays there.
    pub fn zoom_at(&mut self, at: [f32; 2], factor: f32) {
        let zoom = (self.zoom * factor).clamp(*Self::ZOOM.start(), *Self::ZOOM.end());
        for axis in 0..2 {
            let under = self.center[axis] + (at[axis] - 0.5) / self.zoom;
            self.center[axis] = under - (at[axis] - 0.5) / zoom;
        }
        self.zoom = zoom;
        self.keep_in_sight();
    }

    /// Moves the content by `by`, a fraction of the place.
    pub fn pan(&mut self, by: [f32; 2]) {
        for axis in 0..2 {
            self.center[axis] -= by[axis] / self.zoom;
        }
        self.keep_in_sight();
    }

    /// The content never leaves the middle of the place, so that nobody gets lost.
    fn keep_in_sight(&mut self) {
        self.center = self.center.map(|c| if c.is_finite() { c.clamp(0.0, 1.0) } else { 0.5 });
    }
}

/// A camera around a cloud in three dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Orbit {
    /// Turn around the vertical axis, in radians.
    pub yaw: f32,
    /// Tilt, in radians; straight down is π/2.
    pub pitch: f32,
    /// Enlargement; 1 shows everything.
    pub zoom: f32,
}

impl Default for Orbit {
    fn default() -> Self {
        Self {
            yaw: 0.6,
            pitch: 0.35,
            zoom: 1.0,
        }
    }
}

impl Orbit {
    /// Turns by angles in radians; the tilt stops at the poles.
    pub fn turn(&mut self, yaw: f32, pitch: f32) {
        use std::f32::consts::{FRAC_PI_2, TAU};
        if !(yaw.is_finite() && pitch.is_finite()) {
            return;
        }
        self.yaw = (self.yaw + yaw).rem_euclid(TAU);
        self.pitch = (self.pitch + pitch).clamp(-FRAC_PI_2, FRAC_PI_2);
    }

    /// Enlarges by `factor`.
    pub fn zoom_by(&mut self, factor: f32) {
        self.zoom = (self.zoom * factor).clamp(0.3, 50.0);
    }

    /// The rotation that turns the data towards the eye, row by row.
    pub fn rotation(&self) -> [[f32; 3]; 3] {
        let (sy, cy) = self.yaw.sin_cos();
        let (sp, cp) = self.pitch.sin_cos();
        [[cy, 0.0, sy], [sp * sy, cp, -sp * cy], [-cp * sy, sp, cp * cy]]
    }
}

/// Something that was hit: a point, a token, a patch.
///
/// In every view ids count the queries first, then the keys; in the image view they count patches' tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pick {
    /// The head of the panel it is in.
    pub head: Option<HeadId>,
    /// Which one.
    pub id: u32,
}

/// How a person looks at a scene.
///
/// ```
/// use attn_render::{Theme, View};
/// let view = View { theme: Theme::Dark, ..View::default() };
/// assert_eq!(view.open, None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct View {
    /// The open head; `None` shows the matrix.
    pub open: Option<HeadId>,
    /// Camera over the matrix.
    pub stage: Camera,
    /// Camera inside an open panel.
    pub inside: Camera,
    /// Camera around clouds in three dimensions.
    pub orbit: Orbit,
    /// What was clicked.
    pub selection: Option<Pick>,
    /// What was drawn around with a box or a lasso: brought out in every head of its kind of attention.
    pub selected: Selection,
    /// Tokens switched off in the sentence view: query ids, then key ids.
    pub hidden: BTreeSet<u32>,
    /// Text whose tokens are brought out.
    pub search: String,
    /// What a point's colour says.
    pub color_mode: ColorMode,
    /// The name of the host's column that [`ColorMode::Value`] draws.
    pub column: String,
    /// How tokens that are patches of pictures are drawn where they lie; `None` for points.
    pub patches: Option<PatchStyle>,
    /// Classes whose points are not drawn, by index, when points are coloured by class.
    pub hidden_classes: BTreeSet<u32>,
    /// Which page of a legend of many classes is in sight, from 0; beyond the last they start again.
    pub legend_page: u32,
    /// Which colours stand for queries and keys.
    pub palette: Palette,
    /// Light or dark.
    pub theme: Theme,
    /// Nothing moves by itself: a [`Transition`](crate::Transition) jumps to its end.
    pub reduced_motion: bool,
    /// The first token in sight of a long text in a [`Sentence`](crate::views::Sentence).
    pub first_token: u32,
    /// Which of the legend's entries that can be pressed is marked for the keyboard, from 0. Not saved.
    #[serde(skip)]
    pub legend_mark: Option<u32>,
    /// The head whose panel the pointer is over. Not saved.
    #[serde(skip)]
    pub hover_head: Option<HeadId>,
    /// What the pointer is over. Not saved.
    #[serde(skip)]
    pub hover: Option<Pick>,
}

impl View {
    /// Hit tests report the classes of a legend from this id on: class 0 is this id. Points have smaller ones.
    pub const LEGEND_IDS: u32 = 1 << 31;

    /// Hit tests report what turns the page of a legend from this id on: to page 0 is this id.
    pub const LEGEND_PAGE_IDS: u32 = 5 << 29;

    /// Hit tests report where a long sentence is scrolled to from this id on: token 0 is this id.
    pub const SCROLL_IDS: u32 = 3 << 30;

    /// The colours of its theme and palette.
    pub fn colors(&self) -> Colors {
        Colors::new(self.theme, self.palette)
    }

    /// Opens a head with fresh cameras and nothing selected.
    pub fn open_head(&mut self, head: HeadId) {
        self.open = Some(head);
        self.inside = Camera::default();
        self.forget();
    }

    /// Goes back to the matrix, whose camera is where it was.
    pub fn close_head(&mut self) {
        self.open = None;
        self.forget();
    }

    /// Switches a token of the sentence view off, or on again.
    pub fn toggle_hidden(&mut self, id: u32) {
        if !self.hidden.remove(&id) {
            self.hidden.insert(id);
        }
    }

    /// Hides the points of a class, or shows them again.
    pub fn toggle_class(&mut self, class: u32) {
        if !self.hidden_classes.remove(&class) {
            self.hidden_classes.insert(class);
        }
    }

    fn forget(&mut self) {
        self.selection = None;
        self.hover = None;
        self.legend_mark = None;
        self.hidden.clear();
        self.first_token = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zooming_keeps_what_is_under_the_cursor() {
        let mut camera = Camera {
            center: [0.4, 0.6],
            zoom: 2.0,
        };
        let at = [0.3, 0.7];
        let under = [0, 1].map(|axis| camera.center[axis] + (at[axis] - 0.5) / camera.zoom);
        camera.zoom_at(at, 1.7);
        let after = camera.apply(under);
        assert!((after[0] - at[0]).abs() < 1e-6 && (after[1] - at[1]).abs() < 1e-6);
    }

    #[test]
    fn cameras_never_lose_the_content() {
        let mut camera = Camera::default();
        camera.pan([1e9, f32::NAN]);
        camera.zoom_at([0.0, 0.0], f32::INFINITY);
        assert!(
            camera.zoom <= 200.0 && camera.center.iter().all(|c| (0.0..=1.0).contains(c)),
            "{camera:?}"
        );
    }

    #[test]
    fn an_orbit_is_a_rotation() {
        let rows = Orbit {
            yaw: 1.1,
            pitch: -0.4,
            zoom: 1.0,
        }
        .rotation();
        for i in 0..3 {
            for j in 0..3 {
                let dot: f32 = (0..3).map(|k| rows[i][k] * rows[j][k]).sum();
                assert!((dot - f32::from(u8::from(i == j))).abs() < 1e-6);
            }
        }
        let [a, b, c] = rows;
        let det = a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0])
            + a[2] * (b[0] * c[1] - b[1] * c[0]);
        assert!((det - 1.0).abs() < 1e-6, "no mirror");
    }

    #[test]
    fn a_view_survives_saving() {
        let mut view = View {
            theme: Theme::Dark,
            search: "the".into(),
            ..View::default()
        };
        view.open_head(HeadId::new(attn_core::Attention::DecoderSelf, 1, 2));
        view.toggle_hidden(4);
        view.toggle_class(2);
        view.legend_page = 3;
        view.color_mode = ColorMode::PositionMod5;
        view.selected = Selection::new(view.open, [1, 2, 3, 900]);
        let text = serde_json::to_string(&view).unwrap();
        assert_eq!(serde_json::from_str::<View>(&text).unwrap(), view);
        assert_eq!(
            serde_json::from_str::<View>("{}").unwrap(),
            View::default(),
            "older files lack fields"
        );
    }
}
