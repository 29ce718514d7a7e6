//! Cameras over planes and around clouds in three dimensions.

use serde::{Deserialize, Serialize};

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

    /// The camera that is used for this one, which may come from a file: with a zoom within [`ZOOM`](Self::ZOOM), and the one
    /// by default for what is not a number or enlarges nothing.
    pub(crate) fn usable(&self) -> Self {
        let zoom = match self.zoom.is_finite() && self.zoom > 0.0 {
            true => self.zoom.clamp(*Self::ZOOM.start(), *Self::ZOOM.end()),
            false => 1.0,
        };
        let center = self.center.map(|c| if c.is_finite() { c } else { 0.5 });
        Self { center, zoom }
    }

    /// Enlarges by `factor` while what is at `at` (a fraction of the place) stays there.
    pub fn zoom_at(&mut self, at: [f32; 2], factor: f32) {
        *self = self.usable();
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
        *self = self.usable();
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
    /// Smallest and largest zoom.
    pub const ZOOM: std::ops::RangeInclusive<f32> = 0.3..=50.0;

    /// The camera that is used for this one, which may come from a file: with a zoom within [`ZOOM`](Self::ZOOM), and the
    /// values by default for what is not a number or enlarges nothing.
    pub(crate) fn usable(&self) -> Self {
        let default = Self::default();
        let finite = |value: f32, default: f32| if value.is_finite() { value } else { default };
        let zoom = if self.zoom > 0.0 {
            finite(self.zoom, default.zoom)
        } else {
            default.zoom
        };
        Self {
            yaw: finite(self.yaw, default.yaw),
            pitch: finite(self.pitch, default.pitch),
            zoom: zoom.clamp(*Self::ZOOM.start(), *Self::ZOOM.end()),
        }
    }

    /// Turns by angles in radians; the tilt stops at the poles.
    pub fn turn(&mut self, yaw: f32, pitch: f32) {
        use std::f32::consts::{FRAC_PI_2, TAU};
        if !(yaw.is_finite() && pitch.is_finite()) {
            return;
        }
        *self = self.usable();
        self.yaw = (self.yaw + yaw).rem_euclid(TAU);
        self.pitch = (self.pitch + pitch).clamp(-FRAC_PI_2, FRAC_PI_2);
    }

    /// Enlarges by `factor`.
    pub fn zoom_by(&mut self, factor: f32) {
        *self = self.usable();
        self.zoom = (self.zoom * factor).clamp(*Self::ZOOM.start(), *Self::ZOOM.end());
    }

    /// The rotation that turns the data towards the eye, row by row.
    pub fn rotation(&self) -> [[f32; 3]; 3] {
        let Self { yaw, pitch, .. } = self.usable();
        let (sy, cy) = yaw.sin_cos();
        let (sp, cp) = pitch.sin_cos();
        [[cy, 0.0, sy], [sp * sy, cp, -sp * cy], [-cp * sy, sp, cp * cy]]
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
    fn cameras_from_files_show_something() {
        for bad in [f32::NAN, f32::INFINITY, 0.0, -3.0] {
            let mut camera = Camera {
                center: [bad, 0.25],
                zoom: bad,
            };
            assert_eq!(camera.usable().zoom, 1.0);
            assert!(camera.usable().center[0].is_finite() && camera.usable().center[1] == 0.25);
            camera.zoom_at([0.5, 0.5], 2.0);
            assert_eq!(camera.zoom, 2.0);
            let mut orbit = Orbit {
                yaw: bad,
                pitch: bad,
                zoom: bad,
            };
            assert_eq!(orbit.usable().zoom, 1.0);
            assert!(orbit.usable().rotation().iter().flatten().all(|x| x.is_finite()));
            orbit.zoom_by(2.0);
            assert_eq!(orbit.zoom, 2.0);
        }
        let far = Camera {
            zoom: 1e30,
            ..Camera::default()
        };
        assert_eq!(far.usable().zoom, 200.0);
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
}
