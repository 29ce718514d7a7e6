use std::{ops::ControlFlow, sync::Mutex};

use attn_core::{
    CaptureWriter, ModelInfo, Sequence, Side, Token,
    capture::{CapturePlan, Slot},
    model::{AttentionInfo, LayerAttention, Mask, Positions},
};

use super::*;
use crate::{
    Error,
    head::{HeadCloud, SequenceRows, distance_correlation},
    metric::Cosine,
    quality::{QualityParams, quality},
    tsne::{Tsne, TsneParams},
};

const LENGTHS: [usize; 4] = [9, 14, 5, 12];

/// Two layers of two causal heads that share their keys, and one cross-attention.
pub(super) fn capture() -> Capture {
    capture_of(4)
}

/// The same with heads of another width.
pub(super) fn capture_of(head_dim: usize) -> Capture {
    capture_with(head_dim, |_| {}, 0.0)
}

/// The same vectors, whose self-attention is changed; the vectors of its offsets follow from `seed`.
pub(super) fn capture_with(head_dim: usize, change: impl Fn(&mut AttentionInfo), seed: f32) -> Capture {
    let layers = vec![LayerAttention::new(0.5, Mask::Causal); 2];
    let cross = vec![LayerAttention::new(0.5, Mask::Full); 2];
    let info = |attention, kv_heads, layers| AttentionInfo::new(attention, 2, head_dim, layers).with_kv_heads(kv_heads);
    let mut own = info(Attention::DecoderSelf, 1, layers);
    change(&mut own);
    let model = ModelInfo {
        name: "tiny".into(),
        family: "test".into(),
        hidden_size: 8,
        vocab_size: None,
        max_tokens: None,
        positions: Positions::None,
        attentions: vec![own, info(Attention::Cross, 2, cross)],
    };
    let tokens = |count: usize| {
        (0..count)
            .map(|position| Token {
                text: "x".into(),
                position,
                ..Token::default()
            })
            .collect::<Vec<_>>()
    };
    let sequences = LENGTHS.map(|length| Sequence {
        name: format!("{length}"),
        encoder: tokens(length / 2),
        decoder: tokens(length),
        ..Sequence::default()
    });
    let plan = CapturePlan::new(model, sequences.to_vec());
    let slots = plan.slots();
    let writer = CaptureWriter::in_memory(plan).unwrap();
    let mut rng = Rng::new(3, 3);
    for (sequence, length) in LENGTHS.into_iter().enumerate() {
        for &slot in &slots {
            let (heads, tokens) = match slot {
                Slot::Query { .. } => (2, length),
                Slot::Key { attention, .. } | Slot::Value { attention, .. } => {
                    if attention == Attention::Cross {
                        (2, length / 2)
                    } else {
                        (1, length)
                    }
                }
                _ => continue,
            };
            let values: Vec<f32> = (0..heads * tokens * head_dim).map(|_| rng.normal() as f32).collect();
            writer.write(slot, sequence, &values).unwrap();
        }
    }
    for table in writer.plan().tables() {
        // Of four buckets; keys are shared by both heads.
        let heads = if matches!(table, Slot::OffsetKey { .. }) { 1 } else { 2 };
        let values: Vec<f32> = (0..heads * 4 * head_dim).map(|at| (at as f32 + seed).sin()).collect();
        writer.write_table(table, &values).unwrap();
    }
    writer.commit(&[0, 1, 2, 3]).unwrap();
    writer.finish().unwrap()
}

pub(super) fn params() -> AtlasParams {
    let quick = TsneParams {
        exaggerated_iterations: 20,
        iterations: 20,
        ..TsneParams::default()
    };
    AtlasParams {
        method: Tsne::new(quick).unwrap().into(),
        seed: 4,
        ..AtlasParams::default()
    }
}

#[test]
fn a_head_is_its_steps_one_after_the_other() {
    let capture = capture();
    let head = HeadId::new(Attention::DecoderSelf, 1, 1);
    let made = project_head(&capture, head, &params(), &()).unwrap();
    let (queries, keys) = (capture.queries(head).unwrap(), capture.keys(head).unwrap());
    let ranges = [0..9, 9..23, 23..28, 28..40];
    let rows = ranges.map(|rows| SequenceRows {
        queries: rows.clone(),
        keys: rows,
    });
    let cloud = HeadCloud::new(queries.view(), keys.view(), &rows, Mask::Causal).unwrap();
    let normalization = Normalization::fit(&cloud, ScaleChoice::Plane, 0);
    let joint = normalization.apply(&cloud).unwrap();
    assert_eq!(made.normalization, normalization);
    assert_eq!(
        made.correlation,
        distance_correlation(&cloud, joint.view(), KeySet::Visible).unwrap()
    );
    assert_eq!((made.queries, made.embedding.points.dim()), (40, (80, 2)));
    let params = QualityParams::default();
    let score = quality(joint.view(), made.embedding.points.view(), Cosine, &params, &()).unwrap();
    assert_eq!(made.quality, Some(score));
    let norm = queries.rows().into_iter().map(|q| q.dot(&q).sqrt()).sum::<f32>() / 40.0;
    assert!((made.query_norm - norm).abs() < 1e-5);
}

