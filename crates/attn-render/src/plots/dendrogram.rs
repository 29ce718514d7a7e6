//! The upper part of a tree of clusters: what is joined with what, and at which height.

use std::sync::Arc;

use super::kit::{LegendEntry, Page, axes, straight};
use crate::{
    Color, Error, Plot, Result, Scene, Table, ViewState,
    color::Colors,
    error::check_finite,
    geometry::Rect,
    scene::{Edge, Label, Layer, Region},
    text::{shorten, text_width},
};

/// One cluster that a [`Dendrogram`] does not take apart further.
#[derive(Debug, Clone, PartialEq)]
pub struct DendrogramLeaf {
    /// What it is called; may be empty.
    pub name: String,
    /// How many members it has.
    pub size: usize,
    /// The height at which the last of them were joined; 0 for a single member.
    pub height: f32,
}

/// Two nodes that become one. Nodes below the number of leaves are leaves; node `leaves + i` is the union made by merge `i`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DendrogramMerge {
    /// One part.
    pub left: usize,
    /// The other part.
    pub right: usize,
    /// At which height they are joined.
    pub height: f32,
}

/// A tree of clusters, from its root on the left to its leaves on the right.
///
/// ```
/// use attn_render::{Plot, ViewState, plots::{Dendrogram, DendrogramLeaf, DendrogramMerge}};
///
/// let leaf = |name: &str, size| DendrogramLeaf { name: name.into(), size, height: 0.5 };
/// let leaves = [leaf("cat, dog", 12), leaf("horse", 3), leaf("walk, run", 20)];
/// let merges = [
///     DendrogramMerge { left: 0, right: 1, height: 2.0 },
///     DendrogramMerge { left: 2, right: 3, height: 9.0 },
/// ];
/// let tree = Dendrogram { clusters: 2, ..Dendrogram::new(leaves, merges) };
/// let scene = tree.scene(&ViewState::default(), tree.natural_size())?;
/// assert_eq!(scene.layers[1].regions.len(), 3 + 2);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Dendrogram {
    /// In bold above everything.
    pub title: String,
    /// Under the title, in small print; may be empty.
    pub subtitle: String,
    /// Under the tree. The default says what is seen.
    pub caption: String,
    /// The clusters at the lower end of what is shown.
    pub leaves: Arc<[DendrogramLeaf]>,
    /// How they are joined, one fewer than leaves, parts before their union and heights ascending.
    pub merges: Arc<[DendrogramMerge]>,
    /// Into how many clusters the tree is cut: each has a color, and a broken line marks the cut. Default 1: no cut.
    pub clusters: usize,
    /// Name of the axis.
    pub across: String,
}

/// Height of a leaf's row, and font size of names, in layout units.
const ROW: f32 = 17.0;
const SIZE: f32 = 10.0;

impl Dendrogram {
    /// A tree with the default words, not cut.
    pub fn new(leaves: impl Into<Arc<[DendrogramLeaf]>>, merges: impl Into<Arc<[DendrogramMerge]>>) -> Self {
        Self {
            title: "Tree of clusters".into(),
            subtitle: String::new(),
            caption: "Lines meet where clusters merge; the further left, the larger their distance. A wedge is a cluster with several \
                      members. Numbers: members."
                .into(),
            leaves: leaves.into(),
            merges: merges.into(),
            clusters: 1,
            across: "height".into(),
        }
    }

