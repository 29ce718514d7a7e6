//! A plain scatter plot: points of any kind, with axes where they mean something.

use std::sync::Arc;

use super::{
    kit::{
        ColorBy, Coordinates, Crowd, Frame, Page, PointColors, Texts, add_points, check_points, drawing_order,
        highlighted, highlights, range, thinned, thinning_note,
    },
    tables::{push_coordinates, push_values, value_line},
};
use crate::{
    Plot, Result, Scene, Table, Target, ViewState,
    error::check_len,
    plot::Tooltip,
    scene::{Axes, Block, Label, Layer, Motion, Panel, Placement, Point},
    text::shorten,
};

/// Up to so many points, labels leave the points of others free, and are cut so that more of them fit.
const FEW: usize = 5_000;
/// Font size of labels, and their width where they are cut.
const LABEL: f32 = 9.5;
const WIDE: f32 = 170.0;

/// Points with labels, and values or classes of your own as colors.
///
/// ```
/// use attn_render::{Plot, ViewState, plots::{ColorBy, Coordinates, Scatter}};
///
/// let scatter = Scatter {
///     title: "Models".into(),
///     axes: Some(["parameters (millions)".into(), "loss".into()]),
///     labels: ["tiny", "small", "base"].into(),
///     values: Some([0.0, 1.0, 1.0].into()),
///     color_by: Some(ColorBy::classes("kind", ["encoder", "decoder"])),
///     ..Scatter::new(Coordinates::new([4.0, 3.1, 29.0, 2.4, 110.0, 1.9], 2)?)
/// };
/// let scene = scatter.scene(&ViewState::default(), scatter.natural_size())?;
/// assert_eq!(scene.layers[1].points.len(), 3);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scatter {
    /// In bold above everything; may be empty.
    pub title: String,
    /// Under the title, in small print; may be empty.
    pub subtitle: String,
    /// Under the plot; may be empty.
    pub caption: String,
    /// The points, in the plane or in space.
    pub coordinates: Coordinates,
    /// Names of the horizontal and the vertical axis. `None`, the default, for places that mean nothing but nearness: the plot
    /// has no axes, keeps its proportions, and can be zoomed. Points in space have no axes.
    pub axes: Option<[String; 2]>,
    /// A label per point; empty for none. A search looks in them.
    pub labels: Texts,
    /// A value per point, drawn as its color; NaN, where there is none, is grey.
    pub values: Option<Arc<[f32]>>,
    /// What the values are; `None` draws them from little to much.
    pub color_by: Option<ColorBy>,
}

/// How much larger highlighted points are.
const HIGHLIGHTED: f32 = 1.7;

impl Scatter {
    /// A plot with nothing but its points.
    pub fn new(coordinates: Coordinates) -> Self {
        Self {
            title: String::new(),
            subtitle: String::new(),
            caption: String::new(),
            coordinates,
            axes: None,
            labels: Texts::default(),
            values: None,
            color_by: None,
        }
    }

    fn check(&self) -> Result<()> {
        check_points(&self.coordinates, 0, self.values.as_deref())?;
        if !self.labels.is_empty() {
            check_len("labels of points", self.coordinates.len(), self.labels.len())?;
        }
        Ok(())
    }

    /// The points as the panel has them: on axes, places on the page.
    fn places(
        &self,
        layer: &mut Layer,
        content: crate::geometry::Rect,
        state: &ViewState,
    ) -> Result<(Coordinates, Panel)> {
        let page = Panel::page(content.shrink(1.0), Motion::Inside);
        let space = self.coordinates.dims() == 3;
        let Some(axes) = self.axes.as_ref().filter(|_| !space) else {
            let panel = Panel {
                bounds: self.coordinates.bounds().pad(if space { 0.02 } else { 0.06 }),
                axes: if space { Axes::Space } else { Axes::Plane },
                ..page
            };
            return Ok((self.coordinates.clone(), panel));
        };
        let along = |axis: usize| range(self.coordinates.iter().map(|point| point[axis]));
        let names = [axes[0].as_str(), axes[1].as_str()];
        let frame = Frame::draw(layer, content, [along(0), along(1)], names, &state.colors());
        let places: Vec<f32> = self
            .coordinates
            .iter()
            .flat_map(|[x, y, _]| frame.place([x, y]))
            .collect();
        // Points on the axes are not cut in half.
        let panel = Panel::page(frame.plot.shrink(-4.0), Motion::Fixed);
        Ok((Coordinates::new(places, 2)?, panel))
    }
}

