//! The report: tables per layer, clusters with words in their sentences.

use std::fmt::Write as _;

use attn_sdk::analyze::concepts::Against;

use super::study::{Corpus, Encoded, Layer, Study};

/// Clusters shown per layer.
const SHOWN: usize = 12;
/// Clusters that carried a prediction, per layer.
const CARRIED: usize = 4;

pub(crate) fn number(against: &Against) -> String {
    match against.chance {
        Some(chance) => format!("{:.3} ({:.3} ± {:.3})", against.value, chance.mean, chance.deviation),
        None => format!("{:.3}", against.value),
    }
}

/// One line per layer and label set, for the terminal.
pub(crate) fn summary(study: &Study) -> Vec<String> {
    let mut lines = Vec::new();
    for model in &study.models {
        lines.push(model.model.clone());
        for layer in &model.layers {
            lines.extend(layer.rows.iter().map(|row| {
                let (aligned, covered) = (number(&row.aligned), number(&row.covered));
                format!(
                    "layer {:>2}  {:<10} aligned {aligned}  covered {covered}",
                    layer.layer, row.label_set
                )
            }));
        }
    }
    lines
}

pub(crate) fn markdown(study: &Study, corpus: &Corpus) -> String {
    let names: Vec<&str> = study.models.iter().map(|model| model.model.as_str()).collect();
    let mut out = format!("# Latent concepts of {}\n", names.join(" and "));
    out += "\nIn brackets: the same with permuted labels, mean ± standard deviation. `aligned` is the share of clusters with one \
            label to at least the threshold, `covered` the share of labels with such a cluster, `score` their mean.\n";
    for model in &study.models {
        encoded(&mut out, model, study, corpus);
    }
    if let [before, after] = study.models.as_slice() {
        let _ = writeln!(
            out,
            "\n# {} against {}\n\nShare of the clusters of one that are found again in the other.\n\n| layer | of {} in {} | of {} in {} \
             |\n|---|---|---|",
            before.model, after.model, before.model, after.model, after.model, before.model
        );
        for row in &study.transfer {
            let (survive, known) = (number(&row.survive), number(&row.known_before));
            let _ = writeln!(out, "| {} | {survive} | {known} |", row.layer);
        }
    }
    out
}

fn encoded(out: &mut String, model: &Encoded, study: &Study, corpus: &Corpus) {
    let (rare, frequent) = (model.filtered.rare, model.filtered.frequent);
    let _ = writeln!(
        out,
        "\n# {}\n\n{} occurrences of words in {} sentences. Left out: {} words without a token, {} rare words ({} occurrences), \
         {} frequent words ({} occurrences), {} surplus occurrences.\n",
        model.model,
        model.words.words.len(),
        corpus.text.sentences.len(),
        model.words.dropped.len(),
        rare.0,
        rare.1,
        frequent.0,
        frequent.1,
        model.filtered.surplus,
    );
    *out += "| layer | labels | aligned | covered | score |\n|---|---|---|---|---|\n";
    for layer in &model.layers {
        for row in &layer.rows {
            let (aligned, covered, score) = (number(&row.aligned), number(&row.covered), number(&row.score));
            let _ = writeln!(
                out,
                "| {} | {} | {aligned} | {covered} | {score} |",
                layer.layer, row.label_set
            );
        }
    }
    if let Some(classes) = &study.classes {
        let _ = writeln!(
            out,
            "\n## Polar clusters: {classes}\n\n| layer | class | clusters |\n|---|---|---|"
        );
        for layer in &model.layers {
            for row in layer.rows.iter().filter(|row| row.label_set == *classes) {
                for (class, clusters) in &row.clusters {
                    let _ = writeln!(out, "| {} | {class} | {} |", layer.layer, number(clusters));
                }
            }
        }
    }
    if model.layers.iter().any(|layer| !layer.methods.is_empty()) {
        *out += "\n## Agreement with Ward\n\n| layer | method | adjusted Rand index | aligned, difference |\n|---|---|---|---|\n";
        for layer in &model.layers {
            for (method, (index, difference)) in &layer.methods {
                let _ = writeln!(out, "| {} | {method} | {index:.3} | {difference:+.3} |", layer.layer);
            }
        }
    }
    prediction(out, model, corpus);
    for layer in &model.layers {
        clusters(out, layer, model, corpus);
    }
}

/// Which clusters carried one prediction.
fn prediction(out: &mut String, model: &Encoded, corpus: &Corpus) {
    let Some(found) = &model.explanation else { return };
    let _ = writeln!(
        out,
        "\n## What carried a prediction\n\n> {}\n\n**{}** (probability {:.3}), not {}. Integrated gradients of the difference of the two \
         logits, {:+.2} here and {:+.2} for padding alone, summed over the words of each cluster; {:.1} % of it is missed by the \
         integral. Positive: speaks for {}. \\*: a word that was left out of the clustering; it counts for the cluster with the nearest \
         mean.\n",
        corpus.text.sentences[found.sentence].text,
        found.class,
        found.probability,
        found.against,
        found.value,
        found.baseline,
        100.0 * found.gap,
        found.class,
    );
    *out += "| layer | cluster | its words here | weight | share |\n|---|---|---|---|---|\n";
    for (layer, carried) in model.layers.iter().zip(&found.layers) {
        for part in carried.clusters.iter().take(CARRIED) {
            let word = |&at: &usize| {
                let left_out = if found.clustered[at] { "" } else { "\\*" };
                format!("{}{left_out}", found.words.words[at].text)
            };
            let words: Vec<String> = part.words.iter().map(word).collect();
            let cluster = &layer.clusters[part.cluster];
            let _ = writeln!(
                out,
                "| {} | {} ({} words) | {} | {:+.2} | {:.0} % |",
                layer.layer,
                cluster.name.text,
                cluster.members.len(),
                words.join(", "),
                part.weight,
                100.0 * part.share
            );
        }
        let outside = 100.0 * carried.outside;
        let _ = writeln!(
            out,
            "| {} | in no cluster (special tokens) | | | {outside:.0} % |",
            layer.layer
        );
    }
}

/// The largest clusters of a layer, with the words of each in up to three sentences.
fn clusters(out: &mut String, layer: &Layer, model: &Encoded, corpus: &Corpus) {
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
            let word = &model.words.words[member];
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
