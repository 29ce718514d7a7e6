//! What is to be seen, without any type of the GPU: panels, and layers of primitives placed in them.
//!
//! A scene is plain data. Renderers, hit tests, label placement and writers of other formats all read it through
//! the same [`Projection`](crate::Projection), so they agree on where everything is. Lengths named *layout units*
//! are pixels of an unscaled screen; a renderer fits [`Scene::size`] into whatever target it has.
//!
//! Primitives keep what they mean (text is text, a point has a shape), so that vector formats can be written.

use std::sync::Arc;

use attn_core::HeadId;
use bytemuck::{Pod, Zeroable};

use crate::{Bounds, Color, Image, Rect, Tracked};

/// What a panel's data coordinates mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Axes {
    /// Layout: two dimensions, y downwards.
    #[default]
    Page,
    /// A plot: two dimensions, y upwards.
    Plane,
    /// Three dimensions, y upwards, seen through [`View::orbit`](crate::View::orbit).
    Space,
}

/// What moves a panel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Motion {
    /// Nothing: titles, legends.
    #[default]
    Fixed,
    /// The panel itself moves with [`View::stage`](crate::View::stage), cut to [`Scene::stage`].
    Stage,
    /// The panel stays, its content moves with [`View::inside`](crate::View::inside).
    Inside,
}

/// A rectangle of the layout with coordinates of its own. Primitives name their panel by its index.
#[derive(Debug, Clone)]
pub struct Panel {
    /// The head it shows, if it shows one.
    pub head: Option<HeadId>,
    /// What a person calls it.
    pub title: String,
    /// Where it is, in layout units.
    pub rect: Rect,
    /// The data that fills it. Fitted with one factor for all axes, centred.
    pub bounds: Bounds,
    /// What its coordinates mean.
    pub axes: Axes,
    /// What moves it.
    pub motion: Motion,
    /// Radius of a point of relative size 1, in layout units.
    pub point_radius: f32,
    /// Opacity of points, 0 to 1.
    pub point_opacity: f32,
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
        }
    }
}

/// The outline of a point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Shape {
    /// A filled circle: queries.
    #[default]
    Disc = 0,
    /// A filled square on its corner: keys.
    Diamond = 1,
    /// A circle.
    Ring = 2,
    /// A filled square.
    Square = 3,
}

/// A point: 24 bytes, uploaded as it is.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Point {
    /// Data coordinates; z is 0 in flat panels.
    pub position: [f32; 3],
    /// Its colour.
    pub color: Color,
    panel: u16,
    size: u8,
    shape: u8,
    /// What hit tests report; [`Point::UNPICKABLE`] if nothing.
    pub id: u32,
}

impl Point {
    /// The id of a point that hit tests pass over.
    pub const UNPICKABLE: u32 = u32::MAX;
    /// Steps of [`Point::size`] in one.
    const SIZE_STEPS: f32 = 32.0;
    const DIMMED: u8 = 0x10;
    const HIDDEN: u8 = 0x20;

    /// A disc of relative size 1 in panel `panel`.
    pub fn new(panel: u16, position: [f32; 3], color: Color, id: u32) -> Self {
        Self {
            position,
            color,
            panel,
            size: 32,
            shape: 0,
            id,
        }
    }

    /// With another shape.
    pub fn shaped(mut self, shape: Shape) -> Self {
        self.shape = (self.shape & 0xF0) | shape as u8;
        self
    }

