//! The window: one model or two side by side, the table of sequences, the detail pane and the summary. All are linked and fill up
//! while jobs run.

use std::{error::Error, path::PathBuf};

use attn_egui::{
    Format, apply_theme, color_picker, export_menu, history_buttons, patch_picker, search_box, theme_switch,
    tool_buttons,
};
use attn_sdk::{core::HeadId, project::AtlasParams, render::Interaction, study::source::Source};
use eframe::egui::{Button, CentralPanel, ComboBox, Frame, Key, Panel, ScrollArea, Ui, ViewportBuilder, Visuals};

use crate::{
    checkpoints, filter, help, inset,
    open::Dialog,
    options::{Options, Projection},
    pane::Pane,
    summary, weighting,
};

/// Opens the window and returns when it is closed.
pub(crate) fn open(source: Source, options: &Options, out: PathBuf) -> Result<(), Box<dyn Error>> {
    let native = eframe::NativeOptions {
        viewport: ViewportBuilder::default().with_inner_size([1440.0, 900.0]),
        ..Default::default()
    };
    let (params, view, projection) = (options.atlas(), options.view(), options.projection);
    let filter = options.filter();
    let folder = source.is_read().then(|| out.join("capture"));
    let app = move |cc: &eframe::CreationContext<'_>| -> Result<Box<dyn eframe::App>, _> {
        let state = cc.wgpu_render_state.clone().ok_or("eframe runs without wgpu")?;
        let mut pane = Pane::new(source, params.clone(), view, &out, folder, &state, &cc.egui_ctx);
        pane.filter = filter;
        Ok(Box::new(Atlas {
            panes: vec![pane],
            active: 0,
            params,
            projection,
            state,
            out,
            dialog: None,
            help: false,
        }))
    };
    eframe::run_native("attn atlas", native, Box::new(app)).map_err(|error| error.to_string().into())
}

pub(crate) struct Atlas {
    /// One model, or two to compare.
    pub(crate) panes: Vec<Pane>,
    /// The pane whose sequences and summary are shown.
    pub(crate) active: usize,
    pub(crate) params: AtlasParams,
    projection: Projection,
    pub(crate) state: attn_egui::egui_wgpu::RenderState,
    pub(crate) out: PathBuf,
    pub(crate) dialog: Option<Dialog>,
    help: bool,
}

impl eframe::App for Atlas {
    /// What lies under plots that are not drawn yet is of the theme.
    fn clear_color(&self, visuals: &Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }

    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        // Before Enter takes the focus from the text field.
        let typing = ui.ctx().egui_wants_keyboard_input();
        for pane in &mut self.panes {
            pane.listen(ui.ctx());
        }
        apply_theme(ui.ctx(), &self.panes[0].view);
        Panel::top("tools").show(ui, |ui| {
            ui.horizontal_wrapped(|ui| self.tools(ui));
            for pane in &mut self.panes {
                checkpoints::slider(ui, pane);
                pane.show_progress(ui);
            }
        });
        Panel::left("sequences").default_size(260.0).show(ui, |ui| {
            fill(ui);
            self.sequences(ui);
        });
        Panel::right("about").default_size(420.0).show(ui, |ui| {
            fill(ui);
            let half = 0.55 * ui.available_height();
            Panel::bottom("sequence")
                .frame(Frame::NONE)
                .resizable(true)
                .default_size(half)
                .show(ui, |ui| {
                    fill(ui);
                    let pane = &mut self.panes[self.active];
                    weighting::choice(ui, pane);
                    pane.show_sequence(ui);
                });
            CentralPanel::default().frame(Frame::NONE).show(ui, |ui| self.about(ui));
        });
        Panel::bottom("new text").show(ui, |ui| {
            ui.horizontal(|ui| {
                self.active().exports.show(ui);
                self.new_point(ui);
            });
        });
        CentralPanel::default().frame(Frame::NONE).show(ui, |ui| self.plots(ui));
        if !typing {
            self.keys(ui);
        }
        for pane in &mut self.panes {
            pane.show_inset(ui, &self.state);
        }
        self.open_dialog(ui);
        help::show(ui, &mut self.help);
    }
}

impl Atlas {
    pub(crate) fn active(&mut self) -> &mut Pane {
        &mut self.panes[self.active]
    }

    fn tools(&mut self, ui: &mut Ui) {
        let active = self.active();
        let before = (active.view.clone(), active.filter.clone());
        self.model_menu(ui, "Model", false);
        self.model_menu(ui, "Compare", true);
        ui.separator();
        self.projection_picker(ui);
        ui.separator();
        let active = self.active();
        let names = active.study.as_ref().map_or_else(Vec::new, |study| study.color_names());
        color_picker(ui, &mut active.view, &names);
        if active.study.as_ref().is_some_and(|study| study.is_image(0)) {
            patch_picker(ui, &mut active.view);
        }
        filter::menu(ui, active);
        let count = active.count();
        search_box(ui, &mut active.view, &count);
        inset::offer(ui, active);
        ui.separator();
        tool_buttons(ui, &mut active.plot);
        history_buttons(ui, &mut active.plot);
        let (mut step, mut all) = (0, false);
        let back = ui.add_enabled(active.view.open.is_some(), Button::new("All heads"));
        if back.on_hover_text("Back to the matrix (Escape)").clicked() {
            all = true;
        }
        for (name, help, by) in [("◀", "Previous head (,)", -1), ("▶", "Next head (.)", 1)] {
            if ui.button(name).on_hover_text(help).clicked() {
                step = by;
            }
        }
        ui.separator();
        theme_switch(ui, &mut active.view);
        if let Some(kind) = export_menu(ui, &Format::ALL) {
            self.active().export(kind);
        }
        if ui.button("?").on_hover_text("Help (F1)").clicked() {
            self.help = !self.help;
        }
        if all {
            self.active().view.close_head();
        }
        if step != 0 {
            self.active().step(step);
        }
        let active = self.active();
        if (&active.view, &active.filter) != (&before.0, &before.1) {
            self.sync(self.active);
        }
    }

