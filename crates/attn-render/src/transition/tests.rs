//! Points move, lines and labels with them, and nothing flickers on the way.

use attn_core::{Attention, HeadId};

use super::*;
use crate::{
    Plot, Theme,
    camera::Orbit,
    labels::{PlacedLabel, place_labels},
    plots::{Coordinates, Head, HeadSequence},
    projection::Projection,
    state::Shared,
};

const ID: HeadId = HeadId {
    attention: Attention::EncoderSelf,
    layer: 1,
    head: 2,
};

fn scene(values: &[f32], dims: usize, queries: usize) -> Scene {
    let view = ViewState::default();
    Head::new(ID, Coordinates::new(values, dims).unwrap(), queries)
        .scene(&view, [400.0, 300.0])
        .unwrap()
}

/// Where the points of the open panel are seen, by id.
fn seen(scene: &Scene, view: &ViewState) -> Vec<(u32, [f32; 2])> {
    let projection = Projection::new(scene, view, scene.size);
    let points = scene.layers.iter().flat_map(|layer| layer.points.iter());
    let mut seen: Vec<_> = points
        .filter(|point| point.is_pickable() && point.color.0[3] > 0)
        .map(|point| {
            let [x, y, _] = projection.panels[point.panel()].px_from_data.apply(point.position);
            (point.id, [x, y])
        })
        .collect();
    seen.sort_by_key(|(id, _)| *id);
    seen
}

fn cloud(dims: usize, scale: f32, turn: u16) -> Vec<f32> {
    (0..60 * dims as u16)
        .map(|i| scale * f32::from((i * 37 + turn) % 101))
        .collect()
}

#[test]
fn it_starts_where_points_were_seen_and_ends_in_the_later_scene() {
    for dims in [2, 3] {
        let (before, after) = (
            scene(&cloud(dims, 1.0, 0), dims, 30),
            scene(&cloud(dims, 40.0, 55), dims, 30),
        );
        let view = ViewState {
            orbit: Orbit {
                yaw: 1.0,
                pitch: 0.2,
                zoom: 1.5,
            },
            ..ViewState::default()
        };
        let way = Transition::new(&before, after.clone(), &view);
        let (first, last) = (seen(&way.at(0.0), &view), seen(&way.at(1.0), &view));
        for ((id, found), (expected_id, expected)) in first.iter().zip(seen(&before, &view)) {
            assert_eq!(*id, expected_id);
            let off = (found[0] - expected[0]).hypot(found[1] - expected[1]);
            assert!(off < 0.02, "{dims}: {found:?} {expected:?}");
        }
        assert_eq!(last, seen(&after, &view));
        assert_eq!(first.len(), 60);
        // Half the time is half the way; easing is symmetric.
        if dims == 2 {
            for (((_, a), (_, b)), (_, middle)) in first.iter().zip(&last).zip(seen(&way.at(0.5), &view)) {
                assert!((0.5 * (a[0] + b[0]) - middle[0]).abs() < 0.02);
            }
        }
    }
}

#[test]
fn it_moves_slowly_at_both_ends_and_never_back() {
    let view = ViewState::default();
    let (before, after) = (scene(&[0.0, 0.0, 1.0, 1.0], 2, 1), scene(&[1.0, 0.0, 0.0, 1.0], 2, 1));
    let way = Transition::new(&before, after, &view);
    let x = |t: f32| seen(&way.at(t), &view)[0].1[0];
    let steps: Vec<f32> = (0..10_u8)
        .map(|i| x(f32::from(i + 1) / 10.0) - x(f32::from(i) / 10.0))
        .collect();
    assert!(steps.iter().all(|step| *step > 0.0), "{steps:?}");
    assert!(steps[0] < 0.4 * steps[4] && steps[9] < 0.4 * steps[5], "{steps:?}");
    assert_eq!(x(-3.0), x(0.0));
    assert_eq!(x(f32::NAN), x(1.0));
}

