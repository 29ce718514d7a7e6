//! The vision transformer, a classifier of synthetic images.
//!
//! Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words". The cells of a mosaic that ask are trained to know
//! the answer too, with the same classifier: that teaches the heads to look things up long before the class token
//! has learned where to look.

use attn_models::{Checkpoint, Gradients, Inputs, Model, Weights};
use candle_core::{Device, Tensor};
use candle_nn::loss::cross_entropy;
use serde_json::{Value, json};

use crate::{
    Result, Training,
    card::{self, Card, Score},
    stimuli::{GRID, LEVELS, PATCH, Picture, Pictures, Property, SIDE, class_name},
    training::{Batch, Plan, WARM_UP, accuracy, initialize, optimize},
};

const STEPS: usize = 3000;
/// Images per batch.
const BATCH: usize = 12;
const CLASSES: usize = Property::ALL.len() * LEVELS;
/// Number and seed of evaluation images.
const HELD_OUT: (usize, u64) = (1000, 2026);

fn config() -> Value {
    let labels: serde_json::Map<String, Value> = (0..CLASSES)
        .map(|class| (class.to_string(), json!(class_name(class))))
        .collect();
    let ids: serde_json::Map<String, Value> = (0..CLASSES).map(|class| (class_name(class), json!(class))).collect();
    json!({
        "architectures": ["ViTForImageClassification"], "model_type": "vit",
        "hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 256, "hidden_act": "relu",
        "image_size": SIDE, "patch_size": PATCH, "num_channels": 3, "qkv_bias": true, "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.02,
        "id2label": labels, "label2id": ids
    })
}

fn preprocessor() -> Value {
    json!({
        "image_processor_type": "ViTImageProcessor",
        "do_resize": true, "size": {"height": SIDE, "width": SIDE}, "resample": 2,
        "do_rescale": true, "rescale_factor": 1.0 / 255.0,
        "do_normalize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]
    })
}

pub(crate) fn train(training: &Training) -> Result<()> {
    let config = config();
    let weights = Weights::initialize(training.seed);
    let model = Model::build("vision", &config.to_string(), &weights, Gradients::On)?;
    initialize(&weights)?;
    let variables = weights.variables();
    let [classifier, bias] = ["classifier.weight", "classifier.bias"].map(|name| variables.get(name));
    let (classifier, bias) = (
        classifier.ok_or("no classifier")?.t()?,
        bias.ok_or("no classifier")?.as_tensor().clone(),
    );
    let mut pictures = Pictures::new(training.seed);
    let plan = Plan {
        steps: training.steps.unwrap_or(STEPS),
        peak: 1e-3,
        warm_up: WARM_UP,
    };
    let elapsed = optimize(&weights, plan, || {
        let batch: Vec<Picture> = pictures.by_ref().take(BATCH).collect();
        let targets = classes(&batch)?;
        let output = model.forward(
            &Inputs::from_pixels(pixels(batch.iter().map(|picture| &picture.pixels))?),
            &mut (),
        )?;
        let logits = output.logits.ok_or("no logits")?;
        let mut loss = cross_entropy(&logits, &targets)?;
        let (places, answers) = asking(&batch);
        if !places.is_empty() {
            let hidden = output
                .last_hidden
                .flatten_to(1)?
                .index_select(&Tensor::new(places, &Device::Cpu)?, 0)?;
            let logits = hidden.matmul(&classifier)?.broadcast_add(&bias)?;
            loss = (loss + cross_entropy(&logits, &Tensor::new(answers, &Device::Cpu)?)?)?;
        }
        Ok(Batch {
            loss,
            accuracy: accuracy(&logits, &targets)?,
        })
    })?;

    card::save(
        &training.out,
        &weights,
        &config,
        &[("preprocessor_config.json", preprocessor())],
        None,
    )?;
    let scores = evaluate(&Model::load(&Checkpoint::open(&training.out)?)?)?;
    card::write(
        &training.out,
        &Card {
            title: "Vision transformer",
            what: "A classifier of the ViT family: 4 layers x 4 heads, hidden size 128, 64 x 64 pixels, patches of 8 x 8. The 40 classes \
                   are hue, brightness, orientation, spatial frequency and position at eight levels each.",
            data: "Synthetic pictures from `examples/train/src/stimuli.rs`. A third shows one property: a plain color, a plain grey, a \
                   grating, rings, a disc or square. The others are mosaics in which every cell binds two properties and some cells show \
                   only the first; the class is the second, which can only be looked up in cells that resemble these.",
            command: "vision",
            training,
            steps: plan.steps,
            elapsed,
            scores: &scores,
        },
    )
}

