//! The order of heads, and the cache that spares work.

use std::{fs, sync::Mutex};

use attn_core::{
    model::AttentionInfo,
    scores::{Alibi, RelativeBias, RelativeVectors},
};

use super::{
    file,
    head::Atlas,
    tests::{capture, capture_of, capture_with, params},
    *,
};
use crate::{Error, FittedProjection, pca::Pca, tsne::Tsne, umap::Umap};

fn heads(options: AtlasOptions<'_>, params: &AtlasParams) -> Vec<HeadProjection> {
    let capture = capture();
    let streamed = Mutex::new(Vec::new());
    let collect = |head| streamed.lock().unwrap().push(head);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| atlas(&capture, params, options, &collect, &()).unwrap());
    streamed.into_inner().unwrap()
}

fn files(cache: &AtlasCache) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(cache.folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

#[test]
fn heads_asked_for_come_first() {
    let all = heads(AtlasOptions::default(), &params());
    // The two that would be last; one that the model does not have is passed over.
    let [first, second] = [all[all.len() - 1].head, all[all.len() - 2].head];
    let priority = Priority::default();
    priority.set(&[HeadId::new(Attention::EncoderSelf, 9, 9), first, second]);
    let options = AtlasOptions {
        priority: Some(&priority),
        ..AtlasOptions::default()
    };
    let asked = heads(options, &params());
    assert_eq!(asked[..2], [all[all.len() - 1].clone(), all[all.len() - 2].clone()]);
    let strength = |head: &HeadProjection| head.correlation.value.unwrap();
    let mut others = all[..all.len() - 2].to_vec();
    others.sort_by(|a, b| strength(a).total_cmp(&strength(b)));
    assert_eq!(asked[2..], others);
}

#[test]
fn drafts_come_before_the_first_layout() {
    let all = heads(AtlasOptions::default(), &params());
    let drafts = AtlasOptions {
        drafts: true,
        ..AtlasOptions::default()
    };
    let given = heads(drafts, &params());
    let (drafts, layouts) = given.split_at(all.len());
    assert!(drafts.iter().all(|head| head.draft && head.quality.is_none()));
    let sorted = |heads: &[HeadProjection]| {
        let mut heads = heads.to_vec();
        heads.sort_by_key(|head| head.head);
        heads
    };
    assert_eq!(sorted(layouts), sorted(&all), "drafts change no layout");
    // A draft is what PCA alone gives, without its scores.
    let pca = AtlasParams {
        method: Pca.into(),
        ..params()
    };
    let first = drafts[0].head;
    let alone = project_head(&capture(), first, &pca, &()).unwrap();
    assert_eq!(drafts[0].embedding, alone.embedding);
    assert_eq!(draft_head(&capture(), first, &params(), &()).unwrap(), drafts[0]);
}

#[test]
fn quality_follows_the_layout() {
    let follows = AtlasOptions {
        quality_follows: true,
        ..AtlasOptions::default()
    };
    let given = heads(follows, &params());
    let (first, then): (Vec<_>, Vec<_>) = given.into_iter().partition(|head| head.quality.is_none());
    assert_eq!(first.len(), then.len());
    for head in &first {
        let judged = then.iter().find(|other| other.head == head.head).unwrap();
        assert_eq!((&head.embedding, &head.plane), (&judged.embedding, &judged.plane));
        assert!(!head.draft);
    }
}

#[test]
fn with_drafts_a_wanted_head_is_the_first_draft_and_the_first_layout() {
    let wanted = heads(AtlasOptions::default(), &params()).pop().unwrap().head;
    let priority = Priority::default();
    priority.set(&[wanted]);
    let options = AtlasOptions {
        drafts: true,
        priority: Some(&priority),
        ..AtlasOptions::default()
    };
    let given = heads(options, &params());
    let (drafts, layouts) = given.split_at(given.len() / 2);
    assert!(drafts.iter().all(|head| head.draft) && layouts.iter().all(|head| !head.draft));
    assert_eq!((drafts[0].head, layouts[0].head), (wanted, wanted));
}

#[test]
fn a_head_without_a_draft_has_its_layout() {
    // Two dimensions have no three components.
    let capture = capture_of(2);
    let params = AtlasParams {
        dims: Dims::Three,
        ..params()
    };
    let options = AtlasOptions {
        drafts: true,
        ..AtlasOptions::default()
    };
    let given = Mutex::new(Vec::new());
    let failures = atlas(
        &capture,
        &params,
        options,
        &|head| given.lock().unwrap().push(head.draft),
        &(),
    )
    .unwrap();
    assert!(failures.is_empty());
    assert_eq!(given.into_inner().unwrap(), vec![false; 8]);
}

#[test]
fn the_order_can_be_changed_while_it_runs() {
    let all = heads(AtlasOptions::default(), &params());
    let capture = capture();
    let priority = Priority::default();
    let order = Mutex::new(Vec::new());
    let last = all[all.len() - 1].head;
    let on_head = |head: HeadProjection| {
        priority.set(&[last]);
        order.lock().unwrap().push(head.head);
    };
    let options = AtlasOptions {
        priority: Some(&priority),
        ..AtlasOptions::default()
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| atlas(&capture, &params(), options, &on_head, &()).unwrap());
    let order = order.into_inner().unwrap();
    assert_eq!((order[0], order[1], order.len()), (all[0].head, last, all.len()));
}

#[test]
fn some_heads_only() {
    let wanted = [
        HeadId::new(Attention::Cross, 1, 0),
        HeadId::new(Attention::DecoderSelf, 0, 1),
    ];
    let options = AtlasOptions {
        heads: Some(&[wanted[0], wanted[1], wanted[0]]),
        ..AtlasOptions::default()
    };
    let mut found: Vec<HeadId> = heads(options, &params()).iter().map(|head| head.head).collect();
    found.sort();
    assert_eq!(found, [wanted[1], wanted[0]]);
}

#[test]
fn a_stopped_run_goes_on_from_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let cache = AtlasCache::open(folder.path().join("projections")).unwrap();
    let options = AtlasOptions {
        cache: Some(&cache),
        ..AtlasOptions::default()
    };
    let capture = capture();
    let stop = |_: &str, done: usize, _: usize| match done {
        0..3 => std::ops::ControlFlow::Continue(()),
        _ => std::ops::ControlFlow::Break(()),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let stopped = pool.install(|| atlas(&capture, &params(), options, &|_| {}, &stop));
    assert!(stopped.unwrap_err().is_cancelled());
    let kept = files(&cache);
    assert_eq!(kept.len(), 3);
    let written: Vec<_> = kept
        .iter()
        .map(|path| fs::metadata(path).unwrap().modified().unwrap())
        .collect();

    let mut plain = heads(AtlasOptions::default(), &params());
    let mut resumed = heads(options, &params());
    plain.sort_by_key(|head| head.head);
    resumed.sort_by_key(|head| head.head);
    assert_eq!(resumed, plain);
    assert_eq!(files(&cache).len(), plain.len());
    // What was there was read, not made again.
    let again: Vec<_> = kept
        .iter()
        .map(|path| fs::metadata(path).unwrap().modified().unwrap())
        .collect();
    assert_eq!(again, written);

    // Another seed is another layout, under another name.
    let other = AtlasParams { seed: 5, ..params() };
    assert_ne!(heads(options, &other)[0].embedding, plain[0].embedding);
    assert_eq!(files(&cache).len(), 2 * plain.len());
}

#[test]
fn every_revision_is_in_the_name() {
    let capture = capture();
    let head = capture.model().heads().next().unwrap();
    for method in [Pca.into(), Method::from(Tsne::default()), Umap::default().into()] {
        let params = AtlasParams { method, ..params() };
        let atlas = Atlas::new(&capture, &params);
        let revisions = atlas.revisions();
        let name = atlas.name(head, &revisions).unwrap();
        assert_eq!(name, atlas.name(head, &revisions).unwrap());
        for i in 0..revisions.len() {
            let mut raised = revisions.clone();
            raised[i] += 1;
            assert_ne!(name, atlas.name(head, &raised).unwrap());
        }
    }
}

/// Where a method reads attention, all that attention depends on is in the name of a head; elsewhere it is not.
#[test]
fn whatever_changes_links_is_in_the_name() {
    let vectors = |info: &mut AttentionInfo| {
        info.relative_vectors = Some(RelativeVectors {
            buckets: 4,
            exact: 2,
            max_distance: 2,
            keys: true,
            queries: true,
        });
    };
    let bias = |step: f32| {
        move |info: &mut AttentionInfo| {
            info.relative_bias = Some(RelativeBias {
                bidirectional: false,
                max_distance: 4,
                table: vec![vec![0.0, step, 0.5, 0.25]; 2],
            });
        }
    };
    let captures = [
        capture(),
        capture_with(4, bias(0.5), 0.0),
        capture_with(4, bias(0.75), 0.0),
        capture_with(4, |info| info.alibi = Some(Alibi::of_heads(2)), 0.0),
        capture_with(4, |info| info.layers[1].soft_cap = Some(2.0), 0.0),
        capture_with(4, vectors, 0.0),
        capture_with(4, vectors, 1.0),
    ];
    let head = HeadId::new(Attention::DecoderSelf, 1, 0);
    for (key, names) in [("attention", captures.len()), ("umap", 1)] {
        let params = AtlasParams {
            method: key.parse().unwrap(),
            ..params()
        };
        let name = |capture| {
            let atlas = Atlas::new(capture, &params);
            atlas.name(head, &atlas.revisions()).unwrap()
        };
        let mut found: Vec<String> = captures.iter().map(name).collect();
        found.sort();
        found.dedup();
        assert_eq!(found.len(), names, "{key}");
        // Each of them is another attention indeed.
        let links = captures.iter().map(|capture| Atlas::new(capture, &params).links(head));
        let links: Vec<_> = links.map(Result::unwrap).collect();
        let other = |at: usize| links[..at].iter().all(|before| *before != links[at]);
        assert!(names == 1 || (0..links.len()).all(other));
    }
}

#[test]
fn damaged_files_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = AtlasCache::open(folder.path()).unwrap();
    let head = HeadId::new(Attention::DecoderSelf, 1, 0);
    let options = AtlasOptions {
        heads: Some(&[head]),
        cache: Some(&cache),
        ..AtlasOptions::default()
    };
    let made = heads(options, &params());
    let path = files(&cache).remove(0);
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let whole = fs::read(&path).unwrap();
    let (capture, params_) = (capture(), params());
    let expected = Atlas::new(&capture, &params_).expected(head).unwrap();
    let read = |bytes: &[u8], name: &str| file::read(bytes, name, &expected);
    assert_eq!(read(&whole, &name).as_ref(), made.first());
    assert_eq!(file::write(&made[0], &name).unwrap(), whole, "the same bytes");
    assert_eq!(read(&whole, "another name"), None);
    for cut in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        assert_eq!(read(&whole[..cut], &name), None, "cut at {cut}");
    }
    for place in (0..whole.len()).step_by(37) {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        assert!(
            read(&bytes, &name).is_none_or(|read| read == made[0]),
            "bit of byte {place}"
        );
    }
    fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    assert_eq!(heads(options, &params()), made);
    assert_eq!(fs::read(&path).unwrap(), whole);
    assert_eq!(cache.ignored(), [path]);
}

