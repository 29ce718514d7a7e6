//! Points divided into clusters, and how far two divisions agree.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::Error;

/// Which cluster each point is in. Clusters are numbered from 0 by their first point, and none is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    of: Vec<usize>,
    count: usize,
}

impl Partition {
    /// From any numbers that are equal for points of the same cluster.
    ///
    /// ```
    /// let partition = attn_analyze::concepts::Partition::new(&[7, 3, 7]);
    /// assert_eq!((partition.of(), partition.count()), (&[0, 1, 0][..], 2));
    /// ```
    pub fn new(names: &[usize]) -> Self {
        let mut numbers: HashMap<usize, usize> = HashMap::new();
        let of = names
            .iter()
            .map(|&name| {
                let next = numbers.len();
                *numbers.entry(name).or_insert(next)
            })
            .collect();
        Self {
            of,
            count: numbers.len(),
        }
    }

    /// The cluster of each point.
    pub fn of(&self) -> &[usize] {
        &self.of
    }

    /// How many clusters there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The points of each cluster, ascending.
    pub fn members(&self) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.count];
        for (point, &cluster) in self.of.iter().enumerate() {
            members[cluster].push(point);
        }
        members
    }
}

/// How far two partitions of the same points agree: 1 if they are equal, 0 on average by chance, below 0 if they agree
/// less than that (Hubert and Arabie, *Comparing partitions*, Journal of Classification 1985).
///
/// Two partitions that leave nothing to tell (no points; both all in one; both all alone) agree: 1.
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
    for (&x, &y) in a.of.iter().zip(&b.of) {
        *cells.entry((x, y)).or_default() += 1;
        rows[x] += 1;
        columns[y] += 1;
    }
    let together: f64 = cells.values().map(|&n| pairs(n)).sum();
    let (in_a, in_b): (f64, f64) = (rows.into_iter().map(pairs).sum(), columns.into_iter().map(pairs).sum());
    let expected = if a.of.len() < 2 {
        0.0
    } else {
        in_a * in_b / pairs(a.of.len())
    };
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
