//! The scorer on sets small enough to count by hand, and against chance.

use attn_core::Token;
use proptest::prelude::*;

use crate::{
    Error, Rng,
    concepts::{
        Against, AlignParams, AlignRule, Fate, LabelSet, NameKind, Namer, OverlapParams, Partition, Permute, Units,
        Word, Words, align, carried, changes, name_clusters, overlap,
    },
};

fn plain() -> AlignParams {
    AlignParams {
        permutations: 0,
        ..AlignParams::default()
    }
}

/// Three clusters: 10 words with 9 nouns; 4 verbs; 5 words, 3 of them without a tag.
fn example() -> (Partition, LabelSet, Vec<String>) {
    let clusters: Vec<usize> = [vec![0; 10], vec![1; 4], vec![2; 5]].concat();
    let mut tags = vec![vec!["NOUN"]; 9];
    tags.push(vec!["VERB"]);
    tags.extend(vec![vec!["VERB"]; 4]);
    tags.extend([vec!["ADJ"], vec!["ADJ"], vec![], vec![], vec![]]);
    let types = (0..19).map(|at| format!("w{}", at % 7)).collect();
    (Partition::new(&clusters), LabelSet::new("tag", tags), types)
}

#[test]
fn words_are_counted_as_they_stand() {
    let (clusters, tags, types) = example();
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let found = align(&clusters, &tags, &Units::of_types(&types), &plain(), &()).unwrap();
    // Aligned: nouns (9 of 10), verbs; the third has 3 of 5 without a tag. Covered: NOUN and VERB of ADJ, NOUN, VERB.
    assert_eq!(found.aligned.value, 2.0 / 3.0);
    assert_eq!(found.covered.value, 2.0 / 3.0);
    assert_eq!(found.score.value, 2.0 / 3.0);
    assert_eq!(found.score.chance, None);
    assert_eq!(found.best[2], None);
    assert_eq!(found.clusters["ADJ"].value, 0.0);

    let strict = AlignRule::Words {
        strict: true,
        most_unlabeled: 1.0,
    };
    let found = align(
        &clusters,
        &tags,
        &Units::of_types(&types),
        &AlignParams {
            rule: strict,
            ..plain()
        },
        &(),
    )
    .unwrap();
    assert_eq!(found.aligned.value, 1.0 / 3.0, "9 of 10 is not more than 0.9");
    // Words without a label count in the cluster's size: 2 of 5.
    assert_eq!(
        found.best[2].as_ref().map(|best| (best.share, best.aligned)),
        Some((0.4, false))
    );
}

#[test]
fn spellings_are_counted_once() {
    // Cluster 0: a a a b c; cluster 1: d e. Labels: X on one a, b and c; Y on d.
    let clusters = Partition::new(&[0, 0, 0, 0, 0, 1, 1]);
    let types = ["a", "a", "a", "b", "c", "d", "e"];
    let labels = LabelSet::new(
        "set",
        [vec!["X"], vec![], vec![], vec!["X"], vec!["X"], vec!["Y"], vec![]],
    );
    let rule = |more_than, label_at_least| AlignRule::Types {
        more_than,
        label_at_least,
    };
    let judge = |rule| {
        align(
            &clusters,
            &labels,
            &Units::of_types(&types),
            &AlignParams { rule, ..plain() },
            &(),
        )
        .unwrap()
    };
    let found = judge(rule(2, 1));
    assert_eq!(
        (found.aligned.value, found.covered.value, found.score.value),
        (0.5, 0.5, 0.5)
    );
    assert_eq!(found.best[1], None, "two spellings are not more than two");
    let found = judge(rule(1, 3));
    assert_eq!(
        (found.aligned.value, found.covered.value),
        (0.5, 1.0),
        "Y has one spelling and does not count"
    );
    assert_eq!(judge(AlignRule::PUBLISHED_TYPES).aligned.value, 0.0);
}

#[test]
fn several_labels_and_ties() {
    let clusters = Partition::new(&[0, 0, 1, 1]);
    let labels = LabelSet::new("affix", [vec!["-ng", "-ing"], vec!["-ng", "-ing"], vec!["-ng"], vec![]]);
    let found = align(
        &clusters,
        &labels,
        &Units::of_types(&["a", "b", "c", "d"]),
        &plain(),
        &(),
    )
    .unwrap();
    // Both endings hold for all of cluster 0; the rarer one names it, both are covered.
    assert_eq!(found.best[0].as_ref().unwrap().label, "-ing");
    assert_eq!((found.aligned.value, found.covered.value), (0.5, 1.0));
}

