//! Whether a device can draw scenes, found out before anything is created on it.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use crate::Error;

/// Storage buffers that a vertex shader reads at most: panels, rows of panels, points, parts of an image.
const STORAGE_BUFFERS: u32 = 4;

/// Refuses a device without storage buffers in vertex shaders.
pub(super) fn check(device: &wgpu::Device) -> Result<(), Error> {
    let missing = "storage buffers in vertex shaders";
    if device.limits().max_storage_buffers_per_shader_stage < STORAGE_BUFFERS || !allows_layout(device) {
        return Err(Error::Unsupported { missing });
    }
    Ok(())
}

/// Whether the device accepts a storage buffer in a vertex shader. Old OpenGL has such buffers in other shaders only,
/// and a device does not say so: only a refused layout shows it.
fn allows_layout(device: &wgpu::Device) -> bool {
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let _ = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some("attn check of the device"),
        entries: &[wgpu::BindGroupLayoutEntry {
            binding: 0,
            visibility: wgpu::ShaderStages::VERTEX,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: true },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        }],
    });
    // The answer is there at once, except in a browser's WebGPU, which always has them.
    match pin!(scope.pop()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(refused) => refused.is_none(),
        Poll::Pending => true,
    }
}
