//! The central pane: map, dendrogram, curves, comparison, and attribution of a prediction.

use std::collections::BTreeSet;

use attn_egui::{SceneView, egui_wgpu::RenderState};
use attn_sdk::{
    analyze::concepts::{Branches, ConceptSpace, ConceptStudy},
    render::{
        Camera, Error, Event, Plot, Selection, Target, Tooltip, ViewState, deferred,
        plots::{Dendrogram, Lines},
    },
};
use eframe::egui::{ComboBox, Frame, Grid, RichText, ScrollArea, Ui, vec2};

use super::{browser::Browser, pictures};

/// Characters of context around a word in a tooltip.
const REACH: usize = 30;

/// Content of the central pane.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Tab {
    Map,
    Tree,
    Curves,
    Compared,
    Prediction,
}

/// A plot with its widget and view state.
pub(crate) struct Picture {
    pub(crate) widget: SceneView,
    pub(crate) view: ViewState,
    shows: String,
}

impl Picture {
    fn new(state: &RenderState, label: &str, view: &ViewState) -> Self {
        Self {
            widget: SceneView::new(state, label),
            view: view.clone(),
            shows: String::new(),
        }
    }

    /// Switches to another plot of the same kind, whose points are others.
    fn turn_to(&mut self, shows: String) {
        if self.shows != shows {
            self.shows = shows;
            self.widget.invalidate();
            self.view.selection = None;
        }
    }
}

/// The plots. The map's view state has the theme and the search of the window.
pub(crate) struct Stage {
    pub(crate) tab: Tab,
    pub(crate) map: Picture,
    tree: Picture,
    chart: Picture,
    /// Topics of a comparison of two models, and the chosen one.
    topics: Vec<String>,
    topic: usize,
    /// Toggled nodes of the dendrogram, and its visible branches.
    toggled: BTreeSet<usize>,
    grown: Option<(Branches, Dendrogram)>,
}

impl Stage {
    pub(crate) fn new(study: &ConceptStudy, view: &ViewState, state: &RenderState) -> Self {
        Self {
            tab: Tab::Map,
            map: Picture::new(state, "map of clusters", view),
            tree: Picture::new(state, "dendrogram of clusters", view),
            chart: Picture::new(state, "curves over layers", view),
            topics: study.topics(),
            topic: 0,
            toggled: BTreeSet::new(),
            grown: None,
        }
    }

    /// Clears the state of a layer.
    pub(crate) fn leave(&mut self) {
        self.toggled.clear();
        self.grown = None;
        self.map.view.shared.selected = Selection::default();
        self.map.view.inside = Camera::default();
    }

    /// The shown plot.
    pub(crate) fn picture(&self) -> Option<&Picture> {
        match self.tab {
            Tab::Map => Some(&self.map),
            Tab::Tree => Some(&self.tree),
            Tab::Curves | Tab::Compared => Some(&self.chart),
            Tab::Prediction => None,
        }
    }
}

/// The curves of a model, or of both by a topic.
fn chart(study: &ConceptStudy, model: &ConceptSpace, topic: Option<&str>) -> Result<Lines, Error> {
    let lines = match topic {
        None => pictures::curves(study, model),
        Some(topic) => pictures::compared(study, topic),
    };
    lines.ok_or_else(|| Error::host("no curves: the layers do not ascend"))
}

impl Browser {
    pub(crate) fn tabs(&mut self, ui: &mut Ui) {
        let predicts = self.model().explanation.is_some();
        let stage = &mut self.stage;
        for (tab, name, there) in [
            (Tab::Map, "Map", true),
            (Tab::Tree, "Dendrogram", true),
            (Tab::Curves, "Curves", true),
            (Tab::Compared, "Comparison", !stage.topics.is_empty()),
            (Tab::Prediction, "Prediction", predicts),
        ] {
            if there {
                ui.selectable_value(&mut stage.tab, tab, name);
            } else if stage.tab == tab {
                stage.tab = Tab::Map;
            }
        }
        if stage.tab == Tab::Compared {
            let chosen = ComboBox::from_id_salt("topic").selected_text(stage.topics[stage.topic].as_str());
            chosen.show_ui(ui, |ui| {
                for (at, name) in stage.topics.iter().enumerate() {
                    ui.selectable_value(&mut stage.topic, at, name.as_str());
                }
            });
        }
    }

