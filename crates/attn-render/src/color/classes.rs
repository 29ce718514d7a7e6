//! Colors for hundreds of classes: the palette's eight, then always what is furthest from all before.

use std::sync::OnceLock;

use super::{Color, Colors, OKABE_ITO, OKABE_ITO_DARK, srgb_to_linear, unit_to_byte};

impl Colors {
    /// The color of class `index`: the eight of the palette, which are safe for color-blind readers, then always the one
    /// that is furthest from all before it in OKLab (Ottosson 2020), so that the first have colors that are easy to distinguish
    /// and hundreds have different ones. From 400 on they are used again.
    pub fn class(&self, index: usize) -> Color {
        static MORE: [OnceLock<Vec<Color>>; 2] = [OnceLock::new(), OnceLock::new()];
        if let Some(color) = self.categorical.get(index) {
            return *color;
        }
        let dark = self.background.luminance() < 0.2;
        let more = MORE[usize::from(dark)].get_or_init(|| furthest_apart(dark));
        more[(index - self.categorical.len()) % more.len()]
    }

    /// The color of class `index`, mixed with that of text where it could hardly be told from the background: yellow on white has a
    /// contrast of 1.3, and gets one of 2.
    pub fn clear_class(&self, index: usize) -> Color {
        const LEAST: f32 = 2.0;
        let contrast = |color: Color| {
            let (a, b) = (color.luminance() + 0.05, self.background.luminance() + 0.05);
            a.max(b) / a.min(b)
        };
        let color = self.class(index);
        let mut shades = (0..10_u8).map(|step| color.mix(self.text, 0.08 * f32::from(step)));
        shades.find(|&shade| contrast(shade) >= LEAST).unwrap_or(self.text)
    }
}

/// So many classes have colors of their own.
const MOST_CLASSES: usize = 400;

/// Colors that stand out from a theme's background, each as far as can be from the palette's and from those before it.
fn furthest_apart(dark: bool) -> Vec<Color> {
    let palette = if dark { OKABE_ITO_DARK } else { OKABE_ITO };
    let count = MOST_CLASSES - palette.len();
    let apart = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    let lightest = if dark { 0.86 } else { 0.76 };
    // Every candidate with its distance to the nearest that is taken.
    let mut candidates: Vec<(Color, [f32; 3], f32)> = Vec::new();
    for step in 0..10_u8 {
        let lightness = lightest - 0.04 * f32::from(step);
        for (chroma, hue) in (1..6_u8).flat_map(|chroma| (0..72_u8).map(move |hue| (chroma, hue))) {
            let (chroma, hue) = (
                0.04 * f32::from(chroma) + 0.02,
                f32::from(hue) / 72.0 * std::f32::consts::TAU,
            );
            let lab = [lightness, chroma * hue.cos(), chroma * hue.sin()];
            let nearest = palette.iter().map(|taken| apart(lab, to_oklab(*taken)));
            let nearest = nearest.fold(f32::INFINITY, f32::min);
            candidates.extend(from_oklab(lab).map(|color| (color, lab, nearest)));
        }
    }
    let mut taken = Vec::with_capacity(count);
    while taken.len() < count {
        let Some((color, lab, _)) = candidates.iter().copied().reduce(|a, b| if b.2 > a.2 { b } else { a }) else {
            break;
        };
        taken.push(color);
        for (_, other, nearest) in &mut candidates {
            *nearest = nearest.min(apart(*other, lab));
        }
    }
    taken
}

/// sRGB to OKLab (Ottosson 2020, "A perceptual color space for image processing").
fn to_oklab(Color([r, g, b, _]): Color) -> [f32; 3] {
    let [r, g, b] = [r, g, b].map(|byte| srgb_to_linear(f32::from(byte) / 255.0));
    let l = (0.412_221_46 * r + 0.536_332_55 * g + 0.051_445_995 * b).cbrt();
    let m = (0.211_903_5 * r + 0.680_699_5 * g + 0.107_396_96 * b).cbrt();
    let s = (0.088_302_46 * r + 0.281_718_85 * g + 0.629_978_7 * b).cbrt();
    [
        0.210_454_26 * l + 0.793_617_8 * m - 0.004_072_047 * s,
        1.977_998_5 * l - 2.428_592_2 * m + 0.450_593_7 * s,
        0.025_904_037 * l + 0.782_771_77 * m - 0.808_675_77 * s,
    ]
}

