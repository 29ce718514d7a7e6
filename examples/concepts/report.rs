//! The report: tables per layer, clusters with words in their sentences.

use std::fmt::Write as _;

use attn_sdk::analyze::concepts::Against;

use super::study::{Corpus, Layer, Study};

/// Clusters shown per layer.
const SHOWN: usize = 12;

fn number(against: &Against) -> String {
    match against.chance {
        Some(chance) => format!("{:.3} ({:.3} ± {:.3})", against.value, chance.mean, chance.deviation),
        None => format!("{:.3}", against.value),
    }
}

/// One line per layer and label set, for the terminal.
pub(crate) fn summary(study: &Study) -> Vec<String> {
    let lines = study.layers.iter().flat_map(|layer| {
        layer.rows.iter().map(|row| {
            format!(
                "layer {:>2}  {:<10} aligned {}  covered {}",
                layer.layer,
                row.label_set,
                number(&row.aligned),
                number(&row.covered)
            )
        })
    });
    lines.collect()
}

pub(crate) fn markdown(study: &Study, corpus: &Corpus) -> String {
    let mut out = format!("# Latent concepts of {}\n\n", study.model);
    let words = &study.words;
    let (rare, frequent) = (study.filtered.rare, study.filtered.frequent);
    let _ = writeln!(
        out,
        "{} occurrences of words in {} sentences. Left out: {} words without a token, {} rare words ({} occurrences), {} \
         frequent words ({} occurrences), {} surplus occurrences.\n\nIn brackets: the same with permuted labels, mean ± \
         standard deviation. `aligned` is the share of clusters with one label to at least the threshold, `covered` the \
         share of labels with such a cluster, `score` their mean.\n",
        words.words.len(),
        corpus.text.sentences.len(),
        words.dropped.len(),
        rare.0,
        rare.1,
        frequent.0,
        frequent.1,
        study.filtered.surplus,
    );
    out += "| layer | labels | aligned | covered | score |\n|---|---|---|---|---|\n";
    for layer in &study.layers {
        for row in &layer.rows {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} |",
                layer.layer,
                row.label_set,
                number(&row.aligned),
                number(&row.covered),
                number(&row.score)
            );
        }
    }
    if let Some(other) = &study.model_after {
        let _ = writeln!(
            out,
            "\n## Against {other}\n\n| layer | survive | known before |\n|---|---|---|"
        );
        for layer in &study.layers {
            if let (Some(survive), Some(known)) = (&layer.survive, &layer.known_before) {
                let _ = writeln!(out, "| {} | {} | {} |", layer.layer, number(survive), number(known));
            }
        }
    }
    if let Some(classes) = &study.classes {
        let _ = writeln!(
            out,
            "\n## Polar clusters: {classes}\n\n| layer | class | clusters |\n|---|---|---|"
        );
        for layer in &study.layers {
            for row in layer.rows.iter().filter(|row| row.label_set == *classes) {
                for (class, clusters) in &row.clusters {
                    let _ = writeln!(out, "| {} | {class} | {} |", layer.layer, number(clusters));
                }
            }
        }
    }
    if study.layers.iter().any(|layer| !layer.methods.is_empty()) {
        out += "\n## Agreement with Ward\n\n| layer | method | adjusted Rand index | aligned, difference |\n|---|---|---|---|\n";
        for layer in &study.layers {
            for (method, (index, difference)) in &layer.methods {
                let _ = writeln!(out, "| {} | {method} | {index:.3} | {difference:+.3} |", layer.layer);
            }
        }
    }
    for layer in &study.layers {
        clusters(&mut out, layer, study, corpus);
    }
    out
}

/// The largest clusters of a layer, with the words of each in up to three sentences.
fn clusters(out: &mut String, layer: &Layer, study: &Study, corpus: &Corpus) {
    let _ = writeln!(out, "\n## Layer {}: the largest clusters\n", layer.layer);
    let mut order: Vec<usize> = (0..layer.clusters.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(layer.clusters[at].members.len()));
    for &at in order.iter().take(SHOWN) {
        let cluster = &layer.clusters[at];
        let _ = writeln!(out, "- **{}**: {} words", cluster.name.text, cluster.members.len());
        for &member in cluster
            .members
            .iter()
            .step_by((cluster.members.len() / 3).max(1))
            .take(3)
        {
            let word = &study.words.words[member];
            let sentence = &corpus.text.sentences[word.sentence];
            let (start, end) = sentence.words[word.index].span;
            let from = sentence.text[..start]
                .char_indices()
                .rev()
                .nth(39)
                .map_or(0, |(at, _)| at);
            let to = sentence.text[end..]
                .char_indices()
                .nth(40)
                .map_or(sentence.text.len(), |(at, _)| end + at);
            let _ = writeln!(
                out,
                "  - {}**{}**{}",
                &sentence.text[from..start],
                &sentence.text[start..end],
                &sentence.text[end..to]
            );
        }
    }
}
