//! Patches on the GPU: the sheet as a texture, and the part of it that each point shows.

use std::sync::Arc;

use super::{
    buffers::{Uploads, allocate},
    pipelines::Pipelines,
    texture::{sampled, texture},
};
use crate::{Error, scene::Patches};

pub(super) struct PatchBuffers {
    /// What was uploaded.
    patches: Patches,
    pub(super) group: wgpu::BindGroup,
}

impl PatchBuffers {
    /// Those of a layer; what was uploaded before is kept where it is the same.
    pub(super) fn follow(
        old: Option<Self>,
        patches: &Patches,
        pipelines: &Pipelines,
        target: wgpu::TextureFormat,
        uploads: &mut Uploads<'_>,
    ) -> Result<Self, Error> {
        let same = |old: &Self| {
            Arc::ptr_eq(&old.patches.sheet, &patches.sheet)
                && Arc::ptr_eq(&old.patches.parts, &patches.parts)
                && old.patches.style == patches.style
        };
        if let Some(old) = old.filter(same) {
            return Ok(old);
        }
        patches.check()?;
        let view = texture(&patches.sheet, target, uploads)?;
        let fixed = |value: f32| (value * 256.0).round() as u16;
        let (frame, tint) = patches.style.frame_and_tint();
        let mut entries = Vec::with_capacity(patches.parts.len() + 1);
        entries.push([fixed(frame), 0, fixed(tint), 0]);
        entries.extend_from_slice(&patches.parts);
        let bytes: &[u8] = bytemuck::cast_slice(&entries);
        let usage = wgpu::BufferUsages::STORAGE;
        let buffer = allocate(uploads.device, "patches", usage, bytes.len() as u64, false)?;
        uploads.write(&buffer, 0, bytes);
        let [texture, sampler] = sampled(&view, &pipelines.smooth);
        let parts = wgpu::BindGroupEntry {
            binding: 2,
            resource: buffer.as_entire_binding(),
        };
        let group = uploads.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("attn patches"),
            layout: &pipelines.patches_layout,
            entries: &[texture, sampler, parts],
        });
        Ok(Self {
            patches: patches.clone(),
            group,
        })
    }
}
