//! Host 2 of 4: a texture of the host's own, as a game or a plotting program has it. The host owns device, queue, texture and render
//! pass; it clears to a color of its own, draws the scene into a part of the texture, and does with it what it likes: here,
//! it reads it back and writes `out/embed-texture.png`.
//!
//! The renderer draws at the left top of its target, so a scene for a part of something larger gets a texture of its own, which the
//! host copies or samples; here the host copies.

mod embed;

use std::{error::Error, fs, sync::mpsc};

use attn_sdk::render::{Image, Plot, Renderer, wgpu};
use clap::Parser;

/// The host's picture, and where in it the scene goes.
const WHOLE: [u32; 2] = [1024, 640];
const PART: [u32; 2] = [832, 576];
const AT: [u32; 2] = [160, 32];
const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

fn main() -> Result<(), Box<dyn Error>> {
    let options = embed::Options::parse();
    let study = embed::study()?;
    let view = options.open(options.view())?;

    // The host's own device, whatever it was made for.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        required_features: adapter.features() & Renderer::WISHES,
        ..Default::default()
    }))?;
    let (whole, part) = (texture(&device, WHOLE), texture(&device, PART));

    // The scene, in one pass of the host's frame. A renderer is kept between frames: it uploads what changed.
    let mut renderer = Renderer::new(&device, &queue, FORMAT)?;
    let scene = study.scene(&view, PART.map(|side| side as f32))?;
    let mut encoder = device.create_command_encoder(&Default::default());
    renderer.prepare(&device, &queue, &mut encoder, &scene, &view, PART)?;
    let mut scene_pass = pass(&mut encoder, &part, renderer.clear_color(&scene));
    renderer.paint(&mut scene_pass)?;
    drop(scene_pass);

    // The host's picture around it.
    let blue = wgpu::Color {
        r: 0.10,
        g: 0.22,
        b: 0.36,
        a: 1.0,
    };
    drop(pass(&mut encoder, &whole, blue));
    let mut place = whole.as_image_copy();
    (place.origin.x, place.origin.y) = (AT[0], AT[1]);
    encoder.copy_texture_to_texture(part.as_image_copy(), place, part.size());
    let rgba = read(&device, &queue, encoder, &whole)?;
    fs::create_dir_all("out")?;
    Image::new(WHOLE[0], WHOLE[1], rgba)?.write_png("out/embed-texture.png")?;
    options.save(&view)
}

fn texture(device: &wgpu::Device, [width, height]: [u32; 2]) -> wgpu::Texture {
    device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d {
            width,
            height,
            depth_or_array_layers: 1,
        },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: FORMAT,
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC | wgpu::TextureUsages::COPY_DST,
        view_formats: &[],
    })
}

fn pass(encoder: &mut wgpu::CommandEncoder, texture: &wgpu::Texture, clear: wgpu::Color) -> wgpu::RenderPass<'static> {
    let view = texture.create_view(&Default::default());
    let pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
        label: None,
        color_attachments: &[Some(wgpu::RenderPassColorAttachment {
            view: &view,
            depth_slice: None,
            resolve_target: None,
            ops: wgpu::Operations {
                load: wgpu::LoadOp::Clear(clear),
                store: wgpu::StoreOp::Store,
            },
        })],
        depth_stencil_attachment: None,
        timestamp_writes: None,
        occlusion_query_set: None,
        multiview_mask: None,
    });
    pass.forget_lifetime()
}

/// Submits, waits, and returns the texture's pixels. Its rows of 4,096 bytes need no padding.
fn read(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    mut encoder: wgpu::CommandEncoder,
    texture: &wgpu::Texture,
) -> Result<Vec<u8>, Box<dyn Error>> {
    let bytes_per_row = 4 * WHOLE[0];
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: u64::from(bytes_per_row * WHOLE[1]),
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let layout = wgpu::TexelCopyBufferLayout {
        offset: 0,
        bytes_per_row: Some(bytes_per_row),
        rows_per_image: None,
    };
    let target = wgpu::TexelCopyBufferInfo {
        buffer: &buffer,
        layout,
    };
    encoder.copy_texture_to_buffer(texture.as_image_copy(), target, texture.size());
    queue.submit([encoder.finish()]);
    let (sender, receiver) = mpsc::channel();
    buffer.map_async(wgpu::MapMode::Read, .., move |result| drop(sender.send(result)));
    device.poll(wgpu::PollType::wait_indefinitely())?;
    receiver.recv()??;
    let bytes = buffer.get_mapped_range(..).map_err(|error| error.to_string())?.to_vec();
    Ok(bytes)
}
