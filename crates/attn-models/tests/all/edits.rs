//! Interventions as data, on every family: each against a computation that does not use them.

use attn_core::{Attention, Side};
use attn_models::{
    Gradients, Inputs, Model, Point, Site, Tap, Weights,
    candle::{DType, Device, Tensor},
    intervene::{Edit, Heads, Intervention, Interventions, Selection},
    record::Recorder,
};

use crate::support::{difference, expected, inputs, largest, open, values};

pub(crate) const FAMILIES: [&str; 49] = [
    "albert",
    "bart",
    "bert",
    "bert-cls",
    "bloom",
    "clip-text",
    "cohere",
    "deberta-v2",
    "deit",
    "dinov2",
    "dinov3",
    "distilbert",
    "electra",
    "falcon",
    "falcon-alibi",
    "gemma",
    "gemma2",
    "gemma3",
    "gpt-neo",
    "gpt-neox",
    "gpt-oss",
    "gpt2",
    "gptj",
    "granite",
    "llama",
    "m2m100",
    "marian",
    "mbart",
    "mixtral",
    "modernbert",
    "mpnet",
    "mpt",
    "nomic-bert",
    "olmo2",
    "opt",
    "pegasus",
    "phi",
    "phi3",
    "qwen2",
    "qwen3",
    "qwen3-moe",
    "roberta",
    "smollm3",
    "starcoder2",
    "t5",
    "vit",
    "wav2vec2",
    "whisper",
    "xlm-roberta",
];

/// A batch of two sequences of the same length (or pictures, or sounds); for an encoder-decoder of sources and shorter targets.
pub(crate) fn batch(name: &str) -> Inputs {
    match name {
        "deit" | "dinov2" | "dinov3" | "vit" => inputs(&expected(name), "px"),
        "wav2vec2" => Inputs {
            input_values: Some(expected(name)["pad.in.input_values"].narrow(0, 0, 2).unwrap()),
            ..Inputs::default()
        },
        "whisper" => Inputs {
            decoder_input_ids: rows(&[[2, 30, 31, 32, 33], [2, 21, 22, 23, 24]]).input_ids,
            ..Inputs::from_features(expected(name)["pad.in.input_features"].narrow(0, 0, 2).unwrap())
        },
        "bart" | "m2m100" | "marian" | "mbart" | "pegasus" | "t5" => Inputs {
            decoder_input_ids: rows(&[[2, 30, 31, 32, 33], [2, 21, 22, 23, 24]]).input_ids,
            ..rows(&[[5, 60, 7, 80, 9, 33], [11, 12, 13, 14, 15, 16]])
        },
        _ => rows(&[[5, 60, 7, 80, 9], [11, 12, 13, 14, 15]]),
    }
}

pub(crate) fn rows<const TOKENS: usize>(ids: &[[u32; TOKENS]]) -> Inputs {
    let ids: Vec<Vec<u32>> = ids.iter().map(|row| row.to_vec()).collect();
    Inputs::from_ids(&ids, 0).unwrap()
}

/// Every family, its model and each of the model's attentions.
fn attentions() -> impl Iterator<Item = (&'static str, Model, Attention)> {
    FAMILIES.into_iter().flat_map(|name| {
        let load = move || Model::load(&open(name)).unwrap();
        let attentions: Vec<_> = load().info().attentions.iter().map(|info| info.attention).collect();
        attentions.into_iter().map(move |attention| (name, load(), attention))
    })
}

/// What a model says, by its head if it has one.
pub(crate) fn logits(model: &Model, inputs: &Inputs, tap: &mut dyn Tap) -> Tensor {
    let output = model.forward(inputs, tap).unwrap();
    output.logits.unwrap_or(output.last_hidden)
}

pub(crate) fn edits(model: &Model, list: impl IntoIterator<Item = Intervention>) -> Interventions {
    Interventions::new(model.info(), list).unwrap()
}

