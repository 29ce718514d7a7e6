//! Persistent buffers: only the changed parts of a [`Tracked`] vector are written again.

use bytemuck::Pod;

use crate::{Error, Tracked, tracked::CHUNK};

/// The device that a frame writes to, and the bytes that it wrote.
pub(crate) struct Uploads<'a> {
    pub(crate) device: &'a wgpu::Device,
    pub(crate) queue: &'a wgpu::Queue,
    pub(crate) encoder: &'a mut wgpu::CommandEncoder,
    /// Bytes written by this frame.
    pub(crate) bytes: u64,
}

impl Uploads<'_> {
    pub(crate) fn write(&mut self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.queue.write_buffer(buffer, offset, bytes);
            self.bytes += bytes.len() as u64;
        }
    }
}

/// A GPU buffer that follows a [`Tracked`] vector.
pub(crate) struct Mirror {
    what: &'static str,
    usage: wgpu::BufferUsages,
    buffer: Option<wgpu::Buffer>,
    stamps: Vec<u64>,
    len: usize,
}

impl Mirror {
    pub(crate) fn new(what: &'static str, usage: wgpu::BufferUsages) -> Self {
        Self {
            what,
            usage,
            buffer: None,
            stamps: Vec::new(),
            len: 0,
        }
    }

    /// The buffer and the number of elements in it, if there are any.
    pub(crate) fn drawn(&self) -> Option<(&wgpu::Buffer, u32)> {
        let count = u32::try_from(self.len).ok().filter(|count| *count > 0)?;
        Some((self.buffer.as_ref()?, count))
    }

    /// Writes the chunks whose stamp is new. A buffer that must grow keeps its content by a copy on the GPU.
    /// Returns whether the buffer was replaced.
    pub(crate) fn follow<T: Pod>(&mut self, items: &Tracked<T>, uploads: &mut Uploads<'_>) -> Result<bool, Error> {
        let mut replaced = false;
        let item = size_of::<T>();
        let needed = (items.len() * item) as u64;
        let known = match &self.buffer {
            Some(buffer) if buffer.size() >= needed => self.stamps.len(),
            old if needed > 0 => {
                let old = old.clone();
                let kept = self
                    .stamps
                    .iter()
                    .zip(items.stamps())
                    .take_while(|(a, b)| a == b)
                    .count();
                let grown = allocate(uploads.device, self.what, self.usage, needed, old.is_some())?;
                if let Some(old) = old {
                    let bytes = (kept * CHUNK).min(self.len) * item;
                    if bytes > 0 {
                        uploads.encoder.copy_buffer_to_buffer(&old, 0, &grown, 0, bytes as u64);
                    }
                }
                self.buffer = Some(grown);
                replaced = true;
                kept
            }
            _ => 0,
        };
        if let Some(buffer) = &self.buffer {
            let stale = |chunk: usize| chunk >= known || self.stamps.get(chunk) != items.stamps().get(chunk);
            let chunks = items.stamps().len();
            let mut chunk = 0;
            while chunk < chunks {
                let end = (chunk..chunks).find(|c| !stale(*c)).unwrap_or(chunks);
                if end > chunk {
                    let part = &items[chunk * CHUNK..(end * CHUNK).min(items.len())];
                    uploads.write(buffer, (chunk * CHUNK * item) as u64, bytemuck::cast_slice(part));
                }
                chunk = end.max(chunk) + 1;
            }
        }
        self.stamps = items.stamps().to_vec();
        self.len = items.len();
        Ok(replaced)
    }
}

/// A buffer of at least `needed` bytes; half more if it `grows`.
pub(crate) fn allocate(
    device: &wgpu::Device,
    what: &'static str,
    usage: wgpu::BufferUsages,
    needed: u64,
    grows: bool,
) -> Result<wgpu::Buffer, Error> {
    let limits = device.limits();
    let storage = usage.contains(wgpu::BufferUsages::STORAGE);
    let limit = if storage {
        limits.max_storage_buffer_binding_size
    } else {
        u64::MAX
    }
    .min(limits.max_buffer_size);
    if needed > limit {
        return Err(Error::BufferSize { what, needed, limit });
    }
    let wanted = if grows { needed + needed / 2 } else { needed };
    Ok(device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(what),
        size: wanted.next_multiple_of(16).clamp(16, limit.max(16)),
        usage: usage | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    }))
}

/// A GPU buffer that is rewritten when its content changes. It only grows.
pub(crate) struct Slab {
    what: &'static str,
    usage: wgpu::BufferUsages,
    pub(crate) buffer: Option<wgpu::Buffer>,
    pub(crate) len: u32,
}

impl Slab {
    pub(crate) fn new(what: &'static str, usage: wgpu::BufferUsages) -> Self {
        Self {
            what,
            usage,
            buffer: None,
            len: 0,
        }
    }

    /// Replaces the content. Returns whether the buffer was replaced.
    pub(crate) fn write<T: Pod>(&mut self, items: &[T], uploads: &mut Uploads<'_>) -> Result<bool, Error> {
        let bytes: &[u8] = bytemuck::cast_slice(items);
        let mut replaced = false;
        if self
            .buffer
            .as_ref()
            .is_none_or(|buffer| buffer.size() < bytes.len() as u64)
        {
            let grows = self.buffer.is_some();
            self.buffer = Some(allocate(
                uploads.device,
                self.what,
                self.usage,
                bytes.len() as u64,
                grows,
            )?);
            replaced = true;
        }
        if let Some(buffer) = &self.buffer {
            uploads.write(buffer, 0, bytes);
        }
        let too_many = Error::BufferSize {
            what: self.what,
            needed: bytes.len() as u64,
            limit: u64::from(u32::MAX),
        };
        self.len = u32::try_from(items.len()).map_err(|_| too_many)?;
        Ok(replaced)
    }
}
