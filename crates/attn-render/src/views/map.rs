//! Clusters on a plane: a point per member, coloured by cluster, the largest clusters with their names.

use super::{
    crowd::{add_points, blending, density, opacity_at, radius_at},
    legend::Entry,
    page::Page,
    points::Coordinates,
};
use crate::{Axes, Block, Error, Label, Layer, Motion, Panel, Placement, Point, Scene, View, error::check_len, search};

/// One cluster of a [`ClusterMap`].
#[derive(Debug, Clone)]
pub struct MapCluster<'a> {
    /// What it is called; may be empty.
    pub name: &'a str,
    /// How many members it has. Larger clusters are named first.
    pub size: usize,
}

/// Clusters on a plane.
#[derive(Debug, Clone)]
pub struct ClusterMap<'a> {
    /// In bold above everything.
    pub title: &'a str,
    /// Under the title, in small print; may be empty.
    pub subtitle: &'a str,
    /// Under the map; may be empty.
    pub caption: &'a str,
    /// What the legend calls a cluster.
    pub what: &'a str,
    /// Where the members are, in two dimensions.
    pub coordinates: Coordinates<'a>,
    /// The cluster of each member, as an index into `clusters`.
    pub of: &'a [usize],
    /// The clusters.
    pub clusters: Vec<MapCluster<'a>>,
    /// What each member is called, for [`View::search`]; empty if they have no names.
    pub labels: &'a [&'a str],
}

