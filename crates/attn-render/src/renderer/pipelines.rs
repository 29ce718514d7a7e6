//! The pipelines and their bindings.

use wgpu::{VertexAttribute, VertexFormat as Format};

macro_rules! shader {
    ($($file:literal),+) => {
        concat!(
            include_str!("../shaders/common.wgsl"),
            $(include_str!(concat!("../shaders/", $file, ".wgsl"))),+
        )
    };
}

/// Every shader as it is compiled, by name; each has the entry points `vertex` and `fragment`.
pub(crate) const SHADERS: [(&str, &str); 7] = [
    ("points", shader!("point", "points")),
    ("edges", shader!("edges")),
    ("curves", shader!("curves")),
    ("blocks", shader!("blocks")),
    ("pictures", shader!("pictures")),
    ("mixed", shader!("mixed")),
    ("patches", shader!("point", "patches")),
];

/// Format of the sums of mixed points. Sums of 16 bits, which every device has, are right up to some hundred points on a
/// pixel. From about two thousand on they stop growing, and colors shift.
pub(crate) fn sums_format(device: &wgpu::Device) -> wgpu::TextureFormat {
    if device.features().contains(wgpu::Features::FLOAT32_BLENDABLE) {
        wgpu::TextureFormat::Rgba32Float
    } else {
        wgpu::TextureFormat::Rgba16Float
    }
}

/// A vertex of a tessellated curve.
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct CurveVertex {
    pub(crate) position: [f32; 2],
    pub(crate) normal: [f32; 2],
    pub(crate) width_side: [f32; 2],
    pub(crate) color: crate::Color,
    pub(crate) panel: u32,
}

/// The place of an image.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct PictureInstance {
    pub(crate) min: [f32; 2],
    pub(crate) max: [f32; 2],
    pub(crate) panel: u32,
}

pub(crate) struct Pipelines {
    /// Points into the target: for flat scenes, and for scenes with panels in three dimensions.
    pub(crate) points: [wgpu::RenderPipeline; 2],
    /// Points into their sums; the same two.
    pub(crate) summed_points: [wgpu::RenderPipeline; 2],
    /// The sums into the target.
    pub(crate) mixed: wgpu::RenderPipeline,
    pub(crate) edges: wgpu::RenderPipeline,
    pub(crate) curves: wgpu::RenderPipeline,
    pub(crate) blocks: wgpu::RenderPipeline,
    pub(crate) pictures: wgpu::RenderPipeline,
    /// Patches in place of points; the same two.
    pub(crate) patches: [wgpu::RenderPipeline; 2],
    pub(crate) frame_layout: wgpu::BindGroupLayout,
    pub(crate) points_layout: wgpu::BindGroupLayout,
    pub(crate) picture_layout: wgpu::BindGroupLayout,
    pub(crate) patches_layout: wgpu::BindGroupLayout,
    pub(crate) sums_layout: wgpu::BindGroupLayout,
    pub(crate) crisp: wgpu::Sampler,
    pub(crate) smooth: wgpu::Sampler,
}

const EDGE: [Format; 6] = [
    Format::Float32x3,
    Format::Float32x3,
    Format::Unorm8x4,
    Format::Uint32,
    Format::Float32x2,
    Format::Float32x2,
];
const CURVE: [Format; 5] = [
    Format::Float32x2,
    Format::Float32x2,
    Format::Float32x2,
    Format::Unorm8x4,
    Format::Uint32,
];
const BLOCK: [Format; 7] = [
    Format::Float32x2,
    Format::Float32x2,
    Format::Unorm8x4,
    Format::Unorm8x4,
    Format::Uint32,
    Format::Float32,
    Format::Float32,
];
const PICTURE: [Format; 3] = [Format::Float32x2, Format::Float32x2, Format::Uint32];

