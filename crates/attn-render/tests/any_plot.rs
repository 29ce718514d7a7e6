//! No view panics on any data: nothing of it, one of it, odd numbers, odd words, odd sizes, ten thousand heads. What it draws is
//! projected, clicked at and written, and its table is read back by other readers.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod random;

use std::sync::Arc;

use attn_core::{Attention, HeadId};
use attn_render::{
    Error, Image, Pick, Plot, Scene, Selection, SvgOptions, Table, Target, ViewState,
    control::{Controller, Input},
    labels::place_labels,
    plots::{
        Aggregate, BeamNode, BeamTree, ClusterMap, ColorBy, Coordinates, CrossFlow, DataMap, Dendrogram,
        DendrogramLeaf, DendrogramMerge, Flows, Head, HeadCells, HeadGrid, HeadMap, HeadMapPart, HeadPattern,
        HeadSequence, HeatTable, Histogram, ImageAttention, LineGrid, Lines, MapCluster, Matrix, MatrixPanel, Overview,
        OverviewHead, Pictograms, Predicted, PredictedStep, Predictions, Rollout, Scatter, Sentence, SentenceToken,
        Series, Texts, Trajectories, Trajectory, ValueKind,
    },
    projection::Projection,
    state::{ColorChoice, Shared},
    svg,
};
use random::{Random, input};

const WORDS: [&str; 8] = [
    "word",
    "",
    "a \"b\", c",
    "two\nlines\r\n",
    "\ttab \\ \u{1}",
    "سلام عليكم",
    "世界 🚢",
    "e\u{301}\u{200d}",
];
const SIZES: [[f32; 2]; 7] = [
    [0.0, 0.0],
    [1.0, 1.0],
    [400.0, 0.0],
    [320.0, 240.0],
    [1e5, 2.0],
    [1_920.0, 1_080.0],
    [f32::NAN, 300.0],
];

/// Data for all views.
struct Data {
    count: usize,
    numbers: Vec<f32>,
    weights: Vec<f32>,
    words: Vec<&'static str>,
    ids: Vec<usize>,
}

fn data(random: &mut Random) -> Data {
    let count = [0, 1, 2, random.below(14) as usize][random.below(4) as usize];
    // Every other time all numbers are finite, so that views draw and do not only refuse.
    let odd = random.below(2) == 0;
    let number = |random: &mut Random| match random.number() {
        value if odd => value,
        value if value.abs() < 1e30 => value,
        _ => 0.5,
    };
    let numbers = (0..3 * count).map(|_| number(random)).collect();
    let weights = (0..count * count).map(|_| number(random).abs() / 300.0).collect();
    let words = (0..count).map(|_| WORDS[random.below(8) as usize]).collect();
    let ids = (0..count).map(|_| random.below(count as u64 + 1) as usize).collect();
    Data {
        count,
        numbers,
        weights,
        words,
        ids,
    }
}

/// A way to look with everything set that a scene depends on.
fn view(random: &mut Random) -> ViewState {
    let colors = [ColorChoice::Auto, ColorChoice::Role, ColorChoice::values("label")];
    let mut view = random::view(random);
    view.shared = Shared {
        color: colors[random.below(3) as usize].clone(),
        search: WORDS[random.below(8) as usize].into(),
        hidden_classes: (0..random.below(6)).map(|_| random.below(40) as u32).collect(),
        legend_page: random.below(1 << 32) as u32,
        selected: Selection::new(None, (0..random.below(9)).map(|_| random.below(30) as u32)),
        ..view.shared
    };
    view.hidden = (0..random.below(6)).map(|_| random.below(20) as u32).collect();
    view.first_token = random.below(1 << 32) as u32;
    view.selection = Some(Pick {
        head: None,
        id: random.below(20) as u32,
    });
    view
}

fn id(index: usize) -> HeadId {
    HeadId::new(Attention::DecoderSelf, index / 3, index % 3)
}

