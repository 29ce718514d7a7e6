//! Clusters on a plane: a point per member, colored by cluster, the largest clusters with their names.

use std::sync::Arc;

use super::{
    kit::{Coordinates, Crowd, LegendEntry, Page, Texts, add_points},
    tables::push_coordinates,
};
use crate::{
    Color, Error, Plot, Result, Scene, Table, Target, ViewState,
    error::check_len,
    plot::Tooltip,
    scene::{Axes, Block, Label, Layer, Motion, Panel, Placement, Point},
    search,
};

/// One cluster of a [`ClusterMap`].
#[derive(Debug, Clone)]
pub struct MapCluster {
    /// What it is called; may be empty.
    pub name: String,
    /// How many members it has. Larger clusters are named first.
    pub size: usize,
}

/// Clusters on a plane.
#[derive(Debug, Clone)]
pub struct ClusterMap {
    /// In bold above everything.
    pub title: String,
    /// Under the title, in small print; may be empty.
    pub subtitle: String,
    /// Under the map; may be empty.
    pub caption: String,
    /// What the legend calls a cluster.
    pub what: String,
    /// Where the members are, in two dimensions.
    pub coordinates: Coordinates,
    /// The cluster of each member, as an index into `clusters`.
    pub of: Arc<[usize]>,
    /// The clusters.
    pub clusters: Vec<MapCluster>,
    /// What each member is called, for [`Shared::search`](crate::state::Shared::search); empty if they have no names.
    pub labels: Texts,
}

impl ClusterMap {
    /// Which members are highlighted; `None` without a search or a selection.
    fn marked(&self, state: &ViewState) -> Option<Vec<bool>> {
        if state.shared.search.is_empty() && state.shared.selected.is_empty() {
            return None;
        }
        let mut marked = search(&state.shared.search, &self.labels, 0).found;
        marked.resize(self.coordinates.len(), false);
        for member in state.shared.selected.ids_below(marked.len()) {
            marked[member] = true;
        }
        Some(marked)
    }

    /// What everything drawn relies on.
    fn check(&self) -> Result<()> {
        if self.coordinates.is_empty() {
            return Err(Error::Empty { what: "the map" });
        }
        check_len("clusters of members", self.coordinates.len(), self.of.len())?;
        if !self.labels.is_empty() {
            check_len("labels of members", self.coordinates.len(), self.labels.len())?;
        }
        if self.coordinates.dims() != 2 {
            return Err(Error::Shape {
                what: "coordinates",
                expected: "[members, 2]".into(),
                found: format!("{} dimensions", self.coordinates.dims()),
            });
        }
        if let Some(cluster) = self.of.iter().find(|&&cluster| cluster >= self.clusters.len()) {
            return Err(Error::Shape {
                what: "clusters of members",
                expected: format!("below {}", self.clusters.len()),
                found: cluster.to_string(),
            });
        }
        Ok(())
    }

    /// Per cluster the member nearest to the mean: means of rings are empty places.
    fn middles(&self) -> Vec<Option<[f32; 3]>> {
        let mut sums = vec![([0.0_f32; 2], 0.0_f32); self.clusters.len()];
        for (member, &cluster) in self.of.iter().enumerate() {
            let [x, y, _] = self.coordinates.get(member);
            let (sum, count) = &mut sums[cluster];
            *sum = [sum[0] + x, sum[1] + y];
            *count += 1.0;
        }
        let mut nearest: Vec<Option<(f32, [f32; 3])>> = vec![None; self.clusters.len()];
        for (member, &cluster) in self.of.iter().enumerate() {
            let place = self.coordinates.get(member);
            let (sum, count) = sums[cluster];
            let distance = (place[0] - sum[0] / count).hypot(place[1] - sum[1] / count);
            if nearest[cluster].is_none_or(|(best, _)| distance < best) {
                nearest[cluster] = Some((distance, place));
            }
        }
        nearest.into_iter().map(|found| found.map(|(_, place)| place)).collect()
    }
}

impl ClusterMap {
    /// A map without words.
    pub fn new(coordinates: Coordinates, of: impl Into<Arc<[usize]>>, clusters: Vec<MapCluster>) -> Self {
        Self {
            title: String::new(),
            subtitle: String::new(),
            caption: String::new(),
            what: "cluster".into(),
            coordinates,
            of: of.into(),
            clusters,
            labels: Texts::default(),
        }
    }
}

