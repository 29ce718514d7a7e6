//! Checkpoints of a training run: plots per checkpoint and a table of movements as files; a slider in the window.

use std::{error::Error, fs, path::Path};

use attn_sdk::{
    Checkpoints, HeadMovement,
    core::{HeadId, files::write_atomically},
    render::{Exporter, Plot},
};
use eframe::egui::{Slider, Ui};

use examples_common::Terminal;

use crate::{
    options::Options,
    pictures::{self, HEADS, file_name, named},
    side::Side,
    source::Read,
    weighting,
};

/// Writes matrix-checkpoint-N.png, head-L-H-checkpoint-N.png for the chosen heads or those that move most, checkpoints.md and
/// checkpoints.json. Writes all model outputs for the last checkpoint.
pub(crate) fn write(read: Read, options: &Options, out: &Path, terminal: &Terminal) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let captures = std::iter::once(read.capture).chain(read.later).collect();
    let mut checkpoints = Checkpoints::project(captures, &options.atlas(), terminal)?;
    read.columns
        .iter()
        .try_for_each(|column| checkpoints.add_column(column))?;
    checkpoints.set_filter(&options.filter())?;
    let Some(mut last) = checkpoints.studies().last().cloned() else {
        return Ok(());
    };
    let heads = match options.head.is_empty() {
        true => most_moved(&checkpoints),
        false => named(&last, "--head", &options.head)?,
    };
    let view = options.view();
    let mut exporter = Exporter::default();
    let mut draw = |name: String, plot: &dyn Plot| -> Result<(), Box<dyn Error>> {
        for extension in ["png"].into_iter().chain(options.svg.then_some("svg")) {
            exporter.write(plot, &view, out.join(format!("{name}.{extension}")))?;
        }
        Ok(())
    };
    let sequence = pictures::sequence(&last, options)?;
    for (index, study) in checkpoints.studies().iter().enumerate() {
        draw(format!("matrix-checkpoint-{}", index + 1), &study.matrix(&view)?)?;
        for &head in &heads {
            let name = format!("head-{}-checkpoint-{}", file_name(study, head), index + 1);
            draw(name, &study.head(head, Some(sequence), &view)?)?;
        }
    }
    write_atomically(&out.join("checkpoints.md"), checkpoints.markdown().as_bytes())?;
    write_atomically(
        &out.join("checkpoints.json"),
        &serde_json::to_vec(checkpoints.movements())?,
    )?;
    if options.csv {
        write_atomically(&out.join("checkpoints.csv"), checkpoints.table().to_csv().as_bytes())?;
    }
    println!(
        "{}: matrix-checkpoint-1.png to matrix-checkpoint-{}.png, checkpoints.md, checkpoints.json",
        out.display(),
        checkpoints.studies().len()
    );
    last.set_weighting(weighting::of(&options.weighting, read.capturer.as_ref())?);
    pictures::write(&last, read.capturer.as_ref(), options, &heads, out, terminal)
}

/// The heads whose attention changes most over all checkpoints.
fn most_moved(checkpoints: &Checkpoints) -> Vec<HeadId> {
    let total = |head: &HeadMovement| head.attention.iter().sum::<f32>();
    let mut heads: Vec<&HeadMovement> = checkpoints.movements().iter().collect();
    heads.sort_by(|a, b| total(b).total_cmp(&total(a)));
    heads.into_iter().take(HEADS).map(|head| head.head).collect()
}

/// The slider over checkpoints; between two, points are interpolated.
pub(crate) fn slider(ui: &mut Ui, side: &mut Side) {
    let Some(checkpoints) = &side.checkpoints else { return };
    let last = checkpoints.studies().len().saturating_sub(1);
    let name = side
        .study
        .as_ref()
        .map_or("", |study| &study.capture().model().name)
        .to_owned();
    let mut at = side.checkpoint + 1.0;
    ui.horizontal(|ui| {
        ui.label("Checkpoint");
        ui.spacing_mut().slider_width = (0.4 * ui.available_width()).max(120.0);
        let shown = ui.add(Slider::new(&mut at, 1.0..=last as f32 + 1.0).fixed_decimals(1));
        ui.label(name);
        let at = at - 1.0;
        if shown.changed() {
            // The slider snaps to checkpoints.
            let nearest = at.round();
            side.go_to_checkpoint(if (at - nearest).abs() < 0.08 { nearest } else { at });
        }
    });
}

/// Shows the movement of a head between checkpoints.
pub(crate) fn moved(ui: &mut Ui, side: &Side, head: HeadId) {
    let movements = side.checkpoints.as_ref().map_or(&[][..], Checkpoints::movements);
    let Some(moved) = movements.iter().find(|moved| moved.head == head) else {
        return;
    };
    let list = |values: &[f32]| {
        values
            .iter()
            .map(|value| format!("{value:.2}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    ui.label(format!(
        "Movement of points between checkpoints: {}",
        list(&moved.moved)
    ));
    if !moved.attention.is_empty() {
        ui.label(format!("Change of attention, in bits: {}", list(&moved.attention)));
    }
}
