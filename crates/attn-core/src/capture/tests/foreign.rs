//! Captures that another program wrote: what opens, and what is wrong with what does not.

use super::*;

#[test]
fn a_capture_written_elsewhere_opens() {
    // The least that docs/CAPTURE.md asks for: no files, no options, no fingerprint, numbers unaligned.
    let folder = tempfile::tempdir().unwrap();
    let description = r#"{"schema":"attn-capture","version":1,
      "model":{"name":"py","family":"bert","hidden_size":2,"vocab_size":9,"max_tokens":8,"positions":"learned",
        "attentions":[{"attention":"encoder_self","heads":1,"kv_heads":1,"head_dim":2,"layers":[{"scale":1.0,"mask":"full"}]}]},
      "sequences":[{"name":"line 1","encoder":{"text":["a","b"]}}]}"#;
    fs::write(folder.path().join("capture.json"), description).unwrap();
    let header = r#"{"q":{"dtype":"F32","shape":[1,2,2],"data_offsets":[0,16]},"k":{"dtype":"F32","shape":[1,2,2],"data_offsets":[16,32]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    for number in [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0] {
        bytes.extend(number.to_le_bytes());
    }
    fs::write(folder.path().join("encoder-self-00.safetensors"), bytes).unwrap();
    let capture = Capture::open(folder.path()).unwrap();
    let head = HeadId::new(Attention::EncoderSelf, 0, 0);
    assert_eq!(capture.keys(head).unwrap(), ndarray::array![[5.0, 6.0], [7.0, 8.0]]);
    assert!(matches!(capture.values(head), Err(Error::MissingTensor { .. })));
    assert_eq!(capture.sequences()[0].encoder[1].position, 1);
    capture.verify(&()).unwrap();
}

/// The description of a capture of one attention with one head of two numbers, as another program would write it.
fn foreign() -> serde_json::Value {
    serde_json::json!({
        "schema": "attn-capture", "version": 1,
        "model": {
            "name": "py", "family": "bert", "hidden_size": 2, "vocab_size": 9, "max_tokens": null, "positions": "learned",
            "attentions": [{
                "attention": "encoder_self", "heads": 1, "kv_heads": 1, "head_dim": 2,
                "layers": [{ "scale": 1.0, "mask": "full" }],
            }],
        },
        "sequences": [
            { "name": "line 1", "text": "a b", "encoder": { "text": ["a", "b"], "span": [[0, 1], [2, 3]] } },
            { "name": "line 2", "text": "c", "encoder": { "text": ["c"] } },
        ],
    })
}