#[test]
fn files_that_another_program_wrote_are_checked_too() {
    let folder = tempfile::tempdir().unwrap();
    let cache = AtlasCache::open(folder.path()).unwrap();
    let head = HeadId::new(Attention::DecoderSelf, 1, 0);
    let options = AtlasOptions {
        heads: Some(&[head]),
        cache: Some(&cache),
        ..AtlasOptions::default()
    };
    let made = heads(options, &params()).remove(0);
    let path = files(&cache).remove(0);
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let points = made.embedding.points.nrows();
    type Change<'a> = &'a dyn Fn(&mut HeadProjection);
    let changes: [(&str, Change<'_>); 11] = [
        ("more queries than points", &|head| head.queries = points + 1),
        ("absurdly many queries", &|head| head.queries = usize::MAX),
        ("fewer queries", &|head| head.queries -= 1),
        ("another head", &|found| found.head.head += 1),
        ("fewer points", &|head| {
            head.embedding.points = head.embedding.points.slice(ndarray::s![1.., ..]).to_owned();
        }),
        ("another dimension", &|head| {
            head.embedding.points = ndarray::Array2::zeros((points, 7));
        }),
        ("a coordinate that is not finite", &|head| {
            head.embedding.points[[0, 1]] = f32::NAN
        }),
        ("a normalization of another width", &|head| {
            head.normalization.shift.pop();
        }),
        ("scores of fewer points", &|head| {
            let quality = head.quality.as_mut().unwrap();
            for score in [
                &mut quality.trustworthiness,
                &mut quality.continuity,
                &mut quality.neighbors_kept,
            ] {
                score.points.pop();
            }
        }),
        ("a sample beyond the points", &|head| {
            head.quality.as_mut().unwrap().sampled = Some((1..=points as u32).collect());
        }),
        ("a sample out of order", &|head| {
            head.quality.as_mut().unwrap().sampled = Some((0..points as u32).rev().collect());
        }),
    ];
    for (what, change) in changes {
        let mut other = made.clone();
        change(&mut other);
        // With a right checksum.
        let bytes = file::write(&other, &name).unwrap();
        fs::write(&path, &bytes).unwrap();
        assert_eq!(heads(options, &params()), std::slice::from_ref(&made), "{what}");
        assert_ne!(fs::read(&path).unwrap(), bytes, "{what} is replaced");
    }
    assert_eq!(cache.ignored().len(), changes.len());
    // A pipe does not end.
    #[cfg(unix)]
    {
        fs::remove_file(&path).unwrap();
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(heads(options, &params()), [made]);
    }
}

#[test]
fn the_oldest_go_first() {
    let folder = tempfile::tempdir().unwrap();
    let cache = AtlasCache::open(folder.path()).unwrap();
    let options = |cache| AtlasOptions {
        cache: Some(cache),
        ..AtlasOptions::default()
    };
    let count = heads(options(&cache), &params()).len();
    fs::write(folder.path().join("notes.txt"), "not ours").unwrap();
    let total = cache.bytes().unwrap();
    assert_eq!(cache.prune(total).unwrap(), 0);
    assert!(cache.prune(total / 2).unwrap() >= count / 2 && cache.bytes().unwrap() <= total / 2);
    assert!(cache.prune(0).unwrap() > 0);
    assert_eq!(cache.bytes().unwrap(), 0);
    assert_eq!(files(&cache).len(), 1, "files of others stay");
    // A bound below one head keeps the newest.
    let tight = cache.clone().with_most_bytes(1);
    assert_eq!(heads(options(&tight), &params()).len(), count);
    assert_eq!(files(&tight).len(), 2);
}

#[test]
fn a_cache_that_cannot_be_written_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cache = AtlasCache::open(folder.path().join("gone")).unwrap();
    fs::remove_dir(cache.folder()).unwrap();
    let made = Mutex::new(0);
    let count = |_: HeadProjection| *made.lock().unwrap() += 1;
    let options = AtlasOptions {
        cache: Some(&cache),
        ..AtlasOptions::default()
    };
    let capture = capture();
    assert!(matches!(
        atlas(&capture, &params(), options, &count, &()),
        Err(Error::Core(_))
    ));
    assert_eq!(*made.lock().unwrap(), capture.model().heads().count());
    // A capture in memory has no folder to put one beside.
    assert!(AtlasCache::beside(&capture).unwrap().is_none());
}

#[test]
fn points_of_a_head_take_a_sentence_in() {
    let (capture, params) = (capture(), params());
    let head = HeadId::new(Attention::DecoderSelf, 0, 1);
    let points = head_points(&capture, head, &params).unwrap();
    let made = project_head(&capture, head, &params, &()).unwrap();
    assert_eq!(
        (points.queries, &points.normalization),
        (made.queries, &made.normalization)
    );
    let fitted = FittedProjection::new(points.points.view(), made.embedding.clone(), &params.projector(), &()).unwrap();
    // A sentence seen before, normalized as the head was: it lands on itself.
    let rows = points.points.slice(ndarray::s![..9, ..]);
    let placed = fitted.transform(rows, &()).unwrap();
    assert_eq!(placed, made.embedding.points.slice(ndarray::s![..9, ..]));
}
