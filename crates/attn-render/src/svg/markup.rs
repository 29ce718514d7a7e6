//! Text of an SVG document: numbers, colors, escapes and groups, short and valid.

use std::fmt::Write as _;

use crate::{Color, geometry::Rect};

/// Markup that is being written, with its open group.
#[derive(Default)]
pub(super) struct Markup {
    pub(super) text: String,
    open: Option<(Option<usize>, String)>,
}

impl Markup {
    /// Continues in a group with a clip path and a title; opens it unless it is open already.
    pub(super) fn group(&mut self, clip: Option<usize>, title: &str) {
        if self
            .open
            .as_ref()
            .is_some_and(|(open, name)| *open == clip && name == title)
        {
            return;
        }
        self.close_group();
        match clip {
            Some(number) => {
                let _ = write!(self.text, "<g clip-path=\"url(#c{number})\">");
            }
            None => self.text.push_str("<g>"),
        }
        if !title.is_empty() {
            self.text.push_str("<title>");
            self.escaped(title);
            self.text.push_str("</title>");
        }
        self.text.push('\n');
        self.open = Some((clip, title.to_owned()));
    }

    pub(super) fn close_group(&mut self) {
        if self.open.take().is_some() {
            self.text.push_str("</g>\n");
        }
    }

    /// A number with at most two decimals: a hundredth of a layout unit is invisible.
    #[expect(clippy::cast_possible_truncation, reason = "float to integer saturates; NaN is 0")]
    pub(super) fn plain(&mut self, value: f32) {
        let hundredths = (f64::from(value) * 100.0).round() as i64;
        let size = hundredths.unsigned_abs();
        let sign = if hundredths < 0 { "-" } else { "" };
        let _ = match size % 100 {
            0 => write!(self.text, "{sign}{}", size / 100),
            rest if rest % 10 == 0 => write!(self.text, "{sign}{}.{}", size / 100, rest / 10),
            rest => write!(self.text, "{sign}{}.{rest:02}", size / 100),
        };
    }

    /// Two numbers, each after a blank.
    pub(super) fn position(&mut self, [x, y]: [f32; 2]) {
        self.text.push(' ');
        self.plain(x);
        self.text.push(' ');
        self.plain(y);
    }

    pub(super) fn number(&mut self, name: &str, value: f32) {
        let _ = write!(self.text, " {name}=\"");
        self.plain(value);
        self.text.push('"');
    }

    pub(super) fn rect(&mut self, rect: Rect) {
        self.number("x", rect.min[0]);
        self.number("y", rect.min[1]);
        self.number("width", rect.width());
        self.number("height", rect.height());
    }

    /// A color as `fill` or `stroke`, and its opacity if it is not opaque.
    pub(super) fn color(&mut self, name: &str, color: Color) {
        self.faded(name, color, 1.0);
    }

    /// A color whose opacity is multiplied by `opacity`.
    pub(super) fn faded(&mut self, name: &str, color: Color, opacity: f32) {
        let [r, g, b, a] = color.0;
        let _ = write!(self.text, " {name}=\"#{r:02x}{g:02x}{b:02x}\"");
        let alpha = f32::from(a) / 255.0 * opacity.clamp(0.0, 1.0);
        if alpha < 0.9999 {
            // Faint lines need a third decimal.
            let _ = write!(self.text, " {name}-opacity=\"{:.3}\"", alpha);
        }
    }

    /// Text between tags. Characters that XML forbids become the replacement character.
    pub(super) fn escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '\t' | '\n' | '\r' => self.text.push(' '),
                '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => self.text.push('\u{fffd}'),
                c => self.text.push(c),
            }
        }
    }
}

/// Base 64 with padding (RFC 4648, section 4).
pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            // Two bytes fill three digits, one byte fills two.
            text.push(if digit > chunk.len() {
                '='
            } else {
                char::from(ALPHABET[(bits >> (18 - 6 * digit) & 63) as usize])
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_in_the_standard() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, encoded) in vectors {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xFB, 0xEF, 0xFF]), "++//");
    }

    #[test]
    fn numbers_are_short_and_finite() {
        let text = |value| {
            let mut markup = Markup::default();
            markup.plain(value);
            markup.text
        };
        assert_eq!(
            [0.0, 12.0, 0.5, -0.25, 7.126, -0.001, 99.999, f32::NAN].map(text),
            ["0", "12", "0.5", "-0.25", "7.13", "0", "100", "0"]
        );
    }

    #[test]
    fn text_is_escaped() {
        let mut markup = Markup::default();
        markup.escaped("a<b>&\"c\u{1}\u{7}é");
        assert_eq!(markup.text, "a&lt;b&gt;&amp;\"c\u{fffd}\u{fffd}é");
    }
}