#[test]
fn all_heads_on_any_number_of_threads() {
    let capture = capture();
    let heads: Vec<HeadId> = capture.model().heads().collect();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let streamed = Mutex::new(Vec::new());
        let collect = |head| streamed.lock().unwrap().push(head);
        pool.install(|| atlas(&capture, &params(), AtlasOptions::default(), &collect, &()).unwrap());
        streamed.into_inner().unwrap()
    };
    let mut one: Vec<HeadProjection> = on(1);
    let strengths: Vec<f32> = one.iter().map(|head| head.correlation.value.unwrap()).collect();
    // One head at once, the first of the model, then the best first.
    assert_eq!(one[0].head, heads[0]);
    assert!(strengths[1..].is_sorted(), "best first: {strengths:?}");
    one.sort_by_key(|head| head.head);
    assert_eq!(one.iter().map(|head| head.head).collect::<Vec<_>>(), heads);
    for threads in [2, 8] {
        let mut many = on(threads);
        many.sort_by_key(|head| head.head);
        assert_eq!(one, many);
    }
    assert_eq!(one[1], project_head(&capture, heads[1], &params(), &()).unwrap());
    // Cross-attention: decoder queries, encoder keys.
    let cross = one.last().unwrap();
    assert_eq!((cross.queries, cross.embedding.points.nrows()), (40, 40 + 19));
    assert!(serde_json::to_string(&one).unwrap().contains("\"trustworthiness\""));
}

#[test]
fn large_captures_are_cut_to_whole_sequences() {
    let capture = capture();
    let sequences = sequence_sample(&capture, Some(50), 4);
    let points: usize = sequences.iter().map(|&sequence| 2 * LENGTHS[sequence]).sum();
    assert!((28..=50).contains(&points), "{sequences:?}");
    let head = HeadId::new(Attention::DecoderSelf, 0, 0);
    let made = project_head(
        &capture,
        head,
        &AtlasParams {
            max_points: Some(50),
            ..params()
        },
        &(),
    )
    .unwrap();
    assert_eq!((made.queries, made.embedding.points.nrows()), (points / 2, points));
    // The norm is that of the chosen rows.
    let queries = capture.queries(head).unwrap();
    let rows = sequences
        .iter()
        .flat_map(|&sequence| capture.rows(sequence, Side::Decoder));
    let norm = rows
        .map(|row| queries.row(row).dot(&queries.row(row)).sqrt())
        .sum::<f32>()
        / (points / 2) as f32;
    assert!((made.query_norm - norm).abs() < 1e-5);
    assert_eq!(sequence_sample(&capture, Some(0), 4).len(), 1);
    assert_eq!(sequence_sample(&capture, None, 4), [0, 1, 2, 3]);
}

#[test]
fn cancelling_and_bad_input() {
    let capture = capture();
    let stop = |_: &str, done: usize, _: usize| {
        if done >= 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let stopped = atlas(&capture, &params(), AtlasOptions::default(), &|_| {}, &stop);
    assert!(stopped.unwrap_err().is_cancelled());
    let none = HeadId::new(Attention::EncoderSelf, 0, 0);
    let error = project_head(&capture, none, &params(), &()).unwrap_err();
    assert!(
        matches!(&error, Error::Head { head, source, .. } if *head == none && matches!(**source, Error::Core(_))),
        "{error}"
    );
}

/// A method that does not like heads whose first coordinate is large.
#[derive(Debug)]
struct Picky(f32);

impl crate::ProjectionMethod for Picky {
    fn name(&self) -> &str {
        "picky"
    }

    fn fit(&self, input: &crate::method::FitInput<'_>, _: &dyn Progress) -> Result<Embedding> {
        if input.points[[0, 0]] > self.0 {
            return Err(Error::method("picky", "too large"));
        }
        Ok(Embedding::new(Array2::zeros((
            input.points.nrows(),
            input.dims.count(),
        ))))
    }
}

#[test]
fn a_bad_head_ends_no_atlas_and_is_named() {
    let capture = capture();
    let with = |limit| AtlasParams {
        method: Picky(limit).into(),
        ..params()
    };
    let heads: Vec<HeadId> = capture.model().heads().collect();
    let first = |head: &HeadId| head_points(&capture, *head, &params()).unwrap().points[[0, 0]];
    let mut firsts: Vec<f32> = heads.iter().map(first).collect();
    firsts.sort_by(f32::total_cmp);
    let limit = firsts[firsts.len() - 2];
    for threads in [1, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let made = Mutex::new(Vec::new());
        let collect = |head: HeadProjection| made.lock().unwrap().push(head.head);
        let failures = pool.install(|| atlas(&capture, &with(limit), AtlasOptions::default(), &collect, &()).unwrap());
        assert_eq!((failures.len(), made.into_inner().unwrap().len()), (1, heads.len() - 1));
        let failed = failures[0].head;
        assert!(first(&failed) > limit);
        assert_eq!(
            failures[0].error.to_string(),
            format!("head {failed}: picky: too large")
        );
    }
    // If there is no other, it is the answer.
    let none = atlas(
        &capture,
        &with(f32::NEG_INFINITY),
        AtlasOptions::default(),
        &|_| {},
        &(),
    );
    assert!(matches!(none, Err(Error::Head { .. })));
}
