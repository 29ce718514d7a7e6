//! Every view with made-up data, in both themes, as PNG files: `cargo run --example gallery -- FOLDER`.

#![allow(clippy::print_stdout, reason = "a program for people")]

mod charts;
mod heads;
mod large;
mod samples;
mod training;

use std::{error::Error, path::PathBuf, time::Instant};

use attn_render::{
    Headless, Pick, Theme, ViewState,
    color::Palette,
    plots::Flows,
    scene::PatchStyle,
    state::{ColorChoice, Shared},
};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "gallery".into()));
    std::fs::create_dir_all(&folder)?;
    let mut headless = Headless::new()?;
    println!("{}", headless.adapter());
    for theme in [Theme::Light, Theme::Dark] {
        let plain = ViewState::from(Shared {
            theme,
            ..Shared::default()
        });
        let by_value = ViewState {
            shared: Shared {
                color: ColorChoice::values("position"),
                ..plain.shared.clone()
            },
            ..plain.clone()
        };
        let original = ViewState {
            shared: Shared {
                palette: Palette::Original,
                ..plain.shared.clone()
            },
            ..plain.clone()
        };
        let mut hidden = plain.clone();
        hidden.hidden = [3, 25].into();
        let hover = ViewState {
            selection: Some(Pick { head: None, id: 8 }),
            ..plain.clone()
        };
        let searched = ViewState {
            shared: Shared {
                search: "storm".into(),
                ..plain.shared.clone()
            },
            ..plain.clone()
        };
        let pictured = ViewState {
            shared: Shared {
                patches: Some(PatchStyle::Outlined),
                ..plain.shared.clone()
            },
            ..plain.clone()
        };
        let size = [1000.0, 760.0];
        let scenes = [
            ("matrix-4x4", samples::matrix(4, 4, 1_000, 2, &plain, None)?, &plain),
            (
                "matrix-12x12",
                samples::matrix(12, 12, 10_112, 2, &plain, None)?,
                &plain,
            ),
            (
                "matrix-12x12-wide",
                samples::matrix(12, 12, 10_112, 2, &plain, Some([1600.0, 1000.0]))?,
                &plain,
            ),
            (
                "matrix-value",
                samples::matrix(6, 8, 3_000, 2, &by_value, None)?,
                &by_value,
            ),
            (
                "matrix-original",
                samples::matrix(3, 5, 500, 2, &original, None)?,
                &original,
            ),
            ("matrix-absent", samples::hybrid(1_000, &plain, None)?, &plain),
            (
                "matrix-roles",
                samples::matrix_with_roles(1_000, &plain, [520.0, 400.0])?,
                &plain,
            ),
            (
                "matrix-stacks",
                samples::encoder_decoder([6, 6], 8, 1_000, &plain, None)?,
                &plain,
            ),
            (
                "matrix-stacks-wide",
                samples::encoder_decoder([6, 6], 8, 1_000, &plain, Some([1850.0, 900.0]))?,
                &plain,
            ),
            ("importance", training::importance(&plain)?, &plain),
            ("change", training::change(&plain)?, &plain),
            ("removal", training::removal(&plain)?, &plain),
            ("layers", training::layers(&plain)?, &plain),
            ("agreement", training::agreement(&plain)?, &plain),
            ("flips", training::flips(&plain)?, &plain),
            ("lines", samples::lines(&plain, [760.0, 480.0])?, &plain),
            ("line-grid", samples::line_grid(&plain, [860.0, 620.0])?, &plain),
            ("dendrogram", charts::dendrogram(&plain, None)?, &plain),
            ("cluster-map", samples::cluster_map(&plain, [760.0, 600.0])?, &plain),
            ("matrix-3d", samples::matrix(3, 4, 800, 3, &plain, None)?, &plain),
            (
                "head-spiral",
                samples::single(0, 2_000, 2, false, &plain, size)?,
                &plain,
            ),
            (
                "head-value",
                samples::single(2, 800, 2, false, &by_value, size)?,
                &by_value,
            ),
            (
                "head-sequence",
                samples::single(0, 2_000, 2, true, &plain, size)?,
                &plain,
            ),
            (
                "head-10000",
                samples::single(4, 10_112, 2, false, &plain, size)?,
                &plain,
            ),
            ("head-patches", samples::patches(2, &pictured, size)?, &pictured),
            ("crowd", samples::single(2, 60_000, 2, false, &plain, size)?, &plain),
            (
                "crowd-searched",
                samples::single(2, 60_000, 2, false, &searched, size)?,
                &searched,
            ),
            (
                "head-10000-searched",
                samples::single(4, 10_112, 2, false, &searched, size)?,
                &searched,
            ),
            ("crowd-3d", samples::single(0, 60_000, 3, false, &plain, size)?, &plain),
            (
                "crowd-3d-searched",
                samples::single(0, 60_000, 3, false, &searched, size)?,
                &searched,
            ),
            ("head-3d", samples::single(0, 2_000, 3, false, &plain, size)?, &plain),
            (
                "head-3d-sequence",
                samples::single(3, 2_000, 3, true, &plain, size)?,
                &plain,
            ),
            ("sentence", samples::sentence(17, &plain, None)?, &plain),
            ("sentence-hidden", samples::sentence(17, &hidden, None)?, &hidden),
            ("sentence-hover", samples::sentence(17, &hover, None)?, &hover),
            ("sentence-60", samples::sentence(60, &plain, None)?, &plain),
            ("sentence-300", samples::sentence(300, &plain, None)?, &plain),
            ("matrix-hover", samples::hovered_matrix(&plain, [560.0, 500.0])?, &plain),
            ("head-hover", samples::hovered_token(&plain, [640.0, 520.0])?, &plain),
            ("scripts", charts::scripts(&plain, [640.0, 560.0])?, &plain),
            ("head-classes", charts::classes(&plain, [640.0, 560.0])?, &plain),
            ("head-searched", charts::searched(&plain, [640.0, 560.0])?, &plain),
            ("histogram", charts::histogram(&plain, [560.0, 400.0])?, &plain),
            ("data-map", charts::data_map(&plain, [640.0, 560.0])?, &plain),
            ("pictograms", charts::pictograms(&plain, [640.0, 320.0])?, &plain),
            ("trajectories", charts::trajectories(&plain, [640.0, 560.0])?, &plain),
            (
                "head-values",
                charts::head_values(false, &plain, [560.0, 460.0])?,
                &plain,
            ),
            (
                "head-effects",
                charts::head_values(true, &plain, [560.0, 460.0])?,
                &plain,
            ),
            ("head-patterns", charts::head_patterns(&plain, [560.0, 460.0])?, &plain),
            ("aggregate", charts::aggregate(&plain, [520.0, 560.0])?, &plain),
            ("overview", large::overview(6, 8, 15, &plain, None)?, &plain),
            ("overview-400", large::overview(12, 12, 400, &plain, None)?, &plain),
            (
                "sentence-window",
                large::window(4_000, 1_500, &plain, [640.0, 720.0])?,
                &plain,
            ),
            ("contours", large::contours(false, &plain, [640.0, 560.0])?, &plain),
            (
                "contours-classes",
                large::contours(true, &plain, [640.0, 560.0])?,
                &plain,
            ),
            ("transition-0", large::transition(0.0, &plain, [420.0, 380.0])?, &plain),
            ("transition-3", large::transition(0.3, &plain, [420.0, 380.0])?, &plain),
            ("transition-5", large::transition(0.5, &plain, [420.0, 380.0])?, &plain),
            ("transition-7", large::transition(0.7, &plain, [420.0, 380.0])?, &plain),
            ("transition-10", large::transition(1.0, &plain, [420.0, 380.0])?, &plain),
            ("beam", charts::beam(&plain, None)?, &plain),
            ("predictions", charts::predictions(&plain, None)?, &plain),
            ("heat-table", charts::heat_table(&plain, None)?, &plain),
            ("head-map", heads::head_map(false, &plain, [720.0, 440.0])?, &plain),
            ("rollout", heads::rollout(&hover, None)?, &hover),
            ("flow", charts::flow(&plain, None)?, &plain),
            ("image", samples::image(7, Flows::Strongest, &plain, None)?, &plain),
            ("image-all", samples::image(14, Flows::All, &plain, None)?, &plain),
        ];
        for (name, scene, view) in scenes {
            let start = Instant::now();
            let picture = headless.render(&scene, view, 1.0)?;
            let (first, stats) = (start.elapsed(), headless.stats());
            let start = Instant::now();
            headless.draw_frame(&scene, view, 1.0)?;
            println!(
                "{name}: first frame {first:.0?}, next {:.0?}, {stats:?}",
                start.elapsed()
            );
            let theme = if theme == Theme::Dark { "dark" } else { "light" };
            picture.write_png(folder.join(format!("{name}-{theme}.png")))?;
        }
    }
    Ok(())
}
