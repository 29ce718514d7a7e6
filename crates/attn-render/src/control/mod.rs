//! From pointer and keys to a changed view state, the same in every toolkit.
//!
//! Wheel and pinch zoom at the cursor, two fingers pan (turn clouds in three dimensions), a drag does the same or, with another
//! [`Tool`], draws around points; click opens or selects, Escape goes back. Everything that a pointer does can be done with keys. The host translates its toolkit's events into [`Input`], hands them in, draws again if the
//! [`ViewState`] changed, and does with the [`Event`]s what it likes.

mod fingers;
mod input;
#[cfg(test)]
mod tests;

use attn_core::HeadId;

pub use self::input::{Event, Input, Key, Tool};
use crate::{
    Area, History, Interaction, Pick, Scene, Selection, Target, ViewState,
    geometry::Rect,
    pick::{Hit, Picker, panel_at},
    projection::Projection,
    scene::{Axes, Motion, Rows},
};

/// Turns input into changes of a [`ViewState`].
#[derive(Debug, Clone, Default)]
pub struct Controller {
    size: [f32; 2],
    picker: Picker,
    pressed: Option<Pressed>,
    fingers: fingers::Fingers,
    tool: Tool,
    /// What is being drawn with a tool, and in which panel.
    drawn: Option<(usize, Area)>,
    history: History,
    interaction: Interaction,
    /// Whether Shift is down.
    shift: bool,
    /// The head that was open after the last input.
    open: Option<HeadId>,
    /// What is left of a way through rows that was no whole row.
    part_of_row: f32,
}

#[derive(Debug, Clone, Copy)]
struct Pressed {
    panel: Option<usize>,
    start: [f32; 2],
    last: [f32; 2],
    dragging: bool,
}

/// How far, in layout units, a press may move and still be a click.
const CLICK: f32 = 4.0;
/// How far, in layout units, the pointer may be from a point.
const REACH: f32 = 8.0;
/// Enlargement of one notch of the wheel.
const NOTCH: f32 = 1.15;
/// Rows of a long text that a notch of the wheel goes on.
const ROWS_PER_NOTCH: f32 = 3.0;
/// A panel of the matrix that is wheeled to this share of the stage opens.
const OPENS_AT: f32 = 0.9;

impl Controller {
    /// What a drag does.
    pub fn tool(&self) -> Tool {
        self.tool
    }

    /// Takes another tool; what was being drawn is dropped.
    pub fn set_tool(&mut self, tool: Tool) {
        self.tool = tool;
        self.drawn = None;
        self.pressed = None;
    }

    /// What is being drawn with a tool, in pixels, for [`overlay::area`](crate::plots::overlay::area).
    pub fn area(&self) -> Option<&Area> {
        self.drawn.as_ref().map(|(_, area)| area)
    }

    /// What the pointer is over, and where the keyboard is in the legend.
    pub fn interaction(&self) -> Interaction {
        self.interaction
    }

    /// Takes over what the pointer is over from a linked view.
    pub fn set_interaction(&mut self, interaction: Interaction) {
        self.interaction = interaction;
    }

    /// What is under a pixel of the target, found as hovering and clicks find it.
    pub fn hit(&mut self, position: [f32; 2], scene: &Scene, view: &ViewState) -> Option<Hit> {
        let projection = self.projection(scene, view);
        self.picker.hit(scene, &projection, position, REACH * projection.scale)
    }

    /// Handles one input. Events come in the order they happened.
    pub fn handle(&mut self, input: Input, scene: &Scene, view: &mut ViewState) -> Vec<Event> {
        let mut events = Vec::new();
        let before = (view.clone(), self.interaction);
        self.history.record(view);
        self.leave(view);
        self.act(input, scene, view, &mut events);
        self.leave(view);
        if (&*view, self.interaction) != (&before.0, before.1) && !events.contains(&Event::ViewChanged) {
            events.push(Event::ViewChanged);
        }
        self.history.record(view);
        events
    }

    /// In another head, or back among all, nothing is under the pointer yet.
    fn leave(&mut self, view: &ViewState) {
        if self.open != view.open {
            self.open = view.open;
            (self.interaction.pick, self.interaction.legend_mark) = (None, None);
        }
    }

