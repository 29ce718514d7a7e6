//! The cluster browser: layers, clusters, their words in their sentences, and the pictures beside them.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
};

use attn_sdk::render::{Theme, View};
use eframe::egui::{self, RichText, text::LayoutJob};

use super::{
    canvas::Canvas,
    pictures::{self, Tree},
    report::number,
    study::{Corpus, Encoded, Layer, Study},
};

/// Sentences shown of one cluster.
const SENTENCES: usize = 200;

/// The order of the list of clusters.
#[derive(Clone, Copy, PartialEq)]
enum Sort {
    Size,
    Alignment,
    Name,
}

impl Sort {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Size, "size"),
        (Self::Alignment, "alignment"),
        (Self::Name, "name"),
    ];

    fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(sort, _)| *sort == self)
            .map_or("", |(_, name)| name)
    }
}

/// What is drawn beside the cluster.
#[derive(Clone, Copy, PartialEq)]
enum Tab {
    Map,
    Tree,
    Curves,
    Compared,
}

struct Browser {
    study: Study,
    corpus: Corpus,
    view: View,
    canvas: Canvas,
    model: usize,
    layer: usize,
    cluster: usize,
    set: usize,
    sort: Sort,
    search: String,
    tab: Tab,
    topic: usize,
    /// Nodes of the tree that were clicked.
    toggled: BTreeSet<usize>,
    /// The clusters that are listed.
    listed: Vec<usize>,
}

pub(crate) fn open(study: Study, corpus: Corpus, view: View) -> Result<(), Box<dyn Error>> {
    let mut browser = Browser {
        layer: study.models[0].layers.len().saturating_sub(1),
        study,
        corpus,
        view,
        canvas: Canvas::new()?,
        model: 0,
        cluster: 0,
        set: 0,
        sort: Sort::Size,
        search: String::new(),
        tab: Tab::Map,
        topic: 0,
        toggled: BTreeSet::new(),
        listed: Vec::new(),
    };
    browser.list();
    browser.cluster = browser.listed.first().copied().unwrap_or(0);
    let options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default().with_inner_size([1500.0, 900.0]),
        ..eframe::NativeOptions::default()
    };
    eframe::run_native("Latent concepts", options, Box::new(|_| Ok(Box::new(browser))))?;
    Ok(())
}

impl eframe::App for Browser {
    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        let theme = match self.view.theme {
            Theme::Light => egui::Theme::Light,
            Theme::Dark => egui::Theme::Dark,
        };
        ui.ctx().set_theme(theme);
        egui::Panel::left("layers")
            .default_size(180.0)
            .show(ui, |ui| self.layers(ui));
        egui::Panel::left("clusters")
            .default_size(330.0)
            .show(ui, |ui| self.clusters(ui));
        egui::Panel::right("pictures")
            .default_size(560.0)
            .show(ui, |ui| self.pictures(ui));
        egui::CentralPanel::default().show(ui, |ui| self.words(ui));
    }
}

impl Browser {
    fn model(&self) -> &Encoded {
        &self.study.models[self.model]
    }

    fn shown(&self) -> &Layer {
        &self.model().layers[self.layer]
    }

    /// Goes to another model or layer: its clusters have nothing to do with those before.
    fn go(&mut self, model: usize, layer: usize) {
        (self.model, self.layer) = (model, layer);
        self.toggled.clear();
        self.set = self.set.min(self.model().sets.len().saturating_sub(1));
        self.list();
        self.cluster = self.listed.first().copied().unwrap_or(0);
    }

    /// Finds and orders the clusters that the search asks for, by their name or any of their words.
    fn list(&mut self) {
        let (layer, words, wanted) = (self.shown(), &self.model().words.words, self.search.to_lowercase());
        let has = |text: &str| text.to_lowercase().contains(&wanted);
        let mut listed: Vec<usize> = (0..layer.clusters.len()).collect();
        listed.retain(|&at| {
            let cluster = &layer.clusters[at];
            has(&cluster.name.text) || cluster.members.iter().any(|&word| has(&words[word].text))
        });
        let share = |at: usize| {
            layer.clusters[at]
                .labels
                .get(self.set)
                .and_then(|best| best.as_ref())
                .map_or(0.0, |best| best.share)
        };
        let size = |at: usize| layer.clusters[at].members.len();
        match self.sort {
            Sort::Size => listed.sort_by_key(|&at| std::cmp::Reverse(size(at))),
            Sort::Alignment => listed.sort_by(|&a, &b| share(b).total_cmp(&share(a)).then(size(b).cmp(&size(a)))),
            Sort::Name => listed.sort_by_key(|&at| layer.clusters[at].name.text.to_lowercase()),
        }
        self.listed = listed;
    }

