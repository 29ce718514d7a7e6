//! Saved runs, faults that are planted, and indexes of states.

use std::sync::OnceLock;

use attn_embedded::DATES;
use attn_study::decoding::{
    Decoder, Decoding, Fault, Fingerprint, FlowParams, IndexParams, NeighborhoodParams, Pair, Pairs, StateIndex,
};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::store::{Files, folder, replaced, seeds};
use crate::{
    fixtures::files,
    mutate::{Form, Seed},
};

/// A model that writes dates, and one of its runs.
fn written() -> &'static (Decoder, Decoding) {
    static WRITTEN: OnceLock<(Decoder, Decoding)> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let decoder = Decoder::load(&DATES.checkpoint().unwrap()).unwrap();
        let mut params = decoder.params();
        params.generation.beams = 2;
        let run = decoder.decode("May 21, 2000", &params, &()).unwrap();
        (decoder, run)
    })
}

/// All plots and numbers of a run that fits together.
fn look_at(run: &Decoding) {
    for hypothesis in 0..run.hypotheses.len().min(3) {
        let options = FlowParams::default();
        let _ = run.headline(hypothesis);
        let _ = (
            run.flow(hypothesis, &options),
            run.attention_table(hypothesis, &options),
            run.head_patterns(hypothesis),
        );
        let _ = (
            run.predictions(hypothesis),
            run.curves(hypothesis),
            run.coverage_table(hypothesis),
        );
    }
    let _ = (run.alignment_grid(), run.beam_tree(1.0, true), run.best_finished(0.6));
}

/// A saved run, or a fault that a model decodes with.
pub(super) fn runs(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    if *choice == 0 {
        if let Ok(run) = serde_json::from_slice::<Decoding>(bytes)
            && run.check().is_ok()
        {
            look_at(&run);
        }
        return;
    }
    let (decoder, _) = written();
    let Ok(fault) = serde_json::from_slice::<Fault>(bytes) else {
        return;
    };
    let mut params = decoder.params();
    params.generation.beams = 1;
    params.generation.max_new_tokens = Some(3);
    params.shares = 0;
    if let Ok(faulty) = decoder.with_fault(fault)
        && let Ok(run) = faulty.decode("May 21, 2000", &params, &())
    {
        run.check().unwrap();
        look_at(&run);
    }
}

pub(super) fn all_runs() -> Vec<Seed> {
    let seed = |choice: u8, bytes: Vec<u8>| Seed {
        choice,
        form: Form::Json,
        bytes,
    };
    let faults = [
        r#"[{"edit": "head_mask", "attention": "cross", "layer": 0, "head": 1, "factor": 0.0}]"#,
        r#"{"donors": ["01.02.2003"], "edits": [{"edit": "patch", "site":
            {"attention": "encoder_self", "layer": 2, "point": "hidden"}, "tokens": {"only": [0]}, "donor": 0}]}"#,
        r#"[{"edit": "noise", "site": {"attention": "cross", "layer": 1, "point": "hidden"}, "scale": 0.5, "seed": 7,
            "sequences": {"only": [0]}}]"#,
    ];
    for fault in faults {
        // A seed that is refused as it stands would test the parser alone.
        serde_json::from_str::<Fault>(fault).unwrap();
    }
    let mut all = vec![seed(0, serde_json::to_vec(&written().1).unwrap())];
    all.extend(faults.map(|fault| seed(1, fault.into())));
    all
}

/// The files of an index of a few pairs.
fn index() -> &'static Files {
    static INDEX: OnceLock<Files> = OnceLock::new();
    INDEX.get_or_init(|| {
        let (decoder, _) = written();
        let folder = tempfile::tempdir().unwrap();
        let fingerprint = Fingerprint::of(&DATES.checkpoint().unwrap()).unwrap();
        let texts = [
            ("May 21, 2000", "2000-05-21"),
            ("1 June 1999", "1999-06-01"),
            ("03.04.2010", "2010-04-03"),
        ];
        let pair = |(line, (source, target)): (usize, (&str, &str))| Pair {
            line,
            source: source.into(),
            target: target.into(),
        };
        let pairs = Pairs {
            pairs: (1..).zip(texts).map(pair).collect(),
            errors: Vec::new(),
        };
        let params = IndexParams {
            map_states: 30,
            ..IndexParams::default()
        };
        StateIndex::build(
            decoder,
            &decoder.params(),
            &fingerprint,
            &pairs,
            &params,
            folder.path(),
            &(),
        )
        .unwrap();
        files(folder.path())
    })
}

/// An index with one file replaced, and its record with it: opened and asked for the neighbors of a run.
pub(super) fn states(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let folder = folder(&recorded(*choice, bytes));
    let (_, run) = written();
    let Ok(index) = StateIndex::open(folder.path(), &()) else {
        return;
    };
    for exact in [false, true] {
        let params = NeighborhoodParams {
            exact,
            ..NeighborhoodParams::default()
        };
        if let Ok(near) = index.neighborhood(run, 0, &params, &()) {
            let _ = (near.table(run), near.drawn().len());
        }
    }
    let _ = index.sources(10);
}

/// The files with one replaced, and its size and digest in `index.json`: with others it would be refused unread.
fn recorded(choice: u8, bytes: &[u8]) -> Files {
    let mut files = replaced(index(), choice, bytes);
    let name = files[usize::from(choice) % files.len()].0.clone();
    let description = files.iter_mut().find(|(name, _)| name == "index.json");
    if let Some((own, description)) = description
        && *own != name
    {
        let mut read: Value = serde_json::from_slice(description).unwrap();
        let records = read["files"].as_array_mut().into_iter().flatten();
        for record in records.filter(|record| record["name"] == name.as_str()) {
            record["bytes"] = bytes.len().into();
            record["digest"] = format!("{:032x}", xxh3_128(bytes)).into();
        }
        *description = serde_json::to_vec(&read).unwrap();
    }
    files
}

pub(super) fn all_states() -> Vec<Seed> {
    seeds(index(), |_| true)
}
