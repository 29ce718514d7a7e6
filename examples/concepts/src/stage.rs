//! The central pane: map, dendrogram, curves, comparisons, and sentences of the user's.

use std::collections::BTreeSet;

use attn_egui::{SceneView, egui_wgpu::RenderState};
use attn_sdk::{
    analyze::concepts::{Branches, ConceptStudy},
    render::{
        Error, Plot, Selection, Target, ViewState,
        camera::Camera,
        control::Event,
        plot::{Tooltip, deferred},
        plots::Dendrogram,
    },
};
use eframe::egui::{ComboBox, Frame, RichText, ScrollArea, Ui, vec2};
use serde::{Deserialize, Serialize};

use super::{
    browser::{Browser, Wish},
    changes::{self, Choice, choose_comparison},
    neurons, pictures,
};

/// Characters of context around a word in a tooltip.
const REACH: usize = 30;

/// Content of the central pane.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Tab {
    Map,
    Tree,
    Curves,
    Compared,
    Sweep,
    Layers,
    Changes,
    Polar,
    Neurons,
    Sentence,
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
    pub(crate) fn turn_to(&mut self, shows: String) {
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
    /// The chosen topic of a comparison.
    topic: usize,
    /// Whether the curves are those of the chosen label set alone.
    one: bool,
    /// Whether layers beside layers are compared by their clusters of one word.
    one_word: bool,
    pub(crate) choice: Choice,
    /// Toggled nodes of the dendrogram, and its visible branches.
    toggled: BTreeSet<usize>,
    grown: Option<(Branches, Dendrogram)>,
}

impl Stage {
    pub(crate) fn new(view: &ViewState, state: &RenderState) -> Self {
        Self {
            tab: Tab::Map,
            map: Picture::new(state, "map of clusters", view),
            tree: Picture::new(state, "dendrogram of clusters", view),
            chart: Picture::new(state, "curves over layers", view),
            topic: 0,
            one: false,
            one_word: false,
            choice: Choice::default(),
            toggled: BTreeSet::new(),
            grown: None,
        }
    }

    /// Draws everything anew: the study is another.
    pub(crate) fn renew(&mut self) {
        for picture in [&mut self.map, &mut self.tree, &mut self.chart] {
            picture.turn_to(String::new());
        }
        self.leave();
    }

    /// There is one more layer, in charts.
    pub(crate) fn redraw_charts(&mut self) {
        self.chart.turn_to(String::new());
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
            Tab::Curves | Tab::Sweep | Tab::Compared | Tab::Layers => Some(&self.chart),
            Tab::Changes | Tab::Polar | Tab::Neurons | Tab::Sentence => None,
        }
    }
}

/// A chart of the study.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Every label set in a chart of its own.
    Sets,
    /// One label set.
    Set(usize),
    /// All models by a topic.
    Topic(usize),
    /// Layers beside layers in a comparison, by their clusters of one word or the others.
    Layers(usize, bool),
    /// Numbers of clusters and thresholds of a layer, for a label set.
    Sweep(usize, usize),
}

fn chart(study: &ConceptStudy, model: usize, kind: Kind) -> Result<Box<dyn Plot>, Error> {
    let plot = || -> Option<Box<dyn Plot>> {
        let model = study.models.get(model)?;
        Some(match kind {
            Kind::Sets => Box::new(pictures::curves(study, model)?),
            Kind::Set(set) => Box::new(pictures::curve(study, model, set)?),
            Kind::Topic(topic) => Box::new(pictures::compared(study, study.topics().get(topic)?)?),
            Kind::Sweep(layer, set) => {
                let (layer, set) = (model.layers.get(layer)?, model.sets.get(set));
                // Sets that are not swept have no table: the first that is.
                let own = set.and_then(|set| layer.sweeps.iter().find(|sweep| sweep.label_set == set.name));
                Box::new(pictures::sweep(own.or(layer.sweeps.first())?, model, layer))
            }
            Kind::Layers(comparison, one_word) => {
                let comparison = study.comparisons.get(comparison)?;
                Box::new(pictures::layers_beside(study, comparison, one_word)?)
            }
        })
    };
    plot().ok_or_else(|| Error::host("there is none yet, or none of this layer"))
}

