//! The store against what was put into it: in memory, on disk, resumed, cancelled, half-precision, damaged.

mod foreign;
mod terms;

use std::{fs, path::Path};

use ndarray::{Array2, s};

use crate::{
    Attention, Capture, CaptureWriter, Error, HeadId, ModelInfo, Progress, Result, Sequence, Side, Token,
    attention::attention_weights,
    capture::{CaptureOptions, CapturePlan, Precision, Slot},
    model::{AttentionInfo, LayerAttention, Mask, Positions},
};

const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const DIM: usize = 3;
const LENGTHS: [usize; 3] = [2, 5, 3];

pub(super) fn plan(options: CaptureOptions) -> CapturePlan {
    let layer = LayerAttention::new(0.5, Mask::Causal);
    let model = ModelInfo {
        name: "tiny".into(),
        family: "llama".into(),
        hidden_size: 6,
        vocab_size: Some(7),
        max_tokens: None,
        positions: Positions::Rotary,
        attentions: vec![
            AttentionInfo::new(Attention::DecoderSelf, HEADS, DIM, vec![layer; 2]).with_kv_heads(KV_HEADS),
        ],
    };
    let sequences = LENGTHS.iter().enumerate().map(|(i, &len)| Sequence {
        name: format!("line {}", i + 1),
        text: Some("…".repeat(len)),
        decoder: (0..len)
            .map(|t| Token {
                text: format!("t{t}"),
                id: Some(t as u32),
                position: t,
                special: t == 0,
                ..Token::default()
            })
            .collect(),
        ..Sequence::default()
    });
    CapturePlan {
        options,
        fingerprint: "abc".into(),
        ..CapturePlan::new(model, sequences.collect())
    }
}

/// A value that says where it belongs; exact in half precision.
fn value(slot: Slot, sequence: usize, head: usize, token: usize, dim: usize) -> f32 {
    let kind = match slot {
        Slot::Query { layer, .. } => layer,
        Slot::Key { layer, .. } => 2 + layer,
        Slot::Value { layer, .. } => 4 + layer,
        Slot::Hidden { layer, .. } => 6 + layer,
        Slot::Logits { .. } => 9,
        Slot::OffsetKey { .. } | Slot::OffsetQuery { .. } => unreachable!("no slot of a sequence"),
    };
    ((kind * 100 + head * 30 + sequence * 10 + token) as f32 + dim as f32 * 0.25) / 8.0 - 57.0
}

fn size(slot: Slot) -> (usize, usize) {
    match slot {
        Slot::Query { .. } => (HEADS, DIM),
        Slot::Key { .. } | Slot::Value { .. } => (KV_HEADS, DIM),
        Slot::Hidden { .. } => (1, 6),
        Slot::Logits { .. } => (1, 7),
        Slot::OffsetKey { .. } | Slot::OffsetQuery { .. } => unreachable!("no slot of a sequence"),
    }
}

fn write(writer: &CaptureWriter, sequence: usize) {
    try_write(writer, sequence).unwrap();
}

pub(super) fn try_write(writer: &CaptureWriter, sequence: usize) -> Result<()> {
    for slot in writer.plan().slots() {
        let (heads, width) = size(slot);
        let mut values = Vec::new();
        for head in 0..heads {
            for token in 0..LENGTHS[sequence] {
                values.extend((0..width).map(|dim| value(slot, sequence, head, token, dim)));
            }
        }
        writer.write(slot, sequence, &values)?;
    }
    writer.commit(&[sequence])
}

fn expected(slot: Slot, sequences: &[usize], head: usize) -> Array2<f32> {
    let rows: Vec<_> = sequences
        .iter()
        .flat_map(|&s| (0..LENGTHS[s]).map(move |t| (s, t)))
        .collect();
    Array2::from_shape_fn((rows.len(), size(slot).1), |(row, dim)| {
        value(slot, rows[row].0, head, rows[row].1, dim)
    })
}

