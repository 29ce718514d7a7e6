//! Two checkpoints, or a checkpoint and any model: what changed most; and how much of an adapter is needed.

use std::{error::Error, sync::Arc};

use attn_egui::{SceneView, egui_wgpu::RenderState};
use attn_sdk::{
    models::Checkpoint,
    render::Plot,
    study::{
        change::{ChangeStudy, ScaleStep, Snapshot, TENTHS, scale_plot, scale_steps},
        pruning::LabeledSet,
        training::Training,
    },
};
use eframe::egui::{CentralPanel, ComboBox, Frame, Panel, RichText, ScrollArea, Slider, TextEdit, Ui};

use super::{Session, View, model::params};
use crate::{options::named, window::News};

/// Most examples that two checkpoints are compared on.
pub(crate) const MOST: usize = 120;

/// One side of the comparison.
#[derive(Debug, Clone, Default)]
struct Choice {
    place: usize,
    /// A folder or file in its place.
    path: String,
    /// How much of its adapter is merged, if it has one.
    scale: f64,
}

impl Choice {
    fn open(&self, training: &Training) -> Result<Checkpoint, Box<dyn Error>> {
        let path = Some(self.path.trim()).filter(|path| !path.is_empty());
        let checkpoint = named(training, path, self.place)?;
        Ok(match checkpoint.adapter_scale() {
            Some(_) => checkpoint.with_adapter_scale(self.scale)?,
            None => checkpoint,
        })
    }
}

pub(crate) struct Compare {
    widget: SceneView,
    /// What the command line asked for, before and after.
    asked: [Option<String>; 2],
    choices: Option<[Choice; 2]>,
    found: Option<Arc<ChangeStudy>>,
    scales: Vec<ScaleStep>,
    plots: Vec<(String, Box<dyn Plot>)>,
    /// The plot on view, by its place.
    shown: usize,
}

impl Compare {
    pub(crate) fn new(state: &RenderState, asked: [Option<String>; 2]) -> Self {
        Self {
            widget: SceneView::new(state, "what changed"),
            asked,
            choices: None,
            found: None,
            scales: Vec::new(),
            plots: Vec::new(),
            shown: 0,
        }
    }

    fn make_plots(&mut self) {
        self.plots = self.found.as_ref().map(|found| found.plots()).unwrap_or_default();
        if !self.scales.is_empty() {
            self.plots
                .push(("adapter-scale".into(), Box::new(scale_plot(&self.scales))));
        }
        self.widget.invalidate();
    }

    fn compare(&self, session: &Session) {
        let Some([before, after]) = self.choices.clone() else {
            return;
        };
        let (training, sample) = (session.training.clone(), session.sample);
        session.jobs.start("comparison", move |job| {
            let [before, after] = [before.open(&training)?, after.open(&training)?];
            let (before, after) = (Snapshot::open(before)?, Snapshot::open(after)?);
            let log = training.log();
            let set = LabeledSet::of_log(&after.capturer, log, LabeledSet::dev_places(log))?
                .sample(sample.most(MOST), sample.seed);
            let found = ChangeStudy::run(&before, &after, &set, &params(sample), job)?;
            job.send(News::Changed(Arc::new(found)));
            Ok(())
        });
    }

    fn scales(&self, session: &Session) {
        let Some([_, after]) = self.choices.clone() else { return };
        let (training, sample) = (session.training.clone(), session.sample);
        session.jobs.start("adapter", move |job| {
            let checkpoint = after.open(&training)?;
            let snapshot = Snapshot::open(checkpoint.clone())?;
            let log = training.log();
            let set = LabeledSet::of_log(&snapshot.capturer, log, LabeledSet::dev_places(log))?
                .sample(sample.most(MOST), sample.seed);
            let found = scale_steps(&checkpoint, &set, &TENTHS, &params(sample), job)?;
            job.send(News::Scales(found));
            Ok(())
        });
    }

