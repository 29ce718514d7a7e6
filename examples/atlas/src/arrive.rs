//! What jobs bring: a capture, heads, roles, new points; and what the pane then shows.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use attn_egui::jobs::JobEvent;
use attn_sdk::{
    Study,
    core::HeadId,
    models::Capturer,
    project::{AtlasParams, HeadProjection},
    render::{Interaction, Selection},
    study::{checkpoints::Checkpoints, source::Source},
};
use eframe::egui::Context;

use crate::{pane::Pane, session::Fingerprint, stopped::Again, work::News};

/// Interval at which a matrix that fills up is redrawn.
const REFRESH: Duration = Duration::from_millis(400);

/// An opened study, and the model that reads more.
pub(crate) type Opened = (Box<Study>, Option<Arc<Capturer>>);

impl Pane {
    /// Handles the events of jobs.
    pub(crate) fn listen(&mut self, context: &Context) {
        let events: Vec<JobEvent<News>> = self.work.jobs.poll().collect();
        for event in events {
            match event {
                JobEvent::Message(news) => self.take(news),
                JobEvent::Failed(job, why) => {
                    eprintln!("error: {why}");
                    if self.work.is_main(job) && self.study.is_none() {
                        self.failure = Some(why);
                    } else {
                        self.notes.push(why);
                    }
                }
                JobEvent::Finished(job) => self.work.ended(job),
                _ => {}
            }
        }
        self.leave_preview();
        if let Some(study) = self.study.as_mut().filter(|study| study.is_filling())
            && !self.work.is_running()
        {
            study.set_filling(false);
            self.page_of_plots();
            self.refresh();
        }
        if let (Some(since), Some(study)) = (self.waiting, &self.study) {
            let there = study.heads().count();
            let done = study.heads().filter(|head| !head.draft).count() == study.capture().model().heads().count();
            // The first and the last head are drawn at once.
            if there <= 1 || done || since.elapsed() >= REFRESH {
                let moves = std::mem::take(&mut self.moves);
                self.refresh();
                if moves {
                    self.plot.animate();
                }
            } else {
                context.request_repaint_after(REFRESH - since.elapsed());
            }
        }
        self.settle();
        self.place_waiting();
        // An open head is projected next.
        self.work.priority.set(self.view.open.as_slice());
    }

    /// Handles a message of a job.
    fn take(&mut self, news: News) {
        match news {
            News::Opened(study, capturer) => self.opened((study, capturer)),
            News::Checkpoints(checkpoints) => {
                if self.checkpoints.is_none() {
                    self.checkpoint = checkpoints.studies().len().saturating_sub(1) as f32;
                }
                self.checkpoints = Some(*checkpoints);
                self.go_to_checkpoint(self.checkpoint);
                self.page_of_plots();
            }
            News::HeadCheckpoints(head) => {
                if let Some(checkpoints) = &mut self.checkpoints {
                    checkpoints.insert(*head);
                }
                self.go_to_checkpoint(self.checkpoint);
            }
            News::Head(number, head) => self.head_arrived(number, *head),
            News::Summary(summary) => {
                self.summary = Some(Arc::new(*summary));
                self.page_of_plots();
                self.name_roles();
                self.plot.invalidate();
            }
            News::Inset(inset) => self.next_inset = Some(*inset),
            News::Rollout(rollout) => self.detail.take_rollout(*rollout),
            News::Typed(capture) => self.typed_arrived(*capture),
            News::Placed(of, placed) => {
                // What was typed may be gone meanwhile.
                if of.is_some() || self.guest.is_some() {
                    self.placed.insert((of, placed.head), *placed);
                    self.plot.invalidate();
                }
            }
            News::Selected(key, found) => self.selected.take(&key, found),
            News::Near(point, near) => self.selected.take_near(point, near),
            News::Answer(answered) => self.notes.extend(self.experiments.take(*answered)),
            News::Note(note) => self.notes.push(note),
            News::Stopped(what) => self.stopped.add(Again::Source, what),
        }
    }

    /// A source was opened, or the first of its sequences.
    fn opened(&mut self, (mut study, capturer): Opened) {
        if self.checkpoints.is_some() {
            if self.summary.is_none() {
                self.work.summarize(study.capture().clone(), capturer.clone());
            }
            self.show((study, capturer));
            self.go_to_checkpoint(self.checkpoint);
            if let Some(params) = self.next_params.take() {
                self.project(params);
            }
            return;
        }
        if study.preview_of().is_some() {
            return self.show((study, capturer));
        }
        if let Some(params) = self.next_params.take() {
            match other_params(&study, &params) {
                Ok(other) => *study = other,
                Err(error) => self.notes.push(error.to_string()),
            }
        }
        let found = Fingerprint::of(study.capture());
        if let Some(expected) = self.fingerprint.take().filter(|expected| *expected != found) {
            self.notes.push(expected.changed(&found));
        }
        self.summary = None;
        self.stopped.resumed(&Again::Projection);
        self.stopped.resumed(&Again::Roles);
        // Projecting takes longest: it is what the bar shows and stops first.
        self.work.project(&study, None);
        self.work.summarize(study.capture().clone(), capturer.clone());
        // A preview stays until there is as much to see of all sequences.
        match &self.study {
            Some(shown) if shown.preview_of().is_some() => self.incoming = Some((study, capturer)),
            _ => self.show((study, capturer)),
        }
    }

