//! Saved view states reopen: the same view and selection, the same pixels.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use attn_core::{Attention, HeadId};
use attn_render::{
    Headless, Plot, Selection, Theme, ViewState,
    plots::{ColorBy, Coordinates, Head, Texts},
    state::{ColorChoice, Shared},
};

fn picture(headless: &mut Headless, view: &ViewState) -> attn_render::Image {
    let values: Vec<f32> = (0..240_u16).map(|i| f32::from(i * 97 % 241)).collect();
    let classes: Vec<f32> = (0..120_u16).map(|i| f32::from(i % 5)).collect();
    let names: Texts = (0..20).map(|class| format!("class {class}")).collect();
    let head = Head {
        labels: (0..120).map(|i| format!("token{}", i % 30)).collect(),
        values: Some(classes.into()),
        color_by: Some(ColorBy::classes("class", names)),
        ..Head::new(
            HeadId::new(Attention::EncoderSelf, 1, 2),
            Coordinates::new(values, 2).unwrap(),
            60,
        )
    };
    headless
        .render(&head.scene(view, [420.0, 380.0]).unwrap(), view, 1.0)
        .unwrap()
}

#[test]
fn a_saved_view_shows_the_same_picture() {
    let head = HeadId::new(Attention::EncoderSelf, 1, 2);
    let mut view = ViewState::from(Shared {
        theme: Theme::Dark,
        color: ColorChoice::values("class"),
        search: "token7".into(),
        ..Shared::default()
    });
    view.open_head(head);
    view.inside.zoom_at([0.3, 0.6], 1.7);
    view.shared.selected = Selection::new(Some(head), 20..40);
    view.shared.toggle_class(3);
    view.shared.legend_page = 1;
    let saved = serde_json::to_string(&view).unwrap();
    let reopened: ViewState = serde_json::from_str(&saved).unwrap();
    let mut headless = Headless::new().unwrap();
    let before = picture(&mut headless, &view);
    assert_eq!(before, picture(&mut headless, &reopened));
    assert_ne!(before, picture(&mut headless, &ViewState::default()));
}
