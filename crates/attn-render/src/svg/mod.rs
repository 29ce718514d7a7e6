//! Scenes as vector graphics (SVG 1.1 with `href`), for papers and for further editing.
//!
//! Primitives keep their kind: text is text, points are circles and squares, curves are Bézier curves, images are
//! embedded as PNG, panels clip their content. Lengths are layout units. Everything is placed through the [`Projection`]
//! that the renderer uses, so that both show the same. Only the snapping of rectangles to whole pixels and the least
//! width of lines are left to the program that rasterizes the file.

mod markup;
mod shapes;

use std::{collections::HashMap, fmt::Write as _, path::Path, sync::Arc};

use self::markup::{Markup, base64};
use crate::{
    Error, Image, Scene, ViewState,
    files::write_whole,
    geometry::Rect,
    labels::{PlacedLabel, place_labels},
    projection::Projection,
    rows,
    sample::hash,
    scene::{Block, Patches, Point},
    text::{FAMILY, RIM},
};

/// Options of an SVG file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SvgOptions {
    /// Limit on the number of points; default 20,000, because editors fail to open larger files. A fixed hash chooses
    /// them, so that all parts of all clouds are thinned evenly. The file says how many are drawn.
    pub max_points: usize,
    /// Names of font families for characters that the bundled fonts lack: `Noto Sans CJK JP`. Text stays text, so the
    /// program that shows the file must have them; without names, the default, it chooses its own. Widths stay those of
    /// the layout.
    pub families: Vec<String>,
}

impl Default for SvgOptions {
    fn default() -> Self {
        Self {
            max_points: 20_000,
            families: Vec::new(),
        }
    }
}

/// The scene as an SVG document, its layout unit as the unit of length.
///
/// The theme is that of the scene and the cameras are those of `view`, as for the renderer. Text is set in DejaVu Sans
/// where the reader has it, else in a sans-serif that is stretched to the same width, so that nothing overlaps.
///
/// # Errors
/// [`Error::Shape`] if the layout has no size, [`Error::Embed`] if an image cannot be encoded.
///
/// ```
/// use attn_render::{Color, scene::Label, Scene, SvgOptions, ViewState, svg};
///
/// let mut scene = Scene::new([120.0, 40.0], Color::hex(0xFFFFFF));
/// scene.layers[0].labels.push(Label::new(0, [8.0, 8.0], "a < b", 12.0, Color::hex(0x1C2127)));
/// let drawing = svg(&scene, &ViewState::default(), &SvgOptions::default())?;
/// assert!(drawing.starts_with("<svg") && drawing.contains(">a &lt; b</text>"));
/// # Ok::<(), attn_render::Error>(())
/// ```
pub fn svg(scene: &Scene, view: &ViewState, options: &SvgOptions) -> Result<String, Error> {
    svg_with_titles(scene, view, options, &|_, _, _| None)
}

/// What a drawing says of the point of an id in a panel.
pub(crate) type Titles<'a> = &'a dyn Fn(&Scene, usize, u32) -> Option<String>;

