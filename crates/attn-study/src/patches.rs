//! Attributes of image patches, as classes: hue, brightness, orientation and frequency. Heads of vision transformers sort
//! patches by them (Yeh et al. 2023, section 6.1).

use attn_core::{Capture, Limits, Progress, Side, TokenColumn, progress::step, text::Note};
use attn_render::Image;

use crate::{Error, image::image_if_there};

/// Least saturation of a patch with a hue.
const COLORFUL: f32 = 0.15;
/// Share of the gradients' energy along one direction above which a patch has an orientation.
const ORIENTED: f32 = 0.5;
/// Mean contrast, as a standard deviation of brightness from 0 to 1, below which a patch is plain.
const PLAIN: f32 = 0.02;
/// Limit of samples per side of a patch.
const SAMPLES: u32 = 24;

/// The attributes of a capture of images that vary; none for text. A note tells how many images are gone: their patches
/// have none.
///
/// # Errors
/// A cancellation.
pub(crate) fn attributes(
    capture: &Capture,
    limits: Limits,
    notes: &mut Vec<Note>,
    progress: &dyn Progress,
) -> Result<Vec<TokenColumn>, Error> {
    if capture.sequences().iter().all(|sequence| sequence.image.is_none()) {
        return Ok(Vec::new());
    }
    let mut gone = 0;
    let mut looks: Vec<Option<Look>> = Vec::with_capacity(capture.tokens(Side::Encoder));
    for (index, sequence) in capture.sequences().iter().enumerate() {
        step(progress, "patches", index, capture.sequences().len())?;
        let grid = sequence.image.as_ref().map(|image| (image.rows, image.columns));
        let image = match grid {
            Some(_) => image_if_there(sequence, limits)?,
            None => None,
        };
        gone += usize::from(grid.is_some() && image.is_none());
        looks.extend(sequence.tokens(Side::Encoder).iter().map(|token| {
            let ((row, column), image) = (token.patch?, image.as_ref()?);
            Some(Look::of(image, grid?, (row, column)))
        }));
    }
    if gone > 0 {
        notes.push(Note {
            line: None,
            message: format!(
                "{gone} of {} images cannot be read again: their patches have no attributes",
                capture.sequences().len()
            ),
        });
    }
    let attribute = |name: &str, classes: &[&str], class: fn(&Look) -> Option<u32>| {
        let classes = classes.iter().map(|class| (*class).to_owned()).collect();
        let class = |look: &Option<Look>| Some(class(look.as_ref()?)? as usize);
        let none = std::iter::repeat_n(None, capture.tokens(Side::Decoder));
        TokenColumn::from_classes(name, classes, looks.iter().map(class), none)
    };
    let mut attributes = vec![
        attribute("brightness", &["black", "dark", "medium", "bright", "white"], |look| {
            Some(fifth(look.brightness))
        }),
        attribute(
            "hue",
            &["red", "yellow", "green", "cyan", "blue", "magenta"],
            Look::hue_class,
        ),
        attribute(
            "orientation",
            &["horizontal", "rising", "vertical", "falling"],
            Look::orientation_class,
        ),
        attribute(
            "frequency",
            &["plain", "coarse", "medium", "fine"],
            Look::frequency_class,
        ),
    ];
    attributes.retain(|attribute| {
        let mut classes = attribute.encoder.iter().filter(|class| !class.is_nan());
        let first = classes.next();
        classes.any(|class| Some(class) != first)
    });
    Ok(attributes)
}

/// The pixels of a patch, up to `most` per side: columns, rows, then pixels row by row.
pub(crate) fn sampled(
    image: &Image,
    (rows, columns): (usize, usize),
    (row, column): (usize, usize),
    most: u32,
) -> (u32, u32, Vec<[u8; 3]>) {
    let (width, height) = (image.width(), image.height());
    let range = |index: usize, count: usize, length: u32| {
        let at = |index: usize| (index as f32 / count.max(1) as f32 * length as f32) as u32;
        let start = at(index).min(length - 1);
        (start, at(index.saturating_add(1)).clamp(start + 1, length))
    };
    let (left, right) = range(column, columns, width);
    let (top, bottom) = range(row, rows, height);
    let side = |start: u32, end: u32| (end - start).clamp(1, most);
    let (across, down) = (side(left, right), side(top, bottom));
    let sample = |x: u32, y: u32| {
        let px = left + (x * (right - left) + (right - left) / 2) / across;
        let py = top + (y * (bottom - top) + (bottom - top) / 2) / down;
        let at = 4 * (py.min(height - 1) as usize * width as usize + px.min(width - 1) as usize);
        [0, 1, 2].map(|channel| image.rgba()[at + channel])
    };
    let pixels = (0..across * down).map(|i| sample(i % across, i / across));
    (across, down, pixels.collect())
}

