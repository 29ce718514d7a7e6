//! The size of text, without what draws it.
//!
//! Text is measured in the bundled DejaVu Sans (regular and bold), so that plots have the same layout on every machine. It
//! covers Latin, Greek, Cyrillic, Arabic, mathematics and much else. Chinese, Japanese, Korean and pictographs need a font
//! of the host's or the system's; their widths are known without one.

use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock, PoisonError},
};

use harfrust::{ShaperData, UnicodeBuffer};
use skrifa::{
    FontRef, MetadataProvider as _,
    charmap::Charmap,
    instance::{LocationRef, Size},
    metrics::GlyphMetrics,
};

/// Height of a line of text, as a multiple of the font size.
pub(crate) const LINE: f32 = 1.25;
/// Width of the rim around text, as a fraction of the font size.
#[cfg(any(feature = "svg", feature = "wgpu"))]
pub(crate) const RIM: f32 = 0.14;
/// The family of the bundled fonts.
#[cfg(any(feature = "svg", feature = "wgpu"))]
pub(crate) const FAMILY: &str = "DejaVu Sans";

/// The font files, regular and bold.
pub(crate) fn bundled() -> [&'static [u8]; 2] {
    [dejavu::sans::regular(), dejavu::sans::bold()]
}

/// Width of one line of text in the bundled fonts, in the unit of `size`. Letters that join and marks that combine are
/// measured as they are drawn, shaped; kerning and ligatures of letters that stand alone are not counted.
///
/// Characters that the bundled fonts lack count as other fonts draw them: one size for Chinese, Japanese and Korean, 1.25
/// for pictographs, nothing for marks that combine. A renderer draws text of added fonts at most so wide.
///
/// ```
/// let (narrow, wide) = (attn_render::text::text_width("ill", 10.0, false), attn_render::text::text_width("mmm", 10.0, false));
/// assert!(narrow < wide);
/// assert_eq!(attn_render::text::text_width("mm", 20.0, true), 4.0 * attn_render::text::text_width("m", 10.0, true));
/// ```
pub fn text_width(text: &str, size: f32, bold: bool) -> f32 {
    match faces().get(usize::from(bold)) {
        Some(face) if text.chars().any(is_shaped) => face.shaped(text) * size,
        Some(face) => text.chars().map(|c| face.advance(c)).sum::<f32>() * size,
        None => 0.6 * size * text.chars().count() as f32,
    }
}

/// Whether the width of a character depends on its neighbors: letters that join, marks, joiners.
fn is_shaped(c: char) -> bool {
    joins(c) || is_mark(c)
}

/// Letters of scripts that are written joined, with their marks, and joiners.
fn joins(c: char) -> bool {
    matches!(u32::from(c), 0x0600..=0x08FF | 0x200C..=0x200D | 0xFB50..=0xFDFF | 0xFE70..=0xFEFC)
}

/// Marks of other scripts, which stand on the character before them.
fn is_mark(c: char) -> bool {
    matches!(
        u32::from(c),
        0x0300..=0x036F | 0x0483..=0x0489 | 0x0591..=0x05BD | 0x05BF..=0x05C7 | 0x0EB1 | 0x0EB4..=0x0EBC
            | 0x0EC8..=0x0ECD | 0x1AB0..=0x1AFF | 0x1DC0..=0x1DFF | 0x20D0..=0x20F0 | 0xFE20..=0xFE2F
    )
}

/// Widths of shaped pieces of text, in font sizes, by face: a plot asks for the same ones in every frame.
type Widths = Mutex<HashMap<Box<str>, f32>>;

/// Pieces that are kept; with more, all are forgotten.
const KEPT_WIDTHS: usize = 1 << 16;

/// A font, with the widths of the characters that are measured most.
struct Face {
    font: FontRef<'static>,
    glyphs: Charmap<'static>,
    /// In units of the font.
    metrics: GlyphMetrics<'static>,
    units_per_em: f32,
    shaping: ShaperData,
    ascii: [f32; 128],
    widths: Widths,
}