/// Images as the model reads them: `[batch, channel, row, column]` in `[-1, 1]`.
pub(crate) fn pixels<'a>(pictures: impl Iterator<Item = &'a Vec<f32>>) -> Result<Tensor> {
    let rows: Vec<Tensor> = pictures
        .map(|pixels| Ok(Tensor::from_slice(pixels, (SIDE, SIDE, 3), &Device::Cpu)?.permute((2, 0, 1))?))
        .collect::<Result<_>>()?;
    Ok(((Tensor::stack(&rows, 0)? * 2.0)? - 1.0)?)
}

fn classes(batch: &[Picture]) -> Result<Tensor> {
    let classes: Vec<u32> = batch.iter().map(|picture| picture.class as u32).collect();
    Ok(Tensor::new(classes, &Device::Cpu)?)
}

/// The tokens that ask, as `picture * tokens + token`, and the class each should find.
fn asking(batch: &[Picture]) -> (Vec<u32>, Vec<u32>) {
    let tokens = 1 + GRID * GRID;
    let places = batch.iter().enumerate().flat_map(|(i, picture)| {
        // The class token comes first.
        picture
            .asking
            .iter()
            .map(move |patch| ((i * tokens + 1 + patch) as u32, picture.class as u32))
    });
    places.unzip()
}

/// Accuracy on held-out images.
pub(crate) fn evaluate(model: &Model) -> Result<Vec<Score>> {
    let pictures: Vec<Picture> = Pictures::new(HELD_OUT.1).take(HELD_OUT.0).collect();
    // Right and all, of pictures that show their property and of mosaics.
    let mut counts = [[0; 2]; 2];
    for batch in pictures.chunks(50) {
        let inputs = Inputs::from_pixels(pixels(batch.iter().map(|picture| &picture.pixels))?);
        let logits = model.forward(&inputs, &mut ())?.logits.ok_or("no logits")?;
        let best: Vec<u32> = logits.argmax(1)?.to_vec1()?;
        for (picture, best) in batch.iter().zip(best) {
            let kind = usize::from(!picture.asking.is_empty());
            counts[kind][0] += usize::from(picture.class == best as usize);
            counts[kind][1] += 1;
        }
    }
    Ok(vec![
        Score::share(
            "fresh pictures that show their property, classified right",
            counts[0][0],
            counts[0][1],
        ),
        Score::share("fresh mosaics, classified right", counts[1][0], counts[1][1]),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_patches_are_plain_in_what_the_model_reads() {
        let picture = crate::stimuli::mosaic(Property::Hue, Property::Orientation, &mut crate::random::Random::new(2));
        let batch = [picture.clone(), picture];
        let (places, answers) = asking(&batch);
        assert_eq!(places.len(), 2 * GRID * GRID / 4);
        assert!(answers.iter().all(|&answer| answer as usize == batch[0].class));
        let pixels = pixels(batch.iter().map(|picture| &picture.pixels)).unwrap();
        for place in places {
            let (i, patch) = (
                place as usize / (GRID * GRID + 1),
                place as usize % (GRID * GRID + 1) - 1,
            );
            let (row, column) = (patch / GRID * PATCH, patch % GRID * PATCH);
            let cell = pixels
                .get(i)
                .unwrap()
                .narrow(1, row, PATCH)
                .unwrap()
                .narrow(2, column, PATCH)
                .unwrap();
            for channel in 0..3 {
                let values: Vec<f32> = cell.get(channel).unwrap().flatten_all().unwrap().to_vec1().unwrap();
                assert!(values.iter().all(|value| (value - values[0]).abs() < 1e-6));
            }
        }
    }
}
