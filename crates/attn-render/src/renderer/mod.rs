//! The scene on the GPU, inside a host's device, encoder and render pass.
//!
//! [`Renderer::prepare`] uploads what changed since the last call, [`Renderer::paint`] draws. Buffers persist; a
//! camera move writes one small entry per panel and no point. All points of a layer are one draw, each naming its
//! panel. Edges are anti-aliased in the shaders, so that the host's pass needs no multisampling.

mod buffers;
mod pipelines;
mod strokes;
mod text;

use std::sync::Arc;

use self::{
    buffers::{Mirror, Slab, Uploads},
    pipelines::{PictureInstance, Pipelines},
    text::TextPainter,
};
use crate::{
    Axes, Error, Image, Layer, Panel, PanelPlace, Picture, Projection, Scene, View, color::srgb_to_linear,
    place_labels, rows,
};

/// What a frame cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of points uploaded by the last [`Renderer::prepare`].
    pub point_bytes: u64,
    /// All bytes uploaded by it, glyphs left out.
    pub bytes: u64,
    /// Points in the scene.
    pub points: u64,
    /// Draw calls of the next [`Renderer::paint`], text left out.
    pub draws: u32,
    /// Labels that found a place.
    pub labels: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Globals {
    size: [f32; 2],
    scale: f32,
    linear: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct PanelEntry {
    offset: [f32; 2],
    scale: f32,
    point: u32,
    clip: [u32; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct RowsEntry {
    x: [f32; 4],
    y: [f32; 4],
    w: [f32; 4],
}

impl PanelEntry {
    const UP: u32 = 1 << 24;
    const SPACE: u32 = 2 << 24;

    fn new(panel: &Panel, place: &PanelPlace, scale: f32) -> Self {
        let map = place.px_from_data;
        // Points grow with the zoom, but slower than the space between them.
        let radius = panel.point_radius * scale * place.zoom.max(0.0).powf(0.4);
        let mut flags = 0;
        if map.y[1] < 0.0 {
            flags |= Self::UP;
        }
        if panel.axes == Axes::Space {
            flags |= Self::SPACE;
        }
        let corner = |px: [f32; 2]| fixed(px[0], 65535) | fixed(px[1], 65535) << 16;
        Self {
            offset: [map.x[3], map.y[3]],
            scale: map.x[0],
            point: fixed(radius * 256.0, 65535) | fixed(panel.point_opacity * 255.0, 255) << 16 | flags,
            clip: [corner(place.clip.min), corner(place.clip.max)],
        }
    }
}

/// Rounded to a whole number from 0 to `most`; NaN is 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped; NaN becomes 0"
)]
fn fixed(value: f32, most: u16) -> u32 {
    value.round().clamp(0.0, f32::from(most)) as u32
}

struct PictureTexture {
    image: Arc<Image>,
    smooth: bool,
    group: wgpu::BindGroup,
}

struct LayerBuffers {
    blocks: Mirror,
    edges: Mirror,
    points: Mirror,
    points_group: Option<wgpu::BindGroup>,
    curve_stamp: u64,
    curve_vertices: Slab,
    curve_indices: Slab,
    picture_stamp: u64,
    picture_places: Slab,
    pictures: Vec<PictureTexture>,
    /// Blocks under the cells of rows.
    row_blocks: Slab,
}

impl LayerBuffers {
    fn new() -> Self {
        let vertex = wgpu::BufferUsages::VERTEX;
        Self {
            blocks: Mirror::new("blocks", vertex),
            edges: Mirror::new("edges", vertex),
            points: Mirror::new("points", wgpu::BufferUsages::STORAGE),
            points_group: None,
            curve_stamp: 0,
            curve_vertices: Slab::new("curves", vertex),
            curve_indices: Slab::new("curve indices", wgpu::BufferUsages::INDEX),
            picture_stamp: 0,
            picture_places: Slab::new("pictures", vertex),
            pictures: Vec::new(),
            row_blocks: Slab::new("rows", vertex),
        }
    }
}

/// Draws scenes into a host's render pass: creates no device, submits nothing, owns no window.
pub struct Renderer {
    target: wgpu::TextureFormat,
    pipelines: Pipelines,
    globals: wgpu::Buffer,
    last_globals: Option<Globals>,
    panels: Slab,
    last_panels: Vec<PanelEntry>,
    rows: Slab,
    last_rows: Vec<RowsEntry>,
    in_space: bool,
    frame: Option<wgpu::BindGroup>,
    layers: Vec<LayerBuffers>,
    drawn_layers: usize,
    text: TextPainter,
    stats: Stats,
}

impl Renderer {
    /// Compiles the pipelines for targets of a colour format. Of the device it needs storage buffers in vertex
    /// shaders: the default limits have them, those of WebGL do not.
    ///
    /// Formats that end in `Srgb` blend in linear light, others as browsers and most toolkits do.
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue, target: wgpu::TextureFormat) -> Self {
        let globals = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("attn globals"),
            size: size_of::<Globals>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Self {
            target,
            pipelines: Pipelines::new(device, target),
            globals,
            last_globals: None,
            panels: Slab::new("panels", wgpu::BufferUsages::STORAGE),
            last_panels: Vec::new(),
            rows: Slab::new("rows of panels", wgpu::BufferUsages::STORAGE),
            last_rows: Vec::new(),
            in_space: false,
            frame: None,
            layers: Vec::new(),
            drawn_layers: 0,
            text: TextPainter::new(device, queue, target),
            stats: Stats::default(),
        }
    }

    /// Adds a font (TrueType or OpenType), used for what the bundled ones lack.
    pub fn add_font(&mut self, bytes: Vec<u8>) {
        self.text.add_font(bytes);
    }

    /// Uploads what changed for a target of `size` pixels. Call it before the render pass begins, with the encoder
    /// that will hold the pass.
    ///
    /// # Errors
    /// [`Error::BufferSize`] if the scene is larger than the device allows, [`Error::Text`] if the text does not fit
    /// into a texture, [`Error::PictureSize`] if a picture does not.
    pub fn prepare(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        encoder: &mut wgpu::CommandEncoder,
        scene: &Scene,
        view: &View,
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
        self.follow_panels(scene, &projection, size, &mut uploads)?;

        self.drawn_layers = scene.drawn_layers().count();
        while self.layers.len() < self.drawn_layers {
            self.layers.push(LayerBuffers::new());
        }
        let mut labels = place_labels(scene, &projection);
        for ((layer, buffers), labels) in scene.drawn_layers().zip(&mut self.layers).zip(&mut labels) {
            buffers.blocks.follow(&layer.blocks, &mut uploads)?;
            buffers.edges.follow(&layer.edges, &mut uploads)?;
            let before = uploads.bytes;
            buffers.follow_points(layer, &self.pipelines, &mut uploads)?;
            self.stats.point_bytes += uploads.bytes - before;
            self.stats.points += layer.points.len() as u64;
            if buffers.curve_stamp != layer.curves.stamp() {
                let strokes = strokes::tessellate(&layer.curves)?;
                buffers.curve_vertices.write(&strokes.vertices, &mut uploads)?;
                buffers.curve_indices.write(&strokes.indices, &mut uploads)?;
                buffers.curve_stamp = layer.curves.stamp();
            }
            follow_pictures(&self.pipelines, self.target, buffers, layer, &mut uploads)?;
            let row_blocks = rows::lay_out(&layer.rows, &projection, labels);
            if buffers.row_blocks.len > 0 || !row_blocks.is_empty() {
                buffers.row_blocks.write(&row_blocks, &mut uploads)?;
            }
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
        let Some(frame) = &self.frame else { return Ok(()) };
        for (index, layer) in self.layers.iter().enumerate().take(self.drawn_layers) {
            pass.set_bind_group(0, frame, &[]);
            layer.paint(&self.pipelines, self.in_space, pass);
            self.text.paint(index, pass)?;
        }
        Ok(())
    }

    /// What the last [`prepare`](Self::prepare) uploaded and the next [`paint`](Self::paint) draws.
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

    fn follow_panels(
        &mut self,
        scene: &Scene,
        projection: &Projection,
        size: [u32; 2],
        uploads: &mut Uploads<'_>,
    ) -> Result<(), Error> {
        let linear = if self.target.is_srgb() { 1.0 } else { 0.0 };
        let globals = Globals {
            size: size.map(|v| v as f32),
            scale: projection.scale,
            linear,
        };
        if self.last_globals != Some(globals) {
            uploads.write(&self.globals, 0, bytemuck::bytes_of(&globals));
            self.last_globals = Some(globals);
        }
        if scene.panels.is_empty() {
            self.frame = None;
            return Ok(());
        }
        let places = || scene.panels.iter().zip(&projection.panels);
        let panels: Vec<PanelEntry> = places()
            .map(|(panel, place)| PanelEntry::new(panel, place, projection.scale))
            .collect();
        self.in_space = scene.panels.iter().any(|panel| panel.axes == Axes::Space);
        // Flat scenes need no rows; a buffer must not be empty.
        let rows: Vec<RowsEntry> = places()
            .take(if self.in_space { usize::MAX } else { 1 })
            .map(|(_, PanelPlace { px_from_data: map, .. })| RowsEntry {
                x: map.x,
                y: map.y,
                w: map.w,
            })
            .collect();
        let mut replaced = self.frame.is_none();
        if panels != self.last_panels {
            replaced |= self.panels.write(&panels, uploads)?;
            self.last_panels = panels;
        }
        if rows != self.last_rows {
            replaced |= self.rows.write(&rows, uploads)?;
            self.last_rows = rows;
        }
        if let (true, Some(panels), Some(rows)) = (replaced, &self.panels.buffer, &self.rows.buffer) {
            self.frame = Some(uploads.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("attn frame"),
                layout: &self.pipelines.frame_layout,
                entries: &[
                    wgpu::BindGroupEntry {
                        binding: 0,
                        resource: self.globals.as_entire_binding(),
                    },
                    wgpu::BindGroupEntry {
                        binding: 1,
                        resource: panels.as_entire_binding(),
                    },
                    wgpu::BindGroupEntry {
                        binding: 2,
                        resource: rows.as_entire_binding(),
                    },
                ],
            }));
        }
        Ok(())
    }
}

