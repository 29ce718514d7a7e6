//! A study as a file, and back: everything that the window shows, without the model.

use std::{path::Path, sync::Arc};

use attn_core::Side;
use serde::{Deserialize, Serialize};

use super::{ConceptSpace, ConceptStudy};
use crate::{
    Error, Result,
    concepts::{Dendrogram, Partition, TaggedText},
};

const SCHEMA: &str = "attn-concepts";
const VERSION: u32 = 1;

/// The file, as it is written.
#[derive(Serialize)]
struct Written<'a> {
    schema: &'static str,
    version: u32,
    /// The texts; several models mostly read one.
    texts: Vec<&'a TaggedText>,
    /// The text of each model.
    text_of: Vec<usize>,
    #[serde(flatten)]
    study: &'a ConceptStudy,
}

/// The file, as it is read.
#[derive(Deserialize)]
struct Read {
    schema: String,
    version: u32,
    texts: Vec<TaggedText>,
    text_of: Vec<usize>,
    #[serde(flatten)]
    study: ConceptStudy,
}

impl ConceptStudy {
    /// The study as JSON, `concepts.json`: texts, words, clusters with names and centers, trees, maps and comparisons. Not in it:
    /// the vectors of words.
    ///
    /// # Errors
    /// [`Error::File`] if a value has no JSON, such as an infinite height.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let (mut texts, mut text_of): (Vec<&Arc<TaggedText>>, Vec<usize>) = (Vec::new(), Vec::new());
        for model in &self.models {
            let known = texts
                .iter()
                .position(|text| Arc::ptr_eq(text, &model.text) || **text == model.text);
            text_of.push(known.unwrap_or(texts.len()));
            if known.is_none() {
                texts.push(&model.text);
            }
        }
        let written = Written {
            schema: SCHEMA,
            version: VERSION,
            texts: texts.into_iter().map(|text| &**text).collect(),
            text_of,
            study: self,
        };
        serde_json::to_vec(&written).map_err(|error| Error::File {
            place: "concepts.json".into(),
            message: error.to_string(),
        })
    }

    /// Reads what [`to_json`](Self::to_json) wrote; `place` is its file in errors. The model is not needed:
    /// [`Pipeline::recut`](super::Pipeline::recut) and [`Pipeline::compare`](super::Pipeline::compare) work on what is read.
    ///
    /// # Errors
    /// [`Error::File`] for another file or version, and for parts that contradict each other.
    pub fn from_json(bytes: &[u8], place: &Path) -> Result<Self> {
        let wrong = |message: String| Error::File {
            place: place.display().to_string(),
            message,
        };
        let read: Read = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if read.schema != SCHEMA || read.version != VERSION {
            return Err(wrong(format!(
                "expected schema {SCHEMA}, version {VERSION}, found schema {}, version {}",
                read.schema, read.version
            )));
        }
        let texts: Vec<Arc<TaggedText>> = read.texts.into_iter().map(Arc::new).collect();
        let mut study = read.study;
        if study.models.is_empty() || read.text_of.len() != study.models.len() {
            return Err(wrong(format!(
                "expected a text for each of at least one model, found {} for {}",
                read.text_of.len(),
                study.models.len()
            )));
        }
        for (model, at) in study.models.iter_mut().zip(read.text_of) {
            let text = texts
                .get(at)
                .ok_or_else(|| wrong(format!("models: there is no text {at}")))?;
            model.text = text.clone();
            restore(model).map_err(|message| wrong(format!("model {}: {message}", model.model)))?;
        }
        for comparison in &study.comparisons {
            check_comparison(&study.models, comparison).map_err(wrong)?;
        }
        Ok(study)
    }
}

