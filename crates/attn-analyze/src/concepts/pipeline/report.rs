//! A study as Markdown: tables per layer, clusters with words in their sentences.

use std::fmt::Write as _;

use super::{Agreement, ConceptLayer, ConceptSpace, ConceptStudy, Explanation, report_changes};
use crate::concepts::{Against, Neuron};

/// Clusters shown per layer.
const SHOWN: usize = 12;
/// Clusters listed for a prediction, per layer.
const CARRIED: usize = 4;
/// Characters of context around a quoted word.
const REACH: usize = 40;

pub(super) fn number(against: &Against) -> String {
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

impl ConceptStudy {
    /// A line per layer and label set, for a terminal.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for model in &self.models {
            lines.push(model.name());
            let judged = model.align.judged();
            for layer in &model.layers {
                lines.extend(layer.rows.iter().map(|row| {
                    let (aligned, covered) = (number(&row.aligned), number(&row.covered));
                    let one = &row.one_word;
                    format!(
                        "layer {:>2}  {:<10} aligned {aligned} of {} {judged}  covered {covered}; of {} of one word {}",
                        layer.layer,
                        row.label_set,
                        row.judged,
                        one.clusters,
                        number(&one.aligned)
                    )
                }));
            }
        }
        lines
    }

    /// The report as Markdown.
    pub fn markdown(&self) -> String {
        let names: Vec<String> = self.models.iter().map(ConceptSpace::name).collect();
        let mut out = format!("# Latent concepts of {}\n", names.join(" and "));
        let align = self.models.first().map(|model| model.align.clone()).unwrap_or_default();
        let _ = writeln!(
            out,
            "\nIn brackets: chance level (permuted labels), mean ± standard deviation. `aligned` is the share of {} \
             with one label to at least the threshold, `covered` the share of labels with such a cluster, \
             `score` their mean. Clusters of one word are apart{}: a word mostly has one label, in any layer.",
            align.judged(),
            if align.min_words < 2 { " once more" } else { "" },
        );
        for model in &self.models {
            space(&mut out, model, self);
        }
        report_changes::markdown(&mut out, self);
        out
    }
}

fn space(out: &mut String, model: &ConceptSpace, study: &ConceptStudy) {
    let (rare, frequent) = (model.filtered.rare, model.filtered.frequent);
    let _ = writeln!(
        out,
        "\n# {}\n\n{} occurrences of words in {} sentences. Left out: {} rare words ({} occurrences), \
         {} frequent words ({} occurrences), {} surplus occurrences.\n",
        model.name(),
        model.words.words.len(),
        model.text.sentences.len(),
        rare.0,
        rare.1,
        frequent.0,
        frequent.1,
        model.filtered.surplus,
    );
    for note in &model.notes {
        let _ = writeln!(out, "- {note}");
    }
    if !model.notes.is_empty() {
        out.push('\n');
    }
    let judged = model.align.judged();
    let _ = writeln!(
        out,
        "| layer | labels | {judged} | aligned | covered | score | clusters of one word | aligned |\n\
         |---|---|---|---|---|---|---|---|"
    );
    for layer in &model.layers {
        for row in &layer.rows {
            let (aligned, covered, score) = (number(&row.aligned), number(&row.covered), number(&row.score));
            let _ = writeln!(
                out,
                "| {} | {} | {} | {aligned} | {covered} | {score} | {} | {} |",
                layer.layer,
                row.label_set,
                row.judged,
                row.one_word.clusters,
                number(&row.one_word.aligned)
            );
        }
    }
    plateaus(out, model);
    ranked_neurons(out, model);
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
        let with = match model.method.as_str() {
            "" => "these clusters",
            method => method,
        };
        let _ = writeln!(
            out,
            "\n## Agreement with {with}\n\n| layer | method | adjusted Rand index | aligned, difference |\n|---|---|---|---|"
        );
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
    if let Some(found) = &model.explanation {
        let text = model
            .text
            .sentences
            .get(found.sentence)
            .map_or("", |sentence| &sentence.text);
        prediction(out, model, found, text);
    }
    for layer in &model.layers {
        clusters(out, layer, model);
    }
}

/// Over which numbers of clusters the alignment with the annotated sets holds.
fn plateaus(out: &mut String, model: &ConceptSpace) {
    let sweeps = || {
        model
            .layers
            .iter()
            .flat_map(|layer| layer.sweeps.iter().map(move |sweep| (layer, sweep)))
    };
    if sweeps().next().is_none() {
        return;
    }
    let _ = writeln!(
        out,
        "\n## Numbers of clusters\n\nExcess of `aligned` over its chance level, among {}: the largest \
         over all numbers of clusters, and the numbers for which it stays at 80 % of that. Where they end with the fewest or the \
         most that were tried, they may go on.\n\n\
         | layer | labels | threshold | clusters | excess |\n|---|---|---|---|---|",
        model.align.judged()
    );
    for (layer, sweep) in sweeps() {
        for plateau in sweep
            .thresholds
            .iter()
            .filter_map(|&threshold| sweep.plateau(threshold))
        {
            let (low, high) = plateau.excess;
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {low:.2} to {high:.2} |",
                layer.layer,
                sweep.label_set,
                plateau.threshold,
                plateau.numbers()
            );
        }
    }
}

/// Neurons listed for a concept.
const NEURONS: usize = 5;

