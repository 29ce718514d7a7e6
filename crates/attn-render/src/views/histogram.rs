//! How often values occur: bars over equal bins.

use super::{
    axes::{Frame, range},
    page::Page,
};
use crate::{Block, Error, Layer, Rect, Region, Scene, View, error::check_finite};

/// A histogram.
///
/// ```
/// use attn_render::{View, views::Histogram};
/// let histogram = Histogram { across: "entropy (bits)", bins: 2, ..Histogram::new(&[0.0, 0.1, 0.2, 1.0]) };
/// assert_eq!(histogram.counts()?, [3, 1]);
/// let scene = histogram.scene(&View::default(), [480.0, 320.0])?;
/// assert_eq!(scene.layers[2].blocks.len(), 2);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Histogram<'a> {
    /// In bold above everything.
    pub title: &'a str,
    /// Under the title, in small print; may be empty.
    pub subtitle: &'a str,
    /// Under the chart; may be empty.
    pub caption: &'a str,
    /// What the values are, with their unit.
    pub across: &'a str,
    /// The values.
    pub values: &'a [f32],
    /// How many bins, 1 to 1,000. By default the square root of the number of values, from 5 to 50.
    pub bins: usize,
}

impl<'a> Histogram<'a> {
    /// A histogram without words.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the square root of a length, clamped"
    )]
    pub fn new(values: &'a [f32]) -> Self {
        Self {
            title: "",
            subtitle: "",
            caption: "",
            across: "value",
            values,
            bins: ((values.len() as f64).sqrt() as usize).clamp(5, 50),
        }
    }

    /// How many values each bin holds, from the smallest value on; the largest is in the last bin.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut to the bins")]
    pub fn counts(&self) -> Result<Vec<usize>, Error> {
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
        check_finite("values of the histogram", self.values)?;
        let [low, high] = range(self.values.iter().copied());
        let mut counts = vec![0; self.bins];
        for value in self.values {
            let along = if high > low {
                (f64::from(*value) - f64::from(low)) / (f64::from(high) - f64::from(low))
            } else {
                0.0
            };
            counts[((along * self.bins as f64) as usize).min(self.bins - 1)] += 1;
        }
        Ok(counts)
    }

    /// The scene, laid out in `size` layout units. Ids count the bins.
    ///
    /// # Errors
    /// [`Error::Empty`] without values, [`Error::Shape`] for a number of bins out of range, [`Error::NotFinite`].
    pub fn scene(&self, view: &View, size: [f32; 2]) -> Result<Scene, Error> {
        let counts = self.counts()?;
        let colors = view.colors();
        let page = Page {
            title: self.title,
            subtitle: self.subtitle,
            legend: vec![],
            caption: self.caption,
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
            [self.across, "count"],
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
            layer.regions.push(Region {
                panel: 0,
                rect: Rect {
                    min: [left, frame.plot.min[1]],
                    max: [right, bottom],
                },
                id: u32::try_from(bin).unwrap_or(u32::MAX),
            });
        }
        scene.layers.push(layer);
        Ok(scene)
    }
}
