//! One sequence's attention in every head of every layer: a grid of small line plots; a click on one opens its head
//! (after Vig 2019, "A multiscale visualization of attention", the model view).

use std::sync::Arc;

use attn_core::HeadId;

use super::{
    head_layout::{HeadLayout, names_note, natural_size},
    kit::{LegendEntry, Page},
    sentence::line_color,
    tables::push_heads,
};
use crate::{
    Error, Plot, Result, Scene, Table, ViewState,
    attention::{check_weights, strongest},
    geometry::Rect,
    scene::{Block, Edge, Label, Layer, Motion, Panel, Shape},
};

/// One head of an [`Overview`].
#[derive(Debug, Clone)]
pub struct OverviewHead {
    /// Which head.
    pub head: HeadId,
    /// Tokens that ask.
    pub queries: usize,
    /// Tokens that are attended to.
    pub keys: usize,
    /// `[query, key]`, row by row.
    pub attention: Arc<[f32]>,
}

/// All heads at one sequence, small.
///
/// ```
/// use attn_core::{Attention, HeadId};
/// use attn_render::{Plot, ViewState, plots::{Overview, OverviewHead}};
///
/// let attention: std::sync::Arc<[f32]> = [0.9, 0.1, 0.5, 0.5].into();
/// let head = |head| OverviewHead {
///     head: HeadId::new(Attention::EncoderSelf, 0, head),
///     queries: 2,
///     keys: 2,
///     attention: attention.clone(),
/// };
/// let overview = Overview::new(vec![head(0), head(1)]);
/// let scene = overview.scene(&ViewState::default(), overview.natural_size())?;
/// assert_eq!(scene.layers[1].edges.len(), 8);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Overview {
    /// In bold above everything.
    pub title: String,
    /// Under the title, in small print: the sequence's text.
    pub subtitle: String,
    /// Under the drawings. The default says what is seen. Where there are several attentions, what names of rows mean follows.
    pub caption: String,
    /// The heads, in any order; places without one stay empty.
    pub heads: Vec<OverviewHead>,
    /// The least weight that has a line. By default 0.05: fainter lines of this size cannot be seen.
    pub least: f32,
    /// Lines per query at most: those of its largest weights. By default 5.
    pub most: usize,
}

/// Rows of a drawing are at least so high, in layout units: longer sequences are drawn in groups of neighboring tokens.
const ROW: f32 = 2.0;

impl Overview {
    /// The lines of these heads.
    pub fn new(heads: Vec<OverviewHead>) -> Self {
        Self {
            title: "Attention in every head".into(),
            subtitle: String::new(),
            caption: String::new(),
            heads,
            least: 0.05,
            most: 5,
        }
    }

    fn ids(&self) -> impl Iterator<Item = HeadId> {
        self.heads.iter().map(|head| head.head)
    }

    fn check(&self) -> Result<()> {
        if self.heads.iter().all(|head| head.queries == 0 || head.keys == 0) {
            return Err(Error::Empty { what: "the overview" });
        }
        if self.heads.len() > usize::from(u16::MAX) - 2 {
            return Err(Error::Shape {
                what: "heads of the overview",
                expected: "at most 65,533".into(),
                found: self.heads.len().to_string(),
            });
        }
        for head in &self.heads {
            check_weights(&head.attention, head.queries, head.keys)?;
        }
        Ok(())
    }

    /// The attention among at most as many groups of neighboring tokens as there are rows, and how many groups that are.
    fn grouped(&self, head: &OverviewHead, height: f32) -> ([usize; 2], Vec<f32>) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let room = ((height / ROW) as usize).max(1);
        let rows = [head.queries.min(room), head.keys.min(room)];
        let mut sums = vec![0.0; rows[0] * rows[1]];
        let mut members = vec![0.0_f32; rows[0]];
        for query in 0..head.queries {
            let group = query * rows[0] / head.queries;
            members[group] += 1.0;
            let into = &mut sums[group * rows[1]..(group + 1) * rows[1]];
            for (key, weight) in head.attention[query * head.keys..(query + 1) * head.keys]
                .iter()
                .enumerate()
            {
                into[key * rows[1] / head.keys] += weight;
            }
        }
        for (row, members) in sums.chunks_mut(rows[1].max(1)).zip(members) {
            row.iter_mut().for_each(|sum| *sum /= members);
        }
        (rows, sums)
    }
}

