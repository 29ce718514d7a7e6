//! Text in any script: what the bundled fonts lack comes from fonts of the host or the system, and is a box until then.
//!
//! Uses fonts of Debian's `fonts-noto-cjk`, `fonts-noto-core` and `fonts-noto-color-emoji` where they are installed, and says
//! so where not.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail the test"
)]

use attn_render::{
    Color, Exporter, Format, Headless, Image, Scene, SystemFont, ViewState, plots::Histogram, scene::Label,
    text::text_width,
};

const CJK: &str = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc";
const EMOJI: &str = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf";
const DEVANAGARI: &str = "/usr/share/fonts/truetype/noto/NotoSansDevanagari-Regular.ttf";

fn font(path: &str) -> Option<Vec<u8>> {
    let bytes = std::fs::read(path).ok();
    if bytes.is_none() {
        eprintln!("not tested: {path} is not installed");
    }
    bytes
}

fn drawn(headless: &mut Headless, text: &str) -> Image {
    let mut scene = Scene::new([240.0, 40.0], Color::hex(0x000000));
    let label = Label::new(0, [20.0, 8.0], text, 20.0, Color::hex(0xFFFFFF));
    scene.layers[0].labels.push(label);
    headless.render(&scene, &ViewState::default(), 1.0).unwrap()
}

/// The lit columns of a picture: first, last and how many.
fn lit(image: &Image) -> (usize, usize, usize) {
    let width = image.width() as usize;
    let bright = |x: usize| {
        image
            .rgba()
            .chunks(4)
            .skip(x)
            .step_by(width)
            .any(|p| p[..3].iter().any(|v| *v > 80))
    };
    let columns: Vec<usize> = (0..width).filter(|x| bright(*x)).collect();
    let ends = columns
        .first()
        .zip(columns.last())
        .unwrap_or_else(|| panic!("nothing is drawn"));
    (*ends.0, *ends.1, columns.len())
}

fn ink(image: &Image) -> u64 {
    image
        .rgba()
        .chunks(4)
        .map(|p| u64::from(p[0]) + u64::from(p[1]) + u64::from(p[2]))
        .sum()
}

fn inside(image: &Image, text: &str) {
    let (first, last, _) = lit(image);
    let end = 20.0 + text_width(text, 20.0, false);
    assert!(
        first >= 17 && (last as f32) <= end + 7.0,
        "{text}: {first} to {last}, measured to {end}"
    );
}

#[test]
fn a_missing_character_is_a_box_that_can_be_seen() {
    let mut headless = Headless::new().unwrap();
    let picture = drawn(&mut headless, "世");
    let (first, last, columns) = lit(&picture);
    assert!(last - first > 5 && columns > 5, "{first} {last}");
    inside(&picture, "世");
}

#[test]
fn scripts_come_from_added_fonts_and_stay_in_their_boxes() {
    for (path, text) in [(CJK, "世界 大きな 한국"), (DEVANAGARI, "नमस्ते"), (EMOJI, "🚢🌊")] {
        let Some(bytes) = font(path) else { continue };
        let mut headless = Headless::new().unwrap();
        let boxes = drawn(&mut headless, text);
        headless.add_font(bytes);
        let picture = drawn(&mut headless, text);
        assert_ne!(boxes, picture, "{text}");
        assert!(ink(&picture) > 10_000, "{text}");
        inside(&picture, text);
    }
}

#[test]
fn wide_characters_are_measured_as_fonts_draw_them() {
    assert_eq!(text_width("世界", 10.0, false), 20.0);
    assert_eq!(text_width("한", 10.0, true), 10.0);
    let plain = text_width("a", 10.0, false);
    assert_eq!(text_width("a\u{FE0F}", 10.0, false), plain);
}

#[test]
fn text_from_right_to_left_is_joined_and_turned() {
    let mut headless = Headless::new().unwrap();
    // Lam and alef become one sign; letters in a row are joined, so that they are not those that stand alone.
    let joined = drawn(&mut headless, "سلام");
    let apart = drawn(&mut headless, "س ل ا م");
    inside(&joined, "سلام");
    assert!(lit(&joined).1 < lit(&apart).1, "joined is narrower");
    // The first letter stands at the right: alef, a thin stroke, is the last columns of "ابب" and the first of "بباد".
    let ends = |text: &str, headless: &mut Headless| {
        let picture = drawn(headless, text);
        let (first, last, _) = lit(&picture);
        let width = picture.width() as usize;
        let height_at = |x: usize| (0..40).filter(|y| picture.rgba()[4 * (y * width + x)] > 80).count();
        let tallest = |from: usize, to: usize| (from..to).map(height_at).max().unwrap_or(0);
        (tallest(first, first + 5), tallest(last - 4, last + 1))
    };
    let (left, right) = ends("ابببب", &mut headless);
    assert!(
        right > left,
        "the alef, which is first, is at the right: {left} {right}"
    );
}

