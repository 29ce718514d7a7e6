//! The page as text: short sentences and tables that read alike in an editor, on a forge and in a window.

use attn_analyze::heads::{ClassPair, Example, HeadContent, HeadLabel, LabelKind, Measure};
use attn_core::{Attention, HeadId, Sequence};

use super::{HeadSummary, Summary};

/// Heads named per habit.
const NAMED: usize = 6;
/// Words around the two tokens of an example.
const AROUND: usize = 3;

pub(super) fn page(summary: &Summary) -> String {
    let mut page = format!("# What the heads of {} do\n\n", summary.model.name);
    page += &opening(summary);
    page += &habits(summary);
    page += &anomalies(summary);
    page += &alike(summary);
    page += &chained(summary);
    page += &reads(summary);
    page += &pairs(summary);
    page += &table(summary);
    page += "\nScores are mean shares of attention over the data set, beside what even attention would give (chance). They say \
             where a head looks, not what the model needs it for: take it out to see that.\n";
    page
}

fn opening(summary: &Summary) -> String {
    let model = &summary.model;
    let shape = model.attentions.iter().map(|info| {
        let kind = match info.attention {
            Attention::EncoderSelf => "encoder",
            Attention::DecoderSelf => "decoder",
            Attention::Cross => "cross-attention",
        };
        format!("{} layers of {} heads ({kind})", info.layers.len(), info.heads)
    });
    let shape: Vec<String> = shape.collect();
    let named = summary.heads.iter().filter(|head| !head.labels.is_empty()).count();
    let mut text = format!(
        "{} of family {}: {}. Read on {} sequences, {} tokens.\n\n",
        model.name,
        model.family,
        shape.join(", "),
        summary.sequences,
        summary.tokens
    );
    text += &format!(
        "**{named} of {} heads have a habit that has a name",
        summary.heads.len()
    );
    let most: Vec<String> = {
        let mut kinds: Vec<(LabelKind, usize)> = summary
            .habits()
            .iter()
            .map(|(kind, heads)| (*kind, heads.len()))
            .collect();
        kinds.sort_by_key(|(kind, count)| (std::cmp::Reverse(*count), *kind));
        kinds
            .iter()
            .take(3)
            .map(|(kind, count)| format!("{kind} ({count})"))
            .collect()
    };
    if !most.is_empty() {
        text += &format!("; most often: {}", most.join(", "));
    }
    text += ".** ";
    let gap = mean_gap(summary);
    text += &format!(
        "Queries are on average {:.2} {} than keys.\n",
        gap.abs(),
        if gap < 0.0 { "shorter" } else { "longer" }
    );
    if !summary.repeated {
        text += "The model was not run on repeated tokens, so nothing is said of induction.\n";
    }
    text
}

fn mean_gap(summary: &Summary) -> f64 {
    let gaps = summary.heads.iter().map(|head| head.norms.query - head.norms.key);
    gaps.sum::<f64>() / summary.heads.len().max(1) as f64
}

fn habits(summary: &Summary) -> String {
    let mut text = "\n## Habits\n\n| habit | heads, strongest first | score (chance) of the strongest | example |\n|---|---|---|---|\n".to_owned();
    for (kind, heads) in summary.habits() {
        let names: Vec<String> = heads
            .iter()
            .take(NAMED)
            .map(|label| name(summary, label.head))
            .collect();
        let more = heads.len().saturating_sub(NAMED);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let Some(first) = heads.first() else { continue };
        text += &format!(
            "| {kind} | {}{more} | {} | {} |\n",
            names.join(", "),
            score(summary, first),
            example(summary, first)
        );
    }
    let unnamed: Vec<String> = summary.unnamed().map(|head| name(summary, head)).collect();
    if !unnamed.is_empty() {
        text += &format!("\nWithout a name: {}.\n", unnamed.join(", "));
    }
    text
}

/// The score a label rests on.
fn score(summary: &Summary, label: &HeadLabel) -> String {
    let Some(score) = summary
        .head(label.head)
        .and_then(|head| head.scores.get(measure(label.kind)))
    else {
        return String::new();
    };
    match label.kind {
        LabelKind::Dead | LabelKind::Diffuse => format!("{:.3} (1 is even)", score.value),
        _ => format!("{:.2} ({:.2})", score.value, score.baseline()),
    }
}

