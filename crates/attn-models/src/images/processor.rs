//! From images to the pixels that a model takes, as `preprocessor_config.json` says.
//!
//! The reference resizes with Pillow on 8-bit pixels with an antialiasing filter; `fast_image_resize` implements
//! the same convolution. Then: crop of the center, scaling to 0..1, normalization per channel.

use std::path::{Path, PathBuf};

use attn_core::Limits;
use candle_core::{Device, Tensor};
use image::DynamicImage;

use super::{
    raster::Raster,
    settings::{Resize, Settings},
};
use crate::{Error, Result, families::Config, model::Vision};

/// What turns images into the pixels of one model.
#[derive(Debug, Clone)]
pub struct ImageProcessor {
    path: PathBuf,
    settings: Settings,
    limits: Limits,
}

impl ImageProcessor {
    /// Reads the content of a `preprocessor_config.json`; `path` is what errors name. What it leaves out has the value of the
    /// processor that it names (`image_processor_type`), and of ViT's if it names none.
    ///
    /// ```
    /// use attn_models::images::ImageProcessor;
    ///
    /// let json = br#"{"image_processor_type": "DeiTImageProcessor"}"#;
    /// let images = ImageProcessor::new(json, "preprocessor_config.json".as_ref())?;
    /// assert_eq!(images.size(), Some((224, 224)));
    /// # Ok::<(), attn_models::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::Config`], [`Error::Unsupported`].
    pub fn new(bytes: &[u8], path: &Path) -> Result<Self> {
        Self::of_family(bytes, path, "")
    }

    /// As [`new`](Self::new). A file that names no processor has that of the model's family (`model_type`).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_family(bytes: &[u8], path: &Path, family: &str) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            settings: Settings::read(&Config::parse(bytes, path)?, family)?,
            limits: Limits::default(),
        })
    }

    /// The same with another bound on the memory that an image takes while it is resized. Default: half of the machine's
    /// free memory.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Height and width of what it makes; `None` where that depends on the image.
    pub fn size(&self) -> Option<(usize, usize)> {
        match (self.settings.crop, self.settings.resize) {
            (Some(size), _) => Some(size),
            (None, Some(Resize::Exact(height, width))) => Some((height, width)),
            (None, _) => None,
        }
    }

    /// The pixels of one image as the model takes them, `[channels, height, width]` row by row.
    ///
    /// # Errors
    /// [`Error::Config`] if the preprocessor does not make images of the size and channels the model takes;
    /// [`attn_core::Error::Memory`] for a size that takes more than is allowed.
    pub fn pixels(&self, image: &DynamicImage, vision: &Vision) -> Result<Vec<f32>> {
        let (own_height, own_width) = (image.height() as usize, image.width() as usize);
        let (height, width) = self.settings.resized(own_height, own_width);
        // Known before anything is resized.
        let made = self.settings.crop.unwrap_or((height, width));
        if made != (vision.height, vision.width) {
            let expected = format!("images of {} x {}, which the model takes", vision.height, vision.width);
            return Err(self.misfit(&expected, format!("{} x {}", made.0, made.1)));
        }
        if height == 0 || width == 0 {
            return Err(self.misfit("an image that can be resized", format!("{own_height} x {own_width}")));
        }
        let path = self.path.display();
        let name = format_args!(
            "{path}, `size`: {height} x {width} pixels, of which {} x {} are kept",
            made.0, made.1
        );
        let whole = Limits::size(&[height, width, vision.channels], 1);
        let between = Limits::size(&[own_height, width, vision.channels], 1);
        // What is kept, in 8 bits and as numbers.
        let kept = Limits::size(&[made.0, made.1, vision.channels], 1 + size_of::<f32>());
        self.limits
            .check(name, whole.saturating_add(between).saturating_add(kept))?;

        let mut raster = match vision.channels {
            1 => Raster::gray(image),
            3 => Raster::color(image),
            channels => return Err(self.misfit("images of 1 or 3 channels", format!("a model of {channels}"))),
        };
        raster = raster
            .resized(height, width, self.settings.filter)
            .map_err(|message| self.misfit("an image that can be resized", message))?;
        if let Some((height, width)) = self.settings.crop {
            raster = raster.cropped(height, width);
        }
        let channels = raster.channels;
        let per_channel = |values: &[f64], channel: usize| match values {
            [one] => Some(*one),
            several if several.len() == channels => Some(several[channel]),
            _ => None,
        };
        let mut pixels = Vec::with_capacity(raster.values.len());
        for channel in 0..channels {
            let (mean, deviation) = match &self.settings.normalize {
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
                    .map(|&value| ((f64::from(value) * self.settings.rescale - mean) / deviation) as f32),
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
