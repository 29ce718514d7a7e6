//! Synthetic images of one visual property at a time: hue, brightness, orientation, spatial frequency, position.
//!
//! These are the stimuli by which heads of vision transformers are probed (Yeh et al. 2023, "AttentionViz: A Global
//! View of Transformer Attention", section 7.1: color gradients and sinusoidal gratings). The class of an image is
//! one property at one of eight levels.
//!
//! A third of the images shows the property directly. The others are mosaics that require a lookup: every cell
//! binds two properties (all red cells have upright gratings, all blue ones slanted gratings), a few cells show only
//! the first, and the class is the second. The only way to it is to attend from such a cell to cells that resemble
//! it, which makes heads order patches by hue, by brightness or by orientation.

use std::f32::consts::{PI, TAU};

use crate::random::Random;

/// Width and height of an image in pixels.
pub(crate) const SIDE: usize = 64;
/// Width and height of a patch, and of a cell of a mosaic.
pub(crate) const PATCH: usize = 8;
/// Patches per row and per column.
pub(crate) const GRID: usize = SIDE / PATCH;
/// Levels per property.
pub(crate) const LEVELS: usize = 8;

/// The property that defines a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Property {
    Hue,
    Brightness,
    Orientation,
    Frequency,
    Position,
}

impl Property {
    pub(crate) const ALL: [Self; 5] = [
        Self::Hue,
        Self::Brightness,
        Self::Orientation,
        Self::Frequency,
        Self::Position,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Hue => "hue",
            Self::Brightness => "brightness",
            Self::Orientation => "orientation",
            Self::Frequency => "frequency",
            Self::Position => "position",
        }
    }
}

/// The name of a class, such as `orientation 45°`.
pub(crate) fn class_name(class: usize) -> String {
    let (property, level) = (Property::ALL[class / LEVELS], class % LEVELS);
    let level_name = match property {
        Property::Hue => ["0°", "45°", "90°", "135°", "180°", "225°", "270°", "315°"][level],
        Property::Orientation => ["0°", "22°", "45°", "67°", "90°", "112°", "135°", "157°"][level],
        Property::Brightness => ["6 %", "19 %", "31 %", "44 %", "56 %", "69 %", "81 %", "94 %"][level],
        Property::Frequency => ["2.0", "2.7", "3.6", "4.9", "6.6", "8.8", "11.9", "16.0"][level],
        Property::Position => [
            "east",
            "south-east",
            "south",
            "south-west",
            "west",
            "north-west",
            "north",
            "north-east",
        ][level],
    };
    format!("{} {level_name}", property.name())
}

/// The number of a class.
pub(crate) fn class(property: Property, level: usize) -> usize {
    property as usize * LEVELS + level
}

/// An image and its class.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picture {
    /// `[row, column, channel]`, red, green and blue in `[0, 1]`.
    pub(crate) pixels: Vec<f32>,
    pub(crate) class: usize,
    /// Patches of a mosaic that show only the first property, row by row.
    pub(crate) asking: Vec<usize>,
}

/// Paint of a cell of a mosaic or of a whole image. Angles in radians.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Paint {
    /// `[0, 2π)`; red is 0.
    pub(crate) hue: f32,
    /// 0 is gray.
    pub(crate) saturation: f32,
    /// Mean brightness, `[0, 1]`.
    pub(crate) brightness: f32,
    /// Direction of the stripes, `[0, π)`; 0 is horizontal, growing counter-clockwise.
    pub(crate) orientation: f32,
    /// Stripes per pixel.
    pub(crate) frequency: f32,
    /// Relative height of the stripes; 0 is plain.
    pub(crate) contrast: f32,
    pub(crate) phase: f32,
}

impl Paint {
    pub(crate) const GREY: Self = Self {
        hue: 0.0,
        saturation: 0.0,
        brightness: 0.5,
        orientation: 0.0,
        frequency: 0.2,
        contrast: 0.0,
        phase: 0.0,
    };

