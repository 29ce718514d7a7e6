//! The checkpoint that the tabs about heads share, and the examples it is asked about.

use std::{cell::RefCell, error::Error, rc::Rc, sync::Arc};

use attn_egui::jobs::JobId;
use attn_sdk::study::{
    change::Snapshot,
    pruning::{HeadMask, HeadStudy, LabeledSet, PruningParams},
    training::Training,
};
use eframe::egui::{Button, ComboBox, Ui};

use super::Session;
use crate::{options::Sample, window::News};

/// Most examples that heads are measured on.
const MOST: usize = 400;

/// A checkpoint with its model and examples.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Its place among the checkpoints of the run.
    pub(crate) place: usize,
    pub(crate) snapshot: Snapshot,
    /// Examples that were not trained on.
    pub(crate) set: LabeledSet,
    /// Others of them, which have no part in what is chosen.
    pub(crate) held_out: LabeledSet,
}

/// What the tabs about heads share.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// The checkpoint that is asked for, by its place; the last one by default.
    chosen: Option<usize>,
    pub(crate) loaded: Option<Arc<Loaded>>,
    pub(crate) study: Option<Arc<HeadStudy>>,
    pub(crate) mask: HeadMask,
    loading: Option<JobId>,
    /// Whether the last loading ended without a model.
    ended: bool,
    measuring: Option<JobId>,
    /// Whether the last study was stopped or failed.
    unmeasured: bool,
}

pub(crate) type Shared = Rc<RefCell<Model>>;

/// The settings of all work on heads.
pub(crate) fn params(sample: Sample) -> PruningParams {
    PruningParams {
        seed: sample.seed,
        greedy_examples: 128,
        ..PruningParams::default()
    }
}

/// Loads a checkpoint and the examples that it was not trained on.
pub(crate) fn load(training: &Training, place: usize, sample: Sample) -> Result<Loaded, Box<dyn Error>> {
    let checkpoint = training.checkpoints().get(place).ok_or("the run has no checkpoint")?;
    with_examples(training, Snapshot::open(checkpoint.open()?)?, place, sample)
}

/// A model with the examples of a run that it was not trained on.
pub(crate) fn with_examples(
    training: &Training,
    snapshot: Snapshot,
    place: usize,
    sample: Sample,
) -> Result<Loaded, Box<dyn Error>> {
    let log = training.log();
    let all = LabeledSet::of_log(&snapshot.capturer, log, LabeledSet::dev_places(log))?;
    let [set, held_out] = all.sample(sample.most(MOST), sample.seed).halves(sample.seed);
    Ok(Loaded {
        place,
        snapshot,
        set,
        held_out,
    })
}

impl Model {
    /// The example that was clicked, by its place in the measured set.
    pub(crate) fn clicked(&self, session: &Session) -> Option<usize> {
        let id = &session.training.log().examples().get(session.example?)?.id;
        let set = &self.loaded.as_ref()?.set;
        set.examples().iter().position(|example| *example.sequence.name == **id)
    }

    /// The choice of a checkpoint; loads it where it is another.
    pub(crate) fn choose(&mut self, ui: &mut Ui, session: &Session) {
        let names = session.checkpoints();
        let Some(last) = names.len().checked_sub(1) else {
            ui.label("This run has no checkpoint to measure.");
            return;
        };
        let mut chosen = self.chosen.unwrap_or(last).min(last);
        ComboBox::from_id_salt("checkpoint")
            .selected_text(names[chosen].as_str())
            .show_ui(ui, |ui| {
                for (place, name) in names.iter().enumerate() {
                    ui.selectable_value(&mut chosen, place, name.as_str());
                }
            });
        let known = self.loaded.as_ref().is_some_and(|loaded| loaded.place == chosen);
        // What failed or was stopped is not tried again by itself.
        let again = self.ended && ui.button("Load it again").clicked();
        if !known && (again || self.chosen != Some(chosen) || (self.loading.is_none() && !self.ended)) {
            self.ended = false;
            let (training, sample) = (session.training.clone(), session.sample);
            let job = session.jobs.start("checkpoint", move |job| {
                job.send(News::Loaded(Arc::new(load(&training, chosen, sample)?)));
                Ok(())
            });
            self.loading = Some(job);
        }
        self.chosen = Some(chosen);
    }

    /// Takes in a loaded checkpoint or a finished study.
    pub(crate) fn take(&mut self, news: &News) {
        match news {
            News::Loaded(loaded) if self.chosen.is_none_or(|chosen| chosen == loaded.place) => {
                self.loading = None;
                self.loaded = Some(loaded.clone());
                (self.study, self.unmeasured) = (None, false);
                self.mask = HeadMask::default();
            }
            News::Heads(study) => {
                // It may be of the checkpoint before.
                let name = self.loaded.as_ref().map(|loaded| &loaded.snapshot.name);
                if name == Some(&study.model.name) {
                    self.study = Some(study.clone());
                }
                self.measuring = None;
            }
            _ => {}
        }
    }

    /// A job ended, with a result or without.
    pub(crate) fn end(&mut self, job: JobId) {
        if self.loading == Some(job) {
            (self.loading, self.ended) = (None, true);
        }
        if self.measuring == Some(job) {
            (self.measuring, self.unmeasured) = (None, true);
        }
    }

    /// The button that measures all heads.
    pub(crate) fn measure_button(&mut self, ui: &mut Ui, session: &Session) {
        let name = match self.unmeasured || self.study.is_some() {
            true => "Measure again",
            false => "Measure all heads",
        };
        if ui.add_enabled(self.measuring.is_none(), Button::new(name)).clicked() {
            self.measure(session);
        }
    }

    /// Starts the study of all heads.
    fn measure(&mut self, session: &Session) {
        let Some(loaded) = self.loaded.clone() else { return };
        let sample = session.sample;
        self.unmeasured = false;
        self.measuring = Some(session.jobs.start("heads", move |job| {
            let Loaded {
                snapshot,
                set,
                held_out,
                ..
            } = &*loaded;
            let held_out = (!held_out.is_empty()).then_some(held_out);
            let study = HeadStudy::run(&snapshot.capturer, set, held_out, &params(sample), job)?;
            job.send(News::Heads(Arc::new(study)));
            Ok(())
        }));
    }
}
