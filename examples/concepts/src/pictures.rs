//! Plots: curves over layers, a map and a dendrogram per layer; for files and for the window.

use std::{collections::BTreeSet, error::Error, path::Path, sync::Arc};

use attn_sdk::{
    Progress,
    analyze::concepts::{
        Against, Branches, Comparison, ConceptLayer, ConceptSpace, ConceptStudy, Curve, LabelRow, LayerCurves,
        LayerRow, Sweep,
    },
    core::table::Table,
    render::{
        Exporter, Plot, ViewState,
        plots::{
            ClusterMap, Coordinates, Dendrogram, DendrogramLeaf, DendrogramMerge, HeatTable, LineGrid, Lines,
            MapCluster, Series,
        },
    },
};

use examples_common::Terminal;

use super::files::suffix;

/// Branches of a dendrogram that are shown at first, and their colors.
pub(crate) const BRANCHES: usize = 28;
const COLORS: usize = 8;

pub(crate) fn write(
    study: &ConceptStudy,
    out: &Path,
    view: &ViewState,
    svg: bool,
    terminal: &Terminal,
) -> Result<(), Box<dyn Error>> {
    let mut exporter = Exporter::default();
    // Words are in any script.
    exporter.system_fonts = true;
    let mut written = 0;
    let layers: usize = study.models.iter().map(|model| model.layers.len()).sum();
    let total = 4 * layers + 2 * study.models.len() + 2 * study.comparisons.len() + study.topics().len();
    let mut draw = |name: String, plot: &dyn Plot, size: [f32; 2]| -> Result<(), Box<dyn Error>> {
        exporter.size = Some(size);
        for extension in ["png"].into_iter().chain(svg.then_some("svg")) {
            exporter.write(plot, view, out.join(format!("{name}.{extension}")))?;
        }
        written += 1;
        // Drawing takes seconds, so it is not cancelled.
        let _ = terminal.update("plots", written.min(total), total);
        Ok(())
    };
    for (at, model) in study.models.iter().enumerate() {
        let suffix = suffix(at);
        if let Some(curves) = curves(study, model) {
            draw(format!("curves{suffix}"), &curves, curves.natural_size())?;
        }
        if let Some(curves) = one_word(study, model) {
            draw(format!("curves-one-word{suffix}"), &curves, [760.0, 440.0])?;
        }
        for (index, layer) in model.layers.iter().enumerate() {
            let at = layer.layer;
            if let Some(found) = layer.sweeps.first() {
                let table = sweep(found, model, layer);
                draw(format!("sweep-{at}{suffix}"), &table, table.natural_size())?;
            }
            if let Some(plot) = reachability(model, layer) {
                draw(format!("reachability-{at}{suffix}"), &plot, [900.0, 440.0])?;
            }
            if !layer.map.is_empty() {
                draw(format!("map-{at}{suffix}"), &map(model, layer)?, [900.0, 760.0])?;
            }
            if let Some(branches) = model.branches(index, BRANCHES, &BTreeSet::new())? {
                let tree = tree(&branches, model, layer);
                draw(format!("dendrogram-{at}{suffix}"), &tree, tree.natural_size())?;
            }
        }
    }
    for topic in study.topics() {
        if let Some(lines) = compared(study, &topic) {
            draw(format!("compared-{}", file_name(&topic)), &lines, [640.0, 440.0])?;
        }
    }
    for (at, comparison) in study.comparisons.iter().enumerate() {
        let number = if at == 0 { String::new() } else { format!("-{}", at + 1) };
        for (kind, one_word) in [("", false), ("-one-word", true)] {
            if let Some(table) = layers_beside(study, comparison, one_word) {
                draw(format!("layers{kind}{number}"), &table, table.natural_size())?;
            }
        }
    }
    if let Some(note) = exporter.missing_note() {
        terminal.say(format!("note: {note}"));
    }
    terminal.say(format!("plots: {}", out.display()));
    Ok(())
}