impl LayerBuffers {
    fn follow_points(&mut self, layer: &Layer, pipelines: &Pipelines, uploads: &mut Uploads<'_>) -> Result<(), Error> {
        let replaced = self.points.follow(&layer.points, uploads)?;
        if let (true, Some((buffer, _))) = (replaced, self.points.drawn()) {
            self.points_group = Some(uploads.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("attn points"),
                layout: &pipelines.points_layout,
                entries: &[wgpu::BindGroupEntry {
                    binding: 0,
                    resource: buffer.as_entire_binding(),
                }],
            }));
        }
        Ok(())
    }

    fn draws(&self) -> u32 {
        let some = |drawn: bool| u32::from(drawn);
        u32::try_from(self.pictures.len()).unwrap_or(u32::MAX)
            + some(self.blocks.drawn().is_some())
            + some(self.row_blocks.len > 0)
            + some(self.curve_indices.len > 0)
            + some(self.edges.drawn().is_some())
            + some(self.points.drawn().is_some())
    }

    fn paint(&self, pipelines: &Pipelines, in_space: bool, pass: &mut wgpu::RenderPass<'_>) {
        let instanced = |pass: &mut wgpu::RenderPass<'_>, pipeline, buffer: &wgpu::Buffer, count| {
            pass.set_pipeline(pipeline);
            pass.set_vertex_buffer(0, buffer.slice(..));
            pass.draw(0..4, 0..count);
        };
        if let Some(places) = self
            .picture_places
            .buffer
            .as_ref()
            .filter(|_| !self.pictures.is_empty())
        {
            pass.set_pipeline(&pipelines.pictures);
            pass.set_vertex_buffer(0, places.slice(..));
            for (picture, index) in self.pictures.iter().zip(0..) {
                pass.set_bind_group(1, &picture.group, &[]);
                pass.draw(0..4, index..index + 1);
            }
        }
        if let Some((buffer, count)) = self.blocks.drawn() {
            instanced(pass, &pipelines.blocks, buffer, count);
        }
        if let (Some(vertices), Some(indices), 1..) = (
            &self.curve_vertices.buffer,
            &self.curve_indices.buffer,
            self.curve_indices.len,
        ) {
            pass.set_pipeline(&pipelines.curves);
            pass.set_vertex_buffer(0, vertices.slice(..));
            pass.set_index_buffer(indices.slice(..), wgpu::IndexFormat::Uint32);
            pass.draw_indexed(0..self.curve_indices.len, 0, 0..1);
        }
        if let Some((buffer, count)) = self.edges.drawn() {
            instanced(pass, &pipelines.edges, buffer, count);
        }
        if let (Some((_, count)), Some(group)) = (self.points.drawn(), &self.points_group) {
            pass.set_pipeline(if in_space {
                &pipelines.points_in_space
            } else {
                &pipelines.points
            });
            pass.set_bind_group(1, group, &[]);
            pass.draw(0..count.saturating_mul(3), 0..1);
        }
        if let Some(buffer) = self.row_blocks.buffer.as_ref().filter(|_| self.row_blocks.len > 0) {
            instanced(pass, &pipelines.blocks, buffer, self.row_blocks.len);
        }
    }
}

