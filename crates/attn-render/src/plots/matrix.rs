//! Every head of every layer as a small scatter plot: layers top to bottom, heads left to right
//! (AttentionViz, Yeh et al. 2023, the matrix view).

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use attn_core::HeadId;

use super::{
    head_layout::{HeadLayout, names_note, natural_size},
    kit::{
        ColorBy, Coordinates, Page, PointColors, Roles, Texts, add_points, check_points, crowd, drawing_order,
        highlighted, highlights, thinned, thinning_note,
    },
    tables::{TokenOrigin, push_coordinates, push_heads, push_origins, push_values, role},
};
use crate::{
    Color, Error, Matches, Plot, Result, Scene, Table, ViewState,
    color::Colors,
    error::check_len,
    geometry::Rect,
    scene::{Axes, Block, Label, Layer, Motion, Panel, Point, Shape},
    text::{shorten, text_width, wrap},
};

/// One head of a [`Matrix`].
#[derive(Debug, Clone)]
pub struct MatrixPanel {
    /// Which head.
    pub head: HeadId,
    /// Its points: all queries, then all keys.
    pub coordinates: Coordinates,
    /// How many of them are queries.
    pub queries: usize,
    /// A value per point. It is drawn unless the state asks for [roles](crate::state::ColorChoice::Role); NaN, where there is none,
    /// is grey.
    pub values: Option<Arc<[f32]>>,
    /// A label per point; empty for none. Panels may share them.
    pub labels: Texts,
    /// What [`Shared::search`](crate::state::Shared::search) looks in, a text per point; empty, the default, for the labels. Panels
    /// that share it are searched once.
    pub searched: Texts,
    /// Which points are not drawn, a flag per point; empty for none. Panels may share one slice.
    pub hidden: Arc<[bool]>,
    /// Which token each point is, for tables; empty, the default, for unknown.
    pub origins: Arc<[TokenOrigin]>,
    /// A few characters under the plot, for example `ρ −0.94`; may be empty. Where it is wider than the plot, it is broken at
    /// [`NOTE_BREAK`].
    pub note: String,
    /// How strongly its frame is drawn, from 0 to 1: a score that the plots are compared by. `None`, the default, for a plain
    /// frame.
    pub strength: Option<f32>,
}

/// Separates the parts of a [note](MatrixPanel::note).
pub const NOTE_BREAK: &str = " · ";

/// The matrix of all heads.
///
/// ```
/// use attn_core::{Attention, HeadId};
/// use attn_render::{Plot, ViewState, plots::{Coordinates, Matrix, MatrixPanel}};
///
/// let points = Coordinates::new([0.0, 0.0, 1.0, 1.0, 0.5, 0.2, 0.1, 0.9], 2)?;
/// let panel = |head| MatrixPanel::new(HeadId::new(Attention::EncoderSelf, 0, head), points.clone(), 2);
/// let matrix = Matrix { title: "tiny-bert".into(), panels: vec![panel(0), panel(1)], ..Matrix::default() };
/// let scene = matrix.scene(&ViewState::default(), matrix.natural_size())?;
/// assert_eq!(scene.layers[1].points.len(), 8);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Matrix {
    /// In bold above everything.
    pub title: String,
    /// Under the title, in small print; may be empty.
    pub subtitle: String,
    /// Under the plots. The default says what is seen. Where there are several attentions, what names of rows mean follows.
    pub caption: String,
    /// The heads, in any order; places without one stay empty.
    pub panels: Vec<MatrixPanel>,
    /// Heads whose points are still to come: each has an empty frame, so that the others keep their places.
    pub pending: Vec<HeadId>,
    /// Heads that the model does not have, where other layers have one ([`ModelInfo::holes`](attn_core::ModelInfo::holes)):
    /// their places say so.
    pub absent: Vec<HeadId>,
    /// A word or two on heads, such as their roles: inside their plots, or in the empty frames. Long ones are cut.
    pub roles: BTreeMap<HeadId, String>,
    /// What the values of the points are.
    pub color_by: Option<ColorBy>,
}