/// Tensors `[1, rows, 2]` of counted numbers, as a safetensors file.
fn tensors(path: &Path, tensors: &[(&str, usize, Precision)], change: impl Fn(&mut [f32])) {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for &(name, rows, precision) in tensors {
        let mut values: Vec<f32> = (0..rows * 2).map(|value| value as f32).collect();
        change(&mut values);
        let start = data.len();
        for value in values {
            match precision {
                Precision::F32 => data.extend(value.to_le_bytes()),
                Precision::F16 => data.extend(half::f16::from_f32(value).to_le_bytes()),
            }
        }
        header.insert(
            name.to_owned(),
            serde_json::json!({ "dtype": precision.dtype(), "shape": [1, rows, 2], "data_offsets": [start, data.len()] }),
        );
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    fs::write(path, bytes).unwrap();
}

const QKV: [(&str, usize, Precision); 3] = [
    ("q", 3, Precision::F32),
    ("k", 3, Precision::F32),
    ("v", 3, Precision::F32),
];

fn open_changed(change: impl Fn(&mut serde_json::Value)) -> Result<Capture> {
    let folder = tempfile::tempdir().unwrap();
    let mut description = foreign();
    change(&mut description);
    fs::write(folder.path().join("capture.json"), description.to_string()).unwrap();
    tensors(&folder.path().join("encoder-self-00.safetensors"), &QKV, |_| {});
    Capture::open(folder.path())
}

#[test]
fn mistakes_in_a_description_are_named_with_their_path() {
    use serde_json::{Value, json};
    open_changed(|_| {}).unwrap();
    let changes: [(&str, Value, &str, &str); 26] = [
        (
            "/sequences/0/encoder/specials",
            json!([true, false]),
            "sequences[0].encoder",
            "unknown field `specials`",
        ),
        (
            "/model/attentions/0/relativ_bias",
            json!(1),
            "model.attentions[0].relativ_bias",
            "unknown field `relativ_bias`",
        ),
        ("/sequences/1/txt", json!("c"), "sequences[1]", "unknown field `txt`"),
        (
            "/files",
            json!({ "a": { "bytes": 1 } }),
            "files.a",
            "missing field `crc32`",
        ),
        (
            "/model/positions",
            json!("spiral"),
            "model.positions",
            "unknown variant `spiral`",
        ),
        ("/model/vocab_size", json!("many"), "model.vocab_size", "expected usize"),
        ("/sequences/1/name", json!(7), "sequences[1].name", "expected a string"),
        (
            "/sequences/0/encoder/id",
            json!([1]),
            "sequences[0].encoder",
            "column `id` has 1 entries, column `text` has 2",
        ),
        (
            "/model/attentions/0/layers/0/scale",
            json!(0.0),
            "model.attentions[0].layers[0].scale",
            "expected a finite number above 0, found 0",
        ),
        (
            "/model/attentions/0/layers/0/scale",
            json!(-1.5),
            "model.attentions[0].layers[0].scale",
            "found -1.5",
        ),
        (
            "/model/attentions/0/layers/0/scale",
            json!(1e39),
            "model.attentions[0].layers[0].scale",
            "expected a number within the range of floats, found a larger one",
        ),
        (
            "/model/attentions/0/layers",
            json!([]),
            "model.attentions[0].layers",
            "at least one layer",
        ),
        (
            "/model/attentions/0/relative_bias",
            json!({ "bidirectional": true, "max_distance": 8, "table": [] }),
            "model.attentions[0].relative_bias.table",
            "1 rows, one per head",
        ),
        (
            "/model/attentions",
            json!([]),
            "model.attentions",
            "at least one attention",
        ),
        ("/sequences", json!([]), "sequences", "at least one sequence"),
        (
            "/sequences/0/decoder",
            json!({ "text": ["a"] }),
            "sequences[0].decoder",
            "no attention of the model reads the decoder side",
        ),
        (
            "/sequences/0/encoder/span",
            json!([[0, 1], [2, 4]]),
            "sequences[0].encoder.span[1]",
            "found [2, 4]",
        ),
        (
            "/sequences/0/encoder/span",
            json!([[1, 0], [2, 3]]),
            "sequences[0].encoder.span[0]",
            "found [1, 0]",
        ),
        (
            "/model/hidden_size",
            json!(4_611_686_018_427_387_904_u64),
            "model.hidden_size",
            "expected a number from 1 to 1048576, found 4611686018427387904",
        ),
        ("/model/hidden_size", json!(0), "model.hidden_size", "found 0"),
        (
            "/model/vocab_size",
            json!(9_223_372_036_854_775_807_u64),
            "model.vocab_size",
            "expected a number from 1 to 268435456",
        ),
        (
            "/sequences/0/image",
            json!({ "rows": 9_223_372_036_854_775_807_u64, "columns": 2 }),
            "sequences[0].image",
            "found 9223372036854775807 x 2",
        ),
        (
            "/sequences/0/encoder/patch",
            json!([null, [0, 9_223_372_036_854_775_807_u64]]),
            "sequences[0].encoder.patch[1]",
            "found [0, 9223372036854775807]",
        ),
        (
            "/model/attentions/0/head_dim",
            json!(4_611_686_018_427_387_904_u64),
            "tensor `q`",
            "found [1, 3, 2]",
        ),
        (
            "/encoder_start",
            json!([0]),
            "encoder_start",
            "2 entries, one per sequence",
        ),
        (
            "/options",
            json!({ "precision": "f16" }),
            "tensor `q`",
            "expected type F16, as options.precision, found F32",
        ),
    ];
    for (at, value, path, finding) in changes {
        let (parent, key) = at.rsplit_once('/').unwrap();
        let error = open_changed(|description| {
            description.pointer_mut(parent).unwrap()[key] = value.clone();
        });
        let message = error.unwrap_err().to_string();
        assert!(message.contains(path) && message.contains(finding), "{at}: {message}");
        assert!(
            message.contains("capture.json") || message.contains("encoder-self-00.safetensors"),
            "{message}"
        );
    }
}

#[test]
fn missing_fields_are_named_with_their_path() {
    for (parent, key, path) in [
        ("/model", "vocab_size", "`model`"),
        ("/model", "max_tokens", "`model`"),
        ("/model", "name", "`model`"),
        ("/sequences/1", "name", "`sequences[1]`"),
        ("/sequences/0/encoder", "text", "`sequences[0].encoder`"),
        ("/model/attentions/0", "kv_heads", "`model.attentions[0]`"),
        ("", "sequences", "capture.json"),
    ] {
        let error = open_changed(|description| {
            description
                .pointer_mut(parent)
                .unwrap()
                .as_object_mut()
                .unwrap()
                .remove(key);
        });
        let message = error.unwrap_err().to_string();
        assert!(
            message.contains(path) && message.contains(&format!("missing field `{key}`")),
            "{message}"
        );
    }
    let error = open_changed(|description| description["version"] = 5.into()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("expected schema attn-capture, version 1 to 4, found schema attn-capture, version 5")
    );
    // An older version cannot say which of two texts a token is of.
    let of_pair = |version: u32| {
        open_changed(|description| {
            description["version"] = version.into();
            description["sequences"][0]["encoder"]["segment"] = serde_json::json!([0, 1]);
        })
    };
    let error = of_pair(1).unwrap_err().to_string();
    assert!(
        error.contains("`version`: expected 4, whose tokens have segments, found 1"),
        "{error}"
    );
    let segments = of_pair(4).unwrap().sequences()[0]
        .encoder
        .iter()
        .map(|token| token.segment)
        .collect::<Vec<_>>();
    assert_eq!(segments, [0, 1]);
    // Nor can one leave out attention, and none everything.
    let leave_out = |hidden: bool| {
        let options = serde_json::json!({ "attention": false, "hidden": hidden });
        let error = open_changed(|description| description["options"] = options.clone());
        error.unwrap_err().to_string()
    };
    assert!(leave_out(true).contains("`version`: expected 3, which may leave out attention, found 1"));
    assert!(leave_out(false).contains("`options`: expected `attention`, `hidden` or `logits`, found none of them"));
    // The decoder's tokens by mistake: no attention reads them, and none are there for the encoder.
    let error = open_changed(|description| {
        for sequence in description["sequences"].as_array_mut().unwrap() {
            let tokens = sequence.as_object_mut().unwrap().remove("encoder").unwrap();
            sequence["decoder"] = tokens;
        }
    });
    let message = error.unwrap_err().to_string();
    assert!(
        message.contains("`sequences[0].encoder`: expected tokens, which the attention `encoder-self` reads"),
        "{message}"
    );
}

#[test]
fn tokens_must_be_as_many_as_rows() {
    for forget in [
        |description: &mut serde_json::Value| {
            description["sequences"][0]["encoder"] = serde_json::json!({ "text": ["a"] })
        },
        |description: &mut serde_json::Value| {
            description["sequences"] = serde_json::json!([description["sequences"][0]])
        },
    ] {
        let message = open_changed(forget).unwrap_err().to_string();
        assert!(
            message.contains("expected [1, 2, 2]") && message.contains("found [1, 3, 2]"),
            "{message}"
        );
    }
    // With first rows given, rows may be left over.
    let capture = open_changed(|description| {
        description["sequences"] = serde_json::json!([description["sequences"][1]]);
        description["encoder_start"] = serde_json::json!([2]);
    });
    let head = HeadId::new(Attention::EncoderSelf, 0, 0);
    assert_eq!(capture.unwrap().queries(head).unwrap(), ndarray::array![[4.0, 5.0]]);
}

#[test]
fn values_that_are_not_finite_are_named_where_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("capture.json"), foreign().to_string()).unwrap();
    let layer = folder.path().join("encoder-self-00.safetensors");
    tensors(&layer, &QKV, |values| values[5] = f32::NAN);
    tensors(
        &folder.path().join("encoder-hidden-01.safetensors"),
        &[("hidden", 3, Precision::F32)],
        |values| {
            values[0] = f32::INFINITY;
        },
    );
    // Opening reads no value.
    let capture = Capture::open(folder.path()).unwrap();
    let head = HeadId::new(Attention::EncoderSelf, 0, 0);
    let file = layer.display();
    for (tensor, of, found) in [
        ("q", "head 0", capture.queries(head).map(drop)),
        ("k", "key/value head 0", capture.keys(head).map(drop)),
        ("v", "key/value head 0", capture.values(head).map(drop)),
        ("q", "head 0", capture.attention(head, 1).map(drop)),
        ("q", "head 0", capture.verify(&())),
    ] {
        assert_eq!(
            found.unwrap_err().to_string(),
            format!(
                "{file}, tensor `{tensor}`, layer 0, {of}, `line 2`, token 0: value 1 is NaN, expected a finite number"
            )
        );
    }
    capture.attention(head, 0).unwrap();
    let message = capture.hidden(Side::Encoder, 1).unwrap_err().to_string();
    assert!(
        message.contains("tensor `hidden`, layer 1, `line 1`, token 0: value 0 is inf"),
        "{message}"
    );
}

