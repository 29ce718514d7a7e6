//! Partitions of points into clusters, and their agreement.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::Error;

/// The cluster of each point. Clusters are numbered from 0 by their first point, and none is empty. Points of a method that
/// knows noise may be in no cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    of: Vec<Option<usize>>,
    count: usize,
}

impl Partition {
    /// From any numbers that are equal for points of the same cluster.
    ///
    /// ```
    /// use attn_analyze::concepts::Partition;
    ///
    /// let partition = Partition::new(&[7, 3, 7]);
    /// assert_eq!((partition.labels(), partition.count()), (vec![0, 1, 0], 2));
    /// ```
    pub fn new(names: &[usize]) -> Self {
        Self::with_noise(names.iter().map(|&name| Some(name)))
    }

    /// From any numbers, `None` for points in no cluster.
    ///
    /// ```
    /// use attn_analyze::concepts::Partition;
    ///
    /// let partition = Partition::with_noise([Some(5), None, Some(2), Some(5)]);
    /// assert_eq!((partition.labels(), partition.noise()), (vec![0, -1, 1, 0], 1));
    /// ```
    pub fn with_noise(names: impl IntoIterator<Item = Option<usize>>) -> Self {
        let mut numbers: HashMap<usize, usize> = HashMap::new();
        let mut number = |name: usize| {
            let next = numbers.len();
            *numbers.entry(name).or_insert(next)
        };
        let of = names.into_iter().map(|name| name.map(&mut number)).collect();
        Self {
            of,
            count: numbers.len(),
        }
    }

    /// The cluster of each point; `None` for noise.
    pub fn of(&self) -> &[Option<usize>] {
        &self.of
    }

    /// The cluster of one point; `None` for noise and beyond the points.
    pub fn cluster(&self, point: usize) -> Option<usize> {
        self.of.get(point).copied().flatten()
    }

    /// The cluster of each point as a number, -1 for noise: the labels of other programs.
    pub fn labels(&self) -> Vec<i64> {
        let label = |cluster: &Option<usize>| cluster.map_or(-1, |cluster| cluster as i64);
        self.of.iter().map(label).collect()
    }

    /// The number of points.
    pub fn points(&self) -> usize {
        self.of.len()
    }

    /// The number of clusters.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The number of points in no cluster.
    pub fn noise(&self) -> usize {
        self.of.iter().filter(|cluster| cluster.is_none()).count()
    }

    /// The points of each cluster, ascending.
    pub fn members(&self) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.count];
        for (point, cluster) in self.of.iter().enumerate() {
            if let Some(members) = cluster.and_then(|cluster| members.get_mut(cluster)) {
                members.push(point);
            }
        }
        members
    }
}

/// Adjusted Rand index, the agreement of two partitions of the same points: 1 if they are equal, 0 on average by chance,
/// below 0 for less than chance (Hubert and Arabie, *Comparing partitions*, Journal of Classification 1985).
///
/// Points that are noise in either partition are left out. Two partitions that leave nothing to tell (no points; both all in
/// one; both all alone) agree: 1.
///
/// ```
/// use attn_analyze::concepts::{Partition, adjusted_rand};
/// let (a, b) = (Partition::new(&[0, 0, 1, 1]), Partition::new(&[0, 0, 1, 2]));
/// assert!((adjusted_rand(&a, &b)? - 4.0 / 7.0).abs() < 1e-12);
/// # Ok::<(), attn_analyze::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if they are of different numbers of points.
pub fn adjusted_rand(a: &Partition, b: &Partition) -> Result<f64, Error> {
    same_points(a.of.len(), b.of.len(), "partition")?;
    let pairs = |n: usize| n as f64 * (n as f64 - 1.0) / 2.0;
    let mut cells: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let (mut rows, mut columns) = (vec![0; a.count], vec![0; b.count]);
    let mut points = 0;
    for (x, y) in a.of.iter().zip(&b.of).filter_map(|(x, y)| Some(((*x)?, (*y)?))) {
        *cells.entry((x, y)).or_default() += 1;
        rows[x] += 1;
        columns[y] += 1;
        points += 1;
    }
    let together: f64 = cells.values().map(|&n| pairs(n)).sum();
    let (in_a, in_b): (f64, f64) = (rows.into_iter().map(pairs).sum(), columns.into_iter().map(pairs).sum());
    let expected = if points < 2 { 0.0 } else { in_a * in_b / pairs(points) };
    let most = 0.5 * (in_a + in_b);
    Ok(if most == expected {
        1.0
    } else {
        (together - expected) / (most - expected)
    })
}

pub(super) fn same_points(expected: usize, found: usize, place: &str) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Shape {
        place: place.into(),
        expected: format!("{expected} points"),
        found: found.to_string(),
    })
}
