//! Passes that start at a layer, and pruned checkpoints: every family against the whole pass with the head ablated.

use attn_core::{HeadId, Side};
use attn_models::{
    Checkpoint, Error, Gradients, Inputs, Model, Point, Site, Weights,
    attribute::{Examples, Target, taylor_importance},
    candle::Tensor,
    intervene::{Edit, Interventions, Selection},
    record::Recorder,
    start::Start,
};

use crate::{
    families::FAMILIES,
    support::{difference, expected, fixture, inputs, open},
};

/// The inputs of a fixture: a padded batch where it has one.
fn some_inputs(name: &str) -> Inputs {
    let expected = expected(name);
    let case = ["pad", "px", "one"]
        .into_iter()
        .find(|case| expected.keys().any(|key| key.starts_with(&format!("{case}.in."))));
    inputs(&expected, case.unwrap())
}

fn without(model: &Model, heads: &[HeadId]) -> Interventions {
    let off = heads.iter().map(|head| {
        Edit::HeadMask {
            heads: (*head).into(),
            factor: 0.0,
        }
        .into()
    });
    Interventions::new(model.info(), off).unwrap()
}

/// What a model says, with the states where it says nothing.
fn said(model: &Model, inputs: &Inputs, heads: &[HeadId]) -> Tensor {
    let output = model.forward(inputs, &mut without(model, heads)).unwrap();
    output.logits.unwrap_or(output.last_hidden)
}

#[test]
fn a_pass_from_any_layer_ends_like_the_whole_one_in_every_family() {
    for name in FAMILIES {
        let model = Model::load(&open(name)).unwrap();
        let inputs = some_inputs(name);
        let mut run = Recorder::of(&[Point::Hidden]);
        model.forward(&inputs, &mut run).unwrap();
        // The first head of every layer of every attention.
        for head in model.info().heads().filter(|head| head.head == 0) {
            let start = Start::below(model.info(), head.attention, head.layer, &run).unwrap();
            let output = model
                .forward_from(&inputs, &start, &mut without(&model, &[head]))
                .unwrap();
            let found = output.logits.unwrap_or(output.last_hidden);
            let far = difference(&found, &said(&model, &inputs, &[head]), None);
            assert!(far <= 1e-6, "{name} {head}: {far}");
        }
    }
}

/// The layers below the start do not run: their taps are not called.
#[test]
fn what_lies_below_the_start_does_not_run() {
    for name in ["bert", "gpt2", "t5", "modernbert", "vit"] {
        let model = Model::load(&open(name)).unwrap();
        let inputs = some_inputs(name);
        let mut run = Recorder::of(&[Point::Hidden]);
        model.forward(&inputs, &mut run).unwrap();
        for head in model.info().heads().filter(|head| head.head == 0) {
            let start = Start::below(model.info(), head.attention, head.layer, &run).unwrap();
            let mut rest = Recorder::of(&[Point::HeadOutput]);
            model.forward_from(&inputs, &start, &mut rest).unwrap();
            let side = head.attention.query_side();
            let below =
                |site: &attn_models::Site| site.side() < side || (site.side() == side && site.layer < head.layer);
            assert!(rest.tensors.keys().all(|site| !below(site)), "{name} {head}");
            assert!(
                rest.tensors
                    .keys()
                    .any(|site| site.layer == head.layer && site.side() == side)
            );
        }
    }
}

/// An edit below the start is left out with its layer; an edit of what no layer has is refused as in a whole pass.
#[test]
fn edits_of_what_is_left_out_are_no_mistake() {
    for name in ["bert", "t5"] {
        let model = Model::load(&open(name)).unwrap();
        let inputs = some_inputs(name);
        let mut run = Recorder::of(&[Point::Hidden]);
        model.forward(&inputs, &mut run).unwrap();
        let last = model.info().attentions.last().unwrap();
        let (attention, layer) = (last.attention, last.layers.len() - 1);
        let start = Start::below(model.info(), attention, layer, &run).unwrap();
        let edited = |site: Site| {
            let edit = Edit::Scale {
                site,
                heads: Selection::All,
                tokens: Selection::All,
                factor: 0.5,
            };
            let mut tap = Interventions::new(model.info(), [edit.into()]).unwrap();
            model.forward_from(&inputs, &start, &mut tap)
        };
        let side = attention.query_side();
        let plain = model.forward(&inputs, &mut ()).unwrap().last_hidden;
        let mut below = vec![Site::mlp(side, layer - 1), Site::new(attention, 0, Point::Query)];
        if side == Side::Decoder {
            // All of the encoder is left out.
            below.push(Site::mlp(Side::Encoder, layer));
        }
        for site in below {
            let found = edited(site).unwrap().last_hidden;
            assert!(difference(&found, &plain, None) <= 1e-6, "{name} {site}");
        }
        let found = edited(Site::mlp(side, layer)).unwrap().last_hidden;
        assert!(difference(&found, &plain, None) > 1e-3, "{name}");
        let site = Site::router(side, layer);
        let error = edited(site).unwrap_err().to_string();
        assert!(
            error.contains(&format!("the {site}, which it does not have")),
            "{name}: {error}"
        );
    }
}

