//! Attention by position, averaged over a data set (AttentionViz, Yeh et al. 2023, the aggregate view).

use attn_core::HeadId;

use super::{
    head_grid::heat,
    legend::Entry,
    page::{Page, number},
};
use crate::{Block, Error, Label, Layer, Motion, Panel, Picture, Rect, Region, Scene, View, attention::check_weights};

/// A head's mean attention by position.
///
/// ```
/// use attn_core::{Attention, HeadId};
/// use attn_render::{View, views::Aggregate};
/// let mean = [1.0, 0.0, 0.5, 0.5];
/// let view = Aggregate::new(HeadId::new(Attention::DecoderSelf, 0, 1), &mean, 2, 2);
/// assert_eq!(view.scene(&View::default(), [400.0, 440.0])?.layers[1].pictures.len(), 1);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Aggregate<'a> {
    /// Which head.
    pub head: HeadId,
    /// In bold above everything; the head's name by default.
    pub title: &'a str,
    /// Under the title, in small print; may be empty.
    pub subtitle: &'a str,
    /// Under the picture. The default says what is seen.
    pub caption: &'a str,
    /// Mean weights, `[query position, key position]`, row by row.
    pub mean: &'a [f32],
    /// Positions of queries.
    pub queries: usize,
    /// Positions of keys.
    pub keys: usize,
}

/// Font size of the axes.
const SIZE: f32 = 9.5;

impl<'a> Aggregate<'a> {
    /// A picture with the default words.
    pub fn new(head: HeadId, mean: &'a [f32], queries: usize, keys: usize) -> Self {
        Self {
            head,
            title: "",
            subtitle: "",
            caption: "Mean attention over the data set from each position (rows) to each position (columns).",
            mean,
            queries,
            keys,
        }
    }

    /// The scene, laid out in `size` layout units. The row of the query in [`View::hover`], or else in [`View::selection`], is
    /// framed, so that it stays in step with the sentence view. Ids count the query positions.
    ///
    /// # Errors
    /// [`Error::Empty`] without positions, [`Error::Shape`] and [`Error::NotFinite`] for weights that do not fit.
    pub fn scene(&self, view: &View, size: [f32; 2]) -> Result<Scene, Error> {
        if self.queries == 0 || self.keys == 0 {
            return Err(Error::Empty { what: "the positions" });
        }
        check_weights(self.mean, self.queries, self.keys)?;
        let colors = view.colors();
        let most = self.mean.iter().copied().fold(0.0, f32::max);
        let name = format!("Mean attention of head {}", self.head);
        let page = Page {
            title: if self.title.is_empty() { &name } else { self.title },
            subtitle: self.subtitle,
            legend: vec![Entry::Ramp(
                colors.heat,
                "mean attention".into(),
                "0".into(),
                number(most),
            )],
            caption: self.caption,
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
            image: heat(self.mean, self.queries, self.keys, colors.heat, [0.0, most])?,
            smooth: false,
        });
        let mut front = Layer::default();
        for query in 0..self.queries {
            let row = Rect::new(rect.min[0], rect.min[1] + query as f32 * pitch, rect.width(), pitch);
            let id = u32::try_from(query).unwrap_or(u32::MAX);
            if [view.hover, view.selection]
                .into_iter()
                .flatten()
                .next()
                .map(|pick| pick.id)
                == Some(id)
            {
                let frame = Block::filled(panel, row, crate::Color::TRANSPARENT);
                front.blocks.push(frame.stroked(colors.accent, 1.5));
            }
            layer.regions.push(Region { panel, rect: row, id });
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
}

/// Positions that are written: every 1, 2, 5, 10, ... so that each has the room it needs; `room` is that of one.
fn shown(count: usize, room: f32) -> impl Iterator<Item = usize> {
    let steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];
    let enough = |step: &&usize| **step as f32 * room >= 1.4;
    let step = steps.iter().find(enough).copied().unwrap_or(10_000);
    (0..count).step_by(step)
}
