//! What the plots of this crate are made of, for plots of your own: the page with title, legend and caption; coordinates,
//! colors and crowds of points; axes with round numbers.
//!
//! ```
//! use attn_render::{scene::Block, Plot, geometry::Rect, Result, Scene, Table, ViewState, plots::kit::{Frame, LegendEntry, Page}};
//!
//! /// Bars of a day's hours.
//! struct Day([f32; 24]);
//!
//! impl Plot for Day {
//!     fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
//!         let colors = state.colors();
//!         let page = Page {
//!             title: "Requests",
//!             subtitle: "",
//!             legend: vec![LegendEntry::Text("per hour".into())],
//!             caption: "Each bar is an hour.",
//!         };
//!         let (mut scene, content) = page.start(size, &colors)?;
//!         let most = self.0.iter().copied().fold(1.0, f32::max);
//!         let frame = Frame::draw(&mut scene.layers[0], content, [[0.0, 24.0], [0.0, most]], ["hour", "requests"], &colors);
//!         for (hour, count) in self.0.iter().enumerate() {
//!             let (min, max) = (frame.place([hour as f32, *count]), frame.place([hour as f32 + 0.9, 0.0]));
//!             scene.layers[0].blocks.push(Block::filled(0, Rect { min, max }, colors.query));
//!         }
//!         Ok(scene)
//!     }
//!
//!     fn table(&self, _: &ViewState) -> Result<Table> {
//!         let mut table = Table::new(24);
//!         table.numbers("hour", |hour| hour).numbers("requests", |hour| self.0[hour]);
//!         Ok(table)
//!     }
//!
//!     fn natural_size(&self) -> [f32; 2] {
//!         [520.0, 320.0]
//!     }
//! }
//!
//! let day = Day([3.0; 24]);
//! assert_eq!(day.scene(&ViewState::default(), day.natural_size())?.layers[0].blocks.len(), 24);
//! # Ok::<(), attn_render::Error>(())
//! ```

pub(crate) mod axes;
mod colors;
pub(crate) mod crowd;
mod legend;
mod page;
mod points;
mod texts;

pub use self::{
    axes::{Frame, range, straight, ticks},
    colors::{ColorBy, PointColors, ValueKind},
    crowd::{Crowd, add_points, drawing_order, thinned, thinning_note},
    legend::{LegendEntry, Pages, frame_marked},
    page::{Page, number},
    points::{Coordinates, highlighted, highlights},
    texts::Texts,
};
pub(crate) use self::{
    colors::{Roles, class_of},
    points::check_points,
};
