//! No scene, view or sequence of inputs panics: random ones, odd numbers among them, go through projection, hit tests,
//! labels, the controller and the vector writer. Seeded: a failure names the seed that brings it back.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::sync::Arc;

use attn_core::{Attention, HeadId};
use attn_render::{
    Area, Axes, Block, Bounds, Color, Controller, Curve, Edge, Image, Input, Key, Label, Motion, Panel, Path, Picker,
    Picture, Placement, Point, Projection, Rect, Region, Rows, Scene, Shape, SvgOptions, Tool, Transition, View,
    density_contours, place_labels, svg,
};

/// SplitMix64 (Steele et al. 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    /// Mostly within a page; sometimes what arithmetic stumbles over.
    fn number(&mut self) -> f32 {
        let odd = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN_POSITIVE,
            0.0,
            -0.0,
            -1e30,
        ];
        match self.below(12) {
            0 => odd[self.below(8) as usize],
            _ => self.below(4_000) as f32 / 10.0 - 100.0,
        }
    }

    fn pair(&mut self) -> [f32; 2] {
        [self.number(), self.number()]
    }

    fn triple(&mut self) -> [f32; 3] {
        [self.number(), self.number(), self.number()]
    }

    fn rect(&mut self) -> Rect {
        Rect {
            min: self.pair(),
            max: self.pair(),
        }
    }

    fn color(&mut self) -> Color {
        Color([0; 4].map(|_: u8| self.below(256) as u8))
    }
}

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
            id: random.below(1 << 32) as u32,
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

fn view(random: &mut Random) -> View {
    let mut view = View::default();
    view.stage.zoom = random.number();
    view.stage.center = random.pair();
    view.inside.zoom = random.number();
    view.inside.center = random.pair();
    view.orbit.yaw = random.number();
    view.orbit.pitch = random.number();
    view.orbit.zoom = random.number();
    if random.below(2) == 0 {
        view = View::default();
    }
    view
}

fn input(random: &mut Random) -> Input {
    let keys = [
        Key::Escape,
        Key::Plus,
        Key::Minus,
        Key::Home,
        Key::Left,
        Key::Down,
        Key::Next,
        Key::Previous,
        Key::Enter,
        Key::SelectAll,
        Key::Undo,
        Key::Redo,
        Key::Tool(Tool::Look),
        Key::Tool(Tool::Box),
        Key::Tool(Tool::Lasso),
    ];
    let position = random.pair();
    match random.below(10) {
        0 => Input::Resized { size: position },
        1 | 2 => Input::PointerMoved { position },
        3 => Input::PointerPressed { position },
        4 => Input::PointerReleased { position },
        5 => Input::Wheel {
            position,
            notches: random.number(),
        },
        6 => Input::PointerLeft,
        7 => Input::Pan {
            position,
            by: random.pair(),
        },
        8 => Input::Finger {
            id: random.below(3),
            position: Some(position).filter(|_| random.below(3) > 0),
        },
        _ => Input::Key(keys[random.below(keys.len() as u64) as usize]),
    }
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
        let moment = Transition::new(&scene, later).at(random.number() / 100.0, &view);
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

/// Views of random data: odd sizes, views and numbers give a scene or an error.
#[test]
fn no_view_panics() {
    use attn_render::views::{Coordinates, Head, Overview, OverviewHead, Sentence, SentenceToken};
    let id = HeadId::new(Attention::DecoderSelf, 0, 0);
    for seed in 0..300 {
        println!("seed {seed}");
        let random = &mut Random(seed);
        let mut view = view(random);
        view.first_token = random.below(1 << 32) as u32;
        view.hidden = (0..random.below(6)).map(|_| random.below(20) as u32).collect();
        let size = random.pair();
        let count = random.below(12) as usize;
        let weights: Vec<f32> = (0..count * count).map(|_| random.number()).collect();
        let even = vec![1.0 / count.max(1) as f32; count * count];
        let tokens = vec![
            SentenceToken {
                text: "wörd",
                special: false
            };
            count
        ];
        for attention in [&weights, &even] {
            for whole_up_to in [0, 200] {
                let sentence = Sentence {
                    whole_up_to,
                    ..Sentence::new(id, &tokens, &tokens, attention)
                };
                let _ = (
                    sentence.scene(&view, size),
                    sentence.table(&view, size),
                    sentence.scene(&view, [200.0; 2]),
                );
            }
            let head = OverviewHead {
                head: id,
                queries: count,
                keys: count,
                attention,
            };
            let overview = Overview::new(vec![head; random.below(4) as usize]);
            let _ = (
                overview.scene(&view, size),
                overview.table(),
                overview.scene(&view, [200.0; 2]),
            );
        }
        let values: Vec<f32> = (0..2 * count).map(|_| random.number()).collect();
        if let Ok(coordinates) = Coordinates::new(&values, 2) {
            let shares = [0.5, random.number()];
            let head = Head {
                contours: &shares,
                ..Head::new(id, coordinates, random.below(14) as usize)
            };
            let _ = (head.scene(&view, size), head.scene(&view, [200.0; 2]), head.table());
        }
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
    let view = View::default();
    let projection = Projection::new(&scene, &view, [2_000.0, 2_000.0]);
    let mut picker = Picker::default();
    for i in [0_u16, 777, 9_999] {
        let at = [f32::from(i % 100) * 20.0 + 9.5, f32::from(i / 100) * 20.0 + 9.5];
        assert_eq!(picker.hit(&scene, &projection, at, 3.0).unwrap().id, Some(i.into()));
    }
    let text = svg(&scene, &view, &SvgOptions::default()).unwrap();
    assert_eq!(text.matches("<circle").count(), 10_000);
    let mut controller = Controller::default();
    let mut view = view;
    controller.handle(Input::Resized { size: [500.0; 2] }, &scene, &mut view);
    for _ in 0..3 {
        controller.handle(Input::Key(Key::Next), &scene, &mut view);
    }
    assert_eq!(view.hover_head, Some(HeadId::new(Attention::EncoderSelf, 0, 2)));
}
