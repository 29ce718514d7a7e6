//! One layer on the GPU: its buffers, and the draws over them.

use std::sync::Arc;

use super::{
    buffers::{Mirror, Slab, Uploads},
    frame::Frame,
    mixture::Mixture,
    patches::PatchBuffers,
    pipelines::{PictureInstance, Pipelines},
    strokes,
    texture::{sampled, texture},
};
use crate::{
    Error, Image,
    labels::PlacedLabel,
    projection::Projection,
    rows,
    scene::{Blending, GlyphRow, Layer, Picture},
};

struct PictureTexture {
    image: Arc<Image>,
    smooth: bool,
    group: wgpu::BindGroup,
}

pub(super) struct LayerBuffers {
    blocks: Mirror,
    edges: Mirror,
    points: Mirror,
    points_group: Option<wgpu::BindGroup>,
    /// For points that are drawn as patches of an image.
    patches: Option<PatchBuffers>,
    /// For points that are mixed.
    mixture: Option<Mixture>,
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
    pub(super) fn new() -> Self {
        let vertex = wgpu::BufferUsages::VERTEX;
        Self {
            blocks: Mirror::new("blocks", vertex),
            edges: Mirror::new("edges", vertex),
            points: Mirror::new("points", wgpu::BufferUsages::STORAGE),
            points_group: None,
            patches: None,
            mixture: None,
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

impl LayerBuffers {
    /// Writes what changed; returns the bytes of points among it.
    pub(super) fn follow(
        &mut self,
        pipelines: &Pipelines,
        target: wgpu::TextureFormat,
        layer: &Layer,
        uploads: &mut Uploads<'_>,
    ) -> Result<u64, Error> {
        self.blocks.follow(&layer.blocks, uploads)?;
        self.edges.follow(&layer.edges, uploads)?;
        let before = uploads.bytes;
        self.follow_points(layer, pipelines, uploads)?;
        let point_bytes = uploads.bytes - before;
        if self.curve_stamp != layer.curves.stamp() {
            let strokes = strokes::tessellate(&layer.curves)?;
            self.curve_vertices.write(&strokes.vertices, uploads)?;
            self.curve_indices.write(&strokes.indices, uploads)?;
            self.curve_stamp = layer.curves.stamp();
        }
        follow_pictures(pipelines, target, self, layer, uploads)?;
        let old = self.patches.take();
        self.patches = match &layer.patches {
            Some(patches) => Some(PatchBuffers::follow(old, patches, pipelines, target, uploads)?),
            None => None,
        };
        Ok(point_bytes)
    }

    /// Sums up the points if they are mixed. Call it after [`follow`](Self::follow).
    pub(super) fn mix(
        &mut self,
        pipelines: &Pipelines,
        layer: &Layer,
        frame: &Frame,
        size: [u32; 2],
        uploads: &mut Uploads<'_>,
    ) {
        let old = self.mixture.take();
        let (Blending::Mixed { opacity }, Some(group), false) = (layer.blending, &frame.group, layer.points.is_empty())
        else {
            return;
        };
        let mixture = Mixture::new(old, uploads.device, pipelines, size, opacity);
        let pipeline = &pipelines.summed_points[usize::from(frame.in_space)];
        mixture.fill(self, pipeline, group, uploads.encoder);
        self.mixture = Some(mixture);
    }

    /// Lays out rows of words; adds their text to `labels`.
    pub(super) fn follow_rows(
        &mut self,
        rows: &[GlyphRow],
        projection: &Projection,
        labels: &mut Vec<PlacedLabel>,
        uploads: &mut Uploads<'_>,
    ) -> Result<(), Error> {
        let blocks = rows::lay_out(rows, projection, labels);
        if self.row_blocks.len > 0 || !blocks.is_empty() {
            self.row_blocks.write(&blocks, uploads)?;
        }
        Ok(())
    }

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

    /// Bytes of the buffer that holds the points.
    pub(super) fn point_memory(&self) -> u64 {
        self.points.drawn().map_or(0, |(buffer, _)| buffer.size())
    }

    /// Number of draw calls that [`paint`](Self::paint) makes.
    pub(super) fn draws(&self) -> u32 {
        let some = |drawn: bool| u32::from(drawn);
        u32::try_from(self.pictures.len()).unwrap_or(u32::MAX)
            + some(self.blocks.drawn().is_some())
            + some(self.row_blocks.len > 0)
            + some(self.curve_indices.len > 0)
            + some(self.edges.drawn().is_some())
            + some(self.points.drawn().is_some())
            + some(self.mixture.is_some())
            + some(self.patches.is_some())
    }

    pub(super) fn draw_points(&self, pipeline: &wgpu::RenderPipeline, pass: &mut wgpu::RenderPass<'_>) {
        if let (Some((_, count)), Some(group)) = (self.points.drawn(), &self.points_group) {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(1, group, &[]);
            pass.draw(0..count.saturating_mul(3), 0..1);
        }
    }

    pub(super) fn paint(&self, pipelines: &Pipelines, in_space: bool, pass: &mut wgpu::RenderPass<'_>) {
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
        match &self.mixture {
            Some(mixture) => mixture.paint(pipelines, pass),
            None => self.draw_points(&pipelines.points[usize::from(in_space)], pass),
        }
        if let (Some(patches), Some((_, count)), Some(group)) = (&self.patches, self.points.drawn(), &self.points_group)
        {
            pass.set_pipeline(&pipelines.patches[usize::from(in_space)]);
            pass.set_bind_group(1, group, &[]);
            pass.set_bind_group(2, &patches.group, &[]);
            pass.draw(0..count.saturating_mul(6), 0..1);
        }
        if let Some(buffer) = self.row_blocks.buffer.as_ref().filter(|_| self.row_blocks.len > 0) {
            instanced(pass, &pipelines.blocks, buffer, self.row_blocks.len);
        }
    }
}

/// Uploads new images; an image that only moved keeps its texture.
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
    let view = texture(&picture.image, target, uploads)?;
    let sampler = if picture.smooth {
        &pipelines.smooth
    } else {
        &pipelines.crisp
    };
    let group = uploads.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("attn picture"),
        layout: &pipelines.picture_layout,
        entries: &sampled(&view, sampler),
    });
    Ok(PictureTexture {
        image: picture.image.clone(),
        smooth: picture.smooth,
        group,
    })
}
