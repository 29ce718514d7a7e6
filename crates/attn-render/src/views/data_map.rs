//! Training examples by how sure and how steady the model was about them (Swayamdipta et al. 2020, "Dataset
//! Cartography"): easy ones at the top left, hard ones at the bottom left, ambiguous ones to the right.

use super::{
    axes::{Frame, range},
    crowd::{add_points, blending, density, opacity_at, radius_at},
    legend::Entry,
    page::Page,
    points::{Coordinates, mark_entries, marks},
};
use crate::{
    Error, Label, Layer, Motion, Panel, Point, Scene, View,
    error::{check_finite, check_len},
};

/// A map of training examples.
///
/// ```
/// use attn_render::{View, views::DataMap};
/// let map = DataMap::new(&[0.9, 0.2, 0.5], &[0.05, 0.1, 0.4], &[1.0, 0.0, 0.5]);
/// assert_eq!(map.scene(&View::default(), [480.0, 400.0])?.layers[1].points.len(), 3);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct DataMap<'a> {
    /// In bold above everything.
    pub title: &'a str,
    /// Under the title, in small print; may be empty.
    pub subtitle: &'a str,
    /// Under the map. The default says what is seen.
    pub caption: &'a str,
    /// Mean over epochs of the probability of the right class, 0 to 1, per example.
    pub confidence: &'a [f32],
    /// Standard deviation of the same.
    pub variability: &'a [f32],
    /// Share of the epochs in which the example was right, 0 to 1: its colour.
    pub correctness: &'a [f32],
    /// A text per example, for [`View::search`]; empty for none.
    pub labels: &'a [&'a str],
}

impl<'a> DataMap<'a> {
    /// A map without words.
    pub fn new(confidence: &'a [f32], variability: &'a [f32], correctness: &'a [f32]) -> Self {
        Self {
            title: "Data map",
            subtitle: "",
            caption: "Each point is a training example. Top left: easy to learn; bottom left: hard, perhaps mislabelled; \
                      right: ambiguous. Colour: in which share of the epochs it was right.",
            confidence,
            variability,
            correctness,
            labels: &[],
        }
    }

    /// The scene, laid out in `size` layout units. Ids are those of the examples; what [`View::search`] finds and what is in
    /// [`View::selected`] is brought out.
    ///
    /// # Errors
    /// [`Error::Empty`] without examples, [`Error::Shape`] and [`Error::NotFinite`] for what does not fit together.
    pub fn scene(&self, view: &View, size: [f32; 2]) -> Result<Scene, Error> {
        self.check()?;
        let examples = self.confidence.len();
        let colors = view.colors();
        // Examples have no head; any selection is one of examples.
        let head = view.selected.head().unwrap_or(attn_core::HeadId {
            attention: attn_core::Attention::EncoderSelf,
            layer: 0,
            head: 0,
        });
        let (marked, matches) = marks(view, head, self.labels, examples, examples);
        let mut legend = vec![Entry::Ramp(
            colors.diverging,
            "share of the epochs in which it was right".into(),
            "1".into(),
            "0".into(),
        )];
        legend.extend(mark_entries(view, &matches));
        let page = Page {
            title: self.title,
            subtitle: self.subtitle,
            legend,
            caption: self.caption,
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
        let crowd = density(Coordinates::new(&places, 2)?, frame.plot.width() * frame.plot.height());
        let radius = radius_at(crowd);
        let point_opacity = opacity_at(crowd, radius);
        let panel = scene.add_panel(Panel {
            title: self.title.to_owned(),
            point_radius: radius,
            point_opacity,
            // Points on the axes are not cut in half.
            ..Panel::page(frame.plot.shrink(-4.0), Motion::Fixed)
        });
        let mut points = [Vec::with_capacity(examples), Vec::new()];
        for i in 0..examples {
            let color = colors.diverging.at(1.0 - self.correctness[i]);
            let id = u32::try_from(i).unwrap_or(Point::UNPICKABLE);
            let shown = marked.get(i).copied();
            let point = Point::new(panel, [places[2 * i], places[2 * i + 1], 0.0], color, id)
                .sized(if shown == Some(true) { 1.7 } else { 1.0 })
                .dimmed(shown == Some(false));
            points[usize::from(shown == Some(true))].push(point);
        }
        let [others, brought_out] = points;
        add_points(&mut scene, &mut layer, blending(point_opacity), others, brought_out);
        let [left, right] = [0.02 * most, 0.98 * most];
        for (name, at, align) in [
            ("easy", [left, 0.97], 0.0),
            ("hard", [left, 0.03], 0.0),
            ("ambiguous", [right, 0.5], 1.0),
        ] {
            let mut label = Label::new(panel, frame.place(at), name, 11.0, colors.text);
            label.halo = Some(colors.background);
            layer.labels.push(label.aligned(align, 0.5).bold());
        }
        scene.layers.push(layer);
        Ok(scene)
    }

    /// What everything drawn relies on.
    pub(super) fn check(&self) -> Result<(), Error> {
        let examples = self.confidence.len();
        if examples == 0 {
            return Err(Error::Empty { what: "the data map" });
        }
        for (what, values) in [
            ("confidence of examples", self.confidence),
            ("variability of examples", self.variability),
            ("correctness of examples", self.correctness),
        ] {
            check_len(what, examples, values.len())?;
            check_finite(what, values)?;
        }
        if !self.labels.is_empty() {
            check_len("labels of examples", examples, self.labels.len())?;
        }
        Ok(())
    }
}