#[test]
fn products_that_are_not_finite_are_named_with_file_layer_head_and_sequence() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("capture.json"), foreign().to_string()).unwrap();
    let layer = folder.path().join("encoder-self-00.safetensors");
    // Products of 1e39 and more are infinite, and infinite minus infinite is no number.
    tensors(&layer, &QKV, |values| values.iter_mut().for_each(|value| *value = 3e38));
    let capture = Capture::open(folder.path()).unwrap();
    let head = HeadId::new(Attention::EncoderSelf, 0, 0);
    assert_eq!(
        capture.attention(head, 1).unwrap_err().to_string(),
        format!(
            "{}, layer 0, head 0, `line 2`, attention of query 0: value 0 is NaN, expected a finite number",
            layer.display()
        )
    );
}

#[test]
fn names_of_files_do_not_lead_out_of_the_folder() {
    for name in ["/dev/zero", "../x", "a/b", "c:x", "a\\b", "..", ""] {
        let change = |value: &mut serde_json::Value| {
            value["files"] = serde_json::json!({ name: { "bytes": 1, "crc32": 1 } });
        };
        let message = open_changed(change).unwrap_err().to_string();
        assert!(
            message.contains("`files`: expected names of files in the folder of the capture, found "),
            "{message}"
        );
    }
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_no_part_of_a_capture() {
    let folder = tempfile::tempdir().unwrap();
    let (description, layer) = (
        folder.path().join("capture.json"),
        folder.path().join("encoder-self-00.safetensors"),
    );
    let pipe = |path: &Path| {
        assert!(
            std::process::Command::new("mkfifo")
                .arg(path)
                .status()
                .unwrap()
                .success()
        )
    };
    pipe(&description);
    let message = Capture::open(folder.path()).unwrap_err().to_string();
    assert!(
        message.ends_with("capture.json: expected a regular file, found a named pipe"),
        "{message}"
    );
    fs::remove_file(&description).unwrap();
    fs::write(&description, foreign().to_string()).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &layer).unwrap();
    let message = Capture::open(folder.path()).unwrap_err().to_string();
    assert!(
        message.ends_with("expected a regular file, found a device"),
        "{message}"
    );
    let journal = folder.path().join("journal.jsonl");
    pipe(&journal);
    let message = CaptureWriter::create(folder.path(), plan(CaptureOptions::default())).unwrap_err();
    assert!(
        message
            .to_string()
            .ends_with("journal.jsonl: expected a regular file, found a named pipe")
    );
    // A capture's files are read by `verify` as they were opened.
    let folder = tempfile::tempdir().unwrap();
    finished(folder.path());
    let path = folder.path().join("capture.json");
    let mut description: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    description["files"]["pipe"] = serde_json::json!({ "bytes": 1, "crc32": 1 });
    fs::write(&path, description.to_string()).unwrap();
    pipe(&folder.path().join("pipe"));
    let message = Capture::open(folder.path()).unwrap().verify(&()).unwrap_err();
    assert!(message.to_string().ends_with("found a named pipe"));
}

