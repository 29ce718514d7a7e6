//! Captures of scores that are more than products: what is stored for them, and what is wrong with what does not fit.

use super::*;
use crate::scores::{Alibi, RelativeVectors, ScorePart};

const BUCKETS: usize = 4;

/// The plan of two heads that share a key, with every part that scores can have.
fn terms() -> CapturePlan {
    let layer = LayerAttention {
        soft_cap: Some(1.5),
        sinks: Some(vec![0.25, -1.0]),
        ..LayerAttention::new(0.5, Mask::Local { width: 1 })
    };
    let info = AttentionInfo {
        alibi: Some(Alibi::of_heads(2)),
        relative_vectors: Some(RelativeVectors {
            buckets: BUCKETS,
            exact: 2,
            max_distance: 2,
            keys: true,
            queries: true,
        }),
        ..AttentionInfo::new(Attention::EncoderSelf, 2, 2, vec![layer]).with_kv_heads(1)
    };
    let tokens = |count: usize| (0..count).map(|_| Token::new("x"));
    let model = ModelInfo {
        positions: Positions::RelativeVectors,
        ..ModelInfo::new("m", "deberta-v2", 4).with_attention(info)
    };
    let sequences = [3, 1].map(|count| Sequence::new(format!("{count}")).with_tokens(Side::Encoder, tokens(count)));
    CapturePlan::new(model, sequences.to_vec())
}

fn numbers(count: usize, seed: f32) -> Vec<f32> {
    (0..count).map(|at| (at as f32 * 0.9 + seed).sin()).collect()
}

fn of_slot(slot: Slot) -> (usize, f32) {
    match slot {
        Slot::Query { .. } => (2, 0.0),
        Slot::Key { .. } => (1, 1.0),
        Slot::OffsetKey { .. } => (1, 3.0),
        Slot::OffsetQuery { .. } => (2, 4.0),
        _ => (1, 2.0),
    }
}

fn write_all(writer: &CaptureWriter) {
    for (at, tokens) in [3, 1].into_iter().enumerate() {
        for slot in writer.plan().slots() {
            let (heads, seed) = of_slot(slot);
            writer.write(slot, at, &numbers(heads * tokens * 2, seed)).unwrap();
        }
    }
}

fn write_tables(writer: &CaptureWriter) {
    for slot in writer.plan().tables() {
        let (heads, seed) = of_slot(slot);
        assert!(writer.lacks_table(slot));
        writer.write_table(slot, &numbers(heads * BUCKETS * 2, seed)).unwrap();
        assert!(!writer.lacks_table(slot));
    }
}

/// The definition in `f64`.
fn by_hand(head: usize) -> Vec<Vec<f64>> {
    let vector = |values: &[f32], row: usize| [0, 1].map(|dim| f64::from(values[row * 2 + dim]));
    let dot = |a: [f64; 2], b: [f64; 2]| a[0] * b[0] + a[1] * b[1];
    let (queries, keys) = (numbers(12, 0.0), numbers(6, 1.0));
    let (of_keys, of_queries) = (numbers(8, 3.0), numbers(16, 4.0));
    let slope = [0.0625, 0.003_906_25][head];
    let sink = [0.25_f64, -1.0][head].exp();
    let score = |query: usize, key: usize| {
        let (q, k) = (vector(&queries, head * 3 + query), vector(&keys, key));
        let row = (query + 2).saturating_sub(key).min(3);
        let offsets = dot(q, vector(&of_keys, row)) + dot(k, vector(&of_queries, head * BUCKETS + row));
        1.5 * (0.5 * dot(q, k) / 1.5).tanh() + 0.5 * offsets - slope * query.abs_diff(key) as f64
    };
    let row = |query: usize| {
        let power = |key: usize| {
            if query.abs_diff(key) <= 1 {
                score(query, key).exp()
            } else {
                0.0
            }
        };
        let powers = [0, 1, 2].map(power);
        let whole = powers.iter().sum::<f64>() + sink;
        powers.iter().map(|power| power / whole).collect()
    };
    (0..3).map(row).collect()
}

