//! In a browser pictures are egui's: what egui calls has to go to other threads, which objects of the device cannot there.

use attn_render::wgpu;
use egui::{Rect, Shape};
use egui_wgpu::{RenderState, RendererOptions};

use super::Part;

/// There is none.
pub(crate) enum Direct {}

impl Direct {
    pub(super) fn install(_: &RenderState, _: &RendererOptions) {}

    pub(crate) fn of(_: &RenderState) -> Option<Self> {
        None
    }

    pub(crate) fn shape(self, _: &wgpu::Device, _: &wgpu::TextureView, _: Rect, _: &[Part], _: f32) -> Shape {
        match self {}
    }
}
