//! The attention of a whole layer.

use ndarray::{Array3, Axis, stack};

use super::Capture;
use crate::{Attention, Error, HeadId};

impl Capture {
    /// Attention probabilities of every head of a layer for one sequence, `[head, query, key]`, recomputed from queries
    /// and keys.
    ///
    /// For one head [`attention`](Self::attention) gives its matrix alone.
    ///
    /// # Errors
    /// As [`attention`](Self::attention).
    pub fn layer_attention(&self, attention: Attention, layer: usize, sequence: usize) -> Result<Array3<f32>, Error> {
        let heads = self.model().attention(attention).map_or(0, |info| info.heads_of(layer));
        // The first head is asked for in any case: it says what does not exist.
        let matrices = (0..heads.max(1))
            .map(|head| self.attention(HeadId::new(attention, layer, head), sequence))
            .collect::<Result<Vec<_>, _>>()?;
        let views: Vec<_> = matrices.iter().map(|matrix| matrix.view()).collect();
        stack(Axis(0), &views).map_err(|error| Error::Shape {
            place: format!("{attention} of layer {layer}"),
            expected: "matrices of one shape".to_owned(),
            found: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        CaptureWriter, ModelInfo, Sequence, Token,
        capture::{CapturePlan, Slot},
        model::{AttentionInfo, LayerAttention, Mask, Positions},
    };

    #[test]
    fn a_layer_is_its_heads_one_after_the_other() {
        let attention = Attention::DecoderSelf;
        let layer = LayerAttention::new(1.0, Mask::Causal);
        let model = ModelInfo {
            name: "tiny".into(),
            family: "gpt2".into(),
            hidden_size: 4,
            vocab_size: None,
            max_tokens: None,
            positions: Positions::None,
            attentions: vec![AttentionInfo::new(attention, 2, 1, vec![layer])],
        };
        let token = |position| Token {
            text: "x".into(),
            position,
            ..Token::default()
        };
        let sequence = Sequence {
            name: "line 1".into(),
            decoder: (0..3).map(token).collect(),
            ..Sequence::default()
        };
        let writer = CaptureWriter::in_memory(CapturePlan::new(model, vec![sequence])).unwrap();
        let values = [0.1, 0.9, -0.4, 0.7, 0.2, 1.5];
        for slot in [
            Slot::Query { attention, layer: 0 },
            Slot::Key { attention, layer: 0 },
            Slot::Value { attention, layer: 0 },
        ] {
            writer.write(slot, 0, &values).unwrap();
        }
        writer.commit(&[0]).unwrap();
        let capture = writer.finish().unwrap();
        let found = capture.layer_attention(attention, 0, 0).unwrap();
        assert_eq!(found.dim(), (2, 3, 3));
        for head in 0..2 {
            let own = capture.attention(HeadId::new(attention, 0, head), 0).unwrap();
            assert_eq!(found.index_axis(Axis(0), head), own);
        }
        assert!(capture.layer_attention(attention, 1, 0).is_err());
        assert!(capture.layer_attention(Attention::Cross, 0, 0).is_err());
        assert!(capture.layer_attention(attention, 0, 1).is_err());
    }
}
