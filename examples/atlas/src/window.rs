//! The window: one model or two side by side, the table of sequences, the detail pane and the summary. All are linked and fill up
//! while jobs run.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use attn_egui::{
    FoldPanel, apply_theme,
    attn_render::Format,
    commands::CommandSearch,
    draw_directly,
    egui_wgpu::RendererOptions,
    export::export_menu,
    fold_panel::Edge,
    open_dialog::SessionDialog,
    shortcuts::{Shortcut, pressed_shortcuts},
};
use attn_sdk::{
    TokenFilter,
    core::HeadId,
    project::AtlasParams,
    render::{Interaction, ViewState, state::Shared},
};
use eframe::egui::{
    CentralPanel, Context, Frame, Key, Modifiers, Panel, RichText, ScrollArea, Ui, ViewportBuilder, Visuals, vec2,
};

use crate::{
    actions::{Action, Field, Which},
    checkpoints, help,
    open::Dialog,
    options::{Options, Projection},
    pane::Pane,
    selection,
    session::{Panels, Session},
    source::What,
    summary, weighting,
};

/// The window cannot be made smaller, in points.
const SMALLEST: [f32; 2] = [760.0, 520.0];
/// Width of the line of progress, in points.
const PROGRESS: f32 = 470.0;

/// What the window opens with.
pub(crate) enum Start {
    What(What),
    Session(PathBuf),
}

/// Opens the window and returns when it is closed.
pub(crate) fn open(start: Start, options: &Options) -> Result<(), Box<dyn Error>> {
    // Before there is a window: what is wrong with the command line is said on it.
    let (session, path) = match start {
        Start::Session(path) => (Session::open(&path)?, Some(path)),
        Start::What(what) => (first_session(what, options), None),
    };
    for pane in &session.panes {
        let source = pane.what.source()?;
        let model = source.checkpoint().and_then(|model| model.describe().model);
        // A session names no head in words.
        if let (Some(model), Some(_)) = (model, &pane.head) {
            options.gallery().check_model(&model)?;
        }
    }
    let native = eframe::NativeOptions {
        viewport: ViewportBuilder::default()
            .with_inner_size([1400.0, 840.0])
            .with_min_inner_size(SMALLEST),
        ..Default::default()
    };
    let out = options.out.clone().unwrap_or_else(|| "out".into());
    let app = move |cc: &eframe::CreationContext<'_>| -> Result<Box<dyn eframe::App>, _> {
        let state = cc.wgpu_render_state.clone().ok_or("eframe runs without wgpu")?;
        // The renderer of the default window, which this is.
        draw_directly(&state, &RendererOptions::default());
        let mut atlas = Atlas::new(session, out, state, &cc.egui_ctx)?;
        atlas.session = path;
        // The first frame is of the theme.
        apply_theme(&cc.egui_ctx, &atlas.panes[0].view);
        Ok(Box::new(atlas))
    };
    eframe::run_native("attn atlas", native, Box::new(app)).map_err(|error| error.to_string().into())
}

/// What the command line asks for.
pub(crate) fn first_session(what: What, options: &Options) -> Session {
    Session {
        panes: vec![crate::session::Saved {
            what,
            fingerprint: None,
            look: crate::session::Look {
                view: options.view(),
                filter: options.filter(),
                sequence: options.sequence.and_then(|number| number.checked_sub(1)),
            },
            kind: crate::detail::Kind::default(),
            typed: options.place.clone().unwrap_or_default(),
            bookmarks: Default::default(),
            weighting: Some(options.weighting.clone()),
            head: options.head.first().copied(),
            off: options.off(),
        }],
        active: 0,
        projection: options.projection,
        params: options.atlas(),
        panels: Panels {
            sequences: FoldPanel::new(Edge::Left, 220.0).at_most(0.25),
            about: FoldPanel::new(Edge::Right, 380.0).at_most(0.4),
            detail: FoldPanel::new(Edge::Bottom, 430.0).at_most(0.75),
        },
    }
}

pub(crate) struct Atlas {
    /// One model, or two to compare.
    pub(crate) panes: Vec<Pane>,
    /// The pane whose sequences and summary are shown.
    pub(crate) active: usize,
    pub(crate) params: AtlasParams,
    pub(crate) projection: Projection,
    pub(crate) panels: Panels,
    pub(crate) state: attn_egui::egui_wgpu::RenderState,
    pub(crate) out: PathBuf,
    /// The file of the session, once there is one.
    pub(crate) session: Option<PathBuf>,
    /// A model that is being opened, and whether it comes beside the shown one. What is on view stays until it can be read.
    pub(crate) coming: Option<(Box<Pane>, bool)>,
    pub(crate) dialog: Option<Dialog>,
    pub(crate) session_dialog: Option<SessionDialog>,
    pub(crate) search: CommandSearch,
    pub(crate) help: bool,
    /// A field that gets the cursor with the next frame.
    pub(crate) focus: Option<Field>,
}

