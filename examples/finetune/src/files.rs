//! Files: every plot as PNG, SVG and CSV, and the tables.

use std::{error::Error, path::Path};

use attn_sdk::{
    Progress,
    analyze::training::{NoiseScore, Region},
    core::{files::write_atomically, progress::step},
    project::Projector,
    render::{Exporter, Plot, write_table},
    study::training::{MapParams, RunCheckpoint, StateMaps, StatePooling, StatesParams, Training},
};

use crate::{
    options::{self, Options, Sample},
    sections,
};

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
    let mut report = training.report();
    write_table(&training.data_map_table(), out.join("datamap.csv"))?;
    write_table(training.columns(), out.join("examples.csv"))?;
    if let Some(flips) = training.all_flips() {
        write_table(&training.flips_table(&flips), out.join("flips.csv"))?;
    }
    let list = training.noise(NoiseScore::default());
    if !list.suspects.is_empty() {
        write_table(&training.noise_table(&list), out.join("noise.csv"))?;
    }
    for region in Region::ALL {
        let examples = region.examples(training.dynamics(), 0..training.dynamics().len(), Region::SHARE);
        if !examples.is_empty() {
            let path = out.join(format!("region-{}.jsonl", region.name()));
            write_atomically(&path, training.rows_jsonl(&examples).as_bytes())?;
        }
    }
    let (mut plots, missing) = plots(training);
    report.notes.extend(missing);
    if !training.checkpoints().is_empty() {
        match states(training, options, progress) {
            Ok((maps, notes)) => {
                report.notes.extend(notes);
                write_table(&training.state_table(&maps), out.join("states.csv"))?;
                let (drawn, missing) = state_plots(training, &maps);
                plots.extend(drawn);
                report.notes.extend(missing);
            }
            Err(error) if options::is_cancelled(&error) => return Err(error.into()),
            Err(error) => report.notes.push(error.to_string()),
        }
    }
    let sections = sections::of(training, options, progress)?;
    plots.extend(sections.plots);
    let (mut exporter, view, mut failures) = (Exporter::default(), options.view(), Vec::new());
    for (name, table) in &sections.tables {
        write_table(table, out.join(name))?;
    }
    for (done, (name, plot)) in plots.iter().enumerate() {
        step(progress, "plots", done, plots.len())?;
        for extension in ["png", "svg", "csv"] {
            // Tables of the same names hold other columns.
            let taken = extension == "csv" && ["flips", "noise", "pruning"].contains(&name.as_str());
            let path = out.join(format!("{name}{}.{extension}", if taken { "-plot" } else { "" }));
            if let Err(error) = exporter.write(&**plot, &view, &path) {
                failures.push(format!("{}: {error}", path.display()));
            }
        }
    }
    let _ = progress.update("plots", plots.len(), plots.len());
    report.notes.extend(failures.iter().cloned());
    let mut numbers = serde_json::to_value(&report)?;
    if let Some(members) = numbers.as_object_mut() {
        members.extend(sections.json);
    }
    write_atomically(&out.join("report.json"), &serde_json::to_vec_pretty(&numbers)?)?;
    let words = format!("{}\n{}", report.markdown(), sections.markdown);
    write_atomically(&out.join("report.md"), words.as_bytes())?;
    Ok(failures)
}

/// Hidden states of the first and the last checkpoint, or of all up to six, in the last layer.
fn states(
    training: &Training,
    options: &Options,
    progress: &dyn Progress,
) -> Result<(StateMaps, Vec<String>), attn_sdk::Error> {
    let params = state_params(options.sample());
    let states = training.states(&shown_checkpoints(training), &params, progress)?;
    let pooling = if states.has_pooler() {
        StatePooling::Head
    } else {
        StatePooling::Mean
    };
    let projector = Projector::default().seed(options.seed);
    let maps = states.project(states.last_layer(), pooling, &projector, progress)?;
    Ok((maps, states.notes().to_vec()))
}

