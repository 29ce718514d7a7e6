//! Models of images and captions against their fixtures: both towers inside and out, and how their vectors compare.

use std::collections::BTreeMap;

use attn_core::Attention;
use attn_models::{
    Capturer, Inputs, Model,
    candle::Tensor,
    images::Image,
    record::{Recorder, run_raw},
    towers::Towers,
};

use crate::support::{Tensors, difference, expected, fixture, largest, open, values};

/// What each tower reads in a case.
fn towers_inputs(expected: &Tensors, case: &str) -> (Inputs, Inputs) {
    let get = |name: &str| expected.get(&format!("{case}.in.{name}")).cloned();
    let texts = Inputs {
        input_ids: get("input_ids"),
        attention_mask: get("attention_mask"),
        ..Inputs::default()
    };
    (texts, Inputs::from_pixels(get("pixel_values").unwrap()))
}

/// `noise` is what the sums that a number is made of are good for.
fn close(name: &str, found: &Tensor, wanted: &Tensor, noise: f32, valid: Option<&Tensor>) {
    let allowed = match name.ends_with("attn") || name.ends_with("probs") {
        true => 1e-5,
        false => 2e-4 * largest(wanted) + noise,
    };
    let difference = difference(found, wanted, valid);
    assert!(difference <= allowed, "{name}: {difference} > {allowed}");
}

#[test]
fn both_towers_agree_with_the_reference() {
    for (name, least) in [("clip", 65), ("siglip", 74)] {
        let (towers, expected) = (Towers::load(&open(name)).unwrap(), expected(name));
        let mut compared = 0;
        for case in ["pad", "one"] {
            let (texts, images) = towers_inputs(&expected, case);
            let raw = |model: &Model, inputs: &Inputs, tower: &str| -> BTreeMap<String, Tensor> {
                let named = run_raw(model, inputs).unwrap().into_iter();
                named
                    .map(|(key, tensor)| (format!("{tower}.{}", key.strip_prefix("x.").unwrap_or(&key)), tensor))
                    .collect()
            };
            let mut found = raw(towers.text(), &texts, "text");
            found.extend(raw(towers.vision(), &images, "vision"));
            let comparison = towers.compare(&texts, &images).unwrap();
            found.insert("text_embeds".to_owned(), comparison.text_embeds.clone());
            found.insert("image_embeds".to_owned(), comparison.image_embeds.clone());
            found.insert("logits_per_image".to_owned(), comparison.logits_per_image.clone());
            found.insert("logits_per_text".to_owned(), comparison.logits_per_text().unwrap());
            found.insert("probs".to_owned(), comparison.probabilities().unwrap());
            let valid = expected.get(&format!("{case}.text.valid_q"));
            for (key, wanted) in &expected {
                let Some(key) = key.strip_prefix(&format!("{case}.")) else {
                    continue;
                };
                if key.starts_with("in.") || key.contains("valid") {
                    continue;
                }
                let found = found.get(key).unwrap_or_else(|| panic!("{name} {case}: no {key}"));
                let valid = valid
                    .filter(|_| key.starts_with("text.") && wanted.rank() > 2)
                    .map(|valid| {
                        let (batch, tokens) = valid.dims2().unwrap();
                        let shape = match key.rsplit('.').next().unwrap() {
                            "q" | "k" | "v" | "attn" => vec![batch, 1, tokens, 1],
                            "ctx" => vec![batch, tokens, 1, 1],
                            _ => vec![batch, tokens, 1],
                        };
                        valid
                            .to_dtype(attn_models::candle::DType::F32)
                            .unwrap()
                            .reshape(shape)
                            .unwrap()
                    });
                // The one cosine of a pair may be next to 0, with the noise of the largest of the batch.
                let noise = match key.starts_with("logits") {
                    true => 1e-5 * largest(&expected[&format!("pad.{key}")]),
                    false => 0.0,
                };
                close(&format!("{name} {case} {key}"), found, wanted, noise, valid.as_ref());
                compared += 1;
            }
        }
        assert!(compared >= least, "{name}: only {compared} tensors compared");
    }
}

