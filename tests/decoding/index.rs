//! Indexes of states: what is in them, their neighbors by brute force, and how builds stop, go on and refuse.

use std::{
    ops::ControlFlow,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use attn_sdk::{
    Progress, embedded,
    models::{Checkpoint, Model, Tokenizer, generate::GenerationParams},
    project::{Embedding, ProjectionMethod, Projector, method::FitInput, pca::Pca},
    study::{
        Error,
        decoding::{
            Decoder, Decoding, Fingerprint, IndexParams, IndexSearch, Neighborhood, NeighborhoodParams, Pair, Pairs,
            StateIndex, StateKind,
        },
    },
};

use crate::{dates, decoded, pairs};

pub(crate) fn some_pairs(count: usize) -> Pairs {
    let pair = |(line, (source, target)): (usize, (&str, &str))| Pair {
        line,
        source: source.into(),
        target: target.into(),
    };
    Pairs {
        pairs: (1..).zip(pairs().take(count)).map(pair).collect(),
        errors: Vec::new(),
    }
}

fn fingerprint() -> Fingerprint {
    Fingerprint::of(&embedded::DATES.checkpoint().unwrap()).unwrap()
}

pub(crate) fn build(
    folder: &Path,
    pairs: &Pairs,
    params: &IndexParams,
    progress: &dyn Progress,
) -> Result<StateIndex, Error> {
    let decoder = dates();
    StateIndex::build(
        &decoder,
        &decoder.params(),
        &fingerprint(),
        pairs,
        params,
        folder,
        progress,
    )
}

/// A map that is quick to fit.
pub(crate) fn quick() -> IndexParams {
    IndexParams {
        map_states: 240,
        ..IndexParams::default()
    }
}

/// States of the target of a pair, as a decoding that is forced to write it has them.
fn forced(decoder: &Decoder, source: &str, target: &str) -> Decoding {
    let mut params = decoder.params();
    params.generation.beams = 1;
    params.generation.prefix = decoder.target_ids(target).unwrap();
    params.generation.max_new_tokens = Some(params.generation.prefix.len() + 1);
    params.shares = 0;
    decoder.decode(source, &params, &()).unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()) as f32
}

#[test]
fn an_index_holds_the_states_of_its_pairs_and_no_padding() {
    let folder = tempfile::tempdir().unwrap();
    let (decoder, pairs) = (dates(), some_pairs(40));
    let index = build(folder.path(), &pairs, &quick(), &()).unwrap();
    let mut rows = [0_usize; 2];
    let kinds = [StateKind::Encoder, StateKind::Decoder, StateKind::Context];
    for pair in &pairs.pairs {
        let run = forced(&decoder, &pair.source, &pair.target);
        let found = &run.hypotheses[0];
        assert_eq!(found.row.text, pair.target);
        let first = run.prompt_tokens() - 1;
        for kind in kinds {
            let (states, from, count, row) = match kind {
                StateKind::Encoder => (&run.encoder_states, 0, run.source.len(), rows[0]),
                StateKind::Decoder => (&found.decoder_states, first, found.row.len(), rows[1]),
                StateKind::Context => (&found.context_states, first, found.row.len(), rows[1]),
            };
            let kept = index.states(kind).unwrap().select(row..row + count);
            for (token, kept) in kept.rows().into_iter().enumerate() {
                let apart = 1.0 - cosine(states.row(from + token), &kept.to_vec());
                assert!(apart < 1e-4, "{} {kind} {token}: {apart}", pair.source);
            }
        }
        rows[0] += run.source.len();
        rows[1] += found.row.len();
    }
    // Not one state more, though sources of a pass differ in length.
    for (kind, expected) in kinds.into_iter().zip([rows[0], rows[1], rows[1]]) {
        assert_eq!(index.states(kind).unwrap().len(), expected);
    }
    let sources = |most| index.sources(most).unwrap();
    let expected: Vec<&str> = pairs
        .pairs
        .iter()
        .step_by(10)
        .map(|pair| pair.source.as_str())
        .collect();
    assert_eq!(sources(4), expected);
    assert_eq!((sources(100).len(), sources(0).len()), (40, 0));
    let description = index.description();
    assert!(
        description
            .kinds
            .iter()
            .all(|own| own.columns == 64 && own.recall >= 0.98)
    );
    assert_eq!((description.pairs, description.map_states), (40, 240));
}