/// Uploads pictures that were not there before; a picture that only moved keeps its texture.
fn follow_pictures(
    pipelines: &Pipelines,
    target: wgpu::TextureFormat,
    buffers: &mut LayerBuffers,
    layer: &Layer,
    uploads: &mut Uploads<'_>,
) -> Result<(), Error> {
    if buffers.picture_stamp == layer.pictures.stamp() {
        return Ok(());
    }
    let mut old = std::mem::take(&mut buffers.pictures);
    for picture in layer.pictures.iter() {
        let same = |known: &PictureTexture| Arc::ptr_eq(&known.image, &picture.image) && known.smooth == picture.smooth;
        let texture = match old.iter().position(same) {
            Some(index) => old.swap_remove(index),
            None => upload_picture(pipelines, target, picture, uploads)?,
        };
        buffers.pictures.push(texture);
    }
    let place = |picture: &Picture| PictureInstance {
        min: picture.rect.min,
        max: picture.rect.max,
        panel: picture.panel.into(),
    };
    let places: Vec<PictureInstance> = layer.pictures.iter().map(place).collect();
    buffers.picture_places.write(&places, uploads)?;
    buffers.picture_stamp = layer.pictures.stamp();
    Ok(())
}

fn upload_picture(
    pipelines: &Pipelines,
    target: wgpu::TextureFormat,
    picture: &Picture,
    uploads: &mut Uploads<'_>,
) -> Result<PictureTexture, Error> {
    let (width, height) = (picture.image.width(), picture.image.height());
    let limit = uploads.device.limits().max_texture_dimension_2d;
    if width > limit || height > limit {
        return Err(Error::PictureSize {
            width: u64::from(width),
            height: u64::from(height),
            limit,
        });
    }
    let size = wgpu::Extent3d {
        width,
        height,
        depth_or_array_layers: 1,
    };
    let texture = uploads.device.create_texture(&wgpu::TextureDescriptor {
        label: Some("attn picture"),
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: if target.is_srgb() {
            wgpu::TextureFormat::Rgba8UnormSrgb
        } else {
            wgpu::TextureFormat::Rgba8Unorm
        },
        usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
        view_formats: &[],
    });
    let rows = wgpu::TexelCopyBufferLayout {
        offset: 0,
        bytes_per_row: Some(4 * width),
        rows_per_image: None,
    };
    uploads
        .queue
        .write_texture(texture.as_image_copy(), picture.image.rgba(), rows, size);
    uploads.bytes += picture.image.rgba().len() as u64;
    let view = texture.create_view(&Default::default());
    let sampler = if picture.smooth {
        &pipelines.smooth
    } else {
        &pipelines.crisp
    };
    let group = uploads.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("attn picture"),
        layout: &pipelines.picture_layout,
        entries: &[
            wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::TextureView(&view),
            },
            wgpu::BindGroupEntry {
                binding: 1,
                resource: wgpu::BindingResource::Sampler(sampler),
            },
        ],
    });
    Ok(PictureTexture {
        image: picture.image.clone(),
        smooth: picture.smooth,
        group,
    })
}
