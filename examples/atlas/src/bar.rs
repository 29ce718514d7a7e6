//! The two bars over the plots. Their buttons keep their places: nothing wraps, appears or grows; the search is always in sight.

use attn_egui::{
    attn_render::Format,
    export::export_menu,
    search_box,
    toolbar::{color_picker, history_buttons, patch_picker, theme_switch, tool_buttons},
};
use eframe::egui::{Align2, Button, ComboBox, Rect, ScrollArea, TextStyle, Ui, scroll_area::ScrollBarVisibility, vec2};

use crate::{
    actions::{Action, Exported, Field},
    filter, inset,
    options::Projection,
    window::Atlas,
};

/// Room for the search box, in points.
const SEARCH: f32 = 270.0;

/// A line that scrolls where the window is too narrow, with a mark on the side that has more; `beside` it there is room for more.
fn line(ui: &mut Ui, id: &str, beside: f32, contents: &mut dyn FnMut(&mut Ui)) {
    let area = ScrollArea::horizontal().id_salt(id.to_owned());
    let area = area.max_width((ui.available_width() - beside).max(120.0));
    let area = area.scroll_bar_visibility(ScrollBarVisibility::AlwaysHidden);
    let shown = area.show(ui, |ui| ui.horizontal(|ui| contents(ui)));
    let (view, from) = (shown.inner_rect, shown.state.clamped_offset().x);
    let sides = [
        (from > 1.0, Align2::LEFT_CENTER, "«"),
        (
            from + view.width() + 1.0 < shown.content_size.x,
            Align2::RIGHT_CENTER,
            "»",
        ),
    ];
    for (_, side, mark) in sides.into_iter().filter(|(more, ..)| *more) {
        let painter = ui.painter();
        let text = painter.layout_no_wrap(
            mark.into(),
            TextStyle::Button.resolve(ui.style()),
            ui.visuals().text_color(),
        );
        let place = side.align_size_within_rect(text.size(), view);
        let ground = Rect::from_x_y_ranges(place.x_range(), view.y_range());
        painter.rect_filled(ground.expand2(vec2(2.0, 0.0)), 0.0, ui.visuals().panel_fill);
        painter.galley(place.min, text, ui.visuals().text_color());
    }
}

impl Atlas {
    /// Both bars; returns what was asked for.
    pub(crate) fn bars(&mut self, ui: &mut Ui) -> Option<Action> {
        let mut asked = None;
        line(ui, "files", 0.0, &mut |ui| asked = self.files(ui).or(asked.take()));
        ui.horizontal(|ui| {
            // The search is in sight however narrow the window is.
            line(ui, "tools", SEARCH, &mut |ui| asked = self.tools(ui).or(asked.take()));
            let before = self.shared();
            let pane = self.active();
            let count = pane.count();
            let field = search_box(ui, &mut pane.view, &count);
            if self.focus.take_if(|wanted| *wanted == Field::Search).is_some() {
                field.request_focus();
            }
            if before != self.shared() {
                self.sync(self.active);
            }
        });
        asked
    }

    /// What is open, and the window itself.
    fn files(&mut self, ui: &mut Ui) -> Option<Action> {
        let mut asked = None;
        self.panels.sequences.button(ui, "Sequences ([)");
        ui.separator();
        self.model_menu(ui, "Model", false);
        self.model_menu(ui, "Compare", true);
        ui.menu_button("Session", |ui| {
            for (name, keys, action) in [
                ("Save", "Ctrl+S", Action::SaveSession),
                ("Save as …", "Ctrl+Shift+S", Action::SaveSessionAs),
                ("Open …", "Ctrl+O", Action::OpenSession),
            ] {
                if ui.add(Button::new(name).shortcut_text(keys)).clicked() {
                    asked = Some(action);
                    ui.close();
                }
            }
        });
        let pane = self.active();
        let now = (pane.describe(), pane.looked());
        if let Some(look) = pane.bookmarks.menu(ui, || now) {
            pane.look(look);
        }
        if let Some(format) = export_menu(ui, &Format::ALL) {
            asked = Some(Action::Export(Exported::Plot, format));
        }
        ui.separator();
        history_buttons(ui, &mut self.active().plot);
        ui.separator();
        if ui
            .button("Commands")
            .on_hover_text("Searches everything the window can do (Ctrl+K)")
            .clicked()
        {
            asked = Some(Action::Commands);
        }
        let before = self.shared();
        theme_switch(ui, &mut self.active().view);
        if before != self.shared() {
            self.sync(self.active);
        }
        if ui.button("?").on_hover_text("Help (F1)").clicked() {
            asked = Some(Action::Help);
        }
        ui.separator();
        self.panels.about.button(ui, "Page about heads (])");
        self.panels.detail.button(ui, "Detail pane (\\)");
        asked
    }

    /// What is drawn, and how.
    fn tools(&mut self, ui: &mut Ui) -> Option<Action> {
        let mut asked = None;
        let before = self.shared();
        let open = self.active().view.open.is_some();
        let back = ui.add_enabled(open, Button::new("All heads"));
        if back.on_hover_text("Back to the matrix (Escape)").clicked() {
            asked = Some(Action::AllHeads);
        }
        for (name, help, by) in [("◀", "Previous head (,)", -1), ("▶", "Next head (.)", 1)] {
            if ui.button(name).on_hover_text(help).clicked() {
                asked = Some(Action::Step(by));
            }
        }
        ui.separator();
        ComboBox::from_id_salt("projection")
            .selected_text(self.projection.name())
            .width(90.0)
            .truncate()
            .show_ui(ui, |ui| {
                for projection in Projection::ALL {
                    if ui
                        .selectable_label(self.projection == projection, projection.name())
                        .clicked()
                    {
                        asked = Some(Action::Project(projection));
                    }
                }
            })
            .response
            .on_hover_text("Projection of queries and keys");
        for dims in [attn_sdk::project::Dims::Two, attn_sdk::project::Dims::Three] {
            let name = format!("{}D", dims.count());
            if ui.selectable_label(self.params.dims == dims, name).clicked() {
                asked = Some(Action::Dims(dims));
            }
        }
        ui.separator();
        let pane = self.active();
        let names = pane.study.as_ref().map_or_else(Vec::new, |study| study.color_names());
        color_picker(ui, &mut pane.view, &names);
        if pane.study.as_ref().is_some_and(|study| study.is_image(0)) {
            patch_picker(ui, &mut pane.view);
        }
        ui.menu_button("Style points", |ui| {
            let shared = &mut pane.view.shared;
            let mut sized = shared.size_by.is_some();
            let size = ui.checkbox(&mut sized, "size by norm");
            if size
                .on_hover_text("Larger points have longer vectors, in an open head")
                .changed()
            {
                shared.size_by = sized.then(|| "norm".into());
            }
            ui.checkbox(&mut shared.contours, "outline dense regions")
                .on_hover_text("Lines of equal density in an open head, named by what most points inside are");
            ui.checkbox(&mut shared.all_flows, "all flows of images")
                .on_hover_text("Every weight of at least 0.1, in place of the strongest of each patch");
        });
        filter::menu(ui, pane);
        tool_buttons(ui, &mut pane.plot);
        asked = inset::offer(ui, pane).or(asked);
        ui.separator();
        if before != self.shared() {
            self.sync(self.active);
        }
        asked
    }
}
