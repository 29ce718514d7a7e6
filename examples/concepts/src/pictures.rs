//! The pictures: curves over the layers, a map and a tree per layer; as scenes, for files and for the window.

use std::{collections::BTreeSet, error::Error, path::Path};

use attn_sdk::{
    Progress,
    analyze::concepts::{Against, Branches, ConceptLayer, ConceptSpace, ConceptStudy, LabelRow, LayerCurves, LayerRow},
    render::{
        Cells, Headless, Scene, SvgOptions, Table, View,
        views::{ClusterMap, Coordinates, Dendrogram, DendrogramLeaf, DendrogramMerge, Lines, MapCluster, Series},
        write_svg,
    },
};

use examples_common::Terminal;

/// Branches of a tree that are shown at first, and their colors.
pub(crate) const BRANCHES: usize = 28;
const COLORS: usize = 8;

type Drawn = Result<Scene, attn_sdk::Error>;

pub(crate) fn write(
    study: &ConceptStudy,
    out: &Path,
    view: &View,
    svg: bool,
    terminal: &Terminal,
) -> Result<(), Box<dyn Error>> {
    let mut headless = Headless::new()?;
    let mut written = 0;
    let layers: usize = study.models.iter().map(|model| model.layers.len()).sum();
    let total = 2 * layers + study.models.len();
    let mut draw = |name: String, scene: Scene| -> Result<(), Box<dyn Error>> {
        let path = out.join(name);
        headless.render(&scene, view, 2.0)?.write_png(&path)?;
        if svg {
            write_svg(path.with_extension("svg"), &scene, view, &SvgOptions::default())?;
        }
        written += 1;
        // Drawing takes seconds; a cancellation is noticed by the shell.
        let _ = terminal.update("pictures", written.min(total), total);
        Ok(())
    };
    for (model, suffix) in study.models.iter().zip(["", "-after"]) {
        if let Some(curves) = curves(study, model, view, [760.0, 520.0])? {
            draw(format!("curves{suffix}.png"), curves)?;
        }
        for (index, layer) in model.layers.iter().enumerate() {
            let at = layer.layer;
            if !layer.map.is_empty() {
                draw(
                    format!("map-{at}{suffix}.png"),
                    map(model, layer, view, [900.0, 760.0])?,
                )?;
            }
            if let Some(branches) = model.branches(index, BRANCHES, &BTreeSet::new())? {
                draw(
                    format!("dendrogram-{at}{suffix}.png"),
                    tree(&branches, model, layer, view, None)?,
                )?;
            }
        }
    }
    for topic in study.topics() {
        if let Some(scene) = compared(study, &topic, view, [640.0, 440.0])? {
            let name: String = topic
                .chars()
                .map(|c| if c.is_alphanumeric() { c } else { '-' })
                .collect();
            draw(format!("compared-{name}.png"), scene)?;
        }
    }
    terminal.say(format!("pictures in {}", out.display()));
    Ok(())
}

/// A chart of curves; `None` if the layers do not ascend, which `--layers` allows.
fn chart(
    curves: &LayerCurves,
    (subtitle, caption): (&str, &str),
    view: &View,
    size: [f32; 2],
) -> Result<Option<Scene>, attn_sdk::Error> {
    if curves.curves.is_empty() || curves.layers.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Ok(None);
    }
    let single = |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<f32>>();
    let at: Vec<f32> = curves.layers.iter().map(|layer| *layer as f32).collect();
    let values: Vec<(Vec<f32>, Option<Vec<f32>>)> = curves
        .curves
        .iter()
        .map(|curve| (single(&curve.values), curve.chance.as_deref().map(single)))
        .collect();
    let mut series: Vec<Series<'_>> = Vec::new();
    for (class, (curve, (values, chance))) in curves.curves.iter().zip(&values).enumerate() {
        let line = |name, values, broken| Series {
            name,
            values,
            class,
            broken,
        };
        series.push(line(&curve.name, values, false));
        if let Some(chance) = chance {
            series.push(line("by chance", chance, true));
        }
    }
    let lines = Lines {
        title: &curves.title,
        subtitle,
        caption,
        at: &at,
        across: "layer (0: embeddings)",
        up: "share of clusters",
        series,
        range: Some([0.0, 1.0]),
        ..Lines::default()
    };
    Ok(Some(lines.scene(view, size)?))
}

/// Every label set of a model.
pub(crate) fn curves(
    study: &ConceptStudy,
    model: &ConceptSpace,
    view: &View,
    size: [f32; 2],
) -> Result<Option<Scene>, attn_sdk::Error> {
    let subtitle = format!("{}: {} words", model.model, model.words.words.len());
    let caption = "Share of the clusters of each layer whose words have one label of the set. Broken, in the same color: \
                   the same with permuted labels.";
    chart(&study.curves(model), (&subtitle, caption), view, size)
}

