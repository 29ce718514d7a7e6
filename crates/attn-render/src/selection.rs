//! Selections of points with a box or a lasso, kept in a [`ViewState`](crate::ViewState), saved with it.

use std::sync::Arc;

use attn_core::HeadId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::geometry::Rect;

/// The outline of a selection in progress, in pixels of the target.
#[derive(Debug, Clone, PartialEq)]
pub enum Area {
    /// A rectangle.
    Box(Rect),
    /// A closed line through these corners; inside is where a ray crosses it an odd number of times.
    Lasso(Vec<[f32; 2]>),
}

impl Area {
    /// The rectangle with two opposite corners.
    pub fn between(a: [f32; 2], b: [f32; 2]) -> Self {
        Self::Box(Rect {
            min: [a[0].min(b[0]), a[1].min(b[1])],
            max: [a[0].max(b[0]), a[1].max(b[1])],
        })
    }

    /// Whether a pixel position is inside.
    ///
    /// ```
    /// use attn_render::Area;
    /// let triangle = Area::Lasso(vec![[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]);
    /// assert!(triangle.contains([2.0, 2.0]) && !triangle.contains([8.0, 8.0]));
    /// ```
    pub fn contains(&self, p: [f32; 2]) -> bool {
        match self {
            Self::Box(rect) => rect.contains(p),
            Self::Lasso(corners) => {
                let mut inside = false;
                let before = corners.iter().cycle().skip(corners.len().saturating_sub(1));
                for (b, a) in corners.iter().zip(before) {
                    inside ^= crosses(*a, *b, p);
                }
                inside
            }
        }
    }

    /// The rectangle around it; empty at the origin without corners.
    pub fn bounds(&self) -> Rect {
        match self {
            Self::Box(rect) => *rect,
            Self::Lasso(corners) => {
                let Some(first) = corners.first() else {
                    return Rect::default();
                };
                corners.iter().fold(
                    Rect {
                        min: *first,
                        max: *first,
                    },
                    |rect, p| Rect {
                        min: [rect.min[0].min(p[0]), rect.min[1].min(p[1])],
                        max: [rect.max[0].max(p[0]), rect.max[1].max(p[1])],
                    },
                )
            }
        }
    }
}

/// An area prepared for many questions: of a lasso only the sides that pass a point's height are looked at.
pub(crate) struct Prepared<'a> {
    area: &'a Area,
    bounds: Rect,
    /// Sides by the bands of equal height that they touch.
    bands: Vec<Vec<[[f32; 2]; 2]>>,
}

/// Bands of a prepared lasso.
const BANDS: usize = 128;

impl<'a> Prepared<'a> {
    pub(crate) fn new(area: &'a Area) -> Self {
        let mut prepared = Self {
            area,
            bounds: area.bounds(),
            bands: Vec::new(),
        };
        if let Area::Lasso(corners) = area {
            prepared.bands = vec![Vec::new(); BANDS];
            let before = corners.iter().cycle().skip(corners.len().saturating_sub(1));
            for (b, a) in corners.iter().zip(before) {
                let (first, last) = (prepared.band(a[1].min(b[1])), prepared.band(a[1].max(b[1])));
                for band in &mut prepared.bands[first..=last] {
                    band.push([*a, *b]);
                }
            }
        }
        prepared
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the bands"
    )]
    fn band(&self, y: f32) -> usize {
        let along = (y - self.bounds.min[1]) / self.bounds.height().max(f32::MIN_POSITIVE);
        (along * BANDS as f32).clamp(0.0, (BANDS - 1) as f32) as usize
    }

    /// As [`Area::contains`].
    pub(crate) fn contains(&self, p: [f32; 2]) -> bool {
        match self.area {
            Area::Box(rect) => rect.contains(p),
            Area::Lasso(_) if self.bounds.min.iter().chain(&self.bounds.max).any(|v| !v.is_finite()) => {
                self.area.contains(p)
            }
            Area::Lasso(_) => {
                let mut inside = false;
                for [a, b] in &self.bands[self.band(p[1])] {
                    inside ^= crosses(*a, *b, p);
                }
                inside
            }
        }
    }
}

