//! attn-models alone: queries, keys, attention and hidden states of a checkpoint as arrays, and an ablation.
//!
//! ```sh
//! cargo run --release -p attn-models --example models_alone -- bert-base-uncased
//! ```

#![allow(clippy::print_stdout, reason = "a command-line program")]

use attn_models::{
    Capturer, Checkpoint, Inputs,
    attn_core::{HeadId, capture::CaptureOptions, ndarray::Array3},
    intervene::{Edit, Interventions},
    to_array,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A folder as published: config.json, model.safetensors, tokenizer.json.
    let folder = std::env::args().nth(1);
    let checkpoint = Checkpoint::open(folder.as_deref().unwrap_or("tests/fixtures/bert"))?;
    let options = CaptureOptions {
        hidden: true,
        ..CaptureOptions::default()
    };
    let capturer = Capturer::load(&checkpoint)?.with_options(options);
    let capture = capturer.capture_lines(["The cat sat on the mat.", "She sells sea shells."])?;

    // Rows are the tokens of all sequences, one sequence after the other.
    let head = capture.model().heads().last().ok_or("a model without heads")?;
    let HeadId { attention, layer, .. } = head;
    println!("queries of {head}: {:?}", capture.queries(head)?.dim());
    println!("keys of {head}: {:?}", capture.keys(head)?.dim());
    let states = capture.hidden(attention.query_side(), layer + 1)?;
    println!("hidden states after layer {layer}: {:?}", states.dim());
    let weights = capture.layer_attention(attention, layer, 0)?;
    println!("attention [head, query, key] of line 1: {:?}", weights.dim());

    // The first line once more, with the head and without it.
    let (model, tokenizer) = (capturer.model(), capturer.tokenizer().ok_or("no tokenizer")?);
    let ids = tokenizer.encode("The cat sat on the mat.", model.info())?.ids();
    let inputs = Inputs::from_ids(&[ids], 0)?;
    let ablate = Edit::HeadMask {
        heads: head.into(),
        factor: 0.0,
    };
    let mut tap = Interventions::new(model.info(), [ablate.into()])?;
    let intact: Array3<f32> = to_array(&model.forward(&inputs, &mut ())?.last_hidden)?;
    let ablated: Array3<f32> = to_array(&model.forward(&inputs, &mut tap)?.last_hidden)?;
    let most = (intact - ablated)
        .iter()
        .fold(0.0_f32, |most, change| most.max(change.abs()));
    println!("ablated, a state changes by up to {most:.3}");
    Ok(())
}