/// Of which examples the states are shown.
pub(crate) fn state_params(sample: Sample) -> StatesParams {
    StatesParams {
        most: sample.most(StatesParams::default().most),
        seed: sample.seed,
    }
}

/// At most six checkpoints, spread over the training; the first and the last are among them.
pub(crate) fn shown_checkpoints(training: &Training) -> Vec<RunCheckpoint> {
    const MOST: usize = 6;
    let all = training.checkpoints();
    if all.len() <= MOST {
        return all.to_vec();
    }
    (0..MOST)
        .map(|at| all[at * (all.len() - 1) / (MOST - 1)].clone())
        .collect()
}

/// Every plot that the log allows, and why others are missing.
fn plots(training: &Training) -> (Vec<Named>, Vec<String>) {
    let mut plots = Plots::default();
    let log = training.log();
    plots.add("data-map", training.data_map(&MapParams::default()).map(|(map, _)| map));
    for color in ["gold", "split"] {
        if training.colors().contains(&color) {
            let options = MapParams {
                color: Some(color.into()),
                ..MapParams::default()
            };
            plots.add(
                &format!("data-map-{color}"),
                training.data_map(&options).map(|(map, _)| map),
            );
        }
    }
    let ambiguous = Region::Ambiguous.examples(training.dynamics(), 0..log.examples().len(), 0.1);
    let options = MapParams {
        intervals: true,
        examples: Some(ambiguous),
        ..MapParams::default()
    };
    plots.add("data-map-intervals", training.data_map(&options).map(|(map, _)| map));
    plots.add("margins", training.margins(None));
    for (name, moment) in [
        ("margins-first", 0),
        ("margins-last", log.moments().len().saturating_sub(1)),
    ] {
        plots.add(name, training.margins(Some(moment)));
    }
    match training.curves() {
        Ok([right, loss]) => {
            right
                .into_iter()
                .for_each(|chart| plots.add::<_, attn_sdk::Error>("accuracy", Ok(chart)));
            loss.into_iter()
                .for_each(|chart| plots.add::<_, attn_sdk::Error>("loss", Ok(chart)));
        }
        Err(error) => plots.missing.push(error.to_string()),
    }
    for (name, chart) in training.trainer_curves() {
        let name: String = name
            .chars()
            .map(|sign| if sign.is_alphanumeric() { sign } else { '-' })
            .collect();
        plots.add::<_, attn_sdk::Error>(&format!("trainer-{name}"), Ok(chart));
    }
    if let Some(flips) = training.all_flips() {
        plots.add("flips", training.flips_plot(&flips));
    }
    plots.add("flips-all", training.flip_table());
    plots.add("noise", training.noise_curves());
    (plots.plots, plots.missing)
}

fn state_plots(training: &Training, maps: &StateMaps) -> (Vec<Named>, Vec<String>) {
    let mut plots = Plots::default();
    for checkpoint in 0..maps.names.len() {
        plots.add(
            &format!("examples-{}", checkpoint + 1),
            training.state_map(maps, checkpoint, None),
        );
    }
    let last = maps.names.len().saturating_sub(1);
    plots.add(
        "examples-trust",
        training.state_map(maps, last, Some("trustworthiness")),
    );
    for checkpoint in 0..last {
        plots.add(
            &format!("movement-{}", checkpoint + 1),
            training.movement(maps, checkpoint),
        );
    }
    (plots.plots, plots.missing)
}

#[derive(Default)]
struct Plots {
    plots: Vec<Named>,
    missing: Vec<String>,
}

impl Plots {
    fn add<P: Plot + 'static, E: std::fmt::Display>(&mut self, name: &str, plot: Result<P, E>) {
        match plot {
            Ok(plot) => self.plots.push((name.to_owned(), Box::new(plot))),
            Err(error) => {
                // Several plots lack the same.
                let why = error.to_string();
                if !self.missing.contains(&why) {
                    self.missing.push(why);
                }
            }
        }
    }
}