    fn act(&mut self, input: Input, scene: &Scene, view: &mut ViewState, events: &mut Vec<Event>) {
        match input {
            Input::Resized { size } => {
                self.size = size;
                events.push(Event::ViewChanged);
            }
            Input::PointerMoved { position } => self.moved(position, scene, view, events),
            Input::PointerLeft => {
                self.pressed = None;
                self.drawn = None;
                self.hover(None, scene, events);
            }
            Input::PointerPressed { position } => {
                let projection = self.projection(scene, view);
                let panel = match self.tool {
                    Tool::Look => moving_panel(scene, &projection, position),
                    Tool::Box | Tool::Lasso => panel_at(&projection, position),
                };
                self.pressed = Some(Pressed {
                    panel,
                    start: position,
                    last: position,
                    dragging: false,
                });
            }
            Input::PointerReleased { position } => {
                let pressed = self.pressed.take();
                if let Some((panel, area)) = self.drawn.take() {
                    self.select(panel, &area, scene, view, events);
                } else if pressed.is_some_and(|pressed| !pressed.dragging) {
                    self.click(position, scene, view, events);
                }
            }
            Input::Wheel { position, notches } => {
                let (notches, projection) = (notches.clamp(-20.0, 20.0), self.projection(scene, view));
                match moving_panel(scene, &projection, position).and_then(|panel| scene.panels[panel].rows) {
                    Some(rows) => self.scroll(rows, ROWS_PER_NOTCH * notches, view),
                    None => self.zoom(position, NOTCH.powf(notches), scene, view, events),
                }
            }
            Input::Pan { position, by } => {
                let projection = self.projection(scene, view);
                if let Some(panel) = moving_panel(scene, &projection, position) {
                    self.drag(panel, by, scene, &projection, view);
                }
            }
            Input::Finger { id, position } => self.finger(id, position, scene, view, events),
            Input::Shift(down) => self.shift = down,
            Input::Key(key) => self.key(key, scene, view, events),
        }
    }

    /// Selects what is inside an area of a panel.
    fn select(&mut self, panel: usize, area: &Area, scene: &Scene, view: &mut ViewState, events: &mut Vec<Event>) {
        let projection = self.projection(scene, view);
        let ids = self.picker.within(scene, &projection, panel, area);
        let head = scene.panels.get(panel).and_then(|panel| panel.head);
        view.shared.selected = Selection::new(head, ids);
        events.push(Event::SelectPoints(view.shared.selected.len()));
    }

    fn projection(&self, scene: &Scene, view: &ViewState) -> Projection {
        Projection::new(scene, view, self.size)
    }

    fn moved(&mut self, position: [f32; 2], scene: &Scene, view: &mut ViewState, events: &mut Vec<Event>) {
        let projection = self.projection(scene, view);
        let Some(mut pressed) = self.pressed else {
            let hit = self.picker.hit(scene, &projection, position, REACH * projection.scale);
            self.hover(hit, scene, events);
            return;
        };
        // Another scene may have come since the button went down.
        pressed.panel = pressed.panel.filter(|&panel| panel < scene.panels.len());
        let far = (position[0] - pressed.start[0]).hypot(position[1] - pressed.start[1]);
        if pressed.dragging || far > CLICK * projection.scale {
            // The first drag starts where the button went down, so that nothing jumps.
            let by = [0, 1].map(|axis| position[axis] - pressed.last[axis]);
            pressed.dragging = true;
            pressed.last = position;
            match (pressed.panel, self.tool) {
                (Some(panel), Tool::Look) => self.drag(panel, by, scene, &projection, view),
                (Some(panel), tool) => self.draw(panel, tool, pressed.start, position, events),
                (None, _) => {}
            }
        }
        self.pressed = Some(pressed);
    }

