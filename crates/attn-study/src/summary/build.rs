//! Builds the [`Page`] of a [`Summary`], section by section.

use std::cmp::Reverse;

use attn_analyze::heads::{ClassPair, Example, HeadContent, HeadLabel, Reads, Role, ScoreId};
use attn_core::{Attention, HeadId, Sequence};
use attn_project::head::PlaneScore;

use super::{
    HeadSummary, Summary,
    page::{Block, Finding, Page, PageHead, Section, SectionKind, Span, Text},
};
use crate::plots::percent;

/// Heads named per attribute, and roles named in the opening.
const NAMED: usize = 6;
const ROLES: usize = 3;
/// Heads without a role that are named.
const UNNAMED: usize = 12;
/// Share of attention beyond chance that an attribute must explain to be named for a head.
const EXPLAINS: f64 = 0.02;
/// Pairs of classes named per head.
const PAIRS: usize = 5;
/// Words around the two tokens of an example.
const AROUND: usize = 3;

pub(super) fn page(summary: &Summary) -> Page {
    let sections = [
        Some(opening(summary)),
        Some(roles(summary)),
        plots(summary),
        Some(anomalies(summary)),
        Some(similarity(summary)),
        composition(summary),
        content(summary),
        pairs(summary),
    ];
    Page {
        title: format!("What the heads of {} do", summary.model.name),
        sections: sections.into_iter().flatten().chain(heads(summary)).collect(),
        note: "Scores are mean shares of attention over the data set. Chance is the score of uniform attention. A score says \
               where a head looks, not what the model needs it for: ablate the head to see that."
            .into(),
    }
}

fn section(kind: SectionKind, heading: impl Into<String>, blocks: Vec<Block>) -> Section {
    Section {
        kind,
        heading: heading.into(),
        blocks,
    }
}

fn text(text: impl Into<Text>) -> Block {
    Block::Text(text.into())
}

fn table(columns: &[&str], rows: Vec<Finding>) -> Block {
    Block::Table {
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        rows,
    }
}

fn opening(summary: &Summary) -> Section {
    let model = &summary.model;
    let stacks = model.attentions.iter().map(|info| {
        let (layers, heads, stack) = (info.layers.len(), info.heads, stack(info.attention));
        let without = layers - info.attending_layers().count();
        match (info.is_regular(), without) {
            (true, _) => format!("{layers} layers of {heads} heads ({stack})"),
            (false, 0) => format!("{layers} layers of up to {heads} heads ({stack})"),
            (false, _) => {
                format!("{layers} layers of up to {heads} heads, {without} of them without attention ({stack})")
            }
        }
    });
    let stacks: Vec<String> = stacks.collect();
    let data = format!(
        "{} of family {}: {}. Data: {} sequences, {} tokens.",
        model.name,
        model.family,
        stacks.join(", "),
        summary.sequences,
        summary.tokens
    );
    let named = summary.heads.iter().filter(|head| !head.labels.is_empty()).count();
    let mut roles = summary.roles();
    roles.sort_by_key(|(_, heads)| Reverse(heads.len()));
    let most = roles.iter().take(ROLES);
    let most: Vec<String> = most.map(|(role, heads)| format!("{role} ({})", heads.len())).collect();
    let most = match most.as_slice() {
        [] => String::new(),
        most => format!("; most often: {}", most.join(", ")),
    };
    let gaps = summary.heads.iter().map(|head| head.norms.query - head.norms.key);
    let gap = gaps.sum::<f64>() / summary.heads.len().max(1) as f64;
    let longer = if gap < 0.0 { "shorter" } else { "longer" };
    let known = Text::default()
        .strong(format!(
            "{named} of {} heads have a known role{most}.",
            summary.heads.len()
        ))
        .plain(format!(" Queries are on average {:.2} {longer} than keys.", gap.abs()));
    let mut blocks = vec![text(data), text(known)];
    blocks.extend(summary.notes.iter().map(|note| text(format!("{note}."))));
    if !summary.repeated {
        blocks.push(text(
            "The model was not run on repeated tokens: induction heads are not known.",
        ));
    }
    section(SectionKind::Opening, "", blocks)
}

pub(super) fn stack(attention: Attention) -> &'static str {
    match attention {
        Attention::EncoderSelf => "encoder",
        Attention::DecoderSelf => "decoder",
        Attention::Cross => "cross-attention",
    }
}