    fn layers(&mut self, ui: &mut egui::Ui) {
        let (mut model, mut layer, mut set) = (self.model, self.layer, self.set);
        ui.add_space(6.0);
        ui.heading("Layers");
        if self.study.models.len() > 1 {
            for (at, encoded) in self.study.models.iter().enumerate() {
                ui.radio_value(&mut model, at, encoded.model.as_str());
            }
        } else {
            ui.label(&self.model().model);
        }
        ui.add_space(4.0);
        ui.label("aligned with");
        let sets: Vec<&str> = self.model().sets.iter().map(|set| set.name.as_str()).collect();
        egui::ComboBox::from_id_salt("set")
            .selected_text(sets[set])
            .show_ui(ui, |ui| {
                for (at, name) in sets.iter().enumerate() {
                    ui.selectable_value(&mut set, at, *name);
                }
            });
        ui.add_space(4.0);
        for (at, found) in self.model().layers.iter().enumerate() {
            let name = if found.layer == 0 {
                "embeddings".to_owned()
            } else {
                format!("layer {}", found.layer)
            };
            let share = found.rows.get(set).map_or(0.0, |row| row.aligned.value);
            if ui
                .selectable_label(at == layer, format!("{name}: {share:.2}"))
                .clicked()
            {
                layer = at;
            }
        }
        ui.add_space(8.0);
        ui.label(RichText::new("In brackets: by chance").weak());
        let rows: Vec<String> = self
            .shown()
            .rows
            .iter()
            .map(|row| format!("{}\n{}", row.label_set, number(&row.aligned)))
            .collect();
        egui::ScrollArea::vertical().id_salt("rows").show(ui, |ui| {
            for row in rows {
                ui.small(row);
            }
        });
        if set != self.set {
            self.set = set;
            self.list();
        }
        let layer = layer.min(self.study.models[model].layers.len().saturating_sub(1));
        if (model, layer) != (self.model, self.layer) {
            self.go(model, layer);
        }
    }

    fn clusters(&mut self, ui: &mut egui::Ui) {
        ui.add_space(6.0);
        ui.heading(format!(
            "{} of {} clusters",
            self.listed.len(),
            self.shown().clusters.len()
        ));
        let (search, sort) = (self.search.clone(), self.sort);
        ui.horizontal(|ui| {
            ui.add(
                egui::TextEdit::singleline(&mut self.search)
                    .hint_text("search words")
                    .desired_width(160.0),
            );
            let chosen = egui::ComboBox::from_id_salt("sort").selected_text(format!("by {}", self.sort.name()));
            chosen.show_ui(ui, |ui| {
                for (sort, name) in Sort::ALL {
                    ui.selectable_value(&mut self.sort, sort, format!("by {name}"));
                }
            });
        });
        if search != self.search || sort != self.sort {
            self.list();
        }
        ui.separator();
        let mut chosen = self.cluster;
        let height = ui.spacing().interact_size.y;
        egui::ScrollArea::vertical()
            .id_salt("list")
            .auto_shrink(false)
            .show_rows(ui, height, self.listed.len(), |ui, rows| {
                for &at in &self.listed[rows] {
                    let cluster = &self.shown().clusters[at];
                    let size = cluster.members.len();
                    let text = format!("{size:>4}  {}", cluster.name.text);
                    let row = egui::Button::selectable(at == chosen, text).truncate();
                    if ui.add(row).clicked() {
                        chosen = at;
                    }
                }
            });
        self.cluster = chosen;
    }

    /// The chosen cluster: labels, words, sentences.
    fn words(&self, ui: &mut egui::Ui) {
        let (model, layer) = (self.model(), self.shown());
        let Some(cluster) = layer.clusters.get(self.cluster) else {
            return;
        };
        ui.heading(&cluster.name.text);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for &word in &cluster.members {
            *counts.entry(&model.words.words[word].text).or_default() += 1;
        }
        let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        ui.label(format!(
            "{} occurrences of {} words",
            cluster.members.len(),
            counts.len()
        ));
        ui.add_space(4.0);
        egui::Grid::new("labels").num_columns(3).striped(true).show(ui, |ui| {
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
            for (word, count) in counts.iter().take(60) {
                ui.label(RichText::new(*word).strong());
                ui.label(RichText::new(count.to_string()).weak());
            }
            if counts.len() > 60 {
                ui.label(format!("and {} more", counts.len() - 60));
            }
        });
        ui.separator();
        egui::ScrollArea::vertical()
            .id_salt("sentences")
            .auto_shrink(false)
            .show(ui, |ui| {
                for &member in cluster.members.iter().take(SENTENCES) {
                    let word = &model.words.words[member];
                    let sentence = &self.corpus.text.sentences[word.sentence];
                    let (start, end) = sentence.words[word.index].span;
                    ui.label(marked(ui, &sentence.text, start, end));
                    ui.add_space(2.0);
                }
                if cluster.members.len() > SENTENCES {
                    ui.label(format!("and {} more", cluster.members.len() - SENTENCES));
                }
            });
    }