#[test]
fn every_part_of_the_scores_is_recomputed() {
    let folder = tempfile::tempdir().unwrap();
    let in_memory = CaptureWriter::in_memory(terms()).unwrap();
    let on_disk = CaptureWriter::create(folder.path(), terms()).unwrap();
    for writer in [in_memory, on_disk] {
        write_tables(&writer);
        write_all(&writer);
        writer.commit(&[0, 1]).unwrap();
        for capture in [writer.finish().unwrap()]
            .into_iter()
            .chain(Capture::open(folder.path()))
        {
            capture.verify(&()).unwrap();
            for head in 0..2 {
                let found = capture
                    .attention(HeadId::new(Attention::EncoderSelf, 0, head), 0)
                    .unwrap();
                for (found, expected) in found.rows().into_iter().zip(by_hand(head)) {
                    for (found, expected) in found.iter().zip(expected) {
                        assert!(
                            (f64::from(*found) - expected).abs() < 1e-6,
                            "{found} against {expected}"
                        );
                    }
                }
            }
            let info = capture.model().attention(Attention::EncoderSelf).unwrap();
            let parts = [
                ScorePart::Alibi,
                ScorePart::RelativeVectors,
                ScorePart::SoftCap,
                ScorePart::Sink,
            ];
            assert_eq!(info.score_parts(0), parts);
            assert!(info.score_parts(1).is_empty());
        }
    }
}

