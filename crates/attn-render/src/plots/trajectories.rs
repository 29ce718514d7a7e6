//! Paths through a space of states, token by token: the states of an encoder or a decoder, projected together with their
//! neighbors (Strobelt et al. 2018, "Seq2Seq-Vis", the state view).

use std::sync::Arc;

use super::{
    kit::{Coordinates, Crowd, LegendEntry, Page, Texts},
    tables::push_coordinates,
};
use crate::{
    Error, Plot, Result, Scene, Table, Target, ViewState,
    error::check_len,
    plot::Tooltip,
    scene::{Axes, Block, Edge, Label, Layer, Motion, Panel, Placement, Point, Shape},
};

/// One path.
#[derive(Debug, Clone)]
pub struct Trajectory {
    /// Its name: `encoder`, `decoder`.
    pub name: String,
    /// Its points in order, as indices into the coordinates.
    pub points: Arc<[u32]>,
}

/// Paths among points.
#[derive(Debug, Clone)]
pub struct Trajectories {
    /// In bold above everything.
    pub title: String,
    /// Under the title, in small print; may be empty.
    pub subtitle: String,
    /// Under the plot. The default says what is seen.
    pub caption: String,
    /// Every state: those of the paths and their neighbors, which lie behind.
    pub coordinates: Coordinates,
    /// A text per state; those of the paths are written. Empty for none.
    pub labels: Texts,
    /// The paths; each has a color of its own.
    pub paths: Vec<Trajectory>,
    /// States at the end of `coordinates` that only show the space: faint, and nothing under the pointer. Default 0.
    pub background: usize,
}

impl Trajectories {
    /// Paths without words.
    pub fn new(coordinates: Coordinates, paths: Vec<Trajectory>) -> Self {
        Self {
            title: String::new(),
            subtitle: String::new(),
            caption: "Each line joins the states of one sequence, token by token, and widens from first to last. Gray: other states \
                      nearby."
                .into(),
            coordinates,
            labels: Texts::default(),
            paths,
            background: 0,
        }
    }

    /// What everything drawn relies on.
    pub(super) fn check(&self) -> Result<()> {
        let states = self.coordinates.len();
        if states == 0 {
            return Err(Error::Empty { what: "the states" });
        }
        if !self.labels.is_empty() {
            check_len("labels of states", states, self.labels.len())?;
        }
        for point in self.paths.iter().flat_map(|path| path.points.iter()) {
            if *point as usize >= states {
                return Err(Error::Shape {
                    what: "states of a path",
                    expected: format!("below {states} (the number of states)"),
                    found: point.to_string(),
                });
            }
        }
        Ok(())
    }
}

impl Plot for Trajectories {
    /// The scene, laid out in `size` layout units. Ids are those of the states.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        self.check()?;
        let states = self.coordinates.len();
        let colors = state.colors();
        let entry = |(index, path): (usize, &Trajectory)| {
            LegendEntry::Mark(Shape::Disc, colors.class(index), path.name.clone())
        };
        let page = Page {
            title: &self.title,
            subtitle: &self.subtitle,
            legend: self.paths.iter().enumerate().map(entry).collect(),
            caption: &self.caption,
        };
        let (mut scene, content) = page.start(size, &colors)?;
        let ground = Block::filled(0, content, colors.panel);
        scene.layers[0]
            .blocks
            .push(ground.stroked(colors.frame, 0.7).rounded(2.0));
        let space = self.coordinates.dims() == 3;
        let plot = content.shrink(1.0);
        let side = plot.width().min(plot.height());
        let crowd = Crowd::up_to(&self.coordinates, side * side, 2.6);
        let radius = crowd.radius;
        let panel = scene.add_panel(Panel {
            title: self.title.clone(),
            bounds: self.coordinates.bounds().pad(0.08),
            axes: if space { Axes::Space } else { Axes::Plane },
            point_radius: radius,
            point_opacity: crowd.opacity,
            ..Panel::page(plot, Motion::Inside)
        });
        let mut on_path = vec![None; states];
        for (index, path) in self.paths.iter().enumerate() {
            for point in path.points.iter() {
                on_path[*point as usize] = Some(index);
            }
        }
        let (mut behind, mut layer) = (Layer::default(), Layer::default());
        let shown = states.saturating_sub(self.background);
        for (state, path) in on_path.iter().enumerate() {
            let id = u32::try_from(state).unwrap_or(Point::UNPICKABLE);
            let at = self.coordinates.get(state);
            match path {
                None if state >= shown => {
                    let point = Point::new(panel, at, colors.muted.alpha(0.16), Point::UNPICKABLE);
                    behind.points.push(point);
                }
                None => behind.points.push(Point::new(panel, at, colors.muted.alpha(0.45), id)),
                Some(path) => layer
                    .points
                    .push(Point::new(panel, at, colors.class(*path), id).sized((4.0 / radius).min(7.0))),
            }
        }
        for (index, path) in self.paths.iter().enumerate() {
            let steps = path.points.len().saturating_sub(1).max(1) as f32;
            for (step, pair) in path.points.windows(2).enumerate() {
                let width = |step: usize| 0.8 + 2.0 * step as f32 / steps;
                layer.edges.push(Edge {
                    from: self.coordinates.get(pair[0] as usize),
                    to: self.coordinates.get(pair[1] as usize),
                    color: colors.class(index).alpha(0.75),
                    panel: panel.into(),
                    width: [width(step), width(step + 1)],
                    gap: [0.0; 2],
                });
            }
            for (step, point) in path.points.iter().enumerate() {
                let Some(text) = self.labels.get(*point as usize) else {
                    continue;
                };
                let mut label = Label::new(panel, [0.0; 2], text.clone(), 10.0, colors.text);
                label.position = self.coordinates.get(*point as usize);
                label.offset = [6.5, 0.0];
                label.halo = Some(colors.panel);
                label.placement = Placement::Floating {
                    priority: -(step as f32),
                    margin: 1.5,
                    clear: 4.0,
                };
                layer.labels.push(label);
            }
        }
        scene.layers.push(behind);
        scene.layers.push(layer);
        Ok(scene)
    }

    /// A row per step of every path: its name, the step, the state, its coordinates and label. States of no path come last,
    /// without name and step.
    fn table(&self, _: &ViewState) -> Result<Table> {
        self.check()?;
        let mut on_path = vec![false; self.coordinates.len()];
        let mut rows: Vec<(&str, Option<usize>, usize)> = Vec::new();
        for path in &self.paths {
            for (step, point) in path.points.iter().enumerate() {
                on_path[*point as usize] = true;
                rows.push((&path.name, Some(step), *point as usize));
            }
        }
        let others = on_path.iter().enumerate().filter(|(_, on_path)| !**on_path);
        rows.extend(others.map(|(state, _)| ("", None, state)));
        let mut table = Table::new(rows.len());
        table
            .texts("path", |row| rows[row].0)
            .numbers("step", |row| rows[row].1);
        table.numbers("state", |row| rows[row].2);
        push_coordinates(&mut table, self.coordinates.dims(), |row| {
            (&self.coordinates, rows[row].2)
        });
        if !self.labels.is_empty() {
            table.texts("label", |row| &*self.labels[rows[row].2]);
        }
        Ok(table)
    }

    fn natural_size(&self) -> [f32; 2] {
        [640.0, 560.0]
    }

    /// The label of a state.
    fn tooltip(&self, target: Target) -> Option<Tooltip> {
        let label = self.labels.get(target.id()? as usize)?;
        Some(Tooltip::new(&**label))
    }
}
