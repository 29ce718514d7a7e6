//! The data map: regions, colors, intervals, burn-in.

use attn_egui::egui_wgpu::RenderState;
use attn_sdk::{
    analyze::training::Region,
    render::{Plot, plots::DataMap},
    study::training::MapParams,
};
use eframe::egui::{ComboBox, Slider, Ui};

use super::{Session, View, points::Points};

pub(crate) struct Data {
    points: Points,
    options: MapParams,
    map: Option<DataMap>,
    failure: String,
    /// The version of the session that the map was made for.
    version: Option<u64>,
    /// Share of the examples that a region has.
    share: f64,
}

impl Data {
    pub(crate) fn new(state: &RenderState) -> Self {
        Self {
            points: Points::new(state, "data map"),
            options: MapParams::default(),
            map: None,
            failure: String::new(),
            version: None,
            share: Region::SHARE,
        }
    }

    fn make(&mut self, session: &Session) {
        self.options.examples = Some(session.visible.clone());
        match session.training.data_map(&self.options) {
            Ok((map, examples)) => {
                self.map = Some(map);
                if self.points.examples != examples {
                    self.points.renew(examples);
                } else {
                    self.points.invalidate();
                }
            }
            Err(error) => {
                self.map = None;
                self.failure = error.to_string();
            }
        }
    }

    fn controls(&mut self, ui: &mut Ui, session: &mut Session) {
        let before = self.options.clone();
        let name = self.options.color.clone().unwrap_or_else(|| "correctness".into());
        ui.label("Color");
        ComboBox::from_id_salt("data map color")
            .selected_text(name)
            .height(400.0)
            .show_ui(ui, |ui| {
                for column in session.training.colors() {
                    let color = (column != "correctness").then(|| column.to_owned());
                    ui.selectable_value(&mut self.options.color, color, column);
                }
            });
        ui.checkbox(&mut self.options.intervals, "Intervals")
            .on_hover_text("Confidence intervals over moments, of up to 300 examples or of those selected");
        let mut params = session.training.params().clone();
        let most = session.training.log().moments().len().saturating_sub(1);
        if most > 0
            && ui
                .add(Slider::new(&mut params.burn_in, 0..=most).text("burn-in"))
                .on_hover_text("First moments dropped")
                .changed()
        {
            session.training.set_params(params);
            session.find();
        }
        if self.options != before {
            self.version = None;
        }
    }

    /// Regions and tools.
    fn regions(&mut self, ui: &mut Ui, session: &mut Session) {
        for region in Region::ALL {
            if ui.button(region.name()).on_hover_text("Select this region").clicked() {
                let examples =
                    region.examples(session.training.dynamics(), session.visible.iter().copied(), self.share);
                session.select(examples);
            }
        }
        ui.add(Slider::new(&mut self.share, 0.01..=0.5).text("share").fixed_decimals(2));
        ui.separator();
        self.points.tools(ui);
    }
}

impl View for Data {
    fn name(&self) -> &'static str {
        "Data map"
    }

    fn ui(&mut self, ui: &mut Ui, session: &mut Session) {
        ui.horizontal_wrapped(|ui| self.controls(ui, session));
        ui.horizontal_wrapped(|ui| self.regions(ui, session));
        if self.version != Some(session.version) {
            self.make(session);
        }
        match &self.map {
            Some(map) => self.points.show(ui, session, map),
            None => {
                ui.label(&self.failure);
            }
        }
        // What was selected here needs no new map.
        self.version = Some(session.version);
    }

    fn plot(&self, _: &Session) -> Option<(String, Box<dyn Plot + '_>)> {
        Some(("data-map".into(), Box::new(self.map.as_ref()?)))
    }

    fn follow(&mut self, _: &Session) {
        self.version = None;
    }
}