    fn controls(&mut self, ui: &mut Ui, session: &Session) {
        // The panel keeps its width, whatever is in it.
        ui.set_min_width(ui.available_width());
        ui.add_space(6.0);
        let names = session.checkpoints();
        let last = names.len().saturating_sub(1);
        let asked = &self.asked;
        let choice = |side: usize, place| {
            let asked = asked[side].as_ref();
            let of_run = asked.and_then(|name| names.iter().position(|own| own == name));
            Choice {
                place: of_run.unwrap_or(place),
                path: asked.filter(|_| of_run.is_none()).cloned().unwrap_or_default(),
                scale: 1.0,
            }
        };
        let choices = self.choices.get_or_insert_with(|| [choice(0, 0), choice(1, last)]);
        for (title, choice) in ["before", "after"].into_iter().zip(choices) {
            ui.label(RichText::new(title).strong());
            choice.place = choice.place.min(last);
            ComboBox::from_id_salt(title)
                .selected_text(names.get(choice.place).map_or("none", String::as_str))
                .show_ui(ui, |ui| {
                    for (place, name) in names.iter().enumerate() {
                        ui.selectable_value(&mut choice.place, place, name.as_str());
                    }
                });
            ui.add(TextEdit::singleline(&mut choice.path).hint_text("or the folder or hub name of any model"));
            ui.add(Slider::new(&mut choice.scale, 0.0..=1.0).text("adapter"))
                .on_hover_text("How much of a LoRA adapter is merged; of no account without one");
        }
        ui.horizontal(|ui| {
            if ui.button("Compare").clicked() {
                self.compare(session);
            }
            if ui
                .button("Adapter curve")
                .on_hover_text("The metric from the model without its adapter to all of it")
                .clicked()
            {
                self.scales(session);
            }
        });
        ui.separator();
        for (at, (name, _)) in self.plots.iter().enumerate() {
            if ui
                .selectable_value(&mut self.shown, at, name.replace('-', " "))
                .changed()
            {
                self.widget.invalidate();
            }
        }
        let Some(found) = &self.found else { return };
        ui.separator();
        if let Some([one, other]) = &found.evaluations {
            let [lost, won] = found.flips.each_ref().map(Vec::len);
            ui.label(format!(
                "{} before, {} after",
                one.text(),
                other.kind.text(other.metric)
            ));
            ui.label(format!("{lost} became wrong, {won} right"));
        }
        ui.label(RichText::new("What moved most").strong());
        for group in found.weights.groups.iter().take(6) {
            ui.label(format!("{}: {:.3}", group.name, group.relative));
        }
        for head in found.heads.iter().take(6) {
            let roles = match head.has_new_role() {
                true => {
                    let name = |at: usize| head.roles[at].as_ref().map_or("none".into(), |role| role.name());
                    format!(", role {} then {}", name(0), name(1))
                }
                false => String::new(),
            };
            ui.label(format!(
                "{}: {:.3}{roles}",
                found.model.head_name(head.head),
                head.size()
            ));
        }
        for note in &found.notes {
            ui.label(RichText::new(note).weak());
        }
    }
}

impl View for Compare {
    fn name(&self) -> &'static str {
        "Changes"
    }

    fn ui(&mut self, ui: &mut Ui, session: &mut Session) {
        Panel::left("changes").default_size(270.0).show(ui, |ui| {
            ScrollArea::vertical().show(ui, |ui| self.controls(ui, session));
        });
        let last = self.plots.len().saturating_sub(1);
        let Some((_, plot)) = self.plots.get(self.shown.min(last)) else {
            return;
        };
        CentralPanel::default().frame(Frame::NONE).show(ui, |ui| {
            self.widget.show(ui, &mut session.view, &**plot);
            session.view.open = None;
        });
    }

    fn plot(&self, _: &Session) -> Option<(String, Box<dyn Plot + '_>)> {
        let last = self.plots.len().checked_sub(1)?;
        let (name, plot) = self.plots.get(self.shown.min(last))?;
        Some((name.clone(), Box::new(&**plot)))
    }

    fn take(&mut self, news: &News, _: &mut Session) {
        match news {
            News::Changed(found) => self.found = Some(found.clone()),
            News::Scales(steps) => self.scales.clone_from(steps),
            _ => return,
        }
        self.make_plots();
    }
}
