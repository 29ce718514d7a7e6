//! The detail pane: one sequence in the current head, in all heads, or through all layers; means by position; the map of heads.

use std::collections::BTreeSet;

use attn_egui::{SceneView, attn_render::Format, egui_wgpu::RenderState, export::export_menu};
use attn_sdk::{
    Study,
    core::{Attention, HeadId, Side, Token},
    render::{
        Pick, Plot, ViewState,
        control::{Event, Key},
        plot::deferred,
    },
    study::{gallery::head_file_name, rollout::SequenceRollout, sequence::SwitchedOff, summary::Summary},
};
use eframe::egui::{ScrollArea, Ui, vec2};
use serde::{Deserialize, Serialize};

use crate::{pane::Pane, stopped::Again};

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
            "Mean attention by position over the drawn sequences, of long ones over as many as take a moment to read",
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

impl Off {
    /// These alone.
    fn alone(self) -> SwitchedOff {
        SwitchedOff {
            special: self == Self::Special,
            first: self == Self::First,
        }
    }
}

/// Head, whether it is open or under the pointer, sequence (of what was typed: `None`), kind, and what is off.
type Shows = (HeadId, bool, Option<usize>, Kind, SwitchedOff);

/// What ids of tokens count in a sequence and head: the side and number of the queries, then of the keys.
type Counted = [(Side, usize); 2];

/// Tokens that are off where ids count something else: those at the same place of the same side, asking or answering as before.
fn carried(off: &BTreeSet<u32>, before: Counted, now: Counted) -> BTreeSet<u32> {
    let carried = off.iter().filter_map(|id| {
        let id = *id as usize;
        let (role, position) = match id.checked_sub(before[0].1) {
            None => (0, id),
            Some(position) => (1, position),
        };
        let known = before[role].0 == now[role].0 && position < now[role].1;
        let id = position + if role == 0 { 0 } else { now[0].1 };
        u32::try_from(id).ok().filter(|_| known)
    });
    carried.collect()
}

/// The plot of the detail pane and its view state.
pub(crate) struct Detail {
    view: ViewState,
    plot: SceneView,
    kind: Kind,
    /// Whether what was typed is shown.
    typed: bool,
    /// Whether special and first tokens are switched off in every sequence.
    off: SwitchedOff,
    /// What both plots have switched off, and what the ids count.
    agreed: BTreeSet<u32>,
    counted: Option<Counted>,
    /// What is drawn.
    shows: Option<Shows>,
    /// The rollout of a sequence, and the last request.
    rollout: Option<SequenceRollout>,
    asked: Option<(Attention, usize)>,
    asked_export: Option<Format>,
}