/// A name without characters that mean something to a file system.
fn file_name(topic: &str) -> String {
    topic
        .chars()
        .map(|c| if c.is_alphanumeric() { c } else { '-' })
        .collect()
}

/// A chart of curves over the layers that any of them has; `None` without a layer.
fn chart(curves: LayerCurves, subtitle: String, caption: &str) -> Option<Lines> {
    let layers: BTreeSet<usize> = curves
        .curves
        .iter()
        .flat_map(|curve| curve.layers.iter().copied())
        .collect();
    if layers.is_empty() {
        return None;
    }
    let layers: Vec<usize> = layers.into_iter().collect();
    let single = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect::<Vec<f32>>();
    let mut series = Vec::new();
    for (class, curve) in curves
        .curves
        .into_iter()
        .filter(|curve| !curve.layers.is_empty())
        .enumerate()
    {
        let places: Vec<usize> = curve
            .layers
            .iter()
            .filter_map(|layer| layers.binary_search(layer).ok())
            .collect();
        let places = (places.len() < layers.len()).then(|| Arc::from(places));
        let line = |name: String, values: Vec<f32>, broken| Series {
            name,
            values: values.into(),
            places: places.clone(),
            class,
            broken,
        };
        series.push(line(curve.name, single(curve.values), false));
        if let Some(chance) = curve.chance {
            series.push(line("chance".into(), single(chance), true));
        }
    }
    let at: Vec<f32> = layers.into_iter().map(|layer| layer as f32).collect();
    Some(Lines {
        title: curves.title,
        subtitle,
        caption: caption.into(),
        at: at.into(),
        across: "layer (0: embeddings)".into(),
        up: "share of clusters".into(),
        series,
        range: Some([0.0, 1.0]),
    })
}

/// Curves of every label set of a model, a chart for each: in one chart they would cross.
pub(crate) fn curves(study: &ConceptStudy, model: &ConceptSpace) -> Option<LineGrid> {
    let found = study.curves(model);
    let charts = found.curves.into_iter().filter_map(|curve| {
        let name = curve.name.clone();
        let curve = Curve {
            name: "aligned clusters".into(),
            ..curve
        };
        let own = LayerCurves {
            title: name,
            curves: vec![curve],
        };
        let chart = chart(own, String::new(), "")?;
        Some(Lines {
            across: "layer".into(),
            up: String::new(),
            ..chart
        })
    });
    let mut charts: Vec<Lines> = charts.collect();
    // What the charts leave out: how much of a layer it is, and that it says little.
    if let Some(one) = chart(study.one_word_curves(model), String::new(), "") {
        charts.push(Lines {
            across: "layer".into(),
            up: String::new(),
            // The other curves are in a chart of their own.
            series: one.series.into_iter().take(1).collect(),
            ..one
        });
    }
    (!charts.is_empty()).then(|| LineGrid {
        title: found.title,
        subtitle: format!("{}: {} words", model.name(), model.words.words.len()),
        caption: format!(
            "Share of the {} that are aligned with a label of each set, by layer (0: embeddings). Dashed: chance level (permuted \
             labels).",
            model.align().judged()
        ),
        charts,
    })
}

/// The curve of one label set of a model, in a chart of its own.
pub(crate) fn curve(study: &ConceptStudy, model: &ConceptSpace, set: usize) -> Option<Lines> {
    let found = study.curves(model);
    let one = LayerCurves {
        title: found.title,
        curves: found.curves.into_iter().skip(set).take(1).collect(),
    };
    let subtitle = format!("{}: {} words", model.name(), model.words.words.len());
    chart(one, subtitle, "Dashed: chance level (permuted labels).")
}

/// Curves of the clusters of one word.
pub(crate) fn one_word(study: &ConceptStudy, model: &ConceptSpace) -> Option<Lines> {
    let subtitle = format!("{}: {} words", model.name(), model.words.words.len());
    let caption =
        "Share of clusters that are one word, and of these the share with one label of each set. Dashed: chance level.";
    chart(study.one_word_curves(model), subtitle, caption)
}