/// As [`svg`], with a title for points, which readers show beside the pointer.
pub(crate) fn svg_with_titles(
    scene: &Scene,
    view: &ViewState,
    options: &SvgOptions,
    titles: Titles<'_>,
) -> Result<String, Error> {
    if !scene.size.iter().all(|side| (1e-3..1e6).contains(side)) {
        return Err(Error::Shape {
            what: "size of the layout",
            expected: "more than 0 and less than 1,000,000 units a side".into(),
            found: format!("{} x {}", scene.size[0], scene.size[1]),
        });
    }
    let projection = Projection::new(scene, view, scene.size);
    let thinning = Thinning::new(scene, &projection, options.max_points);
    let mut drawing = Drawing {
        scene,
        projection: &projection,
        body: Markup::default(),
        defs: Markup::default(),
        clips: HashMap::new(),
        images: HashMap::new(),
    };
    let labels = place_labels(scene, &projection);
    let mut before = 0;
    for (layer, mut labels) in scene.drawn_layers().zip(labels) {
        for picture in layer.pictures.iter() {
            drawing.picture(picture)?;
        }
        drawing.blocks(&layer.blocks);
        for curve in layer.curves.iter() {
            drawing.in_panel(usize::from(curve.panel), |body, place| {
                shapes::curve(body, curve, place)
            });
        }
        for edge in layer.edges.iter() {
            drawing.in_panel(edge.panel as usize, |body, place| {
                let space = scene.panels[edge.panel as usize].axes == crate::scene::Axes::Space;
                shapes::edge(body, edge, place, space);
            });
        }
        for (index, point) in layer.points.iter().enumerate() {
            if thinning.keeps(before + index, point, &projection) {
                let patch = match &layer.patches {
                    Some(patches) if point.is_patch() => drawing.patch(patches, point.id)?,
                    _ => None,
                };
                let title = Some(point).filter(|point| point.is_pickable() && shapes::in_sight(point, &projection));
                let title = title
                    .and_then(|point| titles(scene, point.panel(), point.id))
                    .filter(|title| !title.is_empty());
                drawing.in_panel(point.panel(), |body, place| {
                    if let Some(title) = &title {
                        body.text.push_str("<g><title>");
                        body.escaped(title);
                        body.text.push_str("</title>");
                    }
                    let (panel, dimmed) = (&scene.panels[point.panel()], scene.dimmed_opacity());
                    match &patch {
                        Some(patch) => shapes::patch(body, point, patch, panel, place, dimmed),
                        None => shapes::point(body, point, panel, place, dimmed),
                    }
                    if title.is_some() {
                        body.text.push_str("</g>\n");
                    }
                });
            }
        }
        before += layer.points.len();
        let grounds = rows::lay_out(&layer.rows, &projection, &mut labels);
        drawing.blocks(&grounds);
        for label in &labels {
            drawing.label(label);
        }
    }
    drawing.body.close_group();
    Ok(drawing.finish(&thinning, &options.families))
}

/// Writes [`svg`] to a file, which appears complete or not at all.
///
/// # Errors
/// Those of [`svg`], and [`Error::Write`] if the file cannot be written.
pub fn write_svg(path: impl AsRef<Path>, scene: &Scene, view: &ViewState, options: &SvgOptions) -> Result<(), Error> {
    write_whole(path.as_ref(), svg(scene, view, options)?.as_bytes())
}

/// The name of a family as part of a list, without characters that would end the list or the attribute.
fn family(name: &str) -> String {
    let plain: String = name
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_.".contains(*c))
        .collect();
    format!("'{}', ", plain.trim())
}

struct Drawing<'a> {
    scene: &'a Scene,
    projection: &'a Projection,
    body: Markup,
    defs: Markup,
    /// Numbers of the clip paths, by the bits of their rectangles.
    clips: HashMap<[u32; 4], usize>,
    /// Numbers of the embedded images, by the address of their pixels.
    images: HashMap<*const Image, usize>,
}

