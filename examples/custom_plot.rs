//! A plot of one's own beside those of the SDK: how far the heads of a model spread their attention, as boxes. It is written with what
//! the SDK's own plots are made of (`attn_sdk::render::plots::kit`), and drawn, exported and shown like them.
//!
//! ```sh
//! cargo run --release --example custom_plot   # out/custom-plot.png, .svg and .csv
//! ```

use std::{error::Error, fs};

use attn_sdk::{
    core::{Capture, HeadId, table::Table},
    embedded::{self, sentences},
    models::Capturer,
    render::{
        Exporter, Plot, Result as Drawn, Scene, Target, ViewState,
        geometry::Rect,
        plot::Tooltip,
        plots::kit::{Frame, LegendEntry, Page, range, straight},
        scene::{Block, Layer, Region, Shape},
    },
};

/// Boxes over the values of groups: from the lower to the upper quartile, with a line at the median, and whiskers to the ends.
struct Boxes {
    title: String,
    /// What the values are, with their unit.
    up: String,
    groups: Vec<(String, [f32; 5])>,
}

/// The names of a box's numbers.
const NUMBERS: [&str; 5] = ["least", "lower quartile", "median", "upper quartile", "most"];

impl Boxes {
    fn new(title: &str, up: &str, groups: impl IntoIterator<Item = (String, Vec<f32>)>) -> Self {
        let summary = |mut values: Vec<f32>| {
            values.sort_by(f32::total_cmp);
            [0, 1, 2, 3, 4].map(|quarter| {
                values
                    .get(quarter * values.len().saturating_sub(1) / 4)
                    .copied()
                    .unwrap_or(0.0)
            })
        };
        Self {
            title: title.into(),
            up: up.into(),
            groups: groups
                .into_iter()
                .map(|(name, values)| (name, summary(values)))
                .collect(),
        }
    }
}

impl Plot for Boxes {
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Drawn<Scene> {
        let colors = state.colors();
        let page = Page {
            title: &self.title,
            legend: vec![LegendEntry::Mark(
                Shape::Square,
                colors.query,
                "half of the values".into(),
            )],
            caption: "Whiskers go to the least and the most, the line in a box is the median.",
            ..Page::default()
        };
        let (mut scene, content) = page.start(size, &colors)?;
        let mut layer = Layer::default();
        let [_, most] = range(self.groups.iter().map(|(_, numbers)| numbers[4]));
        let across = [0.0, self.groups.len() as f32];
        let frame = Frame::draw(&mut layer, content, [across, [0.0, most]], ["head", &self.up], &colors);
        for (index, (_, numbers)) in self.groups.iter().enumerate() {
            let left = index as f32;
            let rect = |from: f32, to: f32, inset: f32| Rect {
                min: frame.place([left + inset, to]),
                max: frame.place([left + 1.0 - inset, from]),
            };
            let whisker = [numbers[0], numbers[4]].map(|value| frame.place([left + 0.5, value]));
            layer.edges.push(straight(0, whisker[0], whisker[1], colors.muted, 1.0));
            layer
                .blocks
                .push(Block::filled(0, rect(numbers[1], numbers[3], 0.2), colors.query));
            let median = [left + 0.2, left + 0.8].map(|x| frame.place([x, numbers[2]]));
            layer.edges.push(straight(0, median[0], median[1], colors.text, 1.5));
            // What the pointer finds, with an id for `tooltip`.
            layer.regions.push(Region::item(0, rect(0.0, most, 0.0), index));
        }
        scene.layers.push(layer);
        Ok(scene)
    }

    fn table(&self, _: &ViewState) -> Drawn<Table> {
        let mut table = Table::new(self.groups.len());
        table.texts("head", |row| self.groups[row].0.as_str());
        for (column, name) in NUMBERS.into_iter().enumerate() {
            table.numbers(name, |row| self.groups[row].1[column]);
        }
        Ok(table)
    }

    fn natural_size(&self) -> [f32; 2] {
        [160.0 + 34.0 * self.groups.len() as f32, 420.0]
    }

    fn tooltip(&self, target: Target) -> Option<Tooltip> {
        let Target::Item(pick) = target else { return None };
        let (name, numbers) = self.groups.get(pick.id as usize)?;
        let lines = NUMBERS.iter().zip(numbers);
        Some(lines.fold(Tooltip::new(name), |tooltip, (what, value)| {
            tooltip.line(format!("{what} {value:.2}"))
        }))
    }
}

/// The entropy of every query's attention in a head, in bits.
fn entropies(capture: &Capture, head: HeadId) -> Result<Vec<f32>, attn_sdk::core::Error> {
    let mut entropies = Vec::new();
    for sequence in 0..capture.sequences().len() {
        let attention = capture.attention(head, sequence)?;
        let entropy = |row: attn_sdk::core::ndarray::ArrayView1<'_, f32>| -> f32 {
            row.iter()
                .filter(|weight| **weight > 0.0)
                .map(|weight| -weight * weight.log2())
                .sum()
        };
        entropies.extend(attention.rows().into_iter().map(entropy));
    }
    Ok(entropies)
}

fn main() -> Result<(), Box<dyn Error>> {
    let capturer = Capturer::load(&embedded::TEXT_ENCODER.checkpoint()?)?;
    let capture = capturer.capture_lines(sentences().take(20))?;
    let mut groups = Vec::new();
    for head in capture.model().heads() {
        groups.push((capture.model().head_name(head), entropies(&capture, head)?));
    }
    let boxes = Boxes::new("How far heads spread their attention", "entropy (bits)", groups);

    fs::create_dir_all("out")?;
    let (mut exporter, state) = (Exporter::default(), ViewState::default());
    for extension in ["png", "svg", "csv"] {
        exporter.write(&boxes, &state, format!("out/custom-plot.{extension}"))?;
    }
    Ok(())
}