/// Text of every kind ends, begins and is centered where its label says, with the bundled fonts alone and with others.
#[test]
fn text_is_aligned_by_what_is_drawn() {
    let texts = [
        "ship",
        "مرحبا بالعالم",
        "سلام (test) 12",
        "שָׁלוֹם",
        "नमस्ते दुनिया",
        "e\u{301} a\u{308} Z\u{327}\u{324}\u{301}\u{302}",
        "🙂👩‍👩‍👧‍👦🇩🇪",
        "สวัสดีชาวโลก",
    ];
    let at = |headless: &mut Headless, text: &str, align: f32| {
        let mut scene = Scene::new([640.0, 40.0], Color::hex(0x000000));
        let label = Label::new(0, [320.0, 8.0], text, 20.0, Color::hex(0xFFFFFF)).aligned(align, 0.0);
        scene.layers[0].labels.push(label);
        let (first, last, _) = lit(&headless.render(&scene, &ViewState::default(), 1.0).unwrap());
        [first as f32, last as f32 + 1.0]
    };
    let check = |headless: &mut Headless, text: &str| {
        // Glyphs keep a distance of their own from the ends of their advance; joined ones may pass it.
        let [left, right, middle] = [0.0, 1.0, 0.5].map(|align| at(headless, text, align));
        assert!(
            (left[0] - 320.0).abs() < 3.5,
            "{text}: begins at {} instead of 320",
            left[0]
        );
        assert!(
            (right[1] - 320.0).abs() < 3.5,
            "{text}: ends at {} instead of 320",
            right[1]
        );
        let center = 0.5 * (middle[0] + middle[1]);
        assert!(
            (center - 320.0).abs() < 3.0,
            "{text}: its middle is at {center} instead of 320"
        );
        // What overlap is judged by covers what is drawn.
        let (drawn, measured) = (left[1] - left[0], text_width(text, 20.0, false));
        assert!(drawn < measured + 7.0, "{text}: {drawn} drawn, {measured} measured");
    };
    let mut headless = Headless::new().unwrap();
    texts.iter().for_each(|text| check(&mut headless, text));
    for bytes in [DEVANAGARI, EMOJI].into_iter().filter_map(font) {
        headless.add_font(bytes);
    }
    texts.iter().for_each(|text| check(&mut headless, text));
}

#[test]
fn fonts_of_the_system_are_used_only_when_asked_for() {
    if font(CJK).is_none() {
        return;
    }
    let text = "世界";
    let mut plain = Headless::new().unwrap();
    let boxes = drawn(&mut plain, text);
    let latin = drawn(&mut plain, "ship");
    let mut asked = Headless::new().unwrap();
    asked.add_system_fonts();
    assert_ne!(boxes, drawn(&mut asked, text));
    assert_eq!(
        latin,
        drawn(&mut asked, "ship"),
        "what the bundled font has stays as it is"
    );
}

/// A mathematical letter that a font of this machine has and the bundled ones lack.
fn of_the_system_alone() -> Option<char> {
    let mut plain = Headless::new().unwrap();
    let letters = (0x1D400..0x1D800).filter_map(char::from_u32);
    let found = letters.filter(|c| SystemFont::with(*c).is_some()).find(|c| {
        drawn(&mut plain, &c.to_string());
        plain.missing_characters().contains(c)
    });
    if found.is_none() {
        eprintln!("not tested: no font of this machine has more letters than the bundled ones");
    }
    found
}

#[test]
fn characters_that_are_missing_are_looked_up_in_the_system() {
    let Some(letter) = of_the_system_alone() else { return };
    let mut headless = Headless::new().unwrap();
    let latin = drawn(&mut headless, "ship");
    assert!(!headless.add_missing_fonts(), "nothing is missing");
    let boxes = drawn(&mut headless, &letter.to_string());
    let note = headless.missing_note().unwrap();
    assert!(note.starts_with("No font has 1 character,"), "{note}");
    assert!(headless.add_missing_fonts());
    assert_ne!(boxes, drawn(&mut headless, &letter.to_string()));
    assert_eq!(headless.missing_note(), None);
    assert_eq!(
        latin,
        drawn(&mut headless, "ship"),
        "what the bundled font has stays as it is"
    );
    // Of what no font has there is a box for good; it is looked for once.
    let nowhere = "\u{E8F0}";
    if SystemFont::with('\u{E8F0}').is_none() {
        drawn(&mut headless, nowhere);
        assert!(!headless.add_missing_fonts());
        assert!(headless.missing_characters().contains(&'\u{E8F0}'));
    }
}

#[test]
fn exported_pictures_have_characters_of_the_system_where_that_is_asked_for() {
    let Some(letter) = of_the_system_alone() else { return };
    let histogram = Histogram {
        title: letter.to_string(),
        ..Histogram::new([0.0, 0.1, 1.0])
    };
    let png = |system_fonts| {
        let mut exporter = Exporter::default();
        exporter.system_fonts = system_fonts;
        let bytes = exporter.bytes(&histogram, &ViewState::default(), Format::Png).unwrap();
        (bytes, exporter.missing_note())
    };
    let (plain, asked) = (png(false), png(true));
    assert_ne!(plain.0, asked.0);
    assert!(plain.1.is_some());
    assert_eq!(asked.1, None);
}