/// Texts and images of the fixture through tokenizer and processor, captured and compared.
#[test]
fn towers_read_texts_and_images() {
    for (name, attention) in [("clip", Attention::DecoderSelf), ("siglip", Attention::EncoderSelf)] {
        let (checkpoint, expected) = (open(name), expected(name));
        let text = checkpoint.text_tower().unwrap().unwrap();
        assert_eq!(text.text_tower().unwrap().map(|text| text.name().to_owned()), None);
        let capturer = Capturer::load(&text).unwrap();
        let lines = ["A cat on the mat", "the dog sleeps in the sun", "boats"];
        let capture = capturer.capture_lines(lines).unwrap();
        let ids = values(&expected["pad.in.input_ids"]);
        let width = ids.len() / 3;
        for (at, sequence) in capture.sequences().iter().enumerate() {
            let tokens = match attention {
                Attention::DecoderSelf => &sequence.decoder,
                _ => &sequence.encoder,
            };
            let found: Vec<f32> = tokens.iter().filter_map(|token| token.id).map(|id| id as f32).collect();
            assert_eq!(found, ids[at * width..][..found.len()], "{name}: {}", lines[at]);
            // CLIP marks the ends of words; readers need not see it.
            assert!(tokens.iter().all(|token| !token.text.ends_with("</w>")), "{name}");
            // SigLIP reads its filling, as the reference has it.
            assert_eq!(found.len() == width, name == "siglip" || at == 1);
            let layer = expected[&"pad.text.1.self.attn".to_owned()].get(at).unwrap();
            let recomputed = capture.layer_attention(attention, 1, at).unwrap();
            let length = found.len();
            let wanted = layer.narrow(1, 0, length).unwrap().narrow(2, 0, length).unwrap();
            let recomputed: Vec<f32> = recomputed.iter().copied().collect();
            for (found, wanted) in recomputed.iter().zip(values(&wanted.contiguous().unwrap())) {
                assert!((found - wanted).abs() <= 1e-5, "{name}: {found} {wanted}");
            }
        }
        let images = Capturer::load(&checkpoint).unwrap();
        let paths = ["0.png", "1.png"].map(|image| Image::from(fixture(name).join("images").join(image)));
        let pixels = images.image_inputs(&paths).unwrap();
        let towers = Towers::load(&checkpoint).unwrap();
        let (texts, _) = towers_inputs(&expected, "pad");
        let comparison = towers.compare(&texts, &pixels).unwrap();
        let wanted = &expected["pad.probs"];
        // Pixels are resized in 8 bits: one step off in some of them.
        assert!(
            difference(&comparison.probabilities().unwrap(), wanted, None) <= 1e-3,
            "{name}"
        );
        let capture = images.capture_images(&paths).unwrap();
        assert_eq!(capture.model().attentions.len(), 1, "{name}");
    }
}

#[test]
fn taps_of_both_towers() {
    let (towers, expected) = (Towers::load(&open("siglip")).unwrap(), expected("siglip"));
    let (texts, images) = towers_inputs(&expected, "one");
    let mut recorders = [(); 2].map(|()| Recorder::of(&[attn_models::Point::Attention]));
    let [text, image] = &mut recorders;
    towers.compare_tapped(&texts, &images, text, image).unwrap();
    // Two layers each, and the query of the images.
    assert_eq!((text.tensors.len(), image.tensors.len()), (2, 3));
}

#[test]
fn other_checkpoints_have_no_towers() {
    let bert = open("bert");
    assert!(bert.text_tower().unwrap().is_none());
    let error = Towers::load(&bert).unwrap_err().to_string();
    assert!(error.contains("clip, siglip"), "{error}");
    let alone = open("clip-text");
    assert!(alone.text_tower().unwrap().is_none());
}