/// Neurons of every layer for each concept.
fn ranked_neurons(out: &mut String, model: &ConceptSpace) {
    let sets = || {
        model
            .layers
            .iter()
            .flat_map(|layer| layer.neurons.iter().map(move |set| (layer, set)))
    };
    if sets().next().is_none() {
        return;
    }
    *out += "\n## Neurons\n\nA linear probe for each label set: its accuracy on unseen words, the share of the most frequent label among \
             them, its accuracy on a control task (every word has a label drawn at random), and its accuracy on unseen \
             occurrences minus that (selectivity).\n\n\
             | layer | labels | accuracy | most frequent | control | selectivity |\n|---|---|---|---|---|---|\n";
    for (layer, set) in sets() {
        let _ = writeln!(
            out,
            "| {} | {} | {:.3} | {:.3} | {:.3} | {:.3} |",
            layer.layer, set.label_set, set.accuracy, set.majority, set.control, set.selectivity
        );
    }
    *out += "\nNeurons with the largest differences of means (probeless; concept minus rest) and weights of the probe.\n\n\
             | layer | labels | concept | by means | by the probe |\n|---|---|---|---|---|\n";
    for (layer, set) in sets() {
        for concept in &set.concepts {
            let list = |neurons: &[Neuron]| {
                let shown = neurons.iter().take(NEURONS);
                let shown = shown.map(|neuron| format!("{} ({:+.2})", neuron.index, neuron.value));
                shown.collect::<Vec<_>>().join(", ")
            };
            let (means, probe) = (list(&concept.probeless), list(&concept.probe));
            let _ = writeln!(
                out,
                "| {} | {} | {} | {means} | {probe} |",
                layer.layer, set.label_set, concept.label
            );
        }
    }
}

/// Attribution of one prediction to clusters.
fn prediction(out: &mut String, model: &ConceptSpace, found: &Explanation, text: &str) {
    let _ = writeln!(
        out,
        "\n## Attribution of a prediction\n\n> {text}\n\n{}. Integrated gradients of {}, {:+.2} here and {:+.2} for padding alone, at the states of each layer, summed over the \
         words of each cluster; completeness gap at most {:.1} %. Positive weights support {}. \\*: a word outside the clustering; it \
         counts for the cluster with the nearest mean.\n",
        found.prediction(),
        found.target(),
        found.value,
        found.baseline,
        100.0 * found.gaps.iter().copied().fold(0.0, f64::max),
        found.class,
    );
    let warnings = model.layers.iter().enumerate();
    let warnings = warnings.filter_map(|(at, layer)| Some((layer.layer, found.gap_warning(at)?)));
    let warnings: Vec<_> = warnings.collect();
    for (layer, warning) in &warnings {
        let _ = writeln!(out, "- Layer {layer}: {warning}");
    }
    if !warnings.is_empty() {
        out.push('\n');
    }
    *out += "| layer | cluster | words in this sentence | weight | share |\n|---|---|---|---|---|\n";
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
        for token in &carried.special {
            let (weight, share) = (token.weight, 100.0 * token.share);
            let _ = writeln!(
                out,
                "| {} | `{}` | | {weight:+.2} | {share:.0} % |",
                layer.layer, token.text
            );
        }
        let outside = 100.0 * carried.outside;
        let _ = writeln!(out, "| {} | no cluster | | | {outside:.0} % |", layer.layer);
    }
}

/// The largest clusters of a layer, with the words of each in up to three sentences.
fn clusters(out: &mut String, layer: &ConceptLayer, model: &ConceptSpace) {
    let _ = writeln!(out, "\n## Layer {}: the largest clusters\n", layer.layer);
    for at in layer.largest().into_iter().take(SHOWN) {
        let cluster = &layer.clusters[at];
        let border = match cluster.borderline {
            share if share >= 0.2 => format!(", {:.0} % nearer to another cluster", 100.0 * share),
            _ => String::new(),
        };
        let _ = writeln!(
            out,
            "- **{}**: {} occurrences of {} words{border}",
            cluster.name.text,
            cluster.members.len(),
            cluster.words
        );
        if let Some(shares) = model.shares(layer, at) {
            let _ = writeln!(out, "  - {shares}");
        }
        for &member in cluster
            .members
            .iter()
            .step_by((cluster.members.len() / 3).max(1))
            .take(3)
        {
            if let Some([before, it, after]) = model.excerpt(member, REACH) {
                let _ = writeln!(out, "  - {before}**{it}**{after}");
            }
        }
    }
}

impl ConceptSpace {
    /// A prediction for a sentence, in terms of clusters, as Markdown.
    pub fn explanation_markdown(&self, found: &Explanation, text: &str) -> String {
        let mut out = String::new();
        prediction(&mut out, self, found, text);
        out
    }

    /// A word in its sentence: about `reach` characters before, the word, as many after. `None` for a word outside the text.
    pub fn excerpt(&self, word: usize, reach: usize) -> Option<[String; 3]> {
        let word = self.words.words.get(word).filter(|word| !word.special)?;
        let sentence = self.text.sentences.get(word.sentence)?;
        Some(excerpt(&sentence.text, sentence.words.get(word.index)?.span, reach))
    }
}

/// A place of a text with whole words of about `reach` characters on each side: before, place, after.
///
/// ```
/// use attn_analyze::concepts::excerpt;
///
/// assert_eq!(excerpt("the old cat sat down", (8, 11), 5), ["… old ", "cat", " sat …"]);
/// ```
pub fn excerpt(text: &str, (start, end): (usize, usize), reach: usize) -> [String; 3] {
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    let (before, after) = (part(0..start), part(end..text.len()));
    let cut = before.char_indices().rev().nth(reach).map(|(at, _)| &before[at..]);
    let before = match cut.and_then(|cut| cut.split_once(' ')) {
        Some((_, kept)) => format!("… {kept}"),
        None => before.to_owned(),
    };
    let cut = after.char_indices().nth(reach).map(|(at, _)| &after[..at]);
    let after = match cut.and_then(|cut| cut.rsplit_once(' ')) {
        Some((kept, _)) => format!("{kept} …"),
        None => after.to_owned(),
    };
    [before, part(start..end).to_owned(), after]
}
