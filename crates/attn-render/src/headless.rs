//! Pictures without a window: the one type here that owns a device.

use std::sync::{Arc, OnceLock};

use crate::{Error, Image, Renderer, Scene, Stats, ViewState};

/// A device of its own and a renderer on it. A software rasteriser is enough.
///
/// ```no_run
/// use attn_render::{Headless, Scene, ViewState};
/// # fn picture(scene: &Scene) -> Result<(), attn_render::Error> {
/// let mut headless = Headless::new()?;
/// headless.render(scene, &ViewState::default(), 2.0)?.write_png("matrix.png")?;
/// # Ok(())
/// # }
/// ```
pub struct Headless {
    device: wgpu::Device,
    queue: wgpu::Queue,
    adapter: String,
    renderer: Renderer,
    target: Option<Target>,
    /// What the device said went wrong outside of a call.
    failure: Arc<OnceLock<String>>,
}

struct Target {
    size: [u32; 2],
    texture: wgpu::Texture,
    read_back: wgpu::Buffer,
    bytes_per_row: u32,
}

/// Blends as browsers do, so that text and lines weigh the same as in other figures.
const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

impl Headless {
    /// Opens the fastest adapter there is.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] if there is none: its message names the packages that bring a software rasteriser.
    /// [`Error::Device`] if the adapter refuses.
    pub fn new() -> Result<Self, Error> {
        pollster::block_on(Self::open())
    }