impl Plot for Overview {
    /// The scene, laid out in `size` layout units: queries on the left of each drawing, keys on the right, first tokens
    /// above. A sequence of more tokens than its drawing has rows is drawn in groups of neighbors: a line then has the mean
    /// attention of its queries to all its keys together. A click opens a head.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        self.check()?;
        let colors = state.colors();
        let told = if self.caption.is_empty() {
            format!(
                "Each drawing is one head on the same sequence, first token at the top. Lines join a query to the keys with the \
                 largest weights (at least {}). Rows are layers, columns are heads.",
                self.least
            )
        } else {
            self.caption.clone()
        };
        let page = Page {
            title: &self.title,
            subtitle: &self.subtitle,
            legend: vec![
                LegendEntry::Mark(Shape::Disc, colors.query, "queries (left)".into()),
                LegendEntry::Mark(Shape::Diamond, colors.key, "keys (right)".into()),
                LegendEntry::Fade(line_color(&colors), "attention weight".into()),
            ],
            caption: &(told + &names_note(self.ids())),
        };
        let (mut scene, content) = page.start(size, &colors)?;
        scene.stage = content;
        let layout = HeadLayout::new(self.ids(), content, f32::INFINITY, |_| 0.0);
        let ground = scene.add_panel(Panel::page(content, Motion::Stage));
        let mut layer = Layer {
            labels: layout.names(ground, 0.13, &colors),
            ..Layer::default()
        };
        for head in &self.heads {
            let Some(cell) = layout.cell_of(head.head) else {
                continue;
            };
            layer
                .blocks
                .push(Block::filled(ground, cell, colors.panel).stroked(colors.frame, 0.7));
            let panel = scene.add_panel(Panel {
                head: Some(head.head),
                title: head.head.to_string(),
                ..Panel::page(cell, Motion::Stage)
            });
            let inside = cell.shrink(0.06 * cell.width());
            let (rows, grouped) = self.grouped(head, inside.height());
            let mut links = strongest(&grouped, rows[0], rows[1], self.most, self.least)?;
            // The strongest lie in front.
            links.sort_by(|a, b| a.weight.total_cmp(&b.weight));
            let middle =
                |row: usize, side: usize| inside.min[1] + (row as f32 + 0.5) / rows[side] as f32 * inside.height();
            layer.edges.extend(links.iter().map(|link| Edge {
                from: [inside.min[0] + TICK, middle(link.query, 0), 0.0],
                to: [inside.max[0] - TICK, middle(link.key, 1), 0.0],
                color: line_color(&colors).alpha(link.weight),
                panel: panel.into(),
                width: [1.0; 2],
                gap: [0.0; 2],
            }));
            for (side, left, color) in [(0, inside.min[0], colors.query), (1, inside.max[0] - TICK, colors.key)] {
                let pitch = inside.height() / rows[side] as f32;
                layer.blocks.extend((0..rows[side]).map(|row| {
                    let height = (0.7 * pitch).min(3.0);
                    let top = middle(row, side) - 0.5 * height;
                    Block::filled(panel, Rect::new(left, top, TICK, height), color)
                }));
            }
            let mut name = Label::new(ground, cell.min, head.head.to_string(), 10.0, colors.text).bold();
            name.visible_from = (170.0 / layout.side).max(1.2);
            name.offset = [6.0, 4.0];
            name.halo = Some(colors.panel);
            layer.labels.push(name);
        }
        scene.layers.push(layer);
        Ok(scene)
    }

    /// The weights behind the lines, a row per head, query and key from weight [`least`](Self::least) on.
    fn table(&self, _: &ViewState) -> Result<Table> {
        self.check()?;
        let mut rows = Vec::new();
        for head in &self.heads {
            let links = strongest(&head.attention, head.queries, head.keys, head.keys, self.least)?;
            rows.extend(links.into_iter().map(|link| (head.head, link)));
        }
        let mut table = Table::new(rows.len());
        push_heads(&mut table, |row| rows[row].0);
        table
            .numbers("query", |row| rows[row].1.query)
            .numbers("key", |row| rows[row].1.key)
            .numbers("weight", |row| rows[row].1.weight);
        Ok(table)
    }

    /// A size at which every drawing is legible: larger for few heads.
    fn natural_size(&self) -> [f32; 2] {
        let side = |most: f32| (1100.0 / most).clamp(84.0, 200.0);
        let [width, height] = natural_size(self.ids(), side, |_| 0.0);
        [(width + 56.0).max(480.0).ceil(), (height + 150.0).ceil()]
    }
}

