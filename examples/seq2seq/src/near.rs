//! The list of neighbors: what in the index the state under the pointer is like.

use attn_sdk::study::decoding::{Decoding, Neighbor, Neighborhood, StateKind};
use eframe::egui::{Color32, FontId, RichText, ScrollArea, Sense, TextFormat, TextStyle, Ui, text::LayoutJob};

/// What the list shows, kept while the pointer is elsewhere.
pub(crate) struct NearList {
    /// The kind of the states of target tokens.
    kind: StateKind,
    /// Which token is marked: the matched one, the one before or the one after.
    offset: isize,
    /// The state that is listed.
    pub(crate) focus: (StateKind, usize),
    /// The neighbor under the pointer in the list: its place among those that are drawn.
    pub(crate) over: Option<usize>,
}

impl Default for NearList {
    fn default() -> Self {
        Self {
            kind: StateKind::Decoder,
            offset: 0,
            focus: (StateKind::Decoder, 0),
            over: None,
        }
    }
}

impl NearList {
    /// Follows a token of the source or of the target.
    pub(crate) fn follow(&mut self, source: bool, token: usize) {
        self.focus = (if source { StateKind::Encoder } else { self.kind }, token);
    }

    /// The list of the state in focus; `marked` is the neighbor under the pointer elsewhere.
    pub(crate) fn show(&mut self, ui: &mut Ui, decoding: &Decoding, near: &Neighborhood, marked: Option<usize>) {
        self.over = None;
        ui.horizontal(|ui| {
            ui.label("Target:");
            for kind in [StateKind::Decoder, StateKind::Context] {
                let there = near.states.iter().any(|own| own.kind == kind);
                if there
                    && ui.radio_value(&mut self.kind, kind, kind.name()).changed()
                    && self.focus.0 != StateKind::Encoder
                {
                    self.focus.0 = kind;
                }
            }
            ui.separator();
            ui.label("mark")
                .on_hover_text("The matched token, the one before it or the one after it");
            for (offset, name) in [(-1, "-1"), (0, "0"), (1, "+1")] {
                ui.radio_value(&mut self.offset, offset, name);
            }
        });
        let (kind, token) = self.focus;
        let row = match kind {
            StateKind::Encoder => Some(&decoding.source),
            _ => decoding.hypotheses.get(near.hypothesis).map(|found| &found.row),
        };
        let Some(own) = near.of(kind, token) else {
            ui.label("Hover a token.");
            return;
        };
        let text = row.and_then(|row| row.tokens.get(token)).map_or("", String::as_str);
        let verb = if kind == StateKind::Encoder {
            "reads"
        } else {
            "predicts"
        };
        ui.label(
            RichText::new(format!(
                "{kind} state {} {verb} \"{text}\": {} of {} neighbors agree",
                token + 1,
                own.agreeing,
                own.compared
            ))
            .strong(),
        );
        let drawn = near.drawn();
        let place = |found: &Neighbor| {
            let same = |(own, other): &(StateKind, &Neighbor)| {
                (*own, other.pair, other.token) == (kind, found.pair, found.token)
            };
            drawn.iter().position(same)
        };
        ScrollArea::both()
            .id_salt("neighbors")
            .auto_shrink(false)
            .show(ui, |ui| {
                for found in &own.neighbors {
                    let Some(pair) = near.pairs.get(found.pair) else {
                        continue;
                    };
                    let at = place(found);
                    let mut job = LayoutJob::default();
                    let font = TextStyle::Body.resolve(ui.style());
                    let (normal, weak) = (ui.visuals().text_color(), ui.visuals().weak_text_color());
                    let strong = ui.visuals().hyperlink_color;
                    let add = |job: &mut LayoutJob, text: &str, color: Color32| {
                        job.append(text, 0.0, format_of(&font, color));
                    };
                    add(&mut job, &format!("{:.3}  ", found.distance), weak);
                    add(&mut job, if found.agrees { "= " } else { "\u{2260} " }, normal);
                    let of_source = kind == StateKind::Encoder;
                    for (source, tokens) in [(true, &pair.source_tokens), (false, &pair.target_tokens)] {
                        let letters = tokens
                            .iter()
                            .all(|token| token.chars().count() <= 1 || token.starts_with('<'));
                        for (at, token) in tokens.iter().enumerate() {
                            let matched = found.token.checked_add_signed(self.offset) == Some(at);
                            let color = if source == of_source && matched { strong } else { normal };
                            add(&mut job, token, color);
                            if !letters {
                                add(&mut job, " ", normal);
                            }
                        }
                        if source {
                            add(&mut job, "  \u{2192}  ", weak);
                        }
                    }
                    let mut remarks = format!("  line {}", pair.line);
                    if found.copies > 1 {
                        remarks.push_str(&format!(", {} times", found.copies));
                    }
                    if found.own {
                        remarks.push_str(", own sentence");
                    }
                    add(&mut job, &remarks, weak);
                    job.wrap.max_width = f32::INFINITY;
                    let shown = ui.selectable_label(at.is_some() && at == marked, job);
                    if ui.interact(shown.rect, shown.id.with("over"), Sense::hover()).hovered() {
                        self.over = at;
                    }
                }
            });
    }
}

fn format_of(font: &FontId, color: Color32) -> TextFormat {
    TextFormat {
        font_id: font.clone(),
        color,
        ..TextFormat::default()
    }
}
