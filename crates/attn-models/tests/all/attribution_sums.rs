//! What attributions promise to add up to: on every family, on the embedded sentiment model, on published weights.

use attn_core::model::Positions;
use attn_models::{
    Inputs, Model,
    attribute::{
        Baseline, IntegratedGradients, Target, input_gradients, integrated_gradients, layer_integrated_gradients,
        propagate_relevance,
    },
    candle::{Device, Tensor},
    generate::{GenerationParams, Generator},
};

use crate::{
    attribution::{FAMILIES, of_pictures, some_inputs, some_targets},
    edits::batch,
    support::{open, third_party},
};

/// Something to explain; of an encoder-decoder, short sequences and the token it predicts: for any other token, scores that
/// are large in both stacks may cancel down to next to no change.
fn explained(name: &str, model: &Model) -> (Inputs, Vec<Target>) {
    if model.info().attentions.len() == 1 {
        return (some_inputs(name), some_targets(name));
    }
    let inputs = batch(name);
    let logits = model.forward(&inputs, &mut ()).unwrap().logits.unwrap();
    let position = 3;
    let best = logits
        .narrow(1, position, 1)
        .unwrap()
        .squeeze(1)
        .unwrap()
        .argmax(1)
        .unwrap();
    let tokens: Vec<u32> = best.to_vec1().unwrap();
    let targets = tokens.into_iter().map(|token| Target::Token { position, token });
    (inputs, targets.collect())
}

#[test]
fn integrated_gradients_are_complete_in_every_family() {
    for name in FAMILIES {
        let model = Model::load(&open(name)).unwrap();
        // A token that changes its experts along the path makes the output jump.
        if model.experts(0).is_some() {
            continue;
        }
        let (inputs, targets) = explained(name, &model);
        let token = |inputs: &Inputs| Baseline::token(inputs, 0, &[2, 3]).unwrap();
        let told_by_vectors = !matches!(
            model.info().positions,
            Positions::Rotary | Positions::RelativeBias | Positions::Alibi | Positions::RelativeVectors
        );
        let baselines = if !told_by_vectors {
            // Without position vectors a norm makes the same of any multiple of an embedding: all of the change from
            // zeros lies in the first instant, where no step falls, and the gap says so.
            let found = integrated_gradients(&model, &inputs, &targets, &Baseline::Zero, 100, &mut (), &());
            assert!(found.unwrap().iter().any(|found| found.relative_gap() > 0.1), "{name}");
            vec![token(&inputs)]
        } else if of_pictures(name) {
            let gray = inputs.pixel_values.as_ref().unwrap().zeros_like().unwrap();
            vec![Baseline::Zero, Baseline::Inputs(Box::new(Inputs::from_pixels(gray)))]
        } else {
            vec![Baseline::Zero, token(&inputs)]
        };
        // Deep networks change fast along the path and take more steps.
        let mut enough = 100;
        for (at, baseline) in baselines.iter().enumerate() {
            let complete = |steps| {
                let found = integrated_gradients(&model, &inputs, &targets, baseline, steps, &mut (), &()).unwrap();
                found.iter().all(|found| {
                    let change = f64::from((found.value - found.baseline).abs());
                    eprintln!("{name} baseline {at}: completeness gap {:.5}", found.relative_gap());
                    assert!(change > 1e-5, "{name}");
                    found.gap().abs() < 0.01 * change.max(1e-3)
                })
            };
            let steps = [100, 400, 1600].into_iter().find(|&steps| complete(steps));
            enough = enough.max(steps.unwrap_or_else(|| panic!("{name}: not complete with 1600 steps")));
        }
        // ReLUs make the gradient jump along the path: the gap shrinks, but not evenly.
        if name == "opt" {
            continue;
        }
        // The gap shrinks with the square of the step.
        let gap = |steps| -> f64 {
            let last = baselines.last().unwrap();
            let found = integrated_gradients(&model, &inputs, &targets, last, steps, &mut (), &()).unwrap();
            found.iter().map(|found| found.gap().abs()).sum()
        };
        let (fine, coarse) = (gap(enough * 4 / 10), gap(enough / 10));
        assert!(fine < 0.5 * coarse + 1e-5, "{name}: {fine} {coarse}");
    }
}