/// Whether the ray from `p` to the right crosses the line from `a` to `b`.
fn crosses(a: [f32; 2], b: [f32; 2], p: [f32; 2]) -> bool {
    // Half-open in y, so that a ray through a corner crosses once.
    (a[1] > p[1]) != (b[1] > p[1]) && p[0] < a[0] + (p[1] - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
}

/// A set of ids of points or tokens, as in [`Pick`](crate::Pick): queries first, then keys.
///
/// Heads of one kind of attention have the same tokens, so a selection made in one of them holds for all. Cheap to
/// clone; saved as runs of neighboring ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    head: Option<HeadId>,
    /// First and last id of each run, ascending, never touching.
    runs: Arc<[[u32; 2]]>,
}

impl Selection {
    /// The set of `ids`, in any order, repeated or not, made in the panel of `head`.
    ///
    /// ```
    /// use attn_render::Selection;
    /// let selection = Selection::new(None, [7, 3, 4, 4]);
    /// assert_eq!(selection.ids().collect::<Vec<_>>(), [3, 4, 7]);
    /// assert!(selection.contains(4) && !selection.contains(5));
    /// ```
    pub fn new(head: Option<HeadId>, ids: impl IntoIterator<Item = u32>) -> Self {
        let mut ids: Vec<u32> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        let mut runs: Vec<[u32; 2]> = Vec::new();
        for id in ids {
            match runs.last_mut() {
                Some([_, last]) if last.checked_add(1) == Some(id) => *last = id,
                _ => runs.push([id, id]),
            }
        }
        Self {
            head,
            runs: runs.into(),
        }
    }

    /// The head in whose panel it was made.
    pub fn head(&self) -> Option<HeadId> {
        self.head
    }

    /// Whether nothing is selected.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many ids are selected, of points that exist or not: see [`ids_below`](Self::ids_below).
    pub fn len(&self) -> usize {
        let run = |[first, last]: &[u32; 2]| (last - first) as usize;
        self.runs
            .iter()
            .fold(0, |sum: usize, ids| sum.saturating_add(run(ids)).saturating_add(1))
    }

    /// Whether an id is selected.
    pub fn contains(&self, id: u32) -> bool {
        let after = self.runs.partition_point(|[first, _]| *first <= id);
        after.checked_sub(1).is_some_and(|run| id <= self.runs[run][1])
    }

