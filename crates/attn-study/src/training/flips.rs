//! Flips between two moments of a training.

use attn_analyze::training::{Flip, FlipKind, Flips};
use attn_core::table::Table;

use super::Training;
use crate::Error;

impl Training {
    /// What changed between two moments, by their numbers in [`Log::moments`](attn_analyze::training::Log::moments).
    ///
    /// # Errors
    /// [`Error::NoMoment`] for a number that does not exist.
    pub fn flips(&self, before: usize, after: usize) -> Result<Flips, Error> {
        Flips::between(&self.log, before, after, self.params.tolerance).ok_or_else(|| Error::NoMoment {
            asked: format!("moments {before} and {after}"),
            moments: self.log.moments().iter().map(ToString::to_string).collect(),
        })
    }

    /// From the first moment to the last; `None` with fewer than two moments.
    pub fn all_flips(&self) -> Option<Flips> {
        let last = self.log.moments().len().checked_sub(1).filter(|last| *last > 0)?;
        self.flips(0, last).ok()
    }

    /// Flips as a table: `id, from, to, gold, before, after`.
    pub fn flips_table(&self, flips: &Flips) -> Table {
        let (log, examples, rows) = (&self.log, self.log.examples(), &flips.flips);
        let [from, to] = flips.moments.map(|moment| moment.to_string());
        let mut table = Table::new(rows.len());
        table
            .texts("id", |row| &*examples[rows[row].example].id)
            .texts("from", |_| from.as_str())
            .texts("to", |_| to.as_str())
            .texts("gold", |row| log.gold(rows[row].example))
            .texts("before", |row| rows[row].answers[0].as_str())
            .texts("after", |row| rows[row].answers[1].as_str());
        table
    }

    /// The flips of a kind with their texts, for a list.
    pub fn flips_of<'a>(&'a self, flips: &'a Flips, kind: FlipKind) -> impl Iterator<Item = (&'a Flip, &'a str)> {
        let of_kind = flips.flips.iter().filter(move |flip| flip.kind == kind);
        of_kind.map(|flip| {
            let example = &self.log.examples()[flip.example];
            (flip, example.text.as_deref().unwrap_or(&example.id))
        })
    }
}
