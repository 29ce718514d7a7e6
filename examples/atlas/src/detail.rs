//! The detail pane: one sequence in the current head, in all heads, or through all layers; means by position; the map of heads.

use std::collections::BTreeSet;

use attn_egui::{Format, SceneView, egui_wgpu::RenderState, export_menu};
use attn_sdk::{
    SequenceRollout, Study, Summary,
    core::{Attention, HeadId, Token},
    render::{
        Pick, Plot, ViewState,
        control::{Event, Key},
        plot::deferred,
    },
    study::gallery::head_file_name,
};
use eframe::egui::{RichText, ScrollArea, Ui, vec2};
use serde::{Deserialize, Serialize};

use crate::pane::Pane;

/// Height of a token's row in the sentence plot, and of its margins.
const ROW: f32 = 22.0;
const AROUND: f32 = 130.0;
/// Longer texts scroll within their plot.
const WHOLE: usize = 200;

/// What the detail pane shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    #[default]
    Sequence,
    EveryHead,
    Rollout,
    ByPosition,
    Similarity,
}

impl Kind {
    pub(crate) const ALL: [(Self, &str, &str); 5] = [
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

/// Tokens to switch off in every sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Off {
    Special,
    First,
}

/// Head, whether it is open or under the pointer, sequence (of what was typed: `None`), kind, and what is off.
type Shows = (HeadId, bool, Option<usize>, Kind, [bool; 2]);

/// The plot of the detail pane and its view state.
pub(crate) struct Detail {
    view: ViewState,
    plot: SceneView,
    kind: Kind,
    /// Whether what was typed is shown.
    typed: bool,
    /// Whether special and first tokens are switched off in every sequence.
    off: [bool; 2],
    /// What both plots have switched off.
    agreed: BTreeSet<u32>,
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
            typed: false,
            off: [false; 2],
            agreed: BTreeSet::new(),
            shows: None,
            rollout: None,
            asked: None,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn set_kind(&mut self, kind: Kind) {
        self.kind = kind;
    }

    /// Tokens that are switched off: ids of queries, then of keys.
    pub(crate) fn hidden(&self) -> &BTreeSet<u32> {
        &self.view.hidden
    }

    /// Switches these tokens off, and no others.
    pub(crate) fn set_hidden(&mut self, hidden: BTreeSet<u32>) {
        self.view.hidden = hidden;
    }

    /// Acts as if a key were pressed in the plot.
    pub(crate) fn press(&mut self, key: Key) {
        self.plot.press(key);
    }

    /// Shows what was typed, or the highlighted sequence.
    pub(crate) fn show_typed(&mut self, typed: bool) {
        if self.typed != typed {
            self.typed = typed;
            self.forget();
            if typed && !matches!(self.kind, Kind::Sequence | Kind::EveryHead) {
                self.kind = Kind::Sequence;
            }
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

    /// Forgets which tokens are isolated and off: the sequence has changed. Those off in every sequence follow.
    pub(crate) fn forget(&mut self) {
        self.view.selection = None;
        self.view.hidden.clear();
        self.view.first_token = 0;
        self.shows = None;
    }
}

/// A plot with its file name.
type Named<'a> = (String, Box<dyn Plot + 'a>);

/// The plot; `None` while it is computed.
fn plot<'a>(
    study: &'a Study,
    summary: Option<&'a Summary>,
    rollout: Option<&'a SequenceRollout>,
    (head, marked, of, kind, off): Shows,
    positions: &'a BTreeSet<u32>,
) -> Option<Named<'a>> {
    let sequence = of.unwrap_or(0);
    let name = head_file_name(study, head);
    let number = of.map_or_else(|| "typed".to_owned(), |sequence| (sequence + 1).to_string());
    Some(match kind {
        Kind::Sequence if study.is_image(sequence) => (
            format!("image-{name}-of-{number}"),
            Box::new(deferred(move |_| study.image(head, sequence, None))),
        ),
        Kind::Sequence => {
            let plot = deferred(move |_| study.sentence(head, sequence));
            let words = move |target| study.sentence(head, sequence).ok()?.tooltip(target);
            (format!("sentence-{name}-of-{number}"), Box::new(plot.tooltips(words)))
        }
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
            Box::new(deferred(move |_| {
                let item = study.capture().sequences().get(sequence);
                let queries = item.map_or(0, |item| item.tokens(head.attention.query_side()).len());
                let switched = |token: &Token, query: bool, position: usize| {
                    // Ids count the queries first.
                    let id = if query {
                        Some(position).filter(|id| *id < queries)
                    } else {
                        Some(queries + position)
                    };
                    let clicked = id
                        .and_then(|id| u32::try_from(id).ok())
                        .is_some_and(|id| positions.contains(&id));
                    (off[0] && token.special) || (off[1] && position == 0) || clicked
                };
                study.aggregate_without(head, &switched)
            })),
        ),
        Kind::Similarity => {
            let (summary, marked) = (summary?, marked.then_some(head));
            ("head-map".into(), Box::new(deferred(move |_| summary.map(marked))))
        }
    })
}

