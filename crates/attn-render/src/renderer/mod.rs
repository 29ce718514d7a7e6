//! Draws a scene inside a host's device, encoder and render pass.
//!
//! [`Renderer::prepare`] uploads what changed since the last call, [`Renderer::paint`] draws. Buffers persist; a
//! camera move writes one small entry per panel and no point. All points of a layer are one draw, each naming its
//! panel. Points of crowds are mixed in a texture of their own first (`mixture.rs`). Edges are anti-aliased in the
//! shaders, so that the host's pass needs no multisampling.

mod buffers;
mod device;
mod frame;
mod layer;
mod mixture;
mod patches;
mod pipelines;
mod strokes;
mod system;
mod text;
mod texture;

pub use self::system::SystemFont;
#[cfg(test)]
pub(crate) use self::text::bundled_fonts;
use self::{buffers::Uploads, frame::Frame, layer::LayerBuffers, pipelines::Pipelines, text::TextPainter};
use crate::{Error, Scene, ViewState, color::srgb_to_linear, labels::place_labels, projection::Projection};

/// The cost of a frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of points uploaded by the last [`Renderer::prepare`].
    pub point_bytes: u64,
    /// All bytes uploaded by it, without glyphs.
    pub bytes: u64,
    /// Points in the scene.
    pub points: u64,
    /// Bytes of device memory that hold points: 24 each, and up to half more after they grew in number.
    pub point_memory: u64,
    /// Draw calls of the next [`Renderer::paint`], without text.
    pub draws: u32,
    /// Labels that were placed.
    pub labels: u32,
}

/// Draws scenes into a host's render pass: creates no device, submits nothing, owns no window.
pub struct Renderer {
    target: wgpu::TextureFormat,
    pipelines: Pipelines,
    frame: Frame,
    layers: Vec<LayerBuffers>,
    drawn_layers: usize,
    text: TextPainter,
    stats: Stats,
}

impl Renderer {
    /// Optional features of a device that make better images: hosts request those that their adapter has. With sums of
    /// 32 bits, thousands of points on a pixel are mixed exactly ([`Blending::Mixed`](crate::scene::Blending::Mixed)).
    pub const WISHES: wgpu::Features = wgpu::Features::FLOAT32_BLENDABLE;

