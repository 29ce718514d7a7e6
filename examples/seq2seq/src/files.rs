//! Files: run.json, report.md, alignments, and every plot as PNG, CSV and SVG.

use std::{error::Error, path::Path};

use attn_sdk::{
    core::{files::write_atomically, progress::step, table::Table},
    render::{Exporter, Plot, ViewState, plots::Pictograms},
    study::decoding::{Decoding, FlowParams, HeadChoice, Rank},
};
use examples_common::Terminal;
use serde_json::json;

use crate::{
    options::Options,
    report,
    session::{Run, Session},
};

pub(crate) fn write(
    session: &mut Session,
    options: &Options,
    out: &Path,
    terminal: &Terminal,
) -> Result<(), Box<dyn Error>> {
    // One source: its run is the file. Several: a folder each, and one file with all of them.
    let single = session.runs.len() == 1;
    let run = match session.runs.as_slice() {
        [Run { result: Ok(run), .. }] => serde_json::to_vec(run)?,
        _ => all(session)?,
    };
    write_atomically(&out.join("run.json"), &run)?;
    let mut drawing = Drawing {
        exporter: Exporter::default(),
        view: options.view(),
        svg: options.svg,
    };
    let (total, mut stopped) = (session.runs.len(), Ok(()));
    for (done, run) in session.runs.iter_mut().enumerate() {
        stopped = step(terminal, "plots", done, total);
        if stopped.is_err() {
            break;
        }
        let folder = match single {
            true => out.to_owned(),
            false => out.join(format!("line-{:04}", run.line)),
        };
        let drawn = |decoding: &&Decoding| single || done < options.plots || decoding.blame.is_some();
        let Some(decoding) = run.result.as_ref().ok().filter(drawn) else {
            // No run of another time beside this report.
            if !single {
                let _ = std::fs::remove_file(folder.join("run.json"));
            }
            continue;
        };
        let ranks = ranks(&run.ranks, &folder);
        let failures = if single { Ok(()) } else { own_folder(decoding, &folder) }.map_or_else(
            |error| vec![error.to_string()],
            |()| {
                let mut failures = drawing.all(decoding, &options.flow(), &folder);
                failures.extend(neighbors(decoding, &folder).err().map(|error| error.to_string()));
                failures
            },
        );
        run.failures.extend(failures);
        run.failures.extend(ranks.err().map(|error| error.to_string()));
    }
    let _ = attn_sdk::Progress::update(terminal, "plots", total, total);
    let listed = session.runs.iter().filter(|run| run.listed);
    let links: String = listed.map(|run| run.links.pharaoh() + "\n").collect();
    write_atomically(&out.join("alignment.txt"), links.as_bytes())?;
    write_atomically(&out.join("report.md"), report::markdown(session).as_bytes())?;
    Ok(stopped?)
}

/// All runs as one file. Every entry is a run as its own file has it, and what belongs to the session beside.
fn all(session: &Session) -> Result<Vec<u8>, serde_json::Error> {
    let run = |run: &Run| {
        let mut entry = match &run.result {
            Ok(decoding) => serde_json::to_value(decoding)?,
            Err(error) => json!({"source": {"text": run.source}, "error": error}),
        };
        entry["line"] = json!(run.line);
        if !run.failures.is_empty() {
            entry["failures"] = json!(run.failures);
        }
        Ok(entry)
    };
    let runs: Vec<serde_json::Value> = session.runs.iter().map(run).collect::<Result<_, serde_json::Error>>()?;
    serde_json::to_vec(&json!({
        "alignment_heads": session.heads,
        "alignment_error_rate": session.error_rate,
        "runs": runs,
    }))
}

fn own_folder(decoding: &Decoding, folder: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(write_atomically(
        &folder.join("run.json"),
        &serde_json::to_vec(decoding)?,
    )?)
}

/// The table of neighbors, if there was an index.
fn neighbors(decoding: &Decoding, folder: &Path) -> Result<(), attn_sdk::core::Error> {
    let Some(near) = &decoding.neighborhood else {
        return Ok(());
    };
    let table = near.table(decoding);
    write_atomically(&folder.join("neighbors.csv"), table.to_csv().as_bytes())
}