    fn check(&self) -> Result<()> {
        let leaves = self.leaves.len();
        if leaves == 0 {
            return Err(Error::Empty {
                what: "the tree of clusters",
            });
        }
        let wrong = |expected: String, found: String| {
            Err(Error::Shape {
                what: "tree of clusters",
                expected,
                found,
            })
        };
        if self.merges.len() + 1 != leaves {
            return wrong(
                format!("{} merges of {leaves} leaves", leaves - 1),
                self.merges.len().to_string(),
            );
        }
        if !(1..=leaves).contains(&self.clusters) {
            return wrong(format!("a cut into 1 to {leaves} clusters"), self.clusters.to_string());
        }
        let heights: Vec<f32> = self.leaves.iter().map(|leaf| leaf.height).collect();
        check_finite("heights of leaves", &heights)?;
        let heights: Vec<f32> = self.merges.iter().map(|merge| merge.height).collect();
        check_finite("heights of merges", &heights)?;
        if heights.first().is_some_and(|&height| height < 0.0) || heights.windows(2).any(|pair| pair[0] > pair[1]) {
            return wrong("heights from 0 upwards".into(), format!("{heights:?}"));
        }
        let mut joined = vec![false; leaves + self.merges.len()];
        for (at, merge) in self.merges.iter().enumerate() {
            for part in [merge.left, merge.right] {
                if part >= leaves + at || joined[part] {
                    let found = format!("node {part}");
                    return wrong(format!("parts of merge {at} that are there and not yet joined"), found);
                }
                joined[part] = true;
            }
        }
        Ok(())
    }

    /// Half-way between the last union that is kept and the first that is not; `None` for one cluster.
    fn cut(&self) -> Option<f32> {
        let above = self.leaves.len().checked_sub(self.clusters)?;
        let upper = self.merges.get(above)?.height;
        let lower = above.checked_sub(1).map_or_else(
            || {
                self.leaves
                    .iter()
                    .fold(0.0, |high: f32, leaf| high.max(leaf.height))
                    .min(upper)
            },
            |below| self.merges[below].height,
        );
        Some(0.5 * (lower + upper))
    }

    /// Per node the cluster it is in, numbered from the top of the picture, so that neighbors differ in color; `None`
    /// above the cut.
    fn groups(&self, order: &[usize]) -> Vec<Option<usize>> {
        let leaves = self.leaves.len();
        let kept = leaves - self.clusters;
        let mut top: Vec<usize> = (0..leaves + self.merges.len()).collect();
        for at in (0..kept).rev() {
            for part in [self.merges[at].left, self.merges[at].right] {
                top[part] = top[leaves + at];
            }
        }
        let mut numbers: Vec<Option<usize>> = vec![None; top.len()];
        let mut next = 0;
        for &leaf in order {
            let number = &mut numbers[top[leaf]];
            if number.is_none() {
                *number = Some(next);
                next += 1;
            }
        }
        top.iter()
            .enumerate()
            .map(|(node, &top)| if node < leaves + kept { numbers[top] } else { None })
            .collect()
    }

    fn color(&self, group: Option<usize>, colors: &Colors) -> Color {
        match group {
            Some(group) if self.clusters > 1 => colors.clear_class(group),
            _ => colors.muted,
        }
    }

    fn leaves(&self, layer: &mut Layer, place: &Layout, groups: &[Option<usize>], state: &ViewState, colors: &Colors) {
        for (leaf, found) in self.leaves.iter().enumerate() {
            let (y, color) = (place.rows[leaf], self.color(groups[leaf], colors));
            let chosen = state.selection.is_some_and(|pick| pick.id as usize == leaf);
            let end = place.x(0.0);
            let tip = place.x(found.height);
            if found.height > 0.0 {
                layer.edges.push(Edge {
                    width: [0.0, 0.62 * place.row],
                    ..straight(0, [tip, y], [end, y], color.alpha(0.75), 0.0)
                });
            }
            let text = place.text;
            let count = found.size.to_string();
            let ink = if chosen { colors.accent } else { colors.text };
            let mut number =
                Label::new(0, [place.right, y], count.as_str(), 0.9 * text, colors.muted).aligned(1.0, 0.5);
            let room = place.right - end - 14.0 - text_width(&count, 0.9 * text, false);
            let name = shorten(&found.name, text, chosen, room);
            let mut label = Label::new(0, [end + 6.0, y], name, text, ink).aligned(0.0, 0.5);
            label.bold = chosen;
            number.bold = chosen;
            layer.labels.push(label);
            layer.labels.push(number);
            layer.regions.push(Region::item(
                0,
                Rect::new(tip, y - 0.5 * place.row, place.right - tip, place.row),
                leaf,
            ));
        }
    }

