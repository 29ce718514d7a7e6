//! Positions that are removed or shuffled: each against another computation.

use attn_core::Side;
use attn_models::{
    Inputs, Model,
    candle::{Device, Tensor},
    intervene::Edit,
};

use crate::{
    edits::{FAMILIES, batch, change, changeable, edits, logits, rows},
    support::{difference, largest, open},
};

#[test]
fn positions_removed_or_shuffled_are_other_position_ids() {
    let order = [3_u32, 0, 4, 1, 2];
    for name in ["bert", "gpt2", "llama"] {
        let (model, weights) = changeable(name);
        let side = model.info().attentions[0].attention.query_side();
        let inputs = batch(name);
        let with_ids = |ids: &[u32]| Inputs {
            position_ids: Some(Tensor::new(ids, &Device::Cpu).unwrap().unsqueeze(0).unwrap()),
            ..inputs.clone()
        };
        let shuffle = Edit::ShufflePositions {
            side,
            order: order.iter().map(|&token| token as usize).collect(),
        };
        let found = logits(&model, &inputs, &mut edits(&model, [shuffle.clone().into()]));
        let shuffled = logits(&model, &with_ids(&order), &mut ());
        assert!(difference(&found, &shuffled, None) < 1e-5, "{name}");

        let plain = logits(&model, &inputs, &mut ());
        assert!(difference(&found, &plain, None) > 1e-4, "{name}");
        // In one sequence only, the other as it was.
        let mut one = edits(&model, [shuffle.in_sequences(1)]);
        let found = logits(&model, &inputs, &mut one);
        assert!(
            difference(&found.get(0).unwrap(), &plain.get(0).unwrap(), None) < 1e-5,
            "{name}"
        );
        assert!(
            difference(&found.get(1).unwrap(), &shuffled.get(1).unwrap(), None) < 1e-5,
            "{name}"
        );

        let remove = Edit::RemovePositions { side };
        let found = logits(&model, &inputs, &mut edits(&model, [remove.into()]));
        let wanted = if name == "llama" {
            // Position 0 is no rotation.
            logits(&model, &with_ids(&[0; 5]), &mut ())
        } else {
            let table = if name == "gpt2" { "wpe" } else { "position_embeddings" };
            change(&weights, table, |table| table.zeros_like().unwrap());
            logits(&model, &inputs, &mut ())
        };
        assert!(difference(&found, &wanted, None) < 1e-5, "{name}");
    }
}

#[test]
fn removed_positions_of_a_stack_are_a_table_of_zeros() {
    for (name, encoder, decoder) in [
        ("bart", "encoder.embed_positions", "decoder.embed_positions"),
        ("mbart", "encoder.embed_positions", "decoder.embed_positions"),
        (
            "t5",
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias",
            "decoder.block.0.layer.0.SelfAttention.relative_attention_bias",
        ),
    ] {
        for (side, table) in [(Side::Encoder, encoder), (Side::Decoder, decoder)] {
            let ((model, weights), inputs) = (changeable(name), batch(name));
            let remove = Edit::RemovePositions { side };
            let found = logits(&model, &inputs, &mut edits(&model, [remove.into()]));
            let plain = logits(&model, &inputs, &mut ());
            change(&weights, table, |table| table.zeros_like().unwrap());
            let wanted = logits(&model, &inputs, &mut ());
            let allowed = 1e-5 * largest(&wanted).max(1.0);
            assert!(difference(&found, &wanted, None) < allowed, "{name} {side:?}");
            assert!(difference(&found, &plain, None) > 1e-3, "{name} {side:?}");
        }
    }
}

/// Positions that enter in two places are removed from both, and so are vectors of offsets.
#[test]
fn removed_positions_of_an_encoder_are_tables_of_zeros() {
    for (name, tables) in [
        ("mpnet", ["position_embeddings", "relative_attention_bias"]),
        (
            "deberta-v2",
            ["deberta.encoder.LayerNorm.weight", "deberta.encoder.LayerNorm.bias"],
        ),
    ] {
        let ((model, weights), inputs) = (changeable(name), batch(name));
        let remove = Edit::RemovePositions { side: Side::Encoder };
        let found = logits(&model, &inputs, &mut edits(&model, [remove.clone().into()]));
        let plain = logits(&model, &inputs, &mut ());
        let one = logits(&model, &inputs, &mut edits(&model, [remove.in_sequences(1)]));
        for table in tables {
            change(&weights, table, |table| table.zeros_like().unwrap());
        }
        let wanted = logits(&model, &inputs, &mut ());
        let allowed = 1e-5 * largest(&wanted).max(1.0);
        assert!(difference(&found, &wanted, None) < allowed, "{name}");
        assert!(difference(&found, &plain, None) > 1e-3, "{name}");
        // In one sequence only, the other as it was.
        for (sequence, wanted) in [(0, &plain), (1, &wanted)] {
            let gap = difference(&one.get(sequence).unwrap(), &wanted.get(sequence).unwrap(), None);
            assert!(gap < allowed, "{name} {sequence}");
        }
    }
}