fn assert_holds(capture: &Capture, sequences: &[usize]) {
    let attention = Attention::DecoderSelf;
    assert_eq!(capture.sequences().len(), sequences.len());
    for layer in 0..2 {
        for head in 0..HEADS {
            let id = HeadId::new(attention, layer, head);
            assert_eq!(
                capture.queries(id).unwrap(),
                expected(Slot::Query { attention, layer }, sequences, head)
            );
            assert_eq!(
                capture.keys(id).unwrap(),
                expected(Slot::Key { attention, layer }, sequences, head / 2)
            );
            assert_eq!(
                capture.values(id).unwrap(),
                expected(Slot::Value { attention, layer }, sequences, head / 2)
            );
        }
    }
    let id = HeadId::new(attention, 1, 3);
    let (queries, keys) = (capture.queries(id).unwrap(), capture.keys(id).unwrap());
    for sequence in 0..sequences.len() {
        let rows = capture.rows(sequence, Side::Decoder);
        let layer = LayerAttention::new(0.5, Mask::Causal);
        let by_hand = attention_weights(
            queries.slice(s![rows.clone(), ..]),
            keys.slice(s![rows, ..]),
            &layer,
            id.head,
            None,
        )
        .unwrap();
        assert_eq!(capture.attention(id, sequence).unwrap(), by_hand);
    }
}

#[test]
fn memory_and_folder_hold_what_was_written() {
    for precision in [Precision::F32, Precision::F16] {
        let options = CaptureOptions {
            precision,
            hidden: true,
            logits: true,
            ..CaptureOptions::default()
        };
        let folder = tempfile::tempdir().unwrap();
        for writer in [
            CaptureWriter::in_memory(plan(options)).unwrap(),
            CaptureWriter::create(folder.path().join("new/capture"), plan(options)).unwrap(),
        ] {
            for sequence in [2, 0, 1] {
                write(&writer, sequence);
            }
            let capture = writer.finish().unwrap();
            assert_holds(&capture, &[0, 1, 2]);
            assert_eq!(capture.sequences(), plan(options).sequences);
            assert_eq!(capture.model(), &plan(options).model);
            assert_eq!(capture.fingerprint(), "abc");
            let side = Side::Decoder;
            for layer in 0..3 {
                assert_eq!(
                    capture.hidden(side, layer).unwrap(),
                    expected(Slot::Hidden { side, layer }, &[0, 1, 2], 0)
                );
            }
            assert_eq!(
                capture.logits(side).unwrap(),
                expected(Slot::Logits { side }, &[0, 1, 2], 0)
            );
            capture.verify(&()).unwrap();
        }
        let leftovers = fs::read_dir(folder.path().join("new/capture")).unwrap().filter(|e| {
            let name = e.as_ref().unwrap().file_name().into_string().unwrap();
            name.contains("partial") || name.contains("journal")
        });
        assert_eq!(leftovers.count(), 0);
    }
}

