//! The detail pane: one sequence in the current head, in all heads, or through all layers; means by position; the map of heads.

use attn_egui::{Format, SceneView, egui_wgpu::RenderState, export_menu};
use attn_sdk::{
    SequenceRollout, Study, Summary,
    core::{Attention, HeadId},
    render::{Event, Pick, Plot, ViewState, deferred},
    study::gallery::head_file_name,
};
use eframe::egui::{RichText, ScrollArea, Ui, vec2};

use crate::pane::Pane;

/// Height of a token's row in the sentence plot, and of its margins.
const ROW: f32 = 22.0;
const AROUND: f32 = 130.0;
/// Longer texts scroll within their plot.
const WHOLE: usize = 200;

#[derive(Clone, Copy, Default, PartialEq)]
enum Kind {
    #[default]
    Sequence,
    EveryHead,
    Rollout,
    ByPosition,
    Similarity,
}

impl Kind {
    const ALL: [(Self, &str, &str); 5] = [
        (Self::Sequence, "sequence", "The highlighted sequence in this head"),
        (Self::EveryHead, "all heads", "The highlighted sequence in every head"),
        (
            Self::Rollout,
            "rollout",
            "Attention rollout: contributions of tokens to states, through all layers",
        ),
        (
            Self::ByPosition,
            "positions",
            "Mean attention by position over all sequences",
        ),
        (
            Self::Similarity,
            "similarity",
            "Map of all heads: heads with similar attention are close",
        ),
    ];
}

/// Head, whether it is open or under the pointer, sequence and kind.
type Shows = (HeadId, bool, usize, Kind);

/// The plot of the detail pane and its view state.
pub(crate) struct Detail {
    view: ViewState,
    plot: SceneView,
    kind: Kind,
    /// What is drawn.
    shows: Option<Shows>,
    /// The rollout of a sequence, and the last request.
    rollout: Option<SequenceRollout>,
    asked: Option<(Attention, usize)>,
}

impl Detail {
    pub(crate) fn new(state: &RenderState) -> Self {
        Self {
            view: ViewState::default(),
            plot: SceneView::new(state, "attention in one sequence"),
            kind: Kind::default(),
            shows: None,
            rollout: None,
            asked: None,
        }
    }

    /// Takes a finished rollout.
    pub(crate) fn take_rollout(&mut self, rollout: SequenceRollout) {
        self.rollout = Some(rollout);
        self.plot.invalidate();
    }

    /// Drops the rollout: the model has changed.
    pub(crate) fn drop_rollout(&mut self) {
        (self.rollout, self.asked) = (None, None);
    }

    /// Redraws: heads or sequences have changed.
    pub(crate) fn invalidate(&mut self) {
        self.plot.invalidate();
    }

    /// Clears everything: the data has changed.
    pub(crate) fn clear(&mut self) {
        self.drop_rollout();
        self.forget();
        self.invalidate();
    }

    /// Shows all tokens again: the sequence has changed.
    pub(crate) fn forget(&mut self) {
        self.view.selection = None;
        self.view.hidden.clear();
    }
}

/// The plot and its file name; `None` while it is computed.
fn plot<'a>(
    study: &'a Study,
    summary: Option<&'a Summary>,
    rollout: Option<&'a SequenceRollout>,
    (head, marked, sequence, kind): Shows,
) -> Option<(String, Box<dyn Plot + 'a>)> {
    let (name, number) = (head_file_name(study, head), sequence + 1);
    Some(match kind {
        Kind::Sequence if study.is_image(sequence) => (
            format!("image-{name}-of-{number}"),
            Box::new(deferred(move |_| study.image(head, sequence, None))),
        ),
        Kind::Sequence => (
            format!("sentence-{name}-of-{number}"),
            Box::new(deferred(move |_| study.sentence(head, sequence))),
        ),
        Kind::EveryHead => (
            format!("overview-of-{number}"),
            Box::new(deferred(move |_| study.overview(sequence))),
        ),
        Kind::Rollout => {
            let wanted = (Study::self_attention_of(head), sequence);
            let rollout = rollout.filter(|there| (there.attention(), there.sequence()) == wanted)?;
            (
                format!("rollout-of-{number}"),
                Box::new(deferred(move |_| rollout.plot(study, None))),
            )
        }
        Kind::ByPosition => (
            format!("aggregate-{name}"),
            Box::new(deferred(move |_| study.aggregate(head))),
        ),
        Kind::Similarity => {
            let (summary, marked) = (summary?, marked.then_some(head));
            ("head-map".into(), Box::new(deferred(move |_| summary.map(marked))))
        }
    })
}

