//! The logit lens: what the model itself says when the layers after one add nothing.

use attn_core::Side;
use attn_models::{
    Gradients, Inputs, Model, Point, Site, Tap, Weights, attribute::logit_lens, candle::Tensor, record::Recorder,
};

use crate::{
    attribution::{FAMILIES, some_inputs},
    support::{difference, fixture, largest, open},
};

/// Takes out everything that layers of a stack from one on add.
struct Stop(Side, usize);

impl Tap for Stop {
    fn wants(&self, site: Site) -> bool {
        site.side() == self.0 && site.layer >= self.1 && matches!(site.point, Point::AttentionOutput | Point::Mlp)
    }

    fn tap(&mut self, _: Site, tensor: Tensor) -> attn_models::Result<Tensor> {
        Ok(tensor.zeros_like()?)
    }
}

/// Puts a tensor in the place of a hidden state.
struct Last(Site, Tensor);

impl Tap for Last {
    fn wants(&self, site: Site) -> bool {
        site == self.0
    }

    fn tap(&mut self, _: Site, _: Tensor) -> attn_models::Result<Tensor> {
        Ok(self.1.clone())
    }
}

#[test]
fn the_lens_sees_what_the_model_would_say_if_it_ended_there() {
    for name in FAMILIES {
        let (model, inputs) = (Model::load(&open(name)).unwrap(), some_inputs(name));
        // Of an encoder-decoder, the stack that predicts.
        let attentions = &model.info().attentions;
        let side = attentions[attentions.len() - 1].attention.query_side();
        let norms_after = side == Side::Encoder && name != "modernbert" || ["bart", "marian"].contains(&name);
        let layers = attentions[attentions.len() - 1].layers.len();
        let mut record = Recorder::of(&[Point::Hidden]);
        let plain = model.forward(&inputs, &mut record).unwrap().logits.unwrap();
        let lens = logit_lens(&model, &inputs, 3, &mut ()).unwrap();
        assert_eq!(lens.len(), layers + 1, "{name}");
        for layer in 0..=layers {
            let hidden = &record.tensors[&Site::hidden(side, layer)];
            let found = model.predict(hidden, layer).unwrap().unwrap();
            let wanted = if norms_after {
                // Norms after the sublayers, or a final norm after the last state.
                let last = Site::hidden(side, layers);
                model.forward(&inputs, &mut Last(last, hidden.clone())).unwrap()
            } else {
                // Norms before the sublayers: a layer that adds nothing hands the state on.
                model.forward(&inputs, &mut Stop(side, layer)).unwrap()
            };
            let wanted = wanted.logits.unwrap();
            let allowed = 1e-5 * largest(&wanted).max(1.0);
            assert!(difference(&found, &wanted, None) < allowed, "{name} {layer}");

            // The guesses are its largest entries.
            let wanted = if wanted.rank() == 2 {
                wanted.unsqueeze(1).unwrap()
            } else {
                wanted
            };
            for (guesses, logits) in lens[layer]
                .guesses
                .iter()
                .flatten()
                .zip(wanted.to_vec3::<f32>().unwrap().concat())
            {
                let best = logits.iter().copied().fold(f32::MIN, f32::max);
                let total: f32 = logits.iter().map(|logit| (logit - best).exp()).sum();
                assert_eq!(guesses.len(), 3.min(logits.len()));
                assert!((guesses[0].log_probability + total.ln()).abs() < 1e-4, "{name}");
                assert!(
                    guesses
                        .windows(2)
                        .all(|pair| pair[0].log_probability >= pair[1].log_probability)
                );
                assert!((logits[guesses[0].id as usize] - best).abs() < 1e-4, "{name}");
            }
        }
        let last = model
            .predict(&record.tensors[&Site::hidden(side, layers)], layers)
            .unwrap()
            .unwrap();
        assert!(
            difference(&last, &plain, None) < 1e-6 * largest(&plain).max(1.0),
            "{name}"
        );
        let last = &record.tensors[&Site::hidden(side, layers)];
        let error = model.predict(last, layers + 1).unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("a layer from 0 to {layers}, found layer {}", layers + 1)),
            "{error}"
        );
    }
}

/// A head that reads the mean of a text reads the same of it whatever the text is padded to, at every layer.
#[test]
fn the_lens_of_a_mean_leaves_out_padding() {
    let checkpoint = open("modernbert");
    let config = std::fs::read(fixture("modernbert").join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    config["architectures"] = serde_json::json!(["ModernBertForSequenceClassification"]);
    config["classifier_pooling"] = "mean".into();
    config["id2label"] = serde_json::json!({"0": "a", "1": "b", "2": "c"});
    let weights = Weights::finetune(&checkpoint, 3);
    let model = Model::build("tiny", &config.to_string(), &weights, Gradients::Off).unwrap();
    let short = vec![5, 60, 7];
    let lens = |texts: &[Vec<u32>]| logit_lens(&model, &Inputs::from_ids(texts, 0).unwrap(), 3, &mut ()).unwrap();
    let (alone, padded) = (
        lens(std::slice::from_ref(&short)),
        lens(&[vec![8, 9, 10, 11, 12, 13, 14], short]),
    );
    assert_eq!((alone.len(), padded.len()), (5, 5));
    for (alone, padded) in alone.iter().zip(&padded) {
        for (one, other) in alone.guesses[0][0].iter().zip(&padded.guesses[1][0]) {
            assert_eq!(one.id, other.id);
            assert!(
                (one.log_probability - other.log_probability).abs() < 5e-6,
                "layer {}",
                alone.layer
            );
        }
    }
}
