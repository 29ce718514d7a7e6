//! 8-bit pixels, resized as Pillow does it and cropped as the reference does it.

use fast_image_resize::{
    PixelTrait, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::{U8, U8x3},
};
use image::{DynamicImage, GrayImage, RgbImage};

use super::settings::Filter;

/// 8-bit pixels, channels interleaved.
pub(super) struct Raster {
    pub(super) values: Vec<u8>,
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Raster {
    pub(super) fn color(image: &DynamicImage) -> Self {
        let rgb: RgbImage = image.to_rgb8();
        Self {
            channels: 3,
            height: rgb.height() as usize,
            width: rgb.width() as usize,
            values: rgb.into_raw(),
        }
    }

    /// Gray by the luma weights of ITU-R 601 in 16-bit fixed point, as Pillow does.
    pub(super) fn gray(image: &DynamicImage) -> Self {
        if let DynamicImage::ImageLuma8(gray) = image {
            let gray: GrayImage = gray.clone();
            return Self {
                channels: 1,
                height: gray.height() as usize,
                width: gray.width() as usize,
                values: gray.into_raw(),
            };
        }
        let color = Self::color(image);
        let luma = |pixel: &[u8; 3]| {
            let [red, green, blue] = pixel.map(u32::from);
            let sum = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
            u8::try_from(sum).unwrap_or(u8::MAX)
        };
        Self {
            values: color.values.as_chunks::<3>().0.iter().map(luma).collect(),
            channels: 1,
            ..color
        }
    }

    /// The image at another size. It has to fit memory twice, and once at its own height and the new width.
    pub(super) fn resized(self, height: usize, width: usize, filter: Filter) -> Result<Self, String> {
        if (height, width) == (self.height, self.width) {
            return Ok(self);
        }
        // Pillow filters rows before columns and rounds between the two; `fast_image_resize` would do columns first.
        let own_height = self.height;
        self.filtered(own_height, width, filter)?
            .filtered(height, width, filter)
    }

    fn filtered(self, height: usize, width: usize, filter: Filter) -> Result<Self, String> {
        let values = if self.channels == 1 {
            convolve::<U8>(&self, height, width, filter)?
        } else {
            convolve::<U8x3>(&self, height, width, filter)?
        };
        Ok(Self {
            values,
            height,
            width,
            ..self
        })
    }

    /// The center of so many pixels. A smaller image gets black borders, of which the upper and the left one are the wider
    /// where they are not equal.
    pub(super) fn cropped(&self, height: usize, width: usize) -> Self {
        // First pixel that is kept, and first place it has.
        let place = |own: usize, new: usize| (own.saturating_sub(new) / 2, new.saturating_sub(own).div_ceil(2));
        let ((top, down), (left, right)) = (place(self.height, height), place(self.width, width));
        let rows = self.height.min(height);
        let length = self.width.min(width) * self.channels;
        let mut values = vec![0; height * width * self.channels];
        for row in 0..rows {
            let from = ((top + row) * self.width + left) * self.channels;
            let to = ((down + row) * width + right) * self.channels;
            values[to..to + length].copy_from_slice(&self.values[from..from + length]);
        }
        Self {
            values,
            channels: self.channels,
            height,
            width,
        }
    }
}

/// Resizes pixels of one type. (`resize_typed` instead of `resize`: the latter compiles kernels for every pixel type.)
fn convolve<P: PixelTrait>(raster: &Raster, height: usize, width: usize, filter: Filter) -> Result<Vec<u8>, String> {
    let side = |length: usize| u32::try_from(length).map_err(|_| format!("{length} pixels"));
    let source = TypedImageRef::<P>::from_buffer(side(raster.width)?, side(raster.height)?, &raster.values);
    let source = source.map_err(|error| error.to_string())?;
    let mut values = vec![0; height * width * raster.channels];
    let target = TypedImage::<P>::from_buffer(side(width)?, side(height)?, &mut values);
    let algorithm = match filter {
        Filter::Nearest => ResizeAlg::Nearest,
        Filter::Smooth(filter) => ResizeAlg::Convolution(filter),
    };
    let options = ResizeOptions::new().resize_alg(algorithm).use_alpha(false);
    Resizer::new()
        .resize_typed(&source, &mut target.map_err(|error| error.to_string())?, &options)
        .map_err(|error| error.to_string())?;
    Ok(values)
}