    fn branches(
        &self,
        layer: &mut Layer,
        place: &Layout,
        groups: &[Option<usize>],
        state: &ViewState,
        colors: &Colors,
    ) {
        let leaves = self.leaves.len();
        for (at, merge) in self.merges.iter().enumerate() {
            let node = leaves + at;
            let chosen = state.selection.is_some_and(|pick| pick.id as usize == node);
            let color = if chosen {
                colors.accent
            } else {
                self.color(groups[node], colors)
            };
            let x = place.x(merge.height);
            let ends = [merge.left, merge.right].map(|part| (place.rows[part], place.x(self.height(part)), part));
            let (low, high) = (ends[0].0.min(ends[1].0), ends[0].0.max(ends[1].0));
            let width = if chosen { 2.4 } else { 1.4 };
            layer.edges.push(straight(0, [x, low], [x, high], color, width));
            for (y, end, part) in ends {
                // A branch has the color of what hangs from it.
                let color = if chosen {
                    colors.accent
                } else {
                    self.color(groups[part], colors)
                };
                layer
                    .edges
                    .push(straight(0, [x - 0.5 * width, y], [end, y], color, width));
            }
            layer.regions.push(Region::item(
                0,
                Rect::new(x - 4.0, low, 8.0, (high - low).max(1.0)),
                node,
            ));
        }
    }

    fn height(&self, node: usize) -> f32 {
        match node.checked_sub(self.leaves.len()) {
            Some(at) => self.merges[at].height,
            None => self.leaves[node].height,
        }
    }
}

impl Plot for Dendrogram {
    /// The scene, laid out in `size` layout units. Ids count the leaves, then the merges; a leaf is hit in its row, a merge
    /// at its upright line. The one in [`ViewState::selection`] is highlighted.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        self.check()?;
        let colors = state.colors();
        let cut = self.cut();
        let mut legend = vec![LegendEntry::Text("wedge: members not shown one by one".into())];
        if cut.is_some() {
            legend.push(LegendEntry::Text(format!(
                "broken line: {} clusters, one color each",
                self.clusters
            )));
        }
        let page = Page {
            title: &self.title,
            subtitle: &self.subtitle,
            legend,
            caption: &self.caption,
        };
        let (mut scene, content) = page.start(size, &colors)?;
        let mut layer = Layer::default();
        let place = Layout::new(self, content, &mut layer, &colors);
        let groups = self.groups(&place.order);
        self.leaves(&mut layer, &place, &groups, state, &colors);
        self.branches(&mut layer, &place, &groups, state, &colors);
        if let Some(height) = cut {
            let x = place.x(height);
            for piece in 0..((place.bottom - place.top) / 8.5).ceil() as u16 {
                let y = place.top + 8.5 * f32::from(piece);
                let ends = [[x, y], [x, (y + 5.0).min(place.bottom)]];
                layer.edges.push(straight(0, ends[0], ends[1], colors.accent, 1.2));
            }
        }
        scene.layers.push(layer);
        Ok(scene)
    }

    /// A row per node, the leaves and then the merges: the nodes it joins, at which height, how many members it has, and the
    /// name of a leaf.
    fn table(&self, _: &ViewState) -> Result<Table> {
        self.check()?;
        let leaves = self.leaves.len();
        let mut members: Vec<usize> = self.leaves.iter().map(|leaf| leaf.size).collect();
        for merge in self.merges.iter() {
            members.push(members[merge.left].saturating_add(members[merge.right]));
        }
        let merge = |node: usize| node.checked_sub(leaves).map(|at| &self.merges[at]);
        let mut table = Table::new(members.len());
        table
            .numbers("node", |node| node)
            .numbers("left", |node| merge(node).map(|merge| merge.left))
            .numbers("right", |node| merge(node).map(|merge| merge.right))
            .numbers("height", |node| self.height(node))
            .numbers("members", |node| members[node])
            .texts("name", |node| {
                self.leaves.get(node).map_or("", |leaf| leaf.name.as_str())
            });
        Ok(table)
    }

    /// A size at which every name is written.
    fn natural_size(&self) -> [f32; 2] {
        [860.0, (self.leaves.len() as f32 * ROW + 190.0).clamp(260.0, 8_000.0)]
    }
}

