//! The common interface of the searches: they run beams and choose among their continuations.

use super::{Emitted, Generated, trace::Beam};

/// The search for one sequence.
pub(super) trait Search {
    /// The beams that go on; none when the search is over.
    fn running(&self) -> &[Beam];

    /// Chooses continuations, given the logits after each running beam. Returns the parent of each new beam.
    fn advance(&mut self, logits: Vec<Vec<f32>>) -> Vec<usize>;

    /// The token that was chosen last, if it will not be taken back.
    fn emitted(&self, _sequence: usize) -> Option<Emitted> {
        None
    }

    /// The result.
    fn finish(self: Box<Self>) -> Generated;
}
