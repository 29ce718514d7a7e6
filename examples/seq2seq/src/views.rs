//! The plots of a run. A token under the pointer is highlighted in attention, predictions, beam tree, states, pictograms and
//! coverage.

use attn_egui::{Jobs, SceneView, egui_wgpu::RenderState};
use attn_sdk::{
    render::{Error, Event, Interaction, Pick, Plot, ViewState, deferred},
    study::decoding::{Comparison, Decoding, FlowOptions, StateKind},
};
use eframe::egui::{RichText, ScrollArea, Ui, vec2};

use crate::{near::NearList, studio::Studio, window::News};

/// Content of the lower pane.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Tab {
    Beam,
    States,
    Pictograms,
    Heads,
    Curves,
    Coverage,
    Change,
    Blame,
}

/// A token of the source or of the target.
#[derive(Clone, Copy, PartialEq)]
enum Token {
    Source(usize),
    Target(usize),
}

struct Picture {
    widget: SceneView,
    view: ViewState,
}

impl Picture {
    fn new(state: &RenderState, label: &str, view: &ViewState) -> Self {
        Self {
            widget: SceneView::new(state, label),
            view: view.clone(),
        }
    }

    /// Shows a plot with the theme of the window and a highlighted item; returns what was clicked, and what is under the pointer.
    fn show(
        &mut self,
        ui: &mut Ui,
        shared: &ViewState,
        marked: Option<u32>,
        plot: &dyn Plot,
    ) -> (Option<u32>, Option<u32>) {
        self.view.shared.clone_from(&shared.shared);
        let pick = marked.map(|id| Pick { head: None, id });
        self.view.selection = pick;
        let shown = self.widget.show(ui, &mut self.view, plot);
        let clicked = shown.events.iter().rev().find_map(|event| match event {
            Event::SelectPoint(Some(pick)) => Some(pick.id),
            _ => None,
        });
        let hovered = if shown.response.hovered() {
            self.widget.interaction().pick
        } else {
            None
        };
        if !shown.response.hovered() {
            self.widget.set_interaction(Interaction {
                pick,
                ..Interaction::default()
            });
        }
        (clicked, hovered.map(|pick| pick.id))
    }
}

pub(crate) struct Views {
    /// Theme of all plots.
    pub(crate) view: ViewState,
    pub(crate) tab: Tab,
    flow: Picture,
    predictions: Picture,
    lower: Picture,
    other: Picture,
    /// What is under the pointer.
    token: Option<Token>,
    /// A neighbor under the pointer: its place among those that are drawn.
    neighbor: Option<usize>,
    list: NearList,
    shown_tab: Tab,
}

impl Views {
    pub(crate) fn new(view: &ViewState, state: &RenderState) -> Self {
        Self {
            view: view.clone(),
            tab: Tab::Beam,
            flow: Picture::new(state, "attention over the source", view),
            predictions: Picture::new(state, "predictions of every step", view),
            lower: Picture::new(state, "beam tree, states and heads", view),
            other: Picture::new(state, "attention of the other run", view),
            token: None,
            neighbor: None,
            list: NearList::default(),
            shown_tab: Tab::Beam,
        }
    }

    /// Has all plots made anew.
    pub(crate) fn invalidate(&mut self) {
        for picture in [&mut self.flow, &mut self.predictions, &mut self.lower, &mut self.other] {
            picture.widget.invalidate();
        }
    }
}

/// The unit of a flow that holds a token.
fn unit_of(groups: &[(String, Vec<usize>)], token: usize) -> Option<usize> {
    groups.iter().position(|(_, members)| members.contains(&token))
}