#[test]
fn neighbors_are_those_of_brute_force() {
    let folder = tempfile::tempdir().unwrap();
    let (decoder, mut pairs) = (dates(), some_pairs(120));
    // The run's own sentence, and one that is there three times.
    let own = Pair {
        line: 500,
        source: "May 21, 2000".into(),
        target: "2000-05-21".into(),
    };
    let other = Pair {
        line: 600,
        source: "May 22, 2000".into(),
        target: "2000-05-22".into(),
    };
    pairs.pairs.extend([own, other.clone(), other.clone(), other]);
    let index = build(folder.path(), &pairs, &quick(), &()).unwrap();
    let run = decoded(&decoder, "May 21, 2000", 1);
    let params = NeighborhoodParams {
        neighbors: 30,
        kept: 10,
        exact: true,
    };
    let near = index.neighborhood(&run, 0, &params, &()).unwrap();
    let found = &run.hypotheses[0];
    let all_forced: Vec<(&Pair, Decoding)> = pairs
        .pairs
        .iter()
        .map(|pair| (pair, forced(&decoder, &pair.source, &pair.target)))
        .collect();
    for (token, own) in found.row.tokens.iter().enumerate() {
        // By brute force: all pairs, states of equal text once.
        let mut all: Vec<(f32, String, usize, String)> = Vec::new();
        for (pair, forced) in &all_forced {
            let first = forced.prompt_tokens() - 1;
            for (at, text) in forced.hypotheses[0].row.tokens.iter().enumerate() {
                let states = &forced.hypotheses[0].decoder_states;
                let apart = 1.0 - cosine(found.decoder_states.row(first + token), states.row(first + at));
                let known = all
                    .iter()
                    .any(|(_, source, place, _)| *source == pair.source && *place == at);
                if !known {
                    all.push((apart, pair.source.clone(), at, text.clone()));
                }
            }
        }
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let list = near.of(StateKind::Decoder, token).unwrap();
        for (neighbor, (apart, ..)) in list.neighbors.iter().zip(&all) {
            assert!(
                (neighbor.distance - apart).abs() < 2e-3,
                "{token}: {} {apart}",
                neighbor.distance
            );
        }
        let others = all.iter().filter(|(_, source, ..)| source != "May 21, 2000").take(30);
        let agreeing = others.filter(|(.., text)| text == own).count();
        assert!(
            list.agreeing.abs_diff(agreeing) <= 2,
            "{token}: {} {agreeing}",
            list.agreeing
        );
        // As many as were asked for; those of the own sentence do not count.
        let listed = list.neighbors.iter().filter(|neighbor| !neighbor.own).count();
        assert_eq!((listed, list.compared), (10, 30));
        if token > 9 {
            break;
        }
    }
    // Fewer than are kept by default: all are listed, and no more.
    let few = NeighborhoodParams {
        neighbors: 7,
        ..NeighborhoodParams::default()
    };
    let few = index.neighborhood(&run, 0, &few, &()).unwrap();
    for list in &few.states {
        let listed = list.neighbors.iter().filter(|neighbor| !neighbor.own).count();
        assert_eq!((listed, list.compared), (7, 7));
        assert!(list.agreeing <= 7);
    }
    // The own sentence is first, and flagged; the threefold one is folded.
    let last = near.of(StateKind::Decoder, 9).unwrap();
    let first = &last.neighbors[0];
    assert!(first.own && first.agrees && first.token == 9 && near.pairs[first.pair].line == 500);
    assert_eq!(near.token(StateKind::Decoder, first, -1), Some("2"));
    assert_eq!(near.token(StateKind::Decoder, first, 0), Some("1"));
    assert_eq!(near.token(StateKind::Decoder, first, 9), None);
    let all = near.states.iter().flat_map(|state| &state.neighbors);
    let threefold: Vec<usize> = all
        .filter(|found| near.pairs[found.pair].line == 600)
        .map(|found| found.copies)
        .collect();
    assert!(
        !threefold.is_empty() && threefold.iter().all(|&copies| copies == 3),
        "{threefold:?}"
    );
    // A search finds about the same.
    let searched = index
        .neighborhood(&run, 0, &NeighborhoodParams { exact: false, ..params }, &())
        .unwrap();
    let lines = |near: &Neighborhood, at: usize| -> Vec<(usize, usize)> {
        let list = near.states[at].neighbors.iter();
        list.map(|found| (near.pairs[found.pair].line, found.token)).collect()
    };
    let found = |at: usize| {
        let there = lines(&near, at);
        lines(&searched, at).iter().filter(|own| there.contains(own)).count()
    };
    let hits: usize = (0..near.states.len()).map(found).sum();
    assert!(
        hits * 20 >= near.states.len() * 10 * 19,
        "{hits} of {}",
        near.states.len() * 10
    );
}

