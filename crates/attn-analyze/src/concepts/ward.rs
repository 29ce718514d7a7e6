//! Ward linkage in memory that grows with the points, not with their pairs.
//!
//! Ward's method (Ward, *Hierarchical grouping to optimize an objective function*, JASA 1963) joins, again and again, the
//! two clusters whose union adds least to the squared distances from the centroids: `|A||B| / (|A|+|B|) |cA - cB|^2`.
//! Centroids and sizes are all it needs. The cost is reducible (a union is never nearer than the nearer of its parts), so
//! clusters that are each other's nearest may be joined in any order (Murtagh, *A survey of recent advances in
//! hierarchical clustering algorithms*, Computer Journal 1983). That leaves the search for nearest clusters, which is done
//! here in three ways, the cheapest first:
//!
//! - A scan of all clusters (`scan.rs`) keeps a short list of the nearest and a bound that everything else exceeds. Reducibility keeps
//!   the bound true while the others merge: as long as something on the list stays within it, no scan is needed.
//! - A union inherits both lists, and by the recurrence of Lance and Williams a bound as well.
//! - What is left waits until no pair can be joined, lowest bound first, and is scanned in blocks: a product of matrices
//!   instead of many passes over memory. Outliers wait until few clusters are left.
//!
//! Products in single precision only narrow the search; costs come from differences in double precision. Where so many
//! clusters are so near one another, and so far from the mean, that rounding hides which is nearest, all are measured.

use attn_core::{Progress, progress::step};
use ndarray::ArrayView2;
use rayon::prelude::*;

use super::{
    dendrogram::Dendrogram,
    points::{Frame, check, equal_rows, norm, squared_distance},
    scan::Clusters,
};
use crate::Error;

/// Of progress.
const STAGE: &str = "Ward linkage";
/// Neighbors kept by a scan. Longer lists save scans and cost exact distances.
const KEPT: usize = 24;
/// Neighbors a union keeps of both its parts.
const INHERITED: usize = 40;
/// Clusters scanned together: enough for the product of matrices to run at full speed.
const BLOCK: usize = 128;
/// Fewest clusters to scan at once, and the share of those that wait.
const BATCH: (usize, usize) = (64, 6);

/// Joins points to one cluster, step by step, by Ward's method on Euclidean distances.
///
/// `points` is `[point, dimension]`. `sizes` says how many points each row stands for (the centroids of
/// [`leaders`](super::leaders)); `None` means one each. The result holds every number of clusters:
/// [`Dendrogram::cut`].
///
/// The result is that of the method on the matrix of all distances, up to ties and rounding, in memory for two copies of
/// the points; it is the same on any number of threads. Time grows with the square of the points: tens of thousands
/// are a matter of seconds to a minute; beyond, see [`leaders`](super::leaders).
///
/// ```
/// use attn_analyze::concepts::ward;
/// use ndarray::array;
///
/// let points = array![[0.0_f32], [1.0], [10.0], [12.0]];
/// let tree = ward(points.view(), None, &())?;
/// assert_eq!(tree.cut(2)?.labels(), [0, 0, 1, 1]);
/// assert_eq!(tree.merges()[0].height, 1.0); // of two points: their distance
/// # Ok::<(), attn_analyze::Error>(())
/// ```
///
/// # Errors
/// [`Error::Empty`] without points, [`Error::NotFinite`], [`Error::Project`] for a coordinate that is too large,
/// [`Error::Shape`] for sizes that do not fit, [`Error::Parameter`] for a size of 0, a cancellation.
pub fn ward(
    points: ArrayView2<'_, f32>,
    sizes: Option<&[usize]>,
    progress: &dyn Progress,
) -> Result<Dendrogram, Error> {
    check(points)?;
    if let Some(sizes) = sizes {
        if sizes.len() != points.nrows() {
            return Err(Error::Shape {
                place: "sizes".into(),
                expected: points.nrows().to_string(),
                found: sizes.len().to_string(),
            });
        }
        if let Some(row) = sizes.iter().position(|&size| size == 0) {
            return Err(Error::Parameter {
                name: "sizes",
                expected: "at least 1".into(),
                found: format!("0 for row {row}"),
            });
        }
    }
    let points = points.as_standard_layout();
    let mut search = Search::new(points.view(), sizes);
    search.run(progress)?;
    Ok(Dendrogram::new(points.nrows(), search.merges))
}