impl MatrixPanel {
    /// A panel with nothing but its points.
    pub fn new(head: HeadId, coordinates: Coordinates, queries: usize) -> Self {
        Self {
            head,
            coordinates,
            queries,
            values: None,
            labels: Texts::default(),
            searched: Texts::default(),
            hidden: Arc::default(),
            origins: Arc::default(),
            note: String::new(),
            strength: None,
        }
    }

    /// What a search looks in.
    fn looked_in(&self) -> &Texts {
        if self.searched.is_empty() {
            &self.labels
        } else {
            &self.searched
        }
    }
}

impl Default for Matrix {
    fn default() -> Self {
        Self {
            title: String::new(),
            subtitle: String::new(),
            caption:
                "Each plot is one attention head: queries and keys in a joint projection. Rows are layers, columns are \
                      heads."
                    .into(),
            panels: Vec::new(),
            pending: Vec::new(),
            absent: Vec::new(),
            roles: BTreeMap::new(),
            color_by: None,
        }
    }
}

/// Size factor of highlighted points.
const BROUGHT_OUT: f32 = 1.7;

/// Plots of a smaller side, in layout units, do not name roles.
const ROLE_FROM: f32 = 26.0;
/// Lines of a role where its plot is too narrow for one, from this side on: smaller plots must not be covered.
const ROLE_LINES: usize = 2;
const ROLE_LINES_FROM: f32 = 44.0;

/// Font size of the notes under plots of a side.
fn note_size(side: f32) -> f32 {
    (0.105 * side).clamp(6.2, 9.0)
}

/// A role on one line, or on as many as it may have, broken between words and cut where that is not enough.
fn role_lines(role: &str, size: f32, width: f32) -> Vec<String> {
    let mut lines = wrap(role, size, width);
    if lines.len() > ROLE_LINES {
        let rest = lines.split_off(ROLE_LINES - 1).join(" ");
        lines.push(rest);
    }
    lines.iter().map(|line| shorten(line, size, false, width)).collect()
}

/// The lines of a note under a plot of a side: as many parts on each as fit.
fn note_lines(note: &str, side: f32) -> Vec<String> {
    let (size, mut lines) = (note_size(side), Vec::<String>::new());
    for part in note.split(NOTE_BREAK).filter(|part| !part.is_empty()) {
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line}{NOTE_BREAK}{part}"), size, false) <= (1.0 + NOTE_OVER) * side => {
                line.push_str(NOTE_BREAK);
                line.push_str(part);
            }
            _ => lines.push(part.to_owned()),
        }
    }
    lines
}

/// What a note may be wider than its plot, as a share: a part of the gap to the next.
const NOTE_OVER: f32 = 0.06;

/// The frame of a plot by its strength: its color and width.
fn frame(strength: Option<f32>, colors: &Colors) -> (Color, f32) {
    let strength = strength
        .filter(|strength| strength.is_finite())
        .unwrap_or(0.0)
        .clamp(0.0, 1.0);
    (colors.frame.mix(colors.text, strength), 0.7 + 1.3 * strength)
}

impl Matrix {
    /// What everything drawn relies on.
    fn check(&self) -> Result<()> {
        if self.heads().next().is_none() {
            return Err(Error::Empty { what: "the matrix" });
        }
        if self.places().count() > usize::from(u16::MAX) - 2 {
            let expected = "at most 65,533 heads".to_owned();
            return Err(Error::Shape {
                what: "panels of the matrix",
                expected,
                found: self.panels.len().to_string(),
            });
        }
        for panel in &self.panels {
            check_points(&panel.coordinates, panel.queries, panel.values.as_deref())?;
            if !panel.labels.is_empty() {
                check_len("labels of points", panel.coordinates.len(), panel.labels.len())?;
            }
            if !panel.searched.is_empty() {
                check_len(
                    "searched texts of points",
                    panel.coordinates.len(),
                    panel.searched.len(),
                )?;
            }
            if !panel.hidden.is_empty() {
                check_len("hidden points", panel.coordinates.len(), panel.hidden.len())?;
            }
        }
        Ok(())
    }

