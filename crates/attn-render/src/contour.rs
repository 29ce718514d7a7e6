//! Where points are dense, as lines: contours of a kernel density estimate that enclose given shares of the points.
//!
//! The estimate is a histogram smoothed by a Gaussian (Silverman 1986, "Density Estimation"), the levels are those of the
//! highest density regions (Hyndman 1996), the lines come from marching squares (Lorensen and Cline 1987, in the plane).

use crate::{Error, error::check_finite};

/// A closed line around the densest part of a cloud.
#[derive(Debug, Clone, PartialEq)]
pub struct Contour {
    /// The share of the points that it and the other contours of this share enclose.
    pub share: f32,
    /// Its corners; the last is the first.
    pub line: Vec<[f32; 2]>,
}

/// Cells of the grid along the longer side, at most.
const CELLS: usize = 200;
/// The Gaussian reaches so many standard deviations.
const REACH: f64 = 3.5;
/// The contours that enclose each of `shares` (0 to 1) of `[point, 2]`, in the order of the shares. Each share may have
/// several contours, and holes in them are contours too. Smoothing is by Scott's rule, `n^(-1/6)` standard deviations, where
/// the standard deviation is that of the normal cloud in which two points are as often close together as in this one: so
/// clumps count as narrow as they are, however far apart they lie. None for fewer than three points or points without extent.
///
/// # Errors
/// [`Error::Shape`] if the length is odd, [`Error::NotFinite`].
///
/// ```
/// // Two far squares of points: each gets a line of its own.
/// let square = |x: f32| (0..400).flat_map(move |i| [x + (i % 20) as f32, (i / 20) as f32]);
/// let points: Vec<f32> = square(0.0).chain(square(300.0)).collect();
/// let contours = attn_render::contour::density_contours(&points, &[0.9])?;
/// assert_eq!(contours.len(), 2);
/// assert!(contours.iter().all(|contour| contour.line.first() == contour.line.last()));
/// # Ok::<(), attn_render::Error>(())
/// ```
pub fn density_contours(points: &[f32], shares: &[f32]) -> Result<Vec<Contour>, Error> {
    if !points.len().is_multiple_of(2) {
        return Err(Error::Shape {
            what: "points of contours",
            expected: "[points, 2]".into(),
            found: format!("{} values", points.len()),
        });
    }
    check_finite("points of contours", points)?;
    check_finite("shares of contours", shares)?;
    let Some(field) = Field::new(points) else {
        return Ok(Vec::new());
    };
    let mut contours = Vec::new();
    for &share in shares {
        let level = field.level(share.clamp(0.0, 1.0).into());
        contours.extend(field.lines(level).into_iter().map(|line| Contour { share, line }));
    }
    Ok(contours)
}

/// The standard deviation of the normal cloud that is as crowded as this one. Its density squared, integrated, is
/// `1 / (4 pi sigma^2)`, which pairs of points in the same cell estimate; their own do not count.
fn spread(points: &[f32], min: [f64; 2], longer: f64) -> f64 {
    let cell = longer / CELLS as f64;
    let mut counts = vec![0.0_f64; (CELLS + 1) * (CELLS + 1)];
    for point in points.chunks_exact(2) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most CELLS")]
        let at = |axis: usize| ((f64::from(point[axis]) - min[axis]) / cell) as usize;
        counts[at(1).min(CELLS) * (CELLS + 1) + at(0).min(CELLS)] += 1.0;
    }
    let count = (points.len() / 2) as f64;
    let pairs: f64 = counts.iter().map(|count| count * (count - 1.0)).sum();
    let crowding = pairs / (count * (count - 1.0)) / (cell * cell);
    // Without any pair in one cell points are spread over the whole.
    (1.0 / (4.0 * std::f64::consts::PI * crowding))
        .sqrt()
        .min(0.25 * longer)
}

/// A smoothed density at the corners of square cells.
struct Field {
    origin: [f64; 2],
    cell: f64,
    columns: usize,
    rows: usize,
    values: Vec<f64>,
}

