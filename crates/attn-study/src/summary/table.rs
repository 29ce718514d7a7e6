//! The page's numbers, a row per head, for spreadsheets.

use attn_render::{Cells, Table};

use super::{HeadSummary, Summary};
use crate::Error;

impl Summary {
    /// A row per head: its roles and anomalies, each score with its chance level, and the mean lengths of its vectors.
    /// Empty cells where a head has none.
    ///
    /// # Errors
    /// None at present.
    pub fn table(&self) -> Result<Table, Error> {
        let mut table = Table::default();
        let heads = &self.heads;
        let words = |of: &dyn Fn(&HeadSummary) -> Vec<String>| {
            Cells::Texts(heads.iter().map(|head| of(head).join("; ")).collect())
        };
        table.push(
            "head",
            Cells::Texts(heads.iter().map(|head| self.model.head_name(head.head)).collect()),
        )?;
        table.push(
            "role",
            words(&|head| head.labels.iter().map(|label| label.role.to_string()).collect()),
        )?;
        let stands_out = |head: &HeadSummary| {
            let own = self.anomalies.iter().filter(|anomaly| anomaly.head == head.head);
            own.map(|anomaly| anomaly.kind.to_string()).collect()
        };
        table.push("anomaly", words(&stands_out))?;
        let numbers = |of: &dyn Fn(&HeadSummary) -> Option<f64>| {
            Cells::Numbers(
                heads
                    .iter()
                    .map(|head| of(head).map_or(f32::NAN, |number| number as f32))
                    .collect(),
            )
        };
        for score in self.scores.iter() {
            let id = score.id();
            if heads.iter().all(|head| head.scores.get(&id).is_none()) {
                continue;
            }
            table.push(
                score.name(),
                numbers(&|head| head.scores.get(&id).map(|score| score.value)),
            )?;
            let chance = format!("{} by chance", score.name());
            table.push(
                chance,
                numbers(&|head| head.scores.get(&id).map(|score| score.baseline())),
            )?;
        }
        table.push("mean query length", numbers(&|head| Some(head.norms.query)))?;
        table.push("mean key length", numbers(&|head| Some(head.norms.key)))?;
        if heads.iter().any(|head| head.norms.value.is_some()) {
            table.push("mean value length", numbers(&|head| head.norms.value))?;
        }
        Ok(table)
    }
}
