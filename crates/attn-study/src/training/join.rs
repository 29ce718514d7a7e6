//! Examples from a file beside the log, joined by id.

use std::sync::Arc;

use attn_analyze::training::Log;
use attn_core::text::{Dataset, TextColumn, TextValues};

/// Names of the column of ids, best first.
const IDS: [&str; 5] = ["id", "guid", "idx", "index", "example_id"];

/// Gives the examples of a log their texts and attributes; says what did not fit.
pub(super) fn join(log: &mut Log, data: &Dataset) -> Vec<String> {
    let place = &data.place;
    let mut notes: Vec<String> = data.notes.iter().map(|note| format!("{place}: {note}")).collect();
    let of_lines = |column: &TextColumn| matches!(column.values, TextValues::Lines(_));
    let ids = IDS
        .iter()
        .find_map(|name| data.column(name).filter(|column| of_lines(column)));
    let Some(TextColumn {
        name: id_name,
        values: TextValues::Lines(ids),
    }) = ids
    else {
        notes.push(format!(
            "{place}: expected a column of {}, found none; its examples were left out",
            IDS.join(", ")
        ));
        return notes;
    };
    let names: Vec<Option<Arc<str>>> = data
        .columns
        .iter()
        .map(|column| (of_lines(column) && column.name != *id_name).then(|| column.name.as_str().into()))
        .collect();
    let (mut strange, mut twice) = (0_usize, 0_usize);
    let mut seen = std::collections::HashSet::new();
    for (row, line) in data.lines.iter().enumerate() {
        let Some(id) = ids.get(&row) else {
            notes.push(format!("{place}, line {}: expected an id, found none", line.number));
            continue;
        };
        if !seen.insert(id) {
            twice += 1;
            continue;
        }
        let facts = data
            .columns
            .iter()
            .zip(&names)
            .filter_map(|(column, name)| match &column.values {
                TextValues::Lines(values) => Some((name.as_ref()?, values.get(&row)?.as_str())),
                TextValues::Words(_) => None,
            });
        if !log.describe(id, Some(&line.text), facts) {
            strange += 1;
        }
    }
    if strange > 0 {
        notes.push(format!(
            "{place}: {strange} examples have ids that the log does not have"
        ));
    }
    if twice > 0 {
        notes.push(format!("{place}: {twice} ids came twice; the first counts"));
    }
    notes.truncate(50);
    notes
}