/// At the states of every layer, what tokens add is the same change of the target.
#[test]
fn integrated_gradients_of_layers_are_complete_in_every_family() {
    for name in FAMILIES {
        let model = Model::load(&open(name)).unwrap();
        if model.experts(0).is_some() || of_pictures(name) {
            continue;
        }
        let (inputs, targets) = explained(name, &model);
        let baseline = Baseline::token(&inputs, 0, &[2, 3]).unwrap();
        let depth = model
            .info()
            .attentions
            .iter()
            .map(|info| info.layers.len())
            .max()
            .unwrap();
        let layers: Vec<usize> = (0..=depth).collect();
        let gaps = |steps| {
            let found =
                layer_integrated_gradients(&model, &inputs, &targets, &baseline, &layers, steps, &mut (), &()).unwrap();
            assert_eq!(found.len(), layers.len());
            let ends = |layer: usize| {
                found[layer]
                    .iter()
                    .map(|found| (found.value, found.baseline))
                    .collect::<Vec<_>>()
            };
            assert!(layers.iter().all(|&layer| ends(layer) == ends(0)), "{name}");
            let of_layer = |layer: &Vec<IntegratedGradients>| {
                let share = |found: &IntegratedGradients| {
                    found.gap().abs() / f64::from((found.value - found.baseline).abs()).max(1e-3)
                };
                layer.iter().map(share).fold(0.0, f64::max)
            };
            found.iter().map(of_layer).collect::<Vec<f64>>()
        };
        let complete = |steps| gaps(steps).iter().all(|gap| *gap < 0.01);
        assert!(
            [25, 100, 400, 1600].into_iter().any(complete),
            "{name}: {:?}",
            gaps(400)
        );
    }
}

/// A classifier reads its first token: in the last layer nothing else counts. A language model reads the token of its target.
#[test]
fn the_last_layer_counts_only_what_is_read() {
    for name in ["bert-cls", "gpt2", "llama"] {
        let model = Model::load(&open(name)).unwrap();
        let inputs = Inputs::from_ids(&[vec![2, 7, 9, 11, 3]], 0).unwrap();
        let (target, read) = match name {
            "bert-cls" => (Target::Class(1), 0),
            _ => (Target::Token { position: 3, token: 5 }, 3),
        };
        let baseline = Baseline::token(&inputs, 1, &[]).unwrap();
        let depth = model.info().attentions[0].layers.len();
        let found =
            layer_integrated_gradients(&model, &inputs, &[target], &baseline, &[0, depth], 20, &mut (), &()).unwrap();
        let side = model.info().attentions[0].attention.query_side();
        let (first, last) = (found[0][0].scores.side(side), found[1][0].scores.side(side));
        assert!(first.iter().filter(|score| **score != 0.0).count() > 1, "{name}");
        for (at, score) in last.iter().enumerate() {
            assert_eq!(*score != 0.0, at == read, "{name}: {last:?}");
        }
        let beyond = layer_integrated_gradients(
            &model,
            &inputs,
            &[Target::Class(0)],
            &Baseline::Zero,
            &[depth + 1],
            2,
            &mut (),
            &(),
        );
        assert!(matches!(beyond, Err(attn_models::Error::Intervention { .. })));
    }
}

#[test]
fn relevance_is_conserved_in_every_family() {
    for name in FAMILIES {
        let model = Model::load(&open(name)).unwrap();
        let found = propagate_relevance(&model, &some_inputs(name), &some_targets(name), 0.0, &mut ()).unwrap();
        for found in &found {
            eprintln!(
                "{name}: conservation gap {:.1e}, biases {:.2}",
                found.relative_gap(),
                found.bias_share()
            );
            assert!(
                found.gap().abs() < 2e-5 * f64::from(found.value.abs()).max(1.0),
                "{name} {found:?}"
            );
            assert!(found.tokens.sum().abs() > 1e-6, "{name}");
        }
        // The forward pass was the model's own.
        let plain = input_gradients(&model, &some_inputs(name), &some_targets(name), &mut ()).unwrap();
        for (found, plain) in found.iter().zip(plain.values) {
            assert!((found.value - plain).abs() < 1e-4 * plain.abs().max(1.0), "{name}");
        }
        // A large epsilon absorbs relevance and leaves the value.
        let damped = propagate_relevance(&model, &some_inputs(name), &some_targets(name), 0.3, &mut ()).unwrap();
        assert!(damped.iter().zip(&found).all(|(damped, found)| {
            (damped.value - found.value).abs() < 1e-4 && damped.gap().abs() > 10.0 * found.gap().abs()
        }));
    }
}