/// What is shared between panes, to notice changes.
type Noticed = (usize, ViewState, TokenFilter);

impl eframe::App for Atlas {
    /// What lies under plots that are not drawn yet is of the theme.
    fn clear_color(&self, visuals: &Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }

    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        self.show(ui);
    }
}

impl Atlas {
    /// The window of a session.
    pub(crate) fn new(
        session: Session,
        out: PathBuf,
        state: attn_egui::egui_wgpu::RenderState,
        context: &Context,
    ) -> Result<Self, String> {
        let mut atlas = Self {
            panes: Vec::new(),
            active: 0,
            params: session.params.clone(),
            projection: session.projection,
            panels: session.panels.clone(),
            state,
            out,
            session: None,
            coming: None,
            dialog: None,
            session_dialog: None,
            search: CommandSearch::default(),
            help: false,
            focus: None,
        };
        atlas.restore(session, context)?;
        Ok(atlas)
    }

    /// A frame.
    pub(crate) fn show(&mut self, ui: &mut Ui) {
        let context = ui.ctx().clone();
        for pane in &mut self.panes {
            pane.listen(&context);
            pane.agree();
        }
        let mut panes = self.panes.iter_mut();
        if let Some((projection, dims)) = panes.find_map(|pane| pane.asked_projection.take()) {
            self.project(projection, dims);
        }
        self.welcome(&context);
        apply_theme(&context, &self.panes[0].view);
        // Before the widgets that take keys.
        let mut search = std::mem::take(&mut self.search);
        let mut asked = search.show(&context, || self.commands());
        self.search = search;
        help::show(&context, &mut self.help);
        self.dialogs(&context);
        let keys = self.keys(&context);
        let bars = Panel::top("tools").show(ui, |ui| self.bars(ui)).inner;
        asked = bars.or(asked);
        Panel::bottom("status").show(ui, |ui| self.status(ui));
        let mut panels = self.panels.clone();
        panels.sequences.show(ui, "sequences", |ui| self.sequences(ui));
        panels.about.show(ui, "about", |ui| {
            panels.detail.show(ui, "detail", |ui| {
                let pane = &mut self.panes[self.active];
                weighting::choice(ui, pane);
                pane.show_sequence(ui);
            });
            asked = CentralPanel::default()
                .frame(Frame::NONE)
                .show(ui, |ui| self.about(ui))
                .inner
                .or(asked.take());
        });
        // Folding by a double click; the buttons act on the next frame.
        self.panels = panels;
        // Keys that nothing else wants are for the plots, unless a window in front waits for words.
        let free = !self.search.is_open() && self.dialog.is_none() && self.session_dialog.is_none();
        for (index, pane) in self.panes.iter_mut().enumerate() {
            pane.plot.set_takes_keys(free && index == self.active);
        }
        let ground = Frame::NONE.fill(ui.visuals().extreme_bg_color);
        CentralPanel::default().frame(ground).show(ui, |ui| self.plots(ui));
        for action in keys.into_iter().chain(asked) {
            self.perform(action, &context);
        }
        for pane in &mut self.panes {
            pane.show_inset(ui, &self.state);
            pane.note_missing_characters();
        }
    }

    pub(crate) fn active(&mut self) -> &mut Pane {
        &mut self.panes[self.active]
    }

    pub(crate) fn shared(&self) -> Noticed {
        let pane = &self.panes[self.active];
        (self.active, pane.view.clone(), pane.filter.clone())
    }

    /// Opens what a session holds, in place of everything.
    pub(crate) fn restore(&mut self, session: Session, context: &Context) -> Result<(), String> {
        let mut panes = Vec::new();
        for (index, saved) in session.panes.into_iter().enumerate() {
            let source = saved.what.source().map_err(|error| error.to_string())?;
            let (folder, note) = match index {
                0 if source.is_read() => writable(&self.out),
                _ => (None, None),
            };
            let view = ViewState::from(saved.look.view.shared.clone());
            let what = Some(saved.what.clone());
            let mut pane = Pane::new(
                source,
                what,
                session.params.clone(),
                view,
                &self.out,
                folder,
                &self.state,
                context,
            );
            pane.notes.extend(note);
            pane.restore(saved);
            panes.push(pane);
        }
        self.panes = panes;
        self.active = session.active;
        (self.params, self.projection, self.panels) = (session.params, session.projection, session.panels);
        self.coming = None;
        Ok(())
    }

