//! What a host relies on: only what changed is uploaded, pixels are where the projection says, bad sizes are errors.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::sync::Arc;

use attn_render::{
    Color, Error, Headless, Image, Renderer, Scene, ViewState,
    camera::Camera,
    geometry::{Bounds, Rect},
    projection::Projection,
    scene::{
        Axes, Blending, Block, Curve, Edge, Label, Motion, Panel, PatchStyle, Patches, Path, Picture, Point, Shape,
    },
    wgpu,
};

const BLACK: Color = Color::hex(0x000000);
const RED: Color = Color::hex(0xFF0000);

fn headless() -> Headless {
    Headless::new().unwrap_or_else(|error| panic!("{error}"))
}

fn pixel(image: &Image, x: u32, y: u32) -> [u8; 4] {
    let at = 4 * (y * image.width() + x) as usize;
    image.rgba()[at..at + 4].try_into().unwrap()
}

/// A panel from -1 to 1 in the middle of 100 x 100 units, with `count` points on a circle.
fn plot(axes: Axes, count: u16) -> Scene {
    let mut scene = Scene::new([100.0, 100.0], BLACK);
    let panel = scene.add_panel(Panel {
        bounds: Bounds {
            min: [-1.0; 3],
            max: [1.0; 3],
        },
        axes,
        ..Panel::page(Rect::new(20.0, 20.0, 60.0, 60.0), Motion::Inside)
    });
    scene.layers[0].points.extend((0..count).map(|i| {
        let (y, x) = (f32::from(i) * 0.1).sin_cos();
        Point::new(panel, [0.8 * x, 0.8 * y, 0.0], RED, i.into())
    }));
    scene
}

#[test]
fn a_camera_move_uploads_no_point() {
    let (mut headless, scene) = (headless(), plot(Axes::Plane, 10_000));
    headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    assert_eq!(headless.stats().point_bytes, 240_000, "24 bytes a point");
    let inside = Camera {
        center: [0.3, 0.4],
        zoom: 3.0,
    };
    let view = ViewState {
        inside,
        ..ViewState::default()
    };
    headless.render(&scene, &view, 1.0).unwrap();
    let stats = headless.stats();
    assert_eq!(stats.point_bytes, 0);
    assert!(
        stats.bytes > 0 && stats.bytes <= 80 * scene.panels.len() as u64,
        "{stats:?}"
    );
    headless.render(&scene, &view, 1.0).unwrap();
    assert_eq!(headless.stats().bytes, 0, "an unchanged frame uploads nothing");
}

#[test]
fn a_changed_point_uploads_its_part_and_new_points_only_themselves() {
    let (mut headless, mut scene) = (headless(), plot(Axes::Plane, 20_000));
    headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    scene.layers[0]
        .points
        .update(10_000..10_001, |point| point[0].position = [0.0; 3]);
    let changed = headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    assert_eq!(headless.stats().point_bytes, 4096 * 24);
    assert_eq!(pixel(&changed, 50, 50), [255, 0, 0, 255]);
    // More than the buffer holds: what is there is copied on the device, the rest is uploaded.
    scene.layers[0]
        .points
        .extend((0..50_000).map(|_| Point::new(1, [0.5, 0.5, 0.0], RED, 0)));
    let grown = headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    let kept = 20_000 / 4096 * 4096;
    assert_eq!(headless.stats().point_bytes, (70_000 - kept) * 24);
    let fresh = self::headless().render(&scene, &ViewState::default(), 1.0).unwrap();
    assert_eq!(grown, fresh, "as if uploaded at once");
}

#[test]
fn hovering_changes_bytes_not_buffers() {
    let (mut headless, mut scene) = (headless(), plot(Axes::Plane, 10_000));
    headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    scene
        .overlay
        .points
        .push(Point::new(1, [0.0; 3], RED, Point::UNPICKABLE).shaped(Shape::Ring));
    headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    assert_eq!(headless.stats().bytes, 24);
}

