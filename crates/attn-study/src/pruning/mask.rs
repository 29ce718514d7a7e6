//! Heads that are switched off, with a way back.

use std::collections::BTreeSet;

use attn_core::HeadId;

/// Which heads are switched off, and what was before: every change can be undone.
///
/// ```
/// use attn_study::{attn_core::{Attention, HeadId}, pruning::HeadMask};
///
/// let head = |head| HeadId::new(Attention::EncoderSelf, 0, head);
/// let mut mask = HeadMask::default();
/// mask.toggle(head(1));
/// mask.toggle(head(2));
/// assert!(mask.undo() && mask.off().contains(&head(1)) && !mask.off().contains(&head(2)));
/// assert!(mask.redo() && mask.off().len() == 2);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeadMask {
    off: BTreeSet<HeadId>,
    before: Vec<BTreeSet<HeadId>>,
    after: Vec<BTreeSet<HeadId>>,
}

impl HeadMask {
    /// The heads that are off.
    pub fn off(&self) -> &BTreeSet<HeadId> {
        &self.off
    }

    /// Switches a head off, or on again.
    pub fn toggle(&mut self, head: HeadId) {
        let mut off = self.off.clone();
        if !off.remove(&head) {
            off.insert(head);
        }
        self.set(off);
    }

    /// Switches exactly these heads off. What is as it was is no change.
    pub fn set(&mut self, off: impl IntoIterator<Item = HeadId>) {
        let off: BTreeSet<HeadId> = off.into_iter().collect();
        if off != self.off {
            self.before.push(std::mem::replace(&mut self.off, off));
            self.after.clear();
        }
    }

    /// Takes the last change back; whether there was one.
    pub fn undo(&mut self) -> bool {
        let Some(before) = self.before.pop() else { return false };
        self.after.push(std::mem::replace(&mut self.off, before));
        true
    }

    /// Makes the change again that was taken back last; whether there was one.
    pub fn redo(&mut self) -> bool {
        let Some(after) = self.after.pop() else { return false };
        self.before.push(std::mem::replace(&mut self.off, after));
        true
    }
}

#[cfg(test)]
mod tests {
    use attn_core::Attention;

    use super::*;

    #[test]
    fn every_change_is_taken_back_in_turn() {
        let head = |head| HeadId::new(Attention::DecoderSelf, 1, head);
        let mut mask = HeadMask::default();
        assert!(!mask.undo() && !mask.redo());
        mask.set([head(0), head(3)]);
        mask.set([head(0), head(3)]);
        mask.toggle(head(0));
        assert_eq!(mask.off(), &BTreeSet::from([head(3)]));
        assert!(mask.undo() && mask.off().len() == 2);
        assert!(mask.undo() && mask.off().is_empty() && !mask.undo());
        assert!(mask.redo() && mask.off().len() == 2);
        // A new change ends what could be done again.
        mask.toggle(head(1));
        assert!(!mask.redo() && mask.off().len() == 3);
    }
}
