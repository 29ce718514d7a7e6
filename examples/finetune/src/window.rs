//! The window: the run is read as a job and followed; the tabs show it.

use std::{
    collections::BTreeSet,
    error::Error,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use attn_egui::{
    Exports, FoldPanel, Jobs, Notes, apply_theme, attn_render::Format, colors::egui_color, commands::CommandSearch,
    draw_directly, egui_wgpu::RendererOptions, export::export_menu, fold_panel::Edge, jobs::JobEvent,
    open_dialog::OpenDialog, toolbar::theme_switch,
};
use attn_sdk::{
    analyze::training::LogChange,
    core::Limits,
    study::{
        change::{ChangeStudy, ScaleStep},
        explain::{AttentionRows, Explanation},
        pruning::{Evaluation, HeadStudy},
        training::{ExampleStates, RunPaths, StateMaps, Training, TrainingRun},
    },
};
use eframe::egui::{CentralPanel, Context, Frame, Label, Panel, RichText, ScrollArea, Ui, ViewportBuilder};

use crate::{
    options::{self, OUT, Options},
    sides,
    views::{self, Session, View, model::Loaded},
};

/// Time between two looks at a run that is still being written.
const LOOK: Duration = Duration::from_millis(1000);

/// News of a job.
pub(crate) enum News {
    /// The training as it now stands, and what is new in it.
    Training(Box<Training>, LogChange),
    /// A run that was looked at, and why nothing could be read.
    Looked(Box<TrainingRun>, Option<String>),
    /// Hidden states of examples.
    States(Box<ExampleStates>),
    /// Why there are none.
    NoStates(String),
    /// Layouts of examples.
    Maps(Box<StateMaps>),
    /// A checkpoint was loaded.
    Loaded(Arc<Loaded>),
    /// All heads were measured.
    Heads(Arc<HeadStudy>),
    /// The dev set without some heads, how many, and the place of the checkpoint.
    Masked(Arc<Evaluation>, usize, usize),
    /// A pruned model was written.
    Written(String),
    /// An example was explained.
    Explained(Arc<(Explanation, Vec<AttentionRows>)>),
    /// Two checkpoints were compared.
    Changed(Arc<ChangeStudy>),
    /// The accuracy over the scale of an adapter.
    Scales(Vec<ScaleStep>),
}

/// Opens the window and returns when it is closed.
pub(crate) fn open(options: Options) -> Result<(), Box<dyn Error>> {
    let native = eframe::NativeOptions {
        viewport: ViewportBuilder::default().with_inner_size([1400.0, 860.0]),
        ..Default::default()
    };
    let app = move |cc: &eframe::CreationContext<'_>| -> Result<Box<dyn eframe::App>, _> {
        let state = cc.wgpu_render_state.clone().ok_or("eframe runs without wgpu")?;
        // The renderer of the default window, which this is.
        draw_directly(&state, &RendererOptions::default());
        let jobs = Jobs::new(&cc.egui_ctx);
        let (paths, view) = (options.paths(), options.view());
        look(&jobs, paths.map(|paths| TrainingRun::new(paths, Limits::default())));
        Ok(Box::new(Window {
            views: views::all(&state, &options),
            state,
            shown: 0,
            session: None,
            jobs: Some(jobs),
            view: Some(view),
            options,
            failure: None,
            exports: Exports::new(OUT),
            list: sides::List::default(),
            dialog: None,
            notes: false,
            search: CommandSearch::default(),
            left: FoldPanel::new(Edge::Left, 380.0),
            right: FoldPanel::new(Edge::Right, 280.0).at_most(0.25),
            run: None,
            trouble: None,
        }))
    };
    eframe::run_native("Fine-tuning", native, Box::new(app)).map_err(|error| error.to_string().into())
}

/// Reads the embedded training, or what is new in a run.
fn look(jobs: &Jobs<News>, run: Option<TrainingRun>) {
    jobs.start("log", move |job| {
        let Some(mut run) = run else {
            let training = options::embedded_training(job)?;
            job.send(News::Training(Box::new(training), LogChange::default()));
            return Ok(());
        };
        let found = run.update(job);
        let failure = match found {
            Ok(Some((training, change))) => {
                job.send(News::Training(Box::new(training), change));
                None
            }
            Ok(None) => None,
            // What was read of it is not the whole of a block.
            Err(error) if options::is_cancelled(&error) => return Ok(()),
            // A folder that is not there yet, or that vanished, may come back.
            Err(error) => Some(error.to_string()),
        };
        job.send(News::Looked(Box::new(run), failure));
        Ok(())
    });
}