    /// Per panel, which points a search or a selection highlights, and the search matches. Panels that share their
    /// labels are searched once.
    fn marks(&self, state: &ViewState) -> Vec<(Rc<Vec<bool>>, Rc<Matches>)> {
        let mut all: Vec<(Rc<Vec<bool>>, Rc<Matches>)> = Vec::with_capacity(self.panels.len());
        for (index, panel) in self.panels.iter().enumerate() {
            let same = index
                .checked_sub(1)
                .map(|before| &self.panels[before])
                .filter(|before| {
                    before.looked_in().same(panel.looked_in())
                        && (before.coordinates.len(), before.queries) == (panel.coordinates.len(), panel.queries)
                        && before.head.attention == panel.head.attention
                });
            all.push(match (same, all.last()) {
                (Some(_), Some(before)) => before.clone(),
                _ => {
                    let points = panel.coordinates.len();
                    let (marked, matches) =
                        highlighted(state, Some(panel.head), panel.looked_in(), points, panel.queries);
                    (Rc::new(marked), Rc::new(matches))
                }
            });
        }
        all
    }

    /// What a search finds in one head of each kind of attention.
    fn matches(&self, all: &[(Rc<Vec<bool>>, Rc<Matches>)]) -> Matches {
        let mut seen = Vec::new();
        let mut sum = Matches::default();
        for (panel, (_, matches)) in self.panels.iter().zip(all) {
            if !seen.contains(&panel.head.attention) {
                seen.push(panel.head.attention);
                sum.queries += matches.queries;
                sum.keys += matches.keys;
            }
        }
        sum
    }

    /// Height of the notes under plots of a side.
    fn note(&self, side: f32) -> f32 {
        let lines = self
            .panels
            .iter()
            .map(|panel| note_lines(&panel.note, side).len())
            .max();
        (0.2 + 1.2 * lines.unwrap_or(0) as f32) * note_size(side) * f32::from(u8::from(lines > Some(0)))
    }

    fn heads(&self) -> impl Iterator<Item = HeadId> {
        let of_panels = self.panels.iter().map(|panel| panel.head);
        of_panels.chain(self.pending.iter().copied())
    }

    /// Everything that has a place in the grid.
    fn places(&self) -> impl Iterator<Item = HeadId> {
        self.heads().chain(self.absent.iter().copied())
    }

    /// What is said at places without a head: once for a layer that has none at all.
    fn absences(&self, grid: &HeadLayout, ground: u16, colors: &Colors) -> Vec<Label> {
        let mut absent = self.absent.clone();
        absent.sort_unstable();
        absent.dedup();
        let size = note_size(grid.side);
        let mut labels = Vec::new();
        for layer in absent.chunk_by(|a, b| (a.attention, a.layer) == (b.attention, b.layer)) {
            let same = |head: &HeadId| (head.attention, head.layer) == (layer[0].attention, layer[0].layer);
            let cells: Vec<Rect> = layer.iter().filter_map(|head| grid.cell_of(*head)).collect();
            let (places, word) = match (self.heads().any(|head| same(&head)), cells.as_slice()) {
                (false, [first, .., last]) => (
                    vec![Rect {
                        max: last.max,
                        ..*first
                    }],
                    "no attention",
                ),
                (false, _) => (cells, "no attention"),
                (true, _) => (cells, "no head"),
            };
            // A word that does not fit is left out.
            let fitting = places
                .iter()
                .filter(|place| text_width(word, size, false) <= place.width());
            labels.extend(fitting.map(|place| {
                let mut label = Label::new(ground, place.center(), word, size, colors.muted);
                label.grows = 1.5;
                label.aligned(0.5, 0.5)
            }));
        }
        labels
    }
}