    /// Goes on drawing around points.
    fn draw(&mut self, panel: usize, tool: Tool, start: [f32; 2], position: [f32; 2], events: &mut Vec<Event>) {
        match &mut self.drawn {
            Some((_, Area::Lasso(corners))) => corners.push(position),
            drawn => {
                let area = match tool {
                    Tool::Lasso => Area::Lasso(vec![start, position]),
                    Tool::Box | Tool::Look => Area::between(start, position),
                };
                *drawn = Some((panel, area));
            }
        }
        // The line under the hand is to be drawn.
        events.push(Event::ViewChanged);
    }

    fn hover(&mut self, hit: Option<Hit>, scene: &Scene, events: &mut Vec<Event>) {
        let head = hit.and_then(|hit| scene.panels[hit.panel].head);
        let pick = hit.and_then(|hit| hit.pick());
        if head != self.interaction.head {
            self.interaction.head = head;
            events.push(Event::HoverHead(head));
        }
        if pick != self.interaction.pick {
            self.interaction.pick = pick;
            events.push(Event::HoverPoint(pick));
        }
    }

    fn click(&mut self, position: [f32; 2], scene: &Scene, view: &mut ViewState, events: &mut Vec<Event>) {
        let projection = self.projection(scene, view);
        let Some(hit) = self.picker.hit(scene, &projection, position, REACH * projection.scale) else {
            return;
        };
        let panel = &scene.panels[hit.panel];
        match (hit.target, panel.motion, panel.head) {
            (Some(Target::ScrollTo(token)), ..) => view.first_token = token,
            (Some(target), ..) if target.is_legend() => press_legend(target, view, events),
            (_, Motion::Stage, Some(head)) => open(head, view, events),
            (_, Motion::Stage, None) => {}
            (Some(Target::Token(pick)), ..) if !self.shift => switch(pick.id, view, events),
            _ => {
                view.selection = hit.pick();
                events.push(Event::SelectPoint(view.selection));
            }
        }
    }

    fn zoom(&mut self, at: [f32; 2], factor: f32, scene: &Scene, view: &mut ViewState, events: &mut Vec<Event>) {
        let projection = self.projection(scene, view);
        let Some(panel) = moving_panel(scene, &projection, at) else {
            return;
        };
        match (scene.panels[panel].motion, scene.panels[panel].axes) {
            (Motion::Fixed, _) => {}
            (Motion::Inside, Axes::Space) => view.orbit.zoom_by(factor),
            (Motion::Inside, _) => view.inside.zoom_at(fraction(at, projection.panels[panel].rect), factor),
            (Motion::Stage, _) => {
                let stage = projection.px_rect(scene.stage);
                view.stage.zoom_at(fraction(at, stage), factor);
                let grown = self.projection(scene, view);
                let Some(place) =
                    panel_at(&grown, at).map(|panel| (grown.panels[panel].rect, scene.panels[panel].head))
                else {
                    return;
                };
                if let (rect, Some(head)) = place {
                    let share = (rect.width() / stage.width()).max(rect.height() / stage.height());
                    if factor > 1.0 && share >= OPENS_AT {
                        // Coming back, the matrix is whole again rather than filled by this panel.
                        view.stage = crate::camera::Camera::default();
                        open(head, view, events);
                    }
                }
            }
        }
    }

