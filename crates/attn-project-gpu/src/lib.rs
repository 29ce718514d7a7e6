#![doc = include_str!("../README.md")]

mod error;
mod gpu;
mod neighbors;
mod project;
mod tsne;

pub use attn_core;
pub use attn_project;
pub use ndarray;
pub use wgpu;

pub use error::{Error, Result};
pub use gpu::Gpu;
