//! Everything the window can do, as values: the toolbar, the keys and the search over commands all ask for the same.

use attn_egui::{attn_render::Format, commands::Command};
use attn_sdk::{
    core::HeadId,
    embedded,
    project::Dims,
    render::{
        Selection,
        color::Palette,
        control::{Key, Tool},
        state::ColorChoice,
    },
    study::experiment::Question,
};
use eframe::egui::Context;

use crate::{
    detail::{Kind, Off},
    inset,
    options::Projection,
    source::What,
    weighting,
    window::Atlas,
};

/// What a user may ask for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    OpenHead(HeadId),
    AllHeads,
    Step(isize),
    Project(Projection),
    Dims(Dims),
    Color(ColorChoice),
    Theme,
    Palette,
    /// A key of the main plot.
    Press(Key),
    /// Home in the main plot, in the detail pane and in the inset.
    ResetViews,
    ClearSearch,
    ClearFilter,
    ClearSelection,
    /// Sizes of points by the norms of their vectors.
    SizeByNorm,
    /// Lines around dense regions, with names.
    Contours,
    Detail(Kind),
    SwitchOff(Off),
    SwitchAllOn,
    AllFlows,
    Weighting(&'static str),
    ProjectSelection,
    ProjectValues,
    AblateHead,
    Export(Format),
    OpenDialog {
        beside: bool,
    },
    OpenEmbedded(&'static str),
    CloseComparison,
    SaveSession,
    SaveSessionAs,
    OpenSession,
    Bookmark,
    GoToBookmark(usize),
    Panel(Which),
    GoOn,
    Commands,
    Help,
}

/// A foldable panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Sequences,
    About,
    Detail,
}

