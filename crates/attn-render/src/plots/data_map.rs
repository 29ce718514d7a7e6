//! Training examples by how sure and how steady the model was about them (Swayamdipta et al. 2020, "Dataset
//! Cartography"): easy ones at the top left, hard ones at the bottom left, ambiguous ones to the right.

use std::sync::Arc;

use super::{
    kit::{
        ColorBy, Coordinates, Crowd, Frame, LegendEntry, Page, PointColors, Texts, add_points, highlighted, highlights,
        number, range, thinned, thinning_note,
    },
    tables::{push_values, value_line},
};
use crate::{
    Error, Plot, Result, Scene, Table, Target, ViewState,
    error::{check_finite, check_len},
    plot::Tooltip,
    scene::{Edge, Label, Layer, Motion, Panel, Placement, Point},
};

/// Up to so many examples, points have at least this radius.
const FEW: usize = 5_000;
const LEAST: f32 = 1.6;
/// Intervals of so many points are drawn; of more only those of highlighted points, which else would cover each other.
const INTERVALS: usize = 300;

/// A map of training examples.
///
/// ```
/// use attn_render::{Plot, ViewState, plots::DataMap};
/// let map = DataMap::new([0.9, 0.2, 0.5], [0.05, 0.1, 0.4], [1.0, 0.0, 0.5]);
/// assert_eq!(map.scene(&ViewState::default(), [480.0, 400.0])?.layers[1].points.len(), 3);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DataMap {
    /// In bold above everything.
    pub title: String,
    /// Under the title, in small print; may be empty.
    pub subtitle: String,
    /// Under the map. The default says what is seen.
    pub caption: String,
    /// Mean over epochs of the probability of the right class, 0 to 1, per example.
    pub confidence: Arc<[f32]>,
    /// Standard deviation of the same.
    pub variability: Arc<[f32]>,
    /// Share of the epochs in which the example was right, 0 to 1: its color.
    pub correctness: Arc<[f32]>,
    /// Half the width of the confidence interval of `confidence` per example: bars, of all examples up to 300, of highlighted
    /// ones among more. NaN is none.
    pub intervals: Option<Arc<[f32]>>,
    /// A value per example that gives its color in the place of `correctness`; NaN, where there is none, is grey.
    pub values: Option<Arc<[f32]>>,
    /// What the values are; `None` draws them from little to much.
    pub color_by: Option<ColorBy>,
    /// A text per example, for [`Shared::search`](crate::state::Shared::search); empty for none.
    pub labels: Texts,
}

impl DataMap {
    /// A map without words.
    pub fn new(
        confidence: impl Into<Arc<[f32]>>,
        variability: impl Into<Arc<[f32]>>,
        correctness: impl Into<Arc<[f32]>>,
    ) -> Self {
        Self {
            title: "Data map".into(),
            subtitle: String::new(),
            caption:
                "Each point is a training example. Top left: easy to learn; bottom left: hard, perhaps mislabeled; \
                      right: ambiguous. Color: share of epochs with a correct prediction."
                    .into(),
            confidence: confidence.into(),
            variability: variability.into(),
            correctness: correctness.into(),
            intervals: None,
            values: None,
            color_by: None,
            labels: Texts::default(),
        }
    }

    /// Whether the interval of a point is drawn.
    fn has_interval(&self, example: usize, shown: Option<bool>) -> bool {
        let drawn = shown == Some(true) || (shown.is_none() && self.confidence.len() <= INTERVALS);
        drawn
            && self
                .intervals
                .as_ref()
                .is_some_and(|intervals| intervals[example].is_finite())
    }

    /// What everything drawn relies on.
    fn check(&self) -> Result<()> {
        let examples = self.confidence.len();
        if examples == 0 {
            return Err(Error::Empty { what: "the data map" });
        }
        for (what, values) in [
            ("confidence of examples", &self.confidence),
            ("variability of examples", &self.variability),
            ("correctness of examples", &self.correctness),
        ] {
            check_len(what, examples, values.len())?;
            check_finite(what, values)?;
        }
        for (what, values) in [
            ("intervals of examples", &self.intervals),
            ("values of examples", &self.values),
        ] {
            check_len(what, examples, values.as_ref().map_or(examples, |values| values.len()))?;
        }
        if !self.labels.is_empty() {
            check_len("labels of examples", examples, self.labels.len())?;
        }
        Ok(())
    }
}

