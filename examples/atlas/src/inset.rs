//! Insets: a projection of selected points or of search matches, and the values of a layer's heads. A menu and a window.

use attn_egui::{SceneView, attn_render::Format, egui_wgpu::RenderState, export::export_menu};
use attn_sdk::{
    Study,
    core::HeadId,
    render::{Plot, ViewState, control::Key, plot::deferred, state::Shared},
    study::{
        gallery::{head_file_name, values_file_name},
        subset::Subset,
        values::LayerValues,
    },
};
use eframe::egui::{Button, Id, Ui, Window, vec2};

use crate::{actions::Action, pane::Pane, stopped::Again};

/// An inset: its title, its file name, and whether it follows the search of the main plot.
pub(crate) struct Inset {
    title: String,
    file_name: String,
    searched: bool,
    plot: Box<dyn Plot>,
}

impl Inset {
    fn points(study: Study, subset: Subset) -> Self {
        let head = subset.head();
        Self {
            title: format!("Some points of {}", study.capture().model().head_name(head)),
            file_name: format!("points-{}", head_file_name(&study, head)),
            searched: false,
            plot: Box::new(deferred(move |view| subset.plot(&study, view))),
        }
    }

    fn values(study: Study, values: LayerValues) -> Self {
        let name = |head: HeadId| study.capture().model().head_name(head);
        let title = match values.heads() {
            [first, .., last] => format!("Values written by {} to {}", name(*first), name(*last)),
            heads => format!(
                "Values written by {}",
                heads.first().map_or_else(String::new, |head| name(*head))
            ),
        };
        let first = values.heads().first();
        Self {
            title,
            file_name: first.map_or_else(|| "values".into(), |head| values_file_name(&study, *head)),
            searched: true,
            plot: Box::new(deferred(move |_| values.plot(&study))),
        }
    }
}

/// A shown inset.
pub(crate) struct Shown {
    inset: Inset,
    view: ViewState,
    plot: SceneView,
    asked: Option<Format>,
}

impl Shown {
    pub(crate) fn new(inset: Inset, state: &RenderState) -> Self {
        Self {
            inset,
            view: ViewState::default(),
            plot: SceneView::new(state, "inset"),
            asked: None,
        }
    }

    /// Acts as if a key were pressed in the plot.
    pub(crate) fn press(&mut self, key: Key) {
        self.plot.press(key);
    }

    /// Writes the plot with the next frame.
    pub(crate) fn export(&mut self, format: Format) {
        self.asked = Some(format);
    }

    /// Takes theme and colors from the main plot. Selections stay its own, since its points have other numbers; so does the search
    /// where all points match.
    fn follow(&mut self, view: &ViewState) {
        let own = self.view.shared.clone();
        self.view.shared = Shared {
            search: if self.inset.searched {
                view.shared.search.clone()
            } else {
                own.search
            },
            selected: own.selected,
            hidden_classes: own.hidden_classes,
            legend_page: own.legend_page,
            ..view.shared.clone()
        };
    }
}

/// The chosen head and points: the selection, else the search matches in the open head.
pub(crate) fn chosen(pane: &Pane) -> Option<(HeadId, Vec<u32>)> {
    let study = pane.study.as_ref()?;
    let head = pane.view.open.or(pane.view.shared.selected.head())?;
    let points = study.projection(head).ok()?.embedding.points.nrows();
    let drawn = pane.view.shared.selected.ids_below(points);
    let drawn: Vec<u32> = drawn.filter_map(|point| u32::try_from(point).ok()).collect();
    let ids = match drawn.is_empty() {
        true => study.matches(head, &pane.view.shared.search).ids().collect(),
        false => drawn,
    };
    (!ids.is_empty()).then_some((head, ids))
}

/// The menu that opens insets.
pub(crate) fn offer(ui: &mut Ui, pane: &Pane) -> Option<Action> {
    let mut asked = None;
    ui.menu_button("Project a part", |ui| {
        let button = ui
            .add_enabled(chosen(pane).is_some(), Button::new("Project the selection"))
            .on_hover_text("Projects only the selected points, or the search matches in the open head")
            .on_disabled_hover_text("Select points with a box (b) or a lasso (l), or open a head and search");
        if button.clicked() {
            asked = Some(Action::ProjectSelection);
            ui.close();
        }
        let layer = pane.view.open.is_some() && pane.capturer.is_some();
        let button = ui
            .add_enabled(layer, Button::new("Project the values of the layer"))
            .on_hover_text("Projects the values of all heads of the open head's layer, in one space")
            .on_disabled_hover_text(
                "Open a head of a model: values need its output matrices, which a capture does not hold",
            );
        if button.clicked() {
            asked = Some(Action::ProjectValues);
            ui.close();
        }
    });
    asked
}

/// Projects the selected points alone, or the search matches.
pub(crate) fn project_selection(pane: &mut Pane) {
    if let Some((head, ids)) = chosen(pane) {
        pane.make_inset(Again::ProjectSelection, move |study, _, progress| {
            Ok(Inset::points(study.clone(), study.subset(head, ids, progress)?))
        });
    }
}

/// Projects the values of the open head's layer.
pub(crate) fn project_values(pane: &mut Pane) {
    let Some(head) = pane.view.open else { return };
    pane.make_inset(Again::ProjectValues, move |study, capturer, progress| {
        let capturer = capturer.ok_or("values of a layer: expected a model, found only a capture")?;
        let weights = capturer.model().head_weights()?;
        let values = study.layer_values(head.attention, head.layer, &weights, progress)?;
        Ok(Inset::values(study.clone(), values))
    });
}

/// Shows the window of the inset.
pub(crate) fn show(ui: &Ui, pane: &mut Pane) {
    let Some(shown) = &mut pane.shown_inset else { return };
    shown.follow(&pane.view);
    let (mut open, mut asked) = (true, None);
    Window::new(shown.inset.title.as_str())
        .id(Id::unique("inset"))
        .open(&mut open)
        .default_pos([290.0, 60.0])
        .default_size([620.0, 580.0])
        .show(ui.ctx(), |ui| {
            asked = export_menu(ui, &Format::ALL).or(shown.asked.take());
            let size = vec2(ui.available_width().max(300.0), ui.available_height().max(300.0));
            ui.allocate_ui(size, |ui| {
                shown.plot.show(ui, &mut shown.view, &shown.inset.plot);
            });
        });
    if let Some(format) = asked {
        let (name, plot) = (&shown.inset.file_name, &shown.inset.plot);
        pane.exports.plot(name, format, plot, &shown.view, Some(&shown.plot));
    }
    if !open {
        pane.shown_inset = None;
    }
}