/// The embedded sentiment model is known ground: a sentence of the grammar has the sentiment of its word of opinion.
#[test]
fn the_word_of_opinion_is_found() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../attn-embedded/models/sentiment");
    let checkpoint = attn_models::Checkpoint::open(folder).unwrap();
    let (model, tokenizer) = (Model::load(&checkpoint).unwrap(), checkpoint.tokenizer().unwrap());
    let special = ["[CLS]", "[SEP]"].map(|token| tokenizer.id(token).unwrap());
    let padding = tokenizer.id("[PAD]").unwrap();
    let sentences = [
        ("the cat finds a lovely garden .", "lovely", 2),
        ("a horse ruins the small house .", "ruins", 0),
        ("the woman is very happy .", "happy", 2),
        ("the terrible dog sees a letter .", "terrible", 0),
        ("the girl praises the old teacher .", "praises", 2),
        ("a boy hates the new book .", "hates", 0),
    ];
    let encoded = sentences.map(|(text, ..)| tokenizer.encode(text, model.info()).unwrap().ids());
    let inputs = Inputs::from_ids(&encoded, padding).unwrap();
    let targets = sentences.map(|(_, _, class)| Target::Class(class).minus(Target::Class(2 - class)));
    let baseline = Baseline::token(&inputs, padding, &special).unwrap();
    // Its activations are ReLUs: the gradient jumps along the path, and the sum takes more steps than usual to settle.
    let integrated = integrated_gradients(&model, &inputs, &targets, &baseline, 300, &mut (), &()).unwrap();
    let relevance = propagate_relevance(&model, &inputs, &targets, 0.0, &mut ()).unwrap();
    let product = input_gradients(&model, &inputs, &targets, &mut ())
        .unwrap()
        .times_input()
        .unwrap();
    let mut found = [0; 3];
    for (at, (text, word, _)) in sentences.iter().enumerate() {
        // [CLS] stands before the words.
        let place = 1 + text.split(' ').position(|other| other == *word).unwrap();
        let methods = [&integrated[at].scores, &relevance[at].tokens, &product[at]];
        for (found, scores) in found.iter_mut().zip(methods) {
            let scores = &scores.encoder;
            let best = (0..scores.len())
                .max_by(|&a, &b| scores[a].total_cmp(&scores[b]))
                .unwrap();
            *found += usize::from(best == place);
        }
        assert!(integrated[at].value > 2.0, "{text}: {}", integrated[at].value);
        eprintln!(
            "{text} value {:.2}, completeness gap {:.4}, conservation gap {:.1e}, constants {:.2}",
            integrated[at].value,
            integrated[at].relative_gap(),
            relevance[at].relative_gap(),
            relevance[at].bias_share()
        );
        assert!(
            integrated[at].relative_gap() < 0.01 && relevance[at].relative_gap() < 0.01,
            "{text}"
        );
    }
    eprintln!(
        "found by integrated gradients, relevance, input x gradient: {found:?} of {}",
        sentences.len()
    );
    assert!(found[..2] == [6, 6], "{found:?}");
}

