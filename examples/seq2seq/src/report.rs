//! The report: what was written, how sure, where it looked, and what went wrong.

use std::fmt::Write as _;

use attn_sdk::study::decoding::{Blame, BlameKind, Decoding, Neighborhood, Rank, Stage, StateKind};

use crate::session::Session;

/// Rows of a table of heads.
const HEADS: usize = 8;

pub(crate) fn markdown(session: &Session) -> String {
    let mut text = String::from("# What the model writes\n");
    let failures: Vec<String> = session.failures().collect();
    if !failures.is_empty() {
        text.push_str("\n## What failed\n\n");
        for failure in &failures {
            let _ = writeln!(text, "- {}", inline(failure));
        }
    }
    heads(&mut text, session);
    for run in &session.runs {
        if let Ok(decoding) = &run.result {
            one(&mut text, decoding, run.line, &run.links.pharaoh());
            ranks(&mut text, decoding, &run.ranks);
        }
    }
    text
}

/// Text within a table or a line.
fn inline(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

fn code(text: &str) -> String {
    format!("`{}`", inline(text).replace('`', "'"))
}

/// A probability: in percent, or as a power of ten where it is small.
fn share(log_probability: f32) -> String {
    match log_probability.exp() {
        share if share >= 0.001 => format!("{:.1} %", 100.0 * share),
        share => format!("{share:.0e}"),
    }
}

fn heads(text: &mut String, session: &Session) {
    if session.heads.is_empty() {
        return;
    }
    text.push_str("\n## Alignment heads\n\n| head | score | permuted | aligns |\n|---|---|---|---|\n");
    for head in session.heads.iter().take(HEADS) {
        let aligns = if head.aligns { "yes" } else { "" };
        let _ = writeln!(
            text,
            "| L{} H{} | {:.3} | {:.3} | {aligns} |",
            head.layer, head.head, head.score, head.chance
        );
    }
    if let Some(rate) = session.error_rate {
        let _ = writeln!(
            text,
            "\nAlignment error rate {:.3}, precision {:.3}, recall {:.3}.",
            rate.error_rate, rate.precision, rate.recall
        );
    }
}

fn one(text: &mut String, decoding: &Decoding, line: usize, links: &str) {
    let _ = writeln!(text, "\n## Line {line}: {}\n", inline(&decoding.source.text));
    for note in &decoding.notes {
        let _ = writeln!(text, "> {}\n", inline(note));
    }
    text.push_str("| | target | score |\n|---|---|---|\n");
    for (rank, found) in decoding.hypotheses.iter().enumerate() {
        let _ = writeln!(
            text,
            "| {} | {} | {:.4} |",
            rank + 1,
            code(&found.row.text),
            found.score
        );
    }
    let Some(best) = decoding.hypotheses.first() else {
        text.push_str("\nThe rules left no token to write.\n");
        return;
    };
    text.push_str("\n| step | token | probability | entropy | source share | next best |\n|---|---|---|---|---|---|\n");
    for (at, step) in best.steps.iter().enumerate() {
        let source_share = step.source_share.map_or(String::new(), |share| format!("{share:.2}"));
        let next = step.top.iter().find(|other| other.id != step.id);
        let next = next.map_or(String::new(), |next| {
            format!("{} {}", code(&next.token), share(next.log_probability))
        });
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.3} | {source_share} | {next} |",
            at + 1,
            code(&step.token),
            share(step.model_log_probability),
            step.entropy
        );
    }
    if !links.is_empty() {
        let _ = writeln!(text, "\nLinks between words (source-target, from 0): {links}");
    }
    if let Some(coverage) = &best.coverage {
        let tokens = decoding.source.tokens.iter().zip(coverage).enumerate();
        let text_tokens = tokens.filter(|(at, _)| decoding.source.is_text(*at));
        let least = text_tokens.min_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b));
        if let Some((at, (token, cover))) = least {
            let _ = writeln!(
                text,
                "\nLeast covered source token: {} (token {}), {cover:.3}.",
                code(token),
                at + 1
            );
        }
    }
    if let Some(near) = &decoding.neighborhood {
        neighbors(text, decoding, near);
    }
    if let Some(blame) = &decoding.blame {
        explain(text, blame);
    }
}

