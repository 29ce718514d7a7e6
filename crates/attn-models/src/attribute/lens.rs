//! The logit lens: what the head would say if the layers so far were all there is (nostalgebraist 2020,
//! "interpreting GPT: the logit lens").

use candle_core::{D, Tensor};

use super::target::log_softmax;
use crate::{Inputs, Model, Point, Result, Tap, record::Recorder};

/// One of the likeliest tokens or classes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guess {
    /// Token id or class.
    pub id: u32,
    /// Natural logarithm of its probability.
    pub log_probability: f32,
}

/// What the head makes of the states after one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LensLayer {
    /// Number of layers passed: 0 for the embeddings.
    pub layer: usize,
    /// Per sequence and position the likeliest tokens, best first; a classifier has one position.
    pub guesses: Vec<Vec<Vec<Guess>>>,
}

/// The `top` likeliest predictions from the states after every layer, 0 and the last included. `tap` may intervene.
///
/// [`Model::predict`] gives the logits of one layer.
///
/// ```
/// use attn_models::{Gradients, Inputs, Model, Weights, attribute::logit_lens};
///
/// let config = r#"{"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2,
///                  "architectures": ["GPT2LMHeadModel"]}"#;
/// let model = Model::build("tiny", config, &Weights::initialize(1), Gradients::Off)?;
/// let lens = logit_lens(&model, &Inputs::from_ids(&[vec![5, 6, 7]], 0)?, 3, &mut ())?;
/// assert_eq!(lens.len(), 3); // embeddings and two layers
/// assert_eq!(lens[2].guesses[0][1].len(), 3);
/// # Ok::<(), attn_models::Error>(())
/// ```
///
/// # Errors
/// As [`Model::forward`]; [`Error::Intervention`](crate::Error::Intervention) for a model without a head.
pub fn logit_lens(model: &Model, inputs: &Inputs, top: usize, tap: &mut dyn Tap) -> Result<Vec<LensLayer>> {
    let mut record = Recorder::of(&[Point::Hidden]);
    model.forward(inputs, &mut (tap, &mut record))?;
    // The head reads the decoder where there is one: its sites come last.
    let side = record.tensors.keys().map(|site| site.side()).max();
    let mut layers = Vec::new();
    for (site, hidden) in record.tensors.iter().filter(|(site, _)| Some(site.side()) == side) {
        let logits = model
            .predict_of(inputs, hidden, site.layer)?
            .ok_or_else(|| model.no_head("logit lens"))?;
        // [batch, classes] as one position each.
        let logits = if logits.rank() == 2 {
            logits.unsqueeze(1)?
        } else {
            logits
        };
        layers.push(LensLayer {
            layer: site.layer,
            guesses: guesses(&logits, top)?,
        });
    }
    Ok(layers)
}

fn guesses(logits: &Tensor, top: usize) -> Result<Vec<Vec<Vec<Guess>>>> {
    let classes = logits.dim(D::Minus1)?;
    let rows = log_softmax(logits)?.to_vec3::<f32>()?;
    let best = |row: Vec<f32>| {
        let mut all: Vec<Guess> = (0..)
            .zip(row)
            .map(|(id, log_probability)| Guess { id, log_probability })
            .collect();
        let order = |a: &Guess, b: &Guess| b.log_probability.total_cmp(&a.log_probability).then(a.id.cmp(&b.id));
        let kept = top.min(classes);
        if kept < all.len() {
            all.select_nth_unstable_by(kept, order);
            all.truncate(kept);
        }
        all.sort_unstable_by(order);
        all
    };
    Ok(rows
        .into_iter()
        .map(|sequence| sequence.into_iter().map(best).collect())
        .collect())
}
