//! Every hypothesis that a beam search looked at, as a tree (Strobelt et al. 2018, "Seq2Seq-Vis", the beam view): from left to
//! right in time, kept ones in full color, pruned ones pale, the winner in front.

use std::sync::Arc;

use super::{
    kit::{LegendEntry, Page, number},
    tables::yes,
};
use crate::{
    Error, Plot, Result, Scene, Table, Target, ViewState,
    error::check_finite,
    geometry::Rect,
    plot::Tooltip,
    scene::{Block, Curve, Label, Layer, Motion, Panel, Path, Region, Shape},
    text::shorten,
};

/// One expansion of a hypothesis.
#[derive(Debug, Clone, PartialEq)]
pub struct BeamNode {
    /// The node it continues, an earlier one; `None` for a start.
    pub parent: Option<usize>,
    /// The token it adds.
    pub token: String,
    /// Its score: a sum of log-probabilities, usually divided by a power of the length.
    pub score: f32,
    /// Whether the beam went on with it.
    pub kept: bool,
    /// Whether it ends a hypothesis.
    pub finished: bool,
}

/// What the score of a node is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BeamSum {
    /// Log-probability of the node's own tokens.
    pub own: f32,
    /// Log-probability of all tokens up to here.
    pub total: f32,
    /// How many they are.
    pub tokens: usize,
    /// The power of their number that divides the sum.
    pub length_penalty: f64,
}

/// The tree of a beam search.
///
/// ```
/// use attn_render::{Plot, ViewState, plots::{BeamNode, BeamTree}};
/// let node = |parent, token: &str, score, kept, finished| BeamNode { parent, token: token.into(), score, kept, finished };
/// let nodes = [
///     node(None, "the", -0.2, true, false),
///     node(Some(0), "cat", -0.5, true, true),
///     node(Some(0), "dog", -2.5, false, false),
/// ];
/// let tree = BeamTree { winner: Some(1), ..BeamTree::new(nodes) };
/// let scene = tree.scene(&ViewState::default(), [480.0, 300.0])?;
/// assert_eq!(scene.layers[1].regions.len(), 3);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct BeamTree {
    /// In bold above everything.
    pub title: String,
    /// Under the title, in small print; may be empty.
    pub subtitle: String,
    /// Under the tree. The default says what is seen.
    pub caption: String,
    /// The nodes; parents stand before their children.
    pub nodes: Arc<[BeamNode]>,
    /// The last node of the hypothesis that won.
    pub winner: Option<usize>,
    /// What scores are made of, told of the node under the pointer: one per node, or none.
    pub sums: Arc<[BeamSum]>,
}

/// Rows are at most so high, in layout units.
const ROW: f32 = 24.0;

impl BeamTree {
    /// A tree with the default words.
    pub fn new(nodes: impl Into<Arc<[BeamNode]>>) -> Self {
        Self {
            title: "Beam search".into(),
            subtitle: String::new(),
            caption: "Each box is a token with its score, from left to right in time. Pale: considered, then dropped."
                .into(),
            nodes: nodes.into(),
            winner: None,
            sums: Arc::default(),
        }
    }

    /// Which nodes are on the winner's path, if everything fits together.
    fn won(&self) -> Result<Vec<bool>> {
        self.check()?;
        let mut won = vec![false; self.nodes.len()];
        let mut at = self.winner;
        while let Some(node) = at {
            won[node] = true;
            at = self.nodes[node].parent;
        }
        Ok(won)
    }

