//! A host's device, and the little that both engines need of it: pipelines, buffers, submitting and reading back.

use bytemuck::Pod;
use futures_channel::oneshot;

use crate::{Error, Result};

/// Exact neighbors and t-SNE on a device of the host's or of its own. Cheap to clone; calls from several threads take
/// turns on the device.
///
/// ```
/// # #[cfg(not(target_arch = "wasm32"))] {
/// use attn_project::{Neighbors, metric::Euclidean};
/// use attn_project_gpu::Gpu;
///
/// let gpu = Gpu::headless()?;
/// let points = ndarray::Array2::from_shape_fn((100, 3), |(i, j)| ((i * (j + 3)) as f32 * 0.37).sin());
/// let neighbors = gpu.neighbors(points.view(), 5, Euclidean, &())?;
/// assert_eq!(neighbors, Neighbors::exact(points.view(), 5, Euclidean, &())?);
/// # }
/// # Ok::<(), attn_project_gpu::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pub(crate) pipelines: Pipelines,
}

/// The compiled shaders.
#[derive(Debug, Clone)]
pub(crate) struct Pipelines {
    pub(crate) products: wgpu::ComputePipeline,
    pub(crate) choose: wgpu::ComputePipeline,
    /// In the plane and in space.
    pub(crate) tsne: [TsnePipelines; 2],
}

/// The passes of one iteration.
#[derive(Debug, Clone)]
pub(crate) struct TsnePipelines {
    pub(crate) repulsion: wgpu::ComputePipeline,
    pub(crate) gather: wgpu::ComputePipeline,
    pub(crate) sum_up: wgpu::ComputePipeline,
    pub(crate) advance: wgpu::ComputePipeline,
}

const PRODUCTS: &str = concat!(
    include_str!("shaders/search.wgsl"),
    include_str!("shaders/products.wgsl")
);
const SELECT: &str = concat!(include_str!("shaders/search.wgsl"), include_str!("shaders/select.wgsl"));
const TSNE: [&str; 2] = [
    concat!("alias Point = vec2f;\n", include_str!("shaders/tsne.wgsl")),
    concat!("alias Point = vec3f;\n", include_str!("shaders/tsne.wgsl")),
];
/// Bytes of workgroup memory that the shaders use at most: three sums of 256 invocations in space and a tile.
const WORKGROUP_BYTES: u32 = 16_384;

