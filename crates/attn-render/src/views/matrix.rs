//! Every head of every layer as a small scatter plot: layers top to bottom, heads left to right
//! (AttentionViz, Yeh et al. 2023, the matrix view).

use attn_core::{Attention, HeadId};

use super::{
    page::Page,
    points::{ColorBy, Coordinates, PointColors, check_points, density, drawing_order, opacity_at, radius_at},
};
use crate::{Axes, Block, Error, Label, Layer, Motion, Panel, Point, Rect, Scene, Shape, View};

/// One head of a [`Matrix`].
#[derive(Debug, Clone)]
pub struct MatrixPanel<'a> {
    /// Which head.
    pub head: HeadId,
    /// Its points: all queries, then all keys.
    pub coordinates: Coordinates<'a>,
    /// How many of them are queries.
    pub queries: usize,
    /// A value per point, for [`ColorMode::Value`](crate::ColorMode::Value).
    pub values: Option<&'a [f32]>,
    /// A few characters under the plot, for example `ρ −0.94`; may be empty.
    pub note: String,
}

/// The matrix of all heads.
///
/// ```
/// use attn_core::{Attention, HeadId};
/// use attn_render::{View, views::{Coordinates, Matrix, MatrixPanel}};
///
/// let points = [0.0, 0.0, 1.0, 1.0, 0.5, 0.2, 0.1, 0.9];
/// let panel = |head| -> Result<_, attn_render::Error> {
///     Ok(MatrixPanel {
///         head: HeadId::new(Attention::EncoderSelf, 0, head),
///         coordinates: Coordinates::new(&points, 2)?,
///         queries: 2,
///         values: None,
///         note: String::new(),
///     })
/// };
/// let matrix = Matrix { title: "tiny-bert", panels: vec![panel(0)?, panel(1)?], ..Matrix::default() };
/// let scene = matrix.scene(&View::default(), matrix.natural_size())?;
/// assert_eq!(scene.layers[1].points.len(), 8);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Matrix<'a> {
    /// In bold above everything.
    pub title: &'a str,
    /// Under the title, in small print; may be empty.
    pub subtitle: &'a str,
    /// Under the plots. The default says what is seen.
    pub caption: &'a str,
    /// The heads, in any order; places without one stay empty.
    pub panels: Vec<MatrixPanel<'a>>,
    /// What the values of the points are.
    pub color_by: Option<ColorBy<'a>>,
}

impl Default for Matrix<'_> {
    fn default() -> Self {
        Self {
            title: "",
            subtitle: "",
            caption: "Each plot is one attention head: its queries and keys projected together, so that nearness \
                      stands for attention. Rows are layers, columns are heads.",
            panels: Vec::new(),
            color_by: None,
        }
    }
}

/// The matrix' rows and columns, and where its plots go.
struct Grid {
    rows: Vec<(Attention, usize)>,
    columns: Vec<usize>,
    left: f32,
    top: f32,
    side: f32,
    gap: f32,
    /// Height under each plot for its note.
    note: f32,
}

/// Room for the names of rows and columns.
const NAMES: [f32; 2] = [26.0, 16.0];
/// Between plots, as a fraction of their side.
const GAP: f32 = 0.07;

/// Font size of the notes under plots of a side.
fn note_size(side: f32) -> f32 {
    (0.105 * side).clamp(6.2, 9.0)
}

/// Height that a note takes.
fn note_height(side: f32) -> f32 {
    1.4 * note_size(side)
}