pub(crate) struct Window {
    pub(crate) views: Vec<Box<dyn View>>,
    state: attn_egui::egui_wgpu::RenderState,
    /// The tab on view, by its place.
    pub(crate) shown: usize,
    pub(crate) session: Option<Session>,
    /// Until the session has them.
    jobs: Option<Jobs<News>>,
    view: Option<attn_sdk::render::ViewState>,
    options: Options,
    failure: Option<String>,
    pub(crate) exports: Exports,
    list: sides::List,
    pub(crate) dialog: Option<OpenDialog>,
    /// Whether notes are on view.
    pub(crate) notes: bool,
    pub(crate) search: CommandSearch,
    /// The list of examples.
    pub(crate) left: FoldPanel,
    /// The example that was clicked.
    pub(crate) right: FoldPanel,
    /// The run, and when it was looked at; while it is being looked at the job has it.
    run: Option<(TrainingRun, Instant)>,
    /// Why the last look read nothing.
    trouble: Option<String>,
}

impl Window {
    /// Looks again at a run that may still be written.
    fn follow(&mut self, context: &Context) {
        let Some((_, last)) = &self.run else { return };
        let passed = last.elapsed();
        if passed < LOOK {
            context.request_repaint_after(LOOK - passed);
            return;
        }
        let jobs = self
            .session
            .as_ref()
            .map(|session| &session.jobs)
            .or(self.jobs.as_ref());
        if let (Some(jobs), Some((run, _))) = (jobs, self.run.take()) {
            look(jobs, Some(run));
        }
    }

    fn listen(&mut self) {
        let jobs = self
            .session
            .as_ref()
            .map(|session| &session.jobs)
            .or(self.jobs.as_ref());
        let events: Vec<JobEvent<News>> = jobs.map(|jobs| jobs.poll().collect()).unwrap_or_default();
        for event in events {
            match event {
                JobEvent::Message(News::Training(training, change)) => self.training(*training, &change),
                JobEvent::Message(News::Looked(run, trouble)) => {
                    self.run = Some((*run, Instant::now()));
                    if self.session.is_none() {
                        self.failure.clone_from(&trouble);
                    }
                    self.trouble = trouble;
                }
                JobEvent::Message(news) => {
                    let Some(session) = &mut self.session else { continue };
                    self.views.iter_mut().for_each(|view| view.take(&news, session));
                }
                JobEvent::Failed(job, why) => match &mut self.session {
                    Some(session) => {
                        session.notes.push(why);
                        self.views.iter_mut().for_each(|view| view.end(job, session));
                    }
                    None => self.failure = Some(why),
                },
                JobEvent::Finished(job) => {
                    if let Some(session) = &mut self.session {
                        self.views.iter_mut().for_each(|view| view.end(job, session));
                    }
                }
                _ => {}
            }
        }
    }

    fn training(&mut self, training: Training, change: &LogChange) {
        match &mut self.session {
            Some(session) => {
                session.news = news(change, &session.training, &training);
                // What the user set stays.
                let params = session.training.params().clone();
                session.training = training;
                if change.restarted {
                    // The numbers of examples are others.
                    session.select([]);
                    session.example = None;
                    session.first = views::names(&session.training);
                    self.views = views::all(&self.state, &self.options);
                }
                if params != *session.training.params() {
                    session.training.set_params(params);
                }
            }
            None => {
                let (Some(jobs), Some(view)) = (self.jobs.take(), self.view.take()) else {
                    return;
                };
                self.session = Some(Session {
                    first: views::names(&training),
                    training,
                    view,
                    example: None,
                    visible: Vec::new(),
                    selected: BTreeSet::new(),
                    version: 0,
                    jobs,
                    notes: Notes::default(),
                    news: String::new(),
                    sample: self.options.sample(),
                    filter: String::new(),
                    filter_failure: None,
                });
            }
        }
        if let Some(session) = &mut self.session {
            session.find();
            self.views.iter_mut().for_each(|view| view.follow(session));
        }
    }

    /// Asks for another run.
    fn open_dialog(&mut self, context: &Context) {
        let Some(dialog) = &mut self.dialog else { return };
        let Some(typed) = dialog.show(context) else {
            if !dialog.is_open() {
                self.dialog = None;
            }
            return;
        };
        let path = |at: usize| typed.get(at).filter(|text| !text.is_empty()).map(PathBuf::from);
        let paths = RunPaths {
            run: path(0),
            log: path(1),
            checkpoints: path(2),
            examples: path(3),
        };
        if paths == RunPaths::default() {
            dialog.fail("expected a folder or a log, found neither");
            return;
        }
        // The run that was followed is left with its jobs.
        let view = self.session.take().map(|session| session.view);
        let jobs = Jobs::new(context);
        look(&jobs, Some(TrainingRun::new(paths, Limits::default())));
        self.run = None;
        // What was named belongs to the run that was left.
        (self.options.before, self.options.after) = (None, None);
        self.views = views::all(&self.state, &self.options);
        (self.jobs, self.view, self.failure, self.dialog) = (Some(jobs), view.or(self.view.take()), None, None);
    }