    /// With another size relative to [`Panel::point_radius`]: 0 to 7.9 in steps of 1/32.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0..=255"
    )]
    pub fn sized(mut self, size: f32) -> Self {
        self.size = (size * Self::SIZE_STEPS).round().clamp(0.0, 255.0) as u8;
        self
    }

    /// Drawn faintly, or not.
    pub fn dimmed(mut self, dimmed: bool) -> Self {
        self.shape = (self.shape & !Self::DIMMED) | if dimmed { Self::DIMMED } else { 0 };
        self
    }

    /// Neither drawn nor hit, or both.
    pub fn hidden(mut self, hidden: bool) -> Self {
        self.shape = (self.shape & !Self::HIDDEN) | if hidden { Self::HIDDEN } else { 0 };
        self
    }

    /// The panel's index.
    pub fn panel(&self) -> usize {
        usize::from(self.panel)
    }

    /// In another panel.
    pub fn in_panel(mut self, panel: u16) -> Self {
        self.panel = panel;
        self
    }

    /// The outline.
    pub fn shape(&self) -> Shape {
        match self.shape & 0x0F {
            0 => Shape::Disc,
            1 => Shape::Diamond,
            2 => Shape::Ring,
            _ => Shape::Square,
        }
    }

    /// Size relative to [`Panel::point_radius`].
    pub fn size(&self) -> f32 {
        f32::from(self.size) / Self::SIZE_STEPS
    }

    /// Whether it is drawn faintly.
    pub fn is_dimmed(&self) -> bool {
        self.shape & Self::DIMMED != 0
    }

    /// Whether it is neither drawn nor hit.
    pub fn is_hidden(&self) -> bool {
        self.shape & Self::HIDDEN != 0
    }

    /// Whether hit tests can find it.
    pub fn is_pickable(&self) -> bool {
        self.id != Self::UNPICKABLE && self.shape & Self::HIDDEN == 0
    }
}

/// A straight line in two or three dimensions; with two widths it tapers, to 0 for an arrow's head.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Edge {
    /// Start, in data coordinates.
    pub from: [f32; 3],
    /// End, in data coordinates.
    pub to: [f32; 3],
    /// Colour; its alpha is the opacity.
    pub color: Color,
    /// The panel's index; 32 bits wide for the sake of alignment.
    pub panel: u32,
    /// Width at start and end, in layout units.
    pub width: [f32; 2],
    /// How far the drawn line stays away from start and end, in layout units.
    pub gap: [f32; 2],
}

/// The course of a [`Curve`], in data coordinates.
#[derive(Debug, Clone, PartialEq)]
pub enum Path {
    /// A cubic Bézier curve: start, two control points, end.
    Cubic([[f32; 2]; 4]),
    /// Straight pieces.
    Line(Vec<[f32; 2]>),
}

/// A curved or broken line of one width, in a flat panel.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// The panel's index.
    pub panel: u16,
    /// Its course.
    pub path: Path,
    /// Colour; its alpha is the opacity.
    pub color: Color,
    /// Width in layout units.
    pub width: f32,
}

/// A rectangle with rounded corners, in a flat panel.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Block {
    /// One corner, in data coordinates.
    pub min: [f32; 2],
    /// The opposite corner.
    pub max: [f32; 2],
    /// Inside.
    pub fill: Color,
    /// Border, drawn inside the rectangle.
    pub stroke: Color,
    /// The panel's index.
    pub panel: u32,
    /// Corner radius, in layout units.
    pub radius: f32,
    /// Border width, in layout units; at least one pixel unless 0.
    pub stroke_width: f32,
}

impl Block {
    /// A filled rectangle.
    pub fn filled(panel: u16, rect: Rect, fill: Color) -> Self {
        let panel = panel.into();
        Self {
            min: rect.min,
            max: rect.max,
            fill,
            stroke: Color::TRANSPARENT,
            panel,
            radius: 0.0,
            stroke_width: 0.0,
        }
    }

    /// With a border.
    pub fn stroked(mut self, stroke: Color, width: f32) -> Self {
        self.stroke = stroke;
        self.stroke_width = width;
        self
    }

    /// With rounded corners.
    pub fn rounded(mut self, radius: f32) -> Self {
        self.radius = radius;
        self
    }
}

/// A picture in a flat panel.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The panel's index.
    pub panel: u16,
    /// Where, in data coordinates.
    pub rect: Rect,
    /// The pixels. The same `Arc` is uploaded once.
    pub image: Arc<Image>,
    /// Whether pixels are blended when enlarged; otherwise each stays a crisp square.
    pub smooth: bool,
}

/// Whether a label must be where it is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Placement {
    /// Always drawn. The default.
    #[default]
    Fixed,
    /// Drawn beside its anchor where nothing is in the way, higher priority first, else left out.
    Floating {
        /// Larger goes first; equal ones in the order of the scene.
        priority: f32,
        /// Distance to other labels, in layout units: the larger, the fewer labels.
        margin: f32,
        /// Around the anchor, other floating labels keep away so far, in layout units; 0 lets them cover it.
        clear: f32,
    },
}

