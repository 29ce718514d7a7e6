//! Several views of the same data in one window.

use attn_render::ViewState;

/// Gives `to` what views of the same data share with `from`: what is selected, searched for and under the pointer, the colours, the
/// classes that are hidden or in sight in the legend, and the theme. Cameras, the open head and the clicked point stay each view's own.
///
/// ```
/// use attn_render::{Theme, ViewState};
/// let (mut a, mut b) = (ViewState::default(), ViewState::default());
/// a.shared.theme = Theme::Dark;
/// a.stage.zoom = 3.0;
/// attn_egui::link(&a, &mut b);
/// assert_eq!((b.shared.theme, b.stage.zoom), (Theme::Dark, 1.0));
/// ```
pub fn link(from: &ViewState, to: &mut ViewState) {
    let from = from.clone();
    *to = ViewState {
        open: to.open,
        stage: to.stage,
        inside: to.inside,
        orbit: to.orbit,
        selection: to.selection,
        legend_mark: to.legend_mark,
        hidden: std::mem::take(&mut to.hidden),
        ..from
    };
}
