//! Pictures of their own: what a person drew around or searched for, and what the heads of a layer write. Buttons among the tools, and a
//! window over the others.

use attn_egui::{Format, SceneView, egui_wgpu::RenderState, export_menu};
use attn_sdk::{
    LayerValues, Study, Subset,
    core::HeadId,
    render::{Plot, Shared, ViewState, deferred},
    study::gallery::{head_file_name, values_file_name},
};
use eframe::egui::{Button, Id, Ui, Window, vec2};

use crate::side::Side;

/// Such a picture: its title, its file's name, and whether what is searched for elsewhere is searched for here.
pub(crate) struct Apart {
    title: String,
    file_name: String,
    searched: bool,
    plot: Box<dyn Plot>,
}

impl Apart {
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
            [first, .., last] => format!("What {} to {} write", name(*first), name(*last)),
            heads => format!(
                "What {} writes",
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

/// One on view.
pub(crate) struct Shown {
    apart: Apart,
    view: ViewState,
    picture: SceneView,
}

impl Shown {
    pub(crate) fn new(apart: Apart, state: &RenderState) -> Self {
        Self {
            apart,
            view: ViewState::default(),
            picture: SceneView::new(state, "a picture of its own"),
        }
    }

    /// Themes and colours are those of the other pictures; what is chosen by number is other points here. Points that were searched for
    /// all match.
    fn follow(&mut self, view: &ViewState) {
        let own = self.view.shared.clone();
        self.view.shared = Shared {
            search: if self.apart.searched {
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

/// The head and the points that are spoken of: what was drawn around, else what the search finds in the open head.
fn chosen(side: &Side) -> Option<(HeadId, Vec<u32>)> {
    let study = side.study.as_ref()?;
    let drawn: Vec<u32> = side.view.shared.selected.ids().collect();
    let head = side.view.open.or(side.view.shared.selected.head())?;
    let ids = match drawn.is_empty() {
        true => study.matches(head, &side.view.shared.search).ids().collect(),
        false => drawn,
    };
    (!ids.is_empty() && study.projection(head).is_ok()).then_some((head, ids))
}

/// The buttons.
pub(crate) fn offer(ui: &mut Ui, side: &mut Side) {
    let chosen = chosen(side);
    let button = ui
        .add_enabled(chosen.is_some(), Button::new("These alone"))
        .on_hover_text("Lays out what you drew around, or what the search finds in the open head, by itself")
        .on_disabled_hover_text("Draw around points (b or l), or open a head and search");
    if let (true, Some((head, ids))) = (button.clicked(), chosen) {
        side.apart(move |study, _, progress| Ok(Apart::points(study.clone(), study.subset(head, ids, progress)?)));
    }
    let layer = side.view.open.filter(|_| side.capturer.is_some());
    let button = ui
        .add_enabled(layer.is_some(), Button::new("Values"))
        .on_hover_text("Lays out what all heads of the open head's layer write: their values in one space")
        .on_disabled_hover_text("Open a head of a model: a capture alone has no output projections");
    if let (true, Some(head)) = (button.clicked(), layer) {
        side.apart(move |study, capturer, progress| {
            let capturer = capturer.ok_or("the values of a layer: expected a model, found a capture alone")?;
            let weights = capturer.model().head_weights()?;
            let values = study.layer_values(head.attention, head.layer, &weights, progress)?;
            Ok(Apart::values(study.clone(), values))
        });
    }
}

/// The window.
pub(crate) fn show(ui: &Ui, side: &mut Side) {
    let Some(shown) = &mut side.shown_apart else { return };
    shown.follow(&side.view);
    let (mut open, mut asked) = (true, None);
    Window::new(shown.apart.title.as_str())
        .id(Id::unique("apart"))
        .open(&mut open)
        .default_pos([290.0, 60.0])
        .default_size([620.0, 580.0])
        .show(ui.ctx(), |ui| {
            asked = export_menu(ui, &Format::ALL);
            let size = vec2(ui.available_width().max(300.0), ui.available_height().max(300.0));
            ui.allocate_ui(size, |ui| {
                shown.picture.show(ui, &mut shown.view, &shown.apart.plot);
            });
        });
    if let Some(format) = asked {
        let (name, plot) = (&shown.apart.file_name, &shown.apart.plot);
        side.exports.plot(name, format, plot, &shown.view, Some(&shown.picture));
    }
    if !open {
        side.shown_apart = None;
    }
}
