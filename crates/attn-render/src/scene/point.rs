//! Points: what there are millions of, so that they are as small as they can be and uploaded as they are.

use bytemuck::{Pod, Zeroable};

use crate::Color;

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
    /// Its color.
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
    const SOLID: u8 = 0x40;
    const PATCH: u8 = 0x80;
    /// Opacity of a solid point.
    #[cfg(feature = "svg")]
    pub(crate) const SOLID_OPACITY: f32 = 0.9;

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

    /// With another size relative to [`Panel::point_radius`](crate::scene::Panel::point_radius): 0 to 7.9 in steps of 1/32.
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

    /// Opaque whatever [`Panel::point_opacity`](crate::scene::Panel::point_opacity) is, as a highlighted point, or not.
    pub fn solid(mut self, solid: bool) -> Self {
        self.shape = (self.shape & !Self::SOLID) | if solid { Self::SOLID } else { 0 };
        self
    }

    /// Drawn as its part of the [layer's patches](crate::scene::Layer::patches), or as a point.
    pub fn as_patch(mut self, as_patch: bool) -> Self {
        self.shape = (self.shape & !Self::PATCH) | if as_patch { Self::PATCH } else { 0 };
        self
    }

    /// Whether it is drawn as a patch.
    pub fn is_patch(&self) -> bool {
        self.shape & Self::PATCH != 0
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

    /// Size relative to [`Panel::point_radius`](crate::scene::Panel::point_radius).
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

    /// Whether it is opaque whatever its panel says.
    pub fn is_solid(&self) -> bool {
        self.shape & Self::SOLID != 0
    }

    /// Whether hit tests can find it.
    pub fn is_pickable(&self) -> bool {
        self.id != Self::UNPICKABLE && self.shape & Self::HIDDEN == 0
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
        let point = point.dimmed(true).solid(true);
        assert_eq!(
            (point.panel(), point.shape(), point.size(), point.is_dimmed()),
            (65_535, Shape::Ring, 1.5, true)
        );
        assert!(point.is_solid() && !point.solid(false).is_solid() && !point.solid(false).is_hidden());
        assert!(point.is_pickable() && !point.hidden(true).is_pickable());
        assert_eq!(point.dimmed(false).shaped(Shape::Diamond).shape(), Shape::Diamond);
        assert_eq!(point.sized(f32::NAN).size(), 0.0);
        assert_eq!(point.sized(99.0).size(), 255.0 / 32.0);
    }
}
