//! Sources of the command line and of the menus: what comes with the SDK, and what the user names.

use std::path::{Path, PathBuf};

use attn_sdk::{
    Dataset, Error, TextParams,
    embedded::{self, EmbeddedModel},
    models::{Checkpoint, control::Control},
    study::source::{Data, Source},
};

use crate::pane::Pane;

/// Of the weights and positions of control models.
const SEED: u64 = 0;

/// An embedded model and the data for its kind.
pub(crate) fn embedded_source(model: EmbeddedModel) -> Result<Source, Error> {
    let data = if model.name == embedded::DATES.name {
        Data::lines(embedded::dates().take(200))
    } else {
        default_data()?
    };
    Ok(Source::Model {
        checkpoint: model.checkpoint()?,
        data,
    })
}

/// The embedded sentences, or images for a model of images.
pub(crate) fn default_data() -> Result<Data, Error> {
    let file = Path::new("embedded sentences.conllu");
    let text = embedded::SENTENCES_CONLLU.as_bytes();
    let mut dataset = Dataset::parse(text, file, &TextParams::default())?;
    // Named as in the plain file.
    let lines = dataset.lines.iter_mut().zip(1..);
    lines.for_each(|(line, number)| line.number = number);
    let images = embedded::IMAGES.iter().map(Into::into).collect();
    Ok(Data::TextOrImages(
        Box::new(Data::Dataset(Box::new(dataset))),
        Box::new(Data::Images(images)),
    ))
}

/// The checkpoints in these folders, or (none) the epochs of the embedded sentiment model.
pub(crate) fn checkpoints(folders: &[PathBuf]) -> Result<Vec<Checkpoint>, Error> {
    let found: Result<_, _> = if folders.is_empty() {
        embedded::SENTIMENT_EPOCHS
            .iter()
            .map(EmbeddedModel::checkpoint)
            .collect()
    } else {
        folders.iter().map(Checkpoint::open).collect()
    };
    Ok(found?)
}

/// A control of a model, to be run on what the model has read.
pub(crate) fn control(checkpoint: &Checkpoint, control: Control, study: &attn_sdk::Study) -> Source {
    Source::Control {
        checkpoint: checkpoint.clone(),
        control,
        seed: SEED,
        capture: Box::new(study.capture().clone()),
        columns: study.columns().to_vec(),
    }
}

/// The controls of the model that is shown.
pub(crate) fn controls(pane: &Pane) -> Vec<(Control, Source)> {
    let (Some(checkpoint), Some(study)) = (&pane.model, &pane.study) else {
        return Vec::new();
    };
    let source = |kind: Control| (kind, control(checkpoint, kind, study));
    Control::ALL.map(source).into()
}
