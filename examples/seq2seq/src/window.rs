//! The window: the model is loaded as a job, then the studio works on its runs.

use std::{error::Error, path::PathBuf};

use attn_egui::{JobEvent, Jobs, apply_theme, egui_wgpu::RenderState};
use attn_sdk::{
    render::ViewState,
    study::decoding::{AlignmentHead, Blame, Decoder, Decoding, Neighborhood, StateIndex},
};
use eframe::egui::{CentralPanel, Ui, ViewportBuilder};

use crate::{
    options::{EXAMPLE, OUT, Options},
    saved::{self, Saved},
    session,
    studio::Studio,
};

/// Beams at the start, where neither the command line nor the checkpoint asks for more.
const BEAMS: usize = 4;

/// A message of a job.
pub(crate) enum News {
    /// The model is there.
    Loaded(Box<Decoder>),
    /// Saved runs, without a model.
    Opened(Vec<Saved>),
    /// A run, what it was made from, and what was done.
    Run(Box<Decoding>, Option<usize>, String),
    /// The heads that align.
    Heads(Vec<AlignmentHead>),
    /// What caused the output of a run.
    Blame(usize, Box<Blame>),
    /// The index of states is open.
    Indexed(StateIndex),
    /// The neighbors of a run's states.
    Near(usize, Box<Neighborhood>),
}

/// Opens the window and returns when it is closed.
pub(crate) fn open(options: Options) -> Result<(), Box<dyn Error>> {
    let native = eframe::NativeOptions {
        viewport: ViewportBuilder::default().with_inner_size([1400.0, 860.0]),
        ..Default::default()
    };
    let app = move |cc: &eframe::CreationContext<'_>| -> Result<Box<dyn eframe::App>, _> {
        let state = cc.wgpu_render_state.clone().ok_or("eframe runs without wgpu")?;
        let (view, jobs) = (options.view(), Jobs::new(&cc.egui_ctx));
        let loaded = options.clone();
        jobs.start("model", move |job| {
            if let Some(path) = &loaded.open {
                job.send(News::Opened(saved::read(path)?));
                return Ok(());
            }
            let decoder = loaded.decoder()?;
            job.send(News::Loaded(Box::new(decoder)));
            Ok(())
        });
        Ok(Box::new(Window {
            state,
            view,
            jobs,
            options,
            failure: None,
            studio: None,
        }))
    };
    eframe::run_native("Sequence to sequence", native, Box::new(app)).map_err(|error| error.to_string().into())
}

struct Window {
    state: RenderState,
    view: ViewState,
    jobs: Jobs<News>,
    options: Options,
    failure: Option<String>,
    studio: Option<Box<Studio>>,
}

impl Window {
    fn listen(&mut self) {
        let events: Vec<JobEvent<News>> = self.jobs.poll().collect();
        for event in events {
            match event {
                JobEvent::Message(News::Loaded(decoder)) => self.loaded(*decoder),
                JobEvent::Message(News::Opened(runs)) => self.opened(runs),
                JobEvent::Message(news) => {
                    if let Some(studio) = &mut self.studio {
                        studio.take(news, &self.jobs);
                    }
                }
                JobEvent::Failed(_, why) => match &mut self.studio {
                    Some(studio) => studio.fail(why),
                    None => self.failure = Some(why),
                },
                _ => {}
            }
        }
    }

    /// Shows saved runs.
    fn opened(&mut self, runs: Vec<Saved>) {
        let Some(first) = runs.first() else { return };
        let given = (None, first.run.params.clone(), first.run.source.text.clone());
        let mut studio = Studio::new(given, &self.view, PathBuf::from(OUT), &self.state);
        studio.flow = self.options.flow();
        studio.notice = self.options.ignored(None);
        studio.open(runs);
        self.studio = Some(Box::new(studio));
    }

    /// Starts with the source of the command line.
    fn loaded(&mut self, decoder: Decoder) {
        let params = match self.options.params(&decoder) {
            Ok(mut params) => {
                // A tree of one beam shows little.
                if self.options.beams.is_none() && params.generation.sampling.is_none() {
                    params.generation.beams = params.generation.beams.max(BEAMS);
                }
                params
            }
            Err(error) => {
                self.failure = Some(error.to_string());
                return;
            }
        };
        let example = if self.options.model.is_none() { EXAMPLE } else { "" };
        // Without any source there is a window to write one.
        let wanted = self.options.sources.is_some();
        let lines = match self.options.lines() {
            Ok(lines) => lines,
            Err(error) if wanted => {
                self.failure = Some(error.to_string());
                return;
            }
            Err(_) => Vec::new(),
        };
        let source = lines.first().map_or(example.to_owned(), |line| line.source.clone());
        let given = (Some(decoder.clone()), params.clone(), source);
        let mut studio = Studio::new(given, &self.view, PathBuf::from(OUT), &self.state);
        studio.flow = self.options.flow();
        studio.notice = self.options.ignored(Some(lines.len()));
        studio.expected = self.options.expected.clone().unwrap_or_default();
        studio.decode(&self.jobs);
        studio.near = self.options.near();
        if self.options.index.is_some() {
            let options = self.options.clone();
            self.jobs.start("index", move |job| {
                if let Some(index) = options.open_index(job)? {
                    job.send(News::Indexed(index));
                }
                Ok(())
            });
        }
        let embedded = self.options.model.is_none();
        let (shift, seed) = (self.options.shifted(), self.options.seed);
        if embedded {
            studio.references = session::references().collect();
            self.jobs.start("alignment heads", move |job| {
                let heads = session::score_heads(&decoder, &params, shift, seed, job)?;
                job.send(News::Heads(heads));
                Ok(())
            });
        }
        self.studio = Some(Box::new(studio));
    }
}

impl eframe::App for Window {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        self.listen();
        if let Some(studio) = &mut self.studio {
            studio.ui(ui, &self.jobs);
            return;
        }
        apply_theme(ui.ctx(), &self.view);
        CentralPanel::default().show(ui, |ui| match &self.failure {
            Some(failure) => {
                ui.label(failure);
            }
            None => {
                ui.add_space(12.0);
                self.jobs.show(ui);
            }
        });
    }
}