/// The ranks of a text, if some were asked for.
fn ranks(ranks: &[Rank], folder: &Path) -> Result<(), Box<dyn Error>> {
    if ranks.is_empty() {
        return Ok(());
    }
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut table = Table::new(ranks.len());
    table
        .numbers("step", |row| ranks[row].step + 1)
        .numbers("rank", |row| ranks[row].rank)
        .numbers("log_probability", |row| ranks[row].log_probability);
    Ok(write_atomically(&folder.join("ranks.csv"), table.to_csv().as_bytes())?)
}

/// A plot by the name of its file, or why there is none.
pub(crate) type Drawn = (&'static str, Result<Box<dyn Plot>, attn_sdk::Error>);

/// The plots of a run.
#[derive(Default)]
pub(crate) struct Plots(pub(crate) Vec<Drawn>);

impl Plots {
    pub(crate) fn add<P: Plot + 'static>(&mut self, name: &'static str, plot: Result<P, impl Into<attn_sdk::Error>>) {
        let plot = plot.map(|plot| -> Box<dyn Plot> { Box::new(plot) });
        self.0.push((name, plot.map_err(Into::into)));
    }

    /// A plot of what not every run has.
    pub(crate) fn may_add<P: Plot + 'static>(
        &mut self,
        name: &'static str,
        plot: Result<Option<P>, impl Into<attn_sdk::Error>>,
    ) {
        if let Some(plot) = plot.transpose() {
            self.add(name, plot);
        }
    }
}

/// Plots of a hypothesis. One that fails leaves the others.
pub(crate) fn plots(decoding: &Decoding, hypothesis: usize, flow: &FlowParams) -> Plots {
    type Made<P> = Result<P, attn_sdk::Error>;
    let mut plots = Plots::default();
    if decoding.hypotheses.is_empty() {
        return plots;
    }
    let aligned = FlowParams {
        heads: decoding.aligning(),
        ..flow.clone()
    };
    plots.add("attention", decoding.flow(hypothesis, flow));
    if aligned.heads != HeadChoice::All {
        plots.add("attention-aligned", decoding.flow(hypothesis, &aligned));
    }
    plots.add("attention-table", decoding.attention_table(hypothesis, &aligned));
    plots.add("heads", decoding.head_patterns(hypothesis));
    plots.may_add("alignment-heads", Made::Ok(decoding.alignment_grid()));
    plots.add("predictions", decoding.predictions(hypothesis));
    plots.add("probabilities", decoding.curves(hypothesis));
    plots.may_add("coverage", decoding.coverage_table(hypothesis));
    let penalty = decoding.params.generation.length_penalty;
    plots.add("beam", Made::Ok(decoding.beam_tree(penalty, true).0));
    let states = decoding.trajectories(hypothesis, &());
    if let Ok(Some(states)) = &states {
        plots.add("pictograms", Made::Ok(Pictograms(states.clone())));
    }
    plots.may_add("states", states);
    let by_position = Decoding::trajectories_by_position(&[("", decoding, hypothesis)], &());
    plots.may_add("states-by-position", by_position);
    let map = decoding.blame.as_ref().and_then(|blame| blame.map(decoding));
    plots.may_add("blame", Made::Ok(map));
    plots
}

struct Drawing {
    exporter: Exporter,
    view: ViewState,
    svg: bool,
}

impl Drawing {
    /// Writes every plot, and tells what failed.
    fn all(&mut self, decoding: &Decoding, flow: &FlowParams, out: &Path) -> Vec<String> {
        let mut failures = Vec::new();
        for (name, plot) in plots(decoding, 0, flow).0 {
            let plot = match plot {
                Ok(plot) => plot,
                Err(error) => {
                    failures.push(format!("plot {name}: {error}"));
                    continue;
                }
            };
            let extensions = ["png", "csv"].into_iter().chain(self.svg.then_some("svg"));
            for extension in extensions {
                let path = out.join(format!("{name}.{extension}"));
                if let Err(error) = self.exporter.write(&*plot, &self.view, &path) {
                    failures.push(format!("plot {name}: {}: {error}", path.display()));
                }
            }
        }
        failures
    }
}