/// Draws a scene in every way that there is without a device.
fn look_at(scene: Result<Scene, Error>, view: &ViewState, random: &mut Random) -> bool {
    let Ok(scene) = scene else { return false };
    for size in [scene.size, random.pair()] {
        place_labels(&scene, &Projection::new(&scene, view, size));
    }
    let (mut controller, mut view) = (Controller::default(), view.clone());
    controller.handle(Input::Resized { size: scene.size }, &scene, &mut view);
    for _ in 0..12 {
        controller.handle(input(random), &scene, &mut view);
    }
    let _ = svg(&scene, &view, &SvgOptions::default());
    true
}

/// The fields of a file (RFC 4180), record by record.
fn csv(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, quoted) {
            ('"', true) if rest.peek() == Some(&'"') => field.extend(rest.next()),
            ('"', _) => quoted = !quoted,
            (',', false) => record.push(std::mem::take(&mut field)),
            ('\r', false) => {
                assert_eq!(rest.next(), Some('\n'));
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            _ => field.push(c),
        }
    }
    assert!(!quoted && record.is_empty() && field.is_empty(), "{text:?}");
    records
}

/// The table's cells come back from both files.
fn read_back(table: Result<Table, Error>) {
    use attn_render::Cells;
    let Ok(table) = table else { return };
    let json: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(&table.to_json()).unwrap();
    let records = csv(&table.to_csv());
    assert_eq!((json.len(), records.len()), (table.rows(), table.rows() + 1));
    for (column, (name, cells)) in table.columns().iter().enumerate() {
        assert_eq!(records[0][column], *name);
        for row in 0..table.rows() {
            let (text, value) = (&records[row + 1][column], &json[row][name]);
            match cells {
                Cells::Texts(texts) => assert_eq!((text, value.as_str()), (&texts[row], Some(&*texts[row]))),
                Cells::Numbers(numbers) if numbers[row].is_finite() => {
                    assert_eq!(text.parse::<f64>().unwrap(), numbers[row]);
                    // The parser of this test may be off by a bit.
                    let parsed = value.as_f64().unwrap();
                    assert!(
                        (parsed - numbers[row]).abs() <= f64::EPSILON * numbers[row].abs(),
                        "{parsed}"
                    );
                }
                Cells::Numbers(_) => assert!(text.is_empty() && value.is_null()),
            }
        }
    }
}

/// Draws a plot in every way, reads its numbers back and asks what it says of points.
fn show(plot: &dyn Plot, view: &ViewState, size: [f32; 2], random: &mut Random) -> bool {
    read_back(plot.table(view));
    assert!(plot.natural_size().iter().all(|side| side.is_finite() && *side > 0.0));
    for id in [0, 3, u32::MAX] {
        let pick = Pick {
            head: Some(self::id(0)),
            id,
        };
        for target in [Target::Head(self::id(1)), Target::Point(pick), Target::Item(pick)] {
            let _ = plot.tooltip(target);
        }
    }
    look_at(plot.scene(view, size), view, random)
}

