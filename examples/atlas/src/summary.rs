//! What can be said of the heads, beside the pictures: of one head if one is open or under the pointer, else of the model.

use attn_sdk::{
    ChainedHeads, Summary,
    analyze::heads::{LabelKind, Measure},
    core::HeadId,
};
use eframe::egui::{Grid, RichText, Ui};

use crate::{
    experiment::{self, Question},
    export,
    side::Side,
};

/// Heads named per habit.
const NAMED: usize = 16;
/// Heads that are most like one.
const LIKE: usize = 6;

/// What a click asks for.
pub(crate) enum Ask {
    /// To show a head.
    Open(HeadId),
    /// To measure what the model is without something.
    Try(Question),
}

/// Shows it, beside the scores of another model if there is one, and returns what a click asks for.
pub(crate) fn show(ui: &mut Ui, side: &mut Side, other: Option<&Summary>) -> Option<Ask> {
    let Some(summary) = side.summary.clone() else {
        ui.label(RichText::new("What each head does appears here when all heads are projected.").weak());
        return None;
    };
    let Some(head) = side.view.open.or(side.picture.interaction().head) else {
        if let Some(kind) = export::numbers_menu(ui) {
            side.written = export::write_table(&side.out, "summary", kind, &summary.table());
        }
        return of_model(ui, side, &summary);
    };
    let opened = of_head(ui, side, &summary, other, head).map(Ask::Open);
    ui.add_space(6.0);
    experiment::show(ui, side, &[head], "What is the model without it?")
        .map(Ask::Try)
        .or(opened)
}

fn of_model(ui: &mut Ui, side: &mut Side, summary: &Summary) -> Option<Ask> {
    let (mut clicked, mut question) = (None, None);
    let named = summary.heads.iter().filter(|head| !head.labels.is_empty()).count();
    ui.heading("What the heads do");
    ui.label(format!(
        "{named} of {} heads have a habit that has a name.",
        summary.heads.len()
    ));
    ui.add_space(6.0);
    for (kind, heads) in summary.habits() {
        ui.label(RichText::new(format!("{kind} · {}", heads.len())).strong());
        ui.horizontal_wrapped(|ui| {
            for label in heads.iter().take(NAMED) {
                clicked = link(ui, summary, label.head, Some(&label.reason)).or(clicked);
            }
            more(ui, heads.len());
        });
        if heads.len() > 1 {
            let heads: Vec<HeadId> = heads.iter().map(|label| label.head).collect();
            question = ui
                .push_id(kind, |ui| experiment::show(ui, side, &heads, "Without them?"))
                .inner
                .or(question);
        }
    }
    ui.add_space(6.0);
    if !summary.anomalies.is_empty() {
        ui.heading("What stands out");
        for alike in summary.anomalies.chunk_by(|a, b| a.kind == b.kind) {
            ui.label(RichText::new(format!("{} · {}", alike[0].kind, alike.len())).strong());
            ui.horizontal_wrapped(|ui| {
                for anomaly in alike.iter().take(NAMED) {
                    clicked = link(ui, summary, anomaly.head, Some(&anomaly.reason)).or(clicked);
                }
            });
        }
        ui.add_space(6.0);
    }
    ui.heading("Heads that look at the same places");
    for group in summary.likeness.iter().flat_map(|likeness| &likeness.groups) {
        ui.horizontal_wrapped(|ui| {
            for head in group.iter().take(NAMED) {
                clicked = link(ui, summary, *head, None).or(clicked);
            }
            more(ui, group.len());
        });
        // One of them stays: the one that is nearest to the others.
        let name = format!("Without all but {}?", summary.model.head_name(group[0]));
        question = ui
            .push_id(group[0], |ui| experiment::show(ui, side, &group[1..], &name))
            .inner
            .or(question);
    }
    for pair in &summary.alike {
        ui.horizontal_wrapped(|ui| {
            clicked = link(ui, summary, pair.a, None).or(clicked);
            clicked = link(ui, summary, pair.b, None).or(clicked);
            ui.label(format!(
                "{:.3} bits apart, the median pair {:.3}",
                pair.divergence, pair.median
            ));
        });
    }
    if !summary.chained.is_empty() {
        ui.add_space(6.0);
        ui.heading("Heads that read earlier heads")
            .on_hover_text("By weights alone, not by what they do: see Export for what random matrices give");
        for pair in &summary.chained {
            ui.horizontal_wrapped(|ui| {
                clicked = link(ui, summary, pair.later, None).or(clicked);
                ui.label("reads");
                clicked = link(ui, summary, pair.earlier, None).or(clicked);
                ui.label(chain(pair));
            });
        }
    }
    question.map(Ask::Try).or(clicked.map(Ask::Open))
}