#[test]
fn reduced_motion_is_there_at_once() {
    let after = scene(&[1.0, 0.0, 0.0, 1.0], 2, 1);
    let view = ViewState::from(Shared {
        reduced_motion: true,
        ..Shared::default()
    });
    let way = Transition::new(&scene(&[0.0, 0.0, 1.0, 1.0], 2, 1), after.clone(), &view);
    assert_eq!(seen(&way.at(0.0), &view), seen(&after, &view));
}

#[test]
fn points_of_one_side_only_fade() {
    let way = Transition::new(
        &scene(&cloud(2, 1.0, 0)[..20], 2, 5),
        scene(&cloud(2, 1.0, 3)[..12], 2, 3),
        &ViewState::default(),
    );
    let alphas = |t: f32| {
        let scene = way.at(t);
        let mut alphas: Vec<(u32, u8)> = (scene.layers.iter().flat_map(|layer| layer.points.iter()))
            .filter(|point| point.is_pickable())
            .map(|point| (point.id, point.color.0[3]))
            .collect();
        alphas.sort_unstable();
        alphas
    };
    let start = alphas(0.0);
    assert_eq!(start.len(), 10);
    assert!(start.iter().all(|(_, alpha)| *alpha == 255));
    assert_eq!(alphas(0.5)[6..], [(6, 128), (7, 128), (8, 128), (9, 128)]);
    assert_eq!(alphas(1.0).len(), 6);
    let back = Transition::new(
        &scene(&cloud(2, 1.0, 0)[..12], 2, 3),
        scene(&cloud(2, 1.0, 0)[..20], 2, 5),
        &ViewState::default(),
    );
    let appearing = back.at(0.0).layers[1]
        .points
        .iter()
        .filter(|p| p.color.0[3] == 0)
        .count();
    assert_eq!(appearing, 4);
}

#[test]
fn between_planes_and_space_everything_fades() {
    let way = Transition::new(
        &scene(&cloud(2, 1.0, 0), 2, 30),
        scene(&cloud(3, 1.0, 0), 3, 30),
        &ViewState::default(),
    );
    let middle = way.at(0.5);
    let points = middle
        .layers
        .iter()
        .flat_map(|layer| layer.points.iter())
        .filter(|p| p.is_pickable());
    let axes: Vec<Axes> = points.map(|point| middle.panels[point.panel()].axes).collect();
    assert_eq!(axes.iter().filter(|axes| **axes == Axes::Space).count(), 60);
    assert_eq!(axes.iter().filter(|axes| **axes == Axes::Plane).count(), 60);
    assert_eq!(way.at(1.0).panels.len(), way.end().panels.len());
}

#[test]
fn lines_and_labels_stay_at_their_points() {
    let view = ViewState::from(Shared {
        theme: Theme::Dark,
        ..Shared::default()
    });
    let with = |values: &[f32]| {
        Head {
            labels: ["a", "b", "c", "d"].into(),
            sequence: Some(HeadSequence {
                queries: [0, 1].into(),
                keys: [2, 3].into(),
                attention: [0.7, 0.3, 0.2, 0.8].into(),
            }),
            ..Head::new(ID, Coordinates::new(values, 2).unwrap(), 2)
        }
        .scene(&view, [300.0, 300.0])
        .unwrap()
    };
    let way = Transition::new(
        &with(&[0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0]),
        with(&[5.0, 1.0, 3.0, 9.0, 0.0, 2.0, 8.0, 4.0]),
        &view,
    );
    for t in [0.0, 0.3, 0.8] {
        let scene = way.at(t);
        let at = |p: [f32; 3]| scene.layers[1].points.iter().any(|point| point.position == p);
        assert_eq!((scene.layers[1].edges.len(), scene.layers[1].labels.len()), (4, 4));
        assert!(
            scene.layers[1].edges.iter().all(|edge| at(edge.from) && at(edge.to)),
            "{t}"
        );
        assert!(scene.layers[1].labels.iter().all(|label| at(label.position)), "{t}");
    }
}

/// A head of 400 points; some of their labels have room.
fn worded(turn: u16) -> Scene {
    let place = |i: u32| (i * 193 % 307 + 20 * (u32::from(turn) * i % 7)) as f32;
    let values: Vec<f32> = (0..800).map(place).collect();
    Head {
        labels: (0..400).map(|i| format!("word{i}")).collect(),
        ..Head::new(ID, Coordinates::new(values, 2).unwrap(), 200)
    }
    .scene(&ViewState::default(), [500.0, 400.0])
    .unwrap()
}