    fn tools(&mut self, ui: &mut Ui) {
        let Some(session) = &mut self.session else { return };
        self.left.button(ui, "List of examples ([)");
        self.right.button(ui, "The example (])");
        if ui.button("Open").clicked() {
            self.dialog = Some(dialog());
        }
        ui.separator();
        for (at, view) in self.views.iter().enumerate() {
            ui.selectable_value(&mut self.shown, at, view.name());
        }
        ui.separator();
        theme_switch(ui, &mut session.view);
        if ui
            .button("Commands")
            .on_hover_text("Search everything the window can do (Ctrl+K)")
            .clicked()
        {
            self.search.open();
        }
        if let Some((name, plot)) = self.views[self.shown].plot(session)
            && let Some(format) = export_menu(ui, &Format::ALL)
        {
            self.exports.plot(&name, format, &*plot, &session.view, None);
        }
        let notes = session.training.notes().len() + session.notes.iter().count();
        if notes > 0 {
            ui.toggle_value(&mut self.notes, format!("Notes ({notes})"));
        }
    }

    /// What runs, what is new, what was written: a line of its own, which stays while nothing is.
    fn status(&mut self, ui: &mut Ui) {
        let Some(session) = &mut self.session else { return };
        ui.set_height(ui.spacing().interact_size.y);
        session.jobs.show_line(ui);
        if !session.news.is_empty() {
            ui.add(Label::new(RichText::new(&session.news).strong()).truncate());
        }
        if let Some(trouble) = &self.trouble {
            ui.add(Label::new(RichText::new(trouble).color(ui.visuals().error_fg_color)).truncate());
        }
        self.exports.show(ui);
    }
}

/// What is new, in words.
fn news(change: &LogChange, before: &Training, after: &Training) -> String {
    let moments: Vec<String> = change.moments.iter().map(ToString::to_string).collect();
    let mut parts = Vec::new();
    if change.restarted {
        parts.push("the log was written anew".to_owned());
    }
    if change.predictions > 0 {
        parts.push(format!("{} predictions", change.predictions));
    }
    if change.examples > 0 {
        parts.push(format!("{} examples", change.examples));
    }
    parts.extend(moments);
    let known = |name: &str| before.checkpoints().iter().any(|checkpoint| checkpoint.name == name);
    let fresh = after.checkpoints().iter().filter(|checkpoint| !known(&checkpoint.name));
    parts.extend(fresh.map(|checkpoint| format!("the checkpoint of {}", checkpoint.name)));
    if parts.is_empty() {
        String::new()
    } else {
        format!("New: {}", parts.join(", "))
    }
}

pub(crate) fn dialog() -> OpenDialog {
    let fields = [
        ("Run", "folder with a log and checkpoints"),
        (
            "Log",
            "log.jsonl, or the folder of dynamics_epoch_X.jsonl, where it lies apart",
        ),
        ("Checkpoints", "folder of epoch-N or checkpoint-N, where it lies apart"),
        ("Examples", ".jsonl, .json, .csv or .tsv with ids and texts"),
    ];
    OpenDialog::new("Open a training", fields)
}

impl eframe::App for Window {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        self.listen();
        self.follow(&ui.ctx().clone());
        self.open_dialog(&ui.ctx().clone());
        if self.session.is_none() {
            if let Some(view) = &self.view {
                apply_theme(ui.ctx(), view);
            }
            CentralPanel::default().show(ui, |ui| match &self.failure {
                Some(failure) => {
                    ui.label(failure);
                    if ui.button("Open").clicked() {
                        self.dialog = Some(dialog());
                    }
                }
                None => {
                    ui.add_space(12.0);
                    self.jobs.iter().for_each(|jobs| jobs.show(ui));
                }
            });
            return;
        }
        // Before the widgets that take keys.
        let mut search = std::mem::take(&mut self.search);
        let asked = search.show(ui.ctx(), || self.commands());
        self.search = search;
        for action in asked.into_iter().chain(self.keys(ui.ctx())) {
            self.perform(action);
        }
        if let Some(session) = &self.session {
            apply_theme(ui.ctx(), &session.view);
        }
        Panel::top("tools").show(ui, |ui| ui.horizontal_wrapped(|ui| self.tools(ui)));
        Panel::bottom("status").show(ui, |ui| ui.horizontal_centered(|ui| self.status(ui)));
        let Some(session) = &mut self.session else { return };
        if self.notes {
            Panel::bottom("notes")
                .resizable(true)
                .default_size(120.0)
                .show(ui, |ui| {
                    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                        session.notes.show(ui);
                        for note in session.training.notes() {
                            ui.label(RichText::new(note).weak());
                        }
                    });
                });
        }
        let (list, exports) = (&mut self.list, &mut self.exports);
        self.left.show(ui, "examples", |ui| list.show(ui, session, exports));
        self.right.show(ui, "example", |ui| sides::example(ui, session));
        let ground = egui_color(session.view.colors().background);
        CentralPanel::default()
            .frame(Frame::NONE.fill(ground).inner_margin(6.0))
            .show(ui, |ui| self.views[self.shown].ui(ui, session));
    }
}
