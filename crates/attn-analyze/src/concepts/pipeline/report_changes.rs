//! What became of clusters, as Markdown.

use std::fmt::Write as _;

use super::{Comparison, ConceptLayer, ConceptSpace, ConceptStudy, LayerPair, report::number};
use crate::concepts::{Change, Fate, FoundAgain, FoundOfKind};

/// Changes of each kind that are told per pair of layers.
const TOLD: usize = 5;
/// Words of a cluster that are told, and characters around one in a sentence.
const WORDS: usize = 6;
const REACH: usize = 40;

pub(super) fn markdown(out: &mut String, study: &ConceptStudy) {
    for comparison in &study.comparisons {
        let (Some(a), Some(b)) = (study.models.get(comparison.before), study.models.get(comparison.after)) else {
            continue;
        };
        tables(out, comparison, a, b);
        for pair in &comparison.layers {
            which(out, pair, a, b);
        }
    }
}

fn tables(out: &mut String, comparison: &Comparison, a: &ConceptSpace, b: &ConceptSpace) {
    let (before, after) = (a.name(), b.name());
    if comparison.before == comparison.after {
        let _ = writeln!(out, "\n# {before}: from layer to layer\n");
    } else {
        let _ = writeln!(out, "\n# {before} and {after}\n");
    }
    if !comparison.layers.is_empty() {
        let (one, other) = match comparison.before == comparison.after {
            true => (
                "of the first layer in the second".to_owned(),
                "of the second in the first".to_owned(),
            ),
            false => (format!("of {before} in {after}"), format!("of {after} in {before}")),
        };
        let _ = writeln!(
            out,
            "Share of clusters of one that are found in the other, by the words that both texts have. Clusters of one word are apart: \
             they are found wherever the word is frequent enough. *Survived*: found there and back. *Merged*: found in a larger one. \
             *Split*: found in parts. Numbers of clusters, of the first and of the second.\n\n\
             | layer | layer | {one}: several words | one word | {other}: several words | one word | survived | merged | split | \
             lost | new | not judged |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|"
        );
        for pair in &comparison.layers {
            let (survive, known) = (kinds(&pair.changes.survive), kinds(&pair.changes.known_before));
            let counts = Fate::ALL.map(|fate| {
                let [before, after] = pair.changes.count(fate);
                match fate {
                    Fate::Survived | Fate::Lost => before.to_string(),
                    Fate::New => after.to_string(),
                    _ => format!("{before} to {after}"),
                }
            });
            let _ = writeln!(
                out,
                "| {} | {} | {survive} | {known} | {} | {}, {} |",
                pair.before,
                pair.after,
                counts.join(" | "),
                pair.changes.survive.small,
                pair.changes.known_before.small
            );
        }
        if let Some(pair) = comparison.layers.iter().find(|pair| pair.changes.outside != [0, 0]) {
            let [ours, theirs] = pair.changes.outside;
            let _ = writeln!(
                out,
                "\nThe texts share {} different words. In layer {}, {ours} and {theirs} clusters have none of them and are left out.",
                pair.changes.shared_types, pair.before
            );
        }
    }
    let _ = writeln!(
        out,
        "\n## Layers of {before} beside layers of {after}\n\nRows: layers of {before}. Columns: layers of {after}. Share of the row's \
         clusters that are found in the column's; chance levels in brackets."
    );
    between(out, comparison, a, b, "Clusters of several words", |found| {
        found.several
    });
    between(out, comparison, a, b, "Clusters of one word", |found| found.one_word);
}

/// The share of both kinds, as two cells.
fn kinds(found: &FoundAgain) -> String {
    let cell = |kind: &FoundOfKind| format!("{} of {}", number(&kind.found), kind.clusters);
    format!("{} | {}", cell(&found.several), cell(&found.one_word))
}

/// The table of all layers beside all layers, for one kind of clusters.
fn between(
    out: &mut String,
    comparison: &Comparison,
    a: &ConceptSpace,
    b: &ConceptSpace,
    title: &str,
    of: fn(&FoundAgain) -> FoundOfKind,
) {
    let _ = writeln!(out, "\n{title}:\n");
    let columns = b.layers.iter().map(|layer| format!(" {} |", layer.layer));
    let _ = writeln!(out, "| |{}", columns.collect::<String>());
    let _ = writeln!(out, "|---|{}", "---|".repeat(b.layers.len()));
    for (layer, shares) in a.layers.iter().zip(&comparison.between) {
        let cells = shares.iter().map(|found| {
            let share = of(found).found;
            match share.chance {
                Some(chance) => format!(" {:.2} ({:.2}) |", share.value, chance.mean),
                None => format!(" {:.2} |", share.value),
            }
        });
        let _ = writeln!(out, "| {} |{}", layer.layer, cells.collect::<String>());
    }
}

/// The largest changes of each kind between two layers, with words and a sentence.
fn which(out: &mut String, pair: &LayerPair, a: &ConceptSpace, b: &ConceptSpace) {
    let layer = |space: &ConceptSpace, layer: usize| space.layers.iter().position(|own| own.layer == layer);
    let (Some(ours), Some(theirs)) = (layer(a, pair.before), layer(b, pair.after)) else {
        return;
    };
    let (ours, theirs) = (&a.layers[ours], &b.layers[theirs]);
    let _ = writeln!(
        out,
        "\n## Clusters from layer {} to layer {}\n",
        pair.before, pair.after
    );
    for fate in Fate::ALL {
        // Of one word there is little to tell.
        let of_fate = || pair.changes.list.iter().filter(|change| change.fate == fate);
        let told: Vec<&Change> = of_fate().filter(|change| change.words > 1).take(TOLD).collect();
        let _ = writeln!(
            out,
            "**{}**: {}, {} of several words.\n",
            fate.name(),
            of_fate().count(),
            of_fate().filter(|change| change.words > 1).count()
        );
        for change in told {
            let before: Vec<String> = change.before.iter().map(|&at| cluster(a, ours, at)).collect();
            let after: Vec<String> = change.after.iter().map(|&at| cluster(b, theirs, at)).collect();
            let line = match fate {
                Fate::Lost => before.join("; "),
                Fate::New => after.join("; "),
                _ => format!("{} → {}", before.join("; "), after.join("; ")),
            };
            let _ = writeln!(out, "- {line}");
            let member = |space: &ConceptSpace, layer: &ConceptLayer, at: Option<&usize>| {
                let cluster = layer.clusters.get(*at?)?;
                space.excerpt(*cluster.members.first()?, REACH)
            };
            let quoted = match fate {
                Fate::New => member(b, theirs, change.after.first()),
                _ => member(a, ours, change.before.first()),
            };
            if let Some([before, it, after]) = quoted {
                let _ = writeln!(out, "  - {before}**{it}**{after}");
            }
        }
        *out += "\n";
    }
}

/// Name, size and words of a cluster.
fn cluster(space: &ConceptSpace, layer: &ConceptLayer, at: usize) -> String {
    let Some(cluster) = layer.clusters.get(at) else {
        return String::new();
    };
    let words = space.spellings(cluster);
    let shown: Vec<&str> = words.iter().take(WORDS).map(|&(word, _)| word).collect();
    let more = if words.len() > WORDS { ", …" } else { "" };
    format!(
        "*{}* ({}: {}{more})",
        cluster.name.text,
        cluster.members.len(),
        shown.join(", ")
    )
}
