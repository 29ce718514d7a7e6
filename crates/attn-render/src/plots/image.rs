//! A vision transformer's attention on its picture: where one patch looks, and where every patch looks most
//! (AttentionViz, Yeh et al. 2023, the image view).

use std::sync::Arc;

use attn_core::HeadId;

use super::{
    head_grid::ink_on,
    kit::{LegendEntry, Page, number},
    tables::{TokenOrigin, pairs, push_pair_origins},
};
use crate::{
    Color, Error, Image, Plot, Result, Scene, Table, ViewState,
    attention::{Link, check_weights, strongest},
    color::Colors,
    geometry::Rect,
    scene::{Block, Edge, Label, Layer, Motion, Panel, Picture, Point, Region, Shape},
};

/// Which flows between patches are drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flows {
    /// The strongest of each patch, from weight 0.05. The default.
    #[default]
    Strongest,
    /// All from weight 0.1, width by weight, opacity its fourth root.
    All,
}

/// One picture's attention in one head.
#[derive(Debug, Clone)]
pub struct ImageAttention {
    /// Which head.
    pub head: HeadId,
    /// In bold above everything; the head's name by default.
    pub title: String,
    /// Under the title, in small print.
    pub subtitle: String,
    /// Under the pictures. The default says what is seen.
    pub caption: String,
    /// The picture, in the proportions the model saw.
    pub picture: Arc<Image>,
    /// Patches from top to bottom.
    pub rows: usize,
    /// Patches from left to right.
    pub columns: usize,
    /// Tokens before the patches, such as the class token (1) or a distillation token (2).
    pub special: usize,
    /// Which tokens the queries and the keys are, for tables; empty, the default, for unknown.
    pub origins: [Arc<[TokenOrigin]>; 2],
    /// `[query, key]` over special tokens and patches, row by row.
    pub attention: Arc<[f32]>,
    /// The token whose attention is the heat map, unless [`ViewState::selection`] names another. By default the patch in
    /// the middle.
    pub token: usize,
    /// Which flows are drawn, unless [`Shared::all_flows`](crate::state::Shared::all_flows) asks for all.
    pub flows: Flows,
}

const STRONGEST: f32 = 0.05;
const ALL: f32 = 0.1;
/// Arrows over pictures: light, on a dark rim, legible on anything.
const ARROW: Color = Color::hex(0xFFFFFF);
const RIM: Color = Color::hex(0x101418);

impl ImageAttention {
    /// The middle patch's heat map and the strongest flows.
    pub fn new(
        head: HeadId,
        picture: Arc<Image>,
        rows: usize,
        columns: usize,
        special: usize,
        attention: impl Into<Arc<[f32]>>,
    ) -> Self {
        // Sizes that do not fit the weights are refused when it is drawn.
        let middle = (rows / 2).saturating_mul(columns).saturating_add(columns / 2);
        let token = special.saturating_add(middle);
        Self {
            head,
            title: String::new(),
            subtitle: String::new(),
            caption: String::new(),
            picture,
            rows,
            columns,
            special,
            origins: Default::default(),
            attention: attention.into(),
            token,
            flows: Flows::default(),
        }
    }

    /// How many tokens there are, if everything fits together.
    fn tokens(&self) -> Result<usize> {
        let tokens = self.special.saturating_add(self.rows.saturating_mul(self.columns));
        if self.rows == 0 || self.columns == 0 {
            return Err(Error::Empty { what: "the patches" });
        }
        check_weights(&self.attention, tokens, tokens)?;
        Ok(tokens)
    }

