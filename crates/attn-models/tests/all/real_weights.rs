//! Third-party checkpoints: they load, and what they compute makes sense.

use attn_models::{Capturer, Checkpoint, Gradients, Inputs, Model, Tokenizer, candle::D};

use crate::support::{third_party, values};

/// Continues a sequence with the likeliest token, by running it again each time.
fn greedy(model: &Model, mut ids: Vec<u32>, count: usize) -> Vec<u32> {
    for _ in 0..count {
        let logits = model
            .forward(&Inputs::from_ids(&[ids.clone()], 0).unwrap(), &mut ())
            .unwrap()
            .logits
            .unwrap();
        let last = logits.narrow(1, ids.len() - 1, 1).unwrap().flatten_all().unwrap();
        ids.push(last.argmax(D::Minus1).unwrap().to_scalar::<u32>().unwrap());
    }
    ids
}

fn load(name: &str) -> Option<(Model, Option<Tokenizer>)> {
    let checkpoint = Checkpoint::open(third_party(name)?).unwrap();
    let described = checkpoint.describe();
    assert!(
        described.problems.is_empty() && described.unused.is_empty() && described.missing.is_empty(),
        "{described:?}"
    );
    let tokenizer = checkpoint.has_tokenizer().then(|| checkpoint.tokenizer().unwrap());
    Some((Model::load(&checkpoint).unwrap(), tokenizer))
}

#[test]
fn stories_are_english() {
    let Some((model, Some(tokenizer))) = load("stories260k") else {
        return;
    };
    let start = tokenizer.encode("Once upon a time", model.info()).unwrap().ids();
    let story = tokenizer.decode(&greedy(&model, start, 40)).unwrap();
    eprintln!("{story}");
    assert!(story.starts_with("Once upon a time, there was a little"), "{story}");
}

#[test]
fn digits_are_sorted() {
    let Some((model, None)) = load("sort-gpt2") else { return };
    for digits in [
        [2, 0, 1, 0, 2, 1],
        [0, 0, 2, 1, 0, 1],
        [2, 2, 2, 1, 0, 0],
        [1, 0, 1, 0, 1, 0],
    ] {
        let mut sorted = digits;
        sorted.sort_unstable();
        // The model sees 11 tokens at most: the sixth answer follows from the eleven before it.
        assert_eq!(greedy(&model, digits.to_vec(), 6)[6..], sorted, "{digits:?}");
    }
}

#[test]
fn similar_sentences_have_similar_embeddings() {
    let Some((model, Some(tokenizer))) = load("all-minilm-l6-v2") else {
        return;
    };
    assert!(model.info().attentions[0].heads == 12 && model.info().attentions[0].layers.len() == 6);
    let embed = |text: &str| -> Vec<f32> {
        let ids = tokenizer.encode(text, model.info()).unwrap().ids();
        let output = model.forward(&Inputs::from_ids(&[ids], 0).unwrap(), &mut ()).unwrap();
        assert!(output.logits.is_none() && output.pooled.is_some());
        let mean = values(&output.last_hidden.mean(1).unwrap());
        let norm = mean.iter().map(|v| v * v).sum::<f32>().sqrt();
        mean.iter().map(|v| v / norm).collect()
    };
    let similarity = |a: &str, b: &str| -> f32 { embed(a).iter().zip(embed(b)).map(|(a, b)| a * b).sum() };
    let near = similarity("A man is eating food.", "A man is eating a piece of bread.");
    let far = similarity("A man is eating food.", "The girl is carrying a baby.");
    eprintln!("{near} {far}");
    assert!(near > 0.6 && far < 0.3, "{near} {far}");
}

#[test]
fn molecules_are_written() {
    let Some((model, Some(tokenizer))) = load("chem-gpt2") else {
        return;
    };
    let begin = tokenizer.id("<BOS>").unwrap();
    let end = tokenizer.id("<EOS>").unwrap();
    let ids = greedy(&model, vec![begin], 60);
    let length = ids.iter().position(|&id| id == end).expect("it ends");
    let molecule = tokenizer.decode(&ids[..length]).unwrap().replace(' ', "");
    eprintln!("{molecule}");
    // Brackets are balanced and ring bonds come in pairs: the grammar of SMILES.
    assert_eq!(molecule.matches('(').count(), molecule.matches(')').count());
    for ring in "123456".chars() {
        assert_eq!(molecule.matches(ring).count() % 2, 0, "{molecule}");
    }
}

