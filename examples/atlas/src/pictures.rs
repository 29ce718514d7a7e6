//! The pictures and the data, as files.

use std::{error::Error, fs, path::Path};

use attn_sdk::{
    Progress, Study, Summary, SummaryParams,
    core::{HeadId, LayerHead, files::write_atomically},
    models::Capturer,
    render::{ColorMode, Headless, Scene, SvgOptions, Table, View, write_svg},
};

use examples_common::Terminal;

use crate::{experiment, guest, options::Options};

/// Pixels per layout unit: sharp in print.
pub(crate) const SCALE: f32 = 2.0;
/// Layout of a picture of some points.
const ALONE: [f32; 2] = [900.0, 820.0];
/// Heads drawn on their own if none is named.
pub(crate) const HEADS: usize = 3;

/// Writes matrix.png, overview.png, rollout.png, head-map.png, some pictures per chosen head, summary.md, and the data as summary.json and atlas.json.
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
    // A head of each layer.
    let mut layers = heads.to_vec();
    layers.sort_unstable();
    layers.dedup_by_key(|head| (head.attention, head.layer));
    layers.retain(|_| options.values);
    let total = 5 + (3 + usize::from(options.matches_alone)) * heads.len() + layers.len();
    let mut draw = |name: String, scene: Scene, view: &View, table: Table| -> Result<(), Box<dyn Error>> {
        let path = out.join(&name);
        headless.render(&scene, view, SCALE)?.write_png(&path)?;
        if options.svg {
            write_svg(path.with_extension("svg"), &scene, view, &SvgOptions::default())?;
        }
        if options.csv {
            write_atomically(&path.with_extension("csv"), table.to_csv().as_bytes())?;
        }
        written.push(name);
        // Drawing takes seconds at most; a cancellation is noticed by the shell.
        let _ = terminal.update("pictures", written.len(), total);
        Ok(())
    };
    let wanted = |table: &dyn Fn() -> Result<Table, attn_sdk::Error>| match options.csv {
        true => table(),
        false => Ok(Table::default()),
    };
    let all: Vec<HeadId> = study.heads().map(|head| head.head).collect();
    let guests = match &options.guest {
        Some(typed) => guest::place(study, capturer, typed, &all, terminal)?,
        None => Vec::new(),
    };
    let matrix = guest::draw(&guests, study.matrix(&view, None)?, &view);
    draw(
        "matrix.png".into(),
        matrix,
        &view,
        wanted(&|| study.matrix_table(&view))?,
    )?;
    let overview = study.overview(sequence, &view, None)?;
    draw(
        "overview.png".into(),
        overview,
        &view,
        wanted(&|| study.overview_table(sequence))?,
    )?;
    if let Some(head) = heads.first() {
        let rollout = study.roll_out(Study::self_attention_of(*head), sequence, terminal)?;
        let scene = rollout.scene(study, options.patch, &view, None)?;
        draw("rollout.png".into(), scene, &view, wanted(&|| rollout.table(study))?)?;
    }
    for &head in heads {
        let name = |what: &str| format!("{what}-{}.png", file_name(study, head));
        // A guest stands alone.
        let shown = options.guest.is_none().then_some(sequence);
        let scene = guest::draw(&guests, study.head(head, shown, &view, None)?, &view);
        draw(name("head"), scene, &view, wanted(&|| study.head_table(head, &view))?)?;
        let scene = study.aggregate(head, &view, None)?;
        draw(
            name("aggregate"),
            scene,
            &view,
            wanted(&|| study.aggregate_table(head))?,
        )?;
        if options.matches_alone {
            let subset = study.subset(head, study.matches(head, &view.search).ids(), terminal)?;
            // All of them match.
            let view = View {
                search: String::new(),
                ..view.clone()
            };
            let scene = subset.scene(study, &view, ALONE)?;
            draw(name("matches"), scene, &view, wanted(&|| subset.table(study, &view))?)?;
        }
        if study.is_picture(sequence) {
            let scene = study.image(head, sequence, options.patch, &view, None)?;
            draw(
                name("image"),
                scene,
                &view,
                wanted(&|| study.image_table(head, sequence))?,
            )?;
        } else {
            let scene = study.sentence(head, sequence, &view, None)?;
            let table = wanted(&|| study.sentence_table(head, sequence, &view, None))?;
            draw(name("sentence"), scene, &view, table)?;
        }
    }
    if !layers.is_empty() {
        let capturer = capturer.ok_or("--values: a capture alone has no output projections; name its --model")?;
        let weights = capturer.model().head_weights()?;
        for head in layers {
            let values = study.layer_values(head.attention, head.layer, &weights, terminal)?;
            let scene = values.scene(study, &view, ALONE)?;
            let name = format!("{}.png", layer_name(study, head));
            draw(name, scene, &view, wanted(&|| values.table(study))?)?;
        }
    }
    let summary = Summary::new(study.capture(), capturer, &SummaryParams::default(), terminal)?;
    draw(
        "head-map.png".into(),
        summary.map(None, &view, None)?,
        &view,
        wanted(&|| summary.map_table())?,
    )?;
    write_atomically(&out.join("summary.md"), summary.markdown().as_bytes())?;
    write_atomically(&out.join("summary.json"), &serde_json::to_vec(&summary)?)?;
    if options.csv {
        write_atomically(&out.join("summary.csv"), summary.table()?.to_csv().as_bytes())?;
        write_atomically(&out.join("sequences.csv"), study.sequences_table()?.to_csv().as_bytes())?;
    }
    experiment::write(study, capturer, options, out, terminal)?;
    write_atomically(&out.join("atlas.json"), &serde_json::to_vec(&study.report())?)?;
    let _ = terminal.update("pictures", total, total);
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
        Some(0) => Err("--sequence counts from 1"),
        Some(number) => Ok(number - 1),
        None => Ok(study.typical_sequence()),
    }
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

/// A layer's values in the name of a file: `values-3`, with its attention where the model has several.
pub(crate) fn layer_name(study: &Study, head: HeadId) -> String {
    match study.capture().model().attentions.len() {
        0 | 1 => format!("values-{}", head.layer),
        _ => format!("values-{}-{}", head.attention, head.layer),
    }
}
