//! A plot whose points are examples: its selection and clicks are those of the session.

use attn_egui::{SceneView, egui_wgpu::RenderState, toolbar::tool_buttons};
use attn_sdk::render::{Plot, Selection, ViewState, control::Event};
use eframe::egui::Ui;

use super::Session;

pub(crate) struct Points {
    widget: SceneView,
    state: ViewState,
    /// The examples that the points are.
    pub(crate) examples: Vec<usize>,
    /// The version of the session that the selection was made for.
    version: Option<u64>,
}

impl Points {
    pub(crate) fn new(state: &RenderState, label: &str) -> Self {
        Self {
            widget: SceneView::new(state, label),
            state: ViewState::default(),
            examples: Vec::new(),
            version: None,
        }
    }

    /// The points are others.
    pub(crate) fn renew(&mut self, examples: Vec<usize>) {
        self.examples = examples;
        self.state.shared.hidden_classes.clear();
        self.version = None;
        self.widget.animate();
    }

    /// The plot is another, of the same points.
    pub(crate) fn invalidate(&mut self) {
        self.widget.invalidate();
    }

    pub(crate) fn tools(&mut self, ui: &mut Ui) {
        tool_buttons(ui, &mut self.widget);
    }

    pub(crate) fn show(&mut self, ui: &mut Ui, session: &mut Session, plot: &dyn Plot) {
        self.state.shared.theme = session.view.shared.theme;
        if self.version != Some(session.version) {
            self.version = Some(session.version);
            let marked = self
                .examples
                .iter()
                .zip(0_u32..)
                .filter(|(example, _)| session.selected.contains(example));
            self.state.shared.selected = Selection::new(None, marked.map(|(_, id)| id));
        }
        let before = self.state.shared.selected.clone();
        let shown = self.widget.show(ui, &mut self.state, plot);
        session.view.shared.theme = self.state.shared.theme;
        if self.state.shared.selected != before {
            let ids = self.state.shared.selected.ids_below(self.examples.len());
            let examples: Vec<usize> = ids.map(|id| self.examples[id]).collect();
            session.select(examples);
            self.version = Some(session.version);
        }
        for event in shown.events {
            if let Event::SelectPoint(Some(pick)) = event {
                session.example = self.examples.get(pick.id as usize).copied();
            }
        }
    }
}
