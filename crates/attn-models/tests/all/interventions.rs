//! Taps that replace what they see, against independent computations.

use attn_core::{Attention, Side};
use attn_models::{Error, Inputs, Model, Point, Result, Site, Tap, candle::Tensor, record::Recorder};

use crate::support::{difference, open, values};

fn run(model: &Model, tap: &mut dyn Tap) -> Tensor {
    model
        .forward(&Inputs::from_ids(&[vec![5, 60, 7, 80, 9]], 0).unwrap(), tap)
        .unwrap()
        .logits
        .unwrap()
}

/// Replaces the tensor at one site by a function of it.
struct Edit<F>(Site, F);

impl<F: FnMut(Tensor) -> Tensor> Tap for Edit<F> {
    fn wants(&self, site: Site) -> bool {
        site == self.0
    }

    fn tap(&mut self, _: Site, tensor: Tensor) -> Result<Tensor> {
        Ok((self.1)(tensor))
    }
}

#[test]
fn a_patched_hidden_state_carries_the_other_run() {
    // Everything after layer 1 follows from its hidden state: patching it in gives the donor's logits.
    for (name, side) in [
        ("bert", Side::Encoder),
        ("gpt2", Side::Decoder),
        ("llama", Side::Decoder),
    ] {
        let model = Model::load(&open(name)).unwrap();
        let mut recorder = Recorder::of(&[Point::Hidden]);
        let donor = Inputs::from_ids(&[vec![11, 12, 13, 14, 15]], 0).unwrap();
        let wanted = model.forward(&donor, &mut recorder).unwrap().logits.unwrap();
        let site = Site::hidden(side, 1);
        let patch = recorder.tensors[&site].clone();
        let found = run(&model, &mut Edit(site, |_| patch.clone()));
        assert!(difference(&found, &wanted, None) < 1e-5, "{name}");
        assert!(difference(&run(&model, &mut ()), &wanted, None) > 1e-3, "{name}");
    }
}

#[test]
fn every_site_is_visited_in_every_family_and_reaches_the_output() {
    for name in ["bert", "gpt2", "llama"] {
        let model = Model::load(&open(name)).unwrap();
        let plain = run(&model, &mut ());
        let attention = model.info().attentions[0].attention;
        let mut points = vec![
            Point::Embedding,
            Point::Query,
            Point::Key,
            Point::Value,
            Point::Scores,
            Point::Attention,
            Point::HeadOutput,
            Point::AttentionOutput,
            Point::Mlp,
            Point::Hidden,
        ];
        if name == "llama" {
            points.extend([Point::QueryBeforeRotation, Point::KeyBeforeRotation]);
        }
        for point in points {
            let site = Site::new(attention, 0, point);
            let mut visits = 0;
            let edited = run(
                &model,
                &mut Edit(site, |tensor: Tensor| {
                    visits += 1;
                    // A change that neither softmax nor norm can undo: reverse the last dimension.
                    let last = tensor.rank() - 1;
                    tensor.contiguous().unwrap().flip(&[last]).unwrap()
                }),
            );
            assert_eq!(visits, 1, "{name} {site}");
            assert!(
                difference(&edited, &plain, None) > 1e-4,
                "{name} {site} does not reach the output"
            );
        }
    }
}

#[test]
fn forbidden_scores_are_attention_zero_and_the_rest_is_renormalized() {
    let model = Model::load(&open("bert")).unwrap();
    let site = |point| Site::new(Attention::EncoderSelf, 0, point);
    let mut plain = Recorder::of(&[Point::Attention]);
    run(&model, &mut plain);
    // Key 2 is knocked out before the softmax, for every query and head.
    let knock_out = Edit(site(Point::Scores), |scores: Tensor| {
        let mask = Tensor::new(&[0f32, 0.0, f32::MIN, 0.0, 0.0], scores.device()).unwrap();
        scores.broadcast_add(&mask).unwrap()
    });
    let mut taps = (knock_out, Recorder::of(&[Point::Attention]));
    run(&model, &mut taps);
    let before = values(&plain.tensors[&site(Point::Attention)]);
    let after = values(&taps.1.tensors[&site(Point::Attention)]);
    for (before, after) in before.chunks(5).zip(after.chunks(5)) {
        let rest: f32 = (0..5).filter(|&key| key != 2).map(|key| before[key]).sum();
        for key in 0..5 {
            let expected = if key == 2 { 0.0 } else { before[key] / rest };
            assert!(
                (after[key] - expected).abs() < 1e-5,
                "{} instead of {expected}",
                after[key]
            );
        }
    }
}