    fn key(&mut self, key: Key, scene: &Scene, view: &mut ViewState, events: &mut Vec<Event>) {
        let projection = self.projection(scene, view);
        // Keys act on the largest panel that moves.
        let area = |panel: &usize| projection.panels[*panel].clip.width() * projection.panels[*panel].clip.height();
        let target = (0..scene.panels.len())
            .filter(|panel| scene.panels[*panel].motion != Motion::Fixed)
            .max_by(|a, b| area(a).total_cmp(&area(b)));
        let step = |controller: &mut Self, view: &mut ViewState, x: f32, y: f32| {
            let Some(panel) = target else { return };
            let rect = projection.panels[panel].clip;
            controller.drag(panel, [x * rect.width(), y * rect.height()], scene, &projection, view);
        };
        let zoom = |controller: &mut Self, view: &mut ViewState, factor: f32, events: &mut Vec<Event>| {
            let Some(panel) = target else { return };
            controller.zoom(projection.panels[panel].clip.center(), factor, scene, view, events);
        };
        match key {
            Key::Escape if self.drawn.is_some() => self.set_tool(self.tool),
            Key::Escape if self.interaction.legend_mark.is_some() => self.interaction.legend_mark = None,
            Key::Escape if !view.shared.selected.is_empty() => {
                view.shared.selected = Selection::default();
                events.push(Event::SelectPoints(0));
            }
            Key::Escape => match view.open {
                Some(_) => {
                    view.close_head();
                    events.push(Event::Back);
                }
                None => view.stage = crate::camera::Camera::default(),
            },
            Key::Home => {
                // All heads are where they were left once the open one is closed.
                if view.open.is_none() {
                    view.stage = crate::camera::Camera::default();
                }
                view.inside = crate::camera::Camera::default();
                view.orbit = crate::camera::Orbit::default();
            }
            Key::Switch => {
                let chosen = view.selection.map(|pick| pick.id);
                let is_token = |id: &u32| {
                    scene
                        .layers
                        .iter()
                        .flat_map(|layer| &layer.regions)
                        .any(|region| matches!(region.target, Target::Token(pick) if pick.id == *id))
                };
                if let Some(id) = chosen.filter(is_token) {
                    switch(id, view, events);
                }
            }
            Key::Plus => zoom(self, view, NOTCH * NOTCH, events),
            Key::Minus => zoom(self, view, 1.0 / (NOTCH * NOTCH), events),
            Key::Left => step(self, view, 0.05, 0.0),
            Key::Right => step(self, view, -0.05, 0.0),
            Key::Up => step(self, view, 0.0, 0.05),
            Key::Down => step(self, view, 0.0, -0.05),
            Key::Next => self.walk(1, target, scene, view, events),
            Key::Previous => self.walk(-1, target, scene, view, events),
            Key::Legend => {
                let entries = u32::try_from(legend_targets(scene).count()).unwrap_or(u32::MAX);
                let next = self.interaction.legend_mark.map_or(0, |mark| mark.saturating_add(1));
                self.interaction.legend_mark = next.checked_rem(entries);
            }
            Key::Enter if self.interaction.legend_mark.is_some() => {
                let marked = self
                    .interaction
                    .legend_mark
                    .and_then(|mark| legend_targets(scene).nth(mark as usize));
                if let Some(target) = marked {
                    press_legend(target, view, events);
                }
            }
            Key::Enter => {
                let head = self.interaction.head.filter(|_| view.open.is_none());
                if let Some(head) = head.filter(|head| scene.panel_of(*head).is_some()) {
                    open(head, view, events);
                }
            }
            Key::SelectAll => {
                let headed = |panel: &usize| scene.panels[*panel].head.is_some();
                if let Some(panel) = target.filter(headed) {
                    let all = Area::Box(projection.panels[panel].clip);
                    self.select(panel, &all, scene, view, events);
                }
            }
            Key::Undo => _ = self.history.undo(view),
            Key::Redo => _ = self.history.redo(view),
            Key::Tool(tool) => self.set_tool(tool),
        }
    }

    /// Moves what a panel shows by pixels; clouds in three dimensions turn half a turn per width of their panel.
    fn drag(&mut self, panel: usize, by: [f32; 2], scene: &Scene, projection: &Projection, view: &mut ViewState) {
        if let Some(rows) = scene.panels[panel].rows {
            return self.scroll(rows, by[1] / (rows.height * projection.scale), view);
        }
        let share = |rect: Rect| [by[0] / rect.width().max(1.0), by[1] / rect.height().max(1.0)];
        let rect = projection.panels[panel].rect;
        match (scene.panels[panel].motion, scene.panels[panel].axes) {
            (Motion::Fixed, _) => {}
            (Motion::Stage, _) => view.stage.pan(share(projection.px_rect(scene.stage))),
            (Motion::Inside, Axes::Space) => {
                let side = rect.width().min(rect.height()).max(1.0);
                view.orbit
                    .turn(std::f32::consts::PI * by[0] / side, std::f32::consts::PI * by[1] / side);
            }
            (Motion::Inside, _) => view.inside.pan(share(rect)),
        }
    }