impl Face {
    fn new(bytes: &'static [u8]) -> Option<Self> {
        let font = FontRef::new(bytes).ok()?;
        let mut face = Self {
            glyphs: font.charmap(),
            metrics: font.glyph_metrics(Size::unscaled(), LocationRef::default()),
            units_per_em: f32::from(
                font.metrics(Size::unscaled(), LocationRef::default())
                    .units_per_em
                    .max(1),
            ),
            shaping: ShaperData::new(&font),
            font,
            ascii: [0.0; 128],
            widths: Widths::default(),
        };
        face.ascii = std::array::from_fn(|c| char::from_u32(c as u32).map_or(0.0, |c| face.measure(c)));
        Some(face)
    }

    /// Width of text of which some must be shaped, in font sizes.
    fn shaped(&self, text: &str) -> f32 {
        // Letters that join, with the marks and joiners of their script, or others, each with its marks.
        let chars: Vec<(usize, char)> = text.char_indices().collect();
        let pieces = chars.chunk_by(|(_, a), (_, b)| is_mark(*b) || (!is_mark(*a) && joins(*a) == joins(*b)));
        pieces
            .map(|piece| {
                let (start, end) = (piece[0].0, piece[piece.len() - 1]);
                let piece = &text[start..end.0 + end.1.len_utf8()];
                let known = |c: char| matches!(c, '\u{200C}'..='\u{200D}') || self.glyphs.map(c).is_some();
                match piece.chars().any(is_shaped) && piece.chars().all(known) {
                    true => self.shape(piece),
                    false => piece.chars().map(|c| self.advance(c)).sum(),
                }
            })
            .sum()
    }

    /// Width of a piece as it is drawn, in font sizes.
    fn shape(&self, piece: &str) -> f32 {
        let mut widths = self.widths.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(width) = widths.get(piece) {
            return *width;
        }
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(piece);
        buffer.guess_segment_properties();
        let glyphs = self.shaping.shaper(&self.font).build().shape(buffer, &[]);
        let units: i32 = glyphs.glyph_positions().iter().map(|glyph| glyph.x_advance).sum();
        let width = units as f32 / self.units_per_em;
        if widths.len() >= KEPT_WIDTHS {
            widths.clear();
        }
        widths.insert(piece.into(), width);
        width
    }

    /// Width of a character, in font sizes.
    fn advance(&self, c: char) -> f32 {
        self.ascii.get(c as usize).copied().unwrap_or_else(|| self.measure(c))
    }

    fn measure(&self, c: char) -> f32 {
        let glyph = self.glyphs.map(c).unwrap_or_default();
        match (glyph.to_u32(), estimated(c)) {
            (0, Some(width)) => width,
            _ => self.metrics.advance_width(glyph).unwrap_or(0.0) / self.units_per_em,
        }
    }
}

/// Width in font sizes of a character that the bundled fonts lack, where its block tells.
fn estimated(c: char) -> Option<f32> {
    match u32::from(c) {
        // Joiners, variation selectors, skin tones, and marks of the scripts of India that stand above or below.
        0x200B..=0x200F | 0xFE00..=0xFE0F | 0x1F3FB..=0x1F3FF | 0xE0000..=0xE01EF => Some(0.0),
        0x0300..=0x036F | 0x0901..=0x0902 | 0x093C | 0x0941..=0x0948 | 0x094D => Some(0.0),
        0x1AB0..=0x1AFF | 0x1DC0..=0x1DFF | 0x20D0..=0x20F0 | 0xFE20..=0xFE2F => Some(0.0),
        // Hangul jamo, radicals to ideographs, Hangul syllables, compatibility forms, full width, the later planes.
        0x1100..=0x115F | 0x2E80..=0xA4CF | 0xA960..=0xA97F | 0xAC00..=0xD7FF => Some(1.0),
        0xF900..=0xFAFF | 0xFE30..=0xFE4F | 0xFF01..=0xFF60 | 0xFFE0..=0xFFE6 | 0x20000..=0x3FFFD => Some(1.0),
        0x1F000..=0x1FAFF => Some(1.25),
        _ => None,
    }
}

/// Regular and bold.
fn faces() -> &'static [Face] {
    static FACES: OnceLock<Vec<Face>> = OnceLock::new();
    FACES.get_or_init(|| bundled().into_iter().filter_map(Face::new).collect())
}