    /// Where the two pictures go.
    fn places(&self, content: Rect) -> [Grid; 2] {
        let ratio = self.picture.height() as f32 / self.picture.width() as f32;
        let side_by_side = content.width() > 1.1 * content.height() * ratio.min(1.0);
        let gap = 22.0;
        let halves = if side_by_side {
            let width = 0.5 * (content.width() - gap);
            [0.0, 1.0].map(|i| {
                Rect::new(
                    content.min[0] + i * (width + gap),
                    content.min[1],
                    width,
                    content.height(),
                )
            })
        } else {
            let height = 0.5 * (content.height() - gap);
            [0.0, 1.0].map(|i| {
                Rect::new(
                    content.min[0],
                    content.min[1] + i * (height + gap),
                    content.width(),
                    height,
                )
            })
        };
        let above = HEADING + if self.special > 0 { SPECIAL + 6.0 } else { 0.0 };
        halves.map(|half| {
            let width = half.width().min((half.height() - above).max(1.0) / ratio).max(1.0);
            // The two pictures lie against the middle.
            let left = half.min[0] + 0.5 * (half.width() - width);
            let rect = Rect::new(left, half.min[1] + above, width, width * ratio);
            Grid {
                rect,
                rows: self.rows,
                columns: self.columns,
                special: self.special,
            }
        })
    }

    /// The picture, its patches and what can be hit.
    /// `special` is the color of a special token's box.
    fn ground(
        &self,
        layer: &mut Layer,
        panel: u16,
        grid: &Grid,
        heading: &str,
        colors: &Colors,
        special: impl Fn(usize) -> Color,
    ) {
        let top = grid.rect.min[1] - if self.special > 0 { SPECIAL + 6.0 } else { 0.0 } - HEADING;
        layer
            .labels
            .push(Label::new(panel, [grid.rect.min[0], top], heading, 10.5, colors.text));
        layer.pictures.push(Picture {
            panel,
            rect: grid.rect,
            image: self.picture.clone(),
            smooth: false,
        });
        for id in 0..self.special + self.rows * self.columns {
            let rect = grid.place(id);
            if id < self.special {
                layer
                    .blocks
                    .push(Block::filled(panel, rect, special(id)).stroked(colors.frame, 1.0));
                let text = if self.special == 1 {
                    "CLS".to_owned()
                } else {
                    format!("S{id}")
                };
                // Its box may be bright in the dark theme, and dark in the light one.
                let ink = ink_on(special(id));
                let mut label = Label::new(panel, rect.center(), text, 8.0, ink).aligned(0.5, 0.5);
                label.grows = 2.0;
                layer.labels.push(label);
            }
            layer.regions.push(Region::item(panel, rect, id));
        }
    }

    fn heat(&self, layer: &mut Layer, panel: u16, grid: &Grid, token: usize, row: &[f32], most: f32, colors: &Colors) {
        for (id, &weight) in row.iter().enumerate() {
            let share = if most > 0.0 {
                (weight / most).clamp(0.0, 1.0)
            } else {
                0.0
            };
            // Where nothing is, the picture is darkened; where much is, the color covers it.
            let color = colors.heat.at(share).alpha(0.36 + 0.5 * share);
            if id >= self.special {
                layer.blocks.push(Block::filled(panel, grid.place(id), color));
            }
        }
        let outline = |by: f32, color, width| {
            Block::filled(panel, grid.place(token).shrink(by), Color::TRANSPARENT).stroked(color, width)
        };
        layer.blocks.push(outline(-1.0, RIM, 3.0));
        layer.blocks.push(outline(-0.0, ARROW, 1.5));
    }

    fn flows(&self, layer: &mut Layer, panel: u16, grid: &Grid, tokens: usize, flows: Flows) -> Result<()> {
        // Darkened a little, so that the arrows stand out.
        layer.blocks.push(Block::filled(panel, grid.rect, RIM.alpha(0.25)));
        grid.lines(layer, panel);
        let (per_patch, least) = match flows {
            Flows::Strongest => (1, STRONGEST),
            Flows::All => (tokens, ALL),
        };
        let mut links = strongest(&self.attention, tokens, tokens, per_patch, least)?;
        links.sort_by(|a, b| a.weight.total_cmp(&b.weight));
        for link in links {
            let (width, opacity) = match flows {
                Flows::Strongest => (1.7, 0.5 + 0.5 * link.weight.clamp(0.0, 1.0).sqrt()),
                Flows::All => (0.7 + 2.6 * link.weight, link.weight.max(0.0).powf(0.25)),
            };
            self.flow(layer, panel, grid, link, width, opacity);
        }
        Ok(())
    }

