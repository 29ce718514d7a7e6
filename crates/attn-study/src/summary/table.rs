//! The page's numbers, a row per head, for spreadsheets.

use attn_core::table::Table;

use super::{HeadSummary, Summary};

impl Summary {
    /// A row per head: its roles and anomalies, each score with its chance level, and the mean lengths of its vectors. Empty cells where a head has none.
    pub fn table(&self) -> Table {
        let heads = &self.heads;
        let mut table = Table::new(heads.len());
        table.texts("head", |row| self.model.head_name(heads[row].head));
        table.texts("role", |row| {
            // Programs read it.
            let names = heads[row].labels.iter().map(|label| label.name().replace('−', "-"));
            joined(names)
        });
        table.texts("anomaly", |row| {
            let own = self.anomalies.iter().filter(|anomaly| anomaly.head == heads[row].head);
            joined(own.map(|anomaly| anomaly.kind.to_string()))
        });
        for definition in self.scores.iter() {
            let id = definition.id();
            if heads.iter().all(|head| head.scores.get(&id).is_none()) {
                continue;
            }
            let score = |row: usize| heads[row].scores.get(&id);
            table.numbers(definition.name(), |row| score(row).map(|score| score.value));
            table.numbers(format!("{}, chance", definition.name()), |row| {
                score(row).map(|score| score.baseline())
            });
        }
        if heads.iter().any(|head| head.plane.is_some()) {
            let plane = |row: usize| heads[row].plane.as_ref();
            table.numbers("nearest key attended most", |row| plane(row)?.nearest);
            table.numbers("nearest key attended most, chance", |row| plane(row)?.chance);
            table.numbers("rank correlation in the plot", |row| plane(row)?.correlation.value);
            table.numbers("rank correlation in full space", |row| heads[row].correlation?.value);
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