/// Visual attributes of a patch.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// Mean luma, 0 to 1.
    brightness: f32,
    /// Degrees on the color circle, 0 red, 120 green; `None` for pale patches.
    hue: Option<f32>,
    /// Standard deviation of luma.
    contrast: f32,
    /// Degrees of its stripes, 0 horizontal, 90 vertical, counterclockwise; `None` without a direction.
    orientation: Option<f32>,
    /// Cycles per patch that a sine of this contrast and slope would have.
    frequency: f32,
}

impl Look {
    fn of(image: &Image, (rows, columns): (usize, usize), (row, column): (usize, usize)) -> Self {
        let (across, down, pixels) = sampled(image, (rows, columns), (row, column), SAMPLES);
        let sample = |x: u32, y: u32| pixels[(y * across + x) as usize].map(|channel| f32::from(channel) / 255.0);
        let mut lumas = vec![0.0; (across * down) as usize];
        let mut mean = [0.0; 3];
        for y in 0..down {
            for x in 0..across {
                let color = sample(x, y);
                lumas[(y * across + x) as usize] = luma(color);
                for (sum, value) in mean.iter_mut().zip(color) {
                    *sum += value / (across * down) as f32;
                }
            }
        }
        let count = lumas.len() as f32;
        let brightness = lumas.iter().sum::<f32>() / count;
        let contrast = (lumas.iter().map(|l| (l - brightness).powi(2)).sum::<f32>() / count).sqrt();
        // The structure tensor: gradients point across stripes.
        let at = |x: u32, y: u32| lumas[(y * across + x) as usize];
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for y in 1..down.saturating_sub(1) {
            for x in 1..across.saturating_sub(1) {
                let dx = (at(x + 1, y) - at(x - 1, y)) / 2.0;
                // Up is positive.
                let dy = (at(x, y - 1) - at(x, y + 1)) / 2.0;
                xx += dx * dx;
                xy += dx * dy;
                yy += dy * dy;
            }
        }
        let energy = xx + yy;
        let coherence = if energy > 0.0 {
            ((xx - yy).powi(2) + 4.0 * xy * xy).sqrt() / energy
        } else {
            0.0
        };
        let across_stripes = 0.5 * (2.0 * xy).atan2(xx - yy).to_degrees();
        let inner = (across.saturating_sub(2) * down.saturating_sub(2)).max(1) as f32;
        // A sine of amplitude a and f cycles in n samples has slopes of a 2 pi f / n; both are taken as root mean squares.
        let slope = (energy / inner).sqrt();
        let frequency = if contrast > 0.0 {
            slope / contrast * across.min(down) as f32 / std::f32::consts::TAU
        } else {
            0.0
        };
        Self {
            brightness,
            hue: hue(mean),
            contrast,
            orientation: (contrast >= PLAIN && coherence >= ORIENTED)
                .then(|| (across_stripes + 90.0).rem_euclid(180.0)),
            frequency,
        }
    }

    fn hue_class(&self) -> Option<u32> {
        // Sixths around red, yellow, ...
        self.hue.map(|hue| ((hue + 30.0).rem_euclid(360.0) / 60.0) as u32 % 6)
    }

    fn orientation_class(&self) -> Option<u32> {
        self.orientation
            .map(|degrees| ((degrees + 22.5).rem_euclid(180.0) / 45.0) as u32 % 4)
    }

    fn frequency_class(&self) -> Option<u32> {
        Some(match self.frequency {
            _ if self.contrast < PLAIN => 0,
            cycles if cycles < 1.0 => 1,
            cycles if cycles < 2.0 => 2,
            _ => 3,
        })
    }
}

