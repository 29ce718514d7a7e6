//! Work that a user stopped, and how it goes on.

use attn_egui::jobs::JobId;
use attn_sdk::study::experiment::Question;
use eframe::egui::{Context, RichText, Ui};

use crate::{inset, pane::Pane, work::Work};

/// What a job does, to be done again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Again {
    Source,
    Projection,
    Roles,
    Typed,
    Placing,
    Selection,
    Neighbors,
    Rollout,
    ProjectSelection,
    ProjectValues,
    Experiment(Question),
}

impl Again {
    /// What was stopped.
    fn what(&self) -> &'static str {
        match self {
            Self::Source => "Stopped: reading the data.",
            Self::Projection => "Stopped: projecting the heads.",
            Self::Roles => "Stopped: finding the roles of heads.",
            Self::Typed => "Stopped: reading the new text.",
            Self::Placing => "Stopped: placing new points.",
            Self::Selection => "Stopped: describing the selection.",
            Self::Neighbors => "Stopped: finding the nearest points.",
            Self::Rollout => "Stopped: computing the rollout.",
            Self::ProjectSelection => "Stopped: projecting the selection.",
            Self::ProjectValues => "Stopped: projecting the values.",
            Self::Experiment(_) => "Stopped: running the experiment.",
        }
    }

    /// The button that goes on.
    fn button(&self) -> &'static str {
        match self {
            Self::Source => "Go on reading",
            Self::Projection => "Go on projecting",
            Self::Roles => "Find the roles",
            Self::Typed => "Read the text",
            Self::Placing => "Place the points",
            Self::Selection => "Describe the selection",
            Self::Neighbors => "Find the nearest points",
            Self::Rollout => "Compute the rollout",
            Self::ProjectSelection => "Project the selection",
            Self::ProjectValues => "Project the values",
            Self::Experiment(_) => "Run the experiment",
        }
    }
}

/// What was stopped and did not go on, in the order of stopping.
#[derive(Debug, Default)]
pub(crate) struct Stopped(Vec<(Again, String)>);

impl Stopped {
    /// Adds what was stopped, in these words.
    pub(crate) fn add(&mut self, again: Again, what: impl Into<String>) {
        self.resumed(&again);
        self.0.push((again, what.into()));
    }

    /// It is being done again.
    pub(crate) fn resumed(&mut self, again: &Again) {
        self.0.retain(|(stopped, _)| stopped != again);
    }

    pub(crate) fn holds(&self, again: &Again) -> bool {
        self.0.iter().any(|(stopped, _)| stopped == again)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Shows what was stopped last; returns what is to go on.
    pub(crate) fn show(&self, ui: &mut Ui) -> Option<Again> {
        let (again, what) = self.0.last()?;
        ui.label(what);
        ui.button(again.button()).clicked().then(|| again.clone())
    }
}

impl Pane {
    /// The user stopped a job.
    pub(crate) fn stopped_by_user(&mut self, job: JobId) {
        let Some(again) = self.work.again(job) else { return };
        let mut what = again.what().to_owned();
        match &again {
            Again::Projection => {
                self.show_incoming();
                if let Some(study) = &self.study {
                    let done = study.heads().filter(|head| !head.draft).count();
                    let all = study.capture().model().heads().count();
                    what = format!("Stopped: {done} of {all} heads are projected, the others are drafts.");
                }
            }
            Again::Experiment(_) => self.experiments.give_up(),
            _ => {}
        }
        self.stopped.add(again, what);
    }

    /// In place of what a job brings: that it is under way, or that it was stopped and goes on with a button.
    pub(crate) fn under_way(&mut self, ui: &mut Ui, again: &Again, words: &str) {
        if !self.stopped.holds(again) {
            ui.label(RichText::new(words).weak());
            return;
        }
        ui.label(RichText::new(again.what()).weak());
        if ui.button(again.button()).clicked() {
            self.go_on_with(again, ui.ctx());
        }
    }

    /// Goes on with what was stopped last.
    pub(crate) fn go_on(&mut self, context: &Context) {
        let last = self.stopped.0.last().map(|(again, _)| again.clone());
        if let Some(again) = last {
            self.go_on_with(&again, context);
        }
    }

    /// Does again what was stopped.
    pub(crate) fn go_on_with(&mut self, again: &Again, context: &Context) {
        self.stopped.resumed(again);
        match again {
            Again::Source => {
                self.show_incoming();
                self.work = Work::start(self.source.clone(), self.params(), self.folder.clone(), context);
            }
            Again::Projection => self.project_missing(),
            Again::Roles => {
                if let Some(study) = &self.study {
                    self.work.summarize(study.capture().clone(), self.capturer.clone());
                }
            }
            Again::Typed => self.read_typed(),
            Again::Placing => self.place_all_again(),
            Again::Selection | Again::Neighbors => self.selected.forget(),
            Again::Rollout => self.detail.drop_rollout(),
            Again::ProjectSelection => inset::project_selection(self),
            Again::ProjectValues => inset::project_values(self),
            Again::Experiment(question) => self.ask(question.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use attn_sdk::project::AtlasParams;

    use super::*;
    use crate::source::What;

    fn question(edges: Option<attn_sdk::study::experiment::Edges>) -> Again {
        Again::Experiment(Question {
            heads: Vec::new(),
            edges,
        })
    }

    #[test]
    fn what_was_stopped_waits_until_it_goes_on() {
        let mut stopped = Stopped::default();
        assert!(stopped.is_empty());
        stopped.add(Again::Projection, "3 of 16 heads");
        stopped.add(Again::Roles, "roles");
        // Stopped again: it is the last one, once.
        stopped.add(Again::Projection, "9 of 16 heads");
        let what: Vec<&str> = stopped.0.iter().map(|(_, what)| what.as_str()).collect();
        assert_eq!(what, ["roles", "9 of 16 heads"]);
        stopped.resumed(&Again::Projection);
        assert!(stopped.holds(&Again::Roles) && !stopped.holds(&Again::Projection));
        // Experiments are told apart.
        let other = question(Some(attn_sdk::study::experiment::Edges::Offset(-1)));
        stopped.add(question(None), "ablation");
        stopped.resumed(&other);
        assert!(stopped.holds(&question(None)));
    }

    #[test]
    fn every_job_is_known_by_what_it_does() {
        let source = What::embedded(attn_sdk::embedded::TEXT_ENCODER).source().unwrap();
        let mut work = Work::start(source.clone(), AtlasParams::default(), None, &Context::default());
        let opening = work.jobs.running()[0].id;
        assert_eq!(work.again(opening), Some(Again::Source));
        let id = work.run(Again::Roles, "roles", |_| Ok(()));
        assert_eq!(work.again(id), Some(Again::Roles));
        work.ended(id);
        assert_eq!(work.again(id), None);
    }
}
