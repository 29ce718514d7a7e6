//! Interventions as data, on every family: each against a computation that does not use them.

use attn_core::{Attention, Side};
use attn_models::{
    Edit, Gradients, Heads, Inputs, Intervention, Interventions, Model, Point, Recorder, Selection, Site, Tap, Weights,
    candle::{DType, Device, Tensor},
};

use crate::support::{difference, expected, inputs, open, values};

const FAMILIES: [&str; 8] = [
    "bert",
    "bert-cls",
    "distilbert",
    "gpt-neox",
    "gpt2",
    "llama",
    "qwen3",
    "vit",
];

/// A batch of two sequences of the same length (or pictures).
pub(crate) fn batch(name: &str) -> Inputs {
    if name == "vit" {
        inputs(&expected(name), "px")
    } else {
        Inputs::from_ids(&[vec![5, 60, 7, 80, 9], vec![11, 12, 13, 14, 15]], 0).unwrap()
    }
}

fn attention(model: &Model) -> Attention {
    model.info().attentions[0].attention
}

fn logits(model: &Model, inputs: &Inputs, tap: &mut dyn Tap) -> Tensor {
    model.forward(inputs, tap).unwrap().logits.unwrap()
}

pub(crate) fn edits(model: &Model, list: impl IntoIterator<Item = Intervention>) -> Interventions {
    Interventions::new(model.info(), list).unwrap()
}

/// A model whose weights the test may change, and the one variable of a layer whose name ends like that.
fn changeable(name: &str) -> (Model, Weights) {
    let checkpoint = open(name);
    let weights = Weights::finetune(&checkpoint, 0);
    let model = Model::load_from(&checkpoint, &weights, Gradients::Off).unwrap();
    (model, weights)
}

fn change(weights: &Weights, part: &str, with: impl Fn(&Tensor) -> Tensor) {
    let mut changed = 0;
    for (name, variable) in weights.variables() {
        if name.contains(part) {
            variable.set(&with(variable.as_tensor())).unwrap();
            changed += 1;
        }
    }
    assert_eq!(changed, 1, "{part}");
}

/// The output map of layer 1, and whether it is stored as `[in, out]`.
fn output_map(name: &str) -> (&'static str, bool) {
    match name {
        "gpt2" => ("h.1.attn.c_proj.weight", true),
        "llama" | "qwen3" => ("layers.1.self_attn.o_proj.weight", false),
        "distilbert" => ("layer.1.attention.out_lin.weight", false),
        "gpt-neox" => ("layers.1.attention.dense.weight", false),
        _ => ("layer.1.attention.output.dense.weight", false),
    }
}

#[test]
fn a_masked_head_is_one_whose_columns_of_the_output_map_are_multiplied() {
    for name in FAMILIES {
        for factor in [0.0, -1.5] {
            let (model, weights) = changeable(name);
            let (map, transposed) = output_map(name);
            let info = &model.info().attentions[0];
            let (head_dim, width) = (info.head_dim, info.heads * info.head_dim);
            let inputs = batch(name);
            let mask = Edit::HeadMask {
                heads: Heads::new(attention(&model), 1, [1, 3]),
                factor,
            };
            let found = logits(&model, &inputs, &mut edits(&model, [mask.into()]));
            let plain = logits(&model, &inputs, &mut ());
            change(&weights, map, |weight| {
                let factors = (0..width).map(|input| if (input / head_dim) % 2 == 1 { factor } else { 1.0 });
                let factors = Tensor::from_iter(factors, &Device::Cpu).unwrap();
                let shape = if transposed { (width, 1) } else { (1, width) };
                weight.broadcast_mul(&factors.reshape(shape).unwrap()).unwrap()
            });
            let wanted = logits(&model, &inputs, &mut ());
            assert!(difference(&found, &wanted, None) < 1e-5, "{name} {factor}");
            assert!(difference(&found, &plain, None) > 1e-4, "{name} {factor}");
        }
    }
}