    fn flow(&self, layer: &mut Layer, panel: u16, grid: &Grid, link: Link, width: f32, opacity: f32) {
        let at = |id: usize| {
            let [x, y] = grid.place(id).center();
            [x, y, 0.0]
        };
        let (from, to) = (at(link.query), at(link.key));
        let patch = grid.patch();
        let mark = |shape, size: f32| {
            let size = size * (0.055 * patch).clamp(0.5, 1.3);
            let sign = |color: Color, size| {
                Point::new(panel, from, color, Point::UNPICKABLE)
                    .shaped(shape)
                    .sized(size)
            };
            [
                sign(RIM.alpha(0.8 * opacity), 1.35 * size),
                sign(ARROW.alpha(opacity), size),
            ]
        };
        if link.query == link.key {
            layer.points.extend(mark(Shape::Ring, 1.1));
        } else if link.key < self.special {
            layer.points.extend(mark(Shape::Square, 0.8));
        } else {
            let length = (to[0] - from[0]).hypot(to[1] - from[1]).max(1e-3);
            let along = [(to[0] - from[0]) / length, (to[1] - from[1]) / length];
            let head = (0.2 * patch).clamp(3.0, 5.0) + 1.6 * width;
            // Heads end short of the middle so that arrows into one patch can be told apart.
            let on = |distance: f32| [from[0] + distance * along[0], from[1] + distance * along[1], 0.0];
            let (start, neck, tip) = (
                on(0.12 * patch),
                on(length - 0.2 * patch - head),
                on(length - 0.2 * patch),
            );
            let edge = |from, to, color: Color, width| Edge {
                from,
                to,
                color,
                panel: panel.into(),
                width,
                gap: [0.0; 2],
            };
            let (rim, ink) = (RIM.alpha(0.7 * opacity), ARROW.alpha(opacity));
            let tip_rim = on(length - 0.2 * patch + 1.5);
            layer.edges.extend([
                edge(start, neck, rim, [width + 1.6; 2]),
                edge(
                    on(length - 0.2 * patch - head - 1.0),
                    tip_rim,
                    rim,
                    [0.9 * head + 3.0, 0.0],
                ),
                edge(start, neck, ink, [width; 2]),
                edge(neck, tip, ink, [0.9 * head, 0.0]),
            ]);
        }
    }
}

