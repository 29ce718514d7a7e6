//! Against overplotting: how points cover each other, in which order, how many of them, and how large and opaque they are.

use super::Coordinates;
use crate::{
    Result, Scene,
    sample::representative,
    scene::{Blending, Layer, Point},
};

/// Size and opacity of points that are as crowded as these.
///
/// ```
/// use attn_render::plots::kit::{Coordinates, Crowd};
/// let few = Crowd::new(&Coordinates::new([0.0, 0.0, 1.0, 1.0], 2)?, 90_000.0);
/// let many = Crowd::new(&Coordinates::new(vec![0.5; 20_000], 2)?, 90_000.0);
/// assert!(few.radius > many.radius && few.opacity > many.opacity);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crowd {
    /// Radius of a point, in layout units.
    pub radius: f32,
    /// Opacity of a point, 0 to 1.
    pub opacity: f32,
    /// How points cover each other: many are mixed, few keep their outlines.
    pub blending: Blending,
}

impl Crowd {
    /// That of points whose bounds fill `area` square layout units.
    pub fn new(coordinates: &Coordinates, area: f32) -> Self {
        Self::up_to(coordinates, area, f32::INFINITY)
    }

    /// The same with points of at most a radius.
    pub(crate) fn up_to(coordinates: &Coordinates, area: f32, most: f32) -> Self {
        let density = density(coordinates, area);
        let radius = radius_at(density).min(most);
        let opacity = opacity_at(density, radius);
        Self {
            radius,
            opacity,
            blending: blending(opacity),
        }
    }
}

/// Points that are so many that they had to become translucent are mixed; fewer keep their outlines and cover each other.
pub(crate) fn blending(opacity: f32) -> Blending {
    if opacity < OPAQUE {
        Blending::MIXED
    } else {
        Blending::InOrder
    }
}

/// The order in which points are drawn: queries and keys alternate, so that neither covers the other. Where points cover
/// each other the order within each is as good as random. It depends on where points are and on their values, not on how they
/// are numbered: the picture is the same in whatever order a capture has them, and no class covers another for coming later.
pub fn drawing_order(
    coordinates: &Coordinates,
    queries: usize,
    values: Option<&[f32]>,
    blending: Blending,
) -> impl Iterator<Item = usize> {
    let points = coordinates.len();
    // What is mixed has no order.
    let order = |range: std::ops::Range<usize>| match blending {
        Blending::InOrder => scattered(coordinates, range, values),
        Blending::Mixed { .. } => range.collect(),
    };
    let (first, second) = (order(0..queries), order(queries..points));
    let keys = points - queries;
    let (mut query, mut key) = (0, 0);
    (0..points).map(move |_| {
        // The one furthest below its share goes next.
        let query_next = key == keys || (query < queries && (2 * query + 1) * keys <= (2 * key + 1) * queries);
        if query_next {
            query += 1;
            first[query - 1]
        } else {
            key += 1;
            second[key - 1]
        }
    })
}

/// Least opacity of a point of such a crowd, before the crowd is dimmed: single points stay visible. What lies on top of
/// each other adds up no further than the crowd's own opacity.
const SEEN: f32 = 0.6;

/// Gives a layer its points, highlighted ones in front of the others. A crowd with highlights
/// is dimmed as a whole and keeps the layer's place; `layer` is then the one in front of it, with the labels.
pub fn add_points(
    scene: &mut Scene,
    layer: &mut Layer,
    blending: Blending,
    mut others: Vec<Point>,
    brought_out: Vec<Point>,
) {
    if blending == Blending::InOrder || brought_out.is_empty() {
        others.extend(brought_out);
        (layer.points, layer.blending) = (others.into(), blending);
        return;
    }
    let front = Layer {
        points: brought_out.into_iter().map(|point| point.solid(true)).collect(),
        labels: std::mem::take(&mut layer.labels),
        blending: Blending::MIXED,
        ..Layer::default()
    };
    layer.points = others.into();
    layer.blending = Blending::Mixed {
        opacity: scene.dimmed_opacity(),
    };
    // Highlighted points are opaque regardless.
    for panel in &mut scene.panels {
        panel.point_opacity = panel.point_opacity.max(SEEN);
    }
    scene.layers.push(std::mem::replace(layer, front));
}

