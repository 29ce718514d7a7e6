//! What the window writes: pictures, and the numbers and lists behind them.

use attn_sdk::{core::table::Table, render::Format};

use super::{browser::Browser, files, pictures, stage::Tab};

impl Browser {
    /// Writes the picture, or the numbers behind it.
    pub(crate) fn export(&mut self, format: Format) {
        let layer = self.shown().map_or(0, |layer| layer.layer);
        let name = match self.stage.tab {
            Tab::Map => format!("map-{layer}"),
            Tab::Tree => format!("dendrogram-{layer}"),
            Tab::Curves => "curves".into(),
            Tab::Compared => "compared".into(),
            Tab::Layers => "layers".into(),
            Tab::Sweep => format!("sweep-{layer}"),
            Tab::Changes => "changes".into(),
            Tab::Polar => "polar".into(),
            Tab::Neurons => "neurons".into(),
            Tab::Sentence => "sentence".into(),
        };
        let suffix = files::suffix(self.model);
        let name = format!("{name}{suffix}");
        // Lent out while the plot borrows the rest.
        let mut exports = std::mem::take(&mut self.exports);
        match (self.stage.picture(), self.plot()) {
            (Some(picture), _) if Format::NUMBERS.contains(&format) => {
                let numbers = match self.stage.tab {
                    Tab::Curves | Tab::Compared => pictures::numbers(&self.study),
                    Tab::Layers | Tab::Sweep => match self.plot().map(|plot| plot.table(&picture.view)) {
                        Some(Ok(table)) => table,
                        _ => Table::new(0),
                    },
                    _ => self.numbers(),
                };
                exports.table(&name, format, &numbers);
            }
            (Some(picture), Some(plot)) => exports.plot(&name, format, &plot, &picture.view, Some(&picture.widget)),
            (Some(_), None) => exports.fail("there is no picture yet"),
            (None, _) if Format::NUMBERS.contains(&format) => match self.list_table() {
                Some(table) => exports.table(&name, format, &table),
                None => exports.fail("there is nothing here yet"),
            },
            (None, _) => exports.fail("there is no picture here: the list exports as CSV"),
        }
        self.exports = exports;
    }

    /// The numbers of a tab that is a list.
    fn list_table(&self) -> Option<Table> {
        let model = self.model();
        match self.stage.tab {
            Tab::Changes => {
                let comparison = self.study.comparisons.get(self.stage.choice.comparison)?;
                Some(self.study.changes_table(comparison))
            }
            Tab::Polar => {
                let classes = self.study.classes.as_ref()?;
                let set = model.sets.iter().find(|set| set.name == *classes)?;
                Some(model.aligned_table(set))
            }
            Tab::Neurons => Some(model.neurons_table()),
            Tab::Sentence => {
                let placed = self.own.placed.as_ref().filter(|(of, _)| *of == self.model);
                let found = match placed {
                    Some((_, placed)) => placed.explanation.as_ref(),
                    None => model.explanation.as_ref(),
                };
                let words = || Some(model.placement_table(&placed?.1.placement));
                found.map(|found| model.explanation_table(found)).or_else(words)
            }
            _ => None,
        }
    }

    /// A row per cluster of the layer: its name, its size, its best label of each set with its share.
    fn numbers(&self) -> Table {
        let model = self.model();
        let clusters = self.shown().map_or(&[][..], |layer| &layer.clusters);
        let mut table = Table::new(clusters.len());
        table
            .texts("cluster", |row| clusters[row].name.text.as_str())
            .numbers("words", |row| clusters[row].members.len())
            .numbers("distinct words", |row| clusters[row].words);
        for (at, set) in model.sets.iter().enumerate() {
            let best = |row: usize| -> String {
                let best = clusters[row].labels.get(at).cloned().flatten();
                best.map_or(String::new(), |best| best.label)
            };
            table.texts(set.name.as_str(), best);
            table.numbers(format!("share of {}", set.name), |row| clusters[row].share(at));
        }
        table
    }
}
