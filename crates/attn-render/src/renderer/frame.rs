//! The bindings of every draw in a frame: the size of the target and the place of each panel.

use super::{
    buffers::{Slab, Uploads},
    pipelines::Pipelines,
};
use crate::{
    Error, Scene,
    projection::{PanelPlace, Projection},
    scene::{Axes, Panel},
};

#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct Globals {
    size: [f32; 2],
    scale: f32,
    linear: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct PanelEntry {
    offset: [f32; 2],
    scale: f32,
    point: u32,
    clip: [u32; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct RowsEntry {
    x: [f32; 4],
    y: [f32; 4],
    w: [f32; 4],
}

impl PanelEntry {
    const UP: u32 = 1 << 24;
    const SPACE: u32 = 2 << 24;

    fn new(panel: &Panel, place: &PanelPlace, scale: f32, dimmed: f32) -> Self {
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
            point: fixed(radius * 256.0, 65535)
                | fixed(panel.point_opacity * 255.0, 255) << 16
                | flags
                | fixed(dimmed * 63.0, 63) << 26,
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
pub(super) fn fixed(value: f32, most: u16) -> u32 {
    value.round().clamp(0.0, f32::from(most)) as u32
}

/// The panels on the GPU.
pub(super) struct Frame {
    globals: wgpu::Buffer,
    last_globals: Option<Globals>,
    panels: Slab,
    last_panels: Vec<PanelEntry>,
    rows: Slab,
    last_rows: Vec<RowsEntry>,
    /// Whether any panel is in three dimensions.
    pub(super) in_space: bool,
    /// The bind group of all draws; `None` without panels.
    pub(super) group: Option<wgpu::BindGroup>,
}

impl Frame {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        let globals = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("attn globals"),
            size: size_of::<Globals>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Self {
            globals,
            last_globals: None,
            panels: Slab::new("panels", wgpu::BufferUsages::STORAGE),
            last_panels: Vec::new(),
            rows: Slab::new("rows of panels", wgpu::BufferUsages::STORAGE),
            last_rows: Vec::new(),
            in_space: false,
            group: None,
        }
    }

    /// Writes what changed since the last frame.
    pub(super) fn follow(
        &mut self,
        pipelines: &Pipelines,
        target: wgpu::TextureFormat,
        scene: &Scene,
        projection: &Projection,
        size: [u32; 2],
        uploads: &mut Uploads<'_>,
    ) -> Result<(), Error> {
        let linear = if target.is_srgb() { 1.0 } else { 0.0 };
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
            self.group = None;
            return Ok(());
        }
        let places = || scene.panels.iter().zip(&projection.panels);
        let dimmed = scene.dimmed_opacity();
        let panels: Vec<PanelEntry> = places()
            .map(|(panel, place)| PanelEntry::new(panel, place, projection.scale, dimmed))
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
        let mut replaced = self.group.is_none();
        if panels != self.last_panels {
            replaced |= self.panels.write(&panels, uploads)?;
            self.last_panels = panels;
        }
        if rows != self.last_rows {
            replaced |= self.rows.write(&rows, uploads)?;
            self.last_rows = rows;
        }
        if let (true, Some(panels), Some(rows)) = (replaced, &self.panels.buffer, &self.rows.buffer) {
            self.group = Some(uploads.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("attn frame"),
                layout: &pipelines.frame_layout,
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