fn fifth(value: f32) -> u32 {
    ((value * 5.0) as u32).min(4)
}

/// Rec. 709, on the values as they are stored.
fn luma([red, green, blue]: [f32; 3]) -> f32 {
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

fn hue([red, green, blue]: [f32; 3]) -> Option<f32> {
    let most = red.max(green).max(blue);
    let chroma = most - red.min(green).min(blue);
    if chroma < COLORFUL * most.max(COLORFUL) {
        return None;
    }
    let sixth = match most {
        _ if most == red => ((green - blue) / chroma).rem_euclid(6.0),
        _ if most == green => (blue - red) / chroma + 2.0,
        _ => (red - green) / chroma + 4.0,
    };
    Some(60.0 * sixth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(pixel: impl Fn(u32, u32) -> [f32; 3]) -> Image {
        let rgba = (0..48 * 48).flat_map(|i| {
            let [r, g, b] = pixel(i % 48, i / 48).map(|value| (value * 255.0) as u8);
            [r, g, b, 255]
        });
        Image::new(48, 48, rgba.collect()).unwrap()
    }

    fn look(pixel: impl Fn(u32, u32) -> [f32; 3]) -> Look {
        Look::of(&image(pixel), (2, 2), (1, 0))
    }

    #[test]
    fn plain_colors_have_their_hue_and_brightness() {
        let hues = [
            ([0.9, 0.1, 0.1], Some(0)),
            ([0.9, 0.9, 0.1], Some(1)),
            ([0.1, 0.9, 0.1], Some(2)),
            ([0.1, 0.9, 0.9], Some(3)),
            ([0.1, 0.1, 0.9], Some(4)),
            ([0.9, 0.1, 0.9], Some(5)),
            ([0.5, 0.5, 0.5], None),
            ([0.02, 0.0, 0.0], None),
        ];
        for (color, class) in hues {
            let look = look(|_, _| color);
            assert_eq!(look.hue_class(), class, "{color:?}");
            assert_eq!(look.frequency_class(), Some(0));
            assert_eq!(look.orientation_class(), None);
            assert!((look.brightness - luma(color)).abs() < 0.01);
        }
        assert_eq!([0.0, 0.19, 0.5, 1.0].map(fifth), [0, 0, 2, 4]);
    }

    #[test]
    fn gratings_have_their_direction_and_frequency() {
        // Stripes at an angle, so many cycles in 24 pixels.
        let grating = |degrees: f32, cycles: f32| {
            let across = (degrees + 90.0).to_radians();
            look(move |x, y| {
                let phase = (x as f32 * across.cos() - y as f32 * across.sin()) / 24.0 * cycles;
                [0.5 + 0.4 * (phase * std::f32::consts::TAU).sin(); 3]
            })
        };
        for (class, degrees) in [0.0, 45.0, 90.0, 135.0].into_iter().enumerate() {
            assert_eq!(
                grating(degrees, 3.0).orientation_class(),
                Some(class as u32),
                "{degrees}"
            );
        }
        for cycles in [1.5, 3.0] {
            let found = grating(90.0, cycles).frequency;
            assert!((found - cycles).abs() < 0.25 * cycles, "{cycles} {found}");
        }
    }

    /// Rows, columns and patches come from a file.
    #[test]
    fn patches_of_absurd_grids_are_within_the_image() {
        let image = image(|_, _| [1.0; 3]);
        for most in [usize::MAX, 1 << 63, 0] {
            for patch in [0, 1 << 63, usize::MAX] {
                let (across, down, pixels) = sampled(&image, (most, most), (patch, patch), 4);
                assert_eq!(pixels.len(), (across * down) as usize);
            }
        }
    }

    #[test]
    fn patches_are_where_they_are() {
        // Only the lower left quarter is red.
        let red = look(|x, y| {
            if x < 24 && y >= 24 {
                [1.0, 0.0, 0.0]
            } else {
                [0.0, 0.0, 1.0]
            }
        });
        assert_eq!(red.hue_class(), Some(0));
    }
}
