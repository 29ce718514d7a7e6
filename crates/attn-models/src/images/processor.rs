//! From images to the pixels that a model takes, as `preprocessor_config.json` says.
//!
//! The reference resizes with Pillow on 8-bit pixels with an antialiasing filter; `fast_image_resize` implements
//! the same convolution. Then: crop of the center, scaling to 0..1, normalization per channel.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use fast_image_resize::{
    FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::{U8, U8x3},
};
use image::{DynamicImage, GrayImage, RgbImage};
use serde_json::Value;

use crate::{Error, Result, families::Config, model::Vision};

/// An image is never enlarged to more pixels than this: such a size is a corrupt setting.
const LARGEST: usize = 1 << 26;

/// What turns images into the pixels of one model.
#[derive(Debug, Clone)]
pub struct ImageProcessor {
    path: PathBuf,
    resize: Option<Resize>,
    filter: Filter,
    /// Height and width of the center that is kept.
    crop: Option<(usize, usize)>,
    rescale: f64,
    /// Mean and standard deviation per channel; none: not normalized.
    normalize: Option<(Vec<f64>, Vec<f64>)>,
}

#[derive(Debug, Clone, Copy)]
enum Resize {
    /// To this height and width, whatever the shape.
    Exact(usize, usize),
    /// So that the shorter edge has this length.
    Shortest(usize),
}

#[derive(Debug, Clone, Copy)]
enum Filter {
    Nearest,
    Smooth(FilterType),
}

impl ImageProcessor {
    /// Reads the content of a `preprocessor_config.json`; `path` is what errors name.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::Config`], [`Error::Unsupported`].
    pub fn new(bytes: &[u8], path: &Path) -> Result<Self> {
        let config = Config::parse(bytes, path)?;
        let kind = config
            .text("image_processor_type")?
            .or(config.text("feature_extractor_type")?)
            .unwrap_or_default();
        let vit = kind.starts_with("ViT");
        let cropped = config.flag_or("do_center_crop", false)?;
        let resize = if config.flag_or("do_resize", true)? {
            Some(match config.get("size") {
                Some(Value::Number(_)) if cropped => Resize::Shortest(config.size("size")?),
                Some(Value::Number(_)) => Resize::Exact(config.size("size")?, config.size("size")?),
                Some(Value::Object(_)) => {
                    let size = config.object("size")?.unwrap_or_else(|| config.clone());
                    match (
                        size.optional_size("height")?,
                        size.optional_size("width")?,
                        size.optional_size("shortest_edge")?,
                    ) {
                        (Some(height), Some(width), _) => Resize::Exact(height, width),
                        (_, _, Some(edge)) if size.get("longest_edge").is_none() => Resize::Shortest(edge),
                        _ => return Err(config.unsupported("size", "a number, height and width, or shortest_edge")),
                    }
                }
                _ => return Err(config.wrong("size", "a number, height and width, or shortest_edge")),
            })
        } else {
            None
        };
        let crop = if cropped {
            Some(match config.object("crop_size") {
                Ok(Some(size)) => (size.size("height")?, size.size("width")?),
                _ => (config.size("crop_size")?, config.size("crop_size")?),
            })
        } else {
            None
        };
        let filter = match config.get("resample").map(Value::as_u64) {
            None if vit => Filter::Smooth(FilterType::Bilinear),
            None => Filter::Smooth(FilterType::CatmullRom),
            Some(Some(0)) => Filter::Nearest,
            Some(Some(1)) => Filter::Smooth(FilterType::Lanczos3),
            Some(Some(2)) => Filter::Smooth(FilterType::Bilinear),
            Some(Some(3)) => Filter::Smooth(FilterType::CatmullRom),
            Some(Some(4)) => Filter::Smooth(FilterType::Box),
            Some(Some(5)) => Filter::Smooth(FilterType::Hamming),
            _ => return Err(config.wrong("resample", "a filter's number, 0 to 5")),
        };
        let rescale = if config.flag_or("do_rescale", true)? {
            config.positive_or("rescale_factor", 1.0 / 255.0)?
        } else {
            1.0
        };
        let normalize = if config.flag_or("do_normalize", true)? {
            let numbers = |key: &str| -> Result<Vec<f64>> {
                match config.get(key) {
                    None if vit => Ok(vec![0.5; 3]),
                    Some(Value::Number(_)) => Ok(vec![config.number_or(key, 0.5)?]),
                    value => {
                        let numbers = value
                            .and_then(Value::as_array)
                            .and_then(|list| list.iter().map(Value::as_f64).collect::<Option<Vec<_>>>());
                        numbers
                            .filter(|list| !list.is_empty())
                            .ok_or_else(|| config.wrong(key, "a number per channel"))
                    }
                }
            };
            let (mean, deviation) = (numbers("image_mean")?, numbers("image_std")?);
            if mean.len() != deviation.len() || deviation.iter().any(|value| *value <= 0.0) {
                return Err(config.wrong("image_std", format!("{} numbers above 0", mean.len())));
            }
            Some((mean, deviation))
        } else {
            None
        };
        Ok(Self {
            path: path.to_owned(),
            resize,
            filter,
            crop,
            rescale,
            normalize,
        })
    }