/// Where in the output a text is likely.
fn ranks(text: &mut String, decoding: &Decoding, ranks: &[Rank]) {
    let (Some(best), false) = (decoding.hypotheses.first(), ranks.is_empty()) else {
        return;
    };
    text.push_str("\n### Rank of the text\n\n| step | token | rank | probability |\n|---|---|---|---|\n");
    for rank in ranks {
        let token = best.row.tokens.get(rank.step).map_or("", String::as_str);
        let (step, share) = (rank.step + 1, share(rank.log_probability));
        let _ = writeln!(text, "| {step} | {} | {} | {share} |", code(token), rank.rank);
    }
}

/// How many neighbors of each step have its token, and the nearest of another sentence.
fn neighbors(text: &mut String, decoding: &Decoding, near: &Neighborhood) {
    let (pairs, states) = near.size;
    let _ = writeln!(
        text,
        "\n### Neighbors\n\nAmong {states} states of {pairs} pairs; recall@20 of the search: {:.3}. A neighbor agrees if its token is \
         the token of the run. The run's own sentence does not count.\n",
        near.recall
    );
    text.push_str("| state | token | agree | nearest of another sentence | distance |\n|---|---|---|---|---|\n");
    let target = decoding.hypotheses.get(near.hypothesis).map(|found| &found.row);
    for own in &near.states {
        let row = if own.kind == StateKind::Encoder {
            Some(&decoding.source)
        } else {
            target
        };
        let token = row.and_then(|row| row.tokens.get(own.token)).map_or("", String::as_str);
        let nearest = own.neighbors.iter().find(|found| !found.own);
        let pair = nearest.and_then(|found| near.pairs.get(found.pair));
        let (words, distance) = match (nearest, pair) {
            (Some(found), Some(pair)) => {
                let matched = near.token(own.kind, found, 0).unwrap_or_default();
                let place = found.token + 1;
                let words = format!(
                    "{} → {}, {} (token {place})",
                    code(&pair.source),
                    code(&pair.target),
                    code(matched)
                );
                (words, format!("{:.4}", found.distance))
            }
            _ => (String::new(), String::new()),
        };
        let _ = writeln!(
            text,
            "| {} {} | {} | {} of {} | {words} | {distance} |",
            own.kind,
            own.token + 1,
            code(token),
            own.agreeing,
            own.compared
        );
    }
}

fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Encoder => "encoder",
        Stage::Attention => "attention",
        Stage::Decoder => "decoder",
        Stage::Prediction => "prediction",
        Stage::Undetermined => "undetermined",
    }
}

fn explain(text: &mut String, blame: &Blame) {
    let _ = writeln!(text, "\n### Why not {}?\n", code(&blame.expected));
    let score = |score: Option<f32>| score.map_or("forbidden by the rules".to_owned(), |score| format!("{score:.4}"));
    let _ = writeln!(
        text,
        "Found {} (score {}). Expected output: {}. Empty output: {}.\n",
        code(&blame.found),
        score(blame.scores.found),
        score(blame.scores.expected),
        score(blame.scores.empty)
    );
    match blame.kind {
        BlameKind::None => text.push_str("The output is as expected.\n"),
        BlameKind::Search => {
            text.push_str(
                "**Search error**: the model gives the expected output at least the score of the output found.\n",
            );
            if let Some(lost) = blame.search {
                let rank = lost
                    .rank
                    .map_or("not among those compared".into(), |rank| format!("rank {rank}"));
                let margin = lost
                    .margin
                    .map_or(String::new(), |margin| format!(", {margin:.3} below the last one kept"));
                let width = lost
                    .width
                    .map_or("no width that was tried".into(), |width| format!("{width} beams"));
                let _ = writeln!(
                    text,
                    "It left the beam at step {} ({rank}{margin}). {width} find it.",
                    lost.step + 1
                );
            }
        }
        BlameKind::Model => {
            let blamed = blame.stage.unwrap_or(Stage::Undetermined);
            let _ = writeln!(
                text,
                "**Model error**, stage: **{}**. {}\n",
                stage(blamed),
                inline(&blame.note)
            );
            if !blame.stages.is_empty() {
                text.push_str("| stage | recovered | random donors | layer |\n|---|---|---|---|\n");
                for share in &blame.stages {
                    let layer = share.layer.map_or(String::new(), |layer| layer.to_string());
                    let _ = writeln!(
                        text,
                        "| {} | {:.2} | {:.2} | {layer} |",
                        stage(share.stage),
                        share.recovered,
                        share.control
                    );
                }
                text.push_str(
                    "\nRecovered: share of the difference of the logits of expected and found token that the stage of a clean run \
                     brings back, the stages before repaired.\n",
                );
            }
        }
    }
}