    /// [`Headless::new`] for hosts that must not block, such as browsers.
    ///
    /// # Errors
    /// As [`Headless::new`].
    pub async fn open() -> Result<Self, Error> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance
            .request_adapter(&options)
            .await
            .map_err(|error| Error::NoAdapter {
                reason: error.to_string(),
            })?;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("attn headless"),
            required_features: adapter.features() & Renderer::WISHES,
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) = adapter
            .request_device(&descriptor)
            .await
            .map_err(|error| Error::Device(error.to_string()))?;
        // Without these a failing device would end the program.
        let failure = Arc::new(OnceLock::new());
        let told = failure.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            // The first failure is the cause of the others.
            let _ = told.set(error.to_string());
        }));
        let told = failure.clone();
        device.set_device_lost_callback(move |_, message| {
            let _ = told.set(format!("the device was lost: {message}"));
        });
        let info = adapter.get_info();
        let renderer = Renderer::new(&device, &queue, FORMAT);
        Ok(Self {
            device,
            queue,
            adapter: format!("{} ({})", info.name, info.backend),
            renderer,
            target: None,
            failure,
        })
    }

    /// As [`Renderer::add_font`].
    pub fn add_font(&mut self, bytes: Vec<u8>) {
        self.renderer.add_font(bytes);
    }

    /// As [`Renderer::add_system_fonts`].
    pub fn add_system_fonts(&mut self) {
        self.renderer.add_system_fonts();
    }

    /// What renders, for people: `llvmpipe (LLVM 15.0.6, 256 bits) (vulkan)`.
    pub fn adapter(&self) -> &str {
        &self.adapter
    }

    /// What the last picture cost.
    pub fn stats(&self) -> Stats {
        self.renderer.stats()
    }

    /// Renders the scene at `scale` pixels per layout unit: 1 for a screen, 2 to 4 for print.
    ///
    /// # Errors
    /// [`Error::PictureSize`] if the picture is larger than the device renders; else what [`Renderer::prepare`]
    /// returns, or [`Error::Device`] if the device fails.
    pub fn render(&mut self, scene: &Scene, view: &ViewState, scale: f32) -> Result<Image, Error> {
        let size = self.size(scene.size, scale)?;
        self.draw(scene, view, size)?;
        let picture = self.read(size);
        self.check_device()?;
        picture
    }

    /// Draws and waits, without reading the picture back: what a frame in a window costs.
    ///
    /// # Errors
    /// As [`Headless::render`].
    pub fn draw_frame(&mut self, scene: &Scene, view: &ViewState, scale: f32) -> Result<(), Error> {
        let size = self.size(scene.size, scale)?;
        self.draw(scene, view, size)?;
        self.wait()?;
        self.check_device()
    }

    /// Gives the device back, as if the driver had lost it: what is rendered from now on is an error. For tests of what a
    /// host does then: it opens another, and renders the same scenes.
    pub fn lose_device(&mut self) {
        self.device.destroy();
        let _ = self.failure.set("the device was given back".into());
    }

    fn check_device(&self) -> Result<(), Error> {
        match self.failure.get() {
            Some(failure) => Err(Error::Device(failure.clone())),
            None => Ok(()),
        }
    }

    fn size(&self, layout: [f32; 2], scale: f32) -> Result<[u32; 2], Error> {
        let limit = self.device.limits().max_texture_dimension_2d;
        let sides = layout.map(|side| (f64::from(side) * f64::from(scale)).round());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates; checked below"
        )]
        let [width, height] = sides.map(|side| side as u64);
        // Four bytes a pixel must also fit into the buffer that is read back.
        let fits = width.saturating_mul(height).saturating_mul(4) <= self.device.limits().max_buffer_size;
        match (u32::try_from(width), u32::try_from(height)) {
            (Ok(w @ 1..), Ok(h @ 1..)) if w <= limit && h <= limit && fits => Ok([w, h]),
            _ => Err(Error::PictureSize { width, height, limit }),
        }
    }

    fn draw(&mut self, scene: &Scene, view: &ViewState, size: [u32; 2]) -> Result<(), Error> {
        self.check_device()?;
        if self.target.as_ref().is_none_or(|target| target.size != size) {
            self.target = Some(Target::new(&self.device, size));
        }
        let Some(target) = &self.target else { return Ok(()) };
        let mut encoder = self.device.create_command_encoder(&Default::default());
        self.renderer
            .prepare(&self.device, &self.queue, &mut encoder, scene, view, size)?;
        let attachment = target.texture.create_view(&Default::default());
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("attn headless"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &attachment,
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
        Ok(())
    }

    fn wait(&self) -> Result<(), Error> {
        let done = self.device.poll(wgpu::PollType::wait_indefinitely());
        done.map(|_| ()).map_err(|error| Error::Device(error.to_string()))
    }

    fn read(&self, size: [u32; 2]) -> Result<Image, Error> {
        let Some(target) = &self.target else {
            return Err(Error::Empty { what: "a picture" });
        };
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(target.bytes_per_row),
            rows_per_image: None,
        };
        encoder.copy_texture_to_buffer(
            target.texture.as_image_copy(),
            wgpu::TexelCopyBufferInfo {
                buffer: &target.read_back,
                layout,
            },
            target.texture.size(),
        );
        self.queue.submit([encoder.finish()]);
        let (sender, receiver) = std::sync::mpsc::channel();
        target.read_back.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver waits below; if it is gone nobody needs the answer.
            let _ = sender.send(result);
        });
        self.wait()?;
        let mapped = receiver.try_recv().map_err(|error| Error::Device(error.to_string()))?;
        mapped.map_err(|error| Error::Device(error.to_string()))?;
        let bytes = target
            .read_back
            .get_mapped_range(..)
            .map_err(|error| Error::Device(error.to_string()))?;
        let row = 4 * size[0] as usize;
        let mut rgba = Vec::with_capacity(row * size[1] as usize);
        for line in bytes.chunks_exact(target.bytes_per_row as usize) {
            rgba.extend_from_slice(&line[..row]);
        }
        drop(bytes);
        target.read_back.unmap();
        Image::new(size[0], size[1], rgba)
    }
}

impl Target {
    fn new(device: &wgpu::Device, size: [u32; 2]) -> Self {
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("attn headless"),
            size: wgpu::Extent3d {
                width: size[0],
                height: size[1],
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let bytes_per_row = (4 * size[0]).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let read_back = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("attn read back"),
            size: u64::from(bytes_per_row) * u64::from(size[1]),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Self {
            size,
            texture,
            read_back,
            bytes_per_row,
        }
    }
}
