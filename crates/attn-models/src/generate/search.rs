//! What the ways of searching have in common: they run beams and choose among what follows them.

use super::{Emitted, Generated, trace::Beam};

/// The search for one sequence.
pub(super) trait Search {
    /// The beams that go on; none when the search is over.
    fn running(&self) -> &[Beam];

    /// Chooses, given the logits after each running beam, and says of which of them each new beam is a continuation.
    fn advance(&mut self, logits: Vec<Vec<f32>>) -> Vec<usize>;

    /// The token that was chosen last, if it will not be taken back.
    fn emitted(&self, _sequence: usize) -> Option<Emitted> {
        None
    }

    /// What came of it.
    fn finish(self: Box<Self>) -> Generated;
}
