//! From options to a study: opens or runs the models, then the pipeline of `attn_analyze::concepts`.

use std::{
    error::Error,
    path::Path,
    sync::{Arc, OnceLock},
};

use attn_sdk::{
    Progress,
    analyze::concepts::{
        ConceptLayer, ConceptSpace, ConceptStudy, DbscanClusterer, Explanation, GaussianMixtureClusterer,
        KMeansClusterer, KMeansParams, KMeansStart, LAYERS, LeadersWard, ModelSource, OpticsClusterer, Pipeline,
        PipelineParams, Placement, Reading, TaggedSentence, TaggedText, plain_text,
    },
    core::{Attention, Capture, capture::CaptureOptions, progress::step},
    models::{Capturer, Checkpoint, capture::CaptureRun, text::Line},
    study::prediction::class_prediction,
};

use super::{
    check::{check_layer, model_of},
    options::{Method, Options},
    source::Source,
};

/// Points per cluster in a mini-batch of k-means.
const BATCH: usize = 10;
/// Clusters that are told per word of a new sentence.
const NEAREST: usize = 4;

/// A text that a model has read, and the model if it is at hand.
pub(crate) struct Loaded {
    capturer: Option<Capturer>,
    /// Of a study that was opened only where it takes one.
    capture: OnceLock<Capture>,
    text: Arc<TaggedText>,
    name: String,
    /// Where the model is found again.
    place: Option<ModelSource>,
    pub(crate) notes: Vec<String>,
}

/// A sentence of the user's in the clusters of a space.
pub(crate) struct Placed {
    pub(crate) text: String,
    pub(crate) placement: Placement,
    /// Of a classifier.
    pub(crate) explanation: Option<Explanation>,
}

impl Loaded {
    /// Opens the capture of a source, or captures the hidden states.
    pub(crate) fn new(source: &Source, progress: &dyn Progress) -> Result<Self, Box<dyn Error>> {
        let checkpoint = source.checkpoint()?;
        let capturer = checkpoint.as_ref().map(load).transpose()?;
        let opened = source.opened();
        let (capture, notes) = match (opened, &capturer) {
            (Some(folder), _) => (Capture::open(folder)?, Vec::new()),
            (None, Some(capturer)) => run(capturer, &source.text, source.store.as_deref(), progress)?,
            (None, None) => return Err("there is no model to run: give --model or --capture".into()),
        };
        // Other programs may leave the fingerprint empty.
        if let (Some(folder), Some(checkpoint)) = (opened, &checkpoint)
            && !capture.fingerprint().is_empty()
            && checkpoint.fingerprint() != capture.fingerprint()
        {
            let (folder, own, name) = (folder.display(), checkpoint.name(), &capture.model().name);
            let expected = format!("expected a capture of the model {own}");
            return Err(format!("{folder}: {expected}, found one of {name} with another fingerprint").into());
        }
        Ok(Self {
            name: format!("{}{}", capture.model().name, source.suffix),
            place: source.place().map(|place| ModelSource {
                place,
                fingerprint: capture.fingerprint().to_owned(),
            }),
            capturer,
            capture: OnceLock::from(capture),
            text: source.text.clone(),
            notes,
        })
    }

    /// The model of a study that was opened.
    pub(crate) fn reopened(options: &Options, models: &[ConceptSpace], at: usize) -> Result<Self, Box<dyn Error>> {
        let space = &models[at];
        let checkpoint = options.reopened(models, at)?;
        let checkpoint = checkpoint.ok_or_else(|| {
            let name = &space.model;
            format!("a new sentence needs the model {name}, and the study does not say where it is: give --model")
        })?;
        Ok(Self {
            name: space.model.clone(),
            place: space.source.clone(),
            capturer: Some(load(&checkpoint)?),
            capture: OnceLock::new(),
            text: space.text.clone(),
            notes: Vec::new(),
        })
    }