/// Where nodes are.
struct Layout {
    /// Leaves from top to bottom.
    order: Vec<usize>,
    /// Per node its middle.
    rows: Vec<f32>,
    row: f32,
    text: f32,
    top: f32,
    bottom: f32,
    /// Where counts end.
    right: f32,
    /// The heights at the left and the right end of the axis, and where these are.
    heights: [f32; 2],
    ends: [f32; 2],
}

impl Layout {
    /// Gives every leaf a row, larger branches above smaller ones, and draws the axis.
    fn new(tree: &Dendrogram, content: Rect, layer: &mut Layer, colors: &Colors) -> Self {
        let leaves = tree.leaves.len();
        let mut sizes: Vec<usize> = tree.leaves.iter().map(|leaf| leaf.size).collect();
        for merge in tree.merges.iter() {
            sizes.push(sizes[merge.left].saturating_add(sizes[merge.right]));
        }
        // Depth first, without recursion: trees may be chains.
        let mut order = Vec::with_capacity(leaves);
        let mut open = vec![leaves + tree.merges.len() - 1];
        while let Some(node) = open.pop() {
            match node.checked_sub(leaves) {
                None => order.push(node),
                Some(at) => {
                    let (left, right) = (tree.merges[at].left, tree.merges[at].right);
                    let (first, second) = if sizes[left] >= sizes[right] {
                        (left, right)
                    } else {
                        (right, left)
                    };
                    open.extend([second, first]);
                }
            }
        }
        let names = tree.leaves.iter().map(|leaf| text_width(&leaf.name, SIZE, false));
        let counts = tree
            .leaves
            .iter()
            .map(|leaf| text_width(&leaf.size.to_string(), SIZE, false));
        let wanted = names.fold(0.0, f32::max) + counts.fold(0.0, f32::max) + 26.0;
        let words = wanted.min(0.5 * content.width());
        let highest = (0..leaves + tree.merges.len())
            .map(|node| tree.height(node))
            .fold(0.0, f32::max);
        let ticks = axes::ticks([0.0, highest], 0.01 * (content.width() - words));
        let [left, names_at] = [content.min[0] + 8.0, content.max[0] - words];
        let (top, bottom) = (content.min[1], content.max[1] - 3.6 * axes::SIZE);
        let mut layout = Self {
            order,
            rows: vec![0.0; leaves + tree.merges.len()],
            row: 0.0,
            text: 0.0,
            top,
            bottom,
            right: content.max[0],
            heights: [ticks.last().copied().unwrap_or(1.0), 0.0],
            ends: [left, names_at.max(left + 1.0)],
        };
        for &tick in &ticks {
            let x = layout.x(tick);
            layer
                .edges
                .push(straight(0, [x, top], [x, bottom + 3.0], colors.frame.alpha(0.45), 0.8));
            let label = Label::new(0, [x, bottom + 4.5], axes::name(tick, &ticks), axes::SIZE, colors.muted);
            layer.labels.push(label.aligned(0.5, 0.0));
        }
        let middle = [0.5 * (layout.ends[0] + layout.ends[1]), bottom + 2.0 * axes::SIZE];
        let across = Label::new(0, middle, tree.across.as_str(), axes::SIZE, colors.text);
        layer.labels.push(across.aligned(0.5, 0.0));
        layout.row = ((bottom - top).max(1.0) / leaves as f32).min(2.0 * ROW);
        layout.text = (0.62 * layout.row).clamp(2.0, SIZE);
        for (at, &leaf) in layout.order.iter().enumerate() {
            layout.rows[leaf] = top + (at as f32 + 0.5) * layout.row;
        }
        for (at, merge) in tree.merges.iter().enumerate() {
            layout.rows[leaves + at] = 0.5 * (layout.rows[merge.left] + layout.rows[merge.right]);
        }
        layout
    }

    /// Heights grow to the left.
    fn x(&self, height: f32) -> f32 {
        let along = (height - self.heights[0]) / (self.heights[1] - self.heights[0]).min(-f32::MIN_POSITIVE);
        self.ends[0] + along * (self.ends[1] - self.ends[0])
    }
}

#[cfg(test)]
mod tests;
