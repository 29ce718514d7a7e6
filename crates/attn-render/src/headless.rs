//! Images without a window. [`Headless`] is the only type of this crate that owns a device.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_channel::oneshot;

use crate::{Error, Image, Renderer, Scene, ViewState, renderer::Stats};

/// A device without a window, and a renderer on it. A software rasterizer is enough.
///
/// ```no_run
/// use attn_render::{Headless, Scene, ViewState};
/// # fn image(scene: &Scene) -> Result<(), attn_render::Error> {
/// let mut headless = Headless::new()?;
/// headless.render(scene, &ViewState::default(), 2.0)?.write_png("matrix.png")?;
/// # Ok(())
/// # }
/// ```
///
/// In a browser, which must not block, the same with futures:
///
/// ```no_run
/// use attn_render::{Headless, Image, Scene, ViewState};
/// # async fn image(scene: &Scene) -> Result<Image, attn_render::Error> {
/// let mut headless = Headless::open().await?;
/// headless.render_async(scene, &ViewState::default(), 2.0).await
/// # }
/// ```
pub struct Headless {
    device: wgpu::Device,
    queue: wgpu::Queue,
    adapter: String,
    renderer: Renderer,
    target: Option<Target>,
    failures: Failures,
}

struct Target {
    size: [u32; 2],
    texture: wgpu::Texture,
    read_back: wgpu::Buffer,
    bytes_per_row: u32,
}

/// What the device reports outside of calls. Without it a failing device would end the program.
#[derive(Clone, Default)]
struct Failures {
    /// Why the device was lost, for good.
    lost: Arc<OnceLock<String>>,
    /// The first error since the last render.
    other: Arc<Mutex<Option<String>>>,
}

/// Blends as browsers do, so that text and lines weigh the same as in other figures.
const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

impl Headless {
    /// Opens the fastest adapter.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] if there is none: its message says what provides one. [`Error::Device`] if the adapter
    /// refuses, [`Error::Unsupported`] if it cannot draw scenes.
    #[cfg(not(target_family = "wasm"))]
    pub fn new() -> Result<Self, Error> {
        pollster::block_on(Self::open())
    }

    /// `Headless::new` for hosts that must not block, such as browsers.
    ///
    /// # Errors
    /// As `Headless::new`.
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
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(Error::device)?;
        let failures = Failures::of(&device);
        let info = adapter.get_info();
        let renderer = Renderer::new(&device, &queue, FORMAT)?;
        Ok(Self {
            device,
            queue,
            adapter: format!("{} ({})", info.name, info.backend),
            renderer,
            target: None,
            failures,
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

    /// As [`Renderer::add_missing_fonts`].
    pub fn add_missing_fonts(&mut self) -> bool {
        self.renderer.add_missing_fonts()
    }

    /// As [`Renderer::missing_note`].
    pub fn missing_note(&self) -> Option<String> {
        self.renderer.missing_note()
    }

    /// As [`Renderer::missing_characters`].
    pub fn missing_characters(&self) -> &std::collections::BTreeSet<char> {
        self.renderer.missing_characters()
    }

    /// Name of the adapter and its backend: `llvmpipe (LLVM 15.0.6, 256 bits) (vulkan)`.
    pub fn adapter(&self) -> &str {
        &self.adapter
    }

    /// The cost of the last image.
    pub fn stats(&self) -> Stats {
        self.renderer.stats()
    }

    /// Renders a scene at `scale` pixels per layout unit: 1 for a screen, 2 to 4 for print.
    ///
    /// # Errors
    /// [`Error::PictureSize`] if the image is larger than the device renders, [`Error::OutOfMemory`] if it does not fit
    /// into its memory; smaller images can be rendered afterwards. Else those of [`Renderer::prepare`], or
    /// [`Error::Device`] if the device fails.
    #[cfg(not(target_family = "wasm"))]
    pub fn render(&mut self, scene: &Scene, view: &ViewState, scale: f32) -> Result<Image, Error> {
        pollster::block_on(self.render_async(scene, view, scale))
    }

    /// `Headless::render` for hosts that must not block, such as browsers.
    ///
    /// # Errors
    /// As `Headless::render`.
    pub async fn render_async(&mut self, scene: &Scene, view: &ViewState, scale: f32) -> Result<Image, Error> {
        let size = self.size(scene.size, scale)?;
        let scopes = Scopes::open(&self.device);
        let asked = self.draw(scene, view, size).and_then(|()| self.ask_for_pixels());
        self.finish(scopes, size).await?;
        asked?.await.map_err(Error::device)?.map_err(Error::device)?;
        self.pixels(size)
    }

    /// Draws and waits, without reading the image back: the cost of a frame in a window.
    ///
    /// # Errors
    /// As [`Headless::render`].
    #[cfg(not(target_family = "wasm"))]
    pub fn draw_frame(&mut self, scene: &Scene, view: &ViewState, scale: f32) -> Result<(), Error> {
        let size = self.size(scene.size, scale)?;
        let scopes = Scopes::open(&self.device);
        let drawn = self.draw(scene, view, size);
        pollster::block_on(self.finish(scopes, size))?;
        drawn
    }

    /// Gives the device back, as if the driver had lost it: later calls are errors. For tests of what a host does then: it
    /// opens another one and renders the same scenes.
    pub fn lose_device(&mut self) {
        self.device.destroy();
        let _ = self.failures.lost.set("the device was given back".into());
    }

    fn size(&self, layout: [f32; 2], scale: f32) -> Result<[u32; 2], Error> {
        let limits = self.device.limits();
        let limit = limits.max_texture_dimension_2d;
        let sides = layout.map(|side| (f64::from(side) * f64::from(scale)).round());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates; checked below"
        )]
        let [width, height] = sides.map(|side| side as u64);
        // Four bytes a pixel must also fit into the buffer that is read back.
        let row = width
            .saturating_mul(4)
            .saturating_add(u64::from(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT));
        let fits = row.saturating_mul(height) <= limits.max_buffer_size;
        match (u32::try_from(width), u32::try_from(height)) {
            (Ok(w @ 1..), Ok(h @ 1..)) if w <= limit && h <= limit && fits => Ok([w, h]),
            _ => Err(Error::PictureSize { width, height, limit }),
        }
    }