impl Field {
    fn new(points: &[f32]) -> Option<Self> {
        let count = points.len() / 2;
        let along = |axis: usize| points.iter().skip(axis).step_by(2).map(|v| f64::from(*v));
        let range = |axis: usize| along(axis).fold([f64::MAX, f64::MIN], |[a, b], v| [a.min(v), b.max(v)]);
        let ranges = [range(0), range(1)];
        let extent = ranges.map(|[low, high]| high - low);
        let longer = extent[0].max(extent[1]);
        if count < 3 || longer <= 0.0 {
            return None;
        }
        let scott = (count as f64).powf(-1.0 / 6.0) * spread(points, ranges.map(|[low, _]| low), longer);
        let sigma = scott.max(longer / CELLS as f64);
        let margin = (REACH + 1.0) * sigma;
        let cell = ((longer + 2.0 * margin) / CELLS as f64).max(0.5 * sigma);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most CELLS + 2"
        )]
        let corners = |axis: usize| ((extent[axis] + 2.0 * margin) / cell).ceil() as usize + 2;
        let (columns, rows) = (corners(0), corners(1));
        let origin = [0, 1].map(|axis: usize| ranges[axis][0] - margin);
        let mut values = vec![0.0; columns * rows];
        for point in points.chunks_exact(2) {
            // Shared among the four corners around it.
            let at = [0, 1].map(|axis: usize| (f64::from(point[axis]) - origin[axis]) / cell);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "inside the margin"
            )]
            let [x, y] = at.map(|v| v as usize);
            let [fx, fy] = [at[0].fract(), at[1].fract()];
            for (dx, dy, weight) in [
                (0, 0, (1.0 - fx) * (1.0 - fy)),
                (1, 0, fx * (1.0 - fy)),
                (0, 1, (1.0 - fx) * fy),
                (1, 1, fx * fy),
            ] {
                values[(y + dy) * columns + x + dx] += weight;
            }
        }
        let mut field = Self {
            origin,
            cell,
            columns,
            rows,
            values,
        };
        field.blur(sigma / cell);
        Some(field)
    }

    /// Convolves with a Gaussian, along rows and then along columns.
    fn blur(&mut self, sigma: f64) {
        #[expect(clippy::cast_possible_truncation, reason = "a few cells")]
        let reach = (REACH * sigma).ceil() as isize;
        let mut kernel: Vec<f64> = (-reach..=reach)
            .map(|step| (-0.5 * (step as f64 / sigma).powi(2)).exp())
            .collect();
        let sum: f64 = kernel.iter().sum();
        kernel.iter_mut().for_each(|weight| *weight /= sum);
        let mut pass = |length: usize, step: usize, starts: &mut dyn Iterator<Item = usize>| {
            let mut line = vec![0.0; length];
            for start in starts {
                for (at, value) in line.iter_mut().enumerate() {
                    *value = (kernel.iter().zip(-reach..))
                        .filter_map(|(weight, by)| {
                            let from = at.checked_add_signed(by).filter(|from| *from < length)?;
                            Some(weight * self.values[start + from * step])
                        })
                        .sum();
                }
                for (at, value) in line.iter().enumerate() {
                    self.values[start + at * step] = *value;
                }
            }
        };
        let (columns, rows) = (self.columns, self.rows);
        pass(columns, 1, &mut (0..rows).map(|row| row * columns));
        pass(rows, columns, &mut (0..columns));
    }

    /// The density above which `share` of the mass lies.
    fn level(&self, share: f64) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_unstable_by(|a, b| b.total_cmp(a));
        let wanted = share * sorted.iter().sum::<f64>();
        let mut sum = 0.0;
        for pair in sorted.windows(2) {
            sum += pair[0];
            if sum >= wanted {
                return 0.5 * (pair[0] + pair[1]);
            }
        }
        0.0
    }

    /// Closed lines where the density crosses a level. The margin lies below every level above 0, so all of them close.
    fn lines(&self, level: f64) -> Vec<Vec<[f32; 2]>> {
        let level = level.max(1e-9 * self.values.iter().copied().fold(0.0, f64::max));
        // Sides of cells: horizontal ones by their left corner, then vertical ones by their upper corner. A line passes
        // from side to side; each side that is crossed has two neighbors, one in each of its cells.
        let sides = self.values.len();
        let mut links = vec![[usize::MAX; 2]; 2 * sides];
        let mut link = |a: usize, b: usize| {
            for (from, to) in [(a, b), (b, a)] {
                let free = usize::from(links[from][0] != usize::MAX);
                links[from][free] = to;
            }
        };
        for y in 0..self.rows - 1 {
            for x in 0..self.columns - 1 {
                let at = y * self.columns + x;
                let corners = [at, at + 1, at + self.columns + 1, at + self.columns];
                let above = corners.map(|corner| self.values[corner] > level);
                let [top, right, bottom, left] = [at, sides + at + 1, at + self.columns, sides + at];
                let case = above.iter().rev().fold(0, |bits, above| bits << 1 | u8::from(*above));
                match case {
                    1 | 14 => link(left, top),
                    2 | 13 => link(top, right),
                    4 | 11 => link(right, bottom),
                    8 | 7 => link(bottom, left),
                    3 | 12 => link(left, right),
                    6 | 9 => link(top, bottom),
                    // Two opposite corners: whether they belong together is decided by the middle.
                    5 | 10 => {
                        let middle = 0.25 * corners.iter().map(|corner| self.values[*corner]).sum::<f64>();
                        if (middle > level) == (case == 5) {
                            link(top, right);
                            link(bottom, left);
                        } else {
                            link(left, top);
                            link(right, bottom);
                        }
                    }
                    _ => {}
                }
            }
        }
        let mut lines = Vec::new();
        for start in 0..links.len() {
            let mut line = Vec::new();
            let mut at = start;
            while let Some(next) = links[at].iter().copied().find(|next| *next != usize::MAX) {
                line.push(self.crossing(at, level));
                // Walked once: both ends forget the step.
                for (from, to) in [(at, next), (next, at)] {
                    if let Some(step) = links[from].iter_mut().find(|step| **step == to) {
                        *step = usize::MAX;
                    }
                }
                at = next;
            }
            if let Some(first) = line.first().copied().filter(|_| line.len() > 2) {
                line.push(first);
                lines.push(line);
            }
        }
        lines
    }

    /// Where a side crosses the level, by linear interpolation.
    #[expect(clippy::cast_possible_truncation, reason = "data coordinates are f32")]
    fn crossing(&self, side: usize, level: f64) -> [f32; 2] {
        let sides = self.values.len();
        let (from, to) = match side.checked_sub(sides) {
            None => (side, side + 1),
            Some(upper) => (upper, upper + self.columns),
        };
        let t = (level - self.values[from]) / (self.values[to] - self.values[from]);
        let corner = |at: usize| [(at % self.columns) as f64, (at / self.columns) as f64];
        let (a, b) = (corner(from), corner(to));
        [0, 1].map(|axis: usize| (self.origin[axis] + self.cell * (a[axis] + t * (b[axis] - a[axis]))) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A standard normal cloud of n points by the inverse of the radius' distribution on golden angles: no noise.
    fn normal(n: u32) -> Vec<f32> {
        (0..n)
            .flat_map(|i| {
                let u = (f64::from(i) + 0.5) / f64::from(n);
                let (r, angle) = ((-2.0 * (1.0 - u).ln()).sqrt(), f64::from(i) * 2.399_963_229_728_653);
                [(r * angle.cos()) as f32, (r * angle.sin()) as f32]
            })
            .collect()
    }

    #[test]
    fn contours_of_a_normal_cloud_are_circles_of_the_known_radius() {
        let n = 20_000;
        let contours = density_contours(&normal(n), &[0.5, 0.8]).unwrap();
        assert_eq!(contours.len(), 2);
        // Smoothing adds its variance.
        let sigma = f64::from(n).powf(-1.0 / 6.0);
        for contour in &contours {
            let expected = (-2.0 * (1.0 - f64::from(contour.share)).ln() * (1.0 + sigma * sigma)).sqrt();
            for [x, y] in &contour.line {
                let radius = f64::from(x.hypot(*y));
                assert!((radius / expected - 1.0).abs() < 0.03, "{radius} for {expected}");
            }
        }
    }

    #[test]
    fn clumps_count_as_narrow_as_they_are() {
        // Four normal clouds, a hundred of their standard deviations apart.
        let points: Vec<f32> = (0..4_u8)
            .flat_map(|clump| {
                let [x, y] = [f32::from(clump % 2) * 100.0, f32::from(clump / 2) * 100.0];
                let shift = move |point: [f32; 2]| [point[0] + x, point[1] + y];
                normal(5_000)
                    .chunks(2)
                    .flat_map(|p| shift([p[0], p[1]]))
                    .collect::<Vec<_>>()
            })
            .collect();
        let contours = density_contours(&points, &[0.8]).unwrap();
        assert_eq!(contours.len(), 4);
        for contour in contours {
            let [left, right] = contour
                .line
                .iter()
                .fold([f32::MAX, f32::MIN], |[a, b], p| [a.min(p[0]), b.max(p[0])]);
            // Of one normal cloud 1.79 on each side; smoothed by less than one more standard deviation.
            assert!((1.7..2.5).contains(&(0.5 * (right - left))), "{left} {right}");
        }
    }

    #[test]
    fn a_ring_has_an_inner_and_an_outer_line() {
        let points: Vec<f32> = (0..5_000_u16)
            .flat_map(|i| {
                let (sin, cos) = (f32::from(i) * 2.399_963).sin_cos();
                let r = 1.0 + 0.02 * f32::from(i % 11);
                [r * cos, r * sin]
            })
            .collect();
        let contours = density_contours(&points, &[0.9]).unwrap();
        assert_eq!(contours.len(), 2);
        let mut radii = contours
            .iter()
            .map(|contour| contour.line[0][0].hypot(contour.line[0][1]));
        let (a, b) = (radii.next().unwrap(), radii.next().unwrap());
        assert!(a.min(b) < 1.05 && a.max(b) > 1.15, "{a} {b}");
    }

    #[test]
    fn clouds_without_extent_have_none_and_odd_ones_are_refused() {
        assert!(density_contours(&[1.0; 20], &[0.5]).unwrap().is_empty());
        assert!(density_contours(&[], &[0.5]).unwrap().is_empty());
        // On a line, and far from the origin.
        let line: Vec<f32> = (0..100_u8).flat_map(|i| [1e6 + f32::from(i), 3.0]).collect();
        assert!(!density_contours(&line, &[0.0, 0.5, 1.0]).unwrap().is_empty());
        assert!(matches!(density_contours(&[1.0; 3], &[0.5]), Err(Error::Shape { .. })));
        assert!(matches!(
            density_contours(&[f32::NAN; 2], &[0.5]),
            Err(Error::NotFinite { .. })
        ));
        assert!(matches!(
            density_contours(&[1.0; 4], &[f32::NAN]),
            Err(Error::NotFinite { .. })
        ));
    }
}