#[test]
fn random_clusters_score_what_chance_gives() {
    let mut rng = Rng::new(8, &[]);
    let n = 4000;
    let types: Vec<String> = (0..n).map(|at| format!("word{at}")).collect();
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let labels = LabelSet::new("random", (0..n).map(|_| vec![["a", "a", "b", "c"][rng.below(4)]]));
    let clusters = Partition::new(&(0..n).map(|_| rng.below(1000)).collect::<Vec<_>>());
    for permute in [Permute::Words, Permute::Types] {
        let options = AlignParams {
            permute,
            permutations: 40,
            ..AlignParams::default()
        };
        let found = align(&clusters, &labels, &Units::of_types(&types), &options, &()).unwrap();
        let chance = found.aligned.chance.unwrap();
        assert!(found.aligned.value > 0.05 && chance.deviation > 0.0);
        assert!(
            (found.aligned.value - chance.mean).abs() < 5.0 * chance.deviation,
            "{found:?}"
        );
    }
}

#[test]
fn the_chance_of_one_word_clusters_is_that_of_spellings() {
    // Each cluster is one word, each word has one tag: aligned, and so by chance, if labels move with spellings.
    let clusters = Partition::new(&(0..60).map(|at| at / 6).collect::<Vec<_>>());
    let types: Vec<String> = (0..60).map(|at| format!("w{}", at / 6)).collect();
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let labels = LabelSet::new("tag", (0..60).map(|at| vec![if at < 30 { "A" } else { "B" }]));
    let chance = |permute| {
        let options = AlignParams {
            permute,
            min_words: 1,
            ..AlignParams::default()
        };
        align(&clusters, &labels, &Units::of_types(&types), &options, &())
            .unwrap()
            .aligned
            .chance
            .unwrap()
            .mean
    };
    assert_eq!(chance(Permute::Types), 1.0);
    assert!(chance(Permute::Words) < 0.2);
}

#[test]
fn what_does_not_fit_is_refused() {
    let (clusters, tags, types) = example();
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let refused = |options: AlignParams| align(&clusters, &tags, &Units::of_types(&types), &options, &()).unwrap_err();
    for threshold in [0.0, 1.1, f64::NAN] {
        assert!(matches!(
            refused(AlignParams { threshold, ..plain() }),
            Error::Parameter { name: "threshold", .. }
        ));
    }
    let none = LabelSet::new("none", vec![Vec::<&str>::new(); 19]);
    assert!(matches!(
        align(&clusters, &none, &Units::of_types(&types), &plain(), &()),
        Err(Error::Empty { .. })
    ));
    assert!(matches!(
        align(&clusters, &tags, &Units::of_types(&types[1..]), &plain(), &()),
        Err(Error::Shape { .. })
    ));
    let nobody = Partition::new(&[]);
    assert!(matches!(
        overlap(&nobody, &[], &nobody, &[], &OverlapParams::default()),
        Err(Error::Empty { .. })
    ));
}

#[test]
fn clusters_are_found_again_in_one_direction() {
    // Base: {a b c d} {e f}; after: {a b c d e f} {x}.
    let (base, after) = (
        Partition::new(&[0, 0, 0, 0, 1, 1]),
        Partition::new(&[0, 0, 0, 0, 0, 0, 1]),
    );
    let (words, more) = (["a", "b", "c", "d", "e", "f"], ["a", "b", "c", "d", "e", "f", "x"]);
    let options = OverlapParams {
        permutations: 0,
        ..OverlapParams::default()
    };
    let there = |options: &OverlapParams| overlap(&base, &words, &after, &more, options).unwrap();
    assert_eq!(there(&options).found.all.value, 1.0);
    let back = overlap(&after, &more, &base, &words, &options).unwrap();
    assert_eq!(back.found.all.value, 0.0);
    assert_eq!(
        back.matches[0].map(|found| (found.cluster, found.share)),
        Some((0, 4.0 / 6.0))
    );
    assert_eq!(back.matches[1], None);
    // 4 of 6 is more than half as large, 2 of 6 is not. More than two spellings leave one cluster to judge, which is found.
    assert_eq!(
        there(&OverlapParams {
            size_ratio: 0.5,
            ..options.clone()
        })
        .found
        .all
        .value,
        0.5
    );
    let large = there(&OverlapParams {
        more_than: 2,
        ..options
    });
    assert_eq!((large.found.all.value, large.found.small), (1.0, 1));
    let chance = there(&OverlapParams::default()).found.all.chance.unwrap();
    assert!(chance.mean < 1.0);
}