/// One join: two nodes (points first, then joins in their order) and what it costs.
pub(super) type Join = (usize, usize, f64);

/// Clusters have a *slot* for life (a union takes the lower of the two) and a *row*, which changes so that the rows of
/// what is left are without gaps.
struct Search<'a> {
    dims: usize,
    frame: Frame,
    /// The points, one row after the other.
    given: &'a [f32],
    /// By row, the point that a cluster is or began as.
    first: Vec<u32>,
    /// By row, the centroid of a union of different points. There are half as many as points at most.
    unions: Vec<Option<Box<[f64]>>>,
    /// By row, all centroids in the frame, for products.
    framed: Vec<f32>,
    norms: Vec<f32>,
    sizes: Vec<f32>,
    slots: Vec<u32>,
    /// By slot.
    rows: Vec<u32>,
    joined_into: Vec<u32>,
    nodes: Vec<usize>,
    lists: Vec<Vec<u32>>,
    bounds: Vec<f64>,
    nearest: Vec<Option<(f64, u32)>>,
    points: usize,
    merges: Vec<Join>,
}

/// What a search gives: slots that may be nearest, the bound on all others, and the nearest if it is certain.
struct Found {
    list: Vec<u32>,
    bound: f64,
    nearest: Option<(f64, u32)>,
}

impl<'a> Search<'a> {
    fn new(points: ArrayView2<'a, f32>, sizes: Option<&[usize]>) -> Self {
        let (count, dims) = points.dim();
        let mut search = Self {
            dims,
            frame: Frame::of(points),
            given: points.to_slice().unwrap_or_default(),
            first: Vec::with_capacity(count),
            unions: Vec::new(),
            framed: Vec::with_capacity(count * dims),
            norms: Vec::with_capacity(count),
            sizes: Vec::with_capacity(count),
            slots: Vec::with_capacity(count),
            rows: Vec::new(),
            joined_into: Vec::new(),
            nodes: Vec::new(),
            lists: Vec::new(),
            bounds: Vec::new(),
            nearest: Vec::new(),
            points: count,
            merges: Vec::with_capacity(count.saturating_sub(1)),
        };
        // Equal points are joined first, at no cost: any order is right, and nearest neighbors become unique.
        for group in equal_rows(points) {
            let mut node = group[0];
            let mut size = 0;
            for (at, &row) in group.iter().enumerate() {
                size += sizes.map_or(1, |sizes| sizes[row]);
                if at > 0 {
                    search.merges.push((node, row, 0.0));
                    node = count + search.merges.len() - 1;
                }
            }
            let row = points.row(group[0]);
            search.first.push(group[0] as u32);
            search
                .framed
                .extend(search.frame.place(row.iter().copied()).map(|x| x as f32));
            let slot = search.slots.len();
            search.norms.push(norm(&search.framed[slot * dims..]));
            search.sizes.push(size as f32);
            search.slots.push(slot as u32);
            search.nodes.push(node);
        }
        let clusters = search.slots.len();
        search.unions = vec![None; clusters];
        search.rows = search.slots.clone();
        search.joined_into = search.slots.clone();
        search.lists = vec![Vec::new(); clusters];
        search.bounds = vec![f64::NEG_INFINITY; clusters];
        search.nearest = vec![None; clusters];
        search
    }

