//! Attribution to tokens: against the reference's gradients, and whatever must not change the result.

use attn_core::Side;
use attn_models::{
    Error, Inputs, Model,
    attribute::{Baseline, Labels, Target, TokenScores, input_gradients, integrated_gradients, propagate_relevance},
    candle::{Device, Tensor},
};

use crate::support::{Tensors, difference, expected, fixture, inputs, largest, open, values};

/// Those whose checkpoints have a head that predicts tokens or a class.
pub(crate) const FAMILIES: [&str; 41] = [
    "albert",
    "bart",
    "bert",
    "bert-cls",
    "bloom",
    "cohere",
    "deberta-v2",
    "deit",
    "distilbert",
    "falcon",
    "falcon-alibi",
    "gemma",
    "gemma2",
    "gemma3",
    "gpt-neo",
    "gpt-neox",
    "gpt-oss",
    "gpt2",
    "gptj",
    "granite",
    "llama",
    "m2m100",
    "marian",
    "mbart",
    "mixtral",
    "modernbert",
    "mpnet",
    "mpt",
    "olmo2",
    "opt",
    "pegasus",
    "phi",
    "phi3",
    "qwen3",
    "qwen3-moe",
    "roberta",
    "smollm3",
    "starcoder2",
    "t5",
    "vit",
    "xlm-roberta",
];

/// The encoder-decoders among them, and their ids of padding.
pub(crate) const SEQUENCE_TO_SEQUENCE: [(&str, u32); 6] = [
    ("bart", 1),
    ("m2m100", 1),
    ("marian", 149),
    ("mbart", 1),
    ("pegasus", 0),
    ("t5", 0),
];

/// Gradients of the loss of an encoder-decoder, from the reference implementation.
pub(crate) fn gradients_of(name: &str) -> Tensors {
    attn_models::candle::safetensors::load(fixture(name).join("gradients.safetensors"), &Device::Cpu).unwrap()
}

/// The labels of a fixture as targets.
pub(crate) fn losses(expected: &Tensors) -> Vec<Target> {
    let labels = &expected["grad.labels"];
    let label = |label: i64| u32::try_from(label).ok();
    let labels: Vec<Labels> = match labels.rank() {
        1 => {
            let classes: Vec<i64> = labels.to_vec1().unwrap();
            classes
                .into_iter()
                .map(|class| Labels::Class(label(class).unwrap()))
                .collect()
        }
        _ => {
            let rows: Vec<Vec<i64>> = labels.to_vec2().unwrap();
            let rows = rows.into_iter().map(|row| row.into_iter().map(label).collect());
            rows.map(Labels::Tokens).collect()
        }
    };
    labels.into_iter().map(|labels| Target::Loss { labels }).collect()
}

pub(crate) fn of_pictures(name: &str) -> bool {
    expected(name).contains_key("px.in.pixel_values")
}

/// A target that any family has.
pub(crate) fn some_target(name: &str, sequence: usize) -> Target {
    if name == "bert-cls" || of_pictures(name) {
        return Target::Class(1);
    }
    Target::Token {
        position: 3 + sequence % 2,
        token: 17,
    }
}

pub(crate) fn some_inputs(name: &str) -> Inputs {
    let mut inputs = inputs(&expected(name), if of_pictures(name) { "px" } else { "pad" });
    inputs.position_ids = None;
    inputs
}

fn batch(inputs: &Inputs) -> usize {
    let first = inputs.input_ids.as_ref().or(inputs.pixel_values.as_ref());
    first.unwrap().dim(0).unwrap()
}

pub(crate) fn some_targets(name: &str) -> Vec<Target> {
    (0..batch(&some_inputs(name)))
        .map(|sequence| some_target(name, sequence))
        .collect()
}

/// All scores, sequence by sequence, the encoder's before the decoder's.
fn flat(scores: &[TokenScores]) -> Vec<f32> {
    let both = scores.iter().flat_map(|scores| [&scores.encoder, &scores.decoder]);
    both.flatten().copied().collect()
}

fn close(found: &[f32], wanted: &[f32], allowed: f32, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!(
            (found - wanted).abs() <= allowed,
            "{what}: {found} instead of {wanted} at {at}"
        );
    }
}

