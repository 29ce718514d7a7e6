//! The plots of a run. A token under the pointer is highlighted in all of them, and so is the aligned one of the compared run.

use std::sync::Arc;

use attn_egui::{Jobs, SceneView, egui_wgpu::RenderState};
use attn_sdk::{
    core::HeadId,
    render::{
        Interaction, Pick, Plot, ViewState,
        control::Event,
        plot::deferred,
        plots::{BeamTree, HeatTable},
        state::Shared,
        text::text_width,
    },
    study::decoding::{Comparison, Decoding, FlowParams},
};
use eframe::egui::{CentralPanel, Frame, ScrollArea, Ui, vec2};
use serde::{Deserialize, Serialize};

use crate::{
    actions::Action,
    look::Panels,
    near::NearList,
    studio::{Experiment, Studio},
    window::News,
};

/// Content of the lower pane.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Tab {
    Beam,
    States,
    Pictograms,
    Heads,
    Alignment,
    Curves,
    Coverage,
    Change,
    Blame,
}

/// A token of the source or of the target of the shown run.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Token {
    Source(usize),
    Target(usize),
}

/// What the pointer did in the plots of a frame.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) token: Option<Token>,
    /// A neighbor: its place among those that are drawn.
    pub(super) neighbor: Option<usize>,
    /// Another token at a step: step, id, text.
    alternative: Option<(usize, u32, String)>,
    /// A node of the beam tree.
    pub(super) node: Option<usize>,
    /// A head, as layer and head.
    pub(super) head: Option<(usize, usize)>,
}

/// What was clicked in a plot, and what is under the pointer.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) clicked: Option<Pick>,
    /// A head that was clicked in a grid of heads.
    pub(super) head: Option<HeadId>,
    pub(super) over: Option<u32>,
}

pub(super) struct Picture {
    widget: SceneView,
    /// What was under the pointer here.
    over: Option<u32>,
}

impl Picture {
    fn new(state: &RenderState, label: &str) -> Self {
        Self {
            widget: SceneView::new(state, label),
            over: None,
        }
    }

    /// Shows a plot with the theme of the window and a highlighted item.
    pub(super) fn show(
        &mut self,
        ui: &mut Ui,
        (camera, theme): (&mut ViewState, &ViewState),
        marked: Option<usize>,
        plot: &dyn Plot,
    ) -> Shown {
        // What the pointer is over is marked itself, not what stands for its token.
        let pick = self.over.or(marked.and_then(|id| u32::try_from(id).ok()));
        let pick = pick.map(|id| Pick { head: None, id });
        let mut view = ViewState {
            shared: theme.shared.clone(),
            selection: pick,
            ..std::mem::take(camera)
        };
        let shown = self.widget.show(ui, &mut view, plot);
        // What is under the pointer is no part of how one looks at it, and no head opens in its grid.
        *camera = ViewState {
            shared: Shared::default(),
            selection: None,
            open: None,
            ..view
        };
        let clicked = shown.events.iter().rev().find_map(|event| match event {
            Event::SelectPoint(pick) => *pick,
            _ => None,
        });
        let hovered = shown.response.hovered();
        let over = self.widget.interaction().pick.filter(|_| hovered);
        self.over = over.map(|pick| pick.id);
        if !hovered {
            self.widget.set_interaction(Interaction {
                pick,
                ..Interaction::default()
            });
        }
        Shown {
            clicked,
            head: shown.opened(),
            over: self.over,
        }
    }
}

pub(crate) struct Views {
    flow: Picture,
    predictions: Picture,
    pub(super) detail: Picture,
    compared: Picture,
    /// What is under the pointer.
    pub(super) token: Option<Token>,
    pub(super) neighbor: Option<usize>,
    pub(super) list: NearList,
    shown_tab: Tab,
    /// The beam tree goes back to its start.
    pub(crate) scrolls_back: bool,
    /// What the plots of attention were made for.
    pub(crate) flow_for: Option<FlowParams>,
    /// The shown run and the compared one, each with its hypothesis; and both, aligned.
    pub(super) aligned: Option<([usize; 4], Comparison)>,
    /// The change of attention between them.
    pub(super) change: Option<HeatTable>,
    pub(super) tree: Option<Tree>,
}

