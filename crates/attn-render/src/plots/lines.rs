//! Curves over the layers of a model (or over any steps): one line per series, beside its chance level if it has one.

use std::sync::Arc;

use std::collections::BTreeSet;

use super::{
    kit::axes::{SIZE, name, ticks},
    kit::{LegendEntry, Page},
};
use crate::{
    Color, Error, Plot, Result, Scene, Table, ViewState,
    color::Colors,
    error::{check_finite, check_len},
    geometry::Rect,
    scene::{Curve, Edge, Label, Layer, Path, Point, Shape},
    text::text_width,
};

/// One curve of [`Lines`].
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// One value per place of [`Lines::at`], or per place in `places`.
    pub values: Arc<[f32]>,
    /// Where the values are, as ascending indices into [`Lines::at`], of a curve that is not everywhere: the layers of the
    /// shallower of two models. `None`, the default: everywhere.
    pub places: Option<Arc<[usize]>>,
    /// Which of the eight colors it has. Two series of one color belong together: a score and its chance level.
    pub class: usize,
    /// Drawn broken and without marks: what would be there anyway.
    pub broken: bool,
}

/// A chart of curves.
///
/// ```
/// use attn_render::{Plot, ViewState, plots::{Lines, Series}};
///
/// let series = |name: &str, values: [f32; 3], broken| {
///     Series { name: name.into(), values: values.into(), broken, ..Series::default() }
/// };
/// let lines = Lines {
///     title: "Clusters aligned with parts of speech".into(),
///     across: "layer".into(),
///     up: "share of clusters".into(),
///     at: [0.0, 1.0, 2.0].into(),
///     series: vec![series("aligned", [0.2, 0.5, 0.4], false), series("chance", [0.1, 0.1, 0.1], true)],
///     ..Lines::default()
/// };
/// let scene = lines.scene(&ViewState::default(), [640.0, 400.0])?;
/// assert_eq!(scene.layers[1].points.len(), 3); // broken lines have no marks
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Lines {
    /// In bold above everything.
    pub title: String,
    /// Under the title, in small print; may be empty.
    pub subtitle: String,
    /// Under the chart; may be empty.
    pub caption: String,
    /// Name of the horizontal axis.
    pub across: String,
    /// Name of the vertical axis; stands above it.
    pub up: String,
    /// Where the values are on the horizontal axis, ascending: the layers.
    pub at: Arc<[f32]>,
    /// The curves, the first in front.
    pub series: Vec<Series>,
    /// Lowest and highest value of the vertical axis; `None` fits the values, from 0 if they are not negative.
    pub range: Option<[f32; 2]>,
}

/// Font size of the names at the axes.
pub(super) const SIZE_OF_NAMES: f32 = SIZE;
const SHAPES: [Shape; 4] = [Shape::Disc, Shape::Diamond, Shape::Square, Shape::Ring];

