//! The cluster browser: layers, clusters, their words in sentences. The plots are in `stage.rs`.

use std::path::PathBuf;

use attn_egui::{
    Exports, FoldPanel, TextTable, apply_theme, colors::egui_color, commands::CommandSearch, egui_wgpu::RenderState,
    export::export_menu, fold_panel::Edge, search_box, toolbar::theme_switch,
};
use attn_sdk::{
    analyze::concepts::{AlignParams, ConceptLayer, ConceptSpace, ConceptStudy},
    render::{Format, Selection, ViewState},
};
use eframe::egui::{CentralPanel, ComboBox, DragValue, Frame, Grid, Panel, RichText, ScrollArea, Ui};

use super::{changes::Goal, cluster, options::Rule, sentence::Sentence, stage::Stage};

/// The clusters that are wanted: their number, and when they stand for a label.
#[derive(Clone, PartialEq)]
pub(crate) struct Cut {
    /// `None`: by the number of words.
    pub(crate) clusters: Option<usize>,
    pub(crate) threshold: f64,
    pub(crate) rule: Rule,
}

/// What the user asks for that takes work.
pub(crate) enum Wish {
    /// Other clusters.
    Cut(Cut),
    /// A sentence read by a model.
    Place(usize, String),
    Save,
}

pub(crate) struct Browser {
    pub(crate) study: ConceptStudy,
    /// Whether each model can read new sentences.
    pub(crate) reads: Vec<bool>,
    pub(crate) exports: Exports,
    pub(crate) model: usize,
    /// Index of the layer.
    pub(crate) layer: usize,
    pub(crate) cluster: usize,
    /// The label set of shown shares.
    pub(crate) set: usize,
    /// The word of the cluster whose sentences are shown.
    word: Option<String>,
    pub(crate) own: Sentence,
    pub(crate) cut: Cut,
    pub(crate) wishes: Vec<Wish>,
    pub(crate) stage: Stage,
    pub(crate) table: TextTable,
    /// The clusters that match the search, largest first.
    listed: Vec<usize>,
    /// Whether clusters that are not judged are left out of the list.
    pub(crate) judged: bool,
    pub(crate) left: FoldPanel,
    pub(crate) right: FoldPanel,
    pub(crate) search: CommandSearch,
}

impl Browser {
    /// Of a study with at least one model, which may have no layer yet.
    pub(crate) fn new(study: ConceptStudy, cut: Cut, view: &ViewState, out: PathBuf, state: &RenderState) -> Self {
        let mut browser = Self {
            stage: Stage::new(view, state),
            reads: vec![false; study.models.len()],
            study,
            exports: Exports::new(out),
            model: 0,
            layer: 0,
            cluster: 0,
            set: 0,
            word: None,
            own: Sentence::default(),
            cut,
            wishes: Vec::new(),
            table: TextTable::without_search(),
            listed: Vec::new(),
            judged: false,
            left: FoldPanel::new(Edge::Left, 340.0),
            right: FoldPanel::new(Edge::Right, 400.0).at_most(0.35),
            search: CommandSearch::default(),
        };
        browser.go(0, usize::MAX);
        browser
    }

    /// One more layer of a model is there.
    pub(crate) fn add_layer(&mut self, model: usize, layer: ConceptLayer) {
        let Some(own) = self.study.models.get_mut(model) else {
            return;
        };
        own.layers.push(layer);
        if model == self.model && own.layers.len() == 1 {
            self.go(model, 0);
        }
        self.stage.redraw_charts();
    }

    /// The clusters are others: of the same layers, or of more.
    pub(crate) fn renew(&mut self, study: ConceptStudy) {
        self.study = study;
        self.stage.renew();
        self.own.placed = None;
        let at = self.model.min(self.study.models.len().saturating_sub(1));
        self.go(at, self.layer);
    }

    pub(crate) fn ui(&mut self, ui: &mut Ui) {
        let search = self.stage.map.view.shared.search.clone();
        apply_theme(ui.ctx(), &self.stage.map.view);
        // Lent out while it asks for the commands.
        let mut commands = std::mem::take(&mut self.search);
        if let Some(action) = commands.show(ui.ctx(), || self.commands()) {
            self.act(action);
        }
        self.search = commands;
        for action in self.keys(ui.ctx()) {
            self.act(action);
        }
        Panel::top("tools").show(ui, |ui| ui.horizontal_wrapped(|ui| self.tools(ui)));
        let (mut left, mut right) = (self.left.clone(), self.right.clone());
        left.show(ui, "clusters", |ui| {
            self.layers(ui);
            self.clusters(ui);
        });
        right.show(ui, "words", |ui| self.words(ui));
        (self.left, self.right) = (left, right);
        let ground = egui_color(self.stage.map.view.colors().background);
        CentralPanel::default()
            .frame(Frame::NONE.fill(ground))
            .show(ui, |ui| self.picture(ui));
        if self.stage.map.view.shared.search != search {
            self.list();
            // The right panel shows what is found.
            if !self.listed.contains(&self.cluster)
                && let Some(&first) = self.listed.first()
            {
                self.cluster = first;
            }
            self.word = None;
            self.table.scroll_to(0);
            self.highlight();
        }
    }