/// The beam tree of a run with a length penalty.
pub(super) struct Tree {
    run: Arc<Decoding>,
    penalty: f64,
    pub(super) plot: BeamTree,
    /// The entries of each node.
    pub(super) entries: Vec<Vec<usize>>,
}

impl Tree {
    pub(super) fn new(run: &Arc<Decoding>, penalty: f64) -> Self {
        let (plot, entries) = run.beam_tree(penalty, true);
        Self {
            run: run.clone(),
            penalty,
            plot,
            entries,
        }
    }

    pub(super) fn is_of(&self, run: &Arc<Decoding>, penalty: f64) -> bool {
        Arc::ptr_eq(&self.run, run) && self.penalty == penalty
    }
}

impl Views {
    pub(crate) fn new(state: &RenderState) -> Self {
        Self {
            flow: Picture::new(state, "attention over the source"),
            predictions: Picture::new(state, "predictions of every step"),
            detail: Picture::new(state, "beam tree, states and heads"),
            compared: Picture::new(state, "attention of the compared run"),
            token: None,
            neighbor: None,
            list: NearList::default(),
            shown_tab: Tab::Beam,
            scrolls_back: false,
            flow_for: None,
            aligned: None,
            change: None,
            tree: None,
        }
    }

    /// Has all plots made anew.
    pub(crate) fn invalidate(&mut self) {
        let pictures = [
            &mut self.flow,
            &mut self.predictions,
            &mut self.detail,
            &mut self.compared,
        ];
        for picture in pictures {
            picture.widget.invalidate();
        }
        self.aligned = None;
    }

    /// The aligned token of the compared run.
    pub(super) fn there(&self, token: Token) -> Option<Token> {
        let (_, both) = self.aligned.as_ref()?;
        match token {
            Token::Source(at) => {
                let place = both.source.iter().find(|place| place.after == Some(at))?;
                place.before.map(Token::Source)
            }
            Token::Target(at) => {
                let place = both.target.iter().find(|place| place.after == Some(at))?;
                place.before.map(Token::Target)
            }
        }
    }

    /// The token of the shown run that is aligned with one of the compared run.
    pub(super) fn here(&self, token: Token) -> Option<Token> {
        let (_, both) = self.aligned.as_ref()?;
        match token {
            Token::Source(at) => {
                let place = both.source.iter().find(|place| place.before == Some(at))?;
                place.after.map(Token::Source)
            }
            Token::Target(at) => {
                let place = both.target.iter().find(|place| place.before == Some(at))?;
                place.after.map(Token::Target)
            }
        }
    }
}

/// Size of words in the attention plot, the room around each and beside all, in points.
const WORD: f32 = 11.0;
const GAP: f32 = 16.0;
const MARGIN: f32 = 60.0;

/// A plot that is at least so wide: it scrolls where there is less room.
fn scrolled<R>(ui: &mut Ui, name: &str, least: f32, show: impl FnOnce(&mut Ui) -> R) -> R {
    let room = ui.available_size();
    let size = vec2(room.x.max(least), room.y);
    let area = ScrollArea::horizontal().id_salt(name).auto_shrink(false);
    area.show(ui, |ui| ui.allocate_ui(size, show).inner).inner
}