    fn pictures(&mut self, ui: &mut egui::Ui) {
        ui.add_space(6.0);
        let topics = pictures::topics(&self.study);
        ui.horizontal(|ui| {
            let mut tabs = vec![(Tab::Map, "Map"), (Tab::Tree, "Tree"), (Tab::Curves, "Curves")];
            if !topics.is_empty() {
                tabs.push((Tab::Compared, "Both models"));
            }
            for (tab, name) in tabs {
                ui.selectable_value(&mut self.tab, tab, name);
            }
            if self.tab == Tab::Compared {
                egui::ComboBox::from_id_salt("topic")
                    .selected_text(topics[self.topic].as_str())
                    .show_ui(ui, |ui| {
                        for (at, name) in topics.iter().enumerate() {
                            ui.selectable_value(&mut self.topic, at, name.as_str());
                        }
                    });
            }
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let (name, other) = match self.view.theme {
                    Theme::Light => ("Dark", Theme::Dark),
                    Theme::Dark => ("Light", Theme::Light),
                };
                if ui.button(name).clicked() {
                    self.view.theme = other;
                }
            });
        });
        let drawn = match self.tab {
            Tab::Map => self.map(ui),
            Tab::Tree => self.tree(ui),
            Tab::Curves => self.charts(ui, None),
            Tab::Compared => self.charts(ui, Some(&topics[self.topic])),
        };
        if let Err(error) = drawn {
            ui.colored_label(ui.visuals().error_fg_color, error.to_string());
        }
    }

    fn key(&self, what: impl std::fmt::Display) -> String {
        format!("{what} {} {} {:?}", self.model, self.layer, self.view.theme)
    }

    /// A click on a word goes to its cluster.
    fn map(&mut self, ui: &mut egui::Ui) -> Result<(), Box<dyn Error>> {
        if self.shown().map.is_empty() {
            ui.label("Too few words for a map.");
            return Ok(());
        }
        let key = self.key(format_args!("map {}", self.cluster));
        let (model, layer) = (
            &self.study.models[self.model],
            &self.study.models[self.model].layers[self.layer],
        );
        let scene = |size| pictures::map(model, layer, Some(self.cluster), &self.view, size);
        let clicked = self.canvas.show(ui, &key, ui.available_size(), &self.view, scene)?;
        if let Some(&cluster) = clicked.and_then(|word| layer.partition.of().get(word as usize)) {
            self.cluster = cluster;
        }
        Ok(())
    }

    /// A click on a branch opens it, one where two meet closes them.
    fn tree(&mut self, ui: &mut egui::Ui) -> Result<(), Box<dyn Error>> {
        ui.label(RichText::new("Click a name to open its branch, a joint to close it.").weak());
        let key = self.key(format_args!("tree {:?}", self.toggled));
        let (model, layer) = (
            &self.study.models[self.model],
            &self.study.models[self.model].layers[self.layer],
        );
        let tree = Tree::new(model, layer, &self.toggled)?;
        let size = egui::vec2(ui.available_width(), tree.natural_size()[1]);
        let area = egui::ScrollArea::vertical().id_salt("tree").auto_shrink(false);
        let shown = area.show(ui, |ui| {
            let scene = |size| tree.scene(model, layer, &self.view, Some(size));
            self.canvas.show(ui, &key, size, &self.view, scene)
        });
        let Some(id) = shown.inner? else { return Ok(()) };
        let Some(&node) = tree.top.nodes.get(id as usize) else {
            return Ok(());
        };
        if let Some(first) = tree.top.partition.of().iter().position(|&branch| branch == id as usize) {
            self.cluster = layer.partition.of()[first];
        }
        // A single word has nothing to open.
        if node >= layer.whole.points() && !self.toggled.remove(&node) {
            self.toggled.insert(node);
        }
        Ok(())
    }

    fn charts(&mut self, ui: &mut egui::Ui, topic: Option<&str>) -> Result<(), Box<dyn Error>> {
        let key = self.key(format_args!("curves {topic:?}"));
        let study = &self.study;
        let missing = || -> Box<dyn Error> { "no curves: the layers do not ascend".into() };
        let scene = |size| match topic {
            None => pictures::curves(study, &study.models[self.model], &self.view, size)?.ok_or_else(missing),
            Some(topic) => pictures::compared(study, topic, &self.view, size)?.ok_or_else(missing),
        };
        let size = egui::vec2(ui.available_width(), ui.available_height().min(520.0));
        self.canvas.show(ui, &key, size, &self.view, scene)?;
        Ok(())
    }
}

/// A sentence with one word on a coloured ground.
fn marked(ui: &egui::Ui, text: &str, start: usize, end: usize) -> LayoutJob {
    let visuals = ui.visuals();
    let font = egui::TextStyle::Body.resolve(ui.style());
    let plain = egui::TextFormat::simple(font.clone(), visuals.text_color());
    let word = egui::TextFormat {
        background: visuals.selection.bg_fill,
        ..egui::TextFormat::simple(font, visuals.strong_text_color())
    };
    let mut job = LayoutJob::default();
    job.append(&text[..start], 0.0, plain.clone());
    job.append(&text[start..end], 0.0, word);
    job.append(&text[end..], 0.0, plain);
    job
}
