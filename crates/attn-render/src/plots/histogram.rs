//! How often values occur: bars over equal bins.

use std::sync::Arc;

use super::kit::{Frame, Page, range};
use crate::{
    Error, Plot, Result, Scene, Table, ViewState,
    error::check_finite,
    geometry::Rect,
    scene::{Block, Layer, Region},
};

/// A histogram.
///
/// ```
/// use attn_render::{Plot, ViewState, plots::Histogram};
/// let histogram = Histogram { across: "entropy (bits)".into(), bins: 2, ..Histogram::new([0.0, 0.1, 0.2, 1.0]) };
/// assert_eq!(histogram.counts()?, [3, 1]);
/// let scene = histogram.scene(&ViewState::default(), [480.0, 320.0])?;
/// assert_eq!(scene.layers[2].blocks.len(), 2);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Histogram {
    /// In bold above everything.
    pub title: String,
    /// Under the title, in small print; may be empty.
    pub subtitle: String,
    /// Under the chart; may be empty.
    pub caption: String,
    /// What the values are, with their unit.
    pub across: String,
    /// The values.
    pub values: Arc<[f32]>,
    /// How many bins, 1 to 1,000. By default the square root of the number of values, from 5 to 50.
    pub bins: usize,
}

impl Histogram {
    /// A histogram without words.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the square root of a length, clamped"
    )]
    pub fn new(values: impl Into<Arc<[f32]>>) -> Self {
        let values = values.into();
        Self {
            title: String::new(),
            subtitle: String::new(),
            caption: String::new(),
            across: "value".into(),
            bins: ((values.len() as f64).sqrt() as usize).clamp(5, 50),
            values,
        }
    }

    /// How many values each bin holds, from the smallest value on; the largest is in the last bin.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut to the bins")]
    pub fn counts(&self) -> Result<Vec<usize>> {
        if self.values.is_empty() {
            return Err(Error::Empty {
                what: "the values of the histogram",
            });
        }
        if !(1..=1_000).contains(&self.bins) {
            return Err(Error::Shape {
                what: "bins of the histogram",
                expected: "1 to 1,000".into(),
                found: self.bins.to_string(),
            });
        }
        check_finite("values of the histogram", &self.values)?;
        let [low, high] = range(self.values.iter().copied());
        let mut counts = vec![0; self.bins];
        for value in self.values.iter() {
            let along = if high > low {
                (f64::from(*value) - f64::from(low)) / (f64::from(high) - f64::from(low))
            } else {
                0.0
            };
            counts[((along * self.bins as f64) as usize).min(self.bins - 1)] += 1;
        }
        Ok(counts)
    }
}

impl Plot for Histogram {
    /// The scene, laid out in `size` layout units. Ids count the bins.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        let counts = self.counts()?;
        let colors = state.colors();
        let page = Page {
            title: &self.title,
            subtitle: &self.subtitle,
            legend: vec![],
            caption: &self.caption,
        };
        let (mut scene, content) = page.start(size, &colors)?;
        let mut layer = Layer::default();
        let [low, high] = range(self.values.iter().copied());
        let most = counts.iter().copied().max().unwrap_or(0) as f32;
        let (low, high) = if high > low {
            (low, high)
        } else {
            (low - 0.5, low + 0.5)
        };
        let frame = Frame::draw(
            &mut layer,
            content,
            [[low, high], [0.0, most]],
            [&self.across, "count"],
            &colors,
        );
        // Bars stand before the lines of the axes.
        scene.layers.push(std::mem::take(&mut layer));
        for (bin, count) in counts.iter().enumerate() {
            let edge = |bin: usize| low + (high - low) * bin as f32 / self.bins as f32;
            let ([left, top], [right, bottom]) = (
                frame.place([edge(bin), *count as f32]),
                frame.place([edge(bin + 1), 0.0]),
            );
            let gap = (0.06 * (right - left)).min(1.0);
            let bar = Rect {
                min: [left + gap, top],
                max: [right - gap, bottom],
            };
            if *count > 0 {
                layer.blocks.push(Block::filled(0, bar, colors.query));
            }
            let column = Rect {
                min: [left, frame.plot.min[1]],
                max: [right, bottom],
            };
            layer.regions.push(Region::item(0, column, bin));
        }
        scene.layers.push(layer);
        Ok(scene)
    }

    /// A row per bin: where it starts and ends, and how many values are in it.
    fn table(&self, _: &ViewState) -> Result<Table> {
        let counts = self.counts()?;
        let [low, high] = range(self.values.iter().copied());
        let edge = |bin: usize| low + (high - low) * (bin as f32 / counts.len() as f32);
        let mut table = Table::new(counts.len());
        table.numbers("from", edge).numbers("to", |bin| edge(bin + 1));
        table.numbers("count", |bin| counts[bin]);
        Ok(table)
    }

    fn natural_size(&self) -> [f32; 2] {
        [560.0, 400.0]
    }
}
