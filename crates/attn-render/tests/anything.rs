//! No scene, view or sequence of inputs panics: random ones, odd numbers among them, go through projection, hit tests,
//! labels, the controller and the vector writer. Seeded: a failure names the seed that brings it back.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod random;

use std::sync::Arc;

use attn_core::{Attention, HeadId};
use attn_render::{
    Area, Color, Image, Scene, SvgOptions, Target, Transition, ViewState,
    contour::density_contours,
    control::{Controller, Input, Key},
    geometry::{Bounds, Rect},
    labels::place_labels,
    pick::Picker,
    projection::Projection,
    scene::{Axes, Block, Curve, Edge, Label, Motion, Panel, Path, Picture, Placement, Point, Region, Rows, Shape},
    svg,
};
use random::{Random, input, view};

fn scene(random: &mut Random) -> Scene {
    let mut scene = Scene::new([random.number(), random.number()], random.color());
    if random.below(3) > 0 {
        scene.size = [300.0, 200.0];
    }
    scene.stage = random.rect();
    let panels = random.below(6);
    for index in 0..panels {
        scene.add_panel(Panel {
            head: (random.below(2) == 0).then(|| HeadId::new(Attention::Cross, 0, index as usize)),
            title: "a<b>&\u{1}".into(),
            rect: random.rect(),
            bounds: Bounds {
                min: random.triple(),
                max: random.triple(),
            },
            axes: [Axes::Page, Axes::Plane, Axes::Space][random.below(3) as usize],
            motion: [Motion::Fixed, Motion::Stage, Motion::Inside][random.below(3) as usize],
            point_radius: random.number(),
            point_opacity: random.number(),
            rows: (random.below(4) == 0).then(|| Rows {
                height: random.number(),
                last: random.below(1 << 32) as u32,
            }),
        });
    }
    if random.below(20) == 0 {
        scene.panels.clear();
    }
    let image = Arc::new(Image::new(1, 1, vec![1, 2, 3, 255]).unwrap());
    for _ in 0..random.below(40) {
        // One in eight names a panel that does not exist.
        let panel = random.below(panels + 2) as u16;
        let layer = &mut scene.layers[0];
        let shape = [Shape::Disc, Shape::Diamond, Shape::Ring, Shape::Square][random.below(4) as usize];
        let point = Point::new(panel, random.triple(), random.color(), random.below(50) as u32);
        layer.points.push(point.shaped(shape).sized(random.number()));
        let block = Block::filled(panel, random.rect(), random.color());
        layer
            .blocks
            .push(block.stroked(random.color(), random.number()).rounded(random.number()));
        layer.edges.push(Edge {
            from: random.triple(),
            to: random.triple(),
            color: random.color(),
            panel: panel.into(),
            width: random.pair(),
            gap: random.pair(),
        });
        let path = match random.below(2) {
            0 => Path::Cubic([random.pair(), random.pair(), random.pair(), random.pair()]),
            _ => Path::Line((0..random.below(4)).map(|_| random.pair()).collect()),
        };
        layer.curves.push(Curve {
            panel,
            path,
            color: random.color(),
            width: random.number(),
        });
        layer.pictures.push(Picture {
            panel,
            rect: random.rect(),
            image: image.clone(),
            smooth: random.below(2) == 0,
        });
        layer.regions.push(Region {
            panel,
            rect: random.rect(),
            target: match random.below(4) {
                0 => Target::LegendClass(random.below(1 << 32) as u32),
                1 => Target::LegendPage(random.below(1 << 32) as u32),
                2 => Target::ScrollTo(random.below(1 << 32) as u32),
                _ => Target::item(random.below(1 << 32) as usize),
            },
        });
        let mut label = Label::new(panel, random.pair(), "w\u{0}rd", random.number(), random.color());
        label.offset = random.pair();
        label.grows = random.number();
        if random.below(2) == 0 {
            label.placement = Placement::Floating {
                priority: random.number(),
                margin: random.number(),
                clear: random.number(),
            };
        }
        layer.labels.push(label);
    }
    scene
}

#[test]
fn nothing_panics() {
    for seed in 0..400 {
        // Printed with a failure only.
        println!("seed {seed}");
        let random = &mut Random(seed);
        let scene = scene(random);
        let mut view = view(random);
        let projection = Projection::new(&scene, &view, random.pair());
        place_labels(&scene, &projection);
        let mut picker = Picker::default();
        for panel in 0..8 {
            picker.hit(&scene, &projection, random.pair(), random.number());
            let area = Area::Lasso((0..random.below(5)).map(|_| random.pair()).collect());
            picker.within(&scene, &projection, panel, &area);
            picker.within(&scene, &projection, panel, &Area::Box(random.rect()));
        }
        let few = SvgOptions {
            max_points: 10,
            families: vec!["\"<'&,\u{1}".into()],
        };
        let _ = svg(&scene, &view, &few);
        let later = self::scene(random);
        let moment = Transition::new(&scene, later, &view).at(random.number() / 100.0);
        let _ = svg(&moment, &view, &few);
        // Huge but finite numbers too; what is not finite is an error.
        let cloud: Vec<f32> = (0..2 * random.below(30)).map(|_| random.number()).collect();
        let finite: Vec<f32> = cloud.iter().copied().filter(|v| v.is_finite()).collect();
        assert!(density_contours(&finite[..finite.len() / 2 * 2], &[0.1, random.below(3) as f32]).is_ok());
        let _ = density_contours(&cloud, &[random.number()]);
        let mut controller = Controller::default();
        for _ in 0..40 {
            controller.handle(input(random), &scene, &mut view);
        }
        let _ = svg(&scene, &view, &SvgOptions::default());
    }
}

#[test]
fn ten_thousand_panels_are_projected_hit_and_written() {
    let mut scene = Scene::new([2_000.0, 2_000.0], Color::default());
    for i in 0..10_000_u16 {
        let rect = Rect::new(f32::from(i % 100) * 20.0, f32::from(i / 100) * 20.0, 19.0, 19.0);
        let panel = scene.add_panel(Panel {
            head: Some(HeadId::new(
                Attention::EncoderSelf,
                usize::from(i / 100),
                usize::from(i % 100),
            )),
            ..Panel::page(rect, Motion::Stage)
        });
        let [x, y] = rect.center();
        scene.layers[0]
            .points
            .push(Point::new(panel, [x, y, 0.0], Color::hex(0), i.into()));
    }
    let view = ViewState::default();
    let projection = Projection::new(&scene, &view, [2_000.0, 2_000.0]);
    let mut picker = Picker::default();
    for i in [0_u16, 777, 9_999] {
        let at = [f32::from(i % 100) * 20.0 + 9.5, f32::from(i / 100) * 20.0 + 9.5];
        assert_eq!(picker.hit(&scene, &projection, at, 3.0).unwrap().id(), Some(i.into()));
    }
    let text = svg(&scene, &view, &SvgOptions::default()).unwrap();
    assert_eq!(text.matches("<circle").count(), 10_000);
    let mut controller = Controller::default();
    let mut view = view;
    controller.handle(Input::Resized { size: [500.0; 2] }, &scene, &mut view);
    for _ in 0..3 {
        controller.handle(Input::Key(Key::Next), &scene, &mut view);
    }
    assert_eq!(
        controller.interaction().head,
        Some(HeadId::new(Attention::EncoderSelf, 0, 2))
    );
}
