//! The run without a window: a gallery in a folder.

use std::{error::Error, path::Path};

use attn_sdk::{
    Opened, Study,
    models::{Checkpoint, control::Control},
    project::atlas::{AtlasCache, AtlasOptions},
    study::{
        checkpoints::Checkpoints,
        gallery::{Gallery, GalleryParams, Written, write_checkpoints, write_contrast},
    },
};
use examples_common::Terminal;

use crate::{options::Options, source, weighting};

/// Writes what the options ask for of an opened source; of a training, how it goes and all of its last checkpoint.
pub(crate) fn write(
    mut opened: Opened,
    checkpoint: Option<&Checkpoint>,
    options: &Options,
    out: &Path,
    terminal: &Terminal,
) -> Result<(), Box<dyn Error>> {
    for note in &opened.notes {
        terminal.say(format!("note: {note}"));
    }
    let params = options.gallery();
    let capturer = opened.capturer.take();
    let last = opened.later.last().unwrap_or(&opened.capture).clone();
    let mut study = Study::new(last, &options.atlas());
    opened
        .columns
        .iter()
        .try_for_each(|column| study.add_column(column.clone()))?;
    study.set_filter(options.filter())?;
    study.set_weighting(weighting::of(&options.weighting, capturer.as_ref())?);
    // Before the heads are projected.
    params.check(&study, capturer.as_ref())?;
    if !opened.later.is_empty() {
        let (study, params) = training(opened, &study, params, options, out, terminal)?;
        let written = Gallery::new(&study, capturer.as_ref(), &params, terminal)?.write(out, terminal)?;
        say(&written);
        return Ok(());
    }
    project(&mut study, terminal)?;
    let written = Gallery::new(&study, capturer.as_ref(), &params, terminal)?.write(out, terminal)?;
    say(&written);
    if let Some(checkpoint) = checkpoint {
        for control in &options.control {
            against(&study, checkpoint, *control, &params, out, terminal)?;
        }
    }
    Ok(())
}

fn project(study: &mut Study, terminal: &Terminal) -> Result<(), Box<dyn Error>> {
    // Finished heads are kept beside the capture: a projection that was stopped goes on where it was.
    let cache = AtlasCache::beside(study.capture()).unwrap_or_else(|error| {
        terminal.say(format!("note: projections are not kept: {error}"));
        None
    });
    let kept = AtlasOptions {
        cache: cache.as_ref(),
        ..AtlasOptions::default()
    };
    study.project_heads(kept, terminal)?;
    for file in cache.iter().flat_map(|cache| cache.ignored()) {
        terminal.say(format!(
            "note: {} was damaged; its head was projected again",
            file.display()
        ));
    }
    Ok(())
}

/// Writes the checkpoints; gives the study of the last one and its heads.
fn training(
    opened: Opened,
    checked: &Study,
    params: GalleryParams,
    options: &Options,
    out: &Path,
    terminal: &Terminal,
) -> Result<(Study, GalleryParams), Box<dyn Error>> {
    let captures = std::iter::once(opened.capture).chain(opened.later).collect();
    let mut steps = Checkpoints::project(captures, &options.atlas(), terminal)?;
    opened.columns.iter().try_for_each(|column| steps.add_column(column))?;
    steps.set_filter(checked.filter())?;
    let (heads, written) = write_checkpoints(&steps, &params, out, terminal)?;
    say(&written);
    let mut last = steps
        .studies()
        .last()
        .cloned()
        .ok_or("expected checkpoints, found none")?;
    last.set_weighting(checked.weighting().clone());
    Ok((last, params.with_heads(&heads)))
}

/// Sets a control model beside the model.
fn against(
    study: &Study,
    checkpoint: &Checkpoint,
    control: Control,
    params: &GalleryParams,
    out: &Path,
    terminal: &Terminal,
) -> Result<(), Box<dyn Error>> {
    let folder = out.join(format!("capture-{}", control.name()));
    let opened = source::control(checkpoint, control, study).open(Some(&folder), terminal)?;
    if !opened.complete {
        return Err("the capture of the control model was stopped".into());
    }
    let mut other = Study::project_with(opened.capture, study.params(), AtlasOptions::default(), terminal)?;
    opened
        .columns
        .into_iter()
        .try_for_each(|column| other.add_column(column))?;
    other.set_filter(study.filter().clone())?;
    say(&write_contrast(study, &other, control.name(), params, out, terminal)?);
    Ok(())
}

/// Says what experiments found, what was left out and which files there are.
fn say(written: &Written) {
    for note in &written.notes {
        eprintln!("note: {note}");
    }
    for (question, answer) in &written.answers {
        let names: Vec<String> = question.heads.iter().map(ToString::to_string).collect();
        let edges = question.edges.as_ref().map(|edges| format!(" {}", edges.describe()));
        println!(
            "ablation of {}{} ({} sequences): {}",
            names.join(", "),
            edges.unwrap_or_default(),
            answer.effect().sequences,
            answer.lines().join("; ")
        );
    }
    println!("{}: {}", written.folder.display(), written.files.join(", "));
}