    /// Shows a model that was being opened, once it can be read; keeps what is on view if it cannot.
    fn welcome(&mut self, context: &Context) {
        let Some((pane, _)) = &mut self.coming else { return };
        pane.listen(context);
        if pane.study.is_none() && pane.failure.is_none() {
            return;
        }
        let Some((pane, beside)) = self.coming.take() else {
            return;
        };
        if let Some(failure) = &pane.failure {
            let note = format!("{} was not opened: {failure}", pane.name);
            self.active().notes.push(note);
        } else if beside {
            self.panes.truncate(1);
            self.panes.push(*pane);
            self.active = 1;
        } else {
            self.panes[self.active] = *pane;
        }
    }

    /// The line at the foot: progress, the last file, new text. It is there whether or not something runs.
    fn status(&mut self, ui: &mut Ui) {
        for pane in &mut self.panes {
            checkpoints::slider(ui, pane);
        }
        ui.horizontal(|ui| self.new_point(ui));
        ui.horizontal(|ui| {
            ui.set_height(ui.spacing().interact_size.y);
            let size = vec2(PROGRESS.min(0.5 * ui.available_width()), ui.spacing().interact_size.y);
            ui.allocate_ui(size, |ui| {
                ui.set_min_size(size);
                ui.horizontal(|ui| self.progress(ui));
            });
            self.active().exports.show(ui);
        });
    }

    fn progress(&mut self, ui: &mut Ui) {
        if let Some((pane, _)) = &self.coming
            && !pane.work.jobs.running().is_empty()
        {
            ui.label(format!("Opening {}", pane.name));
            if pane.work.jobs.show_line(ui).is_some() {
                self.coming = None;
            }
            return;
        }
        let busy = |pane: &Pane| !pane.work.jobs.running().is_empty();
        let index = self.panes.iter().position(busy).unwrap_or(self.active);
        let pane = &mut self.panes[index];
        if let Some(job) = pane.work.jobs.show_line(ui) {
            pane.stopped_by_user(job);
        } else if pane.work.jobs.running().is_empty()
            && let Some(again) = pane.stopped.show(ui)
        {
            pane.go_on_with(&again, ui.ctx());
        }
    }

    fn sequences(&mut self, ui: &mut Ui) {
        if self.panes.len() > 1 {
            ui.horizontal_wrapped(|ui| {
                for (index, pane) in self.panes.iter().enumerate() {
                    ui.selectable_value(&mut self.active, index, &pane.name);
                }
            });
        }
        let pane = &mut self.panes[self.active];
        let Some(study) = &pane.study else { return };
        if let Some(kind) = export_menu(ui, &Format::NUMBERS) {
            pane.exports.table("sequences", kind, &study.sequences_table());
        }
        let sequences = study.capture().sequences();
        let cell = |row: usize, column: usize| {
            let sequence = &sequences[row];
            match column {
                0 => sequence.text.clone().unwrap_or_else(|| sequence.name.clone()),
                _ => (sequence.encoder.len() + sequence.decoder.len()).to_string(),
            }
        };
        let drawn = study.sequences().len();
        if drawn < sequences.len() {
            let words = format!(
                "{drawn} of {} are among the points; a click places another",
                sequences.len()
            );
            ui.label(RichText::new(words).weak());
        }
        let shown = pane
            .table
            .show(ui, &["sequence", "tokens"], sequences.len(), pane.sequence, cell);
        if let Some(sequence) = shown.chosen {
            pane.choose(Some(sequence));
            self.sync(self.active);
        }
    }

