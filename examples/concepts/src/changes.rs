//! What became of clusters from one model to another, as a list; and the polar clusters of each class.

use attn_sdk::analyze::concepts::{Change, Comparison, ConceptStudy, Fate, FoundAgain, FoundOfKind};
use eframe::egui::{ComboBox, Grid, RichText, ScrollArea, Ui};

/// Rows that are shown.
const ROWS: usize = 300;
/// Words of a cluster in a row.
const WORDS: usize = 5;

/// The choices of the list.
pub(crate) struct Choice {
    pub(crate) comparison: usize,
    pair: usize,
    fate: Fate,
    /// Only clusters of several words.
    several: bool,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            comparison: 0,
            pair: usize::MAX,
            fate: Fate::New,
            several: true,
        }
    }
}

/// A cluster that was clicked: of a model, a layer by its number, the cluster.
pub(crate) type Goal = (usize, usize, usize);

/// Names of the two models of a comparison.
pub(crate) fn title(study: &ConceptStudy, comparison: &Comparison) -> String {
    let name = |at: usize| study.models.get(at).map_or_else(String::new, |model| model.name());
    match comparison.before == comparison.after {
        true => format!("layers of {}", name(comparison.before)),
        false => format!("{} and {}", name(comparison.before), name(comparison.after)),
    }
}

/// Lets the user choose one of the comparisons.
pub(crate) fn choose_comparison(ui: &mut Ui, study: &ConceptStudy, chosen: &mut usize) {
    *chosen = (*chosen).min(study.comparisons.len().saturating_sub(1));
    let Some(comparison) = study.comparisons.get(*chosen) else {
        return;
    };
    if study.comparisons.len() == 1 {
        ui.label(title(study, comparison));
        return;
    }
    let combo = ComboBox::from_id_salt("comparison").selected_text(title(study, comparison));
    combo.show_ui(ui, |ui| {
        for (at, comparison) in study.comparisons.iter().enumerate() {
            ui.selectable_value(chosen, at, title(study, comparison));
        }
    });
}

/// The list of changes between two layers.
pub(crate) fn show(ui: &mut Ui, study: &ConceptStudy, choice: &mut Choice, search: &str) -> Option<Goal> {
    ui.horizontal_wrapped(|ui| choose_comparison(ui, study, &mut choice.comparison));
    let comparison = study.comparisons.get(choice.comparison)?;
    choice.pair = choice.pair.min(comparison.layers.len().saturating_sub(1));
    let Some(pair) = comparison.layers.get(choice.pair) else {
        ui.label("There are no layers of both to compare.");
        return None;
    };
    let (a, b) = (
        study.models.get(comparison.before)?,
        study.models.get(comparison.after)?,
    );
    let of = if comparison.before == comparison.after {
        "layer"
    } else {
        "model"
    };
    ui.horizontal_wrapped(|ui| {
        let name = |at: usize| {
            let pair = &comparison.layers[at];
            match pair.before == pair.after {
                true => format!("layer {}", pair.before),
                false => format!("layer {} to {}", pair.before, pair.after),
            }
        };
        let combo = ComboBox::from_id_salt("pair").selected_text(name(choice.pair));
        combo.show_ui(ui, |ui| {
            for at in 0..comparison.layers.len() {
                ui.selectable_value(&mut choice.pair, at, name(at));
            }
        });
        for fate in Fate::ALL {
            let [before, after] = pair.changes.count(fate);
            let count = if fate == Fate::New { after } else { before };
            ui.selectable_value(&mut choice.fate, fate, format!("{} {count}", fate.name()));
        }
        ui.checkbox(&mut choice.several, "of several words");
    });
    ui.label(
        RichText::new(match choice.fate {
            Fate::Survived => format!("Found in the other {of}, and back."),
            Fate::Merged => format!("Found in a larger cluster of the second {of}."),
            Fate::Split => "Found in parts: each of them lies in the cluster.".to_owned(),
            Fate::Lost => format!("Clusters of the first {of} that are not found in the second."),
            _ => format!("Clusters of the second {of} that are not found in the first."),
        })
        .weak(),
    );
    let (forth, back) = (&pair.changes.survive, &pair.changes.known_before);
    ui.label(
        RichText::new(format!(
            "First in second: {}. Second in first: {}.",
            shares(forth),
            shares(back)
        ))
        .weak(),
    );
    ui.add_space(6.0);
    let layer = |model: usize, number: usize| {
        let layers = &study.models.get(model)?.layers;
        layers.iter().find(|layer| layer.layer == number)
    };
    let (ours, theirs) = (
        layer(comparison.before, pair.before)?,
        layer(comparison.after, pair.after)?,
    );
    let words = |first: bool, at: usize| {
        let (space, layer) = if first { (a, ours) } else { (b, theirs) };
        let cluster = layer.clusters.get(at)?;
        let all = space.spellings(cluster);
        let shown: Vec<&str> = all.iter().take(WORDS).map(|&(word, _)| word).collect();
        let more = if all.len() > WORDS { ", …" } else { "" };
        let matches = all.iter().any(|(word, _)| word.to_lowercase().contains(search));
        Some((
            format!("{}: {}{more}", cluster.members.len(), shown.join(", ")),
            matches,
            &cluster.name.text,
        ))
    };
    let mut goal = None;
    let rows = pair.changes.list.iter().filter(|change| {
        let hit = |first: bool, clusters: &[usize]| {
            clusters
                .iter()
                .any(|&at| words(first, at).is_some_and(|(_, hit, _)| hit))
        };
        change.fate == choice.fate
            && (change.words > 1 || !choice.several)
            && (search.is_empty() || hit(true, &change.before) || hit(false, &change.after))
    });
    let rows: Vec<&Change> = rows.collect();
    ScrollArea::vertical()
        .id_salt("changes")
        .auto_shrink(false)
        .show(ui, |ui| {
            Grid::new("changes")
                .num_columns(2)
                .striped(true)
                .spacing([24.0, 6.0])
                .show(ui, |ui| {
                    for (space, layer) in [(a, pair.before), (b, pair.after)] {
                        ui.label(RichText::new(format!("{}, layer {layer}", space.name())).strong());
                    }
                    ui.end_row();
                    for change in rows.iter().take(ROWS) {
                        for (first, clusters) in [(true, &change.before), (false, &change.after)] {
                            ui.vertical(|ui| {
                                for &at in clusters {
                                    let Some((words, _, name)) = words(first, at) else {
                                        continue;
                                    };
                                    if ui.link(name).clicked() {
                                        goal = Some(match first {
                                            true => (comparison.before, pair.before, at),
                                            false => (comparison.after, pair.after, at),
                                        });
                                    }
                                    ui.label(RichText::new(words).weak());
                                }
                            });
                        }
                        ui.end_row();
                    }
                });
            rest(ui, rows.len());
        });
    goal
}

