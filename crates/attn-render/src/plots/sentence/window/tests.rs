use attn_core::{Attention, HeadId};

use super::*;
use crate::{
    Error, Pick, Plot,
    control::{Controller, Input},
    labels::place_labels,
    projection::Projection,
};

const ID: HeadId = HeadId {
    attention: Attention::DecoderSelf,
    layer: 2,
    head: 1,
};
const SIZE: [f32; 2] = [600.0, 500.0];

fn tokens(count: usize) -> Vec<SentenceToken> {
    let words = ["alpha", "of", "the", "keeper", "ship", "came"];
    (0..count).map(|i| SentenceToken::new(words[i % 6], i == 0)).collect()
}

/// A sentence that is shown in part, however short it is.
fn long(words: &[SentenceToken], attention: &[f32]) -> Sentence {
    Sentence {
        whole_up_to: 0,
        ..Sentence::new(ID, words, words, attention)
    }
}

/// Rows that sum to 1, all different.
fn attention(count: usize) -> Vec<f32> {
    let mut weights = vec![0.0; count * count];
    for (query, row) in weights.chunks_mut(count).enumerate() {
        for (key, weight) in row.iter_mut().enumerate() {
            *weight = ((query * 31 + key * 17) % 97) as f32 + if key == query { 900.0 } else { 1.0 };
        }
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|weight| *weight /= sum);
    }
    weights
}

#[test]
fn rows_and_boxes_hold_what_sums_over_all_tokens_say() {
    let (count, words) = (200, tokens(200));
    let weights = attention(count);
    let window = long(&words, &weights);
    let mut state = ViewState {
        first_token: 80,
        ..ViewState::default()
    };
    for hidden in [vec![], vec![3, 85, 200 + 90, 200 + 10]] {
        state.hidden = hidden.iter().copied().collect();
        let left = crate::attention::switch_off(
            &weights,
            count,
            count,
            |query| hidden.contains(&(query as u32)),
            |key| hidden.contains(&((count + key) as u32)),
        )
        .unwrap();
        let weight = |query: usize, key: usize| {
            let row = left.queries.iter().position(|q| *q == query);
            let column = left.keys.iter().position(|k| *k == key);
            row.zip(column)
                .map_or(0.0, |(row, column)| left.weights[row * left.keys.len() + column])
        };
        let sums = window.read(&state, 80..100).unwrap();
        let near = |place: (usize, usize), expected: f32| {
            let found = sums[place.0 * 22 + place.1];
            assert!((found - expected).abs() < 1e-5, "{place:?}: {found} {expected}");
        };
        for query in 80..100 {
            near((query - 79, 0), (0..80).map(|key| weight(query, key)).sum());
            near((query - 79, 21), (100..200).map(|key| weight(query, key)).sum());
            for key in 80..100 {
                near((query - 79, key - 79), weight(query, key));
            }
        }
        let above = left.queries.iter().filter(|query| **query < 80).count() as f32;
        for key in 80..100 {
            near(
                (0, key - 79),
                (0..80).map(|query| weight(query, key)).sum::<f32>() / above,
            );
            near(
                (21, key - 79),
                (100..200).map(|query| weight(query, key)).sum::<f32>() / 100.0,
            );
        }
    }
}

#[test]
fn only_what_is_in_sight_becomes_a_scene_and_words_never_overlap() {
    let words = tokens(4_000);
    let weights = vec![1.0 / 4_000.0; 4_000 * 4_000];
    let window = long(&words, &weights);
    for first in [0, 1_234, 3_999, u32::MAX] {
        let state = ViewState {
            first_token: first,
            ..ViewState::default()
        };
        let scene = window.scene(&state, SIZE).unwrap();
        let layer = &scene.layers[1];
        assert!(layer.labels.len() < 60 && layer.curves.len() < 1_000 && layer.regions.len() < 200);
        let labels = place_labels(&scene, &Projection::new(&scene, &state, SIZE)).concat();
        for (i, a) in labels.iter().enumerate() {
            let clear = |b: &crate::labels::PlacedLabel| !a.rect.shrink(0.7).overlaps(&b.rect.shrink(0.7));
            assert!(labels[..i].iter().all(clear), "{first}: {}", a.text);
        }
    }
}