fn measure(kind: LabelKind) -> Measure {
    match kind {
        LabelKind::Previous => Measure::Previous,
        LabelKind::Next => Measure::Next,
        LabelKind::SelfToken => Measure::SelfToken,
        LabelKind::FirstToken => Measure::FirstToken,
        LabelKind::Separator => Measure::Separator,
        LabelKind::Induction => Measure::Induction,
        LabelKind::Duplicate => Measure::Duplicate,
        LabelKind::Identity => Measure::Identity,
        LabelKind::SameRow => Measure::SameRow,
        LabelKind::SameColumn => Measure::SameColumn,
        LabelKind::Neighbour => Measure::Neighbour,
        LabelKind::Positional => Measure::Positional,
        LabelKind::Semantic => Measure::Content,
        // Dead, diffuse, and what later versions add, rest on the shape of rows.
        _ => Measure::Entropy,
    }
}

/// The tokens of an example in their sentence, and the weight between them.
fn example(summary: &Summary, label: &HeadLabel) -> String {
    let Some(example) = &label.example else {
        return String::new();
    };
    let arrow = format!(
        "{:.2} from **{}** to **{}**",
        example.weight,
        escaped(&example.query_text),
        escaped(&example.key_text)
    );
    // Random tokens have no sentence, and patches have a place instead of a text.
    if matches!(label.kind, LabelKind::Induction | LabelKind::Duplicate) {
        return format!("{arrow} of repeated random tokens");
    }
    match summary.shown.get(&example.sequence) {
        Some(sequence) if sequence.image.is_some() => format!("{arrow} in {}", escaped(&sequence.name)),
        Some(sequence) => format!("{arrow}: {}", excerpt(sequence, example, label.head)),
        None => arrow,
    }
}

fn excerpt(sequence: &Sequence, example: &Example, head: HeadId) -> String {
    let side = head.attention.key_side();
    let query = (head.attention.query_side() == side).then_some(example.query);
    let tokens = sequence.tokens(side);
    let near = |index: usize| {
        let to = |place: usize| index.abs_diff(place) <= AROUND;
        to(example.key) || query.is_some_and(to)
    };
    let mut words: Vec<String> = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if !near(index) {
            if words.last().is_some_and(|word| word != "…") || words.is_empty() {
                words.push("…".into());
            }
            continue;
        }
        let word = escaped(token.text.trim());
        words.push(match () {
            () if index == example.key => format!("**{word}**"),
            () if Some(index) == query => format!("_{word}_"),
            () => word,
        });
    }
    words.join(" ")
}

/// Text that Markdown takes for text, in a table too.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '|' | '*' | '_' | '`' | '[' | ']' | '<' | '\\') {
            escaped.push('\\');
        }
        escaped.push(if character.is_control() { ' ' } else { character });
    }
    escaped
}

fn anomalies(summary: &Summary) -> String {
    let mut text = "\n## What stands out\n\n".to_owned();
    if summary.anomalies.is_empty() {
        return text + "Nothing: no dead or quiet head, no unusual lengths, no sink on tokens that carry little.\n";
    }
    for anomaly in &summary.anomalies {
        text += &format!(
            "- **{}, {}**: {}.\n",
            name(summary, anomaly.head),
            anomaly.kind,
            anomaly.reason
        );
    }
    text
}

fn alike(summary: &Summary) -> String {
    let mut text = "\n## Heads that look at the same places\n\n".to_owned();
    if summary.alike.is_empty() {
        return text + "There is one head.\n";
    }
    text += "Mean Jensen-Shannon divergence of their rows in bits: 0 is equal, 1 has nothing in common.\n\n\
             | heads | divergence | median pair |\n|---|---|---|\n";
    for pair in &summary.alike {
        text += &format!(
            "| {} and {} | {:.3} | {:.3} |\n",
            name(summary, pair.a),
            name(summary, pair.b),
            pair.divergence,
            pair.median
        );
    }
    let groups: Vec<&Vec<HeadId>> = summary.likeness.iter().flat_map(|likeness| &likeness.groups).collect();
    if !groups.is_empty() {
        text += "\nGroups, any two heads of which are nearer than half the median pair; the first is nearest to the others:\n\n";
    }
    for group in groups {
        let names: Vec<String> = group.iter().map(|head| name(summary, *head)).collect();
        text += &format!("- {}\n", names.join(", "));
    }
    text
}

