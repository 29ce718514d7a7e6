//! Every view in both themes against a reviewed image.
//!
//! `UPDATE_SNAPSHOTS=1` writes the pictures anew. Rasterisers differ in the last bit of an edge: compared are the
//! mean difference of the channels and the share of pixels that differ visibly.

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
#[path = "../examples/gallery/training.rs"]
mod training;

use std::{fs, io::BufReader, path::PathBuf};

use attn_render::{
    Error, Headless, Image, Interaction, Pick, Scene, Theme, ViewState,
    plots::{Flows, kit::frame_marked},
    scene::PatchStyle,
    state::{ColorChoice, Shared},
};

/// Mean difference of a channel, of 255.
const MEAN: f64 = 0.6;
/// Share of pixels with a channel that differs by more than 32.
const VISIBLE: f64 = 0.004;

fn check(name: &str, view: &ViewState, scene: impl Fn(&ViewState) -> Result<Scene, Error>) {
    let headless = Headless::new().unwrap_or_else(|error| panic!("{error}"));
    check_with(headless, name, view, scene);
}

fn check_with(
    mut headless: Headless,
    name: &str,
    view: &ViewState,
    scene: impl Fn(&ViewState) -> Result<Scene, Error>,
) {
    for (theme, suffix) in [(Theme::Light, "light"), (Theme::Dark, "dark")] {
        let view = ViewState {
            shared: Shared {
                theme,
                ..view.shared.clone()
            },
            ..view.clone()
        };
        let picture = headless.render(&scene(&view).unwrap(), &view, 1.0).unwrap();
        assert!(picture.width() <= 640);
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/{name}-{suffix}.png"));
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            picture.write_png(&path).unwrap();
            continue;
        }
        let expected = read(&path);
        assert_eq!(
            (picture.width(), picture.height()),
            (expected.width(), expected.height()),
            "{name}"
        );
        let differences = || picture.rgba().iter().zip(expected.rgba()).map(|(a, b)| a.abs_diff(*b));
        let mean = differences().map(f64::from).sum::<f64>() / picture.rgba().len() as f64;
        let pixels: Vec<u8> = differences().collect();
        let visible = pixels.chunks(4).filter(|pixel| pixel.iter().any(|d| *d > 32)).count();
        let visible = visible as f64 / (pixels.len() / 4) as f64;
        if mean > MEAN || visible > VISIBLE {
            let found = path.with_extension("found.png");
            picture.write_png(&found).unwrap();
            panic!("{name} ({suffix}): mean difference {mean:.3}, {visible:.4} of the pixels differ; see {found:?}");
        }
    }
}

fn read(path: &PathBuf) -> Image {
    let file = fs::File::open(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let mut reader = png::Decoder::new(BufReader::new(file)).read_info().unwrap();
    let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut rgb).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgb, "snapshots are opaque");
    let rgba = rgb
        .chunks(3)
        .flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255])
        .collect();
    Image::new(info.width, info.height, rgba).unwrap()
}

#[test]
fn matrix() {
    check("matrix", &ViewState::default(), |view| {
        samples::matrix(3, 4, 300, 2, view, Some([480.0, 480.0]))
    });
}

#[test]
fn matrix_of_an_encoder_decoder() {
    check("matrix-stacks", &ViewState::default(), |view| {
        samples::encoder_decoder([3, 2], 3, 200, view, Some([640.0, 360.0]))
    });
}

#[test]
fn matrix_with_places_without_a_head() {
    check("matrix-absent", &ViewState::default(), |view| {
        samples::hybrid(200, view, Some([520.0, 520.0]))
    });
}

#[test]
fn matrix_that_names_roles() {
    check("matrix-roles", &ViewState::default(), |view| {
        samples::matrix_with_roles(200, view, [520.0, 400.0])
    });
}

#[test]
fn matrix_by_value() {
    let view = ViewState::from(Shared {
        color: ColorChoice::values("position"),
        ..Shared::default()
    });
    check("matrix-value", &view, |view| {
        samples::matrix(2, 3, 300, 2, view, Some([460.0, 420.0]))
    });
}

#[test]
fn matrix_3d() {
    check("matrix-3d", &ViewState::default(), |view| {
        samples::matrix(2, 3, 300, 3, view, Some([460.0, 420.0]))
    });
}