#[test]
fn a_grid_of_panels_is_one_draw() {
    let mut scene = Scene::new([300.0, 300.0], BLACK);
    for i in 0..144_u16 {
        let rect = Rect::new(f32::from(i % 12) * 25.0, f32::from(i / 12) * 25.0, 24.0, 24.0);
        let panel = scene.add_panel(Panel {
            axes: Axes::Plane,
            ..Panel::page(rect, Motion::Stage)
        });
        let center = scene.panels[usize::from(panel)].bounds.center();
        scene.layers[0].points.push(Point::new(panel, center, RED, 0));
    }
    let mut headless = headless();
    let image = headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    assert_eq!((headless.stats().draws, headless.stats().points), (1, 144));
    for i in 0..144 {
        assert_eq!(
            pixel(&image, i % 12 * 25 + 12, i / 12 * 25 + 12),
            [255, 0, 0, 255],
            "panel {i}"
        );
    }
}

#[test]
fn points_are_where_the_projection_says_and_stay_in_their_panel() {
    for axes in [Axes::Page, Axes::Plane, Axes::Space] {
        let mut scene = plot(axes, 0);
        scene.panels[1].point_radius = 1.5;
        let positions = [[0.0, 0.0, 0.0], [0.7, -0.4, 0.3], [-0.5, 0.6, -0.8]];
        scene.layers[0]
            .points
            .extend(positions.map(|position| Point::new(1, position, RED, 0)));
        let view = ViewState {
            inside: Camera {
                center: [0.6, 0.45],
                zoom: 1.2,
            },
            ..ViewState::default()
        };
        let image = headless().render(&scene, &view, 3.0).unwrap();
        let place = Projection::new(&scene, &view, [300.0, 300.0]).panels[1];
        for position in positions {
            let [x, y, _] = place.px_from_data.apply(position);
            assert!(
                pixel(&image, x as u32, y as u32)[0] > 90,
                "{axes:?} {position:?} at {x}, {y}"
            );
        }
        // A huge point is cut at the panel.
        scene.panels[1].point_radius = 80.0;
        let image = headless().render(&scene, &view, 1.0).unwrap();
        for (x, y) in [(19, 50), (80, 50), (50, 19), (50, 80)] {
            assert_eq!(pixel(&image, x, y), [0, 0, 0, 255], "{axes:?}");
        }
        assert_ne!(pixel(&image, 50, 50), [0, 0, 0, 255]);
    }
}

#[test]
fn translucent_colors_blend_over_each_other() {
    let mut scene = Scene::new([30.0, 10.0], Color::hex(0xFFFFFF));
    let rect = |left| Rect::new(left, 0.0, 20.0, 10.0);
    scene.layers[0].blocks.push(Block::filled(0, rect(0.0), RED.alpha(0.5)));
    scene.layers[0]
        .blocks
        .push(Block::filled(0, rect(10.0), Color::hex(0x0000FF).alpha(0.5)));
    let image = headless().render(&scene, &ViewState::default(), 1.0).unwrap();
    // source over, in the space of the target: 0.5 c + 0.5 below; alpha 128/255.
    let near = |x, expected: [u8; 3]| {
        let found = pixel(&image, x, 5);
        assert!(
            found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 2),
            "{found:?} {expected:?}"
        );
    };
    near(5, [255, 127, 127]);
    near(15, [127, 63, 191]);
    near(25, [127, 127, 255]);
}

