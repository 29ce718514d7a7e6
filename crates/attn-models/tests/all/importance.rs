//! Importance of heads: against the reference's head-mask gradients and losses, and against the sums over a head's rows
//! and columns taken from the weights by name.

use attn_core::{Attention, HeadId};
use attn_models::{
    Gradients, Inputs, Model, Weights,
    attribute::{Examples, HeadGrid, Target, head_gradients, input_gradients, taylor_importance, taylor_per_example},
    candle::{DType, Tensor},
    intervene::{Edit, Interventions},
};

use crate::{
    attribution::{SEQUENCE_TO_SEQUENCE, gradients_of, losses},
    support::{expected, inputs, open, values},
};

fn flat(grids: &[HeadGrid]) -> Vec<f32> {
    grids.iter().flat_map(|grid| grid.values.iter().copied()).collect()
}

fn close(found: &[f32], wanted: &[f32], allowed: f32, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!(
            (found - wanted).abs() <= allowed,
            "{what}: {found} instead of {wanted} at {at}"
        );
    }
}

#[test]
fn head_gradients_agree_with_the_reference() {
    for name in ["bert", "bert-cls", "gpt2"] {
        let expected = expected(name);
        let model = Model::load(&open(name)).unwrap();
        let wanted = |name: &str| values(&expected[&format!("grad.{name}")]);
        let examples = Examples {
            inputs: inputs(&expected, "grad"),
            targets: losses(&expected),
        };
        let found = head_gradients(&model, std::slice::from_ref(&examples), &()).unwrap();
        let signed: Vec<f32> = found.examples.iter().flat_map(|(_, grids)| flat(grids)).collect();
        close(&signed, &wanted("head_signed_per_example"), 1e-4, name);
        close(
            &flat(&found.signed_mean()),
            &wanted("head_signed_batchmean"),
            1e-4,
            name,
        );
        let importance = found.importance();
        close(&flat(&importance), &wanted("head_importance"), 1e-4, name);
        let by_layer: Vec<_> = importance.iter().map(HeadGrid::normalized_by_layer).collect();
        close(&flat(&by_layer), &wanted("head_importance_l2norm"), 1e-3, name);

        // What it approximates: the loss without each head.
        let ablated: Vec<f32> = model
            .info()
            .heads()
            .map(|head: HeadId| {
                let off = Edit::HeadMask {
                    heads: head.into(),
                    factor: 0.0,
                };
                let mut tap = Interventions::new(model.info(), [off.into()]).unwrap();
                let found = input_gradients(&model, &examples.inputs, &examples.targets, &mut tap).unwrap();
                found.values.iter().sum::<f32>() / found.values.len() as f32
            })
            .collect();
        close(&ablated, &wanted("head_ablated_loss"), 1e-4, name);
    }
}

#[test]
fn head_gradients_of_encoder_decoders_agree_with_the_reference() {
    for (name, _) in SEQUENCE_TO_SEQUENCE {
        let expected = gradients_of(name);
        let model = Model::load(&open(name)).unwrap();
        let examples = Examples {
            inputs: inputs(&expected, "grad"),
            targets: losses(&expected),
        };
        let found = head_gradients(&model, &[examples], &()).unwrap();
        for (at, info) in model.info().attentions.iter().enumerate() {
            let key = match info.attention {
                Attention::EncoderSelf => "encoder_self",
                Attention::DecoderSelf => "decoder_self",
                Attention::Cross => "cross",
            };
            let signed: Vec<f32> = found
                .examples
                .iter()
                .flat_map(|(_, grids)| flat(&grids[at..=at]))
                .collect();
            let wanted = values(&expected[&format!("grad.{key}.head_signed")]);
            close(&signed, &wanted, 1e-4, &format!("{name} {key}"));
        }
    }
}

/// `(g w)^2` of a variable, row by row `[rows, columns]`.
fn squares(weight: &Tensor, gradient: &Tensor) -> Vec<Vec<f64>> {
    let squares = (weight * gradient)
        .unwrap()
        .to_dtype(DType::F64)
        .unwrap()
        .sqr()
        .unwrap();
    let squares = if squares.rank() == 1 {
        squares.unsqueeze(1).unwrap()
    } else {
        squares
    };
    squares.to_vec2().unwrap()
}

