//! Attention by position, averaged over a data set (AttentionViz, Yeh et al. 2023, the aggregate view).

use std::sync::Arc;

use attn_core::HeadId;

use super::{
    head_grid::heat,
    kit::{LegendEntry, Page, number},
    tables::pairs,
};
use crate::{
    Error, Plot, Result, Scene, Table, ViewState,
    attention::check_weights,
    geometry::Rect,
    scene::{Block, Label, Layer, Motion, Panel, Picture, Region},
};

/// A head's mean attention by position.
///
/// ```
/// use attn_core::{Attention, HeadId};
/// use attn_render::{Plot, ViewState, plots::Aggregate};
/// let view = Aggregate::new(HeadId::new(Attention::DecoderSelf, 0, 1), [1.0, 0.0, 0.5, 0.5], 2, 2);
/// assert_eq!(view.scene(&ViewState::default(), [400.0, 440.0])?.layers[1].pictures.len(), 1);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// Which head.
    pub head: HeadId,
    /// In bold above everything; the head's name by default.
    pub title: String,
    /// Under the title, in small print; may be empty.
    pub subtitle: String,
    /// Under the picture. The default says what is seen.
    pub caption: String,
    /// Mean weights, `[query position, key position]`, row by row.
    pub mean: Arc<[f32]>,
    /// Positions of queries.
    pub queries: usize,
    /// Positions of keys.
    pub keys: usize,
}

/// Font size of the axes.
const SIZE: f32 = 9.5;

impl Aggregate {
    /// A picture with the default words.
    pub fn new(head: HeadId, mean: impl Into<Arc<[f32]>>, queries: usize, keys: usize) -> Self {
        Self {
            head,
            title: String::new(),
            subtitle: String::new(),
            caption: "Mean attention over the data set from each position (rows) to each position (columns).".into(),
            mean: mean.into(),
            queries,
            keys,
        }
    }
}

impl Aggregate {
    fn check(&self) -> Result<()> {
        if self.queries == 0 || self.keys == 0 {
            return Err(Error::Empty { what: "the positions" });
        }
        check_weights(&self.mean, self.queries, self.keys)
    }
}

impl Plot for Aggregate {
    /// The scene, laid out in `size` layout units. The row of the query in [`ViewState::selection`] is
    /// framed, so that it stays in step with the sentence view. Ids count the query positions.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        self.check()?;
        let colors = state.colors();
        let most = self.mean.iter().copied().fold(0.0, f32::max);
        let name = format!("Mean attention of head {}", self.head);
        let page = Page {
            title: if self.title.is_empty() { &name } else { &self.title },
            subtitle: &self.subtitle,
            legend: vec![LegendEntry::Ramp(
                colors.heat,
                "mean attention".into(),
                "0".into(),
                number(most),
            )],
            caption: &self.caption,
        };
        let (mut scene, content) = page.start(size, &colors)?;
        scene.stage = content;
        let room = Rect {
            min: [content.min[0] + 40.0, content.min[1] + 2.8 * SIZE],
            max: content.max,
        };
        // Square cells.
        let pitch = (room.width() / self.keys as f32).min(room.height() / self.queries as f32);
        let rect = Rect::new(
            room.min[0],
            room.min[1],
            pitch * self.keys as f32,
            pitch * self.queries as f32,
        );
        let panel = scene.add_panel(Panel {
            head: Some(self.head),
            title: self.head.to_string(),
            ..Panel::page(rect, Motion::Inside)
        });
        let mut layer = Layer::default();
        layer.pictures.push(Picture {
            panel,
            rect,
            image: heat(&self.mean, self.queries, self.keys, colors.heat, [0.0, most])?,
            smooth: false,
        });
        let mut front = Layer::default();
        for query in 0..self.queries {
            let row = Rect::new(rect.min[0], rect.min[1] + query as f32 * pitch, rect.width(), pitch);
            if state.selection.is_some_and(|pick| pick.id as usize == query) {
                let frame = Block::filled(panel, row, crate::Color::TRANSPARENT);
                front.blocks.push(frame.stroked(colors.accent, 1.5));
            }
            layer.regions.push(Region::item(panel, row, query));
        }
        for position in shown(self.queries, pitch / SIZE) {
            let at = [rect.min[0] - 5.0, rect.min[1] + (position as f32 + 0.5) * pitch];
            let label = Label::new(0, at, position.to_string(), SIZE, colors.muted);
            front.labels.push(label.aligned(1.0, 0.5));
        }
        for position in shown(self.keys, pitch / (2.2 * SIZE)) {
            let at = [rect.min[0] + (position as f32 + 0.5) * pitch, rect.min[1] - 2.0];
            let label = Label::new(0, at, position.to_string(), SIZE, colors.muted);
            front.labels.push(label.aligned(0.5, 1.0));
        }
        let words = Label::new(0, content.min, "query position ↓   key position →", SIZE, colors.text);
        front.labels.push(words);
        scene.layers.push(layer);
        scene.layers.push(front);
        Ok(scene)
    }

    /// The mean weights, a row per pair of positions.
    fn table(&self, _: &ViewState) -> Result<Table> {
        self.check()?;
        Ok(pairs(&self.mean, self.keys))
    }

    fn natural_size(&self) -> [f32; 2] {
        [620.0, 680.0]
    }
}

/// Positions that are written: every 1, 2, 5, 10, ... so that each has the room it needs; `room` is that of one.
fn shown(count: usize, room: f32) -> impl Iterator<Item = usize> {
    let steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];
    let enough = |step: &&usize| **step as f32 * room >= 1.4;
    let step = steps.iter().find(enough).copied().unwrap_or(10_000);
    (0..count).step_by(step)
}
