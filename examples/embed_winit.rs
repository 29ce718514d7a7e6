//! Host 3 of 4: a window of winit's, with the device, surface and loop that the host owns; everything a viewer needs, and no more.
//! What a person does goes into a live plot, the plot is the study, the renderer draws its scene.
//!
//! A lost device (a driver's update, a laptop that changes its graphics card) costs nothing but a new renderer: press `d` to
//! lose it on purpose.

mod embed;
#[path = "embed/surface.rs"]
mod surface;

use std::{error::Error, sync::Arc};

use attn_sdk::{
    Study,
    render::{Input, Key, LivePlot, ViewState},
};
use clap::Parser;
use surface::Shown;
use winit::{
    application::ApplicationHandler,
    dpi::LogicalSize,
    event::{ElementState, MouseButton, MouseScrollDelta, WindowEvent},
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
        let position = self.live.as_ref().map_or([0.0; 2], LivePlot::cursor);
        match event {
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
            WindowEvent::Resized(size) => {
                shown.resize(size);
                self.input(Input::Resized { size: size.into() })?;
            }
            WindowEvent::CursorMoved { position: to, .. } => self.input(Input::PointerMoved { position: to.into() })?,
            WindowEvent::CursorLeft { .. } => self.input(Input::PointerLeft)?,
            WindowEvent::MouseInput {
                state,
                button: MouseButton::Left,
                ..
            } => self.input(match state {
                ElementState::Pressed => Input::PointerPressed { position },
                ElementState::Released => Input::PointerReleased { position },
            })?,
            WindowEvent::MouseWheel { delta, .. } => self.input(match delta {
                MouseScrollDelta::LineDelta(_, notches) => Input::Wheel { position, notches },
                // Two fingers on a trackpad.
                MouseScrollDelta::PixelDelta(by) => Input::Pan {
                    position,
                    by: [by.x as f32, by.y as f32],
                },
            })?,
            WindowEvent::KeyboardInput { event, .. } if event.state == ElementState::Pressed => {
                if event.logical_key == WinitKey::Character("d".into()) {
                    shown.lose();
                } else if let Some(key) = key(&event.logical_key) {
                    self.input(Input::Key(key))?;
                }
            }
            _ => {}
        }
        Ok(())
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

/// winit's keys have the names of the W3C.
fn key(key: &WinitKey) -> Option<Key> {
    match key {
        WinitKey::Named(named) => Key::from_name(&format!("{named:?}")),
        WinitKey::Character(text) => Key::from_name(text),
        _ => None,
    }
}