/// The source of a pipeline's vertices.
#[derive(Clone, Copy)]
enum Vertices<'a> {
    /// A quad per instance, whose attributes are these.
    Quads(&'a [Format]),
    /// Triangles, whose vertices have these attributes.
    Mesh(&'a [Format]),
    /// The shader computes them or reads a storage buffer.
    Pulled,
}

/// Attributes packed one after the other, and their total size in bytes.
fn packed(formats: &[Format]) -> (Vec<VertexAttribute>, u64) {
    let mut offset = 0;
    let attributes = formats.iter().zip(0..).map(|(&format, shader_location)| {
        let attribute = VertexAttribute {
            format,
            offset,
            shader_location,
        };
        offset += format.size();
        attribute
    });
    (attributes.collect(), offset)
}

impl Pipelines {
    pub(crate) fn new(device: &wgpu::Device, target: wgpu::TextureFormat) -> Self {
        let buffer = |binding, ty, visibility| wgpu::BindGroupLayoutEntry {
            binding,
            visibility,
            ty: wgpu::BindingType::Buffer {
                ty,
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let read_only = wgpu::BufferBindingType::Storage { read_only: true };
        let frame_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("attn frame"),
            entries: &[
                buffer(0, wgpu::BufferBindingType::Uniform, wgpu::ShaderStages::VERTEX),
                buffer(1, read_only, wgpu::ShaderStages::VERTEX),
                buffer(2, read_only, wgpu::ShaderStages::VERTEX),
            ],
        });
        let points_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("attn points"),
            entries: &[buffer(0, read_only, wgpu::ShaderStages::VERTEX)],
        });
        let fragment = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::FRAGMENT,
            ty,
            count: None,
        };
        let sampled = || {
            let texture = wgpu::BindingType::Texture {
                sample_type: wgpu::TextureSampleType::Float { filterable: true },
                view_dimension: wgpu::TextureViewDimension::D2,
                multisampled: false,
            };
            let sampler = wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Filtering);
            [fragment(0, texture), fragment(1, sampler)]
        };
        let picture_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("attn picture"),
            entries: &sampled(),
        });
        let [texture, sampler] = sampled();
        let patches_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("attn patches"),
            entries: &[texture, sampler, buffer(2, read_only, wgpu::ShaderStages::VERTEX)],
        });
        let sums_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("attn sums of points"),
            entries: &[fragment(
                0,
                wgpu::BindingType::Texture {
                    sample_type: wgpu::TextureSampleType::Float { filterable: false },
                    view_dimension: wgpu::TextureViewDimension::D2,
                    multisampled: false,
                },
            )],
        });
        let sampler = |filter| {
            device.create_sampler(&wgpu::SamplerDescriptor {
                mag_filter: filter,
                min_filter: wgpu::FilterMode::Linear,
                ..Default::default()
            })
        };
        let frame_only = layout(device, &[Some(&frame_layout)]);
        let with_points = layout(device, &[Some(&frame_layout), Some(&points_layout)]);
        let with_picture = layout(device, &[Some(&frame_layout), Some(&picture_layout)]);
        let with_patches = layout(
            device,
            &[Some(&frame_layout), Some(&points_layout), Some(&patches_layout)],
        );
        let with_sums = layout(device, &[Some(&frame_layout), Some(&sums_layout)]);
        let over = Output {
            format: target,
            blend: wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING,
        };
        let add = wgpu::BlendComponent {
            src_factor: wgpu::BlendFactor::One,
            dst_factor: wgpu::BlendFactor::One,
            operation: wgpu::BlendOperation::Add,
        };
        let sum = Output {
            format: sums_format(device),
            blend: wgpu::BlendState { color: add, alpha: add },
        };
        let simple = |shader, layout, vertices| pipeline(device, over, SHADERS[shader], layout, vertices, &[]);
        let points = |output, mixed| {
            [0.0, 1.0].map(|in_space| {
                let constants = [("IN_SPACE", in_space), ("MIXED", mixed)];
                pipeline(device, output, SHADERS[0], &with_points, Vertices::Pulled, &constants)
            })
        };
        Self {
            points: points(over, 0.0),
            summed_points: points(sum, 1.0),
            mixed: simple(5, &with_sums, Vertices::Pulled),
            edges: simple(1, &frame_only, Vertices::Quads(&EDGE)),
            curves: simple(2, &frame_only, Vertices::Mesh(&CURVE)),
            blocks: simple(3, &frame_only, Vertices::Quads(&BLOCK)),
            pictures: simple(4, &with_picture, Vertices::Quads(&PICTURE)),
            patches: [0.0, 1.0].map(|in_space| {
                let constants = [("IN_SPACE", in_space)];
                pipeline(device, over, SHADERS[6], &with_patches, Vertices::Pulled, &constants)
            }),
            crisp: sampler(wgpu::FilterMode::Nearest),
            smooth: sampler(wgpu::FilterMode::Linear),
            frame_layout,
            points_layout,
            picture_layout,
            patches_layout,
            sums_layout,
        }
    }
}