    fn run(&mut self, progress: &dyn Progress) -> Result<(), Error> {
        let total = self.points - 1;
        let every = total.div_ceil(500).max(1);
        let mut reported = self.merges.len();
        step(progress, STAGE, reported, total)?;
        let mut touched = vec![false; self.rows.len()];
        let all = self.slots.clone();
        let found = self.scan_all(progress)?;
        // Clusters whose nearest was found since pairs were last looked for: only they can make new pairs.
        let mut fresh = self.keep(&all, found);
        while self.slots.len() > 1 {
            let mut pairs = self.pairs(&fresh);
            fresh.clear();
            if pairs.is_empty() {
                let waiting = self.waiting();
                if !waiting.is_empty() {
                    for block in waiting.chunks(Self::between_steps()) {
                        step(progress, STAGE, self.merges.len(), total)?;
                        let found = self.scan(block);
                        fresh.extend(self.keep(block, found));
                    }
                    continue;
                }
                // Rounding can make a ring of nearest neighbors out of near-ties; the cheapest pair is right. There is one: two
                // clusters or more are left, and none waits for its nearest.
                let Some(pair) = self.cheapest() else { break };
                pairs.push(pair);
            }
            let mut again: Vec<u32> = Vec::with_capacity(2 * pairs.len());
            for &(cost, a, b) in &pairs {
                self.join(cost, a, b);
                touched[a as usize] = true;
                touched[b as usize] = true;
                again.push(a);
            }
            for &slot in &self.slots {
                let nearest = &mut self.nearest[slot as usize];
                if nearest.is_some_and(|(_, other)| touched[other as usize]) {
                    *nearest = None;
                    if !touched[slot as usize] {
                        again.push(slot);
                    }
                }
            }
            for &(_, a, b) in &pairs {
                touched[a as usize] = false;
                touched[b as usize] = false;
            }
            let found: Vec<Found> = again.par_iter().map(|&slot| self.refresh(slot)).collect();
            fresh = self.keep(&again, found);
            if self.merges.len() >= reported + every || self.merges.len() == total {
                reported = self.merges.len();
                step(progress, STAGE, reported, total)?;
            }
        }
        Ok(())
    }

    /// Pairs of mutual nearest neighbors with at least one in `fresh`, in a fixed order.
    fn pairs(&self, fresh: &[u32]) -> Vec<(f64, u32, u32)> {
        let mut pairs: Vec<(f64, u32, u32)> = fresh
            .iter()
            .filter_map(|&slot| {
                let (cost, other) = self.nearest[slot as usize]?;
                let (_, back) = self.nearest[other as usize]?;
                (back == slot).then_some((cost, slot.min(other), slot.max(other)))
            })
            .collect();
        pairs.sort_unstable_by(|x, y| x.0.total_cmp(&y.0).then((x.1, x.2).cmp(&(y.1, y.2))));
        pairs.dedup_by_key(|pair| (pair.1, pair.2));
        pairs
    }

    /// The clusters to scan next: of those whose nearest is unknown, the ones with the lowest bounds.
    fn waiting(&self) -> Vec<u32> {
        let mut waiting: Vec<u32> = self.slots.clone();
        waiting.retain(|&slot| self.nearest[slot as usize].is_none());
        let (fewest, share) = BATCH;
        let batch = fewest.max(waiting.len() / share);
        if batch < waiting.len() {
            let order = |&a: &u32, &b: &u32| {
                let bound = |slot: u32| self.bounds[slot as usize];
                bound(a).total_cmp(&bound(b)).then(a.cmp(&b))
            };
            waiting.select_nth_unstable_by(batch, order);
            waiting.truncate(batch);
        }
        waiting.sort_unstable();
        waiting
    }

    fn cheapest(&self) -> Option<(f64, u32, u32)> {
        let pairs = self.slots.iter().filter_map(|&slot| {
            let (cost, other) = self.nearest[slot as usize]?;
            Some((cost, slot.min(other), slot.max(other)))
        });
        pairs.min_by(|x, y| x.0.total_cmp(&y.0).then((x.1, x.2).cmp(&(y.1, y.2))))
    }

    fn keep(&mut self, slots: &[u32], found: Vec<Found>) -> Vec<u32> {
        let mut certain = Vec::new();
        for (&slot, found) in slots.iter().zip(found) {
            let at = slot as usize;
            if found.nearest.is_some() {
                certain.push(slot);
            }
            self.lists[at] = found.list;
            self.bounds[at] = found.bound;
            self.nearest[at] = found.nearest;
        }
        certain
    }