fn of_head(ui: &mut Ui, side: &Side, summary: &Summary, other: Option<&Summary>, head: HeadId) -> Option<HeadId> {
    let mut clicked = None;
    ui.heading(format!("{} of {}", summary.model.head_name(head), summary.model.name));
    let known = summary.head(head)?;
    if known.labels.is_empty() {
        ui.label("No rule knows what it does.");
    }
    for label in &known.labels {
        ui.label(RichText::new(label.kind.to_string()).strong());
        ui.label(&label.reason);
    }
    for anomaly in summary.anomalies.iter().filter(|anomaly| anomaly.head == head) {
        ui.label(RichText::new(anomaly.kind.to_string()).strong());
        ui.label(&anomaly.reason);
    }
    let semantic = known.labels.iter().any(|label| label.kind == LabelKind::Semantic);
    if let Some(content) = known
        .content
        .first()
        .filter(|content| semantic && !content.pairs.is_empty())
    {
        ui.add_space(6.0);
        ui.label(
            RichText::new(format!(
                "{} of query → of key: attention (by distance alone)",
                content.attribute
            ))
            .strong(),
        );
        for pair in &content.pairs {
            ui.label(format!(
                "{} → {}   {:.2} ({:.2})",
                pair.query, pair.key, pair.attention, pair.expected
            ));
        }
    }
    ui.add_space(6.0);
    let twin = other.and_then(|other| other.head(head));
    Grid::new("scores").num_columns(4).striped(true).show(ui, |ui| {
        for title in ["score", "value", "chance"] {
            ui.label(RichText::new(title).strong());
        }
        if let Some(other) = other.filter(|_| twin.is_some()) {
            let name = ui.label(RichText::new("beside").strong());
            name.on_hover_text(format!("The same head of {}", other.model.name));
        }
        ui.end_row();
        for measure in Measure::ALL {
            if let Some(score) = known.scores.get(measure) {
                ui.label(measure.name());
                ui.label(format!("{:.2}", score.value));
                ui.label(format!("{:.2}", score.baseline()));
                if let Some(score) = twin.and_then(|twin| twin.scores.get(measure)) {
                    ui.label(format!("{:.2}", score.value));
                }
                ui.end_row();
            }
        }
    });
    ui.label(format!(
        "Mean lengths: queries {:.2}, keys {:.2}{}",
        known.norms.query,
        known.norms.key,
        known
            .norms
            .value
            .map_or_else(String::new, |value| format!(", values {value:.2}"))
    ));
    let projection = side.study.as_ref().and_then(|study| study.projection(head).ok());
    if let Some(quality) = projection.and_then(|projection| projection.quality.as_ref()) {
        ui.label(format!(
            "Projection: trustworthiness {:.3}, neighbors kept {:.2}",
            quality.trustworthiness.value, quality.neighbors_kept.value
        ));
    }
    crate::steps::moved(ui, side, head);
    let alike = summary.more_like(head);
    if !alike.is_empty() {
        ui.add_space(6.0);
        let median = summary.likeness_of(head).map_or(0.0, |likeness| likeness.median);
        ui.label(RichText::new("More like this head").strong())
            .on_hover_text(format!(
                "Mean Jensen-Shannon divergence of rows in bits; the median pair is {median:.3} apart"
            ));
        ui.horizontal_wrapped(|ui| {
            for (other, bits) in alike.into_iter().take(LIKE) {
                clicked = link(ui, summary, other, None).or(clicked);
                ui.label(format!("{bits:.3}"));
            }
        });
    }
    for pair in summary.chained.iter().filter(|pair| pair.later == head) {
        ui.horizontal_wrapped(|ui| {
            ui.label("reads");
            clicked = link(ui, summary, pair.earlier, None).or(clicked);
            ui.label(chain(pair));
        });
    }
    for pair in summary.chained.iter().filter(|pair| pair.earlier == head) {
        ui.horizontal_wrapped(|ui| {
            ui.label("is read by");
            clicked = link(ui, summary, pair.later, None).or(clicked);
            ui.label(chain(pair));
        });
    }
    clicked
}

/// How strongly a head reads another, and through what.
fn chain(pair: &ChainedHeads) -> String {
    format!(
        "through its {}: {:.2}, the median pair {:.2}",
        pair.way.name(),
        pair.ratio,
        pair.median
    )
}

/// How many are not named.
fn more(ui: &mut Ui, heads: usize) {
    if heads > NAMED {
        let help = "Export has all of them";
        ui.label(RichText::new(format!("and {} more", heads - NAMED)).weak())
            .on_hover_text(help);
    }
}

/// A head to click on, with why under the pointer.
fn link(ui: &mut Ui, summary: &Summary, head: HeadId, why: Option<&str>) -> Option<HeadId> {
    let mut response = ui.link(summary.model.head_name(head));
    if let Some(why) = why {
        response = response.on_hover_text(why);
    }
    response.clicked().then_some(head)
}