    /// Compiles the pipelines for targets of a color format.
    ///
    /// Formats that end in `Srgb` blend in linear light, others as browsers and most toolkits do.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the device lacks storage buffers in vertex shaders: WebGPU, Vulkan, Metal and Direct3D
    /// have them; WebGL and old OpenGL do not. Nothing is created then, and [`svg()`](crate::svg()) still works.
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue, target: wgpu::TextureFormat) -> Result<Self, Error> {
        device::check(device)?;
        Ok(Self {
            target,
            pipelines: Pipelines::new(device, target),
            frame: Frame::new(device),
            layers: Vec::new(),
            drawn_layers: 0,
            text: TextPainter::new(device, queue, target),
            stats: Stats::default(),
        })
    }

    /// Gives up all buffers, as after a device had no memory for some of them; fonts and pipelines stay.
    pub(crate) fn reset(&mut self, device: &wgpu::Device, queue: &wgpu::Queue) {
        self.frame = Frame::new(device);
        self.layers.clear();
        self.drawn_layers = 0;
        self.text.reset(device, queue, self.target);
        self.stats = Stats::default();
    }

    /// Adds a font (TrueType, OpenType or a collection) for characters that the bundled ones lack. Of several with a
    /// character the first added wins. A character that no font has is drawn as a box.
    pub fn add_font(&mut self, bytes: Vec<u8>) {
        self.text.add_font(bytes);
    }

    /// Adds every font of the system for characters that the bundled ones lack. Images then differ between machines.
    /// Finds none where programs see no files, as in browsers.
    pub fn add_system_fonts(&mut self) {
        self.text.add_system_fonts();
    }

    /// Adds those fonts of the system that have [missing characters](Self::missing_characters); returns whether there are any, so
    /// that what was drawn is to be drawn again. Each character is looked up once; the first of a process reads which
    /// characters the fonts have, in a fraction of a second.
    ///
    /// Text that the bundled fonts have is drawn as before.
    pub fn add_missing_fonts(&mut self) -> bool {
        self.text.add_missing_fonts()
    }

    /// A sentence on the [missing characters](Self::missing_characters); `None` if there are none.
    pub fn missing_note(&self) -> Option<String> {
        const NAMED: usize = 12;
        let missing = self.missing_characters();
        let named: Vec<String> = missing.iter().take(NAMED).map(char::to_string).collect();
        let more = if missing.len() > NAMED { " ..." } else { "" };
        let characters = if missing.len() == 1 { "character" } else { "characters" };
        (!missing.is_empty()).then(|| {
            format!(
                "No font has {} {characters}, which plots show as boxes: {}{more}",
                missing.len(),
                named.join(" ")
            )
        })
    }

    /// Characters that were drawn as boxes, because no font has them, since the last font was added.
    pub fn missing_characters(&self) -> &std::collections::BTreeSet<char> {
        self.text.missing()
    }

    /// Uploads what changed for a target of `size` pixels. Call it before the render pass begins, with the encoder
    /// that will hold the pass.
    ///
    /// # Errors
    /// [`Error::BufferSize`] if the scene is larger than the device allows, [`Error::Text`] if the text does not fit
    /// into a texture, [`Error::PictureSize`] if an image of the scene does not.
    pub fn prepare(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        encoder: &mut wgpu::CommandEncoder,
        scene: &Scene,
        view: &ViewState,
        size: [u32; 2],
    ) -> Result<(), Error> {
        let uploaded = self.upload(device, queue, encoder, scene, view, size);
        if uploaded.is_err() {
            // The encoder may be dropped, and with it the copies from buffers that were to grow.
            self.reset(device, queue);
        }
        uploaded
    }

    fn upload(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        encoder: &mut wgpu::CommandEncoder,
        scene: &Scene,
        view: &ViewState,
        size: [u32; 2],
    ) -> Result<(), Error> {
        let projection = Projection::new(scene, view, size.map(|v| v as f32));
        let mut uploads = Uploads {
            device,
            queue,
            encoder,
            bytes: 0,
        };
        self.stats = Stats::default();
        self.frame
            .follow(&self.pipelines, self.target, scene, &projection, size, &mut uploads)?;

        self.drawn_layers = scene.drawn_layers().count();
        while self.layers.len() < self.drawn_layers {
            self.layers.push(LayerBuffers::new());
        }
        let mut labels = place_labels(scene, &projection);
        for ((layer, buffers), labels) in scene.drawn_layers().zip(&mut self.layers).zip(&mut labels) {
            self.stats.point_bytes += buffers.follow(&self.pipelines, self.target, layer, &mut uploads)?;
            self.stats.points += layer.points.len() as u64;
            self.stats.point_memory += buffers.point_memory();
            buffers.mix(&self.pipelines, layer, &self.frame, size, &mut uploads);
            buffers.follow_rows(&layer.rows, &projection, labels, &mut uploads)?;
            self.stats.draws += buffers.draws();
            self.stats.labels += u32::try_from(labels.len()).unwrap_or(u32::MAX);
        }
        self.text.prepare(device, queue, size, &labels)?;
        self.stats.bytes = uploads.bytes;
        Ok(())
    }

    /// Draws the prepared scene. The pass's viewport must have the size that was prepared for; nothing is cleared.
    ///
    /// # Errors
    /// [`Error::Text`] if the text of the frame is no longer on the device.
    pub fn paint(&self, pass: &mut wgpu::RenderPass<'_>) -> Result<(), Error> {
        let Some(frame) = &self.frame.group else {
            return Ok(());
        };
        for (index, layer) in self.layers.iter().enumerate().take(self.drawn_layers) {
            pass.set_bind_group(0, frame, &[]);
            layer.paint(&self.pipelines, self.frame.in_space, pass);
            self.text.paint(index, pass)?;
        }
        Ok(())
    }

    /// The commands of a frame that holds this scene and nothing else: [`prepare`](Self::prepare), a pass that clears the target to
    /// the scene's background, and [`paint`](Self::paint). The caller submits them.
    ///
    /// # Errors
    /// Those of [`prepare`](Self::prepare) and [`paint`](Self::paint).
    pub fn frame(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        target: &wgpu::TextureView,
        scene: &Scene,
        view: &ViewState,
        size: [u32; 2],
    ) -> Result<wgpu::CommandBuffer, Error> {
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.prepare(device, queue, &mut encoder, scene, view, size)?;
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: None,
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: target,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations {
                    load: wgpu::LoadOp::Clear(self.clear_color(scene)),
                    store: wgpu::StoreOp::Store,
                },
            })],
            depth_stencil_attachment: None,
            timestamp_writes: None,
            occlusion_query_set: None,
            multiview_mask: None,
        });
        self.paint(&mut pass)?;
        drop(pass);
        Ok(encoder.finish())
    }

    /// The bytes that the last [`prepare`](Self::prepare) uploaded, and the draws of the next [`paint`](Self::paint).
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The scene's background as a clear value for this renderer's target.
    pub fn clear_color(&self, scene: &Scene) -> wgpu::Color {
        let [r, g, b, a] = scene.background.0.map(|byte| f32::from(byte) / 255.0);
        let convert = |v: f32| f64::from(if self.target.is_srgb() { srgb_to_linear(v) } else { v } * a);
        wgpu::Color {
            r: convert(r),
            g: convert(g),
            b: convert(b),
            a: f64::from(a),
        }
    }
}
