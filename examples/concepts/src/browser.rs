//! The cluster browser: layers, clusters, their words in sentences. The plots are in `stage.rs`.

use std::{collections::BTreeMap, path::PathBuf};

use attn_egui::{
    Exports, TextTable, apply_theme, egui_color, egui_wgpu::RenderState, export_menu, search_box, theme_switch,
};
use attn_sdk::{
    analyze::concepts::{ConceptLayer, ConceptSpace, ConceptStudy},
    core::table::Table,
    render::{Format, Selection, ViewState},
};
use eframe::egui::{self, CentralPanel, ComboBox, Frame, Grid, Panel, RichText, ScrollArea, Ui, text::LayoutJob};

use super::{
    pictures,
    stage::{Stage, Tab},
};

/// Limits of words and sentences shown per cluster.
const WORDS: usize = 60;
const SENTENCES: usize = 200;
/// Characters of context around a word.
const REACH: usize = 160;

pub(crate) struct Browser {
    pub(crate) study: ConceptStudy,
    exports: Exports,
    pub(crate) model: usize,
    /// Index of the layer.
    pub(crate) layer: usize,
    pub(crate) cluster: usize,
    /// The label set of shown shares.
    set: usize,
    pub(crate) stage: Stage,
    table: TextTable,
    /// The clusters that match the search, largest first.
    listed: Vec<usize>,
}

impl Browser {
    pub(crate) fn new(study: ConceptStudy, view: &ViewState, out: PathBuf, state: &RenderState) -> Self {
        let mut browser = Self {
            stage: Stage::new(&study, view, state),
            study,
            exports: Exports::new(out),
            model: 0,
            layer: 0,
            cluster: 0,
            set: 0,
            table: TextTable::without_search(),
            listed: Vec::new(),
        };
        browser.go(0, usize::MAX);
        browser
    }

    pub(crate) fn ui(&mut self, ui: &mut Ui) {
        let search = self.stage.map.view.shared.search.clone();
        apply_theme(ui.ctx(), &self.stage.map.view);
        Panel::top("tools").show(ui, |ui| ui.horizontal_wrapped(|ui| self.tools(ui)));
        Panel::left("clusters").default_size(340.0).show(ui, |ui| {
            ui.set_min_size(ui.available_size());
            self.layers(ui);
            self.clusters(ui);
        });
        Panel::right("words").default_size(400.0).show(ui, |ui| {
            ui.set_min_size(ui.available_size());
            self.words(ui);
        });
        let ground = egui_color(self.stage.map.view.colors().background);
        CentralPanel::default()
            .frame(Frame::NONE.fill(ground))
            .show(ui, |ui| self.picture(ui));
        if self.stage.map.view.shared.search != search {
            self.list();
            self.highlight();
        }
    }

    pub(crate) fn model(&self) -> &ConceptSpace {
        &self.study.models[self.model]
    }

    pub(crate) fn shown(&self) -> &ConceptLayer {
        &self.model().layers[self.layer]
    }

    /// Shows another model or layer, whose clusters are others.
    fn go(&mut self, model: usize, layer: usize) {
        let layers = self.study.models[model].layers.len();
        (self.model, self.layer) = (model, layer.min(layers.saturating_sub(1)));
        self.set = self.set.min(self.model().sets.len().saturating_sub(1));
        self.stage.leave();
        self.list();
        // The map shows all clusters until one is chosen.
        self.cluster = self.listed.first().copied().unwrap_or(0);
        self.table.scroll_to(0);
    }

    /// Shows a cluster in all panels.
    pub(crate) fn choose(&mut self, cluster: usize) {
        self.cluster = cluster;
        if let Some(row) = self.listed.iter().position(|&listed| listed == cluster) {
            self.table.scroll_to(row);
        }
        self.highlight();
    }

    /// Highlights the chosen cluster on the map, unless there is a search.
    fn highlight(&mut self) {
        let members = self
            .shown()
            .clusters
            .get(self.cluster)
            .filter(|_| self.stage.map.view.shared.search.is_empty());
        let ids = members.into_iter().flat_map(|cluster| &cluster.members);
        let selected = Selection::new(None, ids.filter_map(|&id| u32::try_from(id).ok()));
        self.stage.map.view.shared.selected = selected;
    }