impl Lines {
    /// What everything drawn relies on.
    pub(super) fn check(&self) -> Result<()> {
        if self.series.is_empty() || self.at.is_empty() {
            return Err(Error::Empty { what: "the chart" });
        }
        check_finite("places of the chart", &self.at)?;
        if self.at.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(Error::Shape {
                what: "places of the chart",
                expected: "ascending values".into(),
                found: format!("{:?}", self.at),
            });
        }
        for series in &self.series {
            let places = series.places.as_deref();
            check_len(
                "values of a series",
                places.map_or(self.at.len(), <[usize]>::len),
                series.values.len(),
            )?;
            check_finite("values of a series", &series.values)?;
            let places = places.unwrap_or_default();
            if places.last().is_some_and(|&last| last >= self.at.len())
                || places.windows(2).any(|pair| pair[0] >= pair[1])
            {
                return Err(Error::Shape {
                    what: "places of a series",
                    expected: format!("ascending indices below {}", self.at.len()),
                    found: format!("{places:?}"),
                });
            }
        }
        if let Some(range) = self.range {
            check_finite("range of the chart", &range)?;
        }
        Ok(())
    }

    /// Broken lines of one name share an entry: without a color, where each has that of the line it belongs to.
    pub(super) fn legend(&self, colors: &Colors) -> Vec<LegendEntry> {
        let one_color = |series: &Series| {
            let mut alike = self
                .series
                .iter()
                .filter(|other| other.broken && other.name == series.name);
            alike.all(|other| other.class == series.class)
        };
        let mut entries: Vec<LegendEntry> = Vec::new();
        let mut shared: Vec<LegendEntry> = Vec::new();
        let mut names = BTreeSet::new();
        for series in &self.series {
            let entry = |color| LegendEntry::Series(shape(series), color, series.broken, series.name.clone());
            if !series.broken {
                entries.push(entry(colors.clear_class(series.class)));
            } else if names.insert(&series.name) {
                match one_color(series) {
                    true => entries.push(entry(colors.clear_class(series.class))),
                    false => shared.push(entry(colors.muted)),
                }
            }
        }
        entries.append(&mut shared);
        entries
    }

    pub(super) fn chart(&self, content: Rect) -> Chart {
        let [low, high] = self.range.unwrap_or_else(|| self.fitted());
        let ticks = ticks([low, high], (content.height() / 42.0).min(8.0));
        let names: Vec<String> = ticks.iter().map(|&tick| name(tick, &ticks)).collect();
        let widest = names
            .iter()
            .map(|name| text_width(name, SIZE, false))
            .fold(0.0, f32::max);
        let left = content.min[0] + widest + 8.0;
        let top = content.min[1] + if self.up.is_empty() { 4.0 } else { 1.9 * SIZE };
        let bottom = content.max[1] - 1.6 * SIZE - if self.across.is_empty() { 0.0 } else { 1.5 * SIZE };
        let right = content.max[0] - 8.0;
        let ends = (
            ticks.first().copied().unwrap_or(0.0),
            ticks.last().copied().unwrap_or(1.0),
        );
        Chart {
            plot: Rect {
                min: [left, top],
                max: [right.max(left + 1.0), bottom.max(top + 1.0)],
            },
            values: [ends.0, ends.1],
            places: [
                self.at.first().copied().unwrap_or(0.0),
                self.at.last().copied().unwrap_or(1.0),
            ],
            ticks: ticks.into_iter().zip(names).collect(),
            crowded: self.at.len() > CROWD,
        }
    }

    /// What the values need, from 0 if none is negative.
    pub(super) fn fitted(&self) -> [f32; 2] {
        let values = || self.series.iter().flat_map(|series| series.values.iter()).copied();
        [values().fold(0.0, f32::min), values().fold(f32::MIN, f32::max)]
    }

    pub(super) fn axes(&self, layer: &mut Layer, chart: &Chart, colors: &Colors) {
        let plot = chart.plot;
        let line = |from: [f32; 2], to: [f32; 2], color: Color| Edge {
            from: [from[0], from[1], 0.0],
            to: [to[0], to[1], 0.0],
            color,
            panel: 0,
            width: [0.8; 2],
            gap: [0.0; 2],
        };
        for (tick, name) in &chart.ticks {
            let y = chart.y(*tick);
            let faint = colors.frame.alpha(if *tick == chart.values[0] { 1.0 } else { 0.45 });
            layer.edges.push(line([plot.min[0], y], [plot.max[0], y], faint));
            let label = Label::new(0, [plot.min[0] - 6.0, y], name.as_str(), SIZE, colors.muted);
            layer.labels.push(label.aligned(1.0, 0.5));
        }
        // Every name, every second, ... whatever has room; of a crowd round numbers.
        let places = match chart.crowded {
            true => {
                let within = |at: &f32| (chart.places[0]..=chart.places[1]).contains(at);
                let mut round = ticks(chart.places, plot.width() / 80.0);
                round.retain(within);
                round
            }
            false => self.at.to_vec(),
        };
        let names: Vec<String> = places
            .iter()
            .map(|&at| {
                if at.fract() == 0.0 {
                    format!("{at:.0}")
                } else {
                    format!("{at:.1}")
                }
            })
            .map(|name| name.replace('-', "−"))
            .collect();
        let widest = names
            .iter()
            .map(|name| text_width(name, SIZE, false))
            .fold(0.0, f32::max);
        let mut free = f32::MIN;
        for (&at, name) in places.iter().zip(names) {
            let x = chart.x(at);
            layer
                .edges
                .push(line([x, plot.max[1]], [x, plot.max[1] + 3.0], colors.frame));
            if x - 0.5 * widest >= free {
                free = x + 0.5 * widest + 6.0;
                let label = Label::new(0, [x, plot.max[1] + 4.5], name, SIZE, colors.muted);
                layer.labels.push(label.aligned(0.5, 0.0));
            }
        }
        let across = [plot.center()[0], plot.max[1] + 1.6 * SIZE + 3.0];
        layer
            .labels
            .push(Label::new(0, across, self.across.as_str(), SIZE, colors.text).aligned(0.5, 0.0));
        let up = [plot.min[0], plot.min[1] - 1.9 * SIZE];
        layer
            .labels
            .push(Label::new(0, up, self.up.as_str(), SIZE, colors.text));
    }

    /// Draws the curves. The id of a value is `first`, a number of its series, and its place.
    pub(super) fn curves(&self, layer: &mut Layer, chart: &Chart, colors: &Colors, first: usize) {
        // The first series comes last, in front of the others.
        for (index, series) in self.series.iter().enumerate().rev() {
            let color = colors.clear_class(series.class);
            let places: Vec<usize> = series.indices().collect();
            let points: Vec<[f32; 2]> = places
                .iter()
                .zip(series.values.iter())
                .map(|(&place, &value)| [chart.x(self.at[place]), chart.y(value)])
                .collect();
            if series.broken {
                layer.curves.extend(dashes(&points).into_iter().map(|path| Curve {
                    panel: 0,
                    path: Path::Line(path.to_vec()),
                    color,
                    width: 1.3,
                }));
                continue;
            }
            for (at, point) in places.iter().zip(&points) {
                let id = u32::try_from(first + index * self.at.len() + at).unwrap_or(Point::UNPICKABLE);
                let mark = Point::new(0, [point[0], point[1], 0.0], color, id);
                let size = if chart.crowded { 0.2 } else { 0.9 };
                layer.points.push(mark.shaped(shape(series)).sized(size));
            }
            if chart.crowded {
                // One by one: the corners of a path reach far beyond sharp peaks.
                layer.edges.extend(points.windows(2).map(|pair| Edge {
                    from: [pair[0][0], pair[0][1], 0.0],
                    to: [pair[1][0], pair[1][1], 0.0],
                    color,
                    panel: 0,
                    width: [1.2; 2],
                    gap: [0.0; 2],
                }));
            } else if points.len() > 1 {
                layer.curves.push(Curve {
                    panel: 0,
                    path: Path::Line(points),
                    color,
                    width: 1.8,
                });
            }
        }
    }
}

