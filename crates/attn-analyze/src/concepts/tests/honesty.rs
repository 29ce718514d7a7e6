//! What a figure is about: clusters of one word apart, chance by what the model reads, all numbers of clusters.

use proptest::prelude::*;

use crate::{
    Rng,
    concepts::{
        AlignParams, LabelSet, LabelSource, Partition, Permute, Units, WhyDropped, Word, Words, align, sweep,
        sweep_counts, tests::clustering::blobs, ward,
    },
};

fn word(text: &str, input: usize, sentence: usize) -> Word {
    Word {
        text: text.into(),
        input,
        sentence,
        ..Word::default()
    }
}

fn units(words: Vec<Word>) -> Units {
    Units::new(&Words {
        words,
        dropped: Vec::new(),
    })
}

fn chance(clusters: &Partition, labels: &LabelSet, units: &Units, permute: Permute) -> f64 {
    let params = AlignParams {
        permute,
        min_words: 1,
        permutations: 50,
        ..AlignParams::default()
    };
    let found = align(clusters, labels, units, &params, &()).unwrap();
    found.aligned.chance.unwrap().mean
}

/// To a model without case, `The` and `the` are one input: a cluster of both is as uniform by chance as it was.
#[test]
fn what_the_model_reads_as_one_word_keeps_its_labels_together() {
    let forms = |at: usize| {
        if at.is_multiple_of(2) {
            format!("W{}", at / 6)
        } else {
            format!("w{}", at / 6)
        }
    };
    let clusters = Partition::new(&(0..60).map(|at| at / 6).collect::<Vec<_>>());
    let labels = LabelSet::new("tag", (0..60).map(|at| vec![if at < 30 { "A" } else { "B" }]));
    let words = |input: fn(usize) -> usize| units((0..60).map(|at| word(&forms(at), input(at), at)).collect());
    let uncased = words(|at| at / 6);
    let cased = words(|at| 2 * (at / 6) + at % 2);
    assert_eq!(chance(&clusters, &labels, &uncased, Permute::Types), 1.0);
    assert!(chance(&clusters, &labels, &cased, Permute::Types) < 0.9);
    assert_eq!(uncased.words_in(&clusters), vec![1; 10]);
}

/// Every cluster is one sentence. If sentences exchange their labels, each is still of one class; if words do, none is.
#[test]
fn labels_of_sentences_change_places_between_sentences() {
    let clusters = Partition::new(&(0..80).map(|at| at / 8).collect::<Vec<_>>());
    let units = units((0..80).map(|at| word(&format!("w{at}"), at, at / 8)).collect());
    let mut labels = LabelSet::new("class", (0..80).map(|at| vec![if at < 40 { "A" } else { "B" }]));
    assert!(chance(&clusters, &labels, &units, Permute::Types) < 0.2);
    labels.source = LabelSource::Sentences;
    assert_eq!(chance(&clusters, &labels, &units, Permute::Types), 1.0);
}

#[test]
fn reasons_are_told_apart() {
    let dropped = crate::concepts::DroppedWord {
        why: WhyDropped::Unknown,
        ..Default::default()
    };
    let words = Words {
        words: Vec::new(),
        dropped: vec![dropped],
    };
    assert_eq!(
        [WhyDropped::Unknown, WhyDropped::Cut].map(|why| words.dropped_for(why)),
        [1, 0]
    );
}

#[test]
fn scripts_without_case_have_no_casing() {
    let casing = LabelSet::casing(&["天安门", "घर", "بيت", "Δέλτα", "ΝΑΤΟ", "X線"]);
    let names: Vec<Vec<&str>> = casing
        .of
        .iter()
        .map(|of| of.iter().map(|&label| casing.labels[label].as_str()).collect())
        .collect();
    assert_eq!(
        names,
        [vec![], vec![], vec![], vec!["Title"], vec!["UPPER"], vec!["Title"]]
    );
}

