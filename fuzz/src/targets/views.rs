//! Saved views, and everything that is drawn of a study.

use std::sync::OnceLock;

use attn_core::{Attention, HeadId};
use attn_project::{AtlasParams, pca::Pca};
use attn_render::{
    Plot, Selection, SvgOptions, ViewState,
    control::{Controller, Input, Key},
    labels::place_labels,
    projection::Projection,
    state::{ColorChoice, Shared},
    svg,
};
use attn_study::Study;

use crate::{
    fixtures,
    mutate::{Form, Seed},
};

const SIZE: [f32; 2] = [320.0, 240.0];

/// Draws a plot in every way that there is without a device, and uses it.
fn draw(plot: &dyn Plot, state: &ViewState) {
    let _ = plot.table(state).map(|table| (table.to_csv(), table.to_json()));
    let _ = plot.natural_size();
    let Ok(scene) = plot.scene(state, SIZE) else { return };
    place_labels(&scene, &Projection::new(&scene, state, SIZE));
    let _ = svg(&scene, state, &SvgOptions::default());
    let (mut controller, mut state) = (Controller::default(), state.clone());
    let position = [160.0, 120.0];
    let wheel = Input::Wheel { position, notches: 1.0 };
    let inputs = [
        Input::Resized { size: SIZE },
        Input::PointerMoved { position },
        Input::PointerPressed { position },
        Input::PointerReleased { position },
        wheel,
        Input::Key(Key::Plus),
        Input::Key(Key::Next),
        Input::Key(Key::SelectAll),
        Input::Key(Key::Home),
    ];
    for input in inputs {
        controller.handle(input, &scene, &mut state);
    }
    let _ = plot.scene(&state, SIZE);
}

/// Draws a study, its heads and its first sequences.
pub(super) fn look_at(study: &Study, heads: &[HeadId], state: &ViewState) {
    study.report();
    study.ranking();
    draw(study, state);
    let sequences = study.capture().sequences().len().min(2);
    for sequence in 0..sequences {
        if let Ok(plot) = study.overview(sequence) {
            draw(&plot, state);
        }
    }
    for &head in heads.iter().take(3) {
        if let Ok(plot) = study.head(head, Some(0), state) {
            draw(&plot, state);
        }
        if let Ok(plot) = study.aggregate(head) {
            draw(&plot, state);
        }
        for sequence in 0..sequences {
            if let Ok(plot) = study.sentence(head, sequence) {
                draw(&plot, state);
            }
            if let Ok(plot) = study.image(head, sequence, None) {
                draw(&plot, state);
            }
        }
        let found: Vec<u32> = study.matches(head, "be").ids().collect();
        let _ = study.subset(head, found, &());
        let _ = study.subset(head, state.shared.selected.ids(), &());
    }
}

fn study() -> &'static Study {
    static STUDY: OnceLock<Study> = OnceLock::new();
    STUDY.get_or_init(|| {
        let params = AtlasParams {
            method: Pca.into(),
            ..AtlasParams::default()
        };
        Study::project(fixtures::capture(), &params).unwrap()
    })
}

/// A saved view: read, drawn and used.
pub(super) fn view(data: &[u8]) {
    let Some((_, bytes)) = data.split_first() else { return };
    let Ok(state) = serde_json::from_slice::<ViewState>(bytes) else {
        return;
    };
    let heads: Vec<HeadId> = study().capture().model().heads().take(1).collect();
    look_at(study(), &heads, &state);
    if let Some(head) = state.open {
        look_at(study(), &[head], &state);
    }
    let again = serde_json::to_string(&state).unwrap();
    let _ = serde_json::from_str::<ViewState>(&again);
}

pub(super) fn views() -> Vec<Seed> {
    let head = HeadId::new(Attention::DecoderSelf, 1, 1);
    let mut open = ViewState::from(Shared {
        search: "be".into(),
        color: ColorChoice::values("position"),
        selected: Selection::new(Some(head), [1, 2, 3, 9]),
        hidden_classes: [0, 2].into(),
        ..Shared::default()
    });
    open.open_head(head);
    open.toggle_hidden(2);
    let matrix = ViewState {
        stage: attn_render::camera::Camera {
            center: [0.3, 0.6],
            zoom: 3.0,
        },
        ..ViewState::default()
    };
    let seed = |state: &ViewState| Seed {
        choice: 0,
        form: Form::Json,
        bytes: serde_json::to_vec(state).unwrap(),
    };
    vec![seed(&open), seed(&matrix)]
}
