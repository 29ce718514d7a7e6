//! The window: the run is read as a job and followed; the tabs show it.

use std::{error::Error, sync::Arc, thread, time::Duration};

use attn_egui::{Exports, Format, JobEvent, Jobs, Notes, apply_theme, egui_color, export_menu, theme_switch};
use attn_sdk::{
    core::Limits,
    study::{
        change::{ChangeStudy, ScaleStep},
        explain::{AttentionRows, Explanation},
        pruning::{Evaluation, HeadStudy},
        training::{RunPaths, Training, TrainingRun},
    },
};
use eframe::egui::{CentralPanel, Frame, Panel, Ui, ViewportBuilder};

use crate::{
    options::{self, OUT, Options},
    views::{self, Session, View, model::Loaded},
};

/// Time between two looks at a run that is still being written.
const LOOK: Duration = Duration::from_millis(1000);

/// News of a job.
#[non_exhaustive]
pub(crate) enum News {
    /// The training as it now stands.
    Training(Box<Training>),
    /// A checkpoint was loaded.
    Loaded(Arc<Loaded>),
    /// All heads were measured.
    Heads(Arc<HeadStudy>),
    /// The dev set without some heads, and how many.
    Masked(Arc<Evaluation>, usize),
    /// A pruned model was written.
    Written(String),
    /// An example was explained.
    Explained(Arc<(Explanation, AttentionRows)>),
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
        let jobs = Jobs::new(&cc.egui_ctx);
        let (paths, view) = (options.paths(), options.view());
        follow(&jobs, paths);
        Ok(Box::new(Window {
            views: views::all(&state),
            shown: 0,
            session: None,
            jobs: Some(jobs),
            view: Some(view),
            failure: None,
            exports: Exports::new(OUT),
        }))
    };
    eframe::run_native("Fine-tuning", native, Box::new(app)).map_err(|error| error.to_string().into())
}

/// Reads a run, and what it writes from then on.
fn follow(jobs: &Jobs<News>, paths: Option<RunPaths>) {
    jobs.start("log", move |job| {
        let Some(paths) = paths else {
            job.send(News::Training(Box::new(options::embedded_training(job)?)));
            return Ok(());
        };
        let mut run = TrainingRun::new(paths, Limits::default());
        while !job.is_stopped() {
            if let Some((training, _)) = run.update(job)? {
                job.send(News::Training(Box::new(training)));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    });
}

struct Window {
    views: Vec<Box<dyn View>>,
    shown: usize,
    session: Option<Session>,
    /// Until the session has them.
    jobs: Option<Jobs<News>>,
    view: Option<attn_sdk::render::ViewState>,
    failure: Option<String>,
    exports: Exports,
}

impl Window {
    fn listen(&mut self) {
        let jobs = self
            .session
            .as_ref()
            .map(|session| &session.jobs)
            .or(self.jobs.as_ref());
        let events: Vec<JobEvent<News>> = jobs.map(|jobs| jobs.poll().collect()).unwrap_or_default();
        for event in events {
            match event {
                JobEvent::Message(News::Training(training)) => self.training(*training),
                JobEvent::Message(news) => {
                    let Some(session) = &mut self.session else { continue };
                    self.views.iter_mut().for_each(|view| view.take(&news, session));
                }
                JobEvent::Failed(_, why) => match &mut self.session {
                    Some(session) => session.notes.push(why),
                    None => self.failure = Some(why),
                },
                _ => {}
            }
        }
    }

    fn training(&mut self, training: Training) {
        match &mut self.session {
            Some(session) => session.training = training,
            None => {
                let (Some(jobs), Some(view)) = (self.jobs.take(), self.view.take()) else {
                    return;
                };
                self.session = Some(Session {
                    training,
                    view,
                    example: None,
                    jobs,
                    notes: Notes::default(),
                });
            }
        }
        if let Some(session) = &self.session {
            self.views.iter_mut().for_each(|view| view.follow(session));
        }
    }
}

impl eframe::App for Window {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        self.listen();
        let Some(session) = &mut self.session else {
            CentralPanel::default().show(ui, |ui| match &self.failure {
                Some(failure) => {
                    ui.label(failure);
                }
                None => {
                    ui.add_space(12.0);
                    self.jobs.iter().for_each(|jobs| jobs.show(ui));
                }
            });
            return;
        };
        apply_theme(ui.ctx(), &session.view);
        let (views, exports) = (&mut self.views, &mut self.exports);
        Panel::top("tools").show(ui, |ui| {
            ui.horizontal_wrapped(|ui| {
                for (at, view) in views.iter().enumerate() {
                    ui.selectable_value(&mut self.shown, at, view.name());
                }
                ui.separator();
                theme_switch(ui, &mut session.view);
                if let Some((name, plot)) = views[self.shown].plot(session)
                    && let Some(format) = export_menu(ui, &Format::ALL)
                {
                    exports.plot(&name, format, &*plot, &session.view, None);
                }
                exports.show(ui);
                session.notes.show(ui);
                session.jobs.show(ui);
            });
        });
        let ground = egui_color(session.view.colors().background);
        CentralPanel::default()
            .frame(Frame::NONE.fill(ground))
            .show(ui, |ui| views[self.shown].ui(ui, session));
    }
}
