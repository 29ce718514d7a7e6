//! The shader, its pipeline and what egui calls.

use attn_render::wgpu::{self, util::DeviceExt as _};
use egui::{PaintCallbackInfo, Rect, Shape, Vec2};
use egui_wgpu::{Callback, CallbackResources, CallbackTrait, RenderState, RendererOptions, ScreenDescriptor};

use super::Part;

/// Numbers of a part: its place, where the picture begins, and its color if it shows none of it.
const NUMBERS: usize = 10;

const SHADER: &str = "
@group(0) @binding(0) var<uniform> screen: vec4<f32>;
@group(0) @binding(1) var picture: texture_2d<f32>;

struct Pixel {
    @builtin(position) at: vec4<f32>,
    @location(0) @interpolate(flat) start: vec2<f32>,
    @location(1) @interpolate(flat) color: vec4<f32>,
};

@vertex
fn corner(
    @builtin(vertex_index) index: u32,
    @location(0) place: vec4<f32>,
    @location(1) start: vec2<f32>,
    @location(2) color: vec4<f32>,
) -> Pixel {
    let at = mix(place.xy, place.zw, vec2<f32>(f32(index & 1u), f32(index >> 1u)));
    var pixel: Pixel;
    pixel.at = vec4<f32>(2.0 * at.x / screen.x - 1.0, 1.0 - 2.0 * at.y / screen.y, 0.0, 1.0);
    pixel.start = start;
    pixel.color = color;
    return pixel;
}

@fragment
fn color(pixel: Pixel) -> @location(0) vec4<f32> {
    let found = textureLoad(picture, vec2<i32>(pixel.at.xy - pixel.start), 0);
    return select(found, pixel.color, pixel.color.a > 0.0);
}
";

/// The pipeline, kept with egui's renderer.
#[derive(Clone)]
pub(crate) struct Direct {
    pipeline: wgpu::RenderPipeline,
    groups: wgpu::BindGroupLayout,
}

impl Direct {
    /// Keeps the pipeline with egui's renderer.
    pub(super) fn install(state: &RenderState, options: &RendererOptions) {
        // Where colors are converted on the way, egui does it.
        if !state.target_format.is_srgb() {
            let direct = Self::new(&state.device, state.target_format, options);
            state.renderer.write().callback_resources.insert(direct);
        }
    }

    /// What is kept, if it is.
    pub(crate) fn of(state: &RenderState) -> Option<Self> {
        state.renderer.read().callback_resources.get::<Self>().cloned()
    }

    fn new(device: &wgpu::Device, format: wgpu::TextureFormat, options: &RendererOptions) -> Self {
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("attn picture"),
            source: wgpu::ShaderSource::Wgsl(SHADER.into()),
        });
        let attributes = wgpu::vertex_attr_array![0 => Float32x4, 1 => Float32x2, 2 => Float32x4];
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("attn picture"),
            layout: None,
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("corner"),
                compilation_options: Default::default(),
                buffers: &[Some(wgpu::VertexBufferLayout {
                    array_stride: (4 * NUMBERS) as u64,
                    step_mode: wgpu::VertexStepMode::Instance,
                    attributes: &attributes,
                })],
            },
            primitive: wgpu::PrimitiveState {
                topology: wgpu::PrimitiveTopology::TriangleStrip,
                ..Default::default()
            },
            // As egui has it.
            depth_stencil: options.depth_stencil_format.map(|format| wgpu::DepthStencilState {
                format,
                depth_write_enabled: Some(false),
                depth_compare: Some(wgpu::CompareFunction::Always),
                stencil: wgpu::StencilState::default(),
                bias: wgpu::DepthBiasState::default(),
            }),
            multisample: wgpu::MultisampleState {
                count: options.msaa_samples.max(1),
                ..Default::default()
            },
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("color"),
                compilation_options: Default::default(),
                targets: &[Some(wgpu::ColorTargetState {
                    format,
                    blend: Some(wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING),
                    write_mask: wgpu::ColorWrites::ALL,
                })],
            }),
            multiview_mask: None,
            cache: None,
        });
        Self {
            groups: pipeline.get_bind_group_layout(0),
            pipeline,
        }
    }

    /// Parts of a picture whose left top, unshifted, is that of `whole`.
    pub(crate) fn shape(
        self,
        device: &wgpu::Device,
        picture: &wgpu::TextureView,
        whole: Rect,
        parts: &[Part],
        pixels_per_point: f32,
    ) -> Shape {
        let numbers = parts.iter().flat_map(|part| {
            let (place, by, color) = match part {
                Part::Picture(place, by) => (place, *by, [0.0; 4]),
                Part::Blank(place, color) => (place, Vec2::ZERO, color.to_normalized_gamma_f32()),
            };
            let start = ((whole.min + by).to_vec2() * pixels_per_point).round();
            let [min, max] = [place.min, place.max].map(|corner| corner.to_vec2() * pixels_per_point);
            let place = [min.x, min.y, max.x, max.y, start.x, start.y];
            place.into_iter().chain(color)
        });
        let bytes: Vec<u8> = numbers.flat_map(f32::to_ne_bytes).collect();
        let parts = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("attn parts"),
            contents: &bytes,
            usage: wgpu::BufferUsages::VERTEX,
        });
        let screen = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("attn screen"),
            size: 16,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("attn picture"),
            layout: &self.groups,
            entries: &[
                wgpu::BindGroupEntry {
                    binding: 0,
                    resource: screen.as_entire_binding(),
                },
                wgpu::BindGroupEntry {
                    binding: 1,
                    resource: wgpu::BindingResource::TextureView(picture),
                },
            ],
        });
        let count = u32::try_from(bytes.len() / (4 * NUMBERS)).unwrap_or(0);
        let drawn = Drawn {
            pipeline: self.pipeline,
            group,
            screen,
            parts,
            count,
        };
        Callback::new_paint_callback(whole, drawn).into()
    }
}

struct Drawn {
    pipeline: wgpu::RenderPipeline,
    group: wgpu::BindGroup,
    screen: wgpu::Buffer,
    parts: wgpu::Buffer,
    count: u32,
}

impl CallbackTrait for Drawn {
    fn prepare(
        &self,
        _: &wgpu::Device,
        queue: &wgpu::Queue,
        screen: &ScreenDescriptor,
        _: &mut wgpu::CommandEncoder,
        _: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        let [width, height] = screen.size_in_pixels.map(|side| side as f32);
        let bytes: Vec<u8> = [width, height, 0.0, 0.0]
            .into_iter()
            .flat_map(f32::to_ne_bytes)
            .collect();
        queue.write_buffer(&self.screen, 0, &bytes);
        Vec::new()
    }

    fn paint(&self, info: PaintCallbackInfo, pass: &mut wgpu::RenderPass<'static>, _: &CallbackResources) {
        // The part of the window that is in sight would be stretched over a viewport of its own.
        let [width, height] = info.screen_size_px.map(|side| side as f32);
        pass.set_viewport(0.0, 0.0, width, height, 0.0, 1.0);
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.set_vertex_buffer(0, self.parts.slice(..));
        pass.draw(0..4, 0..self.count);
    }
}
