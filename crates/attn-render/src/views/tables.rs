//! The numbers behind the views, as tables: what a person sees, in full, for spreadsheets and programs. Those of a head, of a
//! sentence, of the overview and of the tree of clusters are beside their scenes.

use attn_core::HeadId;

use super::{
    Aggregate, BeamTree, ClusterMap, Coordinates, CrossFlow, DataMap, HeadCells, HeadGrid, Histogram, ImageAttention,
    Lines, Matrix, Trajectories, covering,
};
use crate::{Cells, Error, Table, attention::check_weights, error::check_finite};

/// Adds a column of heads, and one of their attentions where there are several: `L0 H0` is then the name of more than one.
pub(super) fn push_heads(table: &mut Table, heads: impl Iterator<Item = HeadId> + Clone) -> Result<(), Error> {
    let mut attentions = heads.clone().map(|head| head.attention);
    let first = attentions.next();
    if attentions.any(|attention| Some(attention) != first) {
        table.push(
            "attention",
            Cells::texts(heads.clone().map(|head| head.attention.to_string())),
        )?;
    }
    table.push("head", Cells::texts(heads.map(|head| head.to_string())))
}

/// Adds a column per coordinate.
fn push_coordinates(table: &mut Table, coordinates: &[Coordinates<'_>]) -> Result<(), Error> {
    let most = coordinates.iter().map(Coordinates::dims).max().unwrap_or(2);
    for (axis, name) in ["x", "y", "z"].into_iter().enumerate().take(most) {
        let along = coordinates.iter().flat_map(|coordinates| {
            let there = axis < coordinates.dims();
            (0..coordinates.len()).map(move |i| if there { coordinates.get(i)[axis] } else { f32::NAN })
        });
        table.push(name, Cells::Numbers(along.collect()))?;
    }
    Ok(())
}

/// Adds query, key and weight of every pair of `[query, key]`.
fn push_pairs(table: &mut Table, weights: &[f32], keys: usize) -> Result<(), Error> {
    table.push("query", Cells::numbers((0..weights.len()).map(|i| i / keys)))?;
    table.push("key", Cells::numbers((0..weights.len()).map(|i| i % keys)))?;
    table.push("weight", Cells::Numbers(weights.to_vec()))
}

fn yes(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

impl Matrix<'_> {
    /// The points of all heads, a row each: head, id, whether it is a query or a key, coordinates, and label and value if any
    /// panel has them (empty for points without).
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn table(&self) -> Result<Table, Error> {
        self.check()?;
        let rows = || {
            self.panels
                .iter()
                .flat_map(|panel| (0..panel.coordinates.len()).map(move |i| (panel, i)))
        };
        let mut table = Table::default();
        push_heads(&mut table, rows().map(|(panel, _)| panel.head))?;
        table.push("id", Cells::numbers(rows().map(|(_, i)| i)))?;
        let kind = |i: usize, queries: usize| if i < queries { "query" } else { "key" };
        table.push("kind", Cells::texts(rows().map(|(panel, i)| kind(i, panel.queries))))?;
        let coordinates: Vec<_> = self.panels.iter().map(|panel| panel.coordinates).collect();
        push_coordinates(&mut table, &coordinates)?;
        if self.panels.iter().any(|panel| !panel.labels.is_empty()) {
            let label = |labels: &[&str], i: usize| labels.get(i).map_or(String::new(), |label| (*label).to_owned());
            table.push(
                "label",
                Cells::Texts(rows().map(|(panel, i)| label(panel.labels, i)).collect()),
            )?;
        }
        if self.panels.iter().any(|panel| panel.values.is_some()) {
            let name = self.color_by.map_or("value", |by| by.label);
            let value = |values: Option<&[f32]>, i: usize| values.map_or(f32::NAN, |values| values[i]);
            table.push(
                name,
                Cells::Numbers(rows().map(|(panel, i)| value(panel.values, i)).collect()),
            )?;
        }
        Ok(table)
    }
}

impl ImageAttention<'_> {
    /// The weights, a row per pair of tokens: query and key, special tokens first, then patches row by row.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn table(&self) -> Result<Table, Error> {
        let tokens = self.tokens()?;
        let mut table = Table::default();
        push_pairs(&mut table, self.attention, tokens)?;
        Ok(table)
    }
}

