//! Made-up data for the views of numbers, trees and paths. Shared by the gallery and the snapshot tests; the same on every
//! machine.

use attn_core::HeadId;
use attn_render::{
    Error, Plot, Scene, Selection, ViewState,
    plots::{
        Aggregate, BeamNode, BeamTree, ColorBy, Coordinates, CrossFlow, DataMap, Dendrogram, DendrogramLeaf,
        DendrogramMerge, Head, HeadCells, HeadGrid, HeadPattern, HeatTable, Histogram, Pictograms, Predicted,
        PredictedStep, Predictions, SentenceToken, Texts, Trajectories, Trajectory,
    },
    state::Shared,
};

use crate::samples::{Noise, attention, cloud, head};

pub(crate) fn histogram(view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    let mut noise = Noise(2);
    let values: Vec<f32> = (0..900).map(|_| 3.1 + 0.8 * noise.normal()).collect();
    Histogram {
        title: "Entropy of 900 rows of attention".into(),
        subtitle: "tiny-bert, head L3 H9".into(),
        caption: "The uniform distribution over 64 keys would have 6 bits.".into(),
        across: "entropy (bits)".into(),
        ..Histogram::new(values)
    }
    .scene(view, size)
}

pub(crate) fn data_map(view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    let mut noise = Noise(8);
    let confidence: Vec<f32> = (0..700)
        .map(|_| (1.0 - 0.5 * noise.normal().abs()).clamp(0.02, 1.0))
        .collect();
    let variability: Vec<f32> = confidence
        .iter()
        .map(|c| (1.6 * c * (1.0 - c) + 0.05 * noise.normal().abs()).min(0.5))
        .collect();
    let correctness: Vec<f32> = confidence
        .iter()
        .map(|c| ((c - 0.3) * 10.0).round().clamp(0.0, 5.0) / 5.0)
        .collect();
    DataMap {
        subtitle: "700 training examples over 5 epochs".into(),
        ..DataMap::new(confidence, variability, correctness)
    }
    .scene(view, size)
}

pub(crate) fn trajectories(view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    paths()?.scene(view, size)
}

/// The same as small maps.
pub(crate) fn pictograms(view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    Pictograms(paths()?).scene(view, size)
}

fn paths() -> Result<Trajectories, Error> {
    let words = "wir wollen heute mal über die Zeit sprechen we want to talk about time today";
    let words: Vec<&str> = words.split(' ').cycle().take(300).collect();
    let path = |name: &str, start: u32, length: u32| Trajectory {
        name: name.into(),
        points: (start..start + length).map(|i| i * 7).collect(),
    };
    Ok(Trajectories {
        title: "Encoder and decoder states".into(),
        subtitle: "t-SNE, with their neighbors in the training data".into(),
        labels: (0..300).map(|i| words[i / 7]).collect(),
        ..Trajectories::new(
            Coordinates::new(cloud(4, 300, 2), 2)?,
            vec![path("encoder", 1, 8), path("decoder", 20, 7)],
        )
    })
}

fn heads() -> Vec<HeadId> {
    (0..24).map(|i| head(i / 6, i % 6)).collect()
}

pub(crate) fn head_values(diverging: bool, view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    let mut noise = Noise(4);
    let shift = if diverging { 0.0 } else { 1.0 };
    let values: Vec<f32> = (0..24).map(|_| 0.5 * (shift + noise.uniform())).collect();
    HeadGrid {
        title: "Importance of every head".into(),
        subtitle: "first-order Taylor on the parameters, 200 sentences".into(),
        caption: "Rows are layers, columns are heads.".into(),
        what: if diverging { "change of the loss" } else { "importance" }.into(),
        diverging,
        ..HeadGrid::new(heads(), HeadCells::Values(values.into()))
    }
    .scene(view, size)
}

pub(crate) fn head_patterns(view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    let mut noise = Noise(6);
    let all: Vec<Vec<f32>> = (0..24)
        .map(|i| {
            let offset = (i % 6) as f32 - 2.0;
            let row = |query: usize| {
                let row: Vec<f32> = (0..12)
                    .map(|key| (2.0 - 0.7 * (key as f32 - query as f32 + offset).abs() + 0.5 * noise.normal()).exp())
                    .collect();
                let sum: f32 = row.iter().sum();
                row.into_iter().map(move |weight| weight / sum)
            };
            (0..12).flat_map(row).collect()
        })
        .collect();
    let pattern = |weights: Vec<f32>| HeadPattern {
        weights: weights.into(),
        queries: 12,
        keys: 12,
    };
    HeadGrid {
        title: "Mean attention of every head".into(),
        subtitle: "mean attention by position, 200 sentences".into(),
        caption: "In each plot rows are positions of queries, columns positions of keys.".into(),
        what: "mean attention".into(),
        ..HeadGrid::new(heads(), HeadCells::Patterns(all.into_iter().map(pattern).collect()))
    }
    .scene(view, size)
}