impl Plot for DataMap {
    /// The scene, laid out in `size` layout units. Ids are those of the examples; what [`Shared::search`](crate::state::Shared::search) finds and what is in
    /// [`Shared::selected`](crate::state::Shared::selected) is highlighted.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        self.check()?;
        let examples = self.confidence.len();
        let colors = state.colors();
        let (marked, matches) = highlighted(state, None, &self.labels, examples, examples);
        let by_value =
            PointColors::new(state, self.color_by.as_ref(), self.values.as_deref().into_iter())?.without_roles();
        let mut legend = match self.values {
            Some(_) => by_value.legend(),
            None => vec![LegendEntry::Ramp(
                colors.diverging,
                "share of the epochs in which it was right".into(),
                "1".into(),
                "0".into(),
            )],
        };
        legend.extend(highlights(state, &matches));
        let on_map: Vec<f32> = (0..examples)
            .flat_map(|i| [self.variability[i], self.confidence[i]])
            .collect();
        let part = thinned(&Coordinates::new(on_map, 2)?, examples, size[0] * size[1], &marked)?;
        let mut caption = self.caption.clone();
        if let Some((_, drawn)) = &part {
            caption.push_str(&thinning_note(*drawn, examples));
        }
        let page = Page {
            title: &self.title,
            subtitle: &self.subtitle,
            legend,
            caption: caption.trim_start(),
        };
        let (mut scene, content) = page.start(size, &colors)?;
        let mut layer = Layer::default();
        let most = range(self.variability.iter().copied())[1].max(0.1);
        let ranges = [[0.0, most], [0.0, 1.0]];
        let names = [
            "variability (standard deviation)",
            "confidence (mean probability of the right class)",
        ];
        let frame = Frame::draw(&mut layer, content, ranges, names, &colors);
        let places: Vec<f32> = (0..examples)
            .flat_map(|i| frame.place([self.variability[i], self.confidence[i]]))
            .collect();
        let coordinates = Coordinates::new(places.as_slice(), 2)?;
        let crowd = Crowd::new(&coordinates, frame.plot.width() * frame.plot.height());
        // Few lie in the open, and those matter: they are not as small as the crowd in the corner asks for.
        let radius = match examples <= FEW {
            true => crowd.radius.max(LEAST),
            false => crowd.radius,
        };
        let panel = scene.add_panel(Panel {
            title: self.title.clone(),
            point_radius: radius,
            point_opacity: crowd.opacity,
            // Points on the axes are not cut in half.
            ..Panel::page(frame.plot.shrink(-4.0), Motion::Fixed)
        });
        let mut points = [Vec::with_capacity(examples), Vec::new()];
        for i in 0..examples {
            if part.as_ref().is_some_and(|(kept, _)| !kept[i]) {
                continue;
            }
            let value = self.values.as_ref().map(|values| values[i]);
            let color = match value {
                Some(_) => by_value.color(true, value),
                None => colors.diverging.at(1.0 - self.correctness[i]),
            };
            let id = u32::try_from(i).unwrap_or(Point::UNPICKABLE);
            let shown = marked.get(i).copied();
            let hidden = by_value.is_hidden(value);
            if let Some(intervals) = self
                .intervals
                .as_ref()
                .filter(|_| !hidden && self.has_interval(i, shown))
            {
                let end = |confidence: f32| {
                    let [x, y] = frame.place([self.variability[i], confidence.clamp(0.0, 1.0)]);
                    [x, y, 0.0]
                };
                layer.edges.push(Edge {
                    from: end(self.confidence[i] - intervals[i]),
                    to: end(self.confidence[i] + intervals[i]),
                    color: color.alpha(0.55),
                    panel: panel.into(),
                    width: [0.9; 2],
                    gap: [0.0; 2],
                });
            }
            let point = Point::new(panel, [places[2 * i], places[2 * i + 1], 0.0], color, id)
                .sized(if shown == Some(true) { 1.7 } else { 1.0 })
                .dimmed(shown == Some(false))
                .hidden(hidden);
            points[usize::from(shown == Some(true))].push(point);
        }
        let [others, brought_out] = points;
        add_points(&mut scene, &mut layer, crowd.blending, others, brought_out);
        let gap = radius + 2.5;
        let [left, right] = [0.1 * most, 0.92 * most];
        for (name, at) in [
            ("easy", [left, 0.97]),
            ("hard", [left, 0.03]),
            ("ambiguous", [right, 0.5]),
        ] {
            let label = Label {
                offset: [gap, 0.0],
                halo: Some(colors.background),
                // The points of its region may be in the way: it lies where they are fewest.
                placement: Placement::OffPoints {
                    priority: 1.0,
                    margin: 2.0,
                    reach: 60.0,
                },
                ..Label::new(panel, frame.place(at), name, 11.0, colors.text)
            };
            layer.labels.push(label.bold());
        }
        scene.layers.push(layer);
        Ok(scene)
    }

    /// A row per example: confidence, variability, correctness, and interval, value and label if there are any.
    fn table(&self, _: &ViewState) -> Result<Table> {
        self.check()?;
        let mut table = Table::new(self.confidence.len());
        table
            .numbers("example", |example| example)
            .numbers("confidence", |example| self.confidence[example])
            .numbers("variability", |example| self.variability[example])
            .numbers("correctness", |example| self.correctness[example]);
        if let Some(intervals) = &self.intervals {
            table.numbers("interval", |example| intervals[example]);
        }
        if let Some(values) = &self.values {
            push_values(&mut table, self.color_by.as_ref(), |example| {
                values.get(example).copied()
            });
        }
        if !self.labels.is_empty() {
            table.texts("label", |example| &*self.labels[example]);
        }
        Ok(table)
    }

    fn natural_size(&self) -> [f32; 2] {
        [640.0, 560.0]
    }

    /// The label of an example, and its numbers.
    fn tooltip(&self, target: Target) -> Option<Tooltip> {
        let example = target.id()? as usize;
        let label = self.labels.get(example).map_or("", |label| &**label);
        let line = |name: &str, values: &[f32]| Some(format!("{name} {}", number(*values.get(example)?)));
        let tooltip = Tooltip::new(label)
            .line(line("confidence", &self.confidence)?)
            .line(line("variability", &self.variability)?);
        let tooltip = tooltip.line(line("correctness", &self.correctness)?);
        let value = self.values.as_ref().and_then(|values| values.get(example));
        Some(match value {
            Some(value) => tooltip.line(value_line(self.color_by.as_ref(), *value)),
            None => tooltip,
        })
    }
}
