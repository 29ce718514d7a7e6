//! Examples by their hidden states at checkpoints: computed as a job, then laid out for any layer and pooling.

use attn_egui::{egui_wgpu::RenderState, jobs::JobId};
use attn_sdk::{
    project::{Method, Projector, pca::Pca, tsne::Tsne, umap::Umap},
    render::{Plot, plots::Scatter},
    study::training::{ExampleStates, RunCheckpoint, StateMaps, StatePooling},
};
use eframe::egui::{ComboBox, Slider, Ui};

use super::{Session, View, points::Points};
use crate::{
    files::{shown_checkpoints, state_params},
    window::News,
};

pub(crate) struct States {
    points: Points,
    states: Option<ExampleStates>,
    maps: Option<StateMaps>,
    plot: Option<Scatter>,
    failure: String,
    layer: usize,
    pooling: StatePooling,
    method: usize,
    checkpoint: usize,
    color: String,
    /// The checkpoints that were asked for.
    asked: Option<Vec<String>>,
    /// The job that reads the checkpoints or lays the examples out.
    running: Option<JobId>,
}

const METHODS: [&str; 3] = ["t-SNE", "UMAP", "PCA"];

fn names(checkpoints: &[RunCheckpoint]) -> Vec<String> {
    checkpoints.iter().map(|checkpoint| checkpoint.name.clone()).collect()
}

impl States {
    pub(crate) fn new(state: &RenderState) -> Self {
        Self {
            points: Points::new(state, "examples by hidden state"),
            states: None,
            maps: None,
            plot: None,
            failure: String::new(),
            layer: 0,
            pooling: StatePooling::default(),
            method: 0,
            checkpoint: 0,
            color: "gold".into(),
            asked: None,
            running: None,
        }
    }

    /// Runs the checkpoints.
    fn ask(&mut self, session: &Session) {
        let (training, params) = (session.training.clone(), state_params(session.sample));
        let checkpoints = shown_checkpoints(&training);
        self.asked = Some(names(&checkpoints));
        self.failure.clear();
        if checkpoints.is_empty() {
            self.failure = "The run has no checkpoint yet.".into();
            return;
        }
        self.running = Some(session.jobs.start("hidden states", move |job| {
            job.send(match training.states(&checkpoints, &params, job) {
                Ok(states) => News::States(Box::new(states)),
                Err(error) if error.is_cancelled() => return Ok(()),
                Err(error) => News::NoStates(error.to_string()),
            });
            Ok(())
        }));
    }

    /// Lays the examples out.
    fn lay_out(&mut self, session: &Session) {
        let Some(states) = self.states.clone() else { return };
        let (layer, pooling) = (self.layer.min(states.last_layer()), self.pooling);
        let method: Method = match self.method {
            0 => Tsne::default().into(),
            1 => Umap::default().into(),
            _ => Pca.into(),
        };
        let projector = Projector::new(method).seed(session.sample.seed);
        self.running = Some(session.jobs.start("layout", move |job| {
            job.send(News::Maps(Box::new(states.project(layer, pooling, &projector, job)?)));
            Ok(())
        }));
    }

    fn draw(&mut self, session: &Session) {
        let Some(maps) = &self.maps else { return };
        self.checkpoint = self.checkpoint.min(maps.names.len().saturating_sub(1));
        match session.training.state_map(maps, self.checkpoint, Some(&self.color)) {
            Ok(plot) => {
                self.plot = Some(plot);
                self.points.renew(maps.examples.clone());
            }
            Err(error) => {
                self.plot = None;
                self.failure = error.to_string();
            }
        }
    }