#[test]
fn taylor_importance_is_the_sum_over_a_heads_parameters() {
    for name in ["bert", "gpt2", "llama"] {
        let checkpoint = open(name);
        let weights = Weights::finetune(&checkpoint, 0);
        let model = Model::load_from(&checkpoint, &weights, Gradients::On).unwrap();
        let target = |token| Target::Token { position: 2, token };
        let batch = |rows: &[Vec<u32>], targets: Vec<Target>| Examples {
            inputs: Inputs::from_ids(rows, 0).unwrap(),
            targets,
        };
        let rows = [vec![5, 60, 7, 80], vec![11, 12, 13], vec![4, 9, 8, 2]];
        let batches = [
            batch(&rows[..2], vec![target(3), target(4)]),
            batch(&rows[2..], vec![target(5)]),
        ];
        let found = taylor_importance(&model, &batches, &()).unwrap();

        // The mean target over the set, differentiated here.
        let mut total: Option<Tensor> = None;
        for (row, token) in rows.iter().zip([3, 4, 5]) {
            let inputs = Inputs::from_ids(std::slice::from_ref(row), 0).unwrap();
            let logits = model.forward(&inputs, &mut ()).unwrap().logits.unwrap();
            let logit = logits.get(0).unwrap().get(2).unwrap().get(token).unwrap();
            total = Some(total.map_or(logit.clone(), |total| (total + logit).unwrap()));
        }
        let gradients = (total.unwrap() / 3.0).unwrap().backward().unwrap();
        let variables = weights.variables();
        let of = |name: &str| {
            let variable = &variables[name];
            squares(variable, gradients.get(variable).unwrap())
        };
        for head in model.info().heads() {
            let (layer, rows) = (head.layer, head.head * 8..head.head * 8 + 8);
            let shared = head.head / 2 * 8..head.head / 2 * 8 + 8;
            let rows_of =
                |name: String, rows: std::ops::Range<usize>| -> f64 { of(&name)[rows].iter().flatten().sum() };
            let columns_of = |name: String, columns: std::ops::Range<usize>| -> f64 {
                of(&name)
                    .iter()
                    .map(|row| row[columns.clone()].iter().sum::<f64>())
                    .sum()
            };
            let wanted = match name {
                "bert" => {
                    let place = format!("bert.encoder.layer.{layer}.attention");
                    let mut sum = columns_of(format!("{place}.output.dense.weight"), rows.clone());
                    for part in ["query", "key", "value"] {
                        sum += rows_of(format!("{place}.self.{part}.weight"), rows.clone());
                        sum += rows_of(format!("{place}.self.{part}.bias"), rows.clone());
                    }
                    sum
                }
                "gpt2" => {
                    let place = format!("transformer.h.{layer}.attn");
                    let mut sum = rows_of(format!("{place}.c_proj.weight"), rows.clone());
                    for part in 0..3 {
                        let rows = rows.start + 32 * part..rows.end + 32 * part;
                        sum += columns_of(format!("{place}.c_attn.weight"), rows.clone());
                        sum += rows_of(format!("{place}.c_attn.bias"), rows);
                    }
                    sum
                }
                _ => {
                    let place = format!("model.layers.{layer}.self_attn");
                    columns_of(format!("{place}.o_proj.weight"), rows.clone())
                        + rows_of(format!("{place}.q_proj.weight"), rows)
                        + rows_of(format!("{place}.k_proj.weight"), shared.clone())
                        + rows_of(format!("{place}.v_proj.weight"), shared)
                }
            };
            let found = f64::from(found[0].get(head).unwrap());
            assert!(
                (found - wanted).abs() < 1e-4 * wanted,
                "{name} {head}: {found} {wanted}"
            );
        }

        // One example at a time, in a padded batch or alone.
        let masks = head_gradients(&model, &batches, &()).unwrap();
        for ((row, token), (value, found)) in rows.iter().zip([3, 4, 5]).zip(&masks.examples) {
            let alone = batch(std::slice::from_ref(row), vec![target(token)]);
            let wanted = &head_gradients(&model, &[alone], &()).unwrap().examples[0];
            assert!((value - wanted.0).abs() < 1e-4, "{name}");
            close(&flat(found), &flat(&wanted.1), 1e-4, name);
        }
        let each = taylor_per_example(&model, &batches, &()).unwrap();
        for ((row, token), found) in rows.iter().zip([3, 4, 5]).zip(each) {
            let alone = batch(std::slice::from_ref(row), vec![target(token)]);
            let wanted = taylor_importance(&model, &[alone], &()).unwrap();
            let scale = flat(&wanted).into_iter().fold(0.0, f32::max);
            close(&flat(&found), &flat(&wanted), 1e-4 * scale, name);
        }
    }
}

#[test]
fn importance_is_measured_on_pictures_too_and_needs_no_trainable_weights() {
    let expected = expected("vit");
    let examples = Examples {
        inputs: inputs(&expected, "px"),
        targets: vec![Target::Class(1).minus(Target::Class(0))],
    };
    let checkpoint = open("vit");
    let model = Model::load(&checkpoint).unwrap();
    let found = head_gradients(&model, std::slice::from_ref(&examples), &()).unwrap();
    assert!(flat(&found.importance()).iter().all(|&value| value > 0.0));
    // The gradient of a mask is the slope of a difference quotient.
    let head = HeadId::new(model.info().attentions[0].attention, 1, 2);
    let at = |factor: f32| -> Vec<f32> {
        let mask = Edit::HeadMask {
            heads: head.into(),
            factor,
        };
        let mut tap = Interventions::new(model.info(), [mask.into()]).unwrap();
        input_gradients(&model, &examples.inputs, &examples.targets, &mut tap)
            .unwrap()
            .values
    };
    for ((above, below), (_, grids)) in at(1.05).into_iter().zip(at(0.95)).zip(&found.examples) {
        let (quotient, slope) = ((above - below) / 0.1, grids[0].get(head).unwrap());
        assert!(
            (quotient - slope).abs() < 1e-3 * slope.abs().max(0.1),
            "{quotient} {slope}"
        );
    }

    // Weights that are variables of the model's own make no difference.
    let trained = Model::load_from(&checkpoint, &Weights::finetune(&checkpoint, 0), Gradients::On).unwrap();
    let of = |model: &Model| flat(&taylor_importance(model, std::slice::from_ref(&examples), &()).unwrap());
    assert!(of(&model).iter().all(|&value| value > 0.0));
    assert_eq!(of(&model), of(&trained));
}