impl Plot for Lines {
    /// The scene, laid out in `size` layout units. Ids of points count the values of the first series, then the next.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        self.check()?;
        let colors = state.colors();
        let page = Page {
            title: &self.title,
            subtitle: &self.subtitle,
            legend: self.legend(&colors),
            caption: &self.caption,
        };
        let (mut scene, content) = page.start(size, &colors)?;
        let chart = self.chart(content);
        let mut layer = Layer::default();
        self.axes(&mut layer, &chart, &colors);
        self.curves(&mut layer, &chart, &colors, 0);
        scene.layers.push(layer);
        Ok(scene)
    }

    /// A row per place: where it is, and a column per series.
    fn table(&self, _: &ViewState) -> Result<Table> {
        self.check()?;
        let mut table = Table::new(self.at.len());
        let across = if self.across.is_empty() { "at" } else { &self.across };
        table.numbers(across, |row| self.at[row]);
        for series in &self.series {
            let places: Vec<usize> = series.indices().collect();
            table.numbers(series.name.as_str(), |row| {
                let at = places.binary_search(&row).ok()?;
                series.values.get(at).copied()
            });
        }
        Ok(table)
    }

    fn natural_size(&self) -> [f32; 2] {
        [760.0, 480.0]
    }
}

impl Series {
    /// Its value at a place of the chart.
    pub(super) fn value(&self, place: usize) -> Option<f32> {
        let at = self.indices().position(|own| own == place)?;
        self.values.get(at).copied()
    }

    /// The places of its values.
    fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        let places = self.places.as_deref();
        (0..self.values.len()).map(move |at| places.map_or(at, |places| places[at]))
    }
}

/// Classes differ in shape as well as in color.
fn shape(series: &Series) -> Shape {
    SHAPES[series.class % SHAPES.len()]
}

/// Where values are on the page.
pub(super) struct Chart {
    plot: Rect,
    values: [f32; 2],
    places: [f32; 2],
    ticks: Vec<(f32, String)>,
    /// There are too many values to mark each.
    crowded: bool,
}

