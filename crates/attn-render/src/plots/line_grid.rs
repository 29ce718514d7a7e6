//! Small multiples: charts of curves beside each other, on one scale (Tufte 1983). Where many curves would cross in one chart, each
//! has its own.

use super::{
    Lines,
    kit::{LegendEntry, Page},
    lines::SIZE_OF_NAMES,
};
use crate::{
    Error, Plot, Result, Scene, Table, ViewState,
    geometry::Rect,
    scene::{Label, Layer},
    text::{shorten, text_width},
};

/// A chart of this size is easy to read; more room gives larger ones.
const USUAL: [f32; 2] = [230.0, 190.0];
const GAP: [f32; 2] = [18.0, 14.0];
const TITLE: f32 = 11.0;

/// Charts of curves in rows and columns, each with its title above it.
///
/// ```
/// use attn_render::{Plot, ViewState, plots::{LineGrid, Lines, Series}};
///
/// let chart = |title: &str| Lines {
///     title: title.into(),
///     at: [0.0, 1.0].into(),
///     series: vec![Series { name: "aligned".into(), values: [0.2, 0.4].into(), ..Series::default() }],
///     range: Some([0.0, 1.0]),
///     ..Lines::default()
/// };
/// let grid = LineGrid { title: "Labels of clusters".into(), ..LineGrid::new(vec![chart("upos"), chart("suffix")]) };
/// let scene = grid.scene(&ViewState::default(), grid.natural_size())?;
/// assert_eq!(scene.layers[1].points.len(), 4);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct LineGrid {
    /// In bold above everything.
    pub title: String,
    /// Under the title, in small print; may be empty.
    pub subtitle: String,
    /// Under the charts; may be empty.
    pub caption: String,
    /// The charts. Their subtitles and captions are not drawn. Those without a range share that of all of them.
    pub charts: Vec<Lines>,
}

impl LineGrid {
    /// Charts without words around them.
    pub fn new(charts: Vec<Lines>) -> Self {
        Self {
            charts,
            ..Self::default()
        }
    }

    fn check(&self) -> Result<()> {
        if self.charts.is_empty() {
            return Err(Error::Empty { what: "the charts" });
        }
        self.charts.iter().try_for_each(Lines::check)
    }

    /// Columns and rows that give the largest charts near the usual proportion.
    fn columns(&self, content: Rect) -> usize {
        let count = self.charts.len();
        let scale = |columns: usize| {
            let rows = count.div_ceil(columns);
            let width = content.width() / columns as f32 / USUAL[0];
            let height = content.height() / rows as f32 / USUAL[1];
            width.min(height)
        };
        (1..=count)
            .max_by(|&a, &b| scale(a).total_cmp(&scale(b)).then(b.cmp(&a)))
            .unwrap_or(1)
    }

