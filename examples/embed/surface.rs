//! A window of winit's that a renderer draws into: instance, surface and device are the host's.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use attn_sdk::render::{Renderer, Scene, ViewState, wgpu};
use winit::{dpi::PhysicalSize, window::Window};

/// Everything that has to do with the graphics card.
pub(crate) struct Shown {
    pub(crate) window: Arc<Window>,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    device: wgpu::Device,
    queue: wgpu::Queue,
    renderer: Renderer,
    lost: Arc<AtomicBool>,
}

impl Shown {
    pub(crate) fn new(window: Arc<Window>) -> Result<Self, Box<dyn Error>> {
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
        // Without conversion colors blend as browsers and most toolkits do it.
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

    pub(crate) fn draw(&mut self, scene: &Scene, view: &ViewState) -> Result<(), Box<dyn Error>> {
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
        let commands = self
            .renderer
            .frame(&self.device, &self.queue, &target, scene, view, size)?;
        self.queue.submit([commands]);
        self.queue.present(frame);
        Ok(())
    }

    /// The window has another size.
    pub(crate) fn resize(&mut self, size: PhysicalSize<u32>) {
        (self.config.width, self.config.height) = (size.width.max(1), size.height.max(1));
        self.surface.configure(&self.device, &self.config);
    }

    /// Width and height in pixels.
    pub(crate) fn size(&self) -> [f32; 2] {
        [self.config.width as f32, self.config.height as f32]
    }

    /// Whether the device is gone, and with it all that was uploaded.
    pub(crate) fn is_lost(&self) -> bool {
        // Some losses are only told when asked.
        let _ = self.device.poll(wgpu::PollType::Poll);
        self.lost.load(Ordering::SeqCst)
    }

    /// Loses the device on purpose.
    pub(crate) fn lose(&self) {
        self.device.destroy();
        self.window.request_redraw();
    }
}
