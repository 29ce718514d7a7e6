//! Vector drawings against the raster and against the scene: every view is well-formed, nothing is lost, and what is
//! drawn is where the pixels are.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail the test"
)]

#[path = "../examples/gallery/charts.rs"]
mod charts;
#[path = "../examples/gallery/heads.rs"]
mod heads;
#[path = "../examples/gallery/large.rs"]
mod large;
#[path = "../examples/gallery/samples.rs"]
mod samples;

use attn_render::{
    Color, Error, Headless, Renderer, Scene, SvgOptions, Theme, ViewState,
    geometry::{Bounds, Rect},
    labels::place_labels,
    plots::Flows,
    projection::Projection,
    scene::{Axes, Block, Curve, Edge, Motion, Panel, PatchStyle, Path, Point, Shape},
    state::Shared,
    svg, wgpu,
};

/// A start tag: its name and attributes.
#[derive(Debug)]
struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
    /// Text up to the next tag.
    text: String,
}

impl Tag {
    fn get(&self, name: &str) -> &str {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map_or_else(|| panic!("{name} of {self:?}"), |(_, value)| value)
    }

    fn number(&self, name: &str) -> f32 {
        self.get(name).parse().unwrap()
    }
}

/// Reads what this crate writes, and fails where XML would: tags that do not match, quotes that do not close.
fn parse(document: &str) -> Vec<Tag> {
    let (mut tags, mut open) = (Vec::new(), Vec::new());
    let mut rest = document;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').unwrap_or_else(|| panic!("a tag does not end"));
        let inside = &rest[start + 1..end];
        let after = &rest[end + 1..];
        let text = &after[..after.find('<').unwrap_or(after.len())];
        if let Some(name) = inside.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closing tag");
        } else {
            let (body, empty) = inside.strip_suffix('/').map_or((inside, false), |body| (body, true));
            let (name, mut attributes) = body.split_once(' ').unwrap_or((body, ""));
            let mut found = Vec::new();
            while let Some((key, value)) = attributes.trim_start().split_once("=\"") {
                let (value, more) = value.split_once('"').unwrap_or_else(|| panic!("a value does not end"));
                found.push((key.to_owned(), value.to_owned()));
                attributes = more;
            }
            assert_eq!(attributes.trim(), "", "attributes of {name}");
            if !empty {
                open.push(name.to_owned());
            }
            tags.push(Tag {
                name: name.to_owned(),
                attributes: found,
                text: text.to_owned(),
            });
        }
        rest = after;
    }
    assert!(open.is_empty(), "not closed: {open:?}");
    tags
}

fn draw(scene: &Scene, view: &ViewState) -> Vec<Tag> {
    parse(&svg(scene, view, &SvgOptions::default()).unwrap())
}

fn count(tags: &[Tag], name: &str) -> usize {
    tags.iter().filter(|tag| tag.name == name).count()
}

