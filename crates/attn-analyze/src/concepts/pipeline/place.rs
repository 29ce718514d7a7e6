//! Words of new sentences in a space that is finished: the nearest clusters, layer by layer.

use std::sync::Arc;

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::{ConceptSpace, Reading};
use crate::{
    Error, Result,
    concepts::{Partition, TaggedSentence, TaggedText, Words, means, points::squared_distance},
};
use attn_core::text::TaggedWord;

/// Where the clusters of a layer are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Centers {
    /// The mean of each cluster, `[cluster, hidden_size]`.
    pub means: Array2<f32>,
    /// Root mean square distance of each cluster's words to its mean: what is usual in it.
    pub spread: Vec<f64>,
}

impl Centers {
    /// Of the clusters of points, `[point, dimension]`.
    pub fn new(points: ArrayView2<'_, f32>, partition: &Partition) -> Self {
        let means = means(points, partition);
        let (mut sums, mut sizes) = (vec![0.0; partition.count()], vec![0_usize; partition.count()]);
        for (point, cluster) in points.rows().into_iter().zip(partition.of()) {
            let Some(cluster) = *cluster else { continue };
            let mean = means.row(cluster);
            let distance = match (point.as_slice(), mean.as_slice()) {
                (Some(point), Some(mean)) => squared_distance(point, mean),
                _ => {
                    let pairs = point.iter().zip(mean);
                    pairs.map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum()
                }
            };
            sums[cluster] += distance;
            sizes[cluster] += 1;
        }
        let spread = sums.into_iter().zip(sizes);
        Self {
            spread: spread.map(|(sum, size)| (sum / size.max(1) as f64).sqrt()).collect(),
            means,
        }
    }

    /// Whether nothing is known, as of a space that was read from a file and cut anew.
    pub fn is_empty(&self) -> bool {
        self.spread.is_empty()
    }

    /// The clusters nearest to a vector, nearest first.
    pub fn nearest(&self, vector: &[f32], most: usize) -> Vec<Near> {
        let near = |(cluster, mean): (usize, ndarray::ArrayView1<'_, f32>)| {
            let pairs = vector.iter().zip(mean);
            let squares = pairs.map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2));
            Near {
                cluster,
                distance: squares.sum::<f64>().sqrt(),
                usual: self.spread[cluster],
            }
        };
        let mut all: Vec<Near> = self.means.rows().into_iter().enumerate().map(near).collect();
        all.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.cluster.cmp(&b.cluster)));
        all.truncate(most);
        all
    }
}

/// A cluster near a word.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Near {
    /// The cluster.
    pub cluster: usize,
    /// Euclidean distance of the word's vector to the mean of the cluster.
    pub distance: f64,
    /// The root mean square of that distance over the words of the cluster. A word much farther away is near nothing.
    pub usual: f64,
}

/// The words of new sentences in every layer of a space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// The words that have tokens.
    pub words: Words,
    /// The layers of the space.
    pub layers: Vec<PlacedLayer>,
}

/// The words of new sentences in one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlacedLayer {
    /// The layer.
    pub layer: usize,
    /// For each of [`Placement::words`] the nearest clusters, nearest first.
    pub words: Vec<Vec<Near>>,
}

impl Placement {
    pub(super) fn new(space: &ConceptSpace, reading: &Reading<'_>, nearest: usize) -> Result<Self> {
        let words = Words::find(&reading.text, reading.capture, reading.side)?;
        let mut layers = Vec::with_capacity(space.layers.len());
        for layer in &space.layers {
            let centers = &layer.centers;
            if centers.is_empty() {
                return Err(Error::Empty {
                    place: format!("layer {}", layer.layer),
                    expected: "the centers of its clusters".into(),
                });
            }
            let vectors = words.vectors(reading.capture, reading.side, layer.layer, space.subwords)?;
            if vectors.ncols() != centers.means.ncols() {
                return Err(Error::Shape {
                    place: format!("vectors of layer {}", layer.layer),
                    expected: format!("{} dimensions, as the clusters have", centers.means.ncols()),
                    found: vectors.ncols().to_string(),
                });
            }
            let near = vectors.rows().into_iter();
            let near = near.map(|vector| centers.nearest(vector.as_slice().unwrap_or_default(), nearest));
            layers.push(PlacedLayer {
                layer: layer.layer,
                words: near.collect(),
            });
        }
        Ok(Self { words, layers })
    }
}