    fn head_arrived(&mut self, number: usize, head: HeadProjection) {
        let id = head.head;
        let preview = self.study.as_ref().is_some_and(|study| study.preview_of().is_some());
        if number != self.work.number && !(number == 0 && preview) {
            return;
        }
        if let (Some((incoming, _)), true) = (&mut self.incoming, number > 0) {
            incoming.insert(head);
        } else if let Some(study) = &mut self.study {
            // A draft that is replaced melts into what replaces it.
            let known = study.projection(id).ok();
            let same = known.is_some_and(|known| known.embedding == head.embedding && known.draft == head.draft);
            self.moves |= known.is_some() && !same;
            study.insert(head);
            self.waiting.get_or_insert_with(Instant::now);
            if same {
                // Only its quality is new.
                return;
            }
            self.place_again(id);
            if self.view.open == Some(id) {
                // Distances in the plot are others now.
                self.selected.forget();
            }
        }
    }

    /// Shows what comes in place of a preview or of another projection once all heads are there, or the open one, or no more come.
    fn leave_preview(&mut self) {
        let Some((study, _)) = &self.incoming else { return };
        let open = self
            .view
            .open
            .is_some_and(|open| study.heads().any(|head| head.head == open));
        let all = study.heads().count() == study.capture().model().heads().count();
        if open || all || !self.work.is_running() {
            self.show_incoming();
        }
    }

    pub(crate) fn show_incoming(&mut self) {
        if let Some(opened) = self.incoming.take() {
            self.show(opened);
        }
    }

    /// Shows a study. What depends on the data alone stays where the data does: the page, the selection, details and experiments.
    fn show(&mut self, (study, capturer): Opened) {
        self.name.clone_from(&study.capture().model().name);
        let same = self.study.as_ref().is_some_and(|old| {
            let data = |study: &Study| (study.sequences().to_vec(), study.preview_of());
            data(old) == data(&study) && old.capture().sequences() == study.capture().sequences()
        });
        let exists = |head: &HeadId| study.capture().model().heads().any(|other| other == *head);
        if !same {
            // Ids of points mean other tokens there.
            self.view.selection = None;
            self.view.shared.selected = Selection::default();
            self.plot.set_interaction(Interaction::default());
            (self.shown_inset, self.next_inset) = (None, None);
            self.detail.clear();
            self.table.invalidate();
            self.found.clear();
        }
        if self.view.open.is_some_and(|head| !exists(&head)) {
            self.view.close_head();
        }
        // The same data keeps its highlighted sequence.
        let kept = self.sequence.filter(|index| *index < study.capture().sequences().len());
        self.sequence = kept.or_else(|| Some(study.typical_sequence()));
        let whole = study.preview_of().is_none();
        let mut dim = vec![true; study.capture().sequences().len()];
        for &sequence in study.sequences() {
            if let Some(dim) = dim.get_mut(sequence) {
                *dim = false;
            }
        }
        self.table.dim(dim);
        self.study = Some(*study);
        self.weigh();
        self.name_roles();
        self.draw(self.filter.clone());
        self.capturer = capturer;
        self.placed.clear();
        self.selected.forget();
        self.place_all_again();
        if let Some(mut look) = self.restored.take_if(|_| whole) {
            if !self.from_session {
                // What was done meanwhile counts.
                look.view = self.view.clone();
            }
            self.look(look);
            self.start();
        }
        // The clicked point of the same data stays.
        let kept = self.view.selection.and_then(|pick| {
            let head = pick.head.filter(|head| self.view.open == Some(*head))?;
            self.study.as_ref()?.place(head, pick.id)
        });
        if kept.is_none() {
            self.choose(self.sequence);
        }
        self.refresh();
        self.plot.animate();
    }

    /// Says on the page what plots show of attention, once all are there.
    fn page_of_plots(&mut self) {
        let (Some(summary), Some(study)) = (&mut self.summary, &self.study) else {
            return;
        };
        if !study.is_filling() && study.preview_of().is_none() {
            Arc::make_mut(summary).add_projections(study.heads().filter(|head| !head.draft));
        }
    }