#[test]
fn gradients_agree_with_the_reference() {
    for name in ["bert", "bert-cls", "gpt2"] {
        let expected = expected(name);
        let model = Model::load(&open(name)).unwrap();
        let side = model.info().attentions[0].attention.query_side();
        let (inputs, targets) = (inputs(&expected, "grad"), losses(&expected));
        let found = input_gradients(&model, &inputs, &targets, &mut ()).unwrap();
        let wanted = |name: &str| values(&expected[&format!("grad.{name}")]);
        close(&found.values, &wanted("loss_per_example"), 1e-4, name);
        close(&values(&found.embeddings[&side]), &wanted("embeds"), 1e-6, name);
        close(&values(&found.gradients[&side]), &wanted("input_grad"), 1e-4, name);
        close(&flat(&found.lengths().unwrap()), &wanted("input_grad_l2"), 1e-4, name);
        close(
            &flat(&found.times_input().unwrap()),
            &wanted("input_x_grad"),
            1e-4,
            name,
        );
        // Against the scale of the numbers, too, and not only absolutely.
        let gap = difference(&found.gradients[&side], &expected["grad.input_grad"], None);
        assert!(
            gap < 1e-4 * largest(&expected["grad.input_grad"]).max(1e-2),
            "{name}: {gap}"
        );

        let zero = &Baseline::Zero;
        let found = integrated_gradients(&model, &inputs, &targets, zero, 32, &mut (), &()).unwrap();
        let scores: Vec<_> = found.iter().map(|found| found.scores.clone()).collect();
        close(&flat(&scores), &wanted("ig32_midpoint_zero_baseline"), 1e-4, name);

        let absolute = input_gradients(&model, &inputs, &targets, &mut ()).unwrap();
        for (signed, absolute) in flat(&absolute.times_input().unwrap())
            .into_iter()
            .zip(flat(&absolute.times_input_absolute().unwrap()))
        {
            assert!(signed.abs() <= absolute + 1e-6, "{name}");
        }
    }
}

#[test]
fn gradients_of_encoder_decoders_agree_with_the_reference() {
    for (name, _) in SEQUENCE_TO_SEQUENCE {
        let expected = gradients_of(name);
        let model = Model::load(&open(name)).unwrap();
        let (inputs, targets) = (inputs(&expected, "grad"), losses(&expected));
        let found = input_gradients(&model, &inputs, &targets, &mut ()).unwrap();
        let wanted = &expected["grad.loss_per_example"];
        close(&found.values, &values(wanted), 1e-4, name);
        let zero = &Baseline::Zero;
        let integrated = integrated_gradients(&model, &inputs, &targets, zero, 32, &mut (), &()).unwrap();
        for (side, stack) in [(Side::Encoder, "encoder"), (Side::Decoder, "decoder")] {
            let what = format!("{name} {stack}");
            let wanted = |name: &str| &expected[&format!("grad.{stack}.{name}")];
            assert!(
                difference(&found.embeddings[&side], wanted("embeds"), None) < 1e-5,
                "{what}"
            );
            let gap = difference(&found.gradients[&side], wanted("input_grad"), None);
            let scale = largest(wanted("input_grad"));
            assert!(gap < 1e-4 * scale.min(1.0), "{what}: {gap}, {scale}");
            let scores: Vec<f32> = integrated
                .iter()
                .flat_map(|found| found.scores.side(side).to_vec())
                .collect();
            let wanted = wanted("ig32_midpoint_zero_baseline");
            close(&scores, &values(wanted), 1e-4 * largest(wanted).max(1.0), &what);
        }
    }
}

/// Every method's scores for a batch, sequence by sequence.
fn everything(model: &Model, inputs: &Inputs, targets: &[Target]) -> Vec<Vec<TokenScores>> {
    let gradients = input_gradients(model, inputs, targets, &mut ()).unwrap();
    let integrated = integrated_gradients(model, inputs, targets, &Baseline::Zero, 20, &mut (), &()).unwrap();
    let relevance = propagate_relevance(model, inputs, targets, 1e-6, &mut ()).unwrap();
    vec![
        gradients.times_input().unwrap(),
        gradients.times_input_absolute().unwrap(),
        gradients.lengths().unwrap(),
        integrated.into_iter().map(|found| found.scores).collect(),
        relevance.into_iter().map(|found| found.tokens).collect(),
    ]
}