    /// The color at a pixel.
    fn at(self, x: f32, y: f32) -> [f32; 3] {
        // Across the stripes; the y axis of a picture points down.
        let across = x * self.orientation.sin() + y * self.orientation.cos();
        let stripes = 1.0 + self.contrast * (TAU * self.frequency * across + self.phase).sin();
        color(self.hue, self.saturation, self.brightness * stripes)
    }
}

/// Hue, saturation and brightness (the `V` of HSV) as red, green and blue.
pub(crate) fn color(hue: f32, saturation: f32, brightness: f32) -> [f32; 3] {
    let sixth = hue / TAU * 6.0;
    [5.0, 3.0, 1.0].map(|offset: f32| {
        let k = (offset + sixth).rem_euclid(6.0);
        (brightness * (1.0 - saturation * k.min(4.0 - k).clamp(0.0, 1.0))).clamp(0.0, 1.0)
    })
}

/// Paints an image pixel by pixel.
pub(crate) fn paint(mut color_at: impl FnMut(f32, f32) -> [f32; 3]) -> Vec<f32> {
    (0..SIDE * SIDE)
        .flat_map(|i| color_at((i % SIDE) as f32 + 0.5, (i / SIDE) as f32 + 0.5))
        .collect()
}

/// Paints each cell of the 8 x 8 mosaic on its own.
pub(crate) fn paint_cells(cells: &[Paint]) -> Vec<f32> {
    paint(|x, y| {
        let (column, row) = (x as usize / PATCH, y as usize / PATCH);
        cells[row * GRID + column].at(x, y)
    })
}

/// Levels as they are measured, with a little spread around each.
fn hue(level: usize, random: &mut Random) -> f32 {
    (level as f32 / LEVELS as f32 * TAU + random.between(-0.2, 0.2)).rem_euclid(TAU)
}

fn orientation(level: usize, random: &mut Random) -> f32 {
    (level as f32 / LEVELS as f32 * PI + random.between(-0.1, 0.1)).rem_euclid(PI)
}

fn brightness(level: usize, random: &mut Random) -> f32 {
    (level as f32 + 0.5 + random.between(-0.3, 0.3)) / LEVELS as f32
}

/// Stripes per pixel: from 2 to 16 per picture, in equal ratios.
fn frequency(level: usize, random: &mut Random) -> f32 {
    2.0 * 8f32.powf((level as f32 + random.between(-0.3, 0.3)) / (LEVELS - 1) as f32) / SIDE as f32
}

/// An endless stream of labeled images, the same for the same seed.
pub(crate) struct Pictures {
    random: Random,
}

impl Pictures {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
        }
    }
}

impl Iterator for Pictures {
    type Item = Picture;

    fn next(&mut self) -> Option<Picture> {
        let random = &mut self.random;
        let mut picture = match random.below(15) {
            0 => plain_hue(random),
            1 => plain_brightness(random),
            2 => grating(random),
            3 => rings(random),
            4 => shape(random),
            5..8 => mosaic(Property::Hue, Property::Orientation, random),
            8..11 => mosaic(Property::Orientation, Property::Hue, random),
            11..13 => mosaic(Property::Brightness, Property::Orientation, random),
            _ => mosaic(Property::Orientation, Property::Brightness, random),
        };
        for value in &mut picture.pixels {
            *value = (*value + random.between(-0.04, 0.04)).clamp(0.0, 1.0);
        }
        Some(picture)
    }
}

fn direct(property: Property, level: usize, pixels: Vec<f32>) -> Picture {
    Picture {
        pixels,
        class: class(property, level),
        asking: Vec::new(),
    }
}

/// A uniform color.
fn plain_hue(random: &mut Random) -> Picture {
    let level = random.below(LEVELS);
    let (hue, saturation, brightness) = (hue(level, random), random.between(0.5, 1.0), random.between(0.5, 1.0));
    direct(Property::Hue, level, paint(|_, _| color(hue, saturation, brightness)))
}

/// A uniform gray.
fn plain_brightness(random: &mut Random) -> Picture {
    let level = random.below(LEVELS);
    let brightness = brightness(level, random);
    direct(Property::Brightness, level, paint(|_, _| [brightness; 3]))
}

