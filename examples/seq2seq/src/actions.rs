//! Everything the window does by name: keys, buttons and the search over commands ask for the same.

use attn_egui::{
    Jobs,
    attn_render::Format,
    commands::Command,
    shortcuts::{Shortcut, pressed_shortcuts},
};
use attn_sdk::{
    render::{ViewState, color::Palette},
    study::decoding::{AttentionScale, Shift, Unit},
};
use eframe::egui::{Context, Key, Modifiers};

use crate::{
    look::{Cameras, Chosen},
    panel::{SCALES, weighting},
    studio::Studio,
    views::Tab,
    window::News,
};

/// What can be asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    Decode,
    /// A line of the file of sources.
    Line(usize),
    Undo,
    Redo,
    Theme,
    Palette,
    /// The cameras of all plots.
    ResetViews,
    Tab(Tab),
    Hypothesis(usize),
    StepHypothesis(isize),
    /// A hypothesis of the compared run.
    ComparedHypothesis(usize),
    Run(usize),
    /// With a run, or with none.
    Compare(Option<usize>),
    Swap,
    Remove(usize),
    Heads(Chosen),
    /// One head alone.
    Head(usize, usize),
    /// Scores heads over the sources of the listed runs.
    FindHeads,
    Unit(Unit),
    Shift,
    TextOnly,
    Scale(AttentionScale),
    /// A language of the target.
    Translate(u32),
    NearWords,
    RankWord,
    ResetWeights,
    ShiftWeights,
    CopyWeights,
    DecodeWeights,
    TakeState,
    Blame,
    Export(Format),
    Save,
    SaveAs,
    Open,
    Panel(Which),
    Commands,
    Help,
}

/// A panel that folds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Settings,
    Experiments,
    Predictions,
    Detail,
}

const CTRL_SHIFT: Modifiers = Modifiers {
    shift: true,
    ..Modifiers::COMMAND
};

/// Keys that hold where text is typed too.
const ANYWHERE: [Shortcut<Action>; 5] = [
    (CTRL_SHIFT, Key::S, Action::SaveAs),
    (Modifiers::COMMAND, Key::S, Action::Save),
    (Modifiers::COMMAND, Key::O, Action::Open),
    (Modifiers::COMMAND, Key::Enter, Action::Decode),
    (Modifiers::NONE, Key::F1, Action::Help),
];

/// Keys that hold where no text is typed.
const ELSEWHERE: [Shortcut<Action>; 12] = [
    (CTRL_SHIFT, Key::Z, Action::Redo),
    (Modifiers::COMMAND, Key::Z, Action::Undo),
    (Modifiers::COMMAND, Key::Y, Action::Redo),
    (Modifiers::NONE, Key::U, Action::Undo),
    (Modifiers::NONE, Key::R, Action::Redo),
    (Modifiers::NONE, Key::T, Action::Theme),
    (Modifiers::NONE, Key::Home, Action::ResetViews),
    (Modifiers::NONE, Key::Period, Action::StepHypothesis(1)),
    (Modifiers::NONE, Key::Comma, Action::StepHypothesis(-1)),
    (Modifiers::NONE, Key::OpenBracket, Action::Panel(Which::Settings)),
    (Modifiers::NONE, Key::CloseBracket, Action::Panel(Which::Experiments)),
    (Modifiers::NONE, Key::Backslash, Action::Panel(Which::Detail)),
];

