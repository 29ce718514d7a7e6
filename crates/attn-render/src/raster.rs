//! Images in memory.

use crate::Error;

/// An image: sRGB with straight alpha, four bytes a pixel, rows from top to bottom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    width: u32,
    height: u32,
    rgba: Vec<u8>,
}

impl Image {
    /// An image from its pixels, `[height, width, 4]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if `rgba` has another length; [`Error::Empty`] if a side is 0.
    pub fn new(width: u32, height: u32, rgba: Vec<u8>) -> Result<Self, Error> {
        if width == 0 || height == 0 {
            return Err(Error::Empty { what: "an image" });
        }
        let bytes = u64::from(width) * u64::from(height) * 4;
        if bytes != rgba.len() as u64 {
            let expected = format!("{bytes} bytes for {width} x {height} pixels");
            return Err(Error::Shape {
                what: "pixels",
                expected,
                found: format!("{} bytes", rgba.len()),
            });
        }
        Ok(Self { width, height, rgba })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The pixels, `[height, width, 4]`.
    pub fn rgba(&self) -> &[u8] {
        &self.rgba
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_must_fit() {
        assert!(matches!(Image::new(2, 2, vec![0; 15]), Err(Error::Shape { .. })));
        assert!(matches!(Image::new(0, 2, vec![]), Err(Error::Empty { .. })));
    }
}