    pub(crate) fn model(&self) -> &ConceptSpace {
        &self.study.models[self.model]
    }

    /// The shown layer; `None` while a model has none.
    pub(crate) fn shown(&self) -> Option<&ConceptLayer> {
        self.model().layers.get(self.layer)
    }

    /// Shows a cluster that was clicked in a list.
    pub(crate) fn visit(&mut self, goal: Option<Goal>) {
        let Some((model, layer, cluster)) = goal else { return };
        self.show_layer(model, layer);
        self.choose(cluster);
    }

    /// Shows a layer of a model, by its number.
    pub(crate) fn show_layer(&mut self, model: usize, layer: usize) {
        let found = self.study.models.get(model).map(|model| &model.layers);
        let at = found.and_then(|layers| layers.iter().position(|own| own.layer == layer));
        if let Some(at) = at.filter(|&at| (model, at) != (self.model, self.layer)) {
            self.go(model, at);
        }
    }

    /// Shows another model or layer, whose clusters are others.
    fn go(&mut self, model: usize, layer: usize) {
        let layers = self.study.models[model].layers.len();
        (self.model, self.layer) = (model, layer.min(layers.saturating_sub(1)));
        self.set = self.set.min(self.model().sets.len().saturating_sub(1));
        self.word = None;
        self.stage.leave();
        self.list();
        // The map shows all clusters until one is chosen.
        self.cluster = self.listed.first().copied().unwrap_or(0);
        self.table.scroll_to(0);
    }

    /// Shows a cluster in all panels.
    pub(crate) fn choose(&mut self, cluster: usize) {
        self.cluster = cluster;
        self.word = None;
        if let Some(row) = self.listed.iter().position(|&listed| listed == cluster) {
            self.table.scroll_to(row);
        }
        self.highlight();
    }

    /// Highlights the chosen cluster on the map, unless there is a search.
    fn highlight(&mut self) {
        let cluster = self.shown().and_then(|layer| layer.clusters.get(self.cluster));
        let members = cluster.filter(|_| self.stage.map.view.shared.search.is_empty());
        let ids = members.into_iter().flat_map(|cluster| &cluster.members);
        let selected = Selection::new(None, ids.filter_map(|&id| u32::try_from(id).ok()));
        self.stage.map.view.shared.selected = selected;
    }

