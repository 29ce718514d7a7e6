//! The window: the model is loaded as a job, then the studio works on its runs.

use std::{error::Error, path::PathBuf};

use attn_egui::{
    Jobs, apply_theme, draw_directly,
    egui_wgpu::{RenderState, RendererOptions},
    jobs::JobEvent,
};
use attn_sdk::{
    render::ViewState,
    study::decoding::{AlignmentHead, Blame, Decoder, Decoding, DecodingParams, Neighborhood, StateIndex},
};
use eframe::egui::{CentralPanel, Ui, ViewportBuilder, Visuals};
use tempfile::TempDir;

use crate::{
    indexing,
    look::Look,
    options::{EXAMPLE, Options},
    saved::{self, Opened},
    session,
    studio::{Ranks, Studio, first_look},
};

/// Beams at the start, where neither the command line nor the checkpoint asks for more.
const BEAMS: usize = 4;
/// The window cannot be made smaller, in points.
const SMALLEST: [f32; 2] = [760.0, 520.0];

/// A message of a job.
pub(crate) enum News {
    /// The model is there.
    Loaded(Box<Decoder>),
    /// Saved runs, and their file.
    Opened(Box<Opened>, PathBuf),
    /// The session was written.
    Saved(PathBuf),
    /// A run, what it was made from, and what was done.
    Run(Box<Decoding>, Option<usize>, String),
    /// The heads that align.
    Heads(Vec<AlignmentHead>),
    /// How likely a word is at every step.
    Ranks(Box<Ranks>),
    /// What caused the output of a run.
    Blame(usize, Box<Blame>),
    /// The index of states is open; with its folder, if that goes with the window.
    Indexed(StateIndex, Option<TempDir>),
    /// The neighbors of a run's states.
    Near(usize, Box<Neighborhood>),
}

/// Loads the model.
pub(crate) fn load(options: &Options, jobs: &Jobs<News>) {
    let options = options.clone();
    jobs.start("model", move |job| {
        job.send(News::Loaded(Box::new(options.decoder()?)));
        Ok(())
    });
}

/// Opens the index that is named; for the embedded model without one, makes an index of its dates.
pub(crate) fn open_index(options: &Options, jobs: &Jobs<News>) {
    if options.index.is_none() && options.model.is_some() {
        return;
    }
    let options = options.clone();
    jobs.start("index", move |job| {
        let (index, folder) = match options.open_index(job)? {
            Some(index) => (index, None),
            None => {
                let (index, folder) = indexing::of_dates(job)?;
                (index, Some(folder))
            }
        };
        job.send(News::Indexed(index, folder));
        Ok(())
    });
}

/// Scores the heads over sources that are decoded for this.
pub(crate) fn score_heads(
    options: &Options,
    decoder: &Decoder,
    params: &DecodingParams,
    sources: Vec<String>,
    jobs: &Jobs<News>,
) {
    let (decoder, params) = (decoder.clone(), params.clone());
    let (shift, seed) = (options.shifted(), options.seed);
    jobs.start("alignment heads", move |job| {
        let heads = session::score_heads(&decoder, &params, &sources, shift, seed, job)?;
        job.send(News::Heads(heads));
        Ok(())
    });
}

/// Reads saved runs.
pub(crate) fn open_runs(path: PathBuf, jobs: &Jobs<News>) {
    jobs.start("open", move |job| {
        let opened = saved::read(&path)?;
        job.send(News::Opened(Box::new(opened), path));
        Ok(())
    });
}

/// Opens the window and returns when it is closed.
pub(crate) fn open(options: Options) -> Result<(), Box<dyn Error>> {
    let native = eframe::NativeOptions {
        viewport: ViewportBuilder::default()
            .with_inner_size([1400.0, 860.0])
            .with_min_inner_size(SMALLEST),
        ..Default::default()
    };
    let app = move |cc: &eframe::CreationContext<'_>| -> Result<Box<dyn eframe::App>, _> {
        let state = cc.wgpu_render_state.clone().ok_or("eframe runs without wgpu")?;
        // The renderer of the default window, which this is.
        draw_directly(&state, &RendererOptions::default());
        let (view, jobs) = (options.view(), Jobs::new(&cc.egui_ctx));
        // The first frame is of the theme.
        apply_theme(&cc.egui_ctx, &view);
        match &options.open {
            Some(path) => open_runs(path.clone(), &jobs),
            None => load(&options, &jobs),
        }
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
            match (event, &mut self.studio) {
                (JobEvent::Message(news), Some(studio)) => studio.take(news, &self.jobs),
                (JobEvent::Failed(_, why), Some(studio)) => studio.fail(why),
                (JobEvent::Message(News::Loaded(decoder)), None) => self.loaded(*decoder),
                (JobEvent::Message(News::Opened(opened, path)), None) => self.opened(*opened, path),
                (JobEvent::Failed(_, why), None) => self.failure = Some(why),
                _ => {}
            }
        }
    }

    /// Shows saved runs.
    fn opened(&mut self, opened: Opened, path: PathBuf) {
        let Some(first) = opened.runs.first() else { return };
        let look = Look::new(
            String::new(),
            String::new(),
            first.run.params.clone(),
            self.view.clone(),
        );
        let mut studio = Studio::new(self.options.clone(), look, &self.state);
        studio.look.flow = self.options.flow();
        studio.notice = self.options.ignored();
        studio.restore(opened, path, &self.jobs);
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
        let look = first_look(&self.options, Some(&decoder), params.clone(), source, &self.view);
        let mut studio = Studio::new(self.options.clone(), look, &self.state);
        studio.notice = self.options.ignored();
        studio.read_by(decoder.clone());
        if !studio.look.source.is_empty() {
            studio.decode(&self.jobs);
        }
        open_index(&self.options, &self.jobs);
        // One source says little of a head.
        let lines: Vec<String> = lines.into_iter().map(|line| line.source).collect();
        let sources: Vec<String> = match self.options.model {
            None => session::dates(),
            Some(_) => lines.iter().take(session::SCORED).cloned().collect(),
        };
        studio.lines = lines;
        if sources.len() > 1 {
            score_heads(&self.options, &decoder, &params, sources, &self.jobs);
        }
        self.studio = Some(Box::new(studio));
    }
}

impl eframe::App for Window {
    /// What lies under plots that are not drawn yet is of the theme.
    fn clear_color(&self, visuals: &Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }

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
