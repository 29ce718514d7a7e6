//! The logit lens: what the model itself says when the layers after one add nothing.

use attn_core::Side;
use attn_models::{Model, Point, Recorder, Site, Tap, candle::Tensor, logit_lens};

use crate::{
    attribution::{FAMILIES, some_inputs},
    support::{difference, open},
};

/// Takes out everything that layers from one on add.
struct Stop(usize);

impl Tap for Stop {
    fn wants(&self, site: Site) -> bool {
        site.layer >= self.0 && matches!(site.point, Point::AttentionOutput | Point::Mlp)
    }

    fn tap(&mut self, _: Site, tensor: Tensor) -> attn_models::Result<Tensor> {
        Ok(tensor.zeros_like()?)
    }
}

/// Puts a tensor in the place of the last hidden state.
struct Last(usize, Tensor);

impl Tap for Last {
    fn wants(&self, site: Site) -> bool {
        site.layer == self.0 && site.point == Point::Hidden
    }

    fn tap(&mut self, _: Site, _: Tensor) -> attn_models::Result<Tensor> {
        Ok(self.1.clone())
    }
}

#[test]
fn the_lens_sees_what_the_model_would_say_if_it_ended_there() {
    for name in FAMILIES {
        let (model, inputs) = (Model::load(&open(name)).unwrap(), some_inputs(name));
        let side = model.info().attentions[0].attention.query_side();
        let mut record = Recorder::of(&[Point::Hidden]);
        let plain = model.forward(&inputs, &mut record).unwrap().logits.unwrap();
        let lens = logit_lens(&model, &inputs, 3, &mut ()).unwrap();
        assert_eq!(lens.len(), 3, "{name}");
        for layer in 0..=2 {
            let hidden = &record.tensors[&Site::hidden(side, layer)];
            let found = model.predict(hidden, layer).unwrap().unwrap();
            let wanted = match side {
                // Norms before the sublayers: a layer that adds nothing hands the state on.
                Side::Decoder => model.forward(&inputs, &mut Stop(layer)).unwrap(),
                // Norms after them, or a final norm after the last state.
                Side::Encoder => model.forward(&inputs, &mut Last(2, hidden.clone())).unwrap(),
            };
            let wanted = wanted.logits.unwrap();
            assert!(difference(&found, &wanted, None) < 1e-5, "{name} {layer}");

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
            .predict(&record.tensors[&Site::hidden(side, 2)], 2)
            .unwrap()
            .unwrap();
        assert!(difference(&last, &plain, None) < 1e-6, "{name}");
        let error = model.predict(&record.tensors[&Site::hidden(side, 2)], 3).unwrap_err();
        assert!(
            error.to_string().contains("a layer from 0 to 2, found layer 3"),
            "{error}"
        );
    }
}
