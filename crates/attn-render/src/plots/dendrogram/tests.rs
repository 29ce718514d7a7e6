use super::*;
use crate::{labels::place_labels, projection::Projection};

fn leaf(name: &str) -> DendrogramLeaf {
    DendrogramLeaf {
        name: name.into(),
        size: 3,
        height: 0.5,
    }
}

fn merge(left: usize, right: usize, height: f32) -> DendrogramMerge {
    DendrogramMerge { left, right, height }
}

/// Leaves 0 to 3: (1 3), then 0 with it, then 2.
const MERGES: [DendrogramMerge; 3] = [
    DendrogramMerge {
        left: 1,
        right: 3,
        height: 1.0,
    },
    DendrogramMerge {
        left: 0,
        right: 4,
        height: 2.0,
    },
    DendrogramMerge {
        left: 2,
        right: 5,
        height: 8.0,
    },
];

#[test]
fn branches_never_cross_and_unions_stand_left_of_their_parts() {
    let leaves = ["a", "b", "c", "d"].map(leaf);
    let tree = Dendrogram::new(leaves.clone(), MERGES);
    let scene = tree.scene(&ViewState::default(), tree.natural_size()).unwrap();
    let regions = &scene.layers[1].regions;
    let middle = |node: u32| {
        regions
            .iter()
            .find(|region| region.id() == Some(node))
            .unwrap()
            .rect
            .center()
    };
    // Depth first: 0 beside its sister (1 3), 2 apart.
    let mut order = [0, 1, 2, 3];
    order.sort_by(|&a, &b| middle(a)[1].total_cmp(&middle(b)[1]));
    assert_eq!(order, [1, 3, 0, 2]);
    assert!(middle(4)[0] > middle(5)[0] && middle(5)[0] > middle(6)[0]);
    // An upright line spans the middles of its parts.
    let union = regions.iter().find(|region| region.id() == Some(5)).unwrap().rect;
    assert!((union.min[1] - 0.5 * (middle(1)[1] + middle(3)[1])).abs() < 1e-3);
    assert!((union.max[1] - middle(0)[1]).abs() < 1e-3);
    // The height axis is linear: 1, 2 and 8.
    let steps = [middle(4)[0] - middle(5)[0], middle(5)[0] - middle(6)[0]];
    assert!((steps[1] - 6.0 * steps[0]).abs() < 1e-2, "{steps:?}");
}

#[test]
fn what_is_below_the_cut_has_one_color() {
    let leaves = ["a", "b", "c", "d"].map(leaf);
    let groups = |clusters| {
        let tree = Dendrogram {
            clusters,
            ..Dendrogram::new(leaves.clone(), MERGES)
        };
        tree.groups(&[1, 3, 0, 2])
    };
    assert_eq!(
        groups(2),
        [0, 0, 1, 0, 0, 0]
            .map(Some)
            .into_iter()
            .chain([None])
            .collect::<Vec<_>>()
    );
    assert_eq!(groups(4), [Some(2), Some(0), Some(3), Some(1), None, None, None]);
    let cut = |clusters| {
        Dendrogram {
            clusters,
            ..Dendrogram::new(leaves.clone(), MERGES)
        }
        .cut()
    };
    assert_eq!([1, 2, 3, 4].map(cut), [None, Some(5.0), Some(1.5), Some(0.75)]);
}

#[test]
fn words_keep_apart_and_stay_on_the_page() {
    let long = "a name that is far too long for the room that is left beside the tree of clusters, however wide";
    let names = ["a", long, "c", long];
    let leaves = names.map(leaf);
    let tree = Dendrogram {
        clusters: 3,
        ..Dendrogram::new(leaves.clone(), MERGES)
    };
    for size in [[320.0, 260.0], [900.0, 400.0]] {
        let scene = tree.scene(&ViewState::default(), size).unwrap();
        let labels = place_labels(&scene, &Projection::new(&scene, &ViewState::default(), size));
        let labels: Vec<_> = labels.iter().flatten().collect();
        for (i, a) in labels.iter().enumerate() {
            let inside = a.rect.min[0] >= 0.0 && a.rect.max[0] <= size[0] && a.rect.max[1] <= size[1];
            assert!(inside, "{}", a.text);
            for b in &labels[..i] {
                let apart = !a.rect.shrink(0.5).overlaps(&b.rect.shrink(0.5));
                assert!(apart, "{} {}", a.text, b.text);
            }
        }
    }
}

#[test]
fn trees_that_are_none_are_refused() {
    let leaves = ["a", "b", "c"].map(leaf);
    let scene = |leaves: &[DendrogramLeaf], merges: &[DendrogramMerge], clusters| {
        let tree = Dendrogram {
            clusters,
            ..Dendrogram::new(leaves, merges)
        };
        tree.scene(&ViewState::default(), [300.0; 2])
    };
    assert!(matches!(scene(&[], &[], 1), Err(Error::Empty { .. })));
    for (merges, clusters) in [
        (vec![merge(0, 1, 1.0)], 1),
        (vec![merge(0, 1, 1.0), merge(0, 2, 2.0)], 1),
        (vec![merge(0, 4, 1.0), merge(1, 2, 2.0)], 1),
        (vec![merge(0, 1, 2.0), merge(2, 3, 1.0)], 1),
        (vec![merge(0, 1, 1.0), merge(2, 3, 2.0)], 4),
        (vec![merge(0, 1, 1.0), merge(2, 3, 2.0)], 0),
    ] {
        assert!(
            matches!(scene(&leaves, &merges, clusters), Err(Error::Shape { .. })),
            "{merges:?}"
        );
    }
    let wrong = [merge(0, 1, f32::NAN), merge(2, 3, 2.0)];
    assert!(matches!(scene(&leaves, &wrong, 1), Err(Error::NotFinite { .. })));
    assert!(scene(&leaves[..1], &[], 1).is_ok(), "one cluster is a tree");
}

#[test]
fn a_chain_is_no_problem() {
    let leaves = vec![leaf("x"); 5_000];
    let merges: Vec<_> = (1..5_000)
        .map(|at| merge(at, if at == 1 { 0 } else { 5_000 + at - 2 }, at as f32))
        .collect();
    let tree = Dendrogram::new(leaves, merges);
    tree.scene(&ViewState::default(), tree.natural_size()).unwrap();
}

#[test]
fn the_table_has_leaves_and_unions() {
    let leaves = ["a", "b", "c", "d"].map(leaf);
    let csv = Dendrogram::new(leaves.clone(), MERGES)
        .table(&ViewState::default())
        .unwrap()
        .to_csv();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "node,left,right,height,members,name");
    assert_eq!(
        (lines[1], lines[5], lines[7]),
        ("0,,,0.5,3,a", "4,1,3,1,6,", "6,2,5,8,12,")
    );
    assert!(Dendrogram::new(leaves, []).table(&ViewState::default()).is_err());
}