#[test]
fn starts_that_do_not_fit_are_refused() {
    let model = Model::load(&open("bert")).unwrap();
    let inputs = some_inputs("bert");
    let attention = model.info().attentions[0].attention;
    let nothing = Start::below(model.info(), attention, 0, &Recorder::default()).unwrap_err();
    assert!(nothing.to_string().contains("recorded"), "{nothing}");
    let mut run = Recorder::of(&[Point::Hidden]);
    model.forward(&inputs, &mut run).unwrap();
    let beyond = Start::below(model.info(), attention, 99, &run).unwrap_err();
    assert!(beyond.to_string().contains("layer 99"), "{beyond}");
    let start = Start::below(model.info(), attention, 1, &run).unwrap();
    let other = Inputs::from_ids(&[vec![5, 6]], 0).unwrap();
    assert!(matches!(
        model.forward_from(&other, &start, &mut ()),
        Err(Error::Tap { .. })
    ));
}

/// A folder for one test, removed when it ends.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("attn-pruned-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Some heads that share their weights with none that stay: the last of every second layer of each attention.
fn to_prune(name: &str, model: &Model) -> Vec<HeadId> {
    let last = |head: &HeadId| head.head + 1 == model.info().attention(head.attention).unwrap().heads;
    let every = ["albert"].contains(&name);
    model
        .info()
        .heads()
        .filter(|head| last(head) && (every || head.layer % 2 == 0))
        .collect()
}

#[test]
fn pruned_checkpoints_of_every_family_say_what_the_model_says_without_the_heads() {
    for name in FAMILIES
        .into_iter()
        .chain(["lora-bert", "bert-bin", "llama-sharded-bf16"])
    {
        let checkpoint = open(name);
        let model = Model::load(&checkpoint).unwrap();
        let heads = to_prune(name, &model);
        let folder = Folder::new(name);
        let pruned = checkpoint.write_pruned(&folder.0, &heads, &()).unwrap();
        assert_eq!(pruned.removed.len() + pruned.zeroed.len(), heads.len(), "{name}");
        let smaller = ["bert", "roberta", "xlm-roberta", "electra", "distilbert"];
        let written = Checkpoint::open(&folder.0).unwrap();
        if smaller
            .iter()
            .any(|family| checkpoint.describe().family.as_deref() == Some(family))
        {
            assert!(pruned.zeroed.is_empty(), "{name}");
            let per_head = |info: &attn_core::ModelInfo| {
                let dim = info.attentions[0].head_dim;
                (4 * dim * info.hidden_size + 3 * dim) as u64
            };
            let before = checkpoint.describe();
            let fewer = heads.len() as u64 * per_head(before.model.as_ref().unwrap());
            assert_eq!(before.parameters - written.describe().parameters, fewer, "{name}");
        } else {
            assert!(pruned.removed.is_empty() && !pruned.notes.is_empty(), "{name}");
        }
        // But for the folder that a problem names.
        let problems = |checkpoint: &Checkpoint| -> Vec<String> {
            let folder = checkpoint.path().display().to_string();
            let problems = checkpoint.describe().problems.into_iter();
            problems.map(|problem| problem.replace(&folder, "")).collect()
        };
        assert_eq!(problems(&written), problems(&checkpoint), "{name}");
        let read = Model::load(&written).unwrap();
        assert_eq!(read.info().attentions, model.info().attentions, "{name}");
        let inputs = match fixture(name).join("expected.safetensors").exists() {
            true => some_inputs(name),
            false => Inputs::from_ids(&[vec![5, 6, 7], vec![8, 9]], 0).unwrap(),
        };
        let far = difference(&said(&read, &inputs, &[]), &said(&model, &inputs, &heads), None);
        assert!(far <= 1e-5, "{name}: {far}");
    }
}

