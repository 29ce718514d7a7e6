//! What is to be seen, without any type of the GPU: panels, and layers of primitives placed in them.
//!
//! A scene is plain data. Renderers, hit tests, label placement and writers of other formats all read it through
//! the same [`Projection`](crate::projection::Projection), so they agree on where everything is. Lengths named *layout units*
//! are pixels of an unscaled screen; a renderer fits [`Scene::size`] into whatever target it has.
//!
//! Primitives keep what they mean (text is text, a point has a shape), so that vector formats can be written.

mod figures;
mod patches;
mod point;
mod text;

use attn_core::HeadId;

pub use self::{
    figures::{Block, Curve, Edge, Path, Picture},
    patches::{PatchStyle, Patches},
    point::{Point, Shape},
    text::{Cell, GlyphRow, Label, Placement},
};
use crate::{
    Color, Target, Tracked,
    geometry::{Bounds, Rect},
};

/// What a panel's data coordinates mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Axes {
    /// Layout: two dimensions, y downwards.
    #[default]
    Page,
    /// A plot: two dimensions, y upwards.
    Plane,
    /// Three dimensions, y upwards, seen through [`ViewState::orbit`](crate::ViewState::orbit).
    Space,
}

/// What moves a panel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Motion {
    /// Nothing: titles, legends.
    #[default]
    Fixed,
    /// The panel itself moves with [`ViewState::stage`](crate::ViewState::stage), cut to [`Scene::stage`].
    Stage,
    /// The panel stays, its content moves with [`ViewState::inside`](crate::ViewState::inside).
    Inside,
}

/// A rectangle of the layout with coordinates of its own. Primitives name their panel by its index.
#[derive(Debug, Clone)]
pub struct Panel {
    /// The head it shows, if it shows one.
    pub head: Option<HeadId>,
    /// Its name for users.
    pub title: String,
    /// Where it is, in layout units.
    pub rect: Rect,
    /// The data that fills it. Fitted with one factor for all axes, centered.
    pub bounds: Bounds,
    /// What its coordinates mean.
    pub axes: Axes,
    /// What moves it.
    pub motion: Motion,
    /// Radius of a point of relative size 1, in layout units.
    pub point_radius: f32,
    /// Opacity of points, 0 to 1.
    pub point_opacity: f32,
    /// The rows that it shows a part of, if it does.
    pub rows: Option<Rows>,
}

/// Rows of which a panel shows those from [`ViewState::first_token`](crate::ViewState::first_token) on. The wheel, a drag and two fingers
/// go through them instead of moving a camera.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rows {
    /// Height of a row, in layout units.
    pub height: f32,
    /// The first row in sight at the end.
    pub last: u32,
}

impl Panel {
    /// A panel whose coordinates are layout units.
    pub fn page(rect: Rect, motion: Motion) -> Self {
        Self {
            head: None,
            title: String::new(),
            rect,
            bounds: Bounds::page(rect),
            axes: Axes::Page,
            motion,
            point_radius: 3.0,
            point_opacity: 1.0,
            rows: None,
        }
    }
}

/// A rectangle that hit tests report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// The panel's index.
    pub panel: u16,
    /// Where, in data coordinates.
    pub rect: Rect,
    /// What hit tests report. The head of an item is that of the panel.
    pub target: Target,
}

impl Region {
    /// A rectangle that stands for the item `id`: a token, a patch, a bar, a node.
    pub fn item(panel: u16, rect: Rect, id: usize) -> Self {
        Self {
            panel,
            rect,
            target: Target::item(id),
        }
    }

    /// A rectangle that stands for the token `id` of a sentence, which a click switches off.
    pub fn token(panel: u16, rect: Rect, id: usize) -> Self {
        let Target::Item(pick) = Target::item(id) else {
            return Self::item(panel, rect, id);
        };
        Self {
            panel,
            rect,
            target: Target::Token(pick),
        }
    }

    /// The id of its item, if it stands for one.
    pub fn id(&self) -> Option<u32> {
        self.target.id()
    }
}

/// How the points of a layer cover each other.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Blending {
    /// Later points cover earlier ones, so that each keeps its outline and its color. The default.
    #[default]
    InOrder,
    /// For crowds: a pixel's color is the mean of the points on it, weighted by what each of them covers, and its opacity that
    /// of them all. The picture does not depend on their order (after McGuire and Bavoil 2013). Vector files, which cannot do
    /// it, have the points in order.
    Mixed {
        /// What the opacity of all is multiplied by, so that a crowd can be dimmed as a whole; 1 by default. That points are
        /// dimmed says nothing here.
        opacity: f32,
    },
}

impl Blending {
    /// Mixed, and as opaque as the points are.
    pub const MIXED: Self = Self::Mixed { opacity: 1.0 };
}

/// Primitives that are drawn together, in the order of the fields.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    /// Pictures.
    pub pictures: Tracked<Picture>,
    /// Rectangles.
    pub blocks: Tracked<Block>,
    /// Curves.
    pub curves: Tracked<Curve>,
    /// Straight lines.
    pub edges: Tracked<Edge>,
    /// Points: one draw, however many panels.
    pub points: Tracked<Point>,
    /// How these points cover each other.
    pub blending: Blending,
    /// Patches of pictures in the place of these points; `None`, the default, for points. Where points are
    /// [mixed](Blending::Mixed), patches still cover each other.
    pub patches: Option<Patches>,
    /// Rows of words or marks.
    pub rows: Vec<GlyphRow>,
    /// Text.
    pub labels: Vec<Label>,
    /// Invisible places that can be hit.
    pub regions: Vec<Region>,
}

/// Panels, and layers from back to front.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Width and height of the layout.
    pub size: [f32; 2],
    /// The part of the layout in which [`Motion::Stage`] panels move.
    pub stage: Rect,
    /// What the target is cleared to.
    pub background: Color,
    /// The panels; primitives can name the first 65,535.
    pub panels: Vec<Panel>,
    /// The layers, back to front.
    pub layers: Vec<Layer>,
    /// In front of everything, for what changes with the pointer; hit tests pass over it.
    pub overlay: Layer,
}

impl Scene {
    /// An empty scene whose first panel is the whole page, in layout units, and never moves.
    pub fn new(size: [f32; 2], background: Color) -> Self {
        let stage = Rect::new(0.0, 0.0, size[0], size[1]);
        Self {
            size,
            stage,
            background,
            panels: vec![Panel::page(stage, Motion::Fixed)],
            layers: vec![Layer::default()],
            overlay: Layer::default(),
        }
    }

    /// The layers and the overlay, back to front.
    pub fn drawn_layers(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().chain([&self.overlay])
    }

    /// Adds a panel and returns its index.
    pub fn add_panel(&mut self, panel: Panel) -> u16 {
        self.panels.push(panel);
        u16::try_from(self.panels.len() - 1).unwrap_or(u16::MAX)
    }

    /// What the opacity of dimmed points is multiplied by, of single ones and of a crowd as a whole. They stay visible as the
    /// ground of highlighted points; on a dark background that takes more, as pale marks fade faster into dark than dark ones
    /// into white.
    pub fn dimmed_opacity(&self) -> f32 {
        if self.is_dark() { 0.5 } else { 0.35 }
    }

    /// Whether its background is dark.
    pub(crate) fn is_dark(&self) -> bool {
        self.background.luminance() < 0.2
    }

    /// The panel that shows `head`.
    pub fn panel_of(&self, head: HeadId) -> Option<usize> {
        self.panels.iter().position(|panel| panel.head == Some(head))
    }
}
