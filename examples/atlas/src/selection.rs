//! What a selection answers: what its points have in common, what they attend to, what attends to them, and the neighbors of a point.
//! A box, a lasso, a search in an open head and a click select.

use attn_sdk::{
    TokenFilter,
    core::HeadId,
    render::{Pick, Selection},
    study::{
        experiment::Question,
        selection::{Attended, NearPoint, SelectionAttention, SelectionSummary},
    },
};
use eframe::egui::{CollapsingHeader, Grid, RichText, Ui};

use crate::{actions::Action, inset, pane::Pane, stopped::Again};

/// Neighbors that are listed.
const NEIGHBORS: usize = 10;
/// Tokens, positions or offsets named of each kind of attention.
const NAMED: usize = 4;

/// What is selected: the head, the selection, the search and the filter.
pub(crate) type Key = (Option<HeadId>, Selection, String, TokenFilter);

/// What is known of the selection.
#[derive(Default)]
pub(crate) struct Selected {
    key: Option<Key>,
    ids: Vec<u32>,
    pub(crate) summary: Option<SelectionSummary>,
    attention: Option<SelectionAttention>,
    /// The clicked point and its neighbors.
    point: Option<Pick>,
    near: Vec<NearPoint>,
}

/// An answer to a selection.
pub(crate) enum Found {
    Points(Box<SelectionSummary>),
    Attention(Box<SelectionAttention>),
}

impl Selected {
    /// Asks again: the points or their places changed.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Takes what was found, if that is still asked for.
    pub(crate) fn take(&mut self, key: &Key, found: Found) {
        if self.key.as_ref() == Some(key) {
            match found {
                Found::Points(summary) => self.summary = Some(*summary),
                Found::Attention(attention) => self.attention = Some(*attention),
            }
        }
    }

    pub(crate) fn take_near(&mut self, point: Pick, near: Vec<NearPoint>) {
        if self.point == Some(point) {
            self.near = near;
        }
    }
}

impl Pane {
    /// Asks about the selection when it has changed.
    pub(crate) fn follow_selection(&mut self) {
        let Some(study) = &self.study else { return };
        let shared = &self.view.shared;
        let key = (
            self.view.open,
            shared.selected.clone(),
            shared.search.clone(),
            self.filter.clone(),
        );
        if self.selected.key.as_ref() != Some(&key) {
            let (head, ids) = inset::chosen(self).unzip();
            let (head, ids) = (head, ids.unwrap_or_default());
            self.selected = Selected {
                key: Some(key.clone()),
                ids: ids.clone(),
                ..Selected::default()
            };
            if let Some(head) = head {
                self.stopped.resumed(&Again::Selection);
                self.work.answer_selection(study.clone(), key, head, ids);
            }
        }
        let point = self
            .view
            .selection
            .filter(|pick| pick.head.is_some() && pick.head == self.view.open);
        if self.selected.point != point {
            (self.selected.point, self.selected.near) = (point, Vec::new());
            if let Some(pick) = point {
                self.stopped.resumed(&Again::Neighbors);
                self.work.find_near(study.clone(), pick, NEIGHBORS);
            }
        }
    }
}

/// Shows the panel, if something is selected; returns what was asked for.
pub(crate) fn show(ui: &mut Ui, pane: &mut Pane) -> Option<Action> {
    pane.follow_selection();
    let mut asked = None;
    if !pane.selected.ids.is_empty() {
        let title = match pane.view.shared.selected.is_empty() {
            true => "Search matches",
            false => "Selection",
        };
        let header = CollapsingHeader::new(RichText::new(title).heading()).id_salt("selection");
        header.default_open(true).show(ui, |ui| asked = about(ui, pane));
    }
    if let (Some(pick), false) = (pane.selected.point, pane.selected.near.is_empty()) {
        let header = CollapsingHeader::new("Nearest points").id_salt("near");
        let clicked = header
            .default_open(false)
            .show(ui, |ui| neighbors(ui, pane, pick))
            .body_returned;
        if let Some(point) = clicked.flatten() {
            pane.select_point(Pick { id: point, ..pick });
        }
    }
    if !pane.selected.ids.is_empty() || !pane.selected.near.is_empty() {
        ui.separator();
    }
    asked
}

