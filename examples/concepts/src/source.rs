//! The models of a study and the texts that they read, by the command line.

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
};

use attn_sdk::{
    analyze::concepts::{ConceptSpace, TaggedText},
    core::{Attention, Capture, Side},
    embedded::{self, EmbeddedModel},
    models::Checkpoint,
};

use super::options::Options;

/// What the places of embedded models begin with.
const EMBEDDED: &str = "embedded:";

#[derive(Clone)]
enum Model {
    Folder(PathBuf),
    Embedded(EmbeddedModel),
}

/// A model, or a capture of it, and the text it reads.
pub(crate) struct Source {
    model: Option<Model>,
    /// The capture to open in place of running the model.
    pub(crate) capture: Option<PathBuf>,
    /// Where the hidden states go, if not to memory.
    pub(crate) store: Option<PathBuf>,
    pub(crate) text: Arc<TaggedText>,
    /// Added to the model's name to tell two texts apart; may be empty.
    pub(crate) suffix: String,
}

impl Source {
    /// Whether there is a model to read sentences with.
    pub(crate) fn has_model(&self) -> bool {
        self.model.is_some()
    }

    /// The folder of a capture that is there already.
    pub(crate) fn opened(&self) -> Option<&Path> {
        let finished = self.store.as_deref().filter(|folder| Capture::is_in(folder));
        self.capture.as_deref().or(finished)
    }

    /// The layers that it has, without its weights; `None` if that is not known, which is said when it is loaded.
    pub(crate) fn layers(&self) -> Result<Option<Vec<usize>>, Box<dyn Error>> {
        if let Some(folder) = self.opened() {
            let capture = Capture::open(folder)?;
            let sides = [Side::Encoder, Side::Decoder].map(|side| capture.hidden_layers(side));
            return Ok(sides.into_iter().find(|layers| !layers.is_empty()));
        }
        let Some(info) = self.checkpoint()?.and_then(|checkpoint| checkpoint.describe().model) else {
            return Ok(None);
        };
        let stacks = info.attentions.iter().filter(|own| own.attention != Attention::Cross);
        let depth = stacks.map(|own| own.layers.len()).min();
        Ok(depth.map(|depth| (0..=depth).collect()))
    }

    /// The model, if there is one beside a capture.
    pub(crate) fn checkpoint(&self) -> Result<Option<Checkpoint>, Box<dyn Error>> {
        self.model.as_ref().map(Model::checkpoint).transpose()
    }

    /// Where the model is found again.
    pub(crate) fn place(&self) -> Option<String> {
        Some(match self.model.as_ref()? {
            // A name in the local cache of the hub is where it was found.
            Model::Folder(folder) => {
                let found = Checkpoint::open(folder).map_or_else(|_| folder.clone(), |found| found.path().to_owned());
                let whole = std::path::absolute(&found).unwrap_or(found);
                whole.display().to_string()
            }
            Model::Embedded(model) => format!("{EMBEDDED}{model}"),
        })
    }
}

/// Which model a space is of, counted from 0: the stacks of an encoder-decoder are spaces of one.
fn number_of_model(models: &[ConceptSpace], at: usize) -> usize {
    let begins = |pair: &&[ConceptSpace]| (pair[0].side, pair[1].side) != (Some(Side::Encoder), Some(Side::Decoder));
    models[..=at].windows(2).filter(begins).count()
}

impl Model {
    fn checkpoint(&self) -> Result<Checkpoint, Box<dyn Error>> {
        Ok(match self {
            Self::Folder(folder) => Checkpoint::open(folder)?,
            Self::Embedded(embedded) => embedded.checkpoint()?,
        })
    }
}

impl Options {
    /// The model of a space of a study that was opened: the one that is named, else the one that the study names; `None` if neither
    /// does.
    pub(crate) fn reopened(&self, models: &[ConceptSpace], at: usize) -> Result<Option<Checkpoint>, Box<dyn Error>> {
        let space = &models[at];
        let named = match number_of_model(models, at) {
            0 => self.model.as_ref(),
            after => self.model_after.get(after - 1),
        };
        let source = space.source.as_ref();
        let known = |place: &str| match place.strip_prefix(EMBEDDED) {
            Some(name) => embedded::find(name).map(Model::Embedded),
            None => Some(Model::Folder(place.into())),
        };
        let model = match named {
            Some(folder) => Some(Model::Folder(folder.clone())),
            None => source.and_then(|source| known(&source.place)),
        };
        let Some(checkpoint) = model.map(|model| model.checkpoint()).transpose()? else {
            return Ok(None);
        };
        let expected = source.map_or("", |source| &source.fingerprint);
        if !expected.is_empty() && expected != checkpoint.fingerprint() {
            let (path, name) = (checkpoint.path().display(), &space.model);
            return Err(format!("{path}: expected {name} as the study read it, found other weights").into());
        }
        Ok(Some(checkpoint))
    }

    /// The models, with their texts.
    pub(crate) fn sources(&self) -> Result<Vec<Source>, Box<dyn Error>> {
        if self.open.is_some() {
            return Ok(Vec::new());
        }
        let mut models: Vec<Option<Model>> = vec![self.model.clone().map(Model::Folder)];
        models.extend(
            self.model_after
                .iter()
                .cloned()
                .map(|folder| Some(Model::Folder(folder))),
        );
        match (&self.model, self.capture.len()) {
            (None, 0) => {
                models[0] = Some(Model::Embedded(embedded::TEXT_ENCODER));
                if models.len() == 1 && self.tags_after.is_empty() {
                    models.push(Some(Model::Embedded(embedded::SENTIMENT)));
                }
            }
            (_, 0) => {}
            (_, captures) if models.len() > captures => {
                return Err(format!(
                    "--capture: expected one per model, found {captures} for {}",
                    models.len()
                )
                .into());
            }
            (_, captures) => models.resize(captures, None),
        }
        if models.len() == 1 && !self.tags_after.is_empty() {
            models.push(models[0].clone());
        }
        let text = Arc::new(self.text(&self.tags)?);
        let source = |(at, model): (usize, Option<Model>)| Source {
            model,
            capture: self.capture.get(at).cloned(),
            store: self.store.as_ref().map(|folder| folder.join(at.to_string())),
            text: text.clone(),
            suffix: String::new(),
        };
        let mut sources: Vec<Source> = models.into_iter().enumerate().map(source).collect();
        if let Some(tags) = self.tags_after.first() {
            let after = Arc::new(self.text(&self.tags_after)?);
            let stem = |path: &PathBuf| path.file_stem().map(|stem| format!(", {}", stem.to_string_lossy()));
            let last = sources.len() - 1;
            for (at, source) in sources.iter_mut().enumerate() {
                let own = if at == last { Some(tags) } else { self.tags.first() };
                source.suffix = own.and_then(stem).unwrap_or_default();
            }
            sources[last].text = after;
        }
        Ok(sources)
    }
}