/// A cell of a sweep is what `align` finds for that cut and threshold.
#[test]
fn a_sweep_is_the_alignment_of_every_cut() {
    let points = blobs(400, 6, 12, 5);
    let tree = ward(points.view(), None, &()).unwrap();
    let mut rng = Rng::new(3, &[]);
    let words: Vec<Word> = (0..400)
        .map(|at| word(&format!("w{}", at % 90), at % 90, at / 10))
        .collect();
    let labels = LabelSet::new(
        "tag",
        (0..400).map(|at| {
            let noise = rng.below(5) == 0;
            vec![["a", "b", "c", "d"][if noise { rng.below(4) } else { at % 12 / 3 }]]
        }),
    );
    let units = units(words);
    let params = AlignParams {
        permutations: 4,
        ..AlignParams::default()
    };
    let counts = sweep_counts(400);
    assert_eq!(counts, [10, 20]);
    let found = sweep(&tree, &labels, &units, &counts, &params, &()).unwrap();
    for (row, &count) in counts.iter().enumerate() {
        let cut = tree.cut(count).unwrap();
        for (column, &threshold) in found.thresholds.iter().enumerate() {
            let params = AlignParams {
                threshold,
                ..params.clone()
            };
            let alone = align(&cut, &labels, &units, &params, &()).unwrap();
            assert_eq!(found.aligned[row][column], alone.aligned, "{count} {threshold}");
            assert_eq!(found.judged[row], alone.judged);
        }
    }
}

#[test]
fn a_plateau_surrounds_the_largest_excess() {
    let cell = |value: f64| {
        vec![crate::concepts::Against {
            value,
            chance: Some(crate::concepts::Chance {
                mean: 0.1,
                deviation: 0.0,
            }),
        }]
    };
    let found = crate::concepts::Sweep {
        clusters: vec![10, 20, 50, 100, 200],
        thresholds: vec![0.9],
        aligned: [0.2, 0.55, 0.6, 0.52, 0.3].into_iter().map(cell).collect(),
        judged: vec![9, 18, 40, 70, 90],
        ..Default::default()
    };
    let plateau = found.plateau(0.9).unwrap();
    assert_eq!((plateau.clusters, plateau.judged), ((20, 100), (18, 70)));
    assert_eq!(plateau.numbers(), "20 to 100 (18 to 70 judged)");
    assert!((plateau.excess.0 - 0.42).abs() < 1e-12 && (plateau.excess.1 - 0.5).abs() < 1e-12);
    assert_eq!(found.plateau(0.5), None);
    // One that rises to the last number may rise further; nothing is said beyond what was tried.
    let rising = crate::concepts::Sweep {
        aligned: [0.1, 0.2, 0.55, 0.6, 0.6].into_iter().map(cell).collect(),
        ..found.clone()
    };
    let plateau = rising.plateau(0.9).unwrap();
    assert_eq!((plateau.clusters, plateau.open), ((50, 200), (false, true)));
    assert_eq!(
        plateau.numbers(),
        "50 to 200, the most that were tried (40 to 90 judged)"
    );
    let flat = crate::concepts::Sweep {
        aligned: [0.5; 5].into_iter().map(cell).collect(),
        ..found
    };
    assert_eq!(flat.plateau(0.9).unwrap().open, (true, true));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]
    /// The three kinds of clusters, counted by hand.
    #[test]
    fn one_word_and_several_are_apart(
        points in prop::collection::vec((0_usize..6, 0_usize..5, 0_usize..3), 1..50),
        min_words in 1_usize..4,
    ) {
        let clusters = Partition::new(&points.iter().map(|point| point.0).collect::<Vec<_>>());
        let types: Vec<String> = points.iter().map(|point| ["a", "A", "b", "c", "C"][point.1].to_owned()).collect();
        let types: Vec<&str> = types.iter().map(String::as_str).collect();
        let labels = LabelSet::new("l", points.iter().map(|point| vec![["x", "y", "z"][point.2]]));
        let params = AlignParams { min_words, permutations: 0, ..AlignParams::default() };
        let found = align(&clusters, &labels, &Units::of_types(&types), &params, &()).unwrap();
        let (mut judged, mut aligned, mut one, mut one_aligned) = (0, 0, 0, 0);
        for members in clusters.members() {
            let words: std::collections::BTreeSet<String> = members.iter().map(|&at| types[at].to_lowercase()).collect();
            let most = (0..3).map(|label| members.iter().filter(|&&at| points[at].2 == label).count()).max().unwrap();
            let fits = usize::from(most as f64 >= 0.9 * members.len() as f64 - 1e-9);
            if words.len() >= min_words { judged += 1; aligned += fits; }
            if words.len() == 1 { one += 1; one_aligned += fits; }
        }
        prop_assert_eq!((found.judged, found.one_word.clusters), (judged, one));
        prop_assert_eq!(found.aligned.value, aligned as f64 / judged.max(1) as f64);
        prop_assert_eq!(found.one_word.aligned.value, one_aligned as f64 / one.max(1) as f64);
    }
}