impl Aggregate<'_> {
    /// The mean weights, a row per pair of positions.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn table(&self) -> Result<Table, Error> {
        if self.queries == 0 || self.keys == 0 {
            return Err(Error::Empty { what: "the positions" });
        }
        check_weights(self.mean, self.queries, self.keys)?;
        let mut table = Table::default();
        push_pairs(&mut table, self.mean, self.keys)?;
        Ok(table)
    }
}

impl HeadGrid<'_> {
    /// A row per head with its value, or per head, query and key of its pattern.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn table(&self) -> Result<Table, Error> {
        self.check()?;
        let mut table = Table::default();
        match self.cells {
            HeadCells::Values(values) => {
                check_finite("values of heads", values)?;
                push_heads(&mut table, self.heads.iter().copied())?;
                table.push(self.what, Cells::Numbers(values.to_vec()))?;
            }
            HeadCells::Patterns(patterns) => {
                let mut rows = Vec::new();
                for (head, (weights, queries, keys)) in self.heads.iter().zip(patterns) {
                    check_weights(weights, *queries, *keys)?;
                    rows.extend(
                        weights
                            .iter()
                            .enumerate()
                            .map(|(i, weight)| (head, i / keys, i % keys, *weight)),
                    );
                }
                push_heads(&mut table, rows.iter().map(|row| *row.0))?;
                table.push("query", Cells::numbers(rows.iter().map(|row| row.1)))?;
                table.push("key", Cells::numbers(rows.iter().map(|row| row.2)))?;
                table.push("weight", Cells::Numbers(rows.iter().map(|row| row.3).collect()))?;
            }
        }
        Ok(table)
    }
}

impl Histogram<'_> {
    /// A row per bin: where it starts and ends, and how many values are in it.
    ///
    /// # Errors
    /// As [`counts`](Self::counts).
    pub fn table(&self) -> Result<Table, Error> {
        let counts = self.counts()?;
        let [low, high] = super::axes::range(self.values.iter().copied());
        let edge = |bin: usize| low + (high - low) * (bin as f32 / counts.len() as f32);
        let mut table = Table::default();
        table.push("from", Cells::Numbers((0..counts.len()).map(edge).collect()))?;
        table.push("to", Cells::Numbers((1..=counts.len()).map(edge).collect()))?;
        table.push("count", Cells::numbers(counts))?;
        Ok(table)
    }
}

impl Trajectories<'_> {
    /// A row per step of every path: its name, the step, the state, its coordinates and label; states of no path come last,
    /// without name and step.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn table(&self) -> Result<Table, Error> {
        self.check()?;
        let mut on_path = vec![false; self.coordinates.len()];
        let mut rows: Vec<(&str, f32, usize)> = Vec::new();
        for path in &self.paths {
            for (step, point) in path.points.iter().enumerate() {
                on_path[*point as usize] = true;
                rows.push((path.name, step as f32, *point as usize));
            }
        }
        let others = on_path.iter().enumerate().filter(|(_, on_path)| !**on_path);
        rows.extend(others.map(|(state, _)| ("", f32::NAN, state)));
        let mut table = Table::default();
        table.push("path", Cells::texts(rows.iter().map(|row| row.0)))?;
        table.push("step", Cells::Numbers(rows.iter().map(|row| row.1).collect()))?;
        table.push("state", Cells::numbers(rows.iter().map(|row| row.2)))?;
        for (axis, name) in ["x", "y", "z"].into_iter().enumerate().take(self.coordinates.dims()) {
            let along = rows.iter().map(|row| self.coordinates.get(row.2)[axis]);
            table.push(name, Cells::Numbers(along.collect()))?;
        }
        if !self.labels.is_empty() {
            table.push("label", Cells::texts(rows.iter().map(|row| self.labels[row.2])))?;
        }
        Ok(table)
    }
}

impl CrossFlow<'_> {
    /// The edges that are drawn, a row each: target and source token with their texts, and the weight.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn table(&self) -> Result<Table, Error> {
        if self.target.is_empty() || self.source.is_empty() {
            return Err(Error::Empty { what: "the flow" });
        }
        let links = covering(self.attention, self.target.len(), self.source.len(), self.share)?;
        let mut table = Table::default();
        table.push("target", Cells::numbers(links.iter().map(|link| link.query)))?;
        table.push(
            "target_text",
            Cells::texts(links.iter().map(|link| self.target[link.query].text)),
        )?;
        table.push("source", Cells::numbers(links.iter().map(|link| link.key)))?;
        table.push(
            "source_text",
            Cells::texts(links.iter().map(|link| self.source[link.key].text)),
        )?;
        table.push("weight", Cells::Numbers(links.iter().map(|link| link.weight).collect()))?;
        Ok(table)
    }
}