#[test]
fn the_map_does_not_move() {
    let folder = tempfile::tempdir().unwrap();
    let decoder = dates();
    let index = build(folder.path(), &some_pairs(60), &quick(), &()).unwrap();
    let place = |source: &str| {
        let mut run = decoded(&decoder, source, 1);
        run.neighborhood = Some(
            index
                .neighborhood(&run, 0, &NeighborhoodParams::default(), &())
                .unwrap(),
        );
        run
    };
    let (may, march) = (place("May 21, 2000"), place("Mar 21, 2000"));
    let (alone, again) = (may.trajectories(0, &()).unwrap().unwrap(), place("May 21, 2000"));
    let both = Decoding::merged_trajectories(&[("", &may, 0), ("compared", &march, 0)], &())
        .unwrap()
        .unwrap();
    let states = may.source.len() + 2 * may.hypotheses[0].row.len();
    for at in 0..states {
        // The same place alone, beside another run, and when the run is made again.
        assert_eq!(alone.coordinates.get(at), both.coordinates.get(at));
    }
    assert_eq!(again.neighborhood, may.neighborhood);
    // A saved run has its map without the index.
    let saved = serde_json::to_string(&may).unwrap();
    let opened: Decoding = serde_json::from_str(&saved).unwrap();
    opened.check().unwrap();
    assert_eq!(opened, may);
    // States that are in the sample of the map lie where it has them.
    let near = may.neighborhood.as_ref().unwrap();
    let of_map: Vec<[f32; 2]> = near.background.clone();
    let neighbors: Vec<[f32; 2]> = near.drawn().iter().filter_map(|(_, found)| found.place).collect();
    assert!(neighbors.iter().any(|place| of_map.contains(place)));
    let (method, fitted) = near.map.clone().unwrap();
    assert_eq!((method.as_str(), fitted), ("UMAP", 240));
}

/// Breaks off after so many steps.
struct Stop(AtomicUsize);