#[test]
fn taps_compose_from_left_to_right() {
    let model = Model::load(&open("gpt2")).unwrap();
    let site = Site::mlp(Side::Decoder, 0);
    let double = || Edit(site, |tensor: Tensor| (tensor * 2.0).unwrap());
    let recorder = || Recorder::of(&[Point::Mlp]);
    let mut before = (recorder(), double());
    run(&model, &mut before);
    let mut after = (double(), double(), recorder());
    run(&model, &mut after);
    let mut list: Vec<Box<dyn Tap>> = vec![Box::new(double()), Box::new(double())];
    let logits = run(&model, &mut list);
    let quadrupled = (&before.0.tensors[&site] * 4.0).unwrap();
    assert!(difference(&after.2.tensors[&site], &quadrupled, None) < 1e-6);
    assert!(difference(&logits, &run(&model, &mut (double(), double())), None) == 0.0);
}

#[test]
fn a_tap_that_changes_the_shape_is_an_error() {
    let model = Model::load(&open("gpt2")).unwrap();
    let site = Site::new(Attention::DecoderSelf, 1, Point::Value);
    let mut tap = Edit(site, |tensor: Tensor| tensor.narrow(2, 0, 1).unwrap());
    let error = model
        .forward(&Inputs::from_ids(&[vec![1, 2, 3]], 0).unwrap(), &mut tap)
        .unwrap_err();
    assert!(
        matches!(&error, Error::Tap { expected, .. } if expected == &[1, 4, 3, 8]),
        "{error}"
    );
    assert!(error.to_string().contains("decoder-self value of layer 1"), "{error}");
}

/// A stack that is not told where its tokens stand treats them as a set: with the encoder's positions at zero, the
/// decoder's output does not depend on the order of the source (Vaswani et al. 2017, section 3.5).
#[test]
fn an_encoder_without_positions_reads_a_set() {
    for name in ["bart", "m2m100", "marian", "mbart", "t5"] {
        let model = Model::load(&open(name)).unwrap();
        let logits = |ids: [u32; 5], tap: &mut dyn Tap| {
            let inputs = Inputs {
                decoder_input_ids: Inputs::from_ids(&[vec![2, 30, 31]], 0).unwrap().input_ids,
                ..Inputs::from_ids(&[ids.to_vec()], 0).unwrap()
            };
            model.forward(&inputs, tap).unwrap().logits.unwrap()
        };
        let (order, other) = ([40, 41, 42, 43, 44], [43, 40, 44, 42, 41]);
        let without = |ids| {
            let zero = |positions: Tensor| positions.zeros_like().unwrap();
            logits(ids, &mut Edit(Site::positions(Side::Encoder), zero))
        };
        let largest = crate::support::largest(&without(order));
        assert!(
            difference(&without(order), &without(other), None) < 2e-5 * largest,
            "{name}"
        );
        let moved = difference(&logits(order, &mut ()), &logits(other, &mut ()), None);
        assert!(moved > 1e-3 * largest, "{name}: {moved}");
    }
}

/// An attention that is replaced in the cross-attention, and every site of both stacks, reach the output.
#[test]
fn every_site_of_both_stacks_reaches_the_output() {
    for name in ["bart", "mbart", "t5"] {
        let model = Model::load(&open(name)).unwrap();
        let run = |tap: &mut dyn Tap| {
            let inputs = Inputs {
                decoder_input_ids: Inputs::from_ids(&[vec![2, 30, 31]], 0).unwrap().input_ids,
                ..Inputs::from_ids(&[vec![40, 41, 42, 43, 44]], 0).unwrap()
            };
            model.forward(&inputs, tap).unwrap().logits.unwrap()
        };
        let plain = run(&mut ());
        let inside = [
            Point::Query,
            Point::Key,
            Point::Value,
            Point::Scores,
            Point::Attention,
            Point::HeadOutput,
            Point::AttentionOutput,
        ];
        let mut sites = Vec::new();
        for attention in [Attention::EncoderSelf, Attention::DecoderSelf, Attention::Cross] {
            sites.extend(inside.map(|point| Site::new(attention, 0, point)));
        }
        for side in [Side::Encoder, Side::Decoder] {
            sites.extend([Site::embedding(side), Site::positions(side), Site::mlp(side, 0)]);
            sites.extend((0..=2).map(|layer| Site::hidden(side, layer)));
        }
        for site in sites {
            let mut visits = 0;
            let noisy = run(&mut Edit(site, |tensor: Tensor| {
                visits += 1;
                let noise: Vec<f32> = (0..tensor.elem_count()).map(|i| (i as f32 * 0.7).sin()).collect();
                let noise = Tensor::from_vec(noise, tensor.dims(), tensor.device()).unwrap();
                (tensor + noise).unwrap()
            }));
            assert_eq!(visits, 1, "{name}: {site}");
            assert!(difference(&noisy, &plain, None) > 1e-5, "{name}: {site}");
        }
    }
}
