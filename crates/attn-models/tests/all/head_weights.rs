//! The matrices of single heads, against what the model computes with them inside.

use attn_core::{
    Attention, HeadWeights,
    ndarray::{Array2, Axis},
};
use attn_models::{Inputs, Model, Point, Site, candle::Tensor, model::Hearing, record::Recorder};

use crate::{
    families::FAMILIES,
    support::{open, values},
};

fn model(name: &str) -> (Model, Inputs) {
    let model = Model::load(&open(name)).unwrap();
    let ids = |ids: &[u32]| Inputs::from_ids(&[ids.to_vec()], 0).unwrap();
    let wave = |shape: &[usize]| {
        let values = (0..shape.iter().product()).map(|i| (i as f32 * 0.37).sin());
        Tensor::from_vec(values.collect::<Vec<f32>>(), shape, model.device()).unwrap()
    };
    let mut inputs = match (model.vision(), model.hearing()) {
        (Some(vision), _) => Inputs::from_pixels(wave(&[1, 3, vision.height, vision.width])),
        (None, Some(Hearing::Features { bins, frames, .. })) => Inputs::from_features(wave(&[1, bins, frames])),
        (None, Some(_)) => Inputs {
            input_values: Some(wave(&[1, 300])),
            ..Inputs::default()
        },
        (None, None) => ids(&[5, 9, 14, 7]),
    };
    if model.info().attention(Attention::Cross).is_some() {
        inputs.decoder_input_ids = ids(&[3, 8, 11]).input_ids;
    }
    (model, inputs)
}

/// Rows less the first of them: what is added to all rows drops out.
fn differences(rows: &Array2<f32>) -> Array2<f32> {
    rows - &rows.row(0).insert_axis(Axis(0))
}

fn close(found: &Array2<f32>, wanted: &Array2<f32>, place: &str) {
    let largest = wanted.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let error = (found - wanted).iter().fold(0.0f32, |most, x| most.max(x.abs()));
    assert!(largest > 0.0 && error < 1e-4 * largest, "{place}: {error} of {largest}");
}

/// `[tokens, width]` of a batch of one.
fn rows(recorder: &Recorder, site: Site) -> Array2<f32> {
    let tensor = &recorder.tensors[&site];
    let (_, tokens, width) = tensor.dims3().unwrap();
    Array2::from_shape_vec((tokens, width), values(tensor)).unwrap()
}

/// `[tokens, head_dim]` of one head, from `[1, heads, tokens, head_dim]`.
fn head_rows(recorder: &Recorder, site: Site, head: usize) -> Array2<f32> {
    let tensor = recorder.tensors[&site].get(0).unwrap().get(head).unwrap();
    Array2::from_shape_vec(tensor.dims2().unwrap(), values(&tensor)).unwrap()
}

fn of(weights: &[HeadWeights], attention: Attention, layer: usize) -> impl Iterator<Item = &HeadWeights> {
    weights
        .iter()
        .filter(move |weights| weights.head.attention == attention && weights.head.layer == layer)
}

#[test]
fn what_heads_read_through_their_outputs_is_what_the_attention_adds() {
    for name in FAMILIES {
        let (model, inputs) = model(name);
        let weights = model.head_weights().unwrap();
        let heads: Vec<_> = model.info().heads().collect();
        assert_eq!(
            weights.iter().map(|weights| weights.head).collect::<Vec<_>>(),
            heads,
            "{name}"
        );
        let mut recorder = Recorder::of(&[Point::HeadOutput, Point::AttentionOutput]);
        model.forward(&inputs, &mut recorder).unwrap();
        for info in &model.info().attentions {
            for layer in 0..info.layers.len() {
                let site = |point| Site::new(info.attention, layer, point);
                let read = recorder.tensors[&site(Point::HeadOutput)].transpose(1, 2).unwrap();
                let added = rows(&recorder, site(Point::AttentionOutput));
                let mut sum = Array2::<f32>::zeros(added.raw_dim());
                for (head, weights) in of(&weights, info.attention, layer).enumerate() {
                    let read = read.get(0).unwrap().get(head).unwrap();
                    let read = Array2::from_shape_vec(read.dims2().unwrap(), values(&read.contiguous().unwrap()));
                    sum += &read.unwrap().dot(&weights.output);
                }
                close(
                    &differences(&sum),
                    &differences(&added),
                    &format!("{name}, layer {layer}"),
                );
            }
        }
    }
}

