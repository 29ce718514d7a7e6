//! Everything the window can do, as values: the keys and the search over commands ask for the same.

use attn_egui::{
    attn_render::Format,
    commands::Command,
    shortcuts::{Shortcut, pressed_shortcuts},
};
use eframe::egui::{Context, Key, Modifiers};

use crate::window::{Window, dialog};

/// What a user may ask for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Action {
    /// A tab, by its place.
    Show(usize),
    Theme,
    Fold(Side),
    Export(Format),
    Open,
    Notes,
    ClearSelection,
    ClearFilter,
}

/// A panel that folds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    List,
    Example,
}

impl Window {
    /// Every command that makes sense now.
    pub(crate) fn commands(&self) -> Vec<Command<Action>> {
        let tabs = self.views.iter().enumerate();
        let mut all: Vec<_> = tabs
            .map(|(at, view)| {
                Command::new(format!("Show {}", view.name().to_lowercase()), Action::Show(at)).also("tab")
            })
            .collect();
        all.extend([
            Command::new("Switch theme", Action::Theme).keys("t").also("dark light"),
            Command::new("Fold the list of examples", Action::Fold(Side::List))
                .keys("[")
                .also("panel left unfold"),
            Command::new("Fold the example", Action::Fold(Side::Example))
                .keys("]")
                .also("panel right unfold answers"),
            Command::new("Open a training …", Action::Open)
                .keys("Ctrl+O")
                .also("run log folder"),
            Command::new("Show notes", Action::Notes).also("hide errors left out"),
            Command::new("Clear selection", Action::ClearSelection),
            Command::new("Clear search and filter", Action::ClearFilter).also("all examples"),
        ]);
        let session = self.session.as_ref();
        if session.is_some_and(|session| self.views[self.shown].plot(session).is_some()) {
            for format in Format::ALL {
                let name = format!("Export the plot as {}", format.extension().to_uppercase());
                all.push(Command::new(name, Action::Export(format)).also("save write image data"));
            }
        }
        all
    }

    /// What keys ask for wherever the focus is.
    pub(crate) fn keys(&self, context: &Context) -> Vec<Action> {
        const ANYWHERE: [Shortcut<Action>; 1] = [(Modifiers::COMMAND, Key::O, Action::Open)];
        const ELSEWHERE: [Shortcut<Action>; 3] = [
            (Modifiers::NONE, Key::T, Action::Theme),
            (Modifiers::NONE, Key::OpenBracket, Action::Fold(Side::List)),
            (Modifiers::NONE, Key::CloseBracket, Action::Fold(Side::Example)),
        ];
        let writes = context.text_edit_focused() || self.search.is_open() || self.dialog.is_some();
        pressed_shortcuts(context, &ANYWHERE, &ELSEWHERE, writes)
    }

    /// Does what was asked for.
    pub(crate) fn perform(&mut self, action: Action) {
        let Some(session) = &mut self.session else { return };
        match action {
            Action::Show(at) => self.shown = at.min(self.views.len().saturating_sub(1)),
            Action::Theme => {
                let theme = &mut session.view.shared.theme;
                *theme = theme.other();
            }
            Action::Fold(Side::List) => self.left.toggle(),
            Action::Fold(Side::Example) => self.right.toggle(),
            Action::Export(format) => {
                if let Some((name, plot)) = self.views[self.shown].plot(session) {
                    self.exports.plot(&name, format, &*plot, &session.view, None);
                }
            }
            Action::Open => self.dialog = Some(dialog()),
            Action::Notes => self.notes = !self.notes,
            Action::ClearSelection => session.select([]),
            Action::ClearFilter => {
                session.filter.clear();
                session.view.shared.search.clear();
                session.find();
            }
        }
    }
}
