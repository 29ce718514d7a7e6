//! Pruning: heads are switched off by a click, with a way back; the metric follows; the curves; the smallest set; the file.

use std::{path::PathBuf, sync::Arc};

use attn_egui::{SceneView, egui_wgpu::RenderState, jobs::JobId};
use attn_sdk::{
    render::{
        Plot, ViewState,
        control::Event,
        plots::{HeadCells, HeadGrid},
    },
    study::{
        change::flipped,
        pruning::{Evaluation, Outcome, Score, evaluate, write_pruned},
    },
};
use eframe::egui::{Button, CentralPanel, Frame, Panel, RichText, Ui};

use super::{
    Session, View,
    model::{Loaded, Shared, params},
};
use crate::{options::OUT, window::News};

pub(crate) struct Pruning {
    grid: SceneView,
    curve: SceneView,
    grid_view: ViewState,
    model: Shared,
    /// Of the heads that are off now; `None` while it is measured.
    found: Option<Evaluation>,
    whole: Option<Evaluation>,
    /// Whether another evaluation has to follow the running one.
    stale: bool,
    running: Option<JobId>,
    /// Whether the last evaluation failed or was stopped.
    ended: bool,
    written: String,
}

impl Pruning {
    pub(crate) fn new(state: &RenderState, model: Shared) -> Self {
        Self {
            grid: SceneView::new(state, "heads that are on"),
            curve: SceneView::new(state, "pruning curves"),
            grid_view: ViewState::default(),
            model,
            found: None,
            whole: None,
            stale: false,
            running: None,
            ended: false,
            written: String::new(),
        }
    }

    fn heads(&self) -> Option<HeadGrid> {
        let model = self.model.borrow();
        let loaded = model.loaded.as_ref()?;
        let mut grid = match &model.study {
            Some(study) => study.importance.grid(Score::AblationZero)?,
            None => {
                let heads: Vec<_> = loaded.snapshot.capturer.model().info().heads().collect();
                let values = vec![f32::NAN; heads.len()];
                HeadGrid {
                    what: "importance".into(),
                    ..HeadGrid::new(heads, HeadCells::Values(values.into()))
                }
            }
        };
        grid.title = format!(
            "{} of {} heads are on",
            grid.heads.len() - model.mask.off().len(),
            grid.heads.len()
        );
        grid.caption = "A click switches a head off, and on again.".into();
        grid.off = model.mask.off().iter().copied().collect();
        Some(grid)
    }

    /// Measures the heads that are off now.
    fn measure(&mut self, session: &Session) {
        self.grid.invalidate();
        if self.running.is_some() {
            self.stale = true;
            return;
        }
        let model = self.model.borrow();
        let Some(loaded) = model.loaded.clone() else { return };
        let off = model.mask.off().clone();
        let sample = session.sample;
        self.ended = false;
        let job = session.jobs.start("dev set", move |job| {
            let Loaded {
                snapshot, set, place, ..
            } = &*loaded;
            let found = evaluate(&snapshot.capturer, set, &off, &params(sample), job)?;
            job.send(News::Masked(Arc::new(found), off.len(), *place));
            Ok(())
        });
        self.running = Some(job);
    }

    fn controls(&mut self, ui: &mut Ui, session: &mut Session) {
        // The panel keeps its width, whatever is in it.
        ui.set_min_width(ui.available_width());
        ui.add_space(6.0);
        self.model.borrow_mut().choose(ui, session);
        let mut changed = false;
        ui.horizontal(|ui| {
            let mut model = self.model.borrow_mut();
            let mask = &mut model.mask;
            if ui.button("Undo").clicked() {
                changed |= mask.undo();
            }
            if ui.button("Redo").clicked() {
                changed |= mask.redo();
            }
            if ui.button("All on").clicked() {
                mask.set([]);
                changed = true;
            }
        });
        let smallest = self
            .model
            .borrow()
            .study
            .as_ref()
            .and_then(|study| study.smallest.clone());
        match smallest {
            Some(smallest) => {
                let text = format!("Smallest set: {} heads", smallest.kept.len());
                if ui
                    .button(text)
                    .on_hover_text(format!("Keeps 99 % of the {}", smallest.kind.name()))
                    .clicked()
                {
                    self.model.borrow_mut().mask.set(smallest.removed);
                    changed = true;
                }
            }
            None => {
                ui.label("Measure all heads (in the tab Heads) to find the smallest set.");
            }
        }
        if changed {
            self.measure(session);
        }
        ui.separator();
        if let Some(whole) = &self.whole {
            ui.label(format!("all heads: {}, loss {:.3}", whole.text(), whole.loss));
        } else if self.found.is_none() && self.model.borrow().loaded.is_some() && self.running.is_none() && !self.ended
        {
            self.measure(session);
        }
        match &self.found {
            Some(found) => {
                let text = format!("now: {}, loss {:.3}", found.text(), found.loss);
                ui.label(RichText::new(text).strong());
            }
            None if self.running.is_some() => {
                ui.label("measuring ...");
            }
            None => {}
        }
        self.examples(ui, session);
        if self.ended && ui.button("Measure again").clicked() {
            self.measure(session);
        }
        ui.separator();
        let off = self.model.borrow().mask.off().len();
        let name = match off {
            0 => "Write the pruned model".to_owned(),
            1 => "Write the model without 1 head".to_owned(),
            off => format!("Write the model without {off} heads"),
        };
        let write = ui.add_enabled(off > 0, Button::new(name));
        if write.on_disabled_hover_text("Switch a head off first").clicked() {
            self.write(session);
        }
        if !self.written.is_empty() {
            ui.label(RichText::new(&self.written).weak());
        }
    }