#[test]
fn lines_cover_their_width() {
    let mut scene = Scene::new([40.0, 20.0], BLACK);
    scene.layers[0].edges.push(Edge {
        from: [5.0, 5.0, 0.0],
        to: [35.0, 5.0, 0.0],
        color: RED,
        panel: 0,
        width: [2.0; 2],
        gap: [0.0; 2],
    });
    let path = Path::Line(vec![[5.0, 15.0], [20.0, 15.0], [35.0, 15.0]]);
    scene.layers[0].curves.push(Curve {
        panel: 0,
        path,
        color: RED,
        width: 2.0,
    });
    let image = headless().render(&scene, &ViewState::default(), 1.0).unwrap();
    for y in [5, 15] {
        let across: u32 = (0..10).map(|dy| u32::from(pixel(&image, 20, y - 5 + dy)[0])).sum();
        assert!(across.abs_diff(2 * 255) <= 6, "two pixels wide at {y}: {across}");
        let along: u32 = (0..40).map(|x| u32::from(pixel(&image, x, y)[0])).sum();
        assert!(along.abs_diff(30 * 255) <= 300, "thirty pixels long at {y}: {along}");
    }
}

#[test]
fn pictures_are_crisp_and_keep_their_colors() {
    let pixels = vec![255, 0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255, 255, 255, 255, 255];
    let image = Arc::new(Image::new(2, 2, pixels).unwrap());
    let mut scene = Scene::new([40.0, 40.0], BLACK);
    let rect = Rect::new(10.0, 10.0, 20.0, 20.0);
    scene.layers[0].pictures.push(Picture {
        panel: 0,
        rect,
        image,
        smooth: false,
    });
    let picture = headless().render(&scene, &ViewState::default(), 1.0).unwrap();
    assert_eq!(pixel(&picture, 9, 20), [0, 0, 0, 255]);
    assert_eq!(pixel(&picture, 10, 10), [255, 0, 0, 255]);
    assert_eq!(pixel(&picture, 19, 19), [255, 0, 0, 255]);
    assert_eq!(pixel(&picture, 20, 19), [0, 255, 0, 255]);
    assert_eq!(pixel(&picture, 19, 20), [0, 0, 255, 255]);
    assert_eq!(pixel(&picture, 29, 29), [255; 4]);
}

#[test]
fn patches_stand_where_their_points_are() {
    // Two patches of two colors each, and a point without one.
    let colors = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]];
    let row: Vec<u8> = colors
        .iter()
        .flat_map(|[r, g, b]| [*r, *g, *b, 255].repeat(4))
        .collect();
    let sheet = Arc::new(Image::new(16, 8, row.repeat(8)).unwrap());
    let mut scene = Scene::new([100.0, 100.0], BLACK);
    let panel = scene.add_panel(Panel {
        point_radius: 8.0,
        point_opacity: 1.0,
        ..Panel::page(Rect::new(0.0, 0.0, 100.0, 100.0), Motion::Fixed)
    });
    let white = Color::hex(0xFFFFFF);
    let at = |x, y, id| Point::new(panel, [x, y, 0.0], white, id);
    scene.layers[0].points = vec![
        at(30.0, 30.0, 0).as_patch(true),
        at(70.0, 30.0, 1).as_patch(true),
        at(30.0, 70.0, 2),
    ]
    .into();
    let patches = |style, parts: &[[u16; 4]]| Patches {
        sheet: sheet.clone(),
        parts: parts.into(),
        style,
    };
    let parts = [[0, 0, 8, 8], [8, 0, 8, 8]];
    scene.layers[0].patches = Some(patches(PatchStyle::Plain, &parts));
    let mut headless = headless();
    let plain = headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    let near = |found: [u8; 4], wanted: [u8; 3]| found.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) < 4);
    // 10 to either side of the middle: half a side is 1.25 radii.
    for (x, wanted) in [(22, colors[0]), (38, colors[1]), (62, colors[2]), (78, colors[3])] {
        assert!(near(pixel(&plain, x, 30), wanted), "{x}: {:?}", pixel(&plain, x, 30));
    }
    assert!(near(pixel(&plain, 18, 30), [0; 3]) && near(pixel(&plain, 30, 42), [0; 3]));
    assert!(
        near(pixel(&plain, 30, 70), [255; 3]),
        "a point without a patch stays one"
    );
    scene.layers[0].patches = Some(patches(PatchStyle::Outlined, &parts));
    let outlined = headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    assert!(near(pixel(&outlined, 20, 30), [255; 3]) && near(pixel(&outlined, 24, 30), colors[0]));
    scene.layers[0].patches = Some(patches(PatchStyle::Tinted, &parts));
    let tinted = headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    assert!(
        near(pixel(&tinted, 24, 30), [255, 115, 115]),
        "{:?}",
        pixel(&tinted, 24, 30)
    );
    // Half a patch in view keeps its scale.
    scene.layers[0].points = vec![at(0.0, 30.0, 0).as_patch(true)].into();
    scene.layers[0].patches = Some(patches(PatchStyle::Plain, &parts));
    let cut = headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    assert!(near(pixel(&cut, 2, 30), colors[1]) && near(pixel(&cut, 12, 30), [0; 3]));
    scene.layers[0].patches = Some(patches(PatchStyle::Plain, &[[9, 0, 8, 8]]));
    assert!(matches!(
        headless.render(&scene, &ViewState::default(), 1.0),
        Err(Error::Shape { .. })
    ));
}