impl Detail {
    pub(crate) fn new(state: &RenderState) -> Self {
        Self {
            view: ViewState::default(),
            plot: SceneView::new(state, "attention in one sequence"),
            kind: Kind::default(),
            typed: false,
            off: SwitchedOff::default(),
            agreed: BTreeSet::new(),
            counted: None,
            shows: None,
            rollout: None,
            asked: None,
            asked_export: None,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn set_kind(&mut self, kind: Kind) {
        self.kind = kind;
    }

    /// Tokens that are switched off, of the data or of what was typed: ids of queries, then of keys.
    pub(crate) fn hidden(&self, typed: bool) -> Option<&BTreeSet<u32>> {
        (self.typed == typed).then_some(&self.view.hidden)
    }

    /// Switches these tokens of the data off, and no others.
    pub(crate) fn set_hidden(&mut self, hidden: BTreeSet<u32>) {
        if !self.typed {
            self.view.hidden = hidden;
        }
    }

    /// Names the characters that the plot shows as boxes.
    pub(crate) fn missing_note(&self) -> Option<String> {
        self.plot.missing_note()
    }

    /// Acts as if a key were pressed in the plot.
    pub(crate) fn press(&mut self, key: Key) {
        self.plot.press(key);
    }

    /// Switches these tokens off in every sequence that is shown from now on.
    pub(crate) fn set_off(&mut self, off: SwitchedOff) {
        self.off = off;
        // Ids follow with the next sequence.
        self.shows = None;
    }

    /// Shows what was typed, or the highlighted sequence.
    pub(crate) fn show_typed(&mut self, typed: bool) {
        if self.typed != typed {
            self.typed = typed;
            self.forget();
            // Tokens of the data that are off stay so meanwhile.
            self.agreed.clear();
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

    /// Writes the plot with the next frame.
    pub(crate) fn export(&mut self, format: Format) {
        self.asked_export = Some(format);
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
        (self.shows, self.counted) = (None, None);
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
    (positions, queries): (&'a BTreeSet<u32>, usize),
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
                    off.has(token, position) || clicked
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
        let all = &mut self.detail.off;
        let which = match off {
            Off::Special => &mut all.special,
            Off::First => &mut all.first,
        };
        *which = !*which;
        let switched = *which;
        for id in self.ids_of(off.alone()) {
            if switched {
                self.detail.view.hidden.insert(id);
            } else {
                self.detail.view.hidden.remove(&id);
            }
        }
    }

    /// Which tokens are off in every sequence.
    pub(crate) fn switched_off(&self) -> SwitchedOff {
        self.detail.off
    }

    /// Has these tokens off in every sequence, as undo, a bookmark or a session had.
    pub(crate) fn set_switched_off(&mut self, off: SwitchedOff) {
        if off == self.detail.off {
            return;
        }
        let before = self.ids_of(self.detail.off);
        self.detail.view.hidden.retain(|id| !before.contains(id));
        self.detail.off = off;
        self.add_switched_off();
        self.detail.plot.invalidate();
    }

    /// Switches all tokens on.
    pub(crate) fn switch_all_on(&mut self) {
        self.detail.off = SwitchedOff::default();
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
    fn ids_of(&self, off: SwitchedOff) -> BTreeSet<u32> {
        let (Some((study, sequence)), Some(head)) = (self.detailed(), self.head()) else {
            return BTreeSet::new();
        };
        study.switched_off(head, sequence.unwrap_or(0), off)
    }

    /// What ids of tokens count in the shown sequence and the current head.
    fn counted(&self) -> Option<Counted> {
        let ((study, sequence), head) = (self.detailed()?, self.head()?);
        let item = study.capture().sequences().get(sequence.unwrap_or(0))?;
        let sides = [head.attention.query_side(), head.attention.key_side()];
        Some(sides.map(|side| (side, item.tokens(side).len())))
    }

    /// Has the same tokens off in the sentence and in the lines of the open head, whichever of them changed. In another head ids
    /// may count other tokens; those of what was typed are off in its own lines.
    pub(crate) fn agree(&mut self) {
        let counted = self.counted();
        if let (Some(before), Some(now)) = (self.detail.counted, counted)
            && before != now
        {
            self.detail.view.hidden = carried(&self.detail.view.hidden, before, now);
            self.add_switched_off();
        }
        self.detail.counted = counted.or(self.detail.counted);
        let (main, own) = (&mut self.view.hidden, &mut self.detail.view.hidden);
        if self.detail.typed {
            if *own != self.detail.agreed {
                self.plot.invalidate();
            }
        } else if self.view.open.is_some() && *main != self.detail.agreed && *own == self.detail.agreed {
            own.clone_from(main);
        } else if self.view.open.is_some() {
            main.clone_from(own);
        }
        self.detail.agreed.clone_from(own);
    }

    /// Switches tokens off here that are off in every sequence.
    fn add_switched_off(&mut self) {
        let ids = self.ids_of(self.detail.off);
        self.detail.view.hidden.extend(ids);
    }

    /// Shows the highlighted sequence's attention in the current head.
    pub(crate) fn show_sequence(&mut self, ui: &mut Ui) {
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
            asked = export_menu(ui, &Format::ALL).or(detail.asked_export.take());
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
                    for (off, on, name) in [
                        (Off::Special, detail.off.special, "special tokens"),
                        (Off::First, detail.off.first, "first token"),
                    ] {
                        if ui
                            .selectable_label(on, name)
                            .on_hover_text("In every sequence")
                            .clicked()
                        {
                            switched = Some(off);
                        }
                    }
                    let some = !detail.view.hidden.is_empty() || detail.off != SwitchedOff::default();
                    let button = ui.add_enabled(some, eframe::egui::Button::new("Show all tokens"));
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

    /// Whether what the plot is made of is there; else it is asked for, and said to be under way.
    fn is_there(&mut self, ui: &mut Ui, head: HeadId, sequence: usize) -> bool {
        match self.detail.kind {
            Kind::Similarity if self.summary.is_none() => {
                self.under_way(ui, &Again::Roles, "The map appears with the roles of heads.");
                false
            }
            Kind::Rollout => {
                let wanted = (Study::self_attention_of(head), sequence);
                let there = |rollout: &SequenceRollout| (rollout.attention(), rollout.sequence()) == wanted;
                if self.detail.rollout.as_ref().is_some_and(there) {
                    return true;
                }
                // Only once: a note reports a failure.
                if let Some(study) = self.study.as_ref().filter(|_| self.detail.asked != Some(wanted)) {
                    self.detail.asked = Some(wanted);
                    self.stopped.resumed(&Again::Rollout);
                    self.work.roll_out(study.clone(), wanted.0, wanted.1);
                }
                self.under_way(ui, &Again::Rollout, "Computing the rollout …");
                false
            }
            _ => true,
        }
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
                    self.add_switched_off();
                }
            }
            self.detail.plot.invalidate();
        }
        if !self.is_there(ui, head, sequence.unwrap_or(0)) {
            return;
        }
        // Of the sequence whose tokens are switched, which may be what was typed.
        let queries = self.counted().map_or(0, |[(_, queries), _]| queries);
        let (Some(own), typed) = (&self.study, self.detail.typed) else {
            return;
        };
        let study = match &self.guest {
            // Means by position and the map are about the data.
            Some(guest) if typed && matches!(kind, Kind::Sequence | Kind::EveryHead) => guest,
            _ => own,
        };
        // Those that are off in every sequence have other places in others.
        let everywhere = self.ids_of(self.detail.off);
        let positions: BTreeSet<u32> = self.detail.view.hidden.difference(&everywhere).copied().collect();
        let detail = &mut self.detail;
        let Some((name, plot)) = plot(
            study,
            self.summary.as_deref(),
            detail.rollout.as_ref(),
            shows,
            (&positions, queries),
        ) else {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stay_off_in_other_heads_where_they_are_the_same() {
        // The second token of the source as a query and as a key; the third as a key.
        let off = BTreeSet::from([1, 5 + 1, 5 + 2]);
        let source = [(Side::Encoder, 5), (Side::Encoder, 5)];
        let cross = [(Side::Decoder, 8), (Side::Encoder, 5)];
        let target = [(Side::Decoder, 8), (Side::Decoder, 8)];
        assert_eq!(carried(&off, source, source), off);
        // In cross-attention keys are those of the source; queries are others.
        let keys = BTreeSet::from([8 + 1, 8 + 2]);
        assert_eq!(carried(&off, source, cross), keys);
        assert_eq!(carried(&keys, cross, source), BTreeSet::from([5 + 1, 5 + 2]));
        assert!(carried(&off, source, target).is_empty());
        assert_eq!(carried(&BTreeSet::from([7, 8 + 4]), cross, target), BTreeSet::from([7]));
    }
}
