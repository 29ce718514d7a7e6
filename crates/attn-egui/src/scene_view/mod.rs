//! One widget for every view: a scene, drawn and handled in a part of an egui window.

mod follow;
mod glide;
mod paint;

use attn_core::HeadId;
use attn_render::{
    Interaction, Plot, Scene, Target, ViewState,
    control::{Controller, Event, Input, Key, Tool},
    plots::overlay::{self, Pointer as Pointed},
    projection::Projection,
    scene::Motion,
};
use egui::{EventFilter, Id, Popup, Pos2, Rect, Response, Sense, Ui, Vec2, emath::GuiRounding as _};
use egui_wgpu::RenderState;

use self::{follow::Moving, glide::Glide};
use crate::{
    Error,
    canvas::Canvas,
    input::{self, Pointer},
};

/// A plot in an egui window: what the widget keeps between frames. The host keeps one per place, and a [`ViewState`] for it.
///
/// The scene of a plot is made for the size of the widget (in points, which are layout units) and the state. It is made when the
/// widget has another size, when the state changes in more than its cameras, and after [`invalidate`](Self::invalidate); never
/// just because a frame is drawn. So a plot that costs much to make is handed over as
/// [`deferred`](attn_render::plot::deferred). The picture is a texture that is drawn again only when something in it changes.
///
/// Wheel and pinch zoom at the pointer, two fingers move (turn clouds in three dimensions), a drag does the same or draws around
/// points, a click opens or selects. With the focus, which a click or the Tab key gives: arrows, `+`, `-`, Home, Escape, `n` and `p` (next and previous head,
/// point or token), Enter, `c` (next class of the legend, which Enter switches), `a` (select all), `m`, `b` and `l` (move, box, lasso), `x` (switches the token of `n` and `p` off), `u` and `r` or Ctrl+Z and Ctrl+Y (undo, redo) and
/// `t` (theme). Nothing moves on its own; without animations in egui's style the wheel does not glide either.
pub struct SceneView {
    label: String,
    canvas: Canvas,
    controller: Controller,
    pointer: Pointer,
    /// Where the pointer was last, in pixels of the picture.
    cursor: [f32; 2],
    pressed: Vec<Key>,
    scene: Option<Scene>,
    /// What the scene was made for.
    made_for: Option<(ViewState, [f32; 2])>,
    /// Points on their way to `scene`.
    moving: Option<Moving>,
    /// Whether points move to where they are in the scene that is made next.
    animate: bool,
    /// Of a large scene: the size it should have, and since when.
    wanted: Option<([f32; 2], f64)>,
    /// What the overlay was drawn for.
    overlaid: Option<Overlaid>,
    /// What the picture was drawn for; `None` if it is out of date.
    drawn_for: Option<(ViewState, [u32; 2])>,
    /// The state that was seen last, and since when; the picture may be shifted to it.
    seen: Option<(ViewState, f64)>,
    glide: Option<Glide>,
    /// Size of the picture in pixels.
    size: [u32; 2],
    /// Whether Shift was down.
    shift: bool,
    /// Whether keys that nothing else wants are for this widget.
    takes_keys: bool,
    /// The head under the pointer, and whether the plot has words for it.
    told: Option<(HeadId, bool)>,
    error: Option<Error>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Overlaid {
    interaction: Interaction,
    cursor: Option<[f32; 2]>,
}

/// What happened in a widget this frame.
#[derive(Debug)]
pub struct SceneResponse {
    /// egui's own, for tooltips, menus and focus.
    pub response: Response,
    /// What the person meant, in the order it happened.
    pub events: Vec<Event>,
}

impl SceneResponse {
    /// The head that was opened, if one was.
    pub fn opened(&self) -> Option<HeadId> {
        self.events.iter().rev().find_map(|event| match event {
            Event::OpenHead(head) => Some(*head),
            _ => None,
        })
    }

    /// Whether the view is not what it was.
    pub fn changed(&self) -> bool {
        !self.events.is_empty()
    }
}

/// Under which the widget is known that has the focus.
const FOCUSED: &str = "attn focused plot";
/// The size where a layout leaves it open, such as inside a scroll area.
const NATURAL: [f32; 2] = [640.0, 480.0];
/// Gives all views what was done in the view `from`: colors, search, selection, theme, and what is under the pointer. Each keeps
/// its camera and its open head.
pub fn link_views(from: usize, views: &mut [(&mut ViewState, &mut SceneView)]) {
    let Some((state, widget)) = views.get(from) else { return };
    let (shared, interaction) = (state.shared.clone(), widget.interaction());
    for (state, widget) in views {
        state.shared.clone_from(&shared);
        widget.set_interaction(interaction);
    }
}

impl SceneView {
    /// A widget that draws with the device of `state` (eframe: `cc.wgpu_render_state`). `label` is what a screen reader says.
    pub fn new(state: &RenderState, label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            canvas: Canvas::new(state),
            controller: Controller::default(),
            pointer: Pointer::default(),
            cursor: [0.0; 2],
            pressed: Vec::new(),
            scene: None,
            made_for: None,
            moving: None,
            animate: false,
            wanted: None,
            overlaid: None,
            drawn_for: None,
            seen: None,
            glide: None,
            size: [0; 2],
            shift: false,
            takes_keys: false,
            told: None,
            error: None,
        }
    }