impl ConceptSpace {
    /// New sentences and their nearest clusters as Markdown, a table per layer.
    pub fn placement_markdown(&self, placement: &Placement) -> String {
        use std::fmt::Write as _;
        let mut out = format!("# Nearest clusters of {}\n", self.name());
        for (placed, layer) in placement.layers.iter().zip(&self.layers) {
            let _ = writeln!(
                out,
                "\n## Layer {}\n\n| word | nearest cluster | distance (usual in it) | next |\n|---|---|---|---|",
                placed.layer
            );
            let name = |near: &Near| layer.clusters.get(near.cluster).map_or("", |found| &found.name.text);
            for (word, near) in placement.words.words.iter().zip(&placed.words) {
                let Some((first, rest)) = near.split_first() else {
                    continue;
                };
                let rest: Vec<String> = rest
                    .iter()
                    .map(|near| format!("{} ({:.2})", name(near), near.distance))
                    .collect();
                let _ = writeln!(
                    out,
                    "| {} | {} | {:.2} ({:.2}) | {} |",
                    word.text,
                    name(first),
                    first.distance,
                    first.usual,
                    rest.join("; ")
                );
            }
        }
        out
    }
}

/// A sentence without labels, divided into words: letters and digits that follow one another, and every other mark alone. For
/// a sentence that is typed. A TAB separates the two texts of a pair.
///
/// ```
/// use attn_analyze::concepts::plain_text;
///
/// let text = plain_text("She's here, now.");
/// let words: Vec<_> = text.sentences[0].words.iter().map(|word| word.text.as_str()).collect();
/// assert_eq!(words, ["She's", "here", ",", "now", "."]);
/// assert_eq!(plain_text("A man sleeps.\tHe is awake.").sentences[0].texts().1, Some("He is awake."));
/// ```
pub fn plain_text(sentence: &str) -> Arc<TaggedText> {
    // What a line break would be to a reader of lines.
    let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let parts = sentence
        .split_once('\t')
        .map(|(first, second)| (line(first), line(second)));
    let (text, second) = match parts.filter(|(first, second)| !first.is_empty() && !second.is_empty()) {
        Some((first, second)) => (format!("{first}\t{second}"), Some(first.len() + 1)),
        None => (line(sentence), None),
    };
    let letters: Vec<(usize, char)> = text.char_indices().collect();
    let inner = |at: usize| {
        let letter = |at: usize| letters.get(at).is_some_and(|&(_, c)| c.is_alphanumeric());
        letter(at) || matches!(letters[at].1, '\'' | '’') && at > 0 && letter(at - 1) && letter(at + 1)
    };
    let mut words: Vec<TaggedWord> = Vec::new();
    let mut grows = false;
    for (at, &(start, c)) in letters.iter().enumerate() {
        let end = start + c.len_utf8();
        let is_inner = inner(at);
        match words.last_mut() {
            Some(word) if grows && is_inner => word.span.1 = end,
            _ if c.is_whitespace() => {}
            _ => words.push(TaggedWord {
                text: String::new(),
                span: (start, end),
                tags: Vec::new(),
            }),
        }
        grows = is_inner;
    }
    for word in &mut words {
        word.text = text.get(word.span.0..word.span.1).unwrap_or_default().to_owned();
    }
    Arc::new(TaggedText {
        columns: Vec::new(),
        sentences: vec![TaggedSentence {
            text,
            second,
            line: 1,
            comments: Vec::new(),
            words,
        }],
    })
}