    /// The readings of the text: one, or one per stack; none of a study that was opened, as long as nothing asked for them.
    pub(crate) fn readings(&self) -> Vec<Reading<'_>> {
        let capture = self.capture.get();
        capture.map_or_else(Vec::new, |capture| Reading::all(&self.name, self.text.clone(), capture))
    }

    /// The space with centers of its clusters: of a study that was opened and cut anew they are computed from the text.
    fn centered(
        &self,
        pipeline: &Pipeline,
        space: &ConceptSpace,
        progress: &dyn Progress,
    ) -> Result<Option<ConceptSpace>, Box<dyn Error>> {
        if space.layers.iter().all(|layer| !layer.centers.is_empty()) {
            return Ok(None);
        }
        if let (None, Some(capturer)) = (self.capture.get(), &self.capturer) {
            // Another job may have been faster.
            let _ = self.capture.set(run(capturer, &self.text, None, progress)?.0);
        }
        let readings = self.readings();
        let reading = reading_of(&readings, space).ok_or("the text of the study cannot be read")?;
        let mut space = space.clone();
        for at in 0..space.layers.len() {
            let centers = pipeline.centers(reading, &space, &space.layers[at])?;
            space.layers[at].centers = centers;
        }
        Ok(Some(space))
    }

    /// Whether new sentences can be read.
    pub(crate) fn reads(&self) -> bool {
        self.capturer.is_some()
    }

    /// Attributes the prediction for a sentence of the text, counted from 1; `None` if the model is no classifier.
    pub(crate) fn explain(
        &self,
        pipeline: &Pipeline,
        space: &ConceptSpace,
        reading: &Reading<'_>,
        number: usize,
        progress: &dyn Progress,
    ) -> Result<Option<Explanation>, Box<dyn Error>> {
        let Some(capturer) = self
            .capturer
            .as_ref()
            .filter(|capturer| capturer.model().labels().len() > 1)
        else {
            return Ok(None);
        };
        let sentence = number.checked_sub(1).and_then(|at| self.text.sentences.get(at));
        let sentence = sentence.ok_or_else(|| {
            let count = self.text.sentences.len();
            format!("--explain: expected a sentence from 1 to {count}, found {number}")
        })?;
        let at = reading.text.sentences.iter().position(|own| own.line == sentence.line);
        let at = at.ok_or_else(|| format!("--explain: sentence {number} has no tokens"))?;
        let (text, second) = sentence.texts();
        let prediction = class_prediction(capturer, text, second, at, reading.side, progress)?;
        Ok(prediction
            .map(|prediction| pipeline.explain(space, reading, prediction))
            .transpose()?)
    }

    /// Reads a sentence of the user's, and places its words into the clusters of a space.
    pub(crate) fn place(
        &self,
        pipeline: &Pipeline,
        space: &ConceptSpace,
        sentence: &str,
        progress: &dyn Progress,
    ) -> Result<Placed, Box<dyn Error>> {
        let capturer = self.capturer.as_ref();
        let capturer = capturer.ok_or("a new sentence needs the model: give --model beside --capture")?;
        let text = plain_text(sentence);
        let typed = text.sentences.first().filter(|typed| !typed.text.is_empty());
        let typed = typed.ok_or("type a sentence")?;
        let capture = reads(capturer, &text.sentences)?.progress(progress).run()?.capture;
        let mut reading = Reading::new(&self.name, text.clone(), &capture);
        if let Some(side) = space.side {
            reading.side = side;
        }
        let centered = self.centered(pipeline, space, progress)?;
        let space = centered.as_ref().unwrap_or(space);
        let placement = pipeline.place(space, &reading, NEAREST)?;
        let (first, second) = typed.texts();
        let prediction = class_prediction(capturer, first, second, 0, reading.side, progress)?;
        let explanation = prediction.map(|prediction| pipeline.explain(space, &reading, prediction));
        Ok(Placed {
            text: typed.text.clone(),
            placement,
            explanation: explanation.transpose()?,
        })
    }
}