/// What a pass records at a point of layer 0, flat.
fn recorded(model: &Model, inputs: &Inputs, point: Point, list: Vec<Intervention>) -> (Vec<usize>, Vec<f32>) {
    let mut taps = (edits(model, list), Recorder::of(&[point]));
    model.forward(inputs, &mut taps).unwrap();
    let tensor = &taps.1.tensors[&Site::new(attention(model), 0, point)];
    (tensor.dims().to_vec(), values(tensor))
}

/// Applies `edit` to rows of the plain attention of layer 0 by hand: `row(sequence, head, query, weights)`.
fn by_hand(model: &Model, inputs: &Inputs, row: impl Fn(usize, usize, usize, &mut [f32])) -> (Vec<usize>, Vec<f32>) {
    let (dims, mut attention) = recorded(model, inputs, Point::Attention, vec![]);
    for (at, weights) in attention.chunks_mut(dims[3]).enumerate() {
        row(at / dims[2] / dims[1], at / dims[2] % dims[1], at % dims[2], weights);
    }
    (dims, attention)
}

fn close(found: &[f32], wanted: &[f32], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!(
            (found - wanted).abs() < 2e-6,
            "{what}: {found} instead of {wanted} at {at}"
        );
    }
}

fn normalise(row: &mut [f32]) {
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|weight| *weight /= sum);
}

#[test]
fn a_knocked_out_edge_leaves_the_softmax_of_the_rest() {
    for name in FAMILIES {
        let (model, inputs) = (Model::load(&open(name)).unwrap(), batch(name));
        let edit = Edit::KnockOut {
            heads: Heads::new(attention(&model), 0, [0, 2]),
            queries: Selection::from([2, 3]),
            keys: Selection::from([1, 2]),
        };
        let (_, found) = recorded(&model, &inputs, Point::Attention, vec![edit.in_sequences(1)]);
        let (_, wanted) = by_hand(&model, &inputs, |sequence, head, query, row| {
            if sequence == 1 && head % 2 == 0 && (query == 2 || query == 3) {
                (row[1], row[2]) = (0.0, 0.0);
                normalise(row);
            }
        });
        close(&found, &wanted, name);
    }
}

#[test]
fn attention_is_overwritten_and_reweighted_after_the_softmax() {
    for name in FAMILIES {
        let (model, inputs) = (Model::load(&open(name)).unwrap(), batch(name));
        let heads = |head: usize| Heads::new(attention(&model), 0, head);
        let list = vec![
            Edit::AttentionRow {
                heads: heads(0),
                query: 3,
                weights: vec![1.0, 0.0, 3.0],
                renormalise: true,
            }
            .in_sequences(0),
            Edit::AttentionCells {
                heads: heads(1),
                queries: Selection::from(1..4),
                keys: 1.into(),
                weight: 0.5,
                renormalise: false,
            }
            .into(),
            Edit::AttentionFactor {
                heads: heads(2),
                queries: Selection::All,
                keys: 0.into(),
                factor: 0.25,
                renormalise: true,
            }
            .in_sequences([0, 1]),
        ];
        let by_hand = by_hand(&model, &inputs, |sequence, head, query, row| match head {
            0 if sequence == 0 && query == 3 => {
                row.fill(0.0);
                (row[0], row[2]) = (0.25, 0.75);
            }
            1 if (1..4).contains(&query) => row[1] = 0.5,
            2 if sequence < 2 => {
                row[0] *= 0.25;
                normalise(row);
            }
            _ => {}
        });
        let (dims, wanted) = by_hand;
        let (_, found) = recorded(&model, &inputs, Point::Attention, list.clone());
        close(&found, &wanted, name);

        // What the heads read is the edited attention times the values.
        let (value_dims, value) = recorded(&model, &inputs, Point::Value, vec![]);
        let (_, output) = recorded(&model, &inputs, Point::HeadOutput, list);
        let (heads, tokens, group) = (dims[1], dims[2], dims[1] / value_dims[1]);
        let head_dim = value_dims[3];
        for (at, found) in output.chunks(head_dim).enumerate() {
            let (sequence, query, head) = (at / heads / tokens, at / heads % tokens, at % heads);
            for (d, found) in found.iter().enumerate() {
                let wanted: f32 = (0..tokens)
                    .map(|key| {
                        let weight = wanted[((sequence * heads + head) * tokens + query) * tokens + key];
                        let row = (sequence * value_dims[1] + head / group) * tokens + key;
                        weight * value[row * head_dim + d]
                    })
                    .sum();
                assert!((found - wanted).abs() < 1e-5, "{name} {sequence} {head} {query}");
            }
        }
    }
}

