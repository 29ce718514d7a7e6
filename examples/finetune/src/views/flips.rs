//! Flips first: what two moments answer differently, with the test and the texts.

use attn_egui::{TextTable, egui_wgpu::RenderState};
use attn_sdk::{
    analyze::training::{FlipKind, Flips},
    render::{Plot, plots::Scatter},
};
use eframe::egui::{ComboBox, Panel, RichText, Ui};

use super::{Session, View, points::Points};

pub(crate) struct FlipView {
    points: Points,
    /// The two moments, by number; `None` for the first and the last.
    moments: Option<[usize; 2]>,
    /// Kinds of flips that are listed.
    kind: Option<FlipKind>,
    found: Option<Flips>,
    plot: Option<Scatter>,
    failure: String,
    listed: Vec<usize>,
    table: TextTable,
}

const KINDS: [(Option<FlipKind>, &str); 4] = [
    (None, "all"),
    (Some(FlipKind::Lost), "right, then wrong"),
    (Some(FlipKind::Gained), "wrong, then right"),
    (Some(FlipKind::Changed), "wrong, another answer"),
];

impl FlipView {
    pub(crate) fn new(state: &RenderState) -> Self {
        Self {
            points: Points::new(state, "flips"),
            moments: None,
            kind: None,
            found: None,
            plot: None,
            failure: String::new(),
            listed: Vec::new(),
            table: TextTable::without_search(),
        }
    }

    fn make(&mut self, session: &Session) {
        let training = &session.training;
        let last = training.log().moments().len().saturating_sub(1);
        let [before, after] = self.moments.unwrap_or([0, last]);
        (self.found, self.plot) = (None, None);
        match training.flips(before, after) {
            Ok(flips) => {
                match training.flips_plot(&flips) {
                    Ok(plot) => self.plot = Some(plot),
                    Err(error) => self.failure = error.to_string(),
                }
                self.points.renew(flips.flips.iter().map(|flip| flip.example).collect());
                self.found = Some(flips);
            }
            Err(error) => self.failure = error.to_string(),
        }
        self.list();
    }

    fn list(&mut self) {
        let flips = self.found.iter().flat_map(|found| found.flips.iter().enumerate());
        let of_kind = flips.filter(|(_, flip)| self.kind.is_none_or(|kind| kind == flip.kind));
        self.listed = of_kind.map(|(at, _)| at).collect();
        self.table.invalidate();
    }

    fn controls(&mut self, ui: &mut Ui, session: &Session) {
        let moments = session.moments();
        let last = moments.len().saturating_sub(1);
        let mut chosen = self.moments.unwrap_or([0, last]);
        for (slot, label) in chosen.iter_mut().zip(["From", "to"]) {
            ui.label(label);
            let name = moments.get(*slot).cloned().unwrap_or_default();
            ComboBox::from_id_salt(label)
                .selected_text(name)
                .height(400.0)
                .show_ui(ui, |ui| {
                    for (at, moment) in moments.iter().enumerate() {
                        ui.selectable_value(slot, at, moment.to_string());
                    }
                });
        }
        if chosen != self.moments.unwrap_or([0, last]) {
            self.moments = Some(chosen);
            self.make(session);
        }
        ui.separator();
        let kind = self.kind;
        for (value, name) in KINDS {
            ui.selectable_value(&mut self.kind, value, name);
        }
        if self.kind != kind {
            self.list();
        }
        ui.separator();
        self.points.tools(ui);
    }
}

impl View for FlipView {
    fn name(&self) -> &'static str {
        "Flips"
    }

    fn ui(&mut self, ui: &mut Ui, session: &mut Session) {
        ui.horizontal_wrapped(|ui| self.controls(ui, session));
        let Some(found) = &self.found else {
            ui.label(&self.failure);
            return;
        };
        let [before, after] = found.accuracy();
        let share = |share: f64| format!("{:.2} %", 100.0 * share);
        ui.label(RichText::new(format!(
            "{} to {}: {} to {} right of {}. {}.",
            found.moments[0],
            found.moments[1],
            share(before),
            share(after),
            found.compared,
            found.describe()
        )));
        let training = &session.training;
        let mut clicked = None;
        Panel::bottom("flip list")
            .resizable(true)
            .default_size(300.0)
            .show(ui, |ui| {
                let chosen = self
                    .listed
                    .iter()
                    .position(|&at| Some(found.flips[at].example) == session.example);
                let shown = self.table.show(
                    ui,
                    &["text", "id", "gold", "before", "after"],
                    self.listed.len(),
                    chosen,
                    |row, column| {
                        let flip = &found.flips[self.listed[row]];
                        let example = &training.log().examples()[flip.example];
                        match column {
                            0 => example.text.as_deref().unwrap_or(&example.id).to_owned(),
                            1 => example.id.to_string(),
                            2 => training.log().gold(flip.example),
                            3 => flip.answers[0].clone(),
                            _ => flip.answers[1].clone(),
                        }
                    },
                );
                clicked = shown.chosen;
            });
        if let Some(row) = clicked {
            session.example = Some(found.flips[self.listed[row]].example);
        }
        match &self.plot {
            Some(plot) => self.points.show(ui, session, plot),
            None => {
                ui.label(&self.failure);
            }
        }
    }

    fn plot(&self, _: &Session) -> Option<(String, Box<dyn Plot + '_>)> {
        Some(("flips".into(), Box::new(self.plot.as_ref()?)))
    }

    fn follow(&mut self, session: &Session) {
        self.make(session);
    }
}
