//! Text: labels, and rows of words on grounds of their own.

use std::sync::Arc;

use crate::Color;

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
    /// As floating, at the place around its anchor, or a little farther off, where it covers fewest points of its layer.
    OffPoints {
        /// Larger goes first; equal ones in the order of the scene.
        priority: f32,
        /// Distance to other labels, in layout units.
        margin: f32,
        /// At most so much farther off, in layout units.
        reach: f32,
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
    /// Its color.
    pub color: Color,
    /// Color of the rim that keeps it legible over other things.
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