    /// Names the roles of heads in the matrix.
    fn name_roles(&mut self) {
        let Some(summary) = &self.summary else { return };
        let roles: Vec<(HeadId, String)> = summary.strongest_roles().collect();
        if let Some(checkpoints) = &mut self.checkpoints {
            return checkpoints.set_roles(roles);
        }
        for study in self
            .study
            .iter_mut()
            .chain(self.incoming.iter_mut().map(|(study, _)| &mut **study))
        {
            study.set_roles(roles.iter().cloned());
        }
    }

    /// Projects the same data with other parameters. The page, the map of heads and new points stay.
    pub(crate) fn project(&mut self, params: AtlasParams) {
        if let Some(checkpoints) = &self.checkpoints {
            let captures = checkpoints
                .studies()
                .iter()
                .map(|study| study.capture().clone())
                .collect();
            let columns = self
                .study
                .as_ref()
                .map_or_else(Vec::new, |study| study.columns().to_vec());
            let source = Source::Captures { captures, columns };
            return self.work.reopen(source, self.capturer.clone(), params);
        }
        self.stopped.resumed(&Again::Projection);
        let base = self
            .incoming
            .as_ref()
            .map(|(study, _)| &**study)
            .or(self.study.as_ref());
        let Some(base) = base else {
            self.next_params = Some(params);
            return;
        };
        if base.preview_of().is_some() {
            self.next_params = Some(params);
            return;
        }
        match other_params(base, &params) {
            Ok(study) => {
                self.work.project(&study, None);
                self.incoming = Some((Box::new(study), self.capturer.clone()));
                self.name_roles();
            }
            Err(error) => self.notes.push(error.to_string()),
        }
    }

    /// Projects the heads of which there are drafts at most.
    pub(crate) fn project_missing(&mut self) {
        self.show_incoming();
        let Some(study) = &mut self.study else { return };
        let known = |head: &HeadId| {
            let known = study.projection(*head);
            known.is_ok_and(|known| !known.draft && known.quality.is_some())
        };
        let heads: Vec<HeadId> = study.capture().model().heads().filter(|head| !known(head)).collect();
        study.set_filling(true);
        self.work.project(study, Some(heads));
    }

    /// The parameters of the projections.
    pub(crate) fn params(&self) -> AtlasParams {
        let params = self.study.as_ref().map(|study| study.params().clone());
        params.unwrap_or_else(|| self.first_params.clone())
    }

    /// Shows a checkpoint, counted from 0, or an interpolation between two.
    pub(crate) fn go_to_checkpoint(&mut self, checkpoint: f32) {
        let Some(checkpoints) = &mut self.checkpoints else {
            return;
        };
        self.checkpoint = checkpoint;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the place of a checkpoint"
        )]
        let nearest = checkpoint.round() as usize;
        // Studies of checkpoints take the current filter.
        if let Err(error) = checkpoints.set_filter(&self.filter) {
            self.notes.push(error.to_string());
        }
        self.name_roles();
        self.study = self
            .checkpoints
            .as_ref()
            .and_then(|checkpoints| checkpoints.studies().get(nearest).cloned())
            .or(self.study.take());
        self.weigh();
        // What was said of the selection was said of another checkpoint.
        self.selected.forget();
        self.placed.clear();
        self.stale.clear();
        self.asked = None;
        if self.is_last_checkpoint() {
            self.place_all_again();
        }
        self.detail.drop_rollout();
        self.refresh();
    }

    /// Whether the shown checkpoint is the last one, which reads what is typed; so it is without checkpoints.
    pub(crate) fn is_last_checkpoint(&self) -> bool {
        let last = self
            .checkpoints
            .as_ref()
            .map(|all: &Checkpoints| all.studies().len().saturating_sub(1));
        last.is_none_or(|last| (self.checkpoint - last as f32).abs() < 0.5)
    }

    pub(crate) fn refresh(&mut self) {
        self.waiting = None;
        self.plot.invalidate();
        self.detail.invalidate();
    }

    /// All projected heads.
    pub(crate) fn projected(&self) -> BTreeSet<HeadId> {
        self.study.iter().flat_map(Study::heads).map(|head| head.head).collect()
    }
}

/// The same study, to be projected with other parameters.
fn other_params(study: &Study, params: &AtlasParams) -> Result<Study, attn_sdk::Error> {
    let mut other = Study::new(study.capture().clone(), params);
    study
        .columns()
        .iter()
        .cloned()
        .try_for_each(|column| other.add_column(column))?;
    other.set_weighting(study.weighting().clone());
    other.set_filter(study.filter().clone())?;
    other.set_filling(true);
    Ok(other)
}
