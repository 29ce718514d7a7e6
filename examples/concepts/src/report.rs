//! The report: tables per layer, clusters with words in their sentences.

use std::fmt::Write as _;

use attn_sdk::analyze::concepts::Against;

use super::study::{Agreement, Encoded, Layer, Study, around};

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

/// The same for counts.
fn count(against: &Against) -> String {
    match against.chance {
        Some(chance) => format!("{:.0} ({:.1} ± {:.1})", against.value, chance.mean, chance.deviation),
        None => format!("{:.0}", against.value),
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

pub(crate) fn markdown(study: &Study) -> String {
    let names: Vec<&str> = study.models.iter().map(|model| model.model.as_str()).collect();
    let mut out = format!("# Latent concepts of {}\n", names.join(" and "));
    out += "\nIn brackets: the same with permuted labels, mean ± standard deviation. `aligned` is the share of clusters with one \
            label to at least the threshold, `covered` the share of labels with such a cluster, `score` their mean.\n";
    for model in &study.models {
        encoded(&mut out, model, study);
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
    between(&mut out, study);
    out
}

/// Every layer of the first model beside every layer of the last.
fn between(out: &mut String, study: &Study) {
    let (Some(first), Some(last)) = (study.models.first(), study.models.last()) else {
        return;
    };
    let _ = writeln!(
        out,
        "\n## Layers beside layers\n\nRows: layers of {}. Columns: layers of {}. Share of the row's clusters that are found again in the \
         column's; in brackets by chance. A cluster of one word is found wherever the word is.\n",
        first.model, last.model
    );
    let columns = last.layers.iter().map(|layer| format!(" {} |", layer.layer));
    let _ = writeln!(out, "| |{}", columns.collect::<String>());
    let _ = writeln!(out, "|---|{}", "---|".repeat(last.layers.len()));
    for (layer, shares) in first.layers.iter().zip(&study.between) {
        let cell = |share: &Against| match share.chance {
            Some(chance) => format!(" {:.2} ({:.2}) |", share.value, chance.mean),
            None => format!(" {:.2} |", share.value),
        };
        let cells = shares.iter().map(cell);
        let _ = writeln!(out, "| {} |{}", layer.layer, cells.collect::<String>());
    }
}

fn encoded(out: &mut String, model: &Encoded, study: &Study) {
    let (rare, frequent) = (model.filtered.rare, model.filtered.frequent);
    let _ = writeln!(
        out,
        "\n# {}\n\n{} occurrences of words in {} sentences. Left out: {} words without a token, {} rare words ({} occurrences), \
         {} frequent words ({} occurrences), {} surplus occurrences.\n",
        model.model,
        model.words.words.len(),
        model.text.sentences.len(),
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
                    let _ = writeln!(out, "| {} | {class} | {} |", layer.layer, count(clusters));
                }
            }
        }
    }
    if model.layers.iter().any(|layer| !layer.methods.is_empty()) {
        *out += "\n## Agreement with Ward\n\n| layer | method | adjusted Rand index | aligned, difference |\n|---|---|---|---|\n";
        for layer in &model.layers {
            for (method, agreement) in &layer.methods {
                let cells = match agreement {
                    Agreement::Found { adjusted_rand, aligned } => format!("{adjusted_rand:.3} | {aligned:+.3}"),
                    Agreement::Failed(why) => format!("{why} | "),
                };
                let _ = writeln!(out, "| {} | {method} | {cells} |", layer.layer);
            }
        }
    }
    prediction(out, model);
    for layer in &model.layers {
        clusters(out, layer, model);
    }
}

/// Which clusters carried one prediction.
fn prediction(out: &mut String, model: &Encoded) {
    let Some(found) = &model.explanation else { return };
    let _ = writeln!(
        out,
        "\n## What carried a prediction\n\n> {}\n\n**{}** (probability {:.3}), not {}. Integrated gradients of the difference of the two \
         logits, {:+.2} here and {:+.2} for padding alone, summed over the words of each cluster; {:.1} % of it is missed by the \
         integral. Positive: speaks for {}. \\*: a word that was left out of the clustering; it counts for the cluster with the nearest \
         mean.\n",
        model.text.sentences[found.sentence].text,
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
fn clusters(out: &mut String, layer: &Layer, model: &Encoded) {
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
            let sentence = &model.text.sentences[word.sentence];
            let [before, it, after] = around(&sentence.text, sentence.words[word.index].span, 40);
            let _ = writeln!(out, "  - {before}**{it}**{after}");
        }
    }
}
