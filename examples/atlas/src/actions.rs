//! Everything the window can do, as values: the toolbar, the keys and the search over commands all ask for the same.

use attn_egui::attn_render::Format;
use attn_sdk::{
    TokenFilter,
    core::HeadId,
    embedded,
    models::control::Control,
    project::Dims,
    render::{Selection, color::Palette, control::Key, scene::PatchStyle, state::ColorChoice},
    study::experiment::Question,
};
use eframe::egui::Context;

use crate::{
    detail::{Kind, Off},
    inset,
    options::Projection,
    pane::Pane,
    source::{What, controls},
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
    /// Puts the cursor into a field.
    Write(Field),
    ClearSearch,
    /// Image patches in place of points.
    Patches(Option<PatchStyle>),
    Filter(TokenFilter),
    ClearSelection,
    /// Sizes of points by the norms of their vectors.
    SizeByNorm,
    /// Lines around dense regions, with names.
    Contours,
    Detail(Kind),
    SwitchOff(Off),
    SwitchAllOn,
    AllFlows,
    /// What was typed in the detail pane, or a sequence of the data.
    ShowTyped(bool),
    ClearTyped,
    Sequence(usize),
    StepSequence(isize),
    Checkpoint(usize),
    Weighting(&'static str),
    ProjectSelection,
    ProjectValues,
    CloseInset,
    /// Runs an experiment.
    Ask(Question),
    Export(Exported, Format),
    OpenDialog {
        beside: bool,
    },
    OpenEmbedded {
        name: &'static str,
        beside: bool,
    },
    /// Opens a control model beside the first one.
    Control(Control),
    CloseComparison,
    /// The model whose sequences and page are shown.
    LookAt(usize),
    SaveSession,
    SaveSessionAs,
    OpenSession,
    Bookmark,
    GoToBookmark(usize),
    RemoveBookmark(usize),
    Panel(Which),
    Stop,
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

/// A field that is written into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Search,
    NewText,
}

/// What is written to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exported {
    Plot,
    Detail,
    Inset,
    Sequences,
    Page,
}

impl Atlas {
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
            Action::Write(field) => self.focus = Some(field),
            Action::Patches(style) => self.active().view.shared.patches = style,
            Action::Filter(filter) => self.active().draw(filter),
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
                self.unfold_detail();
            }
            Action::SwitchOff(off) => self.active().switch_off(off),
            Action::SwitchAllOn => self.active().switch_all_on(),
            Action::AllFlows => self.active().view.shared.all_flows ^= true,
            Action::ShowTyped(typed) => self.active().detail.show_typed(typed),
            Action::ClearTyped => {
                for pane in &mut self.panes {
                    pane.typed.clear();
                    pane.read_typed();
                }
            }
            Action::Sequence(sequence) => self.show_sequence(sequence),
            Action::StepSequence(by) => {
                let pane = self.active();
                let count = pane.study.as_ref().map_or(0, |study| study.capture().sequences().len());
                let next = pane.sequence.and_then(|now| now.checked_add_signed(by));
                if let Some(next) = next.filter(|next| *next < count) {
                    self.show_sequence(next);
                }
            }
            Action::Checkpoint(number) => self.active().go_to_checkpoint(number as f32),
            Action::Weighting(name) => weighting::set(self.active(), name),
            Action::ProjectSelection => inset::project_selection(self.active()),
            Action::ProjectValues => inset::project_values(self.active()),
            Action::CloseInset => self.active().shown_inset = None,
            Action::Ask(question) => self.active().ask(question),
            Action::Export(what, format) => self.export(what, format),
            Action::OpenDialog { beside } => self.show_dialog(beside),
            Action::OpenEmbedded { name, beside } => {
                if let Some(model) = embedded::find(name) {
                    self.bring(What::embedded(model), beside, context);
                }
            }
            Action::Control(wanted) => {
                let found = controls(&self.panes[0])
                    .into_iter()
                    .find(|(control, _)| *control == wanted);
                if let Some((_, source)) = found {
                    self.bring_source(source, None, true, context);
                }
            }
            Action::CloseComparison => {
                self.panes.truncate(1);
                self.active = 0;
            }
            Action::LookAt(index) => self.active = index.min(self.panes.len() - 1),
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
            Action::RemoveBookmark(index) => self.active().bookmarks.remove(index),
            Action::Panel(which) => match which {
                Which::Sequences => self.panels.sequences.toggle(),
                Which::About => self.panels.about.toggle(),
                Which::Detail => self.panels.detail.toggle(),
            },
            Action::Stop => self.stop(),
            Action::GoOn => self.active().go_on(context),
            Action::Commands => self.search.open(),
            Action::Help => self.help = !self.help,
        }
        if before != self.shared() {
            self.sync(self.active);
        }
        context.request_repaint();
    }

    fn unfold_detail(&mut self) {
        if self.panels.detail.is_folded() {
            self.panels.detail.toggle();
        }
    }

    /// Highlights a sequence, here and in the compared model.
    pub(crate) fn show_sequence(&mut self, sequence: usize) {
        let pane = self.active();
        pane.choose(Some(sequence));
        pane.table.scroll_to(sequence);
        self.sync(self.active);
    }

    fn export(&mut self, what: Exported, format: Format) {
        let pane = self.active();
        match what {
            Exported::Plot => pane.export(format),
            Exported::Detail => {
                // It is written where it is drawn.
                pane.detail.export(format);
                self.unfold_detail();
            }
            Exported::Inset => {
                if let Some(inset) = &mut pane.shown_inset {
                    inset.export(format);
                }
            }
            Exported::Sequences => {
                if let Some(study) = &pane.study {
                    pane.exports.table("sequences", format, &study.sequences_table());
                }
            }
            Exported::Page => {
                if let Some(summary) = &pane.summary {
                    pane.exports.table("summary", format, &summary.table());
                }
            }
        }
    }

    /// Stops what the line at the foot shows.
    fn stop(&mut self) {
        let opens = |pane: &Pane| !pane.work.jobs.running().is_empty();
        if self.coming.as_ref().is_some_and(|(pane, _)| opens(pane)) {
            self.coming = None;
            return;
        }
        let busy = self.panes.iter_mut().find(|pane| opens(pane));
        if let Some(pane) = busy
            && let Some(job) = pane.work.jobs.running().first()
        {
            pane.work.jobs.stop(job.id);
            pane.stopped_by_user(job.id);
        }
    }

    /// Projects everything on view in this way.
    pub(crate) fn project(&mut self, projection: Projection, dims: Dims) {
        if (self.projection, self.params.dims) == (projection, dims) {
            return;
        }
        self.projection = projection;
        (self.params.dims, self.params.method) = (dims, projection.method());
        for pane in &mut self.panes {
            pane.projected = (projection, dims);
            pane.project(self.params.clone());
        }
        if let Some((pane, _)) = &mut self.coming {
            pane.projected = (projection, dims);
            pane.project(self.params.clone());
        }
    }
}
