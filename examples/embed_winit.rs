//! Host 3 of 4: a window of winit's, with the device, surface and loop that the host owns; everything a viewer needs, and no more.
//! User input goes through the controller, the scene comes from the study, the renderer draws it.
//!
//! A lost device (a driver's update, a laptop that changes its graphics card) costs nothing but a new renderer: press `d` to
//! lose it on purpose.

mod embed;

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use attn_sdk::{
    Study,
    render::{Controller, Event, Input, Key, Plot, Renderer, Scene, ViewState, plots::overlay, wgpu},
};
use clap::Parser;
use winit::{
    application::ApplicationHandler,
    dpi::LogicalSize,
    event::{ElementState, MouseButton, MouseScrollDelta, TouchPhase, WindowEvent},
    event_loop::{ActiveEventLoop, EventLoop},
    keyboard::{Key as WinitKey, NamedKey},
    window::{Window, WindowId},
};

fn main() -> Result<(), Box<dyn Error>> {
    let options = embed::Options::parse();
    let mut app = App {
        study: embed::study()?,
        view: options.open(options.view())?,
        controller: Controller::default(),
        scene: None,
        cursor: [0.0; 2],
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
    controller: Controller,
    scene: Option<Scene>,
    cursor: [f32; 2],
    window: Option<Shown>,
    failure: Option<Box<dyn Error>>,
}

struct Shown {
    window: Arc<Window>,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    device: wgpu::Device,
    queue: wgpu::Queue,
    renderer: Renderer,
    lost: Arc<AtomicBool>,
}

impl Shown {
    fn new(window: Arc<Window>) -> Result<Self, Box<dyn Error>> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let surface = instance.create_surface(window.clone())?;
        let wanted = wgpu::RequestAdapterOptions {
            compatible_surface: Some(&surface),
            ..Default::default()
        };
        let adapter = pollster::block_on(instance.request_adapter(&wanted))?;
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            required_features: adapter.features() & Renderer::WISHES,
            ..Default::default()
        }))?;
        let lost = Arc::new(AtomicBool::new(false));
        let (flag, waker) = (lost.clone(), window.clone());
        device.set_device_lost_callback(move |_, _| {
            flag.store(true, Ordering::SeqCst);
            waker.request_redraw();
        });
        let size = window.inner_size();
        let mut config = surface
            .get_default_config(&adapter, size.width.max(1), size.height.max(1))
            .ok_or("the adapter cannot draw into this window")?;
        // Without conversion colours blend as browsers and most toolkits do it.
        config.format = config.format.remove_srgb_suffix();
        surface.configure(&device, &config);
        Ok(Self {
            renderer: Renderer::new(&device, &queue, config.format)?,
            window,
            surface,
            config,
            device,
            queue,
            lost,
        })
    }

    fn draw(&mut self, scene: &Scene, view: &ViewState) -> Result<(), Box<dyn Error>> {
        use wgpu::CurrentSurfaceTexture as Current;
        let frame = match self.surface.get_current_texture() {
            Current::Success(frame) | Current::Suboptimal(frame) => frame,
            Current::Timeout | Current::Occluded => return Ok(()),
            _ => {
                self.surface.configure(&self.device, &self.config);
                self.window.request_redraw();
                return Ok(());
            }
        };
        let target = frame.texture.create_view(&Default::default());
        let size = [self.config.width, self.config.height];
        let mut encoder = self.device.create_command_encoder(&Default::default());
        self.renderer
            .prepare(&self.device, &self.queue, &mut encoder, scene, view, size)?;
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: None,
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &target,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations {
                    load: wgpu::LoadOp::Clear(self.renderer.clear_color(scene)),
                    store: wgpu::StoreOp::Store,
                },
            })],
            depth_stencil_attachment: None,
            timestamp_writes: None,
            occlusion_query_set: None,
            multiview_mask: None,
        });
        self.renderer.paint(&mut pass)?;
        drop(pass);
        self.queue.submit([encoder.finish()]);
        self.queue.present(frame);
        Ok(())
    }
}