fn roles(summary: &Summary) -> Section {
    let rows = summary.roles().into_iter().filter_map(|(role, labels)| {
        let strongest = labels.first()?;
        let score = summary.scores.cell(&strongest.score, strongest.value, strongest.chance);
        let named = labels.iter().map(|label| PageHead {
            reason: label.reason.clone(),
            note: offset(label),
            ..head(summary, label.head)
        });
        let cells = [
            role.name().into(),
            Text::default().heads(named.collect()),
            score.into(),
            example(summary, strongest),
        ];
        let heads: Vec<HeadId> = labels.iter().map(|label| label.head).collect();
        let finding = Finding::new(cells);
        Some(match heads.len() {
            // A head of its own has a page of its own.
            0 | 1 => finding,
            _ => finding.tested_by("Ablate these heads", heads),
        })
    });
    let columns = [
        "role",
        "heads, strongest first",
        "score (chance) of the strongest",
        "example",
    ];
    let mut blocks = vec![table(&columns, rows.collect())];
    let unnamed: Vec<String> = summary.unnamed().map(|head| summary.model.head_name(head)).collect();
    if !unnamed.is_empty() {
        let more = match unnamed.len().saturating_sub(UNNAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let first = &unnamed[..unnamed.len().min(UNNAMED)];
        blocks.push(text(format!("No known role: {}{more}.", first.join(", "))));
    }
    section(SectionKind::Roles, "Roles", blocks)
}

/// The offset of a head that attends a fixed number of places away: `+2`.
fn offset(label: &HeadLabel) -> String {
    let offset = label.offset();
    offset.map_or_else(String::new, |offset| format!("{offset:+}").replace('-', "−"))
}

/// The tokens of an example in their sentence, and the weight between them.
fn example(summary: &Summary, label: &HeadLabel) -> Text {
    let Some(example) = &label.example else {
        return Text::default();
    };
    let arrow = Text::default()
        .plain(format!("{:.2} from ", example.weight))
        .strong(&example.query_text)
        .plain(" to ")
        .strong(&example.key_text);
    // Random tokens have no sentence, and patches have a place instead of a text.
    let reads = summary.scores.get(&label.score).map(|score| score.reads());
    if reads == Some(Reads::RepeatedTokens) {
        return arrow.plain(" of repeated random tokens");
    }
    match summary.shown.get(&example.sequence) {
        Some(sequence) if sequence.image.is_some() => arrow.plain(format!(" in {}", sequence.name)),
        Some(sequence) => {
            let Text(mut spans) = arrow.plain(": ");
            spans.extend(excerpt(sequence, example, label.head));
            Text(spans)
        }
        None => arrow,
    }
}

fn excerpt(sequence: &Sequence, example: &Example, head: HeadId) -> Vec<Span> {
    let side = head.attention.key_side();
    let query = (head.attention.query_side() == side).then_some(example.query);
    let near = |index: usize| {
        let to = |place: usize| index.abs_diff(place) <= AROUND;
        to(example.key) || query.is_some_and(to)
    };
    let mut spans: Vec<Span> = Vec::new();
    let mut skipped = false;
    for (index, token) in sequence.tokens(side).iter().enumerate() {
        if !near(index) {
            if !skipped {
                spans.push(Span::Plain("… ".into()));
            }
            skipped = true;
            continue;
        }
        skipped = false;
        let word = token.text.trim().to_owned();
        if index == example.key {
            spans.extend([Span::Strong(word), Span::Plain(" ".into())]);
        } else if Some(index) == query {
            spans.extend([Span::Emphasis(word), Span::Plain(" ".into())]);
        } else {
            spans.push(Span::Plain(word + " "));
        }
    }
    // No space at the end.
    if let Some(Span::Plain(last)) = spans.last_mut() {
        last.truncate(last.trim_end().len());
    }
    spans
}

/// Heads named at either end of the plots.
const PLOTS: usize = 8;

/// What plots show of attention: the heads where most, and where least.
fn plots(summary: &Summary) -> Option<Section> {
    let projected = summary.heads.iter().filter_map(|head| {
        let plane = head.plane.as_ref()?;
        Some((plane.above_chance()?, head, plane))
    });
    let mut ranked: Vec<_> = projected.collect();
    if ranked.is_empty() {
        return None;
    }
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.head.cmp(&b.1.head)));
    let mean = |values: Vec<f32>| values.iter().sum::<f32>() / values.len().max(1) as f32;
    let share = mean(ranked.iter().filter_map(|(_, _, plane)| plane.nearest).collect());
    let chance = mean(ranked.iter().filter_map(|(_, _, plane)| plane.chance).collect());
    let named = |(_, known, plane): &(f32, &HeadSummary, &PlaneScore)| PageHead {
        note: format!(
            "{} ({})",
            percent(plane.nearest.unwrap_or(0.0)),
            percent(plane.chance.unwrap_or(0.0))
        ),
        ..head(summary, known.head)
    };
    let first = ranked.iter().take(PLOTS).map(named).collect();
    let mut rows = vec![Finding::new(["most".into(), Text::default().heads(first)])];
    if ranked.len() > PLOTS {
        let last = ranked
            .iter()
            .rev()
            .take(PLOTS.min(ranked.len() - PLOTS))
            .map(named)
            .collect();
        rows.push(Finding::new(["least".into(), Text::default().heads(last)]));
    }
    let opening = format!(
        "In the plots, the nearest key is the one that a query attends to most for {} of the queries on average (chance {}). \
         Where the share of a head is near its chance level (in brackets), do not read distances between its queries and keys.",
        percent(share),
        percent(chance)
    );
    let blocks = vec![text(opening), table(&["shown of attention", "heads"], rows)];
    Some(section(SectionKind::Plots, "What the plots show of attention", blocks))
}

