//! Files of a study: itself, its report, and its clusters for other programs.

use std::{error::Error, path::Path};

use attn_sdk::{
    analyze::concepts::{ConceptSpace, ConceptStudy},
    core::files::write_atomically,
};

use super::run::Placed;

/// The file of a study.
pub(crate) const STUDY: &str = "concepts.json";

/// The study itself, which opens again.
pub(crate) fn save(study: &ConceptStudy, out: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    Ok(write_atomically(&out.join(STUDY), &study.to_json()?)?)
}

/// `concepts.json`, `report.md`; and per model and layer the clusters for the scripts of others, and to be named.
pub(crate) fn write(study: &ConceptStudy, out: &Path) -> Result<(), Box<dyn Error>> {
    save(study, out)?;
    write_atomically(&out.join("report.md"), study.markdown().as_bytes())?;
    for (at, model) in study.models.iter().enumerate() {
        for layer in &model.layers {
            let (number, count, suffix) = (layer.layer, layer.partition.count(), suffix(at));
            let clusters = out.join(format!("clusters-{count}-{number}{suffix}.txt"));
            write_atomically(&clusters, model.clusters_txt(layer).as_bytes())?;
            let prompts = out.join(format!("prompts-{number}{suffix}.txt"));
            write_atomically(&prompts, model.prompts(layer).as_bytes())?;
        }
    }
    Ok(())
}

/// Where the words of a new sentence lie.
pub(crate) fn write_placed(placed: &[(&ConceptSpace, Placed)], out: &Path) -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    for (space, placed) in placed {
        text += &space.placement_markdown(&placed.placement);
        if let Some(found) = &placed.explanation {
            text += &space.explanation_markdown(found, &placed.text);
        }
    }
    Ok(write_atomically(&out.join("sentence.md"), text.as_bytes())?)
}

/// The end of the names of a model's files.
pub(crate) fn suffix(model: usize) -> String {
    match model {
        0 => String::new(),
        1 => "-after".into(),
        more => format!("-after-{more}"),
    }
}
