//! Everything that the window does by name (Ctrl+K), and how it looked at a study, kept beside it.

use std::path::Path;

use attn_egui::{
    FoldPanel,
    attn_render::Format,
    commands::Command,
    session::{open_session, save_session},
    shortcuts::{Shortcut, pressed_shortcuts},
    table::Sorting,
};
use attn_sdk::render::ViewState;
use eframe::egui::{Context, Key, Modifiers};
use serde::{Deserialize, Serialize};

use super::{
    browser::{Browser, Wish},
    stage::Tab,
};

/// The name of the program in its sessions, and their file beside a study.
const PROGRAM: &str = "concepts";
const FILE: &str = "session.json";

/// What can be asked for by name.
#[derive(Clone)]
pub(crate) enum Action {
    Show(Tab),
    /// A model and the number of a layer.
    Layer(usize, usize),
    Labels(usize),
    Cluster(usize),
    Theme,
    Fold(Side),
    Export(Format),
    Save,
}

#[derive(Clone, Copy)]
pub(crate) enum Side {
    Left,
    Right,
}

/// What was on view.
#[derive(Serialize, Deserialize)]
pub(crate) struct Look {
    model: usize,
    /// The number of the layer.
    layer: usize,
    cluster: usize,
    /// How the list of clusters is sorted; by size in a session of an earlier version.
    #[serde(default)]
    sorting: Option<Sorting>,
    /// Whether the list has judged clusters alone.
    #[serde(default)]
    judged: bool,
    /// The label set of shown shares.
    labels: String,
    tab: Tab,
    /// The sentence that was typed.
    typed: String,
    view: ViewState,
    left: FoldPanel,
    right: FoldPanel,
}

impl Look {
    /// Reads the session beside a study; `None` if there is none.
    pub(crate) fn beside(folder: &Path) -> Option<Result<Self, attn_egui::Error>> {
        let path = folder.join(FILE);
        path.exists().then(|| open_session(&path, PROGRAM))
    }

    pub(crate) fn save(&self, folder: &Path) -> Result<(), attn_egui::Error> {
        save_session(&folder.join(FILE), PROGRAM, self)
    }
}

impl Browser {
    pub(crate) fn look(&self) -> Look {
        Look {
            model: self.model,
            layer: self.shown().map_or(0, |layer| layer.layer),
            cluster: self.cluster,
            sorting: self.table.sorting(),
            judged: self.judged,
            labels: self
                .model()
                .sets
                .get(self.set)
                .map_or_else(String::new, |set| set.name.clone()),
            tab: self.stage.tab,
            typed: self.own.typed.clone(),
            view: self.stage.map.view.clone(),
            left: self.left.clone(),
            right: self.right.clone(),
        }
    }

    /// Looks at a study as a session says, as far as it has what that names.
    pub(crate) fn restore(&mut self, look: Look) {
        self.stage.map.view = look.view;
        (self.left, self.right) = (look.left, look.right);
        self.stage.tab = look.tab;
        self.own.typed = look.typed;
        self.table.sort_by(look.sorting);
        self.judged = look.judged;
        self.list();
        self.show_layer(look.model, look.layer);
        if let Some(set) = self.model().sets.iter().position(|set| set.name == look.labels) {
            self.set = set;
        }
        let there = |layer: &attn_sdk::analyze::concepts::ConceptLayer| look.cluster < layer.clusters.len();
        if self.shown().is_some_and(there) {
            self.choose(look.cluster);
        }
    }

    /// What keys ask for wherever the focus is.
    pub(crate) fn keys(&self, context: &Context) -> Vec<Action> {
        const ELSEWHERE: [Shortcut<Action>; 3] = [
            (Modifiers::NONE, Key::T, Action::Theme),
            (Modifiers::NONE, Key::OpenBracket, Action::Fold(Side::Left)),
            (Modifiers::NONE, Key::CloseBracket, Action::Fold(Side::Right)),
        ];
        const ANYWHERE: [Shortcut<Action>; 1] = [(Modifiers::COMMAND, Key::S, Action::Save)];
        let writes = context.text_edit_focused() || self.search.is_open();
        pressed_shortcuts(context, &ANYWHERE, &ELSEWHERE, writes)
    }

    pub(crate) fn commands(&self) -> Vec<Command<Action>> {
        let mut all = Vec::new();
        for (tab, name) in self.tabs_there() {
            all.push(Command::new(format!("Show {}", name.to_lowercase()), Action::Show(tab)).also("tab plot"));
        }
        for (at, model) in self.study.models.iter().enumerate() {
            for layer in &model.layers {
                let number = layer.layer;
                let name = format!("Show layer {number} of {}", model.name());
                all.push(Command::new(name, Action::Layer(at, number)).also("embeddings"));
            }
        }
        for (at, set) in self.model().sets.iter().enumerate() {
            let name = format!("Compare clusters with {}", set.name);
            all.push(Command::new(name, Action::Labels(at)).also("labels align"));
        }
        all.push(
            Command::new("Change the theme", Action::Theme)
                .keys("t")
                .also("dark light"),
        );
        let list = Command::new("Fold the list of clusters", Action::Fold(Side::Left));
        all.push(list.keys("[").also("panel left"));
        let words = Command::new("Fold the words", Action::Fold(Side::Right));
        all.push(words.keys("]").also("panel right sentences"));
        let save = Command::new("Save the study", Action::Save);
        all.push(save.keys("Ctrl+S").also("write session report"));
        for format in Format::ALL {
            let name = format!("Export as {}", format.extension().to_uppercase());
            all.push(Command::new(name, Action::Export(format)).also("picture numbers"));
        }
        let clusters = self.shown().map_or(&[][..], |layer| &layer.clusters);
        for (at, cluster) in clusters.iter().enumerate() {
            all.push(Command::new(
                format!("Choose cluster {}", cluster.name.text),
                Action::Cluster(at),
            ));
        }
        all
    }

    pub(crate) fn act(&mut self, action: Action) {
        match action {
            Action::Show(tab) => self.stage.tab = tab,
            Action::Layer(model, layer) => self.show_layer(model, layer),
            Action::Labels(set) => self.align_with(set),
            Action::Cluster(cluster) => self.choose(cluster),
            Action::Theme => {
                let theme = &mut self.stage.map.view.shared.theme;
                *theme = theme.other();
            }
            Action::Fold(Side::Left) => self.left.toggle(),
            Action::Fold(Side::Right) => self.right.toggle(),
            Action::Export(format) => self.export(format),
            Action::Save => self.wishes.push(Wish::Save),
        }
    }
}
