//! Fonts of the system: which one draws a character that the bundled fonts lack.
//!
//! They are looked up at the first character that needs one, once a process. Only the fonts that are needed are opened: text
//! that no font has is not tried with every font of the machine.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

use glyphon::fontdb::{Database, FaceInfo, Stretch, Style, Weight};
use skrifa::{FontRef, MetadataProvider as _};

use crate::text::FAMILY;

/// A font of the system, in memory.
#[derive(Clone)]
#[non_exhaustive]
pub struct SystemFont {
    /// Its name: `NotoSansCJKjp-Regular`.
    pub name: String,
    /// The file: TrueType, OpenType or a collection.
    pub bytes: Arc<Vec<u8>>,
    /// Place of the font in a collection, from 0; 0 for a file of one font.
    pub index: u32,
}

impl SystemFont {
    /// An upright font of the system that has outlines for a character; `None` if there is none, as in browsers.
    ///
    /// For hosts whose own text is drawn by something else. Plots take what they lack by
    /// [`Renderer::add_missing_fonts`](crate::Renderer::add_missing_fonts). The first call reads which characters the fonts of
    /// the machine have: a fraction of a second.
    pub fn with(character: char) -> Option<Self> {
        let face = chosen(faces(), &[character].into(), true).pop()?;
        let bytes = database().with_face_data(face.info.id, |data, _| data.to_vec())?;
        Some(Self {
            name: face.info.post_script_name.clone(),
            bytes: Arc::new(bytes),
            index: face.info.index,
        })
    }
}

/// A font of the system with its characters.
struct Face {
    info: FaceInfo,
    /// First and last characters of runs, ascending.
    runs: Vec<[u32; 2]>,
    /// Whether glyphs are outlines, not pixels.
    outlined: bool,
}

impl Face {
    fn has(&self, character: char) -> bool {
        let character = u32::from(character);
        let after = self.runs.partition_point(|[first, _]| *first <= character);
        after > 0 && self.runs[after - 1][1] >= character
    }

    /// How much it is as the bundled fonts are: upright, of normal width and weight, without serifs.
    fn likeness(&self) -> (bool, bool, bool, u16, bool) {
        let heavier = self.info.weight.0.abs_diff(Weight::NORMAL.0);
        (
            self.info.style == Style::Normal,
            self.info.stretch == Stretch::Normal,
            !self.info.monospaced,
            u16::MAX - heavier,
            self.info.post_script_name.contains("Sans"),
        )
    }
}

fn database() -> &'static Database {
    static DATABASE: OnceLock<Database> = OnceLock::new();
    DATABASE.get_or_init(|| {
        let mut database = Database::new();
        database.load_system_fonts();
        database
    })
}

fn faces() -> &'static [Face] {
    static FACES: OnceLock<Vec<Face>> = OnceLock::new();
    FACES.get_or_init(|| {
        let database = database();
        let face = |info: &FaceInfo| {
            let (runs, outlined) = database.with_face_data(info.id, characters)??;
            Some(Face {
                info: info.clone(),
                runs,
                outlined,
            })
        };
        database.faces().filter_map(face).collect()
    })
}

/// The characters of a font file, and whether its glyphs are outlines; `None` for a file that cannot be read.
fn characters(data: &[u8], index: u32) -> Option<(Vec<[u32; 2]>, bool)> {
    let font = FontRef::from_index(data, index).ok()?;
    let known = font.charmap().mappings().filter(|(_, glyph)| glyph.to_u32() != 0);
    let mut known: Vec<u32> = known.map(|(character, _)| character).collect();
    known.sort_unstable();
    let mut runs: Vec<[u32; 2]> = Vec::new();
    for character in known {
        match runs.last_mut() {
            Some([_, last]) if character <= last.saturating_add(1) => *last = character,
            _ => runs.push([character; 2]),
        }
    }
    Some((runs, font.outline_glyphs().format().is_some()))
}