impl Gpu {
    /// Works on a host's device, beside whatever else the host does with it. The device needs what WebGPU guarantees,
    /// no features; larger [limits](wgpu::Limits) of storage buffers allow more points.
    ///
    /// # Errors
    /// [`Error::Limit`] if the device allows too little for compute shaders (WebGL has none), [`Error::Device`] if they
    /// cannot be compiled.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Result<Self> {
        pollster::block_on(Self::new_async(device, queue))
    }

    /// `Gpu::new` for hosts that must not block, such as browsers.
    ///
    /// # Errors
    /// As `Gpu::new`.
    pub async fn new_async(device: &wgpu::Device, queue: &wgpu::Queue) -> Result<Self> {
        let limits = device.limits();
        let least = [
            (
                "workgroup memory, bytes",
                WORKGROUP_BYTES,
                limits.max_compute_workgroup_storage_size,
            ),
            (
                "invocations of a workgroup",
                256,
                limits.max_compute_invocations_per_workgroup,
            ),
            (
                "invocations of a workgroup along x",
                256,
                limits.max_compute_workgroup_size_x,
            ),
            (
                "storage buffers of a shader",
                6,
                limits.max_storage_buffers_per_shader_stage,
            ),
        ];
        for (what, needed, limit) in least {
            if limit < needed {
                let (needed, limit) = (u64::from(needed), u64::from(limit));
                return Err(Error::Limit { what, needed, limit });
            }
        }
        let pipelines = guarded(device, || Pipelines::new(device)).await?;
        Ok(Self {
            device: device.clone(),
            queue: queue.clone(),
            pipelines,
        })
    }

    /// Opens the fastest adapter there is, with no window.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] if there is none: its message names the packages that provide a software rasterizer. Else as
    /// [`Gpu::new`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn headless() -> Result<Self> {
        pollster::block_on(Self::headless_async())
    }

    /// `Gpu::headless` for hosts that must not block, such as browsers.
    ///
    /// # Errors
    /// As `Gpu::headless`.
    pub async fn headless_async() -> Result<Self> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance
            .request_adapter(&options)
            .await
            .map_err(|error| Error::NoAdapter {
                reason: error.to_string(),
            })?;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("attn projection"),
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(Error::device)?;
        Self::new_async(&device, &queue).await
    }

    /// Name of the adapter and its backend: `llvmpipe (LLVM 15.0.6, 256 bits) (vulkan)`.
    pub fn adapter(&self) -> String {
        let info = self.device.adapter_info();
        format!("{} ({})", info.name, info.backend)
    }

    /// Whether this is a GPU in name only: a software rasterizer, which `attn-project` outruns on the same processor.
    pub fn is_software(&self) -> bool {
        self.device.adapter_info().device_type == wgpu::DeviceType::Cpu
    }

    /// Makes buffers, and bind groups of them; what the device refuses is an error instead of a panic of its own.
    pub(crate) async fn guarded<T>(&self, make: impl FnOnce() -> Result<T>) -> Result<T> {
        guarded(&self.device, make).await?
    }

    /// A buffer of so many bytes, zeroed.
    pub(crate) fn buffer(&self, what: &'static str, size: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        let limits = self.device.limits();
        let bound = if usage.contains(wgpu::BufferUsages::STORAGE) {
            limits.max_storage_buffer_binding_size
        } else {
            limits.max_buffer_size
        };
        let limit = limits.max_buffer_size.min(bound);
        if size > limit {
            let needed = size;
            return Err(Error::BufferSize { what, needed, limit });
        }
        Ok(self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(what),
            size: size.max(16),
            usage: usage | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        }))
    }

    /// A storage buffer with these values.
    pub(crate) fn filled<T: Pod>(&self, what: &'static str, values: &[T]) -> Result<wgpu::Buffer> {
        let buffer = self.buffer(what, size_of_val(values) as u64, wgpu::BufferUsages::STORAGE)?;
        self.write(&buffer, values);
        Ok(buffer)
    }

    pub(crate) fn write<T: Pod>(&self, buffer: &wgpu::Buffer, values: &[T]) {
        self.queue.write_buffer(buffer, 0, bytemuck::cast_slice(values));
    }

    /// A uniform buffer with room for `count` entries, each of which can be bound alone.
    pub(crate) fn entries(&self, what: &'static str, count: usize) -> Result<wgpu::Buffer> {
        self.buffer(what, count as u64 * self.entry_size(), wgpu::BufferUsages::UNIFORM)
    }

    pub(crate) fn write_entries<T: Pod>(&self, buffer: &wgpu::Buffer, entries: &[T]) {
        let size = self.entry_size() as usize;
        let mut bytes = vec![0; size * entries.len()];
        for (slot, entry) in bytes.chunks_mut(size).zip(entries) {
            let entry = bytemuck::bytes_of(entry);
            slot[..entry.len()].copy_from_slice(entry);
        }
        self.queue.write_buffer(buffer, 0, &bytes);
    }

    /// Entry `index` of a uniform buffer, to be bound.
    pub(crate) fn entry<'a, T>(&self, buffer: &'a wgpu::Buffer, index: usize) -> wgpu::BindingResource<'a> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer,
            offset: index as u64 * self.entry_size(),
            size: std::num::NonZero::new(size_of::<T>() as u64),
        })
    }

    fn entry_size(&self) -> u64 {
        u64::from(self.device.limits().min_uniform_buffer_offset_alignment.max(64))
    }

    /// Resources at the bindings a pipeline knows them by.
    pub(crate) fn group(
        &self,
        pipeline: &wgpu::ComputePipeline,
        entries: &[(u32, wgpu::BindingResource<'_>)],
    ) -> wgpu::BindGroup {
        let entries: Vec<_> = entries
            .iter()
            .map(|(binding, resource)| wgpu::BindGroupEntry {
                binding: *binding,
                resource: resource.clone(),
            })
            .collect();
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        })
    }

    pub(crate) fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&Default::default())
    }

    /// Hands the work over and returns at once; the answer says when it is done.
    pub(crate) fn submit(&self, encoder: wgpu::CommandEncoder) -> Submitted {
        let index = self.queue.submit([encoder.finish()]);
        let (sender, done) = oneshot::channel();
        self.queue.on_submitted_work_done(move || {
            // Without a receiver the answer is not needed.
            let _ = sender.send(());
        });
        Submitted { index, done }
    }

    /// Waits for a submission.
    pub(crate) async fn finish(&self, submitted: Submitted) -> Result<()> {
        self.poll(submitted.index)?;
        submitted.done.await.map_err(Error::device)
    }

    /// Copies the first bytes of a buffer out, after all that was submitted before.
    pub(crate) async fn read<T: Pod>(&self, buffer: &wgpu::Buffer, count: usize) -> Result<Vec<T>> {
        let bytes = (count * size_of::<T>()) as u64;
        let staging = self
            .guarded(|| self.buffer("results", bytes, wgpu::BufferUsages::MAP_READ))
            .await?;
        let mut encoder = self.encoder();
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, bytes);
        self.map(&staging, self.submit(encoder)).finish(self, count).await
    }

    /// Asks for a buffer that can be mapped, once the submission that fills it is done.
    pub(crate) fn map(&self, staging: &wgpu::Buffer, filled: Submitted) -> Mapped {
        let (sender, result) = oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |mapped| {
            let _ = sender.send(mapped);
        });
        Mapped {
            staging: staging.clone(),
            index: filled.index,
            result,
        }
    }

    /// In a browser the event loop does this.
    fn poll(&self, index: wgpu::SubmissionIndex) -> Result<()> {
        let wait = wgpu::PollType::Wait {
            submission_index: Some(index),
            timeout: None,
        };
        self.device.poll(wait).map_err(Error::device)?;
        Ok(())
    }
}

