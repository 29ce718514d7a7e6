//! Inputs and text files that are not what they should be.

use attn_models::{
    Error, Inputs, Model,
    candle::{DType, Device, Tensor},
    record::{read_inputs, run_raw, write_tensors},
    text::read_lines,
};

use crate::support::{difference, expected, fixture, inputs, open};

fn ids(rows: &[&[i64]]) -> Tensor {
    Tensor::new(rows.concat(), &Device::Cpu)
        .unwrap()
        .reshape((rows.len(), rows[0].len()))
        .unwrap()
}

/// The input an error is about.
fn refused(model: &Model, inputs: Inputs) -> &'static str {
    match model.forward(&inputs, &mut ()).unwrap_err() {
        Error::Input { name, .. } => name,
        other => panic!("{other}"),
    }
}

#[test]
fn text_models_check_their_inputs() {
    let tensor = |rows: &[&[i64]]| Some(ids(rows));
    let good = || Inputs {
        input_ids: tensor(&[&[1, 2, 3], &[4, 5, 6]]),
        ..Inputs::default()
    };
    for name in ["bert", "gpt2", "llama"] {
        let model = Model::load(&open(name)).unwrap();
        model.forward(&good(), &mut ()).unwrap();
        let with = |edit: &dyn Fn(&mut Inputs)| {
            let mut inputs = good();
            edit(&mut inputs);
            refused(&model, inputs)
        };
        assert_eq!(with(&|i| i.input_ids = None), "input_ids");
        assert_eq!(with(&|i| i.input_ids = tensor(&[&[1, -1]])), "input_ids");
        assert_eq!(with(&|i| i.input_ids = tensor(&[&[1, 340]])), "input_ids");
        assert_eq!(
            with(&|i| i.input_ids = Some(Tensor::new(&[1i64, 2], &Device::Cpu).unwrap())),
            "input_ids"
        );
        assert_eq!(
            with(&|i| i.input_ids = Some(Tensor::zeros((1, 2), DType::F32, &Device::Cpu).unwrap())),
            "input_ids"
        );
        assert_eq!(
            with(&|i| i.input_ids = Some(Tensor::zeros((1, 0), DType::I64, &Device::Cpu).unwrap())),
            "input_ids"
        );
        assert_eq!(
            with(&|i| i.input_ids = Some(Tensor::zeros((0, 3), DType::I64, &Device::Cpu).unwrap())),
            "input_ids"
        );
        assert_eq!(
            with(&|i| i.input_ids = Some(Tensor::zeros((1, 500), DType::I64, &Device::Cpu).unwrap())),
            "input_ids"
        );
        assert_eq!(with(&|i| i.attention_mask = tensor(&[&[1, 1, 1]])), "attention_mask");
        assert_eq!(
            with(&|i| i.attention_mask = tensor(&[&[1, 1, 2], &[1, 1, 1]])),
            "attention_mask"
        );
        assert_eq!(
            with(&|i| i.attention_mask = tensor(&[&[0, 0, 0], &[1, 1, 1]])),
            "attention_mask"
        );
        assert_eq!(with(&|i| i.position_ids = tensor(&[&[0, 1, 2, 3]])), "position_ids");
        assert_eq!(with(&|i| i.position_ids = tensor(&[&[0, 1, 500]])), "position_ids");
        assert_eq!(
            with(&|i| i.pixel_values = Some(Tensor::zeros((1, 3, 32, 32), DType::F32, &Device::Cpu).unwrap())),
            "pixel_values"
        );
        assert_eq!(with(&|i| i.decoder_input_ids = tensor(&[&[1]])), "decoder_input_ids");
        if name == "bert" {
            assert_eq!(
                with(&|i| i.token_type_ids = tensor(&[&[0, 1, 2], &[0, 0, 0]])),
                "token_type_ids"
            );
        } else {
            assert_eq!(
                with(&|i| i.token_type_ids = tensor(&[&[0, 1, 1], &[0, 0, 0]])),
                "token_type_ids"
            );
        }
    }
}