#[test]
fn scores_do_not_depend_on_the_batch() {
    let texts: [&[u32]; 3] = [&[2, 40, 41, 42, 3], &[2, 60, 7, 80, 9, 31, 12, 3], &[2, 5, 3]];
    for name in ["bert", "bert-cls", "gpt2", "llama"] {
        let model = Model::load(&open(name)).unwrap();
        let target = |offset: usize| match name {
            "bert-cls" => Target::Class(0),
            _ => Target::Token {
                position: offset + 1,
                token: 17,
            },
        };
        let side = model.info().attentions[0].attention.query_side();
        let right = Inputs::from_ids(&texts.map(<[u32]>::to_vec), 0).unwrap();
        let from_left = |value: &dyn Fn(&[u32], usize, usize) -> u32| {
            let rows: Vec<u32> = texts
                .iter()
                .flat_map(|ids| (0..8).map(move |at| (ids, at)))
                .map(|(ids, at)| value(ids, 8 - ids.len(), at))
                .collect();
            Some(Tensor::from_vec(rows, (3, 8), &Device::Cpu).unwrap())
        };
        let left = Inputs {
            input_ids: from_left(&|ids, start, at| if at < start { 0 } else { ids[at - start] }),
            attention_mask: from_left(&|_, start, at| u32::from(at >= start)),
            position_ids: from_left(&|_, start, at| at.saturating_sub(start) as u32),
            ..Inputs::default()
        };
        let in_right = everything(&model, &right, &[target(0), target(0), target(0)]);
        let in_left = everything(&model, &left, &texts.map(|ids| target(8 - ids.len())));
        for (sequence, ids) in texts.iter().enumerate() {
            let alone = everything(&model, &Inputs::from_ids(&[ids.to_vec()], 0).unwrap(), &[target(0)]);
            for (method, alone) in alone.iter().enumerate() {
                let alone = alone[0].side(side);
                let what = format!("{name}, method {method}, sequence {sequence}");
                let padded = in_right[method][sequence].side(side);
                let allowed = 1e-4 * alone.iter().fold(0.01_f32, |a, b| a.max(b.abs()));
                close(&padded[..ids.len()], alone, allowed, &what);
                assert!(padded[ids.len()..].iter().all(|&score| score == 0.0), "{what}");
                // The classifier reads the first place of the row, which padding on the left takes.
                if name != "bert-cls" {
                    let padded = in_left[method][sequence].side(side);
                    let start = 8 - ids.len();
                    close(&padded[start..], alone, allowed, &what);
                    assert!(padded[..start].iter().all(|&score| score == 0.0), "{what}");
                }
            }
        }
    }
}