    /// Draws with another device from now on, for a host whose device was lost. Scene, history and tool stay.
    pub fn set_render_state(&mut self, state: &RenderState) {
        self.canvas = Canvas::new(state);
        self.drawn_for = None;
    }

    /// Has the scene made anew at the next frame: the data changed.
    pub fn invalidate(&mut self) {
        self.made_for = None;
    }

    /// As [`invalidate`](Self::invalidate), and points move from where they are seen to where the new scene has them, such as
    /// from one projection to another: see [`attn_render::Transition`]. At once with [`Shared::reduced_motion`](attn_render::state::Shared::reduced_motion), or where egui's style has no
    /// animations.
    pub fn animate(&mut self) {
        self.invalidate();
        self.animate = true;
    }

    /// Acts at the next frame as if a key were pressed in the widget, for buttons and menus.
    pub fn press(&mut self, key: Key) {
        self.pressed.push(key);
    }

    /// Whether the widget takes keys without the focus too: those that no other widget wants, for the main plot of a window.
    /// While another widget has the focus, arrows and Enter stay with it; while text is typed, all keys. Default: no.
    pub fn set_takes_keys(&mut self, takes_keys: bool) {
        self.takes_keys = takes_keys;
    }

    /// What a drag does.
    pub fn tool(&self) -> Tool {
        self.controller.tool()
    }

    /// The scene that is shown, for export.
    pub fn scene(&self) -> Option<&Scene> {
        self.scene.as_ref()
    }

    /// Why there is no picture, or an old one. The widget shows it too.
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// A sentence on the characters that are boxes here, because neither the bundled fonts nor those of the system have them, for a
    /// window's [`Notes`](crate::Notes); `None` if there are none.
    pub fn missing_note(&self) -> Option<String> {
        self.canvas.missing_note()
    }

    /// What the pointer is over, and where the keyboard is in the legend.
    pub fn interaction(&self) -> Interaction {
        self.controller.interaction()
    }

    /// Takes over what the pointer is over from a linked widget, which then is highlighted here too.
    pub fn set_interaction(&mut self, interaction: Interaction) {
        self.controller.set_interaction(interaction);
    }

    /// Shows a plot in all the space there is, with what the plot says of what is under the pointer.
    ///
    /// ```no_run
    /// # use attn_egui::{SceneView, egui};
    /// # use attn_render::{ViewState, plots::Histogram};
    /// # fn frame(ui: &mut egui::Ui, widget: &mut SceneView, state: &mut ViewState, histogram: &Histogram) {
    /// let shown = widget.show(ui, state, histogram);
    /// if let Some(head) = shown.opened() {
    ///     ui.ctx().send_viewport_cmd(egui::ViewportCommand::Title(head.to_string()));
    /// }
    /// # }
    /// ```
    pub fn show(&mut self, ui: &mut Ui, view: &mut ViewState, plot: &dyn Plot) -> SceneResponse {
        let space = ui.available_size();
        let side = |axis: usize| {
            let length = [space.x, space.y][axis];
            if length.is_finite() && length < 1e6 {
                length.max(0.0)
            } else {
                NATURAL[axis]
            }
        };
        let (_, response) = ui.allocate_exact_size(Vec2::new(side(0), side(1)), Sense::click_and_drag());
        let rect = response.rect.round_to_pixels(ui.pixels_per_point());
        let mut events = Vec::new();
        if rect.width() >= 1.0 && rect.height() >= 1.0 && ui.is_rect_visible(rect) {
            let scale = self.follow_size(rect, ui.pixels_per_point());
            self.follow(ui, view, rect, plot);
            events = self.handle(ui, view, &response, rect, scale);
            self.follow(ui, view, rect, plot);
            self.advance(ui, view);
            self.overlay(view, plot);
            if !self.glides(ui, view) {
                self.draw(view);
            }
            self.paint(ui, view, &response, rect, scale);
        }
        self.describe(ui, view, &response);
        if !events.is_empty() {
            // Views that were shown before this one may share what changed.
            ui.ctx().request_repaint();
        }
        SceneResponse { response, events }
    }