/// Clusters of one word are mostly found, others mostly not: counted one by one.
#[test]
fn clusters_of_one_word_are_found_apart() {
    // Base: {The the} {a b} {c} {d e f}; after: {The the a} {b} {c d e f}.
    let words = ["The", "the", "a", "b", "c", "d", "e", "f"];
    let (base, after) = (
        Partition::new(&[0, 0, 1, 1, 2, 3, 3, 3]),
        Partition::new(&[0, 0, 0, 1, 2, 2, 2, 2]),
    );
    let found = |more_than| {
        let params = OverlapParams {
            more_than,
            ..OverlapParams::default()
        };
        overlap(&base, &words, &after, &words, &params).unwrap().found
    };
    let all = found(0);
    assert_eq!((all.all.value, all.small), (0.75, 0));
    // `The` and `the` are one word; {a b} is not found, {d e f} is.
    assert_eq!((all.one_word.clusters, all.one_word.found.value), (2, 1.0));
    assert_eq!((all.several.clusters, all.several.found.value), (2, 0.5));
    let large = found(1);
    assert_eq!((large.small, large.all.value), (1, 2.0 / 3.0));
    assert_eq!((large.one_word.clusters, large.several.clusters), (1, 2));
    let none = found(3);
    assert_eq!((none.small, none.all.value, none.several.clusters), (4, 0.0, 0));
    // The mixture has the mean of the chance levels of both.
    let mean = |against: Against| against.chance.unwrap().mean;
    let mixed = 0.5 * (mean(all.several.found) + mean(all.one_word.found));
    assert!((mean(all.all) - mixed).abs() < 1e-12);
}

/// With a limit of spellings, a cluster below it is neither lost nor new.
#[test]
fn clusters_that_are_too_small_are_not_lost() {
    let words = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let before = Partition::new(&[0, 0, 0, 1, 1, 1, 2, 2]);
    let after = Partition::new(&[0, 0, 0, 1, 1, 2, 2, 1]);
    let found = |more_than| {
        let params = OverlapParams {
            more_than,
            permutations: 0,
            ..OverlapParams::default()
        };
        changes(&before, &words, &after, &words, &params).unwrap()
    };
    let all = found(0);
    assert_eq!((all.count(Fate::Lost), all.count(Fate::New)), ([2, 0], [0, 2]));
    assert_eq!((all.survive.all.value, all.survive.small), (1.0 / 3.0, 0));
    // {g h} and {f g} have two spellings.
    let large = found(2);
    assert_eq!((large.count(Fate::Lost), large.count(Fate::New)), ([1, 0], [0, 1]));
    assert_eq!(large.count(Fate::Survived), [1, 1]);
    assert_eq!((large.survive.all.value, large.survive.small), (0.5, 1));
    assert_eq!((large.known_before.all.value, large.known_before.small), (0.5, 1));
}

struct Numbers;

impl Namer for Numbers {
    fn name(&self, cluster: &crate::concepts::ClusterSummary<'_>) -> Result<Option<String>, Error> {
        Ok((cluster.cluster == 1).then(|| format!("{} words", cluster.points.len())))
    }
}

