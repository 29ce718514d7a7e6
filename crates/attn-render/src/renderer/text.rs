//! Text on the GPU, by glyphon: shaped once, drawn at any scale, with a rim of another color.
//!
//! Only the bundled fonts are used unless a host adds others, so that images are the same on every machine.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use glyphon::{
    Attrs, Buffer, Cache, ColorMode, FontSystem, Metrics, Resolution, Shaping, SwashCache, TextArea, TextAtlas,
    TextBounds, TextRenderer, Viewport, Weight, Wrap, fontdb,
};

use super::system;
use crate::{
    Color, Error,
    labels::PlacedLabel,
    text::{FAMILY, LINE, RIM, bundled, text_width},
};

type Key = (Arc<str>, u32, bool);

struct Shaped {
    buffer: Buffer,
    /// How wide it is drawn, in layout units.
    width: f32,
    /// Factor that makes it fit into its measured width: added fonts may be wider than estimated, and labels must not
    /// overlap.
    fit: f32,
    /// The last frame that drew it.
    used: u64,
}

pub(crate) struct TextPainter {
    fonts: FontSystem,
    swash: SwashCache,
    glyphs: Glyphs,
    shaped: HashMap<Key, Shaped>,
    /// Characters that no font has, among all that was drawn.
    missing: BTreeSet<char>,
    /// Characters that were looked for in the fonts of the system.
    looked_up: BTreeSet<char>,
    frame: u64,
}

/// What the device holds of the text.
struct Glyphs {
    viewport: Viewport,
    atlas: TextAtlas,
    /// One per layer.
    layers: Vec<TextRenderer>,
}

/// Shaped text is forgotten when so many frames have not drawn it.
const KEPT_FRAMES: u64 = 120;

/// A font system that holds the bundled fonts and nothing of the machine.
pub(crate) fn bundled_fonts() -> FontSystem {
    let mut db = fontdb::Database::new();
    for bytes in bundled() {
        db.load_font_source(fontdb::Source::Binary(Arc::new(bytes)));
    }
    db.set_sans_serif_family(FAMILY);
    FontSystem::new_with_locale_and_db("en-US".to_owned(), db)
}

impl Glyphs {
    fn new(device: &wgpu::Device, queue: &wgpu::Queue, target: wgpu::TextureFormat) -> Self {
        let cache = Cache::new(device);
        let mode = if target.is_srgb() {
            ColorMode::Accurate
        } else {
            ColorMode::Web
        };
        Self {
            viewport: Viewport::new(device, &cache),
            atlas: TextAtlas::with_color_mode(device, queue, &cache, target, mode),
            layers: Vec::new(),
        }
    }
}

impl TextPainter {
    pub(crate) fn new(device: &wgpu::Device, queue: &wgpu::Queue, target: wgpu::TextureFormat) -> Self {
        Self {
            fonts: bundled_fonts(),
            swash: SwashCache::new(),
            glyphs: Glyphs::new(device, queue, target),
            shaped: HashMap::new(),
            missing: BTreeSet::new(),
            looked_up: BTreeSet::new(),
            frame: 0,
        }
    }

    /// Gives up what the device holds; fonts and shaped text stay.
    pub(crate) fn reset(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, target: wgpu::TextureFormat) {
        self.glyphs = Glyphs::new(device, queue, target);
    }

    pub(crate) fn add_font(&mut self, bytes: Vec<u8>) {
        self.fonts.db_mut().load_font_data(bytes);
        self.shaped.clear();
        self.missing.clear();
    }

    pub(crate) fn add_system_fonts(&mut self) {
        self.fonts.db_mut().load_system_fonts();
        self.fonts.db_mut().set_sans_serif_family(FAMILY);
        self.shaped.clear();
        self.missing.clear();
    }

    /// Adds fonts of the system with characters that are missing; returns whether there are any.
    pub(crate) fn add_missing_fonts(&mut self) -> bool {
        let new: BTreeSet<char> = self.missing.difference(&self.looked_up).copied().collect();
        if new.is_empty() {
            return false;
        }
        self.looked_up.extend(&new);
        let found = system::add(self.fonts.db_mut(), &new);
        if found {
            self.shaped.clear();
            self.missing.clear();
        }
        found
    }