impl Browser {
    /// The tabs that the study has something for, with their names.
    pub(crate) fn tabs_there(&self) -> Vec<(Tab, &'static str)> {
        let (topics, compared) = (self.study.topics(), !self.study.comparisons.is_empty());
        let layers = || self.study.models.iter().flat_map(|model| &model.layers);
        let all = [
            (Tab::Map, "Map", true),
            (Tab::Tree, "Dendrogram", true),
            (Tab::Curves, "Curves", true),
            (Tab::Sweep, "Numbers", layers().any(|own| !own.sweeps.is_empty())),
            (Tab::Compared, "Comparison", compared && !topics.is_empty()),
            (Tab::Layers, "Layers", compared),
            (Tab::Changes, "Changes", compared),
            (Tab::Polar, "Polar", self.study.classes.is_some()),
            (Tab::Neurons, "Neurons", layers().any(|own| !own.neurons.is_empty())),
            (Tab::Sentence, "Prediction", true),
        ];
        let there = all.into_iter().filter(|(.., there)| *there);
        there.map(|(tab, name, _)| (tab, name)).collect()
    }

    pub(crate) fn tabs(&mut self, ui: &mut Ui) {
        let (topics, there) = (self.study.topics(), self.tabs_there());
        let stage = &mut self.stage;
        if there.iter().all(|(tab, _)| *tab != stage.tab) {
            stage.tab = Tab::Map;
        }
        for (tab, name) in there {
            ui.selectable_value(&mut stage.tab, tab, name);
        }
        match stage.tab {
            Tab::Curves => {
                ui.checkbox(&mut stage.one, "chosen labels only");
            }
            Tab::Compared => {
                stage.topic = stage.topic.min(topics.len().saturating_sub(1));
                let name = topics.get(stage.topic).map_or("", String::as_str);
                let chosen = ComboBox::from_id_salt("topic").selected_text(name);
                chosen.show_ui(ui, |ui| {
                    for (at, name) in topics.iter().enumerate() {
                        ui.selectable_value(&mut stage.topic, at, name.as_str());
                    }
                });
            }
            Tab::Layers => {
                choose_comparison(ui, &self.study, &mut stage.choice.comparison);
                ui.checkbox(&mut stage.one_word, "clusters of one word");
            }
            _ => {}
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
            Tab::Curves | Tab::Sweep | Tab::Compared | Tab::Layers => self.chart(ui),
            Tab::Changes => {
                let search = self.stage.map.view.shared.search.to_lowercase();
                let Self { study, stage, .. } = self;
                let list = |ui: &mut Ui| changes::show(ui, study, &mut stage.choice, &search);
                let goal = Frame::NONE.inner_margin(16.0).show(ui, list).inner;
                self.visit(goal);
            }
            Tab::Polar => {
                let list = |ui: &mut Ui| changes::polar(ui, &self.study, self.model, self.layer);
                let goal = Frame::NONE.inner_margin(16.0).show(ui, list).inner;
                self.visit(goal);
            }
            Tab::Neurons => {
                let list = |ui: &mut Ui| neurons::show(ui, &self.study.models[self.model], self.layer, self.set);
                Frame::NONE.inner_margin(16.0).show(ui, list);
            }
            Tab::Sentence => {
                let goal = Frame::NONE.inner_margin(16.0).show(ui, |ui| self.sentence(ui)).inner;
                self.visit(goal);
            }
        }
        // The theme's key works in every plot.
        let changed = self.stage.picture().map(|picture| picture.view.shared.theme);
        self.stage.map.view.shared.theme = changed.unwrap_or(theme);
    }

