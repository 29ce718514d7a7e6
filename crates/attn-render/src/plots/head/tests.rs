use attn_core::Attention;

use super::*;
use crate::state::Shared;

const ID: HeadId = HeadId {
    attention: Attention::EncoderSelf,
    layer: 3,
    head: 9,
};

#[test]
fn one_sequence_is_brought_out() {
    let values: Vec<f32> = (0..24_u8).map(f32::from).collect();
    let labels: Texts = "a b c d e f g h i j k l".split(' ').collect();
    let head = Head {
        labels,
        sequence: Some(HeadSequence {
            queries: [1, 2].into(),
            keys: [7, 8, 9].into(),
            attention: [0.9, 0.06, 0.04, 0.3, 0.3, 0.4].into(),
        }),
        ..Head::new(ID, Coordinates::new(values, 2).unwrap(), 6)
    };
    let scene = head.scene(&ViewState::default(), [600.0, 500.0]).unwrap();
    let layer = &scene.layers[1];
    let shown: Vec<u32> = layer
        .points
        .iter()
        .filter(|point| !point.is_dimmed())
        .map(|point| point.id)
        .collect();
    let last: Vec<u32> = layer.points.iter().skip(7).map(|point| point.id).collect();
    assert_eq!(shown, last, "these are in front");
    let mut sorted = shown.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [1, 2, 7, 8, 9], "the others are dimmed");
    assert_eq!(layer.labels.len(), 5);
    // Two per query; 0.04 is below the limit anyway.
    let alphas: Vec<u8> = layer.edges.iter().map(|edge| edge.color.0[3]).collect();
    assert_eq!(alphas, [15, 77, 102, 230], "opacity = weight, strongest in front");
}

#[test]
fn far_points_are_drawn_first() {
    let values = [0.0, 0.0, 1.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.5];
    let head = Head::new(ID, Coordinates::new(values, 3).unwrap(), 3);
    let ids = |yaw| {
        let state = ViewState {
            orbit: crate::camera::Orbit {
                yaw,
                pitch: 0.0,
                zoom: 1.0,
            },
            ..ViewState::default()
        };
        head.scene(&state, [300.0; 2]).unwrap().layers[1]
            .points
            .iter()
            .map(|point| point.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(0.0), [1, 2, 0]);
    assert_eq!(ids(std::f32::consts::PI), [0, 2, 1]);
}

#[test]
fn hidden_classes_are_neither_drawn_nor_hit_nor_labeled() {
    let head = Head {
        labels: ["cat", "sat", "?", "ran"].into(),
        values: Some([0.0, 1.0, f32::NAN, 1.0].into()),
        color_by: Some(ColorBy::classes("part of speech", ["noun", "verb"])),
        ..Head::new(
            ID,
            Coordinates::new([0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0], 2).unwrap(),
            2,
        )
    };
    let mut state = ViewState::default();
    state.shared.toggle_class(1);
    let scene = head.scene(&state, [400.0; 2]).unwrap();
    let mut drawn: Vec<u32> = scene.layers[1]
        .points
        .iter()
        .filter(|point| !point.is_hidden())
        .map(|point| point.id)
        .collect();
    drawn.sort_unstable();
    assert_eq!(drawn, [0, 2]);
    assert_eq!(scene.layers[1].labels.len(), 2);
    let targets: Vec<Target> = scene.layers[0].regions.iter().map(|region| region.target).collect();
    assert_eq!(targets, [0, 1].map(Target::LegendClass), "both can be clicked");
    let missing = scene.layers[1].points.iter().find(|point| point.id == 2).unwrap();
    assert_eq!(missing.color, state.colors().muted, "no value is grey");
}

#[test]
fn a_selection_is_brought_out_in_heads_of_its_kind() {
    let head = Head::new(ID, Coordinates::new([0.0; 8], 2).unwrap(), 2);
    let shown = |attention| {
        let state = ViewState::from(Shared {
            selected: crate::Selection::new(Some(HeadId::new(attention, 0, 0)), [1, 3, 99]),
            ..Shared::default()
        });
        let scene = head.scene(&state, [300.0; 2]).unwrap();
        let points = scene.layers[1].points.iter().filter(|point| !point.is_dimmed());
        points.map(|point| point.id).collect::<Vec<_>>()
    };
    assert_eq!(shown(Attention::EncoderSelf), [1, 3]);
    assert_eq!(shown(Attention::Cross).len(), 4, "of another kind: nothing is dimmed");
}

#[test]
fn searching_brings_tokens_out() {
    let head = Head {
        labels: ["the", "cat", "other", "sat"].into(),
        ..Head::new(ID, Coordinates::new([0.0; 8], 2).unwrap(), 2)
    };
    let state = ViewState::from(Shared {
        search: "the".into(),
        ..Shared::default()
    });
    let scene = head.scene(&state, [300.0; 2]).unwrap();
    let shown: Vec<u32> = scene.layers[1]
        .points
        .iter()
        .filter(|point| !point.is_dimmed())
        .map(|point| point.id)
        .collect();
    assert_eq!(shown, [0, 2]);
}

#[test]
fn bad_data_is_refused() {
    let coordinates = Coordinates::new([0.0; 8], 2).unwrap();
    let head = Head {
        labels: ["one"].into(),
        ..Head::new(ID, coordinates.clone(), 2)
    };
    assert!(matches!(
        head.scene(&ViewState::default(), [300.0; 2]),
        Err(Error::Shape { .. })
    ));
    let sequence = HeadSequence {
        queries: [0].into(),
        keys: [99].into(),
        attention: [1.0].into(),
    };
    let head = Head {
        sequence: Some(sequence),
        ..Head::new(ID, coordinates, 2)
    };
    assert!(matches!(
        head.scene(&ViewState::default(), [300.0; 2]),
        Err(Error::Shape { .. })
    ));
}