/// Shows the attention of a run; gives the token under the pointer.
fn attention(
    ui: &mut Ui,
    name: &str,
    picture: &mut Picture,
    views: (&mut ViewState, &ViewState),
    (run, hypothesis): (&Experiment, usize),
    options: &FlowParams,
    token: Option<Token>,
) -> Option<Token> {
    let units = run.decoding.flow_units(hypothesis, options).unwrap_or_default();
    let holds =
        |groups: &[(String, Vec<usize>)], token: usize| groups.iter().position(|(_, members)| members.contains(&token));
    let marked = token.and_then(|token| match token {
        Token::Target(at) => holds(&units.target, at),
        Token::Source(at) => holds(&units.source, at).map(|at| units.target.len() + at),
    });
    let plot = deferred(|_| run.decoding.flow(hypothesis, options));
    let width = |groups: &[(String, Vec<usize>)]| -> f32 {
        let words = groups.iter().map(|(text, _)| text_width(text, WORD, false) + GAP);
        words.sum::<f32>() + MARGIN
    };
    let least = width(&units.source).max(width(&units.target));
    let shown = scrolled(ui, name, least, |ui| picture.show(ui, views, marked, &plot));
    let over = shown.over? as usize;
    let first = |groups: &[(String, Vec<usize>)], at: usize| groups.get(at).and_then(|group| group.1.first().copied());
    match over.checked_sub(units.target.len()) {
        None => first(&units.target, over).map(Token::Target),
        Some(at) => first(&units.source, at).map(Token::Source),
    }
}

