//! Parts that the configuration names and the files lack: the model runs without them and says so.

use std::{collections::HashMap, fs, path::Path};

use attn_models::{
    Checkpoint, Error, Gradients, Inputs, Model, Weights,
    attribute::{Baseline, Target, integrated_gradients, logit_lens},
    candle::{Device, Tensor},
    record::run_raw,
};
use serde_json::{Value, json};

use crate::support::{difference, expected, fixture, inputs};

/// A copy of a fixture without the tensors that `part` picks, and how many those were.
fn without(name: &str, part: impl Fn(&str) -> bool, options: &Value) -> (tempfile::TempDir, usize) {
    let folder = tempfile::tempdir().unwrap();
    let tensors =
        attn_models::candle::safetensors::load(fixture(name).join("model.safetensors"), &Device::Cpu).unwrap();
    let all = tensors.len();
    let kept: HashMap<String, Tensor> = tensors.into_iter().filter(|(name, _)| !part(name)).collect();
    let removed = all - kept.len();
    attn_models::candle::safetensors::save(&kept, folder.path().join("model.safetensors")).unwrap();
    let mut config: Value = serde_json::from_slice(&fs::read(fixture(name).join("config.json")).unwrap()).unwrap();
    for (key, value) in options.as_object().unwrap() {
        config[key] = value.clone();
    }
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    (folder, removed)
}

fn load(folder: &Path) -> (Checkpoint, Model) {
    let checkpoint = Checkpoint::open(folder).unwrap();
    let model = Model::load(&checkpoint).unwrap();
    (checkpoint, model)
}

const HEADS: [&str; 12] = [
    "classifier.",
    "cls.",
    "cls_classifier.",
    "distillation_classifier.",
    "embed_out.",
    "discriminator_predictions.",
    "head.",
    "generator_",
    "lm_head.",
    "pre_classifier.",
    "predictions.",
    "vocab_",
];

#[test]
fn every_family_runs_without_its_head() {
    let mut checked = Vec::new();
    for name in crate::families::FAMILIES {
        let head = |tensor: &str| HEADS.iter().any(|start| tensor.starts_with(start));
        let (folder, removed) = without(name, head, &json!({}));
        if removed == 0 {
            continue;
        }
        let (checkpoint, model) = load(folder.path());
        let whole = Model::load(&crate::support::open(name)).unwrap();
        assert!(whole.notes().is_empty());
        assert_eq!(
            model.info(),
            &attn_core::ModelInfo {
                name: model.info().name.clone(),
                ..whole.info().clone()
            }
        );
        assert!(model.labels().is_empty());
        let expected = expected(name);
        let case = ["pad", "one", "px", "rand"]
            .into_iter()
            .find(|case| expected.keys().any(|key| key.starts_with(case)));
        let inputs = inputs(&expected, case.unwrap());
        let (part, whole) = (run_raw(&model, &inputs).unwrap(), run_raw(&whole, &inputs).unwrap());
        assert!(!part.contains_key("logits") && whole.contains_key("logits"), "{name}");
        for (key, tensor) in &part {
            assert_eq!(difference(tensor, &whole[key], None), 0.0, "{name} {key}");
        }
        // Said in the notes, in the description and where the head is asked for.
        assert_eq!(model.notes().len(), 1, "{name}: {:?}", model.notes());
        assert!(
            model.notes()[0].starts_with("runs without its "),
            "{name}: {:?}",
            model.notes()
        );
        let described = checkpoint.describe();
        assert_eq!(described.problems, model.notes(), "{name}");
        assert!(!described.missing.is_empty() && described.model.is_some(), "{name}");
        let error = logit_lens(&model, &inputs, 1, &mut ()).unwrap_err();
        assert!(
            matches!(&error, Error::Intervention { found, .. } if found.contains("is missing")),
            "{name}: {error}"
        );
        // Training starts the head afresh.
        let trained = Model::load_from(&checkpoint, &Weights::finetune(&checkpoint, 1), Gradients::On).unwrap();
        assert!(
            trained.notes().is_empty() && run_raw(&trained, &inputs).unwrap().contains_key("logits"),
            "{name}"
        );
        checked.push(name);
    }
    for name in [
        "bert",
        "bert-cls",
        "roberta",
        "albert",
        "distilbert",
        "electra",
        "deberta-v2",
        "modernbert",
        "mpnet",
        "llama",
        "gpt-neox",
        "vit",
        "deit",
    ] {
        assert!(checked.contains(&name), "{checked:?}");
    }
}

