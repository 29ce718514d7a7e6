//! Pictures drawn by a plain shader within egui's pass, in place of egui's own.
//!
//! A shader of egui's filters textures in two ways and keeps one. A software rasterizer computes both for every pixel, which takes
//! twenty times as long as a look-up.

#[cfg_attr(target_arch = "wasm32", path = "never.rs")]
mod shader;

use egui::{Color32, Rect, Vec2};
use egui_wgpu::{RenderState, RendererOptions};

pub(crate) use self::shader::Direct;

/// Has every [`SceneView`](crate::SceneView) of this renderer draw its picture by a plain shader of its own, where that gives the
/// same: a window of a scene then costs a software rasterizer hardly more than an empty one. `options` are those that the host
/// made egui's renderer with, of eframe's default window [`RendererOptions::default`]; without them the shader would not fit, and
/// the device would refuse it. Call it once for a device, before the first frame. In a browser it does
/// nothing.
pub fn draw_directly(state: &RenderState, options: &RendererOptions) {
    Direct::install(state, options);
}

/// A part of a picture: where it is painted, and by how much it was shifted; or a color.
pub(crate) enum Part {
    Picture(Rect, Vec2),
    Blank(Rect, Color32),
}
