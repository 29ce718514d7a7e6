#![doc = include_str!("../README.md")]

mod attention;
mod color;
mod contour;
mod control;
mod error;
mod geometry;
mod headless;
mod history;
mod labels;
mod pick;
mod projection;
mod raster;
mod renderer;
mod rows;
mod sample;
mod scene;
mod search;
mod selection;
mod svg;
mod table;
mod text;
mod tracked;
mod transition;
mod view;
pub mod views;

pub use glyphon;
pub use lyon;
pub use wgpu;

pub use attention::{Link, Remaining, strongest, switch_off};
pub use color::{Color, ColorMode, Colors, Palette, Scale, Theme};
pub use contour::{Contour, density_contours};
pub use control::{Controller, Event, Input, Key, Tool};
pub use error::Error;
pub use geometry::{Bounds, Rect, Transform};
pub use headless::Headless;
pub use history::History;
pub use labels::{PlacedLabel, place_labels};
pub use pick::{Hit, Picker};
pub use projection::{PanelPlace, Projection};
pub use raster::Image;
pub use renderer::{Renderer, Stats};
pub use sample::representative;
pub use scene::{
    Axes, Blending, Block, Cell, Curve, Edge, GlyphRow, Label, Layer, Motion, Panel, PatchStyle, Patches, Path,
    Picture, Placement, Point, Region, Rows, Scene, Shape,
};
pub use search::{Matches, search};
pub use selection::{Area, Selection};
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