/// Every view, small, by name.
fn every_view(view: &ViewState) -> Vec<(&'static str, Scene)> {
    let style = |style| ViewState {
        shared: Shared {
            patches: Some(style),
            ..view.shared.clone()
        },
        ..view.clone()
    };
    let (outlined, tinted) = (style(PatchStyle::Outlined), style(PatchStyle::Tinted));
    let scenes = [
        ("matrix", samples::matrix(2, 3, 300, 2, view, Some([460.0, 420.0]))),
        ("matrix 3D", samples::matrix(2, 3, 300, 3, view, Some([460.0, 420.0]))),
        (
            "matrix of stacks",
            samples::encoder_decoder([3, 2], 3, 200, view, Some([640.0, 360.0])),
        ),
        ("matrix with absences", samples::hybrid(200, view, Some([520.0, 520.0]))),
        (
            "matrix with roles",
            samples::matrix_with_roles(200, view, [520.0, 400.0]),
        ),
        ("head", samples::single(0, 400, 2, true, view, [560.0, 440.0])),
        ("head of patches", samples::patches(2, &outlined, [480.0, 420.0])),
        ("head of tinted patches", samples::patches(3, &tinted, [480.0, 420.0])),
        ("head 3D", samples::single(3, 400, 3, true, view, [560.0, 440.0])),
        ("head by class", charts::classes(view, [460.0, 400.0])),
        ("head searched", charts::searched(view, [460.0, 400.0])),
        ("contours", large::contours(true, view, [460.0, 400.0])),
        ("transition", large::transition(0.4, view, [420.0, 380.0])),
        ("sentence", samples::sentence(17, view, None)),
        ("sentence window", large::window(300, 100, view, [480.0, 420.0])),
        ("overview", large::overview(3, 4, 13, view, Some([460.0, 460.0]))),
        ("image", samples::image(7, Flows::All, view, Some([420.0, 640.0]))),
        ("matrix hovered", samples::hovered_matrix(view, [460.0, 420.0])),
        ("head hovered", samples::hovered_token(view, [560.0, 440.0])),
        ("lines", samples::lines(view, [560.0, 380.0])),
        ("line grid", samples::line_grid(view, [620.0, 460.0])),
        ("cluster map", samples::cluster_map(view, [560.0, 440.0])),
        ("histogram", charts::histogram(view, [400.0, 300.0])),
        ("data map", charts::data_map(view, [440.0, 400.0])),
        ("trajectories", charts::trajectories(view, [440.0, 420.0])),
        ("pictograms", charts::pictograms(view, [560.0, 300.0])),
        ("head values", charts::head_values(false, view, [420.0, 360.0])),
        ("head effects", charts::head_values(true, view, [420.0, 360.0])),
        ("head patterns", charts::head_patterns(view, [420.0, 360.0])),
        ("aggregate", charts::aggregate(view, [380.0, 420.0])),
        ("beam", charts::beam(view, Some([620.0, 300.0]))),
        ("predictions", charts::predictions(view, None)),
        ("heat table", charts::heat_table(view, None)),
        ("dendrogram", charts::dendrogram(view, Some([600.0, 360.0]))),
        ("flow", charts::flow(view, None)),
        ("head map", heads::head_map(true, view, [640.0, 420.0])),
        ("rollout", heads::rollout(view, None)),
    ];
    scenes.map(|(name, scene)| (name, scene.unwrap())).into()
}

/// Draws an SVG file by another program, over its background: RGBA of the size of its layout.
fn rasterised(document: &str, background: Color) -> (u32, Vec<u8>) {
    let mut options = resvg::usvg::Options::default();
    options.fontdb_mut().load_font_data(dejavu::sans::regular().to_vec());
    options.fontdb_mut().load_font_data(dejavu::sans::bold().to_vec());
    options.fontdb_mut().set_sans_serif_family("DejaVu Sans");
    let tree = resvg::usvg::Tree::from_str(document, &options).unwrap();
    let size = tree.size().to_int_size();
    let mut pixels = resvg::tiny_skia::Pixmap::new(size.width(), size.height()).unwrap();
    let [r, g, b, a] = background.0;
    pixels.fill(resvg::tiny_skia::Color::from_rgba8(r, g, b, a));
    resvg::render(&tree, Default::default(), &mut pixels.as_mut());
    (size.width(), pixels.data().to_vec())
}

/// How far two pictures of a scene are apart. Rasterisers differ at every edge and in every glyph, to both sides: compared are
/// means over cells, in which that evens out and what is missing, elsewhere or of another color remains.
#[derive(Debug)]
struct Apart {
    /// Mean difference of a channel in cells of 10 x 10 pixels, of 255.
    mean: f64,
    /// Largest difference of a channel in cells of 40 x 20 pixels, about a word.
    worst: f64,
}

impl Apart {
    /// Seen of right files: a mean of up to 2.5, a worst of up to 11.7. Of wrong ones, each with a single mistake of those below:
    /// a worst of 14.6 and more (without a legend 15.1, without a title 41), whereas the mean may stay at 0.7.
    fn is_close(&self) -> bool {
        self.mean < 3.0 && self.worst < 13.0
    }
}

