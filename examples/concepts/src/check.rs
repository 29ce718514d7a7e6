//! What is refused before anything is done: wrong settings, files, sentences, layers and models.

use std::error::Error;

use attn_sdk::analyze::concepts::{Clusterer, ConceptSpace, GaussianMixtureClusterer, plain_text};

use super::{
    options::{Method, Named, Options},
    run::pipeline,
    source::Source,
};

/// Refuses what cannot be done, before anything is: wrong settings, files, sentences and layers.
pub(crate) fn check(options: &Options, sources: &[Source]) -> Result<(), Box<dyn Error>> {
    let params = options.params()?;
    if let (Method::Gaussian, Some(asked)) = (options.method, params.clusters)
        && let Some(most) = GaussianMixtureClusterer::default()
            .most_clusters()
            .filter(|&most| asked > most)
    {
        return Err(format!("--clusters: expected at most {most} for --method gaussian, found {asked}").into());
    }
    pipeline(options, params)?;
    let names = options.names()?;
    if let Some(sentence) = &options.sentence {
        if plain_text(sentence).sentences.iter().all(|own| own.words.is_empty()) {
            return Err("--sentence: expected a text with a word, found none".into());
        }
        if sources.iter().any(|source| !source.has_model()) {
            return Err("--sentence: needs the models: give --model and --model-after beside --capture".into());
        }
    }
    // The stacks of an encoder-decoder count as two models.
    let most = 2 * sources.len();
    for named in names.iter().filter(|_| !sources.is_empty()) {
        let (expected, layer) = ("expected [MODEL:]LAYER=FILE with the number of the model", named.layer);
        match named.model {
            None if sources.len() > 1 => {
                let count = sources.len();
                return Err(format!("--names: {expected}, from 1 to {count}, found {layer}= alone").into());
            }
            Some(model) if !(1..=most).contains(&model) => {
                return Err(format!("--names: {expected}, from 1 to {}, found {model}", sources.len()).into());
            }
            _ if !options.layers.is_empty() => check_layer("--names", layer, options.layers.iter().copied())?,
            _ => {}
        }
    }
    for (at, source) in sources.iter().enumerate() {
        let count = source.text.sentences.len();
        if options.sentence.is_none() && !(1..=count).contains(&options.explain) {
            let found = options.explain;
            return Err(format!("--explain: expected a sentence from 1 to {count}, found {found}").into());
        }
        let Some(layers) = source.layers()? else { continue };
        for &layer in &options.layers {
            check_layer("--layers", layer, layers.iter().copied())?;
        }
        for named in names
            .iter()
            .filter(|named| named.model.is_none_or(|model| model == at + 1))
        {
            check_layer("--names", named.layer, layers.iter().copied())?;
        }
    }
    Ok(())
}

/// Refuses a layer that is not there.
pub(crate) fn check_layer(
    option: &str,
    layer: usize,
    mut there: impl Iterator<Item = usize> + Clone,
) -> Result<(), Box<dyn Error>> {
    let list = there
        .clone()
        .map(|layer| layer.to_string())
        .collect::<Vec<_>>()
        .join(", ");
    match there.any(|own| own == layer) {
        true => Ok(()),
        false => Err(format!("{option}: expected one of the layers {list}, found {layer}").into()),
    }
}

/// The model that a file of names is about.
pub(crate) fn model_of(named: &Named, models: &[ConceptSpace]) -> Result<usize, Box<dyn Error>> {
    match (named.model, models.len()) {
        (None, 1) => Ok(0),
        (Some(model), count) if (1..=count).contains(&model) => Ok(model - 1),
        _ => {
            let list = models.iter().enumerate();
            let list: Vec<String> = list
                .map(|(at, model)| format!("{} ({})", at + 1, model.name()))
                .collect();
            let found = named.model.map_or("no number".to_owned(), |model| model.to_string());
            Err(format!(
                "--names: expected the number of a model, {}, found {found}",
                list.join(", ")
            )
            .into())
        }
    }
}