#[test]
fn hidden_states_alone_make_a_capture() {
    let side = Side::Decoder;
    for precision in [Precision::F32, Precision::F16] {
        let options = CaptureOptions {
            precision,
            ..CaptureOptions::states()
        };
        let folder = tempfile::tempdir().unwrap();
        for writer in [
            CaptureWriter::in_memory(plan(options)).unwrap(),
            CaptureWriter::create(folder.path(), plan(options)).unwrap(),
        ] {
            // The middle sequence is not finished, so that rows do not follow one another.
            for sequence in [2, 0] {
                for layer in 0..3 {
                    let slot = Slot::Hidden { side, layer };
                    let values = expected(slot, &[sequence], 0);
                    writer.write(slot, sequence, values.as_slice().unwrap()).unwrap();
                }
                writer.commit(&[sequence]).unwrap();
            }
            let capture = writer.finish().unwrap();
            assert_eq!(capture.hidden_layers(side), [0, 1, 2]);
            let whole = expected(Slot::Hidden { side, layer: 2 }, &[0, 2], 0);
            assert_eq!(capture.hidden(side, 2).unwrap(), whole);
            let rows = [4, 0, 2, 2, 1];
            let some = capture.hidden_rows(side, 2, &rows).unwrap();
            assert_eq!(some, whole.select(ndarray::Axis(0), &rows));
            let error = capture.hidden_rows(side, 2, &[0, 5]).unwrap_err().to_string();
            assert!(error.contains("tokens 0..5"), "{error}");
            let head = HeadId::new(Attention::DecoderSelf, 0, 0);
            let error = capture.queries(head).unwrap_err().to_string();
            assert!(error.contains("without queries, keys and values"), "{error}");
            assert!(capture.attention(head, 0).is_err());
            capture.verify(&()).unwrap();
        }
        let files = fs::read_dir(folder.path()).unwrap();
        let names: Vec<String> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(!names.iter().any(|name| name.contains("self")), "{names:?}");
        let text = fs::read_to_string(folder.path().join("capture.json")).unwrap();
        assert!(text.contains(r#""version":3"#), "{text}");
    }
    let nothing = CaptureOptions {
        hidden: false,
        ..CaptureOptions::states()
    };
    assert!(CaptureWriter::in_memory(plan(nothing)).is_err());
}

#[test]
fn a_cancelled_capture_lists_only_what_was_finished() {
    let folder = tempfile::tempdir().unwrap();
    for writer in [
        CaptureWriter::in_memory(plan(CaptureOptions::default())).unwrap(),
        CaptureWriter::create(folder.path(), plan(CaptureOptions::default())).unwrap(),
    ] {
        write(&writer, 2);
        write(&writer, 0);
        assert_holds(&writer.finish().unwrap(), &[0, 2]);
    }
    assert_holds(&Capture::open(folder.path()).unwrap(), &[0, 2]);
    assert!(
        CaptureWriter::in_memory(plan(CaptureOptions::default()))
            .unwrap()
            .finish()
            .is_err()
    );
}

#[test]
fn a_killed_capture_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let create = || CaptureWriter::create(folder.path(), plan(CaptureOptions::default())).unwrap();
    let writer = create();
    write(&writer, 1);
    drop(writer); // as a kill would
    // The kill came while the journal was being written.
    let journal = folder.path().join("journal.jsonl");
    let mut text = fs::read_to_string(&journal).unwrap();
    text.push_str("{\"done\":[0");
    fs::write(&journal, text).unwrap();
    assert!(matches!(Capture::open(folder.path()), Err(Error::NotACapture { .. })));

    let writer = create();
    assert_eq!([0, 1, 2].map(|i| writer.is_done(i)), [false, true, false]);
    write(&writer, 0);
    drop(writer);
    let writer = create();
    assert_eq!([0, 1, 2].map(|i| writer.is_done(i)), [true, true, false]);
    write(&writer, 2);
    assert_holds(&writer.finish().unwrap(), &[0, 1, 2]);
}

#[test]
fn slots_that_were_not_written_hold_zeros_and_are_committed_too() {
    let folder = tempfile::tempdir().unwrap();
    let options = CaptureOptions {
        logits: true,
        ..CaptureOptions::default()
    };
    let create = || CaptureWriter::create(folder.path(), plan(options)).unwrap();
    let writer = create();
    let slot = Slot::Query {
        attention: Attention::DecoderSelf,
        layer: 0,
    };
    writer.write(slot, 0, &[1.0; HEADS * 2 * DIM]).unwrap();
    writer.commit(&[0, 0]).unwrap();
    writer.commit(&[0]).unwrap();
    assert!(matches!(
        writer.commit(&[7]),
        Err(Error::NotFound { what: "sequence", .. })
    ));
    drop(writer);
    let writer = create();
    assert_eq!([0, 1].map(|sequence| writer.is_done(sequence)), [true, false]);
    // Written anew and not committed: what is there is not what was committed.
    writer.write(slot, 0, &[2.0; HEADS * 2 * DIM]).unwrap();
    drop(writer);
    let writer = create();
    assert!(!writer.is_done(0));
    write(&writer, 0);
    let capture = writer.finish().unwrap();
    assert_holds(&capture, &[0]);
}

#[test]
fn a_slot_that_is_written_again_after_its_commit_leaves_the_sequence_done() {
    let folder = tempfile::tempdir().unwrap();
    let create = || CaptureWriter::create(folder.path(), plan(CaptureOptions::default())).unwrap();
    let writer = create();
    write(&writer, 0);
    write(&writer, 1);
    let slot = Slot::Query {
        attention: Attention::DecoderSelf,
        layer: 1,
    };
    writer.write(slot, 0, &[3.0; HEADS * 2 * DIM]).unwrap();
    writer.commit(&[0]).unwrap();
    drop(writer);
    let writer = create();
    assert_eq!([0, 1, 2].map(|i| writer.is_done(i)), [true, true, false]);
    // Also one that an earlier writer has committed.
    writer.write(slot, 1, &vec![4.0; HEADS * LENGTHS[1] * DIM]).unwrap();
    writer.commit(&[1]).unwrap();
    drop(writer);
    assert_eq!([0, 1, 2].map(|i| create().is_done(i)), [true, true, false]);
}

#[test]
fn resuming_reports_and_can_be_cancelled() {
    use std::ops::ControlFlow;
    let folder = tempfile::tempdir().unwrap();
    let create =
        |progress: &dyn Progress| CaptureWriter::create_with(folder.path(), plan(CaptureOptions::default()), progress);
    let writer = create(&|_: &str, _: usize, _: usize| ControlFlow::Break(())).unwrap();
    write(&writer, 2);
    drop(writer);
    let stop = |stage: &str, _: usize, _: usize| {
        assert_eq!(stage, "resume");
        ControlFlow::Break(())
    };
    assert!(create(&stop).unwrap_err().is_cancelled());
    let writer = create(&()).unwrap();
    assert_eq!([0, 1, 2].map(|i| writer.is_done(i)), [false, false, true]);
}

#[test]
fn another_plan_does_not_resume_and_a_finished_capture_survives_until_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let writer = CaptureWriter::create(folder.path(), plan(CaptureOptions::default())).unwrap();
    (0..3).for_each(|i| write(&writer, i));
    writer.finish().unwrap();

    let writer = CaptureWriter::create(folder.path(), plan(CaptureOptions::default())).unwrap();
    assert!(!writer.is_done(0));
    assert_holds(&Capture::open(folder.path()).unwrap(), &[0, 1, 2]);
    drop(writer);
    let other = CapturePlan {
        fingerprint: "other weights".into(),
        ..plan(CaptureOptions::default())
    };
    assert!(matches!(
        CaptureWriter::create(folder.path(), other),
        Err(Error::OtherCapture { .. })
    ));
}