/// From so many places on, values are small dots and the axis has round numbers.
const CROWD: usize = 200;

impl Chart {
    /// A single place stands in the middle. The ends keep away from the axis, so that marks do not lie on it.
    fn x(&self, at: f32) -> f32 {
        let [first, last] = self.places;
        let along = if last > first {
            (at - first) / (last - first)
        } else {
            0.5
        };
        let inner = self.plot.shrink(10.0);
        inner.min[0] + along * inner.width()
    }

    fn y(&self, value: f32) -> f32 {
        let [low, high] = self.values;
        let along = ((value - low) / (high - low)).clamp(0.0, 1.0);
        self.plot.max[1] - along * self.plot.height()
    }
}

/// Cuts a line into dashes of 5 units, 3.5 apart, that run on around the corners.
fn dashes(points: &[[f32; 2]]) -> Vec<[[f32; 2]; 2]> {
    const DASH: f32 = 5.0;
    const PERIOD: f32 = 8.5;
    let mut dashes = Vec::new();
    let mut phase = 0.0;
    for pair in points.windows(2) {
        let (dx, dy) = (pair[1][0] - pair[0][0], pair[1][1] - pair[0][1]);
        let length = dx.hypot(dy);
        let at = |along: f32| {
            let t = if length > 0.0 {
                (along / length).clamp(0.0, 1.0)
            } else {
                0.0
            };
            [pair[0][0] + t * dx, pair[0][1] + t * dy]
        };
        let mut start = -phase;
        while start < length {
            if start + DASH > 0.0 {
                dashes.push([at(start.max(0.0)), at((start + DASH).min(length))]);
            }
            start += PERIOD;
        }
        phase = (phase + length) % PERIOD;
    }
    dashes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{labels::place_labels, projection::Projection};

    fn series(name: &str, values: &[f32], class: usize, broken: bool) -> Series {
        Series {
            name: name.into(),
            values: values.into(),
            class,
            broken,
            ..Series::default()
        }
    }

    #[test]
    fn a_curve_need_not_be_everywhere() {
        let short = |places: &[usize]| Series {
            places: Some(places.into()),
            ..series("shallow", &[0.5, 1.0], 1, false)
        };
        let lines = |places: &[usize]| Lines {
            at: [0.0, 1.0, 2.0].into(),
            series: vec![series("deep", &[0.0, 0.5, 1.0], 0, false), short(places)],
            ..Lines::default()
        };
        let scene = lines(&[0, 2]).scene(&ViewState::default(), [400.0, 300.0]).unwrap();
        let marks: Vec<_> = scene.layers[1]
            .points
            .iter()
            .map(|point| (point.id, point.position[0]))
            .collect();
        // The second series is drawn first; ids count all places.
        assert_eq!(marks.iter().map(|mark| mark.0).collect::<Vec<_>>(), [3, 5, 0, 1, 2]);
        assert_eq!((marks[0].1, marks[1].1), (marks[2].1, marks[4].1));
        let table = lines(&[1, 2]).table(&ViewState::default()).unwrap().to_csv();
        assert_eq!(table, "at,deep,shallow\r\n0,0,\r\n1,0.5,0.5\r\n2,1,1\r\n");
        for wrong in [&[2, 1][..], &[1, 3], &[1]] {
            let scene = lines(wrong).scene(&ViewState::default(), [400.0, 300.0]);
            assert!(matches!(scene, Err(Error::Shape { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn a_crowd_has_small_marks_and_round_numbers() {
        let values: Vec<f32> = (0..1_500_u16).map(|at| f32::from(at % 7)).collect();
        let lines = Lines {
            at: (0..1_500_u16).map(f32::from).collect(),
            series: vec![series("reachability", &values, 0, false)],
            ..Lines::default()
        };
        let scene = lines.scene(&ViewState::default(), [800.0, 400.0]).unwrap();
        let layer = &scene.layers[1];
        assert!(layer.curves.is_empty() && layer.edges.len() > 1_499);
        assert_eq!(layer.points.len(), 1_500);
        let names: Vec<&str> = layer.labels.iter().map(|label| &*label.text).collect();
        assert!(names.contains(&"200") && names.contains(&"1400"), "{names:?}");
    }

    #[test]
    fn a_given_range_of_round_numbers_is_kept() {
        let lines = Lines {
            range: Some([0.0, 1.0]),
            ..Lines::default()
        };
        let chart = lines.chart(Rect::new(0.0, 0.0, 300.0, 240.0));
        assert_eq!(chart.values, [0.0, 1.0], "no step beyond the range");
    }

    #[test]
    fn dashes_cover_five_of_eight_and_a_half() {
        let cut = dashes(&[[0.0, 0.0], [30.0, 40.0], [30.0, 75.0]]);
        let length: f32 = cut.iter().map(|[a, b]| (a[0] - b[0]).hypot(a[1] - b[1])).sum();
        assert!((length - 50.0).abs() < 1e-3, "ten periods of 5: {length}");
    }

    #[test]
    fn values_stand_at_their_height_and_labels_apart() {
        let at: Vec<f32> = (0..25).map(|layer| layer as f32).collect();
        let values: Vec<f32> = at.iter().map(|x| x / 24.0).collect();
        for size in [[320.0, 240.0], [900.0, 500.0]] {
            let lines = Lines {
                title: "Aligned clusters".into(),
                across: "layer".into(),
                up: "share of clusters".into(),
                at: at.as_slice().into(),
                series: vec![series("upos", &values, 0, false), series("chance", &values, 0, true)],
                ..Lines::default()
            };
            let scene = lines.scene(&ViewState::default(), size).unwrap();
            let points: Vec<_> = scene.layers[1].points.iter().map(|point| point.position).collect();
            assert!(
                points
                    .windows(2)
                    .all(|pair| pair[1][0] > pair[0][0] && pair[1][1] < pair[0][1])
            );
            let step = |i: usize| points[i + 1][1] - points[i][1];
            assert!((step(0) - step(20)).abs() < 1e-2, "even values, even heights");
            let labels = place_labels(&scene, &Projection::new(&scene, &ViewState::default(), size));
            let labels: Vec<_> = labels.iter().flatten().collect();
            for (i, a) in labels.iter().enumerate() {
                assert!(
                    a.rect.min[0] >= 0.0 && a.rect.max[0] <= size[0] && a.rect.max[1] <= size[1],
                    "{}",
                    a.text
                );
                for b in &labels[..i] {
                    assert!(
                        !a.rect.shrink(0.5).overlaps(&b.rect.shrink(0.5)),
                        "{} {}",
                        a.text,
                        b.text
                    );
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let chart = |at: &[f32], values: &[f32]| Lines {
            at: at.into(),
            series: vec![series("s", values, 0, false)],
            ..Lines::default()
        };
        let scene = |at: &[f32], values: &[f32]| chart(at, values).scene(&ViewState::default(), [300.0, 200.0]);
        assert!(matches!(scene(&[], &[]), Err(Error::Empty { .. })));
        assert!(matches!(scene(&[1.0, 0.0], &[0.0, 0.0]), Err(Error::Shape { .. })));
        assert!(matches!(scene(&[0.0, 1.0], &[0.0]), Err(Error::Shape { .. })));
        assert!(matches!(scene(&[0.0], &[f32::NAN]), Err(Error::NotFinite { .. })));
        assert!(scene(&[3.0], &[0.0]).is_ok(), "one layer, all zero");
    }

    #[test]
    fn broken_lines_of_one_name_share_an_entry() {
        let values = [0.0, 1.0];
        let lines = Lines {
            at: values.into(),
            series: vec![
                series("nouns", &values, 0, false),
                series("by chance", &values, 0, true),
                series("verbs", &values, 1, false),
                series("by chance", &values, 1, true),
                series("limit", &values, 2, true),
                series("least and most", &values, 3, true),
                series("least and most", &values, 3, true),
            ],
            ..Lines::default()
        };
        let colors = ViewState::default().colors();
        let legend = lines.legend(&colors);
        let name = |entry: &LegendEntry| match entry {
            LegendEntry::Series(.., name) => name.clone(),
            _ => String::new(),
        };
        let names: Vec<String> = legend.iter().map(name).collect();
        assert_eq!(names, ["nouns", "verbs", "limit", "least and most", "by chance"]);
        let color = |at: usize| match &legend[at] {
            LegendEntry::Series(_, color, ..) => Some(*color),
            _ => None,
        };
        assert_eq!(color(3), Some(colors.clear_class(3)), "those of one color have it");
        assert_eq!(color(4), Some(colors.muted));
    }
}