pub(crate) fn aggregate(view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    let mean = attention(24);
    Aggregate {
        subtitle: "200 sentences".into(),
        ..Aggregate::new(head(3, 9), mean, 24, 24)
    }
    .scene(view, size)
}

pub(crate) fn beam(view: &ViewState, size: Option<[f32; 2]>) -> Result<Scene, Error> {
    let node = |parent, token: &str, score, kept, finished| BeamNode {
        parent,
        token: token.into(),
        score,
        kept,
        finished,
    };
    let nodes = [
        node(None, "today", -0.31, true, false),
        node(None, "we", -1.42, true, false),
        node(None, "now", -3.9, false, false),
        node(Some(0), "we", -0.52, true, false),
        node(Some(0), "I", -2.2, false, false),
        node(Some(1), "want", -1.9, true, false),
        node(Some(3), "want", -0.8, true, false),
        node(Some(3), "wanted", -2.4, false, false),
        node(Some(5), "to", -2.05, true, false),
        node(Some(6), "to", -0.91, true, false),
        node(Some(6), "talk", -2.6, false, false),
        node(Some(8), "speak", -2.5, false, false),
        node(Some(9), "talk", -1.3, true, false),
        node(Some(9), "speak", -1.75, true, false),
        node(Some(12), "</s>", -1.41, true, true),
        node(Some(13), "</s>", -1.88, true, true),
    ];
    let tree = BeamTree {
        subtitle: "beam of 2, “heute wollen wir reden”".into(),
        winner: Some(14),
        ..BeamTree::new(nodes)
    };
    tree.scene(view, size.unwrap_or(tree.natural_size()))
}

pub(crate) fn predictions(view: &ViewState, size: Option<[f32; 2]>) -> Result<Scene, Error> {
    let token = |text: &str, probability| Predicted {
        token: text.into(),
        probability,
    };
    let step = |entropy, special, top: [(&str, f32); 4]| PredictedStep {
        chosen: token(top[0].0, top[0].1),
        special,
        entropy,
        top: top
            .into_iter()
            .map(|(text, probability)| token(text, probability))
            .collect(),
    };
    let plot = Predictions {
        subtitle: "“heute wollen wir reden”".into(),
        ..Predictions::new([
            step(
                0.61,
                false,
                [("today", 0.82), ("Today", 0.11), ("now", 0.03), ("we", 0.004)],
            ),
            step(0.94, false, [("we", 0.71), ("I", 0.16), ("let", 0.08), ("you", 0.01)]),
            step(
                1.2,
                false,
                [("want", 0.48), ("would", 0.31), ("will", 0.12), ("wanted", 0.04)],
            ),
            step(0.2, false, [("to", 0.97), ("a", 0.01), ("us", 0.005), ("that", 0.0004)]),
            step(
                0.8,
                false,
                [("talk", 0.66), ("speak", 0.3), ("discuss", 0.02), ("say", 0.003)],
            ),
            step(
                0.05,
                true,
                [("</s>", 0.9997), (".", 0.0002), (",", 0.0), ("about", 0.0)],
            ),
        ])
    };
    plot.scene(view, size.unwrap_or(plot.natural_size()))
}

pub(crate) fn heat_table(view: &ViewState, size: Option<[f32; 2]>) -> Result<Scene, Error> {
    let words = ["heute", "wollen", "wir", "reden", "</s>"];
    let values = [
        [0.01, 0.02, 0.95, 0.0, 0.0],
        [0.02, 0.3, 0.7, -0.05, 0.01],
        [0.0, 0.62, 0.35, 0.02, 0.0],
        [0.0, 0.04, 0.06, 0.01, -0.21],
    ];
    let plot = HeatTable {
        title: "Share that one state brings back".into(),
        subtitle: "found “I want to talk”, expected “we want to talk”".into(),
        caption: "Rows: layers. Columns: tokens of the source.".into(),
        what: "recovered".into(),
        range: Some([-1.0, 1.0]),
        diverging: true,
        ..HeatTable::new(
            ["encoder 0", "encoder 1", "encoder 2", "encoder 3"],
            words,
            values.concat(),
        )
    };
    plot.scene(view, size.unwrap_or(plot.natural_size()))
}

pub(crate) fn flow(view: &ViewState, size: Option<[f32; 2]>) -> Result<Scene, Error> {
    let tokens = |text: &str| -> Vec<SentenceToken> {
        let token = |text| SentenceToken::new(text, text == "</s>");
        text.split(' ').map(token).collect()
    };
    let (source, target) = (
        tokens("heute wollen wir über die Zeit reden </s>"),
        tokens("today we want to talk about time </s>"),
    );
    // Word order differs; the end looks at the end.
    let order = [0, 2, 1, 6, 6, 3, 5, 7];
    let mut noise = Noise(12);
    let rows = order.iter().flat_map(|best| {
        let row: Vec<f32> = (0..8)
            .map(|key| (if key == *best { 2.6 } else { 0.0 } + 0.8 * noise.normal()).exp())
            .collect();
        let sum: f32 = row.iter().sum();
        row.into_iter().map(move |weight| weight / sum)
    });
    let weights: Vec<f32> = rows.collect();
    let flow = CrossFlow {
        subtitle: "decoder layer 3, averaged over heads".into(),
        ..CrossFlow::new(source, target, weights)
    };
    flow.scene(view, size.unwrap_or(flow.natural_size()))
}