/// A line of text.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// The panel's index.
    pub panel: u16,
    /// The anchor, in data coordinates.
    pub position: [f32; 3],
    /// From the anchor to the text, in layout units. For floating labels `offset[0]` is the distance kept.
    pub offset: [f32; 2],
    /// Which part of the text's box lies at the anchor: `[0, 0]` its left top, `[0.5, 0.5]` its middle.
    pub align: [f32; 2],
    /// The text.
    pub text: Arc<str>,
    /// Font size, in layout units.
    pub size: f32,
    /// Bold or regular.
    pub bold: bool,
    /// Its colour.
    pub color: Color,
    /// Colour of the rim that keeps it legible over other things.
    pub halo: Option<Color>,
    /// Grows with its panel's zoom, up to this factor; 1 keeps its size.
    pub grows: f32,
    /// Whether it must be where it is.
    pub placement: Placement,
    /// Drawn only where its panel is enlarged at least so much.
    pub visible_from: f32,
}

impl Label {
    /// A fixed label with its left top at `position`.
    pub fn new(panel: u16, position: [f32; 2], text: impl Into<Arc<str>>, size: f32, color: Color) -> Self {
        Self {
            panel,
            position: [position[0], position[1], 0.0],
            offset: [0.0; 2],
            align: [0.0; 2],
            text: text.into(),
            size,
            bold: false,
            color,
            halo: None,
            grows: 1.0,
            placement: Placement::Fixed,
            visible_from: 0.0,
        }
    }

    /// With another part of its box at the anchor.
    pub fn aligned(mut self, horizontal: f32, vertical: f32) -> Self {
        self.align = [horizontal, vertical];
        self
    }

    /// In bold.
    pub fn bold(mut self) -> Self {
        self.bold = true;
        self
    }
}

/// One cell of a [`GlyphRow`].
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Its text.
    pub text: Arc<str>,
    /// Behind the text.
    pub fill: Color,
    /// The text.
    pub color: Color,
}

/// Words or marks side by side, each on its own ground: a sentence with weights, a row of states.
#[derive(Debug, Clone, PartialEq)]
pub struct GlyphRow {
    /// The panel's index.
    pub panel: u16,
    /// Left top, in data coordinates.
    pub position: [f32; 2],
    /// Font size, in layout units.
    pub size: f32,
    /// Cells go to the next line before they would reach this width, in layout units.
    pub width: f32,
    /// The cells.
    pub cells: Vec<Cell>,
}

/// A rectangle that hit tests report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// The panel's index.
    pub panel: u16,
    /// Where, in data coordinates.
    pub rect: Rect,
    /// What hit tests report.
    pub id: u32,
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

    /// What the opacity of dimmed points is multiplied by. They stay visible as the ground of what is brought out; on a dark
    /// background that takes more, as pale marks fade faster into dark than dark ones into white.
    pub fn dimmed_opacity(&self) -> f32 {
        if self.background.luminance() < 0.2 { 0.34 } else { 0.2 }
    }

    /// The panel that shows `head`.
    pub fn panel_of(&self, head: HeadId) -> Option<usize> {
        self.panels.iter().position(|panel| panel.head == Some(head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_24_bytes_and_keeps_what_it_was_given() {
        assert_eq!(size_of::<Point>(), 24);
        let point = Point::new(65_535, [1.0, 2.0, 3.0], Color::hex(0x123456), 9)
            .shaped(Shape::Ring)
            .sized(1.5);
        let point = point.dimmed(true);
        assert_eq!(
            (point.panel(), point.shape(), point.size(), point.is_dimmed()),
            (65_535, Shape::Ring, 1.5, true)
        );
        assert!(point.is_pickable() && !point.hidden(true).is_pickable());
        assert_eq!(point.dimmed(false).shaped(Shape::Diamond).shape(), Shape::Diamond);
        assert_eq!(point.sized(f32::NAN).size(), 0.0);
        assert_eq!(point.sized(99.0).size(), 255.0 / 32.0);
    }
}
