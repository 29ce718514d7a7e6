//! Images as textures, and their bindings.

use super::buffers::Uploads;
use crate::{Error, Image};

/// An image as a texture in the colors of the target.
pub(super) fn texture(
    image: &Image,
    target: wgpu::TextureFormat,
    uploads: &mut Uploads<'_>,
) -> Result<wgpu::TextureView, Error> {
    let (width, height) = (image.width(), image.height());
    let limit = uploads.device.limits().max_texture_dimension_2d;
    if width > limit || height > limit {
        return Err(Error::PictureSize {
            width: u64::from(width),
            height: u64::from(height),
            limit,
        });
    }
    let size = wgpu::Extent3d {
        width,
        height,
        depth_or_array_layers: 1,
    };
    let texture = uploads.device.create_texture(&wgpu::TextureDescriptor {
        label: Some("attn picture"),
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: if target.is_srgb() {
            wgpu::TextureFormat::Rgba8UnormSrgb
        } else {
            wgpu::TextureFormat::Rgba8Unorm
        },
        usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
        view_formats: &[],
    });
    let rows = wgpu::TexelCopyBufferLayout {
        offset: 0,
        bytes_per_row: Some(4 * width),
        rows_per_image: None,
    };
    uploads
        .queue
        .write_texture(texture.as_image_copy(), image.rgba(), rows, size);
    uploads.bytes += image.rgba().len() as u64;
    Ok(texture.create_view(&Default::default()))
}

/// The entries of a texture and its sampler.
pub(super) fn sampled<'a>(view: &'a wgpu::TextureView, sampler: &'a wgpu::Sampler) -> [wgpu::BindGroupEntry<'a>; 2] {
    [
        wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::TextureView(view),
        },
        wgpu::BindGroupEntry {
            binding: 1,
            resource: wgpu::BindingResource::Sampler(sampler),
        },
    ]
}