/// Indices ordered by a hash of position and value: a counting sort by its leading bits, then each of the small buckets.
fn scattered(coordinates: &Coordinates, range: std::ops::Range<usize>, values: Option<&[f32]>) -> Vec<usize> {
    let key = |index: usize| {
        let bits = coordinates.get(index).map(|v| u64::from(v.to_bits()));
        let value = values.map_or(0, |values| u64::from(values[index].to_bits()));
        mixed(mixed(bits[0] << 32 | bits[1]) ^ (bits[2] << 32 | value))
    };
    let keys: Vec<u64> = range.clone().map(key).collect();
    let bits = keys.len().max(2).ilog2().min(16);
    let mut starts = vec![0_usize; (1 << bits) + 1];
    let bucket = |key: u64| (key >> (64 - bits)) as usize;
    for key in &keys {
        starts[bucket(*key) + 1] += 1;
    }
    for bucket in 1..starts.len() {
        starts[bucket] += starts[bucket - 1];
    }
    let mut next = starts.clone();
    let mut order = vec![(0, 0); keys.len()];
    for (index, key) in range.zip(&keys) {
        let next = &mut next[bucket(*key)];
        order[*next] = (*key, index);
        *next += 1;
    }
    for ends in starts.windows(2) {
        order[ends[0]..ends[1]].sort_unstable();
    }
    order.into_iter().map(|(_, index)| index).collect()
}

/// The finaliser of SplitMix64 (Steele et al. 2014): every bit depends on all.
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// So many points per square layout unit are drawn at most: four pixels on a screen of twice the density.
const MOST_PER_UNIT: f32 = 4.0;
/// So many points are drawn in the smallest panel.
const ALWAYS: usize = 2_000;

/// Which points of a panel of `area` square layout units are drawn, and how many: `None` for all; where they are far more
/// than its pixels a representative part of the queries and of the keys, and all that are `marked`.
///
/// # Errors
/// Those of [`representative`].
pub fn thinned(
    coordinates: &Coordinates,
    queries: usize,
    area: f32,
    marked: &[bool],
) -> Result<Option<(Vec<bool>, usize)>> {
    let points = coordinates.len();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let most = ((MOST_PER_UNIT * area) as usize).max(ALWAYS);
    if points <= most {
        return Ok(None);
    }
    let mut kept = vec![false; points];
    for range in [0..queries, queries..points] {
        let share = (most as u128 * range.len() as u128 / points as u128) as usize;
        let part = &coordinates.values()[range.start * coordinates.dims()..range.end * coordinates.dims()];
        for index in representative(part, coordinates.dims(), share)? {
            kept[range.start + index] = true;
        }
    }
    for (kept, marked) in kept.iter_mut().zip(marked) {
        *kept |= marked;
    }
    let count = kept.iter().filter(|kept| **kept).count();
    Ok(Some((kept, count)))
}

/// What a caption says where points are left out.
pub fn thinning_note(drawn: usize, points: usize) -> String {
    format!(" {drawn} of {points} points are drawn: crowded regions are thinned, isolated points are kept.")
}

/// Points per square unit that an average point finds around itself, where the points' bounds fill `area` square units.
/// So clumps and spirals count as crowded though their panel is mostly empty.
pub(crate) fn density(coordinates: &Coordinates, area: f32) -> f32 {
    const CELLS: usize = 24;
    let bounds = coordinates.bounds();
    let side = bounds.extent(0).max(bounds.extent(1)).max(f32::MIN_POSITIVE);
    let per_cell = CELLS as f32 / side;
    let mut counts = vec![0_u32; CELLS * CELLS];
    for p in coordinates.iter() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to the cells"
        )]
        let cell = |axis: usize| ((p[axis] - bounds.min[axis]) * per_cell).clamp(0.0, (CELLS - 1) as f32) as usize;
        counts[cell(1) * CELLS + cell(0)] += 1;
    }
    let pairs: f64 = counts
        .iter()
        .map(|&c| f64::from(c) * f64::from(c.saturating_sub(1)))
        .sum();
    let neighbors = (pairs / coordinates.len().max(1) as f64) as f32;
    (neighbors * (CELLS * CELLS) as f32 / area.max(1.0)).max(1e-6)
}

/// Radius, in layout units, at which discs cover half of the place at a density, within what can be seen and what is
/// pleasant.
pub(crate) fn radius_at(density: f32) -> f32 {
    (0.5 / (std::f32::consts::PI * density)).sqrt().clamp(0.62, 3.6)
}

/// Opacity of points that hardly overlap.
const OPAQUE: f32 = 0.9;

