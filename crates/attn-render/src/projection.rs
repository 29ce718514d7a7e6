//! Where everything is on the target: one transform per panel, from its data to pixels.
//!
//! The renderer, hit tests and label placement all use it, so what is seen is what is hit.

use crate::{
    Scene, ViewState,
    camera::{Camera, Orbit},
    geometry::{EYE, Rect, Transform},
    scene::{Axes, Motion, Panel},
};

/// One panel on the target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PanelPlace {
    /// From data to pixels.
    pub px_from_data: Transform,
    /// The panel's rectangle in pixels.
    pub rect: Rect,
    /// Where it may draw, in pixels.
    pub clip: Rect,
    /// How much its camera enlarges it.
    pub zoom: f32,
}

/// Every panel of a scene, on a target of a given size.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// Pixels per layout unit.
    pub scale: f32,
    /// Pixel position of the layout's left top.
    pub offset: [f32; 2],
    /// Width and height of the target, in pixels.
    pub size: [f32; 2],
    /// One entry per panel.
    pub panels: Vec<PanelPlace>,
}

/// The cameras of a view as they are used.
struct Cameras {
    stage: Camera,
    inside: Camera,
    orbit: Orbit,
}

impl Projection {
    /// Fits the scene's layout into `size` pixels, with one factor, centered.
    pub fn new(scene: &Scene, view: &ViewState, size: [f32; 2]) -> Self {
        let positive = |x: f32| if x.is_finite() && x > 0.0 { x } else { 1.0 };
        let layout = scene.size.map(positive);
        let target = size.map(positive);
        let scale = (target[0] / layout[0]).min(target[1] / layout[1]);
        let offset = [0, 1].map(|axis| 0.5 * (target[axis] - scale * layout[axis]));
        let mut projection = Self {
            scale,
            offset,
            size: target,
            panels: Vec::new(),
        };
        let cameras = Cameras {
            stage: view.stage.usable(),
            inside: view.inside.usable(),
            orbit: view.orbit.usable(),
        };
        projection.panels = scene
            .panels
            .iter()
            .map(|panel| projection.place(panel, scene, &cameras))
            .collect();
        projection
    }

    /// A layout position in pixels.
    pub fn px_from_layout(&self, p: [f32; 2]) -> [f32; 2] {
        [0, 1].map(|axis| self.offset[axis] + self.scale * p[axis])
    }

    /// A layout rectangle in pixels.
    pub fn px_rect(&self, rect: Rect) -> Rect {
        Rect {
            min: self.px_from_layout(rect.min),
            max: self.px_from_layout(rect.max),
        }
    }

    fn place(&self, panel: &Panel, scene: &Scene, view: &Cameras) -> PanelPlace {
        let rect = self.px_rect(panel.rect);
        let fitted = fit(panel, rect, view);
        match panel.motion {
            Motion::Fixed => PanelPlace {
                px_from_data: fitted,
                rect,
                clip: rect,
                zoom: 1.0,
            },
            Motion::Stage => {
                let stage = self.px_rect(scene.stage);
                let (zoom, offset) = camera_map(view.stage.zoom, view.stage.center, stage);
                let moved = Rect {
                    min: [0, 1].map(|axis| zoom * rect.min[axis] + offset[axis]),
                    max: [0, 1].map(|axis| zoom * rect.max[axis] + offset[axis]),
                };
                PanelPlace {
                    px_from_data: fitted.then(zoom, offset),
                    rect: moved,
                    clip: moved.intersect(&stage),
                    zoom,
                }
            }
            // The orbit's zoom is part of the fit.
            Motion::Inside if panel.axes == Axes::Space => PanelPlace {
                px_from_data: fitted,
                rect,
                clip: rect,
                zoom: view.orbit.zoom,
            },
            Motion::Inside => {
                let (zoom, offset) = camera_map(view.inside.zoom, view.inside.center, rect);
                PanelPlace {
                    px_from_data: fitted.then(zoom, offset),
                    rect,
                    clip: rect,
                    zoom,
                }
            }
        }
    }
}

/// `px' = zoom * px + offset` of a camera over `place`.
fn camera_map(zoom: f32, center: [f32; 2], place: Rect) -> (f32, [f32; 2]) {
    let size = [place.width(), place.height()];
    (
        zoom,
        [0, 1].map(|axis| place.center()[axis] - zoom * (place.min[axis] + center[axis] * size[axis])),
    )
}

