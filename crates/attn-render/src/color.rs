//! Colors: themes, palettes and scales.
//!
//! The default palette is safe for the common color vision deficiencies (Okabe and Ito 2008, "Color Universal
//! Design"); sequential and diverging scales follow ColorBrewer (Harrower and Brewer 2003). The original green
//! and pink of AttentionViz (Yeh et al. 2023) are a preset.

mod classes;

use serde::{Deserialize, Serialize};

/// An sRGB color with straight (not premultiplied) alpha: red, green, blue, alpha.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, bytemuck::Pod, bytemuck::Zeroable,
)]
#[repr(transparent)]
pub struct Color(pub [u8; 4]);

impl Color {
    /// Nothing.
    pub const TRANSPARENT: Self = Self([0; 4]);

    /// An opaque color from `0xRRGGBB`.
    pub const fn hex(rgb: u32) -> Self {
        let [_, r, g, b] = rgb.to_be_bytes();
        Self([r, g, b, 255])
    }

    /// The same color with another opacity, 0 to 1.
    pub fn alpha(self, opacity: f32) -> Self {
        let [r, g, b, _] = self.0;
        Self([r, g, b, unit_to_byte(opacity)])
    }

    /// The color `t` of the way to `other`.
    pub fn mix(self, other: Self, t: f32) -> Self {
        let t = if t.is_nan() { 0.0 } else { t.clamp(0.0, 1.0) };
        let mut mixed = [0; 4];
        for (out, (a, b)) in mixed.iter_mut().zip(self.0.into_iter().zip(other.0)) {
            *out = unit_to_byte((f32::from(a) + t * (f32::from(b) - f32::from(a))) / 255.0);
        }
        Self(mixed)
    }

    /// Relative luminance, 0 to 1 (WCAG 2).
    pub fn luminance(self) -> f32 {
        let linear = |byte: u8| srgb_to_linear(f32::from(byte) / 255.0);
        0.2126 * linear(self.0[0]) + 0.7152 * linear(self.0[1]) + 0.0722 * linear(self.0[2])
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0..=255"
)]
fn unit_to_byte(x: f32) -> u8 {
    (x.clamp(0.0, 1.0) * 255.0).round() as u8
}

/// The transfer function of sRGB (IEC 61966-2-1).
pub(crate) fn srgb_to_linear(x: f32) -> f32 {
    if x <= 0.04045 {
        x / 12.92
    } else {
        ((x + 0.055) / 1.055).powf(2.4)
    }
}

/// Light for print, dark for screens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    /// Dark ink on white. The default.
    #[default]
    Light,
    /// Light ink on near-black.
    Dark,
}

impl Theme {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Light => Self::Dark,
            Self::Dark => Self::Light,
        }
    }
}

/// Which colors stand for queries and keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Palette {
    /// Blue queries, orange keys (Okabe and Ito): told apart under every common color vision deficiency and in
    /// grey print. The default.
    #[default]
    ColorBlindSafe,
    /// Green queries, pink keys, as AttentionViz draws them.
    Original,
}

/// Colors along a line, evenly spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale(pub [Color; 5]);

impl Scale {
    const fn hex(stops: [u32; 5]) -> Self {
        Self([
            Color::hex(stops[0]),
            Color::hex(stops[1]),
            Color::hex(stops[2]),
            Color::hex(stops[3]),
            Color::hex(stops[4]),
        ])
    }

    const fn reversed(self) -> Self {
        let [a, b, c, d, e] = self.0;
        Self([e, d, c, b, a])
    }

    /// The color at `t` in 0 to 1; outside and NaN are cut to the ends.
    pub fn at(&self, t: f32) -> Color {
        let position = if t.is_nan() { 0.0 } else { t.clamp(0.0, 1.0) * 4.0 };
        let stop = [1.0, 2.0, 3.0].iter().filter(|edge| position >= **edge).count();
        let start = [0.0, 1.0, 2.0, 3.0][stop];
        self.0[stop].mix(self.0[stop + 1], position - start)
    }
}

/// Every color a view draws with, for one theme and palette.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colors {
    /// Behind everything.
    pub background: Color,
    /// Behind the data of a panel.
    pub panel: Color,
    /// Frames and guides.
    pub frame: Color,
    /// Titles and labels.
    pub text: Color,
    /// Captions and dimmed marks.
    pub muted: Color,
    /// What is selected or hovered.
    pub accent: Color,
    /// Queries.
    pub query: Color,
    /// Keys.
    pub key: Color,
    /// Values of queries; more contrast with the background = larger.
    pub query_scale: Scale,
    /// Values of keys; more contrast with the background = larger.
    pub key_scale: Scale,
    /// Values around a middle.
    pub diverging: Scale,
    /// Attention over a picture, dark to bright.
    pub heat: Scale,
    /// The first eight classes; [`class`](Self::class) goes on from there.
    pub categorical: [Color; 8],
}

