//! A change of every head, as a grid.

use attn_core::HeadId;
use attn_render::plots::{HeadCells, HeadGrid};

/// A number per head that says how far it changed, `what` in a word or two; heads without one are left out.
pub fn change_grid(
    title: impl Into<String>,
    what: impl Into<String>,
    values: impl IntoIterator<Item = (HeadId, f64)>,
) -> HeadGrid {
    let (heads, values): (Vec<HeadId>, Vec<f32>) = values.into_iter().map(|(head, value)| (head, value as f32)).unzip();
    HeadGrid {
        title: title.into(),
        what: what.into(),
        diverging: values.iter().any(|&value| value < 0.0),
        ..HeadGrid::new(heads, HeadCells::Values(values.into()))
    }
}
