//! The widgets around the picture, clicked and typed into.

mod common;

use attn_egui::{
    Notes, TextTable,
    commands::{Command, CommandSearch},
    egui::{self, Key, Modifiers, Vec2},
    export::export_menu,
    progress_bar, search_box,
    toolbar::{color_picker, history_buttons, theme_switch, tool_buttons},
};
use attn_render::{
    Format, SystemFont, Theme, ViewState,
    control::{Key as ViewKey, Tool},
    state::ColorChoice,
};
use common::{Host, head, state};
use egui_kittest::{Harness, kittest::Queryable, wgpu::WgpuTestRenderer};

#[test]
fn buttons_do_what_the_keys_do() {
    let state = state();
    let mut host = Host::new(&state, 1);
    host.views[0].open_head(head(0, 0));
    let mut harness = Harness::builder()
        .with_size(Vec2::new(640.0, 520.0))
        .renderer(WgpuTestRenderer::from_render_state(state))
        .build_ui_state(
            |ui, host: &mut Host| {
                ui.horizontal(|ui| {
                    tool_buttons(ui, &mut host.widgets[0]);
                    history_buttons(ui, &mut host.widgets[0]);
                    theme_switch(ui, &mut host.views[0]);
                });
                host.show(ui);
            },
            host,
        );
    harness.run();
    for (name, tool) in [("Lasso", Tool::Lasso), ("Box", Tool::Box), ("Move", Tool::Look)] {
        harness.get_by_label(name).click();
        harness.run();
        assert_eq!(harness.state().widgets[0].tool(), tool);
    }
    harness.state_mut().widgets[0].press(ViewKey::SelectAll);
    harness.run();
    assert_eq!(harness.state().views[0].shared.selected.len(), common::POINTS);
    harness.get_by_label("Undo").click();
    harness.run();
    assert!(harness.state().views[0].shared.selected.is_empty());
    harness.get_by_label("Redo").click();
    harness.run();
    assert_eq!(harness.state().views[0].shared.selected.len(), common::POINTS);
    harness.get_by_label("Dark").click();
    harness.run();
    assert_eq!(harness.state().views[0].shared.theme, Theme::Dark);
    assert!(harness.query_by_label("Light").is_some());
}

#[derive(Default)]
struct Small {
    view: ViewState,
    exported: Option<Format>,
    stopped: bool,
    table: TextTable,
    chosen: Option<usize>,
    shown: usize,
    asked: usize,
}

fn small() -> Harness<'static, Small> {
    let mut harness = Harness::builder().with_size(Vec2::new(400.0, 300.0)).build_ui_state(
        |ui, small: &mut Small| {
            search_box(ui, &mut small.view, "two of them");
            color_picker(ui, &mut small.view, &["position-mod-5".to_owned()]);
            small.exported = export_menu(ui, &[Format::Png, Format::Csv]).or(small.exported);
            small.stopped |= progress_bar(ui, "heads", 3, 0);
        },
        Small::default(),
    );
    harness.run();
    harness
}

#[test]
fn a_search_is_typed_and_escaped() {
    let mut harness = small();
    assert!(harness.query_by_label("two of them").is_none());
    let field = harness.get_by_role(egui::Role::TextInput);
    field.focus();
    harness.run();
    harness.get_by_role(egui::Role::TextInput).type_text("cat");
    harness.run();
    assert_eq!(harness.state().view.shared.search, "cat");
    assert!(harness.query_by_label("two of them").is_some());
    harness.key_press(Key::Escape);
    harness.run();
    assert_eq!(harness.state().view.shared.search, "");
}

#[test]
fn colors_exports_and_stops_are_chosen() {
    let mut harness = small();
    harness.get_by_role(egui::Role::ComboBox).click();
    harness.run();
    harness.get_by_label("position mod 5").click();
    harness.run();
    let chosen = &harness.state().view.shared.color;
    assert_eq!(*chosen, ColorChoice::values("position-mod-5"));
    harness.get_by_label("Export").click();
    harness.run();
    assert!(
        harness.query_by_label("Vector image (SVG)").is_none(),
        "only what the host can write"
    );
    harness.get_by_label("Data (CSV)").click();
    harness.run();
    assert_eq!(harness.state().exported, Some(Format::Csv));
    harness.get_by_label("Stop").click();
    harness.run();
    assert!(harness.state().stopped);
}

