use super::*;
use crate::{
    Color, ViewState,
    camera::Camera,
    geometry::{Bounds, Rect},
    scene::{Motion, Panel, Region},
};

/// A repeatable sequence in -1..1.
fn noise(seed: u32) -> f32 {
    let mixed = (seed ^ 0x9E37_79B9)
        .wrapping_mul(0x85EB_CA6B)
        .rotate_left(13)
        .wrapping_mul(0xC2B2_AE35);
    (mixed >> 8) as f32 / f32::from(1_u16 << 15) / 256.0 - 1.0
}

fn cloud(axes: Axes, panels: u16, each: u32) -> Scene {
    let mut scene = Scene::new([400.0, 300.0], Color::default());
    for panel in 0..panels {
        scene.add_panel(Panel {
            bounds: Bounds {
                min: [-1.0; 3],
                max: [1.0; 3],
            },
            axes,
            ..Panel::page(Rect::new(f32::from(panel) * 130.0, 20.0, 120.0, 200.0), Motion::Inside)
        });
    }
    for panel in 1..=panels {
        for id in 0..each {
            let seed = u32::from(panel) * 100_000 + id * 3;
            let position = [
                noise(seed),
                noise(seed + 1),
                if axes == Axes::Space { noise(seed + 2) } else { 0.0 },
            ];
            scene.layers[0]
                .points
                .push(Point::new(panel, position, Color::default(), id).hidden(id % 10 == 0));
        }
    }
    scene
}

/// The nearest pickable point by looking at all of them.
fn brute(scene: &Scene, projection: &Projection, cursor: [f32; 2], radius: f32) -> Option<f32> {
    let panel = panel_at(projection, cursor)?;
    let points = scene.layers[0]
        .points
        .iter()
        .filter(|point| point.panel() == panel && point.is_pickable());
    points
        .map(|point| {
            let [x, y, _] = projection.panels[panel].px_from_data.apply(point.position);
            (x - cursor[0]).hypot(y - cursor[1])
        })
        .filter(|distance| *distance <= radius)
        .min_by(f32::total_cmp)
}

#[test]
fn the_nearest_point_is_found_as_by_looking_at_all() {
    for axes in [Axes::Plane, Axes::Page, Axes::Space] {
        let scene = cloud(axes, 3, 700);
        let mut picker = Picker::default();
        for zoom in [1.0, 7.0] {
            let view = ViewState {
                inside: Camera {
                    center: [0.4, 0.6],
                    zoom,
                },
                ..ViewState::default()
            };
            let projection = Projection::new(&scene, &view, [400.0, 300.0]);
            let mut found = 0;
            for x in 0..40_u16 {
                for y in 0..30_u16 {
                    let cursor = [f32::from(x) * 10.0 + 0.3, f32::from(y) * 10.0 + 0.6];
                    let hit = picker.hit(&scene, &projection, cursor, 4.0);
                    let distance = hit.and_then(|hit| hit.point).map(|(layer, index)| {
                        let point = &scene.layers[layer].points[index];
                        let [x, y, _] = projection.panels[point.panel()].px_from_data.apply(point.position);
                        (x - cursor[0]).hypot(y - cursor[1])
                    });
                    assert_eq!(
                        distance,
                        brute(&scene, &projection, cursor, 4.0),
                        "{axes:?} at {cursor:?}"
                    );
                    found += usize::from(distance.is_some());
                }
            }
            assert!(found > 20, "{axes:?} {zoom}: {found}");
        }
    }
}

#[test]
fn an_area_holds_exactly_what_looking_at_all_says() {
    for axes in [Axes::Plane, Axes::Page, Axes::Space] {
        let scene = cloud(axes, 2, 700);
        let mut picker = Picker::default();
        let view = ViewState {
            inside: Camera {
                center: [0.45, 0.55],
                zoom: 1.6,
            },
            ..ViewState::default()
        };
        let projection = Projection::new(&scene, &view, [400.0, 300.0]);
        let place = projection.panels[2];
        let [x, y] = place.rect.center();
        let lasso = vec![
            [x - 40.0, y - 50.0],
            [x + 45.0, y - 10.0],
            [x + 5.0, y],
            [x + 30.0, y + 60.0],
        ];
        for area in [
            Area::Lasso(lasso),
            Area::between([x + 70.0, y + 9.0], [x - 20.0, y - 30.0]),
        ] {
            let mut expected: Vec<u32> = scene.layers[0]
                .points
                .iter()
                .filter(|point| {
                    let [x, y, _] = place.px_from_data.apply(point.position);
                    point.panel() == 2 && point.is_pickable() && place.clip.contains([x, y]) && area.contains([x, y])
                })
                .map(|point| point.id)
                .collect();
            expected.sort_unstable();
            assert!(expected.len() > 30, "{axes:?}: {}", expected.len());
            assert_eq!(picker.within(&scene, &projection, 2, &area), expected, "{axes:?}");
        }
        assert!(picker.within(&scene, &projection, 99, &Area::Lasso(vec![])).is_empty());
    }
}