impl ClusterMap<'_> {
    /// The scene, laid out in `size` layout units. Ids of points are those of the members. Members that [`View::search`] finds
    /// or that are in [`View::selected`] are brought out, and of the names only those of their clusters are written.
    ///
    /// # Errors
    /// [`Error::Empty`] without members, [`Error::Shape`] for clusters that do not fit or coordinates in space.
    pub fn scene(&self, view: &View, size: [f32; 2]) -> Result<Scene, Error> {
        self.check()?;
        let colors = view.colors();
        let members = self.coordinates.len();
        let marked = self.marked(view);
        let mut legend = vec![Entry::Text(format!("colour: {}", self.what))];
        if let Some(marked) = &marked {
            let count = marked.iter().filter(|&&marked| marked).count();
            legend.push(Entry::Text(format!("{count} of {members} brought out")));
        }
        let page = Page {
            title: self.title,
            subtitle: self.subtitle,
            legend,
            caption: self.caption,
        };
        let (mut scene, content) = page.start(size, &colors)?;
        scene.layers[0]
            .blocks
            .push(Block::filled(0, content, colors.panel).stroked(colors.frame, 0.7));
        let crowd = density(self.coordinates, content.width() * content.height());
        let radius = radius_at(crowd);
        let point_opacity = opacity_at(crowd, radius);
        let panel = scene.add_panel(Panel {
            head: None,
            title: self.title.to_owned(),
            rect: content,
            bounds: self.coordinates.bounds().pad(0.05),
            axes: Axes::Plane,
            motion: Motion::Inside,
            point_radius: radius,
            point_opacity,
            rows: None,
        });
        let mut layer = Layer::default();
        let mut named = vec![marked.is_none(); self.clusters.len()];
        let mut points = [Vec::with_capacity(members), Vec::new()];
        for member in 0..members {
            let shown = marked.as_ref().map(|marked| marked[member]);
            let id = u32::try_from(member).unwrap_or(Point::UNPICKABLE);
            named[self.of[member]] |= shown == Some(true);
            let color = colors.class(self.of[member]);
            let point = Point::new(panel, self.coordinates.get(member), color, id)
                .sized(if shown == Some(true) { 1.25 } else { 1.0 })
                .dimmed(shown == Some(false));
            points[usize::from(shown == Some(true))].push(point);
        }
        let [others, brought_out] = points;
        add_points(&mut scene, &mut layer, blending(point_opacity), others, brought_out);
        for (cluster, at) in self.middles().into_iter().enumerate() {
            let MapCluster { name, size } = self.clusters[cluster];
            let Some(position) = at.filter(|_| named[cluster] && !name.is_empty()) else {
                continue;
            };
            layer.labels.push(Label {
                offset: [radius + 2.5, 0.0],
                halo: Some(colors.panel),
                position,
                placement: Placement::Floating {
                    priority: size as f32,
                    margin: 5.0,
                    clear: 0.0,
                },
                ..Label::new(panel, [0.0; 2], name, 10.5, colors.class(cluster).mix(colors.text, 0.8))
            });
        }
        scene.layers.push(layer);
        Ok(scene)
    }

    /// Which members are brought out; `None` if nothing was searched for or drawn around.
    fn marked(&self, view: &View) -> Option<Vec<bool>> {
        if view.search.is_empty() && view.selected.is_empty() {
            return None;
        }
        let mut marked = search(&view.search, self.labels, 0).found;
        marked.resize(self.coordinates.len(), false);
        for id in view.selected.ids() {
            if let Some(mark) = marked.get_mut(id as usize) {
                *mark = true;
            }
        }
        Some(marked)
    }

    /// What everything drawn relies on.
    pub(super) fn check(&self) -> Result<(), Error> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Selection;

    #[test]
    fn clusters_are_named_at_a_member() {
        // A ring of four and a pair.
        let places = [1.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, -1.0, 5.0, 5.0, 6.0, 5.0];
        let map = ClusterMap {
            title: "map",
            subtitle: "",
            caption: "",
            what: "cluster",
            coordinates: Coordinates::new(&places, 2).unwrap(),
            of: &[0, 0, 0, 0, 1, 1],
            clusters: vec![MapCluster { name: "ring", size: 4 }, MapCluster { name: "", size: 2 }],
            labels: &[],
        };
        let scene = map.scene(&View::default(), [300.0, 300.0]).unwrap();
        let labels = &scene.layers[1].labels;
        assert_eq!(labels.len(), 1, "without a name, no label");
        assert!(places.chunks(2).any(|place| place == &labels[0].position[..2]));
        let wrong = ClusterMap {
            of: &[0, 0, 0, 0, 1, 2],
            ..map.clone()
        };
        assert!(matches!(
            wrong.scene(&View::default(), [300.0; 2]),
            Err(Error::Shape { .. })
        ));
        let short = ClusterMap { of: &[0], ..map };
        assert!(matches!(
            short.scene(&View::default(), [300.0; 2]),
            Err(Error::Shape { .. })
        ));
    }
    #[test]
    fn what_is_searched_for_and_selected_is_brought_out() {
        let map = ClusterMap {
            title: "map",
            subtitle: "",
            caption: "",
            what: "cluster",
            coordinates: Coordinates::new(&[0.0, 0.0, 1.0, 0.0, 5.0, 5.0, 6.0, 5.0], 2).unwrap(),
            of: &[0, 0, 1, 1],
            clusters: ["animals", "verbs"].map(|name| MapCluster { name, size: 2 }).to_vec(),
            labels: &["cat", "dog", "walk", "run"],
        };
        let look = |view: &View| {
            let scene = map.scene(view, [400.0, 300.0]).unwrap();
            let points = scene.layers[1].points.iter();
            let mut bright: Vec<u32> = points
                .filter(|point| !point.is_dimmed())
                .map(|point| point.id)
                .collect();
            bright.sort_unstable();
            let names = scene.layers[1].labels.iter().map(|label| label.text.to_string());
            (bright, names.collect::<Vec<_>>())
        };
        assert_eq!(
            look(&View::default()),
            (vec![0, 1, 2, 3], vec!["animals".into(), "verbs".into()])
        );
        let search = View {
            search: "wal".into(),
            ..View::default()
        };
        assert_eq!(look(&search), (vec![2], vec!["verbs".into()]));
        let drawn_around = View {
            selected: Selection::new(None, [0, 2]),
            ..View::default()
        };
        assert_eq!(
            look(&drawn_around),
            (vec![0, 2], vec!["animals".into(), "verbs".into()])
        );
        let wrong = ClusterMap {
            labels: &["cat"],
            ..map.clone()
        };
        assert!(matches!(
            wrong.scene(&View::default(), [300.0; 2]),
            Err(Error::Shape { .. })
        ));
    }
}
