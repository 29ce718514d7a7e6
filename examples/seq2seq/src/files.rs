//! Files: run.json, report.md, alignments, and every plot as PNG, CSV and SVG.

use std::{error::Error, path::Path};

use attn_sdk::{
    core::files::write_atomically,
    render::{Exporter, Plot, ViewState},
    study::decoding::{Decoding, FlowOptions, HeadChoice},
};
use examples_common::Terminal;
use serde_json::json;

use crate::{options::Options, report, session::Session};

pub(crate) fn write(
    session: &Session,
    options: &Options,
    out: &Path,
    terminal: &Terminal,
) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let mut drawing = Drawing {
        exporter: Exporter::default(),
        view: options.view(),
        svg: options.svg,
    };
    // One source: its run is the file. Several: a folder each, and one file with all of them.
    if let [run] = session.runs.as_slice() {
        if let Ok(decoding) = &run.result {
            write_atomically(&out.join("run.json"), &serde_json::to_vec(decoding)?)?;
            drawing.all(decoding, &options.flow(), out)?;
        }
    } else {
        let runs: Vec<serde_json::Value> = session
            .runs
            .iter()
            .map(|run| match &run.result {
                Ok(decoding) => json!({"line": run.line, "run": decoding}),
                Err(error) => json!({"line": run.line, "source": run.source, "error": error}),
            })
            .collect();
        let all = json!({"alignment_heads": session.heads, "alignment_error_rate": session.error_rate, "runs": runs});
        write_atomically(&out.join("run.json"), &serde_json::to_vec(&all)?)?;
        for (done, run) in session.runs.iter().enumerate() {
            attn_sdk::core::progress::step(terminal, "plots", done, session.runs.len())?;
            let Ok(decoding) = &run.result else { continue };
            if done >= options.plots && decoding.blame.is_none() {
                continue;
            }
            let folder = out.join(format!("line-{:04}", run.line));
            std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            write_atomically(&folder.join("run.json"), &serde_json::to_vec(decoding)?)?;
            drawing.all(decoding, &options.flow(), &folder)?;
        }
        let _ = attn_sdk::Progress::update(terminal, "plots", session.runs.len(), session.runs.len());
    }
    let links: String = session.runs.iter().map(|run| run.links.pharaoh() + "\n").collect();
    write_atomically(&out.join("alignment.txt"), links.as_bytes())?;
    write_atomically(&out.join("report.md"), report::markdown(session).as_bytes())?;
    Ok(())
}

/// Plots of one run, by the names of their files.
pub(crate) fn plots(
    decoding: &Decoding,
    flow: &FlowOptions,
) -> Result<Vec<(&'static str, Box<dyn Plot>)>, attn_sdk::Error> {
    let mut plots: Vec<(&'static str, Box<dyn Plot>)> = Vec::new();
    if decoding.hypotheses.is_empty() {
        return Ok(plots);
    }
    let aligned = FlowOptions {
        heads: decoding.aligning(),
        ..flow.clone()
    };
    plots.push(("attention", Box::new(decoding.flow(0, flow)?)));
    if aligned.heads != HeadChoice::All {
        plots.push(("attention-aligned", Box::new(decoding.flow(0, &aligned)?)));
    }
    plots.push(("attention-table", Box::new(decoding.attention_table(0, &aligned)?)));
    plots.push(("heads", Box::new(decoding.head_patterns(0)?)));
    if let Some(grid) = decoding.alignment_grid() {
        plots.push(("alignment-heads", Box::new(grid)));
    }
    plots.push(("predictions", Box::new(decoding.predictions(0)?)));
    plots.push(("probabilities", Box::new(decoding.curves(0)?)));
    if let Some(coverage) = decoding.coverage_table(0)? {
        plots.push(("coverage", Box::new(coverage)));
    }
    let penalty = decoding.params.generation.length_penalty;
    plots.push(("beam", Box::new(decoding.beam_tree(penalty, true).0)));
    if let Some(states) = decoding.trajectories(0, &())? {
        plots.push((
            "pictograms",
            Box::new(attn_sdk::render::plots::Pictograms(states.clone())),
        ));
        plots.push(("states", Box::new(states)));
    }
    if let Some(map) = decoding.blame.as_ref().and_then(|blame| blame.map(decoding)) {
        plots.push(("blame", Box::new(map)));
    }
    Ok(plots)
}

struct Drawing {
    exporter: Exporter,
    view: ViewState,
    svg: bool,
}

impl Drawing {
    fn all(&mut self, decoding: &Decoding, flow: &FlowOptions, out: &Path) -> Result<(), Box<dyn Error>> {
        for (name, plot) in plots(decoding, flow)? {
            let extensions = ["png", "csv"].into_iter().chain(self.svg.then_some("svg"));
            for extension in extensions {
                self.exporter
                    .write(&*plot, &self.view, out.join(format!("{name}.{extension}")))?;
            }
        }
        Ok(())
    }
}