#[test]
fn a_pruned_checkpoint_is_pruned_again_and_trained() {
    let checkpoint = open("bert");
    let model = Model::load(&checkpoint).unwrap();
    let all: Vec<HeadId> = model.info().heads().filter(|head| head.layer == 1).collect();
    let (first, second) = (Folder::new("first"), Folder::new("second"));
    checkpoint.write_pruned(&first.0, &all[1..2], &()).unwrap();
    let once = Checkpoint::open(&first.0).unwrap();
    // All heads of the layer: one has to stay, as zeros.
    let pruned = once.write_pruned(&second.0, &all, &()).unwrap();
    assert_eq!(
        (pruned.removed.len(), pruned.zeroed.len(), pruned.notes.len()),
        (all.len() - 2, 1, 1)
    );
    let twice = Checkpoint::open(&second.0).unwrap();
    let inputs = some_inputs("bert");
    let read = Model::load(&twice).unwrap();
    let far = difference(&said(&read, &inputs, &[]), &said(&model, &inputs, &all), None);
    assert!(far <= 1e-5, "{far}");

    // The gradients of heads that are there are those of the whole model without the others; those of the others are 0.
    let ids = [vec![5, 60, 7]];
    let batch = || Examples {
        inputs: Inputs::from_ids(&ids, 0).unwrap(),
        targets: vec![Target::Token { position: 2, token: 9 }],
    };
    let model = Model::load_from(&once, &Weights::finetune(&once, 0), Gradients::On).unwrap();
    let of_pruned = taylor_importance(&model, &[batch()], &()).unwrap();
    assert_eq!(of_pruned[0].values[(1, 1)], 0.0);
    assert!(of_pruned[0].values.iter().filter(|&&value| value > 0.0).count() == model.info().heads().count() - 1);
    // The same by zeros in the output map, where the whole model is.
    let folder = Folder::new("zeros");
    let zeros = zeroed(&checkpoint, all[1], &folder);
    let whole = Model::load_from(&zeros, &Weights::finetune(&zeros, 0), Gradients::On).unwrap();
    let of_zeros = taylor_importance(&whole, &[batch()], &()).unwrap();
    for (found, wanted) in of_pruned[0].values.iter().zip(&of_zeros[0].values) {
        assert!(
            (found - wanted).abs() <= 1e-5 * wanted.abs().max(1e-6),
            "{found} {wanted}"
        );
    }
}

/// The model with zeros in the columns of the output map that read a head, written by hand.
fn zeroed(checkpoint: &Checkpoint, head: HeadId, folder: &Folder) -> Checkpoint {
    let weights = Weights::finetune(checkpoint, 0);
    let model = Model::load_from(checkpoint, &weights, Gradients::On).unwrap();
    let width = model.info().attentions[0].head_dim;
    for (name, variable) in weights.variables() {
        if name.ends_with(&format!("layer.{}.attention.output.dense.weight", head.layer)) {
            let (rows, columns) = variable.dims2().unwrap();
            let keep = (0..columns).map(|at| if at / width == head.head { 0.0_f32 } else { 1.0 });
            let keep = Tensor::from_iter(keep, variable.device())
                .unwrap()
                .broadcast_as((rows, columns))
                .unwrap();
            variable.set(&(variable.as_tensor() * keep).unwrap()).unwrap();
        }
    }
    std::fs::create_dir_all(&folder.0).unwrap();
    weights
        .save(folder.0.join("model.safetensors"), attn_models::candle::DType::F32)
        .unwrap();
    std::fs::copy(fixture("bert").join("config.json"), folder.0.join("config.json")).unwrap();
    Checkpoint::open(&folder.0).unwrap()
}

#[test]
fn pruning_refuses_what_it_cannot_do() {
    let folder = Folder::new("refused");
    let checkpoint = open("albert");
    let model = Model::load(&checkpoint).unwrap();
    let head = model.info().heads().next().unwrap();
    let shared = checkpoint.write_pruned(&folder.0, &[head], &()).unwrap_err();
    assert!(shared.to_string().contains("which stays"), "{shared}");
    let attention = head.attention;
    let none = checkpoint
        .write_pruned(&folder.0, &[HeadId::new(attention, 0, 99)], &())
        .unwrap_err();
    assert!(none.to_string().contains("a head of the model"), "{none}");
    let own = open("bert").write_pruned(fixture("bert"), &[], &()).unwrap_err();
    assert!(matches!(own, Error::WrongFile { .. }), "{own}");
    let stop = |_: &str, _: usize, _: usize| std::ops::ControlFlow::Break(());
    assert!(
        open("bert")
            .write_pruned(&folder.0, &[], &stop)
            .unwrap_err()
            .is_cancelled()
    );
    assert!(!folder.0.join("config.json").exists() && !folder.0.join("model.unfinished").exists());
}

#[test]
fn pruned_heads_that_are_wrong_are_refused() {
    let config = |pruned: &str| {
        format!(
            r#"{{"model_type": "bert", "vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
                 "intermediate_size": 8, "max_position_embeddings": 16, "pruned_heads": {pruned}}}"#
        )
    };
    for wrong in [
        r#"{"2": [0]}"#,
        r#"{"0": [2]}"#,
        r#"{"0": [0, 1]}"#,
        r#"{"0": 1}"#,
        r#"{"x": [0]}"#,
        r#"{"0": [-1]}"#,
        "[]",
    ] {
        let error = Model::build("tiny", &config(wrong), &Weights::initialize(1), Gradients::Off).unwrap_err();
        assert!(error.to_string().contains("pruned_heads"), "{wrong}: {error}");
    }
    for right in ["{}", "null", r#"{"1": [0]}"#] {
        Model::build("tiny", &config(right), &Weights::initialize(1), Gradients::Off).unwrap();
    }
}