#[test]
fn text_fills_the_box_it_was_measured_for() {
    let mut scene = Scene::new([300.0, 40.0], BLACK);
    let text = "Distance–attention correlation ρ = −0.94";
    scene.layers[0]
        .labels
        .push(Label::new(0, [10.0, 10.0], text, 12.0, Color::hex(0xFFFFFF)));
    let image = headless().render(&scene, &ViewState::default(), 1.0).unwrap();
    let lit = |x: u32| (0..40).any(|y| pixel(&image, x, y)[0] > 100);
    let (first, last) = (
        (0..300).find(|x| lit(*x)).unwrap(),
        (0..300).rfind(|x| lit(*x)).unwrap(),
    );
    let width = attn_render::text::text_width(text, 12.0, false);
    assert!(
        (first as f32 - 10.0).abs() < 3.0 && (last as f32 - 10.0 - width).abs() < 4.0,
        "{first} {last} {width}"
    );
    assert!(
        (0..300).all(|x| pixel(&image, x, 9)[0] == 0 && pixel(&image, x, 26)[0] == 0),
        "inside its line"
    );
}

#[test]
fn sizes_beyond_the_device_are_errors() {
    let mut headless = headless();
    for (size, scale) in [
        ([1e6, 10.0], 1.0),
        ([100.0, 100.0], 1e5),
        ([100.0, 100.0], 0.0),
        ([100.0, f32::NAN], 1.0),
    ] {
        let result = headless.render(&Scene::new(size, BLACK), &ViewState::default(), scale);
        assert!(matches!(result, Err(Error::PictureSize { .. })), "{size:?} {scale}");
    }
}

#[test]
fn odd_scenes_are_drawn_without_a_word() {
    let mut headless = headless();
    let mut scene = plot(Axes::Space, 50);
    scene.layers[0].points.push(Point::new(1, [f32::NAN; 3], RED, 0));
    scene.layers[0].points.push(Point::new(999, [0.0; 3], RED, 0));
    scene.layers[0].edges.push(Edge {
        from: [0.0; 3],
        to: [0.0; 3],
        color: RED,
        panel: 1,
        width: [1.0; 2],
        gap: [9.0; 2],
    });
    scene.layers[0]
        .blocks
        .push(Block::filled(1, Rect::new(0.0, 0.0, -5.0, f32::INFINITY), RED));
    headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    scene.panels[1].rect = Rect::default();
    headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    scene.panels.clear();
    headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    let mut many = Scene::new([200.0, 200.0], BLACK);
    for i in 0..10_000_u16 {
        let panel = many.add_panel(Panel::page(
            Rect::new(f32::from(i % 100) * 2.0, f32::from(i / 100) * 2.0, 1.0, 1.0),
            Motion::Stage,
        ));
        many.layers[0].points.push(Point::new(panel, [0.0; 3], RED, 0));
    }
    headless.render(&many, &ViewState::default(), 1.0).unwrap();
    headless
        .render(&Scene::new([10.0, 10.0], BLACK), &ViewState::default(), 1.0)
        .unwrap();
}