/// What a model reads of sentences and pairs of them: the decoder of an encoder-decoder is given the same sentence to write.
fn reads<'c>(capturer: &'c Capturer, sentences: &[TaggedSentence]) -> Result<CaptureRun<'c>, Box<dyn Error>> {
    let line = |sentence: &TaggedSentence, text: String| Line {
        number: sentence.line,
        text,
    };
    if capturer.model().info().attention(Attention::Cross).is_none() {
        let texts = sentences.iter().map(|sentence| {
            let (text, second) = sentence.texts();
            (line(sentence, text.to_owned()), second.map(str::to_owned))
        });
        return Ok(capturer.texts(texts));
    }
    if sentences.iter().any(|sentence| sentence.second.is_some()) {
        let name = &capturer.model().info().name;
        return Err(
            format!("{name} has two stacks and reads no pairs of texts: say with --between what joins them").into(),
        );
    }
    let twice = |sentence: &TaggedSentence| line(sentence, format!("{0}\t{0}", sentence.text));
    Ok(capturer.lines(sentences.iter().map(twice)))
}

fn load(checkpoint: &Checkpoint) -> Result<Capturer, Box<dyn Error>> {
    Ok(Capturer::load(checkpoint)?.with_options(CaptureOptions::states()))
}

/// The reading of the side that a space is of.
pub(crate) fn reading_of<'r, 'a>(readings: &'r [Reading<'a>], space: &ConceptSpace) -> Option<&'r Reading<'a>> {
    readings
        .iter()
        .find(|own| space.side.is_none_or(|side| side == own.side))
}

/// Captures the hidden states of a text, to memory or to a folder.
fn run(
    capturer: &Capturer,
    text: &TaggedText,
    store: Option<&Path>,
    progress: &dyn Progress,
) -> Result<(Capture, Vec<String>), Box<dyn Error>> {
    let mut run = reads(capturer, &text.sentences)?.progress(progress);
    if let Some(folder) = store {
        run = run.to_folder(folder);
    }
    let outcome = run.run()?;
    if !outcome.complete {
        return Err("stopped before all sentences were captured".into());
    }
    Ok((outcome.capture, outcome.notes.iter().map(ToString::to_string).collect()))
}

/// What is found on the way to a study, in this order: for each model its space without layers, then its layers.
pub(crate) enum News {
    Space(Box<ConceptSpace>, Arc<Loaded>),
    Layer(Box<ConceptLayer>),
}

/// Clusters the words of all models, layer by layer, and tells what is found. `settings` is asked before each layer: it may
/// have changed.
pub(crate) fn encode(
    options: &Options,
    sources: &[Source],
    settings: &dyn Fn() -> PipelineParams,
    tell: &mut dyn FnMut(News),
    progress: &dyn Progress,
) -> Result<(), Box<dyn Error>> {
    for source in sources {
        let loaded = Arc::new(Loaded::new(source, progress)?);
        for reading in loaded.readings() {
            let mut begun = pipeline(options, settings())?.begin(&reading)?;
            begun.source.clone_from(&loaded.place);
            tell(News::Space(Box::new(begun.clone()), loaded.clone()));
            let layers = pipeline(options, settings())?.layers(&reading)?;
            let stage = format!("{LAYERS}{}", begun.name());
            for (done, &layer) in layers.iter().enumerate() {
                step(progress, &stage, done, layers.len())?;
                let found = pipeline(options, settings())?.layer(&reading, &begun, layer, progress)?;
                tell(News::Layer(Box::new(found)));
            }
            step(progress, &stage, layers.len(), layers.len())?;
        }
    }
    Ok(())
}

/// The clusters of the models, compared; and the texts they read, one per model.
pub(crate) fn study(
    options: &Options,
    sources: &[Source],
    progress: &dyn Progress,
) -> Result<(ConceptStudy, Vec<Arc<Loaded>>), Box<dyn Error>> {
    let params = options.params()?;
    let (mut models, mut loaded): (Vec<ConceptSpace>, Vec<Arc<Loaded>>) = (Vec::new(), Vec::new());
    let mut take = |news: News| match news {
        News::Space(space, of) => {
            models.push(*space);
            loaded.push(of);
        }
        News::Layer(layer) => models
            .last_mut()
            .into_iter()
            .for_each(|model| model.layers.push((*layer).clone())),
    };
    encode(options, sources, &|| params.clone(), &mut take, progress)?;
    let pipeline = pipeline(options, params.clone())?;
    for (model, loaded) in models.iter_mut().zip(&loaded) {
        let readings = loaded.readings();
        if let Some(reading) = reading_of(&readings, model).filter(|_| options.sentence.is_none()) {
            model.explanation = loaded.explain(&pipeline, model, reading, options.explain, progress)?;
        }
    }
    let mut study = pipeline.compare(models, progress)?;
    rename(options, &mut study)?;
    Ok((study, loaded))
}