impl App {
    /// Hands one input in; a scene is made again only if something else is to be seen than before.
    fn input(&mut self, input: Input) -> Result<(), Box<dyn Error>> {
        let (Some(scene), Some(shown)) = (&mut self.scene, &self.window) else {
            return Ok(());
        };
        let events = self.controller.handle(input, scene, &mut self.view);
        let size = [shown.config.width as f32, shown.config.height as f32];
        let other = |event: &Event| !matches!(event, Event::ViewChanged | Event::HoverHead(_) | Event::HoverPoint(_));
        if matches!(input, Input::Resized { .. }) || matches!(input, Input::Key(_)) || events.iter().any(other) {
            let scale = shown.window.scale_factor() as f32;
            *scene = self.study.scene(&self.view, size.map(|side| side / scale))?;
        }
        let hit = self.controller.hit(self.cursor, scene, &self.view);
        let pointer = overlay::Pointer {
            size,
            position: self.cursor,
            hit,
        };
        overlay::point_out(
            scene,
            &self.study,
            &self.view,
            &self.controller.interaction(),
            Some(&pointer),
        );
        shown.window.request_redraw();
        Ok(())
    }

    fn event(&mut self, events: &ActiveEventLoop, event: WindowEvent) -> Result<(), Box<dyn Error>> {
        let Some(shown) = &mut self.window else { return Ok(()) };
        let position = self.cursor;
        match event {
            WindowEvent::CloseRequested => events.exit(),
            WindowEvent::RedrawRequested => {
                // Some losses are only told when asked.
                let _ = shown.device.poll(wgpu::PollType::Poll);
                if shown.lost.load(Ordering::SeqCst) {
                    // The window takes a new surface when the old one is gone; the scene is still there.
                    let window = shown.window.clone();
                    self.window = None;
                    self.window = Some(Shown::new(window)?);
                }
                if let (Some(shown), Some(scene)) = (&mut self.window, &self.scene) {
                    shown.draw(scene, &self.view)?;
                }
            }
            WindowEvent::Resized(size) => {
                (shown.config.width, shown.config.height) = (size.width.max(1), size.height.max(1));
                shown.surface.configure(&shown.device, &shown.config);
                let size = [size.width as f32, size.height as f32];
                self.input(Input::Resized { size })?;
            }
            WindowEvent::CursorMoved { position, .. } => {
                self.cursor = [position.x as f32, position.y as f32];
                self.input(Input::PointerMoved { position: self.cursor })?;
            }
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
            WindowEvent::PinchGesture { delta, .. } => {
                // A notch enlarges by 15 %.
                let notches = delta as f32 / 0.15;
                self.input(Input::Wheel { position, notches })?;
            }
            WindowEvent::Touch(touch) => {
                let at = [touch.location.x as f32, touch.location.y as f32];
                let touches = matches!(touch.phase, TouchPhase::Started | TouchPhase::Moved);
                self.cursor = at;
                self.input(Input::Finger {
                    id: touch.id,
                    position: touches.then_some(at),
                })?;
            }
            WindowEvent::KeyboardInput { event, .. } if event.state == ElementState::Pressed => {
                if event.logical_key == WinitKey::Character("d".into()) {
                    shown.device.destroy();
                    shown.window.request_redraw();
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
            let size = [shown.config.width as f32, shown.config.height as f32];
            self.window = Some(shown);
            self.scene = Some(self.study.scene(&self.view, size)?);
            self.input(Input::Resized { size })
        };
        let opened = open();
        self.attempt(events, opened);
    }

    fn window_event(&mut self, events: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        let done = self.event(events, event);
        self.attempt(events, done);
    }
}

impl App {
    /// The first failure ends the loop and is what `main` returns.
    fn attempt(&mut self, events: &ActiveEventLoop, result: Result<(), Box<dyn Error>>) {
        if let Err(error) = result {
            self.failure = Some(error);
            events.exit();
        }
    }
}

fn key(key: &WinitKey) -> Option<Key> {
    Some(match key {
        WinitKey::Named(NamedKey::Escape) => Key::Escape,
        WinitKey::Named(NamedKey::Enter) => Key::Enter,
        WinitKey::Named(NamedKey::ArrowLeft) => Key::Left,
        WinitKey::Named(NamedKey::ArrowRight) => Key::Right,
        WinitKey::Named(NamedKey::ArrowUp) => Key::Up,
        WinitKey::Named(NamedKey::ArrowDown) => Key::Down,
        WinitKey::Named(NamedKey::Home) => Key::Home,
        WinitKey::Character(text) => match text.as_str() {
            "+" => Key::Plus,
            "-" => Key::Minus,
            "c" => Key::Legend,
            "n" => Key::Next,
            "p" => Key::Previous,
            "u" => Key::Undo,
            "r" => Key::Redo,
            _ => return None,
        },
        _ => return None,
    })
}