impl Drawing<'_> {
    /// Draws into the group of a panel: clipped to it, with its title. Draws nothing for a panel that does not exist.
    fn in_panel(&mut self, panel: usize, draw: impl FnOnce(&mut Markup, &crate::projection::PanelPlace)) {
        let Some(place) = self.projection.panels.get(panel) else {
            return;
        };
        if place.clip.width() <= 0.0 || place.clip.height() <= 0.0 {
            return;
        }
        let clip = self.clip(place.clip);
        let title = &self.scene.panels[panel].title;
        self.body.group(clip, title);
        draw(&mut self.body, place);
    }

    /// The number of a clip path; `None` if it is the whole page.
    fn clip(&mut self, rect: Rect) -> Option<usize> {
        let page = Rect::new(0.0, 0.0, self.scene.size[0], self.scene.size[1]);
        if rect.intersect(&page) == page {
            return None;
        }
        let bits = [rect.min[0], rect.min[1], rect.max[0], rect.max[1]].map(f32::to_bits);
        let next = self.clips.len();
        Some(*self.clips.entry(bits).or_insert_with(|| {
            let _ = write!(self.defs.text, "<clipPath id=\"c{next}\"><rect");
            self.defs.rect(rect);
            self.defs.text.push_str("/></clipPath>\n");
            next
        }))
    }

    fn blocks(&mut self, blocks: &[Block]) {
        for block in blocks {
            self.in_panel(block.panel as usize, |body, place| shapes::block(body, block, place));
        }
    }

    fn picture(&mut self, picture: &crate::scene::Picture) -> Result<(), Error> {
        let number = self.image(&picture.image, picture.smooth)?;
        self.in_panel(usize::from(picture.panel), |body, place| {
            shapes::picture(body, picture.rect, number, place);
        });
        Ok(())
    }

    /// The part of the sheet that a point is drawn as, if it has one.
    fn patch(&mut self, patches: &Patches, id: u32) -> Result<Option<shapes::Patch>, Error> {
        let Some(part) = patches.part(id) else {
            return Ok(None);
        };
        Ok(Some(shapes::Patch {
            number: self.image(&patches.sheet, true)?,
            sheet: [patches.sheet.width(), patches.sheet.height()],
            part,
            style: patches.style,
        }))
    }

    /// The number of an image, which is written once.
    fn image(&mut self, image: &Arc<Image>, smooth: bool) -> Result<usize, Error> {
        if let Some(number) = self.images.get(&Arc::as_ptr(image)) {
            return Ok(*number);
        }
        let next = self.images.len();
        let bytes = image.png_bytes()?;
        let crisp = if smooth {
            ""
        } else {
            " style=\"image-rendering:pixelated\""
        };
        // One unit a side; each use stretches it to its place.
        let _ = writeln!(
            self.defs.text,
            "<image id=\"i{next}\" width=\"1\" height=\"1\" preserveAspectRatio=\"none\"{crisp} \
             href=\"data:image/png;base64,{}\"/>",
            base64(&bytes)
        );
        self.images.insert(Arc::as_ptr(image), next);
        Ok(next)
    }

    fn label(&mut self, label: &PlacedLabel) {
        if !label.rect.min.iter().chain(&label.rect.max).all(|v| v.is_finite()) {
            return;
        }
        let inside = label.clip.intersect(&label.rect) == label.rect;
        // Most text lies inside its panel and needs no clip path.
        let clip = if inside { None } else { self.clip(label.clip) };
        self.body.group(clip, "");
        let size = label.size * label.scale;
        self.body.text.push_str("<text");
        self.body.number("x", label.rect.min[0]);
        self.body.number("y", label.rect.min[1] + BASELINE * size);
        self.body.number("font-size", size);
        self.body.number("textLength", label.rect.width());
        if label.bold {
            self.body.text.push_str(" font-weight=\"bold\"");
        }
        self.body.color("fill", label.color);
        if let Some(halo) = label.halo {
            self.body.color("stroke", halo);
            self.body.number("stroke-width", 2.0 * RIM * size);
            self.body
                .text
                .push_str(" stroke-linejoin=\"round\" paint-order=\"stroke\"");
        }
        self.body.text.push('>');
        self.body.escaped(&label.text);
        self.body.text.push_str("</text>\n");
    }

    fn finish(self, thinning: &Thinning, families: &[String]) -> String {
        let mut out = Markup::default();
        let families: String = families.iter().map(|name| family(name)).collect();
        let [width, height] = self.scene.size;
        out.text.push_str("<svg xmlns=\"http://www.w3.org/2000/svg\"");
        out.number("width", width);
        out.number("height", height);
        out.text.push_str(" viewBox=\"0 0 ");
        out.plain(width);
        out.text.push(' ');
        out.plain(height);
        let _ = writeln!(
            out.text,
            "\" font-family=\"{FAMILY}, {families}Verdana, sans-serif\" xml:space=\"preserve\">"
        );
        if let Some(note) = thinning.note() {
            let _ = writeln!(out.text, "<desc>{note}</desc>");
        }
        if !self.defs.text.is_empty() {
            let _ = writeln!(out.text, "<defs>\n{}</defs>", self.defs.text);
        }
        if self.scene.background.0[3] > 0 {
            out.text.push_str("<rect width=\"100%\" height=\"100%\"");
            out.color("fill", self.scene.background);
            out.text.push_str("/>\n");
        }
        out.text.push_str(&self.body.text);
        if let Some(note) = thinning.note() {
            // In the margin under the caption, where a reader of the page sees it.
            out.text.push_str("<text");
            out.number("x", width - NOTE);
            out.number("y", height - NOTE);
            out.number("font-size", NOTE.min(0.08 * height));
            out.text.push_str(" text-anchor=\"end\"");
            let ink = if self.scene.background.luminance() < 0.2 {
                0xB8BEC6
            } else {
                0x5F666E
            };
            out.color("fill", crate::Color::hex(ink));
            let _ = writeln!(out.text, ">{note}</text>");
        }
        out.text.push_str("</svg>\n");
        out.text
    }
}

