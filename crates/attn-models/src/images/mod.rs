//! Images: where they come from, and what turns them into the pixels a model takes.
//!
//! An [`Image`] is a file, the content of a file, or pixels at hand. An [`ImageProcessor`] prepares it as
//! `preprocessor_config.json` says. [`images_in`] lists the images of a folder.

mod processor;
mod raster;
mod settings;

use std::{
    borrow::Cow,
    io::Cursor,
    path::{Path, PathBuf},
    sync::Arc,
};

use attn_core::{Limits, third_party::guard};
use image::{DynamicImage, ImageDecoder, ImageReader, metadata::Orientation};

pub use self::processor::ImageProcessor;
use crate::{Error, Result, files};

/// The endings of the files that [`images_in`] lists.
const ENDINGS: [&str; 8] = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"];

/// Formats that are recognized, to be refused by their names: bytes, and where they stand.
const OTHERS: [(usize, &[u8], &str); 9] = [
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyp", "HEIC, or a video"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\0\0\0\x0cjP", "JPEG 2000"),
    (0, b"%PDF", "PDF"),
    (0, b"8BPS", "Photoshop"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "SVG, or other XML"),
];

/// An image that a model is to read: PNG, JPEG, WebP, BMP, GIF or TIFF, recognized by content, or decoded already. Of an
/// animation it is the first frame. An image that its camera has marked as turned (EXIF) is turned back.
///
/// ```
/// use attn_models::{image::DynamicImage, images::Image};
///
/// let file = Image::from("photos/cat.png");
/// assert_eq!(file.name(), "cat.png");
/// let frame = Image::decoded("frame 7", DynamicImage::new_rgb8(8, 8));
/// assert_eq!(frame.decode()?.width(), 8);
/// # Ok::<(), attn_models::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Image {
    /// A file.
    File(PathBuf),
    /// A name and the content of a file.
    Memory(String, Cow<'static, [u8]>),
    /// A name and pixels.
    Decoded(String, Arc<DynamicImage>),
}

impl Image {
    /// The content of a file, under a name.
    pub fn memory(name: impl Into<String>, bytes: impl Into<Cow<'static, [u8]>>) -> Self {
        Self::Memory(name.into(), bytes.into())
    }

    /// Pixels, under a name.
    pub fn decoded(name: impl Into<String>, pixels: DynamicImage) -> Self {
        Self::Decoded(name.into(), Arc::new(pixels))
    }

    /// What it is called: the file's name, or the one that was given.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path
                .file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into_owned(),
            Self::Memory(name, _) | Self::Decoded(name, _) => name.clone(),
        }
    }

    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Memory(..) | Self::Decoded(..) => None,
        }
    }

    /// Its pixels, turned as the file says. They take at most half of the machine's free memory.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Image`] if it does not decode, [`attn_core::Error::Memory`] if it
    /// is too large.
    pub fn decode(&self) -> Result<DynamicImage> {
        self.decode_within(Limits::default())
    }

    /// As [`decode`](Self::decode), for pixels that take at most so much memory.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_within(&self, limits: Limits) -> Result<DynamicImage> {
        match self {
            Self::File(path) => decode(&files::whole(path, limits, wrong)?, path, limits),
            Self::Memory(name, bytes) => decode(bytes, name.as_ref(), limits),
            Self::Decoded(_, pixels) => Ok(DynamicImage::clone(pixels)),
        }
    }
}

impl Image {
    /// The content of a file that shows it, for images that are no file.
    pub(crate) fn in_memory(&self) -> Option<Vec<u8>> {
        match self {
            Self::File(_) => None,
            Self::Memory(_, bytes) => Some(bytes.to_vec()),
            Self::Decoded(_, pixels) => {
                let mut file = Cursor::new(Vec::new());
                pixels.write_to(&mut file, image::ImageFormat::Png).ok()?;
                Some(file.into_inner())
            }
        }
    }
}

impl From<PathBuf> for Image {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&Path> for Image {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<&str> for Image {
    fn from(path: &str) -> Self {
        Self::File(path.into())
    }
}

/// A name and the content of a file that is compiled in.
impl From<(&str, &'static [u8])> for Image {
    fn from((name, bytes): (&str, &'static [u8])) -> Self {
        Self::memory(name, bytes)
    }
}

/// A name and the content of a file that is compiled in.
impl From<&(&str, &'static [u8])> for Image {
    fn from((name, bytes): &(&str, &'static [u8])) -> Self {
        Self::memory(*name, *bytes)
    }
}

impl From<&Image> for Image {
    fn from(image: &Image) -> Self {
        image.clone()
    }
}

/// The images of a folder, by file name. Hidden files, other files and subfolders are left out.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be read, [`Error::Empty`] if it holds no image.
pub fn images_in(folder: impl AsRef<Path>) -> Result<Vec<Image>> {
    let paths = files::named(folder.as_ref(), "images", &ENDINGS)?;
    Ok(paths.into_iter().map(Image::File).collect())
}

fn decode(bytes: &[u8], path: &Path, limits: Limits) -> Result<DynamicImage> {
    let other = |(at, start, _): &&(usize, &[u8], &str)| bytes.get(*at..).is_some_and(|rest| rest.starts_with(start));
    if let Some((_, _, name)) = OTHERS.iter().find(other) {
        let message = format!("it is {name}; {} are read", ENDINGS.join(", "));
        return Err(wrong(path, &message));
    }
    guard("image", || pixels(bytes, path, limits)).unwrap_or_else(|panic| Err(wrong(path, &panic)))
}

/// The pixels of a file in a format that is read.
fn pixels(bytes: &[u8], path: &Path, limits: Limits) -> Result<DynamicImage> {
    let broken = |error: image::ImageError| wrong(path, &error.to_string());
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| Error::io(path, error))?;
    let mut own = image::Limits::default();
    own.max_alloc = Some(limits.bytes);
    reader.limits(own);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    // Pixels as they are stored, and as colors of 8 bits.
    let (width, height) = decoder.dimensions();
    let colors = Limits::size(&[width as usize, height as usize], 4);
    let what = format_args!("{}, {width} x {height} pixels", path.display());
    limits.check(what, decoder.total_bytes().saturating_add(colors))?;
    // A broken note of the camera does not make the pixels unreadable.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(broken)?;
    image.apply_orientation(orientation);
    Ok(image)
}

fn wrong(path: &Path, message: &str) -> Error {
    Error::Image {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}