/// Checks what was read, and computes what is not in files.
fn restore(space: &mut ConceptSpace) -> std::result::Result<(), String> {
    let words = space.words.words.len();
    let lost = |word: &&crate::concepts::Word| {
        let sentence = space.text.sentences.get(word.sentence);
        sentence.is_none_or(|sentence| !word.special && word.index >= sentence.words.len()) || word.tokens.is_empty()
    };
    if let Some(word) = space.words.words.iter().find(lost) {
        return Err(format!(
            "the word `{}` is in sentence {}, which the text lacks",
            word.text, word.sentence
        ));
    }
    for set in &space.sets {
        let beyond = set.of.iter().flatten().any(|&label| label >= set.labels.len());
        if set.of.len() != words || beyond {
            return Err(format!("the label set {} is of other words", set.name));
        }
    }
    for layer in &mut space.layers {
        let mut of = vec![None; words];
        for (cluster, found) in layer.clusters.iter().enumerate() {
            for &member in &found.members {
                match of.get_mut(member) {
                    Some(own @ None) => *own = Some(cluster),
                    _ => {
                        return Err(format!(
                            "layer {}: cluster {cluster} has the word {member}, expected one of {words} that no other has",
                            layer.layer
                        ));
                    }
                }
            }
            if found.labels.len() != space.sets.len() {
                return Err(format!(
                    "layer {}: cluster {cluster} has {} labels for {} label sets",
                    layer.layer,
                    found.labels.len(),
                    space.sets.len()
                ));
            }
        }
        let partition = Partition::with_noise(of.iter().copied());
        if partition.of() != of {
            return Err(format!(
                "layer {}: clusters are not numbered by their first word, or one is empty",
                layer.layer
            ));
        }
        layer.partition = partition;
        let clusters = layer.clusters.len();
        if !(layer.centers.is_empty() || layer.centers.spread.len() == clusters) {
            let (number, found) = (layer.layer, layer.centers.spread.len());
            return Err(format!("layer {number}: {found} centers for {clusters} clusters"));
        }
        if !(layer.map.is_empty() || layer.map.len() == words) {
            return Err(format!(
                "layer {}: the map has {} words, not {words}",
                layer.layer,
                layer.map.len()
            ));
        }
        if layer.map.iter().flatten().any(|place| !place.is_finite()) {
            return Err(format!("layer {}: the map has a place that is not finite", layer.layer));
        }
        if let Some(whole) = layer.whole.as_ref().filter(|whole| whole.points() != words) {
            return Err(format!(
                "layer {}: the tree has {} words, not {words}",
                layer.layer,
                whole.points()
            ));
        }
        let whole = layer.whole.as_ref();
        layer.tree = whole
            .and_then(|whole| whole.top(layer.partition.count()).ok())
            .map(|top| top.tree);
        if layer.rows.len() != space.sets.len() {
            let (rows, sets) = (layer.rows.len(), space.sets.len());
            return Err(format!("layer {}: {rows} rows for {sets} label sets", layer.layer));
        }
        for sweep in &layer.sweeps {
            let lengths = [sweep.one_word.len(), sweep.judged.len(), sweep.aligned.len()];
            let ragged = sweep.aligned.iter().any(|row| row.len() != sweep.thresholds.len());
            if lengths != [sweep.clusters.len(); 3] || ragged {
                let set = &sweep.label_set;
                return Err(format!(
                    "layer {}: the sweep of {set} has rows of other lengths",
                    layer.layer
                ));
            }
        }
        if let Some(reach) = &layer.reachability {
            let lengths = [reach.order.len(), reach.reachability.len(), reach.core.len()];
            if lengths != [words; 3] || reach.order.iter().any(|&point| point >= words) {
                return Err(format!("layer {}: the reachability is of other words", layer.layer));
            }
        }
    }
    if let Some(found) = &space.explanation {
        let count = found.words.words.len();
        let mut layers = found.layers.iter().zip(&space.layers);
        let beyond = layers.any(|(own, layer)| {
            let mut parts = own.clusters.iter();
            parts.any(|part| part.cluster >= layer.clusters.len() || part.words.iter().any(|&word| word >= count))
        });
        if beyond || found.clustered.len() != count || found.sentence >= space.text.sentences.len() {
            return Err("the explanation is of other words, clusters or sentences".into());
        }
    }
    Ok(())
}

