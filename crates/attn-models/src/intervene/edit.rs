//! Edits: single changes inside a model, as data.

use attn_core::{Attention, HeadId, Side};
use serde::{Deserialize, Serialize};

use crate::{Point, Site};

/// Some of a number of things: sequences of a batch, heads of a layer, tokens of a sequence. All count from 0.
///
/// ```
/// use attn_models::intervene::Selection;
///
/// assert_eq!(Selection::from(2), Selection::Only(vec![2]));
/// assert_eq!(Selection::from(1..4), Selection::Only(vec![1, 2, 3]));
/// assert_eq!(Selection::default(), Selection::All);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// All of them.
    #[default]
    All,
    /// These.
    Only(Vec<usize>),
}

impl Selection {
    /// Whether `index` is one of them.
    pub fn includes(&self, index: usize) -> bool {
        match self {
            Self::All => true,
            Self::Only(some) => some.contains(&index),
        }
    }
}

impl From<usize> for Selection {
    fn from(index: usize) -> Self {
        Self::Only(vec![index])
    }
}

impl From<Vec<usize>> for Selection {
    fn from(indices: Vec<usize>) -> Self {
        Self::Only(indices)
    }
}

impl<const N: usize> From<[usize; N]> for Selection {
    fn from(indices: [usize; N]) -> Self {
        Self::Only(indices.to_vec())
    }
}

impl From<std::ops::Range<usize>> for Selection {
    fn from(indices: std::ops::Range<usize>) -> Self {
        Self::Only(indices.collect())
    }
}

/// Heads of one layer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Heads {
    /// Which attention.
    pub attention: Attention,
    /// Layer, from 0.
    pub layer: usize,
    /// Which of its heads.
    #[serde(default)]
    pub heads: Selection,
}

impl Heads {
    /// Some heads of a layer.
    pub fn new(attention: Attention, layer: usize, heads: impl Into<Selection>) -> Self {
        Self {
            attention,
            layer,
            heads: heads.into(),
        }
    }

    /// Every head of a layer.
    pub fn all(attention: Attention, layer: usize) -> Self {
        Self::new(attention, layer, Selection::All)
    }

    pub(super) fn site(&self, point: Point) -> Site {
        Site::new(self.attention, self.layer, point)
    }
}

impl From<HeadId> for Heads {
    fn from(head: HeadId) -> Self {
        Self::new(head.attention, head.layer, head.head)
    }
}

/// One change inside a model.
///
/// Tokens are counted over the real ones of their sequence, from 0, whatever padding is around them. In generation they
/// count on: an edit of a token that is not there yet acts in the step that computes it. What is not a token of the
/// sequence (padding) is changed only where all tokens are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Edit {
    /// The output of the heads is multiplied by `factor`: 0 ablates them, 1 changes nothing; any finite number.
    HeadMask {
        /// Which heads.
        #[serde(flatten)]
        heads: Heads,
        /// The factor.
        factor: f32,
    },
    /// One row of the attention is overwritten, after the softmax.
    AttentionRow {
        /// Which heads.
        #[serde(flatten)]
        heads: Heads,
        /// The query token.
        query: usize,
        /// One weight per key from key 0; keys beyond its end get 0.
        weights: Vec<f32>,
        /// Whether the row is divided by its sum.
        #[serde(alias = "renormalise")]
        renormalize: bool,
    },
    /// Cells of the attention are set to a weight, after the softmax.
    AttentionCells {
        /// Which heads.
        #[serde(flatten)]
        heads: Heads,
        /// The query tokens.
        queries: Selection,
        /// The key tokens.
        keys: Selection,
        /// The weight.
        weight: f32,
        /// Whether the rows get back the sums they had: 1, or less by what a sink takes (the cells then hold less than
        /// `weight` if rows grew).
        #[serde(alias = "renormalise")]
        renormalize: bool,
    },
    /// Cells of the attention are multiplied, after the softmax.
    AttentionFactor {
        /// Which heads.
        #[serde(flatten)]
        heads: Heads,
        /// The query tokens.
        queries: Selection,
        /// The key tokens.
        keys: Selection,
        /// The factor.
        factor: f32,
        /// Whether the rows get back the sums they had: 1, or less by what a sink takes.
        #[serde(alias = "renormalise")]
        renormalize: bool,
    },
    /// Edges are removed before the softmax, as if the queries could not see the keys: the rest of each row shares
    /// the attention in its old proportions.
    KnockOut {
        /// Which heads.
        #[serde(flatten)]
        heads: Heads,
        /// The query tokens.
        queries: Selection,
        /// The key tokens they must not see.
        keys: Selection,
    },
    /// The same for single pairs of query and key.
    KnockOutEdges {
        /// Which heads.
        #[serde(flatten)]
        heads: Heads,
        /// Query and key of each.
        edges: Vec<[usize; 2]>,
    },
    /// An activation is replaced by that of another run.
    Patch {
        /// Where. Any point but the positions.
        site: Site,
        /// Which heads, where the site has heads (key/value heads at keys and values); all elsewhere.
        #[serde(default)]
        heads: Selection,
        /// Which tokens; at scores and attention the queries.
        #[serde(default)]
        tokens: Selection,
        /// The sequence of the other run that they come from.
        donor: usize,
        /// Their tokens there, one for each of `tokens` in their order. Default: the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        donor_tokens: Option<Vec<usize>>,
    },
    /// A vector is added: steering.
    Add {
        /// Where: any point whose last axis is a vector, which are all but scores, attention and positions.
        site: Site,
        /// Which heads, where the site has heads (key/value heads at keys and values); all elsewhere.
        #[serde(default)]
        heads: Selection,
        /// Which tokens.
        #[serde(default)]
        tokens: Selection,
        /// As wide as the site; where it has heads, the vectors of the chosen heads one after the other.
        vector: Vec<f32>,
        /// Factor on the vector. Default: 1.
        #[serde(default = "one")]
        scale: f32,
    },
    /// An activation is replaced by a vector, such as its mean over a data set ([`Means`](super::Means)): mean ablation.
    Mean {
        /// As for [`Add`](Self::Add).
        site: Site,
        /// As for [`Add`](Self::Add).
        #[serde(default)]
        heads: Selection,
        /// Which tokens.
        #[serde(default)]
        tokens: Selection,
        /// As for [`Add`](Self::Add).
        vector: Vec<f32>,
    },
    /// Normal noise is added. It depends on the seed, the site, the head and the token's place in its sequence, and on
    /// nothing else: a sequence gets the same alone, in any batch and in any step. All sequences get the same.
    Noise {
        /// As for [`Add`](Self::Add).
        site: Site,
        /// As for [`Add`](Self::Add).
        #[serde(default)]
        heads: Selection,
        /// Which tokens.
        #[serde(default)]
        tokens: Selection,
        /// Standard deviation.
        scale: f32,
        /// Same seed, same noise. Default: 0.
        #[serde(default)]
        seed: u64,
    },
    /// An activation is multiplied. [`HeadMask`](Self::HeadMask) at any site and for single tokens.
    Scale {
        /// As for [`Add`](Self::Add).
        site: Site,
        /// As for [`Add`](Self::Add).
        #[serde(default)]
        heads: Selection,
        /// Which tokens.
        #[serde(default)]
        tokens: Selection,
        /// The factor.
        factor: f32,
    },
    /// Positions are removed: position vectors, rotations and relative biases become 0.
    RemovePositions {
        /// Of which stack.
        side: Side,
    },
    /// Tokens have the positions of others.
    ShufflePositions {
        /// Of which stack.
        side: Side,
        /// A permutation of `0..n`: token `t` gets the position of token `order[t]`, tokens from `n` on keep theirs. In
        /// generation the prompt has to have `n` tokens.
        order: Vec<usize>,
    },
}