/// The target of a pipeline's colors and how they blend with it.
#[derive(Clone, Copy)]
struct Output {
    format: wgpu::TextureFormat,
    blend: wgpu::BlendState,
}

fn pipeline(
    device: &wgpu::Device,
    output: Output,
    (name, source): (&str, &str),
    layout: &wgpu::PipelineLayout,
    vertices: Vertices<'_>,
    constants: &[(&str, f64)],
) -> wgpu::RenderPipeline {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(name),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    let (formats, step_mode, topology) = match vertices {
        Vertices::Quads(formats) => (
            formats,
            wgpu::VertexStepMode::Instance,
            wgpu::PrimitiveTopology::TriangleStrip,
        ),
        Vertices::Mesh(formats) => (
            formats,
            wgpu::VertexStepMode::Vertex,
            wgpu::PrimitiveTopology::TriangleList,
        ),
        Vertices::Pulled => (
            &[][..],
            wgpu::VertexStepMode::Vertex,
            wgpu::PrimitiveTopology::TriangleList,
        ),
    };
    let (attributes, array_stride) = packed(formats);
    let compilation_options = wgpu::PipelineCompilationOptions {
        constants,
        ..Default::default()
    };
    let buffers = [Some(wgpu::VertexBufferLayout {
        array_stride,
        step_mode,
        attributes: &attributes,
    })];
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some(name),
        layout: Some(layout),
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("vertex"),
            compilation_options: compilation_options.clone(),
            buffers: if formats.is_empty() { &[] } else { &buffers },
        },
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some("fragment"),
            compilation_options,
            targets: &[Some(wgpu::ColorTargetState {
                format: output.format,
                blend: Some(output.blend),
                write_mask: wgpu::ColorWrites::ALL,
            })],
        }),
        primitive: wgpu::PrimitiveState {
            topology,
            ..Default::default()
        },
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        multiview_mask: None,
        cache: None,
    })
}

fn layout(device: &wgpu::Device, groups: &[Option<&wgpu::BindGroupLayout>]) -> wgpu::PipelineLayout {
    device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: groups,
        immediate_size: 0,
    })
}

#[cfg(test)]
mod tests {
    use wgpu::naga;

    use super::*;

    #[test]
    fn shaders_are_valid_without_a_gpu() {
        for (name, source) in SHADERS {
            let module = naga::front::wgsl::parse_str(source)
                .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
            let mut validator =
                naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
            validator
                .validate(&module)
                .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
            let entries: Vec<_> = module.entry_points.iter().map(|entry| entry.name.as_str()).collect();
            assert_eq!(entries, ["vertex", "fragment"], "{name}");
        }
    }

    #[test]
    fn vertex_layouts_match_the_structs() {
        assert_eq!(packed(&EDGE).1, size_of::<crate::scene::Edge>() as u64);
        assert_eq!(packed(&CURVE).1, size_of::<CurveVertex>() as u64);
        assert_eq!(packed(&BLOCK).1, size_of::<crate::scene::Block>() as u64);
        assert_eq!(packed(&PICTURE).1, size_of::<PictureInstance>() as u64);
    }
}