fn apart(width: usize, a: &[u8], b: &[u8]) -> Apart {
    let differences = |side: [usize; 2]| -> Vec<f64> {
        let cells = |rgba: &[u8]| -> Vec<[f64; 4]> {
            let columns = width.div_ceil(side[0]);
            let rows = (rgba.len() / 4 / width).div_ceil(side[1]);
            let mut sums = vec![[0.0; 4]; columns * rows];
            for (index, pixel) in rgba.chunks(4).enumerate() {
                let cell = &mut sums[index / width / side[1] * columns + index % width / side[0]];
                for channel in 0..3 {
                    cell[channel] += f64::from(pixel[channel]);
                }
                cell[3] += 1.0;
            }
            sums
        };
        let pairs = cells(a).into_iter().zip(cells(b));
        pairs
            .flat_map(|(a, b)| [0, 1, 2].map(|channel: usize| (a[channel] - b[channel]).abs() / a[3]))
            .collect()
    };
    let small = differences([10, 10]);
    Apart {
        mean: small.iter().sum::<f64>() / small.len() as f64,
        worst: differences([40, 20]).into_iter().fold(0.0, f64::max),
    }
}

/// The comparison notices what it is for: each of these mistakes is made in the file alone.
/// As WebGL and old OpenGL are: no storage buffers, so nothing is made on the device, and the drawing needs none.
#[test]
fn a_device_without_storage_buffers_is_refused_and_svg_works() {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    let webgl = wgpu::Limits::downlevel_webgl2_defaults().using_resolution(adapter.limits());
    let without = wgpu::Limits {
        max_storage_buffers_per_shader_stage: 0,
        ..wgpu::Limits::default()
    };
    for required_limits in [without, webgl] {
        let descriptor = wgpu::DeviceDescriptor {
            required_limits,
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let refused = Renderer::new(&device, &queue, wgpu::TextureFormat::Rgba8Unorm).map(|_| ());
        let error = refused.unwrap_err();
        assert!(
            matches!(error, Error::Unsupported { missing } if missing == "storage buffers in vertex shaders"),
            "{error}"
        );
        // The device reports nothing: an error that nobody hears ends the program.
        assert!(pollster::block_on(scope.pop()).is_none());
    }
    let view = ViewState::default();
    for (name, scene) in every_view(&view).into_iter().take(3) {
        assert!(!draw(&scene, &view).is_empty(), "{name}");
    }
}

#[test]
fn the_comparison_notices_what_is_missing_moved_or_miscoloured() {
    let mut headless = Headless::new().unwrap();
    let view = ViewState::default();
    let mut unnoticed = Vec::new();
    for (name, scene) in every_view(&view) {
        let ours = headless.render(&scene, &view, 1.0).unwrap();
        let mut mistaken = |what: &str, change: &dyn Fn(&mut Scene) -> bool| {
            let mut wrong = scene.clone();
            if change(&mut wrong) {
                let document = svg(&wrong, &view, &SvgOptions::default()).unwrap();
                let (width, theirs) = rasterised(&document, scene.background);
                let apart = apart(width as usize, &theirs, ours.rgba());
                if apart.is_close() {
                    unnoticed.push(format!("{name}, {what}: {apart:?}"));
                }
            }
        };
        // The first layer holds title, legend and caption.
        mistaken("without its title", &|wrong| {
            wrong.layers[0].labels.remove(0);
            true
        });
        mistaken("without its legend", &|wrong| {
            let is_legend = |label: &attn_render::scene::Label| label.text.starts_with("queries");
            let before = wrong.layers[0].labels.len();
            wrong.layers[0].labels.retain(|label| !is_legend(label));
            wrong.layers[0].labels.len() < before
        });
        mistaken("all points gone", &|wrong| {
            let count = wrong.layers.iter().map(|layer| layer.points.len()).sum::<usize>();
            wrong.layers.iter_mut().skip(1).for_each(|layer| layer.points.clear());
            count > 100
        });
        mistaken("all lines gone", &|wrong| {
            let curves = wrong.layers.iter().map(|layer| layer.curves.len()).sum::<usize>();
            wrong.layers.iter_mut().for_each(|layer| layer.curves.clear());
            curves > 10
        });
        mistaken("queries as keys", &|wrong| {
            let colors = view.colors();
            let mut swapped = 0;
            for layer in &mut wrong.layers {
                let count = layer.points.len();
                layer.points.update(0..count, |points| {
                    for point in points.iter_mut().filter(|point| point.color == colors.query) {
                        point.color = colors.key;
                        swapped += 1;
                    }
                });
            }
            swapped > 100
        });
    }
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}

#[test]
fn another_program_draws_every_file_as_we_draw_its_scene() {
    let mut headless = Headless::new().unwrap();
    let mut wrong = Vec::new();
    let keep = std::env::var_os("ATTN_KEEP_DRAWINGS").map(std::path::PathBuf::from);
    for theme in [Theme::Light, Theme::Dark] {
        let view = ViewState::from(Shared {
            theme,
            ..Shared::default()
        });
        for (name, scene) in every_view(&view) {
            let (width, theirs) = rasterised(&svg(&scene, &view, &SvgOptions::default()).unwrap(), scene.background);
            let ours = headless.render(&scene, &view, 1.0).unwrap();
            assert_eq!(width, ours.width(), "{name}");
            if let Some(folder) = &keep {
                let picture = attn_render::Image::new(width, ours.height(), theirs.clone()).unwrap();
                picture
                    .write_png(folder.join(format!("{name}-{theme:?}-svg.png")))
                    .unwrap();
                ours.write_png(folder.join(format!("{name}-{theme:?}-png.png")))
                    .unwrap();
            }
            let apart = apart(width as usize, &theirs, ours.rgba());
            if !apart.is_close() {
                wrong.push(format!("{name} {theme:?}: {apart:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_view_is_well_formed_and_has_all_its_text() {
    for theme in [Theme::Light, Theme::Dark] {
        let mut view = ViewState::from(Shared {
            theme,
            ..Shared::default()
        });
        let mut scenes = every_view(&view);
        scenes.push(("scripts", charts::scripts(&view, [460.0, 400.0]).unwrap()));
        for zoom in [1.0, 2.5] {
            view.stage.zoom = zoom;
            view.inside.zoom = zoom;
            for (_, scene) in &scenes {
                let tags = draw(scene, &view);
                let projection = Projection::new(scene, &view, scene.size);
                let cells: usize = scene
                    .drawn_layers()
                    .flat_map(|l| &l.rows)
                    .map(|row| row.cells.len())
                    .sum();
                let placed: usize = place_labels(scene, &projection).iter().map(Vec::len).sum();
                assert_eq!(count(&tags, "text"), placed + cells);
                assert!((tags[0].number("width") - scene.size[0]).abs() < 0.01, "two decimals");
                let curves = scene
                    .drawn_layers()
                    .flat_map(|layer| layer.curves.iter())
                    .filter(|curve| matches!(curve.path, Path::Cubic(_)))
                    .count();
                let cubic = tags
                    .iter()
                    .filter(|tag| tag.name == "path" && tag.get("d").contains('C'));
                assert_eq!(cubic.count(), curves);
                // What the cameras move out of sight is not in the file.
                let in_sight = |picture: &&attn_render::scene::Picture| {
                    let clip = projection.panels[usize::from(picture.panel)].clip;
                    clip.width() > 0.0 && clip.height() > 0.0
                };
                let pictures = || scene.layers.iter().flat_map(|layer| layer.pictures.iter());
                // A patch is a drawing within the drawing.
                let patches = count(&tags, "svg") - 1;
                assert_eq!(count(&tags, "use"), pictures().filter(in_sight).count() + patches);
                let as_patches = || {
                    let points = scene.layers.iter().flat_map(|layer| layer.points.iter());
                    points.filter(|point| point.is_patch())
                };
                assert!(patches == as_patches().count() || zoom > 1.0);
                let mut images: std::collections::BTreeSet<_> = pictures()
                    .map(|picture| std::sync::Arc::as_ptr(&picture.image))
                    .collect();
                let sheets = scene.layers.iter().filter_map(|layer| layer.patches.as_ref());
                images.extend(sheets.map(|patches| std::sync::Arc::as_ptr(&patches.sheet)));
                assert_eq!(count(&tags, "image"), images.len(), "the same pixels are embedded once");
            }
        }
    }
}

#[test]
fn points_are_where_the_raster_has_them() {
    let mut scene = Scene::new([120.0, 100.0], Color::hex(0x000000));
    let panel = scene.add_panel(Panel {
        bounds: Bounds {
            min: [-1.0; 3],
            max: [1.0; 3],
        },
        axes: Axes::Plane,
        point_radius: 3.0,
        title: "L0 H<1>".into(),
        ..Panel::page(Rect::new(20.0, 20.0, 60.0, 60.0), Motion::Inside)
    });
    let places = [[-0.8, 0.7], [0.5, 0.5], [0.0, -0.6], [0.7, -0.2]];
    let shapes = [Shape::Disc, Shape::Diamond, Shape::Square, Shape::Disc];
    let colors = [0xFF0000, 0x00FF00, 0x0000FF, 0xFFFF00].map(Color::hex);
    for i in 0..4 {
        let [x, y] = places[i];
        let point = Point::new(panel, [x, y, 0.0], colors[i], 0).shaped(shapes[i]);
        scene.layers[0].points.push(point);
    }
    // Neither hidden points nor what the panel cuts off are drawn.
    scene.layers[0]
        .points
        .push(Point::new(panel, [0.0; 3], colors[0], 0).hidden(true));
    scene.layers[0]
        .points
        .push(Point::new(panel, [3.0, 0.0, 0.0], colors[0], 0));
    let view = ViewState::default();
    let tags = draw(&scene, &view);
    let picture = Headless::new().unwrap().render(&scene, &view, 1.0).unwrap();
    let mut seen = 0;
    for tag in &tags {
        let at = match tag.name.as_str() {
            "circle" => [tag.number("cx"), tag.number("cy")],
            "rect" if tag.attributes.iter().any(|(_, value)| value == "#0000ff") => {
                let half = 0.5 * tag.number("width");
                assert!(
                    (2.0 * half - 2.0 * 0.886 * 3.0).abs() < 0.02,
                    "the square of a disc of radius 3"
                );
                [tag.number("x") + half, tag.number("y") + half]
            }
            "path" => {
                let numbers: Vec<f32> = tag.get("d")[1..]
                    .split(['l', ' '])
                    .filter_map(|n| n.parse().ok())
                    .collect();
                [numbers[0], numbers[1] + 1.25 * 3.0]
            }
            _ => continue,
        };
        let index = 4 * (at[1] as usize * 120 + at[0] as usize);
        let [r, g, b] = [0, 1, 2].map(|channel| picture.rgba()[index + channel]);
        assert_eq!(tag.get("fill"), format!("#{r:02x}{g:02x}{b:02x}"), "{tag:?}");
        seen += 1;
    }
    assert_eq!(seen, 4);
    assert_eq!(count(&tags, "clipPath"), 1);
    let title = tags.iter().find(|tag| tag.name == "title").unwrap();
    assert_eq!(title.text, "L0 H&lt;1&gt;");
}

#[test]
fn lines_and_frames_have_their_measures() {
    let mut scene = Scene::new([100.0, 100.0], Color::TRANSPARENT);
    let black = Color::hex(0x000000);
    scene.layers[0]
        .blocks
        .push(Block::filled(0, Rect::new(10.0, 10.0, 30.0, 20.0), black.alpha(0.5)).stroked(black, 2.0));
    scene.layers[0].edges.push(Edge {
        from: [0.0, 50.0, 0.0],
        to: [100.0, 50.0, 0.0],
        color: black,
        panel: 0,
        width: [3.0; 2],
        gap: [10.0, 20.0],
    });
    scene.layers[0].edges.push(Edge {
        from: [0.0, 70.0, 0.0],
        to: [10.0, 70.0, 0.0],
        color: black,
        panel: 0,
        width: [4.0, 0.0],
        gap: [0.0; 2],
    });
    scene.layers[0].curves.push(Curve {
        panel: 0,
        path: Path::Line(vec![[1.0, 2.0], [3.0, 4.5], [5.0, 6.0]]),
        color: black,
        width: 1.5,
    });
    let tags = draw(&scene, &ViewState::default());
    let rect = tags.iter().find(|tag| tag.name == "rect").unwrap();
    assert_eq!(
        ["x", "y", "width", "height", "stroke-width"].map(|name| rect.number(name)),
        [11.0, 11.0, 28.0, 18.0, 2.0],
        "the border lies inside; no ground without a background"
    );
    assert!((rect.number("fill-opacity") - 0.5).abs() < 0.003);
    let line = tags.iter().find(|tag| tag.name == "line").unwrap();
    assert_eq!(
        ["x1", "y1", "x2", "y2"].map(|name| line.number(name)),
        [10.0, 50.0, 80.0, 50.0]
    );
    let paths: Vec<&str> = tags
        .iter()
        .filter(|tag| tag.name == "path")
        .map(|tag| tag.get("d"))
        .collect();
    assert_eq!(paths, ["M 1 2L 3 4.5 5 6", "M 0 72L 10 70L 10 70L 0 68z"]);
}

#[test]
fn thinned_points_are_even_and_the_file_says_so() {
    let mut scene = Scene::new([200.0, 100.0], Color::hex(0xFFFFFF));
    let colors = [Color::hex(0x111111), Color::hex(0x222222)];
    for i in 0..10_000_u16 {
        let at = [f32::from(i % 200) + 0.5, f32::from(i / 200) * 2.0 + 1.0, 0.0];
        // Alternating kinds, as views draw queries and keys.
        scene.layers[0]
            .points
            .push(Point::new(0, at, colors[usize::from(i % 2)], i.into()));
    }
    let options = SvgOptions {
        max_points: 1_000,
        ..SvgOptions::default()
    };
    let text = svg(&scene, &ViewState::default(), &options).unwrap();
    assert!(
        text.contains("<desc>1000 of 10000 points are drawn"),
        "{}",
        &text[..400]
    );
    let tags = parse(&text);
    assert_eq!(count(&tags, "circle"), 1_000);
    let share = |test: &dyn Fn(&Tag) -> bool| tags.iter().filter(|tag| tag.name == "circle" && test(tag)).count();
    // Halves of 1,000 drawn without regard to kind or place: a binomial's standard deviation is 16.
    let (kind, left) = (
        share(&|tag| tag.get("fill") == "#111111"),
        share(&|tag| tag.number("cx") < 100.0),
    );
    assert!(kind.abs_diff(500) < 65 && left.abs_diff(500) < 65, "{kind} {left}");
    assert_eq!(text, svg(&scene, &ViewState::default(), &options).unwrap());
    assert!(text.contains(">1000 of 10000 points are drawn"), "the page says it too");
    // Marks that are no data are whole, and so is what is highlighted among dimmed points.
    let points = scene.layers[0].points.to_vec();
    let changed = points.into_iter().map(|mut point| {
        let mark = point.id % 100 == 0;
        let dimmed = !mark && point.id % 10 != 5;
        if mark {
            point.id = Point::UNPICKABLE;
        }
        if !dimmed {
            point.color = Color::hex(0x00FF00);
        }
        point.dimmed(dimmed)
    });
    scene.layers[0].points = changed.collect::<Vec<_>>().into();
    let text = svg(&scene, &ViewState::default(), &options).unwrap();
    let tags = parse(&text);
    let whole = tags
        .iter()
        .filter(|tag| tag.name == "circle" && tag.get("fill") == "#00ff00")
        .count();
    assert_eq!(whole, 1_100, "{}", count(&tags, "circle"));
}

#[test]
fn odd_scenes_are_drawings_too() {
    let mut scene = Scene::new([50.0, 50.0], Color::TRANSPARENT);
    scene.layers[0]
        .points
        .push(Point::new(0, [f32::NAN; 3], Color::default(), 0));
    scene.layers[0]
        .points
        .push(Point::new(9, [0.0; 3], Color::default(), 0));
    scene.layers[0].blocks.push(Block::filled(
        0,
        Rect::new(0.0, 0.0, f32::INFINITY, f32::NAN),
        Color::hex(0),
    ));
    scene.layers[0].curves.push(Curve {
        panel: 7,
        path: Path::Line(vec![]),
        color: Color::default(),
        width: f32::NAN,
    });
    scene.panels[0].rect = Rect::default();
    assert_eq!(count(&draw(&scene, &ViewState::default()), "circle"), 0);
    scene.panels.clear();
    draw(&scene, &ViewState::default());
    for size in [[0.0, 10.0], [f32::NAN, 1.0], [1e9, 1.0]] {
        let error = svg(
            &Scene::new(size, Color::default()),
            &ViewState::default(),
            &SvgOptions::default(),
        );
        assert!(matches!(error, Err(Error::Shape { .. })));
    }
}

#[test]
fn families_of_the_host_are_named_and_cannot_break_the_file() {
    let options = SvgOptions {
        families: vec!["Noto Sans CJK JP".into(), "a\"/><script>'".into()],
        ..SvgOptions::default()
    };
    let scene = Scene::new([50.0, 50.0], Color::default());
    let tags = parse(&svg(&scene, &ViewState::default(), &options).unwrap());
    let named = tags[0].get("font-family");
    assert_eq!(named, "DejaVu Sans, 'Noto Sans CJK JP', 'ascript', Verdana, sans-serif");
}

#[test]
fn another_program_sets_other_scripts_from_the_named_family() {
    let path = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc";
    let Ok(font) = std::fs::read(path) else {
        eprintln!("not tested: {path} is not installed");
        return;
    };
    let mut scene = Scene::new([120.0, 30.0], Color::hex(0xFFFFFF));
    scene.layers[0].labels.push(attn_render::scene::Label::new(
        0,
        [5.0, 5.0],
        "世界",
        16.0,
        Color::hex(0),
    ));
    let options = SvgOptions {
        families: vec!["Noto Sans CJK JP".into()],
        ..SvgOptions::default()
    };
    let text = svg(&scene, &ViewState::default(), &options).unwrap();
    let mut reader = resvg::usvg::Options::default();
    reader.fontdb_mut().load_font_data(dejavu::sans::regular().to_vec());
    reader.fontdb_mut().load_font_data(font);
    let tree = resvg::usvg::Tree::from_str(&text, &reader).unwrap();
    let mut pixels = resvg::tiny_skia::Pixmap::new(120, 30).unwrap();
    resvg::render(&tree, Default::default(), &mut pixels.as_mut());
    let mut headless = Headless::new().unwrap();
    headless.add_font(std::fs::read(path).unwrap());
    let ours = headless.render(&scene, &ViewState::default(), 1.0).unwrap();
    let ink = |rgba: &[u8]| rgba.chunks(4).map(|p| f64::from(255 - p[0])).sum::<f64>();
    let (ours, theirs) = (ink(ours.rgba()), ink(pixels.data()));
    assert!(
        theirs > 5_000.0 && (ours / theirs - 1.0).abs() < 0.15,
        "{ours} {theirs}"
    );
}
