//! Columns that the tables of several plots have.

use std::sync::Arc;

use attn_core::HeadId;

use super::kit::{ColorBy, Coordinates, ValueKind, class_of, number};
use crate::Table;

/// Adds a column of heads, and one of their attentions where there are several: `L0 H0` is then the name of more than one.
pub(super) fn push_heads(table: &mut Table, head: impl Fn(usize) -> HeadId) {
    let several = (1..table.rows()).any(|row| head(row).attention != head(0).attention);
    if several {
        table.texts("attention", |row| head(row).attention.to_string());
    }
    table.texts("head", |row| head(row).to_string());
}

/// Which token a point is: with it, rows of a table can be joined with the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenOrigin {
    /// Name of its sequence.
    pub sequence: Arc<str>,
    /// Its place in the sequence, from 0.
    pub position: u32,
    /// Its id in the vocabulary, if it has one.
    pub token: Option<u32>,
}

/// Adds columns of sequence, position and token id, if there are any origins.
pub(super) fn push_origins<'a>(table: &mut Table, of: impl Fn(usize) -> Option<&'a TokenOrigin>) {
    let rows = table.rows();
    if !(0..rows).any(|row| of(row).is_some()) {
        return;
    }
    table.texts("sequence", |row| of(row).map_or("", |origin| &*origin.sequence));
    table.numbers("position", |row| of(row).map(|origin| origin.position));
    if (0..rows).any(|row| of(row).is_some_and(|origin| origin.token.is_some())) {
        table.numbers("token_id", |row| of(row).and_then(|origin| origin.token));
    }
}

/// Adds a column per coordinate; `of` says which point a row is.
pub(super) fn push_coordinates<'a>(table: &mut Table, dims: usize, of: impl Fn(usize) -> (&'a Coordinates, usize)) {
    for (axis, name) in ["x", "y", "z"].into_iter().enumerate().take(dims) {
        table.numbers(name, |row| {
            let (coordinates, point) = of(row);
            (axis < coordinates.dims()).then(|| coordinates.get(point)[axis])
        });
    }
}

/// Query, key and weight of every pair of `[query, key]`.
pub(super) fn pairs(weights: &[f32], keys: usize) -> Table {
    let mut table = Table::new(weights.len());
    table
        .numbers("query", |pair| pair / keys)
        .numbers("key", |pair| pair % keys)
        .numbers("weight", |pair| weights[pair]);
    table
}

/// Adds columns of the sequence and of the token ids of pairs, if their origins are known: those of queries, then of keys.
pub(super) fn push_pair_origins(
    table: &mut Table,
    [queries, keys]: &[Arc<[TokenOrigin]>; 2],
    pair: impl Fn(usize) -> (usize, usize),
) {
    if queries.is_empty() && keys.is_empty() {
        return;
    }
    table.texts("sequence", |row| {
        queries.get(pair(row).0).map_or("", |origin| &*origin.sequence)
    });
    // Patches have none.
    if queries.iter().chain(&**keys).any(|origin| origin.token.is_some()) {
        table
            .numbers("query_token_id", |row| queries.get(pair(row).0)?.token)
            .numbers("key_token_id", |row| keys.get(pair(row).1)?.token);
    }
}

/// Whether a point is a query or a key.
pub(super) fn role(point: usize, queries: usize) -> &'static str {
    if point < queries { "query" } else { "key" }
}

/// Adds the values that points are colored by: the names of classes, or amounts.
pub(super) fn push_values(table: &mut Table, by: Option<&ColorBy>, value: impl Fn(usize) -> Option<f32>) {
    match by.map(|by| &by.kind) {
        Some(ValueKind::Categorical(names)) => {
            let class = |value: f32| (!value.is_nan()).then(|| names.get(class_of(value)).map_or("?", |name| &**name));
            table.texts(value_name(by), |row| value(row).and_then(class).unwrap_or_default())
        }
        _ => table.numbers(value_name(by), value),
    };
}

/// The name of a column of values.
fn value_name(by: Option<&ColorBy>) -> &str {
    by.map_or("value", |by| &by.label)
}

/// A value with its name, for a tooltip.
pub(super) fn value_line(by: Option<&ColorBy>, value: f32) -> String {
    let name = value_name(by);
    match by.map(|by| &by.kind) {
        _ if value.is_nan() => format!("{name}: none"),
        Some(ValueKind::Categorical(names)) => {
            let class = names.get(class_of(value)).map_or("?", |class| &**class);
            format!("{name}: {class}")
        }
        _ => format!("{name}: {}", number(value)),
    }
}

