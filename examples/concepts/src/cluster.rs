//! The right panel: the chosen cluster with its labels, words and sentences.

use attn_sdk::analyze::concepts::{ConceptCluster, ConceptLayer, ConceptSpace};
use eframe::egui::{self, Grid, RichText, ScrollArea, Ui, text::LayoutJob};

/// Limits of words and of sentences per word shown.
const WORDS: usize = 80;
const SENTENCES: usize = 60;
/// Sentences of each word while all are shown.
const EACH: usize = 4;
/// Characters of context around a word.
const REACH: usize = 160;

/// What is shown of the words: all of them, those of one word, those that match the search.
pub(crate) struct Filter<'a> {
    /// The word that was clicked.
    pub(crate) word: Option<&'a str>,
    /// In lower case.
    pub(crate) search: &'a str,
}

impl Filter<'_> {
    fn shows(&self, word: &str) -> bool {
        match self.word {
            Some(chosen) => chosen == word,
            None => word.to_lowercase().contains(self.search),
        }
    }
}

/// Shows a cluster; returns the word that was clicked.
pub(crate) fn show(
    ui: &mut Ui,
    model: &ConceptSpace,
    layer: &ConceptLayer,
    at: usize,
    filter: &Filter<'_>,
) -> Option<String> {
    let cluster = layer.clusters.get(at)?;
    ui.add_space(4.0);
    ui.heading(&cluster.name.text);
    let words = model.spellings(cluster);
    ui.label(format!(
        "{} occurrences of {} distinct words",
        cluster.members.len(),
        words.len()
    ));
    if cluster.borderline > 0.0 {
        let share = 100.0 * cluster.borderline;
        ui.label(RichText::new(format!("{share:.0} % of them are nearer to another cluster")).weak());
    }
    // Of a method whose clusters overlap.
    if let Some(shares) = model.shares(layer, at) {
        ui.label(RichText::new(shares).weak());
    }
    ui.add_space(4.0);
    labels(ui, model, cluster);
    ui.separator();
    let clicked = spellings(ui, &words, filter);
    ui.separator();
    // A search that hits no word here found the name of the cluster.
    let matches = words.iter().any(|(word, _)| filter.shows(word));
    let all = Filter { word: None, search: "" };
    sentences(ui, model, cluster, &words, if matches { filter } else { &all });
    clicked
}

/// The best label of each set, beside the share of all words that have it.
fn labels(ui: &mut Ui, model: &ConceptSpace, cluster: &ConceptCluster) {
    Grid::new("labels").num_columns(4).striped(true).show(ui, |ui| {
        for (set, best) in model.sets.iter().zip(&cluster.labels) {
            let Some(best) = best else { continue };
            let label = set.labels.iter().position(|label| *label == best.label);
            let all = label.and_then(|label| set.counts().get(label).copied()).unwrap_or(0);
            let base = all as f64 / model.words.words.len().max(1) as f64;
            ui.label(&set.name);
            ui.label(&best.label);
            let share = RichText::new(format!("{:.0} %", 100.0 * best.share));
            ui.label(if best.aligned { share.strong() } else { share.weak() });
            ui.label(RichText::new(format!("{:.0} % of all words", 100.0 * base)).weak());
            ui.end_row();
        }
    });
}

fn spellings(ui: &mut Ui, words: &[(&str, usize)], filter: &Filter<'_>) -> Option<String> {
    let mut clicked = None;
    ui.horizontal_wrapped(|ui| {
        for (word, count) in words.iter().take(WORDS) {
            let chosen =
                filter.word == Some(*word) || filter.word.is_none() && !filter.search.is_empty() && filter.shows(word);
            // One label, so that a line never ends between a word and its count.
            if ui.selectable_label(chosen, counted(ui, word, *count)).clicked() {
                clicked = Some((*word).to_owned());
            }
        }
        if words.len() > WORDS {
            ui.label(format!("and {} more", words.len() - WORDS));
        }
    });
    clicked
}

/// A word and how often it occurs.
fn counted(ui: &Ui, word: &str, count: usize) -> LayoutJob {
    let font = egui::TextStyle::Body.resolve(ui.style());
    let visuals = ui.visuals();
    let mut job = LayoutJob::default();
    job.append(
        word,
        0.0,
        egui::TextFormat::simple(font.clone(), visuals.strong_text_color()),
    );
    job.append(
        &count.to_string(),
        5.0,
        egui::TextFormat::simple(font, visuals.weak_text_color()),
    );
    job
}

/// The sentences, grouped by word.
fn sentences(
    ui: &mut Ui,
    model: &ConceptSpace,
    cluster: &ConceptCluster,
    words: &[(&str, usize)],
    filter: &Filter<'_>,
) {
    let shown: Vec<&(&str, usize)> = words.iter().filter(|(word, _)| filter.shows(word)).collect();
    let each = if shown.len() == 1 { SENTENCES } else { EACH };
    let area = ScrollArea::vertical().id_salt("sentences").auto_shrink(false);
    area.show(ui, |ui| {
        for (word, count) in shown.into_iter().take(WORDS) {
            ui.label(RichText::new(format!("{word} ({count})")).strong());
            let of_word = cluster
                .members
                .iter()
                .copied()
                .filter(|&member| model.words.words[member].text == *word);
            for member in of_word.take(each) {
                if let Some([before, it, after]) = model.excerpt(member, REACH) {
                    ui.label(marked(ui, &before, &it, &after));
                    ui.add_space(2.0);
                }
            }
            if *count > each {
                ui.label(RichText::new(format!("and {} more: click the word above", count - each)).weak());
            }
            ui.add_space(6.0);
        }
    });
}

/// A sentence with one word on a colored background.
fn marked(ui: &Ui, before: &str, it: &str, after: &str) -> LayoutJob {
    let visuals = ui.visuals();
    let font = egui::TextStyle::Body.resolve(ui.style());
    let plain = egui::TextFormat::simple(font.clone(), visuals.text_color());
    let word = egui::TextFormat {
        background: visuals.selection.bg_fill,
        ..egui::TextFormat::simple(font, visuals.strong_text_color())
    };
    let mut job = LayoutJob::default();
    job.append(before, 0.0, plain.clone());
    job.append(it, 0.0, word);
    job.append(after, 0.0, plain);
    job
}