#[test]
fn clicks_scroll_and_the_ends_stay_ends() {
    let words = tokens(400);
    let weights = attention(400);
    let window = long(&words, &weights);
    let mut state = ViewState::default();
    let rows = window.tokens_in_sight(&state, SIZE).unwrap().len();
    let mut controller = Controller::default();
    let click = |state: &mut ViewState, controller: &mut Controller, what: &str| {
        let scene = window.scene(state, SIZE).unwrap();
        let label = scene.layers[1].labels.iter().find(|label| label.text.starts_with(what));
        let position = label.map(|label| [label.position[0], label.position[1]]).unwrap();
        for input in [
            Input::Resized { size: SIZE },
            Input::PointerPressed { position },
            Input::PointerReleased { position },
        ] {
            controller.handle(input, &scene, state);
        }
    };
    click(&mut state, &mut controller, "↓");
    assert_eq!(state.first_token as usize, rows);
    click(&mut state, &mut controller, "↓");
    click(&mut state, &mut controller, "↑");
    assert_eq!(state.first_token as usize, rows);
    state.first_token = 9_999;
    assert_eq!(window.tokens_in_sight(&state, SIZE).unwrap().end, 400);
    let scene = window.scene(&state, SIZE).unwrap();
    assert!(scene.layers[1].labels.iter().all(|label| !label.text.starts_with('↓')));
}

#[test]
fn the_wheel_and_two_fingers_scroll_row_by_row() {
    let words = tokens(400);
    let weights = attention(400);
    let window = long(&words, &weights);
    let (mut state, mut controller) = (ViewState::default(), Controller::default());
    let mut act = |input, state: &mut ViewState| {
        let scene = window.scene(state, SIZE).unwrap();
        controller.handle(Input::Resized { size: SIZE }, &scene, state);
        controller.handle(input, &scene, state);
        state.first_token
    };
    let position = [300.0, 250.0];
    assert_eq!(
        act(
            Input::Wheel {
                position,
                notches: -2.0
            },
            &mut state
        ),
        6
    );
    // A row is 17 units high; what is less adds up.
    let pan = |by: f32| Input::Pan {
        position,
        by: [3.0, by],
    };
    assert_eq!(act(pan(-10.0), &mut state), 6);
    assert_eq!(act(pan(-10.0), &mut state), 7);
    assert_eq!(act(pan(1e9), &mut state), 0);
    act(pan(-1e9), &mut state);
    let seen = window.tokens_in_sight(&state, SIZE).unwrap();
    assert_eq!(
        (seen.start, seen.end),
        (state.first_token as usize, 400),
        "no further than to the end"
    );
    assert_eq!(state.inside, crate::camera::Camera::default());
}

#[test]
fn a_click_isolates_a_token_by_its_id_in_the_whole_text() {
    let words = tokens(400);
    let weights = attention(400);
    let mut window = long(&words, &weights);
    window.least = 0.0001;
    let state = ViewState {
        first_token: 100,
        selection: Some(Pick {
            head: Some(ID),
            id: 105,
        }),
        ..ViewState::default()
    };
    let scene = window.scene(&state, SIZE).unwrap();
    let bold: Vec<&str> = (scene.layers[1].labels.iter().filter(|label| label.bold))
        .map(|label| &*label.text)
        .collect();
    assert_eq!(bold, [&*words[105].text]);
}

#[test]
fn short_texts_and_bad_data() {
    let words = tokens(3);
    let weights = attention(3);
    let window = long(&words, &weights);
    assert_eq!(window.tokens_in_sight(&ViewState::default(), SIZE).unwrap(), 0..3);
    let csv = window.table_in(&ViewState::default(), SIZE).unwrap().to_csv();
    assert_eq!(csv.lines().count(), 10);
    assert!(window.scene(&ViewState::default(), [20.0, 20.0]).is_ok());
    let short = long(&words, &weights[1..]);
    assert!(matches!(
        short.scene(&ViewState::default(), SIZE),
        Err(Error::Shape { .. })
    ));
    let none = Sentence::new(ID, [], words.as_slice(), []);
    assert!(matches!(
        none.scene(&ViewState::default(), SIZE),
        Err(Error::Empty { .. })
    ));
    let nan = [f32::NAN; 9];
    let nan = long(&words, &nan);
    assert!(matches!(
        nan.scene(&ViewState::default(), SIZE),
        Err(Error::NotFinite { .. })
    ));
}