impl Plot for Matrix {
    /// The scene, laid out in `size` layout units. What [`Shared::search`](crate::state::Shared::search) finds and what is in [`Shared::selected`](crate::state::Shared::selected) is brought
    /// out in every plot.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        self.check()?;
        let colors = state.colors();
        let point_colors = PointColors::new(
            state,
            self.color_by.as_ref(),
            self.panels.iter().filter_map(|panel| panel.values.as_deref()),
        )?
        .with_roles(Roles {
            queries: self.panels.iter().any(|panel| panel.queries > 0),
            keys: self.panels.iter().any(|panel| panel.queries < panel.coordinates.len()),
        });
        let marks = self.marks(state);
        let mut legend = point_colors.legend();
        legend.extend(highlights(state, &self.matches(&marks)));
        // Plots fill most of the layout; what a caption takes of it does not matter here.
        let area = size[0] * size[1] / self.places().count() as f32;
        let parts = (self.panels.iter().zip(&marks))
            .map(|(panel, (marked, _))| thinned(&panel.coordinates, panel.queries, area, marked))
            .collect::<Result<Vec<_>, _>>()?;
        let mut caption = format!("{}{}", self.caption, names_note(self.places()));
        if parts.iter().any(Option::is_some) {
            let drawn = self.panels.iter().zip(&parts).map(|(panel, part)| {
                let points = panel.coordinates.len();
                part.as_ref().map_or(points, |(_, count)| *count)
            });
            let points = self.panels.iter().map(|panel| panel.coordinates.len()).sum();
            caption.push_str(&thinning_note(drawn.sum(), points));
        }
        let page = Page {
            title: &self.title,
            subtitle: &self.subtitle,
            legend,
            caption: &caption,
        };
        let (mut scene, content) = page.start(size, &colors)?;
        scene.stage = content;
        let grid = HeadLayout::new(self.places(), content, f32::INFINITY, |side| self.note(side));
        // Frames and names move with the plots.
        let ground = scene.add_panel(Panel::page(content, Motion::Stage));
        let mut layer = Layer {
            labels: grid.names(ground, 0.13, &colors),
            ..Layer::default()
        };
        layer.labels.extend(self.absences(&grid, ground, &colors));
        let points: usize = self.panels.iter().map(|panel| panel.coordinates.len()).sum();
        let (mut others, mut brought_out): (Vec<Point>, _) = (Vec::with_capacity(points), Vec::new());
        // One size for all plots, so that they can be compared: that of the median one.
        let crowds: Vec<f32> = self
            .panels
            .iter()
            .map(|panel| crowd::density(&panel.coordinates, grid.side * grid.side))
            .collect();
        let mut sorted = crowds.clone();
        sorted.sort_by(f32::total_cmp);
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
        let point_radius = crowd::radius_at(median);
        let blending = crowd::blending(crowd::opacity_at(median, point_radius));
        let mut front = Layer::default();
        for cell in self.pending.iter().filter_map(|head| grid.cell_of(*head)) {
            layer
                .blocks
                .push(Block::filled(ground, cell, Color::TRANSPARENT).stroked(colors.frame, 0.7));
        }
        // Not in the plots of heads that are too small to read it.
        for (head, role) in self.roles.iter().filter(|_| grid.side >= ROLE_FROM) {
            let Some(cell) = grid.cell_of(*head) else { continue };
            let size = (0.075 * grid.side).clamp(6.5, 9.5);
            let waiting = self.pending.contains(head);
            let edge = (0.055 * grid.side).min(4.0);
            let room = cell.width() - 2.0 * edge;
            let lines = match grid.side >= ROLE_LINES_FROM {
                true => role_lines(role, size, room),
                false => vec![shorten(role, size, false, room)],
            };
            for (line, text) in lines.iter().enumerate() {
                let below = (lines.len() - 1 - line) as f32;
                let (at, align, shift) = match waiting {
                    true => (cell.center(), [0.5, 0.5], 0.5 * (lines.len() - 1) as f32 - below),
                    false => ([cell.min[0] + edge, cell.max[1] - 2.0], [0.0, 1.0], -below),
                };
                let mut label = Label::new(ground, at, text.as_str(), size, colors.text).aligned(align[0], align[1]);
                label.offset = [0.0, shift * size];
                label.halo = Some(if waiting { colors.background } else { colors.panel });
                label.grows = 1.6;
                front.labels.push(label);
            }
        }
        for (((panel, density), (marked, _)), part) in self.panels.iter().zip(&crowds).zip(&marks).zip(&parts) {
            let Some(cell) = grid.cell_of(panel.head) else {
                continue;
            };
            let (color, width) = frame(panel.strength, &colors);
            layer
                .blocks
                .push(Block::filled(ground, cell, colors.panel).stroked(color, width));
            let size = note_size(grid.side);
            for (line, text) in note_lines(&panel.note, grid.side).into_iter().enumerate() {
                let at = [cell.center()[0], cell.max[1] + 1.0 + 1.2 * size * line as f32];
                let mut note = Label::new(ground, at, text, size, colors.muted);
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
                point_opacity: crowd::opacity_at(*density, point_radius),
                rows: None,
            });
            for i in drawing_order(&panel.coordinates, panel.queries, panel.values.as_deref(), blending) {
                if part.as_ref().is_some_and(|(kept, _)| !kept[i]) {
                    continue;
                }
                let query = i < panel.queries;
                let value = panel.values.as_ref().map(|values| values[i]);
                let color = point_colors.color(query, value);
                let shown = marked.get(i).copied();
                let id = u32::try_from(i).unwrap_or(Point::UNPICKABLE);
                let shape = if query { Shape::Disc } else { Shape::Diamond };
                let point = Point::new(index, panel.coordinates.get(i), color, id)
                    .shaped(shape)
                    .dimmed(shown == Some(false))
                    .hidden(panel.hidden.get(i) == Some(&true) || point_colors.is_hidden(value));
                match shown {
                    Some(true) => brought_out.push(point.sized(BROUGHT_OUT)),
                    _ => others.push(point),
                }
            }
        }
        add_points(&mut scene, &mut layer, blending, others, brought_out);
        scene.layers.push(layer);
        if !front.labels.is_empty() {
            scene.layers.push(front);
        }
        Ok(scene)
    }

    /// The points of all heads that are not hidden, a row each: head, id, role, coordinates, and token, label and value if any
    /// panel has them.
    fn table(&self, _: &ViewState) -> Result<Table> {
        self.check()?;
        let rows: Vec<(&MatrixPanel, usize)> = self
            .panels
            .iter()
            .flat_map(|panel| (0..panel.coordinates.len()).map(move |i| (panel, i)))
            .filter(|(panel, i)| panel.hidden.get(*i) != Some(&true))
            .collect();
        let mut table = Table::new(rows.len());
        push_heads(&mut table, |row| rows[row].0.head);
        table.numbers("id", |row| rows[row].1);
        table.texts("kind", |row| role(rows[row].1, rows[row].0.queries));
        let dims = self.panels.iter().map(|panel| panel.coordinates.dims()).max();
        push_coordinates(&mut table, dims.unwrap_or(2), |row| {
            (&rows[row].0.coordinates, rows[row].1)
        });
        push_origins(&mut table, |row| rows[row].0.origins.get(rows[row].1));
        if self.panels.iter().any(|panel| !panel.labels.is_empty()) {
            let label = |(panel, i): (&MatrixPanel, usize)| panel.labels.get(i).map_or("", |label| &**label).to_owned();
            table.texts("token", |row| label(rows[row]));
        }
        if self.panels.iter().any(|panel| panel.values.is_some()) {
            let value = |(panel, i): (&MatrixPanel, usize)| panel.values.as_ref().map(|values| values[i]);
            push_values(&mut table, self.color_by.as_ref(), |row| value(rows[row]));
        }
        Ok(table)
    }

    /// A size at which the plots are as large as is usual in a paper: larger for few heads.
    fn natural_size(&self) -> [f32; 2] {
        let side = |most: f32| (1150.0 / most).clamp(84.0, 200.0);
        let [width, height] = natural_size(self.places(), side, |side| self.note(side));
        [(width + 56.0).max(480.0).ceil(), (height + 162.0).ceil()]
    }
}

