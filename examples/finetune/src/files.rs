//! Files: every plot as PNG, SVG and CSV, and the tables.

use std::{error::Error, path::Path};

use attn_sdk::{
    Progress,
    core::{files::write_atomically, progress::step},
    render::{Exporter, Plot},
    study::training::Training,
};

use crate::{options::Options, sections};

/// A plot by the name of its file.
pub(crate) type Named = (String, Box<dyn Plot>);

/// Writes everything; returns what could not be written.
pub(crate) fn write(
    training: &Training,
    options: &Options,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Vec<String>, Box<dyn Error>> {
    std::fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let sections = sections::of(training, progress)?;
    let mut plots = plots(training);
    plots.extend(sections.plots);
    let (mut exporter, view, mut failures) = (Exporter::default(), options.view(), Vec::new());
    for (name, table) in &sections.tables {
        write_atomically(&out.join(name), table.to_csv().as_bytes())?;
    }
    write_atomically(&out.join("report.md"), sections.markdown.as_bytes())?;
    write_atomically(&out.join("report.json"), &serde_json::to_vec_pretty(&sections.json)?)?;
    for (done, (name, plot)) in plots.iter().enumerate() {
        step(progress, "plots", done, plots.len())?;
        for extension in ["png", "svg", "csv"] {
            let path = out.join(format!("{name}.{extension}"));
            if let Err(error) = exporter.write(&**plot, &view, &path) {
                failures.push(format!("{}: {error}", path.display()));
            }
        }
    }
    let _ = progress.update("plots", plots.len(), plots.len());
    Ok(failures)
}

/// Every plot there is.
fn plots(training: &Training) -> Vec<Named> {
    let mut plots: Vec<Named> = Vec::new();
    if let Ok((map, _)) = training.data_map() {
        plots.push(("data-map".into(), Box::new(map)));
    }
    plots
}
