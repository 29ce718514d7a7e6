#![cfg_attr(all(feature = "svg", feature = "wgpu"), doc = include_str!("../README.md"))]
#![cfg_attr(
    not(all(feature = "svg", feature = "wgpu")),
    doc = "Plots of attention as plain scenes. The features `svg` and `wgpu` draw them."
)]
//!
//! [`ColorChoice::Role`]: state::ColorChoice::Role
//! [`Controller`]: control::Controller
//! [`Controller::area`]: control::Controller::area
//! [`Controller::interaction`]: control::Controller::interaction
//! [`Key`]: control::Key
//! [`Key::Redo`]: control::Key::Redo
//! [`Key::Undo`]: control::Key::Undo
//! [`Picker`]: pick::Picker
//! [`Projection`]: projection::Projection
//! [`Shared::reduced_motion`]: state::Shared::reduced_motion
//! [`Shared::search`]: state::Shared::search
//! [`Shared::selected`]: state::Shared::selected
//! [`Tool`]: control::Tool
//! [`Tool::Box`]: control::Tool::Box
//! [`Tool::Lasso`]: control::Tool::Lasso

pub mod attention;
pub mod camera;
pub mod color;
pub mod contour;
pub mod control;
mod error;
#[cfg(all(feature = "svg", feature = "wgpu"))]
mod export;
#[cfg(any(feature = "svg", feature = "wgpu"))]
mod files;
pub mod geometry;
#[cfg(feature = "wgpu")]
mod headless;
mod history;
mod interaction;
pub mod labels;
mod live;
pub mod pick;
pub mod plot;
pub mod plots;
pub mod projection;
mod raster;
#[cfg(feature = "wgpu")]
pub mod renderer;
mod rows;
pub mod sample;
pub mod scene;
mod search;
mod selection;
pub mod state;
#[cfg(feature = "svg")]
mod svg;
pub mod text;
mod tracked;
mod transition;

pub use attn_core;
#[cfg(feature = "wgpu")]
pub use wgpu;

pub use attn_core::table::{Cells, Table};
pub use color::{Color, Theme};
pub use error::{Error, Result};
#[cfg(all(feature = "svg", feature = "wgpu"))]
pub use export::{Exporter, Format, write_plot, write_table};
#[cfg(feature = "wgpu")]
pub use headless::Headless;
pub use history::{History, Undoable};
pub use interaction::{Interaction, Pick, Target};
pub use live::LivePlot;
pub use plot::Plot;
pub use raster::Image;
#[cfg(feature = "wgpu")]
pub use renderer::{Renderer, SystemFont};
pub use scene::Scene;
pub use search::{Matches, search};
pub use selection::{Area, Selection};
pub use state::ViewState;
#[cfg(feature = "svg")]
pub use svg::{SvgOptions, svg, write_svg};
pub use tracked::Tracked;
pub use transition::Transition;

/// The examples of the guide to the plots, compiled by the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../PLOTS.md")]
struct Guide;