fn chained(summary: &Summary) -> String {
    if summary.chained.is_empty() {
        return String::new();
    }
    let habit = |head: HeadId| {
        let label = summary.head(head).and_then(|head| head.labels.first());
        label.map_or_else(String::new, |label| format!(" ({})", label.kind))
    };
    let mut text = "\n## Heads that read earlier heads\n\nBy weights alone (Elhage et al. 2021): |A B| / (|A| |B|) of what the earlier head \
                    writes, A, and what the later one reads, B; 1 if a single direction is all that either uses.\n\n\
                    | head | reads | through its | ratio | median pair | random matrices |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for pair in &summary.chained {
        text += &format!(
            "| {}{} | {}{} | {} | {:.3} | {:.3} | {:.3} |\n",
            name(summary, pair.later),
            habit(pair.later),
            name(summary, pair.earlier),
            habit(pair.earlier),
            pair.way.name(),
            pair.ratio,
            pair.median,
            pair.random
        );
    }
    text
}

/// For each attribute, the heads it explains most.
fn reads(summary: &Summary) -> String {
    let mut attributes: Vec<&str> = Vec::new();
    for content in summary.heads.iter().flat_map(|head| &head.content) {
        if !attributes.contains(&content.attribute.as_str()) {
            attributes.push(&content.attribute);
        }
    }
    if attributes.is_empty() {
        return String::new();
    }
    attributes.sort_unstable();
    let mut text = "\n## What heads read\n\nShare of attention beyond distance that an attribute of query and key explains on other \
                    sequences (by accident), where it explains most.\n\n| attribute | heads |\n|---|---|\n"
        .to_owned();
    for attribute in attributes {
        let heads = summary.heads.iter().flat_map(|head| &head.content);
        let mut heads: Vec<&HeadContent> = heads.filter(|content| content.attribute == attribute).collect();
        heads.sort_by(|a, b| b.score.value.total_cmp(&a.score.value).then(a.head.cmp(&b.head)));
        let head = |content: &&HeadContent| {
            let (score, accident) = (content.score.value, content.score.baseline());
            format!("{} {score:.2} ({accident:.2})", name(summary, content.head))
        };
        let heads: Vec<String> = heads.iter().take(NAMED).map(head).collect();
        text += &format!("| {attribute} | {} |\n", heads.join(", "));
    }
    text
}

fn pairs(summary: &Summary) -> String {
    let semantic = |head: &&HeadSummary| head.labels.iter().any(|label| label.kind == LabelKind::Semantic);
    let heads = summary.heads.iter().filter(semantic);
    let heads: Vec<(HeadId, &HeadContent)> = heads
        .filter_map(|head| Some((head.head, head.content.first()?)))
        .collect();
    if heads.is_empty() {
        return String::new();
    }
    let mut text = "\n## What semantic heads connect\n\nWhat explains most of their attention beyond distance, how much (by \
                    accident), and the pairs that say most, query → key: mean attention, what their distance alone would \
                    give.\n\n| head | reads | explains | pairs |\n|---|---|---|---|\n"
        .to_owned();
    for (head, content) in heads {
        let pair = |pair: &ClassPair| {
            format!(
                "{} → {} {:.2} ({:.2})",
                escaped(&pair.query),
                escaped(&pair.key),
                pair.attention,
                pair.expected
            )
        };
        let pairs: Vec<String> = content.pairs.iter().take(5).map(pair).collect();
        text += &format!(
            "| {} | {} | {:.2} ({:.2}) | {} |\n",
            name(summary, head),
            content.attribute,
            content.score.value,
            content.score.baseline(),
            pairs.join(", ")
        );
    }
    text
}

/// Every head's first habit, layers down and heads across.
fn table(summary: &Summary) -> String {
    let mut text = String::new();
    for info in &summary.model.attentions {
        text += &format!("\n## Every head: {}\n\n| layer |", info.attention);
        for head in 0..info.heads {
            text += &format!(" {head} |");
        }
        text += &format!("\n|---|{}\n", "---|".repeat(info.heads));
        for layer in 0..info.layers.len() {
            text += &format!("| {layer} |");
            for head in 0..info.heads {
                let head = summary.head(HeadId::new(info.attention, layer, head));
                // That it attends broadly is said of a head of which nothing else is known.
                let label = head.and_then(|head| {
                    let other = head.labels.iter().find(|label| label.kind != LabelKind::Diffuse);
                    other.or(head.labels.first())
                });
                text += &label.map_or_else(|| " – |".into(), |label| format!(" {} |", label.kind));
            }
            text.push('\n');
        }
    }
    text
}

/// A head's name; with its stack where there are several.
fn name(summary: &Summary, head: HeadId) -> String {
    summary.model.head_name(head)
}
