//! Settings of the pipeline.

use attn_core::Progress;
use attn_project::{Method, Projector, pca::Pca, tsne::Tsne};
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    concepts::{
        AlignParams, FrequencyFilter, LabelSet, OverlapParams, Subwords, TaggedText, Words, points::equal_rows,
    },
};

/// Fewest words that a map shows, and fewest for t-SNE.
const MAPPED: usize = 4;
const TSNE: usize = 100;

/// Settings of a [`Pipeline`](super::Pipeline).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PipelineParams {
    /// Layers, 0 for the embeddings. Default empty: all.
    pub layers: Vec<usize>,
    /// Tokens that stand for a word. Default: the last.
    pub subwords: Subwords,
    /// Words to cluster, by their frequency.
    pub filter: FrequencyFilter,
    /// Clusters per layer. Default `None`: 600, or a tenth of the words if that is less; in a layer with fewer different vectors, as
    /// many as these.
    pub clusters: Option<usize>,
    /// Alignment of clusters with labels; its threshold also holds for names.
    pub align: AlignParams,
    /// Clusters that are found again in another model.
    pub overlap: OverlapParams,
    /// Permutations for the chance level of every layer beside every layer. Default 5: there are many pairs.
    pub pair_permutations: usize,
    /// Key of the comment that labels sentences (`# sentiment = positive`). Default `sentiment`.
    pub classes: String,
    /// Different words that must share letters for these to be a label. Default 5.
    pub shared_by: usize,
    /// Length of stretches of letters that are labels. Default 3.
    pub ngram: usize,
    /// Whether words are laid out on a map, by t-SNE. Default true.
    pub map: bool,
    /// Seed of the map. Default 0.
    pub seed: u64,
}

impl Default for PipelineParams {
    fn default() -> Self {
        Self {
            layers: Vec::new(),
            subwords: Subwords::default(),
            filter: FrequencyFilter::default(),
            clusters: None,
            align: AlignParams::default(),
            overlap: OverlapParams::default(),
            pair_permutations: 5,
            classes: "sentiment".into(),
            shared_by: 5,
            ngram: 3,
            map: true,
            seed: 0,
        }
    }
}

impl PipelineParams {
    pub(super) fn check(&self) -> Result<()> {
        self.align.check()?;
        self.overlap.check()?;
        if self.clusters == Some(0) {
            return Err(Error::Parameter {
                name: "clusters",
                expected: "at least 1".into(),
                found: "0".into(),
            });
        }
        Ok(())
    }

    /// The number of clusters for the vectors of words. The embeddings of a model without positions give every occurrence of a
    /// word the same one.
    pub(super) fn cluster_count(&self, vectors: ArrayView2<'_, f32>) -> usize {
        self.clusters.unwrap_or_else(|| {
            let count = 600.min((vectors.nrows() / 10).max(1));
            count.min(equal_rows(vectors).len().max(1))
        })
    }

    pub(super) fn chosen_layers(&self, depth: usize) -> Result<Vec<usize>> {
        if self.layers.is_empty() {
            return Ok((0..=depth).collect());
        }
        match self.layers.iter().find(|&&layer| layer > depth) {
            Some(beyond) => Err(Error::Parameter {
                name: "layers",
                expected: format!("0 to {depth}"),
                found: beyond.to_string(),
            }),
            None => Ok(self.layers.clone()),
        }
    }

    /// Annotated sets first: they name clusters before spelling does.
    pub(super) fn label_sets(&self, text: &TaggedText, words: &Words) -> Result<Vec<LabelSet>> {
        let types = words.types();
        let mut sets = Vec::new();
        for column in &text.columns {
            sets.push(LabelSet::column(text, words, column)?);
        }
        sets.push(LabelSet::sentences(text, words, &self.classes)?);
        sets.push(LabelSet::suffixes(&types, self.shared_by));
        sets.push(LabelSet::prefixes(&types, self.shared_by));
        sets.push(LabelSet::ngrams(&types, self.ngram, self.shared_by));
        sets.push(LabelSet::casing(&types));
        sets.push(LabelSet::place(text, words)?);
        sets.retain(|set| !set.labels.is_empty());
        Ok(sets)
    }

    /// Places of the words on a plane.
    pub(super) fn map(&self, vectors: ArrayView2<'_, f32>, progress: &dyn Progress) -> Result<Vec<[f32; 2]>> {
        if !self.map || vectors.nrows() < MAPPED {
            return Ok(Vec::new());
        }
        // t-SNE fills the plane; UMAP sends a few single words far away and leaves no room for the rest.
        let method = match vectors.nrows() {
            ..TSNE => Method::from(Pca),
            _ => Tsne::default().into(),
        };
        let placed = Projector::new(method).seed(self.seed).fit(vectors, progress)?;
        Ok(placed.points.rows().into_iter().map(|row| [row[0], row[1]]).collect())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn there_are_no_more_clusters_than_different_vectors() {
        let params = PipelineParams::default();
        let vectors = Array2::from_shape_fn((100, 2), |(row, _)| (row % 3) as f32);
        assert_eq!(params.cluster_count(vectors.view()), 3);
        let vectors = Array2::from_shape_fn((100, 2), |(row, _)| row as f32);
        assert_eq!(params.cluster_count(vectors.view()), 10);
        assert_eq!(params.cluster_count(vectors.slice(ndarray::s![..4, ..])), 1);
        let params = PipelineParams {
            clusters: Some(7),
            ..params
        };
        assert_eq!(
            params.cluster_count(vectors.view()),
            7,
            "what is asked for is not changed"
        );
    }
}
