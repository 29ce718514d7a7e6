//! Latent concepts: what words a layer holds together, and how far that is what people call by one name.
//!
//! | step | ask | |
//! |---|---|---|
//! | annotated text | [`TaggedText`] | CoNLL-U or `word_tag` |
//! | words of a capture | [`Words::find`], [`Words::filter`], [`Words::vectors`] | one vector per word and layer |
//! | clusters | [`ward`], [`k_means`], [`leaders_ward`] | [`adjusted_rand`] says how far two agree |
//! | human-defined concepts | [`LabelSet`] | tags, affixes, n-grams, casing, place, the sentence's class |
//! | do they coincide? | [`align`] | beside its chance level |
//! | found again elsewhere? | [`overlap`] | another layer, model, or text |
//! | what shall we call them? | [`name_clusters`] | from the words alone, or by a [`Namer`] |
//! | which carried a prediction? | [`carried`] | from weights per token |
//!
//! A cluster without a label is not noise: it may be a concept nobody has annotated. And an aligned cluster says that a
//! layer *can* tell the concept apart, not that the model uses it.

mod align;
mod carried;
mod dendrogram;
mod kmeans;
mod labels;
mod leaders;
mod names;
mod overlap;
mod partition;
mod points;
mod scan;
mod ward;
mod words;

pub use attn_core::text::{TaggedSentence, TaggedText, TaggedWord};

pub use align::{Against, AlignOptions, AlignRule, Alignment, BestLabel, Chance, Permute, align};
pub use carried::{Carried, CarriedBy, carried};
pub use dendrogram::{Dendrogram, Merge, Top};
pub use kmeans::{KMeans, KMeansOptions, k_means, means};
pub use labels::LabelSet;
pub use leaders::{Leaders, leaders, leaders_ward};
pub use names::{ClusterName, ClusterSummary, NameKind, Namer, name_clusters};
pub use overlap::{Match, Overlap, OverlapOptions, overlap};
pub use partition::{Partition, adjusted_rand};
pub use ward::ward;
pub use words::{DroppedWord, Filtered, FrequencyFilter, Subwords, Word, Words};

#[cfg(test)]
mod tests;
