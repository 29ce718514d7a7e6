//! A training: a picture per step and a table of what moves as files; a slider over the steps in the window.

use std::{error::Error, fs, path::Path};

use attn_sdk::{
    HeadMovement, Steps,
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

/// Writes matrix-step-N.png, head-L-H-step-N.png for the chosen heads or those that move most, steps.md and steps.json; and of the
/// last step, which can be run, all that is written of a model.
pub(crate) fn write(read: Read, options: &Options, out: &Path, terminal: &Terminal) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let captures = std::iter::once(read.capture).chain(read.later).collect();
    let mut steps = Steps::project(captures, &options.atlas(), terminal)?;
    read.columns.iter().try_for_each(|column| steps.add_column(column))?;
    steps.set_filter(&options.filter())?;
    let Some(mut last) = steps.studies().last().cloned() else {
        return Ok(());
    };
    let heads = match options.head.is_empty() {
        true => most_moved(&steps),
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
    for (step, study) in steps.studies().iter().enumerate() {
        draw(format!("matrix-step-{}", step + 1), &study.matrix(&view)?)?;
        for &head in &heads {
            let name = format!("head-{}-step-{}", file_name(study, head), step + 1);
            draw(name, &study.head(head, Some(sequence), &view)?)?;
        }
    }
    write_atomically(&out.join("steps.md"), steps.markdown().as_bytes())?;
    write_atomically(&out.join("steps.json"), &serde_json::to_vec(steps.movements())?)?;
    if options.csv {
        write_atomically(&out.join("steps.csv"), steps.table().to_csv().as_bytes())?;
    }
    println!(
        "{}: matrix-step-1.png to matrix-step-{}.png, steps.md, steps.json",
        out.display(),
        steps.studies().len()
    );
    last.set_weighting(weighting::of(&options.weighted, read.capturer.as_ref())?);
    pictures::write(&last, read.capturer.as_ref(), options, &heads, out, terminal)
}

/// The heads whose attention moves most from the first step to the last.
fn most_moved(steps: &Steps) -> Vec<HeadId> {
    let way = |head: &HeadMovement| head.attention.iter().sum::<f32>();
    let mut heads: Vec<&HeadMovement> = steps.movements().iter().collect();
    heads.sort_by(|a, b| way(b).total_cmp(&way(a)));
    heads.into_iter().take(HEADS).map(|head| head.head).collect()
}

/// Goes through the steps; between two, points are on their way.
pub(crate) fn slider(ui: &mut Ui, side: &mut Side) {
    let Some(steps) = &side.steps else { return };
    let last = steps.studies().len().saturating_sub(1);
    let name = side
        .study
        .as_ref()
        .map_or("", |study| &study.capture().model().name)
        .to_owned();
    let mut step = side.step + 1.0;
    ui.horizontal(|ui| {
        ui.label("Step");
        ui.spacing_mut().slider_width = (0.4 * ui.available_width()).max(120.0);
        let shown = ui.add(Slider::new(&mut step, 1.0..=last as f32 + 1.0).fixed_decimals(1));
        ui.label(name);
        let step = step - 1.0;
        if shown.changed() {
            // Near a step is on it.
            let nearest = step.round();
            side.go_to_step(if (step - nearest).abs() < 0.08 { nearest } else { step });
        }
    });
}

/// How far a head goes from step to step.
pub(crate) fn moved(ui: &mut Ui, side: &Side, head: HeadId) {
    let movements = side.steps.as_ref().map_or(&[][..], Steps::movements);
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
    ui.label(format!("From step to step its picture moves by {}", list(&moved.moved)));
    if !moved.attention.is_empty() {
        ui.label(format!("and its attention by {} bits", list(&moved.attention)));
    }
}
