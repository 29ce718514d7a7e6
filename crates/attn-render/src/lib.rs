#![cfg_attr(all(feature = "svg", feature = "wgpu"), doc = include_str!("../README.md"))]
#![cfg_attr(
    not(all(feature = "svg", feature = "wgpu")),
    doc = "Plots of attention as plain scenes. The features `svg` and `wgpu` draw them."
)]

mod attention;
mod color;
mod contour;
mod control;
mod error;
#[cfg(any(feature = "svg", feature = "wgpu"))]
mod files;
mod geometry;
#[cfg(feature = "wgpu")]
mod headless;
mod history;
mod labels;
mod pick;
mod projection;
mod raster;
#[cfg(feature = "wgpu")]
mod renderer;
mod rows;
mod sample;
mod scene;
mod search;
mod selection;
#[cfg(feature = "svg")]
mod svg;
mod table;
mod text;
mod tracked;
mod transition;
mod view;
pub mod views;

pub use attn_core;
#[cfg(feature = "wgpu")]
pub use wgpu;

pub use attention::{Link, Remaining, strongest, switch_off};
pub use color::{Color, ColorMode, Colors, Palette, Scale, Theme};
pub use contour::{Contour, density_contours};
pub use control::{Controller, Event, Input, Key, Tool};
pub use error::Error;
pub use geometry::{Bounds, Rect, Transform};
#[cfg(feature = "wgpu")]
pub use headless::Headless;
pub use history::History;
pub use labels::{PlacedLabel, place_labels};
pub use pick::{Hit, Picker};
pub use projection::{PanelPlace, Projection};
pub use raster::Image;
#[cfg(feature = "wgpu")]
pub use renderer::{Renderer, Stats};
pub use sample::representative;
pub use scene::{
    Axes, Blending, Block, Cell, Curve, Edge, GlyphRow, Label, Layer, Motion, Panel, PatchStyle, Patches, Path,
    Picture, Placement, Point, Region, Rows, Scene, Shape,
};
pub use search::{Matches, search};
pub use selection::{Area, Selection};
#[cfg(feature = "svg")]
pub use svg::{SvgOptions, svg, write_svg};
pub use table::{Cells, Table};
pub use text::text_width;
pub use tracked::Tracked;
pub use transition::Transition;
pub use view::{Camera, Orbit, Pick, View};

/// The examples of the guide to the views, compiled by the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/VIEWS.md")]
struct Guide;
