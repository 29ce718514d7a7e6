//! New points: a text or an image that a user types, and sequences of the data that are not among the points. The model reads what
//! is typed; its tokens are placed into the projected heads, and its own attention is shown as that of any sequence.

use attn_sdk::{
    Study,
    core::{Capture, HeadId},
};
use eframe::egui::{Key, RichText, TextEdit, Ui};

use crate::{actions::Field, pane::Pane, stopped::Again, window::Atlas};

/// What a pane's model takes, if it can be run.
fn reads(pane: &Pane) -> Option<&'static str> {
    let capturer = pane.capturer.as_ref()?;
    match capturer.model().vision() {
        Some(_) => Some("Drop an image on the window, or type its path and press Enter: squares show its patches"),
        None => capturer
            .tokenizer()
            .map(|_| "Type a sentence and press Enter: squares show its tokens in every head"),
    }
}

impl Atlas {
    /// The field for new text, captured by every shown model.
    pub(crate) fn new_point(&mut self, ui: &mut Ui) {
        let hints: Vec<_> = self.panes.iter().map(reads).collect();
        let Some(hint) = hints[self.active].or_else(|| hints.iter().flatten().next().copied()) else {
            let pane = self.active();
            let why = match pane.study {
                Some(_) if !pane.work.is_opening() && pane.incoming.is_none() => {
                    "New text needs a model with a tokenizer."
                }
                _ => "",
            };
            ui.label(RichText::new(why).weak());
            return;
        };
        let pane = &mut self.panes[self.active];
        let dropped = ui.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_owned()).next());
        if let Some(path) = &dropped {
            pane.typed = path.display().to_string();
        }
        let field = TextEdit::singleline(&mut pane.typed)
            .hint_text(hint)
            .desired_width(f32::INFINITY);
        let shown = ui.add(field);
        if self.focus.take_if(|wanted| *wanted == Field::NewText).is_some() {
            shown.request_focus();
        }
        let entered = shown.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        if entered || dropped.is_some() {
            let text = pane.typed.clone();
            for pane in self.panes.iter_mut().filter(|pane| reads(pane).is_some()) {
                pane.typed.clone_from(&text);
                pane.read_typed();
            }
        }
    }
}

impl Pane {
    /// Captures the typed text. An empty one takes the points away.
    pub(crate) fn read_typed(&mut self) {
        self.guest = None;
        self.placed.retain(|(of, _), _| of.is_some());
        self.detail.show_typed(false);
        self.plot.invalidate();
        if let Some(failed) = self.typed_failed.take() {
            self.notes.withdraw(&failed);
        }
        if !self.is_last_checkpoint() {
            self.notes
                .push("The last checkpoint reads what you type: go there first.");
            return;
        }
        if let Some(capturer) = &self.capturer
            && !self.typed.trim().is_empty()
        {
            self.stopped.resumed(&Again::Typed);
            self.work.read(capturer.clone(), self.typed.clone());
        }
    }

    /// What was typed was captured: it is placed, and shown.
    pub(crate) fn typed_arrived(&mut self, capture: Capture) {
        // The text may be gone meanwhile.
        let Some(study) = self.study.as_ref().filter(|_| !self.typed.trim().is_empty()) else {
            return;
        };
        let mut guest = Study::new(capture, study.params());
        guest.set_weighting(self.weighting.clone());
        self.guest = Some(guest);
        self.place_all_again();
        self.detail.show_typed(true);
    }

    /// A head has another layout: what is placed in it is placed again.
    pub(crate) fn place_again(&mut self, head: HeadId) {
        if self.placed.remove(&(None, head)).is_some() || self.guest.is_some() {
            self.stale.insert(head);
        }
        self.placed.retain(|(of, in_head), _| of.is_none() || *in_head != head);
        if self.asked.is_some_and(|(_, in_head)| in_head == head) {
            self.asked = None;
        }
    }

    pub(crate) fn place_all_again(&mut self) {
        self.asked = None;
        if self.guest.is_some() {
            self.stale = self.projected();
        }
    }

    /// Starts placing what is to be placed, one thing at a time.
    pub(crate) fn place_waiting(&mut self) {
        let Some(study) = &self.study else { return };
        if self.work.is_placing() || self.incoming.is_some() {
            return;
        }
        let first = self.view.open;
        if let Some((head, sequence)) = self
            .missing()
            .filter(|missing| self.asked != Some((missing.1, missing.0)))
        {
            self.asked = Some((sequence, head));
            self.stopped.resumed(&Again::Placing);
            self.placed.retain(|(of, _), _| of.is_none());
            let (study, capture) = (study.clone(), study.capture().clone());
            return self.work.place(study, capture, Some(sequence), [head].into(), first);
        }
        if let Some(guest) = self.guest.as_ref().filter(|_| !self.stale.is_empty()) {
            let (study, capture) = (study.clone(), guest.capture().clone());
            let heads = std::mem::take(&mut self.stale);
            self.stopped.resumed(&Again::Placing);
            self.work.place(study, capture, None, heads, first);
        }
    }

    /// The open head and the chosen sequence, if that is not among the points.
    pub(crate) fn missing(&self) -> Option<(HeadId, usize)> {
        let (study, head, sequence) = (self.study.as_ref()?, self.view.open?, self.sequence?);
        let drawn = study.sequences().binary_search(&sequence).is_ok();
        (!drawn && study.projection(head).is_ok()).then_some((head, sequence))
    }
}
