//! A family from outside the SDK works like a built-in one: runs `examples/custom_family.rs`.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../examples/custom_family.rs"]
mod example;

use attn_sdk::{
    analyze::heads::score_heads,
    core::{Attention, HeadId, Side, ndarray::Array4},
    models::{
        Capturer, Checkpoint, Error, Inputs, Model, Point, Site,
        generate::{GenerationParams, Generator},
        intervene::{Edit, Interventions},
        record::Recorder,
        to_array,
    },
};

#[test]
fn a_family_of_a_host_is_captured_edited_and_generates() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = example::checkpoint(folder.path()).unwrap();
    let described = checkpoint.describe();
    assert!(described.problems.is_empty(), "{:?}", described.problems);
    assert!(described.missing.is_empty() && described.unused.is_empty());

    // The capture's attention is the model's own.
    let capture = example::capture(&checkpoint).unwrap();
    let capturer = Capturer::load(&checkpoint).unwrap();
    let model = capturer.model();
    let ids: Vec<u32> = capture.sequences()[1]
        .decoder
        .iter()
        .map(|token| token.id.unwrap())
        .collect();
    let inputs = Inputs::from_ids(&[ids], 0).unwrap();
    let mut recorder = Recorder::of(&[Point::Attention]);
    let plain = model.forward(&inputs, &mut recorder).unwrap();
    for layer in 0..2 {
        let site = Site::new(Attention::DecoderSelf, layer, Point::Attention);
        let own: Array4<f32> = to_array(&recorder.tensors[&site]).unwrap();
        let kept = capture.layer_attention(Attention::DecoderSelf, layer, 1).unwrap();
        assert_eq!(kept.dim(), (4, 5, 5));
        assert!(own.iter().zip(&kept).all(|(own, kept)| (own - kept).abs() < 1e-6));
    }

    // An ablated head changes what the model says; its weights are open.
    let head = HeadId::new(Attention::DecoderSelf, 0, 2);
    let ablate = Edit::HeadMask {
        heads: head.into(),
        factor: 0.0,
    };
    let mut tap = Interventions::new(model.info(), [ablate.into()]).unwrap();
    let ablated = model.forward(&inputs, &mut tap).unwrap();
    let change = (plain.last_hidden - ablated.last_hidden).unwrap().abs().unwrap();
    assert!(change.max_all().unwrap().to_scalar::<f32>().unwrap() > 1e-6);
    assert_eq!(model.head_weights().unwrap().len(), 8);
    assert_eq!(capture.tokens(Side::Decoder), 10);
    score_heads(&capture, &Default::default(), &Default::default(), &()).unwrap();

    let params = GenerationParams {
        max_new_tokens: Some(3),
        ..GenerationParams::default()
    };
    let generator = Generator::new(model, &params).unwrap();
    let generated = generator.run(&inputs, &mut (), &()).unwrap();
    assert_eq!(generated[0].hypotheses[0].tokens.len(), 3);
}

#[test]
fn without_its_family_the_checkpoint_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    example::checkpoint(folder.path()).unwrap();
    let error = Model::load(&Checkpoint::open(folder.path()).unwrap()).unwrap_err();
    assert!(matches!(error, Error::UnknownFamily { found, .. } if found == "attention_only"));
}