/// Straight gray stripes.
fn grating(random: &mut Random) -> Picture {
    let level = random.below(LEVELS);
    let paint_with = Paint {
        orientation: orientation(level, random),
        frequency: random.between(0.08, 0.25),
        contrast: random.between(0.4, 0.9),
        phase: random.between(0.0, TAU),
        ..Paint::GREY
    };
    direct(Property::Orientation, level, paint(|x, y| paint_with.at(x, y)))
}

/// Concentric gray rings: a frequency without an orientation.
fn rings(random: &mut Random) -> Picture {
    let level = random.below(LEVELS);
    let (frequency, contrast, phase) = (
        frequency(level, random),
        random.between(0.4, 0.9),
        random.between(0.0, TAU),
    );
    let (x0, y0) = (random.between(16.0, 48.0), random.between(16.0, 48.0));
    direct(
        Property::Frequency,
        level,
        paint_rings(frequency, contrast, phase, (x0, y0)),
    )
}

/// Rings around a point; `frequency` in rings per pixel.
pub(crate) fn paint_rings(frequency: f32, contrast: f32, phase: f32, center: (f32, f32)) -> Vec<f32> {
    paint(|x, y| [0.5 + 0.5 * contrast * (TAU * frequency * (x - center.0).hypot(y - center.1) + phase).sin(); 3])
}

/// A disc or a square at one of eight places around the middle.
fn shape(random: &mut Random) -> Picture {
    let level = random.below(LEVELS);
    let (round, bright) = (random.chance(0.5), random.chance(0.5));
    let spread = random.between(-0.15, 0.15);
    direct(
        Property::Position,
        level,
        paint_shape(level as f32 / LEVELS as f32 * TAU + spread, round, bright),
    )
}

/// A disc or a square in the direction `angle` of the middle, clockwise from east.
pub(crate) fn paint_shape(angle: f32, round: bool, bright: bool) -> Vec<f32> {
    let middle = SIDE as f32 / 2.0;
    let (x0, y0) = (middle + 20.0 * angle.cos(), middle + 20.0 * angle.sin());
    let (ground, figure) = if bright { (0.3, 0.9) } else { (0.7, 0.1) };
    paint(|x, y| {
        let (dx, dy) = ((x - x0).abs(), (y - y0).abs());
        let inside = if round { dx.hypot(dy) < 7.0 } else { dx.max(dy) < 6.0 };
        [if inside { figure } else { ground }; 3]
    })
}

/// `count` levels, no two of them neighbors (levels of hue and orientation are circular).
fn distinct_levels(count: usize, random: &mut Random) -> Vec<usize> {
    loop {
        let levels: Vec<usize> = (0..count).map(|_| random.below(LEVELS)).collect();
        let apart = |a: usize, b: usize| (a + LEVELS - b) % LEVELS >= 2 && (b + LEVELS - a) % LEVELS >= 2;
        if levels
            .iter()
            .enumerate()
            .all(|(i, &a)| levels[..i].iter().all(|&b| apart(a, b)))
        {
            return levels;
        }
    }
}

/// Three kinds of cell, each with its own level of `cue` and of `answer`; a quarter of the cells shows the cue of one
/// kind only.
pub(crate) fn mosaic(cue: Property, answer: Property, random: &mut Random) -> Picture {
    const KINDS: usize = 3;
    let (cues, answers) = (distinct_levels(KINDS, random), distinct_levels(KINDS, random));
    let asked = random.below(KINDS);
    let mut order: Vec<usize> = (0..GRID * GRID).collect();
    random.shuffle(&mut order);
    let mut asking = order[..GRID * GRID / 4].to_vec();
    asking.sort_unstable();
    let cells: Vec<Paint> = (0..GRID * GRID)
        .map(|cell| {
            let asks = asking.binary_search(&cell).is_ok();
            let kind = if asks { asked } else { random.below(KINDS) };
            let mut shown = vec![(cue, cues[kind])];
            if !asks {
                shown.push((answer, answers[kind]));
            }
            cell_paint(&shown, random)
        })
        .collect();
    Picture {
        pixels: paint_cells(&cells),
        class: class(answer, answers[asked]),
        asking,
    }
}