impl Plot for ClusterMap {
    /// The scene, laid out in `size` layout units. Ids of points are those of the members. Members that [`Shared::search`](crate::state::Shared::search) finds
    /// or that are in [`Shared::selected`](crate::state::Shared::selected) are highlighted, and only their clusters have names.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        self.check()?;
        let colors = state.colors();
        let members = self.coordinates.len();
        let marked = self.marked(state);
        let mut legend = vec![LegendEntry::Text(format!("color: {}", self.what))];
        if let Some(marked) = &marked {
            let count = marked.iter().filter(|&&marked| marked).count();
            legend.push(LegendEntry::Text(format!("{count} of {members} highlighted")));
        }
        let page = Page {
            title: &self.title,
            subtitle: &self.subtitle,
            legend,
            caption: &self.caption,
        };
        let (mut scene, content) = page.start(size, &colors)?;
        scene.layers[0]
            .blocks
            .push(Block::filled(0, content, colors.panel).stroked(colors.frame, 0.7));
        let crowd = Crowd::new(&self.coordinates, content.width() * content.height());
        let radius = crowd.radius;
        let panel = scene.add_panel(Panel {
            head: None,
            title: self.title.clone(),
            rect: content,
            bounds: self.coordinates.bounds().pad(0.05),
            axes: Axes::Plane,
            motion: Motion::Inside,
            point_radius: radius,
            point_opacity: crowd.opacity,
            rows: None,
        });
        let mut layer = Layer::default();
        let mut named = vec![marked.is_none(); self.clusters.len()];
        let mut points = [Vec::with_capacity(members), Vec::new()];
        let ink: Vec<Color> = (0..self.clusters.len())
            .map(|cluster| colors.clear_class(cluster))
            .collect();
        for member in 0..members {
            let shown = marked.as_ref().map(|marked| marked[member]);
            let id = u32::try_from(member).unwrap_or(Point::UNPICKABLE);
            named[self.of[member]] |= shown == Some(true);
            let color = ink[self.of[member]];
            let point = Point::new(panel, self.coordinates.get(member), color, id)
                .sized(if shown == Some(true) { 1.25 } else { 1.0 })
                .dimmed(shown == Some(false));
            points[usize::from(shown == Some(true))].push(point);
        }
        let [others, brought_out] = points;
        add_points(&mut scene, &mut layer, crowd.blending, others, brought_out);
        for (cluster, at) in self.middles().into_iter().enumerate() {
            let MapCluster { name, size } = &self.clusters[cluster];
            let Some(position) = at.filter(|_| named[cluster] && !name.is_empty()) else {
                continue;
            };
            layer.labels.push(Label {
                offset: [radius + 2.5, 0.0],
                halo: Some(colors.panel),
                position,
                placement: Placement::OffPoints {
                    priority: *size as f32,
                    margin: 5.0,
                    reach: 20.0,
                },
                ..Label::new(
                    panel,
                    [0.0; 2],
                    name.as_str(),
                    10.5,
                    colors.class(cluster).mix(colors.text, 0.8),
                )
            });
        }
        scene.layers.push(layer);
        Ok(scene)
    }

    /// A row per member: its coordinates, its cluster and that one's name.
    fn table(&self, _: &ViewState) -> Result<Table> {
        self.check()?;
        let mut table = Table::new(self.of.len());
        table.numbers("member", |member| member);
        push_coordinates(&mut table, 2, |member| (&self.coordinates, member));
        table.numbers("cluster", |member| self.of[member]);
        table.texts("name", |member| self.clusters[self.of[member]].name.as_str());
        Ok(table)
    }

    fn natural_size(&self) -> [f32; 2] {
        [760.0, 600.0]
    }

    /// The name of a member and of its cluster.
    fn tooltip(&self, target: Target) -> Option<Tooltip> {
        let member = target.id()? as usize;
        let cluster = self.clusters.get(*self.of.get(member)?)?;
        let label = self.labels.get(member).map_or("", |label| &**label);
        Some(Tooltip::new(label).line(format!("{}: {}", self.what, cluster.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Selection, state::Shared};

    fn map(places: &[f32], of: &[usize], names: [&str; 2]) -> ClusterMap {
        let cluster = |name: &str| MapCluster {
            name: name.into(),
            size: if name == "ring" { 4 } else { 2 },
        };
        ClusterMap {
            title: "map".into(),
            ..ClusterMap::new(Coordinates::new(places, 2).unwrap(), of, names.map(cluster).into())
        }
    }

    #[test]
    fn clusters_are_named_at_a_member() {
        // A ring of four and a pair.
        let places = [1.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, -1.0, 5.0, 5.0, 6.0, 5.0];
        let scene = |of: &[usize]| map(&places, of, ["ring", ""]).scene(&ViewState::default(), [300.0; 2]);
        let drawn = scene(&[0, 0, 0, 0, 1, 1]).unwrap();
        let labels = &drawn.layers[1].labels;
        assert_eq!(labels.len(), 1, "without a name, no label");
        assert!(places.chunks(2).any(|place| place == &labels[0].position[..2]));
        assert!(matches!(scene(&[0, 0, 0, 0, 1, 2]), Err(Error::Shape { .. })));
        assert!(matches!(scene(&[0]), Err(Error::Shape { .. })));
    }

    #[test]
    fn what_is_searched_for_and_selected_is_brought_out() {
        let map = ClusterMap {
            labels: ["cat", "dog", "walk", "run"].into(),
            ..map(
                &[0.0, 0.0, 1.0, 0.0, 5.0, 5.0, 6.0, 5.0],
                &[0, 0, 1, 1],
                ["animals", "verbs"],
            )
        };
        let look = |state: &ViewState| {
            let scene = map.scene(state, [400.0, 300.0]).unwrap();
            let points = scene.layers[1].points.iter();
            let mut bright: Vec<u32> = points
                .filter(|point| !point.is_dimmed())
                .map(|point| point.id)
                .collect();
            bright.sort_unstable();
            let names = scene.layers[1].labels.iter().map(|label| label.text.to_string());
            (bright, names.collect::<Vec<_>>())
        };
        let both = || vec!["animals".to_owned(), "verbs".to_owned()];
        assert_eq!(look(&ViewState::default()), (vec![0, 1, 2, 3], both()));
        let search = ViewState::from(Shared {
            search: "wal".into(),
            ..Shared::default()
        });
        assert_eq!(look(&search), (vec![2], vec!["verbs".into()]));
        let drawn_around = ViewState::from(Shared {
            selected: Selection::new(None, [0, 2]),
            ..Shared::default()
        });
        assert_eq!(look(&drawn_around), (vec![0, 2], both()));
        let wrong = ClusterMap {
            labels: ["cat"].into(),
            ..map.clone()
        };
        assert!(matches!(
            wrong.scene(&ViewState::default(), [300.0; 2]),
            Err(Error::Shape { .. })
        ));
    }
}