impl BeamTree<'_> {
    /// A row per node: its number, its parent's (empty at the root), token, score, and whether it was kept, ends a hypothesis
    /// and is on the winner's path.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn table(&self) -> Result<Table, Error> {
        let won = self.won()?;
        let nodes = self.nodes;
        let mut table = Table::default();
        table.push("node", Cells::numbers(0..nodes.len()))?;
        let parent = |parent: Option<usize>| parent.map_or(f32::NAN, |parent| parent as f32);
        table.push(
            "parent",
            Cells::Numbers(nodes.iter().map(|node| parent(node.parent)).collect()),
        )?;
        table.push("token", Cells::texts(nodes.iter().map(|node| node.token)))?;
        table.push("score", Cells::Numbers(nodes.iter().map(|node| node.score).collect()))?;
        table.push("kept", Cells::texts(nodes.iter().map(|node| yes(node.kept))))?;
        table.push("finished", Cells::texts(nodes.iter().map(|node| yes(node.finished))))?;
        table.push("winner", Cells::texts(won.into_iter().map(yes)))?;
        Ok(table)
    }
}

impl Lines<'_> {
    /// A row per place: where it is, and a column per series.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn table(&self) -> Result<Table, Error> {
        self.check()?;
        let mut table = Table::default();
        let across = if self.across.is_empty() { "at" } else { self.across };
        table.push(across, Cells::Numbers(self.at.to_vec()))?;
        for series in &self.series {
            table.push(series.name, Cells::Numbers(series.values.to_vec()))?;
        }
        Ok(table)
    }
}

impl ClusterMap<'_> {
    /// A row per member: its coordinates, its cluster and that one's name.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn table(&self) -> Result<Table, Error> {
        self.check()?;
        let mut table = Table::default();
        table.push("member", Cells::numbers(0..self.of.len()))?;
        push_coordinates(&mut table, &[self.coordinates])?;
        table.push("cluster", Cells::numbers(self.of.iter().copied()))?;
        table.push(
            "name",
            Cells::texts(self.of.iter().map(|cluster| self.clusters[*cluster].name)),
        )?;
        Ok(table)
    }
}

