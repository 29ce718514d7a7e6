//! The matrices of every head, for what is measured on weights alone.

use attn_core::{
    Attention, HeadId, HeadWeights,
    ndarray::{Array2, Array3},
};

use crate::{
    Error, Model, Result,
    blocks::{Linear, MultiHead, Qkv},
    to_array,
};

impl Model {
    /// The query, key, value and output matrices of every head, in the order of
    /// [`ModelInfo::heads`](attn_core::ModelInfo::heads), as they multiply: with layer scale, without the gain of a
    /// norm before the attention.
    ///
    /// ```
    /// use attn_models::{Gradients, Model, Weights};
    ///
    /// let config = r#"{"model_type": "gpt2", "vocab_size": 10, "n_embd": 8, "n_head": 2, "n_layer": 3, "n_positions": 4}"#;
    /// let model = Model::build("tiny", config, &Weights::initialize(0), Gradients::Off)?;
    /// let heads = model.head_weights()?;
    /// assert_eq!(heads.len(), 6);
    /// assert_eq!((heads[5].query.dim(), heads[5].output.dim()), ((8, 4), (4, 8)));
    /// # Ok::<(), attn_models::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Intervention`] for a family that does not give them.
    pub fn head_weights(&self) -> Result<Vec<HeadWeights>> {
        let mut heads = Vec::new();
        for info in &self.info().attentions {
            for layer in info.attending_layers() {
                let Some(block) = self.attention_block(info.attention, layer) else {
                    return Err(Error::Intervention {
                        place: "head weights".to_owned(),
                        expected: "a family that gives the weights of its heads".to_owned(),
                        found: format!("`{}`", self.info().family),
                    });
                };
                let output = block.output.matrix()?;
                for head in 0..info.heads_of(layer) {
                    let [query, key, value] = parts(block, head)?;
                    let rows = head * block.shape.head_dim;
                    heads.push(HeadWeights {
                        head: HeadId::new(info.attention, layer, head),
                        query,
                        key,
                        value,
                        output: to_array(&output.narrow(0, rows, block.shape.head_dim)?)?,
                    });
                }
            }
        }
        Ok(heads)
    }

    /// The output matrices of a layer alone, `[head, head_dim, hidden]`, as [`head_weights`](Self::head_weights) has them: what each
    /// head writes is its mixed values times its matrix. `None` for a layer without attention, and for a family that does not give
    /// the weights of its heads.
    ///
    /// # Errors
    /// Those of the tensors.
    pub fn output_matrices(&self, attention: Attention, layer: usize) -> Result<Option<Array3<f32>>> {
        let Some(block) = self.attention_block(attention, layer) else {
            return Ok(None);
        };
        let rows: Array2<f32> = to_array(&block.output.matrix()?)?;
        let (width, hidden) = (block.shape.head_dim, rows.ncols());
        let heads = rows.nrows() / width.max(1);
        let rows: Vec<f32> = rows.iter().take(heads * width * hidden).copied().collect();
        Ok(Array3::from_shape_vec((heads, width, hidden), rows).ok())
    }
}

/// The matrices that make a head's query, key and value.
fn parts(block: &MultiHead, head: usize) -> Result<[Array2<f32>; 3]> {
    let places = block.places(head);
    let columns = |map: &Linear, place: usize| -> Result<Array2<f32>> {
        to_array(
            &map.matrix()?
                .narrow(1, place * block.shape.head_dim, block.shape.head_dim)?,
        )
    };
    match &block.qkv {
        Qkv::Separate { query, key, value } => {
            let shared = block.shared(head);
            Ok([columns(query, head)?, columns(key, shared)?, columns(value, shared)?])
        }
        Qkv::Joint(joint) | Qkv::JointPerGroup(joint) => Ok([
            columns(joint, places[0])?,
            columns(joint, places[1])?,
            columns(joint, places[2])?,
        ]),
    }
}
