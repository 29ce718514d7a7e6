//! Rectangles, bounds and the transform from a panel's data to pixels.

use serde::{Deserialize, Serialize};

/// An axis-aligned rectangle, y downwards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Rect {
    /// Left, top.
    pub min: [f32; 2],
    /// Right, bottom.
    pub max: [f32; 2],
}

impl Rect {
    /// A rectangle from its left top corner and its size.
    pub fn new(left: f32, top: f32, width: f32, height: f32) -> Self {
        Self {
            min: [left, top],
            max: [left + width, top + height],
        }
    }

    /// Width, never negative.
    pub fn width(&self) -> f32 {
        (self.max[0] - self.min[0]).max(0.0)
    }

    /// Height, never negative.
    pub fn height(&self) -> f32 {
        (self.max[1] - self.min[1]).max(0.0)
    }

    /// The middle.
    pub fn center(&self) -> [f32; 2] {
        [0.5 * (self.min[0] + self.max[0]), 0.5 * (self.min[1] + self.max[1])]
    }

    /// Whether a point is inside; the right and bottom borders are outside.
    pub fn contains(&self, p: [f32; 2]) -> bool {
        p[0] >= self.min[0] && p[0] < self.max[0] && p[1] >= self.min[1] && p[1] < self.max[1]
    }

    /// Moves each border inwards by `by`, at most to the middle.
    pub fn shrink(&self, by: f32) -> Self {
        let (dx, dy) = (by.min(0.5 * self.width()), by.min(0.5 * self.height()));
        Self {
            min: [self.min[0] + dx, self.min[1] + dy],
            max: [self.max[0] - dx, self.max[1] - dy],
        }
    }

    /// The common part, empty if there is none.
    pub fn intersect(&self, other: &Self) -> Self {
        let min = [self.min[0].max(other.min[0]), self.min[1].max(other.min[1])];
        let max = [
            self.max[0].min(other.max[0]).max(min[0]),
            self.max[1].min(other.max[1]).max(min[1]),
        ];
        Self { min, max }
    }

    /// Whether the two share any area.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.min[0] < other.max[0]
            && other.min[0] < self.max[0]
            && self.min[1] < other.max[1]
            && other.min[1] < self.max[1]
    }

    /// The largest square in the middle.
    pub fn square(&self) -> Self {
        let side = self.width().min(self.height());
        let [x, y] = self.center();
        Self::new(x - 0.5 * side, y - 0.5 * side, side, side)
    }
}

/// The box around a panel's data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// Smallest coordinates.
    pub min: [f32; 3],
    /// Largest coordinates.
    pub max: [f32; 3],
}

impl Bounds {
    /// The box around `points`; NaN and infinite points are left out. The unit box if nothing is left.
    pub fn around(points: impl IntoIterator<Item = [f32; 3]>) -> Self {
        let mut bounds = Self {
            min: [f32::INFINITY; 3],
            max: [f32::NEG_INFINITY; 3],
        };
        for point in points {
            if point.iter().all(|x| x.is_finite()) {
                for axis in 0..3 {
                    bounds.min[axis] = bounds.min[axis].min(point[axis]);
                    bounds.max[axis] = bounds.max[axis].max(point[axis]);
                }
            }
        }
        if bounds.min[0] > bounds.max[0] {
            Self {
                min: [0.0; 3],
                max: [1.0; 3],
            }
        } else {
            bounds
        }
    }

    /// The bounds whose data coordinates are `rect`'s own.
    pub fn page(rect: Rect) -> Self {
        Self {
            min: [rect.min[0], rect.min[1], 0.0],
            max: [rect.max[0], rect.max[1], 0.0],
        }
    }

    /// Grows each side by `fraction` of the longest side. A box without extent grows to side 1.
    pub fn pad(&self, fraction: f32) -> Self {
        let longest = (0..3).map(|axis| self.max[axis] - self.min[axis]).fold(0.0, f32::max);
        let by = if longest > 0.0 { fraction * longest } else { 0.5 };
        Self {
            min: self.min.map(|x| x - by),
            max: self.max.map(|x| x + by),
        }
    }

    /// The middle.
    pub fn center(&self) -> [f32; 3] {
        [0, 1, 2].map(|axis| 0.5 * (self.min[axis] + self.max[axis]))
    }