/// Families whose attention reads the residual stream as it is, without rotation.
#[test]
fn states_times_queries_keys_and_values() {
    for name in [
        "albert",
        "bart",
        "bert",
        "deberta-v2",
        "distilbert",
        "electra",
        "marian",
        "mpnet",
        "roberta",
        "xlm-roberta",
    ] {
        let (model, inputs) = model(name);
        let weights = model.head_weights().unwrap();
        let mut recorder = Recorder::of(&[Point::Hidden, Point::Query, Point::Key, Point::Value]);
        model.forward(&inputs, &mut recorder).unwrap();
        for info in &model.info().attentions {
            if info.attention == Attention::Cross {
                continue;
            }
            for layer in 0..info.layers.len() {
                let site = |point| Site::new(info.attention, layer, point);
                let state = differences(&rows(&recorder, site(Point::Hidden)));
                for (head, weights) in of(&weights, info.attention, layer).enumerate() {
                    for (point, matrix) in [
                        (Point::Query, &weights.query),
                        (Point::Key, &weights.key),
                        (Point::Value, &weights.value),
                    ] {
                        let found = state.dot(matrix);
                        let wanted = differences(&head_rows(&recorder, site(point), head));
                        close(&found, &wanted, &format!("{name}, {}, {}", weights.head, point.name()));
                    }
                }
            }
        }
    }
}

/// Joint maps and shared keys, by the places that the checkpoint's own names give them.
#[test]
fn joint_and_shared_maps() {
    let tensors = |name: &str| {
        attn_models::candle::safetensors::load(
            crate::support::fixture(name).join("model.safetensors"),
            &attn_models::candle::Device::Cpu,
        )
        .unwrap()
    };
    let part = |tensor: &attn_models::candle::Tensor, axis: usize, start: usize| -> Array2<f32> {
        let part = tensor.narrow(axis, start, 8).unwrap();
        let part = if axis == 0 { part.t().unwrap() } else { part };
        let shape = part.dims2().unwrap();
        Array2::from_shape_vec(shape, values(&part.contiguous().unwrap())).unwrap()
    };
    for (name, place, head, [query, key, value]) in [
        // Head 3 of 4, in blocks of 32 for all queries, keys and values.
        ("gpt2", "transformer.h.1.attn.c_attn.weight", 3, [24, 56, 88]),
        // Head by head: query, key, value.
        (
            "gpt-neox",
            "gpt_neox.layers.1.attention.query_key_value.weight",
            2,
            [48, 56, 64],
        ),
    ] {
        let weights = model(name).0.head_weights().unwrap();
        let found = weights
            .iter()
            .find(|weights| weights.head.layer == 1 && weights.head.head == head)
            .unwrap();
        let axis = usize::from(name == "gpt2");
        let joint = &tensors(name)[place];
        assert_eq!(found.query, part(joint, axis, query), "{name}");
        assert_eq!(found.key, part(joint, axis, key), "{name}");
        assert_eq!(found.value, part(joint, axis, value), "{name}");
    }
    // Heads 2 and 3 of Llama share the second keys and values.
    let weights = model("llama").0.head_weights().unwrap();
    let place = "model.layers.0.self_attn";
    for found in &weights[2..4] {
        assert_eq!(
            found.key,
            part(&tensors("llama")[&format!("{place}.k_proj.weight")], 0, 8)
        );
        assert_eq!(
            found.value,
            part(&tensors("llama")[&format!("{place}.v_proj.weight")], 0, 8)
        );
        let query = part(
            &tensors("llama")[&format!("{place}.q_proj.weight")],
            0,
            8 * found.head.head,
        );
        assert_eq!(found.query, query);
    }
}
