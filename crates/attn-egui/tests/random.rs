//! Whatever comes in, in whatever order, nothing panics, and a view stays one that can be saved.

mod common;

use attn_egui::egui::{
    self, Event, Key, Modifiers, MouseWheelUnit, PointerButton, Pos2, TouchDeviceId, TouchId, TouchPhase, Vec2,
};
use attn_render::Theme;
use common::{Host, head, state};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Event(Event),
    Size(Vec2),
    Scale(f32),
    Open(usize),
    Theme(bool),
    Search(String),
    Invalidate,
    Fail(bool),
    Zoom(f32),
}

fn position() -> impl Strategy<Value = Pos2> {
    let side = || prop_oneof![8 => -20.0_f32..700.0, 1 => Just(1e9_f32), 1 => Just(-1e9_f32)];
    (side(), side()).prop_map(|(x, y)| Pos2::new(x, y))
}

fn modifiers() -> impl Strategy<Value = Modifiers> {
    prop_oneof![4 => Just(Modifiers::NONE), 1 => Just(Modifiers::COMMAND), 1 => Just(Modifiers::SHIFT)]
}

fn event() -> impl Strategy<Value = Event> {
    let button = prop_oneof![3 => Just(PointerButton::Primary), 1 => Just(PointerButton::Secondary)];
    let key = proptest::sample::select(Key::ALL);
    let phase = proptest::sample::select(vec![
        TouchPhase::Start,
        TouchPhase::Move,
        TouchPhase::End,
        TouchPhase::Cancel,
    ]);
    let unit = proptest::sample::select(vec![MouseWheelUnit::Line, MouseWheelUnit::Point, MouseWheelUnit::Page]);
    prop_oneof![
        4 => position().prop_map(Event::PointerMoved),
        4 => (position(), button, any::<bool>(), modifiers()).prop_map(|(pos, button, pressed, modifiers)| {
            Event::PointerButton { pos, button, pressed, modifiers }
        }),
        1 => Just(Event::PointerGone),
        1 => any::<bool>().prop_map(Event::WindowFocused),
        2 => (unit, -50.0_f32..50.0, modifiers()).prop_map(|(unit, y, modifiers)| Event::MouseWheel {
            unit,
            delta: Vec2::new(0.0, y),
            phase: TouchPhase::Move,
            source: egui::MouseWheelSource::Wheel,
            modifiers,
        }),
        1 => prop_oneof![0.01_f32..100.0, Just(0.0), Just(f32::INFINITY)].prop_map(Event::Zoom),
        1 => (0_u64..3, phase, position()).prop_map(|(id, phase, pos)| Event::Touch {
            device_id: TouchDeviceId(0),
            id: TouchId(id),
            phase,
            pos,
            force: None,
        }),
        4 => (key, any::<bool>(), modifiers()).prop_map(|(key, pressed, modifiers)| Event::Key {
            key,
            physical_key: None,
            pressed,
            repeat: false,
            modifiers,
        }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let side = || prop_oneof![4 => 0.0_f32..900.0, 1 => Just(0.0_f32), 1 => Just(20_000.0_f32)];
    prop_oneof![
        12 => event().prop_map(Step::Event),
        1 => (side(), side()).prop_map(|(x, y)| Step::Size(Vec2::new(x, y))),
        1 => (0.3_f32..4.0).prop_map(Step::Scale),
        1 => (0_usize..9).prop_map(Step::Open),
        1 => any::<bool>().prop_map(Step::Theme),
        1 => "[a-z]{0,2}".prop_map(Step::Search),
        1 => Just(Step::Invalidate),
        1 => any::<bool>().prop_map(Step::Fail),
        1 => prop_oneof![Just(f32::NAN), Just(f32::INFINITY), 0.0_f32..300.0].prop_map(Step::Zoom),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_sequence_of_events_panics(steps in proptest::collection::vec(step(), 1..60)) {
        thread_local!(static STATE: attn_egui::egui_wgpu::RenderState = state());
        let mut host = STATE.with(|state| Host::new(state, 2));
        host.linked = true;
        let ctx = egui::Context::default();
        let mut scale = 1.0;
        let mut time = 0.0;
        for step in steps {
            let mut events = Vec::new();
            match step {
                Step::Event(event) => events.push(event),
                Step::Size(size) => host.size = Some(size),
                Step::Scale(other) => scale = other,
                // Heads that the data lacks, too.
                Step::Open(index) => host.views[0].open_head(head(index / 3, index % 3)),
                Step::Theme(dark) => host.views[1].shared.theme = if dark { Theme::Dark } else { Theme::Light },
                Step::Search(text) => host.views[0].shared.search = text,
                Step::Invalidate => host.widgets[0].invalidate(),
                Step::Fail(fail) => host.fail = fail,
                Step::Zoom(zoom) => host.views[0].stage.zoom = zoom,
            }
            time += 0.05;
            ctx.set_pixels_per_point(scale);
            let input = egui::RawInput {
                screen_rect: Some(egui::Rect::from_min_size(Pos2::ZERO, Vec2::new(640.0, 480.0))),
                time: Some(time),
                events,
                ..egui::RawInput::default()
            };
            ctx.run_ui(input, |ui| host.show(ui)).textures_delta.clear();
            for view in &host.views {
                let saved = serde_json::to_string(view);
                prop_assert!(saved.is_ok());
            }
        }
    }
}