impl Pane {
    /// Switches tokens of one kind off in every sequence, or on again.
    pub(crate) fn switch_off(&mut self, off: Off) {
        let at = usize::from(off == Off::First);
        self.detail.off[at] = !self.detail.off[at];
        let on = self.detail.off[at];
        for id in self.ids_of(off) {
            if on {
                self.detail.view.hidden.insert(id);
            } else {
                self.detail.view.hidden.remove(&id);
            }
        }
    }

    /// Switches all tokens on.
    pub(crate) fn switch_all_on(&mut self) {
        self.detail.off = [false; 2];
        self.detail.view.hidden.clear();
        self.detail.view.selection = None;
    }

    /// The study and the sequence that the detail pane shows.
    fn detailed(&self) -> Option<(&Study, Option<usize>)> {
        match (&self.guest, self.detail.typed) {
            (Some(guest), true) => Some((guest, None)),
            _ => Some((self.study.as_ref()?, Some(self.sequence?))),
        }
    }

    /// The ids, as queries and as keys, of special or of first tokens in the shown sequence.
    fn ids_of(&self, off: Off) -> Vec<u32> {
        let (Some((study, sequence)), Some(head)) = (self.detailed(), self.head()) else {
            return Vec::new();
        };
        let Some(item) = study.capture().sequences().get(sequence.unwrap_or(0)) else {
            return Vec::new();
        };
        let sides = [head.attention.query_side(), head.attention.key_side()];
        let tokens = sides.into_iter().flat_map(|side| item.tokens(side).iter().enumerate());
        tokens
            .zip(0..)
            .filter(|((position, token), _)| match off {
                Off::Special => token.special,
                Off::First => *position == 0,
            })
            .map(|(_, id)| id)
            .collect()
    }

    /// The sentence and the lines of the open head have the same tokens off, whichever of them changed.
    fn agree(&mut self) {
        let (main, own) = (&mut self.view.hidden, &mut self.detail.view.hidden);
        if self.view.open.is_some() && *main != self.detail.agreed && *own == self.detail.agreed {
            own.clone_from(main);
        } else if self.view.open.is_some() {
            main.clone_from(own);
        }
        self.detail.agreed.clone_from(own);
    }

