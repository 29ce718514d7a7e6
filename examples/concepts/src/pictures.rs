//! Plots: curves over layers, a map and a dendrogram per layer; for files and for the window.

use std::{collections::BTreeSet, error::Error, path::Path};

use attn_sdk::{
    Progress,
    analyze::concepts::{Against, Branches, ConceptLayer, ConceptSpace, ConceptStudy, LabelRow, LayerCurves, LayerRow},
    core::table::Table,
    render::{
        Exporter, Plot, ViewState,
        plots::{ClusterMap, Coordinates, Dendrogram, DendrogramLeaf, DendrogramMerge, Lines, MapCluster, Series},
    },
};

use examples_common::Terminal;

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
    let mut written = 0;
    let layers: usize = study.models.iter().map(|model| model.layers.len()).sum();
    let total = 2 * layers + study.models.len();
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
    for (model, suffix) in study.models.iter().zip(["", "-after"]) {
        if let Some(curves) = curves(study, model) {
            draw(format!("curves{suffix}"), &curves, [760.0, 520.0])?;
        }
        for (index, layer) in model.layers.iter().enumerate() {
            let at = layer.layer;
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
            let name: String = topic
                .chars()
                .map(|c| if c.is_alphanumeric() { c } else { '-' })
                .collect();
            draw(format!("compared-{name}"), &lines, [640.0, 440.0])?;
        }
    }
    terminal.say(format!("plots: {}", out.display()));
    Ok(())
}

/// A chart of curves; `None` if the layers do not ascend, which `--layers` allows.
fn chart(curves: LayerCurves, subtitle: String, caption: &str) -> Option<Lines> {
    if curves.curves.is_empty() || curves.layers.windows(2).any(|pair| pair[0] >= pair[1]) {
        return None;
    }
    let single = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect::<Vec<f32>>();
    let mut series = Vec::new();
    for (class, curve) in curves.curves.into_iter().enumerate() {
        let line = |name: String, values: Vec<f32>, broken| Series {
            name,
            values: values.into(),
            class,
            broken,
        };
        series.push(line(curve.name, single(curve.values), false));
        if let Some(chance) = curve.chance {
            series.push(line("chance".into(), single(chance), true));
        }
    }
    let at: Vec<f32> = curves.layers.into_iter().map(|layer| layer as f32).collect();
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

/// Curves of every label set of a model.
pub(crate) fn curves(study: &ConceptStudy, model: &ConceptSpace) -> Option<Lines> {
    let subtitle = format!("{}: {} words", model.model, model.words.words.len());
    let caption = "Share of clusters aligned with a label of each set, by layer. Dashed, in the same color: chance level \
                   (permuted labels).";
    chart(study.curves(model), subtitle, caption)
}

/// Curves of two models in one chart.
pub(crate) fn compared(study: &ConceptStudy, topic: &str) -> Option<Lines> {
    let curves = study.compared(topic)?;
    let subtitle = format!("{} words", study.models[0].words.words.len());
    let caption = if topic == ConceptStudy::FOUND_AGAIN {
        "Dashed, in the same color: chance level (clusters of the other model permuted)."
    } else {
        "Dashed, in the same color: chance level (permuted labels)."
    };
    chart(curves, subtitle, caption)
}

/// The data of all curves: a row per model, layer and label set.
pub(crate) fn numbers(study: &ConceptStudy) -> Table {
    let rows: Vec<LayerRow<'_>> = study.rows().collect();
    let mut table = Table::new(rows.len());
    table
        .texts("model", |row| rows[row].model)
        .numbers("layer", |row| rows[row].layer)
        .texts("labels", |row| rows[row].row.label_set.as_str());
    let against: [(&str, fn(&LabelRow) -> Against); 3] = [
        ("aligned", |row| row.aligned),
        ("covered", |row| row.covered),
        ("score", |row| row.score),
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
        title: format!("Clusters of words in layer {} of {}", layer.layer, model.model),
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
        title: format!("Dendrogram of clusters in layer {} of {}", layer.layer, model.model),
        subtitle: format!("{} words", branches.sizes.iter().sum::<usize>()),
        clusters: COLORS.min(leaves.len()),
        across: "height (Ward)".into(),
        ..Dendrogram::new(leaves, merges)
    }
}
