//! The summary pane: about the head that is open or under the pointer, else about the model.

use attn_egui::{attn_render::Format, export::export_menu};
use attn_sdk::{
    analyze::heads::ScoreId,
    core::HeadId,
    study::{
        experiment::Question,
        summary::{Block, ComposedHeads, Finding, Section, SectionKind, Span, Summary, Text},
    },
};
use eframe::egui::{CollapsingHeader, Grid, RichText, Ui};

use crate::{experiment, pane::Pane, stopped::Again};

/// Limit of heads named per finding.
const NAMED: usize = 16;
/// Limit of similar heads of one head.
const LIKE: usize = 6;

/// A request of a click.
pub(crate) enum Ask {
    /// Opens a head.
    Open(HeadId),
    /// Runs an experiment.
    Try(Question),
}

/// Shows the page, with the scores of the compared model, and returns the request of a click.
pub(crate) fn show(ui: &mut Ui, pane: &mut Pane, other: Option<&Summary>) -> Option<Ask> {
    let Some(summary) = pane.summary.clone() else {
        let words = "The roles of heads appear here as soon as the model has read the data.";
        pane.under_way(ui, &Again::Roles, words);
        return None;
    };
    if !pane.is_last_checkpoint() {
        let words = "Roles, scores and experiments on this page are those of the last checkpoint.";
        ui.label(RichText::new(words).weak());
    }
    let Some(head) = pane.view.open.or(pane.plot.interaction().head) else {
        if let Some(kind) = export_menu(ui, &Format::NUMBERS) {
            pane.exports.table("summary", kind, &summary.table());
        }
        return of_model(ui, pane, &summary);
    };
    let opened = of_head(ui, pane, &summary, other, head).map(Ask::Open);
    ui.add_space(6.0);
    experiment::show(ui, pane, &[head], "Ablate this head")
        .map(Ask::Try)
        .or(opened)
}

/// The page about the model. The role of every head is left to the export.
fn of_model(ui: &mut Ui, pane: &mut Pane, summary: &Summary) -> Option<Ask> {
    let mut asked = None;
    ui.heading(&summary.page.title);
    for section in &summary.page.sections {
        match section.kind {
            SectionKind::Heads => {}
            SectionKind::Content | SectionKind::Pairs => {
                let shown = CollapsingHeader::new(&section.heading).show(ui, |ui| blocks(ui, pane, section));
                asked = shown.body_returned.flatten().or(asked);
            }
            _ => {
                if !section.heading.is_empty() {
                    ui.add_space(6.0);
                    ui.heading(&section.heading);
                }
                asked = blocks(ui, pane, section).or(asked);
            }
        }
    }
    ui.add_space(6.0);
    ui.label(RichText::new(&summary.page.note).weak());
    asked
}

fn blocks(ui: &mut Ui, pane: &mut Pane, section: &Section) -> Option<Ask> {
    let mut asked = None;
    for block in &section.blocks {
        match block {
            Block::Text(words) => {
                ui.horizontal_wrapped(|ui| asked = text(ui, words).map(Ask::Open).or(asked.take()));
            }
            Block::List(findings) => {
                for found in findings {
                    asked = finding(ui, pane, &[], found).or(asked);
                }
            }
            Block::Table { columns, rows } => {
                for row in rows {
                    asked = finding(ui, pane, columns, row).or(asked);
                }
            }
            _ => {}
        }
    }
    asked
}

/// A finding: its heads as links, its numbers below, and a button that tests it.
fn finding(ui: &mut Ui, pane: &mut Pane, columns: &[String], finding: &Finding) -> Option<Ask> {
    let mut opened = None;
    let mut numbers: Vec<String> = Vec::new();
    for (at, cell) in finding.cells.iter().enumerate() {
        if at == 0 && !cell.names_heads() {
            ui.label(RichText::new(cell.to_string()).strong());
        } else if cell.names_heads() {
            ui.horizontal_wrapped(|ui| {
                // The first cell needs no word before it; further heads do.
                if let Some(name) = columns.get(at).filter(|_| at > 0 && finding.cells[0].names_heads()) {
                    ui.label(name);
                }
                opened = text(ui, cell).or(opened);
            });
        } else if !cell.0.is_empty() {
            let name = columns.get(at).map_or("", String::as_str);
            numbers.push(format!("{name} {cell}"));
        }
    }
    if !numbers.is_empty() {
        ui.label(RichText::new(numbers.join(" · ")).weak());
    }
    let asked = finding.experiment.as_ref().and_then(|experiment| {
        let id = (&experiment.label, &experiment.heads);
        ui.push_id(id, |ui| {
            experiment::show(ui, pane, &experiment.heads, &experiment.label)
        })
        .inner
    });
    asked.map(Ask::Try).or(opened.map(Ask::Open))
}

/// Text with links to the heads it names; returns the one that was clicked.
fn text(ui: &mut Ui, text: &Text) -> Option<HeadId> {
    let mut clicked = None;
    for span in &text.0 {
        match span {
            Span::Plain(text) => {
                ui.label(text);
            }
            Span::Strong(text) => {
                ui.label(RichText::new(text).strong());
            }
            Span::Emphasis(text) => {
                ui.label(RichText::new(text).italics());
            }
            Span::Heads(heads) => {
                for head in heads.iter().take(NAMED) {
                    clicked = link(ui, head.head, &head.name, &head.reason).or(clicked);
                    if !head.note.is_empty() {
                        ui.label(RichText::new(&head.note).weak());
                    }
                }
                more(ui, heads.len());
            }
            _ => {}
        }
    }
    clicked
}