fn check_comparison(models: &[ConceptSpace], comparison: &super::Comparison) -> std::result::Result<(), String> {
    let (Some(a), Some(b)) = (models.get(comparison.before), models.get(comparison.after)) else {
        return Err(format!(
            "comparisons: models {} and {} of {}",
            comparison.before,
            comparison.after,
            models.len()
        ));
    };
    if comparison.between.len() != a.layers.len() || comparison.between.iter().any(|row| row.len() != b.layers.len()) {
        return Err("comparisons: the table of layers has other layers than the models".into());
    }
    for pair in &comparison.layers {
        let clusters = |space: &ConceptSpace, layer: usize| {
            let found = space.layers.iter().find(|own| own.layer == layer);
            found.map(|found| found.clusters.len())
        };
        let (ours, theirs) = (clusters(a, pair.before), clusters(b, pair.after));
        let beyond = pair.changes.list.iter().any(|change| {
            change.before.iter().any(|&at| Some(at) >= ours) || change.after.iter().any(|&at| Some(at) >= theirs)
        });
        if beyond || ours.is_none() || theirs.is_none() {
            return Err(format!(
                "comparisons: layers {} and {} have no such clusters",
                pair.before, pair.after
            ));
        }
    }
    Ok(())
}

/// A whole tree as `[left, right, height]` per step: names of fields would be most of the file.
pub(super) mod tree {
    use serde::{Deserializer, Serializer, de::Error as _, ser::Error as _};

    use super::{Dendrogram, Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Steps {
        points: usize,
        steps: Vec<(usize, usize, f64)>,
    }

    pub(in super::super) fn serialize<S: Serializer>(tree: &Option<Dendrogram>, to: S) -> Result<S::Ok, S::Error> {
        let Some(tree) = tree else { return to.serialize_none() };
        let steps = tree
            .merges()
            .iter()
            .map(|merge| (merge.left, merge.right, merge.height));
        let steps = Steps {
            points: tree.points(),
            steps: steps.collect(),
        };
        if steps.steps.iter().any(|(.., height)| !height.is_finite()) {
            return Err(S::Error::custom("a height that is not finite"));
        }
        to.serialize_some(&steps)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Dendrogram>, D::Error> {
        let Some(found) = Option::<Steps>::deserialize(from)? else {
            return Ok(None);
        };
        let tree = Dendrogram::from_steps(found.points, found.steps);
        tree.map(Some).map_err(D::Error::custom)
    }
}

/// Centers of clusters: the means as Base64 of little-endian single precision, half as long as decimals.
pub(super) mod centers {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use ndarray::Array2;
    use serde::{Deserializer, Serializer, de::Error as _};

    use super::{Deserialize, Serialize};
    use crate::concepts::Centers;

    #[derive(Serialize, Deserialize)]
    struct Packed {
        dims: usize,
        means: String,
        spread: Vec<f64>,
    }

    pub(in super::super) fn serialize<S: Serializer>(centers: &Centers, to: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = centers.means.iter().flat_map(|x| x.to_le_bytes()).collect();
        let packed = Packed {
            dims: centers.means.ncols(),
            means: BASE64_STANDARD.encode(bytes),
            spread: centers.spread.clone(),
        };
        packed.serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Centers, D::Error> {
        let packed = Packed::deserialize(from)?;
        let bytes = BASE64_STANDARD.decode(packed.means).map_err(D::Error::custom)?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        let means: Vec<f32> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let shape = (packed.spread.len(), packed.dims);
        let expected = || {
            D::Error::custom(format!(
                "centers: expected {} finite means of {} dimensions",
                shape.0, shape.1
            ))
        };
        if !rest.is_empty() || means.iter().any(|x| !x.is_finite()) || packed.spread.iter().any(|x| !x.is_finite()) {
            return Err(expected());
        }
        Ok(Centers {
            means: Array2::from_shape_vec(shape, means).map_err(|_| expected())?,
            spread: packed.spread,
        })
    }
}

/// The side of a model with two stacks, in names.
pub(super) fn side_name(side: Side) -> &'static str {
    match side {
        Side::Encoder => "encoder",
        Side::Decoder => "decoder",
    }
}
