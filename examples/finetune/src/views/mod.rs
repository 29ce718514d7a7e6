//! The tabs of the window, a file each.

mod compare;
mod data;
mod example;
mod heads;
pub(crate) mod model;
mod pruning;

use attn_egui::{Jobs, egui_wgpu::RenderState};
use attn_sdk::{
    render::{Plot, ViewState},
    study::training::Training,
};
use eframe::egui::Ui;

use crate::window::News;

/// What the tabs share.
pub(crate) struct Session {
    /// The training as it stands.
    pub(crate) training: Training,
    /// Theme, search and selection, for plots of examples.
    pub(crate) view: ViewState,
    /// The example that was clicked last, by its number in the log.
    pub(crate) example: Option<usize>,
    /// Starts work beside the window; its news come to [`View::take`].
    pub(crate) jobs: Jobs<News>,
    /// Errors on view.
    pub(crate) notes: attn_egui::Notes,
}

/// A tab.
pub(crate) trait View {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Shows it.
    fn ui(&mut self, ui: &mut Ui, session: &mut Session);

    /// The plot on view and the name of its file, for export.
    fn plot(&self, _: &Session) -> Option<(String, Box<dyn Plot + '_>)> {
        None
    }

    /// The training is another: it was opened, or it went on.
    fn follow(&mut self, _: &Session) {}

    /// Takes in news of a job, of any tab.
    fn take(&mut self, _: &News, _: &mut Session) {}
}

/// All tabs, in their order.
pub(crate) fn all(state: &RenderState) -> Vec<Box<dyn View>> {
    let model = model::Shared::default();
    vec![
        Box::new(data::Data::new(state)),
        Box::new(heads::Heads::new(state, model.clone())),
        Box::new(pruning::Pruning::new(state, model.clone())),
        Box::new(example::Example::new(state, model)),
        Box::new(compare::Compare::new(state)),
    ]
}