impl Studio {
    /// Every command that makes sense now.
    pub(crate) fn commands(&self) -> Vec<Command<Action>> {
        let mut all = vec![
            Command::new("Undo", Action::Undo).keys("Ctrl+Z, u"),
            Command::new("Redo", Action::Redo).keys("Ctrl+Y, r"),
            Command::new("Switch theme", Action::Theme).keys("t").also("dark light"),
            Command::new("Switch palette", Action::Palette).also("colors color-blind original"),
            Command::new("Reset the views", Action::ResetViews)
                .keys("Home")
                .also("camera zoom"),
        ];
        if self.decoder.is_some() {
            all.push(
                Command::new("Decode", Action::Decode)
                    .keys("Ctrl+Enter")
                    .also("run write translate"),
            );
        }
        for (at, line) in self.lines.iter().enumerate().filter(|_| self.decoder.is_some()) {
            all.push(Command::new(format!("Decode line {}: {line}", at + 1), Action::Line(at)).also("source file"));
        }
        if let Some(run) = self.run() {
            for (tab, name, _) in self.tabs().into_iter().filter(|(.., there)| *there) {
                all.push(Command::new(format!("Show {}", name.to_lowercase()), Action::Tab(tab)).also("tab plot"));
            }
            for (at, found) in run.decoding.hypotheses.iter().enumerate() {
                let name = format!("Show hypothesis {}: {}", at + 1, found.row.text);
                all.push(Command::new(name, Action::Hypothesis(at)).also("beam"));
            }
            all.push(Command::new("Next hypothesis", Action::StepHypothesis(1)).keys("."));
            all.push(Command::new("Previous hypothesis", Action::StepHypothesis(-1)).keys(","));
            self.about_attention(&mut all);
            self.what_if_commands(&mut all);
        }
        for at in self.look.listed.iter().copied() {
            let name = self.run_name(at);
            all.push(Command::new(format!("Show run {name}"), Action::Run(at)));
            if at != self.look.shown {
                all.push(Command::new(format!("Compare with run {name}"), Action::Compare(Some(at))).also("beside"));
            }
            if self.look.listed.len() > 1 {
                all.push(Command::new(format!("Remove run {name}"), Action::Remove(at)).also("delete"));
            }
        }
        if let Some(other) = self.compared() {
            for (at, found) in other.decoding.hypotheses.iter().enumerate() {
                let name = format!("Compare with hypothesis {}: {}", at + 1, found.row.text);
                all.push(Command::new(name, Action::ComparedHypothesis(at)).also("beside beam"));
            }
            all.push(Command::new("Swap the compared runs", Action::Swap));
            all.push(Command::new("Close the comparison", Action::Compare(None)));
        }
        for (name, id) in &self.languages {
            let words = format!("Translate into {name}");
            all.push(Command::new(words, Action::Translate(*id)).also("language target"));
        }
        for format in Format::ALL {
            let name = format!("Export every plot as {}", format.extension().to_uppercase());
            all.push(Command::new(name, Action::Export(format)).also("write image data alignments pharaoh"));
        }
        all.extend([
            Command::new("Save session", Action::Save).keys("Ctrl+S"),
            Command::new("Save session as …", Action::SaveAs).keys("Ctrl+Shift+S"),
            Command::new("Open session …", Action::Open)
                .keys("Ctrl+O")
                .also("run.json"),
            Command::new("Fold source and settings", Action::Panel(Which::Settings))
                .keys("[")
                .also("panel left unfold"),
            Command::new("Fold the experiments", Action::Panel(Which::Experiments))
                .keys("]")
                .also("panel right unfold what if blame"),
            Command::new("Fold the predictions", Action::Panel(Which::Predictions)).also("panel unfold"),
            Command::new("Fold beam tree and states", Action::Panel(Which::Detail))
                .keys("\\")
                .also("panel bottom unfold"),
            Command::new("Help", Action::Help).keys("F1").also("keys mouse"),
        ]);
        all
    }

    fn about_attention(&self, all: &mut Vec<Command<Action>>) {
        all.push(Command::new("Attention of all heads", Action::Heads(Chosen::All)).also("mean average"));
        if self.decoder.is_some() {
            all.push(Command::new("Find the heads that align", Action::FindHeads).also("alignment score chance"));
        }
        if !self.aligning.is_empty() {
            all.push(Command::new("Attention of heads that align", Action::Heads(Chosen::Aligning)).also("alignment"));
        }
        let (layers, heads) = self.head_counts();
        for layer in 0..layers {
            let name = format!("Attention of layer {layer}");
            all.push(Command::new(name, Action::Heads(Chosen::Layer(layer))));
        }
        for (layer, head) in (0..layers).flat_map(|layer| (0..heads).map(move |head| (layer, head))) {
            let name = format!("Attention of head L{layer} H{head}");
            all.push(Command::new(name, Action::Head(layer, head)).also(format!("{layer}:{head}")));
        }
        let (unit, name) = match self.look.flow.unit {
            Unit::Pieces => (Unit::Words, "words"),
            Unit::Words => (Unit::Pieces, "pieces"),
        };
        all.extend([
            Command::new(format!("Attention between {name}"), Action::Unit(unit)),
            Command::new("Attention of the step that reads a token", Action::Shift).also("shift-att"),
            Command::new("Leave out tokens of the format and punctuation", Action::TextOnly).also("text only special"),
        ]);
        let others = SCALES.into_iter().filter(|scale| *scale != self.look.flow.scale);
        all.extend(others.map(|scale| {
            let name = format!("Weight attention by {}", weighting(scale));
            Command::new(name, Action::Scale(scale)).also("weighting")
        }));
    }

    fn what_if_commands(&self, all: &mut Vec<Command<Action>>) {
        if self.decoder.is_none() {
            return;
        }
        let word = &self.look.word;
        all.extend([
            Command::new("Find near words for the source token", Action::NearWords).also("what if substitute"),
            Command::new("Decode with the edited weights", Action::DecodeWeights).also("what if attention"),
            Command::new("Shift the edited weights by one", Action::ShiftWeights).also("what if attention"),
            Command::new("Reset the edited weights", Action::ResetWeights).also("what if attention"),
        ]);
        if !word.trim().is_empty() {
            all.push(Command::new(format!("Rank of {word} at every step"), Action::RankWord).also("probability word"));
        }
        if self.compared().is_some() {
            all.push(Command::new("Copy the weights of the compared run", Action::CopyWeights).also("what if row"));
            all.push(Command::new("Take the state of the compared run", Action::TakeState).also("what if patch"));
        }
        if !self.look.expected.trim().is_empty() {
            let name = format!("Find out why it is not {}", self.look.expected.trim());
            all.push(Command::new(name, Action::Blame).also("blame cause expected"));
        }
    }

