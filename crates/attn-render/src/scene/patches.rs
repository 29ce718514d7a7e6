//! Patches of pictures in the place of points: what a token of a vision transformer is, where it lies.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Error, Image};

/// How patches show their points' colors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatchStyle {
    /// As a frame. The default.
    #[default]
    Outlined,
    /// As a veil over the patch.
    Tinted,
    /// Not at all.
    Plain,
}

impl PatchStyle {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Outlined, Self::Tinted, Self::Plain];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Outlined => "outlined",
            Self::Tinted => "tinted",
            Self::Plain => "plain",
        }
    }

    /// Width of the frame in layout units, and the share of the patch's color in the image.
    #[cfg(any(feature = "svg", feature = "wgpu"))]
    pub(crate) fn frame_and_tint(self) -> (f32, f32) {
        match self {
            Self::Outlined => (1.0, 0.0),
            Self::Tinted => (0.0, 0.45),
            Self::Plain => (0.0, 0.0),
        }
    }
}

impl std::str::FromStr for PatchStyle {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|style| style.name() == text);
        found.ok_or_else(|| Error::Shape {
            what: "style of patches",
            expected: Self::ALL.map(Self::name).join(", "),
            found: text.to_owned(),
        })
    }
}

/// Parts of a picture that stand in the place of [points that say so](crate::scene::Point::as_patch), each a square of its point's size and
/// color.
#[derive(Debug, Clone)]
pub struct Patches {
    /// The picture they are parts of.
    pub sheet: Arc<Image>,
    /// Left, top, width and height in the sheet, in pixels, by the points' ids; of no width for points that are no patches.
    pub parts: Arc<[[u16; 4]]>,
    /// How they show their points' colors.
    pub style: PatchStyle,
}

impl Patches {
    /// The part that a point of this id is drawn as.
    pub fn part(&self, id: u32) -> Option<[u16; 4]> {
        let part = self.parts.get(id as usize).copied()?;
        (part[2] > 0 && part[3] > 0).then_some(part)
    }

    /// Refuses parts that reach beyond the sheet.
    #[cfg(feature = "wgpu")]
    pub(crate) fn check(&self) -> Result<(), Error> {
        let (width, height) = (self.sheet.width(), self.sheet.height());
        let beyond = |part: &&[u16; 4]| {
            u32::from(part[0]) + u32::from(part[2]) > width || u32::from(part[1]) + u32::from(part[3]) > height
        };
        match self.parts.iter().find(beyond) {
            None => Ok(()),
            Some(part) => Err(Error::Shape {
                what: "part of a sheet of patches",
                expected: format!("within {width} x {height} pixels"),
                found: format!("{} x {} pixels from {}, {}", part[2], part[3], part[0], part[1]),
            }),
        }
    }
}