    /// The point that the cluster of a row began as: its centroid, unless it is a union.
    fn point(&self, row: usize) -> &'a [f32] {
        let at = self.first[row] as usize;
        &self.given[at * self.dims..(at + 1) * self.dims]
    }

    /// The squared distance of the centroids of two rows.
    fn distance(&self, a: usize, b: usize) -> f64 {
        match (&self.unions[a], &self.unions[b]) {
            (None, None) => squared_distance(self.point(a), self.point(b)),
            (Some(a), None) => squared_distance(a, self.point(b)),
            (None, Some(b)) => squared_distance(self.point(a), b),
            (Some(a), Some(b)) => squared_distance(a, b),
        }
    }

    /// The centroid of a row, taken out if it is a union's.
    fn take_centroid(&mut self, row: usize) -> Box<[f64]> {
        let point = self.point(row);
        let union = self.unions[row].take();
        union.unwrap_or_else(|| point.iter().map(|&x| f64::from(x)).collect())
    }

    /// What joining two clusters costs, in double precision.
    fn cost(&self, a: u32, b: u32) -> f64 {
        let (a, b) = (self.rows[a as usize] as usize, self.rows[b as usize] as usize);
        let (x, y) = (f64::from(self.sizes[a]), f64::from(self.sizes[b]));
        x * y / (x + y) * self.distance(a, b)
    }

    /// The slot that a slot's cluster is in now.
    fn current(&self, mut slot: u32) -> u32 {
        while self.joined_into[slot as usize] != slot {
            slot = self.joined_into[slot as usize];
        }
        slot
    }

    fn join(&mut self, cost: f64, a: u32, b: u32) {
        let (keep, drop) = (self.rows[a as usize] as usize, self.rows[b as usize] as usize);
        let (x, y) = (f64::from(self.sizes[keep]), f64::from(self.sizes[drop]));
        let (share, rest) = (x / (x + y), y / (x + y));
        let (mut union, other) = (self.take_centroid(keep), self.take_centroid(drop));
        for (p, q) in union.iter_mut().zip(&other) {
            *p = share * *p + rest * *q;
        }
        let place = keep * self.dims..(keep + 1) * self.dims;
        let framed = self.frame.place(union.iter().copied());
        self.framed[place.clone()]
            .iter_mut()
            .zip(framed)
            .for_each(|(out, x)| *out = x as f32);
        self.norms[keep] = norm(&self.framed[place]);
        self.unions[keep] = Some(union);
        self.sizes[keep] += self.sizes[drop];
        self.merges.push((self.nodes[a as usize], self.nodes[b as usize], cost));
        self.nodes[a as usize] = self.points + self.merges.len() - 1;
        // By Lance and Williams the cost to a third cluster of size c is at least
        // ((x + c) LA + (y + c) LB - c cost) / (x + y + c), which is monotone in c: its ends are c = 1 and no end at all.
        let (low, high) = (self.bounds[a as usize], self.bounds[b as usize]);
        let bound = if low.is_finite() && high.is_finite() {
            let one = ((x + 1.0) * low + (y + 1.0) * high - cost) / (x + y + 1.0);
            one.min(low + high - cost).max(low.min(high))
        } else {
            low.min(high)
        };
        self.bounds[a as usize] = bound;
        let other = std::mem::take(&mut self.lists[b as usize]);
        self.lists[a as usize].extend(other);
        self.joined_into[b as usize] = a;
        self.nearest[a as usize] = None;
        // The last row fills the gap.
        let last = self.slots.len() - 1;
        if drop != last {
            let from = last * self.dims..(last + 1) * self.dims;
            self.framed.copy_within(from, drop * self.dims);
            self.norms[drop] = self.norms[last];
            self.sizes[drop] = self.sizes[last];
            self.slots[drop] = self.slots[last];
            self.rows[self.slots[drop] as usize] = drop as u32;
        }
        self.first.swap_remove(drop);
        self.unions.swap_remove(drop);
        self.framed.truncate(last * self.dims);
        self.norms.truncate(last);
        self.sizes.truncate(last);
        self.slots.truncate(last);
    }

    /// Looks for the nearest cluster on the list alone.
    fn refresh(&self, slot: u32) -> Found {
        let mut list: Vec<u32> = self.lists[slot as usize]
            .iter()
            .map(|&other| self.current(other))
            .collect();
        list.retain(|&other| other != slot);
        list.sort_unstable();
        list.dedup();
        let mut costs: Vec<(f64, u32)> = list.iter().map(|&other| (self.cost(slot, other), other)).collect();
        let mut bound = self.bounds[slot as usize];
        if costs.len() > INHERITED {
            costs.sort_unstable_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
            bound = bound.min(costs[INHERITED].0);
            costs.truncate(INHERITED);
        }
        let nearest = nearest(slot, &costs).filter(|&(cost, _)| cost <= bound);
        Found {
            list: costs.into_iter().map(|(_, other)| other).collect(),
            bound,
            nearest,
        }
    }

    fn clusters(&self) -> Clusters<'_> {
        Clusters {
            dims: self.dims,
            centroids: &self.framed,
            norms: &self.norms,
            sizes: &self.sizes,
        }
    }

    /// Compares every cluster with every other.
    fn scan_all(&self, progress: &dyn Progress) -> Result<Vec<Found>, Error> {
        let nearest = self.clusters().nearest_of_all(KEPT + 1, progress)?;
        let mut found = Vec::with_capacity(nearest.len());
        // Where rounding hides what is nearest, one cluster is compared with all.
        let mut nearest = nearest.into_iter();
        for slots in self.slots.chunks(Self::between_steps()) {
            step(progress, STAGE, self.merges.len(), self.points - 1)?;
            let rows: Vec<_> = nearest.by_ref().take(slots.len()).collect();
            let of_chunk = slots.par_iter().zip(rows);
            found.par_extend(of_chunk.map(|(&slot, rows)| self.found(slot, rows)));
        }
        Ok(found)
    }

    /// Clusters that are compared between two chances to cancel: enough for all threads.
    fn between_steps() -> usize {
        BLOCK * rayon::current_num_threads().max(8)
    }

    /// Compares clusters with all others.
    fn scan(&self, slots: &[u32]) -> Vec<Found> {
        let scan = |block: &[u32]| {
            let rows: Vec<usize> = block.iter().map(|&slot| self.rows[slot as usize] as usize).collect();
            self.clusters().nearest_of(&rows, KEPT + 1)
        };
        slots
            .par_chunks(BLOCK)
            .flat_map_iter(|block| {
                let nearest = scan(block);
                block.iter().zip(nearest).map(|(&slot, rows)| self.found(slot, rows))
            })
            .collect()
    }

    /// From the rows nearest to a cluster, one more than the list keeps: that one is the bound.
    fn found(&self, slot: u32, mut rows: Vec<(f32, u32)>) -> Found {
        let bound = match rows.len() {
            length if length > KEPT => rows
                .pop()
                .map_or(f64::INFINITY, |(cost, _)| f64::from(cost) * self.frame.square()),
            _ => f64::INFINITY,
        };
        let measured = |row: u32| {
            let other = self.slots[row as usize];
            (self.cost(slot, other), other)
        };
        let costs: Vec<(f64, u32)> = rows.iter().map(|&(_, row)| measured(row)).collect();
        let found = nearest(slot, &costs);
        if found.is_some_and(|(cost, _)| cost > bound) {
            return self.measure_all(slot);
        }
        Found {
            nearest: found,
            list: costs.into_iter().map(|(_, other)| other).collect(),
            bound,
        }
    }

    /// Compares one cluster with all others in double precision.
    fn measure_all(&self, slot: u32) -> Found {
        let others = self.slots.iter().filter(|&&other| other != slot);
        let mut costs: Vec<(f64, u32)> = others.map(|&other| (self.cost(slot, other), other)).collect();
        let found = nearest(slot, &costs);
        let mut bound = f64::INFINITY;
        if costs.len() > KEPT {
            costs.select_nth_unstable_by(KEPT, |x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
            bound = costs[KEPT].0;
            costs.truncate(KEPT);
        }
        Found {
            nearest: found,
            list: costs.into_iter().map(|(_, other)| other).collect(),
            bound,
        }
    }
}

/// The cheapest partner; among equals the pair with the lowest slots, so that both sides agree.
fn nearest(slot: u32, costs: &[(f64, u32)]) -> Option<(f64, u32)> {
    let key = |other: u32| (slot.min(other), slot.max(other));
    costs
        .iter()
        .copied()
        .min_by(|x, y| x.0.total_cmp(&y.0).then(key(x.1).cmp(&key(y.1))))
}
