//! Label noise: the most suspicious examples, and how well the list finds planted ones.

use attn_egui::{SceneView, TextTable, egui_wgpu::RenderState};
use attn_sdk::{
    analyze::training::NoiseScore,
    render::{Plot, ViewState, plots::Histogram, plots::Lines},
    study::training::NoiseList,
};
use eframe::egui::{Panel, Ui};

use super::{Session, View};

pub(crate) struct Noise {
    widget: SceneView,
    state: ViewState,
    score: NoiseScore,
    list: Option<NoiseList>,
    plot: Option<Chart>,
    table: TextTable,
    failure: String,
}

/// Precision where something was planted, else the margins.
enum Chart {
    Precision(Lines),
    Margins(Histogram),
}

impl Chart {
    fn plot(&self) -> &dyn Plot {
        match self {
            Self::Precision(lines) => lines,
            Self::Margins(histogram) => histogram,
        }
    }
}

impl Noise {
    pub(crate) fn new(state: &RenderState) -> Self {
        Self {
            widget: SceneView::new(state, "label noise"),
            state: ViewState::default(),
            score: NoiseScore::default(),
            list: None,
            plot: None,
            table: TextTable::without_search(),
            failure: String::new(),
        }
    }

    fn make(&mut self, session: &Session) {
        let training = &session.training;
        self.list = Some(training.noise(self.score));
        let margins = || training.margins(None).map(Chart::Margins);
        match training.noise_curves().map(Chart::Precision).or_else(|_| margins()) {
            Ok(plot) => self.plot = Some(plot),
            Err(error) => {
                self.plot = None;
                self.failure = error.to_string();
            }
        }
        self.table.invalidate();
        self.widget.invalidate();
    }
}

impl View for Noise {
    fn name(&self) -> &'static str {
        "Label noise"
    }

    fn ui(&mut self, ui: &mut Ui, session: &mut Session) {
        let score = self.score;
        ui.horizontal_wrapped(|ui| {
            ui.label("Rank by");
            for score in NoiseScore::ALL {
                ui.selectable_value(&mut self.score, score, score.name());
            }
        });
        if self.score != score {
            self.make(session);
        }
        let Some(list) = &self.list else { return };
        if let Some(found) = list.precision {
            ui.label(format!(
                "{} of {} training examples have a planted label. {:.0} % of the first {} are planted (a random list: {:.1} %); average precision {:.3}.",
                found.planted,
                found.ranked,
                100.0 * found.precision,
                found.planted,
                100.0 * found.planted as f64 / found.ranked as f64,
                found.average
            ));
        }
        let training = &session.training;
        let mut clicked = None;
        Panel::bottom("suspects")
            .resizable(true)
            .default_size(380.0)
            .show(ui, |ui| {
                let chosen = list
                    .suspects
                    .iter()
                    .position(|suspect| Some(suspect.example) == session.example);
                let columns = ["text", "rank", self.score.name(), "gold", "answer", "planted"];
                let shown = self
                    .table
                    .show(ui, &columns, list.suspects.len(), chosen, |row, column| {
                        let suspect = &list.suspects[row];
                        let example = &training.log().examples()[suspect.example];
                        match column {
                            0 => example.text.as_deref().unwrap_or(&example.id).to_owned(),
                            1 => (row + 1).to_string(),
                            2 => shown_score(self.score, suspect.score),
                            3 => training.log().gold(suspect.example),
                            4 => {
                                let last = training.log().outcomes(suspect.example).last();
                                last.and_then(|(_, outcome)| training.log().answer(outcome))
                                    .unwrap_or_default()
                            }
                            _ => suspect.planted.clone().unwrap_or_default(),
                        }
                    });
                clicked = shown.chosen;
            });
        if let Some(row) = clicked {
            session.example = Some(list.suspects[row].example);
        }
        self.state.shared.theme = session.view.shared.theme;
        match &self.plot {
            Some(plot) => {
                self.widget.show(ui, &mut self.state, plot.plot());
                session.view.shared.theme = self.state.shared.theme;
            }
            None => {
                ui.label(&self.failure);
            }
        }
    }

    fn plot(&self, _: &Session) -> Option<(String, Box<dyn Plot + '_>)> {
        Some(("noise".into(), Box::new(self.plot.as_ref()?.plot())))
    }

    fn follow(&mut self, session: &Session) {
        self.make(session);
    }
}

/// The statistic itself: of some a small value is suspicious.
fn shown_score(score: NoiseScore, value: f32) -> String {
    let sign = if matches!(score, NoiseScore::Aum | NoiseScore::Confidence) {
        -1.0
    } else {
        1.0
    };
    format!("{:.4}", sign * value)
}