    fn draw(&mut self, scene: &Scene, view: &ViewState, size: [u32; 2]) -> Result<(), Error> {
        self.failures.check()?;
        if self.target.as_ref().is_none_or(|target| target.size != size) {
            // The old one makes room first.
            self.target = None;
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

    /// Copies the target into the buffer that is read back; the answer says when it can be read.
    fn ask_for_pixels(&self) -> Result<oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>, Error> {
        let Some(target) = &self.target else {
            return Err(Error::Empty { what: "an image" });
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
        let (sender, receiver) = oneshot::channel();
        target.read_back.map_async(wgpu::MapMode::Read, .., move |result| {
            // If nobody waits any more nobody needs the answer.
            let _ = sender.send(result);
        });
        Ok(receiver)
    }

    /// Waits for the device, and for what it refused.
    async fn finish(&mut self, scopes: Scopes, size: [u32; 2]) -> Result<(), Error> {
        let refused = scopes.close();
        // Blocks, except in a browser, whose event loop does this.
        let waited = self.device.poll(wgpu::PollType::wait_indefinitely());
        let refused = refused.await.map(|error| self.refused(error, size));
        self.failures.check()?;
        match refused {
            Some(error) => Err(error),
            None => waited.map(|_| ()).map_err(Error::device),
        }
    }

    /// Drops all buffers after the device refused to make some: the next render makes them anew.
    fn refused(&mut self, error: wgpu::Error, size: [u32; 2]) -> Error {
        self.target = None;
        if self.failures.lost.get().is_none() {
            self.renderer.reset(&self.device, &self.queue);
        }
        match (error, size) {
            (wgpu::Error::OutOfMemory { .. }, [width, height]) => Error::OutOfMemory { width, height },
            (error, _) => Error::device(error),
        }
    }

    /// The pixels of the target, once they can be read.
    fn pixels(&self, size: [u32; 2]) -> Result<Image, Error> {
        let Some(target) = &self.target else {
            return Err(Error::Empty { what: "an image" });
        };
        let bytes = target.read_back.get_mapped_range(..).map_err(Error::device)?;
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

impl Failures {
    fn of(device: &wgpu::Device) -> Self {
        let failures = Self::default();
        let other = failures.other.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            // The first failure is the cause of the others.
            let mut first = other.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| error.to_string());
        }));
        let lost = failures.lost.clone();
        device.set_device_lost_callback(move |_, message| {
            let _ = lost.set(format!("the device was lost: {message}"));
        });
        failures
    }

    /// A lost device fails for ever, another error is reported once.
    fn check(&self) -> Result<(), Error> {
        let other = self.other.lock().unwrap_or_else(PoisonError::into_inner).take();
        match self.lost.get().cloned().or(other) {
            Some(failure) => Err(Error::Device(failure)),
            None => Ok(()),
        }
    }
}

/// Error scopes around the calls for one image. The last one opened is the first to close.
struct Scopes([wgpu::ErrorScopeGuard; 3]);

impl Scopes {
    fn open(device: &wgpu::Device) -> Self {
        let filters = [
            wgpu::ErrorFilter::Validation,
            wgpu::ErrorFilter::Internal,
            wgpu::ErrorFilter::OutOfMemory,
        ];
        Self(filters.map(|filter| device.push_error_scope(filter)))
    }

