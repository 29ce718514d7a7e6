use std::sync::Arc;

use attn_core::Attention;

use super::*;
use crate::{Pick, pick::Picker, projection::Projection};

const ID: HeadId = HeadId {
    attention: Attention::EncoderSelf,
    layer: 0,
    head: 8,
};

fn picture() -> Arc<Image> {
    Arc::new(Image::new(8, 8, vec![128; 256]).unwrap())
}

/// Four patches and a class token; each row sums to 1.
const WEIGHTS: [f32; 25] = [
    0.2, 0.2, 0.2, 0.2, 0.2, //
    0.6, 0.1, 0.1, 0.1, 0.1, //
    0.0, 0.9, 0.04, 0.03, 0.03, //
    0.0, 0.1, 0.1, 0.7, 0.1, //
    0.25, 0.25, 0.25, 0.25, 0.0,
];

#[test]
fn strongest_flows_are_marked_by_where_they_go() {
    let view = ImageAttention::new(ID, picture(), 2, 2, 1, WEIGHTS);
    let scene = view.scene(&ViewState::default(), [600.0, 450.0]).unwrap();
    let layer = &scene.layers[1];
    let shapes: Vec<Shape> = layer.points.iter().map(|point| point.shape()).collect();
    // The class token looks at itself first (a tie), patch 0 and 3 at it, patch 2 at itself.
    let count = |shape| shapes.iter().filter(|s| **s == shape).count();
    assert_eq!((count(Shape::Ring), count(Shape::Square)), (2 * 2, 2 * 2));
    // One border line each way; one arrow, from patch 1 to patch 0, of four pieces.
    assert_eq!(layer.edges.len(), 2 + 4);
}

#[test]
fn all_flows_are_those_of_at_least_a_tenth() {
    let view = ImageAttention {
        flows: Flows::All,
        ..ImageAttention::new(ID, picture(), 2, 2, 1, WEIGHTS)
    };
    let scene = view.scene(&ViewState::default(), [600.0, 450.0]).unwrap();
    let expected = WEIGHTS.iter().filter(|w| **w >= 0.1).count();
    let drawn = scene.layers[1].points.len() / 2 + (scene.layers[1].edges.len() - 2) / 4;
    assert_eq!(drawn, expected);
}

#[test]
fn patches_can_be_clicked_in_both_pictures() {
    let image = ImageAttention::new(ID, picture(), 2, 2, 1, WEIGHTS);
    let mut state = ViewState::default();
    let scene = image.scene(&state, [600.0, 450.0]).unwrap();
    let projection = Projection::new(&scene, &state, [600.0, 450.0]);
    let mut ids = Vec::new();
    for region in &scene.layers[1].regions {
        let hit = Picker::default()
            .hit(&scene, &projection, region.rect.center(), 2.0)
            .unwrap();
        ids.push(hit.id().unwrap());
    }
    assert_eq!(ids, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
    state.selection = Some(Pick { head: Some(ID), id: 4 });
    assert!(
        image.scene(&state, [600.0, 450.0]).unwrap().layers[1]
            .labels
            .iter()
            .any(|l| l.text.contains("patch 1,1"))
    );
}

#[test]
fn bad_data_is_refused() {
    let scene = |rows, special, weights: &[f32]| {
        ImageAttention::new(ID, picture(), rows, 2, special, weights).scene(&ViewState::default(), [300.0; 2])
    };
    assert!(matches!(scene(2, 0, &WEIGHTS), Err(Error::Shape { .. })));
    assert!(matches!(scene(0, 0, &[]), Err(Error::Empty { .. })));
    let mut nan = WEIGHTS;
    nan[7] = f32::NAN;
    assert!(matches!(scene(2, 1, &nan), Err(Error::NotFinite { index: 7, .. })));
}

#[test]
fn a_grid_beyond_all_numbers_is_an_error() {
    let plot = ImageAttention::new(ID, picture(), usize::MAX, usize::MAX, usize::MAX, vec![1.0]);
    assert!(plot.scene(&ViewState::default(), [200.0, 100.0]).is_err());
}
