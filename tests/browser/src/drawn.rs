//! Images by the renderer, drawings, tables.

use std::error::Error;

use attn_render::{
    Headless, Image, Plot, Scene, SvgOptions, Theme, ViewState, plots::Flows, scene::PatchStyle, state::Shared, svg,
};
use attn_sdk::Study;

use crate::{Findings, samples};

/// Images that need every shader: points and sums of points in the plane and in space, patches, edges, curves, blocks,
/// pictures, text.
pub(crate) async fn images(study: &Study, findings: &mut Findings) -> Result<Vec<(String, Image)>, Box<dyn Error>> {
    let light = ViewState::default();
    let dark = ViewState::from(Shared {
        theme: Theme::Dark,
        ..Shared::default()
    });
    let patches = ViewState::from(Shared {
        patches: Some(PatchStyle::Outlined),
        ..Shared::default()
    });
    let size = [480.0, 400.0];
    let head = study.ranking()[0];
    let made_up = [
        (
            "matrix",
            samples::matrix(3, 4, 300, 2, &light, Some([480.0, 480.0]))?,
            &light,
        ),
        ("matrix-3d", samples::matrix(2, 3, 300, 3, &dark, Some(size))?, &dark),
        ("head", samples::single(0, 400, 2, true, &dark, size)?, &dark),
        ("crowd", samples::single(4, 30_000, 2, false, &light, size)?, &light),
        ("crowd-3d", samples::single(0, 30_000, 3, false, &dark, size)?, &dark),
        ("patches", samples::patches(2, &patches, size)?, &patches),
        ("patches-3d", samples::patches(3, &patches, size)?, &patches),
        (
            "image",
            samples::image(7, Flows::Strongest, &light, Some(size))?,
            &light,
        ),
        ("lines", samples::lines(&light, size)?, &light),
    ];
    for (name, scene, view) in &made_up[..3] {
        drawing(findings, name, scene, view)?;
    }
    let matrix = study.matrix(&light)?;
    let sentence = study.sentence(head, 0)?;
    let table = sentence.table(&light)?.to_csv();
    let weights = table.lines().filter_map(|line| line.rsplit(',').next()?.parse().ok());
    findings
        .rounded
        .insert("weights of a sentence".into(), weights.collect());
    let of_model = [
        ("study", scene(&matrix, &light)?, &light),
        ("study-sentence", scene(&sentence, &light)?, &light),
    ];

    let mut device = Headless::open().await?;
    findings.adapters.push(device.adapter().to_owned());
    let mut images = Vec::new();
    for (name, scene, view) in made_up.into_iter().chain(of_model) {
        let image = device.render_async(&scene, view, 1.0).await?;
        images.push((name.to_owned(), image));
    }
    Ok(images)
}

fn scene(plot: &dyn Plot, view: &ViewState) -> Result<Scene, attn_render::Error> {
    plot.scene(view, plot.natural_size())
}

fn drawing(findings: &mut Findings, name: &str, scene: &Scene, view: &ViewState) -> Result<(), attn_render::Error> {
    let text = svg(scene, view, &SvgOptions::default())?;
    findings.exact.insert(format!("{name}.svg"), shapes(&text));
    Ok(())
}

/// What is drawn, without its numbers and in no order: sines differ in the last bits, and with them the order of points.
fn shapes(text: &str) -> String {
    let without_numbers = |line: &str| {
        let is_number = |letter: char| letter.is_ascii_digit() || matches!(letter, '.' | '-' | '#');
        line.split(is_number)
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("0")
    };
    let mut lines: Vec<String> = text.lines().map(without_numbers).collect();
    lines.sort();
    lines.join("\n")
}