#[cfg(test)]
mod tests {
    use attn_core::Attention;

    use super::*;
    use crate::{projection::Projection, state::Shared};

    fn panel(layer: usize, head: usize, values: &[f32]) -> MatrixPanel {
        let head = HeadId::new(Attention::DecoderSelf, layer, head);
        MatrixPanel::new(head, Coordinates::new(values, 2).unwrap(), values.len() / 4)
    }

    #[test]
    fn roles_stand_in_plots_and_in_empty_frames() {
        let points: Vec<f32> = (0..40_u8).map(f32::from).collect();
        let id = |head| HeadId::new(Attention::DecoderSelf, 0, head);
        let roles = [
            (id(0), "previous token"),
            (
                id(1),
                "one that is far too long for its plot by any measure, and longer than two lines of it can hold",
            ),
            (id(2), "none"),
        ];
        let matrix = Matrix {
            panels: vec![panel(0, 0, &points)],
            pending: vec![id(1)],
            roles: roles.map(|(head, role)| (head, role.to_owned())).into(),
            ..Matrix::default()
        };
        let texts = |size| {
            let scene = matrix.scene(&ViewState::default(), size).unwrap();
            let labels = scene.layers.iter().flat_map(|layer| &layer.labels);
            labels.map(|label| label.text.to_string()).collect::<Vec<_>>()
        };
        let large = texts([500.0, 500.0]);
        assert!(large.iter().any(|text| text == "previous token"));
        assert!(
            large.iter().any(|text| text.starts_with("one that")) && large.iter().any(|text| text.ends_with('…')),
            "{large:?}"
        );
        assert_eq!(role_lines("previous token", 6.5, 40.0).join("/"), "previous/token");
        assert_eq!(role_lines("self", 6.5, 50.0), ["self"]);
        let cut = role_lines("neighboring patches of one image", 6.5, 50.0);
        assert!(cut.len() == 2 && cut[1].ends_with('…'), "{cut:?}");
        assert!(!large.iter().any(|text| text == "none"), "a head without a place");
        assert!(
            !texts([160.0, 160.0]).iter().any(|text| text.starts_with("previous")),
            "too small to be read"
        );
    }

