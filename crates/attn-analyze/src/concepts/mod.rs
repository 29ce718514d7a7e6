//! Latent concepts: clusters of words in a layer, and their alignment with concepts that people have named.
//!
//! [`Pipeline`] does all steps; each is also a function of its own.
//!
//! | step | ask | |
//! |---|---|---|
//! | annotated text | [`TaggedText`] | CoNLL-U or `word_tag` |
//! | words of a capture | [`Words::find`], [`Words::filter`], [`Words::vectors`] | one vector per word and layer |
//! | clusters | [`Clusterer`], [`ward`], [`k_means`], [`leaders_ward`], [`optics`] | [`adjusted_rand`] says how far two agree |
//! | human-defined concepts | [`LabelSet`] | tags, affixes, n-grams, casing, place, the sentence's class |
//! | do they coincide? | [`align`], [`sweep`] | beside its chance level; over numbers of clusters and thresholds |
//! | found again elsewhere? | [`overlap`] | another layer, model, or text |
//! | which were kept, lost, new? | [`changes`] | merged and split ones too |
//! | where would a new sentence lie? | [`Pipeline::place`] | the nearest clusters per layer |
//! | what shall we call them? | [`name_clusters`] | from the words alone, or by a [`Namer`] |
//! | which neurons tell them apart? | [`neurons`] | by means, and by a probe beside its control |
//! | which carried a prediction? | [`carried`] | from weights per token |
//!
//! A cluster without a label is not noise: it may be a concept nobody has annotated. And an aligned cluster says that a
//! layer *can* tell the concept apart, not that the model uses it.

mod align;
mod carried;
mod changes;
mod clusterer;
mod dendrogram;
mod kmeans;
mod labels;
mod leaders;
#[cfg(feature = "linfa")]
mod linfa;
mod names;
mod neurons;
mod optics;
mod overlap;
mod partition;
mod pipeline;
mod points;
mod scan;
mod sweep;
mod units;
mod ward;
mod words;

pub use attn_core::text::{TaggedSentence, TaggedText, TaggedWord, WordList};

pub use align::{Against, AlignParams, AlignRule, Alignment, BestLabel, Chance, OneWord, Permute, align};
pub use carried::{Carried, CarriedBy, SpecialToken, carried};
pub use changes::{Change, Changes, Fate, changes};
pub use clusterer::{Clusterer, Clustering, KMeansClusterer, LeadersWard, Ward};
pub use dendrogram::{Dendrogram, Merge, Top};
pub use kmeans::{KMeans, KMeansParams, KMeansStart, k_means, means};
pub use labels::{LabelSet, LabelSource};
pub use leaders::{Leaders, leaders, leaders_ward};
#[cfg(feature = "linfa")]
pub use linfa::{DbscanClusterer, GaussianMixtureClusterer};
pub use names::{ClusterName, ClusterSummary, NameKind, Namer, name_clusters};
pub use neurons::{ConceptNeurons, Neuron, NeuronParams, Neurons, neurons};
pub use optics::{OpticsClusterer, Reachability, optics};
pub use overlap::{FoundAgain, FoundOfKind, Match, Overlap, OverlapParams, overlap};
pub use partition::{Partition, adjusted_rand};
pub use pipeline::{
    Agreement, Branches, Centers, Comparison, ConceptCluster, ConceptLayer, ConceptSpace, ConceptStudy, Curve,
    Explanation, LAYERS, LabelRow, LayerCurves, LayerPair, LayerRow, LayerWeights, ModelSource, NamesFile, Near,
    Pipeline, PipelineParams, PlacedLayer, Placement, Prediction, Reading, excerpt, plain_text,
};
pub use sweep::{Plateau, Sweep, sweep, sweep_counts};
pub use units::Units;
pub use ward::ward;
pub use words::{DroppedWord, Filtered, FrequencyFilter, Subwords, WhyDropped, Word, Words};

#[cfg(test)]
mod tests;
