//! Undo and redo: a stack of what was seen, [`ViewState`]s unless a host keeps more.

use crate::ViewState;

/// What undo goes back through: how something was looked at, as one value.
pub trait Undoable: Clone + PartialEq {
    /// Whether it differs from `before` in what is moved on and on, such as a camera, and in nothing else. Such changes that
    /// follow each other are one step. By default there are none.
    fn only_moved(&self, before: &Self) -> bool {
        let _ = before;
        false
    }
}

impl Undoable for ViewState {
    /// Cameras.
    fn only_moved(&self, before: &Self) -> bool {
        let still = Self {
            stage: before.stage,
            inside: before.inside,
            orbit: before.orbit,
            ..self.clone()
        };
        still == *before
    }
}

/// Earlier states of a view, and undone ones. A host with more to go back through than a [`ViewState`] keeps a history of its own
/// value.
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
#[derive(Debug, Clone)]
pub struct History<T = ViewState> {
    /// The last one is what is seen now.
    past: Vec<T>,
    future: Vec<T>,
    /// Whether the last step only moved something.
    moving: bool,
}

impl<T> Default for History<T> {
    fn default() -> Self {
        Self {
            past: Vec::new(),
            future: Vec::new(),
            moving: false,
        }
    }
}

/// So many steps are kept.
const STEPS: usize = 200;

impl<T: Undoable> History<T> {
    /// Notes what is seen now; nothing if it is what was noted last.
    pub fn record(&mut self, view: &T) {
        let Some(last) = self.past.last() else {
            self.past.push(view.clone());
            return;
        };
        if last == view {
            return;
        }
        let moves = view.only_moved(last);
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
    pub fn undo(&mut self, view: &mut T) -> bool {
        self.record(view);
        if self.past.len() < 2 {
            return false;
        }
        self.future.extend(self.past.pop());
        self.moving = false;
        self.show(view)
    }

    /// Takes an undo back; `false` if there is none, or something else was done since.
    pub fn redo(&mut self, view: &mut T) -> bool {
        self.record(view);
        let Some(next) = self.future.pop() else {
            return false;
        };
        self.past.push(next);
        self.moving = false;
        self.show(view)
    }

    fn show(&self, view: &mut T) -> bool {
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

    #[test]
    fn a_host_goes_back_through_its_own_value() {
        #[derive(Clone, PartialEq)]
        struct Own {
            text: &'static str,
            scrolled: u32,
        }
        impl Undoable for Own {
            fn only_moved(&self, before: &Self) -> bool {
                self.text == before.text
            }
        }
        let mut own = Own { text: "", scrolled: 0 };
        let mut history = History::default();
        history.record(&own);
        for scrolled in 1..4 {
            own.scrolled = scrolled;
            history.record(&own);
        }
        own.text = "May";
        history.record(&own);
        assert!(history.undo(&mut own) && (own.text, own.scrolled) == ("", 3));
        assert!(history.undo(&mut own) && own.scrolled == 0);
        assert!(!history.undo(&mut own));
        assert!(history.redo(&mut own) && own.scrolled == 3);
    }
}