/// As above, for sources and targets that are padded each by their own measure.
#[test]
fn scores_of_encoder_decoders_do_not_depend_on_the_batch() {
    let sources: [&[u32]; 3] = [&[40, 41, 42, 3], &[60, 7, 80, 9, 31, 12, 3], &[5, 3]];
    let targets: [&[u32]; 3] = [&[2, 30, 31, 32, 33, 34], &[2, 50], &[2, 21, 22, 23]];
    let target = Target::Token { position: 1, token: 17 };
    // Rows padded to a length, and their mask.
    let padded = |rows: [&[u32]; 3], padding: u32, length: usize, left: bool| {
        let start = |row: &[u32]| if left { length - row.len() } else { 0 };
        let at = |row: &[u32], at: usize| at.checked_sub(start(row)).and_then(|at| row.get(at).copied());
        let tensor = |value: &dyn Fn(Option<u32>) -> u32| {
            let all = rows.iter().flat_map(|row| (0..length).map(move |place| at(row, place)));
            let all: Vec<u32> = all.map(value).collect();
            Some(Tensor::from_vec(all, (3, length), &Device::Cpu).unwrap())
        };
        (
            tensor(&|id| id.unwrap_or(padding)),
            tensor(&|id| u32::from(id.is_some())),
        )
    };
    for (name, padding) in SEQUENCE_TO_SEQUENCE {
        let model = Model::load(&open(name)).unwrap();
        // Positions that count every token of a source are others behind padding.
        let sides: &[bool] = match name {
            "m2m100" | "t5" => &[false, true],
            _ => &[false],
        };
        for &left in sides {
            let (input_ids, attention_mask) = padded(sources, padding, 7, left);
            let (decoder_input_ids, decoder_attention_mask) = padded(targets, padding, 6, false);
            let batch = Inputs {
                input_ids,
                attention_mask,
                decoder_input_ids,
                decoder_attention_mask,
                ..Inputs::default()
            };
            let together = everything(&model, &batch, std::slice::from_ref(&target));
            for (sequence, (source, wanted)) in sources.iter().zip(targets).enumerate() {
                let alone = Inputs {
                    decoder_input_ids: Inputs::from_ids(&[wanted.to_vec()], padding).unwrap().input_ids,
                    ..Inputs::from_ids(&[source.to_vec()], padding).unwrap()
                };
                let alone = everything(&model, &alone, std::slice::from_ref(&target));
                for (method, alone) in alone.iter().enumerate() {
                    let what = format!("{name}, method {method}, sequence {sequence}, left {left}");
                    let (alone, found) = (&alone[0], &together[method][sequence]);
                    let largest = flat(std::slice::from_ref(alone))
                        .iter()
                        .fold(0.01_f32, |a, b| a.max(b.abs()));
                    let start = if left { 7 - source.len() } else { 0 };
                    let (before, rest) = found.encoder.split_at(start);
                    let (real, after) = rest.split_at(source.len());
                    let (written, unwritten) = found.decoder.split_at(wanted.len());
                    close(real, &alone.encoder, 1e-4 * largest, &what);
                    close(written, &alone.decoder, 1e-4 * largest, &what);
                    let padding = before.iter().chain(after).chain(unwritten);
                    assert!(padding.copied().all(|score| score == 0.0), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_contrast_is_the_difference_of_its_two_sides() {
    for name in FAMILIES {
        let model = Model::load(&open(name)).unwrap();
        let inputs = some_inputs(name);
        let (this, other) = match some_target(name, 0) {
            Target::Token { position, .. } => (
                Target::Token { position, token: 21 },
                Target::Token { position, token: 30 },
            ),
            _ => (Target::Class(1), Target::Class(0)),
        };
        let of = |target: Target| everything(&model, &inputs, &[target]);
        let (a, b, both) = (of(this.clone()), of(other.clone()), of(this.minus(other)));
        // Absolute values and lengths do not add up.
        for method in [0, 3, 4] {
            let (a, b) = (flat(&a[method]), flat(&b[method]));
            let largest = a
                .iter()
                .chain(&b)
                .fold(1.0_f32, |largest, score| largest.max(score.abs()));
            let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
            close(
                &flat(&both[method]),
                &difference,
                2e-5 * largest,
                &format!("{name}, method {method}"),
            );
        }
    }
}

#[test]
fn questions_a_model_cannot_answer_are_refused() {
    let text = Model::load(&open("gpt2")).unwrap();
    let classes = Model::load(&open("bert-cls")).unwrap();
    let inputs = Inputs::from_ids(&[vec![2, 5, 3]], 0).unwrap();
    let token = |position, token| Target::Token { position, token };
    let loss = |labels| Target::Loss { labels };
    let tokens = |labels: Vec<Option<u32>>| loss(Labels::Tokens(labels));
    for (model, targets, message) in [
        (&text, vec![Target::Class(0)], "a token: the model predicts tokens"),
        (&text, vec![token(3, 0)], "a position below 3"),
        (&text, vec![token(0, 100_000)], "token 100000 at position 0"),
        (&text, vec![token(0, 0); 2], "input `targets`"),
        (&text, vec![tokens(vec![None; 2])], "3 labels, found 2"),
        // The first label has nothing before it.
        (
            &text,
            vec![tokens(vec![Some(1), None, None])],
            "at least one label that counts",
        ),
        (
            &classes,
            vec![token(0, 0)],
            "a class: the model predicts one class per sequence",
        ),
        (&classes, vec![Target::Class(7)], "a class below"),
        (&classes, vec![loss(Labels::Class(9))], "labels below"),
        (&classes, vec![tokens(vec![Some(1)])], "expected a class"),
        (&classes, vec![loss(Labels::Set(vec![true; 7]))], "labels, found 7"),
        (
            &classes,
            vec![loss(Labels::Numbers(vec![1.0]))],
            "numbers, one per output",
        ),
        (&text, vec![loss(Labels::Class(1))], "expected tokens"),
    ] {
        let error = input_gradients(model, &inputs, &targets, &mut ()).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
    let zero = &Baseline::Zero;
    let error = integrated_gradients(&text, &inputs, &[token(0, 0)], zero, 0, &mut (), &()).unwrap_err();
    assert!(matches!(error, Error::Input { name: "steps", .. }), "{error}");
    let error = propagate_relevance(&text, &inputs, &[token(0, 0)], -1.0, &mut ()).unwrap_err();
    assert!(matches!(error, Error::Input { name: "epsilon", .. }), "{error}");
    let shorter = Baseline::Inputs(Box::new(Inputs::from_ids(&[vec![2, 5]], 0).unwrap()));
    let error = integrated_gradients(&text, &inputs, &[token(0, 0)], &shorter, 10, &mut (), &()).unwrap_err();
    assert!(matches!(error, Error::Input { name: "baseline", .. }), "{error}");
    let stop = |_: &str, done: usize, _: usize| {
        if done == 2 {
            std::ops::ControlFlow::Break(())
        } else {
            std::ops::ControlFlow::Continue(())
        }
    };
    let error = integrated_gradients(&text, &inputs, &[token(0, 0)], zero, 10, &mut (), &stop).unwrap_err();
    assert!(error.is_cancelled(), "{error}");
}