impl Plot for ImageAttention {
    /// The scene, laid out in `size` layout units: the heat map and the flows side by side, or one above the other.
    /// Ids count the special tokens, then the patches row by row.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        let tokens = self.tokens()?;
        let selected = state.selection.map(|pick| pick.id as usize).filter(|id| *id < tokens);
        let token = selected.unwrap_or(self.token);
        if token >= tokens {
            let expected = format!("below {tokens} (special tokens and patches)");
            return Err(Error::Shape {
                what: "token of the heat map",
                expected,
                found: token.to_string(),
            });
        }
        let row = &self.attention[token * tokens..(token + 1) * tokens];
        let most = row[self.special..].iter().copied().fold(0.0, f32::max);
        let colors = state.colors();
        let flows = if state.shared.all_flows { Flows::All } else { self.flows };
        let mut legend = vec![
            LegendEntry::Ramp(colors.heat, "attention".into(), "0".into(), number(most)),
            LegendEntry::Arrow(
                colors.text,
                match flows {
                    Flows::Strongest => "strongest flow (≥ 0.05)".into(),
                    Flows::All => "flows (≥ 0.1)".into(),
                },
            ),
            LegendEntry::Mark(Shape::Ring, colors.text, "to itself".into()),
        ];
        if self.special > 0 {
            legend.push(LegendEntry::Mark(
                Shape::Square,
                colors.text,
                "to a special token".into(),
            ));
        }
        let name = format!("Attention of head {}", self.head);
        let page = Page {
            title: if self.title.is_empty() { &name } else { &self.title },
            subtitle: &self.subtitle,
            legend,
            caption: if self.caption.is_empty() {
                "a: attention of the outlined patch to each patch. b: arrows from each patch to the patches it attends to."
            } else {
                &self.caption
            },
        };
        let (mut scene, content) = page.start(size, &colors)?;
        scene.stage = content;
        let panel = scene.add_panel(Panel {
            head: Some(self.head),
            ..Panel::page(content, Motion::Inside)
        });
        scene.panels[usize::from(panel)].point_radius = 4.0;
        let [heat, flow] = self.places(content);
        let mut layer = Layer::default();
        let what = if token < self.special {
            "special token".to_owned()
        } else {
            format!(
                "patch {},{}",
                (token - self.special) / self.columns,
                (token - self.special) % self.columns
            )
        };
        // Special tokens are colored by attention too, as boxes.
        let attended = |id: usize| {
            let share = if most > 0.0 {
                (row[id] / most).clamp(0.0, 1.0)
            } else {
                0.0
            };
            colors.panel.mix(colors.heat.at(share), 0.85 * share)
        };
        let heading = format!("a  attention of the {what}");
        self.ground(&mut layer, panel, &heat, &heading, &colors, attended);
        self.heat(&mut layer, panel, &heat, token, row, most, &colors);
        let what = match flows {
            Flows::Strongest => "b  strongest target of each patch",
            Flows::All => "b  every weight of at least 0.1",
        };
        self.ground(&mut layer, panel, &flow, what, &colors, |_| colors.panel);
        self.flows(&mut layer, panel, &flow, tokens, flows)?;
        scene.layers.push(layer);
        Ok(scene)
    }

    /// The weights, a row per pair of tokens: query and key, special tokens first, then patches row by row.
    fn table(&self, _: &ViewState) -> Result<Table> {
        let tokens = self.tokens()?;
        let mut table = pairs(&self.attention, tokens);
        push_pair_origins(&mut table, &self.origins, |pair| (pair / tokens, pair % tokens));
        Ok(table)
    }

    /// A size at which the patches are easily told apart.
    fn natural_size(&self) -> [f32; 2] {
        let ratio = self.picture.height() as f32 / self.picture.width() as f32;
        [900.0, (400.0 * ratio).clamp(150.0, 900.0) + 230.0]
    }
}

/// Height of a heading, and of the boxes of special tokens.
const HEADING: f32 = 19.0;
const SPECIAL: f32 = 20.0;

/// The patches of one picture.
struct Grid {
    rect: Rect,
    rows: usize,
    columns: usize,
    special: usize,
}

impl Grid {
    /// Where a token is: special ones stand in a row above the picture.
    fn place(&self, id: usize) -> Rect {
        if id < self.special {
            let left = self.rect.min[0] + id as f32 * 34.0;
            return Rect::new(left, self.rect.min[1] - SPECIAL - 4.0, 30.0, SPECIAL);
        }
        let (row, column) = ((id - self.special) / self.columns, (id - self.special) % self.columns);
        let (width, height) = (
            self.rect.width() / self.columns as f32,
            self.rect.height() / self.rows as f32,
        );
        Rect::new(
            self.rect.min[0] + column as f32 * width,
            self.rect.min[1] + row as f32 * height,
            width,
            height,
        )
    }

    /// The shorter side of a patch.
    fn patch(&self) -> f32 {
        (self.rect.width() / self.columns as f32).min(self.rect.height() / self.rows as f32)
    }

    /// The borders between patches.
    fn lines(&self, layer: &mut Layer, panel: u16) {
        let line = |from: [f32; 2], to: [f32; 2]| Edge {
            from: [from[0], from[1], 0.0],
            to: [to[0], to[1], 0.0],
            color: ARROW.alpha(0.22),
            panel: panel.into(),
            width: [0.7; 2],
            gap: [0.0; 2],
        };
        let (min, max) = (self.rect.min, self.rect.max);
        layer.edges.extend((1..self.columns).map(|column| {
            let x = min[0] + self.rect.width() * column as f32 / self.columns as f32;
            line([x, min[1]], [x, max[1]])
        }));
        layer.edges.extend((1..self.rows).map(|row| {
            let y = min[1] + self.rect.height() * row as f32 / self.rows as f32;
            line([min[0], y], [max[0], y])
        }));
    }
}

#[cfg(test)]
mod tests;