    fn controls(&mut self, ui: &mut Ui, session: &Session) {
        let Some(states) = &self.states else { return };
        let (last, pooler) = (states.last_layer(), states.has_pooler());
        let names: Vec<String> = states.names().map(str::to_owned).collect();
        let (before, color) = ((self.layer, self.pooling, self.method), self.color.clone());
        if last > 0 {
            ui.add(Slider::new(&mut self.layer, 0..=last).text("layer"));
        }
        ComboBox::from_id_salt("pooling")
            .selected_text(self.pooling.name())
            .show_ui(ui, |ui| {
                for pooling in StatePooling::ALL
                    .into_iter()
                    .filter(|pooling| pooler || *pooling != StatePooling::Head)
                {
                    ui.selectable_value(&mut self.pooling, pooling, pooling.name());
                }
            });
        ComboBox::from_id_salt("method")
            .selected_text(METHODS[self.method])
            .show_ui(ui, |ui| {
                for (at, name) in METHODS.into_iter().enumerate() {
                    ui.selectable_value(&mut self.method, at, name);
                }
            });
        ComboBox::from_id_salt("state color")
            .selected_text(self.color.as_str())
            .height(400.0)
            .show_ui(ui, |ui| {
                let columns = session.training.colors().into_iter();
                for name in columns.chain(["trustworthiness", "movement"]) {
                    ui.selectable_value(&mut self.color, name.to_owned(), name);
                }
            });
        // A slider with its name wraps as a whole in a row of its own.
        ui.end_row();
        let checkpoint = self.checkpoint;
        if names.len() > 1 {
            let last = names.len() - 1;
            let name = names.get(self.checkpoint).cloned().unwrap_or_default();
            ui.add(Slider::new(&mut self.checkpoint, 0..=last).show_value(false).text(name));
        }
        self.points.tools(ui);
        if before != (self.layer, self.pooling, self.method) {
            self.lay_out(session);
        } else if self.checkpoint != checkpoint || self.color != color {
            self.draw(session);
        }
    }
}

impl View for States {
    fn name(&self) -> &'static str {
        "Examples"
    }

    fn ui(&mut self, ui: &mut Ui, session: &mut Session) {
        if self.asked.is_none() {
            self.ask(session);
        }
        ui.horizontal_wrapped(|ui| self.controls(ui, session));
        let all = session.training.checkpoints().len();
        if let Some(shown) = self.asked.as_ref().map(Vec::len).filter(|shown| *shown < all) {
            ui.label(format!("{shown} of {all} checkpoints, spread over the training."));
        }
        if let Some(moved) = self
            .maps
            .as_ref()
            .and_then(|maps| Some((maps, maps.moved(self.checkpoint)?)))
        {
            let (maps, (moved, noise)) = moved;
            let beyond = moved.iter().filter(|moved| **moved > noise).count();
            let next = &maps.names[self.checkpoint + 1];
            ui.label(format!(
                "{beyond} of {} examples move more to {next} than another seed would move them.",
                moved.len()
            ));
        }
        match &self.plot {
            Some(plot) => self.points.show(ui, session, plot),
            None if self.running.is_some() => {
                ui.label("The checkpoints read the examples.");
            }
            // Stopped or failed: it can be started anew.
            None => {
                ui.label(&self.failure);
                if ui.button("Read the examples again").clicked() {
                    match self.states.is_some() {
                        true => self.lay_out(session),
                        false => self.ask(session),
                    }
                }
            }
        }
    }

    fn end(&mut self, job: JobId, _: &mut Session) {
        if self.running == Some(job) {
            self.running = None;
        }
    }

    fn plot(&self, _: &Session) -> Option<(String, Box<dyn Plot + '_>)> {
        Some(("examples".into(), Box::new(self.plot.as_ref()?)))
    }

    fn take(&mut self, news: &News, session: &mut Session) {
        match news {
            News::States(states) => {
                session.notes.extend(states.notes().iter().cloned());
                self.layer = states.last_layer();
                self.pooling = if states.has_pooler() {
                    StatePooling::Head
                } else {
                    StatePooling::Mean
                };
                self.states = Some((**states).clone());
                self.lay_out(session);
            }
            News::NoStates(why) => self.failure.clone_from(why),
            News::Maps(maps) => {
                self.maps = Some((**maps).clone());
                self.draw(session);
            }
            _ => {}
        }
    }

    fn follow(&mut self, session: &Session) {
        // New checkpoints are read when the tab is looked at; colors follow at once.
        if self.asked.as_ref() != Some(&names(&shown_checkpoints(&session.training))) {
            self.asked = None;
        }
        self.draw(session);
    }
}