/// Work on its way.
pub(crate) struct Submitted {
    index: wgpu::SubmissionIndex,
    done: oneshot::Receiver<()>,
}

/// A buffer on its way back.
pub(crate) struct Mapped {
    staging: wgpu::Buffer,
    index: wgpu::SubmissionIndex,
    result: oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>,
}

impl Mapped {
    /// Its first `count` values; the buffer can be used again.
    pub(crate) async fn finish<T: Pod>(self, gpu: &Gpu, count: usize) -> Result<Vec<T>> {
        gpu.poll(self.index)?;
        self.result.await.map_err(Error::device)?.map_err(Error::device)?;
        let bytes = (count * size_of::<T>()) as u64;
        let view = self.staging.get_mapped_range(..bytes).map_err(Error::device)?;
        let values = bytemuck::pod_collect_to_vec(&view[..]);
        drop(view);
        self.staging.unmap();
        Ok(values)
    }
}

/// Without a scope around it, what the device refuses ends the program.
async fn guarded<T>(device: &wgpu::Device, make: impl FnOnce() -> T) -> Result<T> {
    let filters = [
        wgpu::ErrorFilter::Internal,
        wgpu::ErrorFilter::OutOfMemory,
        wgpu::ErrorFilter::Validation,
    ];
    let scopes = filters.map(|filter| device.push_error_scope(filter));
    let made = make();
    // The last one opened is the first to close.
    let errors: Vec<_> = scopes.into_iter().rev().map(wgpu::ErrorScopeGuard::pop).collect();
    for error in errors {
        if let Some(error) = error.await {
            return Err(Error::device(error));
        }
    }
    Ok(made)
}

impl Pipelines {
    fn new(device: &wgpu::Device) -> Self {
        let module = |source: &'static str| {
            device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: None,
                source: wgpu::ShaderSource::Wgsl(source.into()),
            })
        };
        let pipeline = |module: &wgpu::ShaderModule, entry: &'static str| {
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(entry),
                layout: None,
                module,
                entry_point: Some(entry),
                compilation_options: Default::default(),
                cache: None,
            })
        };
        Self {
            products: pipeline(&module(PRODUCTS), "products"),
            choose: pipeline(&module(SELECT), "choose"),
            tsne: TSNE.map(module).map(|module| TsnePipelines {
                repulsion: pipeline(&module, "repulsion"),
                gather: pipeline(&module, "gather"),
                sum_up: pipeline(&module, "sum_up"),
                advance: pipeline(&module, "advance"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use wgpu::naga::{
        AddressSpace,
        front::wgsl,
        proc::Layouter,
        valid::{Capabilities, ValidationFlags, Validator},
    };

    use super::*;

    #[test]
    fn shaders_are_valid_without_a_gpu() {
        let expected: [(&str, &[&str]); 4] = [
            (PRODUCTS, &["products"]),
            (SELECT, &["choose"]),
            (TSNE[0], &["repulsion", "gather", "sum_up", "advance"]),
            (TSNE[1], &["repulsion", "gather", "sum_up", "advance"]),
        ];
        for (source, entries) in expected {
            let module = wgsl::parse_str(source).unwrap_or_else(|error| panic!("{}", error.emit_to_string(source)));
            let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
                .validate(&module)
                .unwrap_or_else(|error| panic!("{}", error.emit_to_string(source)));
            let mut layouts = Layouter::default();
            layouts.update(module.to_ctx()).unwrap();
            let found: Vec<_> = module.entry_points.iter().map(|entry| entry.name.as_str()).collect();
            assert_eq!(found, entries);
            for (index, entry) in entries.iter().enumerate() {
                // What `Gpu::new` asks of a device.
                let (mut storage, mut shared) = (0, 0);
                for (handle, variable) in module.global_variables.iter() {
                    match variable.space {
                        _ if info.get_entry_point(index)[handle].is_empty() => {}
                        AddressSpace::Storage { .. } => storage += 1,
                        AddressSpace::WorkGroup => shared += layouts[variable.ty].size.next_multiple_of(16),
                        _ => {}
                    }
                }
                assert!(storage <= 6, "{entry}: {storage} storage buffers");
                assert!(shared <= WORKGROUP_BYTES, "{entry}: {shared} bytes of workgroup memory");
            }
        }
    }
}