    pub(crate) fn picture(&mut self, ui: &mut Ui) {
        let theme = self.stage.map.view.shared.theme;
        for picture in [&mut self.stage.tree, &mut self.stage.chart] {
            picture.view.shared.theme = theme;
        }
        match self.stage.tab {
            Tab::Map => self.map(ui),
            Tab::Tree => self.tree(ui),
            Tab::Curves | Tab::Compared => self.curves(ui),
            Tab::Prediction => self.prediction(ui),
        }
        // The theme's key works in every plot.
        let changed = self.stage.picture().map(|picture| picture.view.shared.theme);
        self.stage.map.view.shared.theme = changed.unwrap_or(theme);
    }

    /// The map; a click on a word shows its cluster.
    fn map(&mut self, ui: &mut Ui) {
        if self.shown().map.is_empty() {
            ui.label("Too few words for a map.");
            return;
        }
        let model = &self.study.models[self.model];
        let layer = &model.layers[self.layer];
        let picture = &mut self.stage.map;
        picture.turn_to(format!("{} {}", self.model, self.layer));
        let words = |target: Target| -> Option<Tooltip> {
            let Target::Point(pick) = target else { return None };
            let id = pick.id as usize;
            let word = model.words.words.get(id)?;
            let cluster = layer.partition.cluster(id);
            let name = cluster.map_or("no cluster", |cluster| layer.clusters[cluster].name.text.as_str());
            let excerpt = model.excerpt(id, REACH)?;
            Some(Tooltip::new(&word.text).line(name).line(excerpt.concat()))
        };
        let map = deferred(|_| pictures::map(model, layer)).tooltips(words);
        let shown = picture.widget.show(ui, &mut picture.view, &map);
        if let Some(cluster) = clicked(&shown.events).and_then(|word| layer.partition.cluster(word)) {
            self.choose(cluster);
        }
    }

    /// The dendrogram; a click on a name opens a branch, one on a joint closes it.
    fn tree(&mut self, ui: &mut Ui) {
        let model = &self.study.models[self.model];
        let layer = &model.layers[self.layer];
        let stage = &mut self.stage;
        ui.add_space(6.0);
        ui.label(RichText::new("   Click a name to open its branch, a joint to close it.").weak());
        if stage.grown.is_none() {
            match model.branches(self.layer, pictures::BRANCHES, &stage.toggled) {
                Ok(branches) => {
                    stage.grown = branches.map(|branches| {
                        let plot = pictures::tree(&branches, model, layer);
                        (branches, plot)
                    });
                }
                Err(error) => {
                    ui.label(error.to_string());
                    return;
                }
            }
        }
        let (Some((tree, plot)), Some(whole)) = (&stage.grown, &layer.whole) else {
            ui.label("This clustering method has no dendrogram.");
            return;
        };
        let picture = &mut stage.tree;
        picture.turn_to(format!("{} {} {:?}", self.model, self.layer, stage.toggled));
        let area = ScrollArea::vertical().id_salt("tree").auto_shrink(false);
        let shown = area.show(ui, |ui| {
            let size = vec2(ui.available_width(), plot.natural_size()[1]);
            ui.allocate_ui(size, |ui| picture.widget.show(ui, &mut picture.view, plot))
                .inner
        });
        let Some(id) = clicked(&shown.inner.events) else { return };
        let Some(&node) = tree.top.nodes.get(id) else { return };
        let first = tree.top.partition.of().iter().position(|&branch| branch == Some(id));
        let cluster = first.and_then(|word| layer.partition.cluster(word));
        // A single word has nothing to open.
        if node >= whole.points() {
            if !stage.toggled.remove(&node) {
                stage.toggled.insert(node);
            }
            stage.grown = None;
        }
        if let Some(cluster) = cluster {
            self.choose(cluster);
        }
    }