    /// The ids, ascending. A saved selection may name any: of some points, only those below their number are worth walking
    /// ([`ids_below`](Self::ids_below)).
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.runs.iter().flat_map(|[first, last]| *first..=*last)
    }

    /// The ids of so many points, ascending: what [`ids`](Self::ids) gives, without ids of points that do not exist.
    ///
    /// ```
    /// use attn_render::Selection;
    /// let all = Selection::new(None, 2..6);
    /// assert_eq!(all.ids_below(4).collect::<Vec<_>>(), [2, 3]);
    /// ```
    pub fn ids_below(&self, points: usize) -> impl Iterator<Item = usize> {
        let points = u32::try_from(points).unwrap_or(u32::MAX);
        let runs = self.runs.iter().take_while(move |[first, _]| *first < points);
        runs.flat_map(move |[first, last]| *first as usize..(*last).min(points - 1) as usize + 1)
    }

    /// Whether it holds for a head: it was made in one of the same kind of attention, or in no head's panel.
    pub fn applies_to(&self, head: HeadId) -> bool {
        self.head.is_none_or(|made_in| made_in.attention == head.attention)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Selection")]
struct Saved {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    head: Option<HeadId>,
    #[serde(default)]
    runs: Vec<[u32; 2]>,
}

impl Serialize for Selection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Saved {
            head: self.head,
            runs: self.runs.to_vec(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Selection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Saved { head, runs } = Saved::deserialize(deserializer)?;
        let mut before: Option<u32> = None;
        for [first, last] in &runs {
            if last < first || before.is_some_and(|before| before >= *first) {
                return Err(D::Error::custom(format!(
                    "runs of selected ids: expected ascending pairs of first and last, found [{first}, {last}] after {}",
                    before.map_or_else(|| "none".to_owned(), |id| id.to_string())
                )));
            }
            before = Some(*last);
        }
        Ok(Self {
            head,
            runs: runs.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lasso_holds_what_its_winding_says() {
        // A star whose inner pentagon is crossed twice: outside, by the even-odd rule.
        let star: Vec<[f32; 2]> = (0..5)
            .map(|i| {
                let (y, x) = (i as f32 * 2.0 * std::f32::consts::TAU / 5.0).sin_cos();
                [10.0 * x, 10.0 * y]
            })
            .collect();
        let area = Area::Lasso(star);
        assert!(area.contains([7.0, 0.0]), "in a point of the star");
        assert!(!area.contains([0.0, 0.0]), "in its middle");
        assert!(!area.contains([-9.0, 0.0]), "between two points");
        // A ray through corners crosses once.
        let diamond = Area::Lasso(vec![[0.0, -5.0], [5.0, 0.0], [0.0, 5.0], [-5.0, 0.0]]);
        assert!(diamond.contains([0.0, 0.0]) && !diamond.contains([-6.0, 0.0]) && !diamond.contains([6.0, 0.0]));
        assert!(!Area::Lasso(vec![]).contains([0.0, 0.0]));
        assert!(!diamond.contains([f32::NAN, 0.0]));
    }

    #[test]
    fn a_prepared_lasso_says_the_same() {
        let corner = |i: u16| {
            let (y, x) = (f32::from(i) * 2.399).sin_cos();
            [100.0 * x * f32::from(i % 7 + 1), 80.0 * y * f32::from(i % 5 + 1)]
        };
        let area = Area::Lasso((0..60).map(corner).collect());
        let prepared = Prepared::new(&area);
        let mut inside = 0;
        for i in 0..20_000_u16 {
            let p = [f32::from(i % 141) * 10.0 - 700.0, f32::from(i / 141) * 6.0 - 430.0];
            assert_eq!(prepared.contains(p), area.contains(p), "{p:?}");
            inside += usize::from(prepared.contains(p));
        }
        assert!(inside > 1_000, "{inside}");
        for odd in [
            vec![],
            vec![[1.0, 1.0]],
            vec![[f32::NAN, 0.0], [f32::INFINITY, 1.0], [0.0, 5.0]],
        ] {
            let area = Area::Lasso(odd);
            for p in [[0.0, 0.0], [f32::NAN, 1.0], [1.0, f32::NAN]] {
                assert_eq!(Prepared::new(&area).contains(p), area.contains(p));
            }
        }
    }

    #[test]
    fn saved_sets_come_back_and_bad_ones_are_refused() {
        let head = HeadId::new(attn_core::Attention::EncoderSelf, 2, 3);
        let selection = Selection::new(Some(head), [5, 1, 2, 9, 10, 11, u32::MAX]);
        let text = serde_json::to_string(&selection).unwrap();
        assert!(text.contains("[1,2],[5,5],[9,11]"), "{text}");
        assert_eq!(serde_json::from_str::<Selection>(&text).unwrap(), selection);
        assert_eq!(selection.len(), 7);
        assert_eq!(selection.ids_below(10).collect::<Vec<_>>(), [1, 2, 5, 9]);
        assert_eq!(selection.ids_below(0).count(), 0);
        assert_eq!(selection.ids_below(usize::MAX).count(), 6, "there is no point 2^32 - 1");
        for bad in [r#"{"runs":[[3,2]]}"#, r#"{"runs":[[1,4],[4,6]]}"#] {
            let error = serde_json::from_str::<Selection>(bad).unwrap_err().to_string();
            assert!(error.contains("ascending"), "{error}");
        }
    }
}