    /// Finds the clusters whose name or words match the search.
    fn list(&mut self) {
        let (layer, words) = (self.shown(), &self.model().words.words);
        let wanted = self.stage.map.view.shared.search.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&wanted);
        let mut listed = layer.largest();
        listed.retain(|&at| {
            let cluster = &layer.clusters[at];
            has(&cluster.name.text) || cluster.members.iter().any(|&word| has(&words[word].text))
        });
        self.listed = listed;
        self.table.invalidate();
    }

    fn tools(&mut self, ui: &mut Ui) {
        if self.study.models.len() > 1 {
            let mut model = self.model;
            for (at, encoded) in self.study.models.iter().enumerate() {
                ui.selectable_value(&mut model, at, encoded.model.as_str());
            }
            if model != self.model {
                self.go(model, self.layer);
            }
            ui.separator();
        }
        self.tabs(ui);
        ui.separator();
        let count = format!("{} of {} clusters", self.listed.len(), self.shown().clusters.len());
        search_box(ui, &mut self.stage.map.view, &count);
        ui.separator();
        theme_switch(ui, &mut self.stage.map.view);
        if let Some(kind) = export_menu(ui, &Format::ALL) {
            self.export(kind);
        }
        self.exports.show(ui);
    }

    /// The table of layers, with the share of clusters aligned with a label set.
    fn layers(&mut self, ui: &mut Ui) {
        let (mut layer, mut set) = (self.layer, self.set);
        ui.add_space(4.0);
        let model = self.model();
        ui.label(RichText::new(&model.model).strong());
        ui.horizontal(|ui| {
            ui.label("Clusters aligned with");
            let chosen = model.sets.get(set).map_or("", |set| set.name.as_str());
            ComboBox::from_id_salt("set").selected_text(chosen).show_ui(ui, |ui| {
                for (at, other) in model.sets.iter().enumerate() {
                    ui.selectable_value(&mut set, at, other.name.as_str());
                }
            });
        });
        ui.add_space(4.0);
        let area = ScrollArea::vertical().id_salt("layers").max_height(200.0);
        area.show(ui, |ui| {
            Grid::new("layers").num_columns(3).spacing([18.0, 2.0]).show(ui, |ui| {
                for name in ["layer", "share", "chance"] {
                    ui.label(RichText::new(name).weak());
                }
                ui.end_row();
                for (at, found) in model.layers.iter().enumerate() {
                    let name = match found.layer {
                        0 => "embeddings".to_owned(),
                        layer => format!("layer {layer}"),
                    };
                    if ui.selectable_label(at == layer, name).clicked() {
                        layer = at;
                    }
                    if let Some(row) = found.rows.get(set) {
                        ui.label(format!("{:.2}", row.aligned.value));
                        if let Some(chance) = row.aligned.chance {
                            ui.label(format!("{:.2} ± {:.2}", chance.mean, chance.deviation));
                        }
                    }
                    ui.end_row();
                }
            });
        });
        ui.separator();
        if set != self.set {
            self.set = set;
            self.table.invalidate();
        }
        if layer != self.layer {
            self.go(self.model, layer);
        }
    }

    fn clusters(&mut self, ui: &mut Ui) {
        let (layer, listed, set) = (
            &self.study.models[self.model].layers[self.layer],
            &self.listed,
            self.set,
        );
        let name = self.study.models[self.model]
            .sets
            .get(set)
            .map_or("", |set| set.name.as_str());
        let text = |row: usize, column: usize| {
            let cluster = &layer.clusters[listed[row]];
            match column {
                0 => cluster.name.text.clone(),
                1 => cluster.members.len().to_string(),
                _ => format!("{:.2}", cluster.share(set)),
            }
        };
        let chosen = listed.iter().position(|&listed| listed == self.cluster);
        let clicked = self
            .table
            .show(ui, &["cluster", "words", name], listed.len(), chosen, text);
        if let Some(&cluster) = clicked.chosen.and_then(|row| self.listed.get(row)) {
            self.cluster = cluster;
            self.highlight();
        }
    }

    /// Shows the chosen cluster: labels, words, sentences.
    fn words(&self, ui: &mut Ui) {
        let (model, layer) = (self.model(), self.shown());
        let Some(cluster) = layer.clusters.get(self.cluster) else {
            return;
        };
        ui.add_space(4.0);
        ui.heading(&cluster.name.text);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for &word in &cluster.members {
            *counts.entry(&model.words.words[word].text).or_default() += 1;
        }
        let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        ui.label(format!(
            "{} occurrences of {} distinct words",
            cluster.members.len(),
            counts.len()
        ));
        ui.add_space(4.0);
        Grid::new("labels").num_columns(3).striped(true).show(ui, |ui| {
            for (set, best) in model.sets.iter().zip(&cluster.labels) {
                let Some(best) = best else { continue };
                ui.label(&set.name);
                ui.label(&best.label);
                let share = RichText::new(format!("{:.0} %", 100.0 * best.share));
                ui.label(if best.aligned { share.strong() } else { share.weak() });
                ui.end_row();
            }
        });
        ui.separator();
        ui.horizontal_wrapped(|ui| {
            for (word, count) in counts.iter().take(WORDS) {
                ui.label(RichText::new(*word).strong());
                ui.label(RichText::new(count.to_string()).weak());
            }
            if counts.len() > WORDS {
                ui.label(format!("and {} more", counts.len() - WORDS));
            }
        });
        ui.separator();
        let area = ScrollArea::vertical().id_salt("sentences").auto_shrink(false);
        area.show(ui, |ui| {
            for &member in cluster.members.iter().take(SENTENCES) {
                let Some([before, it, after]) = model.excerpt(member, REACH) else {
                    continue;
                };
                ui.label(marked(ui, &before, &it, &after));
                ui.add_space(2.0);
            }
            if cluster.members.len() > SENTENCES {
                ui.label(format!("and {} more", cluster.members.len() - SENTENCES));
            }
        });
    }

    /// Writes the picture, or the numbers behind it.
    fn export(&mut self, format: Format) {
        let layer = self.shown().layer;
        let name = match self.stage.tab {
            Tab::Map => format!("map-{layer}"),
            Tab::Tree => format!("dendrogram-{layer}"),
            Tab::Curves => "curves".into(),
            Tab::Compared => "compared".into(),
            Tab::Prediction => "prediction".into(),
        };
        let suffix = if self.model == 0 { "" } else { "-after" };
        let name = format!("{name}{suffix}");
        // Lent out while the plot borrows the rest.
        let mut exports = std::mem::take(&mut self.exports);
        match (self.stage.picture(), self.plot()) {
            (Some(_), _) if Format::NUMBERS.contains(&format) => {
                let numbers = match self.stage.tab {
                    Tab::Curves | Tab::Compared => pictures::numbers(&self.study),
                    _ => self.numbers(),
                };
                exports.table(&name, format, &numbers);
            }
            (Some(picture), Some(plot)) => exports.plot(&name, format, &plot, &picture.view, Some(&picture.widget)),
            (Some(_), None) => exports.fail("there is no picture yet"),
            (None, _) => exports.fail("there is no picture here"),
        }
        self.exports = exports;
    }

    /// A row per cluster of the layer: its name, its size, its best label of each set with its share.
    fn numbers(&self) -> Table {
        let (model, clusters) = (self.model(), &self.shown().clusters);
        let mut table = Table::new(clusters.len());
        table
            .texts("cluster", |row| clusters[row].name.text.as_str())
            .numbers("words", |row| clusters[row].members.len());
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

/// A sentence with one word on a colored background.
fn marked(ui: &Ui, before: &str, it: &str, after: &str) -> LayoutJob {
    let visuals = ui.visuals();
    let font = egui::TextStyle::Body.resolve(ui.style());
    let plain = egui::TextFormat::simple(font.clone(), visuals.text_color());
    let word = egui::TextFormat {
        background: visuals.selection.bg_fill,
        ..egui::TextFormat::simple(font, visuals.strong_text_color())
    };
    let mut job = LayoutJob::default();
    job.append(before, 0.0, plain.clone());
    job.append(it, 0.0, word);
    job.append(after, 0.0, plain);
    job
}