impl Studio {
    pub(crate) fn plots(&mut self, ui: &mut Ui, jobs: &Jobs<News>) {
        let Some(run) = self.runs.get(self.shown) else {
            ui.label("  Decode a source.");
            return;
        };
        let (decoding, hypothesis, views) = (&run.decoding, self.hypothesis, &mut self.views);
        let Some(found) = decoding.hypotheses.get(hypothesis) else {
            ui.label("  The rules left no token to write.");
            return;
        };
        let shared = views.view.clone();
        let mut hovered = None;
        let whole = ui.available_size();
        let compared = self
            .against
            .filter(|at| *at != self.shown)
            .and_then(|at| self.runs.get(at));

        // Attention, and that of the other run beside it.
        let units = decoding.flow_units(hypothesis, &self.flow).unwrap_or_default();
        let marked = views.token.and_then(|token| match token {
            Token::Target(at) => unit_of(&units.target, at),
            Token::Source(at) => unit_of(&units.source, at).map(|at| units.target.len() + at),
        });
        let width = if compared.is_some() { 0.5 * whole.x } else { whole.x };
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 0.0;
            let size = vec2(width, 0.29 * whole.y);
            let plot = deferred(|_| decoding.flow(hypothesis, &self.flow));
            let shown = ui
                .allocate_ui(size, |ui| views.flow.show(ui, &shared, marked.and_then(to_id), &plot))
                .inner;
            if let Some(id) = shown.1.map(|id| id as usize) {
                let first = |groups: &[(String, Vec<usize>)], at: usize| {
                    groups.get(at).and_then(|group| group.1.first().copied())
                };
                hovered = match id.checked_sub(units.target.len()) {
                    None => first(&units.target, id).map(Token::Target),
                    Some(at) => first(&units.source, at).map(Token::Source),
                };
            }
            if let Some(other) = compared {
                let plot = deferred(|_| other.decoding.flow(0, &self.flow));
                ui.allocate_ui(size, |ui| views.other.show(ui, &shared, None, &plot));
            }
        });

        // Predictions: a click goes on with another token.
        let places = found.steps.iter().map(|step| step.top.len()).max().unwrap_or(1).max(1);
        let plot = deferred(|_| decoding.predictions(hypothesis));
        let marked = match views.token {
            Some(Token::Target(at)) => {
                let step = found.steps.get(at);
                let place = step.and_then(|step| step.top.iter().position(|other| other.id == step.id));
                Some(at * places + place.unwrap_or(0))
            }
            _ => None,
        };
        let size = vec2(whole.x, 0.33 * whole.y);
        let shown = ui
            .allocate_ui(size, |ui| {
                views.predictions.show(ui, &shared, marked.and_then(to_id), &plot)
            })
            .inner;
        if let Some(id) = shown.1 {
            hovered = Some(Token::Target(id as usize / places));
        }
        let alternative = shown.0.and_then(|id| {
            let (step, place) = (id as usize / places, id as usize % places);
            let other = found.steps.get(step)?.top.get(place)?;
            (other.id != found.steps[step].id).then(|| (step, other.id, other.token.clone()))
        });

        // The lower pane.
        let blamed = decoding.blame.as_ref().is_some_and(|blame| blame.sweep.is_some());
        ui.horizontal(|ui| {
            ui.add_space(8.0);
            for (tab, name, there) in [
                (Tab::Beam, "Beam tree", true),
                (Tab::States, "States", true),
                (Tab::Pictograms, "Pictograms", true),
                (Tab::Heads, "Heads", true),
                (Tab::Curves, "Probabilities", true),
                (Tab::Coverage, "Coverage", found.coverage.is_some()),
                (Tab::Change, "Change", compared.is_some()),
                (Tab::Blame, "Blame", blamed),
            ] {
                if there {
                    ui.selectable_value(&mut views.tab, tab, name);
                } else if views.tab == tab {
                    views.tab = Tab::Beam;
                }
            }
            ui.label(RichText::new("Click a token or a node to decode on from it.").weak());
        });
        if views.shown_tab != views.tab {
            views.shown_tab = views.tab;
            views.lower.widget.invalidate();
            views.lower.view = views.view.clone();
        }
        let (source, target) = (decoding.source.len(), found.row.len());
        let mut near_over = None;
        let mut node = None;
        match views.tab {
            Tab::Beam => {
                let (tree, entries) = decoding.beam_tree(self.penalty, true);
                let size = tree.natural_size();
                let of_token = |at: usize| {
                    let entry = found.nodes.get(at)?;
                    entries.iter().position(|members| members.contains(entry))
                };
                let marked = match views.token {
                    Some(Token::Target(at)) => of_token(at),
                    _ => None,
                };
                let area = ScrollArea::both().id_salt("tree").auto_shrink(false);
                let shown = area
                    .show(ui, |ui| {
                        let size = vec2(size[0].max(ui.available_width()), size[1].max(ui.available_height()));
                        ui.allocate_ui(size, |ui| views.lower.show(ui, &shared, marked.and_then(to_id), &tree))
                            .inner
                    })
                    .inner;
                let members = |id: u32| entries.get(id as usize);
                if let Some(last) = shown.1.and_then(members).and_then(|members| members.last()) {
                    let on_way = found.nodes.iter().position(|own| own == last);
                    hovered = on_way.map(Token::Target).or(hovered);
                }
                node = shown.0.and_then(members).and_then(|members| members.last().copied());
            }
            Tab::States | Tab::Pictograms => {
                let near = decoding
                    .neighborhood
                    .as_ref()
                    .filter(|near| near.hypothesis == hypothesis);
                let count = match &compared {
                    Some(other) => 2 * target + source + other.decoding.source.len() + other_targets(&other.decoding),
                    None => 2 * target + source,
                };
                let first = if decoding.encoder_decoder { source } else { 0 };
                let marked = views.token.map(|token| match token {
                    Token::Source(at) => at,
                    Token::Target(at) if views.list.focus == (StateKind::Context, at) => first + target + at,
                    Token::Target(at) => first + at,
                });
                let marked = marked.or(views.list.over.map(|at| count + at));
                let listed = near.is_some();
                let none = || attn_sdk::Error::from(Error::host("fewer than three states"));
                let pictograms = views.tab == Tab::Pictograms;
                let mut runs = vec![("", decoding, hypothesis)];
                // The compared run lies in the same space.
                runs.extend(compared.map(|other| ("compared", &other.decoding, 0)));
                let states = deferred(|_| Decoding::merged_trajectories(&runs, &())?.ok_or_else(none));
                let maps = deferred(|_| decoding.pictograms(hypothesis, &())?.ok_or_else(none));
                let plot: &dyn Plot = if pictograms { &maps } else { &states };
                let size = ui.available_size();
                let share = if listed { 0.52 } else { 1.0 };
                ui.horizontal_top(|ui| {
                    let size = vec2(share * size.x, size.y);
                    let (_, over) = ui
                        .allocate_ui(size, |ui| views.lower.show(ui, &shared, marked.and_then(to_id), plot))
                        .inner;
                    if let Some(id) = over.map(|id| id as usize) {
                        hovered = match id.checked_sub(first) {
                            None => Some(Token::Source(id)),
                            Some(at) if at < 2 * target => Some(Token::Target(at % target)),
                            Some(_) => None,
                        };
                        near_over = id.checked_sub(count);
                    }
                    if let Some(near) = near {
                        ui.vertical(|ui| views.list.show(ui, decoding, near, views.neighbor));
                    }
                });
            }
            Tab::Heads => {
                let plot = deferred(|_| decoding.head_patterns(hypothesis));
                views.lower.show(ui, &shared, None, &plot);
            }
            Tab::Curves => {
                let plot = deferred(|_| decoding.curves(hypothesis));
                views.lower.show(ui, &shared, None, &plot);
            }
            Tab::Coverage => {
                if let Ok(Some(plot)) = decoding.coverage_table(hypothesis) {
                    let marked = match views.token {
                        Some(Token::Source(at)) => to_id(at),
                        _ => None,
                    };
                    let (_, over) = views.lower.show(ui, &shared, marked, &plot);
                    hovered = over.map(|id| Token::Source(id as usize)).or(hovered);
                }
            }
            Tab::Change => {
                if let Some(other) = compared {
                    let FlowOptions { heads, shift, .. } = &self.flow;
                    let (first, second) = ((&other.decoding, 0), (decoding, hypothesis));
                    let plot = deferred(|_| {
                        let comparison = Comparison::new(first, second, heads, *shift)?;
                        comparison.difference_table(first, second, heads, *shift)
                    });
                    views.lower.show(ui, &shared, None, &plot);
                }
            }
            Tab::Blame => {
                if let Some(plot) = decoding.blame.as_ref().and_then(|blame| blame.map(decoding)) {
                    views.lower.show(ui, &shared, None, &plot);
                }
            }
        }
        match hovered {
            Some(Token::Source(at)) => views.list.follow(true, at),
            Some(Token::Target(at)) => views.list.follow(false, at),
            None => {}
        }
        if views.token != hovered || views.neighbor != near_over {
            (views.token, views.neighbor) = (hovered, near_over);
            ui.ctx().request_repaint();
        }
        if let Some((step, id, text)) = alternative {
            self.replaced(jobs, step, id, &text);
        } else if let Some(entry) = node {
            self.continued(jobs, entry);
        }
    }
}

/// States of the first hypothesis of a run: those of the decoder and of the context.
fn other_targets(decoding: &Decoding) -> usize {
    2 * decoding.hypotheses.first().map_or(0, |found| found.row.len())
}

fn to_id(at: usize) -> Option<u32> {
    u32::try_from(at).ok()
}