impl Atlas {
    /// Every command that makes sense now.
    pub(crate) fn commands(&self) -> Vec<Command<Action>> {
        let pane = &self.panes[self.active];
        let mut all = vec![
            Command::new("Show all heads", Action::AllHeads)
                .keys("Escape")
                .also("matrix back"),
            Command::new("Next head", Action::Step(1)).keys("."),
            Command::new("Previous head", Action::Step(-1)).keys(","),
            Command::new("Reset cameras", Action::ResetViews)
                .keys("Home")
                .also("view zoom"),
            Command::new("Undo", Action::Press(Key::Undo)).keys("Ctrl+Z, u"),
            Command::new("Redo", Action::Press(Key::Redo)).keys("Ctrl+Y, r"),
            Command::new("Switch theme", Action::Theme).keys("t").also("dark light"),
            Command::new("Switch palette", Action::Palette).also("colors color-blind original"),
            Command::new("Drag: move", Action::Press(Key::Tool(Tool::Look))).keys("m"),
            Command::new("Drag: box selection", Action::Press(Key::Tool(Tool::Box)))
                .keys("b")
                .also("select"),
            Command::new("Drag: lasso selection", Action::Press(Key::Tool(Tool::Lasso)))
                .keys("l")
                .also("select"),
            Command::new("Select all points", Action::Press(Key::SelectAll)).keys("a"),
            Command::new("Clear search", Action::ClearSearch),
            Command::new("Clear selection", Action::ClearSelection),
            Command::new("Size points by norm", Action::SizeByNorm).also("vector length"),
            Command::new("Outline dense regions", Action::Contours).also("contours clusters names density"),
            Command::new("Clear token filter", Action::ClearFilter).also("draw all tokens"),
        ];
        for projection in Projection::ALL {
            let name = format!("Project by {}", projection.name());
            all.push(Command::new(name, Action::Project(projection)).also("projection layout method"));
        }
        for dims in [Dims::Two, Dims::Three] {
            let name = format!("Project in {} dimensions", dims.count());
            all.push(Command::new(name, Action::Dims(dims)).also(format!("{}D", dims.count())));
        }
        for (kind, name, hint) in Kind::ALL {
            all.push(Command::new(format!("Detail: {name}"), Action::Detail(kind)).also(hint));
        }
        all.extend([
            Command::new("Switch off special tokens", Action::SwitchOff(Off::Special)).also("hide"),
            Command::new("Switch off the first token", Action::SwitchOff(Off::First)).also("hide sink"),
            Command::new("Switch all tokens on", Action::SwitchAllOn).also("show reset"),
            Command::new("Show all flows of an image", Action::AllFlows).also("strongest"),
        ]);
        for name in weighting::NAMES {
            let words = format!("Weighting: {name}");
            all.push(Command::new(words, Action::Weighting(name)).also("norm value output"));
        }
        if inset::chosen(pane).is_some() {
            all.push(Command::new("Project selection", Action::ProjectSelection).also("alone again"));
        }
        if pane.view.open.is_some() && pane.capturer.is_some() {
            all.push(Command::new("Project values of the layer", Action::ProjectValues));
            all.push(Command::new("Ablate this head", Action::AblateHead).also("experiment loss without"));
        }
        for format in Format::ALL {
            let name = format!("Export the plot as {}", format.extension().to_uppercase());
            all.push(Command::new(name, Action::Export(format)).also("save write image data"));
        }
        all.extend([
            Command::new("Open model or capture …", Action::OpenDialog { beside: false }),
            Command::new("Compare with model or capture …", Action::OpenDialog { beside: true }),
            Command::new("Save session", Action::SaveSession).keys("Ctrl+S"),
            Command::new("Save session as …", Action::SaveSessionAs).keys("Ctrl+Shift+S"),
            Command::new("Open session …", Action::OpenSession).keys("Ctrl+O"),
            Command::new("Bookmark this view", Action::Bookmark).keys("Ctrl+D"),
            Command::new("Fold the sequences", Action::Panel(Which::Sequences))
                .keys("[")
                .also("panel left unfold"),
            Command::new("Fold the page about heads", Action::Panel(Which::About))
                .keys("]")
                .also("panel right unfold"),
            Command::new("Fold the detail pane", Action::Panel(Which::Detail))
                .keys("\\")
                .also("panel sentence unfold"),
            Command::new("Help", Action::Help).keys("F1").also("keys mouse"),
        ]);
        for model in embedded::all() {
            let name = format!("Open the embedded model {}", model.name);
            all.push(Command::new(name, Action::OpenEmbedded(model.name)));
        }
        if self.panes.len() > 1 {
            all.push(Command::new("Close comparison", Action::CloseComparison));
        }
        if !pane.stopped.is_empty() {
            all.push(Command::new("Go on with what was stopped", Action::GoOn));
        }
        for (index, bookmark) in pane.bookmarks.iter().enumerate() {
            let name = format!("Go to bookmark: {}", bookmark.name);
            all.push(Command::new(name, Action::GoToBookmark(index)));
        }
        let Some(study) = &pane.study else { return all };
        for name in study.color_names() {
            let words = format!("Color by {}", name.trim_start_matches("column:").replace('-', " "));
            all.push(Command::new(words, Action::Color(ColorChoice::values(name))));
        }
        all.push(Command::new("Color by query or key", Action::Color(ColorChoice::Role)));
        let model = study.capture().model();
        for head in model.heads() {
            let role = pane
                .summary
                .as_ref()
                .and_then(|summary| summary.head(head)?.labels.first());
            let role = role.map(|label| label.name()).unwrap_or_default();
            let name = model.head_name(head);
            let short = format!("{}:{} {}.{} {role}", head.layer, head.head, head.layer, head.head);
            all.push(
                Command::new(format!("Open head {name}"), Action::OpenHead(head))
                    .keys(role.as_ref())
                    .also(short),
            );
        }
        all
    }

