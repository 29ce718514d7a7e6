//! Comparison with a control model: plots and a table as files, a menu in the window.

use std::{error::Error, path::Path};

use attn_sdk::{
    Contrast, Study,
    core::files::write_atomically,
    models::control::Control,
    render::{Exporter, Plot},
};
use eframe::egui::Ui;

use examples_common::Terminal;

use crate::{
    options::Options,
    pictures::{chosen, file_name},
    side::Side,
    source::{Model, Source},
};

/// Writes the matrix of the control model, its plots of the chosen heads, and control-CONTROL.md and .json.
pub(crate) fn write(
    study: &Study,
    model: &Model,
    control: Control,
    options: &Options,
    out: &Path,
    terminal: &Terminal,
) -> Result<(), Box<dyn Error>> {
    let source = Source::Control {
        model: model.clone(),
        control,
        capture: Box::new(study.capture().clone()),
        columns: study.columns().to_vec(),
    };
    let read = source.read(Some(&out.join(format!("capture-{}", control.name()))), terminal)?;
    if !read.complete {
        return Err("the capture of the control model was stopped".into());
    }
    let mut other = Study::project(read.capture, study.params(), terminal)?;
    read.columns
        .into_iter()
        .try_for_each(|column| other.add_column(column))?;
    other.set_filter(study.filter().clone())?;
    let view = options.view();
    let mut exporter = Exporter::default();
    let mut draw = |name: String, plot: &dyn Plot| exporter.write(plot, &view, out.join(name));
    draw(format!("matrix-{}.png", control.name()), &other.matrix(&view)?)?;
    let sequence = options
        .sequence
        .map_or(study.typical_sequence(), |number| number.saturating_sub(1));
    for head in chosen(study, options)? {
        let name = format!("head-{}-{}.png", file_name(study, head), control.name());
        draw(name, &other.head(head, Some(sequence), &view)?)?;
    }
    let contrast = Contrast::new(study.capture(), other.capture(), terminal)?;
    let file = |extension: &str| out.join(format!("control-{}.{extension}", control.name()));
    write_atomically(&file("md"), contrast.markdown().as_bytes())?;
    write_atomically(&file("json"), &serde_json::to_vec(&contrast)?)?;
    println!(
        "{}: matrix-{1}.png, control-{1}.md, control-{1}.json",
        out.display(),
        control.name()
    );
    Ok(())
}

/// Menu entries for the control models of the shown model.
pub(crate) fn offer(ui: &mut Ui, side: &Side) -> Option<Source> {
    let (Some(model), Some(study)) = (&side.model, &side.study) else {
        return None;
    };
    let mut chosen = None;
    ui.separator();
    for control in Control::ALL {
        if ui.button(format!("Control: {control}")).clicked() {
            chosen = Some(Source::Control {
                model: model.clone(),
                control,
                capture: Box::new(study.capture().clone()),
                columns: study.columns().to_vec(),
            });
            ui.close();
        }
    }
    ui.separator();
    chosen
}
