//! Weight matrices of single heads.

use ndarray::Array2;

use crate::HeadId;

/// The weights of one head, as they multiply row vectors from the right. Heads that share keys and values hold those of their
/// group. Biases, norms and rotation are not included.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadWeights {
    /// The head.
    pub head: HeadId,
    /// `[hidden, head_dim]`.
    pub query: Array2<f32>,
    /// `[hidden, head_dim]`; of a cross-attention, from the encoder's states.
    pub key: Array2<f32>,
    /// `[hidden, head_dim]`; of a cross-attention, from the encoder's states.
    pub value: Array2<f32>,
    /// `[head_dim, hidden]`.
    pub output: Array2<f32>,
}
