//! The pictures: curves over the layers, a map and a tree per layer; as plots, for files and for the window.

use std::{collections::BTreeSet, error::Error, path::Path};

use attn_sdk::{
    Progress,
    analyze::concepts::{Against, ClusterName, Top},
    core::table::Table,
    render::{
        Exporter, Plot, ViewState,
        plots::{ClusterMap, Coordinates, Dendrogram, DendrogramLeaf, DendrogramMerge, Lines, MapCluster, Series},
    },
};

use examples_common::Terminal;

use super::study::{Encoded, Layer, Row, Study};

/// Branches of a tree that are shown at first, and in how many colours.
pub(crate) const BRANCHES: usize = 28;
const COLOURS: usize = 8;

pub(crate) fn write(
    study: &Study,
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
        // Drawing takes seconds; a cancellation is noticed by the shell.
        let _ = terminal.update("pictures", written.min(total), total);
        Ok(())
    };
    for (model, suffix) in study.models.iter().zip(["", "-after"]) {
        if let Some(curves) = curves(study, model) {
            draw(format!("curves{suffix}"), &curves, [760.0, 520.0])?;
        }
        for layer in &model.layers {
            let at = layer.layer;
            if !layer.map.is_empty() {
                draw(format!("map-{at}{suffix}"), &map(model, layer)?, [900.0, 760.0])?;
            }
            let tree = Tree::new(model, layer, &BTreeSet::new())?.plot(model, layer);
            draw(format!("dendrogram-{at}{suffix}"), &tree, tree.natural_size())?;
        }
    }
    for topic in topics(study) {
        if let Some(lines) = compared(study, &topic) {
            let name: String = topic
                .chars()
                .map(|c| if c.is_alphanumeric() { c } else { '-' })
                .collect();
            draw(format!("compared-{name}"), &lines, [640.0, 440.0])?;
        }
    }
    terminal.say(format!("pictures in {}", out.display()));
    Ok(())
}

/// One curve, and its chance level where permuted labels were judged.
struct Curve {
    name: String,
    values: Vec<f32>,
    chance: Option<Vec<f32>>,
}

impl Curve {
    fn new(name: impl Into<String>, values: &[Against]) -> Self {
        let chance = values
            .iter()
            .map(|against| against.chance.map(|chance| chance.mean as f32));
        Self {
            name: name.into(),
            values: values.iter().map(|against| against.value as f32).collect(),
            chance: chance.collect(),
        }
    }
}

/// `None` if the layers do not ascend, which `--layers` allows.
fn chart(curves: Vec<Curve>, lines: Lines) -> Option<Lines> {
    if curves.is_empty() || lines.at.windows(2).any(|pair| pair[0] >= pair[1]) {
        return None;
    }
    let mut series = Vec::new();
    for (class, curve) in curves.into_iter().enumerate() {
        let line = |name: String, values: Vec<f32>, broken| Series {
            name,
            values: values.into(),
            class,
            broken,
        };
        series.push(line(curve.name, curve.values, false));
        if let Some(chance) = curve.chance {
            series.push(line("by chance".into(), chance, true));
        }
    }
    Some(Lines {
        across: "layer (0: embeddings)".into(),
        up: "share of clusters".into(),
        series,
        range: Some([0.0, 1.0]),
        ..lines
    })
}

fn places(model: &Encoded) -> Vec<f32> {
    model.layers.iter().map(|layer| layer.layer as f32).collect()
}

/// The aligned share of one label set, layer by layer.
fn aligned(model: &Encoded, set: usize) -> Vec<Against> {
    let rows = model.layers.iter().filter_map(|layer| layer.rows.get(set));
    rows.map(|row| row.aligned).collect()
}

/// Every label set of a model.
pub(crate) fn curves(study: &Study, model: &Encoded) -> Option<Lines> {
    let curve = |(at, set): (usize, &attn_sdk::analyze::concepts::LabelSet)| {
        let polar = study.classes.as_deref() == Some(set.name.as_str());
        let name = if polar {
            format!("polar ({})", set.name)
        } else {
            set.name.clone()
        };
        Curve::new(name, &aligned(model, at))
    };
    let curves: Vec<Curve> = model.sets.iter().enumerate().map(curve).collect();
    let lines = Lines {
        title: "What clusters of words stand for, layer by layer".into(),
        subtitle: format!("{}: {} words", model.model, model.words.words.len()),
        caption:
            "Share of the clusters of each layer whose words have one label of the set. Broken, in the same colour: \
                  the same with permuted labels."
                .into(),
        at: places(model).into(),
        ..Lines::default()
    };
    chart(curves, lines)
}

/// What two models are compared by: each label set, and what is found again.
pub(crate) fn topics(study: &Study) -> Vec<String> {
    if study.models.len() < 2 {
        return Vec::new();
    }
    let sets = study.models[0].sets.iter().map(|set| set.name.clone());
    sets.chain(["found again".to_owned()]).collect()
}