    /// Extent along an axis.
    pub fn extent(&self, axis: usize) -> f32 {
        self.max[axis] - self.min[axis]
    }

    /// Half the diagonal.
    pub fn radius(&self) -> f32 {
        0.5 * (0..3).map(|axis| self.extent(axis).powi(2)).sum::<f32>().sqrt()
    }
}

/// Eye distance of the 3D camera, in radii of the data.
pub(crate) const EYE: f32 = 3.5;

/// From a panel's data coordinates to pixels: the rows of `px_from_data` for x, y and the perspective divisor w.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transform {
    /// `x * w`, from `[x, y, z, 1]`.
    pub x: [f32; 4],
    /// `y * w`, from `[x, y, z, 1]`.
    pub y: [f32; 4],
    /// Perspective divisor: 1 in the middle of the data, smaller nearer to the eye. Always 1 in flat panels.
    pub w: [f32; 4],
}

impl Transform {
    /// The affine map `px = scale * data + offset`, per axis.
    pub fn flat(scale: [f32; 2], offset: [f32; 2]) -> Self {
        Self {
            x: [scale[0], 0.0, 0.0, offset[0]],
            y: [0.0, scale[1], 0.0, offset[1]],
            w: [0.0, 0.0, 0.0, 1.0],
        }
    }

    /// Pixel position and w of a data point.
    pub fn apply(&self, p: [f32; 3]) -> [f32; 3] {
        let dot = |row: &[f32; 4]| row[0] * p[0] + row[1] * p[1] + row[2] * p[2] + row[3];
        let w = dot(&self.w);
        [dot(&self.x) / w, dot(&self.y) / w, w]
    }

    /// The data point under a pixel, for flat panels. `None` if the map has no inverse.
    pub fn invert_flat(&self, px: [f32; 2]) -> Option<[f32; 2]> {
        let data = [(px[0] - self.x[3]) / self.x[0], (px[1] - self.y[3]) / self.y[1]];
        data.iter().all(|v| v.is_finite()).then_some(data)
    }

    /// Follows the map by `px' = scale * px + offset`.
    pub fn then(&self, scale: f32, offset: [f32; 2]) -> Self {
        let mut map = *self;
        for column in 0..4 {
            map.x[column] = scale * self.x[column] + offset[0] * self.w[column];
            map.y[column] = scale * self.y[column] + offset[1] * self.w[column];
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_leave_out_what_is_not_finite() {
        let bounds = Bounds::around([
            [1.0, 2.0, 3.0],
            [f32::NAN, 0.0, 0.0],
            [3.0, f32::INFINITY, 0.0],
            [0.0, 5.0, 1.0],
        ]);
        assert_eq!(
            bounds,
            Bounds {
                min: [0.0, 2.0, 1.0],
                max: [1.0, 5.0, 3.0]
            }
        );
        assert_eq!(Bounds::around([]).max, [1.0; 3]);
    }

    #[test]
    fn following_a_map_scales_and_shifts_its_pixels() {
        let map = Transform {
            x: [2.0, 0.0, 1.0, 5.0],
            y: [0.0, -3.0, 0.0, 7.0],
            w: [0.0, 0.0, 0.25, 1.0],
        };
        let p = [1.5, -2.0, 0.5];
        let [x, y, w] = map.apply(p);
        let [x2, y2, w2] = map.then(4.0, [10.0, -20.0]).apply(p);
        assert!((x2 - (4.0 * x + 10.0)).abs() < 1e-4 && (y2 - (4.0 * y - 20.0)).abs() < 1e-4 && w == w2);
    }

    #[test]
    fn rectangles_that_touch_do_not_overlap() {
        let a = Rect::new(0.0, 0.0, 10.0, 10.0);
        assert!(!a.overlaps(&Rect::new(10.0, 0.0, 5.0, 5.0)));
        assert!(a.overlaps(&Rect::new(9.0, 9.0, 5.0, 5.0)));
        assert_eq!(a.intersect(&Rect::new(20.0, 0.0, 5.0, 5.0)).width(), 0.0);
        assert_eq!(a.shrink(100.0).width(), 0.0);
    }
}