pub(super) fn yes(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use attn_core::Attention;

    use crate::{
        Plot, ViewState,
        plots::{
            Aggregate, BeamNode, BeamTree, ClusterMap, Coordinates, CrossFlow, DataMap, HeadCells, HeadGrid,
            HeadPattern, Histogram, Lines, MapCluster, Matrix, MatrixPanel, SentenceToken, Series, Texts, Trajectories,
            Trajectory,
        },
    };

    use super::*;

    const ID: HeadId = HeadId {
        attention: Attention::EncoderSelf,
        layer: 1,
        head: 2,
    };

    fn csv(plot: &dyn Plot) -> String {
        plot.table(&ViewState::default()).unwrap().to_csv()
    }

    fn refused(plot: &dyn Plot) -> bool {
        plot.table(&ViewState::default()).is_err()
    }

    #[test]
    fn classes_are_exported_by_their_names() {
        let matrix = Matrix {
            panels: vec![MatrixPanel {
                values: Some([1.0, f32::NAN].into()),
                ..MatrixPanel::new(ID, Coordinates::new([1.0, 2.0, 3.0, 4.0], 2).unwrap(), 1)
            }],
            color_by: Some(ColorBy {
                label: "upos".into(),
                kind: ValueKind::Categorical(["DET", "NOUN"].into()),
            }),
            ..Matrix::default()
        };
        let csv = csv(&matrix);
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(
            lines,
            ["head,id,kind,x,y,upos", "L1 H2,0,query,1,2,NOUN", "L1 H2,1,key,3,4,"]
        );
    }

    #[test]
    fn a_matrix_of_planes_and_spaces_leaves_cells_empty() {
        let panel = |values: &[f32], dims| MatrixPanel {
            values: (dims == 3).then(|| [7.0, 8.0].into()),
            labels: if dims == 2 { ["a", "b"].into() } else { Texts::default() },
            ..MatrixPanel::new(ID, Coordinates::new(values, dims).unwrap(), 1)
        };
        let matrix = Matrix {
            panels: vec![
                panel(&[1.0, 2.0, 3.0, 4.0], 2),
                panel(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3),
            ],
            ..Matrix::default()
        };
        let csv = csv(&matrix);
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines[0], "head,id,kind,x,y,z,token,value");
        assert_eq!(
            lines[1..],
            [
                format!("{ID},0,query,1,2,,a,"),
                format!("{ID},1,key,3,4,,b,"),
                format!("{ID},0,query,1,2,3,,7"),
                format!("{ID},1,key,4,5,6,,8"),
            ]
        );
        assert!(refused(&Matrix::default()));
    }

    #[test]
    fn weights_have_a_row_per_pair() {
        let aggregate = Aggregate::new(ID, [0.5, 0.25, 0.25, 1.0, 0.0, 0.0], 2, 3);
        assert_eq!(csv(&aggregate).lines().nth(4), Some("1,0,1"));
        assert!(refused(&Aggregate::new(ID, [0.5], 2, 3)));
        let grid = |cells| HeadGrid {
            what: "importance".into(),
            ..HeadGrid::new(vec![ID], cells)
        };
        let values = csv(&grid(HeadCells::Values([0.5].into())));
        assert_eq!(values, format!("head,importance\r\n{ID},0.5\r\n"));
        let pattern = HeadPattern {
            weights: [0.25, 0.75].into(),
            queries: 1,
            keys: 2,
        };
        let pattern = csv(&grid(HeadCells::Patterns(vec![pattern])));
        assert_eq!(pattern.lines().nth(2), Some(&*format!("{ID},0,1,0.75")));
        assert!(refused(&grid(HeadCells::Values([0.5, 0.1].into()))));
    }

    #[test]
    fn bins_add_up() {
        let histogram = Histogram {
            bins: 2,
            ..Histogram::new([0.0, 1.0, 4.0])
        };
        assert_eq!(csv(&histogram), "from,to,count\r\n0,2,2\r\n2,4,1\r\n");
    }

    #[test]
    fn paths_come_first() {
        let coordinates = Coordinates::new([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], 2).unwrap();
        let path = |points: &[u32]| Trajectory {
            name: "p".into(),
            points: points.into(),
        };
        let csv = csv(&Trajectories::new(coordinates.clone(), vec![path(&[2, 0])]));
        assert_eq!(csv, "path,step,state,x,y\r\np,0,2,4,5\r\np,1,0,0,1\r\n,,1,2,3\r\n");
        assert!(refused(&Trajectories::new(coordinates, vec![path(&[3])])));
    }

    #[test]
    fn texts_trees_and_charts() {
        let token = |text| SentenceToken::new(text, false);
        let flow = csv(&CrossFlow::new([token("a"), token("b")], [token("x")], [0.2, 0.8]));
        assert_eq!(flow.lines().nth(1), Some("0,x,1,b,0.8"));
        let node = |parent, kept| BeamNode {
            parent,
            token: "t".into(),
            score: -1.0,
            kept,
            finished: false,
        };
        let tree = BeamTree {
            winner: Some(0),
            ..BeamTree::new([node(None, true), node(Some(0), false)])
        };
        assert_eq!(csv(&tree).lines().nth(2), Some("1,0,t,-1,no,no,no"));
        let chart = Lines {
            across: "step".into(),
            at: [1.0, 2.0].into(),
            series: vec![Series {
                name: "loss".into(),
                values: [3.0, 2.5].into(),
                class: 0,
                broken: false,
                ..Series::default()
            }],
            ..Lines::default()
        };
        assert_eq!(csv(&chart), "step,loss\r\n1,3\r\n2,2.5\r\n");
    }

    #[test]
    fn maps_have_a_row_per_member() {
        let cluster = |name: &str| MapCluster {
            name: name.into(),
            size: 1,
        };
        let map = ClusterMap::new(
            Coordinates::new([0.0, 1.0, 2.0, 3.0], 2).unwrap(),
            [1, 0],
            vec![cluster("zero"), cluster("one")],
        );
        assert_eq!(csv(&map), "member,x,y,cluster,name\r\n0,0,1,1,one\r\n1,2,3,0,zero\r\n");
        let data = csv(&DataMap::new([0.9], [0.1], [1.0]));
        assert_eq!(data, "example,confidence,variability,correctness\r\n0,0.9,0.1,1\r\n");
    }
}