#[test]
fn a_plan_of_other_inputs_is_another_plan() {
    let plan = || plan(CaptureOptions::default());
    // A plan of text says nothing about them, and has the journal that it had before they were known.
    let text = serde_json::to_string(&plan()).unwrap();
    assert!(!text.contains("\"inputs\""));
    assert_eq!(serde_json::from_str::<CapturePlan>(&text).unwrap(), plan());
    let folder = tempfile::tempdir().unwrap();
    let start = |inputs: &str| CaptureWriter::create(folder.path(), plan().with_inputs(inputs));
    let writer = start("pixels").unwrap();
    write(&writer, 0);
    drop(writer);
    assert!(matches!(start("other pixels"), Err(Error::OtherCapture { .. })));
    assert!(start("pixels").unwrap().is_done(0));
}

#[test]
fn wrong_values_are_refused_with_their_place() {
    let writer = CaptureWriter::in_memory(plan(CaptureOptions::default())).unwrap();
    let slot = Slot::Query {
        attention: Attention::DecoderSelf,
        layer: 1,
    };
    let full = vec![0.0; HEADS * 2 * DIM];
    let message = writer.write(slot, 0, &full[1..]).unwrap_err().to_string();
    assert!(
        message.contains("decoder-self-01.safetensors, q, line 1") && message.contains("[4, 2, 3]"),
        "{message}"
    );
    let mut bad = full.clone();
    bad[7] = f32::NAN;
    assert!(matches!(
        writer.write(slot, 0, &bad),
        Err(Error::NotFinite { index: 7, .. })
    ));
    let options = CaptureOptions {
        precision: Precision::F16,
        ..CaptureOptions::default()
    };
    let half = CaptureWriter::in_memory(plan(options)).unwrap();
    bad[7] = 65504.0;
    half.write(slot, 0, &bad).unwrap();
    bad[7] = -70_000.0;
    let message = half.write(slot, 0, &bad).unwrap_err().to_string();
    assert!(
        message.contains("q, line 1, in half precision (up to 65504): value 7 is -70000"),
        "{message}"
    );
    assert!(matches!(
        writer.write(slot, 9, &full),
        Err(Error::NotFound { what: "sequence", .. })
    ));
    let hidden = Slot::Hidden {
        side: Side::Decoder,
        layer: 0,
    };
    assert!(matches!(
        writer.write(hidden, 0, &full),
        Err(Error::NotFound { what: "slot", .. })
    ));
    assert!(
        CaptureWriter::in_memory(CapturePlan {
            sequences: vec![],
            ..plan(CaptureOptions::default())
        })
        .is_err()
    );
}