    /// What the heads that are off change for examples: which become wrong or right, and the one that was clicked.
    fn examples(&self, ui: &mut Ui, session: &mut Session) {
        let (Some(whole), Some(found)) = (&self.whole, &self.found) else {
            return;
        };
        let model = self.model.borrow();
        let Some(loaded) = &model.loaded else { return };
        let changed = flipped(whole, found);
        for (places, word) in changed.iter().zip(["wrong", "right"]) {
            let count = places.len();
            let button = ui.add_enabled(count > 0, Button::new(format!("{count} became {word}")));
            if button.on_hover_text("Selects them").clicked() {
                let names = places.iter().filter_map(|&at| loaded.set.examples().get(at));
                let log = session.training.log();
                let selected: Vec<usize> = names.filter_map(|example| log.find(&example.sequence.name)).collect();
                session.select(selected);
            }
        }
        let Some(example) = session.example.and_then(|at| session.training.log().examples().get(at)) else {
            return;
        };
        let both = model
            .clicked(session)
            .and_then(|at| Some([whole.examples.get(at)?, found.examples.get(at)?]));
        let text = match both {
            Some([before, after]) => {
                let right = |outcome: &Outcome| match outcome.right {
                    right if right >= 1.0 => "right".to_owned(),
                    right if right <= 0.0 => "wrong".to_owned(),
                    right => format!("{:.0} % right", 100.0 * right),
                };
                let of = |outcome: &Outcome| format!("{}, loss {:.3}", right(outcome), outcome.loss);
                format!("{}: {} before, {} now", example.id, of(before), of(after))
            }
            None => format!("{} is not among the measured examples", example.id),
        };
        ui.label(text);
    }

    fn write(&self, session: &Session) {
        let model = self.model.borrow();
        let Some(loaded) = model.loaded.clone() else { return };
        let off = model.mask.off().clone();
        let sample = session.sample;
        session.jobs.start("pruned model", move |job| {
            // Another folder each time: what was written stays.
            let folder = (1..).map(|number| PathBuf::from(OUT).join(format!("pruned-{number}")));
            let folder = folder.into_iter().find(|folder| !folder.exists()).unwrap_or_default();
            let Loaded { snapshot, set, .. } = &*loaded;
            let written = write_pruned(
                &snapshot.checkpoint,
                &snapshot.capturer,
                set,
                &off,
                &folder,
                &params(sample),
                job,
            )?;
            let [before, after] = written.parameters;
            let mut text = format!(
                "{}: {before} weights before, {after} now; what it says differs by {:.1e} at most",
                folder.display(),
                written.difference
            );
            for note in &written.pruned.notes {
                text.push_str("; ");
                text.push_str(note);
            }
            job.send(News::Written(text));
            Ok(())
        });
    }
}

impl View for Pruning {
    fn name(&self) -> &'static str {
        "Pruning"
    }

    fn ui(&mut self, ui: &mut Ui, session: &mut Session) {
        Panel::left("pruning")
            .default_size(260.0)
            .show(ui, |ui| self.controls(ui, session));
        self.grid_view.shared.theme = session.view.shared.theme;
        let study = self.model.borrow().study.clone();
        if let Some(study) = study {
            Panel::bottom("curves")
                .default_size(330.0)
                .resizable(true)
                .show(ui, |ui| {
                    self.curve.show(ui, &mut session.view, &study.pruning_plot());
                });
        }
        let Some(grid) = self.heads() else { return };
        CentralPanel::default().frame(Frame::NONE).show(ui, |ui| {
            let shown = self.grid.show(ui, &mut self.grid_view, &grid);
            for event in shown.events {
                if let Event::OpenHead(head) = event {
                    self.grid_view.open = None;
                    self.model.borrow_mut().mask.toggle(head);
                    self.measure(session);
                }
            }
        });
    }

    fn plot(&self, _: &Session) -> Option<(String, Box<dyn Plot + '_>)> {
        let model = self.model.borrow();
        Some(("pruning".into(), Box::new(model.study.as_ref()?.pruning_plot())))
    }

    fn end(&mut self, job: JobId, session: &mut Session) {
        if self.running != Some(job) {
            return;
        }
        // It brought nothing: what was on view is of other heads.
        (self.running, self.found, self.ended) = (None, None, true);
        if std::mem::take(&mut self.stale) {
            self.measure(session);
        }
    }

    fn take(&mut self, news: &News, session: &mut Session) {
        match news {
            News::Masked(found, off, place) => {
                let shown = self.model.borrow().loaded.as_ref().map(|loaded| loaded.place);
                if shown == Some(*place) {
                    if *off == 0 {
                        self.whole = Some((**found).clone());
                    }
                    self.found = Some((**found).clone());
                }
                self.running = None;
                if std::mem::take(&mut self.stale) {
                    self.measure(session);
                }
            }
            News::Loaded(_) => {
                (self.found, self.whole, self.ended) = (None, None, false);
                self.grid.invalidate();
            }
            News::Heads(_) => {
                self.grid.invalidate();
                self.curve.invalidate();
            }
            News::Written(text) => self.written.clone_from(text),
            _ => {}
        }
    }
}