/// A study that was saved, cut anew if the options ask for it.
pub(crate) fn open(options: &Options, path: &Path, progress: &dyn Progress) -> Result<ConceptStudy, Box<dyn Error>> {
    let bytes = attn_sdk::core::files::read(path, attn_sdk::core::Limits::default().bytes)?;
    let mut study = ConceptStudy::from_json(&bytes, path)?;
    for named in options.names()? {
        let model = &study.models[model_of(&named, &study.models)?];
        check_layer("--names", named.layer, model.layers.iter().map(|layer| layer.layer))?;
    }
    if options.sentence.is_some() {
        for (at, model) in study.models.iter().enumerate() {
            if options.reopened(&study.models, at)?.is_none() {
                let name = &model.model;
                return Err(
                    format!("--sentence: needs the model {name}, and the study does not say where it is").into(),
                );
            }
        }
    }
    let saved = |model: &ConceptSpace| pipeline(options, options.params_of(model)?);
    let comparing = match study.models.first() {
        Some(model) => saved(model)?,
        None => pipeline(options, options.params()?)?,
    };
    if options.cuts() {
        let cut = study
            .models
            .iter()
            .map(|model| Ok(saved(model)?.recut(model, None, progress)?));
        study = comparing.compare(cut.collect::<Result<_, Box<dyn Error>>>()?, progress)?;
    } else if !study.has_kinds() {
        // Of an older version, whose comparisons mix clusters of one word with the others.
        study = comparing.compare(study.models, progress)?;
    }
    rename(options, &mut study)?;
    Ok(study)
}

/// Gives clusters names from files.
pub(crate) fn rename(options: &Options, study: &mut ConceptStudy) -> Result<(), Box<dyn Error>> {
    for named in options.names()? {
        let at = model_of(&named, &study.models)?;
        study.models[at].rename(named.layer, &named.names)?;
    }
    Ok(())
}

/// Gives the clusters of the last layer that was found names from files.
pub(crate) fn rename_last(options: &Options, study: &mut ConceptStudy) -> Result<(), Box<dyn Error>> {
    let at = study.models.len().saturating_sub(1);
    let last = study.models.last().and_then(|model| model.layers.last());
    let Some(layer) = last.map(|layer| layer.layer) else {
        return Ok(());
    };
    for named in options.names()?.iter().filter(|named| named.layer == layer) {
        // The number of a model may be of one that is still to come.
        if named.model.map_or(0, |model| model.saturating_sub(1)) == at {
            study.models[at].rename(layer, &named.names)?;
        }
    }
    Ok(())
}

pub(crate) fn pipeline(options: &Options, params: PipelineParams) -> Result<Pipeline, Box<dyn Error>> {
    let pipeline = Pipeline::new(params)?;
    let k_means = KMeansClusterer {
        params: KMeansParams {
            seed: options.seed,
            start: match options.method {
                Method::WardKMeans => KMeansStart::Ward,
                _ => KMeansStart::PlusPlus,
            },
            ..KMeansParams::default()
        },
        batch_per_cluster: None,
    };
    let batches = KMeansClusterer {
        batch_per_cluster: Some(BATCH),
        ..k_means.clone()
    };
    let leaders = LeadersWard {
        seed: options.seed,
        ..LeadersWard::default()
    };
    let dbscan = DbscanClusterer {
        seed: options.seed,
        ..DbscanClusterer::default()
    };
    let pipeline = match options.method {
        Method::Ward => pipeline,
        Method::KMeans | Method::WardKMeans => pipeline.with_method(k_means.clone()),
        Method::LeadersWard => pipeline.with_method(leaders),
        Method::Optics => pipeline.with_method(OpticsClusterer::default()),
        Method::Dbscan => pipeline.with_method(dbscan),
        Method::Gaussian => pipeline.with_method(GaussianMixtureClusterer::default()),
    };
    if !options.methods {
        return Ok(pipeline);
    }
    Ok(pipeline
        .comparing(k_means)
        .comparing(batches)
        .comparing(leaders)
        .comparing(dbscan))
}
