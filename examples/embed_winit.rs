//! Host 3 of 4: a window of winit. The host owns device, surface and loop. User input goes into a live plot; the renderer draws
//! its scene.
//!
//! A lost device (a driver's update, a laptop that changes its graphics card) costs nothing but a new renderer: press `d` to
//! lose it on purpose.

mod embed;
#[path = "embed/input.rs"]
mod input;
#[path = "embed/surface.rs"]
mod surface;

use std::{error::Error, sync::Arc};

use attn_sdk::{
    Study,
    render::{LivePlot, ViewState, control::Input},
};
use clap::Parser;
use surface::Shown;
use winit::{
    application::ApplicationHandler,
    dpi::LogicalSize,
    event::{ElementState, WindowEvent},
    event_loop::{ActiveEventLoop, EventLoop},
    keyboard::Key as WinitKey,
    window::{Window, WindowId},
};

fn main() -> Result<(), Box<dyn Error>> {
    let options = embed::Options::parse();
    let mut app = App {
        study: embed::study()?,
        view: options.open(options.view())?,
        live: None,
        window: None,
        failure: None,
    };
    EventLoop::new()?.run_app(&mut app)?;
    options.save(&app.view)?;
    app.failure.map_or(Ok(()), Err)
}

/// What the host keeps. Of it only `window` has to do with the graphics card.
struct App {
    study: Study,
    view: ViewState,
    live: Option<LivePlot>,
    window: Option<Shown>,
    failure: Option<Box<dyn Error>>,
}

impl App {
    fn input(&mut self, input: Input) -> Result<(), Box<dyn Error>> {
        if let (Some(live), Some(shown)) = (&mut self.live, &self.window) {
            live.set_scale(shown.window.scale_factor() as f32);
            live.handle(input, &self.study, &mut self.view)?;
            shown.window.request_redraw();
        }
        Ok(())
    }

    /// The first failure ends the loop and is what `main` returns.
    fn attempt(&mut self, events: &ActiveEventLoop, result: Result<(), Box<dyn Error>>) {
        if let Err(error) = result {
            self.failure = Some(error);
            events.exit();
        }
    }

    fn event(&mut self, events: &ActiveEventLoop, event: WindowEvent) -> Result<(), Box<dyn Error>> {
        let Some(shown) = &mut self.window else { return Ok(()) };
        match &event {
            WindowEvent::CloseRequested => events.exit(),
            WindowEvent::RedrawRequested => {
                if shown.is_lost() {
                    // The window takes a new surface when the old one is gone; the scene is still there.
                    let window = shown.window.clone();
                    self.window = None;
                    self.window = Some(Shown::new(window)?);
                }
                if let (Some(shown), Some(live)) = (&mut self.window, &self.live) {
                    shown.draw(live.scene(), &self.view)?;
                }
            }
            WindowEvent::Resized(size) => shown.resize(*size),
            WindowEvent::KeyboardInput { event, .. }
                if event.state == ElementState::Pressed && event.logical_key == WinitKey::Character("d".into()) =>
            {
                shown.lose();
            }
            _ => {}
        }
        let position = self.live.as_ref().map_or([0.0; 2], LivePlot::cursor);
        input::input(&event, position).map_or(Ok(()), |input| self.input(input))
    }
}

impl ApplicationHandler for App {
    fn resumed(&mut self, events: &ActiveEventLoop) {
        let mut open = || -> Result<(), Box<dyn Error>> {
            let attributes = Window::default_attributes()
                .with_title("attention heads")
                .with_inner_size(LogicalSize::new(900.0, 700.0));
            let shown = Shown::new(Arc::new(events.create_window(attributes)?))?;
            let scale = shown.window.scale_factor() as f32;
            self.live = Some(LivePlot::new(&self.study, &mut self.view, shown.size(), scale)?);
            shown.window.request_redraw();
            self.window = Some(shown);
            Ok(())
        };
        let opened = open();
        self.attempt(events, opened);
    }

    fn window_event(&mut self, events: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        let done = self.event(events, event);
        self.attempt(events, done);
    }
}
