#![cfg_attr(all(feature = "svg", feature = "wgpu"), doc = include_str!("../README.md"))]
#![cfg_attr(
    not(all(feature = "svg", feature = "wgpu")),
    doc = "Plots of attention as plain scenes. The features `svg` and `wgpu` draw them."
)]

mod attention;
mod camera;
mod color;
mod contour;
mod control;
mod error;
#[cfg(all(feature = "svg", feature = "wgpu"))]
mod export;
#[cfg(any(feature = "svg", feature = "wgpu"))]
mod files;
mod geometry;
#[cfg(feature = "wgpu")]
mod headless;
mod history;
mod interaction;
mod labels;
mod live;
mod pick;
mod plot;
pub mod plots;
mod projection;
mod raster;
#[cfg(feature = "wgpu")]
mod renderer;
mod rows;
mod sample;
mod scene;
mod search;
mod selection;
mod state;
#[cfg(feature = "svg")]
mod svg;
mod text;
mod tracked;
mod transition;

pub use attn_core;
#[cfg(feature = "wgpu")]
pub use wgpu;

pub use attention::{Link, Remaining, strongest, switch_off};
pub use attn_core::table::{Cells, Table};
pub use camera::{Camera, Orbit};
pub use color::{Color, Colors, Palette, Scale, Theme};
pub use contour::{Contour, density_contours};
pub use control::{Controller, Event, Input, Key, Tool};
pub use error::{Error, Result};
#[cfg(all(feature = "svg", feature = "wgpu"))]
pub use export::{Exporter, Format, write_plot, write_table};
pub use geometry::{Bounds, Rect, Transform};
#[cfg(feature = "wgpu")]
pub use headless::Headless;
pub use history::{History, Undoable};
pub use interaction::{Interaction, Pick, Target};
pub use labels::{PlacedLabel, place_labels};
pub use live::LivePlot;
pub use pick::{Hit, Picker};
pub use plot::{Deferred, Over, Plot, Tooltip, TooltipWord, deferred, over};
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
pub use state::{ColorChoice, Shared, ViewState};
#[cfg(feature = "svg")]
pub use svg::{SvgOptions, svg, write_svg};
pub use text::text_width;
pub use tracked::Tracked;
pub use transition::Transition;

/// The examples of the guide to the plots, compiled by the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../PLOTS.md")]
struct Guide;
