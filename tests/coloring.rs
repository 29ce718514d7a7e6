//! What points are coloured by, against the capture itself.

#![allow(clippy::unwrap_used, reason = "a test")]

use attn_sdk::{
    Column, ColumnKind, Error, Study,
    core::{Attention, Capture, HeadId},
    embedded::{Embedded, PICTURES, sentences},
    models::{Capturer, Picture, split_lines},
    project::{AtlasParams, Method},
    render::{ColorMode, Point, Scene, View},
};

const HEAD: HeadId = HeadId {
    attention: Attention::EncoderSelf,
    layer: 1,
    head: 2,
};

fn study(capture: Capture) -> Study {
    let params = AtlasParams {
        method: Method::Pca,
        ..AtlasParams::default()
    };
    Study::project(capture, &params, &()).unwrap()
}

fn text() -> Study {
    let text: String = sentences().take(8).flat_map(|line| [line, "\n"]).collect();
    let capturer = Capturer::load(&Embedded::TextEncoder.checkpoint().unwrap()).unwrap();
    let lines = split_lines(text.as_bytes(), "sentences".as_ref()).unwrap();
    study(capturer.text(&lines, None, &()).unwrap().capture)
}

fn view(mode: ColorMode) -> View {
    View {
        color_mode: mode,
        ..View::default()
    }
}

/// The points of a head's plot, by id.
fn points(scene: &Scene) -> Vec<Point> {
    let mut points: Vec<Point> = scene.layers[1].points.iter().copied().collect();
    points.sort_by_key(|point| point.id);
    points
}

#[test]
fn positions_modulo_five_are_five_hues() {
    let study = text();
    let view = view(ColorMode::PositionMod5);
    let points = points(&study.head(HEAD, None, &view, None).unwrap());
    let colors = view.colors();
    for (id, point) in points.iter().enumerate() {
        let place = study.place(HEAD, id as u32).unwrap();
        let class = colors.class(place.token % 5);
        if place.query {
            assert_eq!(point.color, class);
        } else {
            assert_eq!(point.color, colors.panel.mix(class, 0.68), "keys are paler");
        }
    }
}

#[test]
fn norms_are_those_of_the_captured_vectors() {
    let study = text();
    let view = view(ColorMode::Norm);
    let points = points(&study.head(HEAD, None, &view, None).unwrap());
    let length = |row: ndarray::ArrayView1<'_, f32>| row.dot(&row).sqrt();
    let (queries, keys) = (
        study.capture().queries(HEAD).unwrap(),
        study.capture().keys(HEAD).unwrap(),
    );
    let norms: Vec<f32> = queries.rows().into_iter().chain(keys.rows()).map(length).collect();
    assert_eq!(norms.len(), points.len());
    let most = (0..norms.len()).max_by(|a, b| norms[*a].total_cmp(&norms[*b])).unwrap();
    let least = (0..norms.len()).min_by(|a, b| norms[*a].total_cmp(&norms[*b])).unwrap();
    let colors = view.colors();
    let scale = |id: usize| {
        if id < queries.nrows() {
            colors.query_scale
        } else {
            colors.key_scale
        }
    };
    assert_eq!(points[most].color, scale(most).at(1.0));
    assert_eq!(points[least].color, scale(least).at(0.0));
}

#[test]
fn every_mode_that_applies_is_drawn_with_its_legend() {
    let study = text();
    let modes = study.color_modes();
    assert_eq!(modes.len(), 8, "{modes:?}");
    for mode in modes {
        let view = view(mode);
        let matrix = study.matrix(&view, None).unwrap();
        let head = study.head(HEAD, None, &view, None).unwrap();
        for scene in [matrix, head] {
            let ramps = scene.layers[0].blocks.len() > 5;
            let classes = scene.layers[0].regions.len();
            match mode {
                ColorMode::QueryKey => assert!(!ramps && classes == 0),
                ColorMode::PositionMod5 => assert_eq!(classes, 5),
                ColorMode::Punctuation => assert_eq!(classes, 3),
                _ => assert!(ramps, "{mode:?}"),
            }
        }
    }
}

#[test]
fn patches_have_rows_and_columns_and_the_class_token_is_grey() {
    let pictures: Vec<Picture> = PICTURES
        .iter()
        .take(2)
        .map(|(name, bytes)| Picture::Memory((*name).into(), (*bytes).into()))
        .collect();
    let capturer = Capturer::load(&Embedded::Vision.checkpoint().unwrap()).unwrap();
    let study = study(capturer.pictures(&pictures, None, &()).unwrap().capture);
    assert!(study.color_modes().contains(&ColorMode::PatchRow));
    assert!(!study.color_modes().contains(&ColorMode::Punctuation));
    let view = view(ColorMode::PatchColumn);
    for point in points(&study.head(HEAD, None, &view, None).unwrap()) {
        let token = study.token(study.place(HEAD, point.id).unwrap());
        assert_eq!(token.special, point.color == view.colors().muted);
        if token.patch.is_some_and(|(_, column)| column == 0) {
            let first = [view.colors().query_scale.at(0.0), view.colors().key_scale.at(0.0)];
            assert!(first.contains(&point.color));
        }
    }
}

#[test]
fn columns_of_the_user_are_drawn_and_checked() {
    let mut study = text();
    let tokens: usize = study
        .capture()
        .sequences()
        .iter()
        .map(|sequence| sequence.encoder.len())
        .sum();
    let column = |values: Vec<f32>| Column {
        name: "part of speech".into(),
        kind: ColumnKind::Categorical((0..200).map(|class| format!("class {class}")).collect()),
        encoder: values,
        decoder: vec![],
    };
    let error = study.set_column(column(vec![0.0; 3])).unwrap_err();
    assert!(matches!(error, Error::Column { found: 3, expected, .. } if expected == tokens));
    assert!(!study.color_modes().contains(&ColorMode::Value));
    study
        .set_column(column((0..tokens).map(|row| (row % 200) as f32).collect()))
        .unwrap();
    let mut view = view(ColorMode::Value);
    view.toggle_class(1);
    let points = points(&study.head(HEAD, None, &view, None).unwrap());
    for (id, point) in points.iter().enumerate() {
        assert_eq!(point.is_hidden(), id % tokens % 200 == 1);
    }
    assert_eq!(points[tokens - 1].color, view.colors().class((tokens - 1) % 200));
}

#[test]
fn a_search_counts_tokens_in_the_matrix() {
    let study = text();
    let view = View {
        search: "the".into(),
        ..View::default()
    };
    let all = study.capture().sequences();
    let count = all
        .iter()
        .flat_map(|sequence| &sequence.encoder)
        .filter(|token| token.text.to_lowercase().contains("the"))
        .count();
    assert!(count > 3);
    let scene = study.matrix(&view, None).unwrap();
    let told = format!("“the”: {count} queries, {count} keys");
    assert!(scene.layers[0].labels.iter().any(|label| *label.text == *told));
    let shown = scene.layers[1].points.iter().filter(|point| !point.is_dimmed()).count();
    assert_eq!(shown, 16 * 2 * count, "in all heads at once");
}
