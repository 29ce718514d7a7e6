//! Weighting of attention: raw weights, value norms, or output norms. A large weight on a small value has little effect (Kobayashi
//! et al. 2020).

use std::sync::{Arc, Mutex, PoisonError};

use attn_analyze::heads::{output_weighted, value_weighted};
use attn_core::{Capture, HeadId, HeadWeights};
use ndarray::{Array2, s};

use crate::{Error, Study};

/// Weighting of attention in plots. Rows sum to 1.
#[derive(Debug, Clone, Default)]
pub enum Weighting {
    /// Raw attention weights.
    #[default]
    Attention,
    /// Attention times the norm of the value vector (AttentionViz).
    Value,
    /// Attention times the norm of the value's contribution to the residual stream: the value times the head's part of the output
    /// matrix (Kobayashi et al. 2020). `Model::head_weights` gives the matrices.
    Output(Arc<Vec<HeadWeights>>),
}

impl Weighting {
    /// The suffix of titles.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Attention => "",
            Self::Value => ", weighted by value norms",
            Self::Output(_) => ", weighted by output norms",
        }
    }

    /// The weights of a head in a sequence of a capture, `[query, key]`.
    pub(crate) fn weights(&self, capture: &Capture, head: HeadId, sequence: usize) -> Result<Array2<f32>, Error> {
        let attention = capture.attention(head, sequence)?;
        if matches!(self, Self::Attention) {
            return Ok(attention);
        }
        let rows = capture.rows(sequence, head.attention.key_side());
        let values = capture.values(head)?;
        let values = values.slice(s![rows, ..]);
        let output = match self {
            Self::Output(weights) => weights.iter().find(|weights| weights.head == head),
            Self::Attention | Self::Value => None,
        };
        Ok(match output {
            Some(output) => output_weighted(attention.view(), values, output.output.view())?,
            None => value_weighted(attention.view(), values)?,
        })
    }
}

/// The last weights, row by row as plots share them: scrolling through a long text requests the same weights repeatedly.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Option<(HeadId, usize, Arc<[f32]>)>>);

impl Clone for Recent {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Study {
    /// Sets the weighting of sentences, images and attention lines.
    pub fn set_weighting(&mut self, weighting: Weighting) {
        self.weighting = weighting;
        self.recent = Recent::default();
    }

    /// The weighting.
    pub fn weighting(&self) -> &Weighting {
        &self.weighting
    }

    /// The weights of a head in a sequence, `[query, key]`, with the [weighting](Self::set_weighting) of the study.
    ///
    /// # Errors
    /// [`Error::Core`] for a head or sequence that does not exist and for a capture without values, [`Error::Analyze`] for weights of another
    /// model.
    pub fn weights(&self, head: HeadId, sequence: usize) -> Result<Array2<f32>, Error> {
        self.weighting.weights(self.capture(), head, sequence)
    }

    /// The same, with a cache of the last result.
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