/// Alignment of a layer over numbers of clusters and thresholds, above chance.
pub(crate) fn sweep(found: &Sweep, model: &ConceptSpace, layer: &ConceptLayer) -> HeatTable {
    let rows = found.clusters.iter().zip(&found.judged);
    let rows: Vec<String> = rows
        .map(|(count, judged)| format!("{count} ({judged} judged)"))
        .collect();
    let columns: Vec<String> = found.thresholds.iter().map(f64::to_string).collect();
    let values: Vec<f32> = found
        .excess()
        .into_iter()
        .flatten()
        .map(|excess| excess as f32)
        .collect();
    let plateau = found.plateau(model.threshold()).map_or_else(
        || "Nothing is above chance at the threshold of the study.".to_owned(),
        |plateau| {
            let (low, high) = plateau.excess;
            format!(
                "Plateau at {}: clusters {}, excess {low:.2} to {high:.2}.",
                plateau.threshold,
                plateau.numbers()
            )
        },
    );
    HeatTable {
        title: format!("{} by numbers of clusters", found.label_set),
        subtitle: format!(
            "layer {} of {}; rows: clusters; columns: threshold",
            layer.layer,
            model.name()
        ),
        caption: format!(
            "Share of {} that are aligned, minus its chance level. {plateau}",
            model.align().judged()
        ),
        what: "above chance".into(),
        range: Some([0.0, 1.0]),
        ..HeatTable::new(rows, columns, values)
    }
}

/// The reachability plot of a layer.
pub(crate) fn reachability(model: &ConceptSpace, layer: &ConceptLayer) -> Option<Lines> {
    let found = layer.reachability.as_ref()?;
    let (at, heights): (Vec<f32>, Vec<f32>) = (found.reachability.iter().enumerate())
        .filter_map(|(at, height)| Some((at as f32, (*height)? as f32)))
        .unzip();
    Some(Lines {
        title: format!("Reachability of words in layer {} of {}", layer.layer, model.name()),
        subtitle: format!(
            "{} clusters, {} words in none",
            layer.clusters.len(),
            layer.partition.noise()
        ),
        caption: "Words in the order of OPTICS. Valleys are dense regions; valleys within valleys are denser ones."
            .into(),
        at: at.into(),
        across: "word".into(),
        up: "reachability".into(),
        series: vec![Series {
            name: "reachability".into(),
            values: heights.into(),
            ..Series::default()
        }],
        range: None,
    })
}

/// Curves of all models in one chart.
pub(crate) fn compared(study: &ConceptStudy, topic: &str) -> Option<Lines> {
    let curves = study.compared(topic)?;
    let words = study.models.iter().map(|model| model.words.words.len().to_string());
    let subtitle = format!("{} words", words.collect::<Vec<_>>().join(" and "));
    let found_again = [ConceptStudy::FOUND_AGAIN, ConceptStudy::FOUND_AGAIN_ONE_WORD].contains(&topic);
    let caption = if found_again {
        "Dashed, in the same color: chance level (clusters of the other model permuted)."
    } else {
        "Dashed, in the same color: chance level (permuted labels)."
    };
    chart(curves, subtitle, caption)
}

/// Every layer of a model beside every layer of another, or of itself, by clusters of several words or of one; `None` while there is
/// none.
pub(crate) fn layers_beside(study: &ConceptStudy, comparison: &Comparison, one_word: bool) -> Option<HeatTable> {
    let (a, b) = (
        study.models.get(comparison.before)?,
        study.models.get(comparison.after)?,
    );
    let values: Vec<f32> = comparison
        .between
        .iter()
        .flatten()
        .map(|found| if one_word { found.one_word } else { found.several })
        .map(|kind| kind.found.value as f32)
        .collect();
    if values.is_empty() {
        return None;
    }
    let names = |model: &ConceptSpace| -> Vec<String> {
        model
            .layers
            .iter()
            .map(|layer| format!("layer {}", layer.layer))
            .collect()
    };
    Some(HeatTable {
        title: format!("Clusters of {} found again", if one_word { "one word" } else { "several words" }),
        subtitle: format!("rows: {}; columns: {}", a.name(), b.name()),
        caption: if one_word {
            "Share of the clusters of one word of the row's layer that are found in the column's layer. They are found wherever \
             the word is frequent enough."
        } else {
            "Share of the clusters of several words of the row's layer that are found in the column's layer."
        }
        .into(),
        what: "share found again".into(),
        range: Some([0.0, 1.0]),
        ..HeatTable::new(names(a), names(b), values)
    })
}

