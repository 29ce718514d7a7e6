//! The page's numbers, a row per head, for spreadsheets.

use attn_analyze::heads::Measure;
use attn_core::table::Table;

use super::{HeadSummary, Summary};

impl Summary {
    /// A row per head: what it does and what stands out in words, each score with its chance level, and the mean lengths of its
    /// vectors. Empty cells where a head has none.
    pub fn table(&self) -> Table {
        let heads = &self.heads;
        let mut table = Table::new(heads.len());
        table.texts("head", |row| self.model.head_name(heads[row].head));
        table.texts("does", |row| {
            joined(heads[row].labels.iter().map(|label| label.kind.to_string()))
        });
        table.texts("stands out", |row| {
            let own = self.anomalies.iter().filter(|anomaly| anomaly.head == heads[row].head);
            joined(own.map(|anomaly| anomaly.kind.to_string()))
        });
        let known = |measure: &Measure| heads.iter().any(|head| head.scores.get(*measure).is_some());
        for measure in Measure::ALL.into_iter().filter(known) {
            let score = |row: usize| heads[row].scores.get(measure);
            table.numbers(measure.name(), |row| score(row).map(|score| score.value));
            table.numbers(format!("{} by chance", measure.name()), |row| {
                score(row).map(|score| score.baseline())
            });
        }
        table.numbers("mean query length", |row| heads[row].norms.query);
        table.numbers("mean key length", |row| heads[row].norms.key);
        if heads.iter().any(|head: &HeadSummary| head.norms.value.is_some()) {
            table.numbers("mean value length", |row| heads[row].norms.value);
        }
        table
    }
}

fn joined(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join("; ")
}
