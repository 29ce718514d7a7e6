//! The errors of this crate: each says what was expected, what was found, and where.

use std::path::PathBuf;

/// An error of `attn-render`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No graphics adapter was found: neither a GPU with its driver nor a software rasterizer.
    #[error("no graphics adapter found ({reason}); {advice}", advice = NO_ADAPTER)]
    NoAdapter {
        /// The message of the graphics library.
        reason: String,
    },
    /// The device lacks what the renderer needs. Scenes can still be written as SVG.
    #[error("the graphics device has no {missing}, which WebGL and old OpenGL lack; SVG needs no device")]
    Unsupported {
        /// The missing feature.
        missing: &'static str,
    },
    /// The device has not enough memory for an image. Smaller ones can still be rendered.
    #[error("not enough memory on the graphics device for an image of {width} x {height} pixels")]
    OutOfMemory {
        /// Width asked for, in pixels.
        width: u32,
        /// Height asked for, in pixels.
        height: u32,
    },
    /// The adapter refused to open a device, or the device failed.
    #[error("graphics device failed: {0}")]
    Device(String),
    /// The image is larger than the device can render.
    #[error("an image of {width} x {height} pixels was requested; this device renders 1 to {limit} pixels per side")]
    PictureSize {
        /// Width asked for, in pixels.
        width: u64,
        /// Height asked for, in pixels.
        height: u64,
        /// Longest side the device can render, in pixels.
        limit: u32,
    },
    /// A buffer would be larger than the device allows.
    #[error("{what} need {needed} bytes, the device allows {limit}")]
    BufferSize {
        /// The part that does not fit.
        what: &'static str,
        /// Bytes needed.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// Text could not be drawn.
    #[error("text: {0}")]
    Text(String),
    /// An argument has another length than expected.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// The argument.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A value that must be finite is NaN or infinite.
    #[error("{what}: value {index} is {value}, expected a finite number")]
    NotFinite {
        /// The argument.
        what: &'static str,
        /// Flat index of the first such value.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A view was given nothing to draw.
    #[error("{what}: nothing to draw")]
    Empty {
        /// The argument.
        what: &'static str,
    },
    /// A file could not be written.
    #[error("{path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// An image could not be encoded.
    #[error("{path}: {message}", path = path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// The message of the encoder.
        message: String,
    },
    /// A file cannot be written in the format that its name asks for.
    #[error("{path}: expected a name that ends in .png, .svg, .csv or .json", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// From `attn-core`.
    #[error(transparent)]
    Core(#[from] attn_core::Error),
    /// The data of a plot could not be had: an error of the host that makes it.
    #[error(transparent)]
    Host(Box<dyn std::error::Error + Send + Sync>),
    /// An image inside a scene could not be encoded for an SVG file.
    #[error("an image of the scene cannot be embedded: {message}")]
    Embed {
        /// The message of the encoder.
        message: String,
    },
}

impl Error {
    /// An error of a host's own, or of another crate, while it made a plot.
    pub fn host(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Host(error.into())
    }
}

/// A result of `attn-render`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(feature = "wgpu")]
impl Error {
    pub(crate) fn device(error: impl ToString) -> Self {
        Self::Device(error.to_string())
    }
}

/// Advice where no adapter is found.
const NO_ADAPTER: &str = if cfg!(target_family = "wasm") {
    "the browser offers no WebGPU to this page; SVG needs no device"
} else if cfg!(target_os = "linux") {
    "on Debian, `apt-get install mesa-vulkan-drivers libvulkan1` provides a software rasterizer"
} else {
    "a current driver of the graphics card provides one"
};

/// Checks a slice's length.
pub(crate) fn check_len(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Shape {
        what,
        expected: format!("{expected} values"),
        found: format!("{found}"),
    })
}

/// Checks that every value is finite.
pub(crate) fn check_finite(what: &'static str, values: &[f32]) -> Result<(), Error> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Error::NotFinite {
            what,
            index,
            value: values[index],
        }),
    }
}