/// A cell that shows the given levels and nothing else: no hue means gray, no orientation means plain.
pub(crate) fn cell_paint(shown: &[(Property, usize)], random: &mut Random) -> Paint {
    let mut paint = Paint {
        brightness: random.between(0.45, 0.6),
        ..Paint::GREY
    };
    for &(property, level) in shown {
        match property {
            Property::Hue => {
                paint.hue = hue(level, random);
                paint.saturation = random.between(0.7, 1.0);
            }
            Property::Brightness => paint.brightness = brightness(level, random),
            Property::Orientation => {
                paint.orientation = orientation(level, random);
                paint.frequency = random.between(0.17, 0.25);
                paint.contrast = random.between(0.6, 0.9);
                paint.phase = random.between(0.0, TAU);
            }
            Property::Frequency => paint.frequency = frequency(level, random),
            // A cell has its place already.
            Property::Position => {}
        }
    }
    paint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_are_those_of_the_wheel() {
        let close = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(close(color(0.0, 1.0, 1.0), [1.0, 0.0, 0.0]));
        assert!(close(color(TAU / 3.0, 1.0, 1.0), [0.0, 1.0, 0.0]));
        assert!(close(color(TAU / 6.0, 1.0, 0.5), [0.5, 0.5, 0.0]));
        assert!(close(color(2.0 * TAU / 3.0, 0.5, 1.0), [0.5, 0.5, 1.0]));
        assert!(close(color(1.0, 0.0, 0.3), [0.3; 3]));
    }

    #[test]
    fn stripes_run_along_their_orientation() {
        for orientation in [0.0, PI / 4.0, PI / 2.0, 3.0 * PI / 4.0] {
            let paint = Paint {
                orientation,
                contrast: 0.8,
                ..Paint::GREY
            };
            // Counter-clockwise, with y pointing down.
            let (dx, dy) = (orientation.cos(), -orientation.sin());
            let along = (paint.at(20.0 + 3.0 * dx, 20.0 + 3.0 * dy)[0] - paint.at(20.0, 20.0)[0]).abs();
            // A quarter and half a period away: one of them differs whatever the phase.
            let across =
                [1.25, 2.5].map(|far| (paint.at(20.0 - far * dy, 20.0 + far * dx)[0] - paint.at(20.0, 20.0)[0]).abs());
            let across = across[0].max(across[1]);
            assert!(along < 1e-4 && across > 0.1, "{orientation}: {along} {across}");
        }
    }

    #[test]
    fn pictures_repeat_with_the_seed_and_cover_every_class() {
        let pictures: Vec<Picture> = Pictures::new(5).take(3000).collect();
        assert!(pictures[..20] == Pictures::new(5).take(20).collect::<Vec<_>>()[..]);
        let mut classes = vec![0; Property::ALL.len() * LEVELS];
        for picture in &pictures {
            classes[picture.class] += 1;
            assert_eq!(picture.pixels.len(), SIDE * SIDE * 3);
            assert!(picture.pixels.iter().all(|value| (0.0..=1.0).contains(value)));
        }
        assert!(classes.iter().all(|&count| count > 5), "{classes:?}");
    }

    #[test]
    fn asking_cells_are_plain_when_the_stripes_are_asked_for() {
        let mut random = Random::new(11);
        let picture = mosaic(Property::Hue, Property::Orientation, &mut random);
        let spread = |cell: usize| {
            let values = (0..PATCH * PATCH).map(|i| {
                let (row, column) = (cell / GRID * PATCH + i / PATCH, cell % GRID * PATCH + i % PATCH);
                picture.pixels[(row * SIDE + column) * 3..][..3]
                    .iter()
                    .copied()
                    .fold(0.0, f32::max)
            });
            values.clone().fold(0.0, f32::max) - values.fold(1.0, f32::min)
        };
        for cell in 0..GRID * GRID {
            assert_eq!(spread(cell) < 0.01, picture.asking.contains(&cell), "cell {cell}");
        }
    }
}