#[test]
fn matrix_zoomed() {
    let mut view = ViewState::default();
    view.stage.zoom_at([0.3, 0.4], 2.5);
    check("matrix-zoomed", &view, |view| {
        samples::matrix(3, 4, 300, 2, view, Some([480.0, 480.0]))
    });
}

#[test]
fn head() {
    check("head", &ViewState::default(), |view| {
        samples::single(0, 400, 2, false, view, [560.0, 440.0])
    });
}

#[test]
fn head_sequence() {
    check("head-sequence", &ViewState::default(), |view| {
        samples::single(0, 400, 2, true, view, [560.0, 440.0])
    });
}

#[test]
fn head_patches() {
    for (name, style, dims) in [
        ("head-patches", PatchStyle::Outlined, 2),
        ("head-patches-tinted", PatchStyle::Tinted, 2),
        ("head-patches-3d", PatchStyle::Plain, 3),
    ] {
        let view = ViewState::from(Shared {
            patches: Some(style),
            ..Shared::default()
        });
        check(name, &view, |view| samples::patches(dims, view, [480.0, 420.0]));
    }
}

#[test]
fn head_3d_sequence() {
    check("head-3d-sequence", &ViewState::default(), |view| {
        samples::single(3, 400, 3, true, view, [560.0, 440.0])
    });
}

#[test]
fn sentence() {
    check("sentence", &ViewState::default(), |view| {
        samples::sentence(11, view, Some([420.0, 380.0]))
    });
}

#[test]
fn sentence_hidden_and_hovered() {
    let selection = Some(Pick { head: None, id: 8 });
    let view = ViewState {
        selection,
        hidden: [3, 14].into(),
        ..ViewState::default()
    };
    check("sentence-hover", &view, |view| {
        samples::sentence(11, view, Some([420.0, 380.0]))
    });
}

#[test]
fn image() {
    check("image", &ViewState::default(), |view| {
        samples::image(7, Flows::Strongest, view, Some([640.0, 460.0]))
    });
}

#[test]
fn image_all_flows() {
    check("image-all", &ViewState::default(), |view| {
        samples::image(7, Flows::All, view, Some([420.0, 640.0]))
    });
}

#[test]
fn matrix_hover() {
    check("matrix-hover", &ViewState::default(), |view| {
        samples::hovered_matrix(view, [460.0, 420.0])
    });
}

#[test]
fn head_hover() {
    check("head-hover", &ViewState::default(), |view| {
        samples::hovered_token(view, [560.0, 440.0])
    });
}

#[test]
fn head_classes() {
    check("head-classes", &ViewState::default(), |view| {
        charts::classes(view, [460.0, 400.0])
    });
}

#[test]
fn head_classes_last_page() {
    let view = ViewState::from(Shared {
        legend_page: 2,
        ..Shared::default()
    });
    // The keyboard is at its second class.
    let keyboard = Interaction {
        legend_mark: Some(2),
        ..Interaction::default()
    };
    check("head-classes-page", &view, |view| {
        let mut scene = charts::classes(view, [460.0, 400.0])?;
        frame_marked(&mut scene, &keyboard, &view.colors());
        Ok(scene)
    });
}

#[test]
fn words_of_many_scripts() {
    let mut headless = Headless::new().unwrap();
    for font in [
        "opentype/noto/NotoSansCJK-Regular.ttc",
        "truetype/noto/NotoSansDevanagari-Regular.ttf",
        "truetype/noto/NotoColorEmoji.ttf",
    ] {
        let Ok(bytes) = fs::read(PathBuf::from("/usr/share/fonts").join(font)) else {
            eprintln!("not tested: {font} is not installed");
            return;
        };
        headless.add_font(bytes);
    }
    check_with(headless, "scripts", &ViewState::default(), |view| {
        charts::scripts(view, [460.0, 400.0])
    });
}

#[test]
fn head_searched() {
    check("head-searched", &ViewState::default(), |view| {
        charts::searched(view, [460.0, 400.0])
    });
}

#[test]
fn crowd() {
    check("crowd", &ViewState::default(), |view| {
        samples::single(4, 30_000, 2, false, view, [460.0, 400.0])
    });
}

#[test]
fn crowd_searched() {
    let view = ViewState::from(Shared {
        search: "storm".into(),
        ..Shared::default()
    });
    check("crowd-searched", &view, |view| {
        samples::single(4, 30_000, 2, false, view, [460.0, 400.0])
    });
}

#[test]
fn crowd_3d() {
    check("crowd-3d", &ViewState::default(), |view| {
        samples::single(0, 30_000, 3, false, view, [460.0, 400.0])
    });
}