/// What a list leaves out.
fn rest(ui: &mut Ui, rows: usize) {
    if rows > ROWS {
        let more = rows - ROWS;
        ui.label(RichText::new(format!("and {more} more: search, or export the list as CSV")).weak());
    }
}

/// The share of both kinds of clusters that is found.
fn shares(found: &FoundAgain) -> String {
    let kind = |kind: &FoundOfKind| {
        let chance = kind
            .found
            .chance
            .map_or(String::new(), |chance| format!(" (by chance {:.2})", chance.mean));
        format!("{:.2}{chance} of {}", kind.found.value, kind.clusters)
    };
    let small = match found.small {
        0 => String::new(),
        small => format!(", {small} too small to be judged"),
    };
    format!(
        "{} of several words, {} of one word{small}",
        kind(&found.several),
        kind(&found.one_word)
    )
}

/// The polar clusters of a layer, class by class.
pub(crate) fn polar(ui: &mut Ui, study: &ConceptStudy, model: usize, layer: usize) -> Option<Goal> {
    let (space, classes) = (study.models.get(model)?, study.classes.as_ref()?);
    let set = space.sets.iter().position(|set| set.name == *classes)?;
    let found = space.layers.get(layer)?;
    let mut goal = None;
    ui.heading(format!("Polar clusters: {classes}, layer {}", found.layer));
    let judged = space.align().judged();
    ui.label(
        RichText::new(format!(
            "Of {judged}, those whose words come from sentences of one class."
        ))
        .weak(),
    );
    ui.add_space(6.0);
    ScrollArea::vertical()
        .id_salt("polar")
        .auto_shrink(false)
        .show(ui, |ui| {
            for (class, count) in &found.rows[set].clusters {
                let chance = count.chance.map_or(String::new(), |chance| {
                    format!(" (by chance {:.1} ± {:.1})", chance.mean, chance.deviation)
                });
                ui.label(RichText::new(format!("{class}: {:.0} clusters{chance}", count.value)).strong());
                let aligned: Vec<usize> = space
                    .aligned(found, set)
                    .filter(|(_, label)| *label == class.as_str())
                    .map(|(at, _)| at)
                    .collect();
                for &at in aligned.iter().take(ROWS) {
                    let cluster = &found.clusters[at];
                    ui.horizontal(|ui| {
                        if ui.link(&cluster.name.text).clicked() {
                            goal = Some((model, found.layer, at));
                        }
                        ui.label(
                            RichText::new(format!(
                                "{} occurrences of {} words, {:.0} %",
                                cluster.members.len(),
                                cluster.words,
                                100.0 * cluster.share(set)
                            ))
                            .weak(),
                        );
                    });
                }
                rest(ui, aligned.len());
                ui.add_space(8.0);
            }
        });
    goal
}
