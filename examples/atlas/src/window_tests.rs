//! The whole window without a screen: a small model, commands and what they change.

use std::{fs, thread, time::Duration};

use attn_egui::{commands::find_commands, egui_wgpu::RendererOptions};
use attn_sdk::{project::Dims, render::control::Key};
use clap::Parser as _;
use eframe::egui::{Context, vec2};
use egui_kittest::{
    Harness,
    wgpu::{WgpuTestRenderer, create_render_state, default_wgpu_setup},
};

use crate::{
    actions::{Action, Exported},
    detail::Kind,
    options::{Options, Projection},
    session::Session,
    weighting,
    window::{Atlas, first_session},
};

/// Few sentences, so that everything is there soon.
const TEXT: &str = "the cat sat on the mat\nshe saw him in the park\nwe like green tea\n";

/// The window with everything there, and the folder of its files.
fn window() -> (Harness<'static, Atlas>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.txt");
    fs::write(&text, TEXT).unwrap();
    let words = [
        "atlas",
        "--embedded",
        "text-encoder",
        "--max-points",
        "60",
        "--projection",
        "pca",
        "--text",
    ];
    let options = Options::parse_from(words.map(Into::into).into_iter().chain([text.into_os_string()]));
    let state = create_render_state(default_wgpu_setup(), RendererOptions::PREDICTABLE);
    let session = first_session(options.what(), &options);
    let out = folder.path().join("out");
    let atlas = Atlas::new(session, out, state.clone(), &Context::default()).unwrap();
    let mut window = Harness::builder()
        .with_size(vec2(1400.0, 840.0))
        .renderer(WgpuTestRenderer::from_render_state(state))
        .build_ui_state(|ui, atlas: &mut Atlas| atlas.show(ui), atlas);
    settle(&mut window);
    (window, folder)
}