    /// What the person did, in the scene that was there.
    fn handle(&mut self, ui: &Ui, view: &mut ViewState, response: &Response, rect: Rect, scale: f32) -> Vec<Event> {
        let Some(scene) = &self.scene else { return Vec::new() };
        let mut events = Vec::new();
        let resized = Input::Resized {
            size: self.size.map(|side| side as f32),
        };
        self.controller.handle(resized, scene, view);

        let px = |pos: Pos2| [(pos.x - rect.min.x) * scale, (pos.y - rect.min.y) * scale];
        let shift = ui.input(|input| input.modifiers.shift);
        if std::mem::replace(&mut self.shift, shift) != shift {
            self.controller.handle(Input::Shift(shift), scene, view);
        }
        let mut inputs = self.pointer.gather(ui, response, px);
        for input in &inputs {
            match input {
                Input::PointerPressed { position } => {
                    response.request_focus();
                    self.cursor = *position;
                }
                Input::PointerMoved { position } | Input::PointerReleased { position } => self.cursor = *position,
                _ => {}
            }
        }
        if self.pointer.over && scene.panels.iter().any(|panel| panel.motion != Motion::Fixed) {
            let (scrolled, position) = (self.pointer.scrolled(ui), self.cursor);
            if scrolled.pan != Vec2::ZERO {
                let by = [scrolled.pan.x * scale, scrolled.pan.y * scale];
                inputs.push(Input::Pan { position, by });
            }
            if scrolled.notches != 0.0 {
                let notches = scrolled.notches;
                inputs.push(Input::Wheel { position, notches });
            }
        }
        inputs.extend(self.pressed.drain(..).map(Input::Key));
        let mut theme = false;
        if response.has_focus() {
            // Arrows and Escape act here instead of moving the focus on.
            let filter = EventFilter {
                horizontal_arrows: true,
                vertical_arrows: true,
                escape: true,
                tab: false,
            };
            ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
            // The main plot of a window leaves the keys to this one.
            ui.data_mut(|data| data.insert_temp(Id::unique(FOCUSED), response.id));
            let keys = input::keys(ui, true);
            inputs.extend(keys.inputs);
            theme = keys.theme;
        } else if self.takes_keys && ui.is_enabled() && !Popup::is_any_open(ui.ctx()) {
            let focused = ui.memory(|memory| memory.focused());
            let plot = ui.data(|data| data.get_temp::<Id>(Id::unique(FOCUSED)));
            if !ui.ctx().text_edit_focused() && (focused.is_none() || focused != plot) {
                let keys = input::keys(ui, focused.is_none());
                inputs.extend(keys.inputs);
                theme = keys.theme;
            }
        }
        for input in inputs {
            events.extend(self.controller.handle(input, scene, view));
        }
        if theme {
            view.shared.theme = view.shared.theme.other();
            events.push(Event::ViewChanged);
        }
        events
    }

    /// What is hovered, highlighted; here or in a linked widget.
    fn overlay(&mut self, view: &ViewState, plot: &dyn Plot) {
        let Some(scene) = &mut self.scene else { return };
        let interaction = self.controller.interaction();
        let something = interaction.pick.is_some() || interaction.head.is_some();
        let here = self.pointer.over && !self.pointer.down;
        let head = interaction.head.filter(|_| here && view.open.is_none());
        if self.told.map(|(head, _)| head) != head {
            self.told = head.map(|head| (head, plot.tooltip(Target::Head(head)).is_some()));
        }
        // The box stays where it is while the pointer is over the same thing, so that moves redraw nothing. That of a head is
        // beside its plot.
        let corner = self.told.filter(|(_, told)| *told).and_then(|(head, _)| {
            let place = Projection::new(scene, view, self.size.map(|side| side as f32));
            let rect = place.panels[scene.panel_of(head)?].rect;
            Some([rect.max[0], rect.min[1]])
        });
        let interaction = Interaction {
            pick: interaction.pick.filter(|_| corner.is_none()),
            ..interaction
        };
        let before = self.overlaid.filter(|before| before.interaction == interaction);
        let cursor = corner
            .or(before.and_then(|before| before.cursor))
            .unwrap_or(self.cursor);
        let now = Overlaid {
            interaction,
            cursor: Some(cursor).filter(|_| here && something),
        };
        if self.overlaid.replace(now) == Some(now) {
            return;
        }
        self.drawn_for = None;
        let pointer = now.cursor.map(|position| Pointed {
            size: self.size.map(|side| side as f32),
            position,
            hit: self.controller.hit(position, scene, view),
        });
        overlay::point_out(scene, plot, view, &interaction, pointer.as_ref());
    }

    fn draw(&mut self, view: &ViewState) {
        let moving = self.moving.as_ref().map(|moving| &moving.now);
        let Some(scene) = moving.or(self.scene.as_ref()) else {
            return;
        };
        if self
            .drawn_for
            .as_ref()
            .is_some_and(|(drawn, size)| drawn == view && *size == self.size)
        {
            return;
        }
        match self.canvas.draw(scene, view, self.size) {
            Ok(()) => {
                if matches!(self.error, Some(Error::Draw(_))) {
                    self.error = None;
                }
                self.drawn_for = Some((view.clone(), self.size));
            }
            Err(error) => self.error = Some(error.into()),
        }
    }
}