/// Opacity of discs of a radius: the less, the more of them overlap.
pub(crate) fn opacity_at(density: f32, radius: f32) -> f32 {
    let covered = std::f32::consts::PI * radius * radius * density;
    (0.95 / covered.max(1.0).powf(0.4)).clamp(0.25, OPAQUE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_drawn_once_and_kinds_alternate() {
        for (points, queries) in [(10, 5), (9, 3), (7, 0), (7, 7), (100, 20)] {
            let values: Vec<f32> = (0..2 * points).map(|i| i as f32).collect();
            let order: Vec<usize> =
                drawing_order(&Coordinates::new(values, 2).unwrap(), queries, None, Blending::InOrder).collect();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..points).collect::<Vec<_>>());
            for drawn in 1..points {
                let share = order[..drawn].iter().filter(|i| **i < queries).count() as f32 / drawn as f32;
                let fair = queries as f32 / points as f32;
                assert!(
                    (share - fair).abs() * drawn as f32 <= 1.0,
                    "{points} {queries} after {drawn}"
                );
            }
        }
    }

    #[test]
    fn the_order_follows_places_not_numbers() {
        let places: Vec<[f32; 2]> = (0..500_u16)
            .map(|i| [f32::from(i * 37 % 499), f32::from(i % 7)])
            .collect();
        let drawn = |places: &[[f32; 2]]| -> Vec<[f32; 2]> {
            let flat = places.as_flattened();
            drawing_order(&Coordinates::new(flat, 2).unwrap(), 200, None, Blending::InOrder)
                .map(|i| places[i])
                .collect()
        };
        let mut shuffled = places.clone();
        shuffled[..200].reverse();
        shuffled[200..].rotate_left(77);
        assert_eq!(drawn(&places), drawn(&shuffled));
        // As good as random: of neighbors in the data about as many come earlier as later.
        let order: Vec<usize> = drawing_order(
            &Coordinates::new(places.as_flattened(), 2).unwrap(),
            0,
            None,
            Blending::InOrder,
        )
        .collect();
        let rising = order.windows(2).filter(|pair| pair[0] < pair[1]).count();
        // Of 499 pairs half; the standard deviation of ascents of a random order is sqrt((n + 1) / 12) = 6.5.
        assert!(rising.abs_diff(250) < 26, "{rising}");
    }

    #[test]
    fn few_points_all_stay_and_crowds_are_thinned_evenly() {
        let values: Vec<f32> = (0..20_000_u16)
            .flat_map(|i| [f32::from(i % 100), f32::from(i / 100)])
            .collect();
        let coordinates = Coordinates::new(values, 2).unwrap();
        assert!(thinned(&coordinates, 5_000, 5_000.0, &[]).unwrap().is_none());
        let mut marked = vec![false; 20_000];
        marked[19_999] = true;
        marked[123] = true;
        let (kept, count) = thinned(&coordinates, 5_000, 1_000.0, &marked).unwrap().unwrap();
        assert!((4_000..=4_002).contains(&count) && kept[123] && kept[19_999], "{count}");
        let queries = kept[..5_000].iter().filter(|kept| **kept).count();
        assert!(
            (1_000..=1_002).contains(&queries),
            "the share of the queries: {queries}"
        );
    }

    #[test]
    fn points_shrink_and_pale_as_they_crowd() {
        // A square lattice, so that the density is known: covered share = pi r^2 n / area.
        let lattice = |side: u16| -> Vec<f32> {
            (0..side)
                .flat_map(|y| (0..side).flat_map(move |x| [f32::from(x), f32::from(y)]))
                .collect()
        };
        let sizes = [4, 60, 200, 900].map(|side| {
            let density = density(&Coordinates::new(lattice(side), 2).unwrap(), 90_000.0);
            (radius_at(density), opacity_at(density, radius_at(density)))
        });
        assert!(
            sizes
                .windows(2)
                .all(|pair| pair[0].0 >= pair[1].0 && pair[0].1 >= pair[1].1),
            "{sizes:?}"
        );
        assert_eq!(sizes[0], (3.6, 0.9));
        let covered = std::f32::consts::PI * sizes[1].0.powi(2) * 3600.0 / 90_000.0;
        assert!((0.4..0.65).contains(&covered), "half of the place: {covered}");
        assert_eq!(sizes[3].0, 0.62);
    }

    #[test]
    fn clumps_count_as_crowded() {
        let spread: Vec<f32> = (0..900_u16)
            .flat_map(|i| [f32::from(i % 30), f32::from(i / 30)])
            .collect();
        let mut clumps = spread.clone();
        clumps
            .iter_mut()
            .for_each(|v| *v = (*v / 10.0).floor() * 10.0 + 0.1 * (*v % 10.0));
        let radius = |values: &[f32]| radius_at(density(&Coordinates::new(values, 2).unwrap(), 90_000.0));
        assert!(radius(&clumps) < 0.5 * radius(&spread));
    }
}