    /// Finds the clusters whose name or words match the search.
    pub(crate) fn list(&mut self) {
        let words = &self.model().words.words;
        let least = if self.judged { self.model().align().min_words } else { 0 };
        let Some(layer) = self.shown() else {
            self.listed.clear();
            return;
        };
        let wanted = self.stage.map.view.shared.search.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&wanted);
        let mut listed = layer.largest();
        listed.retain(|&at| {
            let cluster = &layer.clusters[at];
            let found = has(&cluster.name.text) || cluster.members.iter().any(|&word| has(&words[word].text));
            found && cluster.words >= least
        });
        self.listed = listed;
        self.table.invalidate();
    }

    fn tools(&mut self, ui: &mut Ui) {
        self.left.button(ui, "Layers and clusters");
        self.right.button(ui, "Words and sentences");
        ui.separator();
        if self.study.models.len() > 1 {
            let mut model = self.model;
            for (at, encoded) in self.study.models.iter().enumerate() {
                ui.selectable_value(&mut model, at, encoded.name());
            }
            if model != self.model {
                self.go(model, self.layer);
            }
            ui.separator();
        }
        self.tabs(ui);
        ui.separator();
        let all = self.shown().map_or(0, |layer| layer.clusters.len());
        let count = format!("{} of {all} clusters", self.listed.len());
        search_box(ui, &mut self.stage.map.view, &count);
        ui.separator();
        theme_switch(ui, &mut self.stage.map.view);
        if let Some(kind) = export_menu(ui, &Format::ALL) {
            self.export(kind);
        }
        if ui
            .button("Save")
            .on_hover_text(
                "Writes concepts.json, which --open shows again, the report, and clusters for other programs",
            )
            .clicked()
        {
            self.wishes.push(Wish::Save);
        }
        if ui
            .button("Commands")
            .on_hover_text("The window's commands, by name: Ctrl+K")
            .clicked()
        {
            self.search.open();
        }
        self.exports.show(ui);
    }

    /// The table of layers, with the share of clusters aligned with a label set.
    fn layers(&mut self, ui: &mut Ui) {
        let (mut layer, mut set) = (self.layer, self.set);
        ui.add_space(4.0);
        let model = self.model();
        ui.horizontal(|ui| {
            ui.label(RichText::new(model.name()).strong());
            // What was left out, and how pairs of texts were read.
            if !model.notes.is_empty() {
                ui.label(RichText::new("notes").weak().underline())
                    .on_hover_text(model.notes.join("\n"));
            }
        });
        let mut cut = self.cut.clone();
        cut_fields(ui, &mut cut, self.shown(), model.words.words.len());
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
            Grid::new("layers").num_columns(4).spacing([18.0, 2.0]).show(ui, |ui| {
                for name in ["layer", "share", "chance", "judged"] {
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
                        let chance = row.aligned.chance;
                        let chance = chance.map(|chance| format!("{:.2} ± {:.2}", chance.mean, chance.deviation));
                        ui.label(chance.unwrap_or_default());
                        ui.label(format!("{} of {}", row.judged, found.clusters.len()))
                            .on_hover_text(format!("The share is that of {}.", model.align().judged()));
                    }
                    ui.end_row();
                }
            });
        });
        ui.separator();
        if cut != self.cut {
            self.cut = cut.clone();
            self.wishes.push(Wish::Cut(cut));
        }
        if set != self.set {
            self.align_with(set);
        }
        if layer != self.layer {
            self.go(self.model, layer);
        }
    }

    /// Shows shares of another label set.
    pub(crate) fn align_with(&mut self, set: usize) {
        self.set = set;
        self.table.invalidate();
    }

    fn clusters(&mut self, ui: &mut Ui) {
        let model = &self.study.models[self.model];
        let Some(layer) = model.layers.get(self.layer) else {
            ui.label("No layer is done yet.");
            return;
        };
        let mut judged = self.judged;
        ui.checkbox(&mut judged, model.align().judged());
        let (listed, set) = (&self.listed, self.set);
        let name = model.sets.get(set).map_or("", |set| set.name.as_str());
        let text = |row: usize, column: usize| {
            let cluster = &layer.clusters[listed[row]];
            match column {
                0 => cluster.name.text.clone(),
                1 => cluster.members.len().to_string(),
                2 => cluster.words.to_string(),
                _ => format!("{:.2}", cluster.share(set)),
            }
        };
        let chosen = listed.iter().position(|&listed| listed == self.cluster);
        let clicked = self
            .table
            .show(ui, &["cluster", "words", "distinct", name], listed.len(), chosen, text);
        if let Some(&cluster) = clicked.chosen.and_then(|row| self.listed.get(row)) {
            self.cluster = cluster;
            self.word = None;
            self.highlight();
        }
        if judged != self.judged {
            self.judged = judged;
            self.list();
        }
    }

    /// Shows the chosen cluster: labels, words, sentences. A click on a word shows its sentences alone, another one all again.
    fn words(&mut self, ui: &mut Ui) {
        let model = &self.study.models[self.model];
        let search = self.stage.map.view.shared.search.to_lowercase();
        if self.listed.is_empty() && !search.is_empty() {
            ui.label("No cluster matches the search.");
            return;
        }
        let Some(layer) = model.layers.get(self.layer) else {
            return;
        };
        let filter = cluster::Filter {
            word: self.word.as_deref(),
            search: &search,
        };
        if let Some(word) = cluster::show(ui, model, layer, self.cluster, &filter) {
            self.word = Some(word).filter(|word| self.word.as_ref() != Some(word));
        }
    }
}

/// Fields for the number of clusters, the threshold and the rule.
fn cut_fields(ui: &mut Ui, cut: &mut Cut, layer: Option<&ConceptLayer>, words: usize) {
    ui.horizontal(|ui| {
        ui.label("Clusters");
        // Before a layer is done nothing is known, and a field would clamp 0 to its least number.
        let found = layer.map_or(0, |layer| layer.clusters.len());
        let cuts = layer.is_none_or(|layer| layer.whole.is_some());
        let mut count = cut.clusters.unwrap_or(found).clamp(1, words.max(1));
        // What is dragged is taken over when it is let go: every number is some work.
        let field = DragValue::new(&mut count)
            .range(1..=words.max(1))
            .update_while_editing(false);
        let field = ui
            .add_enabled(cuts, field)
            .on_disabled_hover_text("This method has no tree to cut: start it with another number (--clusters)");
        let kept = ui.data(|data| data.get_temp::<usize>(field.id));
        if field.dragged() {
            ui.data_mut(|data| data.insert_temp(field.id, count));
        } else if field.drag_stopped() {
            cut.clusters = Some(kept.unwrap_or(count));
        } else if field.changed() {
            cut.clusters = Some(count);
        }
        ui.label("θ");
        let mut percent = (100.0 * cut.threshold).round() as u32;
        let field = ui.add(
            DragValue::new(&mut percent)
                .range(1..=100)
                .suffix(" %")
                .update_while_editing(false),
        );
        if field.changed() {
            cut.threshold = f64::from(percent) / 100.0;
        }
        let name = |rule: Rule| {
            Rule::ALL
                .iter()
                .find(|(own, _)| *own == rule)
                .map_or("", |(_, name)| name)
        };
        ComboBox::from_id_salt("rule")
            .selected_text(name(cut.rule))
            .show_ui(ui, |ui| {
                for (rule, name) in Rule::ALL {
                    ui.selectable_value(&mut cut.rule, rule, name);
                }
            });
    });
}

impl Cut {
    /// The alignment of a space that is cut so.
    pub(crate) fn align(&self, before: AlignParams) -> AlignParams {
        AlignParams {
            threshold: self.threshold,
            rule: self.rule.align(),
            ..before
        }
    }
}