impl Plot for Scatter {
    /// The scene, laid out in `size` layout units. Ids count the points. What the search finds and what is selected is
    /// highlighted.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        self.check()?;
        let colors = state.colors();
        let points = self.coordinates.len();
        let point_colors =
            PointColors::new(state, self.color_by.as_ref(), self.values.as_deref().into_iter())?.without_roles();
        let (marked, matches) = highlighted(state, None, &self.labels, points, points);
        let mut legend = point_colors.legend();
        legend.extend(highlights(state, &matches));
        let part = thinned(&self.coordinates, points, size[0] * size[1], &marked)?;
        let mut caption = self.caption.clone();
        if let Some((_, drawn)) = &part {
            caption.push_str(&thinning_note(*drawn, points));
        }
        let page = Page {
            title: &self.title,
            subtitle: &self.subtitle,
            legend,
            caption: caption.trim_start(),
        };
        let (mut scene, content) = page.start(size, &colors)?;
        scene.stage = content;
        let mut layer = Layer::default();
        let (places, panel) = self.places(&mut layer, content, state)?;
        if panel.motion == Motion::Inside {
            let ground = Block::filled(0, content, colors.panel).stroked(colors.frame, 0.7);
            scene.layers[0].blocks.push(ground.rounded(2.0));
        }
        let side = panel.rect.width().min(panel.rect.height());
        let crowd = Crowd::new(&places, side * side);
        let panel = scene.add_panel(Panel {
            title: self.title.clone(),
            point_radius: crowd.radius,
            point_opacity: crowd.opacity,
            ..panel
        });
        let mut drawn = [Vec::with_capacity(points), Vec::new()];
        for i in drawing_order(&places, points, self.values.as_deref(), crowd.blending) {
            if part.as_ref().is_some_and(|(kept, _)| !kept[i]) {
                continue;
            }
            let shown = marked.get(i).copied();
            let value = self.values.as_ref().map(|values| values[i]);
            let id = u32::try_from(i).unwrap_or(Point::UNPICKABLE);
            let hidden = point_colors.is_hidden(value);
            let size = if shown == Some(true) { HIGHLIGHTED } else { 1.0 };
            let point = Point::new(panel, places.get(i), point_colors.color(true, value), id)
                .sized(size)
                .dimmed(shown == Some(false))
                .hidden(hidden);
            drawn[usize::from(shown == Some(true))].push(point);
            if let Some(text) = self.labels.get(i).filter(|_| shown != Some(false) && !hidden) {
                let text = match points <= FEW && shown.is_none() {
                    true => shorten(text, LABEL, false, WIDE).into(),
                    false => text.clone(),
                };
                layer.labels.push(Label {
                    position: places.get(i),
                    offset: [size * crowd.radius + 3.5, 0.0],
                    halo: Some(colors.panel),
                    placement: Placement::Floating {
                        priority: f32::from(u8::from(shown == Some(true))),
                        // A label keeps less from others than from its own point.
                        margin: match shown {
                            Some(true) => 1.5,
                            _ if points <= FEW => 2.5,
                            _ => 6.0,
                        },
                        // Points are seen where there are few.
                        clear: if points <= FEW { crowd.radius } else { 0.0 },
                    },
                    ..Label::new(panel, [0.0; 2], text, LABEL, colors.text)
                });
            }
        }
        let [others, front] = drawn;
        add_points(&mut scene, &mut layer, crowd.blending, others, front);
        scene.layers.push(layer);
        Ok(scene)
    }

    /// A row per point: its number, coordinates, and label and value if there are any.
    fn table(&self, _: &ViewState) -> Result<Table> {
        self.check()?;
        let mut table = Table::new(self.coordinates.len());
        table.numbers("id", |point| point);
        match self.axes.as_ref().filter(|_| self.coordinates.dims() == 2) {
            Some([across, up]) => {
                table.numbers(across.as_str(), |point| self.coordinates.get(point)[0]);
                table.numbers(up.as_str(), |point| self.coordinates.get(point)[1]);
            }
            None => push_coordinates(&mut table, self.coordinates.dims(), |point| (&self.coordinates, point)),
        }
        if !self.labels.is_empty() {
            table.texts("label", |point| &*self.labels[point]);
        }
        if let Some(values) = &self.values {
            push_values(&mut table, self.color_by.as_ref(), |point| Some(values[point]));
        }
        Ok(table)
    }

    fn natural_size(&self) -> [f32; 2] {
        [640.0, 560.0]
    }

    /// Label and value of a point.
    fn tooltip(&self, target: Target) -> Option<Tooltip> {
        let point = target.id()? as usize;
        let label = self.labels.get(point).map_or("", |label| &**label);
        let value = self.values.as_ref().and_then(|values| values.get(point));
        let tooltip = Tooltip::new(label);
        match value {
            Some(value) => Some(tooltip.line(value_line(self.color_by.as_ref(), *value))),
            None => (!label.is_empty()).then_some(tooltip),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Error, Pick,
        state::{ColorChoice, Shared},
    };

    fn scatter() -> Scatter {
        Scatter {
            labels: ["a", "b", "c", "d"].into(),
            values: Some([0.0, 1.0, 1.0, f32::NAN].into()),
            color_by: Some(ColorBy::classes("kind", ["one", "two"])),
            ..Scatter::new(Coordinates::new([0.0, 5.0, 10.0, 7.0, 4.0, 6.0, 2.0, 5.5], 2).unwrap())
        }
    }

    #[test]
    fn values_are_drawn_without_a_mode_and_roles_are_never_named() {
        let scatter = scatter();
        let state = ViewState::default();
        let scene = scatter.scene(&state, scatter.natural_size()).unwrap();
        let said = |text: &str| scene.layers[0].labels.iter().any(|label| label.text.contains(text));
        assert!(said("kind:") && said("two") && !said("queries") && !said("keys"));
        let color = |id: u32| {
            scene.layers[1]
                .points
                .iter()
                .find(|point| point.id == id)
                .unwrap()
                .color
        };
        assert_eq!([color(0), color(2)], [0, 1].map(|class| state.colors().class(class)));
        assert_eq!(color(3), state.colors().muted, "no value");
        assert!(scene.panels.iter().all(|panel| panel.head.is_none()));
        let plain = ViewState::from(Shared {
            color: ColorChoice::Role,
            ..Shared::default()
        });
        let scene = scatter.scene(&plain, [400.0; 2]).unwrap();
        assert!(
            scene.layers[1]
                .points
                .iter()
                .all(|point| point.color == plain.colors().query)
        );
    }

    #[test]
    fn axes_hold_every_point_and_name_the_columns() {
        let scatter = Scatter {
            axes: Some(["size".into(), "loss".into()]),
            ..scatter()
        };
        let scene = scatter.scene(&ViewState::default(), [500.0, 400.0]).unwrap();
        let panel = &scene.panels[1];
        assert!(scene.layers[1].points.iter().all(|point| {
            let [x, y, _] = point.position;
            panel.rect.contains([x, y])
        }));
        let csv = scatter.table(&ViewState::default()).unwrap().to_csv();
        assert_eq!(
            csv.lines().take(2).collect::<Vec<_>>(),
            ["id,size,loss,label,kind", "0,0,5,a,one"]
        );
    }

    #[test]
    fn points_say_what_they_are() {
        let target = |id| Target::Point(Pick { head: None, id });
        let scatter = scatter();
        assert_eq!(scatter.tooltip(target(1)).unwrap().text(), "b, kind: two");
        assert_eq!(scatter.tooltip(target(3)).unwrap().text(), "d, kind: none");
        assert_eq!(scatter.tooltip(target(9)), None);
        let search = ViewState::from(Shared {
            search: "c".into(),
            ..Shared::default()
        });
        let scene = scatter.scene(&search, [400.0; 2]).unwrap();
        let bright = scene.layers[1].points.iter().filter(|point| !point.is_dimmed());
        assert_eq!(bright.map(|point| point.id).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn bad_data_is_refused() {
        let short = Scatter {
            labels: ["a"].into(),
            ..scatter()
        };
        assert!(matches!(
            short.scene(&ViewState::default(), [300.0; 2]),
            Err(Error::Shape { .. })
        ));
        let none = Scatter::new(Coordinates::new([0.0; 0], 2).unwrap());
        assert!(matches!(none.table(&ViewState::default()), Err(Error::Empty { .. })));
    }
}
