//! The window: what is computed, as a job, then the browser of what was found.

use std::{error::Error, path::PathBuf};

use attn_egui::{JobEvent, Jobs, apply_theme, egui_wgpu::RenderState};
use attn_sdk::{analyze::concepts::ConceptStudy, render::ViewState};
use eframe::egui::{CentralPanel, Ui, ViewportBuilder};

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
        let (view, jobs) = (options.view(), Jobs::new(&cc.egui_ctx));
        jobs.start("words", move |job| {
            job.send(Box::new(run::study(&options, sources, job)?));
            Ok(())
        });
        Ok(Box::new(Window {
            state,
            view,
            jobs,
            shown: Shown::Work,
        }))
    };
    eframe::run_native("Latent concepts", native, Box::new(app)).map_err(|error| error.to_string().into())
}

struct Window {
    state: RenderState,
    view: ViewState,
    jobs: Jobs<Box<ConceptStudy>>,
    shown: Shown,
}

enum Shown {
    Work,
    Failure(String),
    Browser(Box<Browser>),
}

impl Window {
    /// Takes in what the job has to tell.
    fn listen(&mut self) {
        for event in self.jobs.poll() {
            match event {
                JobEvent::Message(study) => {
                    let browser = Browser::new(*study, &self.view, PathBuf::from(OUT), &self.state);
                    self.shown = Shown::Browser(Box::new(browser));
                }
                JobEvent::Failed(_, why) => self.shown = Shown::Failure(why),
                // A job that was stopped ends without an error.
                JobEvent::Finished(_) if matches!(self.shown, Shown::Work) => {
                    self.shown = Shown::Failure("Stopped.".into());
                }
                _ => {}
            }
        }
    }
}

impl eframe::App for Window {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        self.listen();
        if let Shown::Browser(browser) = &mut self.shown {
            browser.ui(ui);
            return;
        }
        apply_theme(ui.ctx(), &self.view);
        CentralPanel::default().show(ui, |ui| match &self.shown {
            Shown::Failure(failure) => {
                ui.label(failure);
            }
            _ => {
                ui.add_space(12.0);
                self.jobs.show(ui);
            }
        });
    }
}
