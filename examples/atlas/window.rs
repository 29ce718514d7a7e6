//! The window: the host side of the SDK in one file. It owns the event loop, the device and the surface; the scene
//! comes from the facade, what a person does goes through the controller, and the renderer draws into this window's pass.

use std::{
    error::Error,
    sync::{Arc, mpsc::Receiver},
    thread,
};

use attn_sdk::{
    Study,
    core::HeadId,
    project::HeadProjection,
    render::{
        Controller, Event as ViewEvent, Input, Key, Picker, Projection, Renderer, Scene, Theme, Tool, View,
        views::overlay, wgpu,
    },
};
use winit::{
    application::ApplicationHandler,
    dpi::LogicalSize,
    event::{ElementState, MouseButton, MouseScrollDelta, WindowEvent},
    event_loop::{ActiveEventLoop, ControlFlow, EventLoop, EventLoopProxy},
    keyboard::{Key as WinitKey, NamedKey},
    window::{Window, WindowId},
};

/// Opens the window and returns when it is closed. Heads arrive through `heads` while one watches.
pub(crate) fn open(study: Study, view: View, heads: Receiver<HeadProjection>) -> Result<(), Box<dyn Error>> {
    let events = EventLoop::<HeadProjection>::with_user_event().build()?;
    events.set_control_flow(ControlFlow::Wait);
    let proxy: EventLoopProxy<HeadProjection> = events.create_proxy();
    // The loop sleeps until something happens; a finished head wakes it.
    thread::spawn(move || {
        for head in heads {
            if proxy.send_event(head).is_err() {
                break;
            }
        }
    });
    let mut viewer = Viewer {
        study,
        view,
        controller: Controller::default(),
        picker: Picker::default(),
        hovered: None,
        cursor: [0.0; 2],
        shown: None,
        failure: None,
    };
    events.run_app(&mut viewer)?;
    viewer.failure.map_or(Ok(()), Err)
}

struct Viewer {
    study: Study,
    view: View,
    controller: Controller,
    picker: Picker,
    hovered: Option<HeadId>,
    cursor: [f32; 2],
    shown: Option<Shown>,
    failure: Option<Box<dyn Error>>,
}

/// What exists while there is a window.
struct Shown {
    window: Arc<Window>,
    surface: wgpu::Surface<'static>,
    device: wgpu::Device,
    queue: wgpu::Queue,
    config: wgpu::SurfaceConfiguration,
    renderer: Renderer,
    scene: Scene,
}

