//! Which sequence and which token an edit is about: in padded batches, and in captures of many batches.

use attn_core::{Attention, HeadId, Side};
use attn_models::{
    Capturer, Inputs, Model, Point, Site,
    candle::Tensor,
    intervene::{Edit, Heads, Selection},
};

use crate::{
    edits::edits,
    support::{difference, largest, open},
};

/// A sequence is edited alike alone and in a batch, padded on either side: tokens are counted over real ones.
#[test]
fn edits_count_real_tokens() {
    for (name, left) in [
        ("llama", true),
        ("llama", false),
        ("qwen3", true),
        ("gpt2", false),
        ("bert", false),
        ("t5", false),
    ] {
        let model = Model::load(&open(name)).unwrap();
        let translates = model.info().attention(Attention::Cross).is_some();
        let texts: [Vec<u32>; 2] = [vec![5, 60, 7, 80, 9, 33, 12], vec![11, 12, 13, 14]];
        let inputs = |texts: &[Vec<u32>]| {
            let longest = texts.iter().map(Vec::len).max().unwrap();
            // What a column holds, given the place and the id of its token.
            let padded = |value: &dyn Fn(Option<(usize, u32)>) -> u32| {
                let row = |text: &Vec<u32>| {
                    let before = if left { longest - text.len() } else { 0 };
                    let token = |at: usize| {
                        let place = at.checked_sub(before)?;
                        Some((place, *text.get(place)?))
                    };
                    (0..longest).map(|at| value(token(at))).collect::<Vec<u32>>()
                };
                Inputs::from_ids(&texts.iter().map(row).collect::<Vec<_>>(), 0)
                    .unwrap()
                    .input_ids
            };
            let places = padded(&|token| token.map_or(0, |(place, _)| place as u32));
            Inputs {
                input_ids: padded(&|token| token.map_or(0, |(_, id)| id)),
                attention_mask: padded(&|token| u32::from(token.is_some())),
                // Noise on a rotated key is noise at a place.
                position_ids: places.filter(|_| left),
                decoder_input_ids: translates
                    .then(|| {
                        Inputs::from_ids(&vec![vec![0, 30, 31, 32]; texts.len()], 0)
                            .unwrap()
                            .input_ids
                    })
                    .flatten(),
                ..Inputs::default()
            }
        };
        let attention = model.info().attentions[0].attention;
        let heads = |head: usize| Heads::new(attention, 0, head);
        let width = model.info().hidden_size;
        let side = attention.query_side();
        let list: Vec<Edit> = vec![
            Edit::AttentionRow {
                heads: heads(0),
                query: 2,
                weights: vec![0.25, 0.0, 0.75],
                renormalize: false,
            },
            Edit::KnockOut {
                heads: heads(1),
                queries: 3.into(),
                keys: Selection::from([0, 1]),
            },
            Edit::KnockOutEdges {
                heads: heads(2),
                edges: vec![[2, 0], [3, 1]],
            },
            Edit::AttentionCells {
                heads: heads(3),
                queries: Selection::from([1, 3]),
                keys: 0.into(),
                weight: 0.5,
                renormalize: true,
            },
            Edit::Add {
                site: Site::hidden(side, 1),
                heads: Selection::All,
                tokens: Selection::from([1, 3]),
                vector: (0..width).map(|i| (i as f32).sin()).collect(),
                scale: 1.0,
            },
            Edit::Noise {
                site: Site::new(attention, 1, Point::Key),
                heads: Selection::All,
                tokens: Selection::All,
                scale: 0.5,
                seed: 4,
            },
            Edit::ShufflePositions {
                side,
                order: vec![2, 0, 1],
            },
        ];
        let batch = inputs(&texts);
        let together = model
            .forward(&batch, &mut edits(&model, list.clone().into_iter().map(Into::into)))
            .unwrap();
        let plain = model.forward(&batch, &mut ()).unwrap();
        for (row, text) in texts.iter().enumerate() {
            let alone = inputs(std::slice::from_ref(text));
            let alone = model
                .forward(&alone, &mut edits(&model, list.clone().into_iter().map(Into::into)))
                .unwrap();
            let alone = alone.last_hidden.get(0).unwrap();
            let (first, length) = match (translates, left) {
                (true, _) => (0, 4),
                (false, true) => (7 - text.len(), text.len()),
                (false, false) => (0, text.len()),
            };
            let part = |tensor: &Tensor| tensor.get(row).unwrap().narrow(0, first, length).unwrap();
            let gap = difference(&part(&together.last_hidden), &alone, None);
            assert!(gap < 2e-4 * largest(&alone), "{name} {left} {row}: {gap}");
            let effect = difference(&part(&plain.last_hidden), &alone, None);
            assert!(effect > 1e-2 * largest(&alone), "{name} {left} {row}: {effect}");
        }
        // Token 5 is there in the first sequence only.
        let beyond = |sequence: usize| {
            let scale = Edit::Scale {
                site: Site::mlp(side, 0),
                heads: Selection::All,
                tokens: 5.into(),
                factor: 0.0,
            };
            model.forward(&batch, &mut edits(&model, [scale.in_sequences(sequence)]))
        };
        beyond(0).unwrap();
        let error = beyond(1).unwrap_err().to_string();
        assert!(error.contains("tokens from 0 to 3, found token 5"), "{error}");
    }
}