impl Pane {
    /// Shows the highlighted sequence's attention in the current head.
    pub(crate) fn show_sequence(&mut self, ui: &mut Ui) {
        let (Some(study), Some(head), Some(sequence)) = (&self.study, self.head(), self.sequence) else {
            return;
        };
        let detail = &mut self.detail;
        (detail.view.shared.theme, detail.view.shared.palette) = (self.view.shared.theme, self.view.shared.palette);
        let mut asked = None;
        ui.horizontal_wrapped(|ui| {
            for (kind, name, hint) in Kind::ALL {
                ui.selectable_value(&mut detail.kind, kind, name).on_hover_text(hint);
            }
            asked = export_menu(ui, &Format::ALL);
        });
        // Another head, sequence or kind is another plot with the same view state.
        let kind = detail.kind;
        let marked = self.view.open.or(self.plot.interaction().head).is_some();
        let shows = (head, marked, sequence, kind);
        if detail.shows != Some(shows) {
            if detail.shows.map(|(.., kind)| kind) != Some(kind) {
                // Ids of one kind of plot mean something else in another.
                detail.forget();
            }
            detail.shows = Some(shows);
            detail.plot.invalidate();
        }
        let summary = self.summary.as_ref();
        let Some((name, plot)) = plot(study, summary, detail.rollout.as_ref(), shows) else {
            if kind == Kind::Similarity {
                ui.label(RichText::new("The map appears when all heads are projected.").weak());
                return;
            }
            ui.label(RichText::new("Computing the rollout …").weak());
            let wanted = (Study::self_attention_of(head), sequence);
            // Only once: a note reports a failure.
            if detail.asked != Some(wanted) {
                detail.asked = Some(wanted);
                self.work.roll_out(study.clone(), wanted.0, wanted.1);
            }
            return;
        };
        let (shown, view) = (&mut detail.plot, &mut detail.view);
        if let Some(format) = asked {
            self.exports.plot(&name, format, &plot, view, Some(shown));
        }
        // A sentence scrolls as a whole; longer texts scroll within their plot.
        let natural = match kind {
            Kind::Sequence if !study.is_image(sequence) => {
                let item = &study.capture().sequences()[sequence];
                let tokens = |side| item.tokens(side).len();
                let rows = tokens(head.attention.query_side()).max(tokens(head.attention.key_side()));
                if rows > WHOLE { 0.0 } else { AROUND + ROW * rows as f32 }
            }
            _ => 0.0,
        };
        let area = ScrollArea::vertical().auto_shrink(false);
        let shown = area.show(ui, |ui| {
            let size = vec2(ui.available_width(), natural.max(ui.available_height()));
            ui.allocate_ui(size, |ui| shown.show(ui, view, &plot)).inner
        });
        drop(plot);
        let shown = shown.inner;
        let opened = match kind {
            Kind::EveryHead => shown.opened(),
            Kind::Similarity => {
                let clicked = shown.events.iter().find_map(|event| match event {
                    Event::SelectPoint(Some(Pick { head: None, id })) => summary?.heads.get(*id as usize),
                    _ => None,
                });
                clicked.map(|clicked| clicked.head)
            }
            _ => None,
        };
        let Some(head) = opened else { return };
        if kind == Kind::EveryHead {
            view.close_head();
            detail.kind = Kind::Sequence;
        } else {
            view.selection = None;
        }
        self.open(head);
    }
}