#[test]
fn a_missing_adapter_names_the_package() {
    const INNER: &str = "ATTN_TEST_WITHOUT_ADAPTER";
    if std::env::var_os(INNER).is_some() {
        let error = Headless::new().err().unwrap();
        assert!(matches!(error, Error::NoAdapter { .. }));
        let text = error.to_string();
        assert!(
            text.contains("mesa-vulkan-drivers") && text.contains("libvulkan1"),
            "{text}"
        );
        return;
    }
    // In a process of its own, which may use a backend that this system does not have.
    let absent = if cfg!(target_os = "macos") { "dx12" } else { "metal" };
    let mut test = std::process::Command::new(std::env::current_exe().unwrap());
    test.args(["a_missing_adapter_names_the_package", "--exact"])
        .env(INNER, "1")
        .env("WGPU_BACKEND", absent);
    let output = test.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// A host with its own device draws into its own texture, of a format that blends in linear light.
#[test]
fn a_host_draws_into_its_own_texture() {
    const SIDE: u32 = 64;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default())).unwrap();
    let format = wgpu::TextureFormat::Bgra8UnormSrgb;
    let size = wgpu::Extent3d {
        width: SIDE,
        height: SIDE,
        depth_or_array_layers: 1,
    };
    let texture = device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
        view_formats: &[],
    });
    let read = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: u64::from(4 * SIDE * SIDE),
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });

    let side = SIDE as f32;
    let mut scene = Scene::new([side, side], Color::hex(0x204060));
    scene.layers[0].blocks.push(Block::filled(
        0,
        Rect::new(0.0, 0.0, 0.5 * side, side),
        Color::hex(0xC08040),
    ));
    scene.panels[0].point_radius = 6.0;
    scene.layers[0]
        .points
        .push(Point::new(0, [48.0, 32.0, 0.0], Color::hex(0x30D0A0), 0));

    let mut renderer = Renderer::new(&device, &queue, format).unwrap();
    let mut encoder = device.create_command_encoder(&Default::default());
    renderer
        .prepare(
            &device,
            &queue,
            &mut encoder,
            &scene,
            &ViewState::default(),
            [SIDE, SIDE],
        )
        .unwrap();
    let view = texture.create_view(&Default::default());
    let load = wgpu::LoadOp::Clear(renderer.clear_color(&scene));
    let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
        label: None,
        color_attachments: &[Some(wgpu::RenderPassColorAttachment {
            view: &view,
            depth_slice: None,
            resolve_target: None,
            ops: wgpu::Operations {
                load,
                store: wgpu::StoreOp::Store,
            },
        })],
        depth_stencil_attachment: None,
        timestamp_writes: None,
        occlusion_query_set: None,
        multiview_mask: None,
    });
    renderer.paint(&mut pass).unwrap();
    drop(pass);
    let layout = wgpu::TexelCopyBufferLayout {
        offset: 0,
        bytes_per_row: Some(4 * SIDE),
        rows_per_image: None,
    };
    encoder.copy_texture_to_buffer(
        texture.as_image_copy(),
        wgpu::TexelCopyBufferInfo { buffer: &read, layout },
        size,
    );
    queue.submit([encoder.finish()]);
    read.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let bytes = read.get_mapped_range(..).unwrap();
    let near = |x: usize, expected: [u8; 3]| {
        let at = 4 * (32 * SIDE as usize + x);
        let found = [bytes[at + 2], bytes[at + 1], bytes[at]];
        let close = found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 2);
        assert!(close, "{found:?}, expected {expected:?}");
    };
    near(10, [0xC0, 0x80, 0x40]);
    near(48, [0x30, 0xD0, 0xA0]);
    near(60, [0x20, 0x40, 0x60]);
}