/// Few fonts that have all of the characters that any has: each is the one with most of those that are left.
fn chosen<'a>(faces: &'a [Face], characters: &BTreeSet<char>, outlined: bool) -> Vec<&'a Face> {
    let mut left = characters.clone();
    let mut chosen = Vec::new();
    let of_kind = |face: &&'a Face| !outlined || face.outlined;
    while !left.is_empty() {
        let count = |face: &Face| left.iter().filter(|c| face.has(**c)).count();
        let rank = |face: &&'a Face| (count(face), face.likeness());
        // The first of equals, whatever the order of files.
        let best = faces.iter().filter(of_kind).map(|face| (rank(&face), face));
        let best = best.max_by(|(a, face), (b, other)| {
            a.cmp(b)
                .then_with(|| other.info.post_script_name.cmp(&face.info.post_script_name))
        });
        let Some(((1.., _), face)) = best else { break };
        left.retain(|c| !face.has(*c));
        chosen.push(face);
    }
    chosen
}

/// Adds fonts of the system with these characters to a database; returns whether there are any.
pub(super) fn add(database: &mut Database, characters: &BTreeSet<char>) -> bool {
    let chosen = chosen(faces(), characters, false);
    for face in &chosen {
        let mut info = face.info.clone();
        // Another version of the bundled font must not draw what that one has.
        for (family, _) in info.families.iter_mut().filter(|(family, _)| family == FAMILY) {
            family.push_str(" of the system");
        }
        database.push_face_info(info);
    }
    !chosen.is_empty()
}

#[cfg(test)]
mod tests {
    use glyphon::fontdb::{ID, Source};

    use super::*;

    fn face(name: &str, runs: &[[u32; 2]], outlined: bool) -> Face {
        Face {
            info: FaceInfo {
                id: ID::dummy(),
                source: Source::Binary(Arc::new(Vec::new())),
                index: 0,
                families: Vec::new(),
                post_script_name: name.to_owned(),
                style: Style::Normal,
                weight: Weight::NORMAL,
                stretch: Stretch::Normal,
                monospaced: false,
            },
            runs: runs.to_vec(),
            outlined,
        }
    }

    fn names(faces: &[Face], characters: &str, outlined: bool) -> Vec<String> {
        let chosen = chosen(faces, &characters.chars().collect(), outlined);
        chosen.iter().map(|face| face.info.post_script_name.clone()).collect()
    }

    #[test]
    fn few_fonts_have_all_characters() {
        let faces = [
            face("Letters", &[[0x61, 0x64]], true),
            face("Digits", &[[0x30, 0x39]], true),
            face("Both", &[[0x30, 0x31], [0x61, 0x62]], true),
            face("SansDigits", &[[0x30, 0x39]], true),
            face("Pixels", &[[0x30, 0x7A]], false),
        ];
        assert_eq!(names(&faces, "ab01", true), ["Both"]);
        assert_eq!(names(&faces, "abcd789", true), ["Letters", "SansDigits"]);
        assert_eq!(names(&faces, "abcd789", false), ["Pixels"]);
        assert_eq!(names(&faces, "d9~", true), ["SansDigits", "Letters"]);
        assert!(names(&faces, "~", false).is_empty());
    }

    #[test]
    fn characters_of_a_file_are_those_that_it_maps() {
        let bytes = crate::text::bundled()[0];
        let (runs, outlined) = characters(bytes, 0).unwrap();
        let bundled = Face {
            runs,
            ..face("bundled", &[], outlined)
        };
        let map = FontRef::new(bytes).unwrap().charmap();
        for c in (0..0x2_0000).filter_map(char::from_u32) {
            let known = map.map(c).is_some_and(|glyph| glyph.to_u32() != 0);
            assert_eq!(bundled.has(c), known, "{c:?}");
        }
        assert!(bundled.outlined);
        assert!(characters(b"no font", 0).is_none());
    }
}