    /// Shows the highlighted sequence's attention in the current head.
    pub(crate) fn show_sequence(&mut self, ui: &mut Ui) {
        self.agree();
        let (Some(head), Some((study, sequence))) = (self.head(), self.detailed()) else {
            return;
        };
        let is_image = study.is_image(sequence.unwrap_or(0));
        let (mut asked, mut switched, mut reset) = (None, None, false);
        let detail = &mut self.detail;
        let (own, main) = (&mut detail.view.shared, &self.view.shared);
        (own.theme, own.palette, own.all_flows) = (main.theme, main.palette, main.all_flows);
        ui.horizontal_wrapped(|ui| {
            for (kind, name, hint) in Kind::ALL {
                // What was typed is one sequence: no rollout is kept of it, and means are those of the data.
                let of_data = matches!(kind, Kind::Rollout);
                if !(detail.typed && of_data) {
                    ui.selectable_value(&mut detail.kind, kind, name).on_hover_text(hint);
                }
            }
            asked = export_menu(ui, &Format::ALL);
        });
        let kind = detail.kind;
        ui.horizontal_wrapped(|ui| {
            if self.guest.is_some() {
                for (typed, name) in [(false, "of the data"), (true, "typed")] {
                    let label = ui.selectable_label(detail.typed == typed, name);
                    if label
                        .on_hover_text("The sequence of the data, or what you typed")
                        .clicked()
                    {
                        detail.show_typed(typed);
                    }
                }
                ui.separator();
            }
            match kind {
                Kind::Sequence if is_image => {
                    ui.checkbox(&mut self.view.shared.all_flows, "all flows from 0.1")
                        .on_hover_text("Every weight of at least 0.1, in place of the strongest of each patch");
                }
                Kind::Sequence | Kind::ByPosition if !is_image => {
                    ui.label("Off")
                        .on_hover_text("Tokens that are switched off; the others share their attention");
                    for (at, off, name, hint) in [
                        (0, Off::Special, "special tokens", "In every sequence"),
                        (1, Off::First, "first token", "In every sequence"),
                    ] {
                        if ui.selectable_label(detail.off[at], name).on_hover_text(hint).clicked() {
                            switched = Some(off);
                        }
                    }
                    let some = !detail.view.hidden.is_empty() || detail.off != [false; 2];
                    let button = ui.add_enabled(some, eframe::egui::Button::new("Show all"));
                    reset = button.on_hover_text("Switches all tokens on").clicked();
                }
                _ => {}
            }
        });
        if let Some(off) = switched {
            self.switch_off(off);
        }
        if reset {
            self.switch_all_on();
        }
        self.show_detail(ui, head, asked);
    }

    fn show_detail(&mut self, ui: &mut Ui, head: HeadId, asked: Option<Format>) {
        let Some((_, sequence)) = self.detailed() else { return };
        // Another head, sequence or kind is another plot with the same view state.
        let (kind, off) = (self.detail.kind, self.detail.off);
        let marked = self.view.open.or(self.plot.interaction().head).is_some();
        let shows = (head, marked, sequence, kind, off);
        if self.detail.shows != Some(shows) {
            let before = self.detail.shows.replace(shows);
            let (kept, of) = (before.map(|(_, _, of, kind, ..)| (of, kind)), (sequence, kind));
            if kept != Some(of) {
                // Ids of one kind of plot or sequence mean something else in another.
                self.detail.view.selection = None;
                if matches!(kind, Kind::Sequence | Kind::ByPosition) {
                    for (at, off) in [Off::Special, Off::First].into_iter().enumerate() {
                        if self.detail.off[at] {
                            let ids = self.ids_of(off);
                            self.detail.view.hidden.extend(ids);
                        }
                    }
                }
            }
            self.detail.plot.invalidate();
        }
        let (Some(own), typed) = (&self.study, self.detail.typed) else {
            return;
        };
        let study = match &self.guest {
            // Means by position and the map are about the data.
            Some(guest) if typed && matches!(kind, Kind::Sequence | Kind::EveryHead) => guest,
            _ => own,
        };
        let detail = &mut self.detail;
        let positions = detail.view.hidden.clone();
        let Some((name, plot)) = plot(
            study,
            self.summary.as_deref(),
            detail.rollout.as_ref(),
            shows,
            &positions,
        ) else {
            if kind == Kind::Similarity {
                ui.label(RichText::new("The map appears with the roles of heads.").weak());
                return;
            }
            ui.label(RichText::new("Computing the rollout …").weak());
            let wanted = (Study::self_attention_of(head), sequence.unwrap_or(0));
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
            Kind::Sequence if !study.is_image(sequence.unwrap_or(0)) => {
                let item = &study.capture().sequences()[sequence.unwrap_or(0)];
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
                    Event::SelectPoint(Some(Pick { head: None, id })) => self.summary.as_ref()?.heads.get(*id as usize),
                    _ => None,
                });
                clicked.map(|clicked| clicked.head)
            }
            _ => None,
        };
        if shown.events.iter().any(|event| matches!(event, Event::SwitchToken(_))) {
            // The lines of the open head follow.
            self.plot.invalidate();
        }
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
