//! What can go wrong in this crate: what was expected, what was found, and where.

use std::path::PathBuf;

/// An error of `attn-render`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No graphics adapter was found: neither a GPU with its driver nor a software rasteriser.
    #[error(
        "no graphics adapter found ({reason}); on Debian, `apt-get install mesa-vulkan-drivers libvulkan1` \
         provides a software rasteriser"
    )]
    NoAdapter {
        /// What the graphics library said.
        reason: String,
    },
    /// The adapter refused to open a device, or the device failed.
    #[error("graphics device failed: {0}")]
    Device(String),
    /// The picture is larger than the device can render.
    #[error("a picture of {width} x {height} pixels was asked for; this device renders 1 to {limit} pixels per side")]
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
        /// What does not fit.
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
    /// A picture could not be written.
    #[error("{path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A picture could not be encoded.
    #[error("{path}: {message}", path = path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
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
    /// A picture inside a scene could not be encoded for a vector drawing.
    #[error("a picture of the scene cannot be embedded: {message}")]
    Embed {
        /// What the encoder said.
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