    /// What keys ask for wherever the focus is.
    pub(crate) fn keys(&self, context: &Context) -> Vec<Action> {
        let writes = context.text_edit_focused() || self.search.is_open() || self.dialog.is_some();
        pressed_shortcuts(context, &ANYWHERE, &ELSEWHERE, writes)
    }

    /// Does what was asked for.
    pub(crate) fn perform(&mut self, action: Action, context: &Context, jobs: &Jobs<News>) {
        match action {
            Action::Decode => {
                // The plain keys are for the window again.
                context.memory_mut(|memory| memory.stop_text_input());
                self.decode(jobs);
            }
            Action::Line(line) => self.decode_line(line, jobs),
            Action::Undo => {
                if self.history.undo(&mut self.look) {
                    self.brought_back(jobs);
                }
            }
            Action::Redo => {
                if self.history.redo(&mut self.look) {
                    self.brought_back(jobs);
                }
            }
            Action::Theme => {
                let theme = &mut self.look.view.shared.theme;
                *theme = theme.other();
            }
            Action::Palette => {
                let palette = &mut self.look.view.shared.palette;
                *palette = match palette {
                    Palette::Original => Palette::ColorBlindSafe,
                    _ => Palette::Original,
                };
            }
            Action::ResetViews => {
                self.look.cameras = Cameras::default();
                self.views.scrolls_back = true;
            }
            Action::Tab(tab) => {
                self.show_tab(tab);
                if self.panels.detail.is_folded() {
                    self.panels.detail.toggle();
                }
            }
            Action::Hypothesis(at) => self.show_hypothesis(at, jobs),
            Action::ComparedHypothesis(at) => self.compare_hypothesis(at),
            Action::StepHypothesis(by) => {
                let count = self.run().map_or(0, |run| run.decoding.hypotheses.len());
                let next = self.look.hypothesis.checked_add_signed(by).filter(|at| *at < count);
                if let Some(next) = next {
                    self.show_hypothesis(next, jobs);
                }
            }
            Action::Run(at) => {
                self.show(at);
                self.find_neighbors(jobs);
            }
            Action::Compare(other) => self.compare(other),
            Action::Swap => {
                if let Some(other) = self.look.against {
                    let before = self.look.shown;
                    self.show(other);
                    self.compare(Some(before));
                    self.find_neighbors(jobs);
                }
            }
            Action::Remove(at) => {
                self.remove(at);
                self.find_neighbors(jobs);
            }
            Action::Heads(chosen) => self.look.chosen = chosen,
            Action::Head(layer, head) => {
                self.look.chosen = Chosen::Some;
                self.look.heads = [(layer, head)].into();
            }
            Action::FindHeads => self.find_heads(jobs),
            Action::Unit(unit) => self.look.flow.unit = unit,
            Action::Shift => {
                self.look.flow.shift = match self.look.flow.shift {
                    Shift::Read => Shift::Predicted,
                    Shift::Predicted => Shift::Read,
                };
            }
            Action::TextOnly => self.look.flow.text_only ^= true,
            Action::Scale(scale) => self.look.flow.scale = scale,
            Action::Translate(id) => {
                self.translate_into(id);
                self.decode(jobs);
            }
            Action::NearWords => self.find_near_words(),
            Action::RankWord => self.rank_word(jobs),
            Action::ResetWeights => self.reset_weights(),
            Action::ShiftWeights => {
                if !self.look.weights.is_empty() {
                    self.look.weights.rotate_right(1);
                }
            }
            Action::CopyWeights => self.copy_weights(),
            Action::DecodeWeights => self.edited(jobs),
            Action::TakeState => self.patched(jobs),
            Action::Blame => self.blame(jobs),
            Action::Export(format) => self.export(format),
            Action::Save => match self.session.clone() {
                Some(path) => self.save(path, jobs),
                None => self.ask_for_session(true),
            },
            Action::SaveAs => self.ask_for_session(true),
            Action::Open => self.ask_for_session(false),
            Action::Panel(which) => match which {
                Which::Settings => self.panels.settings.toggle(),
                Which::Experiments => self.panels.experiments.toggle(),
                Which::Predictions => self.panels.predictions.toggle(),
                Which::Detail => self.panels.detail.toggle(),
            },
            Action::Commands => self.search.open(),
            Action::Help => self.help = !self.help,
        }
        self.choose();
        context.request_repaint();
    }

    /// Shows another tab, whose camera is its own.
    pub(crate) fn show_tab(&mut self, tab: Tab) {
        if self.look.tab != tab {
            self.look.tab = tab;
            self.look.cameras.detail = ViewState::default();
        }
    }
}
