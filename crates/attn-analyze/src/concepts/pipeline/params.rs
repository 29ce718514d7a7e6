//! Settings of the pipeline.

use std::collections::BTreeSet;

use attn_core::Progress;
use attn_project::{Method, Projector, pca::Pca, tsne::Tsne};
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    concepts::{
        AlignParams, Dendrogram, FrequencyFilter, LabelSet, NeuronParams, OverlapParams, Subwords, TaggedText, Word,
        WordList, Words, points::equal_rows,
    },
};

/// Fewest words that a map shows; fewest and most for t-SNE, which takes hours for hundreds of thousands.
const MAPPED: usize = 4;
const TSNE: usize = 100;
const MOST: usize = 60_000;
/// Words per cluster, by default.
const PER_CLUSTER: usize = 50;

/// Settings of a [`Pipeline`](super::Pipeline).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PipelineParams {
    /// Layers, 0 for the embeddings, in any order. Default empty: all.
    pub layers: Vec<usize>,
    /// Tokens that stand for a word. Default: the last.
    pub subwords: Subwords,
    /// Words to cluster, by their frequency.
    pub filter: FrequencyFilter,
    /// Clusters per layer. Default `None`: 600, or a fiftieth of the words if that is less, which leaves few clusters of one word
    /// where each word occurs at most 20 times ([`sweep`](Self::sweep) shows the others); in a layer with fewer different
    /// vectors, as many as these.
    pub clusters: Option<usize>,
    /// Alignment of clusters with labels; its threshold also holds for names.
    pub align: AlignParams,
    /// Clusters that are found again in another model.
    pub overlap: OverlapParams,
    /// Permutations for the chance level of every layer beside every layer. Default 5: there are many pairs.
    pub pair_permutations: usize,
    /// Whether alignment with the labels of the file is swept over numbers of clusters and thresholds, of methods with a tree.
    /// Default true.
    pub sweep: bool,
    /// Permutations for the chance level of each cell of a sweep. Default 5.
    pub sweep_permutations: usize,
    /// Labels of words that are no concept: `O` of entities and chunks is what is outside of them, `_` is no annotation. Default
    /// both.
    pub no_labels: Vec<String>,
    /// Separator of levels in hierarchical labels (`SEM:origin:europe`), which are then aligned level by level. Default `None`.
    pub levels: Option<char>,
    /// Lists of words that are concepts.
    pub word_lists: Vec<WordList>,
    /// Whether special tokens (`[CLS]`) are clustered as points of a kind of their own. Default false: an explanation shows
    /// their share in any case.
    pub special_tokens: bool,
    /// Ranking of neurons for the labels that words have. Default `None`: none.
    pub neurons: Option<NeuronParams>,
    /// Key of the comment that labels sentences (`# sentiment = positive`). Default `sentiment`.
    pub classes: String,
    /// Different words that must share letters for these to be a label. Default 5.
    pub shared_by: usize,
    /// Length of stretches of letters that are labels. Default 3.
    pub ngram: usize,
    /// Whether words are laid out on a map: by t-SNE, of fewer than 100 and of more than 60,000 words by PCA. Default true.
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
            sweep: true,
            sweep_permutations: 5,
            no_labels: vec!["O".into(), "_".into()],
            levels: None,
            word_lists: Vec::new(),
            special_tokens: false,
            neurons: None,
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
        self.count_of(vectors.nrows(), || equal_rows(vectors).len())
    }

    /// The number of clusters for a tree over the vectors of words, which joins equal ones at height 0.
    pub(super) fn count_of_tree(&self, tree: &Dendrogram) -> usize {
        let equal = || tree.merges().iter().take_while(|merge| merge.height == 0.0).count();
        let count = self.count_of(tree.points(), || tree.points() - equal());
        count.min(tree.points())
    }

    fn count_of(&self, words: usize, different: impl FnOnce() -> usize) -> usize {
        self.clusters
            .unwrap_or_else(|| self.usual_count(words).min(different().max(1)))
    }

    /// The number of clusters by default, if the words have so many different vectors.
    pub(super) fn usual_count(&self, words: usize) -> usize {
        600.min((words / PER_CLUSTER).max(MAPPED.min(words)))
    }

    /// The layers to cluster, ascending, of those that a capture has.
    pub(super) fn chosen_layers(&self, there: &[usize]) -> Result<Vec<usize>> {
        if there.is_empty() {
            return Err(Error::Empty {
                place: "capture".into(),
                expected: "hidden states of the layers".into(),
            });
        }
        if self.layers.is_empty() {
            return Ok(there.to_vec());
        }
        let chosen: BTreeSet<usize> = self.layers.iter().copied().collect();
        match chosen.iter().find(|layer| !there.contains(layer)) {
            Some(beyond) => {
                let whole = there.len() == there.last().map_or(0, |last| last + 1);
                let list = || there.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
                Err(Error::Parameter {
                    name: "layers",
                    expected: match whole {
                        true => format!("0 to {}", there.len() - 1),
                        false => list(),
                    },
                    found: beyond.to_string(),
                })
            }
            None => Ok(chosen.into_iter().collect()),
        }
    }

    /// Annotated sets first, they name clusters before spelling does; and what was left out, in words.
    pub(super) fn label_sets(&self, text: &TaggedText, words: &Words) -> Result<(Vec<LabelSet>, Vec<String>)> {
        let spelling = |word: &Word| if word.special { String::new() } else { word.text.clone() };
        let types: Vec<String> = words.words.iter().map(spelling).collect();
        let types: Vec<&str> = types.iter().map(String::as_str).collect();
        let (mut sets, mut notes) = (Vec::new(), Vec::new());
        for column in &text.columns {
            let (set, outside) = LabelSet::column(text, words, column)?.without(&self.no_labels);
            if outside > 0 {
                let labels = self.no_labels.join(", ");
                notes.push(format!(
                    "{column}: {outside} words with a label that is no concept ({labels})"
                ));
            }
            match self.levels {
                Some(separator) if set.labels.iter().any(|label| label.contains(separator)) => {
                    sets.extend(set.levels(separator));
                }
                _ => sets.push(set),
            }
        }
        for list in &self.word_lists {
            sets.push(LabelSet::word_list(&list.name, list, &types));
        }
        sets.push(LabelSet::sentences(text, words, &self.classes)?);
        sets.push(LabelSet::suffixes(&types, self.shared_by));
        sets.push(LabelSet::prefixes(&types, self.shared_by));
        sets.push(LabelSet::ngrams(&types, self.ngram, self.shared_by));
        sets.push(LabelSet::casing(&types));
        sets.push(LabelSet::place(text, words)?);
        sets.retain(|set| !set.labels.is_empty());
        Ok((sets, notes))
    }

    /// Places of the words on a plane.
    pub(super) fn map(&self, vectors: ArrayView2<'_, f32>, progress: &dyn Progress) -> Result<Vec<[f32; 2]>> {
        if !self.map || vectors.nrows() < MAPPED {
            return Ok(Vec::new());
        }
        // t-SNE fills the plane; UMAP sends a few single words far away and leaves no room for the rest.
        let method = match vectors.nrows() {
            TSNE..=MOST => Tsne::default().into(),
            _ => Method::from(Pca),
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
        assert_eq!(params.cluster_count(vectors.view()), 4);
        assert_eq!(params.cluster_count(vectors.slice(ndarray::s![..3, ..])), 3);
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