const BLUES: Scale = Scale::hex([0xC6DBEF, 0x9ECAE1, 0x6BAED6, 0x3182BD, 0x08519C]);
const ORANGES: Scale = Scale::hex([0xFDD0A2, 0xFDAE6B, 0xFD8D3C, 0xE6550D, 0xA63603]);
const GREENS: Scale = Scale::hex([0xC7E9C0, 0xA1D99B, 0x74C476, 0x31A354, 0x006D2C]);
const PINKS: Scale = Scale::hex([0xFCC5C0, 0xFA9FB5, 0xF768A1, 0xC51B8A, 0x7A0177]);
/// Red to blue through the middle; the middle is the theme's neutral tone.
const DIVERGING_LIGHT: Scale = Scale::hex([0x2166AC, 0x67A9CF, 0xDADDE0, 0xEF8A62, 0xB2182B]);
const DIVERGING_DARK: Scale = Scale::hex([0x6DB3E8, 0x3F7FB5, 0x4A4F57, 0xC4633F, 0xFF9B73]);
const HEAT: Scale = Scale::hex([0x140B34, 0x84206B, 0xE55C30, 0xF6B41F, 0xFCFFA4]);
const OKABE_ITO: [Color; 8] = [
    Color::hex(0x0072B2),
    Color::hex(0xE69F00),
    Color::hex(0x009E73),
    Color::hex(0xCC79A7),
    Color::hex(0x56B4E9),
    Color::hex(0xD55E00),
    Color::hex(0xF0E442),
    Color::hex(0x8C8C8C),
];

/// The same on a dark ground, where its first blue is hardly seen.
const OKABE_ITO_DARK: [Color; 8] = {
    let mut colors = OKABE_ITO;
    colors[0] = Color::hex(0x2B86D9);
    colors
};

impl Colors {
    /// The colors of a theme and a palette.
    pub fn new(theme: Theme, palette: Palette) -> Self {
        let dark = theme == Theme::Dark;
        let (query, key, query_scale, key_scale) = match (palette, dark) {
            (Palette::ColorBlindSafe, false) => (Color::hex(0x0072B2), Color::hex(0xE69F00), BLUES, ORANGES),
            (Palette::ColorBlindSafe, true) => (Color::hex(0x56B4E9), Color::hex(0xF0A830), BLUES, ORANGES),
            (Palette::Original, _) => (Color::hex(0x5FB96C), Color::hex(0xE3378F), GREENS, PINKS),
        };
        let light = Self {
            background: Color::hex(0xFFFFFF),
            panel: Color::hex(0xFAFAF9),
            frame: Color::hex(0xD0D4D9),
            text: Color::hex(0x1C2127),
            muted: Color::hex(0x5F6872),
            accent: Color::hex(0xC0392B),
            query,
            key,
            query_scale,
            key_scale,
            diverging: DIVERGING_LIGHT,
            heat: HEAT,
            categorical: OKABE_ITO,
        };
        if !dark {
            return light;
        }
        Self {
            background: Color::hex(0x14171B),
            panel: Color::hex(0x1B1F24),
            frame: Color::hex(0x3A4149),
            text: Color::hex(0xE9ECEF),
            muted: Color::hex(0xA0A8B1),
            accent: Color::hex(0xFF7B6B),
            query_scale: query_scale.reversed(),
            key_scale: key_scale.reversed(),
            diverging: DIVERGING_DARK,
            categorical: OKABE_ITO_DARK,
            ..light
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contrast ratio of WCAG 2.
    pub(super) fn contrast(a: Color, b: Color) -> f32 {
        let (a, b) = (a.luminance().max(b.luminance()), a.luminance().min(b.luminance()));
        (a + 0.05) / (b + 0.05)
    }

    #[test]
    fn text_is_legible_in_both_themes() {
        for theme in [Theme::Light, Theme::Dark] {
            let colors = Colors::new(theme, Palette::default());
            assert!(contrast(colors.text, colors.background) > 12.0);
            assert!(
                contrast(colors.muted, colors.background) > 4.5,
                "WCAG AA for small text"
            );
        }
    }

    #[test]
    fn classes_are_seen_on_a_dark_ground() {
        let colors = Colors::new(Theme::Dark, Palette::default());
        for color in colors.categorical {
            assert!(contrast(color, colors.panel) > 4.0, "{color:?}");
        }
    }

    #[test]
    fn queries_and_keys_differ_in_grey_print() {
        for theme in [Theme::Light, Theme::Dark] {
            let colors = Colors::new(theme, Palette::ColorBlindSafe);
            assert!(
                (colors.query.luminance() - colors.key.luminance()).abs() > 0.05,
                "{theme:?}"
            );
        }
    }

    #[test]
    fn larger_values_have_more_contrast() {
        for theme in [Theme::Light, Theme::Dark] {
            for palette in [Palette::ColorBlindSafe, Palette::Original] {
                let colors = Colors::new(theme, palette);
                for scale in [colors.query_scale, colors.key_scale] {
                    let ratios = [0.0, 0.25, 0.5, 0.75, 1.0].map(|t| contrast(scale.at(t), colors.background));
                    assert!(
                        ratios.windows(2).all(|pair| pair[0] < pair[1]),
                        "{theme:?} {palette:?} {ratios:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn scales_reach_their_ends() {
        assert_eq!(BLUES.at(0.0), BLUES.0[0]);
        assert_eq!(BLUES.at(1.0), BLUES.0[4]);
        assert_eq!(BLUES.at(0.5), BLUES.0[2]);
        assert_eq!(BLUES.at(f32::NAN), BLUES.0[0]);
        assert_eq!(BLUES.at(9.0), BLUES.0[4]);
    }
}
