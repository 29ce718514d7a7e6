//! What a weight of attention is weighed by: attention alone, or what it carries. A large weight on a small value moves little (Kobayashi et
//! al. 2020).

use std::sync::{Arc, Mutex, PoisonError};

use attn_analyze::heads::{output_weighted, value_weighted};
use attn_core::{HeadId, HeadWeights};
use ndarray::{Array2, s};

use crate::{Error, Study};

/// What the weights of the single views stand for, rows always summing to 1.
#[derive(Debug, Clone, Default)]
pub enum Weighting {
    /// Attention.
    #[default]
    Attention,
    /// Attention times the length of the value vector (AttentionViz).
    Value,
    /// Attention times the length of what the value adds to the residual stream, the value times the head's part of the output projection
    /// (Kobayashi et al. 2020).
    /// `Model::head_weights` has them.
    Output(Arc<Vec<HeadWeights>>),
}

impl Weighting {
    /// What a title adds.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Attention => "",
            Self::Value => ", weighted by the length of values",
            Self::Output(_) => ", weighted by the length of what values add",
        }
    }
}

/// The weights that were asked for last, row by row as plots share them: scrolling through a long text asks for the same again
/// and again.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Option<(HeadId, usize, Arc<[f32]>)>>);

impl Clone for Recent {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Study {
    /// Says what the weights of sentences, pictures and attention lines stand for.
    pub fn set_weighting(&mut self, weighting: Weighting) {
        self.weighting = weighting;
        self.recent = Recent::default();
    }

    /// What the weights stand for.
    pub fn weighting(&self) -> &Weighting {
        &self.weighting
    }

    /// The weights of a head in a sequence, `[query, key]`, as [`set_weighting`](Self::set_weighting) says.
    ///
    /// # Errors
    /// [`Error::Core`] for a head or sequence that does not exist and for a capture without values, [`Error::Analyze`] for weights of another
    /// model.
    pub fn weights(&self, head: HeadId, sequence: usize) -> Result<Array2<f32>, Error> {
        let attention = self.capture().attention(head, sequence)?;
        if matches!(self.weighting, Weighting::Attention) {
            return Ok(attention);
        }
        let rows = self.capture().rows(sequence, head.attention.key_side());
        let values = self.capture().values(head)?;
        let values = values.slice(s![rows, ..]);
        let output = match &self.weighting {
            Weighting::Output(weights) => weights.iter().find(|weights| weights.head == head),
            Weighting::Attention | Weighting::Value => None,
        };
        Ok(match output {
            Some(output) => output_weighted(attention.view(), values, output.output.view())?,
            None => value_weighted(attention.view(), values)?,
        })
    }

    /// The same, kept until others are asked for.
    pub(crate) fn recent_weights(&self, head: HeadId, sequence: usize) -> Result<Arc<[f32]>, Error> {
        let mut recent = self.recent.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, in_sequence, weights)) = &*recent
            && (*of, *in_sequence) == (head, sequence)
        {
            return Ok(weights.clone());
        }
        let weights = shared(&self.weights(head, sequence)?);
        *recent = Some((head, sequence, weights.clone()));
        Ok(weights)
    }
}

/// Weights row by row, as plots share them.
pub(crate) fn shared(weights: &Array2<f32>) -> Arc<[f32]> {
    weights.as_standard_layout().as_slice().unwrap_or_default().into()
}
