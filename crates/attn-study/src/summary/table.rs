//! The page's numbers, a row per head, for spreadsheets.

use attn_analyze::heads::Measure;
use attn_render::{Cells, Table};

use super::{HeadSummary, Summary};
use crate::Error;

impl Summary {
    /// A row per head: what it does and what stands out in words, each score with its chance level, and the mean lengths of its vectors.
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
            "does",
            words(&|head| head.labels.iter().map(|label| label.kind.to_string()).collect()),
        )?;
        let stands_out = |head: &HeadSummary| {
            let own = self.anomalies.iter().filter(|anomaly| anomaly.head == head.head);
            own.map(|anomaly| anomaly.kind.to_string()).collect()
        };
        table.push("stands out", words(&stands_out))?;
        let numbers = |of: &dyn Fn(&HeadSummary) -> Option<f64>| {
            Cells::Numbers(
                heads
                    .iter()
                    .map(|head| of(head).map_or(f32::NAN, |number| number as f32))
                    .collect(),
            )
        };
        let known = |measure: &Measure| heads.iter().any(|head| head.scores.get(*measure).is_some());
        for measure in Measure::ALL.into_iter().filter(known) {
            table.push(
                measure.name(),
                numbers(&|head| head.scores.get(measure).map(|score| score.value)),
            )?;
            let chance = format!("{} by chance", measure.name());
            table.push(
                chance,
                numbers(&|head| head.scores.get(measure).map(|score| score.baseline())),
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
