//! Made-up data for the views of a training: heads that are needed, curves as they go, and what changed. Shared by the gallery and
//! the snapshot tests; the same on every machine.

use attn_core::{Attention, HeadId};
use attn_render::{
    Error, Plot, Scene, ViewState,
    plots::{ColorBy, Coordinates, HeadCells, HeadGrid, HeatTable, Lines, Scatter, Series},
};

use crate::samples::Noise;

fn heads() -> Vec<HeadId> {
    (0..16)
        .map(|at| HeadId::new(Attention::EncoderSelf, at / 4, at % 4))
        .collect()
}

/// The measured effect of each head, with two that are off.
pub(crate) fn importance(view: &ViewState) -> Result<Scene, Error> {
    let mut noise = Noise(21);
    let values: Vec<f32> = (0..16)
        .map(|at| [0.23, 0.05, 0.004, 0.0006][at / 4] * noise.normal())
        .collect();
    HeadGrid {
        title: "Importance of heads: ablation to zero".into(),
        subtitle: "120 examples; accuracy 99.2 %, loss 0.039 with all heads".into(),
        caption: "Increase of the mean loss with zeros for the output of the head.".into(),
        what: "loss (nats)".into(),
        diverging: true,
        off: vec![heads()[13], heads()[14]],
        ..HeadGrid::new(heads(), HeadCells::Values(values.into()))
    }
    .scene(view, [440.0, 440.0])
}

/// A change of small and similar sizes.
pub(crate) fn change(view: &ViewState) -> Result<Scene, Error> {
    let mut noise = Noise(22);
    let values: Vec<f32> = (0..16).map(|_| 0.068 + 0.004 * noise.normal()).collect();
    HeadGrid {
        title: "Change of the weights of heads".into(),
        subtitle: "from epoch 1 to epoch 4".into(),
        what: "relative change".into(),
        ..HeadGrid::new(heads(), HeadCells::Values(values.into()))
    }
    .scene(view, [440.0, 420.0])
}

/// Curves of orders beside the band of random ones.
pub(crate) fn removal(view: &ViewState) -> Result<Scene, Error> {
    let mut noise = Noise(23);
    let curve = |most: f32| -> Vec<f32> {
        (0..17_u8)
            .map(|removed| 1.0 - 0.7 * (f32::from(removed) / 16.0).powf(most))
            .collect()
    };
    let mut series: Vec<Series> = [("greedy", 9.0), ("ablation to zero", 7.0), ("Taylor expansion", 4.0)]
        .into_iter()
        .enumerate()
        .map(|(class, (name, most))| Series {
            name: name.into(),
            values: curve(most).into(),
            class,
            ..Series::default()
        })
        .collect();
    let mean = curve(1.4);
    let band: Vec<f32> = mean.iter().map(|_| 0.12 + 0.03 * noise.normal().abs()).collect();
    for (name, sign, broken) in [
        ("random orders, mean", 0.0, false),
        ("random orders, least and most", -1.0, true),
        ("random orders, least and most", 1.0, true),
    ] {
        let values = mean.iter().zip(&band).enumerate();
        let ends = |at: usize| if at == 0 || at == 16 { 0.0 } else { sign };
        let values: Vec<f32> = values
            .map(|(at, (mean, band))| (mean + ends(at) * band).clamp(0.0, 1.0))
            .collect();
        series.push(Series {
            name: name.into(),
            values: values.into(),
            class: 3,
            broken,
            ..Series::default()
        });
    }
    Lines {
        title: "Accuracy as heads are removed".into(),
        caption: "7 of 16 heads keep 98.3 % accuracy, of 99.2 % with all.".into(),
        across: "heads removed".into(),
        up: "accuracy".into(),
        at: (0..17_u8).map(f32::from).collect(),
        series,
        ..Lines::default()
    }
    .scene(view, [640.0, 420.0])
}

/// Similarity of the layers of two checkpoints.
pub(crate) fn layers(view: &ViewState) -> Result<Scene, Error> {
    let names: Vec<String> = (0..5).map(|layer| layer.to_string()).collect();
    let value = |row: usize, column: usize| 1.0 - 0.05 * row.min(column) as f32 - 0.16 * row.abs_diff(column) as f32;
    let values: Vec<f32> = (0..25).map(|at| value(at / 5, at % 5)).collect();
    let plot = HeatTable {
        title: "Similarity of layers".into(),
        subtitle: "linear CKA over 1024 tokens".into(),
        caption: "Rows: states of epoch 1. Columns: states of epoch 4. 0 is the embeddings.".into(),
        what: "CKA".into(),
        range: Some([0.0, 1.0]),
        ..HeatTable::new(names.clone(), names, values)
    };
    plot.scene(view, plot.natural_size())
}

/// A table whose columns have long names.
pub(crate) fn agreement(view: &ViewState) -> Result<Scene, Error> {
    let names = ["gradient length", "integrated gradients", "attention rollout"];
    let values = [1.0, 0.34, 0.89, 0.34, 1.0, -0.002, 0.89, -0.002, 1.0];
    let plot = HeatTable {
        title: "Agreement of methods".into(),
        caption: "Spearman's coefficient of the sizes of scores, over ordinary tokens.".into(),
        what: "Spearman".into(),
        range: Some([-1.0, 1.0]),
        diverging: true,
        ..HeatTable::new(names, names, values)
    };
    plot.scene(view, plot.natural_size())
}

/// Examples whose answer changed: most stand close together, and no text covers a point.
pub(crate) fn flips(view: &ViewState) -> Result<Scene, Error> {
    let mut noise = Noise(24);
    let count = 50;
    let points: Vec<f32> = (0..count)
        .flat_map(|at| {
            let after = if at % 10 == 9 { 0.6 } else { 0.97 };
            [
                (0.2 * noise.normal().abs()).min(0.48),
                (after - 0.04 * noise.normal().abs()).clamp(0.0, 1.0),
            ]
        })
        .collect();
    let labels: Vec<String> = (0..count)
        .map(|at| {
            format!(
                "Some {} are not beautiful.",
                ["pictures", "gardens", "old villages"][at % 3]
            )
        })
        .collect();
    let values: Vec<f32> = (0..count).map(|at| f32::from(u8::from(at % 10 != 9))).collect();
    Scatter {
        title: "Flips from epoch 1 to epoch 4".into(),
        subtitle: "5 right, then wrong; 45 wrong, then right; McNemar p = 4e-9".into(),
        axes: Some(["epoch 1", "epoch 4"].map(|when| format!("probability of the gold answer, {when}"))),
        labels: labels.as_slice().into(),
        values: Some(values.into()),
        color_by: Some(ColorBy::classes("flip", ["right, then wrong", "wrong, then right"])),
        ..Scatter::new(Coordinates::new(points, 2)?)
    }
    .scene(view, [560.0, 480.0])
}
