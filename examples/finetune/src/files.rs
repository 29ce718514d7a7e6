//! Files: every plot as PNG, SVG and CSV, and the tables.

use std::{error::Error, path::Path};

use attn_sdk::{
    Progress,
    core::progress::step,
    render::{Exporter, Plot},
    study::training::Training,
};

use crate::options::Options;

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
    let plots = plots(training);
    let (mut exporter, view, mut failures) = (Exporter::default(), options.view(), Vec::new());
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
    if let Ok((map, _)) = training.data_map(&Default::default()) {
        plots.push(("data-map".into(), Box::new(map)));
    }
    plots
}