impl Progress for Stop {
    fn update(&self, _: &str, _: usize, _: usize) -> ControlFlow<()> {
        match self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
        {
            Ok(_) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

#[test]
fn a_build_that_was_stopped_goes_on() {
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let pairs = some_pairs(600);
    build(whole.path(), &pairs, &quick(), &()).unwrap();
    let mut stopped = 0;
    for steps in [20, 25, 3, 90] {
        match build(parts.path(), &pairs, &quick(), &Stop(AtomicUsize::new(steps))) {
            Err(error) => assert!(error.is_cancelled(), "{error}"),
            Ok(_) => break,
        }
        stopped += 1;
        // As a killed process leaves it: half a record at the end.
        let states = parts.path().join("decoder.f16");
        let mut bytes = std::fs::read(&states).unwrap();
        bytes.push(7);
        std::fs::write(&states, bytes).unwrap();
        let error = StateIndex::open(parts.path(), &()).unwrap_err().to_string();
        assert!(error.contains("build has not ended"), "{error}");
    }
    assert!(stopped >= 3);
    // Other pairs do not go on in its place.
    let error = build(parts.path(), &some_pairs(10), &quick(), &()).unwrap_err();
    assert!(matches!(error, Error::OtherIndex { .. }), "{error}");
    build(parts.path(), &pairs, &quick(), &()).unwrap();
    for name in [
        "pairs.jsonl",
        "pairs.table",
        "encoder.f16",
        "decoder.f16",
        "context.f16",
        "decoder.cells",
        "map.json",
    ] {
        let read = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
        assert!(read(whole.path()) == read(parts.path()), "{name}");
    }
    assert!(!parts.path().join("building.json").exists());
    // What is there already is opened; another is refused.
    build(parts.path(), &pairs, &quick(), &Stop(AtomicUsize::new(40))).unwrap();
    assert!(matches!(
        build(parts.path(), &some_pairs(10), &quick(), &()),
        Err(Error::OtherIndex { .. })
    ));
}

/// A host's method that has no place for new points.
#[derive(Debug)]
struct Unplaced;

impl ProjectionMethod for Unplaced {
    fn name(&self) -> &str {
        "unplaced"
    }

    fn fit(&self, input: &FitInput<'_>, progress: &dyn Progress) -> attn_sdk::project::Result<Embedding> {
        Pca.fit(input, progress)
    }
}

/// Settings are looked at before a pair runs; right ones then start anew in the same folder.
#[test]
fn bad_settings_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("index");
    let pairs = some_pairs(5);
    let unlooked = |stage: &str, _: usize, _: usize| panic!("{stage} began");
    let recall = |recall| IndexParams { recall, ..quick() };
    let projector = |projector| IndexParams { projector, ..quick() };
    let cases = [
        (recall(2.0), "`recall`"),
        (recall(0.0), "`recall`"),
        (recall(f32::NAN), "`recall`"),
        (
            projector(Projector::new(Unplaced)),
            "unplaced: placing new points is not supported",
        ),
    ];
    for (params, words) in cases {
        let error = build(&at, &pairs, &params, &unlooked).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
        assert!(!at.exists(), "{words}");
    }
    build(&at, &pairs, &quick(), &()).unwrap();
}

#[test]
fn one_process_builds_at_a_time_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = some_pairs(40);
    let tried = AtomicUsize::new(0);
    let second = |_: &str, _: usize, _: usize| {
        if tried.fetch_add(1, Ordering::Relaxed) == 0 {
            let error = build(folder.path(), &pairs, &quick(), &()).unwrap_err();
            let Error::Core(attn_sdk::core::Error::InUse { process, .. }) = &error else {
                panic!("{error}");
            };
            assert_eq!(*process, Some(std::process::id()));
        }
        ControlFlow::Continue(())
    };
    build(folder.path(), &pairs, &quick(), &second).unwrap();
    assert!(tried.into_inner() > 0);
    // The lock is gone; the other one opens what was built.
    assert!(!folder.path().join("writing.lock").exists());
    let again = build(folder.path(), &pairs, &quick(), &()).unwrap();
    assert_eq!(again.description().pairs, 40);
}

#[cfg(unix)]
#[test]
fn links_in_place_of_files_are_not_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let (index, outside) = (folder.path().join("index"), folder.path().join("outside"));
    std::fs::create_dir(&index).unwrap();
    for name in ["writing.lock", "pairs.jsonl", "decoder.f16"] {
        let link = index.join(name);
        std::os::unix::fs::symlink(&outside, &link).unwrap();
        for there in [false, true] {
            if there {
                std::fs::write(&outside, "kept").unwrap();
            }
            let error = build(&index, &some_pairs(5), &quick(), &()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("expected"), "{error}");
            assert_eq!(outside.exists(), there);
        }
        assert_eq!(std::fs::read(&outside).unwrap(), b"kept");
        std::fs::remove_file(&outside).unwrap();
        std::fs::remove_file(&link).unwrap();
    }
    build(&index, &some_pairs(5), &quick(), &()).unwrap();
}

#[test]
fn damaged_and_foreign_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut pairs = some_pairs(30);
    pairs.pairs.push(Pair {
        line: 31,
        source: "1".repeat(100),
        target: "2000-01-01".into(),
    });
    let index = build(folder.path(), &pairs, &quick(), &()).unwrap();
    let skipped = &index.description().skipped;
    assert_eq!(index.description().skipped_count, 1, "{skipped:?}");
    assert!(
        skipped[0].starts_with("line 31: source: expected at most"),
        "{skipped:?}"
    );
    let other = Fingerprint {
        name: "other".into(),
        model: "0".into(),
        ..fingerprint()
    };
    let error = index.check(&other).unwrap_err().to_string();
    assert!(error.contains("other (0)") && error.contains("model of"), "{error}");
    index.check(&fingerprint()).unwrap();
    let none = tempfile::tempdir().unwrap();
    assert!(StateIndex::open(none.path(), &()).is_err() && StateIndex::open(none.path().join("x"), &()).is_err());
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let whole = std::fs::read(&path).unwrap();
        let middle = whole.len() / 2;
        let mut turned = whole.clone();
        turned[middle] ^= 0x15;
        for bad in [&whole[..middle], &turned[..], &[]] {
            std::fs::write(&path, bad).unwrap();
            match StateIndex::open(folder.path(), &()) {
                Err(Error::BadIndex { .. }) => {}
                // A changed letter of the description may leave it one.
                Ok(_) if path.ends_with("index.json") && bad.len() == whole.len() => {}
                other => panic!("{}: {other:?}", path.display()),
            }
        }
        std::fs::write(&path, &whole).unwrap();
    }
    StateIndex::open(folder.path(), &()).unwrap();
    let nothing = Pairs {
        pairs: pairs.pairs[30..].to_vec(),
        errors: Vec::new(),
    };
    let error = build(none.path(), &nothing, &quick(), &()).unwrap_err().to_string();
    assert!(error.contains("a pair that the model can read"), "{error}");
}

