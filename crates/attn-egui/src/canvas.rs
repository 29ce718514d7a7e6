//! A scene as a texture of egui's: a renderer, the texture it draws into, and the id by which egui knows it.
//!
//! The texture is drawn again only when something in it changes, so that other widgets' frames cost a scene of millions of points
//! nothing; and it works under any clip, layer or sampling of the host's own pass.

use attn_render::{Error, Renderer, Scene, ViewState, wgpu};
use egui::{Rect, Shape, TextureId};
use egui_wgpu::RenderState;

use crate::direct::{Direct, Part};

/// Blends as egui does, and as other figures do: without conversion.
const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

pub(crate) struct Canvas {
    state: RenderState,
    /// Made at the first drawing, since it compiles shaders.
    renderer: Option<Renderer>,
    target: Option<Target>,
}

struct Target {
    size: [u32; 2],
    attachment: wgpu::TextureView,
    id: TextureId,
}

impl Canvas {
    pub(crate) fn new(state: &RenderState) -> Self {
        Self {
            state: state.clone(),
            renderer: None,
            target: None,
        }
    }

    /// The longest side of a picture, in pixels.
    pub(crate) fn limit(&self) -> u32 {
        self.state.device.limits().max_texture_dimension_2d
    }

    /// The picture as it was drawn last.
    pub(crate) fn texture(&self) -> Option<TextureId> {
        self.target.as_ref().map(|target| target.id)
    }

    /// The picture in these parts, by the shader of [`draw_directly`](crate::draw_directly); `None` if the host did not ask for it, or
    /// the picture is of another size.
    pub(crate) fn direct(&self, whole: Rect, size: [u32; 2], parts: &[Part], pixels_per_point: f32) -> Option<Shape> {
        let target = self.target.as_ref().filter(|target| target.size == size)?;
        let direct = Direct::of(&self.state)?;
        Some(direct.shape(&self.state.device, &target.attachment, whole, parts, pixels_per_point))
    }

    /// Names the characters that were drawn as boxes.
    pub(crate) fn missing_note(&self) -> Option<String> {
        self.renderer.as_ref()?.missing_note()
    }

    /// Draws at `size` pixels, which must not be above the limit.
    pub(crate) fn draw(&mut self, scene: &Scene, view: &ViewState, size: [u32; 2]) -> Result<(), Error> {
        let (device, queue) = (&self.state.device, &self.state.queue);
        let renderer = match &mut self.renderer {
            Some(renderer) => renderer,
            none => none.insert(Renderer::new(device, queue, FORMAT)?),
        };
        let mut encoder = device.create_command_encoder(&Default::default());
        renderer.prepare(device, queue, &mut encoder, scene, view, size)?;
        // Texts are in any script.
        if renderer.add_missing_fonts() {
            renderer.prepare(device, queue, &mut encoder, scene, view, size)?;
        }
        let target = match self.target.take() {
            Some(target) if target.size == size => target,
            old => resized(&self.state, size, old.map(|old| old.id)),
        };
        let target = self.target.insert(target);
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("attn scene"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &target.attachment,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations {
                    load: wgpu::LoadOp::Clear(renderer.clear_color(scene)),
                    store: wgpu::StoreOp::Store,
                },
            })],
            depth_stencil_attachment: None,
            timestamp_writes: None,
            occlusion_query_set: None,
            multiview_mask: None,
        });
        renderer.paint(&mut pass)?;
        drop(pass);
        queue.submit([encoder.finish()]);
        Ok(())
    }
}

/// A texture of another size under the same id, so that what egui was told before still shows a picture.
fn resized(state: &RenderState, [width, height]: [u32; 2], id: Option<TextureId>) -> Target {
    let texture = state.device.create_texture(&wgpu::TextureDescriptor {
        label: Some("attn scene"),
        size: wgpu::Extent3d {
            width,
            height,
            depth_or_array_layers: 1,
        },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: FORMAT,
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::TEXTURE_BINDING,
        view_formats: &[],
    });
    let attachment = texture.create_view(&Default::default());
    // A pixel of the picture is one of the screen, so that there is nothing to smooth.
    let (mut egui, crisp) = (state.renderer.write(), wgpu::FilterMode::Nearest);
    let id = match id {
        Some(id) => {
            egui.update_egui_texture_from_wgpu_texture(&state.device, &attachment, crisp, id);
            id
        }
        None => egui.register_native_texture(&state.device, &attachment, crisp),
    };
    Target {
        size: [width, height],
        attachment,
        id,
    }
}

impl Drop for Canvas {
    fn drop(&mut self) {
        if let Some(target) = &self.target {
            self.state.renderer.write().free_texture(&target.id);
        }
    }
}