    /// The first refusal. A lack of memory counts before the invalid calls that follow from it.
    fn close(self) -> impl Future<Output = Option<wgpu::Error>> {
        let [validation, internal, memory] = self.0;
        let answers = [memory.pop(), internal.pop(), validation.pop()];
        async move {
            let mut first = None;
            for answer in answers {
                let refused = answer.await;
                first = first.or(refused);
            }
            first
        }
    }
}

impl Target {
    fn new(device: &wgpu::Device, size: [u32; 2]) -> Self {
        let [width, height] = size;
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("attn headless"),
            size: wgpu::Extent3d {
                width,
                height,
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let bytes_per_row = (4 * width).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let read_back = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("attn read back"),
            size: u64::from(bytes_per_row) * u64::from(height),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Color, geometry::Rect, scene::Block};

    const RED: Color = Color([255, 0, 0, 255]);

    fn scene(side: f32) -> Scene {
        let mut scene = Scene::new([side, side], Color::hex(0));
        let whole = Rect::new(0.0, 0.0, side, side);
        scene.layers[0].blocks.push(Block::filled(0, whole, RED));
        scene
    }

    fn is_red(image: &Image) -> bool {
        image.rgba().chunks_exact(4).all(|pixel| pixel == RED.0)
    }

    /// A buffer that no device allows.
    fn ask_for_too_much(headless: &Headless) {
        let _ = headless.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 1 << 60,
            usage: wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
    }

    /// Asks a device for more memory than it may have in the middle of a render, and renders on.
    #[test]
    fn an_image_that_did_not_fit_into_memory_is_an_error_and_the_next_is_rendered() {
        let mut headless = Headless::new().unwrap();
        let (small, view) = (scene(8.0), ViewState::default());
        assert!(is_red(&headless.render(&small, &view, 1.0).unwrap()));

        let scopes = Scopes::open(&headless.device);
        let size = headless.size(small.size, 2.0).unwrap();
        headless.draw(&small, &view, size).unwrap();
        ask_for_too_much(&headless);
        let refused = pollster::block_on(headless.finish(scopes, size));
        assert!(
            matches!(refused, Err(Error::Device(_) | Error::OutOfMemory { .. })),
            "{refused:?}"
        );
        assert!(headless.target.is_none());

        for side in [8.0, 16.0] {
            assert!(is_red(&headless.render(&scene(side), &view, 1.0).unwrap()));
        }
    }

    #[test]
    fn a_lack_of_memory_is_named() {
        let mut headless = Headless::new().unwrap();
        // As a driver does that refuses a texture.
        let memory = wgpu::Error::OutOfMemory {
            source: "no memory".into(),
        };
        let error = headless.refused(memory, [30_000, 20_000]);
        assert!(
            matches!(
                error,
                Error::OutOfMemory {
                    width: 30_000,
                    height: 20_000
                }
            ),
            "{error}"
        );
        assert!(is_red(
            &headless.render(&scene(8.0), &ViewState::default(), 1.0).unwrap()
        ));
    }

    #[test]
    fn an_error_outside_of_a_render_is_reported_once() {
        let mut headless = Headless::new().unwrap();
        let (small, view) = (scene(8.0), ViewState::default());
        ask_for_too_much(&headless);
        assert!(matches!(headless.render(&small, &view, 1.0), Err(Error::Device(_))));
        assert!(is_red(&headless.render(&small, &view, 1.0).unwrap()));
    }
}