impl Matrix<'_> {
    /// A size at which the plots are as large as is usual in a paper: larger for few heads.
    pub fn natural_size(&self) -> [f32; 2] {
        let (rows, columns) = self.rows_and_columns();
        let most = rows.len().max(columns.len()).max(1) as f32;
        let side = (1150.0 / most).clamp(84.0, 200.0);
        let note = if self.has_notes() { note_height(side) } else { 0.0 };
        let pitch = (1.0 + GAP) * side;
        let width = (columns.len() as f32 * pitch + NAMES[0] + 56.0).max(480.0);
        let height = rows.len() as f32 * (pitch + note) + NAMES[1] + 162.0;
        [width.ceil(), height.ceil()]
    }

    /// The scene, laid out in `size` layout units.
    ///
    /// # Errors
    /// [`Error::Empty`] without panels or points, [`Error::Shape`] and [`Error::NotFinite`] for what does not fit
    /// together.
    pub fn scene(&self, view: &View, size: [f32; 2]) -> Result<Scene, Error> {
        if self.panels.is_empty() {
            return Err(Error::Empty { what: "the matrix" });
        }
        if self.panels.len() > usize::from(u16::MAX) - 2 {
            let expected = "at most 65,533 heads".to_owned();
            return Err(Error::Shape {
                what: "panels of the matrix",
                expected,
                found: self.panels.len().to_string(),
            });
        }
        for panel in &self.panels {
            check_points(panel.coordinates, panel.queries, panel.values)?;
        }
        let colors = view.colors();
        let point_colors = PointColors::new(view, self.color_by, self.panels.iter().filter_map(|panel| panel.values))?;
        let page = Page {
            title: self.title,
            subtitle: self.subtitle,
            legend: point_colors.legend(),
            caption: self.caption,
        };
        let (mut scene, content) = page.start(size, &colors)?;
        scene.stage = content;
        let grid = self.grid(content);
        // Frames and names move with the plots.
        let ground = scene.add_panel(Panel::page(content, Motion::Stage));
        let mut layer = Layer::default();
        let name_size = (0.13 * grid.side).clamp(6.5, 11.0);
        let name = |position, text: String| {
            let mut label = Label::new(ground, position, text, name_size, colors.muted);
            label.grows = 1.5;
            label
        };
        let several = grid.rows.iter().any(|(attention, _)| *attention != grid.rows[0].0);
        for (row, (attention, index)) in grid.rows.iter().enumerate() {
            let kind = match attention {
                _ if !several => "",
                Attention::EncoderSelf => "e",
                Attention::DecoderSelf => "d",
                Attention::Cross => "×",
            };
            let at = [grid.left - 6.0, grid.cell(row, 0).center()[1]];
            layer.labels.push(name(at, format!("{kind}L{index}")).aligned(1.0, 0.5));
        }
        for (column, index) in grid.columns.iter().enumerate() {
            let at = [grid.cell(0, column).center()[0], grid.top - 3.0];
            layer.labels.push(name(at, format!("H{index}")).aligned(0.5, 1.0));
        }
        let points: usize = self.panels.iter().map(|panel| panel.coordinates.len()).sum();
        let mut drawn: Vec<Point> = Vec::with_capacity(points);
        // One size for all plots, so that they can be compared: that of the median one.
        let crowds: Vec<f32> = self
            .panels
            .iter()
            .map(|panel| density(panel.coordinates, grid.side * grid.side))
            .collect();
        let mut sorted = crowds.clone();
        sorted.sort_by(f32::total_cmp);
        let point_radius = radius_at(sorted[sorted.len() / 2]);
        for (panel, crowd) in self.panels.iter().zip(&crowds) {
            let row = grid
                .rows
                .iter()
                .position(|row| *row == (panel.head.attention, panel.head.layer));
            let column = grid.columns.iter().position(|column| *column == panel.head.head);
            let (Some(row), Some(column)) = (row, column) else {
                continue;
            };
            let cell = grid.cell(row, column);
            layer
                .blocks
                .push(Block::filled(ground, cell, colors.panel).stroked(colors.frame, 0.7));
            if !panel.note.is_empty() {
                let at = [cell.center()[0], cell.max[1] + 1.0];
                let size = note_size(grid.side);
                let mut note = Label::new(ground, at, panel.note.as_str(), size, colors.muted);
                note.grows = 1.5;
                layer.labels.push(note.aligned(0.5, 0.0));
            }
            // Names inside the plots, once there is room.
            let mut inside = Label::new(ground, cell.min, panel.head.to_string(), 10.0, colors.text).bold();
            inside.visible_from = (170.0 / grid.side).max(1.2);
            inside.offset = [6.0, 4.0];
            inside.halo = Some(colors.panel);
            layer.labels.push(inside);

            let index = scene.add_panel(Panel {
                head: Some(panel.head),
                title: panel.head.to_string(),
                rect: cell,
                bounds: panel.coordinates.bounds().pad(0.04),
                axes: if panel.coordinates.dims() == 3 {
                    Axes::Space
                } else {
                    Axes::Plane
                },
                motion: Motion::Stage,
                point_radius,
                point_opacity: opacity_at(*crowd, point_radius),
            });
            drawn.extend(drawing_order(panel.coordinates.len(), panel.queries).map(|i| {
                let query = i < panel.queries;
                let color = point_colors.color(query, panel.values.map(|values| values[i]));
                let id = u32::try_from(i).unwrap_or(Point::UNPICKABLE);
                let shape = if query { Shape::Disc } else { Shape::Diamond };
                Point::new(index, panel.coordinates.get(i), color, id).shaped(shape)
            }));
        }
        layer.points.extend(drawn);
        scene.layers.push(layer);
        Ok(scene)
    }

    fn has_notes(&self) -> bool {
        self.panels.iter().any(|panel| !panel.note.is_empty())
    }

    fn rows_and_columns(&self) -> (Vec<(Attention, usize)>, Vec<usize>) {
        let mut rows: Vec<_> = self
            .panels
            .iter()
            .map(|panel| (panel.head.attention, panel.head.layer))
            .collect();
        let mut columns: Vec<_> = self.panels.iter().map(|panel| panel.head.head).collect();
        rows.sort_unstable();
        rows.dedup();
        columns.sort_unstable();
        columns.dedup();
        (rows, columns)
    }

    fn grid(&self, content: Rect) -> Grid {
        let (rows, columns) = self.rows_and_columns();
        let (across, down) = (columns.len() as f32, rows.len() as f32);
        let note = |side: f32| if self.has_notes() { note_height(side) } else { 0.0 };
        // In units of one plot's side, without the notes.
        let width = across + GAP * (across - 1.0);
        let height = down + GAP * (down - 1.0);
        let room = [content.width() - NAMES[0] - 2.0, content.height() - NAMES[1] - 2.0];
        let largest = (room[0] / width).min(room[1] / height);
        let side = largest.min((room[1] - down * note(largest)) / height).max(2.0);
        let left = content.min[0] + NAMES[0] + 0.5 * (room[0] - side * width).max(0.0);
        let spare = room[1] - side * height - down * note(side);
        let top = content.min[1] + NAMES[1] + (0.5 * spare).clamp(0.0, 10.0);
        let (gap, note) = (GAP * side, note(side));
        Grid {
            rows,
            columns,
            left,
            top,
            side,
            gap,
            note,
        }
    }
}