    /// Series of one name and color stand in the legend once.
    fn legend(&self, state: &ViewState) -> Vec<LegendEntry> {
        let colors = state.colors();
        let mut entries: Vec<LegendEntry> = Vec::new();
        for entry in self.charts.iter().flat_map(|chart| chart.legend(&colors)) {
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
        entries
    }
}

impl Plot for LineGrid {
    /// The scene, laid out in `size` layout units. Ids of points count the values of the first chart, series by series, then the
    /// next.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        self.check()?;
        let colors = state.colors();
        let page = Page {
            title: &self.title,
            subtitle: &self.subtitle,
            legend: self.legend(state),
            caption: &self.caption,
        };
        let (mut scene, content) = page.start(size, &colors)?;
        let ranges = self
            .charts
            .iter()
            .map(|chart| chart.range.unwrap_or_else(|| chart.fitted()));
        let shared = ranges
            .reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])])
            .unwrap_or([0.0, 1.0]);
        let columns = self.columns(content);
        let rows = self.charts.len().div_ceil(columns);
        let cell = [
            (content.width() - GAP[0] * (columns - 1) as f32) / columns as f32,
            (content.height() - GAP[1] * (rows - 1) as f32) / rows as f32,
        ];
        let mut layer = Layer::default();
        let mut first = 0;
        for (index, chart) in self.charts.iter().enumerate() {
            let (row, column) = (index / columns, index % columns);
            let left = content.min[0] + column as f32 * (cell[0] + GAP[0]);
            let top = content.min[1] + row as f32 * (cell[1] + GAP[1]);
            let title = shorten(&chart.title, TITLE, true, cell[0]);
            layer
                .labels
                .push(Label::new(0, [left, top], title, TITLE, colors.text).bold());
            let inside = Rect::new(left, top + 1.6 * TITLE, cell[0], (cell[1] - 1.6 * TITLE).max(1.0));
            // The name of the axis has room under wide charts only.
            let across = text_width(&chart.across, SIZE_OF_NAMES, false) < 0.9 * cell[0];
            let own = Lines {
                range: Some(chart.range.unwrap_or(shared)),
                across: if across { chart.across.clone() } else { String::new() },
                ..chart.clone()
            };
            let place = own.chart(inside);
            own.axes(&mut layer, &place, &colors);
            own.curves(&mut layer, &place, &colors, first);
            first += own.series.len() * own.at.len();
        }
        scene.layers.push(layer);
        Ok(scene)
    }

    /// A row per chart and place: the chart's title, where it is, and a column per name of a series.
    fn table(&self, _: &ViewState) -> Result<Table> {
        self.check()?;
        let rows: Vec<(&Lines, usize)> = self
            .charts
            .iter()
            .flat_map(|chart| (0..chart.at.len()).map(move |at| (chart, at)))
            .collect();
        let mut names: Vec<&str> = Vec::new();
        for series in self.charts.iter().flat_map(|chart| &chart.series) {
            if !names.contains(&series.name.as_str()) {
                names.push(&series.name);
            }
        }
        let mut table = Table::new(rows.len());
        table.texts("chart", |row| rows[row].0.title.as_str());
        table.numbers("at", |row| rows[row].0.at[rows[row].1]);
        for name in names {
            table.numbers(name, |row| {
                let (chart, at) = rows[row];
                chart.series.iter().find(|series| series.name == name)?.value(at)
            });
        }
        Ok(table)
    }

    /// Charts of the usual size, four beside each other at most.
    fn natural_size(&self) -> [f32; 2] {
        let columns = self.charts.len().clamp(1, 4);
        let rows = self.charts.len().div_ceil(columns).max(1);
        [
            (columns as f32 * (USUAL[0] + GAP[0]) + 52.0).max(420.0),
            rows as f32 * (USUAL[1] + GAP[1]) + 170.0,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{labels::place_labels, plots::Series, projection::Projection};

    fn chart(title: &str, values: &[f32]) -> Lines {
        let series = |name: &str, broken| Series {
            name: name.into(),
            values: values.into(),
            broken,
            ..Series::default()
        };
        Lines {
            title: title.into(),
            at: (0..values.len()).map(|at| at as f32).collect(),
            across: "layer".into(),
            series: vec![series("aligned", false), series("chance", true)],
            ..Lines::default()
        }
    }

    #[test]
    fn charts_lie_apart_share_a_scale_and_a_legend() {
        let names = ["upos", "deprel", "suffix", "prefix", "casing", "place", "sentiment"];
        let charts = names.iter().map(|name| chart(name, &[0.1, 0.4, 0.2])).collect();
        let mut grid = LineGrid {
            title: "Labels".into(),
            ..LineGrid::new(charts)
        };
        grid.charts[6].series[0].values = [0.1, 0.8, 0.2].into();
        assert_eq!(grid.legend(&ViewState::default()).len(), 2);
        for size in [grid.natural_size(), [520.0, 700.0], [1200.0, 360.0]] {
            let scene = grid.scene(&ViewState::default(), size).unwrap();
            let points = &scene.layers[1].points;
            assert_eq!(points.len(), 21);
            let mut ids: Vec<u32> = points.iter().map(|point| point.id).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), 21);
            let labels = place_labels(&scene, &Projection::new(&scene, &ViewState::default(), size));
            let labels: Vec<_> = labels.iter().flatten().collect();
            assert!(
                names
                    .iter()
                    .all(|name| labels.iter().any(|label| *label.text == **name)),
                "{size:?}"
            );
            for (i, a) in labels.iter().enumerate() {
                for b in &labels[..i] {
                    let apart = !a.rect.shrink(0.5).overlaps(&b.rect.shrink(0.5));
                    assert!(apart, "{size:?}: {} {}", a.text, b.text);
                }
            }
        }
        let table = grid.table(&ViewState::default()).unwrap().to_csv();
        assert!(
            table.starts_with("chart,at,aligned,chance\r\nupos,0,0.1,0.1\r\n"),
            "{table}"
        );
        assert!(
            LineGrid::default()
                .scene(&ViewState::default(), [300.0, 300.0])
                .is_err()
        );
    }
}