    fn about(&mut self, ui: &mut Ui) -> Option<Action> {
        let other = self.panes.get(1 - self.active).and_then(|other| other.summary.clone());
        let pane = &mut self.panes[self.active];
        let (mut asked, mut act) = (None, None);
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            pane.notes.show(ui);
            act = selection::show(ui, pane);
            asked = summary::show(ui, pane, other.as_deref());
        });
        match asked {
            Some(summary::Ask::Open(head)) => {
                pane.open(head);
                self.sync(self.active);
            }
            Some(summary::Ask::Try(question)) => pane.ask(question),
            None => {}
        }
        act
    }

    fn plots(&mut self, ui: &mut Ui) {
        if self.panes.len() == 1 {
            self.panes[0].show_plot(ui);
            return;
        }
        let half = 0.5 * ui.available_width();
        let mut changed = None;
        Panel::left("first")
            .frame(Frame::NONE)
            .default_size(half)
            .show(ui, |ui| {
                if titled(ui, &mut self.panes[0]) {
                    changed = Some(0);
                }
            });
        CentralPanel::default().frame(Frame::NONE).show(ui, |ui| {
            if titled(ui, &mut self.panes[1]) {
                changed = Some(1);
            }
        });
        if let Some(from) = changed {
            self.active = from;
            self.sync(from);
        }
    }

    /// Applies the shared view state of one model to the other: cameras, colors, search, theme, and the open head if both have it.
    pub(crate) fn sync(&mut self, from: usize) {
        let Some(to) = (self.panes.len() > 1).then_some(1 - from) else {
            return;
        };
        let (source, sequence) = (self.panes[from].view.clone(), self.panes[from].sequence);
        let filter = self.panes[from].filter.clone();
        let head = self.panes[from].plot.interaction().head;
        let pane = &mut self.panes[to];
        let counterpart = |head: HeadId| {
            let study = pane.study.as_ref()?;
            let heads = study.capture().model().heads();
            // Prefers the same stack of an encoder-decoder; other models have one.
            let same = |other: &HeadId| (other.layer, other.head) == (head.layer, head.head);
            let differs = |other: &HeadId| other.attention != head.attention;
            let mut same: Vec<HeadId> = heads.filter(same).collect();
            same.sort_by_key(differs);
            same.first().copied()
        };
        let (open, head) = (source.open.and_then(counterpart), head.and_then(counterpart));
        let same_data = pane
            .study
            .as_ref()
            .zip(sequence)
            .is_some_and(|(study, sequence)| study.capture().sequences().len() > sequence);
        pane.view.shared = source.shared;
        // Ids of points mean other tokens there.
        pane.view.selection = None;
        pane.plot.set_interaction(Interaction {
            head,
            ..Interaction::default()
        });
        (pane.view.stage, pane.view.inside, pane.view.orbit) = (source.stage, source.inside, source.orbit);
        pane.view.open = open;
        pane.draw(filter);
        pane.choose(sequence.filter(|_| same_data));
    }

    /// What keys ask for wherever the focus is.
    fn keys(&self, context: &Context) -> Vec<Action> {
        const COMMAND: Modifiers = Modifiers::COMMAND;
        const SHIFTED: Modifiers = Modifiers { shift: true, ..COMMAND };
        const NONE: Modifiers = Modifiers::NONE;
        const ANYWHERE: [Shortcut<Action>; 5] = [
            (SHIFTED, Key::S, Action::SaveSessionAs),
            (COMMAND, Key::S, Action::SaveSession),
            (COMMAND, Key::O, Action::OpenSession),
            (COMMAND, Key::D, Action::Bookmark),
            (NONE, Key::F1, Action::Help),
        ];
        const ELSEWHERE: [Shortcut<Action>; 6] = [
            (NONE, Key::Period, Action::Step(1)),
            (NONE, Key::Comma, Action::Step(-1)),
            (NONE, Key::OpenBracket, Action::Panel(Which::Sequences)),
            (NONE, Key::CloseBracket, Action::Panel(Which::About)),
            (NONE, Key::Backslash, Action::Panel(Which::Detail)),
            (NONE, Key::Home, Action::ResetViews),
        ];
        let writes = context.text_edit_focused() || self.search.is_open();
        pressed_shortcuts(context, &ANYWHERE, &ELSEWHERE, writes)
    }

    /// A view state in the theme and palette of the shown model.
    pub(crate) fn fresh_view(&self) -> ViewState {
        let now = &self.panes[self.active].view.shared;
        ViewState::from(Shared {
            theme: now.theme,
            palette: now.palette,
            ..Shared::default()
        })
    }
}

/// A model with its name above it, where two are compared.
fn titled(ui: &mut Ui, pane: &mut Pane) -> bool {
    ui.horizontal(|ui| {
        ui.add_space(8.0);
        ui.label(RichText::new(&pane.name).strong());
    });
    pane.show_plot(ui)
}

/// The folder for the capture, if one can be made there; else why not.
fn writable(out: &Path) -> (Option<PathBuf>, Option<String>) {
    let folder = out.join("capture");
    let made = fs::create_dir_all(&folder).and_then(|()| tempfile::tempfile_in(&folder).map(drop));
    match made {
        Ok(()) => (Some(folder), None),
        Err(error) => {
            let note = format!("The capture is kept in memory only: {}: {error}", folder.display());
            eprintln!("note: {note}");
            (None, Some(note))
        }
    }
}