fn patch(site: Site) -> Edit {
    Edit::Patch {
        site,
        heads: Selection::All,
        tokens: Selection::All,
        donor: 0,
        donor_tokens: None,
    }
}

fn donated(model: &Model, list: Vec<Intervention>, donor: &Inputs) -> Interventions {
    let tap = edits(model, list);
    let mut run = Recorder::of(&tap.donor_points());
    model.forward(donor, &mut run).unwrap();
    tap.with_donor(run)
}

#[test]
fn patching_everything_gives_the_other_run() {
    for name in FAMILIES {
        let (model, inputs) = (Model::load(&open(name)).unwrap(), batch(name));
        let side = attention(&model).query_side();
        let wanted = logits(&model, &inputs, &mut ());
        // The second sequence gets everything of the first at one place.
        for layer in 0..=2 {
            let list = vec![patch(Site::hidden(side, layer)).in_sequences(1)];
            // A classifier's or a language model's head follows; its norm may come before the site.
            let found = logits(&model, &inputs, &mut donated(&model, list, &inputs));
            let first = wanted.get(0).unwrap();
            assert!(
                difference(&found.get(0).unwrap(), &first, None) < 1e-5,
                "{name} {layer}"
            );
            assert!(
                difference(&found.get(1).unwrap(), &first, None) < 1e-5,
                "{name} {layer}"
            );
        }
        // Queries, keys and values together are the attention; so is what the heads read.
        let site = |point| Site::new(attention(&model), 1, point);
        for points in [
            vec![Point::Query, Point::Key, Point::Value],
            vec![Point::HeadOutput],
            vec![Point::Attention, Point::Value],
        ] {
            let list = points.iter().map(|&point| patch(site(point)).in_sequences(1)).collect();
            let mut taps = (donated(&model, list, &inputs), Recorder::of(&[Point::AttentionOutput]));
            model.forward(&inputs, &mut taps).unwrap();
            let output = &taps.1.tensors[&site(Point::AttentionOutput)];
            let (first, second) = (output.get(0).unwrap(), output.get(1).unwrap());
            assert!(difference(&first, &second, None) < 1e-5, "{name} {points:?}");
        }
    }
}