/// The panel's data in its rectangle, before the cameras of planes.
fn fit(panel: &Panel, rect: Rect, view: &Cameras) -> Transform {
    let [cx, cy] = rect.center();
    let bounds = panel.bounds;
    if panel.axes == Axes::Space {
        // Clouds seldom reach the corners of their box: a sphere of 0.94 of its half diagonal fills the rectangle, up
        // to the perspective's growth of what is near.
        let radius = (0.94 * bounds.radius()).max(f32::MIN_POSITIVE);
        let near = EYE / (EYE * EYE - 1.0).sqrt();
        let zoom = if panel.motion == Motion::Fixed {
            1.0
        } else {
            view.orbit.zoom
        };
        let half = 0.5 * rect.width().min(rect.height()) * zoom / near;
        let center = bounds.center();
        let [right, up, toward] = view.orbit.rotation().map(|row| {
            let row = row.map(|v| v / radius);
            let shift = -(row[0] * center[0] + row[1] * center[1] + row[2] * center[2]);
            [row[0], row[1], row[2], shift]
        });
        let mut w = toward.map(|v| -v / EYE);
        w[3] += 1.0;
        return Transform {
            x: [0, 1, 2, 3].map(|i| half * right[i] + cx * w[i]),
            y: [0, 1, 2, 3].map(|i| -half * up[i] + cy * w[i]),
            w,
        };
    }
    let ratio = |px: f32, extent: f32| if extent > 0.0 { px / extent } else { f32::INFINITY };
    let scale = ratio(rect.width(), bounds.extent(0)).min(ratio(rect.height(), bounds.extent(1)));
    let scale = if scale.is_finite() { scale } else { 1.0 };
    let y = if panel.axes == Axes::Page { scale } else { -scale };
    let center = bounds.center();
    Transform::flat([scale, y], [cx - scale * center[0], cy - y * center[1]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Color,
        camera::{Camera, Orbit},
        geometry::Bounds,
    };

    fn plot(axes: Axes, motion: Motion) -> Scene {
        let mut scene = Scene::new([400.0, 200.0], Color::default());
        scene.add_panel(Panel {
            bounds: Bounds {
                min: [-1.0, -1.0, -1.0],
                max: [1.0, 1.0, 1.0],
            },
            axes,
            ..Panel::page(Rect::new(100.0, 50.0, 200.0, 100.0), motion)
        });
        scene
    }

    #[test]
    fn pages_are_the_identity_up_to_the_scale() {
        let projection = Projection::new(&plot(Axes::Plane, Motion::Fixed), &ViewState::default(), [800.0, 400.0]);
        let [x, y, w] = projection.panels[0].px_from_data.apply([123.0, 45.0, 0.0]);
        assert_eq!([x, y, w], [246.0, 90.0, 1.0]);
    }

    #[test]
    fn plots_are_fitted_upright_into_their_middle() {
        let projection = Projection::new(&plot(Axes::Plane, Motion::Fixed), &ViewState::default(), [400.0, 200.0]);
        let map = projection.panels[1].px_from_data;
        assert_eq!(
            map.apply([-1.0, 1.0, 0.0]),
            [150.0, 50.0, 1.0],
            "top left of the middle square"
        );
        assert_eq!(map.apply([1.0, -1.0, 0.0]), [250.0, 150.0, 1.0]);
        assert_eq!(map.invert_flat([250.0, 150.0]), Some([1.0, -1.0]));
    }

    #[test]
    fn other_proportions_leave_margins() {
        let projection = Projection::new(&plot(Axes::Plane, Motion::Fixed), &ViewState::default(), [400.0, 400.0]);
        assert_eq!((projection.scale, projection.offset), (1.0, [0.0, 100.0]));
    }

    #[test]
    fn the_stage_moves_panels_and_cuts_them() {
        let mut scene = plot(Axes::Plane, Motion::Stage);
        scene.stage = Rect::new(0.0, 20.0, 400.0, 180.0);
        let view = ViewState {
            stage: Camera {
                center: [0.25, 0.5],
                zoom: 2.0,
            },
            ..ViewState::default()
        };
        let place = Projection::new(&scene, &view, [400.0, 200.0]).panels[1];
        assert_eq!(place.rect.min, [200.0, -10.0]);
        assert_eq!(place.clip.min, [200.0, 20.0]);
        assert_eq!(place.clip.max, [400.0, 190.0]);
        let [x, y, _] = place.px_from_data.apply([0.0, 0.0, 0.0]);
        assert_eq!([x, y], place.rect.center());
    }

    #[test]
    fn clouds_stay_inside_their_panel_from_every_side() {
        let scene = plot(Axes::Space, Motion::Inside);
        for yaw in 0..12 {
            for pitch in -2..3_i16 {
                let orbit = Orbit {
                    yaw: yaw as f32 * 0.5,
                    pitch: f32::from(pitch) * 0.7,
                    zoom: 1.0,
                };
                let view = ViewState {
                    orbit,
                    ..ViewState::default()
                };
                let place = Projection::new(&scene, &view, [400.0, 200.0]).panels[1];
                // The middles of the box's edges.
                for edge in 0..12 {
                    let (a, b) = (
                        if edge & 1 == 1 { 1.0 } else { -1.0 },
                        if edge & 2 == 2 { 1.0 } else { -1.0 },
                    );
                    let p = [[0.0, a, b], [a, 0.0, b], [a, b, 0.0]][edge / 4];
                    let [x, y, w] = place.px_from_data.apply(p);
                    assert!(
                        place.rect.min[1] - 0.01 <= y && y <= place.rect.max[1] + 0.01,
                        "{p:?} at {x}, {y}"
                    );
                    assert!(w > 0.5);
                }
            }
        }
    }

    #[test]
    fn degenerate_layouts_stay_finite() {
        let mut scene = plot(Axes::Plane, Motion::Inside);
        scene.panels[1].bounds = Bounds {
            min: [2.0; 3],
            max: [2.0; 3],
        };
        scene.panels[1].rect = Rect::default();
        for size in [[0.0, 0.0], [f32::NAN, 1.0], [10.0, 10.0]] {
            let place = Projection::new(&scene, &ViewState::default(), size).panels[1];
            assert!(place.px_from_data.apply([2.0; 3]).iter().all(|v| v.is_finite()));
        }
    }
}