#[test]
fn heads_that_the_configuration_alone_asks_for() {
    for (name, architecture, options) in [
        ("gpt2", "GPT2LMHeadModel", json!({"tie_word_embeddings": false})),
        ("gpt2", "GPT2ForSequenceClassification", json!({})),
        ("llama", "LlamaForSequenceClassification", json!({"num_labels": 3})),
        (
            "bart",
            "BartForConditionalGeneration",
            json!({"tie_word_embeddings": false}),
        ),
        (
            "t5",
            "T5ForConditionalGeneration",
            json!({"tie_word_embeddings": false}),
        ),
        ("bert", "BertForSequenceClassification", json!({"num_labels": 3})),
        ("roberta", "RobertaForSequenceClassification", json!({})),
        ("distilbert", "DistilBertForSequenceClassification", json!({})),
        ("electra", "ElectraForMaskedLM", json!({})),
        ("deberta-v2", "DebertaV2ForSequenceClassification", json!({})),
        ("deberta-v2", "DebertaV2ForMaskedLM", json!({"legacy": false})),
        ("modernbert", "ModernBertForSequenceClassification", json!({})),
        ("mpnet", "MPNetForSequenceClassification", json!({})),
        ("nomic-bert", "NomicBertForMaskedLM", json!({})),
        ("dinov2", "Dinov2ForImageClassification", json!({})),
        ("clip-vision", "CLIPForImageClassification", json!({})),
    ] {
        let mut options = options;
        options["architectures"] = json!([architecture]);
        let head = |tensor: &str| HEADS.iter().any(|start| tensor.starts_with(start));
        let (folder, _) = without(name, head, &options);
        let (checkpoint, model) = load(folder.path());
        assert!(
            !model.notes().is_empty() && model.labels().is_empty(),
            "{name} {architecture}"
        );
        assert_eq!(checkpoint.describe().problems, model.notes(), "{name} {architecture}");
    }
}

#[test]
fn a_classifier_without_the_pooler_it_reads_is_no_head() {
    let (folder, removed) = without("bert-cls", |tensor| tensor.contains("pooler"), &json!({}));
    assert_eq!(removed, 2);
    let (_, model) = load(folder.path());
    assert_eq!(
        model.notes(),
        ["runs without its pooler: tensor `bert.pooler.dense.weight` is missing"]
    );
    assert!(model.labels().is_empty());
    let inputs = Inputs::from_ids(&[vec![2, 5, 3]], 0).unwrap();
    let output = model.forward(&inputs, &mut ()).unwrap();
    assert!(output.pooled.is_none() && output.logits.is_none());
    let target = [Target::Class(0)];
    let error = integrated_gradients(&model, &inputs, &target, &Baseline::Zero, 2, &mut (), &()).unwrap_err();
    assert!(error.to_string().contains("runs without its pooler"), "{error}");
    // A weight without its bias is no pooler.
    let (folder, _) = without(
        "bert-cls",
        |tensor| tensor.ends_with("pooler.dense.bias"),
        &json!({"architectures": ["BertModel"]}),
    );
    assert!(load(folder.path()).1.notes()[0].contains("pooler.dense.bias"));
}

#[test]
fn what_the_body_lacks_is_a_problem() {
    let (folder, _) = without("bert", |tensor| tensor.contains("layer.1.attention.output"), &json!({}));
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert!(matches!(Model::load(&checkpoint), Err(Error::MissingTensor { .. })));
    let described = checkpoint.describe();
    assert_eq!(described.missing.len(), 4);
    assert_eq!(
        described.problems,
        ["tensor `bert.encoder.layer.1.attention.output.LayerNorm.bias` is missing and 3 more"]
    );
}
