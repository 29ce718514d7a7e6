//! Plots and data as files.

use std::{error::Error, fs, path::Path};

use attn_sdk::{
    Progress, Study, Summary, SummaryParams,
    core::{HeadId, LayerHead, files::write_atomically},
    models::Capturer,
    render::{Exporter, Plot, ViewState},
};

use examples_common::Terminal;

use crate::{experiment, guest, options::Options};

/// Heads plotted by default.
pub(crate) const HEADS: usize = 3;

/// Writes matrix.png, overview.png, rollout.png, head-map.png, plots per chosen head, summary.md, and the data as summary.json and atlas.json.
pub(crate) fn write(
    study: &Study,
    capturer: Option<&Capturer>,
    options: &Options,
    heads: &[HeadId],
    out: &Path,
    terminal: &Terminal,
) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let sequence = sequence(study, options)?;
    let view = options.view();
    if !study.has_color(&view.shared.color) {
        let known = study.color_names().join(", ");
        return Err(format!("--color {}: expected query-key, {known}", options.color).into());
    }
    let mut exporter = Exporter::default();
    let mut written = Vec::new();
    // A head of each layer.
    let mut layers = heads.to_vec();
    layers.sort_unstable();
    layers.dedup_by_key(|head| (head.attention, head.layer));
    layers.retain(|_| options.values);
    let total = 5 + (3 + usize::from(options.matches_alone)) * heads.len() + layers.len();
    let formats = [("png", true), ("svg", options.svg), ("csv", options.csv)];
    let mut draw = |name: String, plot: &dyn Plot, view: &ViewState| -> Result<(), Box<dyn Error>> {
        for (extension, _) in formats.iter().filter(|(_, wanted)| *wanted) {
            exporter.write(plot, view, out.join(format!("{name}.{extension}")))?;
        }
        written.push(format!("{name}.png"));
        // Drawing takes seconds at most; a cancellation is noticed by the shell.
        let _ = terminal.update("plots", written.len(), total);
        Ok(())
    };
    let all: Vec<HeadId> = study.heads().map(|head| head.head).collect();
    let guests = match &options.guest {
        Some(typed) => guest::place(study, capturer, typed, &all, terminal)?,
        None => Vec::new(),
    };
    draw("matrix".into(), &guest::draw(&guests, study.matrix(&view)?), &view)?;
    draw("overview".into(), &study.overview(sequence)?, &view)?;
    if let Some(head) = heads.first() {
        let rollout = study.roll_out(Study::self_attention_of(*head), sequence, terminal)?;
        draw("rollout".into(), &rollout.plot(study, options.patch)?, &view)?;
    }
    for &head in heads {
        let name = |what: &str| format!("{what}-{}", file_name(study, head));
        // Placed tokens replace the highlighted sequence.
        let shown = options.guest.is_none().then_some(sequence);
        draw(
            name("head"),
            &guest::draw(&guests, study.head(head, shown, &view)?),
            &view,
        )?;
        draw(name("aggregate"), &study.aggregate(head)?, &view)?;
        if options.matches_alone {
            let subset = study.subset(head, study.matches(head, &view.shared.search).ids(), terminal)?;
            // All points match.
            let mut view = view.clone();
            view.shared.search.clear();
            draw(name("matches"), &subset.plot(study, &view)?, &view)?;
        }
        if study.is_image(sequence) {
            draw(name("image"), &study.image(head, sequence, options.patch)?, &view)?;
        } else {
            draw(name("sentence"), &study.sentence(head, sequence)?, &view)?;
        }
    }
    if !layers.is_empty() {
        let capturer = capturer.ok_or("--values needs a model, for its output matrices: replace --open by --model")?;
        let weights = capturer.model().head_weights()?;
        for head in layers {
            let values = study.layer_values(head.attention, head.layer, &weights, terminal)?;
            draw(layer_name(study, head), &values.plot(study)?, &view)?;
        }
    }
    let summary = Summary::new(study.capture(), capturer, &SummaryParams::default(), terminal)?;
    draw("head-map".into(), &summary.map(None)?, &view)?;
    write_atomically(&out.join("summary.md"), summary.markdown().as_bytes())?;
    write_atomically(&out.join("summary.json"), &serde_json::to_vec(&summary)?)?;
    if options.csv {
        write_atomically(&out.join("summary.csv"), summary.table().to_csv().as_bytes())?;
        write_atomically(&out.join("sequences.csv"), study.sequences_table().to_csv().as_bytes())?;
    }
    experiment::write(study, capturer, options, out, terminal)?;
    write_atomically(&out.join("atlas.json"), &serde_json::to_vec(&study.report())?)?;
    let _ = terminal.update("plots", total, total);
    println!(
        "{}: {}, summary.md, summary.json, atlas.json",
        out.display(),
        written.join(", ")
    );
    Ok(())
}

/// The sequence that is drawn, counted from 0.
pub(crate) fn sequence(study: &Study, options: &Options) -> Result<usize, &'static str> {
    match options.sequence {
        Some(0) => Err("--sequence: expected a number from 1, found 0"),
        Some(number) => Ok(number - 1),
        None => Ok(study.typical_sequence()),
    }
}

/// The heads of `--head`, or those with the strongest distance-attention correlation.
pub(crate) fn chosen(study: &Study, options: &Options) -> Result<Vec<HeadId>, Box<dyn Error>> {
    if options.head.is_empty() {
        return Ok(study.ranking().into_iter().take(HEADS).collect());
    }
    named(study, "--head", &options.head)
}

/// The heads named by `option`.
pub(crate) fn named(study: &Study, option: &str, places: &[LayerHead]) -> Result<Vec<HeadId>, Box<dyn Error>> {
    let heads: Vec<HeadId> = study.capture().model().heads().collect();
    let find = |place: &LayerHead| {
        let found = heads.iter().copied().find(|head| place.is(*head));
        found.ok_or_else(|| {
            let (layers, most) = (heads.iter().map(|h| h.layer).max(), heads.iter().map(|h| h.head).max());
            let (layers, most) = (layers.unwrap_or(0), most.unwrap_or(0));
            format!("{option} {place}: expected layers 0 to {layers} and heads 0 to {most}").into()
        })
    };
    places.iter().map(find).collect()
}

/// The head part of a file name: `3-9`, with its attention where the model has several.
pub(crate) fn file_name(study: &Study, head: HeadId) -> String {
    match study.capture().model().attentions.len() {
        0 | 1 => format!("{}-{}", head.layer, head.head),
        _ => format!("{}-{}-{}", head.attention, head.layer, head.head),
    }
}

/// The file name of a layer's values: `values-3`, with its attention where the model has several.
pub(crate) fn layer_name(study: &Study, head: HeadId) -> String {
    match study.capture().model().attentions.len() {
        0 | 1 => format!("values-{}", head.layer),
        _ => format!("values-{}-{}", head.attention, head.layer),
    }
}
