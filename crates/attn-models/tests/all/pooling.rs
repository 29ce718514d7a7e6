//! One vector per text, against sentence-transformers, and what its files may say.

use std::fs;

use attn_models::{
    Checkpoint, Error, Model,
    candle::{DType, Device, Tensor},
    pooling::{Pooling, PoolingMode},
};
use serde_json::{Value, json};

use crate::{
    families::agree,
    support::{difference, expected, fixture, inputs, open},
};

/// Everything that the reference recorded of the model.
fn compare(name: &str, model: &Model) {
    let compared = agree(name, model);
    assert!(compared >= 6, "{name}: only {compared} tensors compared");
}

#[test]
fn embeddings_of_sentences_are_the_references() {
    let checkpoint = open("sentence");
    let model = Model::load(&checkpoint).unwrap();
    compare("sentence", &model);
    let pooling = checkpoint.pooling().unwrap().unwrap();
    let wanted = Pooling {
        modes: vec![PoolingMode::Mean],
        normalize: true,
    };
    assert_eq!(pooling, wanted);
    let expected = expected("sentence");
    let inputs = inputs(&expected, "pad");
    let mask = inputs.attention_mask.clone().unwrap();
    let hidden = model.forward(&inputs, &mut ()).unwrap().last_hidden;
    let found = pooling.apply(&hidden, &mask).unwrap();
    assert!(difference(&found, &expected["st.embeddings"], None) < 1e-5);
    let cosine = found.matmul(&found.t().unwrap()).unwrap();
    assert!(difference(&cosine, &expected["st.cosine"], None) < 1e-5);
    let plain = Pooling {
        normalize: false,
        ..pooling
    };
    let found = plain.apply(&hidden, &mask).unwrap();
    assert!(difference(&found, &expected["st.embeddings_before_normalize"], None) < 1e-4);
    // Texts are cut as the settings say.
    let tokenizer = checkpoint.tokenizer().unwrap();
    assert_eq!(tokenizer.max_tokens(), Some(32));
    let sentences: Value = serde_json::from_slice(&fs::read(fixture("sentence/expected.json")).unwrap()).unwrap();
    let ids = inputs
        .input_ids
        .unwrap()
        .to_dtype(DType::I64)
        .unwrap()
        .to_vec2::<i64>()
        .unwrap();
    for (sentence, wanted) in sentences["sentences"].as_array().unwrap().iter().zip(ids) {
        let own = tokenizer
            .encode(sentence.as_str().unwrap(), model.info())
            .unwrap()
            .ids();
        assert!(
            own.iter().zip(&wanted).all(|(&own, &wanted)| i64::from(own) == wanted),
            "{sentence}"
        );
    }
    assert_eq!(open("bert").pooling().unwrap(), None);
}

#[test]
fn modes_are_what_they_say() {
    let values = [
        [[1_f32, -2.0], [3.0, -4.0], [9.0, 9.0]],
        [[9.0, 9.0], [5.0, -6.0], [7.0, -9.0]],
    ];
    let hidden = Tensor::new(&values, &Device::Cpu).unwrap();
    let mask = Tensor::new(&[[1_i64, 1, 0], [0, 1, 1]], &Device::Cpu).unwrap();
    let pool = |modes: &[PoolingMode], normalize| {
        let pooling = Pooling {
            modes: modes.to_vec(),
            normalize,
        };
        pooling.apply(&hidden, &mask).unwrap().to_vec2::<f32>().unwrap()
    };
    assert_eq!(pool(&[PoolingMode::First], false), [[1.0, -2.0], [9.0, 9.0]]);
    assert_eq!(pool(&[PoolingMode::Last], false), [[3.0, -4.0], [7.0, -9.0]]);
    assert_eq!(pool(&[PoolingMode::Max], false), [[3.0, -2.0], [7.0, -6.0]]);
    assert_eq!(pool(&[PoolingMode::Mean], false), [[2.0, -3.0], [6.0, -7.5]]);
    let root = pool(&[PoolingMode::MeanSqrt], false)[0][0];
    assert!((root - 4.0 / 2_f32.sqrt()).abs() < 1e-6);
    assert_eq!(
        pool(&[PoolingMode::Mean, PoolingMode::Max], false)[0],
        [2.0, -3.0, 3.0, -2.0]
    );
    assert_eq!(pool(&[PoolingMode::Last], true)[0], [0.6, -0.8]);
    let pooling = Pooling {
        modes: vec![PoolingMode::Mean],
        normalize: true,
    };
    let zeros = hidden.zeros_like().unwrap();
    assert_eq!(
        pooling.apply(&zeros, &mask).unwrap().to_vec2::<f32>().unwrap()[0],
        [0.0, 0.0]
    );
    for mask in [
        Tensor::new(&[[0_u32, 0, 0], [0, 1, 1]], &Device::Cpu).unwrap(),
        Tensor::new(&[[1_u32, 1, 0]], &Device::Cpu).unwrap(),
    ] {
        let error = pooling.apply(&hidden, &mask).unwrap_err();
        assert!(matches!(error, Error::Input { name: "mask", .. }), "{error}");
    }
    assert!(matches!(
        pooling.apply(&mask, &mask),
        Err(Error::Input { name: "hidden", .. })
    ));
}

