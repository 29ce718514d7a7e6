//! Where one token looks: the row of attention of every head.

use attn_core::{HeadId, Side};
use attn_models::{Capturer, Point, Site, candle, record::Recorder};
use attn_render::plots::HeatTable;

use crate::{
    Error,
    pruning::{LabeledExample, inputs_of},
};

/// The attention of one token, by every head that asks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionRows {
    /// The token's text.
    pub token: String,
    /// The stack whose tokens are read.
    pub key_side: Side,
    /// The texts of those tokens.
    pub keys: Vec<String>,
    /// Each head, and its weight on every key; they sum to 1, or to less where a sink takes a share.
    pub rows: Vec<(HeadId, Vec<f32>)>,
}

/// The rows of attention of token number `token` of `side`, over the tokens of `keys`, by all heads between the two.
///
/// # Errors
/// [`Error::Shape`] for a token that is not there, and for sides that no attention connects; those of the model's run.
pub fn attention_rows(
    capturer: &Capturer,
    example: &LabeledExample,
    (side, token): (Side, usize),
    keys: Side,
) -> Result<AttentionRows, Error> {
    let model = capturer.model();
    let tokens = example.sequence.tokens(side);
    let asked = tokens.get(token).ok_or_else(|| Error::Shape {
        what: "token of an example",
        expected: format!("a number below {}", tokens.len()),
        found: token.to_string(),
    })?;
    let between = |head: &HeadId| head.attention.query_side() == side && head.attention.key_side() == keys;
    let heads: Vec<HeadId> = model.info().heads().filter(between).collect();
    if heads.is_empty() {
        return Err(Error::Shape {
            what: "attention of a token",
            expected: format!("heads from {side:?} to {keys:?}"),
            found: "none".into(),
        });
    }
    let mut run = Recorder::of(&[Point::Attention]);
    model.forward(&inputs_of(capturer, &[example])?, &mut run)?;
    let mut rows = Vec::with_capacity(heads.len());
    for head in heads {
        let Some(attention) = run
            .tensors
            .get(&Site::new(head.attention, head.layer, Point::Attention))
        else {
            continue;
        };
        let row = attention
            .get(0)
            .and_then(|own| own.get(head.head)?.get(token)?.to_vec1::<f32>());
        rows.push((head, row.map_err(|error: candle::Error| Error::Models(error.into()))?));
    }
    Ok(AttentionRows {
        token: asked.text.clone(),
        key_side: keys,
        keys: example
            .sequence
            .tokens(keys)
            .iter()
            .map(|token| token.text.clone())
            .collect(),
        rows,
    })
}

impl AttentionRows {
    /// The mean over all heads, a weight per key.
    pub fn mean(&self) -> Vec<f32> {
        let mut mean = vec![0.0; self.keys.len()];
        for (_, row) in &self.rows {
            for (sum, weight) in mean.iter_mut().zip(row) {
                *sum += weight / self.rows.len() as f32;
            }
        }
        mean
    }

    /// The rows as a table, a row per head.
    pub fn plot(&self) -> HeatTable {
        let names: Vec<String> = self
            .rows
            .iter()
            .map(|(head, _)| format!("{}-{}", head.layer, head.head))
            .collect();
        let values: Vec<f32> = self.rows.iter().flat_map(|(_, row)| row.iter().copied()).collect();
        HeatTable {
            title: format!("What `{}` attends to", self.token),
            caption: "Rows: heads, as layer-head. Columns: the tokens that are read.".into(),
            what: "attention".into(),
            range: Some([0.0, 1.0]),
            ..HeatTable::new(names, self.keys.clone(), values)
        }
    }
}