impl Grid {
    fn cell(&self, row: usize, column: usize) -> Rect {
        let left = self.left + column as f32 * (self.side + self.gap);
        let top = self.top + row as f32 * (self.side + self.note + self.gap);
        Rect::new(left, top, self.side, self.side)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Projection;

    fn panel(layer: usize, head: usize, values: &[f32]) -> MatrixPanel<'_> {
        MatrixPanel {
            head: HeadId::new(Attention::DecoderSelf, layer, head),
            coordinates: Coordinates::new(values, 2).unwrap(),
            queries: values.len() / 4,
            values: None,
            note: String::new(),
        }
    }

    #[test]
    fn layers_go_down_and_heads_go_right_with_holes_left_open() {
        let points: Vec<f32> = (0..40_u8).map(f32::from).collect();
        let matrix = Matrix {
            panels: vec![panel(5, 2, &points), panel(0, 0, &points), panel(5, 0, &points)],
            ..Matrix::default()
        };
        let scene = matrix.scene(&View::default(), [500.0, 500.0]).unwrap();
        let rect = |layer, head| {
            scene.panels[scene
                .panel_of(HeadId::new(Attention::DecoderSelf, layer, head))
                .unwrap()]
            .rect
        };
        assert!(rect(5, 0).min[1] > rect(0, 0).max[1] && rect(5, 0).min[0] == rect(0, 0).min[0]);
        assert!(rect(5, 2).min[0] > rect(5, 0).max[0] && rect(5, 2).min[1] == rect(5, 0).min[1]);
        assert_eq!(scene.panel_of(HeadId::new(Attention::DecoderSelf, 0, 2)), None);
        assert_eq!(scene.layers[1].points.len(), 60);
    }

    #[test]
    fn every_point_lies_in_its_plot() {
        let points: Vec<f32> = (0..80_u8).map(|i| f32::from(i % 13) * f32::from(i)).collect();
        let matrix = Matrix {
            panels: (0..6).map(|i| panel(i / 3, i % 3, &points)).collect(),
            ..Matrix::default()
        };
        let scene = matrix.scene(&View::default(), matrix.natural_size()).unwrap();
        let projection = Projection::new(&scene, &View::default(), scene.size);
        for point in scene.layers[1].points.iter() {
            let place = projection.panels[point.panel()];
            let [x, y, _] = place.px_from_data.apply(point.position);
            assert!(place.rect.contains([x, y]) && place.clip == place.rect);
        }
    }

    #[test]
    fn bad_data_is_refused() {
        let view = View::default();
        assert!(matches!(
            Matrix::default().scene(&view, [100.0; 2]),
            Err(Error::Empty { .. })
        ));
        let mut bad = panel(0, 0, &[0.0; 8]);
        bad.queries = 9;
        let matrix = Matrix {
            panels: vec![bad],
            ..Matrix::default()
        };
        assert!(matches!(matrix.scene(&view, [100.0; 2]), Err(Error::Shape { .. })));
    }
}