fn about(ui: &mut Ui, pane: &mut Pane) -> Option<Action> {
    let selected = &pane.selected;
    let Some(summary) = &selected.summary else {
        pane.under_way(ui, &Again::Selection, "Counting …");
        return None;
    };
    let name = pane
        .study
        .as_ref()
        .map_or_else(String::new, |study| study.capture().model().head_name(summary.head));
    ui.label(format!(
        "{} points of {name}: {} queries, {} keys, of {} sequences",
        summary.points, summary.queries, summary.keys, summary.sequences
    ));
    if summary.traits.is_empty() {
        ui.label(RichText::new("No token, position or column is more frequent here than elsewhere.").weak());
    } else {
        Grid::new("traits").num_columns(4).striped(true).show(ui, |ui| {
            for title in ["what they are", "", "points", "chance level"] {
                ui.label(RichText::new(title).strong());
            }
            ui.end_row();
            for found in &summary.traits {
                ui.label(&found.of);
                ui.label(RichText::new(&found.value).strong());
                ui.label(format!("{} ({:.0} %)", found.count, 100.0 * found.share))
                    .on_hover_text("Points of the selection that have it, and their share");
                ui.label(format!("{:.1} ({:.0} %)", found.expected, 100.0 * found.chance))
                    .on_hover_text("As many points drawn at random from this plot would have it");
                ui.end_row();
            }
        });
    }
    match &selected.attention {
        None => pane.under_way(ui, &Again::Selection, "Reading attention …"),
        Some(attention) => {
            attended(ui, "The selected queries attend to", &attention.looked_at);
            attended(ui, "What attends to the selected keys", &attention.looked_from);
            if let (Some(received), Some(chance)) = (attention.received, attention.received_by_chance) {
                ui.label(format!(
                    "A selected key gets {received:.3} of a query's attention (uniform {chance:.3})."
                ));
            }
        }
    }
    let mut asked = None;
    ui.horizontal_wrapped(|ui| {
        if ui
            .button("Project selection")
            .on_hover_text("Projects these points alone")
            .clicked()
        {
            asked = Some(Action::ProjectSelection);
        }
        if pane.capturer.is_some() && pane.view.open.is_some() {
            let button = ui.button("Ablate this head");
            if button.on_hover_text("The loss without the head, below").clicked() {
                asked = pane.view.open.map(|head| {
                    Action::Ask(Question {
                        heads: vec![head],
                        edges: None,
                    })
                });
            }
        }
        if ui.button("Clear").on_hover_text("Selects nothing").clicked() {
            asked = Some(Action::ClearSelection);
        }
    });
    asked
}

fn attended(ui: &mut Ui, title: &str, found: &[Attended]) {
    if found.is_empty() {
        return;
    }
    ui.label(RichText::new(title).strong());
    for of in ["offset", "token", "position"] {
        let some: Vec<String> = found
            .iter()
            .filter(|one| one.of == of)
            .take(NAMED)
            .map(|one| format!("{} {:.0} % ({:.0} %)", one.value, 100.0 * one.share, 100.0 * one.chance))
            .collect();
        if !some.is_empty() {
            ui.label(format!("{of}: {}", some.join(", ")))
                .on_hover_text("Share of their attention (that of uniform attention)");
        }
    }
}

/// The neighbors of a point; returns the clicked one.
fn neighbors(ui: &mut Ui, pane: &Pane, pick: Pick) -> Option<u32> {
    let mut clicked = None;
    let token = pane.study.as_ref().zip(pick.head).and_then(|(study, head)| {
        let place = study.place(head, pick.id)?;
        Some(study.token(place)?.text.clone())
    });
    ui.label(format!(
        "Of `{}`, by distance in the full space",
        token.unwrap_or_default()
    ));
    Grid::new("near points").num_columns(4).striped(true).show(ui, |ui| {
        for title in ["token", "", "distance", "in the plot"] {
            ui.label(RichText::new(title).strong());
        }
        ui.end_row();
        for near in &pane.selected.near {
            if ui.link(near.text.replace(' ', "\u{a0}")).clicked() {
                clicked = Some(near.point);
            }
            ui.label(if near.query { "query" } else { "key" });
            ui.label(format!("{:.3}", near.distance));
            ui.label(format!("{:.2}", near.in_plot));
            ui.end_row();
        }
    });
    clicked
}
