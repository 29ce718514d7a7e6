//! The menu of the token filter.

use attn_sdk::{Study, TokenFilter, core::TokenColumn};
use eframe::egui::{
    Button, DragValue, PopupCloseBehavior, ScrollArea, Ui,
    containers::menu::{MenuButton, MenuConfig},
    vec2,
};

use crate::pane::Pane;

/// Limit of values of a column in the menu; columns with more can be searched.
const OFFERED: usize = 60;

/// The limit of tokens of a word that is offered.
pub(crate) const AT_MOST: usize = 5;

/// Width of the button, in points.
const WIDTH: f32 = 100.0;

/// Columns whose values are offered.
pub(crate) fn offered(study: &Study) -> impl Iterator<Item = &TokenColumn> {
    let few = |column: &&TokenColumn| (2..=OFFERED).contains(&column.classes().len());
    study.columns().iter().filter(few)
}

/// A button that shows whether a filter is set and opens the menu.
pub(crate) fn menu(ui: &mut Ui, pane: &mut Pane) {
    let Some(study) = &pane.study else { return };
    let mut filter = pane.filter.clone();
    let name = if filter.is_empty() {
        "All tokens"
    } else {
        "Filtered tokens"
    };
    // Several values are chosen in a row.
    let stays = MenuConfig::new().close_behavior(PopupCloseBehavior::CloseOnClickOutside);
    // As wide with either name.
    let button = Button::new(name).min_size(vec2(WIDTH, 0.0));
    let (button, _) = MenuButton::from_button(button).config(stays).ui(ui, |ui| {
        ui.set_min_width(230.0);
        let mut limited = filter.at_most.is_some();
        ui.horizontal(|ui| {
            ui.checkbox(&mut limited, "at most");
            let mut most = filter.at_most.unwrap_or(AT_MOST);
            let changed = ui.add(DragValue::new(&mut most).range(1..=10_000)).changed();
            ui.label("of each word");
            filter.at_most = (limited || changed).then_some(most);
        });
        let classes = |name: &str| study.column(name).map_or(&[][..], |column| column.classes());
        let offered: Vec<&str> = offered(study).map(|column| column.name.as_str()).collect();
        if !offered.is_empty() {
            let id = ui.scope_id().with("column");
            let mut shown = ui
                .data(|data| data.get_temp::<String>(id))
                .filter(|name| offered.contains(&name.as_str()));
            let first = filter
                .only
                .keys()
                .next()
                .cloned()
                .or_else(|| offered.first().map(|name| (*name).to_owned()));
            let column = shown.get_or_insert(first.unwrap_or_default());
            ui.horizontal_wrapped(|ui| {
                for name in &offered {
                    ui.selectable_value(column, (*name).to_owned(), *name);
                }
            });
            ScrollArea::vertical().max_height(320.0).show(ui, |ui| {
                for value in classes(column) {
                    let values = filter.only.get(column.as_str());
                    let mut drawn = values.is_none_or(|values| values.contains(value));
                    ui.horizontal(|ui| {
                        if ui.checkbox(&mut drawn, value).changed() {
                            toggle(&mut filter, column, classes(column), value);
                        }
                        let only = ui.small_button("only").on_hover_text("Draw only these tokens");
                        if only.clicked() {
                            filter.only.insert(column.clone(), [value.clone()].into());
                        }
                    });
                }
            });
            ui.data_mut(|data| data.insert_temp(id, column.clone()));
        }
        if ui.button("Clear filter").clicked() {
            filter = TokenFilter::default();
        }
    });
    button.on_hover_text("Filter of drawn tokens");
    pane.draw(filter);
}

/// Toggles a value. With every value on, the column is dropped from the filter.
fn toggle(filter: &mut TokenFilter, column: &str, classes: &[String], value: &str) {
    let values = filter
        .only
        .entry(column.to_owned())
        .or_insert_with(|| classes.iter().cloned().collect());
    if !values.remove(value) {
        values.insert(value.to_owned());
    }
    if values.len() == classes.len() {
        filter.only.remove(column);
    }
}