#[test]
fn vision_models_check_their_inputs() {
    let model = Model::load(&open("vit")).unwrap();
    let pixels = |shape: &[usize], dtype| Inputs::from_pixels(Tensor::zeros(shape, dtype, &Device::Cpu).unwrap());
    model.forward(&pixels(&[1, 3, 32, 32], DType::F32), &mut ()).unwrap();
    for inputs in [
        Inputs::default(),
        // Less than a patch.
        pixels(&[1, 3, 32, 7], DType::F32),
        pixels(&[1, 1, 32, 32], DType::F32),
        pixels(&[3, 32, 32], DType::F32),
        pixels(&[0, 3, 32, 32], DType::F32),
        pixels(&[1, 3, 32, 32], DType::U8),
    ] {
        assert_eq!(refused(&model, inputs), "pixel_values");
    }
    let text = Inputs {
        input_ids: Some(ids(&[&[1]])),
        ..Inputs::default()
    };
    assert_eq!(refused(&model, text), "input_ids");
}

#[test]
fn inputs_travel_through_files_and_raw_outputs_agree_with_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    let (input_path, output_path) = (
        folder.path().join("in.safetensors"),
        folder.path().join("out.safetensors"),
    );
    for (name, case) in [("bert", "pad"), ("gpt2", "left"), ("vit", "px")] {
        let expected = expected(name);
        let start = format!("{case}.in.");
        let given = expected
            .iter()
            .filter_map(|(key, tensor)| Some((key.strip_prefix(&start)?.to_owned(), tensor.clone())))
            .collect();
        attn_models::candle::safetensors::save(&given, &input_path).unwrap();
        let model = Model::load(&open(name)).unwrap();
        write_tensors(
            &output_path,
            &run_raw(&model, &read_inputs(&input_path).unwrap()).unwrap(),
        )
        .unwrap();
        let written = attn_models::candle::safetensors::load(&output_path, &Device::Cpu).unwrap();
        let direct = run_raw(&model, &inputs(&expected, case)).unwrap();
        assert_eq!(written.len(), direct.len());
        for (key, tensor) in &direct {
            assert_eq!(difference(&written[key], tensor, None), 0.0);
        }
        let wanted = expected
            .keys()
            .filter_map(|key| key.strip_prefix(&format!("{case}.x.")))
            .count();
        assert!(
            wanted > 0
                && expected
                    .keys()
                    .filter_map(|key| key.strip_prefix(&format!("{case}.")))
                    .filter(|key| key.starts_with("x."))
                    .all(|key| written.contains_key(key))
        );
    }
}

#[test]
fn files_of_inputs_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.safetensors");
    assert!(matches!(read_inputs(&path), Err(Error::Io { .. })));
    std::fs::write(&path, "nonsense").unwrap();
    assert!(matches!(read_inputs(&path), Err(Error::Safetensors { .. })));
    let save = |name: &str, tensor: Tensor| {
        attn_models::candle::safetensors::save(&[(name.to_owned(), tensor)].into(), &path).unwrap();
    };
    save("inputs_ids", ids(&[&[1]]));
    assert!(matches!(read_inputs(&path), Err(Error::Tensor { tensor, .. }) if tensor == "inputs_ids"));
    save("input_ids", Tensor::zeros((1, 2), DType::F32, &Device::Cpu).unwrap());
    assert!(matches!(read_inputs(&path), Err(Error::Tensor { tensor, .. }) if tensor == "input_ids"));
}

#[test]
fn text_files_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.txt");
    let write = |bytes: &[u8]| std::fs::write(&path, bytes).unwrap();
    assert!(matches!(read_lines(&path), Err(attn_core::Error::Io { .. })));
    for empty in [&b""[..], b"\n\n", b"  \t\r\n"] {
        write(empty);
        assert!(matches!(
            read_lines(&path),
            Err(attn_core::Error::Text { line: None, .. })
        ));
    }
    write(b"good\n\nb\xffd\n");
    let error = read_lines(&path).unwrap_err();
    assert!(matches!(error, attn_core::Error::Text { line: Some(3), .. }), "{error}");
    write(b"\xef\xbb\xbffirst\r\n\r\n third \n");
    let lines = read_lines(&path).unwrap();
    let found: Vec<_> = lines.iter().map(|line| (line.number, line.text.as_str())).collect();
    assert_eq!(found, [(1, "first"), (3, " third ")]);
    assert!(Inputs::from_ids(&[], 0).is_err());
    assert!(fixture("bert").exists());
}
