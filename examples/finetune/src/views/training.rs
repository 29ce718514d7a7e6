//! The course of the training: accuracy, loss, what a trainer logged, margins, flips between all moments.

use attn_egui::{SceneView, egui_wgpu::RenderState};
use attn_sdk::render::{Plot, ViewState};
use eframe::egui::Ui;

use super::{Session, View};

pub(crate) struct Curves {
    widget: SceneView,
    state: ViewState,
    plots: Vec<(String, Box<dyn Plot>)>,
    shown: usize,
}

impl Curves {
    pub(crate) fn new(state: &RenderState) -> Self {
        Self {
            widget: SceneView::new(state, "course of the training"),
            state: ViewState::default(),
            plots: Vec::new(),
            shown: 0,
        }
    }
}

impl View for Curves {
    fn name(&self) -> &'static str {
        "Training"
    }

    fn ui(&mut self, ui: &mut Ui, session: &mut Session) {
        let shown = self.shown;
        ui.horizontal_wrapped(|ui| {
            for (at, (name, _)) in self.plots.iter().enumerate() {
                ui.selectable_value(&mut self.shown, at, name);
            }
        });
        if self.shown != shown {
            self.state = ViewState::default();
            self.widget.invalidate();
        }
        self.state.shared.theme = session.view.shared.theme;
        match self.plots.get(self.shown) {
            Some((_, plot)) => {
                self.widget.show(ui, &mut self.state, &**plot);
                session.view.shared.theme = self.state.shared.theme;
            }
            None => {
                ui.label("The log has no predictions.");
            }
        }
    }

    fn plot(&self, _: &Session) -> Option<(String, Box<dyn Plot + '_>)> {
        let (name, plot) = self.plots.get(self.shown)?;
        Some((name.clone(), Box::new(&**plot)))
    }

    fn follow(&mut self, session: &Session) {
        let training = &session.training;
        self.plots.clear();
        let [right, loss] = training.curves().unwrap_or_default();
        let mut add = |name: String, plot: Option<Box<dyn Plot>>| self.plots.extend(plot.map(|plot| (name, plot)));
        add("accuracy".into(), right.map(|chart| Box::new(chart) as _));
        add("loss".into(), loss.map(|chart| Box::new(chart) as _));
        for (name, chart) in training.trainer_curves() {
            add(format!("trainer: {name}"), Some(Box::new(chart)));
        }
        add(
            "margins".into(),
            training.margins(None).ok().map(|chart| Box::new(chart) as _),
        );
        for (at, moment) in training.log().moments().iter().enumerate().take(8) {
            add(
                format!("margins, {moment}"),
                training.margins(Some(at)).ok().map(|chart| Box::new(chart) as _),
            );
        }
        add(
            "flips between all".into(),
            training.flip_table().ok().map(|chart| Box::new(chart) as _),
        );
        self.shown = self.shown.min(self.plots.len().saturating_sub(1));
        self.widget.invalidate();
    }
}