#[test]
fn a_patch_touches_its_heads_and_tokens_only() {
    for name in FAMILIES {
        let (model, inputs) = (Model::load(&open(name)).unwrap(), batch(name));
        for (point, head_axis, token_axis) in [
            (Point::Query, Some(1), 2),
            (Point::Key, Some(1), 2),
            (Point::Value, Some(1), 2),
            (Point::HeadOutput, Some(2), 1),
            (Point::AttentionOutput, None, 1),
            (Point::Mlp, None, 1),
        ] {
            let site = Site::new(attention(&model), 0, point);
            let edit = Edit::Patch {
                site,
                heads: head_axis.map_or(Selection::All, |_| 1.into()),
                tokens: Selection::from([3, 0]),
                donor: 1,
                donor_tokens: Some(vec![2, 4]),
            };
            let mut plain = Recorder::of(&[point]);
            model.forward(&inputs, &mut plain).unwrap();
            let mut taps = (
                donated(&model, vec![edit.in_sequences(0)], &inputs),
                Recorder::of(&[point]),
            );
            model.forward(&inputs, &mut taps).unwrap();
            let (before, after) = (&plain.tensors[&site], &taps.1.tensors[&site]);
            let (batch, tokens) = (before.dim(0).unwrap(), before.dim(token_axis).unwrap());
            let heads = head_axis.map_or(1, |axis| before.dim(axis).unwrap());
            let vector = |tensor: &Tensor, sequence: usize, head: usize, token: usize| {
                let one = tensor.get(sequence).unwrap();
                let one = match (head_axis, token_axis) {
                    (Some(_), 1) => one.get(token).unwrap().get(head).unwrap(),
                    (Some(_), _) => one.get(head).unwrap().get(token).unwrap(),
                    (None, _) => one.get(token).unwrap(),
                };
                values(&one)
            };
            for sequence in 0..batch {
                for head in 0..heads {
                    for token in 0..tokens {
                        let chosen = sequence == 0 && (head_axis.is_none() || head == 1);
                        let from = match (chosen, token) {
                            (true, 3) => (1, 2),
                            (true, 0) => (1, 4),
                            _ => (sequence, token),
                        };
                        assert_eq!(
                            vector(after, sequence, head, token),
                            vector(before, from.0, head, from.1),
                            "{name} {site} {sequence} {head} {token}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn positions_removed_or_shuffled_are_other_position_ids() {
    let order = [3_u32, 0, 4, 1, 2];
    for name in ["bert", "gpt2", "llama"] {
        let (model, weights) = changeable(name);
        let side = attention(&model).query_side();
        let inputs = batch(name);
        let with_ids = |ids: &[u32]| Inputs {
            position_ids: Some(Tensor::new(ids, &Device::Cpu).unwrap().unsqueeze(0).unwrap()),
            ..inputs.clone()
        };
        let shuffle = Edit::ShufflePositions {
            side,
            order: order.iter().map(|&token| token as usize).collect(),
        };
        let found = logits(&model, &inputs, &mut edits(&model, [shuffle.clone().into()]));
        let shuffled = logits(&model, &with_ids(&order), &mut ());
        assert!(difference(&found, &shuffled, None) < 1e-5, "{name}");

        let plain = logits(&model, &inputs, &mut ());
        assert!(difference(&found, &plain, None) > 1e-4, "{name}");
        // In one sequence only, the other as it was.
        let mut one = edits(&model, [shuffle.in_sequences(1)]).with_batch(2);
        let found = logits(&model, &inputs, &mut one);
        assert!(
            difference(&found.get(0).unwrap(), &plain.get(0).unwrap(), None) < 1e-5,
            "{name}"
        );
        assert!(
            difference(&found.get(1).unwrap(), &shuffled.get(1).unwrap(), None) < 1e-5,
            "{name}"
        );

        let remove = Edit::RemovePositions { side };
        let found = logits(&model, &inputs, &mut edits(&model, [remove.into()]));
        let wanted = if name == "llama" {
            // Position 0 is no rotation.
            logits(&model, &with_ids(&[0; 5]), &mut ())
        } else {
            let table = if name == "gpt2" { "wpe" } else { "position_embeddings" };
            change(&weights, table, |table| table.zeros_like().unwrap());
            logits(&model, &inputs, &mut ())
        };
        assert!(difference(&found, &wanted, None) < 1e-5, "{name}");
    }
}

#[test]
fn patches_of_a_picture_lose_their_places() {
    let (model, weights) = changeable("vit");
    let (inputs, side) = (batch("vit"), Side::Encoder);
    let tokens = model.info().max_tokens.unwrap();
    // Everything but the class token back to front.
    let order: Vec<usize> = std::iter::once(0).chain((1..tokens).rev()).collect();
    let shuffle = Edit::ShufflePositions {
        side,
        order: order.clone(),
    };
    let found = logits(&model, &inputs, &mut edits(&model, [shuffle.into()]));
    let removed = edits(&model, [Edit::RemovePositions { side }.in_sequences(1)]);
    let batch = inputs.pixel_values.as_ref().unwrap().dim(0).unwrap();
    let partly = logits(&model, &inputs, &mut removed.with_batch(batch));
    let plain = logits(&model, &inputs, &mut ());

    let table = weights.variables()["vit.embeddings.position_embeddings"]
        .as_tensor()
        .copy()
        .unwrap();
    let order: Vec<u32> = order.into_iter().map(|token| token as u32).collect();
    let order = Tensor::new(order, &Device::Cpu).unwrap();
    change(&weights, "position_embeddings", |_| {
        table.index_select(&order, 1).unwrap()
    });
    assert!(difference(&found, &logits(&model, &inputs, &mut ()), None) < 1e-5);
    change(&weights, "position_embeddings", |_| table.zeros_like().unwrap());
    let without = logits(&model, &inputs, &mut ());
    for sequence in 0..batch {
        let wanted = if sequence == 1 { &without } else { &plain };
        assert!(difference(&partly.get(sequence).unwrap(), &wanted.get(sequence).unwrap(), None) < 1e-5);
    }
}

#[test]
fn interventions_act_together_and_in_their_order() {
    let (model, inputs) = (Model::load(&open("gpt2")).unwrap(), batch("gpt2"));
    let mask = |factor| Edit::HeadMask {
        heads: Heads::new(Attention::DecoderSelf, 0, 2),
        factor,
    };
    let twice = logits(
        &model,
        &inputs,
        &mut edits(&model, [mask(0.5).into(), mask(-4.0).into()]),
    );
    let once = logits(&model, &inputs, &mut edits(&model, [mask(-2.0).into()]));
    assert!(difference(&twice, &once, None) < 1e-6);

    // A factor of one cell after another edit of the row sees the edited row.
    let heads = Heads::all(Attention::DecoderSelf, 0);
    let row = Edit::AttentionRow {
        heads: heads.clone(),
        query: 4,
        weights: vec![0.5, 0.5],
        renormalise: false,
    };
    let factor = Edit::AttentionFactor {
        heads,
        queries: 4.into(),
        keys: 0.into(),
        factor: 3.0,
        renormalise: true,
    };
    let (dims, found) = recorded(&model, &inputs, Point::Attention, vec![row.into(), factor.into()]);
    let last = &found[(dims[2] - 1) * dims[3]..dims[2] * dims[3]];
    close(last, &[0.75, 0.25, 0.0, 0.0, 0.0], "edited row");
}

#[test]
fn gradients_flow_through_interventions() {
    let (model, inputs) = (Model::load(&open("bert")).unwrap(), batch("bert"));
    let target = attn_models::Target::Token { position: 2, token: 7 };
    let heads = |head: usize| Heads::new(Attention::EncoderSelf, 0, head);
    let all = Selection::All;
    let list = [
        Edit::HeadMask {
            heads: heads(0),
            factor: 0.5,
        }
        .into(),
        Edit::AttentionFactor {
            heads: heads(1),
            queries: all.clone(),
            keys: 1.into(),
            factor: 0.3,
            renormalise: true,
        }
        .into(),
        Edit::KnockOut {
            heads: heads(2),
            queries: all,
            keys: 3.into(),
        }
        .into(),
    ];
    let mut tap = edits(&model, list);
    let gradients = attn_models::input_gradients(&model, &inputs, &[target], &mut tap).unwrap();
    // Against a difference quotient along a fixed direction.
    let gradient = &gradients.gradients[&Side::Encoder];
    let direction: Vec<f32> = (0..gradient.elem_count()).map(|i| (i as f32 * 0.7).sin()).collect();
    let direction = Tensor::from_vec(direction, gradient.shape(), &Device::Cpu).unwrap();
    struct Shift(Tensor);
    impl Tap for Shift {
        fn wants(&self, site: Site) -> bool {
            site.point == Point::Embedding
        }
        fn tap(&mut self, _: Site, tensor: Tensor) -> attn_models::Result<Tensor> {
            Ok((tensor + &self.0)?)
        }
    }
    let at = |size: f64, tap: &mut Interventions| {
        let moved = logits(&model, &inputs, &mut (Shift((&direction * size).unwrap()), tap));
        let moved = moved.to_dtype(DType::F64).unwrap().to_vec3::<f64>().unwrap();
        moved[0][2][7] + moved[1][2][7]
    };
    let quotient = (at(1e-3, &mut tap) - at(-1e-3, &mut tap)) / 2e-3;
    let wanted = f64::from(values(&gradient.mul(&direction).unwrap()).iter().sum::<f32>());
    assert!(
        (quotient - wanted).abs() < 2e-3 * wanted.abs().max(1.0),
        "{quotient} {wanted}"
    );
}
