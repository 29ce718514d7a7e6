//! Heads: every score of every head, their rank correlations, and what each head does on average.

use attn_egui::{SceneView, egui_wgpu::RenderState, jobs::JobId};
use attn_sdk::{
    core::HeadId,
    render::{Plot, control::Event},
    study::pruning::Score,
};
use eframe::egui::{CentralPanel, Frame, Panel, RichText, Ui};

use super::{Session, View, model::Shared};
use crate::window::News;

/// What the grid shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Score(Score),
    Example,
    Attention,
    Correlation,
}

pub(crate) struct Heads {
    widget: SceneView,
    model: Shared,
    shown: Shown,
    head: Option<HeadId>,
}

impl Heads {
    pub(crate) fn new(state: &RenderState, model: Shared) -> Self {
        Self {
            widget: SceneView::new(state, "heads"),
            model,
            shown: Shown::Score(Score::AblationZero),
            head: None,
        }
    }

    fn drawn(&self, session: &Session) -> Option<Box<dyn Plot>> {
        let model = self.model.borrow();
        let study = model.study.as_ref()?;
        Some(match self.shown {
            Shown::Score(score) => Box::new(study.importance.grid(score)?),
            Shown::Example => {
                let at = model.clicked(session)?;
                let name = &model.loaded.as_ref()?.set.examples().get(at)?.sequence.name;
                Box::new(study.importance.example_grid(at, name)?)
            }
            Shown::Attention => Box::new(study.pattern_plot()),
            Shown::Correlation => Box::new(study.importance.correlation_plot()),
        })
    }

    fn controls(&mut self, ui: &mut Ui, session: &Session) {
        // The panel keeps its width, whatever is in it.
        ui.set_min_width(ui.available_width());
        ui.add_space(6.0);
        ui.label(RichText::new("Checkpoint").strong());
        self.model.borrow_mut().choose(ui, session);
        let mut model = self.model.borrow_mut();
        let Some(loaded) = model.loaded.clone() else { return };
        ui.label(format!("{} examples, {}", loaded.set.len(), loaded.set.metric().name()));
        for note in loaded.set.notes() {
            ui.label(RichText::new(note).weak());
        }
        model.measure_button(ui, session);
        let Some(study) = model.study.clone() else {
            ui.label("Ablates every head alone, by zeros and by its mean, and prunes along every order.");
            return;
        };
        drop(model);
        ui.separator();
        let before = self.shown;
        for score in Score::ALL
            .into_iter()
            .filter(|&score| study.importance.score(score).is_some())
        {
            ui.selectable_value(&mut self.shown, Shown::Score(score), score.title());
        }
        ui.selectable_value(&mut self.shown, Shown::Attention, "mean attention");
        ui.selectable_value(&mut self.shown, Shown::Correlation, "rank correlation");
        if self.model.borrow().clicked(session).is_some() {
            ui.selectable_value(&mut self.shown, Shown::Example, "the chosen example");
        }
        if before != self.shown {
            self.widget.invalidate();
        }
        ui.separator();
        if let Some(at) = self
            .head
            .and_then(|head| study.importance.heads.iter().position(|other| *other == head))
        {
            ui.label(RichText::new(study.model.head_name(study.importance.heads[at])).strong());
            for score in Score::ALL {
                if let Some(value) = study.importance.score(score).and_then(|values| values.get(at)) {
                    ui.label(format!("{}: {value:.4}", score.title()));
                }
            }
            let without = &study.importance.measured[0].without[at];
            ui.label(format!("without: {}", without.text()));
        }
        if let Some(rho) = study.importance.correlation(Score::Michel, Score::AblationZero) {
            ui.label(format!("Gradient and measured effect agree by {rho:.2} (Spearman)."));
        }
        let known = |note: &&String| loaded.set.notes().contains(note);
        for note in study.importance.notes.iter().filter(|note| !known(note)) {
            ui.label(RichText::new(note).weak());
        }
    }
}

impl View for Heads {
    fn name(&self) -> &'static str {
        "Heads"
    }

    fn ui(&mut self, ui: &mut Ui, session: &mut Session) {
        Panel::left("heads")
            .default_size(240.0)
            .show(ui, |ui| self.controls(ui, session));
        let Some(plot) = self.drawn(session) else { return };
        CentralPanel::default().frame(Frame::NONE).show(ui, |ui| {
            let shown = self.widget.show(ui, &mut session.view, &*plot);
            for event in shown.events {
                if let Event::OpenHead(head) = event {
                    self.head = Some(head);
                    session.view.open = None;
                }
            }
        });
    }

    fn plot(&self, session: &Session) -> Option<(String, Box<dyn Plot + '_>)> {
        let name = match self.shown {
            Shown::Score(score) => format!("heads-{}", score.name().replace('_', "-")),
            Shown::Example => "heads-example".into(),
            Shown::Attention => "heads-attention".into(),
            Shown::Correlation => "heads-correlation".into(),
        };
        Some((name, self.drawn(session)?))
    }

    fn end(&mut self, job: JobId, _: &mut Session) {
        self.model.borrow_mut().end(job);
    }

    fn take(&mut self, news: &News, _: &mut Session) {
        self.model.borrow_mut().take(news);
        if matches!(news, News::Heads(_) | News::Loaded(_)) {
            self.widget.invalidate();
        }
    }
}