/// Every view of some data, with its table.
fn every_view(data: &Data, view: &ViewState, size: [f32; 2], random: &mut Random) -> Vec<(&'static str, bool)> {
    let Data {
        count,
        numbers,
        weights,
        words,
        ids,
    } = data;
    let count = *count;
    let tokens: Arc<[SentenceToken]> = words
        .iter()
        .map(|text| SentenceToken::new(*text, text.is_empty()))
        .collect();
    let labels: Texts = words.as_slice().into();
    let weights: Arc<[f32]> = weights.as_slice().into();
    let values: Arc<[f32]> = numbers[..count].into();
    let mut drawn: Vec<(&'static str, bool)> = Vec::new();
    let mut draw = |name: &'static str, plot: &dyn Plot, random: &mut Random| {
        drawn.push((name, show(plot, view, size, random)));
    };
    let queries = random.below(count as u64 + 2) as usize;
    let names: Texts = WORDS.repeat(5).into();
    for dims in [2, 3] {
        let Ok(coordinates) = Coordinates::new(&numbers[..dims * count], dims) else {
            continue;
        };
        for kind in [
            ValueKind::Sequential,
            ValueKind::Diverging,
            ValueKind::Categorical(names.clone()),
        ] {
            let color_by = Some(ColorBy {
                label: "label, \"x\"".into(),
                kind,
            });
            let points: Arc<[u32]> = ids.iter().map(|id| *id as u32).collect();
            let shares = [0.5, random.number()];
            let head = Head {
                labels: labels.clone(),
                values: Some(values.clone()),
                color_by: color_by.clone(),
                sizes: (random.below(2) == 0).then(|| values.clone()),
                contours: if random.below(2) == 0 {
                    shares.into()
                } else {
                    Arc::default()
                },
                sequence: (random.below(2) == 0).then(|| HeadSequence {
                    queries: points.clone(),
                    keys: points,
                    attention: weights.clone(),
                }),
                ..Head::new(id(0), coordinates.clone(), queries)
            };
            draw("head", &head, random);
            let scatter = Scatter {
                axes: (random.below(2) == 0).then(|| ["a".into(), "b, c".into()]),
                labels: labels.clone(),
                values: Some(values.clone()),
                color_by: color_by.clone(),
                ..Scatter::new(coordinates.clone())
            };
            draw("scatter", &scatter, random);
            let panel = |index: usize| MatrixPanel {
                values: Some(values.clone()),
                labels: labels.clone(),
                note: WORDS[index % 8].into(),
                ..MatrixPanel::new(id(index), coordinates.clone(), queries)
            };
            let matrix = Matrix {
                panels: (0..random.below(5) as usize).map(panel).collect(),
                color_by,
                ..Matrix::default()
            };
            draw("matrix", &matrix, random);
        }
        let path = |name: &str| Trajectory {
            name: name.into(),
            points: [0, 1, 0, 9].into(),
        };
        for paths in [vec![], vec![path(""), path("b")]] {
            let paths = Trajectories {
                labels: labels.clone(),
                ..Trajectories::new(coordinates.clone(), paths)
            };
            draw("trajectories", &paths, random);
            draw("pictograms", &Pictograms(paths), random);
        }
        let cluster = |name: &&str| MapCluster {
            name: (*name).into(),
            size: name.len(),
        };
        let map = ClusterMap {
            labels: labels.clone(),
            ..ClusterMap::new(coordinates.clone(), ids.as_slice(), words.iter().map(cluster).collect())
        };
        draw("cluster map", &map, random);
        let part = HeadMapPart {
            title: WORDS[random.below(8) as usize].into(),
            heads: (0..count).map(id).collect(),
            coordinates,
            class_of: ids.iter().map(|class| class.checked_sub(1)).collect(),
        };
        let map = HeadMap {
            links: vec![(id(0), id(1)), (id(2), id(99))],
            marked: (random.below(2) == 0).then_some(id(0)),
            ..HeadMap::new(
                vec![part; random.below(4) as usize],
                names.iter().map(|name| name.to_string()).collect(),
            )
        };
        draw("head map", &map, random);
    }
    for whole_up_to in [0, 200] {
        let sentence = Sentence {
            whole_up_to,
            ..Sentence::new(id(0), tokens.clone(), tokens.clone(), weights.clone())
        };
        read_back(sentence.table_in(view, size));
        draw("sentence", &sentence, random);
    }
    let head = OverviewHead {
        head: id(1),
        queries: count,
        keys: count,
        attention: weights.clone(),
    };
    draw("overview", &Overview::new(vec![head; random.below(4) as usize]), random);
    let picture = Arc::new(Image::new(2, 1, vec![9; 8]).unwrap());
    for flows in [Flows::Strongest, Flows::All] {
        let columns = count.saturating_sub(1);
        let image = ImageAttention {
            flows,
            ..ImageAttention::new(id(0), picture.clone(), 1, columns, 1, weights.clone())
        };
        draw("image", &image, random);
    }
    draw(
        "aggregate",
        &Aggregate::new(id(0), weights.clone(), count, count),
        random,
    );
    let pattern = HeadPattern {
        weights: weights.clone(),
        queries: count,
        keys: count,
    };
    for cells in [
        HeadCells::Values(values.clone()),
        HeadCells::Patterns(vec![pattern; count]),
    ] {
        let grid = HeadGrid {
            diverging: random.below(2) == 0,
            ..HeadGrid::new((0..count).map(id).collect(), cells)
        };
        draw("head grid", &grid, random);
    }
    let mixed: Arc<[f32]> = weights.iter().map(|weight| weight / count.max(1) as f32).collect();
    for layer in [weights.clone(), mixed] {
        let rollout = Rollout::new(tokens.clone(), vec![layer; random.below(4) as usize]);
        draw("rollout", &rollout, random);
    }
    draw("flow", &CrossFlow::new(tokens.clone(), tokens, weights), random);
    let nodes: Vec<BeamNode> = (0..count)
        .map(|node| BeamNode {
            parent: Some(ids[node]).filter(|parent| *parent < node || random.below(20) == 0),
            token: words[node].into(),
            score: values[node],
            kept: random.below(2) == 0,
            finished: random.below(2) == 0,
        })
        .collect();
    let tree = BeamTree {
        winner: (random.below(2) == 0).then_some(random.below(20) as usize),
        ..BeamTree::new(nodes)
    };
    draw("beam", &tree, random);
    let predicted = |at: usize| Predicted {
        token: words[at].into(),
        probability: values[at],
    };
    let steps: Vec<PredictedStep> = (0..count)
        .map(|at| PredictedStep {
            chosen: predicted(at),
            special: random.below(2) == 0,
            entropy: values[at],
            top: (0..count.min(at % 4)).map(predicted).collect(),
        })
        .collect();
    draw("predictions", &Predictions::new(steps), random);
    let names: Texts = (0..count).map(|at| words[at]).collect();
    let table = HeatTable {
        diverging: random.below(2) == 0,
        range: (random.below(2) == 0).then_some([0.0, 1.0]),
        ..HeatTable::new(names, ["a", "b"], numbers[..2 * count.min(numbers.len() / 2)].to_vec())
    };
    draw("heat table", &table, random);
    let mut at = values.to_vec();
    at.sort_by(f32::total_cmp);
    at.dedup();
    let series = |class: usize| Series {
        name: WORDS[class % 8].into(),
        values: numbers[..at.len()].into(),
        class,
        broken: class % 3 == 1,
        ..Series::default()
    };
    let lines = Lines {
        series: (0..random.below(12) as usize).map(series).collect(),
        at: at.into(),
        range: (random.below(3) == 0).then(|| random.pair()),
        ..Lines::default()
    };
    draw("lines", &lines, random);
    let grid = LineGrid {
        title: WORDS[random.below(8) as usize].into(),
        ..LineGrid::new(vec![lines; random.below(7) as usize])
    };
    draw("line grid", &grid, random);
    let unit: Arc<[f32]> = values.iter().map(|value| value.abs() / 300.0).collect();
    for numbers in [values.clone(), unit] {
        let map = DataMap {
            labels: labels.clone(),
            ..DataMap::new(numbers.clone(), numbers.clone(), numbers)
        };
        draw("data map", &map, random);
    }
    draw("histogram", &Histogram::new(values.clone()), random);
    let leaves: Vec<DendrogramLeaf> = (0..count)
        .map(|leaf| DendrogramLeaf {
            name: words[leaf].into(),
            size: ids[leaf],
            height: values[leaf].abs(),
        })
        .collect();
    // A chain, or anything.
    let chain = random.below(2) == 0;
    let merges: Vec<DendrogramMerge> = (1..count)
        .map(|merge| DendrogramMerge {
            left: if chain { merge } else { ids[merge] },
            right: if merge == 1 || !chain { 0 } else { count + merge - 2 },
            height: if chain { 1e3 * merge as f32 } else { values[merge] },
        })
        .collect();
    let tree = Dendrogram {
        clusters: random.below(5) as usize,
        ..Dendrogram::new(leaves, merges)
    };
    draw("dendrogram", &tree, random);
    drawn
}

