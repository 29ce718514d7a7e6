//! Points of a crowd, mixed independently of their order (after McGuire and Bavoil 2013, "Weighted Blended
//! Order-Independent Transparency").
//!
//! Each point adds its color, weighted by its optical depth, to sums in a texture. The sums become one color per pixel.
//! The total opacity follows from the sum of the optical depths, so that one texture holds everything.

use super::{
    frame::fixed,
    layer::LayerBuffers,
    pipelines::{Pipelines, sums_format},
};

/// The sums of a layer's points, as large as the target.
pub(super) struct Mixture {
    size: [u32; 2],
    sums: wgpu::TextureView,
    group: wgpu::BindGroup,
    /// Factor on the opacity of all points, in 1/255.
    opacity: u32,
}

impl Mixture {
    /// For a target of `size` pixels, in the texture of `old` if that has this size.
    pub(super) fn new(
        old: Option<Self>,
        device: &wgpu::Device,
        pipelines: &Pipelines,
        size: [u32; 2],
        opacity: f32,
    ) -> Self {
        let opacity = fixed(opacity * 255.0, 255);
        if let Some(old) = old.filter(|old| old.size == size) {
            return Self { opacity, ..old };
        }
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("attn sums of points"),
            size: wgpu::Extent3d {
                width: size[0],
                height: size[1],
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: sums_format(device),
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        });
        let sums = texture.create_view(&Default::default());
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("attn sums of points"),
            layout: &pipelines.sums_layout,
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::TextureView(&sums),
            }],
        });
        Self {
            size,
            sums,
            group,
            opacity,
        }
    }

    /// Sums up the points of a layer.
    pub(super) fn fill(
        &self,
        layer: &LayerBuffers,
        pipeline: &wgpu::RenderPipeline,
        frame: &wgpu::BindGroup,
        encoder: &mut wgpu::CommandEncoder,
    ) {
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("attn sums of points"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &self.sums,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations {
                    load: wgpu::LoadOp::Clear(wgpu::Color::TRANSPARENT),
                    store: wgpu::StoreOp::Store,
                },
            })],
            depth_stencil_attachment: None,
            timestamp_writes: None,
            occlusion_query_set: None,
            multiview_mask: None,
        });
        pass.set_bind_group(0, frame, &[]);
        layer.draw_points(pipeline, &mut pass);
    }

    /// Draws the mixture.
    pub(super) fn paint(&self, pipelines: &Pipelines, pass: &mut wgpu::RenderPass<'_>) {
        pass.set_pipeline(&pipelines.mixed);
        pass.set_bind_group(1, &self.group, &[]);
        pass.draw(0..3, self.opacity..self.opacity + 1);
    }
}
