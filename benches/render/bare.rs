//! What the renderer is compared with: one instanced draw of equal dots, a quad each, with nothing else around it. No panels, no
//! clipping, no shapes, no flags: the least that puts as many translucent discs on a target.

use attn_render::wgpu;

/// A dot: where, in pixels, and its color.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dot {
    pub(crate) position: [f32; 2],
    pub(crate) color: [u8; 4],
}

/// A device with the dots on it.
pub(crate) struct Bare {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipeline: wgpu::RenderPipeline,
    dots: wgpu::Buffer,
    count: u32,
    target: wgpu::Texture,
}

/// The target's size, the dots' radius and opacity are constants of the pipeline.
const SHADER: &str = "
override width: f32;
override height: f32;
override radius: f32;
override opacity: f32;
struct Out {
    @builtin(position) position: vec4<f32>,
    @location(0) local: vec2<f32>,
    @location(1) @interpolate(flat) color: vec4<f32>,
}
@vertex
fn vertex(@builtin(vertex_index) index: u32, @location(0) position: vec2<f32>, @location(1) color: vec4<f32>) -> Out {
    let corner = vec2(f32(index & 1u), f32(index >> 1u)) * 2.0 - 1.0;
    var out: Out;
    out.local = corner * (radius + 0.5);
    let at = 2.0 * (position + out.local) / vec2(width, height) - 1.0;
    out.position = vec4(at.x, -at.y, 0.0, 1.0);
    out.color = vec4(color.rgb, opacity);
    return out;
}
@fragment
fn fragment(in: Out) -> @location(0) vec4<f32> {
    let alpha = in.color.a * clamp(radius + 0.5 - length(in.local), 0.0, 1.0);
    return vec4(in.color.rgb * alpha, alpha);
}";

const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

impl Bare {
    pub(crate) fn new(dots: &[Dot], size: [u32; 2], radius: f32, opacity: f32) -> Self {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        }))
        .unwrap();
        let descriptor = wgpu::DeviceDescriptor {
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
        let bytes: Vec<u8> = dots
            .iter()
            .flat_map(|dot| {
                let [x, y] = dot.position.map(f32::to_le_bytes);
                [x, y, dot.color].concat()
            })
            .collect();
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes.len() as u64,
            usage: wgpu::BufferUsages::VERTEX | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        queue.write_buffer(&buffer, 0, &bytes);
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(SHADER.into()),
        });
        let constants = [
            ("width", f64::from(size[0])),
            ("height", f64::from(size[1])),
            ("radius", f64::from(radius)),
            ("opacity", f64::from(opacity)),
        ];
        let attributes = wgpu::vertex_attr_array![0 => Float32x2, 1 => Unorm8x4];
        let options = wgpu::PipelineCompilationOptions {
            constants: &constants,
            ..Default::default()
        };
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: None,
            layout: None,
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("vertex"),
                compilation_options: options.clone(),
                buffers: &[Some(wgpu::VertexBufferLayout {
                    array_stride: 12,
                    step_mode: wgpu::VertexStepMode::Instance,
                    attributes: &attributes,
                })],
            },
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("fragment"),
                compilation_options: options,
                targets: &[Some(wgpu::ColorTargetState {
                    format: FORMAT,
                    blend: Some(wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING),
                    write_mask: wgpu::ColorWrites::ALL,
                })],
            }),
            primitive: wgpu::PrimitiveState {
                topology: wgpu::PrimitiveTopology::TriangleStrip,
                ..Default::default()
            },
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            multiview_mask: None,
            cache: None,
        });
        let target = device.create_texture(&wgpu::TextureDescriptor {
            label: None,
            size: wgpu::Extent3d {
                width: size[0],
                height: size[1],
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT,
            view_formats: &[],
        });
        Self {
            device,
            queue,
            pipeline,
            dots: buffer,
            count: u32::try_from(dots.len()).unwrap(),
            target,
        }
    }

    /// Draws and waits.
    pub(crate) fn frame(&mut self) {
        let view = self.target.create_view(&Default::default());
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: None,
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &view,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations {
                    load: wgpu::LoadOp::Clear(wgpu::Color::WHITE),
                    store: wgpu::StoreOp::Store,
                },
            })],
            depth_stencil_attachment: None,
            timestamp_writes: None,
            occlusion_query_set: None,
            multiview_mask: None,
        });
        pass.set_pipeline(&self.pipeline);
        pass.set_vertex_buffer(0, self.dots.slice(..));
        pass.draw(0..4, 0..self.count);
        drop(pass);
        self.queue.submit([encoder.finish()]);
        self.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    }
}
