//! The training loop that the models share.
//!
//! AdamW (Loshchilov and Hutter 2019) with a linear warm-up and a cosine decay to zero, the gradient's norm clipped to 1.

use std::time::{Duration, Instant};

use attn_models::Weights;
use candle_core::{DType, Tensor, Var, backprop::GradStore};
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW};

use crate::Result;

/// Duration and learning rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) steps: usize,
    /// Highest learning rate.
    pub(crate) peak: f64,
    /// Steps until it is reached.
    pub(crate) warm_up: usize,
}

/// Steps until the learning rate of a model that starts from nothing is at its highest. With fewer, the encoder, whose norms stand after its sublayers, does not get
/// beyond the frequencies of the words.
pub(crate) const WARM_UP: usize = 400;
/// Steps between two lines of progress.
const REPORT: usize = 50;

impl Plan {
    fn learning_rate(&self, step: usize) -> f64 {
        let warm_up = ((step + 1) as f64 / self.warm_up as f64).min(1.0);
        let decay = 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / self.steps as f64).cos());
        self.peak * warm_up * decay
    }
}

/// Fresh matrices start with a standard deviation of 0.02, right for the published sizes; in models as narrow as these
/// `1 / sqrt(width)` keeps the size of what passes through them. Positions start as sinusoids (Vaswani et al. 2017)
/// instead of noise: 'one further on' is then the same rotation everywhere, which heads learn much sooner.
pub(crate) fn initialize(weights: &Weights) -> Result<()> {
    for (name, variable) in weights.variables() {
        let Ok((rows, columns)) = variable.dims2() else {
            continue;
        };
        if name.ends_with("position_embeddings.weight") || name.ends_with("wpe.weight") {
            let sinusoid = |i: usize| {
                let (position, column) = ((i / columns) as f32, i % columns);
                let wavelength = 1000f32.powf((column / 2) as f32 / (columns / 2) as f32);
                // As large as the word embeddings beside them.
                0.03 * (position / wavelength + (column % 2) as f32 * std::f32::consts::FRAC_PI_2).sin()
            };
            let values: Vec<f32> = (0..rows * columns).map(sinusoid).collect();
            variable.set(&Tensor::from_vec(values, (rows, columns), variable.device())?)?;
        } else if !name.contains("embedding") && !name.ends_with("wte.weight") {
            let width = rows.min(columns) as f64;
            variable.set(&(variable.as_tensor() / (0.02 * width.sqrt()))?)?;
        }
    }
    Ok(())
}

/// Result of a batch: the loss to minimize, and the share of right answers.
pub(crate) struct Batch {
    pub(crate) loss: Tensor,
    pub(crate) accuracy: f32,
}

/// Trains the variables of `weights` on batches. Returns the elapsed time.
pub(crate) fn optimize(weights: &Weights, plan: Plan, mut batch: impl FnMut() -> Result<Batch>) -> Result<Duration> {
    let variables: Vec<_> = weights.variables().into_values().collect();
    let parameters: usize = variables.iter().map(|variable| variable.elem_count()).sum();
    eprintln!("{parameters} parameters, {} steps", plan.steps);
    let settings = ParamsAdamW {
        lr: 0.0,
        beta2: 0.98,
        weight_decay: 0.01,
        ..ParamsAdamW::default()
    };
    let mut optimizer = AdamW::new(variables.clone(), settings)?;
    let start = Instant::now();
    let (mut loss, mut accuracy) = (0.0, 0.0);
    for step in 0..plan.steps {
        let batch = batch()?;
        let mut gradients = batch.loss.backward()?;
        clip(&mut gradients, &variables)?;
        optimizer.set_learning_rate(plan.learning_rate(step));
        optimizer.step(&gradients)?;
        loss += batch.loss.to_scalar::<f32>()?;
        accuracy += batch.accuracy;
        if (step + 1) % REPORT == 0 {
            let elapsed = start.elapsed().as_secs_f32();
            let left = elapsed / (step + 1) as f32 * (plan.steps - step - 1) as f32;
            eprintln!(
                "step {:5}  loss {:.3}  accuracy {:.3}  {elapsed:.0} s, {left:.0} s left",
                step + 1,
                loss / REPORT as f32,
                accuracy / REPORT as f32
            );
            (loss, accuracy) = (0.0, 0.0);
        }
    }
    Ok(start.elapsed())
}

/// Scales all gradients so that their common norm is at most 1.
fn clip(gradients: &mut GradStore, variables: &[Var]) -> Result<()> {
    let mut squares = 0.0;
    for variable in variables {
        if let Some(gradient) = gradients.get(variable) {
            squares += gradient.sqr()?.sum_all()?.to_scalar::<f32>()?;
        }
    }
    let norm = f64::from(squares).sqrt();
    if norm > 1.0 {
        for variable in variables {
            if let Some(gradient) = gradients.remove(variable) {
                gradients.insert(variable, (gradient / norm)?);
            }
        }
    }
    Ok(())
}

/// Share of rows of `logits` `[rows, classes]` whose largest entry is the target's, `targets` `[rows]`.
pub(crate) fn accuracy(logits: &Tensor, targets: &Tensor) -> Result<f32> {
    let right = logits.argmax(1)?.eq(targets)?.to_dtype(DType::F32)?;
    Ok(right.mean_all()?.to_scalar()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_to_its_peak_and_falls_to_zero() {
        let plan = Plan {
            steps: 1000,
            peak: 2.0,
            warm_up: 100,
        };
        assert!(plan.learning_rate(0) < 0.03);
        assert!((plan.learning_rate(100) - 2.0).abs() < 0.06);
        assert!((plan.learning_rate(500) - 1.0).abs() < 1e-9);
        assert!(plan.learning_rate(999) < 1e-4);
    }

    #[test]
    fn a_line_is_fitted() {
        let config = r#"{"model_type": "gpt2", "vocab_size": 7, "n_positions": 4, "n_embd": 8, "n_layer": 1, "n_head": 2,
                         "architectures": ["GPT2LMHeadModel"]}"#;
        let weights = Weights::initialize(1);
        let model = attn_models::Model::build("tiny", config, &weights, attn_models::Gradients::On).unwrap();
        let inputs = attn_models::Inputs::from_ids(&[vec![1, 2, 3, 4]], 0).unwrap();
        let targets = Tensor::new(&[2u32, 3, 4, 5], model.device()).unwrap();
        let mut last = (f32::MAX, 0.0);
        optimize(
            &weights,
            Plan {
                steps: 300,
                peak: 1e-2,
                warm_up: 100,
            },
            || {
                let logits = model.forward(&inputs, &mut ())?.logits.ok_or("no logits")?.squeeze(0)?;
                let loss = candle_nn::loss::cross_entropy(&logits, &targets)?;
                last = (loss.to_scalar()?, accuracy(&logits, &targets)?);
                Ok(Batch { loss, accuracy: last.1 })
            },
        )
        .unwrap();
        assert!(last.0 < 0.1 && last.1 == 1.0, "{last:?}");
    }
}