/// An encoder whose positions are shuffled reads its tokens in that order, and hands the decoder the same set of states.
#[test]
fn shuffled_positions_of_a_source_are_a_shuffled_source() {
    let order = [3, 0, 5, 4, 1, 2];
    for name in FAMILIES {
        let (model, inputs) = (Model::load(&open(name)).unwrap(), batch(name));
        // That of Whisper is a sound.
        if inputs.decoder_input_ids.is_none() || inputs.input_ids.is_none() {
            continue;
        }
        let shuffle = Edit::ShufflePositions {
            side: Side::Encoder,
            order: order.to_vec(),
        };
        let found = logits(&model, &inputs, &mut edits(&model, [shuffle.clone().into()]));
        // The token at `at` is told that it stands at `order[at]`.
        let told: Vec<u32> = (0..6)
            .map(|place| order.iter().position(|&other| other == place).unwrap() as u32)
            .collect();
        let source = inputs.input_ids.as_ref().unwrap();
        let moved = Inputs {
            input_ids: Some(
                source
                    .index_select(&Tensor::new(told, &Device::Cpu).unwrap(), 1)
                    .unwrap(),
            ),
            ..inputs.clone()
        };
        let wanted = logits(&model, &moved, &mut ());
        let allowed = 2e-5 * largest(&wanted).max(1.0);
        assert!(difference(&found, &wanted, None) < allowed, "{name}");
        // In one sequence only, the other as it was.
        let plain = logits(&model, &inputs, &mut ());
        assert!(difference(&found, &plain, None) > 1e-3, "{name}");
        let found = logits(&model, &inputs, &mut edits(&model, [shuffle.in_sequences(1)]));
        for (sequence, wanted) in [(0, &plain), (1, &wanted)] {
            let gap = difference(&found.get(sequence).unwrap(), &wanted.get(sequence).unwrap(), None);
            assert!(gap < allowed, "{name} {sequence}");
        }
    }
}

/// A target of one token over and over looks the same from everywhere once the decoder does not know where it stands.
#[test]
fn a_decoder_without_positions_repeats_itself() {
    for name in FAMILIES {
        let (model, mut inputs) = (Model::load(&open(name)).unwrap(), batch(name));
        if inputs.decoder_input_ids.is_none() {
            continue;
        }
        inputs.decoder_input_ids = rows(&[[30; 5], [31; 5]]).input_ids;
        let spread = |logits: &Tensor| {
            let first = logits.narrow(1, 0, 1).unwrap().broadcast_as(logits.shape()).unwrap();
            difference(logits, &first.contiguous().unwrap(), None)
        };
        let remove = Edit::RemovePositions { side: Side::Decoder };
        let found = logits(&model, &inputs, &mut edits(&model, [remove.into()]));
        assert!(spread(&found) < 2e-5 * largest(&found).max(1.0), "{name}");
        // The same keys and values give the same state whatever their weights: T5 tells positions by weights alone.
        let plain = logits(&model, &inputs, &mut ());
        assert!(name == "t5" || spread(&plain) > 1e-3, "{name}");
    }
}

#[test]
fn patches_of_a_picture_lose_their_places() {
    let (model, weights) = changeable("vit");
    let (inputs, side) = (batch("vit"), Side::Encoder);
    let tokens = model.info().max_tokens.unwrap();
    // Everything but the class token back to front.
    let order: Vec<usize> = std::iter::once(0).chain((1..tokens).rev()).collect();
    let shuffle = Edit::ShufflePositions {
        side,
        order: order.clone(),
    };
    let found = logits(&model, &inputs, &mut edits(&model, [shuffle.into()]));
    let mut removed = edits(&model, [Edit::RemovePositions { side }.in_sequences(1)]);
    let batch = inputs.pixel_values.as_ref().unwrap().dim(0).unwrap();
    let partly = logits(&model, &inputs, &mut removed);
    let plain = logits(&model, &inputs, &mut ());

    let table = weights.variables()["vit.embeddings.position_embeddings"]
        .as_tensor()
        .copy()
        .unwrap();
    let order: Vec<u32> = order.into_iter().map(|token| token as u32).collect();
    let order = Tensor::new(order, &Device::Cpu).unwrap();
    change(&weights, "position_embeddings", |_| {
        table.index_select(&order, 1).unwrap()
    });
    assert!(difference(&found, &logits(&model, &inputs, &mut ()), None) < 1e-5);
    change(&weights, "position_embeddings", |_| table.zeros_like().unwrap());
    let without = logits(&model, &inputs, &mut ());
    for sequence in 0..batch {
        let wanted = if sequence == 1 { &without } else { &plain };
        assert!(difference(&partly.get(sequence).unwrap(), &wanted.get(sequence).unwrap(), None) < 1e-5);
    }
}
