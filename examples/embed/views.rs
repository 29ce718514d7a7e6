//! Three linked views of a study in an egui window, and what is saved of them.

use std::error::Error;

use attn_egui::{SceneView, egui_wgpu::RenderState, link_views};
use attn_sdk::{Study, core::HeadId, render::ViewState};
use serde::{Deserialize, Serialize};

use crate::embed::Options;

/// Everything that is saved: what is open, and how each view is looked at.
#[derive(Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) open: HeadId,
    pub(crate) sequence: usize,
    pub(crate) matrix: ViewState,
    pub(crate) head: ViewState,
    pub(crate) sentence: ViewState,
}

impl Session {
    pub(crate) fn new(study: &Study, options: &Options) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            open: *study.ranking().first().ok_or("no heads")?,
            sequence: study.typical_sequence(),
            matrix: options.view(),
            head: options.view(),
            sentence: options.view(),
        })
    }
}

/// The widgets of the session's states.
pub(crate) struct Views {
    pub(crate) session: Session,
    pub(crate) matrix: SceneView,
    pub(crate) head: SceneView,
    pub(crate) sentence: SceneView,
}

impl Views {
    pub(crate) fn new(state: &RenderState, session: Session) -> Self {
        Self {
            session,
            matrix: SceneView::new(state, "all heads"),
            head: SceneView::new(state, "one head"),
            sentence: SceneView::new(state, "one sentence"),
        }
    }

    /// The head and the sentence on view.
    pub(crate) fn shown(&self) -> (HeadId, usize) {
        (self.session.open, self.session.sequence)
    }

    /// What is done in one view is done in all; each has its own camera.
    pub(crate) fn link(&mut self, from: usize) {
        let session = &mut self.session;
        let mut views = [
            (&mut session.matrix, &mut self.matrix),
            (&mut session.head, &mut self.head),
            (&mut session.sentence, &mut self.sentence),
        ];
        link_views(from, &mut views);
    }

    /// Another head or sentence is to be seen.
    pub(crate) fn choose(&mut self, open: HeadId, sequence: usize) {
        (self.session.open, self.session.sequence) = (open, sequence);
        self.head.invalidate();
        self.sentence.invalidate();
    }
}