/// Two models in one chart.
pub(crate) fn compared(study: &Study, topic: &str) -> Option<Lines> {
    let [before, after] = study.models.as_slice() else {
        return None;
    };
    let (curves, title, caption) = match before.sets.iter().position(|set| set.name == topic) {
        Some(set) => {
            let polar = study.classes.as_deref() == Some(topic);
            let title = if polar {
                format!("Polar clusters ({topic})")
            } else {
                format!("Clusters that stand for {topic}")
            };
            let of = |model: &Encoded| -> Option<Vec<Against>> {
                let at = model.sets.iter().position(|set| set.name == topic)?;
                Some(aligned(model, at))
            };
            let after_values = of(after).filter(|values| values.len() == before.layers.len());
            let mut curves = vec![Curve::new(&before.model, &aligned(before, set))];
            curves.extend(after_values.map(|values| Curve::new(&after.model, &values)));
            (
                curves,
                title,
                "Broken, in the same colour: the same with permuted labels.",
            )
        }
        None => {
            let survive: Vec<Against> = study.transfer.iter().map(|row| row.survive).collect();
            let known: Vec<Against> = study.transfer.iter().map(|row| row.known_before).collect();
            let curves = vec![
                Curve::new(format!("of {} in {}", before.model, after.model), &survive),
                Curve::new(format!("of {} in {}", after.model, before.model), &known),
            ];
            let caption = "Broken, in the same colour: the same with the other model's clusters permuted.";
            (curves, "Clusters found again in the other model".to_owned(), caption)
        }
    };
    let lines = Lines {
        title,
        subtitle: format!("{} words", before.words.words.len()),
        caption: caption.into(),
        at: places(before).into(),
        ..Lines::default()
    };
    chart(curves, lines)
}

/// The numbers behind all curves: a row per model, layer and label set.
pub(crate) fn numbers(study: &Study) -> Table {
    let models = study.models.iter();
    let layers = models.flat_map(|model| model.layers.iter().map(move |layer| (model, layer)));
    let rows: Vec<(&Encoded, &Layer, &Row)> = layers
        .flat_map(|(model, layer)| layer.rows.iter().map(move |row| (model, layer, row)))
        .collect();
    let mut table = Table::new(rows.len());
    table
        .texts("model", |row| rows[row].0.model.as_str())
        .numbers("layer", |row| rows[row].1.layer)
        .texts("labels", |row| rows[row].2.label_set.as_str());
    let against: [(&str, fn(&Row) -> Against); 3] = [
        ("aligned", |row| row.aligned),
        ("covered", |row| row.covered),
        ("score", |row| row.score),
    ];
    for (name, of) in against {
        table.numbers(name, |row| of(rows[row].2).value);
        let chance = |row: usize| of(rows[row].2).chance.map(|chance| chance.mean);
        table.numbers(format!("{name} by chance"), chance);
    }
    table
}

/// The words of a layer on a plane.
pub(crate) fn map(model: &Encoded, layer: &Layer) -> Result<ClusterMap, attn_sdk::Error> {
    let places: Vec<f32> = layer.map.iter().flatten().copied().collect();
    Ok(ClusterMap {
        title: format!("Clusters of words in layer {} of {}", layer.layer, model.model),
        subtitle: format!("{} words, {} clusters", layer.map.len(), layer.clusters.len()),
        caption:
            "Each point is one occurrence of a word; neighbours in the layer are neighbours here. Names of the largest \
                  clusters stand where there is room."
                .into(),
        what: "cluster".into(),
        coordinates: Coordinates::new(places, 2)?,
        of: layer.partition.of().into(),
        clusters: layer
            .clusters
            .iter()
            .map(|cluster| MapCluster {
                name: cluster.name.text.clone(),
                size: cluster.members.len(),
            })
            .collect(),
        labels: model.words.types().into(),
    })
}

/// The upper part of a layer's tree, and what its branches are called.
pub(crate) struct Tree {
    pub(crate) top: Top,
    names: Vec<ClusterName>,
}

impl Tree {
    /// The highest branches, but nodes in `toggled` are opened where they would be closed and closed where they would be open.
    pub(crate) fn new(model: &Encoded, layer: &Layer, toggled: &BTreeSet<usize>) -> Result<Self, attn_sdk::Error> {
        let whole = &layer.whole;
        let first_open = 2 * whole.points() - BRANCHES.min(whole.points());
        let top = whole.opened(|node| (node >= first_open) != toggled.contains(&node));
        let names = model.names(&top.partition)?;
        Ok(Self { top, names })
    }

    /// Its picture.
    pub(crate) fn plot(&self, model: &Encoded, layer: &Layer) -> Dendrogram {
        let members = self.top.partition.members();
        let leaves: Vec<DendrogramLeaf> = self
            .names
            .iter()
            .enumerate()
            .map(|(at, name)| DendrogramLeaf {
                name: name.text.clone(),
                size: members[at].len(),
                height: layer.whole.height(self.top.nodes[at]) as f32,
            })
            .collect();
        let merges = self.top.tree.merges().iter();
        let merges: Vec<DendrogramMerge> = merges
            .map(|merge| DendrogramMerge {
                left: merge.left,
                right: merge.right,
                height: merge.height as f32,
            })
            .collect();
        Dendrogram {
            title: format!("The tree of clusters in layer {} of {}", layer.layer, model.model),
            subtitle: format!("{} words", members.iter().map(Vec::len).sum::<usize>()),
            clusters: COLOURS.min(leaves.len()),
            across: "height (Ward)".into(),
            ..Dendrogram::new(leaves, merges)
        }
    }
}