    /// Height and width of what it makes; `None` where that depends on the image.
    pub fn size(&self) -> Option<(usize, usize)> {
        match (self.crop, self.resize) {
            (Some(size), _) => Some(size),
            (None, Some(Resize::Exact(height, width))) => Some((height, width)),
            (None, _) => None,
        }
    }

    /// The pixels of one image as the model takes them, `[channels, height, width]` row by row.
    ///
    /// # Errors
    /// [`Error::Config`] if the preprocessor does not make images of the size and channels the model takes.
    pub fn pixels(&self, image: &DynamicImage, vision: &Vision) -> Result<Vec<f32>> {
        let mut raster = match vision.channels {
            1 => Raster::gray(image),
            3 => Raster::color(image),
            channels => return Err(self.misfit("images of 1 or 3 channels", format!("a model of {channels}"))),
        };
        if let Some(resize) = self.resize {
            raster = raster
                .resized(resize, self.filter)
                .map_err(|message| self.misfit("an image that can be resized", message))?;
        }
        if let Some((height, width)) = self.crop {
            raster = raster
                .cropped(height, width)
                .ok_or_else(|| self.misfit("a crop within the image", format!("crop of {height} x {width}")))?;
        }
        if (raster.height, raster.width) != (vision.height, vision.width) {
            let expected = format!("images of {} x {}, which the model takes", vision.height, vision.width);
            return Err(self.misfit(&expected, format!("{} x {}", raster.height, raster.width)));
        }
        let channels = raster.channels;
        let per_channel = |values: &[f64], channel: usize| match values {
            [one] => Some(*one),
            several if several.len() == channels => Some(several[channel]),
            _ => None,
        };
        let mut pixels = Vec::with_capacity(raster.values.len());
        for channel in 0..channels {
            let (mean, deviation) = match &self.normalize {
                None => (0.0, 1.0),
                Some((mean, deviation)) => per_channel(mean, channel)
                    .zip(per_channel(deviation, channel))
                    .ok_or_else(|| {
                        self.misfit(
                            &format!("image_mean for {channels} channels"),
                            format!("{}", mean.len()),
                        )
                    })?,
            };
            pixels.extend(
                raster
                    .values
                    .iter()
                    .skip(channel)
                    .step_by(channels)
                    .map(|&value| ((f64::from(value) * self.rescale - mean) / deviation) as f32),
            );
        }
        Ok(pixels)
    }

    /// A batch of images: `[batch, channels, height, width]`.
    ///
    /// # Errors
    /// As [`pixels`](Self::pixels), and [`Error::Empty`] without images.
    pub fn batch(&self, images: &[DynamicImage], vision: &Vision) -> Result<Tensor> {
        if images.is_empty() {
            return Err(Error::Empty {
                place: "images".to_owned(),
                message: "at least one image".to_owned(),
            });
        }
        let mut pixels = Vec::new();
        for image in images {
            pixels.extend(self.pixels(image, vision)?);
        }
        Ok(Tensor::from_vec(
            pixels,
            (images.len(), vision.channels, vision.height, vision.width),
            &Device::Cpu,
        )?)
    }

    fn misfit(&self, expected: &str, found: String) -> Error {
        Error::Config {
            path: self.path.clone(),
            key: "size".to_owned(),
            expected: expected.to_owned(),
            found,
        }
    }
}

/// 8-bit pixels, channels interleaved.
struct Raster {
    values: Vec<u8>,
    channels: usize,
    height: usize,
    width: usize,
}

impl Raster {
    fn color(image: &DynamicImage) -> Self {
        let rgb: RgbImage = image.to_rgb8();
        Self {
            channels: 3,
            height: rgb.height() as usize,
            width: rgb.width() as usize,
            values: rgb.into_raw(),
        }
    }

    /// Gray by the luma weights of ITU-R 601 in 16-bit fixed point, as Pillow does.
    fn gray(image: &DynamicImage) -> Self {
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

    fn resized(self, resize: Resize, filter: Filter) -> Result<Self, String> {
        let (height, width) = match resize {
            Resize::Exact(height, width) => (height, width),
            Resize::Shortest(edge) => {
                let (short, long) = (self.height.min(self.width).max(1), self.height.max(self.width));
                let other = edge.saturating_mul(long) / short;
                if self.height <= self.width {
                    (edge, other)
                } else {
                    (other, edge)
                }
            }
        };
        if (height, width) == (self.height, self.width) {
            return Ok(self);
        }
        if height.checked_mul(width).is_none_or(|pixels| pixels > LARGEST) {
            return Err(format!("{height} x {width} pixels"));
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

    /// The center; `None` if the image is smaller.
    fn cropped(&self, height: usize, width: usize) -> Option<Self> {
        let top = self.height.checked_sub(height)? / 2;
        let left = self.width.checked_sub(width)? / 2;
        let row = |y: usize| {
            let start = (y * self.width + left) * self.channels;
            &self.values[start..start + width * self.channels]
        };
        let values = (top..top + height).flat_map(row).copied().collect();
        Some(Self {
            values,
            channels: self.channels,
            height,
            width,
        })
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