    #[test]
    fn layers_go_down_and_heads_go_right_with_holes_left_open() {
        let points: Vec<f32> = (0..40_u8).map(f32::from).collect();
        let matrix = Matrix {
            panels: vec![panel(5, 2, &points), panel(0, 0, &points), panel(5, 0, &points)],
            ..Matrix::default()
        };
        let scene = matrix.scene(&ViewState::default(), [500.0, 500.0]).unwrap();
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
    fn heads_keep_their_places_while_others_come() {
        let points: Vec<f32> = (0..40_u8).map(f32::from).collect();
        let all: Vec<MatrixPanel> = (0..6).map(|i| panel(i / 3, i % 3, &points)).collect();
        let scene = |there: usize| {
            let matrix = Matrix {
                panels: all[..there].to_vec(),
                pending: all[there..].iter().map(|panel| panel.head).collect(),
                ..Matrix::default()
            };
            matrix.scene(&ViewState::default(), [500.0, 500.0]).unwrap()
        };
        let whole = scene(6);
        for there in 0..6 {
            let part = scene(there);
            assert_eq!(part.layers[0].blocks.len(), whole.layers[0].blocks.len());
            for panel in &all[..there] {
                let rect = |scene: &Scene| scene.panels[scene.panel_of(panel.head).unwrap()].rect;
                assert_eq!(rect(&part), rect(&whole));
            }
        }
    }

    /// Layer 1 has no attention, layer 2 one head less.
    #[test]
    fn places_without_a_head_say_so() {
        let points: Vec<f32> = (0..40_u8).map(f32::from).collect();
        let hole = |layer, head| HeadId::new(Attention::DecoderSelf, layer, head);
        let matrix = Matrix {
            panels: [(0, 0), (0, 1), (2, 0)]
                .map(|(layer, head)| panel(layer, head, &points))
                .to_vec(),
            absent: vec![hole(1, 1), hole(1, 0), hole(2, 1)],
            ..Matrix::default()
        };
        let scene = matrix.scene(&ViewState::default(), matrix.natural_size()).unwrap();
        let rect = |layer, head| scene.panels[scene.panel_of(hole(layer, head)).unwrap()].rect;
        let said = |word: &str| -> Vec<[f32; 3]> {
            let labels = scene.layers.iter().flat_map(|layer| &layer.labels);
            let labels = labels.filter(|label| &*label.text == word);
            labels.map(|label| label.position).collect()
        };
        let (of_row, of_cell) = (said("no attention"), said("no head"));
        assert_eq!((of_row.len(), of_cell.len()), (1, 1));
        // The row between layers 0 and 2, and the cell under head 1.
        assert!(of_row[0][1] > rect(0, 0).max[1] && of_row[0][1] < rect(2, 0).min[1]);
        assert!((of_row[0][0] - 0.5 * (rect(0, 0).min[0] + rect(0, 1).max[0])).abs() < 0.01);
        assert!((of_cell[0][0] - rect(0, 1).center()[0]).abs() < 0.01);
        assert!((of_cell[0][1] - rect(2, 0).center()[1]).abs() < 0.01);
        assert_eq!(scene.layers[1].points.len(), 60);
    }

    #[test]
    fn every_point_lies_in_its_plot() {
        let points: Vec<f32> = (0..80_u8).map(|i| f32::from(i % 13) * f32::from(i)).collect();
        let matrix = Matrix {
            panels: (0..6).map(|i| panel(i / 3, i % 3, &points)).collect(),
            ..Matrix::default()
        };
        let scene = matrix.scene(&ViewState::default(), matrix.natural_size()).unwrap();
        let projection = Projection::new(&scene, &ViewState::default(), scene.size);
        for point in scene.layers[1].points.iter() {
            let place = projection.panels[point.panel()];
            let [x, y, _] = place.px_from_data.apply(point.position);
            assert!(place.rect.contains([x, y]) && place.clip == place.rect);
        }
    }

    #[test]
    fn bad_data_is_refused() {
        let state = ViewState::default();
        assert!(matches!(
            Matrix::default().scene(&state, [100.0; 2]),
            Err(Error::Empty { .. })
        ));
        let mut bad = panel(0, 0, &[0.0; 8]);
        bad.queries = 9;
        let matrix = Matrix {
            panels: vec![bad],
            ..Matrix::default()
        };
        assert!(matches!(matrix.scene(&state, [100.0; 2]), Err(Error::Shape { .. })));
    }

    #[test]
    fn a_search_is_brought_out_in_all_heads_with_counts() {
        let values: Vec<f32> = (0..24_u8).map(f32::from).collect();
        let labels: Texts = "the cat The sat the cat other sat a b c d".split(' ').collect();
        let labeled = |head| MatrixPanel {
            labels: labels.clone(),
            ..panel(0, head, &values)
        };
        let matrix = Matrix {
            panels: (0..3).map(labeled).collect(),
            ..Matrix::default()
        };
        let state = ViewState::from(Shared {
            search: "the".into(),
            ..Shared::default()
        });
        let scene = matrix.scene(&state, [600.0, 400.0]).unwrap();
        for panel in 2..5 {
            let points = scene.layers[1].points.iter().filter(|point| point.panel() == panel);
            let mut shown: Vec<u32> = points
                .filter(|point| !point.is_dimmed())
                .map(|point| point.id)
                .collect();
            shown.sort_unstable();
            assert_eq!(shown, [0, 2, 4, 6], "panel {panel}");
        }
        // Queries are the first six of the points.
        let told = scene.layers[0]
            .labels
            .iter()
            .any(|label| &*label.text == "“the”: 3 queries, 1 key");
        assert!(told, "{:?}", scene.layers[0].labels);
    }
}
