#![doc = include_str!("../README.md")]

mod error;
mod gpu;
mod neighbors;
mod project;
mod tsne;

pub use wgpu;

pub use error::Error;
pub use gpu::Gpu;
