//! From options to a study: runs the models, then the pipeline of `attn_analyze::concepts`.

use std::error::Error;

use attn_sdk::{
    Progress,
    analyze::concepts::{
        ConceptSpace, ConceptStudy, GaussianMixtureClusterer, KMeansClusterer, KMeansParams, KMeansStart, LeadersWard,
        OpticsClusterer, Pipeline, Reading,
    },
    class_prediction,
    core::CaptureOptions,
    models::{Capturer, text::Line},
};

use super::options::{Method, Options, Source};

/// Points per cluster in a mini-batch of k-means.
const BATCH: usize = 10;

/// The clusters of one or two models.
pub(crate) fn study(
    options: &Options,
    sources: Vec<Source>,
    progress: &dyn Progress,
) -> Result<ConceptStudy, Box<dyn Error>> {
    let pipeline = pipeline(options)?;
    let mut models = Vec::new();
    for source in &sources {
        models.push(encode(&pipeline, options, source, progress)?);
    }
    Ok(pipeline.compare(models, progress)?)
}

fn pipeline(options: &Options) -> Result<Pipeline, Box<dyn Error>> {
    let pipeline = Pipeline::new(options.params()?)?;
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
    let pipeline = match options.method {
        Method::Ward => pipeline,
        Method::KMeans | Method::WardKMeans => pipeline.with_method(k_means.clone()),
        Method::LeadersWard => pipeline.with_method(leaders),
        Method::Optics => pipeline.with_method(OpticsClusterer::default()),
        Method::Gaussian => pipeline.with_method(GaussianMixtureClusterer::default()),
    };
    if !options.methods {
        return Ok(pipeline);
    }
    Ok(pipeline.comparing(k_means).comparing(batches).comparing(leaders))
}

/// Runs a model over its text, clusters the words, and explains a prediction if it is a classifier.
fn encode(
    pipeline: &Pipeline,
    options: &Options,
    source: &Source,
    progress: &dyn Progress,
) -> Result<ConceptSpace, Box<dyn Error>> {
    let keep = CaptureOptions {
        hidden: true,
        ..CaptureOptions::default()
    };
    let capturer = Capturer::load(&source.checkpoint()?)?.with_options(keep);
    let lines = source.text.sentences.iter().map(|sentence| Line {
        number: sentence.line,
        text: sentence.text.clone(),
    });
    let outcome = capturer.lines(lines).progress(progress).run()?;
    if !outcome.complete {
        return Err("stopped before all sentences were captured".into());
    }
    for note in &outcome.notes {
        eprintln!("note: {note}");
    }
    let capture = outcome.capture;
    let model = format!("{}{}", capture.model().name, source.suffix);
    let reading = Reading::new(model, source.text.clone(), &capture);
    let mut space = pipeline.encode(&reading, progress)?;
    let count = source.text.sentences.len();
    let explained = options.explain.checked_sub(1);
    if let Some(sentence) = explained.and_then(|at| source.text.sentences.get(at)) {
        let at = reading.text.sentences.iter().position(|own| own.line == sentence.line);
        let at = at.ok_or_else(|| format!("--explain: sentence {} has no tokens", options.explain))?;
        if let Some(prediction) = class_prediction(&capturer, &sentence.text, at, reading.side, progress)? {
            space.explanation = Some(pipeline.explain(&space, &reading, prediction)?);
        }
    } else if capturer.model().labels().len() > 1 {
        let found = options.explain;
        return Err(format!("--explain: expected a sentence from 1 to {count}, found {found}").into());
    }
    Ok(space)
}
