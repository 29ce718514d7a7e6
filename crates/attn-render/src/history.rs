//! Undo and redo: a stack of [`ViewState`]s.

use crate::ViewState;

/// Earlier view states, and undone ones.
///
/// Moves of a camera that follow each other are one step, so that undo goes back to where one looked before and not to
/// every notch of the wheel. What is only hovered is no step.
///
/// ```
/// use attn_render::{History, Theme, ViewState};
/// let (mut history, mut view) = (History::default(), ViewState::default());
/// history.record(&view);
/// view.shared.theme = Theme::Dark;
/// history.record(&view);
/// assert!(history.undo(&mut view) && view.shared.theme == Theme::Light);
/// assert!(history.redo(&mut view) && view.shared.theme == Theme::Dark);
/// assert!(!history.redo(&mut view));
/// ```
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The last one is what is seen now.
    past: Vec<ViewState>,
    future: Vec<ViewState>,
    /// Whether the last step moved cameras only.
    moving: bool,
}

/// So many steps are kept.
const STEPS: usize = 200;

impl History {
    /// Notes what is seen now; nothing if it is what was noted last.
    pub fn record(&mut self, view: &ViewState) {
        let Some(last) = self.past.last() else {
            self.past.push(view.clone());
            return;
        };
        if last == view {
            return;
        }
        let still = ViewState {
            stage: last.stage,
            inside: last.inside,
            orbit: last.orbit,
            ..view.clone()
        };
        let moves = still == *last;
        if moves && self.moving && self.past.len() > 1 {
            self.past.pop();
        }
        self.moving = moves;
        self.past.push(view.clone());
        self.future.clear();
        if self.past.len() > STEPS {
            self.past.remove(0);
        }
    }

    /// Undoes a change; `false` if there is none.
    pub fn undo(&mut self, view: &mut ViewState) -> bool {
        self.record(view);
        if self.past.len() < 2 {
            return false;
        }
        self.future.extend(self.past.pop());
        self.moving = false;
        self.show(view)
    }

    /// Takes an undo back; `false` if there is none, or something else was done since.
    pub fn redo(&mut self, view: &mut ViewState) -> bool {
        self.record(view);
        let Some(next) = self.future.pop() else {
            return false;
        };
        self.past.push(next);
        self.moving = false;
        self.show(view)
    }

    fn show(&self, view: &mut ViewState) -> bool {
        match self.past.last() {
            Some(last) => {
                *view = last.clone();
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_camera_moves_is_one_step() {
        let (mut history, mut view) = (History::default(), ViewState::default());
        history.record(&view);
        for _ in 0..5 {
            view.stage.zoom_at([0.5; 2], 1.2);
            history.record(&view);
        }
        view.shared.search = "the".into();
        history.record(&view);
        view.inside.zoom_at([0.5; 2], 1.2);
        history.record(&view);
        let mut seen = Vec::new();
        while history.undo(&mut view) {
            seen.push((view.stage.zoom > 1.0, view.shared.search.clone()));
        }
        let expected = [(true, "the"), (true, ""), (false, "")].map(|(zoomed, text)| (zoomed, text.to_owned()));
        assert_eq!(seen, expected);
    }

    #[test]
    fn doing_something_else_forgets_what_was_taken_back() {
        let (mut history, mut view) = (History::default(), ViewState::default());
        history.record(&view);
        view.toggle_hidden(1);
        history.record(&view);
        assert!(history.undo(&mut view) && view.hidden.is_empty());
        view.toggle_hidden(2);
        // Not recorded by the host, noticed all the same.
        assert!(!history.redo(&mut view));
        assert!(history.undo(&mut view) && view.hidden.is_empty());
    }

    #[test]
    fn old_steps_are_forgotten() {
        let (mut history, mut view) = (History::default(), ViewState::default());
        for id in 0..1_000 {
            view.toggle_hidden(id);
            history.record(&view);
        }
        let mut steps = 0;
        while history.undo(&mut view) {
            steps += 1;
        }
        assert_eq!(steps, STEPS - 1);
    }
}