#[test]
fn no_view_panics_and_every_table_is_read_back() {
    let mut drawn: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for seed in 0..400 {
        // Printed with a failure only.
        println!("seed {seed}");
        let random = &mut Random(seed);
        let (data, view) = (data(random), view(random));
        let size = match random.below(3) {
            0 => SIZES[random.below(7) as usize],
            _ => [320.0, 240.0],
        };
        for (name, done) in every_view(&data, &view, size, random) {
            *drawn.entry(name).or_default() += usize::from(done);
        }
    }
    // Each was drawn now and then, not only refused.
    assert!(
        drawn.len() == 22 && drawn.values().all(|times| *times > 20),
        "{drawn:?}"
    );
}

#[test]
fn ten_thousand_heads_are_drawn_by_every_view_of_heads() {
    let head = |index: usize| HeadId::new(Attention::EncoderSelf, index / 100, index % 100);
    let heads: Vec<HeadId> = (0..10_000).map(head).collect();
    let view = ViewState::default();
    let points = Coordinates::new([0.0, 0.0, 1.0, 1.0], 2).unwrap();
    let matrix = Matrix {
        panels: heads
            .iter()
            .map(|head| MatrixPanel::new(*head, points.clone(), 1))
            .collect(),
        ..Matrix::default()
    };
    let attention: Arc<[f32]> = [0.5; 4].into();
    let overview = heads.iter().map(|head| OverviewHead {
        head: *head,
        queries: 2,
        keys: 2,
        attention: attention.clone(),
    });
    let overview = Overview::new(overview.collect());
    let grid = HeadGrid::new(heads.clone(), HeadCells::Values(vec![0.5; 10_000].into()));
    let plots: [&dyn Plot; 3] = [&matrix, &overview, &grid];
    let random = &mut Random(1);
    for size in [[1_200.0, 900.0], [320.0, 240.0], matrix.natural_size()] {
        for plot in plots {
            let scene = plot.scene(&view, size).unwrap();
            let panels = scene.panels.iter().filter(|panel| panel.head.is_some()).count();
            assert_eq!(panels, 10_000);
            assert!(look_at(Ok(scene), &view, random));
        }
    }
    for plot in plots {
        let table = plot.table(&view);
        assert!(table.as_ref().unwrap().rows() >= 10_000);
        read_back(table);
    }
}