    fn curves(&mut self, ui: &mut Ui) {
        let stage = &mut self.stage;
        let topic = (stage.tab == Tab::Compared).then(|| stage.topics[stage.topic].as_str());
        let (study, picture) = (&self.study, &mut stage.chart);
        let model = &study.models[self.model];
        picture.turn_to(format!("{} {topic:?}", self.model));
        let chart = deferred(|_| chart(study, model, topic));
        let height = ui.available_height().min(620.0);
        ui.allocate_ui(vec2(ui.available_width(), height), |ui| {
            picture.widget.show(ui, &mut picture.view, &chart)
        });
    }

    /// The shown plot, for export.
    pub(crate) fn plot(&self) -> Option<Box<dyn Plot + '_>> {
        let (model, stage) = (&self.study.models[self.model], &self.stage);
        let layer = &model.layers[self.layer];
        Some(match stage.tab {
            Tab::Map => Box::new(deferred(|_| pictures::map(model, layer))),
            Tab::Tree => Box::new(&stage.grown.as_ref()?.1),
            Tab::Curves => Box::new(deferred(|_| chart(&self.study, model, None))),
            Tab::Compared => {
                let topic = stage.topics[stage.topic].as_str();
                Box::new(deferred(move |_| chart(&self.study, model, Some(topic))))
            }
            Tab::Prediction => return None,
        })
    }

    /// The attribution of a prediction to clusters; a click shows a cluster.
    fn prediction(&mut self, ui: &mut Ui) {
        let chosen = Frame::NONE.inner_margin(16.0).show(ui, |ui| self.carried(ui)).inner;
        if let Some(cluster) = chosen {
            self.choose(cluster);
        }
    }

    fn carried(&self, ui: &mut Ui) -> Option<usize> {
        let mut chosen = None;
        let (model, layer) = (self.model(), self.shown());
        let found = model.explanation.as_ref()?;
        let carried = found.layers.get(self.layer)?;
        ScrollArea::vertical().id_salt("prediction").auto_shrink(false).show(ui, |ui| {
            ui.add_space(8.0);
            ui.heading(format!("{} ({:.1} %), not {}", found.class, 100.0 * found.probability, found.against));
            ui.label(&model.text.sentences[found.sentence].text);
            ui.add_space(8.0);
            ui.label(format!(
                "Attribution to clusters of layer {}: integrated gradients of the difference of the two logits at the states of this \
                 layer, summed over the words of each cluster. Positive weights support {}.",
                layer.layer, found.class
            ));
            ui.add_space(8.0);
            Grid::new("carried").num_columns(4).striped(true).spacing([18.0, 4.0]).show(ui, |ui| {
                for name in ["weight", "share", "cluster", "words in this sentence"] {
                    ui.label(RichText::new(name).strong());
                }
                ui.end_row();
                for part in &carried.clusters {
                    ui.label(format!("{:+.2}", part.weight));
                    ui.label(format!("{:.0} %", 100.0 * part.share));
                    if ui.link(&layer.clusters[part.cluster].name.text).clicked() {
                        chosen = Some(part.cluster);
                    }
                    let words: Vec<&str> = part.words.iter().map(|&word| found.words.words[word].text.as_str()).collect();
                    ui.label(words.join(", "));
                    ui.end_row();
                }
                for token in &carried.special {
                    ui.label(format!("{:+.2}", token.weight));
                    ui.label(format!("{:.0} %", 100.0 * token.share));
                    ui.label(&token.text);
                    ui.end_row();
                }
                ui.label("");
                ui.label(format!("{:.0} %", 100.0 * carried.outside));
                ui.label("no cluster");
                ui.end_row();
            });
        });
        chosen
    }
}

/// What was clicked last.
fn clicked(events: &[Event]) -> Option<usize> {
    let picked = events.iter().rev().find_map(|event| match event {
        Event::SelectPoint(Some(pick)) => Some(pick.id),
        _ => None,
    });
    picked.map(|id| id as usize)
}
