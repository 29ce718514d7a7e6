//! The window: progress of the computation, then the browser of its result.

use std::{
    error::Error,
    ops::ControlFlow,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
};

use attn_egui::{apply_theme, egui_wgpu::RenderState, progress_bar};
use attn_sdk::{
    Progress,
    analyze::concepts::{ConceptStudy, LAYERS},
    render::ViewState,
};
use eframe::egui::{self, CentralPanel, RichText, Ui, ViewportBuilder};

use super::{
    browser::Browser,
    options::{OUT, Options, Source},
    run,
};

/// Opens the window and returns when it is closed.
pub(crate) fn open(options: Options, sources: Vec<Source>) -> Result<(), Box<dyn Error>> {
    let native = eframe::NativeOptions {
        viewport: ViewportBuilder::default().with_inner_size([1500.0, 900.0]),
        ..Default::default()
    };
    let app = move |cc: &eframe::CreationContext<'_>| -> Result<Box<dyn eframe::App>, _> {
        let state = cc.wgpu_render_state.clone().ok_or("eframe runs without wgpu")?;
        Ok(Box::new(Window {
            state,
            view: options.view(),
            shown: Shown::Work(Work::start(options, sources, &cc.egui_ctx)),
        }))
    };
    eframe::run_native("Latent concepts", native, Box::new(app)).map_err(|error| error.to_string().into())
}

struct Window {
    state: RenderState,
    view: ViewState,
    shown: Shown,
}

enum Shown {
    Work(Work),
    Failure(String),
    Browser(Box<Browser>),
}

impl eframe::App for Window {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        if let Shown::Work(work) = &self.shown {
            // The channel closes without a result if the thread panics.
            match work.result.try_recv() {
                Ok(Ok(study)) => {
                    let browser = Browser::new(*study, &self.view, PathBuf::from(OUT), &self.state);
                    self.shown = Shown::Browser(Box::new(browser));
                }
                Ok(Err(failure)) => self.shown = Shown::Failure(failure),
                Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                    self.shown = Shown::Failure("the computation failed without an error message".into())
                }
                Err(std::sync::mpsc::TryRecvError::Empty) => {}
            }
        }
        match &mut self.shown {
            Shown::Work(work) => {
                apply_theme(ui.ctx(), &self.view);
                CentralPanel::default().show(ui, |ui| work.show(ui));
            }
            Shown::Failure(failure) => {
                apply_theme(ui.ctx(), &self.view);
                CentralPanel::default().show(ui, |ui| ui.label(failure.as_str()));
            }
            Shown::Browser(browser) => browser.ui(ui),
        }
    }
}

/// The thread; dropping it stops it.
struct Work {
    result: Receiver<Result<Box<ConceptStudy>, String>>,
    shared: Arc<Shared>,
}

/// State shared by the thread and the window.
struct Shared {
    stop: AtomicBool,
    stages: Mutex<Stages>,
    context: egui::Context,
}

/// Stage, steps done, steps in all.
type Stage = (String, usize, usize);

#[derive(Clone, Default)]
struct Stages {
    /// Progress over the layers of a model.
    layers: Option<Stage>,
    /// Progress within a layer, or before the first.
    inside: Option<Stage>,
}

impl Work {
    fn start(options: Options, sources: Vec<Source>, context: &egui::Context) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            stages: Mutex::default(),
            context: context.clone(),
        });
        let (sender, result) = channel();
        let teller = shared.clone();
        thread::spawn(move || {
            let found = run::study(&options, sources, &*teller);
            // A closed window needs no result.
            let _ = sender.send(found.map(Box::new).map_err(|error| error.to_string()));
            teller.context.request_repaint();
        });
        Self { result, shared }
    }

    fn show(&self, ui: &mut Ui) {
        let stages = self
            .shared
            .stages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        ui.add_space(12.0);
        let (stage, done, total) = stages.layers.unwrap_or_else(|| ("words".into(), 0, 0));
        if progress_bar(ui, &stage, done, total) {
            self.shared.stop.store(true, Ordering::Relaxed);
        }
        if let Some((stage, done, total)) = stages.inside {
            ui.label(RichText::new(format!("{stage}: {done} of {total}")).weak());
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Progress for Shared {
    fn update(&self, stage: &str, done: usize, total: usize) -> ControlFlow<()> {
        let now = (stage.to_owned(), done, total);
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        if stage.starts_with(LAYERS) {
            stages.layers = Some(now);
        } else {
            stages.inside = Some(now);
        }
        drop(stages);
        // Limits the frame rate: drawing takes time from the computation.
        self.context
            .request_repaint_after(std::time::Duration::from_millis(150));
        if self.stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
