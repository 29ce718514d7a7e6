//! Reading `preprocessor_config.json`, with the defaults of the image processors of the reference.
//!
//! An option that is left out or `null` has the value of its processor (transformers 4.57, `image_processing_*.py`):
//!
//! | processor | resize | filter | crop | mean, deviation |
//! |---|---|---|---|---|
//! | ViT | 224 x 224 | bilinear | none | 0.5, 0.5 |
//! | DeiT | 256 x 256 | bicubic | 224 x 224 | 0.5, 0.5 |
//! | CLIP, Bit (DINOv2) | shorter edge 224 | bicubic | 224 x 224 | those of CLIP |
//! | Siglip | 224 x 224 | bicubic | none | 0.5, 0.5 |
//! | DINOv3ViT | 224 x 224 | bilinear | none | those of ImageNet |
//!
//! All of them scale to 0..1 and normalize. (The reference resizes for DINOv3 after it has scaled: its pixels differ from those
//! here by less than one step of 8 bits.) A file that names no processor has that of the model's family.

use fast_image_resize::FilterType;
use serde_json::Value;

use crate::{Error, Result, families::Config};

/// What is done to an image.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) resize: Option<Resize>,
    pub(super) filter: Filter,
    /// Height and width of the center that is kept.
    pub(super) crop: Option<(usize, usize)>,
    pub(super) rescale: f64,
    /// Mean and standard deviation per channel, or one for all; none: not normalized.
    pub(super) normalize: Option<(Vec<f64>, Vec<f64>)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Resize {
    /// To this height and width, whatever the shape.
    Exact(usize, usize),
    /// So that the shorter edge has this length and the longer one at most that.
    Shortest(usize, Option<usize>),
    /// As large as fits this height and width.
    Within(usize, usize),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Filter {
    Nearest,
    Smooth(FilterType),
}

/// The defaults of a processor.
struct Defaults {
    resize: Resize,
    /// Whether a single number is height and width, not the shorter edge.
    square: bool,
    filter: FilterType,
    crop: bool,
    mean: [f64; 3],
    deviation: [f64; 3],
}

const VIT: Defaults = Defaults {
    resize: Resize::Exact(224, 224),
    square: true,
    filter: FilterType::Bilinear,
    crop: false,
    mean: [0.5; 3],
    deviation: [0.5; 3],
};

const DEIT: Defaults = Defaults {
    resize: Resize::Exact(256, 256),
    filter: FilterType::CatmullRom,
    crop: true,
    ..VIT
};

const CLIP: Defaults = Defaults {
    resize: Resize::Shortest(224, None),
    square: false,
    filter: FilterType::CatmullRom,
    crop: true,
    mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
    deviation: [0.268_629_54, 0.261_302_58, 0.275_777_11],
};

const SIGLIP: Defaults = Defaults {
    filter: FilterType::CatmullRom,
    ..VIT
};

const DINOV3: Defaults = Defaults {
    mean: [0.485, 0.456, 0.406],
    deviation: [0.229, 0.224, 0.225],
    ..VIT
};

/// The side of a crop that has none: that of every processor above.
const CROP: usize = 224;

const SIZES: &str = "a number, height and width, shortest_edge, or max_height and max_width";

impl Settings {
    /// Reads a file; `family` is the model's.
    pub(super) fn read(config: &Config, family: &str) -> Result<Self> {
        let named = config
            .text("image_processor_type")?
            .or(config.text("feature_extractor_type")?)
            .unwrap_or_default();
        // `ViTImageProcessor`, `ViTImageProcessorFast`, `ViTFeatureExtractor`, and not `ViTHybridImageProcessor`.
        let is = |kind: &str| {
            let rest = named.strip_prefix(kind).unwrap_or_default();
            rest.starts_with("ImageProcessor") || rest.starts_with("FeatureExtractor")
        };
        let known = [
            ("ViT", &VIT),
            ("DeiT", &DEIT),
            ("CLIP", &CLIP),
            ("Bit", &CLIP),
            ("Siglip", &SIGLIP),
            ("DINOv3ViT", &DINOV3),
        ];
        let by_name = known.into_iter().find(|(kind, _)| is(kind));
        let defaults = match (by_name, family) {
            (Some((_, defaults)), _) => defaults,
            (None, _) if !named.is_empty() => {
                let key = match config.get("image_processor_type") {
                    Some(_) => "image_processor_type",
                    None => "feature_extractor_type",
                };
                return Err(config.unsupported(
                    key,
                    "the image processors of ViT, DeiT, CLIP, Bit, Siglip and DINOv3ViT",
                ));
            }
            (None, "deit") => &DEIT,
            (None, "clip" | "clip_vision_model" | "dinov2" | "dinov2_with_registers") => &CLIP,
            (None, "siglip" | "siglip_vision_model") => &SIGLIP,
            (None, "dinov3_vit") => &DINOV3,
            (None, _) => &VIT,
        };
        let cropped = flag(config, "do_center_crop", defaults.crop)?;
        Ok(Self {
            resize: match flag(config, "do_resize", true)? {
                true => Some(resize(config, defaults, cropped && by_name.is_none())?),
                false => None,
            },
            filter: filter(config, defaults)?,
            crop: match cropped {
                true => Some(crop(config)?),
                false => None,
            },
            rescale: match flag(config, "do_rescale", true)? {
                true => config.positive_or("rescale_factor", 1.0 / 255.0)?,
                false => 1.0,
            },
            normalize: match flag(config, "do_normalize", true)? {
                true => Some(normalize(config, defaults)?),
                false => None,
            },
        })
    }

    /// Height and width of what becomes of an image of this size, before it is cropped.
    pub(super) fn resized(&self, height: usize, width: usize) -> (usize, usize) {
        match self.resize {
            None => (height, width),
            Some(resize) => resize.of(height.max(1), width.max(1)),
        }
    }
}

impl Resize {
    /// Sizes are rounded down, as in the reference.
    fn of(self, height: usize, width: usize) -> (usize, usize) {
        let scaled = |size: f64, long: usize, short: usize| (size * long as f64 / short as f64) as usize;
        match self {
            Self::Exact(height, width) => (height, width),
            Self::Shortest(edge, longest) => {
                let (short, long) = (height.min(width), height.max(width));
                let bound = longest.filter(|&longest| long as f64 / short as f64 * edge as f64 > longest as f64);
                let (edge, exact) = match bound {
                    None => (edge, edge as f64),
                    Some(longest) => {
                        let exact = longest as f64 * short as f64 / long as f64;
                        (exact.round_ties_even() as usize, exact)
                    }
                };
                let other = scaled(exact, long, short);
                if height <= width { (edge, other) } else { (other, edge) }
            }
            Self::Within(most_high, most_wide) => {
                let factor = (most_high as f64 / height as f64).min(most_wide as f64 / width as f64);
                ((height as f64 * factor) as usize, (width as f64 * factor) as usize)
            }
        }
    }
}

/// A truth value. Files of scripts hold words and numbers for it.
fn flag(config: &Config, key: &str, default: bool) -> Result<bool> {
    match config.get(key) {
        Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(Value::Number(number)) => Ok(number.as_f64() != Some(0.0)),
        _ => config.flag_or(key, default),
    }
}

/// A list of height and width, or an object with both.
fn height_and_width(config: &Config, key: &str) -> Result<Option<(usize, usize)>> {
    match config.get(key) {
        Some(Value::Array(_)) => config.height_width(key, CROP).map(Some),
        Some(Value::Object(_)) => {
            let size = config.object(key)?.unwrap_or_else(|| config.empty());
            Ok(size.optional_size("height")?.zip(size.optional_size("width")?))
        }
        _ => Ok(None),
    }
}

/// `shorter` says that a number is the shorter edge although the file names no processor: it asks for a crop.
fn resize(config: &Config, defaults: &Defaults, shorter: bool) -> Result<Resize> {
    if let Some((height, width)) = height_and_width(config, "size")? {
        return Ok(Resize::Exact(height, width));
    }
    match config.get("size") {
        None => Ok(defaults.resize),
        Some(Value::Number(_)) => {
            let size = config.size("size")?;
            Ok(match defaults.square && !shorter {
                true => Resize::Exact(size, size),
                false => Resize::Shortest(size, None),
            })
        }
        Some(Value::Object(_)) => {
            let size = config.object("size")?.unwrap_or_else(|| config.empty());
            let within = size.optional_size("max_height")?.zip(size.optional_size("max_width")?);
            match (size.optional_size("shortest_edge")?, within) {
                (Some(edge), _) => Ok(Resize::Shortest(edge, size.optional_size("longest_edge")?)),
                (None, Some((height, width))) => Ok(Resize::Within(height, width)),
                (None, None) => Err(config.unsupported("size", SIZES)),
            }
        }
        Some(_) => Err(config.wrong("size", SIZES)),
    }
}

fn crop(config: &Config) -> Result<(usize, usize)> {
    match height_and_width(config, "crop_size")? {
        Some(size) => Ok(size),
        None if config.get("crop_size").is_some_and(Value::is_object) => {
            Err(config.wrong("crop_size", "a number, or height and width"))
        }
        None => config.size_or("crop_size", CROP).map(|size| (size, size)),
    }
}

/// A number as Pillow has them, or a name as torchvision has them.
fn filter(config: &Config, defaults: &Defaults) -> Result<Filter> {
    let Some(value) = config.get("resample") else {
        return Ok(Filter::Smooth(defaults.filter));
    };
    Ok(match (value.as_u64(), value.as_str()) {
        (Some(0), _) | (_, Some("nearest")) => Filter::Nearest,
        (Some(1), _) | (_, Some("lanczos")) => Filter::Smooth(FilterType::Lanczos3),
        (Some(2), _) | (_, Some("bilinear")) => Filter::Smooth(FilterType::Bilinear),
        (Some(3), _) | (_, Some("bicubic")) => Filter::Smooth(FilterType::CatmullRom),
        (Some(4), _) | (_, Some("box")) => Filter::Smooth(FilterType::Box),
        (Some(5), _) | (_, Some("hamming")) => Filter::Smooth(FilterType::Hamming),
        _ => return Err(config.wrong("resample", "a filter's number, 0 to 5")),
    })
}

fn normalize(config: &Config, defaults: &Defaults) -> Result<(Vec<f64>, Vec<f64>)> {
    let numbers = |key: &str, default: [f64; 3]| -> Result<Vec<f64>> {
        match config.get(key) {
            None => Ok(default.to_vec()),
            Some(Value::Number(_)) => Ok(vec![config.number_or(key, 0.5)?]),
            value => {
                let list = value.and_then(Value::as_array);
                let numbers = list.and_then(|list| list.iter().map(Value::as_f64).collect::<Option<Vec<_>>>());
                numbers
                    .filter(|list| !list.is_empty())
                    .ok_or_else(|| config.wrong(key, "a number per channel"))
            }
        }
    };
    let mean = numbers("image_mean", defaults.mean)?;
    let deviation = numbers("image_std", defaults.deviation)?;
    let several = (mean.len() != 1 && deviation.len() != 1) && mean.len() != deviation.len();
    if several || deviation.iter().any(|value| *value <= 0.0) {
        let expected = format!("{} numbers above 0", mean.len());
        return Err(Error::Config {
            path: config.path().to_owned(),
            key: "image_std".to_owned(),
            expected,
            found: format!("{deviation:?}"),
        });
    }
    Ok((mean, deviation))
}