/// The words that are drawn beside points.
fn words(scene: &Scene) -> Vec<PlacedLabel> {
    let view = ViewState::default();
    let labels = place_labels(scene, &Projection::new(scene, &view, scene.size));
    let words = labels
        .into_iter()
        .flatten()
        .filter(|label| label.text.starts_with("word"));
    words.collect()
}

#[test]
fn labels_do_not_flicker_on_the_way() {
    let (before, after) = (worded(0), worded(31));
    let way = Transition::new(&before, after.clone(), &ViewState::default());
    let text = |label: &PlacedLabel| label.text.to_string();
    let set = |labels: &[PlacedLabel]| labels.iter().map(text).collect::<std::collections::BTreeSet<_>>();
    let (first, last) = (words(&before), words(&after));
    let both: Vec<String> = set(&first).intersection(&set(&last)).cloned().collect();
    assert!(
        both.len() > 5 && both.len() + 5 < first.len().min(last.len()),
        "{}",
        both.len()
    );

    // At its ends it has the labels of the scenes, where those have them, none over another.
    for (t, expected) in [(0.0, &first), (0.999_999, &last)] {
        let found = words(&way.at(t));
        assert_eq!(set(&found), set(expected), "{t}");
        for label in expected {
            let same = found.iter().find(|found| found.text == label.text).unwrap();
            let off = (0..2)
                .map(|axis| (same.rect.min[axis] - label.rect.min[axis]).abs())
                .fold(0.0, f32::max);
            assert!(off < 0.05, "{}: {off}", label.text);
            assert!(
                found
                    .iter()
                    .all(|other| other.text == same.text || !other.rect.overlaps(&same.rect))
            );
        }
    }
    // In between each fades at its end, or stays and runs over none that stays, and moves in small steps.
    let moments: Vec<Vec<PlacedLabel>> = (0..=100_u8).map(|i| words(&way.at(f32::from(i) / 100.0))).collect();
    let mut stay = 0;
    for word in set(&first).union(&set(&last)) {
        let found: Vec<Option<&PlacedLabel>> = (moments.iter())
            .map(|labels| labels.iter().find(|label| *label.text == **word))
            .collect();
        let opacity: Vec<u8> = found
            .iter()
            .map(|label| label.map_or(0, |label| label.color.0[3]))
            .collect();
        assert!(opacity[..51].is_sorted_by(|a, b| a >= b), "{word}: {opacity:?}");
        assert!(opacity[50..].is_sorted(), "{word}: {opacity:?}");
        let ends = [&first, &last].map(|end| end.iter().any(|label| *label.text == **word));
        assert_eq!([opacity[0] == 255, opacity[100] == 255], ends, "{word}: {opacity:?}");
        stay += usize::from(opacity.iter().all(|opacity| *opacity == 255));
        for pair in found.windows(2) {
            if let [Some(a), Some(b)] = pair {
                let by = (a.rect.min[0] - b.rect.min[0]).hypot(a.rect.min[1] - b.rect.min[1]);
                assert!(by < 16.0, "{word} jumps by {by}");
            }
        }
    }
    assert!(stay > 3, "{stay} of {} stay", both.len());
    let middle = &moments[50];
    assert_eq!(middle.len(), stay, "half way there are only those");
    for (i, a) in middle.iter().enumerate() {
        assert!(middle[..i].iter().all(|b| !a.rect.overlaps(&b.rect)), "{}", a.text);
    }
}

#[test]
fn an_interrupted_way_goes_on_with_the_labels_that_are_seen() {
    let view = ViewState::default();
    let way = Transition::new(&worded(0), worded(31), &view);
    let middle = way.at(0.3);
    let back = Transition::new(&middle, worded(0), &view);
    let text = |label: &PlacedLabel| label.text.clone();
    let set = |scene: &Scene| words(scene).iter().map(text).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(set(&back.at(0.0)), set(&middle));
    assert_eq!(set(&back.at(1.0)), set(&worded(0)));
}