#[test]
fn sums_hold_on_published_weights() {
    let mut cases = Vec::new();
    for (name, text) in [
        ("stories260k", "Once upon a time, there was a little girl named"),
        ("chem-gpt2", "<BOS> C C ( C ) C c 1 c c c c"),
    ] {
        let Some(folder) = third_party(name) else { continue };
        let checkpoint = attn_models::Checkpoint::open(folder).unwrap();
        let model = Model::load(&checkpoint).unwrap();
        let tokenizer = checkpoint.tokenizer().unwrap();
        let ids: Vec<u32> = if name == "chem-gpt2" {
            text.split(' ').map(|symbol| tokenizer.id(symbol).unwrap()).collect()
        } else {
            tokenizer.encode(text, model.info()).unwrap().ids()
        };
        let unknown = if name == "chem-gpt2" {
            tokenizer.id("<PAD>").unwrap()
        } else {
            0
        };
        cases.push((name, model, ids, unknown));
    }
    for (name, model, ids, unknown) in cases {
        let inputs = Inputs::from_ids(std::slice::from_ref(&ids), 0).unwrap();
        let position = ids.len() - 1;
        let logits = model.forward(&inputs, &mut ()).unwrap().logits.unwrap();
        let row: Vec<f32> = logits.get(0).unwrap().get(position).unwrap().to_vec1().unwrap();
        let token = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as u32;
        let baseline = Baseline::token(&inputs, unknown, &ids[..1]).unwrap();
        report(name, &model, &inputs, Target::Token { position, token }, &baseline);
    }
    if let Some(folder) = third_party("aren-transliteration") {
        // A name in Arabic letters and its Latin ones, as far as the model has come when it writes the last but one.
        let checkpoint = attn_models::Checkpoint::open(folder).unwrap();
        let (model, tokenizer) = (Model::load(&checkpoint).unwrap(), checkpoint.tokenizer().unwrap());
        let params = GenerationParams::read(&checkpoint).unwrap();
        let start = params.decoder_start.unwrap();
        let source = tokenizer.encode("آتزمون", model.info()).unwrap().ids();
        let alone = Inputs::from_ids(std::slice::from_ref(&source), 0).unwrap();
        let written = Generator::new(&model, &params)
            .unwrap()
            .run(&alone, &mut (), &())
            .unwrap();
        let written = &written[0].hypotheses[0].tokens;
        let position = written.len() - 2;
        let read: Vec<u32> = std::iter::once(start)
            .chain(written[..position].iter().copied())
            .collect();
        let inputs = Inputs {
            decoder_input_ids: Inputs::from_ids(&[read], 0).unwrap().input_ids,
            ..alone
        };
        let end = *source.last().unwrap();
        let baseline = Baseline::token(&inputs, 0, &[start, end]).unwrap();
        let token = written[position];
        report(
            "aren-transliteration",
            &model,
            &inputs,
            Target::Token { position, token },
            &baseline,
        );
    }
    if let Some(folder) = third_party("vit-mnist") {
        let checkpoint = attn_models::Checkpoint::open(folder).unwrap();
        let model = Model::load(&checkpoint).unwrap();
        let vision = model.vision().unwrap();
        // A bar, bright on dark.
        let pixel = |i: usize| {
            let column = i % vision.width;
            if (vision.width * 2 / 5..vision.width * 3 / 5).contains(&column) {
                1.0_f32
            } else {
                -1.0
            }
        };
        let pixels: Vec<f32> = (0..vision.channels * vision.height * vision.width).map(pixel).collect();
        let shape = (1, vision.channels, vision.height, vision.width);
        let inputs = Inputs::from_pixels(Tensor::from_vec(pixels, shape, &Device::Cpu).unwrap());
        report("vit-mnist", &model, &inputs, Target::Class(1), &Baseline::Zero);
    }
}

fn report(name: &str, model: &Model, inputs: &Inputs, target: Target, baseline: &Baseline) {
    let targets = [target];
    for steps in [20, 100] {
        let found = integrated_gradients(model, inputs, &targets, baseline, steps, &mut (), &()).unwrap();
        eprintln!(
            "{name}: {steps} steps, value {:.3}, baseline {:.3}, completeness gap {:.4}",
            found[0].value,
            found[0].baseline,
            found[0].relative_gap()
        );
        if steps == 100 {
            assert!(found[0].relative_gap() < 0.01, "{name} {}", found[0].relative_gap());
        }
    }
    for epsilon in [0.0, 1e-6, 1e-2] {
        let found = &propagate_relevance(model, inputs, &targets, epsilon, &mut ()).unwrap()[0];
        eprintln!(
            "{name}: epsilon {epsilon}, value {:.3}, tokens {:.3}, positions {:.3}, biases {:.3}, conservation gap {:.1e}",
            found.value,
            found.tokens.sum(),
            found.positions.sum(),
            found.biases,
            found.relative_gap()
        );
        if epsilon < 1e-3 {
            assert!(found.relative_gap() < 0.01, "{name} {found:?}");
        }
    }
}