    /// The map; a click on a word shows its cluster.
    fn map(&mut self, ui: &mut Ui) {
        let model = &self.study.models[self.model];
        let Some(layer) = model.layers.get(self.layer).filter(|layer| !layer.map.is_empty()) else {
            ui.label("There is no map: too few words, left out (--no-map), or no layer yet.");
            return;
        };
        let picture = &mut self.stage.map;
        picture.turn_to(format!("{} {}", self.model, self.layer));
        let words = |target: Target| -> Option<Tooltip> {
            let Target::Point(pick) = target else { return None };
            let id = pick.id as usize;
            let word = model.words.words.get(id)?;
            let cluster = layer.partition.cluster(id);
            let name = cluster.map_or("no cluster", |cluster| layer.clusters[cluster].name.text.as_str());
            let mut tip = Tooltip::new(&word.text).line(name);
            // Of a method whose clusters overlap.
            if let Some(shares) = layer.membership.get(id).filter(|shares| shares.len() > 1) {
                let part = |&(cluster, share): &(usize, f32)| {
                    let name = layer
                        .clusters
                        .get(cluster)
                        .map_or("", |cluster| cluster.name.text.as_str());
                    format!("{:.0} % {name}", 100.0 * share)
                };
                tip = tip.line(shares.iter().take(3).map(part).collect::<Vec<_>>().join("; "));
            }
            if let Some(excerpt) = model.excerpt(id, REACH) {
                tip = tip.line(excerpt.concat());
            }
            Some(tip)
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
        let Some(layer) = model.layers.get(self.layer) else {
            return;
        };
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
            match pictures::reachability(model, layer) {
                Some(plot) => {
                    let picture = &mut stage.tree;
                    picture.turn_to(format!("reachability {} {}", self.model, self.layer));
                    picture.widget.show(ui, &mut picture.view, &plot);
                }
                None => {
                    ui.label("This clustering method has no dendrogram.");
                }
            }
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

    /// The curves, or the layers beside layers; a click on a cell of these shows its row's layer.
    fn chart(&mut self, ui: &mut Ui) {
        if self.shown().is_none() {
            ui.label("No layer is done yet.");
            return;
        }
        let (kind, model) = (self.chart_kind(), self.model);
        let comparison = self.study.comparisons.get(self.stage.choice.comparison);
        let (study, picture) = (&self.study, &mut self.stage.chart);
        picture.turn_to(format!("{model} {kind:?}"));
        let table = comparison.filter(|_| matches!(kind, Kind::Layers(..)));
        let words = |target: Target| match kind {
            Kind::Layers(_, one_word) => pictures::layers_beside(study, table?, one_word)?.tooltip(target),
            Kind::Sweep(..) => chart(study, model, kind).ok()?.tooltip(target),
            _ => None,
        };
        let plot = deferred(|_| chart(study, model, kind)).tooltips(words);
        let shown = picture.widget.show(ui, &mut picture.view, &plot);
        let hit = clicked(&shown.events);
        if let (Kind::Sweep(layer, _), Some(cell)) = (kind, hit) {
            let sweep = study
                .models
                .get(model)
                .and_then(|model| model.layers.get(layer)?.sweeps.first());
            if let Some((sweep, columns)) = sweep.map(|sweep| (sweep, sweep.thresholds.len().max(1)))
                && let (Some(&count), Some(&threshold)) =
                    (sweep.clusters.get(cell / columns), sweep.thresholds.get(cell % columns))
            {
                self.cut.clusters = Some(count);
                self.cut.threshold = threshold;
                self.wishes.push(Wish::Cut(self.cut.clone()));
            }
            return;
        }
        let goal = hit.zip(table).and_then(|(cell, comparison)| {
            let columns = comparison.between.first().map_or(1, Vec::len).max(1);
            Some((
                comparison.before,
                study.models.get(comparison.before)?.layers.get(cell / columns)?.layer,
            ))
        });
        if let Some((model, layer)) = goal {
            self.show_layer(model, layer);
        }
    }

    fn chart_kind(&self) -> Kind {
        match self.stage.tab {
            Tab::Compared => Kind::Topic(self.stage.topic),
            Tab::Layers => Kind::Layers(self.stage.choice.comparison, self.stage.one_word),
            Tab::Sweep => Kind::Sweep(self.layer, self.set),
            _ if self.stage.one => Kind::Set(self.set),
            _ => Kind::Sets,
        }
    }

    /// The shown plot, for export.
    pub(crate) fn plot(&self) -> Option<Box<dyn Plot + '_>> {
        let (model, stage) = (self.model(), &self.stage);
        let layer = model.layers.get(self.layer)?;
        Some(match stage.tab {
            Tab::Map => Box::new(deferred(|_| pictures::map(model, layer))),
            Tab::Tree => Box::new(&stage.grown.as_ref()?.1),
            Tab::Curves | Tab::Sweep | Tab::Compared | Tab::Layers => {
                let (study, model, kind) = (&self.study, self.model, self.chart_kind());
                Box::new(deferred(move |_| chart(study, model, kind)))
            }
            Tab::Changes | Tab::Polar | Tab::Neurons | Tab::Sentence => return None,
        })
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