/// Breaks text between words into lines at most `width` wide; a single longer word stays whole.
pub(crate) fn wrap(text: &str, size: f32, width: f32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line)
                if text_width(line, size, false) + text_width(" ", size, false) + text_width(word, size, false)
                    <= width =>
            {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Cuts text that is wider than `width` and ends it with an ellipsis.
pub(crate) fn shorten(text: &str, size: f32, bold: bool, width: f32) -> String {
    if text_width(text, size, bold) <= width {
        return text.to_owned();
    }
    let chars: Vec<char> = text.chars().collect();
    let shortened = |kept: usize| chars[..kept].iter().chain(['…'].iter()).collect::<String>();
    let fits = |kept: usize| text_width(&shortened(kept), size, bold) <= width;
    // By halves: more letters are wider, but for some that join.
    let (mut kept, mut more) = (0, chars.len());
    while more - kept > 1 {
        let middle = kept + (more - kept) / 2;
        match fits(middle) {
            true => kept = middle,
            false => more = middle,
        }
    }
    shortened(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_faces_are_found_and_measured() {
        assert_eq!(faces().len(), 2);
        // DejaVu Sans: 2048 units per em, "H" 1540 regular and 1714 bold.
        assert!((text_width("H", 2048.0, false) - 1540.0).abs() < 0.5);
        assert!((text_width("H", 2048.0, true) - 1714.0).abs() < 0.5);
    }

    /// What draws text reads the same widths from the same files, character by character.
    #[test]
    #[cfg(feature = "wgpu")]
    fn widths_are_those_of_the_fonts_that_are_drawn() {
        use glyphon::{Weight, fontdb};
        let mut fonts = crate::renderer::bundled_fonts();
        for (weight, face) in [Weight::NORMAL, Weight::BOLD].into_iter().zip(faces()) {
            let families = &[fontdb::Family::SansSerif];
            let query = fontdb::Query {
                families,
                weight,
                ..Default::default()
            };
            let id = fonts.db().query(&query).unwrap();
            let font = fonts.get_font(id, weight).unwrap();
            let (metrics, glyphs) = (font.as_swash().glyph_metrics(&[]), font.as_swash().charmap());
            let mut known = 0;
            for c in (0..0x2_0000).filter_map(char::from_u32) {
                let glyph = glyphs.map(c);
                assert_eq!(
                    face.glyphs.map(c).unwrap_or_default().to_u32(),
                    u32::from(glyph),
                    "{c:?}"
                );
                if glyph != 0 {
                    assert_eq!(face.advance(c), metrics.advance_width(glyph) / 2048.0, "{c:?}");
                    known += 1;
                }
            }
            assert!(known > 5000);
        }
    }

    #[test]
    fn joined_letters_and_marks_are_shaped() {
        let width = |text: &str| text_width(text, 2048.0, false);
        // Lam and alef are one glyph; accents stand on their letter.
        assert!(width("لا") < 0.9 * (width("ل") + width("ا")));
        assert!(width("سلام") < width("س") + width("ل") + width("ا") + width("م"));
        assert_eq!(width("e\u{301}"), width("é"));
        assert_eq!(width("Z\u{327}\u{324}\u{301}"), width("Z"));
        // Parts of other scripts keep their own width.
        assert_eq!(width("سلام abc"), width("سلام") + width(" abc"));
        // Marks of a font that is not there take no place.
        assert_eq!(width("क\u{941}"), width("क"));
    }

    #[test]
    fn wrapped_lines_fit_and_lose_nothing() {
        let text = "each small plot is one attention head, queries and keys together";
        let lines = wrap(text, 10.0, 120.0);
        assert!(lines.len() > 2 && lines.iter().all(|line| text_width(line, 10.0, false) <= 120.0));
        assert_eq!(lines.join(" "), text);
        assert_eq!(wrap("incomprehensibilities", 10.0, 5.0), ["incomprehensibilities"]);
    }

    #[test]
    fn shortened_text_fits() {
        assert_eq!(shorten("short", 10.0, false, 100.0), "short");
        let cut = shorten("a rather long title of a picture", 10.0, true, 60.0);
        assert!(cut.ends_with('…') && text_width(&cut, 10.0, true) <= 60.0);
        assert_eq!(shorten("x", 10.0, false, 0.0), "…");
    }
}
