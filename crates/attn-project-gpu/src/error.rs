//! What can go wrong in this crate: what was expected, what was found, and where.

/// An error of `attn-project-gpu`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No graphics adapter was found: neither a GPU with its driver nor a software rasterizer.
    #[error("no graphics adapter found ({reason}); {advice}", advice = NO_ADAPTER)]
    NoAdapter {
        /// The message of the graphics library.
        reason: String,
    },
    /// The device can do less than the shaders need.
    #[error("{what}: the shaders need {needed}, the device allows {limit}")]
    Limit {
        /// What there is too little of.
        what: &'static str,
        /// What is needed.
        needed: u64,
        /// What the device allows.
        limit: u64,
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
    /// The adapter refused to open a device, or the device failed: it was lost, or its memory is full.
    #[error("graphics device failed: {0}")]
    Device(String),
    /// What `attn-project` says of points, parameters and cancellation, in the same words as on the CPU.
    #[error(transparent)]
    Project(attn_project::Error),
}

/// The result of a call that may fail with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Advice where no adapter is found.
const NO_ADAPTER: &str = if cfg!(target_family = "wasm") {
    "the browser offers no WebGPU to this page; attn-project computes without it"
} else if cfg!(target_os = "linux") {
    "on Debian, `apt-get install mesa-vulkan-drivers libvulkan1` provides a software rasterizer"
} else {
    "a current driver of the graphics card provides one"
};

impl Error {
    /// Whether this is a cancellation, which callers usually do not report as a failure.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Project(error) if error.is_cancelled())
    }

    /// Whether the device is to blame rather than the request, so that the CPU can still answer it.
    pub fn is_device(&self) -> bool {
        !matches!(self, Self::Project(_))
    }

    pub(crate) fn device(error: impl ToString) -> Self {
        Self::Device(error.to_string())
    }
}

impl From<attn_project::Error> for Error {
    fn from(error: attn_project::Error) -> Self {
        Self::Project(error)
    }
}

impl From<attn_core::Error> for Error {
    fn from(error: attn_core::Error) -> Self {
        Self::Project(error.into())
    }
}