/// Two models in one chart.
pub(crate) fn compared(
    study: &ConceptStudy,
    topic: &str,
    view: &View,
    size: [f32; 2],
) -> Result<Option<Scene>, attn_sdk::Error> {
    let Some(curves) = study.compared(topic) else {
        return Ok(None);
    };
    let subtitle = format!("{} words", study.models[0].words.words.len());
    let caption = if topic == ConceptStudy::FOUND_AGAIN {
        "Broken, in the same color: the same with the other model's clusters permuted."
    } else {
        "Broken, in the same color: the same with permuted labels."
    };
    chart(&curves, (&subtitle, caption), view, size)
}

/// The numbers behind all curves: a row per model, layer and label set.
pub(crate) fn numbers(study: &ConceptStudy) -> Result<Table, attn_sdk::render::Error> {
    let rows: Vec<LayerRow<'_>> = study.rows().collect();
    let mut table = Table::default();
    table.push("model", Cells::texts(rows.iter().map(|row| row.model)))?;
    table.push("layer", Cells::numbers(rows.iter().map(|row| row.layer)))?;
    table.push(
        "labels",
        Cells::texts(rows.iter().map(|row| row.row.label_set.as_str())),
    )?;
    let against: [(&str, fn(&LabelRow) -> Against); 3] = [
        ("aligned", |row| row.aligned),
        ("covered", |row| row.covered),
        ("score", |row| row.score),
    ];
    for (name, of) in against {
        let values = rows.iter().map(|row| of(row.row).value as f32);
        table.push(name, Cells::Numbers(values.collect()))?;
        let chance = |row: &LayerRow<'_>| of(row.row).chance.map_or(f32::NAN, |chance| chance.mean as f32);
        table.push(
            format!("{name} by chance"),
            Cells::Numbers(rows.iter().map(chance).collect()),
        )?;
    }
    Ok(table)
}

/// The words of a layer on a plane.
pub(crate) fn map(model: &ConceptSpace, layer: &ConceptLayer, view: &View, size: [f32; 2]) -> Drawn {
    let places: Vec<f32> = layer.map.iter().flatten().copied().collect();
    let labels = model.words.types();
    // Words in no cluster share a number behind the clusters.
    let noise = layer.clusters.len();
    let of: Vec<usize> = layer.partition.of().iter().map(|of| of.unwrap_or(noise)).collect();
    let in_none = layer.partition.noise();
    let clusters = layer.clusters.iter().map(|cluster| MapCluster {
        name: &cluster.name.text,
        size: cluster.members.len(),
    });
    let noise = (in_none > 0).then_some(MapCluster {
        name: "in no cluster",
        size: in_none,
    });
    let map = ClusterMap {
        title: &format!("Clusters of words in layer {} of {}", layer.layer, model.model),
        subtitle: &format!("{} words, {} clusters", layer.map.len(), layer.clusters.len()),
        caption: "Each point is one occurrence of a word; neighbors in the layer are neighbors here. Names of the largest \
                  clusters stand where there is room.",
        what: "cluster",
        coordinates: Coordinates::new(&places, 2)?,
        of: &of,
        clusters: clusters.chain(noise).collect(),
        labels: &labels,
    };
    Ok(map.scene(view, size)?)
}

/// Width and height of a tree at which every name is written.
pub(crate) fn tree_size(branches: &Branches) -> [f32; 2] {
    let leaf = DendrogramLeaf {
        name: "",
        size: 0,
        height: 0.0,
    };
    Dendrogram::new(&vec![leaf; branches.names.len()], &[]).natural_size()
}

/// The upper part of a layer's tree.
pub(crate) fn tree(
    branches: &Branches,
    model: &ConceptSpace,
    layer: &ConceptLayer,
    view: &View,
    size: Option<[f32; 2]>,
) -> Drawn {
    let leaf = |at: usize| DendrogramLeaf {
        name: &branches.names[at].text,
        size: branches.sizes[at],
        height: branches.heights[at] as f32,
    };
    let leaves: Vec<DendrogramLeaf<'_>> = (0..branches.names.len()).map(leaf).collect();
    let merges = branches.top.tree.merges().iter();
    let merges: Vec<DendrogramMerge> = merges
        .map(|merge| DendrogramMerge {
            left: merge.left,
            right: merge.right,
            height: merge.height as f32,
        })
        .collect();
    let title = format!("The tree of clusters in layer {} of {}", layer.layer, model.model);
    let subtitle = format!("{} words", branches.sizes.iter().sum::<usize>());
    let tree = Dendrogram {
        title: &title,
        subtitle: &subtitle,
        clusters: COLORS.min(leaves.len()),
        across: "height (Ward)",
        ..Dendrogram::new(&leaves, &merges)
    };
    Ok(tree.scene(view, size.unwrap_or(tree.natural_size()))?)
}
