//! What stands beside the heads: one sequence, in the head that is spoken of, in all, or through all layers; all sequences in that head;
//! the heads that are like it.

use attn_egui::{Export, SceneView, egui_wgpu::RenderState};
use attn_sdk::{
    Error, SequenceRollout, Study, Summary,
    core::{Attention, HeadId},
    render::{Event, Pick, Table, ViewState},
};
use eframe::egui::{RichText, ScrollArea, Ui, vec2};

use crate::{export, pictures, side::Side};

/// Height of a token's row in the sentence, and of what stands around the rows.
const ROW: f32 = 22.0;
const AROUND: f32 = 130.0;
/// Longer texts scroll within their picture.
const WHOLE: usize = 200;

#[derive(Clone, Copy, Default, PartialEq)]
enum Kind {
    #[default]
    Sequence,
    EveryHead,
    Rollout,
    ByPosition,
    Alike,
}

impl Kind {
    const ALL: [(Self, &str, &str); 5] = [
        (Self::Sequence, "sequence", "The chosen sequence in this head"),
        (Self::EveryHead, "all heads", "The chosen sequence in every head"),
        (
            Self::Rollout,
            "rollout",
            "What every state of the chosen sequence is made of, through all layers",
        ),
        (
            Self::ByPosition,
            "positions",
            "The mean over all sequences in this head",
        ),
        (
            Self::Alike,
            "alike",
            "A map of all heads: those that attend alike are near each other",
        ),
    ];
}

/// Head, whether it is one that a person points at, sequence and kind.
type Shows = (HeadId, bool, usize, Kind);

/// The picture, and how a person looks at it.
pub(crate) struct Detail {
    view: ViewState,
    picture: SceneView,
    kind: Kind,
    /// What was drawn.
    shows: Option<Shows>,
    /// What a sequence is made of, and the one that was asked for last.
    rollout: Option<SequenceRollout>,
    asked: Option<(Attention, usize)>,
}

impl Detail {
    pub(crate) fn new(state: &RenderState) -> Self {
        Self {
            view: ViewState::default(),
            picture: SceneView::new(state, "attention in one sequence"),
            kind: Kind::default(),
            shows: None,
            rollout: None,
            asked: None,
        }
    }

    /// What was asked for is there.
    pub(crate) fn take_rollout(&mut self, rollout: SequenceRollout) {
        self.rollout = Some(rollout);
        self.picture.invalidate();
    }

    /// The same sequences in another state of the model.
    pub(crate) fn drop_rollout(&mut self) {
        (self.rollout, self.asked) = (None, None);
    }

    /// Draws anew: heads or sequences are others.
    pub(crate) fn invalidate(&mut self) {
        self.picture.invalidate();
    }

    /// The data is other data.
    pub(crate) fn clear(&mut self) {
        self.drop_rollout();
        self.forget();
        self.invalidate();
    }

    /// No token is isolated or switched off any more: another sequence is shown.
    pub(crate) fn forget(&mut self) {
        self.view.selection = None;
        self.view.hidden.clear();
    }

    /// What its file is called.
    fn file_name(&self, study: &Study, head: HeadId, sequence: usize) -> String {
        let head = pictures::file_name(study, head);
        let sequence = sequence + 1;
        match self.kind {
            Kind::Sequence if study.is_picture(sequence - 1) => format!("image-{head}-of-{sequence}"),
            Kind::Sequence => format!("sentence-{head}-of-{sequence}"),
            Kind::EveryHead => format!("overview-of-{sequence}"),
            Kind::Rollout => format!("rollout-of-{sequence}"),
            Kind::ByPosition => format!("aggregate-{head}"),
            Kind::Alike => "head-map".into(),
        }
    }

    fn table(&self, study: &Study, summary: Option<&Summary>, head: HeadId, sequence: usize) -> Result<Table, Error> {
        match self.kind {
            Kind::Sequence if study.is_picture(sequence) => study.image_table(head, sequence),
            Kind::Sequence => {
                study.sentence_table(head, sequence, &self.view, self.picture.scene().map(|scene| scene.size))
            }
            Kind::EveryHead => study.overview_table(sequence),
            Kind::Rollout => self
                .rollout
                .as_ref()
                .map_or_else(|| Ok(Table::default()), |rollout| rollout.table(study)),
            Kind::ByPosition => study.aggregate_table(head),
            Kind::Alike => summary.map_or_else(|| Ok(Table::default()), Summary::map_table),
        }
    }
}