#[test]
fn masked_atoms_of_reactions_are_found() {
    let Some(path) = third_party("rxn-albert") else { return };
    let checkpoint = Checkpoint::open(&path).unwrap();
    let described = checkpoint.describe();
    assert!(
        described.problems.is_empty() && described.missing.is_empty(),
        "{described:?}"
    );
    // Stored with a pooler, which predicting words does without, and with its tied map twice.
    let unused = [
        "albert.pooler.bias",
        "albert.pooler.weight",
        "predictions.decoder.weight",
    ];
    assert_eq!(described.unused, unused);
    let (model, tokenizer) = (Model::load(&checkpoint).unwrap(), checkpoint.tokenizer().unwrap());
    // Twelve passes through one layer.
    assert_eq!(model.info().attentions[0].layers.len(), 12);
    let reactions = std::fs::read_to_string(path.join("reactions.txt")).unwrap();
    let mask = tokenizer.id("[MASK]").unwrap();
    let (mut found, mut asked) = (0, 0);
    for reaction in reactions.lines().take(2) {
        let ids = tokenizer.encode(reaction, model.info()).unwrap().ids();
        for at in (2..ids.len() - 1).step_by(9) {
            let mut masked = ids.clone();
            masked[at] = mask;
            let inputs = Inputs::from_ids(&[masked], 0).unwrap();
            let logits = model.forward(&inputs, &mut ()).unwrap().logits.unwrap();
            let there = logits.narrow(1, at, 1).unwrap().flatten_all().unwrap();
            found += usize::from(there.argmax(D::Minus1).unwrap().to_scalar::<u32>().unwrap() == ids[at]);
            asked += 1;
        }
    }
    eprintln!("{found} of {asked}");
    // The commonest token, a carbon of a ring, is a third of all.
    assert!(found * 10 > asked * 8, "{found} of {asked}");
}

#[test]
fn a_gray_digit_is_classified() {
    let Some(path) = third_party("vit-mnist") else { return };
    let checkpoint = Checkpoint::open(path).unwrap();
    let capturer = Capturer::load(&checkpoint).unwrap();
    let model = capturer.model();
    assert_eq!(model.labels(), ["0", "1", "2"]);
    let vision = model.vision().unwrap();
    assert_eq!((vision.channels, vision.rows, vision.columns), (1, 4, 4));
    // A vertical stroke and a ring, drawn in white on black as in the training data.
    let one = image::GrayImage::from_fn(28, 28, |x, y| {
        image::Luma([if (13..=15).contains(&x) && (5..23).contains(&y) {
            255
        } else {
            0
        }])
    });
    let zero = image::GrayImage::from_fn(28, 28, |x, y| {
        let (dx, dy) = ((f64::from(x) - 14.0) / 6.0, (f64::from(y) - 14.0) / 8.5);
        image::Luma([if ((dx * dx + dy * dy).sqrt() - 1.0).abs() < 0.2 {
            255
        } else {
            0
        }])
    });
    let pixels = checkpoint
        .image_processor()
        .unwrap()
        .batch(&[one.into(), zero.into()], &vision)
        .unwrap();
    let logits = model
        .forward(&Inputs::from_pixels(pixels), &mut ())
        .unwrap()
        .logits
        .unwrap();
    let classes: Vec<u32> = logits.argmax(D::Minus1).unwrap().to_vec1().unwrap();
    assert_eq!(classes, [1, 0]);
}

#[test]
fn the_same_numbers_with_and_without_gradients() {
    let Some((model, Some(tokenizer))) = load("stories260k") else {
        return;
    };
    let ids = tokenizer
        .encode("Lily and Tom went to the park.", model.info())
        .unwrap()
        .ids();
    let inputs = Inputs::from_ids(&[ids], 0).unwrap();
    let fused = values(&model.forward(&inputs, &mut ()).unwrap().logits.unwrap());
    let composed = values(
        &model
            .with_gradients(Gradients::On)
            .forward(&inputs, &mut ())
            .unwrap()
            .logits
            .unwrap(),
    );
    let scale = fused.iter().map(|v| v.abs()).fold(0.0, f32::max);
    assert!(fused.iter().zip(&composed).all(|(a, b)| (a - b).abs() < 1e-5 * scale));
}