/// A model whose weights the test may change, and the one variable of a layer whose name ends like that.
pub(crate) fn changeable(name: &str) -> (Model, Weights) {
    let checkpoint = open(name);
    let weights = Weights::finetune(&checkpoint, 0);
    let model = Model::load_from(&checkpoint, &weights, Gradients::Off).unwrap();
    (model, weights)
}

pub(crate) fn change(weights: &Weights, part: &str, with: impl Fn(&Tensor) -> Tensor) {
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
fn output_map(name: &str, attention: Attention) -> (&'static str, bool) {
    match (name, attention) {
        ("t5", Attention::EncoderSelf) => return ("encoder.block.1.layer.0.SelfAttention.o.weight", false),
        ("t5", Attention::DecoderSelf) => return ("decoder.block.1.layer.0.SelfAttention.o.weight", false),
        ("t5", Attention::Cross) => return ("decoder.block.1.layer.1.EncDecAttention.o.weight", false),
        _ => {}
    }
    match name {
        "bart" | "m2m100" | "marian" | "mbart" | "pegasus" | "whisper" => match attention {
            Attention::EncoderSelf => ("encoder.layers.1.self_attn.out_proj.weight", false),
            Attention::DecoderSelf => ("decoder.layers.1.self_attn.out_proj.weight", false),
            Attention::Cross => ("decoder.layers.1.encoder_attn.out_proj.weight", false),
        },
        "gpt2" => ("h.1.attn.c_proj.weight", true),
        "gpt-neo" => ("h.1.attn.attention.out_proj.weight", false),
        "gptj" => ("h.1.attn.out_proj.weight", false),
        "bloom" | "falcon" | "falcon-alibi" => ("h.1.self_attention.dense.weight", false),
        "mpt" => ("blocks.1.attn.out_proj.weight", false),
        "clip-text" | "opt" => ("layers.1.self_attn.out_proj.weight", false),
        "dinov3" => ("layer.1.attention.o_proj.weight", false),
        "nomic-bert" => ("layers.1.attn.out_proj.weight", false),
        "wav2vec2" => ("layers.1.attention.out_proj.weight", false),
        "phi" => ("layers.1.self_attn.dense.weight", false),
        "cohere" | "gemma" | "gemma2" | "gemma3" | "gpt-oss" | "granite" | "llama" | "mixtral" | "olmo2" | "phi3"
        | "qwen2" | "qwen3" | "qwen3-moe" | "smollm3" | "starcoder2" => ("layers.1.self_attn.o_proj.weight", false),
        "distilbert" => ("layer.1.attention.out_lin.weight", false),
        "gpt-neox" => ("layers.1.attention.dense.weight", false),
        "modernbert" => ("layers.1.attn.Wo.weight", false),
        "mpnet" => ("layer.1.attention.attn.o.weight", false),
        _ => ("layer.1.attention.output.dense.weight", false),
    }
}

#[test]
fn a_masked_head_is_one_whose_columns_of_the_output_map_are_multiplied() {
    for (name, _, attention) in attentions() {
        // Its layers share one map.
        if name == "albert" {
            continue;
        }
        for factor in [0.0, -1.5] {
            let (model, weights) = changeable(name);
            let (map, transposed) = output_map(name, attention);
            let info = model.info().attention(attention).unwrap();
            let (head_dim, width) = (info.head_dim, info.heads * info.head_dim);
            let inputs = batch(name);
            let mask = Edit::HeadMask {
                heads: Heads::new(attention, 1, [1, 3]),
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
            let scale = largest(&wanted).max(1.0);
            assert!(
                difference(&found, &wanted, None) < 1e-5 * scale,
                "{name} {attention} {factor}"
            );
            assert!(difference(&found, &plain, None) > 1e-4, "{name} {attention} {factor}");
        }
    }
}

/// What a pass records at a site, and its shape.
fn recorded(model: &Model, inputs: &Inputs, site: Site, list: Vec<Intervention>) -> (Vec<usize>, Vec<f32>) {
    let mut taps = (edits(model, list), Recorder::of(&[site.point]));
    model.forward(inputs, &mut taps).unwrap();
    let tensor = &taps.1.tensors[&site];
    (tensor.dims().to_vec(), values(tensor))
}

/// Applies `row(sequence, head, query, weights)` to the rows of the attention at a site, by hand.
fn by_hand(
    model: &Model,
    inputs: &Inputs,
    site: Site,
    row: impl Fn(usize, usize, usize, &mut [f32]),
) -> (Vec<usize>, Vec<f32>) {
    let (dims, mut attention) = recorded(model, inputs, site, vec![]);
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

/// The rest of a row keeps its proportions; what goes to no key is part of it, where there are sinks.
fn remove(row: &mut [f32], keys: &[usize], sinks: bool) {
    let to_none = if sinks { 1.0 - row.iter().sum::<f32>() } else { 0.0 };
    keys.iter().for_each(|&key| row[key] = 0.0);
    let rest = row.iter().sum::<f32>() + to_none;
    row.iter_mut().for_each(|weight| *weight /= rest);
}

/// Whether the softmax has logits that no key holds.
fn sinks(model: &Model) -> bool {
    model.info().attentions[0].layers[0].sinks.is_some()
}

fn normalize(row: &mut [f32]) {
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|weight| *weight /= sum);
}

#[test]
fn a_knocked_out_edge_leaves_the_softmax_of_the_rest() {
    for (name, model, attention) in attentions() {
        let (inputs, site) = (batch(name), Site::new(attention, 0, Point::Attention));
        let edit = Edit::KnockOut {
            heads: Heads::new(attention, 0, [0, 2]),
            queries: Selection::from([2, 3]),
            keys: Selection::from([1, 2]),
        };
        let (_, found) = recorded(&model, &inputs, site, vec![edit.in_sequences(1)]);
        let (_, wanted) = by_hand(&model, &inputs, site, |sequence, head, query, row| {
            if sequence == 1 && head % 2 == 0 && (query == 2 || query == 3) {
                remove(row, &[1, 2], sinks(&model));
            }
        });
        close(&found, &wanted, name);
    }
}

#[test]
fn single_edges_are_knocked_out() {
    for (name, model, attention) in attentions() {
        let (inputs, site) = (batch(name), Site::new(attention, 0, Point::Attention));
        let edit = Edit::KnockOutEdges {
            heads: Heads::new(attention, 0, 1),
            edges: vec![[2, 1], [3, 0], [3, 2]],
        };
        let (_, found) = recorded(&model, &inputs, site, vec![edit.in_sequences(0)]);
        let (_, wanted) = by_hand(&model, &inputs, site, |sequence, head, query, row| {
            let cut: &[usize] = match (sequence, head, query) {
                (0, 1, 2) => &[1],
                (0, 1, 3) => &[0, 2],
                _ => return,
            };
            remove(row, cut, sinks(&model));
        });
        close(&found, &wanted, name);
    }
}

#[test]
fn attention_is_overwritten_and_reweighted_after_the_softmax() {
    for (name, model, attention) in attentions() {
        let inputs = batch(name);
        let site = |point| Site::new(attention, 0, point);
        let heads = |head: usize| Heads::new(attention, 0, head);
        let list = vec![
            Edit::AttentionRow {
                heads: heads(0),
                query: 3,
                weights: vec![1.0, 0.0, 3.0],
                renormalize: true,
            }
            .in_sequences(0),
            Edit::AttentionCells {
                heads: heads(1),
                queries: Selection::from(1..4),
                keys: 1.into(),
                weight: 0.5,
                renormalize: false,
            }
            .into(),
            Edit::AttentionFactor {
                heads: heads(2),
                queries: Selection::All,
                keys: 0.into(),
                factor: 0.25,
                renormalize: true,
            }
            .in_sequences([0, 1]),
        ];
        let by_hand = by_hand(
            &model,
            &inputs,
            site(Point::Attention),
            |sequence, head, query, row| match head {
                0 if sequence == 0 && query == 3 => {
                    row.fill(0.0);
                    (row[0], row[2]) = (0.25, 0.75);
                }
                1 if (1..4).contains(&query) => row[1] = 0.5,
                // Of 1, or of what a sink leaves.
                2 if sequence < 2 => {
                    let before: f32 = row.iter().sum();
                    row[0] *= 0.25;
                    normalize(row);
                    row.iter_mut().for_each(|weight| *weight *= before);
                }
                _ => {}
            },
        );
        let (dims, wanted) = by_hand;
        let (_, found) = recorded(&model, &inputs, site(Point::Attention), list.clone());
        close(&found, &wanted, name);

        // What the heads read is the edited attention times the values.
        let (value_dims, value) = recorded(&model, &inputs, site(Point::Value), vec![]);
        let (_, output) = recorded(&model, &inputs, site(Point::HeadOutput), list);
        let (heads, queries, keys, group) = (dims[1], dims[2], dims[3], dims[1] / value_dims[1]);
        let head_dim = value_dims[3];
        let scale = value.iter().fold(1.0_f32, |largest, value| largest.max(value.abs()));
        for (at, found) in output.chunks(head_dim).enumerate() {
            let (sequence, query, head) = (at / heads / queries, at / heads % queries, at % heads);
            for (d, found) in found.iter().enumerate() {
                let wanted: f32 = (0..keys)
                    .map(|key| {
                        let weight = wanted[((sequence * heads + head) * queries + query) * keys + key];
                        let row = (sequence * value_dims[1] + head / group) * keys + key;
                        weight * value[row * head_dim + d]
                    })
                    .sum();
                assert!(
                    (found - wanted).abs() < 1e-5 * scale,
                    "{name} {attention} {sequence} {head} {query}"
                );
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
        let attentions: Vec<_> = model.info().attentions.iter().map(|info| info.attention).collect();
        let wanted = logits(&model, &inputs, &mut ());
        // The second sequence gets everything of the first at one place; of an encoder-decoder, at one place per stack.
        for layer in 0..=2 {
            let stacks = attentions.iter().filter(|&&attention| attention != Attention::Cross);
            let list = stacks
                .map(|stack| patch(Site::hidden(stack.query_side(), layer)).in_sequences(1))
                .collect();
            // A classifier's or a language model's head follows; its norm may come before the site.
            let found = logits(&model, &inputs, &mut donated(&model, list, &inputs));
            let first = wanted.get(0).unwrap();
            let allowed = 1e-5 * largest(&first).max(1.0);
            for sequence in 0..2 {
                assert!(
                    difference(&found.get(sequence).unwrap(), &first, None) < allowed,
                    "{name} {layer} {sequence}"
                );
            }
        }
        // Queries, keys and values together are the attention; so is what the heads read.
        for (attention, points) in attentions.iter().flat_map(|&attention| {
            [
                (attention, vec![Point::Query, Point::Key, Point::Value]),
                (attention, vec![Point::HeadOutput]),
                (attention, vec![Point::Attention, Point::Value]),
            ]
        }) {
            let site = |point| Site::new(attention, 1, point);
            let list = points.iter().map(|&point| patch(site(point)).in_sequences(1)).collect();
            let mut taps = (donated(&model, list, &inputs), Recorder::of(&[Point::AttentionOutput]));
            model.forward(&inputs, &mut taps).unwrap();
            let output = &taps.1.tensors[&site(Point::AttentionOutput)];
            let (first, second) = (output.get(0).unwrap(), output.get(1).unwrap());
            let allowed = 1e-5 * largest(&first).max(1.0);
            assert!(
                difference(&first, &second, None) < allowed,
                "{name} {attention} {points:?}"
            );
        }
    }
}

/// What a decoder knows of its source it has from the encoder's last state: with that patched, the second sequence is
/// the second target after the first source.
#[test]
fn a_patched_encoding_is_another_source() {
    for name in FAMILIES {
        let (model, inputs) = (Model::load(&open(name)).unwrap(), batch(name));
        // That of Whisper is a sound.
        if inputs.decoder_input_ids.is_none() || inputs.input_ids.is_none() {
            continue;
        }
        let list = vec![patch(Site::hidden(Side::Encoder, 2)).in_sequences(1)];
        let found = logits(&model, &inputs, &mut donated(&model, list, &inputs));
        let first_twice = Tensor::new(&[0_u32, 0], &Device::Cpu).unwrap();
        let source = inputs.input_ids.as_ref().unwrap();
        let swapped = Inputs {
            input_ids: Some(source.index_select(&first_twice, 0).unwrap()),
            ..inputs.clone()
        };
        let wanted = logits(&model, &swapped, &mut ());
        let allowed = 1e-5 * largest(&wanted).max(1.0);
        assert!(difference(&found, &wanted, None) < allowed, "{name}");
        let plain = logits(&model, &inputs, &mut ());
        assert!(difference(&found, &plain, None) > 1e-3, "{name}");
    }
}

#[test]
fn a_patch_touches_its_heads_and_tokens_only() {
    for (name, model, attention) in attentions() {
        let inputs = batch(name);
        for (point, head_axis, token_axis) in [
            (Point::Query, Some(1), 2),
            (Point::Key, Some(1), 2),
            (Point::Value, Some(1), 2),
            (Point::HeadOutput, Some(2), 1),
            (Point::AttentionOutput, None, 1),
            (Point::Mlp, None, 1),
        ] {
            // A stack has its MLPs at the site of its own attention.
            if attention == Attention::Cross && point == Point::Mlp {
                continue;
            }
            let site = Site::new(attention, 0, point);
            // The second head, or the only one.
            let one = match point {
                Point::Key | Point::Value => model.info().attention(attention).unwrap().kv_heads.min(2) - 1,
                _ => 1,
            };
            let edit = Edit::Patch {
                site,
                heads: head_axis.map_or(Selection::All, |_| one.into()),
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
                        let chosen = sequence == 0 && (head_axis.is_none() || head == one);
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
        renormalize: false,
    };
    let factor = Edit::AttentionFactor {
        heads,
        queries: 4.into(),
        keys: 0.into(),
        factor: 3.0,
        renormalize: true,
    };
    let site = Site::new(Attention::DecoderSelf, 0, Point::Attention);
    let (dims, found) = recorded(&model, &inputs, site, vec![row.into(), factor.into()]);
    let last = &found[(dims[2] - 1) * dims[3]..dims[2] * dims[3]];
    close(last, &[0.75, 0.25, 0.0, 0.0, 0.0], "edited row");
}

#[test]
fn gradients_flow_through_interventions() {
    for (name, attention) in [
        ("bert", Attention::EncoderSelf),
        ("bart", Attention::Cross),
        ("mbart", Attention::DecoderSelf),
        ("t5", Attention::Cross),
    ] {
        gradients_flow(name, attention);
    }
}

fn gradients_flow(name: &str, attention: Attention) {
    let (model, inputs) = (Model::load(&open(name)).unwrap(), batch(name));
    let target = attn_models::attribute::Target::Token { position: 2, token: 7 };
    let heads = |head: usize| Heads::new(attention, 0, head);
    // Every query sees key 0, in a causal attention too.
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
            keys: 0.into(),
            factor: 0.3,
            renormalize: true,
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
    let gradients = attn_models::attribute::input_gradients(&model, &inputs, &[target], &mut tap).unwrap();
    // Against a difference quotient along a fixed direction.
    let gradient = &gradients.gradients[&Side::Encoder];
    let direction: Vec<f32> = (0..gradient.elem_count()).map(|i| (i as f32 * 0.7).sin()).collect();
    let direction = Tensor::from_vec(direction, gradient.shape(), &Device::Cpu).unwrap();
    struct Shift(Tensor);
    impl Tap for Shift {
        fn wants(&self, site: Site) -> bool {
            site == Site::embedding(Side::Encoder)
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
        "{name}: {quotient} {wanted}"
    );
}