fn anomalies(summary: &Summary) -> Section {
    let found = summary.anomalies.iter().map(|anomaly| {
        let named = PageHead {
            reason: anomaly.reason.clone(),
            ..head(summary, anomaly.head)
        };
        let finding = Text::default()
            .heads(vec![named])
            .plain(", ")
            .strong(anomaly.kind.to_string())
            .plain(format!(": {}.", anomaly.reason));
        Finding::new([finding])
    });
    let block = match summary.anomalies.as_slice() {
        [] => text("Nothing: no dead or quiet head, no unusual lengths, no sink on tokens with short values."),
        _ => Block::List(found.collect()),
    };
    section(SectionKind::Anomalies, "Anomalies", vec![block])
}

fn similarity(summary: &Summary) -> Section {
    let heading = "Heads with similar attention";
    if summary.similar.is_empty() {
        return section(SectionKind::Similarity, heading, vec![text("There is one head.")]);
    }
    let rows = summary.similar.iter().map(|pair| {
        Finding::new([
            Text::default()
                .heads(vec![head(summary, pair.a)])
                .plain(" and ")
                .heads(vec![head(summary, pair.b)]),
            format!("{:.3}", pair.divergence).into(),
            format!("{:.3}", pair.median).into(),
        ])
    });
    let mut blocks = vec![
        text("Mean Jensen-Shannon divergence of rows of attention in bits: 0 is equal, 1 has no key in common."),
        table(&["heads", "divergence", "median pair"], rows.collect()),
    ];
    let groups = summary.similarity.iter().flat_map(|similarity| &similarity.groups);
    let groups: Vec<Finding> = groups
        .filter_map(|group| {
            let (first, rest) = group.split_first()?;
            // The lists of a page are complete, unlike its tables.
            let mut names = Text::default().heads(vec![head(summary, *first)]);
            for other in rest {
                names = names.plain(", ").heads(vec![head(summary, *other)]);
            }
            let label = format!("Ablate the group, keep {}", summary.model.head_name(*first));
            Some(Finding::new([names]).tested_by(label, rest.to_vec()))
        })
        .collect();
    if !groups.is_empty() {
        blocks.push(text(
            "Groups: any two heads of a group are closer than half the median pair. The first head is closest to the others.",
        ));
        blocks.push(Block::List(groups));
    }
    section(SectionKind::Similarity, heading, blocks)
}

fn composition(summary: &Summary) -> Option<Section> {
    if summary.composition.is_empty() {
        return None;
    }
    let named = |id: HeadId| {
        let label = summary.head(id).and_then(|head| head.labels.first());
        let role = label.map(|label| format!(" ({})", label.name())).unwrap_or_default();
        Text::default().heads(vec![head(summary, id)]).plain(role)
    };
    let rows = summary.composition.iter().map(|pair| {
        Finding::new([
            named(pair.later),
            named(pair.earlier),
            pair.kind.name().into(),
            format!("{:.3}", pair.ratio).into(),
            format!("{:.3}", pair.median).into(),
            format!("{:.3}", pair.random).into(),
        ])
    });
    let blocks = vec![
        text(
            "By weights alone (Elhage et al. 2021): |A B| / (|A| |B|), where A is what the earlier head writes and B what the \
             later head reads. It is 1 if both use a single direction.",
        ),
        table(
            &[
                "head",
                "reads",
                "through its",
                "ratio",
                "median pair",
                "random matrices",
            ],
            rows.collect(),
        ),
    ];
    Some(section(
        SectionKind::Composition,
        "Heads that read earlier heads",
        blocks,
    ))
}