fn of_head(ui: &mut Ui, pane: &Pane, summary: &Summary, other: Option<&Summary>, head: HeadId) -> Option<HeadId> {
    let mut clicked = None;
    ui.heading(format!("{} of {}", summary.model.head_name(head), summary.model.name));
    let known = summary.head(head)?;
    if known.labels.is_empty() {
        ui.label("No known role.");
    }
    for label in &known.labels {
        ui.label(RichText::new(label.name()).strong());
        ui.label(&label.reason);
    }
    for anomaly in summary.anomalies.iter().filter(|anomaly| anomaly.head == head) {
        ui.label(RichText::new(anomaly.kind.to_string()).strong());
        ui.label(&anomaly.reason);
    }
    let semantic = known.labels.iter().any(|label| label.score == ScoreId::CONTENT);
    if let Some(content) = known
        .content
        .first()
        .filter(|content| semantic && !content.pairs.is_empty())
    {
        ui.add_space(6.0);
        ui.label(
            RichText::new(format!(
                "{} of query → of key: attention (expected from distance alone)",
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
    let compared = other.and_then(|other| other.head(head));
    Grid::new("scores").num_columns(4).striped(true).show(ui, |ui| {
        for title in ["score", "value", "chance"] {
            ui.label(RichText::new(title).strong());
        }
        if let Some(other) = other.filter(|_| compared.is_some()) {
            let name = ui.label(RichText::new("compared").strong());
            name.on_hover_text(format!("The same head of {}", other.model.name));
        }
        ui.end_row();
        for definition in summary.scores.iter() {
            let id = definition.id();
            if let Some(score) = known.scores.get(&id) {
                ui.label(definition.name()).on_hover_text(definition.counts());
                ui.label(format!("{:.2}", score.value));
                ui.label(format!("{:.2}", score.baseline()));
                if let Some(score) = compared.and_then(|head| head.scores.get(&id)) {
                    ui.label(format!("{:.2}", score.value));
                }
                ui.end_row();
            }
        }
    });
    ui.label(format!(
        "Mean norms: queries {:.2}, keys {:.2}{}",
        known.norms.query,
        known.norms.key,
        known
            .norms
            .value
            .map_or_else(String::new, |value| format!(", values {value:.2}"))
    ));
    let projection = pane.study.as_ref().and_then(|study| study.projection(head).ok());
    if let Some(projection) = projection {
        let plane = &projection.plane;
        if let (Some(nearest), Some(chance)) = (plane.nearest, plane.chance) {
            ui.label(format!(
                "In the plot, the nearest key of {:.0} % of the queries is the one they attend to most (chance {:.0} %)",
                100.0 * nearest,
                100.0 * chance
            ));
        }
        if let (Some(here), Some(full)) = (plane.correlation.value, projection.correlation.value) {
            ui.label(format!(
                "Rank correlation of distance and attention: {here:.2} in the plot, {full:.2} in the full space"
            ));
        }
    }
    if let Some(quality) = projection.and_then(|projection| projection.quality.as_ref()) {
        ui.label(format!(
            "Projection: trustworthiness {:.3}, neighbors kept {:.2}",
            quality.trustworthiness.value, quality.neighbors_kept.value
        ));
    }
    crate::checkpoints::moved(ui, pane, head);
    let similar = summary.most_similar(head);
    if !similar.is_empty() {
        ui.add_space(6.0);
        let median = summary.similarity_of(head).map_or(0.0, |similarity| similarity.median);
        ui.label(RichText::new("Similar heads").strong()).on_hover_text(format!(
            "Mean Jensen-Shannon divergence of rows in bits; the median pair has {median:.3}"
        ));
        ui.horizontal_wrapped(|ui| {
            for (other, bits) in similar.into_iter().take(LIKE) {
                clicked = head_link(ui, summary, other).or(clicked);
                ui.label(format!("{bits:.3}"));
            }
        });
    }
    for pair in summary.composition.iter().filter(|pair| pair.later == head) {
        ui.horizontal_wrapped(|ui| {
            ui.label("Reads");
            clicked = head_link(ui, summary, pair.earlier).or(clicked);
            ui.label(chain(pair));
        });
    }
    for pair in summary.composition.iter().filter(|pair| pair.earlier == head) {
        ui.horizontal_wrapped(|ui| {
            ui.label("Is read by");
            clicked = head_link(ui, summary, pair.later).or(clicked);
            ui.label(chain(pair));
        });
    }
    clicked
}

/// Composition of two heads as text.
fn chain(pair: &ComposedHeads) -> String {
    format!(
        "through its {}: {:.2} (median pair {:.2})",
        pair.kind.name(),
        pair.ratio,
        pair.median
    )
}

/// The number of heads that are not named.
fn more(ui: &mut Ui, heads: usize) {
    if heads > NAMED {
        let help = "The export lists all of them";
        ui.label(RichText::new(format!("and {} more", heads - NAMED)).weak())
            .on_hover_text(help);
    }
}

fn head_link(ui: &mut Ui, summary: &Summary, head: HeadId) -> Option<HeadId> {
    link(ui, head, &summary.model.head_name(head), "")
}

/// A head to click on, with the reason under the pointer.
fn link(ui: &mut Ui, head: HeadId, name: &str, reason: &str) -> Option<HeadId> {
    // A name is not broken between its parts.
    let mut response = ui.link(name.replace(' ', "\u{a0}"));
    if !reason.is_empty() {
        response = response.on_hover_text(reason);
    }
    response.clicked().then_some(head)
}