impl Shown {
    fn new(window: Window, study: &Study, view: &View) -> Result<Self, Box<dyn Error>> {
        let window = Arc::new(window);
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let surface = instance.create_surface(window.clone())?;
        let options = wgpu::RequestAdapterOptions {
            compatible_surface: Some(&surface),
            ..Default::default()
        };
        let adapter = pollster::block_on(instance.request_adapter(&options)).map_err(|error| {
            format!("no graphics adapter for the window ({error}); on Debian: apt-get install mesa-vulkan-drivers libvulkan1")
        })?;
        let description = wgpu::DeviceDescriptor {
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&description))?;
        let size = window.inner_size();
        let mut config = surface
            .get_default_config(&adapter, size.width.max(1), size.height.max(1))
            .ok_or("the adapter cannot draw into this window")?;
        // Blending as browsers do it, where the surface offers a format without sRGB conversion.
        let formats = surface.get_capabilities(&adapter).formats;
        config.format = formats
            .iter()
            .copied()
            .find(|format| !format.is_srgb())
            .unwrap_or(config.format);
        surface.configure(&device, &config);
        let renderer = Renderer::new(&device, &queue, config.format);
        let scene = study.scene(view, layout(&window))?;
        Ok(Self {
            window,
            surface,
            device,
            queue,
            config,
            renderer,
            scene,
        })
    }

    fn resize(&mut self, width: u32, height: u32) {
        self.config.width = width.max(1);
        self.config.height = height.max(1);
        self.surface.configure(&self.device, &self.config);
    }

    fn draw(&mut self, view: &View) -> Result<(), Box<dyn Error>> {
        use wgpu::CurrentSurfaceTexture as Current;
        let frame = match self.surface.get_current_texture() {
            Current::Success(frame) | Current::Suboptimal(frame) => frame,
            Current::Timeout | Current::Occluded => return Ok(()),
            // The window changed under us; the next frame fits again.
            _ => {
                self.surface.configure(&self.device, &self.config);
                self.window.request_redraw();
                return Ok(());
            }
        };
        let size = [self.config.width, self.config.height];
        let mut encoder = self.device.create_command_encoder(&Default::default());
        self.renderer
            .prepare(&self.device, &self.queue, &mut encoder, &self.scene, view, size)?;
        let target = frame.texture.create_view(&Default::default());
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("atlas"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &target,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations {
                    load: wgpu::LoadOp::Clear(self.renderer.clear_color(&self.scene)),
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
        self.window.pre_present_notify();
        self.queue.present(frame);
        Ok(())
    }
}

/// The window's size in layout units: pixels without the display's scale.
fn layout(window: &Window) -> [f32; 2] {
    let size = window.inner_size().to_logical::<f32>(window.scale_factor());
    [size.width.max(320.0), size.height.max(240.0)]
}

impl Viewer {
    /// Runs what may fail; the first failure ends the loop and is returned by [`open`].
    fn attempt(&mut self, events: &ActiveEventLoop, action: impl FnOnce(&mut Self) -> Result<(), Box<dyn Error>>) {
        if let Err(error) = action(self) {
            self.failure = Some(error);
            events.exit();
        }
    }

    /// Lays the scene out anew: another head, size, theme or more data.
    fn rebuild(&mut self) -> Result<(), Box<dyn Error>> {
        let Some(shown) = &mut self.shown else { return Ok(()) };
        shown.scene = self.study.scene(&self.view, layout(&shown.window))?;
        shown.window.request_redraw();
        Ok(())
    }

    fn input(&mut self, input: Input) -> Result<(), Box<dyn Error>> {
        let Some(shown) = &mut self.shown else { return Ok(()) };
        let before = self.view.clone();
        let events = self.controller.handle(input, &shown.scene, &mut self.view);
        for event in &events {
            if let ViewEvent::HoverHead(head) = event {
                self.hovered = *head;
            }
        }
        // Cameras and the pointer move what is there; anything else brings something else.
        let moved = View {
            stage: self.view.stage,
            inside: self.view.inside,
            orbit: self.view.orbit,
            hover: self.view.hover,
            hover_head: self.view.hover_head,
            ..before
        };
        if moved != self.view {
            self.rebuild()?;
        }
        if !events.is_empty() {
            self.hover();
        }
        Ok(())
    }

    /// Shows what the pointer is over.
    fn hover(&mut self) {
        let Some(shown) = &mut self.shown else { return };
        let size = [shown.config.width as f32, shown.config.height as f32];
        let hit = self.view.hover.and_then(|_| {
            let projection = Projection::new(&shown.scene, &self.view, size);
            self.picker
                .hit(&shown.scene, &projection, self.cursor, REACH * projection.scale)
        });
        self.study
            .draw_hover(&mut shown.scene, &self.view, size, self.cursor, self.hovered, hit);
        if let Some(area) = self.controller.area() {
            let projection = Projection::new(&shown.scene, &self.view, size);
            overlay::area(&mut shown.scene, &projection, area, &self.view.colors());
        }
        let name = &self.study.capture().model().name;
        shown.window.set_title(&match self.view.open.or(self.hovered) {
            Some(head) => format!("{name}, head {head}"),
            None => name.clone(),
        });
        shown.window.request_redraw();
    }

    /// Opens the head `by` places further on, around the end.
    fn step(&mut self, by: isize) -> Result<(), Box<dyn Error>> {
        let heads: Vec<HeadId> = self.study.heads().map(|head| head.head).collect();
        let Ok(count @ 1..) = isize::try_from(heads.len()) else {
            return Ok(());
        };
        let now = self
            .view
            .open
            .and_then(|open| heads.iter().position(|head| *head == open));
        let next = match now {
            Some(now) => (now as isize + by).rem_euclid(count),
            None => {
                if by > 0 {
                    0
                } else {
                    count - 1
                }
            }
        };
        self.view.open_head(heads[next as usize]);
        self.rebuild()
    }
}

/// How far, in layout units, the pointer may be from a point.
const REACH: f32 = 8.0;

impl ApplicationHandler<HeadProjection> for Viewer {
    fn resumed(&mut self, events: &ActiveEventLoop) {
        if self.shown.is_some() {
            return;
        }
        self.attempt(events, |viewer| {
            let attributes = Window::default_attributes()
                .with_title(viewer.study.capture().model().name.clone())
                .with_inner_size(LogicalSize::new(1280.0, 900.0));
            let shown = Shown::new(events.create_window(attributes)?, &viewer.study, &viewer.view)?;
            let size = [shown.config.width as f32, shown.config.height as f32];
            shown.window.request_redraw();
            viewer.shown = Some(shown);
            viewer.input(Input::Resized { size })
        });
    }

    fn user_event(&mut self, events: &ActiveEventLoop, head: HeadProjection) {
        self.attempt(events, |viewer| {
            viewer.study.insert(head);
            viewer.rebuild()
        });
    }

    fn window_event(&mut self, events: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        self.attempt(events, |viewer| match event {
            WindowEvent::CloseRequested => {
                events.exit();
                Ok(())
            }
            WindowEvent::Resized(size) => {
                if let Some(shown) = &mut viewer.shown {
                    shown.resize(size.width, size.height);
                }
                viewer.rebuild()?;
                viewer.input(Input::Resized {
                    size: [size.width as f32, size.height as f32],
                })
            }
            WindowEvent::RedrawRequested => match &mut viewer.shown {
                Some(shown) => shown.draw(&viewer.view),
                None => Ok(()),
            },
            WindowEvent::CursorMoved { position, .. } => {
                viewer.cursor = [position.x as f32, position.y as f32];
                viewer.input(Input::PointerMoved {
                    position: viewer.cursor,
                })
            }
            WindowEvent::CursorLeft { .. } => viewer.input(Input::PointerLeft),
            WindowEvent::MouseInput {
                state,
                button: MouseButton::Left,
                ..
            } => {
                let position = viewer.cursor;
                viewer.input(match state {
                    ElementState::Pressed => Input::PointerPressed { position },
                    ElementState::Released => Input::PointerReleased { position },
                })
            }
            WindowEvent::MouseWheel { delta, .. } => {
                let notches = match delta {
                    MouseScrollDelta::LineDelta(_, y) => y,
                    MouseScrollDelta::PixelDelta(by) => by.y as f32 / 50.0,
                };
                viewer.input(Input::Wheel {
                    position: viewer.cursor,
                    notches,
                })
            }
            WindowEvent::KeyboardInput { event, .. } if event.state == ElementState::Pressed => {
                match key(&event.logical_key) {
                    Some(Action::Move(key)) => viewer.input(Input::Key(key)),
                    Some(Action::Theme) => {
                        viewer.view.theme = match viewer.view.theme {
                            Theme::Light => Theme::Dark,
                            Theme::Dark => Theme::Light,
                        };
                        viewer.rebuild()
                    }
                    Some(Action::Head(by)) => viewer.step(by),
                    Some(Action::Color) => {
                        // The next mode that says something about this data.
                        let modes = viewer.study.color_modes();
                        let now = modes.iter().position(|mode| *mode == viewer.view.color_mode);
                        viewer.view.color_mode = modes[now.map_or(0, |now| (now + 1) % modes.len())];
                        viewer.rebuild()
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        });
    }
}

enum Action {
    Move(Key),
    /// To the next or the previous head.
    Head(isize),
    /// Between light and dark.
    Theme,
    /// To the next way of colouring.
    Color,
}

fn key(key: &WinitKey) -> Option<Action> {
    let key = match key {
        WinitKey::Named(NamedKey::Escape) => Key::Escape,
        WinitKey::Named(NamedKey::Home) => Key::Home,
        WinitKey::Named(NamedKey::ArrowLeft) => Key::Left,
        WinitKey::Named(NamedKey::ArrowRight) => Key::Right,
        WinitKey::Named(NamedKey::ArrowUp) => Key::Up,
        WinitKey::Named(NamedKey::ArrowDown) => Key::Down,
        WinitKey::Named(NamedKey::Tab) => Key::Next,
        WinitKey::Named(NamedKey::Backspace) => Key::Previous,
        WinitKey::Named(NamedKey::Enter) => Key::Enter,
        WinitKey::Character(text) => match text.as_str() {
            "+" | "=" => Key::Plus,
            "-" => Key::Minus,
            "b" => Key::Tool(Tool::Box),
            "l" => Key::Tool(Tool::Lasso),
            "m" => Key::Tool(Tool::Look),
            "a" => Key::SelectAll,
            "u" => Key::Undo,
            "r" => Key::Redo,
            "c" => return Some(Action::Color),
            "t" => return Some(Action::Theme),
            "n" => return Some(Action::Head(1)),
            "p" => return Some(Action::Head(-1)),
            _ => return None,
        },
        _ => return None,
    };
    Some(Action::Move(key))
}
