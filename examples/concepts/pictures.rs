//! Curves over the layers and a map of the last one, in both themes.

use std::{error::Error, path::Path};

use attn_sdk::{
    analyze::concepts::Against,
    render::{
        Headless, Theme, View,
        views::{ClusterMap, Coordinates, Lines, MapCluster, Series},
    },
};

use super::{
    common::Terminal,
    study::{Layer, Study},
};

/// One curve, and its chance level where permuted labels were judged.
struct Curve {
    name: String,
    values: Vec<f32>,
    chance: Option<Vec<f32>>,
}

pub(crate) fn write(study: &Study, out: &Path, terminal: &Terminal) -> Result<(), Box<dyn Error>> {
    let curves = curves(study);
    let at: Vec<f32> = study.layers.iter().map(|layer| layer.layer as f32).collect();
    let mut series: Vec<Series<'_>> = Vec::new();
    for (class, curve) in curves.iter().enumerate() {
        let line = |name, values, broken| Series {
            name,
            values,
            class,
            broken,
        };
        series.push(line(&curve.name, &curve.values, false));
        if let Some(chance) = &curve.chance {
            series.push(line("by chance", chance, true));
        }
    }
    let subtitle = format!("{}: {} words", study.model, study.words.words.len());
    let mut headless = Headless::new()?;
    for (theme, suffix) in [(Theme::Light, ""), (Theme::Dark, "-dark")] {
        let view = View {
            theme,
            ..View::default()
        };
        // Curves need ascending layers, which `--layers` need not give.
        if at.windows(2).all(|pair| pair[0] < pair[1]) {
            let lines = Lines {
                title: "What clusters of words stand for, layer by layer",
                subtitle: &subtitle,
                caption: "Share of the clusters of each layer whose words have one label of the set. Broken, in the same \
                          colour: the same with permuted labels.",
                across: "layer (0: embeddings)",
                up: "share of clusters",
                at: &at,
                series: series.clone(),
                range: Some([0.0, 1.0]),
            };
            let picture = headless.render(&lines.scene(&view, [760.0, 520.0])?, &view, 2.0)?;
            picture.write_png(out.join(format!("curves{suffix}.png")))?;
        }
        if let Some(layer) = study.layers.last().filter(|_| !study.map.is_empty()) {
            let picture = headless.render(&map(study, layer, &view)?, &view, 2.0)?;
            picture.write_png(out.join(format!("map{suffix}.png")))?;
        }
    }
    terminal.say(format!("pictures in {}", out.display()));
    Ok(())
}

fn curves(study: &Study) -> Vec<Curve> {
    let curve = |name: String, values: &[Against]| Curve {
        name,
        values: values.iter().map(|against| against.value as f32).collect(),
        chance: values
            .iter()
            .map(|against| against.chance.map(|chance| chance.mean as f32))
            .collect(),
    };
    let mut curves = Vec::new();
    let sets = study.layers.first().map_or(0, |layer| layer.rows.len());
    for set in 0..sets {
        let rows: Vec<_> = study.layers.iter().filter_map(|layer| layer.rows.get(set)).collect();
        let values: Vec<Against> = rows.iter().map(|row| row.aligned).collect();
        let name = rows.first().map_or("", |row| row.label_set.as_str());
        let name = if study.classes.as_deref() == Some(name) {
            format!("polar ({name})")
        } else {
            name.to_owned()
        };
        curves.push(curve(name, &values));
    }
    let survive: Option<Vec<Against>> = study.layers.iter().map(|layer| layer.survive).collect();
    if let Some(values) = survive.filter(|_| study.model_after.is_some()) {
        curves.push(curve("found again in the second model".into(), &values));
    }
    curves
}

fn map(study: &Study, layer: &Layer, view: &View) -> Result<attn_sdk::render::Scene, Box<dyn Error>> {
    let places: Vec<f32> = study.map.iter().flatten().copied().collect();
    let mut of = vec![0; study.map.len()];
    for (cluster, found) in layer.clusters.iter().enumerate() {
        for &member in &found.members {
            of[member] = cluster;
        }
    }
    let title = format!("Clusters of words in layer {} of {}", layer.layer, study.model);
    let subtitle = format!("{} words, {} clusters", study.map.len(), layer.clusters.len());
    let map = ClusterMap {
        title: &title,
        subtitle: &subtitle,
        caption: "Each point is one occurrence of a word, placed by t-SNE. Names of the largest clusters stand where there \
                  is room.",
        coordinates: Coordinates::new(&places, 2)?,
        of: &of,
        clusters: layer
            .clusters
            .iter()
            .map(|cluster| MapCluster {
                name: &cluster.name.text,
                size: cluster.members.len(),
            })
            .collect(),
    };
    Ok(map.scene(view, [900.0, 760.0])?)
}
