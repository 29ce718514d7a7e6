//! Means of activations over data, and noise: against the reference's vectors, and against what noise should be.

use attn_core::Attention;
use attn_models::{
    Inputs, Model, Point, Site,
    intervene::{Edit, Means, Selection},
    record::Recorder,
};

use crate::{
    edits::edits,
    support::{difference, expected, largest, open, values},
};

/// Means over the texts of a fixture are those of the reference, in batches or alone.
#[test]
fn means_are_the_references() {
    let (model, tensors) = (Model::load(&open("gpt2")).unwrap(), expected("gpt2-edit"));
    let tokenizer = open("gpt2").tokenizer().unwrap();
    let texts = [
        "The cat sat on the mat.",
        "Attention heads look at the previous token, said the old man.",
        "She sells sea shells",
    ];
    let ids: Vec<Vec<u32>> = texts
        .map(|text| tokenizer.encode(text, model.info()).unwrap().ids())
        .into();
    let alone: Vec<Inputs> = ids
        .iter()
        .map(|ids| Inputs::from_ids(std::slice::from_ref(ids), 0).unwrap())
        .collect();
    let batch = [Inputs::from_ids(&ids, 0).unwrap()];
    let site = |layer| Site::new(Attention::DecoderSelf, layer, Point::HeadOutput);
    for data in [alone.as_slice(), &batch] {
        let means = Means::over(&model, data, [site(0), site(1)], &()).unwrap();
        assert_eq!(means.tokens(site(0)), ids.iter().map(Vec::len).sum::<usize>());
        for (layer, head, name) in [(0, 2, "int.v.mean"), (1, 1, "int.v.mean_last")] {
            let Some(Edit::Mean { vector, heads, .. }) = means.edit(site(layer), head) else {
                panic!("{name}")
            };
            assert_eq!(heads, Selection::from(head));
            for (found, wanted) in vector.iter().zip(values(&tensors[name])) {
                assert!((found - wanted).abs() < 1e-5, "{name}: {found} {wanted}");
            }
        }
        assert_eq!(means.edit(site(0), 4), None);
    }
    let error = Means::over(&model, &batch, [Site::new(Attention::Cross, 0, Point::Value)], &()).unwrap_err();
    assert!(
        error.to_string().contains("expected decoder-self, found cross"),
        "{error}"
    );
}

/// Noise has the moments it should have, is repeatable, and differs from token to token, head to head and seed to seed.
#[test]
fn noise_is_normal_and_named_after_its_place() {
    let model = Model::load(&open("gpt2")).unwrap();
    let site = Site::new(Attention::DecoderSelf, 0, Point::Value);
    let noise = |ids: &[Vec<u32>], seed: u64| {
        let edit = Edit::Noise {
            site,
            heads: Selection::from([0, 1, 3]),
            tokens: Selection::All,
            scale: 0.5,
            seed,
        };
        let inputs = Inputs::from_ids(ids, 0).unwrap();
        let mut plain = Recorder::of(&[Point::Value]);
        model.forward(&inputs, &mut plain).unwrap();
        let mut noisy = (edits(&model, [edit.into()]), Recorder::of(&[Point::Value]));
        model.forward(&inputs, &mut noisy).unwrap();
        (&noisy.1.tensors[&site] - &plain.tensors[&site]).unwrap()
    };
    let ids: Vec<Vec<u32>> = vec![(0..30).collect(), (30..60).collect()];
    let found = noise(&ids, 7);
    let chosen: Vec<f32> = [0, 1, 3]
        .iter()
        .flat_map(|&head| values(&found.narrow(1, head, 1).unwrap().narrow(0, 0, 1).unwrap()))
        .collect();
    let count = chosen.len() as f64;
    let mean = chosen.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let variance = chosen.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / count;
    // Four standard errors of 720 numbers.
    assert!(mean.abs() < 4.0 * 0.5 / count.sqrt(), "{mean}");
    assert!(
        (variance - 0.25).abs() < 4.0 * 0.25 * (2.0 / count).sqrt(),
        "{variance}"
    );
    assert_eq!(largest(&found.narrow(1, 2, 1).unwrap()), 0.0);
    // The same for every sequence, alone or not.
    assert!(difference(&found.get(0).unwrap(), &found.get(1).unwrap(), None) < 1e-5);
    assert!(difference(&noise(&ids[1..], 7), &found.narrow(0, 1, 1).unwrap(), None) < 1e-5);
    let head = |head| found.get(0).unwrap().get(head).unwrap();
    let token = |at| found.get(0).unwrap().narrow(1, at, 1).unwrap();
    assert!(difference(&head(0), &head(1), None) > 0.5);
    assert!(difference(&token(3), &token(4), None) > 0.5);
    assert!(difference(&noise(&ids, 8), &found, None) > 0.5);
}
