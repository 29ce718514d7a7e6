//! The side panels: the examples with filter and search, and the one that was clicked.

use std::path::Path;

use attn_egui::{Exports, TextTable};
use attn_sdk::core::{files::write_atomically, table::Cells};
use eframe::egui::{Grid, RichText, ScrollArea, TextEdit, Ui};

use crate::views::Session;

/// The list of examples.
#[derive(Default)]
pub(crate) struct List {
    table: Option<TextTable>,
    /// The rows: the examples that are visible and, if there is a selection, selected.
    rows: Vec<usize>,
    version: Option<u64>,
}

impl List {
    pub(crate) fn show(&mut self, ui: &mut Ui, session: &mut Session, exports: &mut Exports) {
        ui.add_space(6.0);
        let width = ui.available_width() - 8.0;
        let field = |hint: &str| hint.to_owned();
        let search = ui.add(
            TextEdit::singleline(&mut session.view.shared.search)
                .hint_text(field("Search texts and ids"))
                .desired_width(width),
        );
        let filter = TextEdit::singleline(&mut session.filter)
            .hint_text(field("Filter: confidence < 0.3 and gold = positive"))
            .desired_width(width);
        let filter = ui
            .add(filter)
            .on_hover_text("Columns, < <= > >= = != ~ (contains), joined by `and`");
        if search.changed() || filter.changed() {
            session.find();
        }
        if let Some(failure) = &session.filter_failure {
            ui.label(RichText::new(failure).color(ui.visuals().error_fg_color));
        }
        if self.version != Some(session.version) {
            self.version = Some(session.version);
            self.rows = session.chosen();
            self.table.iter_mut().for_each(TextTable::invalidate);
        }
        ui.horizontal_wrapped(|ui| {
            let (all, visible) = (session.training.log().examples().len(), session.visible.len());
            ui.label(
                RichText::new(format!(
                    "{visible} of {all} examples, {} selected",
                    session.selected.len()
                ))
                .weak(),
            );
            if !session.selected.is_empty() && ui.button("Clear selection").clicked() {
                session.select([]);
            }
            ui.menu_button("Export these", |ui| {
                for (name, extension) in [
                    ("Rows (CSV)", "csv"),
                    ("Rows (JSON lines)", "jsonl"),
                    ("Ids (text)", "txt"),
                ] {
                    if ui.button(name).clicked() {
                        export(session, &self.rows, extension, exports);
                        ui.close();
                    }
                }
            });
        });
        let rows = &self.rows;
        let table = self.table.get_or_insert_with(TextTable::without_search);
        let (training, dynamics) = (&session.training, session.training.dynamics());
        let at = rows.iter().position(|example| Some(*example) == session.example);
        let shown = table.show(ui, &["text", "gold", "conf.", "var."], rows.len(), at, |row, column| {
            let example = rows[row];
            let number = |value: f32| {
                if value.is_nan() {
                    String::new()
                } else {
                    format!("{value:.3}")
                }
            };
            match column {
                0 => {
                    let example = &training.log().examples()[example];
                    example.text.as_deref().unwrap_or(&example.id).to_owned()
                }
                1 => training.log().gold(example),
                2 => number(dynamics[example].confidence),
                _ => number(dynamics[example].variability),
            }
        });
        if let Some(row) = shown.chosen {
            session.example = Some(rows[row]);
        }
    }
}

fn export(session: &Session, chosen: &[usize], extension: &str, exports: &mut Exports) {
    let path = exports.folder().join(format!("selection.{extension}"));
    let training = &session.training;
    match extension {
        "csv" => exports.table("selection", attn_egui::attn_render::Format::Csv, &training.rows(chosen)),
        "jsonl" => written(&path, training.rows_jsonl(chosen), exports),
        _ => {
            let ids: String = chosen
                .iter()
                .map(|&example| format!("{}\n", training.log().examples()[example].id))
                .collect();
            written(&path, ids, exports);
        }
    }
}

fn written(path: &Path, text: String, exports: &mut Exports) {
    let folder = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .map_err(|error| error.to_string());
    match folder.and_then(|()| write_atomically(path, text.as_bytes()).map_err(|error| error.to_string())) {
        Ok(()) => exports.fail(format!("written: {}", path.display())),
        Err(error) => exports.fail(error),
    }
}

/// The example that was clicked: its text, its columns, its answers over the training.
pub(crate) fn example(ui: &mut Ui, session: &Session) {
    let training = &session.training;
    let log = training.log();
    let Some(number) = session.example.filter(|example| *example < log.examples().len()) else {
        ui.add_space(6.0);
        ui.label(RichText::new("Click an example.").weak());
        return;
    };
    let example = &log.examples()[number];
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.add_space(6.0);
        ui.label(RichText::new(&*example.id).strong());
        if let Some(text) = &example.text {
            ui.label(&**text);
        }
        ui.add_space(6.0);
        Grid::new("answers")
            .num_columns(4)
            .striped(true)
            .spacing([12.0, 3.0])
            .show(ui, |ui| {
                for name in ["", "answer", "p (gold)", "margin"] {
                    ui.label(RichText::new(name).strong());
                }
                ui.end_row();
                for (moment, outcome) in log.outcomes(number) {
                    let (gold, right) = training.judge(outcome);
                    ui.label(log.moments()[moment].to_string());
                    let answer = RichText::new(log.answer(outcome).unwrap_or_default());
                    let wrong = right == Some(false);
                    ui.label(if wrong {
                        answer.color(ui.visuals().error_fg_color)
                    } else {
                        answer
                    });
                    ui.label(format!("{gold:.3}"));
                    ui.label(if outcome.margin.is_nan() {
                        String::new()
                    } else {
                        format!("{:.2}", outcome.margin)
                    });
                    ui.end_row();
                }
            });
        ui.add_space(6.0);
        Grid::new("columns").num_columns(2).spacing([12.0, 3.0]).show(ui, |ui| {
            for (name, cells) in training.columns().columns() {
                let value = match cells {
                    Cells::Numbers(values) if !values[number].is_nan() => {
                        attn_sdk::core::format::number(values[number])
                    }
                    Cells::Texts(texts) if name != "text" && name != "id" => texts[number].clone(),
                    _ => continue,
                };
                if !value.is_empty() {
                    ui.label(RichText::new(name).weak());
                    ui.label(value);
                    ui.end_row();
                }
            }
        });
    });
}