/// For each attribute, the heads it explains most.
fn content(summary: &Summary) -> Option<Section> {
    let all = || summary.heads.iter().flat_map(|head| &head.content);
    let mut attributes: Vec<&str> = all().map(|content| content.attribute.as_str()).collect();
    attributes.sort_unstable();
    attributes.dedup();
    if attributes.is_empty() {
        return None;
    }
    let rows = attributes.into_iter().filter_map(|attribute| {
        let explains = |content: &&HeadContent| content.score.value - content.score.baseline() >= EXPLAINS;
        let of = all().filter(|content| content.attribute == attribute);
        let mut heads: Vec<&HeadContent> = of.filter(explains).collect();
        if heads.is_empty() {
            // Such as the hue of grey pictures.
            return None;
        }
        heads.sort_by(|a, b| b.score.value.total_cmp(&a.score.value).then(a.head.cmp(&b.head)));
        let named = heads.into_iter().take(NAMED).map(|content| PageHead {
            note: format!("{:.2} ({:.2})", content.score.value, content.score.baseline()),
            ..head(summary, content.head)
        });
        Some(Finding::new([attribute.into(), Text::default().heads(named.collect())]))
    });
    let rows: Vec<Finding> = rows.collect();
    if rows.is_empty() {
        return None;
    }
    let blocks = vec![
        text(
            "Share of attention beyond distance that an attribute of query and key explains on other sequences (chance), for \
             the heads where it explains most.",
        ),
        table(&["attribute", "heads"], rows),
    ];
    Some(section(SectionKind::Content, "Attributes that heads read", blocks))
}

fn pairs(summary: &Summary) -> Option<Section> {
    let by_content = |label: &HeadLabel| label.score == ScoreId::CONTENT;
    let heads = summary.heads.iter().filter(|head| head.labels.iter().any(by_content));
    let rows = heads.filter_map(|known| {
        let content = known.content.first()?;
        let pair = |pair: &ClassPair| {
            let (query, key) = (&pair.query, &pair.key);
            format!("{query} → {key} {:.2} ({:.2})", pair.attention, pair.expected)
        };
        let pairs: Vec<String> = content.pairs.iter().take(PAIRS).map(pair).collect();
        Some(Finding::new([
            Text::default().heads(vec![head(summary, known.head)]),
            content.attribute.as_str().into(),
            format!("{:.2} ({:.2})", content.score.value, content.score.baseline()).into(),
            pairs.join(", ").into(),
        ]))
    });
    let rows: Vec<Finding> = rows.collect();
    if rows.is_empty() {
        return None;
    }
    let blocks = vec![
        text(
            "The attribute that explains most of their attention beyond distance, the share it explains (chance), and the \
             strongest pairs, query → key: mean attention (from the distance alone).",
        ),
        table(&["head", "reads", "explains", "pairs"], rows),
    ];
    Some(section(SectionKind::Pairs, "Pairs that semantic heads connect", blocks))
}

/// The first role of every head, layers down and heads across.
fn heads(summary: &Summary) -> impl Iterator<Item = Section> {
    summary.model.attentions.iter().map(|info| {
        let role = |layer: usize, number: usize| {
            if number >= info.heads_of(layer) {
                return String::new();
            }
            let head = summary.head(HeadId::new(info.attention, layer, number));
            // Broad attention is a role only of heads without another one.
            let label = head.and_then(|head| {
                let other = head.labels.iter().find(|label| label.role != Role::DIFFUSE);
                other.or(head.labels.first())
            });
            label.map_or_else(|| "–".into(), |label| label.name().into_owned())
        };
        let rows = (0..info.layers.len()).map(|layer| {
            let mut roles: Vec<String> = (0..info.heads).map(|head| role(layer, head)).collect();
            if info.heads_of(layer) == 0
                && let Some(first) = roles.first_mut()
            {
                "no attention".clone_into(first);
            }
            Finding::new(std::iter::once(layer.to_string()).chain(roles))
        });
        let columns = std::iter::once("layer".to_owned()).chain((0..info.heads).map(|head| head.to_string()));
        let table = Block::Table {
            columns: columns.collect(),
            rows: rows.collect(),
        };
        section(
            SectionKind::Heads,
            format!("Every head: {}", info.attention),
            vec![table],
        )
    })
}

fn head(summary: &Summary, head: HeadId) -> PageHead {
    PageHead {
        head,
        name: summary.model.head_name(head),
        note: String::new(),
        reason: String::new(),
    }
}