/// Width of a token's mark.
const TICK: f32 = 2.5;

#[cfg(test)]
mod tests {
    use attn_core::Attention;

    use super::*;
    use crate::{
        control::{Controller, Event, Input},
        projection::Projection,
    };

    fn head(head: usize, tokens: usize, attention: &[f32]) -> OverviewHead {
        OverviewHead {
            head: HeadId::new(Attention::DecoderSelf, head / 3, head % 3),
            queries: tokens,
            keys: tokens,
            attention: attention.into(),
        }
    }

    #[test]
    fn long_sequences_are_drawn_in_groups_that_keep_their_mass() {
        // Every token attends to the one 500 places before it, in groups of at most a few tokens.
        let tokens = 1_000;
        let mut attention = vec![0.0; tokens * tokens];
        for query in 0..tokens {
            attention[query * tokens + query % 500] = 1.0;
        }
        let overview = Overview::new(vec![head(0, tokens, &attention)]);
        let (rows, grouped) = overview.grouped(&overview.heads[0], 100.0);
        assert_eq!(rows, [50, 50]);
        for (row, weights) in grouped.chunks(50).enumerate() {
            assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            assert!((weights[row % 25] - 1.0).abs() < 1e-5, "{row}");
        }
    }

    #[test]
    fn a_click_opens_a_head() {
        let attention = [0.25; 16];
        let overview = Overview::new((0..6).map(|i| head(i, 4, &attention)).collect());
        let size = overview.natural_size();
        let mut state = ViewState::default();
        let scene = overview.scene(&state, size).unwrap();
        assert_eq!(scene.layers[1].edges.len(), 6 * 16);
        let wanted = overview.heads[4].head;
        let panel = scene.panel_of(wanted).unwrap();
        let position = Projection::new(&scene, &state, size).panels[panel].rect.center();
        let mut controller = Controller::default();
        controller.handle(Input::Resized { size }, &scene, &mut state);
        controller.handle(Input::PointerPressed { position }, &scene, &mut state);
        let events = controller.handle(Input::PointerReleased { position }, &scene, &mut state);
        assert!(events.contains(&Event::OpenHead(wanted)));
        assert_eq!(state.open, Some(wanted));
    }

    #[test]
    fn bad_data_is_refused() {
        let state = ViewState::default();
        assert!(matches!(
            Overview::new(vec![]).scene(&state, [300.0; 2]),
            Err(Error::Empty { .. })
        ));
        let short = Overview::new(vec![head(0, 3, &[0.1; 8])]);
        assert!(matches!(short.scene(&state, [300.0; 2]), Err(Error::Shape { .. })));
        assert!(matches!(short.table(&state), Err(Error::Shape { .. })));
    }
}
