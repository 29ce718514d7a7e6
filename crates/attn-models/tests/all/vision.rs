//! Options and heads of models of images, against the same sums by hand, and pictures of other sizes.

use attn_core::{Attention, Side};
use attn_models::{
    Capturer, Checkpoint, Gradients, Inputs, Model, Point, Site, Weights,
    candle::{Device, Tensor},
    images::Image,
};
use serde_json::{Value, json};

use crate::{
    by_hand::{close, loud, rows, run, silu},
    support::{difference, expected, fixture, inputs, open},
};

fn tiny(family: &str, options: Value) -> Value {
    let mut config = json!({"model_type": family, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 12, "image_size": 8, "patch_size": 4, "num_channels": 1, "hidden_act": "relu"});
    for (key, value) in options.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn pixels(height: usize, width: usize) -> Inputs {
    let values: Vec<f32> = (0..height * width).map(|at| (at as f32 * 0.37).cos()).collect();
    Inputs::from_pixels(Tensor::from_vec(values, (1, 1, height, width), &Device::Cpu).unwrap())
}

#[test]
fn classifiers_read_the_class_token_or_the_mean_of_the_patches() {
    let mean = |rows: &[Vec<f64>]| -> Vec<f64> {
        let sum = |at: usize| rows.iter().map(|row| row[at]).sum::<f64>() / rows.len() as f64;
        (0..rows[0].len()).map(sum).collect()
    };
    let labels = json!({"0": "a", "1": "b", "2": "c"});
    for (family, class, special) in [
        ("deit", "DeiTForImageClassification", 2),
        ("dinov2", "Dinov2ForImageClassification", 1),
        ("dinov2_with_registers", "Dinov2WithRegistersForImageClassification", 5),
        ("clip", "CLIPForImageClassification", 1),
    ] {
        let mut config = tiny(family, json!({"architectures": [class], "id2label": labels}));
        if family == "clip" {
            config =
                json!({"model_type": "clip", "architectures": [class], "id2label": labels, "vision_config": config});
        }
        let loud = loud(&config);
        assert_eq!(loud.model.labels(), ["a", "b", "c"]);
        assert_eq!(loud.model.vision().unwrap().special, special);
        let (output, _) = run(&loud.model, &pixels(8, 8));
        let hidden = rows(&output.last_hidden);
        assert_eq!(hidden.len(), special + 4);
        let read = match family {
            "deit" => hidden[0].clone(),
            "clip" => mean(&hidden[special..]),
            _ => [hidden[0].clone(), mean(&hidden[special..])].concat(),
        };
        close(&rows(&output.logits.unwrap())[0], &loud.affine("classifier", &read));
    }
}

#[test]
fn what_a_sublayer_adds_is_scaled() {
    let config = tiny("dinov2", json!({}));
    let loud = loud(&config);
    let at = |point| Site::new(Attention::EncoderSelf, 0, point);
    let (_, before) = run(&loud.model, &pixels(8, 8));
    let place = |name: &str| format!("dinov2.encoder.layer.0.{name}");
    // By hand, from what the heads read and from what the MLP reads.
    let context = rows(&before.tensors[&at(Point::HeadOutput)].flatten_from(2).unwrap());
    let scaled = |x: Vec<f64>, name: &str| -> Vec<f64> {
        x.iter()
            .zip(loud.vector(&place(name)))
            .map(|(x, scale)| x * scale)
            .collect()
    };
    let attended = scaled(
        loud.affine(&place("attention.output.dense"), &context[2]),
        "layer_scale1.lambda1",
    );
    close(&rows(&before.tensors[&at(Point::AttentionOutput)])[2], &attended);
    let x = rows(&before.tensors[&at(Point::Hidden)]);
    let after: Vec<f64> = x[2].iter().zip(&attended).map(|(x, a)| x + a).collect();
    let normed = loud.layer_norm(&place("norm2"), &after, 1e-6);
    let inner = loud.affine(&place("mlp.fc1"), &normed).into_iter().map(|x| x.max(0.0));
    // mlp_ratio 4.
    let inner: Vec<f64> = inner.collect();
    assert_eq!(inner.len(), 32);
    let added = scaled(loud.affine(&place("mlp.fc2"), &inner), "layer_scale2.lambda1");
    close(&rows(&before.tensors[&at(Point::Mlp)])[2], &added);
}

#[test]
fn a_gated_mlp_has_two_thirds_of_the_width() {
    let loud = loud(&tiny("dinov2", json!({"use_swiglu_ffn": true, "mlp_ratio": 4})));
    let (_, recorder) = run(&loud.model, &pixels(8, 8));
    let at = |point| rows(&recorder.tensors[&Site::new(Attention::EncoderSelf, 0, point)])[2].clone();
    let place = |name: &str| format!("dinov2.encoder.layer.0.{name}");
    let after: Vec<f64> = at(Point::Hidden)
        .iter()
        .zip(at(Point::AttentionOutput))
        .map(|(x, a)| x + a)
        .collect();
    let both = loud.affine(
        &place("mlp.weights_in"),
        &loud.layer_norm(&place("norm2"), &after, 1e-6),
    );
    // 32 * 2 / 3 = 21 in whole eights: 24.
    assert_eq!(both.len(), 48);
    let gated: Vec<f64> = (0..24).map(|unit| silu(both[unit]) * both[24 + unit]).collect();
    let added = loud.affine(&place("mlp.weights_out"), &gated);
    let scale = loud.vector(&place("layer_scale2.lambda1"));
    let added: Vec<f64> = added.iter().zip(scale).map(|(x, scale)| x * scale).collect();
    close(&at(Point::Mlp), &added);
}

#[test]
fn registers_have_no_position() {
    let loud = loud(&tiny("dinov2_with_registers", json!({"num_register_tokens": 3})));
    let (_, recorder) = run(&loud.model, &pixels(8, 8));
    let positions = rows(&recorder.tensors[&Site::positions(Side::Encoder)]);
    let table = rows(loud.variable("dinov2_with_registers.embeddings.position_embeddings"));
    close(&positions[0], &table[0]);
    assert!(positions[1..4].iter().flatten().all(|&value| value == 0.0));
    close(&positions[4], &table[1]);
    close(&positions[7], &table[4]);
    let x = rows(&recorder.tensors[&Site::hidden(Side::Encoder, 0)]);
    let registers = rows(loud.variable("dinov2_with_registers.embeddings.register_tokens"));
    close(&x[2], &registers[1]);
    assert_eq!(loud.model.vision().unwrap().special, 4);
    // None is DINOv2 itself.
    let none = tiny("dinov2_with_registers", json!({"num_register_tokens": 0}));
    let none = Model::build("tiny", &none.to_string(), &Weights::initialize(1), Gradients::Off).unwrap();
    assert_eq!(none.vision().unwrap().special, 1);
}

#[test]
fn pictures_of_other_sizes_have_interpolated_positions() {
    for family in ["vit", "deit", "dinov2", "dinov2_with_registers", "clip_vision_model"] {
        let loud = loud(&tiny(family, json!({"image_size": 16, "num_register_tokens": 2})));
        let special = loud.model.vision().unwrap().special;
        let tapped = |height, width| {
            let (output, recorder) = run(&loud.model, &pixels(height, width));
            let positions = rows(&recorder.tensors[&Site::positions(Side::Encoder)]);
            assert_eq!(output.last_hidden.dim(1).unwrap(), positions.len());
            positions
        };
        let own = tapped(16, 16);
        // 16 x 28 pixels, the last column cut: 4 x 7 patches. Special tokens keep theirs.
        let other = tapped(16, 30);
        assert_eq!(other.len(), special + 4 * 7);
        for at in 0..special {
            close(&other[at], &own[at]);
        }
        // The middle of 7 cells is the middle of 4, between cells 1 and 2: Keys' kernel at distances 1/2 and 3/2.
        let far = if family == "dinov2_with_registers" {
            -0.0625
        } else {
            -0.09375
        };
        let near = 0.5 - far;
        for row in 0..4 {
            let cell = |column: usize| &own[special + row * 4 + column];
            let expected: Vec<f64> = (0..8)
                .map(|at| far * (cell(0)[at] + cell(3)[at]) + near * (cell(1)[at] + cell(2)[at]))
                .collect();
            close(&other[special + row * 7 + 3], &expected);
        }
    }
}

#[test]
fn a_checkpoint_of_both_parts_of_clip_is_its_vision_part() {
    let vision: Value =
        serde_json::from_slice(&std::fs::read(fixture("clip-vision").join("config.json")).unwrap()).unwrap();
    let config = json!({"model_type": "clip", "architectures": ["CLIPModel"], "vision_config": vision,
        "text_config": {"hidden_size": 512}});
    let weights = Weights::open(&open("clip-vision"));
    let model = Model::build("both", &config.to_string(), &weights, Gradients::Off).unwrap();
    let expected = expected("clip-vision");
    let found = model.forward(&inputs(&expected, "px"), &mut ()).unwrap();
    assert!(difference(&found.last_hidden, &expected["px.last_hidden"], None) < 1e-3);
    assert!(difference(&found.pooled.unwrap(), &expected["px.pooled"], None) < 1e-3);
}

#[test]
fn images_are_captured_at_the_size_their_preprocessor_makes() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("dinov2").join(file), folder.path().join(file)).unwrap();
    }
    let preprocessor = r#"{"image_processor_type": "BitImageProcessor", "size": {"height": 48, "width": 40}, "do_center_crop": false,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
    std::fs::write(folder.path().join("preprocessor_config.json"), preprocessor).unwrap();
    let capturer = Capturer::load(&Checkpoint::open(folder.path()).unwrap()).unwrap();
    let image = Image::from(fixture("dinov2/images/0.png"));
    let capture = capturer.capture_images([image]).unwrap();
    let image = capture.sequences()[0].image.clone().unwrap();
    assert_eq!((image.rows, image.columns), (6, 5));
    assert_eq!(capture.sequences()[0].encoder.len(), 31);
    let head = attn_core::HeadId::new(Attention::EncoderSelf, 1, 0);
    let attention = capture.attention(head, 0).unwrap();
    assert_eq!(attention.len(), 31 * 31);
}