/// Sequences are counted over a capture, however it is batched; a token that a sequence does not have is not changed.
#[test]
fn sequences_of_a_capture_are_edited_in_whatever_batch() {
    let lines = [
        "The cat sat on the mat.",
        "She sells sea shells",
        "The",
        "Heads look at the first token, he said.",
    ];
    let site = Site::new(Attention::DecoderSelf, 0, Point::HeadOutput);
    let edit = |tokens: Selection| Edit::Scale {
        site,
        heads: 1.into(),
        tokens,
        factor: 0.0,
    };
    let load = || Capturer::load(&open("gpt2")).unwrap().with_batch_tokens(12);
    let keys = |capturer: &Capturer| {
        let capture = capturer.capture_lines(lines).unwrap();
        let all = capture
            .keys(HeadId::new(Attention::DecoderSelf, 1, 0))
            .unwrap()
            .to_owned();
        let rows = capture.sequences().iter().map(|sequence| sequence.decoder.len());
        let mut first = 0;
        rows.map(|count| {
            first += count;
            all.slice(attn_core::ndarray::s![first - count..first, ..]).to_owned()
        })
        .collect::<Vec<_>>()
    };
    let plain = keys(&load());
    let everywhere = keys(&load().with_interventions(vec![edit(Selection::All).into()]));
    let one = keys(&load().with_interventions(vec![edit(Selection::All).in_sequences(3)]));
    let late = keys(&load().with_interventions(vec![edit(6.into()).into()]));
    let gap = |a: &attn_core::ndarray::Array2<f32>, b: &attn_core::ndarray::Array2<f32>| {
        (a - b).iter().fold(0.0_f32, |most, gap| most.max(gap.abs()))
    };
    for sequence in 0..lines.len() {
        let wanted = if sequence == 3 {
            &everywhere[3]
        } else {
            &plain[sequence]
        };
        assert!(gap(&one[sequence], wanted) < 1e-5, "{sequence}");
        assert!(gap(&plain[sequence], &everywhere[sequence]) > 1e-3, "{sequence}");
        // In a causal model a token changes no state before it.
        let changed: Vec<bool> = (late[sequence].rows().into_iter().zip(plain[sequence].rows()))
            .map(|(a, b)| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-5))
            .collect();
        assert_eq!(
            changed.iter().position(|&changed| changed),
            (changed.len() > 6).then_some(6),
            "{sequence}"
        );
    }
}

/// The facts of a model do not tell which layers route and which rotate: a pass does.
#[test]
fn sites_that_a_model_never_comes_by_are_refused() {
    for (name, site, there) in [
        ("mixtral", Site::router(Side::Decoder, 0), true),
        ("llama", Site::router(Side::Decoder, 0), false),
        ("bert", Site::router(Side::Encoder, 1), false),
        // Every fourth layer does not rotate.
        (
            "smollm3",
            Site::new(Attention::DecoderSelf, 2, Point::QueryBeforeRotation),
            true,
        ),
        (
            "smollm3",
            Site::new(Attention::DecoderSelf, 3, Point::QueryBeforeRotation),
            false,
        ),
        (
            "smollm3",
            Site::new(Attention::DecoderSelf, 3, Point::KeyBeforeRotation),
            false,
        ),
    ] {
        let model = Model::load(&open(name)).unwrap();
        let edit = Edit::Scale {
            site,
            heads: Selection::All,
            tokens: Selection::All,
            factor: 0.5,
        };
        let mut tap = edits(&model, vec![edit.into()]);
        let inputs = Inputs::from_ids(&[vec![5, 6, 7]], 0).unwrap();
        match model.forward(&inputs, &mut tap) {
            Ok(_) => assert!(there, "{name} {site}"),
            Err(error) => {
                let message = error.to_string();
                assert!(!there && message.contains(&site.to_string()), "{name}: {message}");
                assert!(message.contains("intervention 0 (scale)"), "{message}");
            }
        }
    }
}

/// Without any key the sink takes all of a row; a row without a sink would see everything alike, and is refused.
#[test]
fn a_row_may_be_left_to_its_sink() {
    let inputs = Inputs::from_ids(&[vec![5, 6, 7]], 0).unwrap();
    let attention = Attention::DecoderSelf;
    let heads = || Heads::new(attention, 1, 0);
    let all = || Selection::from([0, 1, 2]);
    let knocked = || Edit::KnockOut {
        heads: heads(),
        queries: 2.into(),
        keys: all(),
    };
    let edges = Edit::KnockOutEdges {
        heads: heads(),
        edges: vec![[2, 0], [2, 1], [2, 2]],
    };
    let model = Model::load(&open("gpt-oss")).unwrap();
    for edit in [knocked(), edges] {
        let mut tap = edits(&model, vec![edit.into()]);
        let mut recorder = attn_models::record::Recorder::of(&[Point::Attention, Point::HeadOutput]);
        model.forward(&inputs, &mut (&mut tap, &mut recorder)).unwrap();
        let site = |point| Site::new(attention, 1, point);
        let rows = recorder.tensors[&site(Point::Attention)]
            .get(0)
            .unwrap()
            .to_vec3::<f32>()
            .unwrap();
        assert_eq!(rows[0][2], [0.0; 3]);
        assert!(rows[0][1].iter().sum::<f32>() > 0.0 && rows[1][2].iter().sum::<f32>() > 0.0);
        let output = recorder.tensors[&site(Point::HeadOutput)]
            .get(0)
            .unwrap()
            .to_vec3::<f32>()
            .unwrap();
        assert!(output[2][0].iter().all(|&value| value == 0.0));
    }
    let model = Model::load(&open("llama")).unwrap();
    let error = model
        .forward(&inputs, &mut edits(&model, vec![knocked().into()]))
        .unwrap_err()
        .to_string();
    assert!(error.contains("at least one key left"), "{error}");
}