    /// Characters that were drawn as boxes, since the last font was added.
    pub(crate) fn missing(&self) -> &BTreeSet<char> {
        &self.missing
    }

    pub(crate) fn prepare(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        size: [u32; 2],
        layers: &[Vec<PlacedLabel>],
    ) -> Result<(), Error> {
        self.frame += 1;
        for label in layers.iter().flatten() {
            self.shape(label);
        }
        let Glyphs {
            viewport,
            atlas,
            layers: renderers,
        } = &mut self.glyphs;
        let [width, height] = size;
        viewport.update(queue, Resolution { width, height });
        // Glyphs of earlier frames may make room for those of this one.
        atlas.trim();
        while renderers.len() < layers.len() {
            renderers.push(TextRenderer::new(
                atlas,
                device,
                wgpu::MultisampleState::default(),
                None,
            ));
        }
        for (layer, renderer) in renderers.iter_mut().enumerate() {
            let labels = layers.get(layer).map_or(&[][..], Vec::as_slice);
            let areas = areas(labels, &self.shaped);
            let (fonts, swash) = (&mut self.fonts, &mut self.swash);
            renderer
                .prepare(device, queue, fonts, atlas, viewport, areas, swash)
                .map_err(|error| Error::Text(error.to_string()))?;
        }
        let frame = self.frame;
        self.shaped.retain(|_, shaped| shaped.used + KEPT_FRAMES > frame);
        Ok(())
    }

    pub(crate) fn paint(&self, layer: usize, pass: &mut wgpu::RenderPass<'_>) -> Result<(), Error> {
        let Glyphs {
            viewport,
            atlas,
            layers,
        } = &self.glyphs;
        match layers.get(layer) {
            Some(renderer) => renderer
                .render(atlas, viewport, pass)
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
            for run in buffer.layout_runs() {
                let boxes = run.glyphs.iter().filter(|glyph| glyph.glyph_id == 0);
                let texts = boxes.filter_map(|glyph| run.text.get(glyph.start..glyph.end));
                self.missing.extend(
                    texts
                        .flat_map(str::chars)
                        .filter(|c| !c.is_whitespace() && !c.is_control()),
                );
            }
            let drawn = buffer.layout_runs().map(|run| run.line_w).fold(0.0, f32::max);
            let measured = text_width(&label.text, label.size, label.bold);
            let fit = if drawn > measured + SLACK * label.size {
                measured / drawn
            } else {
                1.0
            };
            Shaped {
                buffer,
                width: fit * drawn,
                fit,
                used: 0,
            }
        });
        shaped.used = self.frame;
    }
}

/// Excess width, in font sizes, up to which text does not shrink: rounding and kerning stay below it.
const SLACK: f32 = 0.3;

/// The directions in which the rim is drawn.
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

/// What a layer draws: the rims of its labels, then their text.
fn areas<'a>(labels: &'a [PlacedLabel], shaped: &'a HashMap<Key, Shaped>) -> impl Iterator<Item = TextArea<'a>> {
    let rims = labels.iter().filter_map(|label| label.halo.map(|halo| (label, halo)));
    let rims = rims.flat_map(|(label, halo)| {
        AROUND.map(|direction| (label, halo, direction.map(|v| v * RIM * label.size * label.scale)))
    });
    let texts = labels.iter().map(|label| (label, label.color, [0.0; 2]));
    rims.chain(texts)
        .filter_map(|(label, color, shift)| Some(area(label, shaped.get(&key(label))?, color, shift)))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "float to integer saturates; targets are smaller than i32"
)]
fn area<'a>(label: &PlacedLabel, shaped: &'a Shaped, color: Color, shift: [f32; 2]) -> TextArea<'a> {
    let [r, g, b, a] = color.0;
    // What the measured box has left, or lacks.
    let align = if label.align.is_finite() {
        label.align.clamp(0.0, 1.0)
    } else {
        0.0
    };
    let rest = align * (label.rect.width() - label.scale * shaped.width);
    TextArea {
        buffer: &shaped.buffer,
        left: label.rect.min[0] + rest + shift[0],
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