#[test]
fn moved_points_are_found_where_they_are_now() {
    let mut scene = cloud(Axes::Plane, 1, 50);
    let projection = Projection::new(&scene, &ViewState::default(), [400.0, 300.0]);
    let mut picker = Picker::default();
    let middle = projection.panels[1].rect.center();
    let _ = picker.hit(&scene, &projection, middle, 0.5);
    scene.layers[0]
        .points
        .update(7..8, |point| point[0].position = [0.0; 3]);
    assert_eq!(
        picker.hit(&scene, &projection, middle, 0.5).unwrap().point,
        Some((0, 7))
    );
}

#[test]
fn panels_and_regions_are_found() {
    let mut scene = Scene::new([100.0, 100.0], Color::default());
    scene.layers[0].regions = vec![
        Region::item(0, Rect::new(10.0, 10.0, 30.0, 30.0), 4),
        Region::item(0, Rect::new(20.0, 20.0, 30.0, 30.0), 5),
    ];
    let projection = Projection::new(&scene, &ViewState::default(), [200.0, 200.0]);
    let at = |x, y| Picker::default().hit(&scene, &projection, [x, y], 5.0);
    assert_eq!(at(30.0, 30.0).unwrap().id(), Some(4));
    assert_eq!(at(60.0, 60.0).unwrap().id(), Some(5), "the front one");
    assert_eq!(
        at(190.0, 10.0),
        Some(Hit {
            panel: 0,
            target: None,
            point: None
        })
    );
    assert_eq!(at(-1.0, 10.0), None);
    assert_eq!(at(f32::NAN, 10.0), None);
}

#[test]
fn coinciding_and_odd_points_do_no_harm() {
    let mut scene = cloud(Axes::Plane, 1, 0);
    for id in 0..9 {
        scene.layers[0]
            .points
            .push(Point::new(1, [0.0; 3], Color::default(), id));
    }
    scene.layers[0]
        .points
        .push(Point::new(1, [f32::NAN, 0.0, 0.0], Color::default(), 9));
    scene.layers[0]
        .points
        .push(Point::new(77, [0.0; 3], Color::default(), 10));
    let projection = Projection::new(&scene, &ViewState::default(), [400.0, 300.0]);
    let hit = Picker::default()
        .hit(&scene, &projection, projection.panels[1].rect.center(), 1.0)
        .unwrap();
    assert_eq!(hit.id(), Some(0));
}

#[test]
fn a_cloud_is_found_from_every_side_and_from_within() {
    // A dense clump beside a thin shell: cells of very different fill.
    let mut scene = cloud(Axes::Space, 1, 3_000);
    scene.layers[0].points.update(0..1_500, |points| {
        for point in points {
            point.position = point.position.map(|v| 0.9 + 0.01 * v);
        }
    });
    let mut picker = Picker::default();
    for (yaw, pitch, zoom) in [(0.3, 0.2, 1.0), (2.0, -1.5, 4.0), (4.4, 1.2, 30.0)] {
        let view = ViewState {
            orbit: crate::camera::Orbit { yaw, pitch, zoom },
            ..ViewState::default()
        };
        let projection = Projection::new(&scene, &view, [400.0, 300.0]);
        for step in 0..400_u16 {
            let cursor = [f32::from(step % 20) * 6.0 + 1.0, 20.0 + f32::from(step / 20) * 10.0];
            let distance = picker
                .hit(&scene, &projection, cursor, 6.0)
                .and_then(|hit| hit.point)
                .map(|(_, index)| {
                    let [x, y, _] = projection.panels[1]
                        .px_from_data
                        .apply(scene.layers[0].points[index].position);
                    (x - cursor[0]).hypot(y - cursor[1])
                });
            let seen = brute(&scene, &projection, cursor, 6.0);
            assert_eq!(distance, seen, "{yaw} {pitch} {zoom} at {cursor:?}");
        }
    }
}