/// A device that is lost takes the renderer with it; the scene is plain data and shows the same on another.
#[test]
fn a_lost_device_is_replaced_and_the_scene_looks_the_same() {
    let mut scene = plot(Axes::Plane, 5_000);
    scene.layers[0]
        .labels
        .push(Label::new(0, [4.0, 4.0], "still here", 12.0, Color::hex(0xFFFFFF)));
    scene.layers[0].curves.push(Curve {
        panel: 0,
        path: Path::Line(vec![[5.0, 90.0], [50.0, 70.0], [95.0, 90.0]]),
        color: RED,
        width: 2.0,
    });
    let mut first = headless();
    let before = first.render(&scene, &ViewState::default(), 2.0).unwrap();
    first.lose_device();
    assert!(
        first.render(&scene, &ViewState::default(), 2.0).is_err(),
        "what is lost says so"
    );
    let after = headless().render(&scene, &ViewState::default(), 2.0).unwrap();
    assert_eq!(before, after);
}

/// Points that overlap everywhere, few and many: the picture does not depend on the order in which they were captured.
#[test]
fn shuffled_points_give_the_same_picture() {
    use attn_render::{
        Plot,
        plots::{Coordinates, Head},
    };
    let id = attn_core::HeadId::new(attn_core::Attention::EncoderSelf, 0, 0);
    let mut headless = headless();
    for (count, blending) in [(3_000, Blending::InOrder), (40_000, Blending::MIXED)] {
        let places: Vec<[f32; 2]> = (0..count)
            .map(|i| {
                let (sin, cos) = (i as f32 * 2.399_963).sin_cos();
                let r = (i as f32 / count as f32).sqrt();
                [r * cos, r * sin]
            })
            .collect();
        let mut shuffled = places.clone();
        for half in [0..count / 2, count / 2..count] {
            let part = &mut shuffled[half];
            for i in 0..part.len() {
                part.swap(i, (i * 7_919 + 13) % part.len());
            }
        }
        assert_ne!(places, shuffled);
        let mut picture = |places: &[[f32; 2]]| {
            let head = Head::new(id, Coordinates::new(places.as_flattened(), 2).unwrap(), count / 2);
            let scene = head.scene(&ViewState::default(), [360.0, 320.0]).unwrap();
            assert_eq!(scene.layers[1].blending, blending);
            headless.render(&scene, &ViewState::default(), 1.0).unwrap()
        };
        let (one, other) = (picture(&places), picture(&shuffled));
        // Sums round.
        let off = one.rgba().iter().zip(other.rgba()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(
            off <= Some(u8::from(blending == Blending::MIXED)),
            "{blending:?}: {off:?}"
        );
    }
}

/// Crowds are mixed: what a pixel shows follows from the points on it, in closed form, and their order says nothing.
#[test]
fn mixed_points_have_no_order() {
    let colors = [0xFF0000, 0x00FF00, 0x0000FF, 0xFFFFFF].map(Color::hex);
    let mut headless = headless();
    let mut picture = |order: &[usize], axes, opacity: f32| {
        let mut scene = plot(axes, 0);
        (scene.panels[1].point_radius, scene.panels[1].point_opacity) = (20.0, opacity);
        scene.layers[0].blending = Blending::MIXED;
        scene.layers[0]
            .points
            .extend(order.iter().map(|i| Point::new(1, [0.0; 3], colors[*i], 0)));
        let image = headless.render(&scene, &ViewState::default(), 1.0).unwrap();
        pixel(&image, 50, 50)
    };
    for opacity in [0.25_f32, 0.6, 0.9] {
        let all: Vec<usize> = (0..9_000).map(|i| i * i % 7 % 4).collect();
        for count in [1, 2, 5, 9_000] {
            let order = &all[..count];
            // The mean of the colors, as opaque as so many over each other, over black.
            let rounded = (opacity * 255.0).round() / 255.0;
            let opaque = 1.0 - (1.0 - rounded).powi(count as i32);
            let expected = [0, 1, 2].map(|channel: usize| {
                let sum: f32 = order.iter().map(|i| f32::from(colors[*i].0[channel])).sum();
                opaque * sum / count as f32
            });
            let found = picture(order, Axes::Plane, opacity);
            for channel in 0..3 {
                let off = (f32::from(found[channel]) - expected[channel]).abs();
                assert!(off <= 1.0, "{opacity} {count}: {found:?}, expected {expected:?}");
            }
        }
        // Backwards and sorted by color, in the plane and in space.
        let (mut backwards, mut sorted) = (all.clone(), all.clone());
        backwards.reverse();
        sorted.sort_unstable();
        for axes in [Axes::Plane, Axes::Space] {
            let found = [&all, &backwards, &sorted].map(|order| picture(order, axes, opacity));
            for other in &found[1..] {
                let off = found[0].iter().zip(other).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(off <= Some(1), "{opacity} {axes:?}: {found:?}");
            }
        }
    }
}

/// What is in front of a crowd, and what is behind it, in other layers and in the same.
#[test]
fn mixed_points_lie_between_what_is_before_and_after_them() {
    let mut scene = plot(Axes::Plane, 0);
    scene.panels[1].point_radius = 20.0;
    scene.panels[1].point_opacity = 0.6;
    scene.layers[0].blending = Blending::MIXED;
    let blue = Color::hex(0x0000FF);
    scene.layers[0]
        .blocks
        .push(Block::filled(0, Rect::new(0.0, 0.0, 100.0, 100.0), blue));
    scene.layers[0]
        .points
        .extend([0, 1].map(|id| Point::new(1, [0.0; 3], RED, id)));
    let mut front = attn_render::scene::Layer::default();
    front
        .blocks
        .push(Block::filled(0, Rect::new(0.0, 0.0, 50.0, 100.0), Color::hex(0x00FF00)));
    scene.layers.push(front);
    let mut headless = headless();
    let image = headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    assert_eq!(pixel(&image, 45, 50), [0, 255, 0, 255], "in front");
    let [r, g, b, _] = pixel(&image, 55, 50);
    assert!(
        r.abs_diff(214) <= 2 && g == 0 && b.abs_diff(41) <= 2,
        "0.84 of red over blue: {r} {g} {b}"
    );
    assert_eq!(pixel(&image, 90, 50), [0, 0, 255, 255], "nothing where no point is");
    // In order again, and of another size: the sums are not those of before.
    scene.layers[0].blending = Blending::InOrder;
    let plain = headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    scene.layers[0].blending = Blending::MIXED;
    let larger = headless.render(&scene, &ViewState::default(), 2.0).unwrap();
    assert_eq!(pixel(&larger, 110, 100), pixel(&image, 55, 50));
    assert_eq!(headless.render(&scene, &ViewState::default(), 1.0).unwrap(), image);
    // It can be dimmed as a whole.
    scene.layers[0].blending = Blending::Mixed { opacity: 0.5 };
    let half = headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    assert!(pixel(&half, 55, 50)[0].abs_diff(107) <= 2 && pixel(&half, 90, 50) == [0, 0, 255, 255]);
    // Points of one color over each other look the same either way, but for their edges.
    assert!(pixel(&plain, 55, 50)[0].abs_diff(r) <= 1);
}

/// 24 bytes a point on the device and a few per panel, however often the scene is drawn.
#[test]
fn a_point_takes_24_bytes_on_the_device() {
    let mut headless = headless();
    let scene = plot(Axes::Plane, 60_000);
    headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    assert_eq!(headless.stats().point_memory, 60_000 * 24);
    headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    assert_eq!(headless.stats().point_memory, 60_000 * 24);
}