impl DataMap<'_> {
    /// A row per example: confidence, variability, correctness, and its label if there are any.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn table(&self) -> Result<Table, Error> {
        self.check()?;
        let mut table = Table::default();
        table.push("example", Cells::numbers(0..self.confidence.len()))?;
        table.push("confidence", Cells::Numbers(self.confidence.to_vec()))?;
        table.push("variability", Cells::Numbers(self.variability.to_vec()))?;
        table.push("correctness", Cells::Numbers(self.correctness.to_vec()))?;
        if !self.labels.is_empty() {
            table.push("label", Cells::texts(self.labels.iter().copied()))?;
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use attn_core::Attention;

    use super::*;
    use crate::views::{BeamNode, MapCluster, MatrixPanel, SentenceToken, Series, Trajectory};

    const ID: HeadId = HeadId {
        attention: Attention::EncoderSelf,
        layer: 1,
        head: 2,
    };

    #[test]
    fn a_matrix_of_planes_and_spaces_leaves_cells_empty() {
        let panel = |values: &'static [f32], dims| MatrixPanel {
            head: ID,
            coordinates: Coordinates::new(values, dims).unwrap(),
            queries: 1,
            values: (dims == 3).then_some(&[7.0, 8.0][..]),
            labels: if dims == 2 { &["a", "b"] } else { &[] },
            hidden: &[],
            note: String::new(),
        };
        let matrix = Matrix {
            panels: vec![
                panel(&[1.0, 2.0, 3.0, 4.0], 2),
                panel(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3),
            ],
            ..Matrix::default()
        };
        let csv = matrix.table().unwrap().to_csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines[0], "head,id,kind,x,y,z,label,value");
        assert_eq!(
            lines[1..],
            [
                format!("{ID},0,query,1,2,,a,"),
                format!("{ID},1,key,3,4,,b,"),
                format!("{ID},0,query,1,2,3,,7"),
                format!("{ID},1,key,4,5,6,,8"),
            ]
        );
        assert!(Matrix::default().table().is_err());
    }

    #[test]
    fn weights_have_a_row_per_pair() {
        let aggregate = Aggregate::new(ID, &[0.5, 0.25, 0.25, 1.0, 0.0, 0.0], 2, 3);
        let csv = aggregate.table().unwrap().to_csv();
        assert_eq!(csv.lines().nth(4), Some("1,0,1"));
        assert!(Aggregate::new(ID, &[0.5], 2, 3).table().is_err());
        let grid = |cells| HeadGrid {
            title: "",
            subtitle: "",
            caption: "",
            what: "importance",
            heads: &[ID],
            cells,
            diverging: false,
        };
        let values = grid(HeadCells::Values(&[0.5])).table().unwrap().to_csv();
        assert_eq!(values, format!("head,importance\r\n{ID},0.5\r\n"));
        let patterns = [(&[0.25_f32, 0.75][..], 1, 2)];
        let pattern = grid(HeadCells::Patterns(&patterns)).table().unwrap().to_csv();
        assert_eq!(pattern.lines().nth(2), Some(&*format!("{ID},0,1,0.75")));
        assert!(grid(HeadCells::Values(&[0.5, 0.1])).table().is_err());
    }

    #[test]
    fn bins_add_up() {
        let csv = Histogram {
            bins: 2,
            ..Histogram::new(&[0.0, 1.0, 4.0])
        };
        assert_eq!(csv.table().unwrap().to_csv(), "from,to,count\r\n0,2,2\r\n2,4,1\r\n");
    }

    #[test]
    fn paths_come_first() {
        let coordinates = Coordinates::new(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], 2).unwrap();
        let path = Trajectory {
            name: "p",
            points: &[2, 0],
        };
        let csv = Trajectories::new(coordinates, vec![path]).table().unwrap().to_csv();
        assert_eq!(csv, "path,step,state,x,y\r\np,0,2,4,5\r\np,1,0,0,1\r\n,,1,2,3\r\n");
        let wrong = Trajectory {
            name: "p",
            points: &[3],
        };
        assert!(Trajectories::new(coordinates, vec![wrong]).table().is_err());
    }

    #[test]
    fn texts_trees_and_charts() {
        let token = |text| SentenceToken { text, special: false };
        let (source, target) = ([token("a"), token("b")], [token("x")]);
        let flow = CrossFlow::new(&source, &target, &[0.2, 0.8]).table().unwrap().to_csv();
        assert_eq!(flow.lines().nth(1), Some("0,x,1,b,0.8"));
        let node = |parent, kept| BeamNode {
            parent,
            token: "t",
            score: -1.0,
            kept,
            finished: false,
        };
        let nodes = [node(None, true), node(Some(0), false)];
        let tree = BeamTree {
            winner: Some(0),
            ..BeamTree::new(&nodes)
        };
        let csv = tree.table().unwrap().to_csv();
        assert_eq!(csv.lines().nth(2), Some("1,0,t,-1,no,no,no"));
        let chart = Lines {
            across: "step",
            at: &[1.0, 2.0],
            series: vec![Series {
                name: "loss",
                values: &[3.0, 2.5],
                class: 0,
                broken: false,
            }],
            ..Lines::default()
        };
        assert_eq!(chart.table().unwrap().to_csv(), "step,loss\r\n1,3\r\n2,2.5\r\n");
    }

    #[test]
    fn maps_have_a_row_per_member() {
        let map = ClusterMap {
            title: "",
            subtitle: "",
            caption: "",
            what: "cluster",
            coordinates: Coordinates::new(&[0.0, 1.0, 2.0, 3.0], 2).unwrap(),
            of: &[1, 0],
            clusters: vec![
                MapCluster { name: "zero", size: 1 },
                MapCluster { name: "one", size: 1 },
            ],
            labels: &[],
        };
        let csv = map.table().unwrap().to_csv();
        assert_eq!(csv, "member,x,y,cluster,name\r\n0,0,1,1,one\r\n1,2,3,0,zero\r\n");
        let data = DataMap::new(&[0.9], &[0.1], &[1.0]).table().unwrap().to_csv();
        assert_eq!(data, "example,confidence,variability,correctness\r\n0,0.9,0.1,1\r\n");
    }
}