#[test]
fn names_follow_their_order() {
    let clusters = Partition::new(&[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4]);
    let types = [
        "The", "the", "a", "b", "cat", "blue", "unkind", "unwise", "red", "sun", "sun",
    ];
    let tags = LabelSet::new(
        "upos",
        types.iter().map(|word| {
            if ["cat", "blue"].contains(word) {
                vec!["X"]
            } else {
                vec!["A", "B"]
            }
        }),
    );
    let mut alignment = align(&clusters, &tags, &Units::of_types(&types), &plain(), &()).unwrap();
    for cluster in [3, 4] {
        alignment.best[cluster] = None;
    }
    let names = name_clusters(&clusters, &types, &[alignment], 0.9, Some(&Numbers)).unwrap();
    let found: Vec<(&str, NameKind)> = names.iter().map(|name| (name.text.as_str(), name.kind)).collect();
    assert_eq!(
        found,
        [
            ("The", NameKind::Word),
            ("2 words", NameKind::External),
            ("upos X: blue, cat", NameKind::Label),
            ("prefix un-", NameKind::Letters),
            ("sun, red", NameKind::Typical),
        ]
    );
}

#[test]
fn weights_of_tokens_become_weights_of_clusters() {
    let word = |text: &str, index, tokens: Vec<usize>| Word {
        text: text.into(),
        sentence: 3,
        index,
        tokens,
        ..Word::default()
    };
    let words = Words {
        words: vec![
            word("un", 0, vec![1, 2]),
            word("do", 1, vec![2]),
            word("it", 2, vec![3]),
        ],
        dropped: vec![],
    };
    let clusters = Partition::new(&[0, 1, 1]);
    let mut tokens = vec![Token::new("x"); 5];
    tokens[0] = Token {
        special: true,
        ..Token::new("[CLS]")
    };
    let carried =
        |sentence, weights: &[f32]| carried(&clusters, &words, sentence, &tokens[..weights.len().min(5)], weights);
    let found = carried(3, &[2.0, 1.0, -2.0, 4.0, -1.0]).unwrap();
    // Token 2 is shared: -1 each. Cluster 0: 1 - 1; cluster 1: -1 + 4. [CLS]: 2, outside: 1 of 10.
    assert_eq!(found.outside, 0.1);
    let special: Vec<_> = found
        .special
        .iter()
        .map(|token| (token.text.as_str(), token.weight, token.share))
        .collect();
    assert_eq!(special, [("[CLS]", 2.0, 0.2)]);
    let parts: Vec<_> = found.clusters.iter().map(|c| (c.cluster, c.weight, c.share)).collect();
    assert_eq!(parts, [(1, 3.0, 0.5), (0, 0.0, 0.2)]);
    assert_eq!(carried(0, &[1.0]).unwrap().special[0].share, 1.0);
    assert!(matches!(carried(3, &[1.0; 3]), Err(Error::Shape { .. })));
    assert!(matches!(carried(3, &[1.0; 6]), Err(Error::Shape { .. })));
    assert!(matches!(carried(3, &[f32::NAN; 5]), Err(Error::NotFinite { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]
    /// The scorer against its definition, written out.
    #[test]
    fn scores_are_their_definition(
        points in prop::collection::vec((0_usize..6, 0_usize..5, prop::option::of(0_usize..3)), 1..60),
        theta in 0.1_f64..1.0,
    ) {
        let clusters = Partition::new(&points.iter().map(|point| point.0).collect::<Vec<_>>());
        let types: Vec<String> = points.iter().map(|point| point.1.to_string()).collect();
        let types: Vec<&str> = types.iter().map(String::as_str).collect();
        let names = ["x", "y", "z"];
        let labels = LabelSet::new("l", points.iter().map(|point| point.2.map(|at| names[at]).into_iter().collect::<Vec<_>>()));
        prop_assume!(!labels.labels.is_empty());
        let rule = AlignRule::Words { strict: false, most_unlabeled: 1.0 };
        let options = AlignParams { threshold: theta, rule, min_words: 1, ..plain() };
        let found = align(&clusters, &labels, &Units::of_types(&types), &options, &()).unwrap();
        let mut aligned = 0;
        let mut covered = std::collections::BTreeSet::new();
        for members in clusters.members() {
            let with = |label: &String| members.iter().filter(|&&at| {
                points[at].2.is_some_and(|tag| names[tag] == label)
            }).count() as f64 / members.len() as f64;
            let fits: Vec<&String> = labels.labels.iter().filter(|label| with(label) >= theta - 1e-12).collect();
            aligned += usize::from(!fits.is_empty());
            covered.extend(fits);
        }
        prop_assert_eq!(found.aligned.value, aligned as f64 / clusters.count() as f64);
        prop_assert_eq!(found.covered.value, covered.len() as f64 / labels.labels.len() as f64);
    }
}