#[test]
fn absent_things_are_named() {
    let writer = CaptureWriter::in_memory(plan(CaptureOptions::default())).unwrap();
    (0..3).for_each(|i| write(&writer, i));
    let capture = writer.finish().unwrap();
    let missing = capture
        .queries(HeadId::new(Attention::DecoderSelf, 2, 0))
        .unwrap_err()
        .to_string();
    assert_eq!(missing, "head L2 H0 does not exist: layers 0..2, heads 0..4");
    assert!(capture.keys(HeadId::new(Attention::Cross, 0, 0)).is_err());
    assert!(capture.attention(HeadId::new(Attention::DecoderSelf, 0, 0), 3).is_err());
    assert!(capture.hidden(Side::Decoder, 0).is_err());
    assert_eq!(capture.rows(17, Side::Decoder), 0..0);
}

fn finished(folder: &Path) {
    let writer = CaptureWriter::create(folder, plan(CaptureOptions::default())).unwrap();
    (0..3).for_each(|i| write(&writer, i));
    writer.finish().unwrap();
}

#[test]
fn damage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let layer = folder.join("decoder-self-01.safetensors");
    let description = folder.join("capture.json");

    finished(folder);
    let good = fs::read(&layer).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(&layer, &flipped).unwrap();
    assert!(matches!(
        Capture::open(folder).unwrap().verify(&()),
        Err(Error::Checksum { .. })
    ));

    fs::write(&layer, &good[..good.len() - 5]).unwrap();
    assert!(matches!(Capture::open(folder), Err(Error::Safetensors { .. })));
    fs::write(&layer, []).unwrap();
    assert!(matches!(Capture::open(folder), Err(Error::Safetensors { .. })));
    let mut huge = good.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    fs::write(&layer, &huge).unwrap();
    assert!(matches!(Capture::open(folder), Err(Error::Safetensors { .. })));
    fs::remove_file(&layer).unwrap();
    assert!(matches!(Capture::open(folder), Err(Error::Io { .. })));
    fs::write(&layer, &good).unwrap();

    let text = fs::read_to_string(&description).unwrap();
    fs::write(&description, text.replace("\"heads\":4", "\"heads\":8")).unwrap();
    let message = Capture::open(folder).unwrap_err().to_string();
    assert!(
        message.contains("expected [8, 10, 3] (heads, tokens of all 3 sequences, vector length), found [4, 10, 3]"),
        "{message}"
    );
    fs::write(&description, text.replace("\"kv_heads\":2", "\"kv_heads\":0")).unwrap();
    assert!(matches!(Capture::open(folder), Err(Error::Description { .. })));
    fs::write(&description, text.replace("\"version\":1", "\"version\":5")).unwrap();
    assert!(matches!(Capture::open(folder), Err(Error::NotACapture { .. })));
    fs::write(&description, &text[..text.len() / 2]).unwrap();
    assert!(matches!(Capture::open(folder), Err(Error::Json { line: 1, .. })));
    fs::write(&description, text.replace("[\"t0\",\"t1\"]", "[\"t0\"]")).unwrap();
    assert!(matches!(Capture::open(folder), Err(Error::Json { .. })));

    assert!(matches!(Capture::open(folder.join("nowhere")), Err(Error::Io { .. })));
}

#[test]
fn a_file_stands_in_the_way_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taken");
    fs::write(&path, "x").unwrap();
    assert!(matches!(
        CaptureWriter::create(&path, plan(CaptureOptions::default())),
        Err(Error::Io { .. })
    ));
}

#[test]
fn verification_can_be_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    finished(folder.path());
    let stop = |_: &str, _: usize, _: usize| std::ops::ControlFlow::Break(());
    assert!(
        Capture::open(folder.path())
            .unwrap()
            .verify(&stop)
            .unwrap_err()
            .is_cancelled()
    );
}