#[test]
fn of_a_million_rows_those_in_sight_are_asked_for() {
    let mut harness = Harness::builder().with_size(Vec2::new(300.0, 400.0)).build_ui_state(
        |ui, small: &mut Small| {
            let asked = std::cell::Cell::new(0);
            let cell = |row: usize, column: usize| {
                asked.set(asked.get() + 1);
                match column {
                    0 => format!("row {row}"),
                    _ => (row % 7).to_string(),
                }
            };
            let shown = small.table.show(ui, &["name", "sevens"], 1_000_000, small.chosen, cell);
            small.chosen = shown.chosen.or(small.chosen);
            (small.shown, small.asked) = (shown.shown, asked.get());
        },
        Small::default(),
    );
    harness.run();
    assert!(harness.state().asked < 100, "{}", harness.state().asked);
    assert_eq!(harness.state().shown, 1_000_000);
    harness.get_by_label("row 3").click();
    harness.run();
    assert_eq!(harness.state().chosen, Some(3));
    harness.get_by_label("sevens").click();
    harness.run();
    assert!(harness.query_by_label("row 7").is_some() && harness.query_by_label("row 3").is_none());
    harness.get_by_role(egui::Role::TextInput).focus();
    harness.run();
    harness.get_by_role(egui::Role::TextInput).type_text("ROW 99999");
    harness.run();
    assert_eq!(harness.state().shown, 11, "row 99999 and row 99999x");
    harness.state_mut().table.scroll_to(99_999);
    harness.run();
    assert!(harness.query_by_label("row 99999").is_some());
}

#[test]
fn commands_are_found_and_chosen_with_keys() {
    let commands = || {
        vec![
            Command::new("Reset cameras", 1),
            Command::new("Open head L3 H9", 2).also("3:9"),
        ]
    };
    let mut harness = Harness::builder().with_size(Vec2::new(640.0, 400.0)).build_ui_state(
        move |ui, (search, chosen): &mut (CommandSearch, Option<i32>)| {
            *chosen = search.show(ui.ctx(), commands).or(*chosen);
        },
        (CommandSearch::default(), None),
    );
    harness.run();
    assert!(harness.query_by_label("Reset cameras").is_none());
    harness.key_press_modifiers(Modifiers::COMMAND, Key::K);
    harness.run();
    assert!(harness.query_by_label("Reset cameras").is_some());
    harness.get_by_role(egui::Role::TextInput).type_text("3:9");
    harness.run();
    assert!(harness.query_by_label("Reset cameras").is_none());
    harness.key_press(Key::Enter);
    harness.run();
    let (search, chosen) = harness.state();
    assert_eq!((search.is_open(), *chosen), (false, Some(2)));
    // Down to the second one, by keys alone; Escape chooses nothing.
    harness.key_press_modifiers(Modifiers::COMMAND, Key::K);
    harness.run();
    harness.key_press(Key::ArrowDown);
    harness.run();
    harness.key_press(Key::ArrowUp);
    harness.run();
    harness.key_press(Key::Enter);
    harness.run();
    assert_eq!(harness.state().1, Some(1));
    harness.key_press_modifiers(Modifiers::COMMAND, Key::K);
    harness.run();
    harness.key_press(Key::Escape);
    harness.run();
    assert!(!harness.state().0.is_open());
}

/// Egui's own text: the test's window panics where nothing draws a character.
#[test]
fn text_takes_fonts_of_the_system() {
    let missing = |c: &char| {
        let context = egui::Context::default();
        attn_egui::apply_theme(&context, &ViewState::default());
        context.set_font_providers(Vec::new());
        let mut lacks = false;
        let mut output = context.run_ui(egui::RawInput::default(), |ui| {
            lacks = !ui.fonts_mut(|fonts| fonts.has_glyph(&egui::FontId::default(), *c));
        });
        output.textures_delta.clear();
        lacks
    };
    let letters = (0x1D400..0x1D800).filter_map(char::from_u32);
    let Some(letter) = letters.filter(missing).find(|c| SystemFont::with(*c).is_some()) else {
        return;
    };
    let mut harness = Harness::builder().with_size(Vec2::new(300.0, 200.0)).build_ui(|ui| {
        attn_egui::apply_theme(ui.ctx(), &ViewState::default());
        ui.label(letter.to_string());
    });
    harness.run();
    let has = harness
        .ctx
        .fonts_mut(|fonts| fonts.has_glyph(&egui::FontId::default(), letter));
    assert!(has);
}

#[test]
fn notes_are_dismissed() {
    let mut notes = Notes::default();
    notes.extend(["3 lines were cut", "no such file"]);
    let mut harness = Harness::builder()
        .with_size(Vec2::new(300.0, 200.0))
        .build_ui_state(|ui, notes: &mut Notes| notes.show(ui), notes);
    harness.run();
    harness.get_all_by_label("×").next().unwrap().click();
    harness.run();
    assert_eq!(harness.state().iter().collect::<Vec<_>>(), ["no such file"]);
}