    /// Goes up by a number of rows, or down if it is negative.
    #[expect(clippy::cast_possible_truncation, reason = "clamped to the rows")]
    fn scroll(&mut self, rows: Rows, by: f32, view: &mut ViewState) {
        let first = i64::from(view.first_token.min(rows.last));
        self.part_of_row += if by.is_finite() { by } else { 0.0 };
        let whole = self.part_of_row.trunc();
        self.part_of_row -= whole;
        let first = first.saturating_sub(whole as i64).clamp(0, rows.last.into());
        view.first_token = u32::try_from(first).unwrap_or(rows.last);
    }

    /// Goes `by` heads of a matrix, or points and tokens of an open panel, on; around the end.
    fn walk(&mut self, by: isize, target: Option<usize>, scene: &Scene, view: &mut ViewState, events: &mut Vec<Event>) {
        let next = |now: Option<usize>, count: usize| match (now, by > 0) {
            (Some(now), _) => (now + count).saturating_add_signed(by) % count,
            (None, true) => 0,
            (None, false) => count - 1,
        };
        let staged = |panel: &&crate::scene::Panel| panel.motion == Motion::Stage && panel.head.is_some();
        let heads: Vec<HeadId> = scene
            .panels
            .iter()
            .filter(staged)
            .filter_map(|panel| panel.head)
            .collect();
        if !heads.is_empty() {
            let now = heads.iter().position(|head| Some(*head) == self.interaction.head);
            self.interaction.head = Some(heads[next(now, heads.len())]);
            events.push(Event::HoverHead(self.interaction.head));
            return;
        }
        let Some(panel) = target else { return };
        let points = scene.layers.iter().flat_map(|layer| layer.points.iter());
        let points = points.filter(|point| point.panel() == panel && point.is_pickable());
        let regions = scene.layers.iter().flat_map(|layer| &layer.regions);
        let regions = regions.filter(|region| usize::from(region.panel) == panel);
        let mut ids: Vec<u32> = points
            .map(|point| point.id)
            .chain(regions.filter_map(|region| region.id()))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return;
        }
        let now = view.selection.and_then(|pick| ids.binary_search(&pick.id).ok());
        let id = ids[next(now, ids.len())];
        let head = scene.panels[panel].head;
        view.selection = Some(Pick { head, id });
        events.push(Event::SelectPoint(view.selection));
    }
}

/// What can be pressed in the legend, in its order.
fn legend_targets(scene: &Scene) -> impl Iterator<Item = Target> {
    let regions = scene.layers.iter().flat_map(|layer| &layer.regions);
    regions.map(|region| region.target).filter(|target| target.is_legend())
}

/// Switches a class off or on, or turns the page.
fn press_legend(target: Target, view: &mut ViewState, events: &mut Vec<Event>) {
    match target {
        Target::LegendPage(page) => {
            view.shared.legend_page = page;
            events.push(Event::LegendPage(page));
        }
        Target::LegendClass(class) => {
            view.shared.toggle_class(class);
            events.push(Event::ToggleClass(class));
        }
        _ => {}
    }
}

/// Switches a token off, or on again.
fn switch(id: u32, view: &mut ViewState, events: &mut Vec<Event>) {
    view.toggle_hidden(id);
    events.push(Event::SwitchToken(id));
}

fn open(head: HeadId, view: &mut ViewState, events: &mut Vec<Event>) {
    view.open_head(head);
    events.push(Event::OpenHead(head));
}

/// The front panel under a pixel that something moves; over the stage's gaps the panel that carries it.
fn moving_panel(scene: &Scene, projection: &Projection, at: [f32; 2]) -> Option<usize> {
    projection
        .panels
        .iter()
        .zip(&scene.panels)
        .rposition(|(place, panel)| place.clip.contains(at) && panel.motion != Motion::Fixed)
}

/// A pixel position as a fraction of a rectangle.
fn fraction(at: [f32; 2], rect: Rect) -> [f32; 2] {
    [
        (at[0] - rect.min[0]) / rect.width().max(1.0),
        (at[1] - rect.min[1]) / rect.height().max(1.0),
    ]
}
