//! The data map.

use attn_egui::{SceneView, egui_wgpu::RenderState};
use attn_sdk::render::{Event, Plot, plots::DataMap};
use eframe::egui::Ui;

use super::{Session, View};

pub(crate) struct Data {
    widget: SceneView,
    /// The map, and the examples that its points are.
    map: Option<(DataMap, Vec<usize>)>,
    failure: String,
}

impl Data {
    pub(crate) fn new(state: &RenderState) -> Self {
        Self {
            widget: SceneView::new(state, "data map"),
            map: None,
            failure: String::new(),
        }
    }
}

impl View for Data {
    fn name(&self) -> &'static str {
        "Data map"
    }

    fn ui(&mut self, ui: &mut Ui, session: &mut Session) {
        let Some((map, examples)) = &self.map else {
            ui.label(&self.failure);
            return;
        };
        let shown = self.widget.show(ui, &mut session.view, map);
        for event in shown.events {
            if let Event::SelectPoint(Some(pick)) = event {
                session.example = examples.get(pick.id as usize).copied();
            }
        }
    }

    fn plot(&self, _: &Session) -> Option<(String, Box<dyn Plot + '_>)> {
        let (map, _) = self.map.as_ref()?;
        Some(("data-map".into(), Box::new(map)))
    }

    fn follow(&mut self, session: &Session) {
        self.widget.invalidate();
        match session.training.data_map(&Default::default()) {
            Ok(map) => self.map = Some(map),
            Err(error) => {
                self.map = None;
                self.failure = error.to_string();
            }
        }
    }
}
