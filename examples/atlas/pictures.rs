//! The pictures and the data, as files.

use std::{error::Error, fs, path::Path};

use attn_sdk::{
    Ablation, Estimate, ExperimentOptions, Progress, Study, Summary, SummaryOptions, ablate,
    core::{HeadId, LayerHead, write_atomically},
    models::Capturer,
    render::{ColorMode, Headless, Scene, SvgOptions, View, write_svg},
};

use crate::{common::Terminal, options::Options};

/// Pixels per layout unit: sharp in print.
pub(crate) const SCALE: f32 = 2.0;
/// Layout of a picture of some points.
const ALONE: [f32; 2] = [900.0, 820.0];
/// Heads drawn on their own if none is named.
pub(crate) const HEADS: usize = 3;

/// Writes matrix.png, overview.png, some pictures per chosen head, summary.md, and the data as summary.json and atlas.json.
pub(crate) fn write(
    study: &Study,
    capturer: Option<&Capturer>,
    options: &Options,
    out: &Path,
    terminal: &Terminal,
) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let heads = chosen(study, options)?;
    let sequence = match options.sequence {
        Some(0) => return Err("--sequence counts from 1".into()),
        Some(number) => number - 1,
        None => study.typical_sequence(),
    };
    let modes = study.color_modes();
    let view = options.view();
    let known = match view.color_mode {
        ColorMode::Value => study.column(&view.column).is_some(),
        mode => modes.contains(&mode),
    };
    if !known {
        let modes = modes
            .iter()
            .filter(|mode| **mode != ColorMode::Value)
            .map(|mode| mode.name());
        let columns = study.columns().iter().map(|column| column.name.as_str());
        let all: Vec<&str> = modes.chain(columns).collect();
        return Err(format!("--color {}: this data has {}", options.color, all.join(", ")).into());
    }
    let mut headless = Headless::new()?;
    let mut written = Vec::new();
    let total = 3 + (3 + usize::from(options.matches_alone)) * heads.len();
    let mut draw = |name: String, scene: Scene, view: &View| -> Result<(), Box<dyn Error>> {
        let path = out.join(&name);
        headless.render(&scene, view, SCALE)?.write_png(&path)?;
        if options.svg {
            write_svg(path.with_extension("svg"), &scene, view, &SvgOptions::default())?;
        }
        written.push(name);
        // Drawing takes seconds at most; a cancellation is noticed by the shell.
        let _ = terminal.update("pictures", written.len(), total);
        Ok(())
    };
    draw("matrix.png".into(), study.matrix(&view, None)?, &view)?;
    draw("overview.png".into(), study.overview(sequence, &view, None)?, &view)?;
    for &head in &heads {
        let name = |what: &str| format!("{what}-{}.png", file_name(study, head));
        draw(name("head"), study.head(head, Some(sequence), &view, None)?, &view)?;
        draw(name("aggregate"), study.aggregate(head, &view, None)?, &view)?;
        if options.matches_alone {
            let subset = study.subset(head, study.matches(head, &view.search).ids(), terminal)?;
            // All of them match.
            let view = View {
                search: String::new(),
                ..view.clone()
            };
            draw(name("matches"), subset.scene(study, &view, ALONE)?, &view)?;
        }
        if study.is_picture(sequence) {
            draw(
                name("image"),
                study.image(head, sequence, options.patch, &view, None)?,
                &view,
            )?;
        } else {
            draw(name("sentence"), study.sentence(head, sequence, &view, None)?, &view)?;
        }
    }
    let summary = Summary::new(study.capture(), capturer, &SummaryOptions::default(), terminal)?;
    write_atomically(&out.join("summary.md"), summary.markdown().as_bytes())?;
    write_atomically(&out.join("summary.json"), &serde_json::to_vec(&summary)?)?;
    if !options.ablate.is_empty() {
        let capturer = capturer.ok_or("--ablate: a capture alone cannot be run again; name its --model")?;
        let heads = named(study, "--ablate", &options.ablate)?;
        let sequences = study.capture().sequences();
        let ablation = ablate(capturer, sequences, &heads, &ExperimentOptions::default(), terminal)?;
        write_atomically(&out.join("ablation.json"), &serde_json::to_vec_pretty(&ablation)?)?;
        say(&ablation);
    }
    write_atomically(&out.join("atlas.json"), &serde_json::to_vec(&study.report())?)?;
    let _ = terminal.update("pictures", total, total);
    println!(
        "{}: {}, summary.md, summary.json, atlas.json",
        out.display(),
        written.join(", ")
    );
    Ok(())
}

/// One line about an experiment.
fn say(ablation: &Ablation) {
    let heads: Vec<String> = ablation.heads.iter().map(ToString::to_string).collect();
    let effect = &ablation.effect;
    let interval = |of: &Estimate| format!("{:+.4} ({:+.4} to {:+.4})", of.mean, of.low, of.high);
    let loss = match (&effect.loss, &effect.loss_change) {
        (Some(loss), Some(change)) => format!("loss {:.4} {}, ", loss.mean, interval(change)),
        _ => String::new(),
    };
    let agreement = effect.agreement.as_ref().map_or_else(String::new, |same| {
        format!(
            "first class stays in {:.3} ({:.3} to {:.3}), ",
            same.mean, same.low, same.high
        )
    });
    println!(
        "without {}: {loss}{agreement}output {} over {} sequences; p = {:.3} against {} random sets",
        heads.join(", "),
        interval(&effect.output_change),
        effect.sequences,
        ablation.p_value,
        ablation.random.len()
    );
}

/// The heads that were named, or those whose distances say most about attention.
pub(crate) fn chosen(study: &Study, options: &Options) -> Result<Vec<HeadId>, Box<dyn Error>> {
    if options.head.is_empty() {
        return Ok(study.ranking().into_iter().take(HEADS).collect());
    }
    named(study, "--head", &options.head)
}

/// Heads by the names a person typed after `option`.
pub(crate) fn named(study: &Study, option: &str, places: &[LayerHead]) -> Result<Vec<HeadId>, Box<dyn Error>> {
    let heads: Vec<HeadId> = study.capture().model().heads().collect();
    let find = |place: &LayerHead| {
        let found = heads.iter().copied().find(|head| place.is(*head));
        found.ok_or_else(|| {
            let (layers, most) = (heads.iter().map(|h| h.layer).max(), heads.iter().map(|h| h.head).max());
            let (layers, most) = (layers.unwrap_or(0), most.unwrap_or(0));
            format!("{option} {place}: layers go from 0 to {layers}, heads from 0 to {most}").into()
        })
    };
    places.iter().map(find).collect()
}

/// A head in the name of a file: `3-9`, with its attention where the model has several.
pub(crate) fn file_name(study: &Study, head: HeadId) -> String {
    match study.capture().model().attentions.len() {
        0 | 1 => format!("{}-{}", head.layer, head.head),
        _ => format!("{}-{}-{}", head.attention, head.layer, head.head),
    }
}