impl Side {
    /// The chosen sequence's attention in the head that is spoken of.
    pub(crate) fn show_sequence(&mut self, ui: &mut Ui) {
        let (Some(study), Some(head), Some(sequence)) = (&self.study, self.head(), self.sequence) else {
            return;
        };
        let detail = &mut self.detail;
        (detail.view.shared.theme, detail.view.shared.palette) = (self.view.shared.theme, self.view.shared.palette);
        let mut asked: Option<Export> = None;
        ui.horizontal_wrapped(|ui| {
            for (kind, name, hint) in Kind::ALL {
                ui.selectable_value(&mut detail.kind, kind, name).on_hover_text(hint);
            }
            asked = export::menu(ui);
        });
        if let Some(kind) = asked {
            let (name, table) = (detail.file_name(study, head, sequence), || {
                detail.table(study, self.summary.as_ref(), head, sequence)
            });
            self.written = export::write(&self.out, &name, kind, detail.picture.scene(), &detail.view, table);
        }
        // Another head, sequence or kind is another picture of the same view.
        let kind = detail.kind;
        let marked = self.view.open.or(self.view.hover_head);
        let shows = Some((head, marked.is_some(), sequence, kind));
        if detail.shows != shows {
            if detail.shows.map(|(.., kind)| kind) != Some(kind) {
                // A token of one picture is a head of another.
                detail.forget();
            }
            detail.shows = shows;
            detail.picture.invalidate();
        }
        let (picture, view) = (&mut detail.picture, &mut detail.view);
        match kind {
            Kind::Sequence if study.is_picture(sequence) => {
                picture.show(ui, view, |size, view| {
                    study.image(head, sequence, None, view, Some(size))
                });
            }
            Kind::Sequence => {
                let item = &study.capture().sequences()[sequence];
                let tokens = |side| item.tokens(side).len();
                let rows = tokens(head.attention.query_side()).max(tokens(head.attention.key_side()));
                let natural = if rows > WHOLE { 0.0 } else { AROUND + ROW * rows as f32 };
                ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                    let size = vec2(ui.available_width(), natural.max(ui.available_height()));
                    ui.allocate_ui(size, |ui| {
                        picture.show(ui, view, |size, view| study.sentence(head, sequence, view, Some(size)))
                    });
                });
            }
            Kind::EveryHead => {
                let shown = picture.show(ui, view, |size, view| study.overview(sequence, view, Some(size)));
                if let Some(head) = shown.opened() {
                    detail.view.close_head();
                    detail.kind = Kind::Sequence;
                    self.open(head);
                }
            }
            Kind::Rollout => {
                let wanted = (Study::self_attention_of(head), sequence);
                let there = detail.rollout.as_ref();
                match there.filter(|there| (there.attention(), there.sequence()) == wanted) {
                    Some(rollout) => {
                        picture.show(ui, view, |size, view| rollout.scene(study, None, view, Some(size)));
                    }
                    None => {
                        ui.label(RichText::new("Attention is followed through the layers …").weak());
                        // Once: if it failed, a note says why.
                        if detail.asked != Some(wanted) {
                            detail.asked = Some(wanted);
                            self.work.roll_out(study.clone(), wanted.0, wanted.1);
                        }
                    }
                }
            }
            Kind::ByPosition => {
                picture.show(ui, view, |size, view| study.aggregate(head, view, Some(size)));
            }
            Kind::Alike => {
                let Some(summary) = &self.summary else {
                    ui.label(RichText::new("The map appears when all heads are projected.").weak());
                    return;
                };
                let shown = picture.show(ui, view, |size, view| summary.map(marked, view, Some(size)));
                let clicked = shown.events.iter().find_map(|event| match event {
                    Event::SelectPoint(Some(Pick { head: None, id })) => summary.heads.get(*id as usize),
                    _ => None,
                });
                if let Some(head) = clicked.map(|clicked| clicked.head) {
                    detail.view.selection = None;
                    self.open(head);
                }
            }
        }
    }
}