/// Size of the note on points that are not drawn, and its distance from the corner.
const NOTE: f32 = 8.0;

/// From the top of a line of text to its baseline, in font sizes: DejaVu Sans rises 0.928 and falls 0.236, and the
/// renderer centers that in a line of 1.25.
const BASELINE: f32 = 0.5 * (crate::text::LINE - 0.928 - 0.236) + 0.928;

/// Whether a point may be left out: those of a legend, of a guest or of another mark may not, nor may highlighted ones, which
/// are those that are not dimmed where others are.
fn may_go(point: &Point, highlights: bool) -> bool {
    point.is_pickable() && (point.is_dimmed() || !highlights)
}

/// Which points are drawn.
struct Thinning {
    /// Whether some points are dimmed, so that the others are highlighted.
    highlights: bool,
    /// Bound on the hash of the drawn points; `None` for all.
    below: Option<u64>,
    drawn: usize,
    visible: usize,
}

impl Thinning {
    fn new(scene: &Scene, projection: &Projection, most: usize) -> Self {
        let points = || scene.drawn_layers().flat_map(|layer| layer.points.iter()).enumerate();
        let highlights = points().any(|(_, point)| point.is_dimmed());
        let all = |count| Self {
            highlights,
            below: None,
            drawn: count,
            visible: count,
        };
        let total = points().count();
        if total <= most {
            return all(total);
        }
        let mut kept = 0;
        let mut hashes: Vec<u64> = Vec::with_capacity(total);
        for (index, point) in points().filter(|(_, point)| shapes::in_sight(point, projection)) {
            if may_go(point, highlights) {
                hashes.push(hash(index));
            } else {
                kept += 1;
            }
        }
        // Marks are few; what must stay takes the room of what may go.
        let room = most.saturating_sub(kept);
        if hashes.len() <= room {
            return all(hashes.len() + kept);
        }
        let count = hashes.len();
        let below = match room {
            0 => 0,
            _ => *hashes.select_nth_unstable(room).1,
        };
        Self {
            highlights,
            below: Some(below),
            drawn: room,
            visible: count,
        }
    }

    fn keeps(&self, index: usize, point: &Point, projection: &Projection) -> bool {
        self.below.is_none_or(|below| {
            shapes::in_sight(point, projection) && (!may_go(point, self.highlights) || hash(index) < below)
        })
    }

    fn note(&self) -> Option<String> {
        let (drawn, visible) = (self.drawn, self.visible);
        self.below.map(|_| {
            format!("{drawn} of {visible} points are drawn, chosen evenly; legend, marks and highlights are whole.")
        })
    }
}