/// Frames until nothing runs, nor begins with the next frames.
fn settle(window: &mut Harness<'_, Atlas>) {
    let mut still = 0;
    for _ in 0..6_000 {
        window.step();
        let busy = window.state().panes.iter().any(|pane| {
            let filling = pane.study.as_ref().is_none_or(|study| study.is_filling());
            filling || pane.incoming.is_some() || !pane.work.jobs.running().is_empty()
        });
        still = if busy || window.state().coming.is_some() {
            0
        } else {
            still + 1
        };
        if still > 4 {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("the window is still at work after a minute");
}

/// Chooses the first command that is found.
fn choose(window: &mut Harness<'_, Atlas>, typed: &str, name: &str) {
    let commands = window.state().commands();
    let found = find_commands(&commands, typed).next();
    assert_eq!(found.map(|command| command.name.as_str()), Some(name), "for `{typed}`");
    let action = found.unwrap().action.clone();
    perform(window, action);
}

fn perform(window: &mut Harness<'_, Atlas>, action: Action) {
    let context = window.ctx.clone();
    window.state_mut().perform(action, &context);
    settle(window);
}

#[test]
fn undo_goes_back_through_projections_and_weightings() {
    let (mut window, _folder) = window();
    let now = |window: &Harness<'_, Atlas>| {
        let atlas = window.state();
        let pane = &atlas.panes[0];
        let params = pane.study.as_ref().unwrap().params();
        // What the window says, and what is drawn.
        assert_eq!(Projection::of(&params.method), atlas.projection);
        assert_eq!(params.dims, atlas.params.dims);
        (atlas.projection, params.dims, weighting::name(&pane.weighting))
    };
    let steps = [
        (
            Action::Project(Projection::Umap),
            (Projection::Umap, Dims::Two, "attention"),
        ),
        (Action::Dims(Dims::Three), (Projection::Umap, Dims::Three, "attention")),
        (Action::Weighting("value"), (Projection::Umap, Dims::Three, "value")),
        (Action::Weighting("output"), (Projection::Umap, Dims::Three, "output")),
    ];
    let first = now(&window);
    assert_eq!(first, (Projection::Pca, Dims::Two, "attention"));
    for (action, after) in &steps {
        perform(&mut window, action.clone());
        assert_eq!(now(&window), *after);
    }
    let states: Vec<_> = std::iter::once(first).chain(steps.map(|(_, after)| after)).collect();
    for before in states.iter().rev().skip(1) {
        perform(&mut window, Action::Press(Key::Undo));
        assert_eq!(now(&window), *before);
    }
    for after in &states[1..] {
        perform(&mut window, Action::Press(Key::Redo));
        assert_eq!(now(&window), *after);
    }
}

/// The numbers of the plot in the detail pane, from the file that it exports.
fn detail_numbers(window: &mut Harness<'_, Atlas>, folder: &std::path::Path, name: &str) -> String {
    choose(window, "export detail csv", "Export the detail pane as CSV");
    fs::read_to_string(folder.join("out").join(name)).unwrap()
}

#[test]
fn tokens_that_are_off_everywhere_are_no_places_of_one_sequence() {
    let (mut window, folder) = window();
    choose(&mut window, "0:1", "Open head L0 H1");
    choose(&mut window, "detail positions", "Detail: positions");
    let all = detail_numbers(&mut window, folder.path(), "aggregate-0-1.csv");
    choose(&mut window, "switch off special", "Switch off special tokens");
    let without = detail_numbers(&mut window, folder.path(), "aggregate-0-1.csv");
    assert_ne!(all, without);
    // The sentences have other lengths, so their last tokens stand elsewhere.
    for (typed, name) in [
        ("she saw", "Show sequence 2: she saw him in the park"),
        ("green tea", "Show sequence 3: we like green tea"),
    ] {
        choose(&mut window, typed, name);
        assert_eq!(
            detail_numbers(&mut window, folder.path(), "aggregate-0-1.csv"),
            without,
            "{name}"
        );
    }
}

#[test]
fn tokens_that_are_off_everywhere_are_undone_bookmarked_and_saved() {
    let (mut window, folder) = window();
    let off = |window: &Harness<'_, Atlas>| window.state().panes[0].switched_off();
    let none = off(&window);
    choose(&mut window, "0:1", "Open head L0 H1");
    choose(&mut window, "switch off special", "Switch off special tokens");
    let special = off(&window);
    assert!(special.special && !none.special);
    let hidden = window.state().panes[0].view.hidden.clone();
    assert!(!hidden.is_empty());
    perform(&mut window, Action::Press(Key::Undo));
    assert_eq!((off(&window), window.state().panes[0].view.hidden.len()), (none, 0));
    perform(&mut window, Action::Press(Key::Redo));
    assert_eq!((off(&window), &window.state().panes[0].view.hidden), (special, &hidden));
    perform(&mut window, Action::AllHeads);
    let path = folder.path().join("session.json");
    window.state_mut().save_session(path.clone());
    let state = create_render_state(default_wgpu_setup(), RendererOptions::PREDICTABLE);
    let session = Session::open(&path).unwrap();
    let atlas = Atlas::new(session, folder.path().join("out"), state.clone(), &Context::default()).unwrap();
    let mut again = Harness::builder()
        .with_size(vec2(1400.0, 840.0))
        .renderer(WgpuTestRenderer::from_render_state(state))
        .build_ui_state(|ui, atlas: &mut Atlas| atlas.show(ui), atlas);
    settle(&mut again);
    assert_eq!(off(&again), special);
}

#[test]
fn commands_do_what_buttons_menus_and_keys_do() {
    let (mut window, folder) = window();
    choose(&mut window, "1:2", "Open head L1 H2");
    assert!(window.state().panes[0].view.open.is_some());
    choose(&mut window, "next seq", "Next sequence");
    choose(&mut window, "green tea", "Show sequence 3: we like green tea");
    assert_eq!(window.state().panes[0].sequence, Some(2));
    choose(&mut window, "all heads det", "Detail: all heads");
    assert_eq!(window.state().panes[0].detail.kind(), Kind::EveryHead);
    choose(&mut window, "at most", "Draw at most 5 tokens of each word");
    assert_eq!(window.state().panes[0].filter.at_most, Some(5));
    choose(&mut window, "clear filter", "Clear token filter");
    assert!(window.state().panes[0].filter.is_empty());
    choose(&mut window, "zoom in", "Zoom in");
    assert!(window.state().panes[0].view.inside.zoom > 1.0);
    choose(
        &mut window,
        "knock previous",
        "Knock out edges of this head: to the previous token",
    );
    for (typed, name, file) in [
        (
            "export detail csv",
            "Export the detail pane as CSV",
            "overview-of-3.csv",
        ),
        ("export sequences csv", "Export the sequences as CSV", "sequences.csv"),
        ("export page csv", "Export the page about heads as CSV", "summary.csv"),
        ("export plot csv", "Export the plot as CSV", "head-1-2.csv"),
    ] {
        choose(&mut window, typed, name);
        assert!(folder.path().join("out").join(file).is_file(), "{file}");
    }
    choose(&mut window, "bookmark", "Bookmark this view");
    choose(&mut window, "remove bookmark", "Remove bookmark: L1 H2");
    assert_eq!(window.state().panes[0].bookmarks.iter().count(), 0);
    choose(&mut window, "compare dates", "Compare with the embedded model dates");
    assert_eq!((window.state().panes.len(), window.state().active), (2, 1));
    let name = window.state().panes[0].name.clone();
    choose(
        &mut window,
        "show page of",
        &format!("Show sequences and page of {name}"),
    );
    assert_eq!(window.state().active, 0);
    choose(&mut window, "close comp", "Close comparison");
    choose(&mut window, "untrained", "Compare with the control model untrained");
    assert_eq!(window.state().panes.len(), 2);
}

#[test]
fn a_command_puts_the_cursor_into_a_field() {
    let (mut window, _folder) = window();
    choose(&mut window, "search tok", "Search tokens");
    window.event(eframe::egui::Event::Text("cat".into()));
    settle(&mut window);
    assert_eq!(window.state().panes[0].view.shared.search, "cat");
    choose(&mut window, "write new", "Write new text");
    window.event(eframe::egui::Event::Text("a cat".into()));
    window.key_press(eframe::egui::Key::Enter);
    settle(&mut window);
    assert!(window.state().panes[0].guest.is_some());
    choose(&mut window, "detail of the data", "Detail: the sequence of the data");
    choose(&mut window, "take away", "Take the new text away");
    assert!(window.state().panes[0].guest.is_none());
}

#[test]
fn every_kind_of_action_is_a_command() {
    let (mut window, _folder) = window();
    let head = window.state().panes[0].head().unwrap();
    perform(&mut window, Action::OpenHead(head));
    perform(&mut window, Action::Press(Key::SelectAll));
    perform(&mut window, Action::ProjectSelection);
    perform(&mut window, Action::Bookmark);
    let commands = window.state().commands();
    let names: std::collections::BTreeSet<&str> = commands.iter().map(|command| command.name.as_str()).collect();
    assert_eq!(names.len(), commands.len(), "each has a name of its own");
    let there = |wanted: fn(&Action) -> bool| commands.iter().any(|command| wanted(&command.action));
    let exported = |what| {
        commands
            .iter()
            .any(|command| matches!(&command.action, Action::Export(of, _) if *of == what))
    };
    for what in [
        Exported::Plot,
        Exported::Detail,
        Exported::Inset,
        Exported::Sequences,
        Exported::Page,
    ] {
        assert!(exported(what), "{what:?}");
    }
    for (what, there) in [
        ("inset", there(|action| *action == Action::CloseInset)),
        ("selection", there(|action| *action == Action::ProjectSelection)),
        ("values", there(|action| *action == Action::ProjectValues)),
        ("experiment", there(|action| matches!(action, Action::Ask(_)))),
        ("color", there(|action| matches!(action, Action::Color(_)))),
        ("legend", there(|action| *action == Action::Press(Key::Legend))),
        ("token", there(|action| *action == Action::Press(Key::Switch))),
        ("control", there(|action| matches!(action, Action::Control(_)))),
        ("bookmark", there(|action| matches!(action, Action::RemoveBookmark(_)))),
        ("weighting", there(|action| matches!(action, Action::Weighting(_)))),
    ] {
        assert!(there, "{what}");
    }
}