/// The data of all curves: a row per model, layer and label set.
pub(crate) fn numbers(study: &ConceptStudy) -> Table {
    let rows: Vec<LayerRow<'_>> = study.rows().collect();
    let mut table = Table::new(rows.len());
    table
        .numbers("judged clusters", |row| rows[row].row.judged)
        .numbers("clusters of one word", |row| rows[row].row.one_word.clusters)
        .texts("model", |row| rows[row].model.name())
        .numbers("layer", |row| rows[row].layer)
        .texts("labels", |row| rows[row].row.label_set.as_str());
    let against: [(&str, fn(&LabelRow) -> Against); 4] = [
        ("aligned", |row| row.aligned),
        ("covered", |row| row.covered),
        ("score", |row| row.score),
        ("aligned of one word", |row| row.one_word.aligned),
    ];
    for (name, of) in against {
        table.numbers(name, |row| of(rows[row].row).value);
        let chance = |row: usize| of(rows[row].row).chance.map(|chance| chance.mean);
        table.numbers(format!("{name}, chance"), chance);
    }
    table
}

/// The map of a layer's words.
pub(crate) fn map(model: &ConceptSpace, layer: &ConceptLayer) -> Result<ClusterMap, attn_sdk::Error> {
    let places: Vec<f32> = layer.map.iter().flatten().copied().collect();
    // Words in no cluster share a number behind the clusters.
    let noise = layer.clusters.len();
    let of: Vec<usize> = layer.partition.of().iter().map(|of| of.unwrap_or(noise)).collect();
    let in_none = layer.partition.noise();
    let clusters = layer.clusters.iter().map(|cluster| MapCluster {
        name: cluster.name.text.clone(),
        size: cluster.members.len(),
    });
    let noise = (in_none > 0).then(|| MapCluster {
        name: "no cluster".into(),
        size: in_none,
    });
    Ok(ClusterMap {
        title: format!("Clusters of words in layer {} of {}", layer.layer, model.name()),
        subtitle: format!("{} words, {} clusters", layer.map.len(), layer.clusters.len()),
        caption:
            "Each point is an occurrence of a word. Neighbors in the layer are neighbors on the map. Labels name the largest \
                  clusters."
                .into(),
        what: "cluster".into(),
        coordinates: Coordinates::new(places, 2)?,
        of: of.into(),
        clusters: clusters.chain(noise).collect(),
        labels: model.words.types().into(),
    })
}

/// The upper part of a layer's dendrogram.
pub(crate) fn tree(branches: &Branches, model: &ConceptSpace, layer: &ConceptLayer) -> Dendrogram {
    let leaf = |at: usize| DendrogramLeaf {
        name: branches.names[at].text.clone(),
        size: branches.sizes[at],
        height: branches.heights[at] as f32,
    };
    let leaves: Vec<DendrogramLeaf> = (0..branches.names.len()).map(leaf).collect();
    let merges = branches.top.tree.merges().iter();
    let merges: Vec<DendrogramMerge> = merges
        .map(|merge| DendrogramMerge {
            left: merge.left,
            right: merge.right,
            height: merge.height as f32,
        })
        .collect();
    Dendrogram {
        title: format!("Dendrogram of clusters in layer {} of {}", layer.layer, model.name()),
        subtitle: format!("{} words", branches.sizes.iter().sum::<usize>()),
        clusters: COLORS.min(leaves.len()),
        across: "height (Ward)".into(),
        ..Dendrogram::new(leaves, merges)
    }
}
