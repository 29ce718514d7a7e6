//! The checkpoint that the tabs about heads share, and the examples it is asked about.

use std::{cell::RefCell, error::Error, rc::Rc, sync::Arc};

use attn_sdk::study::{
    change::Snapshot,
    pruning::{HeadMask, HeadStudy, LabeledSet, PruningParams},
    training::Training,
};
use eframe::egui::{ComboBox, Ui};

use super::Session;
use crate::window::News;

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
    loading: bool,
}

pub(crate) type Shared = Rc<RefCell<Model>>;

/// The settings of all work on heads.
pub(crate) fn params() -> PruningParams {
    PruningParams {
        greedy_examples: 128,
        ..PruningParams::default()
    }
}

/// Loads a checkpoint and the examples that it was not trained on.
pub(crate) fn load(training: &Training, place: usize) -> Result<Loaded, Box<dyn Error>> {
    let checkpoint = training.checkpoints().get(place).ok_or("the run has no checkpoint")?;
    let snapshot = Snapshot::open(checkpoint.open()?)?;
    let log = training.log();
    let all = LabeledSet::of_log(&snapshot.capturer, log, LabeledSet::dev_places(log))?;
    let [set, held_out] = all.sample(MOST, 0).halves(0);
    Ok(Loaded {
        place,
        snapshot,
        set,
        held_out,
    })
}

impl Model {
    /// The choice of a checkpoint; loads it where it is another.
    pub(crate) fn choose(&mut self, ui: &mut Ui, session: &Session) {
        let names: Vec<&str> = session
            .training
            .checkpoints()
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        let Some(last) = names.len().checked_sub(1) else {
            ui.label("This run has no checkpoint to measure.");
            return;
        };
        let mut chosen = self.chosen.unwrap_or(last).min(last);
        ComboBox::from_id_salt("checkpoint")
            .selected_text(names[chosen])
            .show_ui(ui, |ui| {
                for (place, name) in names.iter().enumerate() {
                    ui.selectable_value(&mut chosen, place, *name);
                }
            });
        let known = self.loaded.as_ref().is_some_and(|loaded| loaded.place == chosen);
        if !known && (self.chosen != Some(chosen) || !self.loading) {
            self.loading = true;
            let training = session.training.clone();
            session.jobs.start("checkpoint", move |job| {
                job.send(News::Loaded(Arc::new(load(&training, chosen)?)));
                Ok(())
            });
        }
        self.chosen = Some(chosen);
    }

    /// Takes in a loaded checkpoint or a finished study.
    pub(crate) fn take(&mut self, news: &News) {
        match news {
            News::Loaded(loaded) => {
                self.loading = false;
                if self.chosen.is_none_or(|chosen| chosen == loaded.place) {
                    self.loaded = Some(loaded.clone());
                    self.study = None;
                    self.mask = HeadMask::default();
                }
            }
            News::Heads(study) => {
                // It may be of the checkpoint before.
                let name = self.loaded.as_ref().map(|loaded| &loaded.snapshot.name);
                if name == Some(&study.model.name) {
                    self.study = Some(study.clone());
                }
            }
            _ => {}
        }
    }

    /// Starts the study of all heads.
    pub(crate) fn measure(&self, session: &Session) {
        let Some(loaded) = self.loaded.clone() else { return };
        session.jobs.start("heads", move |job| {
            let Loaded {
                snapshot,
                set,
                held_out,
                ..
            } = &*loaded;
            let held_out = (!held_out.is_empty()).then_some(held_out);
            let study = HeadStudy::run(
                &snapshot.capturer,
                Some(&snapshot.checkpoint),
                set,
                held_out,
                &params(),
                job,
            )?;
            job.send(News::Heads(Arc::new(study)));
            Ok(())
        });
    }
}