    /// Does what was asked for.
    pub(crate) fn perform(&mut self, action: Action, context: &Context) {
        let before = self.shared();
        match action {
            Action::OpenHead(head) => self.active().open(head),
            Action::AllHeads => self.active().view.close_head(),
            Action::Step(by) => self.active().step(by),
            Action::Project(projection) => self.project(projection, self.params.dims),
            Action::Dims(dims) => self.project(self.projection, dims),
            Action::Color(color) => {
                let shared = &mut self.active().view.shared;
                shared.color = color;
                // Hidden classes belong to the former values.
                shared.hidden_classes.clear();
                shared.legend_page = 0;
            }
            Action::Theme => {
                let theme = &mut self.active().view.shared.theme;
                *theme = theme.other();
            }
            Action::Palette => {
                let palette = &mut self.active().view.shared.palette;
                *palette = match palette {
                    Palette::Original => Palette::ColorBlindSafe,
                    _ => Palette::Original,
                };
            }
            Action::Press(key) => self.active().plot.press(key),
            Action::ResetViews => {
                let pane = self.active();
                pane.plot.press(Key::Home);
                pane.detail.press(Key::Home);
                if let Some(inset) = &mut pane.shown_inset {
                    inset.press(Key::Home);
                }
            }
            Action::ClearSearch => self.active().view.shared.search.clear(),
            Action::ClearFilter => self.active().draw(attn_sdk::TokenFilter::default()),
            Action::ClearSelection => {
                let shared = &mut self.active().view.shared;
                shared.selected = Selection::default();
                shared.search.clear();
            }
            Action::SizeByNorm => {
                let size = &mut self.active().view.shared.size_by;
                *size = match size {
                    Some(_) => None,
                    None => Some("norm".into()),
                };
            }
            Action::Contours => self.active().view.shared.contours ^= true,
            Action::Detail(kind) => {
                self.active().detail.set_kind(kind);
                if self.panels.detail.is_folded() {
                    self.panels.detail.toggle();
                }
            }
            Action::SwitchOff(off) => self.active().switch_off(off),
            Action::SwitchAllOn => self.active().switch_all_on(),
            Action::AllFlows => self.active().view.shared.all_flows ^= true,
            Action::Weighting(name) => weighting::set(self.active(), name),
            Action::ProjectSelection => inset::project_selection(self.active()),
            Action::ProjectValues => inset::project_values(self.active()),
            Action::AblateHead => {
                let pane = self.active();
                if let Some(head) = pane.view.open {
                    pane.ask(Question {
                        heads: vec![head],
                        edges: None,
                    });
                }
            }
            Action::Export(format) => self.active().export(format),
            Action::OpenDialog { beside } => self.show_dialog(beside),
            Action::OpenEmbedded(name) => {
                if let Some(model) = embedded::find(name) {
                    self.bring(What::embedded(model), false, context);
                }
            }
            Action::CloseComparison => {
                self.panes.truncate(1);
                self.active = 0;
            }
            Action::SaveSession => match self.session.clone() {
                Some(path) => self.save_session(path),
                None => self.ask_for_session(true),
            },
            Action::SaveSessionAs => self.ask_for_session(true),
            Action::OpenSession => self.ask_for_session(false),
            Action::Bookmark => {
                let pane = self.active();
                let (name, look) = (pane.describe(), pane.looked());
                pane.bookmarks.add(name, look);
            }
            Action::GoToBookmark(index) => {
                let pane = self.active();
                let look = pane.bookmarks.iter().nth(index).map(|bookmark| bookmark.state.clone());
                if let Some(look) = look {
                    pane.look(look);
                }
            }
            Action::Panel(which) => match which {
                Which::Sequences => self.panels.sequences.toggle(),
                Which::About => self.panels.about.toggle(),
                Which::Detail => self.panels.detail.toggle(),
            },
            Action::GoOn => self.active().go_on(context),
            Action::Commands => self.search.open(),
            Action::Help => self.help = !self.help,
        }
        if before != self.shared() {
            self.sync(self.active);
        }
        context.request_repaint();
    }

    fn project(&mut self, projection: Projection, dims: Dims) {
        if (self.projection, self.params.dims) == (projection, dims) {
            return;
        }
        self.projection = projection;
        (self.params.dims, self.params.method) = (dims, projection.method());
        for pane in &mut self.panes {
            pane.project(self.params.clone());
        }
        if let Some((pane, _)) = &mut self.coming {
            pane.project(self.params.clone());
        }
    }
}