impl Studio {
    /// The tabs of the lower pane, and whether the shown run has what they show.
    pub(crate) fn tabs(&self) -> [(Tab, &'static str, bool); 9] {
        let run = self.run().map(|run| &*run.decoding);
        let found = run.and_then(|run| run.hypotheses.get(self.look.hypothesis));
        let blamed = run
            .and_then(|run| run.blame.as_ref())
            .is_some_and(|blame| blame.sweep.is_some());
        [
            (Tab::Beam, "Beam tree", true),
            (Tab::States, "States", true),
            (Tab::Pictograms, "Pictograms", true),
            (Tab::Heads, "Heads", true),
            (
                Tab::Alignment,
                "Alignment",
                run.is_some_and(|run| !run.alignment_heads.is_empty()),
            ),
            (Tab::Curves, "Probabilities", true),
            (
                Tab::Coverage,
                "Coverage",
                found.is_some_and(|found| found.coverage.is_some()),
            ),
            (Tab::Change, "Change", self.compared().is_some()),
            (Tab::Blame, "Blame", blamed),
        ]
    }

    pub(crate) fn plots(&mut self, ui: &mut Ui, panels: &mut Panels, jobs: &Jobs<News>, asked: &mut Option<Action>) {
        let Some(run) = self.run().filter(|_| !self.look.listed.is_empty()) else {
            ui.label("  Decode a source.");
            return;
        };
        if run.decoding.hypotheses.get(self.look.hypothesis).is_none() {
            ui.label("  The rules left no token to write.");
            return;
        }
        self.align_compared();
        let mut seen = Seen::default();
        panels.detail.show(ui, "detail", |ui| self.lower(ui, &mut seen));
        panels
            .predictions
            .show(ui, "predictions", |ui| self.predictions(ui, &mut seen));
        CentralPanel::default()
            .frame(Frame::NONE)
            .show(ui, |ui| self.flows(ui, &mut seen));
        match seen.token {
            Some(Token::Source(at)) => self.views.list.follow(true, at),
            Some(Token::Target(at)) => self.views.list.follow(false, at),
            None => {}
        }
        if self.views.token != seen.token || self.views.neighbor != seen.neighbor {
            (self.views.token, self.views.neighbor) = (seen.token, seen.neighbor);
            if self.look.tab == Tab::Heads {
                // Patterns have no item of a token: its row or column is part of the plot.
                self.views.detail.widget.invalidate();
            }
            ui.ctx().request_repaint();
        }
        if self.decoder.is_some()
            && let Some((step, id, text)) = seen.alternative
        {
            self.replaced(jobs, step, id, &text);
        } else if let Some(entry) = seen.node {
            self.continued(jobs, entry);
        } else if let Some((layer, head)) = seen.head {
            *asked = Some(Action::Head(layer, head));
        }
    }

    /// Aligns the shown run with the compared one.
    fn align_compared(&mut self) {
        let look = &self.look;
        let (Some((other, theirs)), Some(run)) = (self.compared_with(), self.run()) else {
            self.views.aligned = None;
            return;
        };
        let of = [look.shown, look.hypothesis, look.against.unwrap_or_default(), theirs];
        if self.views.aligned.as_ref().is_some_and(|(known, _)| *known == of) {
            return;
        }
        let (first, second) = ((&*other.decoding, theirs), (&*run.decoding, look.hypothesis));
        let (heads, shift) = (&look.flow.heads, look.flow.shift);
        let made = Comparison::new(first, second, heads, shift).ok();
        let change = made
            .as_ref()
            .and_then(|both| both.difference_table(first, second, heads, shift).ok());
        (self.views.aligned, self.views.change) = (made.map(|both| (of, both)), change);
    }

    /// Attention, and that of the other run beside it.
    fn flows(&mut self, ui: &mut Ui, seen: &mut Seen) {
        let compared = self.compared_with().map(|(other, theirs)| (other.clone(), theirs));
        let Some(run) = self.run().cloned() else { return };
        let (look, views) = (&mut self.look, &mut self.views);
        let whole = ui.available_size();
        let width = if compared.is_some() { 0.5 * whole.x } else { whole.x };
        let size = vec2(width, whole.y);
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 0.0;
            let token = ui
                .allocate_ui(size, |ui| {
                    let view = (&mut look.cameras.attention, &look.view);
                    let shown = (&run, look.hypothesis);
                    attention(ui, "attention", &mut views.flow, view, shown, &look.flow, views.token)
                })
                .inner;
            seen.token = token.or(seen.token);
            if let Some((other, theirs)) = &compared {
                let there = views.token.and_then(|token| views.there(token));
                let token = ui
                    .allocate_ui(size, |ui| {
                        let view = (&mut look.cameras.compared, &look.view);
                        let shown = (other, *theirs);
                        attention(ui, "compared", &mut views.compared, view, shown, &look.flow, there)
                    })
                    .inner;
                seen.token = token.and_then(|token| views.here(token)).or(seen.token);
            }
        });
    }

    /// Predictions: a click goes on with another token.
    fn predictions(&mut self, ui: &mut Ui, seen: &mut Seen) {
        let Some(run) = self.run().cloned() else { return };
        let (look, views) = (&mut self.look, &mut self.views);
        let Some(found) = run.decoding.hypotheses.get(look.hypothesis) else {
            return;
        };
        let places = found.steps.iter().map(|step| step.top.len()).max().unwrap_or(1).max(1);
        let marked = match views.token {
            Some(Token::Target(at)) => {
                let step = found.steps.get(at);
                let place = step.and_then(|step| step.top.iter().position(|other| other.id == step.id));
                Some(at * places + place.unwrap_or(0))
            }
            _ => None,
        };
        let Ok(plot) = run.decoding.predictions(look.hypothesis) else {
            return;
        };
        let view = (&mut look.cameras.predictions, &look.view);
        let shown = scrolled(ui, "predictions", plot.line_width(), |ui| {
            views.predictions.show(ui, view, marked, &plot)
        });
        if let Some(id) = shown.over {
            seen.token = Some(Token::Target(id as usize / places));
        }
        seen.alternative = shown.clicked.and_then(|pick| {
            let (step, place) = (pick.id as usize / places, pick.id as usize % places);
            let other = found.steps.get(step)?.top.get(place)?;
            (other.id != found.steps[step].id).then(|| (step, other.id, other.token.clone()))
        });
    }

    /// The lower pane: tabs, and what they show.
    fn lower(&mut self, ui: &mut Ui, seen: &mut Seen) {
        let tabs = self.tabs();
        let hidden = |tab: Tab| tabs.iter().any(|(own, _, there)| *own == tab && !there);
        if hidden(self.look.tab) {
            self.show_tab(Tab::Beam);
        }
        let mut tab = self.look.tab;
        ui.add_space(4.0);
        ui.horizontal_wrapped(|ui| {
            ui.add_space(8.0);
            for (own, name, _) in tabs.into_iter().filter(|(.., there)| *there) {
                ui.selectable_value(&mut tab, own, name);
            }
        });
        self.show_tab(tab);
        if self.views.shown_tab != tab {
            self.views.shown_tab = tab;
            self.views.detail.widget.invalidate();
            self.views.detail.over = None;
        }
        self.detail(ui, seen);
    }
}
