//! Control models without what tells tokens where they stand, on tokens that differ in nothing else.

use attn_core::{Attention, Capture, HeadId, Sequence, Side, Token, ndarray::Array2};
use attn_models::{Capturer, Error, Gradients, Model, Weights, control::Control, intervene::Edit};
use serde_json::{Value, json};

fn configs() -> [(Attention, Value); 2] {
    [
        (
            Attention::EncoderSelf,
            json!({"model_type": "bert", "vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
                "intermediate_size": 16, "max_position_embeddings": 16}),
        ),
        (
            Attention::DecoderSelf,
            json!({"model_type": "llama", "vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4,
                "num_key_value_heads": 2, "head_dim": 4, "intermediate_size": 16, "max_position_embeddings": 64}),
        ),
    ]
}

fn capturer(config: &Value) -> Capturer {
    let model = Model::build("tiny", &config.to_string(), &Weights::initialize(5), Gradients::Off).unwrap();
    Capturer::new(model)
}

/// The same token again and again.
fn same(side: Side, count: usize) -> Sequence {
    let token = |position| Token {
        text: "x".into(),
        id: Some(7),
        position,
        ..Token::default()
    };
    let tokens = (0..count).map(token).collect();
    match side {
        Side::Encoder => Sequence {
            encoder: tokens,
            ..Sequence::default()
        },
        Side::Decoder => Sequence {
            decoder: tokens,
            ..Sequence::default()
        },
    }
}

fn capture(capturer: &Capturer, lengths: &[usize]) -> Capture {
    let side = capturer.model().info().attentions[0].attention.query_side();
    let sequences = lengths.iter().map(|length| same(side, *length));
    capturer.sequences(sequences).run().unwrap().capture
}

/// The queries of the first layer, where tokens have not seen each other yet.
fn queries(capture: &Capture, attention: Attention, sequence: usize) -> Array2<f32> {
    let rows = capture.rows(sequence, attention.query_side());
    let all = capture.queries(HeadId::new(attention, 0, 0)).unwrap();
    all.slice(attn_core::ndarray::s![rows, ..]).to_owned()
}

fn near(a: &Array2<f32>, b: &Array2<f32>) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
}

/// Where each row of one is in the other.
fn places(rows: &Array2<f32>, among: &Array2<f32>) -> Vec<usize> {
    let place = |row: attn_core::ndarray::ArrayView1<'_, f32>| {
        let near =
            |other: attn_core::ndarray::ArrayView1<'_, f32>| row.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-5);
        among.rows().into_iter().position(near).unwrap()
    };
    rows.rows().into_iter().map(place).collect()
}

#[test]
fn shuffled_positions_are_those_of_the_same_sequence() {
    for (attention, config) in configs() {
        let plain = capture(&capturer(&config), &[9, 5, 9]);
        let control = capturer(&config).with_shuffled_positions(3);
        let shuffled = capture(&control, &[9, 5, 9]);
        for sequence in 0..3 {
            let mut found = places(
                &queries(&shuffled, attention, sequence),
                &queries(&plain, attention, sequence),
            );
            assert!(!found.is_sorted(), "{attention}: {found:?}");
            found.sort_unstable();
            assert_eq!(found, (0..found.len()).collect::<Vec<_>>(), "{attention}");
        }
        let alone = capture(&control, &[5]);
        assert!(
            near(&queries(&alone, attention, 0), &queries(&shuffled, attention, 1)),
            "alone as in a batch"
        );
        assert!(near(
            &queries(&shuffled, attention, 0),
            &queries(&shuffled, attention, 2)
        ));
        assert_ne!(shuffled.fingerprint(), plain.fingerprint());
    }
}

#[test]
fn without_positions_the_same_tokens_are_the_same() {
    for (attention, config) in configs() {
        let side = attention.query_side();
        let control = capturer(&config).with_interventions(vec![Edit::RemovePositions { side }.into()]);
        let found = queries(&capture(&control, &[6]), attention, 0);
        assert!(
            found
                .rows()
                .into_iter()
                .all(|row| places(&row.insert_axis(attn_core::ndarray::Axis(0)).to_owned(), &found) == [0])
        );
    }
}

#[test]
fn a_bias_by_offset_goes_with_the_positions_and_is_not_shuffled() {
    let config = json!({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "vocab_size": 30, "d_model": 8, "d_kv": 6,
        "d_ff": 16, "num_layers": 2, "num_decoder_layers": 1, "num_heads": 2, "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 16});
    let sequence = || Sequence {
        encoder: same(Side::Encoder, 6).encoder,
        decoder: same(Side::Decoder, 4).decoder,
        ..Sequence::default()
    };
    let removed = [Side::Encoder, Side::Decoder].map(|side| Edit::RemovePositions { side }.into());
    let control = capturer(&config).with_interventions(removed.into());
    let capture = control.sequences([sequence()]).run().unwrap().capture;
    // The same tokens without positions: every key gets the same share, in the attention that is computed anew too.
    let attention = capture.attention(HeadId::new(Attention::EncoderSelf, 1, 1), 0).unwrap();
    assert!(
        attention.iter().all(|weight| (weight - 1.0 / 6.0).abs() < 1e-6),
        "{attention}"
    );
    let control = capturer(&config).with_shuffled_positions(0);
    let error = control.sequences([sequence()]).run().unwrap_err();
    assert!(matches!(error, Error::Intervention { .. }), "{error}");
}

#[test]
fn controls_are_named() {
    for control in Control::ALL {
        assert_eq!(control.name().parse::<Control>().unwrap(), control);
    }
    // As an earlier version called it.
    assert_eq!("no-positions".parse::<Control>().unwrap(), Control::PositionFree);
    let error = "none".parse::<Control>().unwrap_err().to_string();
    assert!(
        error.contains("untrained, shuffled-positions, position-free"),
        "{error}"
    );
}