    fn check(&self) -> Result<()> {
        if self.nodes.is_empty() {
            return Err(Error::Empty {
                what: "the tree of the beam search",
            });
        }
        let scores: Vec<f32> = self.nodes.iter().map(|node| node.score).collect();
        check_finite("scores of the beam search", &scores)?;
        let wrong = self.nodes.iter().enumerate();
        let mut wrong =
            wrong.filter_map(|(index, node)| node.parent.filter(|parent| *parent >= index).map(|p| (index, p)));
        if let Some((index, parent)) = wrong.next() {
            return Err(Error::Shape {
                what: "parents of the beam search",
                expected: format!("below {index} for node {index}"),
                found: parent.to_string(),
            });
        }
        match self.winner {
            Some(winner) if winner >= self.nodes.len() => Err(Error::Shape {
                what: "winner of the beam search",
                expected: format!("below {} (the number of nodes)", self.nodes.len()),
                found: winner.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// Depth and row of each node. Every column is packed from the top, in the order of parents; a child stands beside its parent
    /// or below, so that the best way is a straight line and the tree is as high as its fullest step.
    fn layout(&self) -> (Vec<usize>, Vec<f32>) {
        let count = self.nodes.len();
        let parent = |node: usize| self.nodes[node].parent.filter(|parent| *parent < node);
        let mut depths = vec![0_usize; count];
        let mut columns: Vec<Vec<usize>> = Vec::new();
        for node in 0..count {
            let depth = parent(node).map_or(0, |parent| depths[parent] + 1);
            depths[node] = depth;
            if columns.len() <= depth {
                columns.resize(depth + 1, Vec::new());
            }
            columns[depth].push(node);
        }
        let mut rows = vec![0.0_f32; count];
        for column in &mut columns {
            let above = |node: usize| parent(node).map_or(0.0, |parent| rows[parent]);
            let mut placed: Vec<(f32, usize)> = column.iter().map(|&node| (above(node), node)).collect();
            placed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let mut next = 0.0_f32;
            for (beside, node) in placed {
                rows[node] = next.max(beside);
                next = rows[node] + 1.0;
            }
        }
        (depths, rows)
    }
}

impl Plot for BeamTree {
    /// The scene, laid out in `size` layout units. Ids count the nodes; the one in [`ViewState::selection`] is framed.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        let won = self.won()?;
        let colors = state.colors();
        let best = colors.key;
        let page = Page {
            title: &self.title,
            subtitle: &self.subtitle,
            legend: vec![
                LegendEntry::Mark(Shape::Square, colors.query, "kept".into()),
                LegendEntry::Mark(Shape::Square, colors.query.alpha(0.3), "pruned".into()),
                LegendEntry::Mark(Shape::Square, best, "the winner".into()),
                LegendEntry::Text("■ ends a hypothesis".into()),
            ],
            caption: &self.caption,
        };
        let (mut scene, content) = page.start(size, &colors)?;
        scene.stage = content;
        let panel = scene.add_panel(Panel {
            title: self.title.clone(),
            ..Panel::page(content, Motion::Inside)
        });
        let (depths, rows) = self.layout();
        let columns = depths.iter().copied().max().unwrap_or(0) as f32 + 1.0;
        let last = rows.iter().copied().fold(0.0, f32::max) + 1.0;
        let (pitch, row) = (
            (content.width() / columns).min(150.0),
            (content.height() / last).min(ROW),
        );
        let text = (0.42 * row).clamp(2.0, 10.0);
        let rect = |node: usize| {
            let left = content.min[0] + depths[node] as f32 * pitch;
            let top = content.min[1] + rows[node] * row;
            Rect::new(left, top + 0.09 * row, 0.8 * pitch, 0.82 * row)
        };
        let mut layer = Layer::default();
        // The winner's path is drawn last, in front.
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by_key(|node| (won[*node], self.nodes[*node].kept));
        for index in order {
            let (node, place) = (&self.nodes[index], rect(index));
            let color = if won[index] { best } else { colors.query };
            let strength = if node.kept || won[index] { 1.0 } else { 0.3 };
            if let Some(parent) = node.parent {
                let from = [rect(parent).max[0], rect(parent).center()[1]];
                let to = [place.min[0], place.center()[1]];
                let bend = 0.5 * (to[0] - from[0]);
                layer.curves.push(Curve {
                    panel,
                    path: Path::Cubic([from, [from[0] + bend, from[1]], [to[0] - bend, to[1]], to]),
                    color: color.alpha(strength),
                    width: if won[index] { 2.2 } else { 1.2 },
                });
            }
            let selected = state.selection.is_some_and(|pick| pick.id as usize == index);
            let (stroke, width) = match (selected, node.finished) {
                (true, _) => (colors.accent, 2.0),
                (false, true) => (colors.text.alpha(strength), 1.4),
                (false, false) => (color.alpha(0.7 * strength), 0.7),
            };
            let ground = colors.background.mix(color, 0.28 * strength);
            layer
                .blocks
                .push(Block::filled(panel, place, ground).stroked(stroke, width).rounded(3.0));
            let ink = if strength < 1.0 { colors.muted } else { colors.text };
            let score = number(node.score);
            let score_width = crate::text::text_width(&score, 0.85 * text, false);
            let room = place.width() - score_width - 12.0;
            let middle = place.center()[1];
            let mut write = |x: f32, align: f32, words: String, size: f32, color| {
                let mut label = Label::new(panel, [x, middle], words, size, color).aligned(align, 0.5);
                label.grows = 3.0;
                label.bold = won[index] && align == 0.0;
                layer.labels.push(label);
            };
            if room > text {
                write(
                    place.min[0] + 4.0,
                    0.0,
                    shorten(&node.token, text, won[index], room),
                    text,
                    ink,
                );
                write(place.max[0] - 4.0, 1.0, score, 0.85 * text, colors.muted);
            }
            layer.regions.push(Region::item(panel, place, index));
        }
        scene.layers.push(layer);
        Ok(scene)
    }

    /// A row per node: its number, its parent's (empty at the root), token, score, and whether it was kept, ends a hypothesis
    /// and is on the winner's path.
    fn table(&self, _: &ViewState) -> Result<Table> {
        let won = self.won()?;
        let nodes = &self.nodes;
        let mut table = Table::new(nodes.len());
        table
            .numbers("node", |node| node)
            .numbers("parent", |node| nodes[node].parent)
            .texts("token", |node| nodes[node].token.as_str())
            .numbers("score", |node| nodes[node].score)
            .texts("kept", |node| yes(nodes[node].kept))
            .texts("finished", |node| yes(nodes[node].finished))
            .texts("winner", |node| yes(won[node]));
        Ok(table)
    }

    /// Tokens, what became of them, and what the score is made of.
    fn tooltip(&self, target: Target) -> Option<Tooltip> {
        let id = target.id()? as usize;
        let node = self.nodes.get(id)?;
        let fate = match (node.kept, node.finished) {
            (_, true) => "ends a hypothesis",
            (true, false) => "kept",
            (false, false) => "pruned",
        };
        let tip = Tooltip::new(node.token.as_str()).line(fate);
        let Some(sum) = self.sums.get(id) else {
            return Some(tip.line(format!("score: {}", number(node.score))));
        };
        let (own, total) = (number(sum.own), number(sum.total));
        let (tokens, power, score) = (sum.tokens, sum.length_penalty, number(node.score));
        let tip = tip
            .line(format!("log-probability: {own}"))
            .line(format!("of all {tokens} tokens: {total}"));
        Some(tip.line(format!("score: {total} / {tokens}^{power} = {score}")))
    }

    /// A size at which every token is written.
    fn natural_size(&self) -> [f32; 2] {
        let (depths, rows) = self.layout();
        let deepest = depths.iter().copied().max().unwrap_or(0) as f32 + 1.0;
        let last = rows.iter().copied().fold(0.0, f32::max) + 1.0;
        [
            (deepest * 104.0 + 52.0).clamp(320.0, 4_000.0),
            (last * ROW + 150.0).clamp(220.0, 4_000.0),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(parent: Option<usize>) -> BeamNode {
        BeamNode {
            parent,
            token: "token".into(),
            score: -1.0,
            kept: true,
            finished: false,
        }
    }

    #[test]
    fn boxes_of_a_tree_never_overlap() {
        // A beam of 3 with 4 expansions each, 6 steps.
        let mut nodes = vec![node(None)];
        let mut beam = vec![0];
        for _ in 0..6 {
            let mut new = Vec::new();
            for parent in beam {
                for _ in 0..4 {
                    nodes.push(node(Some(parent)));
                    new.push(nodes.len() - 1);
                }
            }
            beam = new.into_iter().step_by(3).take(3).collect();
        }
        let tree = BeamTree::new(nodes.clone());
        let scene = tree.scene(&ViewState::default(), tree.natural_size()).unwrap();
        let regions = &scene.layers[1].regions;
        assert_eq!(regions.len(), nodes.len());
        for (i, a) in regions.iter().enumerate() {
            assert!(regions[..i].iter().all(|b| !a.rect.overlaps(&b.rect)), "{i}");
        }
    }

    #[test]
    fn trees_that_are_none_are_refused() {
        for bad in [vec![], vec![node(Some(0))], vec![node(None), node(Some(5))]] {
            let tree = BeamTree::new(bad);
            assert!(tree.scene(&ViewState::default(), [300.0; 2]).is_err());
            tree.natural_size();
        }
        let winner = BeamTree {
            winner: Some(4),
            ..BeamTree::new([node(None)])
        }
        .scene(&ViewState::default(), [300.0; 2]);
        assert!(matches!(winner, Err(Error::Shape { .. })));
    }

    #[test]
    fn a_chain_as_long_as_a_book_is_no_problem() {
        let nodes: Vec<_> = (0..20_000_usize).map(|i| node(i.checked_sub(1))).collect();
        BeamTree::new(nodes).scene(&ViewState::default(), [400.0; 2]).unwrap();
    }

    #[test]
    fn the_node_under_the_pointer_tells_what_its_score_is_made_of() {
        let mut tree = BeamTree::new([node(None), node(Some(0))]);
        let lines = |tree: &BeamTree| tree.tooltip(Target::item(1)).unwrap().lines;
        assert_eq!(lines(&tree).len(), 2);
        let sum = |own, total, tokens| BeamSum {
            own,
            total,
            tokens,
            length_penalty: 2.0,
        };
        tree.sums = [sum(-1.0, -1.0, 1), sum(-3.0, -4.0, 2)].into();
        assert_eq!(lines(&tree)[1..3], ["log-probability: −3.00", "of all 2 tokens: −4.00"]);
    }
}