    fn projection_picker(&mut self, ui: &mut Ui) {
        let before = (self.projection, self.params.dims);
        ComboBox::from_id_salt("projection")
            .selected_text(self.projection.name())
            .width(70.0)
            .show_ui(ui, |ui| {
                for projection in Projection::ALL {
                    ui.selectable_value(&mut self.projection, projection, projection.name());
                }
            })
            .response
            .on_hover_text("Projection of queries and keys");
        for dims in [attn_sdk::project::Dims::Two, attn_sdk::project::Dims::Three] {
            let name = format!("{}D", dims.count());
            ui.selectable_value(&mut self.params.dims, dims, name);
        }
        if before != (self.projection, self.params.dims) {
            self.params.method = self.projection.method();
            for pane in &mut self.panes {
                pane.project(self.params.clone(), ui.ctx());
            }
        }
    }

    fn sequences(&mut self, ui: &mut Ui) {
        if self.panes.len() > 1 {
            ui.horizontal(|ui| {
                for (index, pane) in self.panes.iter().enumerate() {
                    ui.selectable_value(&mut self.active, index, &pane.name);
                }
            });
        }
        let pane = &mut self.panes[self.active];
        let Some(study) = &pane.study else { return };
        if let Some(kind) = export_menu(ui, &Format::NUMBERS) {
            pane.exports.table("sequences", kind, &study.sequences_table());
        }
        let sequences = study.capture().sequences();
        let cell = |row: usize, column: usize| {
            let sequence = &sequences[row];
            match column {
                0 => sequence.text.clone().unwrap_or_else(|| sequence.name.clone()),
                _ => (sequence.encoder.len() + sequence.decoder.len()).to_string(),
            }
        };
        let shown = pane
            .table
            .show(ui, &["sequence", "tokens"], sequences.len(), pane.sequence, cell);
        if let Some(sequence) = shown.chosen {
            pane.choose(Some(sequence));
            self.sync(self.active);
        }
    }

    fn about(&mut self, ui: &mut Ui) {
        let other = self.panes.get(1 - self.active).and_then(|other| other.summary.clone());
        let pane = &mut self.panes[self.active];
        let mut asked = None;
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            pane.notes.show(ui);
            if let (Some(failure), Some(_)) = (&pane.failure, &pane.study) {
                ui.label(failure);
            }
            asked = summary::show(ui, pane, other.as_ref());
        });
        match asked {
            Some(summary::Ask::Open(head)) => {
                pane.open(head);
                self.sync(self.active);
            }
            Some(summary::Ask::Try(question)) => pane.ask(question),
            None => {}
        }
    }

    fn plots(&mut self, ui: &mut Ui) {
        if self.panes.len() == 1 {
            self.panes[0].show_plot(ui);
            return;
        }
        let half = 0.5 * ui.available_width();
        let mut changed = None;
        Panel::left("first")
            .frame(Frame::NONE)
            .default_size(half)
            .show(ui, |ui| {
                if self.panes[0].show_plot(ui) {
                    changed = Some(0);
                }
            });
        CentralPanel::default().frame(Frame::NONE).show(ui, |ui| {
            if self.panes[1].show_plot(ui) {
                changed = Some(1);
            }
        });
        if let Some(from) = changed {
            self.active = from;
            self.sync(from);
        }
    }

    /// Applies the shared view state of one model to the other: cameras, colors, search, theme, and the open head if both have it.
    fn sync(&mut self, from: usize) {
        let Some(to) = (self.panes.len() > 1).then_some(1 - from) else {
            return;
        };
        let (source, sequence) = (self.panes[from].view.clone(), self.panes[from].sequence);
        let filter = self.panes[from].filter.clone();
        let head = self.panes[from].plot.interaction().head;
        let pane = &mut self.panes[to];
        let counterpart = |head: HeadId| {
            let study = pane.study.as_ref()?;
            let heads = study.capture().model().heads();
            // Prefers the same stack of an encoder-decoder; other models have one.
            let same = |other: &HeadId| (other.layer, other.head) == (head.layer, head.head);
            let differs = |other: &HeadId| other.attention != head.attention;
            let mut same: Vec<HeadId> = heads.filter(same).collect();
            same.sort_by_key(differs);
            same.first().copied()
        };
        let (open, head) = (source.open.and_then(counterpart), head.and_then(counterpart));
        let same_data = pane
            .study
            .as_ref()
            .zip(sequence)
            .is_some_and(|(study, sequence)| study.capture().sequences().len() > sequence);
        pane.view.shared = source.shared;
        // Ids of points mean other tokens there.
        pane.view.selection = None;
        pane.plot.set_interaction(Interaction {
            head,
            ..Interaction::default()
        });
        (pane.view.stage, pane.view.inside, pane.view.orbit) = (source.stage, source.inside, source.orbit);
        pane.view.open = open;
        pane.draw(filter);
        pane.choose(sequence.filter(|_| same_data));
    }

    fn keys(&mut self, ui: &Ui) {
        let (next, previous, help) = ui.input(|input| {
            (
                input.key_pressed(Key::Period),
                input.key_pressed(Key::Comma),
                input.key_pressed(Key::F1),
            )
        });
        if next || previous {
            self.active().step(if next { 1 } else { -1 });
            self.sync(self.active);
        }
        self.help ^= help;
    }
}

/// Keeps the size that the user gave a panel, independent of its content.
fn fill(ui: &mut Ui) {
    ui.set_min_size(ui.available_size());
}
