//! Text on the GPU, by glyphon: shaped once, drawn at any scale, with a rim of another colour.

use std::{collections::HashMap, sync::Arc};

use glyphon::{
    Attrs, Buffer, Cache, ColorMode, FontSystem, Metrics, Resolution, Shaping, SwashCache, TextArea, TextAtlas,
    TextBounds, TextRenderer, Viewport, Weight, Wrap,
};

use crate::{
    Color, Error, PlacedLabel,
    text::{FAMILY, LINE, RIM, bundled_fonts},
    text_width,
};

type Key = (Arc<str>, u32, bool);

struct Shaped {
    buffer: Buffer,
    /// By how much it must shrink to fit into the width that was measured for it: other fonts than the bundled ones may
    /// be wider than estimated, and labels must not overlap.
    fit: f32,
    /// The frame that last drew it.
    used: u64,
}

pub(crate) struct TextPainter {
    fonts: FontSystem,
    swash: SwashCache,
    viewport: Viewport,
    atlas: TextAtlas,
    /// One per layer.
    layers: Vec<TextRenderer>,
    shaped: HashMap<Key, Shaped>,
    frame: u64,
}

/// Shaped text that no frame drew for so long is forgotten.
const KEPT_FRAMES: u64 = 120;

impl TextPainter {
    pub(crate) fn new(device: &wgpu::Device, queue: &wgpu::Queue, target: wgpu::TextureFormat) -> Self {
        let cache = Cache::new(device);
        let mode = if target.is_srgb() {
            ColorMode::Accurate
        } else {
            ColorMode::Web
        };
        Self {
            fonts: bundled_fonts(),
            swash: SwashCache::new(),
            viewport: Viewport::new(device, &cache),
            atlas: TextAtlas::with_color_mode(device, queue, &cache, target, mode),
            layers: Vec::new(),
            shaped: HashMap::new(),
            frame: 0,
        }
    }

    pub(crate) fn add_font(&mut self, bytes: Vec<u8>) {
        self.fonts.db_mut().load_font_data(bytes);
        self.shaped.clear();
    }

    pub(crate) fn add_system_fonts(&mut self) {
        self.fonts.db_mut().load_system_fonts();
        self.fonts.db_mut().set_sans_serif_family(FAMILY);
        self.shaped.clear();
    }

    pub(crate) fn prepare(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        size: [u32; 2],
        layers: &[Vec<PlacedLabel>],
    ) -> Result<(), Error> {
        self.frame += 1;
        self.viewport.update(
            queue,
            Resolution {
                width: size[0],
                height: size[1],
            },
        );
        // Glyphs of earlier frames may make room for this one's.
        self.atlas.trim();
        for label in layers.iter().flatten() {
            self.shape(label);
        }
        while self.layers.len() < layers.len() {
            self.layers.push(TextRenderer::new(
                &mut self.atlas,
                device,
                wgpu::MultisampleState::default(),
                None,
            ));
        }
        for (layer, renderer) in self.layers.iter_mut().enumerate() {
            let labels = layers.get(layer).map_or(&[][..], Vec::as_slice);
            let rims = labels.iter().filter_map(|label| label.halo.map(|halo| (label, halo)));
            let rims = rims.flat_map(|(label, halo)| {
                AROUND.map(|way| (label, halo, way.map(|v| v * RIM * label.size * label.scale)))
            });
            let texts = labels.iter().map(|label| (label, label.color, [0.0; 2]));
            let shaped = &self.shaped;
            let areas = rims
                .chain(texts)
                .filter_map(|(label, color, shift)| Some(area(label, shaped.get(&key(label))?, color, shift)));
            renderer
                .prepare(
                    device,
                    queue,
                    &mut self.fonts,
                    &mut self.atlas,
                    &self.viewport,
                    areas,
                    &mut self.swash,
                )
                .map_err(|error| Error::Text(error.to_string()))?;
        }
        let frame = self.frame;
        self.shaped.retain(|_, shaped| shaped.used + KEPT_FRAMES > frame);
        Ok(())
    }

    pub(crate) fn paint(&self, layer: usize, pass: &mut wgpu::RenderPass<'_>) -> Result<(), Error> {
        match self.layers.get(layer) {
            Some(renderer) => renderer
                .render(&self.atlas, &self.viewport, pass)
                .map_err(|error| Error::Text(error.to_string())),
            None => Ok(()),
        }
    }

    fn shape(&mut self, label: &PlacedLabel) {
        let shaped = self.shaped.entry(key(label)).or_insert_with(|| {
            let mut buffer = Buffer::new(&mut self.fonts, Metrics::new(label.size, LINE * label.size));
            buffer.set_wrap(Wrap::None);
            let weight = if label.bold { Weight::BOLD } else { Weight::NORMAL };
            // The family is the database's sans-serif, which is the bundled one.
            buffer.set_text(&label.text, &Attrs::new().weight(weight), Shaping::Advanced, None);
            buffer.shape_until_scroll(&mut self.fonts, false);
            let drawn = buffer.layout_runs().map(|run| run.line_w).fold(0.0, f32::max);
            let measured = text_width(&label.text, label.size, label.bold);
            let fit = if drawn > measured + SLACK * label.size {
                measured / drawn
            } else {
                1.0
            };
            Shaped { buffer, fit, used: 0 }
        });
        shaped.used = self.frame;
    }
}

/// Text may be wider than measured by this share of its size before it shrinks: rounding and kerning are no reason.
const SLACK: f32 = 0.3;

/// Eight ways around.
const AROUND: [[f32; 2]; 8] = [
    [1.0, 0.0],
    [0.7, 0.7],
    [0.0, 1.0],
    [-0.7, 0.7],
    [-1.0, 0.0],
    [-0.7, -0.7],
    [0.0, -1.0],
    [0.7, -0.7],
];

fn key(label: &PlacedLabel) -> Key {
    (label.text.clone(), label.size.to_bits(), label.bold)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "float to integer saturates; targets are smaller than i32"
)]
fn area<'a>(label: &PlacedLabel, shaped: &'a Shaped, color: Color, shift: [f32; 2]) -> TextArea<'a> {
    let [r, g, b, a] = color.0;
    TextArea {
        buffer: &shaped.buffer,
        left: label.rect.min[0] + shift[0],
        top: label.rect.min[1] + shift[1] + 0.5 * (1.0 - shaped.fit) * label.rect.height(),
        scale: label.scale * shaped.fit,
        bounds: TextBounds {
            left: label.clip.min[0].floor() as i32,
            top: label.clip.min[1].floor() as i32,
            right: label.clip.max[0].ceil() as i32,
            bottom: label.clip.max[1].ceil() as i32,
        },
        default_color: glyphon::Color::rgba(r, g, b, a),
        custom_glyphs: &[],
    }
}