#[test]
fn what_modules_may_be() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    fs::create_dir(folder.path().join("0_Transformer")).unwrap();
    for file in ["config.json", "model.safetensors", "sentence_bert_config.json"] {
        fs::copy(
            fixture("sentence").join(file),
            folder.path().join("0_Transformer").join(file),
        )
        .unwrap();
    }
    let write = |file: &str, value: &Value| fs::write(folder.path().join(file), value.to_string()).unwrap();
    let module = |kind: &str, path: &str| json!({"type": format!("sentence_transformers.models.{kind}"), "path": path});
    let pooling = || Checkpoint::open(folder.path()).unwrap().pooling();
    let both = json!([module("Transformer", "0_Transformer"), module("Pooling", "1_Pooling")]);
    write("modules.json", &both);
    // The transformer has a folder of its own in older ones.
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(checkpoint.name(), folder.path().file_name().unwrap().to_str().unwrap());
    Model::load(&checkpoint).unwrap();
    assert!(matches!(pooling(), Err(Error::MissingFile { .. })));
    write(
        "1_Pooling/config.json",
        &json!({"pooling_mode_lasttoken": true, "pooling_mode_cls_token": true}),
    );
    let wanted = Pooling {
        modes: vec![PoolingMode::First, PoolingMode::Last],
        normalize: false,
    };
    assert_eq!(pooling().unwrap(), Some(wanted));
    for (config, refused) in [
        (
            json!({"pooling_mode_weightedmean_tokens": true, "pooling_mode_mean_tokens": true}),
            "pooling_mode_weightedmean_tokens",
        ),
        (json!({"pooling_mode_mean_tokens": false}), "pooling_mode_mean_tokens"),
        (
            json!({"pooling_mode_mean_tokens": true, "include_prompt": false}),
            "include_prompt",
        ),
    ] {
        write("1_Pooling/config.json", &config);
        assert!(pooling().unwrap_err().to_string().contains(refused));
    }
    write("1_Pooling/config.json", &json!({"pooling_mode_mean_tokens": true}));
    write(
        "0_Transformer/sentence_bert_config.json",
        &json!({"do_lower_case": true}),
    );
    assert!(matches!(pooling(), Err(Error::Unsupported { key, .. }) if key == "do_lower_case"));
    write("0_Transformer/sentence_bert_config.json", &json!({}));
    for (modules, found) in [
        (
            json!([module("Transformer", "0_Transformer"), module("Dense", "2_Dense")]),
            "models.Dense",
        ),
        (json!([module("Transformer", "0_Transformer")]), "no module of pooling"),
    ] {
        write("modules.json", &modules);
        assert!(pooling().unwrap_err().to_string().contains(found));
    }
    for modules in [
        json!({}),
        json!([1]),
        json!([module("Transformer", "../x")]),
        json!([module("Transformer", "/x")]),
    ] {
        write("modules.json", &modules);
        assert!(
            matches!(Checkpoint::open(folder.path()), Err(Error::Config { .. })),
            "{modules}"
        );
    }
}
