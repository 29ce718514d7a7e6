//! Lines, rectangles and pictures.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use crate::{Color, Image, geometry::Rect};

/// A straight line in two or three dimensions; with two widths it tapers, to 0 for an arrow's head.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Edge {
    /// Start, in data coordinates.
    pub from: [f32; 3],
    /// End, in data coordinates.
    pub to: [f32; 3],
    /// Color; its alpha is the opacity.
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
    /// Color; its alpha is the opacity.
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