/// The relations of Universal Dependencies.
const RELATIONS: [&str; 37] = [
    "nsubj",
    "obj",
    "iobj",
    "csubj",
    "ccomp",
    "xcomp",
    "obl",
    "vocative",
    "expl",
    "dislocated",
    "advcl",
    "advmod",
    "discourse",
    "aux",
    "cop",
    "mark",
    "nmod",
    "appos",
    "nummod",
    "acl",
    "amod",
    "det",
    "clf",
    "case",
    "conj",
    "cc",
    "fixed",
    "flat",
    "list",
    "parataxis",
    "compound",
    "orphan",
    "goeswith",
    "reparandum",
    "punct",
    "root",
    "dep",
];

/// A head colored by 37 classes, two of them hidden.
pub(crate) fn classes(view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    let values = cloud(1, 500, 2);
    let classes: Vec<f32> = (0..500).map(|i| (i % 250 % 17 * 2 + i % 2) as f32).collect();
    let mut view = view.clone();
    view.shared.hidden_classes = [2, 35].into();
    Head {
        subtitle: "any column of the user as color; iobj and root are switched off".into(),
        values: Some(classes.into()),
        color_by: Some(ColorBy::classes("relation", RELATIONS)),
        ..Head::new(head(2, 6), Coordinates::new(values, 2)?, 250)
    }
    .scene(&view, size)
}

/// A head whose words are of many scripts.
pub(crate) fn scripts(view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    let words = [
        "ship",
        "πλοίο",
        "корабль",
        "سفينة",
        "ספינה",
        "नौका",
        "船",
        "ふね",
        "배",
        "🚢",
        "tàu thủy",
        "նավ",
    ];
    let values = cloud(2, 60, 2);
    let labels: Texts = (0..60).map(|i| words[i * 7 % 12]).collect();
    Head {
        subtitle: "a word in many scripts: سفينة, 船, नौका, 🚢".into(),
        labels,
        ..Head::new(head(2, 6), Coordinates::new(values, 2)?, 30)
    }
    .scene(view, size)
}

/// A head with highlights of a search and a lasso.
pub(crate) fn searched(view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    let values = cloud(2, 400, 2);
    let labels: Texts = (0..400)
        .map(|i| ["the", "cat", "sat", "on", "mat", "there"][i * 7 % 200 % 31 % 6])
        .collect();
    let view = ViewState {
        shared: Shared {
            search: "the".into(),
            selected: Selection::new(Some(head(0, 0)), 60..75),
            ..view.shared.clone()
        },
        ..view.clone()
    };
    Head {
        subtitle: "a search and a selection".into(),
        labels,
        ..Head::new(head(2, 6), Coordinates::new(values, 2)?, 200)
    }
    .scene(&view, size)
}

pub(crate) fn dendrogram(view: &ViewState, size: Option<[f32; 2]>) -> Result<Scene, Error> {
    let names = [
        "upos NOUN: cat, dog",
        "upos NOUN: town, market",
        "suffix -ing",
        "the",
        "upos ADJ: happy, lovely",
        "upos ADJ: angry, terrible",
        "upos PROPN: Rome, Paris",
        "is, was",
        "not",
        "quietly, slowly, gladly",
    ];
    let leaf = |(at, name): (usize, &'static str)| DendrogramLeaf {
        name: name.into(),
        size: 3 + 17 * (at * at % 7),
        height: 1.5 * ((at % 4) as f32),
    };
    let leaves: Vec<_> = names.into_iter().enumerate().map(leaf).collect();
    let joins = [
        (0, 1),
        (4, 5),
        (3, 7),
        (8, 12),
        (2, 9),
        (6, 10),
        (11, 14),
        (13, 15),
        (16, 17),
    ];
    let merges: Vec<_> = joins
        .into_iter()
        .enumerate()
        .map(|(at, (left, right))| DendrogramMerge {
            left,
            right,
            height: 5.0 + 1.5 * at as f32 + 0.35 * (at * at) as f32,
        })
        .collect();
    let tree = Dendrogram {
        title: "Clusters of words in layer 2".into(),
        subtitle: "text-encoder: 1,204 words".into(),
        clusters: 4,
        ..Dendrogram::new(leaves, merges)
    };
    tree.scene(view, size.unwrap_or(tree.natural_size()))
}