#[test]
fn heads_that_were_not_measured_are_dashes() {
    let view = ViewState::default();
    let said = |values: [f32; 2]| -> Option<Vec<String>> {
        let head = |head| HeadId::new(Attention::EncoderSelf, 0, head);
        let grid = HeadGrid::new(vec![head(0), head(1)], HeadCells::Values(values.into()));
        let scene = grid.scene(&view, grid.natural_size()).ok()?;
        let labels = scene.layers.iter().flat_map(|layer| &layer.labels);
        Some(labels.map(|label| label.text.to_string()).collect())
    };
    let dashes = |values| said(values).unwrap().iter().filter(|text| *text == "–").count();
    assert_eq!(
        [dashes([f32::NAN; 2]), dashes([0.5, f32::NAN]), dashes([0.5, 0.0])],
        [2, 1, 0]
    );
    let none = said([f32::NAN; 2]).unwrap();
    assert!(none.iter().any(|text| text == "value: not measured"), "{none:?}");
    assert!(said([f32::INFINITY, 0.0]).is_none());
}

#[test]
fn texts_beside_points_are_cut_where_there_are_few() {
    let long = "a text that is far too long to stand beside a point without hiding others";
    let scatter = Scatter {
        labels: [long, "short"].into(),
        ..Scatter::new(Coordinates::new([0.0, 0.0, 1.0, 1.0], 2).unwrap())
    };
    let said = |view: &ViewState| -> Vec<String> {
        let scene = scatter.scene(view, scatter.natural_size()).unwrap();
        let labels = scene.layers.iter().flat_map(|layer| &layer.labels);
        labels.map(|label| label.text.to_string()).collect()
    };
    let plain = said(&ViewState::default());
    assert!(
        plain
            .iter()
            .any(|text| text.starts_with("a text") && text.ends_with('…')),
        "{plain:?}"
    );
    assert!(plain.iter().any(|text| text == "short"), "{plain:?}");
    // One that is looked for is whole.
    let found = said(&ViewState::from(Shared {
        search: "far too".into(),
        ..Shared::default()
    }));
    assert!(found.iter().any(|text| text == long), "{found:?}");
}