/// The factor that changes nothing, for files that name none.
fn one() -> f32 {
    1.0
}

impl Edit {
    /// The same for some sequences of a batch only.
    pub fn in_sequences(self, sequences: impl Into<Selection>) -> Intervention {
        Intervention {
            sequences: sequences.into(),
            edit: self,
        }
    }

    /// The name used in files and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::HeadMask { .. } => "head_mask",
            Self::AttentionRow { .. } => "attention_row",
            Self::AttentionCells { .. } => "attention_cells",
            Self::AttentionFactor { .. } => "attention_factor",
            Self::KnockOut { .. } => "knock_out",
            Self::KnockOutEdges { .. } => "knock_out_edges",
            Self::Patch { .. } => "patch",
            Self::Add { .. } => "add",
            Self::Mean { .. } => "mean",
            Self::Noise { .. } => "noise",
            Self::Scale { .. } => "scale",
            Self::RemovePositions { .. } => "remove_positions",
            Self::ShufflePositions { .. } => "shuffle_positions",
        }
    }

    /// Where in the model it acts.
    pub fn site(&self) -> Site {
        match self {
            Self::HeadMask { heads, .. } => heads.site(Point::HeadOutput),
            Self::AttentionRow { heads, .. }
            | Self::AttentionCells { heads, .. }
            | Self::AttentionFactor { heads, .. } => heads.site(Point::Attention),
            Self::KnockOut { heads, .. } | Self::KnockOutEdges { heads, .. } => heads.site(Point::Scores),
            Self::Patch { site, .. }
            | Self::Add { site, .. }
            | Self::Mean { site, .. }
            | Self::Noise { site, .. }
            | Self::Scale { site, .. } => *site,
            Self::RemovePositions { side } | Self::ShufflePositions { side, .. } => Site::positions(*side),
        }
    }
}

/// An edit and the sequences of a batch it is for.
///
/// ```
/// use attn_core::{Attention, HeadId};
/// use attn_models::intervene::{Edit, Intervention};
///
/// let head = HeadId::new(Attention::EncoderSelf, 3, 9);
/// let without = Edit::HeadMask { heads: head.into(), factor: 0.0 }.in_sequences(1);
/// let saved = serde_json::to_string(&without)?;
/// assert_eq!(serde_json::from_str::<Intervention>(&saved)?, without);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intervention {
    /// Which sequences of a batch, or of the inputs of a generation, whichever beams they have. Default: all.
    #[serde(default)]
    pub sequences: Selection,
    /// What is changed.
    #[serde(flatten)]
    pub edit: Edit,
}

impl From<Edit> for Intervention {
    fn from(edit: Edit) -> Self {
        edit.in_sequences(Selection::All)
    }
}