#[test]
fn decoders_alone_and_other_families_have_an_index_too() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for (family, kinds) in [("gpt2", 1), ("t5", 3), ("marian", 3), ("m2m100", 3)] {
        let checkpoint = Checkpoint::open(fixtures.join(family)).unwrap();
        let model = Model::load(&checkpoint).unwrap();
        let words: Vec<String> = (0..model.info().vocab_size.unwrap())
            .map(|at| format!("\"w{at}\": {at}"))
            .collect();
        let vocabulary = format!(
            r#"{{"model": {{"type": "WordLevel", "vocab": {{{}}}, "unk_token": "w3"}}, "pre_tokenizer": {{"type": "Whitespace"}}}}"#,
            words.join(", ")
        );
        let tokenizer = Tokenizer::from_bytes(vocabulary.as_bytes(), "tokenizer.json".as_ref()).unwrap();
        let generation = GenerationParams::read(&checkpoint).unwrap();
        let decoder = Decoder::new(model, tokenizer, generation).unwrap();
        let mut params = decoder.params();
        params.generation.beams = 1;
        params.generation.sampling = None;
        params.generation.max_new_tokens = Some(5);
        let run = decoder.decode("w5 w9 w11 w7", &params, &()).unwrap();
        // The run itself among others of other lengths.
        let forced = usize::from(params.generation.forced_first.is_some() && decoder.translates());
        let written = run.hypotheses[0].row.ids[forced..].iter().map(|id| format!("w{id}"));
        let written: Vec<String> = written.collect();
        let pair = |line: usize, source: &str, target: &str| Pair {
            line,
            source: source.into(),
            target: target.into(),
        };
        let pairs = Pairs {
            pairs: vec![
                pair(1, "w5", "w6 w7 w8 w9"),
                pair(2, "w5 w9 w11 w7", &written.join(" ")),
                pair(3, "w8 w8 w8 w8 w8 w8 w8", "w4"),
            ],
            errors: Vec::new(),
        };
        let folder = tempfile::tempdir().unwrap();
        let name = Fingerprint {
            name: family.into(),
            model: "a".into(),
            tokenizer: "b".into(),
        };
        let index = StateIndex::build(
            &decoder,
            &params,
            &name,
            &pairs,
            &IndexParams::default(),
            folder.path(),
            &(),
        )
        .unwrap();
        assert_eq!(index.description().kinds.len(), kinds, "{family}");
        let near = index
            .neighborhood(&run, 0, &NeighborhoodParams::default(), &())
            .unwrap();
        for own in &near.states {
            let first = &own.neighbors[0];
            assert!(
                first.distance < 1e-3 && near.pairs[first.pair].line == 2,
                "{family}: {own:?}"
            );
            assert!(
                first.own && first.token == own.token && first.agrees,
                "{family}: {own:?}"
            );
        }
    }
}

#[cfg(feature = "hnsw")]
#[test]
fn a_graph_serves_the_same_index() {
    let folder = tempfile::tempdir().unwrap();
    let params = IndexParams {
        search: IndexSearch::Graph,
        ..quick()
    };
    let index = build(folder.path(), &some_pairs(50), &params, &()).unwrap();
    assert!(
        index
            .description()
            .kinds
            .iter()
            .all(|own| own.recall > 0.95 && own.cells.is_none())
    );
    let run = decoded(&dates(), "May 21, 2000", 1);
    let near = index
        .neighborhood(&run, 0, &NeighborhoodParams::default(), &())
        .unwrap();
    for own in &near.states {
        assert_eq!(own.neighbors.iter().filter(|found| !found.own).count(), 20);
    }
}

#[cfg(not(feature = "hnsw"))]
#[test]
fn a_graph_needs_its_feature() {
    let folder = tempfile::tempdir().unwrap();
    let params = IndexParams {
        search: IndexSearch::Graph,
        ..quick()
    };
    let error = build(folder.path(), &some_pairs(5), &params, &())
        .unwrap_err()
        .to_string();
    assert!(error.contains("feature `hnsw`"), "{error}");
}