#[test]
fn histogram() {
    check("histogram", &ViewState::default(), |view| {
        charts::histogram(view, [400.0, 300.0])
    });
}

#[test]
fn data_map() {
    check("data-map", &ViewState::default(), |view| {
        charts::data_map(view, [440.0, 400.0])
    });
}

#[test]
fn trajectories() {
    check("trajectories", &ViewState::default(), |view| {
        charts::trajectories(view, [440.0, 420.0])
    });
}

#[test]
fn pictograms() {
    let view = ViewState {
        selection: Some(Pick { head: None, id: 147 }),
        ..ViewState::default()
    };
    check("pictograms", &view, |view| charts::pictograms(view, [560.0, 300.0]));
}

#[test]
fn head_values() {
    check("head-values", &ViewState::default(), |view| {
        charts::head_values(false, view, [420.0, 360.0])
    });
}

#[test]
fn head_effects() {
    check("head-effects", &ViewState::default(), |view| {
        charts::head_values(true, view, [420.0, 360.0])
    });
}

#[test]
fn head_patterns() {
    check("head-patterns", &ViewState::default(), |view| {
        charts::head_patterns(view, [420.0, 360.0])
    });
}

#[test]
fn aggregate() {
    check("aggregate", &ViewState::default(), |view| {
        charts::aggregate(view, [380.0, 420.0])
    });
}

#[test]
fn beam() {
    check("beam", &ViewState::default(), |view| {
        charts::beam(view, Some([620.0, 300.0]))
    });
}

#[test]
fn predictions() {
    check("predictions", &ViewState::default(), |view| {
        charts::predictions(view, None)
    });
}

#[test]
fn heat_table() {
    check("heat-table", &ViewState::default(), |view| {
        charts::heat_table(view, None)
    });
}

#[test]
fn plots_of_a_training() {
    let plain = ViewState::default();
    check("importance", &plain, training::importance);
    check("change", &plain, training::change);
    check("removal", &plain, training::removal);
    check("layers", &plain, training::layers);
    check("agreement", &plain, training::agreement);
    check("flips", &plain, training::flips);
}

#[test]
fn flow() {
    check("flow", &ViewState::default(), |view| charts::flow(view, None));
}

#[test]
fn lines() {
    check("lines", &ViewState::default(), |view| {
        samples::lines(view, [560.0, 380.0])
    });
}

#[test]
fn line_grid() {
    check("line-grid", &ViewState::default(), |view| {
        samples::line_grid(view, [620.0, 460.0])
    });
}

#[test]
fn cluster_map() {
    check("cluster-map", &ViewState::default(), |view| {
        samples::cluster_map(view, [560.0, 440.0])
    });
}

#[test]
fn head_map() {
    for (name, marked) in [("head-map", false), ("head-map-marked", true)] {
        check(name, &ViewState::default(), |view| {
            heads::head_map(marked, view, [640.0, 420.0])
        });
    }
}

#[test]
fn rollout() {
    check("rollout", &ViewState::default(), |view| heads::rollout(view, None));
    let chosen = ViewState {
        selection: Some(Pick {
            head: None,
            id: 2 * 9 + 5,
        }),
        ..ViewState::default()
    };
    check("rollout-chosen", &chosen, |view| heads::rollout(view, None));
}

#[test]
fn overview() {
    check("overview", &ViewState::default(), |view| {
        large::overview(3, 4, 13, view, Some([460.0, 460.0]))
    });
}

#[test]
fn sentence_window() {
    check("sentence-window", &ViewState::default(), |view| {
        large::window(300, 100, view, [480.0, 420.0])
    });
}

#[test]
fn contours() {
    check("contours", &ViewState::default(), |view| {
        large::contours(false, view, [460.0, 400.0])
    });
}

#[test]
fn contours_of_classes() {
    check("contours-classes", &ViewState::default(), |view| {
        large::contours(true, view, [460.0, 400.0])
    });
}

#[test]
fn transition() {
    check("transition", &ViewState::default(), |view| {
        large::transition(0.5, view, [420.0, 380.0])
    });
}

#[test]
fn dendrogram() {
    // The union of adjectives is chosen.
    let view = ViewState {
        selection: Some(Pick { head: None, id: 11 }),
        ..ViewState::default()
    };
    check("dendrogram", &view, |view| {
        charts::dendrogram(view, Some([600.0, 360.0]))
    });
}