#[test]
fn all_tensors_have_one_type() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("capture.json"), foreign().to_string()).unwrap();
    let layer = folder.path().join("encoder-self-00.safetensors");
    tensors(&layer, &[("q", 3, Precision::F16), ("k", 3, Precision::F16)], |_| {});
    assert_eq!(
        Capture::open(folder.path()).unwrap().options().precision,
        Precision::F16
    );
    tensors(&layer, &[("q", 3, Precision::F16), ("k", 3, Precision::F32)], |_| {});
    let message = Capture::open(folder.path()).unwrap_err().to_string();
    assert!(
        message.contains("tensor `k`: expected type F16, as ") && message.ends_with("found F32"),
        "{message}"
    );
}

/// A layer without attention has no file, and a layer never has more heads than its attention.
#[test]
fn layers_may_have_no_attention() {
    use serde_json::json;
    let without = json!({ "scale": 1.0, "mask": "full", "heads": 0, "kv_heads": 0 });
    let with_second = |layer: serde_json::Value, version: u32| {
        open_changed(move |description| {
            description["version"] = version.into();
            let layers = &mut description["model"]["attentions"][0]["layers"];
            layers.as_array_mut().unwrap().push(layer.clone());
        })
    };
    let capture = with_second(without.clone(), 3).unwrap();
    let attention = Attention::EncoderSelf;
    assert_eq!(
        capture.model().heads().collect::<Vec<_>>(),
        [HeadId::new(attention, 0, 0)]
    );
    assert_eq!(
        capture.model().holes().collect::<Vec<_>>(),
        [HeadId::new(attention, 1, 0)]
    );
    capture.verify(&()).unwrap();
    let missing = capture
        .attention(HeadId::new(attention, 1, 0), 0)
        .unwrap_err()
        .to_string();
    assert!(missing.ends_with("layer 1 has no attention"), "{missing}");
    let missing = capture
        .attention(HeadId::new(attention, 2, 0), 0)
        .unwrap_err()
        .to_string();
    assert!(missing.ends_with("layers 0..2, heads 0..1"), "{missing}");
    let older = with_second(without, 2).unwrap_err().to_string();
    assert!(
        older.contains("expected 3, whose fields the model's facts have"),
        "{older}"
    );
    for (heads, kv_heads) in [(2, 1), (0, 1), (1, 0)] {
        let error = open_changed(|description| {
            description["version"] = 3.into();
            let layer = &mut description["model"]["attentions"][0]["layers"][0];
            (layer["heads"], layer["kv_heads"]) = (heads.into(), kv_heads.into());
        });
        let message = error.unwrap_err().to_string();
        assert!(
            message.contains(&format!("found heads {heads}, kv_heads {kv_heads}")),
            "{message}"
        );
    }
    let none = open_changed(|description| {
        description["version"] = 3.into();
        let layer = &mut description["model"]["attentions"][0]["layers"][0];
        (layer["heads"], layer["kv_heads"]) = (0.into(), 0.into());
    });
    assert!(none.unwrap_err().to_string().contains("at least one layer with heads"));
}