#[test]
fn a_capture_is_written_in_the_oldest_version_that_can_say_it() {
    let version = |plan: CapturePlan| {
        let text = serde_json::to_string(&plan.model).unwrap();
        let model: ModelInfo = serde_json::from_str(&text).unwrap();
        assert_eq!(model, plan.model);
        super::super::schema::version(&model, plan.options, &plan.sequences)
    };
    assert_eq!(version(plan(CaptureOptions::default())), 1);
    assert_eq!(version(terms()), 2);
    let mut hybrid = terms();
    hybrid.model.attentions[0].layers[0].heads = Some(0);
    assert_eq!(version(hybrid), 3);
    let folder = tempfile::tempdir().unwrap();
    finished(folder.path());
    let text = fs::read_to_string(folder.path().join("capture.json")).unwrap();
    assert!(text.contains(r#""version":1"#) && !text.contains("soft_cap") && !text.contains("relative_vectors"));
}

#[test]
fn a_table_is_written_before_a_capture_is_closed_and_after_it_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let writer = CaptureWriter::create(folder.path(), terms()).unwrap();
    write_all(&writer);
    writer.commit(&[0, 1]).unwrap();
    let message = writer.finish().unwrap_err().to_string();
    assert!(
        message.contains("encoder-self-00.safetensors, k_offset: expected the table"),
        "{message}"
    );
    // What was committed is kept, and the next writer adds the tables.
    let writer = CaptureWriter::create(folder.path(), terms()).unwrap();
    assert!(writer.is_done(0) && writer.is_done(1));
    let slot = writer.plan().tables()[0];
    let message = writer.write_table(slot, &[1.0]).unwrap_err().to_string();
    assert!(
        message.contains("k_offset: expected [1, 4, 2], found 1 values"),
        "{message}"
    );
    assert!(matches!(
        writer.write_table(slot, &[f32::NAN; 8]),
        Err(Error::NotFinite { .. })
    ));
    let other = Slot::OffsetKey {
        attention: Attention::Cross,
        layer: 0,
    };
    assert!(matches!(writer.write_table(other, &[]), Err(Error::NotFound { .. })));
    assert!(matches!(writer.write(slot, 0, &[0.0; 8]), Err(Error::NotFound { .. })));
    write_tables(&writer);
    let capture = writer.finish().unwrap();
    let found = capture.attention(HeadId::new(Attention::EncoderSelf, 0, 1), 0).unwrap();
    assert!((f64::from(found[[1, 2]]) - by_hand(1)[1][2]).abs() < 1e-6);
}

#[test]
fn parts_that_do_not_fit_are_named_with_their_path() {
    use serde_json::{Value, json};
    let folder = tempfile::tempdir().unwrap();
    let writer = CaptureWriter::create(folder.path(), terms()).unwrap();
    write_tables(&writer);
    write_all(&writer);
    writer.commit(&[0, 1]).unwrap();
    drop(writer.finish().unwrap());
    let path = folder.path().join("capture.json");
    let good: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let message = |at: &str, value: Value| {
        let mut description = good.clone();
        *description.pointer_mut(at).unwrap() = value;
        fs::write(&path, description.to_string()).unwrap();
        Capture::open(folder.path()).unwrap_err().to_string()
    };
    let info = "/model/attentions/0";
    for (at, value, place, wrong) in [
        (
            "/version",
            json!(1),
            "`version`",
            "expected 2, whose fields the model's facts have, found 1",
        ),
        (
            "/layers/0/soft_cap",
            json!(0.0),
            "layers[0].soft_cap",
            "a finite number above 0, found 0",
        ),
        (
            "/layers/0/soft_cap",
            json!(1e39),
            "layers[0].soft_cap",
            "expected a number within the range of floats, found a larger one",
        ),
        (
            "/layers/0/sinks",
            json!([0.5]),
            "layers[0].sinks",
            "expected 2 numbers, one per head, found 1 numbers",
        ),
        (
            "/layers/0/sinks",
            json!([0.5, 1e39]),
            "layers[0].sinks[1]",
            "expected a number within the range of floats, found a larger one",
        ),
        (
            "/layers/0/mask",
            json!({ "local": {} }),
            "layers[0].mask.local",
            "missing field `width`",
        ),
        (
            "/alibi/slopes",
            json!([0.5, 0.5, 0.5]),
            "alibi.slopes",
            "expected 2 numbers, one per head, found 3",
        ),
        (
            "/alibi",
            json!({ "slopes": [0.5, 0.5], "factor": 1e39 }),
            "alibi.factor",
            "expected a number within the range of floats, found a larger one",
        ),
        (
            "/alibi",
            json!({ "slopes": [0.5, 0.5], "round": true }),
            "alibi",
            "unknown field `round`",
        ),
        (
            "/relative_vectors/buckets",
            json!(3),
            "relative_vectors.buckets",
            "an even number from 2 to 1048576, found 3",
        ),
        (
            "/relative_vectors/exact",
            json!(3),
            "relative_vectors.exact",
            "a number from 1 to 2, half of the buckets",
        ),
        (
            "/relative_vectors",
            json!({ "buckets": 4, "exact": 1, "max_distance": 2, "keys": false, "queries": false }),
            "relative_vectors",
            "expected `keys` or `queries`, or both, found neither",
        ),
        (
            "/relative_vectors/buckets",
            json!(6),
            "k_offset",
            "[1, 6, 2] (heads, buckets, vector length)",
        ),
    ] {
        let at = if at == "/version" {
            at.to_owned()
        } else {
            format!("{info}{at}")
        };
        let message = message(&at, value);
        assert!(message.contains(place) && message.contains(wrong), "{at}: {message}");
    }
    fs::write(&path, good.to_string()).unwrap();
    let layer = folder.path().join("encoder-self-00.safetensors");
    let bytes = fs::read(&layer).unwrap();
    let header = String::from_utf8_lossy(&bytes).into_owned();
    // A table under another name is a table that is missing.
    let at = header.find("k_offset").unwrap();
    let mut renamed = bytes.clone();
    renamed[at] = b'j';
    fs::write(&layer, renamed).unwrap();
    let error = Capture::open(folder.path()).unwrap_err();
    assert!(matches!(error, Error::MissingTensor { tensor, .. } if tensor == "k_offset"));
    // Numbers that are none are found when the table is read.
    let mut damaged = bytes;
    let end = damaged.len();
    damaged[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&layer, damaged).unwrap();
    let capture = Capture::open(folder.path()).unwrap();
    let message = capture
        .attention(HeadId::new(Attention::EncoderSelf, 0, 1), 1)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("tensor `q_offset`, layer 0, head 1, bucket 3: value 1 is NaN"),
        "{message}"
    );
}