/// OKLab to sRGB; `None` for what sRGB lacks.
fn from_oklab([lightness, a, b]: [f32; 3]) -> Option<Color> {
    let l = (lightness + 0.396_337_78 * a + 0.215_803_76 * b).powi(3);
    let m = (lightness - 0.105_561_346 * a - 0.063_854_17 * b).powi(3);
    let s = (lightness - 0.089_484_18 * a - 1.291_485_5 * b).powi(3);
    let linear = [
        4.076_741_7 * l - 3.307_711_6 * m + 0.230_969_94 * s,
        -1.268_438 * l + 2.609_757_4 * m - 0.341_319_38 * s,
        -0.004_196_086_3 * l - 0.703_418_6 * m + 1.707_614_7 * s,
    ];
    let encoded = linear.map(|v| {
        if v <= 0.003_130_8 {
            12.92 * v
        } else {
            1.055 * v.powf(1.0 / 2.4) - 0.055
        }
    });
    // What rounds to a color is one.
    let [r, g, b] = encoded.map(unit_to_byte);
    encoded
        .iter()
        .all(|v| (-0.002..1.002).contains(v))
        .then_some(Color([r, g, b, 255]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Theme,
        color::{Palette, tests::contrast},
    };

    #[test]
    fn oklab_agrees_with_published_values() {
        // White, and sRGB red, as in the CSS Color 4 conversions: oklch(0.628 0.2577 29.23deg).
        assert_eq!(from_oklab([1.0, 0.0, 0.0]), Some(Color::hex(0xFFFFFF)));
        let (b, a) = 29.233_9_f32.to_radians().sin_cos();
        let red = [0.627_955, 0.257_683 * a, 0.257_683 * b];
        let [r, g, b, _] = from_oklab(red).unwrap().0;
        assert!(r >= 254 && g <= 2 && b <= 2, "{r} {g} {b}");
        let back = to_oklab(Color::hex(0xFF0000));
        assert!(back.iter().zip(red).all(|(a, b)| (a - b).abs() < 1e-4), "{back:?}");
        assert_eq!(from_oklab([0.6, 0.4, 0.0]), None, "more than sRGB has");
    }

    #[test]
    fn the_first_classes_are_told_apart() {
        let nearest = |colors: &Colors, classes: usize| {
            let labs: Vec<_> = (0..classes).map(|class| to_oklab(colors.class(class))).collect();
            let pairs = (0..classes).flat_map(|a| (0..a).map(move |b| (a, b)));
            let apart = pairs.map(|(a, b)| (0..3).map(|i| (labs[a][i] - labs[b][i]).powi(2)).sum::<f32>().sqrt());
            apart.fold(f32::INFINITY, f32::min)
        };
        for theme in [Theme::Light, Theme::Dark] {
            let colors = Colors::new(theme, Palette::default());
            // A just noticeable difference is about 0.02.
            assert!(nearest(&colors, 16) > 0.1, "{}", nearest(&colors, 16));
            assert!(nearest(&colors, 40) > 0.08, "{}", nearest(&colors, 40));
            assert!(nearest(&colors, 200) > 0.03, "{}", nearest(&colors, 200));
        }
    }

    #[test]
    fn no_clear_class_is_faint() {
        for theme in [Theme::Light, Theme::Dark] {
            let colors = Colors::new(theme, Palette::default());
            for class in 0..400 {
                assert!(
                    contrast(colors.clear_class(class), colors.background) >= 2.0,
                    "{theme:?} {class}"
                );
            }
        }
    }

    #[test]
    fn hundreds_of_classes_have_colors_of_their_own() {
        for theme in [Theme::Light, Theme::Dark] {
            let colors = Colors::new(theme, Palette::default());
            let all: std::collections::BTreeSet<[u8; 4]> = (0..400).map(|class| colors.class(class).0).collect();
            assert_eq!(all.len(), 400);
            for class in 8..400 {
                let ratio = contrast(colors.class(class), colors.panel);
                assert!(ratio > 1.3, "{theme:?} class {class}: {ratio}");
            }
        }
    }
}
